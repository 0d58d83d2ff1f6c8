# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs: every transition is computed from the ledger's own record and what the agent observed, never from what it says has changed.

A job's own order (how often it went back to the queue, then its phase) decides before any clock does: a step forward is always taken;
only what is no step forward is refused as STALE when a younger observation is on record. END is final, with two exceptions: what was
LOST may be corrected, and what was unknown at the end may be filled in.
"""

from __future__ import annotations

import re
from typing import Any

from hpcbridge.contract.access import stored_cluster
from hpcbridge.contract.clusters import Outcomes, active_cluster, heard_from
from hpcbridge.contract.jobrecords import (
    ARRAY_PENDING,
    END,
    FIELDS,
    HEAD,
    HEAD_BYTES,
    NATIVE_STATE,
    NO_PHASE,
    NODES,
    OUTCOME,
    OWNER,
    PHASE_OF_STATE,
    QUEUE,
    REASON,
    RESTARTS,
    RUN,
    STATE_CODES,
    decode_fields,
    encode_fields,
    fields_of,
    state_of,
)
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.records import encode_word
from hpcbridge.contract.state import Draft, StateView
from hpcbridge.contract.usage import Tenants
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.jobs import TEXT_LIMITS, Job, JobState, Outcome
from hpcbridge.model.quantities import MAX_INSTANT, Instant
from hpcbridge.model.transactions import JobChange, JobChanges, JobWatch, Tick

VANISHED = "vanished"
"""Reason of an UNDETERMINED job that neither the queue nor accounting knows; it is given up after lost_after_ms."""
MAX_INCARNATION = 99_999_999
MAX_LOST_AT_ONCE = 500
"""Most jobs that one tick gives up; the next tick goes on."""
MAX_TENANT_WATCHES = 1000
"""Jobs of one account that may be asked for by name; all of them are followed anyway."""
PENDING_RANGE = "_[]"
"""End of the id under which an array's members that still wait are one record."""

_JOB_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+%,:\[\]-]{0,127}\Z")
_UNDETERMINED = STATE_CODES[JobState.UNDETERMINED]
_FAILED = STATE_CODES[JobState.FAILED]
_REQUEUED = frozenset({STATE_CODES[JobState.REQUEUED], STATE_CODES[JobState.REQUEUED_HELD]})
_KEPT_AT_END = frozenset({NATIVE_STATE, REASON})
"""Words about an end, which two sources spell in two ways; the first one stays."""


def change_jobs(draft: Draft, caller: Caller, body: JobChanges, at: Instant) -> Outcomes:
    """Takes what was observed of jobs, each by itself."""
    cluster = body.cluster
    active_cluster(draft, cluster)
    provider = caller.member
    outcomes: list[EntryOutcome] = []
    reasons: list[str] = []
    tenants = Tenants(draft, cluster)
    for change in body.changes:
        try:
            _change(draft, provider, cluster, change=change, tenants=tenants, at=at)
        except Refused as refusal:
            outcomes.append(EntryOutcome(refusal.code))
            reasons.append(refusal.reason)
        else:
            outcomes.append(EntryOutcome.ACCEPTED)
    tenants.save()
    heard_from(draft, cluster, at)
    return tuple(outcomes), tuple(reasons)


def watch(draft: Draft, _caller: Caller, body: JobWatch, _at: Instant) -> None:
    """Asks the provider of a cluster to follow a job, whoever owns it or if its owner is the one named; asking again changes nothing."""
    if not _JOB_ID.match(body.job_id) or len(body.owner) > TEXT_LIMITS["owner"]:
        raise Refused(EntryOutcome.MALFORMED, f"job_id {body.job_id[:60]!r} is not an id, or the owner no name")
    cluster = active_cluster(draft, body.cluster)
    key = f"tenantwatch/{body.cluster}/{body.owner}/{body.job_id}" if body.owner else watched_key(body.cluster, body.job_id)
    if draft.get(key) is None:
        if body.owner:
            _count_watch(draft, body)
        draft.put(key, b"")
        subject = f"{body.cluster}/{body.job_id}"
        draft.tell(EventType.JOB_WATCHED, cluster.provider, subject=subject, body=encode_word(body))


def tick(draft: Draft, _caller: Caller, _body: Tick, at: Instant) -> None:
    """The ledger's clock: gives up the jobs whose time has come."""
    draft.put("ledger/tick", at.to_bytes(8, "big"))
    for key, job_at in draft.scan("lostdue/", f"lostdue/{at + 1:015d}", MAX_LOST_AT_ONCE):
        draft.remove(key)
        _give_up(draft, job_at.decode(), at)


def next_deadline(view: StateView) -> Instant | None:
    """When the next tick is due earlier than the usual one; None if nothing waits for a time."""
    rows = view.scan("lostdue/", "lostdue0", 1)
    return int(rows[0][0].split("/")[1]) if rows else None


def job_key(cluster: str, job_id: str, incarnation: int) -> str:
    """Where one run of a job stands in the state."""
    return f"job/{cluster}/{job_id}/{incarnation:08d}"


