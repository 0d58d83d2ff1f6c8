# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The unary questions of the API. Each is answered from the store as it is; the contract decides who sees what.

`size` in a reply is the number of signed entries the answer contains at least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from hpcbridge import __version__
from hpcbridge.contract import queries
from hpcbridge.contract.access import Kind, Query, Share, may_see, share_of
from hpcbridge.contract.standing import last_tick_at
from hpcbridge.contract.versions import CONTRACT_VERSION, contract_version
from hpcbridge.errors import Refused
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.store import StoreReader
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller
from hpcbridge.model.quantities import Instant
from hpcbridge.service.answers import cluster_message, gap_message, member_message
from hpcbridge.service.proposals import Placed
from hpcbridge.service.publisher import Publisher
from hpcbridge.service.readers import ReadState
from hpcbridge.service.refusals import Refusals
from hpcbridge.service.relay import Relay
from hpcbridge.service.submissions import REPLY_BYTES
from hpcbridge.wire.convert import MAX_SEQUENCE, to_message
from hpcbridge.wire.generated import entries_pb2, ledger_pb2, transactions_pb2

ENTRIES_PAGE = 256


@dataclass(frozen=True, slots=True)
class Library:
    """What questions are answered from."""

    origin: str
    engine: str
    tree: Tree
    publisher: Publisher
    reasons: Callable[[int], tuple[str, ...]]
    now: Callable[[], Instant]
    count_streams: Callable[[], tuple[int, int]]
    refusals: Refusals
    relay: Relay


@dataclass(frozen=True, slots=True)
class Scope:
    """One question: who asks, and the store and its visible size at that moment."""

    library: Library
    caller: Caller
    reader: StoreReader
    size: int

    @property
    def view(self) -> ReadState:
        """The state for the contract's questions."""
        return ReadState(self.reader)


def get_checkpoint(_request: ledger_pb2.GetCheckpointRequest, scope: Scope) -> entries_pb2.Checkpoint:
    """The newest signed checkpoint."""
    return entries_pb2.Checkpoint(note=scope.library.publisher.published.checkpoint.note)


def get_consistency_proof(request: ledger_pb2.GetConsistencyProofRequest, scope: Scope) -> ledger_pb2.ConsistencyProof:
    """From one size to another that was signed."""
    if not 0 < request.first_size <= request.second_size <= scope.size:
        raise Refused(
            EntryOutcome.MALFORMED, f"no proof leads from {request.first_size} to {request.second_size} in a log of {scope.size} entries"
        )
    return ledger_pb2.ConsistencyProof(proof=scope.library.tree.consistency_proof(request.first_size, request.second_size))


def get_receipt(request: ledger_pb2.GetReceiptRequest, scope: Scope) -> entries_pb2.Receipt:
    """The receipt of an entry, by its index or by the number it consumed."""
    index = request.index
    if request.WhichOneof("which") == "number":
        number = request.number
        seen = scope.reader.number(number.submitter, number.epoch, number.sequence) if number.sequence <= MAX_SEQUENCE else None
        index = scope.size if seen is None else seen.index
    leaf = scope.reader.leaf(index) if index < scope.size else None
    if leaf is None or not may_see(scope.caller, Kind.RECEIPT, submitting_member(leaf)):
        raise Refused(EntryOutcome.NOT_FOUND, "there is no such entry whose receipt you may see")
    made = scope.library.publisher.receipt(Placed(index, leaf, scope.library.reasons(index)))
    receipt = made.receipt
    return entries_pb2.Receipt(
        leaf=receipt.leaf,
        index=receipt.index,
        proof=receipt.proof,
        checkpoint=entries_pb2.Checkpoint(note=receipt.checkpoint.note),
        reasons=made.reasons,
    )


def get_hpc_system_detail(request: ledger_pb2.GetHpcSystemDetailRequest, scope: Scope) -> ledger_pb2.GetHpcSystemDetailReply:
    """One cluster."""
    cluster = queries.cluster(scope.view, scope.caller, request.name)
    return ledger_pb2.GetHpcSystemDetailReply(cluster=cluster_message(cluster), size=scope.size)


def list_all_hpc_systems(request: ledger_pb2.ListAllHpcSystemsRequest, scope: Scope) -> ledger_pb2.ListAllHpcSystemsReply:
    """A page of the clusters the caller may see."""
    clusters = queries.clusters(scope.view, scope.caller, after=request.after)
    page, left = that_fit(map(cluster_message, clusters), full=len(clusters) == queries.MAX_CLUSTERS)
    return ledger_pb2.ListAllHpcSystemsReply(clusters=page, size=scope.size, next=page[-1].registration.cluster if left else "")


def get_user_detail(request: ledger_pb2.GetUserDetailRequest, scope: Scope) -> ledger_pb2.GetUserDetailReply:
    """One member."""
    member = queries.member(scope.view, scope.caller, request.name, at=scope.library.now())
    return ledger_pb2.GetUserDetailReply(member=member_message(member), size=scope.size)


def list_all_users(request: ledger_pb2.ListAllUsersRequest, scope: Scope) -> ledger_pb2.ListAllUsersReply:
    """A page of all members."""
    members = queries.members(scope.view, scope.caller, at=scope.library.now(), after=request.after)
    page, left = that_fit(map(member_message, members), full=len(members) == queries.MAX_PAGE)
    return ledger_pb2.ListAllUsersReply(members=page, size=scope.size, next=page[-1].name if left else "")


