# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The client against the real service: outages."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.errors import LedgerUnavailable
from hpcbridge.wire.client import LedgerClient, _Connection, current_checkpoint, endpoints_of
from tests.ledger_simulator import LedgerSimulator


def client_of(ledger: LedgerSimulator) -> LedgerClient:
    """A client that outlives its ledger."""
    keys = ledger.admin()
    return LedgerClient(endpoints_of(keys), keys)


def outage(ledger: LedgerSimulator, client: LedgerClient) -> None:
    """The ledger goes away, is asked in vain a few times, and comes back."""
    current_checkpoint(client)
    ledger.stop()
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            current_checkpoint(client)
    ledger.start()


def test_a_ledger_that_was_away_is_found_again_at_the_first_try(tmp_path: Path) -> None:
    """Tries may lie a minute apart; a channel left to gRPC's backup poller never got through the handshake again."""
    with LedgerSimulator(tmp_path) as ledger:
        client = client_of(ledger)
        outage(ledger, client)
        assert current_checkpoint(client).note


def test_control_a_channel_that_is_kept_fails_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LedgerClient, "_give_up", lambda *_, **__: None)
    with LedgerSimulator(tmp_path) as ledger:
        client = client_of(ledger)
        outage(ledger, client)
        with pytest.raises(LedgerUnavailable):
            current_checkpoint(client)


def test_one_slow_answer_does_not_cut_the_streams_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LedgerSimulator(tmp_path) as ledger:
        client = client_of(ledger)
        current_checkpoint(client)
        stream = client.submit_stream()
        connection = client._connection

        def slow(*_: object) -> None:
            raise LedgerUnavailable("no answer in time")

        monkeypatch.setattr(_Connection, "unary", slow)
        with pytest.raises(LedgerUnavailable):
            current_checkpoint(client)
        monkeypatch.undo()
        assert client._connection is connection
        assert stream._call.is_active()
        stream.close()
