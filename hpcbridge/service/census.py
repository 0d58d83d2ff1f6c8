# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Counts what the state has, for whoever runs the ledger: members, clusters, rentals and money. Sums only, no names but clusters'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hpcbridge.contract.accounts import credited
from hpcbridge.contract.records import StoredAccount, StoredCluster, StoredMember, decode_stored
from hpcbridge.contract.standing import last_tick_at
from hpcbridge.contract.state import StateView, scan_all
from hpcbridge.contract.versions import contract_version
from hpcbridge.errors import LedgerUnavailable
from hpcbridge.model.market import Micro
from hpcbridge.model.quantities import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """One count. `members` by role and standing, `clusters` by standing, `open_rentals` by cluster; money in micro-units. `boxes` None: the
    relay could not be asked.
    """

    size: int
    contract_version: int
    last_tick_at: Instant | None
    members: Mapping[tuple[str, str], int]
    clusters: Mapping[str, int]
    open_rentals: Mapping[str, int]
    available: Micro
    held: Micro
    credited: Micro
    boxes: int | None


def take_census(view: StateView, size: int, boxes: Callable[[], int]) -> Census:
    """Counts a state that has at least `size` entries."""
    members: Counter[tuple[str, str]] = Counter()
    for _, data in scan_all(view, "member/"):
        member = decode_stored(StoredMember, data)
        members[str(member.role), "REVOKED" if member.revoked else str(member.vetting)] += 1
    accounts = [decode_stored(StoredAccount, data) for _, data in scan_all(view, "account/")]
    clusters = {
        key.removeprefix("cluster/"): str(decode_stored(StoredCluster, data).vetting) for key, data in scan_all(view, "cluster/")
    }
    rented = Counter(key.split("/")[1] for key, _ in scan_all(view, "openrental/"))
    return Census(
        size=size,
        contract_version=contract_version(view),
        last_tick_at=last_tick_at(view),
        members=dict(members),
        clusters=dict(Counter(clusters.values())),
        open_rentals={name: rented[name] for name in clusters},
        available=sum(account.balance for account in accounts),
        held=sum(account.held for account in accounts),
        credited=credited(view),
        boxes=_boxes(boxes),
    )


def _boxes(ask: Callable[[], int]) -> int | None:
    try:
        return ask()
    except LedgerUnavailable:
        return None
