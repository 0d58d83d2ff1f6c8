# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Q1: hostile values in every field a user or an administrator writes, and damaged recordings, for every scheduler.

Three promises: nothing but the SchedulerError family comes out, nothing is said of a job that is not there, and what was there is
either said or reported.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.errors import SchedulerError
from hpcbridge.model.jobs import Job
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.recording import Recording, asked_ids, load_recording, normalise
from hpcbridge.schedulers.report import Answer, Report
from hpcbridge.schedulers.slurm import SlurmScheduler

RECORDED = Path(__file__).parents[1] / "recorded"
CASES = sorted(path.parent for name in SCHEDULERS for path in RECORDED.glob(f"{name}/*/*/meta.json"))
QUICK, FULL = 2_000, 100_000

HOSTILE = [
    b"",
    b" ",
    b"\n",
    b"\n\n\n",
    b"\r\n",
    b"\x00",
    b"\x1b[2J\x1b[31mred",
    b"\xff\xfe\x80",
    b"\xc3\x28",
    "\u202egnp.exe".encode(),
    "\u2028line\u0085separator".encode(),
    "ünïcödé 日本 🚀".encode(),
    b"|" * 60,
    b"a|b\n0:00|c|d",
    b"=" * 40,
    b"x JobState=RUNNING UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 ",
    b" Command=x WorkDir=y",
    b"\nJobId=1 JobState=RUNNING",
    b"\nNodeName=c1 State=DOWN CPUAlloc=0 CPUTot=8",
    b"%s%n%x {0} ${HOME} `id` $(id)",
    b"'; DROP TABLE jobs; --",
    b"</script><script>alert(1)</script>",
    b"../../../etc/passwd",
    b"-1",
    b"nan",
    b"1e999",
    b"None",
    b"null",
    b"[]",
    b"A" * 100_000,
]


def _report(case: str, query: str) -> Report:
    return load_recording(RECORDED / case).reports[query]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("version", ["22.05.8", "26.05.5"])
def test_a_job_name_is_just_bytes(version: str, value: bytes) -> None:
    report = _report(f"slurm/{version}/zoo", "jobs")
    before = {job.job_id: job for job in SlurmScheduler("c1").jobs(report).records}
    nonce = report.stdout[5:13]
    forged = value + b"\n0:00|" + nonce[::-1] + report.stdout.split(b"\n")[1].split(nonce)[1]
    for name in (value, forged):
        hostile = dataclasses.replace(report, stdout=report.stdout.replace(b"|done-ok\n", b"|" + name + b"\n"))
        answer = SlurmScheduler("c1").jobs(hostile)
        after = {job.job_id: job for job in answer.records}
        assert answer.problems == ()
        assert {job_id: job for job_id, job in after.items() if job_id != "1"} == {k: job for k, job in before.items() if k != "1"}
        assert dataclasses.replace(after["1"], name=None) == dataclasses.replace(before["1"], name=None)
        assert (after["1"].name or "").isprintable()


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("query", ["ended", "ended_fallback"])
def test_a_name_in_accounting_is_just_bytes(query: str, value: bytes) -> None:
    report = _report("slurm/26.05.5/zoo", query)
    asked = asked_ids(report.argv)
    before = {job.job_id: job for job in SlurmScheduler("c1").ended(report, asked).records}
    hostile = dataclasses.replace(report, stdout=report.stdout.replace(b"done-ok", value, 1))
    answer = SlurmScheduler("c1").ended(hostile, asked)
    after = {job.job_id: dataclasses.replace(job, name=None) for job in answer.records}
    expected = {job_id: dataclasses.replace(job, name=None) for job_id, job in before.items()}
    kept_out = {problem.subject for problem in answer.problems}
    assert kept_out <= {"1"}
    assert after | {job_id: expected[job_id] for job_id in kept_out if job_id} == expected


@pytest.mark.parametrize("value", [value for value in HOSTILE if b"NodeName" not in value], ids=range(len(HOSTILE) - 1))
def test_the_reason_of_a_node_is_just_bytes(value: bytes) -> None:
    report = _report("slurm/22.05.8/zoo", "nodes")
    before = {node.name: node for node in SlurmScheduler("c1").nodes(report).records}
    hostile = dataclasses.replace(report, stdout=report.stdout.replace(b"Reason=disk full", b"Reason=" + value))
    answer = SlurmScheduler("c1").nodes(hostile)
    after = {node.name: node for node in answer.records}
    assert answer.problems == ()
    assert {name: dataclasses.replace(node, reason=None) for name, node in after.items()} == {
        name: dataclasses.replace(node, reason=None) for name, node in before.items()
    }


