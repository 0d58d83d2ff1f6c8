# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The listener against the real ledger, with events held back on their way: a hole is asked for again once, then shown."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hpcbridge.agent.listener import HiddenEvents, Listener
from hpcbridge.model.transactions import JobWatch
from hpcbridge.wire.client import EventStream
from hpcbridge.wire.generated import ledger_pb2
from tests.agent.conftest import Agent, now
from tests.ledger_simulator import ADMIN, LedgerSimulator


def hide(monkeypatch: pytest.MonkeyPatch, job_id: str, *, times: int) -> list[str]:
    """Drops the watch of a job from so many subscriptions; the cursors it was dropped at."""
    honest = EventStream.__next__
    dropped: list[str] = []

    def without(stream: EventStream) -> ledger_pb2.SubscribeReply:
        reply = honest(stream)
        if reply.event.job_watch.job_id == job_id and len(dropped) < times:
            dropped.append(reply.event.cursor)
            return honest(stream)
        return reply

    monkeypatch.setattr(EventStream, "__next__", without)
    return dropped


def watch(ledger: LedgerSimulator, agent: Agent, *job_ids: str) -> None:
    for job_id in job_ids:
        ledger.submit(ADMIN, JobWatch(cluster=agent.cluster, job_id=job_id)).check_accepted()


def listen(agent: Agent, until: Callable[[], bool]) -> Listener:
    """Runs a listener as its worker would until the condition holds."""
    stopping = threading.Event()
    listener = Listener(
        agent.client, agent.spool, agent.memory, member=agent.cluster, cluster=agent.cluster, stopping=stopping, clock=now
    )

    def run() -> None:
        while not stopping.is_set():
            listener.run()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        agent.until(until)
    finally:
        stopping.set()
        listener.close()
        thread.join(10)
    assert not thread.is_alive()
    return listener


def test_an_event_held_back_once_comes_when_asked_again(
    ledger: LedgerSimulator, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dropped = hide(monkeypatch, "2", times=1)
    watch(ledger, agent, "1", "2", "3")
    listener = listen(agent, lambda: agent.spool.last_seen.watched() == {"1", "2", "3"})
    assert len(dropped) == 1
    assert listener.hidden is None
    assert "events_missing" in caplog.text
    assert "event_hidden" not in caplog.text


def test_an_event_held_back_for_good_is_asked_for_once_and_shown(
    ledger: LedgerSimulator, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch(ledger, agent, "1")
    listen(agent, lambda: "1" in agent.spool.last_seen.watched())
    dropped = hide(monkeypatch, "2", times=100)
    watch(ledger, agent, "2", "3", "4")
    listener = listen(agent, lambda: {"3", "4"} <= agent.spool.last_seen.watched())
    assert "2" not in agent.spool.last_seen.watched()
    assert len(dropped) == 2, "asked again once, then gone on"
    assert listener.hidden is not None
    assert (listener.hidden.count, listener.hidden.last - listener.hidden.first) == (1, 0)
    assert "event_hidden" in caplog.text


def test_control_without_the_numbers_a_hidden_event_is_never_missed(
    ledger: LedgerSimulator, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listener, "_asks_again", lambda *_: False)
    monkeypatch.setattr(Listener, "_note_hidden", lambda *_: None)
    dropped = hide(monkeypatch, "2", times=1)
    watch(ledger, agent, "2", "3")
    listener = listen(agent, lambda: "3" in agent.spool.last_seen.watched())
    assert len(dropped) == 1
    assert "2" not in agent.spool.last_seen.watched()
    assert listener.hidden is None


def test_holes_add_up(agent: Agent) -> None:
    listener = Listener(agent.client, agent.spool, agent.memory, member="m", cluster="c", stopping=threading.Event(), clock=now)
    listener._note_hidden(5, 7)
    listener._note_hidden(10, 10)
    assert listener.hidden == HiddenEvents(count=4, first=5, last=10)
