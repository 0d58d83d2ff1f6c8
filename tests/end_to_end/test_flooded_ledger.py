# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""P7 to P9: a ledger of its own process under floods; two honest members are answered all the while, and its memory stays bounded."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc
import pytest

from hpcbridge.client import Client
from hpcbridge.errors import HpcbridgeError
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.identities import Role
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.credentials import CHANNEL_OPTIONS, member_credentials
from hpcbridge.wire.enrolment import enrol
from hpcbridge.wire.generated import ledger_pb2, ledger_pb2_grpc
from tests.bridge import Bridge, wait_until
from tests.http2_frames import FrameConnection, member_context
from tests.ledger_author import Author, job_changes

MIB = 1 << 20
CALLS_OF_A_CONNECTION = 60
WAVE = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the floods are, and how much memory they may cost the ledger."""

    connections: int
    cancels: int
    messages: int
    drips: int
    drip_seconds: float
    drip_bytes: int
    growth_bytes: int


QUICK = Sizes(connections=200, cancels=400, messages=1, drips=40, drip_seconds=0.1, drip_bytes=6, growth_bytes=150 * MIB)
FULL = Sizes(connections=20_000, cancels=40_000, messages=40, drips=500, drip_seconds=10, drip_bytes=12, growth_bytes=600 * MIB)


@pytest.mark.parametrize("sizes", [QUICK, pytest.param(FULL, marks=[pytest.mark.full, pytest.mark.timeout(1800)])], ids=["quick", "full"])
def test_honest_members_are_answered_and_memory_is_bounded(tmp_path: Path, sizes: Sizes) -> None:
    with flooded(tmp_path) as (bridge, flooder):
        assert bridge.ledger is not None
        before = resident(bridge.ledger.pid, "VmRSS")
        with Honest(tmp_path) as honest:
            silent_connections(bridge, sizes, honest)
            calls_that_are_cancelled(flooder, sizes, honest)
            messages_of_64_mib(flooder, sizes, honest)
            calls_that_drip(bridge, flooder, sizes, honest)
        growth = resident(bridge.ledger.pid, "VmHWM") - before
        print(f"growth {growth / MIB:.0f} MiB, answers {honest.answered}, receipts {honest.receipts}, slowest {honest.slowest:.2f} s")
        assert growth < sizes.growth_bytes
        if sizes is FULL:
            bridge.admin("ledger", "verify")


@contextlib.contextmanager
def flooded(directory: Path) -> Iterator[tuple[Bridge, KeyDirectory]]:
    """A ledger with three users: two honest ones and one who floods."""
    with Bridge(directory / "bridge") as bridge:
        bridge.write_configuration()
        token = bridge.init_ledger()
        bridge.start_ledger()
        enrol(token, "laptop", KeyDirectory(bridge.admin_identity))
        with Client(bridge.admin_identity) as admin:
            for name in ("asker", "sender", "flooder"):
                enrol(admin.invite(Role.USER, name), "main", KeyDirectory(directory / name))
        yield bridge, KeyDirectory(directory / "flooder")


class Honest:
    """One member who asks and one who sends; neither may ever fail."""

    def __init__(self, directory: Path) -> None:
        self._keys = [KeyDirectory(directory / name) for name in ("asker", "sender")]
        self._over = threading.Event()
        self._failures: list[Exception] = []
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._send)]
        self.answered = self.receipts = self.streams = 0
        self.slowest = 0.0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self._failures == []

    def check(self) -> None:
        """Waits for some answers and receipts more."""
        wanted = self.answered + 4, self.receipts + 4
        wait_until(
            lambda: bool(self._failures) or (self.answered >= wanted[0] and self.receipts >= wanted[1]),
            what="honest members to be answered",
            seconds=60,
        )
        assert self._failures == []

    def _ask(self) -> None:
        """On a fresh connection every tenth time: who comes new must be let in as well."""
        keys = self._keys[0]
        while not self._over.is_set():
            with LedgerClient(endpoints_of(keys), keys, deadline_seconds=30) as client:
                for _ in range(10):
                    asked = time.monotonic()
                    try:
                        self.streams = client.call("GetStatus", ledger_pb2.GetStatusRequest()).streams
                        self.answered += 1
                        self.slowest = max(self.slowest, time.monotonic() - asked)
                    except HpcbridgeError as error:
                        self._failures.append(error)
                        return
                    if self._over.wait(0.02):
                        return

    def _send(self) -> None:
        keys = self._keys[1]
        author = Author(keys)
        with LedgerClient(endpoints_of(keys), keys, deadline_seconds=30) as client, author.open(client) as stream:
            for number in itertools.count():
                if self._over.wait(0.02):
                    return
                try:
                    # Refused by the contract, as a user has no cluster; what counts is the receipt, which was verified.
                    assert len(author.send(stream, [author.envelope(job_changes("none", number))])) == 1
                    self.receipts += 1
                except (HpcbridgeError, StopIteration) as error:
                    self._failures.append(error)
                    return


def silent_connections(bridge: Bridge, sizes: Sizes, honest: Honest) -> None:
    """TCP that says nothing, in waves: the ledger ends each after the time of a handshake."""
    addresses = [bridge.ledger_address, bridge.enrolment_address]
    for start in range(0, sizes.connections, WAVE):
        with contextlib.ExitStack() as stack:
            for number in range(start, min(start + WAVE, sizes.connections)):
                host, _, port = addresses[number % 8 == 7].rpartition(":")
                stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            honest.check()


def calls_that_are_cancelled(flooder: KeyDirectory, sizes: Sizes, honest: Honest) -> None:
    """Calls that are opened and cancelled at once."""
    with channel(flooder) as opened:
        stub = ledger_pb2_grpc.LedgerStub(opened)
        for number in range(sizes.cancels):
            call = stub.Subscribe(ledger_pb2.SubscribeRequest()) if number % 2 else stub.Submit(iter(()))
            call.cancel()
            if number % 4_000 == 3_999:
                honest.check()
        honest.check()


def messages_of_64_mib(flooder: KeyDirectory, sizes: Sizes, honest: Honest) -> None:
    """Each is refused by its length, before it is here."""
    request = ledger_pb2.SubmitRequest(envelopes=ledger_pb2.Envelopes(envelopes=[bytes(MIB)] * 64))
    for _ in range(sizes.messages):
        with channel(flooder) as opened, pytest.raises(grpc.RpcError) as refusal:
            list(ledger_pb2_grpc.LedgerStub(opened).Submit(iter([request]), timeout=60))
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    honest.check()


def calls_that_drip(bridge: Bridge, flooder: KeyDirectory, sizes: Sizes, honest: Honest) -> None:
    """Streams of one identity that send a byte now and then and never a whole message: few may be open, and not for long."""
    context, pause = member_context(flooder), threading.Event()
    with contextlib.ExitStack() as stack:
        calls: list[tuple[FrameConnection, int]] = []
        for first in range(0, sizes.drips, CALLS_OF_A_CONNECTION):
            connection = stack.enter_context(FrameConnection(bridge.ledger_address, context))
            connection.greet()
            for number in range(min(CALLS_OF_A_CONNECTION, sizes.drips - first)):
                connection.open_call(2 * number + 1, "/hpcbridge.v1.Ledger/Submit")
                calls.append((connection, 2 * number + 1))
        for byte in b"\0\0\0\x10\0" + bytes(sizes.drip_bytes - 5):
            for connection, stream in calls:
                connection.send_data(stream, bytes([byte]))
            honest.check()
            assert 0 < honest.streams <= 16 + 1
            pause.wait(sizes.drip_seconds)


def channel(keys: KeyDirectory) -> grpc.Channel:
    """As a member with its own ideas of how large a message may be."""
    (endpoint,) = endpoints_of(keys)
    options = [option for option in CHANNEL_OPTIONS if option[0] != "grpc.max_send_message_length"]
    options += [("grpc.max_send_message_length", -1), ("grpc.ssl_target_name_override", endpoint.server_name)]
    return grpc.secure_channel(endpoint.address, member_credentials(keys), options=options)


def resident(pid: int, field: str) -> int:
    """Bytes of memory, from the kernel."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
