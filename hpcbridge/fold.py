# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The fold: from the bytes of an envelope to the entry they become, or to the answer that is no entry.

One function for the service's applier and for the auditor's replay. It checks in one order: size → header → key known, valid, not
revoked → signature → origin → number → (from here the number is consumed) type → body → role → attributes → contract. A refusal before
that point leaves no trace; a refusal after it is an entry like any other, so nothing blocks its successors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hpcbridge import contract
from hpcbridge.contract import epochs, members
from hpcbridge.contract.records import StoredEpoch
from hpcbridge.contract.standing import KeyStatus, Signer, genesis_record, key_status, signer_of, stored_key
from hpcbridge.contract.state import Draft, Effects, MemoryState, StateView, Write, effects_hash
from hpcbridge.contract.versions import CONTRACT_VERSION, contract_version
from hpcbridge.errors import IdentityError, IntegrityError, Refused, SignatureInvalid
from hpcbridge.identity.certificates import verify_issued
from hpcbridge.identity.sealing import verify_envelope
from hpcbridge.model.entries import (
    Duplicate,
    Entry,
    EntryOutcome,
    Event,
    Expect,
    NoEntry,
    Rejected,
    RejectionCode,
    Retry,
    RetryCode,
)
from hpcbridge.model.identities import CertificateFacts, Role, Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import (
    MAX_ENVELOPE_BYTES,
    Enrolment,
    Envelope,
    EpochStart,
    Genesis,
    Header,
    Payload,
    PayloadType,
    Renewal,
)
from hpcbridge.wire.convert import ITEM_TYPES, decode, decode_body, decode_sound_items, encode

VerifyEnvelope = Callable[[Envelope, bytes], None]
"""Raises SignatureInvalid unless the envelope was sealed with the key given as DER SubjectPublicKeyInfo."""
VerifyCertificate = Callable[[CertificateFacts, bytes], None]
"""Raises IdentityError unless the facts are those of their certificate and the CA given in DER issued it."""


class Seen(Protocol):
    """What the ledger has under a number."""

    @property
    def index(self) -> int:
        """Entry."""
        ...

    @property
    def payload_hash(self) -> bytes:
        """SHA-256 of the payload."""
        ...


class FoldState(StateView, Protocol):
    """State and numbers."""

    def number(self, submitter: str, epoch: bytes, sequence: int) -> Seen | None:
        """The entry that consumed a number; None if it is free."""
        ...


class Number(NamedTuple):
    """A number and what consumed it."""

    submitter: str
    epoch: bytes
    sequence: int
    payload_hash: bytes


@dataclass(frozen=True, slots=True)
class SeenNumber:
    """What a WorkingState has under a number."""

    index: int
    payload_hash: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """What stands in the bytes of an envelope, its body not yet read, and the SHA-256 of its payload."""

    envelope: Envelope
    payload: Payload
    payload_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A new entry with all it causes. `number` None: an evidence entry, which consumes no number."""

    leaf: bytes
    entry: Entry
    reasons: tuple[str, ...]
    writes: tuple[Write, ...]
    events: tuple[Event, ...]
    number: Number | None


class WorkingState(MemoryState):
    """State and numbers in memory over what is stored already, for the entries of a group that are not stored yet, or for a replay."""

    def __init__(self, below: FoldState | None = None) -> None:
        super().__init__(below)
        self._numbers_below = below
        self._numbers: dict[tuple[str, bytes, int], SeenNumber] = {}

    def number(self, submitter: str, epoch: bytes, sequence: int) -> Seen | None:
        """As `FoldState.number`."""
        seen = self._numbers.get((submitter, epoch, sequence))
        if seen is None and self._numbers_below is not None:
            return self._numbers_below.number(submitter, epoch, sequence)
        return seen

    def put(self, applied: Applied) -> None:
        """Takes over what an entry caused."""
        self.write(applied.writes)
        if applied.number is not None:
            submitter, epoch, sequence, payload_hash = applied.number
            self._numbers[submitter, epoch, sequence] = SeenNumber(applied.entry.index, payload_hash)

    def digest(self) -> bytes:
        """SHA-256 over every key this layer holds, in order: two replays of one log agree on it."""
        return effects_hash([(key, value) for key, value in self.items() if value is not None], ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One envelope's turn in the order: what was read of it, and what its entry will say."""

    raw: bytes
    envelope: Envelope
    header: Header
    body: bytes
    payload_hash: bytes
    index: int
    at: Instant
    proposer: Submitter


def open_envelope(raw_envelope: bytes) -> Opened:
    """Reads an envelope strictly up to its body; ValueError saying what is wrong. Nothing of it is believed yet."""
    envelope = decode(Envelope, raw_envelope)
    return Opened(envelope, decode(Payload, envelope.payload), hashlib.sha256(envelope.payload).digest())


