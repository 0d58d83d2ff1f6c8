# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""TORQUE: whatever one owner writes into a job, and wherever output ends, says nothing false about another job."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.jobs import Job
from hpcbridge.schedulers.report import Answer, ProblemKind, Report
from hpcbridge.schedulers.torque.scheduler import TorqueScheduler

ZOO = Path(__file__).parents[1] / "recorded" / "torque" / "6.1.3" / "zoo"
ZOO_JOBS = (ZOO / "jobs.out").read_bytes()
VALUES = {
    "control bytes": b"a\x01b\x00c\x1b[31m\x07",
    "latin-1": b"caf\xe9 \xff\xfe",
    "newline": b"x\n    job_state = C\n",
    "numeric newline": b"x&#10;Job_Id: 1&#x0A;",
    "escaped forgery": b"&lt;/Job&gt;&lt;Job&gt;&lt;Job_Id&gt;900.head1&lt;/Job_Id&gt;&lt;job_state&gt;R&lt;/job_state&gt;",
    "entities": b"&lol;&amp;lt;Job&amp;gt;&#0;&#xD800;&#99999999;&#x110000;&quot;",
    "right to left": "\u202egnp.exe\u2066".encode(),
    "number": b"nan",
    "large": b"1e999",
    "backslash": b"C:\\dir\\",
    "separators": b"a|b;c,d=e+f/g",
    "empty": b"",
    "long": b"A" * 100_000,
}
RAW = {
    "a job": b"<Job><Job_Id>900.head1</Job_Id><job_state>R</job_state><ctime>1</ctime></Job>",
    "an end and a job": b"</Job><Job><Job_Id>900.head1</Job_Id><job_state>R</job_state>",
    "an end of document": b"</Job></Data>",
    "an element": b"<job_state>C</job_state>",
    "a declaration": b'<!DOCTYPE x [<!ENTITY lol "lol">]>',
    "a comment": b"<!-- ",
    "a section": b"<![CDATA[ ",
    "an open end": b"<",
}
FIELDS = ("Job_Name", "Variable_List", "submit_args", "comment", "Error_Path", "nodes", "init_work_dir", "Account_Name", "mem", "queue")


def jobs_of(document: bytes) -> Answer[Job]:
    return TorqueScheduler("c1").jobs(Report("jobs", ("qstat",), 0, document, b""))


def by_id(answer: Answer[Job]) -> Mapping[str, Job]:
    return {job.job_id: job for job in answer.records}


WHOLE = by_id(jobs_of(ZOO_JOBS))
START = ZOO_JOBS.index(b"<Job><Job_Id>26.")
END = ZOO_JOBS.index(b"</Job>", START)


def with_value(field: str, value: bytes) -> bytes:
    """The recording, with `value` in that field of job 26."""
    record = ZOO_JOBS[START:END]
    opening, closing = f"<{field}>".encode(), f"</{field}>".encode()
    if opening in record:
        begin = record.index(opening) + len(opening)
        record = record[:begin] + value + record[record.index(closing, begin) :]
    else:
        record += opening + value + closing
    return ZOO_JOBS[:START] + record + ZOO_JOBS[END:]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_is_only_a_value(field: str, value: bytes) -> None:
    found = by_id(jobs_of(with_value(field, value)))
    assert {key: job for key, job in found.items() if key != "26"} == {key: job for key, job in WHOLE.items() if key != "26"}
    assert found["26"].owner == "alice"
    assert found["26"].state == "RUNNING"
    assert found["26"].cores == 4


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", RAW.values(), ids=RAW)
def test_tags_that_a_version_would_not_escape_harm_at_most_their_own_job(field: str, value: bytes) -> None:
    try:
        found = jobs_of(with_value(field, value))
    except ReportUnreadable:
        return
    others = dict(by_id(found))
    own = others.pop("26", None)
    assert others == {key: job for key, job in WHOLE.items() if key != "26"}
    if own is None:
        assert {problem.kind for problem in found.problems} == {ProblemKind.QUARANTINED}
    else:
        assert (own.state, own.owner, own.cores) == ("RUNNING", "alice", 4)


def test_a_job_inside_of_a_variable_is_told_without_a_name_it_claims() -> None:
    found = jobs_of(with_value("Variable_List", RAW["a job"]))
    assert "900" not in by_id(found)
    assert [problem.subject for problem in found.problems] == [None]


