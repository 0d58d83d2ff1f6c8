# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Slurm's words and figures one by one, whole reports that must be refused, and how accounting completes the queue's records."""

from __future__ import annotations

import dataclasses
import re

import pytest

from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.schedulers.recording import Recording, complete, normalise
from hpcbridge.schedulers.report import Answer, Problem, ProblemKind, Report
from hpcbridge.schedulers.slurm import scheduler as slurm
from hpcbridge.schedulers.slurm.columns import SACCT_HEADER, SQUEUE_HEADER, Layout
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from hpcbridge.schedulers.slurm.states import STATES, exit_of, node_availability

NONCE = "0badcafe"
COLUMNS = {
    "JOBARRAYID": "7", "JOBID": "7", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "N/A", "HET_JOB_ID": "N/A", "HET_JOB_OFFSET": "N/A",
    "USER": "alice", "ACCOUNT": "proj1", "PARTITION": "batch", "STATE": "RUNNING", "REASON": "None", "SUBMIT_TIME": "1795349472",
    "ELIGIBLE_TIME": "1795349472", "START_TIME": "1795349473", "END_TIME": "1795351273", "TIME_LIMIT": "30:00", "CPUS": "2", "NODES": "1",
    "NODELIST": "c1", "TRES_ALLOC": "cpu=2,mem=200M,node=1,billing=2", "TRES_PER_NODE": "N/A", "TRES_PER_JOB": "N/A",
    "TRES_PER_TASK": "N/A", "MIN_MEMORY": "100M", "EXIT_CODE": "0", "REQUEUE": "1", "RESTART_COUNT": "0", "NAME": "job",
}  # fmt: skip


def squeue(*jobs: dict[str, str], header: tuple[str, ...] = SQUEUE_HEADER, stderr: bytes = b"", exit_status: int = 0) -> Report:
    lines = [f"TIME|{NONCE}|{'|'.join(header)}"]
    lines += [f"0:05|{NONCE}|{'|'.join({**COLUMNS, **job}.values())}" for job in jobs]
    return Report("jobs", ("squeue",), exit_status, ("\n".join(lines) + "\n").encode(), stderr)


def sacct(*rows: dict[str, str], stderr: bytes = b"") -> Report:
    base = dict.fromkeys(SACCT_HEADER, "") | {
        "JobID": "7", "JobIDRaw": "7", "State": "COMPLETED", "ExitCode": "0:0", "Submit": "1795349472", "Start": "1795349473",
        "End": "1795349483", "ElapsedRaw": "10", "TimelimitRaw": "30", "AllocCPUS": "2", "AllocNodes": "1", "NodeList": "c1",
        "AllocTRES": "cpu=2,mem=200M,node=1", "User": "alice", "Account": "proj1", "Partition": "batch", "JobName": "job",
    }  # fmt: skip
    separator = f"|{NONCE}|"
    lines = [separator.join(SACCT_HEADER), *(separator.join((base | row).values()) for row in rows)]
    return Report("ended", ("sacct",), 0, ("\n".join(lines) + "\n").encode(), stderr)


def scontrol(*records: str, stderr: bytes = b"", exit_status: int = 0) -> Report:
    return Report("ended_fallback", ("scontrol",), exit_status, "".join(f"{record}\n" for record in records).encode(), stderr)


def shown(job_id: str, *, owner: str = "alice(2001)", name: str = "job", state: str = "COMPLETED", tail: str = "") -> str:
    return (
        f"JobId={job_id} JobName={name} UserId={owner} GroupId=g(1) MCS_label=N/A Priority=1 Nice=0 Account=p QOS=n JobState={state} "
        "Reason=None Dependency=(null) Requeue=1 Restarts=0 ExitCode=0:0 RunTime=00:00:01 TimeLimit=00:30:00 SubmitTime=1795349472 "
        "StartTime=1795349473 EndTime=1795349474 Partition=batch NodeList=c1 NumNodes=1 NumCPUs=1 TRES=cpu=1,mem=100M,node=1 "
        f"Command=(null) WorkDir=/tmp{tail}"
    )


def one_job(report: Report) -> Job:
    answer = SlurmScheduler("c1").jobs(report)
    assert answer.problems == ()
    (job,) = answer.records
    return job


def kinds(answer: Answer[Job]) -> list[tuple[ProblemKind, str | None]]:
    return [(problem.kind, problem.subject) for problem in answer.problems]


