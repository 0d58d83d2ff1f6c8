# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The applier: the one thread that folds ordered batches into entries and stores them.

A batch is one group and one transaction of the store. Nothing is told to anybody here: verdicts go to the signer with the group, and out
only after the checkpoint over it is signed. An input/output error ends the process; what was lost with it was never acknowledged.
"""

from __future__ import annotations

import logging
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from hpcbridge.contract.records import StoredInstallation, StoredMember, decode_stored
from hpcbridge.daemon.durations import Durations
from hpcbridge.daemon.life import PULSE_SECONDS, Pulse
from hpcbridge.errors import BadData, IdentityError, Refused, SignatureInvalid
from hpcbridge.fold import Applied, Opened, WorkingState, fold
from hpcbridge.ledger.engine import Batch, Engine
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.records import Group, Number, StoredEntry
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Duplicate, NoEntry, Rejected, RejectionCode, Retry
from hpcbridge.model.identities import Role
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Envelope, PayloadType
from hpcbridge.service.batches import verify_batch
from hpcbridge.service.proposals import Judged, Placed, Proposal, Verdict
from hpcbridge.service.readers import ReadState
from hpcbridge.service.refusals import Refusals
from hpcbridge.service.signer import StoredGroup
from hpcbridge.wire.convert import decode

logger = logging.getLogger(__name__)

MAX_REASONS = 50_000
_TYPE_NAMES = {payload_type.value: payload_type.name for payload_type in PayloadType}
MAX_UNSTORED_POSITIONS = 64
_BUGS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    msgspec.MsgspecError,
    BadData,
    IdentityError,
    Refused,
)
"""What a mistake of ours can look like. That our own bytes are broken, or the disk, is none of it and ends the service."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whom the applier talks to: who waits for a batch, who signs, and who must know what was written."""

    take: Callable[[Batch], tuple[Proposal, ...] | None]
    sign: Callable[[StoredGroup], None]
    written: Callable[[Iterable[str]], None]


