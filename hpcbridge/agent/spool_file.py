# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool's file: the door to sqlite3 for the agent. Schema, transactions, and what an error of the disk means.

One read-write connection, WAL, synchronous=FULL; what a transaction wrote is durable when it ends. A full disk is an error that passes.
Any other input/output error makes the file unusable for good: the process ends, and the next start verifies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hpcbridge.errors import ConfigError, HpcbridgeError, IntegrityError, StorageError
from hpcbridge.failpoints import reach

Connection = sqlite3.Connection
SCHEMA_VERSION = 3
_TENANCY = """
CREATE TABLE tenancy(rental TEXT PRIMARY KEY, username TEXT NOT NULL, queue TEXT NOT NULL, cores INTEGER NOT NULL, gpus INTEGER NOT NULL,
                     expires_at INTEGER NOT NULL, sealing_key BLOB NOT NULL, problem TEXT NOT NULL, account TEXT NOT NULL,
                     begun_at INTEGER, adopted INTEGER NOT NULL, ended_at INTEGER, sealed_to BLOB NOT NULL, sealed BLOB NOT NULL,
                     sealed_at INTEGER, relayed_at INTEGER, delivered_at INTEGER, report TEXT, report_text TEXT NOT NULL,
                     reported INTEGER NOT NULL, attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, reason TEXT NOT NULL,
                     failed_at INTEGER) WITHOUT ROWID;
CREATE INDEX tenancy_username ON tenancy(username);
"""
_SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE seen(job_id TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, submitted_at INTEGER, published INTEGER NOT NULL,
                  gone_at INTEGER, ended INTEGER NOT NULL, job BLOB) WITHOUT ROWID;
CREATE INDEX seen_gone ON seen(gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE missing(job_id TEXT NOT NULL, incarnation INTEGER NOT NULL, published INTEGER NOT NULL, since_at INTEGER NOT NULL,
                     next_at INTEGER NOT NULL, asked INTEGER NOT NULL, told INTEGER NOT NULL, job BLOB NOT NULL,
                     seen_at INTEGER, lately INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(job_id, incarnation)) WITHOUT ROWID;
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
{_TENANCY}
"""
_UPGRADES = {
    1: "ALTER TABLE missing ADD COLUMN seen_at INTEGER;ALTER TABLE missing ADD COLUMN lately INTEGER NOT NULL DEFAULT 0",
    2: _TENANCY,
}
"""Statements that lead from each earlier version to the next."""
_DAMAGED = "move spool.db away and start again: the daemon then opens a new epoch and asks the ledger for open jobs"


class SpoolFull(HpcbridgeError):
    """The quota or the disk is used up; nothing of the transaction was kept, and the same may be tried again later."""

    transient = True
    exit_status = 70


class SpoolFile:
    """Owns the connection. Safe to use from several threads; they take turns."""

    def __init__(self, path: Path) -> None:
        """Opens the file or makes it. ConfigError if another process has it, IntegrityError if it is damaged."""
        self.path = path
        self.lock = threading.RLock()
        self._failure: StorageError | None = None
        self._db = self._connect()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._db.close)
            self._prepare()
            on_failure.pop_all()

    def close(self) -> None:
        """Closes the connection; the file is of no use afterwards."""
        with self.lock:
            self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing, and durable at its end. SpoolFull if the disk has no room, StorageError if it fails."""
        with self.lock, self._errors():
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

    def rows(self, query: str, arguments: Sequence[object] = ()) -> list[Any]:
        """What a query finds."""
        with self.lock, self._errors():
            return self._db.execute(query, arguments).fetchall()

    def row(self, query: str, arguments: Sequence[object] = ()) -> Any:
        """The first row a query finds, or None."""
        rows = self.rows(query, arguments)
        return rows[0] if rows else None

    def meta(self, key: str) -> bytes | None:
        """A single remembered value."""
        with self.lock, self._errors():
            return read_meta(self._db, key)

    def set_meta(self, key: str, value: bytes) -> None:
        """Remembers a single value."""
        with self.transaction() as db:
            write_meta(db, key, value)

    def delete_meta(self, key: str) -> None:
        """Forgets a single value."""
        with self.transaction() as db:
            db.execute("DELETE FROM meta WHERE key = ?", (key,))

    def used_bytes(self) -> int:
        """Bytes in use, without pages that are free again."""
        with self.lock, self._errors():
            pages, free, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
            return int((pages - free) * size)

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
            if version < SCHEMA_VERSION:
                with self.transaction() as db:
                    steps = [_UPGRADES[each] for each in range(version, SCHEMA_VERSION)] if version else [_SCHEMA]
                    for statement in ";".join(steps).split(";"):
                        db.execute(statement)
                    if version == 0:
                        write_meta(db, "doubtful", b"1")  # until the ledger says that it never heard of us
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


def read_meta(db: Connection, key: str) -> bytes | None:
    """A single remembered value, within a transaction."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else bytes(row[0])


def write_meta(db: Connection, key: str, value: bytes) -> None:
    """Remembers a single value with the rest of a transaction."""
    db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
