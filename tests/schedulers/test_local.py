# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""This host as a cluster, with real processes: what is said of them, how their ends are found, and what never leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hpcbridge.agent.changes import JobMemory, MissingJob, SeenJob, by_key, compare_jobs
from hpcbridge.agent.vanished import Patience, settle
from hpcbridge.errors import SchedulerError, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.schedulers.local import exits as local_exits
from hpcbridge.schedulers.local import jobs as local_jobs
from hpcbridge.schedulers.local.exits import Exits
from hpcbridge.schedulers.local.jobs import read_stat, zombie_status
from hpcbridge.schedulers.local.scheduler import LocalScheduler, LocalSource
from tests.bridge import wait_until

ME = pwd.getpwuid(os.getuid()).pw_name
FAR = 40_000_000


def clock() -> int:
    return int(time.time() * 1000)


class Host:
    """A source and its parser; starts sessions and ends them all."""

    def __init__(self, *owners: str, clock: Callable[[], int] = clock) -> None:
        self.source = LocalSource(owners=owners or (ME,), clock=clock)
        self.scheduler = LocalScheduler("c1")
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def shell(self, end: str) -> subprocess.Popen[bytes]:
        """A session that ends as told once `release` lets it."""
        return self.start("sh", "-c", f"read line; {end}")

    def release(self, process: subprocess.Popen[bytes], *, reap: bool = True) -> None:
        assert process.stdin is not None
        process.stdin.write(b"go on\n")
        process.stdin.close()
        if reap:
            process.wait(20)

    def jobs(self) -> dict[str, Job]:
        answer = self.scheduler.jobs(self.source.run("jobs"))
        assert answer.problems == ()
        return {job.job_id: job for job in answer.records}

    def job(self, process: subprocess.Popen[bytes]) -> Job | None:
        return self.jobs().get(str(process.pid))

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
        self.source.close()


@pytest.fixture
def host() -> Iterator[Host]:
    opened = Host()
    yield opened
    opened.close()


def tells_exits() -> bool:
    """Linux 6.15 and later."""
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= (6, 15)


def test_a_session_is_a_running_job(host: Host) -> None:
    process = host.shell("exit 0")
    job = host.job(process)
    assert job is not None
    assert (job.state, job.outcome, job.owner, job.queue, job.name) == (JobState.RUNNING, None, ME, "local", "sh")
    assert job.nodes == (os.uname().nodename,)
    assert job.submitted_at == job.started_at == round(psutil.Process(process.pid).create_time() * 1000)
    assert (job.gpus, job.memory_bytes, job.exit_code, job.restarts) == (None, None, None, 0)


def test_arguments_never_leave(host: Host) -> None:
    host.start("sh", "-c", "read line # passcode-4711")
    assert b"passcode" not in host.source.run("jobs").stdout


def test_only_leaders_of_watched_owners_are_jobs_and_never_ourselves(host: Host) -> None:
    parent = host.start("sh", "-c", "sleep 60 & wait")
    wait_until(lambda: bool(psutil.Process(parent.pid).children()), what="a child")
    child = psutil.Process(parent.pid).children()[0]
    assert str(parent.pid) in host.jobs()
    assert {str(child.pid), str(os.getpid())} & set(host.jobs()) == set()
    child.kill()
    other = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_uid not in {os.getuid(), 0} and entry.pw_name != ME)
    stranger = Host(other)
    try:
        assert str(parent.pid) not in stranger.jobs()
        assert f'"owner": "{ME}"'.encode() not in stranger.source.run("jobs").stdout
    finally:
        stranger.close()


def test_a_stopped_session_is_suspended(host: Host) -> None:
    process = host.shell("exit 0")
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: (job := host.job(process)) is not None and job.state is JobState.SUSPENDED, what="suspended")
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: (job := host.job(process)) is not None and job.state is JobState.RUNNING, what="running")


