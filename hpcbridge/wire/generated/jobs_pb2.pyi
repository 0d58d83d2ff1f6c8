from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[JobState.Value]
        UNDETERMINED: _ClassVar[JobState.Value]
        QUEUED: _ClassVar[JobState.Value]
        QUEUED_HELD: _ClassVar[JobState.Value]
        RUNNING: _ClassVar[JobState.Value]
        SUSPENDED: _ClassVar[JobState.Value]
        REQUEUED: _ClassVar[JobState.Value]
        REQUEUED_HELD: _ClassVar[JobState.Value]
        DONE: _ClassVar[JobState.Value]
        FAILED: _ClassVar[JobState.Value]
    UNSPECIFIED: JobState.Value
    UNDETERMINED: JobState.Value
    QUEUED: JobState.Value
    QUEUED_HELD: JobState.Value
    RUNNING: JobState.Value
    SUSPENDED: JobState.Value
    REQUEUED: JobState.Value
    REQUEUED_HELD: JobState.Value
    DONE: JobState.Value
    FAILED: JobState.Value
    def __init__(self) -> None: ...

class Phase(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Phase.Value]
        QUEUE: _ClassVar[Phase.Value]
        RUN: _ClassVar[Phase.Value]
        END: _ClassVar[Phase.Value]
    UNSPECIFIED: Phase.Value
    QUEUE: Phase.Value
    RUN: Phase.Value
    END: Phase.Value
    def __init__(self) -> None: ...

class Outcome(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Outcome.Value]
        COMPLETED: _ClassVar[Outcome.Value]
        FAILED: _ClassVar[Outcome.Value]
        CANCELLED: _ClassVar[Outcome.Value]
        TIMEOUT: _ClassVar[Outcome.Value]
        OUT_OF_MEMORY: _ClassVar[Outcome.Value]
        NODE_FAILED: _ClassVar[Outcome.Value]
        PREEMPTED: _ClassVar[Outcome.Value]
        DEADLINE: _ClassVar[Outcome.Value]
        BOOT_FAILED: _ClassVar[Outcome.Value]
        REVOKED: _ClassVar[Outcome.Value]
        LOST: _ClassVar[Outcome.Value]
    UNSPECIFIED: Outcome.Value
    COMPLETED: Outcome.Value
    FAILED: Outcome.Value
    CANCELLED: Outcome.Value
    TIMEOUT: Outcome.Value
    OUT_OF_MEMORY: Outcome.Value
    NODE_FAILED: Outcome.Value
    PREEMPTED: Outcome.Value
    DEADLINE: Outcome.Value
    BOOT_FAILED: Outcome.Value
    REVOKED: Outcome.Value
    LOST: Outcome.Value
    def __init__(self) -> None: ...

class Job(_message.Message):
    __slots__ = ("cluster", "job_id", "incarnation", "array_job_id", "array_index", "array_pending", "het_job_id", "het_index", "state", "phase", "outcome", "native_state", "reason", "owner", "account", "queue", "name", "cores", "gpus", "gpu_type", "memory_bytes", "nodes", "submitted_at", "started_at", "ended_at", "wall_seconds", "walltime_limit_seconds", "exit_code", "exit_signal", "restarts")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ARRAY_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ARRAY_INDEX_FIELD_NUMBER: _ClassVar[int]
    ARRAY_PENDING_FIELD_NUMBER: _ClassVar[int]
    HET_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    HET_INDEX_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    NATIVE_STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    GPU_TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    WALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WALLTIME_LIMIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    EXIT_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    job_id: str
    incarnation: int
    array_job_id: str
    array_index: int
    array_pending: int
    het_job_id: str
    het_index: int
    state: JobState.Value
    phase: Phase.Value
    outcome: Outcome.Value
    native_state: str
    reason: str
    owner: str
    account: str
    queue: str
    name: str
    cores: int
    gpus: int
    gpu_type: str
    memory_bytes: int
    nodes: _containers.RepeatedScalarFieldContainer[str]
    submitted_at: int
    started_at: int
    ended_at: int
    wall_seconds: int
    walltime_limit_seconds: int
    exit_code: int
    exit_signal: int
    restarts: int
    def __init__(self, cluster: _Optional[str] = ..., job_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., array_job_id: _Optional[str] = ..., array_index: _Optional[int] = ..., array_pending: _Optional[int] = ..., het_job_id: _Optional[str] = ..., het_index: _Optional[int] = ..., state: _Optional[_Union[JobState.Value, str]] = ..., phase: _Optional[_Union[Phase.Value, str]] = ..., outcome: _Optional[_Union[Outcome.Value, str]] = ..., native_state: _Optional[str] = ..., reason: _Optional[str] = ..., owner: _Optional[str] = ..., account: _Optional[str] = ..., queue: _Optional[str] = ..., name: _Optional[str] = ..., cores: _Optional[int] = ..., gpus: _Optional[int] = ..., gpu_type: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., nodes: _Optional[_Iterable[str]] = ..., submitted_at: _Optional[int] = ..., started_at: _Optional[int] = ..., ended_at: _Optional[int] = ..., wall_seconds: _Optional[int] = ..., walltime_limit_seconds: _Optional[int] = ..., exit_code: _Optional[int] = ..., exit_signal: _Optional[int] = ..., restarts: _Optional[int] = ...) -> None: ...
