# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Merkle tree hashing and proof verification as in RFC 6962 and RFC 9162, with SHA-256.

The verifiers refuse everything that is not exactly the proof: negative or impossible sizes, hashes that are not 32 bytes, elements
missing or left over, a proof where none is needed, and a consistency proof from the empty tree (it would prove nothing).
Proofs are made in `tiles.py`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256

from hpcbridge.errors import IntegrityError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf: the byte 0 in front keeps a leaf from passing for a node."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Root over leaf hashes in order."""
    tree = CompactRange()
    for hash_ in hashes:
        tree.append(hash_)
    return tree.root()


class CompactRange:
    """The least one must keep of a tree to append to it: one hash for each 1 in the binary size, the largest subtree first."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(peaks):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        self.size = size
        self._peaks = list(peaks)

    def append(self, hash_: bytes) -> None:
        """Adds one leaf hash at the end."""
        peaks = self._peaks
        carry = self.size
        while carry & 1:
            hash_ = sha256(b"\x01" + peaks.pop() + hash_).digest()
            carry >>= 1
        peaks.append(hash_)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree as it is now."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


def verify_inclusion(hash_: bytes, index: int, *, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Checks that the leaf with `hash_` stands at `index` in the tree of `size` leaves under `root`; IntegrityError if not."""
    if not 0 <= index < size:
        raise IntegrityError(f"inclusion: there is no index {index} in a tree of {size} leaves")
    _check_hashes("inclusion", (hash_, root, *proof))
    if not hmac.compare_digest(_climb(hash_, index, size=size, proof=proof), root):
        raise IntegrityError(f"inclusion: the proof of index {index} does not lead to the root of {size} leaves")


def verify_consistency(size1: int, size2: int, *, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """Checks that the tree of `size2` leaves begins with exactly the tree of `size1` leaves; IntegrityError if not."""
    if not 0 < size1 <= size2:
        raise IntegrityError(f"consistency: no proof leads from {size1} to {size2} leaves")
    if size1 == size2:
        if proof:
            raise IntegrityError("consistency: a proof between equal sizes must be empty")
        old, new = root1, root1
    else:
        _check_hashes("consistency", (root1, root2, *proof))
        old, new = _climb_both(size1, size2, proof=proof, root1=root1)
    if not (hmac.compare_digest(old, root1) and hmac.compare_digest(new, root2)):
        raise IntegrityError(f"consistency: {size2} leaves do not continue the first {size1}")


def _check_hashes(what: str, hashes: Iterable[bytes]) -> None:
    if any(len(hash_) != HASH_BYTES for hash_ in hashes):
        raise IntegrityError(f"{what}: every hash must have {HASH_BYTES} bytes")


def _climb(hash_: bytes, index: int, *, size: int, proof: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2, steps 2 to 5."""
    node, last = index, size - 1
    for sibling in proof:
        if last == 0:
            raise IntegrityError("inclusion: the proof is too long")
        if node & 1 or node == last:
            hash_ = node_hash(sibling, hash_)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            hash_ = node_hash(hash_, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise IntegrityError("inclusion: the proof is too short")
    return hash_


def _climb_both(size1: int, size2: int, *, proof: Sequence[bytes], root1: bytes) -> tuple[bytes, bytes]:
    """RFC 9162 section 2.1.4.2, steps 1 to 6: the roots of both trees that the proof leads to."""
    path = [root1, *proof] if size1.bit_count() == 1 else list(proof)
    if not path:
        raise IntegrityError("consistency: the proof is too short")
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise IntegrityError("consistency: the proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise IntegrityError("consistency: the proof is too short")
    return old, new
