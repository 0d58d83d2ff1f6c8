# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates: asking for one, reading one strictly, and proving who issued it.

A member's certificate names its holder once, as the URI `hpcbridge://<origin>/<role>/<name>/<installation>`, and carries its
attributes in one private extension. Whatever differs in any way from what `authority` issues is refused: a reader that is lenient
about certificates gives away rights. Whether a certificate is revoked is not written in it; the ledger knows.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from hpcbridge.errors import CertificateExpired, IdentityError
from hpcbridge.identity.keys import public_bytes, require_p256
from hpcbridge.model.identities import CertificateFacts, Role, Submitter
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant, check_name, check_origin, format_instant

ATTRIBUTES_OID = x509.ObjectIdentifier("2.25.102214323862183265462584672212601935322")
"""Arc 2.25 (ITU-T X.667): a UUID, here 4ce5c340-c68e-4e9a-899b-ba91274615da, is an identifier that nobody else has."""
MAX_CERTIFICATE_BYTES = 4096
MAX_ATTRIBUTES = 32
_ATTRIBUTE_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}\Z")
_MAX_ATTRIBUTE_CHARACTERS = 200
_MEMBER_EXTENSIONS = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ATTRIBUTES_OID,
    }
)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityFacts:
    """What a CA's own certificate says."""

    origin: str
    public_key: bytes
    not_before_at: Instant
    not_after_at: Instant
    certificate: bytes


def build_csr(key: ec.EllipticCurvePrivateKey, submitter: Submitter) -> bytes:
    """A signing request in DER: proves possession of `key` and asks for nothing; name and rights come from the token."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_name(submitter))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def read_csr(der: bytes) -> bytes:
    """Public key of a request; IdentityError if it is not P-256, not signed by that key, or asks for extensions."""
    try:
        request = x509.load_der_x509_csr(der[: MAX_CERTIFICATE_BYTES + 1])
        public_key = require_p256(request.public_key())
        asked_for = [extension.oid.dotted_string for extension in request.extensions]
        authentic = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise IdentityError(f"certificate request cannot be read: {error}") from error
    if len(der) > MAX_CERTIFICATE_BYTES or request.public_bytes(serialization.Encoding.DER) != der:
        raise IdentityError("certificate request is too long or not in DER")
    if asked_for:
        raise IdentityError(f"certificate request asks for extensions ({', '.join(asked_for)[:200]}); the ledger alone decides that")
    # The bit string around the signature may count its last bits as unused without another signature coming out.
    if not authentic or not der.endswith(b"\x00" + request.signature):
        raise IdentityError("certificate request is not signed by the key it is for")
    return public_bytes(public_key)


def read_certificate(der: bytes, origin: str) -> CertificateFacts:
    """Facts of a member's certificate for the ledger `origin`; IdentityError for anything but the exact form that is issued.

    Says nothing of who issued it (`verify_issued`), of the time (`verify_valid_at`), or of revocation.
    """
    certificate = _load(der)
    try:
        submitter, role, attributes = _member_extensions(certificate, origin)
    except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise IdentityError(f"certificate is not of a member of {origin}: {error}") from error
    return CertificateFacts(
        serial=f"{certificate.serial_number:032x}",
        submitter=submitter,
        role=role,
        attributes=attributes,
        public_key=public_bytes(require_p256(certificate.public_key())),
        not_before_at=_instant(certificate.not_valid_before_utc),
        not_after_at=_instant(certificate.not_valid_after_utc),
        certificate=der,
    )


def read_authority(der: bytes) -> AuthorityFacts:
    """Facts of a CA's certificate; IdentityError unless it is signed by itself, a CA for leaves only, and names one ledger."""
    certificate = _load(der)
    try:
        constraints = _value(certificate, x509.BasicConstraints)
        origin = _origin_of(certificate)
        usage = _value(certificate, x509.KeyUsage)
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise IdentityError(f"not the certificate of a ledger's CA: {error}") from error
    if not constraints.ca or constraints.path_length != 0 or not usage.key_cert_sign:
        raise IdentityError("not the certificate of a ledger's CA: it may not issue certificates, or more than leaves")
    return AuthorityFacts(
        origin=origin,
        public_key=public_bytes(require_p256(certificate.public_key())),
        not_before_at=_instant(certificate.not_valid_before_utc),
        not_after_at=_instant(certificate.not_valid_after_utc),
        certificate=der,
    )


def verify_issued(facts: CertificateFacts, ca_der: bytes) -> None:
    """IdentityError unless the CA issued this certificate and each of the facts is what the certificate says."""
    authority = read_authority(ca_der)
    if read_certificate(facts.certificate, authority.origin) != facts:
        raise IdentityError(f"what is said of the certificate of {facts.submitter} is not what the certificate says")
    if not _is_signed_by(facts.certificate, ca_der):
        raise IdentityError(
            f"certificate of {facts.submitter} was not issued by the CA of {authority.origin} that is pinned here",
            hint="was the ledger set up anew? Then enrol again with a new token.",
        )
    if not authority.not_before_at <= facts.not_before_at < facts.not_after_at <= authority.not_after_at:
        raise IdentityError(f"certificate of {facts.submitter} is valid outside the life of its CA")


def verify_valid_at(facts: CertificateFacts, at: Instant) -> None:
    """CertificateExpired from its end on, IdentityError before its beginning."""
    if at >= facts.not_after_at:
        raise CertificateExpired(
            f"certificate of {facts.submitter} expired at {format_instant(facts.not_after_at)}",
            hint="it can still be renewed: hpcbridgectl identity renew",
        )
    if at < facts.not_before_at:
        raise IdentityError(
            f"certificate of {facts.submitter} is valid only from {format_instant(facts.not_before_at)}",
            hint="is this machine's clock right?",
        )


