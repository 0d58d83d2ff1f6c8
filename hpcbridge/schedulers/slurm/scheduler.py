# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Slurm: reads the reports of scheduler_scripts/slurm/ and of the pyslurm child. Recorded on 22.05.8, 24.11.5 and 26.05.5.

Unchanged lines are not parsed again. What follows the nonce of a line of `jobs` changes only when the job does, so a line that was
there at the last poll gives the same `Job` object again. The elapsed time stands before the nonce and does change: `wall_seconds`
of a job that still runs is as of the poll that parsed it, and is not in itself a change; from its END on it is final.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import jobs_by_queue, quarantined, unknown_state
from hpcbridge.schedulers.report import About, Answer, Effort, Problem, Report, Scheduler
from hpcbridge.schedulers.slurm.cluster import node_from, queue_from
from hpcbridge.schedulers.slurm.columns import SACCT_HEADER, Layout, header_unprinted, sacct_layout, squeue_layout
from hpcbridge.schedulers.slurm.cost import effort_from
from hpcbridge.schedulers.slurm.jobs import (
    JobRead,
    job_from_sacct,
    job_from_scontrol,
    job_from_squeue,
    lacks_owner,
)
from hpcbridge.schedulers.slurm.lines import (
    blocks_of,
    check_success,
    complains,
    failed,
    lines_of,
    says_utc,
)
from hpcbridge.schedulers.slurm.pyslurm_records import Seen, is_pyslurm, read_jobs, read_nodes, read_queues

_ELAPSED = re.compile(r"(?:[0-9:-]{1,20}|INVALID|N/A|UNLIMITED)\Z")
_VERSION = re.compile(r"slurm\S* (\d+\.\d+\S*)")
_SETTING = re.compile(r"(\w+)\s*= (.*)")
_SECONDS = re.compile(r"(\d{1,9}) sec\Z", re.ASCII)
_UNKNOWN_ID = re.compile(r"Invalid job id specified|Job \S+ not found")
_RAW_ID = re.compile(r"JobId=(\d{1,10})", re.ASCII)
_MEMBER = re.compile(r"JobId=\d{1,10} ArrayJobId=(\d{1,10}) ArrayTaskId=(\d{1,10}) ", re.ASCII)
_STEP = re.compile(r"\d{1,10}(?:[_+]\d{1,10})?\.(?:batch|extern|interactive|\d{1,10})\Z", re.ASCII)
_NODE_NAME = re.compile(r"NodeName=(\S{1,255})")
_QUEUE_NAME = re.compile(r"PartitionName=(\S{1,255})")


