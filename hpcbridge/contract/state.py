# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The state as the contract sees it, what a function does to it, and the one hash over that.

State is a map from text keys to bytes. A function never changes it: it writes into a `Draft`, and what the draft collected becomes
`Effects` only if the function returns. Everything here is ordered by key or by call, never by a dict's or a set's own order.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from hpcbridge.model.entries import EntryOutcome, Event, EventType

_UNREAD: Any = object()
Write = tuple[str, bytes | None]
"""A key and its new value; None removes it."""


class StateView(Protocol):
    """What may be read of the state."""

    def get(self, key: str) -> bytes | None:
        """Value of a key; None if it has none."""
        ...

    def scan(self, start: str, stop: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """At most `limit` keys with start ≤ key < stop and their values, in order of key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a transaction does: `writes` sorted by key, one of `outcomes` for each item, one of `reasons` for each refused item."""

    writes: tuple[Write, ...]
    events: tuple[Event, ...]
    outcomes: tuple[EntryOutcome, ...]
    reasons: tuple[str, ...]


class Draft:
    """Collects writes and events of one transaction over a view that stays as it is, and reads its own writes."""

    def __init__(self, view: StateView, *, index: int = 0) -> None:
        self._view = view
        self._writes: dict[str, bytes | None] = {}
        self._events: list[Event] = []
        self._audiences: dict[str, int] = {}
        self.index = index

    def get(self, key: str) -> bytes | None:
        """Value of a key as this transaction left it."""
        if key in self._writes:
            return self._writes[key]
        return self._view.get(key)

    def scan(self, start: str, stop: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """As `StateView.scan`, own writes included."""
        own = {key: value for key, value in self._writes.items() if start <= key < stop}
        if not own:
            return self._view.scan(start, stop, limit)
        found = dict(self._view.scan(start, stop, limit + len(own)))
        merged = ((key, own[key] if key in own else found[key]) for key in sorted(found.keys() | own.keys()))
        return list(islice(((key, value) for key, value in merged if value is not None), limit))

    def put(self, key: str, value: bytes) -> None:
        """Sets a key."""
        self._writes[key] = value

    def remove(self, key: str) -> None:
        """Removes a key."""
        self._writes[key] = None

    def tell(self, event_type: EventType, audience: str, *, subject: str, body: bytes) -> None:
        """Adds an event for one member (`""`: admins and auditors only) under the next number of that audience."""
        number = self._audiences.get(audience)
        if number is None:
            stored = self._view.get(f"audience/{audience}")
            number = 0 if stored is None else int.from_bytes(stored, "big")
        number += 1
        self._audiences[audience] = number
        self._events.append(Event(type=event_type, audience=audience, audience_number=number, subject=subject, body=body))

    def effects(self, outcomes: tuple[EntryOutcome, ...], reasons: tuple[str, ...]) -> Effects:
        """What was collected, ready to be hashed and stored."""
        writes = self._writes
        for audience, number in self._audiences.items():
            writes[f"audience/{audience}"] = number.to_bytes(8, "big")
        return Effects(writes=tuple(sorted(writes.items(), key=_key)), events=tuple(self._events), outcomes=outcomes, reasons=reasons)


class MemoryState:
    """A state, or a layer of changes over one that stays as it is meanwhile, in memory.

    Keys are kept in order for scans by their first part, when first scanned. What was read below is not read there again.
    """

    def __init__(self, below: StateView | None = None) -> None:
        self._below = below
        self._values: dict[str, bytes | None] = {}
        self._sorted: dict[str, list[str]] = {}
        self._read: dict[str, bytes | None] = {}
        self._found: dict[tuple[str, str], tuple[int, Sequence[tuple[str, bytes]]]] = {}  # by ends: limit, and rows up to that

    def get(self, key: str) -> bytes | None:
        """Value of a key; None if it has none."""
        if key in self._values:
            return self._values[key]
        if self._below is None:
            return None
        value: bytes | None = self._read.get(key, _UNREAD)
        if value is _UNREAD:
            value = self._read[key] = self._below.get(key)
        return value

    def scan(self, start: str, stop: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """At most `limit` keys with start ≤ key < stop and their values; both ends must share their first part."""
        keys = self._keys(_first_part(start))
        own = islice(keys, bisect_left(keys, start), bisect_left(keys, stop))
        values = self._values
        if self._below is None:
            return list(islice(((key, value) for key in own if (value := values[key]) is not None), limit))
        mine = list(own)
        rows = self._scan_below(self._below, start, stop, limit + len(mine))
        if not mine:
            return rows[:limit]
        merged = dict(rows)
        for key in mine:
            value = values[key]
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = value
        return sorted(merged.items(), key=_key)[:limit]

    def write(self, writes: Iterable[Write]) -> None:
        """Takes over the writes of an entry."""
        values = self._values
        for key, value in writes:
            if key not in values:
                known = self._sorted.get(_first_part(key))
                if known is not None:
                    insort(known, key)
            values[key] = value

    def items(self) -> list[tuple[str, bytes | None]]:
        """Every key of this layer in order; None marks what it removes from the view below."""
        return sorted(self._values.items(), key=_key)

    def _keys(self, part: str) -> list[str]:
        keys = self._sorted.get(part)
        if keys is None:
            keys = self._sorted[part] = sorted(key for key in self._values if _first_part(key) == part)
        return keys

    def _scan_below(self, below: StateView, start: str, stop: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """What a scan of the view below finds, or more of it.

        The entries of a group scan the same places again and again, and SQLite gives up the interpreter's lock with each row, which costs
        the applier's thread more than the looking.
        """
        most, rows = self._found.get((start, stop), (0, ()))
        if most < limit and len(rows) == most:
            most = max(limit, 2 * most)
            rows = below.scan(start, stop, most)
            self._found[start, stop] = most, rows
        return rows


def effects_hash(writes: Sequence[Write], events: Sequence[Event]) -> bytes:
    """SHA-256 over writes (which must be sorted by key) and events, each part with its length, so that no two effects share their bytes."""
    parts: list[bytes] = [b"hpcbridge effects v1", len(writes).to_bytes(4, "big")]
    add = parts.append
    for key, value in writes:
        name = key.encode()
        if value is None:
            add(b"%d:%s-" % (len(name), name))
        else:
            add(b"%d:%s+%d:%s" % (len(name), name, len(value), value))
    add(len(events).to_bytes(4, "big"))
    for event in events:
        subject = event.subject.encode()
        head = f"{event.type.value}/{event.audience}/{event.audience_number}".encode()
        add(b"%d:%s%d:%s%d:%s" % (len(head), head, len(subject), subject, len(event.body), event.body))
    return hashlib.sha256(b"".join(parts)).digest()


def prefix_end(prefix: str) -> str:
    """First key after every key that begins with `prefix`, which ends with a slash: the sign after the slash in code order is 0."""
    return f"{prefix[:-1]}0"


def scan_all(view: StateView, prefix: str, *, page: int = 512, wanted: Callable[[bytes], bool] | None = None) -> list[tuple[str, bytes]]:
    """Every key under `prefix` (which ends with a slash), read in pages; only values that are `wanted`."""
    found: list[tuple[str, bytes]] = []
    start, stop = prefix, prefix_end(prefix)
    while True:
        rows = view.scan(start, stop, page)
        found.extend(row for row in rows if wanted is None or wanted(row[1]))
        if len(rows) < page:
            return found
        start = f"{rows[-1][0]}\0"


def _first_part(key: str) -> str:
    return key[: key.find("/")]


def _key(item: tuple[str, bytes | None]) -> str:
    return item[0]
