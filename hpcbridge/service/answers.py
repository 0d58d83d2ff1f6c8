# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The contract's records and events as messages of the API."""

from __future__ import annotations

from collections.abc import Mapping

from hpcbridge.contract.events import decode_event
from hpcbridge.contract.records import ClusterRecord, DocumentRecord, GapRecord, InstallationRecord, MemberRecord, VettingRecord
from hpcbridge.model.entries import Cursor, Event, EventType
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.convert import to_message
from hpcbridge.wire.generated import entries_pb2, transactions_pb2

EVENT_FIELDS: Mapping[EventType, str] = {
    EventType.JOB_CHANGED: "job",
    EventType.JOB_WATCHED: "job_watch",
    EventType.NODE_CHANGED: "node_change",
    EventType.CLUSTER_STATE: "cluster_state",
    EventType.CLUSTER_REGISTERED: "registration",
    EventType.VETTING_CHANGED: "decision",
    EventType.MEMBER_ENROLLED: "member",
    EventType.MEMBER_REVOKED: "revocation",
    EventType.EPOCH_STARTED: "epoch_start",
    EventType.EPOCH_CLOSED: "epoch_start",
    EventType.GAP_REPORTED: "gap",
    EventType.PARAMETERS_CHANGED: "parameters",
    EventType.CONTRACT_ACTIVATED: "contract_activation",
    EventType.CREDITED: "credit",
    EventType.REQUEST_ANSWERED: "request",
    EventType.RENTAL_GRANTED: "rental",
    EventType.RENTAL_READY: "rental",
    EventType.PASSCODE_ASKED: "rental",
    EventType.RENTAL_FAILED: "rental",
    EventType.RENTAL_ENDED: "rental",
    EventType.RENTAL_SETTLED: "settlement",
    EventType.RENTAL_CORRECTED: "statement_line",
    EventType.USAGE_NOTICED: "usage_notice",
    EventType.QUEUES_DRIFTED: "queue_drifts",
    EventType.DOCUMENTS_SUBMITTED: "documents",
}
"""Which field of the Event message carries the record."""


def event_message(cursor: Cursor, event: Event, at: Instant) -> entries_pb2.Event:
    """One event as a subscriber gets it."""
    content = decode_event(event)
    record = content.record
    message = entries_pb2.Event(
        cursor=str(cursor),
        at=at,
        type=event.type.value,
        audience=event.audience,
        audience_number=event.audience_number,
        subject=event.subject,
    )
    if content.previous_phase is not None:
        message.MergeFrom(entries_pb2.Event(previous_phase=content.previous_phase.value))
    body = member_message(record) if isinstance(record, MemberRecord) else to_message(record)
    getattr(message, EVENT_FIELDS[event.type]).CopyFrom(body)
    return message


def member_message(member: MemberRecord) -> entries_pb2.Member:
    """A member's record."""
    return entries_pb2.Member(
        name=member.name,
        role=member.role.value,
        vetting=member.vetting.value,
        revoked=member.revoked,
        attributes=[transactions_pb2.Attribute(name=name, value=value) for name, value in member.attributes],
        installations=[_installation(installation) for installation in member.installations],
        enrolled_at=member.enrolled_at,
        documents=[_document(record) for record in member.documents],
        decisions=[_decision(record) for record in member.decisions],
    )


def cluster_message(cluster: ClusterRecord) -> entries_pb2.Cluster:
    """A cluster's record with its last sample."""
    return entries_pb2.Cluster(
        registration=to_message(cluster.registration),
        provider=cluster.provider,
        vetting=cluster.vetting.value,
        registered_at=cluster.registered_at,
        state=None if cluster.state is None else to_message(cluster.state),
        heard_at=cluster.heard_at,
        decisions=[_decision(record) for record in cluster.decisions],
    )


def gap_message(gap: GapRecord) -> entries_pb2.GapRecord:
    """A reported gap."""
    return entries_pb2.GapRecord(gap=to_message(gap.gap), index=gap.index, at=gap.at)


def _document(record: DocumentRecord) -> entries_pb2.DocumentRecord:
    document = to_message(record.document)
    return entries_pb2.DocumentRecord(document=document, index=record.index, at=record.at, installation=record.installation)


def _decision(record: VettingRecord) -> entries_pb2.VettingRecord:
    return entries_pb2.VettingRecord(decision=to_message(record.decision), index=record.index, at=record.at, admin=record.admin)


def _installation(installation: InstallationRecord) -> entries_pb2.Installation:
    return entries_pb2.Installation(
        name=installation.name,
        key_id=installation.key_id,
        not_after_at=installation.not_after_at or 0,
        revoked=installation.revoked,
        enrolled_at=installation.enrolled_at,
        awaits_approval=installation.awaits_approval,
    )
