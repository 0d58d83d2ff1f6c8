# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the log holds and hands out: entries, checkpoints, receipts, events, and the answers that are no entry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant

MAX_ENTRY_BYTES = 65_535


class EntryOutcome(StrEnum):
    """What the contract said of one item; it is part of the hashed entry. `ACCEPTED` or a refusal code."""

    ACCEPTED = "ACCEPTED"
    """Applied."""
    NOT_PERMITTED = "NOT_PERMITTED"
    """Role or attribute rule says no."""
    NOT_FOUND = "NOT_FOUND"
    """It speaks of something the ledger does not know."""
    NOT_APPROVED = "NOT_APPROVED"
    """The member or cluster is not approved, or was suspended."""
    ALREADY_EXISTS = "ALREADY_EXISTS"
    """The name is taken."""
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    """The state machine has no such step."""
    STALE = "STALE"
    """Older than what is on record."""
    MALFORMED = "MALFORMED"
    """The body is not what its type says, or a value is out of range."""
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    """No contract function for this payload type."""
    TOKEN_INVALID = "TOKEN_INVALID"
    """Unknown, used or expired token, or one for another name or role."""
    EQUIVOCATION = "EQUIVOCATION"
    """Evidence: a second payload with a number that was used; the epoch is closed."""
    NO_CREDIT = "NO_CREDIT"
    """The account has less than this needs."""
    NO_CAPACITY = "NO_CAPACITY"
    """What is asked for is not free any more."""
    OUTDATED = "OUTDATED"
    """The offer's time is over, or what it offered is no longer so."""
    CLOSED = "CLOSED"
    """The queue takes no jobs."""
    TOO_MANY = "TOO_MANY"
    """More than the network allows in this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One leaf, decoded. `outcomes` has one item for each item of the body (one for bodies without items).

    `effects_hash` is SHA-256 over the writes and events it caused, so a receipt proves the result and not only the request.
    """

    index: int
    at: Instant
    proposer: Submitter
    outcomes: tuple[EntryOutcome, ...]
    effects_hash: bytes
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed tree head: `note` is the C2SP signed note as text, the other fields are what it says."""

    origin: str
    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proves that `leaf` (exactly the hashed bytes) stands at `index` under `checkpoint`."""

    leaf: bytes
    index: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Place in the stream of events: entry index and number within the entry. Text form `<index>.<n>`."""

    index: int
    ordinal: int

    def __str__(self) -> str:
        return f"{self.index}.{self.ordinal}"


def parse_cursor(text: str) -> Cursor:
    """Reads `<index>.<n>`; ValueError otherwise."""
    index, _, ordinal = text.partition(".")
    if not (index.isdecimal() and ordinal.isdecimal() and text.isascii()):
        raise ValueError(f"cursor {text[:40]!r} is not <index>.<n>")
    return Cursor(int(index), int(ordinal))


class EventType(StrEnum):
    """What an event tells; its body is the record named here."""

    JOB_CHANGED = "JOB_CHANGED"
    """A job's record changed: Job."""
    JOB_WATCHED = "JOB_WATCHED"
    """A provider is asked to follow a job: JobWatch."""
    NODE_CHANGED = "NODE_CHANGED"
    """A node's availability changed: NodeChange."""
    CLUSTER_STATE = "CLUSTER_STATE"
    """A sample of a cluster: ClusterState."""
    CLUSTER_REGISTERED = "CLUSTER_REGISTERED"
    """A cluster was registered or updated: Registration."""
    VETTING_CHANGED = "VETTING_CHANGED"
    """A member, cluster or installation was approved, rejected or suspended: Decision."""
    MEMBER_ENROLLED = "MEMBER_ENROLLED"
    """An installation enrolled."""
    MEMBER_REVOKED = "MEMBER_REVOKED"
    """A member or installation was revoked: Revocation."""
    EPOCH_STARTED = "EPOCH_STARTED"
    """A submitter opened an epoch: EpochStart."""
    EPOCH_CLOSED = "EPOCH_CLOSED"
    """Two payloads with one number: the epoch is closed."""
    GAP_REPORTED = "GAP_REPORTED"
    """An agent could not keep something: Gap."""
    PARAMETERS_CHANGED = "PARAMETERS_CHANGED"
    """Network parameters changed: Parameters."""
    CONTRACT_ACTIVATED = "CONTRACT_ACTIVATED"
    """A version of the contract holds from now on: ContractActivation."""
    CREDITED = "CREDITED"
    """An account was credited: Credit."""
    REQUEST_ANSWERED = "REQUEST_ANSWERED"
    """Offers were made: RequestRecord."""
    RENTAL_GRANTED = "RENTAL_GRANTED"
    """A rental began: Rental, for the provider without the user's name."""
    RENTAL_READY = "RENTAL_READY"
    """The account of a rental exists: Rental."""
    PASSCODE_ASKED = "PASSCODE_ASKED"
    """The user of an account asks for another passcode, sealed to the key in here: Rental, for the provider without the user's name."""
    RENTAL_FAILED = "RENTAL_FAILED"
    """The account of a rental cannot be made: Rental."""
    RENTAL_ENDED = "RENTAL_ENDED"
    """A rental is over, its account is to be closed: Rental."""
    RENTAL_SETTLED = "RENTAL_SETTLED"
    """The money of a rental has moved: Settlement."""
    RENTAL_CORRECTED = "RENTAL_CORRECTED"
    """A late word on a job moved money after settlement: StatementLine."""
    USAGE_NOTICED = "USAGE_NOTICED"
    """More than rented was used: UsageNotice."""
    QUEUES_DRIFTED = "QUEUES_DRIFTED"
    """Registered queues and observed ones differ, or agree again: QueueDrifts."""
    DOCUMENTS_SUBMITTED = "DOCUMENTS_SUBMITTED"
    """A member named documents for its vetting: Documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event as stored. `audience` is the member it is for (admins and auditors see all); `audience_number` counts from 1 without
    holes per audience, so that a subscriber notices a hidden one. `subject` is the thing it speaks of, for filters.
    """

    type: EventType
    audience: str
    audience_number: int
    subject: str
    body: bytes