def test_a_reason_that_forges_a_node_makes_that_node_unknown_and_no_other() -> None:
    report = _report("slurm/22.05.8/zoo", "nodes")
    forged = b"Reason=x\nNodeName=c1 State=DOWN CPUAlloc=0 CPUTot=8"
    answer = SlurmScheduler("c1").nodes(dataclasses.replace(report, stdout=report.stdout.replace(b"Reason=disk full", forged)))
    assert "c1" not in {node.name for node in answer.records}
    assert [problem.subject for problem in answer.problems] == ["c1", "c1"]


@pytest.mark.parametrize("count", [QUICK, pytest.param(FULL, marks=pytest.mark.full)])
def test_damaged_recordings_say_nothing_of_jobs_that_are_not_there(count: int) -> None:
    bases = [load_recording(case) for case in CASES]
    known = [_ids(base) for base in bases]
    bare = [tuple(job_id for job_id in ids if "[" not in job_id) for ids in known]
    rng = random.Random(20261122)
    refused = told = 0
    for _ in range(count):
        which = rng.randrange(len(bases))
        query = rng.choice(sorted(set(bases[which].reports) & {"jobs", "ended", "ended_fallback"}))
        report = bases[which].reports[query]
        damaged = dataclasses.replace(report, stdout=_damage(report.stdout, rng))
        scheduler = SCHEDULERS[bases[which].scheduler](bases[which].cluster)
        try:
            answer = scheduler.jobs(damaged) if query == "jobs" else scheduler.ended(damaged, asked_ids(report.argv) or bare[which])
        except SchedulerError:
            refused += 1
            continue
        told += 1
        assert {job.job_id for job in answer.records} <= set(known[which])
        assert all(problem.text.isprintable() for problem in answer.problems)
        _check_printable(answer)
    assert refused > count // 100
    assert told > count // 10


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.full)])
def test_damaged_recordings_always_have_a_normal_form(count: int) -> None:
    bases = [load_recording(case) for case in CASES]
    rng = random.Random(4)
    for _ in range(count):
        base = rng.choice(bases)
        reports = {query: _damaged_report(report, rng) if rng.random() < 0.4 else report for query, report in base.reports.items()}
        normalised = normalise(dataclasses.replace(base, reports=reports))
        assert normalised.exit_status in (0, 65)
        assert set(normalised.as_json()) == {"scheduler", "jobs", "nodes", "queues", "problems"}


def _ids(base: Recording) -> tuple[str, ...]:
    scheduler = SCHEDULERS[base.scheduler](base.cluster)
    ids: set[str] = set()
    for query, report in base.reports.items():
        try:
            if query == "jobs":
                ids |= {job.job_id for job in scheduler.jobs(report).records}
            elif query.startswith("ended"):
                asked = asked_ids(report.argv)
                answer = scheduler.ended(report, asked)
                ids |= {job.job_id for job in answer.records}
                # kept out for its name (22.05.8/fallback job 43), so a damaged newline may bring it back
                ids |= {problem.subject for problem in answer.problems if problem.subject in asked}
        except SchedulerError:
            continue
    return tuple(sorted(ids))


def _damaged_report(report: Report, rng: random.Random) -> Report:
    status = rng.choice((0, 1, 255)) if rng.random() < 0.2 else report.exit_status
    return dataclasses.replace(report, stdout=_damage(report.stdout, rng), exit_status=status)


def _damage(data: bytes, rng: random.Random) -> bytes:
    ways: list[Callable[[bytes, random.Random], bytes]]
    ways = [_flip, _delete, _insert, _cut, _drop_line, _double_line, _swap_lines, _join_lines]
    return rng.choice(ways)(data, rng)


def _flip(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _delete(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.randrange(1, 40) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(HOSTILE) + data[place:]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def _double_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    return b"\n".join([*lines[:place], lines[place], *lines[place:]])


def _swap_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def _join_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    return b"\n".join([*lines[:place], b"".join(lines[place : place + 2]), *lines[place + 2 :]])


def _check_printable(answer: Answer[Job]) -> None:
    for job in answer.records:
        assert all(text.isprintable() for text in _texts(job))


def _texts(job: Job) -> Iterator[str]:
    return (text for text in (job.job_id, job.name, job.reason, job.owner, job.account, job.queue, *job.nodes) if text is not None)
