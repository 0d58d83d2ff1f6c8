# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The fields of the standard schema, each with its type and range: from the pairs of a JSON object to values of the model.

`null` says the same as leaving a field out, and an empty text no more: only the name of a job may be empty. docs/standard.schema.json
states the same rules for other programs; a test holds both together.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache

from hpcbridge.model.jobs import MAX_BYTES, MAX_COUNT, TEXT_LIMITS, JobState, Outcome, Phase
from hpcbridge.model.nodes import Availability
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant, escape_text
from hpcbridge.schedulers.standard.document import Fraction

MAX_NAMES = 100_000
_NAME_LIMIT = 255
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z\Z", re.ASCII)
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+%,:\[\]-]{0,127}\Z")
_RANGE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+%,:\[\]-]{0,65535}\Z")


class FieldFault(ValueError):
    """One field of one record is wrong; the text begins with its name."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field = field


Reader = Callable[[str, object], object]
Readers = Mapping[str, Reader]


def read_fields(pairs: Iterable[tuple[str, object]], readers: Readers, required: Iterable[str]) -> dict[str, object]:
    """The values that are given, by field. FieldFault for an unknown, repeated, missing or wrong one."""
    values: dict[str, object] = {}
    seen: set[str] = set()
    for field, value in pairs:
        reader = readers.get(field)
        if reader is None:
            raise FieldFault(escape_text(field, limit=40), f"is not a field{_nearest(field, readers)}")
        if field in seen:
            raise FieldFault(field, "is given twice")
        seen.add(field)
        if value is not None:
            values[field] = reader(field, value)
    for field in required:
        if values.get(field) is None:
            raise FieldFault(field, "is missing")
    return values


def given_once(pairs: Iterable[tuple[str, object]], field: str) -> str | None:
    """The text of the one field that names a record; None if it is missing, repeated or not a text."""
    given = [value for key, value in pairs if key == field]
    return given[0] if len(given) == 1 and isinstance(given[0], str) else None


def why_nameless(pairs: Iterable[tuple[str, object]], field: str) -> str:
    """What is wrong with the one field that names a record."""
    given = [value for key, value in pairs if key == field]
    if len(given) != 1:
        return "is given twice" if given else "is missing"
    return "is not a name" if isinstance(given[0], str) else f"must be a text, not {_kind_of(given[0])}"


def _nearest(field: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(field, list(known), n=1, cutoff=0.7)
    return f"; is {close[0]} meant?" if close else ""


def _kind_of(value: object) -> str:
    if isinstance(value, Fraction):
        return f"the number {value}"
    names = {bool: "true or false", int: "a whole number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")


def text(limit: int | None = None, *, empty: str | None = None) -> Reader:
    """Any text; one that is longer than `limit` is refused, or cut at 256 characters where there is no limit. `empty` is what "" says."""

    def read(field: str, value: object) -> object:
        if type(value) is not str:
            raise FieldFault(field, f"must be a text, not {_kind_of(value)}")
        if limit is None:
            return escape_text(value) or empty
        escaped = escape_text(value, limit=limit + 1)
        if len(escaped) > limit:
            raise FieldFault(field, f"is longer than {limit} characters")
        return _interned(escaped) if escaped else empty

    return read


def identifier(pattern: re.Pattern[str]) -> Reader:
    """What names a job to its scheduler."""

    def read(field: str, value: object) -> object:
        if type(value) is not str or not pattern.match(value):
            raise FieldFault(field, "must be an id: a letter or digit, then those and _ . + % , : [ ] -")
        return value

    return read


def whole(least: int, most: int) -> Reader:
    """A whole number in a range."""

    def read(field: str, value: object) -> object:
        if type(value) is not int:
            raise FieldFault(field, f"must be a whole number, not {_kind_of(value)}")
        if not least <= value <= most:
            raise FieldFault(field, f"must be between {least} and {most}")
        return value

    return read


def word(words: type[StrEnum]) -> Reader:
    """One of the words of an enum."""
    known = {member.value: member for member in words}

    def read(field: str, value: object) -> object:
        member = known.get(value) if type(value) is str else None
        if member is None:
            raise FieldFault(field, f"must be one of {' '.join(known)}")
        return member

    return read


def truth(field: str, value: object) -> object:
    """True or false."""
    if type(value) is not bool:
        raise FieldFault(field, f"must be true or false, not {_kind_of(value)}")
    return value


def instant(field: str, value: object) -> object:
    """ISO 8601 in UTC with Z; fractions of a second are cut to milliseconds."""
    if type(value) is not str:
        raise FieldFault(field, f"must be a time such as 2026-11-22T12:00:00Z, not {_kind_of(value)}")
    moment = _instant(value)
    if moment is None:
        raise FieldFault(field, f"must be a time such as 2026-11-22T12:00:00Z, in UTC and with the Z, not {escape_text(value, limit=40)!r}")
    return moment


def names(field: str, value: object) -> object:
    """A list of names."""
    if type(value) is not list:
        raise FieldFault(field, f"must be a list of names, not {_kind_of(value)}")
    if len(value) > MAX_NAMES:
        raise FieldFault(field, f"holds more than {MAX_NAMES} names")
    for name in value:
        if type(name) is not str or not name:
            raise FieldFault(field, "every name must be a text that is not empty")
        if len(name) > _NAME_LIMIT:
            raise FieldFault(field, f"a name is longer than {_NAME_LIMIT} characters")
    return _names(tuple(value))


def name(field: str, value: object) -> object:
    """What names a node or a queue."""
    if type(value) is not str or not value or len(value) > _NAME_LIMIT or not is_printable(value):
        raise FieldFault(field, f"must be a text of 1 to {_NAME_LIMIT} printable characters")
    return value


@lru_cache(maxsize=8192)
def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(escape_text(each, limit=_NAME_LIMIT) for each in given)


@lru_cache(maxsize=8192)
def _interned(value: str) -> str:
    return value


@lru_cache(maxsize=65_536)
def _instant(value: str) -> Instant | None:
    if not _INSTANT.match(value):
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    milliseconds = (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
    return milliseconds if milliseconds >= 0 else None


_COUNT = whole(0, MAX_COUNT - 1)
_BYTES = whole(0, MAX_BYTES)
_NODE_COUNT = whole(0, (1 << 62) - 1)


def _counted_by_the_agent(field: str, value: object) -> object:
    del value
    raise FieldFault(field, "is counted by the agent: leave it out or give null")


JOB: Readers = {
    "cluster": text(40),
    "job_id": identifier(_RANGE),
    "incarnation": _counted_by_the_agent,
    "array_job_id": identifier(_ID),
    "array_index": _COUNT,
    "array_pending": _COUNT,
    "het_job_id": identifier(_ID),
    "het_index": _COUNT,
    "state": word(JobState),
    "phase": word(Phase),
    "outcome": word(Outcome),
    "native_state": text(TEXT_LIMITS["native_state"]),
    "reason": text(),
    "owner": text(TEXT_LIMITS["owner"]),
    "account": text(TEXT_LIMITS["account"]),
    "queue": text(TEXT_LIMITS["queue"]),
    "name": text(empty=""),
    "cores": _COUNT,
    "gpus": _COUNT,
    "gpu_type": text(TEXT_LIMITS["gpu_type"]),
    "memory_bytes": _BYTES,
    "nodes": names,
    "submitted_at": instant,
    "started_at": instant,
    "ended_at": instant,
    "wall_seconds": _COUNT,
    "walltime_limit_seconds": _COUNT,
    "exit_code": whole(-1024, 1024),
    "exit_signal": whole(1, 128),
    "restarts": _COUNT,
}
NODE: Readers = {
    "cluster": text(40),
    "name": name,
    "availability": word(Availability),
    "native_state": text(256),
    "reason": text(),
    "queues": names,
    "cores_total": _NODE_COUNT,
    "cores_used": _NODE_COUNT,
    "gpus_total": _NODE_COUNT,
    "gpus_used": _NODE_COUNT,
    "gpu_type": text(256),
    "memory_bytes_total": _NODE_COUNT,
    "memory_bytes_used": _NODE_COUNT,
}
QUEUE: Readers = {
    "cluster": text(40),
    "name": name,
    "open": truth,
    "nodes": names,
    "cores_total": _COUNT,
    "cores_used": _COUNT,
    "cores_available": _COUNT,
    "gpus_total": _COUNT,
    "gpus_used": _COUNT,
    "jobs_queued": _COUNT,
    "jobs_running": _COUNT,
    "max_cores": _COUNT,
    "max_walltime_seconds": _COUNT,
}
ABOUT: Readers = {
    "name": text(64),
    "version": text(64),
    "cluster_name": text(64),
    "min_job_age_seconds": _COUNT,
    "accounting": truth,
}


def is_plain_id(job_id: str) -> bool:
    """True for an id that is short enough to be asked for; that of a pending range may be longer."""
    return _ID.match(job_id) is not None
