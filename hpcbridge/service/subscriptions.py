# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The Subscribe stream: events the caller may see, read from the store from the caller's own cursor.

Nothing is kept for a subscriber but its place, so a slow one costs no memory. Only events of signed entries are shown, and what the
caller may see is asked anew for every page. It is woken by events for it alone; whose rights grow meanwhile notices with the next
checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from hpcbridge.contract.access import audience_of
from hpcbridge.errors import Refused
from hpcbridge.ledger.records import MAX_ORDINAL
from hpcbridge.ledger.store import StoreReader
from hpcbridge.model.entries import Cursor, EntryOutcome, parse_cursor
from hpcbridge.model.identities import Caller
from hpcbridge.service.answers import event_message
from hpcbridge.service.connections import Connection
from hpcbridge.service.publisher import Publisher
from hpcbridge.service.quotas import Quotas
from hpcbridge.service.streams import Streams, until_cut
from hpcbridge.wire.generated import entries_pb2, ledger_pb2

PAGE = 256
CHECKPOINT_SECONDS = 30.0
LEAST_PAUSE_SECONDS = 0.01
"""A subscriber asks the store at most a hundred times a second, however often something is published."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What every subscription reads from."""

    publisher: Publisher
    reader: Callable[[], StoreReader]
    readers: Executor
    caller: Callable[[Connection], Caller]
    quotas: Quotas


@dataclass(frozen=True, slots=True)
class _Page:
    """Events to send and their bytes, the place after them, and whether more may be there."""

    replies: tuple[ledger_pb2.SubscribeReply, ...]
    bytes_: int
    cursor: Cursor
    is_full: bool


async def subscribe(request: ledger_pb2.SubscribeRequest, context: Any, connection: Connection, *, streams: Streams, feed: Feed) -> None:
    """Serves one subscriber until it leaves, has caught up (if it asked for that), or is cut; raises why it was cut."""
    cursor = _start(request.cursor, feed.publisher.size)
    with streams.opened(connection, reads=False) as stream:
        await until_cut(stream, _serve(request, context, connection, feed=feed, cursor=cursor))


async def _serve(request: ledger_pb2.SubscribeRequest, context: Any, connection: Connection, *, feed: Feed, cursor: Cursor) -> None:
    loop = asyncio.get_running_loop()
    types = frozenset(request.types)
    checkpoint_due = 0.0
    while True:
        news, size = feed.publisher.news(audience_of(feed.caller(connection))), feed.publisher.size
        page = await loop.run_in_executor(feed.readers, _read, feed, connection, cursor, size, types)
        cursor = page.cursor
        for reply in page.replies:
            await context.write(reply)
        if page.bytes_:
            await feed.quotas.sent(connection.submitter, page.bytes_)
        if page.is_full:
            continue
        if page.replies or loop.time() >= checkpoint_due:
            checkpoint_due = loop.time() + CHECKPOINT_SECONDS
            note = feed.publisher.published.checkpoint.note
            await context.write(ledger_pb2.SubscribeReply(checkpoint=entries_pb2.Checkpoint(note=note)))
        if request.until_caught_up:
            return
        await asyncio.sleep(LEAST_PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), max(0.0, checkpoint_due - loop.time()))


def _start(text: str, size: int) -> Cursor:
    if not text:
        return Cursor(0, 0)
    if text == "now":
        return Cursor(size - 1, MAX_ORDINAL)
    try:
        cursor = parse_cursor(text)
    except ValueError as error:
        raise Refused(EntryOutcome.MALFORMED, str(error)) from error
    if cursor.index >= size or cursor.ordinal > MAX_ORDINAL:
        raise Refused(EntryOutcome.NOT_FOUND, f"cursor {cursor} is not in this log of {size} entries")
    return cursor


def _read(feed: Feed, connection: Connection, cursor: Cursor, size: int, types: frozenset[int]) -> _Page:
    """The next page of signed events; runs on a reader thread."""
    caller = feed.caller(connection)
    reader = feed.reader()
    rows = reader.events_after(cursor, PAGE, audience_of(caller))
    visible = [row for row in rows if row[0].index < size]
    moments: dict[int, int] = {}
    replies = []
    for place, event in visible:
        if types and entries_pb2.EventType.Value.Value(event.type.value) not in types:
            continue
        if place.index not in moments:
            moments[place.index] = entries_pb2.Entry.FromString(reader.leaf(place.index) or b"").at
        replies.append(ledger_pb2.SubscribeReply(event=event_message(place, event, moments[place.index])))
    bytes_ = sum(reply.ByteSize() for reply in replies)
    return _Page(tuple(replies), bytes_, visible[-1][0] if visible else cursor, len(visible) == PAGE)
