# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool on real files: what it said it kept is there after a kill, and it says what it could not keep."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge import failpoints
from hpcbridge.agent.changes import MissingJob, SeenJob
from hpcbridge.agent.rows import Acknowledgement, Item, MemoryWrites, NumberedPayload, Refusal
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.spool_file import SCHEMA_VERSION, SpoolFull
from hpcbridge.errors import ConfigError, IntegrityError, StorageError
from hpcbridge.failpoints import FailpointReached
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import JobState
from hpcbridge.model.transactions import Gap, JobChange, PayloadType
from hpcbridge.wire.convert import decode, encode
from tests.agent.conftest import AT, make_job
from tests.sabotage import NEVER_COMMITS

EPOCH = b"e" * 16
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def new_spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    opened: list[Spool] = []

    def make(quota_bytes: int = 1 << 28) -> Spool:
        opened.append(Spool(tmp_path / "spool.db", cluster="c1", quota_bytes=quota_bytes, keep_ms=1000))
        return opened[-1]

    yield make
    failpoints.arm("")
    for spool in opened:
        spool.close()


def item(job_id: str, state: JobState = JobState.RUNNING) -> Item:
    change = JobChange(job=make_job("c1", job_id, state, incarnation=1), observed_at=AT)
    return Item(payload_type=PayloadType.JOB_CHANGES, content=encode(change), subject=job_id)


def sample(text: bytes) -> Item:
    return Item(payload_type=PayloadType.CLUSTER_STATE, content=text, replaces="cluster state", sample=True)


def payload(sequence: int, *, epoch: bytes = EPOCH, kind: PayloadType = PayloadType.JOB_CHANGES, items: int = 1) -> NumberedPayload:
    content = f"{epoch.hex()} {sequence}".encode()
    return NumberedPayload(
        epoch=epoch, sequence=sequence, payload_type=kind, payload=content, payload_hash=hashlib.sha256(content).digest(), items=items
    )


def open_epoch(spool: Spool, epoch: bytes = EPOCH, *, lost: bool = False) -> None:
    spool.chain.open_epoch(payload(1, epoch=epoch, kind=PayloadType.EPOCH_START), previous_epoch=b"", lost=lost, at=AT)


def acknowledgement(sequence: int, *refusals: Refusal) -> Acknowledgement:
    return Acknowledgement(
        sequence=sequence, index=100 + sequence, outcomes=(EntryOutcome.ACCEPTED,), refusals=refusals, receipt="text", at=AT
    )


def waiting(spool: Spool) -> list[str | None]:
    batch = spool.next_items(limit=500, max_bytes=1 << 20)
    return [] if batch is None else [each.subject for each in batch[1]]


