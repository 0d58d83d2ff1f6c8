# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: what the scripts of one cluster printed at one time, as a folder, and its normal form (`hpcbridgectl parse`).

None stands for "nothing is known" and an empty tuple for "proven empty", all the way into the JSON. What accounting knows only
completes: an END found there fills what the queue's own record left open, and never overrides a live state or a value.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hpcbridge.errors import BadData, ReportUnreadable, SchedulerError
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.nodes import Node
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import escape_text
from hpcbridge.model.schema import job_as_json, node_as_json, queue_as_json
from hpcbridge.schedulers import SCHEDULERS
from hpcbridge.schedulers.report import Answer, Problem, ProblemKind, Report, Scheduler

_ENDED = ("ended", "ended_fallback")
_JOB_IDS = re.compile(r"[0-9][0-9A-Za-z_.+\[\]%,:-]*\Z")
_COMMA = re.compile(r",(?![^\[]*\])")
_BAD_DATA_STATUS = 65
_MAX_CLUSTER = 40
_BESIDE = "each query of meta.json has a .out and a .err beside it"
_MAX_BYTES = 256 << 20
_MAX_META_BYTES = 4 << 20
_ARRAY_IS_MADE_WITHIN = 60_000
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The reports of a folder, by query; a query that was not recorded is left out."""

    scheduler: str
    version: str
    cluster: str
    reports: Mapping[str, Report]


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """A recording in the standard schema. None: not recorded, failed or unreadable. Empty: proven to be empty."""

    scheduler: str
    jobs: tuple[Job, ...] | None
    nodes: tuple[Node, ...] | None
    queues: tuple[Queue, ...] | None
    problems: tuple[Problem, ...]

    @property
    def exit_status(self) -> int:
        """65 if anything was unreadable or quarantined, else 0: a failed query is an honest recording."""
        bad = (ProblemKind.UNREADABLE, ProblemKind.QUARANTINED)
        return _BAD_DATA_STATUS if any(problem.kind in bad for problem in self.problems) else 0

    def as_json(self) -> dict[str, Any]:
        """The object that `hpcbridgectl parse` prints."""
        return {
            "scheduler": self.scheduler,
            "jobs": None if self.jobs is None else [job_as_json(job) for job in self.jobs],
            "nodes": None if self.nodes is None else [node_as_json(node) for node in self.nodes],
            "queues": None if self.queues is None else [queue_as_json(queue) for queue in self.queues],
            "problems": [
                {"query": problem.query, "kind": problem.kind.value, "line": problem.line, "field": problem.field, "text": problem.text}
                for problem in self.problems
            ],
        }


def load_recording(directory: Path) -> Recording:
    """Reads a folder; BadData naming file and key for one that is not a recording."""
    path = directory / "meta.json"
    meta = _load_meta(path)
    scheduler = _text_of(meta, "scheduler", path)
    if scheduler not in SCHEDULERS:
        raise BadData(f"{path}: scheduler {scheduler[:40]!r} is not known", hint=f"known are: {', '.join(sorted(SCHEDULERS))}")
    cluster = _text_of(meta, "cluster", path)
    if len(cluster) > _MAX_CLUSTER or not is_printable(cluster):
        raise BadData(f"{path}: cluster must be a name of at most {_MAX_CLUSTER} printable characters")
    queries = meta.get("queries")
    if not isinstance(queries, dict):
        raise BadData(f"{path}: queries must be an object")
    reports = {query: _load_report(directory, query, entry, path) for query, entry in queries.items()}
    return Recording(scheduler=scheduler, version=_text_of(meta, "version", path), cluster=cluster, reports=reports)


def normalise(recording: Recording) -> Normalised:
    """Parses every report and merges what `jobs` and the accounting queries say."""
    scheduler = SCHEDULERS[recording.scheduler](recording.cluster)
    problems: list[Problem] = []

    def ask(query: str, read: Callable[[Report], Read]) -> Read | None:
        report = recording.reports.get(query)
        if report is None:
            return None
        try:
            return read(report)
        except SchedulerError as error:
            problems.append(problem_of(query, error))
            return None

    ask("about", scheduler.about)
    listed = _collect(ask("jobs", scheduler.jobs), problems)
    ended = [_collect(ask(query, _ended_reader(scheduler, query)), problems) for query in _ENDED]
    nodes = _collect(ask("nodes", scheduler.nodes), problems)
    jobs = _merge(listed, ended, jobs_recorded="jobs" in recording.reports)
    known_nodes = None if nodes is None else nodes.records
    known_jobs = None if listed is None else listed.records
    queues = _collect(ask("queues", lambda report: scheduler.queues(report, nodes=known_nodes, jobs=known_jobs)), problems)
    return Normalised(
        scheduler=recording.scheduler,
        jobs=jobs,
        nodes=_known(nodes),
        queues=_known(queues),
        problems=tuple(problems),
    )


def problem_of(query: str, error: SchedulerError) -> Problem:
    """The problem for a query without an answer: rejected as unreadable, or failed."""
    if isinstance(error, ReportUnreadable):
        return Problem(query=query, kind=ProblemKind.UNREADABLE, line=error.line_number, text=escape_text(str(error)))
    return Problem(query=query, kind=ProblemKind.FAILED, text=escape_text(str(error)))


def complete(job: Job, found: Job) -> Job:
    """`job` with what accounting found of the same run: nothing for a live job, else only fields that were open."""
    same_run = job.submitted_at is not None and job.submitted_at == found.submitted_at
    undetermined = job.state is JobState.UNDETERMINED
    if not same_run or not found.state.ended or not (job.state.ended or undetermined):
        return job
    changes: dict[str, Any] = {"state": found.state, "outcome": found.outcome} if undetermined else {}
    exit_open = job.exit_code is None and job.exit_signal is None and (undetermined or job.outcome is found.outcome)
    for field in dataclasses.fields(Job):
        if field.name in {"outcome", "exit_code", "exit_signal"} and not (exit_open and field.name != "outcome"):
            continue
        if getattr(job, field.name) in (None, ()):
            changes[field.name] = getattr(found, field.name)
    return dataclasses.replace(job, **changes)


def _merge(listed: Answer[Job] | None, ended: Sequence[Answer[Job] | None], *, jobs_recorded: bool) -> tuple[Job, ...] | None:
    """One record for each id: the queue's own, completed; else the newest run accounting knows of."""
    merged = {job.job_id: job for job in listed.records} if listed else {}
    own = frozenset(merged)
    since = _submitted_since(merged.values())
    for answer in ended:
        for found in answer.records if answer else ():
            whole = found.array_job_id or found.het_job_id or ""
            if found.submitted_at is not None and found.submitted_at < since.get(whole, 0) - _ARRAY_IS_MADE_WITHIN:
                continue  # member 3 of an older array of the same id; member 3 of this one may still wait in a range
            job = merged.get(found.job_id)
            if job is None:
                merged[found.job_id] = found
            elif found.job_id in own:
                merged[found.job_id] = complete(job, found)
            elif (found.submitted_at or 0) > (job.submitted_at or 0) or _is_later_run(found, job):
                merged[found.job_id] = found
            elif found.submitted_at == job.submitted_at and not _is_later_run(job, found):
                merged[found.job_id] = complete(job, found)
    if merged:
        return tuple(merged.values())
    answers = [listed] if jobs_recorded else list(ended)
    proven = [answer for answer in answers if answer is not None and not answer.records and not answer.problems]
    return () if proven else None


