# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and who sees what: Table 1 of the paper and the visibility table, each as one literal.

A row of Table 1 names the roles that may send a payload type or ask a question, and for each role the attribute rule that must hold.
What an admin does beyond the paper's table is marked `beyond`; docs/adr/ says why. Nothing here knows how a caller was recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hpcbridge.contract.market import rental_of_username, request_of_offer, stored_rental, stored_request
from hpcbridge.contract.records import StoredCluster, decode_stored
from hpcbridge.contract.state import StateView
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller, Role
from hpcbridge.model.market import AccountRenewal, AccountReport, Cancellation, RentalOrder, RentalState
from hpcbridge.model.transactions import EpochStart, JobWatch, PayloadType

Rule = Callable[[StateView, Caller, Any], None]
"""An attribute rule: raises Refused, or returns and the role's right stands."""

AUDITOR = "auditor"
"""Attribute that lets a member of any role read everything."""


def always(_view: StateView, _caller: Caller, _body: Any) -> None:
    """The role alone is enough."""


def own_cluster(view: StateView, caller: Caller, body: Any) -> None:
    """The body's cluster is registered, and by the caller's member."""
    cluster = stored_cluster(view, body.cluster)
    if cluster is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"cluster {body.cluster} is not registered", hint="register it first")
    if cluster.provider != caller.member:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"cluster {body.cluster} does not belong to {caller.member}")


def own_or_new_cluster(view: StateView, caller: Caller, body: Any) -> None:
    """The cluster belongs to the caller's member, or to nobody yet."""
    cluster = stored_cluster(view, body.cluster)
    if cluster is not None and cluster.provider != caller.member:
        raise Refused(EntryOutcome.ALREADY_EXISTS, f"the name {body.cluster} is taken by another member's cluster")


def known_cluster(view: StateView, _caller: Caller, body: Any) -> None:
    """The cluster is registered, whoever owns it."""
    if stored_cluster(view, body.cluster) is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"cluster {body.cluster} is not registered")


def own_gap(view: StateView, caller: Caller, body: EpochStart) -> None:
    """A gap told with a new epoch is of the caller's own cluster; without one there is nothing to check."""
    if body.gap is not None:
        if caller.role is not Role.PROVIDER:
            raise Refused(EntryOutcome.NOT_PERMITTED, f"role {caller.role} has no clusters and so no gaps")
        own_cluster(view, caller, body.gap)


def own_tenant(view: StateView, caller: Caller, body: JobWatch) -> None:
    """The job is that of the account which a rental of the caller's has on that cluster, and the rental has not ended."""
    name = rental_of_username(view, body.owner)
    rental = None if name is None else stored_rental(view, name)
    if rental is None or rental.member != caller.member or rental.cluster != body.cluster or rental.state is RentalState.ENDED:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"{caller.member} has no open rental with the username {body.owner[:40]!r} there")


def own_request(view: StateView, caller: Caller, body: RentalOrder) -> None:
    """The offer or request was made for the caller's member; one of somebody else is answered as if it were not there."""
    name = request_of_offer(body.offer) if body.offer else body.request
    request = stored_request(view, name)
    if request is None or request.member != caller.member:
        raise Refused(EntryOutcome.NOT_FOUND, f"{caller.member} has no offer {(body.offer or body.request)[:40]!r}")


def own_rental(view: StateView, caller: Caller, body: Cancellation | AccountRenewal) -> None:
    """The rental is the caller's; one of somebody else is answered as if it were not there."""
    rental = stored_rental(view, body.rental)
    if rental is None or rental.member != caller.member:
        raise Refused(EntryOutcome.NOT_FOUND, f"{caller.member} has no rental {body.rental[:40]!r}")


def own_clusters_rental(view: StateView, caller: Caller, body: AccountReport) -> None:
    """The rental is of a cluster of the caller's; one of somebody else is answered as if it were not there."""
    rental = stored_rental(view, body.rental)
    if rental is None or rental.provider != caller.member:
        raise Refused(EntryOutcome.NOT_FOUND, f"{caller.member} has no cluster with a rental {body.rental[:40]!r}")


