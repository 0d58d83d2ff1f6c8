# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Which 32 bytes may be a key that something is sealed to."""

from __future__ import annotations

SEALING_KEY_BYTES = 32

_FIELD = (1 << 255) - 19
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""Points of Curve25519 with which every secret comes out as zero (RFC 7748, section 6.1): nothing sealed to them is secret."""


def is_sealing_key(key: bytes) -> bool:
    """True for an X25519 key with which something can be secret."""
    # the highest bit is not looked at (RFC 7748, section 5)
    return len(key) == SEALING_KEY_BYTES and int.from_bytes(key, "little") % (1 << 255) % _FIELD not in _LOW_ORDER
