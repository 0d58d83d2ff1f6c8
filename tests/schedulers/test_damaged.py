# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Q1: recordings of every scheduler, damaged at random and cut off at every place.

Damage may cost a record or the whole report; it never makes a job or a node that is not there, and a part of a report is used only
where what is missing can be told: half a report never says that nothing is there, nor that a job has ended that has not.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import SchedulerError
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.recording import Recording, load_recording, normalise
from hpcbridge.schedulers.report import Answer, Report
from tests.schedulers.hostile_values import HOSTILE

RECORDED = Path(__file__).parents[1] / "recorded"
CASES = sorted(path.parent for name in SCHEDULERS for path in RECORDED.glob(f"{name}/*/*/meta.json"))
QUICK, FULL = 5_000, 100_000
ASKED = ("jobs", "ended", "ended_fallback", "nodes", "queues")
LARGEST = 60_000
SHORT = [value for value in HOSTILE if len(value) < 500]


@dataclasses.dataclass(frozen=True)
class Base:
    """One report of a recording, and every name that may come out of it."""

    case: Path
    recording: Recording
    report: Report
    known: frozenset[str]

    @property
    def name(self) -> str:
        return f"{'/'.join(self.case.parts[-3:])}/{self.report.query}"


@cache
def bases() -> tuple[Base, ...]:
    """Reports with something in them; of the large ones the first part, cut so that the parser takes it."""
    found = []
    for case in CASES:
        recording = load_recording(case)
        names = _names_of(case.parents[1].name)
        for query in ASKED:
            report = recording.reports.get(query)
            if report is not None and 0 < len(report.stdout) <= LARGEST:
                found.append(Base(case, recording, report, names))
    return tuple(found)


@cache
def _names_of(scheduler: str) -> frozenset[str]:
    """Names of jobs, nodes and queues that stand as words in any report of this scheduler: damage may uncover a hidden one.

    A job that a parser keeps out (hidden behind a newline in its name) or that only a list of jobs of a node names is there as well.
    """
    names: set[str] = set()
    for case in CASES:
        if case.parents[1].name != scheduler:
            continue
        normalised = normalise(load_recording(case))
        names.update(job.job_id for job in normalised.jobs or ())
        names.update(job.array_job_id for job in normalised.jobs or () if job.array_job_id)
        names.update(node.name for node in normalised.nodes or ())
        names.update(queue.name for queue in normalised.queues or ())
        names.update(problem.subject for problem in normalised.problems if problem.subject)
    return frozenset(names)


def read(base: Base, report: Report) -> Answer[Any]:
    scheduler = SCHEDULERS[base.recording.scheduler](base.recording.cluster)
    match report.query:
        case "jobs":
            return scheduler.jobs(report)
        case "nodes":
            return scheduler.nodes(report)
        case "queues":
            return scheduler.queues(report, nodes=None, jobs=None)
        case _:
            return scheduler.ended(report, ())


def name_of(record: Any) -> str:
    return str(record.job_id if isinstance(record, Job) else record.name)


def stands_in(name: str, data: bytes) -> bool:
    """True if every word of a name stands in the bytes: a character that was flipped makes another name, and that cannot be known."""
    words = re.findall(r"\d+|[A-Za-z]+", re.sub(r"\\x..|\\u....", " ", name))
    data = data.replace(b"\\\n", b"")  # such a line goes on in the next one
    return all(word.encode() in data for word in words)


