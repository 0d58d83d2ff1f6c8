# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Commands of people as they type them and what they answer, for eyes: a prompt, the command, its real output, nothing that scrolls away.

A command runs on a pseudo-terminal of WIDTH columns, so tables fit as they do for a person; colours only where the demo itself has them.
"""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from tests.bridge import BIN
from tests.demo.story import console

WIDTH = 98


def command_line(who: str, command: str) -> None:
    """A prompt and what is typed there."""
    line = Text(f"{who}$ ", "dim")
    line.append(command, "bold not dim")
    console.print(line)


def answer(text: str) -> None:
    """Output, indented; nothing for nothing."""
    for line in text.rstrip().splitlines():
        console.print(Text("  ").append_text(Text.from_ansi(line)))


def typed(
    who: str, identity: str, *arguments: str, given: str | None = None, instead: str = "", hide: str = "", folder: Path | None = None
) -> str:
    """hpcbridgectl by somebody: shows the command (`instead` in its place) and its answer (`hide` in its place); returns what it printed,
    without colours.

    Its messages, which go to standard error, come after the answer. RuntimeError with both if it fails.
    """
    command_line(who, instead or f"hpcbridgectl {shlex.join(arguments)}")
    status, output, messages = run_on_terminal([str(BIN / "hpcbridgectl"), "--identity", identity, *arguments], given=given, folder=folder)
    if status != 0:
        raise RuntimeError(f"hpcbridgectl {shlex.join(arguments)}: exit status {status}\n{output}{messages}")
    answer(hide or output)
    if not hide:
        for line in messages.rstrip().splitlines():
            console.print(Text(f"  {line}", "dim"))
    return Text.from_ansi(output).plain


def run_on_terminal(argv: Sequence[str], *, given: str | None = None, folder: Path | None = None) -> tuple[int, str, str]:
    """Exit status, what a command that was started in `folder` wrote to its terminal, and its messages."""
    colours = {} if console.is_terminal else {"NO_COLOR": "1", "TERM": "dumb"}
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.PIPE, text=True,
            cwd=folder, env={**os.environ, "COLUMNS": str(WIDTH), **colours},
        )  # fmt: skip
    finally:
        os.close(theirs)
    chunks: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, chunks), daemon=True)
    reader.start()
    _, messages = process.communicate(given, timeout=120)
    reader.join()
    os.close(ours)
    return process.returncode, b"".join(chunks).decode(errors="replace").replace("\r\n", "\n"), messages


def _read(terminal: int, chunks: list[bytes]) -> None:
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:  # how Linux says that nobody has the other end open any more
            return
        if not chunk:
            return
        chunks.append(chunk)
