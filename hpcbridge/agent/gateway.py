# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Brings what waits in the spool to the ledger: numbers, seals, sends, verifies receipts, and only then lets the spool forget.

One thread owns the chain of numbers; each stream is a session (session.py). A ledger that is down, refuses or pushes back only makes it
wait: the spool keeps everything. What contradicts a verified checkpoint stops the process, with the evidence in a file.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpcbridge.agent.memory import Memory
from hpcbridge.agent.rows import Acknowledgement, Item
from hpcbridge.agent.session import Desk, Ended, Session, Wake
from hpcbridge.agent.spool import Spool
from hpcbridge.errors import BadData, CertificateExpired, HpcbridgeError, IdentityError, IntegrityError, LedgerUnavailable, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.profile import Profile
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import PayloadType
from hpcbridge.wire.client import LedgerClient, SubmitStream
from hpcbridge.wire.generated import ledger_pb2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """The connection as a screen shows it."""

    connected: bool = False
    address: str = ""
    last_receipt_at: Instant | None = None
    last_error: str | None = None
    waits_for_approval: bool = False
    payload_types: frozenset[str] | None = None
    """What the ledger takes, as it said last; None before its first word."""


class Gateway:
    """Owns the stream to the ledger. `run` is a worker's step: it serves one stream until that ends."""

    def __init__(
        self,
        spool: Spool,
        memory: Memory,
        client: LedgerClient,
        identity: KeyDirectory,
        *,
        cluster: str,
        stopping: threading.Event,
        clock: Callable[[], Instant],
        random_bytes: Callable[[int], bytes],
        evidence: Path,
        renew_soon: Callable[[], None] = lambda: None,
    ) -> None:
        self._spool = spool
        self._memory = memory
        self._client = client
        self._identity = identity
        self._cluster = cluster
        self._stopping = stopping
        self._clock = clock
        self._random_bytes = random_bytes
        self._evidence = evidence
        self._renew_soon = renew_soon
        self._profile = identity.load_profile()
        self._events: queue.SimpleQueue[ledger_pb2.SubmitReply | Wake | Ended] = queue.SimpleQueue()
        self._waiters: dict[int, queue.SimpleQueue[tuple[Acknowledgement, tuple[str, ...]]]] = {}
        self._waiters_lock = threading.Lock()
        self._beat: Callable[[], None] = lambda: None
        self._recovered: Callable[[], None] = lambda: None
        last_receipt_at = spool.meta("last_receipt_at")
        self.status = GatewayStatus(address=client.address, last_receipt_at=int(last_receipt_at) if last_receipt_at else None)

    @property
    def profile(self) -> Profile:
        """Who this installation is."""
        return self._profile

    def takes(self, payload_type: PayloadType) -> bool:
        """Whether the ledger, as far as it said so, takes what came with the contract that brought this type."""
        known = self.status.payload_types
        return known is None or payload_type.value in known

    def wake(self) -> None:
        """Something new waits to be sent, or the process stops; from any thread."""
        self._events.put(Wake())

    def beat_with(self, beat: Callable[[], None], *, recovered: Callable[[], None] = lambda: None) -> None:
        """Sets what is called as sign of life while a stream is served, and whenever it has brought something."""
        self._beat, self._recovered = beat, recovered

    def submit(self, item: Item, *, timeout_seconds: float) -> tuple[Acknowledgement, tuple[str, ...]]:
        """Sends one more item through this chain of numbers and waits for its receipt; from any thread but the gateway's.

        LedgerUnavailable if it did not come in time: the item then still waits and will be sent.
        """
        answer: queue.SimpleQueue[tuple[Acknowledgement, tuple[str, ...]]] = queue.SimpleQueue()
        with self._waiters_lock:
            (row,) = self._spool.store((item,), at=self._clock())
            self._waiters[row] = answer
        self.wake()
        try:
            return answer.get(timeout=timeout_seconds)
        except queue.Empty:
            raise LedgerUnavailable(
                f"no receipt within {timeout_seconds:g} s", hint="it waits in the spool and will be sent: hpcbridgectl spool show"
            ) from None
        finally:
            with self._waiters_lock:
                self._waiters.pop(row, None)

    def run(self) -> None:
        """Serves one stream. Returns when it ended after it brought something, or the process stops; raises if it failed."""
        try:
            self._serve()
        except HpcbridgeError as error:
            self.status = replace(self.status, connected=False, last_error=str(error), address=self._client.address)
            if isinstance(error, IntegrityError | BadData):
                raise self._with_evidence(error) from error
            if isinstance(error, CertificateExpired):
                self._renew_soon()  # the ledger's clock decides, and this machine's may be far behind it
            if isinstance(error, IdentityError | Refused):
                # Nothing is lost by waiting: the spool keeps everything until somebody enrols again or lifts the revocation.
                raise LedgerUnavailable(str(error), hint=error.hint) from error
            raise
        self.status = replace(self.status, connected=False)

    def _serve(self) -> None:
        self._drop_old_events()
        stream = self._client.submit_stream()
        reader = threading.Thread(target=self._read, args=(stream,), name="receipts", daemon=True)
        session = Session(self._desk(), stream)
        try:
            stream.send_hello(session.hello())
            reader.start()
            session.run()
        finally:
            stream.close()

    def _desk(self) -> Desk:
        return Desk(
            spool=self._spool,
            memory=self._memory,
            client=self._client,
            identity=self._identity,
            profile=self._profile,
            cluster=self._cluster,
            stopping=self._stopping,
            events=self._events,
            clock=self._clock,
            random_bytes=self._random_bytes,
            beat=self._beat,
            recovered=self._recovered,
            renew_soon=self._renew_soon,
            note=self._note,
            tell=self._tell,
        )

    def _note(self, **facts: Any) -> None:
        self.status = replace(self.status, **facts)

    def _tell(self, done: Mapping[int, Acknowledgement], reasons: Mapping[int, tuple[str, ...]]) -> None:
        """Hands receipts to those who wait for one, by row."""
        with self._waiters_lock:
            for row, acknowledged in done.items():
                waiter = self._waiters.get(row)
                if waiter is not None:
                    waiter.put((acknowledged, reasons.get(acknowledged.sequence, ())))

    def _read(self, stream: SubmitStream) -> None:
        """Hands replies over until the stream ends; runs in a thread of its own."""
        error: HpcbridgeError | None = None
        try:
            for reply in stream:
                self._events.put(reply)
        except HpcbridgeError as caught:
            error = caught
        self._events.put(Ended(error))

    def _drop_old_events(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()

    def _with_evidence(self, error: HpcbridgeError) -> IntegrityError:
        """Writes down what contradicts what, for a human and a third party."""
        note = self._spool.meta("checkpoint") or b""
        path = self._evidence / f"evidence-{self._clock()}.txt"
        text = f"{error}\n\nlast verified checkpoint:\n{note.decode()}\ncheckpoint received:\n{getattr(error, 'note', '')}\n"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as failure:
            logger.error("evidence_not_written path=%s error=%s", path, failure.strerror)  # noqa: TRY400
        logger.critical("integrity_broken evidence=%s error=%s", path, error)
        return error if isinstance(error, IntegrityError) else IntegrityError(str(error), hint=error.hint)
