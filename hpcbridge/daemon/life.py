# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Signs of life: threads that say when they work, pools that note since when, a file that is written to see whether the disk takes it.

Whoever waits for work is well, however long; whoever works longer on one piece than it may is wedged.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from hpcbridge.errors import StorageError
from hpcbridge.model.quantities import Instant

PULSE_SECONDS = 60.0
"""Longest that one piece of work of a thread may take: a disk that is slow is no reason to end the process, one that hangs is."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a daemon knows of its own health: all workers, those that are wedged, and why the test write failed ("" if it did not, or was
    not tried). `fed_at` is when all was last well, None if it never was.
    """

    workers: tuple[str, ...]
    wedged: tuple[str, ...]
    problem: str
    looked: bool
    fed_at: Instant | None

    @property
    def is_well(self) -> bool:
        """True if the watchdog may be fed."""
        return self.looked and not self.wedged and not self.problem

    def complaint(self) -> str:
        """For the status line; empty if all is well."""
        wedged = f"wedged: {', '.join(self.wedged)}" if self.wedged else ""
        written = f"test write failed: {self.problem}" if self.problem else ""
        return "; ".join(filter(None, (wedged, written)))


class Pulse:
    """One thread's sign of life. `beat` and `rest` belong to that thread, the rest to any."""

    def __init__(self, name: str, *, limit_seconds: float, clock: Callable[[], float]) -> None:
        self.name = name
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._expected_by: float | None = None

    def beat(self) -> None:
        """Working; the next beat or rest comes within the limit."""
        self._expected_by = self._clock() + self._limit_seconds

    def rest(self) -> None:
        """Waits for work, for as long as it takes."""
        self._expected_by = None

    def is_wedged(self, now: float) -> bool:
        """True if a beat is overdue at `now` (monotonic)."""
        expected_by = self._expected_by
        return expected_by is not None and now > expected_by


class WatchedPool(ThreadPoolExecutor):
    """Threads for short pieces of work; wedged while one of them takes longer than the limit."""

    def __init__(self, threads: int, name: str, *, limit_seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(threads, name)
        self.name = name
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._began: dict[int, float] = {}

    def submit(self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Future[Result]:
        """As of every executor."""
        return super().submit(self._timed, fn, *args, **kwargs)

    def is_wedged(self, now: float) -> bool:
        """True if a piece of work is overdue at `now` (monotonic)."""
        return any(now > began + self._limit_seconds for began in tuple(self._began.values()))

    def _timed(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        own = threading.get_ident()
        self._began[own] = self._clock()
        try:
            return work(*args, **kwargs)
        finally:
            del self._began[own]


def write_test(path: Path) -> None:
    """Writes a few bytes and waits for the disk; StorageError if it does not take them."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, b"written to see whether it can be\n", 0)
            os.fdatasync(descriptor)
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
