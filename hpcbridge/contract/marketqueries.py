# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the market for a caller: requests with their offers and reasons, demand, rentals with their statement, accounts.

As in `queries`, what a caller may not see is answered as if it were not there. Whoever asks, an offer has no cluster and no provider in it,
and a provider never learns who its tenant is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcbridge.contract.access import Kind, Query, Relation, Share, check_query, may_see
from hpcbridge.contract.accounts import balance_of
from hpcbridge.contract.demand import demand_of, demand_place
from hpcbridge.contract.market import (
    for_provider,
    offer_key,
    offer_prefix,
    rental_key,
    rental_name,
    request_key,
    statement_prefix,
    stored_rental,
    stored_request,
    stored_why_nots,
)
from hpcbridge.contract.records import StoredOffer, StoredRequest, decode_word
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import StateView, prefix_end
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller, Role
from hpcbridge.model.market import Balance, Offer, ProgramDemand, Rental, RentalState, RequestRecord, StatementLine, WhyNot

MAX_PAGE = 500
MAX_ROWS_READ = 5_000
"""Records read for one page of answers: who looks for few among many must come back for more."""


@dataclass(frozen=True, slots=True)
class RentalPage:
    """Some rentals, perhaps none; pass `next` as `after` for more, empty at the end."""

    rentals: tuple[Rental, ...]
    next: str


def requests(view: StateView, caller: Caller, *, member: str = "", after: str = "", limit: int = MAX_PAGE) -> tuple[RequestRecord, ...]:
    """Requests in order of entries after the one named: the caller's own; those of `member` or of everybody for those who may see all."""
    share = check_query(caller, Query.LIST_REQUESTS)
    place = request_key(after).removeprefix("request/") if after else ""
    if share is Share.ALL and not member:
        return tuple(decode_word(StoredRequest, data).record for _, data in _rows(view, "request/", place, limit=limit))
    member = member or caller.member
    if share is Share.OWN and member != caller.member:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no member {member[:60]!r} whose requests {caller.member} may see")
    prefix = f"memberrequest/{member}/"
    found = [view.get(f"request/{key.removeprefix(prefix)}") for key, _ in _rows(view, prefix, place, limit=limit)]
    return tuple(decode_word(StoredRequest, data).record for data in found if data is not None)


def request(view: StateView, caller: Caller, name: str) -> RequestRecord:
    """One request."""
    check_query(caller, Query.GET_REQUEST)
    return _visible_request(view, caller, name)


def offers(view: StateView, caller: Caller, name: str, *, after: str = "", limit: int = MAX_PAGE) -> tuple[Offer, ...]:
    """The paper's displayResourcesAndRentalPrice: the offers of a request in their blind order, after the one named."""
    check_query(caller, Query.LIST_OFFERS)
    prefix = offer_prefix(_visible_request(view, caller, name).request)
    rows = _rows(view, prefix, offer_key(after).removeprefix(prefix) if after else "", limit=limit)
    return tuple(decode_word(StoredOffer, data).offer for _, data in rows)


def why_nots(view: StateView, caller: Caller, name: str, *, after: int = 0, limit: int = MAX_PAGE) -> tuple[WhyNot, ...]:
    """Why other clusters are not among the offers of a request, in their blind order, after that ordinal."""
    check_query(caller, Query.LIST_WHY_NOTS)
    found = stored_why_nots(view, _visible_request(view, caller, name).request)
    return tuple(each for each in found if each.ordinal > after)[:limit]


def program_demand(view: StateView, caller: Caller, *, after: str = "", limit: int = MAX_PAGE) -> tuple[ProgramDemand, ...]:
    """How often which programs were asked for and missing, by name, after the place `demand_place` gives; for a provider what it lacks."""
    check_query(caller, Query.LIST_PROGRAM_DEMAND)
    found = demand_of(view, caller.member if caller.role is Role.PROVIDER else "")
    return tuple(each for each in found if demand_place(each.program) > after)[:limit]


def rentals(view: StateView, caller: Caller, *, open_only: bool = False, after: str = "", limit: int = MAX_PAGE) -> RentalPage:
    """Rentals in order of entries: a user's own, those of a provider's clusters, or all."""
    share = check_query(caller, Query.LIST_RENTALS)
    prefix = "rental/" if share is Share.ALL else f"memberrental/{caller.member}/"
    limit = max(1, min(limit or MAX_PAGE, MAX_PAGE))
    rows = _rows(view, prefix, rental_key(after).removeprefix("rental/") if after else "", limit=MAX_ROWS_READ)
    found: list[Rental] = []
    last = ""
    for key, _ in rows:
        rental = stored_rental(view, last := rental_name(int(key.removeprefix(prefix))))
        if rental is None or (open_only and rental.state is RentalState.ENDED):
            continue
        found.append(_shown(caller, rental))
        if len(found) == limit:
            return RentalPage(tuple(found), last)
    return RentalPage(tuple(found), last if len(rows) == MAX_ROWS_READ else "")


def rental(view: StateView, caller: Caller, name: str) -> Rental:
    """One rental, in the form that is for the caller's eyes."""
    check_query(caller, Query.GET_RENTAL)
    return _shown(caller, _visible_rental(view, caller, name))


def statement(view: StateView, caller: Caller, name: str, *, after: str = "", limit: int = MAX_PAGE) -> tuple[StatementLine, ...]:
    """The lines of a rental's statement in order; user and provider see the same ones. `after` is an ordinal."""
    check_query(caller, Query.GET_RENTAL)
    prefix = statement_prefix(_visible_rental(view, caller, name).rental)
    return tuple(decode_word(StatementLine, data) for _, data in _rows(view, prefix, _ordinal(after), limit=limit))


def balance(view: StateView, caller: Caller, member: str = "") -> Balance:
    """A member's account: the caller's own, or anybody's for those who may see all."""
    check_query(caller, Query.GET_BALANCE)
    name = member or caller.member
    if not may_see(caller, Kind.ACCOUNT, name) or stored_member(view, name) is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no account {name[:60]!r} that {caller.member} may see")
    return balance_of(view, name)


def _visible_request(view: StateView, caller: Caller, name: str) -> RequestRecord:
    stored = stored_request(view, name)
    if stored is None or not may_see(caller, Kind.REQUEST, stored.member):
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no request {name[:40]!r} that {caller.member} may see")
    return stored.record


def _visible_rental(view: StateView, caller: Caller, name: str) -> Rental:
    found = stored_rental(view, name)
    if found is None or not (
        may_see(caller, Kind.JOB, found.member or "", owner_is=Relation.USER)
        or may_see(caller, Kind.JOB, found.provider, owner_is=Relation.PROVIDER)
    ):
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no rental {name[:40]!r} that {caller.member} may see")
    return found


def _shown(caller: Caller, found: Rental) -> Rental:
    """The user's form to the user, admins and auditors; the provider's to everybody else."""
    return found if may_see(caller, Kind.JOB, found.member or "", owner_is=Relation.USER) else for_provider(found)


def _rows(view: StateView, prefix: str, after: str, *, limit: int) -> Sequence[tuple[str, bytes]]:
    return view.scan(f"{prefix}{after}\0" if after else prefix, prefix_end(prefix), limit)


def _ordinal(after: str, digits: int = 6) -> str:
    return f"{int(after):0{digits}d}" if after.isdecimal() and after.isascii() and len(after) <= digits else ""
