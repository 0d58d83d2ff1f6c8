# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a job of OpenPBS holds or asks for: `exec_vnode`, `select` and `Resource_List`.

The name of a node is that of its vnode, as `exec_vnode` and pbsnodes both print it (`cn01`, or `cn01[0]` where a host is split into
several). A node that stands twice in `exec_vnode` gives its resources twice: they are summed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.pbs import parse_memory, parse_number

GPU_TYPES = ("gpu_type", "gpu_model", "accelerator_model")
"""Resources by which sites tell kinds of GPUs apart; the last one is OpenPBS's own."""

_VNODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}(?:\[[A-Za-z0-9_,.:-]{1,64}\])?\Z", re.ASCII)
_RESOURCE = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,63})=(.{0,256})\Z", re.DOTALL)
_CHUNKS = re.compile(r"\d{1,9}\Z", re.ASCII)
_SHORT = 256
"""Longer lists are rarely met twice, and remembering them would cost much memory."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Totals over a job. `memory_bytes` is None where nothing was said of memory; `cores` None where nothing was said at all."""

    cores: int | None
    gpus: int
    gpu_type: str | None
    memory_bytes: int | None
    nodes: tuple[str, ...] = ()


def parse_exec_vnode(text: str) -> Resources:
    """What `(cn01:ncpus=2)+(cn02:ncpus=3:mem=1gb+cn03:ncpus=1)` gives. Raises ValueError for anything else."""
    return _short_exec_vnode(text) if len(text) <= _SHORT else _exec_vnode(text)


def _exec_vnode(text: str) -> Resources:
    totals = _Totals()
    nodes: dict[str, None] = {}
    for part in text.replace("(", "").replace(")", "").split("+"):
        name, *given = part.split(":")
        if not _VNODE.match(name) or not given:
            raise ValueError(f"{part[:60]!r} is no node with resources")
        nodes[name] = None
        totals.add(1, given)
    return totals.result(tuple(nodes))


def parse_select(text: str) -> Resources:
    """What `2:ncpus=8:mpiprocs=8+1:ncpus=2:ngpus=1` asks for; a chunk without a count stands once, one without ncpus has unknown cores."""
    return _short_select(text) if len(text) <= _SHORT else _select(text)


def _select(text: str) -> Resources:
    totals = _Totals()
    for part in text.split("+"):
        first, *given = part.split(":")
        counted = bool(_CHUNKS.match(first))
        totals.add(int(first) if counted else 1, given if counted else [first, *given])
    return totals.result(())


_short_exec_vnode = lru_cache(maxsize=32768)(_exec_vnode)
_short_select = lru_cache(maxsize=4096)(_select)


def requested(listed: Mapping[str, str]) -> Resources:
    """What a job asks for: the totals of Resource_List, and what only its `select` says."""
    select = parse_select(listed["select"]) if listed.get("select") else Resources(None, 0, None, None)
    return Resources(
        cores=parse_number(listed["ncpus"]) if "ncpus" in listed else select.cores,
        gpus=parse_number(listed["ngpus"]) if "ngpus" in listed else select.gpus,
        gpu_type=gpu_type_of(listed) or select.gpu_type,
        memory_bytes=parse_memory(listed["mem"]) if "mem" in listed else select.memory_bytes,
    )


def gpu_type_of(resources: Mapping[str, str]) -> str | None:
    """The kind of GPU, where the site names it."""
    for name in GPU_TYPES:
        if resources.get(name):
            return escape_text(resources[name], limit=64)
    return None


class _Totals:
    """Sums over chunks."""

    def __init__(self) -> None:
        self.cores: int | None = 0
        self.gpus = 0
        self.memory: int | None = None
        self.types: dict[str, None] = {}

    def add(self, times: int, given: list[str]) -> None:
        found: dict[str, str] = {}
        for item in given:
            match = _RESOURCE.match(item)
            if not match:
                raise ValueError(f"{item[:60]!r} is no resource")
            found[match.group(1)] = match.group(2)
        if "ncpus" not in found:
            self.cores = None
        elif self.cores is not None:
            self.cores += times * parse_number(found["ncpus"])
        if "ngpus" in found:
            self.gpus += times * parse_number(found["ngpus"])
        if "mem" in found:
            self.memory = (self.memory or 0) + times * parse_memory(found["mem"])
        kind = gpu_type_of(found)
        if kind is not None:
            self.types[kind] = None

    def result(self, nodes: tuple[str, ...]) -> Resources:
        return Resources(self.cores, self.gpus, ",".join(self.types)[:64] or None, self.memory, nodes)
