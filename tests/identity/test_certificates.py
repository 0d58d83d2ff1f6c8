# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates: what is issued reads back as what was asked, and nothing else is read at all."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hpcbridge.errors import CertificateExpired, ConfigError, IdentityError
from hpcbridge.identity import certificates
from hpcbridge.identity.authority import BACKDATE_MS, DAY_MS, Authority
from hpcbridge.identity.certificates import (
    ATTRIBUTES_OID,
    build_csr,
    encode_attributes,
    fingerprint,
    read_authority,
    read_certificate,
    read_csr,
    renewal_at,
    verify_issued,
    verify_valid_at,
)
from hpcbridge.identity.keys import new_key, public_bytes
from hpcbridge.model.identities import CertificateFacts, Role, Submitter

URI = "hpcbridge://ledger.example.org/provider/uni-north/frontend-1"
DER = serialization.Encoding.DER


@pytest.fixture(name="facts")
def _facts(authority: Authority, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int) -> CertificateFacts:
    attributes = (("site", "north ä"), ("auditor", "true"))
    return authority.issue(build_csr(key, submitter), submitter, role=Role.PROVIDER, attributes=attributes, at=at)


def forge(authority: Authority, key: ec.EllipticCurvePrivateKey, at: int, **change: object) -> bytes:
    """A certificate truly signed by the CA (as if it had been tricked), right but for what `change` says."""
    moment = datetime.datetime.fromtimestamp(at // 1000, tz=datetime.UTC)
    names = change.get("names", [x509.UniformResourceIdentifier(URI)])
    usages = change.get("usages", [ExtendedKeyUsageOID.CLIENT_AUTH])
    attributes = change.get("attributes", b"[]")
    public_key = change.get("public_key", key.public_key())
    issuer = x509.load_der_x509_certificate(authority.certificate)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(public_key)  # type: ignore[arg-type]
        .serial_number(change.get("serial", 7))  # type: ignore[arg-type]
        .not_valid_before(moment)
        .not_valid_after(moment + change.get("life", datetime.timedelta(days=1)))  # type: ignore[operator]
        .add_extension(x509.SubjectKeyIdentifier(b"x" * 20), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(b"x" * 20, None, None), critical=False)
        .add_extension(x509.BasicConstraints(ca=bool(change.get("ca")), path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)  # noqa: FBT003
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)  # type: ignore[arg-type]
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)  # type: ignore[arg-type]
    if attributes is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(ATTRIBUTES_OID, attributes), critical=False)  # type: ignore[arg-type]
    if change.get("extra"):
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    return builder.sign(authority._key, change.get("hash", hashes.SHA256())).public_bytes(DER)  # type: ignore[arg-type]


