# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market's questions over the real API, refusals as they are counted, and a contract nobody here knows."""

from __future__ import annotations

import pytest

from hpcbridge.contract import CONTRACT_VERSION
from hpcbridge.errors import HpcbridgeError, Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.market import Cancellation, ContractActivation, Credit, Request
from hpcbridge.service import queries
from hpcbridge.service.marketquestions import MARKET_QUESTIONS
from hpcbridge.service.relayquestions import RELAY_QUESTIONS
from hpcbridge.wire import marketqueries
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import read_event
from tests.ledger_simulator import LedgerSimulator


@pytest.fixture(scope="module")
def market(ledger: LedgerSimulator) -> LedgerSimulator:
    """Two users, a provider, and a request of one of them."""
    ledger.user("ulla")
    ledger.user("umar")
    ledger.provider("acme", cluster="c1")
    ledger.submit("admin", Credit(member="ulla", amount=7, reference="a"))
    ledger.submit("ulla", Request(cores=3))
    return ledger


def test_every_method_of_the_service_is_answered() -> None:
    methods = {method.name for method in ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].methods}
    assert methods == {*queries.QUESTIONS, *MARKET_QUESTIONS, *RELAY_QUESTIONS, "Submit", "Subscribe", "ReadEntries"}


def test_questions_over_the_api(market: LedgerSimulator) -> None:
    ulla, umar, acme, admin = (market.client(name).call for name in ("ulla", "umar", "acme", "admin"))
    (request,) = marketqueries.list_requests(ulla)
    assert request.asked == Request(cores=3)
    assert marketqueries.get_request(ulla, request.request) == request
    assert marketqueries.list_requests(admin) == (request,)
    assert marketqueries.list_requests(umar) == ()
    assert len(marketqueries.list_offers(ulla, request.request)) == request.offers
    assert len(marketqueries.list_why_nots(ulla, request.request)) == request.why_nots == 1
    assert marketqueries.list_rentals(ulla) == marketqueries.list_rentals(acme) == ()
    assert marketqueries.get_balance(ulla).balance == marketqueries.get_balance(admin, "ulla").balance == 7
    assert marketqueries.list_program_demand(acme) == ()
    for ask in (marketqueries.get_request, marketqueries.list_offers, marketqueries.list_why_nots):
        with pytest.raises(Refused) as refusal:
            ask(umar, request.request)
        assert refusal.value.code == EntryOutcome.NOT_FOUND
        with pytest.raises(Refused) as refusal:
            ask(acme, request.request)
        assert refusal.value.code == EntryOutcome.NOT_PERMITTED
    for call, name in ((umar, "ulla"), (acme, "ulla")):
        with pytest.raises(Refused):
            marketqueries.get_balance(call, name)
    with pytest.raises(Refused):
        marketqueries.get_rental(ulla, "l1")


def test_pages_over_the_api(market: LedgerSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores in range(1, 6):
        market.submit("umar", Request(cores=cores))
    monkeypatch.setattr(queries, "REPLY_BYTES", 60)
    found = marketqueries.list_requests(market.client("umar").call)
    assert [each.asked.cores for each in found] == [1, 2, 3, 4, 5]


def test_events_carry_their_words(market: LedgerSimulator) -> None:
    replies = market.client("ulla").subscribe(ledger_pb2.SubscribeRequest(until_caught_up=True))
    events = [read_event(reply.event) for reply in replies if reply.WhichOneof("reply") == "event"]
    told = {event.type: event.body for event in events}
    assert told[EventType.CREDITED] == Credit(member="ulla", amount=7, reference="a")
    assert told[EventType.REQUEST_ANSWERED].asked == Request(cores=3)
    # an enrolment holds the random bytes of a key, in which any two letters may stand
    assert not any("acme" in str(event) or "c1" in str(event) for event in events if event.type is not EventType.MEMBER_ENROLLED)


def test_refusals_are_counted_for_those_who_watch(market: LedgerSimulator) -> None:
    def counted(name: str) -> dict[str, int]:
        status = market.client(name).call("GetStatus", ledger_pb2.GetStatusRequest())
        return {each.name: each.value for each in status.refusals}

    before = counted("admin")
    for name, key in (("ulla", "CANCELLATION:NOT_FOUND:own_rental"), ("acme", "CANCELLATION:NOT_PERMITTED:TABLE_1")):
        submitted = market.submit(name, Cancellation(rental="l1"))
        assert "rule: " in submitted.reasons[0]
        assert counted("admin")[key] == before.get(key, 0) + 1
    with pytest.raises(Refused, match="rule: Table 1"):
        market.client("ulla").call("ListAllUsers", ledger_pb2.ListAllUsersRequest())
    assert counted("admin")["ListAllUsers:NOT_PERMITTED:TABLE_1"] == before.get("ListAllUsers:NOT_PERMITTED:TABLE_1", 0) + 1
    assert counted("ulla") == counted("acme") == {}


def test_a_contract_that_nobody_here_knows_does_not_stop_the_service(market: LedgerSimulator) -> None:
    with pytest.raises(HpcbridgeError):
        market.submit("admin", ContractActivation(version=CONTRACT_VERSION + 1))
    status = market.client("ulla").call("GetStatus", ledger_pb2.GetStatusRequest())
    assert status.contract_version == CONTRACT_VERSION
    market.submit("ulla", Request(cores=9))
