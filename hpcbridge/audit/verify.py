# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The verifier: proves a log from its bytes and what was pinned, and believes nothing else.

It checks that every leaf is an entry at its own index, that time never goes back, that every envelope is of this ledger and signed by
a key the log itself had entered for that submitter and that was neither expired nor revoked then, that every certificate came from the
pinned CA, that each submitter's numbers go up by one without hole or repeat, and that all leaves together have the root of a
checkpoint signed by the pinned log key and continue every checkpoint seen before.

It does not know the contract: whether each outcome is the one the rules demand is found by `replay`. Errors are `LogFault`
and name the entry.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from hpcbridge.errors import HpcbridgeError, IntegrityError, SignatureInvalid
from hpcbridge.identity.certificates import key_id, read_authority, verify_issued
from hpcbridge.identity.sealing import verify_envelope
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import HASH_BYTES, CompactRange, leaf_hash
from hpcbridge.model.entries import MAX_ENTRY_BYTES, Checkpoint, Entry, EntryOutcome
from hpcbridge.model.identities import CertificateFacts, Submitter
from hpcbridge.model.quantities import MAX_INSTANT, Instant
from hpcbridge.model.transactions import (
    MAX_ENVELOPE_BYTES,
    Body,
    Enrolment,
    Envelope,
    Genesis,
    Header,
    Payload,
    PayloadType,
    Renewal,
    Revocation,
)
from hpcbridge.wire.convert import decode, decode_body

Kind = TypeVar("Kind")


class LogFault(IntegrityError):
    """The log contradicts itself, its checkpoint or what was pinned; `index` is the entry that shows it, None for the log as a whole."""

    def __init__(self, index: int | None, what: str, *, hint: str = "") -> None:
        super().__init__(f"entry {index}: {what}" if index is not None else what, hint=hint)
        self.index = index


class LogForked(LogFault):
    """Two checkpoints, both signed by the log key, exclude each other. Together they are the proof, whoever holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """What is never taken from the log: name of the ledger, its Ed25519 key (32 raw bytes), the CA's certificate (DER).

    `own_key` (DER SubjectPublicKeyInfo) is the reader's own key: it proves the reader's own entries where others' are hidden.
    """

    origin: str
    log_key: bytes
    authority: bytes
    own_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """A leaf the reader may not see: only its hash is known. It counts for the root and for nothing else."""

    hash: bytes


Leaf = bytes | Hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """An envelope whose header names another root for a size than this log has.

    The header is the submitter's word and not the log key's, so it is no proof: the ledger showed it another history, or it lies.
    Its signed checkpoint of that size decides.
    """

    index: int
    submitter: Submitter
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was proven. `hidden` leaves are known by their hash only; `unproven` signatures are by keys that hidden leaves entered."""

    checkpoint: Checkpoint
    entries: int
    hidden: int
    signatures: int
    unproven: int
    submitters: int
    first_at: Instant | None
    last_at: Instant | None
    last_tick_at: Instant | None
    disputes: tuple[Dispute, ...]


@dataclass(slots=True)
class _Key:
    """A key as the log entered it. A system node's key has no certificate and never expires."""

    public_key: bytes
    certificate: CertificateFacts | None
    revoked: bool = False


