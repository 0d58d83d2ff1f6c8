# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Another passcode for an account: who may ask, when, how often, and what the provider hears of it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.contract.events import decode_event
from hpcbridge.contract.market import for_provider
from hpcbridge.model.clusters import Registration
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.market import AccountRenewal, AccountReport, AccountState, Cancellation, Credit, Rental
from hpcbridge.model.transactions import Parameters
from tests.contract.market_sites import RATES, open_cluster
from tests.contract.rental_book import CREDIT, KEY, now, refusal, rented
from tests.fold_world import DAY_MS, Party, World

SITE_KEY = X25519PrivateKey.from_private_bytes(b"\x09" * 32).public_key().public_bytes_raw()


def key(number: int) -> bytes:
    return X25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")).public_key().public_bytes_raw()


@pytest.fixture(name="site")
def _site(world: World) -> Party:
    return open_cluster(world, "c1", world.enrol("site", Role.PROVIDER), sealing_key=SITE_KEY)


@pytest.fixture(name="alice")
def _alice(world: World, site: Party) -> Party:
    party = world.enrol("alice", Role.USER)
    world.must(world.root, Credit(member="alice", amount=CREDIT, reference="first"))
    return party


@pytest.fixture(name="rental")
def _rental(world: World, alice: Party) -> Rental:
    return rented(world, alice)


def ready(world: World, site: Party, rental: Rental) -> None:
    world.must(site, AccountReport(rental=rental.rental, state=AccountState.READY))


def test_the_user_sees_the_providers_key_and_the_provider_the_rentals(world: World, site: Party, rental: Rental) -> None:
    assert (rental.sealing_key, rental.provider_sealing_key) == (KEY, SITE_KEY)
    assert (for_provider(rental).sealing_key, for_provider(rental).member) == (KEY, None)


def test_both_are_told_and_the_provider_learns_no_name(world: World, alice: Party, site: Party, rental: Rental) -> None:
    ready(world, site, rental)
    newer = key(1)
    world.must(site, Registration(cluster="c1", login_address="login.c1.example", rates=RATES, sealing_key=key(2)))
    world.at += 5
    applied = world.must(alice, AccountRenewal(rental=rental.rental, sealing_key=newer))
    found = now(world, rental)
    assert (found.sealing_key, found.provider_sealing_key, found.renewed_at) == (newer, key(2), world.at)
    assert [(event.type, event.audience, decode_event(event).record) for event in applied.events] == [
        (EventType.PASSCODE_ASKED, "alice", found),
        (EventType.PASSCODE_ASKED, "site", for_provider(found)),
    ]
    (_, told) = applied.events
    assert b"alice" not in told.body
    assert b"alice" in applied.events[0].body


def test_only_while_there_is_an_account(world: World, alice: Party, site: Party, rental: Rental) -> None:
    body = AccountRenewal(rental=rental.rental, sealing_key=key(1))
    assert refusal(world, alice, body)[0] == "ILLEGAL_TRANSITION"
    ready(world, site, rental)
    world.must(alice, body)
    world.must(alice, Cancellation(rental=rental.rental))
    code, reason = refusal(world, alice, AccountRenewal(rental=rental.rental, sealing_key=key(2)))
    assert (code, "has ended: CANCELLED" in reason) == ("ILLEGAL_TRANSITION", True)


def test_only_its_own_user_and_others_learn_nothing(world: World, alice: Party, site: Party, rental: Rental) -> None:
    ready(world, site, rental)
    bob = world.enrol("bob", Role.USER)
    known = refusal(world, bob, AccountRenewal(rental=rental.rental, sealing_key=key(1)))
    unknown = refusal(world, bob, AccountRenewal(rental="l1", sealing_key=key(1)))
    assert known[0] == unknown[0] == "NOT_FOUND"
    assert known[1].replace(rental.rental, "l1") == unknown[1]
    assert refusal(world, site, AccountRenewal(rental=rental.rental, sealing_key=key(1)))[0] == "NOT_PERMITTED"


@pytest.mark.parametrize("bad", [b"", bytes(32), b"\x01" * 31, KEY])
def test_each_passcode_has_a_sound_key_of_its_own(world: World, alice: Party, site: Party, rental: Rental, bad: bytes) -> None:
    ready(world, site, rental)
    code, reason = refusal(world, alice, AccountRenewal(rental=rental.rental, sealing_key=bad))
    assert (code, reason.startswith("sealing_key")) == ("MALFORMED", True)


def test_so_many_a_day(world: World, alice: Party, site: Party, rental: Rental) -> None:
    ready(world, site, rental)
    world.must(world.root, Parameters(values=(("passcodes_per_day", 2),)))
    for number in (1, 2):
        world.must(alice, AccountRenewal(rental=rental.rental, sealing_key=key(number)))
    assert refusal(world, alice, AccountRenewal(rental=rental.rental, sealing_key=key(3)))[0] == "TOO_MANY"
    world.at += DAY_MS
    world.must(alice, AccountRenewal(rental=rental.rental, sealing_key=key(3)))


@pytest.mark.parametrize("bad", [bytes(32), b"short"])
def test_a_cluster_registers_no_key_with_which_nothing_is_secret(world: World, site: Party, bad: bytes) -> None:
    code, reason = refusal(world, site, Registration(cluster="c1", login_address="login", rates=RATES, sealing_key=bad))
    assert (code, reason.startswith("sealing_key")) == ("MALFORMED", True)
