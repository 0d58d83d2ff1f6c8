# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Figures for Prometheus: what `hpcbridgectl status` shows, as numbers. Nothing here names a job, an owner or a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from hpcbridge import __version__
from hpcbridge.agent.changes import is_range
from hpcbridge.agent.commands import WORKER_OF, Parts
from hpcbridge.agent.tenancies import Standing, needs_attention, standing
from hpcbridge.agent.tenants import open_usernames
from hpcbridge.daemon.families import Families, Values, seconds, seconds_or_none
from hpcbridge.daemon.life import Life
from hpcbridge.daemon.worker import Phase

_FAMILIES = Families("hpcbridge_agent_")
_gauge, _counter = _FAMILIES.gauge, _FAMILIES.counter


class AgentCollector(Collector):
    """The figures at the moment they are asked for. What is not known is left out: absent is not 0."""

    def __init__(self, parts: Parts, life: Callable[[], Life]) -> None:
        self._parts = parts
        self._life = life

    def collect(self) -> Iterator[Metric]:
        """All families, in the order of the page."""
        yield from self._agent()
        yield from self._workers()
        yield from self._queries()
        yield from self._scheduler()
        yield from self._accounts()
        yield from self._spool()
        yield from self._ledger()

    def _agent(self) -> Iterator[Metric]:
        config = self._parts.config
        about = self._parts.observations.snapshot.about
        labels = {"version": __version__, "scheduler": config.scheduler.name, "scheduler_version": (about and about.version) or ""}
        yield _gauge("build_info", "Versions of hpcbridged and of the scheduler it asks.", [(labels, 1)])
        yield from _FAMILIES.process("hpcbridged", self._parts.started_at)
        yield from _FAMILIES.life(self._life())

    def _workers(self) -> Iterator[Metric]:
        statuses = self._parts.workers()
        healthy = [({"worker": each.name}, each.phase in (Phase.WORKING, Phase.RESTING) and not each.failures) for each in statuses]
        yield _gauge("worker_healthy", "1 if the last step of a worker did not fail.", healthy)
        yield _counter("worker_steps", "Steps of a worker that worked.", [({"worker": each.name}, each.steps) for each in statuses])
        failures = [({"worker": each.name}, each.failures) for each in statuses]
        yield _gauge("worker_failures_in_a_row", "Failures of a worker since its last step that worked.", failures)

    def _queries(self) -> Iterator[Metric]:
        workers = {each.name: each for each in self._parts.workers()}
        queries = self._parts.observations.queries()
        labels = [{"query": query.name} for query in queries]
        asked = [workers.get(WORKER_OF.get(query.name, query.name)) for query in queries]

        def of(values: list[Any]) -> Values:
            return list(zip(labels, values, strict=True))

        yield _counter("queries", "Questions to the scheduler.", of([query.runs for query in queries]))
        yield _counter("query_failures", "Questions without a readable answer.", of([query.failures for query in queries]))
        took = [query.total_duration_ms / 1000 for query in queries]
        yield _counter("query_duration_seconds", "Time the scheduler took to answer.", of(took))
        cpu = [query.total_cpu_ms / 1000 for query in queries]
        yield _counter("query_cpu_seconds", "Processor time of scripts and their commands.", of(cpu))
        yield _counter("query_report_bytes", "What the scheduler printed.", of([query.total_bytes for query in queries]))
        last = [None if query.last_duration_ms is None else query.last_duration_ms / 1000 for query in queries]
        yield _gauge("query_last_duration_seconds", "Time the last answer took.", of(last))
        yield _gauge("query_last_records", "Records of the last readable answer.", of([query.records for query in queries]))
        at = [seconds_or_none(query.last_report_at) for query in queries]
        yield _gauge("query_last_report_timestamp_seconds", "When the last readable answer was asked for.", of(at))
        every = [worker.next_after_seconds if worker else None for worker in asked]
        yield _gauge("query_interval_seconds", "How often it is asked at present.", of(every))
        broken = [None if worker is None else worker.phase is Phase.BROKEN for worker in asked]
        yield _gauge("query_breaker_open", "1 if it failed so often that it is tried rarely.", of(broken))
        problems = [
            ({"query": query.name, "kind": kind.value}, count) for query in queries for kind, count in query.problem_counts.items()
        ]
        yield _counter("report_problems", "What was wrong with answers or a part of them.", problems)

    def _scheduler(self) -> Iterator[Metric]:
        observations = self._parts.observations
        snapshot = observations.snapshot
        yield _gauge("scheduler_reachable", "1 if the scheduler answered last time.", [({}, snapshot.reachable)])
        yield _gauge("unknown_states", "Different state words met that are in no table.", [({}, observations.unknown_states)])
        jobs: Counter[str] = Counter()
        for job in snapshot.jobs or ():
            jobs[job.state.value] += (job.array_pending or 0) if is_range(job) else 1
        by_state = [({"state": state}, count) for state, count in jobs.items()]
        yield _gauge("jobs", "Jobs of the last report, pending members of arrays included where their number is known.", by_state)
        nodes = Counter(node.availability.value for node in snapshot.nodes or ())
        yield _gauge("nodes", "Nodes of the last report.", [({"availability": word}, count) for word, count in nodes.items()])
        yield _gauge("vanished_jobs", "Jobs that left the scheduler and whose end is not known.", [({}, self._parts.memory.vanished())])
        cost = observations.server_cost
        if cost is not None:
            yield _counter("server_calls", "Calls of our account that the scheduler's server counted.", [({}, cost.total_calls)])
            busy = cost.total_busy_us / 1e6
            yield _counter("server_busy_seconds", "Time of the scheduler's server that went into calls of our account.", [({}, busy)])

    def _accounts(self) -> Iterator[Metric]:
        tenancies = self._parts.spool.tenants.all()
        yield _gauge("tenant_accounts", "Accounts of rentals that have not ended.", [({}, len(open_usernames(tenancies)))])
        at = self._parts.clock()
        attention = Counter(str(standing(each)) for each in tenancies if needs_attention(each, at))
        kinds = (Standing.WAITING, Standing.FAILED, Standing.NOT_FOLLOWED)
        by_kind = [({"standing": str(kind).replace(" ", "_")}, attention[str(kind)]) for kind in kinds]
        yield _gauge("tenant_accounts_attention", "Accounts whose script waits or fails, or for which the ledger is not followed.", by_kind)

    def _spool(self) -> Iterator[Metric]:
        figures = self._parts.spool.figures()
        items = {"waiting": figures.waiting, "refused": figures.refused}
        yield _gauge("spool_items", "Changes and samples in the spool.", [({"state": word}, count) for word, count in items.items()])
        payloads = {"in_flight": figures.in_flight, "quarantined": figures.quarantined, "acknowledged": figures.acknowledged}
        yield _gauge("spool_payloads", "Numbered payloads in the spool.", [({"state": word}, count) for word, count in payloads.items()])
        yield _gauge("spool_bytes", "Size of the spool.", [({}, figures.bytes)])
        yield _gauge("spool_quota_bytes", "Largest size of the spool.", [({}, figures.quota_bytes)])
        oldest = seconds_or_none(figures.oldest_waiting_at)
        yield _gauge("spool_oldest_waiting_timestamp_seconds", "Since when the oldest change waits.", [({}, oldest)])

    def _ledger(self) -> Iterator[Metric]:
        status = self._parts.gateway.status
        yield _gauge("ledger_connected", "1 while a stream to the ledger is open.", [({}, status.connected)])
        last = seconds_or_none(status.last_receipt_at)
        yield _gauge("ledger_last_receipt_timestamp_seconds", "When the last receipt was verified.", [({}, last)])
        expires = seconds(self._parts.certificate().not_after_at)
        yield _gauge("certificate_expiry_timestamp_seconds", "When the certificate ends.", [({}, expires)])
