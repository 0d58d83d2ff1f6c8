# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Requests over a thousand clusters, as the applier folds them: the contract over a real store, its writes into that store.

Between two requests as many clusters tell a new state as do in a second of a network where each does so once a minute.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcbridge import contract
from hpcbridge.contract.listing import Listing, make_listing
from hpcbridge.contract.records import StoredCluster, StoredMember, encode_stored, encode_word
from hpcbridge.contract.supply import forget_supplies
from hpcbridge.contract.versions import CONTRACT_VERSION
from hpcbridge.fold import WorkingState
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.clusters import (
    ClusterState,
    Frontend,
    Program,
    Queue,
    QueueOffer,
    Rates,
    Registration,
    SchedulerInfo,
    Vetting,
)
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.market import Request, RequestRecord
from hpcbridge.model.transactions import PayloadType
from hpcbridge.service.readers import ReadState
from tests.benchmarks import usage
from tests.benchmarks.figures import Figure, milliseconds
from tests.ledger_filling import next_group

CLUSTERS = 1_000
FEW = 10
QUEUES = 3
NODES = 16
PROGRAMS = 20
ROUNDS = 60
START_AT = 1_790_000_000_000
HOUR = 3600
USER = Caller(submitter=Submitter("alice", "desk"), role=Role.USER)


def measure(directory: Path, *, quick: bool) -> Iterator[Figure]:
    """All figures of the market."""
    with Store.open(directory / "market.db", create=True) as store:
        network = Network(store)
        everywhere, nowhere = Request(cores=16, walltime_seconds=HOUR, **place(7)), Request(cores=1 << 20)
        some = dataclasses.replace(everywhere, programs=(Program(name="prog0", version=""), Program(name="prog5", version="1")))
        yield network.first(everywhere)
        rounds = 5 if quick else ROUNDS
        for what, request in (("all fit", everywhere), ("a quarter has the programs", some), ("none is large enough", nowhere)):
            yield network.listings(f"offers over {CLUSTERS:,} clusters, {what}", request, rounds)
        yield network.transactions(f"a request over {CLUSTERS:,} clusters, applied and stored", everywhere, rounds)
    with Store.open(directory / "small.db", create=True) as store:
        few = Network(store, clusters=FEW)
        yield few.transactions(f"a request over {FEW} clusters, applied and stored", everywhere, 10 * rounds, aim=5)
    yield from usage.measure(quick=quick)


class Network:
    """A store with as many approved clusters, each with its own provider, and one user."""

    def __init__(self, store: Store, *, clusters: int = CLUSTERS) -> None:
        self._store = store
        self._clusters = clusters
        self._tree = Tree(store)
        self._at = START_AT
        self._round = 0
        writes: dict[str, bytes] = {"contract/version": CONTRACT_VERSION.to_bytes(8, "big"), "member/alice": member(Role.USER)}
        writes["parameter/requests_per_day"] = (1_000_000).to_bytes(8, "big")
        for number in range(clusters):
            writes |= registered(number) | self._state(number)
        self._write(writes)

    def first(self, request: Request) -> Figure:
        """What nothing is remembered for: the first request after a start."""
        seconds = []
        for _ in range(3):
            forget_supplies()
            seconds.append(self._listing(request)[0])
        return milliseconds(f"offers over {CLUSTERS:,} clusters, the first time after a start", seconds)

    def listings(self, name: str, request: Request, rounds: int) -> Figure:
        """Matching, pricing and ordering, without the writing."""
        seconds: list[float] = []
        for _ in range(rounds):
            self._tell()
            one, listing = self._listing(request)
            seconds.append(one)
        figure = milliseconds(name, seconds, aim=20)
        return dataclasses.replace(figure, detail=f"{len(listing.offers)} offers, {len(listing.why_nots)} reasons; {figure.detail}")

    def transactions(self, name: str, request: Request, rounds: int, *, aim: float | None = None) -> Figure:
        """The whole of it: apply, and the group that stores what it wrote."""
        seconds: list[float] = []
        for _ in range(rounds):
            self._tell()
            start = time.perf_counter()
            state = WorkingState(ReadState(self._store))
            effects = contract.apply(state, USER, PayloadType.REQUEST, body=request, at=self._at, index=self._tree.size)
            if any(outcome.value != "ACCEPTED" for outcome in effects.outcomes):
                raise RuntimeError(f"the request was refused: {effects.reasons}")
            self._write(dict(effects.writes))
            seconds.append(time.perf_counter() - start)
        return milliseconds(name, seconds, aim=aim)

    def _listing(self, request: Request) -> tuple[float, Listing]:
        index = self._tree.size
        record = RequestRecord(
            request=f"r{index}", asked=request, index=index, asked_at=self._at, expires_at=self._at + 900_000, offers=0, why_nots=0
        )
        start = time.perf_counter()
        listing = make_listing(WorkingState(ReadState(self._store)), "alice", record)
        return time.perf_counter() - start, listing

    def _tell(self) -> None:
        """A second passes."""
        self._at += 1000
        self._round += 1
        each = 1 + self._clusters // 60
        writes: dict[str, bytes] = {}
        for number in range(self._round * each, (self._round + 1) * each):
            writes |= self._state(number % self._clusters)
        self._write(writes)

    def _state(self, number: int) -> dict[str, bytes]:
        moment = self._at.to_bytes(8, "big")
        return {f"clusterstate/c{number}": moment + encode_word(state_of(number, self._at)), f"heard/c{number}": moment}

    def _write(self, writes: dict[str, Any]) -> None:
        self._store.append(dataclasses.replace(next_group(self._tree, 1), writes=writes))


