# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The standard JSON: what is refused and how it is said, what one fault costs, and that schema, parser and pages agree."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hpcbridge.errors import ReportUnreadable, SchedulerError, ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome, Phase
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.recording import load_recording, normalise
from hpcbridge.schedulers.report import Answer, ProblemKind, Report
from hpcbridge.schedulers.standard.scheduler import StandardScheduler

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded"
SCHEMA = json.loads((ROOT / "docs" / "standard.schema.json").read_text())
JOB: dict[str, Any] = {"job_id": "7", "state": "RUNNING"}
CASES = sorted(path.parent for name in SCHEDULERS for path in RECORDED.glob(f"{name}/*/*/meta.json"))


def report(document: object, query: str = "jobs", *, exit_status: int = 0) -> Report:
    content = document if isinstance(document, bytes) else json.dumps(document, indent=1).encode()
    return Report(query, (query,), exit_status, content, b"the queue is away\n")


def jobs(document: object) -> Answer[Any]:
    return StandardScheduler("north").jobs(report(document))


def one_fault(**fields: object) -> tuple[str | None, str]:
    answer = jobs({"jobs": [JOB | fields]})
    assert not answer.records
    (problem,) = answer.problems
    assert problem.kind is ProblemKind.QUARANTINED
    assert problem.subject == "7"
    return problem.field, problem.text


def test_little_is_required_and_the_rest_is_unknown() -> None:
    (job,) = jobs({"jobs": [{"job_id": "7", "state": "DONE"}]}).records
    assert (job.cluster, job.outcome, job.exit_code, job.cores, job.native_state) == ("north", Outcome.COMPLETED, None, None, "")


def test_null_says_the_same_as_leaving_out() -> None:
    fields = [key for key in SCHEMA["$defs"]["job"]["properties"] if key not in JOB]
    assert jobs({"jobs": [JOB | dict.fromkeys(fields)]}).records == jobs({"jobs": [JOB]}).records


