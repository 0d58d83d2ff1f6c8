# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""From waiting items to a numbered payload, and from a proven leaf back to what became of each item. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hpcbridge.agent.rows import Acknowledgement, NumberedPayload, Refusal
from hpcbridge.errors import IntegrityError
from hpcbridge.ledger.receipt import receipt_to_text
from hpcbridge.model.entries import EntryOutcome, Receipt
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import MAX_ENVELOPE_BYTES, Header, Payload, PayloadType
from hpcbridge.wire.convert import encode
from hpcbridge.wire.generated import transactions_pb2
from hpcbridge.wire.receipts import OpenedLeaf

MAX_BODY_BYTES = MAX_ENVELOPE_BYTES - 1_024
"""What is left for a body beside header (at most 63 + 81 + 16 + 32 characters and bytes), type, key id and signature."""
WITH_ITEMS = frozenset({PayloadType.JOB_CHANGES, PayloadType.NODE_CHANGES})
"""Types whose body carries many items; of the others each item is a whole body."""


def make_body(payload_type: PayloadType, contents: Sequence[bytes], *, cluster: str) -> bytes:
    """The body that carries these items."""
    if payload_type not in WITH_ITEMS:
        return contents[0]
    is_jobs = payload_type is PayloadType.JOB_CHANGES
    body = transactions_pb2.JobChanges(cluster=cluster) if is_jobs else transactions_pb2.NodeChanges(cluster=cluster)
    for content in contents:
        body.changes.add().ParseFromString(content)
    return body.SerializeToString()


def make_payload(header: Header, payload_type: PayloadType, body: bytes, *, items: int) -> NumberedPayload:
    """The payload with this header; from now on its bytes do not change."""
    payload = encode(Payload(header=header, body=body))
    return NumberedPayload(
        epoch=header.epoch,
        sequence=header.sequence,
        payload_type=payload_type,
        payload=payload,
        payload_hash=hashlib.sha256(payload).digest(),
        items=items,
    )


def match_leaf(opened: OpenedLeaf, receipt: Receipt, sent: NumberedPayload, *, origin: str, submitter: str) -> None:
    """IntegrityError unless the leaf of a verified receipt is an entry for exactly this payload with its number, at its index."""
    header = opened.payload.header
    if opened.entry.index != receipt.index:
        raise IntegrityError(f"the receipt is for index {receipt.index}, its entry says {opened.entry.index}")
    if (header.origin, str(header.submitter), header.epoch, header.sequence) != (origin, submitter, sent.epoch, sent.sequence):
        raise IntegrityError(f"the receipt is for number {header.sequence} of {header.submitter}, not for what was sent")
    if opened.envelope.payload != sent.payload or opened.envelope.payload_type != sent.payload_type:
        raise IntegrityError(f"the entry at {receipt.index} has another payload than the one that was sent with number {sent.sequence}")


def acknowledgement_of(
    opened: OpenedLeaf, receipt: Receipt, sent: NumberedPayload, *, reasons: Sequence[str], at: Instant
) -> Acknowledgement:
    """What a matching receipt means for the items of a payload. The reasons come in the order of the refused items."""
    outcomes = opened.entry.outcomes
    if len(outcomes) not in (1, sent.items):
        raise IntegrityError(f"the entry at {receipt.index} has {len(outcomes)} outcomes for {sent.items} items")
    whole = len(outcomes) != sent.items
    refused: list[tuple[int, EntryOutcome]] = []
    refused += [(ordinal, code) for ordinal, code in enumerate(outcomes) if code is not EntryOutcome.ACCEPTED]
    if whole and refused:
        refused = [(ordinal, outcomes[0]) for ordinal in range(sent.items)]
    refusals = tuple(
        Refusal(ordinal=ordinal, code=code, reason=_reason(reasons, 0 if whole else place))
        for place, (ordinal, code) in enumerate(refused)
    )
    return Acknowledgement(
        sequence=sent.sequence,
        index=receipt.index,
        outcomes=outcomes,
        refusals=refusals,
        receipt=receipt_to_text(receipt),
        at=at,
    )


def _reason(reasons: Sequence[str], place: int) -> str:
    """Reasons are information, not proof; one may be missing."""
    return reasons[place] if place < len(reasons) else ""
