# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S6, quick share: a real small file system is filled and freed while jobs change. Needs root, for the mount."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.agent.memory import Memory, Publication
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.spool_file import SpoolFull
from hpcbridge.agent.vanished import Patience
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.transactions import Gap, JobChange, PayloadType
from hpcbridge.wire.convert import decode
from tests.agent.conftest import AT, make_job


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_and_frees_loses_no_end_and_says_what_it_missed(small_disk: Path) -> None:
    with Spool(small_disk / "spool.db", cluster="c1", quota_bytes=4 << 20, keep_ms=1000) as spool:
        memory = Memory(
            spool,
            Publication(mode=PublishMode.FULL, owners=frozenset()),
            patience=Patience(grace_ms=60_000),
            random_bytes=secrets.token_bytes,
        )
        told: list[Job] = []
        gaps: list[Gap] = []
        full = 0
        report: list[Job] = []
        for round_ in range(60):
            at = AT + round_ * 1000
            junk = small_disk / "junk"
            if round_ % 12 == 4:
                _fill(junk)
            if round_ % 12 == 9:
                junk.unlink()
            report = [_job(number, round_) for number in range(10 * round_, 10 * round_ + 200)]
            try:
                memory.observe_jobs(report, unreadable=(), at=at)
            except SpoolFull:
                full += 1
                assert memory.due(at) is not None, "the memory can still be read"
            if round_ % 12 == 11:
                _drain(spool, told, gaps)
                spool.trim(at=at)
        _drain(spool, told, gaps)
        assert full > 0
        assert gaps
        last = {job.job_id: job.state for job in told}
        assert {job.job_id: last[job.job_id] for job in report} == {job.job_id: job.state for job in report}
        ended = {each.job.job_id for each in memory.due(AT * 2)} | {job_id for job_id, state in last.items() if state is JobState.DONE}
        assert ended >= {str(number) for number in range(590)}, "every job that left is known to have ended, or is asked for"


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


def _drain(spool: Spool, told: list[Job], gaps: list[Gap]) -> None:
    """Takes out what waits, as the gateway would with a ledger that answers."""
    for kind, content in spool.file.rows("SELECT type, content FROM waiting ORDER BY id"):
        if kind == PayloadType.JOB_CHANGES:
            told.append(decode(JobChange, content).job)
        else:
            gaps.append(decode(Gap, content))
    with spool.file.transaction() as db:
        db.execute("DELETE FROM waiting")
