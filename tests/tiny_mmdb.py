# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Writes small databases of places by IPv4 network, after the public "MaxMind DB File Format Specification", version 2.0.

A search tree with two records of 24 bits in each node; a record is another node, the number of nodes (nothing there), or that number
plus 16 plus an offset into the data. Then 16 zero bytes, the data, a marker, and the metadata.
"""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_TEXT, _DOUBLE, _BYTES, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 3, 4, 5, 6, 7, 9, 11


def write_mmdb(path: Path, networks: dict[str, Any]) -> Path:
    """A database of these networks, which do not overlap; values are made of dicts, text, floats and ints."""
    nodes: list[list[int | None]] = [[None, None]]
    data = b""
    leaves: list[tuple[int, int, int]] = []
    for text, value in networks.items():
        network = ipaddress.IPv4Network(text)
        bits = [int(network.network_address) >> (31 - place) & 1 for place in range(network.prefixlen)]
        node = 0
        for bit in bits[:-1]:
            following = nodes[node][bit]
            if following is None:
                following = nodes[node][bit] = len(nodes)
                nodes.append([None, None])
            node = following
        leaves.append((node, bits[-1], len(data)))
        data += _encoded(value)
    count = len(nodes)
    for node, bit, offset in leaves:
        nodes[node][bit] = count + 16 + offset
    tree = b"".join((count if record is None else record).to_bytes(3, "big") for node in nodes for record in node)
    metadata = {
        "binary_format_major_version": _Sized(_UINT16, 2),
        "binary_format_minor_version": _Sized(_UINT16, 0),
        "build_epoch": _Sized(_UINT64, 1_700_000_000),
        "database_type": "hpcbridge-test",
        "description": {"en": "made by a test"},
        "ip_version": _Sized(_UINT16, 4),
        "languages": [],
        "node_count": _Sized(_UINT32, count),
        "record_size": _Sized(_UINT16, 24),
    }
    path.write_bytes(tree + bytes(16) + data + _MARKER + _encoded(metadata))
    return path


class _Sized:
    """A whole number with its type."""

    def __init__(self, kind: int, value: int) -> None:
        self.kind = kind
        self.value = value


def _encoded(value: Any) -> bytes:
    match value:
        case dict():
            return _head(_MAP, len(value)) + b"".join(_encoded(key) + _encoded(each) for key, each in value.items())
        case list():
            return _head(_ARRAY, len(value)) + b"".join(map(_encoded, value))
        case str():
            return _head(_TEXT, len(value.encode())) + value.encode()
        case float():
            return _head(_DOUBLE, 8) + struct.pack(">d", value)
        case int():
            return _encoded(_Sized(_UINT32, value))
        case _Sized():
            number = value.value.to_bytes((value.value.bit_length() + 7) // 8, "big")
            return _head(value.kind, len(number)) + number
    raise TypeError(type(value))


def _head(kind: int, size: int) -> bytes:
    """Type and size in one byte; types beyond 7 have a second one. Sizes here stay below 29, which needs no more."""
    if size >= 29:
        raise ValueError(f"size {size}")
    return bytes([kind << 5 | size]) if kind <= 7 else bytes([size, kind - 7])
