# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs in the standard schema: DRMAA2 states, the paper's phases, and how a job ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import MAX_INSTANT, Instant

_JOB_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+%,:\[\]-]{0,127}\Z")
_PARSED_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+%,:\[\]-]{0,65535}\Z")


class JobState(StrEnum):
    """Where a job stands, in DRMAA2's words."""

    UNDETERMINED = "UNDETERMINED"
    """The scheduler said nothing, or something we do not know."""
    QUEUED = "QUEUED"
    """Waits and may start."""
    QUEUED_HELD = "QUEUED_HELD"
    """Waits and may not start until somebody releases it."""
    RUNNING = "RUNNING"
    """Holds resources, ending included as long as its outcome is not final."""
    SUSPENDED = "SUSPENDED"
    """Started and stopped for the moment."""
    REQUEUED = "REQUEUED"
    """Ran before and waits again."""
    REQUEUED_HELD = "REQUEUED_HELD"
    """Ran before and is held."""
    DONE = "DONE"
    """Ended with COMPLETED."""
    FAILED = "FAILED"
    """Ended in any other way."""

    @property
    def phase(self) -> Phase | None:
        """QUEUE, RUN or END; None for UNDETERMINED."""
        return _PHASE[self]

    @property
    def ended(self) -> bool:
        """True for DONE and FAILED."""
        return self is JobState.DONE or self is JobState.FAILED


class Phase(StrEnum):
    """The paper's three phases."""

    QUEUE = "QUEUE"
    """Waits."""
    RUN = "RUN"
    """Holds or held resources and has not ended."""
    END = "END"
    """Is over; its outcome is known."""


_PHASE: dict[JobState, Phase | None] = {
    JobState.UNDETERMINED: None,
    JobState.QUEUED: Phase.QUEUE,
    JobState.QUEUED_HELD: Phase.QUEUE,
    JobState.RUNNING: Phase.RUN,
    JobState.SUSPENDED: Phase.RUN,
    JobState.REQUEUED: Phase.QUEUE,
    JobState.REQUEUED_HELD: Phase.QUEUE,
    JobState.DONE: Phase.END,
    JobState.FAILED: Phase.END,
}


class Outcome(StrEnum):
    """How a job ended."""

    COMPLETED = "COMPLETED"
    """By itself, with exit code 0."""
    FAILED = "FAILED"
    """By itself with another exit code, or by a signal nobody of the site sent."""
    CANCELLED = "CANCELLED"
    """By its owner or an administrator."""
    TIMEOUT = "TIMEOUT"
    """Its time limit was reached."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """It used more memory than it may."""
    NODE_FAILED = "NODE_FAILED"
    """One of its nodes failed."""
    PREEMPTED = "PREEMPTED"
    """A more important job took its place."""
    DEADLINE = "DEADLINE"
    """It could not end before its deadline."""
    BOOT_FAILED = "BOOT_FAILED"
    """Its nodes could not be made ready."""
    REVOKED = "REVOKED"
    """A sibling in another cluster of a federation took over."""
    LOST = "LOST"
    """The contract gave it up: vanished, and unresolved for longer than `lost_after`."""


@dataclass(frozen=True, slots=True, order=True)
class JobKey:
    """What names one run of a job: schedulers use ids again, so the agent counts incarnations from 1."""

    cluster: str
    job_id: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.cluster}/{self.job_id}#{self.incarnation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as its scheduler described it. Unknown is None, never 0 and never a guess.

    `cores`, `gpus`, `memory_bytes` are totals over the job: requested while it waits, allocated once it runs. `cores` counts
    what the scheduler allocates (its CPUs). A pending range of an array is one record with its count in `array_pending`.
    `incarnation` is None only in what a parser returns.
    """

    cluster: str
    job_id: str
    incarnation: int | None = None
    array_job_id: str | None = None
    array_index: int | None = None
    array_pending: int | None = None
    het_job_id: str | None = None
    het_index: int | None = None
    state: JobState
    outcome: Outcome | None = None
    native_state: str = ""
    reason: str | None = None
    owner: str | None = None
    account: str | None = None
    queue: str | None = None
    name: str | None = None
    cores: int | None = None
    gpus: int | None = None
    gpu_type: str | None = None
    memory_bytes: int | None = None
    nodes: tuple[str, ...] = ()
    submitted_at: Instant | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    wall_seconds: int | None = None
    walltime_limit_seconds: int | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    restarts: int | None = None

    @property
    def phase(self) -> Phase | None:
        """The paper's phase, from `state`."""
        return self.state.phase


