# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The high-water file: torn and damaged slots, steps back, failing disks; and a store that is older than its mark (S8)."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge import failpoints
from hpcbridge.errors import ConfigError, IntegrityError, StorageError
from hpcbridge.ledger.checks import SignedPrefix
from hpcbridge.ledger.highwater import EMPTY, SLOT_BYTES, HighWater, Mark, check_not_behind
from hpcbridge.ledger.merkle import leaf_hash, verify_inclusion
from hpcbridge.ledger.store import Store, StoreReader
from hpcbridge.ledger.tiles import Tree
from tests.ledger_filling import fill, next_group


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def mark(size: int) -> Mark:
    return Mark(size=size, root=bytes([size]) * 32)


def test_marks_survive_and_alternate(tmp_path: Path) -> None:
    path = tmp_path / "high-water"
    with HighWater.create(path) as high_water:
        assert high_water.mark == EMPTY
        for size in range(1, 6):
            high_water.write(mark(size))
    assert path.stat().st_size == 2 * SLOT_BYTES
    assert path.stat().st_mode & 0o077 == 0
    with HighWater.open(path) as high_water:
        assert high_water.mark == mark(5)
        high_water.write(mark(9))
    with HighWater.open(path) as high_water:
        assert high_water.mark == mark(9)


def test_one_damaged_slot_leaves_the_other_and_two_stop(tmp_path: Path) -> None:
    path = tmp_path / "high-water"
    with HighWater.create(path) as high_water:
        high_water.write(mark(1))
        high_water.write(mark(2))
    good = path.read_bytes()
    for slot, left in ((0, mark(2)), (1, mark(1))):
        for bit in range(slot * SLOT_BYTES * 8, (slot + 1) * SLOT_BYTES * 8):
            changed = bytearray(good)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with HighWater.open(path) as high_water:
                assert high_water.mark == left
    for damaged in (bytes(2 * SLOT_BYTES), good[:100], b"", b"\xff" * 1024):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="both slots") as caught:
            HighWater.open(path)
        assert "rebuild-high-water" in caught.value.hint
    path.unlink()
    with pytest.raises(IntegrityError, match="no high-water file"):
        HighWater.open(path)


def test_after_a_damaged_newer_slot_the_next_write_keeps_the_good_one(tmp_path: Path) -> None:
    path = tmp_path / "high-water"
    with HighWater.create(path) as high_water:
        high_water.write(mark(1))
        high_water.write(mark(2))
    data = bytearray(path.read_bytes())
    data[SLOT_BYTES + 20] ^= 1
    path.write_bytes(data)
    with HighWater.open(path) as high_water:
        assert high_water.mark == mark(1)
        high_water.write(mark(3))
    assert path.read_bytes()[:SLOT_BYTES] == good_slot(mark(1), tmp_path)


def good_slot(of: Mark, tmp_path: Path) -> bytes:
    path = tmp_path / "other"
    HighWater.create(path, of).close()
    return path.read_bytes()[:SLOT_BYTES]


def test_never_back_and_never_two_roots_of_one_size(tmp_path: Path) -> None:
    with HighWater.create(tmp_path / "high-water", mark(5)) as high_water:
        high_water.write(mark(5))
        for wrong in (mark(4), dataclasses.replace(mark(5), root=bytes(32))):
            with pytest.raises(IntegrityError):
                high_water.write(wrong)
        assert high_water.mark == mark(5)


def test_made_once_and_used_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "high-water"
    with HighWater.create(path):
        with pytest.raises(ConfigError, match="exists"):
            HighWater.create(path)
        with pytest.raises(ConfigError, match="in use"):
            HighWater.open(path)


@pytest.mark.parametrize("action", ["eio", "enospc", "raise"])
@pytest.mark.parametrize("name", ["highwater.before_sync", "highwater.after_sync"])
def test_failed_sync_is_never_tried_again(tmp_path: Path, name: str, action: str) -> None:
    with HighWater.create(tmp_path / "high-water") as high_water:
        failpoints.arm(f"{name}:{action}")
        with pytest.raises((StorageError, failpoints.FailpointReached)):
            high_water.write(mark(1))
        assert high_water.mark == EMPTY
        with pytest.raises(StorageError, match="failed before"):
            high_water.write(mark(1))


@pytest.mark.parametrize(
    "name", ["highwater.before_create_sync", "highwater.after_create_sync", "directory.before_sync", "directory.after_sync"]
)
def test_creation_that_fails_leaves_a_whole_file_or_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / "high-water"
    failpoints.arm(f"{name}:eio")
    with pytest.raises(StorageError):
        HighWater.create(path)
    if path.exists():
        HighWater.open(path).close()
    else:
        HighWater.create(path).close()


def test_restored_older_store_is_behind_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Store.open(path, create=True) as store:
        fill(store, 100)
    shutil.copy(path, tmp_path / "older.db")
    with Store.open(path) as store:
        signed = Mark(size=200, root=fill(store, 100).root())
        check_not_behind(Tree(store), signed)
        fill(store, 50)
        check_not_behind(Tree(store), signed)
    with Store.open(tmp_path / "older.db") as older:
        with pytest.raises(IntegrityError, match="older copy was restored"):
            check_not_behind(Tree(older), signed)
        check_not_behind(Tree(older), EMPTY)
        other = dataclasses.replace(signed, size=100)
        with pytest.raises(IntegrityError, match="not those that were signed"):
            check_not_behind(Tree(older), other)


def test_signer_reads_back_what_it_vouches_for(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Store.open(path, create=True) as store, StoreReader.open(path) as reader:
        prefix = SignedPrefix(reader)
        tree = fill(store, 700)
        prefix.extend(300, tree.root(300))
        prefix.extend(700, tree.root())
        again = SignedPrefix(reader, size=300)
        again.extend(700, tree.root())
        assert again.size == 700
        with pytest.raises(IntegrityError, match="asked for 5"):
            prefix.extend(5, tree.root(5))


def test_bit_flipped_in_memory_between_hash_and_store_is_never_signed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Store.open(path, create=True) as store, StoreReader.open(path) as reader:
        prefix, tree = SignedPrefix(reader), Tree(store)
        group = next_group(tree, 10)
        flipped = bytes([group.entries[3].leaf[0] ^ 1]) + group.entries[3].leaf[1:]
        entries = (*group.entries[:3], dataclasses.replace(group.entries[3], leaf=flipped), *group.entries[4:])
        store.append(dataclasses.replace(group, entries=entries))
        with pytest.raises(IntegrityError, match="before signing"):
            prefix.extend(10, tree.root())
        # Control: a signer that believed the applier would sign a root under which the stored leaf cannot be proven.
        with pytest.raises(IntegrityError, match="does not lead"):
            verify_inclusion(leaf_hash(flipped), 3, size=10, proof=tree.inclusion_proof(3, 10), root=tree.root())
    with pytest.raises(IntegrityError, match="check of the root"):
        Store.open(path)
