# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""HPKE against the published values of its RFC and against another implementation of it, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke as library
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hpcbridge.errors import IdentityError
from hpcbridge.identity.hpke import key_schedule, open_base, seal_base

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "hpke.json").read_bytes())
SUITE = library.Suite(library.KEM.X25519, library.KDF.HKDF_SHA256, library.AEAD.CHACHA20_POLY1305)


def published(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def test_key_and_nonce_are_those_of_the_rfc() -> None:
    schedule = key_schedule(published("shared_secret"), published("info"))
    assert (schedule.key, schedule.nonce) == (published("key"), published("base_nonce"))
    assert schedule.key.hex() not in repr(schedule)


def test_the_first_message_of_the_rfc_is_sealed_and_opened_byte_for_byte() -> None:
    first = VECTOR["encryptions"][0]
    ephemeral = X25519PrivateKey.from_private_bytes(published("skEm"))
    info, aad = published("info"), bytes.fromhex(first["aad"])
    sealed = seal_base(published("pt"), published("pkRm"), info=info, aad=aad, ephemeral=ephemeral)
    assert sealed == published("pkEm") + bytes.fromhex(first["ct"])
    assert open_base(sealed, X25519PrivateKey.from_private_bytes(published("skRm")), info=info, aad=aad) == published("pt")


@pytest.mark.parametrize("message", VECTOR["encryptions"], ids=lambda message: str(message["sequence"]))
def test_every_published_message_is_of_our_key(message: dict[str, Any]) -> None:
    schedule = key_schedule(published("shared_secret"), published("info"))
    nonce = int.from_bytes(schedule.nonce, "big") ^ message["sequence"]
    opened = ChaCha20Poly1305(schedule.key).decrypt(nonce.to_bytes(12, "big"), bytes.fromhex(message["ct"]), bytes.fromhex(message["aad"]))
    assert opened == published("pt")


@pytest.mark.parametrize("plaintext", [b"", b"x", b"secret" * 500])
def test_another_implementation_opens_what_we_seal_and_we_what_it_seals(plaintext: bytes) -> None:
    key = X25519PrivateKey.generate()
    ours = seal_base(plaintext, key.public_key().public_bytes_raw(), info=b"purpose")
    assert SUITE.decrypt(ours, key, b"purpose") == plaintext
    assert open_base(SUITE.encrypt(plaintext, key.public_key(), b"purpose"), key, info=b"purpose") == plaintext


def test_what_is_not_exactly_as_sealed_does_not_open() -> None:
    key = X25519PrivateKey.generate()
    sealed = seal_base(b"secret", key.public_key().public_bytes_raw(), info=b"a", aad=b"b")
    assert open_base(sealed, key, info=b"a", aad=b"b") == b"secret"
    attempts: list[tuple[bytes, X25519PrivateKey, bytes, bytes]] = [
        (sealed, X25519PrivateKey.generate(), b"a", b"b"),
        (sealed, key, b"A", b"b"),
        (sealed, key, b"a", b"B"),
        *((sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], key, b"a", b"b") for place in range(len(sealed))),
        *((sealed[:length], key, b"a", b"b") for length in range(len(sealed))),
    ]
    for changed, holder, info, aad in attempts:
        with pytest.raises(IdentityError):
            open_base(changed, holder, info=info, aad=aad)


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little"), b"short"])
def test_a_key_with_which_nothing_is_secret_is_refused(point: bytes) -> None:
    with pytest.raises(IdentityError):
        seal_base(b"secret", point, info=b"")
    with pytest.raises(IdentityError):
        open_base(point + bytes(16), X25519PrivateKey.generate(), info=b"")


def test_no_two_sealings_are_alike() -> None:
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    assert len({seal_base(b"secret", public, info=b"") for _ in range(8)}) == 8
