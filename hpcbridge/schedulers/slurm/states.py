# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Slurm's words for states, exit codes and node flags, and what they are in ours. Long words only.

A word that is in no table is not guessed at: it becomes UNDETERMINED (job) or UNKNOWN (node) and the caller reports it.
"""

from __future__ import annotations

import re

from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.nodes import Availability

STATES: dict[str, tuple[JobState, Outcome | None]] = {
    "PENDING": (JobState.QUEUED, None),
    "RUNNING": (JobState.RUNNING, None),
    "CONFIGURING": (JobState.RUNNING, None),
    "COMPLETING": (JobState.RUNNING, None),
    "SIGNALING": (JobState.RUNNING, None),
    "STAGE_OUT": (JobState.RUNNING, None),
    "RESIZING": (JobState.RUNNING, None),
    "SUSPENDED": (JobState.SUSPENDED, None),
    "STOPPED": (JobState.SUSPENDED, None),
    "REQUEUED": (JobState.REQUEUED, None),
    "REQUEUE_HOLD": (JobState.REQUEUED_HELD, None),
    "SPECIAL_EXIT": (JobState.REQUEUED_HELD, None),
    "COMPLETED": (JobState.DONE, Outcome.COMPLETED),
    "FAILED": (JobState.FAILED, Outcome.FAILED),
    "LAUNCH_FAILED": (JobState.FAILED, Outcome.FAILED),
    "RECONFIG_FAIL": (JobState.FAILED, Outcome.FAILED),
    "CANCELLED": (JobState.FAILED, Outcome.CANCELLED),
    "TIMEOUT": (JobState.FAILED, Outcome.TIMEOUT),
    "OUT_OF_MEMORY": (JobState.FAILED, Outcome.OUT_OF_MEMORY),
    "NODE_FAIL": (JobState.FAILED, Outcome.NODE_FAILED),
    "PREEMPTED": (JobState.FAILED, Outcome.PREEMPTED),
    "DEADLINE": (JobState.FAILED, Outcome.DEADLINE),
    "BOOT_FAIL": (JobState.FAILED, Outcome.BOOT_FAILED),
    "REVOKED": (JobState.FAILED, Outcome.REVOKED),
}
"""Job states of interfaces.md section 1, a flag joined by `+` or `,` is looked up in the same table.