def list_jobs(request: ledger_pb2.ListJobsRequest, scope: Scope) -> ledger_pb2.ListJobsReply:
    """A page of a cluster's jobs that fits into one message."""
    limit = request.limit
    while True:
        page = queries.jobs(scope.view, scope.caller, request.cluster, open_only=request.open_only, after=request.after, limit=limit)
        reply = ledger_pb2.ListJobsReply(jobs=map(to_message, page.jobs), size=scope.size, next=page.next)
        if reply.ByteSize() <= REPLY_BYTES or len(page.jobs) <= 1:
            return reply
        limit = len(page.jobs) // 2


def get_job(request: ledger_pb2.GetJobRequest, scope: Scope) -> ledger_pb2.GetJobReply:
    """One run of a job."""
    job = queries.job(scope.view, scope.caller, request.cluster, request.job_id, incarnation=request.incarnation)
    return ledger_pb2.GetJobReply(job=to_message(job), size=scope.size)


def list_nodes(request: ledger_pb2.ListNodesRequest, scope: Scope) -> ledger_pb2.ListNodesReply:
    """A page of the last words on each node."""
    nodes = queries.nodes(scope.view, scope.caller, request.cluster, after=request.after)
    page, left = that_fit(map(to_message, nodes), full=len(nodes) == queries.MAX_PAGE)
    return ledger_pb2.ListNodesReply(nodes=page, size=scope.size, next=page[-1].node if left else "")


def list_gaps(request: ledger_pb2.ListGapsRequest, scope: Scope) -> ledger_pb2.ListGapsReply:
    """A page of what agents could not keep."""
    gaps = queries.gaps(scope.view, scope.caller, request.cluster, after=request.after)
    page, left = that_fit(map(gap_message, gaps), full=len(gaps) == queries.MAX_PAGE)
    return ledger_pb2.ListGapsReply(gaps=page, size=scope.size, next=queries.gap_place(gaps[len(page) - 1]) if left else "")


def get_parameters(_request: ledger_pb2.GetParametersRequest, scope: Scope) -> ledger_pb2.GetParametersReply:
    """Network parameters in force."""
    values = queries.parameters(scope.view, scope.caller)
    parameters = [transactions_pb2.Parameter(name=name, value=value) for name, value in values]
    return ledger_pb2.GetParametersReply(parameters=parameters, size=scope.size)


def get_status(_request: ledger_pb2.GetStatusRequest, scope: Scope) -> ledger_pb2.LedgerStatus:
    """How the service is."""
    library = scope.library
    published = library.publisher.published
    streams, subscribers = library.count_streams()
    watches = share_of(scope.caller, Query.READ_ENTRIES) is Share.ALL  # what is refused to others is nobody else's matter
    return ledger_pb2.LedgerStatus(
        origin=library.origin,
        checkpoint=entries_pb2.Checkpoint(note=published.checkpoint.note),
        last_entry_at=published.at,
        last_tick_at=last_tick_at(scope.view) or 0,
        version=__version__,
        contract_version=contract_version(scope.view),
        newest_contract_version=CONTRACT_VERSION,
        engine=library.engine,
        streams=streams,
        subscribers=subscribers,
        refusals=[transactions_pb2.Parameter(name=name, value=count) for name, count in (library.refusals.counted() if watches else ())],
    )


Question = Callable[[Any, Scope], Any]
QUESTIONS: Mapping[str, Question] = {
    "GetCheckpoint": get_checkpoint,
    "GetConsistencyProof": get_consistency_proof,
    "GetReceipt": get_receipt,
    "GetHpcSystemDetail": get_hpc_system_detail,
    "ListAllHpcSystems": list_all_hpc_systems,
    "GetUserDetail": get_user_detail,
    "ListAllUsers": list_all_users,
    "ListJobs": list_jobs,
    "GetJob": get_job,
    "ListNodes": list_nodes,
    "ListGaps": list_gaps,
    "GetParameters": get_parameters,
    "GetStatus": get_status,
}
"""The unary methods of the Ledger service by name."""
QUICK = frozenset(
    {"GetCheckpoint", "GetHpcSystemDetail", "GetUserDetail", "GetJob", "GetParameters", "GetStatus", "GetRequest", "GetBalance"}
)
"""Those that read a handful of records: answered on the event loop itself, which is quicker than the way to a thread and back."""


def entries_chunk(start: int, stop: int, scope: Scope) -> ledger_pb2.EntriesChunk:
    """Leaves from `start` on, before `stop`, as many as fit into one message; hashes of those the caller may not see."""
    chunk = ledger_pb2.EntriesChunk(start=start)
    size = 0
    for leaf in _leaves(scope.reader, start, min(stop, start + ENTRIES_PAGE)):
        visible = may_see(scope.caller, Kind.ENTRY, submitting_member(leaf))
        size += len(leaf) + 8 if visible else 40
        if size > REPLY_BYTES and chunk.leaves:
            break
        chunk.leaves.append(ledger_pb2.LeafOrHash(bytes=leaf) if visible else ledger_pb2.LeafOrHash(hash=leaf_hash(leaf)))
    return chunk


def submitting_member(leaf: bytes) -> str:
    """The member who signed an entry; nobody for entry 0."""
    try:
        entry = entries_pb2.Entry.FromString(leaf)
        envelope = transactions_pb2.Envelope.FromString(entry.envelope)
        return transactions_pb2.Payload.FromString(envelope.payload).header.submitter.partition("/")[0]
    except DecodeError:
        return ""


def that_fit(messages: Iterable[Any], *, full: bool) -> tuple[list[Any], bool]:
    """As many as fit into one reply, and whether more are left: here, or (`full`) in the store."""
    page: list[Any] = []
    size = 0
    for message in messages:
        size += message.ByteSize() + 8
        if page and size > REPLY_BYTES:
            return page, True
        page.append(message)
    return page, full


def _leaves(reader: StoreReader, start: int, stop: int) -> Iterator[bytes]:
    for first in range(start, stop, 32):
        yield from reader.leaves(first, min(stop, first + 32))
