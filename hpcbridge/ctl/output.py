# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""How answers look: aligned tables, facts, JSON; messages and errors on standard error.

On a terminal a table fits its width: optional columns give way, then long texts are shortened; other lines wrap at words, under their
beginning. In a pipe nothing is cut, coloured or wrapped, so that awk and grep see whole lines. Whatever came from a stranger is escaped
here, at the sink.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from hpcbridge.ctl.names import remember
from hpcbridge.errors import HpcbridgeError
from hpcbridge.model.quantities import Instant, escape_text, format_instant

NOTHING = "–"
"""Stands for what is unknown or not there."""
_GAP = "  "
_TOLD = len("error: ")
_MIN_SHRUNK = 8
_MIN_SQUEEZED = 4
_MIN_WRAPPED = 24
"""Narrower than this nothing is wrapped under its beginning."""
_STYLES: Mapping[str, str] = {
    "RUNNING": "green", "DONE": "green", "UP": "green", "APPROVED": "green", "ACCEPTED": "green", "COMPLETED": "green",
    "ok": "bold green", "yes": "green",
    "QUEUED": "cyan", "REQUEUED": "cyan", "PENDING": "yellow", "QUEUED_HELD": "yellow", "REQUEUED_HELD": "yellow",
    "SUSPENDED": "yellow", "DRAINING": "yellow", "DRAINED": "yellow", "UNDETERMINED": "magenta", "UNKNOWN": "magenta",
    "warning": "bold yellow", "TIMEOUT": "red", "CANCELLED": "yellow",
    "FAILED": "red", "DOWN": "red", "REJECTED": "red", "revoked": "red", "LOST": "red", "OUT_OF_MEMORY": "red",
    "NODE_FAILED": "red", "failed": "bold red", "no": "red",
}  # fmt: skip
"""Colour of words that fill a cell of a coloured column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. Figures stand `right`; what may `shrink` is shortened first; an `optional` column gives way on a narrow terminal.

    `coloured` is for our own words only: a stranger's text must not be able to look like one. `names` is the kind of thing that is named,
    for completion.
    """

    title: str
    right: bool = False
    shrink: bool = False
    optional: bool = False
    coloured: bool = False
    names: str = ""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Rows under their titles on standard output; `empty` goes to standard error if there are none."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        note(empty)
        return
    console = _console(sys.stdout)
    widths = [max(cell_len(column.title), *(cell_len(row[place]) for row in cells)) for place, column in enumerate(columns)]
    shown = list(range(len(columns)))
    if console.is_terminal:
        empty_ones = {place for place in range(len(columns)) if all(row[place] == NOTHING for row in cells)}
        shown, widths = _fit(columns, widths, console.width, empty_ones)
        remember({column.names: [row[place] for row in cells] for place, column in enumerate(columns) if column.names})
    _print_line(console, [Text(_padded(columns[i].title, widths[i], right=columns[i].right), "bold") for i in shown])
    for row in cells:
        _print_line(console, [_styled(columns[i], row[i], widths[i]) for i in shown])


