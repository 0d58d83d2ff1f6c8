# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Tables, facts and JSON: what a pipe gets, what fits a terminal, and that a stranger's text is only text."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpcbridge.ctl import output
from hpcbridge.ctl.output import NOTHING, Column, ago, clock, duration, moment_of_text, print_facts, print_json, print_table, share, size

COLUMNS = (
    Column(title="JOB"),
    Column(title="STATE", coloured=True),
    Column(title="CORES", right=True),
    Column(title="WHEN", optional=True),
    Column(title="NAME", shrink=True),
)
HOSTILE = "\x1b[2J\u202eevil\n57 RUNNING root\udc9b"


def test_a_pipe_gets_whole_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [("1", "RUNNING", 8, None, "x" * 300), ("22", "DONE", None, "now", "y")], empty="")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "JOB  STATE    CORES  WHEN  NAME",
        f"1    RUNNING      8  –     {'x' * 300}",
        "22   DONE         –  now   y",
    ]


def test_an_empty_table_says_so_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [], empty="No jobs.")
    assert tuple(capsys.readouterr()) == ("", "No jobs.\n")


def test_a_strangers_text_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [(HOSTILE, "DONE", 1, None, HOSTILE)], empty="")
    print_facts([("name", HOSTILE)])
    output.note(HOSTILE)
    output.print_line(HOSTILE)
    print_json({"name": "\x1b[2J\u202eevil\n"})
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2 + 1 + 1 + 3
    assert all(character.isprintable() or character == "\n" for character in told.out + told.err)
    assert "\\x1b[2J\\u202eevil\\x0a57 RUNNING root\\x9b" in told.out


def test_without_escaping_the_line_would_be_forged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(output, "escape_text", lambda text, **_: text)
    print_table(COLUMNS, [("1", "DONE", 1, None, "x\n57 RUNNING root")], empty="")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_markup_of_the_library_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [("[red]1[/]", "DONE", 1, None, ":smile:")], empty="")
    assert "[red]1[/]" in capsys.readouterr().out


def test_json_is_ascii_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "ü\x1b", "nothing": None})
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text) == {"name": "ü\x1b", "nothing": None}


def on_a_terminal(columns: int, *, environment: dict[str, str] | None = None) -> str:
    """What a program prints that believes to have a terminal."""
    program = (
        "from hpcbridge.ctl.output import *\n"
        "c=(Column(title='JOB'),Column(title='STATE',coloured=True),Column(title='WHEN',optional=True),Column(title='NAME',shrink=True))\n"
        "print_table(c,[('57714','RUNNING','2026-11-22 12:13:12','ok'*60),('1','DONE','2026-11-22 12:13:12','ok')],empty='')\n"
    )
    ours, theirs = pty.openpty()
    root = Path(__file__).resolve().parents[2]
    settings = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": str(columns), **(environment or {})}
    done = subprocess.run([sys.executable, "-c", program], stdout=theirs, cwd=root, env=settings, check=True)
    assert done.returncode == 0
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:  # Linux ends a pseudo terminal with an error
        pass
    finally:
        os.close(ours)
    return text.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [30, 40, 80, 120])
def test_a_table_fits_its_terminal(columns: int) -> None:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(columns)).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= columns for line in lines)
    assert lines[1].endswith("…")
    assert ("WHEN" in lines[0]) is (columns >= 80)


def test_colours_only_for_our_own_words_and_only_on_a_terminal() -> None:
    coloured = on_a_terminal(80)
    assert "\x1b[32mRUNNING" in coloured
    assert "\x1b[1;32mok" not in coloured
    assert "\x1b[32m" not in on_a_terminal(80, environment={"NO_COLOR": "1"})


def test_names_sort_as_people_count() -> None:
    names = ["n10", "n2", "", "25_[2-9%2]", "4_10", "4_2", "n", "٣"]
    assert sorted(names, key=output.natural) == ["", "4_2", "4_10", "25_[2-9%2]", "n", "n2", "n10", "٣"]


def test_figures_in_words() -> None:
    assert [duration(each) for each in (0, 59, 60, 3725, 90_000, None)] == ["0 s", "59 s", "1 min", "1 h 02 min", "1 d 1 h", NOTHING]
    assert [clock(each) for each in (0, 3671, 172_800, None)] == ["00:00:00", "01:01:11", "2-00:00:00", NOTHING]
    assert [size(each) for each in (0, 1023, 1024, 5_400_000, 256 << 30, None)] == [
        "0 B", "1023 B", "1 KiB", "5.15 MiB", "256 GiB", NOTHING,
    ]  # fmt: skip
    assert [share(*each) for each in ((1, 2), (None, None), (None, 4), (0, 0))] == ["1/2", NOTHING, "–/4", "0/0"]
    assert (ago(1000, 61_000), ago(61_000, 1000), ago(None, 0)) == ("1 min ago", "in 1 min", "never")
    assert (moment_of_text("2026-11-22T12:13:12.345Z"), moment_of_text(None)) == ("2026-11-22 12:13:12", NOTHING)