class Applier:
    """Owns the store's write side and the growing end of the tree. `run` belongs to its thread."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        tree: Tree,
        *,
        origin: str,
        last_at: Instant,
        verify: Callable[[Envelope, bytes], None],
        surroundings: Surroundings,
        refusals: Refusals,
        pulse: Pulse | None = None,
    ) -> None:
        """`pulse` tells that the thread of `run` is well."""
        self._engine = engine
        self._store = store
        self._tree = tree
        self._origin = origin
        self._verify = verify
        self._around = surroundings
        self._reasons = _RecentReasons(MAX_REASONS)
        self._abandoned = False
        self.last_at = last_at
        self.faults = 0
        """Envelopes refused only because of a mistake of ours; the status line tells of them."""
        self._refusals = refusals
        self._pulse = pulse or Pulse("applier", limit_seconds=PULSE_SECONDS, clock=time.monotonic)
        self.took = Durations()
        """How long batches took to be folded."""
        self.storing_took = Durations()
        """How long groups took to become durable."""
        self.entries: Counter[str] = Counter()
        """New entries by payload type."""
        self.items: Counter[tuple[str, str]] = Counter()
        """Items of new entries by payload type and outcome."""

    def run(self) -> None:
        """Folds and stores until the engine is closed and everything ordered is stored."""
        for position, batch in self._engine.follow(self._store.head().engine_position):
            if self._abandoned:
                break
            self._pulse.beat()
            self._apply(position, batch)
            self._pulse.rest()
        self._pulse.rest()

    def abandon(self) -> None:
        """`run` ends after the batch in work: the process ends."""
        self._abandoned = True

    def reasons(self, index: int) -> tuple[str, ...]:
        """Why items of a late entry were refused; empty if that is not remembered any more."""
        return self._reasons.of(index)

    def _apply(self, position: int, batch: Batch) -> None:
        proposals = self._around.take(batch)
        if proposals is None and not self._is_authentic(batch):
            logger.error("batch_refused position=%d proposer=%s reason=signature", position, batch.proposer)
            self._store_position(position)
            return
        at = max(self.last_at, batch.at)
        began = time.monotonic()
        applied, verdicts = self._fold(batch, at, proposals)
        folded = time.monotonic()
        self.took.add(folded - began)
        if applied:
            self._store.append(self._group(applied, position))
            self.storing_took.add(time.monotonic() - folded)
            self._engine.trim(position)
            self.last_at = at
            self._around.written([key for each in applied for key, _ in each.writes])
        else:
            self._store_position(position)
        judged = tuple(map(Judged, proposals or (), verdicts))
        audiences = frozenset(event.audience for each in applied for event in each.events)
        self._around.sign(StoredGroup(self._tree.size, self._tree.root(), self.last_at, judged, audiences))

    def _fold(self, batch: Batch, at: Instant, proposals: Sequence[Proposal] | None) -> tuple[list[Applied], list[Verdict]]:
        state = WorkingState(ReadState(self._store))
        applied: list[Applied] = []
        verdicts: list[Verdict] = []
        opened = [None] * len(batch.envelopes) if proposals is None else [proposal.opened for proposal in proposals]
        for envelope, known in zip(batch.envelopes, opened, strict=True):
            result = self._fold_one(state, envelope, known, batch=batch, at=at)
            if isinstance(result, Applied):
                state.put(result)
                applied.append(result)
                self._tree.append(leaf_hash(result.leaf))
                self._reasons.keep(result.entry.index, result.reasons)
                self._count(result, known)
                verdicts.append(Placed(result.entry.index, result.leaf, result.reasons))
            elif isinstance(result, Duplicate):
                verdicts.append(Placed(result.index, None, self._reasons.of(result.index)))
            else:
                if isinstance(result, Retry | Rejected):
                    self._refusals.count_envelope(result)
                verdicts.append(result)
        return applied, verdicts

    def _fold_one(self, state: WorkingState, envelope: bytes, opened: Opened | None, *, batch: Batch, at: Instant) -> Applied | NoEntry:
        try:
            return fold(
                state,
                envelope,
                opened=opened,
                index=self._tree.size,
                at=at,
                proposer=batch.proposer,
                origin=self._origin,
                verify=self._verify,
            )
        except _BUGS:
            # A mistake of ours that one envelope brings to light must not stop the ledger for all. It is no entry, so no history differs.
            self.faults += 1
            logger.exception("fold_failed index=%d envelope_sha256=%s", self._tree.size, sha256(envelope).hexdigest())
            return Rejected(RejectionCode.MALFORMED_HEADER, "the ledger cannot read this; its log says why")

    def _count(self, applied: Applied, known: Opened | None) -> None:
        outcomes = applied.entry.outcomes
        envelope = decode(Envelope, applied.entry.envelope) if known is None else known.envelope
        kind = _TYPE_NAMES.get(envelope.payload_type, "UNKNOWN")
        self.entries[kind] += 1
        for outcome in set(outcomes):
            self.items[kind, outcome] += outcomes.count(outcome)
        if applied.reasons:
            self._refusals.count(kind, outcomes, applied.reasons)

    def _group(self, applied: Sequence[Applied], position: int) -> Group:
        entries = tuple(StoredEntry(index=each.entry.index, leaf=each.leaf, number=_number(each), events=each.events) for each in applied)
        writes = {key: value for each in applied for key, value in each.writes}
        return Group(entries=entries, writes=writes, tiles=self._tree.take_full_tiles(), root=self._tree.root(), engine_position=position)

    def _store_position(self, position: int) -> None:
        """Batches without an entry cost no commit of their own, but the engine must be able to forget them some day."""
        if position - self._store.head().engine_position >= MAX_UNSTORED_POSITIONS:
            self._store.append(Group(entries=(), writes={}, tiles=(), root=self._tree.root(), engine_position=position))
            self._engine.trim(position)

    def _is_authentic(self, batch: Batch) -> bool:
        """True if a system node that is not revoked proposed it."""
        member = self._store.state(f"member/{batch.proposer.member}")
        installation = self._store.state(f"installation/{batch.proposer}")
        if member is None or installation is None:
            return False
        of_member, own = decode_stored(StoredMember, member), decode_stored(StoredInstallation, installation)
        if of_member.role is not Role.SYSTEM_NODE or of_member.revoked or own.revoked:
            return False
        try:
            verify_batch(batch, own.public_key)
        except SignatureInvalid:
            return False
        return True


def _number(applied: Applied) -> Number | None:
    number = applied.number
    if number is None:
        return None
    return Number(submitter=number.submitter, epoch=number.epoch, sequence=number.sequence, payload_hash=number.payload_hash)


class _RecentReasons:
    """Reasons of refused items by entry, at most so many sentences of all entries together; the oldest are forgotten."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._count = 0
        self._of: dict[int, tuple[str, ...]] = {}

    def keep(self, index: int, reasons: tuple[str, ...]) -> None:
        if reasons:
            self._of[index] = reasons
            self._count += len(reasons)
            while self._count > self._bound:
                self._count -= len(self._of.pop(next(iter(self._of))))

    def of(self, index: int) -> tuple[str, ...]:
        return self._of.get(index, ())