def test_every_documented_state_is_in_the_table() -> None:
    """squeue(1) of 22.05, JOB STATE CODES, and the two flags of later versions; the two left out stand in no table of interfaces.md."""
    documented = """BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PENDING PREEMPTED RUNNING
        RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED TIMEOUT
        LAUNCH_FAILED RECONFIG_FAIL"""
    assert set(documented.split()) - {"RESV_DEL_HOLD", "REQUEUE_FED"} == set(STATES)
    assert all((outcome is not None) is state.ended for state, outcome in STATES.values())


@pytest.mark.parametrize(
    ("native", "reason", "state", "outcome"),
    [
        ("PENDING", "Resources", JobState.QUEUED, None),
        ("PENDING", "JobHeldUser", JobState.QUEUED_HELD, None),
        ("PENDING", "JobHeldAdmin", JobState.QUEUED_HELD, None),
        ("PENDING", "job requeued in held state", JobState.REQUEUED_HELD, None),
        ("PENDING", "job_requeued_in_held_state", JobState.REQUEUED_HELD, None),
        ("RESV_DEL_HOLD", "None", JobState.UNDETERMINED, None),
        ("REQUEUE_FED", "None", JobState.UNDETERMINED, None),
        ("SPECIAL_EXIT", "None", JobState.REQUEUED_HELD, None),
        ("COMPLETING", "None", JobState.RUNNING, None),
        ("COMPLETED+COMPLETING", "None", JobState.RUNNING, None),
        ("PENDING,REQUEUED", "None", JobState.REQUEUED, None),
        ("NODE_FAIL", "NodeDown", JobState.FAILED, Outcome.NODE_FAILED),
        ("CANCELLED by 2001", "None", JobState.FAILED, Outcome.CANCELLED),
    ],
)
def test_states(native: str, reason: str, state: JobState, outcome: Outcome | None) -> None:
    answer = SlurmScheduler("c1").jobs(squeue({"STATE": native, "REASON": reason}))
    (job,) = answer.records
    assert (job.state, job.outcome, job.native_state) == (state, outcome, native)
    assert [problem.kind for problem in answer.problems] == [ProblemKind.UNKNOWN_STATE] * (state is JobState.UNDETERMINED)


def test_an_unknown_state_is_kept_undetermined_and_reported() -> None:
    answer = SlurmScheduler("c1").jobs(squeue({"STATE": "EXPEDITED_REQUEUE"}))
    assert answer.records[0].state is JobState.UNDETERMINED
    assert answer.records[0].native_state == "EXPEDITED_REQUEUE"
    assert kinds(answer) == [(ProblemKind.UNKNOWN_STATE, "7")]


@pytest.mark.parametrize(
    ("native", "text", "expected"),
    [
        ("COMPLETED", "0", (0, None)), ("COMPLETED", "0:0", (0, None)), ("FAILED", "768", (3, None)), ("FAILED", "3:0", (3, None)),
        ("FAILED", "11", (None, 11)), ("FAILED", "139", (None, 11)), ("FAILED", "0:9", (None, 9)), ("FAILED", "0:0", (None, None)),
        ("CANCELLED", "0:15", (None, None)), ("TIMEOUT", "15", (None, None)), ("OUT_OF_MEMORY", "0:125", (None, None)),
        ("FAILED", "4294967294", (None, None)),
    ],
)  # fmt: skip
def test_exit_codes_are_believed_only_of_jobs_that_ended_by_themselves(native: str, text: str, expected: tuple[int, int]) -> None:
    assert exit_of(native, text) == expected


def test_estimates_are_no_times_and_what_waits_has_no_nodes() -> None:
    job = one_job(squeue({"STATE": "PENDING", "REASON": "Resources", "NODELIST": ""}))
    assert (job.started_at, job.ended_at, job.nodes, job.wall_seconds) == (None, None, (), None)
    job = one_job(squeue({}))
    assert (job.started_at, job.ended_at, job.wall_seconds) == (1795349473000, None, 5)
    never_ran = one_job(squeue({"STATE": "CANCELLED", "NODELIST": "", "START_TIME": "1795349480", "END_TIME": "1795349480"}))
    assert (never_ran.started_at, never_ran.ended_at) == (None, 1795349480000)