def test_half_a_document_is_none() -> None:
    for length in range(1, len(ZOO_JOBS.rstrip()), 701):
        with pytest.raises(ReportUnreadable):
            jobs_of(ZOO_JOBS[:length])
    ends = [place for place in range(len(ZOO_JOBS)) if ZOO_JOBS.startswith(b"</Job>", place)]
    for end in ends:
        with pytest.raises(ReportUnreadable):
            jobs_of(ZOO_JOBS[: end + len(b"</Job>")])


def test_what_is_no_document_of_torque_is_refused() -> None:
    entities = b"".join(b'<!ENTITY l%d "&l%d;&l%d;">' % (number + 1, number, number) for number in range(40))
    for document in (
        b'<?xml version="1.0"?><!DOCTYPE Data [' + entities + b"]>" + ZOO_JOBS.partition(b"?>")[2],
        b"Job Id: 26.head1\n    job_state = R\n",
        b'{"Jobs": {}}',
        b"qstat: warning\n" + ZOO_JOBS,
        ZOO_JOBS + b"more",
        ZOO_JOBS.replace(b"</Job><Job>", b"</Job>26.head1<Job>", 1),
        ZOO_JOBS.replace(b"<Data>", b"<Data a='b'>"),
        b"\x00" + ZOO_JOBS,
    ):
        with pytest.raises(ReportUnreadable):
            jobs_of(document)


def test_two_records_of_one_job_contradict_each_other() -> None:
    twice = ZOO_JOBS.replace(b"</Data>", ZOO_JOBS[START:END] + b"</Job></Data>")
    found = jobs_of(twice)
    assert by_id(found) == {key: job for key, job in WHOLE.items() if key != "26"}
    assert [problem.subject for problem in found.problems] == ["26", "26"]


def test_mutations_never_crash_nor_invent_a_job() -> None:
    generator = random.Random(20_261_122)
    for _ in range(300):
        mutated = bytearray(ZOO_JOBS)
        for _ in range(generator.randint(1, 6)):
            place = generator.randrange(len(mutated))
            mutated[place : place + generator.choice((0, 1, 1, 9))] = generator.choice(
                (b"", b"<", b">", b"&", b"\x00", b"\xff", b"</", b"9")
            )
        try:
            found = jobs_of(bytes(mutated))
        except ReportUnreadable:
            continue
        lost = len(WHOLE) - len(found.records)
        assert 0 <= lost <= 2 * len([problem for problem in found.problems if problem.kind is ProblemKind.QUARANTINED])


def test_a_large_document_of_one_job_takes_no_longer_than_its_size_says() -> None:
    document = with_value("Job_Name", b"&lol;<x>" * 200_000)
    began = time.process_time()
    assert "26" not in by_id(jobs_of(document))
    assert time.process_time() - began < 5


HEAD = "11/22/2026 10:55:29"
START_26 = (
    f"{HEAD};S;26.head1;user=alice group=alice jobname=run queue=batch ctime=1000 qtime=1000 etime=1000 start=1100 owner=alice@head1 "
)
END_26 = (
    START_26.replace(";S;", ";E;")
    + "exec_host=node01/0-3 Resource_List.nodes=1:ppn=4 session=9 end=1200 Exit_status={status} resources_used.walltime=00:01:40"
)


def ended(*lines: str, ids: tuple[str, ...] = ("26",), end: str = "\n") -> Answer[Job]:
    text = "\n".join(lines) + end
    return TorqueScheduler("c1").ended(Report("ended_fallback", ("x", *ids), 0, text.encode("utf-8", "surrogateescape"), b""), ids)


def queued(kind: str = "Q", text: str = "queue=batch") -> str:
    return f"{HEAD};{kind};26.head1;{text}"


def test_an_end_in_accounting_names_its_run() -> None:
    (job,) = ended(queued(), START_26, END_26.format(status=0)).records
    assert (job.job_id, job.outcome, job.submitted_at, job.started_at, job.ended_at) == ("26", "COMPLETED", 1_000_000, 1_100_000, 1_200_000)
    assert (job.cores, job.nodes, job.wall_seconds, job.owner, job.name) == (4, ("node01",), 100, "alice", "run")


