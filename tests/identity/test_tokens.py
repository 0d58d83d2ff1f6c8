# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Enrolment tokens: whole ones come back, damaged ones say what to do."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest

from hpcbridge.errors import BadData
from hpcbridge.identity import tokens
from hpcbridge.identity.tokens import EnrolmentToken, make_token, parse_token, token_digest

TOKEN = EnrolmentToken(
    address="ledger.example.org:7444",
    origin="ledger.example.org",
    ca_fingerprint=bytes(range(32)),
    secret=bytes(range(100, 132)),
)


@pytest.mark.parametrize("address", ["ledger.example.org:7444", "10.0.0.1:1", "[2001:db8::1]:65535", "localhost:7444"])
def test_round_trip(address: str) -> None:
    token = EnrolmentToken(address=address, origin="l", ca_fingerprint=bytes(32), secret=bytes(32))
    assert parse_token(make_token(token)) == token


def test_one_line_of_plain_characters() -> None:
    line = make_token(TOKEN)
    assert line.startswith("hpcb1.")
    assert len(line.split()) == 1
    assert len(line) < 220
    assert all(character.isalnum() or character in "-_." for character in line)


def test_blanks_of_a_copied_terminal_line_do_not_matter() -> None:
    line = make_token(TOKEN)
    assert parse_token(f"  {line[:70]}\n{line[70:]} \r\n") == TOKEN


def test_secret_is_not_shown() -> None:
    assert repr(TOKEN.secret) not in repr(TOKEN)
    assert "secret" not in repr(TOKEN)


def test_every_truncation_is_noticed() -> None:
    line = make_token(TOKEN)
    for length in range(len(line)):
        with pytest.raises(BadData) as caught:
            parse_token(line[:length])
        assert caught.value.hint


def test_every_changed_character_is_noticed() -> None:
    line = make_token(TOKEN)
    for place in range(6, len(line) - 1):
        other = "A" if line[place] != "A" else "B"
        with pytest.raises(BadData):
            parse_token(line[:place] + other + line[place + 1 :])


def test_control_without_the_checksum_damage_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_checksum", lambda packed: packed[:0] + bytes(4))
    line = make_token(TOKEN)
    place = len(line) - 20
    damaged = parse_token(line[:place] + ("A" if line[place] != "A" else "B") + line[place + 1 :])
    assert damaged.address == TOKEN.address
    assert damaged.secret != TOKEN.secret


@pytest.mark.parametrize(
    ("text", "says", "do"),
    [
        ("", "no token", "standard input"),
        ("hello", "not an enrolment token", "copy the whole line"),
        ("hpcb2.AAAA", "version hpcb2", "install"),
        ("hpcb1.", "damaged", "copy the whole line"),
        ("hpcb1.ä", "damaged", "copy the whole line"),
        ("hpcb1.!!!!", "damaged", "copy the whole line"),
        ("hpcb1." + "A" * 5000, "too long", "copy the whole line"),
        ("xhpcb1.AAAA", "not an enrolment token", "copy the whole line"),
    ],
)
def test_what_is_wrong_and_what_to_do(text: str, says: str, do: str) -> None:
    with pytest.raises(BadData, match=says) as caught:
        parse_token(text)
    assert do in caught.value.hint
    assert caught.value.exit_status == 65


@pytest.mark.parametrize(
    "values",
    [
        ("no-port", "l", bytes(32), bytes(32)),
        ("h:0", "l", bytes(32), bytes(32)),
        ("h:65536", "l", bytes(32), bytes(32)),
        ("h:1\n", "l", bytes(32), bytes(32)),
        ("h:1", "UPPER", bytes(32), bytes(32)),
        ("h:1", "l", bytes(31), bytes(32)),
        ("h:1", "l", bytes(32), bytes(33)),
        ("h:1", "l", bytes(32)),
        ("h:1", "l", "text", bytes(32)),
    ],
)
def test_whole_but_badly_made_is_refused(values: tuple[object, ...]) -> None:
    packed = msgspec.msgpack.encode(values)
    checksum = hashlib.sha256(b"hpcb1." + packed).digest()[:4]
    with pytest.raises(BadData, match="not well made"):
        parse_token("hpcb1." + base64.urlsafe_b64encode(packed + checksum).decode().rstrip("="))


def test_a_token_that_could_not_be_read_is_not_made() -> None:
    with pytest.raises(ValueError, match="host:port"):
        make_token(EnrolmentToken(address="nowhere", origin="l", ca_fingerprint=bytes(32), secret=bytes(32)))


def test_digest_is_sha256_of_the_secret() -> None:
    assert token_digest(b"\x00" * 32) == hashlib.sha256(b"\x00" * 32).digest()