def test_issued_certificate_says_what_was_asked(
    facts: CertificateFacts, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int
) -> None:
    assert facts.submitter == submitter
    assert facts.role is Role.PROVIDER
    assert facts.attributes == (("auditor", "true"), ("site", "north ä"))
    assert facts.public_key == public_bytes(key)
    assert facts.not_before_at == at - BACKDATE_MS
    assert facts.not_after_at == at + DAY_MS
    assert len(facts.serial) == 32
    certificate = x509.load_der_x509_certificate(facts.certificate)
    (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.value == URI
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def test_issued_certificate_verifies(facts: CertificateFacts, authority: Authority) -> None:
    verify_issued(facts, authority.certificate)


@pytest.mark.parametrize("role", list(Role))
def test_every_role_and_the_longest_names(authority: Authority, key: ec.EllipticCurvePrivateKey, role: Role, at: int) -> None:
    submitter = Submitter("m" * 40, "i" * 40)
    facts = authority.issue(build_csr(key, submitter), submitter, role=role, at=at)
    assert (facts.submitter, facts.role, facts.attributes) == (submitter, role, ())


def test_serials_differ_and_request_may_be_used_again_for_renewal(
    authority: Authority, key: ec.EllipticCurvePrivateKey, submitter: Submitter, facts: CertificateFacts, at: int
) -> None:
    later = authority.issue(build_csr(key, submitter), submitter, role=Role.PROVIDER, at=at + DAY_MS // 2)
    assert later.serial != facts.serial
    assert later.public_key == facts.public_key
    assert later.not_after_at == facts.not_after_at + DAY_MS // 2


def test_short_lives_are_backdated_little(authority: Authority, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int) -> None:
    facts = authority.issue(build_csr(key, submitter), submitter, role=Role.USER, at=at, lifetime_ms=10_000)
    assert (facts.not_before_at, facts.not_after_at) == (at - 1000, at + 10_000)
    assert at < renewal_at(facts, 0.0) <= renewal_at(facts, 1.0) < facts.not_after_at


def test_no_certificate_outlives_its_ca(tmp_path: Path, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int) -> None:
    authority = Authority.create(tmp_path / "short", "l", at=at, lifetime_ms=60_000)
    facts = authority.issue(build_csr(key, submitter), submitter, role=Role.USER, at=at)
    assert facts.not_after_at == at + 60_000
    for moment in (at + 60_000, at - DAY_MS):
        with pytest.raises(IdentityError, match="CA's own certificate is not valid"):
            authority.issue(build_csr(key, submitter), submitter, role=Role.USER, at=moment)


def test_validity_is_told_by_the_time_given(facts: CertificateFacts, at: int) -> None:
    verify_valid_at(facts, at)
    verify_valid_at(facts, facts.not_after_at - 1)
    with pytest.raises(CertificateExpired, match="expired at") as caught:
        verify_valid_at(facts, facts.not_after_at)
    assert "renew" in caught.value.hint
    with pytest.raises(IdentityError, match="only from"):
        verify_valid_at(facts, facts.not_before_at - 1)


def test_wrong_ca_with_the_same_name(
    tmp_path: Path, authority: Authority, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int
) -> None:
    other = Authority.create(tmp_path / "other", authority.origin, at=at)
    foreign = other.issue(build_csr(key, submitter), submitter, role=Role.ADMIN, at=at)
    with pytest.raises(IdentityError, match="not issued by the CA"):
        verify_issued(foreign, authority.certificate)


def test_control_without_the_signature_check_the_wrong_ca_gets_through(
    tmp_path: Path, authority: Authority, submitter: Submitter, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority.create(tmp_path / "other", authority.origin, at=at)
    foreign = other.issue(build_csr(new_key(), submitter), submitter, role=Role.ADMIN, at=at)
    monkeypatch.setattr(certificates, "_is_signed_by", lambda *_: True)
    verify_issued(foreign, authority.certificate)


@pytest.mark.parametrize(
    "lie",
    [
        {"role": Role.ADMIN},
        {"submitter": Submitter("uni-south", "frontend-1")},
        {"attributes": (("auditor", "true"), ("root", "true"))},
        {"not_after_at": 10**15},
        {"public_key": b"another"},
        {"serial": "0" * 32},
    ],
)
def test_facts_that_differ_from_their_certificate(facts: CertificateFacts, authority: Authority, lie: dict[str, object]) -> None:
    with pytest.raises(IdentityError, match="not what the certificate says"):
        verify_issued(dataclasses.replace(facts, **lie), authority.certificate)  # type: ignore[arg-type]


def test_forged_but_right_form_is_read(authority: Authority, key: ec.EllipticCurvePrivateKey, origin: str, at: int) -> None:
    facts = read_certificate(forge(authority, key, at), origin)
    assert str(facts.submitter) == "uni-north/frontend-1"


@pytest.mark.parametrize(
    "uri",
    [
        "hpcbridge://other.example.org/provider/uni-north/frontend-1",
        "hpcbridge://ledger.example.org/PROVIDER/uni-north/frontend-1",
        "hpcbridge://ledger.example.org/root/uni-north/frontend-1",
        "hpcbridge://ledger.example.org/provider/uni-north",
        "hpcbridge://ledger.example.org/provider/uni-north/frontend-1/more",
        "hpcbridge://ledger.example.org/provider/Uni/frontend-1",
        "hpcbridge://ledger.example.org/provider//frontend-1",
        "hpcbridge://ledger.example.org/provider/uni-north/frontend-1?role=admin",
        "https://ledger.example.org/provider/uni-north/frontend-1",
        "//ledger.example.org/provider/uni-north/frontend-1",
        "ledger.example.org/provider/uni-north/frontend-1",
    ],
)
def test_bad_holder(authority: Authority, key: ec.EllipticCurvePrivateKey, origin: str, at: int, uri: str) -> None:
    der = forge(authority, key, at, names=[x509.UniformResourceIdentifier(uri)])
    with pytest.raises(IdentityError, match="not of a member"):
        read_certificate(der, origin)


@pytest.mark.parametrize(
    "change",
    [
        {"names": None},
        {"names": [x509.DNSName("ledger.example.org")]},
        {"names": [x509.UniformResourceIdentifier(URI), x509.UniformResourceIdentifier(URI)]},
        {"names": [x509.UniformResourceIdentifier(URI), x509.DNSName("ledger.example.org")]},
        {"usages": [ExtendedKeyUsageOID.SERVER_AUTH]},
        {"usages": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]},
        {"usages": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
        {"ca": True},
        {"attributes": None},
        {"attributes": b""},
        {"attributes": b"{}"},
        {"attributes": b"[ ]"},
        {"attributes": b'[["b","1"],["a","1"]]'},
        {"attributes": b'[["a","1"],["a","2"]]'},
        {"attributes": b'[["A","1"]]'},
        {"attributes": b'[["a","1","2"]]'},
        {"attributes": b'[["a","\xff"]]'},
        {"attributes": b'[["a",1]]'},
        {"extra": True},
        {"serial": 1 << 128},
        {"hash": hashes.SHA384()},
        {"public_key": ec.generate_private_key(ec.SECP384R1()).public_key()},
        {"public_key": ed25519.Ed25519PrivateKey.generate().public_key()},
    ],
)
def test_bad_form(authority: Authority, key: ec.EllipticCurvePrivateKey, origin: str, at: int, change: dict[str, object]) -> None:
    with pytest.raises(IdentityError):
        read_certificate(forge(authority, key, at, **change), origin)


def test_control_without_the_name_check_another_ledgers_member_gets_through(
    authority: Authority, key: ec.EllipticCurvePrivateKey, origin: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    der = forge(authority, key, at, names=[x509.UniformResourceIdentifier(URI.replace("ledger.", "other."))])
    monkeypatch.setattr(certificates, "holder_uri", lambda *_: URI.replace("ledger.", "other."))
    assert read_certificate(der, origin).role is Role.PROVIDER


def test_longer_life_than_the_ca_is_refused(authority: Authority, key: ec.EllipticCurvePrivateKey, origin: str, at: int) -> None:
    facts = read_certificate(forge(authority, key, at, life=datetime.timedelta(days=9999)), origin)
    with pytest.raises(IdentityError, match="outside the life"):
        verify_issued(facts, authority.certificate)


def test_mutated_bytes_never_verify(facts: CertificateFacts, authority: Authority) -> None:
    for place in range(0, len(facts.certificate), 3):
        mutated = bytearray(facts.certificate)
        mutated[place] ^= 0x11
        with pytest.raises(IdentityError):
            verify_issued(read_certificate(bytes(mutated), authority.origin), authority.certificate)


@pytest.mark.parametrize("der", [b"", b"garbage", b"\x30\x80", b"x" * 5000])
def test_garbage_is_no_certificate(der: bytes, origin: str) -> None:
    for read in (lambda: read_certificate(der, origin), lambda: read_authority(der), lambda: read_csr(der)):
        with pytest.raises(IdentityError):
            read()


def test_trailing_bytes_are_refused(facts: CertificateFacts, origin: str, key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(IdentityError):
        read_certificate(facts.certificate + b"\x00", origin)
    with pytest.raises(IdentityError):
        read_csr(build_csr(key, facts.submitter) + b"\x00")


def test_member_certificate_is_no_ca(facts: CertificateFacts) -> None:
    with pytest.raises(IdentityError, match="not the certificate of a ledger's CA"):
        read_authority(facts.certificate)
    with pytest.raises(IdentityError, match="not the certificate of a ledger's CA"):
        verify_issued(facts, facts.certificate)


def test_authority_facts(authority: Authority, origin: str, at: int) -> None:
    facts = read_authority(authority.certificate)
    assert (facts.origin, facts.not_before_at) == (origin, at - BACKDATE_MS)
    certificate = x509.load_der_x509_certificate(authority.certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert fingerprint(authority.certificate) == certificate.fingerprint(hashes.SHA256())


def test_authority_is_made_once_and_loaded(tmp_path: Path, authority: Authority, at: int) -> None:
    directory = tmp_path / "authority"
    assert (directory / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    assert Authority.load(directory).facts == authority.facts
    with pytest.raises(ConfigError, match="not overwritten"):
        Authority.create(directory, "another", at=at)
    assert Authority.load(directory).facts == authority.facts
    (directory / "ca-key.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640"):
        Authority.load(directory)


def test_authority_with_a_foreign_certificate_is_refused(tmp_path: Path, authority: Authority, at: int) -> None:
    Authority.create(tmp_path / "other", authority.origin, at=at)
    (tmp_path / "other" / "ca.pem").write_bytes((tmp_path / "authority" / "ca.pem").read_bytes())
    with pytest.raises(ConfigError, match="do not belong together"):
        Authority.load(tmp_path / "other")


def test_request_of_another_curve(authority: Authority, submitter: Submitter, at: int) -> None:
    csr = build_csr(ec.generate_private_key(ec.SECP384R1()), submitter)
    with pytest.raises(IdentityError, match="only P-256"):
        authority.issue(csr, submitter, role=Role.USER, at=at)


def test_request_that_asks_for_a_ca(key: ec.EllipticCurvePrivateKey) -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = request.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    with pytest.raises(IdentityError, match="asks for extensions"):
        read_csr(request.sign(key, hashes.SHA256()).public_bytes(DER))


def test_subject_of_a_request_gives_nothing(authority: Authority, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int) -> None:
    boastful = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(boastful).sign(key, hashes.SHA256()).public_bytes(DER)
    facts = authority.issue(csr, submitter, role=Role.USER, at=at)
    assert b"admin" not in facts.certificate


def test_request_signed_by_another_key(key: ec.EllipticCurvePrivateKey, submitter: Submitter) -> None:
    stolen = build_csr(key, submitter)
    der = stolen.replace(public_bytes(key), public_bytes(new_key()))
    with pytest.raises(IdentityError, match="not signed by the key"):
        read_csr(der)


def test_attributes_are_checked_before_they_are_issued(
    authority: Authority, key: ec.EllipticCurvePrivateKey, submitter: Submitter, at: int
) -> None:
    bad: list[list[tuple[str, str]]] = [
        [("A", "1")],
        [("a", "1"), ("a", "2")],
        [("a", "line\nbreak")],
        [("a", "x" * 201)],
        [(f"a{n}", "") for n in range(33)],
    ]
    for attributes in bad:
        with pytest.raises(ValueError, match="attribute"):
            authority.issue(build_csr(key, submitter), submitter, role=Role.USER, attributes=attributes, at=at)
    assert encode_attributes([("b", "2"), ("a", "1")]) == b'[["a","1"],["b","2"]]'


def test_a_request_whose_signature_has_unused_bits_is_refused() -> None:
    """It verifies as it is, since the same signature comes out: two forms of one request."""
    der = b""
    while not der or der[-1] & 1:
        key = new_key()
        der = build_csr(key, Submitter("north", "frontend"))
    signature = x509.load_der_x509_csr(der).signature
    place = len(der) - len(signature) - 1
    changed = der[:place] + b"\x01" + der[place + 1 :]
    assert x509.load_der_x509_csr(changed).is_signature_valid
    assert read_csr(der)
    with pytest.raises(IdentityError, match="not signed"):
        read_csr(changed)
