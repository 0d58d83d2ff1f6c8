# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What became of a job that vanished from the report before its end was seen: judged by what accounting says of its id. Pure.

Accounting may know the end, may answer without knowing the job, or may not answer at all. In both latter cases the job is UNDETERMINED
once the grace period is over; an end that accounting tells later corrects that. Only where accounting answers is asking given up one day.

Accounting's silence says something only where the scheduler says so (`Scheduler.unrecorded`: Grid Engine writes no record of a job that
was deleted while it waited), and only if the job stood in the report right before, and accounting tells of an end that came so much
later that the end of this job, had there been one to record, would be recorded by now.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from hpcbridge.agent.changes import VANISHED, MissingJob, Told, complete
from hpcbridge.model.jobs import Job, JobState, Outcome, Phase
from hpcbridge.model.quantities import Instant
from hpcbridge.schedulers.report import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a vanished job may stay unexplained before it is UNDETERMINED (`grace_ms`, counted from the report it was missing in), and
    before nobody asks any more because the contract has given it up. Two reports that lie `gap_ms` apart have no outage between them.
    """

    grace_ms: int
    gap_ms: int = 60_000
    lost_after_ms: int = 7 * 86_400_000
    first_pause_ms: int = 15_000
    longest_pause_ms: int = 6 * 3_600_000
    silent_pause_ms: int = 5 * 60_000
    """The longest pause while accounting does not answer at all: when it is back, it knows the ends that are waited for."""
    asked_at_least: int = 30
    """Asking so often takes days; so a clock that jumps does not make anybody give up."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one vanished job: a change to tell or None, and what is still missing or None."""

    change: Told | None
    missing: MissingJob | None


def settle(
    missing: MissingJob,
    records: Sequence[Job] | None,
    *,
    at: Instant,
    patience: Patience,
    rules: Scheduler | None = None,
    recorded_until: Instant | None = None,
) -> Settled:
    """Judges a vanished job by what accounting said of its id; `records` is None if accounting did not answer.

    `rules` are the scheduler's own for what accounting alone cannot tell; `recorded_until` is the latest end accounting has told of.
    """
    waited = at - missing.since_at
    ended = None if records is None else find_end(missing.job, records, seen_at=missing.seen_at, rules=rules)
    if ended is None and records is not None and rules is not None and _is_silent(missing, records, waited, recorded_until):
        ended = rules.unrecorded(missing.job)
    settles_at = missing.since_at + (0 if rules is None else rules.settles_after_ms())
    early = ended is not None and missing.since_at <= at < settles_at
    if ended is not None and not early:
        return Settled(_change_of(missing, ended, at), None)
    if records is not None and waited >= patience.lost_after_ms and missing.asked >= patience.asked_at_least:
        return Settled(None, None)
    next_at = settles_at if early else at + _pause(missing, waited, patience, silent=records is None)
    later = dataclasses.replace(missing, asked=missing.asked + 1, next_at=next_at)
    if missing.told or early or waited < patience.grace_ms:
        return Settled(None, later)
    unknown = dataclasses.replace(missing.job, state=JobState.UNDETERMINED, outcome=None, reason=VANISHED)
    return Settled(_change_of(missing, unknown, at), dataclasses.replace(later, told=True))


_SILENCE_MS = 60_000
"""How long nothing is concluded from silence: Grid Engine writes records every 15 s (flush_time, sge_conf(5))."""
_CLOCKS_MS = 60_000
"""How far the clocks of a cluster's machines may be apart: a job's times are those of its node, ours those of the frontend."""


def _is_silent(missing: MissingJob, records: Sequence[Job], waited: int, recorded_until: Instant | None) -> bool:
    """True if accounting would know of this run had there been anything to know.

    The scheduler dropped the job before the report it was missing in, and writes its records in the order in which it learns of ends.
    A recorded end that is later than that report, by more than clocks may differ, was written after everything before the report.
    A record that is not an end, of a start that failed, says nothing of what became of a job that waited after it.
    """
    of_run = [record for record in records if record.job_id == missing.job.job_id and _may_be(missing.job, record)]
    of_run = [record for record in of_run if record.state is not JobState.UNDETERMINED]
    if of_run or not missing.lately or waited < _SILENCE_MS or recorded_until is None:
        return False
    return recorded_until > missing.since_at + _CLOCKS_MS