def place(number: int) -> dict[str, Any]:
    """Somewhere on Earth."""
    return {
        "latitude_microdegrees": number * 7_919_993 % 180_000_001 - 90_000_000,
        "longitude_microdegrees": number * 104_729_999 % 360_000_001 - 180_000_000,
    }


def member(role: Role) -> bytes:
    """An approved member's record."""
    return encode_stored(StoredMember(role=role, vetting=Vetting.APPROVED, revoked=False, attributes=(), enrolled_at=START_AT))


def registered(number: int) -> dict[str, bytes]:
    """A cluster and its provider; every other one names its queues, every fourth has another set of programs."""
    name, named = f"c{number}", number % 2 == 0
    first = PROGRAMS * (number % 4 != 0)
    registration = Registration(
        cluster=name,
        login_address=f"login.{name}.example",
        programs=tuple(Program(name=f"prog{first // 2 + program}", version="1") for program in range(PROGRAMS)),
        rates=Rates(cpu_core_per_hour=10_000 + number * 37 % 40_000, gpu_core_per_hour=900_000),
        queues=tuple(QueueOffer(name=f"queue{queue}", gpu_type="a100", gpus=4) for queue in range(QUEUES * named)),
        **place(number),
    )
    cluster = StoredCluster(provider=f"org{number}", vetting=Vetting.APPROVED, registered_at=START_AT)
    return {
        f"member/org{number}": member(Role.PROVIDER),
        f"cluster/{name}": encode_stored(cluster),
        f"registration/{name}": encode_word(registration),
        f"priceversion/{name}": (1).to_bytes(8, "big"),
    }


def state_of(number: int, at: int, *, cluster: str = "") -> ClusterState:
    """A sample: half of the clusters are full, half of those have jobs that wait."""
    name = cluster or f"c{number}"
    full = number % 2 == 1
    queues = tuple(
        Queue(
            cluster=name,
            name=f"queue{queue}",
            open=True,
            nodes=tuple(f"node{queue}-{node}" for node in range(NODES)),
            cores_total=1024,
            cores_used=1024 if full else 512,
            cores_available=0 if full else 512,
            gpus_total=64,
            gpus_used=32,
            jobs_queued=5 if number % 4 == 1 else 0,
            jobs_running=20,
            max_cores=1024,
            max_walltime_seconds=24 * HOUR * (queue + 1),
        )
        for queue in range(QUEUES)
    )
    return ClusterState(
        cluster=name,
        observed_at=at,
        queues=queues,
        nodes_total=QUEUES * NODES,
        nodes_up=QUEUES * NODES,
        cores_total=QUEUES * 1024,
        cores_used=QUEUES * 512,
        utilization=5000,
        scheduler=SchedulerInfo(name="slurm", version="23.11.4", reachable=True),
        frontend=Frontend(load_hundredths=120, memory_used_bytes=1 << 33),
    )
