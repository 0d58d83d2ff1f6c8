# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The latest readable report of each question, and how each query went. Shared by the monitor's workers and the control socket."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hpcbridge.agent.hardware import hardware_of
from hpcbridge.model.clusters import ClusterState, Frontend, Queue, SchedulerInfo, utilization_of
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.model.quantities import Instant
from hpcbridge.schedulers.report import About, Effort, Problem, ProblemKind

_TAKES_WORK = Availability.UP


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStatus:
    """How a query went last time, and in all. `records` and `problems` are of the last readable report, `last_duration_ms` (how long the
    scheduler took to answer), `last_cpu_ms` and `last_bytes` of the last run; None is what was not measured.
    """

    name: str
    last_report_at: Instant | None = None
    last_duration_ms: int | None = None
    last_cpu_ms: int | None = None
    last_bytes: int | None = None
    records: int | None = None
    problems: int = 0
    last_error: str | None = None
    runs: int = 0
    failures: int = 0
    total_duration_ms: int = 0
    total_cpu_ms: int = 0
    total_bytes: int = 0
    problem_counts: Mapping[ProblemKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a query cost: how long the scheduler took, processor time and bytes; None where there was no report."""

    took_ms: int
    cpu_ms: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCost:
    """What our account asked of the scheduler's server within `period_ms`, up to now, and what it has asked since the daemon began.

    `busy_us` of the server's time went into `calls` of ours, `all_busy_us` into everybody's.
    """

    period_ms: int
    calls: int
    busy_us: int
    all_busy_us: int
    total_calls: int
    total_busy_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything at one moment; None is what was never reported. `reachable` None before the first answer or failure."""

    about: About | None = None
    jobs: tuple[Job, ...] | None = None
    jobs_at: Instant | None = None
    nodes: tuple[Node, ...] | None = None
    nodes_at: Instant | None = None
    queues: tuple[Queue, ...] | None = None
    queues_at: Instant | None = None
    frontend: Frontend | None = None
    reachable: bool | None = None


class Observations:
    """Owns the latest snapshot; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._queries: dict[str, QueryStatus] = {}
        self._effort: Effort | None = None
        self._server_cost: ServerCost | None = None
        self._unknown_states: set[str] = set()

    @property
    def snapshot(self) -> Snapshot:
        """The latest of everything."""
        return self._snapshot

    @property
    def server_cost(self) -> ServerCost | None:
        """What our questions cost the scheduler's server, from two looks at its counters; None before, or where it has none."""
        return self._server_cost

    @property
    def unknown_states(self) -> int:
        """How many different state words were met that are in no table."""
        return len(self._unknown_states)

    def queries(self) -> tuple[QueryStatus, ...]:
        """How each query went, by name."""
        with self._lock:
            return tuple(self._queries[name] for name in sorted(self._queries))

    def was_asked(self, query: str) -> bool:
        """True if this was asked at least once, whatever came of it."""
        with self._lock:
            status = self._queries.get(query)
        return status is not None and status.runs > 0

    def set_about(self, about: About) -> None:
        """The scheduler described itself."""
        with self._lock:
            self._snapshot = replace(self._snapshot, about=about)

    def set_jobs(self, jobs: Sequence[Job], at: Instant) -> None:
        """A readable report of jobs."""
        with self._lock:
            self._snapshot = replace(self._snapshot, jobs=tuple(jobs), jobs_at=at)

    def set_nodes(self, nodes: Sequence[Node], at: Instant) -> None:
        """A readable report of nodes."""
        with self._lock:
            self._snapshot = replace(self._snapshot, nodes=tuple(nodes), nodes_at=at)

    def set_queues(self, queues: Sequence[Queue], at: Instant) -> None:
        """A readable report of queues."""
        with self._lock:
            self._snapshot = replace(self._snapshot, queues=tuple(queues), queues_at=at)

    def set_frontend(self, frontend: Frontend) -> None:
        """The frontend's own vitals."""
        with self._lock:
            self._snapshot = replace(self._snapshot, frontend=frontend)

    def set_reachable(self, *, reachable: bool) -> bool:
        """The scheduler answered, or did not; True if that is news."""
        with self._lock:
            news = self._snapshot.reachable is not reachable
            self._snapshot = replace(self._snapshot, reachable=reachable)
            return news

    def note_success(self, query: str, *, at: Instant, run: Run, records: int, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """A query gave a readable report; those of its problems that are news: of unknown states only the first of each word is."""
        problems = tuple(problems)
        news: list[Problem] = []
        with self._lock:
            status = self._counted(query, run, problems)
            self._queries[query] = replace(status, last_report_at=at, records=records, problems=len(problems), last_error=None)
            for problem in problems:
                if problem.kind is not ProblemKind.UNKNOWN_STATE:
                    news.append(problem)
                elif problem.text not in self._unknown_states:
                    self._unknown_states.add(problem.text)
                    news.append(problem)
        return tuple(news)

    def note_failure(self, query: str, error: str, *, run: Run | None = None, kind: ProblemKind | None = None) -> None:
        """A query failed; what was known before stays. `run` is None where nothing was asked, `kind` that of the failure."""
        with self._lock:
            if run is None:
                status = self._queries.get(query, QueryStatus(name=query))
            else:
                status = self._counted(query, run, ())
                status = replace(status, failures=status.failures + 1)
            counts = dict(status.problem_counts)
            if kind is not None:
                counts[kind] = counts.get(kind, 0) + 1
            self._queries[query] = replace(status, last_error=error, problem_counts=counts)

    def note_effort(self, effort: Effort) -> None:
        """The server's counters, to be compared with those of the last look if they did not begin again in between."""
        with self._lock:
            before, self._effort = self._effort, effort
            if before is None or before.since_at != effort.since_at or effort.at <= before.at or effort.calls < before.calls:
                return
            known = self._server_cost
            calls, busy_us = effort.calls - before.calls, effort.busy_us - before.busy_us
            self._server_cost = ServerCost(
                period_ms=effort.at - before.at,
                calls=calls,
                busy_us=busy_us,
                all_busy_us=effort.all_busy_us - before.all_busy_us,
                total_calls=calls + (known.total_calls if known else 0),
                total_busy_us=busy_us + (known.total_busy_us if known else 0),
            )

    def _counted(self, query: str, run: Run, problems: Sequence[Problem]) -> QueryStatus:
        before = self._queries.get(query, QueryStatus(name=query))
        return replace(
            before,
            last_duration_ms=run.took_ms,
            last_cpu_ms=run.cpu_ms,
            last_bytes=run.size,
            runs=before.runs + 1,
            total_duration_ms=before.total_duration_ms + run.took_ms,
            total_cpu_ms=before.total_cpu_ms + (run.cpu_ms or 0),
            total_bytes=before.total_bytes + (run.size or 0),
            problem_counts=Counter(before.problem_counts) + Counter(problem.kind for problem in problems),
        )


def cluster_state(snapshot: Snapshot, *, cluster: str, scheduler: str, at: Instant, with_hardware: bool = True) -> ClusterState:
    """The sample that is sent to the ledger: the last known figures, and whether the scheduler answers.

    `with_hardware` False for a ledger whose contract does not know that part yet.
    """
    nodes = snapshot.nodes
    total = _sum([node.cores_total for node in nodes]) if nodes is not None else None
    used = _sum([node.cores_used for node in nodes]) if nodes is not None else None
    return ClusterState(
        cluster=cluster,
        observed_at=at,
        queues=tuple(replace(queue, nodes=()) for queue in snapshot.queues or ()),
        nodes_total=None if nodes is None else len(nodes),
        nodes_up=None if nodes is None else sum(node.availability is _TAKES_WORK for node in nodes),
        cores_total=total,
        cores_used=used,
        utilization=utilization_of(used, total),
        scheduler=SchedulerInfo(
            name=scheduler,
            version=None if snapshot.about is None else snapshot.about.version,
            reachable=snapshot.reachable is True,
        ),
        frontend=snapshot.frontend,
        hardware=hardware_of(snapshot.queues or (), nodes or ()) if with_hardware else (),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    """A sum with an unknown part is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
