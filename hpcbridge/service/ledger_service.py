# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger service as one object: opens the ledger, owns the threads and the event loop, and ends all of them together.

The first thing that goes wrong with our own bytes, disk or threads ends everything: no signature, no answer after it. `failure` says what
it was, and the program ends with its exit status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from hpcbridge.config import LedgerConfig
from hpcbridge.errors import ConfigError, HpcbridgeError, StorageError
from hpcbridge.ledger.engines import ENGINES
from hpcbridge.model.quantities import Instant
from hpcbridge.service.clock import ProposerClock, boot_clock, wall_clock
from hpcbridge.service.health import Health
from hpcbridge.service.metrics import Figures
from hpcbridge.service.opening import OpenLedger, open_ledger
from hpcbridge.service.running import Running
from hpcbridge.wire.credentials import check_libraries

logger = logging.getLogger(__name__)

END_SECONDS = 80.0


class LedgerService:
    """The whole service in this process. `start` returns when it serves, `stop` when everything is stored and closed."""

    def __init__(self, config: LedgerConfig, *, wall: Callable[[], Instant] = wall_clock, boot: Callable[[], int] = boot_clock) -> None:
        self._config = config
        self.health = Health(config.store.directory)
        self._wall = wall
        self._boot = boot
        self._running: Running | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._failure: HpcbridgeError | None = None
        self._failure_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked: asyncio.Event | None = None
        self.on_end: Callable[[], None] = lambda: None

    @property
    def failure(self) -> HpcbridgeError | None:
        """Why the service stopped by itself; None if it did not."""
        return self._failure

    @property
    def addresses(self) -> tuple[str, str]:
        """Where it listens: ledger and enrolment, host:port."""
        if self._running is None:
            raise HpcbridgeError("the service is not running")
        return self._running.addresses

    def status_line(self) -> str:
        """One line for the service manager."""
        if self._running is None:
            return "stopped"
        return "; ".join(filter(None, (self.health.life().complaint(), self._running.status_line())))

    def figures(self) -> Figures | None:
        """Everything that is counted, from any thread; None while the service does not serve."""
        return None if self._running is None else self._running.figures()

    def start(self) -> None:
        """Opens, verifies, signs what was stored and not yet signed, and serves; raises what is in the way."""
        check_libraries()
        if self._config.engine.name not in ENGINES:
            raise ConfigError(f"[engine] name: {self._config.engine.name!r} is not one of {', '.join(ENGINES)}")
        ledger = open_ledger(self._config.store.directory)
        self._thread = threading.Thread(target=self._run, args=(ledger,), name="ledger-loop")
        self._thread.start()
        while not self._ready.wait(0.5) and not self._ended.is_set():
            pass
        if self._failure is not None:
            self._thread.join(END_SECONDS)
            raise self._failure

    def stop(self) -> None:
        """Takes nothing more, stores and signs what was taken, answers, and closes everything."""
        self._ask_to_stop()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the service has ended; True if it has."""
        return self._ended.wait(seconds)

    def fail(self, error: HpcbridgeError) -> None:
        """Ends the service because of `error`; the first one counts. From any thread."""
        with self._failure_lock:
            if self._failure is not None:
                return
            self._failure = error
        logger.critical("ledger_stopped reason=%s family=%s hint=%s", error, type(error).__name__, error.hint)
        self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        loop, asked = self._loop, self._stop_asked
        if loop is not None and asked is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed: it has ended already
                loop.call_soon_threadsafe(asked.set)

    def _run(self, ledger: OpenLedger) -> None:
        try:
            asyncio.run(self._serve(ledger))
        except HpcbridgeError as error:
            self.fail(error)
        finally:
            if not self._ready.is_set() and self._failure is None:
                self.fail(HpcbridgeError("the service ended before it served"))
            if not isinstance(self._failure, StorageError):
                # After an input/output error the handles are not used again: closing would write through them.
                ledger.close()
            self._ended.set()
            self.on_end()

    async def _serve(self, ledger: OpenLedger) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_asked = asyncio.Event()
        clock = ProposerClock(self._config.store.directory, last_entry_at=ledger.last_at, wall=self._wall, boot=self._boot)
        running = Running(self._config, ledger, fail=self.fail, clock=clock, health=self.health)
        try:
            await running.start()
            self._running = running
            self._ready.set()
            logger.info("ledger_serving size=%d address=%s enrolment=%s", ledger.tree.size, *running.addresses)
            await self._stop_asked.wait()
        finally:
            await running.stop(orderly=self._failure is None)
