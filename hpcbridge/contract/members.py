# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Members: tokens, enrolment, renewal, revocation, and the members that entry 0 names.

That a certificate says what its facts say, and who issued it, is compared outside; here it is decided whether it may count. Rights (role,
attributes, vetting) belong to the member. Attributes are those of the newest token redeemed that names any; one that names none lets a
further installation in and changes nothing. Keys belong to installations, one current key each, and a key never comes back.
"""

from __future__ import annotations

import hashlib
import re

from hpcbridge.contract.parameters import parameter, write_parameters
from hpcbridge.contract.records import (
    GenesisRecord,
    InstallationRecord,
    MemberRecord,
    StoredInstallation,
    StoredKey,
    StoredMember,
    StoredToken,
    decode_stored,
    encode_stored,
    encode_word,
)
from hpcbridge.contract.rentals import end_rentals_of_member
from hpcbridge.contract.standing import KeyStatus, genesis_record, signer_of, stored_key, stored_member, stored_token
from hpcbridge.contract.state import Draft, StateView, scan_all
from hpcbridge.contract.vetting import is_vetted, suspend_clusters_of
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller, CertificateFacts, Role, Submitter
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant, check_name
from hpcbridge.model.transactions import Enrolment, Genesis, Renewal, Revocation, SystemNode, Token

CLOCK_TOLERANCE_MS = 600_000
"""How much an admin's clock may be ahead of the ledger's when it chooses the end of a token."""
MAX_ATTRIBUTES = 32
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}\Z")
_MAX_TEXT = 256


def allow_enrolment(draft: Draft, _caller: Caller, body: Token, at: Instant) -> None:
    """An admin allows one enrolment of one member in one role, by the digest of a secret that only the token's holder has."""
    _check_token(body)
    if not at < body.expires_at <= at + parameter(draft, "token_life_ms") + CLOCK_TOLERANCE_MS:
        raise Refused(EntryOutcome.MALFORMED, "the token's end is past, or further away than token_life_ms", hint="check your clock")
    if stored_token(draft, body.digest) is not None:
        raise Refused(EntryOutcome.ALREADY_EXISTS, "this token is on record already")
    member = stored_member(draft, body.member)
    if member is not None and member.revoked:
        raise Refused(EntryOutcome.NOT_APPROVED, f"member {body.member} is revoked; choose another name")
    if member is not None and member.role is not body.role:
        raise Refused(EntryOutcome.ALREADY_EXISTS, f"member {body.member} has the role {member.role}")
    write_token(draft, body)


def enrol(draft: Draft, _caller: Caller, body: Enrolment, at: Instant) -> None:
    """A token was redeemed: a key enters, for a new installation or in place of the key of one that enrols again."""
    facts = body.facts
    _redeem(draft, body, at)
    _check_life(facts, at)
    if stored_key(draft, _key_id(facts.public_key)) is not None:
        raise Refused(EntryOutcome.ALREADY_EXISTS, "this key is on record already; make a new one")
    name = facts.submitter.member
    member = stored_member(draft, name)
    if member is None:
        vetting, enrolled_at = Vetting.PENDING if is_vetted(draft, facts.role) else Vetting.APPROVED, at
    elif member.revoked or member.role is not facts.role:
        raise Refused(EntryOutcome.NOT_APPROVED, f"member {name} is revoked or has another role")
    else:
        vetting, enrolled_at = member.vetting, member.enrolled_at
    entered = StoredMember(role=facts.role, vetting=vetting, revoked=False, attributes=facts.attributes, enrolled_at=enrolled_at)
    draft.put(f"member/{name}", encode_stored(entered))
    _end_installation(draft, facts.submitter)
    installation = _enter_key(draft, facts.submitter, facts.public_key, not_after_at=facts.not_after_at, at=at)
    record = MemberRecord(
        name=name,
        role=entered.role,
        vetting=vetting,
        revoked=False,
        attributes=entered.attributes,
        installations=(installation_record(facts.submitter.installation, installation),),
        enrolled_at=enrolled_at,
    )
    draft.tell(EventType.MEMBER_ENROLLED, name, subject=str(facts.submitter), body=encode_word(record))


