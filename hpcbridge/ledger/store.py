# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger's store: one SQLite file with the log, its tiles, and what the fold made of it.

`Store` is the one writer and belongs to the applier's thread; `append` makes a whole group durable in one transaction or not at all.
`StoreReader` may be opened as often as needed; each may be used by any thread, one query at a time.

Opening for writing verifies everything: file structure, table definitions, value types, head, leaves against tiles and root, and the digest
of each other table. What fails is named in the IntegrityError and the store stays closed. After a failed `append` the store takes nothing
more: SQLite may have lost what the failed sync should have kept, and only a new start finds out.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from hpcbridge.errors import ConfigError, HpcbridgeError, IntegrityError, StorageError
from hpcbridge.failpoints import reach
from hpcbridge.ledger.checks import verify_content
from hpcbridge.ledger.damage import check_failed
from hpcbridge.ledger.durable import lock_file, sync_directory
from hpcbridge.ledger.known import KnownKeys
from hpcbridge.ledger.records import (
    MAX_ORDINAL,
    ORDINAL_BITS,
    EventRow,
    Group,
    Head,
    NumberRow,
    Seen,
    add_digests,
    decode_head,
    encode_head,
    event_fingerprint,
    number_fingerprint,
    state_fingerprint,
)
from hpcbridge.ledger.schema import check_file, check_version, connect_reader, connect_writer, create_tables, error_of, errors_while
from hpcbridge.ledger.tiles import TILE_WIDTH
from hpcbridge.model.entries import Cursor, Event, EventType

_NUMBERS = "SELECT submitter, epoch, sequence, idx, payload_hash FROM number"
_EVENTS = "SELECT id, type, audience, audience_number, subject, body FROM event"


