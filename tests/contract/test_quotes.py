# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is shown of a cluster that fits: its price after distance, the wait to expect and how it was found, which is best, and no name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.contract.matching import Cluster, match
from hpcbridge.contract.quotes import Quote, Terms, best_preference, by_preference, offered_queues, place_of, preference, quotes_of
from hpcbridge.model.clusters import QueueOffer, Rates
from hpcbridge.model.market import MAX_MICRO, Offer, OfferedQueue, Request, WaitRule
from tests.contract.market_sites import HOUR, RATES, cluster, queue
from tests.fold_world import START_AT

TERMS = Terms(deposit_permille=300, surcharge_bp_per_100km=100, surcharge_cap_bp=5000)
BANGKOK: dict[str, Any] = {"latitude_microdegrees": 13_756_300, "longitude_microdegrees": 100_501_800}
CHIANG_MAI: dict[str, Any] = {"latitude_microdegrees": 18_787_700, "longitude_microdegrees": 98_993_100}


def quoted(request: Request, one: Cluster) -> tuple[Quote, ...]:
    (fit,) = match(request, [one], member="alice", at=START_AT, heard_within_ms=1).fits
    quotes = quotes_of(fit, request, place_of(request), terms=TERMS)
    if quotes:
        best = min(preference(quote.wait_seconds, quote.per_hour) for quote in quotes)
        assert best_preference(fit, request, place_of(request), terms=TERMS) == best
    return quotes


def wait(request: Request, **figures: Any) -> tuple[int | None, WaitRule]:
    (quote,) = quoted(request, cluster(queue(**figures)))
    return quote.wait_seconds, quote.wait_rule


def test_the_worked_example_of_the_documentation() -> None:
    """docs/market.md: Bangkok, 582 km away, asks for 32 cores and 2 GPUs for 10 hours."""
    request = Request(cores=32, gpus=2, walltime_seconds=10 * HOUR, **BANGKOK)
    (quote,) = quoted(request, cluster(queue(gpus_total=8, gpus_used=0, max_walltime_seconds=48 * HOUR), **CHIANG_MAI))
    assert quote.rates == Rates(cpu_core_per_hour=21_200, gpu_core_per_hour=954_000)
    assert (quote.per_hour, quote.deposit) == (2_586_400, 37_244_160)
    assert (quote.wait_seconds, quote.wait_rule) == (0, WaitRule.FREE_NOW)


def test_without_a_place_on_both_sides_there_is_no_surcharge() -> None:
    nowhere: dict[str, Any] = {}
    for asked, registered in ((nowhere, CHIANG_MAI), (BANGKOK, nowhere), (nowhere, nowhere)):
        (quote,) = quoted(Request(cores=1, **asked), cluster(**registered))
        assert quote.rates == RATES


def test_the_deposit_is_for_the_queues_limit_or_the_walltime_asked_for() -> None:
    for limit, asked, seconds in ((24 * HOUR, HOUR, 24 * HOUR), (None, HOUR, HOUR), (24 * HOUR, None, 24 * HOUR)):
        (quote,) = quoted(Request(cores=10, walltime_seconds=asked), cluster(queue(max_walltime_seconds=limit)))
        assert quote.deposit == 10 * 20_000 * seconds // HOUR * 3 // 10
    (quote,) = quoted(Request(cores=10), cluster(queue(max_walltime_seconds=None)))
    assert quote.deposit is None


def test_a_deposit_that_is_no_amount_is_no_offer() -> None:
    dear = Rates(cpu_core_per_hour=1 << 53, gpu_core_per_hour=0)
    cheap = QueueOffer(name="cheap")
    endless = QueueOffer(name="batch", max_walltime_seconds=1 << 31, rates=dear)
    one = cluster(queue(), queue("cheap"), offers=(endless, cheap))
    (quote,) = quoted(Request(cores=100), one)
    assert quote.lot.name == "cheap"
    assert quoted(Request(cores=100), cluster(offers=(endless,))) == ()
    assert quote.deposit is not None
    assert quote.deposit < MAX_MICRO


