# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Each limit of [limits] and of the connection, with a short setting; and beside it what happens without the limit."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hpcbridge.client import Client
from hpcbridge.config import LimitsSection
from hpcbridge.errors import LedgerUnavailable, QuotaExceeded
from hpcbridge.model.entries import EntryOutcome, EventType, RetryCode
from hpcbridge.model.identities import Submitter
from hpcbridge.model.jobs import Job
from hpcbridge.service import server
from hpcbridge.service.quotas import PATIENCE_SECONDS, Allowance, Quota, Quotas
from hpcbridge.wire.credentials import CHANNEL_OPTIONS, member_credentials
from hpcbridge.wire.generated import ledger_pb2, ledger_pb2_grpc
from hpcbridge.wire.status import PUSHBACK_KEY, status_of
from tests.http2_frames import ENHANCE_YOUR_CALM, FrameConnection, member_context
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator

STATUS = ledger_pb2.GetStatusRequest()
OPTIONS = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "localhost"))
ACCEPTED = (EntryOutcome.ACCEPTED,)
ANN, BOB = Submitter("ann", "x"), Submitter("bob", "x")
Make = Callable[..., LedgerSimulator]


class World:
    """Quotas whose time a test moves, and how often each was met."""

    def __init__(self, **limits: int) -> None:
        self.now = 0.0
        self.met: Counter[tuple[str, Quota]] = Counter()
        self.quotas = Quotas(LimitsSection(**limits), clock=lambda: self.now, count=self._count)

    def _count(self, submitter: Submitter, quota: Quota) -> None:
        self.met[str(submitter), quota] += 1


def test_an_allowance_lends_for_as_long_as_one_has_patience() -> None:
    allowance = Allowance(10, at_once=5)
    assert allowance.borrow(5, 0.0) == 0.0
    assert allowance.borrow(5, 0.0) == pytest.approx(0.5)
    assert allowance.borrow(20, 0.0, patience=1.0) == pytest.approx(2.5)
    assert allowance.borrow(5, 0.0, patience=1.0) == pytest.approx(1.0)
    assert not allowance.is_whole(1.4)
    assert allowance.is_whole(1.5)


def test_who_is_far_too_quick_is_told_how_long_to_wait_and_nobody_else_notices() -> None:
    world = World(messages_per_second=1)

    async def send(submitter: Submitter) -> None:
        await asyncio.wait_for(world.quotas.message(submitter), 0.01)

    async def story() -> None:
        await send(ANN)
        for _ in range(int(PATIENCE_SECONDS)):
            with pytest.raises(TimeoutError):  # held back
                await send(ANN)
        with pytest.raises(QuotaExceeded) as refusal:
            await send(ANN)
        assert refusal.value.wait_seconds == pytest.approx(3.0)
        assert (PUSHBACK_KEY, "3000") in status_of(refusal.value).metadata
        assert status_of(refusal.value).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await send(BOB)
        world.now = 3.0
        await send(ANN)

    asyncio.run(story())
    assert world.met == {("ann/x", Quota.MESSAGES): 3}


def test_bytes_and_envelopes_are_of_an_identity_and_what_is_stored_is_of_a_member() -> None:
    world = World(bytes_per_second=1000, envelopes_per_second=10, stored_bytes_per_day=86_400)

    async def story() -> None:
        assert await world.quotas.envelopes(ANN, 5, 1000) == ""
        assert "come again in 4 s" in await world.quotas.envelopes(ANN, 5, 4000)
        assert "envelopes a second" in await world.quotas.envelopes(ANN, 1, 1)
        assert await world.quotas.envelopes(BOB, 10, 1000) == ""

    asyncio.run(story())
    assert world.quotas.owe(BOB, 500) == pytest.approx(0.5)
    assert not world.quotas.store(ANN, 86_000)
    assert "room in 200 s" in world.quotas.store(Submitter("ann", "another"), 600)
    assert not world.quotas.store(BOB, 600)
    world.now = 200.0
    assert not world.quotas.store(ANN, 600)
    assert world.met == {
        ("ann/x", Quota.BYTES): 1,
        ("ann/x", Quota.ENVELOPES): 1,
        ("bob/x", Quota.BYTES): 1,
        ("ann/another", Quota.STORED_BYTES): 1,
    }


def test_connections_are_counted_by_where_calls_come_from() -> None:
    world = World(connections_per_identity=2)
    with world.quotas.connected(ANN, "ipv4:1:1"), world.quotas.connected(ANN, "ipv4:1:2"), world.quotas.connected(ANN, "ipv4:1:2"):
        with pytest.raises(QuotaExceeded), world.quotas.connected(ANN, "ipv4:1:3"):
            pass
        with world.quotas.connected(BOB, "ipv4:1:3"):
            pass
    with world.quotas.connected(ANN, "ipv4:1:3"):
        pass
    assert world.met == {("ann/x", Quota.CONNECTIONS): 1}


