# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""OpenPBS beyond its recordings: the layout, what variables may write, times, arrays, what is remembered, and the collecting scripts."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import zoneinfo
from pathlib import Path

import pytest

from hpcbridge.agent.changes import JobMemory, by_key, compare_jobs
from hpcbridge.agent.vanished import find_end
from hpcbridge.errors import ReportUnreadable, SchedulerError, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.schedulers.openpbs.attributes import RecordReader
from hpcbridge.schedulers.openpbs.document import open_document, regions_of
from hpcbridge.schedulers.openpbs.resources import parse_exec_vnode, parse_select, requested
from hpcbridge.schedulers.openpbs.scheduler import OpenpbsScheduler
from hpcbridge.schedulers.openpbs.states import ENDED, NODE_WORDS, STATES, node_availability, outcome_of, was_deleted
from hpcbridge.schedulers.openpbs.times import LocalTimes
from hpcbridge.schedulers.recording import load_recording
from hpcbridge.schedulers.report import Problem, ProblemKind, Report
from tests.benchmarks.openpbs_load import reports

RECORDED = Path(__file__).parents[1] / "recorded" / "openpbs" / "23.06.06"
SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
SUBMITTED = 1_795_345_632_000


def recorded(case: str, query: str) -> Report:
    return load_recording(RECORDED / case).reports[query]


def edited(report: Report, *edits: tuple[str, str]) -> Report:
    """The report with each text exchanged; a text that is not there is a mistake of the test."""
    text = report.stdout
    for old, new in edits:
        assert old.encode() in text, old
        text = text.replace(old.encode(), new.encode("utf-8", "surrogateescape"))
    return dataclasses.replace(report, stdout=text)


def jobs_of(report: Report) -> dict[str, Job]:
    return {job.job_id: job for job in OpenpbsScheduler("c1").jobs(report).records}


def kinds(problems: tuple[Problem, ...]) -> list[tuple[ProblemKind, str | None]]:
    return [(problem.kind, problem.subject) for problem in problems]


# the document


@pytest.mark.parametrize("token", ["nan", "inf", "-infinity", "5.", ".5", "-0x1p3", "nan(x)"])
def test_bare_tokens_break_json_and_nothing_here(token: str) -> None:
    report = edited(recorded("zoo", "jobs"), ('"Job_Name":"run4"', f'"Job_Name":{token}'))
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(report.stdout)
    jobs = jobs_of(report)
    assert jobs["29"].name == token
    assert {job_id: job for job_id, job in jobs.items() if job_id != "29"} == {
        job_id: job for job_id, job in jobs_of(recorded("zoo", "jobs")).items() if job_id != "29"
    }


@pytest.mark.parametrize("case", ["zoo", "tabs"])
@pytest.mark.parametrize("query", ["jobs", "nodes", "queues"])
def test_a_report_that_is_cut_off_anywhere_is_rejected(case: str, query: str) -> None:
    report = recorded(case, query)
    whole = report.stdout.rstrip()
    scheduler = OpenpbsScheduler("c1")
    for end in [*range(0, len(whole), 97), len(whole) - 1]:
        cut = dataclasses.replace(report, stdout=whole[:end])
        with pytest.raises(SchedulerError):
            scheduler.queues(cut, nodes=None, jobs=None) if query == "queues" else getattr(scheduler, query)(cut)
    assert scheduler.jobs(recorded("zoo", "jobs")).records


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('    "Jobs":{', '    "Queue":{', "Queue in the place of Jobs"),
        ('    "pbs_version":"23.06.06",', "    pbs_version", "not an attribute of the report"),
        ('        "34.pbs01":{', '        "34.pbs01":5,', "neither a record nor the end"),
        ('        "34.pbs01":{', "x\n" + '        "34.pbs01":{', "neither a record nor the end"),
        ('\n        },\n        "34.pbs01"', '\n        }\n        "34.pbs01"', "neither a record nor the end"),
        ('{\n    "timestamp"', '{"timestamp"', "no indented attribute"),
        ('{\n    "timestamp"', 'Warning\n{\n    "timestamp"', "does not begin with a brace"),
    ],
)
def test_a_document_of_another_form_is_rejected_whole(old: str, new: str, reason: str) -> None:
    with pytest.raises(ReportUnreadable, match=reason):
        jobs_of(edited(recorded("zoo", "jobs"), (old, new)))


