# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes of a cluster: whether they can take work and how much of them is held."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.printable import is_printable


class Availability(StrEnum):
    """Whether a node takes work."""

    UP = "UP"
    """Takes work, or is full of it."""
    DRAINING = "DRAINING"
    """Takes no new work; jobs are left on it."""
    DRAINED = "DRAINED"
    """Takes no new work and is empty."""
    DOWN = "DOWN"
    """Does not answer or is switched off by an administrator."""
    UNKNOWN = "UNKNOWN"
    """The scheduler said nothing, or something we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. Used figures are the true sums of what jobs hold there, not capped at the totals."""

    cluster: str
    name: str
    availability: Availability
    native_state: str = ""
    reason: str | None = None
    queues: tuple[str, ...] = ()
    cores_total: int | None = None
    cores_used: int | None = None
    gpus_total: int | None = None
    gpus_used: int | None = None
    gpu_type: str | None = None
    memory_bytes_total: int | None = None
    memory_bytes_used: int | None = None


_NAME_LIMIT = 255


def validate_node(node: Node) -> None:
    """Raises ValueError, naming the field, for a node no honest parser produces."""
    if not node.name or len(node.name) > _NAME_LIMIT or not is_printable(node.name):
        raise ValueError(f"name {node.name[:60]!r} is not a node name")
    for field in ("cores_total", "cores_used", "gpus_total", "gpus_used", "memory_bytes_total", "memory_bytes_used"):
        count = getattr(node, field)
        if count is not None and not 0 <= count < 1 << 62:
            raise ValueError(f"{field} {count} is out of range")
    for field in ("native_state", "reason", "gpu_type"):
        text = getattr(node, field)
        if text is not None and (len(text) > 256 or not is_printable(text)):
            raise ValueError(f"{field} is longer than 256 characters or holds unprintable ones")
