# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates in real TLS handshakes: members and the service, and those who are neither."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.errors import ConfigError
from hpcbridge.identity.authority import DAY_MS, Authority
from hpcbridge.identity.certificates import build_csr, read_certificate
from hpcbridge.identity.keys import new_key, public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.identities import Role, Submitter

NOW = time.time_ns() // 1_000_000
MEMBER = Submitter("uni-north", "frontend-1")


@pytest.fixture(name="ca")
def _ca(tmp_path: Path, origin: str) -> Authority:
    return Authority.create(tmp_path / "ca", origin, at=NOW)


def server_context(path: Path, ca: Authority, names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")) -> ssl.SSLContext:
    directory = KeyDirectory(path)
    directory.save_certificate(ca.issue_server(names, public_bytes(directory.create_key()), at=NOW))
    directory.save_authority(ca.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "certificate.pem", path / "key.pem")
    context.load_verify_locations(path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(path: Path, ca: Authority, *, issuer: Authority | None = None, lifetime_ms: int = DAY_MS) -> ssl.SSLContext:
    directory = KeyDirectory(path)
    csr = build_csr(directory.create_key(), MEMBER)
    directory.save_certificate((issuer or ca).issue(csr, MEMBER, role=Role.PROVIDER, at=NOW - 60_000, lifetime_ms=lifetime_ms).certificate)
    directory.save_authority(ca.certificate)
    context = ssl.create_default_context(cafile=str(path / "ca.pem"))
    context.load_cert_chain(path / "certificate.pem", path / "key.pem")
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes | None:
    """Certificate that the server saw; raises what either side raised."""
    ours, theirs = socket.socketpair()
    seen: list[bytes | None] = []
    failures: list[OSError] = []

    def serve() -> None:
        try:
            with server.wrap_socket(ours, server_side=True) as connection:
                seen.append(connection.getpeercert(binary_form=True))
                connection.sendall(b"x")
        except OSError as error:
            failures.append(error)
        finally:
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname=name) as connection:
            connection.recv(1)
    finally:
        theirs.close()
        thread.join()
    if failures:
        raise failures[0]
    return seen[0]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_member_and_service_know_each_other(tmp_path: Path, ca: Authority, origin: str, name: str) -> None:
    seen = shake_hands(server_context(tmp_path / "s", ca), client_context(tmp_path / "c", ca), name)
    assert seen is not None
    assert read_certificate(seen, origin).submitter == MEMBER


def test_server_under_another_name_is_refused(tmp_path: Path, ca: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        shake_hands(server_context(tmp_path / "s", ca), client_context(tmp_path / "c", ca), "elsewhere.example.org")


def _of_another_ca(path: Path, ca: Authority) -> ssl.SSLContext:
    return client_context(path / "c", ca, issuer=Authority.create(path / "other", ca.origin, at=NOW))


def _expired(path: Path, ca: Authority) -> ssl.SSLContext:
    return client_context(path / "c", ca, lifetime_ms=1000)


def _of_a_server(path: Path, ca: Authority) -> ssl.SSLContext:
    directory = KeyDirectory(path / "c")
    directory.save_certificate(ca.issue_server(["client"], public_bytes(directory.create_key()), at=NOW))
    directory.save_authority(ca.certificate)
    context = ssl.create_default_context(cafile=str(path / "c" / "ca.pem"))
    context.load_cert_chain(path / "c" / "certificate.pem", path / "c" / "key.pem")
    return context


def _with_nothing(path: Path, ca: Authority) -> ssl.SSLContext:
    directory = KeyDirectory(path / "c")
    directory.create()
    directory.save_authority(ca.certificate)
    return ssl.create_default_context(cafile=str(path / "c" / "ca.pem"))


@pytest.mark.parametrize("make", [_of_another_ca, _expired, _of_a_server, _with_nothing])
def test_those_who_are_no_members(tmp_path: Path, ca: Authority, make: Callable[[Path, Authority], ssl.SSLContext]) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(server_context(tmp_path / "s", ca), make(tmp_path, ca), "localhost")


def test_control_a_server_that_does_not_ask_lets_anybody_in(tmp_path: Path, ca: Authority) -> None:
    server = server_context(tmp_path / "s", ca)
    server.verify_mode = ssl.CERT_NONE
    assert shake_hands(server, _of_another_ca(tmp_path, ca), "localhost") is None


def test_member_cannot_play_the_server(tmp_path: Path, ca: Authority) -> None:
    member = client_context(tmp_path / "m", ca)
    del member
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "m" / "certificate.pem", tmp_path / "m" / "key.pem")
    client = client_context(tmp_path / "c", ca)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(context, client, "localhost")


@pytest.mark.parametrize("names", [(), ("ä.example.org",)])
def test_bad_server_names(ca: Authority, names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        ca.issue_server(names, public_bytes(new_key()), at=NOW)
