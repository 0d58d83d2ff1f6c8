# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How long something took, counted in buckets for whoever draws it."""

from __future__ import annotations

import threading
from bisect import bisect_left

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds: from a disk with a battery to one that is about to fail."""


class Durations:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """One more."""
        with self._lock:
            self._counts[bisect_left(BOUNDS, seconds)] += 1
            self._seconds += seconds

    def counted(self) -> tuple[list[tuple[str, float]], float]:
        """How many took at most so long, by bound, and all their seconds together."""
        with self._lock:
            counts, total = list(self._counts), self._seconds
        reached = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
            reached += count
            buckets.append((bound, float(reached)))
        return buckets, total
