# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""OpenPBS's letters for job states, its exit statuses and its words for node states, and what they are in ours.

A letter or word that is in no table is not guessed at: it becomes UNDETERMINED (job) or UNKNOWN (node) and the caller reports it.
"""

from __future__ import annotations

from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.nodes import Availability

STATES: dict[str, JobState] = {
    "Q": JobState.QUEUED,
    "W": JobState.QUEUED,
    "T": JobState.QUEUED,
    "H": JobState.QUEUED_HELD,
    "R": JobState.RUNNING,
    "E": JobState.RUNNING,
    "S": JobState.SUSPENDED,
    "U": JobState.SUSPENDED,
    "M": JobState.UNDETERMINED,
}
"""Letters of jobs that have not ended (pbs_job_attributes(7B)); M was moved to another server, which alone knows what became of it."""

ENDED = frozenset({"F", "X"})
"""Letters of an end: a job in history, and a member of an array that is over while its array is not."""

BEGUN = "B"
"""The letter of an array of which a member has begun; never a job of its own."""

DELETED_SUBSTATE = "91"
"""JOB_SUBSTATE_TERMINATED: the server was asked to delete the job."""

_CANCELLED_STATUSES = frozenset({265, 271})
_TERMINATED = 143
_OF_THE_SCHEDULER: dict[int, Outcome] = {
    -4: Outcome.NODE_FAILED,
    -14: Outcome.NODE_FAILED,
    -19: Outcome.CANCELLED,
    -20: Outcome.NODE_FAILED,
    -26: Outcome.OUT_OF_MEMORY,
    -27: Outcome.OUT_OF_MEMORY,
    -28: Outcome.TIMEOUT,
    -29: Outcome.TIMEOUT,
}
"""Negative exit statuses that say more than that the job failed (the JOB_EXEC_ values of OpenPBS's own sources).

-4: aborted when its MOM started anew; -14, -20: a node of the job, its first node was lost (recorded: accounting of job 53, whose
node went down, says -14); -19: a hook asked for its deletion; -26, -27: over its vmem, mem; -28, -29: over its cput, walltime.
The others are failures to begin or to go on, and so FAILED: -1, -2, -3 could not be started; -5, -6, -7, -12, -15 checkpoint and
restart; -10, -13, -21, -23 identity, password, directory, Kerberos; -11 rerun although it may not; -16, -17, -18, -22 hooks;
-24, -25 over its ncpus; -30 could not join its nodes.
"""


def outcome_of(status: int | None, *, deleted: bool) -> Outcome:
    """How a job ended: `status` is its Exit_status, None if there is none because it never ran.

    `deleted` says that the server was asked to delete it. That makes 143, the signal of a deletion passed on by a shell, CANCELLED, and
    nothing else: who catches the signal and ends with a code or signal of its own has ended by itself. Success is a status of 0 alone:
    substate 92 means it only where the job ran at all (recorded: ended/18, a job whose dependency failed).
    """
    if status is None or status in _CANCELLED_STATUSES:
        return Outcome.CANCELLED
    if status < 0:
        return _OF_THE_SCHEDULER.get(status, Outcome.FAILED)
    if status == 0:
        return Outcome.COMPLETED
    return Outcome.CANCELLED if status == _TERMINATED and deleted else Outcome.FAILED


def was_deleted(*, substate: str, comment: str) -> bool:
    """True if the server says that somebody deleted the job; its comment names who, or only that it was."""
    return "terminated by " in comment or (substate == DELETED_SUBSTATE and comment.endswith("terminated"))


_UP = frozenset({"free", "busy", "job-busy", "job-exclusive", "resv-exclusive"})
_WAKING = frozenset({"provisioning", "wait-provisioning", "sleep", "powered-off", "powering-down", "powering-on"})
_LEAVING = frozenset({"offline", "maintenance"})
_DOWN = frozenset({"down", "stale", "unresolvable"})
_UNHEARD = frozenset({"state-unknown", "initializing"})
NODE_WORDS = _UP | _WAKING | _LEAVING | _DOWN | _UNHEARD
"""Words of a node's state, joined by commas (pbs_node_attributes(7B) and PBS Professional's reference). A node that is asleep or being
provisioned takes work: the scheduler wakes or provisions it for a job. One that is `state-unknown` or `initializing` has not yet
answered the server, which adds `down` where it gave it up."""

_NOT_FOR_ALL = frozenset({"resv-exclusive", "job-exclusive", "busy"}) | _WAKING


def node_availability(native_state: str, *, occupied: bool) -> tuple[Availability, bool]:
    """Whether a node takes work, from its words, and whether every one of them is known. A word nobody knows may mean anything."""
    words = frozenset(word.strip() for word in native_state.split(","))
    known = bool(words) and words <= NODE_WORDS
    if words & _DOWN:
        return Availability.DOWN, known
    if words & _LEAVING:
        return (Availability.DRAINING if occupied else Availability.DRAINED), known
    return (Availability.UP if known and not words & _UNHEARD else Availability.UNKNOWN), known


def kept_for_some(native_state: str) -> bool:
    """True for a node that is UP and whose free cores are not for everyone: reserved, exclusive to a job, busy otherwise or asleep."""
    return any(word.strip() in _NOT_FOR_ALL for word in native_state.split(","))
