# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Grid Engine, the finer points: letters of states, what is remembered between reports, figures, ends, and what nobody can forge."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
import zoneinfo
from pathlib import Path

import pytest

from hpcbridge.errors import ReportUnreadable, SchedulerError, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.schedulers.gridengine.queues import queue_from
from hpcbridge.schedulers.gridengine.scheduler import GridEngineScheduler
from hpcbridge.schedulers.gridengine.states import INSTANCE_LETTERS, JOB_LETTERS, end_of, exit_of, job_state, node_availability
from hpcbridge.schedulers.gridengine.values import parse_limit, parse_memory, parse_time, plain_text
from hpcbridge.schedulers.report import Report
from tests.benchmarks.gridengine_load import reports

RECORDED = Path(__file__).parents[1] / "recorded" / "gridengine" / "8.1.9"
NONCE = "0f1e2d3c"
SUBMITTED = "<JB_submission_time>2026-11-22T10:00:00</JB_submission_time>"
STARTED = "<JAT_start_time>2026-11-22T10:05:00</JAT_start_time>"
DOCUMENTED = {
    JobState.QUEUED: ["qw"],
    JobState.QUEUED_HELD: ["hqw", "Eqw", "Ehqw", "dEqw"],
    JobState.RUNNING: ["r", "hr", "t", "Rr", "Rt", "dr", "dt", "dRr", "dRt"],
    JobState.SUSPENDED: ["s", "S", "T", "ts", "tS", "tT", "Rs", "Rts", "RS", "RtS", "RT", "RtT", "ds", "dS", "dT", "dRs", "dRS", "dRT"],
    JobState.REQUEUED: ["Rq", "Rqw"],
    JobState.REQUEUED_HELD: ["hRq", "hRwq", "EhRqw"],
}
"""sge_status(5)."""


def report(query: str, out: bytes | str, *, argv: tuple[str, ...] = (), status: int = 0, err: bytes = b"") -> Report:
    return Report(query, argv, status, out if isinstance(out, bytes) else out.encode("utf-8", "surrogateescape"), err)


def recorded(case: str, query: str) -> Report:
    return report(query, (RECORDED / case / f"{query}.out").read_bytes())


def qstat(waiting: str = "", running: str = "", instance: str = "all.q@n1.x") -> str:
    lists = f"<Queue-List><name>{instance}</name><slots_used>2</slots_used><slots_total>4</slots_total>{running}</Queue-List>"
    return f"<?xml version='1.0'?><job_info><queue_info>{lists if running else ''}</queue_info><job_info>{waiting}</job_info></job_info>\n"


def element(number: int, state: str, *more: str, slots: str = "2", owner: str = "alice", name: str = "job") -> str:
    return (
        f'<job_list state="x"><JB_job_number>{number}</JB_job_number><JAT_prio>0.5</JAT_prio><JB_name>{name}</JB_name>'
        f"<JB_owner>{owner}</JB_owner><state>{state}</state><slots>{slots}</slots>{''.join(more)}</job_list>"
    )


def record(number: int = 7, **changes: str) -> str:
    fields = {
        "qname": "all.q", "hostname": "n1.x", "owner": "alice", "jobname": "job", "jobnumber": str(number), "taskid": "undefined",
        "account": "sge", "qsub_time": "Sun Nov 22 10:00:00 2026", "start_time": "Sun Nov 22 10:05:00 2026",
        "end_time": "Sun Nov 22 10:06:00 2026", "granted_pe": "NONE", "slots": "1", "failed": "0    ", "exit_status": "0",
        "ru_wallclock": "60s",
        "maxvmem": "1.750MB",
    } | changes  # fmt: skip
    return "=" * 62 + "\n" + "".join(f"{key:<12} {value}\n" for key, value in fields.items())


def answer(job_id: str, *records: str, status: int = 0) -> str:
    return f"begin {NONCE} {job_id}\n{''.join(records)}end {NONCE} {job_id} {status}\n"


def jobs_of(scheduler: GridEngineScheduler, out: str) -> dict[str, Job]:
    return {job.job_id: job for job in scheduler.jobs(report("jobs", out)).records}


@pytest.fixture
def scheduler() -> GridEngineScheduler:
    return GridEngineScheduler("c1")


# States


