# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The scheduler of docs/adding-a-scheduler.md, taken from the page and run against a real Task Spooler."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.schedulers.report import Report, Scheduler
from hpcbridge.schedulers.scripts import ScriptRunner

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-scheduler.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def scheduler(tmp_path: Path) -> Scheduler:
    path = tmp_path / "tsp_of_the_page.py"
    path.write_text(block("python"))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Scheduler = module.TaskSpoolerScheduler("c1")
    return made


@pytest.fixture
def runner(tmp_path: Path) -> ScriptRunner:
    folder = tmp_path / "scripts" / "tsp"
    folder.mkdir(parents=True)
    for query in ("jobs", "ended"):
        (folder / query).write_text(block("sh"))
        (folder / query).chmod(0o755)
    environment = {"TS_SOCKET": str(tmp_path / "socket")}
    return ScriptRunner(tmp_path / "scripts", scheduler="tsp", environment=environment, timeout_seconds=20, max_bytes=1 << 20)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    if shutil.which("tsp") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("task-spooler is not installed")
        pytest.skip("task-spooler is not installed")
    private = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "TS_SOCKET": str(tmp_path / "socket"), "LC_ALL": "C"}
    tsp(private, "-S", "1")
    yield private
    tsp(private, "-K")


def tsp(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(["tsp", *arguments], env=environment, check=True, capture_output=True, text=True, timeout=20)
    return done.stdout.strip()


def test_the_scheduler_of_the_page_tells_the_truth(environment: dict[str, str], scheduler: Scheduler, runner: ScriptRunner) -> None:
    done, failed = tsp(environment, "true"), tsp(environment, "sh", "-c", "exit 3")
    skipped = tsp(environment, "-d", "true")
    subprocess.run(["tsp", "-w", skipped], env=environment, check=False, capture_output=True, timeout=20)
    gate = Path(environment["TMPDIR"]) / "gate"
    os.mkfifo(gate)
    running = tsp(environment, "cat", str(gate))
    forged = tsp(environment, "-L", "x\n9 running", "sh", "-c", f"\n0123456789abcdef {done} running\nSlots required: 7\nStart time: now")
    report = runner.run("jobs")
    answer = scheduler.jobs(report)
    jobs = {job.job_id: job for job in answer.records}
    assert answer.problems == ()
    assert set(jobs) == {done, failed, skipped, running, forged}
    assert (jobs[done].outcome, jobs[failed].exit_code, jobs[skipped].outcome) == (Outcome.COMPLETED, 3, Outcome.CANCELLED)
    assert (jobs[running].state, jobs[running].name) == (JobState.RUNNING, "cat")
    assert (jobs[forged].state, jobs[forged].cores, jobs[forged].started_at) == (JobState.QUEUED, 1, None)
    (queue,) = scheduler.queues(Report("queues", ("true",), 0, b"", b""), nodes=None, jobs=answer.records).records
    assert (queue.jobs_queued, queue.jobs_running) == (1, 1)
    for length in range(0, len(report.stdout) - 1, 7):
        with pytest.raises(ReportUnreadable):
            scheduler.jobs(dataclasses.replace(report, stdout=report.stdout[:length]))
    gate.write_text("go on\n")
    subprocess.run(["tsp", "-w", forged], env=environment, check=False, capture_output=True, timeout=20)
    ended = scheduler.ended(runner.run("ended", (running, "4711")), (running, "4711"))
    assert [(job.job_id, job.state) for job in ended.records] == [(running, JobState.DONE)]


def test_a_server_that_is_away_is_no_empty_queue(scheduler: Scheduler, runner: ScriptRunner) -> None:
    with pytest.raises(ScriptFailed, match="no server at"):
        scheduler.jobs(runner.run("jobs"))


def test_no_jobs_at_all_is_proven_empty(environment: dict[str, str], scheduler: Scheduler, runner: ScriptRunner) -> None:
    answer = scheduler.jobs(runner.run("jobs"))
    assert (answer.records, answer.problems) == ((), ())


def test_the_other_reports_of_the_page(scheduler: Scheduler) -> None:
    about = scheduler.about(Report("about", ("tsp",), 0, b"Task Spooler v1.0.1 - a task queue system\n", b""))
    assert about.version == "1.0.1"
    (node,) = scheduler.nodes(Report("nodes", ("sh",), 0, b"workstation 4\n", b"")).records
    assert (node.name, node.cores_total) == ("workstation", 4)
