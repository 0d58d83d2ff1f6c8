# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Registered queues: what makes sense in them, versions of their prices, drift against what is observed, and the market's seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.contract import queries
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.queueoffers import MAX_FIGURE, MAX_RATE, price_version, registered_queues
from hpcbridge.contract.seed import blind_rank, market_seed
from hpcbridge.model.clusters import ClusterState, Queue, QueueHardware, QueueOffer, Rates, Registration
from hpcbridge.model.entries import EventType
from hpcbridge.model.market import ContractActivation, DriftField, QueueDrift, QueueDrifts
from hpcbridge.wire.convert import decode, encode
from tests.fold_world import Party, World

RATES = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000)
BATCH = QueueOffer(name="batch", max_cores=64, gpu_type="a100", gpus=4, max_walltime_seconds=86_400, memory_bytes=1 << 36, rates=RATES)
REGISTRATION = Registration(cluster="c1", login_address="login.c1.example", rates=RATES, queues=(BATCH, QueueOffer(name="long")))
SEEN = Queue(cluster="c1", name="batch", open=True, max_cores=64, gpus_total=4, max_walltime_seconds=86_400)
LONG = Queue(cluster="c1", name="long", open=True)


def sample(world: World, provider: Party, *queues: Queue, hardware: tuple[QueueHardware, ...] = ()) -> list[QueueDrifts]:
    """Tells a state a minute later; what of drift was told with it."""
    world.at += 60_000
    answer = world.must(provider, ClusterState(cluster="c1", observed_at=world.at, queues=queues, hardware=hardware))
    drifts = [event for event in answer.events if event.type is EventType.QUEUES_DRIFTED]
    assert all((event.audience, event.subject) == ("siteone", "c1") for event in drifts)
    return [record for event in drifts if isinstance(record := decode_event(event).record, QueueDrifts)]


def test_queues_are_kept_as_registered(world: World, provider: Party) -> None:
    world.must(provider, REGISTRATION)
    assert queries.cluster(world.state, world.caller(provider), "c1").registration == REGISTRATION
    assert registered_queues(world.state, "c1") == REGISTRATION.queues
    assert decode(Registration, encode(REGISTRATION)) == REGISTRATION
    world.must(provider, dataclasses.replace(REGISTRATION, queues=()))
    assert registered_queues(world.state, "c1") == ()


@pytest.mark.parametrize(
    "queues",
    [
        (BATCH, BATCH),
        (dataclasses.replace(BATCH, name=""),),
        (dataclasses.replace(BATCH, name="x" * 65),),
        (dataclasses.replace(BATCH, max_cores=0),),
        (dataclasses.replace(BATCH, max_cores=MAX_FIGURE + 1),),
        (dataclasses.replace(BATCH, gpus=MAX_FIGURE + 1),),
        (dataclasses.replace(BATCH, gpu_type="x" * 65),),
        (dataclasses.replace(BATCH, max_walltime_seconds=0),),
        (dataclasses.replace(BATCH, memory_bytes=(1 << 62) + 1),),
        (dataclasses.replace(BATCH, rates=Rates(cpu_core_per_hour=MAX_RATE + 1, gpu_core_per_hour=0)),),
        (dataclasses.replace(BATCH, rates=Rates(cpu_core_per_hour=0, gpu_core_per_hour=900_000)),),
        tuple(QueueOffer(name=f"q{number}") for number in range(257)),
    ],
)
def test_queues_that_make_no_sense(world: World, provider: Party, queues: tuple[QueueOffer, ...]) -> None:
    assert world.outcomes(provider, dataclasses.replace(REGISTRATION, queues=queues)) == ["MALFORMED"]
    assert registered_queues(world.state, "c1") == ()


@pytest.mark.parametrize("changes", [{}, {"max_cores": 1, "gpus": 0}, {"rates": Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)}])
def test_queues_at_the_edge_of_sense(world: World, provider: Party, changes: dict[str, Any]) -> None:
    world.must(provider, dataclasses.replace(REGISTRATION, queues=(dataclasses.replace(BATCH, **changes),)))


def test_prices_have_versions(world: World, provider: Party) -> None:
    first = price_version(world.state, "c1")
    steps = [
        (REGISTRATION, 1),
        (REGISTRATION, 0),
        (dataclasses.replace(REGISTRATION, login_address="other"), 0),
        (dataclasses.replace(REGISTRATION, rates=None), 1),
        (dataclasses.replace(REGISTRATION, queues=(dataclasses.replace(BATCH, rates=None),)), 1),
        (dataclasses.replace(REGISTRATION, queues=(dataclasses.replace(BATCH, rates=None, max_cores=1),)), 0),
    ]
    expected = first
    for registration, step in steps:
        world.must(provider, registration)
        expected += step
        assert price_version(world.state, "c1") == expected


