# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How members, installations and keys stand at this moment: what the fold asks before a signature counts, and the service per message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.contract.records import (
    GenesisRecord,
    StoredInstallation,
    StoredKey,
    StoredMember,
    StoredToken,
    decode_stored,
    decode_word,
)
from hpcbridge.contract.state import StateView
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.identities import Caller, Submitter
from hpcbridge.model.quantities import Instant


class KeyStatus(StrEnum):
    """Whether what a key signs counts now."""

    VALID = "VALID"
    """It is its installation's current key, and nothing has ended."""
    EXPIRED = "EXPIRED"
    """The newest certificate on record is past its end; it may be renewed."""
    REVOKED = "REVOKED"
    """Member or installation was revoked, or the installation enrolled again with another key."""
    UNKNOWN = "UNKNOWN"
    """No entry names it."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A submitter as it stands: its current key, that key's status, and the rights in force."""

    caller: Caller
    key_id: bytes
    public_key: bytes
    not_after_at: Instant | None
    status: KeyStatus


def signer_of(view: StateView, submitter: Submitter, at: Instant) -> Signer | None:
    """The submitter's standing; None if it never enrolled. The fold takes the key from here, never from an envelope's hint."""
    data = view.get(f"installation/{submitter}")
    member = stored_member(view, submitter.member)
    if data is None or member is None:
        return None
    installation = decode_stored(StoredInstallation, data)
    if member.revoked or installation.revoked:
        status = KeyStatus.REVOKED
    elif installation.not_after_at is not None and installation.not_after_at <= at:
        status = KeyStatus.EXPIRED
    else:
        status = KeyStatus.VALID
    caller = Caller(submitter=submitter, role=member.role, attributes=member.attributes, approved=member.vetting is Vetting.APPROVED)
    return Signer(caller, installation.key_id, installation.public_key, installation.not_after_at, status)


def key_status(view: StateView, key_id: bytes, at: Instant) -> KeyStatus:
    """Status of a key by its name, for connections and for the reason why a signature does not count."""
    key = stored_key(view, key_id)
    if key is None:
        return KeyStatus.UNKNOWN
    signer = signer_of(view, _submitter(key.submitter), at)
    if key.revoked or signer is None or signer.key_id != key_id:
        return KeyStatus.REVOKED
    return signer.status


def holder_of(view: StateView, key_id: bytes) -> Submitter | None:
    """Whose key this is or was; None if no entry names it."""
    key = stored_key(view, key_id)
    return None if key is None else _submitter(key.submitter)


def stored_key(view: StateView, key_id: bytes) -> StoredKey | None:
    """A key's record."""
    data = view.get(f"key/{key_id.hex()}")
    return None if data is None else decode_stored(StoredKey, data)


def stored_member(view: StateView, name: str) -> StoredMember | None:
    """A member's hot record."""
    data = view.get(f"member/{name}")
    return None if data is None else decode_stored(StoredMember, data)


def stored_token(view: StateView, digest: bytes) -> StoredToken | None:
    """A token by the SHA-256 of its secret, used or not."""
    data = view.get(f"token/{digest.hex()}")
    return None if data is None else decode_stored(StoredToken, data)


def genesis_record(view: StateView) -> GenesisRecord | None:
    """What entry 0 pinned; None before it."""
    data = view.get("ledger/genesis")
    return None if data is None else decode_word(GenesisRecord, data)


def last_tick_at(view: StateView) -> Instant | None:
    """The ledger's time at its last tick."""
    data = view.get("ledger/tick")
    return None if data is None else int.from_bytes(data, "big")


def _submitter(text: str) -> Submitter:
    member, _, installation = text.partition("/")
    return Submitter(member, installation)
