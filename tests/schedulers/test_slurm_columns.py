# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The same jobs in other columns: records of the recorded zoos, re-arranged, say the same as far as their columns go."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.model.jobs import Job, Phase
from hpcbridge.schedulers.recording import load_recording
from hpcbridge.schedulers.report import Answer, Report
from hpcbridge.schedulers.slurm.columns import SACCT_HEADER, SQUEUE_HEADER, squeue_layout
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler

RECORDED = Path(__file__).parents[1] / "recorded" / "slurm"
ZOOS = ("22.05.8/zoo", "26.05.5/zoo")
SQUEUE_FIELDS = (
    "JobArrayID", "JobID", "ArrayJobID", "ArrayTaskID", "HetJobID", "HetJobOffset", "UserName", "Account", "Partition", "State", "Reason",
    "SubmitTime", "EligibleTime", "StartTime", "EndTime", "TimeLimit", "NumCPUs", "NumNodes", "NodeList", "tres-alloc", "tres-per-node",
    "tres-per-job", "tres-per-task", "MinMemory", "exit_code", "Requeue", "RestartCnt", "Name",
)  # fmt: skip
EXTRA = "PRIORITY"
UNKNOWN = {
    "USER": ("owner",), "ACCOUNT": ("account",), "PARTITION": ("queue",), "REASON": ("reason",), "SUBMIT_TIME": ("submitted_at",),
    "START_TIME": ("started_at",), "END_TIME": ("ended_at",), "TIME_LIMIT": ("walltime_limit_seconds",), "CPUS": ("cores",),
    "NODELIST": ("nodes", "started_at"), "TRES_ALLOC": ("memory_bytes", "gpus", "gpu_type"), "TRES_PER_NODE": ("gpus", "gpu_type"),
    "TRES_PER_JOB": ("gpus", "gpu_type"), "TRES_PER_TASK": ("gpus", "gpu_type"), "NODES": ("gpus", "gpu_type"),
    "EXIT_CODE": ("exit_code", "exit_signal"), "RESTART_COUNT": ("restarts", "walltime_limit_seconds"), "NAME": ("name",),
    "User": ("owner",), "Account": ("account",), "Partition": ("queue",), "Reason": ("reason",), "Submit": ("submitted_at",),
    "Start": ("started_at",), "End": ("ended_at",), "TimelimitRaw": ("walltime_limit_seconds",), "AllocCPUS": ("cores",),
    "NodeList": ("nodes", "started_at"), "AllocTRES": ("memory_bytes", "gpus", "gpu_type", "cores"), "AllocNodes": ("gpus", "gpu_type"),
    "ReqTRES": ("memory_bytes", "gpus", "gpu_type", "cores"), "ExitCode": ("exit_code", "exit_signal"), "JobName": ("name",),
    "ElapsedRaw": ("wall_seconds",),
}  # fmt: skip
"""What may become unknown without a column; all else must stay as it is."""


def report_of(zoo: str, query: str) -> Report:
    return load_recording(RECORDED / zoo).reports[query]


def rows_of(report: Report, width: int, separator: str, skip: int) -> tuple[list[str], list[list[str]]]:
    """What stands before the columns of each record, and the columns; newlines of names stay in the last one."""
    nonce = report.stdout.split(b"|")[1].decode()
    separator = separator.format(nonce)
    heads: list[str] = []
    rows: list[list[str]] = []
    for line in report.stdout.decode("utf-8", "surrogateescape")[:-1].split("\n"):
        head, _, rest = line.partition(f"|{nonce}|") if skip else ("", "", line)
        if f"|{nonce}|" in line:
            heads.append(f"{head}|{nonce}|" if skip else "")
            rows.append(rest.split(separator, width - 1))
        else:
            rows[-1][-1] += f"\n{line}"
    return heads, rows


