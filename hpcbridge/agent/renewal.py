# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps the certificate young: a new one for the same key at half life, and also when the old one expired long ago."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from hpcbridge.errors import HpcbridgeError, IdentityError, IntegrityError, LedgerUnavailable, Refused
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.identities import CertificateFacts
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.enrolment import renew

logger = logging.getLogger(__name__)

_JITTER_SHARE = 0.1
_LOOKS_PER_LIFE = 20
_LONGEST_PAUSE_SECONDS = 30.0


class Renewal:
    """A worker's step, run every `look_every` seconds. `renewed` is called with what a new certificate says, after it was saved."""

    def __init__(self, identity: KeyDirectory, *, clock: Callable[[], Instant], renewed: Callable[[CertificateFacts], None]) -> None:
        self._identity = identity
        self._clock = clock
        self._renewed = renewed
        self._at_once = False

    def soon(self) -> None:
        """The ledger says that the certificate is too old: the next step does not wait for half life."""
        self._at_once = True

    def run(self) -> None:
        """Renews if it is time; LedgerUnavailable, to be tried again, whatever the reason was that it did not work."""
        facts = self.certificate()
        if not self._at_once and self._clock() < renew_at(facts):
            return
        try:
            facts = renew(self._identity)
        except IntegrityError:
            raise
        except (IdentityError, Refused) as error:
            # Revoked, or away for longer than the window: a person must enrol again, but what is observed meanwhile is kept.
            raise LedgerUnavailable(f"certificate cannot be renewed: {error}", hint=error.hint) from error
        self._at_once = False
        logger.info("certificate_renewed serial=%s not_after_at=%d", facts.serial, facts.not_after_at)
        self._renewed(facts)

    def certificate(self) -> CertificateFacts:
        """The certificate in force here; HpcbridgeError if the file is not ours."""
        profile = self._identity.load_profile()
        facts = read_certificate(self._identity.load_certificate(), profile.origin)
        if facts.submitter != profile.submitter:
            raise HpcbridgeError(f"certificate.pem is of {facts.submitter}, profile.json of {profile.submitter}")
        return facts


def look_every(facts: CertificateFacts) -> float:
    """Seconds between two looks at a certificate: often enough that a short one does not end between half of its life and the next look."""
    return min(_LONGEST_PAUSE_SECONDS, (facts.not_after_at - facts.not_before_at) / _LOOKS_PER_LIFE / 1000)


def renew_at(facts: CertificateFacts) -> Instant:
    """Half of its life, and up to a tenth more: from the serial, so that agents enrolled together do not come together."""
    life = facts.not_after_at - facts.not_before_at
    share = hashlib.sha256(facts.serial.encode()).digest()[0] / 255
    return facts.not_before_at + int(life * (0.5 + share * _JITTER_SHARE))
