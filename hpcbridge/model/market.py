# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The market: what a user asks for and is offered, what a rental is and how it ends, and the money that moves.

Money is an integer number of micro-units of the network's currency, coordinates are integer micro-degrees. What a record does not show to
its reader (the provider before renting, the user to the provider) is None or empty in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.clusters import Program, Rates
from hpcbridge.model.jobs import Outcome
from hpcbridge.model.quantities import Instant

Micro = int
"""A millionth of the currency's unit."""
MAX_MICRO: Micro = 1 << 62
"""Above every amount that can come about; a store keeps signed 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractActivation:
    """From the next entry on, this version of the contract holds."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """An admin credits a member's account; `reference` names the payment, once for each member."""

    member: str
    amount: Micro
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a user needs. `gpu_type` empty: any; a program's version empty: any; None: no matter."""

    cores: int
    gpus: int = 0
    gpu_type: str = ""
    memory_bytes: int | None = None
    walltime_seconds: int | None = None
    programs: tuple[Program, ...] = ()
    latitude_microdegrees: int | None = None
    longitude_microdegrees: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalOrder:
    """A user rents: the `offer` and its `queue` by the label shown there, or the best offer of `request`; the other ones are empty.

    `walltime_seconds` None: what was asked for in the request. `extra_limit` is what may be charged beyond the deposit. `sealing_key` is
    the X25519 key to which the passcode is sealed, made for this rental; empty if none is wanted.
    """

    offer: str = ""
    request: str = ""
    queue: str = ""
    cores: int
    gpus: int = 0
    walltime_seconds: int | None = None
    extra_limit: Micro = 0
    sealing_key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """A user gives a rental back before its first job."""

    rental: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRenewal:
    """A user asks for another passcode of the account of its rental, sealed to this new X25519 key."""

    rental: str
    sealing_key: bytes


class AccountState(StrEnum):
    """What a provider says of the account of a rental."""

    READY = "READY"
    """It exists, and its passcode is on its way."""
    FAILED = "FAILED"
    """It cannot be made."""
    CLOSED = "CLOSED"
    """It is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """A provider on the account of a rental of its cluster. `text` is for people and holds no secret."""

    rental: str
    state: AccountState
    text: str = ""


class WaitRule(StrEnum):
    """How an expected wait was derived."""

    FREE_NOW = "FREE_NOW"
    """Enough is free and nothing waits: 0 seconds."""
    QUEUE_AHEAD = "QUEUE_AHEAD"
    """From the jobs that wait and run, at the queue's own limit of walltime."""
    UNKNOWN = "UNKNOWN"
    """What is known is not enough to say; the wait is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedQueue:
    """One queue of an offer under a blind label. None is unknown; `max_walltime_seconds` None means no limit.

    `rates` are those for this user, distance included. `deposit` is for what was asked, None without any walltime.
    """

    label: str
    max_cores: int | None
    gpu_type: str | None
    gpus: int | None
    max_walltime_seconds: int | None
    memory_bytes: int | None
    cores_total: int | None
    cores_free: int | None
    gpus_total: int | None
    gpus_free: int | None
    jobs_queued: int | None
    jobs_running: int | None
    rates: Rates
    deposit: Micro | None
    wait_seconds: int | None
    wait_rule: WaitRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A cluster that fits a request, without its name. It holds as of entry `index`, until `expires_at`."""

    offer: str
    request: str
    index: int
    offered_at: Instant
    expires_at: Instant
    state_age_ms: int
    to_install: tuple[Program, ...]
    queues: tuple[OfferedQueue, ...]


class Requirement(StrEnum):
    """What a cluster has to meet for an offer, in the order in which it is looked at."""

    OWN = "OWN"
    """It is not the user's own."""
    APPROVED = "APPROVED"
    """Cluster and provider are approved."""
    HEARD_FROM = "HEARD_FROM"
    """It was heard from lately; figures are milliseconds since then."""
    PRICED = "PRICED"
    """It has rates."""
    OPEN = "OPEN"
    """Some queue is open; figures are open queues."""
    CORES = "CORES"
    """Some open queue lets a job have so many cores."""
    GPUS = "GPUS"
    """… and so many GPUs."""
    GPU_TYPE = "GPU_TYPE"
    """… of this kind."""
    MEMORY = "MEMORY"
    """… and so many bytes of memory."""
    WALLTIME = "WALLTIME"
    """… for so many seconds."""
    PROGRAMS = "PROGRAMS"
    """Every program is installed, or could be where nobody has them all."""
    LISTED = "LISTED"
    """It fits, but a request lists no more than so many; figures are that number and how many fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """Why one cluster, without its name, is not among the offers: the first requirement that failed, what was needed and what there is.

    `needed` and `found` are None for what is no number, `found` also for what is unknown. `missing`: programs that are not there.
    """

    ordinal: int
    requirement: Requirement
    needed: int | None
    found: int | None
    missing: tuple[Program, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A request as it was answered: its name, and how many offers and reasons there are."""

    request: str
    asked: Request
    index: int
    asked_at: Instant
    expires_at: Instant
    offers: int
    why_nots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDemand:
    """How often a program was asked for while some cluster that met everything else lacked it."""

    program: Program
    count: int


class RentalState(StrEnum):
    """How far a rental has come."""

    GRANTED = "GRANTED"
    """The deposit is held, and the provider makes the account."""
    READY = "READY"
    """The account exists."""
    USED = "USED"
    """A job was seen."""
    ENDED = "ENDED"
    """It is over and settled; corrections may follow."""


