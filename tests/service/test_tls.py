# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The service's own certificate is made anew while the service runs."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable

from hpcbridge.service.ledger_service import LedgerService
from hpcbridge.service.tls import RENEW_AFTER_MS
from tests.ledger_simulator import LedgerSimulator, now


def shown_by(address: str) -> str:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as secured:
        return hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()


def test_a_new_certificate_is_made_in_time_and_then_kept(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger = new_ledger(start=False)
    ahead = [0]
    ledger.service = LedgerService(ledger.config, boot=lambda: now() + ahead[0])
    ledger.service.start()
    address = ledger.enrolment_address
    before = shown_by(address)
    assert shown_by(address) == before
    ahead[0] = RENEW_AFTER_MS + 1000
    shown_by(address)
    after = shown_by(address)
    assert after != before
    assert shown_by(address) == after
