# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The methods of the Ledger service as gRPC sees them: who is calling, with which rights, and errors as status.

This is the one place where an error nobody expected ends a call instead of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hpcbridge.errors import HpcbridgeError, IntegrityError, LedgerUnavailable, Refused, StorageError
from hpcbridge.ledger.store import StoreReader
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.service.connections import Connection, Connections
from hpcbridge.service.marketquestions import MARKET_QUESTIONS
from hpcbridge.service.queries import QUESTIONS, QUICK, Library, Question, Scope, entries_chunk
from hpcbridge.service.quotas import Quotas
from hpcbridge.service.relayquestions import RELAY_QUESTIONS
from hpcbridge.service.streams import Askers, Streams, until_cut
from hpcbridge.service.submissions import Desks, submit
from hpcbridge.service.subscriptions import Feed, subscribe
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.status import status_of

logger = logging.getLogger(__name__)

LEDGER_SERVICE = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].full_name
DEADLINE_SECONDS = 20.0
REQUEST_SECONDS = 5.0
"""A call is opened first and its request comes after; it must not wait for it for ever."""
Serve = Callable[[Any, Any], Awaitable[Any]]
END: Any = getattr(grpc.aio, "EOF")  # noqa: B009 - the stubs do not know it


@dataclass(frozen=True, slots=True)
class House:
    """Everything the methods use."""

    connections: Connections
    streams: Streams
    askers: Askers
    quotas: Quotas
    desks: Desks
    feed: Feed
    library: Library
    reader: Callable[[], StoreReader]
    readers: Executor
    fail: Callable[[HpcbridgeError], None]

    @contextlib.asynccontextmanager
    async def welcome(self, context: Any) -> AsyncIterator[tuple[Connection, asyncio.Semaphore]]:
        """Counts a call of a member that may be here; raises why it may not, or that it has too many open, or makes too many."""
        connection = self.connections.of(context)
        objection = self.connections.judge(connection)
        if objection is not None:
            raise objection
        with self.connected(connection, context), self.askers.asking(connection.submitter) as turn:
            await self.quotas.message(connection.submitter)
            yield connection, turn

    def connected(self, connection: Connection, context: Any) -> AbstractContextManager[None]:
        """Counts the connection of a call while the call is open."""
        return self.quotas.connected(connection.submitter, context.peer())


