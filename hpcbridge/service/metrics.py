# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger in figures for Prometheus. Nothing here names a member; of clusters, which everybody may list, how many rentals are open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from hpcbridge import __version__
from hpcbridge.daemon.durations import Durations
from hpcbridge.daemon.families import Families, seconds, seconds_or_none
from hpcbridge.daemon.life import Life
from hpcbridge.daemon.vitals import count_connections
from hpcbridge.model.quantities import Instant
from hpcbridge.service.census import Census

_FAMILIES = Families("hpcbridge_ledger_")
_UNIT = 1_000_000
_gauge, _counter = _FAMILIES.gauge, _FAMILIES.counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the running service knows at one moment. `refusals` by what, code and rule; `ports` by name; sizes in entries."""

    started_at: Instant
    engine: str
    directory: Path
    store: Path
    signed: int
    stored: int
    high_water: int
    last_entry_at: Instant
    entries: Mapping[str, int]
    items: Mapping[tuple[str, str], int]
    refusals: tuple[tuple[str, int], ...]
    faults: int
    rehashed: int
    proposals: int
    proposal_bytes: int
    unsigned_groups: int
    oldest_batch_seconds: float
    stages: Mapping[str, Durations]
    streams: Mapping[str, int]
    most_streams: int
    ports: Mapping[str, int]
    clock_refuses: bool
    clock_moved_ms: int
    authority_ends_at: Instant
    census: Census | None


class LedgerCollector(Collector):
    """The figures at the moment they are asked for; nothing while the service is not running."""

    def __init__(self, figures: Callable[[], Figures | None], life: Callable[[], Life]) -> None:
        self._figures = figures
        self._life = life

    def collect(self) -> Iterator[Metric]:
        """All families, in the order of the page."""
        figures = self._figures()
        if figures is None:
            return
        labels = {"version": __version__, "engine": figures.engine}
        yield _gauge("build_info", "Version of hpcbridge-ledgerd and its engine.", [(labels, 1)])
        yield from _FAMILIES.process("hpcbridge-ledgerd", figures.started_at)
        yield from _FAMILIES.life(self._life())
        yield from _log(figures)
        yield from _work(figures)
        yield from _network(figures)
        yield from _disk(figures)
        if figures.census is not None:
            yield from _market(figures.census)


def _log(figures: Figures) -> Iterator[Metric]:
    yield _gauge("stored_entries", "Entries of the log that are durable.", [({}, figures.stored)])
    yield _gauge("signed_entries", "Entries under the newest signed checkpoint: what members see.", [({}, figures.signed)])
    yield _gauge("high_water_entries", "Entries of the largest tree head that may have been signed.", [({}, figures.high_water)])
    yield _gauge("last_entry_timestamp_seconds", "The ledger's time at the last signed entry.", [({}, seconds(figures.last_entry_at))])
    entries = [({"type": kind}, count) for kind, count in sorted(figures.entries.items())]
    yield _counter("entries", "New entries since the start, by payload type.", entries)
    items = [({"type": kind, "outcome": outcome}, count) for (kind, outcome), count in sorted(figures.items.items())]
    yield _counter("items", "Items of new entries since the start, by payload type and outcome.", items)
    parts = [((*name.split(":"), "", "")[:3], count) for name, count in figures.refusals]
    refusals = [({"what": what, "code": code, "rule": rule}, count) for (what, code, rule), count in parts]
    yield _counter("refusals", "What was refused since the start: an item, a question or an envelope, by code and rule.", refusals)
    yield _counter("faults", "Envelopes refused only because of a mistake of the ledger; its log says which.", [({}, figures.faults)])
    yield _counter("rehashed_entries", "Stored entries that were looked through again for damage.", [({}, figures.rehashed)])


def _work(figures: Figures) -> Iterator[Metric]:
    yield _gauge("proposals_waiting", "Admitted envelopes that are in no batch yet.", [({}, figures.proposals)])
    yield _gauge("proposals_waiting_bytes", "Their size.", [({}, figures.proposal_bytes)])
    yield _gauge("groups_unsigned", "Stored groups that wait for a signature.", [({}, figures.unsigned_groups)])
    yield _gauge("oldest_batch_age_seconds", "Age of the oldest batch that was not applied yet.", [({}, figures.oldest_batch_seconds)])
    stages = [({"stage": stage}, durations) for stage, durations in figures.stages.items()]
    yield _FAMILIES.histogram("stage_duration_seconds", "Time one group took: to be applied, stored, and signed.", stages)
    yield _gauge("clock_refused", "1 while nothing is taken because the wall clock jumped.", [({}, figures.clock_refuses)])
    yield _gauge("clock_moved_seconds", "How far the wall clock is from the time counted on.", [({}, figures.clock_moved_ms / 1000)])
    yield _gauge("authority_expiry_timestamp_seconds", "When the certificate of the CA ends.", [({}, seconds(figures.authority_ends_at))])


def _network(figures: Figures) -> Iterator[Metric]:
    yield _gauge("streams", "Open streams, by what they do.", [({"kind": kind}, count) for kind, count in figures.streams.items()])
    yield _gauge("streams_limit", "Most streams that may be open.", [({}, figures.most_streams)])
    connections = count_connections()
    known = [] if connections is None else [({"port": name}, connections.get(port, 0)) for name, port in figures.ports.items()]
    yield _gauge("connections", "Open TCP connections.", known)


def _disk(figures: Figures) -> Iterator[Metric]:
    yield _gauge("store_bytes", "Size of the store with its write-ahead log.", [({}, _size_of(figures.store))])
    yield _gauge("store_free_bytes", "Space left for us on the store's disk.", [({}, _free_bytes(figures.directory))])


def _market(census: Census) -> Iterator[Metric]:
    yield _gauge("contract_version", "The contract in force.", [({}, census.contract_version)])
    yield _gauge("last_tick_timestamp_seconds", "The ledger's time at its last tick.", [({}, seconds_or_none(census.last_tick_at))])
    members = [({"role": role, "standing": standing}, count) for (role, standing), count in sorted(census.members.items())]
    yield _gauge("members", "Members by role and standing.", members)
    yield _gauge("clusters", "Registered clusters by standing.", [({"standing": each}, n) for each, n in sorted(census.clusters.items())])
    rented = [({"cluster": cluster}, count) for cluster, count in sorted(census.open_rentals.items())]
    yield _gauge("open_rentals", "Rentals that have not ended, by cluster.", rented)
    money = [({"state": "available"}, census.available / _UNIT), ({"state": "held"}, census.held / _UNIT)]
    yield _gauge("money", "Money of all members together, in units of the currency.", money)
    yield _gauge("money_credited", "All credits together, in units of the currency.", [({}, census.credited / _UNIT)])
    yield _gauge("relay_boxes", "Sealed passcodes and addresses that wait to be collected.", [({}, census.boxes)])


def _size_of(store: Path) -> int | None:
    sizes = [_bytes_of(path) for path in (store, store.with_name(f"{store.name}-wal"))]
    return None if sizes[0] is None else sum(size or 0 for size in sizes)


def _bytes_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _free_bytes(directory: Path) -> int | None:
    try:
        facts = os.statvfs(directory)
    except OSError:
        return None
    return facts.f_bavail * facts.f_frsize
