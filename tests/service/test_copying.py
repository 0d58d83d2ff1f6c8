# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridge-ledgerd backup`: a copy under load is whole, a damaged store gives none, and an older copy stays an older copy (S8)."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.errors import ConfigError, IntegrityError
from hpcbridge.ledger.store import StoreReader
from hpcbridge.service.copying import back_up
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator


def test_a_copy_under_load_is_whole_and_replaces_the_last_one(new_ledger: Callable[..., LedgerSimulator], tmp_path: Path) -> None:
    ledger = new_ledger()
    ledger.provider("c1", cluster="c1")
    author = Author(ledger.identity("c1"))
    stream = author.open(ledger.client("c1"))
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 20
            author.send(stream, [author.envelope(job_changes("c1", number + each)) for each in range(20)])

    writer = threading.Thread(target=write)
    writer.start()
    target = tmp_path / "copies" / "ledger.db"
    try:
        sizes = [back_up(ledger.config.store.directory, target).size for _ in range(5)]
    finally:
        over.set()
        writer.join()
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert [path.name for path in target.parent.iterdir()] == ["ledger.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with StoreReader.open(target) as copy, StoreReader.open(ledger.store_path) as store:
        assert copy.leaves(0, sizes[-1]) == store.leaves(0, sizes[-1])
        assert copy.head().size == sizes[-1]


def test_a_damaged_store_gives_no_copy_and_the_last_good_one_stays(new_ledger: Callable[..., LedgerSimulator], tmp_path: Path) -> None:
    ledger = new_ledger()
    ledger.user("u1")
    directory, target = ledger.config.store.directory, tmp_path / "ledger.db"
    back_up(directory, target)
    good = target.read_bytes()
    ledger.stop()
    with sqlite3.connect(ledger.store_path) as connection:
        (leaf,) = connection.execute("SELECT leaf FROM entry WHERE idx=1").fetchone()
        connection.execute("UPDATE entry SET leaf=? WHERE idx=1", (leaf[:50] + bytes([leaf[50] ^ 1]) + leaf[51:],))
    connection.close()
    with pytest.raises(IntegrityError):
        back_up(directory, target)
    assert target.read_bytes() == good


def test_a_copy_does_not_go_where_the_store_is(new_ledger: Callable[..., LedgerSimulator], tmp_path: Path) -> None:
    directory = new_ledger().config.store.directory
    with pytest.raises(ConfigError, match="beside the store"):
        back_up(directory, directory / "high-water")
    with pytest.raises(ConfigError, match="no ledger store"):
        back_up(tmp_path, tmp_path / "elsewhere" / "ledger.db")