class SlurmScheduler(Scheduler):
    """Parser for one Slurm cluster; remembers the lines of its last `jobs` report."""

    counts_calls = True

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._read: dict[str, JobRead] = {}
        self._layout: Layout | None = None
        self._seen = Seen()

    def about(self, report: Report) -> About:
        """Version from `squeue --version`, the rest from `scontrol show config`."""
        check_success(report)
        lines = lines_of(report)
        version = _VERSION.match(lines[0])
        if not version:
            raise ReportUnreadable("no version of Slurm", line_number=1, line=escape_text(lines[0]))
        settings = {match.group(1): match.group(2).strip() for line in lines[1:] if (match := _SETTING.match(line))}
        if "ClusterName" not in settings:
            raise ReportUnreadable("no ClusterName among the settings")
        age = _SECONDS.match(settings.get("MinJobAge", ""))
        storage = settings.get("AccountingStorageType")
        return About(
            name="slurm",
            version=version.group(1),
            cluster_name=escape_text(settings["ClusterName"], limit=64),
            min_job_age_seconds=int(age.group(1)) if age else None,
            zone="UTC",
            accounting=None if storage is None else storage not in {"accounting_storage/none", "(null)"},
        )

    def jobs(self, report: Report) -> Answer[Job]:
        """Every job of the controller; a pending range of an array is one record."""
        check_success(report)
        if is_pyslurm(report):
            reads, problems, self._seen = read_jobs(self._cluster, report, self._seen)
            return _answer(report, reads, problems, unique=True)
        unprinted = header_unprinted(report)
        lines = lines_of(report) if unprinted is None else [unprinted, *lines_of(report)]
        layout, nonce = squeue_layout(report, lines[0])
        read_cells = layout.reader()
        before, now = self._read if layout == self._layout else {}, dict[str, JobRead]()
        utc = says_utc(report)
        reads, problems = [], []
        misfits = 0
        for number, elapsed, record in _records(lines, nonce, layout):
            read = before.get(record)
            if read is None:
                try:
                    read = job_from_squeue(self._cluster, read_cells(record), elapsed or layout.elapsed(record), utc=utc)
                except ValueError as error:
                    problems.append(quarantined(report.query, error, line=number, subject=layout.subject(record)))
                    misfits += not layout.fits(record)
                    continue
            now[record] = read
            reads.append((number, read[0].job_id, read))
        if misfits and not reads and not layout.open_ended:
            raise ReportUnreadable(f"no record has the {layout.width} columns of the header", line_number=1, line=escape_text(lines[0]))
        if reads or problems or not complains(report):
            self._read, self._layout = now, layout
            return _answer(report, reads, problems, unique=True)
        raise failed(report)

    def ended(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """One record for each run that accounting knows of; ids it does not know are left out."""
        if report.query == "ended_fallback":
            return self._ended_fallback(report, job_ids)
        check_success(report)
        lines = lines_of(report)
        layout = sacct_layout(report, lines[0])
        read_cells, has_submit = layout.reader(), layout.has(SACCT_HEADER.index("Submit"))
        reads: list[tuple[int, str, JobRead]] = []
        problems: list[Problem] = []
        for number, record in _blocks_with(lines, layout.separator):
            try:
                cells = read_cells(record)
                raw_id = cells[1] or cells[0] or ""
                if _STEP.match(raw_id):
                    continue  # a part of the job above it, listed where a site's script leaves out -X
                read = job_from_sacct(self._cluster, cells, utc=says_utc(report))
                _question(read[0], raw_id, job_ids)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=number, subject=layout.subject(record)))
            else:
                reads.append((number, read[0].job_id, read))
        if not reads and not problems and complains(report):
            raise failed(report)
        return _answer(report, reads, problems, unique=not has_submit)  # without a submit time, two runs of a job cannot be told apart

    def nodes(self, report: Report) -> Answer[Node]:
        """Every node with all its flags. Two records of one name contradict each other: both are kept out."""
        check_success(report)
        if is_pyslurm(report):
            return read_nodes(self._cluster, report)
        if report.stdout.strip() == b"No nodes in the system":
            return Answer(records=())
        nodes: list[Node] = []
        problems: list[Problem] = []
        blocks = list(blocks_of(lines_of(report), "NodeName="))
        names = Counter(_first(_NODE_NAME, record) for _, record in blocks)
        for number, record in blocks:
            name = _first(_NODE_NAME, record)
            if names[name] > 1:
                problems.append(quarantined(report.query, ValueError("two records of one node"), line=number, subject=name))
                continue
            try:
                node, known = node_from(self._cluster, record)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=number, subject=name))
                continue
            if not known:
                problems.append(unknown_state(report.query, node.native_state, line=number, subject=node.name, field="availability"))
            nodes.append(node)
        return Answer(records=tuple(nodes), problems=tuple(problems))

    def queues(self, report: Report, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> Answer[Queue]:
        """Every partition, hidden ones too. Two records of one name contradict each other: both are kept out."""
        check_success(report)
        by_name = None if nodes is None else {node.name: node for node in nodes}
        by_queue = None if jobs is None else jobs_by_queue(jobs)
        if is_pyslurm(report):
            return read_queues(self._cluster, report, nodes=by_name, jobs=by_queue)
        if report.stdout.strip() == b"No partitions in the system":
            return Answer(records=())
        queues: list[Queue] = []
        problems: list[Problem] = []
        blocks = list(blocks_of(lines_of(report), "PartitionName="))
        names = Counter(_first(_QUEUE_NAME, record) for _, record in blocks)
        for number, record in blocks:
            name = _first(_QUEUE_NAME, record)
            if names[name] > 1:
                problems.append(quarantined(report.query, ValueError("two records of one queue"), line=number, subject=name))
                continue
            try:
                queue, unknown = queue_from(self._cluster, record, nodes=by_name, jobs=by_queue)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=number, subject=name))
                continue
            if unknown is not None:
                problems.append(unknown_state(report.query, escape_text(unknown), line=number, subject=queue.name, field="open"))
            queues.append(queue)
        return Answer(records=tuple(queues), problems=tuple(problems))

    def effort(self, report: Report, *, user_id: int) -> Effort:
        """The controller's own count of calls."""
        return effort_from(report, user_id=user_id)

    def _ended_fallback(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """`scontrol show job`, which has no nonce: answers are counted against questions, and what was not asked for is kept out.

        A newline in a name cuts its record in two, and the second half may claim to be a job that is gone and was asked for too. So
        what follows a first half is not believed, and a first half counts as an answer.
        """
        unknown = len(_UNKNOWN_ID.findall(report.stderr.decode("utf-8", "replace")))
        only_unknown = all(_UNKNOWN_ID.search(line) for line in report.stderr.decode("utf-8", "replace").splitlines() if line.strip())
        if report.exit_status != 0 and not (unknown and only_unknown):
            raise failed(report)
        if not report.stdout:
            if unknown and only_unknown:
                return Answer(records=())
            raise failed(report)
        reads: list[tuple[int, str, JobRead]] = []
        problems: list[Problem] = []
        answered: set[str] = set()
        told: dict[str, Job] = {}
        cut = False
        for number, record in blocks_of(lines_of(report), "JobId="):
            raw_id = _first(_RAW_ID, record)
            continues, cut = cut, lacks_owner(record)
            if continues:
                error = ValueError("continues a record with a newline in its name")
                problems.append(quarantined(report.query, error, line=number, subject=_member_id(record) or raw_id))
                continue
            try:
                read = job_from_scontrol(self._cluster, record, utc=says_utc(report))
                answered.add(_question(read[0], raw_id, job_ids))
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=number, subject=_member_id(record) or raw_id))
                answered.update({_member_id(record) or raw_id, raw_id} & set(job_ids))
            else:
                job = dataclasses.replace(read[0], wall_seconds=None)
                if told.get(job.job_id) != job:  # who asks for an array and for a member of it is told of the member twice
                    reads.append((number, job.job_id, read))
                told[job.job_id] = job
        if job_ids and len(answered) + unknown > len(set(job_ids)):
            raise ReportUnreadable(f"{len(answered)} ids answered and {unknown} unknown of {len(set(job_ids))} asked for")
        return _answer(report, reads, problems, unique=True)


