# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One job record of Slurm in its three spellings (squeue -O, sacct -P, scontrol -o show job) into the standard schema.

A record that cannot be true raises ValueError naming what is wrong; the caller quarantines it. Rules that hold for all three:
an estimated start or end is not a start or end, a job without nodes never started, a limit of 365 days on a job that has started
(also before it was requeued) stands for "no limit", and codes are believed only of jobs that ended by themselves.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from hpcbridge.model.jobs import Job, JobState, Phase, validate_job
from hpcbridge.model.quantities import Instant, escape_text, instant_from_seconds
from hpcbridge.schedulers.notation import NOTHING, count_tasks, expand_hosts, parse_count, parse_duration, parse_resources, parse_size
from hpcbridge.schedulers.slurm.columns import Cells
from hpcbridge.schedulers.slurm.gpus import gpus_of
from hpcbridge.schedulers.slurm.states import exit_of, job_state

_JOB_ID = re.compile(r"(\d{1,10})(?:_(\d{1,10})|_\[([0-9,:%.-]+)\]|\+(\d{1,10}))?\Z", re.ASCII)
_DATE_TIME = re.compile(r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\Z", re.ASCII)
_NO_TEXT = frozenset({"", "(null)", "N/A"})
_UNLIMITED_SECONDS = 365 * 24 * 3600
_MAX_SECONDS = 253_402_300_799

JobRead = tuple[Job, bool]
"""A job and whether its state is a known word."""


def job_from_squeue(cluster: str, cells: Cells, elapsed: str, *, utc: bool = False) -> JobRead:
    """From the columns after the nonce and the elapsed time before it. With `utc`, times may also be dates and times of UTC.

    Without the column of the reason, what is held looks like what may start.
    """
    (job_id, _raw_id, _array_job_id, _array_task, _het_job_id, _het_offset, owner, account, queue, native_state, reason, submitted,
     _eligible, started, ended, limit, cpus, node_count, node_list, resources, per_node, per_job, per_task, _min_memory, exit_text,
     _requeue, restarts, name) = cells  # fmt: skip
    if job_id is None or native_state is None:
        raise ValueError("no job id or no state")
    _check_ids(job_id, cells[1:6])
    requested = tuple(text for text in (per_node, per_job, per_task) if text is not None)
    return job_of(
        cluster,
        job_id,
        native_state=native_state,
        reason=reason or "",
        owner=owner or "",
        account=account or "",
        queue=queue or "",
        name=name,
        submitted=submitted,
        started=started or "",
        ended=ended or "",
        elapsed_seconds=parse_duration(elapsed),
        limit_seconds=_limit(limit or ""),
        cores=None if cpus is None else parse_count(cpus),
        node_count=node_count or "",
        node_list=node_list,
        resources=parse_resources(resources or ""),
        requested=requested,
        requested_whole=len(requested) == 3 and resources is not None,
        exit_text=exit_text or "",
        restarts=None if restarts is None else parse_count(restarts),
        utc=utc,
    )


def job_from_sacct(cluster: str, cells: Cells, *, utc: bool = False) -> JobRead:
    """From the columns of `ended`. Live words become UNDETERMINED: sacct said PENDING while a job ran."""
    (job_id, raw_id, native_state, exit_text, _derived, reason, submitted, _eligible, started, ended, elapsed, _suspended, limit,
     _cpu_time, allocated_cpus, node_count, allocated, requested, node_list, owner, account, queue, name) = cells  # fmt: skip
    if job_id is None or native_state is None:
        raise ValueError("no job id or no state")
    base = job_id.partition("_[")[0]  # what waits of an array has the id of the array itself
    if raw_id is not None and (not raw_id.isdecimal() or (base.isdecimal() and base != raw_id)):
        raise ValueError(f"job id {job_id[:40]!r} contradicts its parts")
    # what was asked for stands in for what was never allocated, not for a column that is missing
    resources = {} if allocated is None else parse_resources(allocated) or parse_resources(requested or "")
    return job_of(
        cluster,
        job_id,
        native_state=native_state,
        reason=reason or "",
        owner=owner or "",
        account=account or "",
        queue=queue or "",
        name=name,
        submitted=submitted,
        started=started or "",
        ended=ended or "",
        elapsed_seconds=_integer(elapsed or ""),
        limit_seconds=int(limit) * 60 if limit and limit.isdecimal() and len(limit) < 12 else None,
        # 0 CPUs and no resources: slurmdbd has not heard of the start yet (recorded: 22.05.8/reused-ids job 1)
        cores=parse_count(resources["cpu"]) if "cpu" in resources else _integer(allocated_cpus or "") or None,
        node_count=node_count or "",
        node_list=node_list,
        resources=resources,
        requested=None,
        exit_text=exit_text or "",
        restarts=None,
        utc=utc,
        believes_live=False,
    )


_SCONTROL_HEAD = re.compile(
    r"JobId=(?P<JobId>\d+) (?:ArrayJobId=(?P<ArrayJobId>\d+) ArrayTaskId=(?P<ArrayTaskId>\S+) (?:ArrayTaskThrottle=\d+ )?)?"
    r"(?:HetJobId=(?P<HetJobId>\d+) HetJobOffset=(?P<HetJobOffset>\d+) )?JobName=",
)
_SCONTROL_OWNER = re.compile(r"(?: HetJobIdSet=\S+)? UserId=([^\s()]+)\(\d+\) GroupId=[^\s()]+\(\d+\) MCS_label=\S+ Priority=\d+ ")
_SCONTROL_REASON = re.compile(r" Reason=(.*?) Dependency=", re.DOTALL)
_SCONTROL_GPUS = re.compile(r" TresPer(?:Node|Job|Task)=(\S+)")


def job_from_scontrol(cluster: str, record: str, *, utc: bool = False) -> JobRead:
    """From one record of `ended_fallback`.

    Name, command and comments are a stranger's and may imitate every field, so only what stands between the one genuine block of
    owner and group and the command is read; a record with two such blocks is refused.
    """
    head = _SCONTROL_HEAD.match(record)
    owners = list(_SCONTROL_OWNER.finditer(record))
    if not head or len(owners) != 1 or owners[0].start() < head.end():
        raise ValueError("not one job with one owner")
    name = record[head.end() : owners[0].start()]
    tail = record[owners[0].end() :].partition(" Command=")
    reason = _SCONTROL_REASON.search(tail[0])
    fields = _fields(tail[0])
    resources = parse_resources(fields.get("TRES", ""))
    if not resources:
        resources = parse_resources(fields.get("AllocTRES", "")) or parse_resources(fields.get("ReqTRES", ""))
    return job_of(
        cluster,
        _scontrol_id(head.groupdict()),
        native_state=fields["JobState"],
        reason=reason.group(1) if reason else "",
        owner=owners[0].group(1),
        account=fields.get("Account", ""),
        queue=fields["Partition"],
        name=name,
        submitted=fields["SubmitTime"],
        started=fields.get("StartTime", ""),
        ended=fields.get("EndTime", ""),
        elapsed_seconds=parse_duration(fields.get("RunTime", "")),
        limit_seconds=_limit(fields.get("TimeLimit", "")),
        cores=parse_count(fields["NumCPUs"].partition("-")[0]),
        node_count=fields.get("NumNodes", ""),
        node_list=fields.get("NodeList", ""),
        resources=resources,
        requested=tuple(_SCONTROL_GPUS.findall(record)),
        exit_text=fields.get("ExitCode", ""),
        restarts=_integer(fields.get("Restarts", "")),
        utc=utc,
    )


def lacks_owner(record: str) -> bool:
    """True for the first half of a record that a newline in its name cut in two: owner and group always follow the name."""
    return not _SCONTROL_OWNER.search(record)


def _fields(text: str) -> Mapping[str, str]:
    """Words `key=value`; the first of a name counts, and a missing one is a broken record."""
    fields: dict[str, str] = {}
    for word in text.split(" "):
        key, equals, value = word.partition("=")
        if equals and key not in fields:
            fields[key] = value
    missing = {"JobState", "SubmitTime", "Partition", "NumCPUs"} - fields.keys()
    if missing:
        raise ValueError(f"no {min(missing)}")
    return fields


def _scontrol_id(ids: Mapping[str, str | None]) -> str:
    if ids["ArrayTaskId"] is not None:
        task = ids["ArrayTaskId"]
        if not task.isdecimal() and ids["JobId"] != ids["ArrayJobId"]:  # members that wait stand in the record of the array itself
            raise ValueError(f"job id {str(ids['JobId'])[:40]!r} contradicts its parts")
        return f"{ids['ArrayJobId']}_{task}" if task.isdecimal() else f"{ids['ArrayJobId']}_[{task}]"
    if ids["HetJobOffset"] is not None:
        return f"{ids['HetJobId']}+{ids['HetJobOffset']}"
    return str(ids["JobId"])


def _limit(text: str) -> int | None:
    return None if text == "Partition_Limit" else parse_duration(text)


def _check_ids(job_id: str, parts: Cells) -> None:
    """The id as typed must be the one its parts make, as far as they are known: a shifted or invented record does not pass."""
    raw_id, array_job_id, array_task, het_job_id, het_offset = parts
    base, mark, _ = job_id.partition("+" if "+" in job_id else "_")
    array_job_id, het_job_id = (base if whole is None else whole for whole in (array_job_id, het_job_id))
    if array_task is not None and array_task not in _NO_TEXT:
        expected = {f"{array_job_id}_{array_task}", f"{array_job_id}_[{array_task}]"}
    elif het_offset is not None and het_offset not in _NO_TEXT:
        expected = {f"{het_job_id}+{het_offset}"}
    elif mark and (array_task if mark == "_" else het_offset) is None:
        expected = {job_id} if base == (array_job_id if mark == "_" else het_job_id) else set()
    else:
        expected = {base if raw_id is None else raw_id}
    if job_id not in expected or not (raw_id is None or raw_id.isdecimal()):
        raise ValueError(f"job id {job_id[:40]!r} contradicts its parts")


def job_of(
    cluster: str,
    job_id: str,
    *,
    native_state: str,
    reason: str,
    owner: str,
    account: str,
    queue: str,
    name: str | None,
    submitted: str | None,
    started: str,
    ended: str,
    elapsed_seconds: int | None,
    limit_seconds: int | None,
    cores: int | None,
    node_count: str,
    node_list: str | None,
    resources: Mapping[str, str],
    requested: Sequence[str] | None,
    exit_text: str,
    restarts: int | None,
    utc: bool,
    requested_whole: bool = True,
    believes_live: bool = True,
) -> JobRead:
    """The rules that hold for every spelling; text is as Slurm prints it. Without `requested_whole`, GPUs that are not seen are unknown."""
    match = _JOB_ID.match(job_id)
    if not match:
        raise ValueError(f"{job_id[:40]!r} is not a job id")
    base, member, pending_range, component = match.groups()
    state, outcome, known = job_state(native_state, reason)
    if not (believes_live or state.ended):
        state = JobState.UNDETERMINED
    phase = state.phase
    nodes = () if phase is Phase.QUEUE else expand_hosts(node_list or "")
    if (phase is not Phase.QUEUE or restarts) and limit_seconds == _UNLIMITED_SECONDS:
        limit_seconds = None
    submitted_at = None if submitted is None else _instant(submitted, utc=utc)
    if submitted is not None and submitted_at is None:
        raise ValueError("no submit time")
    has_started = bool(nodes) or (node_list is None and (phase is Phase.RUN or (phase is not Phase.QUEUE and bool(elapsed_seconds))))
    # slurmctld gives what never could start an exit status of its own (recorded: 24.11.5/zoo job 49)
    code, signal = exit_of(native_state, exit_text) if state.ended and (nodes or node_list is None) else (None, None)
    gpus, gpu_type = gpus_of(resources, None if requested is None else tuple(requested), node_count, whole=requested_whole)
    job = Job(
        cluster=cluster,
        job_id=job_id,
        array_job_id=base if member or pending_range else None,
        array_index=int(member) if member else None,
        array_pending=_pending(pending_range) if pending_range and not state.ended else None,
        het_job_id=base if component else None,
        het_index=int(component) if component else None,
        state=state,
        outcome=outcome,
        native_state=_text(native_state, 64) or "",
        reason=None if reason == "None" else _text(reason, 256),
        owner=_text(owner, 64),
        account=_text(account, 64),
        queue=_text(queue, 64),
        name=None if name is None else escape_text(name),
        cores=cores,
        gpus=gpus,
        gpu_type=gpu_type,
        memory_bytes=parse_size(resources["mem"], unit="M") if "mem" in resources else None,
        nodes=nodes,
        submitted_at=submitted_at,
        started_at=_instant(started, utc=utc) if has_started else None,
        ended_at=_instant(ended, utc=utc) if state.ended else None,
        wall_seconds=None if phase is Phase.QUEUE else elapsed_seconds,
        walltime_limit_seconds=limit_seconds,
        exit_code=code,
        exit_signal=signal,
        restarts=restarts,
    )
    validate_job(job)
    return job, known


@lru_cache(maxsize=16384)
def _instant(text: str, *, utc: bool) -> Instant | None:
    """Seconds since the epoch (SLURM_TIME_FORMAT=%s), or a date and time if these are UTC; without a zone they are refused, not guessed."""
    if text in NOTHING:
        return None
    if utc and _DATE_TIME.match(text):
        return instant_from_seconds(int(datetime.datetime.fromisoformat(f"{text}+00:00").timestamp()))
    if not text.isdecimal() or not text.isascii() or int(text) > _MAX_SECONDS:
        raise ValueError(f"{text[:40]!r} is not a time in seconds")
    return instant_from_seconds(int(text))


@lru_cache(maxsize=4096)
def _text(text: str, limit: int) -> str | None:
    return None if text in _NO_TEXT else escape_text(text, limit=limit)


def _integer(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 16 else None


def _pending(pending_range: str) -> int | None:
    """A range that Slurm cut short (`…`, without SLURM_BITSTR_LEN=0) has an unknown count."""
    return None if "..." in pending_range else count_tasks(pending_range)
