from hpcbridge.wire.generated import clusters_pb2 as _clusters_pb2
from hpcbridge.wire.generated import jobs_pb2 as _jobs_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContractActivation(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("member", "amount", "reference")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    member: str
    amount: int
    reference: str
    def __init__(self, member: _Optional[str] = ..., amount: _Optional[int] = ..., reference: _Optional[str] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("cores", "gpus", "gpu_type", "memory_bytes", "walltime_seconds", "programs", "latitude_microdegrees", "longitude_microdegrees")
    CORES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    GPU_TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_MICRODEGREES_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_MICRODEGREES_FIELD_NUMBER: _ClassVar[int]
    cores: int
    gpus: int
    gpu_type: str
    memory_bytes: int
    walltime_seconds: int
    programs: _containers.RepeatedCompositeFieldContainer[_clusters_pb2.Program]
    latitude_microdegrees: int
    longitude_microdegrees: int
    def __init__(self, cores: _Optional[int] = ..., gpus: _Optional[int] = ..., gpu_type: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., walltime_seconds: _Optional[int] = ..., programs: _Optional[_Iterable[_Union[_clusters_pb2.Program, _Mapping]]] = ..., latitude_microdegrees: _Optional[int] = ..., longitude_microdegrees: _Optional[int] = ...) -> None: ...

class RentalOrder(_message.Message):
    __slots__ = ("offer", "request", "queue", "cores", "gpus", "walltime_seconds", "extra_limit", "sealing_key")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    offer: str
    request: str
    queue: str
    cores: int
    gpus: int
    walltime_seconds: int
    extra_limit: int
    sealing_key: bytes
    def __init__(self, offer: _Optional[str] = ..., request: _Optional[str] = ..., queue: _Optional[str] = ..., cores: _Optional[int] = ..., gpus: _Optional[int] = ..., walltime_seconds: _Optional[int] = ..., extra_limit: _Optional[int] = ..., sealing_key: _Optional[bytes] = ...) -> None: ...

class Cancellation(_message.Message):
    __slots__ = ("rental",)
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    rental: str
    def __init__(self, rental: _Optional[str] = ...) -> None: ...

class AccountState(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[AccountState.Value]
        READY: _ClassVar[AccountState.Value]
        FAILED: _ClassVar[AccountState.Value]
        CLOSED: _ClassVar[AccountState.Value]
    UNSPECIFIED: AccountState.Value
    READY: AccountState.Value
    FAILED: AccountState.Value
    CLOSED: AccountState.Value
    def __init__(self) -> None: ...

class AccountReport(_message.Message):
    __slots__ = ("rental", "state", "text")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    rental: str
    state: AccountState.Value
    text: str
    def __init__(self, rental: _Optional[str] = ..., state: _Optional[_Union[AccountState.Value, str]] = ..., text: _Optional[str] = ...) -> None: ...

class AccountRenewal(_message.Message):
    __slots__ = ("rental", "sealing_key")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    rental: str
    sealing_key: bytes
    def __init__(self, rental: _Optional[str] = ..., sealing_key: _Optional[bytes] = ...) -> None: ...

class WaitRule(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[WaitRule.Value]
        FREE_NOW: _ClassVar[WaitRule.Value]
        QUEUE_AHEAD: _ClassVar[WaitRule.Value]
        UNKNOWN: _ClassVar[WaitRule.Value]
    UNSPECIFIED: WaitRule.Value
    FREE_NOW: WaitRule.Value
    QUEUE_AHEAD: WaitRule.Value
    UNKNOWN: WaitRule.Value
    def __init__(self) -> None: ...

class OfferedQueue(_message.Message):
    __slots__ = ("label", "max_cores", "gpu_type", "gpus", "max_walltime_seconds", "memory_bytes", "cores_total", "cores_free", "gpus_total", "gpus_free", "jobs_queued", "jobs_running", "rates", "deposit", "wait_seconds", "wait_rule")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    MAX_CORES_FIELD_NUMBER: _ClassVar[int]
    GPU_TYPE_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    MAX_WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CORES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CORES_FREE_FIELD_NUMBER: _ClassVar[int]
    GPUS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    GPUS_FREE_FIELD_NUMBER: _ClassVar[int]
    JOBS_QUEUED_FIELD_NUMBER: _ClassVar[int]
    JOBS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_RULE_FIELD_NUMBER: _ClassVar[int]
    label: str
    max_cores: int
    gpu_type: str
    gpus: int
    max_walltime_seconds: int
    memory_bytes: int
    cores_total: int
    cores_free: int
    gpus_total: int
    gpus_free: int
    jobs_queued: int
    jobs_running: int
    rates: _clusters_pb2.Rates
    deposit: int
    wait_seconds: int
    wait_rule: WaitRule.Value
    def __init__(self, label: _Optional[str] = ..., max_cores: _Optional[int] = ..., gpu_type: _Optional[str] = ..., gpus: _Optional[int] = ..., max_walltime_seconds: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., cores_total: _Optional[int] = ..., cores_free: _Optional[int] = ..., gpus_total: _Optional[int] = ..., gpus_free: _Optional[int] = ..., jobs_queued: _Optional[int] = ..., jobs_running: _Optional[int] = ..., rates: _Optional[_Union[_clusters_pb2.Rates, _Mapping]] = ..., deposit: _Optional[int] = ..., wait_seconds: _Optional[int] = ..., wait_rule: _Optional[_Union[WaitRule.Value, str]] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("offer", "request", "index", "offered_at", "expires_at", "state_age_ms", "to_install", "queues")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFERED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    STATE_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    TO_INSTALL_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    offer: str
    request: str
    index: int
    offered_at: int
    expires_at: int
    state_age_ms: int
    to_install: _containers.RepeatedCompositeFieldContainer[_clusters_pb2.Program]
    queues: _containers.RepeatedCompositeFieldContainer[OfferedQueue]
    def __init__(self, offer: _Optional[str] = ..., request: _Optional[str] = ..., index: _Optional[int] = ..., offered_at: _Optional[int] = ..., expires_at: _Optional[int] = ..., state_age_ms: _Optional[int] = ..., to_install: _Optional[_Iterable[_Union[_clusters_pb2.Program, _Mapping]]] = ..., queues: _Optional[_Iterable[_Union[OfferedQueue, _Mapping]]] = ...) -> None: ...

class Requirement(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Requirement.Value]
        OWN: _ClassVar[Requirement.Value]
        APPROVED: _ClassVar[Requirement.Value]
        HEARD_FROM: _ClassVar[Requirement.Value]
        PRICED: _ClassVar[Requirement.Value]
        OPEN: _ClassVar[Requirement.Value]
        CORES: _ClassVar[Requirement.Value]
        GPUS: _ClassVar[Requirement.Value]
        GPU_TYPE: _ClassVar[Requirement.Value]
        MEMORY: _ClassVar[Requirement.Value]
        WALLTIME: _ClassVar[Requirement.Value]
        PROGRAMS: _ClassVar[Requirement.Value]
        LISTED: _ClassVar[Requirement.Value]
    UNSPECIFIED: Requirement.Value
    OWN: Requirement.Value
    APPROVED: Requirement.Value
    HEARD_FROM: Requirement.Value
    PRICED: Requirement.Value
    OPEN: Requirement.Value
    CORES: Requirement.Value
    GPUS: Requirement.Value
    GPU_TYPE: Requirement.Value
    MEMORY: Requirement.Value
    WALLTIME: Requirement.Value
    PROGRAMS: Requirement.Value
    LISTED: Requirement.Value
    def __init__(self) -> None: ...

class WhyNot(_message.Message):
    __slots__ = ("ordinal", "requirement", "needed", "found", "missing")
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENT_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ordinal: int
    requirement: Requirement.Value
    needed: int
    found: int
    missing: _containers.RepeatedCompositeFieldContainer[_clusters_pb2.Program]
    def __init__(self, ordinal: _Optional[int] = ..., requirement: _Optional[_Union[Requirement.Value, str]] = ..., needed: _Optional[int] = ..., found: _Optional[int] = ..., missing: _Optional[_Iterable[_Union[_clusters_pb2.Program, _Mapping]]] = ...) -> None: ...

class RequestRecord(_message.Message):
    __slots__ = ("request", "asked", "index", "asked_at", "expires_at", "offers", "why_nots")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    WHY_NOTS_FIELD_NUMBER: _ClassVar[int]
    request: str
    asked: Request
    index: int
    asked_at: int
    expires_at: int
    offers: int
    why_nots: int
    def __init__(self, request: _Optional[str] = ..., asked: _Optional[_Union[Request, _Mapping]] = ..., index: _Optional[int] = ..., asked_at: _Optional[int] = ..., expires_at: _Optional[int] = ..., offers: _Optional[int] = ..., why_nots: _Optional[int] = ...) -> None: ...

class ProgramDemand(_message.Message):
    __slots__ = ("program", "count")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    program: _clusters_pb2.Program
    count: int
    def __init__(self, program: _Optional[_Union[_clusters_pb2.Program, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class RentalState(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[RentalState.Value]
        GRANTED: _ClassVar[RentalState.Value]
        READY: _ClassVar[RentalState.Value]
        USED: _ClassVar[RentalState.Value]
        ENDED: _ClassVar[RentalState.Value]
    UNSPECIFIED: RentalState.Value
    GRANTED: RentalState.Value
    READY: RentalState.Value
    USED: RentalState.Value
    ENDED: RentalState.Value
    def __init__(self) -> None: ...

class RentalEnd(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[RentalEnd.Value]
        COMPLETED: _ClassVar[RentalEnd.Value]
        CANCELLED: _ClassVar[RentalEnd.Value]
        EXPIRED: _ClassVar[RentalEnd.Value]
        FAILED_BY_SITE: _ClassVar[RentalEnd.Value]
        OVERDUE: _ClassVar[RentalEnd.Value]
        CLUSTER_ENDED: _ClassVar[RentalEnd.Value]
        MEMBER_ENDED: _ClassVar[RentalEnd.Value]
    UNSPECIFIED: RentalEnd.Value
    COMPLETED: RentalEnd.Value
    CANCELLED: RentalEnd.Value
    EXPIRED: RentalEnd.Value
    FAILED_BY_SITE: RentalEnd.Value
    OVERDUE: RentalEnd.Value
    CLUSTER_ENDED: RentalEnd.Value
    MEMBER_ENDED: RentalEnd.Value
    def __init__(self) -> None: ...

class Rental(_message.Message):
    __slots__ = ("rental", "request", "offer", "member", "submitter", "username", "cluster", "provider", "login_address", "queue", "cores", "gpus", "walltime_seconds", "limit_seconds", "to_install", "rates", "price_version", "deposit", "extra_limit", "sealing_key", "state", "end", "index", "granted_at", "expires_at", "latest_at", "ready_at", "used_at", "ended_at", "settled_index", "account", "account_text", "held", "charged", "refunded", "not_covered", "provider_sealing_key", "renewed_at")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    LOGIN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TO_INSTALL_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    EXTRA_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    GRANTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    LATEST_AT_FIELD_NUMBER: _ClassVar[int]
    READY_AT_FIELD_NUMBER: _ClassVar[int]
    USED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    SETTLED_INDEX_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_TEXT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    NOT_COVERED_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    RENEWED_AT_FIELD_NUMBER: _ClassVar[int]
    rental: str
    request: str
    offer: str
    member: str
    submitter: str
    username: str
    cluster: str
    provider: str
    login_address: str
    queue: str
    cores: int
    gpus: int
    walltime_seconds: int
    limit_seconds: int
    to_install: _containers.RepeatedCompositeFieldContainer[_clusters_pb2.Program]
    rates: _clusters_pb2.Rates
    price_version: int
    deposit: int
    extra_limit: int
    sealing_key: bytes
    state: RentalState.Value
    end: RentalEnd.Value
    index: int
    granted_at: int
    expires_at: int
    latest_at: int
    ready_at: int
    used_at: int
    ended_at: int
    settled_index: int
    account: AccountState.Value
    account_text: str
    held: int
    charged: int
    refunded: int
    not_covered: int
    provider_sealing_key: bytes
    renewed_at: int
    def __init__(self, rental: _Optional[str] = ..., request: _Optional[str] = ..., offer: _Optional[str] = ..., member: _Optional[str] = ..., submitter: _Optional[str] = ..., username: _Optional[str] = ..., cluster: _Optional[str] = ..., provider: _Optional[str] = ..., login_address: _Optional[str] = ..., queue: _Optional[str] = ..., cores: _Optional[int] = ..., gpus: _Optional[int] = ..., walltime_seconds: _Optional[int] = ..., limit_seconds: _Optional[int] = ..., to_install: _Optional[_Iterable[_Union[_clusters_pb2.Program, _Mapping]]] = ..., rates: _Optional[_Union[_clusters_pb2.Rates, _Mapping]] = ..., price_version: _Optional[int] = ..., deposit: _Optional[int] = ..., extra_limit: _Optional[int] = ..., sealing_key: _Optional[bytes] = ..., state: _Optional[_Union[RentalState.Value, str]] = ..., end: _Optional[_Union[RentalEnd.Value, str]] = ..., index: _Optional[int] = ..., granted_at: _Optional[int] = ..., expires_at: _Optional[int] = ..., latest_at: _Optional[int] = ..., ready_at: _Optional[int] = ..., used_at: _Optional[int] = ..., ended_at: _Optional[int] = ..., settled_index: _Optional[int] = ..., account: _Optional[_Union[AccountState.Value, str]] = ..., account_text: _Optional[str] = ..., held: _Optional[int] = ..., charged: _Optional[int] = ..., refunded: _Optional[int] = ..., not_covered: _Optional[int] = ..., provider_sealing_key: _Optional[bytes] = ..., renewed_at: _Optional[int] = ...) -> None: ...

class Bearer(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Bearer.Value]
        USER: _ClassVar[Bearer.Value]
        SITE: _ClassVar[Bearer.Value]
        NOBODY: _ClassVar[Bearer.Value]
    UNSPECIFIED: Bearer.Value
    USER: Bearer.Value
    SITE: Bearer.Value
    NOBODY: Bearer.Value
    def __init__(self) -> None: ...

class UsageLine(_message.Message):
    __slots__ = ("cluster", "job_id", "incarnation", "outcome", "bearer", "core_seconds", "gpu_seconds", "cpu_charge", "gpu_charge", "charge", "not_covered")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    BEARER_FIELD_NUMBER: _ClassVar[int]
    CORE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_CHARGE_FIELD_NUMBER: _ClassVar[int]
    GPU_CHARGE_FIELD_NUMBER: _ClassVar[int]
    CHARGE_FIELD_NUMBER: _ClassVar[int]
    NOT_COVERED_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    job_id: str
    incarnation: int
    outcome: _jobs_pb2.Outcome.Value
    bearer: Bearer.Value
    core_seconds: int
    gpu_seconds: int
    cpu_charge: int
    gpu_charge: int
    charge: int
    not_covered: int
    def __init__(self, cluster: _Optional[str] = ..., job_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., outcome: _Optional[_Union[_jobs_pb2.Outcome.Value, str]] = ..., bearer: _Optional[_Union[Bearer.Value, str]] = ..., core_seconds: _Optional[int] = ..., gpu_seconds: _Optional[int] = ..., cpu_charge: _Optional[int] = ..., gpu_charge: _Optional[int] = ..., charge: _Optional[int] = ..., not_covered: _Optional[int] = ...) -> None: ...

class LineKind(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[LineKind.Value]
        DEPOSIT: _ClassVar[LineKind.Value]
        USAGE: _ClassVar[LineKind.Value]
        REFUND: _ClassVar[LineKind.Value]
        CORRECTION: _ClassVar[LineKind.Value]
    UNSPECIFIED: LineKind.Value
    DEPOSIT: LineKind.Value
    USAGE: LineKind.Value
    REFUND: LineKind.Value
    CORRECTION: LineKind.Value
    def __init__(self) -> None: ...

class StatementLine(_message.Message):
    __slots__ = ("ordinal", "kind", "index", "at", "amount", "usage")
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ordinal: int
    kind: LineKind.Value
    index: int
    at: int
    amount: int
    usage: UsageLine
    def __init__(self, ordinal: _Optional[int] = ..., kind: _Optional[_Union[LineKind.Value, str]] = ..., index: _Optional[int] = ..., at: _Optional[int] = ..., amount: _Optional[int] = ..., usage: _Optional[_Union[UsageLine, _Mapping]] = ...) -> None: ...

class Settlement(_message.Message):
    __slots__ = ("rental", "end", "deposit", "charged", "refunded", "not_covered")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    NOT_COVERED_FIELD_NUMBER: _ClassVar[int]
    rental: str
    end: RentalEnd.Value
    deposit: int
    charged: int
    refunded: int
    not_covered: int
    def __init__(self, rental: _Optional[str] = ..., end: _Optional[_Union[RentalEnd.Value, str]] = ..., deposit: _Optional[int] = ..., charged: _Optional[int] = ..., refunded: _Optional[int] = ..., not_covered: _Optional[int] = ...) -> None: ...

class Excess(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Excess.Value]
        CORES: _ClassVar[Excess.Value]
        GPUS: _ClassVar[Excess.Value]
        WALLTIME: _ClassVar[Excess.Value]
        JOBS: _ClassVar[Excess.Value]
    UNSPECIFIED: Excess.Value
    CORES: Excess.Value
    GPUS: Excess.Value
    WALLTIME: Excess.Value
    JOBS: Excess.Value
    def __init__(self) -> None: ...

class UsageNotice(_message.Message):
    __slots__ = ("rental", "job_id", "incarnation", "excess", "rented", "used")
    RENTAL_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    EXCESS_FIELD_NUMBER: _ClassVar[int]
    RENTED_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    rental: str
    job_id: str
    incarnation: int
    excess: Excess.Value
    rented: int
    used: int
    def __init__(self, rental: _Optional[str] = ..., job_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., excess: _Optional[_Union[Excess.Value, str]] = ..., rented: _Optional[int] = ..., used: _Optional[int] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("member", "balance", "held")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    member: str
    balance: int
    held: int
    def __init__(self, member: _Optional[str] = ..., balance: _Optional[int] = ..., held: _Optional[int] = ...) -> None: ...
