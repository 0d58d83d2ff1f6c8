# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Which column of a squeue or sacct report is which: the header says it by name, the recorded command by what it asked for.

A site may ask for other columns than our scripts do, in another order; what it does not ask for is unknown. What a user writes may
hold `|` and newlines and so pretend to be columns: it is read in the last column only, and a report with a text of a user anywhere
else is refused. So is one that lacks a column that was asked for: squeue leaves a field it does not know out, with exit status 0.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.findings import stderr_of
from hpcbridge.schedulers.report import Report
from hpcbridge.schedulers.slurm.asked import SQUEUE_FIELDS, asked_of_sacct, asked_of_squeue, fields_of_squeue, widths_of_squeue
from hpcbridge.schedulers.slurm.lines import complains

Cells = Sequence[str | None]
"""The columns of one record in the order of our own list; None where the report has no such column."""

SQUEUE_HEADER = (
    "JOBID", "JOBID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "HET_JOB_ID", "HET_JOB_OFFSET", "USER", "ACCOUNT", "PARTITION", "STATE",
    "REASON", "SUBMIT_TIME", "ELIGIBLE_TIME", "START_TIME", "END_TIME", "TIME_LIMIT", "CPUS", "NODES", "NODELIST", "TRES_ALLOC",
    "TRES_PER_NODE", "TRES_PER_JOB", "TRES_PER_TASK", "MIN_MEMORY", "EXIT_CODE", "REQUEUE", "RESTART_COUNT", "NAME",
)  # fmt: skip
"""Columns after the nonce, as 22.05, 24.11 and 26.05 print them for SQUEUE_FIELDS."""

SACCT_HEADER = (
    "JobID", "JobIDRaw", "State", "ExitCode", "DerivedExitCode", "Reason", "Submit", "Eligible", "Start", "End", "ElapsedRaw",
    "Suspended", "TimelimitRaw", "CPUTimeRAW", "AllocCPUS", "AllocNodes", "AllocTRES", "ReqTRES", "NodeList", "User", "Account",
    "Partition", "JobName",
)  # fmt: skip
"""Columns of `ended`."""

_SQUEUE_PLAIN = frozenset(SQUEUE_HEADER) - {"NAME"} | {
    "ACCRUE_TIME", "ALLOC_SID", "ASSOC_ID", "BATCH_FLAG", "BATCH_HOST", "BOARDS_PER_NODE", "CLUSTER", "CONTIGUOUS", "CORES_PER_SOCKET",
    "CORE_SPEC", "CPUS_PER_TASK", "DEADLINE", "DELAY_BOOT", "DEPENDENCY", "DERIVED_EC", "EXC_NODES", "EXEC_HOST", "GROUP",
    "HET_JOB_ID_SET", "LAST_SCHED_EVAL", "MAX_CPUS", "MAX_NODES", "MIN_CPUS", "MIN_TMP_DISK", "NICE", "NODELIST(REASON)",
    "NTASKS_PER_BOARD", "NTASKS_PER_CORE", "NTASKS_PER_NODE", "NTASKS_PER_SOCKET", "OVER_SUBSCRIBE", "PENDING_TIME", "PREEMPT_TIME",
    "PRIORITY", "PROFILE", "QOS", "REBOOT", "REQ_NODES", "REQ_SWITCH", "RESERVATION", "RESIZE_TIME", "S:C:T", "SCHEDNODES", "SHARED",
    "SLUID", "SOCKETS_PER_NODE", "ST", "TASKS", "THREADS_PER_CORE", "TIME", "TIME_LEFT", "WAIT4SWITCH",
}  # fmt: skip
"""Headers of squeue -O (src/squeue/print.c) whose values are figures, words of Slurm, or names that only an administrator makes."""

_SACCT_PLAIN = frozenset(SACCT_HEADER) - {"JobName"} | {
    "AssocID", "Cluster", "ConsumedEnergy", "ConsumedEnergyRaw", "CPUTime", "DBIndex", "Elapsed", "Exclusive", "FailedNode", "Flags",
    "GID", "Group", "Layout", "MaxRSS", "NCPUS", "NNodes", "NTasks", "OverSubscribe", "Planned", "PlannedCPU", "PlannedCPURAW", "Priority",
    "QOS", "QOSRAW", "ReqCPUS", "ReqMem", "ReqNodes", "Reservation", "ReservationId", "Restarts", "SegmentSize", "SLUID", "SystemCPU",
    "Timelimit", "TotalCPU", "UID", "UserCPU", "WCKeyID",
}  # fmt: skip
_SACCT_TEXTS = frozenset({
    "AdminComment", "Comment", "Constraints", "Container", "Extra", "JobName", "Licenses", "McsLabel", "QOSREQ", "ReqReservation",
    "StdErr", "StdIn", "StdOut", "SubmitLine", "SystemComment", "WCKey", "WorkDir",
})  # fmt: skip
"""Columns of sacct that hold what a user or an administrator wrote."""