def arranged(report: Report, order: Sequence[int], *, extra: bool = False, argv: bool = True, plain: bool = False) -> Report:
    """The report as if it had been asked for the columns `order`, the last one kept last."""
    squeue = report.query == "jobs"
    header = SQUEUE_HEADER if squeue else SACCT_HEADER
    nonce = report.stdout.split(b"|")[1].decode()
    heads, rows = rows_of(report, len(header), "|" if squeue else "|{}|", 1 if squeue else 0)
    separator = "|" if squeue or plain else f"|{nonce}|"
    lines = []
    for number, (head, row) in enumerate(zip(heads, rows, strict=True)):
        cells = [row[place] for place in order]
        lines.append(head + separator.join([EXTRA if number == 0 else "4711", *cells] if extra else cells))
    stdout = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
    names = [(SQUEUE_FIELDS if squeue else SACCT_HEADER)[place] for place in order]
    fields = [f"TimeUsed:|{nonce}|", *(["Priority:|"] if extra else []), *(f"{name}:|" for name in names)]
    command = ["env", "TZ=UTC", "squeue", "-O", ",".join(fields)] if squeue else ["sacct", f"--format={','.join(names)}"]
    return dataclasses.replace(report, stdout=stdout, argv=tuple(command) if argv else ("/opt/site/script",))


def read(report: Report) -> Answer[Job]:
    return SlurmScheduler("c1").jobs(report) if report.query == "jobs" else SlurmScheduler("c1").ended(report, ())


def orders(header: Sequence[str], required: Sequence[int], count: int) -> list[list[int]]:
    """Every column but one, and random choices of columns in random order; text of a user, where it is there, last."""
    rng = random.Random(22)
    last = len(header) - 1
    found = [[place for place in range(len(header)) if place != gone] for gone in range(len(header)) if gone not in required]
    for _ in range(count):
        order = [place for place in range(last) if place in required or rng.random() < 0.6]
        rng.shuffle(order)
        found.append(order + [last] * (rng.random() < 0.7))
    return found


def check(job: Job, full: Job, missing: set[str]) -> None:
    open_fields = {field for name in missing for field in UNKNOWN.get(name, ())}
    for field in (field.name for field in dataclasses.fields(Job)):
        value, known = getattr(job, field), getattr(full, field)
        if field == "state" and "REASON" in missing:
            assert job.phase is full.phase
        elif field not in open_fields:
            assert value == known, field
        else:
            assert value in (known, None, ()), field
    single = {name: fields[0] for name, fields in UNKNOWN.items() if len(fields) == 1 and name in missing - {"AllocCPUS"}}
    assert all(getattr(job, field) is None for field in single.values())


@pytest.mark.parametrize("zoo", ZOOS)
def test_squeue_says_the_same_in_any_columns(zoo: str) -> None:
    report = report_of(zoo, "jobs")
    full = {job.job_id: job for job in read(report).records}
    for number, order in enumerate(orders(SQUEUE_HEADER, (0, 9), 60)):
        # without the command, the first JOBID is the id as typed, as in our own order
        argv = number % 2 == 0 or (1 in order and order.index(1) < order.index(0))
        answer = read(arranged(report, order, extra=number % 3 == 0, argv=argv))
        missing = {name for place, name in enumerate(SQUEUE_HEADER) if place not in order}
        assert {problem.kind for problem in answer.problems} <= {problem.kind for problem in read(report).problems}
        assert [job.job_id for job in answer.records] == list(full)
        for job in answer.records:
            check(job, full[job.job_id], missing)


@pytest.mark.parametrize("zoo", ZOOS)
def test_sacct_says_the_same_in_any_columns(zoo: str) -> None:
    report = report_of(zoo, "ended")
    full = {job.job_id: job for job in read(report).records}
    assert len(full) == len(read(report).records)
    for number, order in enumerate(orders(SACCT_HEADER, (0, 2), 60)):
        answer = read(arranged(report, order, argv=number % 2 == 0, plain=order[-1] != len(SACCT_HEADER) - 1 and number % 3 == 0))
        missing = {name for place, name in enumerate(SACCT_HEADER) if place not in order}
        assert [job.job_id for job in answer.records] == list(full)
        for job in answer.records:
            check(job, full[job.job_id], missing)


