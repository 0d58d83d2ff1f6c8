# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The proposer: packs admitted envelopes into signed batches and submits each until it is seen in the order.

There is no timer: a batch is whatever waits when the one before has reached the applier, at most 256 envelopes or 1 MiB (group commit).
Submitting promises nothing, so a batch that was not seen for a while is submitted again; the fold makes the repeat harmless.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.daemon.life import PULSE_SECONDS, Pulse
from hpcbridge.errors import LedgerUnavailable
from hpcbridge.ledger.engine import Batch, Engine
from hpcbridge.model.entries import Retry, RetryCode
from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.service.batches import seal_batch
from hpcbridge.service.clock import ClockMoved, ProposerClock
from hpcbridge.service.proposals import Judged, Proposal

logger = logging.getLogger(__name__)

MAX_BATCH_ENVELOPES = 256
MAX_BATCH_BYTES = 1 << 20
MAX_WAITING_BYTES = 64 << 20
MAX_WAITING_OF_ONE = MAX_WAITING_BYTES // 4
"""Of one member, so that who sends most does not make all others wait behind it; a whole window of the largest envelopes fits."""
MAX_UNSEEN_BATCHES = 1
"""Submitted and not yet seen in the order: while the applier works on one batch the next one stands ready, and all others grow."""
RESUBMIT_SECONDS = 3.0


@dataclass(slots=True)
class _Pending:
    batch: Batch
    proposals: tuple[Proposal, ...]
    submitted: float
    made: float


class Proposer:
    """Owns the queue between admission and engine. `run` belongs to its thread, `take` to the applier's, the rest to any."""

    def __init__(
        self,
        engine: Engine,
        *,
        submitter: Submitter,
        key: ec.EllipticCurvePrivateKey,
        clock: ProposerClock,
        last_at: Callable[[], Instant],
        give_back: Callable[[Sequence[Judged]], None],
        pulse: Pulse | None = None,
    ) -> None:
        """`pulse` tells that the thread of `run` is well."""
        self._engine = engine
        self._submitter = submitter
        self._key = key
        self._clock = clock
        self._last_at = last_at
        self._give_back = give_back
        self._waiting: deque[Proposal] = deque()
        self._waiting_bytes = 0
        self._waiting_of: Counter[str] = Counter()
        self._pending: dict[bytes, _Pending] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._pulse = pulse or Pulse("proposer", limit_seconds=PULSE_SECONDS, clock=time.monotonic)

    def has_room(self, owner: str) -> bool:
        """False while more waits than memory should hold, or than one member may have waiting; admission then answers RETRY."""
        return self._waiting_bytes < MAX_WAITING_BYTES and self._waiting_of[owner] < MAX_WAITING_OF_ONE

    def put(self, proposals: Sequence[Proposal]) -> bool:
        """Takes proposals in their order; False once the service is stopping: nothing of it was taken then."""
        with self._changed:
            if self._stopping:
                return False
            self._waiting.extend(proposals)
            self._count(proposals, 1)
            self._changed.notify()
        return True

    def waiting(self) -> tuple[int, int]:
        """How many proposals wait to be put into a batch, and their bytes."""
        return len(self._waiting), self._waiting_bytes

    def oldest_unseen_seconds(self) -> float:
        """How long ago the oldest batch was made that the applier has not taken yet; 0 if there is none."""
        with self._changed:
            return max((time.monotonic() - pending.made for pending in self._pending.values()), default=0.0)

    def take(self, batch: Batch) -> tuple[Proposal, ...] | None:
        """The proposals of a batch of our own, the first time it is seen; None for a repeat or a batch of another replica."""
        with self._changed:
            pending = self._pending.pop(batch.signature, None)
            self._changed.notify()
        return pending.proposals if pending is not None and pending.batch == batch else None

    def run(self) -> None:
        """Proposes until `stop`, and then what is still waiting."""
        while (proposals := self._next()) is not None:
            self._pulse.beat()
            if proposals:
                self._propose(proposals)
            self._resubmit()
        self._pulse.rest()

    def stop(self) -> None:
        """Takes nothing more; `run` ends when everything taken was seen in the order."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def abandon(self) -> None:
        """Forgets what is on its way, without an answer: the process ends."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._pending.clear()
            self._changed.notify()

    def _next(self) -> tuple[Proposal, ...] | None:
        """The next batch's proposals, () if only time has passed, None at the end."""
        with self._changed:
            while not self._waiting or len(self._pending) >= MAX_UNSEEN_BATCHES:
                if self._stopping and not self._waiting and not self._pending:
                    return None
                self._pulse.rest()
                if not self._changed.wait(RESUBMIT_SECONDS if self._pending else None):
                    return ()
            size = 0
            proposals: list[Proposal] = []
            while self._waiting and len(proposals) < MAX_BATCH_ENVELOPES:
                size += len(self._waiting[0].envelope)
                if proposals and size > MAX_BATCH_BYTES:
                    break
                proposals.append(self._waiting.popleft())
            self._count(proposals, -1)
            return tuple(proposals)

    def _count(self, proposals: Sequence[Proposal], sign: int) -> None:
        for proposal in proposals:
            size = sign * len(proposal.envelope)
            self._waiting_bytes += size
            self._waiting_of[proposal.owner] += size
        for owner in {proposal.owner for proposal in proposals}:
            if not self._waiting_of[owner]:
                del self._waiting_of[owner]

    def _propose(self, proposals: tuple[Proposal, ...]) -> None:
        try:
            at = max(self._clock.propose_at(), self._last_at())
        except ClockMoved as error:
            answer = Retry(RetryCode.BEHIND, str(error))
            self._give_back([Judged(proposal, answer) for proposal in proposals])
            return
        envelopes = tuple(proposal.envelope for proposal in proposals)
        batch = seal_batch(self._submitter, at, envelopes=envelopes, key=self._key)
        now = time.monotonic()
        with self._changed:
            self._pending[batch.signature] = _Pending(batch, proposals, now, now)
        self._submit(batch)

    def _resubmit(self) -> None:
        now = time.monotonic()
        with self._changed:
            late = [pending for pending in self._pending.values() if now - pending.submitted > RESUBMIT_SECONDS]
            for pending in late:
                pending.submitted = now
        for pending in late:
            logger.info("batch_submitted_again envelopes=%d", len(pending.batch.envelopes))
            self._submit(pending.batch)

    def _submit(self, batch: Batch) -> None:
        try:
            self._engine.submit(batch)
        except LedgerUnavailable as error:
            logger.warning("engine_takes_nothing reason=%s", error)
