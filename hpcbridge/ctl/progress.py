# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How far something long has come: a bar on standard error while a terminal is there, nothing in a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY = 256
"""Drawing costs more than one entry does."""


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for `total` of something; yields what is called with the number done."""
    with _bar() as bar:
        if bar is None:
            yield lambda _: None
            return
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done) if done % _EVERY == 0 or done == total else None


@contextlib.contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """A bar for a few steps that take long; yields what is called with the name of each as it begins."""
    with _bar() as bar:
        if bar is None:
            yield lambda _: None
            return
        task = bar.add_task("", total=total, completed=-1)
        yield lambda name: bar.update(task, description=name, advance=1, refresh=True)


@contextlib.contextmanager
def _bar() -> Iterator[Progress | None]:
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar
