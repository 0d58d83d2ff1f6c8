# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The high-water file: the largest tree head this ledger may have signed, on disk before the signature exists.

A store that was restored from an older copy is smaller than its mark, or has another root there, and must not sign.

Two slots of 512 bytes (one sector) are written in turn, so that a write cut off by power loss leaves the other one. A slot is magic,
size, root and a SHA-256 over them. The mark never goes back, and one size never gets a second root.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from hpcbridge.errors import ConfigError, HpcbridgeError, IntegrityError, StorageError
from hpcbridge.failpoints import reach
from hpcbridge.ledger.durable import lock_file, sync_directory
from hpcbridge.ledger.merkle import EMPTY_ROOT
from hpcbridge.ledger.tiles import Tree

SLOT_BYTES = 512
_FACTS = struct.Struct(">8sQ32s")
_MAGIC = b"HPCBHW\x00\x01"
_HINT = "if it is lost for good: hpcbridge-ledgerd rebuild-high-water, from the largest checkpoint that members hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A tree head: the first `size` leaves have `root`."""

    size: int
    root: bytes


EMPTY = Mark(size=0, root=EMPTY_ROOT)


def check_not_behind(tree: Tree, mark: Mark) -> None:
    """IntegrityError if the store's tree is smaller than the mark, or has another root at that size: it was restored or replaced."""
    if tree.size < mark.size:
        raise IntegrityError(
            f"the store has {tree.size} entries, but a tree of {mark.size} was signed: an older copy was restored",
            hint="bring back the newest store; from an older one this ledger must not sign again",
        )
    if tree.root(mark.size) != mark.root:
        raise IntegrityError(
            f"the first {mark.size} entries are not those that were signed: this is another store, or it was changed",
            hint="bring back the store that belongs to this high-water file",
        )


class HighWater:
    """The open file. One process at a time; one thread at a time."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self._failed = False
        slots = [_decode(os.pread(descriptor, SLOT_BYTES, place)) for place in (0, SLOT_BYTES)]
        readable = [(mark.size, slot, mark) for slot, mark in enumerate(slots) if mark is not None]
        if not readable:
            raise IntegrityError(f"{path}: both slots of the high-water file are damaged", hint=_HINT)
        _, self._slot, self._mark = max(readable, key=lambda found: found[:2])

    @classmethod
    def create(cls, path: Path, mark: Mark = EMPTY) -> Self:
        """Makes the file, complete and durable or not at all; ConfigError if there is one."""
        if path.exists():
            raise ConfigError(f"{path} exists", hint="a high-water file is made once, with its store")
        fresh = path.with_name(path.name + ".new")
        try:
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, _encode(mark) * 2, 0)
                reach("highwater.before_create_sync")
                os.fsync(descriptor)
                reach("highwater.after_create_sync")
            finally:
                os.close(descriptor)
            fresh.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            raise StorageError(f"{path}: {error}") from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens and reads it: IntegrityError if it is missing or both slots are damaged; one damaged slot leaves the other."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise IntegrityError(f"{path}: there is no high-water file", hint=_HINT) from error
        except OSError as error:
            raise StorageError(f"{path}: {error}") from error
        try:
            lock_file(descriptor, path)
            return cls(descriptor, path)
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"{path}: {error}") from error
        except HpcbridgeError:
            os.close(descriptor)
            raise

    @property
    def mark(self) -> Mark:
        """The last mark that is known to be durable."""
        return self._mark

    def write(self, mark: Mark) -> None:
        """Makes `mark` durable; only then may it be signed. IntegrityError for a step back or a second root of one size.

        After an input/output error the file must not be used again in this process.
        """
        if mark == self._mark:
            return
        if mark.size <= self._mark.size:
            raise IntegrityError(f"high-water mark: {mark.size} entries after {self._mark.size}, or another root at the same size")
        if self._failed:
            raise StorageError(f"{self._path}: failed before; end the process")
        self._failed = True
        try:
            os.pwrite(self._descriptor, _encode(mark), (1 - self._slot) * SLOT_BYTES)
            reach("highwater.before_sync")
            os.fdatasync(self._descriptor)
            reach("highwater.after_sync")
        except OSError as error:
            raise StorageError(f"{self._path}: {error}") from error
        self._failed = False
        self._slot, self._mark = 1 - self._slot, mark

    def close(self) -> None:
        """Lets another process open it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _encode(mark: Mark) -> bytes:
    facts = _FACTS.pack(_MAGIC, mark.size, mark.root)
    return (facts + sha256(facts).digest()).ljust(SLOT_BYTES, b"\x00")


def _decode(slot: bytes) -> Mark | None:
    """None if the slot is damaged."""
    if len(slot) != SLOT_BYTES:
        return None
    magic, size, root = _FACTS.unpack_from(slot)
    mark = Mark(size=size, root=root)
    return mark if magic == _MAGIC and slot == _encode(mark) else None
