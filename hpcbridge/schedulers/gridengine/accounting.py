# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How a job of Grid Engine ended: `qacct -j`, which reads the accounting file and needs no qmaster.

The rule. qstat forgets a job the moment it is over; its record is in the accounting file some seconds later (`flush_time`, 15 s unless
the site says otherwise) and stays until the file is rotated. So an end is found after an outage of minutes and of days alike, as long as
the record is there, and a job that began and ended between two polls is found by nothing else and stays unknown.

* `failed` 0 with exit status 0 is COMPLETED. 37 is TIMEOUT, and so is 100 with 138: the soft limit sends USR1, which kills who ignores it.
  Any other failure is FAILED. 128 and a number up to 64 is a signal.
* 100 with 137 is FAILED by signal 9, unless the job was seen in a state with `d`: then it was deleted, CANCELLED (`refine`). Accounting
  cannot tell `qdel` from `kill -9`, except in Univa's releases, which print who deleted a job (`deleted_by`).
* Codes 1–11, 26–36 and 38 say that a start failed, 24 and 25 that the run goes on elsewhere (migrated, exit 99, `qmod -r`, a node given
  up): the job went back to the queue, so such a record is not an end. It counts as a restart where the job had run.
* Records of one submit time are runs of one job, in the order of the file. `exit 99` leaves the submit time as it was; `qmod -r` makes
  the time of the rescheduling the new one, and its record has no times at all: it belongs to the next record of the id. Any other submit
  time is another job that got the number again after 9,999,999. Without `accounting_summary` a parallel job has a record for each task of
  its slaves too: Univa names those tasks (`pe_taskid`), elsewhere the job's own is the one that began first and ended last. Where that
  cannot be told, the job is kept out, and so is one without slaves that ended twice.
* A job that was deleted while it waited has no record: CANCELLED (`unrecorded`) only if it was seen waiting in the last report and the
  accounting tells of later ends, else UNDETERMINED. A record that rotation took away is no proof of anything.

What can be forged. The accounting file is lines of text, and the value of a request (`qsub -l arch=…`) goes into it as it is: with a
newline anybody writes a whole record of anybody's job (recorded: 8.1.9/forged-record), and nothing in the file tells it from a true one.
So one record proves little, two that differ prove a forgery: the job is kept out and becomes UNDETERMINED. For that the true one must be
there: an end counts only `flush_time` after the job vanished (`settles_after_ms`). What remains: who deletes his job while it waits leaves
no true record, so a forged one stands alone; and in a parallel job with slaves a record that spans all others counts. Whoever makes
his own record unreadable makes his own end unknown: qacct says that it skips a line, and that is not the silence of a job without one.
Each id is asked for by itself, and its answer stands between two lines with a nonce: what comes out under it must be that job.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.jobs import Job, JobState, Outcome, validate_job
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.gridengine.states import AGAIN, end_of, exit_of
from hpcbridge.schedulers.gridengine.values import parse_limit, parse_number, parse_time, short_name, word_or_none

_RULE = re.compile(r"={20,}\s*\Z")
_BEGIN = re.compile(r"begin ([0-9a-f]{8}) (\S{1,128})\Z")
_FIELD = re.compile(r"([A-Za-z]\w{0,30})(?:\s+(.*))?\Z", re.ASCII | re.DOTALL)
_FAILED = re.compile(r"(\d{1,4})\s*(?::\s*(.*))?\Z", re.ASCII)
_EXIT = re.compile(r"(\d{1,6})(?:\s+\(.*\))?\Z", re.ASCII)
_WALL = re.compile(r"(\d{1,12})(?:\.\d{1,9})?s?\Z", re.ASCII)
_CATEGORY_LIMIT = re.compile(r"(?:\A|\s)-l (?:\S*,)?h_rt=([^,\s]{1,40})")
_NUMBER = re.compile(r"[1-9]\d{0,9}\Z", re.ASCII)
_ROW = re.compile(r"\S.*(?:\s+\d+(?:\.\d+)?){7}\s*\Z", re.ASCII)
_NEEDED = (
    "qname", "hostname", "owner", "jobname", "jobnumber", "taskid", "qsub_time", "start_time", "end_time", "slots", "failed", "exit_status",
    "maxvmem",
)  # fmt: skip
"""In their order. Nothing is read of `maxvmem`, but it stands near the end of a record in every version: what lacks it was cut off."""
_TOTAL, _LINES_OF_TOTAL = "Total System Usage", 5
"""What follows the records where all of them were asked for."""
_SUMMARY = re.compile(r"(?:[A-Z]+ {2,})+WALLCLOCK {2,}UTIME {2,}STIME {2,}CPU {2,}MEMORY {2,}IO {2,}IOW\Z")
_LINES_OF_SUMMARY = 1000
"""A table follows instead where a summary by owner, queue, host … was asked for too (-o, -q, -h)."""


