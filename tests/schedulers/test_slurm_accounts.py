# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The two programs that accounts need of Slurm, with a real one: who may submit, and that nothing of a username is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.private_slurm import PrivateSlurm

SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts" / "slurm"


def _run(slurm: PrivateSlurm, program: str, *, account: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**slurm.environment, **({"SLURM_ACCOUNT": account} if account else {})}
    return subprocess.run([SCRIPTS / program, "nobody"], env=environment, capture_output=True, text=True, timeout=60, check=False)


def _cancel(slurm: PrivateSlurm) -> None:
    """Until it is done, as account_close has it done."""
    for _ in range(20):
        if (cancelled := _run(slurm, "cancel_jobs")).returncode == 0:
            return
        assert "still ending" in cancelled.stderr
    raise AssertionError(cancelled.stderr)


def _members(slurm: PrivateSlurm) -> str:
    return slurm.run(["sacctmgr", "-nP", "show", "associations", "account=tenants", "user=nobody", "format=user"]).strip()


def test_a_username_is_taken_into_an_account_and_out_of_it_with_its_jobs_cancelled(private_slurm: PrivateSlurm) -> None:
    private_slurm.run(["sacctmgr", "-iQ", "add", "account", "tenants"])
    for _ in range(2):
        admitted = _run(private_slurm, "admit_user", account="tenants")
        assert (admitted.returncode, _members(private_slurm)) == (0, "nobody"), admitted.stderr
    mine = [private_slurm.submit("sleep 1000", user="nobody") for _ in range(2)]
    other = private_slurm.submit("sleep 1000")
    for _ in range(2):
        _cancel(private_slurm)
    assert {private_slurm.state(job) for job in mine} <= {"CANCELLED", ""}
    assert private_slurm.state(other) in {"PENDING", "RUNNING", "CONFIGURING"}
    private_slurm.cancel(other)
    for _ in range(2):
        assert (removed := _run(private_slurm, "cancel_jobs", account="tenants")).returncode == 0, removed.stderr
        assert _members(private_slurm) == ""
