# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How words and records become the bytes of the state: MessagePack arrays in the order of their fields, one spelling for each value.

A word keeps its dataclass; for the bytes each has a mirror of the same fields that is written as an array. What stands here and not in
the model is what only the ledger says of members, clusters, keys and epochs.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from hpcbridge.model.clusters import ClusterState, QueueOffer, Registration, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.market import Offer, Rental, RequestRecord, Requirement
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Decision, Document, Gap, JobWatch, SystemNode

Word = TypeVar("Word")

REMEMBERED = 512
"""Words that are remembered beside their bytes, which alone decide whether it is them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationRecord:
    """One installation of a member with its current key. `not_after_at` None: a system node's key, which does not expire.

    `awaits_approval`: the ledger would answer a new epoch with RETRY(APPROVAL) now.
    """

    name: str
    key_id: bytes
    not_after_at: Instant | None
    revoked: bool
    enrolled_at: Instant
    awaits_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A document as it was submitted: by which entry, when, and by which installation of the member."""

    document: Document
    index: int
    at: Instant
    installation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VettingRecord:
    """What an admin decided of a member or a cluster, by which entry, and when."""

    decision: Decision
    index: int
    at: Instant
    admin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """A member as it sees itself, and as admins and auditors see it."""

    name: str
    role: Role
    vetting: Vetting
    revoked: bool
    attributes: tuple[tuple[str, str], ...]
    installations: tuple[InstallationRecord, ...]
    enrolled_at: Instant
    documents: tuple[DocumentRecord, ...] = ()
    decisions: tuple[VettingRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """A registered cluster with its last sample; `heard_at` is when the ledger last heard anything of it."""

    registration: Registration
    provider: str
    vetting: Vetting
    registered_at: Instant
    state: ClusterState | None
    heard_at: Instant | None
    decisions: tuple[VettingRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRecord:
    """A reported gap and the entry that reported it."""

    gap: Gap
    index: int
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class GenesisRecord:
    """What entry 0 pinned."""

    origin: str
    ca_certificate: bytes
    log_key: bytes
    system_nodes: tuple[SystemNode, ...]
    contract_version: int
    created_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """`request/<request>`: who asked, and what the member sees of it."""

    member: str
    record: RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOffer:
    """`offer/<request>/<ordinal>`: what the user sees, and beside it what nobody is shown before renting.

    `queues` are the names behind the labels of `offer.queues`, in their order; the rates there are final, and so is the share that a
    deposit is of the price.
    """

    offer: Offer
    cluster: str
    provider: str
    queues: tuple[str, ...]
    price_version: int
    deposit_permille: int


class StoredWhyNot(msgspec.Struct, frozen=True, array_like=True):
    """One reason of a request. `missing`: which of the programs asked for, the first one as the lowest bit; 64 may be asked for."""

    requirement: Requirement
    needed: int | None
    found: int | None
    missing: int


class StoredWhyNots(msgspec.Struct, frozen=True, array_like=True):
    """`whynot/<request>`, in order of their ordinals: a large network has a thousand for each request, so names are not repeated."""

    why_nots: tuple[StoredWhyNot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredQueues:
    """`queueoffers/<cluster>`: the queues of a registration that names some, beside it for quick looks."""

    queues: tuple[QueueOffer, ...]


LATER_FIELDS: Mapping[type, Mapping[str, int]] = {
    Registration: {"queues": 2, "sealing_key": 2},
    JobWatch: {"owner": 2},
    ClusterState: {"hardware": 2},
    Decision: {"documents": 2},
    Rental: {"provider_sealing_key": 2, "renewed_at": 2},
    MemberRecord: {"documents": 2, "decisions": 2},
}
"""Fields that a word got with a version of the contract after the first; they are its last ones.

A word that leaves all of them at their defaults is written as it was before them, so that an old log gives the same bytes.
"""


class StoredAccount(msgspec.Struct, frozen=True, array_like=True):
    """`account/<member>`: what may be spent, and what is held."""

    balance: int
    held: int


class StoredDemand(msgspec.Struct, frozen=True, array_like=True):
    """`demand/<period>/<hash of the program>`."""

    name: str
    version: str
    count: int


class StoredCount(msgspec.Struct, frozen=True, array_like=True):
    """A count on `day` (days since 1970 of the ledger's time)."""

    day: int
    count: int


class StoredMember(msgspec.Struct, frozen=True, array_like=True):
    """`member/<name>`. Installations stand under their own keys."""

    role: Role
    vetting: Vetting
    revoked: bool
    attributes: tuple[tuple[str, str], ...]
    enrolled_at: int


class StoredInstallation(msgspec.Struct, frozen=True, array_like=True):
    """`installation/<name>/<installation>`: the current key with all the fold asks of it."""

    key_id: bytes
    public_key: bytes
    not_after_at: int | None
    revoked: bool
    enrolled_at: int


class StoredKey(msgspec.Struct, frozen=True, array_like=True):
    """`key/<hex key id>`: whose key it is, and whether it has ended."""

    submitter: str
    public_key: bytes
    revoked: bool


class StoredToken(msgspec.Struct, frozen=True, array_like=True):
    """`token/<hex digest>`."""

    role: Role
    member: str
    attributes: tuple[tuple[str, str], ...]
    expires_at: int
    used: bool


class StoredCluster(msgspec.Struct, frozen=True, array_like=True):
    """`cluster/<name>`; the registration stands beside it under `registration/<name>`."""

    provider: str
    vetting: Vetting
    registered_at: int


class StoredEpoch(msgspec.Struct, frozen=True, array_like=True):
    """`epoch/<submitter>`: the chain of numbers. `key_since`: first number that was signed with the key `key_id`."""

    epoch: bytes
    last_sequence: int
    last_payload_hash: bytes
    key_id: bytes
    key_since: int
    closed: bool
    opened_at: int


class StoredStarts(msgspec.Struct, frozen=True, array_like=True):
    """`epochstarts/<submitter>`: starts that counted on `day` (days since 1970 of the ledger's time), and an admin's word for one more."""

    day: int
    count: int
    approved: bool


def encode_stored(record: msgspec.Struct) -> bytes:
    """Bytes of a stored record."""
    return _ENCODER.encode(record)


def encode_word(word: Any) -> bytes:
    """Bytes of a word of the model or a record of this file."""
    kind = type(word)
    later = LATER_FIELDS.get(kind)
    mirror = _mirror(kind) if later is None or uses_later_fields(word) else _mirror_before(kind)
    return _ENCODER.encode(msgspec.convert(word, mirror, from_attributes=True))


def encode_fields(record: Any) -> bytes:
    """As `encode_word`, for a record that a type of `fields_type` made."""
    return _ENCODER.encode(record)


def uses_later_fields(word: Any) -> bool:
    """True if a word says something that the first version of the contract had no field for."""
    later = LATER_FIELDS.get(type(word), ())
    return any(getattr(word, field.name) != field.default for field in dataclasses.fields(word) if field.name in later)


def decode_stored(kind: type[Word], data: bytes) -> Word:
    """A stored record from its bytes."""
    return typing.cast("Word", _decoder(kind).decode(data))


def decode_word(kind: type[Word], data: bytes) -> Word:
    """A word from the bytes that `encode_word` made."""
    return msgspec.convert(_decoder(_mirror(kind)).decode(data), kind, from_attributes=True)


@lru_cache(maxsize=REMEMBERED)
def remembered_word(kind: type[Word], data: bytes) -> Word:
    """As `decode_word`, for what one entry reads several times."""
    return decode_word(kind, data)


def decode_fields(kind: type, data: bytes) -> Any:
    """As `decode_word`, but a record with the word's fields instead of the word: half the time, for reading very many."""
    return _decoder(_mirror(kind)).decode(data)


def fields_type(kind: type[Word]) -> type[Word]:
    """Makes what `decode_fields` reads, in a seventh of the time of the word itself, for writing very many.

    What stands in a record must be records and no words: nobody looks at it once more before it is written.
    """
    return typing.cast("type[Word]", _mirror(kind))


_ENCODER = msgspec.msgpack.Encoder()
_DECODERS: dict[type, msgspec.msgpack.Decoder[Any]] = {}
_MIRRORS: dict[type, type] = {}
_MIRRORS_BEFORE: dict[type, type] = {}


def _decoder(kind: type) -> msgspec.msgpack.Decoder[Any]:
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    return decoder


def _mirror(kind: type) -> type:
    mirror = _MIRRORS.get(kind)
    if mirror is None:
        hints, later = typing.get_type_hints(kind), LATER_FIELDS.get(kind, ())
        fields: list[Any] = [(field.name, _mirrored(hints[field.name])) for field in dataclasses.fields(kind) if field.name not in later]
        fields += [(field.name, _mirrored(hints[field.name]), field.default) for field in dataclasses.fields(kind) if field.name in later]
        mirror = _MIRRORS[kind] = msgspec.defstruct(kind.__name__, fields, array_like=True, frozen=True)
    return mirror


def _mirror_before(kind: type) -> type:
    """The mirror without the fields that came later."""
    mirror = _MIRRORS_BEFORE.get(kind)
    if mirror is None:
        hints, later = typing.get_type_hints(kind), LATER_FIELDS[kind]
        fields = [(field.name, _mirrored(hints[field.name])) for field in dataclasses.fields(kind) if field.name not in later]
        mirror = _MIRRORS_BEFORE[kind] = msgspec.defstruct(kind.__name__, fields, array_like=True, frozen=True)
    return mirror


def _mirrored(hint: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _mirror(typing.cast("type", hint))
    if typing.get_origin(hint) is tuple:
        return tuple[tuple(_mirrored(part) for part in typing.get_args(hint))]  # type: ignore[misc]
    if isinstance(hint, types.UnionType):
        parts = tuple(_mirrored(part) for part in typing.get_args(hint))
        return typing.Union[parts]  # noqa: UP007 -- its parts are known only at run time
    return hint
