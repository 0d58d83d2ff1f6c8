# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: every parser, the notations they share, and the loader of recordings. Each takes bytes and breaks no promise.

A target raises AssertionError where a promise is broken; every other error is one that the code should not have let out.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpcbridge.errors import BadData, SchedulerError
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.schedulers import SCHEDULERS, notation
from hpcbridge.schedulers.anonymise.recording import anonymise
from hpcbridge.schedulers.recording import load_recording, normalise
from hpcbridge.schedulers.report import Answer, Report, Scheduler

RECORDED = Path(__file__).parents[1] / "recorded"
QUERIES = ("jobs", "ended", "ended_fallback", "nodes", "queues", "about")
ARGV = (("scripts/x", "1", "2"), ("env", "TZ=UTC", "x", "30"), ())
LONGEST = 1 << 16
Target = Callable[[bytes], None]


def scheduler_target(name: str) -> Target:
    """Byte 0 chooses the query, byte 1 exit status and command, the rest is what was printed."""

    def run(data: bytes) -> None:
        if len(data) < 2:
            return
        query = QUERIES[data[0] % len(QUERIES)]
        report = Report(query, ARGV[data[1] % len(ARGV)], (0, 0, 0, 1, 153, 255)[data[1] % 6], data[2:], b"")
        scheduler = SCHEDULERS[name]("c1")
        try:
            if query == "about":
                scheduler.about(report)
                return
            answer = _ask(scheduler, report)
        except SchedulerError:
            return
        _check_records(answer.records)
        assert all(problem.text.isprintable() for problem in answer.problems)

    return run


def _ask(scheduler: Scheduler, report: Report) -> Answer[Any]:
    match report.query:
        case "jobs":
            return scheduler.jobs(report)
        case "nodes":
            return scheduler.nodes(report)
        case "queues":
            return scheduler.queues(report, nodes=None, jobs=None)
        case _:
            return scheduler.ended(report, ("1", "2"))


def _check_records(records: tuple[Job | Node | Queue, ...]) -> None:
    for record in records:
        if isinstance(record, Job):
            assert record.job_id
            named = (record.job_id, record.native_state, record.name, record.owner, record.account, record.queue, record.reason)
            assert all(text.isprintable() for text in (*named, *record.nodes) if text is not None)
            assert record.state.ended == (record.outcome is not None)
        else:
            assert record.name
            assert record.name.isprintable()


def notations(data: bytes) -> None:
    """Every notation: a value, None, or ValueError; and what is expanded stays within its cap."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (notation.parse_duration, notation.parse_size, notation.parse_count, notation.count_tasks):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert value is None or value >= 0
    try:
        assert len(notation.expand_hosts(text)) <= notation.MAX_HOSTS
    except ValueError:
        return


def recordings(data: bytes) -> None:
    """A folder whose meta.json and one report are anything: BadData, or something with a normal form."""
    head, _, body = data.partition(b"\0\0")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "meta.json").write_bytes(head)
        for query in QUERIES:
            (directory / f"{query}.out").write_bytes(body)
            (directory / f"{query}.err").write_bytes(b"")
        try:
            recording = load_recording(directory)
        except BadData:
            return
    normalised = normalise(recording)
    json.dumps(normalised.as_json(), allow_nan=False)
    assert normalised.exit_status in (0, 65)


def anonymiser(data: bytes) -> None:
    """Whatever is printed can be made anonymous, and keeps its length."""
    report = Report("jobs", ("x",), 0, data, b"")
    made = anonymise({"jobs": report}, source=random.Random(1)).reports["jobs"]
    assert len(made.stdout) == len(data)


TARGETS: dict[str, Target] = {
    **{name: scheduler_target(name) for name in sorted(SCHEDULERS)},
    "notations": notations,
    "recordings": recordings,
    "anonymiser": anonymiser,
}


def seeds(target: str) -> Iterator[bytes]:
    """What fuzzing begins with: the recordings."""
    for meta in sorted(RECORDED.glob("*/*/*/meta.json")):
        scheduler = meta.parents[2].name
        outs = [path for path in sorted(meta.parent.glob("*.out")) if path.stem in QUERIES and 0 < path.stat().st_size < LONGEST]
        if target == scheduler:
            yield from (bytes([QUERIES.index(path.stem), 0]) + path.read_bytes() for path in outs)
        elif target == "recordings":
            yield from (meta.read_bytes() + b"\0\0" + path.read_bytes() for path in outs[:1])
        elif target == "anonymiser":
            yield from (path.read_bytes()[:8_000] for path in outs[:2])
    if target == "notations":
        yield from (b"c[1-2,5-10],d1", b"r[0-1]n[01-16]", b"1-02:03:04", b"1.50G", b"2K", b"2-9%2", b"12,16,20%1", b"1-2997:7")