@pytest.mark.parametrize(("state", "letters"), [(state, letters) for state, each in DOCUMENTED.items() for letters in each])
def test_every_documented_state_has_its_place(state: JobState, letters: str) -> None:
    assert job_state(letters) == (state, True)


@pytest.mark.parametrize("letters", ["", "z", "X", "rX", "qwr", "rr", "E", "d", "Er", "qs", "h", "R"])
def test_letters_that_mean_nothing_together_are_unknown(letters: str) -> None:
    assert job_state(letters) == (JobState.UNDETERMINED, False)


def test_no_combination_of_letters_is_an_end() -> None:
    for length in range(4):
        for letters in itertools.permutations([*JOB_LETTERS, "z"], length):
            assert not job_state("".join(letters))[0].ended


@pytest.mark.parametrize(
    ("states", "in_use", "availability"),
    [
        ([""], True, Availability.UP),
        (["a", "A"], True, Availability.UP),
        (["d", ""], True, Availability.UP),
        (["d", "d"], True, Availability.DRAINING),
        (["d", "D"], False, Availability.DRAINED),
        (["E"], False, Availability.DRAINED),
        (["s", "S", "C"], True, Availability.DRAINING),
        (["c"], False, Availability.DRAINED),
        (["o"], True, Availability.DRAINING),
        (["au", "au"], True, Availability.DOWN),
        (["adu"], False, Availability.DOWN),
        (["uX"], False, Availability.DOWN),
    ],
)
def test_a_node_is_what_its_queue_instances_say(states: list[str], *, in_use: bool, availability: Availability) -> None:
    assert node_availability(states, in_use=in_use)[0] is availability


def test_a_letter_nobody_knows_makes_a_node_unknown() -> None:
    assert node_availability(["X"], in_use=True) == (Availability.UNKNOWN, False)
    assert set(INSTANCE_LETTERS) == set("acdosuACDESP")


# Ends


@pytest.mark.parametrize(
    ("failed", "status", "outcome", "code", "signal"),
    [
        (0, 0, Outcome.COMPLETED, 0, None),
        (0, 3, Outcome.FAILED, 3, None),
        (0, 255, Outcome.FAILED, 255, None),
        (0, 139, Outcome.FAILED, None, 11),
        (37, 137, Outcome.TIMEOUT, None, 9),
        (100, 137, Outcome.FAILED, None, 9),
        (100, 138, Outcome.TIMEOUT, None, 10),
        (100, 152, Outcome.FAILED, None, 24),
        (19, 0, Outcome.FAILED, None, None),
        (15, 2, Outcome.FAILED, 2, None),
    ],
)
def test_how_a_run_ended(failed: int, status: int, outcome: Outcome, code: int | None, signal: int | None) -> None:
    end = end_of(failed, status)
    assert end is not None
    assert end[1] is outcome
    assert exit_of(failed, status) == (code, signal)


@pytest.mark.parametrize("failed", [1, 3, 7, 8, 10, 11, 24, 25, 26, 27, 28, 29, 30, 33, 36, 38])
def test_a_job_that_went_back_to_the_queue_has_not_ended(failed: int) -> None:
    assert end_of(failed, 0) is None


def test_a_job_seen_while_it_was_deleted_was_cancelled(scheduler: GridEngineScheduler) -> None:
    found = scheduler.ended(report("ended", record(failed="100 : assumedly after job", exit_status="137")), ()).records[0]
    for letters, outcome in [("dr", Outcome.CANCELLED), ("dRs", Outcome.CANCELLED), ("r", Outcome.FAILED), ("Xd", Outcome.FAILED)]:
        seen = jobs_of(scheduler, qstat(running=element(7, letters, STARTED)))["7"]
        refined = scheduler.refine(seen, found)
        assert (refined.outcome, refined.exit_signal) == (outcome, 9)
    done = scheduler.ended(report("ended", record()), ()).records[0]
    seen = jobs_of(scheduler, qstat(running=element(7, "dr", STARTED)))["7"]
    assert scheduler.refine(seen, done) is done


