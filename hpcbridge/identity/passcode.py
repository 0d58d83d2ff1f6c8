# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Passcodes and contact addresses, closed to everybody on their way.

A passcode is sealed to the key of its rental and then signed by the provider's installation, with the key it is sealed to inside what is
signed: whoever carries it can neither read it nor put another in its place. A contact address is sealed to the provider's installation;
nobody signs it, because the provider must not learn who rents. Both are bound to their rental. No error holds what was sealed.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from hpcbridge.errors import BadData, IdentityError
from hpcbridge.identity.certificates import read_authority, read_certificate, verify_issued, verify_valid_at
from hpcbridge.identity.hpke import open_base, seal_base
from hpcbridge.identity.sealing import sign, verify
from hpcbridge.model.identities import CertificateFacts, Role
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant, check_contact
from hpcbridge.model.relay import MAX_SEALED_BYTES

PASSCODE_TYPE = "application/vnd.hpcbridge.passcode.v1+json"
"""Payload type of the signed envelope."""

_LONGEST_ADDRESS = 255
_PASSCODE = re.compile(r"[\x21-\x7e]{1,128}\Z")
_ARMOUR = re.compile(r"-----BEGIN HPCBRIDGE PASSCODE-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END HPCBRIDGE PASSCODE-----")
_LIFTED = re.compile(r"^[ \t>]+", re.MULTILINE)
_REPORT = "tell the operator of the ledger and the provider: somebody on the way changed what was sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a sealed thing is for. It opens for exactly this and nothing else."""

    origin: str
    rental: str
    cluster: str
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPasscode:
    """A passcode, who signed it and where it is to be used, empty if that was not said; the passcode is not in the `repr`."""

    passcode: str
    login_address: str
    signer: CertificateFacts
    made_at: Instant

    def __repr__(self) -> str:
        return f"OpenedPasscode(signer={self.signer.submitter}, made_at={self.made_at})"


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    origin: str
    rental: str
    cluster: str
    username: str
    sealed_to: bytes
    made_at: int
    login_address: str
    box: bytes


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload_type: str
    payload: bytes
    signature: bytes
    certificate: bytes


def seal_passcode(
    passcode: str, binding: Binding, *, sealing_key: bytes, key: ec.EllipticCurvePrivateKey, certificate: bytes, at: Instant,
    login_address: str = "",
) -> bytes:
    """A passcode for the holder of the rental's `sealing_key` (32 bytes, from the rental), signed by the installation's `key`.

    `certificate` is the installation's (DER), `at` the time it is made; `login_address` is signed too, so that nobody on the way can lead
    the user to another machine. ValueError for what is no passcode.
    """
    if not _PASSCODE.match(passcode):
        raise ValueError("a passcode has 1 to 128 printable ASCII characters without spaces")
    box = seal_base(passcode.encode(), sealing_key, info=_info("passcode", binding))
    told = _Payload(
        origin=binding.origin, rental=binding.rental, cluster=binding.cluster, username=binding.username, sealed_to=sealing_key, made_at=at,
        login_address=login_address, box=box,
    )  # fmt: skip
    payload = msgspec.json.encode(told)
    return msgspec.json.encode(_Signed(PASSCODE_TYPE, payload, sign(PASSCODE_TYPE, payload, key), certificate))


def open_passcode(
    sealed: bytes, binding: Binding, *, sealing_key: x25519.X25519PrivateKey, provider: str, authority: bytes
) -> OpenedPasscode:
    """The passcode, after everything about it was checked; IdentityError with what is wrong.

    Certificate issued by the pinned `authority` (DER) to `provider`, as a provider; signed by it; for this rental; sealed to this key.
    """
    signed, payload = _read(sealed)
    signer = _check_signer(signed, payload, provider=provider, authority=authority)
    for what, said, expected in (
        ("ledger", payload.origin, binding.origin),
        ("rental", payload.rental, binding.rental),
        ("cluster", payload.cluster, binding.cluster),
        ("username", payload.username, binding.username),
    ):
        if said != expected:
            raise IdentityError(f"the passcode is for {what} {said[:60]!r}, not {expected}", hint=_REPORT)
    if payload.sealed_to != sealing_key.public_key().public_bytes_raw():
        raise IdentityError(
            f"the passcode is sealed to another key than the one of rental {binding.rental}: it is an older one, or the provider was told"
            " a key that is not yours",
            hint=f"ask for a new one: hpcbridgectl passcode {binding.rental} --new; if that is refused too, tell operator and provider",
        )
    if not is_printable(payload.login_address) or " " in payload.login_address or len(payload.login_address) > _LONGEST_ADDRESS:
        raise IdentityError("the address to log in at, which is signed with the passcode, is none", hint=_REPORT)
    opened = open_base(payload.box, sealing_key, info=_info("passcode", binding))
    return OpenedPasscode(passcode=_passcode(opened), login_address=payload.login_address, signer=signer, made_at=payload.made_at)


