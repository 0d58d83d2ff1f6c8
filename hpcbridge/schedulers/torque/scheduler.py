# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""TORQUE: reads the reports of scheduler_scripts/torque/. Recorded on 4.2.10 and 6.1.3 (tests/recorded/torque/); 2.5 in its own form.

How an end is found:

* A job that ended stays as C for `keep_completed` seconds, with its exit status: a poll in that time sees the end itself, also of a job
  that began and ended since the poll before.
* Once it has left, or after an outage of the daemon that was longer, `ended` (`qstat -x ID…`) answers that the id is unknown, which is
  no end. `ended_fallback` then reads the server's accounting records of the last days, where the daemon may read them: see
  torque_accounting. Where it may not, or they are gone, the job stays UNDETERMINED.
* One run is known by `ctime`, which `qrerun` and routing leave as it is and an id that is used again does not. So a requeued job is the
  same one, back in the queue, and of a re-used id only the records with its own `ctime` count.

A record that is there unchanged at the next poll is not read again: all but what changes without anything happening (`resources_used`,
the walltime that remains) is compared by a digest. So `wall_seconds` of a job that still runs is as of the poll that read it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import failed, jobs_by_queue, quarantined, unknown_state
from hpcbridge.schedulers.pbs import TextBlock, asks_for_all, is_narrowed, parse_job_id, parse_number, parse_seconds, read_text_blocks
from hpcbridge.schedulers.report import About, Answer, Problem, ProblemKind, Report, Scheduler
from hpcbridge.schedulers.torque.accounting import is_accounting_line, read_accounting
from hpcbridge.schedulers.torque.jobs import JobRead, job_from_element
from hpcbridge.schedulers.torque.nodes import Farm, node_from, properties_of, queue_from
from hpcbridge.schedulers.torque.xml import is_blank, line_at, read_element, read_regions, without_variables

_UNKNOWN_JOB = re.compile(r"(?:\S{1,200}: )?Unknown (?:Job|Array) Id(?: Error)?(?: .*)?\Z")
_ACCOUNTING = re.compile(rb"\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2};[A-Z];")
_VERSION = re.compile(r"(\d{1,3})\.\S*")
_JOB_ID = re.compile(rb"<Job_Id>([^<]{1,300})</Job_Id>")
_NODE_NAME = re.compile(rb"<name>([^<]{1,300})</name>")
_VOLATILE = ((b"<resources_used>", b"</resources_used>"), (b"<Walltime>", b"</Walltime>"))


@dataclass(frozen=True, slots=True)
class _Read:
    """One record of a report with the number of its line."""

    line: int
    read: JobRead


