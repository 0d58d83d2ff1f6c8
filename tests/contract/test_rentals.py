# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Rentals on a ledger: what is granted, in which form each side sees it, how it is given back, and what is said of its account."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.contract import marketqueries, rentals
from hpcbridge.contract.accounts import balance_of, money_fault
from hpcbridge.contract.capacity import held_of
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.market import (
    due_of,
    for_provider,
    open_rentals,
    stored_rental,
    tenant_rental,
)
from hpcbridge.contract.usernames import username_choice
from hpcbridge.model.clusters import Rates, Registration
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from hpcbridge.model.market import (
    AccountReport,
    AccountState,
    Balance,
    Cancellation,
    Credit,
    LineKind,
    Rental,
    RentalEnd,
    RentalOrder,
    RentalState,
)
from hpcbridge.model.transactions import Parameters
from hpcbridge.wire.convert import encode
from tests.contract.market_sites import HOUR, RATES, ask, offers_of, open_cluster, queue, tell_state
from tests.contract.rental_book import (
    CREDIT,
    DEPOSIT,
    GRACE_MS,
    KEY,
    SECRETS,
    blind_site,
    everything,
    granted,
    now,
    only_offer,
    order,
    refusal,
    refused,
    rented,
    rented_on,
    report,
    told_to,
)
from tests.fold_world import DAY_MS, Party, World, job, job_changes
from tests.test_fold_replay import replay


def test_a_rental_takes_its_terms_from_the_offer(world: World, alice: Party, site: Party) -> None:
    record = ask(world, alice, walltime_seconds=2 * HOUR)
    (offer,) = offers_of(world, alice, record)
    world.at += 1000
    applied = world.must(alice, order(offer.offer, extra_limit=77))
    rental = stored_rental(world.state, f"l{applied.entry.index}")
    assert rental is not None
    assert rental == Rental(
        rental=f"l{applied.entry.index}",
        request=record.request,
        offer=offer.offer,
        member="alice",
        submitter="alice/notebook",
        username=rental.username,
        cluster="c1",
        provider="site",
        login_address="login.c1.example",
        queue="batch",
        cores=16,
        gpus=0,
        walltime_seconds=2 * HOUR,
        limit_seconds=24 * HOUR,
        to_install=(),
        rates=RATES,
        price_version=1,
        deposit=DEPOSIT,
        extra_limit=77,
        sealing_key=KEY,
        state=RentalState.GRANTED,
        end=None,
        index=applied.entry.index,
        granted_at=world.at,
        expires_at=world.at + 7 * DAY_MS,
        latest_at=world.at + 7 * DAY_MS + 24 * HOUR * 1000 + GRACE_MS,
        held=DEPOSIT,
    )
    assert offer.queues[0].deposit == DEPOSIT
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT - DEPOSIT, held=DEPOSIT)
    assert held_of(world.state, "c1", "batch") == (16, 0)
    assert open_rentals(world.state, "c1") == [rental.rental]
    assert due_of(world.state, rental.rental) == (rental.expires_at, RentalEnd.EXPIRED)
    assert tenant_rental(world.state, "c1", rental.username) == rental
    assert tenant_rental(world.state, "c2", rental.username) is None
    (line,) = marketqueries.statement(world.state, world.caller(alice), rental.rental)
    assert (line.ordinal, line.kind, line.index, line.at, line.amount) == (1, LineKind.DEPOSIT, rental.index, world.at, DEPOSIT)


def test_both_sides_are_told_each_in_its_form(world: World, alice: Party, site: Party) -> None:
    applied = world.must(alice, order(only_offer(world, alice)))
    to_user, to_site = applied.events
    whole, blind = decode_event(to_user).record, decode_event(to_site).record
    assert isinstance(whole, Rental)
    assert [(event.type, event.audience, event.subject) for event in applied.events] == [
        (EventType.RENTAL_GRANTED, "alice", whole.rental),
        (EventType.RENTAL_GRANTED, "site", whole.rental),
    ]
    assert (whole.provider, whole.login_address, whole.queue) == ("site", "login.c1.example", "batch")
    assert blind == dataclasses.replace(whole, member=None, submitter=None, request=None, offer=None)
    assert whole.username in str(blind)


