# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Words to proto messages and back, one table for all of them.

Names are the same on both sides, so a converter is built once for each pair from the fields of the dataclass; only the
exceptions are written down. Decoding is strict: unknown fields, unknown enum values, repeated scalars, overlong or unprintable text
and missing parts raise ValueError naming the field. Bytes that were signed are never encoded again to be checked; a copy is.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from hpcbridge.model.clusters import (
    ClusterState,
    Frontend,
    Program,
    Queue,
    QueueHardware,
    QueueOffer,
    Rates,
    Registration,
    SchedulerInfo,
)
from hpcbridge.model.entries import Entry
from hpcbridge.model.identities import CertificateFacts, Submitter, parse_submitter
from hpcbridge.model.jobs import Job, JobState, Phase, validate_job
from hpcbridge.model.market import (
    AccountRenewal,
    AccountReport,
    Balance,
    Cancellation,
    ContractActivation,
    Credit,
    Offer,
    OfferedQueue,
    ProgramDemand,
    QueueDrift,
    QueueDrifts,
    Rental,
    RentalOrder,
    Request,
    RequestRecord,
    Settlement,
    StatementLine,
    UsageLine,
    UsageNotice,
    WhyNot,
)
from hpcbridge.model.nodes import Node, validate_node
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import check_name
from hpcbridge.model.transactions import (
    MAX_ITEMS,
    Body,
    Decision,
    Document,
    Documents,
    Enrolment,
    Envelope,
    EpochStart,
    Gap,
    Genesis,
    Header,
    JobChange,
    JobChanges,
    JobWatch,
    NodeChange,
    NodeChanges,
    Parameters,
    Payload,
    PayloadType,
    Renewal,
    Revocation,
    Seen,
    SystemNode,
    Tick,
    Token,
)
from hpcbridge.wire.generated import clusters_pb2, entries_pb2, jobs_pb2, market_pb2, transactions_pb2

MESSAGES: Mapping[type, type[Message]] = {
    Job: jobs_pb2.Job,
    Node: clusters_pb2.Node,
    Queue: clusters_pb2.Queue,
    QueueHardware: clusters_pb2.QueueHardware,
    SchedulerInfo: clusters_pb2.SchedulerInfo,
    Frontend: clusters_pb2.Frontend,
    ClusterState: clusters_pb2.ClusterState,
    Program: clusters_pb2.Program,
    Rates: clusters_pb2.Rates,
    QueueOffer: clusters_pb2.QueueOffer,
    QueueDrift: clusters_pb2.QueueDrift,
    QueueDrifts: clusters_pb2.QueueDrifts,
    Registration: clusters_pb2.Registration,
    Seen: transactions_pb2.Seen,
    Header: transactions_pb2.Header,
    Payload: transactions_pb2.Payload,
    Envelope: transactions_pb2.Envelope,
    SystemNode: transactions_pb2.SystemNode,
    Genesis: transactions_pb2.Genesis,
    Gap: transactions_pb2.Gap,
    EpochStart: transactions_pb2.EpochStart,
    Tick: transactions_pb2.Tick,
    Token: transactions_pb2.Token,
    CertificateFacts: transactions_pb2.CertificateFacts,
    Enrolment: transactions_pb2.Enrolment,
    Renewal: transactions_pb2.Renewal,
    Revocation: transactions_pb2.Revocation,
    Decision: transactions_pb2.Decision,
    Document: transactions_pb2.Document,
    Documents: transactions_pb2.Documents,
    Parameters: transactions_pb2.Parameters,
    NodeChange: transactions_pb2.NodeChange,
    NodeChanges: transactions_pb2.NodeChanges,
    JobChange: transactions_pb2.JobChange,
    JobChanges: transactions_pb2.JobChanges,
    JobWatch: transactions_pb2.JobWatch,
    Entry: entries_pb2.Entry,
    ContractActivation: market_pb2.ContractActivation,
    Credit: market_pb2.Credit,
    Request: market_pb2.Request,
    RentalOrder: market_pb2.RentalOrder,
    Cancellation: market_pb2.Cancellation,
    AccountReport: market_pb2.AccountReport,
    AccountRenewal: market_pb2.AccountRenewal,
    OfferedQueue: market_pb2.OfferedQueue,
    Offer: market_pb2.Offer,
    WhyNot: market_pb2.WhyNot,
    RequestRecord: market_pb2.RequestRecord,
    ProgramDemand: market_pb2.ProgramDemand,
    Rental: market_pb2.Rental,
    UsageLine: market_pb2.UsageLine,
    StatementLine: market_pb2.StatementLine,
    Settlement: market_pb2.Settlement,
    UsageNotice: market_pb2.UsageNotice,
    Balance: market_pb2.Balance,
}
"""Every word that travels or is stored as a proto message."""

