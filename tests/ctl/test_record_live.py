# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl record` on the frontend of a real Slurm, running and down."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcbridge.ctl.main import cli
from tests.private_slurm import PrivateSlurm, SlurmMissing, check_machine

pytestmark = pytest.mark.slurm
SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSlurm]:
    try:
        check_machine()
    except SlurmMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with PrivateSlurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def test_a_recording_of_a_real_cluster(slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    secret = "secretname"
    job_id = slurm.submit("sleep 60", name=secret + "\nJobId=1")
    slurm.wait_state(job_id, "RUNNING")
    for folder in ("running", "down"):
        done = CliRunner().invoke(cli, ["record", str(tmp_path / folder), "--scheduler", "slurm", "--scripts", str(SCRIPTS), "-o", "json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["anonymised"]["differences"] == []
        texts = b"".join(path.read_bytes() for path in (tmp_path / folder).iterdir())
        assert secret.encode() not in texts
        assert f" at {os.uname().nodename} is".encode() not in texts  # scontrol ping names the controller's host
        answer = json.loads(CliRunner().invoke(cli, ["parse", str(tmp_path / folder)]).stdout)
        if folder == "running":
            assert [job["job_id"] for job in answer["jobs"]] == [job_id]
            slurm.cancel(job_id)
            slurm.stop_controller()
        else:
            assert answer["jobs"] is None
            assert "jobs" in {problem["query"] for problem in answer["problems"]}
