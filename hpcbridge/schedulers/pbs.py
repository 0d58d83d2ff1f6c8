# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Notations that TORQUE and OpenPBS share: job ids, exit statuses, requested nodes, amounts, attributes printed as text.

Each function takes text that the scheduler printed and returns a value, or raises ValueError. What an exit status means for the
outcome, and what states and nodes are called, differs between the two and stands in their own modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hpcbridge.model.quantities import Instant, escape_text, instant_from_seconds
from hpcbridge.schedulers.notation import parse_duration, parse_size

MAX_SIGNAL = 64
"""SIGRTMAX of Linux: above it, 128+n is a code the program chose itself (255 is the usual one)."""
MAX_SECONDS = 253_402_300_799
"""Last second of the year 9999."""

_JOB_ID = re.compile(
    r"(\d{1,15})(?:\[(\d{0,10})\]|-(\d{1,10}))?(?:\.[A-Za-z0-9][A-Za-z0-9_.:-]{0,255})?(?:@[A-Za-z0-9_.:-]{1,255})?\Z", re.ASCII
)
_OWNER = re.compile(r"([^@\s]{1,64})(?:@[^@\s]*)?\Z")
_LONG_DURATION = re.compile(r"(\d{1,9}):(\d{2}):(\d{2})(?:\.\d{1,9})?\Z", re.ASCII)
_WORDS = re.compile(r"(\d{1,17}[kmgtp]?)w\Z", re.IGNORECASE | re.ASCII)
_WORD_BYTES = 8
_COUNT = re.compile(r"\d{1,12}\Z", re.ASCII)
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z")
_ATTRIBUTE = re.compile(r" {4}([A-Za-z_][A-Za-z0-9_.-]{0,127}) = (.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PbsJobId:
    """A job id as the user types it. `array_job_id` alone: the parent of an array; with `array_index`: one of its members."""

    job_id: str
    array_job_id: str | None
    array_index: int | None


_WITH_VALUE = frozenset({"-F", "-D", "-u", "-W"})
_SELECTS = re.compile(r"-[a-zA-Z]*u[a-zA-Z]*\Z", re.ASCII)
_HISTORY = re.compile(r"-[a-zA-Z]*[xH][a-zA-Z]*\Z", re.ASCII)


def is_narrowed(argv: Sequence[str]) -> bool:
    """True if a recorded `qstat` asked for less than every job: for ids, queues or owners. What is missing then proves nothing."""
    place = next((number for number, word in enumerate(argv) if word.rpartition("/")[2] == "qstat"), len(argv))
    options = iter(argv[place + 1 :])
    for word in options:
        if _SELECTS.match(word):
            return True
        if word in _WITH_VALUE:
            next(options, None)
        elif not word.startswith(("-", "@")):
            return True
    return False


def asks_for_all(argv: Sequence[str]) -> bool:
    """True if the command is `qstat` itself and asked for every job. What a site's own script asked for is not known."""
    return any(word.rpartition("/")[2] == "qstat" for word in argv) and not is_narrowed(argv)


def asks_history(argv: Sequence[str]) -> bool:
    """True if a recorded `qstat` of OpenPBS asked for jobs that have ended too."""
    return any(_HISTORY.match(word) for word in argv)


@lru_cache(maxsize=65536)
def parse_job_id(text: str) -> PbsJobId:
    """`26.head1.cluster.local` → 26, `36[1].head1` → 36[1], `36[].head1` → 36[] (the parent). Old TORQUE spells a member `36-1`."""
    match = _JOB_ID.match(text)
    if not match:
        raise ValueError(f"{text[:60]!r} is not a job id")
    number, bracket, dash = match.groups()
    if bracket is None and dash is None:
        return PbsJobId(number, None, None)
    index = bracket if dash is None else dash
    shown = f"{number}[{bracket}]" if dash is None else f"{number}-{dash}"
    return PbsJobId(shown, number, int(index) if index else None)


def split_exit_status(status: int) -> tuple[int | None, int | None]:
    """Exit code and signal of an exit status: 256+n and 128+n are signal n, what is negative is neither (the scheduler's own reasons)."""
    if status < 0:
        return None, None
    for offset in (256, 128):
        if offset < status <= offset + MAX_SIGNAL:
            return None, status - offset
    return (status, None) if status < 256 else (None, None)


@lru_cache(maxsize=4096)
def parse_owner(text: str) -> str:
    """The account name of `alice@head1.cluster.local`."""
    match = _OWNER.match(text)
    if not match:
        raise ValueError(f"{text[:60]!r} is not an owner")
    return escape_text(match.group(1), limit=64)


@lru_cache(maxsize=16384)
def parse_seconds(text: str) -> int:
    """Seconds of `168:00:00`, `20:00` or a plain number; a fraction of a second is dropped."""
    match = _LONG_DURATION.match(text)
    if match:
        hours, minutes, seconds = (int(part) for part in match.groups())
        return (hours * 60 + minutes) * 60 + seconds
    if _COUNT.match(text):
        return int(text)
    found = parse_duration(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not a duration")
    return found


@lru_cache(maxsize=4096)
def parse_memory(text: str) -> int:
    """Bytes of `2gb`, `2097152kb`, `2147483648b` or a plain number of bytes; a word (`2mw`) has eight."""
    words = _WORDS.match(text)
    return parse_size(words.group(1)) * _WORD_BYTES if words else parse_size(text)


@lru_cache(maxsize=4096)
def parse_number(text: str) -> int:
    """A count in plain digits."""
    if not _COUNT.match(text):
        raise ValueError(f"{text[:40]!r} is not a count")
    return int(text)


@lru_cache(maxsize=16384)
def parse_epoch(text: str) -> Instant:
    """An instant from whole seconds since the epoch."""
    if not _COUNT.match(text) or int(text) > MAX_SECONDS:
        raise ValueError(f"{text[:40]!r} is not a time in seconds")
    return instant_from_seconds(int(text))


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What `-l nodes=…` asks for in total; `gpus` is 0 where it names none."""

    nodes: int
    cores: int
    gpus: int


@lru_cache(maxsize=4096)
def parse_node_request(text: str) -> NodeRequest:
    """Totals of `2:ppn=8`, `1:ppn=4+2:ppn=8:ib`, `node01:ppn=2:gpus=1`, `4#excl`: each part is a count or a name with properties."""
    nodes = cores = gpus = 0
    for part in text.partition("#")[0].split("+"):
        first, *properties = part.strip().split(":")
        count = int(first) if _COUNT.match(first) else 1
        if count == 1 and not _NODE_NAME.match(first):
            raise ValueError(f"{text[:60]!r} is not a request for nodes")
        per_node = {"ppn": 1, "gpus": 0}
        for item in properties:
            key, equals, amount = item.partition("=")
            key = "ppn" if key == "ncpus" else key
            if equals and key in per_node:
                per_node[key] = parse_number(amount)
        nodes += count
        cores += count * per_node["ppn"]
        gpus += count * per_node["gpus"]
    return NodeRequest(nodes, cores, gpus)


@dataclass(frozen=True, slots=True)
class TextBlock:
    """One object of `qstat -f`, `-Q -f` or `-B -f` in text form: where it begins, its kind and name, and its attributes as printed."""

    line: int
    kind: str
    name: str
    attributes: dict[str, str]


def read_text_blocks(lines: Sequence[str], kind: str) -> Iterator[TextBlock]:
    """Blocks that begin with `<kind>: <name>`; a tab continues the line before it.

    Raises ValueError, with the number of the line first, for any other line: only what administrators chose is printed in queues and
    servers, so a strange line means damage. Never use it for jobs: their owners can forge lines (a newline in a variable).
    """
    block: TextBlock | None = None
    last: str | None = None
    for number, line in enumerate(lines, 1):
        head, colon, name = line.partition(": ")
        if colon and head == kind:
            if block is not None:
                yield block
            block, last = TextBlock(number, kind, name.strip(), {}), None
        elif match := _ATTRIBUTE.match(line):
            if block is None or match.group(1) in block.attributes:
                raise ValueError(number, "an attribute twice" if block else f"does not begin with {kind}:")
            last = match.group(1)
            block.attributes[last] = match.group(2)
        elif line.startswith("\t") and block is not None and last is not None:
            block.attributes[last] += line[1:]
        elif line.strip():
            raise ValueError(number, "not an attribute")
    if block is not None:
        yield block
