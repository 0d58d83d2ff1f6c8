# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What tests of rentals share: orders for offers, what stands on record of a rental, and refusals that have changed nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.contract.market import (
    stored_offer,
    stored_rental,
)
from hpcbridge.fold import Applied
from hpcbridge.model.clusters import Program, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.market import (
    AccountReport,
    AccountState,
    Rental,
    RentalOrder,
)
from hpcbridge.model.transactions import Decision, Revocation
from tests.contract.market_sites import ask, offers_of, open_cluster, queue, tell_state
from tests.fold_world import Party, World

CREDIT = 100_000_000
DEPOSIT = 16 * 20_000 * 24 * 300 // 1000
"""For 16 cores in a queue of 24 hours."""
GRACE_MS = 3_600_000
KEY = X25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key().public_bytes_raw()
GROMACS = Program(name="gromacs", version="2025.1")


def order(offer: str, **changes: Any) -> RentalOrder:
    return dataclasses.replace(RentalOrder(offer=offer, queue="q1", cores=16, sealing_key=KEY), **changes)


def only_offer(world: World, user: Party, **wanted: Any) -> str:
    (offer,) = offers_of(world, user, ask(world, user, **wanted))
    return offer.offer


def granted(world: World, user: Party, body: RentalOrder) -> Rental:
    applied = world.must(user, body)
    rental = stored_rental(world.state, f"l{applied.entry.index}")
    assert rental is not None
    return rental


def rented(world: World, user: Party, **changes: Any) -> Rental:
    return granted(world, user, order(only_offer(world, user), **changes))


def now(world: World, rental: Rental) -> Rental:
    found = stored_rental(world.state, rental.rental)
    assert found is not None
    return found


def everything(world: World) -> dict[str, bytes | None]:
    """The whole state but for the chains of numbers."""
    items = world.state.items()
    return {key: value for key, value in items if not key.startswith("epoch/")}


def refusal(world: World, who: Party, body: Any) -> tuple[str, str]:
    """Code and reason; it has changed nothing, and told nobody."""
    before = everything(world)
    applied = world.send(who, body)
    assert isinstance(applied, Applied), applied
    assert everything(world) == before
    assert applied.events == ()
    (outcome,) = applied.entry.outcomes
    assert outcome.value != "ACCEPTED"
    return outcome.value, applied.reasons[0]


def refused(world: World, who: Party, body: Any, code: str, reason: str) -> None:
    found = refusal(world, who, body)
    assert found[0] == code, found
    assert reason in found[1], found


def report(rental: Rental, state: AccountState, text: str = "") -> AccountReport:
    return AccountReport(rental=rental.rental, state=state, text=text)


def rented_on(world: World, user: Party, cluster: str) -> Rental:
    for offer in offers_of(world, user, ask(world, user)):
        stored = stored_offer(world.state, offer.offer)
        if stored is not None and stored.cluster == cluster:
            return granted(world, user, order(offer.offer))
    raise AssertionError(cluster)


def closed(world: World, site: Party) -> None:
    tell_state(world, site, "c1", dataclasses.replace(queue(cluster="c1"), open=False))


def suspended(world: World, site: Party) -> None:
    world.must(world.root, Decision(name="c1", vetting=Vetting.SUSPENDED, note=""))


def provider_suspended(world: World, site: Party) -> None:
    world.must(world.root, Decision(name="site", vetting=Vetting.SUSPENDED, note=""))


def provider_revoked(world: World, site: Party) -> None:
    world.must(world.root, Revocation(member="site", installation=None, reason=""))


SECRETS = [b"quetzal", b"wolfram", b"zanzibar", b"xylophone"]


def told_to(world: World, member: str, *, since: int = 0) -> bytes:
    events = [event for applied in world.applied[since:] for event in applied.events if event.audience == member]
    return b"\0".join(part for event in events for part in (event.subject.encode(), event.body, event.type.value.encode()))


def blind_site(world: World, **registered: Any) -> Party:
    site = world.enrol("zanzibar", Role.PROVIDER)
    values: dict[str, Any] = {"login_address": "xylophone.example", "programs": (GROMACS,)} | registered
    return open_cluster(world, "quetzal", site, queue("wolfram", cluster="quetzal"), **values)
