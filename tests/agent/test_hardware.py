# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Hardware of queues from what is known of their nodes: kinds of GPUs, memory, what stays unknown; on recordings too."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.agent.hardware import hardware_of
from hpcbridge.agent.observations import Snapshot, cluster_state
from hpcbridge.model.clusters import Queue, QueueHardware
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.wire.convert import decode, encode

RECORDED = Path(__file__).resolve().parent.parent / "recorded"
BATCH = Queue(cluster="c1", name="batch", open=True)
GIB = 1 << 30


def node(name: str, *, queues: tuple[str, ...] = ("batch",), **known: Any) -> Node:
    return Node(cluster="c1", name=name, availability=Availability.UP, queues=queues, **known)


@pytest.mark.parametrize(
    ("nodes", "gpu_types", "memory_bytes"),
    [
        ((), (), None),
        ((node("n1"),), (), None),
        ((node("n1", gpus_total=0, memory_bytes_total=64 * GIB), node("n2", gpus_total=0, memory_bytes_total=256 * GIB)), (), 256 * GIB),
        ((node("n1", memory_bytes_total=64 * GIB), node("n2")), (), 64 * GIB),
        ((node("n1", gpus_total=4, gpu_type="a100"), node("n2", gpus_total=0)), ("a100",), None),
        ((node("n1", gpus_total=4, gpu_type="a100"), node("n2", gpus_total=2, gpu_type="a100")), ("a100",), None),
        ((node("n1", gpus_total=4, gpu_type="v100"), node("n2", gpus_total=2, gpu_type="a100")), ("a100", "v100"), None),
        ((node("n1", gpus_total=4, gpu_type="v100,a100"),), ("a100", "v100"), None),
        ((node("n1", gpus_total=4, gpu_type="a100"), node("n2", gpus_total=2)), (), None),
        ((node("n1", gpus_total=4, gpu_type="a100"), node("n2", gpus_total=2, queues=("other",))), ("a100",), None),
        ((node("n1", memory_bytes_total=0),), (), None),
        ((node("n1", gpus_total=4, gpu_type="x" * 65),), (), None),
        ((node("n1", gpus_total=4, gpu_type="\u0430100"),), (), None),
        ((node("n1", gpus_total=4, gpu_type=",".join(f"kind{number}" for number in range(17))),), (), None),
    ],
)
def test_what_nodes_tell(nodes: tuple[Node, ...], gpu_types: tuple[str, ...], memory_bytes: int | None) -> None:
    known = QueueHardware(queue="batch", gpu_types=gpu_types, memory_bytes=memory_bytes)
    assert hardware_of([BATCH], nodes) == ((known,) if gpu_types or memory_bytes else ())


def test_a_queue_may_name_its_nodes() -> None:
    named = dataclasses.replace(BATCH, nodes=("n1",))
    found = hardware_of([named, Queue(cluster="c1", name="empty", open=True)], [node("n1", queues=(), memory_bytes_total=GIB)])
    assert found == (QueueHardware(queue="batch", memory_bytes=GIB),)


@pytest.mark.parametrize("availability", list(Availability))
def test_a_node_that_is_away_is_still_part_of_the_queue(availability: Availability) -> None:
    away = dataclasses.replace(node("n1", memory_bytes_total=GIB), availability=availability)
    assert hardware_of([BATCH], [away])[0].memory_bytes == GIB


def test_the_sample_has_it_and_travels() -> None:
    snapshot = Snapshot(queues=(BATCH,), nodes=(node("n1", gpus_total=4, gpu_type="a100", memory_bytes_total=GIB),))
    state = cluster_state(snapshot, cluster="c1", scheduler="slurm", at=1)
    assert state.hardware == (QueueHardware(queue="batch", gpu_types=("a100",), memory_bytes=GIB),)
    assert decode(type(state), encode(state)) == state
    without = cluster_state(snapshot, cluster="c1", scheduler="slurm", at=1, with_hardware=False)
    assert without == dataclasses.replace(state, hardware=())


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("slurm/24.11.5/zoo", {"batch": ((), 8_388_608_000), "gpu": (("a100",), 8_388_608_000)}),
        ("standard/1/zoo", {"day": (("a100",), 64 * GIB), "night": ((), 64 * GIB)}),
    ],
)
def test_what_real_schedulers_tell(case: str, expected: dict[str, tuple[tuple[str, ...], int]]) -> None:
    told = json.loads((RECORDED / case / "expected.json").read_text())
    availability = Availability.UP
    nodes = [Node(**{**each, "queues": tuple(each["queues"]), "availability": availability}) for each in told["nodes"]]
    queues = [Queue(**{**each, "nodes": tuple(each["nodes"])}) for each in told["queues"]]
    found = {hardware.queue: (hardware.gpu_types, hardware.memory_bytes) for hardware in hardware_of(queues, nodes)}
    assert expected.items() <= found.items()
