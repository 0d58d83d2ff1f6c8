# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S6, quick share: a real small file system is filled and freed while jobs change. Needs root, for the mount."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.rows import Item, MemoryWrites
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.spool_file import SpoolFull
from hpcbridge.agent.vanished import Patience
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Gap, JobChange, PayloadType
from hpcbridge.wire.convert import decode
from tests.agent.conftest import AT, make_job


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must be able to mount: {done.stderr.strip()}")
        pytest.skip(f"no mount here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@dataclass
class Told:
    """What left the spool of a site whose disk fills and frees while jobs come and go."""

    jobs: list[Job] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    report: list[Job] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    times_full: int = 0

    @property
    def lost(self) -> set[str]:
        """Jobs of the last report that are not known as they are, and jobs that left and are neither known to have ended nor asked for."""
        last = {job.job_id: job.state for job in self.jobs}
        wrong = {job.job_id for job in self.report if last.get(job.job_id) is not job.state}
        return wrong | ({str(number) for number in range(590)} - self.ended)


def test_a_disk_that_fills_and_frees_loses_no_end_and_says_what_it_missed(small_disk: Path) -> None:
    told = run(small_disk)
    assert told.times_full > 0
    assert told.gaps
    assert told.lost == set()


def test_control_a_memory_that_goes_on_when_nothing_was_kept_loses_jobs(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Spool.store

    def boastful(spool: Spool, items: Sequence[Item], writes: MemoryWrites | None = None, *, at: Instant) -> tuple[int, ...]:
        try:
            return honest(spool, items, writes, at=at)
        except SpoolFull:
            return ()

    monkeypatch.setattr(Spool, "store", boastful)
    assert run(small_disk).lost


def test_control_without_the_note_of_an_overflow_nobody_hears_of_the_gap(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "_note_overflow", lambda *_: None)
    told = run(small_disk)
    assert told.times_full > 0
    assert told.gaps == []


def run(disk: Path) -> Told:
    """Sixty reports of 200 jobs; the disk is filled and freed five times."""
    told = Told()
    with Spool(disk / "spool.db", cluster="c1", quota_bytes=4 << 20, keep_ms=1000) as spool:
        memory = Memory(
            spool,
            Publication(mode=PublishMode.FULL, owners=frozenset()),
            patience=Patience(grace_ms=60_000),
            random_bytes=secrets.token_bytes,
        )
        for round_ in range(60):
            at = AT + round_ * 1000
            junk = disk / "junk"
            if round_ % 12 == 4:
                _fill(junk)
            if round_ % 12 == 9:
                junk.unlink()
            told.report = [_job(number, round_) for number in range(10 * round_, 10 * round_ + 200)]
            try:
                memory.observe_jobs(told.report, unreadable=(), at=at)
            except SpoolFull:
                told.times_full += 1
                assert memory.due(at) is not None, "the memory can still be read"
            if round_ % 12 == 11:
                _drain(spool, told)
                spool.trim(at=at)
        _drain(spool, told)
        last = {job.job_id: job.state for job in told.jobs}
        told.ended = {each.job.job_id for each in memory.due(AT * 2)}
        told.ended |= {job_id for job_id, state in last.items() if state is JobState.DONE}
    return told


def _job(number: int, round_: int) -> Job:
    age = round_ - number // 10 + 20
    state = JobState.QUEUED if age < 7 else JobState.RUNNING if age < 14 else JobState.DONE
    return make_job("c1", str(number), state, name="n" * 200)


def _fill(junk: Path) -> None:
    with junk.open("wb", buffering=0) as file:
        for size in (65536, 512):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue


def _drain(spool: Spool, told: Told) -> None:
    """Takes out what waits, as the gateway would with a ledger that answers."""
    for kind, content in spool.file.rows("SELECT type, content FROM waiting ORDER BY id"):
        if kind == PayloadType.JOB_CHANGES:
            told.jobs.append(decode(JobChange, content).job)
        else:
            told.gaps.append(decode(Gap, content))
    with spool.file.transaction() as db:
        db.execute("DELETE FROM waiting")
