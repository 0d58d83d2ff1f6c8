# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl parse`: a recording in the standard schema. Needs no daemon, no ledger, no identity."""

from __future__ import annotations

from pathlib import Path

import click

from hpcbridge.ctl.context import output_option
from hpcbridge.ctl.output import print_json
from hpcbridge.schedulers.recording import load_recording, normalise


@click.command(short_help="A recording in the standard schema.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@output_option
@click.pass_context
def parse(context: click.Context, directory: Path) -> None:
    """Normalise the recording in DIR and print it as JSON.

    null: not recorded, failed or unreadable. []: proven to be empty. Exit status 65 if anything was unreadable or quarantined.
    """
    normalised = normalise(load_recording(directory))
    print_json(normalised.as_json())
    context.exit(normalised.exit_status)
