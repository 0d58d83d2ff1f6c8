from hpcbridge.wire.generated import clusters_pb2 as _clusters_pb2
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

class EntryOutcome(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[EntryOutcome.Value]
        ACCEPTED: _ClassVar[EntryOutcome.Value]
        NOT_PERMITTED: _ClassVar[EntryOutcome.Value]
        NOT_FOUND: _ClassVar[EntryOutcome.Value]
        NOT_APPROVED: _ClassVar[EntryOutcome.Value]
        ALREADY_EXISTS: _ClassVar[EntryOutcome.Value]
        ILLEGAL_TRANSITION: _ClassVar[EntryOutcome.Value]
        STALE: _ClassVar[EntryOutcome.Value]
        MALFORMED: _ClassVar[EntryOutcome.Value]
        UNKNOWN_TYPE: _ClassVar[EntryOutcome.Value]
        TOKEN_INVALID: _ClassVar[EntryOutcome.Value]
        EQUIVOCATION: _ClassVar[EntryOutcome.Value]
        NO_CREDIT: _ClassVar[EntryOutcome.Value]
        NO_CAPACITY: _ClassVar[EntryOutcome.Value]
        OUTDATED: _ClassVar[EntryOutcome.Value]
        CLOSED: _ClassVar[EntryOutcome.Value]
        TOO_MANY: _ClassVar[EntryOutcome.Value]
    UNSPECIFIED: EntryOutcome.Value
    ACCEPTED: EntryOutcome.Value
    NOT_PERMITTED: EntryOutcome.Value
    NOT_FOUND: EntryOutcome.Value
    NOT_APPROVED: EntryOutcome.Value
    ALREADY_EXISTS: EntryOutcome.Value
    ILLEGAL_TRANSITION: EntryOutcome.Value
    STALE: EntryOutcome.Value
    MALFORMED: EntryOutcome.Value
    UNKNOWN_TYPE: EntryOutcome.Value
    TOKEN_INVALID: EntryOutcome.Value
    EQUIVOCATION: EntryOutcome.Value
    NO_CREDIT: EntryOutcome.Value
    NO_CAPACITY: EntryOutcome.Value
    OUTDATED: EntryOutcome.Value
    CLOSED: EntryOutcome.Value
    TOO_MANY: EntryOutcome.Value
    def __init__(self) -> None: ...

class Entry(_message.Message):
    __slots__ = ("index", "at", "proposer", "outcomes", "effects_hash", "envelope")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_HASH_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    index: int
    at: int
    proposer: str
    outcomes: _containers.RepeatedScalarFieldContainer[EntryOutcome.Value]
    effects_hash: bytes
    envelope: bytes
    def __init__(self, index: _Optional[int] = ..., at: _Optional[int] = ..., proposer: _Optional[str] = ..., outcomes: _Optional[_Iterable[_Union[EntryOutcome.Value, str]]] = ..., effects_hash: _Optional[bytes] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("proposer", "at", "envelopes", "signature")
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    proposer: str
    at: int
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    signature: bytes
    def __init__(self, proposer: _Optional[str] = ..., at: _Optional[int] = ..., envelopes: _Optional[_Iterable[bytes]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("note",)
    NOTE_FIELD_NUMBER: _ClassVar[int]
    note: str
    def __init__(self, note: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("leaf", "index", "proof", "checkpoint", "reasons")
    LEAF_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    leaf: bytes
    index: int
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: Checkpoint
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, leaf: _Optional[bytes] = ..., index: _Optional[int] = ..., proof: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class EventType(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[EventType.Value]
        JOB_CHANGED: _ClassVar[EventType.Value]
        JOB_WATCHED: _ClassVar[EventType.Value]
        NODE_CHANGED: _ClassVar[EventType.Value]
        CLUSTER_STATE: _ClassVar[EventType.Value]
        CLUSTER_REGISTERED: _ClassVar[EventType.Value]
        VETTING_CHANGED: _ClassVar[EventType.Value]
        MEMBER_ENROLLED: _ClassVar[EventType.Value]
        MEMBER_REVOKED: _ClassVar[EventType.Value]
        EPOCH_STARTED: _ClassVar[EventType.Value]
        EPOCH_CLOSED: _ClassVar[EventType.Value]
        GAP_REPORTED: _ClassVar[EventType.Value]
        PARAMETERS_CHANGED: _ClassVar[EventType.Value]
        CONTRACT_ACTIVATED: _ClassVar[EventType.Value]
        CREDITED: _ClassVar[EventType.Value]
        REQUEST_ANSWERED: _ClassVar[EventType.Value]
        RENTAL_GRANTED: _ClassVar[EventType.Value]
        RENTAL_READY: _ClassVar[EventType.Value]
        RENTAL_FAILED: _ClassVar[EventType.Value]
        RENTAL_ENDED: _ClassVar[EventType.Value]
        RENTAL_SETTLED: _ClassVar[EventType.Value]
        RENTAL_CORRECTED: _ClassVar[EventType.Value]
        USAGE_NOTICED: _ClassVar[EventType.Value]
        QUEUES_DRIFTED: _ClassVar[EventType.Value]
        DOCUMENTS_SUBMITTED: _ClassVar[EventType.Value]
        PASSCODE_ASKED: _ClassVar[EventType.Value]
    UNSPECIFIED: EventType.Value
    JOB_CHANGED: EventType.Value
    JOB_WATCHED: EventType.Value
    NODE_CHANGED: EventType.Value
    CLUSTER_STATE: EventType.Value
    CLUSTER_REGISTERED: EventType.Value
    VETTING_CHANGED: EventType.Value
    MEMBER_ENROLLED: EventType.Value
    MEMBER_REVOKED: EventType.Value
    EPOCH_STARTED: EventType.Value
    EPOCH_CLOSED: EventType.Value
    GAP_REPORTED: EventType.Value
    PARAMETERS_CHANGED: EventType.Value
    CONTRACT_ACTIVATED: EventType.Value
    CREDITED: EventType.Value
    REQUEST_ANSWERED: EventType.Value
    RENTAL_GRANTED: EventType.Value
    RENTAL_READY: EventType.Value
    RENTAL_FAILED: EventType.Value
    RENTAL_ENDED: EventType.Value
    RENTAL_SETTLED: EventType.Value
    RENTAL_CORRECTED: EventType.Value
    USAGE_NOTICED: EventType.Value
    QUEUES_DRIFTED: EventType.Value
    DOCUMENTS_SUBMITTED: EventType.Value
    PASSCODE_ASKED: EventType.Value
    def __init__(self) -> None: ...

class Event(_message.Message):
    __slots__ = ("cursor", "at", "type", "audience", "audience_number", "subject", "previous_phase", "job", "job_watch", "node_change", "cluster_state", "registration", "decision", "member", "revocation", "epoch_start", "gap", "parameters", "contract_activation", "credit", "request", "rental", "settlement", "statement_line", "usage_notice", "queue_drifts", "documents")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_PHASE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    JOB_WATCH_FIELD_NUMBER: _ClassVar[int]
    NODE_CHANGE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_STATE_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_START_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_LINE_FIELD_NUMBER: _ClassVar[int]
    USAGE_NOTICE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DRIFTS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    at: int
    type: EventType.Value
    audience: str
    audience_number: int
    subject: str
    previous_phase: _jobs_pb2.Phase.Value
    job: _jobs_pb2.Job
    job_watch: _transactions_pb2.JobWatch
    node_change: _transactions_pb2.NodeChange
    cluster_state: _clusters_pb2.ClusterState
    registration: _clusters_pb2.Registration
    decision: _transactions_pb2.Decision
    member: Member
    revocation: _transactions_pb2.Revocation
    epoch_start: _transactions_pb2.EpochStart
    gap: _transactions_pb2.Gap
    parameters: _transactions_pb2.Parameters
    contract_activation: _market_pb2.ContractActivation
    credit: _market_pb2.Credit
    request: _market_pb2.RequestRecord
    rental: _market_pb2.Rental
    settlement: _market_pb2.Settlement
    statement_line: _market_pb2.StatementLine
    usage_notice: _market_pb2.UsageNotice
    queue_drifts: _clusters_pb2.QueueDrifts
    documents: _transactions_pb2.Documents
    def __init__(self, cursor: _Optional[str] = ..., at: _Optional[int] = ..., type: _Optional[_Union[EventType.Value, str]] = ..., audience: _Optional[str] = ..., audience_number: _Optional[int] = ..., subject: _Optional[str] = ..., previous_phase: _Optional[_Union[_jobs_pb2.Phase.Value, str]] = ..., job: _Optional[_Union[_jobs_pb2.Job, _Mapping]] = ..., job_watch: _Optional[_Union[_transactions_pb2.JobWatch, _Mapping]] = ..., node_change: _Optional[_Union[_transactions_pb2.NodeChange, _Mapping]] = ..., cluster_state: _Optional[_Union[_clusters_pb2.ClusterState, _Mapping]] = ..., registration: _Optional[_Union[_clusters_pb2.Registration, _Mapping]] = ..., decision: _Optional[_Union[_transactions_pb2.Decision, _Mapping]] = ..., member: _Optional[_Union[Member, _Mapping]] = ..., revocation: _Optional[_Union[_transactions_pb2.Revocation, _Mapping]] = ..., epoch_start: _Optional[_Union[_transactions_pb2.EpochStart, _Mapping]] = ..., gap: _Optional[_Union[_transactions_pb2.Gap, _Mapping]] = ..., parameters: _Optional[_Union[_transactions_pb2.Parameters, _Mapping]] = ..., contract_activation: _Optional[_Union[_market_pb2.ContractActivation, _Mapping]] = ..., credit: _Optional[_Union[_market_pb2.Credit, _Mapping]] = ..., request: _Optional[_Union[_market_pb2.RequestRecord, _Mapping]] = ..., rental: _Optional[_Union[_market_pb2.Rental, _Mapping]] = ..., settlement: _Optional[_Union[_market_pb2.Settlement, _Mapping]] = ..., statement_line: _Optional[_Union[_market_pb2.StatementLine, _Mapping]] = ..., usage_notice: _Optional[_Union[_market_pb2.UsageNotice, _Mapping]] = ..., queue_drifts: _Optional[_Union[_clusters_pb2.QueueDrifts, _Mapping]] = ..., documents: _Optional[_Union[_transactions_pb2.Documents, _Mapping]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("name", "role", "vetting", "revoked", "attributes", "installations", "enrolled_at", "documents", "decisions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    VETTING_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    INSTALLATIONS_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_AT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: _transactions_pb2.Role.Value
    vetting: _clusters_pb2.Vetting.Value
    revoked: bool
    attributes: _containers.RepeatedCompositeFieldContainer[_transactions_pb2.Attribute]
    installations: _containers.RepeatedCompositeFieldContainer[Installation]
    enrolled_at: int
    documents: _containers.RepeatedCompositeFieldContainer[DocumentRecord]
    decisions: _containers.RepeatedCompositeFieldContainer[VettingRecord]
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[_transactions_pb2.Role.Value, str]] = ..., vetting: _Optional[_Union[_clusters_pb2.Vetting.Value, str]] = ..., revoked: bool = ..., attributes: _Optional[_Iterable[_Union[_transactions_pb2.Attribute, _Mapping]]] = ..., installations: _Optional[_Iterable[_Union[Installation, _Mapping]]] = ..., enrolled_at: _Optional[int] = ..., documents: _Optional[_Iterable[_Union[DocumentRecord, _Mapping]]] = ..., decisions: _Optional[_Iterable[_Union[VettingRecord, _Mapping]]] = ...) -> None: ...

class DocumentRecord(_message.Message):
    __slots__ = ("document", "index", "at", "installation")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    INSTALLATION_FIELD_NUMBER: _ClassVar[int]
    document: _transactions_pb2.Document
    index: int
    at: int
    installation: str
    def __init__(self, document: _Optional[_Union[_transactions_pb2.Document, _Mapping]] = ..., index: _Optional[int] = ..., at: _Optional[int] = ..., installation: _Optional[str] = ...) -> None: ...

class VettingRecord(_message.Message):
    __slots__ = ("decision", "index", "at", "admin")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ADMIN_FIELD_NUMBER: _ClassVar[int]
    decision: _transactions_pb2.Decision
    index: int
    at: int
    admin: str
    def __init__(self, decision: _Optional[_Union[_transactions_pb2.Decision, _Mapping]] = ..., index: _Optional[int] = ..., at: _Optional[int] = ..., admin: _Optional[str] = ...) -> None: ...

class Installation(_message.Message):
    __slots__ = ("name", "key_id", "not_after_at", "revoked", "enrolled_at", "awaits_approval")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_AT_FIELD_NUMBER: _ClassVar[int]
    AWAITS_APPROVAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    key_id: bytes
    not_after_at: int
    revoked: bool
    enrolled_at: int
    awaits_approval: bool
    def __init__(self, name: _Optional[str] = ..., key_id: _Optional[bytes] = ..., not_after_at: _Optional[int] = ..., revoked: bool = ..., enrolled_at: _Optional[int] = ..., awaits_approval: bool = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("registration", "provider", "vetting", "registered_at", "state", "heard_at", "decisions")
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    VETTING_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HEARD_AT_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    registration: _clusters_pb2.Registration
    provider: str
    vetting: _clusters_pb2.Vetting.Value
    registered_at: int
    state: _clusters_pb2.ClusterState
    heard_at: int
    decisions: _containers.RepeatedCompositeFieldContainer[VettingRecord]
    def __init__(self, registration: _Optional[_Union[_clusters_pb2.Registration, _Mapping]] = ..., provider: _Optional[str] = ..., vetting: _Optional[_Union[_clusters_pb2.Vetting.Value, str]] = ..., registered_at: _Optional[int] = ..., state: _Optional[_Union[_clusters_pb2.ClusterState, _Mapping]] = ..., heard_at: _Optional[int] = ..., decisions: _Optional[_Iterable[_Union[VettingRecord, _Mapping]]] = ...) -> None: ...

class GapRecord(_message.Message):
    __slots__ = ("gap", "index", "at")
    GAP_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    gap: _transactions_pb2.Gap
    index: int
    at: int
    def __init__(self, gap: _Optional[_Union[_transactions_pb2.Gap, _Mapping]] = ..., index: _Optional[int] = ..., at: _Optional[int] = ...) -> None: ...
