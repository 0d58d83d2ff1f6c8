# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""P7 to P9, quick share: silent connections, cancelled calls and greedy streams; honest calls are answered all the while."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import grpc
import psutil
import pytest

from hpcbridge.errors import HpcbridgeError
from hpcbridge.service.quotas import Allowance
from hpcbridge.wire.client import SubmitStream
from hpcbridge.wire.credentials import CHANNEL_OPTIONS, member_credentials
from hpcbridge.wire.generated import ledger_pb2, ledger_pb2_grpc
from tests.bridge import wait_until
from tests.ledger_author import Author
from tests.ledger_simulator import LedgerSimulator

STATUS = ledger_pb2.GetStatusRequest()
MAX_GROWTH_BYTES = 100 << 20


@pytest.fixture
def honest(ledger: LedgerSimulator) -> Iterator[Callable[[], None]]:
    """Somebody who asks all the time, and must always be answered; to be called while the attack is on, it waits for four answers more."""
    client, stop, answered, failures = ledger.client(), threading.Event(), [0], []
    before = psutil.Process().memory_info().rss

    def ask() -> None:
        while not stop.wait(0.02):
            try:
                client.call("GetStatus", STATUS)
                answered[0] += 1
            except HpcbridgeError as error:
                failures.append(error)

    def is_still_answered() -> None:
        wanted = answered[0] + 4
        wait_until(lambda: bool(failures) or answered[0] >= wanted, what="honest calls to be answered")
        assert failures == []

    asking = threading.Thread(target=ask)
    asking.start()
    yield is_still_answered
    stop.set()
    asking.join()
    assert failures == []
    assert answered[0] > 3
    assert psutil.Process().memory_info().rss - before < MAX_GROWTH_BYTES


def test_silent_connections(ledger: LedgerSimulator, honest: Callable[[], None]) -> None:
    host, _, port = ledger.address.rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection((host, int(port))))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        enrolment = ledger.enrolment_address.rpartition(":")
        for _ in range(20):
            plain = stack.enter_context(socket.create_connection((enrolment[0], int(enrolment[2]))))
            context.set_alpn_protocols(["h2"])
            stack.enter_context(context.wrap_socket(plain))  # TLS, and then no HTTP/2
        honest()


def test_open_and_cancel(ledger: LedgerSimulator, honest: Callable[[], None]) -> None:
    ledger.user("hasty")
    keys = ledger.identity("hasty")
    options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "localhost"))
    with grpc.secure_channel(ledger.address, member_credentials(keys), options=options) as channel:
        stub = ledger_pb2_grpc.LedgerStub(channel)
        for number in range(400):
            call = stub.Subscribe(ledger_pb2.SubscribeRequest()) if number % 2 else stub.Submit(iter(()))
            call.cancel()
        honest()
    ledger.client("hasty").call("GetStatus", STATUS)


def test_messages_larger_than_allowed(ledger: LedgerSimulator, honest: Callable[[], None]) -> None:
    ledger.user("large")
    keys = ledger.identity("large")
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.max_send_message_length", -1)]
    with grpc.secure_channel(ledger.address, member_credentials(keys), options=options) as channel:
        stub = ledger_pb2_grpc.LedgerStub(channel)
        # no larger than it must be: the sender's own copies count in this process too
        request = ledger_pb2.SubmitRequest(envelopes=ledger_pb2.Envelopes(envelopes=[bytes(1 << 20)] * 2))
        for _ in range(4):
            with pytest.raises(grpc.RpcError) as refusal:
                list(stub.Submit(iter([request]), timeout=10))
            assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            honest()


def test_idle_streams_of_one_identity_are_bounded_and_cost_nobody_else(ledger: LedgerSimulator, honest: Callable[[], None]) -> None:
    author = Author(ledger.user("greedy"))
    streams: list[SubmitStream] = []
    refused = 0
    for _ in range(40):
        try:
            streams.append(author.hello(ledger.client("greedy"))[0])
        except HpcbridgeError:
            refused += 1
    assert len(streams) == ledger.config.limits.streams_per_identity
    assert refused == 40 - len(streams)
    other = Author(ledger.user("modest"))
    other.open(ledger.client("modest")).close()
    honest()
    for stream in streams:
        stream.close()


def test_without_the_quota_one_identity_takes_all(ledger: LedgerSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    author = Author(ledger.user("hungry"))
    take: Callable[[], SubmitStream] = lambda: author.hello(ledger.client("hungry"))[0]  # noqa: E731
    running = ledger.service._running
    assert running is not None
    monkeypatch.setattr(running._streams, "_per_identity", 10_000)
    streams = [take() for _ in range(20)]
    assert len(streams) > ledger.config.limits.streams_per_identity
    for stream in streams:
        stream.close()


def test_allowance_fills_up_again() -> None:
    allowance = Allowance(10, at_once=5)
    assert allowance.take(5, 0.0)
    assert not allowance.take(1, 0.0)
    assert not allowance.take(1, 0.05)
    assert allowance.take(1, 0.15)
    assert not allowance.take(6, 100.0)
    assert allowance.take(5, 100.0)
