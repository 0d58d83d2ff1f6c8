# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The gateway against the real ledger service: nothing is lost, doubled or believed unproven."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.agent import session as session_module
from hpcbridge.agent import trust as trust_module
from hpcbridge.agent.memory import Publication
from hpcbridge.agent.payloads import make_payload
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.rows import Item
from hpcbridge.errors import IntegrityError, LedgerUnavailable
from hpcbridge.ledger.receipt import receipt_from_text
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.transactions import Decision, EpochStart, JobChange, PayloadType
from hpcbridge.wire.client import SubmitStream
from hpcbridge.wire.convert import decode, encode
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.receipts import open_leaf
from tests.agent.conftest import AT, Agent
from tests.ledger_simulator import ORIGIN, LedgerSimulator


def numbers_of(agent: Agent) -> list[tuple[str, int]]:
    """Epoch and number of every receipt, oldest entry first."""
    return [(epoch.hex(), sequence) for _, sequence, epoch, *_ in reversed(agent.spool.chain.receipts(10_000))]


def reasons_of_epochs(agent: Agent) -> list[str]:
    """Why each epoch of this agent began, oldest first."""
    key = agent.identity.load_log_public_key()
    bodies = []
    for index, sequence, *_ in reversed(agent.spool.chain.receipts(10_000)):
        if sequence == 1:
            text = agent.spool.chain.receipt(index)
            assert text is not None
            opened = open_leaf(receipt_from_text(text, ORIGIN, key).leaf)
            bodies.append(decode(EpochStart, opened.payload.body).reason.value)
    return bodies


def test_changes_arrive_in_order_with_verified_receipts(agent: Agent) -> None:
    agent.see([agent.job("1", JobState.QUEUED), agent.job("2")])
    agent.start()
    agent.drain()
    agent.see([agent.job("1"), agent.job("2", JobState.DONE)])
    agent.drain()
    states = {key: job.state for key, job in agent.on_ledger().items()}
    assert states == {("1", 1): JobState.RUNNING, ("2", 1): JobState.DONE}
    numbers = numbers_of(agent)
    assert [number for _, number in numbers] == list(range(1, len(numbers) + 1))
    text = agent.spool.chain.receipt(agent.spool.chain.receipts(1)[0][0])
    assert text is not None
    receipt_from_text(text, ORIGIN, agent.identity.load_log_public_key())


def test_a_ledger_that_is_down_loses_nothing_and_the_drain_is_packed(ledger: LedgerSimulator, agent: Agent) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    ledger.stop()
    agent.see([agent.job(str(number), JobState.QUEUED) for number in range(1500)])
    agent.see([agent.job(str(number)) for number in range(1500)])
    agent.until(lambda: not agent.gateway.status.connected)
    assert agent.spool.figures().waiting == 3000
    ledger.start()
    agent.drain()
    jobs = agent.on_ledger()
    assert len(jobs) == 1500
    assert {job.state for job in jobs.values()} == {JobState.RUNNING}
    assert len(numbers_of(agent)) == 1 + 6
    assert agent.spool.figures().refused == 0


def test_one_bad_item_does_not_harm_its_neighbours(agent: Agent) -> None:
    agent.see([agent.job("1", JobState.DONE), agent.job("2")])
    agent.start()
    agent.drain()
    agent.spool.store(
        [
            Item(payload_type=PayloadType.JOB_CHANGES, content=_change(agent, "1", JobState.RUNNING), subject="1"),
            Item(payload_type=PayloadType.JOB_CHANGES, content=_change(agent, "2", JobState.DONE), subject="2"),
        ],
        at=AT,
    )
    agent.gateway.wake()
    agent.drain()
    refused = [(kind, code) for kind, _, code, *_ in agent.spool.chain.refused(9)]
    assert refused == [(PayloadType.JOB_CHANGES, EntryOutcome.ILLEGAL_TRANSITION)]
    jobs = agent.on_ledger()
    assert (jobs["1", 1].state, jobs["2", 1].state) == (JobState.DONE, JobState.DONE)