def test_line_ends_of_a_terminal_change_nothing() -> None:
    report = recorded("zoo", "jobs")
    assert jobs_of(dataclasses.replace(report, stdout=report.stdout.replace(b"\n", b"\r\n"))) == jobs_of(report)


@pytest.mark.parametrize(
    ("status", "stderr", "answered"),
    [
        (0, b"", True),
        (0, b"qstat: job_history_enable is set to false\n", False),
        (255, b"Connection refused\nqstat: cannot connect to server pbs01 (errno=15010)\n", False),
        (255, b"", False),
        (153, b"qstat: Unknown Job Id 9.pbs01\n", False),
        (1, b"", False),
    ],
)
def test_only_exit_status_0_without_a_word_proves_that_there_is_no_job(status: int, stderr: bytes, *, answered: bool) -> None:
    report = dataclasses.replace(recorded("empty", "jobs"), exit_status=status, stderr=stderr)
    if answered:
        answer = OpenpbsScheduler("c1").jobs(report)
        assert (answer.records, answer.problems) == ((), ())
        return
    with pytest.raises(ScriptFailed):
        OpenpbsScheduler("c1").jobs(report)


def test_no_frame_around_unknown_ids_is_an_answer_too() -> None:
    unknown = dataclasses.replace(recorded("unknown-only", "ended"), argv=("qstat", "-x", "99999"), stdout=b"")
    assert OpenpbsScheduler("c1").ended(unknown, ()).records == ()
    for other in (dataclasses.replace(unknown, stderr=b""), dataclasses.replace(unknown, exit_status=0)):
        with pytest.raises(SchedulerError):
            OpenpbsScheduler("c1").ended(other, ())


def test_that_some_ids_are_unknown_does_not_prove_that_there_is_no_job() -> None:
    unknown = dataclasses.replace(recorded("unknown-only", "ended"), query="jobs")
    with pytest.raises(ScriptFailed):
        OpenpbsScheduler("c1").jobs(unknown)
    some = dataclasses.replace(recorded("unknown-job", "ended"), query="jobs")
    assert set(jobs_of(some)) == {"29", "30"}


def test_some_jobs_are_not_the_load_of_the_queues() -> None:
    scheduler = OpenpbsScheduler("c1")
    jobs = scheduler.jobs(dataclasses.replace(recorded("unknown-job", "ended"), query="jobs")).records
    queues = scheduler.queues(recorded("zoo", "queues"), nodes=None, jobs=jobs).records
    assert {(queue.jobs_queued, queue.jobs_running) for queue in queues} == {(None, None)}


def test_two_hundred_unknown_ids_are_an_answer_and_one_other_word_is_none() -> None:
    ids = [str(number) for number in range(1000, 1200)]
    report = dataclasses.replace(
        recorded("unknown-only", "ended"),
        argv=("qstat", "-x", "-f", "-F", "json", *ids),
        stderr="".join(f"qstat: Unknown Job Id {job_id}.pbs01.cluster.local\n" for job_id in ids).encode(),
    )
    assert OpenpbsScheduler("c1").ended(report, ids).records == ()
    with pytest.raises(ScriptFailed):
        OpenpbsScheduler("c1").ended(dataclasses.replace(report, stderr=report.stderr + b"qstat: End of File\n"), ids)


# what a user may write


LEVEL3, LEVEL4 = " " * 12, " " * 16


def with_variable(report: Report, job_id: str, name: str) -> Report:
    """The report as qstat prints it when a variable of the job has this name: raw, up to its first `=`."""
    place = re.compile(rf'("{job_id}\.pbs01":\{{.*?\n{LEVEL4})("PBS_O_SYSTEM")'.encode(), re.DOTALL)
    text, count = place.subn(lambda found: found.group(1) + f'"{name}":"1",\n{LEVEL4}'.encode() + found.group(2), report.stdout, 1)
    assert count == 1
    return dataclasses.replace(report, stdout=text)


