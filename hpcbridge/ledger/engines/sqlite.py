# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The engine of a ledger with one replica: a queue in this process.

It keeps nothing on disk. A batch becomes durable in the commit with which the store takes its entries, so there is one fsync; what was
queued and not stored when the process ended is gone, as `submit` warns, and its submitters send it again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from hpcbridge.errors import IntegrityError, LedgerUnavailable
from hpcbridge.ledger.engine import Batch

DEFAULT_CAPACITY = 1024
"""Batches that may wait between `submit` and `trim`."""


class SqliteEngine:
    """Orders batches as they come. `position` is where the store stands: the next batch gets the one after it."""

    def __init__(self, position: int = 0, *, capacity: int = DEFAULT_CAPACITY) -> None:
        self._trimmed = position
        self._capacity = capacity
        self._batches: deque[Batch] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, batch: Batch) -> None:
        """Never waits: LedgerUnavailable if the queue is full or closed."""
        with self._changed:
            if self._closed:
                raise LedgerUnavailable("the ledger is going down")
            if len(self._batches) >= self._capacity:
                raise LedgerUnavailable(f"{self._capacity} batches wait to be stored")
            self._batches.append(batch)
            self._changed.notify_all()

    def follow(self, position: int) -> Iterator[tuple[int, Batch]]:
        """See `Engine.follow`."""
        while True:
            with self._changed:
                while not self._closed and self._last() <= position:
                    self._changed.wait()
                if position < self._trimmed:
                    raise IntegrityError(f"the engine has forgotten what followed position {position}, it begins after {self._trimmed}")
                if self._last() <= position:
                    return
                batch = self._batches[position - self._trimmed]
            position += 1
            yield position, batch

    def trim(self, position: int) -> None:
        """Makes room; see `Engine.trim`."""
        with self._changed:
            if position > self._last():
                raise IntegrityError(f"position {position} was never reached, the engine is at {self._last()}")
            while self._trimmed < position:
                self._batches.popleft()
                self._trimmed += 1

    def close(self) -> None:
        """See `Engine.close`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _last(self) -> int:
        return self._trimmed + len(self._batches)