def ledger_handlers(house: House) -> grpc.GenericRpcHandler[Any, Any]:
    """The Ledger service."""
    questions = {**QUESTIONS, **MARKET_QUESTIONS, **RELAY_QUESTIONS}
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {name: _unary(name, question, house) for name, question in questions.items()}
    methods["Submit"] = grpc.stream_stream_rpc_method_handler(
        guarded(_submit(house), house.fail), request_deserializer=ledger_pb2.SubmitRequest.FromString
    )
    methods["Subscribe"] = grpc.stream_stream_rpc_method_handler(
        guarded(_subscribe(house), house.fail),
        request_deserializer=ledger_pb2.SubscribeRequest.FromString,
    )
    methods["ReadEntries"] = grpc.stream_stream_rpc_method_handler(
        guarded(_read_entries(house), house.fail),
        request_deserializer=ledger_pb2.ReadEntriesRequest.FromString,
        response_serializer=ledger_pb2.EntriesChunk.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(LEDGER_SERVICE, methods)


def guarded(serve: Serve, fail: Callable[[HpcbridgeError], None]) -> Serve:
    """Turns errors into status. What shows that our own bytes are broken ends the service."""

    async def run(request: Any, context: Any) -> Any:
        try:
            return await serve(request, context)
        except (IntegrityError, StorageError) as error:
            fail(error)
            status = status_of(LedgerUnavailable("the ledger has stopped itself; its people must look"))
        except HpcbridgeError as error:
            status = status_of(error)
            error.__traceback__ = None  # as below: frames that hold the error they raised hold the context too
        except TimeoutError:
            status = status_of(LedgerUnavailable("no answer in time"))
        except Exception:
            logger.exception("call_failed method=%s", serve.__qualname__)
            status = status_of(HpcbridgeError("the ledger made a mistake; its log says more"))
        # gRPC counts a call as open until its context is freed, and the context keeps the error that abort raises: a frame of that error's
        # traceback that held the context would be a cycle, and 64 refusals would close a connection until the next garbage collection.
        abort = context.abort(status.code, status.details, status.metadata)
        del request, context
        await abort
        return None

    return run


async def read_request(context: Any) -> Any:
    """The one request of a call that is served as a stream, so that who opened it is known, and counted, before it has sent anything."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            request = await context.read()
    except TimeoutError as error:
        raise LedgerUnavailable(f"the call was opened and no request came within {REQUEST_SECONDS:g} s") from error
    if request is END:
        raise Refused(EntryOutcome.MALFORMED, "a call without a request")
    return request


def _unary(name: str, question: Question, house: House) -> grpc.RpcMethodHandler[Any, Any]:
    descriptor = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].methods_by_name[name]
    request_class: type[Message] = GetMessageClass(descriptor.input_type)

    async def serve(_requests: Any, context: Any) -> Any:
        async with house.welcome(context) as (connection, turn):
            request = await read_request(context)
            if name in QUICK:
                answer = _answered(name, question, request, _scope(house, connection))
            else:
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(DEADLINE_SECONDS), turn:
                    answer = await loop.run_in_executor(
                        house.readers, lambda: _answered(name, question, request, _scope(house, connection))
                    )
            house.quotas.owe(connection.submitter, len(answer))
            return answer

    return grpc.stream_unary_rpc_method_handler(
        guarded(serve, house.fail),
        request_deserializer=request_class.FromString,
    )


def _answered(name: str, question: Question, request: Any, scope: Scope) -> bytes:
    """The encoded answer to a question; a refusal of it is counted, under the name that Table 1 has for it."""
    try:
        answer: bytes = question(request, scope).SerializeToString()
    except Refused as refusal:
        scope.library.refusals.count(name, (refusal.code,), (refusal.reason,))
        raise
    return answer


def _scope(house: House, connection: Connection) -> Scope:
    caller = house.connections.caller(connection)
    return Scope(library=house.library, caller=caller, reader=house.reader(), size=house.feed.publisher.size)


def _submit(house: House) -> Serve:
    async def serve(_requests: Any, context: Any) -> None:
        async with house.welcome(context) as (connection, _):
            pass
        with house.connected(connection, context):
            await submit(context, connection, house.streams, house.desks)

    return serve


def _subscribe(house: House) -> Serve:
    async def serve(_requests: Any, context: Any) -> None:
        async with house.welcome(context) as (connection, _):
            request = await read_request(context)
        with house.connected(connection, context):
            await subscribe(request, context, connection, streams=house.streams, feed=house.feed)

    return serve


def _read_entries(house: House) -> Serve:
    async def serve(_requests: Any, context: Any) -> None:
        async with house.welcome(context) as (connection, _):
            request = await read_request(context)
        with house.connected(connection, context), house.streams.opened(connection, reads=False) as stream:
            await until_cut(stream, _send_entries(request, context, connection, house))

    return serve


async def _send_entries(request: ledger_pb2.ReadEntriesRequest, context: Any, connection: Connection, house: House) -> None:
    size = house.feed.publisher.size
    start, stop = request.start, min(request.stop or size, size)
    loop = asyncio.get_running_loop()
    while start < stop:
        chunk = await loop.run_in_executor(house.readers, _chunk, house, connection, start, stop)
        await context.write(chunk)
        await house.quotas.sent(connection.submitter, chunk.ByteSize())
        start += len(chunk.leaves)


def _chunk(house: House, connection: Connection, start: int, stop: int) -> ledger_pb2.EntriesChunk:
    return entries_chunk(start, stop, _scope(house, connection))
