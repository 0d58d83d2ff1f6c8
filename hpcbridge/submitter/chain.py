# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An identity's chain of numbers as a file, `chain.json` beside the key, and what to do after a Hello.

The file is replaced whole before anything is sent, so a payload that was sent is always in it until its receipt is verified. `decide`
is pure: it compares what is here with what the ledger has.
"""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import msgspec

from hpcbridge.errors import ConfigError, IntegrityError
from hpcbridge.identity.keystore import read_file, write_file
from hpcbridge.model.transactions import EpochReason, PayloadType, Seen
from hpcbridge.wire.generated import ledger_pb2

NOTHING_SEEN = Seen(size=0, root=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A payload that was numbered and has no receipt yet. Its bytes never change while its epoch lasts."""

    epoch: bytes
    sequence: int
    payload_type: PayloadType
    payload: bytes

    @property
    def payload_hash(self) -> bytes:
        """Identity of the transaction."""
        return sha256(self.payload).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Epoch and next number of this installation, last verified checkpoint, and what waits. `reason` is why the next epoch starts."""

    epoch: bytes = b""
    next_sequence: int = 1
    last_payload_hash: bytes = b""
    reason: EpochReason | None = None
    seen: Seen = NOTHING_SEEN
    checkpoint: str = ""
    waiting: tuple[Waiting, ...] = ()

    def with_receipt(self, payload: Waiting) -> Chain:
        """After the receipt of a waiting payload was verified."""
        return dataclasses.replace(self, waiting=tuple(each for each in self.waiting if each != payload))

    def with_waiting(self, payload: Waiting) -> Chain:
        """After a number was given to a payload."""
        return dataclasses.replace(
            self,
            epoch=payload.epoch,
            next_sequence=payload.sequence + 1,
            last_payload_hash=payload.payload_hash,
            waiting=(*self.waiting, payload),
        )


class Step(StrEnum):
    """What a Hello asks for."""

    CONTINUE = "CONTINUE"
    """Send again what waits, then go on counting."""
    NEW_EPOCH = "NEW_EPOCH"
    """Open an epoch, then give what waits new numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The step, and for a new epoch its reason."""

    step: Step
    reason: EpochReason | None = None


def decide(chain: Chain, hello: ledger_pb2.HelloReply) -> Decision:
    """Compares the chain here with the ledger's; IntegrityError if the ledger has lost numbers it gave receipts for."""
    if chain.reason is not None:
        return Decision(step=Step.NEW_EPOCH, reason=chain.reason)
    if not chain.epoch:
        return Decision(step=Step.NEW_EPOCH, reason=_first_reason(hello))
    if hello.epoch != chain.epoch:
        return _other_epoch(chain)
    if hello.epoch_closed:
        return Decision(step=Step.NEW_EPOCH, reason=EpochReason.CLOSED)
    if hello.last_sequence >= chain.next_sequence or not _same_history(chain, hello):
        return Decision(step=Step.NEW_EPOCH, reason=EpochReason.LOST)
    first_waiting = min((each.sequence for each in chain.waiting if each.epoch == chain.epoch), default=chain.next_sequence)
    if hello.last_sequence < first_waiting - 1:
        raise IntegrityError(
            f"the ledger knows number {hello.last_sequence} of this identity as the last, but gave a receipt for {first_waiting - 1}",
            hint="it was restored from an old copy. Keep this identity's files as evidence; tell the network's admins.",
        )
    return Decision(step=Step.CONTINUE)


def load_chain(path: Path) -> Chain:
    """Reads the file; an absent one is a chain that has not begun. ConfigError if it is damaged."""
    if not path.exists():
        return Chain()
    try:
        file = msgspec.json.decode(read_file(path, secret=True), type=_ChainFile)
        return _chain_of(file)
    except ValueError as error:
        raise ConfigError(f"{path}: damaged: {error}", hint="move it away; the next command opens a new epoch by itself") from error


def save_chain(path: Path, chain: Chain) -> None:
    """Replaces the file, durably."""
    file = _ChainFile(
        epoch=chain.epoch.hex(),
        next_sequence=chain.next_sequence,
        last_payload_hash=chain.last_payload_hash.hex(),
        reason=chain.reason,
        seen_size=chain.seen.size,
        seen_root=chain.seen.root.hex(),
        checkpoint=chain.checkpoint,
        waiting=tuple(
            _WaitingFile(
                epoch=each.epoch.hex(),
                sequence=each.sequence,
                payload_type=each.payload_type,
                payload=base64.b64encode(each.payload).decode(),
            )
            for each in chain.waiting
        ),
    )
    write_file(path, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n", mode=0o600)


class _WaitingFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    epoch: str
    sequence: int
    payload_type: PayloadType
    payload: str


class _ChainFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    epoch: str
    next_sequence: int
    last_payload_hash: str
    reason: EpochReason | None
    seen_size: int
    seen_root: str
    checkpoint: str
    waiting: tuple[_WaitingFile, ...]


def _chain_of(file: _ChainFile) -> Chain:
    return Chain(
        epoch=bytes.fromhex(file.epoch),
        next_sequence=file.next_sequence,
        last_payload_hash=bytes.fromhex(file.last_payload_hash),
        reason=file.reason,
        seen=Seen(size=file.seen_size, root=bytes.fromhex(file.seen_root)),
        checkpoint=file.checkpoint,
        waiting=tuple(
            Waiting(
                epoch=bytes.fromhex(each.epoch),
                sequence=each.sequence,
                payload_type=each.payload_type,
                payload=base64.b64decode(each.payload, validate=True),
            )
            for each in file.waiting
        ),
    )


def _first_reason(hello: ledger_pb2.HelloReply) -> EpochReason:
    if not hello.epoch:
        return EpochReason.FIRST
    return EpochReason.CLOSED if hello.epoch_closed else EpochReason.LOST


def _other_epoch(chain: Chain) -> Decision:
    """The ledger has another epoch than we: either it has not seen our start yet, or somebody else went on with our identity."""
    starts = [each for each in chain.waiting if each.payload_type is PayloadType.EPOCH_START and each.epoch == chain.epoch]
    return Decision(step=Step.CONTINUE) if starts else Decision(step=Step.NEW_EPOCH, reason=EpochReason.LOST)


def _same_history(chain: Chain, hello: ledger_pb2.HelloReply) -> bool:
    """False if the ledger's last number holds another payload than ours: a copy of this identity used it."""
    hashes = {each.sequence: each.payload_hash for each in chain.waiting if each.epoch == chain.epoch}
    hashes.setdefault(chain.next_sequence - 1, chain.last_payload_hash)
    ours = hashes.get(hello.last_sequence)
    return ours is None or ours == hello.last_payload_hash
