# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The door to systemd: readiness, status and watchdog over its notification socket.

Uses systemd-python where it is installed (distributions ship it for their own Python only) and else speaks the protocol of
sd_notify(3) itself, which is one datagram. Never raises: a daemon works the same without systemd.
"""

from __future__ import annotations

import logging
import os
import socket
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
            if _library is not None and self._is_own_environment:
                _library.notify(state)
            else:
                _send_datagram(self._address, state)
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


def _send_datagram(address: str, state: str) -> None:
    if address[0] not in "/@":
        raise OSError(f"NOTIFY_SOCKET {address[:100]!r} is neither a path nor abstract")
    # A leading @ stands for the zero byte of Linux's abstract namespace, see unix(7).
    target = "\0" + address[1:] if address[0] == "@" else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(0)
        connection.sendto(state.encode(), target)