@pytest.mark.parametrize("zoo", ZOOS)
@pytest.mark.parametrize("gone", range(len(SQUEUE_HEADER)))
def test_a_field_that_was_asked_for_and_has_no_column_is_named(zoo: str, gone: int) -> None:
    report = report_of(zoo, "jobs")
    order = [place for place in range(len(SQUEUE_HEADER)) if place != gone]
    field = "JobID" if gone == 0 else SQUEUE_FIELDS[gone]  # two columns JOBID: the second is the one that lacks
    with pytest.raises(ReportUnreadable, match=f"lacks what was asked for: {field.lower()}"):
        read(dataclasses.replace(arranged(report, order), argv=report.argv))


def test_a_field_that_accounting_left_out_is_named() -> None:
    report = report_of(ZOOS[0], "ended")
    order = [place for place, name in enumerate(SACCT_HEADER) if name != "Start"]
    with pytest.raises(ReportUnreadable, match="lacks what was asked for: start"):
        read(dataclasses.replace(arranged(report, order), argv=report.argv))


@pytest.mark.parametrize("place", [0, 5, 26])
@pytest.mark.parametrize("name", ["NAME", "COMMENT", "WORK_DIR", "SOMETHING_NEW"])
def test_text_of_a_user_is_refused_before_the_last_column(name: str, place: int) -> None:
    names = list(SQUEUE_HEADER[:-1])
    names.insert(place, name)
    line = "|".join(["TIME|0badcafe", *names])
    with pytest.raises(ReportUnreadable, match=f"column {name} may hold text of a user and is not the last one"):
        read(Report("jobs", ("script",), 0, f"{line}\n".encode(), b""))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("JobID|State|JobName", "column JobName may hold text of a user and no nonce"),
        ("JobID|State|WorkDir", "column WorkDir may hold text of a user and no nonce"),
        ("JobID|0badcafe|JobName|0badcafe|State", "column JobName may hold text of a user and is not the last one"),
        ("JobID|0badcafe|Comment|0badcafe|State|0badcafe|JobName", "column Comment may hold text of a user and is not the last one"),
        ("JobIDRaw|0badcafe|State", "no column JobID"),
        ("JobID|JobIDRaw|Submit", "no column State"),
        ("JobID|JobID|State", "two columns JobID"),
        ("no such thing", "no header"),
    ],
)
def test_accounting_in_columns_that_are_not_safe_is_refused(header: str, why: str) -> None:
    with pytest.raises(ReportUnreadable, match=why):
        read(Report("ended", ("script",), 0, f"{header}\n".encode(), b""))


@pytest.mark.parametrize("names", ["JOBID|NAME", "STATE|NAME", "", "JOBID|JOBID|JOBID|STATE", "JOBID|STATE|STATE", "JOBID|STATE\r"])
def test_a_header_that_says_too_little_or_something_twice_is_refused(names: str) -> None:
    with pytest.raises(ReportUnreadable):
        read(Report("jobs", ("script",), 0, f"TIME|0badcafe|{names}\n0:01|0badcafe|7|RUNNING\n".encode(), b""))


def test_a_raw_id_alone_is_no_job_id() -> None:
    argv = ("squeue", "--Format=TimeUsed:|0badcafe|,JobID:|,State:")
    with pytest.raises(ReportUnreadable, match="no column JobArrayID"):
        read(Report("jobs", argv, 0, b"TIME|0badcafe|JOBID|STATE\n0:01|0badcafe|7|RUNNING\n", b""))


def test_a_complaint_beside_other_columns_is_why_they_are_other_ones() -> None:
    report = Report("jobs", ("script",), 0, b"TIME|0badcafe|JOBID|STATE\n", b"squeue: error: Invalid job format specification: x\n")
    with pytest.raises(ReportUnreadable, match="Invalid job format specification: x"):
        read(report)


def test_a_command_is_not_believed_where_it_cannot_be_read() -> None:
    report = report_of(ZOOS[0], "jobs")
    for argv in ((), ("sh", "-c", " ".join(report.argv)), ("squeue", "-O"), ("squeue", "-o", "%i")):
        assert read(dataclasses.replace(report, argv=("TZ=UTC", *argv))).records == read(report).records


