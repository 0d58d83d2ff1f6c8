# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Accounting records of OpenPBS, and the scripts that print them and everything else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable, SchedulerError, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.schedulers.openpbs.accounting import HEADER
from hpcbridge.schedulers.openpbs.scheduler import OpenpbsScheduler
from hpcbridge.schedulers.report import Answer, Report
from hpcbridge.schedulers.scripts import ScriptRunner

RECORDED = Path(__file__).parents[1] / "recorded" / "openpbs" / "23.06.06"
SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
DATE = "11/22/2026 11:05:10"
CREATED = 1_795_345_510
ASKED = "Resource_List.ncpus=2 Resource_List.select=1:ncpus=2 Resource_List.walltime=01:00:00"
SOMEBODY = "user=bob group=bob project=_pbs_project_default jobname=run queue=workq"


def queued(job_id: str, ctime: int = CREATED) -> str:
    return f"{DATE};Q;{job_id}.pbs01;{SOMEBODY} ctime={ctime} qtime={ctime} etime={ctime} {ASKED} \n"


def began(job_id: str, ctime: int = CREATED, start: int = CREATED + 5) -> str:
    return f"{DATE};S;{job_id}.pbs01;{SOMEBODY} ctime={ctime} start={start} exec_vnode=(cn01:ncpus=2) {ASKED} \n"


def over(job_id: str, status: int, ctime: int = CREATED, *, kind: str = "E", runs: int = 1, account: str = "") -> str:
    who = SOMEBODY.replace("project", f'account="{account}" project') if account else SOMEBODY
    return (
        f"{DATE};{kind};{job_id}.pbs01;{who} ctime={ctime} start={ctime + 5} exec_vnode=(cn01:ncpus=2) {ASKED} session=1 "
        f"end={ctime + 65} Exit_status={status} resources_used.walltime=00:01:00 run_count={runs}\n"
    )


def deleted(job_id: str) -> str:
    return f"{DATE};D;{job_id}.pbs01;requestor=bob@pbs01\n"


def read(*lines: str, ids: tuple[str, ...] = ("7",)) -> Answer[Job]:
    text = (HEADER + "20261122 to 20261122\n" + "".join(lines)).encode("utf-8", "surrogateescape")
    return OpenpbsScheduler("c1").ended(Report("ended_fallback", ("ended_fallback", *ids), 0, text, b""), ids)


def only(answer: Answer[Job]) -> Job:
    assert answer.problems == ()
    assert len(answer.records) == 1
    return answer.records[0]


def test_a_run_from_its_records() -> None:
    job = only(read(queued("7"), began("7"), over("7", 3)))
    assert (job.state, job.outcome, job.exit_code, job.owner, job.queue, job.name) == (
        JobState.FAILED, Outcome.FAILED, 3, "bob", "workq", "run",
    )  # fmt: skip
    assert (job.submitted_at, job.started_at, job.ended_at) == (CREATED * 1000, (CREATED + 5) * 1000, (CREATED + 65) * 1000)
    assert (job.cores, job.nodes, job.wall_seconds, job.walltime_limit_seconds, job.restarts) == (2, ("cn01",), 60, 3600, 0)


@pytest.mark.parametrize(
    ("lines", "outcome", "state"),
    [
        ((queued("7"),), None, JobState.UNDETERMINED),
        ((queued("7"), began("7")), None, JobState.UNDETERMINED),
        ((queued("7"), deleted("7")), Outcome.CANCELLED, JobState.FAILED),
        ((queued("7"), began("7"), deleted("7")), None, JobState.UNDETERMINED),
        ((queued("7"), began("7"), deleted("7"), over("7", 143)), Outcome.CANCELLED, JobState.FAILED),
        ((queued("7"), began("7"), over("7", 143)), Outcome.FAILED, JobState.FAILED),
        ((queued("7"), began("7"), over("7", 0, kind="R")), None, JobState.UNDETERMINED),
        ((queued("7"), began("7"), over("7", 0, kind="R"), deleted("7")), Outcome.CANCELLED, JobState.FAILED),
        ((queued("7"), began("7"), over("7", -14, kind="R"), began("7"), over("7", 0, runs=2)), Outcome.COMPLETED, JobState.DONE),
        ((over("7", -29),), Outcome.TIMEOUT, JobState.FAILED),
        ((deleted("7"),), None, JobState.UNDETERMINED),
    ],
)
def test_what_the_records_of_a_job_mean(lines: tuple[str, ...], outcome: Outcome | None, state: JobState) -> None:
    job = only(read(*lines))
    assert (job.outcome, job.state) == (outcome, state)


def test_an_id_that_was_used_again_has_two_runs() -> None:
    answer = read(queued("7"), began("7"), over("7", 0), queued("7", CREATED + 900), deleted("7"))
    assert [(job.submitted_at, job.outcome) for job in answer.records] == [
        (CREATED * 1000, Outcome.COMPLETED),
        ((CREATED + 900) * 1000, Outcome.CANCELLED),
    ]


