# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool: everything the agent must not forget, in one SQLite file. The door to sqlite3 for the agent.

One read-write connection, WAL, synchronous=FULL; every method that writes is one transaction, and what it wrote is durable when it
returns. Items wait until the payload they were packed into has a verified receipt; only then are they deleted, and the receipt stays
for some days more. A payload never changes once it has its number; when its epoch is left, its items simply wait again.

When space runs out, unsent samples go first, then receipts; lossless items have a reserve. What could not be kept is remembered and
becomes a Gap item. An input/output error makes the spool unusable for good: the process ends, and the next start verifies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from hpcbridge.agent.changes import GoneJob, JobMemory, MissingJob, SeenJob
from hpcbridge.agent.rows import (
    Acknowledgement,
    Item,
    MemoryWrites,
    NumberedPayload,
    Numbers,
    SpoolFigures,
    WaitingItem,
)
from hpcbridge.errors import ConfigError, HpcbridgeError, IntegrityError, StorageError
from hpcbridge.failpoints import reach
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Availability
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Gap, JobChange, PayloadType
from hpcbridge.wire.convert import decode, encode

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
GONE_KEPT_MS = 400 * 86_400_000
"""How long an id that left the report is remembered, to notice that it is used again."""
RESERVE_BYTES = 8 << 20
"""Size of the file that is given up when the disk is full, so that lossless items still find room."""
_SAMPLE_SHARE = 0.9
"""Samples may use so much of the quota; the rest is the reserve of what must not be lost."""
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE seen(job_id TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, submitted_at INTEGER, published INTEGER NOT NULL,
                  gone_at INTEGER, ended INTEGER NOT NULL, job BLOB) WITHOUT ROWID;