def test_only_a_job_that_waited_can_be_gone_without_a_record(scheduler: GridEngineScheduler) -> None:
    for letters in ("qw", "hqw", "Eqw"):
        seen = jobs_of(scheduler, qstat(element(7, letters, SUBMITTED)))["7"]
        end = scheduler.unrecorded(seen)
        assert end is not None
        assert (end.state, end.outcome, end.ended_at) == (JobState.FAILED, Outcome.CANCELLED, None)
    for letters in ("r", "dr", "s"):
        assert scheduler.unrecorded(jobs_of(scheduler, qstat(running=element(7, letters, STARTED)))["7"]) is None
    members = jobs_of(scheduler, qstat(element(7, "qw", SUBMITTED, "<tasks>1-9:1</tasks>")))["7.1-9:1"]
    assert scheduler.unrecorded(members) is None


def test_runs_of_one_submit_time_are_one_job(scheduler: GridEngineScheduler) -> None:
    first = record(failed="25  : rescheduling", exit_status="99")
    last = record(start_time="Sun Nov 22 10:07:00 2026", end_time="Sun Nov 22 10:09:00 2026", exit_status="4")
    older = record(qsub_time="Sat Feb  7 10:00:00 2026")
    answered = scheduler.ended(report("ended", older + first + last), ())
    ends = [(job.outcome, job.exit_code, job.restarts) for job in answered.records]
    assert ends == [(Outcome.COMPLETED, 0, None), (Outcome.FAILED, 4, 1)]
    assert answered.recorded_until == answered.records[1].ended_at
    assert answered.problems == ()


def test_a_run_that_goes_on_is_no_end(scheduler: GridEngineScheduler) -> None:
    job = scheduler.ended(report("ended", record(failed="25  : rescheduling", exit_status="99")), ()).records[0]
    assert (job.state, job.outcome, job.ended_at, job.restarts) == (JobState.UNDETERMINED, None, None, 1)


def test_two_ends_of_one_run_that_differ_are_kept_out(scheduler: GridEngineScheduler) -> None:
    early = record(end_time="Sun Nov 22 10:05:30 2026", exit_status="1")
    late = record(start_time="Sun Nov 22 10:05:10 2026")
    other_owner = record(owner="mallory")
    for out in (early + late, record() + other_owner):
        answered = scheduler.ended(report("ended", out), ())
        assert answered.records == ()
        assert [problem.subject for problem in answered.problems] == ["7"]


def test_records_of_tasks_of_slaves_do_not_speak_for_the_job(scheduler: GridEngineScheduler) -> None:
    slave = record(granted_pe="mpi", slots="4", pe_taskid="1.n2", exit_status="1")
    own = record(granted_pe="mpi", slots="4", pe_taskid="NONE")
    for out in (slave + own, own + slave):
        answered = scheduler.ended(report("ended", out), ())
        assert [(job.outcome, job.nodes) for job in answered.records] == [(Outcome.COMPLETED, ())]


def test_an_id_without_a_record_is_an_answer_and_every_other_failure_is_none(scheduler: GridEngineScheduler) -> None:
    unknown = b"error: job id 8 not found\n"
    both = answer("7", record()) + answer("8", status=1)
    assert [job.job_id for job in scheduler.ended(report("ended", both, status=1, err=unknown), ("7", "8")).records] == ["7"]
    assert scheduler.ended(report("ended", answer("8", status=1), status=1, err=unknown), ("8",)).records == ()
    assert scheduler.ended(report("ended", "", status=1, err=unknown), ("8",)).records == ()
    member = b"error: ignoring invalid entry in line 5\nerror: Job-array tasks 29.4-4:1 not found\n"
    assert scheduler.ended(report("ended", answer("29.4", status=1), status=1, err=member), ("29.4",)).records == ()
    no_file = b"/x/accounting: No such file or directory\nno jobs running since startup\n"
    for out, status, err in [
        (both, 1, no_file), (both, 1, unknown + no_file), (both, 1, b""), ("", 0, b""), ("", 1, b""),
        (answer("7", status=1) + answer("8", status=1), 1, unknown),
    ]:  # fmt: skip
        with pytest.raises(ScriptFailed):
            scheduler.ended(report("ended", out, status=status, err=err), ("7", "8"))


