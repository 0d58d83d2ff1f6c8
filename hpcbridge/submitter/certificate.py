# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The certificate of an identity folder, checked and renewed before it is shown to a ledger."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hpcbridge.errors import CertificateExpired, HpcbridgeError
from hpcbridge.identity.certificates import read_certificate, renewal_at, verify_issued
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.enrolment import renew

logger = logging.getLogger(__name__)

_RENEWAL_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
_LOOKS_PER_LIFE = 20


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
        if at < renewal_due_at(keys):
            return None  # another process with this folder was faster
        if at < facts.not_after_at:
            return error
        raise CertificateExpired(
            f"the certificate of {facts.submitter} has expired and could not be renewed: {error}",
            hint=error.hint or "is the enrolment port reachable? After 90 days a new token is needed.",
        ) from error
    return None


def look_every_seconds(keys: KeyDirectory) -> float:
    """How often to look whether the certificate is due, and to try again: a short one must not end in between."""
    facts = read_certificate(keys.load_certificate(), keys.load_profile().origin)
    return min(_LONGEST_PAUSE_SECONDS, (facts.not_after_at - facts.not_before_at) / _LOOKS_PER_LIFE / 1000)


class KeptFresh:
    """While this context is open, a thread calls `look`, which renews the certificate from half of its life on: a stream under it is then
    never cut by its end. What fails is logged and tried again; a stream that was cut all the same says why.
    """

    def __init__(self, keys: KeyDirectory, look: Callable[[], None]) -> None:
        self._keys = keys
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificate", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._step()):
            pass

    def _step(self) -> float:
        """One look; seconds until the next."""
        try:
            self._look()
            return look_every_seconds(self._keys)
        except HpcbridgeError as error:
            logger.warning("certificate could not be renewed error=%s", error)
            return _LONGEST_PAUSE_SECONDS