def test_a_variable_cannot_give_its_job_another_end() -> None:
    ended = recorded("ended", "ended")
    name = f'X":"1"\n{LEVEL3}}},\n{LEVEL3}"Exit_status":0,\n{LEVEL3}"exec_vnode":"(a:ncpus=1)",\n{LEVEL3}"o":{{\n{LEVEL4}"Y'
    forged = with_variable(ended, "49", name)
    answer = OpenpbsScheduler("c1").ended(forged, ("49",))
    assert "49" not in {job.job_id for job in answer.records}
    assert (ProblemKind.QUARANTINED, "49") in kinds(answer.problems)
    # the control: without the look at what the server itself puts last, the job would have ended well
    reader = RecordReader(b"    ")
    reader._servers_own = b"\0"
    fields = reader.read_job(next(region.body for region in regions_of(open_document(forged, "Jobs")) if region.name == "49.pbs01"))[0]
    assert fields["Exit_status"] == "0,"


def test_a_variable_cannot_put_attributes_into_its_list() -> None:
    name = f'X":"1",\n{LEVEL3}"job_state":"R",\n{LEVEL3}"exec_vnode":"(cn01:ncpus=1)",\n{LEVEL4}"Y'
    forged = with_variable(recorded("zoo", "jobs"), "43", name)
    assert jobs_of(forged) == jobs_of(recorded("zoo", "jobs"))


@pytest.mark.parametrize("equals", ["\\u003d", "\\x3d", ""])
def test_a_variable_cannot_make_another_job_run(equals: str) -> None:
    """qstat ends the name at its first `=`, so the forger has to write it another way; it is not read in any other."""
    record = (
        f'X":"1"\n{LEVEL3}}}\n        }},\n        "9999.pbs01":{{\n{LEVEL3}"Job_Owner":"root@pbs01",\n{LEVEL3}"job_state":"R",\n'
        f'{LEVEL3}"queue":"workq",\n{LEVEL3}"ctime":"Sun Nov 22 11:07:11 2026",\n{LEVEL3}"exec_vnode":"(cn01:ncpus{equals}4)",\n'
        f'{LEVEL3}"Variable_List":{{\n{LEVEL4}"Y'
    )
    assert "=" not in record
    answer = OpenpbsScheduler("c1").jobs(with_variable(recorded("zoo", "jobs"), "43", record))
    assert "9999" not in {job.job_id for job in answer.records}
    assert kinds(answer.problems) == [(ProblemKind.QUARANTINED, "9999")]
    with_equals = with_variable(recorded("zoo", "jobs"), "43", record.replace(f"ncpus{equals}4", "ncpus=4"))
    assert "9999" in jobs_of(with_equals)  # the control: it is the missing sign that gives it away


def with_variables(report: Report, job_id: str, *variables: tuple[str, str]) -> Report:
    """The report as qstat prints it when the job has these variables: a name raw, a value without a newline and with any `=`."""
    for name, value in reversed(variables):
        assert "=" not in name
        assert "\n" not in value
        place = re.compile(rf'("{job_id}\.pbs01":\{{.*?"Variable_List":\{{\n{LEVEL4})'.encode(), re.DOTALL)
        printed = f'"{name}":"{value}",\n{LEVEL4}'.encode()
        text, count = place.subn(lambda found, printed=printed: found.group(1) + printed, report.stdout, count=1)  # type: ignore[misc]
        assert count == 1
        report = dataclasses.replace(report, stdout=text)
    return report


def written(job_id: str, state: str, *, group: str = "", last: str = "") -> str:
    """The name of a variable that closes its list and its job, and begins a job of somebody else."""
    return (
        f'X":"1",\n{LEVEL4}"PBS_O_HOST":"pbs01"\n{LEVEL3}}},\n{LEVEL3}"project":"_pbs_project_default"\n        }},\n'
        f'        "{job_id}.pbs01":{{\n{LEVEL3}"Job_Owner":"root@pbs01",\n{LEVEL3}"job_state":"{state}",\n{LEVEL3}"queue":"workq",\n'
        f'{LEVEL3}"ctime":"Sun Nov 22 11:07:12 2026",\n{group}{last}'
    )


