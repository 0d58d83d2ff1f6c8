# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A ledger without a service: real keys, real certificates, real envelopes, folded into a state in memory."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.contract import CONTRACT_VERSION
from hpcbridge.contract.standing import Signer, signer_of
from hpcbridge.fold import Applied, VerifyCertificate, VerifyEnvelope, WorkingState, fold
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import build_csr, verify_issued
from hpcbridge.identity.keys import new_key, public_bytes
from hpcbridge.identity.sealing import seal, verify_envelope
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import NoEntry
from hpcbridge.model.identities import Caller, CertificateFacts, Role, Submitter
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.transactions import (
    Body,
    Decision,
    Enrolment,
    EpochReason,
    EpochStart,
    Genesis,
    Header,
    JobChange,
    JobChanges,
    Payload,
    Renewal,
    Seen,
    SystemNode,
    Tick,
    Token,
)
from hpcbridge.wire.convert import encode, encode_body, payload_type_of

START_AT = 1_790_000_000_000
DAY_MS = 86_400_000


@dataclass
class Party:
    """One installation: its key, and its own chain of numbers."""

    submitter: Submitter
    role: Role
    key: ec.EllipticCurvePrivateKey
    epoch: bytes = b""
    sequence: int = 0
    facts: CertificateFacts | None = None


