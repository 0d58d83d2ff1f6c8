# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Signed envelopes in the DSSE form: the signature covers the type and the exact bytes, which are never re-encoded.

ECDSA P-256 with SHA-256 over the pre-authentication encoding. An ECDSA signature has more than one valid spelling, so nothing here
or elsewhere is ever identified by its signature: a transaction is the hash of its payload.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hpcbridge.errors import IdentityError, SignatureInvalid
from hpcbridge.identity.certificates import key_id
from hpcbridge.identity.keys import load_public_key, public_bytes
from hpcbridge.model.transactions import Envelope

_ECDSA = ec.ECDSA(hashes.SHA256())


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE v1: both parts with their lengths, so that neither can pass for a piece of the other."""
    type_bytes = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(type_bytes), type_bytes, len(payload), payload)


def seal(payload: bytes, payload_type: str, key: ec.EllipticCurvePrivateKey) -> Envelope:
    """An envelope around `payload`, signed by `key`."""
    return Envelope(
        payload=payload,
        payload_type=str(payload_type),
        key_id=_own_key_id(key),
        signature=sign(payload_type, payload, key),
    )


def verify_envelope(envelope: Envelope, public_key: bytes) -> None:
    """SignatureInvalid unless the envelope was sealed by the owner of `public_key` (DER SubjectPublicKeyInfo).

    The envelope's own `key_id` is not looked at: who the signer must be is for the caller to know. Safe to call from many threads.
    """
    verify(envelope.payload_type, envelope.payload, signature=envelope.signature, public_key=public_key)


def sign(payload_type: str, payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """DER signature over the pre-authentication encoding, for what is signed but is no envelope."""
    return key.sign(pae(payload_type, payload), _ECDSA)


def verify(payload_type: str, payload: bytes, *, signature: bytes, public_key: bytes) -> None:
    """SignatureInvalid unless `signature` is of this type, these bytes and this key."""
    try:
        load_public_key(public_key).verify(signature, pae(payload_type, payload), _ECDSA)
    except InvalidSignature as error:
        raise SignatureInvalid(f"signature is not of these {len(payload)} bytes as {payload_type[:80]!r} and this key") from error
    except SignatureInvalid:
        raise
    except IdentityError as error:
        raise SignatureInvalid(f"no signature can be checked: {error}") from error


@lru_cache(maxsize=16)
def _own_key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key_id(public_bytes(key))
