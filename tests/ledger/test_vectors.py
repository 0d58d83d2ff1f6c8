# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Our published vectors are up to date, and follow from the formats' documents by plain hashing, without our own code."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hpcbridge.ledger.receipt import receipt_from_text
from tests.vectors import build

LOG = json.loads((Path(__file__).parent.parent / "vectors" / "log.json").read_text())


def test_build_makes_what_is_published() -> None:
    assert build.different() == []


def test_leaf_hashes_and_root_by_hand() -> None:
    level = [bytes.fromhex(row["leaf_hash"]) for row in LOG["leaves"]]
    assert level == [sha256(b"\x00" + bytes.fromhex(row["leaf"])).digest() for row in LOG["leaves"]]
    while len(level) > 1:
        pairs = [sha256(b"\x01" + level[place] + level[place + 1]).digest() for place in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    assert level[0].hex() == LOG["checkpoint"]["root"]


def test_note_by_hand() -> None:
    facts = LOG["checkpoint"]
    public = bytes.fromhex(facts["public_key"])
    text = f"{facts['origin']}\n{facts['size']}\n{base64.b64encode(bytes.fromhex(facts['root'])).decode()}\n"
    assert text.encode().hex() == facts["signed_text"]
    key_id = sha256(facts["origin"].encode() + b"\x0a\x01" + public).digest()[:4]
    assert key_id.hex() == facts["key_id"]
    body, line = facts["note"].split("\n\n")
    assert body + "\n" == text
    dash, name, signature = line.removesuffix("\n").split(" ")
    assert (dash, name) == ("\u2014", facts["origin"])
    assert base64.b64decode(signature)[:4] == key_id
    Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature)[4:], text.encode())


def test_receipt_text_reads_back() -> None:
    receipt = receipt_from_text(LOG["receipt"]["text"], LOG["checkpoint"]["origin"], bytes.fromhex(LOG["checkpoint"]["public_key"]))
    assert receipt.index == LOG["receipt"]["index"]
    assert [hash_.hex() for hash_ in receipt.proof] == LOG["receipt"]["proof"]
    assert receipt.leaf.hex() == LOG["leaves"][receipt.index]["leaf"]
