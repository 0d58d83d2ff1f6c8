# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Sealed passcodes and contacts: who can open them, and what a carrier that tells lies is found out by."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.errors import BadData, CertificateExpired, IdentityError, SignatureInvalid
from hpcbridge.identity import passcode
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import build_csr
from hpcbridge.identity.hpke import seal_base
from hpcbridge.identity.keys import new_key
from hpcbridge.identity.passcode import (
    PASSCODE_TYPE,
    Binding,
    open_contact,
    open_passcode,
    passcode_from_text,
    passcode_to_text,
    seal_contact,
    seal_passcode,
)
from hpcbridge.identity.sealing import sign
from hpcbridge.model.identities import Role, Submitter
from hpcbridge.model.quantities import check_contact

PASSCODE = "kd7xm-92fpq-vhw3z"
BINDING = Binding(origin="ledger.example.org", rental="l12", cluster="delta", username="pd589znmqd7d")
ANOTHER = {"origin": "ledger.example.com", "rental": "l13", "cluster": "gamma", "username": "pd589znmqd7e"}


class Site:
    """A provider's installation with its certificate."""

    def __init__(self, authority: Authority, member: str = "uni-north", role: Role = Role.PROVIDER, *, at: int) -> None:
        self.key: ec.EllipticCurvePrivateKey = new_key()
        submitter = Submitter(member, "frontend-1")
        self.certificate = authority.issue(build_csr(self.key, submitter), submitter, role=role, at=at).certificate

    def seal(self, tenant: X25519PrivateKey, *, at: int, binding: Binding = BINDING, secret: str = PASSCODE, login: str = "") -> bytes:
        public = tenant.public_key().public_bytes_raw()
        return seal_passcode(
            secret, binding, sealing_key=public, key=self.key, certificate=self.certificate, at=at, login_address=login
        )


@pytest.fixture(name="tenant")
def _tenant() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