def test_an_empty_list_is_a_proven_empty_answer_and_nothing_is_not() -> None:
    assert jobs({"jobs": []}) == Answer(records=())
    with pytest.raises(ReportUnreadable, match="nothing was printed"):
        jobs(b"")
    with pytest.raises(ScriptFailed, match="the queue is away"):
        StandardScheduler("north").jobs(report({"jobs": []}, exit_status=69))


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b" \n", None, "nothing was printed"),
        (b'\xef\xbb\xbf{"jobs": []}', 1, "byte order mark"),
        ('{"jobs": []}'.encode("utf-16"), 1, "UTF-16"),
        (b"[]", 1, "not an object"),
        (b"{}", 1, "no key 'jobs'"),
        (b'{"job": []}', 1, "'job' is not the key"),
        (b'{"jobs": {}}', 1, "jobs: must be a list"),
        (b'{"jobs": null}', 1, "jobs: must be a list"),
        (b'{"jobs": [],\n "jobs": []}', 2, "'jobs': nothing may stand beside"),
        (b'{"jobs": [],\n "extra": 1}', 2, "'extra': nothing may stand beside"),
        (b'{"jobs": []}\n{"jobs": []}', 2, "more text behind the end"),
        (b'{"jobs": [\n7]}', 2, "every record must be an object"),
        (b'{"jobs": [\n{"job_id": "7", "state": "RUNNING"},\n]}', 3, "a comma behind the last record"),
        (b'{"jobs": [\n{"job_id": "7", "state": "RUNNING",}]}', 2, "not JSON"),
        (b'{"jobs": [\n{"job_id": "7", "state": "RUNNING"}\n{"job_id": "8"}]}', 3, "neither a comma"),
        (b'{"jobs": [\n{"job_id": "7",\n "cores": NaN}]}', 3, "cores: NaN is not JSON"),
        (b'{"jobs": [\n{"job_id": "7",\n "cores": -Infinity}]}', 3, "cores: -Infinity is not JSON"),
        (b'{"jobs": [\n{"job_id": "7",\n "name": "a\nb"}]}', 3, "control character"),
        (b'{"jobs": [{"job_id": "7"}, {"job_id": "8", "sta', 1, "was it cut off"),
        (b'{"jobs": [\n{"job_id": "7"}', 2, "was it cut off"),
        (b'{"jobs": [{"a":' + b"[" * 100_000, 1, "nested too deeply"),
        (b'{"jobs": [\n{"state": "RUNNING"}]}', 2, "job_id: is missing"),
        (b'{"jobs": [\n{"job_id": 7, "state": "RUNNING"}]}', 2, "job_id: must be a text, not a whole number"),
        (b'{"jobs": [\n{"job_id": "7", "state": "RUNNING",\n "job_id": "8"}]}', 3, "job_id: is given twice"),
        (b'{"jobs": [{"job_id": "7", "name": "' + b"x" * (1 << 20) + b'"}]}', 1, "a record of more than"),
        (b'{"jobs": [' + b'{"job_id": "7", "cores": {}},' * 1_001 + b"]}", 1, "more than 1000 records that hold an object"),
    ],
)
def test_what_rejects_the_whole_document(content: bytes, line: int | None, words: str) -> None:
    with pytest.raises(ReportUnreadable) as caught:
        jobs(content)
    assert words in str(caught.value)
    assert caught.value.line_number == line


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"colour": "red"}, "colour", "is not a field"),
        ({"job_name": "x"}, "job_name", "is not a field"),
        ({"core": 4}, "core", "is cores meant?"),
        ({"state": "running"}, "state", "must be one of UNDETERMINED QUEUED"),
        ({"state": None}, "state", "is missing"),
        ({"cores": "4"}, "cores", "must be a whole number, not a text"),
        ({"cores": 4.0}, "cores", "not the number 4.0"),
        ({"cores": True}, "cores", "not true or false"),
        ({"cores": -1}, "cores", "must be between 0 and"),
        ({"cores": 10**19}, "cores", "must be between 0 and"),
        ({"cores": 10**4000}, "cores", "not the number 10000000000000000000…"),
        ({"cores": {}}, "cores", "not an object"),
        ({"nodes": "n1"}, "nodes", "must be a list of names"),
        ({"nodes": ["n1", 2]}, "nodes", "every name must be a text"),
        ({"nodes": ["n1", ""]}, "nodes", "every name must be a text"),
        ({"owner": ["root"]}, "owner", "must be a text"),
        ({"owner": "x" * 65}, "owner", "longer than 64"),
        ({"incarnation": 1}, "incarnation", "is counted by the agent"),
        ({"cluster": "south"}, "cluster", "'south' is not this cluster, which is 'north'"),
        ({"submitted_at": "2026-11-22T12:00:00"}, "submitted_at", "in UTC and with the Z"),
        ({"submitted_at": "2026-11-22T12:00:00+01:00"}, "submitted_at", "in UTC and with the Z"),
        ({"submitted_at": "2026-02-30T12:00:00Z"}, "submitted_at", "must be a time"),
        ({"submitted_at": "1969-12-31T23:59:59Z"}, "submitted_at", "must be a time"),
        ({"submitted_at": 1795362087}, "submitted_at", "must be a time such as 2026-11-22T12:00:00Z, not a whole number"),
        ({"phase": "END"}, "phase", "END does not fit state RUNNING"),
        ({"outcome": "FAILED"}, "outcome", "FAILED does not fit state RUNNING"),
        ({"state": "FAILED"}, "outcome", "is missing"),
        ({"state": "FAILED", "outcome": "COMPLETED"}, "outcome", "does not fit state FAILED"),
        ({"state": "DONE", "outcome": "FAILED"}, "outcome", "does not fit state DONE"),
        ({"state": "DONE", "exit_code": 3}, "exit_code", "can only be 0"),
        ({"state": "DONE", "exit_signal": 9}, "exit_signal", "is not DONE"),
        ({"state": "FAILED", "outcome": "FAILED", "exit_code": 1, "exit_signal": 9}, "exit_signal", "has no exit_code"),
        ({"ended_at": "2026-11-22T12:00:00Z"}, "ended_at", "must be null while the job is RUNNING"),
        ({"exit_code": 0}, "exit_code", "must be null while the job is RUNNING"),
        ({"state": "QUEUED", "started_at": "2026-11-22T12:00:00Z"}, "started_at", "must be null while the job is QUEUED"),
        ({"state": "QUEUED", "nodes": ["n1"]}, "nodes", "must be empty while"),
        ({"array_index": 3}, "array_job_id", "is missing"),
        ({"array_job_id": "7"}, "array_index", "is missing"),
        ({"array_job_id": "7", "array_pending": 3}, "array_pending", "a state of waiting"),
        ({"het_index": 3}, "het_index", "stands together with het_job_id"),
    ],
)
def test_what_costs_one_record(fields: Mapping[str, object], field: str, words: str) -> None:
    found, text = one_fault(**fields)
    assert found == field
    assert text.startswith(f"{field}: ")
    assert words in text


