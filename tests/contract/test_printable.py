# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Printable means the same under every Python: otherwise two replicas would part at the first sign that is new in one of them."""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

import pytest

from hpcbridge.model.identities import Role
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import escape_text
from tests.fold_world import Party, World, job, job_changes

ROOT = Path(__file__).resolve().parent.parent.parent / "hpcbridge"
NEWER = ("\u0cf3", "\U00011f00", "\U0001fae8", "\U0001e4d0")
"""Signs of Unicode 15.0: printable to Python 3.12, unassigned to Python 3.11."""
FOLDED = ("contract", "wire", "model", "identity", "fold.py")
"""What decides about an entry, or about the texts in one."""


def test_it_is_what_unicode_14_says_of_every_sign() -> None:
    parted = [code for code in range(sys.maxunicode + 1) if is_printable(chr(code)) is not chr(code).isprintable()]
    if unicodedata.unidata_version == "14.0.0":
        assert parted == []
    else:
        assert parted
        assert not any(is_printable(chr(code)) for code in parted), "what was printable once stays so"


@pytest.mark.parametrize("sign", NEWER)
def test_a_sign_that_is_newer_is_refused_by_every_replica(world: World, provider: Party, sign: str) -> None:
    assert world.outcomes(provider, job_changes(job("1", name=f"run {sign}"))) == ["MALFORMED"]
    assert world.outcomes(world.root, world.token(b"new", "newcomer", Role.USER, attributes=(("group", sign),))) == ["MALFORMED"]
    assert world.outcomes(provider, job_changes(job("1", name=escape_text(f"run {sign}")))) == ["ACCEPTED"]


@pytest.mark.parametrize("sign", ["é", "名", "\U0001f600", " ~"])
def test_a_sign_that_is_older_is_text(world: World, provider: Party, sign: str) -> None:
    assert world.outcomes(provider, job_changes(job("1", name=f"run {sign}"))) == ["ACCEPTED"]


@pytest.mark.parametrize("text", ["\n", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\u00a0", "\ue000", "\udc80", "a\x00"])
def test_what_does_harm_is_not_printable(text: str) -> None:
    assert not is_printable(text)


def test_nobody_asks_the_running_python() -> None:
    """Nor for anything else that its version of Unicode decides, but of ASCII."""
    asked = re.compile(r"\.(isprintable|isalpha|isalnum|isidentifier|isspace|casefold|isupper|islower|title)\(|unicodedata")
    files = [path for place in FOLDED for path in (sorted((ROOT / place).rglob("*.py")) if not place.endswith(".py") else [ROOT / place])]
    found = [f"{path.name}: {line.strip()}" for path in files for line in path.read_text().splitlines() if asked.search(line)]
    assert len(files) > 50
    assert [line for line in found if not line.startswith("printable.py")] == []
