# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""cancel_jobs of Grid Engine, with a real one: all jobs of a username, nobody else's, and none is no failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.private_gridengine import PrivateGridEngine

SCRIPT = Path(__file__).parents[2] / "scheduler_scripts" / "gridengine" / "cancel_jobs"


def test_the_jobs_of_one_username_are_cancelled(private_gridengine: PrivateGridEngine) -> None:
    def cancel(environment: dict[str, str]) -> int:
        return subprocess.run([SCRIPT, "carol"], env=environment, capture_output=True, timeout=60, check=False).returncode

    environment = dict(private_gridengine.environment)
    mine = [private_gridengine.submit("sleep 1000", user="carol") for _ in range(2)]
    other = private_gridengine.submit("sleep 1000", user="bob")
    assert cancel(environment) == 0
    for job in mine:
        private_gridengine.wait_state(job, "")
    assert private_gridengine.state(other) != ""
    private_gridengine.cancel(other)
    assert cancel(environment) == 0
    assert cancel({**environment, "SGE_QMASTER_PORT": "1"}) != 0
