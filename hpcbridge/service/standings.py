# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Where each submitter stands on the log: key, certificate's end, revocation, role. Kept in memory until the log changes any of it.

A connection or an envelope is judged by this and not by its certificate: the certificate says what was true when it was issued.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpcbridge.contract.records import StoredInstallation, StoredKey, StoredMember, decode_stored
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.quantities import Instant

MAX_KEPT = 100_000
_PREFIXES = ("member/", "installation/", "key/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the log says of a submitter. `not_after_at` None: a system node's key, which does not expire."""

    role: Role
    attributes: tuple[tuple[str, str], ...]
    key_id: bytes
    public_key: bytes
    not_after_at: Instant | None
    approved: bool
    revoked: bool

    def is_expired(self, at: Instant) -> bool:
        """True from the end of the newest certificate on."""
        return self.not_after_at is not None and at >= self.not_after_at


class Standings:
    """Safe to use from any thread."""

    def __init__(self, state: Callable[[str], bytes | None]) -> None:
        self._state = state
        self._kept: dict[str, Standing | None] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def of(self, submitter: str) -> Standing | None:
        """Standing of `name/installation`; None if the log does not know it."""
        try:
            return self._kept[submitter]
        except KeyError:
            generation = self._generation
            standing = self._read(submitter)
            with self._lock:
                # What was read before a change must not be kept after it.
                if generation == self._generation:
                    if len(self._kept) >= MAX_KEPT:
                        self._kept.clear()  # names that nobody has, asked for by a stranger, must not keep others out
                    self._kept[submitter] = standing
            return standing

    def key(self, key_id: bytes) -> StoredKey | None:
        """What the log says of a key; None if it does not know it."""
        stored = self._state(f"key/{key_id.hex()}")
        return None if stored is None else decode_stored(StoredKey, stored)

    def forget(self, written_keys: Iterable[str]) -> bool:
        """Called when these keys of the state are stored: True if anybody's standing may have changed."""
        if not any(key.startswith(_PREFIXES) for key in written_keys):
            return False
        with self._lock:
            self._generation += 1
            self._kept.clear()
        return True

    def _read(self, submitter: str) -> Standing | None:
        member = self._state(f"member/{submitter.partition('/')[0]}")
        installation = self._state(f"installation/{submitter}")
        if member is None or installation is None:
            return None
        of_member = decode_stored(StoredMember, member)
        own = decode_stored(StoredInstallation, installation)
        return Standing(
            role=of_member.role,
            attributes=of_member.attributes,
            key_id=own.key_id,
            public_key=own.public_key,
            not_after_at=own.not_after_at,
            approved=of_member.vetting is Vetting.APPROVED,
            revoked=of_member.revoked or own.revoked,
        )