def but_the_forgers(jobs: tuple[Job, ...]) -> dict[str, Job]:
    return {job.job_id: job for job in jobs if job.job_id != "43"}


OWN_LIST = f'"1"\n{LEVEL3}}},\n{LEVEL3}"Variable_List":{{\n{LEVEL4}"Z'
SELECT = f'{LEVEL3}"Resource_List":{{\n{LEVEL4}"ncpus":"17",\n{LEVEL4}"select'


@pytest.mark.parametrize("state", ["R", "E", "S", "U"])
@pytest.mark.parametrize("job_id", ["9999", "29", "42"])
def test_a_variable_with_its_value_cannot_make_another_job_run(state: str, job_id: str) -> None:
    """The value of the variable may hold what its name cannot; but what follows it stands as deep as a variable."""
    runs = written(job_id, state, last=f'{LEVEL3}"exec_vnode')
    variables = (runs, "(cn01:ncpus=4)"), (f'Y":"1",\n{LEVEL3}"Variable_List":{{\n{LEVEL4}"Z', "1")
    forged = with_variables(recorded("zoo", "jobs"), "43", *variables)
    answer = OpenpbsScheduler("c1").jobs(forged)
    assert but_the_forgers(answer.records) == but_the_forgers(OpenpbsScheduler("c1").jobs(recorded("zoo", "jobs")).records)
    assert kinds(answer.problems) == [(ProblemKind.QUARANTINED, job_id)]
    reader = RecordReader(b"    ")  # the control: but for that, it would run
    reader._deeper = "\0"
    bodies = [region.body for region in regions_of(open_document(forged, "Jobs")) if region.name == f"{job_id}.pbs01"]
    assert any(reader.read_job(body)[0].get("exec_vnode") == '"(cn01:ncpus=4)",' for body in bodies)


@pytest.mark.parametrize("state", ["Q", "H", "W"])
def test_a_variable_with_its_value_hides_no_job_that_waits(state: str) -> None:
    forged = with_variables(recorded("zoo", "jobs"), "43", (written("44", state, group=SELECT), "1:ncpus=1"), (f'Y":{OWN_LIST}', "1"))
    assert b'"select":"1:ncpus=1",\n                "Y":"1"\n            },' in forged.stdout
    answer = OpenpbsScheduler("c1").jobs(forged)
    assert but_the_forgers(answer.records) == but_the_forgers(OpenpbsScheduler("c1").jobs(recorded("zoo", "jobs")).records)
    assert kinds(answer.problems) == [(ProblemKind.QUARANTINED, "44")]


def test_a_variable_cannot_end_another_job_among_those_that_live() -> None:
    """qstat prints what has ended only where it is asked for, so nobody can leave an end there for the time after a job has left."""
    forged = with_variables(recorded("zoo", "jobs"), "43", (written("7", "F", last=f'{LEVEL3}"Variable_List":{{\n{LEVEL4}"Z'), "1"))
    answer = OpenpbsScheduler("c1").jobs(forged)
    assert but_the_forgers(answer.records) == but_the_forgers(OpenpbsScheduler("c1").jobs(recorded("zoo", "jobs")).records)
    assert kinds(answer.problems) == [(ProblemKind.QUARANTINED, "7")]
    history = OpenpbsScheduler("c1").jobs(dataclasses.replace(recorded("ended", "ended"), query="jobs"))
    assert {job.job_id: job.outcome for job in history.records}["49"] is Outcome.CANCELLED


def test_who_takes_another_jobs_id_makes_both_doubtful() -> None:
    report = recorded("zoo", "jobs")
    answer = OpenpbsScheduler("c1").jobs(edited(report, ('        "30.pbs01":{', '        "29.pbs01":{')))
    assert {"29", "30"}.isdisjoint(job.job_id for job in answer.records)
    assert kinds(answer.problems) == [(ProblemKind.QUARANTINED, "29")] * 2