MAX_COUNT = 1 << 40
"""Above every count a scheduler can mean."""
MAX_BYTES = 1 << 62
"""Above every memory size."""
TEXT_LIMITS = {
    "native_state": 64,
    "reason": 256,
    "owner": 64,
    "account": 64,
    "queue": 64,
    "name": 256,
    "gpu_type": 64,
}
"""Most characters of each free text of a job."""
_COUNTS = ("array_pending", "cores", "gpus", "wall_seconds", "walltime_limit_seconds", "restarts", "array_index", "het_index")

_TIMES = ("submitted_at", "started_at", "ended_at")
_SHORTEST_LIMIT = min(TEXT_LIMITS.values())
_texts_of, _counts_of, _times_of = attrgetter(*TEXT_LIMITS), attrgetter(*_COUNTS), attrgetter(*_TIMES)


def validate_job(job: Job) -> None:
    """Raises ValueError, naming the field, for a job no honest parser produces.

    Checked at the two doors where jobs enter: the end of a parser and the decoding of a signed body. The ledger does it for every change
    it takes, so what is usual is passed without naming fields, and only what is not is looked at again by name.
    """
    pattern = _PARSED_ID if job.incarnation is None else _JOB_ID  # a scheduler prints a pending range in full length
    if not pattern.match(job.job_id):
        raise ValueError(f"job_id {job.job_id[:60]!r} is not an id")
    if not job.cluster or len(job.cluster) > 40:
        raise ValueError(f"cluster {job.cluster[:60]!r} is not a name")
    if job.incarnation is not None and not 1 <= job.incarnation < MAX_COUNT:
        raise ValueError(f"incarnation {job.incarnation} is out of range")
    if (job.outcome is not None) is not job.state.ended:
        raise ValueError(f"outcome {job.outcome} does not fit state {job.state}")
    if (job.state is JobState.DONE) is not (job.outcome is Outcome.COMPLETED):
        raise ValueError(f"outcome {job.outcome} does not fit state {job.state}")
    for text in _texts_of(job):
        if text is not None and (len(text) > _SHORTEST_LIMIT or not is_printable(text)):
            _check_texts(job)
    for count in _counts_of(job):
        if count is not None and not 0 <= count < MAX_COUNT:
            _check_counts(job)
    if job.memory_bytes is not None and not 0 <= job.memory_bytes <= MAX_BYTES:
        raise ValueError(f"memory_bytes {job.memory_bytes} is out of range")
    for moment in _times_of(job):
        if moment is not None and not 0 <= moment <= MAX_INSTANT:
            raise ValueError(f"time {moment} is out of range")
    if job.exit_code is not None and not -1024 <= job.exit_code <= 1024:
        raise ValueError(f"exit_code {job.exit_code} is out of range")
    if job.exit_signal is not None and not 1 <= job.exit_signal <= 128:
        raise ValueError(f"exit_signal {job.exit_signal} is out of range")


def _check_texts(job: Job) -> None:
    for (field, limit), text in zip(TEXT_LIMITS.items(), _texts_of(job), strict=True):
        if text is not None and (len(text) > limit or not is_printable(text)):
            raise ValueError(f"{field} is longer than {limit} characters or holds unprintable ones")


def _check_counts(job: Job) -> None:
    for field, count in zip(_COUNTS, _counts_of(job), strict=True):
        if count is not None and not 0 <= count < MAX_COUNT:
            raise ValueError(f"{field} {count} is out of range")
