# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl why`: what each cluster lacked that a request was not offered, as blind as the offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import Column, duration, print_json, print_table, size
from hpcbridge.model.market import Requirement, WhyNot
from hpcbridge.wire.marketqueries import list_why_nots

_COLUMNS = (
    Column(title="NO.", right=True),
    Column(title="WHAT IS MISSING"),
    Column(title="NEEDED", right=True),
    Column(title="FOUND", right=True),
    Column(title="MISSING PROGRAMS", shrink=True),
)
WORDS: Mapping[Requirement, str] = {
    Requirement.OWN: "it is your own cluster",
    Requirement.APPROVED: "cluster or provider is not approved",
    Requirement.HEARD_FROM: "it was not heard from lately",
    Requirement.PRICED: "it has no price",
    Requirement.OPEN: "no queue is open",
    Requirement.CORES: "cores for one job",
    Requirement.GPUS: "GPUs for one job",
    Requirement.GPU_TYPE: "GPUs of this kind",
    Requirement.MEMORY: "memory for one job",
    Requirement.WALLTIME: "time for one job",
    Requirement.PROGRAMS: "programs",
    Requirement.LISTED: "it fits, but better ones fill the list",
}
_FORMS: Mapping[Requirement, Callable[[int], str]] = {
    Requirement.HEARD_FROM: lambda milliseconds: duration(milliseconds // 1000),
    Requirement.MEMORY: size,
    Requirement.WALLTIME: duration,
}


@click.command(short_help="Why clusters were left out of a request's offers.")
@click.argument("request", shell_complete=listed("request"))
@output_option
@pass_context
def why(context: Context, request: str) -> None:
    """Show, for each cluster that REQUEST was not offered, the first requirement that failed and by how much."""
    found = list_why_nots(context.way().call, request)
    if context.json:
        print_json({"request": request, "why_nots": [as_json(each) for each in found]})
    else:
        print_table(_COLUMNS, (_row(each) for each in found), empty="No cluster was left out.")


def _row(each: WhyNot) -> tuple[Any, ...]:
    missing = ", ".join(f"{program.name} {program.version}".strip() for program in each.missing)
    return each.ordinal, WORDS[each.requirement], _form(each, each.needed), _form(each, each.found), missing


def _form(each: WhyNot, figure: int | None) -> str | None:
    return None if figure is None else _FORMS.get(each.requirement, str)(figure)
