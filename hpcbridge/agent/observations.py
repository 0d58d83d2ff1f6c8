# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The latest readable report of each question, and how each query went. Shared by the monitor's workers and the control socket."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpcbridge.model.clusters import ClusterState, Frontend, Queue, SchedulerInfo, utilization_of
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.model.quantities import Instant
from hpcbridge.schedulers.report import About

_TAKES_WORK = Availability.UP


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStatus:
    """How a query went last time. `records` and `problems` are of the last readable report."""

    name: str
    last_report_at: Instant | None = None
    last_duration_ms: int | None = None
    records: int | None = None
    problems: int = 0
    last_error: str | None = None


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

    @property
    def snapshot(self) -> Snapshot:
        """The latest of everything."""
        return self._snapshot

    def queries(self) -> tuple[QueryStatus, ...]:
        """How each query went, by name."""
        with self._lock:
            return tuple(self._queries[name] for name in sorted(self._queries))

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

    def note_success(self, query: str, *, at: Instant, took_ms: int, records: int, problems: int) -> None:
        """A query gave a readable report."""
        status = QueryStatus(name=query, last_report_at=at, last_duration_ms=took_ms, records=records, problems=problems)
        with self._lock:
            self._queries[query] = status

    def note_failure(self, query: str, error: str) -> None:
        """A query failed; what was known before stays."""
        with self._lock:
            before = self._queries.get(query, QueryStatus(name=query))
            self._queries[query] = replace(before, last_error=error)


def cluster_state(snapshot: Snapshot, *, cluster: str, scheduler: str, at: Instant) -> ClusterState:
    """The sample that is sent to the ledger: the last known figures, and whether the scheduler answers."""
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
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    """A sum with an unknown part is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
