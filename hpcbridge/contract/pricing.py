# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Prices: rates weighed by distance, the deposit, and the charge for what was used. Every rounding of money in hpcbridge stands here.

To a whole micro-unit
* a rate after distance goes to the nearest, from the middle to the even one: it holds for a whole rental, and so in favour of neither;
* a deposit goes up: it is only held, what is not used comes back, and it must not be less than the agreed share;
* the charge for the cores of a job's run goes down, and so that for its GPUs: nobody pays for what was not measured, and a line costs
  the provider less than two micro-units.

Integers have no end here, but a store has: an amount is at most MAX_MICRO - 1. A rate is at most 2⁵³ before and 2⁵⁶ after the weight. A
deposit that does not fit is no price at all; a charge that does not fit is cut, which changes nothing for anybody, because no more than
deposit and extra limit is ever paid.
"""

from __future__ import annotations

from hpcbridge.model.clusters import Rates
from hpcbridge.model.market import MAX_MICRO, Micro

STEP_METRES = 100_000
"""The surcharge counts each 100 km that has begun."""
BASIS_POINTS = 10_000
SECONDS_PER_HOUR = 3600
PERMILLE = 1000


def surcharge(metres: int | None, *, per_step: int, cap: int) -> int:
    """Basis points on top of both rates: `per_step` for each 100 km begun, never above `cap`; none for a distance that is not known.

    In steps and not by the metre, so that a rate tells how far a cluster is to 100 km only.
    """
    if metres is None:
        return 0
    return min(cap, -(-metres // STEP_METRES) * per_step)


def weigh(rate: Micro, basis_points: int) -> Micro:
    """A rate with its surcharge, to the nearest micro-unit, from the middle to the even one. Never falls where either argument rises."""
    whole, rest = divmod(rate * (BASIS_POINTS + basis_points), BASIS_POINTS)
    half = BASIS_POINTS // 2
    return whole + (rest > half or (rest == half and whole % 2 == 1))


def weigh_rates(rates: Rates, basis_points: int) -> Rates:
    """Both rates with the same surcharge."""
    if basis_points == 0:
        return rates
    return Rates(
        cpu_core_per_hour=weigh(rates.cpu_core_per_hour, basis_points), gpu_core_per_hour=weigh(rates.gpu_core_per_hour, basis_points)
    )


def price_per_hour(rates: Rates, *, cores: int, gpus: int) -> Micro:
    """What so many cores and GPUs cost in an hour; exact."""
    return cores * rates.cpu_core_per_hour + gpus * rates.gpu_core_per_hour


def deposit(per_hour: Micro, seconds: int, *, permille: int) -> Micro | None:
    """`permille` of the price of so many seconds, rounded up; None if that is no amount a store can keep."""
    held = -(-per_hour * permille * seconds // (PERMILLE * SECONDS_PER_HOUR))
    return held if held < MAX_MICRO else None


def charge(rate: Micro, seconds: int) -> Micro:
    """Price of so many core-seconds (or GPU-seconds) at a rate per hour, rounded down, and cut at MAX_MICRO - 1."""
    return min(rate * seconds // SECONDS_PER_HOUR, MAX_MICRO - 1)