def test_a_job_that_was_rescheduled_has_a_new_submit_time_and_its_restarts(scheduler: GridEngineScheduler) -> None:
    """`qmod -r` writes records without any time before that of the run (8.1.9/rescheduled-and-ended)."""
    again = record(qsub_time="Thu Jan  1 00:00:00 1970", start_time="-/-", end_time="-/-", failed="25  : rescheduling")
    ended = scheduler.ended(report("ended", answer("7", again, again, record(exit_status="3"))), ("7",))
    assert [(job.outcome, job.exit_code, job.restarts) for job in ended.records] == [(Outcome.FAILED, 3, 2)]
    waits = scheduler.ended(report("ended", answer("7", record(), again)), ("7",)).records
    assert [(job.outcome, job.restarts) for job in waits] == [(Outcome.COMPLETED, None), (None, 1)]


def test_members_that_run_keep_their_submit_time_when_another_is_rescheduled(scheduler: GridEngineScheduler) -> None:
    """qstat then prints a new one for all that wait (8.1.9/nodes-in-trouble)."""
    runs = element(7, "r", STARTED, "<tasks>1</tasks>")
    late = SUBMITTED.replace("10:00", "11:00")
    old, new = 1795341600000, 1795345200000
    ahead = qstat(element(7, "Rq", late, "<tasks>3</tasks>") + element(7, "qw", late, "<tasks>5-9:2</tasks>"), runs)
    fresh = {job_id: job.submitted_at for job_id, job in jobs_of(scheduler, ahead).items()}
    assert fresh == {"7.1": None, "7.3": new, "7.5-9:2": new}, "nothing was submitted after it started"
    scheduler = GridEngineScheduler("c1")
    jobs_of(scheduler, qstat(element(7, "qw", SUBMITTED, "<tasks>3-9:2</tasks>"), runs))
    after = {job_id: job.submitted_at for job_id, job in jobs_of(scheduler, ahead).items()}
    assert after == {"7.1": old, "7.3": new, "7.5-9:2": old}
    restarted = element(7, "Rr", STARTED.replace("10:05", "11:05"), "<tasks>3</tasks>").replace('state="x"', 'state="running"')
    then = qstat(element(7, "qw", late, "<tasks>5-9:2</tasks>"), runs + restarted)
    assert {key: job.submitted_at for key, job in jobs_of(scheduler, then).items()} == {"7.1": old, "7.3": new, "7.5-9:2": old}
    other = qstat(element(7, "qw", late, "<tasks>1-9:2</tasks>"))
    scheduler = GridEngineScheduler("c1")
    jobs_of(scheduler, qstat(element(7, "qw", SUBMITTED, "<tasks>1-9:2</tasks>")))
    assert jobs_of(scheduler, other)["7.1-9:2"].submitted_at == new, "the number was given again"


def test_a_table_after_the_records_is_no_record(scheduler: GridEngineScheduler) -> None:
    """`qacct -j -o alice` prints one for each owner."""
    rule = "=" * 118
    head = "OWNER     WALLCLOCK         UTIME         STIME           CPU             MEMORY                 IO                IOW"
    row = "alice           395         0.098         0.092         0.190              0.000              0.002              0.000"
    table = f"{head}\n{rule}\n{row}\n"
    assert len(scheduler.ended(report("ended", record() + table), ()).records) == 1
    for bad in (table + record(8), f"{head}\n{row}\n", table + "x\n"):
        with pytest.raises(ReportUnreadable):
            scheduler.ended(report("ended", record() + bad), ())


def test_the_configuration_alone_says_everything_but_the_version(scheduler: GridEngineScheduler) -> None:
    parameters = "reporting_params  accounting=true reporting=false \\\n    flush_time=00:00:05 joblog=false sharelog=00:00:00\n"
    about = scheduler.about(report("about", f"#global:\nmailer   /bin/true\n{parameters}"))
    assert (about.version, about.accounting, scheduler.settles_after_ms()) == (None, True, 7_000)
    for more, wait in [("accounting_flush_time=00:00:30", 32_000), ("accounting_flush_time=0:0:0", 2_000)]:
        scheduler.about(report("about", f"#global:\n{parameters.replace('joblog', more + ' joblog')}"))
        assert scheduler.settles_after_ms() == wait
    scheduler.about(report("about", "#global:\nmailer  x\n"))
    assert scheduler.settles_after_ms() == 17_000
    with pytest.raises(ReportUnreadable):
        scheduler.about(report("about", "#name  shortcut\ngpu gpu INT <= YES YES 0 0\n"))