def renew(draft: Draft, _caller: Caller, body: Renewal, at: Instant) -> None:
    """A known key gets a newer certificate; it may have expired, but not longer ago than the renewal window."""
    facts = body.facts
    signer = signer_of(draft, facts.submitter, at)
    if signer is None or signer.key_id != _key_id(facts.public_key):
        raise Refused(EntryOutcome.NOT_FOUND, f"this is not the key of {facts.submitter} on record", hint="enrol with a token")
    if signer.status is KeyStatus.REVOKED:
        raise Refused(EntryOutcome.NOT_PERMITTED, f"{facts.submitter} is revoked")
    if (facts.role, facts.attributes) != (signer.caller.role, signer.caller.attributes):
        raise Refused(EntryOutcome.NOT_PERMITTED, f"role and attributes are not those of member {facts.submitter.member}")
    if signer.not_after_at is None:
        raise Refused(EntryOutcome.NOT_PERMITTED, "a system node's key does not expire and has no certificate")
    if signer.not_after_at + parameter(draft, "renewal_window_ms") < at:
        raise Refused(EntryOutcome.NOT_PERMITTED, "the last certificate ended too long ago", hint="enrol with a new token")
    if facts.not_after_at <= signer.not_after_at:
        raise Refused(EntryOutcome.STALE, "a certificate that lasts at least as long is on record")
    _check_life(facts, at)
    stored = _installation(draft, facts.submitter)
    renewed = StoredInstallation(
        key_id=signer.key_id,
        public_key=facts.public_key,
        not_after_at=facts.not_after_at,
        revoked=False,
        enrolled_at=at if stored is None else stored.enrolled_at,
    )
    draft.put(f"installation/{facts.submitter}", encode_stored(renewed))


def revoke(draft: Draft, caller: Caller, body: Revocation, at: Instant) -> None:
    """Ends a member with all its keys, or one installation. A member's end is for good; its clusters are suspended, its rentals end."""
    if len(body.reason) > _MAX_TEXT:
        raise Refused(EntryOutcome.MALFORMED, f"the reason is longer than {_MAX_TEXT} characters")
    member = stored_member(draft, body.member)
    if member is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no member {body.member[:60]!r}")
    if member.revoked:
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"member {body.member} is revoked already")
    if body.member == caller.member and body.installation in (None, caller.submitter.installation):
        raise Refused(EntryOutcome.NOT_PERMITTED, "nobody revokes what it signs with; ask another admin or use another installation")
    ending = _ending(draft, body)
    if member.role is Role.SYSTEM_NODE:
        _keep_one_system_node(draft, ending)
    for submitter in ending:
        _end_installation(draft, submitter)
    if body.installation is None:
        ended = StoredMember(
            role=member.role, vetting=member.vetting, revoked=True, attributes=member.attributes, enrolled_at=member.enrolled_at
        )
        draft.put(f"member/{body.member}", encode_stored(ended))
        suspend_clusters_of(draft, body.member, admin=caller.member, at=at)
        end_rentals_of_member(draft, body.member, at)
    subject = body.member if body.installation is None else f"{body.member}/{body.installation}"
    draft.tell(EventType.MEMBER_REVOKED, body.member, subject=subject, body=encode_word(body))


def found(draft: Draft, body: Genesis, at: Instant) -> None:
    """Entry 0: what it pins, its system nodes, its parameters and the token of the first admin."""
    record = GenesisRecord(
        origin=body.origin,
        ca_certificate=body.ca_certificate,
        log_key=body.log_key,
        system_nodes=body.system_nodes,
        contract_version=body.contract_version,
        created_at=body.created_at,
    )
    draft.put("ledger/genesis", encode_word(record))
    write_parameters(draft, body.parameters)
    token = Token(
        digest=body.first_admin_token_digest,
        role=Role.ADMIN,
        member=body.first_admin,
        attributes=(),
        expires_at=body.token_expires_at,
    )
    _check_token(token)
    write_token(draft, token)
    for node in body.system_nodes:
        _enter_system_node(draft, node, at)
    if stored_member(draft, body.first_admin) is not None:
        raise Refused(EntryOutcome.ALREADY_EXISTS, "the first admin has the name of a system node")


def attributes_by(view: StateView, token: StoredToken) -> tuple[tuple[str, str], ...]:
    """The attributes a member has once this token is redeemed: the token's, or those it has already if the token names none."""
    member = stored_member(view, token.member)
    return member.attributes if member is not None and not token.attributes else token.attributes


def write_token(draft: Draft, body: Token) -> None:
    """Puts a token on record, not yet used."""
    stored = StoredToken(role=body.role, member=body.member, attributes=body.attributes, expires_at=body.expires_at, used=False)
    draft.put(f"token/{body.digest.hex()}", encode_stored(stored))


def installation_record(name: str, stored: StoredInstallation, *, awaits_approval: bool = False) -> InstallationRecord:
    """An installation as it is shown."""
    return InstallationRecord(
        name=name,
        key_id=stored.key_id,
        not_after_at=stored.not_after_at,
        revoked=stored.revoked,
        enrolled_at=stored.enrolled_at,
        awaits_approval=awaits_approval,
    )


