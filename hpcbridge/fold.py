# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The fold: from the bytes of an envelope to the entry they become, or to the answer that is no entry.

One function for the service's applier and for the auditor's replay, so every rule but size and quota of admission is checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hpcbridge.contract.state import StateView, Write
from hpcbridge.model.entries import Entry, Event, NoEntry
from hpcbridge.model.identities import CertificateFacts, Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Envelope


class Seen(Protocol):
    """What the ledger has under a number."""

    @property
    def index(self) -> int:
        """Entry."""
        ...

    @property
    def payload_hash(self) -> bytes:
        """SHA-256 of the payload."""
        ...


class FoldState(StateView, Protocol):
    """State and numbers."""

    def number(self, submitter: str, epoch: bytes, sequence: int) -> Seen | None:
        """The entry that consumed a number; None if it is free."""
        ...


class Number(NamedTuple):
    """A number and what consumed it."""

    submitter: str
    epoch: bytes
    sequence: int
    payload_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A new entry with all it causes. `number` None: an evidence entry, which consumes no number."""

    leaf: bytes
    entry: Entry
    reasons: tuple[str, ...]
    writes: tuple[Write, ...]
    events: tuple[Event, ...]
    number: Number | None


def fold(
    state: FoldState,
    raw_envelope: bytes,
    *,
    index: int,
    at: Instant,
    proposer: Submitter,
    origin: str,
    verify: Callable[[Envelope, bytes], None],
    verify_certificate: Callable[[CertificateFacts, bytes], None] = ...,
) -> Applied | NoEntry: ...
