# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl admin member`: one member with its documents and with what was decided of it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from hpcbridge.contract.records import VettingRecord
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.documents import print_documents
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import Column, moment, print_facts, print_json, print_line, print_table
from hpcbridge.wire.queries import get_member

_COLUMNS = (
    Column(title="DECIDED (UTC)"),
    Column(title="VETTING", coloured=True),
    Column(title="BY"),
    Column(title="NOTE", shrink=True),
    Column(title="DOCUMENTS READ"),
    Column(title="ENTRY", right=True),
)


@click.command(short_help="Show a member, its documents and decisions.")
@click.argument("name", shell_complete=listed("member"))
@output_option
@pass_context
def member(context: Context, name: str) -> None:
    """Show one member: attributes, installations, the documents it submitted, and what admins decided of it."""
    found = get_member(context.way().call, name)
    if context.json:
        print_json(as_json(found))
        return
    print_facts(
        [
            ("role", found.role.value.lower()),
            ("vetting", "revoked" if found.revoked else found.vetting),
            ("enrolled", f"{moment(found.enrolled_at)} UTC"),
            *((f"attribute {key}", value) for key, value in found.attributes),
            ("installations", ", ".join(each.name + (" (revoked)" if each.revoked else "") for each in found.installations)),
        ],
        title=f"Member {found.name}",
    )
    print_line("")
    print_documents(found.documents, empty="No documents.")
    print_line("")
    print_decisions(found.decisions)


def print_decisions(found: Iterable[VettingRecord]) -> None:
    """A table of what was decided; of each document the beginning of its digest."""
    rows = (
        (
            moment(each.at),
            each.decision.vetting,
            each.admin,
            each.decision.note,
            " ".join(digest.hex()[:12] for digest in each.decision.documents) or None,
            each.index,
        )
        for each in found
    )
    print_table(_COLUMNS, rows, empty="Nothing was decided yet.")
