# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What members tried against the market, alone or together, through signed transactions: each test is one attempt.

The first ones once worked.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from hpcbridge.contract import jobs, market, marketqueries, usage
from hpcbridge.contract.accounts import balance_of, money_fault
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.market import due_of, stored_rental
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.settlement import tally_of
from hpcbridge.contract.state import Draft
from hpcbridge.fold import Applied
from hpcbridge.model.clusters import Program, QueueOffer, Rates, Registration
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import (
    MAX_MICRO,
    AccountReport,
    AccountState,
    Cancellation,
    Credit,
    LineKind,
    Rental,
    RentalEnd,
    RentalState,
    Requirement,
    StatementLine,
)
from hpcbridge.model.transactions import JobWatch
from hpcbridge.wire.convert import to_message
from tests.contract.market_sites import HOUR, RATES, ask, offers_of, open_cluster, queue, tell_state, why_nots_of
from tests.contract.rental_book import DEPOSIT, now, order, rented
from tests.fold_world import Party, World, job, job_changes

HUGE = (1 << 40) - 1
PRICE = 16 * 20_000
"""Of 16 cores for an hour."""


def tenant(rental: Rental, job_id: str = "1", state: JobState = JobState.RUNNING, **fields: Any) -> Job:
    return job(job_id, state, **({"owner": rental.username, "cores": 16, "gpus": 0} | fields))


def told(world: World, site: Party, *jobs_: Job) -> Applied:
    return world.must(site, job_changes(*jobs_, observed_at=world.at))


def statement(world: World, user: Party, rental: Rental) -> list[StatementLine]:
    return list(marketqueries.statement(world.state, world.caller(user), rental.rental))


def balance(world: World, party: Party) -> tuple[int, int]:
    found = balance_of(world.state, party.submitter.member)
    return found.balance, found.held


def ran(world: World, rental: Rental, job_id: str = "1", *, hours: int = 1, **fields: Any) -> Job:
    """A job that ended now."""
    start = world.at - hours * HOUR * 1000
    values = {"outcome": Outcome.COMPLETED, "started_at": start, "ended_at": world.at} | fields
    return tenant(rental, job_id, JobState.DONE, **values)


def test_what_is_not_covered_outgrows_no_store(world: World, alice: Party, site: Party) -> None:
    """A provider that makes figures up could bring the sum over what 64 bits hold, and neither event nor rental could be sent any more."""
    rental = rented(world, alice)
    for number in range(12):
        told(world, site, *(tenant(rental, f"{number}.{each}", started_at=world.at, cores=HUGE, gpus=HUGE) for each in range(2)))
    world.at += 6 * 24 * HOUR * 1000
    for number in range(12):
        ended = (ran(world, rental, f"{number}.{each}", hours=144, cores=HUGE, gpus=HUGE) for each in range(2))
        applied = told(world, site, *ended)
        for event in applied.events:
            to_message(decode_event(event).record)
    found = now(world, rental)
    assert sum(line.usage.not_covered for line in statement(world, alice, rental) if line.usage is not None) > 1 << 64
    assert found.not_covered == MAX_MICRO - 1
    assert found.charged == DEPOSIT
    to_message(found)
    assert money_fault(world.state) == ""


