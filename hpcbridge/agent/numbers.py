# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What to do after Hello: go on in the epoch, or leave it for a new one. Pure.

A ledger that is ahead of the spool, or has another payload at a number the spool knows, means that the spool was lost, restored from
an old copy, or cloned; then nothing of the epoch may be sent any more. A ledger that lacks what it gave receipts for has lied.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcbridge.agent.rows import Numbers
from hpcbridge.errors import IntegrityError
from hpcbridge.model.transactions import EpochReason


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerNumbers:
    """What the ledger's Hello says of this submitter; epoch and hash are empty if it has nothing."""

    epoch: bytes
    last_sequence: int
    last_payload_hash: bytes
    closed: bool


@dataclass(frozen=True, slots=True)
class GoOn:
    """Send what has no receipt, in order."""


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """Leave the epoch for a new one."""

    reason: EpochReason


def decide(mine: Numbers, ledger: LedgerNumbers, *, hash_at_last: bytes | None) -> GoOn | NewEpoch:
    """Compares both sides. `hash_at_last` is the hash of the spool's payload at the ledger's last number, if it knows one.

    IntegrityError if the ledger lacks what it gave receipts for.
    """
    if not mine.epoch:
        return NewEpoch(EpochReason.LOST if ledger.epoch else EpochReason.FIRST)
    if ledger.epoch != mine.epoch:
        if mine.opening is not None:
            return GoOn() if ledger.epoch == mine.opening else NewEpoch(EpochReason.LOST)
        if not ledger.epoch:
            raise IntegrityError("the ledger does not know the epoch it gave receipts for", hint=_EVIDENCE)
        return NewEpoch(EpochReason.LOST)
    if ledger.last_sequence >= mine.next_sequence:
        return NewEpoch(EpochReason.LOST)
    if ledger.last_sequence < mine.acknowledged:
        raise IntegrityError(
            f"the ledger has numbers up to {ledger.last_sequence}, but gave a receipt for {mine.acknowledged}", hint=_EVIDENCE
        )
    if hash_at_last is not None and hash_at_last != ledger.last_payload_hash:
        return NewEpoch(EpochReason.LOST)
    return NewEpoch(EpochReason.CLOSED) if ledger.closed else GoOn()


_EVIDENCE = "the receipts in the spool are the proof: keep /var/lib/hpcbridge and tell the ledger's admins"
