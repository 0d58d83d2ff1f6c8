# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What one identity may take of the service: connections, messages, envelopes and bytes a second, and bytes of a day for the log.

Who is a little too quick is made to wait, which costs nobody anything: its next message is read later. Who is far too quick is told how
long to wait. Limits are of an identity and not of a connection, because a second connection costs nothing; what stays in the log for ever
is of a member, because a second installation costs little. A name is remembered only while one of its shares is not whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from hpcbridge.config import LimitsSection
from hpcbridge.errors import QuotaExceeded
from hpcbridge.model.identities import Submitter

PATIENCE_SECONDS = 2.0
"""How long a message is held back before its sender is told to come again."""
DAY_SECONDS = 86_400.0
MAX_KEPT = 20_000
"""Above this number of names those are forgotten that have all of their shares again."""


class Quota(StrEnum):
    """What there is only so much of. The names are those that refusals are counted under."""

    CONNECTIONS = "CONNECTIONS"
    STREAMS = "STREAMS"
    QUESTIONS = "QUESTIONS"
    MESSAGES = "MESSAGES"
    ENVELOPES = "ENVELOPES"
    BYTES = "BYTES"
    STORED_BYTES = "STORED_BYTES"


CountQuota = Callable[[Submitter, Quota], None]


class Allowance:
    """Tokens that fill up again: at most `per_second` at once and per second, or `at_once` of them. Time is of a clock that never jumps."""

    def __init__(self, per_second: float, *, at_once: float | None = None) -> None:
        self._per_second = per_second
        self._at_once = per_second if at_once is None else at_once
        self._left = self._at_once
        self._filled: float | None = None

    def take(self, count: int, now: float, *, keep: int = 0) -> bool:
        """True if `count` more are allowed at `now` with `keep` left; they are used up then."""
        self._fill(now)
        if count + keep > self._left:
            return False
        self._left -= count
        return True

    def borrow(self, count: int, now: float, *, patience: float = math.inf) -> float:
        """Seconds until `count` more are there. They are used up at once, unless that takes longer than `patience`."""
        self._fill(now)
        seconds = max(0.0, (count - self._left) / self._per_second)
        if seconds <= patience:
            self._left -= count
        return seconds

    def is_whole(self, now: float) -> bool:
        """True if nothing of it is used up."""
        self._fill(now)
        return self._left >= self._at_once

    def _fill(self, now: float) -> None:
        if self._filled is not None:
            self._left = min(self._at_once, self._left + (now - self._filled) * self._per_second)
        self._filled = now


@dataclass(frozen=True, slots=True)
class Share:
    """What one identity has left of everything that is counted by the second."""

    messages: Allowance
    envelopes: Allowance
    bytes_: Allowance
    peers: Counter[str] = field(default_factory=Counter)
    """Open calls of each of its connections."""

    def is_whole(self, now: float) -> bool:
        """True if nothing is used and no call is open."""
        return not self.peers and all(each.is_whole(now) for each in (self.messages, self.envelopes, self.bytes_))


class Quotas:
    """The shares of all identities. Belongs to the event loop; `clock` gives seconds and never jumps."""

    def __init__(self, limits: LimitsSection, *, clock: Callable[[], float], count: CountQuota) -> None:
        self._limits = limits
        self._clock = clock
        self.count = count
        self._shares: dict[Submitter, Share] = {}
        per_day = limits.stored_bytes_per_day
        self._days: defaultdict[str, Allowance] = defaultdict(lambda: Allowance(per_day / DAY_SECONDS, at_once=per_day))

    @contextlib.contextmanager
    def connected(self, submitter: Submitter, peer: str) -> Iterator[None]:
        """Counts a call that came over the connection from `peer` while it is open; QuotaExceeded if that is one connection too many."""
        peers = self._share(submitter).peers
        if peer not in peers and len(peers) >= self._limits.connections_per_identity:
            self.count(submitter, Quota.CONNECTIONS)
            raise QuotaExceeded(f"{submitter} uses {len(peers)} connections", hint="use one for all calls, or close some")
        peers[peer] += 1
        try:
            yield
        finally:
            peers[peer] -= 1
            if not peers[peer]:
                del peers[peer]

    async def message(self, submitter: Submitter) -> None:
        """Holds a message back as long as its identity is too quick; QuotaExceeded if that would take too long."""
        seconds = self._share(submitter).messages.borrow(1, self._clock(), patience=PATIENCE_SECONDS)
        if seconds > 0:
            self.count(submitter, Quota.MESSAGES)
        if seconds > PATIENCE_SECONDS:
            raise QuotaExceeded(f"{submitter} sends more than {self._limits.messages_per_second} messages a second", wait_seconds=seconds)
        await _wait(seconds)

    async def sent(self, submitter: Submitter, size: int) -> None:
        """Holds back what comes after `size` bytes that were sent to an identity."""
        await _wait(self.owe(submitter, size))

    def owe(self, submitter: Submitter, size: int) -> float:
        """Counts bytes that are on their way already; the seconds it takes until they are paid."""
        seconds = self._share(submitter).bytes_.borrow(size, self._clock())
        if seconds > 0:
            self.count(submitter, Quota.BYTES)
        return seconds

    async def envelopes(self, submitter: Submitter, count: int, size: int) -> str:
        """Holds envelopes of `size` bytes back as long as their identity is too quick; why it must come again, empty if it need not."""
        share, now = self._share(submitter), self._clock()
        if not share.envelopes.take(count, now):
            self.count(submitter, Quota.ENVELOPES)
            return f"more than {self._limits.envelopes_per_second} envelopes a second"
        seconds = share.bytes_.borrow(size, now, patience=PATIENCE_SECONDS)
        if seconds > 0:
            self.count(submitter, Quota.BYTES)
        if seconds > PATIENCE_SECONDS:
            return f"more than {self._limits.bytes_per_second} bytes a second: come again in {math.ceil(seconds)} s"
        await _wait(seconds)
        return ""

    def store(self, submitter: Submitter, size: int) -> str:
        """Takes `size` bytes for the log out of what the member may add in a day; why it must wait, empty if it need not."""
        seconds = self._days[submitter.member].borrow(size, self._clock(), patience=0.0)
        if not seconds:
            return ""
        self.count(submitter, Quota.STORED_BYTES)
        limit = self._limits.stored_bytes_per_day
        return f"{submitter.member} has sent the {limit} bytes that a member may add in a day; there is room in {math.ceil(seconds)} s"

    def _share(self, submitter: Submitter) -> Share:
        share = self._shares.get(submitter)
        if share is None:
            if len(self._shares) >= MAX_KEPT:
                now = self._clock()
                self._shares = {known: each for known, each in self._shares.items() if not each.is_whole(now)}
            limits = self._limits
            share = Share(Allowance(limits.messages_per_second), Allowance(limits.envelopes_per_second), Allowance(limits.bytes_per_second))
            self._shares[submitter] = share
        return share


async def _wait(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