def test_drift_is_told_once_for_each_change(world: World, provider: Party) -> None:
    assert sample(world, provider, dataclasses.replace(SEEN, max_cores=1)) == []
    world.must(provider, REGISTRATION)
    assert sample(world, provider, SEEN, LONG) == []
    fewer = QueueDrift(queue="batch", field=DriftField.MAX_CORES, registered=64, observed=32)
    less = dataclasses.replace(SEEN, max_cores=32)
    assert sample(world, provider, less, LONG) == [QueueDrifts(cluster="c1", drifts=(fewer,))]
    assert sample(world, provider, less, LONG) == []
    gone = QueueDrift(queue="long", field=DriftField.QUEUE, registered=None, observed=None)
    assert sample(world, provider, less) == [QueueDrifts(cluster="c1", drifts=(fewer, gone))]
    assert sample(world, provider, SEEN, LONG) == [QueueDrifts(cluster="c1", drifts=())]
    assert sample(world, provider, SEEN, LONG) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_cores": 63}, DriftField.MAX_CORES),
        ({"gpus_total": 3}, DriftField.GPUS),
        ({"max_walltime_seconds": 86_399}, DriftField.MAX_WALLTIME_SECONDS),
        ({"max_cores": 65, "gpus_total": 5, "max_walltime_seconds": 86_401}, None),
        ({"max_cores": None, "gpus_total": None, "max_walltime_seconds": None}, None),
    ],
)
def test_what_is_drift(world: World, provider: Party, changes: dict[str, int | None], field: DriftField | None) -> None:
    world.must(provider, REGISTRATION)
    told = sample(world, provider, dataclasses.replace(SEEN, **changes), LONG)  # type: ignore[arg-type]
    assert [drift.field for each in told for drift in each.drifts] == ([] if field is None else [field])


@pytest.mark.parametrize(
    ("hardware", "drift"),
    [
        (QueueHardware(queue="batch", gpu_types=("A100",), memory_bytes=1 << 36), None),
        (QueueHardware(queue="batch", gpu_types=("a100", "v100"), memory_bytes=1 << 37), None),
        (QueueHardware(queue="batch"), None),
        (QueueHardware(queue="long", gpu_types=("v100",), memory_bytes=1), None),
        (
            QueueHardware(queue="batch", memory_bytes=1 << 35),
            QueueDrift(queue="batch", field=DriftField.MEMORY_BYTES, registered=1 << 36, observed=1 << 35),
        ),
        (
            QueueHardware(queue="batch", gpu_types=("h100", "v100")),
            QueueDrift(
                queue="batch", field=DriftField.GPU_TYPE, registered=None, observed=None,
                registered_gpu_type="a100", observed_gpu_types=("h100", "v100"),
            ),
        ),
    ],
)  # fmt: skip
def test_drift_of_hardware(world: World, provider: Party, hardware: QueueHardware, drift: QueueDrift | None) -> None:
    world.must(provider, REGISTRATION)
    told = [] if drift is None else [QueueDrifts(cluster="c1", drifts=(drift,))]
    assert sample(world, provider, SEEN, LONG, hardware=(hardware,)) == told
    if drift is not None:
        assert decode(QueueDrift, encode(drift)) == drift
        assert sample(world, provider, SEEN, LONG) == [QueueDrifts(cluster="c1", drifts=())]


@pytest.mark.parametrize(
    "hardware",
    [
        (QueueHardware(queue="batch"), QueueHardware(queue="batch")),
        (QueueHardware(queue="elsewhere"),),
        (QueueHardware(queue="batch", gpu_types=("b", "a")),),
        (QueueHardware(queue="batch", gpu_types=("a", "a")),),
        (QueueHardware(queue="batch", gpu_types=("",)),),
        (QueueHardware(queue="batch", gpu_types=("x" * 65,)),),
        (QueueHardware(queue="batch", gpu_types=("\u0430100",)),),
        (QueueHardware(queue="batch", gpu_types=tuple(f"kind{number:02}" for number in range(17))),),
        (QueueHardware(queue="batch", memory_bytes=0),),
        (QueueHardware(queue="batch", memory_bytes=(1 << 62) + 1),),
    ],
)
def test_hardware_that_makes_no_sense(world: World, provider: Party, hardware: tuple[QueueHardware, ...]) -> None:
    world.must(provider, REGISTRATION)
    body = ClusterState(cluster="c1", observed_at=world.at, queues=(SEEN,), hardware=hardware)
    assert world.outcomes(provider, body) == ["MALFORMED"]
    assert world.state.get("clusterstate/c1") is None


def test_every_sample_stirs_the_seed(world: World, provider: Party) -> None:
    seeds = [market_seed(world.state)]
    for cores in (1, 2, 1):
        sample(world, provider, dataclasses.replace(SEEN, max_cores=cores))
        seeds.append(market_seed(world.state))
    assert len(set(seeds)) == 4
    order = {tuple(sorted("abcdefgh", key=lambda name: blind_rank(seed, "r1", name))) for seed in seeds}
    assert len(order) == 4


def test_nothing_of_it_before_the_market(tmp_path: Path) -> None:
    world = World(tmp_path, contract_version=1)
    provider = world.provider()
    world.must(provider, dataclasses.replace(REGISTRATION, queues=()))
    sample(world, provider, SEEN)
    free = Rates(cpu_core_per_hour=0, gpu_core_per_hour=0)
    world.must(provider, dataclasses.replace(REGISTRATION, queues=(), rates=free))
    hardware = (QueueHardware(queue="batch", memory_bytes=1),)
    assert world.outcomes(provider, ClusterState(cluster="c1", observed_at=world.at, queues=(SEEN,), hardware=hardware)) == ["MALFORMED"]
    assert world.state.get("market/seed") is None
    assert price_version(world.state, "c1") == 0
    world.must(world.root, ContractActivation(version=2))
    sample(world, provider, SEEN)
    assert world.state.get("market/seed") is not None
