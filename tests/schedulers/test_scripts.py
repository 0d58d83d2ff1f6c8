# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Scripts that misbehave (Q2): gone in timeout + 3 s with everything they started, and nobody else disturbed."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable, SchedulerError, ScriptTimedOut
from hpcbridge.schedulers import scripts
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from tests import fake_scheduler
from tests.fake_scheduler import FakeScheduler

TIMEOUT = 0.4


@pytest.fixture
def fake(tmp_path: Path) -> FakeScheduler:
    return FakeScheduler(tmp_path)


def _runner(fake: FakeScheduler, *, timeout: float = TIMEOUT, max_bytes: int = 1 << 20) -> ScriptRunner:
    return ScriptRunner(
        fake.directory, scheduler=fake_scheduler.SCHEDULER, environment={"SITE": "here"}, timeout_seconds=timeout, max_bytes=max_bytes
    )


def test_a_report_is_what_was_printed(fake: FakeScheduler) -> None:
    path = fake.answers("jobs", b"\xff\x00raw\n", stderr=b"hm\n", exit_status=3)
    report = _runner(fake, timeout=10).run("jobs", ["1", "4_2", "19+1", "25_[2-9%2]"])
    assert (report.stdout, report.stderr, report.exit_status) == (b"\xff\x00raw\n", b"hm\n", 3)
    assert report.argv == (str(path), "1", "4_2", "19+1", "25_[2-9%2]")
    assert fake.calls() == ["jobs 1 4_2 19+1 25_[2-9%2]"]


