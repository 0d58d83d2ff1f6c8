# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Prices against exact fractions: which way each rounding goes, how far, and that nothing falls where it should rise."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.contract.distance import metres_between
from hpcbridge.contract.pricing import charge, deposit, price_per_hour, surcharge, weigh, weigh_rates
from hpcbridge.model.clusters import Rates
from hpcbridge.model.market import MAX_MICRO

MAX_RATE = 1 << 53
rates = st.integers(0, 50_000_000) | st.integers(0, MAX_RATE)
metres = st.integers(0, 20_015_115)
points = st.integers(0, 10_000)
seconds = st.integers(0, 1 << 40)
counts = st.integers(0, 1 << 24)


@given(st.tuples(metres, metres), points, points, rates)
def test_farther_is_never_cheaper(pair: tuple[int, int], per_step: int, cap: int, rate: int) -> None:
    near, far = sorted(pair)
    both = [weigh(rate, surcharge(each, per_step=per_step, cap=cap)) for each in (near, far)]
    assert rate <= both[0] <= both[1] <= weigh(rate, cap)


@given(st.tuples(rates, rates), points)
def test_a_higher_rate_is_never_cheaper(pair: tuple[int, int], surcharged: int) -> None:
    low, high = sorted(pair)
    assert weigh(low, surcharged) <= weigh(high, surcharged)


@given(rates, points)
def test_a_weighed_rate_is_the_nearest(rate: int, surcharged: int) -> None:
    exact = Fraction(rate * (10_000 + surcharged), 10_000)
    assert weigh(rate, surcharged) == round(exact)
    assert weigh(rate, surcharged) < 1 << 56


def test_the_middle_goes_to_the_even_one() -> None:
    assert [weigh(rate, 5000) for rate in (1, 3, 5, 7)] == [2, 4, 8, 10]


@given(rates, rates, points)
def test_cores_and_gpus_alike(cpu: int, gpu: int, surcharged: int) -> None:
    weighed = weigh_rates(Rates(cpu_core_per_hour=cpu, gpu_core_per_hour=gpu), surcharged)
    assert (weighed.cpu_core_per_hour, weighed.gpu_core_per_hour) == (weigh(cpu, surcharged), weigh(gpu, surcharged))


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(None, 0), (0, 0), (1, 100), (100_000, 100), (100_001, 200), (4_950_000, 5000), (4_900_000, 4900), (20_000_000, 5000)],
)
def test_each_hundred_kilometres_that_began(distance: int | None, expected: int) -> None:
    assert surcharge(distance, per_step=100, cap=5000) == expected


@given(st.tuples(rates, counts), st.tuples(rates, counts), seconds, st.integers(1, 1000))
def test_a_deposit_is_the_share_rounded_up(of_cores: tuple[int, int], of_gpus: tuple[int, int], limit: int, permille: int) -> None:
    (cpu, cores), (gpu, gpus) = of_cores, of_gpus
    per_hour = price_per_hour(Rates(cpu_core_per_hour=cpu, gpu_core_per_hour=gpu), cores=cores, gpus=gpus)
    exact = Fraction(permille, 1000) * Fraction(limit, 3600) * (Fraction(cores * cpu) + Fraction(gpus * gpu))
    held = deposit(per_hour, limit, permille=permille)
    if held is None:
        assert exact > MAX_MICRO - 1
    else:
        assert 0 <= held - exact < 1
        assert held < MAX_MICRO


@given(rates, seconds)
def test_a_charge_is_rounded_down(rate: int, used: int) -> None:
    exact = Fraction(rate * used, 3600)
    assert charge(rate, used) == min(int(exact), MAX_MICRO - 1)


@given(rates, st.lists(st.integers(0, 10**6), max_size=20))
def test_many_lines_never_cost_more_than_one(rate: int, parts: list[int]) -> None:
    lines, whole = sum(charge(rate, part) for part in parts), charge(rate, sum(parts))
    if whole < MAX_MICRO - 1:  # that one is cut
        assert 0 <= whole - lines <= max(0, len(parts) - 1)


@given(rates, seconds, st.integers(1, 1 << 24))
def test_a_whole_walltime_costs_at_least_its_deposit(rate: int, limit: int, cores: int) -> None:
    """A deposit of 30 % is never above the price of what it stands for by more than the roundings."""
    held = deposit(rate * cores, limit, permille=300)
    if held is not None and charge(rate, limit * cores) < MAX_MICRO - 1:
        assert held <= charge(rate, limit * cores) + 1


def test_the_worked_example_of_the_documentation() -> None:
    """docs/market.md: Bangkok rents 32 cores and 2 GPUs in Chiang Mai for a queue of 48 hours."""
    distance = metres_between((13_756_300, 100_501_800), (18_787_700, 98_993_100))
    bp = surcharge(distance, per_step=100, cap=5000)
    weighed = weigh_rates(Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000), bp)
    per_hour = price_per_hour(weighed, cores=32, gpus=2)
    held = deposit(per_hour, 48 * 3600, permille=300)
    assert (distance, bp, weighed.cpu_core_per_hour, weighed.gpu_core_per_hour) == (582_165, 600, 21_200, 954_000)
    assert (per_hour, held) == (2_586_400, 37_244_160)
    assert (charge(21_200, 32 * 5003), charge(954_000, 2 * 5003)) == (942_787, 2_651_590)


def test_the_documentation_says_these_figures() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "market.md").read_text()
    for figure in (582_165, 21_200, 954_000, 2_586_400, 37_244_160, 942_787, 2_651_590):
        assert f"{figure:,}" in text
