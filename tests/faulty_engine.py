# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An engine in memory that uses all the freedom `Engine.submit` has: it loses, repeats, delays and reorders what is submitted."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

from hpcbridge.errors import IntegrityError, LedgerUnavailable
from hpcbridge.ledger.engine import Batch


class FaultyEngine:
    """Keeps its order as long as the object lives, as an engine outside of the replicas does."""

    def __init__(self, position: int = 0, *, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._first = position
        self._ordered: list[Batch] = []
        self._delayed: list[Batch] = []
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, batch: Batch) -> None:
        with self._changed:
            if self._closed:
                raise LedgerUnavailable("closed")
            self._delayed += [batch] * self._random.choices((0, 1, 2, 3), weights=(20, 60, 15, 5))[0]
            self._random.shuffle(self._delayed)
            for _ in range(self._random.randint(0, len(self._delayed))):
                self._ordered.append(self._delayed.pop())
            self._changed.notify_all()

    def follow(self, position: int) -> Iterator[tuple[int, Batch]]:
        while True:
            with self._changed:
                while not self._closed and self._first + len(self._ordered) <= position:
                    self._changed.wait()
                if position < self._first:
                    raise IntegrityError("trimmed")
                if self._first + len(self._ordered) <= position:
                    return
                batch = self._ordered[position - self._first]
            position += 1
            yield position, batch

    def trim(self, position: int) -> None:
        with self._changed:
            if position > self._first + len(self._ordered):
                raise IntegrityError("never reached")
            del self._ordered[: max(0, position - self._first)]
            self._first = max(self._first, position)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
