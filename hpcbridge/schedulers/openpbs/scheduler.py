# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""OpenPBS and PBS Professional: reads the reports of scheduler_scripts/openpbs/. Recorded on 23.06.06 (tests/recorded/openpbs/).

How an end is found:

* A job that leaves `qstat -t` is asked for with `qstat -x` (`ended`). With history on it is there as F (a member of an array that goes on:
  X) for `job_history_duration`, two weeks unless set: its Exit_status says how it ended. Without Exit_status it never ran: deleted
  while it waited, or a job it depended on failed. That is so also with substate 92, which else means success.
* Where history is off (`about` says so), too short or was deleted, accounting records are read (`ended_fallback`) where they may be.
  Neither knows the job: it stays UNDETERMINED. Nothing is ever concluded from a job's absence.
* A job is the one that was seen if its `ctime` is: it stays through requeue and move, and an id that is used again has another. So an
  outage of minutes or days changes nothing as long as history or accounting reach back.
* A requeued job comes back under its id with `run_count` still 1 or more: each start after the first is a restart. A job that starts
  and ends between two polls is F in `ended` with its start and end.
* A job moved to another server is M: UNDETERMINED, only that server knows its end. A parent of an array is no job and has no end.

A server that is down answers with valid JSON without jobs, so the exit status decides what was answered; a document without jobs, exit
status 0 and nothing on standard error is a proven empty one (qstat opens the section with the first job).
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.findings import failed, jobs_by_queue, quarantined, unknown_state, zone_of
from hpcbridge.schedulers.openpbs.accounting import read_accounting_report
from hpcbridge.schedulers.openpbs.attributes import Attributes, RecordReader, has_items, raw_of, text_of
from hpcbridge.schedulers.openpbs.cluster import node_from, queue_from, wanted_of
from hpcbridge.schedulers.openpbs.document import (
    Document,
    LineNumbers,
    Region,
    check_answered,
    is_proven,
    names_ids,
    open_document,
    regions_of,
)
from hpcbridge.schedulers.openpbs.jobs import JobRead, read_job
from hpcbridge.schedulers.openpbs.times import SLACK_MS, LocalTimes, zone_is_wrong
from hpcbridge.schedulers.pbs import asks_history, is_narrowed, parse_job_id, parse_seconds
from hpcbridge.schedulers.report import About, Answer, Problem, ProblemKind, Report, Scheduler

_HISTORY_SECONDS = 14 * 86_400
"""job_history_duration where it is not set (pbs_server_attributes(7B))."""
_GONE = frozenset({JobState.DONE, JobState.FAILED})

Line = tuple[int, JobRead]


