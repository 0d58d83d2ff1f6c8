# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Decisions of admins: who and what takes part. A name may be a member's, a cluster's, both, or an installation that waits for an epoch."""

from __future__ import annotations

from collections.abc import Mapping

from hpcbridge.contract.access import stored_cluster
from hpcbridge.contract.documents import check_read, keep_decision
from hpcbridge.contract.epochs import approve_epoch
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.records import StoredCluster, StoredMember, decode_stored, encode_stored, encode_word
from hpcbridge.contract.rentals import end_rentals_of, end_rentals_of_member
from hpcbridge.contract.standing import KeyStatus, signer_of, stored_member
from hpcbridge.contract.state import Draft, StateView, scan_all
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller, Role, parse_submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Decision

STEPS: Mapping[Vetting, frozenset[Vetting]] = {
    Vetting.PENDING: frozenset({Vetting.APPROVED, Vetting.REJECTED, Vetting.SUSPENDED}),
    Vetting.APPROVED: frozenset({Vetting.SUSPENDED}),
    Vetting.REJECTED: frozenset({Vetting.APPROVED}),
    Vetting.SUSPENDED: frozenset({Vetting.APPROVED, Vetting.REJECTED}),
}
"""From what is on record to what an admin may decide."""
_MAX_NOTE = 256


def decide(draft: Draft, caller: Caller, body: Decision, at: Instant) -> None:
    """Applies an admin's word wherever the name stands and the step is a legal one; Refused if that is nowhere."""
    if body.vetting is Vetting.PENDING or len(body.note) > _MAX_NOTE:
        raise Refused(EntryOutcome.MALFORMED, f"decide APPROVED, REJECTED or SUSPENDED, with a note of at most {_MAX_NOTE} characters")
    if "/" in body.name:
        if body.documents:
            raise Refused(EntryOutcome.MALFORMED, "documents are for members and clusters, not for a new epoch")
        _decide_epoch(draft, body, at)
        return
    member, cluster = stored_member(draft, body.name), stored_cluster(draft, body.name)
    if member is None and cluster is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no member and no cluster {body.name[:60]!r}")
    if member is not None and cluster is not None and cluster.provider != body.name:
        cluster = None  # registered before the member enrolled: a word on a member is never one on somebody else's cluster
    check_read(draft, body, body.name if cluster is None else cluster.provider)
    steps = [
        member is not None and _decide_member(draft, caller, body, member=member, at=at),
        cluster is not None and _decide_cluster(draft, caller, body, cluster=cluster, at=at),
    ]
    if not any(steps):
        standing = [f"member: {member.vetting}"] if member is not None else []
        standing += [f"cluster: {cluster.vetting}"] if cluster is not None else []
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"{body.name} ({', '.join(standing)}) cannot become {body.vetting}")


def is_vetted(view: StateView, role: Role) -> bool:
    """True if the network lets nobody of this role take part before an admin has approved it. Admins let each other in."""
    asked = {Role.PROVIDER: "vet_providers", Role.USER: "vet_users"}.get(role)
    return asked is not None and bool(parameter(view, "vet_members") or parameter(view, asked))


def suspend_clusters_of(draft: Draft, member: str, *, admin: str, at: Instant) -> None:
    """The clusters of a member that ends take part no longer."""
    for name, cluster in clusters_of(draft, member).items():
        if cluster.vetting is not Vetting.SUSPENDED:
            decision = Decision(name=name, vetting=Vetting.SUSPENDED, note="its provider was revoked")
            _set_cluster(draft, decision, cluster, admin=admin, at=at)


def clusters_of(draft: Draft, member: str) -> dict[str, StoredCluster]:
    """The clusters of a member, in order of their names."""
    found = {key.removeprefix("cluster/"): decode_stored(StoredCluster, data) for key, data in scan_all(draft, "cluster/")}
    return {name: cluster for name, cluster in found.items() if cluster.provider == member}


def _decide_epoch(draft: Draft, body: Decision, at: Instant) -> None:
    try:
        submitter = parse_submitter(body.name)
    except ValueError as error:
        raise Refused(EntryOutcome.MALFORMED, str(error)) from error
    signer = signer_of(draft, submitter, at)
    if signer is None or signer.status is KeyStatus.REVOKED:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no installation {submitter}, or it is revoked")
    if body.vetting is not Vetting.APPROVED:
        raise Refused(EntryOutcome.MALFORMED, "a waiting epoch can only be approved; to stop the installation, revoke it")
    approve_epoch(draft, submitter, role=signer.caller.role, at=at)
    draft.tell(EventType.VETTING_CHANGED, submitter.member, subject=body.name, body=encode_word(body))


def _decide_member(draft: Draft, caller: Caller, body: Decision, *, member: StoredMember, at: Instant) -> bool:
    if body.vetting not in STEPS[member.vetting] or member.revoked:
        return False
    if member.role is Role.SYSTEM_NODE or body.name == caller.member:
        raise Refused(EntryOutcome.NOT_PERMITTED, "nobody decides on itself, or on a system node")
    _check_enough_read(draft, body, member)
    decided = StoredMember(
        role=member.role, vetting=body.vetting, revoked=False, attributes=member.attributes, enrolled_at=member.enrolled_at
    )
    draft.put(f"member/{body.name}", encode_stored(decided))
    keep_decision(draft, body, admin=caller.member, at=at, member=body.name)
    if body.vetting is not Vetting.APPROVED:
        for cluster in clusters_of(draft, body.name):
            end_rentals_of(draft, cluster, at)
        end_rentals_of_member(draft, body.name, at)
    draft.tell(EventType.VETTING_CHANGED, body.name, subject=body.name, body=encode_word(body))
    return True


def _check_enough_read(draft: Draft, body: Decision, member: StoredMember) -> None:
    """A network may want that nobody is let in before so many documents were read."""
    least = parameter(draft, "vet_documents") if is_vetted(draft, member.role) else 0
    if member.vetting is Vetting.PENDING and body.vetting is Vetting.APPROVED and len(body.documents) < least:
        raise Refused(
            EntryOutcome.ILLEGAL_TRANSITION,
            f"to approve a member, name at least {least} documents that you have read (vet_documents); {len(body.documents)} are named",
        )


def _decide_cluster(draft: Draft, caller: Caller, body: Decision, *, cluster: StoredCluster, at: Instant) -> bool:
    if body.vetting not in STEPS[cluster.vetting]:
        return False
    provider = stored_member(draft, cluster.provider)
    if provider is None or provider.revoked:
        raise Refused(EntryOutcome.NOT_APPROVED, f"the provider of cluster {body.name} is revoked")
    _set_cluster(draft, body, cluster, admin=caller.member, at=at)
    return True


def _set_cluster(draft: Draft, decision: Decision, cluster: StoredCluster, *, admin: str, at: Instant) -> None:
    decided = StoredCluster(provider=cluster.provider, vetting=decision.vetting, registered_at=cluster.registered_at)
    draft.put(f"cluster/{decision.name}", encode_stored(decided))
    keep_decision(draft, decision, admin=admin, at=at, cluster=decision.name)
    if decision.vetting is not Vetting.APPROVED:
        end_rentals_of(draft, decision.name, at)
    draft.tell(EventType.VETTING_CHANGED, cluster.provider, subject=decision.name, body=encode_word(decision))