@pytest.mark.parametrize(
    ("lines", "outcomes"),
    [
        ([queued()], []),
        ([queued(), START_26], []),
        ([queued(), START_26, queued("D", "requestor=bob@head1")], []),
        ([queued(), START_26, queued("D"), END_26.format(status=271)], ["CANCELLED"]),
        ([queued(), queued("D", "requestor=alice@head1")], ["CANCELLED"]),
        ([queued("D", "requestor=alice@head1")], []),
        ([queued(), queued("A", "")], ["CANCELLED"]),
        ([queued(), START_26, queued("R", ""), queued("D")], ["CANCELLED"]),
        ([queued(), START_26, queued("R", "")], []),
        ([queued(), START_26, END_26.format(status=0), queued("R", "")], []),
        ([queued(), START_26, END_26.format(status=1), START_26], []),
        ([queued(), START_26, queued("R", ""), START_26, END_26.format(status=3)], ["FAILED"]),
        ([queued(), queued("D"), queued()], []),
        ([queued(), queued("D"), queued(), START_26], []),
        ([queued(), queued("D"), queued(), START_26, END_26.format(status=0)], ["COMPLETED"]),
        ([END_26.format(status=0)], ["COMPLETED"]),
        ([END_26.format(status=0), END_26.format(status=0).replace("ctime=1000", "ctime=5000")], ["COMPLETED", "COMPLETED"]),
    ],
)
def test_what_accounting_proves(lines: list[str], outcomes: list[str]) -> None:
    assert [job.outcome for job in ended(*lines).records] == outcomes


def test_a_member_may_share_the_record_of_its_array() -> None:
    deleted = f"{HEAD};D;11[5].head1;requestor=alice@head1"
    parent = [f"{HEAD};Q;11[].head1;queue=batch", f"{HEAD};D;11[].head1;requestor=root@head1"]
    answer = ended(*parent, deleted, ids=("11[5]",))
    assert [(job.job_id, job.array_job_id, job.array_index, job.outcome) for job in answer.records] == [("11[5]", "11", 5, "CANCELLED")]
    assert not answer.problems
    assert ended(deleted, ids=("11[5]",)) == Answer(records=())


def test_a_rerun_is_counted_where_accounting_has_no_count() -> None:
    (job,) = ended(START_26, queued("R", ""), START_26, END_26.format(status=0)).records
    assert job.restarts == 1


@pytest.mark.parametrize(
    "lines",
    [
        [END_26.format(status=1), END_26.format(status=0)],
        [END_26.format(status=1) + " Exit_status=0"],
        [END_26.format(status=1).replace("jobname=run", "jobname=x end=1150 Exit_status=0")],
        [END_26.partition(" Exit_status")[0]],
        [END_26.format(status="nan")],
        [END_26.format(status=0).replace("ctime=1000", "ctime=1e9")],
        [END_26.format(status=0).replace("ctime=1000 ", "")],
    ],
)
def test_a_record_that_contradicts_itself_is_not_believed(lines: list[str]) -> None:
    answer = ended(*lines)
    assert answer.records == ()
    assert [(problem.kind, problem.subject) for problem in answer.problems] == [(ProblemKind.QUARANTINED, "26")]


def test_accounting_may_be_a_whole_file_and_may_stand_in_the_first_answer() -> None:
    other = END_26.format(status=0).replace("26.head1", "27.head1")
    lines = [END_26.format(status=3), f"{HEAD};L;license;floating license hour:3", f"{HEAD};Q;36[].head1;queue=batch", other]
    answer = ended(*lines)
    assert [(job.job_id, job.exit_code) for job in answer.records] == [("26", 3), ("27", 0)]
    assert not answer.problems
    text = "\n".join([*lines, ""]).encode()
    assert TorqueScheduler("c1").ended(Report("ended", ("cat", "20261122"), 0, text, b""), ()) == answer
    assert ended(end="") == Answer(records=())


def test_a_newline_in_a_record_makes_it_doubtful() -> None:
    answer = ended(START_26 + "Resource_List.other=x", "y Resource_List.nodes=1 ", END_26.format(status=0))
    assert answer.records == ()
    assert [problem.subject for problem in answer.problems] == ["26"]


def test_an_accounting_report_that_is_cut_off_or_none_is_refused() -> None:
    with pytest.raises(ReportUnreadable):
        ended(END_26.format(status=0), end="")
    with pytest.raises(ReportUnreadable):
        ended("<Data></Data>")
