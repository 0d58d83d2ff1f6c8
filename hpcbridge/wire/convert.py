# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Words to proto messages and back: the face of `messages` (which word is which message) and `codecs` (how a field is read).

Names are the same on both sides. Decoding is strict: unknown fields, unknown enum values, repeated scalars, overlong or unprintable text
and missing parts raise ValueError naming the field. Bytes that were signed are never encoded again to be checked; a copy is.
"""

from __future__ import annotations

import typing
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from hpcbridge.model.transactions import (
    MAX_ITEMS,
    Body,
    PayloadType,
)
from hpcbridge.wire.codecs import MAX_SEQUENCE, read_word, write_word
from hpcbridge.wire.messages import BODY_TYPES, ITEM_TYPES, MESSAGES

__all__ = [
    "BODY_TYPES",
    "ITEM_TYPES",
    "MAX_SEQUENCE",
    "MESSAGES",
    "decode",
    "decode_body",
    "decode_sound_items",
    "encode",
    "encode_body",
    "from_message",
    "payload_type_of",
    "to_message",
]

Word = TypeVar("Word")
_TYPE_OF_BODY = {body: payload_type for payload_type, body in BODY_TYPES.items()}


def encode(word: Any) -> bytes:
    """Proto bytes of any word in MESSAGES; ValueError for a value its field cannot hold."""
    return typing.cast("bytes", to_message(word).SerializeToString())


def to_message(word: Any) -> Any:
    """The proto message of a word, for embedding in a request or reply."""
    try:
        return write_word(word)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{type(word).__name__}: {error}") from error


def decode(kind: type[Word], data: bytes) -> Word:
    """Reads bytes as ``kind`` strictly; ValueError naming what is wrong."""
    return from_message(kind, _parse(kind, data))


def from_message(kind: type[Word], message: Message) -> Word:
    """The word of a proto message that was already parsed; ValueError naming what is wrong."""
    return typing.cast("Word", read_word(kind, message))


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
