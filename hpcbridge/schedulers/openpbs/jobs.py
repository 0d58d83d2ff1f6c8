# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One job of `qstat -f -F json` as a `Job`.

`submitted_at` is `ctime`: it is given once and stays through requeue, move and release, so it tells two bearers of one id apart, while
qtime and etime change. `run_count` counts starts: a job that waits was restarted as often, one that runs or ran once less. An array's
parent (`40[]`) is no job: what it says of members that are not listed is in `ArrayParent`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hpcbridge.model.jobs import Job, JobState, Outcome, validate_job
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.notation import count_tasks
from hpcbridge.schedulers.openpbs.attributes import Attributes, raw_of, text_of
from hpcbridge.schedulers.openpbs.resources import Resources, parse_exec_vnode, requested
from hpcbridge.schedulers.openpbs.states import BEGUN, ENDED, STATES, outcome_of, was_deleted
from hpcbridge.schedulers.openpbs.times import SLACK_MS, LocalTimes
from hpcbridge.schedulers.pbs import PbsJobId, parse_epoch, parse_job_id, parse_number, parse_owner, parse_seconds, split_exit_status

_EXIT_STATUS = re.compile(r"-?\d{1,9}\Z", re.ASCII)
_COUNTED = re.compile(r"(Queued|Running|Exiting|Expired):(\d{1,10})", re.ASCII)
_WAITING_PHASES = frozenset({JobState.QUEUED, JobState.QUEUED_HELD})


@dataclass(frozen=True, slots=True)
class ArrayParent:
    """What the parent of an array says of its members: how many wait and how many have begun and not ended; None if it does not say."""

    waiting: int | None
    begun: int | None


@dataclass(frozen=True, slots=True)
class JobRead:
    """A job, whether its state is a known one, and what the whole report is judged by. `job` of a parent stands for its waiting members.

    `latest_at` is the latest local time of the past in the record; `zone_wrong` if the record contradicts itself;
    `history_at` an end that needs no zone. `vouched` for: it names nodes with amounts, which no variable's name can write.
    """

    job: Job
    known: bool
    parent: ArrayParent | None = None
    latest_at: Instant | None = None
    zone_wrong: bool = False
    history_at: Instant | None = None
    vouched: bool = False

    @property
    def waits(self) -> bool:
        """True for a job that is queued or held."""
        return self.job.state in _WAITING_PHASES


def read_job(cluster: str, name: str, fields: Attributes, *, listed: Attributes, times: LocalTimes) -> JobRead:
    """Reads one record; `listed` is its Resource_List. Raises ValueError for one that cannot be true."""
    identity = parse_job_id(name)
    native = raw_of(_required(fields, "job_state"))
    comment = text_of(fields.get("comment", ""), limit=256)
    status = _last_status(native, identity, fields) if native in ENDED else None
    state, outcome, known = _state(native, status, fields, comment)
    ran = "exec_vnode" in fields
    if not ran and state in (JobState.RUNNING, JobState.SUSPENDED) and native != BEGUN:
        raise ValueError(f"state {native}, and there is no exec_vnode")
    held = parse_exec_vnode(raw_of(fields["exec_vnode"])) if ran and state not in _WAITING_PHASES else None
    asked = requested(listed)
    moments = {key: times.read(fields[key]) for key in _PAST if key in fields}
    history_at = parse_epoch(raw_of(fields["history_timestamp"])) if fields.get("history_timestamp") else None
    code, signal = (None, None) if status is None else split_exit_status(status)
    begun = state not in _WAITING_PHASES and ran
    job = Job(
        cluster=cluster,
        job_id=identity.job_id,
        array_job_id=identity.array_job_id,
        array_index=identity.array_index,
        state=state,
        outcome=outcome,
        native_state=escape_text(native, limit=64),
        reason=_reason(state, comment, fields),
        owner=parse_owner(raw_of(_required(fields, "Job_Owner"))),
        account=text_of(fields.get("Account_Name", ""), limit=64) or None,
        queue=text_of(_required(fields, "queue"), limit=64),
        name=text_of(fields.get("Job_Name", ""), limit=256) or None,
        cores=asked.cores if held is None else held.cores,
        gpus=asked.gpus if held is None else held.gpus,
        gpu_type=asked.gpu_type if held is None else held.gpu_type or (asked.gpu_type if held.gpus else None),
        memory_bytes=_memory(held, asked),
        nodes=() if held is None else held.nodes,
        submitted_at=moments.get("ctime"),
        started_at=moments.get("stime") if begun else None,
        ended_at=((moments.get("obittime") if begun else None) or history_at) if outcome is not None else None,
        wall_seconds=_seconds(fields) if begun else None,
        walltime_limit_seconds=_seconds(listed),
        exit_code=code,
        exit_signal=signal,
        restarts=_restarts(fields, begun=begun),
    )
    if "ctime" not in moments:
        raise ValueError("no ctime")
    validate_job(job)
    past = [moment for moment in moments.values() if moment is not None]
    changed = moments.get("mtime")
    return JobRead(
        job=job,
        known=known,
        parent=_parent(identity, fields),
        latest_at=max(past) if past else None,
        zone_wrong=changed is not None and history_at is not None and changed < history_at - SLACK_MS,
        history_at=history_at,
        vouched="=" in fields.get("exec_vnode", ""),
    )