_SQUEUE_START = re.compile(r"([A-Z][A-Z_]{0,30})\|([0-9A-Za-z]{8,64})\|")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each column of our own list stands in a record of one report. Equal layouts read equal records alike."""

    separator: str
    width: int
    """Columns of a record."""
    places: tuple[int, ...]
    """By the order of our own list; `width` stands for a column the report does not have."""
    open_ended: bool
    """The last column holds what a user wrote: separators and newlines in it mean nothing."""
    trailing: bool
    """A separator stands behind the last column too."""
    timed: bool = False
    """The elapsed time stands before the record, not in it."""
    time_place: int | None = None
    """Where the elapsed time stands in the record."""

    def reader(self) -> Callable[[str], Cells]:
        """The function that splits one record; it raises ValueError for one that does not have the columns of the header."""
        if self.places == tuple(range(self.width)):
            return self._split
        pick = itemgetter(*self.places)

        def read(record: str) -> Cells:
            cells: tuple[str | None, ...] = pick([*self._split(record), None])
            return cells

        return read

    def elapsed(self, record: str) -> str:
        """The elapsed time from within a record, empty where it is not there."""
        cells = record.split(self.separator, self.time_place + 1) if self.time_place is not None else []
        return cells[self.time_place] if self.time_place is not None and len(cells) > self.time_place else ""

    def has(self, column: int) -> bool:
        """True if the report has the column of our own list with this number."""
        return self.places[column] < self.width

    def subject(self, record: str) -> str:
        """The job id of a record that could not be read, empty if it does not reach that far."""
        cells = record.split(self.separator, self.places[0] + 1)
        return cells[self.places[0]] if len(cells) > self.places[0] else ""

    def fits(self, record: str) -> bool:
        """False for a record with other columns than the header's."""
        columns = record.count(self.separator) + (not self.trailing)
        return columns >= self.width if self.open_ended else columns == self.width

    def _split(self, record: str) -> list[str]:
        if self.trailing:
            if not record.endswith(self.separator):
                raise ValueError("no separator behind the last column")
            record = record[: -len(self.separator)]
        # a nonce between the columns stands in no text of a user, so one too many of it is damage
        cells = record.split(self.separator, self.width - 1 if self.open_ended and self.separator == "|" else -1)
        if len(cells) != self.width:
            raise ValueError(f"{len(cells)} columns instead of {self.width}")
        if not self.open_ended and "\n" in record:
            raise ValueError("a line that belongs to no record follows")
        return cells


def squeue_layout(report: Report, header: str) -> tuple[Layout, str]:
    """From the header line, with its nonce. JOBID is the id as typed or the raw one: what the command asked for says which, else our order.

    The nonce stands behind the first column, or behind every one; the first one is the elapsed time in our scripts.
    """
    start = _SQUEUE_START.match(header)
    if not start or start.group(2) in _SQUEUE_PLAIN:
        why = f": {stderr_of(report).splitlines()[0]}" if complains(report) else ""
        raise ReportUnreadable(f"no nonce follows the first column{why}", line_number=1, line=escape_text(header))
    first, nonce = start.groups()
    timed = first == "TIME"
    between = f"|{nonce}|"
    separator = between if header.count(between) > 1 and header.count("|") == 2 * header.count(between) else "|"
    names, trailing = _without_trailing([*([] if timed else [first]), *header.partition(between)[2].split(separator)])
    _check_names(report, names)
    if cut := widths_of_squeue(report.argv):
        raise _unreadable(report, names, f"a width may have cut what it holds: {escape_text(', '.join(cut))}")
    asked = _asked_columns(report, names, timed=timed)
    places = _places_of_squeue(report, names, asked)
    for name in names[:-1]:
        if name not in _SQUEUE_PLAIN:
            raise _unreadable(report, names, f"column {escape_text(name, limit=40)} may hold text of a user and is not the last one")
    for column, field in ((0, "JobArrayID"), (SQUEUE_FIELDS.index("state"), "State")):
        if column not in places:
            raise _unreadable(report, names, f"no column {field}, which every record needs")
    layout = _layout(separator, names, places, len(SQUEUE_HEADER), open_ended=names[-1] not in _SQUEUE_PLAIN, trailing=trailing)
    return dataclasses.replace(layout, timed=timed, time_place=names.index("TIME") if "TIME" in names else None), nonce


def header_unprinted(report: Report) -> str | None:
    """The header that squeue leaves out with -h, from what the command asked for; None where it was printed or the command does not say.

    A field that squeue does not know has no column and a complaint on standard error, which refuses the report.
    """
    fields = fields_of_squeue(report.argv)
    if not fields or not {"-h", "--noheader"} & {*report.argv} or complains(report):
        return None
    headers = {**dict(zip(SQUEUE_FIELDS, SQUEUE_HEADER, strict=True)), "timeused": "TIME"}
    return "".join(headers.get(field, "OTHER") + suffix for field, suffix in fields)


