# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The passcodes that the agent makes for tenants."""

from __future__ import annotations

from collections.abc import Callable

_SIGNS = "abcdefghjkmnpqrstuvwxyz23456789"
"""31 signs of which none is taken for another: no i, l, o, 0 or 1."""
_GROUPS, _GROUP = 4, 5


def make_passcode(random_bytes: Callable[[int], bytes]) -> str:
    """Twenty signs in groups, each of 31 with the same chance: 99 bits."""
    signs: list[str] = []
    fair = 256 - 256 % len(_SIGNS)
    while len(signs) < _GROUPS * _GROUP:
        signs += [_SIGNS[byte % len(_SIGNS)] for byte in random_bytes(_GROUPS * _GROUP) if byte < fair]
    return "-".join("".join(signs[start : start + _GROUP]) for start in range(0, _GROUPS * _GROUP, _GROUP))


def without_passcode(text: str, passcode: str | None) -> str:
    """A script's words, or that they were withheld because some of the passcode is among them."""
    if passcode is not None and any(group in text for group in passcode.split("-")):
        return "the script printed the passcode; its words are withheld"
    return text