@dataclass(frozen=True, slots=True)
class Block:
    """One record as printed: the line it begins at and its fields; `asked` is the id whose answer it is part of, None without a nonce."""

    line: int
    fields: Mapping[str, str]
    asked: str | None


def blocks_of(lines: Sequence[str]) -> Iterator[Block | tuple[int, str, str]]:
    """The records of a report, or line, reason and id of an answer that is kept out because one of its records is not whole.

    With a nonce one bad answer leaves the others alone. Without it nothing tells where a forgery ends: ReportUnreadable.
    """
    marked = _BEGIN.match(lines[0]) if lines else None
    if not marked:
        yield from _records(lines, 1, None)
        return
    nonce, number = marked.group(1), 0
    while number < len(lines):
        begin = _BEGIN.match(lines[number])
        if not begin or begin.group(1) != nonce:
            raise ReportUnreadable("no answer begins here", line_number=number + 1, line=escape_text(lines[number]))
        asked = begin.group(2)
        closing = re.compile(rf"end {nonce} {re.escape(asked)} \d{{1,3}}\Z")
        stop = next((at for at in range(number + 1, len(lines)) if closing.match(lines[at])), None)
        if stop is None:
            raise ReportUnreadable(f"the answer for {asked[:40]} is cut off", line_number=number + 1)
        try:
            yield from tuple(_records(lines[number + 1 : stop], number + 2, asked))
        except ReportUnreadable as error:
            yield error.line_number or number + 1, error.reason, asked
        number = stop + 1


def runs_from(cluster: str, blocks: Sequence[Block], zone: datetime.tzinfo) -> Job:
    """What became of one job, from its records of one submit time, in the order of the file."""
    own = [block for block in blocks if word_or_none(block.fields.get("pe_taskid", "").strip()) is None] or blocks
    jobs = [_job(cluster, block.fields, zone) for block in own]
    if len({(job.owner, job.name) for job in jobs}) > 1:
        raise ValueError("records of one job contradict each other")
    ended = [(block, job) for block, job in zip(own, jobs, strict=True) if job.state.ended]
    if any(block.fields != ended[0][0].fields and not (_has_slaves(block) and _has_slaves(ended[0][0])) for block, _ in ended):
        raise ValueError("a job without slaves ended twice: one of its records is forged")
    last = _last([job for _, job in ended]) or jobs[-1]
    again = sum(_code(block.fields)[0] in AGAIN for block in own)
    job = dataclasses.replace(last, restarts=again or None)
    validate_job(job)
    return job


def is_rescheduling(fields: Mapping[str, str], zone: datetime.tzinfo) -> bool:
    """True for the record of `qmod -r`, which has neither times nor the submit time of any run."""
    return _code(fields)[0] in AGAIN and submit_of(fields, zone) is None


def id_of(fields: Mapping[str, str]) -> str:
    """The id of the job a record is about."""
    number, task = fields["jobnumber"].strip(), fields["taskid"].strip()
    if not _NUMBER.match(number) or not (task == "undefined" or _NUMBER.match(task)):
        raise ValueError(f"{number[:20]!r}.{task[:20]!r} is not a job id")
    return number if task == "undefined" else f"{number}.{task}"


def end_time_of(fields: Mapping[str, str], zone: datetime.tzinfo) -> int | None:
    """When the run it tells of was over, whether the job ended by that or not."""
    return parse_time(fields["end_time"].strip(), zone)


def submit_of(fields: Mapping[str, str], zone: datetime.tzinfo) -> int | None:
    """When it was submitted."""
    return parse_time(fields["qsub_time"].strip(), zone)


def _records(lines: Sequence[str], first: int, asked: str | None) -> Iterator[Block]:
    fields: dict[str, str] = {}
    start = 0
    for number, line in enumerate(lines, first):
        if line.rstrip() == _TOTAL:
            if len(lines) + first - number > _LINES_OF_TOTAL:
                raise ReportUnreadable("more than the total after the records", line_number=number, line=line)
            break
        if _SUMMARY.match(line.rstrip()) and asked is None:
            _check_summary(lines[number - first + 1 :], number + 1)
            break
        if _RULE.match(line):
            if start:
                yield _whole(Block(start, fields, asked))
            start, fields = number, {}
            continue
        if not line.strip() and start:
            continue
        match = _FIELD.match(line)
        if not start or not match or match.group(1) in fields:
            raise ReportUnreadable("a line out of place in a record", line_number=number, line=escape_text(line))
        fields[match.group(1)] = (match.group(2) or "").rstrip()
    if start:
        yield _whole(Block(start, fields, asked))


