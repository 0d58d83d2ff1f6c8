# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One stream to the ledger from Hello to its end.

What Hello answers decides whether the epoch goes on. After any answer but a receipt nothing more is sent until everything on its way
has its answer; then sending goes back to the first payload without a receipt. A payload gets its number when there is room to send it,
and is sealed anew each time it is sent.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hpcbridge.agent.memory import Memory
from hpcbridge.agent.numbers import LedgerNumbers, NewEpoch, decide
from hpcbridge.agent.payloads import MAX_BODY_BYTES, WITH_ITEMS, acknowledgement_of, make_body, make_payload, match_leaf
from hpcbridge.agent.recovery import LedgerRecord, confirm_incarnations
from hpcbridge.agent.rows import Acknowledgement, NumberedPayload, WaitingItem
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.trust import Contradiction, Trust
from hpcbridge.errors import BadData, ConfigError, HpcbridgeError, IntegrityError, LedgerUnavailable
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.profile import Profile
from hpcbridge.identity.sealing import seal
from hpcbridge.model.entries import EntryOutcome, RejectionCode, RetryCode
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import MAX_ITEMS, EpochReason, EpochStart, Gap, Header, PayloadType, Seen
from hpcbridge.wire.client import LedgerClient, SubmitStream
from hpcbridge.wire.convert import encode
from hpcbridge.wire.generated import entries_pb2, ledger_pb2
from hpcbridge.wire.receipts import open_leaf, read_receipt

logger = logging.getLogger(__name__)

WINDOW = 256
ENVELOPES_PER_MESSAGE = 8
"""Eight of the largest envelopes stay below the largest gRPC message."""
ANSWER_SECONDS = 30.0
"""A ledger that gives no answer to anything for so long is not there."""
BEAT_SECONDS = 1.0
FLUSH_SECONDS = 3.0
"""How long a stop waits for what is on its way."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Something new waits."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream ended, or could not be read any more."""

    error: HpcbridgeError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a session works with. `note` changes the status that a screen shows, `tell` hands receipts to those who wait for one."""

    spool: Spool
    memory: Memory
    client: LedgerClient
    identity: KeyDirectory
    profile: Profile
    cluster: str
    stopping: threading.Event
    events: queue.SimpleQueue[ledger_pb2.SubmitReply | Wake | Ended]
    clock: Callable[[], Instant]
    random_bytes: Callable[[int], bytes]
    beat: Callable[[], None]
    recovered: Callable[[], None]
    renew_soon: Callable[[], None]
    note: Callable[..., None]
    tell: Callable[[Mapping[int, Acknowledgement], Mapping[int, tuple[str, ...]]], None]


_POISONOUS = frozenset({RejectionCode.MALFORMED_HEADER, RejectionCode.TOO_LARGE, RejectionCode.UNKNOWN_CONTRACT})
"""Rejections that the payload's own bytes deserve; every other speaks of the identity or the epoch."""