CREATE INDEX seen_gone ON seen(gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE missing(job_id TEXT NOT NULL, incarnation INTEGER NOT NULL, published INTEGER NOT NULL, since_at INTEGER NOT NULL,
                     next_at INTEGER NOT NULL, asked INTEGER NOT NULL, told INTEGER NOT NULL, job BLOB NOT NULL,
                     PRIMARY KEY(job_id, incarnation)) WITHOUT ROWID;
CREATE TABLE node(name TEXT PRIMARY KEY, availability TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE waiting(id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, content BLOB NOT NULL, replaces TEXT, subject TEXT,
                     sample INTEGER NOT NULL, unconfirmed INTEGER NOT NULL, at INTEGER NOT NULL, sequence INTEGER);
CREATE INDEX waiting_sequence ON waiting(sequence) WHERE sequence IS NOT NULL;
CREATE INDEX waiting_unsent ON waiting(id) WHERE sequence IS NULL;
CREATE INDEX waiting_replaces ON waiting(replaces) WHERE replaces IS NOT NULL;
CREATE INDEX waiting_unconfirmed ON waiting(subject) WHERE unconfirmed = 1;
CREATE TABLE payload(epoch BLOB NOT NULL, sequence INTEGER NOT NULL, type TEXT NOT NULL, hash BLOB NOT NULL, items INTEGER NOT NULL,
                     made_at INTEGER NOT NULL, state TEXT NOT NULL, payload BLOB, entry_index INTEGER, outcomes TEXT, receipt TEXT,
                     acknowledged_at INTEGER, PRIMARY KEY(epoch, sequence));
CREATE INDEX payload_state ON payload(state, acknowledged_at);
CREATE INDEX payload_index ON payload(entry_index) WHERE entry_index IS NOT NULL;
CREATE TABLE refused(id INTEGER PRIMARY KEY, type TEXT NOT NULL, content BLOB NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
                     entry_index INTEGER NOT NULL, at INTEGER NOT NULL);
CREATE TABLE pseudonym(owner TEXT PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE watched(job_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class SpoolFull(HpcbridgeError):
    """The quota or the disk is used up; nothing of the transaction was kept, and the same may be tried again later."""

    transient = True
    exit_status = 70


class Spool:
    """Owns the connection. Safe to use from several threads; they take turns."""

    def __init__(self, path: Path, *, cluster: str, quota_bytes: int, keep_ms: int) -> None:
        """Opens the file or makes it. ConfigError if another process has it, IntegrityError if it is damaged."""
        self.path = path
        self._cluster = cluster
        self._quota = quota_bytes
        self._keep_ms = keep_ms
        self._lock = threading.RLock()
        self._failure: StorageError | None = None
        self._overflow_since: Instant | None = None
        self._reserve = path.with_suffix(".reserve")
        self.is_new = not path.exists()
        self._db = self._connect()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._db.close)
            self._prepare()
            self._make_reserve()
            on_failure.pop_all()

    def close(self) -> None:
        """Closes the connection; the spool is of no use afterwards."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What was last seen

    def load_memory(self) -> JobMemory:
        """Jobs of the last report and vanished ones; ids that are gone are looked up when one comes back (`gone_jobs`)."""
        rows = self._rows("SELECT job_id, incarnation, published, job FROM seen WHERE gone_at IS NULL")
        live = {job_id: SeenJob(decode(Job, job), incarnation, bool(published)) for job_id, incarnation, published, job in rows}
        missing = [_missing(row) for row in self._rows("SELECT job, incarnation, published, since_at, next_at, asked, told FROM missing")]
        return JobMemory(live, {each.key: each for each in missing})

    def gone_jobs(self, job_ids: Sequence[str]) -> dict[str, GoneJob]:
        """What is remembered of those of these ids that left the report."""
        query = (
            "SELECT job_id, incarnation, submitted_at, published, ended FROM seen"
            " WHERE gone_at IS NOT NULL AND job_id IN (SELECT value FROM json_each(?))"
        )
        rows = self._rows(query, (json.dumps(list(job_ids)),)) if job_ids else ()
        return {
            job_id: GoneJob(incarnation, submitted_at, bool(published), bool(ended))
            for job_id, incarnation, submitted_at, published, ended in rows
        }

    def load_nodes(self) -> dict[str, Availability]:
        """Last seen availability of every node."""
        return {name: Availability(word) for name, word in self._rows("SELECT name, availability FROM node")}

    def store(self, items: Sequence[Item], writes: MemoryWrites | None = None, *, at: Instant) -> tuple[int, ...]:
        """Keeps items and what follows for the memory, both or neither; the rows the items got. SpoolFull if there is no room.

        Of samples beyond their share nothing is kept, which is no error.
        """
        items = [item for item in items if not item.sample or self._has_room_for_samples()]
        if not items and writes is None:
            return ()
        with self._lock:
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
        with self._transaction() as db:
            if items and not all(item.sample for item in items) and self._bytes() > self._quota:
                raise SpoolFull(f"{self.path} has reached its quota of {self._quota} bytes", hint="raise [spool] quota_bytes")
            rows = [_insert(db, item, at) for item in (*self._overflow_gap(db, at), *items)]
            if writes is not None:
                _write_memory(db, writes, at)
        self._overflow_since = None
        return tuple(rows[len(rows) - len(items) :])

    def _overflow_gap(self, db: sqlite3.Connection, at: Instant) -> tuple[Item, ...]:
        stored = _meta(db, "overflow_since")
        since = self._overflow_since if stored is None else int(stored)
        if since is None:
            return ()
        db.execute("DELETE FROM meta WHERE key = 'overflow_since'")
        gap = Gap(cluster=self._cluster, reason="spool full", since_at=min(since, at), until_at=at, count=None)
        return (Item(payload_type=PayloadType.GAP, content=encode(gap)),)

    def _give_up_samples(self) -> None:
        """First the reserve and what is soon replaced anyway."""
        self._reserve.unlink(missing_ok=True)
        with contextlib.suppress(SpoolFull), self._transaction() as db:
            db.execute("DELETE FROM waiting WHERE sample = 1 AND sequence IS NULL")

    def _give_up_receipts(self) -> None:
        """Then receipts: what they prove is on the log."""
        logger.warning("spool_drops_receipts path=%s bytes=%d quota=%d", self.path, self._bytes(), self._quota)
        with contextlib.suppress(SpoolFull), self._transaction() as db:
            _drop_receipts(db, before=None)

    def _note_overflow(self, at: Instant) -> None:
        """Remembers since when something could not be kept: at least in memory, for the disk may have no room for that either."""
        if self._overflow_since is not None:
            return
        self._overflow_since = at
        logger.error("spool_full path=%s bytes=%d quota=%d", self.path, self._bytes(), self._quota)
        with contextlib.suppress(SpoolFull):
            self.set_meta("overflow_since", str(at).encode())

    # What waits

    def next_items(self, *, limit: int, max_bytes: int) -> tuple[PayloadType, tuple[WaitingItem, ...]] | None:
        """The items the next payload is made of: those of the type that has waited longest, in order; None if nothing waits."""
        with self._lock:
            first = self._row("SELECT type FROM waiting WHERE sequence IS NULL ORDER BY id LIMIT 1")
            if first is None:
                return None
            query = "SELECT id, content, subject, unconfirmed FROM waiting WHERE sequence IS NULL AND type = ? ORDER BY id LIMIT ?"
            taken: list[WaitingItem] = []
            size = 0
            for row, content, subject, unconfirmed in self._rows(query, (first[0], limit)):
                size += len(content) + _ITEM_OVERHEAD
                if taken and size > max_bytes:
                    break
                taken.append(WaitingItem(row, content, subject, bool(unconfirmed)))
        return PayloadType(first[0]), tuple(taken)

    def confirm(self, job_id: str, *, raise_by: int, missing: Sequence[int] = ()) -> None:
        """The ledger's highest incarnation of an id is known now: what waits of it, and what is remembered, moves up by `raise_by`.

        Of vanished runs of the id only the incarnations in `missing` move: the others came from the ledger.
        """
        from_rows = self._rows("SELECT id, content FROM waiting WHERE subject = ? AND unconfirmed = 1", (job_id,))
        moved = [(_raised(content, raise_by), row) for row, content in from_rows] if raise_by else []
        with self._transaction() as db:
            db.executemany("UPDATE waiting SET content = ? WHERE id = ?", moved)
            db.execute("UPDATE waiting SET unconfirmed = 0 WHERE subject = ? AND unconfirmed = 1", (job_id,))
            db.execute("UPDATE seen SET published = 1 WHERE job_id = ? AND published = 2", (job_id,))
            if raise_by:
                db.execute("UPDATE seen SET incarnation = incarnation + ? WHERE job_id = ?", (raise_by, job_id))
                # Through negative numbers, so that no two rows share a key on the way.
                moved_runs = [(raise_by, job_id, incarnation) for incarnation in missing]
                db.executemany("UPDATE missing SET incarnation = -(incarnation + ?) WHERE job_id = ? AND incarnation = ?", moved_runs)
                db.execute("UPDATE missing SET incarnation = -incarnation WHERE job_id = ? AND incarnation < 0", (job_id,))

    def confirm_all(self) -> None:
        """The ledger has never heard of this installation: every incarnation stands as it is, from now on too."""
        with self._transaction() as db:
            db.execute("UPDATE waiting SET unconfirmed = 0 WHERE unconfirmed = 1")
            db.execute("DELETE FROM meta WHERE key = 'doubtful'")

    # Numbers and payloads

    def numbers(self) -> Numbers:
        """Where the chain of numbers stands."""
        with self._lock:
            epoch = self.meta("epoch") or b""
            highest = self._row("SELECT MAX(sequence) FROM payload WHERE epoch = ? AND state = 'acknowledged'", (epoch,))
            opening = self._row("SELECT 1 FROM payload WHERE epoch = ? AND sequence = 1 AND state = 'sent'", (epoch,))
            return Numbers(
                epoch=epoch,
                next_sequence=int(self.meta("next_sequence") or b"1"),
                acknowledged=int(highest[0] or 0) if highest else 0,
                opening=(self.meta("previous_epoch") or b"") if opening else None,
            )

    def payload_hash(self, epoch: bytes, sequence: int) -> bytes | None:
        """SHA-256 of the payload that has this number; None if it was dropped long ago or never made here."""
        row = self._row("SELECT hash FROM payload WHERE epoch = ? AND sequence = ?", (epoch, sequence))
        return row[0] if row else None

    def open_epoch(
        self, payload: NumberedPayload, *, previous_epoch: bytes, lost: bool, poison: tuple[int, str] | None = None, at: Instant
    ) -> None:
        """Leaves the current epoch for the one whose number 1 `payload` is: what had no receipt waits again, in its old order.

        `lost`: the ledger knows more than this spool, so all incarnations are in doubt and the ledger has to be asked for open jobs.
        `poison`: number and reason of a payload that is set aside for good, with its items.
        """
        with self._transaction() as db:
            if poison is not None:
                aside = (poison[1], _meta(db, "epoch") or b"", poison[0])
                db.execute("UPDATE payload SET state = 'quarantined', outcomes = ? WHERE epoch = ? AND sequence = ?", aside)
                db.execute("DELETE FROM waiting WHERE sequence = ?", (poison[0],))
            db.execute("UPDATE waiting SET sequence = NULL WHERE sequence IS NOT NULL")
            db.execute(
                "DELETE FROM waiting WHERE sequence IS NULL AND replaces IS NOT NULL AND id NOT IN"
                " (SELECT MAX(id) FROM waiting WHERE replaces IS NOT NULL GROUP BY replaces)"
            )
            db.execute("DELETE FROM payload WHERE state = 'sent'")
            _set_meta(db, "epoch", payload.epoch)
            _set_meta(db, "previous_epoch", previous_epoch)
            if lost:
                db.execute("UPDATE waiting SET unconfirmed = 1 WHERE subject IS NOT NULL")
                db.execute("UPDATE seen SET published = 2 WHERE published = 1")
                _set_meta(db, "doubtful", b"1")
                _set_meta(db, "recover", b"1")
            _insert_payload(db, payload, at)

    def add_payload(self, payload: NumberedPayload, rows: Iterable[int], *, at: Instant) -> None:
        """Keeps a payload with its number, and which rows it was made of."""
        with self._transaction() as db:
            _insert_payload(db, payload, at)
            db.executemany("UPDATE waiting SET sequence = ? WHERE id = ?", [(payload.sequence, row) for row in rows])

    def unacknowledged(self, start: int, limit: int) -> tuple[NumberedPayload, ...]:
        """Payloads of the current epoch from number `start` on that have no receipt, in order."""
        query = (
            "SELECT epoch, sequence, type, payload, hash, items FROM payload"
            " WHERE epoch = ? AND sequence >= ? AND state = 'sent' ORDER BY sequence LIMIT ?"
        )
        return tuple(
            NumberedPayload(
                epoch=epoch, sequence=sequence, payload_type=PayloadType(kind), payload=payload, payload_hash=digest, items=items
            )
            for epoch, sequence, kind, payload, digest, items in self._rows(query, (self.meta("epoch") or b"", start, limit))
        )

    def acknowledge(self, acknowledgements: Sequence[Acknowledgement], *, checkpoint: str, at: Instant) -> dict[int, Acknowledgement]:
        """Keeps verified receipts and the verified checkpoint and drops the items they prove; the rows that are done, by receipt."""
        done: dict[int, Acknowledgement] = {}
        with self._transaction() as db:
            epoch = _meta(db, "epoch") or b""
            for each in acknowledgements:
                rows = db.execute("SELECT id, type, content FROM waiting WHERE sequence = ? ORDER BY id", (each.sequence,)).fetchall()
                done.update((row[0], each) for row in rows)
                _park_refused(db, rows, each)
                if rows and rows[0][1] == PayloadType.REGISTRATION:
                    _set_meta(db, "registration", rows[0][2])
                db.execute("DELETE FROM waiting WHERE sequence = ?", (each.sequence,))
                db.execute(
                    "UPDATE payload SET state = 'acknowledged', payload = NULL, entry_index = ?, outcomes = ?, receipt = ?,"
                    " acknowledged_at = ? WHERE epoch = ? AND sequence = ?",
                    (each.index, json.dumps(each.outcomes), each.receipt, at, epoch, each.sequence),
                )
            _set_meta(db, "checkpoint", checkpoint.encode())
            _set_meta(db, "last_receipt_at", str(at).encode())
        return done

    def set_checkpoint(self, note: str) -> None:
        """Keeps a checkpoint that was verified, also as consistent with the one before."""
        self.set_meta("checkpoint", note.encode())

    # Small things

    def meta(self, key: str) -> bytes | None:
        """A single remembered value."""
        with self._lock, self._errors():
            return _meta(self._db, key)

    def set_meta(self, key: str, value: bytes) -> None:
        """Remembers a single value."""
        with self._transaction() as db:
            _set_meta(db, key, value)

    def delete_meta(self, key: str) -> None:
        """Forgets a single value."""
        with self._transaction() as db:
            db.execute("DELETE FROM meta WHERE key = ?", (key,))

    def pseudonym(self, owner: str, fresh: str) -> str:
        """The pseudonym of an owner; `fresh` becomes it if there is none yet."""
        row = self._row("SELECT pseudonym FROM pseudonym WHERE owner = ?", (owner,))
        if row is not None:
            return str(row[0])
        with self._transaction() as db:
            db.execute("INSERT INTO pseudonym VALUES(?, ?)", (owner, fresh))
        return fresh

    def watch(self, job_id: str, *, cursor: str | None = None) -> None:
        """Puts a job on the watch list, together with the event cursor that asked for it."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO watched VALUES(?)", (job_id,))
            if cursor is not None:
                _set_meta(db, "cursor", cursor.encode())

    def watched(self) -> frozenset[str]:
        """The watch list."""
        return frozenset(job_id for (job_id,) in self._rows("SELECT job_id FROM watched"))

    def figures(self) -> SpoolFigures:
        """Counts and sizes, now."""
        with self._lock:
            states = dict(self._rows("SELECT state, COUNT(*) FROM payload GROUP BY state"))
            unsent = self._row("SELECT COUNT(*), MIN(at) FROM waiting WHERE sequence IS NULL") or (0, None)
            refused = self._row("SELECT COUNT(*) FROM refused") or (0,)
            return SpoolFigures(
                waiting=unsent[0],
                in_flight=states.get("sent", 0),
                acknowledged=states.get("acknowledged", 0),
                quarantined=states.get("quarantined", 0),
                refused=refused[0],
                bytes=self._bytes(),
                quota_bytes=self._quota,
                oldest_waiting_at=unsent[1],
            )

    def quarantined(self) -> list[tuple[bytes, int, str, int, int, str, bytes]]:
        """Payloads set aside: epoch, number, type, items, time made, reason, payload."""
        return self._rows("SELECT epoch, sequence, type, items, made_at, outcomes, payload FROM payload WHERE state = 'quarantined'")

    def refused(self, limit: int) -> list[tuple[str, bytes, str, str, int, int]]:
        """The latest refused items: type, content, code, reason, index of the entry, its time."""
        return self._rows("SELECT type, content, code, reason, entry_index, at FROM refused ORDER BY id DESC LIMIT ?", (limit,))

    def receipts(self, limit: int) -> list[tuple[int, int, bytes, str, int, int]]:
        """The latest receipts: index, number, epoch, outcomes as JSON, time received, items."""
        return self._rows(
            "SELECT entry_index, sequence, epoch, outcomes, acknowledged_at, items FROM payload"
            " WHERE state = 'acknowledged' ORDER BY entry_index DESC LIMIT ?",
            (limit,),
        )

    def receipt(self, index: int) -> str | None:
        """The receipt of the entry at `index` as a C2SP tlog-proof."""
        row = self._row("SELECT receipt FROM payload WHERE entry_index = ?", (index,))
        return None if row is None else str(row[0])

    def unsent_job_ids(self) -> frozenset[str]:
        """Ids of jobs of which something waits or is on its way."""
        return frozenset(row[0] for row in self._rows("SELECT DISTINCT subject FROM waiting WHERE subject IS NOT NULL"))

    def unconfirmed_job_ids(self) -> frozenset[str]:
        """Ids of jobs whose incarnation is in doubt: of changes that wait, or of all that a restored spool remembers (`published` 2)."""
        query = "SELECT subject FROM waiting WHERE unconfirmed = 1 UNION SELECT job_id FROM seen WHERE published = 2"
        return frozenset(row[0] for row in self._rows(query))

    def is_waiting(self, payload_type: PayloadType, content: bytes) -> bool:
        """True if exactly this waits already or is on its way."""
        return self._row("SELECT 1 FROM waiting WHERE type = ? AND content = ?", (payload_type, content)) is not None

    def trim(self, *, at: Instant) -> None:
        """Drops receipts past their time (never the last one of the current epoch) and ids that left long ago; keeps the reserve."""
        with self._transaction() as db:
            _drop_receipts(db, before=at - self._keep_ms)
            db.execute("DELETE FROM seen WHERE gone_at < ?", (at - GONE_KEPT_MS,))
            db.execute("DELETE FROM refused WHERE at < ?", (at - 4 * self._keep_ms,))
        self._make_reserve()

    def probe(self) -> None:
        """A test write; StorageError if the spool cannot be written. A full disk is not: then the spool still works as it should."""
        with contextlib.suppress(SpoolFull):
            self.set_meta("probe", b"")

    # The connection

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return sqlite3.connect(self.path, timeout=2, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{self.path}: cannot be opened: {error}", hint="see state_directory in hpcbridged.toml") from error

    def _prepare(self) -> None:
        try:
            # Exclusive: a second daemon, or a curious shell, must not hold back a commit.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "journal_size_limit=8388608"):
                self._db.execute(f"PRAGMA {pragma}").fetchone()
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("COMMIT")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise ConfigError(f"{self.path}: made by a newer hpcbridged (version {version})", hint="install that version again")
            verdict = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok":
                raise IntegrityError(f"{self.path}: integrity check failed: {verdict[:200]}", hint=_DAMAGED)
            if version == 0:
                with self._transaction() as db:
                    for statement in _SCHEMA.split(";"):
                        db.execute(statement)
                    _set_meta(db, "doubtful", b"1")  # until the ledger says that it never heard of us
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._check_payloads()
        except sqlite3.OperationalError as error:
            if _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise ConfigError(f"{self.path} is in use by another process", hint="is another hpcbridged running?") from error
            raise self._translated(error) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{self.path}: {error}", hint=_DAMAGED) from error

    def _check_payloads(self) -> None:
        """SQLite's own check does not see a flipped bit inside a value; the hashes do."""
        for sequence, payload, digest in self._db.execute("SELECT sequence, payload, hash FROM payload WHERE payload IS NOT NULL"):
            if hashlib.sha256(payload).digest() != digest:
                raise IntegrityError(f"{self.path}: payload {sequence} is not what was stored", hint=_DAMAGED)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                reach("spool.before_commit")
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            try:
                reach("spool.after_commit")
            except OSError as error:
                # Whatever it is: it was kept, so nobody may try again.
                self._failure = StorageError(f"{self.path}: {error}")
                raise self._failure from error

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            translated = self._translated(error)
            if isinstance(translated, StorageError):
                self._failure = translated
            raise translated from error

    def _translated(self, error: sqlite3.Error | OSError) -> HpcbridgeError:
        full = error.errno == errno.ENOSPC if isinstance(error, OSError) else _primary_code(error) == sqlite3.SQLITE_FULL
        if full:
            return SpoolFull(f"{self.path}: no space left", hint="make room on the disk; nothing that was stored is lost")
        return StorageError(f"{self.path}: {error}", hint="look at the disk (journalctl -k); the next start verifies the spool")

    def _rows(self, query: str, arguments: Sequence[object] = ()) -> list[Any]:
        with self._lock, self._errors():
            return self._db.execute(query, arguments).fetchall()

    def _row(self, query: str, arguments: Sequence[object] = ()) -> Any:
        rows = self._rows(query, arguments)
        return rows[0] if rows else None

    def _bytes(self) -> int:
        """Bytes in use, without pages that are free again."""
        with self._lock, self._errors():
            pages, free, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
            return int((pages - free) * size)

    def _has_room_for_samples(self) -> bool:
        return self._bytes() <= self._quota * _SAMPLE_SHARE

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


_DAMAGED = "move spool.db away and start again: the daemon then opens a new epoch and asks the ledger for open jobs"
_ITEM_OVERHEAD = 5


def _missing(row: Sequence[Any]) -> MissingJob:
    job, incarnation, published, since_at, next_at, asked, told = row
    return MissingJob(
        job=decode(Job, job),
        incarnation=incarnation,
        published=bool(published),
        since_at=since_at,
        next_at=next_at,
        asked=asked,
        told=bool(told),
    )


def _insert(db: sqlite3.Connection, item: Item, at: Instant) -> int:
    if item.replaces is not None:
        db.execute("DELETE FROM waiting WHERE replaces = ? AND sequence IS NULL", (item.replaces,))
    cursor = db.execute(
        "INSERT INTO waiting(type, content, replaces, subject, sample, unconfirmed, at) VALUES(?, ?, ?, ?, ?, ?, ?)",
        (item.payload_type, item.content, item.replaces, item.subject, item.sample, item.unconfirmed, at),
    )
    return int(cursor.lastrowid or 0)


def _write_memory(db: sqlite3.Connection, writes: MemoryWrites, at: Instant) -> None:
    db.executemany(
        "UPDATE seen SET incarnation = ?, submitted_at = ?, published = ?, gone_at = ?, job = NULL WHERE job_id = ?",
        [(gone.incarnation, gone.submitted_at, gone.published, at, job_id) for job_id, gone in writes.gone.items()],
    )
    db.executemany(
        "INSERT OR REPLACE INTO seen VALUES(?, ?, ?, ?, NULL, ?, ?)",
        [
            (
                job_id,
                seen.incarnation,
                seen.job.submitted_at,
                seen.published,
                seen.job.state.ended,
                writes.encoded.get(job_id) or encode(seen.job),
            )
            for job_id, seen in writes.seen.items()
        ],
    )
    db.executemany("DELETE FROM missing WHERE job_id = ? AND incarnation = ?", writes.no_longer_missing)
    db.executemany(
        "INSERT OR REPLACE INTO missing VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (each.job.job_id, each.incarnation, each.published, each.since_at, each.next_at, each.asked, each.told, encode(each.job))
            for each in writes.missing
        ],
    )
    db.executemany("INSERT OR REPLACE INTO node VALUES(?, ?)", list(writes.nodes.items()))


def _insert_payload(db: sqlite3.Connection, payload: NumberedPayload, at: Instant) -> None:
    db.execute(
        "INSERT INTO payload(epoch, sequence, type, hash, items, made_at, state, payload) VALUES(?, ?, ?, ?, ?, ?, 'sent', ?)",
        (payload.epoch, payload.sequence, payload.payload_type, payload.payload_hash, payload.items, at, payload.payload),
    )
    _set_meta(db, "next_sequence", str(payload.sequence + 1).encode())


def _park_refused(db: sqlite3.Connection, rows: Sequence[Any], acknowledgement: Acknowledgement) -> None:
    for refusal in acknowledgement.refusals:
        if refusal.ordinal < len(rows):
            _, kind, content = rows[refusal.ordinal]
            db.execute(
                "INSERT INTO refused(type, content, code, reason, entry_index, at) VALUES(?, ?, ?, ?, ?, ?)",
                (kind, content, refusal.code, refusal.reason, acknowledgement.index, acknowledgement.at),
            )


def _drop_receipts(db: sqlite3.Connection, *, before: Instant | None) -> None:
    """Deletes acknowledged payloads (`before` None: all), but not the last one of the epoch: Hello is compared with it."""
    epoch = _meta(db, "epoch") or b""
    db.execute(
        "DELETE FROM payload WHERE state = 'acknowledged' AND (?1 IS NULL OR acknowledged_at < ?1) AND NOT (epoch = ?2 AND sequence ="
        " (SELECT MAX(sequence) FROM payload WHERE epoch = ?2 AND state = 'acknowledged'))",
        (before, epoch),
    )


def _raised(content: bytes, raise_by: int) -> bytes:
    change = decode(JobChange, content)
    job = dataclasses.replace(change.job, incarnation=(change.job.incarnation or 1) + raise_by)
    return encode(dataclasses.replace(change, job=job))


def _meta(db: sqlite3.Connection, key: str) -> bytes | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else bytes(row[0])


def _set_meta(db: sqlite3.Connection, key: str, value: bytes) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
