# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What Hello decides."""

from __future__ import annotations

import pytest

from hpcbridge.agent.numbers import GoOn, LedgerNumbers, NewEpoch, decide
from hpcbridge.agent.rows import Numbers
from hpcbridge.errors import IntegrityError
from hpcbridge.model.transactions import EpochReason

MINE, OTHER, HASH = b"m" * 16, b"o" * 16, b"h" * 32


def numbers(epoch: bytes = MINE, *, next_sequence: int = 5, acknowledged: int = 3, opening: bytes | None = None) -> Numbers:
    return Numbers(epoch=epoch, next_sequence=next_sequence, acknowledged=acknowledged, opening=opening)


def ledger(epoch: bytes = MINE, *, last: int = 3, closed: bool = False) -> LedgerNumbers:
    return LedgerNumbers(epoch=epoch, last_sequence=last, last_payload_hash=HASH, closed=closed)


@pytest.mark.parametrize(
    ("mine", "theirs", "known", "reason"),
    [
        (numbers(b"", next_sequence=1, acknowledged=0), ledger(b"", last=0), None, EpochReason.FIRST),
        (numbers(b"", next_sequence=1, acknowledged=0), ledger(), None, EpochReason.LOST),
        (numbers(), ledger(), HASH, None),
        (numbers(), ledger(last=4), HASH, None),
        (numbers(), ledger(), None, None),
        (numbers(), ledger(last=5), None, EpochReason.LOST),
        (numbers(), ledger(last=900), None, EpochReason.LOST),
        (numbers(), ledger(last=4), b"x" * 32, EpochReason.LOST),
        (numbers(), ledger(OTHER, last=9), None, EpochReason.LOST),
        (numbers(), ledger(closed=True), HASH, EpochReason.CLOSED),
        (numbers(acknowledged=0, next_sequence=2, opening=b""), ledger(b"", last=0), None, None),
        (numbers(acknowledged=0, next_sequence=2, opening=OTHER), ledger(OTHER, last=9), None, None),
        (numbers(acknowledged=0, next_sequence=2, opening=OTHER), ledger(last=1), HASH, None),
        (numbers(acknowledged=0, next_sequence=2, opening=OTHER), ledger(b"z" * 16, last=1), None, EpochReason.LOST),
    ],
)
def test_decisions(mine: Numbers, theirs: LedgerNumbers, known: bytes | None, reason: EpochReason | None) -> None:
    assert decide(mine, theirs, hash_at_last=known) == (GoOn() if reason is None else NewEpoch(reason))


@pytest.mark.parametrize("theirs", [ledger(last=2), ledger(b"", last=0)])
def test_a_ledger_that_lacks_what_it_receipted_has_lied(theirs: LedgerNumbers) -> None:
    with pytest.raises(IntegrityError):
        decide(numbers(), theirs, hash_at_last=None)
