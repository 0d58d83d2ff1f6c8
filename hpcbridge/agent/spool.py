# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool: everything the agent must not forget, in one SQLite file. This part keeps what waits, and room for it.

Items wait until the payload they were packed into has a verified receipt (chain.py); only then are they deleted, and the receipt stays
for some days more. They are kept in one transaction with what was last seen (lastseen.py); every method that writes is one transaction,
and what it wrote is durable when it returns.

When space runs out, unsent samples go first, then receipts; lossless items have a reserve. What could not be kept is remembered and
becomes a Gap item.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from hpcbridge.agent.chain import RENTALS_LISTED, Chain, drop_receipts
from hpcbridge.agent.lastseen import GONE_KEPT_MS, LastSeen, forget_gone, write_memory
from hpcbridge.agent.rentals import has_name, heard
from hpcbridge.agent.rows import Item, MemoryWrites, SpoolFigures, WaitingItem
from hpcbridge.agent.spool_file import Connection, SpoolFile, SpoolFull, read_meta, write_meta
from hpcbridge.agent.tenants import Tenants, report_of
from hpcbridge.model.market import AccountReport, Rental
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Gap, PayloadType
from hpcbridge.wire.convert import encode

logger = logging.getLogger(__name__)

RESERVE_BYTES = 8 << 20
"""Size of the file that is given up when the disk is full, so that lossless items still find room."""
MOST_TENANCIES = 100_000
"""More rentals than a cluster has in the months for which they are kept; a ledger that names more does not fill the disk with them."""
_SAMPLE_SHARE = 0.9
"""Samples may use so much of the quota; the rest is the reserve of what must not be lost."""
_ITEM_OVERHEAD = 5
"""Bytes that protobuf adds to each item of a body."""


