# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""From the values that TORQUE prints of a job to a `Job`: out of XML or out of an accounting record.

* Submitted is `ctime`, when the server created the job: it stays the same through routing and `qrerun`, and stands in accounting too.
* Cores are the slots of `exec_host`. While a job waits: what `nodes` (a sum over its parts), `procs` or `ncpus` ask for, the largest of
  them, because a site's default `nodes=1` stands beside the other two; of `-L` requests, tasks times logical processors.
* GPUs are those of `exec_gpus`, else the `gpus` in `nodes` or in `gres`. A job that asks for nodes without GPUs has none.
* Memory is `mem`, which is for the whole job, else `pmem` times cores. `vmem` and `pvmem` limit address space: they are no memory.
* The reason of a held job is its holds, of one that TORQUE ended itself the exit status, of every other the comment,
  unless it is the scheduler's note that the job started, or why it had not yet.
* The parent of an array, listed where the members are not, is a pending range only as long as nothing of it runs or ran.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import TypeVar

from hpcbridge.model.jobs import MAX_BYTES, MAX_COUNT, Job, JobState, Phase, validate_job
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.notation import count_tasks
from hpcbridge.schedulers.pbs import (
    NodeRequest,
    PbsJobId,
    parse_epoch,
    parse_job_id,
    parse_memory,
    parse_node_request,
    parse_number,
    parse_owner,
    parse_seconds,
)
from hpcbridge.schedulers.torque_states import COMPLETE, STATES, End, Evidence, end_of
from hpcbridge.schedulers.torque_xml import Element

Value = TypeVar("Value")
MAX_SLOTS = 1_000_000
_SLOTS = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?\Z", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z", re.ASCII)
_STATUS = re.compile(r"-?\d{1,6}\Z", re.ASCII)
_GENERIC_GPU = re.compile(r"(?:^|[,+%])gpus?(?:[:=](\d{1,6}))?(?=$|[,+%])", re.ASCII)
_GPU_SUFFIX = "-gpu"
_WAITING = frozenset({"Q", "W", "T", "H"})
_STARTED = "Job started on "
_NOT_RUNNING = "Not Running: "


@dataclass(frozen=True, slots=True)
class JobRead:
    """A job, whether its state letter is a known one, and the GPUs it holds by node."""

    job: Job
    known: bool
    gpus_held: Mapping[str, int]


_NO_GPUS: Mapping[str, int] = {}


def job_from_element(cluster: str, element: Element, *, release: int | None) -> JobRead:
    """One `<Job>`. ValueError for one that TORQUE cannot have printed so."""
    values = element.values
    found = parse_job_id(_required(values, "Job_Id"))
    letter = _required(values, "job_state")
    requested, used = element.group("Resource_List"), element.group("resources_used")
    figures = _figures(requested, element.group("req_information"))
    parent = found.array_job_id is not None and found.array_index is None
    started = values.get("start_time")
    status = _status(values.get("exit_status"))
    limit, wall = _lenient(parse_seconds, requested.get("walltime")), _lenient(parse_seconds, used.get("walltime"))
    if letter == COMPLETE and not parent:
        end = end_of(status, _evidence(element, release=release, limit=limit, wall=wall))
    elif parent:
        end = _state_of_parent(letter)
    else:
        end = End(STATES.get(letter, JobState.UNDETERMINED), None)
    phase = end.state.phase
    if wall is None and end.state.ended:
        wall = _lenient(parse_seconds, values.get("total_runtime", "").partition(".")[0] or None)
    hosts, slots = parse_exec_host(values.get("exec_host", "")) if phase is not Phase.QUEUE else ((), 0)
    held = parse_exec_gpus(values["exec_gpus"]) if phase is not Phase.QUEUE and values.get("exec_gpus") else _NO_GPUS
    job = Job(
        cluster=cluster,
        job_id=found.job_id,
        array_job_id=found.array_job_id,
        array_index=found.array_index,
        array_pending=_pending(values, end.state) if parent else None,
        state=end.state,
        outcome=end.outcome,
        native_state=escape_text(letter, limit=64),
        reason=_reason(values, letter, status),
        owner=_owner(values),
        account=_text(values.get("Account_Name"), 64),
        queue=_text(values.get("queue"), 64),
        name=None if "Job_Name" not in values else escape_text(values["Job_Name"]),
        cores=slots or figures.cores,
        gpus=sum(held.values()) or (0 if slots and figures.gpus is None else figures.gpus),
        memory_bytes=_memory(requested, figures, slots or figures.cores),
        nodes=hosts,
        submitted_at=_instant(values.get("ctime") or values.get("qtime")),
        started_at=_instant(started) if started and phase is not Phase.QUEUE else None,
        ended_at=_instant(values.get("comp_time") or values.get("mtime")) if end.state.ended else None,
        wall_seconds=None if phase is Phase.QUEUE else wall,
        walltime_limit_seconds=limit,
        exit_code=end.exit_code,
        exit_signal=end.exit_signal,
        restarts=_restarts(values.get("start_count"), phase),
    )
    validate_job(job)
    holds = held if end.state is JobState.RUNNING else _NO_GPUS
    return JobRead(job, known=letter in STATES or letter == COMPLETE, gpus_held=holds)