def print_facts(facts: Iterable[tuple[str, Any]], *, title: str = "") -> None:
    """Names and values, one pair a line; long values wrap under their beginning on a terminal."""
    pairs = [(name, _cell(value)) for name, value in facts]
    console = _console(sys.stdout)
    if title:
        _print_wrapped(console, Text(title, "bold"))
    width = max((cell_len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        line = Text(f"  {_padded(name, width, right=False)}  " if title else f"{_padded(name, width, right=False)}  ", "dim")
        indent = line.cell_len
        line.append(value, "not dim")
        _print_wrapped(console, line, indent=indent)


def print_line(text: str, *, style: str = "", indent: int = 0) -> None:
    """One line of plain text on standard output; what wraps on a terminal begins after `indent` blanks."""
    _print_wrapped(_console(sys.stdout), Text(escape_text(text, limit=4096), style), indent=indent)


def print_json(value: Any) -> None:
    """One JSON value on standard output, indented, ASCII only, so that no byte of a stranger reaches the terminal."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def print_json_line(value: Any) -> None:
    """One JSON value on one line, at once: for what follows live."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A message beside the answer, on standard error."""
    _print_wrapped(_console(sys.stderr), Text(escape_text(text, limit=4096)))


def show_error(error: HpcbridgeError) -> None:
    """What went wrong and what to do next, on standard error."""
    console = _console(sys.stderr)
    line = Text("error: ", "bold red")
    line.append(escape_text(str(error), limit=4096), "not bold default")
    _print_wrapped(console, line, indent=_TOLD)
    if error.hint:
        hint = Text("hint:  ", "bold cyan")
        hint.append(escape_text(error.hint, limit=4096), "not bold default")
        _print_wrapped(console, hint, indent=_TOLD)


def moment(instant: Instant | None) -> str:
    """An instant for a table: to the second, UTC."""
    return moment_of_text(None if instant is None else format_instant(instant))


def moment_of_text(text: str | None) -> str:
    """The same for ISO 8601 text as it stands in JSON."""
    return NOTHING if not text else text.partition(".")[0].rstrip("Z").replace("T", " ")


def ago(instant: Instant | None, now: Instant) -> str:
    """How long ago, in the two units that matter."""
    if instant is None:
        return "never"
    return f"{duration((now - instant) // 1000)} ago" if instant <= now else f"in {duration((instant - now) // 1000)}"


def duration(seconds: int | None) -> str:
    """Seconds as people say them: 45 s, 12 min, 3 h 05 min, 2 d 4 h."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def clock(seconds: int | None) -> str:
    """Seconds as schedulers print them: [d-]hh:mm:ss."""
    if seconds is None:
        return NOTHING
    days, rest = divmod(seconds, 86_400)
    text = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


def size(count: int | None) -> str:
    """Bytes in binary units, three figures."""
    if count is None:
        return NOTHING
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 1024 or unit == "PiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.3g} {unit}"
        amount /= 1024
    return NOTHING


def share(used: int | None, total: int | None) -> str:
    """Used of total."""
    return NOTHING if used is None and total is None else f"{_cell(used)}/{_cell(total)}"


def natural(text: str) -> list[tuple[int, int | str]]:
    """Key to sort names as people count: n2 before n10, 4_1 before 25_[2-9]."""
    return [
        (0, int(part)) if part.isdecimal() and part.isascii() else (1, part)
        for part in re.split(r"(\d{1,18})", text, flags=re.ASCII)
        if part
    ]


def pause(seconds: float) -> None:
    """Waits; Ctrl-C ends the wait at once."""
    threading.Event().wait(seconds)


def _console(stream: TextIO) -> Console:
    """Made anew each time: tests and shells exchange the streams. NO_COLOR, COLUMNS and TERM are rich's business."""
    return Console(file=stream, highlight=False, markup=False, emoji=False, legacy_windows=False)


def _print_wrapped(console: Console, line: Text, *, indent: int = 0) -> None:
    """On a terminal at words, further lines under the first; a pipe gets one line."""
    room = console.width - indent
    if not console.is_terminal or line.cell_len <= console.width or room < _MIN_WRAPPED:
        console.print(line, soft_wrap=True)
        return
    first, rest = line.divide([_cut(line, indent)]) if indent else (Text(""), line)
    for number, part in enumerate(rest.wrap(console, room)):
        part.rstrip()
        console.print((Text(" " * indent) if number else first) + part, soft_wrap=True)


def _cut(line: Text, cells: int) -> int:
    """How many characters fill so many cells."""
    return len(line.plain) if line.cell_len <= cells else next(i for i in range(len(line.plain) + 1) if cell_len(line.plain[:i]) >= cells)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape_text(str(value), limit=4096)


def _styled(column: Column, value: str, width: int) -> Text:
    style = "dim" if value == NOTHING else _STYLES.get(value, "") if column.coloured else ""
    return Text(_padded(value, width, right=column.right), style)


def _padded(text: str, width: int, *, right: bool) -> str:
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - length) + text if right else text + " " * (width - length)


def _fit(columns: Sequence[Column], widths: Sequence[int], limit: int, empty: Collection[int] = ()) -> tuple[list[int], list[int]]:
    """Which columns to show and how wide: leaves out empty ones, shortens what may shrink, then leaves out optional ones from the right."""
    shown, fitted = list(range(len(columns))), list(widths)
    while True:
        over = sum(fitted[i] for i in shown) + len(_GAP) * (len(shown) - 1) - limit
        if over <= 0:
            return shown, fitted
        bare = [i for i in shown if i in empty and (columns[i].optional or columns[i].shrink)]
        if bare:
            shown.remove(bare[-1])
            continue
        shrinkable = [i for i in shown if columns[i].shrink and fitted[i] > _MIN_SHRUNK]
        optional = [i for i in shown if columns[i].optional]
        if sum(fitted[i] - _MIN_SHRUNK for i in shrinkable) >= over:
            for _ in range(over):
                widest = max(shrinkable, key=lambda i: fitted[i])
                fitted[widest] -= 1
            return shown, fitted
        if not optional:
            for i in shrinkable:
                fitted[i] = _MIN_SHRUNK
            return shown, _squeezed(columns, fitted, shown, limit)
        shown.remove(optional[-1])


def _squeezed(columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], limit: int) -> list[int]:
    """On a very narrow terminal any text gives way, the widest first; figures and names that commands take stay."""
    fitted = list(widths)
    texts = [i for i in shown if not (columns[i].right or columns[i].names)]
    while sum(fitted[i] for i in shown) + len(_GAP) * (len(shown) - 1) > limit:
        widest = max(texts, key=lambda i: fitted[i], default=None)
        if widest is None or fitted[widest] <= _MIN_SQUEEZED:
            break
        fitted[widest] -= 1
    return fitted


def _print_line(console: Console, cells: Sequence[Text]) -> None:
    line = Text(_GAP).join(cells)
    line.rstrip()
    console.print(line, soft_wrap=True)