def test_a_number_in_disguise_costs_one_record_and_a_repeated_key_too() -> None:
    content = b'{"jobs": [\n{"job_id": "7", "state": "RUNNING",\n "cores": 1e999},'
    content += b'\n{"job_id": "8", "state": "RUNNING",\n"owner": "a", "owner": "b"},'
    content += b'\n{"job_id": "9", "state": "RUNNING"}]}'
    answer = jobs(content)
    assert [job.job_id for job in answer.records] == ["9"]
    assert [(problem.line, problem.field, problem.subject) for problem in answer.problems] == [(3, "cores", "7"), (5, "owner", "8")]


def test_two_records_of_one_job_contradict_each_other_even_if_one_is_faulty() -> None:
    for second in (JOB, JOB | {"cores": -1}):
        answer = jobs({"jobs": [JOB, second, {"job_id": "8", "state": "QUEUED"}]})
        assert [job.job_id for job in answer.records] == ["8"]
        assert [problem.subject for problem in answer.problems] == ["7", "7"]


def test_a_forged_record_is_no_statement_about_the_job_it_names() -> None:
    """A script that pastes a name into its JSON lets its owner write records; one about a job that is there meets the true one."""
    forged = b'{"jobs": [{"job_id": "7", "state": "RUNNING"},{"job_id": "8", "state": "QUEUED", "name": "x"},'
    forged += b'{"job_id":"7","state":"DONE","reason":""}]}'
    assert [job.job_id for job in jobs(forged).records] == ["8"]


def test_a_word_the_script_does_not_know_is_kept_and_counted() -> None:
    answer = jobs({"jobs": [{"job_id": "7", "state": "UNDETERMINED", "native_state": "Xyzzy"}, {"job_id": "8", "state": "UNDETERMINED"}]})
    assert [job.state for job in answer.records] == [JobState.UNDETERMINED] * 2
    assert [(problem.kind, problem.subject, problem.line) for problem in answer.problems] == [(ProblemKind.UNKNOWN_STATE, "7", 3)]
    nodes = StandardScheduler("north").nodes(report({"nodes": [{"name": "n1", "availability": "UNKNOWN", "native_state": "odd"}]}, "nodes"))
    assert [problem.field for problem in nodes.problems] == ["availability"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b'"\\u001b[31m"', "\\x1b[31m"),
        (b'"a\\nb"', "a\\x0ab"),
        (b'"\\u0000"', "\\x00"),
        (b'"\\udce9"', "\\xe9"),
        (b'"\xe9"', "\\xe9"),
        (b'"\\u202egnp.exe"', "\\u202egnp.exe"),
        (b'"}, {\\"job_id\\": \\"1\\""', '}, {"job_id": "1"'),
        (b'""', ""),
        (b'"' + b"x" * 5000 + b'"', "x" * 256),
    ],
)
def test_a_name_is_just_bytes(name: bytes, shown: str) -> None:
    (job,) = jobs(b'{"jobs": [{"job_id": "7", "state": "RUNNING", "name": ' + name + b"}]}").records
    assert job.name == shown


def test_ended_tells_of_runs_and_only_of_what_was_asked_for() -> None:
    first = {"job_id": "7", "state": "DONE", "submitted_at": "2026-11-22T12:00:00Z"}
    later = first | {"submitted_at": "2026-11-22T13:00:00Z"}
    member = {"job_id": "9_1", "array_job_id": "9", "array_index": 1, "state": "DONE"}
    scheduler = StandardScheduler("north")
    answer = scheduler.ended(report({"jobs": [first, later, member, {"job_id": "8", "state": "DONE"}]}, "ended"), ("7", "9", "404"))
    assert [job.job_id for job in answer.records] == ["7", "7", "9_1"]
    assert [problem.subject for problem in answer.problems] == ["8"]
    assert not scheduler.ended(report({"jobs": [first, first]}, "ended"), ("7",)).records
    assert scheduler.ended(report({"jobs": []}, "ended"), ("7",)) == Answer(records=())


