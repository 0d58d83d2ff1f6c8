# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What goes into a parser and what comes out: reports, answers, problems, and the interface every scheduler fulfils.

A query that failed and a report that cannot be read raise; an answer without records is therefore a proven empty one, unless it
carries problems. Nothing that a report holds disappears without a record or a problem.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, Protocol, TypeVar

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import Instant

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Report:
    """What one run of a script printed, as bytes, and how it ended.

    `cpu_ms` is the processor time of the script and its children, None where that was not measured (a recording).
    """

    query: str
    argv: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes
    cpu_ms: int | None = None


class ProblemKind(StrEnum):
    """What is wrong with a report or a part of it."""

    FAILED = "failed"
    """The query gave no answer."""
    UNREADABLE = "unreadable"
    """The whole report was rejected."""
    QUARANTINED = "quarantined"
    """One record cannot be true and was kept out."""
    UNKNOWN_STATE = "unknown_state"
    """A state that is in no table; the record is kept as UNDETERMINED or UNKNOWN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing a person should know. `line` counts from 1 in standard output; `text` is harmless to print.

    `subject` is the job or node it is about, where that could be read: a quarantined job is not a vanished one.
    """

    query: str
    kind: ProblemKind
    line: int | None = None
    field: str | None = None
    text: str = ""
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[Record]):
    """The records of a readable report, in its order, and what had to be left out or could not be understood.

    `recorded_until` (of `ended` only) is the latest end this report tells of, of whatever job: what ended much earlier is recorded
    by now or will never be. None where the scheduler's accounting gives no such order.
    """

    records: tuple[Record, ...]
    problems: tuple[Problem, ...] = ()
    recorded_until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The scheduler itself. `min_job_age_seconds` is how long ended jobs stay at least; `zone` that of its times.

    `accounting` says whether the query `ended` can be answered, else `ended_fallback` is the way.
    """

    name: str
    version: str | None
    cluster_name: str | None
    min_job_age_seconds: int | None
    zone: str | None
    accounting: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What the scheduler's server has counted: calls of one account and of everybody, and the time it spent on them.

    The counters began with 0 at `since_at` (a restart, or midnight), so only what has the same beginning can be compared.
    """

    at: Instant
    since_at: Instant
    calls: int
    busy_us: int
    all_calls: int
    all_busy_us: int


class Source(Protocol):
    """Where reports come from: collecting scripts, or something that answers in their place."""

    def run(self, query: str, arguments: Sequence[str] = (), *, stopping: threading.Event | None = None) -> Report:
        """Asks once. Raises ScriptTimedOut, and SchedulerError where there is no report at all or `stopping` was set."""

    def close(self) -> None:
        """Ends what still runs."""


class Scheduler(Protocol):
    """Reads the reports of one cluster. One instance per cluster: it may remember lines to recognise unchanged ones.

    Every method that reads raises ScriptFailed when the query failed and ReportUnreadable when its report cannot be used as a whole.
    """

    fallback_completes: ClassVar[bool] = False
    """True if ids that `ended` answers without knowing are worth asking of `ended_fallback` too; else it is asked only in its place."""
    counts_calls: ClassVar[bool] = False
    """True if the query `cost` tells what our questions cost the scheduler's server."""

    def __init__(self, cluster: str) -> None: ...

    def about(self, report: Report) -> About:
        """Reads the scheduler's own description."""

    def jobs(self, report: Report) -> Answer[Job]:
        """Reads the jobs the scheduler knows; `incarnation` is None."""

    def ended(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """Reads what accounting (or `ended_fallback`) knows of `job_ids`; one record for each run, so match by submit time."""

    def nodes(self, report: Report) -> Answer[Node]:
        """Reads the nodes."""

    def queues(self, report: Report, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> Answer[Queue]:
        """Reads the queues; figures that need nodes or jobs are None where these are."""

    def effort(self, report: Report, *, user_id: int) -> Effort:
        """Reads the report of `cost`; `user_id` is the account that asks."""
        raise ReportUnreadable(f"{report.query}: user {user_id}: this scheduler does not count calls")

    def refine(self, seen: Job, found: Job) -> Job:
        """The end `found` in accounting, in the light of how the job was `seen` last, where accounting alone cannot tell."""
        del seen
        return found

    def unrecorded(self, seen: Job) -> Job | None:
        """The end of a job that was in the last report before it vanished and that accounting does not know though it tells of later
        ends; None where that proves nothing.
        """
        del seen
        return None

    def settles_after_ms(self) -> int:
        """How long after a job vanished what accounting says of its end may still lack its true record."""
        return 0


SchedulerTypes = Mapping[str, type[Scheduler]]
