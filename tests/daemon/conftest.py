# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A clock that is set by hand, and a socket that listens as systemd does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


class Clock:
    """Monotonic seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self.socket.settimeout(10)

    def next(self) -> str:
        return self.socket.recv(4096).decode()

    def wait_for(self, message: str) -> list[str]:
        """All messages up to and with `message`."""
        seen = [self.next()]
        while seen[-1] != message:
            seen.append(self.next())
        return seen


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()
