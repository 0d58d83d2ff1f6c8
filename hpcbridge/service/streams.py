# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Open calls and their identities: quotas, idle time, and cutting those whose identity lost its right to be here.

gRPC never looks at a connection's certificate again, so every open stream is judged here: at each message, whenever the log revoked
somebody, and once a second. Limits count per identity and not per connection, because a second connection costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from hpcbridge.errors import HpcbridgeError, LedgerUnavailable, QuotaExceeded
from hpcbridge.model.identities import Submitter
from hpcbridge.service.connections import Connection
from hpcbridge.service.quotas import CountQuota, Quota

CHECK_SECONDS = 1.0


class Stream:
    """One open streaming call. Belongs to the event loop."""

    def __init__(self, connection: Connection, *, now: float, reads: bool) -> None:
        self.connection = connection
        self.opened = now
        self.last_read = now
        self.reads = reads
        self.cut: asyncio.Future[HpcbridgeError] = asyncio.get_running_loop().create_future()

    def end(self, reason: HpcbridgeError) -> None:
        """Ends the call with this reason; the first one counts."""
        if not self.cut.done():
            self.cut.set_result(reason)


class Streams:
    """All open streaming calls of the service. Belongs to the event loop."""

    def __init__(
        self,
        judge: Callable[[Connection], HpcbridgeError | None],
        *,
        per_identity: int,
        total: int,
        idle_seconds: float,
        age_seconds: float,
        count: CountQuota = lambda _submitter, _quota: None,
    ) -> None:
        self._judge = judge
        self._per_identity = per_identity
        self._total = total
        self._idle_seconds = idle_seconds
        self._age_seconds = age_seconds
        self._open: set[Stream] = set()
        self._of: Counter[Submitter] = Counter()
        self._kinds: Counter[bool] = Counter()
        self._count = count

    def count(self, *, reading: bool) -> int:
        """Number of open streams that send to us (or, if not `reading`, that only listen). From any thread."""
        return self._kinds[reading]

    @contextlib.contextmanager
    def opened(self, connection: Connection, *, reads: bool) -> Iterator[Stream]:
        """Counts a stream while it is open; QuotaExceeded if this identity or the service has too many."""
        submitter = connection.submitter
        if self._of[submitter] >= self._per_identity:
            self._count(submitter, Quota.STREAMS)
            raise QuotaExceeded(f"{submitter} has {self._per_identity} streams open", hint="close one, or wait")
        if len(self._open) >= self._total:
            self._count(submitter, Quota.STREAMS)
            raise QuotaExceeded("the service has as many streams open as it is allowed", hint="try again later")
        stream = Stream(connection, now=asyncio.get_running_loop().time(), reads=reads)
        self._open.add(stream)
        self._of[submitter] += 1
        self._kinds[reads] += 1
        try:
            yield stream
        finally:
            self._open.discard(stream)
            self._kinds[reads] -= 1
            self._of[submitter] -= 1
            if not self._of[submitter]:
                del self._of[submitter]

    def judge_all(self) -> None:
        """Cuts every stream whose identity is revoked or expired."""
        for stream in tuple(self._open):
            reason = self._judge(stream.connection)
            if reason is not None:
                stream.end(reason)

    def end_all(self, reason: HpcbridgeError) -> None:
        """Ends everything that is open."""
        for stream in tuple(self._open):
            stream.end(reason)

    async def watch(self) -> None:
        """Judges identities, idle time and age once a second, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self.judge_all()
            now = clock()
            for stream in tuple(self._open):
                if stream.reads and now - stream.last_read > self._idle_seconds:
                    stream.end(LedgerUnavailable(f"nothing came for {self._idle_seconds:g} s", hint="open a new stream when needed"))
                elif now - stream.opened > self._age_seconds:
                    stream.end(LedgerUnavailable("the stream is old enough", hint="open a new one"))


async def until_cut(stream: Stream, *works: Awaitable[None]) -> None:
    """Waits until all works of a stream are done, one of them fails, or the stream is cut: raises why.

    None of them runs on after that, also where the other side does not read.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    pending: set[asyncio.Future[Any]] = set(tasks)
    try:
        while pending and not stream.cut.done():
            done, pending = await asyncio.wait((*pending, stream.cut), return_when=asyncio.FIRST_COMPLETED)
            pending.discard(stream.cut)
            for task in done - {stream.cut}:
                task.result()
        if pending:
            raise stream.cut.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Askers:
    """Open questions of each identity: only so many at once, and of those that read much only a few at a time. Of the event loop."""

    def __init__(self, *, at_once: int = 64, reading: int = 2, count: CountQuota = lambda _submitter, _quota: None) -> None:
        self._at_once = at_once
        self._count = count
        self._reading = reading
        self._open: Counter[Submitter] = Counter()
        self._turns: dict[Submitter, asyncio.Semaphore] = {}

    @contextlib.contextmanager
    def asking(self, submitter: Submitter) -> Iterator[asyncio.Semaphore]:
        """Counts a question while it is open, and gives what to hold while reading much; QuotaExceeded for one too many."""
        if self._open[submitter] >= self._at_once:
            self._count(submitter, Quota.QUESTIONS)
            raise QuotaExceeded(f"{submitter} has {self._at_once} questions open", hint="wait for their answers")
        self._open[submitter] += 1
        turn = self._turns.setdefault(submitter, asyncio.Semaphore(self._reading))
        try:
            yield turn
        finally:
            self._open[submitter] -= 1
            if not self._open[submitter]:
                del self._open[submitter], self._turns[submitter]