def test_names_that_have_all_their_shares_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcbridge.service.quotas.MAX_KEPT", 10)
    world = World()
    for number in range(100):
        world.now += 2.0
        assert world.quotas.owe(Submitter("ann", f"n{number}"), 1) == 0.0
    assert len(world.quotas._shares) <= 10


def test_a_real_ledger_holds_back_and_counts_by_role(new_ledger: Make) -> None:
    ledger = new_ledger(limits=LimitsSection(messages_per_second=20, connections_per_identity=3, stored_bytes_per_day=6_000))
    author = Author(ledger.provider("acme", cluster="c1"))
    client = ledger.client("acme")
    began = time.monotonic()
    for _ in range(30):
        client.call("GetStatus", STATUS)
    assert time.monotonic() - began > 0.3  # 30 at 20 a second, 20 of them at once: none refused, and half a second of waiting
    clients = [ledger.client("acme") for _ in range(3)]
    streams = [author.open(clients[0]), *(author.hello(each)[0] for each in clients[1:])]
    with pytest.raises(LedgerUnavailable, match="uses 3 connections"):
        ledger.client("acme").call("GetStatus", STATUS)
    answers = list(itertools.chain(*(author.send(streams[0], [author.envelope(job_changes("c1", number))]) for number in range(40))))
    refused = [answer for answer in answers if isinstance(answer, ledger_pb2.Answer)]
    assert answers[0] == ACCEPTED
    assert {answer.retry.code for answer in refused} == {RetryCode.QUOTA}
    counted = {count.name: count.value for count in ledger.client().call("GetStatus", STATUS).refusals}
    assert counted["QUOTA:MESSAGES:PROVIDER"] > 5
    assert counted["QUOTA:CONNECTIONS:PROVIDER"] == 1
    assert counted["QUOTA:STORED_BYTES:PROVIDER"] > 0
    for stream in streams:
        stream.close()


def test_a_full_day_of_an_honest_site_drained_at_once_meets_no_limit() -> None:
    """300,000 changes within a minute, the most that promise 4 lets an agent bring, 500 in an envelope."""
    limits = LimitsSection()
    author_bytes = 300  # of one change, more than any in tests/recorded
    envelopes = 300_000 // 500
    world = World()

    async def story() -> None:
        for _ in range(envelopes):
            await asyncio.wait_for(world.quotas.message(ANN), 0.01)
            assert await asyncio.wait_for(world.quotas.envelopes(ANN, 1, 500 * author_bytes), 0.01) == ""
            assert world.quotas.store(ANN, 500 * author_bytes) == ""
            world.now += 60 / envelopes

    asyncio.run(story())
    assert not world.met
    assert limits.stored_bytes_per_day > 5 * 300_000 * author_bytes


@pytest.mark.parametrize("shown", [False, True])
def test_reflection_is_shown_to_members_where_the_file_says_so(new_ledger: Make, *, shown: bool) -> None:
    ledger = new_ledger(reflection=shown)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.secure_channel(ledger.address, member_credentials(ledger.user("curious")), options=OPTIONS) as channel:
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5).status
        replies = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]), timeout=5)
        if shown:
            (reply,) = replies
            assert "hpcbridge.v1.Ledger" in {service.name for service in reply.list_services_response.service}
        else:
            with pytest.raises(grpc.RpcError) as refusal:
                list(replies)
            assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_connections_of_seconds_lose_nothing(new_ledger: Make) -> None:
    """A sender and a listener whose connections are ended every second go on where they were."""
    ledger = new_ledger(limits=LimitsSection(connection_age_seconds=1))
    author = Author(ledger.provider("acme", cluster="c1"))
    listener = Client(ledger.identity("acme").path)
    heard: list[str] = []
    cuts, failures, all_sent = {"sender": 0, "listener": 0}, list[Exception](), threading.Event()
    begins = [event.cursor for event in listener.events()][-1]

    def listen() -> None:
        cursor = begins
        while not failures and not (all_sent.is_set() and len(heard) >= number):
            try:
                for event in listener.events(cursor, types=(EventType.JOB_CHANGED,), follow=True):
                    assert isinstance(event.body, Job)
                    cursor = event.cursor
                    heard.append(event.body.job_id)
            except LedgerUnavailable as error:
                if "old enough" not in str(error):
                    failures.append(error)
                cuts["listener"] += 1

    thread, number = threading.Thread(target=listen), 0
    thread.start()
    stream, pause = author.open(ledger.client("acme")), threading.Event()
    while min(cuts.values()) < 2 and not failures:
        envelope = author.envelope(job_changes("c1", number))
        while True:
            try:
                if author.send(stream, [envelope]) == [ACCEPTED]:
                    break
            except (LedgerUnavailable, StopIteration):
                cuts["sender"] += 1
                stream, reply = author.hello(ledger.client("acme"))
                assert reply.last_sequence in (author.sequence - 1, author.sequence)
        number += 1
        pause.wait(0.05)
    all_sent.set()
    thread.join(30)
    listener.close()
    assert failures == []
    assert heard == [str(each) for each in range(number)]


