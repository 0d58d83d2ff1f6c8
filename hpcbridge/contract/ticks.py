# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger's clock: all that happens because a time has come, and when that is next."""

from __future__ import annotations

from hpcbridge.contract import jobs, rentals, requests
from hpcbridge.contract.market import next_due_at
from hpcbridge.contract.state import Draft, StateView
from hpcbridge.model.identities import Caller
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Tick


def tick(draft: Draft, caller: Caller, body: Tick, at: Instant) -> None:
    """Gives up the jobs whose time has come, then ends the rentals whose time has, and forgets requests that are kept no longer."""
    jobs.tick(draft, caller, body, at)
    rentals.end_due(draft, at)
    requests.forget_old(draft, at, limit=requests.MAX_FORGOTTEN_BY_TICK)


def next_deadline(view: StateView) -> Instant | None:
    """When the next tick is due earlier than the usual one; None if nothing waits for a time."""
    times = [time for time in (jobs.next_deadline(view), next_due_at(view)) if time is not None]
    return min(times) if times else None
