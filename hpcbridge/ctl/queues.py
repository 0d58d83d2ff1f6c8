# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl queues`: the queues of a cluster with what waits and what is free."""

from __future__ import annotations

from typing import Any

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import NOTHING, Column, clock, print_json, print_table, share
from hpcbridge.ctl.watch import watch_option
from hpcbridge.model.quantities import format_instant
from hpcbridge.model.schema import queue_as_json
from hpcbridge.wire.queries import get_cluster

_COLUMNS = (
    Column(title="QUEUE", shrink=True),
    Column(title="OPEN", coloured=True),
    Column(title="RUNNING", right=True),
    Column(title="QUEUED", right=True),
    Column(title="CORES", right=True),
    Column(title="FREE", right=True),
    Column(title="GPUS", right=True),
    Column(title="NODES", right=True, optional=True),
    Column(title="MAX CORES", right=True, optional=True),
    Column(title="MAX WALLTIME", right=True, optional=True),
)


@click.group(short_help="Queues here, or as the ledger has them.")
def queues() -> None:
    """Queues: as the daemon on this machine sees them, or with --cluster as last sampled on the ledger."""


@queues.command(name="list")
@click.option(
    "--cluster",
    metavar="NAME",
    shell_complete=listed("cluster"),
    help="Ask the ledger about this cluster instead of the daemon on this machine.",
)
@watch_option
@output_option
@pass_context
def list_command(context: Context, cluster: str | None) -> None:
    """List queues: cores and GPUs used of total."""
    answer = _answer(context, cluster)
    if context.json:
        print_json(answer)
    else:
        print_table(_COLUMNS, (_row(queue) for queue in answer["queues"]), empty="No queues.")


def _answer(context: Context, cluster: str | None) -> dict[str, Any]:
    if cluster is not None:
        state = get_cluster(context.way().call, cluster).state
        if state is None:
            return {"queues": [], "observed_at": None}
        return {"queues": [queue_as_json(queue) for queue in state.queues], "observed_at": format_instant(state.observed_at)}
    answer: dict[str, Any] = context.control("queues")
    return answer


def _row(queue: dict[str, Any]) -> tuple[Any, ...]:
    limit = queue["max_walltime_seconds"]
    return (
        queue["name"],
        queue["open"],
        queue["jobs_running"],
        queue["jobs_queued"],
        share(queue["cores_used"], queue["cores_total"]),
        queue["cores_available"],
        share(queue["gpus_used"], queue["gpus_total"]),
        len(queue["nodes"]) or NOTHING,
        queue["max_cores"],
        "none" if limit is None else clock(limit),
    )