def watched_key(cluster: str, job_id: str) -> str:
    """Where a watched job stands."""
    return f"watch/{cluster}/{job_id}"


def highest_incarnation(view: StateView, cluster: str, job_id: str) -> int:
    """The highest incarnation on record if it is above 1; 1 if it is not, or if the job is unknown."""
    stored = view.get(f"incarnation/{cluster}/{job_id}")
    return 1 if stored is None else int.from_bytes(stored, "big")


def _count_watch(draft: Draft, body: JobWatch) -> None:
    """Each new one is an event for the provider and stays on record, so a tenant has not endlessly many."""
    key = f"watchcount/{body.cluster}/{body.owner}"
    stored = draft.get(key)
    count = 1 + (0 if stored is None else int.from_bytes(stored, "big"))
    if count > MAX_TENANT_WATCHES:
        raise Refused(EntryOutcome.TOO_MANY, f"{MAX_TENANT_WATCHES} jobs of {body.owner} were asked for, which is the most of one account")
    draft.put(key, count.to_bytes(8, "big"))


def _change(draft: Draft, provider: str, cluster: str, *, change: JobChange, tenants: Tenants, at: Instant) -> None:
    job = change.job
    _check_item(job, cluster, change.observed_at)
    key = f"job/{cluster}/{job.job_id}/{job.incarnation:08d}"
    state = STATE_CODES[job.state]
    fields = fields_of(job)
    # the agent's clock may have been ahead; the ledger's time bounds what counts as younger
    observed = min(at, change.observed_at)
    old = draft.get(key)
    if old is None:
        _begin(draft, job)
        previous, known, old_due = NO_PHASE, PHASE_OF_STATE[state], 0
        encoded = encode_fields(fields)
    else:
        old_state, previous, old_observed, old_due = HEAD.unpack_from(old)
        encoded = encode_fields(fields)
        if state == old_state and encoded == old[HEAD_BYTES:]:
            if observed > old_observed:
                draft.put(key, HEAD.pack(state, previous, observed, old_due) + encoded)
            return
        old_fields = decode_fields(old[HEAD_BYTES:])
        younger = observed >= old_observed
        taken = tenants.owner_stays(old_fields[OWNER], _next_fields(old, fields, old_fields=old_fields, job=job, younger=younger))
        if taken is not fields:
            fields, encoded = taken, encode_fields(taken)
            if state == old_state and encoded == old[HEAD_BYTES:]:
                return
        known = PHASE_OF_STATE[state] or previous
        observed = max(observed, old_observed)
    due = 0
    if state == _UNDETERMINED or old_due:
        due = _schedule(draft, key, job=job, old_due=old_due, at=at)
    record = HEAD.pack(state, known, observed, due) + encoded
    draft.put(key, record)
    draft.tell(
        EventType.JOB_CHANGED, provider, subject=f"{cluster}/{job.job_id}#{job.incarnation}", body=previous.to_bytes(1, "big") + record
    )
    tenant = tenants.of(fields[OWNER])
    if tenant is not None:
        tenants.change(tenant, record, previous=previous, at=at)


def _check_item(job: Job, cluster: str, observed_at: Instant) -> None:
    if job.cluster != cluster:
        raise Refused(EntryOutcome.MALFORMED, f"job {job.job_id} is of cluster {job.cluster[:60]!r}, the body of {cluster}")
    if job.incarnation is None or not 1 <= job.incarnation <= MAX_INCARNATION:
        raise Refused(EntryOutcome.MALFORMED, f"job {job.job_id} has no incarnation from 1 to {MAX_INCARNATION}")
    if not 0 <= observed_at <= MAX_INSTANT:
        raise Refused(EntryOutcome.MALFORMED, f"job {job.job_id}: observed_at {observed_at} is out of range")
    if job.array_pending is None:
        if job.job_id.endswith(PENDING_RANGE):
            raise Refused(EntryOutcome.MALFORMED, f"job {job.job_id}: a pending range has array_pending")
    elif job.job_id != f"{job.array_job_id}{PENDING_RANGE}":
        raise Refused(EntryOutcome.MALFORMED, f"job {job.job_id}: a pending range is named <array_job_id>{PENDING_RANGE}")
    elif PHASE_OF_STATE[STATE_CODES[job.state]] in (RUN, END):
        raise Refused(
            EntryOutcome.ILLEGAL_TRANSITION, f"pending range {job.job_id} cannot become {job.state}; it leaves with array_pending 0"
        )
    if job.outcome is Outcome.LOST:
        raise Refused(
            EntryOutcome.ILLEGAL_TRANSITION, f"job {job.job_id} cannot become LOST by an agent's word; only the contract gives up"
        )


def _begin(draft: Draft, job: Job) -> None:
    incarnation = job.incarnation or 1
    highest = highest_incarnation(draft, job.cluster, job.job_id)
    if incarnation < highest:
        raise Refused(
            EntryOutcome.ILLEGAL_TRANSITION, f"job {job.job_id} has incarnation {highest} on record; {incarnation} cannot begin after it"
        )
    if incarnation > 1:
        draft.put(f"incarnation/{job.cluster}/{job.job_id}", incarnation.to_bytes(8, "big"))