def fold(
    state: FoldState,
    raw_envelope: bytes,
    *,
    opened: Opened | None = None,
    index: int,
    at: Instant,
    proposer: Submitter,
    origin: str,
    verify: VerifyEnvelope = verify_envelope,
    verify_certificate: VerifyCertificate = verify_issued,
) -> Applied | NoEntry:
    """The entry that these bytes become as number `index` of the log at the ledger's time `at`, or the answer that is no entry.

    `opened` is what `open_envelope` said of exactly these bytes, for a caller that asked before: it is a seventh of a small transaction.
    `state` is that after entry `index - 1`, and is not changed. `verify` may remember what it has seen of exactly these bytes and key.
    """
    turn = _read(raw_envelope, opened, index=index, at=at, proposer=proposer)
    if isinstance(turn, Rejected):
        return turn
    if index == 0:
        return _found(state, turn, origin=origin, verify=verify)
    signer = signer_of(state, turn.header.submitter, at)
    answer = _check_signer(state, turn, signer, origin=origin, verify=verify)
    if answer is not None or signer is None:
        return answer or Retry(RetryCode.KEY_UNKNOWN, "no key")
    return _by_number(state, turn, signer, verify_certificate=verify_certificate)


def _read(raw_envelope: bytes, opened: Opened | None, *, index: int, at: Instant, proposer: Submitter) -> _Turn | Rejected:
    if len(raw_envelope) > MAX_ENVELOPE_BYTES:
        return Rejected(RejectionCode.TOO_LARGE, f"{len(raw_envelope)} bytes; an envelope has at most {MAX_ENVELOPE_BYTES}")
    try:
        opened = opened or open_envelope(raw_envelope)
    except ValueError as error:
        return Rejected(RejectionCode.MALFORMED_HEADER, str(error))
    return _Turn(
        raw=raw_envelope,
        envelope=opened.envelope,
        header=opened.payload.header,
        body=opened.payload.body,
        payload_hash=opened.payload_hash,
        index=index,
        at=at,
        proposer=proposer,
    )


def _check_signer(state: FoldState, turn: _Turn, signer: Signer | None, *, origin: str, verify: VerifyEnvelope) -> Retry | Rejected | None:
    submitter = turn.header.submitter
    if signer is None:
        return Retry(RetryCode.KEY_UNKNOWN, f"{submitter} has no key on the log")
    if signer.status is KeyStatus.REVOKED:
        return Rejected(RejectionCode.REVOKED, f"{submitter} is revoked")
    if signer.status is KeyStatus.EXPIRED:
        return Retry(RetryCode.KEY_EXPIRED, f"the newest certificate of {submitter} on the log has ended; renew it")
    try:
        verify(turn.envelope, signer.public_key)
    except SignatureInvalid as error:
        return _why_not_authentic(state, turn, signer, str(error))
    if turn.header.origin != origin:
        return Rejected(RejectionCode.WRONG_ORIGIN, f"the header names {turn.header.origin[:80]!r}; this is {origin}")
    return None


def _why_not_authentic(state: FoldState, turn: _Turn, signer: Signer, reason: str) -> Retry | Rejected:
    """The envelope's hint is trusted for nothing but the wording of a refusal."""
    hint = turn.envelope.key_id
    if hint != signer.key_id and len(hint) == len(signer.key_id):
        key = stored_key(state, hint)
        if key is None:
            return Retry(RetryCode.KEY_UNKNOWN, "the key this was signed with is not on the log")
        if key.submitter == str(turn.header.submitter) and key_status(state, hint, turn.at) is KeyStatus.REVOKED:
            return Rejected(RejectionCode.REVOKED, f"{turn.header.submitter} enrolled again with another key")
    return Rejected(RejectionCode.NOT_AUTHENTIC, reason)


def _by_number(state: FoldState, turn: _Turn, signer: Signer, *, verify_certificate: VerifyCertificate) -> Applied | NoEntry:
    header = turn.header
    current = epochs.stored_epoch(state, header.submitter)
    is_current = current is not None and current.epoch == header.epoch
    is_next = is_current and current is not None and header.sequence == current.last_sequence + 1
    seen = None if is_next else state.number(str(header.submitter), header.epoch, header.sequence)
    if seen is not None and seen.payload_hash == turn.payload_hash:
        return Duplicate(seen.index)
    if current is None or not is_current:
        return _first_of_epoch(state, turn, signer, current)
    if current.closed:
        return Rejected(RejectionCode.CLOSED_EPOCH, "two payloads had one number; start a new epoch")
    if seen is not None:
        return _second_payload(state, turn, signer, current=current)
    if not is_next:
        if header.sequence <= current.last_sequence:
            raise IntegrityError(f"number {header.sequence} of {header.submitter} is consumed, and no entry is on record for it")
        return Expect(current.last_sequence + 1)
    following = epochs.next_number(current, sequence=header.sequence, payload_hash=turn.payload_hash, key_id=signer.key_id)
    effects = _apply(state, turn, signer, verify_certificate=verify_certificate)
    return _entry(turn, effects, (epochs.epoch_write(header.submitter, following),))


