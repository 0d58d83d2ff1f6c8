# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl nodes`: the nodes of a cluster, with their use where the daemon is at hand."""

from __future__ import annotations

from typing import Any

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import Column, moment, natural, print_json, print_table, share, size
from hpcbridge.ctl.watch import watch_option
from hpcbridge.wire.queries import list_nodes

_COLUMNS = (
    Column(title="NODE", shrink=True),
    Column(title="AVAILABILITY", coloured=True),
    Column(title="NATIVE", shrink=True, optional=True),
    Column(title="QUEUES", shrink=True),
    Column(title="CORES", right=True),
    Column(title="GPUS", right=True),
    Column(title="GPU TYPE", shrink=True, optional=True),
    Column(title="MEMORY", right=True, optional=True),
    Column(title="REASON", shrink=True),
)
_LEDGER_COLUMNS = (
    Column(title="NODE", shrink=True),
    Column(title="AVAILABILITY", coloured=True),
    Column(title="NATIVE", shrink=True),
    Column(title="OBSERVED (UTC)"),
    Column(title="REASON", shrink=True),
)


@click.group(short_help="Nodes here, or as the ledger has them.")
def nodes() -> None:
    """Nodes: use as the daemon on this machine sees it, or with --cluster availability as the ledger has it."""


@nodes.command(name="list")
@click.option(
    "--cluster", metavar="NAME", shell_complete=listed("cluster"), help="Ask the ledger about this cluster; it knows availability, not use."
)
@watch_option
@output_option
@pass_context
def list_command(context: Context, cluster: str | None) -> None:
    """List nodes, used of total."""
    if cluster is not None:
        _show_recorded(context, cluster)
        return
    answer = context.control("nodes")
    if context.json:
        print_json(answer)
    else:
        print_table(_COLUMNS, (_row(node) for node in sorted(answer["nodes"], key=lambda node: natural(node["name"]))), empty="No nodes.")


def _show_recorded(context: Context, cluster: str) -> None:
    found = list_nodes(context.way().call, cluster)
    if context.json:
        print_json({"cluster": cluster, "nodes": [as_json(node) for node in found]})
        return
    rows = (
        (node.node, node.availability, node.native_state, moment(node.observed_at), node.reason)
        for node in sorted(found, key=lambda each: natural(each.node))
    )
    print_table(_LEDGER_COLUMNS, rows, empty=f"The ledger knows no nodes of {cluster}.")


def _row(node: dict[str, Any]) -> tuple[Any, ...]:
    memory_used, memory_total = node["memory_bytes_used"], node["memory_bytes_total"]
    return (
        node["name"],
        node["availability"],
        node["native_state"],
        ",".join(node["queues"]),
        share(node["cores_used"], node["cores_total"]),
        share(node["gpus_used"], node["gpus_total"]),
        node["gpu_type"],
        f"{size(memory_used)} / {size(memory_total)}",
        node["reason"],
    )
