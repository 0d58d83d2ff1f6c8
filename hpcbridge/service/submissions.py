# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The Submit stream: Hello, then envelopes in; receipts and other answers out.

Three tasks a stream: one reads and starts the checks, one proposes what was checked in the order of arrival, one writes what came back.
Signatures are checked in a small pool in chunks, so the event loop does nothing per envelope but count it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import grpc

from hpcbridge.errors import HpcbridgeError, LedgerUnavailable, Refused
from hpcbridge.model.entries import EntryOutcome, Expect, Rejected, Retry, RetryCode
from hpcbridge.service.admission import Admission, Checked, payload_hash
from hpcbridge.service.connections import Connection
from hpcbridge.service.proposals import Answer, Proposal, Receipted
from hpcbridge.service.proposer import Proposer
from hpcbridge.service.quotas import Quotas
from hpcbridge.service.streams import Stream, Streams, until_cut
from hpcbridge.wire.generated import entries_pb2, ledger_pb2

CHUNK = 64
_END: Any = getattr(grpc.aio, "EOF")  # noqa: B009 - the stubs do not know it
MAX_UNCHECKED_CHUNKS = 8
MAX_UNREAD_BYTES = 4 << 20
"""Of answers that wait to be read: above this, envelopes are answered with RETRY."""
END_UNREAD_BYTES = 2 * MAX_UNREAD_BYTES
"""Above this the stream is ended, because a RETRY is an answer too."""
WINDOWS_TOLERATED = 2
"""A member holds an answer, and sends the next envelope, before this side has noticed that the answer was sent."""
REPLY_BYTES = 900_000
"""A reply stays well below the largest gRPC message."""


@dataclass(frozen=True, slots=True)
class Desks:
    """What every Submit stream uses."""

    admission: Admission
    proposer: Proposer
    checkers: Executor
    hello: Callable[[ledger_pb2.Hello], ledger_pb2.HelloReply]
    judge: Callable[[Connection], HpcbridgeError | None]
    quotas: Quotas
    window: int


async def submit(context: Any, connection: Connection, streams: Streams, desks: Desks) -> None:
    """Serves one stream until the member ends it, or its identity, its age or the service ends it; raises why it was cut."""
    with streams.opened(connection, reads=True) as stream:
        session = _Session(context, stream, desks)
        await until_cut(stream, session.read(), session.propose(), session.write())


