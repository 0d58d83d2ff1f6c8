# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the agent remembers of jobs and nodes, in memory and in the spool, always both or neither.

The jobs worker, accounting and the gateway meet here: a report is compared and stored, vanished jobs are settled, and incarnations
that were counted without knowing the ledger's are put right. After any failure the memory is read again from the spool.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from hpcbridge.agent.changes import (
    GoneJob,
    JobComparison,
    JobMemory,
    MissingJob,
    SeenJob,
    Told,
    by_key,
    compare_jobs,
    compare_nodes,
    is_same_run,
)
from hpcbridge.agent.publish import PublishMode, is_wanted, make_pseudonym, outgoing
from hpcbridge.agent.rows import Item, MemoryWrites
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.vanished import Patience, settle
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import PayloadType
from hpcbridge.schedulers.report import Scheduler
from hpcbridge.wire.convert import encode, to_message
from hpcbridge.wire.generated import transactions_pb2

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What leaves the site: mode and listed owners. Tenants and the watch list are in the spool."""

    mode: PublishMode
    owners: frozenset[str]


class Memory:
    """Owns the maps of live and missing jobs and of nodes. Safe to use from several threads."""

    def __init__(
        self,
        spool: Spool,
        publication: Publication,
        *,
        patience: Patience,
        random_bytes: Callable[[int], bytes],
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        """`stored` is called when something new waits to be sent."""
        self._spool = spool
        self._publication = publication
        self._patience = patience
        self._random_bytes = random_bytes
        self._stored = stored
        self._lock = threading.RLock()
        self._loaded = False
        self._live: dict[str, SeenJob] = {}
        self._missing: dict[tuple[str, int], MissingJob] = {}
        self._reported_at: Instant | None = None
        self._gaps_ms = (0, 0)
        self._recorded_until: Instant | None = None
        self._in_doubt: set[str] = set()
        self._doubtful = True
        self._watched: frozenset[str] = frozenset()
        self._tenants: frozenset[str] = frozenset()

    def observe_jobs(self, jobs: Iterable[Job], *, unreadable: Collection[str], at: Instant) -> JobComparison:
        """Compares a whole, readable report with the memory and stores what follows.

        `unreadable` are ids, as the scheduler prints them, of jobs that are in the report but could not be read.
        """
        report, hidden = by_key(jobs, unreadable)
        with self._changing():
            new_ids = [key for key in report if key not in self._live]
            gone = self._spool.last_seen.gone_jobs(new_ids)
            gap_ms = max(self._patience.gap_ms, 2 * min(self._gaps_ms))
            memory = JobMemory(self._live, self._missing, gone, reported_at=self._reported_at, gap_ms=gap_ms)
            comparison = compare_jobs(memory, report, at=at, wanted=self._is_wanted, unreadable=hidden)
            encoded: dict[str, bytes] = {}
            items = tuple(self._item(told, memory.gone, encoded) for told in comparison.changes)
            writes = MemoryWrites(
                seen=comparison.seen,
                encoded=encoded,
                gone={key: gone for key, gone in comparison.gone.items() if key not in comparison.seen},
                missing=comparison.vanished,
                no_longer_missing=comparison.found,
            )
            if writes != _NOTHING:
                self._spool.store(items, writes, at=at)
            self._keep(comparison)
            self._note_report(at)
        if items:
            self._stored()
        return comparison

    def due(self, at: Instant) -> tuple[MissingJob, ...]:
        """Vanished jobs that accounting should be asked for now; a time too far ahead was set by a clock that jumped, and counts too."""
        latest = at + self._patience.longest_pause_ms
        with self._changing():
            return tuple(each for each in self._missing.values() if not at < each.next_at <= latest)

    def vanished(self) -> int:
        """How many jobs left the report and have no end yet."""
        with self._changing():
            return len(self._missing)

    def settle_jobs(
        self,
        missing: Iterable[MissingJob],
        records: Sequence[Job] | None,
        *,
        unreadable: Collection[str] = (),
        recorded_until: Instant | None = None,
        rules: Scheduler | None = None,
        at: Instant,
    ) -> int:
        """Judges vanished jobs by the records of accounting (None: it did not answer); how many are settled.

        Of the ids in `unreadable` accounting said something that could not be read, which is no answer either. `recorded_until` is the
        latest end it told of this time, `rules` says what accounting alone cannot tell.
        """
        with self._changing():
            known_until = [until for until in (self._recorded_until, recorded_until) if until is not None and until <= at + _CLOCKS_MS]
            self._recorded_until = max(known_until, default=None)
            items: list[Item] = []
            kept: list[MissingJob] = []
            settled: list[tuple[str, int]] = []
            by_id: dict[str, list[Job]] = {}
            for record in records or ():
                by_id.setdefault(record.job_id, []).append(record)
            for each in missing:
                if each.key not in self._missing:
                    continue
                answered = records is not None and each.job.job_id not in unreadable
                known = by_id.get(each.job.job_id, []) if answered else None
                verdict = settle(
                    self._missing[each.key], known, at=at, patience=self._patience, rules=rules, recorded_until=self._recorded_until
                )
                if verdict.change is not None:
                    items.append(self._item(verdict.change, {}, {}))
                if verdict.missing is None:
                    settled.append(each.key)
                else:
                    kept.append(verdict.missing)
            if kept or settled:
                writes = MemoryWrites(missing=tuple(kept), no_longer_missing=tuple(settled), gone=self._ended_of(settled))
                self._spool.store(items, writes, at=at)
            self._missing.update((each.key, each) for each in kept)
            for key in settled:
                del self._missing[key]
        if items:
            self._stored()
        return len(settled)

    def observe_nodes(self, nodes: Iterable[Node], *, unreadable: Collection[str], at: Instant) -> int:
        """Compares a whole, readable report of nodes with the memory and stores what changed; how many changes."""
        with self._changing():
            seen = {name: word for name, word in self._spool.last_seen.load_nodes().items() if name not in unreadable}
            comparison = compare_nodes(seen, nodes, at=at)
            if not comparison.changes:
                return 0
            items = tuple(Item(payload_type=PayloadType.NODE_CHANGES, content=encode(change)) for change in comparison.changes)
            self._spool.store(items, MemoryWrites(nodes=comparison.seen), at=at)
        self._stored()
        return len(items)

    def watch(self, job_id: str) -> None:
        """Publishes a job from now on, whoever owns it."""
        with self._changing():
            self._spool.last_seen.watch(job_id)
            self._watched = self._spool.last_seen.watched()

    def take_tenants(self) -> None:
        """The tenants in the spool changed: jobs of a new one are told with the next report, also if they were seen before; those that
        vanished meanwhile are told when their end is known.
        """
        with self._changing():
            before, self._tenants = self._tenants, self._spool.tenants.published()
            new = self._tenants - before
            unpublished = [each for each in self._missing.values() if not each.published and each.job.owner in new]
            found = [dataclasses.replace(each, published=True) for each in unpublished]
            if found:
                self._spool.store((), MemoryWrites(missing=tuple(found)), at=max(each.since_at for each in found))
                self._missing.update((each.key, each) for each in found)

    def incarnations(self) -> Mapping[str, int]:
        """Incarnation of each live job that the ledger is told of."""
        with self._changing():
            return {key: seen.incarnation for key, seen in self._live.items() if seen.published}

    def confirm(self, waiting: Job, on_ledger: Job | None) -> None:
        """Puts the incarnation of an id right: `waiting` is its first unsent change, `on_ledger` the ledger's highest or None."""
        mine = waiting.incarnation or 1
        highest = 0 if on_ledger is None else on_ledger.incarnation or 1
        same = on_ledger is not None and is_same_run(dataclasses.replace(on_ledger, owner=waiting.owner), waiting)
        raise_by = highest - mine if same else max(0, highest + 1 - mine)
        with self._changing():
            counted_here = [
                each.incarnation
                for each in self._missing.values()
                if each.job.job_id == waiting.job_id and not (on_ledger is not None and _is_on_ledger(each, on_ledger))
            ]
            self._spool.last_seen.confirm(waiting.job_id, raise_by=raise_by, missing=counted_here)
            self._in_doubt.discard(waiting.job_id)
            if raise_by:
                self._loaded = False

    def confirm_all(self) -> None:
        """The ledger has never heard of this installation."""
        with self._changing():
            self._spool.last_seen.confirm_all()
            self._in_doubt.clear()
            self._doubtful = False

    def forget_confirmations(self) -> None:
        """The ledger knows more than the spool: the marks that say so were just written into it."""
        with self._lock:
            self._loaded = False

    def adopt(self, open_jobs: Iterable[Job], *, at: Instant) -> int:
        """Takes the ledger's open jobs for jobs last seen, so that the next report says what became of them; how many are new here."""
        with self._changing():
            seen: dict[str, SeenJob] = {}
            missing: list[MissingJob] = []
            for job in open_jobs:
                incarnation = job.incarnation or 1
                plain = dataclasses.replace(job, incarnation=None)
                live = self._live.get(job.job_id)
                if live is None:
                    seen[job.job_id] = SeenJob(plain, incarnation, published=True)
                elif not is_same_run(dataclasses.replace(plain, owner=live.job.owner), live.job):
                    missing.append(MissingJob(job=plain, incarnation=incarnation, published=True, since_at=at, next_at=at))
            missing = [each for each in missing if each.key not in self._missing]
            self._spool.store((), MemoryWrites(seen=seen, missing=tuple(missing)), at=at)
            self._live.update(seen)
            self._missing.update((each.key, each) for each in missing)
            return len(seen) + len(missing)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the lock over a comparison and its transaction; a failure in between makes the spool the only truth again."""
        with self._lock:
            if not self._loaded:
                self._load()
            done = False
            try:
                yield
                done = True
            finally:
                self._loaded = self._loaded and done

    def _load(self) -> None:
        memory = self._spool.last_seen.load_jobs()
        self._live, self._missing = dict(memory.live), dict(memory.missing)
        self._watched = self._spool.last_seen.watched()
        self._tenants = self._spool.tenants.published()
        self._doubtful = self._spool.meta("doubtful") is not None
        self._in_doubt = set(self._spool.last_seen.unconfirmed_job_ids())
        self._loaded = True

    def _ended_of(self, settled: Sequence[tuple[str, int]]) -> dict[str, GoneJob]:
        """Ids that left the report and are over: one that comes back, though its scheduler keeps the submit time, is another run."""
        gone = self._spool.last_seen.gone_jobs([job_id for job_id, _ in settled])
        over = {job_id: incarnation for job_id, incarnation in settled if job_id in gone and gone[job_id].incarnation == incarnation}
        return {job_id: dataclasses.replace(gone[job_id], ended=True) for job_id in over}

    def _note_report(self, at: Instant) -> None:
        """A scheduler that answers slowly is asked less often: twice the usual gap between reports is no outage."""
        if self._reported_at is not None and at > self._reported_at:
            self._gaps_ms = (self._gaps_ms[1], min(at - self._reported_at, _LONGEST_GAP_MS))
        self._reported_at = at

    def _keep(self, comparison: JobComparison) -> None:
        for key in comparison.gone:
            self._live.pop(key, None)
        self._live.update(comparison.seen)
        self._missing.update((each.key, each) for each in comparison.vanished)
        for missing_key in comparison.found:
            self._missing.pop(missing_key, None)
        # The parser's object instead of an equal one: the next comparison is then one look, and nothing is held twice.
        self._live.update(comparison.kept)

    def _is_wanted(self, job: Job) -> bool:
        return is_wanted(job, mode=self._publication.mode, owners=self._publication.owners | self._tenants, watched=self._watched)

    def _item(self, told: Told, gone: Mapping[str, GoneJob], encoded: dict[str, bytes]) -> Item:
        job = outgoing(told.job, mode=self._publication.mode, tenants=self._tenants, pseudonym_of=self._pseudonym)
        unconfirmed = self._doubtful and self._is_in_doubt(job.job_id, gone)
        if unconfirmed:
            self._in_doubt.add(job.job_id)
        message = to_message(job)
        if job is told.job:
            encoded[job.job_id] = message.SerializeToString()
        message.incarnation = told.incarnation
        return Item(
            payload_type=PayloadType.JOB_CHANGES,
            content=transactions_pb2.JobChange(job=message, observed_at=told.observed_at).SerializeToString(),
            subject=job.job_id,
            unconfirmed=unconfirmed,
        )

    def _is_in_doubt(self, job_id: str, gone: Mapping[str, GoneJob]) -> bool:
        """True unless an earlier change of this id was compared with the ledger."""
        if job_id in self._in_doubt:
            return True
        if any(missing_id == job_id for missing_id, _ in self._missing):
            return False
        seen, left = self._live.get(job_id), gone.get(job_id)
        return not ((seen is not None and seen.published) or (left is not None and left.published))

    def _pseudonym(self, owner: str) -> str:
        return self._spool.last_seen.pseudonym(owner, make_pseudonym(self._random_bytes(8)))


def _is_on_ledger(missing: MissingJob, on_ledger: Job) -> bool:
    """True if the incarnation of a vanished run came from the ledger and not from counting here."""
    return missing.incarnation <= (on_ledger.incarnation or 1) and missing.job.submitted_at == on_ledger.submitted_at


_NOTHING = MemoryWrites()
_CLOCKS_MS = 60_000
"""An end that lies further ahead is not one that accounting can have told of."""
_LONGEST_GAP_MS = 15 * 60_000