@pytest.mark.parametrize(
    ("columns", "gpus", "kind"),
    [
        ({}, 0, None),
        ({"TRES_ALLOC": "cpu=1,gres/gpu=2", "TRES_PER_NODE": "gres:gpu:a100:2"}, 2, "a100"),
        ({"TRES_ALLOC": "cpu=1,gres/gpu=2", "TRES_PER_JOB": "gres/gpu:a100:2"}, 2, "a100"),
        ({"TRES_ALLOC": "cpu=1,gres/gpu=1", "TRES_PER_NODE": "gres:gpu:1"}, 1, None),
        ({"TRES_ALLOC": "cpu=1,gres/gpu=3,gres/gpu:a100=1,gres/gpu:v100=2"}, 3, "a100,v100"),
        ({"TRES_ALLOC": "cpu=1,gres/gpu:h100=4"}, 4, "h100"),
        ({"TRES_ALLOC": "cpu=2", "TRES_PER_NODE": "gres:gpu:a100:2", "NODES": "3"}, 6, "a100"),
        ({"TRES_ALLOC": "cpu=2", "TRES_PER_TASK": "gres/gpu:1"}, None, None),
        ({"TRES_ALLOC": "N/A"}, None, None),
    ],
)
def test_gpus(columns: dict[str, str], gpus: int | None, kind: str | None) -> None:
    job = one_job(squeue(columns))
    assert (job.gpus, job.gpu_type) == (gpus, kind)


@pytest.mark.parametrize(
    ("gres", "used", "expected"),
    [
        ("(null)", "gpu:0", (0, 0, None)),
        ("gpu:a100:2(S:0-1)", "gpu:a100:1(IDX:0)", (2, 1, "a100")),
        ("gpu:a100:2(S:0,1),gpu:v100:4,shard:16", "gpu:a100:2(IDX:0-1),gpu:v100:0(IDX:N/A)", (6, 2, "a100,v100")),
        ("gpu:2", "gpu:2(IDX:0-1)", (2, 2, None)),
        ("gpu:tesla:no_consume:4", "gpu:tesla:0", (4, 0, "tesla")),
        ("gpu:many", "gpu:0", (None, 0, None)),
    ],
)
def test_gpus_of_nodes(gres: str, used: str, expected: tuple[int | None, int, str | None]) -> None:
    text = f"NodeName=n1 CPUAlloc=0 CPUTot=8 Gres={gres} GresUsed={used} RealMemory=1000 AllocMem=0 State=IDLE Partitions=q AllocTRES=\n"
    (node,) = SlurmScheduler("c1").nodes(Report("nodes", ("x",), 0, text.encode(), b"")).records
    assert (node.gpus_total, node.gpus_used, node.gpu_type) == expected


def test_accounting_that_counts_no_gpus_does_not_say_that_there_were_none() -> None:
    rows: tuple[dict[str, str], ...] = ({}, {"JobID": "8", "JobIDRaw": "8", "AllocTRES": "cpu=1,gres/gpu=2"})
    assert [job.gpus for job in SlurmScheduler("c1").ended(sacct(*rows), []).records] == [None, 2]


def test_figures_that_slurm_shortens() -> None:
    job = one_job(squeue({"CPUS": "2K", "TRES_ALLOC": "cpu=2048,mem=1.50T", "NODELIST": "n[1-16]", "TIME_LIMIT": "UNLIMITED"}))
    assert (job.cores, job.memory_bytes, len(job.nodes), job.walltime_limit_seconds) == (2048, 3 << 39, 16, None)


def test_a_limit_of_365_days_is_none_once_a_job_has_started() -> None:
    unlimited = {"TIME_LIMIT": "365-00:00:00"}
    assert one_job(squeue(unlimited)).walltime_limit_seconds is None
    queued = {**unlimited, "STATE": "PENDING", "NODELIST": ""}
    assert one_job(squeue({**queued, "RESTART_COUNT": "1"})).walltime_limit_seconds is None
    assert one_job(squeue(queued)).walltime_limit_seconds == 365 * 86400
    assert one_job(squeue({"TIME_LIMIT": "Partition_Limit", "STATE": "PENDING", "NODELIST": ""})).walltime_limit_seconds is None


def test_times_as_text_are_read_only_where_the_command_fixed_the_zone() -> None:
    report = squeue({"SUBMIT_TIME": "2026-11-22T12:11:12", "START_TIME": "2026-11-22T12:11:13"})
    assert [problem.kind for problem in SlurmScheduler("c1").jobs(report).problems] == [ProblemKind.QUARANTINED]
    job = one_job(dataclasses.replace(report, argv=("env", "-i", "TZ=UTC", "squeue")))
    assert (job.submitted_at, job.started_at) == (1795349472000, 1795349473000)
    rows = sacct({"Submit": "2026-11-22T12:11:12", "End": "2026-11-22T12:11:23"})
    (ended,) = SlurmScheduler("c1").ended(dataclasses.replace(rows, argv=("env", "TZ=UTC", "sacct")), ["7"]).records
    assert (ended.submitted_at, ended.ended_at) == (1795349472000, 1795349483000)


