# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""cancel_jobs of TORQUE and OpenPBS, with real scripts in place of qselect and qdel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.accounts.sites import CREATE, SCRIPTS


def _cancel(scheduler: str, tmp_path: Path, qselect: str) -> tuple[int, str]:
    """Its exit status, and what qdel was told."""
    for name, text in (("qselect", f'[ "$*" = "-u {CREATE.username}" ] || exit 9\n{qselect}'), ("qdel", f'echo "$*" >>{tmp_path}/told')):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = SCRIPTS / scheduler / "cancel_jobs"
    done = subprocess.run([script, CREATE.username], env=environment, cwd="/", capture_output=True, timeout=20, check=False)
    told = tmp_path / "told"
    return done.returncode, told.read_text() if told.exists() else ""


@pytest.mark.parametrize("scheduler", ["torque", "openpbs"])
def test_each_job_is_deleted_and_a_server_that_is_down_is_no_empty_list(scheduler: str, tmp_path: Path) -> None:
    assert _cancel(scheduler, tmp_path, "exit 0") == (0, "")
    assert _cancel(scheduler, tmp_path, "echo server down >&2; exit 111") == (111, "")
    assert _cancel(scheduler, tmp_path, "echo 12.server; echo '13[].server'") == (0, "12.server 13[].server\n")
