# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An order to rent before and after it is sent: what is sure to be refused becomes no entry of the log, and a refusal speaks of units."""

from __future__ import annotations

import re

import click

from hpcbridge.ctl.figures import amount
from hpcbridge.ctl.output import clock
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import RequestRecord

_NO_CREDIT = re.compile(r"(\d{1,20}) micro-units are needed, (\d{1,20}) are there")


def request_of(offer: str, best: str) -> str:
    """The request an order is about; UsageError where no offer is named but a request."""
    if best:
        return best
    request, dash, _ = offer.partition("-")
    if not dash:
        raise click.UsageError(
            f"{offer[:40]!r} is no offer: name one as it is listed (hpcbridgectl offers --request {request[:40]}), or --best REQUEST"
        )
    return request


def check_order(record: RequestRecord, *, cores: int | None, gpus: int | None, walltime: int | None) -> None:
    """UsageError for more than was asked for: clusters were compared for that."""
    asked = record.asked
    for option, ordered, most, shown in (
        ("--cores", cores, asked.cores, str(asked.cores)),
        ("--gpus", gpus, asked.gpus, str(asked.gpus)),
        ("--walltime", walltime, asked.walltime_seconds, clock(asked.walltime_seconds)),
    ):
        if ordered is not None and most is not None and ordered > most:
            raise click.UsageError(
                f"{option}: {record.request} asked for {shown}, and its offers hold for no more. Ask again for more: hpcbridgectl offers"
            )


def explained(refusal: Refused, request: str) -> Refused:
    """A refusal for want of credit, with its micro-units as people read amounts; any other as it is."""
    figures = _NO_CREDIT.match(refusal.reason)
    if refusal.code != EntryOutcome.NO_CREDIT or figures is None:
        return refusal
    needed, there = (amount(int(figure)) for figure in figures.groups())
    hint = (
        f"the deposit is {needed}, you have {there}. Another queue may have a smaller one: hpcbridgectl offers --request {request}."
        " An admin credits accounts"
    )
    return Refused(refusal.code, refusal.reason, hint=hint)
