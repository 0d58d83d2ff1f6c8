# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A script that misbehaves in a running agent (Q2): the other workers go on, the breaker opens, and nothing is left running."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.monitor import Monitor
from hpcbridge.agent.observations import Observations
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.worker import Phase, Worker
from hpcbridge.model.clusters import Frontend
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from tests import fake_scheduler
from tests.bridge import wait_until
from tests.scripted_slurm import Line, ScriptedSlurm

TIMEOUT = 0.4
OFTEN = Pace(interval_seconds=0.1, stretch=0, first_pause_seconds=0.05, longest_pause_seconds=0.1, breaks_after=3)
MISBEHAVIOUR = {
    "hangs": fake_scheduler.HANG,
    "ignores TERM": fake_scheduler.IGNORE_TERM,
    "leaves a stubborn child": fake_scheduler.LEAVE_STUBBORN_CHILD,
    "leaves a daemon": fake_scheduler.LEAVE_DAEMON,
    "prints for ever": fake_scheduler.PRINT_FOR_EVER,
    "complains for ever": fake_scheduler.COMPLAIN_FOR_EVER,
    "prints garbage": fake_scheduler.GARBAGE,
    "prints nothing": fake_scheduler.NOTHING,
}


class Running:
    """Workers for jobs and nodes over a scripted Slurm, in this process."""

    def __init__(self, directory: Path) -> None:
        self.slurm = ScriptedSlurm(directory)
        self.slurm.jobs([Line(job_id="1")])
        self.stopping = threading.Event()
        self.observations = Observations()
        self.spool = Spool(directory / "spool.db", cluster="c1", quota_bytes=1 << 28, keep_ms=1000)
        memory = Memory(
            self.spool,
            Publication(mode=PublishMode.FULL, owners=frozenset()),
            patience=Patience(grace_ms=60_000),
            random_bytes=secrets.token_bytes,
        )
        self.monitor = Monitor(
            ScriptRunner(self.slurm.scripts, scheduler="slurm", environment={}, timeout_seconds=TIMEOUT, max_bytes=1 << 20),
            SlurmScheduler("c1"),
            memory,
            self.spool,
            self.observations,
            cluster="c1",
            scheduler_name="slurm",
            stopping=self.stopping,
            clock=lambda: time.time_ns() // 1_000_000,
            read_frontend=lambda: Frontend(load_hundredths=None, memory_used_bytes=None),
            stored=lambda: None,
        )
        self.nodes_asked: list[float] = []
        self.workers: list[Worker] = []

    def start(self, step: Callable[[], None]) -> Worker:
        worker = Worker(
            f"w{len(self.workers)}",
            step,
            pace=OFTEN,
            stopping=self.stopping,
            clock=time.monotonic,
            jitter=lambda: 0.0,
            give_up=lambda *_: None,
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def ask_nodes(self) -> None:
        self.monitor.ask_nodes()
        self.nodes_asked.append(time.monotonic())

    def longest_gap(self) -> float:
        """Between two answers about the nodes, so far."""
        moments = [*self.nodes_asked, time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def close(self) -> None:
        self.stopping.set()
        for worker in self.workers:
            worker.wake()
        assert all(worker.join(10) for worker in self.workers)
        self.spool.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


def processes_of(directory: Path) -> list[str]:
    """Command lines of processes that a script in this folder began."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment, line = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"SITE=" + str(directory).encode() in environment.split(b"\0"):
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.parametrize("times", [3, pytest.param(25, marks=pytest.mark.full)])
@pytest.mark.parametrize("body", MISBEHAVIOUR.values(), ids=MISBEHAVIOUR.keys())
def test_others_are_not_disturbed_and_the_breaker_opens(running: Running, body: str, times: int, tmp_path: Path) -> None:
    running.slurm.script("jobs", f'export SITE="{tmp_path}"\n{body}')
    running.start(running.ask_nodes)
    wait_until(lambda: len(running.nodes_asked) > 1, what="nodes to be asked")
    jobs = running.start(running.monitor.ask_jobs)
    wait_until(lambda: jobs.status().failures >= times, what=f"{times} failures", seconds=times * (TIMEOUT + 3))
    assert jobs.status().phase in (Phase.BROKEN, Phase.WORKING)
    assert running.longest_gap() < 2
    failing = running.observations.snapshot
    assert failing.reachable is False
    assert failing.jobs is None
    (query,) = [query for query in running.observations.queries() if query.name == "jobs"]
    assert query.failures >= times
    running.slurm.works("jobs")
    wait_until(lambda: jobs.status().failures == 0, what="the breaker to close")
    assert [job.job_id for job in running.observations.snapshot.jobs or ()] == ["1"]
    wait_until(lambda: not processes_of(tmp_path), what="nothing to be left", seconds=TIMEOUT + 3)


def test_asked_by_one_worker_nodes_would_be_disturbed(running: Running) -> None:
    """Negative control: each question has a worker of its own."""

    def both() -> None:
        running.monitor.ask_jobs()
        running.ask_nodes()

    worker = running.start(both)
    wait_until(lambda: len(running.nodes_asked) > 1, what="nodes to be asked")
    running.slurm.script("jobs", fake_scheduler.IGNORE_TERM)
    wait_until(lambda: worker.status().failures >= 3, what="3 failures", seconds=20)
    assert running.longest_gap() > 2
