# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""HPKE of RFC 9180 in the one form used here: base mode, a single message, X25519, HKDF-SHA256, ChaCha20-Poly1305.

Whoever has the public key can seal; nothing is said of who did. `cryptography` has the same in its releases of 2026 alone, and without
additional data; this runs on every release that is supported and is held to the vectors of the RFC. The names are those of the RFC.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from hpcbridge.errors import IdentityError

ENC_BYTES = 32
TAG_BYTES = 16

_MODE_BASE = b"\x00"
_KEM_SUITE = b"KEM" + (0x0020).to_bytes(2, "big")
_HPKE_SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x0020, 0x0001, 0x0003))
_SECRET_BYTES = 32
_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Schedule:
    """Key and nonce of the one message; secret, and so not in the `repr` of anything that is logged."""

    key: bytes
    nonce: bytes

    def __repr__(self) -> str:
        return "Schedule(…)"


def seal_base(plaintext: bytes, public_key: bytes, *, info: bytes, aad: bytes = b"", ephemeral: X25519PrivateKey | None = None) -> bytes:
    """`enc` followed by the ciphertext. Only the holder of the key opens it, and only with the same `info` and `aad`.

    `ephemeral` is for the vectors; everybody else gets a fresh one. IdentityError for a key with which nothing would be secret.
    """
    own = X25519PrivateKey.generate() if ephemeral is None else ephemeral
    enc = own.public_key().public_bytes_raw()
    schedule = key_schedule(_shared_secret(own, public_key, enc=enc, recipient=public_key), info)
    return enc + ChaCha20Poly1305(schedule.key).encrypt(schedule.nonce, plaintext, aad)


def open_base(sealed: bytes, private_key: X25519PrivateKey, *, info: bytes, aad: bytes = b"") -> bytes:
    """What was sealed; IdentityError if it was sealed to another key, for something else, or is not whole."""
    enc, ciphertext = sealed[:ENC_BYTES], sealed[ENC_BYTES:]
    if len(enc) < ENC_BYTES or len(ciphertext) < TAG_BYTES:
        raise IdentityError(f"{len(sealed)} bytes are too few to be sealed to a key")
    schedule = key_schedule(_shared_secret(private_key, enc, enc=enc, recipient=private_key.public_key().public_bytes_raw()), info)
    try:
        return ChaCha20Poly1305(schedule.key).decrypt(schedule.nonce, ciphertext, aad)
    except InvalidTag as error:
        raise IdentityError("it does not open: sealed to another key, for another purpose, or changed on its way") from error


def key_schedule(shared_secret: bytes, info: bytes) -> Schedule:
    """KeySchedule (section 5.1) of the base mode, for the message number 0."""
    context = _MODE_BASE + _labeled_extract(b"", b"psk_id_hash", b"", _HPKE_SUITE) + _labeled_extract(b"", b"info_hash", info, _HPKE_SUITE)
    secret = _labeled_extract(shared_secret, b"secret", b"", _HPKE_SUITE)
    return Schedule(
        _labeled_expand(secret, b"key", context, _HPKE_SUITE, length=_KEY_BYTES),
        _labeled_expand(secret, b"base_nonce", context, _HPKE_SUITE, length=_NONCE_BYTES),
    )


def _shared_secret(private: X25519PrivateKey, public: bytes, *, enc: bytes, recipient: bytes) -> bytes:
    """Both halves of DHKEM (section 4.1): `enc` and the recipient's key are bound to what comes out."""
    try:
        dh = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise IdentityError("not an X25519 key with which anything is secret") from error
    prk = _labeled_extract(b"", b"eae_prk", dh, _KEM_SUITE)
    return _labeled_expand(prk, b"shared_secret", enc + recipient, _KEM_SUITE, length=_SECRET_BYTES)


def _labeled_extract(salt: bytes, label: bytes, ikm: bytes, suite: bytes) -> bytes:
    # HKDF-Extract is HMAC with the salt as key; an empty one is a block of zeros (RFC 5869, section 2.2)
    mac = hmac.HMAC(salt or bytes(hashes.SHA256.digest_size), hashes.SHA256())
    mac.update(b"HPKE-v1" + suite + label + ikm)
    return mac.finalize()


def _labeled_expand(prk: bytes, label: bytes, info: bytes, suite: bytes, *, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(hashes.SHA256(), length, labeled).derive(prk)
