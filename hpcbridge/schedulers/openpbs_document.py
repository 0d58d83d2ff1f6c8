# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""From the bytes of an OpenPBS report to its records: did the query succeed, where does each record begin and end, what stands in it.

The JSON of OpenPBS cannot be trusted to be JSON. Values that strtod(3) reads to their end are printed bare (`nan`, `inf`, `5.`, `-5`,
with white space around them as it came), a value that begins with a quote keeps it, and the *names* of environment variables
are printed as they are, quotes and newlines included. What can be relied on is the layout: one attribute per line, at an
indentation that says how deep it stands, and newlines in values escaped. So records are found by their indentation, attributes are
cast by who reads them, and `Variable_List`, where any user may write anything, is stepped over and never looked into. Newer releases
indent by tabs and escape properly; the indentation is taken from the second line, so both are read alike.

A variable's name may close its list and go on with attributes, even with whole records of other jobs. What can be known of that:
the server puts its own variables (`PBS_O_HOST`) last, so they stand outside of the list then; qstat ends the name at its first `=`,
so the text of a forged record holds none. Hence nothing escaped is accepted for a `=` (`exec_vnode` is read as printed), and
a job that runs or ran must have one.

A document that does not end with its last brace is rejected whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import Instant, escape_text, instant_from_seconds
from hpcbridge.schedulers.findings import failed
from hpcbridge.schedulers.pbs import MAX_SECONDS
from hpcbridge.schedulers.report import Report

Attributes = dict[str, str]

_INDENT = re.compile(rb"\{\n([ \t]{1,8})\"")
_TOP = re.compile(rb'"([A-Za-z_]{1,64})":[ \t]?(.*?),?\Z', re.DOTALL)
_RECORD_START = re.compile(rb'"([^"\n]{0,1024})":[ \t]?(\{\}?)')
_UNKNOWN_ID = re.compile(r"qstat: Unknown Job Id \S+\s*\Z")
_NO_LONGER_HERE = re.compile(r"qstat: \S+ Job (?:has finished|has been moved|moved)\b")
_JOB_ID = re.compile(r"\d{1,15}(?:\[\d{0,10}\])?(?:\.\S*)?\Z", re.ASCII)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})')
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEADER_SCAN = 65536


@dataclass(frozen=True, slots=True)
class Region:
    """One record as bytes: its name, and where it begins in the report. `line` counts from 1."""

    name: str
    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. `taken_at` is the client's own clock in seconds, the one time that is printed without a zone trap."""

    text: bytes
    unit: bytes
    taken_at: Instant | None
    version: str | None
    server: str | None
    start: int | None
    """Where the records begin; None where the section is not there."""



