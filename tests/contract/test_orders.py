# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Orders to rent: every refusal with its code and reason, nothing half done, no name in any, and what the best of a request is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.contract import orders, sealingkeys
from hpcbridge.contract.accounts import balance_of
from hpcbridge.contract.capacity import held_of
from hpcbridge.contract.market import (
    stored_offer,
)
from hpcbridge.contract.orders import choose, order_fault
from hpcbridge.contract.records import StoredOffer, encode_word
from hpcbridge.contract.requests import MAX_WALLTIME_SECONDS
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import QueueOffer, Rates, Registration, Vetting
from hpcbridge.model.entries import NoEntry
from hpcbridge.model.identities import Role
from hpcbridge.model.market import (
    MAX_MICRO,
    Balance,
    Cancellation,
    Credit,
    RentalOrder,
    Request,
    RequestRecord,
)
from hpcbridge.model.quantities import MAX_INSTANT
from hpcbridge.model.transactions import Decision, Parameters, Revocation
from tests.contract.market_sites import HOUR, LIFE_MS, RATES, ask, offers_of, open_cluster, queue, tell_state
from tests.contract.rental_book import (
    CREDIT,
    DEPOSIT,
    GROMACS,
    KEY,
    SECRETS,
    blind_site,
    closed,
    granted,
    only_offer,
    order,
    provider_revoked,
    provider_suspended,
    refusal,
    refused,
    rented,
    suspended,
    told_to,
)
from tests.fold_world import Party, World, job, job_changes

BAD_ORDERS: list[tuple[dict[str, Any], str, str]] = [
    ({"cores": 0}, "MALFORMED", "cores: 1 to 16"),
    ({"cores": 17}, "MALFORMED", "cores: 1 to 16, which were asked for"),
    ({"cores": (1 << 64) - 1}, "MALFORMED", "cores: 1 to 16"),
    ({"gpus": 1}, "MALFORMED", "gpus: 0 to 0, which were asked for"),
    ({"walltime_seconds": 0}, "MALFORMED", f"walltime_seconds: 1 to {MAX_WALLTIME_SECONDS}"),
    ({"walltime_seconds": 24 * HOUR + 1}, "MALFORMED", f"walltime_seconds: 1 to {24 * HOUR} in q1"),
    ({"walltime_seconds": (1 << 64) - 1}, "MALFORMED", "walltime_seconds: 1 to"),
    ({"extra_limit": MAX_MICRO}, "MALFORMED", "extra_limit: 0 to"),
    ({"extra_limit": (1 << 64) - 1}, "MALFORMED", "extra_limit: 0 to"),
    ({"extra_limit": MAX_MICRO - DEPOSIT}, "MALFORMED", "deposit and extra_limit together"),
    ({"sealing_key": b"k"}, "MALFORMED", "sealing_key: 32 bytes"),
    ({"sealing_key": KEY + b"\0"}, "MALFORMED", "sealing_key: 32 bytes"),
    ({"sealing_key": b"\0" * 32}, "MALFORMED", "sealing_key"),
    ({"queue": ""}, "NOT_FOUND", "has no queue ''"),
    ({"queue": "q2"}, "NOT_FOUND", "has no queue 'q2'"),
    ({"queue": "Q1"}, "NOT_FOUND", "has no queue"),
    ({"queue": "batch"}, "NOT_FOUND", "has no queue"),
    ({"queue": "q" * 1024}, "NOT_FOUND", "has no queue"),
    ({"queue": "q" * 50_000}, "MALFORMED", "is longer than 1024 characters"),
    ({"queue": "q1\n"}, "MALFORMED", "holds unprintable ones"),
    ({"queue": "\uff51\uff11"}, "NOT_FOUND", "has no queue"),
    ({"offer": ""}, "NOT_FOUND", "has no offer ''"),
    ({"offer": "r0-1"}, "NOT_FOUND", "has no offer"),
    ({"offer": "l1"}, "NOT_FOUND", "has no offer"),
]


@pytest.mark.parametrize(("changes", "code", "reason"), BAD_ORDERS)
@pytest.mark.usefixtures("site")
def test_orders_that_make_no_sense(world: World, alice: Party, changes: dict[str, Any], code: str, reason: str) -> None:
    refused(world, alice, dataclasses.replace(order(only_offer(world, alice)), **changes), code, reason)


