# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Each end, notice, correction and refusal of the market by a story of its own, and nothing of the market that no story meets.

The books are checked at every entry. What a story meets does not depend on chance; chance is in `test_market_machine`.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

from hpcbridge.contract import access, accounts, orders, rentals, requests
from hpcbridge.contract.events import decode_event
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.market import Excess, LineKind, RentalEnd, UsageNotice
from tests.contract.market_book import PARTIES, Book, opened
from tests.contract.market_stories import CORRECTIONS, ENDS, NOTICES, OTHERS, REFUSALS, every_story

MARKET: tuple[ModuleType, ...] = (access, accounts, orders, rentals, requests)
ELSEWHERE = {
    "check_query": "questions, in test_permissions",
    "_request_of": "the rule own_request comes before: one of the two places needs an offer whose request is gone",
    "_check_still_so": "nobody rents from itself, because providers do not rent at all",
    "own_gap": "epochs, in test_permissions",
    "_known": "the rules own_rental and own_clusters_rental come before",
}
"""Functions of which a refusal is met elsewhere, or by nobody."""


class Told(Book):
    """A book that keeps what was told."""

    def __init__(self) -> None:
        self.events: Counter[EventType] = Counter()
        self.notices: set[Excess] = set()
        super().__init__()

    def enter(self, who: str, body: Any) -> Any:
        effects = super().enter(who, body)
        for event in effects.events:
            self.events[event.type] += 1
            record = decode_event(event).record
            if isinstance(record, UsageNotice):
                self.notices.add(record.excess)
        return effects


def told(story: Any) -> Told:
    book = Told()
    opened(book=book)
    story(book)
    book.check_all()
    assert {book.rental(name).state.value for name in book.rentals} <= {"ENDED"}
    assert [book.account(name)[1] for name in PARTIES] == [0] * len(PARTIES)
    assert book.replayed() == book.digest()
    return book


@pytest.mark.parametrize("end", list(RentalEnd))
def test_each_end(end: RentalEnd) -> None:
    book = told(ENDS[end])
    assert [book.rental(name).end for name in book.rentals] == [end]
    assert (book.events[EventType.RENTAL_ENDED], book.events[EventType.RENTAL_SETTLED]) == (2, 2), "both sides, once"


@pytest.mark.parametrize("excess", list(Excess))
def test_each_notice(excess: Excess) -> None:
    assert told(NOTICES[excess]).notices == {excess}


@pytest.mark.parametrize("name", list(CORRECTIONS))
def test_each_correction(name: str) -> None:
    book = told(CORRECTIONS[name])
    (rental,) = book.rentals
    corrections = [line.amount for line in book.statement(rental) if line.kind is LineKind.CORRECTION]
    signs = {"charged and paid back": [-1], "told too late": [0]}.get(name, [1])
    assert [(amount > 0) - (amount < 0) for amount in corrections] == signs


@pytest.mark.parametrize("name", list(OTHERS))
def test_each_other_story(name: str) -> None:
    told(OTHERS[name])


@pytest.mark.parametrize("name", list(REFUSALS))
def test_each_refusal(name: str) -> None:
    code, story = REFUSALS[name]
    answers: list[Any] = []
    told(lambda book: answers.append(story(book)))
    assert answers[0].outcomes == (code,), answers[0].reasons
    assert answers[0].reasons[0]


def test_every_code_of_a_refusal_is_met() -> None:
    later = {EntryOutcome.ACCEPTED, EntryOutcome.UNKNOWN_TYPE, EntryOutcome.STALE, EntryOutcome.TOKEN_INVALID}
    others = {code for code in EntryOutcome if code.name in ("EVIDENCE", "EQUIVOCATION", "DISPUTED")}
    assert {code for code, _ in REFUSALS.values()} >= set(EntryOutcome) - later - others


def test_every_place_of_the_market_that_refuses_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `raise Refused` in the market's modules is one line; the stories together come to all of them."""
    met: set[tuple[str, int]] = set()
    whole = Refused.__init__

    def noted(self: Refused, *arguments: Any, **named: Any) -> None:
        frame = sys._getframe(1)
        met.add((frame.f_code.co_filename, frame.f_lineno))
        whole(self, *arguments, **named)

    monkeypatch.setattr(Refused, "__init__", noted)
    for _, story in every_story():
        told(story)
    missed = [(name, lines) for file, name, lines in places(MARKET) if not any((file, line) in met for line in lines)]
    assert {name for name, _ in missed} <= set(ELSEWHERE), missed
    assert len(missed) <= len(ELSEWHERE) + 1
    assert len(list(places(MARKET))) > 40


def places(modules: Iterable[ModuleType]) -> Iterable[tuple[str, str, range]]:
    """File, function and lines of each `raise Refused(…)`."""
    for module in modules:
        file = inspect.getsourcefile(module) or ""
        for function in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "Refused":
                        yield file, function.name, range(node.lineno, (node.end_lineno or node.lineno) + 1)


def test_all_stories_follow_each_other_in_one_book() -> None:
    book = opened(credit=1_000_000_000)
    for _, story in every_story():
        story(book)
    book.check_all()
    assert book.replayed() == book.digest()
    assert {f"ended {end}" for end in RentalEnd} <= set(book.seen)
