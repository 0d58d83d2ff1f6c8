# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A submitter whose every byte a test can choose: makes envelopes, sends them over real streams, verifies what comes back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha256

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.sealing import seal
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.transactions import (
    Body,
    EpochReason,
    EpochStart,
    Header,
    JobChange,
    JobChanges,
    Payload,
    PayloadType,
    Seen,
)
from hpcbridge.wire.client import LedgerClient, SubmitStream
from hpcbridge.wire.convert import encode, encode_body, payload_type_of
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.receipts import open_leaf, read_receipt


class Author:
    """One identity's chain of numbers."""

    def __init__(self, keys: KeyDirectory, *, origin: str | None = None) -> None:
        profile = keys.load_profile()
        self.keys = keys
        self.key = keys.load_key()
        self.log_key = keys.load_log_public_key()
        self.submitter = profile.submitter
        self.origin = origin or profile.origin
        self.epoch = secrets.token_bytes(16)
        self.sequence = 0

    def payload(self, body: Body, *, sequence: int | None = None) -> bytes:
        """The payload with the next number, or with the one given."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        header = Header(
            origin=self.origin, submitter=self.submitter, epoch=self.epoch, sequence=sequence, seen=Seen(size=0, root=b""), wall_at=1
        )
        return encode(Payload(header=header, body=encode_body(body)))

    def envelope(self, body: Body, *, sequence: int | None = None) -> bytes:
        """The sealed envelope of a body."""
        return self.sealed(self.payload(body, sequence=sequence), payload_type_of(body))

    def sealed(self, payload: bytes, payload_type: PayloadType = PayloadType.JOB_CHANGES) -> bytes:
        """Any bytes, signed."""
        return encode(seal(payload, payload_type, self.key))

    def hello(self, client: LedgerClient, *, checkpoint: str = "") -> tuple[SubmitStream, ledger_pb2.HelloReply]:
        """A stream after Hello."""
        stream = client.submit_stream()
        stream.send_hello(ledger_pb2.Hello(submitter=str(self.submitter), checkpoint=checkpoint))
        return stream, next(stream).hello

    def open(self, client: LedgerClient) -> SubmitStream:
        """A stream with a new epoch opened on it."""
        stream, reply = self.hello(client)
        self.sequence = 0
        reason = EpochReason.LOST if reply.epoch else EpochReason.FIRST
        start = EpochStart(previous_epoch=reply.epoch, last_acknowledged=reply.last_sequence, reason=reason, gap=None)
        (answer,) = self.send(stream, [self.envelope(start)])
        assert answer == (EntryOutcome.ACCEPTED,), answer
        return stream

    def send(self, stream: SubmitStream, envelopes: Sequence[bytes]) -> list[object]:
        """Sends and waits for as many answers: outcomes of a verified receipt, or the Answer."""
        stream.send_envelopes(envelopes)
        return self.answers(stream, len(envelopes))

    def answers(self, stream: SubmitStream, count: int) -> list[object]:
        """The next answers: for a receipt, verified, its outcomes; else the message."""
        found: list[object] = []
        while len(found) < count:
            reply = next(stream)
            if reply.WhichOneof("reply") == "receipts":
                note = reply.receipts.checkpoint.note
                for message in reply.receipts.receipts:
                    receipt = read_receipt(message, note, origin=self.origin, log_public_key=self.log_key)
                    found.append(open_leaf(receipt.leaf).entry.outcomes)
            else:
                found.append(reply.answer)
        return found


def job_changes(cluster: str, *numbers: int, at: int = 1_700_000_002_000, state: JobState = JobState.RUNNING) -> JobChanges:
    """Changes of jobs with these ids."""
    return JobChanges(cluster=cluster, changes=tuple(JobChange(job=_job(cluster, number, state), observed_at=at) for number in numbers))


def payload_hash_of(payload: bytes) -> bytes:
    """By which answers name a payload."""
    return sha256(payload).digest()


def _job(cluster: str, number: int, state: JobState) -> Job:
    return Job(
        cluster=cluster,
        job_id=str(number),
        incarnation=1,
        state=state,
        native_state="R",
        owner="someone",
        account="a1",
        queue="batch",
        name="",
        cores=4,
        gpus=0,
        nodes=("n001",),
        submitted_at=1_700_000_000_000,
        started_at=1_700_000_001_000,
    )
