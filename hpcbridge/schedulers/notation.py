# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Notations shared by schedulers: durations, sizes, host lists, array ranges, trackable resources.

Each function takes text a scheduler printed and returns a value, None where the text says "unknown" or "none", or raises
ValueError. What expands has a cap, because a short text may stand for very much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

MAX_HOSTS = 100_000
MAX_BRACKETS = 8
MAX_TASKS = 1 << 32
NOTHING = frozenset({"", "N/A", "n/a", "NONE", "None", "none", "Unknown", "UNKNOWN", "(null)", "None assigned", "NOT_SET", "INVALID"})
"""How schedulers spell that there is no value."""

_DURATION = re.compile(r"(?:(\d{1,7})-)?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2})\Z", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,6}))?([KMGTPE]?)[BIib]{0,2}\Z", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(r"(\d{1,15})(?:\.(\d{1,6}))?([KMGTP]?)\Z", re.IGNORECASE | re.ASCII)
_HOST_PIECE = re.compile(r"[A-Za-z0-9_.-]*\Z")
_BRACKET = re.compile(r"\[([0-9,-]*)\]")
_TASKS = re.compile(r"(\d{1,10})(?:-(\d{1,10})(?::(\d{1,10}))?)?\Z", re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


@lru_cache(maxsize=4096)
def parse_duration(text: str) -> int | None:
    """Seconds of `[days-]hours:minutes:seconds` or `minutes:seconds`; None for nothing and for UNLIMITED."""
    if text in NOTHING or text in {"UNLIMITED", "INFINITE"}:
        return None
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a duration")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@lru_cache(maxsize=4096)
def parse_size(text: str, *, unit: str = "") -> int:
    """Bytes of `100M`, `1.50G` or a plain number, which counts in `unit`; powers of 1,024."""
    match = _SIZE.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a size")
    return _scaled(match, unit)


@lru_cache(maxsize=4096)
def parse_count(text: str) -> int:
    """A count; Slurm prints 2048 as `2K`, powers of 1,024, where that is exact."""
    match = _COUNT.match(text)
    if not match:
        raise ValueError(f"{text[:40]!r} is not a count")
    return _scaled(match, "")


def _scaled(match: re.Match[str], unit: str) -> int:
    whole, fraction, suffix = match.groups()
    factor: int = 1024 ** _POWERS[suffix.upper() or unit]
    part = int(fraction) * factor // int(10 ** len(fraction)) if fraction else 0
    return int(whole) * factor + part


@lru_cache(maxsize=8192)
def expand_hosts(text: str) -> tuple[str, ...]:
    """Names of a host list such as `c[1-2,5-10],d1` or `r[0-1]n[01-16]`, in its order; at most MAX_HOSTS."""
    if text in NOTHING:
        return ()
    if text.count("[") > MAX_BRACKETS and any(item.count("[") > MAX_BRACKETS for item in _split_outside_brackets(text)):
        raise ValueError(f"host list {text[:40]!r} has more dimensions than {MAX_BRACKETS}")
    names: list[str] = []
    for item in _split_outside_brackets(text):
        for name in _expand_item(item):
            names.append(name)
            if len(names) > MAX_HOSTS:
                raise ValueError(f"host list {text[:40]!r} stands for more than {MAX_HOSTS} names")
    return tuple(names)


def _split_outside_brackets(text: str) -> Iterator[str]:
    depth = start = 0
    for position, character in enumerate(text):
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def _expand_item(item: str) -> Iterator[str]:
    head, bracket, rest = item.partition("[")
    if not _HOST_PIECE.match(head) or (not bracket and not head):
        raise ValueError(f"{item[:40]!r} is not a host name or range")
    if not bracket:
        yield head
        return
    match = _BRACKET.match(bracket + rest)
    if not match:
        raise ValueError(f"{item[:40]!r} is not a host range")
    tail = rest[match.end() - 1 :]
    for number in _expand_numbers(match.group(1)):
        if tail:
            for end in _expand_item(tail):
                yield head + number + end
        else:
            yield head + number


def _expand_numbers(text: str) -> Iterator[str]:
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or len(part) > 40:
            raise ValueError(f"{part[:40]!r} is not a number or range")
        if not dash:
            yield low
            continue
        if int(high) < int(low):
            raise ValueError(f"range {part[:40]!r} runs backwards")
        for number in range(int(low), int(high) + 1):
            yield str(number).zfill(len(low))


@lru_cache(maxsize=4096)
def count_tasks(text: str) -> int:
    """How many tasks an array range such as `2-9%2`, `12,16,20%1` or `1-2997:7` stands for."""
    ranges, percent, limit = text.partition("%")
    if percent and not limit.isdecimal():
        raise ValueError(f"{text[:40]!r} is not an array range")
    total = 0
    for part in ranges.split(","):
        match = _TASKS.match(part)
        if not match:
            raise ValueError(f"{text[:40]!r} is not an array range")
        low, high, step = (int(group) if group else None for group in match.groups())
        if low is None or (high is not None and high < low) or step == 0:
            raise ValueError(f"{text[:40]!r} is not an array range")
        total += 1 if high is None else (high - low) // (step or 1) + 1
    if total > MAX_TASKS:
        raise ValueError(f"{text[:40]!r} stands for too many tasks")
    return total


@lru_cache(maxsize=4096)
def parse_resources(text: str) -> Mapping[str, str]:
    """Trackable resources, `cpu=2,mem=200M,gres/gpu:a100=1`, as key and text; empty where nothing is said."""
    resources: dict[str, str] = {}
    if text in NOTHING:
        return resources
    for item in text.split(","):
        key, equals, amount = item.partition("=")
        if not key or not equals or not amount or key in resources:
            raise ValueError(f"{text[:60]!r} is not a list of resources")
        resources[key] = amount
    return resources
