# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Compares what a scheduler says now with what was last seen: which changes to tell, and which jobs vanished. Pure.

Absence is never an end: a job that is gone comes back as vanished, to be asked for in accounting. A job id that is used again is a
new incarnation, known by its submit time; a requeue keeps the incarnation, though Slurm gives it a new submit time. A pending range
of an array is one record under the key `<array_job_id>_[]`; it shrinks, and leaves with a count of 0 and without an end.

What is only told along with something else, because it changes without anything happening: the time a job has run, and reason and
native state of a job that waits or runs.

Schedulers differ in what they say of a live job. Slurm gives a requeued job a new submit time and counts its restarts, the PBS family
and Grid Engine keep the submit time. Grid Engine prints the submit time of waiting jobs only, and counts no restarts: what was seen once
is kept.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hpcbridge.model.jobs import Job, JobState, Phase
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import NodeChange

VANISHED = "vanished"
"""Reason of what the scheduler no longer lists and accounting does not know."""

_TOLD = operator.attrgetter(
    "state", "outcome", "owner", "account", "queue", "name", "cores", "gpus", "gpu_type", "memory_bytes", "nodes", "submitted_at",
    "started_at", "ended_at", "walltime_limit_seconds", "exit_code", "exit_signal", "restarts", "array_pending",
)  # fmt: skip
_WORDS = operator.attrgetter("native_state", "reason")


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job as it was last reported (its `incarnation` is None), the incarnation it has here, and whether the ledger is told of it.

    `reported` is the parser's own object where `job` says more than it, to recognise it in the next report.
    """

    job: Job
    incarnation: int
    published: bool
    reported: Job | None = None


@dataclass(frozen=True, slots=True)
class GoneJob:
    """What is remembered of an id that left the report: enough to notice that it is used again."""

    incarnation: int
    submitted_at: Instant | None
    published: bool
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingJob:
    """A job that vanished before its end was seen. `told` once it was published as UNDETERMINED.

    `seen_at` is the time of the last report it stood in, None where the daemon was restarted since; `lately` says that no outage lies
    between that report and the one it was missing in.
    """

    job: Job
    incarnation: int
    published: bool
    since_at: Instant
    next_at: Instant
    asked: int = 0
    told: bool = False
    seen_at: Instant | None = None
    lately: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """Id and incarnation."""
        return self.job.job_id, self.incarnation


@dataclass(frozen=True, slots=True)
class JobMemory:
    """All that is remembered between two reports: jobs in the last one, jobs that vanished, and (only as asked for) ids that are gone.

    `reported_at` is the time of the last report, None where that is not known; a longer gap than `gap_ms` to the next one is an outage.
    """

    live: Mapping[str, SeenJob]
    missing: Mapping[tuple[str, int], MissingJob] = field(default_factory=dict)
    gone: Mapping[str, GoneJob] = field(default_factory=dict)
    reported_at: Instant | None = None
    gap_ms: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A job as the ledger is to be told of it: what was observed, and as which incarnation of its id."""

    job: Job
    incarnation: int
    observed_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class JobComparison:
    """What a report means: changes to tell, in its order, and how the memory of jobs is to change. `kept` changes it in memory only:
    nothing happened to these jobs, but the parser made new objects of them.
    """

    changes: tuple[Told, ...]
    seen: Mapping[str, SeenJob]
    gone: Mapping[str, GoneJob]
    vanished: tuple[MissingJob, ...]
    found: tuple[tuple[str, int], ...]
    kept: Mapping[str, SeenJob]


def compare_jobs(
    memory: JobMemory,
    report: Mapping[str, Job],
    *,
    at: Instant,
    wanted: Callable[[Job], bool],
    unreadable: Iterable[str] = (),
) -> JobComparison:
    """Compares a whole, readable report with the memory. `report` comes from `by_key`; `wanted` says whose jobs are published;
    `unreadable` names jobs that are in the report but could not be read, and so have not vanished.
    """
    work = _Comparing(memory, at=at, wanted=wanted)
    for key, job in report.items():
        work.meet(key, job)
    present = set(unreadable)
    for key, seen in memory.live.items():
        if key not in report and key not in present:
            work.miss(key, seen)
    return work.result()


def by_key(jobs: Iterable[Job], unreadable: Iterable[str] = ()) -> tuple[dict[str, Job], frozenset[str]]:
    """Jobs under the ids they have in agent and ledger, and keys of which nothing can be said although they are there.

    Pending ranges of one array are one record with the sum of their counts. A range that ended before it began (cancelled) is no
    record: it leaves. One whose count the scheduler did not print has not left, but there is nothing to tell of it; nor is there of one
    of which a part is among the `unreadable` ids.
    """
    report: dict[str, Job] = {}
    uncounted: set[str] = set()
    hidden: set[str] = set()
    for job_id in unreadable:
        array, certain = _range_of(job_id)
        if not certain:
            hidden.add(job_id)
        if array is not None:
            (uncounted if certain else hidden).add(key_of_range(array))
    for job in jobs:
        if not is_range(job):
            report[job.job_id] = job
            continue
        if job.state.ended:
            continue
        key = key_of_range(job.array_job_id)
        if job.array_pending is None:
            uncounted.add(key)
        elif key in report:
            report[key] = dataclasses.replace(report[key], array_pending=(report[key].array_pending or 0) + job.array_pending)
        else:
            report[key] = dataclasses.replace(job, job_id=key)
    for key in uncounted:
        report.pop(key, None)
    return report, frozenset(uncounted | (hidden - report.keys()))


