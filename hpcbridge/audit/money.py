# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The money of a log: proven, then counted again in an auditor's own books, and both compared to the micro-unit.

The replay shows that the ledger did what its program says; this shows that the program charged what docs/market.md says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpcbridge.audit.books import Books, RentalBook
from hpcbridge.audit.replay import Replay
from hpcbridge.audit.verify import Hidden, Leaf, LogFault, LogVerifier, Pins, Verified
from hpcbridge.contract.accounts import balance_of, credited
from hpcbridge.contract.market import statement_prefix
from hpcbridge.contract.records import decode_word
from hpcbridge.contract.state import StateView, scan_all
from hpcbridge.fold import open_envelope
from hpcbridge.model.entries import Checkpoint, Entry, Event
from hpcbridge.model.market import MAX_MICRO, Balance, Micro, Rental, StatementLine
from hpcbridge.model.transactions import Body, PayloadType
from hpcbridge.wire.convert import ITEM_TYPES, decode_body, decode_sound_items

_MONEY = frozenset({
    PayloadType.GENESIS, PayloadType.PARAMETERS, PayloadType.CREDIT, PayloadType.REGISTRATION, PayloadType.REQUEST, PayloadType.RENTAL,
    PayloadType.JOB_CHANGES,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What an auditor computed, after the ledger's own figures were found to be the same. `lines` counts those of all statements."""

    credited: Micro
    accounts: tuple[Balance, ...]
    rentals: tuple[tuple[Rental, tuple[StatementLine, ...]], ...]
    lines: int


def prove_money(
    leaves: Iterable[Leaf],
    note: str,
    pins: Pins,
    *,
    seen: Iterable[Checkpoint] = (),
    watch: Callable[[int], None] = lambda _: None,
) -> tuple[Verified, Money]:
    """Proves a whole log as `prove_log` does and counts its money again; LogFault naming the entry where a figure is another."""
    verifier = LogVerifier(pins)
    replay = Replay(pins.origin, verify=verifier.recheck)
    books = Books()
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, Hidden):
            raise LogFault(index, "is hidden: money can only be counted in a whole log", hint="an auditor or admin exports all of it")
        entry = verifier.add(leaf)
        events = replay.add(leaf, entry)
        if entry is not None:
            take_entry(books, entry, events)
        watch(verifier.size)
    return verifier.finish(note, seen=seen), compare(books, replay.state)


def take_entry(books: Books, entry: Entry, events: tuple[Event, ...]) -> None:
    """One entry of a log, proven already, into the books."""
    opened = open_envelope(entry.envelope)
    signer = opened.payload.header.submitter.member
    body, faulty = _body(opened.envelope.payload_type, opened.payload.body)
    outcomes = tuple([outcome for place, outcome in enumerate(entry.outcomes) if place not in faulty])
    books.take(entry.index, entry.at, signer, body=body, outcomes=outcomes, events=events)


def compare(books: Books, view: StateView) -> Money:
    """The books, if the ledger's state says the same of every rental and account; LogFault naming the first difference."""
    rentals = tuple(_compare_rental(book, view) for book in books.rentals.values())
    known = {key.removeprefix("rental/") for key, _ in scan_all(view, "rental/")}
    if len(known) != len(books.rentals):
        raise LogFault(None, f"money: the ledger has {len(known)} rentals, {len(books.rentals)} were granted")
    names = sorted({key.removeprefix("account/") for key, _ in scan_all(view, "account/")} | books.accounts.keys())
    accounts = tuple(Balance(member=name, balance=books.accounts[name].balance, held=books.accounts[name].held) for name in names)
    for mine in accounts:
        theirs = balance_of(view, mine.member)
        if theirs != mine:
            said, right = f"{theirs.balance} and {theirs.held} held", f"{mine.balance} and {mine.held} held"
            raise LogFault(None, f"money: {mine.member} has {said}, by the rules {right}")
    there = sum(account.balance + account.held for account in accounts)
    if not there == books.credited == credited(view):
        raise LogFault(None, f"money: {there} is there, {books.credited} was credited, the ledger says {credited(view)}")
    return Money(credited=books.credited, accounts=accounts, rentals=rentals, lines=sum(len(lines) for _, lines in rentals))


def _compare_rental(book: RentalBook, view: StateView) -> tuple[Rental, tuple[StatementLine, ...]]:
    name = book.granted.rental
    theirs = [decode_word(StatementLine, data) for _, data in scan_all(view, statement_prefix(name))]
    for mine, line in zip(book.lines, theirs, strict=False):
        if mine != line:
            raise LogFault(line.index, f"money: line {line.ordinal} of {name} says {_words(line)}, by the rules it is {_words(mine)}")
    if len(theirs) != len(book.lines):
        raise LogFault(None, f"money: the statement of {name} has {len(theirs)} lines, by the rules {len(book.lines)}")
    rental = decode_word(Rental, view.get(f"rental/{int(name[1:]):015d}") or b"")
    said = (rental.held, rental.charged, rental.refunded, rental.not_covered)
    right = (book.held, book.charged, book.refunded, min(book.not_covered, MAX_MICRO - 1))  # a store counts no further
    if said != right:
        raise LogFault(None, f"money: held, charged, refunded and not covered of {name} are {said}, by the rules {right}")
    return rental, tuple(book.lines)


def _words(line: StatementLine) -> str:
    usage = "" if line.usage is None else f" for job {line.usage.job_id}, {line.usage.outcome}, priced {line.usage.charge}"
    return f"{line.kind} {line.amount} in entry {line.index}{usage}"


def _body(payload_type: str, data: bytes) -> tuple[Body | None, frozenset[int]]:
    """The body of a type that moves money, without the items nobody could read, and their places; None for any other."""
    if payload_type not in _MONEY:
        return None, frozenset()
    kind = PayloadType(payload_type)
    try:
        if kind in ITEM_TYPES:
            body, faults = decode_sound_items(kind, data)
            return body, frozenset(place for place, _ in faults)
        return decode_body(kind, data), frozenset()
    except ValueError:
        return None, frozenset()  # refused as a whole, as the replay has shown
