# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and receipts in the C2SP formats: published examples, other signers, and everything that must be refused."""

from __future__ import annotations

import base64
import dataclasses
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hpcbridge.errors import BadData, IntegrityError
from hpcbridge.ledger.checkpoint import checkpoint_text, log_key_id, parse_checkpoint, sign_checkpoint
from hpcbridge.ledger.merkle import leaf_hash, root_of
from hpcbridge.ledger.receipt import receipt_from_text, receipt_to_text, verify_receipt
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Checkpoint, Receipt
from tests.ledger_filling import LeavesInMemory

ORIGIN = "ledger.example"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
LEAVES = [b"entry %d" % index for index in range(21)]


@pytest.fixture(scope="module")
def receipt() -> Receipt:
    tree = Tree(LeavesInMemory())
    for leaf in LEAVES:
        tree.append(leaf_hash(leaf))
    checkpoint = sign_checkpoint(ORIGIN, tree.size, root=tree.root(), key=KEY)
    return Receipt(leaf=LEAVES[5], index=5, proof=tree.inclusion_proof(5, tree.size), checkpoint=checkpoint)


def signature_line(key: Ed25519PrivateKey, name: str, text: str) -> str:
    blob = log_key_id(name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"— {name} {base64.b64encode(blob).decode()}\n"


def test_signed_checkpoint_parses_and_has_the_three_lines() -> None:
    checkpoint = sign_checkpoint(ORIGIN, 21, root=root_of(map(leaf_hash, LEAVES)), key=KEY)
    assert parse_checkpoint(checkpoint.note, ORIGIN, PUBLIC) == checkpoint
    lines = checkpoint.note.split("\n")
    assert lines[:2] == [ORIGIN, "21"]
    assert lines[3] == ""
    assert lines[4].startswith(f"— {ORIGIN} ")


def test_signatures_of_others_are_skipped_before_and_after_ours() -> None:
    text = checkpoint_text(ORIGIN, 3, root=bytes(32))
    witness = signature_line(OTHER_KEY, "witness.example", text)
    newer = signature_line(OTHER_KEY, ORIGIN, text)
    ours = signature_line(KEY, ORIGIN, text)
    for lines in (ours + witness, witness + ours, newer + ours + witness):
        assert parse_checkpoint(f"{text}\n{lines}", ORIGIN, PUBLIC).size == 3


@pytest.mark.parametrize("lines", [[], [(OTHER_KEY, ORIGIN)], [(KEY, "ledger.example.org")], [(OTHER_KEY, "witness.example")]])
def test_checkpoint_without_the_pinned_keys_signature_is_refused(lines: list[tuple[Ed25519PrivateKey, str]]) -> None:
    text = checkpoint_text(ORIGIN, 3, root=bytes(32))
    note = f"{text}\n" + "".join(signature_line(key, name, text) for key, name in lines)
    with pytest.raises((IntegrityError, BadData)):
        parse_checkpoint(note, ORIGIN, PUBLIC)


def test_key_id_of_ours_with_a_signature_of_another_key_is_refused_even_beside_a_right_one() -> None:
    text = checkpoint_text(ORIGIN, 3, root=bytes(32))
    forged = base64.b64encode(log_key_id(ORIGIN, PUBLIC) + OTHER_KEY.sign(text.encode())).decode()
    with pytest.raises(IntegrityError, match="not of this text"):
        parse_checkpoint(f"{text}\n— {ORIGIN} {forged}\n{signature_line(KEY, ORIGIN, text)}", ORIGIN, PUBLIC)


def test_checkpoint_of_another_ledger_is_refused() -> None:
    checkpoint = sign_checkpoint("other.example", 3, root=bytes(32), key=KEY)
    with pytest.raises(IntegrityError, match=r"of 'other\.example'"):
        parse_checkpoint(checkpoint.note, ORIGIN, PUBLIC)


ROOT_TEXT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n03\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n+3\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n-3\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n３\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n3\n{ROOT_TEXT[:-1]}\n",
        f"{ORIGIN}\n3\n{ROOT_TEXT[:-2]}B=\n",
        f"{ORIGIN}\n3\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n3\n{ROOT_TEXT}\nextension\n",
        f"{ORIGIN}\n3\n",
        f"{ORIGIN}\r\n3\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n3\n{ROOT_TEXT}\t\n",
        f"\n3\n{ROOT_TEXT}\n",
    ],
)
def test_other_spellings_are_refused_even_when_they_are_signed(text: str) -> None:
    with pytest.raises(BadData):
        parse_checkpoint(f"{text}\n{signature_line(KEY, ORIGIN, text)}", ORIGIN, PUBLIC)


