from hpcbridge.wire.generated import clusters_pb2 as _clusters_pb2
from hpcbridge.wire.generated import jobs_pb2 as _jobs_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("payload", "payload_type", "key_id", "signature")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    payload_type: str
    key_id: bytes
    signature: bytes
    def __init__(self, payload: _Optional[bytes] = ..., payload_type: _Optional[str] = ..., key_id: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("header", "body")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    header: Header
    body: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("origin", "submitter", "epoch", "sequence", "seen", "wall_at")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    WALL_AT_FIELD_NUMBER: _ClassVar[int]
    origin: str
    submitter: str
    epoch: bytes
    sequence: int
    seen: Seen
    wall_at: int
    def __init__(self, origin: _Optional[str] = ..., submitter: _Optional[str] = ..., epoch: _Optional[bytes] = ..., sequence: _Optional[int] = ..., seen: _Optional[_Union[Seen, _Mapping]] = ..., wall_at: _Optional[int] = ...) -> None: ...

class Seen(_message.Message):
    __slots__ = ("size", "root")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    size: int
    root: bytes
    def __init__(self, size: _Optional[int] = ..., root: _Optional[bytes] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...

class Role(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Role.Value]
        PROVIDER: _ClassVar[Role.Value]
        USER: _ClassVar[Role.Value]
        ADMIN: _ClassVar[Role.Value]
        SYSTEM_NODE: _ClassVar[Role.Value]
    UNSPECIFIED: Role.Value
    PROVIDER: Role.Value
    USER: Role.Value
    ADMIN: Role.Value
    SYSTEM_NODE: Role.Value
    def __init__(self) -> None: ...

class SystemNode(_message.Message):
    __slots__ = ("submitter", "public_key")
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    submitter: str
    public_key: bytes
    def __init__(self, submitter: _Optional[str] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class Genesis(_message.Message):
    __slots__ = ("origin", "ca_certificate", "log_key", "first_admin", "first_admin_token_digest", "token_expires_at", "system_nodes", "parameters", "contract_version", "created_at")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    LOG_KEY_FIELD_NUMBER: _ClassVar[int]
    FIRST_ADMIN_FIELD_NUMBER: _ClassVar[int]
    FIRST_ADMIN_TOKEN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_NODES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    origin: str
    ca_certificate: bytes
    log_key: bytes
    first_admin: str
    first_admin_token_digest: bytes
    token_expires_at: int
    system_nodes: _containers.RepeatedCompositeFieldContainer[SystemNode]
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    contract_version: int
    created_at: int
    def __init__(self, origin: _Optional[str] = ..., ca_certificate: _Optional[bytes] = ..., log_key: _Optional[bytes] = ..., first_admin: _Optional[str] = ..., first_admin_token_digest: _Optional[bytes] = ..., token_expires_at: _Optional[int] = ..., system_nodes: _Optional[_Iterable[_Union[SystemNode, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., contract_version: _Optional[int] = ..., created_at: _Optional[int] = ...) -> None: ...

class EpochReason(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[EpochReason.Value]
        FIRST: _ClassVar[EpochReason.Value]
        LOST: _ClassVar[EpochReason.Value]
        POISON: _ClassVar[EpochReason.Value]
        CLOSED: _ClassVar[EpochReason.Value]
    UNSPECIFIED: EpochReason.Value
    FIRST: EpochReason.Value
    LOST: EpochReason.Value
    POISON: EpochReason.Value
    CLOSED: EpochReason.Value
    def __init__(self) -> None: ...

class EpochStart(_message.Message):
    __slots__ = ("previous_epoch", "last_acknowledged", "reason", "gap")
    PREVIOUS_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    previous_epoch: bytes
    last_acknowledged: int
    reason: EpochReason.Value
    gap: Gap
    def __init__(self, previous_epoch: _Optional[bytes] = ..., last_acknowledged: _Optional[int] = ..., reason: _Optional[_Union[EpochReason.Value, str]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("cluster", "reason", "since_at", "until_at", "count")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_AT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_AT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    reason: str
    since_at: int
    until_at: int
    count: int
    def __init__(self, cluster: _Optional[str] = ..., reason: _Optional[str] = ..., since_at: _Optional[int] = ..., until_at: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Tick(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Token(_message.Message):
    __slots__ = ("digest", "role", "member", "attributes", "expires_at")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    role: Role.Value
    member: str
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    expires_at: int
    def __init__(self, digest: _Optional[bytes] = ..., role: _Optional[_Union[Role.Value, str]] = ..., member: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., expires_at: _Optional[int] = ...) -> None: ...

class CertificateFacts(_message.Message):
    __slots__ = ("serial", "submitter", "role", "attributes", "public_key", "not_before_at", "not_after_at", "certificate")
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_AT_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_AT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    serial: str
    submitter: str
    role: Role.Value
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    public_key: bytes
    not_before_at: int
    not_after_at: int
    certificate: bytes
    def __init__(self, serial: _Optional[str] = ..., submitter: _Optional[str] = ..., role: _Optional[_Union[Role.Value, str]] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., public_key: _Optional[bytes] = ..., not_before_at: _Optional[int] = ..., not_after_at: _Optional[int] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class Enrolment(_message.Message):
    __slots__ = ("token_digest", "facts")
    TOKEN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    token_digest: bytes
    facts: CertificateFacts
    def __init__(self, token_digest: _Optional[bytes] = ..., facts: _Optional[_Union[CertificateFacts, _Mapping]] = ...) -> None: ...

class Renewal(_message.Message):
    __slots__ = ("facts",)
    FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: CertificateFacts
    def __init__(self, facts: _Optional[_Union[CertificateFacts, _Mapping]] = ...) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("member", "installation", "reason")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    INSTALLATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    member: str
    installation: str
    reason: str
    def __init__(self, member: _Optional[str] = ..., installation: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("name", "vetting", "note", "documents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VETTING_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    vetting: _clusters_pb2.Vetting.Value
    note: str
    documents: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, name: _Optional[str] = ..., vetting: _Optional[_Union[_clusters_pb2.Vetting.Value, str]] = ..., note: _Optional[str] = ..., documents: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("digest", "kind", "title")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    kind: str
    title: str
    def __init__(self, digest: _Optional[bytes] = ..., kind: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class Documents(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class Parameters(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Parameter]
    def __init__(self, values: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ...) -> None: ...

class NodeChange(_message.Message):
    __slots__ = ("node", "availability", "native_state", "reason", "observed_at")
    NODE_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    NATIVE_STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    node: str
    availability: _clusters_pb2.Availability.Value
    native_state: str
    reason: str
    observed_at: int
    def __init__(self, node: _Optional[str] = ..., availability: _Optional[_Union[_clusters_pb2.Availability.Value, str]] = ..., native_state: _Optional[str] = ..., reason: _Optional[str] = ..., observed_at: _Optional[int] = ...) -> None: ...

class NodeChanges(_message.Message):
    __slots__ = ("cluster", "changes")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    changes: _containers.RepeatedCompositeFieldContainer[NodeChange]
    def __init__(self, cluster: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[NodeChange, _Mapping]]] = ...) -> None: ...

class JobChange(_message.Message):
    __slots__ = ("job", "observed_at")
    JOB_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    job: _jobs_pb2.Job
    observed_at: int
    def __init__(self, job: _Optional[_Union[_jobs_pb2.Job, _Mapping]] = ..., observed_at: _Optional[int] = ...) -> None: ...

class JobChanges(_message.Message):
    __slots__ = ("cluster", "changes")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    changes: _containers.RepeatedCompositeFieldContainer[JobChange]
    def __init__(self, cluster: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[JobChange, _Mapping]]] = ...) -> None: ...

class JobWatch(_message.Message):
    __slots__ = ("cluster", "job_id", "owner")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    job_id: str
    owner: str
    def __init__(self, cluster: _Optional[str] = ..., job_id: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...
