# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- a script, not a package
"""Writes docs/parsed.md: one recording of each scheduler as `hpcbridgectl parse -o table` shows it. `--check` compares instead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "parsed.md"
RECORDED = ROOT / "tests" / "recorded"
SHOWN = (
    ("Slurm 26.05", "slurm/26.05.5/zoo"),
    ("TORQUE 6.1", "torque/6.1.3/zoo"),
    ("OpenPBS 23.06", "openpbs/23.06.06/zoo"),
    ("Grid Engine 8.1.9", "gridengine/8.1.9/zoo"),
    ("Standard JSON", "standard/1/zoo"),
    ("This host", "local/1/zoo"),
)
HEAD = """\
# What parse shows

Made by `make docs` from recordings in `tests/recorded/`, each of a cluster with jobs in many states. A dash is what the scheduler did not
say.
"""


def main() -> int:
    """Exit status 1 if `--check` finds the page out of date."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *sections()])


def sections() -> Iterator[str]:
    """A heading and a screen for each scheduler."""
    for name, case in SHOWN:
        command = [str(Path(sys.executable).parent / "hpcbridgectl"), "parse", str(RECORDED / case), "-o", "table"]
        screen = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
        lines = "\n".join(line.rstrip() for line in screen.rstrip().splitlines())
        yield f"## {name}\n\n`tests/recorded/{case}`\n\n```\n{lines}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
