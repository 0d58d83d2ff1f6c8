# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How processes that are not our children end: when, and with which status where the kernel tells.

A file descriptor of a process (pidfd_open(2)) becomes readable at the moment it ends, and belongs to that process for good, whoever
gets its number afterwards. Linux 6.15 and later tell its wait status through it once its parent has taken it (linux/pidfd.h,
PIDFD_GET_INFO with PIDFD_INFO_EXIT), to every user. Before that, and on older kernels, /proc/PID/stat of a zombie tells it to the
same user and to root. What neither tells is not known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hpcbridge.model.quantities import Instant

MAX_WATCHED = 256
"""A program may have 1,024 open files unless it is told otherwise."""

_INFO_BYTES = 64
_INFO_EXIT = 1 << 3
_EXIT_CODE_AT = 60
_GET_INFO = (3 << 30) | (_INFO_BYTES << 16) | (0xFF << 8) | 11
"""_IOWR(0xFF, 11, struct pidfd_info) in the first size of that structure."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process. `ended_at` is None if nobody watched, `wait_status` if the kernel does not tell."""

    ended_at: Instant | None
    wait_status: int | None


class Exits:
    """Owns a file descriptor for each watched process and one thread that notes when they end. Close it."""

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._watched: dict[int, int] = {}
        self._ended_at: dict[int, Instant | None] = {}
        self._epoll = select.epoll()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._stop, select.EPOLLIN)
        self._thread: threading.Thread | None = None

    def watch(self, pid: int) -> int | None:
        """A handle for a process that is there now; None where it cannot be watched. Check afterwards that it is the one meant."""
        with self._lock:
            if len(self._watched) >= MAX_WATCHED:
                return None
            try:
                handle = os.pidfd_open(pid)
            except OSError:
                return None
            self._watched[handle] = pid
            if _is_over(handle):
                self._ended_at[handle] = None  # a zombie; nobody saw when
            self._epoll.register(handle, select.EPOLLIN | select.EPOLLONESHOT)
            if self._thread is None:
                self._thread = threading.Thread(target=self._note_ends, name="local exits", daemon=True)
                self._thread.start()
            return handle

    def look(self, handle: int) -> Exit | None:
        """The end of a watched process; None while it runs."""
        if not _is_over(handle):
            return None
        now = self._clock()
        with self._lock:
            return Exit(self._ended_at.setdefault(handle, now), _status_of(handle))

    def drop(self, handle: int) -> None:
        """Watches a process no more."""
        with self._lock:
            if self._watched.pop(handle, None) is not None:
                self._ended_at.pop(handle, None)
                with contextlib.suppress(OSError):
                    self._epoll.unregister(handle)
                os.close(handle)

    def close(self) -> None:
        """Ends the thread and closes every handle."""
        os.eventfd_write(self._stop, 1)
        if self._thread is not None:
            self._thread.join()
        for handle in list(self._watched):
            self.drop(handle)
        self._epoll.close()
        os.close(self._stop)

    def _note_ends(self) -> None:
        while True:
            for handle, _ in self._epoll.poll():
                if handle == self._stop:
                    return
                now = self._clock()
                with self._lock:
                    if handle in self._watched:
                        self._ended_at.setdefault(handle, now)


def _is_over(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


def _status_of(handle: int) -> int | None:
    info = bytearray(_INFO_BYTES)
    struct.pack_into("=Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(handle, _GET_INFO, info)
    except OSError:
        return None
    mask: int = struct.unpack_from("=Q", info, 0)[0]
    status: int = struct.unpack_from("=i", info, _EXIT_CODE_AT)[0]
    return status if mask & _INFO_EXIT else None
