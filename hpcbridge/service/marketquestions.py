# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market's unary questions of the API, answered like those of `queries`: the contract decides who sees what."""

from __future__ import annotations

from collections.abc import Mapping

from hpcbridge.contract import marketqueries, requestqueries
from hpcbridge.contract.requestqueries import MAX_PAGE
from hpcbridge.model.clusters import Program
from hpcbridge.service.queries import Question, Scope, that_fit
from hpcbridge.wire.convert import to_message
from hpcbridge.wire.generated import ledger_pb2


def list_requests(request: ledger_pb2.ListRequestsRequest, scope: Scope) -> ledger_pb2.ListRequestsReply:
    """A page of requests."""
    found = requestqueries.requests(scope.view, scope.caller, member=request.member, after=request.after)
    page, left = that_fit(map(to_message, found), full=len(found) == MAX_PAGE)
    return ledger_pb2.ListRequestsReply(requests=page, size=scope.size, next=page[-1].request if left else "")


def get_request(request: ledger_pb2.GetRequestRequest, scope: Scope) -> ledger_pb2.GetRequestReply:
    """One request."""
    found = requestqueries.request(scope.view, scope.caller, request.request)
    return ledger_pb2.GetRequestReply(request=to_message(found), size=scope.size)


def list_offers(request: ledger_pb2.ListOffersRequest, scope: Scope) -> ledger_pb2.ListOffersReply:
    """A page of a request's offers."""
    found = requestqueries.offers(scope.view, scope.caller, request.request, after=request.after)
    page, left = that_fit(map(to_message, found), full=len(found) == MAX_PAGE)
    return ledger_pb2.ListOffersReply(offers=page, size=scope.size, next=page[-1].offer if left else "")


def list_why_nots(request: ledger_pb2.ListWhyNotsRequest, scope: Scope) -> ledger_pb2.ListWhyNotsReply:
    """A page of the reasons why other clusters were not offered."""
    after = int(request.after) if request.after.isascii() and request.after.isdecimal() and len(request.after) < 10 else 0
    found = requestqueries.why_nots(scope.view, scope.caller, request.request, after=after)
    page, left = that_fit(map(to_message, found), full=len(found) == MAX_PAGE)
    return ledger_pb2.ListWhyNotsReply(why_nots=page, size=scope.size, next=str(page[-1].ordinal) if left else "")


def list_rentals(request: ledger_pb2.ListRentalsRequest, scope: Scope) -> ledger_pb2.ListRentalsReply:
    """A page of rentals."""
    found = marketqueries.rentals(scope.view, scope.caller, open_only=request.open_only, after=request.after)
    page, left = that_fit(map(to_message, found.rentals), full=False)
    return ledger_pb2.ListRentalsReply(rentals=page, size=scope.size, next=page[-1].rental if left else found.next)


def get_rental(request: ledger_pb2.GetRentalRequest, scope: Scope) -> ledger_pb2.GetRentalReply:
    """One rental with a page of its statement."""
    rental = marketqueries.rental(scope.view, scope.caller, request.rental)
    lines = marketqueries.statement(scope.view, scope.caller, request.rental, after=request.after)
    page, left = that_fit(map(to_message, lines), full=len(lines) == marketqueries.MAX_PAGE)
    return ledger_pb2.GetRentalReply(rental=to_message(rental), lines=page, size=scope.size, next=str(page[-1].ordinal) if left else "")


def get_balance(request: ledger_pb2.GetBalanceRequest, scope: Scope) -> ledger_pb2.GetBalanceReply:
    """One account."""
    found = marketqueries.balance(scope.view, scope.caller, request.member)
    return ledger_pb2.GetBalanceReply(balance=to_message(found), size=scope.size)


def list_program_demand(request: ledger_pb2.ListProgramDemandRequest, scope: Scope) -> ledger_pb2.ListProgramDemandReply:
    """A page of programs that were missing."""
    name, _, version = request.after.partition("\n")  # no name that is asked for holds a line's end
    found = requestqueries.program_demand(scope.view, scope.caller, after=Program(name=name, version=version) if name else None)
    page, left = that_fit(map(to_message, found), full=len(found) == MAX_PAGE)
    last = page[-1].program if left else None
    return ledger_pb2.ListProgramDemandReply(programs=page, size=scope.size, next="" if last is None else f"{last.name}\n{last.version}")


MARKET_QUESTIONS: Mapping[str, Question] = {
    "ListRequests": list_requests,
    "GetRequest": get_request,
    "ListOffers": list_offers,
    "ListWhyNots": list_why_nots,
    "ListRentals": list_rentals,
    "GetRental": get_rental,
    "GetBalance": get_balance,
    "ListProgramDemand": list_program_demand,
}
"""The unary methods of the market by name."""