def _check_summary(lines: Sequence[str], first: int) -> None:
    """A line under the heads of the columns, and then one for each owner and so on: nothing that looks like a field of a record."""
    rule, rows = lines[:1], lines[1:]
    if not (rule and _RULE.match(rule[0])) or len(rows) > _LINES_OF_SUMMARY or any(not _ROW.match(row) for row in rows):
        raise ReportUnreadable("more than a table after the records", line_number=first)


def _whole(block: Block) -> Block:
    """Fields have one order in every version: one that stands elsewhere was put there by somebody's value."""
    order = [key for key in block.fields if key in _NEEDED]
    if order != [*_NEEDED]:
        missing = [key for key in _NEEDED if key not in block.fields]
        raise ReportUnreadable(f"a record without {missing[0]}" if missing else "a record out of order", line_number=block.line)
    return block


def _code(fields: Mapping[str, str]) -> tuple[int, str | None]:
    match = _FAILED.match(fields["failed"].strip())
    if not match:
        raise ValueError(f"{fields['failed'][:40]!r} is not a code of failure")
    return int(match.group(1)), match.group(2)


def _job(cluster: str, fields: Mapping[str, str], zone: datetime.tzinfo) -> Job:
    failed, reason = _code(fields)
    exit_match = _EXIT.match(fields["exit_status"].strip())
    if not exit_match:
        raise ValueError(f"{fields['exit_status'][:40]!r} is not an exit status")
    exit_status = int(exit_match.group(1))
    end = end_of(failed, exit_status)
    if end and failed and end[1] is Outcome.FAILED and word_or_none(fields.get("deleted_by", "").strip()):
        end = JobState.FAILED, Outcome.CANCELLED
    code, signal = exit_of(failed, exit_status) if end else (None, None)
    number, task = fields["jobnumber"].strip(), fields["taskid"].strip()
    serial = fields.get("granted_pe", "").strip() in {"NONE", "none"}
    host = word_or_none(fields["hostname"].strip(), 255)
    started_at = parse_time(fields["start_time"].strip(), zone)
    limit = _CATEGORY_LIMIT.search(fields.get("category", ""))
    return Job(
        cluster=cluster,
        job_id=id_of(fields),
        array_job_id=None if task == "undefined" else number,
        array_index=None if task == "undefined" else int(task),
        state=end[0] if end else JobState.UNDETERMINED,
        outcome=end[1] if end else None,
        native_state=f"{failed}/{exit_status}",
        reason=escape_text(reason) if reason else None,
        owner=word_or_none(fields["owner"].strip()),
        account=word_or_none(fields.get("project", "").strip()) or word_or_none(fields.get("account", "").strip()),
        queue=word_or_none(fields["qname"].strip()),
        name=escape_text(fields["jobname"]),
        cores=parse_number(fields["slots"].strip()) or None,
        nodes=(short_name(host),) if serial and host is not None else (),
        submitted_at=submit_of(fields, zone),
        started_at=started_at if end else None,
        ended_at=parse_time(fields["end_time"].strip(), zone) if end else None,
        wall_seconds=_wall(fields) if end and started_at is not None else None,
        walltime_limit_seconds=parse_limit(limit.group(1)) if limit else None,
        exit_code=code,
        exit_signal=signal,
    )


def _has_slaves(block: Block) -> bool:
    return word_or_none(block.fields.get("granted_pe", "").strip()) is not None


def _wall(fields: Mapping[str, str]) -> int | None:
    match = _WALL.match(fields.get("ru_wallclock", "").strip())
    return int(match.group(1)) if match else None


def _last(ends: Sequence[Job]) -> Job | None:
    """The record that speaks for the job: the only one; among those of a parallel job the one that spans all others."""
    if len(ends) < 2:
        return ends[0] if ends else None
    first = min(job.started_at or 0 for job in ends)
    final = max(job.ended_at or 0 for job in ends)
    whole = [job for job in ends if (job.started_at or 0) == first and (job.ended_at or 0) == final]
    if len({(job.outcome, job.native_state) for job in whole or ends}) != 1:
        raise ValueError("several records of one run, and none of them speaks for all")
    return (whole or list(ends))[-1]
