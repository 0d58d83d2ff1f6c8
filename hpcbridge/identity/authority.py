# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The consortium's CA: issues certificates for members and for the ledger service itself.

It decides nothing: whether a name may have a certificate is the ledger's word (a token, an enrolment entry), and a certificate
counts only when its issuance is an entry. It issues leaves only, never another CA, and puts nothing of a request but the key into them.
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hpcbridge.errors import ConfigError, IdentityError
from hpcbridge.identity.certificates import (
    ATTRIBUTES_OID,
    encode_attributes,
    holder_uri,
    read_authority,
    read_certificate,
    read_csr,
    subject_name,
    verify_issued,
)
from hpcbridge.identity.keys import load_public_key, new_key, public_bytes
from hpcbridge.identity.keystore import KeyDirectory, load_p256_key, save_private_key
from hpcbridge.model.identities import CertificateFacts, Role, Submitter
from hpcbridge.model.quantities import Instant, check_origin

DAY_MS = 86_400_000
MEMBER_LIFETIME_MS = DAY_MS
SERVER_LIFETIME_MS = 90 * DAY_MS
AUTHORITY_LIFETIME_MS = 3653 * DAY_MS
BACKDATE_MS = 300_000
"""A certificate begins this much before it is issued, or a tenth of its life if that is less: clocks of members are not exact."""


class Authority:
    """A CA's key and certificate. Stateless but for them, so it may be used from several threads."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> None:
        self._key = key
        self._certificate = x509.load_der_x509_certificate(certificate)
        self.facts = read_authority(certificate)
        if public_bytes(key) != self.facts.public_key:
            raise ConfigError("the CA's key and certificate do not belong together")

    @classmethod
    def create(cls, directory: Path, origin: str, *, at: Instant, lifetime_ms: int = AUTHORITY_LIFETIME_MS) -> Authority:
        """Makes `ca-key.pem` (0600) and `ca.pem` for a new ledger; ConfigError if there is a key already."""
        key_directory = KeyDirectory(directory)
        key_directory.create()
        key = new_key()
        certificate = _self_signed(key, check_origin(origin), at=at, lifetime_ms=lifetime_ms)
        save_private_key(directory / "ca-key.pem", key)
        key_directory.save_authority(certificate)
        return cls(key, certificate)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Reads what `create` wrote; ConfigError if a file is missing, open to others, or of another CA."""
        key = load_p256_key(directory / "ca-key.pem")
        return cls(key, KeyDirectory(directory).load_authority())

    @property
    def origin(self) -> str:
        """Name of the ledger this CA belongs to."""
        return self.facts.origin

    @property
    def certificate(self) -> bytes:
        """DER of the CA's own certificate, which members pin."""
        return self.facts.certificate

    def issue(
        self,
        csr: bytes,
        submitter: Submitter,
        *,
        role: Role,
        attributes: Sequence[tuple[str, str]] = (),
        at: Instant,
        lifetime_ms: int = MEMBER_LIFETIME_MS,
    ) -> CertificateFacts:
        """A member's certificate for the key that signed `csr`; IdentityError if the request is unfit or the CA's own life is over."""
        public_key = load_public_key(read_csr(csr))
        uri = x509.UniformResourceIdentifier(holder_uri(self.origin, role, submitter))
        builder = (
            self._leaf(public_key, subject_name(submitter), at=at, lifetime_ms=lifetime_ms)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .add_extension(x509.UnrecognizedExtension(ATTRIBUTES_OID, encode_attributes(attributes)), critical=False)
        )
        facts = read_certificate(self._sign(builder), self.origin)
        verify_issued(facts, self.certificate)
        return facts

    def issue_server(
        self,
        names: Sequence[str],
        public_key: bytes,
        *,
        at: Instant,
        lifetime_ms: int = SERVER_LIFETIME_MS,
    ) -> bytes:
        """DER of a TLS certificate for the ledger service under DNS names and IP addresses; it cannot speak for a member."""
        if not names:
            raise ConfigError("a server certificate needs at least one name", hint="set [listen] names in ledgerd.toml")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hpcbridge ledger")])
        builder = (
            self._leaf(load_public_key(public_key), subject, at=at, lifetime_ms=lifetime_ms)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_server_name(name) for name in names]), critical=False)
        )
        return self._sign(builder)

    def _leaf(self, public_key: ec.EllipticCurvePublicKey, subject: x509.Name, *, at: Instant, lifetime_ms: int) -> x509.CertificateBuilder:
        ends_at = min(at + lifetime_ms, self.facts.not_after_at)
        if not self.facts.not_before_at <= at < ends_at:
            raise IdentityError("the CA's own certificate is not valid at this time", hint="is the clock right?")
        begins_at = max(at - min(BACKDATE_MS, lifetime_ms // 10), self.facts.not_before_at)
        usage = _usage(digital_signature=True, signs_certificates=False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            _builder(public_key, subject, begins_at=begins_at, ends_at=ends_at)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _self_signed(key: ec.EllipticCurvePrivateKey, origin: str, *, at: Instant, lifetime_ms: int) -> bytes:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, origin),
            x509.NameAttribute(NameOID.COMMON_NAME, "hpcbridge CA"),
        ]
    )
    builder = (
        _builder(key.public_key(), name, begins_at=at - BACKDATE_MS, ends_at=at + lifetime_ms)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(digital_signature=False, signs_certificates=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"hpcbridge://{origin}")]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _builder(public_key: ec.EllipticCurvePublicKey, subject: x509.Name, *, begins_at: Instant, ends_at: Instant) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(secrets.randbelow((1 << 128) - 1) + 1)
        .not_valid_before(_moment(begins_at))
        .not_valid_after(_moment(ends_at))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, digital_signature: bool, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise ConfigError(f"server name {name[:80]!r} is neither a DNS name nor an IP address") from error


def _moment(at: Instant) -> datetime.datetime:
    """X.509 knows whole seconds; the fraction is dropped."""
    return datetime.datetime.fromtimestamp(at // 1000, tz=datetime.UTC)
