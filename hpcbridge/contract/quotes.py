# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""displayResourcesAndRentalPrice: what a user is shown of a cluster that fits, its price after distance, the wait to expect, the best.

Nothing a provider named is shown: queues have labels in the order q1, q2, …, and a GPU kind that holds a name of the site is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hpcbridge.contract.distance import Place, metres_between
from hpcbridge.contract.matching import Fit
from hpcbridge.contract.pricing import deposit, price_per_hour, surcharge, weigh, weigh_rates
from hpcbridge.contract.records import fields_type
from hpcbridge.contract.supply import Lot
from hpcbridge.model.clusters import Rates
from hpcbridge.model.market import Offer, OfferedQueue, Request, WaitRule

BEST_STEP_SECONDS = 900
"""Waits that lie in the same quarter of an hour are equally soon for the choice of the best."""
_NAME_SIGNS = 3
"""A name shorter than this stands in any text by chance."""

Preference = tuple[int, int]
"""Lower is better: quarters of an hour to wait (unknown last), price of an hour."""
_NEVER = 1 << 62
_LAST = (1 << 63, 0)
_FREE_NOW = (0, WaitRule.FREE_NOW)
_UNKNOWN = (None, WaitRule.UNKNOWN)
_QUEUE, _RATES = fields_type(OfferedQueue), fields_type(Rates)


@dataclass(frozen=True, slots=True)
class Terms:
    """The network's parameters that make a price."""

    deposit_permille: int
    surcharge_bp_per_100km: int
    surcharge_cap_bp: int


class Quote(NamedTuple):
    """A queue with price and wait for a request; `free` is what neither jobs nor open rentals hold."""

    lot: Lot
    rates: Rates
    per_hour: int
    deposit: int | None
    cores_free: int | None
    gpus_free: int | None
    wait_seconds: int | None
    wait_rule: WaitRule


def place_of(request: Request) -> Place | None:
    """Where the user is; None if it does not say."""
    if request.latitude_microdegrees is None or request.longitude_microdegrees is None:
        return None
    return request.latitude_microdegrees, request.longitude_microdegrees


def quotes_of(fit: Fit, request: Request, place: Place | None, *, terms: Terms) -> tuple[Quote, ...]:
    """Price and wait of each queue that fits, in their order; none whose deposit is no amount."""
    points = _points(fit, place, terms)
    held = fit.cluster.held
    quotes: list[Quote] = []
    asked = rates = None
    for lot in fit.lots:
        if lot.rates is None:
            continue
        if rates is None or lot.rates is not asked:  # most clusters ask the same in all queues
            asked, rates = lot.rates, weigh_rates(lot.rates, points)
            per_hour = price_per_hour(rates, cores=request.cores, gpus=request.gpus)
        seconds = request.walltime_seconds if lot.max_walltime_seconds is None else lot.max_walltime_seconds
        amount = None if seconds is None else deposit(per_hour, seconds, permille=terms.deposit_permille)
        if amount is None and seconds is not None:
            continue
        cores_free, gpus_free = free_of(lot, held) if held else (lot.cores_free, lot.gpus_free)
        wait, rule = expected_wait(lot, request, cores_free=cores_free, gpus_free=gpus_free)
        quotes.append(Quote(lot, rates, per_hour, amount, cores_free, gpus_free, wait, rule))
    return tuple(quotes)


def best_preference(fit: Fit, request: Request, place: Place | None, *, terms: Terms) -> Preference:
    """That of the best of its queues; what `quotes_of` finds, without all the rest."""
    points, held = _points(fit, place, terms), fit.cluster.held
    best, asked, per_hour = _LAST, None, 0
    for lot in fit.lots:
        if lot.rates is not asked and lot.rates is not None:
            asked = lot.rates
            per_hour = request.cores * weigh(asked.cpu_core_per_hour, points)
            if request.gpus:
                per_hour += request.gpus * weigh(asked.gpu_core_per_hour, points)
        elif best[0] == 0:
            continue  # no sooner, no cheaper
        cores_free, gpus_free = free_of(lot, held) if held else (lot.cores_free, lot.gpus_free)
        found = preference(expected_wait(lot, request, cores_free=cores_free, gpus_free=gpus_free)[0], per_hour)
        best = min(best, found)
    return best


def free_of(lot: Lot, held: Mapping[str, tuple[int, int]]) -> tuple[int | None, int | None]:
    """Free cores and GPUs without what open rentals hold of the queue; None for what is not known."""
    cores, gpus = held.get(lot.name, (0, 0))
    return (
        None if lot.cores_free is None else max(0, lot.cores_free - cores),
        None if lot.gpus_free is None else max(0, lot.gpus_free - gpus),
    )


