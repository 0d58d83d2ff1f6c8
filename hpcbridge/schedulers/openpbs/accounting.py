# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Ends out of OpenPBS's accounting records, one line each: `date;type;job id;key=value …`.

Q, S, R and E name the run by its `ctime`. E is an end, with start, end and exit status. R (rerun) takes an end or a start back: the job
waits again. D (a request to delete it) and A (aborted by the server: a dependency that failed) end a job that waits, which gets no E; of
a job that runs D is only a request, and its E follows. A deleted array gives its members that never started one D, that of the parent.
A run without an end is UNDETERMINED here: accounting never says that a job is alive.

The date in front is local time of the server and is not read. Account names go out raw, so whoever gets a newline into one writes
lines: a key twice, quotes that do not close and two different ends of one run are not believed, and nothing is said of that job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.jobs import Job, JobState, Outcome, validate_job
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import failed, quarantined
from hpcbridge.schedulers.openpbs.resources import Resources, parse_exec_vnode, requested
from hpcbridge.schedulers.openpbs.states import outcome_of
from hpcbridge.schedulers.pbs import PbsJobId, parse_epoch, parse_job_id, parse_number, parse_owner, parse_seconds, split_exit_status
from hpcbridge.schedulers.report import Answer, Problem, Report

HEADER = "accounting records of "
"""What the script prints first: files were there and could be read, whatever is found in them."""

_LINE = re.compile(r"\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2};([A-Za-z]);([^;]{1,300});(.*)\Z", re.ASCII | re.DOTALL)
_PAIR = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_.-]{0,80})=("[^"]*"|[^\s"]*)(?=\s|\Z)', re.DOTALL)
_EXIT_STATUS = re.compile(r"-?\d{1,9}\Z", re.ASCII)
_OF_A_RUN = frozenset("QSRE")

Fields = Mapping[str, str]


@dataclass(slots=True)
class _Run:
    """One job between its creation and its end."""

    ctime: str
    line: int
    fields: Fields
    runs_now: bool = False
    deleted: bool = False
    end: Fields | None = None


@dataclass(slots=True)
class _Life:
    """All that the records say of one id, in their order; more than one run if the id was used again."""

    found: PbsJobId
    runs: dict[str, _Run] = field(default_factory=dict)
    current: _Run | None = None
    nameless_deletion: int = 0
    error: ValueError | None = None
    error_line: int = 0

    def read(self, number: int, kind: str, text: str) -> None:
        if kind in "DA":
            if self.current is None:
                self.nameless_deletion = number
            else:
                self.current.deleted, self.current.line = True, number
        if kind not in _OF_A_RUN:
            return
        fields = _fields(text)
        if "ctime" not in fields:
            raise ValueError("a record without ctime")
        run = self.runs.setdefault(fields["ctime"], _Run(fields["ctime"], number, fields))
        self.current, run.line = run, number
        if kind == "E":
            if run.end is not None and run.end != fields:
                raise ValueError("two different ends of one run")
            run.end = fields
        else:
            run.end, run.runs_now = None, kind == "S"
            run.fields, run.deleted = fields, False


def read_accounting_report(cluster: str, report: Report, job_ids: Sequence[str]) -> Answer[Job]:
    """The runs of `job_ids` (of all jobs in the report, if none are named)."""
    if report.exit_status != 0:
        raise failed(report)
    lines = _lines_of(report)
    lives: dict[str, _Life] = {}
    problems: list[Problem] = []
    for number, line in lines:
        match = _LINE.match(line)
        if not match:
            problems.append(quarantined(report.query, ValueError("not an accounting record"), line=number))
            continue
        kind, name, text = match.groups()
        try:
            found = parse_job_id(name)
        except ValueError as error:
            problems.append(quarantined(report.query, error, line=number, subject=name))
            continue
        life = lives.setdefault(found.job_id, _Life(found))
        try:
            life.read(number, kind, text)
        except ValueError as error:
            if life.error is None:
                life.error, life.error_line = error, number
    jobs: list[Job] = []
    wanted = frozenset(job_ids)
    for life in _with_members(lives, job_ids):
        if life.found.job_id.endswith("[]") or (wanted and life.found.job_id not in wanted):
            continue
        try:
            jobs.extend(_jobs_of(cluster, life))
        except ValueError as error:
            problems.append(quarantined(report.query, error, line=life.error_line or None, subject=life.found.job_id))
    problems.sort(key=lambda problem: problem.line or 0)
    return Answer(records=tuple(jobs), problems=tuple(problems))


def _lines_of(report: Report) -> list[tuple[int, str]]:
    if not report.stdout:
        raise ReportUnreadable("nothing was printed, which does not prove that accounting knows nothing")
    text = report.stdout.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    if lines[-1]:
        raise ReportUnreadable("cut off in a line", line_number=len(lines), line=escape_text(lines[-1]))
    numbered = [(number, line.removesuffix("\r")) for number, line in enumerate(lines, 1) if line.strip()]
    return [(number, line) for number, line in numbered if number > 1 or not line.startswith(HEADER)]


