# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the service refused since it started, counted by what was refused, by code, and by the rule of Table 1 where one was the reason.

`CANCELLATION:NOT_FOUND:own_rental` is an item of an entry, `ListAllUsers:NOT_PERMITTED:TABLE_1` a question, and `ENVELOPE:REVOKED` an
envelope that became no entry, because of its signature, its key or its number. `QUOTA:BYTES:PROVIDER` counts how often providers were held
back or sent away because they took more than their share.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable

from hpcbridge.contract.access import TABLE_1
from hpcbridge.model.entries import EntryOutcome, Rejected, Retry

ENVELOPE = "ENVELOPE"
QUOTA = "QUOTA"
TABLE = "TABLE_1"
_RULE = re.compile(r"\(rule: ([A-Za-z0-9_ ]{1,40})\)\Z")
_NAMES = {rule.__name__: rule.__name__ for row in TABLE_1.values() for rule in row.rules.values()} | {"Table 1": TABLE}


class Refusals:
    """Counts. Safe to use from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, what: str, outcomes: Iterable[str], reasons: Iterable[str] = ()) -> None:
        """Counts the refused among items that have these outcomes; each has its reason, in the same order."""
        codes = [code for code in outcomes if code != EntryOutcome.ACCEPTED]
        names = [f"{what}:{code}{_rule_of(reason)}" for code, reason in zip(codes, [*reasons, *[""] * len(codes)], strict=False)]
        with self._lock:
            self._counts.update(names)

    def count_envelope(self, refusal: Retry | Rejected) -> None:
        """Counts an envelope that became no entry."""
        self.count(ENVELOPE, (refusal.code,))

    def count_quota(self, quota: str, role: str) -> None:
        """Counts that somebody of this role took more of something than there is for one identity."""
        with self._lock:
            self._counts[f"{QUOTA}:{quota}:{role}"] += 1

    def counted(self) -> tuple[tuple[str, int], ...]:
        """Every count by name."""
        with self._lock:
            return tuple(sorted(self._counts.items()))


def _rule_of(reason: str) -> str:
    """The rule at the end of a reason; one that Table 1 does not know was written by a stranger."""
    found = _RULE.search(reason)
    name = None if found is None else _NAMES.get(found[1])
    return "" if name is None else f":{name}"