def test_what_a_rental_costs_is_what_was_offered_whatever_changes_since(world: World, alice: Party, site: Party) -> None:
    offer = only_offer(world, alice)
    dearer = Rates(cpu_core_per_hour=99_000, gpu_core_per_hour=0)
    world.must(site, Registration(cluster="c1", login_address="login.c1.example", rates=dearer))
    world.must(world.root, Parameters(values=(("deposit_permille", 1000), ("surcharge_bp_per_100km", 100_000))))
    tell_state(world, site, "c1", queue(cluster="c1", max_walltime_seconds=48 * HOUR))
    rental = granted(world, alice, order(offer))
    assert (rental.rates, rental.price_version, rental.deposit, rental.limit_seconds) == (RATES, 1, DEPOSIT, 24 * HOUR)
    later = granted(world, alice, order(only_offer(world, alice, cores=1), cores=1))
    assert (later.rates, later.price_version, later.deposit) == (dearer, 2, 99_000 * 48)
    assert now(world, rental) == rental


def test_less_than_asked_for_costs_less(world: World, alice: Party, site: Party) -> None:
    rental = granted(world, alice, order(only_offer(world, alice, walltime_seconds=HOUR), cores=1, walltime_seconds=1))
    assert (rental.cores, rental.walltime_seconds, rental.deposit) == (1, 1, 20_000 * 24 * 300 // 1000)
    assert held_of(world.state, "c1", "batch") == (1, 0)


def test_a_queue_without_a_limit_is_rented_for_the_walltime_of_the_order(world: World, alice: Party) -> None:
    open_cluster(world, "c1", None, queue(cluster="c1", max_walltime_seconds=None))
    offer = only_offer(world, alice)
    refused(world, alice, order(offer), "MALFORMED", "has no limit of walltime, and so the order must name one")
    rental = granted(world, alice, order(offer, walltime_seconds=10 * HOUR))
    assert (rental.limit_seconds, rental.deposit) == (10 * HOUR, 16 * 20_000 * 10 * 300 // 1000)
    again = granted(world, alice, order(only_offer(world, alice, walltime_seconds=HOUR)))
    assert (again.walltime_seconds, again.limit_seconds) == (HOUR, HOUR)


def test_gpus_are_held_and_paid(world: World, alice: Party) -> None:
    open_cluster(world, "c1", None, queue(cluster="c1", gpus_total=8, gpus_used=4))
    rental = granted(world, alice, order(only_offer(world, alice, cores=1, gpus=4), cores=1, gpus=3))
    assert rental.deposit == (20_000 + 3 * 900_000) * 24 * 300 // 1000
    assert held_of(world.state, "c1", "batch") == (1, 3)


def test_a_deposit_is_rounded_up_and_is_nothing_only_where_the_network_wants_none(world: World, alice: Party) -> None:
    open_cluster(world, "c1", None, rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0))
    assert rented(world, alice, cores=1).deposit == 8  # 7.2
    world.must(world.root, Parameters(values=(("deposit_permille", 0),)))
    rental = rented(world, alice)
    assert (rental.deposit, rental.held) == (0, 0)
    world.must(alice, Cancellation(rental=rental.rental))


def test_no_sealing_key_is_a_choice_too(world: World, alice: Party, site: Party) -> None:
    assert rented(world, alice, sealing_key=b"").sealing_key == b""


def test_usernames_of_rentals_differ_and_are_named_forever(world: World, alice: Party, bob: Party, site: Party) -> None:
    found = [rented(world, user, cores=1) for user in (alice, bob, alice)]
    assert len({each.username for each in found}) == 3
    world.must(alice, Cancellation(rental=found[0].rental))
    tenant = tenant_rental(world.state, "c1", found[0].username)
    assert tenant is not None
    assert tenant.state is RentalState.ENDED




def whole_life(world: World, user: Party, site: Party) -> Rental:
    """Granted, ready, used, failed, cancelled, ended, closed: everything that is ever told."""
    first = rented(world, user)
    world.must(site, AccountReport(rental=first.rental, state=AccountState.READY, text="made"))
    world.at += 1000
    run = job("7", JobState.RUNNING, cluster="quetzal", owner=first.username, started_at=world.at, cores=20)
    world.must(site, job_changes(run, observed_at=world.at, cluster="quetzal"))
    second = rented(world, user, cores=1)
    world.must(user, Cancellation(rental=second.rental))
    third = rented(world, user, cores=1)
    world.must(site, AccountReport(rental=third.rental, state=AccountState.FAILED, text="no"))
    world.must(site, AccountReport(rental=third.rental, state=AccountState.CLOSED))
    world.at = first.latest_at
    world.tick()
    return first


def test_the_user_learns_the_provider_and_the_provider_never_the_user(world: World, alice: Party) -> None:
    site = blind_site(world)
    before = told_to(world, "alice")
    assert [name for name in SECRETS if name in before] == []
    rental = whole_life(world, alice, site)
    seen = told_to(world, "alice")
    assert all(name in seen for name in SECRETS), "after renting"
    answers = b"".join(
        encode(each) for each in marketqueries.rentals(world.state, world.caller(site)).rentals
    ) + b"".join(encode(line) for line in marketqueries.statement(world.state, world.caller(site), rental.rental))
    hidden = [b"alice", b"notebook", str(rental.request).encode() + b"-", rental.rental.replace("l", "r").encode()]
    for shown in (told_to(world, "zanzibar"), answers):
        assert rental.username.encode() in shown
        assert [name for name in hidden if name in shown] == []
    assert money_fault(world.state) == ""


def test_the_leak_test_would_find_a_leak(world: World, alice: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with one form for both sides the same search finds the user."""
    monkeypatch.setattr(rentals, "for_provider", lambda rental: rental)
    site = blind_site(world)
    whole_life(world, alice, site)
    assert b"alice" in told_to(world, "zanzibar")


def test_two_rentals_of_one_user_have_nothing_in_common_for_the_provider(world: World, alice: Party, site: Party) -> None:
    first, second = (rented(world, alice, sealing_key=b"") for _ in range(2))
    same = {"cluster", "provider", "login_address", "queue", "cores", "gpus", "rates", "deposit", "state"}
    one, other = dataclasses.asdict(for_provider(first)), dataclasses.asdict(for_provider(second))
    for name in ("username", "rental"):
        assert one[name] != other[name]
    assert {one[name] for name in ("member", "submitter", "request", "offer")} == {None}
    assert all(one[name] == other[name] for name in same)




def test_a_rental_given_back_before_its_first_job_costs_nothing(world: World, alice: Party, bob: Party, site: Party) -> None:
    for ready in (False, True):
        rental = rented(world, alice, cores=16)
        if ready:
            world.must(site, AccountReport(rental=rental.rental, state=AccountState.READY))
        refused(world, bob, Cancellation(rental=rental.rental), "NOT_FOUND", "bob has no rental")
        refused(world, site, Cancellation(rental=rental.rental), "NOT_PERMITTED", "Table 1")
        world.at += 5
        world.must(alice, Cancellation(rental=rental.rental))
        ended = now(world, rental)
        assert (ended.state, ended.end, ended.ended_at) == (RentalState.ENDED, RentalEnd.CANCELLED, world.at)
        assert (ended.held, ended.charged, ended.refunded) == (0, 0, DEPOSIT)
        assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT, held=0)
        assert held_of(world.state, "c1", "batch") == (0, 0)
        assert (open_rentals(world.state, "c1"), due_of(world.state, rental.rental)) == ([], None)
        refused(world, alice, Cancellation(rental=rental.rental), "ILLEGAL_TRANSITION", "has ended: CANCELLED")


def test_a_rental_in_use_is_not_given_back(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.must(site, job_changes(job(owner=rental.username, submitted_at=world.at), observed_at=world.at))
    assert now(world, rental).state is RentalState.USED
    refused(world, alice, Cancellation(rental=rental.rental), "ILLEGAL_TRANSITION", "has a job and ends with it")


@pytest.mark.parametrize("name", ["", "l0", "l99", "r5", "l1 ", "L1", "x" * 1000])
def test_rentals_that_are_not_there(world: World, alice: Party, site: Party, name: str) -> None:
    refused(world, alice, Cancellation(rental=name), "NOT_FOUND", "alice has no rental")
    refused(world, site, AccountReport(rental=name, state=AccountState.READY), "NOT_FOUND", "site has no cluster with a rental")




def test_an_account_that_is_ready(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.at += 10
    applied = world.must(site, report(rental, AccountState.READY, "made by hand"))
    found = now(world, rental)
    assert found == dataclasses.replace(
        rental, state=RentalState.READY, ready_at=world.at, account=AccountState.READY, account_text="made by hand"
    )
    assert [(event.type, event.audience, decode_event(event).record) for event in applied.events] == [
        (EventType.RENTAL_READY, "alice", found),
        (EventType.RENTAL_READY, "site", for_provider(found)),
    ]
    world.at += 1
    before = everything(world)
    assert world.must(site, report(rental, AccountState.READY, "again")).events == ()
    assert everything(world) == before
    refused(world, site, report(rental, AccountState.FAILED), "ILLEGAL_TRANSITION", "cannot become FAILED: its account is READY")
    refused(world, site, report(rental, AccountState.CLOSED), "ILLEGAL_TRANSITION", "cannot become CLOSED: it is open")


def test_an_account_that_cannot_be_made_gives_everything_back(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.at += 10
    applied = world.must(site, report(rental, AccountState.FAILED, "disk is full"))
    ended = now(world, rental)
    assert (ended.state, ended.end, ended.account, ended.account_text) == (
        RentalState.ENDED, RentalEnd.FAILED_BY_SITE, AccountState.FAILED, "disk is full",
    )
    assert (ended.refunded, ended.charged, ended.held) == (DEPOSIT, 0, 0)
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT, held=0)
    assert [(event.type.value, event.audience) for event in applied.events] == [
        (each, who) for each in ("RENTAL_FAILED", "RENTAL_ENDED", "RENTAL_SETTLED") for who in ("alice", "site")
    ]
    before = everything(world)
    assert world.must(site, report(rental, AccountState.FAILED, "still")).events == ()
    assert everything(world) == before
    refused(world, site, report(rental, AccountState.READY), "ILLEGAL_TRANSITION", "it has ended: FAILED_BY_SITE")
    world.must(site, report(rental, AccountState.CLOSED))


def test_an_account_is_closed_after_the_end_and_once(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.must(site, report(rental, AccountState.READY))
    world.must(alice, Cancellation(rental=rental.rental))
    refused(world, site, report(rental, AccountState.FAILED), "ILLEGAL_TRANSITION", "it has ended: CANCELLED")
    before = now(world, rental)
    assert world.must(site, report(rental, AccountState.CLOSED, "gone")).events == ()
    assert now(world, rental) == dataclasses.replace(before, account=AccountState.CLOSED, account_text="gone")
    state = everything(world)
    world.must(site, report(rental, AccountState.CLOSED))
    assert everything(world) == state
    refused(world, site, report(rental, AccountState.READY), "ILLEGAL_TRANSITION", "it has ended")


def test_an_account_that_came_too_late(world: World, alice: Party, site: Party) -> None:
    """The user gave it back while it was made: the provider is told so, closes it, and says that."""
    rental = rented(world, alice)
    world.must(alice, Cancellation(rental=rental.rental))
    refused(world, site, report(rental, AccountState.READY), "ILLEGAL_TRANSITION", "it has ended: CANCELLED")
    world.must(site, report(rental, AccountState.CLOSED))
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT, held=0)


def test_a_job_may_be_seen_before_the_word_on_its_account(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.must(site, job_changes(job(owner=rental.username, submitted_at=world.at), observed_at=world.at))
    refused(world, site, report(rental, AccountState.FAILED), "ILLEGAL_TRANSITION", "cannot become FAILED: a job of it was seen")
    world.must(site, report(rental, AccountState.READY))
    assert (now(world, rental).state, now(world, rental).account) == (RentalState.USED, AccountState.READY)


def test_words_on_accounts_that_make_no_sense(world: World, alice: Party, bob: Party, site: Party) -> None:
    other = open_cluster(world, "c2")
    rental = rented_on(world, alice, "c1")
    refused(world, site, report(rental, AccountState.READY, "x" * 257), "MALFORMED", "text: at most 256 characters")
    refused(world, other, report(rental, AccountState.READY), "NOT_FOUND", "c2-org has no cluster with a rental")
    for who in (alice, bob, world.root):
        refused(world, who, report(rental, AccountState.READY), "NOT_PERMITTED", "Table 1")
    world.must(site, report(rental, AccountState.READY, "x" * 256))







def test_a_replica_comes_to_the_same_bytes(world: World, alice: Party) -> None:
    site = blind_site(world)
    whole_life(world, alice, site)
    leaves = [applied.leaf for applied in world.applied]
    state, made = replay(leaves)
    assert made == leaves
    assert state.digest() == world.state.digest()


def test_the_worked_examples_of_the_page(world: World) -> None:
    """docs/market.md, "Renting", "Usernames" and "Life of a rental"."""
    chiang_mai: dict[str, Any] = {"latitude_microdegrees": 18_787_700, "longitude_microdegrees": 98_993_100}
    bangkok: dict[str, Any] = {"latitude_microdegrees": 13_756_300, "longitude_microdegrees": 100_501_800}
    figures = queue(cluster="c1", max_walltime_seconds=48 * HOUR, gpus_total=8, gpus_used=0, cores_used=88, cores_available=40)
    site = open_cluster(world, "c1", None, figures, **chiang_mai)
    users = [world.enrol(name, Role.USER) for name in ("first", "second")]
    for user in users:
        world.must(world.root, Credit(member=user.submitter.member, amount=50_000_000, reference="1"))
    wanted: dict[str, Any] = {"cores": 32, "gpus": 2}
    offer, same, other = (only_offer(world, user, **wanted, **bangkok) for user in (users[0], users[0], users[1]))
    rental = granted(world, users[0], order(offer, **wanted))
    assert (rental.deposit, balance_of(world.state, "first").balance) == (37_244_160, 12_755_840)
    refused(world, users[1], order(other, **wanted), "NO_CAPACITY", "32 cores of q1")
    assert "; 8 are now" in refusal(world, users[1], order(other, **wanted))[1]
    (later,) = offers_of(world, users[1], ask(world, users[1], **wanted, **bangkok))
    assert later.queues[0].cores_free == 8
    assert later.queues[0].wait_seconds
    tell_state(world, site, "c1", dataclasses.replace(figures, cores_used=0, cores_available=128))
    refused(world, users[0], order(same, **wanted), "NO_CREDIT", "37244160 micro-units are needed, 12755840 are there")
    new_year = rental.granted_at
    assert rental.expires_at == new_year + 7 * DAY_MS
    assert rental.latest_at == new_year + 9 * DAY_MS + HOUR * 1000
    page = (Path(__file__).resolve().parents[2] / "docs" / "market.md").read_text()
    for figure in ("37,244,160", "12,755,840", "10 January at 01:00", username_choice(b"\0" * 32, "l1", 0)):
        assert figure in page


def test_so_many_open_rentals_and_no_more(world: World, alice: Party, bob: Party, site: Party) -> None:
    world.must(world.root, Parameters(values=(("rentals_open", 2),)))
    found = [rented(world, alice, cores=1) for _ in range(2)]
    offer = only_offer(world, alice)
    refused(world, alice, order(offer, cores=1), "TOO_MANY", "alice has 2 open rentals, a member may have 2")
    refused(world, alice, RentalOrder(request=offer.partition("-")[0], cores=1), "TOO_MANY", "may have 2")
    rented(world, bob, cores=1)
    world.must(alice, Cancellation(rental=found[0].rental))
    granted(world, alice, order(offer, cores=1))
    world.must(world.root, Parameters(values=(("rentals_open", 0),)))
    refused(world, alice, order(offer, cores=1), "TOO_MANY", "may have 0")
    assert now(world, found[1]) == found[1]


def test_twenty_open_rentals_unless_an_admin_says_otherwise(world: World, alice: Party, site: Party) -> None:
    offer = only_offer(world, alice)
    for _ in range(20):
        granted(world, alice, order(offer, cores=1))
    refused(world, alice, order(offer, cores=1), "TOO_MANY", "20 open rentals")
    world.must(world.root, Parameters(values=(("rentals_open", 21),)))
    granted(world, alice, order(offer, cores=1))