@pytest.mark.parametrize("argv", [("qstat", "-xml"), ("qstat", "-u", "bob", "-xml"), ("qstat", "-u", "*", "-s", "r", "-xml")])
def test_of_some_jobs_nothing_is_counted(argv: tuple[str, ...]) -> None:
    def figures(argv: tuple[str, ...]) -> tuple[object, ...]:
        scheduler = GridEngineScheduler("c1")
        scheduler.about(recorded("gpu-complex", "about"))
        jobs = scheduler.jobs(report("jobs", recorded("gpu-complex", "jobs").stdout, argv=argv)).records
        nodes = scheduler.nodes(recorded("gpu-complex", "nodes")).records
        queues = scheduler.queues(recorded("gpu-complex", "queues"), nodes=nodes, jobs=jobs).records
        return {node.gpus_used for node in nodes}, {queue.jobs_running for queue in queues}, sum(node.cores_used or 0 for node in nodes)

    assert figures(argv)[:2] == ({None}, {None})
    assert figures(("qstat", "-u", "*", "-f", "-xml", "-r"))[2] == figures(argv)[2], "queue instances count for themselves"
    assert None not in figures(("qstat", "-u", "*", "-f", "-xml", "-r"))[1]  # type: ignore[operator]


# What nobody can forge


def test_a_whole_forged_record_makes_the_end_unknown_and_never_false(scheduler: GridEngineScheduler) -> None:
    """Anybody can write one for anybody's job: `qsub -l arch=` with a newline (8.1.9/forged-record)."""
    true, forged = record(exit_status="3"), record(end_time="Sun Nov 22 10:09:00 2026")
    for records in ((forged, true), (true, forged), (true, forged, forged)):
        answered = scheduler.ended(report("ended", answer("7", *records) + answer("8", record(8))), ("7", "8"))
        assert [job.job_id for job in answered.records] == ["8"]
        assert ["forged" in problem.text for problem in answered.problems] == [True]
    assert len(scheduler.ended(report("ended", answer("7", true, true)), ("7",)).records) == 1, "twice the same is no contradiction"


def test_a_record_that_qacct_cannot_read_is_not_the_silence_of_a_job_without_one(scheduler: GridEngineScheduler) -> None:
    err = b"error: ignoring invalid entry in line 1\nerror: job id 4 not found\nerror: job id 9 not found\n"
    out = answer("4", status=1) + answer("9", status=1)
    answered = scheduler.ended(report("ended", out, status=1, err=err), ("4", "9"))
    assert (answered.records, [problem.subject for problem in answered.problems]) == ((), ["4"])


def test_an_answer_speaks_for_nobody_else(scheduler: GridEngineScheduler) -> None:
    out = answer("7", record(7), record(8, owner="root")) + answer("9", record(9, exit_status="2"))
    answered = scheduler.ended(report("ended", out), ("7", "9", "8"))
    assert [job.job_id for job in answered.records] == ["7", "9"]
    assert ["not asked for" in problem.text for problem in answered.problems] == [True]
    plain = scheduler.ended(report("ended", record(7) + record(8), argv=("/x/bin/qacct", "-j", "7")), ())
    assert [job.job_id for job in plain.records] == ["7"]


@pytest.mark.parametrize(
    "name",
    [
        "x\n" + record(8).rstrip("\n"),
        "x\n" + record(8, owner="root").rpartition("jobnumber")[0] + "account y",
        "x\njobnumber    8",
        "x\n" + "=" * 62,
        "x\nTotal System Usage\nqname",
        "x\n!",
    ],
)
def test_a_forged_line_spoils_its_own_answer_only(scheduler: GridEngineScheduler, name: str) -> None:
    bad = record(7, jobname=name)
    out = answer("6", record(6)) + answer("7", bad) + answer("8", status=1) + answer("9", record(9))
    answered = scheduler.ended(report("ended", out), ())
    assert {job.job_id for job in answered.records} - {"7"} == {"6", "9"}
    assert all(job.owner == "alice" for job in answered.records)
    assert answered.problems
    with pytest.raises(ReportUnreadable):
        scheduler.ended(report("ended", bad), ())


@pytest.mark.parametrize("query", ["jobs", "nodes", "queues", "ended"])
def test_half_a_document_says_nothing(scheduler: GridEngineScheduler, query: str) -> None:
    whole = recorded("ended" if query == "ended" else "zoo", query).stdout
    for length in range(1, len(whole) - 1, 97):
        cut = report(query, whole[:length])
        if query == "ended" and whole[:length].endswith(b"\n"):
            continue
        with pytest.raises(SchedulerError):
            _ask(scheduler, cut)