class _Session:
    """One open Submit stream, and the desk its answers come to."""

    def __init__(self, context: Any, stream: Stream, desks: Desks) -> None:
        self._context = context
        self._stream = stream
        self._desks = desks
        self._loop = asyncio.get_running_loop()
        self._unchecked: asyncio.Queue[asyncio.Future[list[Checked]] | None] = asyncio.Queue(MAX_UNCHECKED_CHUNKS)
        self._out: deque[tuple[bytes, int]] = deque()  # reply, and how many envelopes it answers
        self._out_bytes = 0
        self._wake = asyncio.Event()
        self._in_flight = 0
        self._greeted = False
        self._ended = False

    async def read(self) -> None:
        """Takes requests until the member has sent everything."""
        try:
            while (request := await self._context.read()) is not _END:
                self._stream.last_read = self._loop.time()
                objection = self._desks.judge(self._stream.connection)
                if objection is not None:
                    raise objection
                if self._out_bytes > END_UNREAD_BYTES:
                    raise LedgerUnavailable("more and more is sent, and no answer is read", hint="read the answers")
                await self._desks.quotas.message(self._stream.connection.submitter)
                await self._take(request)
        finally:
            self._ended = True
        await self._unchecked.put(None)
        self._wake.set()

    async def propose(self) -> None:
        """Hands on what was checked, in order of arrival."""
        submitter = self._stream.connection.submitter
        owner = submitter.member
        while (chunk := await self._unchecked.get()) is not None:
            checked = await chunk
            refused = [(each.payload_hash, each.refusal) for each in checked if each.refusal is not None]
            if refused:
                self.hand_over(self.render(refused))
            admitted = [Proposal(each.envelope, each.payload_hash, self, owner, each.opened) for each in checked if each.refusal is None]
            if admitted and not self._desks.proposer.has_room(owner):
                self._give_back(admitted, RetryCode.BEHIND, "more is waiting to be stored than the ledger can hold, or one member's share")
            elif admitted and (what := self._desks.quotas.store(submitter, sum(len(each.envelope) for each in admitted))):
                self._give_back(admitted, RetryCode.QUOTA, what)
            elif admitted and not self._desks.proposer.put(admitted):
                self._give_back(admitted, RetryCode.STOPPING, "the ledger is going down")

    async def write(self) -> None:
        """Sends answers until all are sent and no more can come."""
        while not (self._ended and self._in_flight == 0 and not self._out):
            await self._wake.wait()
            self._wake.clear()
            while self._out:
                reply, count = self._out.popleft()
                # Before it is sent: the member may answer it with more envelopes before this task runs again.
                self._in_flight -= count
                await self._context.write(reply)
                self._out_bytes -= len(reply)

    def render(self, answers: Sequence[tuple[bytes, Answer]]) -> list[tuple[bytes, int]]:
        """Encoded replies and how many envelopes each answers; runs on the signer's thread."""
        receipts = [answer for _, answer in answers if isinstance(answer, Receipted)]
        others = [_answer(hash_, answer) for hash_, answer in answers if not isinstance(answer, Receipted)]
        return [*_receipts(receipts), *((ledger_pb2.SubmitReply(answer=other).SerializeToString(), 1) for other in others)]

    def hand_over(self, rendered: list[tuple[bytes, int]]) -> None:
        """Queues replies; the envelopes they answer count in the window until the reply is sent."""
        for reply, count in rendered:
            self._queue(reply, count)

    def _queue(self, reply: bytes, count: int) -> None:
        self._out.append((reply, count))
        self._out_bytes += len(reply)
        self._wake.set()

    async def _take(self, request: ledger_pb2.SubmitRequest) -> None:
        match request.WhichOneof("request"):
            case "hello":
                if request.hello.submitter.partition("/")[0] != self._stream.connection.submitter.member:
                    raise Refused(EntryOutcome.NOT_PERMITTED, "Hello asks for a chain of numbers of another member")
                reply = await self._loop.run_in_executor(self._desks.checkers, self._desks.hello, request.hello)
                self._greeted = True
                self._queue(ledger_pb2.SubmitReply(hello=reply).SerializeToString(), 0)
            case "envelopes" if self._greeted:
                await self._take_envelopes(list(request.envelopes.envelopes))
            case "envelopes":
                raise Refused(EntryOutcome.MALFORMED, "the first message of a stream is Hello")
            case _:
                raise Refused(EntryOutcome.MALFORMED, "a request without content")

    async def _take_envelopes(self, envelopes: list[bytes]) -> None:
        count = len(envelopes)
        if not 0 < count <= WINDOWS_TOLERATED * self._desks.window:
            raise Refused(EntryOutcome.MALFORMED, f"a message of {count} envelopes; the window is {self._desks.window}")
        submitter, size = self._stream.connection.submitter, sum(map(len, envelopes))
        what = self._unread(count) or await self._desks.quotas.envelopes(submitter, count, size)
        self._in_flight += count
        if what:
            self.hand_over(self.render([(payload_hash(each), Retry(RetryCode.QUOTA, what)) for each in envelopes]))
            return
        for start in range(0, count, CHUNK):
            chunk = envelopes[start : start + CHUNK]
            await self._unchecked.put(self._loop.run_in_executor(self._desks.checkers, self._desks.admission.check_all, chunk))

    def _unread(self, count: int) -> str:
        """Why `count` more are too many for this stream; empty if they are not."""
        if self._in_flight + count > WINDOWS_TOLERATED * self._desks.window:
            return f"more than {self._desks.window} envelopes without an answer that was read"
        return "answers are waiting to be read" if self._out_bytes > MAX_UNREAD_BYTES else ""

    def _give_back(self, proposals: Sequence[Proposal], code: RetryCode, reason: str) -> None:
        self.hand_over(self.render([(each.payload_hash, Retry(code, reason)) for each in proposals]))


def _receipts(receipts: Iterable[Receipted]) -> list[tuple[bytes, int]]:
    """Replies of bounded size, the checkpoint once in each."""
    replies: list[tuple[bytes, int]] = []
    parts: list[entries_pb2.Receipt] = []
    note, size = "", 0
    for each in receipts:
        receipt = each.receipt
        if parts and (size + len(receipt.leaf) > REPLY_BYTES or note != receipt.checkpoint.note):
            replies.append(_receipts_reply(parts, note))
            parts, size = [], 0
        note = receipt.checkpoint.note
        size += len(receipt.leaf) + 34 * len(receipt.proof) + sum(map(len, each.reasons)) * 4 + 64
        parts.append(entries_pb2.Receipt(leaf=receipt.leaf, index=receipt.index, proof=receipt.proof, reasons=each.reasons))
    if parts:
        replies.append(_receipts_reply(parts, note))
    return replies


def _receipts_reply(parts: list[entries_pb2.Receipt], note: str) -> tuple[bytes, int]:
    receipts = ledger_pb2.Receipts(receipts=parts, checkpoint=entries_pb2.Checkpoint(note=note))
    return ledger_pb2.SubmitReply(receipts=receipts).SerializeToString(), len(parts)


def _answer(hash_: bytes, answer: Expect | Retry | Rejected | Receipted) -> ledger_pb2.Answer:
    match answer:
        case Expect(sequence):
            return ledger_pb2.Answer(payload_hash=hash_, expect_sequence=sequence)
        case Retry(code, reason):
            return ledger_pb2.Answer(payload_hash=hash_, retry=ledger_pb2.Retry(code=code, reason=reason))
        case Rejected(code, reason):
            return ledger_pb2.Answer(payload_hash=hash_, rejection=ledger_pb2.Rejection(code=code, reason=reason))
    raise LedgerUnavailable("a receipt is no answer of this kind")
