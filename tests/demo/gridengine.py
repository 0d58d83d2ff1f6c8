# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The demo with a private Grid Engine."""

from __future__ import annotations

import datetime
from pathlib import Path

from tests.bridge import Bridge
from tests.demo.scene import Scene, SceneMissing, Wanted
from tests.market_world import HAMBURG, GridEngineSite, frontend
from tests.private_accounts import WorldMissing
from tests.private_gridengine import GridEngineMissing

SECONDS_IN_QUEUE = 4
"""Jobs on an empty cluster start at once; they wait a little so that the queue is seen."""


class GridEngineScene(Scene):
    """Four hosts."""

    title = "A private Grid Engine: 4 hosts, each a network namespace with an address and a name of its own"
    submitting = "Jobs are submitted the usual way, with qsub, by alice, whom only these hosts know"
    submit_command = "qsub"
    while_the_last_runs = "The last job runs into its time limit of twenty seconds"
    seconds_for_all_ends = 240.0
    account_files = None
    jobs = (
        Wanted("succeeds", "sleep 3", (), "COMPLETED"),
        Wanted("fails", "sleep 2; exit 3", (), "FAILED", exit_code=3),
        # With five seconds' notice it is seen being deleted: of a kill that came at once nobody could say who sent it.
        Wanted("is-cancelled", "trap '' USR2; sleep 600", ("-notify",), "CANCELLED", cancelled_by_us=True),
        Wanted("array", "sleep 2", ("-t", "1-3"), "COMPLETED", members=3),
        Wanted("gpu", "sleep 3", ("-q", "gpu.q", "-l", "gpu=1"), "COMPLETED"),
        Wanted("too-long", "sleep 600", ("-l", "h_rt=20"), "TIMEOUT"),
    )

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            self.site = GridEngineSite(directory / "north", cluster="north", nodes=4)
        except (GridEngineMissing, WorldMissing) as error:
            raise SceneMissing(str(error)) from error
        self._gridengine = self.site.gridengine

    def overview(self) -> str:
        """qhost."""
        return self._gridengine.run(["qhost", "-q"])

    def bridge(self) -> Bridge:
        """A bridge to it."""
        return frontend(self._directory, self.site, cluster="north", location=HAMBURG)

    def submit(self, job: Wanted) -> str:
        """qsub."""
        begin = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=SECONDS_IN_QUEUE)
        return self._gridengine.submit(job.command, "-a", f"{begin:%Y%m%d%H%M.%S}", *job.arguments, name=job.name)

    def cancel(self, job_id: str) -> None:
        """qdel."""
        self._gridengine.cancel(job_id)

    def a_job_to_try(self) -> str:
        """qsub, in the private cluster."""
        settings = self._gridengine.environment
        environment = " ".join(f"{name}={settings[name]}" for name in settings if name.startswith("SGE_"))
        return f"{environment} {settings['PATH'].partition(':')[0]}/qsub -b y -o /dev/null -j y sleep 10"

    def close(self) -> None:
        """Ends every process of it."""
        self.site.close()
