# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What one member may take of what all share: the queue, the readers, the memory for reasons and standings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import LedgerUnavailable
from hpcbridge.identity.keys import new_key
from hpcbridge.ledger.engines import ENGINES
from hpcbridge.model.identities import Submitter
from hpcbridge.service import standings, subscriptions
from hpcbridge.service.applier import _RecentReasons
from hpcbridge.service.clock import ProposerClock
from hpcbridge.service.node import _Desk
from hpcbridge.service.proposals import Proposal
from hpcbridge.service.proposer import MAX_WAITING_BYTES, MAX_WAITING_OF_ONE, Proposer
from hpcbridge.service.publisher import Publisher
from hpcbridge.service.standings import Standings
from hpcbridge.service.streams import Askers
from hpcbridge.wire.generated import ledger_pb2
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator


def test_one_member_fills_its_own_share_of_the_queue_and_no_more(tmp_path: Path) -> None:
    proposer = Proposer(
        ENGINES["sqlite"](0),
        submitter=Submitter("ledger", "node-1"),
        key=new_key(),
        clock=ProposerClock(tmp_path, last_entry_at=0),
        last_at=lambda: 0,
        give_back=lambda _judged: None,
    )
    desk: _Desk = object.__new__(_Desk)
    greedy = Proposal(bytes(50_000), b"", desk, "greedy")
    while proposer.has_room("greedy"):
        assert proposer.put([greedy])
    assert MAX_WAITING_OF_ONE <= proposer._waiting_bytes < MAX_WAITING_BYTES
    assert proposer.has_room("modest")
    taken = proposer._next()
    assert taken
    while taken and proposer._waiting:
        taken = proposer._next()
    assert proposer.has_room("greedy")
    assert not proposer._waiting_of


def test_reasons_are_bounded_by_their_number_and_not_by_entries() -> None:
    kept = _RecentReasons(1000)
    for index in range(100):
        kept.keep(index, ("why",) * 500)
    assert (kept.of(97), kept.of(98), kept.of(99)) == ((), ("why",) * 500, ("why",) * 500)
    kept.keep(100, ())
    assert len(kept._of) == 2


def test_names_that_nobody_has_do_not_keep_others_from_being_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "MAX_KEPT", 10)
    known = Standings(lambda _key: None)
    for number in range(25):
        known.of(f"x/{number}")
    assert f"x/{24}" in known._kept
    assert len(known._kept) <= 10


def test_questions_of_one_identity_are_counted_until_they_end() -> None:
    askers, ann, bob = Askers(at_once=2), Submitter("ann", "x"), Submitter("bob", "x")
    with askers.asking(ann), askers.asking(ann):
        with pytest.raises(LedgerUnavailable, match="questions open"), askers.asking(ann):
            pass
        with askers.asking(bob):
            pass
    with askers.asking(ann):
        pass
    assert not askers._open
    assert not askers._turns


@pytest.mark.parametrize(("audience", "is_woken"), [("own", False), ("any", True)], ids=["by its own events", "by all"])
def test_a_subscriber_is_woken_by_its_own_events_alone(
    ledger: LedgerSimulator, monkeypatch: pytest.MonkeyPatch, audience: str, *, is_woken: bool
) -> None:
    """With thousands who wait, waking all of them for each entry would leave no time for anything else."""
    reads: Counter[str] = Counter()
    read, news = subscriptions._read, Publisher.news

    def counted(feed: Any, wanted: Any) -> Any:
        reads[wanted.audience] += 1
        return read(feed, wanted)

    monkeypatch.setattr(subscriptions, "_read", counted)
    if audience == "any":
        monkeypatch.setattr(Publisher, "news", lambda self, _audience: news(self, None))
    provider, waiting = f"{audience}-provider", f"{audience}-waiting"
    author = Author(ledger.provider(provider, cluster=f"{audience}-cluster"))
    ledger.user(waiting)
    streams = {name: ledger.client(name).subscribe(ledger_pb2.SubscribeRequest(cursor="now")) for name in (provider, waiting)}
    for stream in streams.values():
        next(stream)  # the first checkpoint
    before = reads[waiting]
    sending = author.open(ledger.client(provider))
    for number in range(20):
        author.send(sending, [author.envelope(job_changes(f"{audience}-cluster", number))])
        while next(streams[provider]).WhichOneof("reply") != "event":
            pass
    assert reads[provider] >= 5
    assert (reads[waiting] - before >= 5) is is_woken
    sending.close()
    for stream in streams.values():
        stream.close()