def test_a_separator_behind_the_last_column() -> None:
    full = read(report_of(ZOOS[0], "jobs")).records
    heads, rows = rows_of(report_of(ZOOS[0], "jobs"), len(SQUEUE_HEADER), "|", 1)
    text = "".join(f"{head}{'|'.join(row)}|\n" for head, row in zip(heads, rows, strict=True))
    report = Report("jobs", ("script", "TZ=UTC"), 0, text.encode("utf-8", "surrogateescape"), b"")
    assert read(report).records == full


@pytest.mark.parametrize("order", [[0, 9, 6, 27], [9, 6, 0, 27], [*range(26, -1, -1), 27]])
def test_a_name_forges_nothing_in_other_columns(order: list[int]) -> None:
    report = report_of(ZOOS[0], "jobs")
    before = {job.job_id: job for job in read(arranged(report, order)).records}
    record = report.stdout.split(b"\n")[1].partition(b"|")[2].partition(b"|")[2]
    for value in (b"|" * 60, b"a|RUNNING|root|b", b"x\n0:00|deadbeef|666|RUNNING|root|y", b"\n" + record, b"x\r", b""):
        hostile = arranged(dataclasses.replace(report, stdout=report.stdout.replace(b"|done-ok\n", b"|" + value + b"\n")), order)
        answer = read(hostile)
        assert answer.problems == ()
        assert {job.job_id: dataclasses.replace(job, name=None) for job in answer.records} == {
            job_id: dataclasses.replace(job, name=None) for job_id, job in before.items()
        }


def test_a_line_is_remembered_only_in_its_own_columns() -> None:
    scheduler = SlurmScheduler("c1")
    line = b"0:01|0badcafe|7|RUNNING|a|b\n"
    (first,) = scheduler.jobs(Report("jobs", ("x",), 0, b"TIME|0badcafe|JOBID|STATE|USER|ACCOUNT\n" + line, b"")).records
    (second,) = scheduler.jobs(Report("jobs", ("x",), 0, b"TIME|0badcafe|JOBID|STATE|ACCOUNT|USER\n" + line, b"")).records
    assert ((first.owner, first.account), (second.owner, second.account)) == (("a", "b"), ("b", "a"))


def test_runs_of_one_job_without_a_submit_time_cannot_be_told_apart() -> None:
    answer = read(Report("ended", ("x",), 0, b"JobID|State\n7|COMPLETED\n7|FAILED\n8|COMPLETED\n8.batch|COMPLETED\n", b""))
    assert ([job.job_id for job in answer.records], [problem.subject for problem in answer.problems]) == (["8"], ["7", "7"])


def test_without_nodes_a_job_that_runs_has_started() -> None:
    text = b"TIME|0badcafe|JOBID|STATE|START_TIME\n0:01|0badcafe|7|RUNNING|1795349473\n0:00|0badcafe|8|PENDING|1795349473\n"
    jobs = read(Report("jobs", ("x",), 0, text, b"")).records
    assert [(job.phase, job.started_at) for job in jobs] == [(Phase.RUN, 1795349473000), (Phase.QUEUE, None)]


@pytest.mark.parametrize("query", ["jobs", "ended", "nodes", "queues", "about"])
def test_line_ends_of_a_terminal(query: str) -> None:
    report = report_of(ZOOS[0], query)
    other = dataclasses.replace(report, stdout=report.stdout.replace(b"\n", b"\r\n"))

    def answer(report: Report) -> object:
        scheduler = SlurmScheduler("c1")
        match query:
            case "nodes":
                return scheduler.nodes(report)
            case "queues":
                return scheduler.queues(report, nodes=None, jobs=None)
            case "about":
                return scheduler.about(report)
        return read(report)

    assert answer(other) == answer(report)


def test_our_own_columns_are_read_as_they_are() -> None:
    layout, nonce = squeue_layout(Report("jobs", ("x",), 0, b"", b""), "|".join(["TIME", "0badcafe", *SQUEUE_HEADER]))
    assert (layout.places, layout.open_ended, layout.timed, nonce) == (tuple(range(28)), True, True, "0badcafe")