BODY_TYPES: Mapping[PayloadType, type] = {
    PayloadType.GENESIS: Genesis,
    PayloadType.EPOCH_START: EpochStart,
    PayloadType.TICK: Tick,
    PayloadType.TOKEN: Token,
    PayloadType.ENROLMENT: Enrolment,
    PayloadType.RENEWAL: Renewal,
    PayloadType.REVOCATION: Revocation,
    PayloadType.DECISION: Decision,
    PayloadType.PARAMETERS: Parameters,
    PayloadType.REGISTRATION: Registration,
    PayloadType.CLUSTER_STATE: ClusterState,
    PayloadType.NODE_CHANGES: NodeChanges,
    PayloadType.JOB_CHANGES: JobChanges,
    PayloadType.JOB_WATCH: JobWatch,
    PayloadType.GAP: Gap,
    PayloadType.CONTRACT: ContractActivation,
    PayloadType.CREDIT: Credit,
    PayloadType.REQUEST: Request,
    PayloadType.RENTAL: RentalOrder,
    PayloadType.CANCELLATION: Cancellation,
    PayloadType.ACCOUNT: AccountReport,
    PayloadType.ACCOUNT_RENEWAL: AccountRenewal,
    PayloadType.DOCUMENTS: Documents,
}
"""Which word a body of each payload type is."""

ITEM_TYPES: Mapping[PayloadType, type] = {
    PayloadType.NODE_CHANGES: NodeChange,
    PayloadType.JOB_CHANGES: JobChange,
}
"""Which word an item is, for bodies with items."""

MAX_TEXT = 1024
MAX_SEQUENCE = (1 << 63) - 1
"""A store keeps numbers as signed 64 bits."""
Word = TypeVar("Word")


def encode(word: Any) -> bytes:
    """Proto bytes of any word in MESSAGES; ValueError for a value its field cannot hold."""
    return typing.cast("bytes", to_message(word).SerializeToString())


def to_message(word: Any) -> Any:
    """The proto message of a word, for embedding in a request or reply."""
    try:
        return _CODECS[type(word)].to_message(word)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{type(word).__name__}: {error}") from error


def decode(kind: type[Word], data: bytes) -> Word:
    """Reads bytes as ``kind`` strictly; ValueError naming what is wrong."""
    return from_message(kind, _parse(kind, data))


def from_message(kind: type[Word], message: Message) -> Word:
    """The word of a proto message that was already parsed; ValueError naming what is wrong."""
    if kind is Payload:
        return typing.cast("Word", _payload(message))
    if kind is Job:
        return typing.cast("Word", _job(message))
    return typing.cast("Word", _CODECS[kind].from_message(message))


def encode_body(body: Body) -> bytes:
    """Proto bytes of a body; its payload type is ``payload_type_of(body)``."""
    return encode(body)


def payload_type_of(body: Body) -> PayloadType:
    """The payload type a body travels under."""
    return _TYPE_OF_BODY[type(body)]


