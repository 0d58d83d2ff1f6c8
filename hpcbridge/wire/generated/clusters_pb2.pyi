from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Availability(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Availability.Value]
        UP: _ClassVar[Availability.Value]
        DRAINING: _ClassVar[Availability.Value]
        DRAINED: _ClassVar[Availability.Value]
        DOWN: _ClassVar[Availability.Value]
        UNKNOWN: _ClassVar[Availability.Value]
    UNSPECIFIED: Availability.Value
    UP: Availability.Value
    DRAINING: Availability.Value
    DRAINED: Availability.Value
    DOWN: Availability.Value
    UNKNOWN: Availability.Value
    def __init__(self) -> None: ...

class Node(_message.Message):
    __slots__ = ("cluster", "name", "availability", "native_state", "reason", "queues", "cores_total", "cores_used", "gpus_total", "gpus_used", "gpu_type", "memory_bytes_total", "memory_bytes_used")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    NATIVE_STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    CORES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CORES_USED_FIELD_NUMBER: _ClassVar[int]
    GPUS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    GPUS_USED_FIELD_NUMBER: _ClassVar[int]
    GPU_TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_USED_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    name: str
    availability: Availability.Value
    native_state: str
    reason: str
    queues: _containers.RepeatedScalarFieldContainer[str]
    cores_total: int
    cores_used: int
    gpus_total: int
    gpus_used: int
    gpu_type: str
    memory_bytes_total: int
    memory_bytes_used: int
    def __init__(self, cluster: _Optional[str] = ..., name: _Optional[str] = ..., availability: _Optional[_Union[Availability.Value, str]] = ..., native_state: _Optional[str] = ..., reason: _Optional[str] = ..., queues: _Optional[_Iterable[str]] = ..., cores_total: _Optional[int] = ..., cores_used: _Optional[int] = ..., gpus_total: _Optional[int] = ..., gpus_used: _Optional[int] = ..., gpu_type: _Optional[str] = ..., memory_bytes_total: _Optional[int] = ..., memory_bytes_used: _Optional[int] = ...) -> None: ...

class Queue(_message.Message):
    __slots__ = ("cluster", "name", "open", "nodes", "cores_total", "cores_used", "cores_available", "gpus_total", "gpus_used", "jobs_queued", "jobs_running", "max_cores", "max_walltime_seconds")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    CORES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CORES_USED_FIELD_NUMBER: _ClassVar[int]
    CORES_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    GPUS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    GPUS_USED_FIELD_NUMBER: _ClassVar[int]
    JOBS_QUEUED_FIELD_NUMBER: _ClassVar[int]
    JOBS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_CORES_FIELD_NUMBER: _ClassVar[int]
    MAX_WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    name: str
    open: bool
    nodes: _containers.RepeatedScalarFieldContainer[str]
    cores_total: int
    cores_used: int
    cores_available: int
    gpus_total: int
    gpus_used: int
    jobs_queued: int
    jobs_running: int
    max_cores: int
    max_walltime_seconds: int
    def __init__(self, cluster: _Optional[str] = ..., name: _Optional[str] = ..., open: bool = ..., nodes: _Optional[_Iterable[str]] = ..., cores_total: _Optional[int] = ..., cores_used: _Optional[int] = ..., cores_available: _Optional[int] = ..., gpus_total: _Optional[int] = ..., gpus_used: _Optional[int] = ..., jobs_queued: _Optional[int] = ..., jobs_running: _Optional[int] = ..., max_cores: _Optional[int] = ..., max_walltime_seconds: _Optional[int] = ...) -> None: ...

