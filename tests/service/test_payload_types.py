# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a ledger says it takes follows the contract in force, so that a newer agent tells an older contract nothing it cannot read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hpcbridge.contract.versions import SINCE
from hpcbridge.model.clusters import ClusterState, Queue, QueueHardware
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import ContractActivation
from hpcbridge.model.transactions import PayloadType
from hpcbridge.service import founding
from tests.ledger_author import Author
from tests.ledger_simulator import ADMIN, LedgerSimulator, now

EVERY = {each.value for each in PayloadType if each is not PayloadType.GENESIS}


def told(ledger: LedgerSimulator, name: str) -> set[str]:
    with ledger.client(name) as client:
        stream, reply = Author(ledger.identity(name)).hello(client)
        stream.close()
        return set(reply.payload_types)


def test_a_ledger_takes_what_its_contract_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "CONTRACT_VERSION", 1)
    with LedgerSimulator(tmp_path) as ledger:
        ledger.provider("north", cluster="c1")
        later = {each.value for each in SINCE} - {PayloadType.CONTRACT.value}
        assert told(ledger, "north") == EVERY - later
        queues = (Queue(cluster="c1", name="q", open=True),)
        with_hardware = ClusterState(cluster="c1", observed_at=now(), queues=queues, hardware=(QueueHardware(queue="q", memory_bytes=1),))
        without = ClusterState(cluster="c1", observed_at=now(), queues=queues)
        assert ledger.submit("north", with_hardware).outcomes == (EntryOutcome.MALFORMED,)
        assert ledger.submit("north", without).outcomes == (EntryOutcome.ACCEPTED,)
        ledger.submit(ADMIN, ContractActivation(version=2)).check_accepted()
        assert told(ledger, "north") == EVERY
        younger = dataclasses.replace(with_hardware, observed_at=now())
        assert ledger.submit("north", younger).outcomes == (EntryOutcome.ACCEPTED,)