def test_a_silent_stream_of_some_seconds_is_neither_old_nor_idle(ledger: LedgerSimulator) -> None:
    author = Author(ledger.user("calm"))
    stream = author.open(ledger.client("calm"))
    threading.Event().wait(2.5)
    assert stream._call.is_active()
    stream.close()


@pytest.mark.parametrize(("strikes", "is_cut"), [(3, True), (0, False)], ids=["three strikes", "no limit"])
def test_a_client_that_pings_too_often_is_cut(new_ledger: Make, monkeypatch: pytest.MonkeyPatch, strikes: int, *, is_cut: bool) -> None:
    monkeypatch.setattr(server, "MAX_PING_STRIKES", strikes)
    ledger = new_ledger()
    with FrameConnection(ledger.address, member_context(ledger.user("nervous"))) as connection:
        connection.greet()
        for _ in range(20):
            connection.ping()
        assert connection.end(10.0 if is_cut else 1.5) == (ENHANCE_YOUR_CALM if is_cut else None)
    ledger.client().call("GetStatus", STATUS)


@pytest.mark.parametrize(("handshake_ms", "is_cut"), [(500, True), (3_600_000, False)], ids=["half a second", "an hour"])
def test_tls_without_http2_is_ended(new_ledger: Make, monkeypatch: pytest.MonkeyPatch, handshake_ms: int, *, is_cut: bool) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_MS", handshake_ms)
    ledger = new_ledger()
    with FrameConnection(ledger.address, member_context(ledger.user("mute"))) as connection:
        assert (connection.end(10.0 if is_cut else 1.5) is not None) is is_cut


@pytest.mark.parametrize(("seconds", "is_cut"), [(1, True), (300, False)], ids=["a second", "five minutes"])
def test_a_connection_without_calls_is_closed(new_ledger: Make, seconds: int, *, is_cut: bool) -> None:
    ledger = new_ledger(limits=LimitsSection(connection_idle_seconds=seconds))
    with FrameConnection(ledger.address, member_context(ledger.user("absent"))) as connection:
        connection.greet()
        assert (connection.end(10.0 if is_cut else 2.5) is not None) is is_cut


def test_more_connections_than_allowed_are_not_served(new_ledger: Make) -> None:
    ledger = new_ledger(limits=LimitsSection(connections=8))
    context = member_context(ledger.user("many"))
    connections = []
    for _ in range(24):
        try:
            connection = FrameConnection(ledger.address, context)
            connection.greet()
            connections.append(connection)
        except OSError:
            continue
    living = [connection for connection in connections if connection.end(0.2) is None]
    assert 0 < len(living) <= 8
    for connection in connections:
        connection.close()
    ledger.client().call("GetStatus", STATUS)


@pytest.mark.parametrize(("size", "is_refused"), [(9_000, True), (4_000, False)])
def test_metadata_has_a_bound(ledger: LedgerSimulator, size: int, *, is_refused: bool) -> None:
    keys = ledger.identity("wordy")
    keys = keys if keys.is_enrolled() else ledger.user("wordy")
    with grpc.secure_channel(ledger.address, member_credentials(keys), options=OPTIONS) as channel:
        stub = ledger_pb2_grpc.LedgerStub(channel)
        ask = lambda: stub.GetStatus(STATUS, timeout=10, metadata=[("x-words", "w" * size)])  # noqa: E731
        if is_refused:
            with pytest.raises(grpc.RpcError) as refusal:
                ask()
            assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        else:
            assert ask().origin


@pytest.mark.parametrize(("size", "is_refused"), [((1 << 20) + 1, True), ((1 << 20) - 200, False)])
def test_a_message_has_a_bound(ledger: LedgerSimulator, size: int, *, is_refused: bool) -> None:
    keys = ledger.identity("bulky")
    keys = keys if keys.is_enrolled() else ledger.user("bulky")
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.max_send_message_length", -1)]
    with grpc.secure_channel(ledger.address, member_credentials(keys), options=options) as channel:
        request = ledger_pb2.GetHpcSystemDetailRequest(name="x" * size)
        with pytest.raises(grpc.RpcError) as refusal:
            ledger_pb2_grpc.LedgerStub(channel).GetHpcSystemDetail(request, timeout=10)
        assert (refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED) is is_refused
