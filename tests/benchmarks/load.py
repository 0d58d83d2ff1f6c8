# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A member that sends as fast as it may: envelopes are made and signed beforehand, so that the ledger is what is measured."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.sealing import seal
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.transactions import (
    Body,
    EpochReason,
    EpochStart,
    Header,
    JobChange,
    JobChanges,
    Payload,
    Seen,
)
from hpcbridge.wire.client import LedgerClient, SubmitStream, endpoints_of
from hpcbridge.wire.convert import encode, encode_body, payload_type_of
from hpcbridge.wire.generated import ledger_pb2

WINDOW = 256
START_AT = 1_760_000_000_000


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from sending an envelope to its receipt, in order, and from the first sending to the last receipt; the entries' indices, and
    the reasons of what was refused.
    """

    latencies: tuple[float, ...]
    seconds: float
    indices: tuple[int, ...]
    refusals: tuple[str, ...]


class Load:
    """One installation with its own chain of numbers on one stream."""

    def __init__(self, identity: Path, cluster: str) -> None:
        self._keys = KeyDirectory(identity)
        self._key = self._keys.load_key()
        self._profile = self._keys.load_profile()
        self._cluster = cluster
        self._epoch = os.urandom(16)
        self._sequence = 0
        self._jobs = 0
        self.client = LedgerClient(endpoints_of(self._keys), self._keys)
        self.start()

    def start(self) -> None:
        """Opens the first epoch."""
        self.send(self.make_all([EpochStart(previous_epoch=b"", last_acknowledged=0, reason=EpochReason.FIRST, gap=None)]))

    def job_changes(self, count: int, *, items: int) -> list[Body]:
        """Bodies of new running jobs, `items` in each."""
        return [JobChanges(cluster=self._cluster, changes=tuple(self._changes(items))) for _ in range(count)]

    def _changes(self, items: int) -> Iterator[JobChange]:
        for _ in range(items):
            self._jobs += 1
            yield JobChange(job=running_job(self._cluster, f"{os.getpid()}{self._jobs}_{id(self) % 9973}"), observed_at=START_AT)

    def make_all(self, bodies: Sequence[Body]) -> list[bytes]:
        """Signed envelopes with the next numbers."""
        return [self._make(body) for body in bodies]

    def _make(self, body: Body) -> bytes:
        self._sequence += 1
        header = Header(
            origin=self._profile.origin,
            submitter=self._profile.submitter,
            epoch=self._epoch,
            sequence=self._sequence,
            seen=Seen(size=0, root=b""),
            wall_at=START_AT,
        )
        payload = encode(Payload(header=header, body=encode_body(body)))
        return encode(seal(payload, payload_type_of(body), self._key))

    def send(self, envelopes: Sequence[bytes], *, per_message: int = 64, interval: float = 0.0) -> Timing:
        """Sends within the window, one message each `interval` seconds if that is given; raises if anything but a receipt comes."""
        with self.client.submit_stream() as stream:
            stream.send_hello(ledger_pb2.Hello(submitter=str(self._profile.submitter), epoch=self._epoch, next_sequence=self._sequence + 1))
            replies = iter(stream)
            next(replies)
            return _Run(stream, envelopes, per_message=per_message, interval=interval).through(replies)


class _Run:
    """One run over an open stream: a thread sends, this one counts receipts."""

    def __init__(self, stream: SubmitStream, envelopes: Sequence[bytes], *, per_message: int, interval: float) -> None:
        self._stream = stream
        self._envelopes = envelopes
        self._per_message = per_message
        self._interval = interval
        self._free = threading.Semaphore(max(1, WINDOW // per_message) if not interval else WINDOW)
        self._sent: list[float] = []

    def through(self, replies: Iterator[ledger_pb2.SubmitReply]) -> Timing:
        began = time.perf_counter()
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        latencies: list[float] = []
        indices: list[int] = []
        refusals: list[str] = []
        while len(latencies) < len(self._envelopes):
            reply = next(replies)
            now = time.perf_counter()
            if reply.WhichOneof("reply") != "receipts":
                raise RuntimeError(f"not a receipt: {reply}")
            before = len(latencies) // self._per_message
            latencies += [now - self._sent[number] for number in range(len(latencies), len(latencies) + len(reply.receipts.receipts))]
            indices += [receipt.index for receipt in reply.receipts.receipts]
            refusals += [reason for receipt in reply.receipts.receipts for reason in receipt.reasons]
            for _ in range(len(latencies) // self._per_message - before):
                self._free.release()
        sender.join()
        seconds = time.perf_counter() - began
        return Timing(latencies=tuple(latencies), seconds=seconds, indices=tuple(indices), refusals=tuple(refusals))

    def _send(self) -> None:
        pause = threading.Event()
        began = time.perf_counter()
        for number in range(0, len(self._envelopes), self._per_message):
            if self._interval:
                pause.wait(max(0.0, began + number * self._interval - time.perf_counter()))
            self._free.acquire()
            part = self._envelopes[number : number + self._per_message]
            self._sent += [time.perf_counter()] * len(part)
            self._stream.send_envelopes(part)


def running_job(cluster: str, job_id: str) -> Job:
    """A job as Slurm reports one, with all the fields that are usually known."""
    return Job(
        cluster=cluster,
        job_id=job_id,
        incarnation=1,
        state=JobState.RUNNING,
        native_state="RUNNING",
        reason="None",
        owner="8f1c2b3a4d5e6f70",
        account="proj1",
        queue="batch",
        name="relax-monolayer",
        cores=16,
        gpus=1,
        gpu_type="a100",
        memory_bytes=1 << 34,
        nodes=("n0001", "n0002"),
        submitted_at=START_AT - 60_000,
        started_at=START_AT - 1_000,
        walltime_limit_seconds=3600,
        restarts=0,
    )
