# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The two gRPC servers: limits of connections and messages, health, reflection.

Health answers only when asked: a call that stays open for news would hold a place that nobody counts. Reflection is for members.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from hpcbridge.errors import HpcbridgeError
from hpcbridge.service.endpoints import END, guarded, read_request
from hpcbridge.wire.credentials import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

HANDSHAKE_MS = 5_000
MAX_METADATA_BYTES = 8_192
LEAST_PING_MS = 10_000
"""Who sends HTTP/2 pings more often is cut after some of them: a ping costs its sender nothing."""
MAX_PING_STRIKES = 3
OWN_FILES = 256
"""Descriptors that connections must leave for the store, its journal, and the threads that read them."""
REFLECTION_SECONDS = 30.0
Welcome = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Counts a call for whoever made it, or raises why it may not be here."""


Handlers = Sequence["grpc.GenericRpcHandler[Any, Any]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What differs between a port for members and one that anybody may talk to."""

    connections: int
    calls: int
    calls_per_connection: int
    idle_seconds: int
    age_seconds: int
    age_grace_seconds: int
    shows_reflection: bool


@dataclass(frozen=True, slots=True)
class BoundServer:
    """A server with its port open, and the health it tells."""

    server: Any
    port: int
    health: Any


async def bind(
    address: str,
    credentials: grpc.ServerCredentials,
    handlers: Handlers,
    *,
    services: Sequence[str],
    limits: ServerLimits,
    welcome: Welcome,
) -> BoundServer:
    """A server on `address` (host:port, port 0 for any free one); HpcbridgeError if the port is taken. Not serving yet."""
    server = grpc.aio.server(options=_options(limits), maximum_concurrent_rpcs=limits.calls)
    server.add_generic_rpc_handlers(tuple(handlers))
    told = HealthServicer()
    server.add_generic_rpc_handlers((_health_handlers(told, welcome),))
    for service in ("", *services):
        await told.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
    if limits.shows_reflection:
        server.add_generic_rpc_handlers((_reflection_handlers((*services, HEALTH_SERVICE, reflection.SERVICE_NAME), welcome),))
    _check_free(address)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise _cannot_listen(address, "the library gives no reason") from error
    if not port:
        raise _cannot_listen(address, "the library gives no reason")
    return BoundServer(server, port, told)


def fitting_connections(members: int, strangers: int) -> tuple[int, int]:
    """As many connections of both kinds as there may be open files for; the process may open all it is allowed to from now on.

    A service that has no descriptor left cannot read its own store, so connections end before descriptors do.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    room = max(2, most - OWN_FILES)
    if most == resource.RLIM_INFINITY or members + strangers <= room:
        return members, strangers
    strangers = min(strangers, room // 4)
    logger.warning("connections_limited members=%d strangers=%d open_files=%d", min(members, room - strangers), strangers, most)
    return min(members, room - strangers), strangers


async def tell_health(bound: BoundServer, services: Sequence[str], *, serving: bool) -> None:
    """What the health service answers from now on."""
    status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    for service in ("", *services):
        await bound.health.set(service, status)


def _health_handlers(told: HealthServicer, welcome: Welcome) -> grpc.GenericRpcHandler[Any, Any]:
    async def serve(_requests: Any, context: Any) -> Any:
        async with welcome(context):
            return await told.Check(await read_request(context), context)

    check = grpc.stream_unary_rpc_method_handler(
        guarded(serve, _no_failure),
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(HEALTH_SERVICE, {"Check": check})


def _reflection_handlers(services: Sequence[str], welcome: Welcome) -> grpc.GenericRpcHandler[Any, Any]:
    servicer = ReflectionServicer(services)

    async def messages(context: Any) -> AsyncIterator[Any]:
        while (request := await context.read()) is not END:
            yield request

    async def serve(_requests: Any, context: Any) -> None:
        async with welcome(context):
            async with asyncio.timeout(REFLECTION_SECONDS):
                async for reply in servicer.ServerReflectionInfo(messages(context), context):
                    await context.write(reply)

    info = grpc.stream_stream_rpc_method_handler(
        guarded(serve, _no_failure),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {"ServerReflectionInfo": info})


def _no_failure(_error: HpcbridgeError) -> None:
    """Neither health nor reflection reads the ledger's own bytes."""


def _options(limits: ServerLimits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else a second server on the same port would start and take half of the calls
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", limits.calls_per_connection),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_connection_idle_ms", limits.idle_seconds * 1000),
        ("grpc.max_connection_age_ms", limits.age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", limits.age_grace_seconds * 1000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", LEAST_PING_MS),
        ("grpc.http2.max_ping_strikes", MAX_PING_STRIKES),
    ]


def _check_free(address: str) -> None:
    """Tries the address first: the system says what is wrong, the library only that something is, and that past our log."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        raise _cannot_listen(address, error.strerror or str(error)) from error


def _cannot_listen(address: str, reason: str) -> HpcbridgeError:
    return HpcbridgeError(
        f"cannot listen on {address}: {reason}",
        hint="is another hpcbridge-ledgerd running, and is the address one of this machine? See [listen] in ledgerd.toml.",
    )
