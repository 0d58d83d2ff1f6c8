# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl gaps`: what agents said they could not keep or observe."""

from __future__ import annotations

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import Column, duration, moment, print_json, print_table
from hpcbridge.ctl.watch import watch_option
from hpcbridge.wire.queries import list_gaps

_COLUMNS = (
    Column(title="CLUSTER"),
    Column(title="FROM (UTC)"),
    Column(title="FOR", right=True),
    Column(title="MISSING", right=True),
    Column(title="ENTRY", right=True, optional=True),
    Column(title="REASON", shrink=True),
)


@click.command(short_help="What clusters could not report.")
@click.option("--cluster", metavar="NAME", shell_complete=listed("cluster"), default="", help="Only gaps of this cluster.")
@watch_option
@output_option
@pass_context
def gaps(context: Context, cluster: str) -> None:
    """List gaps in what clusters reported; each is a signed entry. No gaps: the history is whole."""
    found = list_gaps(context.way().call, cluster)
    if context.json:
        print_json({"gaps": [{**as_json(each.gap), "entry": each.index, "reported_at": as_json(each)["at"]} for each in found]})
        return
    rows = (
        (
            each.gap.cluster,
            moment(each.gap.since_at),
            duration((each.gap.until_at - each.gap.since_at) // 1000),
            "unknown" if each.gap.count is None else each.gap.count,
            each.index,
            each.gap.reason,
        )
        for each in found
    )
    print_table(_COLUMNS, rows, empty="No gaps.")
