# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Admission: an envelope's size, form, key, signature and origin, in this order, before anything is proposed.

It only refuses early or delays: the fold checks all of this again, at the envelope's place in the order. What must not be done twice is the
signature, so those that were verified here are remembered, by all the bytes they depend on, until the fold asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError

from hpcbridge.contract import CONTRACT_VERSION
from hpcbridge.errors import SignatureInvalid
from hpcbridge.fold import Opened, open_envelope
from hpcbridge.identity.sealing import verify_envelope
from hpcbridge.model.entries import Rejected, RejectionCode, Retry, RetryCode
from hpcbridge.model.market import ContractActivation
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import MAX_ENVELOPE_BYTES, Envelope, PayloadType
from hpcbridge.service.refusals import Refusals
from hpcbridge.service.standings import Standing, Standings
from hpcbridge.wire.convert import decode
from hpcbridge.wire.generated import transactions_pb2

MAX_REMEMBERED = 16_384
MAX_KEPT_OPEN = 4_096
"""Bytes of an envelope that stays opened until the fold reads it: opening costs the same for all, keeping a large one costs memory."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One envelope after admission; `refusal` None if it is admitted."""

    envelope: bytes
    payload_hash: bytes
    refusal: Retry | Rejected | None
    opened: Opened | None = None


class VerifiedSignatures:
    """Signatures that were found good and are about to be asked for again. Safe to use from any thread."""

    def __init__(self) -> None:
        self._good: dict[tuple[bytes, bytes, str, bytes], None] = {}  # the payload by its SHA-256: what is remembered must stay small

    def verify(self, envelope: Envelope, public_key: bytes) -> None:
        """SignatureInvalid, or remembers the signature for one `verify_again`."""
        verify_envelope(envelope, public_key)
        if len(self._good) >= MAX_REMEMBERED:
            self._good.clear()
        self._good[_bytes_of(envelope, public_key)] = None

    def verify_again(self, envelope: Envelope, public_key: bytes) -> None:
        """As `verify_envelope`, without the arithmetic if exactly this was verified just now."""
        try:
            del self._good[_bytes_of(envelope, public_key)]
        except KeyError:
            verify_envelope(envelope, public_key)


class Admission:
    """Checks envelopes. Safe to use from any thread."""

    def __init__(
        self, origin: str, standings: Standings, signatures: VerifiedSignatures, *, now: Callable[[], Instant], refusals: Refusals
    ) -> None:
        self._origin = origin
        self._standings = standings
        self._signatures = signatures
        self._now = now
        self._refusals = refusals

    def check_all(self, envelopes: Sequence[bytes]) -> list[Checked]:
        """Checks each, and counts those that are refused; the order stays."""
        found = [self.check(envelope) for envelope in envelopes]
        for each in found:
            if each.refusal is not None:
                self._refusals.count_envelope(each.refusal)
        return found

    def check(self, envelope: bytes) -> Checked:
        """Size, header, key, signature, origin."""
        if len(envelope) > MAX_ENVELOPE_BYTES:
            reason = f"an envelope has at most {MAX_ENVELOPE_BYTES} bytes, this one {len(envelope)}"
            return Checked(envelope, payload_hash(envelope), Rejected(RejectionCode.TOO_LARGE, reason))
        try:
            opened = open_envelope(envelope)
        except ValueError as error:
            return Checked(envelope, payload_hash(envelope), Rejected(RejectionCode.MALFORMED_HEADER, str(error)))
        header = opened.payload.header
        refusal = self._check_signer(opened.envelope, str(header.submitter))
        if refusal is None and header.origin != self._origin:
            refusal = Rejected(RejectionCode.WRONG_ORIGIN, f"this ledger is {self._origin}, the payload is for {header.origin[:80]!r}")
        if refusal is None and opened.envelope.payload_type == PayloadType.CONTRACT:
            refusal = _check_contract(opened.payload.body)
        return Checked(envelope, opened.payload_hash, refusal, opened if len(envelope) <= MAX_KEPT_OPEN else None)

    def _check_signer(self, envelope: Envelope, submitter: str) -> Retry | Rejected | None:
        standing = self._standings.of(submitter)
        if standing is None:
            return Retry(RetryCode.KEY_UNKNOWN, f"{submitter} has no key on this log")
        if standing.revoked:
            return Rejected(RejectionCode.REVOKED, f"{submitter} is revoked")
        if standing.is_expired(self._now()):
            return Retry(RetryCode.KEY_EXPIRED, f"the certificate of {submitter} has expired: renew, then send again")
        try:
            self._signatures.verify(envelope, standing.public_key)
        except SignatureInvalid as error:
            return self._why_not_authentic(envelope.key_id, standing, submitter, reason=str(error))
        return None

    def _why_not_authentic(self, hint: bytes, standing: Standing, submitter: str, *, reason: str) -> Retry | Rejected:
        """The envelope's hint is trusted for nothing but the wording, as in the fold."""
        if hint != standing.key_id and len(hint) == len(standing.key_id):
            key = self._standings.key(hint)
            if key is None:
                return Retry(RetryCode.KEY_UNKNOWN, "the key this was signed with is not on this log")
            if key.submitter == submitter and key.revoked:
                return Rejected(RejectionCode.REVOKED, f"{submitter} enrolled again with another key")
        return Rejected(RejectionCode.NOT_AUTHENTIC, reason)


def _check_contract(body: bytes) -> Rejected | None:
    """A contract this program does not know is not proposed: as an entry it would stop this replica until it is replaced."""
    try:
        version = decode(ContractActivation, body).version
    except ValueError:
        return None  # an entry that says so
    if version <= CONTRACT_VERSION:
        return None
    reason = f"this ledger's program knows contract versions up to {CONTRACT_VERSION}, not {version}; install a newer program"
    return Rejected(RejectionCode.UNKNOWN_CONTRACT, reason)


def _bytes_of(envelope: Envelope, public_key: bytes) -> tuple[bytes, bytes, str, bytes]:
    """Everything a signature's being good depends on."""
    return envelope.signature, sha256(envelope.payload).digest(), envelope.payload_type, public_key


def payload_hash(envelope: bytes) -> bytes:
    """By which answers name an envelope: SHA-256 of its payload; of all its bytes if it cannot be read at all."""
    try:
        return sha256(transactions_pb2.Envelope.FromString(envelope).payload).digest()
    except DecodeError:
        return sha256(envelope).digest()