class OpenpbsScheduler(Scheduler):
    """Parser for one server; remembers the records of its last `jobs` report, to give the same `Job` again for an unchanged one."""

    fallback_completes: ClassVar[bool] = True

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._read: dict[str, tuple[bytes, JobRead]] = {}
        self._times = LocalTimes(datetime.UTC)
        self._zone_wrong = False
        self._partly_listed: frozenset[str] = frozenset()
        self._narrowed = False

    def about(self, report: Report) -> About:
        """Release, server, and for how long ended jobs are kept."""
        check_answered(report, asked_for_ids=False)
        document = open_document(report, "Server")
        servers = [(region, _fields(document, region)) for region in regions_of(document)]
        if not servers:
            raise failed(report)
        region, fields = servers[0]
        history = raw_of(fields.get("job_history_enable", "")).lower() == "true"
        try:
            duration = parse_seconds(raw_of(fields["job_history_duration"])) if "job_history_duration" in fields else _HISTORY_SECONDS
        except ValueError as error:
            raise ReportUnreadable(f"job_history_duration: {error}") from error
        version = document.version or text_of(fields.get("pbs_version", ""), limit=64) or None
        return About(
            name="openpbs",
            version=version,
            cluster_name=escape_text(region.name, limit=64),
            min_job_age_seconds=duration if history else 0,
            zone=str(zone_of(report)),
            accounting=history,
        )

    def jobs(self, report: Report) -> Answer[Job]:
        """Every job of the server. An array's members that are not listed one by one are one record with their count."""
        self._narrowed = is_narrowed(report.argv)
        document = self._open_jobs(report)
        if document is None:
            if report.exit_status != 0:
                raise failed(report)  # no job of those that were asked for, which says nothing of the others
            self._read, self._partly_listed = {}, frozenset()
            return Answer(records=())
        reads, problems, read = self._job_records(report, document, self._read)
        answer, self._partly_listed = self._settle(report, document, reads, problems)
        self._read = read
        return answer

    def ended(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """What history knows of these jobs, live ones included, or what accounting records say of them."""
        if report.query == "ended_fallback":
            return read_accounting_report(self._cluster, report, job_ids)
        document = self._open_jobs(report)
        if document is None:
            return Answer(records=())
        reads, problems, _ = self._job_records(report, document, {})
        return self._settle(report, document, reads, problems)[0]

    def nodes(self, report: Report) -> Answer[Node]:
        """Every vnode. Two records of one name contradict each other: both are kept out."""
        doubtful = check_answered(report, asked_for_ids=False)
        document = open_document(report, "nodes")
        if document.start is None and doubtful:
            raise failed(report)
        nodes: list[Node] = []
        problems: list[Problem] = []
        refused: list[str] = []
        for number, region, fields in _unique(report, document, problems, "node"):
            if "Error" in fields and "state" not in fields:
                refused.append(text_of(fields["Error"], limit=200).strip() or "an error in the place of a node")
                problems.append(quarantined(report.query, ValueError(refused[-1]), line=number, subject=region.name))
                continue
            try:
                occupied = has_items(region.body, "jobs", document.unit)
                node, known = node_from(self._cluster, region.name, fields, occupied=occupied)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=number, subject=region.name))
                continue
            if not known:
                problems.append(unknown_state(report.query, node.native_state, line=number, subject=node.name, field="availability"))
            nodes.append(node)
        if refused and len(refused) == len(problems) and not nodes:
            raise failed(report, refused[0])
        return Answer(records=tuple(nodes), problems=tuple(sorted(problems, key=_line)))

    def queues(self, report: Report, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> Answer[Queue]:
        """Every queue. Two records of one name contradict each other: both are kept out."""
        doubtful = check_answered(report, asked_for_ids=False)
        document = open_document(report, "Queue")
        if document.start is None and doubtful:
            raise failed(report)
        counts = None if jobs is None or self._narrowed else jobs_by_queue(jobs)
        bound = frozenset(name for node in nodes or () for name in node.queues)
        queues: list[Queue] = []
        problems: list[Problem] = []
        for number, region, fields in _unique(report, document, problems, "queue"):
            try:
                is_bound = not bound.isdisjoint((region.name, *wanted_of(fields)))
                queue, unknown = queue_from(self._cluster, region.name, fields, nodes=nodes, bound=is_bound, jobs=counts)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=number, subject=region.name))
                continue
            if unknown is not None:
                problems.append(unknown_state(report.query, escape_text(unknown), line=number, subject=queue.name, field="queue_type"))
            if queue.name in self._partly_listed:
                queue = dataclasses.replace(queue, jobs_running=None)
            queues.append(queue)
        return Answer(records=tuple(queues), problems=tuple(sorted(problems, key=_line)))

    def _open_jobs(self, report: Report) -> Document | None:
        """The document, or None for an answer that is proven to be empty."""
        doubtful = check_answered(report, asked_for_ids=names_ids(report))
        if report.exit_status != 0 and not doubtful and not report.stdout.strip():
            return None  # every id is unknown; other forms than JSON print no frame then
        document = open_document(report, "Jobs")
        if document.start is not None:
            return document
        if doubtful:
            raise failed(report)
        return None

    def _job_records(
        self, report: Report, document: Document, before: dict[str, tuple[bytes, JobRead]]
    ) -> tuple[list[Line], list[Problem], dict[str, tuple[bytes, JobRead]]]:
        """Every job and parent of an array with its offset, and what is remembered of them."""
        zone = zone_of(report)
        if zone != self._times.zone:
            self._times, before, self._zone_wrong = LocalTimes(zone), {}, False
        reader, lines, times = RecordReader(document.unit), LineNumbers(document.text), self._times
        reads: list[Line] = []
        problems: list[Problem] = []
        now: dict[str, tuple[bytes, JobRead]] = {}
        for region in regions_of(document):
            fingerprint, changed = reader.fingerprint(region.body)
            known = before.get(region.name)
            try:
                if known is not None and known[0] == fingerprint:
                    read = _touched(known[1], times.read(changed) if changed else None)
                else:
                    fields, listed = reader.read_job(region.body)
                    read = read_job(self._cluster, region.name, fields, listed=listed, times=times)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=lines.at(region.offset), subject=_subject(region.name)))
                continue
            now[region.name] = fingerprint, read
            reads.append((region.offset, read))
        return reads, problems, now

    def _settle(
        self, report: Report, document: Document, reads: Sequence[Line], problems: list[Problem]
    ) -> tuple[Answer[Job], frozenset[str]]:
        """The jobs, and the queues of which running members of arrays are not listed. Judges what only the whole report shows: an id that
        stands twice (only a record that no user can have written is believed then), how many members of an array are left, and
        whether the times can be true.
        """
        seen = Counter(read.job.job_id for _, read in reads)
        proven = [read.vouched or (seen[read.job.job_id] > 1 and is_proven(document, offset)) for offset, read in reads]
        vouched = Counter(read.job.job_id for (_, read), sure in zip(reads, proven, strict=True) if sure)
        without_history = report.query == "jobs" and not asks_history(report.argv)
        left = _left_of_arrays([read for _, read in reads])
        lines = LineNumbers(document.text)
        jobs: list[Job] = []
        partly: set[str] = set()
        trusted = self._times_are_trusted(report, [read for _, read in reads], document.taken_at, problems)
        for (offset, read), sure in zip(reads, proven, strict=True):
            job = read.job
            if without_history and read.job.native_state == "F" and not read.vouched and read.parent is None:
                error = ValueError("an end that qstat prints of history only, which was not asked for")
                problems.append(quarantined(report.query, error, line=lines.at(offset), subject=job.job_id))
                continue
            if seen[job.job_id] > 1 and not (sure and vouched[job.job_id] == 1):
                error = ValueError("two records of one job")
                problems.append(quarantined(report.query, error, line=lines.at(offset), subject=job.job_id))
                continue
            if not read.known:
                problems.append(unknown_state(report.query, job.native_state, line=lines.at(offset), subject=job.job_id))
            if read.parent is not None:
                waiting, unlisted = left[job.job_id]
                if unlisted and job.queue is not None:
                    partly.add(job.queue)
                if job.state in _GONE or waiting == 0:
                    continue
                job = dataclasses.replace(job, array_pending=waiting, started_at=None, nodes=())
            if not trusted:
                ended_at = read.history_at if job.state in _GONE else None
                job = dataclasses.replace(job, submitted_at=None, started_at=None, ended_at=ended_at)
            jobs.append(job)
        return Answer(records=tuple(jobs), problems=tuple(sorted(problems, key=_line))), frozenset(partly)

    def _times_are_trusted(
        self, report: Report, reads: Sequence[JobRead], taken_at: Instant | None, problems: list[Problem]
    ) -> bool:
        """False once the zone was proven wrong, until a report shows a change of just now."""
        latest = max((read.latest_at for read in reads if read.latest_at is not None), default=None)
        if zone_is_wrong(latest=latest, taken_at=taken_at) or any(read.zone_wrong for read in reads):
            self._zone_wrong = True
        elif latest is not None and taken_at is not None and latest >= taken_at - SLACK_MS:
            self._zone_wrong = False
        if self._zone_wrong:
            text = "times contradict the report's own clock: they are not of the zone the command says, and none is told"
            problems.append(Problem(query=report.query, kind=ProblemKind.QUARANTINED, field="submitted_at", text=text))
        return not self._zone_wrong


