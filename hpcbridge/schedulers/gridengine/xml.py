# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The XML that Grid Engine prints, read by regions of bytes. No XML parser sees it: control and Latin-1 bytes of a stranger's text make
the document ill-formed, and declarations could make a parser expand or fetch things.

It is a small XML: elements that hold text or elements, never both, no comments, no CDATA. Anything else rejects the whole report, and so
does an element that is not closed: a document that was cut off says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import escape_text

Leaf = tuple[bytes, str, bytes]
"""Name of an element, its attribute `name`, and its text as printed."""

_PROLOG = re.compile(rb"\s*(?:<\?xml [^<>]*\?>)?\s*<([A-Za-z_]+)[^<>]*>")
_LEAF = re.compile(rb"""<([A-Za-z_][\w.-]*)((?:\s+[\w:.-]+=(?:"[^"<]*"|'[^'<]*'))*)\s*(/>|>([^<]*)</\1\s*>)""")
_NAME = re.compile(rb"""\sname=(?:"([^"]*)"|'([^']*)')""")
_TAG = re.compile(rb"""\s*<(/?)([A-Za-z_][\w.-]*)((?:\s+[\w:.-]+=(?:"[^"<]*"|'[^'<]*'))*)\s*(/?)>([^<]*)""")


def body_of(data: bytes, root: str) -> tuple[int, int]:
    """Where the content of the one element `root` begins and ends; ReportUnreadable for anything else than such a document."""
    start = _PROLOG.match(data)
    if not start:
        raise ReportUnreadable("no XML document", line_number=1, line=first_line(data))
    if start.group(1).decode() != root:
        raise ReportUnreadable(f"the document is no <{root}>", line_number=1, line=first_line(data))
    closing = f"</{root}>".encode()
    end = data.rfind(closing)
    if end < start.end() or data[end + len(closing) :].strip(b"\0 \t\r\n"):
        raise ReportUnreadable("the document is cut off", line_number=line_of(data, len(data)), line=last_line(data))
    declared = data.find(b"<!")
    if declared >= 0 or data.find(b"<?", start.end()) >= 0:
        raise ReportUnreadable("declarations are not read", line_number=line_of(data, max(declared, 0)))
    return start.end(), end


def leaves_of(region: bytes) -> list[Leaf]:
    """The elements of a region that holds nothing but elements with text; ValueError for one that holds anything else."""
    leaves: list[Leaf] = []
    brackets = 0
    for name, attributes, rest, text in _LEAF.findall(region):
        leaves.append((name, _name_in(attributes) if attributes else "", text))
        brackets += 1 if rest == b"/>" else 2
    if region.count(b"<") != brackets:
        raise ValueError("markup inside a record")
    return leaves


def tags_of(data: bytes, start: int, end: int) -> Iterator[tuple[bool, bool, str, str, bytes, int]]:
    """Each tag between two places: whether it closes, whether it is empty, its name, its attribute `name`, the text after it, its place."""
    position = start
    while position < end:
        match = _TAG.match(data, position, end)
        if not match:
            if data[position:end].strip():
                raise ReportUnreadable("not the markup of a report", line_number=line_of(data, position))
            return
        closes, name, attributes, empty, text = match.groups()
        yield bool(closes), bool(empty), name.decode(), _name_in(attributes), text, match.start(2)
        position = match.end()


def line_of(data: bytes, position: int) -> int:
    """The number of the line a place is in."""
    return data.count(b"\n", 0, position) + 1


def first_line(data: bytes) -> str:
    """The first line as harmless text."""
    return escape_text(data[:400].partition(b"\n")[0].decode("utf-8", "surrogateescape"))


def last_line(data: bytes) -> str:
    """The last line as harmless text."""
    return escape_text(data[-400:].rstrip().rpartition(b"\n")[2].decode("utf-8", "surrogateescape"))


@lru_cache(maxsize=4096)
def _name_in(attributes: bytes) -> str:
    match = _NAME.search(attributes)
    return (match.group(1) or match.group(2) or b"").decode("utf-8", "surrogateescape") if match else ""