@pytest.mark.parametrize(
    ("end", "outcome", "code", "number"),
    [("exit 0", Outcome.COMPLETED, 0, None), ("exit 3", Outcome.FAILED, 3, None), ("kill -9 $$", Outcome.FAILED, None, 9)],
)
def test_an_end_is_told_with_its_status_where_the_kernel_tells(
    host: Host, end: str, outcome: Outcome, code: int | None, number: int | None
) -> None:
    process = host.shell(end)
    assert host.job(process) is not None
    before = clock()
    host.release(process)
    job = host.job(process)
    assert job is not None
    if tells_exits():
        assert (job.outcome, job.exit_code, job.exit_signal) == (outcome, code, number)
    else:
        assert (job.state, job.outcome) == (JobState.UNDETERMINED, None)
    assert job.ended_at is not None
    assert before - 1000 <= job.ended_at <= clock()


def test_a_kernel_that_does_not_tell_leaves_the_end_undetermined(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_exits, "_GET_INFO", 0)
    process = host.shell("exit 0")
    host.jobs()
    host.release(process)
    job = host.job(process)
    assert job is not None
    assert (job.state, job.outcome, job.exit_code, job.native_state) == (JobState.UNDETERMINED, None, None, "")
    assert job.reason == local_jobs.NO_STATUS
    assert job.ended_at is not None


def test_without_handles_an_end_is_noticed_without_its_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_exits, "MAX_WATCHED", 0)
    process = host.shell("exit 0")
    host.jobs()
    host.release(process)
    job = host.job(process)
    assert job is not None
    assert (job.state, job.ended_at, job.wall_seconds) == (JobState.UNDETERMINED, None, None)


def test_a_zombie_has_ended_once_its_status_can_be_read(host: Host) -> None:
    process = host.shell("exit 5")
    host.jobs()
    host.release(process, reap=False)
    wait_until(lambda: (stat := read_stat(process.pid)) is not None and stat.letter == "Z", what="a zombie")
    job = host.job(process)
    assert job is not None
    assert (job.state, job.exit_code) == (JobState.FAILED, 5)


def test_a_hidden_zero_is_not_taken_for_success(host: Host) -> None:
    process = host.shell("exit 0")
    host.release(process, reap=False)
    wait_until(lambda: (stat := read_stat(process.pid)) is not None and stat.letter == "Z", what="a zombie")
    stat = read_stat(process.pid)
    assert stat is not None
    assert zombie_status(dataclasses.replace(stat, pid=FAR)) is None
    assert zombie_status(stat) in ({0} if os.geteuid() == 0 else {0, None})


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user, which only root can")
def test_an_unprivileged_user_learns_no_zero_from_a_stranger(tmp_path: Path) -> None:
    """In a process of its own, because what a process gave up it does not get back."""
    program = tmp_path / "look.py"
    program.write_text(
        "import os, subprocess, sys, time\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from hpcbridge.schedulers.local.jobs import read_stat, zombie_status\n"
        "child = subprocess.Popen(['true'], start_new_session=True)\n"
        "while read_stat(child.pid).letter != 'Z': time.sleep(0.01)\n"
        "assert zombie_status(read_stat(child.pid)) == 0\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "assert read_stat(child.pid).wait_status == 0\n"
        "assert zombie_status(read_stat(child.pid)) is None\n"
    )
    subprocess.run([sys.executable, str(program)], check=True, timeout=30)


def test_ended_jobs_leave_the_list_and_stay_in_ended(host: Host) -> None:
    ahead = 0
    late = Host(clock=lambda: clock() + ahead)
    try:
        process = late.shell("exit 0")
        late.jobs()
        late.release(process)
        assert late.job(process) is not None
        ahead = 601_000
        assert late.job(process) is None
        answer = late.scheduler.ended(late.source.run("ended", (str(process.pid), "40000000")), (str(process.pid), "40000000"))
        assert [job.job_id for job in answer.records] == [str(process.pid)]
    finally:
        late.close()


