# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A member's connection to its ledger: synchronous, thread-safe, one endpoint after the other.

It moves messages and turns failures into our error families; it verifies no receipt and keeps no number, that is for whoever owns
the chain of numbers. A stream that broke is not mended here: its owner opens another and says Hello again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from hpcbridge.errors import ConfigError, HpcbridgeError, LedgerUnavailable
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.wire.credentials import CHANNEL_OPTIONS, enrolment_credentials, member_credentials
from hpcbridge.wire.generated import entries_pb2, ledger_pb2, ledger_pb2_grpc
from hpcbridge.wire.status import error_of

DEADLINE_SECONDS = 10.0
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a ledger listens (host:port) and the name its TLS certificate must carry."""

    address: str
    server_name: str


def endpoints_of(identity: KeyDirectory, address: str | None = None) -> tuple[Endpoint, ...]:
    """The endpoints of an identity's profile, or the one at `address` under the profile's server name."""
    profile = identity.load_profile()
    addresses = profile.ledger_addresses if address is None else (address,)
    return tuple(Endpoint(each, profile.server_name) for each in addresses)


class LedgerClient:
    """Calls on the Ledger service with one identity. An endpoint that is not reachable gives way to the next one."""

    def __init__(self, endpoints: Sequence[Endpoint], identity: KeyDirectory, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        if not endpoints:
            raise ConfigError("no ledger address is known", hint="add a [[ledger]] to the configuration, or enrol")
        self._endpoints = tuple(endpoints)
        self._identity = identity
        self._deadline = deadline_seconds
        self._lock = threading.Lock()
        self._current = 0
        self._connection: _Connection | None = None
        self._retired: list[_Connection] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The endpoint in use, or the one that is tried next."""
        return self._endpoints[self._current].address

    def call(self, method: str, request: Message) -> Any:
        """One unary call of the Ledger service by name; each endpoint is tried once before LedgerUnavailable."""
        return self._on_some_endpoint(lambda connection: connection.unary(method, request, self._deadline))

    def submit_stream(self) -> SubmitStream:
        """The one way in. The endpoint has answered before this returns, so that Hello goes to a ledger that is there."""
        return self._on_some_endpoint(self._open_submit)

    def subscribe(self, request: ledger_pb2.SubscribeRequest) -> EventStream:
        """Events from a cursor on."""
        return self._on_some_endpoint(lambda connection: self._open_events(connection, request))

    def read_entries(self, start: int, stop: int = 0) -> Iterator[ledger_pb2.EntriesChunk]:
        """Leaves (or, where not permitted, leaf hashes) from `start` up to `stop` (0: the end at the time of the call), in order."""
        request = ledger_pb2.ReadEntriesRequest(start=start, stop=stop)
        yield from self._on_some_endpoint(lambda connection: _Stream(connection.stream("ReadEntries", request), connection))

    def reconnect(self) -> None:
        """The next call makes a new channel from the identity's files; open streams of the old one end with LedgerUnavailable."""
        with self._lock:
            connections = [*self._retired, *([self._connection] if self._connection is not None else [])]
            self._retired.clear()
            self._connection = None
        for connection in connections:
            connection.close()

    def use_new_certificate(self) -> None:
        """The next call makes a new channel from the identity's files. Open streams go on: the ledger knows that their key is good."""
        with self._lock:
            if self._connection is not None:
                self._retired.append(self._connection)
                self._connection = None
            self._drop_idle()

    def close(self) -> None:
        """Ends every stream; the client is of no use afterwards."""
        self._closed = True
        self.reconnect()

    def _drop_idle(self) -> None:
        """Closes the channels of earlier certificates whose last stream has ended."""
        for connection in [each for each in self._retired if each.is_idle()]:
            self._retired.remove(connection)
            connection.close()

    def _open_submit(self, connection: _Connection) -> SubmitStream:
        connection.probe(self._deadline)
        return SubmitStream(connection)

    def _open_events(self, connection: _Connection, request: ledger_pb2.SubscribeRequest) -> EventStream:
        connection.probe(self._deadline)
        return EventStream(connection.stream("Subscribe", request), connection)

    def _on_some_endpoint(self, attempt: Callable[[_Connection], Reply]) -> Reply:
        failure: LedgerUnavailable | None = None
        for _ in self._endpoints:
            connection = self._connected()
            answered = connection.answered
            try:
                return attempt(connection)
            except LedgerUnavailable as error:
                failure = failure or error
                self._give_up(connection, answered=answered)
            finally:
                with self._lock:
                    connection.asked -= 1
        raise failure or LedgerUnavailable("no endpoint was tried")

    def _connected(self) -> _Connection:
        with self._lock:
            if self._closed:
                raise LedgerUnavailable("this client is closed")
            self._drop_idle()
            if self._connection is None:
                self._connection = _Connection(self._endpoints[self._current], self._identity)
            self._connection.asked += 1
            return self._connection

    def _give_up(self, connection: _Connection, *, answered: bool) -> None:
        """Turns to the next endpoint. With only one, a channel that `answered` until now is given one more try.

        A channel whose ledger was away is not used again: between calls nobody attends to it but gRPC's backup poller, every five
        seconds, and a handshake in such steps ends in the ledger's time limit, for ever.
        """
        if len(self._endpoints) == 1 and answered:
            return
        with self._lock:
            if self._connection is not connection:
                return
            self._connection = None
            self._current = (self._current + 1) % len(self._endpoints)
        connection.close()


