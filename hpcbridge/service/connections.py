# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a call: from the TLS certificate to a caller with the rights the log gives it now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hpcbridge.errors import CertificateExpired, HpcbridgeError, IdentityError, Refused
from hpcbridge.identity.certificates import certificate_from_pem, key_id, read_certificate
from hpcbridge.model.entries import RejectionCode
from hpcbridge.model.identities import Caller, Submitter
from hpcbridge.model.quantities import Instant, format_instant
from hpcbridge.service.standings import Standing, Standings

RENEW_HINT = "renew it: hpcbridgectl identity renew"


@dataclass(frozen=True, slots=True)
class Connection:
    """The holder of the certificate a connection was opened with, and the key that proved it."""

    submitter: Submitter
    key_id: bytes


class Connections:
    """Judges connections by the log. Safe to use from any thread."""

    def __init__(self, origin: str, standings: Standings, *, now: Callable[[], Instant]) -> None:
        self._standings = standings
        self._now = now
        self._connection_of = lru_cache(maxsize=4096)(lambda pem: _connection(pem, origin))

    def of(self, context: Any) -> Connection:
        """The connection of a call; IdentityError if its certificate is not a member's."""
        certificates = context.auth_context().get("x509_pem_cert", ())
        if not certificates:
            raise IdentityError("the connection carries no certificate")
        return self._connection_of(certificates[0])

    def judge(self, connection: Connection) -> HpcbridgeError | None:
        """Why the connection may not go on; None if it may."""
        return _objection(connection, self._standings.of(str(connection.submitter)), self._now())

    def caller(self, connection: Connection) -> Caller:
        """The caller of a query with the rights of this moment; raises what `judge` would return."""
        standing = self._standings.of(str(connection.submitter))
        objection = _objection(connection, standing, self._now())
        if objection is not None or standing is None:
            raise objection or IdentityError(f"{connection.submitter} is not on the log")
        return Caller(submitter=connection.submitter, role=standing.role, attributes=standing.attributes, approved=standing.approved)


def _connection(pem: bytes, origin: str) -> Connection:
    facts = read_certificate(certificate_from_pem(pem), origin)
    return Connection(facts.submitter, key_id(facts.public_key))


def _objection(connection: Connection, standing: Standing | None, at: Instant) -> HpcbridgeError | None:
    submitter = connection.submitter
    if standing is None:
        return IdentityError(f"{submitter} is not on this ledger's log", hint="enrol with a new token")
    if standing.revoked:
        return Refused(RejectionCode.REVOKED, f"{submitter} is revoked", hint="ask an admin; a new enrolment needs a new token")
    if standing.key_id != connection.key_id:
        return IdentityError(f"{submitter} has another key now", hint="use the identity that was enrolled last")
    if standing.not_after_at is not None and standing.is_expired(at):
        return CertificateExpired(f"the certificate of {submitter} expired at {format_instant(standing.not_after_at)}", hint=RENEW_HINT)
    return None
