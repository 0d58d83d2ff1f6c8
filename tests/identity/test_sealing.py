# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Envelopes: the published DSSE vector, what a signature binds, and what would happen if it did not."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from hpcbridge.errors import IdentityError, SignatureInvalid
from hpcbridge.identity import sealing
from hpcbridge.identity.certificates import key_id
from hpcbridge.identity.keys import load_public_key, new_key, public_bytes
from hpcbridge.identity.sealing import pae, seal, sign, verify, verify_envelope
from hpcbridge.model.transactions import PayloadType


def test_pae_is_the_published_vector() -> None:
    # protocol.md of github.com/secure-systems-lab/dsse, "Test vectors"
    expected = bytes.fromhex("44535345763120323920687474703a2f2f6578616d706c652e636f6d2f48656c6c6f576f726c642031312068656c6c6f20776f726c64")
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_pae_counts_bytes_not_characters() -> None:
    assert pae("é", b"\x00\xff") == b"DSSEv1 2 \xc3\xa9 2 \x00\xff"


def test_published_signature_verifies() -> None:
    # Key and signature of the same page; it prints r and s joined, we carry them in DER.
    numbers = ec.EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        ec.SECP256R1(),
    )
    raw = base64.b64decode("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public_key = public_bytes(numbers.public_key())
    verify("http://example.com/HelloWorld", b"hello world", signature=signature, public_key=public_key)
    with pytest.raises(SignatureInvalid):
        verify("http://example.com/HelloWorld", b"hello world", signature=raw, public_key=public_key)


def test_sealed_envelope_verifies_and_names_its_key(key: ec.EllipticCurvePrivateKey) -> None:
    envelope = seal(b"payload", PayloadType.TICK, key)
    assert envelope.payload_type == "application/vnd.hpcbridge.tick.v1+protobuf"
    assert type(envelope.payload_type) is str
    assert envelope.key_id == key_id(public_bytes(key))
    verify_envelope(envelope, public_bytes(key))


@pytest.mark.parametrize(
    "change",
    [
        {"payload": b"payloae"},
        {"payload": b""},
        {"payload_type": "application/vnd.hpcbridge.token.v1+protobuf"},
        {"signature": b""},
        {"signature": b"\x30\x06\x02\x01\x00\x02\x01\x00"},
    ],
)
def test_any_change_is_noticed(key: ec.EllipticCurvePrivateKey, change: dict[str, Any]) -> None:
    envelope = seal(b"payload", PayloadType.TICK, key)
    with pytest.raises(SignatureInvalid):
        verify_envelope(dataclasses.replace(envelope, **change), public_bytes(key))


def test_every_flipped_bit_of_the_signature_is_noticed(key: ec.EllipticCurvePrivateKey) -> None:
    envelope = seal(b"payload", PayloadType.TICK, key)
    for bit in range(len(envelope.signature) * 8):
        flipped = bytearray(envelope.signature)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureInvalid):
            verify_envelope(dataclasses.replace(envelope, signature=bytes(flipped)), public_bytes(key))


def test_signature_of_another_envelope_does_not_fit(key: ec.EllipticCurvePrivateKey) -> None:
    first, second = seal(b"first", PayloadType.TICK, key), seal(b"second", PayloadType.TICK, key)
    with pytest.raises(SignatureInvalid):
        verify_envelope(dataclasses.replace(first, signature=second.signature), public_bytes(key))


def test_key_id_is_a_hint_only(key: ec.EllipticCurvePrivateKey) -> None:
    stranger = new_key()
    forged = dataclasses.replace(seal(b"payload", PayloadType.TICK, stranger), key_id=key_id(public_bytes(key)))
    with pytest.raises(SignatureInvalid):
        verify_envelope(forged, public_bytes(key))
    verify_envelope(dataclasses.replace(forged, key_id=b"anything"), public_bytes(stranger))


def test_type_cannot_flow_into_payload(key: ec.EllipticCurvePrivateKey) -> None:
    signature = sign("application/x", b"+token payload", key)
    with pytest.raises(SignatureInvalid):
        verify("application/x+token", b" payload", signature=signature, public_key=public_bytes(key))


def test_control_naive_concatenation_lets_type_confusion_through(key: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "pae", lambda payload_type, payload: payload_type.encode() + payload)
    signature = sign("application/x", b"+token payload", key)
    verify("application/x+token", b" payload", signature=signature, public_key=public_bytes(key))


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_other_curves_are_no_keys(curve: ec.EllipticCurve) -> None:
    spki = (
        ec.generate_private_key(curve)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(IdentityError, match="only P-256"):
        load_public_key(spki)


def test_other_kinds_and_garbage_are_no_keys(key: ec.EllipticCurvePrivateKey) -> None:
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    spki = ed.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    envelope = seal(b"payload", PayloadType.TICK, key)
    for bad in (spki, b"", b"garbage", public_bytes(key) + b"\x00"):
        with pytest.raises(SignatureInvalid):
            verify_envelope(envelope, bad)


def test_compressed_point_is_a_second_spelling_and_refused(key: ec.EllipticCurvePrivateKey) -> None:
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    prefix = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    with pytest.raises(IdentityError, match="not spelt"):
        load_public_key(prefix + point)


def test_malleable_signature_verifies_which_is_why_nothing_is_named_by_it(key: ec.EllipticCurvePrivateKey) -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    envelope = seal(b"payload", PayloadType.TICK, key)
    r, s = decode_dss_signature(envelope.signature)
    twin = dataclasses.replace(envelope, signature=encode_dss_signature(r, order - s))
    assert twin.signature != envelope.signature
    verify_envelope(twin, public_bytes(key))


def test_a_key_signs_for_other_libraries_too(key: ec.EllipticCurvePrivateKey) -> None:
    envelope = seal(b"payload", PayloadType.TICK, key)
    key.public_key().verify(envelope.signature, pae(envelope.payload_type, b"payload"), ec.ECDSA(hashes.SHA256()))