class RetryCode(StrEnum):
    """Why the ledger asks to send the same again later."""

    KEY_UNKNOWN = "KEY_UNKNOWN"
    """The key is not (yet) on this replica's log."""
    KEY_EXPIRED = "KEY_EXPIRED"
    """The newest certificate of the key is past its end: renew, then send again."""
    BEHIND = "BEHIND"
    """The replica has not caught up."""
    QUOTA = "QUOTA"
    """Over the quota of this identity."""
    APPROVAL = "APPROVAL"
    """A new epoch waits for an admin."""
    STOPPING = "STOPPING"
    """The service is going down."""


class RejectionCode(StrEnum):
    """Why the ledger will never take this envelope; it consumed no number."""

    MALFORMED_HEADER = "MALFORMED_HEADER"
    """Envelope, payload or header cannot be read strictly."""
    NOT_AUTHENTIC = "NOT_AUTHENTIC"
    """The signature is not of these bytes and the submitter's key."""
    REVOKED = "REVOKED"
    """Member or installation is revoked."""
    WRONG_ORIGIN = "WRONG_ORIGIN"
    """The header names another ledger."""
    TOO_LARGE = "TOO_LARGE"
    """Over the size of an envelope."""
    UNKNOWN_CONTRACT = "UNKNOWN_CONTRACT"
    """It activates a version of the contract that the program of the ledger does not know."""
    CLOSED_EPOCH = "CLOSED_EPOCH"
    """The epoch is closed or was never opened: start a new one."""
    NUMBER_USED = "NUMBER_USED"
    """The number holds another payload, signed by a key that is no longer valid."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Seen number, same payload: the entry at `index` is the answer again."""

    index: int


@dataclass(frozen=True, slots=True)
class Expect:
    """Ahead of the chain: send `sequence` next."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the same bytes again later."""

    code: RetryCode
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Never send these bytes again."""

    code: RejectionCode
    reason: str


NoEntry = Duplicate | Expect | Retry | Rejected
"""Answers that leave no trace in the log."""
