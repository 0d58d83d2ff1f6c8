# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The demo with a private Slurm."""

from __future__ import annotations

from pathlib import Path

from tests.bridge import Bridge
from tests.demo.scene import Scene, SceneMissing, Wanted
from tests.market_world import CHIANG_MAI, SlurmSite, frontend
from tests.private_accounts import WorldMissing
from tests.private_slurm import PrivateSlurm, SlurmMissing

SECONDS_IN_QUEUE = 3
"""Jobs on an empty cluster start at once; they wait a little so that the queue is seen."""


class SlurmScene(Scene):
    """Four nodes."""

    title = "A private Slurm: 4 nodes, own ports, own munge, own configuration"
    submitting = "Jobs are submitted the usual way, with sbatch"
    submit_command = "sbatch"
    while_the_last_runs = "The last job runs into its time limit of one minute"
    seconds_for_all_ends = 240.0
    account_files = None
    jobs = (
        Wanted("succeeds", "sleep 3", (), "COMPLETED"),
        Wanted("fails", "sleep 2; exit 3", (), "FAILED", exit_code=3),
        Wanted("is-cancelled", "sleep 600", (), "CANCELLED", cancelled_by_us=True),
        Wanted("array", "sleep 2", ("--array=1-3",), "COMPLETED", members=3),
        Wanted("gpu", "sleep 3", ("--partition=gpu", "--gres=gpu:1"), "COMPLETED"),
        Wanted("too-long", "sleep 600", ("--time=1",), "TIMEOUT"),
    )

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.site: SlurmSite | None = None
        try:
            try:
                self.site = SlurmSite(directory / "north", cluster="north", nodes=4)
                self._slurm = self.site.slurm
            except WorldMissing:
                self._slurm = PrivateSlurm(directory / "slurm", nodes=4, cluster="north")
        except SlurmMissing as error:
            raise SceneMissing(str(error)) from error
        self._slurm.wait_nodes()

    def overview(self) -> str:
        """sinfo."""
        return self._slurm.run(["sinfo"])

    def bridge(self) -> Bridge:
        """A bridge to it."""
        if self.site is None:
            return Bridge(self._directory, environment=self._slurm.environment)
        return frontend(self._directory, self.site, cluster="north", location=CHIANG_MAI)

    def submit(self, job: Wanted) -> str:
        """sbatch."""
        return self._slurm.submit(job.command, f"--begin=now+{SECONDS_IN_QUEUE}", *job.arguments, name=job.name)

    def cancel(self, job_id: str) -> None:
        """scancel."""
        self._slurm.cancel(job_id)

    def a_job_to_try(self) -> str:
        """sbatch, with the private configuration."""
        return f"SLURM_CONF={self._slurm.configuration} sbatch --wrap 'sleep 10'"

    def close(self) -> None:
        """Ends every process of it."""
        (self.site or self._slurm).close()