class Spool:
    """Owns the file. `chain` has numbers, payloads and receipts, `last_seen` jobs and nodes, `tenants` the rentals of the cluster. Safe to
    use from several threads.
    """

    def __init__(
        self,
        path: Path,
        *,
        cluster: str,
        quota_bytes: int,
        keep_ms: int,
        clock: Callable[[], Instant] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Opens the file or makes it. ConfigError if another process has it, IntegrityError if it is damaged."""
        self.path = path
        self._cluster = cluster
        self._quota = quota_bytes
        self._keep_ms = keep_ms
        self._clock = clock
        self._overflow_since: Instant | None = None
        self._reserve = path.with_suffix(".reserve")
        self.file = SpoolFile(path)
        self.chain = Chain(self.file)
        self.last_seen = LastSeen(self.file)
        self.tenants = Tenants(self.file, self._tell)
        self._make_reserve()

    def close(self) -> None:
        """Closes the file; the spool is of no use afterwards."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def store(self, items: Sequence[Item], writes: MemoryWrites | None = None, *, at: Instant) -> tuple[int, ...]:
        """Keeps items and what follows for the memory, both or neither; the rows the items got. SpoolFull if there is no room.

        Of samples beyond their share nothing is kept, which is no error.
        """
        items = [item for item in items if not item.sample or self._has_room_for_samples()]
        if not items and writes is None:
            return ()
        with self.file.lock:
            for make_room in (self._give_up_samples, self._give_up_receipts):
                try:
                    return self._store(items, writes, at=at)
                except SpoolFull:
                    make_room()
            try:
                return self._store(items, writes, at=at)
            except SpoolFull:
                if not all(item.sample for item in items):
                    self._note_overflow(at)
                raise

    def _store(self, items: Sequence[Item], writes: MemoryWrites | None, *, at: Instant) -> tuple[int, ...]:
        with self.file.transaction() as db:
            if items and not all(item.sample for item in items) and self.file.used_bytes() > self._quota:
                raise SpoolFull(f"{self.path} has reached its quota of {self._quota} bytes", hint="raise [spool] quota_bytes")
            rows = [_insert(db, item, at) for item in (*self._overflow_gap(db, at), *items)]
            if writes is not None:
                write_memory(db, writes, at=at)
        self._overflow_since = None
        return tuple(rows[len(rows) - len(items) :])

    def _overflow_gap(self, db: Connection, at: Instant) -> tuple[Item, ...]:
        stored = read_meta(db, "overflow_since")
        since = self._overflow_since if stored is None else int(stored)
        if since is None:
            return ()
        db.execute("DELETE FROM meta WHERE key = 'overflow_since'")
        gap = Gap(cluster=self._cluster, reason="spool full", since_at=min(since, at), until_at=at, count=None)
        return (Item(payload_type=PayloadType.GAP, content=encode(gap)),)

    def _give_up_samples(self) -> None:
        """First the reserve and what is soon replaced anyway."""
        self._reserve.unlink(missing_ok=True)
        with contextlib.suppress(SpoolFull), self.file.transaction() as db:
            db.execute("DELETE FROM waiting WHERE sample = 1 AND sequence IS NULL")

    def _give_up_receipts(self) -> None:
        """Then receipts: what they prove is on the log."""
        logger.warning("spool_drops_receipts path=%s bytes=%d quota=%d", self.path, self.file.used_bytes(), self._quota)
        with contextlib.suppress(SpoolFull), self.file.transaction() as db:
            drop_receipts(db, before=None)

    def _note_overflow(self, at: Instant) -> None:
        """Remembers since when something could not be kept: at least in memory, for the disk may have no room for that either."""
        if self._overflow_since is not None:
            return
        self._overflow_since = at
        logger.error("spool_full path=%s bytes=%d quota=%d", self.path, self.file.used_bytes(), self._quota)
        with contextlib.suppress(SpoolFull):
            self.file.set_meta("overflow_since", str(at).encode())

    def hear_rentals(self, rentals: Sequence[Rental], *, place: bytes | None = None, listed: bool = False, at: Instant) -> None:
        """Keeps what the ledger says of rentals of this cluster, together with the listener's `place` among the events.

        `listed`: these are all of them, so that from now on a rental unknown here is one that this agent did nothing for yet.
        """
        with self.file.transaction() as db:
            adopt = listed and read_meta(db, RENTALS_LISTED) is None
            for rental in rentals:
                if rental.cluster != self._cluster or not has_name(rental):
                    continue
                known = self.tenants.get(rental.rental)
                if known is None and self.tenants.count() >= MOST_TENANCIES:
                    logger.error("rental_not_kept rental=%s reason=there_are_%d_already", rental.rental, MOST_TENANCIES)
                    continue
                taken = self.tenants.is_taken(rental.username, by_other_than=rental.rental)
                now = heard(known, rental, cluster=self._cluster, taken=taken, adopt=adopt, at=at)
                if now.problem and (known is None or known.problem != now.problem):
                    logger.error("rental_not_followed rental=%r username=%r reason=%s", rental.rental, rental.username, now.problem)
                self.tenants.put(db, known, now)
            if place is not None:
                write_meta(db, "events", place)
            if listed:
                write_meta(db, RENTALS_LISTED, b"1")

    def tell_again(self, rental: str) -> None:
        """Puts a report that has no answer among what waits, unless it is there already."""
        with self.file.transaction() as db:
            known = self.tenants.get(rental)
            if known is not None and known.report is not None and not known.reported:
                report = report_of(known)
                if not self.is_waiting(PayloadType.ACCOUNT, encode(report)):
                    self._tell(db, report)

    @property
    def knows_all_rentals(self) -> bool:
        """False until the ledger was asked for all of them, by this spool and not by one that was lost since."""
        return self.file.meta(RENTALS_LISTED) is not None

    def _tell(self, db: Connection, report: AccountReport) -> None:
        """A report on an account has room whatever the quota says: it is small, and somebody waits for it."""
        item = Item(payload_type=PayloadType.ACCOUNT, content=encode(report), replaces=f"account {report.rental}")
        _insert(db, item, self._clock())

    def next_items(self, *, limit: int, max_bytes: int) -> tuple[PayloadType, tuple[WaitingItem, ...]] | None:
        """The items the next payload is made of: those of the type that has waited longest, in order; None if nothing waits."""
        with self.file.lock:
            first = self.file.row("SELECT type FROM waiting WHERE sequence IS NULL ORDER BY id LIMIT 1")
            if first is None:
                return None
            query = "SELECT id, content, subject, unconfirmed FROM waiting WHERE sequence IS NULL AND type = ? ORDER BY id LIMIT ?"
            taken: list[WaitingItem] = []
            size = 0
            for row, content, subject, unconfirmed in self.file.rows(query, (first[0], limit)):
                size += len(content) + _ITEM_OVERHEAD
                if taken and size > max_bytes:
                    break
                taken.append(WaitingItem(row, content, subject, bool(unconfirmed)))
        return PayloadType(first[0]), tuple(taken)

    def is_waiting(self, payload_type: PayloadType, content: bytes) -> bool:
        """True if exactly this waits already or is on its way."""
        return self.file.row("SELECT 1 FROM waiting WHERE type = ? AND content = ?", (payload_type, content)) is not None

    def figures(self) -> SpoolFigures:
        """Counts and sizes, now."""
        with self.file.lock:
            states = dict(self.file.rows("SELECT state, COUNT(*) FROM payload GROUP BY state"))
            unsent = self.file.row("SELECT COUNT(*), MIN(at) FROM waiting WHERE sequence IS NULL") or (0, None)
            refused = self.file.row("SELECT COUNT(*) FROM refused") or (0,)
            return SpoolFigures(
                waiting=unsent[0],
                in_flight=states.get("sent", 0),
                acknowledged=states.get("acknowledged", 0),
                quarantined=states.get("quarantined", 0),
                refused=refused[0],
                bytes=self.file.used_bytes(),
                quota_bytes=self._quota,
                oldest_waiting_at=unsent[1],
            )

    def meta(self, key: str) -> bytes | None:
        """A single remembered value."""
        return self.file.meta(key)

    def set_meta(self, key: str, value: bytes) -> None:
        """Remembers a single value."""
        self.file.set_meta(key, value)

    def delete_meta(self, key: str) -> None:
        """Forgets a single value."""
        self.file.delete_meta(key)

    def trim(self, *, at: Instant) -> None:
        """Drops receipts past their time (never the last one of the current epoch) and ids that left long ago; keeps the reserve."""
        with self.file.transaction() as db:
            drop_receipts(db, before=at - self._keep_ms)
            forget_gone(db, before=at - GONE_KEPT_MS)
            # The registration in force is told of for as long as it is refused.
            db.execute(
                "DELETE FROM refused WHERE at < ? AND content IS NOT (SELECT value FROM meta WHERE key = 'registration')",
                (at - 4 * self._keep_ms,),
            )
        self.tenants.forget(at=at)
        self._make_reserve()

    def probe(self) -> None:
        """A test write; StorageError if the spool cannot be written. A full disk is not: then the spool still works as it should."""
        with contextlib.suppress(SpoolFull):
            self.file.set_meta("probe", b"")

    def _has_room_for_samples(self) -> bool:
        return self.file.used_bytes() <= self._quota * _SAMPLE_SHARE

    def _make_reserve(self) -> None:
        """Takes the reserve while there is room; without room there is none."""
        if self._reserve.exists():
            return
        try:
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, min(RESERVE_BYTES, self._quota // 8))
            finally:
                os.close(descriptor)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            logger.warning("spool_reserve_failed path=%s error=%s", self._reserve, error.strerror)


def _insert(db: Connection, item: Item, at: Instant) -> int:
    if item.replaces is not None:
        db.execute("DELETE FROM waiting WHERE replaces = ? AND sequence IS NULL", (item.replaces,))
    cursor = db.execute(
        "INSERT INTO waiting(type, content, replaces, subject, sample, unconfirmed, at) VALUES(?, ?, ?, ?, ?, ?, ?)",
        (item.payload_type, item.content, item.replaces, item.subject, item.sample, item.unconfirmed, at),
    )
    return int(cursor.lastrowid or 0)
