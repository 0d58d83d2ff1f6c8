# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Receipts as they arrive: from message to a verified word, and what their leaf says.

A receipt that verifies proves that the entry stands in the log, not that it was accepted: that is in the entry's outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcbridge.errors import IntegrityError
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import verify_consistency
from hpcbridge.ledger.receipt import verify_receipt
from hpcbridge.model.entries import Checkpoint, Entry, Receipt
from hpcbridge.model.transactions import Envelope, Payload, Seen
from hpcbridge.wire.convert import decode
from hpcbridge.wire.generated import entries_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLeaf:
    """A leaf with everything in it decoded but the body."""

    entry: Entry
    envelope: Envelope
    payload: Payload


def open_leaf(leaf: bytes) -> OpenedLeaf:
    """Reads a leaf strictly; IntegrityError if it is no entry, for a log holds nothing else. Not for entry 0, which has no number."""
    try:
        entry = decode(Entry, leaf)
        envelope = decode(Envelope, entry.envelope)
        return OpenedLeaf(entry=entry, envelope=envelope, payload=decode(Payload, envelope.payload))
    except ValueError as error:
        raise IntegrityError(f"a leaf of the log cannot be read: {error}") from error


def read_receipt(message: entries_pb2.Receipt, note: str, *, origin: str, log_public_key: bytes) -> Receipt:
    """The verified word of a receipt under the checkpoint `note`; IntegrityError or BadData if it proves nothing."""
    receipt = Receipt(
        leaf=message.leaf,
        index=message.index,
        proof=tuple(message.proof),
        checkpoint=parse_checkpoint(note, origin, log_public_key),
    )
    verify_receipt(receipt, origin, log_public_key)
    return receipt


def verify_growth(seen: Seen, checkpoint: Checkpoint, proof: tuple[bytes, ...]) -> None:
    """IntegrityError unless the log of `checkpoint` begins with the log that was seen before; at first everything fits."""
    if seen.size == 0:
        return
    if checkpoint.size < seen.size:
        raise IntegrityError(
            f"the ledger shows {checkpoint.size} entries, but {seen.size} were seen and verified before",
            hint="it was restored from an old copy or shows different histories. Keep this identity's files as evidence; tell the admins.",
        )
    verify_consistency(seen.size, checkpoint.size, proof=proof, root1=seen.root, root2=checkpoint.root)
