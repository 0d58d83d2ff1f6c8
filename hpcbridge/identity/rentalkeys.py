# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The keys to which passcodes of rentals are sealed, one for each passcode: files of mode 0600 in the folder of an identity.

A key is made before its rental is ordered and stands under its public half; once the ledger has taken the order it gets the name of the
rental. So an order that is sent again after a crash still has its key, and a ledger that shows another key than was sent is found out.
"""

from __future__ import annotations

import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.errors import IdentityError, StorageError
from hpcbridge.identity.keystore import KeyDirectory, load_x25519_key, remove_file, save_private_key

_RENTAL = re.compile(r"l[0-9]{1,15}\Z")


class RentalKeys:
    """Belongs to one identity folder. Nothing is kept in memory."""

    def __init__(self, keys: KeyDirectory) -> None:
        self._path = keys.path / "rental-keys"

    def create(self) -> bytes:
        """A new key, on disk when this returns; its public half, 32 bytes."""
        KeyDirectory(self._path).create()
        key = X25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        save_private_key(self._unnamed(public), key)
        return public

    def name(self, rental: str, public: bytes) -> None:
        """The order with this key was taken: from now on it is the key of the rental, in place of an earlier one."""
        unnamed = self._unnamed(public)
        if unnamed.exists():
            try:
                unnamed.replace(self._named(rental))
            except OSError as error:
                raise StorageError(f"{unnamed}: cannot be renamed: {error.strerror}") from error
            KeyDirectory(self._path).create()

    def drop(self, public: bytes) -> None:
        """The order with this key was refused, or nothing of it was sent."""
        remove_file(self._unnamed(public))

    def load(self, rental: str, shown: bytes) -> X25519PrivateKey | None:
        """The key of a rental of which the ledger shows the public half `shown`; None if it is not in this folder.

        IdentityError if the ledger shows another key than the one that was made here.
        """
        unnamed, named = self._unnamed(shown), self._named(rental)
        if unnamed.exists():
            return load_x25519_key(unnamed)
        if not named.exists():
            return None
        key = load_x25519_key(named)
        if key.public_key().public_bytes_raw() != shown:
            raise IdentityError(
                f"the ledger shows another sealing key for rental {rental} than the one made here; a passcode would be for somebody else",
                hint="did you ask for a new passcode on another machine? Then read it there. If not, tell provider and admins",
            )
        return key

    def forget(self, rental: str, shown: bytes) -> None:
        """The passcode was read, or the rental has ended."""
        for path in (self._named(rental), self._unnamed(shown)):
            if path.exists():
                remove_file(path)

    def _unnamed(self, public: bytes) -> Path:
        return self._path / f"{public.hex() or 'none'}.pem"

    def _named(self, rental: str) -> Path:
        return self._path / f"{rental if _RENTAL.match(rental) else 'none'}.pem"
