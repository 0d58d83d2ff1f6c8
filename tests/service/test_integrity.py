# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A ledger that is not what it signed stops: restored copies (S8), changed bytes (S7), clocks that jump, disks that fail."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpcbridge.errors import BadData, ConfigError, HpcbridgeError, IntegrityError, LedgerUnavailable, StorageError
from hpcbridge.failpoints import arm
from hpcbridge.ledger import checks
from hpcbridge.ledger.highwater import EMPTY, HighWater
from hpcbridge.ledger.store import Store
from hpcbridge.model.entries import EntryOutcome, RetryCode
from hpcbridge.service import opening
from hpcbridge.service.clock import ClockMoved, ProposerClock, accept_clock, boot_clock, wall_clock
from hpcbridge.service.ledger_service import LedgerService
from hpcbridge.service.opening import rebuild_high_water
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.receipts import read_receipt
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator, now

ACCEPTED = (EntryOutcome.ACCEPTED,)
DAY_MS = 86_400_000


@pytest.fixture
def grown(new_ledger: Callable[..., LedgerSimulator], tmp_path: Path) -> tuple[LedgerSimulator, Author, Path, str]:
    """A stopped ledger, its author, an older copy of its directory, and the newest checkpoint the author holds."""
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    ledger.stop()
    older = tmp_path / "older"
    shutil.copytree(ledger.config.store.directory, older)
    ledger.start()
    stream, _ = author.hello(ledger.client("acme"))
    assert author.send(stream, [author.envelope(job_changes("c1", number)) for number in range(20)]) == [ACCEPTED] * 20
    _, reply = author.hello(ledger.client("acme"))
    ledger.stop()
    return ledger, author, older, reply.checkpoint.note


def restore(older: Path, directory: Path, *names: str) -> None:
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (directory / name).unlink(missing_ok=True)
    (directory / "ledger.db.closed").unlink()
    for name in names:
        shutil.copy2(older / name, directory / name)


def test_an_older_store_does_not_start(grown: tuple[LedgerSimulator, Author, Path, str]) -> None:
    ledger, _, older, _ = grown
    restore(older, ledger.config.store.directory, "ledger.db")
    with pytest.raises(IntegrityError, match="older copy") as stopped:
        ledger.start()
    assert stopped.value.exit_status == 3