def _second_payload(state: FoldState, turn: _Turn, signer: Signer, *, current: StoredEpoch) -> Applied | Rejected:
    """One number, two payloads: evidence if one and the same valid key signed both; an installation has one valid key at a time."""
    if signer.key_id != current.key_id or turn.header.sequence < current.key_since:
        return Rejected(RejectionCode.NUMBER_USED, "the number holds another payload, signed with a key that has ended")
    draft = Draft(state, index=turn.index)
    epochs.close_epoch(draft, turn.header.submitter, current)
    reason = f"number {turn.header.sequence} holds another payload; the epoch is closed"
    effects = draft.effects((EntryOutcome.EQUIVOCATION,), (reason,))
    return _entry(turn, effects, (), evidence=True)


def _first_of_epoch(state: FoldState, turn: _Turn, signer: Signer, current: StoredEpoch | None) -> Applied | NoEntry:
    header, submitter = turn.header, turn.header.submitter
    if epochs.was_left(state, submitter, header.epoch):
        return Rejected(RejectionCode.CLOSED_EPOCH, "this epoch was followed by another")
    if turn.envelope.payload_type != PayloadType.EPOCH_START or header.sequence != 1:
        return Rejected(RejectionCode.CLOSED_EPOCH, "this epoch was never opened; its number 1 must be an EpochStart")
    try:
        body = decode_body(PayloadType.EPOCH_START, turn.body)
    except ValueError as error:
        return Rejected(RejectionCode.CLOSED_EPOCH, f"the epoch cannot be opened: {error}")
    on_record = (b"", 0) if current is None else (current.epoch, current.last_sequence)
    if not isinstance(body, EpochStart) or (body.previous_epoch, body.last_acknowledged) != on_record:
        return Rejected(
            RejectionCode.CLOSED_EPOCH,
            f"previous epoch and last number are {on_record[0].hex() or 'none'} and {on_record[1]} here; ask with Hello, then start anew",
        )
    role = signer.caller.role
    if epochs.awaits_approval(state, submitter, role=role, at=turn.at):
        return Retry(RetryCode.APPROVAL, f"a new epoch of {submitter} waits for an admin: approve {submitter}")
    opening = epochs.opening_writes(
        state, submitter, role=role, epoch=header.epoch, payload_hash=turn.payload_hash, key_id=signer.key_id, at=turn.at
    )
    effects = contract.apply(state, signer.caller, PayloadType.EPOCH_START, body=body, at=turn.at, index=turn.index)
    return _entry(turn, effects, opening)


def _apply(state: FoldState, turn: _Turn, signer: Signer, *, verify_certificate: VerifyCertificate) -> Effects:
    try:
        payload_type = PayloadType(turn.envelope.payload_type)
    except ValueError:
        return contract.refused(EntryOutcome.UNKNOWN_TYPE, f"no function for {turn.envelope.payload_type[:100]!r}")
    if payload_type is PayloadType.EPOCH_START:
        return contract.refused(EntryOutcome.ILLEGAL_TRANSITION, "an EpochStart is number 1 of an epoch")
    if contract.is_later(state, payload_type):
        return _apply_later(state, turn, signer, payload_type)
    try:
        body = decode_body(payload_type, turn.body)
    except ValueError as error:
        if payload_type in ITEM_TYPES:
            return _apply_sound_items(state, turn, signer, payload_type)
        return contract.refused(EntryOutcome.MALFORMED, str(error))
    if isinstance(body, Enrolment | Renewal) and signer.caller.role is Role.SYSTEM_NODE:
        genesis = genesis_record(state)
        try:
            verify_certificate(body.facts, b"" if genesis is None else genesis.ca_certificate)
        except IdentityError as error:
            return contract.refused(EntryOutcome.MALFORMED, str(error))
    return contract.apply(state, signer.caller, payload_type, body=body, at=turn.at, index=turn.index)