def _is_later_run(job: Job, other: Job) -> bool:
    """Two runs of one submission, as accounting tells of a job that was requeued: the one that ended later is how it ended."""
    same_job = job.submitted_at == other.submitted_at and job.state.ended and other.state.ended
    return same_job and job.ended_at is not None and other.ended_at is not None and job.ended_at > other.ended_at


def _submitted_since(jobs: Iterable[Job]) -> Mapping[str, int]:
    """When each array and each heterogeneous job of the queue was submitted, from those parts of it that were never requeued.

    TORQUE makes the members of an array one after the other, so their submit times differ by seconds.
    """
    since: dict[str, int] = {}
    for job in jobs:
        whole = job.array_job_id or job.het_job_id
        if whole is not None and job.submitted_at is not None and not job.restarts:
            since[whole] = min(job.submitted_at, since.get(whole, job.submitted_at))
    return since


def _known(answer: Answer[Read] | None) -> tuple[Read, ...] | None:
    """Records, or None where all of them had to be kept out."""
    if answer is None or (not answer.records and answer.problems):
        return None
    return answer.records


def _collect(answer: Answer[Read] | None, problems: list[Problem]) -> Answer[Read] | None:
    if answer is not None:
        problems.extend(answer.problems)
    return answer


def _ended_reader(scheduler: Scheduler, query: str) -> Callable[[Report], Answer[Job]]:
    """Only the fallback's answers are compared with its questions: a site's own command for `ended` may end in anything."""
    return lambda report: scheduler.ended(report, asked_ids(report.argv) if query == "ended_fallback" else ())


