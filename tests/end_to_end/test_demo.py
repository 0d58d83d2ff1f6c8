# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""make demo with the schedulers that no other end-to-end test has: this machine alone, and one that is there already."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.text import Text

from tests.bridge import ROOT
from tests.private_gridengine import PrivateGridEngine
from tests.private_gridengine import check_machine as check_gridengine
from tests.private_slurm import PrivateSlurm
from tests.private_slurm import check_machine as check_slurm

SUCCESS = "Done: every change arrived, every receipt and the whole log verified."
_COLOURFUL = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, "TERM": "xterm-256color", "COLUMNS": "100"}


def _demo(scheduler: str, directory: Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Played as people play it, on a terminal with colours; returns the exit status and what stood there, without the colours."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.demo.run", scheduler],
            cwd=ROOT,
            env={**_COLOURFUL, **(environment or {}), "DEMO_DIRECTORY": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    chunks: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, chunks), daemon=True)
    reader.start()
    try:
        status = process.wait(timeout=400)
    finally:
        process.kill()  # nothing, if it has ended
        process.wait()
        reader.join(timeout=10)
        os.close(ours)
    said = b"".join(chunks).decode(errors="replace").replace("\r\n", "\n")
    assert "\x1b[" in said, "a terminal has colours"
    return status, Text.from_ansi(said).plain


def _read(terminal: int, chunks: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # how Linux says that nobody has the other end open any more
        while chunk := os.read(terminal, 65_536):
            chunks.append(chunk)


def test_an_unknown_scheduler_is_told_with_the_known_ones(tmp_path: Path) -> None:
    for argv in ([sys.executable, "-m", "tests.demo.run", "lsf"], ["tests/demo/prepare", "lsf"]):
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "SCHEDULER=lsf" in done.stdout + done.stderr
        assert "existing" in done.stdout + done.stderr


def test_the_demo_of_this_machine_alone(tmp_path: Path) -> None:
    status, said = _demo("local", tmp_path / "demo")
    assert (status, SUCCESS in said) == (0, True), said
    for name, end in (("succeeds", "exit 0"), ("fails", "exit 3"), ("is-killed", "signal 15"), ("takes-longer", "exit 0")):
        assert [line for line in said.splitlines() if name in line and end in line and "included, accepted" in line], said
    market = said.partition("THE MARKET")[2]
    for step in ("which is the hash of that passcode", "closed", "REFUND", "all as counted here"):
        assert step in market, said


def test_no_scheduler_that_is_there_is_said(tmp_path: Path) -> None:
    python = f"{Path(sys.executable).parent}"
    status, said = _demo("existing", tmp_path / "demo", {"PATH": python})
    assert status == 1
    assert "no scheduler's commands are in the PATH" in said


def test_an_existing_scheduler_must_be_one_we_can_submit_to(tmp_path: Path) -> None:
    status, said = _demo("existing", tmp_path / "demo", {"SCHEDULER_NAME": "lsf"})
    assert status == 1
    assert "slurm" in said


@pytest.mark.full
@pytest.mark.slurm
@pytest.mark.gridengine
@pytest.mark.parametrize("scheduler", ["slurm", "gridengine"])
def test_the_demo_with_its_market(scheduler: str, tmp_path: Path) -> None:
    check_slurm()
    check_gridengine()
    status, said = _demo(scheduler, tmp_path / "demo")
    assert (status, SUCCESS in said) == (0, True), said
    steps = ("Submitted batch job", "has been submitted", "NODE_FAILED", "the passcode is refused", "REFUND", "all as counted here")
    assert [step for step in steps if step not in said] == []
    assert all(len(line) <= 120 for line in said.partition("THE MARKET")[2].splitlines()), "nothing that a terminal would break in pieces"


@pytest.mark.full
@pytest.mark.slurm
def test_the_demo_of_a_slurm_that_is_there(tmp_path: Path) -> None:
    check_slurm()
    with PrivateSlurm(tmp_path / "slurm", nodes=2) as slurm:
        other = slurm.submit("sleep 1000", name="of-somebody", user="nobody")
        slurm.wait_state(other, "RUNNING")
        status, said = _demo("existing", tmp_path / "demo", slurm.environment)
        assert (status, SUCCESS in said) == (0, True), said
        assert "of-somebody" not in said
        assert slurm.state(other) == "RUNNING"


@pytest.mark.full
@pytest.mark.gridengine
def test_the_demo_of_a_grid_engine_that_is_there(tmp_path: Path) -> None:
    check_gridengine()
    with PrivateGridEngine(tmp_path / "gridengine") as gridengine:
        other = gridengine.submit("sleep 1000", name="of-somebody")
        gridengine.wait_state(other, "r")
        status, said = _demo("existing", tmp_path / "demo", gridengine.environment)
        assert (status, SUCCESS in said) == (0, True), said
        assert "of-somebody" not in said
        assert gridengine.state(other) == "r"