def _touched(read: JobRead, changed: Instant | None) -> JobRead:
    """An unchanged record whose mtime went on. The job itself stays the same object."""
    if changed is None or (read.latest_at is not None and changed <= read.latest_at):
        return read
    return dataclasses.replace(read, latest_at=changed)


def _left_of_arrays(reads: Sequence[JobRead]) -> dict[str, tuple[int | None, bool]]:
    """For each parent of an array: how many waiting members are not listed (None: not known), and whether some that have begun are not."""
    waiting: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    listed: set[str] = set()
    parents: list[JobRead] = []
    for read in reads:
        array = read.job.array_job_id
        if array is None:
            continue
        if read.parent is not None:
            parents.append(read)
            continue
        listed.add(array)
        waiting[array] += read.waits
        begun[array] += not read.waits and read.job.state not in _GONE
    left: dict[str, tuple[int | None, bool]] = {}
    for read in parents:
        array, parent = read.job.array_job_id or "", read.parent
        if parent is None or parent.waiting is None:
            left[read.job.job_id] = (0 if array in listed else None), False
            continue
        unlisted = (parent.begun or 0) > begun[array]
        left[read.job.job_id] = max(parent.waiting - waiting[array], 0), unlisted
    return left


def _unique(report: Report, document: Document, problems: list[Problem], what: str) -> Iterator[tuple[int, Region, Attributes]]:
    """Records with their lines, without those of which the name stands twice or which cannot be read."""
    reader, lines = RecordReader(document.unit), LineNumbers(document.text)
    regions = list(regions_of(document))
    names = Counter(region.name for region in regions)
    for region in regions:
        number = lines.at(region.offset)
        if names[region.name] > 1:
            problems.append(quarantined(report.query, ValueError(f"two records of one {what}"), line=number, subject=region.name))
            continue
        try:
            fields = reader.read(region.body)
        except ValueError as error:
            problems.append(quarantined(report.query, error, line=number, subject=region.name))
            continue
        yield number, region, fields


def _fields(document: Document, region: Region) -> Attributes:
    try:
        return RecordReader(document.unit).read(region.body)
    except ValueError as error:
        raise ReportUnreadable(str(error), line_number=LineNumbers(document.text).at(region.offset)) from error


def _subject(name: str) -> str:
    """The id as the agent knows it, where the name is one."""
    try:
        return parse_job_id(name).job_id
    except ValueError:
        return name


def _line(problem: Problem) -> int:
    return problem.line or 0