@pytest.mark.parametrize(
    "tail", ["", "— x", "-- ledger.example AAAAAAA=\n", "— ledger.example AAAA\n", "— a+b AAAAAAA=\n", "— ledger.example AAAAAAA= x\n"]
)
def test_broken_signature_lines_are_refused(tail: str) -> None:
    text = checkpoint_text(ORIGIN, 3, root=bytes(32))
    with pytest.raises(BadData):
        parse_checkpoint(f"{text}\n{signature_line(KEY, ORIGIN, text)}{tail}" if tail else text, ORIGIN, PUBLIC)


def test_endless_notes_are_refused_unread() -> None:
    text = checkpoint_text(ORIGIN, 3, root=bytes(32))
    line = signature_line(KEY, ORIGIN, text)
    for note in (f"{text}\n{line * 65}", "x" * 70_000):
        with pytest.raises(BadData, match=r"more than|longer than"):
            parse_checkpoint(note, ORIGIN, PUBLIC)


def test_receipt_round_trip(receipt: Receipt) -> None:
    verify_receipt(receipt, ORIGIN, PUBLIC)
    text = receipt_to_text(receipt)
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra ")
    assert receipt_from_text(text, ORIGIN, PUBLIC) == receipt


def test_every_flipped_bit_of_a_receipt_file_is_refused(receipt: Receipt) -> None:
    data = receipt_to_text(receipt).encode()
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((IntegrityError, BadData)):
            receipt_from_text(bytes(changed).decode(errors="surrogateescape"), ORIGIN, PUBLIC)


@pytest.mark.parametrize("samples", [500, pytest.param(100_000, marks=pytest.mark.full)])
def test_mutated_receipt_files_are_refused_and_nothing_else_happens(samples: int, receipt: Receipt) -> None:
    text = receipt_to_text(receipt)
    chance = random.Random(6)
    pieces = ["\n", "\n\n", "— ", "=", "index ", "extra ", "0", "ledger.example", "\x00", "é", "A" * 44 + "\n", " "]
    for _ in range(samples):
        place, end = sorted(chance.choices(range(len(text) + 1), k=2))
        kind = chance.randrange(4)
        if kind == 0:
            changed = text[:place] + chance.choice(pieces) + text[place:]
        elif kind == 1:
            changed = text[:place] + text[end:]
        elif kind == 2:
            changed = text[:end] + text[place:end] + text[end:]
        else:
            changed = text[:place] + chr(chance.randrange(0x110000)) + text[place + 1 :]
        if changed != text:
            with pytest.raises((IntegrityError, BadData)):
                receipt_from_text(changed, ORIGIN, PUBLIC)


def test_random_text_is_refused() -> None:
    chance = random.Random(7)
    for _ in range(300):
        with pytest.raises(BadData):
            receipt_from_text(chance.randbytes(chance.randrange(400)).decode("latin-1"), ORIGIN, PUBLIC)


def test_receipt_fields_that_contradict_their_checkpoint_are_refused(receipt: Receipt) -> None:
    head = receipt.checkpoint
    older = sign_checkpoint(ORIGIN, 20, root=root_of(map(leaf_hash, LEAVES[:20])), key=KEY)
    for wrong in (
        dataclasses.replace(receipt, leaf=LEAVES[6]),
        dataclasses.replace(receipt, index=6),
        dataclasses.replace(receipt, index=-1),
        dataclasses.replace(receipt, proof=receipt.proof[:-1]),
        dataclasses.replace(receipt, proof=(*receipt.proof, bytes(32))),
        dataclasses.replace(receipt, checkpoint=older),
        dataclasses.replace(receipt, checkpoint=dataclasses.replace(head, size=22)),
        dataclasses.replace(receipt, checkpoint=dataclasses.replace(head, root=bytes(32))),
        dataclasses.replace(receipt, checkpoint=Checkpoint(origin=ORIGIN, size=head.size, root=head.root, note=older.note)),
        dataclasses.replace(receipt, leaf=bytes(65_536)),
    ):
        with pytest.raises(IntegrityError):
            verify_receipt(wrong, ORIGIN, PUBLIC)


def test_control_without_the_signature_check_a_forged_checkpoint_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    forged_leaf = b"forged"
    checkpoint = sign_checkpoint(ORIGIN, 1, root=leaf_hash(forged_leaf), key=OTHER_KEY)
    note = checkpoint.note.replace(checkpoint.note.split()[-1], base64.b64encode(log_key_id(ORIGIN, PUBLIC) + bytes(64)).decode())
    forged = Receipt(leaf=forged_leaf, index=0, proof=(), checkpoint=dataclasses.replace(checkpoint, note=note))
    with pytest.raises(IntegrityError):
        verify_receipt(forged, ORIGIN, PUBLIC)

    class Believer:
        @staticmethod
        def from_public_bytes(_: bytes) -> Believer:
            return Believer()

        def verify(self, signature: bytes, data: bytes) -> None:
            pass

    monkeypatch.setattr("hpcbridge.ledger.checkpoint.Ed25519PublicKey", Believer)
    parse_checkpoint.cache_clear()
    verify_receipt(forged, ORIGIN, PUBLIC)
    parse_checkpoint.cache_clear()
