# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Grid Engine: reads the reports of scheduler_scripts/gridengine/. Recorded on Son of Grid Engine 8.1.9 (tests/recorded/gridengine/).

What one report does not say another does, so some things are remembered: the time a job was submitted, which qstat prints only while it
waits; what each queue instance holds, from the list of jobs; how consumables count, from `about`. An element that was there in the last
report is not parsed again, and a job whose elements are all unchanged is the same `Job` object again.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import operator
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState, Outcome, Phase
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.findings import failed, jobs_by_queue, quarantined, stderr_of, total_of, unknown_state, zone_of
from hpcbridge.schedulers.gridengine.accounting import Block, blocks_of, end_time_of, id_of, is_rescheduling, runs_from, submit_of
from hpcbridge.schedulers.gridengine.jobs import Counting, Part, fingerprint, job_from, parts_from, subject_of
from hpcbridge.schedulers.gridengine.listing import Instance, Listing
from hpcbridge.schedulers.gridengine.nodes import Held, HostRead, host_from, hosts_of, name_in, node_from
from hpcbridge.schedulers.gridengine.queues import queue_from, settings_of
from hpcbridge.schedulers.gridengine.states import is_being_deleted
from hpcbridge.schedulers.gridengine.values import parse_limit, parse_time, short_name
from hpcbridge.schedulers.gridengine.xml import line_of
from hpcbridge.schedulers.report import About, Answer, Problem, ProblemKind, Report, Scheduler

