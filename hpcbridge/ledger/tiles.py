# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The tree over all leaves: append, roots, inclusion and consistency proofs.

A *tile* holds 256 neighbouring hashes of one level, level 0 being leaf hashes and level n the roots of 256 tiles of level n-1. Only
full tiles are stored (id `level<<40 | number`, 256×32 bytes); the open tile of each level is kept in memory and found again at start
from leaves and tiles. A proof needs about three tiles a side; tiles that were used lately stay unpacked in memory.

`append` and `take_full_tiles` belong to one thread. Proofs and roots up to a size that was reached may be asked by any thread meanwhile:
inner nodes of complete subtrees never change.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol

from hpcbridge.errors import IntegrityError
from hpcbridge.ledger.damage import DAMAGED_HINT
from hpcbridge.ledger.merkle import EMPTY_ROOT, HASH_BYTES, CompactRange, leaf_hash, node_hash

TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_BYTES
_HEIGHT = 8  # a tile spans 8 levels of the binary tree
_LEVEL_SHIFT = 40


class LeafReader(Protocol):
    """Where leaves and full tiles are read from: the store, or an export."""

    def size(self) -> int:
        """Number of leaves."""

    def leaves(self, start: int, stop: int) -> Sequence[bytes]:
        """The leaves with index start ≤ index < stop, all of them."""

    def tile(self, tile_id: int) -> bytes | None:
        """A full tile, None if there is none with this id."""


def tile_id(level: int, number: int) -> int:
    """Where the store keeps tile `number` of `level`."""
    return level << _LEVEL_SHIFT | number


class Tree:
    """The tree of everything in `reader`, and of what was appended since. `cached_tiles` bounds memory: about 40 KB each."""

    def __init__(self, reader: LeafReader, *, cached_tiles: int = 256) -> None:
        self._reader = reader
        self._cache = _Recent(cached_tiles)
        self._filled: dict[int, _Pyramid] = {}  # full, not taken yet
        self._taken: dict[int, _Pyramid] = {}  # on their way into the store
        self._open: list[tuple[int, _Pyramid]] = []
        self._size = 0
        self._last_border: tuple[int, list[bytes]] = (0, [])
        self._load(reader.size())

    @property
    def size(self) -> int:
        """Number of leaves, those included that were appended and not stored yet."""
        return self._size

    def append(self, hash_: bytes) -> None:
        """Adds one leaf hash at the end."""
        self._push(0, hash_)
        self._size += 1

    def take_full_tiles(self) -> tuple[tuple[int, bytes], ...]:
        """Tiles that became full since the last call, for the store: `(id, bytes)`.

        They must be stored before the next call; until then the tree serves them from memory.
        """
        for id_, pyramid in self._taken.items():
            self._cache.put(id_, pyramid)
        # Another thread looks in filled, taken, cache in this order: nothing may be missing from all three at any moment.
        self._taken = self._filled
        self._filled = {}
        return tuple((id_, pyramid.packed()) for id_, pyramid in self._taken.items())

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves, of all if None."""
        size = self._size if size is None else size
        self._check_size(size)
        return self._border(size)[-1] if size else EMPTY_ROOT

    def compact_range(self, size: int) -> CompactRange:
        """What one must keep of the first `size` leaves to go on from there."""
        self._check_size(size)
        return CompactRange(size, self._peaks(0, size))

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Proof that leaf `index` is among the first `size` leaves; ValueError for what is not there."""
        self._check_size(size)
        if not 0 <= index < size:
            raise ValueError(f"no index {index} in {size} leaves")
        border = self._border(size)
        proof: list[bytes] = []
        height, node, last = 0, index, size - 1
        while last:
            sibling = node ^ 1
            if sibling < last:
                proof.append(self._node(height, sibling))
            elif sibling == last:
                proof.append(border[height])
            height, node, last = height + 1, node >> 1, last >> 1
        return tuple(proof)

    def consistency_proof(self, size1: int, size2: int) -> tuple[bytes, ...]:
        """Proof that the first `size2` leaves begin with the first `size1` (1 ≤ size1 ≤ size2, else ValueError); empty for equal sizes."""
        self._check_size(size2)
        if not 0 < size1 <= size2:
            raise ValueError(f"no proof leads from {size1} to {size2} leaves")
        return tuple(self._subproof(size1, start=0, stop=size2, known=True))

    def _load(self, size: int) -> None:
        """Rebuilds the open tile of each level from what is stored."""
        below = [leaf_hash(leaf) for leaf in self._reader.leaves(size - size % TILE_WIDTH, size)]
        level, count = 0, size
        while count:
            number = count // TILE_WIDTH
            if level:
                below = [self._pyramid(level - 1, n).root() for n in range(number * TILE_WIDTH, count)]
            pyramid = _Pyramid()
            pyramid.extend(below)
            self._open.append((number, pyramid))
            level, count = level + 1, number
        self._size = size

    def _push(self, level: int, hash_: bytes) -> None:
        if level == len(self._open):
            self._open.append((0, _Pyramid()))
        number, pyramid = self._open[level]
        pyramid.append(hash_)
        if len(pyramid) == TILE_WIDTH:
            id_ = tile_id(level, number)
            self._filled[id_] = pyramid  # before it stops being the open one, so that no other thread misses it
            self._open[level] = (number + 1, _Pyramid())
            self._push(level + 1, pyramid.root())

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise ValueError(f"the tree has {self._size} leaves, not {size}")

    def _border(self, size: int) -> list[bytes]:
        """For each height the hash of the last node, which covers less than its full width; the root of all `size` leaves comes last.

        Every receipt of a group needs the same border, so the last one is kept.
        """
        known_size, border = self._last_border
        if known_size == size:
            return border
        last = size - 1
        hash_ = self._node(0, last)
        border = [hash_]
        for height in range(last.bit_length()):
            if last >> height & 1:
                hash_ = node_hash(self._node(height, (last >> height) - 1), hash_)
            border.append(hash_)
        self._last_border = (size, border)
        return border

    def _peaks(self, start: int, stop: int) -> list[bytes]:
        """Roots of the complete subtrees over start ≤ index < stop, the largest first; `start` is aligned to the largest."""
        peaks = []
        while start < stop:
            height = (stop - start).bit_length() - 1
            peaks.append(self._node(height, start >> height))
            start += 1 << height
        return peaks

    def _range_root(self, start: int, stop: int) -> bytes:
        peaks = self._peaks(start, stop)
        return CompactRange(stop - start, peaks).root()

    def _subproof(self, size1: int, *, start: int, stop: int, known: bool) -> list[bytes]:
        """SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2."""
        if size1 == stop:
            return [] if known else [self._range_root(start, stop)]
        middle = start + (1 << ((stop - start - 1).bit_length() - 1))
        if size1 <= middle:
            return [*self._subproof(size1, start=start, stop=middle, known=known), self._range_root(middle, stop)]
        return [*self._subproof(size1, start=middle, stop=stop, known=False), self._range_root(start, middle)]

    def _node(self, height: int, number: int) -> bytes:
        """Hash of the complete subtree of 2**height leaves with this number."""
        level, rise = divmod(height, _HEIGHT)
        per_tile = _HEIGHT - rise
        return self._pyramid(level, number >> per_tile).row(rise)[number & ((1 << per_tile) - 1)]

    def _pyramid(self, level: int, number: int) -> _Pyramid:
        if level < len(self._open):
            open_number, pyramid = self._open[level]
            if number == open_number:
                return pyramid
        id_ = tile_id(level, number)
        found = self._filled.get(id_) or self._taken.get(id_) or self._cache.get(id_)
        if found is None:
            found = _unpack(self._reader.tile(id_), level=level, number=number)
            self._cache.put(id_, found)
        return found


