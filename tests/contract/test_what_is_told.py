# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Over the kept log of every story: who is told what, in one order whatever is cut off, and nothing personal in any byte.

Users must not be told of providers before they rent, providers never of users; and an entry is for ever, so nobody's data may be in one.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcbridge.contract.events import decode_event
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.records import Group, Number, StoredEntry
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Cursor, Entry, Event, EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import Envelope, Payload, PayloadType
from hpcbridge.service.answers import event_message
from hpcbridge.wire.convert import BODY_TYPES, decode
from tests.contract.market_book import CLUSTERS, PARTIES, USERS
from tests.contract.version_1 import read_leaves
from tests.contract.version_2 import LOG

AUDIENCES = [None, "", *PARTIES]
PROVIDERS = tuple(CLUSTERS.values())
NAMES_OF_USERS = [*USERS, *(f"{name}/main" for name in USERS)]
NAMES_OF_SITES = [*PROVIDERS, "login.c1", "login.c2"]
BEFORE_RENTING = {EventType.CREDITED, EventType.REQUEST_ANSWERED}
"""What a user hears of the market before it rents."""


@cache
def folded() -> tuple[Applied, ...]:
    """Every entry with what it caused."""
    state, found = WorkingState(), []
    for leaf in read_leaves(LOG):
        entry = decode(Entry, leaf)
        applied = fold(state, entry.envelope, index=entry.index, at=entry.at, proposer=entry.proposer, origin="test")
        assert isinstance(applied, Applied)
        state.put(applied)
        found.append(applied)
    return tuple(found)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A ledger's store on disk with the kept log."""
    with Store.open(tmp_path_factory.mktemp("store") / "ledger.db", create=True) as made:
        tree = Tree(made)
        for applied in folded():
            tree.append(leaf_hash(applied.leaf))
            number = None if applied.number is None else Number(**applied.number._asdict())
            entry = StoredEntry(index=applied.entry.index, leaf=applied.leaf, number=number, events=applied.events)
            group = Group(
                entries=(entry,), writes=dict(applied.writes), tiles=tree.take_full_tiles(), root=tree.root(), engine_position=tree.size
            )
            made.append(group)
        yield made


def read(store: Store, cursor: Cursor, audience: str | None, *, page: int) -> list[tuple[Cursor, Event]]:
    """Everything after a cursor, page by page."""
    found: list[tuple[Cursor, Event]] = []
    while rows := store.events_after(cursor, page, audience):
        found += rows
        cursor = rows[-1][0]
    return found


