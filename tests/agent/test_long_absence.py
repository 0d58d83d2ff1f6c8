# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates that age, quotas that push back, and events that ask for something."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.agent.listener import Listener
from hpcbridge.agent.renewal import Renewal, renew_at
from hpcbridge.agent.rows import Item
from hpcbridge.agent.session import Session
from hpcbridge.config import LimitsSection
from hpcbridge.errors import LedgerUnavailable
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from hpcbridge.model.transactions import Gap, JobWatch, PayloadType
from hpcbridge.wire.convert import encode
from hpcbridge.wire.generated import ledger_pb2
from tests.agent.conftest import Agent, now
from tests.ledger_simulator import ADMIN, ORIGIN, LedgerSimulator

LIFE_MS = 3000


@pytest.fixture
def hasty_ledger(tmp_path: Path) -> Iterator[LedgerSimulator]:
    """Short certificates."""
    with LedgerSimulator(tmp_path / "hasty", parameters=(("certificate_life_ms", LIFE_MS),)) as simulator:
        yield simulator


@pytest.fixture
def slow_ledger(tmp_path: Path) -> Iterator[LedgerSimulator]:
    """Small window and quota."""
    with LedgerSimulator(tmp_path / "slow", limits=LimitsSection(window=4, envelopes_per_second=20)) as simulator:
        yield simulator


def test_an_expired_certificate_is_renewed_before_the_stream_and_the_stream_outlives_renewals(
    hasty_ledger: LedgerSimulator, tmp_path: Path
) -> None:
    hasty_ledger.provider("c1", cluster="c1")
    identity = hasty_ledger.enrol(Role.PROVIDER, "c1", "frontend")
    agent = Agent(hasty_ledger, identity, tmp_path / "agent", "c1")
    renewal = Renewal(identity, clock=now, renewed=lambda _facts: agent.client.use_new_certificate())
    facts = renewal.certificate()
    assert facts.not_before_at < renew_at(facts) < facts.not_after_at
    threading.Event().wait((facts.not_after_at - now()) / 1000 + 0.3)
    agent.see([agent.job(str(number)) for number in range(30)])
    with pytest.raises(LedgerUnavailable):
        agent.gateway.run()
    assert agent.spool.figures().waiting == 30
    renewal.run()
    assert renewal.certificate().not_after_at > now()
    agent.start()
    agent.drain()
    began = time.monotonic()
    number = 30
    while time.monotonic() - began < 1.2 * LIFE_MS / 1000:
        with contextlib.suppress(LedgerUnavailable):  # the ledger wants at least a second between two certificates
            renewal.run()
        agent.see([agent.job(str(each)) for each in range(number + 1)])
        number += 1
        threading.Event().wait(0.2)
    agent.drain()
    assert read_certificate(identity.load_certificate(), ORIGIN).serial != facts.serial
    assert len(agent.on_ledger()) == number
    agent.stop()


@pytest.mark.parametrize("asks", [True, False], ids=["as it is", "control: nobody asks for a renewal"])
def test_a_clock_a_day_behind_costs_a_reconnection_and_no_more(hasty_ledger: LedgerSimulator, tmp_path: Path, *, asks: bool) -> None:
    hasty_ledger.provider("c3", cluster="c3")
    identity = hasty_ledger.enrol(Role.PROVIDER, "c3", "frontend")
    agent = Agent(hasty_ledger, identity, tmp_path / "agent", "c3")
    renewal = Renewal(identity, clock=lambda: now() - 86_400_000, renewed=lambda _facts: agent.client.use_new_certificate())
    asked = threading.Event()

    def ask() -> None:
        if asks:
            renewal.soon()
            asked.set()

    agent.gateway._renew_soon = ask
    agent.start()
    agent.see([agent.job("1")])
    agent.drain()
    ended = renewal.certificate().not_after_at
    agent.until(lambda: now() > ended and not agent.gateway.status.connected)
    agent.see([agent.job("1"), agent.job("2")])
    if asks:
        assert asked.wait(10)
        renewal.run()
        agent.drain()
        assert len(agent.on_ledger()) == 2
    else:
        renewal.run()
        assert renewal.certificate().not_after_at == ended
        assert agent.spool.figures().waiting + agent.spool.figures().in_flight > 0
    agent.stop()


def test_a_small_window_and_quota_only_slow_it_down(
    slow_ledger: LedgerSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_ledger.provider("c2", cluster="c2")
    identity = slow_ledger.enrol(Role.PROVIDER, "c2", "frontend")
    agent = Agent(slow_ledger, identity, tmp_path / "agent", "c2")
    gaps = [Gap(cluster="c2", reason=f"test {number}", since_at=1, until_at=2, count=number) for number in range(40)]
    agent.spool.store([Item(payload_type=PayloadType.GAP, content=encode(gap)) for gap in gaps], at=now())
    retries: list[str] = []
    monkeypatch.setattr(Session, "_asked_to_retry", _noting(retries))
    agent.start()
    agent.drain()
    reply = agent.client.call("ListGaps", ledger_pb2.ListGapsRequest(cluster="c2"))
    assert [record.gap.count for record in reply.gaps] == list(range(40))
    assert "QUOTA" in retries
    agent.stop()


def _noting(retries: list[str]) -> Callable[..., None]:
    honest = Session._asked_to_retry

    def asked(session: Session, retry: ledger_pb2.Retry) -> None:
        retries.append(retry.code)
        honest(session, retry)

    return asked


def test_a_watched_job_is_published_and_the_cursor_is_kept(ledger: LedgerSimulator, agent: Agent) -> None:
    stopping = threading.Event()
    listener = Listener(
        agent.client, agent.spool, agent.memory, member=agent.cluster, cluster=agent.cluster, stopping=stopping, clock=now
    )
    thread = threading.Thread(target=listener.run)
    thread.start()
    ledger.submit(ADMIN, JobWatch(cluster=agent.cluster, job_id="77")).check_accepted()
    agent.until(lambda: "77" in agent.spool.last_seen.watched())
    stopping.set()
    listener.close()
    thread.join(10)
    assert not thread.is_alive()
    agent.see([agent.job("77", JobState.QUEUED)])
    agent.start()
    agent.drain()
    assert set(agent.on_ledger()) == {("77", 1)}
