# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market's places in the state: names of requests, offers and rentals, their keys, and how they are read and written.

A request is named `r<index>` and a rental `l<index>` by the entry that made it, an offer `<request>-<ordinal>` with ordinals from 1 in the
blind order. Nothing in a name says anything about anybody.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from functools import lru_cache

from hpcbridge.contract.records import (
    StoredOffer,
    StoredRequest,
    StoredWhyNot,
    StoredWhyNots,
    decode_fields,
    decode_stored,
    decode_word,
    encode_fields,
    encode_stored,
    encode_word,
    remembered_word,
)
from hpcbridge.contract.state import Draft, StateView, prefix_end, scan_all
from hpcbridge.model.market import Rental, RentalEnd, RentalState, RequestRecord, StatementLine, WhyNot
from hpcbridge.model.quantities import Instant

_REQUEST = re.compile(r"r(0|[1-9][0-9]{0,14})\Z")
_OFFER = re.compile(r"(r(?:0|[1-9][0-9]{0,14}))-([1-9][0-9]{0,3})\Z")
_RENTAL = re.compile(r"l(0|[1-9][0-9]{0,14})\Z")
_RENTALS = "rental/"
_OPEN = "openrental/"
_MEMBERS_OPEN = "memberopen/"
_OPEN_COUNT = "opencount/"
_DUE = "rentaldue/"
_FINAL = frozenset({RentalEnd.CLUSTER_ENDED, RentalEnd.MEMBER_ENDED})


def request_name(index: int) -> str:
    """Name of the request that an entry made."""
    return f"r{index}"


def offer_name(request: str, ordinal: int) -> str:
    """Name of one of a request's offers."""
    return f"{request}-{ordinal}"


def rental_name(index: int) -> str:
    """Name of the rental that an entry granted."""
    return f"l{index}"


def request_of_offer(offer: str) -> str:
    """The request an offer belongs to; empty if this is no name of an offer."""
    match = _OFFER.match(offer)
    return "" if match is None else match[1]


def request_key(request: str) -> str:
    """`request/<index>`, in order of entries."""
    return f"request/{_number(_REQUEST, request)}"


def offer_prefix(request: str) -> str:
    """Under which the offers of a request stand."""
    return f"offer/{_number(_REQUEST, request)}/"


def offer_key(offer: str) -> str:
    """Where an offer stands."""
    match = _OFFER.match(offer)
    return "offer/none/" if match is None else f"{offer_prefix(match[1])}{int(match[2]):04d}"


def why_nots_key(request: str) -> str:
    """Where the reasons of a request stand, all in one value: a large network has a thousand of them for each request."""
    return f"whynot/{_number(_REQUEST, request)}"


def rental_key(rental: str) -> str:
    """`rental/<index>`, in order of entries."""
    return f"{_RENTALS}{_number(_RENTAL, rental)}"


def statement_prefix(rental: str) -> str:
    """Under which the lines of a rental's statement stand."""
    return f"statement/{_number(_RENTAL, rental)}/"


def stored_request(view: StateView, request: str) -> StoredRequest | None:
    """A request by its name."""
    data = view.get(request_key(request))
    return None if data is None else remembered_word(StoredRequest, data)


def put_request(draft: Draft, stored: StoredRequest) -> None:
    """Puts a request on record, in the list of all and in that of its member."""
    key = request_key(stored.record.request)
    draft.put(key, encode_word(stored))
    draft.put(f"memberrequest/{stored.member}/{key.removeprefix('request/')}", b"")


def stored_offer(view: StateView, offer: str) -> StoredOffer | None:
    """An offer by its name, with what is not shown."""
    data = view.get(offer_key(offer))
    return None if data is None else decode_word(StoredOffer, data)


def offers_of(view: StateView, record: RequestRecord) -> list[StoredOffer]:
    """All offers of a request in the blind order, as records (`records.decode_fields`).

    By their keys and not by a scan: they are read soon after they were made, and then a store has them in memory.
    """
    prefix = offer_prefix(record.request)
    return [decode_fields(StoredOffer, view.get(f"{prefix}{ordinal:04d}") or b"") for ordinal in range(1, record.offers + 1)]