def test_a_lost_spool_opens_a_new_epoch_and_settles_what_was_open(agent: Agent) -> None:
    agent.see([agent.job("1"), agent.job("2"), agent.job("3", JobState.DONE)])
    agent.start()
    agent.drain()
    agent.stop()
    for path in agent.directory.iterdir():
        path.unlink()
    agent.open()
    # 1 still runs, 2 ended unseen, 3's id was used again, 4 is new
    agent.see([agent.job("1"), agent.job("3", submitted_at=AT + 60_000), agent.job("4")])
    agent.start()
    agent.drain()
    agent.until(lambda: agent.spool.meta("recover") is None)
    agent.see([agent.job("1"), agent.job("3", submitted_at=AT + 60_000), agent.job("4")])
    due = agent.memory.due(AT * 2)
    assert [each.key for each in due] == [("2", 1)]
    agent.memory.settle_jobs(due, [agent.job("2", JobState.DONE, restarts=None)], at=AT * 2)
    agent.drain()
    states = {key: job.state for key, job in agent.on_ledger().items()}
    assert states == {
        ("1", 1): JobState.RUNNING,
        ("2", 1): JobState.DONE,
        ("3", 1): JobState.DONE,
        ("3", 2): JobState.RUNNING,
        ("4", 1): JobState.RUNNING,
    }
    assert reasons_of_epochs(agent) == ["LOST"]
    assert agent.spool.figures().refused == 0
    agent.see([agent.job("1"), agent.job("3", JobState.DONE, submitted_at=AT + 60_000), agent.job("4")])
    agent.drain()
    assert agent.on_ledger()["3", 2].state is JobState.DONE


def test_a_restored_spool_opens_a_new_epoch(agent: Agent, tmp_path: Path) -> None:
    agent.see([agent.job("1")])
    agent.start()
    agent.drain()
    agent.stop()
    backup = tmp_path / "backup"
    shutil.copytree(agent.directory, backup)
    agent.open()
    agent.see([agent.job("1", JobState.DONE), agent.job("2")])
    agent.start()
    agent.drain()
    agent.stop()
    shutil.rmtree(agent.directory)
    shutil.copytree(backup, agent.directory)
    agent.open()
    agent.see([agent.job("2"), agent.job("3")])
    agent.start()
    agent.drain()
    jobs = agent.on_ledger()
    assert {key: job.state for key, job in jobs.items()} == {
        ("1", 1): JobState.DONE,
        ("2", 1): JobState.RUNNING,
        ("3", 1): JobState.RUNNING,
    }
    assert reasons_of_epochs(agent) == ["FIRST", "LOST"]


def test_two_running_clones_are_noticed_and_neither_loses(ledger: LedgerSimulator, agent: Agent, tmp_path: Path) -> None:
    agent.see([agent.job("1")])
    agent.start()
    agent.drain()
    agent.stop()
    shutil.copytree(agent.directory, tmp_path / "clone")
    agent.open()
    clone = Agent(ledger, agent.identity, tmp_path / "clone", agent.cluster)
    clone.see([clone.job("1"), clone.job("2")])
    clone.start()
    clone.drain()
    clone.stop()
    agent.see([agent.job("1"), agent.job("3")])
    agent.start()
    agent.drain()
    assert {key[0] for key in agent.on_ledger()} == {"1", "2", "3"}
    assert reasons_of_epochs(agent) == ["FIRST", "LOST"]


def test_poison_is_set_aside_and_a_new_epoch_goes_on_without_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    honest = make_payload

    def poisoned(header: Any, payload_type: PayloadType, body: bytes, *, items: int) -> Any:
        payload = honest(header, payload_type, body, items=items)
        if b"poisonous" not in body:
            return payload
        broken = payload.payload + b"\xa8\x01\x01"  # a field that no header or payload has
        return dataclasses.replace(payload, payload=broken, payload_hash=hashlib.sha256(broken).digest())

    monkeypatch.setattr(session_module, "make_payload", poisoned)
    agent.see([agent.job("1", name="poisonous")])
    agent.until(lambda: agent.spool.figures().quarantined == 1)
    agent.see([agent.job("1", name="poisonous"), agent.job("2")])
    agent.drain()
    assert {key[0] for key in agent.on_ledger()} == {"2"}
    assert reasons_of_epochs(agent) == ["FIRST", "POISON"]


def test_a_refused_body_is_parked_and_told_to_who_waits(ledger: LedgerSimulator, agent: Agent) -> None:
    agent.start()
    foreign = Item(payload_type=PayloadType.REGISTRATION, content=encode(Registration(cluster="somebody-elses", login_address="x")))
    accepted, _ = agent.gateway.submit(foreign, timeout_seconds=10)
    assert accepted.outcomes == (EntryOutcome.ACCEPTED,)
    decision = Item(payload_type=PayloadType.DECISION, content=encode(Decision(name=agent.cluster, vetting=Vetting.APPROVED, note="")))
    refused, reasons = agent.gateway.submit(decision, timeout_seconds=10)
    assert refused.outcomes == (EntryOutcome.NOT_PERMITTED,)
    assert reasons
    assert agent.spool.figures().refused == 1