@pytest.mark.parametrize("more", ["", f'{LEVEL3}"exec_vnode":"(cn01:ncpus)",\n'])
def test_nobody_hides_another_job_behind_a_forged_one(more: str) -> None:
    record = (
        f'X":"1"\n{LEVEL3}}}\n        }},\n        "44.pbs01":{{\n{LEVEL3}"Job_Owner":"carol@pbs01",\n{LEVEL3}"job_state":"H",\n'
        f'{LEVEL3}"queue":"workq",\n{LEVEL3}"ctime":"Sun Nov 22 11:07:12 2026",\n{more}{LEVEL3}"Variable_List":{{\n{LEVEL4}"Y'
    )
    answer = OpenpbsScheduler("c1").jobs(with_variable(recorded("zoo", "jobs"), "43", record))
    assert {job.job_id: job for job in answer.records}["44"] == jobs_of(recorded("zoo", "jobs"))["44"]
    assert kinds(answer.problems) == [(ProblemKind.QUARANTINED, "44")]


def test_a_huge_value_is_read_in_no_time() -> None:
    report = edited(recorded("zoo", "jobs"), ('"Job_Name":"run4"', '"Job_Name":"' + "\\n" * 5_000_000 + '"'))
    assert jobs_of(report)["29"].name == ("\\x0a" * 256)[:256]


# states and ends


def test_every_letter_has_a_meaning() -> None:
    """States of pbs_job_attributes(7B): B is an array's parent and never a job."""
    assert set(STATES) | ENDED | {"B"} == set("BEFHMQRSTUWX")


@pytest.mark.parametrize(
    ("status", "deleted", "outcome"),
    [
        (None, False, Outcome.CANCELLED),
        (None, True, Outcome.CANCELLED),
        (0, False, Outcome.COMPLETED),
        (0, True, Outcome.COMPLETED),
        (1, True, Outcome.FAILED),
        (-29, False, Outcome.TIMEOUT),
        (265, False, Outcome.CANCELLED),
        (271, False, Outcome.CANCELLED),
        (143, False, Outcome.FAILED),
        (143, True, Outcome.CANCELLED),
        (137, False, Outcome.FAILED),
        (137, True, Outcome.FAILED),
        (270, True, Outcome.FAILED),
        (255, True, Outcome.FAILED),
        (-27, False, Outcome.OUT_OF_MEMORY),
        (-14, False, Outcome.NODE_FAILED),
        (-1, False, Outcome.FAILED),
        (-999, False, Outcome.FAILED),
    ],
)
def test_how_a_job_ended(status: int | None, outcome: Outcome, *, deleted: bool) -> None:
    assert outcome_of(status, deleted=deleted) is outcome


def test_success_needs_a_status_of_0() -> None:
    assert [status for status in range(-40, 400) if outcome_of(status, deleted=False) is Outcome.COMPLETED] == [0]


@pytest.mark.parametrize(
    ("substate", "comment", "deleted"),
    [
        ("91", "Job run at Sun Nov 22 at 11:07 on (cn02:ncpus=1) and terminated by dave@pbs01", True),
        ("91", "Not Running: Queue not started. and terminated", True),
        ("93", "Job run at Sun Nov 22 at 11:07 on (cn02:ncpus=1) and failed", False),
        ("91", "", False),
        ("93", "terminated", False),
    ],
)
def test_a_deletion_is_what_the_server_says_it_is(substate: str, comment: str, *, deleted: bool) -> None:
    assert was_deleted(substate=substate, comment=comment) is deleted


@pytest.mark.parametrize("word", sorted(NODE_WORDS))
def test_every_word_of_a_node_is_known_and_none_hides_that_it_is_down(word: str) -> None:
    assert node_availability(word, occupied=False)[1]
    assert node_availability(f"{word},down", occupied=True) == (Availability.DOWN, True)
    assert node_availability(f"offline,{word}", occupied=True)[0] in (Availability.DOWN, Availability.DRAINING)
    assert node_availability(f"{word},new-word", occupied=False)[0] is not Availability.UP