def seal_contact(contact: str, binding: Binding, *, sealing_key: bytes) -> bytes:
    """A contact address for the holder of the provider's `sealing_key` (32 bytes); ValueError for what is no mail address."""
    return seal_base(check_contact(contact).encode(), sealing_key, info=_info("contact", binding))


def open_contact(sealed: bytes, binding: Binding, *, sealing_key: x25519.X25519PrivateKey) -> str:
    """The contact address; IdentityError if it is sealed to another key, for another rental, or is no mail address."""
    if len(sealed) > MAX_SEALED_BYTES:
        raise IdentityError(f"a contact address sealed in {len(sealed)} bytes is too long")
    try:
        return check_contact(open_base(sealed, sealing_key, info=_info("contact", binding)).decode("ascii"))
    except ValueError as error:
        raise IdentityError("what was sealed is no contact address") from error


def passcode_to_text(sealed: bytes) -> str:
    """A sealed passcode as lines that survive a mail."""
    body = "\n".join(textwrap.wrap(base64.b64encode(sealed).decode(), 72))
    return f"-----BEGIN HPCBRIDGE PASSCODE-----\n{body}\n-----END HPCBRIDGE PASSCODE-----\n"


def passcode_from_text(text: str) -> bytes:
    """The sealed passcode in a text, whatever stands around it (a mail's head, quoting); BadData if there is not exactly one."""
    found = _ARMOUR.findall(_LIFTED.sub("", text))
    if len(found) != 1:
        raise BadData(
            f"there are {len(found)} sealed passcodes in this text; there should be one" if found else "no sealed passcode is in this text",
            hint="save the whole mail, from its BEGIN HPCBRIDGE PASSCODE line to its END line",
        )
    try:
        return base64.b64decode("".join(found[0].split()), validate=True)
    except binascii.Error as error:
        raise BadData("the sealed passcode in this text is not whole") from error


def _read(sealed: bytes) -> tuple[_Signed, _Payload]:
    if len(sealed) > MAX_SEALED_BYTES:
        raise IdentityError(f"a passcode sealed in {len(sealed)} bytes is too long")
    try:
        signed = msgspec.json.decode(sealed, type=_Signed)
        payload = msgspec.json.decode(signed.payload, type=_Payload)
    except msgspec.MsgspecError as error:
        raise IdentityError("not a sealed passcode", hint=_REPORT) from error
    if signed.payload_type != PASSCODE_TYPE:
        raise IdentityError(f"a sealed {signed.payload_type[:60]!r} is no passcode", hint=_REPORT)
    return signed, payload


def _check_signer(signed: _Signed, payload: _Payload, *, provider: str, authority: bytes) -> CertificateFacts:
    signer = read_certificate(signed.certificate, read_authority(authority).origin)
    verify_issued(signer, authority)
    if signer.role is not Role.PROVIDER or signer.submitter.member != provider:
        raise IdentityError(f"the passcode is signed by {signer.submitter} ({signer.role}), and the cluster is of {provider}", hint=_REPORT)
    verify(signed.payload_type, signed.payload, signature=signed.signature, public_key=signer.public_key)
    # a certificate may have ended between sealing and reading; it must have been in force when it was used
    verify_valid_at(signer, payload.made_at)
    return signer


def _info(purpose: str, binding: Binding) -> bytes:
    parts = ["hpcbridge", purpose, "v1", binding.origin, binding.rental, binding.cluster, binding.username]
    return msgspec.json.encode(parts)


def _passcode(opened: bytes) -> str:
    text = opened.decode("ascii", errors="replace")
    if not _PASSCODE.match(text):
        raise IdentityError("what was sealed is no passcode")
    return text
