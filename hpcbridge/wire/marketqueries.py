# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market's read functions as Python functions, like those of `queries`: words in, words out, whatever carries the call."""

from __future__ import annotations

from functools import partial

from hpcbridge.model.market import Balance, Offer, ProgramDemand, Rental, RequestRecord, StatementLine, WhyNot
from hpcbridge.wire.convert import from_message
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import Call, pages, read

_LAST_LINE = "999999"
"""No line of a statement comes after it."""


def list_requests(call: Call, *, member: str = "") -> tuple[RequestRecord, ...]:
    """The caller's requests; admins and auditors: of `member`, or of everybody."""
    replies = pages(lambda after: call("ListRequests", ledger_pb2.ListRequestsRequest(after=after, member=member)))
    return tuple(read(partial(from_message, RequestRecord), each) for reply in replies for each in reply.requests)


def get_request(call: Call, request: str) -> RequestRecord:
    """One request."""
    return read(partial(from_message, RequestRecord), call("GetRequest", ledger_pb2.GetRequestRequest(request=request)).request)


def list_offers(call: Call, request: str) -> tuple[Offer, ...]:
    """The offers of a request, in an order that says nothing."""
    replies = pages(lambda after: call("ListOffers", ledger_pb2.ListOffersRequest(request=request, after=after)))
    return tuple(read(partial(from_message, Offer), each) for reply in replies for each in reply.offers)


def list_why_nots(call: Call, request: str) -> tuple[WhyNot, ...]:
    """Why other clusters were not offered."""
    replies = pages(lambda after: call("ListWhyNots", ledger_pb2.ListWhyNotsRequest(request=request, after=after)))
    return tuple(read(partial(from_message, WhyNot), each) for reply in replies for each in reply.why_nots)


def list_rentals(call: Call, *, open_only: bool = False) -> tuple[Rental, ...]:
    """Rentals the caller may see: a user's own, those of a provider's clusters, an admin all."""
    replies = pages(lambda after: call("ListRentals", ledger_pb2.ListRentalsRequest(after=after, open_only=open_only)))
    return tuple(read(partial(from_message, Rental), each) for reply in replies for each in reply.rentals)


def get_rental(call: Call, rental: str) -> tuple[Rental, tuple[StatementLine, ...]]:
    """One rental with its statement."""
    replies = list(pages(lambda after: call("GetRental", ledger_pb2.GetRentalRequest(rental=rental, after=after))))
    lines = tuple(read(partial(from_message, StatementLine), each) for reply in replies for each in reply.lines)
    return read(partial(from_message, Rental), replies[-1].rental), lines


def current_rental(call: Call, rental: str) -> Rental:
    """One rental as it stands, without the lines of its statement, which may be very many."""
    return read(partial(from_message, Rental), call("GetRental", ledger_pb2.GetRentalRequest(rental=rental, after=_LAST_LINE)).rental)


def get_balance(call: Call, member: str = "") -> Balance:
    """The caller's account; admins and auditors: that of `member`."""
    return read(partial(from_message, Balance), call("GetBalance", ledger_pb2.GetBalanceRequest(member=member)).balance)


def list_program_demand(call: Call) -> tuple[ProgramDemand, ...]:
    """How often which programs were asked for and missing; for providers."""
    replies = pages(lambda after: call("ListProgramDemand", ledger_pb2.ListProgramDemandRequest(after=after)))
    return tuple(read(partial(from_message, ProgramDemand), each) for reply in replies for each in reply.programs)