def test_unchanged_records_are_the_same_objects_again() -> None:
    scheduler = StandardScheduler("north")
    before = scheduler.jobs(report({"jobs": [JOB, {"job_id": "8", "state": "QUEUED"}]})).records
    after = scheduler.jobs(report({"jobs": [{"job_id": "8", "state": "RUNNING"}, JOB]})).records
    assert after[1] is before[0]
    assert after[0].state is JobState.RUNNING


def test_a_queue_that_gives_no_figures_takes_them_from_nodes_and_jobs() -> None:
    scheduler = StandardScheduler("north")
    node = {"name": "n1", "availability": "UP", "queues": ["q"], "cores_total": 8, "cores_used": 3, "gpus_total": 0, "gpus_used": 0}
    nodes = scheduler.nodes(report({"nodes": [node, node | {"name": "n2", "availability": "DRAINING"}]}, "nodes")).records
    some = scheduler.jobs(report({"jobs": [JOB | {"queue": "q"}, {"job_id": "8", "state": "QUEUED", "queue": "q"}]})).records
    printed = report({"queues": [{"name": "q", "open": True, "cores_total": 99}]}, "queues")
    (queue,) = scheduler.queues(printed, nodes=nodes, jobs=some).records
    assert (queue.nodes, queue.cores_total, queue.cores_used, queue.cores_available) == (("n1", "n2"), 99, 6, 5)
    assert (queue.jobs_queued, queue.jobs_running) == (1, 1)
    (alone,) = scheduler.queues(printed, nodes=None, jobs=None).records
    assert (alone.nodes, alone.cores_used, alone.jobs_queued) == ((), None, None)
    homeless = scheduler.jobs(report({"jobs": [JOB]})).records
    (unsure,) = scheduler.queues(printed, nodes=None, jobs=homeless).records
    assert unsure.jobs_running is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: "/".join(case.parts[-3:]))
def test_what_parse_prints_of_any_scheduler_is_standard_json(case: Path) -> None:
    """But for an array that its scheduler showed as a whole while members run: a script must list these."""
    normalised = normalise(load_recording(case))
    normalised = dataclasses.replace(normalised, jobs=normalised.jobs and tuple(job for job in normalised.jobs if not _running_array(job)))
    scheduler = StandardScheduler(load_recording(case).cluster)
    form = normalised.as_json()
    for query in ("jobs", "nodes", "queues"):
        if form[query] is None:
            continue
        printed = report({query: form[query]}, query)
        jsonschema.Draft202012Validator(SCHEMA).validate({query: form[query]})
        answer: Answer[Any] = (
            scheduler.queues(printed, nodes=None, jobs=None) if query == "queues" else getattr(scheduler, query)(printed)
        )
        assert answer.records == getattr(normalised, query)
        assert {problem.kind for problem in answer.problems} <= {ProblemKind.UNKNOWN_STATE}


def _running_array(job: Job) -> bool:
    return job.array_job_id is not None and job.array_index is None and job.phase is Phase.RUN


# What a value may be: some that fit a field, and some that fit none.
_VALUES: tuple[object, ...] = (
    None, "", "x", "7", "7_[1-9]", "RUNNING", "DONE", "FAILED", "QUEUED", "UNDETERMINED", "COMPLETED", "TIMEOUT", "END", "RUN", "UP",
    "north", "x" * 65, "x" * 300, "2026-11-22T12:00:00Z", "2026-11-22T12:00:00.25Z", "2026-11-22 12:00:00Z", "2026-11-22T12:00:00",
    0, 1, 3, 9, -1, 129, 1025, 1 << 40, (1 << 62) + 1, 0.5, True, False, [], ["n1"], ["n1", ""], [1], {}, {"n": 1},
)  # fmt: skip


def _accepted(key: str, record: Mapping[str, object]) -> bool:
    scheduler = StandardScheduler("north")
    printed = report({key: record if key == "about" else [record]}, key)
    try:
        if key == "about":
            scheduler.about(printed)
            return True
        answer = scheduler.queues(printed, nodes=None, jobs=None) if key == "queues" else getattr(scheduler, key)(printed)
    except SchedulerError:
        return False
    return bool(answer.records)