def _ask(scheduler: GridEngineScheduler, asked: Report) -> object:
    if asked.query == "jobs":
        return scheduler.jobs(asked)
    if asked.query == "nodes":
        return scheduler.nodes(asked)
    if asked.query == "ended":
        return scheduler.ended(asked, ())
    return scheduler.queues(asked, nodes=None, jobs=None)


@pytest.mark.parametrize(
    "out",
    [
        "",
        "error: denied\n",
        "<unknown_jobs><ST_name>9</ST_name></unknown_jobs>",
        "<job_info></job_info>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>" + qstat(),
        qstat().replace("<queue_info>", "<!-- --><queue_info>"),
        qstat("<![CDATA[x]]>"),
        qstat("<cluster_queue_summary></cluster_queue_summary>"),
        qstat(element(1, "qw") + "text"),
        qstat(element(1, "qw").replace("</job_list>", "")),
        qstat(element(1, "qw") * 2).replace("</job_list><job_list", "<job_list", 1),
        qstat(running=element(1, "r", STARTED), instance="no host"),
    ],
)
def test_what_is_no_list_of_jobs_is_rejected_whole(scheduler: GridEngineScheduler, out: str) -> None:
    with pytest.raises(SchedulerError):
        scheduler.jobs(report("jobs", out))


def test_ids_that_qstat_does_not_know_are_no_empty_list_of_jobs(scheduler: GridEngineScheduler) -> None:
    out = "<?xml version='1.0'?>\n<unknown_jobs>\n  <ST_name>99999</ST_name>\n</unknown_jobs>\n"
    asked = report("jobs", out, argv=("qstat", "-j", "99999", "-xml"))
    assert scheduler.jobs(asked).records == ()
    assert scheduler.ended(dataclasses.replace(asked, query="ended"), ("99999",)).records == ()
    for argv in ((), ("qstat", "-u", "*", "-xml")):
        with pytest.raises(ReportUnreadable):
            scheduler.jobs(dataclasses.replace(asked, argv=argv))


def test_an_empty_list_is_proven_by_its_lists(scheduler: GridEngineScheduler) -> None:
    answered = scheduler.jobs(report("jobs", qstat()))
    assert (answered.records, answered.problems) == ((), ())


@pytest.mark.parametrize(
    "bad",
    [
        element(2, "r", STARTED, "<JB_owner>root</JB_owner>"),
        element(2, "r", STARTED, "<x><y>1</y></x>"),
        element(2, "r", STARTED, slots="nan"),
        element(2, "r", STARTED, slots="1e999"),
        element(2, "r", STARTED, "<tasks>1-3:1</tasks>"),
        element(2, "r", "<JAT_start_time>yesterday</JAT_start_time>"),
        element(2, "r", STARTED) * 2,
        element(2, "r", STARTED, '<hard_request name="gpu">many</hard_request>'),
    ],
)
def test_a_job_that_cannot_be_true_is_kept_out_alone(scheduler: GridEngineScheduler, bad: str) -> None:
    answered = scheduler.jobs(report("jobs", qstat(element(1, "qw", SUBMITTED), bad)))
    assert [job.job_id for job in answered.records] == ["1"]
    assert {problem.subject for problem in answered.problems} <= {"2", "2.1-3:1"}
    assert answered.problems


def test_text_is_just_bytes(scheduler: GridEngineScheduler) -> None:
    raw = b"a\x00\x01\xe9\x1b[2J &#10;%lt;b&gt;&amp;lt;&evil;&#x202e;"
    out = qstat(element(1, "qw", SUBMITTED, name="NAME")).encode().replace(b"NAME", raw)
    (job,) = scheduler.jobs(report("jobs", out)).records
    assert job.name == "a\\x00\\x01\\xe9\\x1b[2J \\x0a<b>&lt;&evil;\\u202e"
    assert plain_text(b"%lt;x&gt;") == "<x>"


# What is remembered


