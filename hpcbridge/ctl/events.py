# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl events`: what happened, from a cursor on, and live."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.output import moment, note, pause, print_json_line, print_line
from hpcbridge.ctl.told import told
from hpcbridge.errors import CertificateExpired, LedgerUnavailable
from hpcbridge.model.entries import EventType, parse_cursor
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import LedgerEvent, event_types, read_event

_AGAIN_SECONDS = 2.0


@click.command(short_help="What happened, and live.", epilog=f"Types: {', '.join(EventType)}.")
@click.option("--from", "start", metavar="CURSOR", help="Begin after this cursor (<index>.<n>); without it at the beginning, "
              "or with --follow at what comes from now on.")  # fmt: skip
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--type", "types", multiple=True, metavar="TYPE",
              type=click.Choice([each.value for each in EventType], case_sensitive=False),  # as printed, too
              help="Only events of this type; may be repeated.")  # fmt: skip
@output_option
@pass_context
def events(context: Context, start: str | None, *, follow: bool, types: tuple[str, ...]) -> None:
    """Print the events you may see, one on a line; with -o json one JSON object on a line."""
    if start is not None:
        _check_cursor(start)
    cursor = start if start is not None else "now" if follow else ""
    watch = _Numbers(complete=not types)
    for event in _events(context, cursor, follow=follow, types=tuple(EventType(each) for each in types)):
        watch.check(event)
        if context.json:
            print_json_line(as_json(event))
        else:
            print_line(
                f"{event.cursor:>9}  {moment(event.at)}  {event.type.value.lower():<18}  {event.subject}: {told(event)}".rstrip(": ")
            )


class _Numbers:
    """Notices events that a ledger withholds: the numbers of an audience have no holes."""

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete
        self._last: dict[str, int] = {}

    def check(self, event: LedgerEvent) -> None:
        """Says so on standard error if a number was left out."""
        last = self._last.get(event.audience)
        if self._complete and last is not None and event.audience_number != last + 1:
            note(
                f"warning: event {event.cursor} is number {event.audience_number} for {event.audience}, after {last}: something is withheld"
            )
        self._last[event.audience] = event.audience_number


def _events(context: Context, cursor: str, *, follow: bool, types: tuple[EventType, ...]) -> Iterator[LedgerEvent]:
    """Events from the cursor on; with `follow` a broken stream is opened again where it broke."""
    while True:
        request = ledger_pb2.SubscribeRequest(cursor=cursor, types=event_types(types), until_caught_up=not follow)
        try:
            fresh = context.kept_fresh() if follow else contextlib.nullcontext()
            with context.ledger_client().subscribe(request) as stream, fresh:
                for reply in stream:
                    if reply.WhichOneof("reply") == "event":
                        cursor = reply.event.cursor
                        yield read_event(reply.event)
            if not follow:
                return
        except (LedgerUnavailable, CertificateExpired) as error:
            if not follow:
                raise
            note(f"note: {error}; trying again")
        pause(_AGAIN_SECONDS)
        context.refresh_client()


def _check_cursor(text: str) -> None:
    try:
        parse_cursor(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from error
