# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Enrolment tokens: one line that an admin hands to whoever shall enrol.

`hpcb1.` and base64url of {where to enrol, name of the ledger, fingerprint of its CA, 256-bit secret} with a short checksum, so that a
token damaged on its way is told apart from one that the ledger refuses. The ledger knows only the digest of the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import NoReturn

import msgspec

from hpcbridge.errors import BadData
from hpcbridge.model.quantities import check_origin

PREFIX = "hpcb1."
SECRET_BYTES = 32
FINGERPRINT_BYTES = 32
MAX_TOKEN_CHARACTERS = 1024
_CHECKSUM_BYTES = 4
_PLACE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})\Z")
_ASK_AGAIN = "copy the whole line as the admin gave it; if that does not help, ask for a new one (hpcbridgectl admin token)"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """What a token carries. `address` is host:port of the enrolment service; the secret is never shown."""

    address: str
    origin: str
    ca_fingerprint: bytes
    secret: bytes = field(repr=False)


def make_token(token: EnrolmentToken) -> str:
    """The token as one line of text; ValueError for values that no token can carry."""
    _check(token)
    packed = msgspec.msgpack.encode((token.address, token.origin, token.ca_fingerprint, token.secret))
    return PREFIX + base64.urlsafe_b64encode(packed + _checksum(packed)).rstrip(b"=").decode()


def parse_token(text: str) -> EnrolmentToken:
    """Reads a token, with blanks and line breaks of a copied terminal line removed; BadData says what is wrong and what to do."""
    line = "".join(text.split())
    if not line:
        _refuse("no token was given", "pipe the token to standard input, or paste it at the prompt")
    version, dot, encoded = line.partition(".")
    if not dot or not re.fullmatch(r"hpcb[0-9]{1,4}", version):
        _refuse(f"this is not an enrolment token: it does not begin with {PREFIX!r}", _ASK_AGAIN)
    if version + dot != PREFIX:
        _refuse(f"token of version {version}, this program reads {PREFIX[:-1]}", "install the hpcbridge release your network's admin names")
    if len(line) > MAX_TOKEN_CHARACTERS:
        _refuse(f"token of {len(line)} characters is too long, something was pasted with it", _ASK_AGAIN)
    packed = _unpack(encoded)
    try:
        address, origin, ca_fingerprint, secret = msgspec.msgpack.decode(packed, type=tuple[str, str, bytes, bytes])
        token = EnrolmentToken(address=address, origin=origin, ca_fingerprint=ca_fingerprint, secret=secret)
        _check(token)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadData(f"token is whole but not well made: {error}", hint="ask for a new one (hpcbridgectl admin token)") from error
    return token


def token_digest(secret: bytes) -> bytes:
    """SHA-256 of the secret: what the ledger records. 256 random bits cannot be searched for."""
    return hashlib.sha256(secret).digest()


def check_address(text: str) -> str:
    """Returns `text` if it is host:port (IPv6 in brackets); ValueError if not."""
    match = _PLACE.match(text)
    if not match or not 0 < int(match[1]) < 65_536:
        raise ValueError(f"address {text[:80]!r} is not host:port")
    return text


def _check(token: EnrolmentToken) -> None:
    check_address(token.address)
    check_origin(token.origin)
    if len(token.ca_fingerprint) != FINGERPRINT_BYTES or len(token.secret) != SECRET_BYTES:
        raise ValueError("fingerprint and secret of a token have 32 bytes each")


def _unpack(encoded: str) -> bytes:
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadData("token is damaged: it holds characters that do not belong, or some are missing", hint=_ASK_AGAIN) from error
    packed, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not packed or checksum != _checksum(packed):
        _refuse("token is damaged or cut off: its checksum does not fit", _ASK_AGAIN)
    return packed


def _checksum(packed: bytes) -> bytes:
    return hashlib.sha256(PREFIX.encode() + packed).digest()[:_CHECKSUM_BYTES]


def _refuse(message: str, hint: str) -> NoReturn:
    raise BadData(message, hint=hint)
