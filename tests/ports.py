# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Ports for the servers that tests start, also when several tests run at once.

A port that is free now may be another one's a moment later: the kernel gives those of its range to any connection, and other tests ask
too. So ports are taken in turn, from a range that the kernel leaves alone; how far that has come stands in a file with a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path

FIRST, LAST = 18_000, 31_999
"""Below what Linux gives away by itself (`net.ipv4.ip_local_port_range` begins at 32768)."""


def free_ports(count: int) -> list[int]:
    """So many ports of the loopback address that nobody listens on and that were given to nobody else for thousands of turns."""
    path = Path(tempfile.gettempdir()) / f"hpcbridge-test-ports-{os.getuid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        found, last = _next_free(count, after=_last_given(descriptor))
        os.pwrite(descriptor, b"%d" % last, 0)
    finally:
        os.close(descriptor)
    return found


def _last_given(descriptor: int) -> int:
    with contextlib.suppress(ValueError):
        last = int(os.pread(descriptor, 5, 0))
        if FIRST <= last <= LAST:
            return last
    return LAST


def _next_free(count: int, *, after: int) -> tuple[list[int], int]:
    found: list[int] = []
    port = after
    for _ in range(LAST - FIRST + 1):
        port = FIRST if port >= LAST else port + 1
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found, port
    raise RuntimeError(f"no {count} free ports from {FIRST} to {LAST}")


def _is_free(port: int) -> bool:
    """True if a server could listen there, on the loopback address and on all."""
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
