# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of the store, how its file is opened, and what an SQLite error means to us.

One connection of one process writes; it holds a lock file from open to close. All others are `mode=ro`. Everything here runs on
SQLite 3.26 (Enterprise Linux 8).
"""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcbridge.errors import ConfigError, HpcbridgeError, IntegrityError, StorageError
from hpcbridge.ledger.damage import DAMAGED_HINT, check_failed

APPLICATION_ID = 0x48504342
"""`HPCB`, so that file(1) and we know the file."""
SCHEMA_VERSION = 1

TABLES = (
    "CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL)",
    (
        "CREATE TABLE number (submitter TEXT NOT NULL, epoch BLOB NOT NULL, sequence INTEGER NOT NULL, idx INTEGER NOT NULL,"
        " payload_hash BLOB NOT NULL, PRIMARY KEY (submitter, epoch, sequence)) WITHOUT ROWID"
    ),
    "CREATE TABLE tile (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL)",
    "CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    (
        "CREATE TABLE event (id INTEGER PRIMARY KEY, type TEXT NOT NULL, audience TEXT NOT NULL, audience_number INTEGER NOT NULL,"
        " subject TEXT NOT NULL, body BLOB NOT NULL)"
    ),
    "CREATE INDEX event_audience ON event (audience)",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)

COLUMN_TYPES = {
    "entry": {"leaf": "blob"},
    "number": {"submitter": "text", "epoch": "blob", "sequence": "integer", "idx": "integer", "payload_hash": "blob"},
    "tile": {"hashes": "blob"},
    "state": {"key": "text", "value": "blob"},
    "event": {"type": "text", "audience": "text", "audience_number": "integer", "subject": "text", "body": "blob"},
    "meta": {"key": "text", "value": "blob"},
}
"""What `typeof` must say; SQLite enforces no types, and a flipped bit in a row's header changes one."""

_NEWEST_NEEDED = "install the newer hpcbridge again, or restore the store of this version"


def connect_writer(path: Path, *, page_bytes: int = 8192) -> sqlite3.Connection:
    """The one read-write connection; ConfigError where the file system cannot do write-ahead logging."""
    connection = sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, check_same_thread=False, cached_statements=64)
    connection.execute(f"PRAGMA page_size={page_bytes}")
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        connection.close()
        raise ConfigError(f"{path}: SQLite cannot use a write-ahead log here ({mode})", hint="put the store on a local file system")
    for setting in (
        "synchronous=FULL",  # NORMAL lost acknowledged groups in power-cut tests
        "wal_autocheckpoint=4096",  # pages: 32 MiB, so that a page is copied back once for many groups
        "journal_size_limit=67108864",
        "cache_size=-49152",  # KiB; what is cold here is warm in the system's own cache, where it costs the process no memory
        "temp_store=MEMORY",
        "mmap_size=0",  # with memory mapping an input/output error is a signal instead of an error code
        "cell_size_check=ON",
    ):
        connection.execute(f"PRAGMA {setting}")
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(_uri(path, "ro"), uri=True, isolation_level=None, check_same_thread=False, cached_statements=64)
    for setting in ("query_only=ON", "cache_size=-16384", "mmap_size=0", "cell_size_check=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """Fills a fresh file, inside the caller's transaction."""
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    for statement in TABLES:
        connection.execute(statement)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """ConfigError for a file of another program or a newer version."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        raise ConfigError(f"{path} is not a ledger store", hint="look at [store] in ledgerd.toml; hpcbridge-ledgerd init makes a new one")
    if version > SCHEMA_VERSION:
        raise ConfigError(f"{path} has schema version {version}, this hpcbridge knows {SCHEMA_VERSION}", hint=_NEWEST_NEEDED)
    if version < SCHEMA_VERSION:
        raise check_failed("the header", f"schema version {version} never existed in {path}")


def check_file(connection: sqlite3.Connection) -> None:
    """SQLite's own check, the table definitions, and the type of every value; IntegrityError says which one failed."""
    findings = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    if findings != ["ok"]:
        raise check_failed("the file structure", f"{findings[0]}")
    if tuple(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")) != TABLES:
        raise check_failed("the table definitions", "they are not of this version")
    for table, columns in COLUMN_TYPES.items():
        wrong = " OR ".join(f"typeof({column}) <> '{type_}'" for column, type_ in columns.items())
        if connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():  # noqa: S608 - our own names
            raise check_failed("the value types", f"wrong in table {table}")


@contextmanager
def errors_while(doing: str, path: Path) -> Iterator[None]:
    """Turns what SQLite and the system raise into StorageError or IntegrityError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise error_of(error, doing, path) from error
    except UnicodeError as error:  # a damaged name of a table or column
        raise IntegrityError(f"{path}: {doing}: {error}", hint=DAMAGED_HINT) from error


def error_of(error: sqlite3.Error | OSError, doing: str, path: Path) -> HpcbridgeError:
    """IntegrityError where the bytes contradict each other, StorageError for everything else."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR if isinstance(error, sqlite3.Error) else None)
    contradiction = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR)
    if code is not None and code & 0xFF in contradiction:
        return IntegrityError(f"check of the file structure failed while {doing}: {path}: {error}", hint=DAMAGED_HINT)
    return StorageError(f"{path}: {doing}: {error}", hint="look at the disk and its free space; the next start verifies the store")


def _uri(path: Path, mode: str) -> str:
    return f"file:{urllib.parse.quote(str(path.absolute()))}?mode={mode}"