def _may_be(job: Job, record: Job) -> bool:
    """True if the record may be of this run or of one that came of it."""
    return job.submitted_at is None or record.submitted_at is None or record.submitted_at >= job.submitted_at


def _pause(missing: MissingJob, waited: int, patience: Patience, *, silent: bool) -> int:
    """Doubles with each question, but the end of the grace period is not slept through."""
    longest = min(patience.longest_pause_ms, patience.silent_pause_ms) if silent else patience.longest_pause_ms
    pause = min(patience.first_pause_ms << min(missing.asked, 20), longest)
    left = patience.grace_ms - waited
    return min(pause, left) if left > 0 else pause


def find_end(job: Job, records: Sequence[Job], *, seen_at: Instant | None = None, rules: Scheduler | None = None) -> Job | None:
    """How the run `job`, last seen at `seen_at`, ended according to accounting, which lists one record for each run of an id; None if it
    does not say. A requeue in accounting is followed by the run that came of it.
    """
    runs = _runs_of(job, records, seen_at)
    restarts = job.restarts
    for place, run in enumerate(runs):
        following = runs[place + 1] if place + 1 < len(runs) else None
        if following is not None and _is_one_job(run, following):
            continue
        if following is not None and _goes_on(run, following):
            restarts = (restarts or 0) + 1
            continue
        if not run.state.ended:
            return None
        found = run if rules is None else rules.refine(job, run)
        return dataclasses.replace(complete(found, dataclasses.replace(job, restarts=restarts)), array_pending=None)
    return None


def _runs_of(job: Job, records: Sequence[Job], seen_at: Instant | None) -> list[Job]:
    """Records from the run `job` on, in the order of the runs; none if that run cannot be told from others of the same id.

    It is known by its submit time. Where its scheduler does not print that of running jobs, it is known by its start, else it is the
    only one that had not ended when the job was last seen.
    """
    runs = sorted((record for record in records if record.job_id == job.job_id), key=_order)
    if job.submitted_at is not None:
        runs = [run for run in runs if _may_be(job, run)]
        return runs if runs and (runs[0].submitted_at in (None, job.submitted_at) or _was_requeued(job, runs[0])) else []
    possible = [run for run in runs if _may_have_been_seen(run, seen_at)]
    if job.started_at is not None and any(run.started_at is not None for run in runs):
        possible = [run for run in runs if run.started_at is not None and abs(run.started_at - job.started_at) <= _CLOCKS_MS]
    if not possible or len({run.submitted_at for run in possible}) > 1 or (len(possible) > 1 and possible[0].submitted_at is None):
        return []
    return runs[runs.index(possible[0]) :]


def _was_requeued(job: Job, run: Job) -> bool:
    """True for a job that accounting says went back to the queue since, and got a new submit time by that (Grid Engine)."""
    return (run.restarts or 0) > (job.restarts or 0) and run.owner == job.owner and run.name == job.name


def _may_have_been_seen(run: Job, seen_at: Instant | None) -> bool:
    return seen_at is None or run.ended_at is None or run.ended_at >= seen_at - _CLOCKS_MS


_REQUEUE_SLACK_MS = 10_000


def _is_one_job(run: Job, following: Job) -> bool:
    """True for two runs of a job that kept its submit time when it was requeued (PBS, Grid Engine): the first one was not its end."""
    return run.submitted_at is not None and run.submitted_at == following.submitted_at


def _goes_on(run: Job, following: Job) -> bool:
    """True if `following` is the requeue of `run` under a new submit time.

    Accounting calls `run` requeued, or preempted or failed with its node; Slurm gives the time of the requeue, which is the end of
    `run`, to `following` as submit time.
    """
    if not run.state.ended:
        return True
    if run.outcome not in (Outcome.NODE_FAILED, Outcome.PREEMPTED) or run.ended_at is None or following.submitted_at is None:
        return False
    return abs(following.submitted_at - run.ended_at) <= _REQUEUE_SLACK_MS


def _order(record: Job) -> tuple[Instant, bool, Instant, Instant]:
    """By submit time, then by start; what still waits or runs comes last. A record without a start may have ended while it waited."""
    lives = record.phase in (Phase.QUEUE, Phase.RUN)
    return record.submitted_at or 0, lives, record.started_at or record.ended_at or 0, record.ended_at or 0


def _change_of(missing: MissingJob, job: Job, at: Instant) -> Told | None:
    if not missing.published:
        return None
    return Told(job, missing.incarnation, at)
