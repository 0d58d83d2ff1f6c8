# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One measured figure beside what the paper measured and what we aim for."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`value` in `unit`; `aim` is what docs/benchmarks.md names, `paper` what the paper printed (None: it has no such figure)."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    paper: float | None = None
    more_is_better: bool = False
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim was reached in this run; None without an aim."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.more_is_better else self.value <= self.aim


def milliseconds(name: str, seconds: Sequence[float], *, aim: float | None = None, paper: float | None = None) -> Figure:
    """The average of many latencies, with median, 99 % and maximum beside it."""
    ordered = sorted(seconds)
    rank = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    detail = f"n {len(ordered)}, median {statistics.median(ordered) * 1e3:.2f}, 99 % {rank * 1e3:.2f}, max {ordered[-1] * 1e3:.2f}"
    return Figure(name=name, value=statistics.fmean(ordered) * 1e3, unit="ms", aim=aim, paper=paper, detail=detail)