_PAST = ("ctime", "mtime", "qtime", "etime", "stime", "obittime")


def _required(fields: Attributes, key: str) -> str:
    value = fields.get(key)
    if not value or not raw_of(value):
        raise ValueError(f"no {key}")
    return value


def _state(native: str, status: int | None, fields: Attributes, comment: str) -> tuple[JobState, Outcome | None, bool]:
    if native in ENDED:
        deleted = was_deleted(substate=raw_of(fields.get("substate", "")), comment=comment)
        outcome = outcome_of(status, deleted=deleted)
        return (JobState.DONE if outcome is Outcome.COMPLETED else JobState.FAILED), outcome, True
    if native == BEGUN:
        return JobState.QUEUED, None, True
    state = STATES.get(native)
    return (JobState.UNDETERMINED, None, False) if state is None else (state, None, True)


def _last_status(native: str, identity: PbsJobId, fields: Attributes) -> int | None:
    """The Exit_status of the run that ended; None if none did.

    A job that went back to the queue and was deleted there has no exec_vnode, and its status is that of the run before. Releases before
    20 print members of arrays that are over without exec_vnode, though with their own status.
    """
    if "Exit_status" not in fields:
        return None
    text = raw_of(fields["Exit_status"])
    if not _EXIT_STATUS.match(text):
        raise ValueError(f"{text[:40]!r} is not an exit status")
    if "exec_vnode" not in fields and (int(text) < 0 or (native != "X" and identity.array_index is None)):
        return None
    return int(text)


def _reason(state: JobState, comment: str, fields: Attributes) -> str | None:
    """The server's comment; that a job was started says nothing, and a held one without a comment has its kinds of hold."""
    if state in (JobState.RUNNING, JobState.SUSPENDED) and comment.startswith("Job run at "):
        return None
    if state in _WAITING_PHASES and comment.startswith(("Job run at ", "Job Array Began at ")):
        return None
    if not comment and state is JobState.QUEUED_HELD and fields.get("Hold_Types"):
        return escape_text(f"Hold_Types={raw_of(fields['Hold_Types'])}", limit=64)
    return comment or None


def _memory(held: Resources | None, asked: Resources) -> int | None:
    return asked.memory_bytes if held is None or held.memory_bytes is None else held.memory_bytes


def _seconds(fields: Attributes) -> int | None:
    text = raw_of(fields.get("walltime", ""))
    return parse_seconds(text) if text else None


def _restarts(fields: Attributes, *, begun: bool) -> int:
    count = parse_number(raw_of(fields["run_count"])) if fields.get("run_count") else 0
    return max(count - 1, 0) if begun else count


def _parent(identity: PbsJobId, fields: Attributes) -> ArrayParent | None:
    if identity.array_job_id is None or identity.array_index is not None:
        return None
    counts = {word: int(number) for word, number in _COUNTED.findall(raw_of(fields.get("array_state_count", "")))}
    remaining = raw_of(fields.get("array_indices_remaining", ""))
    waiting = counts.get("Queued")
    if waiting is None and remaining:
        waiting = 0 if remaining == "-" else count_tasks(remaining)
    begun = counts["Running"] + counts.get("Exiting", 0) if "Running" in counts else None
    return ArrayParent(waiting, begun)