def sacct_layout(report: Report, header: str) -> Layout:
    """From the header line of `ended`, with the nonce between its names; without one only where no column holds text of a user."""
    separator = f"|{nonce}|" if (nonce := _nonce_of(header)) else "|"
    names, trailing = _without_trailing(header.split(separator))
    _check_names(report, names)
    asked = asked_of_sacct(report.argv)
    lacking = [field for field in asked if not any(name.lower().startswith(field) for name in names)]
    if lacking:
        raise _unreadable(report, names, f"lacks what was asked for: {escape_text(', '.join(lacking))}")
    places: dict[int, int] = {}
    for place, name in enumerate(names):
        last = place == len(names) - 1
        if name not in _SACCT_PLAIN and not (nonce and place and (last or name not in _SACCT_TEXTS)):
            where = "is not the last one" if nonce and not last else "no nonce stands between the columns"
            raise _unreadable(report, names, f"column {escape_text(name, limit=40)} may hold text of a user and {where}")
        column = "AllocCPUS" if name == "NCPUS" and "AllocCPUS" not in names else name
        if column in SACCT_HEADER and places.setdefault(SACCT_HEADER.index(column), place) != place:
            raise _unreadable(report, names, f"two columns {column}")
    for required in ("JobID", "State"):
        if SACCT_HEADER.index(required) not in places:
            raise _unreadable(report, names, f"no column {required}, which every record needs")
    return _layout(separator, names, places, len(SACCT_HEADER), open_ended=names[-1] not in _SACCT_PLAIN, trailing=trailing)


def _layout(separator: str, names: Sequence[str], places: Mapping[int, int], columns: int, *, open_ended: bool, trailing: bool) -> Layout:
    width = len(names)
    where = tuple(places.get(column, width) for column in range(columns))
    return Layout(separator, width, where, open_ended=open_ended, trailing=trailing)


def _places_of_squeue(report: Report, names: Sequence[str], asked: Sequence[str] | None) -> Mapping[int, int]:
    """Own column → place. The command names fields exactly; a header alone is read in the order of our own list."""
    places: dict[int, int] = {}
    for place, name in enumerate(names):
        if asked is not None:
            if asked[place] in SQUEUE_FIELDS:
                places.setdefault(SQUEUE_FIELDS.index(asked[place]), place)
        elif name in SQUEUE_HEADER:
            column = SQUEUE_HEADER.index(name)
            if name == "JOBID" and column in places:
                column += 1
            if column in places:
                raise _unreadable(report, names, f"too many columns {name}")
            places[column] = place
    return places


def _asked_columns(report: Report, names: Sequence[str], *, timed: bool) -> Sequence[str] | None:
    """The field that each column was asked for by, None where the command does not say. Raises, naming it, for a field without one."""
    asked = asked_of_squeue(report.argv, timed=timed)
    if asked is None:
        return None
    expected = [SQUEUE_HEADER[SQUEUE_FIELDS.index(field)] if field in SQUEUE_FIELDS else None for field in asked]
    rest = list(names)
    lacking = []
    for field, name in zip(asked, expected, strict=True):
        if name in rest:
            rest.remove(name)
        elif name is not None:
            lacking.append(field)
    if not lacking and len(names) < len(asked):
        lacking = [field for field in asked if field not in SQUEUE_FIELDS]
    if lacking:
        raise _unreadable(report, names, f"lacks what was asked for: {escape_text(', '.join(lacking))}")
    if len(names) != len(asked) or any(name not in (None, found) for name, found in zip(expected, names, strict=True)):
        return None
    return asked


def _check_names(report: Report, names: Sequence[str]) -> None:
    """Raises for names that no header has, and for a complaint beside other columns than ours: it may be why they are other ones."""
    if not names or any(not name or not is_printable(name) or " " in name or len(name) > 40 for name in names):
        raise _unreadable(report, names, "no header")
    if complains(report) and names not in (SQUEUE_HEADER, SACCT_HEADER):
        raise _unreadable(report, names, f"not the columns asked for: {stderr_of(report).splitlines()[0]}")


def _unreadable(report: Report, names: Sequence[str], why: str) -> ReportUnreadable:
    return ReportUnreadable(f"{report.query}: {why}", line_number=1, line=escape_text("|".join(names)))


def _without_trailing(header: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    trailing = len(header) > 1 and not header[-1]
    return tuple(header[:-1] if trailing else header), trailing


def _nonce_of(header: str) -> str | None:
    """The word between all names, unless it is a name itself: `JobID|JobIDRaw|State` has no nonce."""
    between = set(header.split("|")[1::2])
    word = between.pop() if len(between) == 1 and header.count("|") % 2 == 0 else ""
    if not (8 <= len(word) <= 64 and word.isalnum() and word.isascii()) or word in _SACCT_PLAIN | _SACCT_TEXTS:
        return None
    return word
