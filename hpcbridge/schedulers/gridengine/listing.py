# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The outline of `qstat -xml`: which job_list stands where, and what the queue instances (-f) say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.gridengine.values import parse_number, plain_text, split_instance
from hpcbridge.schedulers.gridengine.xml import body_of, line_of, tags_of

_OPEN, _CLOSE = b"<job_list", b"</job_list>"
_PLACES = {("queue_info",), ("queue_info", "Queue-List"), ("job_info",)}
_CONTAINERS = {(): ("queue_info", "job_info"), ("queue_info",): ("Queue-List",)}


@dataclass(frozen=True, slots=True)
class Instance:
    """A queue instance as qstat -f or qhost -q lists it: a queue on a host. None: not printed."""

    queue: str
    host: str
    slots: int | None
    used: int | None
    letters: str


@dataclass(frozen=True, slots=True)
class Element:
    """One job_list: where it begins, what it holds, and the queue instance it stands in."""

    position: int
    region: bytes
    instance: tuple[str, str] | None


class Listing:
    """Walks once through a document; afterwards `instances` holds what -f lists, None where it was not asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stack: tuple[str, ...] = ()
        self._seen: set[str] = set()
        self._instance: tuple[str, str] | None = None
        self._texts: dict[str, str] = {}
        self._leaf = ""
        self._found: list[Instance] = []
        self._names: set[tuple[str, str]] = set()

    @property
    def instances(self) -> tuple[Instance, ...] | None:
        """Queue instances in the order of the report."""
        return tuple(self._found) if "Queue-List" in self._seen else None

    def elements(self) -> Iterator[Element]:
        """Each job_list. ReportUnreadable where the document is not whole or not a list of jobs."""
        data = self._data
        position, end = body_of(data, "job_info")
        count = 0
        while True:
            opens = data.find(_OPEN, position, end)
            if opens < 0 or not data[position:opens].isspace():
                self._walk(position, opens if opens >= 0 else end)
            if opens < 0:
                break
            closes = data.find(_CLOSE, opens, end)
            begins = opens + len(_OPEN)
            if closes < 0 or data.find(_OPEN, begins, closes) >= 0 or self._leaf or self._stack not in _PLACES:
                raise ReportUnreadable("a job_list out of place or without its end", line_number=line_of(data, opens))
            yield Element(opens, data[begins:closes], self._place(opens))
            count += 1
            position = closes + len(_CLOSE)
        if self._stack or self._leaf:
            raise ReportUnreadable("the document is cut off", line_number=line_of(data, end))
        if not count and not {"queue_info", "job_info"} <= self._seen:
            raise ReportUnreadable("neither jobs nor their lists", line_number=1)

    def _walk(self, start: int, end: int) -> None:
        for closes, empty, name, _, text, position in tags_of(self._data, start, end):
            if closes:
                self._close(name, position)
            elif not empty:
                self._open(name, text, position)
            elif name in _CONTAINERS.get(self._stack, ()):
                self._seen.add(name)

    def _open(self, name: str, text: bytes, position: int) -> None:
        if self._leaf:
            raise self._misplaced(name, position)
        if name in _CONTAINERS.get(self._stack, ()):
            self._stack = (*self._stack, name)
            self._seen.add(name)
            self._texts, self._instance = {}, None
        elif self._stack == ("queue_info", "Queue-List"):
            self._leaf = name
            if name in {"name", "slots_used", "slots_total", "state"}:
                if name in self._texts:
                    raise self._misplaced(name, position)
                self._texts[name] = plain_text(text)
        else:
            raise self._misplaced(name, position)

    def _close(self, name: str, position: int) -> None:
        if self._leaf == name:
            self._leaf = ""
        elif not self._leaf and self._stack and self._stack[-1] == name:
            if name == "Queue-List":
                self._keep(position)
            self._stack = self._stack[:-1]
            self._instance = None
        else:
            raise self._misplaced(name, position)

    def _place(self, position: int) -> tuple[str, str] | None:
        if self._stack[-1] != "Queue-List":
            return None
        if self._instance is None:
            self._instance = self._split(position)
        return self._instance

    def _keep(self, position: int) -> None:
        queue, host = self._split(position)
        if (queue, host) in self._names:
            raise ReportUnreadable("a queue instance stands twice", line_number=line_of(self._data, position))
        self._names.add((queue, host))
        slots, used = self._texts.get("slots_total"), self._texts.get("slots_used")
        try:
            self._found.append(
                Instance(
                    queue,
                    host,
                    None if slots is None else parse_number(slots),
                    None if used is None else parse_number(used),
                    escape_text(self._texts.get("state", ""), limit=64),
                )
            )
        except ValueError as error:
            raise ReportUnreadable(str(error), line_number=line_of(self._data, position)) from error

    def _split(self, position: int) -> tuple[str, str]:
        try:
            return split_instance(self._texts.get("name", ""))
        except ValueError as error:
            raise ReportUnreadable(str(error), line_number=line_of(self._data, position)) from error

    def _misplaced(self, name: str, position: int) -> ReportUnreadable:
        return ReportUnreadable(f"<{name[:40]}> is out of place in a list of jobs", line_number=line_of(self._data, position))