def test_members_of_a_deleted_array_that_never_began_were_cancelled() -> None:
    lines = (queued("7[]"), began("7[1]"), over("7[1]", 0), deleted("7[]"))
    answer = read(*lines, ids=("7[1]", "7[2]"))
    assert [(job.job_id, job.outcome) for job in answer.records] == [("7[1]", Outcome.COMPLETED), ("7[2]", Outcome.CANCELLED)]
    assert read(*lines[:-1], ids=("7[2]",)).records == ()


def test_a_newline_in_an_account_ends_nobody_elses_job() -> None:
    """The name of an account goes out raw: what it writes contradicts what the server writes, or itself."""
    forged = over("8", 0, account=f'x"\n{over("7", 0).rstrip()} note="')
    answer = read(queued("7"), began("7"), forged, over("7", 1))
    assert [job.job_id for job in answer.records] == []
    assert {problem.subject for problem in answer.problems} >= {"7"}
    assert only(read(queued("7"), began("7"), over("7", 1))).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "line",
    [
        over("7", 0).replace("ctime=", "ctime=1 ctime="),
        over("7", 0).replace(f"ctime={CREATED} ", ""),
        over("7", 0).replace("Exit_status=0", "Exit_status=zero"),
        over("7", 0).replace("queue=workq", 'queue="workq'),
        over("7", 0).replace("end=", "end=-"),
    ],
)
def test_a_record_that_cannot_be_true_says_nothing(line: str) -> None:
    answer = read(line)
    assert answer.records == ()
    assert [problem.subject for problem in answer.problems] == ["7"]


@pytest.mark.parametrize(
    ("status", "stdout", "error"),
    [
        (0, b"", ReportUnreadable),
        (0, over("7", 0).encode()[:-20], ReportUnreadable),
        (1, b"", ScriptFailed),
        (1, over("7", 0).encode(), ScriptFailed),
    ],
)
def test_half_a_file_or_none_is_no_answer(status: int, stdout: bytes, error: type[SchedulerError]) -> None:
    with pytest.raises(error):
        OpenpbsScheduler("c1").ended(Report("ended_fallback", ("x", "7"), status, stdout, b""), ("7",))


def test_files_that_do_not_know_the_job_are_an_answer() -> None:
    assert read().records == ()
    assert read().problems == ()


# the scripts


@pytest.fixture
def runner(tmp_path: Path) -> ScriptRunner:
    for command in ("qstat", "pbsnodes"):
        path = tmp_path / command
        path.write_text(f'#!/bin/sh\necho {command}; for argument; do printf "%s\\n" "$argument"; done; env >&2\n')
        path.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "PBS_CONF_FILE": "/etc/a b/pbs.conf", "PBS_DEFAULT": "elsewhere", "PBS_HOME": str(tmp_path),
    }  # fmt: skip
    return ScriptRunner(SCRIPTS, scheduler="openpbs", environment=environment, timeout_seconds=10, max_bytes=1 << 20)


@pytest.mark.parametrize(("query", "ids"), [("about", []), ("jobs", []), ("nodes", []), ("queues", []), ("ended", ["29", "40[1]"])])
def test_a_script_runs_the_recorded_command(runner: ScriptRunner, query: str, ids: list[str]) -> None:
    report = runner.run(query, ids)
    if query == "ended":
        expected = ["qstat", "-x", "-f", "-F", "json", *ids]
    else:
        expected = json.loads((RECORDED / "zoo" / "meta.json").read_text())["queries"][query]["argv"]
    assert report.stdout.decode().splitlines() == expected
    seen = report.stderr.decode().splitlines()
    assert {"TZ=UTC", "LC_ALL=C", "PBS_CONF_FILE=/etc/a b/pbs.conf"} <= set(seen)
    assert not [line for line in seen if line.startswith("PBS_DEFAULT")]


def test_the_fallback_prints_the_records_of_these_jobs_only(runner: ScriptRunner, tmp_path: Path) -> None:
    days = tmp_path / "server_priv" / "accounting"
    days.mkdir(parents=True)
    (days / "20261121").write_text(queued("7") + queued("71") + began("7") + queued("9[]"))
    (days / "20261122").write_bytes((over("7", 0) + over("71", 0) + over("17", 0) + over("9[2]", 3)).encode() + b"\xff\x00 not a record\n")
    (days / "notes").write_text(over("7", 1))
    report = runner.run("ended_fallback", ["7", "9[2]"])
    assert report.stderr == b""
    assert [line.split(";")[1:3] for line in report.stdout.decode().splitlines()[1:]] == [
        ["Q", "7.pbs01"], ["S", "7.pbs01"], ["Q", "9[].pbs01"], ["E", "7.pbs01"], ["E", "9[2].pbs01"],
    ]  # fmt: skip
    answer = OpenpbsScheduler("c1").ended(report, ("7", "9[2]"))
    assert {job.job_id: job.outcome for job in answer.records} == {"7": Outcome.COMPLETED, "9[2]": Outcome.FAILED}
    unknown = runner.run("ended_fallback", ["12345"])
    assert OpenpbsScheduler("c1").ended(unknown, ("12345",)).records == ()
    shutil.rmtree(days)
    gone = runner.run("ended_fallback", ["7"])
    with pytest.raises(ScriptFailed):
        OpenpbsScheduler("c1").ended(gone, ("7",))
