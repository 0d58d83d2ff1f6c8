# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An auditor's own books agree with the ledger's whatever was said to a market, and do not where the contract charges wrongly."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from hpcbridge.audit.books import Books
from hpcbridge.audit.charges import great_circle, rates_at
from hpcbridge.audit.money import Money, compare, take_entry
from hpcbridge.audit.replay import Replay
from hpcbridge.audit.verify import LogFault
from hpcbridge.contract import apply, pricing, settlement
from hpcbridge.contract.distance import metres_between
from hpcbridge.contract.state import MemoryState
from hpcbridge.model.clusters import Rates
from hpcbridge.model.entries import Entry
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.market import Bearer, LineKind, RentalEnd
from hpcbridge.model.transactions import Body, JobChanges, Tick
from hpcbridge.wire.convert import decode, payload_type_of
from tests.contract.market_book import HOUR, Book, observe, opened, rented, run
from tests.contract.test_market_machine import Market
from tests.contract.version_1 import read_leaves
from tests.contract.version_2 import LOG


def audited(book: Book, signed: Mapping[Body, Body] = MappingProxyType({})) -> Money:
    """The whole story of a market again, entry by entry, into an auditor's books. `signed`: bodies that members signed otherwise."""
    again = Book.__new__(Book)
    again.state = MemoryState()
    again._found()
    books = Books()
    for index, (caller, body, at) in enumerate(book.story):
        effects = apply(again.state, caller, payload_type_of(body), body=body, at=at, index=index)
        again.state.write(effects.writes)
        books.take(index, at, caller.member, body=signed.get(body, body), outcomes=effects.outcomes, events=effects.events)
    return compare(books, again.state)


class AuditedMarket(Market):
    """Says anything to a market, and has the books counted again at the end."""

    lines = 0

    def teardown(self) -> None:
        super().teardown()
        AuditedMarket.lines += audited(self.book).lines


