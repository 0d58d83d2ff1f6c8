# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""TORQUE: how the agent finds the end of a job that left the queue, from what qstat and the accounting files say, by its own comparison."""

from __future__ import annotations

import pytest

from hpcbridge.agent.changes import JobComparison, JobMemory, SeenJob, by_key, compare_jobs
from hpcbridge.agent.vanished import Patience, settle
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.schedulers.report import Report
from hpcbridge.schedulers.torque.scheduler import TorqueScheduler

NOON = 1_795_345_200_000
SCHEDULER = TorqueScheduler("c1")


def job_xml(state: str = "R", *, ctime: int = 1000, more: str = "<exec_host>node01/0</exec_host><start_time>1100</start_time>") -> str:
    return (
        f"<Job><Job_Id>26.head1</Job_Id><Job_Owner>alice@head1</Job_Owner><job_state>{state}</job_state><queue>batch</queue>"
        f"<ctime>{ctime}</ctime>{more}</Job>"
    )


def seen(*records: str) -> dict[str, Job]:
    answer = SCHEDULER.jobs(Report("jobs", ("qstat",), 0, f"<Data>{''.join(records)}</Data>".encode(), b""))
    return by_key(answer.records)[0]


def polled(before: str | None, *after: str) -> JobComparison:
    live = {} if before is None else {"26": SeenJob(seen(before)["26"], 1, published=True)}
    return compare_jobs(JobMemory(live), seen(*after), at=NOON, wanted=lambda job: job.owner == "alice")


def line(kind: str, text: str = "") -> str:
    return f"11/22/2026 10:55:29;{kind};26.head1;{text}\n"


def started(ctime: int = 1000) -> str:
    return line("S", f"user=alice ctime={ctime} start=1100 owner=alice@head1 exec_host=node01/0 ")


def over(status: int, ctime: int = 1000) -> str:
    return line("E", f"user=alice ctime={ctime} start=1100 owner=alice@head1 exec_host=node01/0 session=1 end=1200 Exit_status={status}")


def told(before: str, accounting: str | None) -> Job | None:
    """What is told of a job that vanished, after the server did not know it any more and accounting said this, or nothing."""
    (missing,) = polled(before).vanished
    unknown = Report("ended", ("qstat", "26"), 153, b"", b"qstat: Unknown Job Id Error 26.head1\n")
    records = list(SCHEDULER.ended(unknown, ["26"]).records)
    if accounting is not None:
        records += SCHEDULER.ended(Report("ended_fallback", ("x", "26"), 0, accounting.encode(), b""), ["26"]).records
    settled = settle(missing, records, at=NOON, patience=Patience(grace_ms=900_000), rules=SCHEDULER)
    return settled.change.job if settled.change else None


def test_a_job_that_began_and_ended_between_two_polls_is_told_while_the_server_keeps_it() -> None:
    (change,) = polled(
        None, job_xml("C", more="<exit_status>0</exit_status><start_time>1100</start_time><comp_time>1101</comp_time>")
    ).changes
    assert (change.job.outcome, change.job.ended_at) == (Outcome.COMPLETED, 1_101_000)


def test_a_job_that_left_the_queue_ends_as_accounting_says() -> None:
    found = told(job_xml(), started() + over(271))
    assert found is not None
    assert (found.outcome, found.exit_signal, found.submitted_at, found.queue) == (Outcome.CANCELLED, 15, 1_000_000, "batch")


@pytest.mark.parametrize(
    ("before", "accounting"),
    [
        (job_xml(), None),
        (job_xml(), ""),
        (job_xml(), started()),
        (job_xml(), started() + line("D", "requestor=alice@head1")),
        (job_xml(), line("D", "requestor=alice@head1")),
        (job_xml(), started(ctime=500) + over(0, ctime=500)),
        (job_xml(), line("Q", "queue=batch") + started(ctime=5000) + over(0, ctime=5000)),
        (job_xml("Q", more=""), line("Q") + line("D") + line("Q")),
        (job_xml(), over(0) + over(1)),
    ],
    ids=["no accounting", "empty", "runs", "asked to go", "older than the files", "older job", "newer job", "used again", "contradiction"],
)
def test_nothing_is_told_where_nothing_is_proven(before: str, accounting: str | None) -> None:
    assert told(before, accounting) is None


def test_a_job_of_an_id_that_was_used_before_and_after_ends_as_itself() -> None:
    accounting = "".join(started(ctime) + over(status, ctime) for ctime, status in ((500, 0), (1000, 3), (5000, 0)))
    found = told(job_xml(), accounting)
    assert found is not None
    assert (found.outcome, found.exit_code) == (Outcome.FAILED, 3)


def test_a_job_that_was_deleted_while_it_waited_was_cancelled() -> None:
    found = told(job_xml("Q", more=""), line("Q", "queue=batch") + line("D", "requestor=alice@head1"))
    assert found is not None
    assert (found.outcome, found.submitted_at, found.owner) == (Outcome.CANCELLED, 1_000_000, "alice")


def test_a_job_that_was_rerun_is_the_same_one_and_waits_again() -> None:
    running = job_xml(more="<exec_host>node01/0</exec_host><start_time>1100</start_time><start_count>1</start_count>")
    comparison = polled(running, job_xml("Q", more="<qtime>1000</qtime><start_count>1</start_count>"))
    (change,) = comparison.changes
    assert (change.incarnation, change.job.state, change.job.restarts, comparison.vanished) == (1, JobState.QUEUED, 1, ())
    found = told(running, started() + line("R") + started() + over(0))
    assert found is not None
    assert (found.outcome, found.restarts) == (Outcome.COMPLETED, 1)


def test_an_id_that_is_used_again_is_another_job() -> None:
    comparison = polled(job_xml(), job_xml("Q", ctime=9000, more=""))
    assert [change.incarnation for change in comparison.changes] == [2]
    assert [missing.incarnation for missing in comparison.vanished] == [1]
