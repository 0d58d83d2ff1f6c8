# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S8: copies of a ledger's files, restored at any time in any mixture. None that is older than what was signed goes on."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.errors import HpcbridgeError, IntegrityError
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.model.entries import EntryOutcome
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import ORIGIN, LedgerSimulator


@pytest.mark.parametrize("restores", [6, pytest.param(100, marks=[pytest.mark.full, pytest.mark.timeout(3600)])])
def test_no_older_copy_goes_on(new_ledger: Callable[..., LedgerSimulator], tmp_path: Path, restores: int) -> None:
    chance = random.Random(8)
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    author.open(ledger.client("acme"))
    directory = ledger.config.store.directory
    roots: dict[int, bytes] = {}
    jobs = 0
    copies: list[Path] = []
    for cycle in range(restores):
        jobs = _work(ledger, author, jobs, count=chance.randint(1, 12))
        note = _held(ledger, author, roots)
        ledger.stop()
        copies.append(_copy(directory, tmp_path / f"copy-{cycle}"))
        ledger.start()
        jobs = _work(ledger, author, jobs, count=chance.randint(1, 12))
        note = _held(ledger, author, roots)
        ledger.stop()
        newest = _copy(directory, tmp_path / "newest")

        older, with_mark = chance.choice(copies), bool(cycle % 2)
        _restore(older, directory, *(["ledger.db", "high-water"] if with_mark else ["ledger.db"]))
        if with_mark:
            ledger.start()
            with pytest.raises(HpcbridgeError):
                author.hello(ledger.client("acme"), checkpoint=note)
            assert ledger.service.wait(20)
            assert isinstance(ledger.service.failure, IntegrityError)
            assert ledger.service.failure.exit_status == 3
            ledger.stop()
        else:
            with pytest.raises(IntegrityError, match="older copy"):
                ledger.start()

        _restore(newest, directory, "ledger.db", "high-water")
        ledger.start()
        _, reply = author.hello(ledger.client("acme"), checkpoint=note)
        assert (reply.last_sequence, reply.epoch) == (author.sequence, author.epoch)
    jobs = _work(ledger, author, jobs, count=3)


def _work(ledger: LedgerSimulator, author: Author, jobs: int, *, count: int) -> int:
    """So many changes more; how many there are now."""
    stream, _ = author.hello(ledger.client("acme"))
    answers = author.send(stream, [author.envelope(job_changes("c1", jobs + number)) for number in range(count)])
    assert answers == [(EntryOutcome.ACCEPTED,)] * count
    return jobs + count


def _held(ledger: LedgerSimulator, author: Author, roots: dict[int, bytes]) -> str:
    """The newest checkpoint as the member holds it; no two of one size may differ."""
    _, reply = author.hello(ledger.client("acme"))
    checkpoint = parse_checkpoint(reply.checkpoint.note, ORIGIN, author.log_key)
    assert roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
    return checkpoint.note


def _copy(directory: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(directory, target)
    return target


def _restore(source: Path, directory: Path, *names: str) -> None:
    for name in ("ledger.db-wal", "ledger.db-shm", "ledger.db.closed"):
        (directory / name).unlink(missing_ok=True)
    for name in names:
        shutil.copy2(source / name, directory / name)
