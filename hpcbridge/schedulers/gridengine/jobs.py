# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`qstat -xml` in all its variants, into parts of jobs and queue instances, and parts of one job into the standard schema.

A job stands once for each queue instance it holds slots in (-f), for each slot (-g t) or once (neither). What a variant does not print
is None: without -r there are no requests, without -f the nodes of a job with more than one slot are not known.

Figures. `cores` are slots. Memory is what is requested for a slot (h_vmem, else mem_free) times the slots. GPUs are the number requested:
a consumable counts it for each slot or once for the job, and only `qconf -sc` tells which (YES or JOB); where it is not known, the
number stands as it was asked for. A request without a complex that counts GPUs asks for none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.model.jobs import Job, JobState, Phase, validate_job
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.gridengine.states import job_state
from hpcbridge.schedulers.gridengine.values import (
    GPU_COMPLEXES,
    MEMORY_COMPLEXES,
    parse_limit,
    parse_memory,
    parse_number,
    parse_requested,
    plain_text,
    short_name,
    split_instance,
    word_or_none,
)
from hpcbridge.schedulers.gridengine.xml import leaves_of
from hpcbridge.schedulers.notation import count_tasks

_NUMBER = re.compile(r"[1-9]\d{0,9}\Z", re.ASCII)
_TASK = re.compile(r"[1-9]\d{0,9}\Z", re.ASCII)
_PLAIN_QUEUE = re.compile(r"[^*?\[\]!&|@\s]{1,64}\Z")
_PRIORITY = re.compile(rb"<JAT_prio>[0-9.]{1,20}</JAT_prio>")
_ATTRIBUTES = re.compile(rb"""\s+state=["'](\w{1,20})["']\s*>""")
_ONCE = frozenset(
    {
        b"JB_job_number", b"JB_name", b"JB_owner", b"state", b"JAT_start_time", b"JB_submission_time", b"slots", b"tasks",
        b"full_job_name", b"queue_name", b"JB_project", b"master", b"requested_pe", b"granted_pe",
    }
)  # fmt: skip

_OVER = "z"
_MAX_MEMBERS = 10_000

Counting = Mapping[str, str]
"""How consumables count, `YES` or `JOB`, by the name of the complex; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one element `job_list` says. `instance` is queue and host; `whole_nodes` False where the job may hold other nodes too;
    `one_slot` True where each slot has an element of its own.
    """

    number: str
    tasks: str | None
    letters: str
    owner: str | None
    project: str | None
    name: str | None
    slots: int
    instance: tuple[str, str] | None
    whole_nodes: bool
    one_slot: bool
    submitted: str
    started: str
    queues: tuple[str, ...]
    requested: bool
    gpus: tuple[tuple[str, int], ...]
    memory: tuple[str, int] | None
    limit_seconds: int | None

    @property
    def job_id(self) -> str:
        """As the user types it, and for a pending range as printed."""
        return self.number if self.tasks is None else f"{self.number}.{self.tasks}"


def fingerprint(region: bytes) -> bytes:
    """What recognises an element in the next report, without the priority, which changes while nothing happens."""
    return hashlib.blake2b(_PRIORITY.sub(b"", region, count=1), digest_size=16).digest()


def parts_from(region: bytes, instance: tuple[str, str] | None) -> tuple[Part, ...]:
    """One `job_list`, from after its name to before its end; `instance` is the queue instance it stands in.

    Members that are over (-s z) stand as a range although none of them waits: they come out one by one.
    """
    part = _part_from(region, instance)
    if _OVER not in part.letters or part.tasks is None:
        return (part,)
    if count_tasks(part.tasks) > _MAX_MEMBERS:
        raise ValueError(f"{part.tasks[:40]!r} are too many members to name")
    return tuple(dataclasses.replace(part, tasks=str(task)) for task in _tasks(part.tasks))


def _part_from(region: bytes, instance: tuple[str, str] | None) -> Part:
    opening = _ATTRIBUTES.match(region)
    if not opening:
        raise ValueError("a job_list without a state")
    texts: dict[bytes, str] = {}
    requests: dict[str, str] = {}
    queues: list[str] = []
    for key, name, raw in leaves_of(region[opening.end() :]):
        if key in _ONCE:
            if key in texts:
                raise ValueError(f"{key.decode()} stands twice")
            texts[key] = plain_text(raw)
        elif key == b"hard_request":
            requests[name] = plain_text(raw)
        elif key == b"hard_req_queue":
            queues.append(plain_text(raw))
    number, letters, tasks = texts.get(b"JB_job_number", ""), texts.get(b"state", ""), texts.get(b"tasks") or None
    if not _NUMBER.match(number):
        raise ValueError(f"{number[:40]!r} is not a job number")
    if not letters or b"slots" not in texts:
        raise ValueError(f"job {number} has no state or no slots")
    if instance is None and texts.get(b"queue_name"):
        instance = split_instance(texts[b"queue_name"])
        whole = b"master" in texts or parse_number(texts[b"slots"]) == 1
    else:
        whole = True
    return Part(
        number=number,
        tasks=tasks,
        letters=escape_text(letters, limit=64),
        owner=word_or_none(texts.get(b"JB_owner", "")),
        project=word_or_none(texts.get(b"JB_project", "")),
        name=_name(texts),
        slots=parse_number(texts[b"slots"]),
        instance=instance,
        whole_nodes=whole,
        one_slot=b"master" in texts,
        submitted=texts.get(b"JB_submission_time", ""),
        started=texts.get(b"JAT_start_time", ""),
        queues=tuple(queues),
        requested=b"full_job_name" in texts or bool(requests),
        gpus=tuple((name, parse_requested(requests[name])) for name in sorted(GPU_COMPLEXES & requests.keys())),
        memory=_memory(requests),
        limit_seconds=parse_limit(requests["h_rt"]) if "h_rt" in requests else None,
    )