@dataclass
class World:
    """Entry 0 is there, and the system node may go on with number 2. `at` is the ledger's time; a test moves it."""

    directory: Path
    origin: str = "test"
    parameters: tuple[tuple[str, int], ...] = ()
    contract_version: int = CONTRACT_VERSION
    at: int = START_AT
    state: WorkingState = field(default_factory=WorkingState)
    applied: list[Applied] = field(default_factory=list)
    verify: VerifyEnvelope = verify_envelope
    verify_certificate: VerifyCertificate = verify_issued
    epochs: int = 0

    def __post_init__(self) -> None:
        self.authority = Authority.create(self.directory / "ca", self.origin, at=self.at - DAY_MS)
        self.node = Party(Submitter("ledger", "node1"), Role.SYSTEM_NODE, new_key(), self.new_epoch())
        genesis = Genesis(
            origin=self.origin,
            ca_certificate=self.authority.certificate,
            log_key=b"\x01" * 32,
            first_admin="root",
            first_admin_token_digest=hashlib.sha256(b"root").digest(),
            token_expires_at=self.at + DAY_MS,
            system_nodes=(SystemNode(submitter=self.node.submitter, public_key=public_bytes(self.node.key)),),
            parameters=self.parameters,
            contract_version=self.contract_version,
            created_at=self.at,
        )
        self.must(self.node, genesis)
        self.root = self.redeem(Submitter("root", "desk"), Role.ADMIN, secret=b"root")
        self.start(self.root)

    def new_epoch(self) -> bytes:
        """16 bytes that were not used before; a test needs no chance."""
        self.epochs += 1
        return hashlib.sha256(b"epoch %d" % self.epochs).digest()[:16]

    def seal(self, party: Party, body: Body, **changes: Any) -> bytes:
        """A signed envelope with the party's next number; keywords change header fields, `payload_type`, `key` or `raw_body`."""
        key = changes.pop("key", party.key)
        payload_type = changes.pop("payload_type", None) or payload_type_of(body)
        raw_body = changes.pop("raw_body", None)
        header = Header(
            origin=self.origin,
            submitter=party.submitter,
            epoch=party.epoch,
            sequence=party.sequence + 1,
            seen=Seen(size=0, root=b""),
            wall_at=self.at,
        )
        payload = Payload(header=dataclasses.replace(header, **changes), body=encode_body(body) if raw_body is None else raw_body)
        return encode(seal(encode(payload), payload_type, key))

    def fold(self, raw: bytes) -> Applied | NoEntry:
        """Folds bytes as the next entry and takes over what they cause."""
        answer = fold(
            self.state,
            raw,
            index=len(self.applied),
            at=self.at,
            proposer=self.node.submitter,
            origin=self.origin,
            verify=self.verify,
            verify_certificate=self.verify_certificate,
        )
        if isinstance(answer, Applied):
            self.applied.append(answer)
            self.state.put(answer)
        return answer

    def send(self, party: Party, body: Body, **changes: Any) -> Applied | NoEntry:
        """Seals and folds; the party counts on if its number was consumed."""
        answer = self.fold(self.seal(party, body, **changes))
        if isinstance(answer, Applied) and answer.number is not None:
            party.epoch, party.sequence = answer.number.epoch, answer.number.sequence
        return answer

    def must(self, party: Party, body: Body, **changes: Any) -> Applied:
        """As `send`, for what has to be accepted whole."""
        answer = self.send(party, body, **changes)
        assert isinstance(answer, Applied), answer
        assert set(answer.entry.outcomes) == {"ACCEPTED"}, answer.reasons
        return answer

    def outcomes(self, party: Party, body: Body, **changes: Any) -> list[str]:
        """Outcomes of an entry, as text."""
        answer = self.send(party, body, **changes)
        assert isinstance(answer, Applied), answer
        return [outcome.value for outcome in answer.entry.outcomes]

    def issue(
        self,
        submitter: Submitter,
        role: Role,
        key: ec.EllipticCurvePrivateKey,
        *,
        attributes: tuple[tuple[str, str], ...] = (),
        authority: Authority | None = None,
        lifetime_ms: int = DAY_MS,
    ) -> CertificateFacts:
        """A certificate of the world's CA, or of another."""
        csr = build_csr(key, submitter)
        issuer = authority or self.authority
        return issuer.issue(csr, submitter, role=role, attributes=attributes, at=self.at, lifetime_ms=lifetime_ms)

    def redeem(
        self,
        submitter: Submitter,
        role: Role,
        *,
        secret: bytes,
        attributes: tuple[tuple[str, str], ...] = (),
        lifetime_ms: int = 30 * DAY_MS,
    ) -> Party:
        """Enrols an installation under a token that is on record."""
        party = Party(submitter, role, new_key())
        facts = self.issue(submitter, role, party.key, attributes=attributes, lifetime_ms=lifetime_ms)
        self.must(self.node, Enrolment(token_digest=hashlib.sha256(secret).digest(), facts=facts))
        party.facts = facts
        return party

    def enrol(
        self,
        name: str,
        role: Role,
        *,
        installation: str = "main",
        attributes: tuple[tuple[str, str], ...] = (),
        lifetime_ms: int = 30 * DAY_MS,
    ) -> Party:
        """Token, enrolment and first epoch."""
        secret = f"{name}/{installation}/{len(self.applied)}".encode()
        self.must(self.root, self.token(secret, name, role, attributes=attributes))
        party = self.redeem(Submitter(name, installation), role, secret=secret, attributes=attributes, lifetime_ms=lifetime_ms)
        self.start(party)
        return party

    def token(
        self, secret: bytes, name: str, role: Role, *, attributes: tuple[tuple[str, str], ...] = (), life_ms: int = 3_600_000
    ) -> Token:
        """An admin's token by its secret."""
        return Token(digest=hashlib.sha256(secret).digest(), role=role, member=name, attributes=attributes, expires_at=self.at + life_ms)

    def start_body(self, party: Party, reason: EpochReason = EpochReason.LOST, **changes: Any) -> EpochStart:
        """The EpochStart that fits what is on record."""
        status = self.chain(party)
        body = EpochStart(previous_epoch=status[0], last_acknowledged=status[1], reason=reason, gap=None)
        return dataclasses.replace(body, **changes)

    def start(self, party: Party, **changes: Any) -> Applied | NoEntry:
        """Opens a new epoch."""
        return self.send(party, self.start_body(party, **changes), epoch=self.new_epoch(), sequence=1)

    def chain(self, party: Party) -> tuple[bytes, int]:
        """Epoch and last number on record, as Hello would tell."""
        from hpcbridge.contract.epochs import stored_epoch

        current = stored_epoch(self.state, party.submitter)
        return (b"", 0) if current is None else (current.epoch, current.last_sequence)

    def provider(self, name: str = "siteone", cluster: str = "c1") -> Party:
        """A provider with an approved cluster."""
        party = self.enrol(name, Role.PROVIDER)
        self.must(party, Registration(cluster=cluster, login_address=f"login.{cluster}.example"))
        self.must(self.root, Decision(name=cluster, vetting=Vetting.APPROVED, note=""))
        return party

    def tick(self) -> Applied:
        """The ledger's clock."""
        return self.must(self.node, Tick())

    def renew(self, party: Party, *, lifetime_ms: int = 30 * DAY_MS) -> Applied:
        """A newer certificate for the party's key."""
        facts = self.issue(party.submitter, party.role, party.key, lifetime_ms=lifetime_ms)
        party.facts = facts
        return self.must(self.node, Renewal(facts=facts))

    def signer(self, party: Party) -> Signer:
        """How the party stands."""
        signer = signer_of(self.state, party.submitter, self.at)
        assert signer is not None
        return signer

    def caller(self, party: Party) -> Caller:
        """The party as a caller of queries."""
        return self.signer(party).caller


def job(job_id: str = "1", state: JobState = JobState.QUEUED, **fields: Any) -> Job:
    """A job of cluster c1."""
    values: dict[str, Any] = {"cluster": "c1", "incarnation": 1, "native_state": state.value, "cores": 4, "owner": "ann", "name": "run"}
    return Job(job_id=job_id, state=state, **(values | fields))


def job_changes(*jobs: Job, observed_at: int = START_AT, cluster: str = "c1") -> JobChanges:
    """A body of jobs observed at one moment."""
    return JobChanges(cluster=cluster, changes=tuple(JobChange(job=item, observed_at=observed_at) for item in jobs))