def _apply_later(state: FoldState, turn: _Turn, signer: Signer, payload_type: PayloadType) -> Effects:
    """A type the version in force does not have: unknown, as its own programs say, but for the entry that activates a later version."""
    reason = f"contract version {contract_version(state)} has no {payload_type.name}"
    if payload_type is PayloadType.CONTRACT:
        try:
            body = decode_body(payload_type, turn.body)
        except ValueError as error:
            return contract.refused(EntryOutcome.UNKNOWN_TYPE, str(error))
        effects = contract.apply(state, signer.caller, payload_type, body=body, at=turn.at, index=turn.index)
        if effects.outcomes == (EntryOutcome.ACCEPTED,):
            return effects
        reason = effects.reasons[0]
    return contract.refused(EntryOutcome.UNKNOWN_TYPE, reason)


def _apply_sound_items(state: FoldState, turn: _Turn, signer: Signer, payload_type: PayloadType) -> Effects:
    """A body that cannot be read because of some items: those are refused, and their neighbours are not harmed."""
    try:
        body, faults = decode_sound_items(payload_type, turn.body)
    except ValueError as error:
        return contract.refused(EntryOutcome.MALFORMED, str(error))
    if body is None:
        effects = contract.refused(EntryOutcome.MALFORMED, "", items=0)
    else:
        effects = contract.apply(state, signer.caller, payload_type, body=body, at=turn.at, index=turn.index)
    reasons = iter(effects.reasons)
    answers = [(outcome, "" if outcome is EntryOutcome.ACCEPTED else next(reasons)) for outcome in effects.outcomes]
    for place, fault in faults:
        answers.insert(place, (EntryOutcome.MALFORMED, fault))
    return Effects(
        writes=effects.writes,
        events=effects.events,
        outcomes=tuple(outcome for outcome, _ in answers),
        reasons=tuple(reason for outcome, reason in answers if outcome is not EntryOutcome.ACCEPTED),
    )


def _found(state: FoldState, turn: _Turn, *, origin: str, verify: VerifyEnvelope) -> Applied | Rejected:
    """Entry 0: signed by a system node that it names itself, as number 1 of that node's first epoch."""
    header, envelope = turn.header, turn.envelope
    if envelope.payload_type != PayloadType.GENESIS or header.sequence != 1:
        return Rejected(RejectionCode.MALFORMED_HEADER, "entry 0 is Genesis, number 1 of its signer's epoch")
    try:
        body = decode_body(PayloadType.GENESIS, turn.body)
    except ValueError as error:
        return Rejected(RejectionCode.MALFORMED_HEADER, str(error))
    if not isinstance(body, Genesis) or not (body.origin == header.origin == origin):
        return Rejected(RejectionCode.WRONG_ORIGIN, f"Genesis is not of {origin}")
    if body.contract_version > CONTRACT_VERSION:
        reason = f"contract version {body.contract_version}; this program knows versions up to {CONTRACT_VERSION}"
        return Rejected(RejectionCode.MALFORMED_HEADER, reason)
    keys = [node.public_key for node in body.system_nodes if node.submitter == header.submitter]
    if len(keys) != 1:
        return Rejected(RejectionCode.NOT_AUTHENTIC, f"Genesis does not name {header.submitter} as one of its system nodes")
    try:
        verify(envelope, keys[0])
    except SignatureInvalid as error:
        return Rejected(RejectionCode.NOT_AUTHENTIC, str(error))
    draft = Draft(state)
    try:
        members.found(draft, body, turn.at)
    except Refused as refusal:
        return Rejected(RejectionCode.MALFORMED_HEADER, refusal.reason)
    opening = epochs.opening_writes(
        state,
        header.submitter,
        role=Role.SYSTEM_NODE,
        epoch=header.epoch,
        payload_hash=turn.payload_hash,
        key_id=hashlib.sha256(keys[0]).digest(),
        at=turn.at,
    )
    return _entry(turn, draft.effects((EntryOutcome.ACCEPTED,), ()), opening)


def _entry(turn: _Turn, effects: Effects, chain: tuple[Write, ...], *, evidence: bool = False) -> Applied:
    """The leaf: what was sent, what was said of each item, and the hash of what it caused, the chain's own line included."""
    writes = tuple(sorted((*effects.writes, *chain), key=_key))
    entry = Entry(
        index=turn.index,
        at=turn.at,
        proposer=turn.proposer,
        outcomes=effects.outcomes,
        effects_hash=effects_hash(writes, effects.events),
        envelope=turn.raw,
    )
    header = turn.header
    number = None if evidence else Number(str(header.submitter), header.epoch, header.sequence, turn.payload_hash)
    return Applied(leaf=encode(entry), entry=entry, reasons=effects.reasons, writes=writes, events=effects.events, number=number)


def _key(write: Write) -> str:
    return write[0]