def test_an_offer_or_a_request_but_not_both(world: World, alice: Party, site: Party) -> None:
    offer = only_offer(world, alice)
    request = offer.partition("-")[0]
    refused(world, alice, order(offer, request=request), "MALFORMED", "not both")
    refused(world, alice, order("", request=request), "MALFORMED", "queue: none is named where the best is taken")
    refused(world, alice, order(f"{request}-2"), "NOT_FOUND", "there is no offer")
    refused(world, alice, order("", request="r1", queue=""), "NOT_FOUND", "has no offer")
    granted(world, alice, order("", request=request, queue=""))


def test_offers_of_somebody_else_are_not_there(world: World, alice: Party, bob: Party, site: Party) -> None:
    offer = only_offer(world, alice)
    refused(world, bob, order(offer), "NOT_FOUND", "bob has no offer")
    refused(world, bob, order("", request=offer.partition("-")[0], queue=""), "NOT_FOUND", "bob has no offer")
    for who in (site, world.root, world.node):
        refused(world, who, order(offer), "NOT_PERMITTED", "Table 1")


def test_an_offer_holds_to_the_last_millisecond(world: World, alice: Party, site: Party) -> None:
    offer = only_offer(world, alice)
    asked_at = world.at
    world.at = asked_at + LIFE_MS - 1
    world.must(site, job_changes(job("9")))  # heard of
    granted(world, alice, order(offer, cores=1))
    world.at += 1
    refused(world, alice, order(offer, cores=1), "OUTDATED", "ended 0 ms ago")
    refused(world, alice, order("", request=offer.partition("-")[0], queue="", cores=1), "OUTDATED", "ended 0 ms ago")


def gone(world: World, site: Party) -> None:
    tell_state(world, site, "c1", queue("other", cluster="c1"))


def silent(world: World, _site: Party) -> None:
    world.at += 600_000  # and one before


def smaller(world: World, site: Party) -> None:
    tell_state(world, site, "c1", queue(cluster="c1", max_cores=15))


def shorter(world: World, site: Party) -> None:
    tell_state(world, site, "c1", queue(cluster="c1", max_walltime_seconds=HOUR - 1))


def without_price(world: World, site: Party) -> None:
    world.must(site, Registration(cluster="c1", login_address="login.c1.example", programs=(GROMACS,)))


def without_program(world: World, site: Party) -> None:
    world.must(site, Registration(cluster="c1", login_address="login.c1.example", rates=RATES))


def busy(world: World, site: Party) -> None:
    tell_state(world, site, "c1", queue(cluster="c1", cores_used=113, cores_available=15))


def unknown(world: World, site: Party) -> None:
    tell_state(world, site, "c1", queue(cluster="c1", cores_used=None, cores_available=None))


CHANGES: list[tuple[Callable[[World, Party], None], str, str]] = [
    (closed, "CLOSED", "takes no jobs now"),
    (gone, "CLOSED", "takes no jobs now"),
    (suspended, "NOT_APPROVED", "takes part no longer"),
    (provider_suspended, "NOT_APPROVED", "takes part no longer"),
    (provider_revoked, "NOT_APPROVED", "takes part no longer"),
    (silent, "OUTDATED", "600001 ms, at most 600000 ms"),
    (smaller, "OUTDATED", "does not meet CORES any more: 16 are needed, 15 are there"),
    (shorter, "OUTDATED", "does not meet WALLTIME any more: 3600 are needed, 3599 are there"),
    (without_price, "OUTDATED", "does not meet PRICED any more"),
    (without_program, "OUTDATED", "does not meet PROGRAMS any more"),
    (busy, "NO_CAPACITY", "16 cores of q1 of r"),
    (unknown, "NO_CAPACITY", "unknown are now"),
]


