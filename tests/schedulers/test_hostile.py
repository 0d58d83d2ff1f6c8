# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Q1: every hostile value in every field that a user or an administrator writes, for every scheduler.

Three promises: nothing but the SchedulerError family comes out, nothing is said of a job or node that is not there or is another,
and what was there is either said or reported. What any user may write costs nobody else's record.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from hpcbridge.errors import SchedulerError
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.nodes import Node
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.report import Answer, Report
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from tests.schedulers.hostile_values import HOSTILE
from tests.schedulers.printers import FIELDS, GRIDENGINE, OPENPBS, SLURM, TORQUE, Field, recorded

Record = Job | Node
Reader = Callable[[Report], Answer[Any]]
BIG = 100 << 20


def reader_of(field: Field) -> Reader:
    """The parser as it is used, without memory of an earlier report."""

    def read(report: Report) -> Answer[Any]:
        scheduler = SCHEDULERS[field.scheduler]("c1")
        match field.query:
            case "jobs":
                return scheduler.jobs(report)
            case "nodes":
                return scheduler.nodes(report)
            case _:
                return scheduler.ended(report, ())

    return read


def clean_records(field: Field, read: Reader) -> list[Record]:
    """What the report says with a harmless value in the field; for the standard JSON a value in a list of one."""
    return list(read(field.print_with(b"harmless")).records)


def check(field: Field, value: bytes, *, clean: Sequence[Record], read: Reader) -> None:
    """Raises AssertionError where a promise is broken."""
    report = field.print_with(value)
    try:
        answer = read(report)
    except SchedulerError:
        assert not field.anybody, f"{field.name}: one user's {value[:60]!r} costs the whole report"
        return
    before, after = _by_id(clean), _by_id(answer.records)
    assert after.keys() <= before.keys(), f"{field.name}: {value[:60]!r} made {after.keys() - before.keys()}"
    doubted = Counter(problem.subject for problem in answer.problems)
    for key, records in before.items():
        if key == field.subject:
            assert after.get(key) or doubted[key], f"{field.name}: {value[:60]!r} let {key} vanish"
            _check_subject(records, after.get(key, []), field, value)
        elif field.forgeable and doubted[key]:
            assert key not in after, f"{field.name}: {value[:60]!r} put words into the mouth of {key}"
        else:
            assert after.get(key) == records, f"{field.name}: {value[:60]!r} changed {key}"
    assert sum(map(len, after.values())) + len(answer.problems) >= sum(map(len, before.values()))
    assert all(text.isprintable() for record in answer.records for text in texts_of(record))
    assert all(problem.text.isprintable() and (problem.subject or "").isprintable() for problem in answer.problems)


_OF_JOBS = ("state", "outcome", "cores", "gpus", "nodes", "submitted_at", "started_at", "ended_at", "exit_code", "restarts")
_OF_NODES = ("availability", "cores_total", "cores_used", "gpus_total", "memory_bytes_total")


def _check_subject(before: Sequence[Record], after: Sequence[Record], field: Field, value: bytes) -> None:
    """Whatever stands in one text: what is counted and whether the job runs stay as they are."""
    if not after or field.what.startswith(("native_state", "nodes")):
        return
    for one, other in zip(before, after, strict=True):
        facts = _OF_JOBS if isinstance(one, Job) else _OF_NODES
        changed = [name for name in facts if getattr(one, name) != getattr(other, name)]
        assert not changed, f"{field.name}: {value[:60]!r} changed {changed} of its own record"


def _by_id(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.job_id if isinstance(record, Job) else record.name, []).append(record)
    return found


def texts_of(record: Record) -> Iterator[str]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                yield text


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_text_is_just_bytes(field: Field) -> None:
    read = reader_of(field)
    clean = clean_records(field, read)
    assert field.subject in _by_id(clean)
    for value in HOSTILE:
        check(field, value, clean=clean, read=read)


def test_every_scheduler_has_a_printer_for_its_jobs_and_its_nodes() -> None:
    asked = {(field.scheduler, field.query) for field in FIELDS}
    for scheduler in SCHEDULERS:
        if scheduler != "local":  # prints nothing: the kernel's facts do not pass through a text
            assert {(scheduler, "jobs"), (scheduler, "nodes")} <= asked