def subject_of(region: bytes) -> str | None:
    """The id of a job whose record could not be read, where it says one."""
    number = re.search(rb"<JB_job_number>([1-9][0-9]{0,9})</JB_job_number>", region)
    tasks = re.search(rb"<tasks>([0-9:,-]{1,100})</tasks>", region)
    if not number:
        return None
    return number.group(1).decode() + (f".{tasks.group(1).decode()}" if tasks else "")


def job_from(
    cluster: str,
    parts: Sequence[Part],
    *,
    submitted_at: Instant | None,
    started_at: Instant | None,
    counting: Counting,
    members_alone: bool = False,
) -> tuple[Job, bool]:
    """One job of its parts, and whether its state is known. ValueError for parts that contradict each other.

    One member that waits is a range of one, except where all members stand alone (`members_alone`, -g d).
    """
    first = parts[0]
    if any((part.owner, part.name, part.started) != (first.owner, first.name, first.started) for part in parts):
        raise ValueError("parts of one job contradict each other")
    state, known = _state(parts)
    waits = state.phase is Phase.QUEUE or (state is JobState.UNDETERMINED and first.instance is None and _OVER not in first.letters)
    single = first.tasks is not None and bool(_TASK.match(first.tasks))
    is_range = first.tasks is not None and not (single and (members_alone or not waits))
    pending = count_tasks(first.tasks) if is_range and first.tasks is not None else None
    if is_range and not waits:
        raise ValueError(f"members {(first.tasks or '')[:40]!r} of one array run as one")
    slots = sum(part.slots for part in parts)
    letters = tuple(dict.fromkeys(part.letters for part in parts))
    job = Job(
        cluster=cluster,
        job_id=first.job_id,
        array_job_id=None if first.tasks is None else first.number,
        array_index=int(first.tasks) if first.tasks is not None and not is_range else None,
        array_pending=pending,
        state=state,
        native_state=",".join(letters)[:64],
        reason="error" if known and any("E" in part.letters for part in parts) else None,
        owner=first.owner,
        account=first.project,
        queue=_queue(parts, waits=waits),
        name=first.name,
        cores=slots,
        gpus=gpus_of(first, slots, counting),
        memory_bytes=_memory_of(first, slots, counting),
        nodes=() if waits or not all(part.whole_nodes for part in parts) else _nodes(parts),
        submitted_at=submitted_at,
        started_at=started_at,
        walltime_limit_seconds=first.limit_seconds,
    )
    validate_job(job)
    return job, known


def gpus_of(part: Part, slots: int, counting: Counting) -> int | None:
    """GPUs of a job with so many slots; None without requests."""
    if not part.requested:
        return None
    return sum(number * (slots if counting.get(name) == "YES" else 1) for name, number in part.gpus)


def _memory_of(part: Part, slots: int, counting: Counting) -> int | None:
    if part.memory is None:
        return None
    name, size = part.memory
    return size if counting.get(name) == "JOB" else size * slots


def _state(parts: Sequence[Part]) -> tuple[JobState, bool]:
    """A job is suspended when all its parts are: one whose queue instance is suspended on one node still runs on the others."""
    states = dict.fromkeys(job_state(part.letters) for part in parts)
    if len(states) == 1:
        return next(iter(states))
    if (JobState.RUNNING, True) in states and states.keys() <= {(JobState.RUNNING, True), (JobState.SUSPENDED, True)}:
        return JobState.RUNNING, True
    raise ValueError("states of one job contradict each other")


def _queue(parts: Sequence[Part], *, waits: bool) -> str | None:
    """The queues it holds slots in; while it waits those it asked for by name. Without such a wish it may start in any: None."""
    if not waits:
        names = [part.instance[0] for part in parts if part.instance is not None]
    elif all(_PLAIN_QUEUE.match(queue.partition("@")[0]) for queue in parts[0].queues):
        names = [escape_text(queue.partition("@")[0], limit=64) for queue in parts[0].queues]
    else:
        names = []
    text = ",".join(dict.fromkeys(names))
    return text if text and len(text) <= 64 else None


def _nodes(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(short_name(part.instance[1]) for part in parts if part.instance is not None))


def _tasks(text: str) -> Iterator[int]:
    for item in text.split(","):
        ends, _, step = item.partition(":")
        low, _, high = ends.partition("-")
        yield from range(int(low), int(high or low) + 1, int(step or 1))


def _name(texts: Mapping[bytes, str]) -> str | None:
    """In full where -r prints it; the short form ends after ten characters in some versions."""
    text = texts.get(b"full_job_name", texts.get(b"JB_name"))
    return None if text is None else escape_text(text)


def _memory(requests: Mapping[str, str]) -> tuple[str, int] | None:
    for name in MEMORY_COMPLEXES:
        size = parse_memory(requests[name]) if name in requests else None
        if size is not None:
            return name, size
    return None