def job_from_accounting(cluster: str, found: PbsJobId, fields: Mapping[str, str], *, release: int | None, restarts: int) -> JobRead:
    """One run out of its E record, which has the same facts under other names."""
    requested = {key.removeprefix("Resource_List."): value for key, value in fields.items() if key.startswith("Resource_List.")}
    used = {key.removeprefix("resources_used."): value for key, value in fields.items() if key.startswith("resources_used.")}
    renamed = {
        "Job_Id": found.job_id,
        "job_state": COMPLETE,
        "Job_Owner": fields.get("owner") or fields.get("user", ""),
        "exit_status": _required(fields, "Exit_status"),
        "start_time": fields.get("start", "").removeprefix("0"),
        "comp_time": _required(fields, "end"),
        "ctime": _required(fields, "ctime"),
    }
    for theirs, ours in (("jobname", "Job_Name"), ("queue", "queue"), ("account", "Account_Name"), ("exec_host", "exec_host")):
        if theirs in fields:
            renamed[ours] = fields[theirs]
    renamed["start_count"] = fields.get("start_count") or (str(restarts + 1) if restarts else "")
    return job_from_element(cluster, Element(renamed, {"Resource_List": requested, "resources_used": used}), release=release)


def job_deleted_before_it_ran(cluster: str, found: PbsJobId, *, ctime: str | None) -> JobRead:
    """A job that was deleted or aborted while it waited; accounting then knows `ctime` only if it had run before."""
    end = end_of(None, Evidence(ran=False))
    job = Job(
        cluster=cluster,
        job_id=found.job_id,
        array_job_id=found.array_job_id,
        array_index=found.array_index,
        state=end.state,
        outcome=end.outcome,
        native_state=COMPLETE,
        submitted_at=_instant(ctime),
    )
    validate_job(job)
    return JobRead(job, known=True, gpus_held=_NO_GPUS)


def parse_exec_host(text: str) -> tuple[tuple[str, ...], int]:
    """Names, each once, and slots of `node01/0+node01/1` or, since 5.0, `node02/0-7+node01/4-11,14`."""
    if not text:
        return (), 0
    names: dict[str, None] = {}
    total = 0
    for part in text.split("+"):
        name, slash, slots = part.partition("/")
        if name not in names:
            if not slash or not _HOST.match(name):
                raise ValueError(f"{text[:60]!r} is not a list of slots")
            names[intern(name)] = None
        total += 1 if slots.isdecimal() else count_slots(slots)
    return tuple(names), total


@lru_cache(maxsize=8192)
def count_slots(text: str) -> int:
    """How many slots `0-3,8` stands for."""
    total = 0
    for part in text.split(","):
        match = _SLOTS.match(part.strip())
        low, high = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if high < low:
            raise ValueError(f"{text[:60]!r} is not a list of slots")
        total += high - low + 1
    if total > MAX_SLOTS:
        raise ValueError(f"{text[:60]!r} stands for too many slots")
    return total


