# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The spool's part about what was last seen: jobs of the last report, vanished ones, ids that left, nodes, watch list, pseudonyms.

Written together with the items that follow from it (`Spool.store`). Incarnations that were counted without knowing the ledger's are in
doubt until they were compared with it; then what waits and what is remembered moves together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from hpcbridge.agent.changes import GoneJob, JobMemory, MissingJob, SeenJob
from hpcbridge.agent.rows import MemoryWrites
from hpcbridge.agent.spool_file import Connection, SpoolFile
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Availability
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import JobChange
from hpcbridge.wire.convert import decode, encode

GONE_KEPT_MS = 400 * 86_400_000
"""How long an id that left the report is remembered, to notice that it is used again."""


class LastSeen:
    """Statements over `seen`, `missing`, `node`, `watched` and `pseudonym`."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def load_jobs(self) -> JobMemory:
        """Jobs of the last report and vanished ones; ids that are gone are looked up when one comes back (`gone_jobs`)."""
        rows = self._file.rows("SELECT job_id, incarnation, published, job FROM seen WHERE gone_at IS NULL")
        live = {job_id: SeenJob(decode(Job, job), incarnation, bool(published)) for job_id, incarnation, published, job in rows}
        query = "SELECT job, incarnation, published, since_at, next_at, asked, told, seen_at, lately FROM missing"
        missing = [_missing(row) for row in self._file.rows(query)]
        return JobMemory(live, {each.key: each for each in missing})

    def gone_jobs(self, job_ids: Sequence[str]) -> dict[str, GoneJob]:
        """What is remembered of those of these ids that left the report."""
        query = (
            "SELECT job_id, incarnation, submitted_at, published, ended FROM seen"
            " WHERE gone_at IS NOT NULL AND job_id IN (SELECT value FROM json_each(?))"
        )
        rows = self._file.rows(query, (json.dumps(list(job_ids)),)) if job_ids else ()
        return {
            job_id: GoneJob(incarnation, submitted_at, bool(published), bool(ended))
            for job_id, incarnation, submitted_at, published, ended in rows
        }

    def load_nodes(self) -> dict[str, Availability]:
        """Last seen availability of every node."""
        return {name: Availability(word) for name, word in self._file.rows("SELECT name, availability FROM node")}

    def confirm(self, job_id: str, *, raise_by: int, missing: Sequence[int] = ()) -> None:
        """The ledger's highest incarnation of an id is known now: what waits of it, and what is remembered, moves up by `raise_by`.

        Of vanished runs of the id only the incarnations in `missing` move: the others came from the ledger.
        """
        from_rows = self._file.rows("SELECT id, content FROM waiting WHERE subject = ? AND unconfirmed = 1", (job_id,))
        moved = [(_raised(content, raise_by), row) for row, content in from_rows] if raise_by else []
        with self._file.transaction() as db:
            db.executemany("UPDATE waiting SET content = ? WHERE id = ?", moved)
            db.execute("UPDATE waiting SET unconfirmed = 0 WHERE subject = ? AND unconfirmed = 1", (job_id,))
            db.execute("UPDATE seen SET published = 1 WHERE job_id = ? AND published = 2", (job_id,))
            if raise_by:
                db.execute("UPDATE seen SET incarnation = incarnation + ? WHERE job_id = ?", (raise_by, job_id))
                # Through negative numbers, so that no two rows share a key on the way.
                moved_runs = [(raise_by, job_id, incarnation) for incarnation in missing]
                db.executemany("UPDATE missing SET incarnation = -(incarnation + ?) WHERE job_id = ? AND incarnation = ?", moved_runs)
                db.execute("UPDATE missing SET incarnation = -incarnation WHERE job_id = ? AND incarnation < 0", (job_id,))

    def confirm_all(self) -> None:
        """The ledger has never heard of this installation: every incarnation stands as it is, from now on too."""
        with self._file.transaction() as db:
            db.execute("UPDATE waiting SET unconfirmed = 0 WHERE unconfirmed = 1")
            db.execute("DELETE FROM meta WHERE key = 'doubtful'")

    def unconfirmed_job_ids(self) -> frozenset[str]:
        """Ids of jobs whose incarnation is in doubt: of changes that wait, or of all that a restored spool remembers (`published` 2)."""
        query = "SELECT subject FROM waiting WHERE unconfirmed = 1 UNION SELECT job_id FROM seen WHERE published = 2"
        return frozenset(row[0] for row in self._file.rows(query))

    def pseudonym(self, owner: str, fresh: str) -> str:
        """The pseudonym of an owner; `fresh` becomes it if there is none yet."""
        row = self._file.row("SELECT pseudonym FROM pseudonym WHERE owner = ?", (owner,))
        if row is not None:
            return str(row[0])
        with self._file.transaction() as db:
            db.execute("INSERT INTO pseudonym VALUES(?, ?)", (owner, fresh))
        return fresh

    def watch(self, job_id: str) -> None:
        """Puts a job on the watch list."""
        with self._file.transaction() as db:
            db.execute("INSERT OR IGNORE INTO watched VALUES(?)", (job_id,))

    def watched(self) -> frozenset[str]:
        """The watch list."""
        return frozenset(job_id for (job_id,) in self._file.rows("SELECT job_id FROM watched"))


def write_memory(db: Connection, writes: MemoryWrites, *, at: Instant) -> None:
    """Changes the memory within the transaction that keeps what follows from it."""
    db.executemany(
        "UPDATE seen SET incarnation = ?, submitted_at = ?, published = ?, gone_at = ?, job = NULL WHERE job_id = ?",
        [(gone.incarnation, gone.submitted_at, gone.published, at, job_id) for job_id, gone in writes.gone.items()],
    )
    db.executemany(
        "INSERT OR REPLACE INTO seen VALUES(?, ?, ?, ?, NULL, ?, ?)",
        [
            (
                job_id,
                seen.incarnation,
                seen.job.submitted_at,
                seen.published,
                seen.job.state.ended,
                writes.encoded.get(job_id) or encode(seen.job),
            )
            for job_id, seen in writes.seen.items()
        ],
    )
    db.executemany("DELETE FROM missing WHERE job_id = ? AND incarnation = ?", writes.no_longer_missing)
    db.executemany(
        "INSERT OR REPLACE INTO missing(job_id, incarnation, published, since_at, next_at, asked, told, job, seen_at, lately)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(each.job.job_id, each.incarnation, each.published, each.since_at, each.next_at, each.asked, each.told),
                *(encode(each.job), each.seen_at, each.lately),
            )
            for each in writes.missing
        ],
    )
    db.executemany("INSERT OR REPLACE INTO node VALUES(?, ?)", list(writes.nodes.items()))


def forget_gone(db: Connection, *, before: Instant) -> None:
    """Drops ids that left the report before this time."""
    db.execute("DELETE FROM seen WHERE gone_at < ?", (before,))


def _missing(row: Sequence[Any]) -> MissingJob:
    job, incarnation, published, since_at, next_at, asked, told, seen_at, lately = row
    return MissingJob(
        job=decode(Job, job),
        incarnation=incarnation,
        published=bool(published),
        since_at=since_at,
        next_at=next_at,
        asked=asked,
        told=bool(told),
        seen_at=seen_at,
        lately=bool(lately),
    )


def _raised(content: bytes, raise_by: int) -> bytes:
    change = decode(JobChange, content)
    job = dataclasses.replace(change.job, incarnation=(change.job.incarnation or 1) + raise_by)
    return encode(dataclasses.replace(change, job=job))
