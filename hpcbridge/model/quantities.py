# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Names, instants and text: checked once, at the door.

An *instant* is an integer number of milliseconds since 1970-01-01 UTC wherever hpcbridge keeps one (field names end in
`_at`); text in ISO 8601 with `Z` exists only in JSON and on screens. See docs/adr/0003-instants-are-integers.md.
"""

from __future__ import annotations

import datetime
import re

from hpcbridge.model.printable import is_printable

Instant = int
"""Milliseconds since the epoch, UTC."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z")
# no hyphen in front, because the address stands among a command's arguments; 254 is the longest there is (RFC 5321, section 4.5.3.1.3)
_CONTACT = re.compile(r"(?=.{3,254}\Z)[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?\Z")
_ORIGIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?\Z")
MAX_INSTANT: Instant = 253_402_300_799_999
"""Last millisecond of the year 9999."""


def check_name(what: str, text: str) -> str:
    """Returns `text` if it can name a member, installation or cluster (1–40 of a–z, 0–9, inner -); ValueError naming `what` if not."""
    if not _NAME.match(text):
        raise ValueError(f"{what} {text[:60]!r}: use 1 to 40 lower-case letters, digits and inner hyphens")
    return text


def check_origin(text: str) -> str:
    """Returns `text` if it can name a ledger: 1–63 of a–z, 0–9, dot and hyphen (it stands in URIs and checkpoints)."""
    if not _ORIGIN.match(text):
        raise ValueError(f"origin {text[:80]!r}: use 1 to 63 lower-case letters, digits, dots and hyphens")
    return text


def check_contact(text: str) -> str:
    """Returns a mail address that may stand in a command's arguments and in a mail's head; ValueError, which quotes nothing, if not."""
    if not _CONTACT.match(text):
        raise ValueError("a contact is a mail address like name@example.org: letters, digits and _.+- before the @, at most 254 characters")
    return text


def instant_from_seconds(seconds: int) -> Instant:
    """Whole seconds since the epoch, as schedulers print them."""
    return seconds * 1000


def format_instant(instant: Instant) -> str:
    """ISO 8601 in UTC with `Z`; milliseconds only where there are any."""
    moment = _EPOCH + datetime.timedelta(milliseconds=instant)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{instant % 1000:03d}Z" if instant % 1000 else f"{text}Z"


def parse_instant(text: str) -> Instant:
    """Reads ISO 8601 with an explicit offset or `Z`; ValueError for a time without a zone."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return (moment - _EPOCH) // datetime.timedelta(milliseconds=1)


def escape_text(raw: str, *, limit: int = 256) -> str:
    """Text from a stranger, made harmless: control, format and surrogate characters as escapes, at most `limit` characters.

    A name that is printable stays as it is. In any other, backslashes are doubled, so that its escapes can be told apart.
    """
    if is_printable(raw):
        return raw[:limit]
    escaped = "".join(
        "\\\\" if character == "\\" else character if is_printable(character) else _escape(character)
        for character in raw[:limit]
    )
    return escaped[:limit]


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