@pytest.mark.parametrize("audience", AUDIENCES)
def test_resumed_at_every_position_the_same_follows(store: Store, audience: str | None) -> None:
    whole = read(store, Cursor(0, 0), audience, page=1000)
    for place, (cursor, _) in enumerate(whole):
        rest = store.events_after(cursor, 40, audience)
        assert rest == whole[place + 1 : place + 41]
    for index in range(len(folded())):
        assert store.events_after(Cursor(index, 0), 3, audience) == [row for row in whole if row[0].index >= index][:3]


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(audience=st.sampled_from(AUDIENCES), page=st.integers(1, 300), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_cut_anywhere_and_resumed_nothing_is_lost_or_doubled(store: Store, audience: str | None, page: int, cuts: list[int]) -> None:
    """A subscriber that is cut off after so many events, again and again, and goes on from the last one it has."""
    whole = read(store, Cursor(0, 0), audience, page=1000)
    got: list[tuple[Cursor, Event]] = []
    for cut in cuts:
        got += read(store, got[-1][0] if got else Cursor(0, 0), audience, page=page)[:cut]
    got += read(store, got[-1][0] if got else Cursor(0, 0), audience, page=page)
    assert got == whole


def test_the_numbers_of_an_audience_have_no_hole(store: Store) -> None:
    """By them a subscriber sees that something was kept from it."""
    for audience in ("", *PARTIES):
        numbers = [event.audience_number for _, event in read(store, Cursor(0, 0), audience, page=100)]
        assert numbers == list(range(1, len(numbers) + 1))
    whole = read(store, Cursor(0, 0), None, page=100)
    parts = [row for audience in ("", *PARTIES) for row in read(store, Cursor(0, 0), audience, page=100)]
    assert sorted(parts, key=lambda row: (row[0].index, row[0].ordinal)) == whole


def events_for(*audiences: str) -> list[Event]:
    return [event for applied in folded() for event in applied.events if event.audience in audiences]


def as_sent(event: Event) -> bytes:
    """The bytes a subscriber gets."""
    return event_message(Cursor(1, 1), event, 0).SerializeToString()


def leaks(data: bytes, names: list[str]) -> list[str]:
    """Names that stand in encoded bytes as a text of their own: after their length, as both encodings write it."""
    return [name for name in names if any(head + name.encode() in data for head in (bytes([len(name)]), bytes([0xA0 | len(name)])))]


def said(value: object, names: list[str]) -> list[str]:
    """Names that stand anywhere in the texts of a record as a word: `ann` is in `cannot`, and nobody is meant by that."""
    if isinstance(value, str):
        return [name for name in names if re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", value)]
    if dataclasses.is_dataclass(value):
        return [name for field in dataclasses.fields(value) for name in said(getattr(value, field.name), names)]
    return [name for each in value for name in said(each, names)] if isinstance(value, tuple) else []


def all_leaks(event: Event, names: list[str]) -> list[str]:
    return leaks(as_sent(event), names) + leaks(event.body, names) + said(event.subject, names) + said(decode_event(event).record, names)


def test_no_provider_is_told_a_users_name() -> None:
    told = events_for(*PROVIDERS)
    assert len(told) > 200
    assert {event.type for event in told} >= {EventType.RENTAL_GRANTED, EventType.PASSCODE_ASKED, EventType.RENTAL_CORRECTED}
    for event in told:
        assert all_leaks(event, NAMES_OF_USERS) == [], decode_event(event)


def test_no_user_is_told_a_sites_name_before_it_rents() -> None:
    told = [event for event in events_for(*USERS) if event.type in BEFORE_RENTING]
    assert len(told) > 40
    for event in told:
        assert all_leaks(event, NAMES_OF_SITES) == []


def test_control_the_names_are_there_to_be_found() -> None:
    granted = [event for event in events_for(*USERS) if event.type is EventType.RENTAL_GRANTED]
    assert all(leaks(as_sent(event), NAMES_OF_SITES) and leaks(event.body, NAMES_OF_SITES) for event in granted)
    assert all(said(decode_event(event).record, NAMES_OF_USERS) for event in granted)


def test_no_reason_of_a_refusal_tells_more_than_was_known() -> None:
    """Reasons go back with the receipt, to the submitter alone."""
    reasons = 0
    for applied in folded():
        payload = decode(Payload, decode(Envelope, applied.entry.envelope).payload)
        role = PARTIES.get(payload.header.submitter.member)
        for reason in applied.reasons:
            reasons += 1
            if role is Role.USER:
                others = [name for name in USERS if name != payload.header.submitter.member]
                assert said(reason, NAMES_OF_SITES + others) == [], reason
            if role is Role.PROVIDER:
                assert said(reason, NAMES_OF_USERS) == [], reason
    assert reasons > 40


def test_a_receipt_holds_the_submitters_own_words_and_nobody_elses() -> None:
    """The leaf is what a submitter gets back. What an entry caused stands in it as a hash."""
    for applied in folded():
        envelope = applied.entry.envelope
        assert applied.leaf.count(envelope) == 1
        rest = applied.leaf.replace(envelope, b"")
        assert leaks(rest, NAMES_OF_USERS + NAMES_OF_SITES) == []
        assert len(rest) < 200 + 4 * len(applied.entry.outcomes)


PERSONAL = {"contact", "mail", "email", "address", "phone", "person", "passcode", "password", "secret", "surname", "birthday", "orcid"}
ALLOWED = {"login_address"}
"""Of a frontend, not of a person."""


def fields_of(kind: type) -> Iterator[tuple[str, object]]:
    """Every field of a word and of the words in it."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        yield field.name, hints[field.name]
        for inner in _classes(hints[field.name]):
            yield from fields_of(inner)


def _classes(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    elif isinstance(hint, types.UnionType) or typing.get_origin(hint) is not None:
        for part in typing.get_args(hint):
            yield from _classes(part)


def test_no_word_of_an_entry_has_a_place_for_personal_data() -> None:
    """R15: addresses go sealed by the relay; what remains is names that members chose, and notes whose authors are told so."""
    kinds = set(BODY_TYPES.values())
    assert len(kinds) == len(PayloadType)
    found = {f"{kind.__name__}.{name}" for kind in kinds for name, _ in fields_of(kind) if set(name.split("_")) & PERSONAL}
    assert {name.rpartition(".")[2] for name in found} <= ALLOWED, found