class QueueHardware(_message.Message):
    __slots__ = ("queue", "gpu_types", "memory_bytes")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    GPU_TYPES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    queue: str
    gpu_types: _containers.RepeatedScalarFieldContainer[str]
    memory_bytes: int
    def __init__(self, queue: _Optional[str] = ..., gpu_types: _Optional[_Iterable[str]] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class SchedulerInfo(_message.Message):
    __slots__ = ("name", "version", "reachable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    reachable: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., reachable: bool = ...) -> None: ...

class Frontend(_message.Message):
    __slots__ = ("load_hundredths", "memory_used_bytes")
    LOAD_HUNDREDTHS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    load_hundredths: int
    memory_used_bytes: int
    def __init__(self, load_hundredths: _Optional[int] = ..., memory_used_bytes: _Optional[int] = ...) -> None: ...

class ClusterState(_message.Message):
    __slots__ = ("cluster", "observed_at", "queues", "nodes_total", "nodes_up", "cores_total", "cores_used", "utilization", "scheduler", "frontend", "hardware")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    NODES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    NODES_UP_FIELD_NUMBER: _ClassVar[int]
    CORES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CORES_USED_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    FRONTEND_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    observed_at: int
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    nodes_total: int
    nodes_up: int
    cores_total: int
    cores_used: int
    utilization: int
    scheduler: SchedulerInfo
    frontend: Frontend
    hardware: _containers.RepeatedCompositeFieldContainer[QueueHardware]
    def __init__(self, cluster: _Optional[str] = ..., observed_at: _Optional[int] = ..., queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ..., nodes_total: _Optional[int] = ..., nodes_up: _Optional[int] = ..., cores_total: _Optional[int] = ..., cores_used: _Optional[int] = ..., utilization: _Optional[int] = ..., scheduler: _Optional[_Union[SchedulerInfo, _Mapping]] = ..., frontend: _Optional[_Union[Frontend, _Mapping]] = ..., hardware: _Optional[_Iterable[_Union[QueueHardware, _Mapping]]] = ...) -> None: ...

class Program(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Rates(_message.Message):
    __slots__ = ("cpu_core_per_hour", "gpu_core_per_hour")
    CPU_CORE_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    GPU_CORE_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    cpu_core_per_hour: int
    gpu_core_per_hour: int
    def __init__(self, cpu_core_per_hour: _Optional[int] = ..., gpu_core_per_hour: _Optional[int] = ...) -> None: ...

class Registration(_message.Message):
    __slots__ = ("cluster", "login_address", "latitude_microdegrees", "longitude_microdegrees", "programs", "installs_programs", "rates", "queues", "sealing_key")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    LOGIN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_MICRODEGREES_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_MICRODEGREES_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    INSTALLS_PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    login_address: str
    latitude_microdegrees: int
    longitude_microdegrees: int
    programs: _containers.RepeatedCompositeFieldContainer[Program]
    installs_programs: bool
    rates: Rates
    queues: _containers.RepeatedCompositeFieldContainer[QueueOffer]
    sealing_key: bytes
    def __init__(self, cluster: _Optional[str] = ..., login_address: _Optional[str] = ..., latitude_microdegrees: _Optional[int] = ..., longitude_microdegrees: _Optional[int] = ..., programs: _Optional[_Iterable[_Union[Program, _Mapping]]] = ..., installs_programs: bool = ..., rates: _Optional[_Union[Rates, _Mapping]] = ..., queues: _Optional[_Iterable[_Union[QueueOffer, _Mapping]]] = ..., sealing_key: _Optional[bytes] = ...) -> None: ...

class QueueOffer(_message.Message):
    __slots__ = ("name", "max_cores", "gpu_type", "gpus", "max_walltime_seconds", "memory_bytes", "rates")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_CORES_FIELD_NUMBER: _ClassVar[int]
    GPU_TYPE_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    MAX_WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    max_cores: int
    gpu_type: str
    gpus: int
    max_walltime_seconds: int
    memory_bytes: int
    rates: Rates
    def __init__(self, name: _Optional[str] = ..., max_cores: _Optional[int] = ..., gpu_type: _Optional[str] = ..., gpus: _Optional[int] = ..., max_walltime_seconds: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., rates: _Optional[_Union[Rates, _Mapping]] = ...) -> None: ...

class DriftField(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[DriftField.Value]
        QUEUE: _ClassVar[DriftField.Value]
        MAX_CORES: _ClassVar[DriftField.Value]
        GPUS: _ClassVar[DriftField.Value]
        MAX_WALLTIME_SECONDS: _ClassVar[DriftField.Value]
        GPU_TYPE: _ClassVar[DriftField.Value]
        MEMORY_BYTES: _ClassVar[DriftField.Value]
    UNSPECIFIED: DriftField.Value
    QUEUE: DriftField.Value
    MAX_CORES: DriftField.Value
    GPUS: DriftField.Value
    MAX_WALLTIME_SECONDS: DriftField.Value
    GPU_TYPE: DriftField.Value
    MEMORY_BYTES: DriftField.Value
    def __init__(self) -> None: ...

class QueueDrift(_message.Message):
    __slots__ = ("queue", "field", "registered", "observed", "registered_gpu_type", "observed_gpu_types")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_GPU_TYPE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_GPU_TYPES_FIELD_NUMBER: _ClassVar[int]
    queue: str
    field: DriftField.Value
    registered: int
    observed: int
    registered_gpu_type: str
    observed_gpu_types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, queue: _Optional[str] = ..., field: _Optional[_Union[DriftField.Value, str]] = ..., registered: _Optional[int] = ..., observed: _Optional[int] = ..., registered_gpu_type: _Optional[str] = ..., observed_gpu_types: _Optional[_Iterable[str]] = ...) -> None: ...

class QueueDrifts(_message.Message):
    __slots__ = ("cluster", "drifts")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    drifts: _containers.RepeatedCompositeFieldContainer[QueueDrift]
    def __init__(self, cluster: _Optional[str] = ..., drifts: _Optional[_Iterable[_Union[QueueDrift, _Mapping]]] = ...) -> None: ...

class Vetting(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Vetting.Value]
        PENDING: _ClassVar[Vetting.Value]
        APPROVED: _ClassVar[Vetting.Value]
        REJECTED: _ClassVar[Vetting.Value]
        SUSPENDED: _ClassVar[Vetting.Value]
    UNSPECIFIED: Vetting.Value
    PENDING: Vetting.Value
    APPROVED: Vetting.Value
    REJECTED: Vetting.Value
    SUSPENDED: Vetting.Value
    def __init__(self) -> None: ...
