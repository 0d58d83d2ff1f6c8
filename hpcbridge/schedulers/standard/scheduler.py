# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Any scheduler whose site scripts print the standard JSON (docs/standard.md, docs/standard.schema.json).

A record with a fault is kept out as long as it says what it is about; the others are used, because JSON that parses cannot run one
record into another. A record that does not say which job it is about could be any of those that are missing, so then nothing can
be concluded from the whole report, and it is rejected. Records that were there at the last poll are not read again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.model.printable import is_printable
from hpcbridge.schedulers.findings import failed, quarantined, unknown_state
from hpcbridge.schedulers.report import About, Answer, Problem, Report, Scheduler
from hpcbridge.schedulers.standard.document import Document, Pairs, Record
from hpcbridge.schedulers.standard.fields import FieldFault, given_once, is_plain_id, why_nameless
from hpcbridge.schedulers.standard.records import QueueFigures, about_from, job_from, node_from, queue_from

Read = TypeVar("Read")
_DIGEST_BYTES = 16
_LONGEST_NAME = 255


class StandardScheduler(Scheduler):
    """Parser for one cluster; remembers the digests of the records of its last `jobs` report."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._jobs_read: dict[bytes, Job] = {}

    def about(self, report: Report) -> About:
        """`{"about": {…}}`; a fault in it makes it unreadable, because there is no other record to use."""
        document = _document(report, "about")
        record = document.only_record()
        try:
            return about_from(document.pairs(record))
        except FieldFault as fault:
            raise document.unreadable(str(fault), document.offset_of(record, fault.field)) from fault

    def jobs(self, report: Report) -> Answer[Job]:
        """`{"jobs": […]}`; two records of one job contradict each other, so both are kept out."""
        before, now = self._jobs_read, dict[bytes, Job]()

        def recall(record: Record) -> Job | None:
            digest = _digest(record)
            job = before.get(digest)
            if job is not None:
                now[digest] = job
            return job

        def read(record: Record, pairs: Pairs) -> Job:
            job = job_from(self._cluster, pairs)
            now[_digest(record)] = job
            return job

        answer = _answer(report, "jobs", read, recall, name=_id_of, key=_id_of)
        self._jobs_read = now
        return answer

    def ended(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """`{"jobs": […]}` about the ids that were asked for; one that is not known is left out. Runs differ by their submit time."""

        def read(_: Record, pairs: Pairs) -> Job:
            job = job_from(self._cluster, pairs)
            if job_ids and not {job.job_id, job.array_job_id, job.het_job_id} & set(job_ids):
                raise FieldFault("job_id", f"{job.job_id[:40]} was not asked for")
            return job

        return _answer(report, "jobs", read, name=_id_of, key=lambda job: (job.job_id, job.submitted_at))

    def nodes(self, report: Report) -> Answer[Node]:
        """`{"nodes": […]}`."""
        return _answer(report, "nodes", lambda _, pairs: node_from(self._cluster, pairs), name=_name_of, key=_name_of)

    def queues(self, report: Report, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> Answer[Queue]:
        """`{"queues": […]}`; figures that are not given are taken from nodes and jobs where these say them."""
        figures = QueueFigures(nodes=nodes, jobs=jobs)
        return _answer(report, "queues", lambda _, pairs: queue_from(self._cluster, pairs, figures), name=_name_of, key=_name_of)


def _document(report: Report, key: str) -> Document:
    if report.exit_status != 0:
        raise failed(report)
    return Document(report.stdout, key)


def _answer(
    report: Report,
    of_what: str,
    read: Callable[[Record, Pairs], Read],
    recall: Callable[[Record], Read | None] = lambda _: None,
    *,
    name: Callable[[Read], str],
    key: Callable[[Read], object],
) -> Answer[Read]:
    """Reads every record; `name` is what it is about, and `key` what may stand only once."""
    document = _document(report, of_what)
    field = "job_id" if of_what == "jobs" else "name"
    reads: list[tuple[int, Read]] = []
    problems: list[Problem] = []
    for record in document.records():
        known = recall(record)
        if known is not None:
            reads.append((record.offset, known))
            continue
        pairs = document.pairs(record)
        subject = given_once(pairs, field)
        if subject is None or not _can_name(subject, field):
            offset = document.offset_of(record, field)
            raise document.unreadable(f"{field}: {why_nameless(pairs, field)}; a record without its name might be any", offset)
        try:
            reads.append((record.offset, read(record, pairs)))
        except ValueError as error:
            at = error.field if isinstance(error, FieldFault) else None
            problems.append(quarantined(report.query, error, line=document.line_of(record, at), subject=subject, field=at))
    return _unique(report, document, reads, problems, name=name, key=key)


def _unique(
    report: Report,
    document: Document,
    reads: Sequence[tuple[int, Read]],
    problems: list[Problem],
    *,
    name: Callable[[Read], str],
    key: Callable[[Read], object],
) -> Answer[Read]:
    """Keeps out what has two records. Accounting has one for each run, so there a faulty record says nothing of another."""
    seen = Counter(key(read) for _, read in reads)
    faulty = set() if report.query.startswith("ended") else {problem.subject for problem in problems}
    kept: list[Read] = []
    for offset, read in reads:
        if seen[key(read)] > 1 or name(read) in faulty:
            error = ValueError(f"two records of one {'run' if report.query.startswith('ended') else report.query.removesuffix('s')}")
            problems.append(quarantined(report.query, error, line=document.line_at(offset), subject=name(read)))
            continue
        kept.append(read)
        problems.extend(_unknown_words(report, document.line_at, offset, read))
    problems.sort(key=lambda problem: problem.line or 0)
    return Answer(records=tuple(kept), problems=tuple(problems))


def _unknown_words(report: Report, line_at: Callable[[int], int], offset: int, read: object) -> Iterator[Problem]:
    """A script says of a word it does not know: UNDETERMINED (or UNKNOWN), and the word as native state."""
    if isinstance(read, Job) and read.state is JobState.UNDETERMINED and read.native_state:
        yield unknown_state(report.query, read.native_state, subject=read.job_id, line=line_at(offset))
    elif isinstance(read, Node) and read.availability is Availability.UNKNOWN and read.native_state:
        yield unknown_state(report.query, read.native_state, subject=read.name, line=line_at(offset), field="availability")


def _digest(record: Record) -> bytes:
    return hashlib.blake2b(record.content, digest_size=_DIGEST_BYTES).digest()


def _can_name(subject: str, field: str) -> bool:
    """True if what a record is about can be looked up among what was there before."""
    if field == "job_id":
        return is_plain_id(subject) or "[" in subject
    return 0 < len(subject) <= _LONGEST_NAME and is_printable(subject)


def _id_of(job: Job) -> str:
    return job.job_id


def _name_of(record: Node | Queue) -> str:
    return record.name