NAMED = "25_1:RUNNING:x|\\x0ay 27:QUEUED:z"
"""What each of the commands below shows: two jobs, one of them with a separator and a newline in its name."""


@pytest.mark.parametrize(
    ("asked", "header", "first", "second"),
    [
        ("TimeUsed:|N|,JobArrayID:|,State:|,Name:", "TIME|N|JOBID|STATE|NAME", "1:05|N|25_1|RUNNING|", "0:00|N|27|PENDING|"),
        ("JobArrayID:|N|,State:|,TimeUsed:|,Name:", "JOBID|N|STATE|TIME|NAME", "25_1|N|RUNNING|1:05|", "27|N|PENDING|0:00|"),
        ("State:|N|,JobArrayID:|N|,TimeUsed:|N|,Name:", "STATE|N|JOBID|N|TIME|N|NAME", "RUNNING|N|25_1|N|1:05|N|",
         "PENDING|N|27|N|0:00|N|"),
        ("TimeUsed:|N|,JobID:|,JobArrayID:|,State:|,Name:", "TIME|N|JOBID|JOBID|STATE|NAME", "1:05|N|26|25_1|RUNNING|",
         "0:00|N|27|27|PENDING|"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("header_printed", [True, False])
def test_squeue_with_other_columns_first(asked: str, header: str, first: str, second: str, *, header_printed: bool) -> None:
    argv = ("squeue", *(() if header_printed else ("-h",)), "-a", "-O", asked.replace("N|", "0badcafe|"))
    text = f"{header}\n" * header_printed + f"{first}x|\ny\n{second}z\n"
    answer = read(Report("jobs", argv, 0, text.replace("|N|", "|0badcafe|").encode(), b""))
    assert " ".join(f"{job.job_id}:{job.state}:{job.name}" for job in answer.records) == NAMED
    assert (answer.problems, [job.wall_seconds for job in answer.records]) == ((), [65, None])


@pytest.mark.parametrize("first", ["TimeUsed:|0badcafe|,JobArrayID:|", "JobArrayID:|0badcafe|,TimeUsed:|"])
def test_without_a_header_an_empty_answer_or_one_beside_a_complaint_proves_nothing(first: str) -> None:
    argv = ("squeue", "-h", "-O", f"{first},State:|,Nosuch:|,Name:")
    for stdout, stderr in ((b"", b""), (b"0:01|0badcafe|7|RUNNING|x\n", b"squeue: error: Invalid job format specification: Nosuch\n")):
        with pytest.raises((ReportUnreadable, ScriptFailed)):
            read(Report("jobs", argv, 0, stdout, stderr))


def test_the_letters_of_a_format_say_which_id_a_column_holds() -> None:
    """Both are called JOBID: the raw id of a member of an array is not the id that people type."""
    text = b"TIME|0badcafe|JOBID|STATE|NAME\n0:01|0badcafe|26|RUNNING|x\n"
    with pytest.raises(ReportUnreadable, match="no column JobArrayID"):
        read(Report("jobs", ("squeue", "-o", "%M|0badcafe|%A|%T|%j"), 0, text, b""))
    assert [job.job_id for job in read(Report("jobs", ("squeue", "-o", "%M|0badcafe|%i|%T|%j"), 0, text, b"")).records] == ["26"]
    both = b"TIME|0badcafe|JOBID|JOBID|STATE\n0:01|0badcafe|26|25_1|RUNNING\n"
    assert [job.job_id for job in read(Report("jobs", ("squeue", "--format=%M|0badcafe|%A|%i|%T"), 0, both, b"")).records] == ["25_1"]


@pytest.mark.parametrize("option", ["-OTimeUsed:|0badcafe|,JobArrayID:|,State:.5|", "-o%M|0badcafe|%i|%.5T"])
def test_what_a_width_may_have_cut_is_refused(option: str) -> None:
    with pytest.raises(ReportUnreadable, match="a width may have cut"):
        read(Report("jobs", ("squeue", option), 0, b"TIME|0badcafe|JOBID|STATE\n0:01|0badcafe|7|STOPP\n", b""))
