# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The proposer over engines that lose or repeat, and the signature that makes a batch its proposer's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import LedgerUnavailable, SignatureInvalid
from hpcbridge.identity.keys import new_key, public_bytes
from hpcbridge.ledger.engine import Batch
from hpcbridge.model.identities import Submitter
from hpcbridge.model.transactions import JobWatch
from hpcbridge.service import proposer as proposer_module
from hpcbridge.service.batches import seal_batch, verify_batch
from hpcbridge.service.clock import ProposerClock
from hpcbridge.service.proposals import Answer, Proposal
from hpcbridge.service.proposer import MAX_BATCH_ENVELOPES, Proposer
from tests.ledger_simulator import LedgerSimulator, now

NODE = Submitter("ledger", "node-1")


class ForgetfulEngine:
    """Takes nothing the first `losses` times: an error every second time, silence the others."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.ordered: list[Batch] = []
        self.arrived = threading.Semaphore(0)

    def submit(self, batch: Batch) -> None:
        self.losses -= 1
        if self.losses >= 0:
            if self.losses % 2:
                raise LedgerUnavailable("not now")
            return
        self.ordered.append(batch)
        self.arrived.release()

    def follow(self, position: int) -> Iterator[tuple[int, Batch]]:
        yield from enumerate(self.ordered[position:], position + 1)

    def trim(self, position: int) -> None:
        """Keeps everything."""

    def close(self) -> None:
        """Nothing is open."""


class Nobody:
    """A desk that expects nothing."""

    def render(self, answers: Sequence[tuple[bytes, Answer]]) -> Any:
        raise AssertionError(answers)

    def hand_over(self, rendered: Any) -> None:
        raise AssertionError(rendered)


@pytest.fixture
def propose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ForgetfulEngine], Proposer]]:
    monkeypatch.setattr(proposer_module, "RESUBMIT_SECONDS", 0.05)
    threads: list[tuple[Proposer, threading.Thread]] = []

    def start(engine: ForgetfulEngine) -> Proposer:
        clock = ProposerClock(tmp_path, last_entry_at=now())
        made = Proposer(engine, submitter=NODE, key=new_key(), clock=clock, last_at=lambda: 0, give_back=lambda _judged: None)
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        threads.append((made, thread))
        return made

    yield start
    for made, thread in threads:
        made.abandon()
        thread.join(5)
        assert not thread.is_alive()


def proposals(count: int, size: int = 10) -> list[Proposal]:
    return [Proposal(number.to_bytes(size, "big"), b"", Nobody()) for number in range(count)]


def test_it_submits_until_it_sees_its_batch(propose: Callable[[ForgetfulEngine], Proposer]) -> None:
    engine = ForgetfulEngine(losses=4)
    proposer = propose(engine)
    sent = proposals(5)
    assert proposer.put(sent)
    assert engine.arrived.acquire(timeout=5)
    assert proposer.take(engine.ordered[0]) == tuple(sent)
    assert proposer.take(engine.ordered[0]) is None
    seen = len(engine.ordered)
    threading.Event().wait(0.3)
    assert len(engine.ordered) <= seen + 1


def test_batches_are_what_waits_within_both_bounds(propose: Callable[[ForgetfulEngine], Proposer]) -> None:
    engine = ForgetfulEngine(losses=0)
    proposer = propose(engine)
    sent = proposals(1) + proposals(MAX_BATCH_ENVELOPES + 10) + proposals(30, size=50_000)
    proposer.put(sent)
    found: list[bytes] = []
    while len(found) < len(sent):
        assert engine.arrived.acquire(timeout=5)
        batch = engine.ordered[-1]
        assert len(batch.envelopes) <= MAX_BATCH_ENVELOPES
        assert sum(map(len, batch.envelopes)) <= 1 << 20
        if proposer.take(batch) is not None:
            found += batch.envelopes
    assert found == [proposal.envelope for proposal in sent]


def test_it_ends_when_everything_was_seen(propose: Callable[[ForgetfulEngine], Proposer]) -> None:
    engine = ForgetfulEngine(losses=1)
    proposer = propose(engine)
    proposer.put(proposals(1))
    proposer.stop()
    assert not proposer.put(proposals(1))
    assert engine.arrived.acquire(timeout=5)
    assert proposer.take(engine.ordered[0]) is not None


def test_a_batch_belongs_to_its_proposer() -> None:
    key = new_key()
    batch = seal_batch(NODE, 5, envelopes=(b"a", b"bc"), key=key)
    verify_batch(batch, public_bytes(key))
    changed = [
        replace(batch, at=6),
        replace(batch, envelopes=(b"ab", b"c")),
        replace(batch, envelopes=(b"bc", b"a")),
        replace(batch, envelopes=(b"a",)),
        replace(batch, proposer=Submitter("ledger", "node-2")),
    ]
    for wrong in changed:
        with pytest.raises(SignatureInvalid):
            verify_batch(wrong, public_bytes(key))


def test_a_batch_that_no_system_node_signed_makes_no_entry(ledger: LedgerSimulator) -> None:
    ledger.user("pretender")
    running = ledger.service._running
    assert running is not None
    before = running._ledger.tree.size
    keys = ledger.identity("pretender")
    for key, proposer in ((new_key(), NODE), (keys.load_key(), Submitter("pretender", "main"))):
        running._engine.submit(seal_batch(proposer, now() + 10**9, envelopes=(b"x",), key=key))
    threading.Event().wait(0.2)
    assert running._ledger.tree.size == before
    assert ledger.service.failure is None
    ledger.submit("pretender", JobWatch(cluster="c1", job_id="1"))
    assert running._applier.last_at < now() + 10**8
