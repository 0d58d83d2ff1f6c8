# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the signed tree head as text, in the C2SP formats signed-note and tlog-checkpoint, signed with Ed25519.

A checkpoint that is accepted here says exactly one thing in exactly one spelling: refused are extension lines (nobody could audit them),
base64 that is not canonical, leading zeros, control characters, another origin, and a note without a valid signature of the pinned log
key. Signatures of other keys (witnesses, a newer log key) are skipped, as signed-note demands.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import re
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hpcbridge.errors import BadData, IntegrityError
from hpcbridge.ledger.merkle import HASH_BYTES
from hpcbridge.model.entries import Checkpoint

MAX_NOTE_CHARACTERS = 65_536
MAX_SIGNATURES = 64
_ED25519 = b"\x01"  # signature type of signed-note
_KEY_ID_BYTES = 4
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)\Z")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


def sign_checkpoint(origin: str, size: int, *, root: bytes, key: Ed25519PrivateKey) -> Checkpoint:
    """Signs the head of the tree of `size` leaves. The caller answers for the root: it must be recomputed from what was read back."""
    text = checkpoint_text(origin, size, root=root)
    id_ = log_key_id(origin, key.public_key().public_bytes_raw())
    signature = base64.b64encode(id_ + key.sign(text.encode())).decode()
    return Checkpoint(origin=origin, size=size, root=root, note=f"{text}\n— {origin} {signature}\n")


def checkpoint_text(origin: str, size: int, *, root: bytes) -> str:
    """The bytes that are signed, as text: origin, size and root, one line each."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def log_key_id(name: str, log_public_key: bytes) -> bytes:
    """The four bytes that name an Ed25519 key (32 raw bytes) in a signature line."""
    return sha256(name.encode() + b"\n" + _ED25519 + log_public_key).digest()[:_KEY_ID_BYTES]


@functools.lru_cache(maxsize=256)  # the receipts of one group share their checkpoint
def parse_checkpoint(note: str, origin: str, log_public_key: bytes) -> Checkpoint:
    """Reads a note and verifies it with the pinned origin and Ed25519 key (32 raw bytes).

    BadData if it is no checkpoint at all, IntegrityError if it is one of another ledger or not signed by the pinned key.
    """
    text, signatures = _split(note)
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0]:
        raise BadData("checkpoint: the text is not origin, size and root on a line each")
    size, root = parse_decimal("checkpoint size", lines[1]), decode_base64("checkpoint root", lines[2])
    if len(root) != HASH_BYTES:
        raise BadData(f"checkpoint: a root has {HASH_BYTES} bytes, not {len(root)}")
    if lines[0] != origin:
        raise IntegrityError(f"checkpoint of {lines[0][:80]!r}, not of {origin}")
    _verify_signatures(text, signatures, name=origin, log_public_key=log_public_key)
    return Checkpoint(origin=origin, size=size, root=root, note=note)


def decode_base64(what: str, text: str) -> bytes:
    """Standard base64 in its one canonical spelling; BadData naming `what` otherwise."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadData(f"{what}: {text[:80]!r} is not base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise BadData(f"{what}: {text[:80]!r} is not canonical base64")
    return decoded


def parse_decimal(what: str, text: str) -> int:
    """A decimal number without sign and leading zeros, below 10^19; BadData naming `what` otherwise."""
    if not _DECIMAL.match(text):
        raise BadData(f"{what}: {text[:80]!r} is not a decimal number")
    return int(text)


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Signed text (with its last newline) and signatures as (key name, key id and signature)."""
    if len(note) > MAX_NOTE_CHARACTERS:
        raise BadData(f"checkpoint: longer than {MAX_NOTE_CHARACTERS} characters")
    if _FORBIDDEN.search(note):
        raise BadData("checkpoint: contains control characters or broken text")
    text, separator, tail = note.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise BadData("checkpoint: not a text, an empty line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise BadData(f"checkpoint: more than {MAX_SIGNATURES} signatures")
    return text + "\n", [_signature_line(line) for line in lines]


def _signature_line(line: str) -> tuple[str, bytes]:
    found = _SIGNATURE_LINE.match(line)
    if found is None:
        raise BadData(f"checkpoint: {line[:80]!r} is not a signature line")
    blob = decode_base64("checkpoint signature", found[2])
    if len(blob) <= _KEY_ID_BYTES:
        raise BadData("checkpoint: a signature line without a signature")
    return found[1], blob


def _verify_signatures(text: str, signatures: list[tuple[str, bytes]], *, name: str, log_public_key: bytes) -> None:
    """Every signature under the pinned name and key id must be valid, and there must be one."""
    id_ = log_key_id(name, log_public_key)
    ours = [blob[_KEY_ID_BYTES:] for key_name, blob in signatures if key_name == name and hmac.compare_digest(blob[:_KEY_ID_BYTES], id_)]
    if not ours:
        raise IntegrityError("checkpoint: not signed by the pinned log key")
    key = Ed25519PublicKey.from_public_bytes(log_public_key)
    for signature in ours:
        try:
            key.verify(signature, text.encode())
        except InvalidSignature as error:
            raise IntegrityError("checkpoint: the log key's signature is not of this text") from error
