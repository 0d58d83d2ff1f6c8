# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for SIGTERM, SIGINT and SIGHUP without locks.

A Python signal handler runs between two instructions of the main thread, also while that thread holds the lock of an Event; setting
the Event there can wait for ever. So the C handler writes to a socket (`signal.set_wakeup_fd`) and the main thread polls it.
"""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD_SIGNAL = signal.SIGHUP
_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


class StopSignals:
    """While entered (main thread only), `wait` returns early on one of the signals or a `poke`; the handlers before are restored after."""

    def __init__(self, *, handle: bool = True, reload: bool = False) -> None:
        """`handle` False leaves the process's signals alone: only `poke` then ends a wait. `reload` adds SIGHUP to those that do."""
        self._signals = STOP_SIGNALS | ({RELOAD_SIGNAL} if reload else frozenset())
        self._handle = handle
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._former: dict[signal.Signals, _Handler] = {}
        self._former_descriptor = -1

    def __enter__(self) -> Self:
        if self._handle:
            self._former_descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            self._former = {number: signal.signal(number, _do_nothing) for number in self._signals}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handle:
            for number, handler in self._former.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._former_descriptor)
        self.close()

    def close(self) -> None:
        """Closes the sockets."""
        self._reader.close()
        self._writer.close()

    def poke(self) -> None:
        """Ends a wait from any thread."""
        try:
            self._writer.send(b"\0")
        except OSError:  # full: a wait ends anyway; closed: nobody waits
            return

    def wait(self, seconds: float) -> signal.Signals | None:
        """Waits at most so long; the signal that came, if one did. A stop counts before a reload."""
        if not self._poll.poll(max(seconds, 0.0) * 1000):
            return None
        numbers = set(self._reader.recv(4096))
        return next((number for number in (*STOP_SIGNALS, RELOAD_SIGNAL) if number in numbers), None)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Stands in the place of the default, which would end the process; the wake-up socket carries the news."""