def expected_wait(lot: Lot, request: Request, *, cores_free: int | None, gpus_free: int | None) -> tuple[int | None, WaitRule]:
    """Seconds until the request could start, and how that was found; None where what is known is not enough.

    FREE_NOW: enough is free and no job waits. QUEUE_AHEAD: jobs start in the order in which they came, each that waits is as large as one
    that runs is on average, and what is in use comes free evenly over the queue's limit of walltime, so (what must come free) × limit ÷
    (in use), rounded up. It is a figure from above: most jobs end before their limit.
    """
    queued = lot.jobs_queued
    if cores_free is None or queued is None or (request.gpus and gpus_free is None):
        return _UNKNOWN
    if queued == 0 and cores_free >= request.cores and (gpus_free or 0) >= request.gpus:
        return _FREE_NOW
    limit = lot.max_walltime_seconds
    if limit is None or (queued and not lot.jobs_running):
        return _UNKNOWN
    wait = _turnover(lot, limit, request.cores, free=cores_free, used=lot.cores_used)
    if wait is not None and request.gpus:
        other = _turnover(lot, limit, request.gpus, free=gpus_free or 0, used=lot.gpus_used)
        wait = None if other is None else max(wait, other)
    return _UNKNOWN if wait is None else (wait, WaitRule.QUEUE_AHEAD)


def preference(wait_seconds: int | None, per_hour: int) -> Preference:
    """The cheapest of those that start soonest is best."""
    return _NEVER if wait_seconds is None else -(-wait_seconds // BEST_STEP_SECONDS), per_hour


def offered_queues(fit: Fit, quotes: Iterable[Quote]) -> tuple[OfferedQueue, ...]:
    """The quotes under blind labels, as records (`records.fields_type`): a request makes hundreds."""
    names = (fit.cluster.name, fit.cluster.provider)
    queues: list[OfferedQueue] = []
    weighed = rates = None
    for number, quote in enumerate(quotes, start=1):
        if rates is None or quote.rates is not weighed:
            weighed = quote.rates
            rates = _RATES(cpu_core_per_hour=weighed.cpu_core_per_hour, gpu_core_per_hour=weighed.gpu_core_per_hour)
        queues.append(_offered(quote, f"q{number}", names, rates=rates))
    return tuple(queues)


def by_preference(offers: Iterable[Offer], *, cores: int, gpus: int) -> list[tuple[Offer, OfferedQueue]]:
    """Every queue of every offer, best first: soonest, then cheapest, then least held; the rest in the order of the offers."""
    rows = [(offer, queue) for offer in offers for queue in offer.queues]

    def place(row: tuple[Offer, OfferedQueue]) -> tuple[Preference, int]:
        queue = row[1]
        held = _NEVER if queue.deposit is None else queue.deposit
        return preference(queue.wait_seconds, price_per_hour(queue.rates, cores=cores, gpus=gpus)), held

    return sorted(rows, key=place)


def _points(fit: Fit, place: Place | None, terms: Terms) -> int:
    there = fit.cluster.supply.place
    metres = None if place is None or there is None else metres_between(place, there)
    return surcharge(metres, per_step=terms.surcharge_bp_per_100km, cap=terms.surcharge_cap_bp)


def _turnover(lot: Lot, limit: int, asked: int, *, free: int, used: int | None) -> int | None:
    if not used:
        return 0 if free >= asked and not lot.jobs_queued else None
    ahead = -(-(lot.jobs_queued or 0) * used // lot.jobs_running) if lot.jobs_running else 0
    short = ahead + asked - free
    if short <= 0:
        # jobs wait although enough is free: something else holds them, and nothing is known to change before the next end
        short = 1 if lot.jobs_queued else 0
    return -(-short * limit // used)


def _offered(quote: Quote, label: str, names: Iterable[str], *, rates: Rates) -> OfferedQueue:
    lot = quote.lot
    return _QUEUE(
        label=label,
        max_cores=lot.max_cores,
        gpu_type=None if lot.gpu_type is None else _without_names(lot.gpu_type, names),
        gpus=lot.gpus,
        max_walltime_seconds=lot.max_walltime_seconds,
        memory_bytes=lot.memory_bytes,
        cores_total=lot.cores_total,
        cores_free=quote.cores_free,
        gpus_total=lot.gpus_total,
        gpus_free=quote.gpus_free,
        jobs_queued=lot.jobs_queued,
        jobs_running=lot.jobs_running,
        rates=rates,
        deposit=quote.deposit,
        wait_seconds=quote.wait_seconds,
        wait_rule=quote.wait_rule,
    )


def _without_names(text: str, names: Iterable[str]) -> str | None:
    return None if any(len(name) >= _NAME_SIGNS and name.lower() in text for name in names) else text