def test_the_books_agree_whatever_was_said() -> None:
    AuditedMarket.lines = 0
    rounds = settings(max_examples=60, stateful_step_count=60, derandomize=True, deadline=None, database=None, phases=(Phase.generate,),
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    run_state_machine_as_test(AuditedMarket, settings=rounds)
    assert AuditedMarket.lines > 200


@pytest.mark.full
def test_the_books_agree_for_a_long_time() -> None:
    AuditedMarket.lines = 0
    rounds = settings(max_examples=3000, stateful_step_count=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(AuditedMarket, settings=rounds)
    assert AuditedMarket.lines > 50_000


def test_the_kept_log_of_every_story() -> None:
    """Real envelopes: each end, notice, correction and refusal that the market knows."""
    replay, books = Replay("test"), Books()
    for leaf in read_leaves(LOG):
        take_entry(books, decode(Entry, leaf), replay.add(leaf))
    money = compare(books, replay.state)
    assert {rental.end for rental, _ in money.rentals} == set(RentalEnd)
    kinds = Counter(line.kind for _, lines in money.rentals for line in lines)
    assert kinds[LineKind.DEPOSIT] == kinds[LineKind.REFUND] == len(money.rentals)
    assert min(kinds[LineKind.USAGE], kinds[LineKind.CORRECTION]) >= 3


def worked() -> Book:
    """A job that the user bears, one that the site bears, one beyond every limit, and the end."""
    book = opened(rates=Rates(cpu_core_per_hour=20_001, gpu_core_per_hour=0))
    rental = rented(book, extra_limit=100_000)
    for job_id, seconds, outcome in (("1", 3601, Outcome.COMPLETED), ("2", 600, Outcome.NODE_FAILED), ("3", 9 * 3600, Outcome.TIMEOUT)):
        start = book.at
        observe(book, run(rental, job_id, started_at=start))
        book.at += seconds * 1000
        observe(book, run(rental, job_id, JobState.DONE, outcome=outcome, started_at=start, ended_at=book.at))
    second, start = rented(book, "bob"), book.at
    observe(book, run(second, "4", started_at=start, cores=8))
    book.at += HOUR
    ended = run(second, "4", JobState.DONE, started_at=start, ended_at=book.at, cores=8)
    observe(book, ended)
    observe(book, dataclasses.replace(ended, wall_seconds=1801))
    book.at += 2 * HOUR
    book.accepted("ledger", Tick())
    return book


def test_a_story_counted_by_hand() -> None:
    money = audited(worked())
    (rental, lines), (other, more) = money.rentals
    deposit = 16 * 20_001 * 10 * 3 // 10
    first, third = 16 * 3601 * 20_001 // 3600, 16 * 9 * 3600 * 20_001 // 3600
    paid = deposit - first + 100_000
    assert [(line.kind, line.amount) for line in lines] == [
        (LineKind.DEPOSIT, deposit), (LineKind.USAGE, first), (LineKind.USAGE, 0), (LineKind.USAGE, paid), (LineKind.REFUND, 0),
    ]  # fmt: skip
    assert rental.not_covered == third - paid
    accounts = {account.member: account.balance + account.held for account in money.accounts}
    hour, less = 8 * 20_001, 8 * 1801 * 20_001 // 3600
    assert [(line.kind, line.amount) for line in more][1:] == [
        (LineKind.USAGE, hour), (LineKind.CORRECTION, less - hour), (LineKind.REFUND, deposit - less),
    ]  # fmt: skip
    income = Counter({rental.provider: first + paid}) + Counter({other.provider: less})
    assert accounts == {"ann": 10_000_000 - first - paid, "bob": 10_000_000 - less} | income
    assert money.credited == sum(accounts.values()) == 20_000_000


def test_both_ways_to_a_distance_agree_to_the_metre() -> None:
    chance = random.Random(7)
    places = [(chance.randint(-90_000_000, 90_000_000), chance.randint(-180_000_000, 180_000_000)) for _ in range(400)]
    for here, there in itertools.pairwise((*places, (0, 0), (0, 0), (0, 1), (90_000_000, 5), (-90_000_000, 7), (1_000, 180_000_000))):
        assert abs(great_circle(here, there) - metres_between(here, there)) <= 1


def test_a_surcharge_for_each_hundred_kilometres_begun() -> None:
    base = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000)
    near, far = (18_790_000, 98_990_000), (53_550_000, 9_990_000)
    for cluster, basis_points in ((near, 600), (far, 5000), (None, 0)):
        rates = rates_at(base, user=(13_800_000, 100_500_000), cluster=cluster, per_step=100, cap=5000)
        assert rates == (Rates(cpu_core_per_hour=20_000 + 2 * basis_points, gpu_core_per_hour=900_000 + 90 * basis_points),)


def one_more(function: Callable[..., int]) -> Callable[..., int]:
    return lambda *arguments, **named: function(*arguments, **named) + 1


@pytest.mark.parametrize(("name", "wrong"), [
    ("metering.charge", one_more(pricing.charge)),
    ("metering.BEARERS", dict.fromkeys(Outcome, Bearer.USER)),
    ("metering.seconds_of", lambda *_, limit: limit),
    ("quotes.weigh_rates", lambda asked, _: Rates(cpu_core_per_hour=asked.cpu_core_per_hour + 1, gpu_core_per_hour=0)),
    ("orders.deposit", lambda per_hour, seconds, *, permille: per_hour * permille * seconds // 3_600_000 + 7),
    ("settlement._pay", lambda draft, rental, price, pay=settlement._pay: pay(draft, rental, min(price, rental.held))),
    ("settlement.release", lambda *_: None),
    ("accounts._receive", lambda *_: None),
    ("usage.charge_run", lambda *said, **named: settlement.charge_run(*said, **(named | {"paid": 0, "before": named["before"] // 2}))),
])  # fmt: skip
def test_control_a_contract_that_charges_wrongly_is_found_out(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book, "say", unchecked)
    monkeypatch.setattr(f"hpcbridge.contract.{name}", wrong)
    book = worked()
    with pytest.raises(LogFault, match="money"):
        audited(book)


def unchecked(book: Book, who: str, body: Any) -> Any:
    """As `Book.say`, without the checks that would find the fault first."""
    effects = book.enter(who, body)
    book._note(body, effects)
    return effects


def test_control_what_no_provider_signed_is_not_charged() -> None:
    book = worked()
    ended = next(said for _, said, _ in book.story if isinstance(said, JobChanges) and said.changes[0].job.ended_at)
    job = dataclasses.replace(ended.changes[0].job, ended_at=(ended.changes[0].job.ended_at or 0) - 1000)
    signed = dataclasses.replace(ended, changes=(dataclasses.replace(ended.changes[0], job=job),))
    with pytest.raises(LogFault, match="never signed"):
        audited(book, signed={ended: signed})