def _records(lines: Sequence[str], nonce: str, layout: Layout) -> Iterator[tuple[int, str, str]]:
    """Line number, elapsed time and the rest of each record; a line without the nonce continues the name before it.

    Where another column than the elapsed time comes first, the elapsed time is empty and the rest is the whole record.

    Nobody who chooses a name knows the nonce, so a whole record anywhere else than at the begin of a line means damage.
    """
    separator, width = f"|{nonce}|", layout.width
    number, elapsed, rest = 0, "", ""
    more: list[str] = []
    for position, line in enumerate(lines[1:], 2):
        first, found, after = line.partition(separator)
        if found and (_ELAPSED.match(first) if layout.timed else "|" not in first):
            if number:
                yield number, elapsed, "\n".join((rest, *more)) if more else rest
            more = []
            number, elapsed, rest = (position, first, after) if layout.timed else (position, "", f"{first}{layout.separator}{after}")
            if layout.separator == "|":
                _check_alone(after.partition(separator)[2], width, position, line)
        elif number:
            _check_alone(after, width, position, line)
            more.append(line)
        else:
            raise ReportUnreadable("a line before the first record", line_number=position, line=escape_text(line))
    if number:
        yield number, elapsed, "\n".join((rest, *more)) if more else rest


def _check_alone(text: str, width: int, position: int, line: str) -> None:
    if text and text.count("|") >= width - 1:
        raise ReportUnreadable("a record that does not begin a line", line_number=position, line=escape_text(line))


def _blocks_with(lines: Sequence[str], separator: str) -> Iterator[tuple[int, str]]:
    """Records of `ended`: a line that holds the nonce begins one."""
    start = 0
    block: list[str] = []
    for number, line in enumerate(lines[1:], 2):
        if separator in line:
            if block:
                yield start, "\n".join(block)
            start, block = number, [line]
        elif block:
            block.append(line)
        else:
            raise ReportUnreadable("a line before the first record", line_number=number, line=escape_text(line))
    if block:
        yield start, "\n".join(block)


def _answer(report: Report, reads: Sequence[tuple[int, str, JobRead]], problems: list[Problem], *, unique: bool) -> Answer[Job]:
    """Puts unknown states among the problems and, where an id may stand only once, keeps every bearer of a repeated one out."""
    seen: Mapping[str, int] = Counter(job_id for _, job_id, _ in reads) if unique else {}
    repeated = {job_id for job_id, count in seen.items() if count > 1}
    jobs: list[Job] = []
    for number, job_id, (job, known) in reads:
        if job_id in repeated:
            problems.append(quarantined(report.query, ValueError("two records of one job"), line=number, subject=job_id))
            continue
        jobs.append(job)
        if not known:
            problems.append(unknown_state(report.query, job.native_state, line=number, subject=job_id))
    problems.sort(key=lambda problem: problem.line or 0)
    return Answer(records=tuple(jobs), problems=tuple(problems))


def _first(pattern: re.Pattern[str], record: str) -> str:
    match = pattern.match(record)
    return match.group(1) if match else ""


def _member_id(record: str) -> str:
    """A member of an array by the id that people type."""
    match = _MEMBER.match(record)
    return f"{match.group(1)}_{match.group(2)}" if match else ""


def _question(job: Job, raw_id: str, job_ids: Sequence[str]) -> str:
    """The id that this record answers. Asking for an array, a range of it or a heterogeneous job as a whole is answered by each of its
    parts. Without ids nothing can be compared.
    """
    if not job_ids:
        return job.job_id
    for candidate in (job.job_id, raw_id, job.array_job_id, job.het_job_id):
        if candidate is not None and candidate in job_ids:
            return candidate
    of_array = f"{job.array_job_id}_["
    for asked in job_ids:
        if asked.startswith(of_array):
            return asked
    raise ValueError(f"job {job.job_id[:40]} was not asked for")
