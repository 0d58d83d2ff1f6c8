# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Words to bytes and back: every field of every word, and what strict reading refuses."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.model.identities import Submitter
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.transactions import (
    MAX_ITEMS,
    Decision,
    Envelope,
    Header,
    JobChange,
    JobChanges,
    JobWatch,
    Payload,
    PayloadType,
    Revocation,
    Tick,
    Token,
)
from hpcbridge.wire import convert
from hpcbridge.wire.convert import BODY_TYPES, MESSAGES, decode, decode_body, encode, payload_type_of, to_message
from hpcbridge.wire.generated import transactions_pb2

ROOT = Path(__file__).resolve().parents[2]
WORDS = sorted(MESSAGES, key=lambda word: word.__name__)


def full(kind: Any, seed: int = 1) -> Any:
    """A value of `kind` with every field set to something that is not its default, and all different."""
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if typing.get_origin(item) is tuple:
            second = typing.get_args(item)[1]
            return tuple((f"name-{n}", f"value-{n}" if second is str else n) for n in range(seed, seed + 2))
        return tuple(full(item, seed + place) for place in range(2))
    if isinstance(kind, types.UnionType):
        return full(next(each for each in typing.get_args(kind) if each is not type(None)), seed)
    if kind is Submitter:
        return Submitter(f"member-{seed}", "here")
    if kind is bool:
        return True
    if kind is int:
        return 1000 + seed
    if kind is str:
        return f"text-{seed}"
    if kind is bytes:
        return bytes([seed % 256]) * 16
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return list(kind)[-1]
    return full_word(kind, seed)


def full_word(kind: type, seed: int = 1) -> Any:
    hints = typing.get_type_hints(kind)
    values = {field.name: full(hints[field.name], seed + place) for place, field in enumerate(dataclasses.fields(kind))}
    if kind is Job:
        values |= {"cluster": "c1", "state": JobState.FAILED, "outcome": Outcome.LOST, "exit_code": -3, "exit_signal": 9}
    if kind.__name__ in ("JobChanges", "NodeChanges"):
        values["cluster"] = "c1"
    return kind(**values)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.__name__)
def test_every_field_of_every_word_comes_back(word: type) -> None:
    value = full_word(word)
    assert decode(word, encode(value)) == value


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.__name__)
def test_every_field_of_every_message_is_filled(word: type) -> None:
    message = to_message(full_word(word))
    unset = {field.name for field in message.DESCRIPTOR.fields} - {field.name for field, _ in message.ListFields()}
    assert unset == set()


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.__name__)
def test_a_field_that_is_lost_would_be_noticed(word: type) -> None:
    """Control of the round trip: each field makes a difference in the bytes."""
    value = full_word(word)
    for field in dataclasses.fields(word):
        message = to_message(value)
        message.ClearField(field.name)
        assert message.SerializeToString() != encode(value), field.name


def test_every_body_has_its_payload_type() -> None:
    assert set(BODY_TYPES) == set(PayloadType)
    for payload_type, word in BODY_TYPES.items():
        value = full_word(word)
        assert payload_type_of(value) is payload_type
        assert decode_body(payload_type, encode(value)) == value


def test_unknown_is_not_zero() -> None:
    unknown = Job(cluster="c1", job_id="1", incarnation=1, state=JobState.QUEUED)
    nothing = dataclasses.replace(unknown, gpus=0, exit_code=0, wall_seconds=0, name="")
    assert decode(Job, encode(unknown)).gpus is None
    assert (decode(Job, encode(nothing)).gpus, decode(Job, encode(nothing)).name) == (0, "")


HEADER = full_word(Header)
PAYLOAD = Payload(header=HEADER, body=b"body")
STRANGE_FIELD = bytes([0x9A, 0x06, 0x01, 0x58])  # field 99, length-delimited, one byte


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown or repeated"):
        decode(Payload, encode(PAYLOAD) + STRANGE_FIELD)


