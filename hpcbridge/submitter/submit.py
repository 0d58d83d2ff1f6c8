# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One transaction, from body to verified receipt.

Under the lock of the identity folder: Hello, whatever an earlier call left without a receipt, then the new transaction. Its
payload is in the journal before it is sent. A receipt counts only after inclusion, signature of the checkpoint and consistency with
the last checkpoint seen were verified; it is then kept as a file that needs no network to check. Processes and threads that use one
folder wait for each other at that lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.errors import CertificateExpired, HpcbridgeError, IdentityError, IntegrityError, LedgerUnavailable, ReceiptPending, Refused
from hpcbridge.identity.keystore import KeyDirectory, write_file
from hpcbridge.identity.sealing import seal
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.receipt import receipt_to_text
from hpcbridge.model.entries import Checkpoint, EntryOutcome, Receipt, RejectionCode, RetryCode
from hpcbridge.model.transactions import MAX_ENVELOPE_BYTES, Body, EpochReason, EpochStart, Header, Payload, PayloadType, Seen
from hpcbridge.submitter.chain import Chain, Decision, Step, Waiting, decide, load_chain, save_chain
from hpcbridge.submitter.passcodes import settle_key
from hpcbridge.wire.client import LedgerClient, SubmitStream
from hpcbridge.wire.convert import decode, decode_body, encode, encode_body, payload_type_of
from hpcbridge.wire.generated import entries_pb2, ledger_pb2
from hpcbridge.wire.receipts import open_leaf, read_receipt, verify_growth

DEADLINE_SECONDS = 30.0
_RETRY_SECONDS = 0.5
_LOCK_ATTEMPTS = 100
_MAX_BODY_BYTES = MAX_ENVELOPE_BYTES - 1024
"""Around a body there are a head, a signature and names, which need less."""
_WITH_KEY = frozenset({PayloadType.RENTAL, PayloadType.ACCOUNT_RENEWAL})
"""Orders with a key of their own, which is named or dropped before they leave the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of a transaction: the entry, one outcome for each item, one reason for each refused one."""

    index: int
    outcomes: tuple[EntryOutcome, ...]
    reasons: tuple[str, ...]

    def check_accepted(self) -> None:
        """Refused with code and reason unless every item was accepted."""
        for outcome in self.outcomes:
            if outcome is not EntryOutcome.ACCEPTED:
                reason = self.reasons[0] if self.reasons else "no reason was given"
                raise Refused(outcome.value, f"{reason} (entry {self.index})", hint=REFUSAL_HINTS.get(outcome, ""))


REFUSAL_HINTS: Mapping[str, str] = {
    EntryOutcome.NOT_PERMITTED: "see who you are here: hpcbridgectl identity show",
    EntryOutcome.NOT_APPROVED: "an admin must approve it: hpcbridgectl admin approve NAME",
    EntryOutcome.NOT_FOUND: "check the spelling; the list commands show what there is and you may see",
    EntryOutcome.UNKNOWN_TYPE: "the ledger is older than this program, or an admin has yet to run: hpcbridgectl admin contract 2",
    EntryOutcome.NO_CREDIT: "amounts here are millionths of a unit; see: hpcbridgectl balance. An admin credits accounts",
    EntryOutcome.NO_CAPACITY: "somebody was faster; ask for offers again: hpcbridgectl offers --cores N",
    EntryOutcome.OUTDATED: "ask for offers again: hpcbridgectl offers --cores N",
    EntryOutcome.CLOSED: "ask for offers again: hpcbridgectl offers --cores N",
}
"""What to do after a no, by its code, for transactions and questions alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A transaction of an earlier call that had no receipt then, and what became of it now."""

    body: Body
    submitted: Submitted


OnEarlier = Callable[[Earlier], None]
"""Hears of each earlier transaction as it is finished, before the new one is sent."""


def submit(
    keys: KeyDirectory,
    client: LedgerClient,
    body: Body,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    on_earlier: OnEarlier = lambda _: None,
) -> Submitted:
    """Sends one transaction and returns what the ledger made of it, accepted or refused.

    Refused(TOO_LARGE), before anything is written or sent, for a body that no envelope holds. ReceiptPending if there is no receipt in
    time: the payload is journaled and the next call sends it again. Any other LedgerUnavailable comes before a number was given: then
    there is nothing of this body, here or at the ledger.
    """
    _check_size(body)
    with _session(keys, client, deadline_seconds) as session:
        session.settle(session.say_hello(), on_earlier)
        waiting = session.number(body)
        try:
            return session.deliver(waiting)
        except LedgerUnavailable as error:
            raise ReceiptPending(str(error), hint=error.hint) from error