@pytest.mark.parametrize("word", ["state-unknown", "initializing"])
def test_a_node_that_has_not_answered_yet_is_neither_up_nor_down(word: str) -> None:
    assert node_availability(word, occupied=True) == (Availability.UNKNOWN, True)
    assert node_availability(f"free,{word}", occupied=False) == (Availability.UNKNOWN, True)


def test_a_node_that_pbsnodes_does_not_know_is_a_question_that_failed() -> None:
    zoo = recorded("zoo", "nodes")
    with_unknown = edited(zoo, ('        "cn01":{', '        "cn99":{\n            "Error":"Unknown node "\n        },\n        "cn01":{'))
    answer = OpenpbsScheduler("c1").nodes(with_unknown)
    assert answer.records == OpenpbsScheduler("c1").nodes(zoo).records
    assert [(problem.kind, problem.subject, problem.text) for problem in answer.problems] == [
        (ProblemKind.QUARANTINED, "cn99", "Unknown node")
    ]
    only = b'"nodes":{\n        "cn99":{\n            "Error":"Unknown node "\n        }\n    }\n}\n'
    alone = zoo.stdout[: zoo.stdout.index(b'"nodes":{')] + only
    with pytest.raises(ScriptFailed, match="Unknown node"):
        OpenpbsScheduler("c1").nodes(dataclasses.replace(zoo, stdout=alone))


@pytest.mark.parametrize(
    ("job_id", "letter", "status", "outcome"),
    [
        ("41[3]", "X", "0", Outcome.COMPLETED),
        ("41[3]", "X", "3", Outcome.FAILED),
        ("41[3]", "F", "0", Outcome.COMPLETED),
        ("41[3]", "X", "-14", Outcome.CANCELLED),
        ("36", "F", "0", Outcome.CANCELLED),
    ],
)
def test_what_ran_nowhere_has_the_status_of_an_earlier_run(job_id: str, letter: str, status: str, outcome: Outcome) -> None:
    """Only members of arrays of old releases are printed without exec_vnode though they ran."""
    report = recorded("ended", "ended")
    record = re.search(rf'"{re.escape(job_id)}\.pbs01":\{{.*?\n        \}}'.encode(), report.stdout, re.DOTALL)
    assert record
    old = record.group().decode()
    new = re.sub(r'\n *"exec_vnode"[^\n]*', "", old)
    new = re.sub(r'"Exit_status":\d+', f'"Exit_status":{status}', new).replace('"job_state":"F"', f'"job_state":"{letter}"')
    jobs = {job.job_id: job for job in OpenpbsScheduler("c1").ended(edited(report, (old, new)), (job_id,)).records}
    assert jobs[job_id].outcome is outcome
    assert jobs[job_id].exit_code == (int(status) if outcome is not Outcome.CANCELLED else None)


# resources


def test_resources_of_a_job() -> None:
    held = parse_exec_vnode("(cn02[0]:ncpus=3:mem=1gb+cn02[1]:ncpus=1)+(cn02[0]:ncpus=2:ngpus=1:gpu_type=a100)")
    assert (held.cores, held.gpus, held.gpu_type, held.memory_bytes) == (6, 1, "a100", 1 << 30)
    assert held.nodes == ("cn02[0]", "cn02[1]")
    asked = parse_select("2:ncpus=8:mem=2gb+ncpus=4:ngpus=2")
    assert (asked.cores, asked.gpus, asked.memory_bytes) == (20, 2, 4 << 30)
    assert parse_select("2").cores is None
    assert requested({"ncpus": "8", "select": "4", "ngpus": "1"}).cores == 8
    assert requested({}).cores is None


@pytest.mark.parametrize(
    "text",
    ["", "cn01", "(cn01:ncpus)", "(cn01:ncpus=x)", "(:ncpus=1)", "(cn01:ncpus=1)+", "(cn01:ncpus\\u003d1)", "(a b:ncpus=1)"],
)
def test_what_is_no_list_of_nodes(text: str) -> None:
    with pytest.raises(ValueError, match="is n"):
        parse_exec_vnode(text)


# times


