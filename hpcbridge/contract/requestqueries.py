# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reading requests, offers, reasons and demand for a caller. What a caller may not see is answered as if it were not there.

Whoever asks, the answer is blind: an offer has no cluster, no provider and no queue's name in it, not even for those who may see all.
"""

from __future__ import annotations

from hpcbridge.contract.access import Kind, Query, Relation, Share, check_query, may_see
from hpcbridge.contract.demand import demand_of, demand_place
from hpcbridge.contract.market import offer_key, offer_prefix, request_key, request_name, stored_request, stored_why_nots
from hpcbridge.contract.records import StoredOffer, StoredRequest, decode_word
from hpcbridge.contract.state import StateView, prefix_end
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import Program
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller, Role
from hpcbridge.model.market import Offer, ProgramDemand, RequestRecord, WhyNot

MAX_PAGE = 500


def requests(view: StateView, caller: Caller, *, member: str = "", after: str = "", limit: int = MAX_PAGE) -> tuple[RequestRecord, ...]:
    """Requests in order of entries after the one named: the caller's own; of all or of one member for those who may see all."""
    if check_query(caller, Query.LIST_REQUESTS) is Share.OWN:
        member = member or caller.member
        if member != caller.member:
            return ()
    place = request_key(after).removeprefix("request/") if after else ""
    prefix = f"memberrequest/{member}/" if member else "request/"
    rows = view.scan(f"{prefix}{place}\0" if place else prefix, prefix_end(prefix), limit)
    found = [stored_request(view, request_name(int(key.rpartition("/")[2]))) for key, _ in rows]
    return tuple(stored.record for stored in found if stored is not None)


def request(view: StateView, caller: Caller, name: str) -> RequestRecord:
    """One request."""
    check_query(caller, Query.GET_REQUEST)
    return _visible(view, caller, name).record


def offers(view: StateView, caller: Caller, name: str, *, after: str = "", limit: int = MAX_PAGE) -> tuple[Offer, ...]:
    """Offers of a request, frozen as of its entry, after the one named."""
    check_query(caller, Query.LIST_OFFERS)
    _visible(view, caller, name)
    prefix = offer_prefix(name)
    rows = view.scan(f"{offer_key(after)}\0" if after else prefix, prefix_end(prefix), limit)
    return tuple(decode_word(StoredOffer, data).offer for key, data in rows if key.startswith(prefix))


def why_nots(view: StateView, caller: Caller, name: str, *, after: int = 0, limit: int = MAX_PAGE) -> tuple[WhyNot, ...]:
    """Why each other cluster is not among a request's offers, after that ordinal."""
    check_query(caller, Query.LIST_WHY_NOTS)
    return stored_why_nots(view, _visible(view, caller, name).record)[after : after + limit]


def program_demand(view: StateView, caller: Caller, *, after: Program | None = None, limit: int = MAX_PAGE) -> tuple[ProgramDemand, ...]:
    """Programs that were asked for and missing, in order, after the one given; for a provider those that one of its clusters lacks."""
    check_query(caller, Query.LIST_PROGRAM_DEMAND)
    found = demand_of(view, caller.member if caller.role is Role.PROVIDER else "")
    place = "" if after is None else demand_place(after)
    return tuple(demand for demand in found if demand_place(demand.program) > place)[:limit]


def _visible(view: StateView, caller: Caller, name: str) -> StoredRequest:
    stored = stored_request(view, name)
    if stored is None or not may_see(caller, Kind.REQUEST, stored.member, owner_is=Relation.USER):
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no request {name[:40]!r} that {caller.member} may see")
    return stored