def test_accounting_that_has_not_heard_of_the_start_does_not_count_cores() -> None:
    row = {"State": "PENDING", "AllocCPUS": "0", "AllocNodes": "0", "AllocTRES": "", "End": "Unknown", "TimelimitRaw": ""}
    (job,) = SlurmScheduler("c1").ended(sacct(row), ["7"]).records
    assert (job.state, job.cores, job.walltime_limit_seconds) == (JobState.UNDETERMINED, None, None)


def test_pending_ranges_and_components() -> None:
    job = one_job(squeue({"JOBARRAYID": "7_[1-2997:7]", "ARRAY_TASK_ID": "1-2997:7", "STATE": "PENDING"}))
    assert (job.array_job_id, job.array_index, job.array_pending) == ("7", None, 429)
    cut = one_job(squeue({"JOBARRAYID": "7_[1,3,5,...]", "ARRAY_TASK_ID": "1,3,5,...", "STATE": "PENDING"}))
    assert cut.array_pending is None
    het = one_job(squeue({"JOBARRAYID": "6+1", "HET_JOB_ID": "6", "HET_JOB_OFFSET": "1"}))
    assert (het.het_job_id, het.het_index, het.array_job_id) == ("6", 1, None)


@pytest.mark.parametrize(
    "columns",
    [
        {"JOBARRAYID": "8"}, {"SUBMIT_TIME": "N/A"}, {"SUBMIT_TIME": "2026-11-22T11:06:05"}, {"CPUS": "many"}, {"NODELIST": "c[1-"},
        {"EXIT_CODE": "9:9:9", "STATE": "FAILED"}, {"RESTART_COUNT": "-1"}, {"TIME_LIMIT": "soon"}, {"JOBARRAYID": "x", "JOBID": "x"},
        {"TRES_ALLOC": "cpu"}, {"END_TIME": "99999999999999", "STATE": "FAILED"},
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_true_is_quarantined_alone(columns: dict[str, str]) -> None:
    answer = SlurmScheduler("c1").jobs(squeue(columns, {"JOBARRAYID": "9", "JOBID": "9", "ARRAY_JOB_ID": "9"}))
    assert [job.job_id for job in answer.records] == ["9"]
    assert [problem.kind for problem in answer.problems] == [ProblemKind.QUARANTINED]
    assert answer.problems[0].line == 2


def test_two_records_of_one_job_contradict_each_other() -> None:
    answer = SlurmScheduler("c1").jobs(squeue({}, {"STATE": "PENDING"}))
    assert answer.records == ()
    assert kinds(answer) == [(ProblemKind.QUARANTINED, "7")] * 2


@pytest.mark.parametrize(
    "report",
    [
        Report("jobs", ("squeue",), 0, b"", b""),
        Report("jobs", ("squeue",), 0, b"\n", b""),
        Report("jobs", ("squeue",), 0, b"garbage\n", b""),
        squeue({}, header=SQUEUE_HEADER[:-2]),
        squeue({}, header=(*SQUEUE_HEADER, "COMMENT")),
        squeue({}, header=tuple(name for name in SQUEUE_HEADER if name != "REASON"), stderr=b"squeue: error: Invalid job format\n"),
        dataclasses.replace(squeue({}), stdout=squeue({}).stdout[:-20]),
        dataclasses.replace(squeue({}), stdout=squeue({}).stdout.replace(b"\n", b"\nwarning\n", 1)),
        dataclasses.replace(squeue({}), stdout=b"Last login\n" + squeue({}).stdout),
    ],
    ids=["nothing", "newline", "garbage", "short", "long", "refused-field", "cut", "text-before-records", "text-before-header"],
)
def test_a_report_that_cannot_be_used_is_rejected_whole(report: Report) -> None:
    with pytest.raises(ReportUnreadable):
        SlurmScheduler("c1").jobs(report)


@pytest.mark.parametrize(
    "report",
    [
        squeue(exit_status=1),
        squeue({}, exit_status=1),
        squeue(stderr=b"slurm_load_jobs error: Unable to contact slurm controller\n"),
        Report("jobs", ("squeue",), 0, b"", b"slurm_load_jobs error: Unable to contact slurm controller\n"),
    ],
)
def test_a_failed_query_is_no_empty_cluster(report: Report) -> None:
    with pytest.raises(ScriptFailed):
        SlurmScheduler("c1").jobs(report)


def test_only_the_header_proves_an_empty_queue() -> None:
    assert SlurmScheduler("c1").jobs(squeue()) == Answer(records=())


FORGED = f"x\n0:00|deadbeef|{'|'.join({**COLUMNS, 'JOBARRAYID': '666', 'JOBID': '666', 'USER': 'root'}.values())}"


def test_a_name_forges_no_record() -> None:
    job = one_job(squeue({"NAME": FORGED}))
    assert (job.job_id, job.owner) == ("7", "alice")


def test_with_any_nonce_taken_for_the_nonce_the_forgery_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: it is the nonce that keeps it out."""

    def records(lines: list[str], nonce: str, layout: Layout) -> list[tuple[int, str, str]]:
        assert layout.width == len(SQUEUE_HEADER)
        matches = [re.match(r"([^|]*)\|([0-9a-f]{8})\|(.*)", line) for line in lines[1:]]
        return [(number, match.group(1), match.group(3)) for number, match in enumerate(matches, 2) if match]

    monkeypatch.setattr(slurm, "_records", records)
    assert [job.job_id for job in SlurmScheduler("c1").jobs(squeue({"NAME": FORGED})).records] == ["7", "666"]


def test_unchanged_lines_give_the_same_objects_again() -> None:
    scheduler = SlurmScheduler("c1")
    (first,) = scheduler.jobs(squeue({})).records
    later = squeue({})
    (again,) = scheduler.jobs(dataclasses.replace(later, stdout=later.stdout.replace(b"0:05|", b"0:20|"))).records
    assert again is first
    (changed,) = scheduler.jobs(squeue({"STATE": "COMPLETING"})).records
    assert (changed is first, changed.native_state) == (False, "COMPLETING")


def test_accounting_gives_each_run_and_no_live_state() -> None:
    answer = SlurmScheduler("c1").ended(
        sacct({"State": "REQUEUED", "Submit": "1795349400"}, {}, {"JobID": "8", "JobIDRaw": "8", "State": "RUNNING"}), ["7", "8"]
    )
    assert [(job.job_id, job.state) for job in answer.records] == [
        ("7", JobState.UNDETERMINED), ("7", JobState.DONE), ("8", JobState.UNDETERMINED),
    ]  # fmt: skip
    assert answer.problems == ()


def test_steps_are_no_jobs() -> None:
    rows = [{"JobID": f"7{step}", "JobIDRaw": f"7{step}", "JobName": "batch"} for step in ("", ".batch", ".extern", ".0")]
    answer = SlurmScheduler("c1").ended(sacct(*rows, {"JobID": "7_1.batch", "JobIDRaw": "8.batch"}), ["7"])
    assert ([job.job_id for job in answer.records], answer.problems) == (["7"], ())


def test_an_empty_answer_beside_an_error_proves_nothing() -> None:
    with pytest.raises(ScriptFailed):
        SlurmScheduler("c1").ended(sacct(stderr=b"sacct: error: Problem talking to the database\n"), ["7"])
    assert SlurmScheduler("c1").ended(sacct(), ["7"]) == Answer(records=())


UNKNOWN_ID = b"slurm_load_jobs error: Invalid job id specified\n"


def test_the_fallback_counts_answers_against_questions() -> None:
    answer = SlurmScheduler("c1").ended(scontrol(shown("7"), stderr=UNKNOWN_ID, exit_status=1), ["7", "9"])
    assert [job.job_id for job in answer.records] == ["7"]
    with pytest.raises(ReportUnreadable, match="2 ids answered and 1 unknown of 2"):
        SlurmScheduler("c1").ended(scontrol(shown("7", tail=f" Comment=x\n{shown('9')}"), stderr=UNKNOWN_ID, exit_status=1), ["7", "9"])


MEMBER = shown("8", tail="").replace("JobId=8", "JobId=8 ArrayJobId=7 ArrayTaskId=1")


def test_an_array_and_a_member_of_it_may_both_be_asked_for() -> None:
    """Recorded: 22.05.8/situations; the member is printed twice, and the time it runs may have moved on."""
    later = MEMBER.replace("RunTime=00:00:01", "RunTime=00:00:02")
    answer = SlurmScheduler("c1").ended(scontrol(MEMBER, later), ["7", "7_1"])
    assert ([job.job_id for job in answer.records], answer.problems) == (["7_1"], ())
    other = MEMBER.replace("JobState=COMPLETED", "JobState=FAILED")
    assert kinds(SlurmScheduler("c1").ended(scontrol(MEMBER, other), ["7", "7_1"])) == [(ProblemKind.QUARANTINED, "7_1")] * 2


def test_a_range_among_the_questions_changes_nothing_for_the_others() -> None:
    """Components answer one question together; recorded on 22.05 and 26.05, where scontrol does not know the range."""
    components = [
        shown(f"{7 + place}").replace(f"JobId={7 + place}", f"JobId={7 + place} HetJobId=7 HetJobOffset={place}") for place in (0, 1)
    ]
    answer = SlurmScheduler("c1").ended(scontrol(*components, stderr=UNKNOWN_ID, exit_status=1), ["7", "30_[1-2997:7]"])
    assert [job.job_id for job in answer.records] == ["7+0", "7+1"]
    assert [job.job_id for job in SlurmScheduler("c1").ended(scontrol(MEMBER), ["7_[1-3]"]).records] == ["7_1"]
    forged = scontrol(shown("7", tail=f" SubmitLine=x\n{shown('9')}"), stderr=UNKNOWN_ID, exit_status=1)
    with pytest.raises(ReportUnreadable, match="2 ids answered and 1 unknown of 2"):
        SlurmScheduler("c1").ended(forged, ["7", "9"])
    assert kinds(SlurmScheduler("c1").ended(forged, ["7", "30_[1-2997:7]"])) == [(ProblemKind.QUARANTINED, "9")]


CUT = shown("7", name="x\nJobId=5 JobName=y")
"""The second half of the record of job 7 claims to be job 5."""


@pytest.mark.parametrize(
    ("report", "asked", "known"),
    [
        (scontrol(CUT, stderr=UNKNOWN_ID, exit_status=1), ["5", "7"], []),
        (scontrol(shown("5"), CUT), ["5", "7"], ["5"]),
        (scontrol(CUT, shown("9")), [], ["9"]),
    ],
)
def test_a_name_with_a_newline_does_not_answer_for_another_job(report: Report, asked: list[str], known: list[str]) -> None:
    answer = SlurmScheduler("c1").ended(report, asked)
    assert [job.job_id for job in answer.records] == known
    assert kinds(answer) == [(ProblemKind.QUARANTINED, "7"), (ProblemKind.QUARANTINED, "5")]


def test_a_name_with_two_newlines_gives_one_answer_too_many() -> None:
    twice = shown("7", name=f"x\n{shown('5')}\nJobId=6 JobName=y")
    with pytest.raises(ReportUnreadable, match="2 ids answered and 1 unknown of 2"):
        SlurmScheduler("c1").ended(scontrol(twice, stderr=UNKNOWN_ID, exit_status=1), ["6", "7"])


def test_believing_what_follows_a_cut_record_lets_the_forgery_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the missing owner of the first half keeps it out."""
    monkeypatch.setattr(slurm, "lacks_owner", lambda record: not record)
    assert [job.job_id for job in SlurmScheduler("c1").ended(scontrol(CUT), []).records] == ["5"]


def test_a_waiting_range_has_the_id_of_its_array() -> None:
    record = shown("7", state="PENDING").replace("JobId=7 ", "JobId=7 ArrayJobId=7 ArrayTaskId=2-4,8%1 ArrayTaskThrottle=1 ")
    (job,) = SlurmScheduler("c1").ended(scontrol(record), ["7"]).records
    assert (job.job_id, job.array_pending) == ("7_[2-4,8%1]", 4)
    answer = SlurmScheduler("c1").ended(scontrol(record.replace("ArrayJobId=7", "ArrayJobId=5")), ["5", "7"])
    assert answer.records == ()
    assert kinds(answer) == [(ProblemKind.QUARANTINED, "7")]
    answer = SlurmScheduler("c1").ended(sacct({"JobID": "7_[2-4]", "JobIDRaw": "57"}, {"JobID": "57_[2-4]", "JobIDRaw": "57"}), [])
    assert [job.job_id for job in answer.records] == ["57_[2-4]"]


def test_the_fallback_tells_that_a_requeued_job_is_held() -> None:
    record = shown("7", state="PENDING").replace("Reason=None", "Reason=job_requeued_in_held_state").replace("NodeList=c1", "NodeList=")
    (job,) = SlurmScheduler("c1").ended(scontrol(record), ["7"]).records
    assert (job.state, job.reason) == (JobState.REQUEUED_HELD, "job_requeued_in_held_state")


def test_the_fallback_believes_no_name_command_or_comment() -> None:
    name = "x JobState=FAILED UserId=root(0) SubmitTime=1"
    (job,) = SlurmScheduler("c1").ended(scontrol(shown("7", name=name)), ["7"]).records
    assert (job.name, job.owner, job.state) == (name, "alice", JobState.DONE)
    forged = shown("8", owner="root(0)", state="FAILED")
    answer = SlurmScheduler("c1").ended(scontrol(shown("7", tail=f" Comment=x\n{forged}"), shown("8")), ["7", "8"])
    assert [job.job_id for job in answer.records] == ["7"]
    assert kinds(answer) == [(ProblemKind.QUARANTINED, "8")] * 2
    answer = SlurmScheduler("c1").ended(scontrol(shown("7", tail=f" Comment=x\n{forged}")), ["7"])
    assert [job.job_id for job in answer.records] == ["7"]
    assert kinds(answer) == [(ProblemKind.QUARANTINED, "8")]


@pytest.mark.parametrize(
    ("state", "used", "availability", "known"),
    [
        ("IDLE", 0, Availability.UP, True), ("ALLOCATED", 8, Availability.UP, True), ("MIXED+PLANNED", 4, Availability.UP, True),
        ("IDLE+DRAIN", 0, Availability.DRAINED, True), ("MIXED+DRAIN", 4, Availability.DRAINING, True),
        ("IDLE+COMPLETING+DRAIN", 0, Availability.DRAINING, True), ("DOWN+DRAIN", 0, Availability.DOWN, True),
        ("DOWN+NOT_RESPONDING", 0, Availability.DOWN, True), ("IDLE*", 0, Availability.DOWN, True), ("DOWN*", 0, Availability.DOWN, True),
        ("IDLE+CLOUD+POWERED_DOWN", 0, Availability.UP, True), ("IDLE~", 0, Availability.UP, True), ("MIXED#", 2, Availability.UP, True),
        ("UNKNOWN+NOT_RESPONDING", 0, Availability.DOWN, True), ("UNKNOWN", 0, Availability.UNKNOWN, True),
        ("ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", 8, Availability.UP, True), ("DOWN+CLOUD+POWERED_DOWN", 0, Availability.DOWN, True),
        ("IDLE+FAIL", 0, Availability.DRAINED, True), ("FUTURE", 0, Availability.DOWN, True),
        ("IDLE@", 0, Availability.UP, True), ("IDLE^", 0, Availability.DOWN, True), ("IDLE+REBOOT_REQUESTED", 0, Availability.UP, True),
        ("DOWN+REBOOT_ISSUED", 0, Availability.DOWN, True), ("MIXED+FAIL", 2, Availability.DRAINING, True),
        ("DREAMING", 0, Availability.UNKNOWN, False), ("IDLE+DREAMING", 0, Availability.UNKNOWN, False),
        ("DOWN+DREAMING", 0, Availability.DOWN, False), ("IDLE+DRAIN+DREAMING", 0, Availability.DRAINED, False),
    ],
)  # fmt: skip
def test_node_states(state: str, used: int, availability: Availability, known: bool) -> None:  # noqa: FBT001
    assert node_availability(state, cores_used=used) == (availability, known)


def test_queue_limits_decide_the_largest_job() -> None:
    node = "NodeName=n{0} CPUAlloc=0 CPUEfctv={1} CPUTot={1} Gres=(null) RealMemory=1000 AllocMem=0 State=IDLE Partitions=q CfgTRES=cpu=8"
    queue = "PartitionName=q MaxNodes={0} MaxTime=UNLIMITED MaxCPUsPerNode={1} Nodes=n[1-3] State={2} TotalCPUs=20 TotalNodes=3 TRES=cpu=20"
    scheduler = SlurmScheduler("c1")
    report = Report("nodes", ("x",), 0, "".join(node.format(n, c) + "\n" for n, c in ((1, 8), (2, 8), (3, 4))).encode(), b"")
    nodes = scheduler.nodes(report).records

    def read(max_nodes: str, per_node: str, *, with_nodes: bool = True) -> int | None:
        text = queue.format(max_nodes, per_node, "UP") + "\n"
        report = Report("queues", ("x",), 0, text.encode(), b"")
        (found,) = scheduler.queues(report, nodes=nodes if with_nodes else None, jobs=None).records
        return found.max_cores

    assert read("UNLIMITED", "UNLIMITED") == 20
    assert read("1", "UNLIMITED") == 8
    assert read("2", "6") == 12
    assert read("UNLIMITED", "6") == 16
    assert read("1", "UNLIMITED", with_nodes=False) is None
    assert read("UNLIMITED", "UNLIMITED", with_nodes=False) == 20


def _job(**changes: object) -> Job:
    base = one_job(squeue({}))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


DONE = {"state": JobState.DONE, "outcome": Outcome.COMPLETED, "exit_code": 0, "ended_at": 1795349483000, "wall_seconds": 10}


def test_an_end_completes_but_never_overrides() -> None:
    found = _job(**DONE)
    assert complete(_job(), found) == _job()
    half = _job(state=JobState.DONE, outcome=Outcome.COMPLETED, wall_seconds=9)
    done = complete(half, found)
    assert (done.ended_at, done.exit_code, done.wall_seconds) == (1795349483000, 0, 9)
    assert complete(half, dataclasses.replace(found, submitted_at=1)) == half
    failed = _job(state=JobState.FAILED, outcome=Outcome.CANCELLED)
    assert complete(failed, found).outcome is Outcome.CANCELLED
    assert complete(failed, found).exit_code is None
    unknown = _job(state=JobState.UNDETERMINED, native_state="DREAMING")
    assert complete(unknown, found).state is JobState.DONE
    assert complete(unknown, found).native_state == "DREAMING"


@pytest.mark.parametrize(
    ("reports", "jobs"),
    [
        ([], None),
        ([squeue()], []),
        ([squeue(exit_status=1)], None),
        ([squeue(exit_status=1), sacct()], None),
        ([squeue(exit_status=1), sacct({})], ["7"]),
        ([sacct()], []),
        ([squeue({"SUBMIT_TIME": "never"})], None),
        ([squeue(), sacct({"Submit": "1795340000", "State": "NODE_FAIL"}, {})], ["7"]),
    ],
)
def test_null_is_unknown_and_empty_is_proven(reports: list[Report], jobs: list[str] | None) -> None:
    recording = Recording(scheduler="slurm", version="x", cluster="c1", reports={report.query: report for report in reports})
    normalised = normalise(recording)
    assert (None if normalised.jobs is None else [job.job_id for job in normalised.jobs]) == jobs
    if jobs == ["7"]:
        assert normalised.jobs is not None
        assert normalised.jobs[0].state is JobState.DONE


def test_a_requeued_job_is_not_ended_by_its_earlier_run() -> None:
    recording = Recording(
        scheduler="slurm",
        version="x",
        cluster="c1",
        reports={"jobs": squeue({"STATE": "PENDING", "NODELIST": ""}), "ended": sacct({"State": "NODE_FAIL", "Submit": "1795349400"})},
    )
    (job,) = normalise(recording).jobs or ()
    assert (job.state, job.ended_at) == (JobState.QUEUED, None)


def test_a_member_of_an_older_array_of_the_same_id_is_not_one_of_this_array() -> None:
    """Recorded: 22.05.8/reused-ids, where 5_3 of the old life was cancelled and 5_3 of the new one waits in a range."""
    waiting = {"JOBARRAYID": "7_[3-5]", "ARRAY_TASK_ID": "3-5", "STATE": "PENDING", "NODELIST": ""}
    again = {"JOBARRAYID": "7_0", "JOBID": "8", "ARRAY_TASK_ID": "0", "STATE": "PENDING", "NODELIST": "", "RESTART_COUNT": "1",
             "SUBMIT_TIME": "1795349999"}  # fmt: skip
    rows = [
        {"JobID": "7_3", "JobIDRaw": "9", "State": "CANCELLED", "Submit": "1795340000"},
        {"JobID": "7_1", "JobIDRaw": "10", "State": "COMPLETED"},
    ]

    def ids(*records: dict[str, str]) -> list[str]:
        reports = {"jobs": squeue(*records), "ended": sacct(*rows)}
        return [job.job_id for job in normalise(Recording(scheduler="slurm", version="x", cluster="c1", reports=reports)).jobs or ()]

    assert ids(waiting, again) == ["7_[3-5]", "7_0", "7_1"]
    assert ids(again) == ["7_0", "7_3", "7_1"]  # a requeued member does not tell when its array was submitted


def test_problems_print_harmlessly() -> None:
    report = squeue({"SUBMIT_TIME": "\x1b[31m"})
    (problem,) = SlurmScheduler("c1").jobs(report).problems
    assert isinstance(problem, Problem)
    assert problem.text.isprintable()
