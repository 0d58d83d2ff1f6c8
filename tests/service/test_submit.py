# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The way in over real mutual TLS: what becomes an entry, and every answer that is none."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable

import pytest

from hpcbridge.config import LimitsSection
from hpcbridge.errors import BadData, HpcbridgeError, LedgerUnavailable, Refused
from hpcbridge.identity.keys import new_key
from hpcbridge.identity.sealing import seal
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import verify_consistency
from hpcbridge.model.entries import EntryOutcome, RejectionCode, RetryCode
from hpcbridge.model.transactions import MAX_ENVELOPE_BYTES, Envelope, Header, Payload, PayloadType, Seen
from hpcbridge.service import admission
from hpcbridge.wire.client import SubmitStream
from hpcbridge.wire.convert import decode, encode, encode_body
from hpcbridge.wire.generated import ledger_pb2
from tests.ledger_author import Author, job_changes, payload_hash_of
from tests.ledger_simulator import LedgerSimulator

ACCEPTED = (EntryOutcome.ACCEPTED,)


@pytest.fixture(scope="module")
def acme(ledger: LedgerSimulator) -> tuple[Author, SubmitStream]:
    author = Author(ledger.provider("acme", cluster="c1"))
    return author, author.open(ledger.client("acme"))


def rejection(answer: object) -> str:
    assert isinstance(answer, ledger_pb2.Answer)
    return answer.rejection.code


