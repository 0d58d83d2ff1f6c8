# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl clusters`: what is registered; a provider sees its own, an admin all, a user none."""

from __future__ import annotations

from typing import Any

import click

from hpcbridge.contract.records import ClusterRecord
from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.figures import amount
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.member import print_decisions
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import NOTHING, Column, ago, moment, print_facts, print_json, print_line, print_table, share, size
from hpcbridge.ctl.watch import watch_option
from hpcbridge.model.clusters import Queue, QueueHardware
from hpcbridge.wire.marketqueries import list_program_demand
from hpcbridge.wire.queries import get_cluster, list_clusters

_COLUMNS = (
    Column(title="CLUSTER", names="cluster"),
    Column(title="PROVIDER", optional=True),
    Column(title="VETTING", coloured=True),
    Column(title="SCHEDULER", shrink=True),
    Column(title="NODES UP", right=True),
    Column(title="CORES", right=True),
    Column(title="USED", right=True),
    Column(title="HEARD"),
)
_QUEUE_COLUMNS = (
    Column(title="QUEUE", shrink=True),
    Column(title="OPEN", coloured=True),
    Column(title="RUNNING", right=True),
    Column(title="QUEUED", right=True),
    Column(title="CORES", right=True),
    Column(title="GPUS", right=True),
    Column(title="KIND"),
    Column(title="LARGEST NODE", right=True),
)
_DEMAND_COLUMNS = (
    Column(title="PROGRAM", shrink=True),
    Column(title="VERSION"),
    Column(title="REQUESTS", right=True),
)


@click.group()
def clusters() -> None:
    """Clusters as the ledger has them."""


@clusters.command(name="list")
@watch_option
@output_option
@pass_context
def list_command(context: Context) -> None:
    """List clusters: a provider sees its own, an admin all."""
    found = list_clusters(context.way().call)
    if context.json:
        print_json({"clusters": [as_json(cluster) for cluster in found]})
    else:
        print_table(_COLUMNS, (_row(cluster) for cluster in found), empty="No clusters.")


@clusters.command()
@click.argument("name", shell_complete=listed("cluster"))
@watch_option
@output_option
@pass_context
def show(context: Context, name: str) -> None:
    """Show one cluster: registration, last sample and queues."""
    cluster = get_cluster(context.way().call, name)
    if context.json:
        print_json(as_json(cluster))
        return
    print_facts(_facts(cluster), title=f"Cluster {cluster.registration.cluster}")
    if cluster.state is not None and cluster.state.queues:
        hardware = {known.queue: known for known in cluster.state.hardware}
        print_line("")
        print_table(_QUEUE_COLUMNS, (_queue_row(queue, hardware.get(queue.name)) for queue in cluster.state.queues), empty="")
    if cluster.decisions:
        print_line("")
        print_decisions(cluster.decisions)


@clusters.command(short_help="Programs that were asked for and missing.")
@output_option
@pass_context
def demand(context: Context) -> None:
    """How often users asked for programs that one of your clusters lacks and would otherwise have been offered.

    Counted over this period of 30 days and the one before, by request; nobody learns who asked. An admin sees the programs of all.
    """
    found = sorted(list_program_demand(context.way().call), key=lambda each: (-each.count, each.program.name, each.program.version))
    if context.json:
        print_json({"programs": [as_json(each) for each in found]})
        return
    rows = ((each.program.name, each.program.version or "any", each.count) for each in found)
    print_table(_DEMAND_COLUMNS, rows, empty="No program was asked for that is missing.")


def _row(cluster: ClusterRecord) -> tuple[Any, ...]:
    state = cluster.state
    scheduler = state.scheduler if state is not None else None
    return (
        cluster.registration.cluster,
        cluster.provider,
        cluster.vetting,
        f"{scheduler.name} {scheduler.version or ''}".strip() if scheduler is not None else None,
        share(state.nodes_up, state.nodes_total) if state is not None else None,
        share(state.cores_used, state.cores_total) if state is not None else None,
        _percent(state.utilization) if state is not None else None,
        ago(cluster.heard_at, now()),
    )


def _facts(cluster: ClusterRecord) -> list[tuple[str, Any]]:
    registration, state = cluster.registration, cluster.state
    facts: list[tuple[str, Any]] = [
        ("provider", cluster.provider),
        ("vetting", cluster.vetting),
        ("registered", f"{moment(cluster.registered_at)} UTC"),
        ("login", registration.login_address),
        ("location", _location(registration.latitude_microdegrees, registration.longitude_microdegrees)),
        ("programs", ", ".join(f"{program.name} {program.version}".strip() for program in registration.programs)),
        ("rates", _rates(cluster)),
        ("heard", ago(cluster.heard_at, now())),
    ]
    if state is None:
        return [*facts, ("sample", "none yet")]
    facts += [
        ("observed", f"{moment(state.observed_at)} UTC"),
        ("nodes up", share(state.nodes_up, state.nodes_total)),
        ("cores used", f"{share(state.cores_used, state.cores_total)} ({_percent(state.utilization)})"),
    ]
    if state.scheduler is not None:
        reachable = "answers" if state.scheduler.reachable else "does not answer"
        facts.append(("scheduler", f"{state.scheduler.name} {state.scheduler.version or ''}, {reachable}"))
    if state.frontend is not None:
        load = state.frontend.load_hundredths
        text = f"load {NOTHING if load is None else format(load / 100, '.2f')}, memory used {size(state.frontend.memory_used_bytes)}"
        facts.append(("frontend", text))
    return facts


def _queue_row(queue: Queue, hardware: QueueHardware | None) -> tuple[Any, ...]:
    return (
        queue.name,
        queue.open,
        queue.jobs_running,
        queue.jobs_queued,
        share(queue.cores_used, queue.cores_total),
        share(queue.gpus_used, queue.gpus_total),
        ", ".join(hardware.gpu_types) or None if hardware is not None else None,
        size(hardware.memory_bytes) if hardware is not None else None,
    )


def _percent(basis_points: int | None) -> str:
    return NOTHING if basis_points is None else f"{basis_points / 100:.0f} %"


def _location(latitude: int | None, longitude: int | None) -> str | None:
    if latitude is None or longitude is None:
        return None
    return f"{latitude / 1_000_000:.4f}, {longitude / 1_000_000:.4f}"


def _rates(cluster: ClusterRecord) -> str | None:
    rates = cluster.registration.rates
    if rates is None:
        return None
    return f"{amount(rates.cpu_core_per_hour)} per core and hour, {amount(rates.gpu_core_per_hour)} per GPU and hour"