@pytest.mark.parametrize(("change", "code", "reason"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_no_longer_as_offered(
    world: World, alice: Party, change: Callable[[World, Party], None], code: str, reason: str
) -> None:
    site = open_cluster(world, "c1", world.enrol("site", Role.PROVIDER), programs=(GROMACS,))
    offer = only_offer(world, alice, programs=(GROMACS,), walltime_seconds=HOUR)
    world.at += 1
    change(world, site)
    refused(world, alice, order(offer), code, reason)
    found = refusal(world, alice, order("", request=offer.partition("-")[0], queue=""))
    assert found[0] == code
    assert "can be rented; the best: " in found[1]


def test_programs_that_would_be_installed_are_so_no_longer(world: World, alice: Party) -> None:
    site = open_cluster(world, "c1", None, installs_programs=True)
    offer = only_offer(world, alice, programs=(GROMACS,))
    assert granted(world, alice, order(offer, cores=1)).to_install == (GROMACS,)
    assert granted(world, alice, order("", request=offer.partition("-")[0], queue="", cores=1)).to_install == (GROMACS,)
    world.must(site, Registration(cluster="c1", login_address="login.c1.example", rates=RATES))
    refused(world, alice, order(offer), "OUTDATED", "does not meet PROGRAMS any more")
    world.must(site, Registration(cluster="c1", login_address="login.c1.example", rates=RATES, programs=(GROMACS,)))
    granted(world, alice, order(offer))


def test_the_last_cores_are_rented_once(world: World, alice: Party, bob: Party) -> None:
    open_cluster(world, "c1", None, queue(cluster="c1", cores_available=16))
    first, second = only_offer(world, alice), only_offer(world, bob)
    granted(world, alice, order(first))
    refused(world, bob, order(second), "NO_CAPACITY", "16 cores of q1 of r")
    refused(world, bob, order(second, cores=1), "NO_CAPACITY", "1 cores of q1")
    assert balance_of(world.state, "bob") == Balance(member="bob", balance=CREDIT, held=0)


def test_the_last_gpus_are_rented_once(world: World, alice: Party, bob: Party) -> None:
    open_cluster(world, "c1", None, queue(cluster="c1", gpus_total=4, gpus_used=2))
    first, second = only_offer(world, alice, cores=1, gpus=2), only_offer(world, bob, cores=1, gpus=2)
    granted(world, alice, order(first, cores=1, gpus=1))
    refused(world, bob, order(second, cores=1, gpus=2), "NO_CAPACITY", "2 GPUs of q1")
    granted(world, bob, order(second, cores=1, gpus=1))


def test_who_was_told_to_wait_may_rent_a_place_in_the_queue(world: World, alice: Party, bob: Party) -> None:
    open_cluster(world, "c1", None, queue(cluster="c1", cores_available=16, cores_used=112))
    granted(world, alice, order(only_offer(world, alice)))
    (offer,) = offers_of(world, bob, ask(world, bob))
    assert (offer.queues[0].cores_free, offer.queues[0].wait_seconds) == (0, -(-16 * 24 * HOUR // 112))
    granted(world, bob, order(offer.offer))
    assert held_of(world.state, "c1", "batch") == (32, 0)


def test_nobody_rents_without_credit(world: World, alice: Party, site: Party) -> None:
    poor = world.enrol("poor", Role.USER)
    offer = only_offer(world, poor)
    refused(world, poor, order(offer), "NO_CREDIT", f"{DEPOSIT} micro-units are needed, 0 are there")
    world.must(world.root, Credit(member="poor", amount=DEPOSIT - 1, reference="1"))
    refused(world, poor, order(offer), "NO_CREDIT", f"{DEPOSIT - 1} are there")
    world.must(world.root, Credit(member="poor", amount=1, reference="2"))
    granted(world, poor, order(offer))
    assert balance_of(world.state, "poor") == Balance(member="poor", balance=0, held=DEPOSIT)
    refused(world, poor, order(offer), "NO_CREDIT", "0 are there")


def test_nobody_rents_from_itself(world: World, alice: Party, site: Party) -> None:
    """Matching leaves a member's own clusters out; should an offer of one ever stand, it is refused all the same."""
    stored = stored_offer(world.state, only_offer(world, alice))
    assert stored is not None
    with pytest.raises(Refused, match="nobody rents from itself"):
        choose(world.state, "site", order(stored.offer.offer), at=world.at)


def test_a_user_that_is_suspended_or_revoked_rents_nothing(world: World, alice: Party, bob: Party, site: Party) -> None:
    offer = only_offer(world, alice)
    world.must(world.root, Decision(name="alice", vetting=Vetting.SUSPENDED, note=""))
    refused(world, alice, order(offer), "NOT_APPROVED", "alice is SUSPENDED")
    offer = only_offer(world, bob)
    world.must(world.root, Revocation(member="bob", installation=None, reason=""))
    assert isinstance(world.send(bob, order(offer)), NoEntry)


def test_bounds_of_a_deposit_and_its_extra_limit(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice, extra_limit=MAX_MICRO - 1 - DEPOSIT)
    assert rental.deposit + rental.extra_limit == MAX_MICRO - 1
    world.must(alice, Cancellation(rental=rental.rental))


def test_a_deposit_that_is_no_amount(world: World, alice: Party) -> None:
    open_cluster(
        world, "c1", None, queue(cluster="c1", max_walltime_seconds=None), rates=Rates(cpu_core_per_hour=1 << 53, gpu_core_per_hour=0)
    )
    offer = only_offer(world, alice)
    refused(world, alice, order(offer, walltime_seconds=MAX_WALLTIME_SECONDS), "MALFORMED", "deposit and extra_limit together")


def test_the_end_of_time_is_not_passed(world: World, alice: Party) -> None:
    open_cluster(
        world, "c1", None, queue(cluster="c1", max_walltime_seconds=(1 << 40) - 1), rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)
    )
    assert rented(world, alice, cores=1).latest_at == MAX_INSTANT


LOW_ORDER = [
    *sealingkeys._LOW_ORDER,
    (1 << 255) - 19,
    (1 << 255) - 18,
    (1 << 255) | 1,
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_keys_with_which_nothing_is_secret(point: int) -> None:
    key = point.to_bytes(32, "little")
    asked, body = Request(cores=1), RentalOrder(request="r1", cores=1, sealing_key=key)
    assert order_fault(body, asked).startswith("sealing_key")
    with pytest.raises(ValueError, match=r"(?i)shared key|exchange"):  # the library finds a secret of zeros
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))


@given(private=st.binary(min_size=32, max_size=32))
def test_every_key_that_somebody_made_is_taken(private: bytes) -> None:
    key = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    assert order_fault(RentalOrder(request="r1", cores=1, sealing_key=key), Request(cores=1)) == ""


@given(
    cores=st.integers(-2, 20), gpus=st.integers(-2, 6), seconds=st.none() | st.integers(-2, 100), extra=st.integers(-2, 3),
)
def test_an_order_is_sound_if_and_only_if_each_figure_is(cores: int, gpus: int, seconds: int | None, extra: int) -> None:
    asked = Request(cores=10, gpus=3, walltime_seconds=50)
    body = RentalOrder(request="r1", cores=cores, gpus=gpus, walltime_seconds=seconds, extra_limit=extra)
    sound = 1 <= cores <= 10 and 0 <= gpus <= 3 and (seconds is None or 1 <= seconds <= 50) and extra >= 0
    assert (order_fault(body, asked) == "") is sound




def best(record: RequestRecord, **changes: Any) -> RentalOrder:
    return order("", request=record.request, queue="", **changes)


def test_the_best_is_the_cheapest_that_starts_soonest(world: World, alice: Party) -> None:
    waiting = queue(cluster="cheap", cores_available=0, cores_used=128)
    open_cluster(world, "cheap", None, waiting, rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0))
    open_cluster(world, "dear", None, rates=Rates(cpu_core_per_hour=9, gpu_core_per_hour=0))
    middle = open_cluster(world, "middle", None, rates=Rates(cpu_core_per_hour=5, gpu_core_per_hour=0))
    assert granted(world, alice, best(ask(world, alice))).cluster == "middle"
    record = ask(world, alice)
    tell_state(world, middle, "middle", queue(cluster="middle", cores_available=0, cores_used=128))
    assert granted(world, alice, best(record)).cluster == "dear", "the best that still is as offered"
    assert granted(world, alice, best(ask(world, alice, cores=60), cores=60)).cluster == "dear", "all wait; there for the shortest time"


def test_the_best_is_not_traded_for_a_worse_one_for_want_of_credit(world: World, alice: Party) -> None:
    open_cluster(world, "cheap", None, queue(cluster="cheap", cores_available=0, cores_used=128))
    open_cluster(world, "dear", None, rates=Rates(cpu_core_per_hour=10**9, gpu_core_per_hour=0))
    refused(world, alice, best(ask(world, alice)), "NO_CREDIT", "are needed")


def test_the_best_of_nothing(world: World, alice: Party) -> None:
    refused(world, alice, best(ask(world, alice)), "NOT_FOUND", "has no offers")


def test_the_best_skips_what_the_order_does_not_fit(world: World, alice: Party) -> None:
    cheap = Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)
    open_cluster(world, "short", None, queue(cluster="short", max_walltime_seconds=HOUR), rates=cheap)
    open_cluster(world, "long")
    assert granted(world, alice, best(ask(world, alice), walltime_seconds=2 * HOUR)).cluster == "long"
    assert granted(world, alice, best(ask(world, alice), walltime_seconds=HOUR)).cluster == "short"