def _with_members(lives: Mapping[str, _Life], job_ids: Sequence[str]) -> Iterator[_Life]:
    """Every life, and one for each member that was asked for and has no record because its array was deleted before it began."""
    yield from lives.values()
    for job_id in dict.fromkeys(job_ids):
        found = parse_job_id(job_id) if job_id not in lives and "[" in job_id else None
        parent = lives.get(f"{found.array_job_id}[]") if found is not None and found.array_index is not None else None
        if found is None or parent is None:
            continue
        member = _Life(found, error=parent.error, error_line=parent.error_line)
        for run in parent.runs.values():
            if run.deleted:
                member.runs[run.ctime] = _Run(run.ctime, run.line, run.fields, deleted=True)
        if member.runs or member.error:
            yield member


def _jobs_of(cluster: str, life: _Life) -> Iterator[Job]:
    if life.error is not None:
        raise life.error
    for run in life.runs.values():
        yield _job_of(cluster, life.found, run)
    if life.nameless_deletion and not life.runs:
        yield _checked(Job(cluster=cluster, job_id=life.found.job_id, array_job_id=life.found.array_job_id,
                           array_index=life.found.array_index, state=JobState.UNDETERMINED, native_state="D"))  # fmt: skip


def _job_of(cluster: str, found: PbsJobId, run: _Run) -> Job:
    fields = run.end or run.fields
    native, outcome, code, signal = _end_of(run)
    asked = requested({key[14:]: value for key, value in fields.items() if key.startswith("Resource_List.")})
    held = parse_exec_vnode(fields["exec_vnode"]) if run.end is not None and fields.get("exec_vnode") else None
    ran = run.end is not None
    started = parse_number(fields["run_count"]) if ran and fields.get("run_count") else None
    return _checked(
        Job(
            cluster=cluster,
            job_id=found.job_id,
            array_job_id=found.array_job_id,
            array_index=found.array_index,
            state=_state_of(outcome),
            outcome=outcome,
            native_state=native,
            owner=parse_owner(fields["user"]) if fields.get("user") else None,
            account=escape_text(fields["account"], limit=64) if fields.get("account") else None,
            queue=escape_text(fields["queue"], limit=64) if fields.get("queue") else None,
            name=escape_text(fields["jobname"], limit=256) if fields.get("jobname") else None,
            cores=(held or asked).cores,
            gpus=(held or asked).gpus,
            gpu_type=(held or asked).gpu_type,
            memory_bytes=_memory(held, asked),
            nodes=held.nodes if held else (),
            submitted_at=parse_epoch(run.ctime),
            started_at=parse_epoch(fields["start"]) if ran and fields.get("start", "0") != "0" else None,
            ended_at=parse_epoch(fields["end"]) if ran and fields.get("end", "0") != "0" else None,
            wall_seconds=parse_seconds(fields["resources_used.walltime"]) if ran and "resources_used.walltime" in fields else None,
            walltime_limit_seconds=parse_seconds(fields["Resource_List.walltime"]) if "Resource_List.walltime" in fields else None,
            exit_code=code,
            exit_signal=signal,
            restarts=None if started is None else max(started - 1, 0),
        )
    )


def _end_of(run: _Run) -> tuple[str, Outcome | None, int | None, int | None]:
    """The last record's letter, outcome, exit code and signal. What waits and is deleted has ended with that; what runs has not."""
    if run.end is None:
        if run.runs_now:
            return "S", None, None, None
        return ("D", Outcome.CANCELLED, None, None) if run.deleted else ("Q", None, None, None)
    status = run.end.get("Exit_status", "")
    if not _EXIT_STATUS.match(status):
        raise ValueError(f"{status[:40]!r} is not an exit status")
    return "E", outcome_of(int(status), deleted=run.deleted), *split_exit_status(int(status))


def _state_of(outcome: Outcome | None) -> JobState:
    if outcome is None:
        return JobState.UNDETERMINED
    return JobState.DONE if outcome is Outcome.COMPLETED else JobState.FAILED


def _memory(held: Resources | None, asked: Resources) -> int | None:
    return held.memory_bytes if held is not None and held.memory_bytes is not None else asked.memory_bytes


def _checked(job: Job) -> Job:
    validate_job(job)
    return job


def _fields(text: str) -> Fields:
    """Values of `key=value key="a value"`; ValueError for anything between them and for a key that stands twice."""
    fields: dict[str, str] = {}
    position = 0
    while match := _PAIR.match(text, position):
        key, value = match.groups()
        if key in fields:
            raise ValueError(f"{key} stands twice in one record")
        fields[key] = value[1:-1] if value.startswith('"') else value
        position = match.end()
    if text[position:].strip():
        raise ValueError(f"{escape_text(text[position:].strip(), limit=40)} is no key with a value")
    return fields
