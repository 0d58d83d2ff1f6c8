# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Makes a recording on a frontend: asks a source every question once, and writes the folder that `parse` reads.

A query that failed is recorded as it failed; one that gave no report at all (a time-out, no script) is left out and said. Whether the
anonymised recording still shows the same is found out by reading both.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcbridge.errors import BadData, SchedulerError
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.quantities import Instant, format_instant
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.recording import Normalised, Recording, normalise
from hpcbridge.schedulers.report import Report, Source

FIRST_QUERIES = ("about", "jobs", "nodes", "queues")
_ASKED_MOST = 20
_NUMBER = re.compile(r"\d")
_WORD = re.compile(r"[^\W_]")
_LIVE = (JobState.RUNNING, JobState.SUSPENDED)
_NAMES = ("job_id", "array_job_id", "het_job_id", "owner", "account", "queue", "nodes", "name", "reason", "queues", "cluster")
_CONSISTENT = ("owner", "account", "queue", "nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the source answered, by query, and why a query has no answer."""

    reports: Mapping[str, Report] = field(default_factory=dict)
    unanswered: Mapping[str, str] = field(default_factory=dict)
    job_ids: tuple[str, ...] = ()


def ask_all(
    source: Source,
    scheduler: str,
    *,
    job_ids: Sequence[str] = (),
    optional: Sequence[str] = ("ended_fallback",),
    begin: Callable[[str], None] = lambda _query: None,
) -> Asked:
    """Runs every query; `ended` asks for `job_ids` and for jobs that the queue shows as ended, else as running.

    `begin` is called with each query before it is asked: some take a minute.
    """
    reports: dict[str, Report] = {}
    unanswered: dict[str, str] = {}

    def ask(query: str, arguments: Sequence[str] = ()) -> None:
        begin(query)
        try:
            report = source.run(query, arguments)
        except SchedulerError as error:
            unanswered[query] = str(error)
        else:
            reports[query] = dataclasses.replace(report, argv=portable(report.argv, scheduler))

    for query in FIRST_QUERIES:
        ask(query)
    ids = tuple(dict.fromkeys([*job_ids, *_worth_asking(reports.get("jobs"), scheduler)]))
    if ids:
        for query in ("ended", *optional):
            ask(query, ids)
    return Asked(reports=reports, unanswered=unanswered, job_ids=ids)


def portable(argv: Sequence[str], scheduler: str) -> tuple[str, ...]:
    """The command without this machine's folders: a script is named by its scheduler and query, as the parsers never look there."""
    if argv and argv[0].startswith("/"):
        return (f"{scheduler}/{Path(argv[0]).name}", *argv[1:])
    return tuple(argv)


def version_of(reports: Mapping[str, Report], scheduler: str, cluster: str) -> str:
    """The version that `about` tells, else `unknown`."""
    report = reports.get("about")
    if report is None:
        return "unknown"
    try:
        return SCHEDULERS[scheduler](cluster).about(report).version or "unknown"
    except SchedulerError:
        return "unknown"


def save_recording(directory: Path, recording: Recording, *, taken_at: Instant, notes: str) -> None:
    """Writes a folder that does not exist yet, or is empty; BadData if it holds anything."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise BadData(f"{directory}: is not empty", hint="name a folder that does not exist yet")
        for query, report in recording.reports.items():
            (directory / f"{query}.out").write_bytes(report.stdout)
            (directory / f"{query}.err").write_bytes(report.stderr)
        (directory / "meta.json").write_text(json.dumps(_meta(recording, taken_at, notes), indent=1) + "\n")
    except NotADirectoryError as error:
        raise BadData(f"{directory}: {error.strerror}") from error


def differences(raw: Recording, anonymised: Recording) -> tuple[str, ...]:
    """Where two recordings do not say the same, apart from who and where; empty if the tokens changed nothing else."""
    before, after = normalise(raw), normalise(anonymised)
    return tuple(
        dict.fromkeys(
            [
                *_differences_in("jobs", before, after),
                *_differences_in("nodes", before, after),
                *_differences_in("queues", before, after),
                *_problem_differences(before, after),
                *_inconsistencies(before, after),
            ]
        )
    )


def _meta(recording: Recording, taken_at: Instant, notes: str) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "scheduler": recording.scheduler,
        "version": recording.version,
        "cluster": recording.cluster,
        "taken_at": format_instant(taken_at),
        "queries": {
            query: {"argv": list(report.argv), "exit_status": report.exit_status} for query, report in recording.reports.items()
        },
    }
    return {**meta, "notes": notes} if notes else meta


def _worth_asking(report: Report | None, scheduler: str) -> Iterator[str]:
    if report is None:
        return
    try:
        jobs = SCHEDULERS[scheduler]("recorded").jobs(report).records
    except SchedulerError:
        return
    ended = sorted((job for job in jobs if job.state.ended), key=lambda job: job.ended_at or 0, reverse=True)
    live = sorted((job for job in jobs if job.state in _LIVE), key=lambda job: job.started_at or 0, reverse=True)
    chosen = [*ended[:_ASKED_MOST], *live[: max(_ASKED_MOST - len(ended), _ASKED_MOST // 4)]]
    # sacct refuses a whole question for a range that was cancelled as it waited, such as 30_[1-2997:7]
    yield from (job.array_job_id if job.array_job_id is not None and job.array_index is None else job.job_id for job in chosen)


def _differences_in(what: str, before: Normalised, after: Normalised) -> Iterator[str]:
    first, second = before.as_json()[what], after.as_json()[what]
    if first is None or second is None:
        if first is not second:
            yield f"{what}: {_known(first)} before, {_known(second)} after"
        return
    if len(first) != len(second):
        yield f"{what}: {len(first)} records before, {len(second)} after"
    for one, other in zip(first, second, strict=False):
        for key in one:
            if _comparable(key, one[key]) != _comparable(key, other[key]):
                yield f"{what}: {key} is read differently"


def _problem_differences(before: Normalised, after: Normalised) -> Iterator[str]:
    told = [[(each.query, each.kind, each.line, each.field) for each in one.problems] for one in (before, after)]
    if told[0] != told[1]:
        yield f"problems: {len(told[0])} before, {len(told[1])} after" if len(told[0]) != len(told[1]) else "problems: not the same"


def _inconsistencies(before: Normalised, after: Normalised) -> Iterator[str]:
    """Equal names must have become equal, different ones different."""
    for key in _CONSISTENT:
        pairs = set(zip(_texts(before.jobs, key), _texts(after.jobs, key), strict=False))
        if key == "nodes":
            pairs |= set(zip((node.name for node in before.nodes or ()), (node.name for node in after.nodes or ()), strict=False))
        if len(pairs) != len({old for old, _ in pairs}) or len(pairs) != len({new for _, new in pairs}):
            yield f"{key}: two names became one, or one became two"


def _texts(jobs: Iterable[Job] | None, key: str) -> Iterator[str]:
    for job in jobs or ():
        value = getattr(job, key)
        if isinstance(value, tuple):
            yield from value
        elif value is not None:
            yield value


def _comparable(key: str, value: Any) -> Any:
    if key == "native_state":
        return _NUMBER.sub("0", value)  # CANCELLED by 2001
    return _mask(value) if key in _NAMES else value


def _mask(value: Any) -> Any:
    if isinstance(value, str):
        return _WORD.sub("x", value)
    if isinstance(value, list):
        return sorted(_mask(each) for each in value)
    return value


def _known(records: object) -> str:
    return "nothing known" if records is None else "known"