@pytest.mark.parametrize("count", [QUICK, pytest.param(FULL, marks=[pytest.mark.full, pytest.mark.timeout(3600)])])
def test_damaged_reports_say_nothing_of_what_is_not_there(count: int) -> None:
    rng = random.Random(20261122)
    refused = told = 0
    seen: set[tuple[str, str]] = set()
    for _ in range(count):
        base = rng.choice(bases())
        damaged, whole_pieces = damage(base.report.stdout, rng)
        seen.add((base.recording.scheduler, base.report.query))
        try:
            answer = read(base, dataclasses.replace(base.report, stdout=damaged))
        except SchedulerError:
            refused += 1
            continue
        told += 1
        for record in answer.records:
            name = name_of(record)
            there = name in base.known or (name.encode() in base.report.stdout if whole_pieces else stands_in(name, damaged))
            assert there, f"{base.name}: {name!r} is not there"
        names = [name_of(record) for record in answer.records if isinstance(record, Node)]
        assert len(names) == len(set(names)), f"{base.name}: a node twice"
        assert all(problem.text.isprintable() for problem in answer.problems), base.name
    assert refused > count // 100
    assert told > count // 10
    assert {scheduler for scheduler, _ in seen} == {base.recording.scheduler for base in bases()}


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(3600)])])
def test_damaged_recordings_always_have_a_normal_form(count: int) -> None:
    recordings = list(dict.fromkeys(base.case for base in bases()))
    rng = random.Random(4)
    for _ in range(count):
        recording = load_recording(rng.choice(recordings))
        reports = {query: _damaged_report(report, rng) if rng.random() < 0.4 else report for query, report in recording.reports.items()}
        normalised = normalise(dataclasses.replace(recording, reports=reports))
        assert normalised.exit_status in (0, 65)
        assert set(normalised.as_json()) == {"scheduler", "jobs", "nodes", "queues", "problems"}


CUTS_QUICK, CUTS_FULL = 60, 2_000