def _check_size(body: Body) -> None:
    """What can never be an entry must not get a number: it would stand in the journal, before all that comes after it."""
    size = len(encode_body(body))
    if size > _MAX_BODY_BYTES:
        told = f"{size} bytes are more than a transaction may have ({_MAX_BODY_BYTES})"
        raise Refused(RejectionCode.TOO_LARGE, told, hint="nothing was sent; is a text of it too long?")


def finish(keys: KeyDirectory, client: LedgerClient, *, deadline_seconds: float = DEADLINE_SECONDS) -> tuple[Earlier, ...]:
    """Sends what has no receipt yet, and nothing new; asks nobody if there is nothing. ReceiptPending if some of it still waits then."""
    if not is_waiting(keys):
        return ()
    found: list[Earlier] = []
    try:
        with _session(keys, client, deadline_seconds) as session:
            session.settle(session.say_hello(), found.append)
    except LedgerUnavailable as error:
        raise ReceiptPending(str(error), hint=error.hint) from error
    return tuple(found)


def is_waiting(keys: KeyDirectory) -> bool:
    """True if something that was signed has no receipt yet."""
    return bool(load_chain(_chain_path(keys)).waiting)


@contextlib.contextmanager
def _session(keys: KeyDirectory, client: LedgerClient, deadline_seconds: float) -> Iterator[_Session]:
    with keys.lock(attempts=_LOCK_ATTEMPTS), client.submit_stream() as stream:
        alarm = threading.Timer(deadline_seconds, stream.close)
        alarm.start()
        try:
            yield _Session(keys, client, stream)
        finally:
            alarm.cancel()


