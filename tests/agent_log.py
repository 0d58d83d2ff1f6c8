# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What one agent wrote on the log, read from the log itself and not from anything the agent or the ledger says of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hpcbridge.agent.spool import Spool
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.receipt import receipt_from_text
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import Job
from hpcbridge.model.transactions import JobChanges, PayloadType
from hpcbridge.wire.client import Endpoint, LedgerClient
from hpcbridge.wire.convert import decode
from hpcbridge.wire.receipts import OpenedLeaf, open_leaf
from tests.bridge import ORIGIN, Bridge


@dataclass(frozen=True)
class AgentLog:
    """The agent's own entries in the order of the log, by index: the leaf, and what is in it."""

    leaves: dict[int, bytes]
    opened: dict[int, OpenedLeaf]

    @property
    def numbers(self) -> list[tuple[bytes, int]]:
        """Epoch and sequence of each entry."""
        return [(each.payload.header.epoch, each.payload.header.sequence) for each in self.opened.values()]

    @property
    def jobs(self) -> list[Job]:
        """Each job as each accepted change told it."""
        return [job for job, outcome in self._told() if outcome is EntryOutcome.ACCEPTED]

    @property
    def refused(self) -> list[tuple[str, EntryOutcome]]:
        """Job ids of changes that were refused."""
        return [(job.job_id, outcome) for job, outcome in self._told() if outcome is not EntryOutcome.ACCEPTED]

    @property
    def told_twice(self) -> list[tuple[object, ...]]:
        """What stands on the log more than once: the same state of the same run."""
        told = Counter((job.job_id, job.incarnation, job.state, job.restarts, job.array_pending) for job in self.jobs)
        return [key for key, count in told.items() if count > 1]

    def _told(self) -> list[tuple[Job, EntryOutcome]]:
        told: list[tuple[Job, EntryOutcome]] = []
        for each in self.opened.values():
            if each.envelope.payload_type == PayloadType.JOB_CHANGES:
                changes = decode(JobChanges, each.payload.body).changes
                outcomes = each.entry.outcomes
                of_each = outcomes if len(outcomes) == len(changes) else outcomes * len(changes)
                told += [(change.job, outcome) for change, outcome in zip(changes, of_each, strict=True)]
        return told


def read_agent_log(bridge: Bridge) -> AgentLog:
    """Reads the whole log as the admin and keeps what the frontend's agent signed."""
    submitter = str(KeyDirectory(bridge.agent_identity).load_profile().submitter)
    with LedgerClient([Endpoint(bridge.ledger_address, "localhost")], KeyDirectory(bridge.admin_identity)) as client:
        leaves = [(chunk.start + place, leaf.bytes) for chunk in client.read_entries(1) for place, leaf in enumerate(chunk.leaves)]
    opened = {index: open_leaf(leaf) for index, leaf in leaves}
    own = {index: each for index, each in opened.items() if str(each.payload.header.submitter) == submitter}
    return AgentLog({index: leaf for index, leaf in leaves if index in own}, own)


def check_chain(bridge: Bridge, log: AgentLog) -> None:
    """Numbers are contiguous in one epoch, no change stands on the log twice, and every receipt in the spool is for what stands there."""
    assert [sequence for _, sequence in log.numbers] == list(range(1, len(log.numbers) + 1))
    assert len({epoch for epoch, _ in log.numbers}) == 1
    assert log.told_twice == []
    log_key = KeyDirectory(bridge.agent_identity).load_log_public_key()
    with Spool(bridge.state / "spool.db", cluster=bridge.cluster, quota_bytes=1 << 30, keep_ms=1 << 40) as spool:
        receipts = spool.chain.receipts(100_000)
        for index, *_ in receipts:
            text = spool.chain.receipt(index)
            assert text is not None
            assert receipt_from_text(text, ORIGIN, log_key).leaf == log.leaves[index]
        figures = spool.figures()
        assert (figures.refused, figures.quarantined) == (0, 0)
        assert len(receipts) == figures.acknowledged
        assert figures.acknowledged + figures.in_flight >= len(log.numbers)