def _range_of(job_id: str) -> tuple[str | None, bool]:
    """The array of which this id, as a scheduler prints it, is a pending range, and whether it cannot be anything else.

    Slurm prints `25_[2-9%2]`, the PBS family `25[]`, Grid Engine `29.7,10` or `29.4-10:2`, and `29.7` for a member as for a range of one.
    """
    array, slurm, _ = job_id.partition("_[")
    if slurm:
        return array, True
    if job_id.endswith("[]"):
        return job_id[:-2], True
    array, _, members = job_id.partition(".")
    if members and not members.strip("0123456789,:-"):
        return array, not members.isdecimal()
    return None, False


def is_range(job: Job) -> bool:
    """True for members of an array that have no record of their own: still pending, or ended together before they began."""
    return job.array_job_id is not None and job.array_index is None


def key_of_range(array_job_id: str | None) -> str:
    """The key under which agent and ledger know the pending range of an array."""
    return f"{array_job_id}_[]"


def is_same_run(old: Job, new: Job) -> bool:
    """True if `new` is the job `old` was, perhaps requeued, and not another that was given the same id."""
    requeued = is_requeue(old, new) or (new.state in _WAITS_AGAIN and not old.state.ended)
    if old.submitted_at is None or new.submitted_at is None:
        if old.owner is not None and new.owner is not None and old.owner != new.owner:
            return False
        return requeued or new.state.ended or not old.state.ended
    if old.submitted_at == new.submitted_at:
        return True
    return requeued and new.submitted_at > old.submitted_at and new.owner == old.owner


_WAITS_AGAIN = frozenset({JobState.REQUEUED, JobState.REQUEUED_HELD})
"""What a scheduler says of a job that went back to the queue, also where it counts no restarts (Grid Engine: `Rq`, a new submit time)."""


def is_requeue(old: Job, new: Job) -> bool:
    """True if the scheduler counts more restarts. After an END it is another incarnation all the same: an end is final."""
    return (new.restarts or 0) > (old.restarts or 0)


def differs(old: Job, new: Job) -> bool:
    """True if `new` holds something that is to be told."""
    if old is new:
        return False
    if _TOLD(old) != _TOLD(new):
        return True
    return (new.state.ended or new.state is JobState.UNDETERMINED) and _WORDS(old) != _WORDS(new)


def complete(record: Job, known: Job) -> Job:
    """`record` with what it leaves open taken from `known`, an earlier observation of the same run."""
    filled = {
        name: value
        for name, value in ((name, getattr(known, name)) for name in _KEPT)
        if getattr(record, name) in (None, ()) and value not in (None, ())
    }
    return dataclasses.replace(record, **filled) if filled else record


def remembering(job: Job, seen: Job) -> Job:
    """`job`, a live observation of the run that was `seen`, with what its scheduler does not say of every live job.

    A submit time stays known. A job that ran and waits has gone back to the queue, also where its scheduler counts no restarts.
    """
    state = job.state
    if state in _WAITING_AGAIN and not is_requeue(seen, job):
        uncounted = not job.restarts and seen.state in _WAITING_AGAIN.values()
        if seen.phase is Phase.RUN or uncounted:
            state = _WAITING_AGAIN[state]
    submitted_at = seen.submitted_at if job.submitted_at is None else job.submitted_at
    if state is job.state and submitted_at == job.submitted_at:
        return job
    return dataclasses.replace(job, state=state, submitted_at=submitted_at)


_WAITING_AGAIN = {JobState.QUEUED: JobState.REQUEUED, JobState.QUEUED_HELD: JobState.REQUEUED_HELD}
_KEPT = (
    "array_job_id", "array_index", "het_job_id", "het_index", "owner", "account", "queue", "name", "cores", "gpus", "gpu_type",
    "memory_bytes", "nodes", "submitted_at", "started_at", "walltime_limit_seconds", "restarts",
)  # fmt: skip