def decode_body(payload_type: PayloadType, data: bytes) -> Body:
    """Reads the body of a payload type strictly and checks the items it holds; ValueError naming what is wrong."""
    return typing.cast("Body", decode(BODY_TYPES[payload_type], data))


def decode_sound_items(payload_type: PayloadType, data: bytes) -> tuple[Body | None, tuple[tuple[int, str], ...]]:
    """Reads a body of ITEM_TYPES of which some items may hold impossible values, so that they harm only themselves.

    Returns the body of the sound items (None if there are none), and place and fault of each other one in order. ValueError as in
    ``decode_body`` if more is wrong than the values of items.
    """
    kind = BODY_TYPES[payload_type]
    message: Any = _parse(kind, data)
    if not 1 <= len(message.changes) <= MAX_ITEMS:
        raise ValueError(f"{len(message.changes)} changes: 1 to {MAX_ITEMS} fit into one body")
    faults = []
    for place, item in enumerate(message.changes):
        try:
            from_message(ITEM_TYPES[payload_type], item)
        except ValueError as error:
            faults.append((place, str(error)))
    for place, _ in reversed(faults):
        del message.changes[place]
    body = from_message(kind, message) if message.changes else None
    return typing.cast("Body | None", body), tuple(faults)


def _parse(kind: type, data: bytes) -> Message:
    message = MESSAGES[kind]()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"{kind.__name__}: not a message of this kind") from error
    message.DiscardUnknownFields()
    if message.ByteSize() != len(data):
        raise ValueError(f"{kind.__name__}: unknown or repeated fields")
    return message


class _Codec:
    """Both directions for one pair of dataclass and message."""

    def __init__(self, word: type, message: type[Message]) -> None:
        self.word = word
        self.message = message
        self.check = _CHECKS.get(word)
        self.readers: dict[FieldDescriptor, tuple[str, Callable[[Any], Any] | None]] = {}
        self.writers: list[tuple[str, Callable[[Any], Any] | None]] = []
        self.defaults: dict[str, Any] = {}
        hints = typing.get_type_hints(word)
        names = {field.name for field in message.DESCRIPTOR.fields}
        for field in dataclasses.fields(word):
            if field.name not in names:
                raise TypeError(f"{word.__name__}.{field.name} has no field in {message.DESCRIPTOR.full_name}")
            descriptor = typing.cast("FieldDescriptor", message.DESCRIPTOR.fields_by_name[field.name])
            reader, writer = _field_codec(hints[field.name], descriptor)
            if word is JobChanges and field.name == "changes":
                reader = _job_changes
            self.readers[descriptor] = (field.name, reader)
            self.writers.append((field.name, writer))
            if not _is_required(hints[field.name], descriptor):
                self.defaults[field.name] = _default(hints[field.name], descriptor)

    def from_message(self, message: Message) -> Any:
        values = self.defaults.copy()
        readers = self.readers
        for descriptor, value in message.ListFields():
            name, reader = readers[descriptor]
            values[name] = value if reader is None else reader(value)
        try:
            if self.check is not None:
                return self.check(self.word, values)
            return self.word(**values)
        except TypeError as error:
            raise ValueError(f"{self.word.__name__}: a field is missing") from error

    def to_message(self, word: Any) -> Message:
        values = {}
        for name, writer in self.writers:
            value = getattr(word, name)
            if value is not None:
                values[name] = value if writer is None else writer(value)
        if self.word is Job and word.phase is not None:
            values["phase"] = _PHASES[word.phase]
        return self.message(**values)


def _field_codec(hint: Any, descriptor: FieldDescriptor) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    if typing.get_origin(hint) is tuple:
        return _tuple_codec(hint, descriptor)
    return _single_codec(_without_none(hint), descriptor)


