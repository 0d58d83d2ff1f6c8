# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An identity folder at its ledger: queries, transactions, what is still without an answer, and a certificate that is kept fresh.

Safe to use from several threads; those that write take turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from hpcbridge.errors import LedgerUnavailable, ReceiptPending
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Body
from hpcbridge.submitter.certificate import KeptFresh, check_own_certificate, look_every_seconds, renew_if_due, renewal_due_at
from hpcbridge.submitter.submit import Earlier, OnEarlier, Submitted, finish, submit
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.enrolment import renew

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Connection:
    """Owns the connection of an enrolled identity; close it."""

    def __init__(self, keys: KeyDirectory, *, ledger: str | None, on_earlier: OnEarlier) -> None:
        check_own_certificate(keys)
        self.keys = keys
        self._on_earlier = on_earlier
        self._writing = threading.Lock()
        self._renewing = threading.Lock()
        self._renewal_at = renewal_due_at(keys)
        self._unread: list[Earlier] = []
        self._ledger = LedgerClient(endpoints_of(keys, ledger), keys)

    def close(self) -> None:
        """Ends every call and stream."""
        self._ledger.close()

    def ledger(self) -> LedgerClient:
        """For streams: the connection under a certificate that is fresh."""
        self._keep_fresh()
        return self._ledger

    def call(self, method: str, request: Message) -> Any:
        """One query."""
        return self.ledger().call(method, request)

    def submit(self, body: Body) -> Submitted:
        """One transaction up to its verified receipt, accepted or refused; ReceiptPending if none came in time."""
        ledger = self.ledger()
        with self._writing:
            return submit(self.keys, ledger, body, on_earlier=self._on_earlier)

    def accepted(self, body: Body) -> Submitted:
        """As `submit`; Refused unless every item was accepted."""
        submitted = self.submit(body)
        submitted.check_accepted()
        return submitted

    def read_after(self, body: Body, submitted: Submitted, read: Callable[[], Answer]) -> Answer:
        """What is asked after a transaction was accepted. If the ledger goes away in between, `finish` tells of the transaction."""
        try:
            return read()
        except LedgerUnavailable as error:
            with self._writing:
                self._unread.append(Earlier(body=body, submitted=submitted))
            raise ReceiptPending(
                f"it is entry {submitted.index}, and what came of it could not be read: {error}", hint=error.hint
            ) from error

    def finish(self) -> tuple[Earlier, ...]:
        """What a call could not tell, and what had no receipt and has one now; ReceiptPending if some of it still waits."""
        ledger = self.ledger()
        with self._writing:
            finished = (*self._unread, *finish(self.keys, ledger))
            self._unread.clear()
        return finished

    def renew(self) -> None:
        """A newer certificate now."""
        renew(self.keys)
        self._take_renewed()

    def kept_fresh(self) -> KeptFresh:
        """A context for streams that are followed for long: the certificate is renewed meanwhile, and they go on."""
        return KeptFresh(self.keys, self._keep_fresh)

    def _take_renewed(self) -> None:
        self._renewal_at = renewal_due_at(self.keys)
        self._ledger.use_new_certificate()

    def _keep_fresh(self) -> None:
        """Renews the certificate where it is due, one thread at a time; what failed is tried again at the next look.

        CertificateExpired if it is too late.
        """
        at = wall_clock()
        if at < self._renewal_at or not self._renewing.acquire(blocking=False):
            return
        try:
            failure = renew_if_due(self.keys, at)
            if failure is not None:
                logger.warning("certificate could not be renewed yet error=%s", failure)
                self._renewal_at = at + int(1000 * look_every_seconds(self.keys))
                return
            self._take_renewed()  # also where another process renewed it
        finally:
            self._renewing.release()


def wall_clock() -> Instant:
    """For renewal and the end of an invitation, never for order."""
    return time.time_ns() // 1_000_000