class Session:
    """One stream from Hello to its end."""

    def __init__(self, desk: Desk, stream: SubmitStream) -> None:
        self._desk = desk
        self._stream = stream
        self._submitter = str(desk.profile.submitter)
        self._key = desk.identity.load_key()
        self._log_key = desk.identity.load_log_public_key()
        note = (desk.spool.meta("checkpoint") or b"").decode()
        self._trust = Trust(desk.client, origin=desk.profile.origin, log_key=self._log_key, note=note)
        self._record = LedgerRecord(desk.client, cluster=desk.cluster, beat=desk.beat)
        self._window = WINDOW
        self._in_flight: dict[bytes, NumberedPayload] = {}
        self._next = 1
        self._opening = False
        self._retry: LedgerUnavailable | None = None
        self._poison: tuple[int, str] | None = None
        self._goes_back = False
        self._progressed = False

    def hello(self) -> ledger_pb2.Hello:
        """Who we are and where we stand."""
        numbers = self._desk.spool.chain.numbers()
        return ledger_pb2.Hello(
            submitter=self._submitter,
            epoch=numbers.epoch,
            next_sequence=numbers.next_sequence,
            checkpoint=self._trust.note,
        )

    def run(self) -> None:
        """Serves the stream until it ends or the process stops."""
        self._begin(self._first_reply())
        silent = 0.0
        while True:
            self._desk.beat()
            stopping = self._desk.stopping.is_set()
            self._send_more()
            if stopping and (not self._in_flight or silent >= FLUSH_SECONDS):
                return
            try:
                event = self._desk.events.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                silent = silent + BEAT_SECONDS if self._in_flight else 0.0
                if silent >= ANSWER_SECONDS:
                    raise LedgerUnavailable(f"no answer to {len(self._in_flight)} envelopes for {ANSWER_SECONDS:g} s") from None
                continue
            silent = 0.0
            if isinstance(event, Ended):
                self._ended(event.error)
                return
            self._take(event)

    def _first_reply(self) -> ledger_pb2.HelloReply:
        waited = 0.0
        while waited < ANSWER_SECONDS and not self._desk.stopping.is_set():
            self._desk.beat()
            try:
                event = self._desk.events.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                waited += BEAT_SECONDS
                continue
            if isinstance(event, Ended):
                raise event.error or LedgerUnavailable("the stream ended at Hello")
            if isinstance(event, ledger_pb2.SubmitReply):
                if event.WhichOneof("reply") != "hello":
                    raise IntegrityError("the ledger answered something else than Hello first")
                return event.hello
        raise LedgerUnavailable("no answer to Hello")

    def _begin(self, reply: ledger_pb2.HelloReply) -> None:
        if reply.origin != self._desk.profile.origin:
            raise ConfigError(
                f"the ledger at {self._desk.client.address} is {reply.origin!r}, this identity is of {self._desk.profile.origin!r}",
                hint="check [[ledger]] address, or enrol there",
            )
        self._trust.advance(reply.checkpoint.note, proof=tuple(reply.consistency_proof))
        self._desk.spool.chain.set_checkpoint(self._trust.note)
        self._window = max(1, min(WINDOW, reply.window))
        self._desk.note(payload_types=frozenset(reply.payload_types))
        mine = self._desk.spool.chain.numbers()
        ledger = LedgerNumbers(
            epoch=reply.epoch,
            last_sequence=reply.last_sequence,
            last_payload_hash=reply.last_payload_hash,
            closed=reply.epoch_closed,
        )
        known = self._desk.spool.chain.payload_hash(ledger.epoch, ledger.last_sequence) if ledger.epoch else None
        decision = decide(mine, ledger, hash_at_last=known)
        if isinstance(decision, NewEpoch):
            self._open_epoch(decision.reason, previous_epoch=ledger.epoch, last_acknowledged=ledger.last_sequence)
        else:
            self._next = 1
            self._opening = mine.opening is not None
        self._desk.note(connected=True, last_error=None, address=self._desk.client.address)
        logger.info("connected address=%s epoch=%s next=%d", self._desk.client.address, mine.epoch.hex(), mine.next_sequence)

    def _open_epoch(
        self, reason: EpochReason, *, previous_epoch: bytes, last_acknowledged: int, poison: tuple[int, str] | None = None
    ) -> None:
        at = self._desk.clock()
        lost = reason is EpochReason.LOST
        gap = self._gap_of_loss(at) if lost else None
        body = EpochStart(previous_epoch=previous_epoch, last_acknowledged=last_acknowledged, reason=reason, gap=gap)
        epoch = self._desk.random_bytes(16)
        payload = make_payload(self._header(epoch, 1), PayloadType.EPOCH_START, encode(body), items=1)
        self._desk.spool.chain.open_epoch(payload, previous_epoch=previous_epoch, lost=lost, poison=poison, at=at)
        if lost:
            self._desk.memory.forget_confirmations()
        self._in_flight.clear()
        self._next = 1
        self._opening = True
        level = logging.INFO if reason is EpochReason.FIRST else logging.WARNING
        logger.log(level, "epoch_opened epoch=%s reason=%s previous=%s", epoch.hex(), reason, previous_epoch.hex())

    def _gap_of_loss(self, at: Instant) -> Gap:
        """From the last receipt this spool knows; a spool that knows none was lost at an unknown time."""
        since = int(self._desk.spool.meta("last_receipt_at") or b"0")
        return Gap(cluster=self._desk.cluster, reason="spool lost or restored", since_at=min(since, at), until_at=at, count=None)

    def _header(self, epoch: bytes, sequence: int) -> Header:
        return Header(
            origin=self._desk.profile.origin,
            submitter=self._desk.profile.submitter,
            epoch=epoch,
            sequence=sequence,
            seen=Seen(size=self._trust.size, root=self._trust.root),
            wall_at=self._desk.clock(),
        )

    # Sending

    def _send_more(self) -> None:
        if self._goes_back or self._retry is not None or self._poison is not None:
            if self._in_flight:
                return
            if self._poison is not None:
                self._leave_poisoned(*self._poison)
            if self._retry is not None:
                raise self._retry
            self._goes_back = False
            self._next = 1
        while len(self._in_flight) < self._window:
            room = 1 if self._opening else self._window - len(self._in_flight)
            if self._opening and self._in_flight:
                return
            payloads = self._desk.spool.chain.unacknowledged(self._next, min(room, ENVELOPES_PER_MESSAGE)) or self._pack()
            if not payloads:
                return
            self._send(payloads)

    def _send(self, payloads: Sequence[NumberedPayload]) -> None:
        """Seals with the key of today, whatever key signed before, and sends."""
        envelopes = [encode(seal(each.payload, each.payload_type, self._key)) for each in payloads]
        self._in_flight.update((each.payload_hash, each) for each in payloads)
        self._next = payloads[-1].sequence + 1
        self._stream.send_envelopes(envelopes)

    def _pack(self) -> tuple[NumberedPayload, ...]:
        """Makes the next payload of what waits and gives it its number; nothing while an epoch is being opened."""
        if self._opening:
            return ()
        if self._desk.spool.meta("recover") is not None:
            self._recover()
        batch = self._next_batch()
        if batch is None:
            return ()
        payload_type, items = batch
        taken = items if payload_type in WITH_ITEMS else items[:1]
        body = make_body(payload_type, [item.content for item in taken], cluster=self._desk.cluster)
        numbers = self._desk.spool.chain.numbers()
        payload = make_payload(self._header(numbers.epoch, numbers.next_sequence), payload_type, body, items=len(taken))
        self._desk.spool.chain.add_payload(payload, [item.row for item in taken], at=self._desk.clock())
        return (payload,)

    def _next_batch(self) -> tuple[PayloadType, tuple[WaitingItem, ...]] | None:
        """What waits longest; where incarnations are in doubt the ledger is asked first, which may change the items."""
        batch = self._desk.spool.next_items(limit=MAX_ITEMS, max_bytes=MAX_BODY_BYTES)
        if batch is None or not any(item.unconfirmed for item in batch[1]):
            return batch
        confirm_incarnations(self._desk.memory, self._record, batch[1])
        return self._desk.spool.next_items(limit=MAX_ITEMS, max_bytes=MAX_BODY_BYTES)

    def _recover(self) -> None:
        """The ledger's open jobs count as last seen, so that the next report and accounting say what became of them."""
        open_jobs = tuple(self._record.open_jobs())  # all of them first: nobody may wait for the ledger with the memory's lock
        count = self._desk.memory.adopt(open_jobs, at=self._desk.clock())
        self._desk.spool.delete_meta("recover")
        logger.warning("recovered_open_jobs count=%d", count)

    # Answers

    def _take(self, event: ledger_pb2.SubmitReply | Wake) -> None:
        if isinstance(event, Wake):
            return
        match event.WhichOneof("reply"):
            case "receipts":
                self._take_receipts(event.receipts)
            case "answer":
                self._take_answer(event.answer)
            case kind:
                raise LedgerUnavailable(f"the ledger sent {kind} where a receipt or answer belongs")

    def _take_receipts(self, receipts: ledger_pb2.Receipts) -> None:
        note = receipts.checkpoint.note
        self._trust.advance(note)
        taken: list[tuple[Acknowledgement, tuple[str, ...]]] = []
        for message in receipts.receipts:
            try:
                acknowledged = self._verified(message, note)
            except (IntegrityError, BadData) as error:
                raise Contradiction(f"a receipt proves nothing: {error}", note) from error
            if acknowledged is not None:
                taken.append((acknowledged, tuple(message.reasons)))
        at = self._desk.clock()
        done = self._desk.spool.chain.acknowledge([each for each, _ in taken], checkpoint=self._trust.note, at=at)
        self._progressed = self._progressed or bool(taken)
        if taken:
            self._desk.recovered()
        self._desk.note(last_receipt_at=at, waits_for_approval=False)
        self._desk.tell(done, {each.sequence: reasons for each, reasons in taken})
        for each, reasons in taken:
            self._log_refusals(each, reasons)
        if self._opening and any(each.sequence == 1 for each, _ in taken):
            self._opened()

    def _verified(self, message: entries_pb2.Receipt, note: str) -> Acknowledgement | None:
        receipt = read_receipt(message, note, origin=self._desk.profile.origin, log_public_key=self._log_key)
        opened = open_leaf(receipt.leaf)
        header = opened.payload.header
        number = (header.epoch, header.sequence)
        sent = next((each for each in self._in_flight.values() if (each.epoch, each.sequence) == number), None)
        if sent is None:
            logger.info("receipt_again index=%d", receipt.index)
            return None
        match_leaf(opened, receipt, sent, origin=self._desk.profile.origin, submitter=self._submitter)
        del self._in_flight[sent.payload_hash]
        if EntryOutcome.EQUIVOCATION in opened.entry.outcomes:
            # Evidence against a number, not an entry for it: nothing in it was applied.
            raise LedgerUnavailable("the epoch was closed: another installation uses this identity's numbers")
        return acknowledgement_of(opened, receipt, sent, reasons=message.reasons, at=self._desk.clock())

    def _opened(self) -> None:
        self._opening = False
        if self._desk.spool.meta("previous_epoch") == b"":
            self._desk.memory.confirm_all()

    def _take_answer(self, answer: ledger_pb2.Answer) -> None:
        sent = self._in_flight.pop(answer.payload_hash, None)
        if sent is None:
            logger.info("answer_without_question kind=%s", answer.WhichOneof("answer"))
            return
        match answer.WhichOneof("answer"):
            case "expect_sequence":
                self._expected(answer.expect_sequence)
            case "retry":
                self._asked_to_retry(answer.retry)
            case _:
                self._rejected(sent, answer.rejection)

    def _expected(self, sequence: int) -> None:
        numbers = self._desk.spool.chain.numbers()
        if sequence <= numbers.acknowledged or sequence > numbers.next_sequence:
            raise LedgerUnavailable(f"the ledger expects number {sequence}, which is not next here: Hello decides")
        self._goes_back = True

    def _asked_to_retry(self, retry: ledger_pb2.Retry) -> None:
        logger.info("retry_asked code=%s reason=%r", retry.code, retry.reason)
        if retry.code == RetryCode.KEY_EXPIRED:
            self._desk.renew_soon()
        self._desk.note(waits_for_approval=retry.code == RetryCode.APPROVAL)
        self._retry = LedgerUnavailable(f"the ledger asks to come back later: {retry.code}: {retry.reason}")

    def _rejected(self, sent: NumberedPayload, rejection: ledger_pb2.Rejection) -> None:
        logger.error("rejected sequence=%d type=%s code=%s reason=%r", sent.sequence, sent.payload_type, rejection.code, rejection.reason)
        if rejection.code in _POISONOUS and not self._opening:
            # Receipts of earlier payloads may still be on their way; the epoch is left when they are here.
            self._poison = self._poison or (sent.sequence, f"{rejection.code}: {rejection.reason}"[:500])
            return
        # Not the payload's fault. A closed epoch or a used number is sorted out by the next Hello, the rest by a person.
        raise LedgerUnavailable(f"the ledger rejects what this identity sends: {rejection.code}: {rejection.reason}")

    def _leave_poisoned(self, sequence: int, reason: str) -> None:
        self._poison = None
        numbers = self._desk.spool.chain.numbers()
        self._open_epoch(
            EpochReason.POISON, previous_epoch=numbers.epoch, last_acknowledged=numbers.acknowledged, poison=(sequence, reason)
        )

    def _log_refusals(self, acknowledged: Acknowledgement, reasons: tuple[str, ...]) -> None:
        if acknowledged.refusals:
            first = acknowledged.refusals[0]
            logger.warning(
                "refused index=%d items=%d first_code=%s first_reason=%r",
                acknowledged.index,
                len(acknowledged.refusals),
                first.code,
                reasons[0] if reasons else "",
            )

    def _ended(self, error: HpcbridgeError | None) -> None:
        if error is not None and not (self._progressed and isinstance(error, LedgerUnavailable)):
            raise error
        logger.info("stream_ended reason=%s", error or "end")
