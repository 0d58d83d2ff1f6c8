# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Rentals: granted for an offer, given back, and what the provider says of their account; the ends that come by time, or with a cluster
or a user that leaves.

A rental ends once, in `settle`, which moves the money and tells both sides; here is decided when and for which reason. That an order is for
the caller's own request, and a report for the provider's own rental, was decided before, in access.py. Every word on a rental goes out in
two forms: whole to the user, to the provider with a username and nobody behind it.
"""

from __future__ import annotations

import dataclasses

from hpcbridge.contract.accounts import hold
from hpcbridge.contract.capacity import take_capacity
from hpcbridge.contract.market import (
    count_open,
    due_rentals,
    for_provider,
    open_rentals,
    open_rentals_of_member,
    put_rental,
    rental_name,
    set_due,
    statement_line,
    stored_rental,
)
from hpcbridge.contract.orders import Choice, choose
from hpcbridge.contract.parameters import DAY_MS, parameter
from hpcbridge.contract.records import StoredCount, decode_stored, decode_word, encode_stored, encode_word
from hpcbridge.contract.sealingkeys import SEALING_KEY_BYTES, is_sealing_key
from hpcbridge.contract.settlement import settle, tell_both
from hpcbridge.contract.state import Draft
from hpcbridge.contract.usernames import access_username
from hpcbridge.errors import IntegrityError, Refused
from hpcbridge.model.clusters import Registration
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.market import (
    AccountRenewal,
    AccountReport,
    AccountState,
    Cancellation,
    LineKind,
    Rental,
    RentalEnd,
    RentalOrder,
    RentalState,
    StatementLine,
)
from hpcbridge.model.quantities import MAX_INSTANT, Instant

MAX_ACCOUNT_TEXT = 256
MAX_ENDED_AT_ONCE = 100
"""Most rentals that one tick ends; the next tick goes on."""
_UNUSED = frozenset({RentalState.GRANTED, RentalState.READY})


def rent(draft: Draft, caller: Caller, body: RentalOrder, at: Instant) -> None:
    """The paper's rental process: holds the deposit, takes cores and GPUs, makes the username, and tells both sides."""
    _check_room(draft, caller.member)
    choice = choose(draft, caller.member, body, at=at)
    hold(draft, caller.member, choice.deposit)
    take_capacity(draft, choice.stored.cluster, choice.queue, cores=body.cores, gpus=body.gpus)
    rental = _granted(draft, caller, body, choice=choice, at=at)
    put_rental(draft, rental)
    set_due(draft, rental, rental.expires_at, end=RentalEnd.EXPIRED)
    line = StatementLine(ordinal=1, kind=LineKind.DEPOSIT, index=draft.index, at=at, amount=rental.deposit)
    statement_line(draft, rental.rental, line)
    _tell(draft, EventType.RENTAL_GRANTED, rental)


def cancel(draft: Draft, _caller: Caller, body: Cancellation, at: Instant) -> None:
    """Gives a rental back before its first job: all of the deposit comes back."""
    rental = _known(draft, body.rental)
    if rental.state not in _UNUSED:
        standing = "has a job and ends with it" if rental.state is RentalState.USED else f"has ended: {rental.end}"
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"rental {rental.rental} {standing}")
    settle(draft, rental, end=RentalEnd.CANCELLED, at=at)


def report_account(draft: Draft, _caller: Caller, body: AccountReport, at: Instant) -> None:
    """Takes the provider's word on the account of a rental; the same word again changes nothing."""
    rental = _known(draft, body.rental)
    if len(body.text) > MAX_ACCOUNT_TEXT:
        raise Refused(EntryOutcome.MALFORMED, f"text: at most {MAX_ACCOUNT_TEXT} characters")
    if rental.account is body.state:
        return
    _check_step(rental, body.state)
    told = dataclasses.replace(rental, account=body.state, account_text=body.text)
    if body.state is AccountState.READY:
        state = RentalState.READY if rental.state is RentalState.GRANTED else rental.state
        told = dataclasses.replace(told, state=state, ready_at=at)
    put_rental(draft, told)
    if body.state is AccountState.READY:
        _tell(draft, EventType.RENTAL_READY, told)
    elif body.state is AccountState.FAILED:
        _tell(draft, EventType.RENTAL_FAILED, told)
        settle(draft, told, end=RentalEnd.FAILED_BY_SITE, at=at)


def renew_account(draft: Draft, caller: Caller, body: AccountRenewal, at: Instant) -> None:
    """The user of an account that exists wants another passcode: the provider is told, with the key to seal it to."""
    rental = _known(draft, body.rental)
    if not is_sealing_key(body.sealing_key):
        raise Refused(EntryOutcome.MALFORMED, f"sealing_key: {SEALING_KEY_BYTES} bytes of an X25519 key")
    if body.sealing_key == rental.sealing_key:
        raise Refused(EntryOutcome.MALFORMED, "sealing_key: it is that of the earlier passcode; each gets a key of its own")
    if rental.state is RentalState.ENDED or rental.account is not AccountState.READY:
        why = f"it has ended: {rental.end}" if rental.state is RentalState.ENDED else "its account is not made yet"
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"rental {rental.rental} gets no other passcode: {why}")
    _count_renewal(draft, caller.member, at)
    registered = _registered(draft, rental.cluster)
    told = dataclasses.replace(rental, sealing_key=body.sealing_key, provider_sealing_key=registered.sealing_key, renewed_at=at)
    put_rental(draft, told)
    _tell(draft, EventType.PASSCODE_ASKED, told)