def test_local_times_of_a_zone() -> None:
    berlin = LocalTimes(zoneinfo.ZoneInfo("Europe/Berlin"))
    assert berlin.read("Sun Nov 22 12:07:12 2026") == SUBMITTED
    assert LocalTimes(datetime.UTC).read('"Sun Nov 22 11:07:12 2026",') == SUBMITTED
    assert berlin.read("Sun Oct 25 02:30:00 2026") is None  # twice in that night
    assert LocalTimes(datetime.UTC).read("Sun Oct 25 02:30:00 2026") is not None


@pytest.mark.parametrize(
    "text",
    ["", "UNKNOWN", "1795345632", "Sun Nov 32 11:07:12 2026", "Sun Foo 22 11:07:12 2026", "Sun Nov 22 24:07:12 2026"],
)
def test_what_is_no_time(text: str) -> None:
    times = LocalTimes(datetime.UTC)
    times.read("Sun Nov 22 11:07:12 2026")
    with pytest.raises(ValueError, match=r"is not a time|out of range|must be in"):
        times.read(text)


def test_a_zone_once_proven_wrong_is_believed_again_only_when_a_time_fits() -> None:
    scheduler = OpenpbsScheduler("c1")
    right = recorded("zoo", "jobs")
    ahead = edited(right, ("Nov 22 11:", "Nov 22 12:"))
    quiet = edited(ahead, ('"timestamp":1795345666', '"timestamp":1795352866'))  # nothing changed for an hour: no proof, and no relief
    assert scheduler.jobs(ahead).records[0].submitted_at is None
    assert scheduler.jobs(quiet).records[0].submitted_at is None
    assert OpenpbsScheduler("c1").jobs(quiet).records[0].submitted_at is not None  # the control: alone, it could not be known
    assert scheduler.jobs(right).records[0].submitted_at == SUBMITTED - 1000


def test_the_command_says_the_zone() -> None:
    report = edited(recorded("zoo", "jobs"), ("Nov 22 11:", "Nov 22 20:"))
    japan = dataclasses.replace(report, argv=("env", "TZ=Asia/Tokyo", *report.argv))
    assert jobs_of(japan) == jobs_of(recorded("zoo", "jobs"))
    unknown = dataclasses.replace(report, argv=("env", "TZ=Mars/Olympus", *report.argv))
    with pytest.raises(ReportUnreadable, match="not known here"):
        jobs_of(unknown)


# between two reports


def test_an_unchanged_job_is_the_same_object_and_a_changed_one_is_not() -> None:
    scheduler = OpenpbsScheduler("c1")
    first = recorded("zoo", "jobs")
    before = {job.job_id: job for job in scheduler.jobs(first).records}
    later = edited(
        first,
        ('"walltime":"00:00:31"', '"walltime":"00:01:31"'),
        ('"mtime":"Sun Nov 22 11:07:44 2026"', '"mtime":"Sun Nov 22 11:07:46 2026"'),
        ('"comment":"Not Running: Queue not started."', '"comment":"Not Running: Soon."'),
    )
    after = {job.job_id: job for job in scheduler.jobs(later).records}
    assert {job_id for job_id, job in after.items() if job is not before[job_id]} == {"47"}
    assert after["47"].reason == "Not Running: Soon."


def test_a_requeue_goes_on_and_a_used_id_does_not() -> None:
    first = recorded("zoo", "jobs")
    memory = _seen(jobs_of(first))
    requeued = jobs_of(recorded("requeued", "jobs"))["400"]
    waiting = {**jobs_of(first), "29": dataclasses.replace(requeued, job_id="29", submitted_at=memory.live["29"].job.submitted_at)}
    again = {**jobs_of(first), "29": jobs_of(edited(first, ('"ctime":"Sun Nov 22 11:07:11', '"ctime":"Sun Nov 22 11:07:31')))["29"]}
    one = compare_jobs(memory, waiting, at=SUBMITTED + 60_000, wanted=lambda _: True)
    other = compare_jobs(memory, again, at=SUBMITTED + 60_000, wanted=lambda _: True)
    assert [(told.job.job_id, told.incarnation, told.job.restarts) for told in one.changes] == [("29", 1, 1)]
    assert one.vanished == ()
    assert [(told.job.job_id, told.incarnation) for told in other.changes] == [("29", 2)]
    assert [missing.key for missing in other.vanished] == [("29", 1)]


