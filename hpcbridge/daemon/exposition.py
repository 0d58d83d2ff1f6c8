# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Serves a program's figures to Prometheus over HTTP, in its text format.

Everybody with an account on a machine can reach its loopback address, so a few connections at a time are served, each for a few seconds,
and the figures are made at most once a second.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from hpcbridge.errors import ConfigError

logger = logging.getLogger(__name__)

_CONNECTIONS = 4
_CONNECTION_SECONDS = 5.0
_KEPT_SECONDS = 1.0


class MetricsServer:
    """Serves GET /metrics on `address` (HOST:PORT) from threads of its own until it is left."""

    def __init__(self, address: str, collector: Collector) -> None:
        """Takes the port; ConfigError if that is not possible."""
        host, _, port = address.rpartition(":")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        try:
            self._server = _Server(host.strip("[]"), int(port), registry)
        except OSError as error:
            raise ConfigError(
                f"[metrics] address {address}: {error.strerror or error}", hint='take another port, or address = "" for no metrics'
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A few connections at a time; who comes while all places are taken is turned away."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._registry = registry
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._lock = threading.Lock()
        self._page = b""
        self._page_until = 0.0
        super().__init__((host, port), _Handler)

    def page(self) -> bytes:
        """All figures in the text format, at most a second old."""
        with self._lock:
            if time.monotonic() >= self._page_until:
                self._page = generate_latest(self._registry)
                self._page_until = time.monotonic() + _KEPT_SECONDS
            return self._page

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection; who reads or writes slowly is cut off."""
        cut = threading.Timer(_CONNECTION_SECONDS, _cut, (request,))
        cut.daemon = True
        cut.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cut.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Somebody else's connection broke: no news of ours."""
        logger.debug("metrics_connection_broken from=%s", client_address)


class _Handler(BaseHTTPRequestHandler):
    """GET /metrics and nothing else; one request per connection."""

    server: _Server
    timeout = _CONNECTION_SECONDS
    server_version = "hpcbridged"
    sys_version = ""

    def do_GET(self) -> None:
        """The page."""
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        page = self.server.page()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Who asks is no news."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
