# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl offers`: asks for resources, and shows who could give them, at what price and how soon, without a name."""

from __future__ import annotations

import sys
from typing import Any

import click

from hpcbridge.contract.market import request_name
from hpcbridge.contract.requests import MAX_CORES, request_fault
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.figures import PLACE, PROGRAM, SIZE, WALLTIME, amount
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.names import listed, remember
from hpcbridge.ctl.output import Column, duration, moment, note, print_json, print_table, share
from hpcbridge.model.clusters import Program
from hpcbridge.model.market import Offer, OfferedQueue, Request, RequestRecord, WaitRule
from hpcbridge.wire.marketqueries import get_request, list_offers

_COLUMNS = (
    Column(title="OFFER", names="offer"),
    Column(title="QUEUE", names="queue label"),
    Column(title="FREE CORES", right=True),
    Column(title="FREE GPUS", right=True),
    Column(title="GPU", shrink=True, optional=True),
    Column(title="LIMIT", right=True),
    Column(title="CORE/H", right=True),
    Column(title="GPU/H", right=True),
    Column(title="DEPOSIT", right=True),
    Column(title="WAIT", right=True),
    Column(title="TO INSTALL", shrink=True),
    Column(title="WAIT BY", optional=True),
    Column(title="STATE AGE", right=True, optional=True),
)
_GPU_TITLES = frozenset({"FREE GPUS", "GPU", "GPU/H"})
_WAIT_RULES = {WaitRule.FREE_NOW: "free now", WaitRule.QUEUE_AHEAD: "queue ahead", WaitRule.UNKNOWN: None}


@click.command(short_help="Ask for resources: who could give them, at what price.")
@click.option("--cores", type=click.IntRange(1, MAX_CORES), metavar="N", help="Cores for one job.")
@click.option("--gpus", default=0, type=click.IntRange(0, MAX_CORES), help="GPUs for one job.")
@click.option("--gpu-type", default="", metavar="T", help="Kind of GPU, as sites name it, for example a100.")
@click.option("--program", "programs", multiple=True, type=PROGRAM, metavar="P", help="NAME or NAME/VERSION; may be repeated.")
@click.option("--memory", type=SIZE, metavar="M", help="Memory for the job, for example 64G.")
@click.option("--walltime", type=WALLTIME, metavar="T", help="How long the job may run, for example 02:00:00, 90min or 2d.")
@click.option("--location", type=PLACE, metavar="LAT,LON", help="Where you are, in degrees: near clusters cost less. It is rounded to 0.1° "
              "(about 11 km) before it is sent, because it stands in the log for ever.")  # fmt: skip
@click.option(
    "--request",
    "earlier",
    metavar="REQUEST",
    shell_complete=listed("request"),
    help="Ask nothing new; show the offers of an earlier request again.",
)
@output_option
@pass_context
def offers(
    context: Context,
    *,
    cores: int | None,
    gpus: int,
    gpu_type: str,
    programs: tuple[Program, ...],
    memory: int | None,
    walltime: int | None,
    location: tuple[int, int] | None,
    earlier: str | None,
) -> None:
    """Ask for resources and list the offers, one line for each queue that fits.

    The request is a signed entry of the log and stays there: what you ask for, never for what. Offers are blind: no cluster, no provider,
    in an order that says nothing. They hold for a quarter of an hour unless the network says otherwise.

    CORE/H and GPU/H are prices of one core and one GPU for an hour, distance included. DEPOSIT is held while you rent; what is not used
    comes back. LIMIT is the longest a job may run. WAIT is an estimate from above, by the jobs ahead in the queue; – is unknown.
    """
    asked = (cores, gpus or None, gpu_type or None, programs or None, memory, walltime, location)
    if earlier is not None:
        if any(value is not None for value in asked):
            raise click.UsageError("--request shows an earlier answer again; leave out everything else")
        _show(context, earlier)
        return
    if cores is None:
        raise click.UsageError("Missing option '--cores'.")
    if gpu_type and not gpus:
        raise click.UsageError("--gpu-type needs --gpus: how many of them?")
    latitude, longitude = location or (None, None)
    body = Request(
        cores=cores,
        gpus=gpus,
        gpu_type=gpu_type,
        memory_bytes=memory,
        walltime_seconds=walltime,
        programs=programs,
        latitude_microdegrees=latitude,
        longitude_microdegrees=longitude,
    )
    fault = request_fault(body)
    if fault:
        raise click.UsageError(fault)
    submitted = context.way().submit(body)
    submitted.check_accepted()
    _show(context, request_name(submitted.index))


def _show(context: Context, name: str) -> None:
    call = context.way().call
    request, found = get_request(call, name), list_offers(call, name)
    if context.json:
        print_json({"request": as_json(request), "offers": [as_json(offer) for offer in found]})
        return
    rows = [_row(offer, queue) for offer in found for queue in offer.queues]
    hidden = set() if request.asked.gpus else set(_GPU_TITLES)
    hidden |= set() if any(offer.to_install for offer in found) else {"TO INSTALL"}
    shown = [place for place, column in enumerate(_COLUMNS) if column.title not in hidden]
    if sys.stdout.isatty():
        remember({"request": [name]})
    print_table([_COLUMNS[place] for place in shown], [[row[place] for place in shown] for row in rows], empty=f"No offers for {name}.")
    _advise(request, found)


def _row(offer: Offer, queue: OfferedQueue) -> tuple[Any, ...]:
    return (
        offer.offer,
        queue.label,
        share(queue.cores_free, queue.cores_total),
        share(queue.gpus_free, queue.gpus_total),
        f"{queue.gpu_type or '?'} × {queue.gpus}" if queue.gpus else None,
        "none" if queue.max_walltime_seconds is None else duration(queue.max_walltime_seconds),
        amount(queue.rates.cpu_core_per_hour),
        amount(queue.rates.gpu_core_per_hour),
        amount(queue.deposit),
        duration(queue.wait_seconds),
        ", ".join(f"{program.name} {program.version}".strip() for program in offer.to_install),
        _WAIT_RULES.get(queue.wait_rule),
        duration(offer.state_age_ms // 1000),
    )


def _advise(request: RequestRecord, found: tuple[Offer, ...]) -> None:
    """What to do next, beside the answer."""
    name = request.request
    if found:
        note(f"They hold until {moment(request.expires_at)} UTC, as of entry {request.index}. Rent one, or the cheapest soonest:")
        note(f"  hpcbridgectl rent {found[0].offer} --queue {found[0].queues[0].label}")
        note(f"  hpcbridgectl rent --best {name}")
    if request.why_nots:
        clusters = "One cluster was" if request.why_nots == 1 else f"{request.why_nots} clusters were"
        note(f"{clusters} left out: hpcbridgectl why {name}")
    elif not found:
        note("No cluster takes part in this network yet.")
