# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A host without a scheduler: one node, one queue `local`, and every session leader of a watched owner as one job. The door to psutil.

The job id is the number of the process; one that is given again is told apart by the time the process was created. A job ends when
its leader does, whatever it leaves behind. Nothing waits here, so no job is ever QUEUED. A session that begins and ends between two
polls is not seen, and of one that ended while nobody asked only the absence is known, which is no end. The kernel counts the time a
process was created from the boot: if the clock is set and this program restarted, sessions from before look like new ones. Nothing of
other owners, and no argument of any command, leaves this file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pwd
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from hpcbridge.errors import SchedulerError
from hpcbridge.model.quantities import Instant
from hpcbridge.schedulers.local.exits import Exit, Exits
from hpcbridge.schedulers.local.jobs import QUEUE, ZOMBIE, LocalJob, Stat, job_as_json, read_stat, zombie_status
from hpcbridge.schedulers.report import Report, Source
from hpcbridge.schedulers.standard.scheduler import StandardScheduler

LISTED_SECONDS = 600
"""So long an ended job stays in `jobs`; `ended` tells of it for longer."""
MAX_ENDED = 10_000
_CONFIG_STATUS = 78
_IO_STATUS = 70


class LocalScheduler(StandardScheduler):
    """Reads what LocalSource prints, which is the standard JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """A job that has not ended, and the handle on its process where there is one."""

    job: LocalJob
    handle: int | None


class LocalSource(Source):
    """Answers in place of scripts, in this process. Remembers the jobs it saw: ask often, and close it."""

    def __init__(self, *, owners: Sequence[str], clock: Callable[[], Instant]) -> None:
        self._owners = tuple(owners)
        self._clock = clock
        self._exits = Exits(clock)
        self._names: dict[int, str] = {}
        self._followed: dict[tuple[int, int], _Followed] = {}
        self._ended: dict[tuple[int, int], tuple[LocalJob, Instant]] = {}
        self._lock = threading.Lock()
        self._answers: Mapping[str, Callable[[Sequence[str]], Mapping[str, Any]]] = {
            "about": lambda _: self._about(),
            "jobs": lambda _: self._jobs(),
            "ended": self._ended_jobs,
            "nodes": lambda _: self._nodes(),
            "queues": lambda _: self._queues(),
        }

    def run(self, query: str, arguments: Sequence[str] = (), *, stopping: threading.Event | None = None) -> Report:
        """Answers from /proc; a failure to read it is a report with an exit status, as that of a script would be."""
        answer = self._answers.get(query)
        if answer is None:
            raise SchedulerError(f"{query[:40]!r} is no query of the local scheduler")
        if stopping is not None and stopping.is_set():
            raise SchedulerError(f"local {query}: stopped before it was over")
        argv = ("local", query, *arguments)
        try:
            with self._lock:
                stdout = json.dumps(answer(arguments)).encode() + b"\n"
        except _UnknownOwner as error:
            return Report(query, argv, _CONFIG_STATUS, b"", str(error).encode())
        except (OSError, psutil.Error) as error:
            return Report(query, argv, _IO_STATUS, b"", f"this host cannot be read: {error}".encode("utf-8", "replace"))
        return Report(query, argv, 0, stdout, b"")

    def close(self) -> None:
        """Ends the watching."""
        self._exits.close()

    def _about(self) -> Mapping[str, Any]:
        system = os.uname()
        return {
            "about": {
                "name": "local",
                "version": f"{system.sysname} {system.release}"[:64],
                "cluster_name": system.nodename,
                "min_job_age_seconds": LISTED_SECONDS,
                "accounting": True,
            }
        }

    def _nodes(self) -> Mapping[str, Any]:
        memory = psutil.virtual_memory()
        return {
            "nodes": [
                {
                    "name": os.uname().nodename,
                    "availability": "UP",
                    "queues": [QUEUE],
                    "cores_total": psutil.cpu_count(),
                    "memory_bytes_total": memory.total,
                    "memory_bytes_used": memory.total - memory.available,
                }
            ]
        }

    def _queues(self) -> Mapping[str, Any]:
        return {"queues": [{"name": QUEUE, "open": True, "nodes": [os.uname().nodename]}]}

    def _jobs(self) -> Mapping[str, Any]:
        """Jobs that live, then those that ended lately, unless their number belongs to a living one again."""
        self._look()
        now = self._clock()
        living = sorted((followed.job for followed in self._followed.values()), key=_order)
        taken = {job.pid for job in living}
        lately: dict[int, LocalJob] = {}
        for job, noticed_at in self._ended.values():
            if job.pid not in taken and abs(now - noticed_at) < LISTED_SECONDS * 1000:
                lately[job.pid] = job
        return {"jobs": [job_as_json(job, now=now) for job in (*living, *lately.values())]}

    def _ended_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Any]:
        now, asked = self._clock(), set(job_ids)
        return {"jobs": [job_as_json(job, now=now) for job, _ in self._ended.values() if str(job.pid) in asked]}

    def _look(self) -> None:
        """Follows what is new, and notes what ended."""
        self._resolve_owners()
        present: set[tuple[int, int]] = set()
        for stat in _session_leaders():
            followed = self._followed.get(stat.key)
            if stat.key in self._ended:
                continue
            uid = _real_uid(stat)
            if followed is None and uid in self._names:
                followed = self._follow(stat, owner=self._names[uid])
            if followed is None:
                continue
            present.add(stat.key)
            if uid in self._names:  # one that became another user's process is followed to its end, and nothing new is told of it
                job = dataclasses.replace(followed.job, command=stat.command, letter=stat.letter, cores=_bound_cores(stat))
            else:
                job = dataclasses.replace(followed.job, letter=stat.letter)
            self._followed[stat.key] = _Followed(job=job, handle=followed.handle)
            if stat.letter in ZOMBIE:
                self._end_zombie(stat)
        for key in [key for key in self._followed if key not in present]:
            self._end_gone(key)

    def _follow(self, stat: Stat, *, owner: str) -> _Followed | None:
        """Begins to follow a process; None if it was gone before it could be taken hold of."""
        handle = self._exits.watch(stat.pid)
        created = _created_at(stat.pid)
        again = read_stat(stat.pid)
        if created is None or again is None or again.key != stat.key:
            if handle is not None:
                self._exits.drop(handle)
            return None
        job = LocalJob(
            pid=stat.pid,
            owner=owner,
            command=stat.command,
            letter=stat.letter,
            cores=None,
            node=os.uname().nodename,
            started_at=created,
        )
        return _Followed(job=job, handle=handle)

    def _end_zombie(self, stat: Stat) -> None:
        """A zombie has ended when its status can be read; else its parent is waited for, who makes the kernel tell."""
        status = zombie_status(stat)
        if status is not None:
            seen = self._seen_exit(self._followed[stat.key].handle)
            self._end(stat.key, Exit(None if seen is None else seen.ended_at, status))

    def _end_gone(self, key: tuple[int, int]) -> None:
        """No session leader with this number and time is there: that is an end if the process itself is gone."""
        handle = self._followed[key].handle
        seen = self._seen_exit(handle)
        stat = read_stat(key[0])
        if stat is not None and stat.key == key and stat.letter not in ZOMBIE:
            return
        if seen is None and handle is not None and stat is not None and stat.key == key:
            return
        self._end(key, seen or Exit(None, None))

    def _seen_exit(self, handle: int | None) -> Exit | None:
        return None if handle is None else self._exits.look(handle)

    def _end(self, key: tuple[int, int], end: Exit) -> None:
        followed = self._followed.pop(key)
        if followed.handle is not None:
            self._exits.drop(followed.handle)
        self._ended[key] = dataclasses.replace(followed.job, exit=end), self._clock()
        while len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _resolve_owners(self) -> None:
        """An owner who was known once stays known: a directory service that does not answer ends no job."""
        known = set(self._names.values())
        for owner in self._owners:
            if owner not in known:
                try:
                    self._names.setdefault(pwd.getpwnam(owner).pw_uid, owner)
                except KeyError as error:
                    raise _UnknownOwner(f"owner {owner!r} is not known on this machine: see [scheduler] owners") from error


class _UnknownOwner(Exception):
    """A watched owner has no account, so nothing can be said of its jobs."""


def _session_leaders() -> Iterator[Stat]:
    """Every session leader but ourselves, of those that are shown to us (proc(5), hidepid)."""
    own = os.getpid()
    for pid in psutil.pids():
        with contextlib.suppress(PermissionError):
            stat = read_stat(pid)
            if stat is not None and stat.session == stat.pid != own:
                yield stat


def _real_uid(stat: Stat) -> int | None:
    try:
        return psutil.Process(stat.pid).uids().real
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _created_at(pid: int) -> Instant | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return round(psutil.Process(pid).create_time() * 1000)
    return None


def _bound_cores(stat: Stat) -> int | None:
    """The CPUs a process is bound to; None where it may use all of them, because then none is its own."""
    with contextlib.suppress(OSError, psutil.Error):
        bound = len(os.sched_getaffinity(stat.pid))
        return bound if bound < (psutil.cpu_count() or 0) else None
    return None


def _order(job: LocalJob) -> tuple[Instant, int]:
    return job.started_at, job.pid