def test_the_holder_of_the_rentals_key_reads_what_the_provider_sealed(authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    site = Site(authority, at=at)
    sealed = site.seal(tenant, at=at + 5)
    opened = open_passcode(sealed, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)
    assert (opened.passcode, str(opened.signer.submitter), opened.made_at) == (PASSCODE, "uni-north/frontend-1", at + 5)
    assert PASSCODE not in repr(opened)
    for form in (PASSCODE.encode(), base64.b64encode(PASSCODE.encode())):
        assert form not in sealed
        assert form not in base64.b64decode(json.loads(sealed)["payload"])


@pytest.mark.parametrize("field", ANOTHER)
def test_a_passcode_is_for_one_rental_account_and_ledger(authority: Authority, tenant: X25519PrivateKey, at: int, field: str) -> None:
    other = dataclasses.replace(BINDING, **{field: ANOTHER[field]})
    sealed = Site(authority, at=at).seal(tenant, at=at, binding=other)
    with pytest.raises(IdentityError, match="is for"):
        open_passcode(sealed, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)


def test_a_passcode_for_another_key_says_so(authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    sealed = Site(authority, at=at).seal(X25519PrivateKey.generate(), at=at)
    with pytest.raises(IdentityError, match="sealed to another key") as refusal:
        open_passcode(sealed, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)
    assert "--new" in (refusal.value.hint or "")


@pytest.mark.parametrize(("member", "role"), [("uni-south", Role.PROVIDER), ("uni-north", Role.USER)])
def test_only_the_provider_of_the_rental_may_have_signed(
    authority: Authority, tenant: X25519PrivateKey, at: int, member: str, role: Role
) -> None:
    sealed = Site(authority, member, role, at=at).seal(tenant, at=at)
    with pytest.raises(IdentityError, match="signed by"):
        open_passcode(sealed, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    stranger = Authority.create(tmp_path / "stranger", "ledger.example.org", at=at)
    sealed = Site(stranger, at=at).seal(tenant, at=at)
    with pytest.raises(IdentityError, match="not issued by the CA"):
        open_passcode(sealed, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)


def test_a_carrier_that_puts_its_own_passcode_in_is_found_out(authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    """The rental's sealing key is known to the ledger, so it can seal; it cannot sign."""
    site, carrier = Site(authority, at=at), new_key()
    genuine = json.loads(site.seal(tenant, at=at))
    forged = json.loads(base64.b64decode(genuine["payload"]))
    forged["box"] = base64.b64encode(seal_base(b"chosen-by-carrier", tenant.public_key().public_bytes_raw(), info=b"")).decode()
    payload = json.dumps(forged).encode()
    for signature in (base64.b64decode(genuine["signature"]), sign(PASSCODE_TYPE, payload, carrier)):
        swapped = genuine | {"payload": base64.b64encode(payload).decode(), "signature": base64.b64encode(signature).decode()}
        with pytest.raises(SignatureInvalid):
            open_passcode(
                json.dumps(swapped).encode(), BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate
            )


def test_control_without_the_signature_anybody_who_knows_the_public_key_chooses_the_passcode(
    authority: Authority, tenant: X25519PrivateKey, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, carrier = Site(authority, at=at), new_key()
    public = tenant.public_key().public_bytes_raw()
    forged = seal_passcode("chosen-by-carrier", BINDING, sealing_key=public, key=carrier, certificate=site.certificate, at=at)
    with pytest.raises(SignatureInvalid):
        open_passcode(forged, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)
    monkeypatch.setattr(passcode, "verify", lambda *_, **__: None)
    opened = open_passcode(forged, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)
    assert opened.passcode == "chosen-by-carrier"


def test_a_signature_made_outside_the_life_of_its_certificate_is_refused(authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    site = Site(authority, at=at)
    day = 86_400_000
    with pytest.raises(CertificateExpired):
        open_passcode(
            site.seal(tenant, at=at + 2 * day), BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate
        )


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[]", b"\xff" * 50, b'{"payload_type":1}', b"x" * 8193])
def test_what_is_no_sealed_passcode_is_refused(authority: Authority, tenant: X25519PrivateKey, garbage: bytes) -> None:
    with pytest.raises(IdentityError):
        open_passcode(garbage, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "ä", "x" * 129])
def test_what_is_no_passcode_is_not_sealed(authority: Authority, tenant: X25519PrivateKey, at: int, secret: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Site(authority, at=at).seal(tenant, at=at, secret=secret)


def test_the_text_form_survives_a_mail(authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    sealed = Site(authority, at=at).seal(tenant, at=at)
    text = passcode_to_text(sealed)
    assert all(len(line) <= 76 for line in text.splitlines())
    quoted = "From: robot\r\n\r\nHello,\r\n" + "".join(f"> {line}\r\n" for line in text.splitlines()) + "\r\n-- \r\nBye"
    assert passcode_from_text(text) == passcode_from_text(quoted) == sealed
    for broken in ("", text + text, text.replace("END", "ND"), text.replace(text[60], "*", 1)):
        with pytest.raises(BadData):
            passcode_from_text(broken)


@pytest.mark.parametrize("address", ["login.example\n", "a b", "\x1b[2J", "x" * 256])
def test_an_address_to_log_in_at_that_is_none_is_refused(authority: Authority, tenant: X25519PrivateKey, at: int, address: str) -> None:
    """It goes to a terminal, and a provider may be malicious too."""
    sealed = Site(authority, at=at).seal(tenant, at=at, login=address)
    with pytest.raises(IdentityError, match="address to log in at"):
        open_passcode(sealed, BINDING, sealing_key=tenant, provider="uni-north", authority=authority.facts.certificate)


def test_a_contact_is_for_the_provider_and_for_one_rental(tenant: X25519PrivateKey) -> None:
    site = X25519PrivateKey.generate()
    sealed = seal_contact("ada@example.org", BINDING, sealing_key=site.public_key().public_bytes_raw())
    assert b"ada" not in sealed
    assert open_contact(sealed, BINDING, sealing_key=site) == "ada@example.org"
    for holder, binding in ((tenant, BINDING), (site, dataclasses.replace(BINDING, rental="l13"))):
        with pytest.raises(IdentityError):
            open_contact(sealed, binding, sealing_key=holder)


def test_a_passcode_box_does_not_pass_for_a_contact(authority: Authority, tenant: X25519PrivateKey, at: int) -> None:
    payload = json.loads(base64.b64decode(json.loads(Site(authority, at=at).seal(tenant, at=at, secret="a@b.example"))["payload"]))
    with pytest.raises(IdentityError):
        open_contact(base64.b64decode(payload["box"]), BINDING, sealing_key=tenant)


@pytest.mark.parametrize(
    "contact",
    ["", "ada", "-oProxy@example.org", "ada@example.org\nBcc: all@example.org", "ada@-x", "a b@example.org", "ä@b.c", "a@" + "b" * 253],
)
def test_what_is_no_address_is_neither_sealed_nor_taken(contact: str) -> None:
    with pytest.raises(ValueError, match="mail address"):
        check_contact(contact)
    site = X25519PrivateKey.generate()
    info = json.dumps(["hpcbridge", "contact", "v1", *dataclasses.astuple(BINDING)], separators=(",", ":")).encode()
    smuggled = seal_base(contact.encode(), site.public_key().public_bytes_raw(), info=info)
    with pytest.raises(IdentityError, match="no contact address"):
        open_contact(smuggled, BINDING, sealing_key=site)
