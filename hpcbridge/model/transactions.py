# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Transactions: what a member signs. Envelope around payload, payload = header + opaque body, one body type per purpose."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.clusters import ClusterState, Registration, Vetting
from hpcbridge.model.identities import CertificateFacts, Role, Submitter
from hpcbridge.model.jobs import Job
from hpcbridge.model.market import (
    AccountRenewal,
    AccountReport,
    Cancellation,
    ContractActivation,
    Credit,
    RentalOrder,
    Request,
)
from hpcbridge.model.nodes import Availability
from hpcbridge.model.quantities import Instant

MAX_ENVELOPE_BYTES = 57_344
"""An envelope never needs more; an entry around it stays within MAX_ENTRY_BYTES."""
MAX_ITEMS = 500
"""Most items one body carries."""


class PayloadType(StrEnum):
    """DSSE payload type of each body; the version is part of the name."""

    GENESIS = "application/vnd.hpcbridge.genesis.v1+protobuf"
    """Entry 0."""
    EPOCH_START = "application/vnd.hpcbridge.epochstart.v1+protobuf"
    """Number 1 of every epoch."""
    TICK = "application/vnd.hpcbridge.tick.v1+protobuf"
    """The ledger's clock."""
    TOKEN = "application/vnd.hpcbridge.token.v1+protobuf"
    """An admin allows one enrolment."""
    ENROLMENT = "application/vnd.hpcbridge.enrolment.v1+protobuf"
    """A token was redeemed: a key enters."""
    RENEWAL = "application/vnd.hpcbridge.renewal.v1+protobuf"
    """A known key gets a newer certificate."""
    REVOCATION = "application/vnd.hpcbridge.revocation.v1+protobuf"
    """A member or one installation ends."""
    DECISION = "application/vnd.hpcbridge.decision.v1+protobuf"
    """An admin approves, rejects or suspends."""
    PARAMETERS = "application/vnd.hpcbridge.parameters.v1+protobuf"
    """An admin changes network parameters."""
    REGISTRATION = "application/vnd.hpcbridge.registration.v1+protobuf"
    """A provider registers or updates a cluster."""
    CLUSTER_STATE = "application/vnd.hpcbridge.clusterstate.v1+protobuf"
    """A sample of a cluster."""
    NODE_CHANGES = "application/vnd.hpcbridge.nodechanges.v1+protobuf"
    """Availability of nodes changed."""
    JOB_CHANGES = "application/vnd.hpcbridge.jobchanges.v1+protobuf"
    """Jobs changed."""
    JOB_WATCH = "application/vnd.hpcbridge.jobwatch.v1+protobuf"
    """Somebody entitled asks the provider to follow a job."""
    GAP = "application/vnd.hpcbridge.gap.v1+protobuf"
    """The agent says what it could not keep."""
    CONTRACT = "application/vnd.hpcbridge.contract.v1+protobuf"
    """An admin activates a version of the contract."""
    CREDIT = "application/vnd.hpcbridge.credit.v1+protobuf"
    """An admin credits an account."""
    REQUEST = "application/vnd.hpcbridge.request.v1+protobuf"
    """A user asks for resources: the paper's requestComputingResources."""
    RENTAL = "application/vnd.hpcbridge.rental.v1+protobuf"
    """A user rents what was offered."""
    CANCELLATION = "application/vnd.hpcbridge.cancellation.v1+protobuf"
    """A user gives a rental back before its first job."""
    ACCOUNT = "application/vnd.hpcbridge.account.v1+protobuf"
    """A provider on the account of a rental."""
    ACCOUNT_RENEWAL = "application/vnd.hpcbridge.accountrenewal.v1+protobuf"
    """A user asks for another passcode."""
    DOCUMENTS = "application/vnd.hpcbridge.documents.v1+protobuf"
    """A member names documents for its vetting, by digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Size and root of the last checkpoint the submitter verified; size 0 with an empty root at first."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Head of every payload. `epoch` is 16 random bytes; `sequence` counts from 1 within it; `wall_at` is information only."""

    origin: str
    submitter: Submitter
    epoch: bytes
    sequence: int
    seen: Seen
    wall_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Header and opaque body; the payload type outside says what the body is."""

    header: Header
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A DSSE envelope with one signature. `key_id` is a hint and never trusted."""

    payload: bytes
    payload_type: str
    key_id: bytes
    signature: bytes


class EpochReason(StrEnum):
    """Why a submitter opens a new epoch."""

    FIRST = "FIRST"
    """It never sent anything."""
    LOST = "LOST"
    """Its spool is gone or older than what the ledger has."""
    POISON = "POISON"
    """A payload could never be accepted by admission and was set aside."""
    CLOSED = "CLOSED"
    """The ledger closed the epoch after two payloads with one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What could not be kept or observed: `count` None if not even the number is known."""

    cluster: str
    reason: str
    since_at: Instant
    until_at: Instant
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStart:
    """Number 1 of an epoch; `previous_epoch` empty and `last_acknowledged` 0 at first, both from the ledger's Hello."""

    previous_epoch: bytes
    last_acknowledged: int
    reason: EpochReason
    gap: Gap | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemNode:
    """One replica's key; it does not expire and ends only by revocation."""

    submitter: Submitter
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """Entry 0: everything a verifier pins, and the token of the first admin."""

    origin: str
    ca_certificate: bytes
    log_key: bytes
    first_admin: str
    first_admin_token_digest: bytes
    token_expires_at: Instant
    system_nodes: tuple[SystemNode, ...]
    parameters: tuple[tuple[str, int], ...]
    contract_version: int
    created_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Carries nothing: its entry's `at` is the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Allows one enrolment; `digest` is SHA-256 of the 256-bit secret."""

    digest: bytes
    role: Role
    member: str
    attributes: tuple[tuple[str, str], ...]
    expires_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A redeemed token and the certificate that was issued for it."""

    token_digest: bytes
    facts: CertificateFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A newer certificate for a key that is already known."""

    facts: CertificateFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Ends a member, or one of its installations if that is named."""

    member: str
    installation: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An admin's word on `name`: a member, a cluster, or an installation (`name/installation`) that waits for a new epoch.

    `documents` are the digests, in order, of documents the admin has read: of those the member submitted, a cluster's provider for it.
    """

    name: str
    vetting: Vetting
    note: str
    documents: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that is not on the log: the SHA-256 of its bytes, what kind it is, and a title by which people know it again."""

    digest: bytes
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """1 or more documents of the member that signs, for whoever decides on it."""

    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """New values of network parameters."""

    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """Availability of one node as observed, absolute."""

    node: str
    availability: Availability
    native_state: str
    reason: str | None
    observed_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanges:
    """1–500 node changes of one cluster."""

    cluster: str
    changes: tuple[NodeChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """One job as observed, absolute, never a delta."""

    job: Job
    observed_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChanges:
    """1–500 job changes of one cluster; an item that is refused does not harm its neighbours."""

    cluster: str
    changes: tuple[JobChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWatch:
    """Asks the provider of `cluster` to follow `job_id` even if its owner is no tenant; only if it is `owner`'s where that is named."""

    cluster: str
    job_id: str
    owner: str = ""


Body = (
    Genesis
    | EpochStart
    | Tick
    | Token
    | Enrolment
    | Renewal
    | Revocation
    | Decision
    | Parameters
    | Registration
    | ClusterState
    | NodeChanges
    | JobChanges
    | JobWatch
    | Gap
    | ContractActivation
    | Credit
    | Request
    | RentalOrder
    | Cancellation
    | AccountReport
    | AccountRenewal
    | Documents
)
"""Every body a payload can carry."""

