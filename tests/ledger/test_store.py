# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The store: what goes in comes out, groups are all or nothing, one writer, and versions."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge import failpoints
from hpcbridge.errors import ConfigError, IntegrityError, StorageError
from hpcbridge.ledger.merkle import leaf_hash, verify_inclusion
from hpcbridge.ledger.records import Group, Head, Seen, decode_head, encode_head
from hpcbridge.ledger.store import Store, StoreReader
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Cursor
from tests.ledger_filling import EPOCH, fill, leaf_of, next_group


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def state_group(store: Store, writes: dict[str, bytes | None]) -> Group:
    head = store.head()
    return Group(entries=(), writes=writes, tiles=(), root=head.root, engine_position=head.engine_position + 1)


def test_everything_comes_back_from_store_and_reader(path: Path) -> None:
    with Store.open(path, create=True) as store:
        tree = fill(store, 700)
        with StoreReader.open(path) as reader:
            for source in (store, reader):
                assert source.size() == 700
                assert source.head() == store.head()
                assert source.leaf(699) == leaf_of(699)
                assert source.leaf(700) is None
                assert source.leaves(250, 260) == [leaf_of(index) for index in range(250, 260)]
                seen = source.number("c1/a", EPOCH, 2)
                assert seen is not None
                assert seen.index == 4
                assert source.number("c1/a", EPOCH, 999) is None
                assert source.last_number("c0/a", EPOCH) == (234, source.number("c0/a", EPOCH, 234))
                assert source.last_number("c0/a", b"f" * 16) is None
                assert source.state("job/c0/0/00000001") == b"value 600"
                assert source.state("job/c9/0/00000001") is None
                packed = source.tile(1)
                assert packed is not None
                assert len(packed) == 8192
                assert source.tile(2) is None
    with Store.open(path) as store:
        assert store.head().root == tree.root()
        assert store.head().engine_position == 700
        again = Tree(store)
        verify_inclusion(leaf_hash(leaf_of(3)), 3, size=700, proof=again.inclusion_proof(3, 700), root=tree.root())


def test_events_by_cursor_and_audience(path: Path) -> None:
    with Store.open(path, create=True) as store:
        fill(store, 30)
        everything = store.events_after(Cursor(0, 0), 1000)
        assert len(everything) == 30
        assert [cursor for cursor, _ in everything] == sorted({cursor for cursor, _ in everything})
        assert everything[0][0] == Cursor(1, 1)
        assert everything[1][0] == Cursor(2, 1)
        assert store.events_after(everything[4][0], 3) == everything[5:8]
        assert store.events_after(Cursor(2, 1), 1, "c2") == [everything[2]]
        assert [event.audience for _, event in store.events_after(Cursor(0, 0), 1000, "c1")] == ["c1"] * 10
        assert store.events_after(Cursor(29, 2), 10) == []
        assert store.events_after(Cursor(0, 0), 10, "nobody") == []


def test_scan_by_range_and_limit(path: Path) -> None:
    with Store.open(path, create=True) as store:
        store.append(state_group(store, {"a/1": b"1", "a/2": b"2", "a/3": b"3", "b/1": b"4", "a0": b"5"}))
        assert store.scan("a/", "a0", 10) == [("a/1", b"1"), ("a/2", b"2"), ("a/3", b"3")]
        assert store.scan("a/", "a0", 2) == [("a/1", b"1"), ("a/2", b"2")]
        store.append(state_group(store, {"a/2": None, "a/9": None, "a/1": b"new"}))
        assert store.scan("a/", "a0", 10) == [("a/1", b"new"), ("a/3", b"3")]
        assert store.state("a/2") is None


def test_a_small_state_cache_answers_as_a_large_one(path: Path) -> None:
    with Store.open(path, create=True, cached_states=4) as store:
        fill(store, 300, group=7)
        with StoreReader.open(path) as reader:
            rows = reader.scan("", "\U0010ffff", 10_000)
            assert rows
            assert all(store.state(key) == value for key, value in rows)
    Store.open(path).close()


def test_group_that_does_not_follow_is_refused_and_harms_nothing(path: Path) -> None:
    with Store.open(path, create=True) as store:
        fill(store, 10)
        group = next_group(Tree(store), 5)
        for wrong in (
            dataclasses.replace(group, entries=group.entries[1:]),
            dataclasses.replace(group, entries=group.entries[::-1]),
            dataclasses.replace(group, engine_position=3),
        ):
            with pytest.raises(IntegrityError):
                store.append(wrong)
        store.append(group)
        assert store.size() == 15


