# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The two gRPC servers: limits of connections and messages, health, reflection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from hpcbridge.errors import HpcbridgeError
from hpcbridge.wire.credentials import MAX_MESSAGE_BYTES

HANDSHAKE_MS = 5_000
MAX_METADATA_BYTES = 8_192
STREAMS_PER_CONNECTION = 64
AGE_GRACE_MS = 30_000


Handlers = Sequence["grpc.GenericRpcHandler[Any, Any]"]


@dataclass(frozen=True, slots=True)
class BoundServer:
    """A server with its port open, and the health it tells."""

    server: Any
    port: int
    health: Any


async def bind(
    address: str, credentials: grpc.ServerCredentials, handlers: Handlers, *, services: Sequence[str], age_seconds: int, max_calls: int
) -> BoundServer:
    """A server on `address` (host:port, port 0 for any free one); HpcbridgeError if the port is taken. Not serving yet."""
    server = grpc.aio.server(options=_options(age_seconds), maximum_concurrent_rpcs=max_calls)
    server.add_generic_rpc_handlers(tuple(handlers))
    told = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(told, server)
    for service in ("", *services):
        await told.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
    reflection.enable_server_reflection((*services, HEALTH_SERVICE, reflection.SERVICE_NAME), server)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise _taken(address) from error
    if not port:
        raise _taken(address)
    return BoundServer(server, port, told)


async def tell_health(bound: BoundServer, services: Sequence[str], *, serving: bool) -> None:
    """What the health service answers from now on."""
    status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    for service in ("", *services):
        await bound.health.set(service, status)


def _options(age_seconds: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else a second server on the same port would start and take half of the calls
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_connection_age_ms", age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", AGE_GRACE_MS),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 3),
    ]


def _taken(address: str) -> HpcbridgeError:
    return HpcbridgeError(
        f"cannot listen on {address}: the port is taken or the address is not of this machine",
        hint="is another hpcbridge-ledgerd running? See [listen] in ledgerd.toml.",
    )
