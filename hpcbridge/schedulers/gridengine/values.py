# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Values as Grid Engine prints them: times without a zone, durations, sizes, host names and text that may be any bytes.

Each function returns None where the text says "none", and raises ValueError for what it does not understand.
"""

from __future__ import annotations

import datetime
import html
import re
from functools import lru_cache

from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant, escape_text

GPU_COMPLEXES = frozenset({"gpu", "gpus", "ngpu", "ngpus"})
"""Names of the complex that counts GPUs; scheduler_scripts/gridengine/nodes asks for the same ones."""
MEMORY_COMPLEXES = ("h_vmem", "mem_free")
"""Requests that say how much memory a slot needs, the first that is there counts."""

_NONE = frozenset({"", "-", "-/-", "NONE", "none", "undefined", "UNDEFINED", "UNKNOWN", "unknown"})
_ENDLESS = frozenset({"INFINITY", "infinity", "INFINITE"})
_ISO = re.compile(r"[12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?\Z", re.ASCII)
_CTIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) ([12]\d{3})\Z", re.ASCII)
_AMERICAN = re.compile(r"(\d\d)/(\d\d)/([12]\d{3}) (\d\d:\d\d:\d\d(?:\.\d{1,9})?)\Z", re.ASCII)
_MONTHS = {"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DURATION = re.compile(r"(?:(?:(\d{0,9}):)?(\d{0,9}):)?(\d{0,12})(?:\.\d{1,9})?\Z", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?([kKmMgGtTpP]?)[bB]?\Z", re.ASCII)
_REQUESTED = re.compile(r"(\d{1,9})(?:\.0{1,9})?(?:\([^()]{0,256}\))?\Z", re.ASCII)
_COUNT = re.compile(r"(\d{1,12})(?:\.0{1,9})?\Z", re.ASCII)
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});|%lt;")
_SHORT = 256
"""Texts up to here are remembered: most stand in many records."""
_LONGEST = 1 << 17
"""More of a text is not looked at: no value but a stranger's is so long."""
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@lru_cache(maxsize=4096)
def parse_time(text: str, zone: datetime.tzinfo) -> Instant | None:
    """An instant from `2026-11-22T10:44:09`, `Sun Nov 22 10:44:09 2026` or `11/22/2026 10:44:09`, each perhaps with a fraction.

    None for no time, for the epoch itself, which stands for "never", and for the hour that a zone has twice a year.
    """
    if text in _NONE:
        return None
    moment = datetime.datetime.fromisoformat(_iso(text)).replace(tzinfo=zone)
    if moment.utcoffset() != moment.replace(fold=1).utcoffset():
        return None
    return (moment - _EPOCH) // datetime.timedelta(milliseconds=1) or None


def _iso(text: str) -> str:
    if _ISO.match(text):
        return text
    words = _CTIME.match(text)
    if words and words.group(1) in _MONTHS:
        month, day, clock, year = words.groups()
        return f"{year}-{_MONTHS[month]:02d}-{int(day):02d}T{clock}"
    digits = _AMERICAN.match(text)
    if digits:
        month, day, year, clock = digits.groups()
        return f"{year}-{month}-{day}T{clock}"
    raise ValueError(f"{text[:40]!r} is not a time")


@lru_cache(maxsize=4096)
def parse_limit(text: str) -> int | None:
    """Seconds of `168:00:00`, `0:30:0`, `:30:` or `7200`; None for INFINITY (sge_types(1): an empty part counts 0)."""
    if text in _ENDLESS or text in _NONE:
        return None
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a duration")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds


@lru_cache(maxsize=4096)
def parse_memory(text: str) -> int | None:
    """Bytes of `23.5G` or `2g`: capital letters are powers of 1,024, small ones of 1,000 (sge_types(1)); None for INFINITY."""
    if text in _ENDLESS or text in _NONE:
        return None
    match = _SIZE.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a size")
    whole, fraction, suffix = match.groups()
    factor: int = (1000 if suffix.islower() else 1024) ** _POWERS[suffix.upper()]
    part = int(fraction) * factor // int(10 ** len(fraction)) if fraction else 0
    return int(whole) * factor + part


@lru_cache(maxsize=4096)
def parse_number(text: str) -> int:
    """A count, also in the form `4.000000`."""
    match = _COUNT.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a count")
    return int(match.group(1))


@lru_cache(maxsize=4096)
def parse_requested(text: str) -> int:
    """A number of things that was requested; Univa's releases may name them after it, `2(0 1)`."""
    match = _REQUESTED.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a number of things")
    return int(match.group(1))


def plain_text(raw: bytes) -> str:
    """Text of an element. Nothing is expanded but the five entities, numbers, and `%lt;`: so Grid Engine spells `<` (8.1.9/zoo job 25)."""
    return _short_text(raw) if len(raw) <= _SHORT else _decoded(raw[:_LONGEST])


@lru_cache(maxsize=4096)
def _short_text(raw: bytes) -> str:
    return _decoded(raw)


def _decoded(raw: bytes) -> str:
    text = raw.decode("utf-8", "surrogateescape").strip()
    if "&" in text or "%" in text:
        return _ENTITY.sub(lambda match: "<" if match.group() == "%lt;" else html.unescape(match.group()), text)
    return text


def word_or_none(text: str, limit: int = 64) -> str | None:
    """A short text made harmless, None where it says that there is none."""
    return None if text in _NONE else escape_text(text, limit=limit)


@lru_cache(maxsize=65536)
def short_name(host: str) -> str:
    """The name of a node without its domain."""
    return escape_text(host.partition(".")[0], limit=255)


@lru_cache(maxsize=65536)
def split_instance(name: str) -> tuple[str, str]:
    """Queue and host of a queue instance, `all.q@node01.cluster.local`."""
    queue, at, host = name.partition("@")
    if not queue or not at or not host or not is_printable(name) or " " in name:
        raise ValueError(f"{name[:60]!r} is not a queue instance")
    return escape_text(queue, limit=64), host