def put_offers(draft: Draft, request: str, offers: Iterable[StoredOffer]) -> None:
    """Freezes the offers of a request, which are records as of `records.fields_type`, in order of their ordinals."""
    prefix = offer_prefix(request)
    for ordinal, stored in enumerate(offers, start=1):
        draft.put(f"{prefix}{ordinal:04d}", encode_fields(stored))


def put_why_nots(draft: Draft, record: RequestRecord, why_nots: tuple[WhyNot, ...]) -> None:
    """Freezes the reasons of a request, which are in order of their ordinals."""
    if why_nots:
        bits = {program: 1 << place for place, program in enumerate(record.asked.programs)}
        rows = [
            StoredWhyNot(
                requirement=each.requirement, needed=each.needed, found=each.found, missing=sum(bits[program] for program in each.missing)
            )
            for each in why_nots
        ]
        draft.put(why_nots_key(record.request), encode_stored(StoredWhyNots(why_nots=tuple(rows))))


def stored_why_nots(view: StateView, record: RequestRecord) -> tuple[WhyNot, ...]:
    """The reasons of a request, in the blind order."""
    data = view.get(why_nots_key(record.request))
    rows = () if data is None else decode_stored(StoredWhyNots, data).why_nots
    return tuple(
        WhyNot(
            ordinal=ordinal,
            requirement=row.requirement,
            needed=row.needed,
            found=row.found,
            missing=tuple(program for place, program in enumerate(record.asked.programs) if row.missing >> place & 1),
        )
        for ordinal, row in enumerate(rows, start=1)
    )


def remove_request(draft: Draft, stored: StoredRequest) -> None:
    """Takes a request off the state with its offers and reasons; the log keeps what made them."""
    request = stored.record.request
    key = request_key(request)
    for offer, _ in scan_all(draft, offer_prefix(request)):
        draft.remove(offer)
    if stored.record.why_nots:
        draft.remove(why_nots_key(request))
    draft.remove(key)
    draft.remove(f"memberrequest/{stored.member}/{key.removeprefix('request/')}")


def stored_rental(view: StateView, rental: str) -> Rental | None:
    """A rental by its name, as the ledger knows it: nobody but admins and auditors sees all of it."""
    data = view.get(rental_key(rental))
    return None if data is None else remembered_word(Rental, data)


def for_provider(rental: Rental) -> Rental:
    """A rental as its provider sees it: a username, and nobody behind it."""
    return dataclasses.replace(rental, request=None, offer=None, member=None, submitter=None)


def put_rental(draft: Draft, rental: Rental) -> None:
    """Puts a rental on record; the lists of its user, provider and cluster and its username are written with the first word on it.

    One that has ended leaves the lists of those that are open and is due no more.
    """
    key = rental_key(rental.rental)
    number = key.removeprefix(_RENTALS)
    if draft.get(key) is None:
        draft.put(f"memberrental/{rental.member}/{number}", b"")
        draft.put(f"memberrental/{rental.provider}/{number}", b"")
        draft.put(f"clusterrental/{rental.cluster}/{number}", b"")
        draft.put(f"{_OPEN}{rental.cluster}/{number}", b"")
        _count_open(draft, rental.member or "", 1)
        draft.put(f"{_MEMBERS_OPEN}{rental.member}/{number}", b"")
        draft.put(f"username/{rental.username}", rental.rental.encode())
    if rental.state is RentalState.ENDED:
        draft.remove(f"{_OPEN}{rental.cluster}/{number}")
        if draft.get(f"{_MEMBERS_OPEN}{rental.member}/{number}") is not None:
            _count_open(draft, rental.member or "", -1)
            draft.remove(f"{_MEMBERS_OPEN}{rental.member}/{number}")
        _clear_due(draft, number)
    draft.put(key, encode_word(rental))


def open_rentals(view: StateView, cluster: str) -> list[str]:
    """Names of a cluster's rentals that have not ended, in order of entries."""
    prefix = f"{_OPEN}{cluster}/"
    return [rental_name(int(key.removeprefix(prefix))) for key, _ in scan_all(view, prefix)]