def end_due(draft: Draft, at: Instant) -> None:
    """Ends the rentals whose time has come, each for the reason for which it is due; its jobs moved that time as they came and ended."""
    for name, end in due_rentals(draft, at, limit=MAX_ENDED_AT_ONCE):
        rental = stored_rental(draft, name)
        if rental is None:
            raise IntegrityError(f"entry {draft.index}: rental {name} is due and not on record")
        settle(draft, rental, end=end, at=at)


def end_rentals_of(draft: Draft, cluster: str, at: Instant) -> None:
    """A cluster takes part no longer: its open rentals are due now, and whatever happens to them until the next tick, that ends them.

    They are not settled here, because they may be many and the order that stops a cluster must not be slow.
    """
    _make_due(draft, open_rentals(draft, cluster), at, end=RentalEnd.CLUSTER_ENDED)


def end_rentals_of_member(draft: Draft, member: str, at: Instant) -> None:
    """A user takes part no longer: as with a cluster, its open rentals are due now and end for that."""
    _make_due(draft, open_rentals_of_member(draft, member), at, end=RentalEnd.MEMBER_ENDED)


def _make_due(draft: Draft, names: list[str], at: Instant, *, end: RentalEnd) -> None:
    for name in names:
        rental = stored_rental(draft, name)
        if rental is not None:
            set_due(draft, rental, at, end=end)


def _check_room(draft: Draft, member: str) -> None:
    """Asked before anything is looked for: whoever has its fill costs nobody the search for the best."""
    rented, most = count_open(draft, member), parameter(draft, "rentals_open")
    if rented >= most:
        raise Refused(EntryOutcome.TOO_MANY, f"{member} has {rented} open rentals, a member may have {most}", hint="cancel one, or wait")


def _count_renewal(draft: Draft, member: str, at: Instant) -> None:
    key, today, most = f"passcodecount/{member}", at // DAY_MS, parameter(draft, "passcodes_per_day")
    data = draft.get(key)
    stored = StoredCount(day=today, count=0) if data is None else decode_stored(StoredCount, data)
    count = 1 + (stored.count if stored.day == today else 0)
    if count > most:
        raise Refused(EntryOutcome.TOO_MANY, f"{member} asked for {most} passcodes today, the most a day may have", hint="try tomorrow")
    draft.put(key, encode_stored(StoredCount(day=today, count=count)))


def _registered(draft: Draft, cluster: str) -> Registration:
    return decode_word(Registration, draft.get(f"registration/{cluster}") or b"")


def _known(draft: Draft, name: str) -> Rental:
    rental = stored_rental(draft, name)
    if rental is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no rental {name[:40]!r}")
    return rental


def _tell(draft: Draft, event_type: EventType, rental: Rental) -> None:
    tell_both(draft, event_type, rental, user=encode_word(rental), provider=encode_word(for_provider(rental)))


def _check_step(rental: Rental, state: AccountState) -> None:
    """An account is made once, before the rental ends; it is closed once, after that."""
    ended = rental.state is RentalState.ENDED
    if state is AccountState.CLOSED:
        legal, why = ended, "it is open"
    elif ended:
        legal, why = False, f"it has ended: {rental.end}"
    else:
        legal = state is AccountState.READY or rental.state is RentalState.GRANTED
        why = "a job of it was seen" if rental.account is None else f"its account is {rental.account}"
    if not legal:
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"the account of rental {rental.rental} cannot become {state}: {why}")


def _granted(draft: Draft, caller: Caller, order: RentalOrder, *, choice: Choice, at: Instant) -> Rental:
    name, stored = rental_name(draft.index), choice.stored
    registered = _registered(draft, stored.cluster)
    expires_at = at + parameter(draft, "rental_unused_ms")
    latest_at = expires_at + choice.limit_seconds * 1000 + parameter(draft, "rental_grace_ms")
    return Rental(
        rental=name,
        request=stored.offer.request,
        offer=stored.offer.offer,
        member=caller.member,
        submitter=str(caller.submitter),
        username=access_username(draft, name),
        cluster=stored.cluster,
        provider=stored.provider,
        login_address=registered.login_address,
        queue=choice.queue,
        cores=order.cores,
        gpus=order.gpus,
        walltime_seconds=choice.walltime_seconds,
        limit_seconds=choice.limit_seconds,
        to_install=stored.offer.to_install,
        rates=choice.shown.rates,
        price_version=stored.price_version,
        deposit=choice.deposit,
        extra_limit=order.extra_limit,
        sealing_key=order.sealing_key,
        state=RentalState.GRANTED,
        end=None,
        index=draft.index,
        granted_at=at,
        expires_at=expires_at,
        latest_at=min(latest_at, MAX_INSTANT),
        held=choice.deposit,
        provider_sealing_key=registered.sealing_key,
    )