class LineNumbers:
    """Lines, from 1, of offsets that are asked for in rising order: each byte is counted once."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._offset, self._line = 0, 1

    def at(self, offset: int) -> int:
        """The line at `offset`."""
        self._line += self._text.count(b"\n", self._offset, offset)
        self._offset = offset
        return self._line


def check_answered(report: Report, *, asked_for_ids: bool) -> bool:
    """Raises ScriptFailed unless the query was answered; True if standard error speaks against taking an empty answer for a proof.

    qstat prints valid JSON without records when the server is down (exit 255), so its exit status decides. With ids, 153 says that some
    are not known and 35 that some have ended: the others are there. Exit status 0 with a message means that history is off.
    """
    complaints = [line for line in report.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    gone = [line for line in complaints if _NO_LONGER_HERE.match(line)]
    only_ids = bool(complaints) and all(_UNKNOWN_ID.match(line) or _NO_LONGER_HERE.match(line) for line in complaints)
    if report.exit_status != 0 and not (asked_for_ids and only_ids):
        raise failed(report)
    return bool(gone) or (bool(complaints) and not only_ids)


def names_ids(report: Report) -> bool:
    """True if the command asked for jobs by their ids."""
    return any(_JOB_ID.match(argument) for argument in report.argv[1:])


def open_document(report: Report, section: str) -> Document:
    """The document, if it is whole. Its records are those of `section`, which is left out where there are none."""
    text = report.stdout
    if text.startswith(b"{\r\n"):
        text = text.replace(b"\r\n", b"\n")  # a terminal put one before every line end; values have theirs escaped
    if not text[:64].strip() and not text.strip():
        if report.stderr.strip():
            raise failed(report)
        raise ReportUnreadable("nothing was printed, which does not prove that there is nothing")
    if not text.startswith(b"{"):
        raise ReportUnreadable("does not begin with a brace", line_number=1, line=_shown(text))
    if not text[-64:].rstrip().endswith(b"\n}"):
        number = text.count(b"\n") + 1
        raise ReportUnreadable("cut off: the last brace is not there", line_number=number, line=_shown(text.rsplit(b"\n", 1)[-1]))
    indent = _INDENT.match(text)
    if not indent:
        raise ReportUnreadable("the second line is no indented attribute", line_number=2, line=_shown(text[2:]))
    unit = indent.group(1)
    top, start = _top_level(text, unit, section.encode())
    return Document(
        text=text,
        unit=unit,
        taken_at=_seconds(top.get("timestamp")),
        version=_word(top.get("pbs_version")),
        server=_word(top.get("pbs_server")),
        start=start,
    )


def regions_of(document: Document) -> Iterator[Region]:
    """Every record, in the order of the report. Raises ReportUnreadable for text that is none."""
    if document.start is None:
        return
    text, unit = document.text, document.unit
    opening, closing = b"\n" + unit * 2 + b'"', b"\n" + unit * 2 + b"}"
    position = document.start
    while text.startswith(opening, position):
        start = _RECORD_START.match(text, position + len(opening) - 1)
        if not start:
            raise _misfit(document, position)
        name = start.group(1).decode("utf-8", "surrogateescape")
        if start.group(2) == b"{}":
            yield Region(name, position + 1, b"")
            after = start.end()
        else:
            end = text.find(closing, start.end())
            if end < 0:
                raise _misfit(document, position)
            yield Region(name, position + 1, text[start.end() : end])
            after = end + len(closing)
        more = text.startswith(b",", after)
        position = after + more
        if more is not text.startswith(opening, position):
            raise _misfit(document, position)
    if text[position : position + len(unit) + 64].split() != [b"}", b"}"]:
        raise _misfit(document, position)


JOB_ATTRIBUTES = (
    "Job_Name", "Job_Owner", "job_state", "queue", "Account_Name", "ctime", "mtime", "qtime", "etime", "stime", "obittime",
    "history_timestamp", "exec_vnode", "Hold_Types", "substate", "comment", "run_count", "Exit_status", "array_state_count",
    "array_indices_remaining", "Resource_List", "resources_used",
)  # fmt: skip
"""What is read of a job; anything else is stepped over."""


class RecordReader:
    """Reads records of one layout: attributes by their names, those of a group (`Resource_List`) by `group.name`."""

    def __init__(self, unit: bytes) -> None:
        deep = unit * 3
        at, inner = re.escape(deep.decode()), re.escape(unit.decode())
        self._attribute = re.compile(f'\n{at}({inner})?"([^"\n]{{0,256}})":[ \t]?([^\n]*)')
        self._wanted = re.compile(f'\n{at}"({"|".join(JOB_ATTRIBUTES)})":[ \t]?([^\n]*)')
        self._inner = re.compile(f'\n{at}{inner}"([^"\n]{{0,256}})":[ \t]?([^\n]*)')
        self._listed = f'\n{deep.decode()}"Resource_List":'
        self._used_words = f'\n{deep.decode()}"resources_used":'
        self._closing = f"\n{deep.decode()}}}"
        self._groups: dict[str, Attributes] = {}
        self._list = b"\n" + deep + b'"Variable_List":'
        self._group_end = b"\n" + deep + b"}"
        self._used = b"\n" + deep + b'"resources_used":'
        self._changed = b"\n" + deep + b'"mtime":'
        self._servers_own = b"\n" + deep + unit + b'"PBS_O_'

    def read(self, body: bytes) -> Attributes:
        """The attributes as printed. Raises ValueError for an attribute that stands twice: one may be forged."""
        found: Attributes = {}
        group = ""
        for inner, name, value in self._attribute.findall(self._without_variables(body)):
            if not inner:
                key = name
                group = key + "." if value in _OPENING else ""
            elif group:
                key = group + name
            else:
                continue
            if key in found:
                raise ValueError(f"{escape_text(key, limit=64)} stands twice")
            found[key] = value
        return found

    def read_job(self, body: bytes) -> tuple[Attributes, Attributes]:
        """Of a job, the attributes named JOB_ATTRIBUTES, as printed, and its Resource_List, raw. Raises ValueError as `read` does."""
        text = self._without_variables(body)
        found, fields = self._wanted.findall(text), dict[str, str]()
        fields.update(found)
        if len(fields) < len(found):
            raise ValueError("an attribute stands twice")
        fields["walltime"] = self._group(text, self._used_words).get("walltime", "")
        return fields, self._group(text, self._listed)

    def _group(self, text: str, opening: str) -> Attributes:
        """The values of a group, raw. Many jobs ask for the same, so a group that was read in this report is not read again."""
        start = text.find(opening)
        if start < 0:
            return {}
        region = text[start : text.find(self._closing, start)]
        known = self._groups.get(region)
        if known is not None:
            return known
        found = self._inner.findall(region)
        fields = {name: raw_of(value) for name, value in found}
        if len(fields) < len(found):
            raise ValueError("a resource stands twice")
        self._groups[region] = fields
        return fields

    def _without_variables(self, body: bytes) -> str:
        start = body.find(self._list)
        if start >= 0:
            end = body.find(self._group_end, start)
            tail = body[end:]
            if end < 0 or self._servers_own in tail or self._list in tail:
                raise ValueError("Variable_List has no end, or was closed by a variable's name")
            body = body[:start] + tail
        return body.decode("utf-8", "surrogateescape")

    def fingerprint(self, body: bytes) -> tuple[bytes, str]:
        """What tells a record from the same one a poll ago, and its mtime: all of it but mtime and what a running job has used so far."""
        used = body.find(self._used)
        after_used = body.find(self._group_end, used) if used >= 0 else -1
        if after_used < 0:
            used = after_used = 0
        changed = body.find(self._changed, after_used)
        after_changed = body.find(b"\n", changed + 1) if changed >= 0 else -1
        if after_changed < 0:
            changed = after_changed = len(body)
        digest = hashlib.blake2b(body[:used], digest_size=16)
        digest.update(body[after_used:changed])
        digest.update(body[after_changed:])
        value = body[changed + len(self._changed) : after_changed].decode("utf-8", "surrogateescape")
        return digest.digest(), raw_of(value.strip())


_OPENING = frozenset({"{", "["})


def has_items(body: bytes, name: str, unit: bytes) -> bool:
    """True if the array `name` of a record holds anything; newer releases print it in one line."""
    opening = b"\n" + unit * 3 + b'"' + name.encode() + b'":'
    start = body.find(opening)
    if start < 0:
        return False
    end = body.find(b"]", start)
    return b'"' in body[start + len(opening) : end if end >= 0 else len(body)]


def raw_of(value: str) -> str:
    """A value as it stands in its line, without the comma and the quotes around it: for everything that is not free text."""
    if value[-1:] == ",":
        value = value[:-1]
    return value[1:-1] if len(value) > 1 and value[0] == '"' == value[-1] else value


def text_of(value: str, *, limit: int) -> str:
    """Free text, harmless, with JSON's escapes undone; a backslash that escapes nothing stays.

    Newer releases print a text that is JSON itself as an object or a list; it goes on in other lines and is not put together again.
    """
    if value in _OPENING:
        return ""
    raw = raw_of(value)[: 6 * limit]
    return escape_text(_ESCAPE.sub(_unescaped, raw) if "\\" in raw else raw, limit=limit)


def _unescaped(match: re.Match[str]) -> str:
    word = match.group(1)
    if word.startswith("u"):
        return chr(int(word[1:], 16))
    return _ESCAPES.get(word, word)


def _top_level(text: bytes, unit: bytes, section: bytes) -> tuple[dict[str, bytes], int | None]:
    """What stands before the records, and where they begin. A section of another name means another query's report."""
    values: dict[str, bytes] = {}
    position, number = text.index(b"\n") + 1, 2
    while position < _HEADER_SCAN:
        end = text.find(b"\n", position)
        line = text[position : end if end >= 0 else len(text)].rstrip(b"\r")
        if end < 0 or line == b"}":
            return values, None
        match = _TOP.match(line[len(unit) :]) if line.startswith(unit + b'"') else None
        if not match:
            raise ReportUnreadable("not an attribute of the report", line_number=number, line=_shown(line))
        name, value = match.groups()
        if value in (b"{", b"{}", b"["):
            if name != section:
                raise ReportUnreadable(f"{name.decode()} in the place of {section.decode()}", line_number=number, line=_shown(line))
            return values, None if value == b"{}" else end
        values[name.decode()] = value
        position, number = end + 1, number + 1
    raise ReportUnreadable("no records after the head of the report", line_number=number)


def _misfit(document: Document, offset: int) -> ReportUnreadable:
    line = document.text[offset : offset + 200].lstrip(b"\r\n")
    return ReportUnreadable("neither a record nor the end", line_number=LineNumbers(document.text).at(offset) + 1, line=_shown(line))


def _seconds(value: bytes | None) -> Instant | None:
    if value is None or not value.isdigit() or len(value) > 12 or int(value) > MAX_SECONDS:
        return None
    return instant_from_seconds(int(value))


def _word(value: bytes | None) -> str | None:
    return None if value is None else text_of(value.decode("utf-8", "surrogateescape"), limit=64) or None


def _shown(text: bytes) -> str:
    return escape_text(text[:200].split(b"\n", 1)[0].decode("utf-8", "surrogateescape"))
