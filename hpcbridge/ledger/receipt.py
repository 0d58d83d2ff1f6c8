# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Receipts: a leaf, its place, its inclusion proof and a signed checkpoint, and their file form, a C2SP tlog-proof.

The leaf travels as the format's extra data. `verify_receipt` needs no network and trusts nothing but the pinned origin and key.
It knows nothing of what the leaf says: whether the entry in it claims the same index, and was accepted or refused, is for its reader.
"""

from __future__ import annotations

import base64

from hpcbridge.errors import BadData, IntegrityError
from hpcbridge.ledger.checkpoint import MAX_NOTE_CHARACTERS, decode_base64, parse_checkpoint, parse_decimal
from hpcbridge.ledger.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from hpcbridge.model.entries import MAX_ENTRY_BYTES, Receipt

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
MAX_PROOF_HASHES = 63
"""A tree has fewer than 2**63 leaves."""
_MAX_RECEIPT_CHARACTERS = MAX_NOTE_CHARACTERS + MAX_ENTRY_BYTES * 4 // 3 + MAX_PROOF_HASHES * 45 + 200


def verify_receipt(receipt: Receipt, origin: str, log_public_key: bytes) -> None:
    """Checks the checkpoint's signature and the inclusion of the leaf under it; IntegrityError or BadData if anything does not fit."""
    checkpoint = parse_checkpoint(receipt.checkpoint.note, origin, log_public_key)
    if checkpoint != receipt.checkpoint:
        raise IntegrityError("receipt: size or root beside the checkpoint are not what its note says")
    if len(receipt.leaf) > MAX_ENTRY_BYTES:
        raise IntegrityError(f"receipt: a leaf of {len(receipt.leaf)} bytes, at most {MAX_ENTRY_BYTES} are allowed")
    verify_inclusion(leaf_hash(receipt.leaf), receipt.index, size=checkpoint.size, proof=receipt.proof, root=checkpoint.root)


def receipt_to_text(receipt: Receipt) -> str:
    """The tlog-proof file of a receipt."""
    lines = [
        _FIRST_LINE,
        f"extra {base64.b64encode(receipt.leaf).decode()}",
        f"index {receipt.index}",
        *(base64.b64encode(hash_).decode() for hash_ in receipt.proof),
        "",
        receipt.checkpoint.note,
    ]
    return "\n".join(lines)


def receipt_from_text(text: str, origin: str, log_public_key: bytes) -> Receipt:
    """Reads and verifies a tlog-proof file; BadData if it is none, IntegrityError if it proves nothing under the pinned origin and key."""
    if len(text) > _MAX_RECEIPT_CHARACTERS:
        raise BadData(f"receipt: longer than {_MAX_RECEIPT_CHARACTERS} characters")
    head, separator, note = text.partition("\n\n")
    first, extra, index, *hashes = head.split("\n") if head.count("\n") >= 2 else ("", "", "")
    if first != _FIRST_LINE or not separator:
        raise BadData(f"receipt: does not begin with {_FIRST_LINE}, extra and index lines")
    if not extra.startswith("extra ") or not index.startswith("index "):
        raise BadData("receipt: the second and third line must be extra (the entry) and index")
    receipt = Receipt(
        leaf=decode_base64("receipt extra", extra.removeprefix("extra ")),
        index=parse_decimal("receipt index", index.removeprefix("index ")),
        proof=_proof(hashes),
        checkpoint=parse_checkpoint(note, origin, log_public_key),
    )
    verify_receipt(receipt, origin, log_public_key)
    return receipt


def _proof(lines: list[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_PROOF_HASHES:
        raise BadData(f"receipt: more than {MAX_PROOF_HASHES} hashes in the proof")
    proof = tuple(decode_base64("receipt proof", line) for line in lines)
    if any(len(hash_) != HASH_BYTES for hash_ in proof):
        raise BadData(f"receipt: a hash of the proof has not {HASH_BYTES} bytes")
    return proof
