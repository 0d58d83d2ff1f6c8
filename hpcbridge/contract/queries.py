# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the state for a caller: every function with a caller checks Table 1 and who may see what, then returns words and records.

A refusal comes as `Refused` with NOT_PERMITTED or NOT_FOUND. What a caller may not see is answered as if it were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcbridge.contract.access import Kind, Query, Relation, Share, check_query, may_see, share_of, stored_cluster
from hpcbridge.contract.documents import decisions_on, documents_of
from hpcbridge.contract.epochs import awaits_approval
from hpcbridge.contract.jobrecords import decode_job, is_open
from hpcbridge.contract.jobs import highest_incarnation, job_key, watched_key
from hpcbridge.contract.market import rental_name, stored_rental
from hpcbridge.contract.members import installation_record
from hpcbridge.contract.parameters import all_parameters
from hpcbridge.contract.records import (
    ClusterRecord,
    GapRecord,
    InstallationRecord,
    MemberRecord,
    StoredCluster,
    StoredInstallation,
    StoredMember,
    decode_stored,
    decode_word,
)
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import StateView, prefix_end, scan_all
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import ClusterState, Registration
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.jobs import Job
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import NodeChange

MAX_PAGE = 1000
MAX_CLUSTERS = 32
"""Clusters read for one page: a single one, with its sample, may be as large as two envelopes."""
MAX_PAGES_READ = 20
"""Of MAX_PAGE records each, for one page of answers: who looks for few among many must come back for more."""


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs of a cluster, perhaps none; pass `next` as `after` for more, empty at the end."""

    jobs: tuple[Job, ...]
    next: str


def members(view: StateView, caller: Caller, *, at: Instant, after: str = "", limit: int = MAX_PAGE) -> tuple[MemberRecord, ...]:
    """Members by name, for those who may see all."""
    check_query(caller, Query.LIST_ALL_USERS)
    rows = _rows(view, "member/", after, limit=limit)
    return tuple(_member(view, key.removeprefix("member/"), decode_stored(StoredMember, data), at=at) for key, data in rows)


def member(view: StateView, caller: Caller, name: str, *, at: Instant) -> MemberRecord:
    """One member's record: its own, or anybody's for those who may see all."""
    check_query(caller, Query.GET_USER_DETAIL)
    stored = stored_member(view, name) if may_see(caller, Kind.MEMBER, name) else None
    if stored is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no member {name[:60]!r} that {caller.member} may see")
    return _member(view, name, stored, at=at)


def clusters(view: StateView, caller: Caller, *, after: str = "", limit: int = MAX_CLUSTERS) -> tuple[ClusterRecord, ...]:
    """Clusters the caller may see, by name."""
    share = check_query(caller, Query.LIST_ALL_HPC_SYSTEMS)
    if share is Share.OWN:
        names = [name for name in _own_clusters(view, caller) if name > after][:limit]
        return tuple(_cluster(view, name, _visible_cluster(view, caller, name, kind=Kind.CLUSTER)) for name in names)
    rows = _rows(view, "cluster/", after, limit=limit)
    return tuple(_cluster(view, key.removeprefix("cluster/"), decode_stored(StoredCluster, data)) for key, data in rows)


def cluster(view: StateView, caller: Caller, name: str) -> ClusterRecord:
    """One cluster."""
    check_query(caller, Query.GET_HPC_SYSTEM_DETAIL)
    return _cluster(view, name, _visible_cluster(view, caller, name, kind=Kind.CLUSTER))


def jobs(view: StateView, caller: Caller, cluster: str, *, open_only: bool = False, after: str = "", limit: int = MAX_PAGE) -> JobPage:
    """Jobs of a cluster in order of key, each incarnation by itself; with `open_only` those not ended. A user's: of its rentals."""
    check_query(caller, Query.LIST_JOBS)
    owners = _visible_owners(view, caller, cluster)
    prefix = f"job/{cluster}/"
    start = f"{prefix}{after}\0" if after else prefix
    limit = max(1, min(limit or MAX_PAGE, MAX_PAGE))
    found: list[Job] = []
    for _ in range(MAX_PAGES_READ):
        rows = view.scan(start, prefix_end(prefix), MAX_PAGE)
        for key, record in rows:
            if open_only and not is_open(record):
                continue
            job = decode_job(record)
            if owners is not None and job.owner not in owners:
                continue
            found.append(job)
            if len(found) == limit:
                return JobPage(tuple(found), key.removeprefix(prefix))
        if len(rows) < MAX_PAGE:
            return JobPage(tuple(found), "")
        start = f"{rows[-1][0]}\0"
    return JobPage(tuple(found), rows[-1][0].removeprefix(prefix))


def job(view: StateView, caller: Caller, cluster: str, job_id: str, *, incarnation: int = 0) -> Job:
    """One run of a job; incarnation 0 is the highest on record."""
    check_query(caller, Query.GET_JOB)
    owners = _visible_owners(view, caller, cluster)
    record = view.get(job_key(cluster, job_id, incarnation or highest_incarnation(view, cluster, job_id)))
    found = None if record is None else decode_job(record)
    if found is None or (owners is not None and found.owner not in owners):
        raise Refused(EntryOutcome.NOT_FOUND, f"no job {job_id[:130]!r} of cluster {cluster} is on record")
    return found


