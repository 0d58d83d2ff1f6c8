# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The largest checkpoint that was verified: signed by the pinned key, and every later one proven to continue the earlier ones.

A ledger that cannot be reached leaves everything as it was; only bytes that contradict each other raise IntegrityError.
"""

from __future__ import annotations

from hpcbridge.errors import BadData, IntegrityError
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import verify_consistency
from hpcbridge.model.entries import Checkpoint
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.generated import ledger_pb2


class Contradiction(IntegrityError):
    """A checkpoint that does not fit what was verified before; `note` is its signed text."""

    def __init__(self, message: str, note: str) -> None:
        super().__init__(message, hint="two histories were signed, or proofs are wrong: keep the evidence file, tell the ledger's admins")
        self.note = note


class Trust:
    """Owns the last verified checkpoint of one ledger; `note` is empty before the first one."""

    def __init__(self, client: LedgerClient, *, origin: str, log_key: bytes, note: str) -> None:
        self._client = client
        self._origin = origin
        self._log_key = log_key
        self._last: Checkpoint | None = parse_checkpoint(note, origin, log_key) if note else None

    @property
    def note(self) -> str:
        """The last verified checkpoint as signed text."""
        return self._last.note if self._last else ""

    @property
    def size(self) -> int:
        """Its size; 0 before the first one."""
        return self._last.size if self._last else 0

    @property
    def root(self) -> bytes:
        """Its root; empty before the first one."""
        return self._last.root if self._last else b""

    def advance(self, note: str, *, proof: tuple[bytes, ...] | None = None) -> None:
        """Verifies a checkpoint against the last one, asking for the proof if none came along, and keeps the larger of both.

        Contradiction if they do not belong to one history; LedgerUnavailable if the proof could not be fetched.
        """
        try:
            checkpoint = parse_checkpoint(note, self._origin, self._log_key)
        except BadData as error:
            raise Contradiction(str(error), note) from error
        except IntegrityError as error:
            raise Contradiction(str(error), note) from error
        last = self._last
        if last is None or last.size == 0:
            self._last = checkpoint
            return
        if checkpoint.note == last.note:
            return
        smaller, larger = (last, checkpoint) if checkpoint.size >= last.size else (checkpoint, last)
        if proof is None or larger is last:
            proof = self._fetch(smaller.size, larger.size)
        try:
            verify_consistency(smaller.size, larger.size, proof=proof, root1=smaller.root, root2=larger.root)
        except (IntegrityError, BadData) as error:
            raise Contradiction(f"checkpoints of {smaller.size} and {larger.size} entries are not of one history: {error}", note) from error
        self._last = larger

    def _fetch(self, smaller: int, larger: int) -> tuple[bytes, ...]:
        if smaller in (0, larger):
            return ()
        request = ledger_pb2.GetConsistencyProofRequest(first_size=smaller, second_size=larger)
        return tuple(self._client.call("GetConsistencyProof", request).proof)
