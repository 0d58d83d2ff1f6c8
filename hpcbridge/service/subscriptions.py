# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The Subscribe stream: events the caller may see, read from the store from the caller's own cursor.

Nothing is kept for a subscriber but its place, so a slow one costs no memory. Only events of signed entries are shown, and what the
caller may see is asked anew for every page. It is woken by events for it alone; whose rights grow meanwhile notices with the next
checkpoint. Those who are woken by the same event look for it together, so that many cost little more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
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
class _Look:
    """What a page depends on: the place before it, the size of the log that may be shown, whose events, and which."""

    cursor: Cursor
    size: int
    audience: str | None
    types: frozenset[int]


@dataclass(frozen=True, slots=True)
class Feed:
    """What every subscription reads from."""

    publisher: Publisher
    reader: Callable[[], StoreReader]
    readers: Executor
    caller: Callable[[Connection], Caller]
    quotas: Quotas
    looks: dict[_Look, asyncio.Future[_Page]] = field(default_factory=dict)
    """Those under way; none is kept after its end."""


@dataclass(frozen=True, slots=True)
class _Page:
    """Encoded replies with events, the place after them, and whether more may be there."""

    replies: tuple[bytes, ...]
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
        audience = audience_of(feed.caller(connection))
        news = feed.publisher.news(audience)
        page = await _look(feed, _Look(cursor, feed.publisher.size, audience, types))
        cursor = page.cursor
        for reply in page.replies:
            await context.write(reply)
        if page.replies:
            await feed.quotas.sent(connection.submitter, sum(map(len, page.replies)))
        if page.is_full:
            continue
        if page.replies or loop.time() >= checkpoint_due:
            checkpoint_due = loop.time() + CHECKPOINT_SECONDS
            note = feed.publisher.published.checkpoint.note
            await context.write(ledger_pb2.SubscribeReply(checkpoint=entries_pb2.Checkpoint(note=note)).SerializeToString())
        if request.until_caught_up:
            return
        await asyncio.sleep(LEAST_PAUSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(checkpoint_due):  # a wait_for would be one more task for each who waits
                await news.wait()


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


async def _look(feed: Feed, wanted: _Look) -> _Page:
    """The next page, read once for all who want the same at this moment."""
    under_way = feed.looks.get(wanted)
    if under_way is None:
        under_way = asyncio.get_running_loop().run_in_executor(feed.readers, _read, feed, wanted)
        feed.looks[wanted] = under_way
        under_way.add_done_callback(lambda _: feed.looks.pop(wanted, None))
    return await asyncio.shield(under_way)  # who leaves must not end it for the others


def _read(feed: Feed, wanted: _Look) -> _Page:
    """The next page of signed events; runs on a reader thread."""
    reader = feed.reader()
    rows = reader.events_after(wanted.cursor, PAGE, wanted.audience)
    visible = [row for row in rows if row[0].index < wanted.size]
    moments: dict[int, int] = {}
    replies = []
    for place, event in visible:
        if wanted.types and entries_pb2.EventType.Value.Value(event.type.value) not in wanted.types:
            continue
        if place.index not in moments:
            moments[place.index] = entries_pb2.Entry.FromString(reader.leaf(place.index) or b"").at
        replies.append(ledger_pb2.SubscribeReply(event=event_message(place, event, moments[place.index])).SerializeToString())
    return _Page(tuple(replies), visible[-1][0] if visible else wanted.cursor, len(visible) == PAGE)
