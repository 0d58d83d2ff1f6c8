# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The certificate of an identity folder, checked and renewed before it is shown to a ledger."""

from __future__ import annotations

from hpcbridge.errors import CertificateExpired, HpcbridgeError
from hpcbridge.identity.certificates import read_certificate, renewal_at, verify_issued
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.enrolment import renew

_RENEWAL_SECONDS = 5.0


def check_own_certificate(keys: KeyDirectory) -> None:
    """A certificate of another CA is told here: at the ledger, TLS would end without a word."""
    verify_issued(read_certificate(keys.load_certificate(), keys.load_profile().origin), keys.load_authority())


def renewal_due_at(keys: KeyDirectory) -> Instant:
    """When half of the certificate's life is over."""
    return renewal_at(read_certificate(keys.load_certificate(), keys.load_profile().origin), 0)


def renew_if_due(keys: KeyDirectory, at: Instant) -> HpcbridgeError | None:
    """Renews a certificate past half of its life. A failure is returned while the old one is valid, and CertificateExpired after that."""
    facts = read_certificate(keys.load_certificate(), keys.load_profile().origin)
    if at < renewal_at(facts, 0):
        return None
    try:
        renew(keys, deadline_seconds=_RENEWAL_SECONDS)
    except HpcbridgeError as error:
        if at < facts.not_after_at:
            return error
        raise CertificateExpired(
            f"the certificate of {facts.submitter} has expired and could not be renewed: {error}",
            hint=error.hint or "is the enrolment port reachable? After 90 days a new token is needed.",
        ) from error
    return None
