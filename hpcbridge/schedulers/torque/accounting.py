# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Ends out of TORQUE's accounting records, one line each: `date;type;job id;key=value …` (manual, "Accounting records").

A record E names the run (`ctime`), its start, its end and its exit status. Q, S, R, D and A only say what came before or between: S after
an E takes the end back, R (rerun) too. D or A of a job that waits, because it was queued (Q) and never started, or was rerun, is its
deletion. D of a job that runs is only a request: nothing is said before its E. Where the Q is older than the records at hand, an S may be
too, so a D then says nothing; a member of an array may share the Q of its parent (recorded: 4.2.10).

The date in front is local time of the server without a zone and is not read. Values go out raw, so a line may be forged by whoever gets a
newline into a request: what contradicts itself is not believed. Two different ends of one run, a key that stands twice and a line
that is cut off give no statement about the job.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hpcbridge.schedulers.pbs import PbsJobId, parse_job_id
from hpcbridge.schedulers.torque.jobs import JobRead, job_deleted_before_it_ran, job_from_accounting

_LINE = re.compile(r"\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2};([A-Z]);([^;]{1,300});(.*)\Z", re.ASCII | re.DOTALL)
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,80}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccountingRead:
    """What the records say of one job: its runs that ended, or why nothing is said."""

    line: int
    job_id: str
    read: JobRead | None
    error: ValueError | None = None


def is_accounting_line(line: str) -> bool:
    """True for a record; every other line continues the one before it."""
    return bool(_LINE.match(line))


def read_accounting(cluster: str, lines: Iterable[str], *, release: int | None) -> Iterator[AccountingRead]:
    """Ends of all jobs among the records, which must stand in the order they were written in."""
    lives: dict[str, _Life] = {}
    last: _Life | None = None
    for number, line in enumerate(lines, 1):
        match = _LINE.match(line)
        if not match:
            if last is not None and line.strip():
                last.doubt(ValueError("a record with a newline in it"), number)
            continue
        kind, job, text = match.groups()
        if kind not in "QSERDA":
            continue
        try:
            found = parse_job_id(job)
        except ValueError as error:
            yield AccountingRead(number, job, None, error)
            continue
        last = lives.setdefault(found.job_id, _Life(found))
        try:
            last.read(number, kind, text)
        except ValueError as error:
            last.doubt(error, number)
    for life in lives.values():
        if life.found.array_job_id is not None and life.found.array_index is None:
            continue  # the parent of an array never runs, and how its members ended is theirs to say
        parent = lives.get(f"{life.found.array_job_id}[]")
        yield from life.ends(cluster, release=release, was_queued=life.queued or (parent is not None and parent.queued))


@dataclass(slots=True)
class _Run:
    """One job between its creation and its end; `ctime` is what makes it this one."""

    ctime: str
    line: int
    restarts: int = 0
    waits: bool = False
    deleted: bool = False
    end: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Life:
    """All that accounting says of one id, in order; more than one run if the id was used again."""

    found: PbsJobId
    runs: dict[str, _Run] = field(default_factory=dict)
    current: _Run | None = None
    queued: bool = False
    deleted_at_line: int = 0
    used_again: bool = False
    error: ValueError | None = None
    error_line: int = 0

    def read(self, number: int, kind: str, text: str) -> None:
        """Takes one record."""
        if kind == "Q":
            self.used_again = self.used_again or bool(self.deleted_at_line) or bool(self.current and self.current.end is not None)
            self.queued = True
        elif kind in "SE":
            fields = _fields(text)
            run = self.runs.setdefault(fields.get("ctime", ""), _Run(fields.get("ctime", ""), number))
            self.current, run.line = run, number
            if kind == "S":
                run.end, run.waits = None, False
                return
            if run.end is not None and run.end != fields:
                raise ValueError("two different ends of one run")
            run.end = fields
        elif kind == "R" and self.current is not None:
            self.current.end, self.current.waits = None, True
            self.current.restarts += 1
        elif kind in "DA":
            if self.current is None:
                self.deleted_at_line = number
            elif self.current.waits and self.current.end is None:
                self.current.deleted, self.current.line = True, number

    def doubt(self, error: ValueError, number: int) -> None:
        """Remembers the first reason why nothing is believed about this id."""
        if self.error is None:
            self.error, self.error_line = error, number

    def ends(self, cluster: str, *, release: int | None, was_queued: bool) -> Iterator[AccountingRead]:
        """Every run that ended. A deletion without a run names no creation time, so it counts only for an id that was used once."""
        if self.error is not None:
            yield AccountingRead(self.error_line, self.found.job_id, None, self.error)
            return
        for run in self.runs.values():
            try:
                if run.end is not None:
                    read = job_from_accounting(cluster, self.found, run.end, release=release, restarts=run.restarts)
                elif run.deleted:
                    read = job_deleted_before_it_ran(cluster, self.found, ctime=run.ctime)
                else:
                    continue
                yield AccountingRead(run.line, self.found.job_id, read)
            except ValueError as error:
                yield AccountingRead(run.line, self.found.job_id, None, error)
        if self.deleted_at_line and was_queued and not self.runs and not self.used_again:
            yield AccountingRead(self.deleted_at_line, self.found.job_id, job_deleted_before_it_ran(cluster, self.found, ctime=None))


def _fields(text: str) -> Mapping[str, str]:
    """Values of `key=value key=value`; ValueError for a key that stands twice, as in a line with a forged part."""
    fields: dict[str, str] = {}
    for word in text.split(" "):
        key, equals, value = word.partition("=")
        if not equals or not _KEY.match(key):
            continue
        if key in fields:
            raise ValueError(f"{key} stands twice in one record")
        fields[key] = value
    return fields
