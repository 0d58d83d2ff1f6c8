# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a job of TORQUE asks for and what it holds: totals out of requests, slots and GPUs out of lists.

* While a job waits, its cores are what `nodes` (a sum over its parts), `procs` or `ncpus` ask for, the largest of them, because a site's
  default `nodes=1` stands beside the other two; of `-L` requests, tasks times logical processors.
* GPUs asked for are the `gpus` in `nodes` or in `gres`. A job that asks for nodes or cores without GPUs has none.
* Memory is `mem`, which is for the whole job, else `pmem` times cores. `vmem` and `pvmem` limit address space: they are no memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import TypeVar

from hpcbridge.model.jobs import MAX_BYTES, MAX_COUNT
from hpcbridge.schedulers.pbs import NodeRequest, parse_memory, parse_node_request, parse_number

Value = TypeVar("Value")
MAX_SLOTS = 1_000_000
_SLOTS = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?\Z", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}\Z", re.ASCII)
_GENERIC_GPU = re.compile(r"(?:^|[,+%])gpus?(?:[:=](\d{1,6}))?(?=$|[,+%])", re.ASCII)
_GPU_SUFFIX = "-gpu"


def parse_exec_host(text: str) -> tuple[tuple[str, ...], int]:
    """Names, each once, and slots of `node01/0+node01/1` or, since 5.0, `node02/0-7+node01/4-11,14`."""
    if not text:
        return (), 0
    names: dict[str, None] = {}
    total = 0
    for part in text.split("+"):
        name, slash, slots = part.partition("/")
        if name not in names:
            if not slash or not _HOST.match(name):
                raise ValueError(f"{text[:60]!r} is not a list of slots")
            names[intern(name)] = None
        total += 1 if slots.isdecimal() else count_slots(slots)
    return tuple(names), total


@lru_cache(maxsize=8192)
def count_slots(text: str) -> int:
    """How many slots `0-3,8` stands for."""
    total = 0
    for part in text.split(","):
        match = _SLOTS.match(part.strip())
        low, high = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if high < low:
            raise ValueError(f"{text[:60]!r} is not a list of slots")
        total += high - low + 1
    if total > MAX_SLOTS:
        raise ValueError(f"{text[:60]!r} stands for too many slots")
    return total


def parse_exec_gpus(text: str) -> Mapping[str, int]:
    """GPUs by node of `gpu01-gpu/0+gpu01-gpu/1`."""
    held: dict[str, int] = {}
    for part in text.split("+"):
        name, slash, slots = part.partition("/")
        name = name.removesuffix(_GPU_SUFFIX)
        if not slash or not _HOST.match(name):
            raise ValueError(f"{text[:60]!r} is not a list of GPUs")
        held[name] = held.get(name, 0) + count_slots(slots)
    return held


@dataclass(frozen=True, slots=True)
class Figures:
    """What a job asks for: totals, memory by task."""

    cores: int | None
    gpus: int | None
    memory_bytes: int | None


def figures_of(requested: Mapping[str, str], tasks: Mapping[str, str]) -> Figures:
    """Totals out of `Resource_List` and, if there is one, `req_information`."""
    if tasks:
        return _of_tasks(tasks)
    nodes: NodeRequest | None = lenient(parse_node_request, requested.get("nodes"))
    asked = [figure for name in ("procs", "ncpus") if (figure := lenient(parse_number, requested.get(name))) is not None]
    if nodes is not None:
        asked.append(nodes.cores)
    gpus = nodes.gpus if nodes is not None else (0 if asked else None)
    generic = requested.get("gres")
    if generic and not gpus:
        counts = [int(count or 1) for count in _GENERIC_GPU.findall(generic)]
        gpus = sum(counts) * (nodes.nodes if nodes is not None else 1) if counts else gpus
    cores = max(asked) if asked else None
    return Figures(cores if cores is None or cores < MAX_COUNT else None, gpus if gpus is None or gpus < MAX_COUNT else None, None)


def _of_tasks(tasks: Mapping[str, str]) -> Figures:
    """Totals of `-L tasks=2:lprocs=4:memory=1gb` (6.0 and later), printed as task_count.0, lprocs.0, memory.0 and so on."""
    cores = gpus = memory = 0
    has_memory = False
    for key, value in tasks.items():
        name, dot, number = key.partition(".")
        if name != "task_count" or not dot:
            continue
        count = lenient(parse_number, value) or 1
        cores += count * (lenient(parse_number, tasks.get(f"lprocs.{number}")) or 1)
        gpus += count * (lenient(parse_number, tasks.get(f"gpus.{number}")) or 0)
        each = lenient(parse_memory, tasks.get(f"memory.{number}"))
        has_memory = has_memory or each is not None
        memory += count * (each or 0)
    return Figures(cores or None, gpus, memory if has_memory else None)


def memory_of(requested: Mapping[str, str], figures: Figures, cores: int | None) -> int | None:
    """Bytes of the whole job, which has so many cores."""
    total = lenient(parse_memory, requested.get("mem"))
    if total is None and cores is not None:
        each = lenient(parse_memory, requested.get("pmem"))
        total = None if each is None else each * cores
    if total is None:
        total = figures.memory_bytes
    return total if total is None or total <= MAX_BYTES else None


def lenient(parse: Callable[[str], Value], text: str | None) -> Value | None:
    """What an owner wrote into a request may be anything: what cannot be read is not known."""
    if not text:
        return None
    try:
        return parse(text)
    except ValueError:
        return None
