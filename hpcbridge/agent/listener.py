# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Follows the ledger's events from the cursor kept in the spool: a job somebody asked to watch goes on the watch list, a word on a rental
of the cluster into the spool, together with the cursor.

Events for one audience are numbered without holes, so one that was held back is noticed by the next one that is not. The events are then
asked for again, once, from the cursor before the hole; what is still missing is logged and shown in `hpcbridgectl status`. It is no proof
against anybody, because events are not signed one by one: whether the ledger hid something is shown by a replay of its log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hpcbridge.agent.memory import Memory
from hpcbridge.agent.spool import Spool
from hpcbridge.errors import IdentityError, LedgerUnavailable, Refused
from hpcbridge.model.market import Rental
from hpcbridge.model.quantities import Instant
from hpcbridge.wire.client import EventStream, LedgerClient
from hpcbridge.wire.convert import from_message
from hpcbridge.wire.generated import entries_pb2, ledger_pb2

logger = logging.getLogger(__name__)

SAVE_EVERY = 500
"""Events between two writes of the cursor while catching up; what is read twice changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenEvents:
    """Events that the ledger did not show, not even when asked again: how many, and numbers of the first and the last."""

    count: int
    first: int
    last: int


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
        clock: Callable[[], Instant],
        heard: Callable[[], None] = lambda: None,
        missed: Callable[[], None] = lambda: None,
    ) -> None:
        """`heard` is called when a word on a rental is in the spool, `missed` when events were held back for good or cannot be read."""
        self._client = client
        self._spool = spool
        self._memory = memory
        self._member = member
        self._cluster = cluster
        self._stopping = stopping
        self._clock = clock
        self._heard = heard
        self._missed = missed
        self._stream: EventStream | None = None
        self._beat: Callable[[], None] = lambda: None
        self._asked_again_for = 0
        self._rentals: list[Rental] = []
        self.hidden: HiddenEvents | None = None
        """What was held back since the process began."""

    def beat_with(self, beat: Callable[[], None]) -> None:
        """Sets what is called as sign of life while events are read."""
        self._beat = beat

    def run(self) -> None:
        """Reads events until the stream ends, the process stops, or a hole is met for the first time: the next step asks again."""
        cursor, number = self._place()
        self._rentals.clear()
        unsaved = 0
        try:
            with self._client.subscribe(ledger_pb2.SubscribeRequest(cursor=cursor)) as stream:
                self._stream = stream
                for reply in stream:
                    self._beat()
                    if self._stopping.is_set():
                        return
                    if reply.WhichOneof("reply") == "event":
                        if self._asks_again(reply.event, number):
                            self._save(cursor, number, changed=unsaved)
                            return
                        number = self._take(reply.event, number)
                        cursor = reply.event.cursor
                        unsaved += 1
                    if unsaved >= SAVE_EVERY or self._rentals or reply.WhichOneof("reply") != "event":
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
        """A word on a rental and the place behind it are kept together: none is lost, and one that comes again changes nothing."""
        if not changed:
            return
        place = f"{cursor} {number}".encode()
        if not self._rentals:
            self._spool.set_meta("events", place)
            return
        self._spool.hear_rentals(self._rentals, place=place, at=self._clock())
        self._rentals.clear()
        self._heard()

    def _asks_again(self, event: entries_pb2.Event, number: int) -> bool:
        """True at the first sight of a hole between `number`, the last own event, and this one."""
        if event.audience != self._member or event.audience_number <= number + 1 or self._asked_again_for == number + 1:
            return False
        self._asked_again_for = number + 1
        logger.warning("events_missing first=%d last=%d cursor=%s asked_again=yes", number + 1, event.audience_number - 1, event.cursor)
        return True

    def _take(self, event: entries_pb2.Event, number: int) -> int:
        """Acts on an event; the number of the last own one."""
        if event.audience != self._member:
            return number
        if event.audience_number > number + 1:
            self._note_hidden(number + 1, event.audience_number - 1)
        is_watch = event.WhichOneof("body") == "job_watch" and event.job_watch.cluster == self._cluster
        # a user may name a job only as its own; jobs of rented usernames are followed anyway, and of nobody else at a user's word
        if is_watch and not event.job_watch.owner:
            self._memory.watch(event.job_watch.job_id)
            logger.info("job_watched job=%s", event.job_watch.job_id)
        elif event.WhichOneof("body") == "rental" and event.rental.cluster == self._cluster:
            self._take_rental(event)
        return max(number, event.audience_number)

    def _take_rental(self, event: entries_pb2.Event) -> None:
        """One that cannot be read is passed over: events behind it may end accounts. What it was about is asked for."""
        try:
            self._rentals.append(from_message(Rental, event.rental))
        except ValueError as error:
            logger.error("rental_unreadable cursor=%s error=%r", event.cursor, str(error)[:300])  # noqa: TRY400 - its text says it all
            self._missed()

    def _note_hidden(self, first: int, last: int) -> None:
        before = self.hidden or HiddenEvents(count=0, first=first, last=last)
        self.hidden = HiddenEvents(count=before.count + last - first + 1, first=before.first, last=last)
        logger.error("event_hidden first=%d last=%d total=%d", first, last, self.hidden.count)
        self._missed()
