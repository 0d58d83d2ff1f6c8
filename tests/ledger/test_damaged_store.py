# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S7: flipped bits, zeroed, stale and swapped pages. Every change of content is refused at the next start, with the failed check named."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.errors import ConfigError, HpcbridgeError, IntegrityError
from hpcbridge.ledger import store as store_module
from hpcbridge.ledger.checks import verify_range
from hpcbridge.ledger.store import Store, StoreReader
from tests.ledger_filling import fill

PAGE = 8192
Content = dict[str, list[tuple[object, ...]]]


def content_of(path: Path) -> Content | str:
    """Every value in the file as SQLite gives it to somebody who checks nothing."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    connection.text_factory = bytes
    try:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("entry", "number", "tile", "state", "event", "meta")
        } | {"version": connection.execute("PRAGMA user_version").fetchall()}
    except (sqlite3.Error, UnicodeError) as error:
        return str(error)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A store file and an older copy of it."""
    path = tmp_path_factory.mktemp("image") / "ledger.db"
    with Store.open(path, create=True) as store:
        fill(store, 500)
    older = path.read_bytes()
    with Store.open(path) as store:
        fill(store, 100)
    return path.read_bytes(), older


def flipped(chance: random.Random, image: tuple[bytes, bytes]) -> bytes:
    data = bytearray(image[0])
    bit = chance.randrange(len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def zeroed(chance: random.Random, image: tuple[bytes, bytes]) -> bytes:
    page = chance.randrange(len(image[0]) // PAGE) * PAGE
    return image[0][:page] + bytes(PAGE) + image[0][page + PAGE :]


def stale(chance: random.Random, image: tuple[bytes, bytes]) -> bytes:
    page = chance.randrange(len(image[1]) // PAGE) * PAGE
    return image[0][:page] + image[1][page : page + PAGE] + image[0][page + PAGE :]


def swapped(chance: random.Random, image: tuple[bytes, bytes]) -> bytes:
    data = bytearray(image[0])
    first, second = (page * PAGE for page in chance.sample(range(len(data) // PAGE), 2))
    data[first : first + PAGE], data[second : second + PAGE] = data[second : second + PAGE], data[first : first + PAGE]
    return bytes(data)


def refusal(path: Path) -> str | None:
    try:
        Store.open(path).close()
    except (IntegrityError, ConfigError) as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("damage", "samples"),
    [
        (flipped, 250),
        (zeroed, 30),
        (stale, 50),
        (swapped, 30),
        pytest.param(flipped, 10_000, marks=pytest.mark.full),
        pytest.param(zeroed, 700, marks=pytest.mark.full),
        pytest.param(stale, 700, marks=pytest.mark.full),
        pytest.param(swapped, 600, marks=pytest.mark.full),
    ],
)
def test_every_change_of_content_is_refused(
    damage: Callable[[random.Random, tuple[bytes, bytes]], bytes], samples: int, image: tuple[bytes, bytes], tmp_path: Path
) -> None:
    chance = random.Random(7)
    path = tmp_path / "ledger.db"
    path.write_bytes(image[0])
    right = content_of(path)
    assert isinstance(right, dict)
    refused = 0
    for _ in range(samples):
        data = damage(chance, image)
        path.write_bytes(data)
        changed = content_of(path) != right
        message = refusal(path)
        assert message is not None or not changed
        refused += message is not None
    assert refused > 0


def test_control_the_file_check_alone_misses_flipped_content(
    image: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With re-hashing and digests off, most flips in content pass: that is why both exist."""
    monkeypatch.setattr(store_module, "verify_content", lambda *_, **__: None)
    monkeypatch.setattr(Store, "_all_fingerprints", lambda _: iter(()))
    chance = random.Random(7)
    path = tmp_path / "ledger.db"
    path.write_bytes(image[0])
    right = content_of(path)
    missed = changed = 0
    for _ in range(150):
        path.write_bytes(flipped(chance, image))
        if content_of(path) != right:
            changed += 1
            missed += refusal(path) is None
    assert changed > 50
    assert missed > changed // 2


def test_control_hashes_alone_miss_a_broken_index(image: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(image[0])
    connection = sqlite3.connect(path)
    (root_page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='event_audience'").fetchone()
    connection.close()
    start = (root_page - 1) * PAGE
    data = bytearray(path.read_bytes())
    place = data.rindex(b"c1", start, start + PAGE)
    data[place : place + 2] = b"c9"
    path.write_bytes(data)
    assert "file structure" in (refusal(path) or "")
    monkeypatch.setattr(store_module, "check_file", lambda _: None)
    assert refusal(path) is None


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE entry SET leaf=CAST('x' AS BLOB) WHERE idx=3", "tiles failed: entries 0 to 255"),
        ("UPDATE entry SET leaf=CAST('x' AS BLOB) WHERE idx=599", "check of the root"),
        ("DELETE FROM entry WHERE idx=599", "check of the counts"),
        ("UPDATE entry SET leaf='text' WHERE idx=3", "value types failed: wrong in table entry"),
        ("UPDATE tile SET hashes=zeroblob(8192) WHERE id=1", "tiles failed: entries 256 to 511"),
        ("DELETE FROM tile WHERE id=1", "check of the counts"),
        ("UPDATE state SET value=CAST('x' AS BLOB) WHERE key='job/c0/0/00000001'", "digests failed: table state"),
        ("DELETE FROM state WHERE key='job/c0/0/00000001'", "digests failed: table state"),
        ("INSERT INTO state VALUES ('job/x', CAST('x' AS BLOB))", "digests failed: table state"),
        ("UPDATE event SET body=CAST('x' AS BLOB) WHERE subject='job/7'", "digests failed: table event"),
        ("UPDATE event SET audience='c9' WHERE subject='job/7'", "digests failed: table event"),
        ("UPDATE number SET idx=4 WHERE idx=5", "digests failed: table number"),
        ("UPDATE meta SET value=zeroblob(184)", "check of the head"),
        ("DELETE FROM meta", "check of the head"),
        ("DROP INDEX event_audience", "table definitions"),
        ("DROP TABLE event", "table definitions"),
        ("PRAGMA user_version=0", "check of the header"),
    ],
)
def test_the_failed_check_is_named(statement: str, check: str, image: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(image[0])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    with pytest.raises(IntegrityError, match=check) as caught:
        Store.open(path)
    assert caught.value.hint


def test_file_cut_short_is_refused(image: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for length in (0, 50, PAGE, len(image[0]) // 2, len(image[0]) - PAGE, len(image[0]) - 1):
        path.write_bytes(image[0][:length])
        with pytest.raises(HpcbridgeError):
            Store.open(path)


def test_background_check_finds_a_leaf_that_changed_under_an_open_store(image: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(image[0])
    with Store.open(path), StoreReader.open(path) as reader:
        verify_range(reader, 0, 600)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("UPDATE entry SET leaf=CAST('x' AS BLOB) WHERE idx=300")
        connection.close()
        verify_range(reader, 0, 256)
        with pytest.raises(IntegrityError, match="entries 256 to 511"):
            verify_range(reader, 299, 301)
