# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The member's side of the enrolment port: redeeming a one-time token, and renewing a certificate.

What is pinned for good (origin, CA, log key) comes over a connection whose CA has the fingerprint in the token, and everything
is checked before anything is written. The private key is made here and never leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcbridge.errors import ConfigError, IdentityError, IntegrityError
from hpcbridge.identity.certificates import build_csr, read_authority, read_certificate, verify_issued
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.profile import Profile, decode_profile, encode_profile
from hpcbridge.identity.tokens import EnrolmentToken, parse_token
from hpcbridge.model.entries import Receipt
from hpcbridge.model.identities import CertificateFacts, Submitter
from hpcbridge.model.quantities import check_name
from hpcbridge.model.transactions import Enrolment
from hpcbridge.wire.client import Endpoint, call_enrolments
from hpcbridge.wire.convert import decode
from hpcbridge.wire.credentials import fetch_authority
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.receipts import open_leaf, read_receipt

DEADLINE_SECONDS = 30.0
"""An enrolment waits for its entry to be ordered, stored and signed."""
_NOT_YET_KNOWN = "enrolling"
"""Subject of the request; the name comes with the certificate, from the token's entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What an enrolment brought, after everything was checked. The receipt proves that the key is on the log."""

    profile: Profile
    facts: CertificateFacts
    receipt: Receipt


def enrol(token_text: str, installation: str, identity: KeyDirectory, *, deadline_seconds: float = DEADLINE_SECONDS) -> Enrolled:
    """Redeems a token: makes the key, asks for a certificate, verifies all that comes back, writes it into the directory.

    ConfigError if the directory is enrolled already; EnrolmentRefused if the server is another than the token's or says no.
    """
    token = parse_token(token_text)
    check_name("installation", installation)
    if identity.is_enrolled():
        raise ConfigError(
            f"{identity.path}: enrolled already as {identity.load_profile().submitter}", hint="use another --identity directory"
        )
    authority, server_name = fetch_authority(token.address, token.ca_fingerprint, timeout_seconds=deadline_seconds)
    if read_authority(authority).origin != token.origin:
        raise IdentityError(f"the CA at {token.address} is of another ledger than {token.origin}, which the token names")
    key = identity.load_or_create_key()
    reply = call_enrolments(
        Endpoint(token.address, server_name),
        authority,
        method="Enrol",
        request=ledger_pb2.EnrolRequest(
            token_secret=token.secret,
            installation=installation,
            csr=build_csr(key, Submitter(_NOT_YET_KNOWN, installation)),
        ),
        deadline_seconds=deadline_seconds,
    )
    enrolled = _checked(reply, token, authority=authority, installation=installation, public_key=public_bytes(key))
    identity.save_authority(authority)
    identity.save_log_public_key(reply.log_key)
    identity.save_certificate(enrolled.facts.certificate)
    identity.save_profile(enrolled.profile)
    return enrolled


def renew(identity: KeyDirectory, *, deadline_seconds: float = DEADLINE_SECONDS) -> CertificateFacts:
    """A newer certificate for the same key, also after the old one expired; saved before it is returned."""
    profile = identity.load_profile()
    authority = identity.load_authority()
    key = identity.load_key()
    reply = call_enrolments(
        Endpoint(profile.enrolment_address, profile.server_name),
        authority,
        method="Renew",
        request=ledger_pb2.RenewRequest(csr=build_csr(key, profile.submitter)),
        deadline_seconds=deadline_seconds,
    )
    facts = _issued_for_us(reply.certificate, profile.origin, authority=authority, public_key=public_bytes(key))
    if (facts.submitter, facts.role) != (profile.submitter, profile.role):
        raise IdentityError(f"the renewed certificate is of {facts.submitter} ({facts.role}), this is {profile.submitter} ({profile.role})")
    identity.save_certificate(facts.certificate)
    return facts


def _checked(reply: ledger_pb2.EnrolReply, token: EnrolmentToken, *, authority: bytes, installation: str, public_key: bytes) -> Enrolled:
    if reply.origin != token.origin or reply.ca_certificate != authority or len(reply.log_key) != 32:
        raise IdentityError(
            f"the answer from {token.address} does not fit the token: origin {reply.origin[:63]!r}, another CA, or no log key",
            hint="nothing was written; tell the ledger's admin",
        )
    facts = _issued_for_us(reply.certificate, token.origin, authority=authority, public_key=public_key)
    if facts.submitter.installation != installation:
        raise IdentityError(f"the certificate is for the installation {facts.submitter.installation}, not {installation}")
    receipt = read_receipt(reply.receipt, reply.receipt.checkpoint.note, origin=token.origin, log_public_key=reply.log_key)
    _check_entry(receipt, facts)
    return Enrolled(profile=_profile(reply, token, facts), facts=facts, receipt=receipt)


def _issued_for_us(certificate: bytes, origin: str, *, authority: bytes, public_key: bytes) -> CertificateFacts:
    facts = read_certificate(certificate, origin)
    verify_issued(facts, authority)
    if facts.public_key != public_key:
        raise IdentityError("the certificate that came back is for another key than ours")
    return facts


def _check_entry(receipt: Receipt, facts: CertificateFacts) -> None:
    try:
        enrolment = decode(Enrolment, open_leaf(receipt.leaf).payload.body)
    except ValueError as error:
        raise IntegrityError("the receipt of this enrolment is of another kind of entry") from error
    if enrolment.facts != facts:
        raise IntegrityError("the receipt of this enrolment is of another certificate")


def _profile(reply: ledger_pb2.EnrolReply, token: EnrolmentToken, facts: CertificateFacts) -> Profile:
    profile = Profile(
        origin=token.origin,
        submitter=facts.submitter,
        role=facts.role,
        ledger_addresses=tuple(reply.ledger_addresses),
        enrolment_address=token.address,
        server_name=reply.server_name,
    )
    try:
        return decode_profile(encode_profile(profile))
    except ValueError as error:
        raise IdentityError(f"the connection profile that came back is not usable: {error}") from error