def _seen(jobs: dict[str, Job]) -> JobMemory:
    comparison = compare_jobs(JobMemory({}), by_key(jobs.values())[0], at=SUBMITTED, wanted=lambda _: True)
    return JobMemory(comparison.seen)


def test_the_end_of_a_job_that_left_is_found_by_its_creation_time() -> None:
    history = OpenpbsScheduler("c1").ended(recorded("ended", "ended"), ("37",)).records
    running = dataclasses.replace(
        next(job for job in history if job.job_id == "37"), state=JobState.RUNNING, outcome=None, native_state="R", ended_at=None
    )
    end = find_end(running, history)
    assert end is not None
    assert end.outcome is Outcome.TIMEOUT
    assert find_end(dataclasses.replace(running, submitted_at=SUBMITTED - 86_400_000), history) is None


def test_a_parent_that_cannot_be_read_has_not_left() -> None:
    twice = f'array_state_count":"Queued:8"\n{LEVEL3}"queue":""\n{LEVEL3}"'
    report = edited(recorded("arrays", "jobs"), ('array_state_count":"Queued:8', twice))
    answer = OpenpbsScheduler("c1").jobs(report)
    present, hidden = by_key(answer.records, [problem.subject for problem in answer.problems if problem.subject])
    assert "60_[]" not in present
    assert "60_[]" in hidden


def test_running_members_that_are_not_listed_leave_the_count_of_their_queue_open() -> None:
    scheduler = OpenpbsScheduler("c1")
    jobs = scheduler.jobs(recorded("arrays", "jobs")).records
    queues = {queue.name: queue for queue in scheduler.queues(recorded("arrays", "queues"), nodes=None, jobs=jobs).records}
    assert (queues["workq"].jobs_queued, queues["workq"].jobs_running) == (17, None)
    assert (queues["short"].jobs_queued, queues["short"].jobs_running) == (0, 0)
    jobs = scheduler.jobs(recorded("zoo", "jobs")).records
    queues = {queue.name: queue for queue in scheduler.queues(recorded("zoo", "queues"), nodes=None, jobs=jobs).records}
    assert queues["workq"].jobs_running == 14


# the server


def test_about_says_how_long_ended_jobs_stay() -> None:
    report = recorded("zoo", "about")
    about = OpenpbsScheduler("c1").about(report)
    assert (about.name, about.version, about.cluster_name) == ("openpbs", "23.06.06", "pbs01")
    assert (about.accounting, about.min_job_age_seconds) == (True, 14 * 86_400)
    history = '"job_history_enable":"True"'
    hour = OpenpbsScheduler("c1").about(edited(report, (history, f'{history},\n            "job_history_duration":"01:00:00"')))
    assert (hour.accounting, hour.min_job_age_seconds) == (True, 3600)
    off = OpenpbsScheduler("c1").about(edited(report, (f"            {history},\n", "")))
    assert (off.accounting, off.min_job_age_seconds) == (False, 0)


def test_a_made_load_is_read_whole() -> None:
    outputs = reports(2_000, 200)
    scheduler = OpenpbsScheduler("c1")
    jobs = scheduler.jobs(Report("jobs", ("qstat",), 0, outputs["jobs"], b""))
    nodes = scheduler.nodes(Report("nodes", ("pbsnodes",), 0, outputs["nodes"], b""))
    queues = scheduler.queues(Report("queues", ("qstat",), 0, outputs["queues"], b""), nodes=nodes.records, jobs=jobs.records)
    assert (len(jobs.records), len(nodes.records), len(queues.records)) == (2_000, 200, 3)
    assert (jobs.problems, nodes.problems, queues.problems) == ((), (), ())
    assert sum((queue.jobs_queued or 0) + (queue.jobs_running or 0) for queue in queues.records) == 2_000