@dataclass(slots=True)
class _Chain:
    """One submitter's numbers: hashes of the payloads of its current epoch, and the epochs it may never use again."""

    epoch: bytes = b""
    hashes: bytearray = field(default_factory=bytearray)
    left: set[bytes] = field(default_factory=set)

    @property
    def last(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def payload_hash(self, sequence: int) -> bytes:
        return bytes(self.hashes[(sequence - 1) * HASH_BYTES : sequence * HASH_BYTES])


def verify_log(leaves: Iterable[Leaf], note: str, pins: Pins, *, seen: Iterable[Checkpoint] = ()) -> Verified:
    """Verifies a whole log against its checkpoint and the checkpoints seen before; LogFault naming the first thing that is wrong."""
    verifier = LogVerifier(pins)
    for leaf in leaves:
        verifier.add(leaf)
    return verifier.finish(note, seen=seen)


class LogVerifier:
    """Takes the leaves one by one, in order; `finish` compares them with the checkpoint. Nothing is proven before it returns."""

    def __init__(self, pins: Pins) -> None:
        self.pins = pins
        self._authority = read_authority(pins.authority)
        if self._authority.origin != pins.origin:
            raise LogFault(None, f"the pinned CA is of {self._authority.origin!r}, not of {pins.origin!r}")
        self._tree = CompactRange()
        self._roots = bytearray(self._tree.root())
        self._keys: dict[Submitter, _Key] = {}
        self._entered: set[bytes] = set()
        self._chains: dict[Submitter, _Chain] = {}
        self._nodes: set[Submitter] = set()
        self._disputes: list[Dispute] = []
        self._hidden = 0
        self._signatures = 0
        self._unproven = 0
        self._first_at: Instant | None = None
        self._at: Instant = 0
        self._tick_at: Instant | None = None
        self._checked: tuple[Envelope, bytes] | None = None

    @property
    def size(self) -> int:
        """How many leaves were taken."""
        return self._tree.size

    def add(self, leaf: Leaf) -> Entry | None:
        """Verifies the next leaf; returns the entry, or None for a hidden one."""
        index = self.size
        if isinstance(leaf, Hidden):
            if len(leaf.hash) != HASH_BYTES:
                raise LogFault(index, f"a hidden leaf of {len(leaf.hash)} bytes is no hash")
            self._hidden += 1
            self._append(leaf.hash)
            return None
        try:
            entry = self._verify_entry(index, leaf)
        except LogFault:
            raise
        except (HpcbridgeError, ValueError) as error:
            raise LogFault(index, str(error)) from error
        self._append(leaf_hash(leaf))
        return entry

    def recheck(self, envelope: Envelope, public_key: bytes) -> None:
        """The same signature check for whoever goes over the same entry next (the replay): what `add` proved last costs nothing again."""
        if self._checked != (envelope, public_key):
            verify_envelope(envelope, public_key)

    def finish(self, note: str, *, seen: Iterable[Checkpoint] = ()) -> Verified:
        """Compares the root of all leaves with the signed checkpoint, and the roots in between with checkpoints seen before."""
        checkpoint = parse_checkpoint(note, self.pins.origin, self.pins.log_key)
        if self.size != checkpoint.size:
            raise LogFault(None, f"the checkpoint is over {checkpoint.size} entries, {self.size} are here")
        if not hmac.compare_digest(self._root(checkpoint.size), checkpoint.root):
            raise LogFault(None, f"the {self.size} entries do not have the root of their signed checkpoint: one of them was changed")
        for old in seen:
            self._verify_continues(parse_checkpoint(old.note, self.pins.origin, self.pins.log_key))
        return Verified(
            checkpoint=checkpoint,
            entries=self.size,
            hidden=self._hidden,
            signatures=self._signatures,
            unproven=self._unproven,
            submitters=len(self._chains),
            first_at=self._first_at,
            last_at=self._at if self._first_at is not None else None,
            last_tick_at=self._tick_at,
            disputes=tuple(self._disputes),
        )

    def _verify_entry(self, index: int, leaf: bytes) -> Entry:
        if len(leaf) > MAX_ENTRY_BYTES:
            raise LogFault(index, f"{len(leaf)} bytes, at most {MAX_ENTRY_BYTES} are allowed")
        entry = decode(Entry, leaf)
        if entry.index != index:
            raise LogFault(index, f"it says it is entry {entry.index}")
        self._verify_time(index, entry.at)
        if len(entry.effects_hash) != HASH_BYTES or not entry.outcomes or len(entry.envelope) > MAX_ENVELOPE_BYTES:
            raise LogFault(index, "it has no outcome, no hash of its effects, or an envelope over the limit")
        envelope = decode(Envelope, entry.envelope)
        payload = decode(Payload, envelope.payload)
        if payload.header.origin != self.pins.origin:
            raise LogFault(index, f"its envelope was signed for the ledger {payload.header.origin[:80]!r}")
        if index == 0:
            self._enter_genesis(envelope, payload)
        if not self._hidden and entry.proposer not in self._nodes:
            raise LogFault(index, f"proposed by {entry.proposer}, which is no system node")
        self._verify_signer(index, envelope, submitter=payload.header.submitter, at=entry.at)
        self._verify_number(index, envelope, header=payload.header, outcomes=entry.outcomes)
        self._compare_seen(index, payload.header)
        if index and entry.outcomes[0] is EntryOutcome.ACCEPTED:
            self._apply(entry, envelope, payload)
        self._first_at = entry.at if self._first_at is None else self._first_at
        self._at = entry.at
        return entry

    def _verify_time(self, index: int, at: Instant) -> None:
        if not self._at <= at <= MAX_INSTANT:
            raise LogFault(index, f"its time {at} is before {self._at}, the time of the entry before it")

    def _enter_genesis(self, envelope: Envelope, payload: Payload) -> None:
        body = _body(envelope, payload, Genesis)
        if body is None:
            raise LogFault(0, "the first entry is not Genesis")
        if (body.origin, body.log_key, body.ca_certificate) != (self.pins.origin, self.pins.log_key, self.pins.authority):
            raise LogFault(0, "Genesis names another origin, log key or CA than are pinned here", hint="was the ledger set up anew?")
        for node in body.system_nodes:
            self._nodes.add(node.submitter)
            self._entered.add(key_id(node.public_key))
            self._keys[node.submitter] = _Key(node.public_key, None)

    def _verify_signer(self, index: int, envelope: Envelope, *, submitter: Submitter, at: Instant) -> None:
        key = self._keys.get(submitter)  # never by the envelope's own hint
        if key is None and self._hidden:
            own = self.pins.own_key
            if own is None or key_id(own) != envelope.key_id:
                self._unproven += 1
                return
            key = _Key(own, None)
        if key is None:
            raise LogFault(index, f"the log never entered a key for {submitter}")
        if key.revoked:
            raise LogFault(index, f"the key of {submitter} was revoked before")
        if key.certificate is not None and at >= key.certificate.not_after_at:
            raise LogFault(index, f"the certificate of {submitter} had expired by then")
        try:
            verify_envelope(envelope, key.public_key)
        except SignatureInvalid as error:
            raise LogFault(index, f"the signature is not of {submitter}: {error}") from error
        self._checked = (envelope, key.public_key)
        self._signatures += 1

    def _verify_number(self, index: int, envelope: Envelope, *, header: Header, outcomes: tuple[EntryOutcome, ...]) -> None:
        chain = self._chains.setdefault(header.submitter, _Chain())
        payload_hash = sha256(envelope.payload).digest()
        place = f"number {header.sequence} of {header.submitter}"
        if header.epoch in chain.left:
            raise LogFault(index, f"{place} is of an epoch that was left before")
        if outcomes == (EntryOutcome.EQUIVOCATION,):
            self._verify_evidence(index, chain, header=header, payload_hash=payload_hash)
            return
        if header.epoch != chain.epoch:
            if header.sequence != 1:
                raise LogFault(index, f"{place} begins an epoch in the middle")
            if index and envelope.payload_type != PayloadType.EPOCH_START:
                raise LogFault(index, f"{place} begins an epoch without EpochStart")
            if chain.epoch:
                chain.left.add(chain.epoch)
            chain.epoch = header.epoch
            chain.hashes.clear()
        if header.sequence <= chain.last:
            again = "the same payload again" if chain.payload_hash(header.sequence) == payload_hash else "with another payload"
            raise LogFault(index, f"{place} stands in the log already, {again}")
        if header.sequence != chain.last + 1:
            raise LogFault(index, f"{place} where {chain.last + 1} must follow: an entry is missing or the order was changed")
        chain.hashes += payload_hash

    def _verify_evidence(self, index: int, chain: _Chain, *, header: Header, payload_hash: bytes) -> None:
        """An entry that accuses its submitter of two payloads with one number must show the second, other one."""
        if header.epoch != chain.epoch or not 1 <= header.sequence <= chain.last:
            raise LogFault(index, f"evidence against {header.submitter} with a number that was not used before")
        if chain.payload_hash(header.sequence) == payload_hash:
            raise LogFault(index, f"evidence against {header.submitter} that shows the same payload twice")
        chain.left.add(chain.epoch)

    def _compare_seen(self, index: int, header: Header) -> None:
        seen = header.seen
        if seen.size > index or (seen.size and self._root(seen.size) != seen.root):
            self._disputes.append(Dispute(index=index, submitter=header.submitter, size=seen.size, root=seen.root))

    def _apply(self, entry: Entry, envelope: Envelope, payload: Payload) -> None:
        """What an accepted entry changes about keys and time."""
        match envelope.payload_type:
            case PayloadType.TICK:
                self._tick_at = entry.at
            case PayloadType.ENROLMENT | PayloadType.RENEWAL:
                self._enter_key(entry.index, _body(envelope, payload, Enrolment) or _body(envelope, payload, Renewal))
            case PayloadType.REVOCATION:
                self._revoke(_body(envelope, payload, Revocation))

    def _enter_key(self, index: int, body: Enrolment | Renewal | None) -> None:
        """An installation has one key at a time, and a key is entered once."""
        if body is None:
            return
        facts = body.facts
        verify_issued(facts, self.pins.authority)
        id_, before = key_id(facts.public_key), self._keys.get(facts.submitter)
        if isinstance(body, Enrolment) and id_ in self._entered:
            raise LogFault(index, f"a key that was entered before is entered again, for {facts.submitter}")
        if isinstance(body, Renewal) and not self._hidden and (before is None or before.public_key != facts.public_key or before.revoked):
            raise LogFault(index, f"a renewal for {facts.submitter} of a key that is not its own, or revoked")
        self._entered.add(id_)
        self._keys[facts.submitter] = _Key(facts.public_key, facts)

    def _revoke(self, body: Revocation | None) -> None:
        for submitter, key in self._keys.items():
            if body is not None and submitter.member == body.member and body.installation in (None, submitter.installation):
                key.revoked = True

    def _append(self, hash_: bytes) -> None:
        self._tree.append(hash_)
        self._roots += self._tree.root()

    def _root(self, size: int) -> bytes:
        """Root of the first `size` leaves."""
        return bytes(self._roots[size * HASH_BYTES : (size + 1) * HASH_BYTES])

    def _verify_continues(self, old: Checkpoint) -> None:
        if old.size > self.size:
            raise LogForked(
                None,
                f"the log has {self.size} entries, a checkpoint seen before had {old.size}: it was rolled back, or this is an older copy",
            )
        if not hmac.compare_digest(self._root(old.size), old.root):
            raise LogForked(None, f"the first {old.size} entries are not those of a checkpoint seen before: forked or rewritten")


def _body(envelope: Envelope, payload: Payload, kind: type[Kind]) -> Kind | None:
    body: Body = decode_body(PayloadType(envelope.payload_type), payload.body)
    return body if isinstance(body, kind) else None
