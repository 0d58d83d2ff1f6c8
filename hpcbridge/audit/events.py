# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Holes in a stream of events: what was told to one audience is numbered from 1, so a hidden event is missed by its successor.

The last event of all can be hidden until the next one comes; only the replay of the whole log, which an auditor can do, finds that.
"""

from __future__ import annotations

from hpcbridge.errors import IntegrityError


class EventChain:
    """The numbers of one audience, in order. `last` is where a subscriber that resumes goes on; None takes the first one as it comes."""

    def __init__(self, audience: str, *, last: int | None = 0) -> None:
        self.audience = audience
        self.last = last

    def see(self, audience: str, number: int) -> None:
        """Takes the next event; IntegrityError if one of this audience was left out, doubled or moved. Others' events pass."""
        if audience != self.audience:
            return
        if self.last is not None and number != self.last + 1:
            raise IntegrityError(
                f"after event {self.last} of {self.audience} comes {number}: event {self.last + 1} was hidden, doubled or moved",
                hint="ask an auditor to verify the ledger in full",
            )
        self.last = number
