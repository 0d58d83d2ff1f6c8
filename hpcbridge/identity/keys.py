# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""P-256 keys: making them, and reading public ones strictly.

A public key travels as DER SubjectPublicKeyInfo with the point uncompressed. Any other curve, kind or spelling is refused: the
hash of these bytes names the key, so one key must have one spelling.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.errors import IdentityError

CACHED_KEYS = 4096


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def public_bytes(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    """DER SubjectPublicKeyInfo of a public key, or of the public half of a private one."""
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=CACHED_KEYS)
def load_public_key(spki: bytes) -> ec.EllipticCurvePublicKey:
    """Reads a public key; IdentityError unless it is P-256 in its one spelling. Cached for the speed of verifying."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"public key cannot be read: {error}") from error
    return require_p256(key, spki)


def require_p256(key: object, spki: bytes | None = None) -> ec.EllipticCurvePublicKey:
    """Returns `key` if it is a P-256 public key (spelt as `spki`, if given); IdentityError naming what it is if not."""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise IdentityError(f"public key is {type(key).__name__}, only P-256 is used here")
    if not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"public key is on the curve {key.curve.name}, only P-256 is used here")
    if spki is not None and public_bytes(key) != spki:
        raise IdentityError("public key is not spelt as DER SubjectPublicKeyInfo with an uncompressed point")
    return key