def test_where_none_can_be_rented_the_best_says_why(world: World, alice: Party) -> None:
    cheap = Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)
    first = open_cluster(world, "c1", None, rates=cheap)
    open_cluster(world, "c2")
    record = ask(world, alice)
    world.must(world.root, Decision(name="c2", vetting=Vetting.SUSPENDED, note=""))
    tell_state(world, first, "c1", dataclasses.replace(queue(cluster="c1"), open=False))
    refused(world, alice, best(record), "CLOSED", "can be rented; the best: q1 of r")


def test_the_best_looks_at_so_many_only(world: World, alice: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cluster(world, "c1", None, rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0))
    open_cluster(world, "c2")
    record = ask(world, alice)
    closed_queue = dataclasses.replace(queue(cluster="c1"), open=False)
    tell_state(world, first, "c1", closed_queue)
    monkeypatch.setattr(orders, "MOST_TRIED", 1)
    refused(world, alice, best(record), "CLOSED", "no offer of r")
    monkeypatch.setattr(orders, "MOST_TRIED", 2)
    assert granted(world, alice, best(record)).cluster == "c2"


def test_no_refusal_names_anybody(world: World, alice: Party) -> None:
    site = blind_site(world)
    reasons: list[str] = []

    def tried(offer: str, **changes: Any) -> None:
        reasons.append(refusal(world, alice, order(offer, **changes))[1])
        if "queue" not in changes:
            reasons.append(refusal(world, alice, order("", request=offer.partition("-")[0], queue="", **changes))[1])

    for changes, _, _ in BAD_ORDERS:
        if "offer" not in changes:
            tried(only_offer(world, alice), **({"queue": "q1"} | changes))
    offer = only_offer(world, alice, cores=64, programs=(GROMACS,))
    states = [
        queue("wolfram", cluster="quetzal", max_cores=8),
        queue("wolfram", cluster="quetzal", cores_available=1),
        queue("other", cluster="quetzal"),
        dataclasses.replace(queue("wolfram", cluster="quetzal"), open=False),
    ]
    for state in states:
        world.at += 1
        tell_state(world, site, "quetzal", state)
        tried(offer, cores=64)
    world.must(world.root, Parameters(values=(("heard_within_ms", 60_000),)))
    world.at += 60_001
    tried(offer, cores=64)
    world.must(world.root, Decision(name="zanzibar", vetting=Vetting.SUSPENDED, note=""))
    tried(offer, cores=64)
    world.at += LIFE_MS
    tried(offer, cores=64)
    assert len(set(reasons)) > 20
    seen = "\0".join(reasons).lower().encode() + told_to(world, "alice").lower()
    assert b"q1 of r" in seen, "the search finds what is there"
    assert [name for name in SECRETS if name in seen] == []


