from hpcbridge.wire.generated import entries_pb2 as _entries_pb2
from hpcbridge.wire.generated import jobs_pb2 as _jobs_pb2
from hpcbridge.wire.generated import market_pb2 as _market_pb2
from hpcbridge.wire.generated import transactions_pb2 as _transactions_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitRequest(_message.Message):
    __slots__ = ("hello", "envelopes")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    envelopes: Envelopes
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., envelopes: _Optional[_Union[Envelopes, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("submitter", "epoch", "next_sequence", "checkpoint")
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    submitter: str
    epoch: bytes
    next_sequence: int
    checkpoint: str
    def __init__(self, submitter: _Optional[str] = ..., epoch: _Optional[bytes] = ..., next_sequence: _Optional[int] = ..., checkpoint: _Optional[str] = ...) -> None: ...

class Envelopes(_message.Message):
    __slots__ = ("envelopes",)
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, envelopes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SubmitReply(_message.Message):
    __slots__ = ("hello", "receipts", "answer")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    hello: HelloReply
    receipts: Receipts
    answer: Answer
    def __init__(self, hello: _Optional[_Union[HelloReply, _Mapping]] = ..., receipts: _Optional[_Union[Receipts, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ...) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ("origin", "epoch", "last_sequence", "last_payload_hash", "epoch_closed", "payload_types", "window", "checkpoint", "consistency_proof", "at")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_CLOSED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_TYPES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_PROOF_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    origin: str
    epoch: bytes
    last_sequence: int
    last_payload_hash: bytes
    epoch_closed: bool
    payload_types: _containers.RepeatedScalarFieldContainer[str]
    window: int
    checkpoint: _entries_pb2.Checkpoint
    consistency_proof: _containers.RepeatedScalarFieldContainer[bytes]
    at: int
    def __init__(self, origin: _Optional[str] = ..., epoch: _Optional[bytes] = ..., last_sequence: _Optional[int] = ..., last_payload_hash: _Optional[bytes] = ..., epoch_closed: bool = ..., payload_types: _Optional[_Iterable[str]] = ..., window: _Optional[int] = ..., checkpoint: _Optional[_Union[_entries_pb2.Checkpoint, _Mapping]] = ..., consistency_proof: _Optional[_Iterable[bytes]] = ..., at: _Optional[int] = ...) -> None: ...

class Receipts(_message.Message):
    __slots__ = ("receipts", "checkpoint")
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[_entries_pb2.Receipt]
    checkpoint: _entries_pb2.Checkpoint
    def __init__(self, receipts: _Optional[_Iterable[_Union[_entries_pb2.Receipt, _Mapping]]] = ..., checkpoint: _Optional[_Union[_entries_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("payload_hash", "expect_sequence", "retry", "rejection")
    PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    EXPECT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    payload_hash: bytes
    expect_sequence: int
    retry: Retry
    rejection: Rejection
    def __init__(self, payload_hash: _Optional[bytes] = ..., expect_sequence: _Optional[int] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("code", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("code", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("cursor", "types", "until_caught_up")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    types: _containers.RepeatedScalarFieldContainer[_entries_pb2.EventType.Value]
    until_caught_up: bool
    def __init__(self, cursor: _Optional[str] = ..., types: _Optional[_Iterable[_Union[_entries_pb2.EventType.Value, str]]] = ..., until_caught_up: bool = ...) -> None: ...

class SubscribeReply(_message.Message):
    __slots__ = ("event", "checkpoint")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    event: _entries_pb2.Event
    checkpoint: _entries_pb2.Checkpoint
    def __init__(self, event: _Optional[_Union[_entries_pb2.Event, _Mapping]] = ..., checkpoint: _Optional[_Union[_entries_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class GetCheckpointRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConsistencyProofRequest(_message.Message):
    __slots__ = ("first_size", "second_size")
    FIRST_SIZE_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIZE_FIELD_NUMBER: _ClassVar[int]
    first_size: int
    second_size: int
    def __init__(self, first_size: _Optional[int] = ..., second_size: _Optional[int] = ...) -> None: ...

class ConsistencyProof(_message.Message):
    __slots__ = ("proof",)
    PROOF_FIELD_NUMBER: _ClassVar[int]
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, proof: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetReceiptRequest(_message.Message):
    __slots__ = ("index", "number")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    index: int
    number: NumberKey
    def __init__(self, index: _Optional[int] = ..., number: _Optional[_Union[NumberKey, _Mapping]] = ...) -> None: ...

class NumberKey(_message.Message):
    __slots__ = ("submitter", "epoch", "sequence")
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    submitter: str
    epoch: bytes
    sequence: int
    def __init__(self, submitter: _Optional[str] = ..., epoch: _Optional[bytes] = ..., sequence: _Optional[int] = ...) -> None: ...

class ReadEntriesRequest(_message.Message):
    __slots__ = ("start", "stop")
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    start: int
    stop: int
    def __init__(self, start: _Optional[int] = ..., stop: _Optional[int] = ...) -> None: ...

class EntriesChunk(_message.Message):
    __slots__ = ("start", "leaves")
    START_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    start: int
    leaves: _containers.RepeatedCompositeFieldContainer[LeafOrHash]
    def __init__(self, start: _Optional[int] = ..., leaves: _Optional[_Iterable[_Union[LeafOrHash, _Mapping]]] = ...) -> None: ...

class LeafOrHash(_message.Message):
    __slots__ = ("bytes", "hash")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    bytes: bytes
    hash: bytes
    def __init__(self, bytes: _Optional[bytes] = ..., hash: _Optional[bytes] = ...) -> None: ...

class GetHpcSystemDetailRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetHpcSystemDetailReply(_message.Message):
    __slots__ = ("cluster", "size")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    cluster: _entries_pb2.Cluster
    size: int
    def __init__(self, cluster: _Optional[_Union[_entries_pb2.Cluster, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class ListAllHpcSystemsRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class ListAllHpcSystemsReply(_message.Message):
    __slots__ = ("clusters", "size", "next")
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    clusters: _containers.RepeatedCompositeFieldContainer[_entries_pb2.Cluster]
    size: int
    next: str
    def __init__(self, clusters: _Optional[_Iterable[_Union[_entries_pb2.Cluster, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class GetUserDetailRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetUserDetailReply(_message.Message):
    __slots__ = ("member", "size")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    member: _entries_pb2.Member
    size: int
    def __init__(self, member: _Optional[_Union[_entries_pb2.Member, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class ListAllUsersRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class ListAllUsersReply(_message.Message):
    __slots__ = ("members", "size", "next")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[_entries_pb2.Member]
    size: int
    next: str
    def __init__(self, members: _Optional[_Iterable[_Union[_entries_pb2.Member, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("cluster", "open_only", "after", "limit")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    open_only: bool
    after: str
    limit: int
    def __init__(self, cluster: _Optional[str] = ..., open_only: bool = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListJobsReply(_message.Message):
    __slots__ = ("jobs", "size", "next")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_jobs_pb2.Job]
    size: int
    next: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[_jobs_pb2.Job, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("cluster", "job_id", "incarnation")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    job_id: str
    incarnation: int
    def __init__(self, cluster: _Optional[str] = ..., job_id: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class GetJobReply(_message.Message):
    __slots__ = ("job", "size")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    job: _jobs_pb2.Job
    size: int
    def __init__(self, job: _Optional[_Union[_jobs_pb2.Job, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("cluster", "after")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    after: str
    def __init__(self, cluster: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class ListNodesReply(_message.Message):
    __slots__ = ("nodes", "size", "next")
    NODES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[_transactions_pb2.NodeChange]
    size: int
    next: str
    def __init__(self, nodes: _Optional[_Iterable[_Union[_transactions_pb2.NodeChange, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class ListGapsRequest(_message.Message):
    __slots__ = ("cluster", "after")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    after: str
    def __init__(self, cluster: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class ListGapsReply(_message.Message):
    __slots__ = ("gaps", "size", "next")
    GAPS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    gaps: _containers.RepeatedCompositeFieldContainer[_entries_pb2.GapRecord]
    size: int
    next: str
    def __init__(self, gaps: _Optional[_Iterable[_Union[_entries_pb2.GapRecord, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class GetParametersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetParametersReply(_message.Message):
    __slots__ = ("parameters", "size")
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    parameters: _containers.RepeatedCompositeFieldContainer[_transactions_pb2.Parameter]
    size: int
    def __init__(self, parameters: _Optional[_Iterable[_Union[_transactions_pb2.Parameter, _Mapping]]] = ..., size: _Optional[int] = ...) -> None: ...

class ListRequestsRequest(_message.Message):
    __slots__ = ("after", "member")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    after: str
    member: str
    def __init__(self, after: _Optional[str] = ..., member: _Optional[str] = ...) -> None: ...

class ListRequestsReply(_message.Message):
    __slots__ = ("requests", "size", "next")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[_market_pb2.RequestRecord]
    size: int
    next: str
    def __init__(self, requests: _Optional[_Iterable[_Union[_market_pb2.RequestRecord, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class GetRequestRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: str
    def __init__(self, request: _Optional[str] = ...) -> None: ...

class GetRequestReply(_message.Message):
    __slots__ = ("request", "size")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    request: _market_pb2.RequestRecord
    size: int
    def __init__(self, request: _Optional[_Union[_market_pb2.RequestRecord, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class ListOffersRequest(_message.Message):
    __slots__ = ("request", "after")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    request: str
    after: str
    def __init__(self, request: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class ListOffersReply(_message.Message):
    __slots__ = ("offers", "size", "next")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[_market_pb2.Offer]
    size: int
    next: str
    def __init__(self, offers: _Optional[_Iterable[_Union[_market_pb2.Offer, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class ListWhyNotsRequest(_message.Message):
    __slots__ = ("request", "after")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    request: str
    after: str
    def __init__(self, request: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class ListWhyNotsReply(_message.Message):
    __slots__ = ("why_nots", "size", "next")
    WHY_NOTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    why_nots: _containers.RepeatedCompositeFieldContainer[_market_pb2.WhyNot]
    size: int
    next: str
    def __init__(self, why_nots: _Optional[_Iterable[_Union[_market_pb2.WhyNot, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class ListRentalsRequest(_message.Message):
    __slots__ = ("after", "open_only")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    after: str
    open_only: bool
    def __init__(self, after: _Optional[str] = ..., open_only: bool = ...) -> None: ...

class ListRentalsReply(_message.Message):
    __slots__ = ("rentals", "size", "next")
    RENTALS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    rentals: _containers.RepeatedCompositeFieldContainer[_market_pb2.Rental]
    size: int
    next: str
    def __init__(self, rentals: _Optional[_Iterable[_Union[_market_pb2.Rental, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class GetRentalRequest(_message.Message):
    __slots__ = ("rental", "after")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    rental: str
    after: str
    def __init__(self, rental: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class GetRentalReply(_message.Message):
    __slots__ = ("rental", "lines", "size", "next")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    rental: _market_pb2.Rental
    lines: _containers.RepeatedCompositeFieldContainer[_market_pb2.StatementLine]
    size: int
    next: str
    def __init__(self, rental: _Optional[_Union[_market_pb2.Rental, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[_market_pb2.StatementLine, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class GetBalanceRequest(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: str
    def __init__(self, member: _Optional[str] = ...) -> None: ...

class GetBalanceReply(_message.Message):
    __slots__ = ("balance", "size")
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    balance: _market_pb2.Balance
    size: int
    def __init__(self, balance: _Optional[_Union[_market_pb2.Balance, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class ListProgramDemandRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: str
    def __init__(self, after: _Optional[str] = ...) -> None: ...

class ListProgramDemandReply(_message.Message):
    __slots__ = ("programs", "size", "next")
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    programs: _containers.RepeatedCompositeFieldContainer[_market_pb2.ProgramDemand]
    size: int
    next: str
    def __init__(self, programs: _Optional[_Iterable[_Union[_market_pb2.ProgramDemand, _Mapping]]] = ..., size: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class SealedKind(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[SealedKind.Value]
        PASSCODE: _ClassVar[SealedKind.Value]
        CONTACT: _ClassVar[SealedKind.Value]
    UNSPECIFIED: SealedKind.Value
    PASSCODE: SealedKind.Value
    CONTACT: SealedKind.Value
    def __init__(self) -> None: ...

class LeaveSealedRequest(_message.Message):
    __slots__ = ("rental", "kind", "box")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    rental: str
    kind: SealedKind.Value
    box: bytes
    def __init__(self, rental: _Optional[str] = ..., kind: _Optional[_Union[SealedKind.Value, str]] = ..., box: _Optional[bytes] = ...) -> None: ...

class LeaveSealedReply(_message.Message):
    __slots__ = ("expires_at",)
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    expires_at: int
    def __init__(self, expires_at: _Optional[int] = ...) -> None: ...

class CollectSealedRequest(_message.Message):
    __slots__ = ("rental", "kind", "acknowledge")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    rental: str
    kind: SealedKind.Value
    acknowledge: bytes
    def __init__(self, rental: _Optional[str] = ..., kind: _Optional[_Union[SealedKind.Value, str]] = ..., acknowledge: _Optional[bytes] = ...) -> None: ...

class SealedState(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[SealedState.Value]
        NONE: _ClassVar[SealedState.Value]
        WAITING: _ClassVar[SealedState.Value]
        COLLECTED: _ClassVar[SealedState.Value]
        EXPIRED: _ClassVar[SealedState.Value]
    UNSPECIFIED: SealedState.Value
    NONE: SealedState.Value
    WAITING: SealedState.Value
    COLLECTED: SealedState.Value
    EXPIRED: SealedState.Value
    def __init__(self) -> None: ...

class CollectSealedReply(_message.Message):
    __slots__ = ("state", "box", "left_at", "expires_at", "collected_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    LEFT_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    COLLECTED_AT_FIELD_NUMBER: _ClassVar[int]
    state: SealedState.Value
    box: bytes
    left_at: int
    expires_at: int
    collected_at: int
    def __init__(self, state: _Optional[_Union[SealedState.Value, str]] = ..., box: _Optional[bytes] = ..., left_at: _Optional[int] = ..., expires_at: _Optional[int] = ..., collected_at: _Optional[int] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LedgerStatus(_message.Message):
    __slots__ = ("origin", "checkpoint", "last_entry_at", "last_tick_at", "version", "contract_version", "engine", "streams", "subscribers", "refusals", "newest_contract_version")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    LAST_ENTRY_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_TICK_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    origin: str
    checkpoint: _entries_pb2.Checkpoint
    last_entry_at: int
    last_tick_at: int
    version: str
    contract_version: int
    engine: str
    streams: int
    subscribers: int
    refusals: _containers.RepeatedCompositeFieldContainer[_transactions_pb2.Parameter]
    newest_contract_version: int
    def __init__(self, origin: _Optional[str] = ..., checkpoint: _Optional[_Union[_entries_pb2.Checkpoint, _Mapping]] = ..., last_entry_at: _Optional[int] = ..., last_tick_at: _Optional[int] = ..., version: _Optional[str] = ..., contract_version: _Optional[int] = ..., engine: _Optional[str] = ..., streams: _Optional[int] = ..., subscribers: _Optional[int] = ..., refusals: _Optional[_Iterable[_Union[_transactions_pb2.Parameter, _Mapping]]] = ..., newest_contract_version: _Optional[int] = ...) -> None: ...

class EnrolRequest(_message.Message):
    __slots__ = ("token_secret", "installation", "csr")
    TOKEN_SECRET_FIELD_NUMBER: _ClassVar[int]
    INSTALLATION_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    token_secret: bytes
    installation: str
    csr: bytes
    def __init__(self, token_secret: _Optional[bytes] = ..., installation: _Optional[str] = ..., csr: _Optional[bytes] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("certificate", "ca_certificate", "log_key", "origin", "ledger_addresses", "server_name", "receipt")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    LOG_KEY_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    LEDGER_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    ca_certificate: bytes
    log_key: bytes
    origin: str
    ledger_addresses: _containers.RepeatedScalarFieldContainer[str]
    server_name: str
    receipt: _entries_pb2.Receipt
    def __init__(self, certificate: _Optional[bytes] = ..., ca_certificate: _Optional[bytes] = ..., log_key: _Optional[bytes] = ..., origin: _Optional[str] = ..., ledger_addresses: _Optional[_Iterable[str]] = ..., server_name: _Optional[str] = ..., receipt: _Optional[_Union[_entries_pb2.Receipt, _Mapping]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...
