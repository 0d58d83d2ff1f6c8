# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Read-only connections to the store for the service's own reader threads: one each, opened when first needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from hpcbridge.ledger.records import Seen
from hpcbridge.ledger.store import StoreReader


class Readers:
    """Gives every thread its own connection. All of them are closed together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: list[StoreReader] = []

    def reader(self) -> StoreReader:
        """The connection of the calling thread."""
        reader: StoreReader | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = StoreReader.open(self._path)
            self._own.reader = reader
            with self._lock:
                self._open.append(reader)
        return reader

    def close(self) -> None:
        """Closes what was opened; no thread may read any more."""
        with self._lock:
            for reader in self._open:
                reader.close()
            self._open.clear()


class ReadState:
    """The contract's and the fold's view of a store as it is now."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def get(self, key: str) -> bytes | None:
        """Value of a key, None if it has none."""
        return self._reader.state(key)

    def scan(self, start: str, stop: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """At most `limit` keys with start ≤ key < stop and their values, in order of key."""
        return self._reader.scan(start, stop, limit)

    def number(self, submitter: str, epoch: bytes, sequence: int) -> Seen | None:
        """The entry that consumed a number; None if it is free."""
        return self._reader.number(submitter, epoch, sequence)