def _next_fields(old: bytes, fields: tuple[Any, ...], *, old_fields: list[Any], job: Job, younger: bool) -> tuple[Any, ...]:
    """The fields to put on record; raises Refused if the record cannot go on like this."""
    old_phase = old[1]
    if old_phase == END:
        return _late(old, old_fields, fields, job=job)
    state, phase = STATE_CODES[job.state], PHASE_OF_STATE[STATE_CODES[job.state]]
    old_restarts, restarts = old_fields[RESTARTS] or 0, fields[RESTARTS]
    if restarts is None:
        restarts = old_restarts
    elif restarts < old_restarts:
        raise _illegal(old, job, f"its restarts fall from {old_restarts} to {restarts}")
    if old_phase == RUN and phase == QUEUE and state not in _REQUEUED and restarts == old_restarts:
        raise _illegal(old, job, "a running job waits again only by a requeue")
    if old_fields[ARRAY_PENDING] == 0:
        raise _illegal(old, job, "this pending range is empty and has left")
    if not younger and (restarts, phase) <= (old_restarts, old_phase) and not _shrinks(old_fields, fields):
        raise Refused(EntryOutcome.STALE, f"job {job.job_id}: a younger observation is on record")
    if fields[RESTARTS] is None and old_fields[RESTARTS] is not None:
        return (*fields[:RESTARTS], restarts, *fields[RESTARTS + 1 :])
    return fields


def _late(old: bytes, old_fields: list[Any], fields: tuple[Any, ...], *, job: Job) -> tuple[Any, ...]:
    """What comes after an end: an outcome for what was LOST, or values that were unknown."""
    if not job.state.ended:
        raise _illegal(old, job, "an end is final")
    if old_fields[OUTCOME] == Outcome.LOST:
        if (fields[RESTARTS] or 0) < (old_fields[RESTARTS] or 0) and fields[RESTARTS] is not None:
            raise _illegal(old, job, f"its restarts fall from {old_fields[RESTARTS]} to {fields[RESTARTS]}: an earlier run ended like that")
        return tuple([new if _is_known(new) else was for was, new in zip(old_fields, fields, strict=True)])
    if old_fields[OUTCOME] != job.outcome:
        raise _illegal(old, job, f"its outcome is {old_fields[OUTCOME]}, not {job.outcome}")
    for place, (was, new) in enumerate(zip(old_fields, fields, strict=True)):
        known_differently = _is_known(was) and _is_known(new) and was != (list(new) if place == NODES else new)
        if known_differently and place not in _KEPT_AT_END:
            raise _illegal(old, job, f"its {FIELDS[place]} is on record and is not {str(new)[:60]!r}")
    return tuple([was if _is_known(was) else new for was, new in zip(old_fields, fields, strict=True)])


def _schedule(draft: Draft, key: str, *, job: Job, old_due: Instant, at: Instant) -> Instant:
    """Arms or disarms the giving up of a job; returns the time that stands now, 0 for none. The first time stays."""
    vanished = job.state is JobState.UNDETERMINED and job.reason == VANISHED
    place = key.removeprefix("job/")
    if vanished and not old_due:
        due = at + parameter(draft, "lost_after_ms")
        draft.put(f"lostdue/{due:015d}/{place}", key.encode())
        return due
    if old_due and not vanished:
        draft.remove(f"lostdue/{old_due:015d}/{place}")
        return 0
    return old_due


def _give_up(draft: Draft, key: str, at: Instant) -> None:
    old = draft.get(key)
    if old is None or old[1] == END:
        return
    _, cluster, job_id, incarnation = key.split("/")
    owner = stored_cluster(draft, cluster)
    _, previous, observed, _ = HEAD.unpack_from(old)
    fields = decode_fields(old[HEAD_BYTES:])
    if fields[ARRAY_PENDING] is None:
        fields[OUTCOME] = Outcome.LOST
        record = HEAD.pack(_FAILED, END, observed, 0) + encode_fields(fields)
    else:
        fields[ARRAY_PENDING] = 0  # a pending range leaves without an end
        record = HEAD.pack(old[0], previous, observed, 0) + encode_fields(fields)
    draft.put(key, record)
    subject = f"{cluster}/{job_id}#{int(incarnation)}"
    draft.tell(EventType.JOB_CHANGED, "" if owner is None else owner.provider, subject=subject, body=previous.to_bytes(1, "big") + record)
    tenants = Tenants(draft, cluster)
    tenant = tenants.of(fields[OWNER])
    if tenant is not None:
        tenants.change(tenant, record, previous=previous, at=at)
        tenants.save()


def _shrinks(old_fields: list[Any], fields: tuple[Any, ...]) -> bool:
    old, new = old_fields[ARRAY_PENDING], fields[ARRAY_PENDING]
    return old is not None and new is not None and new < old


def _is_known(value: Any) -> bool:
    return value is not None and value not in ("", (), [])


def _illegal(old: bytes, job: Job, why: str) -> Refused:
    return Refused(EntryOutcome.ILLEGAL_TRANSITION, f"job {job.job_id} cannot go from {state_of(old)} to {job.state}: {why}")
