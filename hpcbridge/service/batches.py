# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The proposing replica's signature over a batch: nobody else can put a time or an order into its name."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.identity.sealing import sign, verify
from hpcbridge.ledger.engine import Batch
from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant

BATCH_TYPE = "application/vnd.hpcbridge.batch.v1"


def seal_batch(proposer: Submitter, at: Instant, *, envelopes: tuple[bytes, ...], key: ec.EllipticCurvePrivateKey) -> Batch:
    """A batch signed by the proposer's key."""
    signature = sign(BATCH_TYPE, _signed_bytes(proposer, at, envelopes), key)
    return Batch(proposer=proposer, at=at, envelopes=envelopes, signature=signature)


def verify_batch(batch: Batch, public_key: bytes) -> None:
    """SignatureInvalid unless the owner of `public_key` proposed exactly this."""
    payload = _signed_bytes(batch.proposer, batch.at, batch.envelopes)
    verify(BATCH_TYPE, payload, signature=batch.signature, public_key=public_key)


def _signed_bytes(proposer: Submitter, at: Instant, envelopes: Sequence[bytes]) -> bytes:
    """Proposer and time on a line each, then the SHA-256 of each envelope in order."""
    return f"{proposer}\n{at}\n".encode() + b"".join([sha256(envelope).digest() for envelope in envelopes])
