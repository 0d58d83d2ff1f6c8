# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""TLS of a member, and the one connection that comes before trust: fetching a CA that a token's fingerprint pins.

A member's key does TLS and envelopes alike. Nothing here decides about rights: TLS says who is at the other end, the log says
what it may do. Every CA certificate of a ledger issues for that ledger's service and its members only, so a server certificate
under the pinned CA *is* the ledger.
"""

from __future__ import annotations

import hmac
import re
import socket
import ssl

import grpc
from cryptography import x509
from google.protobuf.internal import api_implementation

from hpcbridge.errors import ConfigError, EnrolmentRefused, IdentityError, LedgerUnavailable
from hpcbridge.identity.certificates import certificate_to_pem, fingerprint, read_authority
from hpcbridge.identity.keystore import KeyDirectory

MAX_MESSAGE_BYTES = 1 << 20
"""Largest gRPC message of either side."""
MINIMUM_GRPCIO = (1, 66)
"""Older ones carry known holes in their HTTP/2 and TLS code."""
CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 8192),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
"""A private subchannel pool: a new channel after a renewal must not take over a connection made with the old certificate."""


def check_libraries() -> None:
    """ConfigError if grpcio is too old or protobuf runs without its compiled part: both are refused at start."""
    if _version_of(grpc.__version__) < MINIMUM_GRPCIO:
        raise ConfigError(
            f"grpcio {grpc.__version__} is too old",
            hint=f"install {MINIMUM_GRPCIO[0]}.{MINIMUM_GRPCIO[1]} or newer into the environment hpcbridge runs in",
        )
    if api_implementation.Type() == "python":
        raise ConfigError(
            "protobuf runs in its pure Python form: slow, and differently strict",
            hint="unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION and install the binary protobuf package",
        )


def member_credentials(identity: KeyDirectory) -> grpc.ChannelCredentials:
    """A member's side of mutual TLS, from the files as they are now; only the pinned CA is believed."""
    return grpc.ssl_channel_credentials(
        root_certificates=certificate_to_pem(identity.load_authority()),
        private_key=identity.load_key_pem(),
        certificate_chain=certificate_to_pem(identity.load_certificate()),
    )


def enrolment_credentials(authority: bytes) -> grpc.ChannelCredentials:
    """For the enrolment port: the server must be of this CA (DER), and is shown no certificate."""
    return grpc.ssl_channel_credentials(root_certificates=certificate_to_pem(authority))


def fetch_authority(address: str, ca_fingerprint: bytes, *, timeout_seconds: float = 10.0) -> tuple[bytes, str]:
    """The CA certificate (DER) that a server shows and the name its own certificate carries, before anything is trusted.

    EnrolmentRefused if no certificate of the chain has the fingerprint; LedgerUnavailable if there is no TLS server. Nothing is sent
    over this connection; the caller opens another that trusts only the returned CA.
    """
    chain = _shown_chain(address, timeout_seconds)
    for der in chain[1:]:
        if hmac.compare_digest(fingerprint(der), ca_fingerprint):
            read_authority(der)
            return der, _server_name(chain[0], address)
    shown = fingerprint(chain[-1]).hex()
    raise EnrolmentRefused(
        f"the server at {address} is not the ledger this token is for: its CA has fingerprint {shown[:16]}…, "
        f"the token names {ca_fingerprint.hex()[:16]}…",
        hint="nothing was sent. Ask the admin for a new token; if it happens again, somebody may stand in between.",
    )


def _version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _shown_chain(address: str, timeout_seconds: float) -> list[bytes]:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint is checked instead, by the caller
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_seconds) as plain,
            context.wrap_socket(plain) as secured,
        ):
            return _unverified_chain(secured)
    except ssl.SSLError as error:
        raise LedgerUnavailable(
            f"{address} does not speak TLS as a ledger does: {error.reason or error}",
            hint="is this the enrolment port (7444 by default)? It stands in the token.",
        ) from error
    except OSError as error:
        raise LedgerUnavailable(
            f"enrolment at {address} cannot be reached: {error.strerror or error}",
            hint="is hpcbridge-ledgerd running there, and does the firewall let this machine through?",
        ) from error


def _unverified_chain(secured: ssl.SSLSocket) -> list[bytes]:
    """DER of what the server showed, its own first. Public since Python 3.13, before on the inner object only."""
    public = getattr(secured, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    inner = secured._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - no other way up to 3.12 (bpo-18233)
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain() or ()]


def _server_name(der: bytes, address: str) -> str:
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise IdentityError(f"the server at {address} has a certificate without a name") from error
    known = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    host = address.rpartition(":")[0].strip("[]")
    if not known:
        raise IdentityError(f"the server at {address} has a certificate without a name")
    return host if host in known else known[0]