def test_without_its_looks_at_the_present_an_old_offer_would_be_rented(
    world: World, alice: Party, site: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of the refusals above."""
    offer = only_offer(world, alice)
    closed(world, site)
    refused(world, alice, order(offer), "CLOSED", "takes no jobs")
    monkeypatch.setattr(orders, "lot_fault", lambda _lot, _wanted: None)
    granted(world, alice, order(offer))


def test_offers_hold_what_their_price_is_made_of(world: World, alice: Party, site: Party) -> None:
    stored = stored_offer(world.state, only_offer(world, alice))
    assert stored is not None
    assert stored.deposit_permille == 300
    assert StoredOffer.__dataclass_fields__.keys() >= {"deposit_permille", "price_version"}
    assert encode_word(stored)


def test_offers_of_a_queue_registered_with_a_kind_of_gpu(world: World, alice: Party) -> None:
    registered = (QueueOffer(name="batch", gpu_type="A100", gpus=4),)
    site = open_cluster(world, "c1", None, queue(cluster="c1", gpus_total=8, gpus_used=0), queues=registered)
    offer = only_offer(world, alice, cores=1, gpus=4, gpu_type="a100")
    changed = (QueueOffer(name="batch", gpu_type="H100", gpus=4),)
    world.must(site, Registration(cluster="c1", login_address="l", rates=RATES, queues=changed))
    refused(world, alice, order(offer, cores=1, gpus=4), "OUTDATED", "does not meet GPU_TYPE any more")
    assert granted(world, alice, order(offer, cores=1, gpus=0)).gpus == 0