def forge(monkeypatch: pytest.MonkeyPatch, change: Callable[[ledger_pb2.Receipts], None]) -> list[bool]:
    """Streams from now on change each message of receipts on its way, once the list that is returned holds something."""
    honest = SubmitStream.__next__
    armed: list[bool] = []

    def forged(stream: SubmitStream) -> Any:
        reply = honest(stream)
        if armed and reply.WhichOneof("reply") == "receipts":
            change(reply.receipts)
        return reply

    monkeypatch.setattr(SubmitStream, "__next__", forged)
    return armed


def flip_leaf(receipts: ledger_pb2.Receipts) -> None:
    leaf = bytearray(receipts.receipts[0].leaf)
    leaf[-1] ^= 1
    receipts.receipts[0].leaf = bytes(leaf)


def drop_proof(receipts: ledger_pb2.Receipts) -> None:
    del receipts.receipts[0].proof[:]


def other_root(receipts: ledger_pb2.Receipts) -> None:
    lines = receipts.checkpoint.note.split("\n")
    lines[1] = str(int(lines[1]) + 1)
    receipts.checkpoint.note = "\n".join(lines)


@pytest.mark.parametrize("change", [flip_leaf, drop_proof, other_root])
def test_a_forged_receipt_is_never_believed(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, change: Callable[[ledger_pb2.Receipts], None]
) -> None:
    armed = forge(monkeypatch, change)
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    acknowledged = agent.spool.figures().acknowledged
    armed.append(True)
    agent.see([agent.job("1")])
    agent.until(lambda: agent.error is not None)
    assert isinstance(agent.error, IntegrityError)
    assert agent.error.exit_status == 3
    assert agent.spool.figures().acknowledged == acknowledged
    assert list(agent.directory.glob("evidence-*.txt"))


def test_without_the_verification_a_forged_receipt_would_be_believed(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    armed = forge(monkeypatch, drop_proof)
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    acknowledged = agent.spool.figures().acknowledged
    monkeypatch.setattr("hpcbridge.wire.receipts.verify_receipt", lambda *_: None)
    armed.append(True)
    agent.see([agent.job("1")])
    agent.until(lambda: agent.spool.figures().acknowledged > acknowledged)


def test_a_checkpoint_of_another_history_stops_the_agent(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    monkeypatch.setattr(trust_module.Trust, "_fetch", lambda *_: (b"\0" * 32,))
    agent.see([agent.job("1")])
    agent.until(lambda: agent.error is not None)
    assert isinstance(agent.error, IntegrityError)
    assert agent.spool.figures().in_flight == 1


def test_a_proof_that_cannot_be_fetched_is_no_contradiction(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    honest = trust_module.Trust._fetch
    failures = [LedgerUnavailable("gone for a moment")]

    def fetch(trust: Any, smaller: int, larger: int) -> tuple[bytes, ...]:
        if failures:
            raise failures.pop()
        return honest(trust, smaller, larger)

    monkeypatch.setattr(trust_module.Trust, "_fetch", fetch)
    agent.see([agent.job("1")])
    agent.drain()
    assert agent.error is None
    assert not failures
    assert len(agent.on_ledger()) == 1


def test_pseudonyms_leave_the_site_instead_of_names(agent: Agent) -> None:
    agent.memory._publication = Publication(mode=PublishMode.PSEUDONYMS, owners=frozenset())
    agent.see([agent.job("1", name="secret", account="proj"), agent.job("2"), agent.job("3", owner="bob")])
    agent.start()
    agent.drain()
    jobs = agent.on_ledger()
    assert jobs["1", 1].name is None
    assert jobs["1", 1].account is None
    owners = [jobs[job_id, 1].owner for job_id in "123"]
    assert owners[0] == owners[1] != owners[2]
    assert all(owner is not None and owner.startswith("p-") for owner in owners)


def test_a_revoked_agent_keeps_what_it_observes(ledger: LedgerSimulator, agent: Agent) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    ledger.revoke(agent.cluster, "frontend")
    agent.see([agent.job("1")])
    agent.until(lambda: agent.gateway.status.last_error is not None)
    assert agent.error is None
    assert agent.spool.figures().quarantined == 0
    assert agent.spool.figures().waiting + agent.spool.figures().in_flight == 1


def _change(agent: Agent, job_id: str, state: JobState) -> bytes:
    job = agent.job(job_id, state, incarnation=1, outcome=Outcome.COMPLETED if state is JobState.DONE else None)
    return encode(JobChange(job=job, observed_at=AT + 5))