class _Connection:
    """One channel to one endpoint."""

    def __init__(self, endpoint: Endpoint, identity: KeyDirectory) -> None:
        self.address = endpoint.address
        options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", endpoint.server_name))
        self._channel = grpc.secure_channel(endpoint.address, member_credentials(identity), options=options)
        self._stub: Any = ledger_pb2_grpc.LedgerStub(self._channel)  # type: ignore[no-untyped-call]
        self._streams: list[Any] = []
        self.answered = False
        self.asked = 0
        """Calls that are being made at this moment; counted by the client."""

    def is_idle(self) -> bool:
        """True if no call is being made here and no stream is open."""
        return self.asked == 0 and not any(call.is_active() for call in self._streams)

    def unary(self, method: str, request: Message, seconds: float) -> Any:
        try:
            reply = self._method(method)(request, timeout=seconds)
        except grpc.RpcError as error:
            raise self.failure(error) from error
        except ValueError as error:
            raise _closed(error) from error
        self.answered = True
        return reply

    def probe(self, seconds: float) -> None:
        """Makes sure that somebody answers before a stream is opened: a stream would say so only later."""
        if not self.answered:
            self.unary("GetCheckpoint", ledger_pb2.GetCheckpointRequest(), seconds)

    def stream(self, method: str, request: Any) -> Any:
        try:
            call = self._method(method)(request)
        except ValueError as error:
            raise _closed(error) from error
        self._streams = [*(each for each in self._streams if each.is_active()), call]
        return call

    def failure(self, error: grpc.RpcError) -> HpcbridgeError:
        failure = error_of(error, self.address)
        if isinstance(failure, LedgerUnavailable):
            self.answered = False
        return failure

    def close(self) -> None:
        self._channel.close()

    def _method(self, name: str) -> Any:
        method = getattr(self._stub, name, None)
        if method is None:
            raise ValueError(f"the Ledger service has no method {name[:60]!r}")
        return method


class _Stream(Generic[Reply]):
    """Replies of a stream; `close` from another thread ends the iteration."""

    def __init__(self, call: Any, connection: _Connection) -> None:
        self._call = call
        self._connection = connection
        self._closed = False

    def __iter__(self) -> Iterator[Reply]:
        return self

    def __next__(self) -> Reply:
        try:
            return cast("Reply", next(self._call))
        except grpc.RpcError as error:
            if self._closed:
                raise StopIteration from error
            raise self._connection.failure(error) from error

    def close(self) -> None:
        """Cancels the stream."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EventStream(_Stream[ledger_pb2.SubscribeReply]):
    """What a subscriber gets, in order: events, and checkpoints in between."""


class SubmitStream(_Stream[ledger_pb2.SubmitReply]):
    """One stream of the way in: one thread sends, another iterates over the replies."""

    def __init__(self, connection: _Connection) -> None:
        self._requests: queue.SimpleQueue[ledger_pb2.SubmitRequest | None] = queue.SimpleQueue()
        super().__init__(connection.stream("Submit", iter(self._requests.get, None)), connection)
        self._call.add_callback(lambda: self._requests.put(None))

    def send(self, request: ledger_pb2.SubmitRequest) -> None:
        """Hands over one request; LedgerUnavailable if the stream has ended. That it arrived is shown by a reply only."""
        if self._closed or not self._call.is_active():
            raise LedgerUnavailable(f"stream to {self._connection.address} has ended")
        self._requests.put(request)

    def send_hello(self, hello: ledger_pb2.Hello) -> None:
        """First message of every stream."""
        self.send(ledger_pb2.SubmitRequest(hello=hello))

    def send_envelopes(self, envelopes: Sequence[bytes]) -> None:
        """Encoded envelopes, exactly as signed, in order of their numbers."""
        self.send(ledger_pb2.SubmitRequest(envelopes=ledger_pb2.Envelopes(envelopes=envelopes)))

    def finish(self) -> None:
        """Nothing more will be sent; replies still come."""
        self._requests.put(None)


def call_enrolments(endpoint: Endpoint, authority: bytes, *, method: str, request: Message, deadline_seconds: float) -> Any:
    """One call of the Enrolments service: shows no certificate, and believes only a server of the CA `authority` (DER)."""
    options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", endpoint.server_name))
    with grpc.secure_channel(endpoint.address, enrolment_credentials(authority), options=options) as channel:
        stub: Any = ledger_pb2_grpc.EnrolmentsStub(channel)  # type: ignore[no-untyped-call]
        try:
            return getattr(stub, method)(request, timeout=deadline_seconds)
        except grpc.RpcError as error:
            raise error_of(error, endpoint.address) from error


def current_checkpoint(client: LedgerClient) -> entries_pb2.Checkpoint:
    """The ledger's checkpoint, not yet verified."""
    return cast("entries_pb2.Checkpoint", client.call("GetCheckpoint", ledger_pb2.GetCheckpointRequest()))


def _closed(error: ValueError) -> HpcbridgeError:
    """The library raises ValueError for a call on a channel that `reconnect` or `close` has just ended."""
    if "closed channel" in str(error).lower():
        return LedgerUnavailable("the connection was closed meanwhile")
    return HpcbridgeError(str(error))