class _Pyramid:
    """Up to 256 hashes of a tile and every complete inner node above them."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: tuple[list[bytes], ...] = tuple([] for _ in range(_HEIGHT + 1))

    def __len__(self) -> int:
        return len(self._rows[0])

    def append(self, hash_: bytes) -> None:
        rows = self._rows
        height = 0
        row = rows[0]
        row.append(hash_)
        while len(row) & 1 == 0:
            hash_ = sha256(b"\x01" + row[-2] + row[-1]).digest()
            height += 1
            row = rows[height]
            row.append(hash_)

    def extend(self, hashes: Iterable[bytes]) -> None:
        for hash_ in hashes:
            self.append(hash_)

    def row(self, height: int) -> list[bytes]:
        return self._rows[height]

    def root(self) -> bytes:
        return self._rows[_HEIGHT][0]

    def packed(self) -> bytes:
        return b"".join(self._rows[0])


def _unpack(packed: bytes | None, *, level: int, number: int) -> _Pyramid:
    if packed is None or len(packed) != TILE_BYTES:
        raise IntegrityError(
            f"tile {number} of level {level} is {'missing' if packed is None else f'{len(packed)} bytes long'}",
            hint=DAMAGED_HINT,
        )
    pyramid = _Pyramid()
    pyramid.extend(packed[place : place + HASH_BYTES] for place in range(0, TILE_BYTES, HASH_BYTES))
    return pyramid


class _Recent:
    """The last used full tiles, in two generations: when the young one has grown to half the bound, the old one is forgotten."""

    def __init__(self, bound: int) -> None:
        self._half = max(1, bound // 2)
        self._young: dict[int, _Pyramid] = {}
        self._old: dict[int, _Pyramid] = {}
        self._lock = threading.Lock()

    def get(self, id_: int) -> _Pyramid | None:
        found = self._young.get(id_)
        if found is None:
            found = self._old.get(id_)
            if found is not None:
                self.put(id_, found)
        return found

    def put(self, id_: int, pyramid: _Pyramid) -> None:
        with self._lock:
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._young[id_] = pyramid
