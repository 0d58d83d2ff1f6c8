# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Notifications over real datagram sockets."""

from __future__ import annotations

import os
import types
from typing import Any

import pytest

from hpcbridge.daemon import systemd
from hpcbridge.daemon.systemd import Notifier


def say_everything(notifier: Notifier) -> None:
    notifier.ready()
    notifier.status("2 jobs, 0 waiting")
    notifier.watchdog()
    notifier.stopping()


EVERYTHING = ["READY=1", "STATUS=2 jobs, 0 waiting", "WATCHDOG=1", "STOPPING=1"]


def test_socket_with_a_path(manager: Any) -> None:
    say_everything(Notifier(manager.environment))
    assert [manager.next() for _ in range(4)] == EVERYTHING


def test_abstract_socket(manager: Any) -> None:
    abstract = type(manager)(f"@hpcbridge-test-{os.getpid()}")
    say_everything(Notifier(abstract.environment))
    assert [abstract.next() for _ in range(4)] == EVERYTHING
    abstract.socket.close()


def test_status_cannot_smuggle_another_message(manager: Any) -> None:
    Notifier(manager.environment).status("a job named x\nWATCHDOG=1\r\n")
    assert manager.next() == "STATUS=a job named x WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "relative", "@nobody-listens-here", "/" + "x" * 200])
def test_without_systemd_nothing_happens(address: str) -> None:
    say_everything(Notifier({"NOTIFY_SOCKET": address} if address else {}))


def test_full_socket_does_not_block(manager: Any) -> None:
    notifier = Notifier(manager.environment)
    for _ in range(10_000):
        notifier.watchdog()
    assert manager.next() == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_watchdog_interval(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environment).watchdog_seconds == seconds


def test_library_is_used_where_it_is_installed(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    library = types.ModuleType("systemd.daemon")
    library.notify = heard.append  # type: ignore[attr-defined]
    monkeypatch.setattr(systemd, "_library", library)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.environment["NOTIFY_SOCKET"])
    say_everything(Notifier(os.environ))
    assert heard == EVERYTHING


def test_a_manager_that_does_not_read_does_not_freeze_the_daemon(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd-python waits for room in the socket and holds the interpreter's lock meanwhile."""
    from systemd import daemon as library  # type: ignore[attr-defined,unused-ignore]

    monkeypatch.setattr(systemd, "_library", library)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.environment["NOTIFY_SOCKET"])
    notifier = Notifier(os.environ)
    for _ in range(10_000):
        notifier.watchdog()
    assert manager.next() == "WATCHDOG=1"