def test_an_older_store_starts_when_the_mark_is_not_compared(
    grown: tuple[LedgerSimulator, Author, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _, older, _ = grown
    monkeypatch.setattr(opening, "check_not_behind", lambda _tree, _mark: None)
    monkeypatch.setattr(HighWater, "mark", EMPTY)
    restore(older, ledger.config.store.directory, "ledger.db")
    opened = opening.open_ledger(ledger.config.store.directory)
    assert opened.tree.size < 25
    opened.close()


def test_an_older_store_with_its_high_water_file_stops_at_the_first_hello(grown: tuple[LedgerSimulator, Author, Path, str]) -> None:
    ledger, author, older, note = grown
    restore(older, ledger.config.store.directory, "ledger.db", "high-water")
    ledger.start()
    with pytest.raises(HpcbridgeError):
        author.hello(ledger.client("acme"), checkpoint=note)
    assert ledger.service.wait(10)
    assert isinstance(ledger.service.failure, IntegrityError)
    assert ledger.service.failure.exit_status == 3


def test_a_fork_of_the_same_size_stops_at_hello(grown: tuple[LedgerSimulator, Author, Path, str]) -> None:
    ledger, author, older, note = grown
    restore(older, ledger.config.store.directory, "ledger.db", "high-water")
    ledger.start()
    stream, reply = author.hello(ledger.client("acme"))
    author.sequence = reply.last_sequence
    for number in range(30):
        author.send(stream, [author.envelope(job_changes("c1", 500 + number))])
    with pytest.raises(HpcbridgeError):
        author.hello(ledger.client("acme"), checkpoint=note)
    assert ledger.service.wait(10)
    assert "two histories" in str(ledger.service.failure)


@pytest.mark.parametrize("table", ["entry", "state", "event", "number"])
def test_a_store_with_one_byte_changed_does_not_start(grown: tuple[LedgerSimulator, Author, Path, str], table: str) -> None:
    ledger = grown[0]
    column = {"entry": "leaf", "state": "value", "event": "body", "number": "payload_hash"}[table]
    with sqlite3.connect(ledger.store_path) as connection:
        rowid, content = connection.execute(
            f"SELECT {'idx' if table in ('entry', 'number') else 'id' if table == 'event' else 'key'}, {column} FROM {table} LIMIT 1"
        ).fetchone()
        key = {"entry": "idx", "number": "idx", "event": "id", "state": "key"}[table]
        changed = content[:-1] + bytes([content[-1] ^ 1])
        connection.execute(f"UPDATE {table} SET {column}=? WHERE {key}=?", (changed, rowid))
    connection.close()
    with pytest.raises(IntegrityError, match="check of the"):
        ledger.start()


def test_any_byte_changed_while_it_was_stopped_is_found(
    grown: tuple[LedgerSimulator, Author, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that means nothing to SQLite. Control: no check of content sees that one, so after a crash it is not looked for."""
    ledger = grown[0]
    directory = ledger.config.store.directory
    whole = ledger.store_path.read_bytes()
    idle = next(place for place in range(len(whole) // 8192 * 8192 - 1, 0, -1) if not any(whole[place - 600 : place + 600]))
    ledger.store_path.write_bytes(whole[:idle] + b"\x01" + whole[idle + 1 :])
    with pytest.raises(IntegrityError, match="check of the file as it was closed"):
        ledger.start()
    with monkeypatch.context() as patched:
        patched.setattr(opening, "take_mark", lambda _path: None)
        opened = opening.open_ledger(directory)
        opened.high_water.close()
        for reader in opened.readers:
            reader.close()
        opened.store.close()
    ledger.store_path.write_bytes(whole)
    ledger.start()
    assert not (directory / "ledger.db.closed").exists()
    ledger.stop()
    assert (directory / "ledger.db.closed").exists()


def test_lost_high_water_file(grown: tuple[LedgerSimulator, Author, Path, str]) -> None:
    ledger, _, _, note = grown
    directory = ledger.config.store.directory
    with pytest.raises(ConfigError, match="exists"):
        rebuild_high_water(directory, [note])
    (directory / "high-water").unlink()
    with pytest.raises(IntegrityError, match="no high-water file"):
        ledger.start()
    with pytest.raises(BadData):
        rebuild_high_water(directory, [])
    assert rebuild_high_water(directory, [note]).size > 20
    ledger.start()
    assert ledger.service.failure is None


def test_the_signer_does_not_sign_what_reads_back_differently(
    new_ledger: Callable[..., LedgerSimulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    monkeypatch.setattr(checks, "leaf_hash", lambda _leaf: b"\x01" * 32)
    stream.send_envelopes([author.envelope(job_changes("c1", 1))])
    with pytest.raises(HpcbridgeError):
        next(stream)
    assert ledger.service.wait(10)
    assert isinstance(ledger.service.failure, IntegrityError)


def test_without_reading_back_a_wrong_root_would_be_signed(
    new_ledger: Callable[..., LedgerSimulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    monkeypatch.setattr(checks.SignedPrefix, "extend", lambda _self, _size, _root: None)
    monkeypatch.setattr("hpcbridge.service.applier.leaf_hash", lambda _leaf: b"\x01" * 32)
    stream.send_envelopes([author.envelope(job_changes("c1", 1))])
    reply = next(stream)
    assert reply.receipts.receipts
    with pytest.raises(IntegrityError):
        read_receipt(reply.receipts.receipts[0], reply.receipts.checkpoint.note, origin=author.origin, log_public_key=author.log_key)


@pytest.mark.parametrize("place", ["store.before_commit:eio", "store.before_commit:enospc", "highwater.before_sync:eio"])
def test_an_io_error_ends_the_service_without_an_acknowledgement(new_ledger: Callable[..., LedgerSimulator], place: str) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    arm(place)
    try:
        stream.send_envelopes([author.envelope(job_changes("c1", 1))])
        with pytest.raises(HpcbridgeError):
            next(stream)
        assert ledger.service.wait(10)
    finally:
        arm("")
    assert isinstance(ledger.service.failure, StorageError)
    assert ledger.service.failure.exit_status == 70


def test_a_second_process_and_a_taken_port(ledger: LedgerSimulator, new_ledger: Callable[..., LedgerSimulator]) -> None:
    with pytest.raises(ConfigError, match="in use"):
        LedgerService(ledger.config).start()
    other = new_ledger(start=False)
    other.service = LedgerService(replace(other.config, listen=ledger.config.listen))
    with pytest.raises(HpcbridgeError, match="cannot listen"):
        other.service.start()
    other.start()


def test_keys_that_others_can_read_or_that_are_of_another_ledger(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger, other = new_ledger(), new_ledger()
    ledger.stop()
    key = ledger.config.store.directory / "keys" / "log-key.pem"
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="lets others read"):
        ledger.start()
    key.chmod(0o600)
    shutil.copy2(other.config.store.directory / "keys" / "log-key.pem", key)
    with pytest.raises(IntegrityError, match="not those that entry 0 names"):
        ledger.start()


class Clocks:
    """Clocks a test can turn."""

    def __init__(self) -> None:
        self.ahead = 0

    def wall(self) -> int:
        return wall_clock() + self.ahead


@pytest.mark.parametrize("jump", [DAY_MS, -DAY_MS, 3650 * DAY_MS, -3650 * DAY_MS])
def test_a_clock_that_jumps_stops_the_proposer_until_it_is_accepted(tmp_path: Path, jump: int) -> None:
    clocks = Clocks()
    clock = ProposerClock(tmp_path, last_entry_at=now(), wall=clocks.wall, boot=boot_clock)
    assert abs(clock.propose_at() - now()) < 5000
    clocks.ahead = jump
    with pytest.raises(ClockMoved):
        clock.propose_at()
    assert abs(clock.now() - now()) < 5000
    accept_clock(tmp_path, now())
    with pytest.raises(ClockMoved):
        clock.propose_at()
    accept_clock(tmp_path, clocks.wall())
    assert abs(clock.propose_at() - clocks.wall()) < 5000
    assert abs(clock.now() - clocks.wall()) < 5000


def test_a_clock_far_ahead_of_the_log_waits_at_start(tmp_path: Path) -> None:
    clock = ProposerClock(tmp_path, last_entry_at=now() - 31 * DAY_MS)
    with pytest.raises(ClockMoved):
        clock.propose_at()
    accept_clock(tmp_path, now())
    clock.propose_at()
    ProposerClock(tmp_path, last_entry_at=now() - 29 * DAY_MS).propose_at()


def test_a_jump_expires_nobody_and_is_answered_with_retry(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    ledger.stop()
    clocks = Clocks()
    ledger.service = LedgerService(ledger.config, wall=clocks.wall)
    ledger.service.start()
    stream = author.open(ledger.client("acme"))
    clocks.ahead = 20 * DAY_MS
    envelope = author.envelope(job_changes("c1", 1))
    (answer,) = author.send(stream, [envelope])
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.retry.code == RetryCode.BEHIND
    ledger.client("acme").call("GetStatus", ledger_pb2.GetStatusRequest())
    clocks.ahead = 0
    assert author.send(stream, [envelope]) == [ACCEPTED]


def test_a_store_of_a_newer_version(grown: tuple[LedgerSimulator, Author, Path, str]) -> None:
    ledger = grown[0]
    connection = sqlite3.connect(ledger.store_path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ConfigError, match="version 99"):
        ledger.start()


def test_a_thread_that_dies_ends_the_service(new_ledger: Callable[..., LedgerSimulator], monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    arm("store.before_commit:raise")
    try:
        stream.send_envelopes([author.envelope(job_changes("c1", 1))])
        with pytest.raises(LedgerUnavailable):
            next(stream)
        assert ledger.service.wait(10)
    finally:
        arm("")
    assert "applier thread ended" in str(ledger.service.failure)


def test_what_is_not_in_the_store_is_not_acknowledged(new_ledger: Callable[..., LedgerSimulator], monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    monkeypatch.setattr(Store, "append", lambda _self, _group: None)
    stream.send_envelopes([author.envelope(job_changes("c1", 1))])
    with pytest.raises(HpcbridgeError):
        next(stream)
    assert ledger.service.wait(10)
    assert isinstance(ledger.service.failure, IntegrityError)
