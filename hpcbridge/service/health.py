# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the ledger is alive: every thread at work or at rest, and the disk of the store takes a write.

The watchdog is fed only then. That members are silent, that the clock is not believed or that nobody reads what is sent is no reason to
start anew: the status line tells of it, and the figures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from hpcbridge.daemon.life import PULSE_SECONDS, Life, Pulse, WatchedPool, write_test
from hpcbridge.errors import StorageError
from hpcbridge.model.quantities import Instant

logger = logging.getLogger(__name__)

TEST_FILE = "write-test"
UNSEEN = "order"
"""The way from the proposer to the applier, by its name among the workers."""


class Health:
    """Keeps the signs of life of one service. `look` belongs to the program's main thread, the rest to any."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], Instant] = lambda: time.time_ns() // 1_000_000,
        limit_seconds: float = PULSE_SECONDS,
    ) -> None:
        self._test_file = directory / TEST_FILE
        self._clock = clock
        self._wall = wall
        self._limit_seconds = limit_seconds
        self._watched: list[Pulse | WatchedPool] = []
        self._unseen_seconds: Callable[[], float] = lambda: 0.0
        self._problem = ""
        self._looked = False
        self._fed_at: Instant | None = None
        self._said: tuple[str, ...] = ()

    def pulse(self, name: str) -> Pulse:
        """One more thread to watch."""
        made = Pulse(name, limit_seconds=self._limit_seconds, clock=self._clock)
        self._watched.append(made)
        return made

    def pool(self, name: str, threads: int) -> WatchedPool:
        """One more pool to watch."""
        made = WatchedPool(threads, name, limit_seconds=self._limit_seconds, clock=self._clock)
        self._watched.append(made)
        return made

    def watch_order(self, unseen_seconds: Callable[[], float]) -> None:
        """Where to ask how long a batch of ours has been on its way to the applier, whoever lost it."""
        self._unseen_seconds = unseen_seconds

    def look(self) -> bool:
        """Looks at everything and tries a write; True if the watchdog may be fed."""
        self._problem = ""
        try:
            write_test(self._test_file)
        except StorageError as error:
            self._problem = str(error)
        self._looked = True
        life = self.life()
        told = (*life.wedged, *filter(None, (life.problem,)))
        if told != self._said:
            if told:
                logger.error("ledger_not_well wedged=%s write=%s", ",".join(life.wedged) or "none", life.problem or "ok")
            else:
                logger.warning("ledger_well_again")
        self._said = told
        if life.is_well:
            self._fed_at = self._wall()
        return life.is_well

    def life(self) -> Life:
        """As it is now; the test write is that of the last `look`."""
        now = self._clock()
        wedged = [each.name for each in self._watched if each.is_wedged(now)]
        if self._unseen_seconds() > self._limit_seconds:
            wedged.append(UNSEEN)
        names = (*(each.name for each in self._watched), UNSEEN)
        return Life(workers=names, wedged=tuple(wedged), problem=self._problem, looked=self._looked, fed_at=self._fed_at)
