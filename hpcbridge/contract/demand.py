# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Programs that were asked for and missing: told to providers as counts, which say nothing of who asked.

A program counts once for each request for which some cluster that met everything else lacked it. Counts are kept for a period of 30 days
and the one before; a period holds so many different programs and no more, so that nobody fills the state with names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hpcbridge.contract.parameters import DAY_MS
from hpcbridge.contract.records import StoredCluster, StoredCount, StoredDemand, decode_stored, encode_stored
from hpcbridge.contract.state import Draft, StateView, scan_all
from hpcbridge.contract.supply import Supply, registered_supply, versioned
from hpcbridge.model.clusters import Program
from hpcbridge.model.market import ProgramDemand
from hpcbridge.model.quantities import Instant

PERIOD_MS = 30 * DAY_MS
MAX_PROGRAMS = 2000
"""Different programs of one period."""
MAX_OF_MEMBER = 100
"""Programs of one period that a member is the first to ask for: one alone must not take the room of all."""
_NOW = "demandcount/now"


def count_missing(draft: Draft, member: str, programs: Iterable[Program], *, at: Instant) -> None:
    """Counts one request of a member that missed each of these programs."""
    period = at // PERIOD_MS
    for program in programs:
        key = f"demand/{period:06d}/{hashlib.sha256(demand_place(program).encode()).hexdigest()}"
        stored = draft.get(key)
        if stored is None and not (_brings(draft, member, period) and _enter(draft, period)):
            continue
        count = 1 if stored is None else decode_stored(StoredDemand, stored).count + 1
        draft.put(key, encode_stored(StoredDemand(name=program.name, version=program.version, count=count)))


def demand_of(view: StateView, provider: str = "") -> tuple[ProgramDemand, ...]:
    """Counts by program; for a provider that has clusters those of programs which one of them lacks."""
    counts: dict[str, int] = {}
    programs: dict[str, Program] = {}
    for _, data in scan_all(view, "demand/"):
        stored = decode_stored(StoredDemand, data)
        program = Program(name=stored.name, version=stored.version)
        place = demand_place(program)
        programs[place] = program
        counts[place] = counts.get(place, 0) + stored.count
    supplies = _supplies_of(view, provider) if provider else []
    wanted = [place for place in sorted(counts) if not supplies or any(_lacks(supply, programs[place]) for supply in supplies)]
    return tuple(ProgramDemand(program=programs[place], count=counts[place]) for place in wanted)


def demand_place(program: Program) -> str:
    """Where a program stands among all; no name that is asked for holds a line's end, so no two stand at one place."""
    return versioned(program)


def _brings(draft: Draft, member: str, period: int) -> bool:
    """Counts a program that a member is the first to miss in a period; False if it has brought its share."""
    key, day = f"demandby/{member}", period * (PERIOD_MS // DAY_MS)
    data = draft.get(key)
    stored = StoredCount(day=day, count=0) if data is None else decode_stored(StoredCount, data)
    count = 1 + (stored.count if stored.day == day else 0)
    if count > MAX_OF_MEMBER:
        return False
    draft.put(key, encode_stored(StoredCount(day=day, count=count)))
    return True


def _enter(draft: Draft, period: int) -> bool:
    """Makes room for one more program of a period; False if there is none. The first one of a period ends the one before the last."""
    stored = draft.get(_NOW)
    count = 0 if stored is None or int.from_bytes(stored[:8], "big") != period else int.from_bytes(stored[8:], "big")
    if count == 0:
        for old, _ in scan_all(draft, "demand/"):
            if int(old.split("/")[1]) < period - 1:
                draft.remove(old)
    if count >= MAX_PROGRAMS:
        return False
    draft.put(_NOW, period.to_bytes(8, "big") + (count + 1).to_bytes(8, "big"))
    return True


def _supplies_of(view: StateView, member: str) -> list[Supply]:
    found: list[Supply] = []
    for key, data in scan_all(view, "cluster/"):
        registration = view.get(f"registration/{key.removeprefix('cluster/')}")
        if registration is not None and decode_stored(StoredCluster, data).provider == member:
            found.append(registered_supply(registration))
    return found


def _lacks(supply: Supply, program: Program) -> bool:
    return (versioned(program) if program.version else program.name) not in supply.programs