@pytest.mark.parametrize("key", ["about", "jobs", "nodes", "queues"])
def test_schema_and_parser_accept_the_same(key: str) -> None:
    """Random records, half of them nearly right. The cluster's name is no business of the schema."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    definition = SCHEMA["$defs"][{"about": "about", "jobs": "job", "nodes": "node", "queues": "queue"}[key]]
    required: dict[str, tuple[object, ...]] = {
        "job_id": ("7",), "state": ("QUEUED", "RUNNING", "DONE", "FAILED", "UNDETERMINED", "REQUEUED"),
        "name": ("x",), "availability": ("UP",), "open": (True,),
    }  # fmt: skip
    fields = [name for name in definition["properties"] if name != "cluster"]
    choose = random.Random(f"standard {key}")
    tried = {True: 0, False: 0}
    for _ in range(4_000):
        record = {name: choose.choice(required[name]) for name in definition["required"]}
        for name in choose.sample(fields, choose.randrange(0, 4)):
            record[name] = choose.choice(_VALUES)
        if choose.random() < 0.05:
            record["surplus"] = None
        valid = validator.is_valid({key: record if key == "about" else [record]})
        assert _accepted(key, record) is valid, record
        tried[valid] += 1
    assert min(tried.values()) > 200


def test_every_field_of_the_model_is_in_the_schema() -> None:
    (job,) = jobs({"jobs": [JOB]}).records
    assert set(SCHEMA["$defs"]["job"]["properties"]) == {field.name for field in dataclasses.fields(job)} | {"phase"}


@pytest.mark.parametrize("size", [1 << 20, pytest.param(100 << 20, marks=pytest.mark.full)])
@pytest.mark.parametrize(
    ("before", "filling", "after"),
    [
        (b'{"jobs": [{"job_id": "7", "name": "', b"x", b'"}]}'),
        (b'{"jobs": [{"job_id": "7", "name": "', b"\\n", b""),
        (b'{"jobs": [{"job_id": "7", "cores": ', b"9", b"}]}"),
        (b'{"jobs": [{"job_id": "7", "nodes": [', b'"a",', b'"b"]}]}'),
        (b'{"jobs": [{"job_id": "7"', b',"a":1', b"}]}"),
        (b'{"jobs": [', b"{},", b"{}]}"),
        (b'{"jobs": [', b'{"job_id": "7", "cores": {}},', b"{}]}"),
        (b'{"jobs": ', b"[", b""),
        (b'{"jobs": [{"a": ', b"[", b""),
        (b"", b" ", b"x"),
        (b"", b"\0", b""),
        (b'{"', b"x", b'": []}'),
    ],
)
def test_a_monstrous_document_is_rejected_quickly(before: bytes, filling: bytes, after: bytes, size: int) -> None:
    content = before + filling * (size // len(filling) + 1) + after
    began = time.process_time()
    with pytest.raises(ReportUnreadable):
        jobs(content)
    assert time.process_time() - began < 30


def test_as_many_problems_as_records_take_no_longer() -> None:
    records = [{"job_id": str(number), "state": "UNDETERMINED", "native_state": "odd"} for number in range(10_000)]
    began = time.process_time()
    assert len(jobs({"jobs": records + [JOB | {"job_id": f"x{number}", "cores": -1} for number in range(10_000)]}).problems) == 20_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize("count", [1_000, pytest.param(50_000, marks=pytest.mark.full)])
def test_damage_never_becomes_a_statement(count: int) -> None:
    """Bytes flipped, cut out or doubled: an error of the family, or records whose ids were there, as they were or reported."""
    original = json.dumps({"jobs": [JOB | {"job_id": str(number), "cores": number} for number in range(5)]}, indent=1).encode()
    choose = random.Random(20)
    for _ in range(count):
        damaged = bytearray(original)
        start = choose.randrange(len(damaged))
        match choose.randrange(3):
            case 0:
                damaged[start] = choose.randrange(256)
            case 1:
                del damaged[start : start + choose.randrange(1, 60)]
            case _:
                damaged[start:start] = damaged[start : start + choose.randrange(1, 60)]
        try:
            answer = jobs(bytes(damaged))
        except SchedulerError:
            continue
        assert len(answer.records) + len(answer.problems) >= 1
        assert len({job.job_id for job in answer.records}) == len(answer.records)
