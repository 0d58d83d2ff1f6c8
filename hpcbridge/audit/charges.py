# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a run costs, written a second time: the table of docs/market.md as an auditor reads it, and not the contract's code.

Nothing of the contract's metering, pricing or distances is used here, so a mistake there is not made again here.
"""

from __future__ import annotations

import math
from fractions import Fraction

from hpcbridge.model.clusters import Rates
from hpcbridge.model.jobs import Job, Outcome, Phase
from hpcbridge.model.market import MAX_MICRO, Bearer, Micro, Rental, UsageLine
from hpcbridge.model.quantities import Instant

_SITES_FAULT = (Outcome.NODE_FAILED, Outcome.BOOT_FAILED, Outcome.PREEMPTED, Outcome.REVOKED)
_HAVE_RUN = (Outcome.COMPLETED, Outcome.FAILED, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY, Outcome.NODE_FAILED)
_MOST = MAX_MICRO - 1
_HOUR = 3600
_STEP_METRES = 100_000
_EARTH_METRES = 6_371_009
Place = tuple[int, int]
"""Latitude and longitude in micro-degrees."""


def cost_of_run(job: Job, before: Phase | None, rental: Rental, *, at: Instant) -> UsageLine:
    """The price of a job that has ended and was last seen in the phase `before`, told to the ledger at `at`; nothing of it is paid yet."""
    seconds = counted_seconds(job, before, most=max(0, at - rental.granted_at) // 1000)
    bearer = _bearer(job.outcome, seconds)
    core_seconds, gpu_seconds = _product(seconds, job.cores), _product(seconds, job.gpus)
    cpu = gpu = 0
    if bearer is Bearer.USER:
        cpu = min((core_seconds or 0) * rental.rates.cpu_core_per_hour // _HOUR, _MOST)
        gpu = min((gpu_seconds or 0) * rental.rates.gpu_core_per_hour // _HOUR, _MOST)
    return UsageLine(
        cluster=job.cluster,
        job_id=job.job_id,
        incarnation=job.incarnation or 1,
        outcome=job.outcome,
        bearer=bearer,
        core_seconds=core_seconds,
        gpu_seconds=gpu_seconds,
        cpu_charge=cpu,
        gpu_charge=gpu,
        charge=cpu + gpu,
        not_covered=0,
    )


def counted_seconds(job: Job, before: Phase | None, *, most: int) -> int | None:
    """Seconds that count of a run: never more than the scheduler's own count, the time from start to end, or `most`. None: not known."""
    if job.outcome is Outcome.LOST:
        return None
    never_ran = before in (None, Phase.QUEUE) and job.started_at is None and job.outcome not in _HAVE_RUN and not job.wall_seconds
    if never_ran:
        return 0
    if job.wall_seconds is None and before is Phase.QUEUE and job.restarts:
        return None
    known = [] if job.wall_seconds is None else [job.wall_seconds]
    if job.started_at is not None and job.ended_at is not None and job.started_at <= job.ended_at:
        known.append((job.ended_at - job.started_at) // 1000)
    return min(*known, most) if known else None


def deposit_of(rental: Rental, *, permille: int) -> Micro:
    """The share of the price of the whole limit that is held, rounded up."""
    per_hour = rental.cores * rental.rates.cpu_core_per_hour + rental.gpus * rental.rates.gpu_core_per_hour
    whole, rest = divmod(per_hour * rental.limit_seconds * permille, _HOUR * 1000)
    return whole + (rest > 0)


def rates_at(base: Rates, *, user: Place | None, cluster: Place | None, per_step: int, cap: int) -> tuple[Rates, ...]:
    """A cluster's rates with the surcharge for the distance to a user. Two answers where the distance is within a metre of a step."""
    if user is None or cluster is None:
        return (base,)
    metres = great_circle(user, cluster)
    steps = sorted({math.ceil(max(0.0, metres + error) / _STEP_METRES) for error in (-1, 1)})
    return tuple([_dearer(base, min(cap, step * per_step)) for step in steps])


def great_circle(here: Place, there: Place) -> float:
    """Metres between two places by the haversine formula; a float is as exact as a surcharge for each 100 km needs it."""
    (north, east), (other_north, other_east) = (tuple([math.radians(degrees / 1_000_000) for degrees in place]) for place in (here, there))
    half = math.sin((other_north - north) / 2) ** 2
    half += math.cos(north) * math.cos(other_north) * math.sin((other_east - east) / 2) ** 2
    return 2 * _EARTH_METRES * math.asin(math.sqrt(min(1.0, half)))


def _dearer(base: Rates, basis_points: int) -> Rates:
    """To the nearest micro-unit, from the middle to the even one, as `round` does it."""
    cores, gpus = (round(Fraction(rate * (10_000 + basis_points), 10_000)) for rate in (base.cpu_core_per_hour, base.gpu_core_per_hour))
    return Rates(cpu_core_per_hour=cores, gpu_core_per_hour=gpus)


def _bearer(outcome: Outcome | None, seconds: int | None) -> Bearer:
    if seconds == 0 or outcome is Outcome.LOST:
        return Bearer.NOBODY
    return Bearer.SITE if outcome in _SITES_FAULT else Bearer.USER


def _product(seconds: int | None, count: int | None) -> int | None:
    if seconds is None or (count is None and seconds):
        return None
    return min(seconds * (count or 0), _MOST)
