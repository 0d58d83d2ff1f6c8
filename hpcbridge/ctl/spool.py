# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl spool`: what the daemon keeps until the ledger's receipt is verified."""

from __future__ import annotations

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.output import Column, moment_of_text, note, print_facts, print_json, print_line, print_table, size
from hpcbridge.ctl.watch import watch_option

_SET_ASIDE_COLUMNS = (
    Column(title="MADE (UTC)"),
    Column(title="NUMBER", right=True),
    Column(title="TYPE", shrink=True),
    Column(title="ITEMS", right=True),
    Column(title="REASON", shrink=True),
)
_REFUSED_COLUMNS = (
    Column(title="REFUSED (UTC)"),
    Column(title="ENTRY", right=True),
    Column(title="TYPE", shrink=True),
    Column(title="CODE"),
    Column(title="REASON", shrink=True),
)


@click.group(short_help="What the daemon has not proven to be on the log.")
def spool() -> None:
    """The daemon's spool: changes on their way to the ledger."""


@spool.command(short_help="How much waits, and how much is proven.")
@watch_option
@output_option
@pass_context
def show(context: Context) -> None:
    """Show how much waits, is on its way, was acknowledged or set aside."""
    facts = context.control("spool")
    if context.json:
        print_json(facts)
        return
    oldest = facts.get("oldest_waiting_at")
    print_facts(
        [
            ("waiting", facts["waiting"]),
            ("oldest waiting since", f"{moment_of_text(oldest)} UTC" if oldest else None),
            ("on their way", facts["in_flight"]),
            ("acknowledged", facts["acknowledged"]),
            ("refused", facts["refused"]),
            ("in quarantine", facts["quarantined"]),
            ("size", f"{size(facts['bytes'])} of {size(facts['quota_bytes'])}"),
        ]
    )
    if facts["quarantined"]:
        note("Something could never be accepted and was set aside; see: hpcbridgectl spool quarantine")


@spool.command(short_help="Send what waits now, not after the pause.")
@output_option
@pass_context
def flush(context: Context) -> None:
    """Try now, instead of after the current pause, to send what waits and to carry on with accounts of tenants."""
    answer = context.control("flush")
    if context.json:
        print_json(answer)
    else:
        note("The daemon tries now; see: hpcbridgectl spool show")


@spool.command(short_help="What could never be accepted, and why.")
@output_option
@pass_context
def quarantine(context: Context) -> None:
    """List what the ledger can never accept, and single items it refused last; each with its reason."""
    answer = context.control("quarantine")
    if context.json:
        print_json(answer)
        return
    aside = [
        (moment_of_text(each["made_at"]), each["sequence"], _kind(each["payload_type"]), each["items"], each["reason"])
        for each in answer["payloads"]
    ]
    refused = [
        (moment_of_text(each["at"]), each["index"], _kind(each["payload_type"]), each["code"], each["reason"])
        for each in answer.get("refused", ())
    ]
    print_table(_SET_ASIDE_COLUMNS, aside, empty="Nothing is in quarantine.")
    if aside and refused:
        print_line("")
    print_table(_REFUSED_COLUMNS, refused, empty="Nothing was refused.")


def _kind(payload_type: str) -> str:
    return payload_type.removeprefix("application/vnd.hpcbridge.").removesuffix("+protobuf")