def renewal_at(facts: CertificateFacts, spread: float) -> Instant:
    """When to renew: half of its life, plus up to a tenth of it by `spread` (0 to 1, random), so that not all come at once."""
    life = facts.not_after_at - facts.not_before_at
    return facts.not_before_at + life // 2 + int(life * spread / 10)


def fingerprint(der: bytes) -> bytes:
    """SHA-256 of a certificate's DER bytes; what a token pins."""
    return hashlib.sha256(der).digest()


def key_id(public_key: bytes) -> bytes:
    """SHA-256 of a public key's DER SubjectPublicKeyInfo; names the key in envelopes and on the ledger."""
    return hashlib.sha256(public_key).digest()


def holder_uri(origin: str, role: Role, submitter: Submitter) -> str:
    """The one name in a member's certificate."""
    return f"hpcbridge://{origin}/{role.value.lower()}/{submitter.member}/{submitter.installation}"


def subject_name(submitter: Submitter) -> x509.Name:
    """Subject for people who print certificates; no rule reads it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, submitter.installation),
            x509.NameAttribute(NameOID.COMMON_NAME, submitter.member),
        ]
    )


def encode_attributes(attributes: Iterable[tuple[str, str]]) -> bytes:
    """Attributes as compact JSON pairs, sorted; ValueError for a doubled, malformed or excessive one."""
    pairs = sorted(attributes)
    if len(pairs) > MAX_ATTRIBUTES or len({name for name, _ in pairs}) != len(pairs):
        raise ValueError(f"attributes are doubled, or more than {MAX_ATTRIBUTES}")
    for name, value in pairs:
        if not _ATTRIBUTE_NAME.match(name) or len(value) > _MAX_ATTRIBUTE_CHARACTERS or not is_printable(value):
            raise ValueError(f"attribute {name[:40]!r}={value[:40]!r} is malformed")
    return msgspec.json.encode(pairs)


def certificate_to_pem(der: bytes) -> bytes:
    """PEM form, as TLS libraries and files want it."""
    return _load(der).public_bytes(serialization.Encoding.PEM)


def certificate_from_pem(pem: bytes) -> bytes:
    """DER of the one certificate in `pem`; IdentityError if there is none or more."""
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        # What the library says of it is a link to its own documentation.
        raise IdentityError("not one certificate in PEM") from error
    return certificate.public_bytes(serialization.Encoding.DER)


def _load(der: bytes) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise IdentityError(f"certificate of {len(der)} bytes is too long")
    try:
        certificate = x509.load_der_x509_certificate(der)
        require_p256(certificate.public_key())
        canonical = certificate.public_bytes(serialization.Encoding.DER) == der
        version, algorithm = certificate.version, certificate.signature_algorithm_oid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise IdentityError(f"certificate cannot be read: {error}") from error
    if not canonical or version is not x509.Version.v3 or algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise IdentityError("certificate is not X.509 version 3 in DER, signed with ECDSA and SHA-256")
    if not 0 < certificate.serial_number < 1 << 128:
        raise IdentityError("certificate has a serial number out of range")
    return certificate


def _is_signed_by(der: bytes, ca_der: bytes) -> bool:
    try:
        _load(der).verify_directly_issued_by(_load(ca_der))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _member_extensions(certificate: x509.Certificate, origin: str) -> tuple[Submitter, Role, tuple[tuple[str, str], ...]]:
    found = {extension.oid for extension in certificate.extensions}
    if found != _MEMBER_EXTENSIONS:
        raise ValueError("its extensions are not the ones that are issued")
    if _value(certificate, x509.BasicConstraints).ca:
        raise ValueError("it is a CA's")
    if list(_value(certificate, x509.ExtendedKeyUsage)) != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise ValueError("it is not for a client")
    names = list(_value(certificate, x509.SubjectAlternativeName))
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise ValueError("it does not name its holder by exactly one URI")
    role, submitter = _parse_holder(names[0].value, origin)
    extension = certificate.extensions.get_extension_for_oid(ATTRIBUTES_OID).value
    return submitter, role, _parse_attributes(extension.public_bytes())


def _parse_holder(uri: str, origin: str) -> tuple[Role, Submitter]:
    parts = uri.removeprefix("hpcbridge://").split("/")
    if len(parts) != 4:
        raise ValueError(f"{uri[:200]!r} is not hpcbridge://<origin>/<role>/<name>/<installation>")
    submitter = Submitter(check_name("member", parts[2]), check_name("installation", parts[3]))
    role = Role(parts[1].upper())
    if uri != holder_uri(origin, role, submitter):
        raise ValueError(f"{uri[:200]!r} is not a name of the ledger {origin}")
    return role, submitter


def _parse_attributes(encoded: bytes) -> tuple[tuple[str, str], ...]:
    try:
        pairs = msgspec.json.decode(encoded, type=tuple[tuple[str, str], ...])
    except msgspec.MsgspecError as error:
        raise ValueError(f"its attributes cannot be read: {error}") from error
    if encode_attributes(pairs) != encoded:
        raise ValueError("its attributes are not in their one spelling")
    return pairs


def _origin_of(certificate: x509.Certificate) -> str:
    names = list(_value(certificate, x509.SubjectAlternativeName))
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise ValueError("it does not name its ledger by exactly one URI")
    scheme, separator, origin = names[0].value.partition("://")
    if scheme != "hpcbridge" or not separator:
        raise ValueError("it does not name its ledger as hpcbridge://<origin>")
    return check_origin(origin)


def _value(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension:
    return certificate.extensions.get_extension_for_class(kind).value


def _instant(moment: datetime.datetime) -> Instant:
    return int(moment.timestamp()) * 1000