Two words of squeue(1), JOB STATE CODES, are left out there and so become UNDETERMINED: RESV_DEL_HOLD and REQUEUE_FED.
"""

_HELD_REASONS = frozenset({"JobHeldUser", "JobHeldAdmin"})
# recorded: 22.05.8/zoo job 56 prints PENDING with this reason after `scontrol requeuehold`
_REQUEUED_HELD_REASONS = frozenset({"job requeued in held state", "launch failed requeued held", "JobHoldMaxRequeue"})
_CANCELLED_BY = re.compile(r" by \d+\Z")
_ALIVE_FLAGS = frozenset({"COMPLETING", "CONFIGURING", "SIGNALING", "STAGE_OUT", "RESIZING", "STOPPED"})
_NO_CODE = 0xFFFF_FFFE


def job_state(native_state: str, reason: str) -> tuple[JobState, Outcome | None, bool]:
    """Our state and outcome for Slurm's words, and whether the word is a known one.

    COMPLETING hides the base state and is not yet an end, also where a version prints both.
    """
    words = _CANCELLED_BY.sub("", native_state).replace(",", "+").split("+")
    known = all(word in STATES for word in words)
    if not known:
        return JobState.UNDETERMINED, None, False
    flags = [word for word in words[1:] if word in _ALIVE_FLAGS]
    state, outcome = STATES[flags[0] if flags else words[0]]
    if state is JobState.QUEUED:
        # scontrol joins the words of a reason by underscores (recorded: 22.05.8/fallback job 31)
        reason = reason.replace("_", " ")
        if reason in _HELD_REASONS:
            state = JobState.QUEUED_HELD
        elif reason in _REQUEUED_HELD_REASONS or "REQUEUE_HOLD" in words or "SPECIAL_EXIT" in words:
            state = JobState.REQUEUED_HELD
        elif "REQUEUED" in words:
            state = JobState.REQUEUED
    return state, outcome, True


def exit_of(native_state: str, text: str) -> tuple[int | None, int | None]:
    """Exit code and signal from `3:0` or a raw wait status such as 768 (squeue 22.05). ValueError for anything else.

    Both are None unless the job ended by itself: for kills squeue and sacct contradict each other (recorded: 26.05.5/zoo job 33
    is `0:15` in squeue, `0:0` in sacct), and a FAILED job without a code says nothing.
    """
    code, signal = _split_exit(text)
    if native_state == "COMPLETED":
        return (0, None) if code == 0 and signal == 0 else (None, None)
    if native_state != "FAILED" or (code == 0 and signal == 0):
        return None, None
    return (None, signal) if signal else (code, None)


def _split_exit(text: str) -> tuple[int, int]:
    if text in {"", "N/A"}:
        return 0, 0
    first, colon, second = text.partition(":")
    if not first.isdecimal() or len(first) > 10 or (colon and (not second.isdecimal() or len(second) > 10)):
        raise ValueError(f"{text[:40]!r} is not an exit code")
    if colon:
        code, signal = int(first), int(second)
    else:
        status = int(first)
        if status >= _NO_CODE:
            return 0, 0
        code, signal = status >> 8, status & 0x7F
    if code > 255 or signal > 128:
        raise ValueError(f"{text[:40]!r} is not an exit code")
    return code, signal


NODE_STATES = frozenset({"IDLE", "MIXED", "ALLOCATED", "DOWN", "ERROR", "FAIL", "FUTURE", "UNKNOWN", "DRAIN", "INVALID", "INVAL"})
"""Base states of a node (sinfo(1), NODE STATE CODES, and `scontrol show node`)."""

NODE_FLAGS = frozenset(
    {
        "BLOCKED", "CANCEL_REBOOT", "CLOUD", "COMPLETING", "DRAIN", "DYNAMIC_FUTURE", "DYNAMIC_NORM", "EXTERNAL", "FAIL",
        "INVALID_REG", "MAINTENANCE", "NOT_RESPONDING", "PERFCTRS", "PLANNED", "POWERED_DOWN", "POWERING_DOWN", "POWERING_UP",
        "POWER_DOWN", "POWER_DRAIN", "POWER_UP", "REBOOT_CANCEL", "REBOOT_ISSUED", "REBOOT_REQUESTED", "RESERVED", "RESUME",
        "UNDRAIN", "UPDATE",
    }
)  # fmt: skip
"""Flags after `+`. A node that is powered down to save energy takes work: Slurm starts it for a job."""

_SUFFIXES = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "%": "POWERING_DOWN",
    "!": "POWER_DOWN",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
}
_DEAD = frozenset({"INVALID_REG", "REBOOT_ISSUED"})
_SAVING_ENERGY = frozenset({"POWERED_DOWN", "POWERING_DOWN", "POWERING_UP", "POWER_UP"})
_LEAVING = frozenset({"DRAIN", "FAIL", "POWER_DRAIN"})
_NOT_FOR_ALL = frozenset({"MAINTENANCE", "RESERVED", "BLOCKED"})


def node_availability(native_state: str, *, cores_used: int | None) -> tuple[Availability, bool]:
    """Whether a node takes work, from its state with all flags, and whether every word of it is known.

    A flag nobody knows may mean anything, so such a node is not called UP.
    """
    base, flags = _base_and_flags(native_state)
    known = base in NODE_STATES and flags <= NODE_FLAGS
    silent = "NOT_RESPONDING" in flags and not flags & _SAVING_ENERGY
    if base in {"DOWN", "ERROR", "FUTURE", "INVALID"} or flags & _DEAD or silent:
        return Availability.DOWN, known
    if flags & _LEAVING or base in _LEAVING:
        occupied = bool(cores_used) or base in {"ALLOCATED", "MIXED"} or "COMPLETING" in flags
        return (Availability.DRAINING if occupied else Availability.DRAINED), known
    if not known or base == "UNKNOWN":
        return Availability.UNKNOWN, known
    return Availability.UP, known


def kept_for_some(native_state: str) -> bool:
    """True for a node that is UP but reserved, in maintenance or blocked by another job: its free cores are not for everyone."""
    return bool(_base_and_flags(native_state)[1] & _NOT_FOR_ALL)


def _base_and_flags(native_state: str) -> tuple[str, set[str]]:
    words = native_state.split("+")
    base, flags = words[0], set(words[1:])
    while base and base[-1] in _SUFFIXES:
        flags.add(_SUFFIXES[base[-1]])
        base = base[:-1]
    return base, flags