def asked_ids(argv: Sequence[str]) -> tuple[str, ...]:
    """The job ids at the end of a recorded command, each alone or joined by commas."""
    ids: list[str] = []
    for argument in reversed(argv):
        if not _JOB_IDS.match(argument):
            break
        ids.extend(reversed(_COMMA.split(argument)))
    return tuple(reversed(ids))


def _load_meta(path: Path) -> dict[str, Any]:
    data = _load_bytes(path, limit=_MAX_META_BYTES, hint="a recording is a folder with a meta.json")
    try:
        meta = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path}: not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise BadData(f"{path}: must be an object")
    return meta


def _text_of(meta: Mapping[str, Any], key: str, path: Path) -> str:
    value = meta.get(key)
    if not isinstance(value, str) or not value:
        raise BadData(f"{path}: {key} must be a text")
    return value


def _load_report(directory: Path, query: str, entry: object, path: Path) -> Report:
    if not re.fullmatch(r"[a-z][a-z_]{0,30}", query):
        raise BadData(f"{path}: queries: {query[:40]!r} is not the name of a query")
    argv = entry.get("argv") if isinstance(entry, dict) else None
    status = entry.get("exit_status") if isinstance(entry, dict) else None
    if not isinstance(argv, list) or not all(isinstance(argument, str) for argument in argv):
        raise BadData(f"{path}: queries.{query}.argv must be a list of texts")
    if not isinstance(status, int) or isinstance(status, bool):
        raise BadData(f"{path}: queries.{query}.exit_status must be a number")
    return Report(
        query=query,
        argv=tuple(argv),
        exit_status=status,
        stdout=_load_bytes(directory / f"{query}.out", limit=_MAX_BYTES, hint=_BESIDE),
        stderr=_load_bytes(directory / f"{query}.err", limit=_MAX_BYTES, hint=_BESIDE),
    )


def _load_bytes(path: Path, *, limit: int, hint: str) -> bytes:
    """A regular file only: a recording comes from a stranger, and a link in it could name any file of this machine."""
    try:
        with open(path, "rb", opener=_open_no_link) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BadData(f"{path}: is not a regular file", hint=hint)
            if about.st_size > limit:
                raise BadData(f"{path}: larger than {limit} bytes")
            return file.read()
    except OSError as error:
        why = "is a link, which a recording may not hold" if error.errno == errno.ELOOP else error.strerror
        raise BadData(f"{path}: {why}", hint=hint) from error


def _open_no_link(path: str, flags: int) -> int:
    """Not a link, and no waiting for somebody to write into a named pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