def nodes(view: StateView, caller: Caller, cluster: str, *, after: str = "", limit: int = MAX_PAGE) -> tuple[NodeChange, ...]:
    """Last word on each node of a cluster, by name."""
    check_query(caller, Query.LIST_NODES)
    _visible_cluster(view, caller, cluster, kind=Kind.CLUSTER)
    return tuple(decode_word(NodeChange, data) for _, data in _rows(view, f"node/{cluster}/", after, limit=limit))


def gaps(view: StateView, caller: Caller, cluster: str = "", *, after: str = "", limit: int = MAX_PAGE) -> tuple[GapRecord, ...]:
    """Reported gaps of one cluster, or of all the caller may see, by cluster and entry. `after` is what `gap_place` gives."""
    share = check_query(caller, Query.LIST_GAPS)
    if cluster:
        _visible_cluster(view, caller, cluster, kind=Kind.CLUSTER)
        prefixes = [f"gap/{cluster}/"]
    else:
        prefixes = [f"gap/{name}/" for name in _own_clusters(view, caller)] if share is Share.OWN else ["gap/"]
    found: list[GapRecord] = []
    for prefix in prefixes:
        start = max(prefix, f"gap/{after}\0")
        found += [decode_word(GapRecord, data) for _, data in view.scan(start, prefix_end(prefix), limit - len(found))]
        if len(found) >= limit:
            break
    return tuple(found)


def gap_place(gap: GapRecord) -> str:
    """Where a gap stands among all."""
    return f"{gap.gap.cluster}/{gap.index:015d}"


def parameters(view: StateView, caller: Caller) -> tuple[tuple[str, int], ...]:
    """Network parameters in force, by name."""
    check_query(caller, Query.GET_PARAMETERS)
    return all_parameters(view)


def watched_jobs(view: StateView, caller: Caller, cluster: str) -> tuple[str, ...]:
    """Ids of the jobs somebody asked the provider of a cluster to follow."""
    check_query(caller, Query.LIST_JOBS)
    _visible_cluster(view, caller, cluster, kind=Kind.JOB)
    prefix = watched_key(cluster, "")
    return tuple(key.removeprefix(prefix) for key, _ in scan_all(view, prefix))


def _rows(view: StateView, prefix: str, after: str, *, limit: int) -> Sequence[tuple[str, bytes]]:
    return view.scan(f"{prefix}{after}\0" if after else prefix, prefix_end(prefix), limit)


def _own_clusters(view: StateView, caller: Caller) -> list[str]:
    stored = scan_all(view, "cluster/")
    return [key.removeprefix("cluster/") for key, data in stored if decode_stored(StoredCluster, data).provider == caller.member]


def _member(view: StateView, name: str, stored: StoredMember, *, at: Instant) -> MemberRecord:
    prefix = f"installation/{name}/"
    installations = tuple(
        _installation(view, Submitter(name, key.removeprefix(prefix)), decode_stored(StoredInstallation, data), role=stored.role, at=at)
        for key, data in scan_all(view, prefix)
    )
    return MemberRecord(
        name=name,
        role=stored.role,
        vetting=stored.vetting,
        revoked=stored.revoked,
        attributes=stored.attributes,
        installations=installations,
        enrolled_at=stored.enrolled_at,
        documents=documents_of(view, name),
        decisions=decisions_on(view, member=name),
    )


def _installation(view: StateView, submitter: Submitter, stored: StoredInstallation, *, role: Role, at: Instant) -> InstallationRecord:
    waits = not stored.revoked and awaits_approval(view, submitter, role=role, at=at)
    return installation_record(submitter.installation, stored, awaits_approval=waits)


def _cluster(view: StateView, name: str, stored: StoredCluster) -> ClusterRecord:
    registration, sample, heard = view.get(f"registration/{name}"), view.get(f"clusterstate/{name}"), view.get(f"heard/{name}")
    if registration is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"cluster {name} has no registration")
    return ClusterRecord(
        registration=decode_word(Registration, registration),
        provider=stored.provider,
        vetting=stored.vetting,
        registered_at=stored.registered_at,
        state=None if sample is None else decode_word(ClusterState, sample[8:]),
        heard_at=None if heard is None else int.from_bytes(heard, "big"),
        decisions=decisions_on(view, cluster=name),
    )


def _visible_owners(view: StateView, caller: Caller, cluster: str) -> frozenset[str] | None:
    """Whose jobs of a cluster the caller may see: None for all; for a user the usernames it rented there, ended rentals included."""
    if caller.role is Role.USER and share_of(caller, Query.LIST_JOBS) is Share.OWN:
        prefix = f"memberrental/{caller.member}/"
        names = (rental_name(int(key.removeprefix(prefix))) for key, _ in scan_all(view, prefix))
        rentals = [rental for name in names if (rental := stored_rental(view, name)) is not None and rental.cluster == cluster]
        if rentals:
            return frozenset(rental.username for rental in rentals)
    _visible_cluster(view, caller, cluster, kind=Kind.JOB)
    return None


def _visible_cluster(view: StateView, caller: Caller, name: str, *, kind: Kind) -> StoredCluster:
    stored = stored_cluster(view, name)
    if stored is None or not may_see(caller, kind, stored.provider, owner_is=Relation.PROVIDER):
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no cluster {name[:60]!r} that {caller.member} may see")
    return stored