def test_number_used_twice_is_refused_whole(path: Path) -> None:
    with Store.open(path, create=True) as store:
        fill(store, 10)
        group = next_group(Tree(store), 2)
        first = dataclasses.replace(group.entries[0], number=group.entries[1].number)
        with pytest.raises(IntegrityError, match="appending"):
            store.append(dataclasses.replace(group, entries=(first, group.entries[1])))
    with Store.open(path) as store:
        assert store.size() == 10


@pytest.mark.parametrize("action", ["eio", "enospc", "raise"])
@pytest.mark.parametrize("name", ["store.before_commit", "store.after_commit"])
def test_after_a_failed_commit_the_store_takes_nothing_and_the_next_start_is_whole(path: Path, name: str, action: str) -> None:
    store = Store.open(path, create=True)
    tree = fill(store, 10)
    failpoints.arm(f"{name}:{action}")
    with pytest.raises((StorageError, failpoints.FailpointReached)):
        store.append(next_group(tree, 5))
    assert store.size() == 10
    with pytest.raises(StorageError, match="failed before"):
        store.append(next_group(Tree(store), 5))
    store.close()
    with Store.open(path) as store:
        assert store.size() == (15 if name == "store.after_commit" else 10)
        fill(store, 5)


def test_one_writer(path: Path) -> None:
    with Store.open(path, create=True), pytest.raises(ConfigError, match="in use"):
        Store.open(path)
    Store.open(path).close()


def test_missing_existing_and_foreign_files(path: Path) -> None:
    with pytest.raises(ConfigError, match="no ledger store"):
        Store.open(path)
    with pytest.raises(ConfigError, match="no ledger store"):
        StoreReader.open(path)
    Store.open(path, create=True).close()
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="exists already"):
        Store.open(path, create=True)
    foreign = path.with_name("foreign.db")
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(ConfigError, match="not a ledger store"):
        Store.open(foreign)
    text = path.with_name("text.db")
    text.write_text("not a database " * 1000)
    with pytest.raises(IntegrityError, match="opening"):
        Store.open(text)


def test_newer_version_is_refused_and_untouched(path: Path) -> None:
    Store.open(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()
    for opened in (Store.open, StoreReader.open):
        with pytest.raises(ConfigError, match="schema version 2, this hpcbridge knows 1") as caught:
            opened(path)
        assert "newer hpcbridge" in caught.value.hint


def test_reader_cannot_write(path: Path) -> None:
    with Store.open(path, create=True) as store:
        fill(store, 5)
        with StoreReader.open(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM entry")


def test_readers_in_other_threads_see_whole_groups(path: Path) -> None:
    with Store.open(path, create=True) as store:
        tree = Tree(store)
        done = threading.Event()
        seen: list[int] = []
        wrong: list[str] = []

        def look() -> None:
            with StoreReader.open(path) as reader:
                while not done.is_set():
                    size = reader.size()
                    seen.append(size)
                    if size % 16 or reader.leaves(max(0, size - 16), size) != [leaf_of(i) for i in range(max(0, size - 16), size)]:
                        wrong.append(f"size {size}")
                    if size > 300:
                        proof = tree.inclusion_proof(size - 300, size)
                        verify_inclusion(leaf_hash(leaf_of(size - 300)), size - 300, size=size, proof=proof, root=tree.root(size))

        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(80):
            store.append(next_group(tree, 16))
        done.set()
        for thread in threads:
            thread.join()
        assert not wrong
        assert seen
        assert seen[-1] <= 1280


def test_head_is_read_strictly() -> None:
    head = Head(size=3, engine_position=7)
    encoded = encode_head(head)
    assert decode_head(encoded) == head
    for bit in range(len(encoded) * 8):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            decode_head(bytes(changed))
    with pytest.raises(IntegrityError):
        decode_head(b"")


def test_seen_is_what_the_number_was_used_for(path: Path) -> None:
    with Store.open(path, create=True) as store:
        tree = Tree(store)
        group = next_group(tree, 1)
        store.append(group)
        number = group.entries[0].number
        assert number is not None
        assert store.number(number.submitter, number.epoch, 1) == Seen(index=0, payload_hash=number.payload_hash)
