# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""make bench: measures the figures of docs/benchmarks.md here and now; a table for people, build/bench/results.json for programs.

One machine's figures of one run: compare ratios within a run, not runs with each other. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.benchmarks import agent, ledger, many, market, schedulers, trade
from tests.benchmarks.figures import Figure
from tests.bridge import ROOT

DIRECTORY = ROOT / "build" / "bench"


def main() -> int:
    """Runs what was asked for; exit status 0 unless something could not be measured at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the load")
    parser.add_argument("part", nargs="*", choices=["ledger", "agent", "schedulers", "market", "trade", "many", []], help="only this part")
    arguments = parser.parse_args()
    parts = {
        "ledger": ledger.measure,
        "agent": agent.measure,
        "schedulers": schedulers.measure,
        "market": market.measure,
        "trade": trade.measure,
        "many": many.measure,
    }
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    figures: list[Figure] = []
    for name in arguments.part or parts:
        directory = DIRECTORY / name
        directory.mkdir(parents=True)
        for figure in parts[name](directory, quick=arguments.quick):
            print(f"  {figure.name}: {figure.value:,.2f} {figure.unit}", file=sys.stderr)
            figures.append(figure)
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    results = {"machine": machine, "figures": [dataclasses.asdict(figure) | {"reached": figure.reached} for figure in figures]}
    (DIRECTORY / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print_table(figures)
    return 0


def print_table(figures: Iterable[Figure]) -> None:
    """Figures beside aim and paper."""
    table = Table(title="hpcbridge, measured on this machine")
    for heading in ("figure", "measured", "aim", "paper", "", "more"):
        table.add_column(heading, justify="right" if heading in {"measured", "aim", "paper"} else "left")
    for figure in figures:
        sign = "≥" if figure.more_is_better else "≤"
        table.add_row(
            figure.name,
            f"{figure.value:,.2f} {figure.unit}",
            f"{sign} {figure.aim:g}" if figure.aim is not None else "",
            f"{figure.paper:g}" if figure.paper is not None else "",
            {True: "[green]reached[/]", False: "[red]not reached[/]", None: ""}[figure.reached],
            figure.detail,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main())
