# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The demo with a scheduler that is there already: two short harmless jobs of one's own, and nothing else is asked of it than to look.

Which one is found by its commands, or named by SCHEDULER_NAME, or read, with the environment its scripts need, from the configuration
of a hpcbridged that CONFIG names. Other people's jobs are not published, not even to the ledger of the demo.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.config import load_agent_config
from hpcbridge.errors import HpcbridgeError
from hpcbridge.schedulers import SCHEDULERS
from tests.bridge import ROOT, Bridge
from tests.demo.scene import Scene, SceneMissing, Wanted

ENVIRONMENT = ("PATH", "SLURM_CONF", "SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "PBS_CONF_FILE",
               "PBS_SERVER", "PBS_DEFAULT")  # fmt: skip
"""What a scheduler's commands may need of the caller's environment."""
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Commands:
    """How one scheduler is spoken to. `submit` makes the arguments for a job; the script goes to standard input if `on_stdin`."""

    needed: Sequence[str]
    overview: Sequence[str]
    cancel: str
    submit: Callable[[Wanted], list[str]]
    on_stdin: bool


_PBS = _Commands(
    needed=("qsub", "qdel", "qstat", "pbsnodes"),
    overview=("qstat", "-Q"),
    cancel="qdel",
    submit=lambda job: ["qsub", "-N", job.name, "-l", "walltime=00:02:00", "-o", "/dev/null", "-e", "/dev/null"],
    on_stdin=True,
)
_COMMANDS: Mapping[str, _Commands] = {
    "slurm": _Commands(
        needed=("sbatch", "scancel", "squeue", "sinfo"),
        overview=("sinfo",),
        cancel="scancel",
        submit=lambda job: [
            "sbatch",
            "--parsable",
            f"--job-name={job.name}",
            "--time=2",
            "--chdir=/tmp",
            "--output=/dev/null",
            "--wrap",
            job.command,
        ],
        on_stdin=False,
    ),
    "gridengine": _Commands(
        needed=("qsub", "qdel", "qstat", "qconf"),
        overview=("qhost",),
        cancel="qdel",
        submit=lambda job: [
            "qsub",
            "-terse",
            "-N",
            job.name,
            "-l",
            "h_rt=120",
            "-S",
            "/bin/sh",
            "-wd",
            "/tmp",
            "-o",
            "/dev/null",
            "-j",
            "y",
        ],
        on_stdin=True,
    ),
    "openpbs": _PBS,
    "torque": _PBS,
}


class ExistingScene(Scene):
    """A scheduler of this machine, asked with its own commands as the user who runs this."""

    submit_command = "submit"
    while_the_last_runs = "One job is left"
    seconds_for_all_ends = 600.0
    account_files = None
    site = None
    jobs = (
        Wanted("hpcbridge-demo1", "sleep 5", (), "COMPLETED", exit_code=0),
        Wanted("hpcbridge-demo2", "sleep 3; exit 3", (), "FAILED", exit_code=3),
    )

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        self._scripts = ROOT / "scheduler_scripts"
        self.name = self._choose()
        self._commands = _COMMANDS[self.name]
        self._user = pwd.getpwuid(os.getuid()).pw_name
        self._submitted: list[str] = []
        self.title = f"A scheduler that is there already: {self.name}. It is left as it is"
        first, second = self.jobs
        self.submitting = (
            f"Two jobs of {self._user} are submitted, of one core and at most two minutes: '{first.command}' and '{second.command}'. "
            "They write nothing; what is left of them is deleted at the end"
        )
        self.submit_command = self._commands.needed[0]
        overview = self._run(self._commands.overview)
        if overview.returncode != 0:
            raise SceneMissing(f"{self.name} does not answer: {_said(overview)}")
        self._overview = overview.stdout

    def overview(self) -> str:
        """What its own command says."""
        return self._overview

    def bridge(self) -> Bridge:
        """A bridge to it; only one's own jobs are published."""
        return Bridge(self._directory, scheduler=self.name, scripts=self._scripts, environment=self._environment, publish="tenants",
                      publish_owners=(self._user,), interval=2)  # fmt: skip

    def submit(self, job: Wanted) -> str:
        """The scheduler's own command."""
        script = f"#!/bin/sh\n{job.command}\n" if self._commands.on_stdin else None
        done = self._run(self._commands.submit(job), given=script)
        if done.returncode != 0:
            raise SceneMissing(f"{self.name} does not take a job of {self._user}: {_said(done)}")
        job_id = done.stdout.strip().partition(";")[0].partition(".")[0]
        self._submitted.append(job_id)
        return job_id

    def cancel(self, job_id: str) -> None:
        """The scheduler's own command; a job that is over is none of its business any more."""
        self._run([self._commands.cancel, job_id])

    def a_job_to_try(self) -> str:
        """The same command by hand."""
        return f"{self.submit_command} …, as always"

    def close(self) -> None:
        """Deletes what is left of our jobs."""
        for job_id in self._submitted:
            self.cancel(job_id)

    def _choose(self) -> str:
        """The scheduler that is named, else the only one whose commands are all there."""
        config = os.environ.get("CONFIG", "")
        if config:
            try:
                section = load_agent_config(Path(config)).scheduler
            except HpcbridgeError as error:
                raise SceneMissing(str(error)) from error
            self._environment |= section.environment
            self._scripts = section.scripts
        name = section.name if config else os.environ.get("SCHEDULER_NAME", "")
        if name:
            if name not in _COMMANDS:
                raise SceneMissing(f"{name!r} is no scheduler this demo can submit to; it can to {', '.join(sorted(_COMMANDS))}")
            return name
        found = [name for name in sorted(_COMMANDS) if name in SCHEDULERS and self._has(name)]
        if not found:
            raise SceneMissing("no scheduler's commands are in the PATH: is this a login node? (or: SCHEDULER_NAME=…, or CONFIG=…)")
        if len(found) > 1:
            raise SceneMissing(f"commands of several schedulers are in the PATH ({', '.join(found)}): say which with SCHEDULER_NAME=…")
        return found[0]

    def _has(self, name: str) -> bool:
        """True if the commands are there and something answers them; OpenPBS and TORQUE differ in how they call themselves."""
        commands = _COMMANDS[name]
        if any(shutil.which(command, path=self._environment.get("PATH")) is None for command in commands.needed):
            return False
        if commands is _PBS:
            says_pbs = "pbs_version" in _said(self._run(["qstat", "--version"]))
            if says_pbs != (name == "openpbs"):
                return False
        return self._run(commands.overview).returncode == 0

    def _run(self, argv: Sequence[str], *, given: str | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(argv, input=given or "", capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS,
                                  env={**os.environ, **self._environment})  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(list(argv), 127, "", str(error))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr + done.stdout).strip() or f"{done.args[0]}: exit status {done.returncode}"