class _Session:
    """One stream with one identity; owns the chain file while it lasts."""

    def __init__(self, keys: KeyDirectory, client: LedgerClient, stream: SubmitStream) -> None:
        self._keys = keys
        self._client = client
        self._stream = stream
        self._profile = keys.load_profile()
        self._log_key = keys.load_log_public_key()
        self._key = keys.load_key()
        self._path = _chain_path(keys)
        self._chain = load_chain(self._path)

    def say_hello(self) -> ledger_pb2.HelloReply:
        """First words; the ledger's checkpoint must grow out of the last one seen."""
        chain = self._chain
        self._stream.send_hello(
            ledger_pb2.Hello(
                submitter=str(self._profile.submitter),
                epoch=chain.epoch,
                next_sequence=chain.next_sequence,
                checkpoint=chain.checkpoint,
            )
        )
        reply = self._next_reply()
        if reply.WhichOneof("reply") != "hello":
            raise self._failure(reply.answer)
        hello = reply.hello
        if hello.origin != self._profile.origin:
            raise IdentityError(
                f"this is the ledger {hello.origin[:63]!r}, the identity is of {self._profile.origin!r}",
                hint="check --ledger and --identity",
            )
        checkpoint = parse_checkpoint(hello.checkpoint.note, self._profile.origin, self._log_key)
        verify_growth(chain.seen, checkpoint, tuple(hello.consistency_proof))
        self._save(_seen(chain, checkpoint))
        return hello

    def settle(self, hello: ledger_pb2.HelloReply, on_earlier: OnEarlier) -> None:
        """Opens an epoch where one is needed, then finishes what earlier calls left."""
        decision = decide(self._chain, hello)
        if decision.step is Step.NEW_EPOCH:
            self._open_epoch(hello, decision)
        for waiting in self._chain.waiting:
            current = waiting if waiting.epoch == self._chain.epoch else self._renumber(waiting)
            submitted = self.deliver(current)
            if current.payload_type is PayloadType.EPOCH_START:
                self._check_epoch_start(submitted)
            else:
                on_earlier(Earlier(body=decode_body(current.payload_type, decode(Payload, current.payload).body), submitted=submitted))

    def number(self, body: Body) -> Waiting:
        """Gives a body the next number and journals it."""
        waiting = self._made(payload_type_of(body), encode_body(body), epoch=self._chain.epoch, sequence=self._chain.next_sequence)
        self._save(self._chain.with_waiting(waiting))
        return waiting

    def deliver(self, waiting: Waiting) -> Submitted:
        """Sends a journaled payload, signed now, until there is a receipt; verifies and keeps it."""
        while True:
            envelope = seal(waiting.payload, waiting.payload_type, self._key)
            self._stream.send_envelopes([encode(envelope)])
            answer = self._await_answer(waiting)
            if isinstance(answer, tuple):
                return self._accept(waiting, *answer)
            if answer.retry.code not in (RetryCode.BEHIND, RetryCode.QUOTA, RetryCode.KEY_UNKNOWN):
                raise self._failure(answer, waiting)
            threading.Event().wait(_RETRY_SECONDS)

    def _open_epoch(self, hello: ledger_pb2.HelloReply, decision: Decision) -> None:
        epoch = secrets.token_bytes(16)
        start = EpochStart(
            previous_epoch=hello.epoch,
            last_acknowledged=hello.last_sequence,
            reason=decision.reason or EpochReason.LOST,
            gap=None,
        )
        left = tuple(each for each in self._chain.waiting if not self._is_settled(each))
        waiting = self._made(PayloadType.EPOCH_START, encode_body(start), epoch=epoch, sequence=1)
        fresh = dataclasses.replace(self._chain, epoch=epoch, reason=None, waiting=()).with_waiting(waiting)
        self._save(dataclasses.replace(fresh, waiting=(waiting, *left)))

    def _is_settled(self, waiting: Waiting) -> bool:
        """True if a payload of an epoch that is over needs no new number: a start of an epoch, or an entry already."""
        if waiting.payload_type is PayloadType.EPOCH_START:
            return True
        key = ledger_pb2.NumberKey(submitter=str(self._profile.submitter), epoch=waiting.epoch, sequence=waiting.sequence)
        try:
            message = self._client.call("GetReceipt", ledger_pb2.GetReceiptRequest(number=key))
        except Refused as error:
            if error.code != EntryOutcome.NOT_FOUND:
                raise
            return False
        receipt = read_receipt(message, message.checkpoint.note, origin=self._profile.origin, log_public_key=self._log_key)
        return open_leaf(receipt.leaf).envelope.payload == waiting.payload

    def _renumber(self, waiting: Waiting) -> Waiting:
        """The same body under the next number of the new epoch; old and new change places in one write."""
        body = decode(Payload, waiting.payload).body
        fresh = self._made(waiting.payload_type, body, epoch=self._chain.epoch, sequence=self._chain.next_sequence)
        self._save(self._chain.with_waiting(fresh).with_receipt(waiting))
        return fresh

    def _made(self, payload_type: PayloadType, body: bytes, *, epoch: bytes, sequence: int) -> Waiting:
        header = Header(
            origin=self._profile.origin,
            submitter=self._profile.submitter,
            epoch=epoch,
            sequence=sequence,
            seen=self._chain.seen,
            wall_at=time.time_ns() // 1_000_000,
        )
        return Waiting(epoch=epoch, sequence=sequence, payload_type=payload_type, payload=encode(Payload(header=header, body=body)))

    def _await_answer(self, waiting: Waiting) -> tuple[Receipt, tuple[str, ...]] | ledger_pb2.Answer:
        while True:
            reply = self._next_reply()
            if reply.WhichOneof("reply") == "answer" and reply.answer.payload_hash == waiting.payload_hash:
                return reply.answer
            for message in reply.receipts.receipts:
                found = self._receipt_of(message, reply.receipts.checkpoint.note, waiting)
                if found is not None:
                    return found, tuple(message.reasons)

    def _receipt_of(self, message: entries_pb2.Receipt, checkpoint: str, waiting: Waiting) -> Receipt | None:
        """The verified receipt, if it is of this payload."""
        receipt = read_receipt(message, checkpoint, origin=self._profile.origin, log_public_key=self._log_key)
        return receipt if open_leaf(receipt.leaf).envelope.payload == waiting.payload else None

    def _accept(self, waiting: Waiting, receipt: Receipt, reasons: tuple[str, ...]) -> Submitted:
        entry = open_leaf(receipt.leaf).entry
        if entry.index != receipt.index:
            raise IntegrityError(f"the entry at index {receipt.index} says it is entry {entry.index}")
        chain = self._grown(receipt.checkpoint)
        _keep(self._keys.path / "receipts", receipt)
        if waiting.payload_type in _WITH_KEY:
            body = decode_body(waiting.payload_type, decode(Payload, waiting.payload).body)
            settle_key(self._keys, body, accepted=entry.outcomes == (EntryOutcome.ACCEPTED,), index=entry.index)
        self._save(chain.with_receipt(waiting))
        return Submitted(index=entry.index, outcomes=entry.outcomes, reasons=reasons)

    def _grown(self, checkpoint: Checkpoint) -> Chain:
        """The chain with a newer checkpoint seen, once it is proven that both are of one history."""
        seen = self._chain.seen
        here = Seen(size=checkpoint.size, root=checkpoint.root)
        if seen.size == 0 or here == seen:
            return _seen(self._chain, checkpoint)
        older, newer = (seen, here) if seen.size <= here.size else (here, seen)
        request = ledger_pb2.GetConsistencyProofRequest(first_size=older.size, second_size=newer.size)
        proof = tuple(self._client.call("GetConsistencyProof", request).proof) if older.size != newer.size else ()
        verify_growth(older, Checkpoint(origin=checkpoint.origin, size=newer.size, root=newer.root, note=""), proof)
        return _seen(self._chain, checkpoint) if newer is here else self._chain

    def _check_epoch_start(self, submitted: Submitted) -> None:
        if submitted.outcomes != (EntryOutcome.ACCEPTED,):
            self._save(dataclasses.replace(self._chain, reason=EpochReason.LOST))
            submitted.check_accepted()

    def _next_reply(self) -> ledger_pb2.SubmitReply:
        try:
            return next(self._stream)
        except StopIteration as error:
            raise LedgerUnavailable(
                "the ledger gave no receipt in time",
                hint="nothing is lost: what was numbered is journaled, and the next command that writes sends it again",
            ) from error

    def _failure(self, answer: ledger_pb2.Answer, waiting: Waiting | None = None) -> HpcbridgeError:
        """The error for an answer that ends the command, after the chain was told."""
        match answer.WhichOneof("answer"):
            case "retry":
                return self._retry_failure(answer.retry)
            case "rejection":
                self._after_rejection(answer.rejection.code, waiting)
                return Refused(answer.rejection.code, answer.rejection.reason)
            case "expect_sequence":
                return LedgerUnavailable(f"the ledger expects number {answer.expect_sequence} next", hint="run the command again")
        return LedgerUnavailable("the ledger gave an answer that this program does not know", hint="is it newer? Compare --version.")

    def _retry_failure(self, retry: ledger_pb2.Retry) -> HpcbridgeError:
        if retry.code == RetryCode.APPROVAL:
            return LedgerUnavailable(
                f"a new chain of numbers for {self._profile.submitter} waits for an admin: {retry.reason}",
                hint=f"ask one to run: hpcbridgectl admin approve {self._profile.submitter}; then run this command again",
            )
        if retry.code == RetryCode.KEY_EXPIRED:
            return CertificateExpired(retry.reason, hint="hpcbridgectl identity renew")
        return LedgerUnavailable(
            f"the ledger asks to come back later: {retry.code}: {retry.reason}", hint="run the command again in a minute"
        )

    def _after_rejection(self, code: str, waiting: Waiting | None) -> None:
        """What is rejected is no entry and consumed no number, so its epoch cannot go on with it."""
        if waiting is None or code == RejectionCode.REVOKED:
            return
        if code in (RejectionCode.CLOSED_EPOCH, RejectionCode.NUMBER_USED):
            reason = EpochReason.CLOSED if code == RejectionCode.CLOSED_EPOCH else EpochReason.LOST
            self._save(dataclasses.replace(self._chain, reason=reason))
        else:
            self._save(dataclasses.replace(self._chain.with_receipt(waiting), reason=EpochReason.POISON))

    def _save(self, chain: Chain) -> None:
        if chain != self._chain:
            save_chain(self._path, chain)
            self._chain = chain


def _chain_path(keys: KeyDirectory) -> Path:
    return keys.path / "chain.json"


def _seen(chain: Chain, checkpoint: Checkpoint) -> Chain:
    seen = Seen(size=checkpoint.size, root=checkpoint.root)
    return dataclasses.replace(chain, seen=seen, checkpoint=checkpoint.note)


def _keep(directory: Path, receipt: Receipt) -> None:
    """Keeps a receipt as the file that `receipt verify` reads."""
    KeyDirectory(directory).create()
    write_file(directory / f"{receipt.index}.tlog-proof", receipt_to_text(receipt).encode(), mode=0o600)
