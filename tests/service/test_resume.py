# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Subscribers of a running ledger that are cut off after any event and come back with its cursor, each to see what it may."""

from __future__ import annotations

import pytest

from hpcbridge.model.clusters import ClusterState, Rates, Registration, SchedulerInfo
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import AccountReport, AccountState, Cancellation, Credit, Rental, RentalOrder, Request
from hpcbridge.model.transactions import JobChange, JobChanges
from hpcbridge.service import subscriptions
from hpcbridge.wire import marketqueries
from hpcbridge.wire.generated import entries_pb2, ledger_pb2
from tests.contract.market_sites import queue
from tests.ledger_simulator import LedgerSimulator, now

WHO = ("ulla", "umar", "acme", "admin", "audrey")


@pytest.fixture(scope="module")
def story(ledger: LedgerSimulator) -> LedgerSimulator:
    """Two rentals with a job, a refund and a refusal."""
    ledger.provider("acme", cluster="c1")
    ledger.enrol(Role.USER, "audrey", attributes=(("auditor", "true"),))
    rates = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=0)
    ledger.submit("acme", Registration(cluster="c1", login_address="login.c1.test", rates=rates)).check_accepted()
    scheduler = SchedulerInfo(name="slurm", version=None, reachable=True)
    state = ClusterState(cluster="c1", observed_at=now(), queues=(queue(cluster="c1"),), scheduler=scheduler)
    ledger.submit("acme", state).check_accepted()
    for user in ("ulla", "umar"):
        ledger.user(user)
        ledger.submit("admin", Credit(member=user, amount=100_000_000, reference="a")).check_accepted()
        rental = rent(ledger, user)
        ledger.submit("acme", AccountReport(rental=rental.rental, state=AccountState.READY)).check_accepted()
        if user == "ulla":
            at = now()
            for job in (run(rental, JobState.QUEUED), run(rental, JobState.RUNNING, started_at=at - 60_000)):
                ledger.submit("acme", JobChanges(cluster="c1", changes=(JobChange(job=job, observed_at=at),))).check_accepted()
            end = run(rental, JobState.DONE, outcome=Outcome.COMPLETED, started_at=at - 60_000, ended_at=at)
            ledger.submit("acme", JobChanges(cluster="c1", changes=(JobChange(job=end, observed_at=at),))).check_accepted()
        ledger.submit(user, Cancellation(rental=rental.rental))
    return ledger


def rent(ledger: LedgerSimulator, user: str) -> Rental:
    ledger.submit(user, Request(cores=16)).check_accepted()
    (request,) = marketqueries.list_requests(ledger.client(user).call)
    ledger.submit(user, RentalOrder(request=request.request, cores=16)).check_accepted()
    (rental,) = marketqueries.list_rentals(ledger.client(user).call)
    return rental


def run(rental: Rental, state: JobState, **fields: object) -> Job:
    job = Job(cluster="c1", job_id="1", incarnation=1, state=state, native_state=state.value, owner=rental.username, cores=16)
    return Job(**({name: getattr(job, name) for name in job.__slots__} | fields))


def heard(ledger: LedgerSimulator, who: str, cursor: str = "", *, most: int | None = None) -> list[entries_pb2.Event]:
    """What a subscriber gets from a cursor on; with `most` it goes away after so many."""
    found: list[entries_pb2.Event] = []
    replies = ledger.client(who).subscribe(ledger_pb2.SubscribeRequest(cursor=cursor, until_caught_up=True))
    for reply in replies:
        if reply.WhichOneof("reply") == "event":
            found.append(reply.event)
            if len(found) == most:
                replies.close()
                break
    return found


@pytest.mark.parametrize("who", WHO)
def test_after_a_cut_at_any_event_the_rest_follows(story: LedgerSimulator, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    whole = heard(story, who)
    assert len(whole) > 7
    monkeypatch.setattr(subscriptions, "PAGE", 3)
    assert heard(story, who) == whole
    for place, event in enumerate(whole):
        assert heard(story, who, event.cursor, most=5) == whole[place + 1 : place + 6]


def test_one_cut_after_the_other(story: LedgerSimulator) -> None:
    whole, got = heard(story, "ulla"), list[entries_pb2.Event]()
    while more := heard(story, "ulla", got[-1].cursor if got else "", most=1):
        got += more
    assert got == whole


def test_each_hears_its_own_and_who_watches_hears_all(story: LedgerSimulator) -> None:
    parts = {who: heard(story, who) for who in WHO}
    for who in ("ulla", "umar", "acme"):
        assert {event.audience for event in parts[who]} == {who}
        assert [event.audience_number for event in parts[who]] == list(range(1, len(parts[who]) + 1))
    assert parts["admin"] == parts["audrey"]
    assert [event for event in parts["admin"] if event.audience == "ulla"] == parts["ulla"]
    assert not any(b"ulla" in event.SerializeToString() or b"umar" in event.SerializeToString() for event in parts["acme"])
    assert not any(b"umar" in event.SerializeToString() for event in parts["ulla"])
