# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl check`: will the daemon (or the ledger) start with this configuration, and do what it is for? Looks and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from hpcbridge.config import AGENT_CONFIG
from hpcbridge.config.findings import Finding
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.frontend import frontend_findings
from hpcbridge.ctl.output import print_json, print_line
from hpcbridge.service.checking import ledger_findings

_STYLES = {"failed": "red", "note": "yellow"}


@click.command(short_help="Will the daemon start with this configuration?")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), metavar="FILE", help="Which file; one named ledgerd.toml is the ledger's."
)
@output_option
@pass_context
@click.pass_context
def check(click_context: click.Context, context: Context, path: Path | None) -> None:
    """Check configuration, identity, scripts and the way to the ledger, before the daemon starts.

    Exit status 0 if all is fine, else that of the first thing that is not. A note tells of what may be meant so.
    """
    file = path or context.config or AGENT_CONFIG
    findings = ledger_findings(file) if file.name.startswith("ledgerd") else frontend_findings(file)
    done = list(_said(findings, quiet=context.json))
    failures = [each.error for each in done if each.failed and each.error is not None]
    if context.json:
        print_json({"all_right": not failures, "checks": [_as_json(each) for each in done]})
    else:
        print_line(f"{len(failures)} of {len(done)} checks failed." if failures else "All is fine.", style="bold")
    click_context.exit(failures[0].exit_status if failures else 0)


def _said(findings: Iterator[Finding], *, quiet: bool) -> Iterator[Finding]:
    for each in findings:
        if not quiet:
            print_line(f"{each.word:<6}  {each.what}: {each.error or each.text}", style=_STYLES.get(each.word, ""), indent=8)
            if each.error is not None and each.error.hint:
                print_line(f"        → {each.error.hint}", style="cyan", indent=10)
        yield each


def _as_json(finding: Finding) -> dict[str, object]:
    error = finding.error
    return {
        "what": finding.what,
        "ok": not finding.failed,
        "note": finding.word == "note",
        "text": finding.text if error is None else str(error),
        "hint": None if error is None else error.hint or None,
    }
