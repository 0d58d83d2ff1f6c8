# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One supervised thread that repeats one step until it is told to stop.

What a step raises decides what happens: a transient error, or one nobody foresaw, makes the worker pause and try again; an error
of ours that is not transient ends the worker and is handed over, because only a person can help. Nothing else here catches.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from hpcbridge.daemon.pacing import Pace
from hpcbridge.errors import HpcbridgeError

logger = logging.getLogger(__name__)

_ROUNDING = 1e-6


class Phase(StrEnum):
    """What a worker is doing."""

    IDLE = "IDLE"
    """Not started."""
    WORKING = "WORKING"
    """In its step."""
    RESTING = "RESTING"
    """Between steps, all well."""
    PAUSED = "PAUSED"
    """Between steps after a failure."""
    BROKEN = "BROKEN"
    """After many failures in a row: tries rarely."""
    ENDED = "ENDED"
    """Stopped, or given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker as a screen or a metric shows it. `beat_at` is monotonic time; None is what is not known before the first step.

    `interval_seconds` is how often it is meant to act, `next_after_seconds` what lies between the beginnings of the last step and of the
    next; `slow` says that this is longer because of the load of the last step.
    """

    name: str
    phase: Phase
    beat_at: float
    steps: int
    failures: int
    last_took_seconds: float | None
    last_error: str | None
    interval_seconds: float = 0.0
    next_after_seconds: float | None = None
    slow: bool = False


class Worker:
    """Owns a thread that calls `step` at its pace. `wake` and `hurry` may be called from any thread, `beat` and `recovered` from within
    the step.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], None],
        *,
        pace: Pace,
        stopping: threading.Event,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        give_up: Callable[[Worker, HpcbridgeError], None],
        limit_seconds: float = 60.0,
        load: Callable[[], float] | None = None,
    ) -> None:
        """`clock` is monotonic, `jitter` returns 0 to 1; `limit_seconds` is the longest a step may go without a beat; `load` tells how
        many seconds the last step kept others busy.
        """
        self.name = name
        self._step = step
        self._pace = pace
        self._stopping = stopping
        self._clock = clock
        self._jitter = jitter
        self._give_up = give_up
        self._limit_seconds = limit_seconds
        self._load = load
        self._changed = threading.Condition()
        self._woken = False
        self._hurried = False
        self._thread: threading.Thread | None = None
        self._phase = Phase.IDLE
        self._beat_at = clock()
        self._expected_by = self._beat_at + limit_seconds
        self._steps = 0
        self._failures = 0
        self._last_took: float | None = None
        self._last_error: str | None = None
        self._next_after: float | None = None
        self._slow = False

    def start(self) -> None:
        """Starts the thread, also again after it died."""
        if self.is_alive():
            return
        self.beat()
        # A daemon thread: a step that hangs in a system call must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """True while the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, seconds: float) -> bool:
        """Waits for the end of the thread; True if it has ended."""
        if self._thread is not None:
            self._thread.join(max(seconds, 0.0))
        return not self.is_alive()

    def wake(self) -> None:
        """There is work, or the stop event was set: act now, unless the worker pauses after a failure."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def hurry(self) -> None:
        """A person asks: act now, even in a pause."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def act_every(self, seconds: float) -> None:
        """Another interval, from now on."""
        self._pace = replace(self._pace, interval_seconds=seconds)
        self.wake()

    def beat(self) -> None:
        """Sign of life; a step that lasts calls it at least every `limit_seconds`."""
        self._beat_at = self._clock()
        self._expected_by = self._beat_at + self._limit_seconds

    def recovered(self) -> None:
        """From within a step that lasts, once it has got through: what failed before is over, though the step has not ended."""
        if self._failures:
            logger.info("worker_recovered worker=%s failures=%d", self.name, self._failures)
            self._failures = 0
            self._last_error = None
        self.beat()

    def is_wedged(self, now: float) -> bool:
        """True if a beat is overdue at `now` (monotonic). A worker that rests, pauses or was stopped is not wedged."""
        return self.is_alive() and now > self._expected_by

    def status(self) -> WorkerStatus:
        """A copy of what the worker knows of itself."""
        return WorkerStatus(
            name=self.name,
            phase=self._phase,
            beat_at=self._beat_at,
            steps=self._steps,
            failures=self._failures,
            last_took_seconds=self._last_took,
            last_error=self._last_error,
            interval_seconds=self._pace.interval_seconds,
            next_after_seconds=self._next_after,
            slow=self._slow,
        )

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                rest = self._act()
                if rest is None:
                    return
                self._rest(rest)
        finally:
            self._phase = Phase.ENDED

    def _act(self) -> float | None:
        with self._changed:
            self._woken = self._hurried = False
        self.beat()
        self._phase = Phase.WORKING
        began = self._clock()
        try:
            self._step()
        except HpcbridgeError as error:
            if not error.transient:
                self._last_error = str(error)
                self._give_up(self, error)
                return None
            return self._failed(error, self._clock() - began)
        except Exception as error:
            logger.exception("worker_error worker=%s error=%s", self.name, type(error).__name__)
            return self._failed(error, self._clock() - began)
        return self._succeeded(self._clock() - began)

    def _succeeded(self, took: float) -> float:
        if self._failures:
            logger.info("worker_recovered worker=%s failures=%d", self.name, self._failures)
        self._steps += 1
        self._failures = 0
        self._last_error = None
        self._last_took = took
        self._phase = Phase.RESTING
        load = self._load() if self._load else None
        return self._noted(took, load, self._pace.rest_after_success(took, load))

    def _failed(self, error: Exception, took: float) -> float:
        self._failures += 1
        self._last_error = str(error) or type(error).__name__
        self._last_took = took
        load = self._load() if self._load else None
        rest = self._pace.rest_after_failure(took, load, failures=self._failures, jitter=self._jitter())
        self._noted(took, load, rest)
        broken = self._pace.is_broken(self._failures)
        self._phase = Phase.BROKEN if broken else Phase.PAUSED
        news = self._failures in (1, self._pace.breaks_after)
        level = logging.WARNING if news and not self._stopping.is_set() else logging.DEBUG
        logger.log(
            level,
            "worker_failed worker=%s failures=%d breaker=%s retry_in=%.1fs error=%r",
            self.name,
            self._failures,
            "open" if broken else "closed",
            rest,
            self._last_error[:500],
        )
        return rest

    def _noted(self, took: float, load: float | None, rest: float) -> float:
        self._next_after = took + rest
        stretched = self._pace.stretched_seconds(took, load)
        self._slow = stretched > self._pace.interval_seconds and stretched >= took + rest - _ROUNDING
        return rest

    def _rest(self, seconds: float) -> None:
        self._expected_by = self._clock() + seconds + self._limit_seconds
        with self._changed:
            self._changed.wait_for(self._is_called, timeout=seconds)

    def _is_called(self) -> bool:
        return self._stopping.is_set() or self._hurried or (self._woken and self._failures == 0)
