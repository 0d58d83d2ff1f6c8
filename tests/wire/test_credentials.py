# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Before there is trust: fetching a CA by its fingerprint from servers that are wrong in different ways; libraries that are refused."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.internal import api_implementation

from hpcbridge.errors import ConfigError, EnrolmentRefused, LedgerUnavailable
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import certificate_to_pem, fingerprint
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.wire.credentials import MINIMUM_GRPCIO, check_libraries, fetch_authority

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A TCP server for one connection; returns its address."""
    listeners: list[socket.socket] = []

    def start(handle: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                handle(connection)

        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def tls_server(directory: Path, *, names: tuple[str, ...], with_ca: bool) -> tuple[Authority, Callable[[socket.socket], None]]:
    now = time.time_ns() // 1_000_000
    authority = Authority.create(directory / "ca", "test.example", at=now)
    keys = KeyDirectory(directory / "server")
    leaf = authority.issue_server(names, public_bytes(keys.create_key()), at=now)
    chain = certificate_to_pem(leaf) + (certificate_to_pem(authority.certificate) if with_ca else b"")
    (directory / "chain.pem").write_bytes(chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "chain.pem", directory / "server" / "key.pem")

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    return authority, handle


@pytest.mark.parametrize(("names", "expected"), [(("localhost",), "localhost"), (("ledger.example", "127.0.0.1"), "127.0.0.1")])
def test_the_ca_with_the_right_fingerprint(tmp_path: Path, serve: Serve, names: tuple[str, ...], expected: str) -> None:
    authority, handle = tls_server(tmp_path, names=names, with_ca=True)
    assert fetch_authority(serve(handle), fingerprint(authority.certificate)) == (authority.certificate, expected)


def test_another_fingerprint(tmp_path: Path, serve: Serve) -> None:
    _, handle = tls_server(tmp_path, names=("localhost",), with_ca=True)
    with pytest.raises(EnrolmentRefused, match="not the ledger this token is for") as refused:
        fetch_authority(serve(handle), bytes(32))
    assert "nothing was sent" in refused.value.hint


def test_a_server_that_does_not_show_its_ca(tmp_path: Path, serve: Serve) -> None:
    authority, handle = tls_server(tmp_path, names=("localhost",), with_ca=False)
    with pytest.raises(EnrolmentRefused):
        fetch_authority(serve(handle), fingerprint(authority.certificate))


def test_a_servers_own_certificate_is_never_taken_for_a_ca(tmp_path: Path, serve: Serve) -> None:
    _, handle = tls_server(tmp_path, names=("localhost",), with_ca=False)
    leaf = ssl.PEM_cert_to_DER_cert((tmp_path / "chain.pem").read_text())
    with pytest.raises(EnrolmentRefused):
        fetch_authority(serve(handle), fingerprint(leaf))


def test_what_does_not_speak_tls(serve: Serve) -> None:
    with pytest.raises(LedgerUnavailable, match=r"does not speak TLS|cannot be reached"):
        fetch_authority(serve(lambda connection: connection.sendall(b"HTTP/1.0 400 no\r\n\r\n")), bytes(32))


def test_what_closes_at_once(serve: Serve) -> None:
    with pytest.raises(LedgerUnavailable):
        fetch_authority(serve(lambda _connection: None), bytes(32))


def test_what_never_answers(serve: Serve) -> None:
    silent = threading.Event()

    def say_nothing(_connection: socket.socket) -> None:
        silent.wait(20)

    started = time.monotonic()
    try:
        with pytest.raises(LedgerUnavailable, match="cannot be reached"):
            fetch_authority(serve(say_nothing), bytes(32), timeout_seconds=0.3)
    finally:
        silent.set()
    assert time.monotonic() - started < 5


def test_nobody_listens() -> None:
    with pytest.raises(LedgerUnavailable, match="cannot be reached") as error:
        fetch_authority("127.0.0.1:1", bytes(32))
    assert error.value.exit_status == 69


def test_these_libraries_are_good() -> None:
    check_libraries()


@pytest.mark.parametrize("version", ["1.65.5", "1.9.0", "0.99", "1.65.0rc1"])
def test_an_old_grpcio_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "__version__", version)
    with pytest.raises(ConfigError, match="too old") as error:
        check_libraries()
    assert ".".join(map(str, MINIMUM_GRPCIO)) in error.value.hint


def test_protobuf_without_its_compiled_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    with pytest.raises(ConfigError, match="pure Python"):
        check_libraries()
