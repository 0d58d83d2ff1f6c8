# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""State letters of Grid Engine (sge_status(5), qstat(1)) and what its accounting calls `failed`.

A state is a set of letters: `dRr` is a job that ran before, runs and is to be deleted. One letter that is not known makes the whole
state unknown, `z` among them: a job that is over without saying how is asked for in accounting.
"""

from __future__ import annotations

from functools import lru_cache

from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.nodes import Availability

JOB_LETTERS = {
    "q": "waits",
    "w": "waits",
    "h": "is held",
    "E": "is held because starting it failed",
    "r": "runs",
    "t": "is being handed to its node",
    "R": "was restarted",
    "d": "is to be deleted",
    "s": "was suspended by a person",
    "S": "is suspended with its queue",
    "T": "is suspended because a load threshold was passed",
}
INSTANCE_LETTERS = {
    "u": "does not answer",
    "a": "a load threshold is passed",
    "A": "a suspend threshold is passed",
    "C": "suspended by a calendar",
    "s": "suspended by a person",
    "S": "suspended by a queue that goes first",
    "d": "disabled by a person",
    "D": "disabled by a calendar",
    "E": "out of use after an error",
    "c": "its configuration is ambiguous",
    "o": "orphaned: deleted while jobs were left",
    "P": "preempted",
}
_CLOSED = frozenset("CsSdDEcoP")
_WAITING, _STARTED, _STOPPED = frozenset("qw"), frozenset("rt"), frozenset("sST")

AGAIN = frozenset({24, 25})
"""Codes of `failed` for a run that goes on elsewhere: migrating, rescheduled (exit 99, qmod -r, a node that was given up)."""
NEVER_BEGAN = frozenset({*range(1, 12), *range(26, 37), 38})
"""Codes of `failed` for a start that failed: the job went back to the queue, waiting or in error, and has not ended by this."""
_TIME_LIMIT = 37
_AFTER_JOB = 100
_USR1 = 10
_MAX_SIGNAL = 64
_SIGNAL_OFFSET = 128


@lru_cache(maxsize=4096)
def job_state(letters: str) -> tuple[JobState, bool]:
    """The state, and whether the letters are known."""
    found = frozenset(letters)
    if len(found) != len(letters) or not found <= JOB_LETTERS.keys():
        return JobState.UNDETERMINED, False
    if found & _WAITING:
        if found & (_STARTED | _STOPPED):
            return JobState.UNDETERMINED, False
        held, again = bool(found & {"h", "E"}), "R" in found
        if again:
            return (JobState.REQUEUED_HELD if held else JobState.REQUEUED), True
        return (JobState.QUEUED_HELD if held else JobState.QUEUED), True
    if "E" in found:
        return JobState.UNDETERMINED, False
    if found & _STOPPED:
        return JobState.SUSPENDED, True
    return (JobState.RUNNING, True) if found & _STARTED else (JobState.UNDETERMINED, False)


def is_being_deleted(letters: str) -> bool:
    """True for a job that somebody has asked to delete."""
    return job_state(letters)[1] and "d" in letters


def takes_work(letters: str) -> bool:
    """True for a queue instance that may be given jobs; one that is merely overloaded may again in a moment."""
    return not (_CLOSED | {"u"}) & frozenset(letters)


def node_availability(states: list[str], *, in_use: bool) -> tuple[Availability, bool]:
    """Availability of a node from the letters of its queue instances, and whether all letters are known."""
    known = frozenset("".join(states)) <= INSTANCE_LETTERS.keys()
    if any("u" in letters for letters in states):
        return Availability.DOWN, known
    if not known:
        return Availability.UNKNOWN, False
    if any(takes_work(letters) for letters in states):
        return Availability.UP, True
    return (Availability.DRAINING if in_use else Availability.DRAINED), True


def end_of(failed: int, exit_status: int) -> tuple[JobState, Outcome] | None:
    """How a run ended according to accounting; None for a record that is not an end, because the job went back to the queue."""
    if failed in AGAIN or failed in NEVER_BEGAN:
        return None
    if failed == 0 and exit_status == 0:
        return JobState.DONE, Outcome.COMPLETED
    if failed == _TIME_LIMIT or (failed == _AFTER_JOB and exit_status == _SIGNAL_OFFSET + _USR1):
        return JobState.FAILED, Outcome.TIMEOUT
    return JobState.FAILED, Outcome.FAILED


def exit_of(failed: int, exit_status: int) -> tuple[int | None, int | None]:
    """Exit code and signal (accounting(5): 128 is added to a signal). With a failure that is not the job's own, 0 is no exit code."""
    if _SIGNAL_OFFSET < exit_status <= _SIGNAL_OFFSET + _MAX_SIGNAL:
        return None, exit_status - _SIGNAL_OFFSET
    if failed and not exit_status:
        return None, None
    return exit_status, None
