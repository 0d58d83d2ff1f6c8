# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""P1 and P2: proofs of RFC 6962/9162 against published vectors, a naive implementation, and mutations."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from hpcbridge.errors import IntegrityError
from hpcbridge.ledger import merkle
from hpcbridge.ledger.merkle import CompactRange, leaf_hash, node_hash, root_of, verify_consistency, verify_inclusion
from hpcbridge.ledger.tiles import TILE_WIDTH, Tree
from tests.ledger_filling import LeavesInMemory

VECTORS = sorted((Path(__file__).parent.parent / "vectors" / "merkle").rglob("*.json"))


def grown(size: int) -> tuple[LeavesInMemory, Tree]:
    reader = LeavesInMemory()
    tree = Tree(reader)
    for index in range(size):
        reader.all.append(b"leaf %d" % index)
        tree.append(leaf_hash(reader.all[-1]))
    reader.tiles.update(tree.take_full_tiles())
    return reader, tree


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """PATH of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return ()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return (*naive_path(index, leaves[:k]), naive_root(leaves[k:]))
    return (*naive_path(index - k, leaves[k:]), naive_root(leaves[:k]))


def naive_proof(size1: int, leaves: Sequence[bytes], *, known: bool = True) -> tuple[bytes, ...]:
    """SUBPROOF of RFC 6962 section 2.1.2."""
    if size1 == len(leaves):
        return () if known else (naive_root(leaves),)
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if size1 <= k:
        return (*naive_proof(size1, leaves[:k], known=known), naive_root(leaves[k:]))
    return (*naive_proof(size1 - k, leaves[k:], known=False), naive_root(leaves[:k]))


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_all_published_vectors_are_there() -> None:
    assert len(VECTORS) == 196


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: "/".join(path.parts[-3:]))
def test_published_vector(path: Path) -> None:
    vector = json.loads(path.read_text())
    proof = [base64.b64decode(hash_) for hash_ in vector["proof"] or ()]

    def decoded(name: str) -> bytes:
        return base64.b64decode(vector[name] or "")

    def verify() -> None:
        if "leafIdx" in vector:
            size, root = vector["treeSize"], decoded("root")
            verify_inclusion(decoded("leafHash"), vector["leafIdx"], size=size, proof=proof, root=root)
        else:
            verify_consistency(vector["size1"], vector["size2"], proof=proof, root1=decoded("root1"), root2=decoded("root2"))

    if vector["wantErr"]:
        with pytest.raises(IntegrityError):
            verify()
    else:
        verify()


@pytest.mark.parametrize("largest", [32, pytest.param(128, marks=pytest.mark.full)])
def test_every_proof_of_every_small_tree_equals_the_naive_one_and_verifies(largest: int) -> None:
    reader, tree = grown(largest)
    roots = [naive_root(reader.all[:size]) for size in range(largest + 1)]
    for size in range(largest + 1):
        leaves = reader.all[:size]
        assert tree.root(size) == roots[size] == root_of(map(leaf_hash, leaves)) == tree.compact_range(size).root()
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            assert proof == naive_path(index, leaves)
            verify_inclusion(leaf_hash(leaves[index]), index, size=size, proof=proof, root=roots[size])
        for old in range(1, size + 1):
            proof = tree.consistency_proof(old, size)
            assert proof == naive_proof(old, leaves)
            verify_consistency(old, size, proof=proof, root1=roots[old], root2=roots[size])


@pytest.mark.parametrize("samples", [300, pytest.param(100_000, marks=pytest.mark.full)])
def test_random_proofs_over_several_tile_levels(samples: int) -> None:
    reader, tree = grown(TILE_WIDTH * TILE_WIDTH + 1000)
    again = Tree(reader, cached_tiles=4)
    assert again.root() == tree.root()
    chance = random.Random(9162)
    for _ in range(samples):
        size = chance.randint(2, tree.size)
        index, old = chance.randrange(size), chance.randint(1, size)
        proof = again.inclusion_proof(index, size)
        verify_inclusion(leaf_hash(reader.all[index]), index, size=size, proof=proof, root=tree.root(size))
        proof = again.consistency_proof(old, size)
        verify_consistency(old, size, proof=proof, root1=tree.root(old), root2=again.root(size))


def test_tree_found_again_at_any_size_goes_on_as_if_it_had_never_stopped() -> None:
    reader, tree = grown(0)
    for size in (1, 255, 256, 257, 511, 512, 700):
        while tree.size < size:
            reader.all.append(b"leaf %d" % tree.size)
            tree.append(leaf_hash(reader.all[-1]))
        reader.tiles.update(tree.take_full_tiles())
        tree = Tree(reader)
        assert tree.root() == naive_root(reader.all)


def test_full_tiles_are_served_before_they_are_stored() -> None:
    tree = Tree(LeavesInMemory(), cached_tiles=1)
    for index in range(TILE_WIDTH * 3):
        tree.append(leaf_hash(b"leaf %d" % index))
    assert [tile_id for tile_id, _ in tree.take_full_tiles()] == [0, 1, 2]
    verify_inclusion(leaf_hash(b"leaf 0"), 0, size=tree.size, proof=tree.inclusion_proof(0, tree.size), root=tree.root())
    assert tree.take_full_tiles() == ()


def test_missing_tile_is_an_integrity_error() -> None:
    reader, _ = grown(TILE_WIDTH * 2)
    del reader.tiles[0]
    with pytest.raises(IntegrityError, match="tile 0 of level 0 is missing"):
        Tree(reader)


def test_every_flipped_bit_of_proofs_is_refused() -> None:
    reader, tree = grown(100)
    chance = random.Random(2)
    for _ in range(6):
        size = chance.randint(3, 100)
        index, old = chance.randrange(size), chance.randint(1, size - 1)
        leaf, root = leaf_hash(reader.all[index]), tree.root(size)
        for proof, check in (
            (tree.inclusion_proof(index, size), lambda p, i=index, s=size, h=leaf, r=root: verify_inclusion(h, i, size=s, proof=p, root=r)),
            (
                tree.consistency_proof(old, size),
                lambda p, o=old, s=size, r=root: verify_consistency(o, s, proof=p, root1=tree.root(o), root2=r),
            ),
        ):
            check(proof)
            for place, hash_ in enumerate(proof):
                for bit in range(256):
                    with pytest.raises(IntegrityError):
                        check((*proof[:place], flip(hash_, bit), *proof[place + 1 :]))


def mutated(chance: random.Random, proof: tuple[bytes, ...]) -> tuple[bytes, ...]:
    hashes = list(proof)
    kind = chance.randrange(6)
    if kind == 0 or not hashes:
        hashes.insert(chance.randint(0, len(hashes)), chance.randbytes(32))
    elif kind == 1:
        del hashes[chance.randrange(len(hashes))]
    elif kind == 2:
        hashes.insert(chance.randint(0, len(hashes)), chance.choice(hashes))
    elif kind == 3:
        place = chance.randrange(len(hashes))
        hashes[place] = flip(hashes[place], chance.randrange(256))
    elif kind == 4:
        place = chance.randrange(len(hashes))
        hashes[place] = hashes[place][: chance.randrange(32)]
    else:
        hashes.reverse()
    return tuple(hashes)


@pytest.mark.parametrize("samples", [500, pytest.param(2000, marks=pytest.mark.full)])
def test_mutated_proofs_are_refused(samples: int) -> None:
    reader, tree = grown(300)
    chance = random.Random(500)
    for _ in range(samples):
        size = chance.randint(2, 300)
        index, old = chance.randrange(size), chance.randint(1, size)
        right = tree.inclusion_proof(index, size)
        wrong = mutated(chance, right)
        if wrong != right:
            with pytest.raises(IntegrityError):
                verify_inclusion(leaf_hash(reader.all[index]), index, size=size, proof=wrong, root=tree.root(size))
        right = tree.consistency_proof(old, size)
        wrong = mutated(chance, right)
        if wrong != right:
            with pytest.raises(IntegrityError):
                verify_consistency(old, size, proof=wrong, root1=tree.root(old), root2=tree.root(size))


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (0, -1), (2**64, 5)])
def test_impossible_places_are_refused(index: int, size: int) -> None:
    with pytest.raises(IntegrityError, match="no index"):
        verify_inclusion(bytes(32), index, size=size, proof=(), root=bytes(32))


@pytest.mark.parametrize(("size1", "size2"), [(0, 5), (-1, 5), (6, 5), (0, 0)])
def test_impossible_growth_is_refused(size1: int, size2: int) -> None:
    with pytest.raises(IntegrityError, match="no proof leads"):
        verify_consistency(size1, size2, proof=(), root1=merkle.EMPTY_ROOT, root2=bytes(32))


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    _, tree = grown(5)
    for ask in (
        lambda: tree.inclusion_proof(5, 5),
        lambda: tree.inclusion_proof(-1, 5),
        lambda: tree.inclusion_proof(0, 6),
        lambda: tree.consistency_proof(0, 5),
        lambda: tree.consistency_proof(3, 6),
        lambda: tree.root(6),
    ):
        with pytest.raises(ValueError, match=r"leaves|leads"):
            ask()


def test_compact_range_needs_its_peaks() -> None:
    with pytest.raises(ValueError, match="2 peaks"):
        CompactRange(5, [bytes(32)])


def test_control_without_the_length_check_a_node_passes_for_a_leaf_of_a_smaller_tree() -> None:
    """An attacker calls an inner node a leaf: its path is a right one, one step too short. Only counting the steps finds it."""
    reader, tree = grown(8)
    inner = node_hash(leaf_hash(reader.all[0]), leaf_hash(reader.all[1]))
    short_path = tree.inclusion_proof(0, 8)[1:]

    def careless(hash_: bytes, index: int, proof: Sequence[bytes]) -> bytes:
        for sibling in proof:
            hash_ = node_hash(sibling, hash_) if index & 1 else node_hash(hash_, sibling)
            index >>= 1
        return hash_

    assert careless(inner, 0, short_path) == tree.root()
    with pytest.raises(IntegrityError, match="too short"):
        verify_inclusion(inner, 0, size=8, proof=short_path, root=tree.root())


def test_control_without_the_length_check_left_over_hashes_pass() -> None:
    """With the loop of RFC 9162 but no look at what is left of the size, a proof may grow a tail that nothing looks at."""
    reader, tree = grown(4)
    proof = (*tree.inclusion_proof(0, 4), bytes(32))

    def careless(hash_: bytes, index: int, last: int) -> bytes:
        for sibling in proof:
            if last == 0:
                break
            hash_ = node_hash(sibling, hash_) if index & 1 else node_hash(hash_, sibling)
            index, last = index >> 1, last >> 1
        return hash_

    assert careless(leaf_hash(reader.all[0]), 0, 3) == tree.root()
    with pytest.raises(IntegrityError, match="too long"):
        verify_inclusion(leaf_hash(reader.all[0]), 0, size=4, proof=proof, root=tree.root())
