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
from hpcbridge.schedulers.slurm_gpus import gpus_of
from hpcbridge.schedulers.slurm_states import exit_of, job_state

SQUEUE_HEADER = (
    "JOBID", "JOBID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "HET_JOB_ID", "HET_JOB_OFFSET", "USER", "ACCOUNT", "PARTITION", "STATE",
    "REASON", "SUBMIT_TIME", "ELIGIBLE_TIME", "START_TIME", "END_TIME", "TIME_LIMIT", "CPUS", "NODES", "NODELIST", "TRES_ALLOC",
    "TRES_PER_NODE", "TRES_PER_JOB", "TRES_PER_TASK", "MIN_MEMORY", "EXIT_CODE", "REQUEUE", "RESTART_COUNT", "NAME",
)  # fmt: skip
"""Columns after the nonce, as 22.05 and 26.05 print them; NAME is last because it may hold anything."""

SACCT_HEADER = (
    "JobID", "JobIDRaw", "State", "ExitCode", "DerivedExitCode", "Reason", "Submit", "Eligible", "Start", "End", "ElapsedRaw",
    "Suspended", "TimelimitRaw", "CPUTimeRAW", "AllocCPUS", "AllocNodes", "AllocTRES", "ReqTRES", "NodeList", "User", "Account",
    "Partition", "JobName",
)  # fmt: skip
"""Columns of `ended`; a site's script that asks for other ones is refused as unreadable."""

_JOB_ID = re.compile(r"(\d{1,10})(?:_(\d{1,10})|_\[([0-9,:%.-]+)\]|\+(\d{1,10}))?\Z", re.ASCII)
_DATE_TIME = re.compile(r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\Z", re.ASCII)
_NO_TEXT = frozenset({"", "(null)", "N/A"})
_UNLIMITED_SECONDS = 365 * 24 * 3600
_MAX_SECONDS = 253_402_300_799

JobRead = tuple[Job, bool]
"""A job and whether its state is a known word."""


def job_from_squeue(cluster: str, columns: Sequence[str], elapsed: str, *, utc: bool = False) -> JobRead:
    """From the 28 columns after the nonce and the elapsed time before it. With `utc`, times may also be dates and times of UTC."""
    _check_columns(columns, SQUEUE_HEADER)
    (job_id, _raw_id, _array_job_id, _array_task, _het_job_id, _het_offset, owner, account, queue, native_state, reason, submitted,
     _eligible, started, ended, limit, cpus, node_count, node_list, resources, per_node, per_job, per_task, _min_memory, exit_text,
     _requeue, restarts, name) = columns  # fmt: skip
    _check_ids(columns[:6])
    return _job(
        cluster,
        job_id,
        native_state=native_state,
        reason=reason,
        owner=owner,
        account=account,
        queue=queue,
        name=name,
        submitted=submitted,
        started=started,
        ended=ended,
        elapsed_seconds=parse_duration(elapsed),
        limit_seconds=_limit(limit),
        cores=parse_count(cpus),
        node_count=node_count,
        node_list=node_list,
        resources=parse_resources(resources),
        requested=(per_node, per_job, per_task),
        exit_text=exit_text,
        restarts=parse_count(restarts),
        utc=utc,
    )


def job_from_sacct(cluster: str, columns: Sequence[str], *, utc: bool = False) -> JobRead:
    """From the 23 columns of `ended`. Live words become UNDETERMINED: sacct said PENDING while a job ran."""
    _check_columns(columns, SACCT_HEADER)
    (job_id, raw_id, native_state, exit_text, _derived, reason, submitted, _eligible, started, ended, elapsed, _suspended, limit,
     _cpu_time, allocated_cpus, node_count, allocated, requested, node_list, owner, account, queue, name) = columns  # fmt: skip
    base = job_id.partition("_[")[0]  # what waits of an array has the id of the array itself
    if not raw_id.isdecimal() or (base.isdecimal() and base != raw_id):
        raise ValueError(f"job id {job_id[:40]!r} contradicts its parts")
    resources = parse_resources(allocated) or parse_resources(requested)
    return _job(
        cluster,
        job_id,
        native_state=native_state,
        reason=reason,
        owner=owner,
        account=account,
        queue=queue,
        name=name,
        submitted=submitted,
        started=started,
        ended=ended,
        elapsed_seconds=_integer(elapsed),
        limit_seconds=int(limit) * 60 if limit.isdecimal() and len(limit) < 12 else None,
        # 0 CPUs and no resources: slurmdbd has not heard of the start yet (recorded: 22.05.8/reused-ids job 1)
        cores=parse_count(resources["cpu"]) if "cpu" in resources else _integer(allocated_cpus) or None,
        node_count=node_count,
        node_list=node_list,
        resources=resources,
        requested=None,
        exit_text=exit_text,
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
    return _job(
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


def _check_columns(columns: Sequence[str], header: Sequence[str]) -> None:
    if len(columns) != len(header):
        raise ValueError(f"{len(columns)} columns instead of {len(header)}")


def _check_ids(ids: Sequence[str]) -> None:
    """The id as typed must be the one its parts make: a shifted or invented record does not pass."""
    job_id, raw_id, array_job_id, array_task, het_job_id, het_offset = ids
    if array_task not in _NO_TEXT:
        expected = {f"{array_job_id}_{array_task}", f"{array_job_id}_[{array_task}]"}
    elif het_offset not in _NO_TEXT:
        expected = {f"{het_job_id}+{het_offset}"}
    else:
        expected = {raw_id}
    if job_id not in expected or not raw_id.isdecimal():
        raise ValueError(f"job id {job_id[:40]!r} contradicts its parts")


def _job(
    cluster: str,
    job_id: str,
    *,
    native_state: str,
    reason: str,
    owner: str,
    account: str,
    queue: str,
    name: str,
    submitted: str,
    started: str,
    ended: str,
    elapsed_seconds: int | None,
    limit_seconds: int | None,
    cores: int | None,
    node_count: str,
    node_list: str,
    resources: Mapping[str, str],
    requested: Sequence[str] | None,
    exit_text: str,
    restarts: int | None,
    utc: bool,
    believes_live: bool = True,
) -> JobRead:
    match = _JOB_ID.match(job_id)
    if not match:
        raise ValueError(f"{job_id[:40]!r} is not a job id")
    base, member, pending_range, component = match.groups()
    state, outcome, known = job_state(native_state, reason)
    if not (believes_live or state.ended):
        state = JobState.UNDETERMINED
    phase = state.phase
    nodes = () if phase is Phase.QUEUE else expand_hosts(node_list)
    code, signal = exit_of(native_state, exit_text) if state.ended else (None, None)
    if (phase is not Phase.QUEUE or restarts) and limit_seconds == _UNLIMITED_SECONDS:
        limit_seconds = None
    submitted_at = _instant(submitted, utc=utc)
    if submitted_at is None:
        raise ValueError("no submit time")
    gpus, gpu_type = gpus_of(resources, None if requested is None else tuple(requested), node_count)
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
        name=escape_text(name),
        cores=cores,
        gpus=gpus,
        gpu_type=gpu_type,
        memory_bytes=parse_size(resources["mem"], unit="M") if "mem" in resources else None,
        nodes=nodes,
        submitted_at=submitted_at,
        started_at=_instant(started, utc=utc) if nodes else None,
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
