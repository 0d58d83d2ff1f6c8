# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The demo without a scheduler and without root: this machine is the cluster, your sessions are its jobs."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
import threading
from pathlib import Path

from tests.bridge import ROOT, Bridge
from tests.demo.scene import Scene, Wanted
from tests.market_world import RATES

SECONDS_AS_ZOMBIE = 4
"""A shell takes the exit status of its children at once, and on a kernel before 6.15 nobody else sees it then. Here it stays a while."""


class LocalScene(Scene):
    """Each job is a process in a session of its own (setsid) that calls itself by the job's name."""

    title = "No scheduler: this machine is the one node, and each session of yours counts as a job"
    submitting = "Jobs are started in sessions of their own, with setsid. Nothing waits here: what is started runs"
    submit_command = "setsid"
    while_the_last_runs = "The last job still runs"
    seconds_for_all_ends = 120.0
    site = None

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.account_files = directory / "accounts"
        self.account_files.mkdir(parents=True)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._collectors: list[threading.Thread] = []
        self._closing = threading.Event()
        hidden = not _success_is_seen()
        if hidden:
            self.submitting += ". This kernel tells root alone that a job ended with 0, so a good end may stay unknown"
        self.jobs = (
            Wanted("succeeds", "sleep 6", ("jobs/succeeds",), "COMPLETED", exit_code=0, or_unknown=hidden),
            Wanted("fails", "sleep 4; exit 3", ("jobs/fails",), "FAILED", exit_code=3),
            # Who sent a signal is not to be seen: what ended by one failed.
            Wanted("is-killed", "sleep 600", ("jobs/is-killed",), "FAILED", cancelled_by_us=True, exit_signal=signal.SIGTERM),
            Wanted("takes-longer", "sleep 15", ("jobs/takes-longer",), "COMPLETED", exit_code=0, or_unknown=hidden),
        )

    def overview(self) -> str:
        """The host and its load."""
        return subprocess.run(["uptime"], capture_output=True, text=True, check=False).stdout or os.uname().nodename

    def bridge(self) -> Bridge:
        """A bridge that watches the sessions of who runs this."""
        settings = {
            "owners": [pwd.getpwuid(os.getuid()).pw_name],
            "accounts": "direct",
            "accounts_scripts": str(ROOT / "scheduler_scripts" / "accounts" / "files"),
        }
        environment = {"ACCOUNTS_DIRECTORY": str(self.account_files)}
        return Bridge(self._directory, scheduler="local", settings=settings, environment=environment, rates=RATES)

    def submit(self, job: Wanted) -> str:
        """Starts it, and sees to it that it is collected."""
        script = self._directory / "jobs" / job.name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{job.command}\n")
        script.chmod(0o755)
        process = subprocess.Popen([script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        self._started[str(process.pid)] = process
        collector = threading.Thread(target=self._collect, args=(process,), daemon=True)
        self._collectors.append(collector)
        collector.start()
        return str(process.pid)

    def cancel(self, job_id: str) -> None:
        """Ends the session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(job_id), signal.SIGTERM)

    def a_job_to_try(self) -> str:
        """Any session of one's own."""
        return "setsid sleep 10"

    def close(self) -> None:
        """Ends what still runs of the jobs."""
        self._closing.set()
        for job_id, process in self._started.items():
            if process.returncode is None:
                self.cancel(job_id)
        for collector in self._collectors:
            collector.join()

    def _collect(self, process: subprocess.Popen[bytes]) -> None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._closing.wait(SECONDS_AS_ZOMBIE)
        process.wait()


def _success_is_seen() -> bool:
    """True if everybody is told the exit status of any process (pidfd, Linux 6.15), or we are root, who may look at zombies."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return os.geteuid() == 0 or (release is not None and (int(release[1]), int(release[2])) >= (6, 15))
