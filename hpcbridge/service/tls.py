# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The service's own TLS certificate: made at start by the CA in the same house, with a key that is never written anywhere.

Members check the CA and the name, so a fresh key and certificate cost nothing; they are made anew long before they end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc
from cryptography.hazmat.primitives import serialization

from hpcbridge.identity.authority import SERVER_LIFETIME_MS, Authority
from hpcbridge.identity.certificates import certificate_to_pem
from hpcbridge.identity.keys import new_key, public_bytes
from hpcbridge.model.quantities import Instant

logger = logging.getLogger(__name__)

RENEW_AFTER_MS = SERVER_LIFETIME_MS // 3


class ServerCertificate:
    """The current certificate of one service, made anew when it is old."""

    def __init__(self, authority: Authority, names: tuple[str, ...], *, now: Callable[[], Instant]) -> None:
        self._authority = authority
        self._names = names
        self._now = now
        self._made_at = now()

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        """With `mutual`, a client without a certificate of the CA does not get past the handshake."""
        roots = certificate_to_pem(self._authority.certificate) if mutual else None
        newer: Any = lambda: self._newer(roots)  # noqa: E731 - typed: the stubs do not know that None keeps the old one
        return grpc.dynamic_ssl_server_credentials(self._configuration(roots), newer, require_client_authentication=mutual)

    def _newer(self, roots: bytes | None) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at every handshake; None: the one it has is good."""
        if self._now() - self._made_at < RENEW_AFTER_MS:
            return None
        logger.info("server_certificate_renewed names=%s", ",".join(self._names))
        self._made_at = self._now()
        return self._configuration(roots)

    def _configuration(self, roots: bytes | None) -> grpc.ServerCertificateConfiguration:
        """Key and chain; the CA is sent along, so that an enrolment can compare it with its token's fingerprint."""
        key = new_key()
        certificate = self._authority.issue_server(self._names, public_bytes(key), at=self._now())
        key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        chain = certificate_to_pem(certificate) + certificate_to_pem(self._authority.certificate)
        return grpc.ssl_server_certificate_configuration([(key_pem, chain)], root_certificates=roots)
