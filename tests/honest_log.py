# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A small real log in memory: entries folded by the contract, signed with fixed keys, the same bytes at every run.

Certificates come from a real CA the first time and are recorded in tests/vectors/certificates.json: an X.509 certificate carries a random
serial number. Envelopes are signed as in RFC 6979, so that no signature is random.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hpcbridge.audit.verify import Pins
from hpcbridge.fold import Applied, VerifyCertificate, WorkingState, fold
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import build_csr, key_id, read_certificate, verify_issued
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.sealing import pae
from hpcbridge.ledger.checkpoint import sign_checkpoint
from hpcbridge.ledger.merkle import leaf_hash, root_of
from hpcbridge.model.entries import Checkpoint, Entry, Event, NoEntry, Receipt
from hpcbridge.model.identities import CertificateFacts, Role, Submitter
from hpcbridge.model.transactions import (
    Body,
    Enrolment,
    Envelope,
    EpochReason,
    EpochStart,
    Genesis,
    Header,
    Payload,
    Seen,
    SystemNode,
    Tick,
    Token,
)
from hpcbridge.wire.convert import encode, encode_body, payload_type_of

ORIGIN = "ledger.example"
START_AT = 1_795_349_700_000
DAY_MS = 86_400_000
RECORDED = Path(__file__).parent / "vectors" / "certificates.json"
_DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def fixed_key(name: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 key that is the same at every run. For examples only: everybody knows it."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()), ec.SECP256R1())


def fixed_log_key(name: str = "log") -> Ed25519PrivateKey:
    """The key that signs checkpoints, as public as the others."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@dataclass
class Signer:
    """An installation with its key and its chain of numbers."""

    submitter: Submitter
    role: Role
    key: ec.EllipticCurvePrivateKey
    epoch: bytes = b""
    sequence: int = 0
    seen: Seen = field(default_factory=lambda: Seen(size=0, root=b""))

    @classmethod
    def of(cls, name: str, role: Role, installation: str = "main") -> Signer:
        return cls(Submitter(name, installation), role, fixed_key(f"{name}/{installation}"))

    def open_epoch(self, number: int = 1) -> None:
        self.epoch = hashlib.sha256(f"{self.submitter} epoch {number}".encode()).digest()[:16]
        self.sequence = 0

    def payload(self, body: Body, at: int) -> bytes:
        self.sequence += 1
        header = Header(origin=ORIGIN, submitter=self.submitter, epoch=self.epoch, sequence=self.sequence, seen=self.seen, wall_at=at)
        return encode(Payload(header=header, body=encode_body(body)))

    def envelope(self, payload: bytes, payload_type: str) -> bytes:
        signature = self.key.sign(pae(payload_type, payload), _DETERMINISTIC)
        id_ = key_id(public_bytes(self.key))
        return encode(Envelope(payload=payload, payload_type=payload_type, key_id=id_, signature=signature))

    def sign(self, body: Body, at: int) -> bytes:
        return self.envelope(self.payload(body, at), payload_type_of(body))


class HonestLog:
    """An origin, its keys, and everything that was folded so far. `leaves[i]` caused `events[i]`."""

    def __init__(self, *, nodes: Sequence[str] = ("node-1",)) -> None:
        self.log_key = fixed_log_key()
        self.node = Signer.of("ledger", Role.SYSTEM_NODE, nodes[0])
        self.authority = certificate("ca")
        self.state = WorkingState()
        self.at = START_AT
        self.leaves: list[bytes] = []
        self.events: list[tuple[Event, ...]] = []
        self.applied: list[Applied] = []
        self.node.open_epoch()
        self.append(self.node.sign(self._genesis(), self.at))

    @property
    def pins(self) -> Pins:
        return Pins(origin=ORIGIN, log_key=self.log_key.public_key().public_bytes_raw(), authority=self.authority)

    def append(self, envelope: bytes, *, later_ms: int = 1000) -> Entry:
        """Folds one envelope that must become an entry."""
        self.at += later_ms if self.leaves else 0
        applied = self.fold(envelope)
        assert isinstance(applied, Applied), applied
        self.state.put(applied)
        self.leaves.append(applied.leaf)
        self.events.append(applied.events)
        self.applied.append(applied)
        return applied.entry

    def fold(self, envelope: bytes, *, verify_certificate: VerifyCertificate = verify_issued) -> Applied | NoEntry:
        """What the fold says of an envelope as the next entry; changes nothing."""
        return fold(
            self.state,
            envelope,
            index=len(self.leaves),
            at=self.at,
            proposer=self.node.submitter,
            origin=ORIGIN,
            verify_certificate=verify_certificate,
        )

    def submit(self, signer: Signer, body: Body) -> Entry:
        """Signs with the signer's next number and appends."""
        return self.append(signer.sign(body, self.at))

    def tick(self) -> Entry:
        return self.submit(self.node, Tick())

    def enrol(self, signer: Signer, *, secret: str, attributes: tuple[tuple[str, str], ...] = ()) -> Entry:
        """Redeems a token that stands in the log, and opens the signer's first epoch."""
        facts = self.facts_of(signer, attributes)
        entry = self.submit(self.node, Enrolment(token_digest=hashlib.sha256(secret.encode()).digest(), facts=facts))
        self.start_epoch(signer, EpochReason.FIRST)
        return entry

    def allow(self, admin: Signer, signer: Signer, *, secret: str, attributes: tuple[tuple[str, str], ...] = ()) -> Entry:
        """An admin's token for a new member."""
        return self.submit(
            admin,
            Token(
                digest=hashlib.sha256(secret.encode()).digest(),
                role=signer.role,
                member=signer.submitter.member,
                attributes=attributes,
                expires_at=self.at + 3_600_000,
            ),
        )

    def start_epoch(self, signer: Signer, reason: EpochReason, number: int = 1) -> Entry:
        previous, last = signer.epoch, signer.sequence
        signer.open_epoch(number)
        return self.submit(signer, EpochStart(previous_epoch=previous, last_acknowledged=last, reason=reason, gap=None))

    def facts_of(self, signer: Signer, attributes: tuple[tuple[str, str], ...] = ()) -> CertificateFacts:
        facts = read_certificate(certificate(str(signer.submitter)), ORIGIN)
        assert (facts.role, facts.attributes, facts.public_key) == (signer.role, attributes, public_bytes(signer.key))
        return facts

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        return signed(self.leaves[: len(self.leaves) if size is None else size], self.log_key)

    def receipt(self, index: int, size: int | None = None) -> Receipt:
        checkpoint = self.checkpoint(size)
        hashes_ = [leaf_hash(leaf) for leaf in self.leaves[: checkpoint.size]]
        return Receipt(leaf=self.leaves[index], index=index, proof=tuple(path_of(index, hashes_)), checkpoint=checkpoint)

    def _genesis(self) -> Genesis:
        return Genesis(
            origin=ORIGIN,
            ca_certificate=self.authority,
            log_key=self.log_key.public_key().public_bytes_raw(),
            first_admin="alice",
            first_admin_token_digest=hashlib.sha256(b"alice's token").digest(),
            token_expires_at=START_AT + 3_600_000,
            system_nodes=(SystemNode(submitter=self.node.submitter, public_key=public_bytes(self.node.key)),),
            parameters=(),
            contract_version=1,
            created_at=START_AT,
        )


def signed(leaves: Sequence[bytes], key: Ed25519PrivateKey) -> Checkpoint:
    """A checkpoint over any leaves: what the owner of the log key can always make."""
    return sign_checkpoint(ORIGIN, len(leaves), root=root_of(leaf_hash(leaf) for leaf in leaves), key=key)


def path_of(index: int, hashes_: Sequence[bytes]) -> list[bytes]:
    """Inclusion proof as RFC 6962 section 2.1.1 defines it; independent of `ledger/tiles.py`."""
    if len(hashes_) == 1:
        return []
    split = 1 << (len(hashes_) - 1).bit_length() - 1
    if index < split:
        return [*path_of(index, hashes_[:split]), root_of(hashes_[split:])]
    return [*path_of(index - split, hashes_[split:]), root_of(hashes_[:split])]


def certificate(name: str) -> bytes:
    """A recorded certificate, DER: `ca` or `name/installation`."""
    return base64.b64decode(json.loads(RECORDED.read_text())[name])


MEMBERS: tuple[tuple[Signer, tuple[tuple[str, str], ...]], ...] = (
    (Signer.of("alice", Role.ADMIN), ()),
    (Signer.of("hpc-one", Role.PROVIDER), ()),
    (Signer.of("hpc-two", Role.PROVIDER), ()),
    (Signer.of("audrey", Role.USER), (("auditor", "true"),)),
)
"""Whose certificates are recorded."""


def record_certificates() -> None:
    """Writes tests/vectors/certificates.json anew: `python -m tests.honest_log`. The worked example changes with it."""
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority.create(Path(directory), ORIGIN, at=START_AT - DAY_MS)
        found = {"ca": authority.certificate}
        for signer, attributes in MEMBERS:
            request = build_csr(signer.key, signer.submitter)
            facts = authority.issue(request, signer.submitter, role=signer.role, attributes=attributes, at=START_AT)
            found[str(signer.submitter)] = facts.certificate
    RECORDED.write_text(json.dumps({name: base64.b64encode(der).decode() for name, der in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    record_certificates()
