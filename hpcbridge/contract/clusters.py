# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Clusters: registration, samples of their state, availability of their nodes, and gaps in what was told of them.

Bodies come from strangers, so every value is checked. A sample that is older than the one on record is refused; node changes count in the
order of the submitter's numbers, because no clock may decide about what must not be lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from hpcbridge.contract.access import stored_cluster
from hpcbridge.contract.queueoffers import compare_queues, hardware_fault, note_offer, queues_fault, rates_fault
from hpcbridge.contract.records import GapRecord, StoredCluster, decode_word, encode_stored, encode_word
from hpcbridge.contract.sealingkeys import SEALING_KEY_BYTES, is_sealing_key
from hpcbridge.contract.seed import stir
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import Draft
from hpcbridge.contract.versions import has_market
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import ClusterState, Queue, Registration, Vetting
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.jobs import MAX_BYTES, MAX_COUNT
from hpcbridge.model.quantities import MAX_INSTANT, Instant, check_name
from hpcbridge.model.transactions import Gap, NodeChange, NodeChanges

Outcomes = tuple[tuple[EntryOutcome, ...], tuple[str, ...]]
"""One outcome for each item, and one sentence for each refused one."""

MAX_CLUSTERS = 64
"""Clusters of one member, whatever an admin decided of them: a name once taken stays taken."""
_NODE_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.:-]{0,254}\Z")
_LOGIN_ADDRESS = re.compile(r"[\x21-\x7e]{1,255}\Z")
_MAX_UTILIZATION = 1_000_000
_ACTIVE = frozenset({Vetting.PENDING, Vetting.APPROVED})


def register(draft: Draft, caller: Caller, body: Registration, at: Instant) -> None:
    """Registers a cluster (which then waits for an admin) or updates it (which changes nothing about that)."""
    _check(_registration_fault(body, lowest_rate=1 if has_market(draft) else 0))
    cluster = stored_cluster(draft, body.cluster)
    if cluster is None:
        _check_new(draft, caller, body.cluster)
        entered = StoredCluster(provider=caller.member, vetting=Vetting.PENDING, registered_at=at)
        draft.put(f"cluster/{body.cluster}", encode_stored(entered))
    else:
        _check_active(body.cluster, cluster)
    encoded = encode_word(body)
    heard_from(draft, body.cluster, at)
    if draft.get(f"registration/{body.cluster}") != encoded:
        note_offer(draft, body)
        draft.put(f"registration/{body.cluster}", encoded)
        draft.tell(EventType.CLUSTER_REGISTERED, caller.member, subject=body.cluster, body=encoded)


def sample(draft: Draft, caller: Caller, body: ClusterState, at: Instant) -> None:
    """Takes a sample of a cluster's state unless a younger one is on record."""
    _check(_sample_fault(body))
    active_cluster(draft, body.cluster)
    encoded = encode_word(body)
    key = f"clusterstate/{body.cluster}"
    stored = draft.get(key)
    # a clock that once was years ahead must not make every later sample old
    moment = min(body.observed_at, at)
    if stored is not None:
        if stored[8:] == encoded:
            return
        if moment < int.from_bytes(stored[:8], "big"):
            raise Refused(EntryOutcome.STALE, f"a younger sample of cluster {body.cluster} is on record")
    draft.put(key, moment.to_bytes(8, "big") + encoded)
    heard_from(draft, body.cluster, at)
    draft.tell(EventType.CLUSTER_STATE, caller.member, subject=body.cluster, body=encoded)
    if has_market(draft):
        stir(draft, encoded)
        compare_queues(draft, caller.member, body)


def change_nodes(draft: Draft, caller: Caller, body: NodeChanges, at: Instant) -> Outcomes:
    """Takes the availability of nodes, each by itself; what is on record already makes no event."""
    active_cluster(draft, body.cluster)
    outcomes: list[EntryOutcome] = []
    reasons: list[str] = []
    for change in body.changes:
        fault = _node_fault(change)
        if fault:
            outcomes.append(EntryOutcome.MALFORMED)
            reasons.append(fault)
            continue
        outcomes.append(EntryOutcome.ACCEPTED)
        key = f"node/{body.cluster}/{change.node}"
        stored = draft.get(key)
        encoded = encode_word(change)
        if stored == encoded:
            continue
        draft.put(key, encoded)
        if stored is None or _told(decode_word(NodeChange, stored)) != _told(change):
            draft.tell(EventType.NODE_CHANGED, caller.member, subject=f"{body.cluster}/{change.node}", body=encoded)
    heard_from(draft, body.cluster, at)
    return tuple(outcomes), tuple(reasons)


def report_gap(draft: Draft, caller: Caller, body: Gap, at: Instant) -> None:
    """The agent says what it could not keep or observe."""
    record_gap(draft, caller, body, at)
    heard_from(draft, body.cluster, at)


def record_gap(draft: Draft, caller: Caller, gap: Gap, at: Instant) -> None:
    """Puts a gap on record under the entry that told it."""
    _check(_gap_fault(gap))
    record = GapRecord(gap=gap, index=draft.index, at=at)
    draft.put(f"gap/{gap.cluster}/{draft.index:015d}", encode_word(record))
    draft.tell(EventType.GAP_REPORTED, caller.member, subject=gap.cluster, body=encode_word(gap))


def active_cluster(draft: Draft, name: str) -> StoredCluster:
    """The cluster, if its updates are taken; Refused(NOT_FOUND or NOT_APPROVED) if not."""
    cluster = stored_cluster(draft, name)
    if cluster is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"cluster {name} is not registered")
    _check_active(name, cluster)
    return cluster


