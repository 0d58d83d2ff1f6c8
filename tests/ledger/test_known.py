# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The filter of known keys: never denies what was added, rarely asks in vain, grows; and a store that relies on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.ledger.known import BITS_PER_KEY, MIN_BITS, KnownKeys
from hpcbridge.ledger.merkle import EMPTY_ROOT
from hpcbridge.ledger.records import Group
from hpcbridge.ledger.store import Store


def _group(writes: dict[str, bytes | None]) -> Group:
    return Group(entries=(), writes=writes, tiles=(), root=EMPTY_ROOT, engine_position=0)


def test_never_denies_a_key_and_seldom_suspects_an_absent_one() -> None:
    known = KnownKeys()
    keys = [f"job/c/{number}/00000001" for number in range(50_000)]
    for key in keys:
        known.add(key)
    assert all(map(known.may_hold, keys))
    suspected = sum(known.may_hold(f"job/d/{number}/00000001") for number in range(50_000))
    assert suspected < 500


def test_grows_without_forgetting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcbridge.ledger.known.MIN_BITS", 1 << 10)
    known = KnownKeys()
    keys = [f"node/c/{number}" for number in range(5_000)]
    for key in keys:
        known.add(key)
    assert all(map(known.may_hold, keys))
    assert sum(known.may_hold(f"node/d/{number}") for number in range(5_000)) < 500


def test_a_store_opened_again_finds_every_key_and_no_removed_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Store.open(path, create=True) as store:
        store.append(_group({"a/1": b"one", "a/2": b"", "a/3": b"three"}))
        store.append(_group({"a/3": None}))
        assert [store.state(key) for key in ("a/1", "a/2", "a/3", "a/4")] == [b"one", b"", None, None]
    with Store.open(path) as store:
        assert [store.state(key) for key in ("a/1", "a/2", "a/3", "a/4")] == [b"one", b"", None, None]
        store.append(_group({"a/3": b"back", "a/1": None}))
        assert [store.state(key) for key in ("a/1", "a/3")] == [None, b"back"]


def test_control_a_filter_that_denies_loses_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with Store.open(path, create=True) as store:
        store.append(_group({"a/1": b"one"}))
    monkeypatch.setattr(KnownKeys, "add", lambda _self, _key: None)
    with Store.open(path) as store:
        assert store.state("a/1") is None


def test_room_for_what_is_expected() -> None:
    assert KnownKeys(10)._newest.room == MIN_BITS // BITS_PER_KEY
    assert KnownKeys(10_000_000)._newest.room >= 10_000_000