class _Comparing:
    """Collects the result of one comparison."""

    def __init__(self, memory: JobMemory, *, at: Instant, wanted: Callable[[Job], bool]) -> None:
        self.memory = memory
        self.at = at
        self.wanted = wanted
        self.changes: list[Told] = []
        self.seen: dict[str, SeenJob] = {}
        self.gone: dict[str, GoneJob] = {}
        self.vanished: list[MissingJob] = []
        self.found: list[tuple[str, int]] = []
        self.kept: dict[str, SeenJob] = {}
        self.missing_by_id: dict[str, list[MissingJob]] = {}
        for missing in memory.missing.values():
            self.missing_by_id.setdefault(missing.job.job_id, []).append(missing)

    def meet(self, key: str, job: Job) -> None:
        seen = self.memory.live.get(key)
        if seen is None:
            self._meet_new(key, job)
        elif job is seen.job or job is seen.reported:
            if not seen.published and self.wanted(seen.job):
                self._tell(key, SeenJob(seen.job, seen.incarnation, published=True, reported=seen.reported))
        elif is_same_run(seen.job, job) and not (seen.job.state.ended and is_requeue(seen.job, job)):
            self._meet_again(key, job, seen)
        else:
            self._left(seen)
            self._tell(key, SeenJob(job, seen.incarnation + 1, self.wanted(job)))

    def miss(self, key: str, seen: SeenJob) -> None:
        self.gone[key] = GoneJob(seen.incarnation, seen.job.submitted_at, seen.published, seen.job.state.ended)
        self._left(seen)

    def result(self) -> JobComparison:
        return JobComparison(
            changes=tuple(self.changes),
            seen=self.seen,
            gone=self.gone,
            vanished=tuple(self.vanished),
            found=tuple(self.found),
            kept=self.kept,
        )

    def _left(self, seen: SeenJob) -> None:
        """A run is no longer in the report. A pending range leaves without an end, and nobody can be asked for one."""
        if is_range(seen.job) and not seen.job.state.ended:
            if seen.published:
                self._change(dataclasses.replace(seen.job, array_pending=0), seen.incarnation)
        elif not seen.job.state.ended:
            self._vanish(seen)

    def _meet_again(self, key: str, reported: Job, seen: SeenJob) -> None:
        job = complete(reported, seen.job) if reported.state.ended else remembering(reported, seen.job)
        now = SeenJob(job, seen.incarnation, seen.published or self.wanted(job), None if job is reported else reported)
        if now.published and (not seen.published or differs(seen.job, job)):
            self._tell(key, now)
        elif differs(seen.job, job) or seen.job.native_state != job.native_state:
            self.seen[key] = now  # its end may be judged by the last native state, also after a restart of the daemon
        else:
            self.kept[key] = now

    def _meet_new(self, key: str, job: Job) -> None:
        for missing in self.missing_by_id.get(key, ()):
            if is_same_run(missing.job, job):
                self.found.append(missing.key)
                whole = job if job.state.ended else remembering(job, missing.job)
                published = missing.published or self.wanted(job)
                self._tell(key, SeenJob(whole, missing.incarnation, published, None if whole is job else job))
                return
        known = self.memory.gone.get(key)
        incarnation, published = 1, self.wanted(job)
        if known is not None:
            back = job.submitted_at is not None and job.submitted_at == known.submitted_at and (job.state.ended or not known.ended)
            requeued = bool(job.restarts) and not known.ended
            same = (back or requeued) and not is_range(job)  # an empty range has left for good
            incarnation = known.incarnation if same else known.incarnation + 1
            published = published or (known.published and incarnation == known.incarnation)
        for missing in self.missing_by_id.get(key, ()):
            incarnation = max(incarnation, missing.incarnation + 1)
        self._tell(key, SeenJob(job, incarnation, published))

    def _tell(self, key: str, seen: SeenJob) -> None:
        self.seen[key] = seen
        if seen.published:
            self._change(seen.job, seen.incarnation)

    def _change(self, job: Job, incarnation: int) -> None:
        self.changes.append(Told(job, incarnation, self.at))

    def _vanish(self, seen: SeenJob) -> None:
        seen_at = self.memory.reported_at
        self.vanished.append(
            MissingJob(
                job=seen.job,
                incarnation=seen.incarnation,
                published=seen.published,
                since_at=self.at,
                next_at=self.at,
                seen_at=seen_at,
                lately=seen_at is not None and 0 <= self.at - seen_at <= self.memory.gap_ms,
            )
        )


@dataclass(frozen=True, slots=True)
class NodeComparison:
    """Node changes to tell; `seen` is what is then the last seen availability of each of them."""

    changes: tuple[NodeChange, ...]

    @property
    def seen(self) -> Mapping[str, Availability]:
        """Availability by node."""
        return {change.node: change.availability for change in self.changes}


def compare_nodes(seen: Mapping[str, Availability], nodes: Iterable[Node], *, at: Instant) -> NodeComparison:
    """Changes of availability since `seen`. A node the scheduler no longer lists is UNKNOWN, once."""
    changes: list[NodeChange] = []
    present: set[str] = set()
    for node in nodes:
        present.add(node.name)
        if seen.get(node.name) is not node.availability:
            changes.append(
                NodeChange(
                    node=node.name,
                    availability=node.availability,
                    native_state=node.native_state,
                    reason=node.reason,
                    observed_at=at,
                )
            )
    for name, availability in seen.items():
        if name not in present and availability is not Availability.UNKNOWN:
            changes.append(
                NodeChange(node=name, availability=Availability.UNKNOWN, native_state="", reason=VANISHED, observed_at=at)
            )
    return NodeComparison(tuple(changes))
