# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The sysadmin guide's tables of codes are whole: every exit status, outcome, rejection and request to send again, each with what to do."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from hpcbridge import errors
from hpcbridge.ctl.main import EXIT_STATUSES
from hpcbridge.model.entries import EntryOutcome, RejectionCode, RetryCode

GUIDE = Path(__file__).parent.parent / "docs" / "sysadmin-guide.md"


def tables(page: str) -> list[dict[str, str]]:
    """The section's tables in their order: first cell to the rest of its row."""
    section = page.split("\n### Troubleshooting by code\n", 1)[1].split("\n### ", 1)[0]
    blocks = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()[2:]] for block in blocks]
    return [{row[0].strip("`"): " ".join(row[1:]).strip() for row in table} for table in rows]


@pytest.mark.parametrize(("place", "codes"), [(1, EntryOutcome), (2, RejectionCode), (3, RetryCode)])
def test_every_code_has_its_row_and_no_row_is_of_something_else(place: int, codes: type[StrEnum]) -> None:
    table = tables(GUIDE.read_text())[place]
    assert list(table) == [code.value for code in codes]
    assert all(len(text) > 10 or code == EntryOutcome.ACCEPTED for code, text in table.items())


def test_every_exit_status_has_its_row() -> None:
    families = {each.exit_status for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.HpcbridgeError)}
    table = tables(GUIDE.read_text())[0]
    assert {int(status) for status in table} == {*EXIT_STATUSES, *families, 130}


def test_a_code_that_is_left_out_is_missed() -> None:
    page = GUIDE.read_text()
    assert "KEY_EXPIRED" in tables(page)[3]
    gone = re.sub(r"^\| `KEY_EXPIRED` \| the.*\n", "", page, flags=re.MULTILINE)
    assert "KEY_EXPIRED" not in tables(gone)[3]