def test_what_is_not_covered_comes_down_again_exactly(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    world.at += 24 * HOUR * 1000
    many = [tenant(rental, str(number), JobState.DONE, outcome=Outcome.COMPLETED, started_at=world.at - 24 * HOUR * 1000,
                   ended_at=world.at, cores=HUGE, gpus=HUGE) for number in range(64)]  # fmt: skip
    for place in range(0, 64, 32):
        told(world, site, *many[place : place + 32])
    before = int(tally_of(world.state, rental.rental).missing)
    told(world, site, *(dataclasses.replace(each, wall_seconds=0) for each in many[:32]))
    told(world, site, *(dataclasses.replace(each, wall_seconds=0) for each in many[32:]))
    found = now(world, rental)
    assert before > 0
    assert (found.charged, found.not_covered, tally_of(world.state, rental.rental).missing) == (0, 0, "0")


def test_cores_that_nobody_has_are_counted_no_further_than_a_store_counts(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice)
    applied = told(world, site, *(tenant(rental, str(number), cores=HUGE) for number in range(60)))
    assert tally_of(world.state, rental.rental).cores == 60 * usage.MOST_COUNTED
    for event in applied.events:
        to_message(decode_event(event).record)


def test_a_statement_of_a_million_lines_is_read_in_order(world: World, alice: Party, site: Party) -> None:
    """Lines stand in the order of their keys: with six digits the millionth would have come before the second."""
    rental = rented(world, alice)
    draft = Draft(world.state)
    for ordinal in (999_999, 1_000_000, 1_000_001, 10_000_000):
        market.statement_line(draft, rental.rental, StatementLine(ordinal=ordinal, kind=LineKind.USAGE, index=9, at=world.at, amount=0))
    lines = marketqueries.statement(draft, world.caller(alice), rental.rental, after="999998")
    assert [line.ordinal for line in lines] == [999_999, 1_000_000, 1_000_001, 10_000_000]
    after = marketqueries.statement(draft, world.caller(alice), rental.rental, after="1000000")
    assert [line.ordinal for line in after] == [1_000_001, 10_000_000]


def test_a_tenant_does_not_fill_the_state_with_jobs_to_watch(
    world: World, alice: Party, bob: Party, site: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name was a key that stayed for good and an event for the provider."""
    monkeypatch.setattr(jobs, "MAX_TENANT_WATCHES", 3)
    first, second = rented(world, alice), rented(world, bob)
    asked = [JobWatch(cluster="c1", job_id=str(number), owner=first.username) for number in range(5)]
    assert [world.outcomes(alice, body) for body in asked] == [["ACCEPTED"]] * 3 + [["TOO_MANY"]] * 2
    assert world.outcomes(alice, asked[0]) == ["ACCEPTED"], "what is asked again costs nothing"
    assert world.applied[-1].events == ()
    assert world.outcomes(bob, dataclasses.replace(asked[4], owner=second.username)) == ["ACCEPTED"], "each account by itself"
    assert world.outcomes(bob, asked[0]) == ["NOT_PERMITTED"]


@pytest.mark.parametrize("kind", ["\u212a80", "K\u0130", "\U0001f100A100"])
def test_a_kind_of_gpu_is_the_same_word_for_every_python(world: World, alice: Party, kind: str) -> None:
    """Only A to Z have a lower case here: that of other letters is not the same in every Python, and offers are frozen in the state."""
    offered = QueueOffer(name="batch", gpus=8, gpu_type=kind)
    open_cluster(world, "c1", None, queue("batch", gpus_total=8), queues=(offered,))
    (offer,) = offers_of(world, alice, ask(world, alice, gpus=1))
    assert offer.queues[0].gpu_type == "".join(chr(ord(sign) + 32) if "A" <= sign <= "Z" else sign for sign in kind)
    (reason,) = why_nots_of(world, alice, ask(world, alice, gpus=1, gpu_type="k80"))
    assert reason.requirement is Requirement.GPU_TYPE, "a sign that looks like a K is none"


@pytest.mark.parametrize("again", ["bill 1 ", " bill 1", "bill  1", "bill\u00a01", "b\u0456ll 1", "bill 1\u0301", "x" * 129, " ", ""])
def test_a_payment_does_not_count_twice_by_a_reference_that_looks_the_same(world: World, alice: Party, again: str) -> None:
    world.must(world.root, Credit(member="alice", amount=5, reference="bill 1"))
    assert world.outcomes(world.root, Credit(member="alice", amount=5, reference="bill 1")) == ["ALREADY_EXISTS"]
    assert world.outcomes(world.root, Credit(member="alice", amount=5, reference=again)) == ["MALFORMED"]


# From here on, what never worked.


def test_a_run_told_under_many_names_costs_no_more_than_was_agreed(world: World, alice: Party, site: Party) -> None:
    rental = rented(world, alice, extra_limit=7)
    before = sum(balance(world, alice))
    world.at += 20 * HOUR * 1000
    for incarnation in range(1, 40):
        told(world, site, ran(world, rental, hours=20, incarnation=incarnation))
        told(world, site, ran(world, rental, f"1_{incarnation}", hours=20))
    assert before - sum(balance(world, alice)) == DEPOSIT + 7 == sum(balance(world, site))
    assert now(world, rental).charged == DEPOSIT + 7


def test_a_job_id_used_again_is_each_tenants_own(world: World, alice: Party, bob: Party, site: Party) -> None:
    first = rented(world, alice)
    world.at += HOUR * 1000
    told(world, site, ran(world, first))
    tell_state(world, site, "c1")
    second = rented(world, bob)
    world.at += HOUR * 1000
    assert world.outcomes(site, job_changes(ran(world, second), observed_at=world.at)) == ["ILLEGAL_TRANSITION"]
    told(world, site, ran(world, second, incarnation=2))
    assert [now(world, each).charged for each in (first, second)] == [PRICE, PRICE]


def test_a_job_is_not_moved_to_another_tenant_and_not_charged_to_both(world: World, alice: Party, bob: Party, site: Party) -> None:
    first = rented(world, alice)
    tell_state(world, site, "c1")
    second = rented(world, bob)
    told(world, site, tenant(first))
    world.at += HOUR * 1000
    assert world.outcomes(site, job_changes(ran(world, second), observed_at=world.at)) == ["ILLEGAL_TRANSITION"]
    told(world, site, ran(world, first))
    assert world.outcomes(site, job_changes(ran(world, second), observed_at=world.at)) == ["ILLEGAL_TRANSITION"]
    assert [now(world, each).charged for each in (first, second)] == [PRICE, 0]


def test_a_username_is_worth_nothing_at_another_cluster_of_the_same_provider(world: World, alice: Party, site: Party) -> None:
    open_cluster(world, "c2", site)
    rental = next(found for found in iter(lambda: rented_somewhere(world, alice), None) if found.cluster == "c1")
    world.at += HOUR * 1000
    elsewhere = dataclasses.replace(ran(world, rental), cluster="c2")
    world.must(site, job_changes(elsewhere, observed_at=world.at, cluster="c2"))
    assert now(world, rental).state is RentalState.GRANTED
    assert world.outcomes(alice, JobWatch(cluster="c2", job_id="1", owner=rental.username)) == ["NOT_PERMITTED"]


def rented_somewhere(world: World, user: Party) -> Rental:
    record = ask(world, user)
    applied = world.must(user, order(offers_of(world, user, record)[0].offer))
    found = stored_rental(world.state, f"l{applied.entry.index}")
    assert found is not None
    return found


def test_nobody_used_more_time_than_has_passed(world: World, alice: Party, site: Party) -> None:
    """Clocks of providers, far in the past or the future, and a wall time of a thousand years."""
    rental = rented(world, alice)
    world.at += 10_000
    odd: list[dict[str, Any]] = [
        {"started_at": 0, "ended_at": world.at + 1000 * HOUR},
        {"started_at": world.at + HOUR, "ended_at": world.at + 90 * HOUR * 1000},
        {"started_at": None, "ended_at": None, "wall_seconds": HUGE},
        {"started_at": world.at, "ended_at": 0, "wall_seconds": HUGE},
    ]
    told(world, site, *(ran(world, rental, str(number), **fields) for number, fields in enumerate(odd)))
    for line in statement(world, alice, rental)[1:]:
        assert line.usage is not None
        assert (line.usage.core_seconds or 0) <= 16 * 10


def test_cancel_and_first_job_in_either_order_end_in_one_refund(world: World, alice: Party, site: Party) -> None:
    for job_first in (True, False):
        tell_state(world, site, "c1")
        rental = rented(world, alice)
        started = world.at
        world.at += HOUR * 1000
        if job_first:
            told(world, site, tenant(rental, f"{job_first}", started_at=started, submitted_at=started))
            assert world.outcomes(alice, Cancellation(rental=rental.rental)) == ["ILLEGAL_TRANSITION"]
            told(world, site, ran(world, rental, f"{job_first}", submitted_at=started))
            world.at += 2 * HOUR * 1000
            world.tick()
        else:
            world.must(alice, Cancellation(rental=rental.rental))
            assert world.outcomes(alice, Cancellation(rental=rental.rental)) == ["ILLEGAL_TRANSITION"]
            told(world, site, ran(world, rental, f"{job_first}", submitted_at=started))
        kinds = [line.kind for line in statement(world, alice, rental)]
        assert kinds.count(LineKind.REFUND) == 1
        assert now(world, rental).charged == PRICE
    assert balance(world, alice)[1] == 0


def test_a_run_that_went_back_to_the_queue_is_not_charged_and_the_next_one_is(world: World, alice: Party, site: Party) -> None:
    """The written rule, with what a user may make of it: docs/market.md, what does not hold."""
    rental = rented(world, alice)
    told(world, site, tenant(rental, started_at=world.at))
    world.at += 5 * HOUR * 1000
    told(world, site, tenant(rental, state=JobState.REQUEUED, restarts=1))
    world.at += HOUR * 1000
    told(world, site, tenant(rental, started_at=world.at, restarts=1))
    world.at += HOUR * 1000
    told(world, site, ran(world, rental, restarts=1))
    assert now(world, rental).charged == PRICE


def test_no_rental_holds_a_queue_for_ever(world: World, alice: Party, site: Party) -> None:
    """A job that is held, requeued again and again, or of an array that never shrinks."""
    rental = rented(world, alice)
    waiting = [
        tenant(rental, "1", JobState.QUEUED_HELD),
        tenant(rental, "2_[]", JobState.QUEUED, array_job_id="2", array_pending=1_000_000),
    ]
    for restarts in itertools.count(1):
        waiting.append(tenant(rental, "3", JobState.REQUEUED, restarts=restarts))
        told(world, site, *waiting)
        waiting = []
        world.at += 24 * HOUR * 1000
        world.renew(site)
        world.tick()
        if now(world, rental).state is RentalState.ENDED:
            break
        assert world.at <= rental.latest_at
    assert now(world, rental).end is RentalEnd.OVERDUE
    assert due_of(world.state, rental.rental) is None
    assert world.at - rental.granted_at <= parameter(world.state, "rental_unused_ms") + 49 * HOUR * 1000


def test_two_that_work_together_make_no_money(world: World, alice: Party, site: Party) -> None:
    """User and provider move their own money to and fro as they like; it never becomes more."""
    total = sum(balance(world, alice)) + sum(balance(world, site))
    for step in range(6):
        tell_state(world, site, "c1")
        rental = rented(world, alice, extra_limit=MAX_MICRO // 2)
        world.at += HOUR * 1000
        told(world, site, tenant(rental, f"{step}", JobState.UNDETERMINED, reason="vanished"))
        told(world, site, ran(world, rental, f"{step}x", cores=HUGE))
        told(world, site, ran(world, rental, f"{step}x", cores=HUGE, wall_seconds=0))
        world.outcomes(site, AccountReport(rental=rental.rental, state=AccountState.FAILED))
        world.outcomes(alice, Cancellation(rental=rental.rental))
        world.at += 2 * HOUR * 1000
        world.tick()
        assert sum(balance(world, alice)) + sum(balance(world, site)) == total
        assert money_fault(world.state) == ""


def test_a_provider_learns_nothing_by_changing_its_queues_around_a_request(world: World, alice: Party, site: Party) -> None:
    """What it can see before and after a request of a user, but for the counts of programs, is the same byte for byte."""

    def seen() -> tuple[object, ...]:
        caller = world.caller(site)
        return (marketqueries.rentals(world.state, caller), [event for each in world.applied for event in each.events
                if event.audience == site.submitter.member and event.type is not EventType.CLUSTER_REGISTERED])  # fmt: skip

    for queues in ((QueueOffer(name="batch", max_cores=1),), (), (QueueOffer(name="gone"),)):
        world.must(site, Registration(cluster="c1", login_address="x", rates=RATES, queues=queues))
        before = seen()
        ask(world, alice, latitude_microdegrees=13_000_000, longitude_microdegrees=100_000_000)
        assert seen() == before


def test_the_rate_a_provider_sees_tells_a_distance_in_steps_only(world: World, alice: Party) -> None:
    """Documented in docs/market.md: to 100 km, and of one rental. Two places in the same step cannot be told apart."""
    site = open_cluster(world, "c1", None, rates=Rates(cpu_core_per_hour=1 << 50, gpu_core_per_hour=1 << 50),
                        latitude_microdegrees=0, longitude_microdegrees=0)  # fmt: skip
    shown = set()
    for longitude in (10_000, 400_000, 890_000):
        offer = offers_of(world, alice, ask(world, alice, cores=1, latitude_microdegrees=0, longitude_microdegrees=longitude))[0]
        shown.add(offer.queues[0].rates)
    assert len(shown) == 1
    assert site.role is Role.PROVIDER


def test_a_request_for_many_programs_does_not_fill_the_state_with_their_names(world: World, alice: Party) -> None:
    """Each cluster that lacked them had all 64 names beside it: 8 kB for each, with a thousand clusters 8 MB for each request."""
    programs = tuple(Program(name=f"{number:064d}", version="v" * 64) for number in range(64))
    for name in ("c1", "c2", "c3", "c4"):
        site = open_cluster(world, name, programs=programs[::2] if name == "c2" else programs if name == "c4" else ())
        assert site.role is Role.PROVIDER
    record = ask(world, alice, programs=programs)
    reasons = why_nots_of(world, alice, record)
    assert sorted(len(reason.missing) for reason in reasons) == [32, 64, 64]
    assert {reason.missing for reason in reasons} == {programs, programs[1::2]}
    stored = sum(len(value or b"") for key, value in world.applied[-1].writes if key.startswith("whynot/"))
    assert stored < 200
