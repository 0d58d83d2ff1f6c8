# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Events as records: reading back the body that a contract function wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpcbridge.contract.jobrecords import decode_job, phase_of_code
from hpcbridge.contract.records import MemberRecord, decode_word
from hpcbridge.model.clusters import ClusterState, Registration
from hpcbridge.model.entries import Event, EventType
from hpcbridge.model.jobs import Job, Phase
from hpcbridge.model.market import (
    ContractActivation,
    Credit,
    QueueDrifts,
    Rental,
    RequestRecord,
    Settlement,
    StatementLine,
    UsageNotice,
)
from hpcbridge.model.transactions import Decision, Documents, EpochStart, Gap, JobWatch, NodeChange, Parameters, Revocation

Record = (
    Job
    | JobWatch
    | NodeChange
    | ClusterState
    | Registration
    | Decision
    | MemberRecord
    | Revocation
    | EpochStart
    | Gap
    | Parameters
    | ContractActivation
    | Credit
    | RequestRecord
    | Rental
    | Settlement
    | StatementLine
    | UsageNotice
    | QueueDrifts
    | Documents
)
"""What an event can carry."""

RECORDS: Mapping[EventType, type] = {
    EventType.JOB_CHANGED: Job,
    EventType.JOB_WATCHED: JobWatch,
    EventType.NODE_CHANGED: NodeChange,
    EventType.CLUSTER_STATE: ClusterState,
    EventType.CLUSTER_REGISTERED: Registration,
    EventType.VETTING_CHANGED: Decision,
    EventType.MEMBER_ENROLLED: MemberRecord,
    EventType.MEMBER_REVOKED: Revocation,
    EventType.EPOCH_STARTED: EpochStart,
    EventType.EPOCH_CLOSED: EpochStart,
    EventType.GAP_REPORTED: Gap,
    EventType.PARAMETERS_CHANGED: Parameters,
    EventType.CONTRACT_ACTIVATED: ContractActivation,
    EventType.CREDITED: Credit,
    EventType.REQUEST_ANSWERED: RequestRecord,
    EventType.RENTAL_GRANTED: Rental,
    EventType.RENTAL_READY: Rental,
    EventType.PASSCODE_ASKED: Rental,
    EventType.RENTAL_FAILED: Rental,
    EventType.RENTAL_ENDED: Rental,
    EventType.RENTAL_SETTLED: Settlement,
    EventType.RENTAL_CORRECTED: StatementLine,
    EventType.USAGE_NOTICED: UsageNotice,
    EventType.QUEUES_DRIFTED: QueueDrifts,
    EventType.DOCUMENTS_SUBMITTED: Documents,
}
"""Kind of record by type. EPOCH_CLOSED carries what number 1 of the next epoch has to say."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event's content; `previous_phase` (JOB_CHANGED only) is the last phase known before, None if none was."""

    record: Record
    previous_phase: Phase | None = None


def decode_event(event: Event) -> EventRecord:
    """Content of an event as the contract wrote it."""
    if event.type is EventType.JOB_CHANGED:
        return EventRecord(decode_job(event.body[1:]), phase_of_code(event.body[0]))
    return EventRecord(decode_word(RECORDS[event.type], event.body))
