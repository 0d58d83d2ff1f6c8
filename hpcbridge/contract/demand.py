# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Programs that were asked for and missing: told to providers as counts, which say nothing of who asked."""

from __future__ import annotations

from collections.abc import Iterable

from hpcbridge.contract.records import decode_word, encode_word
from hpcbridge.contract.state import Draft
from hpcbridge.model.clusters import Program
from hpcbridge.model.market import ProgramDemand


def count_missing(draft: Draft, programs: Iterable[Program]) -> None:
    """Counts one request that missed each of these programs."""
    for program in programs:
        key = f"demand/{demand_place(program)}"
        stored = draft.get(key)
        count = 0 if stored is None else decode_word(ProgramDemand, stored).count
        draft.put(key, encode_word(ProgramDemand(program=program, count=count + 1)))


def demand_place(program: Program) -> str:
    """Where a program stands among all; no name holds a line's end, so no two stand at one place."""
    return f"{program.name}\n{program.version}"