def test_hello_receipt_and_the_same_receipt_again(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    envelope = author.envelope(job_changes("c1", 1, 2))
    assert author.send(stream, [envelope]) == [ACCEPTED * 2]
    assert author.send(stream, [envelope]) == [ACCEPTED * 2]
    again, reply = author.hello(ledger.client("acme"))
    assert (reply.last_sequence, reply.epoch, reply.origin) == (author.sequence, author.epoch, "ledger.test")
    assert reply.window == 256
    again.close()


def test_many_envelopes_keep_their_order(acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    envelopes = [author.envelope(job_changes("c1", number)) for number in range(1000, 1250)]
    assert author.send(stream, envelopes) == [ACCEPTED] * 250


def test_a_full_window_that_moves_on_is_never_refused(acme: tuple[Author, SubmitStream]) -> None:
    """Each receipt makes room for one more envelope at once."""
    author, stream = acme
    total, on_their_way = 3000, 0
    while total or on_their_way:
        more = [author.envelope(job_changes("c1", 20_000 + total - number)) for number in range(min(256 - on_their_way, total))]
        if more:
            stream.send_envelopes(more)
        total, on_their_way = total - len(more), on_their_way + len(more)
        reply = next(stream)
        assert reply.WhichOneof("reply") == "receipts", reply
        on_their_way -= len(reply.receipts.receipts)


def test_a_gap_is_answered_with_the_number_that_is_expected(acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    ahead = author.envelope(job_changes("c1", 3), sequence=author.sequence + 2)
    (answer,) = author.send(stream, [ahead])
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.expect_sequence == author.sequence + 1
    assert author.send(stream, [author.envelope(job_changes("c1", 3)), ahead]) == [ACCEPTED, ACCEPTED]
    author.sequence += 1


def test_a_refused_entry_consumes_its_number_and_blocks_nobody(acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    wrong_cluster = author.envelope(job_changes("other", 3))
    assert author.send(stream, [wrong_cluster, author.envelope(job_changes("c1", 4))]) == [(EntryOutcome.NOT_FOUND,), ACCEPTED]


def test_what_is_not_read_strictly_is_rejected(acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    payload = author.payload(job_changes("c1", 5), sequence=author.sequence + 1)
    unknown_field = payload + b"\x7a\x01x"  # field 15, which nobody defined
    (answer,) = author.send(stream, [author.sealed(unknown_field)])
    assert rejection(answer) == RejectionCode.MALFORMED_HEADER
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.payload_hash == payload_hash_of(unknown_field)
    (answer,) = author.send(stream, [author.sealed(payload) + b"\x7a\x01x"])
    assert rejection(answer) == RejectionCode.MALFORMED_HEADER
    (answer,) = author.send(stream, [b"\xff\xff garbage"])
    assert rejection(answer) == RejectionCode.MALFORMED_HEADER
    assert author.send(stream, [author.envelope(job_changes("c1", 5))]) == [ACCEPTED]


def test_an_unknown_field_in_the_body_is_a_refused_entry(acme: tuple[Author, SubmitStream], ledger: LedgerSimulator) -> None:
    author, stream = acme
    author.sequence += 1
    header = Header(
        origin=author.origin,
        submitter=author.submitter,
        epoch=author.epoch,
        sequence=author.sequence,
        seen=Seen(size=0, root=b""),
        wall_at=1,
    )
    body = encode_body(job_changes("c1", 5)) + b"\x7a\x01x"
    assert author.send(stream, [author.sealed(encode(Payload(header=header, body=body)))]) == [(EntryOutcome.MALFORMED,)]


def test_oversize_wrong_origin_and_wrong_key_are_rejected(acme: tuple[Author, SubmitStream], ledger: LedgerSimulator) -> None:
    author, stream = acme
    (answer,) = author.send(stream, [author.sealed(b"x" * MAX_ENVELOPE_BYTES)])
    assert rejection(answer) == RejectionCode.TOO_LARGE
    elsewhere = Author(author.keys, origin="other.ledger")
    elsewhere.epoch = author.epoch
    (answer,) = author.send(stream, [elsewhere.envelope(job_changes("c1", 6), sequence=author.sequence + 1)])
    assert rejection(answer) == RejectionCode.WRONG_ORIGIN
    forged = Author(author.keys)
    forged.epoch, forged.key = author.epoch, new_key()
    (answer,) = author.send(stream, [forged.envelope(job_changes("c1", 6), sequence=author.sequence + 1)])
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.retry.code == RetryCode.KEY_UNKNOWN
    forged_hint = dataclasses.replace(decode(Envelope, author.sealed(b"one")), payload=author.payload(job_changes("c1", 6), sequence=99))
    (answer,) = author.send(stream, [encode(forged_hint)])
    assert rejection(answer) == RejectionCode.NOT_AUTHENTIC


def test_a_forged_envelope_gets_in_when_signatures_are_not_checked(
    acme: tuple[Author, SubmitStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    author, stream = acme
    forged = Author(author.keys)
    forged.epoch, forged.key = author.epoch, new_key()
    monkeypatch.setattr(admission, "verify_envelope", lambda _envelope, _key: None)
    author.sequence += 1
    assert author.send(stream, [forged.envelope(job_changes("c1", 7), sequence=author.sequence)]) == [ACCEPTED]


def test_admission_alone_cannot_let_a_forged_envelope_in(acme: tuple[Author, SubmitStream], monkeypatch: pytest.MonkeyPatch) -> None:
    """The fold checks what admission did not remember as verified."""
    author, stream = acme
    forged = Author(author.keys)
    forged.epoch, forged.key = author.epoch, new_key()
    monkeypatch.setattr(admission.VerifiedSignatures, "verify", lambda _self, _envelope, _key: None)
    (answer,) = author.send(stream, [forged.envelope(job_changes("c1", 8), sequence=author.sequence + 1)])
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.retry.code == RetryCode.KEY_UNKNOWN


def test_two_payloads_with_one_number_close_the_epoch(ledger: LedgerSimulator) -> None:
    author = Author(ledger.user("twice"))
    stream = author.open(ledger.client("twice"))
    assert author.send(stream, [author.envelope(job_changes("c1", 1))]) == [(EntryOutcome.NOT_PERMITTED,)]
    other = author.envelope(job_changes("c1", 2), sequence=author.sequence)
    assert author.send(stream, [other]) == [(EntryOutcome.EQUIVOCATION,)]
    (answer,) = author.send(stream, [author.envelope(job_changes("c1", 3))])
    assert rejection(answer) == RejectionCode.CLOSED_EPOCH
    _, reply = author.hello(ledger.client("twice"))
    assert reply.epoch_closed


def test_envelopes_of_an_epoch_that_was_never_opened_are_rejected(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    stranger = Author(acme[0].keys)
    (answer,) = acme[0].send(acme[1], [stranger.envelope(job_changes("c1", 1))])
    assert rejection(answer) == RejectionCode.CLOSED_EPOCH


def test_any_member_may_relay_anothers_envelope(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    author, _ = acme
    stream, _ = Author(ledger.user("relay")).hello(ledger.client("relay"))
    assert author.send(stream, [author.envelope(job_changes("c1", 70))]) == [ACCEPTED]


def test_the_first_message_is_hello(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    stream = ledger.client("acme").submit_stream()
    stream.send_envelopes([b"x"])
    with pytest.raises(Refused, match="Hello"):
        next(stream)


def test_a_checkpoint_that_is_not_ours_is_refused_and_harms_nobody(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    _, reply = acme[0].hello(ledger.client("acme"))
    lie = reply.checkpoint.note.replace("\n", "\n9", 1)
    with pytest.raises(BadData, match="not signed"):
        acme[0].hello(ledger.client("acme"), checkpoint=lie)
    assert ledger.service.failure is None


def test_hello_brings_the_consistency_proof(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    _, first = author.hello(ledger.client("acme"))
    author.send(stream, [author.envelope(job_changes("c1", 71)), author.envelope(job_changes("c1", 72))])
    _, second = author.hello(ledger.client("acme"), checkpoint=first.checkpoint.note)
    old = parse_checkpoint(first.checkpoint.note, author.origin, author.log_key)
    new = parse_checkpoint(second.checkpoint.note, author.origin, author.log_key)
    verify_consistency(old.size, new.size, proof=tuple(second.consistency_proof), root1=old.root, root2=new.root)
    assert new.size >= old.size + 2


def test_a_stream_that_is_cut_off_loses_nothing(ledger: LedgerSimulator, acme: tuple[Author, SubmitStream]) -> None:
    author, _ = acme
    envelopes = [author.envelope(job_changes("c1", number)) for number in range(80, 120)]
    stream, _ = author.hello(ledger.client("acme"))
    stream.send_envelopes(envelopes)
    stream.close()
    stream, reply = author.hello(ledger.client("acme"))
    assert author.sequence - 40 <= reply.last_sequence <= author.sequence
    assert author.send(stream, envelopes) == [ACCEPTED] * 40


def test_too_many_streams_of_one_identity(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger = new_ledger(limits=LimitsSection(streams_per_identity=3, window=8, envelopes_per_second=6))
    author = Author(ledger.provider("acme", cluster="c1"))
    streams = [author.hello(ledger.client("acme"))[0] for _ in range(3)]
    with pytest.raises(LedgerUnavailable):
        author.hello(ledger.client("acme"))
    streams.pop().close()
    stream = author.open(ledger.client("acme"))
    over_window = [author.envelope(job_changes("c1", number), sequence=2) for number in range(9)]
    answers = author.send(stream, over_window)
    assert {answer.retry.code for answer in answers if isinstance(answer, ledger_pb2.Answer)} == {RetryCode.QUOTA}
    assert author.send(stream, [author.envelope(job_changes("c1", 1))]) == [ACCEPTED]
    answers = author.send(stream, [author.envelope(job_changes("c1", number)) for number in range(8)])
    assert all(isinstance(answer, ledger_pb2.Answer) and answer.retry.code == RetryCode.QUOTA for answer in answers)


def test_a_silent_stream_is_ended(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger = new_ledger(limits=LimitsSection(read_idle_seconds=1))
    author = Author(ledger.user("silent"))
    stream, _ = author.hello(ledger.client("silent"))
    with pytest.raises(LedgerUnavailable, match="nothing came"):
        next(stream)


def test_stopping_answers_what_was_taken(new_ledger: Callable[..., LedgerSimulator]) -> None:
    ledger = new_ledger()
    author = Author(ledger.provider("acme", cluster="c1"))
    stream = author.open(ledger.client("acme"))
    envelopes = [author.envelope(job_changes("c1", number)) for number in range(200)]
    stream.send_envelopes(envelopes)
    first = author.answers(stream, 1)
    stopper = threading.Thread(target=ledger.service.stop)
    stopper.start()
    acknowledged = list(first)
    with contextlib.suppress(HpcbridgeError):
        while True:
            acknowledged += author.answers(stream, 1)
    stopper.join()
    ledger.start()
    _, reply = author.hello(ledger.client("acme"))
    receipts = [answer for answer in acknowledged if isinstance(answer, tuple)]
    assert reply.last_sequence >= 1 + len(receipts)


def test_a_payload_type_without_a_function_is_an_entry(acme: tuple[Author, SubmitStream]) -> None:
    author, stream = acme
    payload = author.payload(job_changes("c1", 1))
    envelope = encode(seal(payload, "application/vnd.hpcbridge.later.v9", author.key))
    assert author.send(stream, [envelope]) == [(EntryOutcome.UNKNOWN_TYPE,)]
    assert author.send(stream, [author.sealed(author.payload(job_changes("c1", 1)), PayloadType.TICK)]) != [ACCEPTED]
