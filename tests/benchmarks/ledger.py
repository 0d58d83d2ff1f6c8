# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger service as a process of its own, loaded over mutual TLS: latency at the paper's rate, and how much it can take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from hpcbridge.model.clusters import Registration
from hpcbridge.wire.generated import ledger_pb2
from tests.benchmarks.figures import Figure, milliseconds
from tests.benchmarks.load import Load, Timing
from tests.bridge import Bridge

OFFERED = 300
PER_SECOND = 100
CLUSTER = "north"
INSTALLATIONS = 4


def measure(directory: Path, *, quick: bool) -> Iterator[Figure]:
    """All figures of the ledger."""
    with Bridge(directory) as bridge:
        loads = start(bridge)
        yield query(loads[0])
        yield invoke(loads[0])
        yield sustained(loads, 2_000 if quick else 20_000, items=1, aim=10_000)
        yield sustained(loads, 100 if quick else 1_000, items=64, aim=50_000)
        yield sustained(loads, 20 if quick else 200, items=300, aim=None)
        yield memory(bridge)
        for load in loads:
            load.client.close()


def start(bridge: Bridge) -> list[Load]:
    """A ledger with one provider that has four installations, its cluster registered."""
    bridge.write_configuration()
    token = bridge.init_ledger()
    bridge.start_ledger()
    bridge.ctl("--identity", str(bridge.admin_identity), "enrol", "--installation", "laptop", given=token)
    loads = []
    for number in range(INSTALLATIONS):
        token = bridge.admin("admin", "token", "--role", "provider", "--name", CLUSTER).strip()
        identity = bridge.directory / f"load-{number}"
        bridge.ctl("--identity", str(identity), "enrol", "--installation", f"load-{number}", given=token)
        loads.append(Load(identity, CLUSTER))
    loads[0].send(loads[0].make_all([Registration(cluster=CLUSTER, login_address="login.example")]))
    bridge.admin("admin", "approve", CLUSTER)
    return loads


def query(load: Load) -> Figure:
    """One cluster's record, asked for 300 times at 100 a second."""
    request = ledger_pb2.GetHpcSystemDetailRequest(name=CLUSTER)
    load.client.call("GetHpcSystemDetail", request)
    pause, latencies, began = threading.Event(), [], time.perf_counter()
    for number in range(OFFERED):
        pause.wait(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        asked = time.perf_counter()
        load.client.call("GetHpcSystemDetail", request)
        latencies.append(time.perf_counter() - asked)
    return milliseconds("query, 300 at 100/s, average", latencies, aim=1.0, paper=20.0)


def invoke(load: Load) -> Figure:
    """One job change in one signed envelope to its receipt, 300 times at 100 a second."""
    envelopes = load.make_all(load.job_changes(OFFERED, items=1))
    timing = load.send(envelopes, per_message=1, interval=1 / PER_SECOND)
    return milliseconds("invoke, 300 at 100/s, average", timing.latencies, aim=4.0, paper=680.0)


def sustained(loads: list[Load], envelopes: int, *, items: int, aim: float | None) -> Figure:
    """Four streams at once, as fast as the window lets them; every envelope signed, every receipt awaited."""
    made = [load.make_all(load.job_changes(envelopes // len(loads), items=items)) for load in loads]
    timings: list[Timing] = []
    per_message = 64 if items == 1 else 4
    threads = [
        threading.Thread(target=lambda load=load, part=part: timings.append(load.send(part, per_message=per_message)))
        for load, part in zip(loads, made, strict=True)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if len(timings) != len(loads):
        raise RuntimeError("a stream broke")
    if items == 1:
        return Figure(name="transactions, one signature each", value=envelopes / seconds, unit="1/s", aim=aim, more_is_better=True)
    return Figure(name=f"job changes, {items} in an envelope", value=envelopes * items / seconds, unit="1/s", aim=aim, more_is_better=True)


def memory(bridge: Bridge) -> Figure:
    """Of ledgerd after all of that."""
    if bridge.ledger is None:
        raise RuntimeError("the ledger is not running")
    megabytes = psutil.Process(bridge.ledger.pid).memory_info().rss / 1e6
    return Figure(name="ledgerd, resident memory after the load", value=megabytes, unit="MB")