def open_rentals_of_member(view: StateView, member: str) -> list[str]:
    """Names of the rentals a member made that have not ended, in order of entries."""
    prefix = f"{_MEMBERS_OPEN}{member}/"
    return [rental_name(int(key.removeprefix(prefix))) for key, _ in scan_all(view, prefix)]


def count_open(view: StateView, member: str) -> int:
    """How many rentals of a member have not ended: counted beside their list, which may be long and is asked for with every order.

    Where nothing was counted yet the list says it.
    """
    data = view.get(f"{_OPEN_COUNT}{member}")
    return len(open_rentals_of_member(view, member)) if data is None else int.from_bytes(data, "big")


def set_due(draft: Draft, rental: Rental, due_at: Instant, *, end: RentalEnd) -> None:
    """From now on the first tick at `due_at` or later ends the rental for this reason, and no other time counts any more.

    Two things stand above that: what has ended is due no more, and a rental whose cluster or user has left is ended for that.
    """
    number = rental_key(rental.rental).removeprefix(_RENTALS)
    before = due_of(draft, rental.rental)
    if rental.state is RentalState.ENDED or (before is not None and before[1] in _FINAL):
        return
    _clear_due(draft, number)
    draft.put(f"{_DUE}{due_at:015d}/{number}", end.encode())
    draft.put(f"rentaltime/{number}", due_at.to_bytes(8, "big") + end.encode())


def due_of(view: StateView, rental: str) -> tuple[Instant, RentalEnd] | None:
    """When a tick ends a rental, and for what; None for one that is not open."""
    data = view.get(f"rentaltime/{_number(_RENTAL, rental)}")
    return None if data is None else (int.from_bytes(data[:8], "big"), RentalEnd(data[8:].decode()))


def due_rentals(view: StateView, at: Instant, *, limit: int) -> list[tuple[str, RentalEnd]]:
    """Rentals whose time has come, longest overdue first, with the reason for which each ends."""
    rows = view.scan(_DUE, f"{_DUE}{at + 1:015d}", limit)
    return [(rental_name(int(key.rpartition("/")[2])), RentalEnd(end.decode())) for key, end in rows]


def next_due_at(view: StateView) -> Instant | None:
    """When the next rental is due; None if none is open."""
    rows = view.scan(_DUE, prefix_end(_DUE), 1)
    return int(rows[0][0].split("/")[1]) if rows else None


def rental_of_username(view: StateView, username: str) -> str | None:
    """Name of the rental whose account has this name, ended or not; None if no rental ever had it."""
    data = view.get(f"username/{username}")
    return None if data is None else data.decode()


def tenant_rental(view: StateView, cluster: str, owner: str) -> Rental | None:
    """The rental whose account on this cluster is `owner`, ended or not; None if the owner is no tenant there."""
    name = rental_of_username(view, owner)
    rental = None if name is None else stored_rental(view, name)
    return rental if rental is not None and rental.cluster == cluster else None


def statement_line(draft: Draft, rental: str, line: StatementLine) -> None:
    """Adds a line to a rental's statement; its ordinal counts from 1, up to more than there will be entries."""
    draft.put(f"{statement_prefix(rental)}{line.ordinal:012d}", encode_word(line))


def _count_open(draft: Draft, member: str, change: int) -> None:
    draft.put(f"{_OPEN_COUNT}{member}", (count_open(draft, member) + change).to_bytes(4, "big"))


def _clear_due(draft: Draft, number: str) -> None:
    before = draft.get(f"rentaltime/{number}")
    if before is not None:
        draft.remove(f"{_DUE}{int.from_bytes(before[:8], 'big'):015d}/{number}")
        draft.remove(f"rentaltime/{number}")


@lru_cache(maxsize=1024)
def _number(pattern: re.Pattern[str], name: str) -> str:
    """The entry in a name as it stands in keys; `none`, under which nothing stands, if this is no such name."""
    match = pattern.match(name)
    return "none" if match is None else f"{int(match[1]):015d}"
