# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""From the values that TORQUE prints of a job to a `Job`: out of XML or out of an accounting record.

* Submitted is `ctime`, when the server created the job: it stays the same through routing and `qrerun`, and stands in accounting too.
* Cores are the slots of `exec_host` and GPUs those of `exec_gpus`; while a job waits, what it asks for (torque_requests). So is memory.
* The reason of a held job is its holds, of one that TORQUE ended itself the exit status, of every other the comment,
  unless it is the scheduler's note that the job started, or why it had not yet.
* The parent of an array, listed where the members are not, is a pending range only as long as nothing of it runs or ran. Later nobody
  but the members knows what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hpcbridge.model.jobs import MAX_COUNT, Job, JobState, Phase, validate_job
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.notation import count_tasks
from hpcbridge.schedulers.pbs import PbsJobId, parse_epoch, parse_job_id, parse_memory, parse_number, parse_owner, parse_seconds
from hpcbridge.schedulers.torque.requests import figures_of, lenient, memory_of, parse_exec_gpus, parse_exec_host
from hpcbridge.schedulers.torque.states import COMPLETE, STATES, End, Evidence, end_of
from hpcbridge.schedulers.torque.xml import Element

_STATUS = re.compile(r"-?\d{1,6}\Z", re.ASCII)
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
    figures = figures_of(requested, element.group("req_information"))
    parent = found.array_job_id is not None and found.array_index is None
    started = values.get("start_time")
    status = _status(values.get("exit_status"))
    limit, wall = _seconds(requested.get("walltime")), _seconds(used.get("walltime"))
    if letter == COMPLETE and not parent:
        end = end_of(status, _evidence(element, release=release, limit=limit, wall=wall))
    elif parent:
        end = _state_of_parent(letter)
    else:
        end = End(STATES.get(letter, JobState.UNDETERMINED), None)
    phase = end.state.phase
    if wall is None and end.state.ended:
        wall = _seconds(values.get("total_runtime", "").partition(".")[0])
    hosts, slots = parse_exec_host(values.get("exec_host", "")) if phase is not Phase.QUEUE else ((), 0)
    held = parse_exec_gpus(values["exec_gpus"]) if phase is not Phase.QUEUE and values.get("exec_gpus") else _NO_GPUS
    members_hold = parent and phase is not Phase.QUEUE
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
        cores=None if members_hold else slots or figures.cores,
        gpus=None if members_hold else sum(held.values()) or (0 if slots and figures.gpus is None else figures.gpus),
        memory_bytes=None if members_hold else memory_of(requested, figures, slots or figures.cores),
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
    end = end_of(None, Evidence())
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


def _evidence(element: Element, *, release: int | None, limit: int | None, wall: int | None) -> Evidence:
    asked = lenient(parse_memory, element.group("Resource_List").get("mem"))
    used = lenient(parse_memory, element.group("resources_used").get("mem"))
    return Evidence(
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
    return lenient(count_tasks, values.get("job_array_request")) if state.phase is Phase.QUEUE else None


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
    starts = lenient(parse_number, start_count or None)
    if starts is None or phase is None:
        return None
    return starts if phase is Phase.QUEUE else max(0, starts - 1)


def _seconds(text: str | None) -> int | None:
    seconds = lenient(parse_seconds, text)
    return seconds if seconds is None or seconds < MAX_COUNT else None


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