@dataclass(frozen=True, slots=True)
class Row:
    """Which roles may, each with its rule. `beyond`: roles that may although the paper's Table 1 does not say so."""

    rules: Mapping[Role, Rule]
    beyond: frozenset[Role] = frozenset()


_BY_ADMIN = frozenset({Role.ADMIN})

TABLE_1: Mapping[PayloadType, Row] = {
    PayloadType.GENESIS: Row({}),
    PayloadType.EPOCH_START: Row({Role.PROVIDER: own_gap, Role.USER: own_gap, Role.ADMIN: own_gap, Role.SYSTEM_NODE: own_gap}),
    PayloadType.TICK: Row({Role.SYSTEM_NODE: always}),
    PayloadType.ENROLMENT: Row({Role.SYSTEM_NODE: always}),
    PayloadType.RENEWAL: Row({Role.SYSTEM_NODE: always}),
    PayloadType.TOKEN: Row({Role.ADMIN: always}),
    PayloadType.REVOCATION: Row({Role.ADMIN: always}, _BY_ADMIN),
    PayloadType.DECISION: Row({Role.ADMIN: always}, _BY_ADMIN),
    PayloadType.PARAMETERS: Row({Role.ADMIN: always}, _BY_ADMIN),
    PayloadType.REGISTRATION: Row({Role.PROVIDER: own_or_new_cluster}),
    PayloadType.CLUSTER_STATE: Row({Role.PROVIDER: own_cluster}),
    PayloadType.NODE_CHANGES: Row({Role.PROVIDER: own_cluster}),
    PayloadType.JOB_CHANGES: Row({Role.PROVIDER: own_cluster}),
    PayloadType.GAP: Row({Role.PROVIDER: own_cluster}),
    PayloadType.JOB_WATCH: Row({Role.PROVIDER: own_cluster, Role.USER: own_tenant, Role.ADMIN: known_cluster}, _BY_ADMIN),
    PayloadType.CONTRACT: Row({Role.ADMIN: always}, _BY_ADMIN),
    PayloadType.CREDIT: Row({Role.ADMIN: always}, _BY_ADMIN),
    PayloadType.REQUEST: Row({Role.USER: always}),
    PayloadType.RENTAL: Row({Role.USER: own_request}),
    PayloadType.CANCELLATION: Row({Role.USER: own_rental}),
    PayloadType.ACCOUNT: Row({Role.PROVIDER: own_clusters_rental}),
    PayloadType.DOCUMENTS: Row({Role.PROVIDER: always, Role.USER: always}),
    PayloadType.ACCOUNT_RENEWAL: Row({Role.USER: own_rental}),
}
"""Table 1, writing half. Genesis is nobody's: it is entry 0 or nothing."""


class Query(StrEnum):
    """The questions of the ledger's API, under their names there."""

    GET_CHECKPOINT = "GetCheckpoint"
    GET_CONSISTENCY_PROOF = "GetConsistencyProof"
    GET_RECEIPT = "GetReceipt"
    READ_ENTRIES = "ReadEntries"
    SUBSCRIBE = "Subscribe"
    GET_HPC_SYSTEM_DETAIL = "GetHpcSystemDetail"
    LIST_ALL_HPC_SYSTEMS = "ListAllHpcSystems"
    GET_USER_DETAIL = "GetUserDetail"
    LIST_ALL_USERS = "ListAllUsers"
    LIST_JOBS = "ListJobs"
    GET_JOB = "GetJob"
    LIST_NODES = "ListNodes"
    LIST_GAPS = "ListGaps"
    GET_PARAMETERS = "GetParameters"
    GET_STATUS = "GetStatus"
    LIST_REQUESTS = "ListRequests"
    GET_REQUEST = "GetRequest"
    LIST_OFFERS = "ListOffers"
    LIST_WHY_NOTS = "ListWhyNots"
    LIST_RENTALS = "ListRentals"
    GET_RENTAL = "GetRental"
    GET_BALANCE = "GetBalance"
    LIST_PROGRAM_DEMAND = "ListProgramDemand"
    LEAVE_SEALED = "LeaveSealed"
    COLLECT_SEALED = "CollectSealed"