def _single_codec(kind: Any, descriptor: FieldDescriptor) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    if kind is str:
        return _text, None
    if kind is Submitter:
        return parse_submitter, str
    if dataclasses.is_dataclass(kind):
        codec = _codec_of(typing.cast("type", kind))
        return _job if kind is Job else codec.from_message, codec.to_message
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        known = typing.cast("EnumDescriptor", descriptor.enum_type).values_by_name
        numbers = {member: known[member.value].number for member in kind}
        members = {number: member for member, number in numbers.items()}
        return _enum_reader(members, descriptor.name), numbers.__getitem__
    return None, None


def _tuple_codec(hint: Any, descriptor: FieldDescriptor) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    item = typing.get_args(hint)[0]
    if typing.get_origin(item) is tuple:
        return _pairs_reader(typing.get_args(item)[1]), _pairs_writer(descriptor)
    reader, writer = _single_codec(item, descriptor)
    if reader is _text:
        return _texts, list
    read: Callable[[Any], Any] = tuple if reader is None else (lambda values: tuple([reader(value) for value in values]))
    write: Callable[[Any], Any] = list if writer is None else (lambda words: [writer(word) for word in words])
    return read, write


def _pairs_reader(kind: type) -> Callable[[Any], tuple[tuple[str, Any], ...]]:
    def read(messages: Any) -> tuple[tuple[str, Any], ...]:
        pairs = tuple((_text(message.name), _text(message.value) if kind is str else message.value) for message in messages)
        if [name for name, _ in pairs] != sorted({name for name, _ in pairs}):
            raise ValueError("names are repeated or not in order")
        return pairs

    return read


def _pairs_writer(descriptor: FieldDescriptor) -> Callable[[Any], list[Message]]:
    name_of_kind = typing.cast("Descriptor", descriptor.message_type).name
    kind = transactions_pb2.Attribute if name_of_kind == "Attribute" else transactions_pb2.Parameter
    return lambda pairs: [kind(name=name, value=value) for name, value in pairs]


def _text(value: str) -> str:
    if len(value) > MAX_TEXT or not is_printable(value):
        raise ValueError(f"text {value[:40]!r} is longer than {MAX_TEXT} characters or holds unprintable ones")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    texts = tuple(values)
    for text in texts:
        if len(text) > MAX_TEXT or not is_printable(text):
            _text(text)
    return texts


def _enum_reader(members: Mapping[int, StrEnum], name: str) -> Callable[[int], StrEnum]:
    def read(number: int) -> StrEnum:
        member = members.get(number)
        if member is None:
            raise ValueError(f"{name}: unknown value {number}")
        return member

    return read


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def _is_required(hint: Any, descriptor: FieldDescriptor) -> bool:
    """A nested message or enum that may not be left out; scalars without presence have their zero as value."""
    if typing.get_origin(hint) is tuple or _without_none(hint) is not hint:
        return False
    return descriptor.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_ENUM) or hint is Submitter


def _default(hint: Any, descriptor: FieldDescriptor) -> Any:
    if typing.get_origin(hint) is tuple:
        return ()
    return None if _without_none(hint) is not hint else descriptor.default_value


