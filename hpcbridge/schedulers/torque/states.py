# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""TORQUE's letters for job states, its exit statuses and its words for nodes, and what they are in ours.

A letter or word that is in no table is not guessed at: it becomes UNDETERMINED (job) or UNKNOWN (node) and the caller reports it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.schedulers.pbs import split_exit_status

STATES: dict[str, JobState] = {
    "Q": JobState.QUEUED,
    "W": JobState.QUEUED,
    "T": JobState.QUEUED,
    "H": JobState.QUEUED_HELD,
    "R": JobState.RUNNING,
    "E": JobState.RUNNING,
    "S": JobState.SUSPENDED,
}
"""Job states of interfaces.md section 1 (qstat(1B), "state"). The other one, C, is an end: see `end_of`."""

COMPLETE = "C"
_DELETED = 271
_OVER_WALLTIME = -11
_OVER_CPU_TIME = -12
_OVER_LIMIT = -10
_FIRST_WITH_KINDS_OF_LIMIT = 3


@dataclass(frozen=True, slots=True)
class End:
    """How a job ended; UNDETERMINED where that cannot be told."""

    state: JobState
    outcome: Outcome | None
    exit_code: int | None = None
    exit_signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What else is known of a job that ended: whether it reached its limits, and the `release` of TORQUE, if known."""

    over_walltime: bool = False
    over_memory: bool = False
    release: int | None = None


def end_of(status: int | None, evidence: Evidence) -> End:
    """The end that an exit status stands for (manual, "Job exit status").

    Without one the job was deleted: before it ran, in the queue after a rerun (which leaves its `exec_host`), or purged (`qdel -p`).
    """
    if status is None:
        return End(JobState.FAILED, Outcome.CANCELLED)
    if status == 0:
        return End(JobState.DONE, Outcome.COMPLETED, 0)
    code, signal = split_exit_status(status)
    if status == _DELETED:
        return End(JobState.FAILED, Outcome.CANCELLED, None, signal)
    if status in (_OVER_WALLTIME, _OVER_CPU_TIME):
        return End(JobState.FAILED, Outcome.TIMEOUT)
    if status == _OVER_LIMIT:
        return End(JobState.FAILED, _limit_of(evidence))
    return End(JobState.FAILED, Outcome.FAILED, code, signal)


def _limit_of(evidence: Evidence) -> Outcome:
    """-10 is any limit up to 2.5 and memory later, where walltime and CPU time have numbers of their own (recorded: -11 on 4.2, 6.1)."""
    if evidence.release is not None:
        return Outcome.OUT_OF_MEMORY if evidence.release >= _FIRST_WITH_KINDS_OF_LIMIT else Outcome.TIMEOUT
    if evidence.over_walltime:
        return Outcome.TIMEOUT
    return Outcome.OUT_OF_MEMORY if evidence.over_memory else Outcome.FAILED


_TAKES_WORK = frozenset({"free", "job-exclusive", "job-sharing", "busy", "reserve", "time-shared"})
_NODE_WORDS = _TAKES_WORK | {"offline", "down", "state-unknown", "unknown"}
"""Words of pbsnodes(8B), "node states". Busy is a load the node itself finds too high; reserve waits for a job that needs many nodes."""


def node_availability(native_state: str, *, occupied: bool) -> tuple[Availability, bool]:
    """Whether a node takes work, from the words of its state, and whether all of them are known. `occupied`: jobs are left on it."""
    words = {word.strip() for word in native_state.split(",")}
    known = words <= _NODE_WORDS
    if "down" in words:
        return Availability.DOWN, known
    if "offline" in words:
        return (Availability.DRAINING if occupied else Availability.DRAINED), known
    if words <= _TAKES_WORK:
        return Availability.UP, True
    return Availability.UNKNOWN, known
