# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""From the bytes of a Slurm report to its records: did the query succeed, where does each record begin and end.

Names are printed raw, newlines included, so only the nonce of the header (or, for scontrol, the first key) says that a line begins
a record; every other line continues the name before it. A report that is cut off, or whose header is not the one asked for, is
rejected whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers import findings
from hpcbridge.schedulers.findings import stderr_of
from hpcbridge.schedulers.report import Report

_ERROR = re.compile(r"(?:^|[\s:])error\b", re.IGNORECASE | re.MULTILINE)


def check_success(report: Report) -> None:
    """Raises ScriptFailed unless the script ended with status 0."""
    if report.exit_status != 0:
        raise failed(report)


def failed(report: Report) -> ScriptFailed:
    """The error for a query that gave no answer."""
    # munge's advice about itself stands first and says nothing (recorded: 26.05.5/munge-down)
    said = "\n".join(line for line in stderr_of(report).splitlines() if "If munged is up" not in line)
    if not said:
        # scontrol says on standard output that the controller is down, in a frame of asterisks
        worded = [line for line in report.stdout[-256:].decode("utf-8", "replace").splitlines() if any(map(str.isalnum, line))]
        said = escape_text(worded[-1].strip("* ")) if worded else ""
    return findings.failed(report, said)


def complains(report: Report) -> bool:
    """True if standard error speaks of an error: an empty answer beside it proves nothing, exit status 0 or not."""
    return bool(_ERROR.search(stderr_of(report)))


def says_utc(report: Report) -> bool:
    """True if the command itself fixed the zone, so that times it printed as text are UTC."""
    return "TZ=UTC" in report.argv


def lines_of(report: Report) -> list[str]:
    """The lines, undecodable bytes as surrogates. Empty output or a last line without its end means: cut off, or nothing known."""
    if not report.stdout:
        if complains(report):
            raise failed(report)
        raise ReportUnreadable("nothing was printed, which does not prove that there is nothing")
    text = report.stdout.decode("utf-8", "surrogateescape")
    if not text.endswith("\n"):
        number = text.count("\n") + 1
        raise ReportUnreadable("cut off in a line", line_number=number, line=escape_text(text.rsplit("\n", 1)[-1]))
    lines = text[:-1].split("\n")
    if lines[0].endswith("\r") and all(line.endswith("\r") for line in lines):
        return [line[:-1] for line in lines]  # a terminal put one before every line end, so nothing is lost
    return lines


def blocks_of(lines: Sequence[str], first_key: str) -> Iterator[tuple[int, str]]:
    """Records of `scontrol -o`: from a line that begins with `first_key` to before the next; with line numbers from 1."""
    start = 0
    block: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.startswith(first_key):
            if block:
                yield start, "\n".join(block)
            start, block = number, [line]
        elif block:
            block.append(line)
        elif line.strip():
            raise ReportUnreadable(f"does not begin with {first_key}", line_number=number, line=escape_text(line))
    if not block:
        raise ReportUnreadable("only empty lines were printed, which does not prove that there is nothing", line_number=1, line="")
    yield start, "\n".join(block).rstrip("\n ")
