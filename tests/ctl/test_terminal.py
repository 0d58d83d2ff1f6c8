# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The command on a real terminal: watching, bars, widths, locales, completion; and that none of it reaches a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ctl_network import Network
from tests.replayed_scheduler import replay

ROOT = Path(__file__).resolve().parents[2]
CASE = next(iter(sorted((ROOT / "tests" / "recorded" / "slurm" / "22.05.8").glob("*/meta.json")))).parent
ALTERNATE, BACK = b"\x1b[?1049h", b"\x1b[?1049l"
BAR = "━".encode()
LONG = 60.0


class Terminal:
    """A process of hpcbridgectl with a terminal of its own, and what came out of it so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master = process, master
        self.shown = b""

    def wait_for(self, wanted: bytes, *, times: int = 1) -> None:
        deadline = time.monotonic() + LONG
        while self.shown.count(wanted) < times:
            assert self._read(deadline), f"{wanted!r} never came: {self.shown!r}"

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        deadline = time.monotonic() + LONG
        while self._read(deadline):
            pass
        return self.process.wait(LONG)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown.decode(errors="replace"))

    def _read(self, deadline: float) -> bool:
        """False at the end of the terminal, or of the patience."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            piece = os.read(self._master, 65536) if ready else b""
        except OSError:  # EIO: the other side is closed
            piece = b""
        self.shown += piece
        return bool(piece)


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm-256color", **more}


@contextmanager
def terminal(home: Path, *arguments: str, width: int = 80, more: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    argv = ["setsid", "--ctty", sys.executable, "-m", "hpcbridge.ctl.main", *arguments]  # setsid(1) becomes the program
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment(home, **(more or {})))
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def in_a_pipe(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "hpcbridge.ctl.main", *arguments]
    return subprocess.run(argv, capture_output=True, check=False, cwd=ROOT, env=environment(home, **more), stdin=subprocess.DEVNULL)


def as_root(network: Network, *arguments: str) -> tuple[str, ...]:
    return ("--identity", str(network.identity("root")), *arguments)


def test_watching_shows_it_again_and_ends_with_ctrl_c(network: Network, tmp_path: Path) -> None:
    with terminal(tmp_path, *as_root(network, "ledger", "status", "-n", "0.5")) as screen:
        screen.wait_for(ALTERNATE)
        screen.wait_for(b"every 0.5 s, Ctrl-C ends")
        screen.wait_for(b"The ledger")
        screen.wait_for(b"Ctrl-C ends", times=3)
        screen.type(b"\x03")
        assert screen.end() == 0
    after = screen.shown.rpartition(BACK)[2].decode()
    assert "The ledger" in after, "the last answer stays"
    assert "Ctrl-C ends" not in after


def test_what_is_away_is_shown_and_tried_again(tmp_path: Path) -> None:
    with terminal(tmp_path, "spool", "show", "-n", "0.5") as screen:
        screen.wait_for(b"no hpcbridged on this machine", times=2)
        screen.type(b"\x03")
        assert screen.end() == 0