class TorqueScheduler(Scheduler):
    """Parser for one TORQUE server; remembers what its last reports of jobs, nodes and the server itself were needed for."""

    fallback_completes = True

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._read: dict[bytes, JobRead] = {}
        self._release: int | None = None
        self._longest_seconds: int | None = None
        self._gpus_held: Mapping[str, int] | None = None
        self._farm: Farm | None = None
        self._narrowed = False

    def about(self, report: Report) -> About:
        """Version, name of the server and `keep_completed`, from `qstat -B -f`."""
        blocks = _blocks_of(report, "Server")
        attributes = blocks[0].attributes
        version = attributes.get("pbs_version", "")
        match = _VERSION.match(version)
        keep, longest = attributes.get("keep_completed"), attributes.get("resources_max.walltime")
        try:
            self._release = int(match.group(1)) if match else None
            self._longest_seconds = parse_seconds(longest) if longest else None
            keep_seconds = parse_number(keep) if keep else None
        except ValueError as error:
            raise ReportUnreadable(str(error)) from error
        return About(
            name="torque",
            version=escape_text(version, limit=64) or None,
            cluster_name=escape_text(blocks[0].name, limit=64) or None,
            min_job_age_seconds=keep_seconds,
            zone="UTC",
            accounting=True,
        )

    def jobs(self, report: Report) -> Answer[Job]:
        """Every job of the server. Nothing printed and exit status 0 means that there is none: qstat prints not even a frame then."""
        held: Mapping[str, int] | None = None
        try:
            narrowed = self._narrowed = is_narrowed(report.argv)
            some_unknown = narrowed and not is_blank(report.stdout) and _only_unknown_jobs(report)
            if (report.exit_status != 0 and not some_unknown) or (is_blank(report.stdout) and report.stderr.strip()):
                raise failed(report)
            now: dict[bytes, JobRead] = {}
            reads, problems = self._jobs_of(report, before=self._read, now=now)
            answer = _answer(report, reads, problems)
            self._read = now
            unread = any(problem.kind is not ProblemKind.UNKNOWN_STATE for problem in answer.problems)
            if not unread and not narrowed and all(read.known or not read.job.gpus for read in now.values()):
                held = _gpus_by_node(now.values())
        finally:
            self._gpus_held = held
        return answer

    def ended(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """What the server still remembers of these jobs, or accounting; ids that are not known are left out."""
        del job_ids  # XML and accounting name the job in each record, and a record of another one does no harm
        if report.query == "ended_fallback" or _ACCOUNTING.match(report.stdout):
            return self._ended_in_accounting(report)
        if not _only_unknown_jobs(report):
            raise failed(report)
        if is_blank(report.stdout) and report.exit_status == 0:
            if asks_for_all(report.argv):
                return Answer(records=())
            raise ReportUnreadable("nothing was printed, not even that the jobs are unknown")
        reads, problems = self._jobs_of(report, before={}, now={})
        return _answer(report, reads, problems)

    def nodes(self, report: Report) -> Answer[Node]:
        """Every node. Two records of one name contradict each other: both are kept out."""
        if report.exit_status != 0:
            raise failed(report)
        if is_blank(report.stdout):
            raise ReportUnreadable("nothing was printed, which does not prove that there is nothing")
        gpus_held = self._gpus_held
        found: list[tuple[int, Node, bool, frozenset[str]]] = []
        problems: list[Problem] = []
        for region in read_regions(report.stdout, "Node"):
            try:
                element = read_element(region.content)
                node, known = node_from(self._cluster, element, gpus_held=gpus_held)
            except ValueError as error:
                line = line_at(report.stdout, region.offset)
                problems.append(quarantined(report.query, error, line=line, subject=_name_in(_NODE_NAME, region.content)))
                continue
            found.append((region.offset, node, known, properties_of(element)))
        names = Counter(node.name for _, node, _, _ in found)
        nodes: dict[str, Node] = {}
        for offset, node, known, _ in found:
            if names[node.name] > 1:
                twice = ValueError("two records of one node")
                problems.append(quarantined(report.query, twice, line=line_at(report.stdout, offset), subject=node.name))
                continue
            nodes[node.name] = node
            if not known:
                line = line_at(report.stdout, offset)
                problems.append(unknown_state(report.query, node.native_state, line=line, subject=node.name, field="availability"))
        self._farm = Farm(nodes, {node.name: properties for _, node, _, properties in found})
        return Answer(records=tuple(nodes.values()), problems=tuple(problems))

    def queues(self, report: Report, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> Answer[Queue]:
        """Every queue. Two blocks of one name contradict each other: both are kept out."""
        blocks = _blocks_of(report, "Queue")
        farm = self._farm
        farm = None if nodes is None or farm is None else Farm({node.name: node for node in nodes}, farm.properties)
        by_queue = None if jobs is None or self._narrowed else jobs_by_queue(jobs)
        names = Counter(block.name for block in blocks)
        queues: list[Queue] = []
        problems: list[Problem] = []
        for block in blocks:
            if names[block.name] > 1:
                twice = ValueError("two blocks of one queue")
                problems.append(quarantined(report.query, twice, line=block.line, subject=block.name))
                continue
            try:
                queue, unknown = queue_from(self._cluster, block, farm=farm, jobs=by_queue, longest_seconds=self._longest_seconds)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=block.line, subject=block.name))
                continue
            if unknown is not None:
                problems.append(unknown_state(report.query, unknown, line=block.line, subject=queue.name, field="open"))
            queues.append(queue)
        return Answer(records=tuple(queues), problems=tuple(problems))

    def _jobs_of(self, report: Report, *, before: Mapping[bytes, JobRead], now: dict[bytes, JobRead]) -> tuple[list[_Read], list[Problem]]:
        reads: list[_Read] = []
        problems: list[Problem] = []
        document = report.stdout
        line, counted = 1, 0
        for region in read_regions(document, "Job"):
            content = without_variables(region.content)
            line, counted = line + document.count(b"\n", counted, region.offset), region.offset
            key = _digest(content)
            read = before.get(key)
            if read is None:
                try:
                    read = job_from_element(self._cluster, read_element(content), release=self._release)
                except ValueError as error:
                    problems.append(quarantined(report.query, error, line=line, subject=_subject_of(content)))
                    continue
            now[key] = read
            reads.append(_Read(line, read))
        return reads, problems

    def _ended_in_accounting(self, report: Report) -> Answer[Job]:
        """Exit status 0 means that accounting could be read; no line then means that it does not know these jobs."""
        if report.exit_status != 0:
            raise failed(report)
        text = report.stdout.decode("utf-8", "surrogateescape")
        if text and not text.endswith("\n"):
            raise ReportUnreadable("cut off in a line", line_number=text.count("\n") + 1, line=escape_text(text.rsplit("\n", 1)[-1]))
        lines = text.split("\n")[:-1]
        if lines and not is_accounting_line(lines[0]):
            raise ReportUnreadable("not an accounting record", line_number=1, line=escape_text(lines[0]))
        jobs: list[Job] = []
        problems: list[Problem] = []
        for each in read_accounting(self._cluster, lines, release=self._release):
            if each.read is None:
                error = each.error or ValueError("cannot be read")
                problems.append(quarantined(report.query, error, line=each.line, subject=each.job_id))
            else:
                jobs.append(each.read.job)
        return Answer(records=tuple(jobs), problems=tuple(problems))