@pytest.mark.full
@pytest.mark.parametrize("scheduler", sorted({field.scheduler for field in FIELDS}))
def test_a_name_of_a_hundred_megabytes(scheduler: str) -> None:
    field = next(each for each in FIELDS if each.scheduler == scheduler and each.query == "jobs" and each.what.startswith("name"))
    read = reader_of(field)
    field = dataclasses.replace(field, anybody=False)  # more than any server keeps: to be rejected whole is an answer
    check(field, b"A" * BIG, clean=clean_records(field, read), read=read)
    check(field, b"\nJobId=1 <Job> {" * (BIG // 16), clean=clean_records(field, read), read=read)


@pytest.mark.parametrize("scheduler", sorted({field.scheduler for field in FIELDS}))
def test_a_name_of_four_megabytes(scheduler: str) -> None:
    field = next(each for each in FIELDS if each.scheduler == scheduler and each.query == "jobs" and each.what.startswith("name"))
    read = reader_of(field)
    size = (1 << 19) if scheduler == "standard" else (4 << 20)  # docs/standard.md: a record has at most a mebibyte
    check(field, b"A" * size, clean=clean_records(field, read), read=read)
    check(dataclasses.replace(field, anybody=False), b"\n" * size, clean=clean_records(field, read), read=read)


# Slurm's raw text with a nonce: what a forger cannot know, and what he can


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("version", ["22.05.8", "26.05.5"])
def test_a_whole_line_with_another_nonce_is_part_of_the_name(version: str, value: bytes) -> None:
    report = recorded(f"slurm/{version}/zoo", "jobs")
    before = {job.job_id: job for job in SlurmScheduler("c1").jobs(report).records}
    nonce = report.stdout[5:13]
    forged = value + b"\n0:00|" + nonce[::-1] + report.stdout.split(b"\n")[1].split(nonce)[1]
    answer = SlurmScheduler("c1").jobs(dataclasses.replace(report, stdout=report.stdout.replace(b"|done-ok\n", b"|" + forged + b"\n")))
    after = {job.job_id: job for job in answer.records}
    assert answer.problems == ()
    assert {job_id: job for job_id, job in after.items() if job_id != "1"} == {k: job for k, job in before.items() if k != "1"}
    assert dataclasses.replace(after["1"], name=None) == dataclasses.replace(before["1"], name=None)


def test_a_reason_that_forges_a_node_makes_that_node_unknown_and_no_other() -> None:
    report = recorded("slurm/22.05.8/zoo", "nodes")
    forged = b"Reason=x\nNodeName=c1 State=DOWN CPUAlloc=0 CPUTot=8"
    answer = SlurmScheduler("c1").nodes(dataclasses.replace(report, stdout=report.stdout.replace(b"Reason=disk full", forged)))
    assert "c1" not in {node.name for node in answer.records}
    assert [problem.subject for problem in answer.problems] == ["c1", "c1"]


# Negative controls: parsers as one writes them in an afternoon, each caught by the product above


def _job(job_id: str, state: str, name: str) -> Job:
    known = {"R": JobState.RUNNING, "r": JobState.RUNNING, "RUNNING": JobState.RUNNING}
    return Job(cluster="c1", job_id=job_id, state=known.get(state, JobState.UNDETERMINED), native_state=state, name=name)


def naive_squeue(report: Report) -> Answer[Job]:
    """Splits lines at the bar."""
    rows = [line.split("|") for line in report.stdout.decode("utf-8", "replace").split("\n")[1:] if line]
    return Answer(records=tuple(_job(row[2], row[11], row[-1]) for row in rows if len(row) > 12))


def naive_openpbs(report: Report) -> Answer[Job]:
    """Trusts json.loads: the last of two keys wins, and a bare `nan` is a number."""
    found = json.loads(report.stdout.decode("utf-8", "replace"))["Jobs"]
    return Answer(records=tuple(_job(job_id.partition(".")[0], job["job_state"], job["Job_Name"]) for job_id, job in found.items()))


def naive_torque(report: Report) -> Answer[Job]:
    """Trusts an XML parser."""
    root = ElementTree.fromstring(report.stdout)
    found = [{child.tag: child.text or "" for child in job} for job in root]
    return Answer(records=tuple(_job(job["Job_Id"].partition(".")[0], job["job_state"], job["Job_Name"]) for job in found))


def naive_gridengine(report: Report) -> Answer[Job]:
    """Takes the XML apart with a pattern and decodes no entities."""
    pattern = rb"<JB_job_number>(\d+)</JB_job_number>.*?<JB_name>(.*?)</JB_name>.*?<state>(\w+)</state>"
    found = re.findall(pattern, report.stdout, re.DOTALL)
    return Answer(records=tuple(_job(job_id.decode(), state.decode(), name.decode("latin-1")) for job_id, name, state in found))


@pytest.mark.parametrize(
    ("fields", "naive"),
    [(SLURM, naive_squeue), (OPENPBS, naive_openpbs), (TORQUE, naive_torque), (GRIDENGINE, naive_gridengine)],
    ids=["squeue", "openpbs", "torque", "gridengine"],
)
def test_a_naive_parser_is_caught(fields: list[Field], naive: Reader) -> None:
    caught = 0
    for field in fields:
        if field.query != "jobs" or not field.anybody:
            continue
        clean = clean_records(field, naive)
        for value in HOSTILE:
            try:
                check(field, value, clean=clean, read=naive)
            except (AssertionError, ValueError, TypeError, AttributeError, KeyError, ElementTree.ParseError):
                caught += 1
    assert caught > 5
