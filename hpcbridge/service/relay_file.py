# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The file of the relay: sealed boxes between users and providers, beside the ledger and no part of it. The door to SQLite for the relay.

Nothing in here is needed by anybody else, and what is lost can be left again. So a file that is gone or damaged is made anew, and a disk
that refuses is an error that passes: the ledger itself never stops for it. What is deleted is overwritten.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.errors import LedgerUnavailable
from hpcbridge.model.quantities import Instant
from hpcbridge.model.relay import SealedKind

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE sealed(
  rental TEXT NOT NULL, kind TEXT NOT NULL, box BLOB, digest BLOB NOT NULL, left_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  collected_at INTEGER, day INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(rental, kind)
) WITHOUT ROWID
"""
_FIELDS = "box, digest, left_at, expires_at, collected_at, day, count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One box: `box` None once it was collected or has expired, `count` boxes were left on `day` (days since 1970 of the ledger's time)."""

    box: bytes | None
    digest: bytes
    left_at: Instant
    expires_at: Instant
    collected_at: Instant | None
    day: int
    count: int


class RelayFile:
    """Owns the file. Safe to use from several threads; they take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        with contextlib.suppress(LedgerUnavailable), self._using():
            pass  # what is damaged is found and said at the start

    def close(self) -> None:
        """Closes the file; the next use opens it again."""
        with self._lock:
            self._let_go()

    def get(self, rental: str, kind: SealedKind) -> Row | None:
        """What is on record of a box."""
        with self._using() as db:
            found = db.execute(f"SELECT {_FIELDS} FROM sealed WHERE rental = ? AND kind = ?", (rental, kind.value)).fetchone()  # noqa: S608 - names of our own fields
        if found is None:
            return None
        box, digest, left_at, expires_at, collected_at, day, count = found
        return Row(box=box, digest=digest, left_at=left_at, expires_at=expires_at, collected_at=collected_at, day=day, count=count)

    def put(self, rental: str, kind: SealedKind, row: Row) -> None:
        """Puts a box on record in place of the one before; durable when it returns."""
        values = (row.box, row.digest, row.left_at, row.expires_at, row.collected_at, row.day, row.count)
        with self._using() as db:
            db.execute("INSERT OR REPLACE INTO sealed VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", (rental, kind.value, *values))

    def boxes(self) -> int:
        """How many boxes wait."""
        with self._using() as db:
            return int(db.execute("SELECT count(*) FROM sealed WHERE box IS NOT NULL").fetchone()[0])

    def empty_expired(self, at: Instant) -> int:
        """Deletes the content of boxes whose time is over; how many there were."""
        with self._using() as db:
            return db.execute("UPDATE sealed SET box = NULL WHERE box IS NOT NULL AND expires_at <= ?", (at,)).rowcount

    def rentals(self) -> list[str]:
        """Rentals of which anything is on record."""
        with self._using() as db:
            return [rental for (rental,) in db.execute("SELECT DISTINCT rental FROM sealed ORDER BY rental")]

    def forget(self, rental: str) -> None:
        """Deletes whatever is on record of a rental."""
        with self._using() as db:
            db.execute("DELETE FROM sealed WHERE rental = ?", (rental,))

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """One transaction; a damaged file is made anew for the next one. LedgerUnavailable for whatever goes wrong."""
        with self._lock:
            try:
                if self._db is None:
                    self._db = self._open()
                with self._db as db:
                    yield db
            except sqlite3.OperationalError as error:
                self._let_go()
                logger.warning("relay_failed path=%s reason=%s", self._path, error)
                raise LedgerUnavailable("what is handed over cannot be stored now", hint="try again in a moment") from error
            except sqlite3.DatabaseError as error:
                self._let_go()
                self._remove(str(error))
                raise LedgerUnavailable("what was handed over is lost", hint="leave it again, or ask for it again") from error

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._remove(str(error))
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from error
        db = sqlite3.connect(self._path, timeout=2, check_same_thread=False)
        try:
            # no write-ahead log, which would keep what was deleted
            for pragma in ("journal_mode = DELETE", "synchronous = FULL", "secure_delete = ON"):
                db.execute(f"PRAGMA {pragma}").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"schema version {version} is not known here")
            (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            if version == 0:
                with db:
                    db.execute(_SCHEMA)
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _let_go(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _remove(self, reason: str) -> None:
        logger.error("relay_made_anew path=%s reason=%s", self._path, reason)
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            with contextlib.suppress(OSError):
                path.unlink()