class Share(StrEnum):
    """How much of what a question is about a role sees."""

    ALL = "ALL"
    OWN = "OWN"
    NOTHING = "NOTHING"


_EVERYBODY = {Role.PROVIDER: Share.ALL, Role.USER: Share.ALL, Role.ADMIN: Share.ALL, Role.SYSTEM_NODE: Share.ALL}
_OWN = {Role.PROVIDER: Share.OWN, Role.USER: Share.OWN, Role.ADMIN: Share.ALL, Role.SYSTEM_NODE: Share.ALL}
_OF_CLUSTERS = {Role.PROVIDER: Share.OWN, Role.USER: Share.NOTHING, Role.ADMIN: Share.ALL, Role.SYSTEM_NODE: Share.ALL}
_OF_MEMBERS = {Role.PROVIDER: Share.NOTHING, Role.USER: Share.NOTHING, Role.ADMIN: Share.ALL, Role.SYSTEM_NODE: Share.ALL}
_OF_REQUESTS = {Role.PROVIDER: Share.NOTHING, Role.USER: Share.OWN, Role.ADMIN: Share.ALL, Role.SYSTEM_NODE: Share.ALL}
_OF_PARTIES = {Role.PROVIDER: Share.OWN, Role.USER: Share.OWN, Role.ADMIN: Share.NOTHING, Role.SYSTEM_NODE: Share.NOTHING}
_OF_DEMAND = {Role.PROVIDER: Share.ALL, Role.USER: Share.NOTHING, Role.ADMIN: Share.ALL, Role.SYSTEM_NODE: Share.ALL}

QUESTIONS: Mapping[Query, Mapping[Role, Share]] = {
    Query.GET_CHECKPOINT: _EVERYBODY,
    Query.GET_CONSISTENCY_PROOF: _EVERYBODY,
    Query.GET_RECEIPT: _OWN,
    Query.READ_ENTRIES: _OWN,
    Query.SUBSCRIBE: _OWN,
    Query.GET_HPC_SYSTEM_DETAIL: _OF_CLUSTERS,
    Query.LIST_ALL_HPC_SYSTEMS: _OF_CLUSTERS,
    Query.GET_USER_DETAIL: _OWN,
    Query.LIST_ALL_USERS: _OF_MEMBERS,
    Query.LIST_JOBS: _OWN,
    Query.GET_JOB: _OWN,
    Query.LIST_NODES: _OF_CLUSTERS,
    Query.LIST_GAPS: _OF_CLUSTERS,
    Query.GET_PARAMETERS: _EVERYBODY,
    Query.GET_STATUS: _EVERYBODY,
    Query.LIST_REQUESTS: _OF_REQUESTS,
    Query.GET_REQUEST: _OF_REQUESTS,
    Query.LIST_OFFERS: _OF_REQUESTS,
    Query.LIST_WHY_NOTS: _OF_REQUESTS,
    Query.LIST_RENTALS: _OWN,
    Query.GET_RENTAL: _OWN,
    Query.GET_BALANCE: _OWN,
    Query.LIST_PROGRAM_DEMAND: _OF_DEMAND,
    Query.LEAVE_SEALED: _OF_PARTIES,
    Query.COLLECT_SEALED: _OF_PARTIES,
}
"""Table 1, reading half. A member with the attribute auditor sees what an admin sees."""


class Kind(StrEnum):
    """What can be looked at: the rows of the visibility table."""

    CHECKPOINT = "checkpoints, consistency proofs"
    RECEIPT = "receipt and proof of an entry"
    ENTRY = "raw entries, export"
    JOB = "job and rental events"
    REQUEST = "requests, offers and reasons"
    ACCOUNT = "balance of an account"
    CLUSTER = "cluster state and events"
    MEMBER = "member records"
    SEALED = "sealed passcodes and contacts"


