# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`--watch`: an answer drawn again and again on a screen of its own, until Ctrl-C; the last one stays on the terminal.

What passes by itself (a ledger or daemon that is away) is shown and tried again; any other error ends it. It is for people: in a pipe,
and with `-o json`, it is refused. A terminal that cannot move its cursor gets one answer below the other.
"""

from __future__ import annotations

import contextlib
import functools
import io
import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from hpcbridge.ctl.context import Context, now
from hpcbridge.ctl.output import moment, pause, show_error
from hpcbridge.errors import CertificateExpired, HpcbridgeError

Function = TypeVar("Function", bound=Callable[..., Any])
_SECONDS = 2.0


def watch_option(function: Function) -> Function:
    """`--watch` and `--interval` for a command that shows a state. Stands above `output_option`."""

    @click.option("-w", "--watch", "watched", is_flag=True, help="Show it again and again, until Ctrl-C.")
    @click.option(
        "-n", "--interval", type=click.FloatRange(min=0.5, max=3600), metavar="SECONDS",
        help=f"Watch, and ask so often; every {_SECONDS:g} s unless given.",
    )  # fmt: skip
    @functools.wraps(function)
    def command(*arguments: Any, watched: bool, interval: float | None, **options: Any) -> Any:
        if not watched and interval is None:
            return function(*arguments, **options)
        return _watch(functools.partial(function, *arguments, **options), _SECONDS if interval is None else interval)

    return command  # type: ignore[return-value]


class Frame(io.StringIO):
    """One answer, written as to the terminal it is shown on."""

    def isatty(self) -> bool:
        """As the terminal."""
        return True


def _watch(draw: Callable[[], object], seconds: float) -> None:
    context = click.get_current_context().find_object(Context)
    if context is not None and context.json:
        raise click.UsageError("--watch is for a terminal, not for -o json")
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        raise click.UsageError("--watch is for a terminal; for a pipe: hpcbridgectl events --follow, or the command again and again")
    shown = ""
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_dumb_terminal:
            while True:
                sys.stdout.write(f"{_heading(seconds)}\n{_answer(draw, context)}\n")
                sys.stdout.flush()
                pause(seconds)
        with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            while True:
                shown = _cropped(_answer(draw, context), console.height - 2)
                live.update(_page(shown, console, seconds), refresh=True)
                pause(seconds)
    sys.stdout.write(f"{shown}\n" if shown else "")


def _answer(draw: Callable[[], object], context: Context | None) -> str:
    frame = Frame()
    with contextlib.redirect_stdout(frame), contextlib.redirect_stderr(frame):
        try:
            draw()
        except HpcbridgeError as error:
            if not (error.transient or isinstance(error, CertificateExpired)):
                raise
            show_error(error)
            if context is not None and context.is_connected:
                with contextlib.suppress(HpcbridgeError):  # it is what was just shown
                    context.refresh_client()
    return frame.getvalue()


def _cropped(answer: str, room: int) -> str:
    """What fits on the screen, and how much does not."""
    lines = answer.splitlines()
    if len(lines) > room:
        left = len(lines) - room + 1
        lines = [*lines[: room - 1], f"({left} more lines: enlarge the window, or without --watch)"]
    return "\n".join(lines)


def _page(shown: str, console: Console, seconds: float) -> Text:
    page = Text(_heading(seconds)[: console.width], "dim", no_wrap=True, overflow="crop")
    page.append("\n\n")
    page.append_text(Text.from_ansi(shown, no_wrap=True, overflow="crop"))
    return page


def _heading(seconds: float) -> str:
    command = shlex.join(["hpcbridgectl", *sys.argv[1:]])
    return f"{moment(now())} UTC, every {seconds:g} s, Ctrl-C ends: {command}"