@pytest.mark.parametrize("cuts", [CUTS_QUICK, pytest.param(CUTS_FULL, marks=[pytest.mark.full, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_half_a_report(scheduler: str, cuts: int) -> None:
    """Cut anywhere: refused whole, or what is said is what the whole report says, and never that there is nothing."""
    for base in bases():
        if base.recording.scheduler == scheduler:
            whole = _whole(base)
            for place in _places(base.report.stdout, cuts):
                _check_half(base, place, whole)


def _whole(base: Base) -> dict[str, list[Any]] | None:
    try:
        answer = read(base, base.report)
    except SchedulerError:
        return None
    return _by_name(answer)


def _by_name(answer: Answer[Any]) -> dict[str, list[Any]]:
    records: dict[str, list[Any]] = {}
    for record in answer.records:
        records.setdefault(name_of(record), []).append(record)
    return records


def _places(data: bytes, count: int) -> Iterator[int]:
    """Evenly spread, and around every end of a line of the last ones."""
    step = max(1, len(data) // count)
    last = len(data.rstrip())  # blanks and line ends behind the last record say nothing
    yield from range(1, last, step)
    yield from (place for place in (last - 1, last - 2, last - 7) if place > 0)


def _is_whole(base: Base, half: bytes) -> bool:
    """True for a half that is itself what the scheduler prints when there is nothing: no reader can know that more was to come.

    Slurm prints its header and no more. Accounting files of PBS are lines without an end, and those without an E tell of no end; that
    accounting knows nothing is never taken for an end by itself.
    """
    lines = half.split(b"\n")
    of_slurm = base.recording.scheduler == "slurm" and base.report.query in ("jobs", "ended") and len(lines) == 2
    of_accounting = base.report.query == "ended_fallback" and not re.search(rb";E;", half)
    return not lines[-1] and (of_slurm or of_accounting)


def _check_half(base: Base, place: int, whole: dict[str, list[Any]] | None) -> None:
    half = dataclasses.replace(base.report, stdout=base.report.stdout[:place])
    try:
        answer = read(base, half)
    except SchedulerError:
        return
    where = f"{base.name} cut at byte {place}"
    assert answer.records or answer.problems or whole is None or _is_whole(base, half.stdout), f"{where}: says that nothing is there"
    if whole is None or _is_begin_of_a_log(base, half.stdout):
        return
    for name, records in _by_name(answer).items():
        assert name in whole or base.report.query == "queues", f"{where}: {name!r} is not in the whole report"
        for record in records:
            if isinstance(record, Job) and record.state.ended:
                ends = {(other.state, other.outcome) for other in whole[name]}
                assert (record.state, record.outcome) in ends, f"{where}: {name} has not ended so"


def _is_begin_of_a_log(base: Base, half: bytes) -> bool:
    """True for what was the whole truth at an earlier time: an accounting file of PBS up to some line, or a record of qacct up to the
    lines behind maxvmem, of which some versions have none and others one that says who deleted the job. Our scripts print an end.
    """
    of_pbs = base.report.query == "ended_fallback" and base.recording.scheduler in ("torque", "openpbs")
    of_gridengine = base.recording.scheduler == "gridengine" and b"\nmaxvmem " in half.rpartition(b"\n=====")[2]
    return of_pbs or (of_gridengine and half.endswith(b"\n"))


# Negative control: a parser that uses whatever is there is caught by the same test


def test_a_parser_that_takes_what_it_gets_is_caught() -> None:
    class Taking:
        def __init__(self, cluster: str) -> None:
            self._known = SCHEDULERS["slurm"](cluster)

        def jobs(self, report: Report) -> Answer[Job]:
            try:
                return self._known.jobs(report)
            except SchedulerError:
                return Answer(records=())

    base = next(each for each in bases() if each.name == "slurm/22.05.8/zoo/jobs")
    answer = Taking("c1").jobs(dataclasses.replace(base.report, stdout=base.report.stdout[:500]))
    assert not answer.records
    assert not answer.problems
    with pytest.raises(SchedulerError):
        read(base, dataclasses.replace(base.report, stdout=base.report.stdout[:500]))


# Damage


def damage(data: bytes, rng: random.Random) -> tuple[bytes, bool]:
    """One to three accidents, and whether all of them left lines and elements whole: then no new name can have come about."""
    ways = [rng.choice(WAYS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    for way in ways:
        data = way(data, rng)
    return data, all(way in WHOLE for way in ways)


def _damaged_report(report: Report, rng: random.Random) -> Report:
    status = rng.choice((0, 1, 255)) if rng.random() < 0.2 else report.exit_status
    return dataclasses.replace(report, stdout=damage(report.stdout, rng)[0], exit_status=status)


def _flip(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _delete(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.randrange(1, 40) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(SHORT_OF_JOBS) + data[place:]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _copy(data: bytes, rng: random.Random) -> bytes:
    """A piece of the report at another place of it."""
    start, place = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return data[:place] + data[start : start + rng.randrange(1, 3000)] + data[place:]


def _join(data: bytes, rng: random.Random) -> bytes:
    """Two lines become one."""
    places = [place for place in range(len(data)) if data[place] == 10] if len(data) < 4000 else []
    place = rng.choice(places) if places else data.find(b"\n", rng.randrange(len(data) + 1))
    return data if place < 0 else data[:place] + data[place + 1 :]


@lru_cache(maxsize=800)
def _places_of(pattern: bytes, data: bytes) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(pattern, data, re.DOTALL)]


def _pieces(pattern: bytes) -> Callable[[bytes, random.Random], bytes]:
    """Drops, doubles or swaps elements of one kind: lines, tags, attributes, cells."""

    def change(data: bytes, rng: random.Random) -> bytes:
        places = _places_of(pattern, data)
        if len(places) < 2:
            return data
        (start, end), (other_start, other_end) = sorted(rng.sample(places, 2))
        way = rng.randrange(3)
        if way == 0:
            return data[:start] + data[end:]
        if way == 1:
            return data[:end] + data[start:end] + data[end:]
        return data[:start] + data[other_start:other_end] + data[end:other_start] + data[start:end] + data[other_end:]

    return change


SHORT_OF_JOBS = [value for value in SHORT if b"99999" not in value and b"node09" not in value and b"NodeName=zz" not in value]
"""What names nobody new: an accident does not invent."""
WHOLE: list[Callable[[bytes, random.Random], bytes]] = [
    _pieces(rb"[^\n]*\n"),
    _pieces(rb"<Job>.*?</Job>|<Node>.*?</Node>|<job_list .*?</job_list>|<host .*?</host>"),
    _pieces(rb"\"[^\"\n]*\":[^\n]*\n"),
    _pieces(rb"={20,}\n[^=]*"),
]
WAYS: list[Callable[[bytes, random.Random], bytes]] = [
    _flip,
    _delete,
    _insert,
    _cut,
    _copy,
    _join,
    _pieces(rb"\s[\w./:-]+=[^\s=]*"),
    _pieces(rb"<(\w+)[^<>]*>[^<]*</\1>"),
    _pieces(rb"(?:(?<=[|])|(?<=\n))[^|\n]*[|]"),
    *WHOLE,
]