def test_what_does_not_pass_ends_the_watching(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("no toml")
    with terminal(tmp_path, "--config", str(broken), "spool", "show", "--watch") as screen:
        assert screen.end() == 78
    assert "not TOML" in screen.shown.rpartition(BACK)[2].decode()


@pytest.mark.parametrize("arguments", [("spool", "show", "--watch"), ("-o", "json", "spool", "show", "-n", "1")], ids=["pipe", "json"])
def test_there_is_nothing_to_watch_in_a_pipe(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = in_a_pipe(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--watch is for a terminal" in done.stderr


def test_a_terminal_that_cannot_draw_gets_one_answer_below_the_other(network: Network, tmp_path: Path) -> None:
    with terminal(tmp_path, *as_root(network, "ledger", "status", "-n", "0.5"), more={"TERM": "dumb"}) as screen:
        screen.wait_for(b"checkpoint", times=2)
        screen.type(b"\x03")
        assert screen.end() == 0
    assert b"\x1b" not in screen.shown


def test_bars_are_for_terminals(network: Network, tmp_path: Path) -> None:
    with terminal(tmp_path, *as_root(network, "ledger", "verify")) as screen:
        assert screen.end() == 0
    assert b"verifying" in screen.shown
    assert BAR in screen.shown
    done = in_a_pipe(tmp_path, *as_root(network, "ledger", "verify"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"verifying" not in done.stdout


def test_recording_tells_what_it_asks(tmp_path: Path) -> None:
    scheduler = replay(CASE, tmp_path / "scripts")
    options = ("--scheduler", scheduler, "--scripts", str(tmp_path / "scripts"))
    with terminal(tmp_path, "record", str(tmp_path / "seen"), *options) as screen:
        assert screen.end() in (0, 65)
    assert b"asking about" in screen.shown
    done = in_a_pipe(tmp_path, "record", str(tmp_path / "piped"), *options)
    assert b"asking" not in done.stdout + done.stderr


@pytest.mark.parametrize("width", [40, 200])
def test_no_line_is_wider_than_the_terminal(network: Network, tmp_path: Path, width: int) -> None:
    for command in (("ledger", "status"), ("admin", "members")):
        with terminal(tmp_path, *as_root(network, *command), width=width) as screen:
            screen.end()
        assert max(map(len, screen.text.splitlines())) <= width, screen.text


def test_lines_wrap_at_words_under_their_beginning(network: Network, tmp_path: Path) -> None:
    with terminal(tmp_path, *as_root(network, "ledger", "status"), width=60) as screen:
        screen.end()
    lines = screen.text.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("checkpoint"))
    assert lines[place].rstrip().endswith("continues what was")
    assert lines[place + 1] == "            seen before"
    assert b"continues what was seen before\n" in in_a_pipe(tmp_path, *as_root(network, "ledger", "status")).stdout


def test_a_plain_locale_gets_plain_signs(network: Network, tmp_path: Path) -> None:
    for run in (("admin", "members"), ("ledger", "verify")):
        with terminal(tmp_path, *as_root(network, *run), width=120, more={"LANG": "C"}) as screen:
            screen.end()
        assert screen.shown.isascii(), screen.shown
    piped = in_a_pipe(tmp_path, *as_root(network, "admin", "members"), LC_ALL="POSIX").stdout
    assert piped.isascii()
    assert b"-" in piped
    assert "–".encode() in in_a_pipe(tmp_path, *as_root(network, "admin", "members")).stdout, "where it can be shown it is"


def test_colours_are_for_those_who_want_them(network: Network, tmp_path: Path) -> None:
    colour = re.compile(rb"\x1b\[[0-9;]*3[1-6]m")
    with terminal(tmp_path, *as_root(network, "status")) as screen:
        screen.end()
    assert colour.search(screen.shown)
    with terminal(tmp_path, *as_root(network, "status"), more={"NO_COLOR": "1"}) as screen:
        screen.end()
    assert not colour.search(screen.shown)
    assert b"\x1b" not in in_a_pipe(tmp_path, *as_root(network, "status")).stdout


def completed(home: Path, words: str, **more: str) -> list[str]:
    names = {"_HPCBRIDGECTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), **more}
    program = "from hpcbridge.ctl.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=environment(home, **names)
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_a_tab_completes_what_was_listed(network: Network, tmp_path: Path) -> None:
    in_a_pipe(tmp_path, *as_root(network, "admin", "members"))
    assert completed(tmp_path, "hpcbridgectl admin approve ro") == [], "a program's listing is nobody's reading"
    with terminal(tmp_path, *as_root(network, "admin", "members")) as screen:
        assert screen.end() == 0
    assert completed(tmp_path, "hpcbridgectl admin approve ro") == ["root"]
    kept = tmp_path / ".cache" / "hpcbridge" / "names.json"
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_text(json.dumps({"member": ["root", 7, "x y"], "cluster": "none"}))
    assert completed(tmp_path, "hpcbridgectl admin approve ro") == ["root"]
    kept.write_text("[1]")
    assert completed(tmp_path, "hpcbridgectl admin approve ro") == []


def test_a_tab_without_a_daemon_or_with_a_broken_file_is_silent(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("no toml")
    assert completed(tmp_path, "hpcbridgectl jobs show 4") == []
    assert completed(tmp_path, f"hpcbridgectl --config {broken} jobs show 4") == []
    assert completed(tmp_path, "hpcbridgectl admin parameters set offer_l") == ["offer_life_ms="]


def test_a_listing_is_shown_where_its_names_cannot_be_kept(network: Network, tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("a file where a folder would be")
    with terminal(tmp_path, *as_root(network, "admin", "members")) as screen:
        assert screen.end() == 0
    assert "root" in screen.text