class _JobReader:
    """Reads jobs as their codec would, in half of its time: jobs are most of what a ledger reads.

    A frozen dataclass is filled through `object.__setattr__`, field by field, which alone cost a quarter of reading a job. Here a twin
    with the same slots, which is not frozen, is filled by assignment from a list in the order of the fields and then becomes a Job.
    """

    def __init__(self, codec: _Codec) -> None:
        fields = dataclasses.fields(Job)
        places = {field.name: place for place, field in enumerate(fields)}
        self._twin: Callable[..., Any] = dataclasses.make_dataclass("_JobTwin", [(field.name, Any) for field in fields], slots=True)
        self._readers = {
            descriptor: (places[name], None if reader is _text else reader)  # all of its texts are checked together
            for descriptor, (name, reader) in codec.readers.items()
        }
        self._readers[typing.cast("FieldDescriptor", jobs_pb2.Job.DESCRIPTOR.fields_by_name["phase"])] = (len(fields), None)
        self._defaults: list[Any] = [codec.defaults.get(field.name) for field in fields] + [0]

    def read(self, message: Any) -> Job:
        """A job that `validate_job` finds sound, with a phase that fits its state; ValueError if it is not."""
        values, readers = self._defaults.copy(), self._readers
        for descriptor, value in message.ListFields():
            place, reader = readers[descriptor]
            values[place] = value if reader is None else reader(value)
        phase = values.pop()
        job = self._twin(*values)
        job.__class__ = Job
        if job.state is None:
            raise ValueError("Job: a field is missing")
        if phase != _PHASE_NUMBERS[job.state]:
            raise ValueError(f"phase does not fit state {job.state}")
        for text in (job.cluster, job.job_id, job.array_job_id, job.het_job_id):  # validate_job looks at the other ones
            if text is not None and (len(text) > MAX_TEXT or not is_printable(text)):
                _text(text)
        validate_job(job)
        return typing.cast("Job", job)


def _job(message: Any) -> Job:
    return _JOBS.read(message)


def _job_changes(messages: Any) -> tuple[JobChange, ...]:
    """As the codec of JobChange would, whose general way costs as much as checking the job."""
    read = _JOBS.read
    changes = []
    for message in messages:
        if not message.HasField("job"):
            raise ValueError("JobChange: a field is missing")
        changes.append(JobChange(job=read(message.job), observed_at=message.observed_at))
    return tuple(changes)


def _check_node(kind: type, values: dict[str, Any]) -> Node:
    node: Node = kind(**values)
    validate_node(node)
    return node


def _check_changes(kind: type, values: dict[str, Any]) -> Any:
    word = kind(**values)
    check_name("cluster", word.cluster)
    if not 1 <= len(word.changes) <= MAX_ITEMS:
        raise ValueError(f"{len(word.changes)} changes: 1 to {MAX_ITEMS} fit into one body")
    return word


def _check_header(kind: type, values: dict[str, Any]) -> Header:
    header: Header = kind(**values)
    if len(header.epoch) != 16 or not 1 <= header.sequence <= MAX_SEQUENCE:
        raise ValueError(f"header: the epoch has 16 bytes and the sequence counts from 1 to {MAX_SEQUENCE}")
    return header


def _payload(message: Any) -> Payload:
    """As its codec would, in a third of the time: the ledger reads the head of every envelope twice."""
    head = message.header
    if not message.HasField("header") or not head.HasField("seen"):
        raise ValueError("Payload: a field is missing")
    values = {
        "origin": _text(head.origin),
        "submitter": _known_submitter(head.submitter),
        "epoch": head.epoch,
        "sequence": head.sequence,
        "seen": Seen(size=head.seen.size, root=head.seen.root),
        "wall_at": head.wall_at,
    }
    return Payload(header=_check_header(Header, values), body=message.body)


_known_submitter = functools.lru_cache(maxsize=4096)(parse_submitter)
_PHASES = {member: jobs_pb2.Phase.Value.Value(member.value) for member in Phase}
_PHASE_NUMBERS = {state: 0 if state.phase is None else _PHASES[state.phase] for state in JobState}
_CHECKS: Mapping[type, Callable[[type, dict[str, Any]], Any]] = {
    Node: _check_node,
    JobChanges: _check_changes,
    NodeChanges: _check_changes,
    Header: _check_header,
}
_CODECS: dict[type, _Codec] = {}


def _codec_of(word: type) -> _Codec:
    if word not in _CODECS:
        _CODECS[word] = _Codec(word, MESSAGES[word])
    return _CODECS[word]


for _word in MESSAGES:
    _codec_of(_word)
_JOBS = _JobReader(_CODECS[Job])
_TYPE_OF_BODY = {body: payload_type for payload_type, body in BODY_TYPES.items()}
