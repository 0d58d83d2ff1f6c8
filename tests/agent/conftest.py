# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A ledger for the whole room, and agents without a scheduler: spool, memory and gateway as the daemon puts them together."""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from hpcbridge.agent.gateway import Gateway
from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.worker import Worker
from hpcbridge.errors import HpcbridgeError
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.wire.client import Endpoint, LedgerClient
from hpcbridge.wire.convert import from_message
from hpcbridge.wire.generated import ledger_pb2
from tests.ledger_simulator import LedgerSimulator

AT = 1_795_349_592_000
_numbers = itertools.count(1)


def now() -> int:
    return time.time_ns() // 1_000_000


def make_job(cluster: str, job_id: str, state: JobState = JobState.RUNNING, **fields: object) -> Job:
    outcome = Outcome.COMPLETED if state is JobState.DONE else None
    facts: dict[str, object] = {"submitted_at": AT, "owner": "alice", "outcome": outcome, "native_state": state.value, "restarts": 0}
    return Job(cluster=cluster, job_id=job_id, state=state, **{**facts, **fields})  # type: ignore[arg-type]


class Agent:
    """Spool, memory and a gateway in a worker thread; `start` again after `stop` opens the same spool file."""

    def __init__(self, ledger: LedgerSimulator, identity: KeyDirectory, directory: Path, cluster: str) -> None:
        self.ledger = ledger
        self.identity = identity
        self.directory = directory
        self.cluster = cluster
        self.error: HpcbridgeError | None = None
        self.spool: Spool
        self.memory: Memory
        self.gateway: Gateway
        self.client: LedgerClient
        self._worker: Worker | None = None
        self._stopping = threading.Event()
        self.mode = PublishMode.FULL
        self.open()

    @property
    def path(self) -> Path:
        return self.directory / "spool.db"

    def open(self) -> None:
        """Everything but the thread."""
        self.directory.mkdir(exist_ok=True)
        self._stopping = threading.Event()
        self.error = None
        self.spool = Spool(self.path, cluster=self.cluster, quota_bytes=1 << 28, keep_ms=604_800_000)
        self.memory = Memory(
            self.spool,
            Publication(mode=self.mode, owners=frozenset()),
            patience=Patience(grace_ms=60_000),
            random_bytes=secrets.token_bytes,
            stored=self._wake,
        )
        self.client = LedgerClient([Endpoint(self.ledger.address, "localhost")], self.identity, deadline_seconds=3)
        self.gateway = Gateway(
            self.spool,
            self.memory,
            self.client,
            self.identity,
            cluster=self.cluster,
            stopping=self._stopping,
            clock=now,
            random_bytes=secrets.token_bytes,
            evidence=self.directory,
        )

    def start(self) -> None:
        pace = Pace(interval_seconds=0.01, stretch=0, first_pause_seconds=0.1, longest_pause_seconds=0.3, breaks_after=1_000_000)
        self._worker = Worker(
            "gateway",
            self.gateway.run,
            pace=pace,
            stopping=self._stopping,
            clock=time.monotonic,
            jitter=random.random,
            give_up=self._give_up,
        )
        self._worker.start()

    def stop(self) -> None:
        self._stopping.set()
        self.gateway.wake()
        if self._worker is not None:
            self._worker.wake()
            assert self._worker.join(10)
            self._worker = None
        self.client.close()
        self.spool.close()

    def see(self, jobs: Iterable[Job]) -> None:
        self.memory.observe_jobs(list(jobs), unreadable=(), at=now())

    def job(self, job_id: str, state: JobState = JobState.RUNNING, **fields: object) -> Job:
        return make_job(self.cluster, job_id, state, **fields)

    def drain(self, seconds: float = 15) -> None:
        """Waits until nothing waits and nothing is on its way."""

        def is_drained() -> bool:
            figures = self.spool.figures()
            return figures.waiting == 0 and figures.in_flight == 0

        self.until(is_drained, seconds=seconds)

    def until(self, condition: Callable[[], bool], *, seconds: float = 15) -> None:
        pause = threading.Event()
        for _ in range(int(seconds / 0.02)):
            if condition():
                return
            pause.wait(0.02)
        raise TimeoutError(f"{self.spool.figures()} {self.gateway.status} {self.error}")

    def on_ledger(self) -> dict[tuple[str, int], Job]:
        """Every job of the cluster as the ledger has it."""
        jobs: dict[tuple[str, int], Job] = {}
        after = ""
        while True:
            reply = self.client.call("ListJobs", ledger_pb2.ListJobsRequest(cluster=self.cluster, after=after))
            for message in reply.jobs:
                job = from_message(Job, message)
                jobs[job.job_id, job.incarnation or 0] = job
            if not reply.next:
                return jobs
            after = reply.next

    def _wake(self) -> None:
        self.gateway.wake()

    def _give_up(self, _: Worker, error: HpcbridgeError) -> None:
        self.error = error


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerSimulator]:
    with LedgerSimulator(tmp_path_factory.mktemp("ledger"), parameters=(("epochs_per_day", 4),)) as simulator:
        yield simulator


@pytest.fixture
def new_agent(ledger: LedgerSimulator, tmp_path: Path) -> Iterator[Callable[[], Agent]]:
    """Agents of fresh providers, each with an approved cluster."""
    agents: list[Agent] = []

    def make() -> Agent:
        name = f"c{next(_numbers)}"
        ledger.provider(name, cluster=name)
        identity = ledger.enrol(Role.PROVIDER, name, "frontend")
        agents.append(Agent(ledger, identity, tmp_path / name, name))
        return agents[-1]

    yield make
    for agent in agents:
        agent.stop()


@pytest.fixture
def agent(new_agent: Callable[[], Agent]) -> Agent:
    return new_agent()
