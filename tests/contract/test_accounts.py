# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Credits and moves of money: once for each reference, never below zero, and never more or less of it than was credited."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcbridge.contract import accounts, marketqueries
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.records import StoredAccount, StoredMember, encode_stored
from hpcbridge.contract.state import Draft, MemoryState
from hpcbridge.errors import IntegrityError, Refused
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.market import MAX_MICRO, Balance, Credit
from hpcbridge.model.transactions import Revocation
from hpcbridge.wire.convert import encode
from tests.fold_world import World

ADMIN = Caller(submitter=Submitter("root", "desk"), role=Role.ADMIN)
NAMES = ("ann", "bob", "site")


def test_a_credit_counts_once_for_each_reference(world: World) -> None:
    user = world.enrol("ann", Role.USER)
    world.enrol("bob", Role.USER)
    credit = Credit(member="ann", amount=5_000_000, reference="bill 7")
    (event,) = world.must(world.root, credit).events
    assert (event.type, event.audience, decode_event(event).record) == ("CREDITED", "ann", credit)
    assert world.outcomes(world.root, credit) == ["ALREADY_EXISTS"]
    assert world.outcomes(world.root, Credit(member="ann", amount=1, reference="bill 7")) == ["ALREADY_EXISTS"]
    world.must(world.root, Credit(member="bob", amount=1, reference="bill 7"))
    world.must(world.root, Credit(member="ann", amount=2, reference="bill 8"))
    assert marketqueries.balance(world.state, world.caller(user)) == Balance(member="ann", balance=5_000_002, held=0)
    assert (accounts.credited(world.state), accounts.money_fault(world.state)) == (5_000_003, "")


@pytest.mark.parametrize(
    ("member", "amount", "reference", "code"),
    [
        ("ann", 0, "a", "MALFORMED"),
        ("ann", MAX_MICRO + 1, "a", "MALFORMED"),
        ("ann", (1 << 64) - 1, "a", "MALFORMED"),
        ("ann", 1, "", "MALFORMED"),
        ("ann", 1, "x" * 129, "MALFORMED"),
        ("nobody", 1, "a", "NOT_FOUND"),
        ("\u0430nn", 1, "a", "NOT_FOUND"),
        ("root", 1, "a", "NOT_APPROVED"),
        ("ledger", 1, "a", "NOT_APPROVED"),
        ("gone", 1, "a", "NOT_APPROVED"),
    ],
)
def test_credits_that_make_no_sense(world: World, member: str, amount: int, reference: str, code: str) -> None:
    world.enrol("ann", Role.USER)
    world.enrol("gone", Role.USER)
    world.must(world.root, Revocation(member="gone", installation=None, reason=""))
    assert world.outcomes(world.root, Credit(member=member, amount=amount, reference=reference)) == [code]
    assert accounts.credited(world.state) == 0


def test_all_credits_together_stay_within_what_a_store_keeps(world: World) -> None:
    world.enrol("ann", Role.USER)
    world.enrol("bob", Role.USER)
    world.must(world.root, Credit(member="ann", amount=MAX_MICRO, reference="a"))
    assert world.outcomes(world.root, Credit(member="bob", amount=1, reference="a")) == ["MALFORMED"]


def test_amounts_that_are_no_amounts_cannot_be_written() -> None:
    for amount in (-1, 1 << 64, 1.5):
        with pytest.raises(ValueError):  # noqa: PT011 -- protobuf words it, and not in each version alike
            encode(Credit(member="ann", amount=amount, reference="a"))  # type: ignore[arg-type]


def beginning(amount: int = 1000) -> MemoryState:
    state = MemoryState()
    for name in NAMES:
        role = Role.PROVIDER if name == "site" else Role.USER
        member = StoredMember(role=role, vetting=Vetting.APPROVED, revoked=False, attributes=(), enrolled_at=0)
        state.write([(f"member/{name}", encode_stored(member))])
        move(state, credit_of(name, amount, "a"))
    return state


def credit_of(name: str, amount: int, reference: str) -> Callable[[Draft], None]:
    return lambda draft: accounts.credit(draft, ADMIN, Credit(member=name, amount=amount, reference=reference), 0)


def move(state: MemoryState, step: Callable[[Draft], object]) -> bool:
    """One transaction: takes over what it writes, or nothing if it is refused or impossible."""
    draft = Draft(state)
    try:
        step(draft)
    except (Refused, IntegrityError):
        return False
    state.write(draft.effects((), ()).writes)
    return True


amounts = st.integers(-10, 2500)
names = st.sampled_from(NAMES)
steps = st.one_of(
    st.builds(lambda name, amount: lambda draft: accounts.hold(draft, name, amount), names, amounts),
    st.builds(lambda name, amount: lambda draft: accounts.release(draft, name, amount), names, amounts),
    st.builds(lambda payer, payee, amount: lambda draft: accounts.pay_from_held(draft, payer, payee, amount=amount), names, names, amounts),
    st.builds(lambda payer, payee, amount: lambda draft: accounts.pay_up_to(draft, payer, payee, amount=amount), names, names, amounts),
    st.builds(credit_of, names, amounts, st.sampled_from(["a", "b", "c"])),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=30))
def test_money_is_conserved_at_every_step(story: list[Callable[[Draft], object]]) -> None:
    state = beginning()
    for step in story:
        move(state, step)
        assert accounts.money_fault(state) == ""


def test_the_invariant_notices() -> None:
    faults = ((999, 0, "were credited"), (1001, 0, "were credited"), (2000, -1000, "below zero"), (-1, 1001, "below zero"))
    for balance, held, word in faults:
        state = beginning()
        state.write([("account/ann", encode_stored(StoredAccount(balance=balance, held=held)))])
        assert word in accounts.money_fault(state)


def test_moves() -> None:
    state = beginning()
    assert move(state, lambda draft: accounts.hold(draft, "ann", 300))
    assert not move(state, lambda draft: accounts.hold(draft, "ann", 701))
    assert move(state, lambda draft: accounts.pay_from_held(draft, "ann", "site", amount=100))
    assert not move(state, lambda draft: accounts.pay_from_held(draft, "ann", "site", amount=201))
    assert not move(state, lambda draft: accounts.release(draft, "ann", 201))
    assert move(state, lambda draft: accounts.release(draft, "ann", 200))
    assert move(state, lambda draft: accounts.pay_up_to(draft, "ann", "site", amount=5000))
    assert accounts.balance_of(state, "ann") == Balance(member="ann", balance=0, held=0)
    assert accounts.balance_of(state, "site") == Balance(member="site", balance=2000, held=0)
    assert not move(state, lambda draft: accounts.hold(draft, "site", -1))


def test_who_sees_an_account(world: World) -> None:
    user, other, site = world.enrol("ann", Role.USER), world.enrol("bob", Role.USER), world.provider()
    auditor = world.enrol("aud", Role.USER, attributes=(("auditor", "true"),))
    for looker in (user, world.root, auditor):
        assert marketqueries.balance(world.state, world.caller(looker), "ann").member == "ann"
    for looker in (other, site):
        with pytest.raises(Refused, match="NOT_FOUND"):
            marketqueries.balance(world.state, world.caller(looker), "ann")
    with pytest.raises(Refused, match="NOT_FOUND"):
        marketqueries.balance(world.state, world.caller(world.root), "nobody")