def heard_from(draft: Draft, name: str, at: Instant) -> None:
    """Notes that the ledger heard of a cluster now."""
    draft.put(f"heard/{name}", at.to_bytes(8, "big"))


def _check_new(draft: Draft, caller: Caller, name: str) -> None:
    """An admin decides by name alone, so a cluster never has another member's; and no provider fills the ledger with clusters."""
    if name != caller.member and stored_member(draft, name) is not None:
        raise Refused(EntryOutcome.ALREADY_EXISTS, f"{name} is the name of another member", hint="choose another name for the cluster")
    key = f"clustercount/{caller.member}"
    stored = draft.get(key)
    count = 1 + (0 if stored is None else int.from_bytes(stored, "big"))
    if count > MAX_CLUSTERS:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"{caller.member} has {MAX_CLUSTERS} clusters, which is the most a member may have")
    draft.put(key, count.to_bytes(8, "big"))


def _check_active(name: str, cluster: StoredCluster) -> None:
    if cluster.vetting not in _ACTIVE:
        raise Refused(EntryOutcome.NOT_APPROVED, f"cluster {name} is {cluster.vetting}", hint="ask an admin of the network")


def _check(fault: str) -> None:
    if fault:
        raise Refused(EntryOutcome.MALFORMED, fault)


def _registration_fault(body: Registration, *, lowest_rate: int) -> str:
    try:
        check_name("cluster", body.cluster)
    except ValueError as error:
        return str(error)
    if not _LOGIN_ADDRESS.match(body.login_address):
        return "login_address: 1 to 255 printable characters without spaces"
    latitude, longitude = body.latitude_microdegrees, body.longitude_microdegrees
    if (latitude is None) is not (longitude is None):
        return "latitude and longitude: both or neither"
    if latitude is not None and longitude is not None and (abs(latitude) > 90_000_000 or abs(longitude) > 180_000_000):
        return f"{latitude}, {longitude} micro-degrees is no place on Earth"
    names = [(program.name, program.version) for program in body.programs]
    if len(dict.fromkeys(names)) != len(names) or len(names) > 1000:
        return "programs: doubled, or more than 1000"
    for name, version in names:
        if not 1 <= len(name) <= 64 or len(version) > 64:
            return f"program {name[:64]!r} {version[:64]!r}: names have 1 to 64 characters, versions at most 64"
    if body.sealing_key and not is_sealing_key(body.sealing_key):
        return f"sealing_key: {SEALING_KEY_BYTES} bytes of an X25519 key, or none"
    return rates_fault(body.rates, lowest=lowest_rate) or queues_fault(body.queues)


def _sample_fault(body: ClusterState) -> str:
    if not 0 <= body.observed_at <= MAX_INSTANT:
        return f"observed_at {body.observed_at} is out of range"
    if not _counts(body.nodes_total, body.nodes_up, body.cores_total, body.cores_used):
        return "a count is out of range"
    if body.utilization is not None and not 0 <= body.utilization <= _MAX_UTILIZATION:
        return f"utilization {body.utilization} is out of range"
    if len({queue.name for queue in body.queues}) != len(body.queues):
        return "a queue is named twice"
    for queue in body.queues:
        if queue.cluster != body.cluster or not _queue_is_sound(queue):
            return f"queue {queue.name[:64]!r} is of another cluster or has a value out of range"
    scheduler, frontend = body.scheduler, body.frontend
    if scheduler is not None and (not 1 <= len(scheduler.name) <= 64 or len(scheduler.version or "") > 64):
        return "scheduler: name of 1 to 64 characters, version of at most 64"
    if frontend is not None and not (_counts(frontend.load_hundredths) and _within(frontend.memory_used_bytes, MAX_BYTES)):
        return "frontend: a figure is out of range"
    return hardware_fault(body)


def _queue_is_sound(queue: Queue) -> bool:
    figures = (queue.cores_total, queue.cores_used, queue.cores_available, queue.gpus_total, queue.gpus_used)
    limits = (queue.jobs_queued, queue.jobs_running, queue.max_cores, queue.max_walltime_seconds)
    return 1 <= len(queue.name) <= 64 and _counts(*figures, *limits) and _are_node_names(queue.nodes)


def _node_fault(change: NodeChange) -> str:
    if not _NODE_NAME.match(change.node):
        return f"node {change.node[:60]!r} is not a node name"
    if len(change.native_state) > 256 or len(change.reason or "") > 256:
        return f"node {change.node[:60]}: native_state or reason is longer than 256 characters"
    if not 0 <= change.observed_at <= MAX_INSTANT:
        return f"node {change.node[:60]}: observed_at {change.observed_at} is out of range"
    return ""


def _told(change: NodeChange) -> tuple[str, str, str | None]:
    return change.availability, change.native_state, change.reason


def _gap_fault(gap: Gap) -> str:
    if not 0 <= gap.since_at <= gap.until_at <= MAX_INSTANT:
        return "a gap begins before it ends, both after 1970"
    if not _counts(gap.count) or len(gap.reason) > 256:
        return "a gap's count is out of range or its reason longer than 256 characters"
    return ""


def _are_node_names(names: Iterable[str]) -> bool:
    return all(_NODE_NAME.match(name) for name in names)


def _counts(*values: int | None) -> bool:
    return all(value is None or 0 <= value < MAX_COUNT for value in values)


def _within(value: int | None, highest: int) -> bool:
    return value is None or 0 <= value <= highest
