# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The passcode of a rental, from the key that is made for it to the opened text: the user's side, for command line and Python client.

A key is on disk before its order is sent, and goes when the order is refused, the passcode was read, or the rental has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from hpcbridge.contract.market import rental_name
from hpcbridge.errors import HpcbridgeError, IdentityError, LedgerUnavailable, ReceiptPending
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.passcode import Binding, OpenedPasscode, open_passcode, seal_contact
from hpcbridge.identity.rentalkeys import RentalKeys
from hpcbridge.model.market import AccountRenewal, Rental, RentalOrder
from hpcbridge.model.relay import Sealed, SealedKind, SealedState
from hpcbridge.model.transactions import Body
from hpcbridge.wire.queries import Call
from hpcbridge.wire.relay import acknowledge_sealed, collect_sealed, leave_sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What the relay says of a passcode, and the passcode if it was there and could be opened."""

    sealed: Sealed
    opened: OpenedPasscode | None = field(default=None, repr=False)


@contextlib.contextmanager
def fresh_key(keys: KeyDirectory) -> Iterator[bytes]:
    """A new key for the order that is sent within; kept if it is not known what became of the order, dropped if nothing did."""
    stored = RentalKeys(keys)
    public = stored.create()
    try:
        yield public
    except ReceiptPending:
        raise
    except HpcbridgeError:
        stored.drop(public)
        raise


def settle_key(keys: KeyDirectory, body: Body, *, accepted: bool, index: int) -> None:
    """Names or drops the key of an order that became entry `index`; other bodies have none. The same again changes nothing."""
    if isinstance(body, RentalOrder | AccountRenewal) and body.sealing_key:
        rental = rental_name(index) if isinstance(body, RentalOrder) else body.rental
        if accepted:
            RentalKeys(keys).name(rental, body.sealing_key)
        else:
            RentalKeys(keys).drop(body.sealing_key)


def binding_of(keys: KeyDirectory, rental: Rental) -> Binding:
    """What everything that is sealed for a rental is bound to."""
    return Binding(origin=keys.load_profile().origin, rental=rental.rental, cluster=rental.cluster, username=rental.username)


def has_key(keys: KeyDirectory, rental: Rental) -> bool:
    """True if the passcode of a rental can be opened here; IdentityError if the ledger shows another key than was made here."""
    return bool(rental.sealing_key) and RentalKeys(keys).load(rental.rental, rental.sealing_key) is not None


def open_box(keys: KeyDirectory, rental: Rental, box: bytes) -> OpenedPasscode:
    """The passcode in a sealed box, wherever it comes from; IdentityError with what is wrong with it."""
    key = RentalKeys(keys).load(rental.rental, rental.sealing_key)
    if key is None:
        raise key_missing(rental)
    return open_passcode(box, binding_of(keys, rental), sealing_key=key, provider=rental.provider, authority=keys.load_authority())


def key_missing(rental: Rental) -> HpcbridgeError:
    """What to say where the key of a rental is not in this folder."""
    return HpcbridgeError(
        f"the key for the passcode of {rental.rental} is not here: it was rented on another machine, or the passcode was read already",
        hint=f"read it where it was rented, or get a new one here: hpcbridgectl passcode {rental.rental} --new",
    )


def collect_passcode(call: Call, keys: KeyDirectory, rental: Rental) -> Collected:
    """Looks into the relay and opens what is there. It stays there until `confirm_passcode`.

    What was left before another one was asked for last is passed over, as if nothing were there.
    """
    sealed = collect_sealed(call, rental.rental, SealedKind.PASSCODE)
    if rental.renewed_at is not None and sealed.left_at is not None and sealed.left_at < rental.renewed_at:
        return Collected(sealed=Sealed(state=SealedState.NONE))
    if sealed.state is not SealedState.WAITING:
        return Collected(sealed=sealed)
    return Collected(sealed=sealed, opened=open_box(keys, rental, sealed.box))


def confirm_passcode(call: Call, keys: KeyDirectory, rental: Rental, *, box: bytes) -> bool:
    """After the passcode was shown: the relay deletes the box, and the key goes. False if the ledger could not be told; then both stay."""
    try:
        acknowledge_sealed(call, rental.rental, SealedKind.PASSCODE, box=box)
    except LedgerUnavailable:
        return False
    forget_passcode(keys, rental)
    return True


def forget_passcode(keys: KeyDirectory, rental: Rental) -> None:
    """Removes the key of a rental: nothing that was sealed to it opens any more."""
    RentalKeys(keys).forget(rental.rental, rental.sealing_key)


def leave_contact(call: Call, keys: KeyDirectory, rental: Rental, *, contact: str) -> None:
    """Seals an address to the provider and leaves it for its agent; IdentityError if the provider has no key for that."""
    if not rental.provider_sealing_key:
        raise IdentityError(f"the provider of {rental.cluster} takes no addresses", hint="read the passcode with hpcbridgectl passcode")
    box = seal_contact(contact, binding_of(keys, rental), sealing_key=rental.provider_sealing_key)
    leave_sealed(call, rental.rental, SealedKind.CONTACT, box=box)