@pytest.mark.parametrize(
    ("wanted", "figures", "expected"),
    [
        ({"cores": 64}, {}, (0, WaitRule.FREE_NOW)),
        ({"cores": 65}, {}, (24 * HOUR // 64, WaitRule.QUEUE_AHEAD)),
        ({"cores": 128}, {}, (24 * HOUR, WaitRule.QUEUE_AHEAD)),
        ({"cores": 16}, {"cores_used": 128, "cores_available": 0}, (3 * HOUR, WaitRule.QUEUE_AHEAD)),
        ({"cores": 16}, {"cores_used": 128, "cores_available": 0, "jobs_queued": 3}, (21 * HOUR, WaitRule.QUEUE_AHEAD)),
        ({"cores": 16}, {"jobs_queued": 1}, (24 * HOUR // 64, WaitRule.QUEUE_AHEAD)),
        ({"cores": 65}, {"max_walltime_seconds": None}, (None, WaitRule.UNKNOWN)),
        ({"cores": 64}, {"max_walltime_seconds": None}, (0, WaitRule.FREE_NOW)),
        ({"cores": 1}, {"jobs_queued": None}, (None, WaitRule.UNKNOWN)),
        ({"cores": 1}, {"cores_available": None, "cores_used": None}, (None, WaitRule.UNKNOWN)),
        ({"cores": 1}, {"cores_available": None}, (0, WaitRule.FREE_NOW)),
        ({"cores": 1}, {"jobs_queued": 2, "jobs_running": 0}, (None, WaitRule.UNKNOWN)),
        ({"cores": 1}, {"jobs_queued": 2, "jobs_running": None}, (None, WaitRule.UNKNOWN)),
        ({"cores": 1}, {"cores_available": 0, "cores_used": 0}, (None, WaitRule.UNKNOWN)),
        ({"cores": 1, "gpus": 2}, {"gpus_total": 4, "gpus_used": 2}, (0, WaitRule.FREE_NOW)),
        ({"cores": 1, "gpus": 3}, {"gpus_total": 4, "gpus_used": 2}, (12 * HOUR, WaitRule.QUEUE_AHEAD)),
        ({"cores": 1, "gpus": 3}, {"gpus_total": 4, "gpus_used": None}, (None, WaitRule.UNKNOWN)),
    ],
)
def test_the_wait_and_how_it_was_found(wanted: dict[str, Any], figures: dict[str, Any], expected: tuple[int | None, WaitRule]) -> None:
    assert wait(Request(**wanted), **figures) == expected


counts = st.integers(0, 256)


@given(asked=st.tuples(st.integers(1, 128), st.integers(1, 128)), used=counts, queued=st.tuples(counts, counts), running=counts)
def test_more_cores_and_more_waiting_jobs_never_start_sooner(
    asked: tuple[int, int], used: int, queued: tuple[int, int], running: int
) -> None:
    waits = [
        wait(Request(cores=cores), cores_used=min(used, 128), cores_available=None, jobs_queued=jobs, jobs_running=running)[0]
        for cores, jobs in zip(sorted(asked), sorted(queued), strict=True)
    ]
    if None not in waits:
        assert 0 <= (waits[0] or 0) <= (waits[1] or 0)


def test_what_open_rentals_hold_is_not_free() -> None:
    (quote,) = quoted(Request(cores=40), cluster(queue(gpus_total=4), held={"batch": (30, 3), "other": (64, 4)}))
    assert (quote.cores_free, quote.gpus_free, quote.wait_rule) == (34, 1, WaitRule.QUEUE_AHEAD)
    (quote,) = quoted(Request(cores=40), cluster(queue(gpus_total=4), held={"batch": (99, 9)}))
    assert (quote.cores_free, quote.gpus_free) == (0, 0)


def shown(one: Cluster) -> tuple[OfferedQueue, ...]:
    request = Request(cores=1)
    (fit,) = match(request, [one], member="alice", at=START_AT, heard_within_ms=1).fits
    return offered_queues(fit, quotes_of(fit, request, None, terms=TERMS))


def test_queues_are_shown_under_labels_and_no_gpu_kind_names_its_site() -> None:
    kinds = ("A100", "siteone-a100", "H100 of C1X", None)
    queues = [queue(f"secret{number}", gpus_total=1) for number in range(4)]
    offers = tuple(QueueOffer(name=f"secret{number}", gpu_type=kind) for number, kind in enumerate(kinds))
    found = shown(cluster(*queues, offers=offers, name="c1x"))
    assert [(each.label, each.gpu_type) for each in found] == [("q1", "a100"), ("q2", None), ("q3", None), ("q4", None)]


def offer(name: str, *queues: tuple[int | None, int, int | None]) -> Offer:
    shown_queues = tuple(
        OfferedQueue(
            label=f"q{number}", max_cores=1, gpu_type=None, gpus=None, max_walltime_seconds=None, memory_bytes=None, cores_total=None,
            cores_free=None, gpus_total=None, gpus_free=None, jobs_queued=None, jobs_running=None,
            rates=Rates(cpu_core_per_hour=rate, gpu_core_per_hour=0), deposit=held, wait_seconds=seconds, wait_rule=WaitRule.UNKNOWN,
        )
        for number, (seconds, rate, held) in enumerate(queues, start=1)
    )  # fmt: skip
    return Offer(offer=name, request="r1", index=1, offered_at=0, expires_at=0, state_age_ms=0, to_install=(), queues=shown_queues)


def test_best_is_the_cheapest_of_those_that_start_soonest() -> None:
    offers = (
        offer("r1-1", (None, 1, 1), (900, 5, 1)),
        offer("r1-2", (0, 9, 9), (901, 1, 1)),
        offer("r1-3", (1, 3, 9), (899, 3, 8)),
        offer("r1-4", (0, 9, None), (899, 3, 8)),
    )
    order = [(each.offer, queue.label) for each, queue in by_preference(offers, cores=2, gpus=0)]
    assert order == [
        ("r1-2", "q1"), ("r1-4", "q1"), ("r1-3", "q2"), ("r1-4", "q2"), ("r1-3", "q1"), ("r1-1", "q2"), ("r1-2", "q2"), ("r1-1", "q1"),
    ]  # fmt: skip
