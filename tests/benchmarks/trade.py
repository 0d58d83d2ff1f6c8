# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market on a running ledger over mutual TLS: users ask over ten clusters, rent the best, and give it back.

As in a market nobody can rent before the answer to the request is there, so each round is three: all requests, then all rentals, then all
cancellations. Every transaction is signed, every receipt awaited, and one that was refused ends the measurement.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpcbridge.model.clusters import Rates, Registration
from hpcbridge.model.market import Cancellation, RentalOrder, Request
from hpcbridge.model.transactions import Body
from tests.benchmarks.figures import Figure, milliseconds
from tests.benchmarks.load import Load, Timing
from tests.benchmarks.market import place, state_of
from tests.bridge import Bridge

CLUSTERS = 10
USERS = 4
AT_ONCE = 64
MOST_OPEN = 1_000
OFFERED = 100
PER_SECOND = 100
ASKED = Request(cores=1, walltime_seconds=3600, **place(7))
PROVIDER = "org"


def measure(directory: Path, *, quick: bool) -> Iterator[Figure]:
    """Latency at the paper's rate, and how much the ledger can take."""
    with Bridge(directory) as bridge:
        users = start(bridge)
        yield paced(users[0])
        yield from sustained(users, MOST_OPEN // 10 if quick else MOST_OPEN)
        for user in users:
            user.client.close()


def start(bridge: Bridge) -> list[Load]:
    """A ledger with a provider that has ten approved clusters with a state, and users with credit and without daily limits."""
    bridge.write_configuration()
    token = bridge.init_ledger()
    bridge.start_ledger()
    bridge.ctl("--identity", str(bridge.admin_identity), "enrol", "--installation", "laptop", given=token)
    bridge.admin("admin", "parameters", "set", "requests_per_day=1000000", f"rentals_open={MOST_OPEN}", "heard_within_ms=86400000")
    provider = enrolled(bridge, PROVIDER, role="provider")
    for number in range(CLUSTERS):
        rates = Rates(cpu_core_per_hour=10_000 + number, gpu_core_per_hour=900_000)
        registration = Registration(cluster=f"c{number}", login_address=f"login.c{number}.example", rates=rates, **place(number))
        checked(provider.send(provider.make_all([registration])))
        bridge.admin("admin", "approve", f"c{number}")
        checked(provider.send(provider.make_all([state_of(2 * number, time.time_ns() // 1_000_000, cluster=f"c{number}")])))
    provider.client.close()
    users = [enrolled(bridge, f"user{number}", role="user") for number in range(USERS)]
    for number in range(USERS):
        bridge.admin("admin", "credit", f"user{number}", "1000000", "--reference", "benchmark")
    return users


def enrolled(bridge: Bridge, name: str, *, role: str) -> Load:
    """A member with its own chain of numbers."""
    answer = bridge.admin("-o", "json", "admin", "token", "--role", role, "--name", name)
    identity = bridge.directory / f"load-{name}"
    bridge.ctl("--identity", str(identity), "enrol", "--installation", "load", given=json.loads(answer)["token"])
    return Load(identity, name)


def paced(user: Load) -> Figure:
    """300 transactions of the market at 100 a second, one in a message."""
    latencies: list[float] = []
    for timing in rounds(user, OFFERED, per_message=1, interval=1 / PER_SECOND):
        latencies += timing.latencies
    return milliseconds("a market transaction, 300 at 100/s, average", latencies, aim=5.0)


def sustained(users: Sequence[Load], each: int) -> Iterator[Figure]:
    """All users at once, each as fast as its window lets it."""
    barrier = threading.Barrier(len(users) + 1)
    threads = [threading.Thread(target=_trade, args=(user, each, barrier), daemon=True) for user in users]
    for thread in threads:
        thread.start()
    seconds: list[float] = []
    for name in ("requests", "rentals", "cancellations"):
        barrier.wait()
        began = time.perf_counter()
        barrier.wait()
        seconds.append(time.perf_counter() - began)
        rate = len(users) * each / seconds[-1]
        yield Figure(name=f"{name} over {CLUSTERS} clusters, sustained", value=rate, unit="1/s", more_is_better=True)
    for thread in threads:
        thread.join()
    total = 3 * len(users) * each
    name = "market transactions, a third each of request, rental and cancellation"
    yield Figure(name=name, value=total / sum(seconds), unit="1/s", aim=3_000, more_is_better=True, detail=f"n {total}")


def _trade(user: Load, each: int, barrier: threading.Barrier) -> None:
    names: Sequence[int] = range(each)
    for step in (_ask, _rent, _cancel):
        envelopes = user.make_all([step(name) for name in names])
        barrier.wait()
        names = checked(user.send(envelopes, per_message=AT_ONCE)).indices
        barrier.wait()


def rounds(user: Load, count: int, *, per_message: int, interval: float) -> Iterator[Timing]:
    """`count` requests, as many rentals of them, and as many cancellations of those."""
    names: Sequence[int] = range(count)
    for step in (_ask, _rent, _cancel):
        timing = checked(user.send(user.make_all([step(name) for name in names]), per_message=per_message, interval=interval))
        names = timing.indices
        yield timing


def checked(timing: Timing) -> Timing:
    """RuntimeError with the first reason if anything was refused."""
    if timing.refusals:
        raise RuntimeError(f"{len(timing.refusals)} refused: {timing.refusals[0]}")
    return timing


def _ask(_number: int) -> Body:
    return ASKED


def _rent(request: int) -> Body:
    return RentalOrder(request=f"r{request}", cores=1)


def _cancel(rental: int) -> Body:
    return Cancellation(rental=f"l{rental}")