class Relation(StrEnum):
    """How the looker stands to the thing: the columns of the visibility table."""

    SUBMITTER = "submitter"
    PROVIDER = "provider concerned"
    USER = "user concerned"
    ADMIN = "admin"
    AUDITOR = "auditor"
    OTHER = "others"


_WATCHERS = frozenset({Relation.ADMIN, Relation.AUDITOR})

VISIBILITY: Mapping[Kind, frozenset[Relation]] = {
    Kind.CHECKPOINT: frozenset(Relation),
    Kind.RECEIPT: _WATCHERS | {Relation.SUBMITTER},
    Kind.ENTRY: _WATCHERS | {Relation.SUBMITTER},
    Kind.JOB: _WATCHERS | {Relation.PROVIDER, Relation.USER},
    Kind.REQUEST: _WATCHERS | {Relation.SUBMITTER, Relation.USER},
    Kind.ACCOUNT: _WATCHERS | {Relation.SUBMITTER},
    Kind.CLUSTER: _WATCHERS | {Relation.SUBMITTER, Relation.PROVIDER},
    Kind.MEMBER: _WATCHERS | {Relation.SUBMITTER},
    Kind.SEALED: frozenset({Relation.PROVIDER, Relation.USER}),
}
"""Interfaces, "who sees what". Users look at clusters through offers, which are blind and of another kind."""


def check_permitted(view: StateView, caller: Caller, payload_type: PayloadType, *, body: Any) -> None:
    """Refused unless Table 1 lets the caller send this body: first the role, then the attribute rule of that role. The reason names it."""
    rule = TABLE_1[payload_type].rules.get(caller.role)
    if rule is None:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"role {caller.role} may not send {payload_type.name} (rule: Table 1)")
    try:
        rule(view, caller, body)
    except Refused as refusal:
        raise Refused(refusal.code, f"{refusal.reason} (rule: {rule.__name__})", hint=refusal.hint) from refusal


def share_of(caller: Caller, query: Query) -> Share:
    """How much the caller sees of what a question is about. Whoever is not approved watches nobody: it has no more than a user's share."""
    if not caller.approved:
        return QUESTIONS[query][Role.USER if caller.role is Role.ADMIN else caller.role]
    # what no admin may ask is no auditor's either
    watches = caller.has_attribute(AUDITOR) and QUESTIONS[query][Role.ADMIN] is Share.ALL
    return Share.ALL if watches else QUESTIONS[query][caller.role]


def check_query(caller: Caller, query: Query) -> Share:
    """As `share_of`; Refused(NOT_PERMITTED) if that is nothing."""
    share = share_of(caller, query)
    if share is Share.NOTHING:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"role {caller.role} may not ask {query} (rule: Table 1)")
    return share


def relation_of(caller: Caller, owner: str, *, owner_is: Relation) -> Relation:
    """The column that counts for the caller when `owner` stands to the thing as `owner_is`."""
    if caller.approved and caller.role in (Role.ADMIN, Role.SYSTEM_NODE):
        return Relation.ADMIN
    if caller.approved and caller.has_attribute(AUDITOR):
        return Relation.AUDITOR
    return owner_is if caller.member == owner else Relation.OTHER


def may_see(caller: Caller, kind: Kind, owner: str, *, owner_is: Relation = Relation.SUBMITTER) -> bool:
    """True if the visibility table lets the caller see a thing of `owner`, who stands to it as `owner_is`."""
    return relation_of(caller, owner, owner_is=owner_is) in VISIBILITY[kind]


def audience_of(caller: Caller) -> str | None:
    """The audience whose events a subscriber gets; None: the events of all."""
    return None if share_of(caller, Query.SUBSCRIBE) is Share.ALL else caller.member


def stored_cluster(view: StateView, name: str) -> StoredCluster | None:
    """A cluster's hot record; None if it is not registered."""
    data = view.get(f"cluster/{name}")
    return None if data is None else decode_stored(StoredCluster, data)
