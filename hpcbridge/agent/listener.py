# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Follows the ledger's events from the cursor kept in the spool: a job somebody asked to watch goes on the watch list.

Events for one audience are numbered without holes, so one that was held back is noticed. That is logged and shown, and the events are
asked for again; it is no proof against anybody, because events are not signed one by one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hpcbridge.agent.memory import Memory
from hpcbridge.agent.spool import Spool
from hpcbridge.errors import IdentityError, LedgerUnavailable, Refused
from hpcbridge.wire.client import EventStream, LedgerClient
from hpcbridge.wire.generated import entries_pb2, ledger_pb2

logger = logging.getLogger(__name__)

SAVE_EVERY = 500
"""Events between two writes of the cursor while catching up; what is read twice changes nothing."""


class Listener:
    """Owns one subscription. `run` is a worker's step; `close` ends it from another thread."""

    def __init__(
        self,
        client: LedgerClient,
        spool: Spool,
        memory: Memory,
        *,
        member: str,
        cluster: str,
        stopping: threading.Event,
    ) -> None:
        self._client = client
        self._spool = spool
        self._memory = memory
        self._member = member
        self._cluster = cluster
        self._stopping = stopping
        self._stream: EventStream | None = None
        self._beat: Callable[[], None] = lambda: None

    def beat_with(self, beat: Callable[[], None]) -> None:
        """Sets what is called as sign of life while events are read."""
        self._beat = beat

    def run(self) -> None:
        """Reads events until the stream ends or the process stops."""
        cursor, number = self._place()
        unsaved = 0
        try:
            with self._client.subscribe(ledger_pb2.SubscribeRequest(cursor=cursor)) as stream:
                self._stream = stream
                for reply in stream:
                    self._beat()
                    if self._stopping.is_set():
                        return
                    if reply.WhichOneof("reply") != "event":
                        self._save(cursor, number, changed=unsaved)
                        unsaved = 0
                        continue
                    number = self._take(reply.event, number)
                    cursor = reply.event.cursor
                    unsaved += 1
                    if unsaved >= SAVE_EVERY:
                        self._save(cursor, number, changed=unsaved)
                        unsaved = 0
        except (IdentityError, Refused) as error:
            raise LedgerUnavailable(str(error), hint=error.hint) from error
        finally:
            self._stream = None

    def close(self) -> None:
        """Ends the subscription; the step then returns."""
        stream = self._stream
        if stream is not None:
            stream.close()

    def _place(self) -> tuple[str, int]:
        """Cursor and the number of the last event, which are kept together."""
        place = (self._spool.meta("events") or b"").decode()
        cursor, _, number = place.partition(" ")
        return cursor, int(number or 0)

    def _save(self, cursor: str, number: int, *, changed: int) -> None:
        if changed:
            self._spool.set_meta("events", f"{cursor} {number}".encode())

    def _take(self, event: entries_pb2.Event, number: int) -> int:
        if event.audience != self._member:
            return number
        if event.audience_number > number + 1:
            logger.error(
                "event_hidden expected=%d got=%d cursor=%s", number + 1, event.audience_number, event.cursor
            )
        if event.WhichOneof("body") == "job_watch" and event.job_watch.cluster == self._cluster:
            self._memory.watch(event.job_watch.job_id)
            logger.info("job_watched job=%s", event.job_watch.job_id)
        return max(number, event.audience_number)
