# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What every parser says of a report: it failed, a record was kept out, a word is unknown, its times are in that zone."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Sequence

from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.model.jobs import Job, Phase
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.report import Problem, ProblemKind, Report

_ZONE = re.compile(r"TZ=:?([A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2})\Z", re.ASCII)


def failed(report: Report, said: str | None = None) -> ScriptFailed:
    """The error for a query that gave no answer; `said` is why, standard error where it is None."""
    return ScriptFailed(report.argv or (report.query,), report.exit_status, stderr_of(report) if said is None else said)


def stderr_of(report: Report) -> str:
    """Standard error as harmless text, at most its first 4,096 bytes."""
    lines = report.stderr[:4096].decode("utf-8", "replace").splitlines()
    return "\n".join(escape_text(line) for line in lines)


def quarantined(
    query: str, error: Exception, *, line: int | None = None, subject: str | None = None, field: str | None = None
) -> Problem:
    """The problem for a record that was kept out; `subject` only if it looks like a name, whatever the record says."""
    return Problem(
        query=query,
        kind=ProblemKind.QUARANTINED,
        line=line,
        field=field,
        text=escape_text(str(error)),
        subject=None if subject is None else escape_text(subject, limit=128),
    )


def unknown_state(query: str, native_state: str, *, subject: str, line: int | None = None, field: str = "state") -> Problem:
    """The problem for a state word that is in no table."""
    text = f"{escape_text(native_state)} is not a known state"
    return Problem(query=query, kind=ProblemKind.UNKNOWN_STATE, line=line, field=field, text=text, subject=subject)


def zone_of(report: Report) -> datetime.tzinfo:
    """The zone of times that were printed without one: what the command set as TZ, else UTC, which is what our scripts run with.

    Raises ReportUnreadable for a zone that this machine does not know: times an hour off would be worse than none.
    """
    for argument in report.argv:
        match = _ZONE.match(argument)
        if match and match.group(1) not in {"UTC", "UTC0", "Etc/UTC", "GMT", "GMT0"}:
            try:
                return zoneinfo.ZoneInfo(match.group(1))
            except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError) as error:
                raise ReportUnreadable(f"the command ran in the zone {match.group(1)!r}, which is not known here") from error
    return datetime.UTC


JobCounts = dict[str, tuple[int | None, int]]
"""Queued and running jobs by queue; queued is None where a range of unknown length waits."""


def jobs_by_queue(jobs: Sequence[Job]) -> JobCounts:
    """Queued and running jobs of each queue: a pending range counts its members, a job that may start in two queues waits in both."""
    counts: JobCounts = {}
    for job in jobs:
        phase = job.phase
        if phase not in (Phase.QUEUE, Phase.RUN) or job.queue is None:
            continue
        for name in job.queue.split(","):
            queued, running = counts.get(name, (0, 0))
            if phase is Phase.QUEUE:
                counts[name] = (total_of([queued, _waiting(job)]), running)
            else:
                counts[name] = (queued, running + 1)
    return counts


def total_of(figures: Sequence[int | None]) -> int | None:
    """The sum, None where one of them is not known."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None


def _waiting(job: Job) -> int | None:
    pending_range = job.array_job_id is not None and job.array_index is None
    return job.array_pending if pending_range else 1
