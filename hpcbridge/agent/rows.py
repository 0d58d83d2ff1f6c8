# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What goes into the spool and comes out of it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpcbridge.agent.changes import GoneJob, MissingJob, SeenJob
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.nodes import Availability
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import PayloadType


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to bring to the ledger: one encoded change, or a whole body of a type without items.

    An unsent item with the same `replaces` gives way to this one. `subject` is the job it is about. A `sample` may be dropped when
    the spool is nearly full. An `unconfirmed` job's incarnation has to be compared with the ledger's before it is sent.
    """

    payload_type: PayloadType
    content: bytes
    replaces: str | None = None
    subject: str | None = None
    sample: bool = False
    unconfirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWrites:
    """How what was last seen changes, in the same transaction as the items that follow from it.

    `encoded` spares encoding a job of `seen` twice where an item was just made of it.
    """

    seen: Mapping[str, SeenJob] = field(default_factory=dict)
    encoded: Mapping[str, bytes] = field(default_factory=dict)
    gone: Mapping[str, GoneJob] = field(default_factory=dict)
    missing: tuple[MissingJob, ...] = ()
    no_longer_missing: tuple[tuple[str, int], ...] = ()
    nodes: Mapping[str, Availability] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitingItem:
    """One row of what waits; rows are sent in the order of their ids."""

    row: int
    content: bytes
    subject: str | None
    unconfirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Where this installation stands in its chain of numbers. `epoch` is empty before the first one.

    `acknowledged` is the highest number with a verified receipt. `opening` is the previous epoch named by a number 1 that has no
    receipt yet, else None.
    """

    epoch: bytes
    next_sequence: int
    acknowledged: int
    opening: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedPayload:
    """A payload that got its number and does not change any more."""

    epoch: bytes
    sequence: int
    payload_type: PayloadType
    payload: bytes
    payload_hash: bytes
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One item the contract said no to."""

    ordinal: int
    code: EntryOutcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A verified receipt: its file form, and what its entry says of each item."""

    sequence: int
    index: int
    outcomes: tuple[EntryOutcome, ...]
    refusals: tuple[Refusal, ...]
    receipt: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFigures:
    """The spool as a screen shows it."""

    waiting: int
    in_flight: int
    acknowledged: int
    quarantined: int
    refused: int
    bytes: int
    quota_bytes: int
    oldest_waiting_at: Instant | None
