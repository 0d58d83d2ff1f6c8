# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Negative controls: each defence of the agent is switched off in turn, and what it keeps out gets through."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from hpcbridge.agent import session as session_module
from hpcbridge.agent import trust as trust_module
from hpcbridge.agent.chain import Chain
from hpcbridge.agent.numbers import GoOn
from hpcbridge.agent.recovery import LedgerRecord
from hpcbridge.agent.rows import Acknowledgement, NumberedPayload
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import JobState
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.client import SubmitStream
from tests.agent.conftest import Agent


def lose_next_envelopes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The next message of envelopes is lost on its way and the stream ends; how many envelopes that were."""
    honest = SubmitStream.send_envelopes
    lost: list[int] = []

    def lossy(stream: SubmitStream, envelopes: Sequence[bytes]) -> None:
        if lost:
            honest(stream, envelopes)
            return
        lost.append(len(envelopes))
        stream.close()

    monkeypatch.setattr(SubmitStream, "send_envelopes", lossy)
    return lost


def forget_when_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool takes what was sent for acknowledged."""
    honest = Chain.add_payload

    def forgetful(chain: Chain, payload: NumberedPayload, rows: Iterable[int], *, at: Instant) -> None:
        honest(chain, payload, rows, at=at)
        believed = Acknowledgement(
            sequence=payload.sequence, index=0, outcomes=(EntryOutcome.ACCEPTED,), refusals=(), receipt="", at=at
        )
        chain.acknowledge([believed], checkpoint=(chain._file.meta("checkpoint") or b"").decode(), at=at)

    monkeypatch.setattr(Chain, "add_payload", forgetful)


@pytest.mark.parametrize("forgets", [False, True], ids=["as it is", "forgets before the receipt"])
def test_an_envelope_that_is_lost_on_its_way(agent: Agent, monkeypatch: pytest.MonkeyPatch, *, forgets: bool) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    if forgets:
        forget_when_sent(monkeypatch)
    lost = lose_next_envelopes(monkeypatch)
    agent.see([agent.job("1")])
    agent.until(lambda: lost == [1])
    agent.drain()
    assert {key[0] for key in agent.on_ledger()} == (set() if forgets else {"1"})


def restored(agent: Agent, backup: Path) -> None:
    """The agent goes on from a copy of its directory that is older than what the ledger knows."""
    agent.see([agent.job("1")])
    agent.start()
    agent.drain()
    agent.stop()
    shutil.copytree(agent.directory, backup)
    agent.open()
    agent.see([agent.job("1", JobState.DONE)])
    agent.start()
    agent.drain()
    agent.stop()
    shutil.rmtree(agent.directory)
    shutil.copytree(backup, agent.directory)
    agent.open()
    agent.see([agent.job("1", JobState.DONE), agent.job("2")])


def test_a_restored_agent_that_goes_on_in_its_epoch_equivocates_and_is_shut_out(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored(agent, tmp_path / "backup")
    monkeypatch.setattr(session_module, "decide", lambda *_, **__: GoOn())
    agent.start()
    agent.until(lambda: "epoch" in (agent.gateway.status.last_error or "").lower())
    assert agent.spool.figures().in_flight > 0
    assert {key[0] for key in agent.on_ledger()} == {"1"}


def test_without_asking_for_incarnations_a_lost_spool_harms_another_run(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.see([agent.job("1", JobState.DONE)])
    agent.start()
    agent.drain()
    agent.stop()
    for path in agent.directory.iterdir():
        path.unlink()
    monkeypatch.setattr(LedgerRecord, "highest", lambda *_: None)
    agent.open()
    agent.see([agent.job("1", submitted_at=1_795_349_652_000)])
    agent.start()
    agent.drain()
    assert set(agent.on_ledger()) == {("1", 1)}, "the run after the lost spool has no record of its own"
    assert agent.spool.figures().refused == 1


def test_without_the_consistency_check_another_history_is_believed(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.start()
    agent.until(lambda: agent.gateway.status.connected)
    agent.drain()
    before = agent.spool.meta("checkpoint")
    monkeypatch.setattr(trust_module.Trust, "_fetch", lambda *_: (b"\0" * 32,))
    monkeypatch.setattr(trust_module, "verify_consistency", lambda *_, **__: None)
    agent.see([agent.job("1")])
    agent.drain()
    assert agent.error is None
    assert agent.spool.meta("checkpoint") != before