def _blocks_of(report: Report, kind: str) -> list[TextBlock]:
    """The blocks of `qstat -f`, of which each ends with an empty line."""
    if report.exit_status != 0:
        raise failed(report)
    text = report.stdout.decode("utf-8", "surrogateescape")
    if not text.strip():
        raise ReportUnreadable("nothing was printed, which does not prove that there is nothing")
    lines = text.split("\n")
    if not text.endswith("\n\n"):
        raise ReportUnreadable("cut off", line_number=len(lines), line=escape_text(lines[-1]))
    try:
        return list(read_text_blocks(lines, kind))
    except ValueError as error:
        number = int(error.args[0])
        raise ReportUnreadable(str(error.args[1]), line_number=number, line=escape_text(lines[number - 1])) from error


def _only_unknown_jobs(report: Report) -> bool:
    """True if all that went wrong, if anything, is that some jobs are unknown (status 153; the others are printed all the same)."""
    lines = [line.strip() for line in report.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    if report.exit_status == 0:
        return not lines or not is_blank(report.stdout)
    return bool(lines) and all(_UNKNOWN_JOB.match(line) for line in lines)


def _digest(content: bytes) -> bytes:
    """What a record is recognised by: of a job that has ended, its last figures too."""
    stays = content if b"<job_state>C<" in content else _without_volatile(content)
    return hashlib.blake2b(stays, digest_size=16).digest()


def _without_volatile(content: bytes) -> bytes:
    """`content` without the groups that change from poll to poll."""
    for opening, closing in _VOLATILE:
        start = content.find(opening)
        end = content.find(closing, start)
        if 0 <= start < end:
            content = content[:start] + content[end + len(closing) :]
    return content


def _answer(report: Report, reads: Sequence[_Read], problems: list[Problem]) -> Answer[Job]:
    """Puts unknown states among the problems, keeps every bearer of a repeated id out, and drops parents whose members are listed."""
    seen = Counter(each.read.job.job_id for each in reads)
    with_members = {each.read.job.array_job_id for each in reads if each.read.job.array_index is not None}
    jobs: list[Job] = []
    for each in reads:
        job = each.read.job
        if seen[job.job_id] > 1:
            problems.append(quarantined(report.query, ValueError("two records of one job"), line=each.line, subject=job.job_id))
            continue
        if job.array_job_id is not None and job.array_index is None and job.array_job_id in with_members:
            continue
        jobs.append(job)
        if not each.read.known:
            problems.append(unknown_state(report.query, job.native_state, line=each.line, subject=job.job_id))
    problems.sort(key=lambda problem: problem.line or 0)
    return Answer(records=tuple(jobs), problems=tuple(problems))


def _subject_of(content: bytes) -> str | None:
    """The job that a record which cannot be read is about: only one that says so once and plainly."""
    ids = _JOB_ID.findall(content)
    if len(ids) != 1:
        return None
    try:
        return parse_job_id(ids[0].decode("ascii", "replace")).job_id
    except ValueError:
        return None


def _name_in(pattern: re.Pattern[bytes], content: bytes) -> str | None:
    names = pattern.findall(content)
    return names[0].decode("utf-8", "replace") if len(names) == 1 else None


def _gpus_by_node(reads: Iterable[JobRead]) -> Mapping[str, int]:
    held: Counter[str] = Counter()
    for read in reads:
        held.update(read.gpus_held)
    return held
