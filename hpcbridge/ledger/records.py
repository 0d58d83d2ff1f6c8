# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What goes into the store in one piece, and the digests by which a damaged row is found.

Leaves are covered by the tree. State, events and numbers follow from the leaves, but the store alone cannot redo the fold; so each of
these tables has a digest: the sum, modulo 2**256, of one SHA-256 per row. It is kept up to date with every group and finds changed,
lost, doubled and stale rows. It is no defence against somebody who can write the file: against that stand the tree and the auditor's
replay.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from hpcbridge.ledger.damage import check_failed
from hpcbridge.ledger.merkle import EMPTY_ROOT
from hpcbridge.model.entries import Event

ORDINAL_BITS = 20
"""An event's row id is `index << ORDINAL_BITS | ordinal`; ordinals count from 1 within an entry."""
MAX_ORDINAL = (1 << ORDINAL_BITS) - 1
_MODULUS_MASK = (1 << 256) - 1
_HEAD = struct.Struct(">8sQQ32s32s32s32s")
_HEAD_MAGIC = b"HPCBHD\x00\x01"

NumberRow = tuple[str, bytes, int, int, bytes]
"""submitter, epoch, sequence, index, payload hash."""
EventRow = tuple[int, str, str, int, str, bytes]
"""id, type, audience, audience number, subject, body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """The number an entry consumed."""

    submitter: str
    epoch: bytes
    sequence: int
    payload_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a consumed number was used for."""

    index: int
    payload_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """One leaf with what it caused. `number` is None only where an entry consumes none."""

    index: int
    leaf: bytes
    number: Number | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What becomes durable in one transaction.

    `writes` is the state after the whole group (None deletes), `tiles` what `Tree.take_full_tiles` gave, `root` the root of the tree
    with these entries, `engine_position` the position of the last engine batch that is contained. A group without entries is allowed:
    a batch may contain nothing but repeats.
    """

    entries: tuple[StoredEntry, ...]
    writes: Mapping[str, bytes | None]
    tiles: tuple[tuple[int, bytes], ...]
    root: bytes
    engine_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The store's own summary, replaced with every group."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    engine_position: int = 0
    digests: Mapping[str, int] = field(default_factory=lambda: {"number": 0, "state": 0, "event": 0})


def encode_head(head: Head) -> bytes:
    """Fixed fields and a SHA-256 over them."""
    digests = (head.digests[table].to_bytes(32, "big") for table in ("number", "state", "event"))
    facts = _HEAD.pack(_HEAD_MAGIC, head.size, head.engine_position, head.root, *digests)
    return facts + sha256(facts).digest()


def decode_head(encoded: bytes) -> Head:
    """IntegrityError if the bytes are not what `encode_head` made."""
    if len(encoded) != _HEAD.size + 32:
        raise check_failed("the head", "wrong length")
    magic, size, position, root, number, state, event = _HEAD.unpack_from(encoded)
    digests = {table: int.from_bytes(digest, "big") for table, digest in (("number", number), ("state", state), ("event", event))}
    head = Head(size=size, root=root, engine_position=position, digests=digests)
    if magic != _HEAD_MAGIC or encode_head(head) != encoded:
        raise check_failed("the head", "its checksum does not fit")
    return head


def add_digests(digest: int, fingerprints: int) -> int:
    """A table's digest after the sum of some rows' fingerprints was added (or, negative, removed)."""
    return (digest + fingerprints) & _MODULUS_MASK


def state_fingerprint(key: str, value: bytes) -> int:
    """Fingerprint of one row of the state."""
    return int.from_bytes(sha256(f"{len(key)}:{key}".encode() + value).digest(), "big")


def number_fingerprint(row: NumberRow) -> int:
    """Fingerprint of one consumed number."""
    submitter, epoch, sequence, index, payload_hash = row
    return int.from_bytes(sha256(f"{sequence} {index} {len(epoch)} {submitter}\n".encode() + epoch + payload_hash).digest(), "big")


def event_fingerprint(row: EventRow) -> int:
    """Fingerprint of one event."""
    id_, type_, audience, audience_number, subject, body = row
    text = f"{id_} {audience_number} {len(type_)} {len(audience)} {len(subject)} {type_}{audience}{subject}"
    return int.from_bytes(sha256(text.encode() + body).digest(), "big")