def test_items_and_memory_are_kept_together(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    seen = SeenJob(make_job("c1", "1", JobState.RUNNING), 1, published=True)
    spool.store([item("1")], MemoryWrites(seen={"1": seen}), at=AT)
    spool.close()
    again = new_spool()
    assert again.last_seen.load_jobs().live == {"1": seen}
    assert waiting(again) == ["1"]


def test_a_failure_before_the_commit_keeps_neither(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    failpoints.arm("spool.before_commit:raise")
    with pytest.raises(FailpointReached):
        spool.store([item("1")], MemoryWrites(seen={"1": SeenJob(make_job("c1", "1"), 1, published=True)}), at=AT)
    assert waiting(spool) == []
    assert spool.last_seen.load_jobs().live == {}


def test_an_unsent_sample_is_replaced_and_a_sent_one_is_not(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    open_epoch(spool)
    spool.store([sample(b"1")], at=AT)
    (row,) = spool.store([sample(b"2")], at=AT)
    assert spool.figures().waiting == 1
    spool.chain.add_payload(payload(2, kind=PayloadType.CLUSTER_STATE), [row], at=AT)
    spool.store([sample(b"3")], at=AT)
    assert spool.figures().waiting == 1
    open_epoch(spool, b"f" * 16)
    batch = spool.next_items(limit=9, max_bytes=999)
    assert batch is not None
    assert [each.content for each in batch[1]] == [b"3"]


def test_items_of_a_left_epoch_wait_again_in_their_order(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    open_epoch(spool)
    rows = spool.store([item("1"), item("2"), item("3")], at=AT)
    spool.chain.add_payload(payload(2), rows[:1], at=AT)
    spool.chain.add_payload(payload(3), rows[1:2], at=AT)
    spool.chain.acknowledge([acknowledgement(1), acknowledgement(2)], checkpoint="note", at=AT)
    open_epoch(spool, b"f" * 16)
    assert waiting(spool) == ["2", "3"]
    assert spool.chain.numbers().next_sequence == 2
    assert [each.sequence for each in spool.chain.unacknowledged(1, 9)] == [1]


def test_a_receipt_drops_the_items_and_stays_for_its_time(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    open_epoch(spool)
    rows = spool.store([item("1"), item("2")], at=AT)
    spool.chain.add_payload(payload(2, items=2), rows, at=AT)
    refusal = Refusal(ordinal=1, code=EntryOutcome.STALE, reason="old")
    spool.chain.acknowledge([acknowledgement(1), acknowledgement(2, refusal)], checkpoint="note", at=AT)
    assert waiting(spool) == []
    assert [row[2:4] for row in spool.chain.refused(9)] == [("STALE", "old")]
    assert spool.chain.receipt(102) == "text"
    spool.trim(at=AT + 999)
    assert len(spool.chain.receipts(9)) == 2
    spool.trim(at=AT + 1001)
    assert [row[1] for row in spool.chain.receipts(9)] == [2], "the last number of the epoch is needed for Hello"
    assert spool.chain.payload_hash(EPOCH, 2) == payload(2).payload_hash


def test_poison_is_set_aside_with_its_items(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    open_epoch(spool)
    rows = spool.store([item("1"), item("2")], at=AT)
    spool.chain.add_payload(payload(2), rows[:1], at=AT)
    start = payload(1, epoch=b"f" * 16, kind=PayloadType.EPOCH_START)
    spool.chain.open_epoch(start, previous_epoch=EPOCH, lost=False, poison=(2, "MALFORMED_HEADER: bug"), at=AT)
    assert waiting(spool) == ["2"]
    assert [row[5] for row in spool.chain.quarantined()] == ["MALFORMED_HEADER: bug"]


def test_samples_give_way_first_and_what_was_not_kept_becomes_a_gap(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool(quota_bytes=400_000)
    stored = 0
    with pytest.raises(SpoolFull):  # noqa: PT012 - how many fit is not the point
        while True:
            spool.store([item(str(stored + number)) for number in range(50)], at=AT + stored)
            stored += 50
    spool.store([sample(b"x")], at=AT)
    assert spool.figures().waiting == stored, "no sample was kept in the reserve"
    open_epoch(spool)
    while batch := spool.next_items(limit=500, max_bytes=1 << 20):
        sequence = spool.chain.numbers().next_sequence
        spool.chain.add_payload(payload(sequence), [each.row for each in batch[1]], at=AT)
        spool.chain.acknowledge([acknowledgement(sequence)], checkpoint="note", at=AT)
    spool.store([item("after")], at=AT + 999_999)
    batch = spool.next_items(limit=9, max_bytes=9999)
    assert batch is not None
    assert batch[0] is PayloadType.GAP
    gap = decode(Gap, batch[1][0].content)
    assert (gap.cluster, gap.reason, gap.since_at, gap.until_at) == ("c1", "spool full", AT + stored, AT + 999_999)


def test_a_full_disk_gives_up_the_reserve_and_goes_on(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    reserve = spool.path.with_suffix(".reserve")
    assert reserve.stat().st_size > 0
    failpoints.arm("spool.before_commit:enospc")
    spool.store([item("1")], at=AT)
    assert not reserve.exists()
    assert waiting(spool) == ["1"]
    spool.trim(at=AT)
    assert reserve.exists()


def test_a_full_disk_is_no_reason_to_think_the_spool_dead(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    failpoints.arm("spool.before_commit:enospc")
    spool.probe()
    failpoints.arm("spool.before_commit:eio")
    with pytest.raises(StorageError):
        spool.probe()


def test_an_io_error_makes_the_spool_unusable_for_good(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    failpoints.arm("spool.after_commit:eio")
    with pytest.raises(StorageError) as caught:
        spool.store([item("1")], at=AT)
    assert caught.value.exit_status == 70
    failpoints.arm("")
    with pytest.raises(StorageError):
        spool.figures()
    spool.close()
    assert waiting(new_spool()) == ["1"]


def test_what_was_kept_is_not_stored_again_whatever_comes_after(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    failpoints.arm("spool.after_commit:enospc")
    with pytest.raises(StorageError):
        spool.store([item("1")], at=AT)
    spool.close()
    assert waiting(new_spool()) == ["1"]


def test_another_process_cannot_open_it(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    program = (
        "import sys; from pathlib import Path; from hpcbridge.agent.spool import Spool\n"
        "Spool(Path(sys.argv[1]), cluster='c1', quota_bytes=1, keep_ms=1)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(spool.path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "in use by another process" in done.stderr


def test_a_spool_of_the_version_before_is_taken_over(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    missing = MissingJob(job=make_job("c1", "7"), incarnation=2, published=True, since_at=AT, next_at=AT, seen_at=AT - 5, lately=True)
    spool.store((), MemoryWrites(missing=(missing,)), at=AT)
    assert spool.last_seen.load_jobs().missing == {missing.key: missing}
    path = spool.path
    spool.close()
    _execute(path, "ALTER TABLE missing DROP COLUMN seen_at")
    _execute(path, "ALTER TABLE missing DROP COLUMN lately")
    _execute(path, "DROP TABLE tenancy")
    _execute(path, "PRAGMA user_version = 1")
    loaded = new_spool().last_seen.load_jobs().missing[missing.key]
    assert loaded == dataclasses.replace(missing, seen_at=None, lately=False)


def test_a_spool_that_knew_no_tenancies_gets_a_place_for_them(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    spool.last_seen.watch("7")
    path = spool.path
    spool.close()
    _execute(path, "DROP TABLE tenancy")
    _execute(path, "PRAGMA user_version = 2")
    taken_over = new_spool()
    assert taken_over.tenants.all() == ()
    assert taken_over.last_seen.watched() == {"7"}
    assert not taken_over.knows_all_rentals


def test_a_newer_version_and_damage_are_refused(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    open_epoch(spool)
    path = spool.path
    spool.close()
    _execute(path, "PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="newer"):
        new_spool()
    _execute(path, f"PRAGMA user_version = {SCHEMA_VERSION}")
    _execute(path, "UPDATE payload SET payload = CAST('flipped' AS BLOB)")
    with pytest.raises(IntegrityError, match="not what was stored"):
        new_spool()
    path.write_bytes(b"SQLite format 3\0" + b"\x10\0" + b"garbage" * 1000)
    with pytest.raises(IntegrityError):
        new_spool()


WRITER = """
import sys
from pathlib import Path
from hpcbridge.agent.changes import SeenJob
from hpcbridge.agent.rows import MemoryWrites
from hpcbridge.agent.spool import Spool
from tests.agent.test_spool import item, make_job
spool = Spool(Path(sys.argv[1]), cluster="c1", quota_bytes=1 << 28, keep_ms=1000)
number = int(sys.argv[2])
while True:
    ids = [str(number + offset) for offset in range(20)]
    seen = {each: SeenJob(make_job("c1", each), 1, published=True) for each in ids}
    spool.store([item(each) for each in ids], MemoryWrites(seen=seen), at=number)
    number += 20
    print(number, flush=True)
"""


def test_kill_9_in_the_middle_of_writing_loses_nothing(new_spool: Callable[..., Spool], tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    stored = 0
    for round_ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(stored)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(20 + 7 * round_)]
        writer.kill()
        lines += writer.stdout.readlines()
        writer.wait()
        said = int([line for line in lines if line.endswith("\n")][-1])
        spool = new_spool()
        items = [str(row[0]) for row in spool.file.rows("SELECT subject FROM waiting ORDER BY id")]
        assert len(items) >= said
        assert items == [str(number) for number in range(len(items))], "contiguous, nothing twice"
        assert len(items) % 20 == 0
        assert set(spool.last_seen.load_jobs().live) == set(items)
        stored = len(items)
        spool.close()


def test_control_without_the_commit_a_kill_loses_what_was_said_to_be_kept(new_spool: Callable[..., Spool], tmp_path: Path) -> None:
    argv = [sys.executable, "-c", NEVER_COMMITS + WRITER, str(tmp_path / "spool.db"), "0"]
    writer = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(20)]
    writer.kill()
    writer.communicate()
    assert said[-1] == 400
    assert new_spool().figures().waiting == 0


@pytest.mark.parametrize("place", ["spool.before_commit", "spool.after_commit"])
def test_a_process_that_ends_at_a_fail_point_keeps_all_or_nothing(tmp_path: Path, place: str, new_spool: Callable[..., Spool]) -> None:
    path = tmp_path / "spool.db"
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"HPCBRIDGE_FAILPOINT": f"{place}:exit:4", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == failpoints.EXIT_STATUS
    said = int((done.stdout.split() or ["0"])[-1])
    spool = new_spool()
    kept = spool.figures().waiting
    assert kept == (said if place.endswith("before_commit") else said + 20)
    assert len(spool.last_seen.load_jobs().live) == kept


def test_twenty_thousand_changes_are_stored_at_once(new_spool: Callable[..., Spool]) -> None:
    spool = new_spool()
    items = [item(str(number)) for number in range(20_000)]
    seen = {each.subject or "": SeenJob(make_job("c1", each.subject or ""), 1, published=True) for each in items}
    began = time.perf_counter()
    spool.store(items, MemoryWrites(seen=seen), at=AT)
    print(f"20,000 changes stored in {time.perf_counter() - began:.2f} s")
    assert spool.figures().waiting == 20_000


def _execute(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
