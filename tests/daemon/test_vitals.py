# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Vitals of this very machine and process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from hpcbridge.daemon.vitals import read_frontend, read_process
from hpcbridge.model.clusters import Frontend


def test_frontend() -> None:
    frontend = read_frontend()
    assert frontend.load_hundredths is not None
    assert frontend.load_hundredths >= 0
    assert frontend.memory_used_bytes is not None
    assert 0 < frontend.memory_used_bytes < psutil.virtual_memory().total


def test_own_process(tmp_path: Path) -> None:
    before = read_process()
    assert before.resident_bytes is not None
    assert before.resident_bytes > 1_000_000
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    with (tmp_path / "open").open("w"):
        thread.start()
        during = read_process()
        leave.set()
        thread.join()
    assert during.threads == (before.threads or 0) + 1
    assert during.open_files == (before.open_files or 0) + 1


def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise psutil.AccessDenied

    def unknown() -> tuple[float, float, float]:
        raise OSError("Load averages are unobtainable")

    monkeypatch.setattr(psutil, "virtual_memory", denied)
    monkeypatch.setattr(psutil, "Process", denied)
    monkeypatch.setattr(os, "getloadavg", unknown)
    assert read_frontend() == Frontend(load_hundredths=None, memory_used_bytes=None)
    assert read_process().resident_bytes is None


def test_no_core_dumps_from_then_on() -> None:
    program = "import resource; from hpcbridge.daemon.vitals import forbid_core_dumps; forbid_core_dumps(); print(resource.getrlimit(4))"
    assert resource.RLIMIT_CORE == 4
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "(0, 0)\n"
