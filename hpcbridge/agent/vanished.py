# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What became of a job that vanished from the report before its end was seen: judged by what accounting says of its id. Pure.

Accounting may know the end, may answer without knowing the job, or may not answer at all. In both latter cases the job is UNDETERMINED
once the grace period is over; an end that accounting tells later corrects that. Only where accounting answers is asking given up one day.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from hpcbridge.agent.changes import VANISHED, MissingJob, Told, complete
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.quantities import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a vanished job may stay unexplained before it is UNDETERMINED (`grace_ms`, counted from the report it was missing in), and
    before nobody asks any more because the contract has given it up.
    """

    grace_ms: int
    lost_after_ms: int = 7 * 86_400_000
    first_pause_ms: int = 15_000
    longest_pause_ms: int = 6 * 3_600_000
    asked_at_least: int = 30
    """Asking so often takes days; so a clock that jumps does not make anybody give up."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one vanished job: a change to tell or None, and what is still missing or None."""

    change: Told | None
    missing: MissingJob | None


def settle(missing: MissingJob, records: Sequence[Job] | None, *, at: Instant, patience: Patience) -> Settled:
    """Judges a vanished job by what accounting said of its id; `records` is None if accounting did not answer."""
    ended = None if records is None else find_end(missing.job, records)
    if ended is not None:
        return Settled(_change_of(missing, ended, at), None)
    waited = at - missing.since_at
    if records is not None and waited >= patience.lost_after_ms and missing.asked >= patience.asked_at_least:
        return Settled(None, None)
    later = dataclasses.replace(missing, asked=missing.asked + 1, next_at=at + _pause(missing, waited, patience))
    if missing.told or waited < patience.grace_ms:
        return Settled(None, later)
    unknown = dataclasses.replace(missing.job, state=JobState.UNDETERMINED, outcome=None, reason=VANISHED)
    return Settled(_change_of(missing, unknown, at), dataclasses.replace(later, told=True))


def _pause(missing: MissingJob, waited: int, patience: Patience) -> int:
    """Doubles with each question, but the end of the grace period is not slept through."""
    pause = min(patience.first_pause_ms << min(missing.asked, 20), patience.longest_pause_ms)
    left = patience.grace_ms - waited
    return min(pause, left) if left > 0 else pause


def find_end(job: Job, records: Sequence[Job]) -> Job | None:
    """How the run `job` ended according to accounting, which lists one record for each run of an id; None if it does not say.

    The record is the one with the job's submit time; a requeue in accounting is followed by the run that came of it.
    """
    runs = sorted((record for record in records if record.job_id == job.job_id), key=_submitted)
    if job.submitted_at is not None:
        runs = [run for run in runs if run.submitted_at is None or run.submitted_at >= job.submitted_at]
        if runs and runs[0].submitted_at not in (None, job.submitted_at):
            return None
    elif len(runs) != 1:
        return None
    restarts = job.restarts
    for place, run in enumerate(runs):
        if place + 1 < len(runs) and _goes_on(run, runs[place + 1]):
            restarts = (restarts or 0) + 1
            continue
        if not run.state.ended:
            return None
        return dataclasses.replace(complete(run, dataclasses.replace(job, restarts=restarts)), array_pending=None)
    return None


_REQUEUE_SLACK_MS = 10_000


def _goes_on(run: Job, following: Job) -> bool:
    """True if `following` is the requeue of `run`.

    Accounting calls `run` requeued, or preempted or failed with its node; Slurm gives the time of the requeue, which is the end of
    `run`, to `following` as submit time.
    """
    if not run.state.ended:
        return True
    if run.outcome not in (Outcome.NODE_FAILED, Outcome.PREEMPTED) or run.ended_at is None or following.submitted_at is None:
        return False
    return abs(following.submitted_at - run.ended_at) <= _REQUEUE_SLACK_MS


def _submitted(job: Job) -> Instant:
    return job.submitted_at or 0


def _change_of(missing: MissingJob, job: Job, at: Instant) -> Told | None:
    if not missing.published:
        return None
    return Told(job, missing.incarnation, at)
