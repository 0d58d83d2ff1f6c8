# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What an event says, in a few words for one line."""

from __future__ import annotations

from typing import Any

from hpcbridge.contract.records import MemberRecord
from hpcbridge.ctl.figures import amount
from hpcbridge.ctl.output import moment
from hpcbridge.model.clusters import ClusterState, Registration
from hpcbridge.model.entries import EventType
from hpcbridge.model.jobs import Job
from hpcbridge.model.market import (
    ContractActivation,
    Credit,
    QueueDrift,
    QueueDrifts,
    Rental,
    RentalState,
    RequestRecord,
    Settlement,
    StatementLine,
    UsageNotice,
)
from hpcbridge.model.transactions import Decision, Documents, EpochStart, Gap, JobWatch, NodeChange, Parameters, Revocation
from hpcbridge.wire.queries import LedgerEvent


def told(event: LedgerEvent) -> str:
    """The body in a few words; nothing for a body that has nothing to add, or that this program does not know."""
    match event.body:
        case Rental() as rental if event.type is EventType.PASSCODE_ASKED:
            return f"{rental.username} on {rental.cluster}: another passcode is asked for"
        case Job() as job:
            before = f"{event.previous_phase.value} → " if event.previous_phase and event.previous_phase != job.phase else ""
            return f"{before}{job.phase or '?'} ({job.state}{f' {job.outcome}' if job.outcome else ''})"
        case JobWatch() as watch:
            return f"to be followed on {watch.cluster}{f', if it is of {watch.owner}' if watch.owner else ''}"
        case NodeChange() as change:
            return f"{change.availability}{f' ({change.reason})' if change.reason else ''}"
        case ClusterState() as state:
            return f"{_known(state.cores_used)} of {_known(state.cores_total)} cores used, {_known(state.nodes_up)} nodes up"
        case Registration() as registration:
            return f"login {registration.login_address}" if registration.login_address else "registered"
        case Decision() as decision:
            read = f", documents read: {len(decision.documents)}" if decision.documents else ""
            return f"{decision.vetting}{f' ({decision.note})' if decision.note else ''}{read}"
        case Documents() as named:
            return "; ".join(f"{document.kind}: {document.title} ({document.digest.hex()[:12]})" for document in named.documents)
        case Revocation() as revocation:
            return revocation.reason
        case EpochStart() as start:
            return start.reason.value
        case Gap() as gap:
            return f"{_known(gap.count)} missing: {gap.reason}"
        case Parameters() as parameters:
            return ", ".join(f"{name}={value}" for name, value in parameters.values)
        case MemberRecord() as member:
            return member.role.value.lower()
    return _told_of_market(event.body)


def _told_of_market(body: Any) -> str:
    match body:
        case ContractActivation():
            return f"version {body.version} is in force"
        case Credit():
            return f"{amount(body.amount)} for {body.reference}"
        case RequestRecord():
            return f"offers: {body.offers}, until {moment(body.expires_at)}; clusters left out: {body.why_nots}"
        case Rental():
            return _rental(body)
        case Settlement():
            uncovered = f", {amount(body.not_covered)} not covered" if body.not_covered else ""
            return f"{body.end}: {amount(body.charged)} charged, {amount(body.refunded)} of {amount(body.deposit)} refunded{uncovered}"
        case StatementLine():
            job = "" if body.usage is None else f" for job {body.usage.job_id} ({body.usage.outcome or 'outcome not known'})"
            return f"{body.kind} {amount(body.amount)}{job}"
        case UsageNotice():
            return f"job {body.job_id} has more than was rented: {body.excess} {body.used} of {body.rented}"
        case QueueDrifts():
            return "; ".join(_drift(drift) for drift in body.drifts) or "queues are again as registered"
    return ""


def _rental(rental: Rental) -> str:
    what = f"{rental.username} on {rental.cluster}, queue {rental.queue}, {rental.cores} cores"
    what += f", {rental.gpus} GPUs" if rental.gpus else ""
    if rental.state is RentalState.ENDED:
        return f"{what}: ended, {rental.end}"
    return f"{what}: {rental.state}{f', {rental.account_text}' if rental.account_text else ''}"


def _drift(drift: QueueDrift) -> str:
    if drift.observed_gpu_types:
        return f"{drift.queue}: {drift.field} {', '.join(drift.observed_gpu_types)}, registered {drift.registered_gpu_type}"
    return f"{drift.queue}: {drift.field} {_known(drift.observed)}, registered {_known(drift.registered)}"


def _known(value: Any) -> str:
    return "?" if value is None else str(value)