def test_unchanged_jobs_are_the_same_objects_though_the_priority_moves(scheduler: GridEngineScheduler) -> None:
    first = scheduler.jobs(recorded("zoo", "jobs")).records
    moved = re.sub(rb"(<JAT_prio>)0\.\d+", rb"\g<1>0.99999", recorded("zoo", "jobs").stdout)
    again = scheduler.jobs(report("jobs", moved)).records
    assert len(first) == 18
    assert all(old is new for old, new in zip(first, again, strict=True))


def test_a_job_that_starts_keeps_the_time_it_was_submitted(scheduler: GridEngineScheduler) -> None:
    waiting = jobs_of(scheduler, qstat(element(5, "qw", SUBMITTED)))["5"]
    running = jobs_of(scheduler, qstat(running=element(5, "r", STARTED)))["5"]
    still = jobs_of(scheduler, qstat(running=element(5, "dr", STARTED)))["5"]
    assert waiting.submitted_at == running.submitted_at == still.submitted_at is not None
    other = jobs_of(scheduler, qstat(running=element(5, "r", STARTED, owner="bob")))["5"]
    assert other.submitted_at is None
    assert jobs_of(GridEngineScheduler("c1"), qstat(running=element(5, "r", STARTED)))["5"].submitted_at is None


def test_the_list_of_jobs_counts_on_nodes_only_while_it_is_fresh(scheduler: GridEngineScheduler) -> None:
    scheduler.jobs(recorded("zoo", "jobs"))
    used = [{node.name: node.cores_used for node in scheduler.nodes(recorded("zoo", "nodes")).records}["node01"] for _ in range(6)]
    assert used == [6, 6, 6, 6, 16, 16]
    with pytest.raises(ScriptFailed):
        scheduler.jobs(report("jobs", "", status=1))
    assert {node.name: node.gpus_used for node in scheduler.nodes(recorded("zoo", "nodes")).records}["gpu01"] is None


def test_how_a_consumable_counts_is_said_by_the_complexes(scheduler: GridEngineScheduler) -> None:
    complexes = "SGE 8.1.9\n#global:\ngpu   gpu  INT  <=  YES  {kind}  0  0\nh_vmem h_vmem MEMORY <= YES {kind} 0 0\n"
    gpu = '<hard_request name="gpu" resource_contribution="0">2</hard_request>'
    memory = '<hard_request name="h_vmem" resource_contribution="0">2G</hard_request>'
    out = qstat(element(5, "qw", SUBMITTED, gpu, memory, slots="4"))

    def figures() -> tuple[int | None, int | None]:
        job = jobs_of(scheduler, out)["5"]
        return job.gpus, job.memory_bytes

    assert figures() == (2, 8 << 30)
    scheduler.about(report("about", complexes.format(kind="YES")))
    assert figures() == (8, 8 << 30)
    scheduler.about(report("about", complexes.format(kind="JOB")))
    assert figures() == (2, 2 << 30)


def test_without_requests_nothing_is_said_of_gpus(scheduler: GridEngineScheduler) -> None:
    job = jobs_of(scheduler, qstat(element(5, "qw", SUBMITTED)))["5"]
    assert (job.gpus, job.memory_bytes, job.walltime_limit_seconds) == (None, None, None)


def test_about_reads_accounting_and_version(scheduler: GridEngineScheduler) -> None:
    config = "reporting_params             accounting=false reporting=true \\\n                             flush_time=00:00:15\n"
    for first, version in [("SGE 8.1.9", "8.1.9"), ("GE 6.2u5", "6.2u5"), ("UGE 8.6.17", "8.6.17"), ("OGS/GE 2011.11p1", "2011.11p1")]:
        about = scheduler.about(report("about", f"{first}\n#global:\n{config}"))
        assert (about.version, about.accounting) == (version, False)
    with pytest.raises(ReportUnreadable):
        scheduler.about(report("about", "usage: qconf\n"))


# Members of arrays


def test_one_member_that_waits_is_a_range_of_one(scheduler: GridEngineScheduler) -> None:
    out = qstat(element(5, "qw", SUBMITTED, "<tasks>9</tasks>"))
    job = jobs_of(scheduler, out)["5.9"]
    assert (job.array_job_id, job.array_index, job.array_pending) == ("5", None, 1)
    alone = scheduler.jobs(report("jobs", out, argv=("qstat", "-g", "d", "-xml")))
    assert (alone.records[0].array_index, alone.records[0].array_pending) == (9, None)


