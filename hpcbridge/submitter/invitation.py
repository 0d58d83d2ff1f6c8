# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Inviting a member: a secret made here, its digest for the log, and the line of text with which somebody enrols."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from hpcbridge.identity.certificates import fingerprint
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import SECRET_BYTES, EnrolmentToken, make_token, token_digest
from hpcbridge.model.identities import Role
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the log gets, and what only the invited gets: `text` holds the secret and counts once the ledger has accepted `body`."""

    body: Token
    text: str = field(repr=False)


def invite(keys: KeyDirectory, role: Role, *, member: str, attributes: tuple[tuple[str, str], ...], expires_at: Instant) -> Invitation:
    """A new secret for one enrolment, until the ledger's time is `expires_at`."""
    profile = keys.load_profile()
    secret = secrets.token_bytes(SECRET_BYTES)
    body = Token(digest=token_digest(secret), role=role, member=member, attributes=attributes, expires_at=expires_at)
    token = EnrolmentToken(
        address=profile.enrolment_address, origin=profile.origin, ca_fingerprint=fingerprint(keys.load_authority()), secret=secret
    )
    return Invitation(body=body, text=make_token(token))