class RentalEnd(StrEnum):
    """Why a rental ended."""

    COMPLETED = "COMPLETED"
    """Its jobs have ended."""
    CANCELLED = "CANCELLED"
    """Given back before its first job."""
    EXPIRED = "EXPIRED"
    """Never used in time."""
    FAILED_BY_SITE = "FAILED_BY_SITE"
    """The provider could not make the account."""
    OVERDUE = "OVERDUE"
    """The longest time a rental may take is over."""
    CLUSTER_ENDED = "CLUSTER_ENDED"
    """The cluster or its provider takes part no longer."""
    MEMBER_ENDED = "MEMBER_ENDED"
    """The user takes part no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """A rental. Prices and limits are copies of the moment of renting; nothing that changes later touches them.

    `member` and `submitter` are None for the provider, who knows the user by `username` alone; so are `request` and `offer`.
    `limit_seconds` is the walltime the deposit is for. `held` is what is still held of the deposit. `sealing_key` is the key to which the
    passcode is sealed, `provider_sealing_key` that to which the user may seal an address for its delivery; empty if there is none.
    """

    rental: str
    request: str | None
    offer: str | None
    member: str | None
    submitter: str | None
    username: str
    cluster: str
    provider: str
    login_address: str
    queue: str
    cores: int
    gpus: int
    walltime_seconds: int | None
    limit_seconds: int
    to_install: tuple[Program, ...]
    rates: Rates
    price_version: int
    deposit: Micro
    extra_limit: Micro
    sealing_key: bytes
    state: RentalState
    end: RentalEnd | None
    index: int
    granted_at: Instant
    expires_at: Instant
    latest_at: Instant
    ready_at: Instant | None = None
    used_at: Instant | None = None
    ended_at: Instant | None = None
    settled_index: int | None = None
    account: AccountState | None = None
    account_text: str = ""
    held: Micro = 0
    charged: Micro = 0
    refunded: Micro = 0
    not_covered: Micro = 0
    provider_sealing_key: bytes = b""
    renewed_at: Instant | None = None


class Bearer(StrEnum):
    """Who bears what a job used."""

    USER = "USER"
    """The user pays what was measured."""
    SITE = "SITE"
    """The provider: the user pays nothing."""
    NOBODY = "NOBODY"
    """Nothing was used, or nothing is known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """What one run of a job used, and what follows. Seconds are summed over cores and over GPUs; None is not known.

    `charge` is the price of it, `not_covered` the part of that which neither deposit nor extra limit covers.
    """

    cluster: str
    job_id: str
    incarnation: int
    outcome: Outcome | None
    bearer: Bearer
    core_seconds: int | None
    gpu_seconds: int | None
    cpu_charge: Micro
    gpu_charge: Micro
    charge: Micro
    not_covered: Micro


class LineKind(StrEnum):
    """What a line of a statement tells."""

    DEPOSIT = "DEPOSIT"
    """Held from the user's account."""
    USAGE = "USAGE"
    """A job's charge, from the user to the provider."""
    REFUND = "REFUND"
    """What is left of the deposit, back to the user."""
    CORRECTION = "CORRECTION"
    """A job turned out otherwise than its line said, or was told after settlement: charged, or paid back if negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One movement of money for a rental, with the entry that caused it. `amount` as the kind says; `usage` for what jobs caused."""

    ordinal: int
    kind: LineKind
    index: int
    at: Instant
    amount: Micro
    usage: UsageLine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a rental was settled: `deposit` = part of `charged` that it covered + `refunded`."""

    rental: str
    end: RentalEnd
    deposit: Micro
    charged: Micro
    refunded: Micro
    not_covered: Micro


class Excess(StrEnum):
    """In what more was used than rented."""

    CORES = "CORES"
    """Cores at one time, over all jobs of the rental."""
    GPUS = "GPUS"
    """GPUs at one time, over all jobs of the rental."""
    WALLTIME = "WALLTIME"
    """Seconds of one job."""
    JOBS = "JOBS"
    """Jobs after the rental had ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageNotice:
    """More than rented was used."""

    rental: str
    job_id: str
    incarnation: int
    excess: Excess
    rented: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A member's account: `balance` may be spent, `held` are deposits of its rentals and comes on top."""

    member: str
    balance: Micro
    held: Micro


class DriftField(StrEnum):
    """In what a registered queue and the observed one differ."""

    QUEUE = "QUEUE"
    """The queue is not there."""
    MAX_CORES = "MAX_CORES"
    """A job may have fewer cores than offered."""
    GPUS = "GPUS"
    """There are fewer GPUs than offered to one job."""
    MAX_WALLTIME_SECONDS = "MAX_WALLTIME_SECONDS"
    """A job may run less long than offered."""
    GPU_TYPE = "GPU_TYPE"
    """The GPUs are of other kinds than offered."""
    MEMORY_BYTES = "MEMORY_BYTES"
    """No node has as much memory as is offered to one job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDrift:
    """One queue is offered with more than is observed, or with another kind of GPU (where both figures are None)."""

    queue: str
    field: DriftField
    registered: int | None
    observed: int | None
    registered_gpu_type: str | None = None
    observed_gpu_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDrifts:
    """Every difference of a cluster's registered queues from the observed ones now; none: they agree again."""

    cluster: str
    drifts: tuple[QueueDrift, ...]
