# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""From the bytes of an OpenPBS report to its records: did the query succeed, where does each record begin and end.

The JSON of OpenPBS cannot be trusted to be JSON. Values that strtod(3) reads to their end are printed bare (`nan`, `inf`, `5.`, `-5`,
with white space around them as it came), a value that begins with a quote keeps it, and the *names* of environment variables
are printed as they are, quotes and newlines included. What can be relied on is the layout: one attribute per line, at an
indentation that says how deep it stands, and newlines in values escaped. So records are found by their indentation. Newer releases
indent by tabs and escape properly; the indentation is taken from the second line, so both are read alike.

A document that does not end with its last brace is rejected whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import Instant, escape_text, instant_from_seconds
from hpcbridge.schedulers.findings import failed
from hpcbridge.schedulers.openpbs.attributes import text_of
from hpcbridge.schedulers.pbs import MAX_SECONDS
from hpcbridge.schedulers.report import Report

_INDENT = re.compile(rb"\{\n([ \t]{1,8})\"")
_TOP = re.compile(rb'"([A-Za-z_]{1,64})":[ \t]?(.*?),?\Z', re.DOTALL)
_RECORD_START = re.compile(rb'"([^"\n]{0,1024})":[ \t]?(\{\}?)')
_UNKNOWN_ID = re.compile(r"qstat: Unknown Job Id \S+\s*\Z")
_NO_LONGER_HERE = re.compile(r"qstat: \S+ Job (?:has finished|has been moved|moved)\b")
_JOB_ID = re.compile(r"\d{1,15}(?:\[\d{0,10}\])?(?:\.\S*)?\Z", re.ASCII)
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


def is_proven(document: Document, offset: int) -> bool:
    """True if no variable's name can have written the record at `offset`.

    Between the variables before it and its own stands a `=` in a line that no deeper one follows; see openpbs_attributes.
    """
    text, unit = document.text, document.unit
    variables = b"\n" + unit * 3 + b'"Variable_List":'
    before = text.rfind(variables, 0, offset)
    if before < 0:
        return True
    end = text.find(b"\n" + unit * 2 + b"}", offset)
    own = text.find(variables, offset, end)
    return re.search(rb"=[^\n]*\n(?!" + re.escape(unit * 4) + rb'")', text[before : own if own >= 0 else end]) is not None


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