def test_unknown_fields_are_refused_in_the_depth() -> None:
    header = encode(HEADER) + STRANGE_FIELD
    payload = b"\x0a" + bytes([len(header)]) + header + b"\x12\x04body"
    with pytest.raises(ValueError, match="unknown or repeated"):
        decode(Payload, payload)


def test_without_the_size_check_two_readings_get_through() -> None:
    """Negative control: a reader that trusts the parser takes bytes that say two things."""
    raw = encode(JobWatch(cluster="c1", job_id="7")) + b"\x12\x018"
    message = transactions_pb2.JobWatch.FromString(raw)
    assert convert.from_message(JobWatch, message) == JobWatch(cluster="c1", job_id="8")


def test_repeated_fields_are_refused() -> None:
    """The last one would win, and signed bytes would have two readings."""
    raw = encode(JobWatch(cluster="c1", job_id="7"))
    twice = raw + b"\x12\x018"
    assert transactions_pb2.JobWatch.FromString(twice).job_id == "8"
    with pytest.raises(ValueError, match="unknown or repeated"):
        decode(JobWatch, twice)


def test_numbers_spelt_longer_than_needed_are_refused() -> None:
    raw = encode(Header(**{field.name: getattr(HEADER, field.name) for field in dataclasses.fields(Header)} | {"sequence": 1}))
    assert raw.count(b"\x20\x01") == 1
    with pytest.raises(ValueError, match="unknown or repeated"):
        decode(Header, raw.replace(b"\x20\x01", b"\x20\x81\x00"))


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(ValueError, match="not a message"):
        decode(Envelope, b"\xff\xff\xff")


def test_unknown_enum_values_are_refused() -> None:
    message = transactions_pb2.Decision(name="acme")
    message.vetting = 77  # type: ignore[assignment]
    with pytest.raises(ValueError, match="unknown value 77"):
        decode(Decision, message.SerializeToString())


def test_a_missing_enum_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        decode(Decision, transactions_pb2.Decision(name="acme").SerializeToString())


def test_a_missing_part_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        decode(Payload, transactions_pb2.Payload(body=b"x").SerializeToString())


@pytest.mark.parametrize("text", ["x" * 1025, "line\nbreak", "esc\x1b[31m", "turned\u202e"])
def test_overlong_and_unprintable_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"longer than|unprintable"):
        decode(Revocation, transactions_pb2.Revocation(member="acme", reason=text).SerializeToString())


def test_a_phase_that_contradicts_the_state_is_refused() -> None:
    message = to_message(Job(cluster="c1", job_id="1", incarnation=1, state=JobState.QUEUED))
    message.phase = 3
    with pytest.raises(ValueError, match="phase does not fit"):
        decode(Job, message.SerializeToString())


def test_attributes_out_of_order_or_twice_are_refused() -> None:
    token = full_word(Token)
    for names in (("b", "a"), ("a", "a")):
        message = to_message(token)
        del message.attributes[:]
        for name in names:
            message.attributes.add(name=name, value="x")
        with pytest.raises(ValueError, match="repeated or not in order"):
            decode(Token, message.SerializeToString())


@pytest.mark.parametrize("count", [0, MAX_ITEMS + 1])
def test_too_few_and_too_many_items_are_refused(count: int) -> None:
    change = JobChange(job=Job(cluster="c1", job_id="1", incarnation=1, state=JobState.QUEUED), observed_at=1)
    with pytest.raises(ValueError, match=r"fit into one body"):
        decode(JobChanges, encode(JobChanges(cluster="c1", changes=(change,) * count)))


def test_an_empty_body_is_a_tick_and_nothing_else() -> None:
    assert decode_body(PayloadType.TICK, b"") == Tick()
    with pytest.raises(ValueError, match="missing"):
        decode_body(PayloadType.DECISION, b"")


def test_values_that_no_field_can_hold_are_refused_on_the_way_out() -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode(dataclasses.replace(HEADER, sequence=-1))


def test_generated_stubs_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "proto" / "generate.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
