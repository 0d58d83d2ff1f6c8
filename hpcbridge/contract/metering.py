# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What one run of a job used and who bears it: from the job's record at its end to a line with a price, nothing else.

Times here are the provider's own. What they contradict, or do not tell, is never charged: a figure that is not known stays unknown until
a later word on the job tells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcbridge.contract.jobrecords import FIELDS, OUTCOME, QUEUE, RESTARTS
from hpcbridge.contract.pricing import charge
from hpcbridge.model.clusters import Rates
from hpcbridge.model.jobs import Outcome
from hpcbridge.model.market import MAX_MICRO, Bearer, UsageLine
from hpcbridge.model.quantities import Instant

BEARERS: Mapping[Outcome, Bearer] = {
    Outcome.COMPLETED: Bearer.USER,
    Outcome.FAILED: Bearer.USER,
    Outcome.CANCELLED: Bearer.USER,
    Outcome.TIMEOUT: Bearer.USER,
    Outcome.OUT_OF_MEMORY: Bearer.USER,
    Outcome.DEADLINE: Bearer.USER,
    Outcome.NODE_FAILED: Bearer.SITE,
    Outcome.BOOT_FAILED: Bearer.SITE,
    Outcome.PREEMPTED: Bearer.SITE,
    Outcome.REVOKED: Bearer.SITE,
    Outcome.LOST: Bearer.NOBODY,
}
"""Who bears a run that ended like this; a run that never started is nobody's."""

STARTED: frozenset[Outcome] = frozenset({Outcome.COMPLETED, Outcome.FAILED, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.NODE_FAILED})
"""Ends of jobs that ran, even if nobody saw them run; any other end may come to a job that waits."""

CLUSTER, JOB_ID, INCARNATION, CORES, GPUS, SUBMITTED, START, END_AT, WALL = (
    FIELDS.index(name)
    for name in ("cluster", "job_id", "incarnation", "cores", "gpus", "submitted_at", "started_at", "ended_at", "wall_seconds")
)


def line_of(fields: Sequence[Any], previous: int, *, rates: Rates, granted_at: Instant, at: Instant) -> UsageLine:
    """The line of a job that has ended, as far as its record tells. `previous`: its phase before, `at`: when the ledger heard of it."""
    outcome = Outcome(fields[OUTCOME])
    seconds = seconds_of(fields, previous, limit=max(0, at - granted_at) // 1000)
    bearer = BEARERS[outcome] if seconds != 0 else Bearer.NOBODY
    core_seconds, gpu_seconds = _times(seconds, fields[CORES]), _times(seconds, fields[GPUS])
    pays = bearer is Bearer.USER
    cpu_charge = charge(rates.cpu_core_per_hour, core_seconds or 0) if pays else 0
    gpu_charge = charge(rates.gpu_core_per_hour, gpu_seconds or 0) if pays else 0
    return UsageLine(
        cluster=fields[CLUSTER],
        job_id=fields[JOB_ID],
        incarnation=fields[INCARNATION],
        outcome=outcome,
        bearer=bearer,
        core_seconds=core_seconds,
        gpu_seconds=gpu_seconds,
        cpu_charge=cpu_charge,
        gpu_charge=gpu_charge,
        charge=cpu_charge + gpu_charge,
        not_covered=0,
    )


def seconds_of(fields: Sequence[Any], previous: int, *, limit: int) -> int | None:
    """Whole seconds of the run that ended; None is not known, 0 that it never started.

    The smaller one of what the scheduler counted and what lies between start and end, and never more than `limit`, the time since the
    rental began: no account, no job. A start after the end says nothing.
    """
    wall, span = fields[WALL], span_of(fields)
    if fields[OUTCOME] == Outcome.LOST:
        return None
    if not wall and not _started(fields, previous):
        return 0
    known = [seconds for seconds in (wall, span) if seconds is not None]
    if wall is None and previous == QUEUE and fields[RESTARTS]:
        return None  # it waited for another run when last seen: start and end may be those of two runs
    return min(*known, limit) if known else None


def span_of(fields: Sequence[Any]) -> int | None:
    """Whole seconds from start to end; None if one is not known, or if the end came first."""
    start, end = fields[START], fields[END_AT]
    return (end - start) // 1000 if start is not None and end is not None and end >= start else None


def _started(fields: Sequence[Any], previous: int) -> bool:
    """True unless the job ended while it waited."""
    return previous not in (0, QUEUE) or fields[START] is not None or fields[OUTCOME] in STARTED


def _times(seconds: int | None, count: int | None) -> int | None:
    """Cut where a store ends; nobody pays so much anyway."""
    if seconds == 0:
        return 0
    return None if seconds is None or count is None else min(seconds * count, MAX_MICRO - 1)
