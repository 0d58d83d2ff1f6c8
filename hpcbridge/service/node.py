# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger's own member, the system node: it sends ticks, enrolments and renewals through the same way in as everybody.

It numbers like any submitter, one transaction at a time, and goes on from what the store has. A number whose answer is not known is never
given to another payload: the next transaction waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.contract.records import StoredEpoch, decode_stored
from hpcbridge.errors import HpcbridgeError, LedgerUnavailable, Refused
from hpcbridge.identity.sealing import seal
from hpcbridge.model.entries import Entry, EntryOutcome, Retry
from hpcbridge.model.identities import Submitter
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Body, EpochReason, EpochStart, Header, Payload, Seen, Tick
from hpcbridge.service.proposals import Answer, Proposal, Receipted
from hpcbridge.service.signer import Published
from hpcbridge.wire.convert import decode, encode, encode_body, payload_type_of

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Node:
    """The system node's chain of numbers. Belongs to the event loop."""

    def __init__(
        self,
        origin: str,
        submitter: Submitter,
        *,
        key: ec.EllipticCurvePrivateKey,
        put: Callable[[Sequence[Proposal]], bool],
        state: Callable[[str], bytes | None],
        published: Callable[[], Published],
        now: Callable[[], Instant],
        random: Callable[[int], bytes],
    ) -> None:
        self._origin = origin
        self._submitter = submitter
        self._key = key
        self._put = put
        self._state = state
        self._published = published
        self._now = now
        self._random = random
        self._turn = asyncio.Lock()
        self._sending: set[asyncio.Task[Receipted]] = set()

    async def send(self, body: Body) -> Receipted:
        """Sends one transaction; Refused as the contract says, LedgerUnavailable if it may be tried again.

        The number is seen through to its answer even if the caller does not wait for it.
        """
        task = asyncio.ensure_future(self._send_in_turn(body))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return await asyncio.shield(task)

    async def _send_in_turn(self, body: Body) -> Receipted:
        async with self._turn:
            epoch = self._epoch()
            if epoch is None or epoch.closed:
                await self._start_epoch(epoch)
                epoch = self._epoch()
            if epoch is None or epoch.closed:
                raise LedgerUnavailable("the ledger's own epoch could not be opened")
            return _accepted(await self._send(body, epoch.epoch, epoch.last_sequence + 1))

    async def _start_epoch(self, last: StoredEpoch | None) -> None:
        start = EpochStart(
            previous_epoch=b"" if last is None else last.epoch,
            last_acknowledged=0 if last is None else last.last_sequence,
            reason=EpochReason.FIRST if last is None else EpochReason.CLOSED,
            gap=None,
        )
        _accepted(await self._send(start, self._random(16), 1))

    async def _send(self, body: Body, epoch: bytes, sequence: int) -> Answer:
        checkpoint = self._published().checkpoint
        header = Header(
            origin=self._origin,
            submitter=self._submitter,
            epoch=epoch,
            sequence=sequence,
            seen=Seen(size=checkpoint.size, root=checkpoint.root),
            wall_at=self._now(),
        )
        payload = encode(Payload(header=header, body=encode_body(body)))
        envelope = encode(seal(payload, payload_type_of(body), self._key))
        desk = _Desk()
        if not self._put([Proposal(envelope, sha256(payload).digest(), desk)]):
            raise LedgerUnavailable("the ledger is going down")
        return await desk.answer

    def _epoch(self) -> StoredEpoch | None:
        """As stored: an answer comes only after its number is."""
        stored = self._state(f"epoch/{self._submitter}")
        return None if stored is None else decode_stored(StoredEpoch, stored)


class Ticker:
    """Sends a Tick when one is due: regularly, and as soon as a deadline in the state has passed. Belongs to the event loop."""

    def __init__(self, node: Node, *, seconds: float, deadline: Callable[[], Instant | None], now: Callable[[], Instant]) -> None:
        self._node = node
        self._seconds = seconds
        self._deadline = deadline
        self._now = now

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while True:
            deadline = self._deadline()
            if loop.time() >= due_at or (deadline is not None and deadline <= self._now()):
                await self._tick()
                due_at = loop.time() + self._seconds
            await asyncio.sleep(min(LOOK_SECONDS, self._seconds))

    async def _tick(self) -> None:
        try:
            await self._node.send(Tick())
        except HpcbridgeError as error:
            logger.warning("tick_failed reason=%s", error)


class _Desk:
    """Waits for the answer to one transaction."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def render(self, answers: Sequence[tuple[bytes, Answer]]) -> Any:
        return answers[0][1]

    def hand_over(self, rendered: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(rendered)


def _accepted(answer: Answer) -> Receipted:
    if not isinstance(answer, Receipted):
        reason = answer.reason if isinstance(answer, Retry) else repr(answer)
        raise LedgerUnavailable(f"the ledger's own transaction is no entry: {reason}")
    outcome = decode(Entry, answer.receipt.leaf).outcomes[0]
    if outcome is not EntryOutcome.ACCEPTED:
        raise Refused(outcome, answer.reasons[0] if answer.reasons else "refused by the contract")
    return answer
