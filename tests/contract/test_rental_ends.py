# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Ends of rentals that nobody asked for: by time, at the exact millisecond and once, and with a cluster that leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from hpcbridge.contract import rentals
from hpcbridge.contract.accounts import balance_of, money_fault
from hpcbridge.contract.capacity import held_of
from hpcbridge.contract.market import (
    count_open,
    due_of,
    due_rentals,
    open_rentals,
    open_rentals_of_member,
    put_rental,
    set_due,
)
from hpcbridge.contract.state import Draft, MemoryState
from hpcbridge.contract.ticks import next_deadline
from hpcbridge.errors import IntegrityError
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from hpcbridge.model.market import (
    AccountState,
    Balance,
    Cancellation,
    Rental,
    RentalEnd,
    RentalState,
)
from hpcbridge.model.transactions import Decision, Revocation
from tests.contract.market_sites import RATES, open_cluster
from tests.contract.rental_book import (
    CREDIT,
    DEPOSIT,
    GRACE_MS,
    everything,
    now,
    provider_revoked,
    provider_suspended,
    refused,
    rented,
    rented_on,
    report,
    suspended,
    told_to,
)
from tests.fold_world import DAY_MS, START_AT, Party, World, job, job_changes


def test_what_is_never_used_ends_at_its_millisecond(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    assert next_deadline(world.state) == rental.expires_at == START_AT + 7 * DAY_MS
    world.at = rental.expires_at - 1
    world.tick()
    assert now(world, rental) == rental
    world.at += 1
    applied = world.tick()
    ended = now(world, rental)
    assert (ended.end, ended.ended_at, ended.refunded) == (RentalEnd.EXPIRED, rental.expires_at, DEPOSIT)
    assert {(event.type.value, event.audience) for event in applied.events} == {
        (each, who) for each in ("RENTAL_ENDED", "RENTAL_SETTLED") for who in ("alice", "site")
    }
    assert next_deadline(world.state) is None
    before = everything(world)
    world.tick()
    assert everything(world) == before, "nothing ends twice"
    refused(world, alice, Cancellation(rental=rental.rental), "ILLEGAL_TRANSITION", "has ended: EXPIRED")


def test_what_is_ready_and_never_used_ends_too(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.must(site, report(rental, AccountState.READY))
    world.at = rental.expires_at
    world.tick()
    assert now(world, rental).end is RentalEnd.EXPIRED


def test_the_longest_time_of_a_rental_in_use(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    running = job(state=JobState.RUNNING, owner=rental.username, submitted_at=world.at, started_at=world.at)
    world.must(site, job_changes(running, observed_at=world.at))
    world.at = rental.expires_at
    world.tick()
    assert now(world, rental).state is RentalState.USED
    assert due_of(world.state, rental.rental) == (rental.latest_at, RentalEnd.OVERDUE)
    assert next_deadline(world.state) == rental.latest_at
    world.at = rental.latest_at - 1
    world.tick()
    assert now(world, rental).state is RentalState.USED
    world.at += 1
    world.tick()
    assert (now(world, rental).end, now(world, rental).refunded) == (RentalEnd.OVERDUE, DEPOSIT)
    assert money_fault(world.state) == ""
    assert held_of(world.state, "c1", "batch") == (0, 0)


def test_both_times_may_be_over_at_one_tick(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    running = job(state=JobState.RUNNING, owner=rental.username, submitted_at=world.at, started_at=world.at)
    world.must(site, job_changes(running, observed_at=world.at))
    world.at = rental.latest_at + DAY_MS
    world.tick()
    world.tick()
    assert now(world, rental).end is RentalEnd.OVERDUE


def test_the_time_of_grace_after_the_last_job(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.at += 1000
    ran: dict[str, Any] = {"owner": rental.username, "submitted_at": world.at, "started_at": world.at, "cores": 16}
    world.must(site, job_changes(job(state=JobState.RUNNING, **ran), observed_at=world.at))
    started_at = world.at
    world.at += 10_000
    done = job(state=JobState.DONE, outcome="COMPLETED", ended_at=world.at, wall_seconds=10, **ran)
    world.must(site, job_changes(done, observed_at=world.at))
    assert next_deadline(world.state) == world.at + GRACE_MS
    world.at += GRACE_MS - 1
    world.tick()
    assert now(world, rental).state is RentalState.USED
    world.at += 1
    world.tick()
    ended = now(world, rental)
    price = 16 * 10 * 20_000 // 3600
    assert (ended.end, ended.charged, ended.refunded) == (RentalEnd.COMPLETED, price, DEPOSIT - price)
    assert ended.used_at == started_at
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT - price, held=0)
    assert balance_of(world.state, "site").balance == price
    assert (next_deadline(world.state), due_of(world.state, rental.rental)) == (None, None)


def test_many_ends_take_several_ticks(world: World, alice: Party, site: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rentals, "MAX_ENDED_AT_ONCE", 2)
    found = []
    for _ in range(3):
        found.append(rented(world, alice, cores=1))
        world.at += 1
    world.at = found[-1].expires_at
    world.tick()
    assert [now(world, each).end for each in found] == [RentalEnd.EXPIRED, RentalEnd.EXPIRED, None]
    assert next_deadline(world.state) == found[-1].expires_at
    world.tick()
    assert now(world, found[-1]).end is RentalEnd.EXPIRED
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT, held=0)


def test_a_due_rental_that_is_not_on_record_stops_the_program(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.state.write([(f"rental/{rental.index:015d}", None)])
    world.at = rental.expires_at
    with pytest.raises(IntegrityError, match="is due and not on record"):
        world.tick()




LEAVING: dict[str, Callable[[World, Party], None]] = {
    "cluster suspended": suspended,
    "provider suspended": provider_suspended,
    "provider revoked": provider_revoked,
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("used", [False, True])
def test_rentals_end_with_their_cluster(
    world: World, alice: Party, site: Party, leave: Callable[[World, Party], None], *, used: bool
) -> None:
    elsewhere = open_cluster(world, "c2")
    mine, other = rented_on(world, alice, "c1"), rented_on(world, alice, "c2")
    over = rented_on(world, alice, "c1")
    world.must(alice, Cancellation(rental=over.rental))
    if used:
        running = job(state=JobState.RUNNING, owner=mine.username, submitted_at=world.at, started_at=world.at)
        world.must(site, job_changes(running, observed_at=world.at))
    world.at += 5
    leave(world, site)
    assert due_of(world.state, mine.rental) == (world.at, RentalEnd.CLUSTER_ENDED)
    assert next_deadline(world.state) == world.at
    world.tick()
    ended = now(world, mine)
    assert (ended.state, ended.end, ended.refunded) == (RentalState.ENDED, RentalEnd.CLUSTER_ENDED, DEPOSIT)
    assert now(world, over).end is RentalEnd.CANCELLED
    assert now(world, other) == other
    assert held_of(world.state, "c1", "batch") == (0, 0)
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT - DEPOSIT, held=DEPOSIT)
    assert elsewhere.role is Role.PROVIDER
    assert money_fault(world.state) == ""


def test_a_cluster_that_comes_back_at_once_does_not_keep_its_rentals(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    suspended(world, site)
    world.must(world.root, Decision(name="c1", vetting=Vetting.APPROVED, note=""))
    world.tick()
    assert now(world, rental).end is RentalEnd.CLUSTER_ENDED
    rented(world, alice)


def test_the_user_may_be_faster_than_the_tick(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    suspended(world, site)
    world.must(alice, Cancellation(rental=rental.rental))
    world.tick()
    assert now(world, rental).end is RentalEnd.CANCELLED


def user_suspended(world: World) -> None:
    world.must(world.root, Decision(name="alice", vetting=Vetting.SUSPENDED, note=""))


def user_revoked(world: World) -> None:
    world.must(world.root, Revocation(member="alice", installation=None, reason="left"))


USER_LEAVES: dict[str, Callable[[World], None]] = {"suspended": user_suspended, "revoked": user_revoked}


@pytest.mark.parametrize("leave", USER_LEAVES.values(), ids=USER_LEAVES)
@pytest.mark.parametrize("used", [False, True])
def test_rentals_end_with_their_user(
    world: World, alice: Party, bob: Party, site: Party, leave: Callable[[World], None], *, used: bool
) -> None:
    open_cluster(world, "c2")
    here, there, bobs = rented_on(world, alice, "c1"), rented_on(world, alice, "c2"), rented_on(world, bob, "c1")
    over = rented_on(world, alice, "c1")
    world.must(alice, Cancellation(rental=over.rental))
    if used:
        running = job(state=JobState.RUNNING, owner=here.username, submitted_at=world.at, started_at=world.at)
        world.must(site, job_changes(running, observed_at=world.at))
    world.at += 5
    leave(world)
    assert due_of(world.state, here.rental) == due_of(world.state, there.rental) == (world.at, RentalEnd.MEMBER_ENDED)
    assert next_deadline(world.state) == world.at
    since = len(world.applied)
    world.tick()
    for mine in (here, there):
        ended = now(world, mine)
        assert (ended.state, ended.end, ended.refunded) == (RentalState.ENDED, RentalEnd.MEMBER_ENDED, DEPOSIT)
    told = told_to(world, "site", since=since)
    assert here.username.encode() in told
    assert b"RENTAL_ENDED" in told
    assert b"alice" not in told
    assert now(world, over).end is RentalEnd.CANCELLED
    assert now(world, bobs) == bobs
    assert open_rentals_of_member(world.state, "alice") == []
    assert open_rentals_of_member(world.state, "bob") == [bobs.rental]
    assert held_of(world.state, "c1", "batch") == (bobs.cores, 0)
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT, held=0)
    assert money_fault(world.state) == ""


def test_a_job_that_ran_when_its_user_was_revoked_is_charged_by_the_usual_rules(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    ran: dict[str, Any] = {"owner": rental.username, "submitted_at": world.at, "started_at": world.at, "cores": 16}
    world.must(site, job_changes(job(state=JobState.RUNNING, **ran), observed_at=world.at))
    user_revoked(world)
    world.tick()
    world.at += 10_000
    done = job(state=JobState.DONE, outcome="COMPLETED", ended_at=world.at, wall_seconds=10, **ran)
    world.must(site, job_changes(done, observed_at=world.at))
    price = 16 * 10 * 20_000 // 3600
    assert (now(world, rental).end, now(world, rental).charged) == (RentalEnd.MEMBER_ENDED, price)
    assert balance_of(world.state, "alice") == Balance(member="alice", balance=CREDIT - price, held=0)
    assert balance_of(world.state, "site").balance == price


def test_a_user_that_comes_back_at_once_does_not_keep_its_rentals(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    user_suspended(world)
    refused(world, alice, Cancellation(rental=rental.rental), "NOT_APPROVED", "alice is SUSPENDED")
    world.must(world.root, Decision(name="alice", vetting=Vetting.APPROVED, note=""))
    assert now(world, rental).state is RentalState.GRANTED
    world.tick()
    assert now(world, rental).end is RentalEnd.MEMBER_ENDED
    rented(world, alice)


@pytest.mark.parametrize("user_first", [False, True])
def test_the_first_to_leave_is_the_reason(world: World, alice: Party, site: Party, *, user_first: bool) -> None:
    rental = rented(world, alice)
    for leave_user in (user_first, not user_first):
        if leave_user:
            user_suspended(world)
        else:
            suspended(world, site)
    world.tick()
    world.tick()
    assert now(world, rental).end is (RentalEnd.MEMBER_ENDED if user_first else RentalEnd.CLUSTER_ENDED)


def test_many_rentals_of_one_user_take_several_ticks(world: World, alice: Party, site: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rentals, "MAX_ENDED_AT_ONCE", 2)
    found = [rented(world, alice, cores=1) for _ in range(3)]
    user_revoked(world)
    world.tick()
    assert [now(world, each).end for each in found] == [RentalEnd.MEMBER_ENDED, RentalEnd.MEMBER_ENDED, None]
    world.tick()
    assert now(world, found[-1]).end is RentalEnd.MEMBER_ENDED


def test_revoking_one_installation_ends_no_rental(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.must(world.root, Revocation(member="alice", installation="notebook", reason=""))
    world.tick()
    assert now(world, rental) == rental


def test_approving_ends_nothing(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    other = world.enrol("other", Role.PROVIDER)
    world.must(other, Registration(cluster="c9", login_address="l"))
    world.must(world.root, Decision(name="c9", vetting=Vetting.REJECTED, note=""))
    world.must(world.root, Decision(name="c9", vetting=Vetting.APPROVED, note=""))
    world.tick()
    assert now(world, rental) == rental


def test_a_rental_is_put_on_lists_once_and_leaves_them_once() -> None:
    state = MemoryState()
    draft = Draft(state)
    values: dict[str, Any] = dict.fromkeys(("request", "offer", "submitter", "walltime_seconds", "end"))
    values |= {"member": "ann", "cluster": "c1", "provider": "p", "login_address": "l", "queue": "q", "to_install": ()}
    values |= dict.fromkeys(("cores", "gpus", "limit_seconds", "price_version", "deposit", "extra_limit", "index"), 1)
    values |= dict.fromkeys(("granted_at", "expires_at", "latest_at"), 1)
    rental = Rental(rental="l3", username="bbbbbbbb", rates=RATES, sealing_key=b"", state=RentalState.GRANTED, **values)
    put_rental(draft, rental)
    set_due(draft, rental, 10, end=RentalEnd.EXPIRED)
    set_due(draft, rental, 20, end=RentalEnd.CLUSTER_ENDED)
    set_due(draft, rental, 5, end=RentalEnd.OVERDUE)
    assert due_of(draft, "l3") == (20, RentalEnd.CLUSTER_ENDED)
    assert (open_rentals(draft, "c1"), open_rentals_of_member(draft, "ann"), count_open(draft, "ann")) == (["l3"], ["l3"], 1)
    assert due_rentals(draft, 19, limit=9) == []
    assert due_rentals(draft, 20, limit=9) == [("l3", RentalEnd.CLUSTER_ENDED)]
    over = dataclasses.replace(rental, state=RentalState.ENDED)
    put_rental(draft, over)
    set_due(draft, over, 5, end=RentalEnd.OVERDUE)
    put_rental(draft, over)
    assert (open_rentals_of_member(draft, "ann"), count_open(draft, "ann")) == ([], 0)
    assert (open_rentals(draft, "c1"), due_of(draft, "l3"), due_rentals(draft, 99, limit=9)) == ([], None, [])


def test_rentals_from_before_they_were_counted_count_all_the_same() -> None:
    draft = Draft(MemoryState())
    for number in (3, 4):
        draft.put(f"memberopen/ann/{number:015d}", b"")
    assert count_open(draft, "ann") == 2
