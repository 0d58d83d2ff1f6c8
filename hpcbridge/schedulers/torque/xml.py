# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The XML that `qstat -x` and `pbsnodes -x` print, record by record, out of bytes that need not be well-formed.

TORQUE escapes `<`, `>`, `&` and `"` in values, so a `<` is always the scheduler's own; control and Latin-1 bytes pass raw
(recorded: 6.1.3/hostile), which no XML parser takes. So this one looks only for tags. There are no document types, no entities but the
five and numeric ones, no attributes and no comments: what needs them is damage. A record that is not made as TORQUE makes them raises
ValueError and harms only itself; text between two records, or an end that is missing, makes the whole document unreadable. Variable
lists are thrown away unread: secrets and hostile values live there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import escape_text

_DEEPEST = 4
_VARIABLES = b"<Variable_List>"
_END_OF_VARIABLES = b"</Variable_List>"
_PROLOG = re.compile(rb"\s*(?:<\?xml[^<>]{0,200}\?>\s*)?(<Data>|<Data */>)")
_SPACE = re.compile(rb"\s*")
_GROUP = re.compile(r"<(Resource_List|resources_used|Walltime|req_information)>(.*?)</\1>", re.DOTALL)
_LEAF = re.compile(r"<([A-Za-z_][A-Za-z0-9_.-]*)>([^<]*)</\1>")
_TAG = re.compile(r"<(/?)([A-Za-z_][A-Za-z0-9_.-]{0,127})(/?)>([^<]*)")
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(lt|gt|amp|quot|apos));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


@dataclass(frozen=True, slots=True)
class Region:
    """The bytes between `<Job>` and its `</Job>`, and where they begin. One that holds another `<Job>` is refused by read_element."""

    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Element:
    """One record: its plain values, and groups of values such as `Resource_List`."""

    values: Mapping[str, str]
    groups: Mapping[str, Mapping[str, str]]

    def group(self, name: str) -> Mapping[str, str]:
        """The values of a group, none if it is not there."""
        return self.groups.get(name, _NOTHING)


_NOTHING: Mapping[str, str] = {}


def read_regions(document: bytes, tag: str) -> Iterator[Region]:
    """The records of one or several `<Data>` documents in their order.

    Raises ReportUnreadable where the document does not begin as one, is cut off, or holds anything between two records.
    """
    opening, closing = f"<{tag}>".encode(), f"</{tag}>".encode()
    position, end = _after_space(document, 0), len(document)
    while position < end:
        prolog = _PROLOG.match(document, position)
        if not prolog:
            raise _unreadable(document, position, "not a document of TORQUE")
        position = prolog.end()
        while prolog.group(1) == b"<Data>":
            position = _after_space(document, position)
            if document.startswith(b"</Data>", position):
                position += len(b"</Data>")
                break
            if not document.startswith(opening, position):
                raise _unreadable(document, position, "cut off" if position >= end else f"neither a {tag} nor the end of the document")
            start = position + len(opening)
            found = document.find(closing, start)
            if found < 0:
                raise _unreadable(document, position, "cut off in a record")
            if document.find(opening, start, found) >= 0:
                found = _balanced_end(document, start, opening=opening, closing=closing)
            yield Region(start, document[start:found])
            position = found + len(closing)
        position = _after_space(document, position)


def is_blank(document: bytes) -> bool:
    """True if nothing but white space was printed."""
    return _after_space(document, 0) == len(document)


def line_at(document: bytes, offset: int) -> int:
    """The number of the line, from 1, in which `offset` lies."""
    return document.count(b"\n", 0, offset) + 1


def without_variables(content: bytes) -> bytes:
    """`content` without its variable list; one whose text holds a tag is left, for read_element to refuse."""
    start = content.find(_VARIABLES)
    if start < 0:
        return content
    end = content.find(b"<", start + len(_VARIABLES))
    return content[:start] + content[end + len(_END_OF_VARIABLES) :] if content.startswith(_END_OF_VARIABLES, end) else content


def read_element(content: bytes) -> Element:
    """The values of one record without its variable list. ValueError for what TORQUE does not print, or a value that stands twice."""
    text = content.decode("utf-8", "surrogateescape")
    groups: dict[str, Mapping[str, str]] = {}
    rest: list[str] = []
    position = 0
    for match in _GROUP.finditer(text):
        rest.append(text[position : match.start()])
        position = match.end()
        values = _leaves(match.group(2))
        if values is None or match.group(1) in groups:
            return _read_nested(text)
        groups[match.group(1)] = values
    rest.append(text[position:])
    values = _leaves("".join(rest))
    return _read_nested(text) if values is None else Element(values, groups)


def _leaves(text: str) -> Mapping[str, str] | None:
    """Values of a text that holds nothing but elements without elements; None for any other."""
    pairs: list[tuple[str, str]] = _LEAF.findall(text)
    values = dict(pairs)
    touching = len(pairs) - 1 + list(values.values()).count("")
    if len(values) != len(pairs) or text.count("<") != 2 * len(pairs) or text.count("><") != touching:
        return None
    if "&" in text:
        for name, value in pairs:
            if "&" in value:
                values[name] = _unescaped(value)
    return values


def _read_nested(text: str) -> Element:
    """The same as read_element by following every tag: slower, and exact about what is wrong."""
    values: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    stack: list[str] = []
    position = 0
    for match in _TAG.finditer(text):
        if text[position : match.start()].strip():
            raise ValueError("text outside of an element")
        closes, name, empty, after = match.groups()
        position = match.end()
        if closes:
            if not stack or stack.pop() != name:
                raise ValueError(f"</{name[:40]}> closes nothing")
        elif name in {"Job", "Node", "Data"}:
            raise ValueError(f"a {name} inside of a record")
        else:
            _put(values, groups, stack, name, "" if empty else after)
            if not empty:
                stack.append(name)
                if len(stack) > _DEEPEST:
                    raise ValueError("elements too deep in each other")
                continue
        if after.strip():
            raise ValueError("text between elements")
    if stack or text[position:].strip():
        raise ValueError(f"<{stack[-1][:40]}> is not closed" if stack else "text outside of an element")
    return Element({name: value for name, value in values.items() if name not in groups}, groups)


def _put(values: dict[str, str], groups: dict[str, dict[str, str]], stack: list[str], name: str, text: str) -> None:
    if not stack:
        if name in values:
            raise ValueError(f"{name[:40]} stands twice")
        values[name] = _unescaped(text)
        return
    if values.get(stack[0], "").strip():
        raise ValueError(f"{stack[0][:40]} holds text and elements")
    group = groups.setdefault(stack[0], {})
    if len(stack) == 1:
        if name in group:
            raise ValueError(f"{name[:40]} stands twice")
        group[name] = _unescaped(text)


def _unescaped(text: str) -> str:
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else match.group(0)


def _after_space(document: bytes, position: int) -> int:
    found = _SPACE.match(document, position)
    return found.end() if found else position


def _balanced_end(document: bytes, start: int, *, opening: bytes, closing: bytes) -> int:
    depth, position = 1, start
    while True:
        end = document.find(closing, position)
        if end < 0:
            raise _unreadable(document, start, "cut off in a record")
        depth += document.count(opening, position, end) - 1
        if depth == 0:
            return end
        position = end + len(closing)


def _unreadable(document: bytes, offset: int, reason: str) -> ReportUnreadable:
    shown = document[offset : offset + 80].decode("utf-8", "surrogateescape")
    return ReportUnreadable(reason, line_number=line_at(document, offset), line=escape_text(shown))
