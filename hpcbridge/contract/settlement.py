# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Settlement: the money of a rental, from the first job that ends to the last correction.

A run is charged by the entry that tells its end. The deposit pays first, then the user's balance up to the extra limit; what neither
covers is shown and never asked for again. While a rental is open `held` is the deposit less what was charged, and the entry that ends the
rental gives that back. Later words on its jobs make correcting lines, within the same limit and for a limited time.
"""

from __future__ import annotations

import dataclasses

import msgspec

from hpcbridge.contract.accounts import hold, pay_from_held, pay_up_to, release
from hpcbridge.contract.capacity import give_capacity
from hpcbridge.contract.market import for_provider, put_rental, rental_key, statement_line, stored_rental
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.records import decode_stored, encode_stored, encode_word
from hpcbridge.contract.state import Draft, StateView
from hpcbridge.errors import IntegrityError
from hpcbridge.model.entries import EventType
from hpcbridge.model.market import MAX_MICRO, LineKind, Micro, Rental, RentalEnd, RentalState, Settlement, StatementLine, UsageLine
from hpcbridge.model.quantities import Instant


class StoredTally(msgspec.Struct, frozen=True, array_like=True):
    """`tally/<rental>`: what a rental's jobs come to. `capacity`: what it holds of its queue was not given back yet.

    `open`: jobs that have not ended; `cores`, `gpus`: of those that run now. `lines`: of the statement; the first is the deposit's.
    `after_end`: jobs that began when it was over. `missing`: what nothing covered, in decimals, because figures that a provider makes up
    may add up to more than a store can count.
    """

    lines: int
    capacity: bool
    open: int
    cores: int
    gpus: int
    after_end: int
    missing: str


_BEGINNING = StoredTally(lines=1, capacity=True, open=0, cores=0, gpus=0, after_end=0, missing="0")


def settle(draft: Draft, rental: Rental, *, end: RentalEnd, at: Instant) -> None:
    """Ends a rental: gives back what is left of the deposit and of the queue, and tells both sides. Once; twice is our own fault."""
    stored = stored_rental(draft, rental.rental)
    if stored is None or RentalState.ENDED in (stored.state, rental.state):
        raise IntegrityError(f"entry {draft.index} would end rental {rental.rental} again")
    tally = tally_of(draft, rental.rental)
    if tally.capacity:
        give_capacity(draft, rental.cluster, rental.queue, cores=rental.cores, gpus=rental.gpus)
    refund = rental.held
    release(draft, rental.member or "", refund)
    lines = add_line(draft, rental, tally.lines, kind=LineKind.REFUND, amount=refund, at=at)
    put_tally(draft, rental.rental, msgspec.structs.replace(tally, lines=lines, capacity=False))
    ended = dataclasses.replace(
        rental, state=RentalState.ENDED, end=end, ended_at=at, settled_index=draft.index, held=0, refunded=rental.refunded + refund
    )
    put_rental(draft, ended)
    settlement = Settlement(
        rental=ended.rental,
        end=end,
        deposit=ended.deposit,
        charged=ended.charged,
        refunded=ended.refunded,
        not_covered=ended.not_covered,
    )
    tell_both(draft, EventType.RENTAL_ENDED, ended, user=encode_word(ended), provider=encode_word(for_provider(ended)))
    told = encode_word(settlement)
    tell_both(draft, EventType.RENTAL_SETTLED, ended, user=told, provider=told)


def charge_run(
    draft: Draft, rental: Rental, usage: UsageLine, *, tally: StoredTally, before: Micro, paid: Micro, at: Instant
) -> tuple[Rental, StoredTally, UsageLine, Micro]:
    """Brings what was paid for a run (`paid`, at a price of `before`) to its price now; what there is after it, and what moved."""
    if rental.state is RentalState.ENDED and at > (rental.ended_at or 0) + parameter(draft, "correction_ms"):
        moved = 0
    elif usage.charge > before:
        rental, moved = _pay(draft, rental, usage.charge - before)
    else:
        rental, moved = _pay_back(draft, rental, max(0, paid - usage.charge))
    missing = max(0, usage.charge - paid - moved)
    total = int(tally.missing) + missing - max(0, before - paid)
    rental = dataclasses.replace(rental, not_covered=min(total, MAX_MICRO - 1))
    return rental, msgspec.structs.replace(tally, missing=str(total)), dataclasses.replace(usage, not_covered=missing), moved


def add_line(
    draft: Draft, rental: Rental, lines: int, *, kind: LineKind, amount: Micro, at: Instant, usage: UsageLine | None = None
) -> int:
    """Adds a line to a statement of so many `lines`; returns how many there are then. A correction after settlement is told to both."""
    line = StatementLine(ordinal=lines + 1, kind=kind, index=draft.index, at=at, amount=amount, usage=usage)
    statement_line(draft, rental.rental, line)
    if rental.state is RentalState.ENDED:
        told = encode_word(line)
        tell_both(draft, EventType.RENTAL_CORRECTED, rental, user=told, provider=told)
    return line.ordinal


def tally_of(view: StateView, rental: str) -> StoredTally:
    """What a rental's jobs come to; before the first one, what renting began with."""
    data = view.get(_tally_key(rental))
    return _BEGINNING if data is None else decode_stored(StoredTally, data)


def put_tally(draft: Draft, rental: str, tally: StoredTally) -> None:
    """Puts a tally on record."""
    draft.put(_tally_key(rental), encode_stored(tally))


def tell_both(draft: Draft, event_type: EventType, rental: Rental, *, user: bytes, provider: bytes) -> None:
    """Tells user and provider of a rental, each in the form for its eyes."""
    draft.tell(event_type, rental.member or "", subject=rental.rental, body=user)
    draft.tell(event_type, rental.provider, subject=rental.rental, body=provider)


def _pay(draft: Draft, rental: Rental, price: Micro) -> tuple[Rental, Micro]:
    """From the deposit first, then from the balance; never more than both limits allow, nor than is there."""
    member = rental.member or ""
    owed = min(price, rental.deposit + rental.extra_limit - rental.charged)
    from_deposit = min(owed, rental.held)
    pay_from_held(draft, member, rental.provider, amount=from_deposit)
    paid = from_deposit + pay_up_to(draft, member, rental.provider, amount=owed - from_deposit)
    return dataclasses.replace(rental, held=rental.held - from_deposit, charged=rental.charged + paid), paid


def _pay_back(draft: Draft, rental: Rental, amount: Micro) -> tuple[Rental, Micro]:
    """What was paid beyond the deposit goes to the balance; the rest is held again while the rental is open."""
    member = rental.member or ""
    back = pay_up_to(draft, rental.provider, member, amount=amount)
    charged, held = rental.charged - back, rental.held
    if rental.state is not RentalState.ENDED:
        held = max(0, rental.deposit - charged)
        hold(draft, member, held - rental.held)
    return dataclasses.replace(rental, held=held, charged=charged), -back


def _tally_key(rental: str) -> str:
    return f"tally/{rental_key(rental).removeprefix('rental/')}"