class StoreReader:
    """Read access. Every query sees what was durable when it began."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a store that a `Store` has verified; ConfigError if there is none."""
        if not path.exists():
            raise ConfigError(f"{path}: there is no ledger store", hint="hpcbridge-ledgerd init makes one")
        with errors_while("opening", path):
            connection = connect_reader(path)
        try:
            with errors_while("opening", path):
                check_version(connection, path)
        except HpcbridgeError:
            connection.close()
            raise
        return cls(path, connection)

    def head(self) -> Head:
        """Size, root and engine position after the last group."""
        rows = self._query("SELECT value FROM meta WHERE key='head'")
        return decode_head(rows[0][0] if rows else b"")

    def size(self) -> int:
        """Number of entries."""
        return int(self._query("SELECT coalesce(max(idx) + 1, 0) FROM entry")[0][0])

    def leaf(self, index: int) -> bytes | None:
        """One leaf, None if there is no such entry yet."""
        rows = self._query("SELECT leaf FROM entry WHERE idx=?", (index,))
        return rows[0][0] if rows else None

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """The leaves start ≤ index < stop, all of them; IntegrityError if one is missing."""
        rows = self._query("SELECT leaf FROM entry WHERE idx>=? AND idx<? ORDER BY idx", (start, stop))
        if len(rows) != max(0, stop - start):
            raise IntegrityError(f"{self._path}: entries are missing between {start} and {stop}")
        return [row[0] for row in rows]

    def tile(self, tile_id: int) -> bytes | None:
        """A full tile."""
        rows = self._query("SELECT hashes FROM tile WHERE id=?", (tile_id,))
        return rows[0][0] if rows else None

    def state(self, key: str) -> bytes | None:
        """A value of the state, None if there is none."""
        rows = self._query("SELECT value FROM state WHERE key=?", (key,))
        return rows[0][0] if rows else None

    def scan(self, start: str, stop: str, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` records with start ≤ key < stop, by key."""
        return self._query("SELECT key, value FROM state WHERE key>=? AND key<? ORDER BY key LIMIT ?", (start, stop, limit))

    def number(self, submitter: str, epoch: bytes, sequence: int) -> Seen | None:
        """What this number was used for, None if it was not used."""
        rows = self._query(f"{_NUMBERS} WHERE submitter=? AND epoch=? AND sequence=?", (submitter, epoch, sequence))
        return Seen(index=rows[0][3], payload_hash=rows[0][4]) if rows else None

    def last_number(self, submitter: str, epoch: bytes) -> tuple[int, Seen] | None:
        """The largest number used in an epoch and what for, None if none was."""
        rows = self._query(f"{_NUMBERS} WHERE submitter=? AND epoch=? ORDER BY sequence DESC LIMIT 1", (submitter, epoch))
        return (rows[0][2], Seen(index=rows[0][3], payload_hash=rows[0][4])) if rows else None

    def events_after(self, cursor: Cursor, limit: int, audience: str | None = None) -> list[tuple[Cursor, Event]]:
        """Up to `limit` events after the cursor in the order of the log: of one audience, or all if it is None."""
        after = cursor.index << ORDINAL_BITS | cursor.ordinal
        if audience is None:
            rows = self._query(f"{_EVENTS} WHERE id>? ORDER BY id LIMIT ?", (after, limit))
        else:
            rows = self._query(f"{_EVENTS} WHERE audience=? AND id>? ORDER BY id LIMIT ?", (audience, after, limit))
        return [(Cursor(row[0] >> ORDINAL_BITS, row[0] & MAX_ORDINAL), _event(row)) for row in rows]

    def copy_to(self, path: Path) -> None:
        """Writes what is durable now into a new file, while the writer goes on."""
        with self._lock, errors_while("copying to", path), contextlib.closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def close(self) -> None:
        """Closes the connection."""
        with self._lock, errors_while("closing", self._path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise error_of(error, "reading", self._path) from error


class Store(StoreReader):
    """Read and write access, one per file; reads of the state are answered from memory where they can be."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, lock: int, cached_states: int) -> None:
        super().__init__(path, connection)
        self._lock_descriptor = lock
        self._states = _RecentStates(cached_states)
        self._known = KnownKeys()  # of nothing, until `_verify` has read the state
        self._failed = False
        self._head = Head()

    @classmethod
    def open(cls, path: Path, *, create: bool = False, cached_states: int = 50_000) -> Self:
        """Opens and verifies the store, or makes an empty one, which must not exist then.

        ConfigError: none there, in use, of another program or a newer version. IntegrityError: it contradicts itself.
        """
        if path.exists() is create:
            there = "exists already" if create else "there is no ledger store"
            raise ConfigError(f"{path}: {there}", hint="hpcbridge-ledgerd init makes a store, once")
        with errors_while("opening", path):
            lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock_file(lock, path)
            with errors_while("opening", path):
                if create:
                    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                connection = connect_writer(path)
        except HpcbridgeError:
            os.close(lock)
            raise
        store = cls(path, connection, lock=lock, cached_states=cached_states)
        try:
            with errors_while("opening", path):
                if create:
                    store._initialise()
                check_version(connection, path)
                store._verify()
        except HpcbridgeError:
            store.close()
            raise
        return store

    def head(self) -> Head:
        """Size, root and engine position after the last group."""
        return self._head

    def size(self) -> int:
        """Number of entries."""
        return self._head.size

    def state(self, key: str) -> bytes | None:
        """A value of the state, None if there is none."""
        value = self._states.get(key)
        if value is None and self._known.may_hold(key):
            value = super().state(key)
            if value is not None:
                self._states.put(key, value)
        return value

    def append(self, group: Group) -> None:
        """Makes the group durable, all or nothing. IntegrityError if it does not follow the last one, StorageError if it cannot be kept."""
        if self._failed:
            raise StorageError(f"{self._path}: failed before; end the process, the next start verifies the store")
        _check_follows(group, self._head)
        numbers, events = _number_rows(group), _event_rows(group)
        replaced = self._replaced_fingerprints(group)
        self._failed = True  # until the commit has come back: whatever is raised meanwhile, this connection is not used again
        with self._lock, errors_while("appending", self._path):
            head = self._write(group, numbers, events, replaced=replaced)
            reach("store.before_commit")
            self._connection.execute("COMMIT")
            reach("store.after_commit")
        self._failed = False
        self._head = head
        for key, value in group.writes.items():
            if value is None:
                self._states.drop(key)
            else:
                self._states.put(key, value)
                self._known.add(key)

    def close(self) -> None:
        """Copies the write-ahead log back, closes the file and lets another process have it."""
        try:
            reach("store.before_close_sync")
            super().close()
            reach("store.after_close_sync")
        finally:
            os.close(self._lock_descriptor)

    def _initialise(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        create_tables(self._connection)
        self._connection.execute("INSERT INTO meta VALUES ('head', ?)", (encode_head(self._head),))
        reach("store.before_create_commit")
        self._connection.execute("COMMIT")
        reach("store.after_create_commit")
        sync_directory(self._path.parent)

    def _verify(self) -> None:
        check_file(self._connection)
        head = super().head()
        for table, expected in (("entry", head.size), ("tile", _full_tiles(head.size))):
            (count,) = self._query(f"SELECT count(*) FROM {table}")[0]  # noqa: S608 - our own names
            if count != expected:
                raise check_failed("the counts", f"{count} rows in table {table}, {expected} belong there")
        verify_content(self, head.size, root=head.root)
        for table, fingerprints in self._all_fingerprints():
            if add_digests(0, sum(fingerprints)) != head.digests[table]:
                raise check_failed("the digests", f"table {table} is not what the last group left")
        self._head = head

    def _all_fingerprints(self) -> Iterator[tuple[str, Iterator[int]]]:
        yield "number", map(number_fingerprint, self._connection.execute(_NUMBERS))
        self._known = KnownKeys(self._query("SELECT count(*) FROM state")[0][0])
        yield "state", map(self._know, self._connection.execute("SELECT key, value FROM state"))
        yield "event", map(event_fingerprint, self._connection.execute(_EVENTS))

    def _know(self, row: tuple[str, bytes]) -> int:
        self._known.add(row[0])
        return state_fingerprint(*row)

    def _replaced_fingerprints(self, group: Group) -> int:
        before = ((key, self.state(key)) for key in group.writes)
        return sum(state_fingerprint(key, value) for key, value in before if value is not None)

    def _write(self, group: Group, numbers: list[NumberRow], events: list[EventRow], *, replaced: int) -> Head:
        many = self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        many("INSERT INTO entry VALUES (?, ?)", [(entry.index, entry.leaf) for entry in group.entries])
        many("INSERT INTO number VALUES (?, ?, ?, ?, ?)", numbers)
        many("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", events)
        many("INSERT INTO tile VALUES (?, ?)", group.tiles)
        kept = [(key, value) for key, value in sorted(group.writes.items()) if value is not None]
        many("INSERT OR REPLACE INTO state VALUES (?, ?)", kept)
        many("DELETE FROM state WHERE key=?", [(key,) for key, value in group.writes.items() if value is None])
        digests = self._head.digests
        head = Head(
            size=self._head.size + len(group.entries),
            root=group.root,
            engine_position=group.engine_position,
            digests={
                "number": add_digests(digests["number"], sum(map(number_fingerprint, numbers))),
                "state": add_digests(digests["state"], sum(state_fingerprint(key, value) for key, value in kept) - replaced),
                "event": add_digests(digests["event"], sum(map(event_fingerprint, events))),
            },
        )
        self._connection.execute("UPDATE meta SET value=? WHERE key='head'", (encode_head(head),))
        return head


class _RecentStates:
    """State values read or written lately, in two generations as in `tiles.py`."""

    def __init__(self, bound: int) -> None:
        self._half = max(1, bound // 2)
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """None if it is not known here."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: str, value: bytes) -> None:
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def drop(self, key: str) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)


def _check_follows(group: Group, head: Head) -> None:
    indexes = [entry.index for entry in group.entries]
    if indexes != list(range(head.size, head.size + len(indexes))):
        raise IntegrityError(f"a group with entries {indexes[:1]}… does not follow the {head.size} entries that are stored")
    if group.engine_position < head.engine_position:
        raise IntegrityError(f"engine position {group.engine_position} after {head.engine_position}")


def _number_rows(group: Group) -> list[NumberRow]:
    return [
        (entry.number.submitter, entry.number.epoch, entry.number.sequence, entry.index, entry.number.payload_hash)
        for entry in group.entries
        if entry.number is not None
    ]


def _event_rows(group: Group) -> list[EventRow]:
    return [
        (entry.index << ORDINAL_BITS | ordinal, str(event.type), event.audience, event.audience_number, event.subject, event.body)
        for entry in group.entries
        for ordinal, event in enumerate(entry.events, start=1)
    ]


def _event(row: EventRow) -> Event:
    _, type_, audience, audience_number, subject, body = row
    return Event(type=EventType(type_), audience=audience, audience_number=audience_number, subject=subject, body=body)


def _full_tiles(size: int) -> int:
    count = 0
    while size := size // TILE_WIDTH:
        count += size
    return count