@pytest.mark.parametrize(("tasks", "count"), [("7,10", 2), ("1-10:1", 10), ("7-9:1,12", 4), ("1-100:3", 34)])
def test_ranges_are_counted(scheduler: GridEngineScheduler, tasks: str, count: int) -> None:
    assert jobs_of(scheduler, qstat(element(5, "qw", SUBMITTED, f"<tasks>{tasks}</tasks>")))[f"5.{tasks}"].array_pending == count


# Values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7200", 7200), ("168:00:00", 604_800), ("0:30:0", 1800), (":30:", 1800), ("1::", 3600), ("INFINITY", None), ("NONE", None)],
)
def test_limits(text: str, seconds: int | None) -> None:
    assert parse_limit(text) == seconds


@pytest.mark.parametrize("text", ["1:2:3:4", "-1", "1e9", "1h", "٣"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_limit(text)


@pytest.mark.parametrize(
    ("text", "size"), [("23.5G", 25_232_932_864), ("2g", 2_000_000_000), ("1K", 1024), ("0.0", 0), ("-", None), ("INFINITY", None)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert parse_memory(text) == size


def test_times_are_of_the_zone_of_the_command_and_never_guessed() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    utc = parse_time("2026-11-22T10:44:09", datetime.UTC)
    assert utc == 1_795_344_249_000
    assert parse_time("Sun Nov 22 11:44:09 2026", berlin) == utc
    assert parse_time("11/22/2026 10:44:09.250", datetime.UTC) == utc + 250
    assert parse_time("2026-10-25T02:30:00", berlin) is None
    assert parse_time("-/-", datetime.UTC) is None
    assert parse_time("Thu Jan  1 00:00:00 1970", datetime.UTC) is None
    with pytest.raises(ValueError, match="not a time"):
        parse_time("soon", datetime.UTC)


@pytest.mark.parametrize(
    ("h_rt", "longest"),
    [("INFINITY", None), ("0:30:0", 1800), ("0:30:0,[n1.x=1:0:0],[@big=2:0:0]", 7200), ("0:30:0,[n1.x=INFINITY]", None)],
)
def test_the_longest_limit_of_a_queue_counts(h_rt: str, longest: int | None) -> None:
    values = {"qname": "q", "hostlist": "@all", "pe_list": "NONE", "initial_state": "default", "h_rt": h_rt}
    queue = queue_from("c1", values, instances=None, gpus={}, jobs=None, elsewhere=False)
    assert (queue.max_walltime_seconds, queue.max_cores, queue.nodes, queue.cores_total) == (longest, 1, (), None)


def test_no_queues_at_all_is_an_answer(scheduler: GridEngineScheduler) -> None:
    none = report("queues", "", status=1, err=b"no cqueue list defined\n")
    assert scheduler.queues(none, nodes=None, jobs=None).records == ()
    with pytest.raises(ScriptFailed):
        scheduler.queues(dataclasses.replace(none, stderr=b"denied\n"), nodes=None, jobs=None)


def test_two_hosts_of_one_short_name_keep_their_domains(scheduler: GridEngineScheduler) -> None:
    hosts = "".join(f"<host name='{name}'><hostvalue name='load_avg'>1</hostvalue></host>" for name in ("a.x", "a.y", "b.x"))
    nodes = scheduler.nodes(report("nodes", f"<qhost>{hosts}</qhost>")).records
    assert [node.name for node in nodes] == ["a.x", "a.y", "b"]
    twice = scheduler.nodes(report("nodes", f"<qhost>{hosts}{hosts}</qhost>"))
    assert twice.records == ()
    assert len(twice.problems) == 6


def test_a_large_cluster_is_read_whole(scheduler: GridEngineScheduler) -> None:
    made = {query: report(query, out) for query, out in reports(600, 40).items()}
    jobs = scheduler.jobs(made["jobs"])
    nodes = scheduler.nodes(made["nodes"])
    queues = scheduler.queues(made["queues"], nodes=nodes.records, jobs=jobs.records)
    assert (len(jobs.records), len(nodes.records), len(queues.records)) == (600, 40, 2)
    assert jobs.problems == nodes.problems == queues.problems == ()
    cores = sum(job.cores or 0 for job in jobs.records if job.state is JobState.RUNNING)
    assert cores == sum(node.cores_used or 0 for node in nodes.records) == sum(queue.cores_used or 0 for queue in queues.records)