def test_the_agent_sees_run_and_end(host: Host) -> None:
    process = host.shell("exit 0")
    key = str(process.pid)
    mine = {key: host.jobs()[key]}
    first = compare_jobs(JobMemory({}), by_key(mine.values())[0], at=clock(), wanted=lambda _: True)
    host.release(process)
    ended = {key: host.jobs()[key]}
    second = compare_jobs(JobMemory(dict(first.seen)), by_key(ended.values())[0], at=clock(), wanted=lambda _: True)
    assert [change.job.state for change in first.changes] == [JobState.RUNNING]
    assert [change.job.state for change in second.changes] == [JobState.DONE if tells_exits() else JobState.UNDETERMINED]


def test_after_an_outage_an_end_is_not_guessed(host: Host) -> None:
    process = host.shell("exit 0")
    seen = SeenJob(host.jobs()[str(process.pid)], 1, published=True)
    host.release(process)
    after = Host()
    try:
        job = after.jobs().get(str(process.pid))
        assert job is None
        ids = (str(process.pid),)
        records = after.scheduler.ended(after.source.run("ended", ids), ids).records
        missing = MissingJob(job=seen.job, incarnation=1, published=True, since_at=0, next_at=0)
        told = settle(missing, records, at=3_600_000, patience=Patience(grace_ms=60_000)).change
        assert told is not None
        assert told.job.state is JobState.UNDETERMINED
    finally:
        after.close()


def test_a_number_that_is_given_again_is_another_job(host: Host) -> None:
    """The kernel cannot be made to, so the memory of the source is: the same number with another time."""
    process = host.shell("exit 0")
    host.jobs()
    stat = read_stat(process.pid)
    assert stat is not None
    followed = host.source._followed.pop(stat.key)
    older = dataclasses.replace(followed, handle=None, job=dataclasses.replace(followed.job, started_at=1))
    host.source._exits.drop(followed.handle or 0)
    host.source._followed[stat.pid, 0] = older
    job = host.job(process)
    assert job is not None
    assert job.submitted_at == round(psutil.Process(process.pid).create_time() * 1000)
    ids = (str(process.pid),)
    (before,) = host.scheduler.ended(host.source.run("ended", ids), ids).records
    assert (before.submitted_at, before.state) == (1, JobState.UNDETERMINED)


def test_a_bound_session_holds_its_cores(host: Host) -> None:
    process = host.shell("exit 0")
    everything = os.sched_getaffinity(process.pid)
    job = host.job(process)
    assert job is not None
    assert job.cores == (None if len(everything) == psutil.cpu_count() else len(everything))
    if len(everything) > 1:
        os.sched_setaffinity(process.pid, {min(everything)})
        job = host.job(process)
        assert job is not None
        assert job.cores == 1


def test_node_queue_and_about(host: Host) -> None:
    nodes = host.scheduler.nodes(host.source.run("nodes")).records
    assert [(node.name, node.cores_total, node.cores_used) for node in nodes] == [(os.uname().nodename, psutil.cpu_count(), None)]
    process = host.shell("exit 0")
    jobs = [job for job in host.jobs().values() if job.job_id == str(process.pid)]
    (queue,) = host.scheduler.queues(host.source.run("queues"), nodes=nodes, jobs=jobs).records
    assert (queue.name, queue.jobs_queued, queue.jobs_running, queue.cores_total) == ("local", 0, 1, psutil.cpu_count())
    about = host.scheduler.about(host.source.run("about"))
    assert (about.name, about.min_job_age_seconds, about.accounting) == ("local", 600, True)


def test_an_owner_without_an_account_is_said_and_no_empty_answer() -> None:
    host = Host("nobody-has-this-name")
    try:
        with pytest.raises(ScriptFailed, match="is not known on this machine"):
            host.scheduler.jobs(host.source.run("jobs"))
        with pytest.raises(SchedulerError, match="no query"):
            host.source.run("ended_fallback")
    finally:
        host.close()


def test_handles_and_thread_are_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    exits = Exits(clock)
    handles = [exits.watch(os.getpid()) for _ in range(local_exits.MAX_WATCHED)]
    assert None not in handles
    assert exits.watch(os.getpid()) is None
    exits.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
