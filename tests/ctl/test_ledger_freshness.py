# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A ledger that stands still is told from one that has nothing new: it no longer ticks."""

from __future__ import annotations

import pytest

from hpcbridge.ctl.ledger import FRESH_MS, findings, status_as_json
from hpcbridge.model.entries import Checkpoint
from hpcbridge.wire.generated import ledger_pb2

TICK_AT = 1_795_349_700_000
CHECKPOINT = Checkpoint(origin="ledger.example", size=3, root=bytes(32), note="")


@pytest.mark.parametrize(("later_ms", "fresh"), [(0, True), (60_000, True), (FRESH_MS, True), (FRESH_MS + 1, False), (-5_000, True)])
def test_fresh_for_three_ticks(later_ms: int, *, fresh: bool) -> None:
    reply = ledger_pb2.LedgerStatus(last_entry_at=TICK_AT, last_tick_at=TICK_AT)
    facts = status_as_json(reply, CHECKPOINT, at=TICK_AT + later_ms)
    assert facts["fresh"] is fresh
    assert facts["last_tick_age_seconds"] == max(0, later_ms) // 1000


def test_a_ledger_that_never_ticked_is_not_fresh() -> None:
    facts = status_as_json(ledger_pb2.LedgerStatus(last_entry_at=TICK_AT), CHECKPOINT, at=TICK_AT)
    assert (facts["fresh"], facts["last_tick_at"], facts["last_tick_age_seconds"]) == (False, None, None)


@pytest.mark.parametrize(
    ("ticked_at", "what", "todo"),
    [
        (0, "has not ticked yet", "journal"),
        (TICK_AT - FRESH_MS - 1, "last tick was 3 min ago", "accept-clock"),
        (TICK_AT + FRESH_MS + 1, "3 min ahead of this machine's", "NTP"),
    ],
)
def test_what_is_wrong_with_a_ledger_is_told_with_what_to_do(ticked_at: int, what: str, todo: str) -> None:
    (found,) = findings(ledger_pb2.LedgerStatus(last_entry_at=TICK_AT, last_tick_at=ticked_at), TICK_AT)
    assert what in found.what
    assert todo in found.todo


@pytest.mark.parametrize("ticked_at", [TICK_AT, TICK_AT - FRESH_MS, TICK_AT + FRESH_MS])
def test_a_ledger_that_ticks_is_all_right(ticked_at: int) -> None:
    assert list(findings(ledger_pb2.LedgerStatus(last_entry_at=TICK_AT, last_tick_at=ticked_at), TICK_AT)) == []