_VERSION = re.compile(r"[A-Za-z][A-Za-z ./]{1,60}? v?(\d[\w.+-]{0,30})\s*\Z")
_PARAMETERS = re.compile(r"^reporting_params\s((?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
_ACCOUNTING = re.compile(r"\baccounting=(true|false)")
_FLUSH = re.compile(r"\b(accounting_)?flush_time=([\d:]{1,20})")
_CONFIGURATION = re.compile(r"#[A-Za-z][\w.-]{0,200}:\n")
_COMPLEX = re.compile(r"^(\S{1,64}) +\S+ +[A-Z]+ +\S+ +(?:YES|NO|FORCED) +(YES|NO|JOB|HOST) ", re.MULTILINE)
_NOT_FOUND = re.compile(
    r"(?:error: )?job (?:id (\d{1,10})|(?:id|name) \S{1,200}) not found"
    r"|(?:error: )?job-array tasks (?:(\d{1,10}\.\d{1,10})-)?\S.{0,200} not found",
    re.IGNORECASE,
)
_SKIPPED = re.compile(r"(?:\w+: )?ignoring invalid entry in line \d+")
_REMARK = re.compile(r"(?:\w+: )?(?:ignoring invalid entry in line \d+|\d+ jobs ignored for accounting\..*)")
_NO_QUEUES = re.compile(r"no cqueue list defined")
_ASKED = re.compile(r"[1-9]\d{0,9}(?:\.[1-9]\d{0,9})?\Z", re.ASCII)
_REFUSED = re.compile(rb"^end [0-9a-f]{8} \S{1,128} [1-9]\d{0,2}$", re.MULTILINE)
_UNKNOWN_JOBS = re.compile(
    rb"\s*(?:<\?xml [^<>]*\?>\s*)?<unknown_jobs(?: [^<>]*)?>(?:\s*<ST_name>[^<>]*</ST_name>|\s*</?element>)*\s*</unknown_jobs>\s*\Z"
)
_USUAL_FLUSH_SECONDS, _FLUSH_SLACK_SECONDS, _LONGEST_FLUSH_SECONDS = 15, 2, 300
_MAX_SUBMITS = 8
_MAX_USES = 4
"""A list of jobs serves so many reports of nodes: then it is old news, and what the nodes say of themselves counts."""


@dataclass(frozen=True, slots=True)
class _Load:
    """What jobs hold, from one list of jobs with -f: by queue instance and by host."""

    instances: tuple[Instance, ...]
    by_host: Mapping[str, Held]


_Submits = tuple[str | None, tuple[Instant, ...]]
"""Owner of a job number and the submit times it has had."""
_Built = tuple[tuple[Part, ...], _Submits, Job, bool]
"""Parts of a job and what they were made into, and whether its state is known."""
_Bad = tuple[int, str | None, ValueError]
"""Place, id and fault of an element that could not be read."""


class GridEngineScheduler(Scheduler):
    """Parser for one cluster; remembers its last reports."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._counting: Counting = {}
        self._parts: dict[tuple[bytes, tuple[str, str] | None], tuple[Part, ...]] = {}
        self._built: dict[str, _Built] = {}
        self._way: tuple[datetime.tzinfo, bool] | None = None
        self._submitted: dict[str, _Submits] = {}
        self._load: _Load | None = None
        self._uses = 0
        self._instances: tuple[Instance, ...] | None = None
        self._flush_ms = 0
        self._whole = True

    def about(self, report: Report) -> About:
        """Version from the first line of the help; the rest from the configuration. The complexes say how consumables count."""
        _check(report)
        text = report.stdout.decode("utf-8", "surrogateescape")
        first = text.partition("\n")[0]
        version = _VERSION.match(first)
        if not version and not _CONFIGURATION.match(text):
            raise ReportUnreadable("neither a version of Grid Engine nor its configuration", line_number=1, line=escape_text(first))
        counting = dict(_COMPLEX.findall(text))
        if counting != self._counting:
            self._counting, self._built = counting, {}
        parameters = _PARAMETERS.search(text)
        accounting = _ACCOUNTING.search(parameters.group(1)) if parameters else None
        self._flush_ms = _flush_ms(parameters.group(1) if parameters else "")
        return About(
            name="gridengine",
            version=version.group(1) if version else None,
            cluster_name=None,
            min_job_age_seconds=None,
            zone=str(zone_of(report)),
            accounting=None if accounting is None else accounting.group(1) == "true",
        )

    def jobs(self, report: Report) -> Answer[Job]:
        """Every job that waits or runs; a pending range of an array is one record."""
        self._load, self._uses = None, 0
        _check(report)
        if _knows_none_of(report):
            return Answer(records=())
        listing = Listing(report.stdout)
        found: dict[str, list[Part]] = {}
        lines: dict[str, int] = {}
        bad: list[_Bad] = []
        parts: dict[tuple[bytes, tuple[str, str] | None], tuple[Part, ...]] = {}
        known, self._parts = self._parts, parts
        for element in listing.elements():
            key = (fingerprint(element.region), element.instance)
            read = known.pop(key, None) or parts.get(key)
            try:
                if read is None:
                    read = parts_from(element.region, element.instance)
            except ValueError as error:
                bad.append((element.position, subject_of(element.region), error))
                continue
            parts[key] = read
            for part in read:
                found.setdefault(part.job_id, []).append(part)
                lines.setdefault(part.job_id, element.position)
        for _, subject, _ in bad:
            found.pop(subject or "", None)  # the rest of a job of which one part cannot be read is not the job
        answer = self._jobs_of(report, found, lines, bad)
        whole = not any(problem.kind is ProblemKind.QUARANTINED for problem in answer.problems)
        self._whole = _asks_for_all(report.argv)
        self._load = _load_of(listing.instances, found, self._counting, all_jobs=self._whole) if whole else None
        return answer

    def ended(self, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
        """What accounting knows: one record for each job and submit time, the last of its runs."""
        if report.exit_status == 0 and _knows_none_of(report):
            return Answer(records=())
        unknown, unreadable = _check_accounting(report)
        zone = zone_of(report)
        asked = frozenset(job_ids) or _asked_of(report.argv)
        runs: dict[tuple[str, Instant | None], list[Block]] = {}
        before: dict[str, list[Block]] = {}
        skipped = ValueError("its record in the accounting file cannot be read")
        problems = [quarantined(report.query, skipped, subject=job_id) for job_id in unreadable]
        lines = report.stdout.decode("utf-8", "surrogateescape").split("\n")
        if lines[-1]:
            raise ReportUnreadable("the last line is cut off", line_number=len(lines), line=escape_text(lines[-1]))
        lines.pop()
        for block in blocks_of(lines):
            if not isinstance(block, Block):
                line, reason, subject = block
                problems.append(quarantined(report.query, ValueError(reason), line=line, subject=subject))
                continue
            try:
                job_id = _question(block, asked)
                if is_rescheduling(block.fields, zone):
                    before.setdefault(job_id, []).append(block)
                    continue
                runs.setdefault((job_id, submit_of(block.fields, zone)), []).extend([*before.pop(job_id, ()), block])
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=block.line, subject=block.asked))
        runs |= {(job_id, None): blocks for job_id, blocks in before.items()}
        jobs: list[Job] = []
        ends: list[Instant] = []
        for (job_id, _), blocks in runs.items():
            try:
                jobs.append(runs_from(self._cluster, blocks, zone))
                ends.extend(moment for block in blocks if (moment := end_time_of(block.fields, zone)) is not None)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=blocks[0].line, subject=job_id))
        if not jobs and not problems and not unknown:
            raise failed(report)
        problems.sort(key=lambda problem: problem.line or 0)
        return Answer(records=tuple(jobs), problems=tuple(problems), recorded_until=max(ends, default=None))

    def nodes(self, report: Report) -> Answer[Node]:
        """Every host but `global`. Two records of one name contradict each other: both are kept out."""
        self._instances = None
        _check(report)
        hosts: list[HostRead] = []
        problems: list[Problem] = []
        for position, region in hosts_of(report.stdout):
            try:
                host = host_from(position, region)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=line_of(report.stdout, position), subject=name_in(region)))
                continue
            if host is not None:
                hosts.append(host)
        load = self._load_in_use()
        names = _names_of([host.name for host in hosts])
        twice = Counter(host.name for host in hosts)
        gpus_listed = any(host.gpus_left is not None for host in hosts)
        nodes: list[Node] = []
        for host in hosts:
            name = names[host.name]
            try:
                _check_once(twice[host.name], "node")
                held = None if load is None else load.by_host.get(host.name)
                node, known = node_from(self._cluster, host, name=name, held=held, gpus_listed=gpus_listed)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=line_of(report.stdout, host.position), subject=name))
                continue
            if not known:
                line = line_of(report.stdout, host.position)
                problems.append(unknown_state(report.query, node.native_state, line=line, subject=name, field="availability"))
            nodes.append(node)
        if not hosts and not problems and b"<host " not in report.stdout:
            raise ReportUnreadable("no hosts, not even the entry for the whole cluster", line_number=1)
        self._instances = _instances_of(hosts, load)
        problems.sort(key=lambda problem: problem.line or 0)
        return Answer(records=tuple(nodes), problems=tuple(problems))

    def queues(self, report: Report, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> Answer[Queue]:
        """Every cluster queue. Two records of one name contradict each other: both are kept out."""
        if report.exit_status != 0 and not report.stdout and _NO_QUEUES.search(stderr_of(report)):
            return Answer(records=())
        _check(report)
        settings = list(settings_of(report.stdout.decode("utf-8", "surrogateescape").split("\n")))
        if not report.stdout.endswith(b"\n"):
            raise ReportUnreadable("the last line is cut off", line_number=line_of(report.stdout, len(report.stdout)))
        instances = self._instances if nodes is not None else None
        if instances is None and jobs is not None and self._load is not None:
            instances = self._load.instances
        gpus = {node.name: (node.gpus_total, node.gpus_used) for node in nodes or ()}
        by_queue = None if jobs is None or not self._whole else jobs_by_queue(jobs)
        elsewhere = any(job.queue is None and job.phase is Phase.QUEUE for job in jobs or ())
        names = Counter(setting.values["qname"] for setting in settings)
        queues: list[Queue] = []
        problems: list[Problem] = []
        for setting in settings:
            name = setting.values["qname"]
            own = None if instances is None else [item for item in instances if item.queue == escape_text(name, limit=64)]
            try:
                _check_once(names[name], "queue")
                queue = queue_from(self._cluster, setting.values, instances=own, gpus=gpus, jobs=by_queue, elsewhere=elsewhere)
            except ValueError as error:
                problems.append(quarantined(report.query, error, line=setting.line, subject=name))
                continue
            queues.append(queue)
        return Answer(records=tuple(queues), problems=tuple(problems))

    def refine(self, seen: Job, found: Job) -> Job:
        """A job that was killed after somebody asked to delete it was cancelled; accounting alone cannot tell that from `kill -9`."""
        killed = found.outcome is Outcome.FAILED and found.native_state.startswith("100/") and found.exit_signal is not None
        deleted = any(is_being_deleted(letters) for letters in seen.native_state.split(","))
        return dataclasses.replace(found, outcome=Outcome.CANCELLED) if killed and deleted else found

    def unrecorded(self, seen: Job) -> Job | None:
        """A job that was deleted while it waited has no record."""
        if seen.phase is not Phase.QUEUE or (seen.array_job_id is not None and seen.array_index is None):
            return None
        return dataclasses.replace(seen, state=JobState.FAILED, outcome=Outcome.CANCELLED, reason="deleted while it waited")

    def settles_after_ms(self) -> int:
        """The file of the accounting is written once in `flush_time` (sge_conf(5))."""
        return self._flush_ms

    def _jobs_of(self, report: Report, found: Mapping[str, Sequence[Part]], lines: Mapping[str, int], bad: Sequence[_Bad]) -> Answer[Job]:
        problems = [
            quarantined(report.query, error, line=line_of(report.stdout, position), subject=subject) for position, subject, error in bad
        ]
        zone = zone_of(report)
        self._remember_submits(found, report)
        members_alone = ("-g", "d") in itertools.pairwise(report.argv)
        if self._way != (zone, members_alone):
            self._way, self._built = (zone, members_alone), {}
        built: dict[str, _Built] = {}
        jobs: list[Job] = []
        for job_id, listed in found.items():
            parts = tuple(listed)
            before = self._built.get(job_id)
            if before is not None and _same(before[0], parts) and before[1] == self._submitted[parts[0].number]:
                built[job_id] = before
            else:
                try:
                    _check_instances(parts)
                    started_at = parse_time(parts[0].started, zone)
                    job, known = job_from(
                        self._cluster,
                        parts,
                        submitted_at=self._submit_of(parts[0], started_at, zone),
                        started_at=started_at,
                        counting=self._counting,
                        members_alone=members_alone,
                    )
                except ValueError as error:
                    line = line_of(report.stdout, lines[job_id])
                    problems.append(quarantined(report.query, error, line=line, subject=job_id))
                    continue
                built[job_id] = (parts, self._submitted[parts[0].number], job, known)
            _, _, job, known = built[job_id]
            jobs.append(job)
            if not known:
                line = line_of(report.stdout, lines[job_id])
                problems.append(unknown_state(report.query, job.native_state, line=line, subject=job_id))
        self._built = built
        problems.sort(key=lambda problem: problem.line or 0)
        return Answer(records=tuple(jobs), problems=tuple(problems))

    def _remember_submits(self, found: Mapping[str, Sequence[Part]], report: Report) -> None:
        """Submit times by job number: all members of an array have the same, and what was seen while a job waited holds when it runs.

        `qmod -r` gives a job a new one, and all members of an array that wait with it (8.1.9/nodes-in-trouble): both are kept. Without
        a sign of that it is another job, which was given the same number.
        """
        zone = zone_of(report)
        again = {parts[0].number for parts in found.values() if "R" in parts[0].letters}
        submitted: dict[str, _Submits] = {}
        for parts in found.values():
            part = parts[0]
            number, owner = part.number, part.owner
            so_far = submitted.get(number)
            if so_far is None:
                so_far = self._submitted.get(number, (owner, ()))
                if so_far[0] != owner:
                    so_far = owner, ()
                submitted[number] = so_far
            moment = _time_or_none(part.submitted, zone) if part.submitted else None
            if moment is not None and moment not in so_far[1]:
                submitted[number] = owner, ((*so_far[1], moment)[-_MAX_SUBMITS:] if number in again else (moment,))
        self._submitted = submitted

    def _submit_of(self, part: Part, started_at: Instant | None, zone: datetime.tzinfo) -> Instant | None:
        """Of a job that runs the last submit time before it started; members that merely wait were submitted with their array."""
        moment = parse_time(part.submitted, zone)
        _, known = self._submitted[part.number]
        if moment is None:
            return max((each for each in known if started_at is None or each <= started_at), default=None)
        return moment if part.tasks is None or "R" in part.letters else min((moment, *known))

    def _load_in_use(self) -> _Load | None:
        self._uses += 1
        return self._load if self._uses <= _MAX_USES else None


def _check(report: Report) -> None:
    if report.exit_status != 0 or not report.stdout or report.stdout.isspace():
        raise failed(report)


def _knows_none_of(report: Report) -> bool:
    """True if qstat was asked for single ids (-j) and knows none of them: exit 0, and not a list of jobs that is empty."""
    return "-j" in report.argv and _UNKNOWN_JOBS.match(report.stdout) is not None


def _check_accounting(report: Report) -> tuple[bool, tuple[str, ...]]:
    """Whether some id is not known, and the ids whose record qacct could not read.

    qacct exits 1 for an id it does not find and says so; a line of the file that it skips it remarks on every time. A remark right before
    such a message means that the job has a record, only not one that can be read: asked for an id, qacct looks at no other lines. Every
    other message means that it could not look.
    """
    lines = [line.strip() for line in report.stderr.decode("utf-8", "replace").splitlines()]
    said = [line for line in lines if line and not _REMARK.fullmatch(line)]
    unknown = [line for line in said if _NOT_FOUND.fullmatch(line)]
    refused = len(_REFUSED.findall(report.stdout))
    if report.exit_status != 0 and (len(unknown) != len(said) or not unknown or refused > len(unknown)):
        raise failed(report)
    after_remark = [line for before, line in itertools.pairwise(lines) if _SKIPPED.fullmatch(before)]
    named = (_NOT_FOUND.fullmatch(line) for line in after_remark)
    return bool(unknown), tuple(match.group(1) or match.group(2) for match in named if match and (match.group(1) or match.group(2)))


def _time_or_none(text: str, zone: datetime.tzinfo) -> Instant | None:
    """A time; none where it is not one, for which the record itself is kept out."""
    try:
        return parse_time(text, zone)
    except ValueError:
        return None


def _flush_ms(parameters: str) -> int:
    """How long what is to be recorded may wait in qmaster; `accounting_flush_time` goes first, 0 there means that nothing waits."""
    times = {bool(own): parse_limit(text) for own, text in _FLUSH.findall(parameters)}
    seconds = times.get(True, times.get(False, _USUAL_FLUSH_SECONDS))
    return 1000 * min((_USUAL_FLUSH_SECONDS if seconds is None else seconds) + _FLUSH_SLACK_SECONDS, _LONGEST_FLUSH_SECONDS)


def _question(block: Block, asked: frozenset[str]) -> str:
    """The id of the job a record is about; ValueError if it was not asked for. An array as a whole is answered by each member."""
    job_id = id_of(block.fields)
    wanted = asked if block.asked is None else frozenset({block.asked})
    if wanted and not {job_id, job_id.partition(".")[0]} & wanted:
        raise ValueError(f"job {job_id} was not asked for")
    return job_id


def _check_once(times: int, what: str) -> None:
    if times > 1:
        raise ValueError(f"two records of one {what}")


def _asked_of(argv: Sequence[str]) -> frozenset[str]:
    """The one job that a plain `qacct -j 29` or `qacct -j 29 -t 4` asks for; none where it is asked by name or in a loop."""
    wanted = dict(itertools.pairwise(argv))
    number, task = wanted.get("-j", ""), wanted.get("-t")
    job_id = number if task is None or not task.isdecimal() else f"{number}.{task}"
    return frozenset({job_id}) if argv and argv[0].rpartition("/")[2] == "qacct" and _ASKED.match(job_id) else frozenset()


def _same(before: Sequence[Part], now: Sequence[Part]) -> bool:
    return len(before) == len(now) and all(map(operator.is_, before, now))


def _check_instances(parts: Sequence[Part]) -> None:
    """One element for each queue instance, except where each slot has its own (-g t)."""
    if len(parts) > 1 and not all(part.one_slot for part in parts):
        places = {part.instance for part in parts}
        if len(places) < len(parts) or None in places:
            raise ValueError("two records of one job")


def _asks_for_all(argv: Sequence[str]) -> bool:
    """False for a plain qstat that lists the jobs of some owners or in some states only: of these nothing can be counted."""
    if not argv or argv[0].rpartition("/")[2] != "qstat":
        return True
    pairs = list(itertools.pairwise(argv))
    states = [each for option, each in pairs if option == "-s"]
    every_state = all({"p", "r", "s"} <= {*each} or "a" in each for each in states)
    return ("-u", "*") in pairs and every_state and not {"-q", "-j"} & {*argv}


def _load_of(
    instances: tuple[Instance, ...] | None, found: Mapping[str, Sequence[Part]], counting: Counting, *, all_jobs: bool
) -> _Load | None:
    """What each host holds, from the queue instances' own counts and the GPUs its jobs asked for; None without -f."""
    if instances is None:
        return None
    slots: dict[str, int | None] = {}
    for instance in instances:
        slots[instance.host] = total_of([slots.get(instance.host, 0), instance.used])
    gpus: dict[str, tuple[int | None, int | None]] = {}
    for parts in found.values():
        for part in parts:
            if part.instance is not None:
                host = part.instance[1]
                used, taken = gpus.get(host, (0, 0))
                more_used, more_taken = _gpus_on(part, parts, counting)
                gpus[host] = (total_of([used, more_used]), total_of([taken, more_taken]))
    return _Load(
        instances,
        {host: Held(used, *(gpus.get(host, (0, 0)) if all_jobs else (None, None))) for host, used in slots.items() if used is not None},
    )


def _gpus_on(part: Part, parts: Sequence[Part], counting: Counting) -> tuple[int | None, int | None]:
    """GPUs that one part of a job counts for on its host, and how many it takes from the consumable there.

    A consumable is taken for each slot unless it is one that counts once for a job (complex(5)); of such a job on several hosts it is
    not printed which of them gave.
    """
    if not part.requested:
        return None, None
    alone = len({other.instance for other in parts}) == 1
    share = len(parts) if part.one_slot else 1
    used: list[int | None] = []
    taken: list[int | None] = []
    for name, number in part.gpus:
        for_slots, kind = number * part.slots, counting.get(name)
        once = number if alone and share == 1 else (0 if number == 0 else None)
        used.append(for_slots if kind == "YES" else once)
        taken.append(once if kind == "JOB" else for_slots)
    return total_of(used), total_of(taken)


def _names_of(hosts: Sequence[str]) -> Mapping[str, str]:
    """Names without the domain, but in full where two hosts differ in nothing else."""
    bearers = Counter(short_name(host) for host in dict.fromkeys(hosts))
    return {host: short_name(host) if bearers[short_name(host)] == 1 else escape_text(host, limit=255) for host in hosts}


def _instances_of(hosts: Sequence[HostRead], load: _Load | None) -> tuple[Instance, ...] | None:
    """The queue instances of all hosts, with what the jobs hold in them where that is known; None without -q."""
    if not any(host.instances for host in hosts):
        return None
    used = {} if load is None else {(instance.queue, instance.host): instance.used for instance in load.instances}
    return tuple(
        dataclasses.replace(instance, used=used.get((instance.queue, instance.host), instance.used))
        for host in hosts
        for instance in host.instances or ()
    )