def parse_exec_gpus(text: str) -> Mapping[str, int]:
    """GPUs by node of `gpu01-gpu/0+gpu01-gpu/1`."""
    held: dict[str, int] = {}
    for part in text.split("+"):
        name, slash, slots = part.partition("/")
        name = name.removesuffix(_GPU_SUFFIX)
        if not slash or not _HOST.match(name):
            raise ValueError(f"{text[:60]!r} is not a list of GPUs")
        held[name] = held.get(name, 0) + count_slots(slots)
    return held


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a job asks for: totals, memory by task."""

    cores: int | None
    gpus: int | None
    memory_bytes: int | None


def _figures(requested: Mapping[str, str], tasks: Mapping[str, str]) -> _Figures:
    if tasks:
        return _of_tasks(tasks)
    nodes: NodeRequest | None = _lenient(parse_node_request, requested.get("nodes"))
    asked = [figure for name in ("procs", "ncpus") if (figure := _lenient(parse_number, requested.get(name))) is not None]
    if nodes is not None:
        asked.append(nodes.cores)
    gpus = nodes.gpus if nodes is not None else (0 if asked else None)
    generic = requested.get("gres")
    if generic and not gpus:
        counts = [int(count or 1) for count in _GENERIC_GPU.findall(generic)]
        gpus = sum(counts) * (nodes.nodes if nodes is not None else 1) if counts else gpus
    cores = max(asked) if asked else None
    return _Figures(cores if cores is None or cores < MAX_COUNT else None, gpus if gpus is None or gpus < MAX_COUNT else None, None)


def _of_tasks(tasks: Mapping[str, str]) -> _Figures:
    """Totals of `-L tasks=2:lprocs=4:memory=1gb` (6.0 and later), printed as task_count.0, lprocs.0, memory.0 and so on."""
    cores = gpus = memory = 0
    has_memory = False
    for key, value in tasks.items():
        name, dot, number = key.partition(".")
        if name != "task_count" or not dot:
            continue
        count = _lenient(parse_number, value) or 1
        cores += count * (_lenient(parse_number, tasks.get(f"lprocs.{number}")) or 1)
        gpus += count * (_lenient(parse_number, tasks.get(f"gpus.{number}")) or 0)
        each = _lenient(parse_memory, tasks.get(f"memory.{number}"))
        has_memory = has_memory or each is not None
        memory += count * (each or 0)
    return _Figures(cores or None, gpus, memory if has_memory else None)


def _memory(requested: Mapping[str, str], figures: _Figures, cores: int | None) -> int | None:
    total = _lenient(parse_memory, requested.get("mem"))
    if total is None and cores is not None:
        each = _lenient(parse_memory, requested.get("pmem"))
        total = None if each is None else each * cores
    if total is None:
        total = figures.memory_bytes
    return total if total is None or total <= MAX_BYTES else None


def _evidence(element: Element, *, release: int | None, limit: int | None, wall: int | None) -> Evidence:
    values = element.values
    asked = _lenient(parse_memory, element.group("Resource_List").get("mem"))
    used = _lenient(parse_memory, element.group("resources_used").get("mem"))
    return Evidence(
        ran=bool(values.get("exec_host")),
        over_walltime=limit is not None and wall is not None and wall >= limit,
        over_memory=asked is not None and used is not None and used >= asked,
        release=release,
    )


def _state_of_parent(letter: str) -> End:
    """How the members of an array ended is not said by its parent."""
    if letter == COMPLETE:
        return End(JobState.UNDETERMINED, None)
    return End(STATES.get(letter, JobState.UNDETERMINED), None)


def _pending(values: Mapping[str, str], state: JobState) -> int | None:
    """Members that wait: all of the request as long as the parent itself waits; later nobody but the members knows."""
    return _lenient(count_tasks, values.get("job_array_request")) if state.phase is Phase.QUEUE else None


def _reason(values: Mapping[str, str], letter: str, status: int | None) -> str | None:
    holds = values.get("Hold_Types", "n")
    if letter == "H" and holds not in {"", "n"}:
        return escape_text(f"Hold_Types={holds}")
    if letter == COMPLETE and status is not None and status < 0:
        return f"exit_status={status}"
    comment = values.get("comment")
    if comment and (comment.startswith(_STARTED) or (letter not in _WAITING and comment.startswith(_NOT_RUNNING))):
        return None
    return _text(comment, 256)


def _restarts(start_count: str | None, phase: Phase | None) -> int | None:
    """Times a job went back: it started so often, and is not running any of these if it waits."""
    starts = _lenient(parse_number, start_count or None)
    if starts is None or phase is None:
        return None
    return starts if phase is Phase.QUEUE else max(0, starts - 1)


def _owner(values: Mapping[str, str]) -> str | None:
    text = values.get("Job_Owner") or values.get("euser")
    return parse_owner(text) if text else None


def _status(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not _STATUS.match(text):
        raise ValueError(f"{text[:40]!r} is not an exit status")
    return int(text)


def _instant(text: str | None) -> Instant | None:
    return parse_epoch(text) if text else None


@lru_cache(maxsize=4096)
def _text(text: str | None, limit: int) -> str | None:
    return escape_text(text, limit=limit) if text else None


def _required(values: Mapping[str, str], key: str) -> str:
    value = values.get(key)
    if not value:
        raise ValueError(f"no {key}")
    return value


def _lenient(parse: Callable[[str], Value], text: str | None) -> Value | None:
    """What an owner wrote into a request may be anything: what cannot be read is not known."""
    if not text:
        return None
    try:
        return parse(text)
    except ValueError:
        return None
