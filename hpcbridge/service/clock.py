# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The clock of a proposer: wall time that cannot jump.

Time is the boot-time clock plus an offset that follows the wall clock. If the wall clock moved more than ten minutes against the boot-time
clock since the last batch, or stands more than 30 days ahead of the last entry at start, the proposer stops until a person said that the
wall clock is right (``hpcbridge-ledgerd accept-clock``): one jump must not expire everyone. What is expired meanwhile is judged by the
old offset. Order and replay are never decided by a clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hpcbridge.errors import HpcbridgeError, StorageError
from hpcbridge.identity.keystore import write_file
from hpcbridge.model.quantities import Instant, format_instant

logger = logging.getLogger(__name__)

MAX_MOVE_MS = 600_000
MAX_AHEAD_MS = 30 * 86_400_000
ACCEPTED_FILE = "clock-accepted"


class ClockMoved(HpcbridgeError):
    """The wall clock jumped; nothing is proposed until a person accepted it."""

    transient = True


def wall_clock() -> Instant:
    """What the machine believes the time to be."""
    return time.time_ns() // 1_000_000


def boot_clock() -> int:
    """Milliseconds since boot, suspended time included; nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class ProposerClock:
    """Gives the time of the next batch, or refuses. Safe to use from several threads."""

    def __init__(
        self,
        directory: Path,
        *,
        last_entry_at: Instant,
        wall: Callable[[], Instant] = wall_clock,
        boot: Callable[[], int] = boot_clock,
    ) -> None:
        self._accepted_file = directory / ACCEPTED_FILE
        self._wall = wall
        self._boot = boot
        self._lock = threading.Lock()
        ahead = wall() - last_entry_at
        # An untrusted start counts on from the last entry, so that nobody expires meanwhile.
        self._offset = (wall() if ahead <= MAX_AHEAD_MS else last_entry_at) - boot()
        self._refusing = False

    def now(self) -> Instant:
        """The time by which expiry is judged; it never jumps."""
        return self._boot() + self._offset

    def propose_at(self) -> Instant:
        """The time for a batch; ClockMoved while the wall clock is not to be believed."""
        wall, boot = self._wall(), self._boot()
        with self._lock:
            moved = wall - boot - self._offset
            if abs(moved) > MAX_MOVE_MS and not self._is_accepted(wall):
                self._report(wall, moved)
                raise ClockMoved(
                    f"the wall clock says {format_instant(wall)}, which is {moved // 1000} s away from what it should say",
                    hint="if it is right now: hpcbridge-ledgerd accept-clock",
                )
            self._offset = wall - boot
            self._refusing = False
            return wall

    def moved_ms(self) -> int:
        """How far the wall clock stands from where it should."""
        return self._wall() - self.now()

    @property
    def refuses(self) -> bool:
        """True while nothing is proposed because the wall clock jumped."""
        return self._refusing

    def _is_accepted(self, wall: Instant) -> bool:
        """A person's word counts once, and only for the time it was given at."""
        try:
            accepted_at = int(self._accepted_file.read_text("ascii"))
            self._accepted_file.unlink()
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise StorageError(f"{self._accepted_file}: {error}") from error
        accepted = abs(wall - accepted_at) <= MAX_MOVE_MS
        logger.warning("clock_accepted wall=%s used=%s", format_instant(wall), accepted)
        return accepted

    def _report(self, wall: Instant, moved: int) -> None:
        if not self._refusing:
            logger.error("clock_moved wall=%s moved_ms=%d waiting_for=accept-clock", format_instant(wall), moved)
        self._refusing = True


def accept_clock(directory: Path, at: Instant) -> None:
    """Leaves a person's word that `at` is the time, for the running service or the next start."""
    write_file(directory / ACCEPTED_FILE, str(at).encode(), mode=0o600)
