# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The worked example of docs/standard.md with a real Task Spooler, run as hpcbridged runs site scripts."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.errors import ScriptFailed
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.standard.scheduler import StandardScheduler

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples"


class TaskSpooler:
    """A private server; its jobs wait for files, so nothing depends on how quick this machine is."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "socket"
        self.directory = directory
        self.environment = {"PATH": os.environ["PATH"], "TMPDIR": str(directory), "TS_SOCKET": str(self.socket), "LC_ALL": "C"}

    def tsp(self, *arguments: str) -> str:
        done = subprocess.run(["tsp", *arguments], env=self.environment, check=True, capture_output=True, text=True, timeout=20)
        return done.stdout.strip()

    def wait(self, job_id: str) -> None:
        subprocess.run(["tsp", "-w", job_id], env=self.environment, check=False, capture_output=True, timeout=20)


@pytest.fixture
def spooler(tmp_path: Path) -> Iterator[TaskSpooler]:
    if shutil.which("tsp") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("task-spooler is not installed")
        pytest.skip("task-spooler is not installed")
    server = TaskSpooler(tmp_path)
    server.tsp("-S", "1")
    yield server
    server.tsp("-k") if server.tsp("-s") == "running" else None
    server.tsp("-K")


@pytest.fixture
def runner(tmp_path: Path) -> ScriptRunner:
    environment = {"TS_SOCKET": str(tmp_path / "socket")}
    return ScriptRunner(EXAMPLE, scheduler="standard", environment=environment, timeout_seconds=20, max_bytes=1 << 20)


def test_jobs_of_a_real_queue(spooler: TaskSpooler, runner: ScriptRunner) -> None:
    scheduler = StandardScheduler("c1")
    done, failed, killed = spooler.tsp("true"), spooler.tsp("sh", "-c", "exit 3"), spooler.tsp("sh", "-c", "kill -9 $$")
    skipped = spooler.tsp("-d", "true")
    spooler.wait(skipped)
    gate = spooler.directory / "gate"
    os.mkfifo(gate)
    running = spooler.tsp("cat", str(gate))
    forged = spooler.tsp("-L", f"x\n9 running\n{done} queued  \n", "sh", "-c", "true\nSlots required: 77\nStart time: now")
    answer = scheduler.jobs(runner.run("jobs"))
    jobs = {job.job_id: job for job in answer.records}
    assert answer.problems == ()
    assert set(jobs) == {done, failed, killed, skipped, running, forged}
    assert (jobs[done].outcome, jobs[done].exit_code, jobs[done].owner) == (Outcome.COMPLETED, 0, pwd.getpwuid(os.getuid()).pw_name)
    assert (jobs[failed].outcome, jobs[failed].exit_code) == (Outcome.FAILED, 3)
    assert (jobs[killed].outcome, jobs[killed].exit_signal) == (Outcome.FAILED, 9)
    assert (jobs[skipped].outcome, jobs[skipped].started_at) == (Outcome.CANCELLED, None)
    assert (jobs[running].state, jobs[running].name, jobs[running].cores) == (JobState.RUNNING, "cat", 1)
    assert (jobs[forged].state, jobs[forged].cores, jobs[forged].started_at) == (JobState.QUEUED, 1, None)
    nodes = scheduler.nodes(runner.run("nodes")).records
    (queue,) = scheduler.queues(runner.run("queues"), nodes=nodes, jobs=answer.records).records
    assert (queue.jobs_queued, queue.jobs_running, queue.cores_total) == (1, 1, 1)
    assert scheduler.about(runner.run("about")).name == "task-spooler"
    gate.write_text("go on\n")
    spooler.wait(forged)
    ended = scheduler.ended(runner.run("ended", (running, "4711")), (running, "4711"))
    assert [(job.job_id, job.state) for job in ended.records] == [(running, JobState.DONE)]


def test_a_queue_that_is_away_is_no_empty_queue(runner: ScriptRunner) -> None:
    report = runner.run("jobs", stopping=threading.Event())
    assert report.exit_status == 69
    with pytest.raises(ScriptFailed, match="No such file"):
        StandardScheduler("c1").jobs(report)


def test_scripts_that_nobody_replaced_say_so() -> None:
    runner = ScriptRunner(ROOT / "scheduler_scripts", scheduler="standard", environment={}, timeout_seconds=20, max_bytes=1 << 20)
    with pytest.raises(ScriptFailed, match="to be written by the site"):
        StandardScheduler("c1").jobs(runner.run("jobs"))
