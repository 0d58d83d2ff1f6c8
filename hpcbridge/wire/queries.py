# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger's read functions as Python functions: words in, words out, whatever carries the call.

`Call` is `LedgerClient.call`, or anything that brings a request of the Ledger service to it and the reply back. What comes back is
what the ledger says at that moment; it is not proven. Proof is for receipts and `audit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import Message

from hpcbridge.contract.records import ClusterRecord, DocumentRecord, GapRecord, InstallationRecord, MemberRecord, VettingRecord
from hpcbridge.errors import BadData
from hpcbridge.model.clusters import ClusterState, Registration, Vetting
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
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
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import (
    Decision,
    Document,
    Documents,
    EpochStart,
    Gap,
    JobWatch,
    NodeChange,
    Parameters,
    Revocation,
)
from hpcbridge.wire.convert import from_message
from hpcbridge.wire.generated import clusters_pb2, entries_pb2, jobs_pb2, ledger_pb2, transactions_pb2

Call = Callable[[str, Message], Any]
"""Name of a method of the Ledger service and its request; returns its reply."""

PAGE = 500
MOST_PAGES = 100_000
Word = TypeVar("Word")
_EVENT_WORDS: dict[str, type] = {
    "job": Job,
    "job_watch": JobWatch,
    "node_change": NodeChange,
    "cluster_state": ClusterState,
    "registration": Registration,
    "decision": Decision,
    "revocation": Revocation,
    "epoch_start": EpochStart,
    "gap": Gap,
    "parameters": Parameters,
    "contract_activation": ContractActivation,
    "credit": Credit,
    "request": RequestRecord,
    "rental": Rental,
    "settlement": Settlement,
    "statement_line": StatementLine,
    "usage_notice": UsageNotice,
    "queue_drifts": QueueDrifts,
    "documents": Documents,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEvent:
    """One event as a subscriber gets it. `body` is the word its type names, None where there is nothing to add.

    `audience_number` counts from 1 without holes for each audience; a hole means that an event was withheld.
    """

    cursor: str
    at: Instant
    type: EventType
    audience: str
    audience_number: int
    subject: str
    previous_phase: Phase | None
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """How the service is. `last_tick_at` None: none yet. `refusals` counts what it refused since it started, by `TYPE:CODE:RULE`."""

    origin: str
    version: str
    contract_version: int
    newest_contract_version: int | None
    engine: str
    last_entry_at: Instant
    last_tick_at: Instant | None
    streams: int
    subscribers: int
    refusals: tuple[tuple[str, int], ...]


def get_status(call: Call) -> LedgerStatus:
    """The service's own word on itself; its checkpoint is for `GetCheckpoint`, where it is verified."""
    reply = call("GetStatus", ledger_pb2.GetStatusRequest())
    return LedgerStatus(
        origin=reply.origin,
        version=reply.version,
        contract_version=reply.contract_version,
        newest_contract_version=reply.newest_contract_version or None,
        engine=reply.engine,
        last_entry_at=reply.last_entry_at,
        last_tick_at=reply.last_tick_at or None,
        streams=reply.streams,
        subscribers=reply.subscribers,
        refusals=tuple((each.name, each.value) for each in reply.refusals),
    )


def list_clusters(call: Call) -> tuple[ClusterRecord, ...]:
    """Every cluster the caller may see."""
    replies = pages(lambda after: call("ListAllHpcSystems", ledger_pb2.ListAllHpcSystemsRequest(after=after)))
    return tuple(read(_cluster, each) for reply in replies for each in reply.clusters)


def get_cluster(call: Call, name: str) -> ClusterRecord:
    """One cluster; Refused NOT_FOUND if the caller can see none of this name."""
    return read(_cluster, call("GetHpcSystemDetail", ledger_pb2.GetHpcSystemDetailRequest(name=name)).cluster)


def list_members(call: Call) -> tuple[MemberRecord, ...]:
    """Every member; for admins and auditors."""
    replies = pages(lambda after: call("ListAllUsers", ledger_pb2.ListAllUsersRequest(after=after)))
    return tuple(read(_member, each) for reply in replies for each in reply.members)


def get_member(call: Call, name: str) -> MemberRecord:
    """One member's record."""
    return read(_member, call("GetUserDetail", ledger_pb2.GetUserDetailRequest(name=name)).member)


def list_jobs(call: Call, cluster: str, *, open_only: bool = False) -> Iterator[Job]:
    """Jobs of a cluster, page by page."""
    request = partial(ledger_pb2.ListJobsRequest, cluster=cluster, open_only=open_only, limit=PAGE)
    for reply in pages(lambda after: call("ListJobs", request(after=after))):
        yield from (read(_job, each) for each in reply.jobs)


def get_job(call: Call, cluster: str, job_id: str, *, incarnation: int = 0) -> Job:
    """One job; incarnation 0 asks for the highest on record."""
    request = ledger_pb2.GetJobRequest(cluster=cluster, job_id=job_id, incarnation=incarnation)
    return read(_job, call("GetJob", request).job)


def list_nodes(call: Call, cluster: str) -> tuple[NodeChange, ...]:
    """Last availability of each node of a cluster."""
    replies = pages(lambda after: call("ListNodes", ledger_pb2.ListNodesRequest(cluster=cluster, after=after)))
    return tuple(read(_node_change, each) for reply in replies for each in reply.nodes)


def list_gaps(call: Call, cluster: str = "") -> tuple[GapRecord, ...]:
    """Reported gaps of a cluster, or of all the caller may see."""
    replies = pages(lambda after: call("ListGaps", ledger_pb2.ListGapsRequest(cluster=cluster, after=after)))
    return tuple(read(_gap, each) for reply in replies for each in reply.gaps)


def get_parameters(call: Call) -> tuple[tuple[str, int], ...]:
    """The network's parameters."""
    reply = call("GetParameters", ledger_pb2.GetParametersRequest())
    return tuple((each.name, each.value) for each in reply.parameters)


def read_event(message: entries_pb2.Event) -> LedgerEvent:
    """An event as it came from the stream; BadData for one that makes no sense."""
    return read(_event, message)


def event_types(types: tuple[EventType, ...]) -> list[Any]:
    """Proto values for the filter of a SubscribeRequest."""
    return [entries_pb2.EventType.Value.Value(each.value) for each in types]


def pages(ask: Callable[[str], Any]) -> Iterator[Any]:
    """Replies until one has no next, or says the same next again; BadData for a list that does not end."""
    after = ""
    for _ in range(MOST_PAGES):
        reply = ask(after)
        yield reply
        if not reply.next or reply.next == after:
            return
        after = reply.next
    raise BadData(f"the ledger's list has more than {MOST_PAGES} pages and does not end", hint="tell its operator, and keep what it sent")


def read(reader: Callable[[Any], Word], message: Message) -> Word:
    """What a reader makes of a message; BadData if it cannot."""
    try:
        return reader(message)
    except ValueError as error:
        raise BadData(
            f"the ledger sent a record that cannot be read: {error}", hint="is this program as new as the ledger? Compare --version."
        ) from error


def _cluster(message: entries_pb2.Cluster) -> ClusterRecord:
    return ClusterRecord(
        registration=from_message(Registration, message.registration),
        provider=message.provider,
        vetting=_vetting(message.vetting),
        registered_at=message.registered_at,
        state=from_message(ClusterState, message.state) if message.HasField("state") else None,
        heard_at=message.heard_at if message.HasField("heard_at") else None,
        decisions=tuple(_vetting_record(each) for each in message.decisions),
    )


def _member(message: entries_pb2.Member) -> MemberRecord:
    return MemberRecord(
        name=message.name,
        role=Role(transactions_pb2.Role.Value.Name(message.role)),
        vetting=_vetting(message.vetting),
        revoked=message.revoked,
        attributes=tuple((each.name, each.value) for each in message.attributes),
        installations=tuple(_installation(each) for each in message.installations),
        enrolled_at=message.enrolled_at,
        documents=tuple(_document(each) for each in message.documents),
        decisions=tuple(_vetting_record(each) for each in message.decisions),
    )


def _document(message: entries_pb2.DocumentRecord) -> DocumentRecord:
    document = from_message(Document, message.document)
    return DocumentRecord(document=document, index=message.index, at=message.at, installation=message.installation)


def _vetting_record(message: entries_pb2.VettingRecord) -> VettingRecord:
    return VettingRecord(decision=from_message(Decision, message.decision), index=message.index, at=message.at, admin=message.admin)


def _installation(message: entries_pb2.Installation) -> InstallationRecord:
    return InstallationRecord(
        name=message.name,
        key_id=message.key_id,
        not_after_at=message.not_after_at or None,
        revoked=message.revoked,
        enrolled_at=message.enrolled_at,
        awaits_approval=message.awaits_approval,
    )


def _vetting(value: Any) -> Vetting:
    return Vetting(clusters_pb2.Vetting.Value.Name(value))


def _job(message: jobs_pb2.Job) -> Job:
    return from_message(Job, message)


def _node_change(message: transactions_pb2.NodeChange) -> NodeChange:
    return from_message(NodeChange, message)


def _gap(message: entries_pb2.GapRecord) -> GapRecord:
    return GapRecord(gap=from_message(Gap, message.gap), index=message.index, at=message.at)


def _event(message: entries_pb2.Event) -> LedgerEvent:
    kind = message.WhichOneof("body")
    return LedgerEvent(
        cursor=message.cursor,
        at=message.at,
        type=EventType(entries_pb2.EventType.Value.Name(message.type)),
        audience=message.audience,
        audience_number=message.audience_number,
        subject=message.subject,
        previous_phase=Phase(jobs_pb2.Phase.Value.Name(message.previous_phase)) if message.previous_phase else None,
        body=_event_body(message, kind),
    )


def _event_body(message: entries_pb2.Event, kind: str | None) -> Any:
    if kind is None:
        return None
    if kind == "member":
        return _member(message.member)
    return from_message(_EVENT_WORDS[kind], getattr(message, kind))
