# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""cancel_jobs of TORQUE, OpenPBS and Slurm, with real scripts in place of the schedulers' programs."""

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


@pytest.mark.parametrize(("comes_again", "status"), [(0, 0), (3, 0), (1000, 1)])
def test_slurms_jobs_are_cancelled_until_none_is_left_that_could_submit_another(tmp_path: Path, comes_again: int, status: int) -> None:
    """A job that submits the next one goes on doing so for a moment after it was told to end."""
    programs = {
        "scancel": f'[ "$*" = "--full --user={CREATE.username}" ] || exit 9\necho >>{tmp_path}/cancelled',
        "squeue": f'[ "$(wc -l <{tmp_path}/cancelled)" -gt {comes_again} ] || echo 7',
        "sleep": "",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argv = [str(SCRIPTS / "slurm" / "cancel_jobs"), CREATE.username]
    done = subprocess.run(argv, env=environment, cwd="/", capture_output=True, timeout=20, check=False)
    assert (done.returncode, b"1 jobs are still ending" in done.stderr) == (status, status == 1)
    assert (tmp_path / "cancelled").read_text().count("\n") == min(comes_again + 1, 10)


def test_a_controller_of_slurm_that_does_not_answer_is_no_empty_queue(tmp_path: Path) -> None:
    for name, text in (("scancel", "exit 0"), ("squeue", "echo down >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argv = [str(SCRIPTS / "slurm" / "cancel_jobs"), CREATE.username]
    assert subprocess.run(argv, env=environment, cwd="/", capture_output=True, timeout=20, check=False).returncode == 1
