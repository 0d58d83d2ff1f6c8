# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The door to systemd: readiness, status and watchdog over its notification socket.

Uses systemd-python where it is installed (distributions ship it for their own Python only) and else speaks the protocol of
sd_notify(3) itself, which is one datagram. Never raises: a daemon works the same without systemd. Never blocks either: the library would
wait, with Python's lock held, for a manager that does not read, and the whole daemon with it; so it is called only when the socket
takes a datagram at once.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Mapping
from types import ModuleType

try:
    from systemd import daemon as _daemon  # type: ignore[attr-defined,unused-ignore]
except ImportError:
    _daemon = None

logger = logging.getLogger(__name__)

_library: ModuleType | None = _daemon


class Notifier:
    """Speaks to the service manager that `environment` names; silent if it names none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._is_own_environment = environment is os.environ
        self.watchdog_seconds = _watchdog_seconds(environment)

    def ready(self) -> None:
        """The daemon has started; with Type=notify, units after it may start."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The daemon reads its configuration again; `ready` says when it has. The time is what Type=notify-reload asks for."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """The daemon is alive; must come within every `watchdog_seconds`."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The daemon is shutting down."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with _connected(self._address) as connection:
                if _library is None or not self._is_own_environment:
                    connection.send(state.encode())
                elif _takes_a_datagram(connection):
                    _library.notify(state)
        except OSError as error:
            logger.debug("notify_failed state=%s error=%s", state.partition("=")[0], error)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Interval of the watchdog; None if there is none, or it is meant for another process (sd_watchdog_enabled(3))."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if process and process != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000


def _connected(address: str) -> socket.socket:
    if address[0] not in "/@":
        raise OSError(f"NOTIFY_SOCKET {address[:100]!r} is neither a path nor abstract")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(0)
        # A leading @ stands for the zero byte of Linux's abstract namespace, see unix(7).
        connection.connect("\0" + address[1:] if address[0] == "@" else address)
    except OSError:
        connection.close()
        raise
    return connection


def _takes_a_datagram(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    return bool(poll.poll(0))
