# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The methods of the Ledger service as gRPC sees them: who is calling, with which rights, and errors as status.

This is the one place where an error nobody expected ends a call instead of the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hpcbridge.errors import HpcbridgeError, IntegrityError, LedgerUnavailable, StorageError
from hpcbridge.ledger.store import StoreReader
from hpcbridge.service.connections import Connection, Connections
from hpcbridge.service.queries import QUESTIONS, QUICK, Library, Question, Scope, entries_chunk
from hpcbridge.service.streams import Streams
from hpcbridge.service.submissions import Desks, submit
from hpcbridge.service.subscriptions import Feed, subscribe
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.status import status_of

logger = logging.getLogger(__name__)

LEDGER_SERVICE = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].full_name
DEADLINE_SECONDS = 20.0
Serve = Callable[[Any, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class House:
    """Everything the methods use."""

    connections: Connections
    streams: Streams
    desks: Desks
    feed: Feed
    library: Library
    reader: Callable[[], StoreReader]
    readers: Executor
    fail: Callable[[HpcbridgeError], None]


def ledger_handlers(house: House) -> grpc.GenericRpcHandler[Any, Any]:
    """The Ledger service."""
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {name: _unary(name, question, house) for name, question in QUESTIONS.items()}
    methods["Submit"] = grpc.stream_stream_rpc_method_handler(
        guarded(_submit(house), house.fail), request_deserializer=ledger_pb2.SubmitRequest.FromString
    )
    methods["Subscribe"] = grpc.unary_stream_rpc_method_handler(
        guarded(_subscribe(house), house.fail),
        request_deserializer=ledger_pb2.SubscribeRequest.FromString,
        response_serializer=ledger_pb2.SubscribeReply.SerializeToString,
    )
    methods["ReadEntries"] = grpc.unary_stream_rpc_method_handler(
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
            failure: HpcbridgeError = LedgerUnavailable("the ledger has stopped itself; its people must look")
        except HpcbridgeError as error:
            failure = error
        except TimeoutError:
            failure = LedgerUnavailable("no answer in time")
        except Exception:
            logger.exception("call_failed method=%s", serve.__qualname__)
            failure = HpcbridgeError("the ledger made a mistake; its log says more")
        status = status_of(failure)
        await context.abort(status.code, status.details, status.metadata)
        return None

    return run


def _unary(name: str, question: Question, house: House) -> grpc.RpcMethodHandler[Any, Any]:
    descriptor = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].methods_by_name[name]
    request_class: type[Message] = GetMessageClass(descriptor.input_type)

    async def serve(request: Any, context: Any) -> Any:
        connection = house.connections.of(context)
        if name in QUICK:
            return question(request, _scope(house, connection))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await loop.run_in_executor(house.readers, lambda: question(request, _scope(house, connection)))

    return grpc.unary_unary_rpc_method_handler(
        guarded(serve, house.fail),
        request_deserializer=request_class.FromString,
        response_serializer=_serialize,
    )


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _scope(house: House, connection: Connection) -> Scope:
    caller = house.connections.caller(connection)
    return Scope(library=house.library, caller=caller, reader=house.reader(), size=house.feed.publisher.size)


def _submit(house: House) -> Serve:
    async def serve(_requests: Any, context: Any) -> None:
        await submit(context, _welcome(house, context), house.streams, house.desks)

    return serve


def _subscribe(house: House) -> Serve:
    async def serve(request: ledger_pb2.SubscribeRequest, context: Any) -> None:
        await subscribe(request, context, _welcome(house, context), streams=house.streams, feed=house.feed)

    return serve


def _read_entries(house: House) -> Serve:
    async def serve(request: ledger_pb2.ReadEntriesRequest, context: Any) -> None:
        connection = _welcome(house, context)
        size = house.feed.publisher.size
        start, stop = request.start, min(request.stop or size, size)
        loop = asyncio.get_running_loop()
        with house.streams.opened(connection, reads=False) as stream:
            while start < stop:
                if stream.cut.done():
                    raise stream.cut.result()
                chunk = await loop.run_in_executor(house.readers, _chunk, house, connection, start, stop)
                await context.write(chunk)
                start += len(chunk.leaves)

    return serve


def _chunk(house: House, connection: Connection, start: int, stop: int) -> ledger_pb2.EntriesChunk:
    return entries_chunk(start, stop, _scope(house, connection))


def _welcome(house: House, context: Any) -> Connection:
    connection = house.connections.of(context)
    objection = house.connections.judge(connection)
    if objection is not None:
        raise objection
    return connection
