# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""P2, a share: what a receipt file proves, and that no other bytes prove anything."""

from __future__ import annotations

import dataclasses
import random

import pytest

from hpcbridge.audit.verify import Pins
from hpcbridge.ctl.receipt import examine, findings_as_json, verify_text
from hpcbridge.errors import BadData, IntegrityError
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.ledger.receipt import receipt_to_text
from tests.honest_log import HonestLog, certificate, fixed_log_key


def mixed_entry(log: HonestLog) -> int:
    return next(index for index, applied in enumerate(log.applied) if len(applied.entry.outcomes) == 3)


def accepted(text: bytes, pins: Pins) -> bool:
    try:
        verify_text(text.decode(), pins, name="file")
    except (BadData, UnicodeDecodeError):
        return False
    return True


def test_included_and_accepted_are_told_apart(log: HonestLog) -> None:
    own = read_certificate(certificate("hpc-one/main"), log.pins.origin).public_key
    pins = dataclasses.replace(log.pins, own_key=own)
    facts = findings_as_json(verify_text(receipt_to_text(log.receipt(mixed_entry(log))), pins, name="file"))
    assert (facts["included"], facts["accepted"], facts["refused"]) == (True, 2, 1)
    assert facts["signed_by_this_installation"] is True
    assert facts["items"] == [
        {"subject": "job one/900#1 RUNNING", "outcome": "ACCEPTED"},
        {"subject": "job two/901#1 RUNNING", "outcome": "MALFORMED"},
        {"subject": "job one/902#1 QUEUED", "outcome": "ACCEPTED"},
    ]
    assert findings_as_json(verify_text(receipt_to_text(log.receipt(3)), pins, name="file"))["signed_by_this_installation"] is None


@pytest.mark.parametrize("index", range(0, 38, 6))
def test_every_entry_has_a_receipt_under_every_later_checkpoint(log: HonestLog, index: int) -> None:
    for size in range(index + 1, len(log.leaves) + 1, 5):
        text = receipt_to_text(log.receipt(index, size))
        assert verify_text(text, log.pins, name="file").receipt.checkpoint.size == size


def test_no_changed_bit_of_a_receipt_is_accepted(log: HonestLog) -> None:
    text = receipt_to_text(log.receipt(mixed_entry(log))).encode()
    assert accepted(text, log.pins)
    changed = [text[:place] + bytes([text[place] ^ 1 << bit]) + text[place + 1 :] for place in range(len(text)) for bit in range(8)]
    assert [place for place, each in enumerate(changed) if accepted(each, log.pins)] == []


def test_no_shuffled_receipt_is_accepted(log: HonestLog) -> None:
    """Lines left out, doubled, exchanged, or of another receipt."""
    chance = random.Random(3)
    texts = [receipt_to_text(log.receipt(index)) for index in range(0, len(log.leaves), 5)]
    lines = texts[3].split("\n")
    honest = findings_as_json(verify_text(texts[3], log.pins, name="file"))
    for _ in range(500):
        cheat = list(lines)
        place = chance.randrange(len(lines) - 1)
        match chance.randrange(3):
            case 0:
                del cheat[place]
            case 1:
                cheat.insert(place, chance.choice(lines))
            case _:
                cheat[place] = chance.choice(chance.choice(texts).split("\n"))
        text = "\n".join(cheat)
        if accepted(text.encode(), log.pins):  # the same signature twice is still a signed note, and says nothing else
            assert list(dict.fromkeys(cheat)) == list(dict.fromkeys(lines))
            assert findings_as_json(verify_text(text, log.pins, name="file")) == honest


def test_a_receipt_of_another_ledger_or_log_key(log: HonestLog) -> None:
    text = receipt_to_text(log.receipt(7))
    other_key = dataclasses.replace(log.pins, log_key=fixed_log_key("other").public_key().public_bytes_raw())
    for pins in (dataclasses.replace(log.pins, origin="other.example"), other_key):
        with pytest.raises(BadData, match="file: checkpoint"):
            verify_text(text, pins, name="file")


def test_a_leaf_that_claims_another_place(log: HonestLog) -> None:
    """The tree proves where the bytes stand; the entry in them must say the same."""
    receipt = log.receipt(7)
    with pytest.raises(IntegrityError, match="the proof is of entry 8, but the entry says it is 7"):
        examine(dataclasses.replace(receipt, index=8), log.pins)
