# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Both directions for each word and its message, built from the fields of the dataclass; what is most read has a quicker way.

What a field holds is checked as it is read: unknown enum values, overlong or unprintable text and missing parts raise ValueError naming the
field.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from hpcbridge.model.identities import Submitter, parse_submitter
from hpcbridge.model.jobs import Job, JobState, Phase, validate_job
from hpcbridge.model.nodes import Node, validate_node
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import check_name
from hpcbridge.model.transactions import (
    MAX_ITEMS,
    Header,
    JobChange,
    JobChanges,
    NodeChanges,
    Payload,
    Seen,
)
from hpcbridge.wire.generated import jobs_pb2, transactions_pb2
from hpcbridge.wire.messages import MESSAGES

MAX_TEXT = 1024
MAX_SEQUENCE = (1 << 63) - 1
"""A store keeps numbers as signed 64 bits."""


def read_word(kind: type, message: Message) -> Any:
    """The word of a message, by the quick way where there is one."""
    if kind is Payload:
        return _payload(message)
    return _job(message) if kind is Job else _CODECS[kind].from_message(message)


def write_word(word: Any) -> Any:
    """The message of a word; TypeError or OverflowError for a value its field cannot hold."""
    return _CODECS[type(word)].to_message(word)


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
