# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What several sections of both files are held to: counts of at least one, and addresses as HOST:PORT."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Any

from hpcbridge.config.source import Source


def is_loopback(address: str) -> bool:
    """True if HOST:PORT can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_positive(source: Source, section: Any, name: str) -> None:
    """ConfigError for the first count in a section that is below 1."""
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if isinstance(value, int) and value < 1:
            raise source.error((name, item.name), f"[{name}] {item.name} = {value}: must be at least 1")


def check_address(source: Source, address: str, place: tuple[str, ...], what: str, *, number: int = 0) -> None:
    """ConfigError if ``address`` is not HOST:PORT; ``number`` is that of the entry, from 1, of a section written ``[[so]]``."""
    match = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", address)
    if match is None or int(match[1]) > 65_535:
        hint = "an IPv6 address stands in brackets: [::1]:7443"
        raise source.error(place, f"{what} {address!r} is not HOST:PORT", hint=hint, number=number)
