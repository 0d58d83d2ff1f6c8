# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The door to psutil: vitals of the frontend and of our own process. What cannot be read is None, never 0."""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from hpcbridge.model.clusters import Frontend


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessVitals:
    """What our own process uses: resident memory, threads, open file descriptors."""

    resident_bytes: int | None
    threads: int | None
    open_files: int | None


def read_frontend() -> Frontend:
    """Load average of the last minute and memory that programs cannot get any more."""
    return Frontend(load_hundredths=_load_hundredths(), memory_used_bytes=_memory_used_bytes())


def read_process() -> ProcessVitals:
    """Our own process, now."""
    try:
        process = psutil.Process()
        with process.oneshot():
            return ProcessVitals(
                resident_bytes=process.memory_info().rss,
                threads=process.num_threads(),
                open_files=process.num_fds(),
            )
    except (psutil.Error, OSError):
        return ProcessVitals(resident_bytes=None, threads=None, open_files=None)


def count_connections() -> Mapping[int, int] | None:
    """Open TCP connections of our own process by their port on this side; None if the system does not tell."""
    try:
        process = psutil.Process()
        ask = getattr(process, "net_connections", None) or process.connections  # its name before psutil 6
        found = ask(kind="tcp")
    except (psutil.Error, OSError):
        return None
    return Counter(each.laddr.port for each in found if each.status == psutil.CONN_ESTABLISHED)


def forbid_core_dumps() -> None:
    """From now on no crash of this process or its children leaves memory, and with it private keys, on a disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _load_hundredths() -> int | None:
    try:
        return int(os.getloadavg()[0] * 100)
    except OSError:
        return None


def _memory_used_bytes() -> int | None:
    try:
        memory = psutil.virtual_memory()
    except (psutil.Error, OSError):
        return None
    return memory.total - memory.available