def _check_token(body: Token) -> None:
    try:
        check_name("member", body.member)
    except ValueError as error:
        raise Refused(EntryOutcome.MALFORMED, str(error)) from error
    if len(body.digest) != hashlib.sha256().digest_size:
        raise Refused(EntryOutcome.MALFORMED, "a token's digest has 32 bytes")
    if body.role is Role.SYSTEM_NODE:
        raise Refused(EntryOutcome.NOT_PERMITTED, "system nodes do not enrol by token")
    if len(body.attributes) > MAX_ATTRIBUTES or list(body.attributes) != sorted(dict(body.attributes).items()):
        raise Refused(EntryOutcome.MALFORMED, f"attributes are not in order, doubled, or more than {MAX_ATTRIBUTES}")
    for name, value in body.attributes:
        if not _ATTRIBUTE_NAME.match(name) or len(value) > 200 or not is_printable(value):
            raise Refused(EntryOutcome.MALFORMED, f"attribute {name[:40]!r}={value[:40]!r} is malformed")


def _redeem(draft: Draft, body: Enrolment, at: Instant) -> None:
    facts, token = body.facts, stored_token(draft, body.token_digest)
    if token is None:
        raise Refused(EntryOutcome.TOKEN_INVALID, "no admin allowed this token")
    if token.used:
        raise Refused(EntryOutcome.TOKEN_INVALID, "the token was used before", hint="ask an admin for a new one")
    if token.expires_at <= at:
        raise Refused(EntryOutcome.TOKEN_INVALID, "the token has expired", hint="ask an admin for a new one")
    if (token.role, token.member, attributes_by(draft, token)) != (facts.role, facts.submitter.member, facts.attributes):
        raise Refused(EntryOutcome.TOKEN_INVALID, "the token is for another member, role or other attributes")
    used = StoredToken(role=token.role, member=token.member, attributes=token.attributes, expires_at=token.expires_at, used=True)
    draft.put(f"token/{body.token_digest.hex()}", encode_stored(used))


def _check_life(facts: CertificateFacts, at: Instant) -> None:
    if facts.not_after_at <= at:
        raise Refused(EntryOutcome.STALE, "the certificate has ended already")


def _enter_key(draft: Draft, submitter: Submitter, public_key: bytes, *, not_after_at: Instant | None, at: Instant) -> StoredInstallation:
    key_id = _key_id(public_key)
    stored = StoredInstallation(key_id=key_id, public_key=public_key, not_after_at=not_after_at, revoked=False, enrolled_at=at)
    draft.put(f"installation/{submitter}", encode_stored(stored))
    draft.put(f"key/{key_id.hex()}", encode_stored(StoredKey(submitter=str(submitter), public_key=public_key, revoked=False)))
    return stored


def _end_installation(draft: Draft, submitter: Submitter) -> None:
    stored = _installation(draft, submitter)
    if stored is None or stored.revoked:
        return
    ended = StoredInstallation(
        key_id=stored.key_id,
        public_key=stored.public_key,
        not_after_at=stored.not_after_at,
        revoked=True,
        enrolled_at=stored.enrolled_at,
    )
    draft.put(f"installation/{submitter}", encode_stored(ended))
    key = StoredKey(submitter=str(submitter), public_key=stored.public_key, revoked=True)
    draft.put(f"key/{stored.key_id.hex()}", encode_stored(key))


def _ending(draft: Draft, body: Revocation) -> list[Submitter]:
    prefix = f"installation/{body.member}/"
    if body.installation is None:
        return [Submitter(body.member, key.removeprefix(prefix)) for key, _ in scan_all(draft, prefix)]
    submitter = Submitter(body.member, body.installation)
    stored = _installation(draft, submitter)
    if stored is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"member {body.member} has no installation {body.installation[:60]!r}")
    if stored.revoked:
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"{submitter} is revoked already")
    return [submitter]


def _keep_one_system_node(draft: Draft, ending: list[Submitter]) -> None:
    genesis = genesis_record(draft)
    nodes = () if genesis is None else genesis.system_nodes
    left = [node.submitter for node in nodes if node.submitter not in ending]
    if all((stored := _installation(draft, submitter)) is None or stored.revoked for submitter in left):
        raise Refused(EntryOutcome.NOT_PERMITTED, "this is the last system node; the ledger would stop for ever")


def _enter_system_node(draft: Draft, node: SystemNode, at: Instant) -> None:
    entered = StoredMember(role=Role.SYSTEM_NODE, vetting=Vetting.APPROVED, revoked=False, attributes=(), enrolled_at=at)
    draft.put(f"member/{node.submitter.member}", encode_stored(entered))
    _enter_key(draft, node.submitter, node.public_key, not_after_at=None, at=at)


def _installation(draft: Draft, submitter: Submitter) -> StoredInstallation | None:
    data = draft.get(f"installation/{submitter}")
    return None if data is None else decode_stored(StoredInstallation, data)


def _key_id(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()
