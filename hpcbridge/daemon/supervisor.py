# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Owns the workers of a daemon: starts them, watches their heartbeats, tells systemd, and stops them in order.

The watchdog is fed only while no worker is wedged and the daemon's own check (a test write) succeeds. That a ledger or scheduler is
down is not a failure of life: workers that pause are well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from hpcbridge.daemon.life import Life
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.signals import RELOAD_SIGNAL, StopSignals
from hpcbridge.daemon.systemd import Notifier
from hpcbridge.daemon.worker import Worker, WorkerStatus
from hpcbridge.errors import HpcbridgeError
from hpcbridge.model.quantities import Instant

logger = logging.getLogger(__name__)

CHECK_SECONDS = 20.0
"""How often life is checked where no watchdog says it."""
MOST_RESTARTS = 10
"""A worker whose thread dies this often without an error we know is a fault of the program."""


class Supervisor:
    """Runs workers until a stop signal, `request_stop`, or an error that no worker can repair."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        notifier: Notifier,
        check: Callable[[], None] = lambda: None,
        status: Callable[[], str] = lambda: "",
        reload: Callable[[], None] | None = None,
        stop_seconds: float = 20.0,
        tick_seconds: float = 1.0,
        wall: Callable[[], Instant] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`clock` is monotonic, `wall` tells people when all was well. `check` raises if the process should not be thought alive; `status`
        is one line for systemctl; `reload` reads the configuration again, at SIGHUP, and raises what is wrong with it.
        """
        self.stopping = threading.Event()
        self._clock = clock
        self._jitter = jitter
        self._notifier = notifier
        self._check = check
        self._status = status
        self._reload = reload
        self._stop_seconds = stop_seconds
        self._tick_seconds = tick_seconds
        self._wall = wall
        self._workers: list[Worker] = []
        self._restarts: dict[str, int] = {}
        self._known_wedged: frozenset[str] = frozenset()
        self._shown = ""
        self._next_check = clock()
        self._problem = ""
        self._looked = False
        self._fed_at: Instant | None = None
        self._error: HpcbridgeError | None = None
        self._error_lock = threading.Lock()
        self._signals: StopSignals | None = None

    def add(
        self,
        name: str,
        step: Callable[[], None],
        *,
        pace: Pace,
        limit_seconds: float = 60.0,
        load: Callable[[], float] | None = None,
    ) -> Worker:
        """A new worker, started by `run`. `limit_seconds`: the longest its step may go without a beat; `load`: as for Worker."""
        worker = Worker(
            name,
            step,
            pace=pace,
            stopping=self.stopping,
            clock=self._clock,
            jitter=self._jitter,
            give_up=self._given_up,
            limit_seconds=limit_seconds,
            load=load,
        )
        self._workers.append(worker)
        return worker

    def run(self, *, handle_signals: bool = True) -> int:
        """Runs until stopped; the exit status for the process. With `handle_signals` it must be called in the main thread."""
        with StopSignals(handle=handle_signals, reload=self._reload is not None) as signals:
            self._signals = signals
            for worker in self._workers:
                worker.start()
            self._notifier.ready()
            logger.info("started workers=%d", len(self._workers))
            while not self.stopping.is_set():
                self._look_after(self._clock())
                received = signals.wait(self._tick_seconds)
                if received == RELOAD_SIGNAL:
                    self._load_again()
                elif received is not None:
                    logger.info("stop_requested signal=%s", received.name)
                    self.request_stop()
            return self._shut_down()

    def request_stop(self, error: HpcbridgeError | None = None) -> None:
        """Stops in order, from any thread; the first error given decides the exit status."""
        with self._error_lock:
            self._error = self._error or error
        self.stopping.set()
        if self._signals is not None:
            self._signals.poke()

    @property
    def error(self) -> HpcbridgeError | None:
        """What made the process stop, if anything did."""
        return self._error

    def wedged(self, now: float) -> tuple[Worker, ...]:
        """Workers whose beat is overdue at `now` (monotonic)."""
        return tuple(worker for worker in self._workers if worker.is_wedged(now))

    def statuses(self) -> tuple[WorkerStatus, ...]:
        """All workers as a screen shows them."""
        return tuple(worker.status() for worker in self._workers)

    def life(self) -> Life:
        """What the watchdog is fed by."""
        wedged = tuple(worker.name for worker in self.wedged(self._clock()))
        names = tuple(worker.name for worker in self._workers)
        return Life(workers=names, wedged=wedged, problem=self._problem, looked=self._looked, fed_at=self._fed_at)

    def _given_up(self, worker: Worker, error: HpcbridgeError) -> None:
        logger.critical(
            "worker_gave_up worker=%s error=%s exit_status=%d message=%r hint=%r",
            worker.name,
            type(error).__name__,
            error.exit_status,
            str(error)[:500],
            error.hint,
        )
        self.request_stop(error)

    def _load_again(self) -> None:
        self._notifier.reloading()
        try:
            if self._reload is not None:
                self._reload()
        except HpcbridgeError as error:
            logger.error("reload_refused nothing_changed message=%r hint=%r", str(error)[:500], error.hint)  # noqa: TRY400 - a typing error
        self._notifier.ready()

    def _look_after(self, now: float) -> None:
        self._restart_dead()
        wedged = self.wedged(now)
        self._tell_wedged(wedged)
        self._show_status()
        if now < self._next_check:
            return
        # Three times per watchdog interval: one lost datagram or one slow tick must not end the process.
        self._next_check = now + (self._notifier.watchdog_seconds or 3 * CHECK_SECONDS) / 3
        written = self._can_write()
        if written and not wedged:
            self._fed_at = self._wall()
            self._notifier.watchdog()

    def _restart_dead(self) -> None:
        for worker in self._workers:
            if worker.is_alive() or self.stopping.is_set():
                continue
            restarts = self._restarts[worker.name] = self._restarts.get(worker.name, 0) + 1
            if restarts > MOST_RESTARTS:
                self.request_stop(HpcbridgeError(f"worker {worker.name} died {restarts} times", hint="see the journal; please report it"))
                return
            logger.error("worker_died worker=%s restarts=%d", worker.name, restarts)
            worker.start()

    def _tell_wedged(self, wedged: tuple[Worker, ...]) -> None:
        names = frozenset(worker.name for worker in wedged)
        for name in sorted(names - self._known_wedged):
            logger.error("worker_wedged worker=%s", name)
        for name in sorted(self._known_wedged - names):
            logger.warning("worker_unwedged worker=%s", name)
        self._known_wedged = names

    def _show_status(self) -> None:
        text = "; ".join(filter(None, (self.life().complaint(), self._status())))
        if text != self._shown:
            self._shown = text
            self._notifier.status(text)

    def _can_write(self) -> bool:
        self._looked, self._problem = True, ""
        try:
            self._check()
        except (HpcbridgeError, OSError) as error:
            self._problem = str(error)[:500] or type(error).__name__
            logger.error("check_failed error=%r", self._problem)  # noqa: TRY400 - the traceback of a full disk helps nobody
        return not self._problem

    def _shut_down(self) -> int:
        self._notifier.stopping()
        for worker in self._workers:
            worker.wake()
        deadline = self._clock() + self._stop_seconds
        late = [worker.name for worker in self._workers if not worker.join(deadline - self._clock())]
        if late:
            logger.error("stop_incomplete workers=%s after=%.0fs", ",".join(late), self._stop_seconds)
        status = self._error.exit_status if self._error else int(bool(late))
        logger.info("stopped exit_status=%d", status)
        return status
