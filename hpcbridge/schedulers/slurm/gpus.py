# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How many GPUs a Slurm job has and of which type: the count stands in one place, the type in another, either may be missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.notation import parse_count

_GPU = re.compile(r"(?:gres[:/])?gpu(?::([^:=,()]+?))?(?:[:=](\d{1,9}))?(?:\([^()]*\))?\Z", re.ASCII)


def gpus_of(
    resources: Mapping[str, str], requested: tuple[str, ...] | None, node_count: str, *, whole: bool = True
) -> tuple[int | None, str | None]:
    """Count and type. Counts stand in the allocated resources; types mostly only in what was asked for per node, job or task.

    Without slurmdbd, Slurm does not count GPUs among the resources, so "none there" means none only where `requested` is known too,
    and `whole`: without a part of it nothing can be counted.
    """
    types: list[str] = []
    total: int | None = None
    typed = 0
    for key, amount in resources.items():
        if key == "gres/gpu":
            total = parse_count(amount)
        elif key.startswith("gres/gpu:"):
            types.append(key[9:])
            typed += parse_count(amount)
    asked = _asked_gpus(requested or ())
    types.extend(kind for kind, _ in asked if kind)
    if total is None and typed:
        total = typed
    elif total is None and requested is not None and whole:
        total = 0 if resources and not asked else _asked_total(asked, requested, node_count)
    kinds = ",".join(dict.fromkeys(types))
    return total, escape_text(kinds, limit=64) if kinds and total else None


@lru_cache(maxsize=1024)
def _asked_gpus(requested: tuple[str, ...]) -> tuple[tuple[str | None, int], ...]:
    found = []
    for text in requested:
        for item in re.sub(r"\([^()]*\)", "", text).split(","):
            match = _GPU.match(item)
            if match:
                kind, amount = match.groups()
                if kind is not None and kind.isdecimal() and amount is None:
                    kind, amount = None, kind
                found.append((kind, int(amount or 1)))
    return tuple(found)


def _asked_total(asked: tuple[tuple[str | None, int], ...], requested: tuple[str, ...], node_count: str) -> int | None:
    """What was asked for, where the site does not count GPUs as trackable: known per job, and per node if the nodes are."""
    if len(requested) != 3:
        return None
    per_node, per_job, _ = (_asked_gpus((text,)) for text in requested)
    if per_job:
        return sum(amount for _, amount in per_job)
    if per_node and asked and node_count.isdecimal():
        return sum(amount for _, amount in per_node) * parse_count(node_count)
    return None
