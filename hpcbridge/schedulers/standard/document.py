# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the records of a standard document, `{"jobs": [{…}, …]}`, in its bytes and reads each of them alone, as JSON and no more.

A report of 20,000 jobs is never held as a tree, a place in it has a line number, and one strange record is told from a damaged
document. What no generator of JSON prints (a byte order mark, NaN, text behind the end, a second object) rejects the whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import escape_text

MAX_RECORDS = 500_000
MAX_RECORD_BYTES = 1 << 20
MAX_NESTED = 1_000
"""So many records of a document may hold objects, which none should: to find the end of one takes long."""
_NESTED_BYTES = 1 << 16

Pairs = list[tuple[str, object]]
"""Keys and values in their order, repeated ones too."""

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_FLAT = re.compile(rb'\{(?:[^"{}\[\]]++|' + _STRING + rb'|\[(?:[^"{}\[\]]++|' + _STRING + rb")*+\])*+\}", re.DOTALL)
_BEGIN = re.compile(rb"[ \t\r\n]*+\{[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_NEXT_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")", re.DOTALL)
_TOKEN = re.compile(rb"(" + _STRING + rb")([ \t\r\n]*+:)?|(-?Infinity|NaN)", re.DOTALL)
_MARKS = {b"\xef\xbb\xbf": "a byte order mark", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_LONGEST_NUMBER = 20


class _Members(list[tuple[str, object]]):
    """What an object holds, which is no list."""

    __slots__ = ()


class Fraction(str):
    """A number with a fraction or an exponent, as it was written: no field holds one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a document: its bytes, and where they begin."""

    content: bytes
    offset: int


class Document:
    """One report. Lines are counted on demand, quickly as long as places are asked for in rising order."""

    def __init__(self, content: bytes, key: str) -> None:
        self._content = content
        self._key = key
        self._counted = 0
        self._line = 1
        self._nested_records = 0

    def records(self) -> Iterator[Record]:
        """The objects of the list; ReportUnreadable as soon as the document turns out not to be one."""
        position = self._skip(self._begin(b"[", "a list") + 1)
        count = 0
        while self._at(position) != b"]":
            record = self._record(position)
            yield record
            count += 1
            if count > MAX_RECORDS:
                raise self.unreadable(f"more than {MAX_RECORDS} records", position)
            position = self._skip(position + len(record.content))
            if self._at(position) == b",":
                position = self._skip(position + 1)
                if self._at(position) == b"]":
                    raise self.unreadable("a comma behind the last record", position)
            elif self._at(position) != b"]":
                raise self.unreadable("neither a comma nor the end of the list behind a record", position)
        self._end(position + 1)

    def only_record(self) -> Record:
        """The one object under the key."""
        record = self._record(self._begin(b"{", "an object"))
        self._end(record.offset + len(record.content))
        return record

    def pairs(self, record: Record) -> Pairs:
        """Keys and values of a record; ReportUnreadable if it is not JSON. Bytes that are not UTF-8 become surrogates."""
        text = record.content.decode("utf-8", "surrogateescape")
        try:
            pairs = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            offset = record.offset + len(text[: error.pos].encode("utf-8", "surrogateescape"))
            raise self.unreadable(f"not JSON: {error.msg}", offset) from error
        except _Constant as error:
            field, offset = _constant_in(record.content)
            raise self.unreadable(f"{field}: {error} is not JSON", record.offset + offset) from error
        except RecursionError as error:
            raise self.unreadable("nested too deeply", record.offset) from error
        return pairs if isinstance(pairs, _Members) else []

    def line_of(self, record: Record, field: str | None = None) -> int:
        """The line a record begins in, or that of its last key `field`."""
        return self.line_at(self.offset_of(record, field))

    def offset_of(self, record: Record, field: str | None) -> int:
        """Where a record begins, or its last key `field`."""
        offset = 0
        if field is not None:
            for match in _TOKEN.finditer(record.content):
                if match.group(2) and _text_of(match.group(1)) == field:
                    offset = match.start()
        return record.offset + offset

    def line_at(self, offset: int) -> int:
        """The number of the line that holds a place."""
        if offset < self._counted:
            self._counted, self._line = 0, 1
        self._line += self._content.count(b"\n", self._counted, offset)
        self._counted = offset
        return self._line

    def unreadable(self, reason: str, offset: int) -> ReportUnreadable:
        """The error for the whole document, with the line that shows it."""
        if offset >= len(self._content):
            reason = "the document ends too early: was it cut off?"
            offset = len(self._content.rstrip(b" \t\r\n"))
        start = max(self._content.rfind(b"\n", 0, offset) + 1, offset - 80)
        end = self._content.find(b"\n", offset)
        line = self._content[start : min(len(self._content) if end < 0 else end, start + 160)].decode("utf-8", "replace")
        return ReportUnreadable(reason, line_number=self.line_at(offset), line=escape_text(line))

    def _begin(self, opening: bytes, kind: str) -> int:
        content, wanted = self._content, f'{{"{self._key}": …}}'
        for mark, what in _MARKS.items():
            if content.startswith(mark):
                raise self.unreadable(f"begins with {what}: print UTF-8 without a mark", 0)
        first = self._skip(0)
        if first == len(content):
            raise ReportUnreadable(f'nothing was printed; the answer "there is none" is {{"{self._key}": {opening.decode()}…')
        if content[first : first + 1] != b"{":
            raise self.unreadable(f"not an object: it must be {wanted}", first)
        match = _BEGIN.match(content)
        if not match:
            after = self._skip(first + 1)
            raise self.unreadable(f"no key {self._key!r}: it must be {wanted}" if self._at(after) == b"}" else "not JSON", after)
        key = _text_of(match.group(1))
        if key != self._key:
            raise self.unreadable(f"{escape_text(key)[:40]!r} is not the key; it must be {wanted}", match.start(1))
        if self._at(match.end()) != opening:
            raise self.unreadable(f"{self._key}: must be {kind}", match.end())
        return match.end()

    def _end(self, position: int) -> None:
        position = self._skip(position)
        if self._at(position) == b",":
            match = _NEXT_KEY.match(self._content, position + 1)
            key = f"{escape_text(_text_of(match.group(1)))[:40]!r}: " if match else ""
            raise self.unreadable(f"{key}nothing may stand beside {self._key!r}", self._skip(position + 1))
        if self._at(position) != b"}":
            raise self.unreadable(f"the document does not end behind {self._key!r}", position)
        position = self._skip(position + 1)
        if position != len(self._content):
            raise self.unreadable("more text behind the end of the document", position)

    def _record(self, position: int) -> Record:
        if self._at(position) != b"{":
            raise self.unreadable(f"{self._key}: every record must be an object", position)
        match = _FLAT.match(self._content, position)
        if match and match.end() - position > MAX_RECORD_BYTES:
            raise self.unreadable(f"a record of more than {MAX_RECORD_BYTES} bytes", position)
        return Record(match.group() if match else self._nested(position), position)

    def _nested(self, position: int) -> bytes:
        """A record that holds an object or a list of lists; its fields are judged later, here only its end is looked for."""
        self._nested_records += 1
        if self._nested_records > MAX_NESTED:
            raise self.unreadable(f"more than {MAX_NESTED} records that hold an object", position)
        text = self._content[position : position + _NESTED_BYTES].decode("utf-8", "surrogateescape")
        try:
            _, end = json.JSONDecoder().raw_decode(text)
        except json.JSONDecodeError as error:
            if len(self._content) - position <= _NESTED_BYTES and "Unterminated string" in error.msg:
                raise self.unreadable("", len(self._content)) from error
            offset = position + len(text[: error.pos].encode("utf-8", "surrogateescape"))
            raise self.unreadable(f"not JSON: {error.msg}", offset) from error
        except (RecursionError, ValueError) as error:
            raise self.unreadable("nested too deeply, or a number without end", position) from error
        return text[:end].encode("utf-8", "surrogateescape")

    def _at(self, position: int) -> bytes:
        if position >= len(self._content):
            raise self.unreadable("", position)
        return self._content[position : position + 1]

    def _skip(self, position: int) -> int:
        match = _SPACE.match(self._content, position)
        return match.end() if match else position


class _Constant(ValueError):
    """NaN or an infinity, which Python's reader of JSON knows and JSON does not."""


def _refuse_constant(word: str) -> object:
    raise _Constant(word)


def _whole(digits: str) -> object:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else Fraction(digits[:_LONGEST_NUMBER] + "…")


_DECODER = json.JSONDecoder(object_pairs_hook=_Members, parse_float=Fraction, parse_int=_whole, parse_constant=_refuse_constant)


def _constant_in(content: bytes) -> tuple[str, int]:
    """The field whose value is NaN or an infinity, and where that stands."""
    field = ""
    for match in _TOKEN.finditer(content):
        if match.group(3):
            return field, match.start()
        if match.group(2):
            field = escape_text(_text_of(match.group(1)))[:40]
    return field, 0


def _text_of(string: bytes) -> str:
    """The text of a JSON string."""
    try:
        text = json.loads(string.decode("utf-8", "surrogateescape"))
    except ValueError:
        return string.decode("utf-8", "replace")
    return text if isinstance(text, str) else ""
