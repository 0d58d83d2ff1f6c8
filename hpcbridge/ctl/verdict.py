# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The first lines of every status: is it all right, and if not, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpcbridge.ctl.output import print_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be, and what to do about it."""

    what: str
    todo: str


def print_verdict(who: str, found: Sequence[Finding]) -> None:
    """That all is right, or each finding with what to do; then an empty line."""
    if not found:
        print_line(f"{who} is all right.", style="bold green")
    else:
        print_line(f"{who} needs attention:", style="bold yellow")
    for each in found:
        print_line(f"  * {each.what}", indent=4)
        if each.todo:
            print_line(f"    → {each.todo}", style="cyan", indent=6)
    print_line("")


def verdict_as_json(found: Sequence[Finding]) -> dict[str, Any]:
    """The form of `-o json`."""
    return {"all_right": not found, "findings": [{"what": each.what, "todo": each.todo} for each in found]}
