# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Processes of this host as jobs: what /proc/PID/stat says of one, and its record in the standard JSON.

Of a process its command name is told and never its arguments, which may hold secrets. `cores` is known only where the process is
bound to some of the CPUs; memory and GPUs are allocated to nobody here, so they are not known. An end is told with the wait status
that the kernel gave, and as UNDETERMINED where it gave none: signal 15 looks the same whoever sent it, so nothing is CANCELLED.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbridge.model.quantities import Instant, format_instant
from hpcbridge.schedulers.local.exits import Exit

QUEUE = "local"
NO_STATUS = "it ended, and the kernel told nobody its exit status"
UNCOLLECTED = "ended, but its parent has not taken its exit status yet"
ZOMBIE = frozenset("ZXx")
_STATES = {**dict.fromkeys("RSDIKWP", "RUNNING"), **dict.fromkeys("Tt", "SUSPENDED"), **dict.fromkeys("ZXx", "RUNNING")}
"""Letters of proc(5), /proc/PID/stat. A zombie is RUNNING until its outcome is known."""

_STAT = re.compile(rb"(\d+) \((.*)\) (\S) ([-\d ]+)\Z", re.DOTALL)
_SESSION, _START, _EXIT_CODE = 2, 18, 48
"""Places behind the state: fields 6, 22 and 52 of proc(5)."""


@dataclass(frozen=True, slots=True)
class Stat:
    """One process as /proc/PID/stat shows it. `started_ticks` counts from the boot, so with `pid` it names one process for good."""

    pid: int
    command: bytes
    letter: str
    session: int
    started_ticks: int
    wait_status: int

    @property
    def key(self) -> tuple[int, int]:
        """What tells this process from another that gets the same number later."""
        return self.pid, self.started_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob:
    """A session leader of a watched owner, as it was seen last; `exit` once it is over."""

    pid: int
    owner: str
    command: bytes
    letter: str
    cores: int | None
    node: str
    started_at: Instant
    exit: Exit | None = None


def read_stat(pid: int) -> Stat | None:
    """What is known of a process now; None if there is none with this number."""
    try:
        match = _STAT.match(Path(f"/proc/{pid}/stat").read_bytes().rstrip())
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not match:
        raise OSError(f"/proc/{pid}/stat is not in the known form")
    numbers = match.group(4).split()
    return Stat(
        pid=int(match.group(1)),
        command=match.group(2),
        letter=match.group(3).decode("ascii", "replace"),
        session=int(numbers[_SESSION]),
        started_ticks=int(numbers[_START]),
        wait_status=int(numbers[_EXIT_CODE]),
    )


def zombie_status(stat: Stat) -> int | None:
    """The wait status of a zombie; None where the kernel hides it from us, which it does by printing 0.

    /proc/PID/io is readable by the same rule (proc(5): PTRACE_MODE_READ_FSCREDS), so it tells a true 0 from a hidden one.
    """
    if stat.wait_status:
        return stat.wait_status
    try:
        Path(f"/proc/{stat.pid}/io").read_bytes()
    except OSError:
        return None
    again = read_stat(stat.pid)
    return 0 if again is not None and again.key == stat.key and again.wait_status == 0 else None


def job_as_json(job: LocalJob, *, now: Instant) -> Mapping[str, Any]:
    """The standard record of a job as of `now`."""
    ended_at = None if job.exit is None else job.exit.ended_at
    until = now if job.exit is None else ended_at
    wall = None if until is None or until < job.started_at else (until - job.started_at) // 1000
    return {
        "job_id": str(job.pid),
        **_state_of(job),
        "owner": job.owner,
        "queue": QUEUE,
        "name": job.command.decode("utf-8", "surrogateescape"),
        "cores": job.cores,
        "nodes": [job.node],
        "submitted_at": format_instant(job.started_at),
        "started_at": format_instant(job.started_at),
        "ended_at": None if ended_at is None else format_instant(ended_at),
        "wall_seconds": wall,
        "restarts": 0,
    }


def _state_of(job: LocalJob) -> Mapping[str, Any]:
    if job.exit is None:
        reason = UNCOLLECTED if job.letter in ZOMBIE else None
        return {"state": _STATES.get(job.letter, "UNDETERMINED"), "native_state": job.letter, "reason": reason}
    status = job.exit.wait_status
    if status is None:
        return {"state": "UNDETERMINED", "reason": NO_STATUS}
    if status & 0x7F:
        return {"state": "FAILED", "outcome": "FAILED", "native_state": f"signal {status & 0x7F}", "exit_signal": status & 0x7F}
    code = (status >> 8) & 0xFF
    if code:
        return {"state": "FAILED", "outcome": "FAILED", "native_state": f"exit {code}", "exit_code": code}
    return {"state": "DONE", "outcome": "COMPLETED", "native_state": "exit 0", "exit_code": 0}