def test_the_environment_is_clean(fake: FakeScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    fake.script("jobs", "env")
    names = {line.partition(b"=")[0] for line in _runner(fake, timeout=10).run("jobs").stdout.splitlines()}
    assert names <= {b"PATH", b"LC_ALL", b"TZ", b"SITE", b"PWD", b"_", b"SHLVL", b"OLDPWD", b"HPCBRIDGE_RUN"}


@pytest.mark.parametrize("count", [2, pytest.param(25, marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "body", [fake_scheduler.HANG, fake_scheduler.IGNORE_TERM, fake_scheduler.LEAVE_STUBBORN_CHILD, fake_scheduler.COMPLAIN_FOR_EVER]
)
def test_a_script_that_does_not_end_is_gone_in_time_and_so_are_its_children(fake: FakeScheduler, body: str, count: int) -> None:
    fake.script("jobs", body)
    for _ in range(count):
        started = time.monotonic()
        with pytest.raises(ScriptTimedOut):
            _runner(fake).run("jobs")
        assert time.monotonic() - started < TIMEOUT + 3
        assert _gone(fake, "jobs")


def test_without_a_group_of_its_own_a_child_would_stay(fake: FakeScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the defence is the signal to the whole group."""
    fake.script("jobs", fake_scheduler.LEAVE_STUBBORN_CHILD)
    real = scripts._signal_group
    monkeypatch.setattr(scripts, "_signal_group", os.kill)
    with pytest.raises((ScriptTimedOut, ProcessLookupError)):
        _runner(fake).run("jobs")
    left = fake.group_members("jobs")
    assert left
    monkeypatch.undo()
    real(int((fake.directory / "jobs.pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("count", [2, pytest.param(25, marks=pytest.mark.full)])
def test_a_script_that_prints_for_ever_is_stopped_at_the_cap(fake: FakeScheduler, count: int) -> None:
    fake.script("jobs", fake_scheduler.PRINT_FOR_EVER)
    for _ in range(count):
        with pytest.raises(SchedulerError, match="more than 1048576 bytes"):
            _runner(fake, timeout=10).run("jobs")
        assert _gone(fake, "jobs")


@pytest.mark.parametrize("count", [1, pytest.param(25, marks=pytest.mark.full)])
def test_a_daemon_that_left_the_group_is_gone_too(fake: FakeScheduler, count: int) -> None:
    for _ in range(count):
        fake.script("jobs", fake_scheduler.LEAVE_DAEMON)
        started = time.monotonic()
        with pytest.raises(ScriptTimedOut):
            _runner(fake).run("jobs")
        assert _daemon_gone(fake, "jobs")
        assert time.monotonic() - started < TIMEOUT + 3
        fake.script("jobs", fake_scheduler.LEAVE_DAEMON_WITH_PIPE)
        assert _runner(fake, timeout=20).run("jobs").stdout == b"answered\n"
        assert _daemon_gone(fake, "jobs")


def test_without_its_mark_a_daemon_would_stay(fake: FakeScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a session of its own keeps it from the signal to the group."""
    fake.script("jobs", fake_scheduler.LEAVE_DAEMON)
    monkeypatch.setattr(scripts, "_end_marked", lambda _: None)
    with pytest.raises(ScriptTimedOut):
        _runner(fake).run("jobs")
    left = fake.daemon("jobs")
    assert left is not None
    os.killpg(left, signal.SIGKILL)


def test_processor_time_of_the_script_and_its_children_is_measured(fake: FakeScheduler) -> None:
    fake.script("jobs", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'")
    fake.script("nodes", "sleep 0.3")
    busy, idle = _runner(fake, timeout=20).run("jobs").cpu_ms, _runner(fake, timeout=20).run("nodes").cpu_ms
    assert busy is not None
    assert idle is not None
    assert busy > idle + 20
    assert idle < 200


def test_a_large_report_is_held_once(fake: FakeScheduler) -> None:
    size = 30 << 20
    fake.script("jobs", f"exec head -c {size} /dev/zero")
    tracemalloc.start()
    try:
        assert len(_runner(fake, timeout=60, max_bytes=1 << 28).run("jobs").stdout) == size
        assert tracemalloc.get_traced_memory()[1] < 1.3 * size
    finally:
        tracemalloc.stop()


def test_a_child_left_behind_delays_the_answer_only_shortly(fake: FakeScheduler) -> None:
    fake.script("jobs", fake_scheduler.LEAVE_CHILD)
    started = time.monotonic()
    assert _runner(fake, timeout=20).run("jobs").stdout == b"answered\n"
    assert time.monotonic() - started < 5
    assert _gone(fake, "jobs")


def test_stopping_interrupts(fake: FakeScheduler) -> None:
    fake.script("jobs", fake_scheduler.HANG)
    stopping = threading.Event()
    threading.Timer(0.2, stopping.set).start()
    started = time.monotonic()
    with pytest.raises(SchedulerError, match="stopped"):
        _runner(fake, timeout=60).run("jobs", stopping=stopping)
    assert time.monotonic() - started < 3


def test_one_query_runs_once_at_a_time_and_others_are_not_disturbed(fake: FakeScheduler) -> None:
    fake.script("jobs", "sleep 0.8; echo slow")
    fake.script("nodes", "echo quick")
    runner = _runner(fake, timeout=10)
    answers: list[bytes] = []
    slow = threading.Thread(target=lambda: answers.append(runner.run("jobs").stdout))
    slow.start()
    while not (fake.directory / "jobs.pid").exists():
        time.sleep(0.01)
    with pytest.raises(SchedulerError, match="not over"):
        runner.run("jobs")
    assert runner.run("nodes").stdout == b"quick\n"
    slow.join()
    assert answers == [b"slow\n"]
    assert runner.run("jobs").stdout == b"slow\n"


def test_missing_and_unusable_scripts_name_the_file(fake: FakeScheduler) -> None:
    with pytest.raises(SchedulerError, match="fake/jobs: no such script"):
        _runner(fake).run("jobs")
    fake.script("jobs", "exit 0").chmod(0o644)
    with pytest.raises(SchedulerError, match="cannot be run"):
        _runner(fake).run("jobs")


@pytest.mark.parametrize("argument", ["", "-j", "1;reboot", "$(id)", "1 2", "../x", "1\n2", "x" * 200])
def test_arguments_are_ids_or_refused(fake: FakeScheduler, argument: str) -> None:
    fake.script("ended", "exit 0")
    with pytest.raises(SchedulerError, match="not an argument"):
        _runner(fake).run("ended", [argument])
    assert fake.calls() == []


@pytest.mark.parametrize("body", [fake_scheduler.GARBAGE, fake_scheduler.NOTHING])
def test_garbage_and_nothing_are_no_empty_cluster(fake: FakeScheduler, body: str) -> None:
    fake.script("jobs", body)
    report = _runner(fake, timeout=10).run("jobs")
    with pytest.raises(ReportUnreadable):
        SlurmScheduler("c1").jobs(report)


def _gone(fake: FakeScheduler, query: str) -> bool:
    return _is_soon(lambda: not fake.group_members(query))


def _daemon_gone(fake: FakeScheduler, query: str) -> bool:
    return _is_soon(lambda: fake.daemon(query) is None)


def _is_soon(condition: Callable[[], bool]) -> bool:
    """A process that was killed takes a moment to go."""
    deadline = time.monotonic() + 2
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
