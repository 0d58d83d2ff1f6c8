# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A Slurm that costs almost nothing and is large: munged and slurmctld alone, 2,000 cloud nodes, 20,000 jobs. For benchmarks.

No node daemon exists: jobs that were given nodes stay CONFIGURING. Everything lies under one directory, as with
tests/private_slurm.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.ports import free_ports
from tests.private_slurm import check_machine, end_process, kill_tree_of, munged_argv, wait_until, write_munge_key

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ScaleSlurm:
    """A running slurmctld with `nodes` cloud nodes of 128 CPUs; `submit_jobs` fills it."""

    def __init__(self, directory: Path, *, nodes: int = 2_000, cluster: str = "scale") -> None:
        check_machine()
        self.directory = directory.absolute()
        self.nodes = nodes
        self.configuration = self.directory / "slurm.conf"
        self._cluster = cluster
        self._sockets = Path(tempfile.mkdtemp(prefix="hpcbridge-scale-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        for folder in ("state", "munge"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> Mapping[str, str]:
        """For ScriptRunner and for commands."""
        return {"PATH": _PATH, "SLURM_CONF": str(self.configuration)}

    @property
    def controller_pid(self) -> int:
        """Process id of slurmctld, to see what our polling costs it."""
        return self._processes[-1].pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run(self, argv: Sequence[str]) -> str:
        """Runs a command of this Slurm and returns its standard output."""
        environment = {**self.environment, "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=120).stdout.decode()

    def submit_jobs(self, count: int = 20_000, *, running: int = 2_000) -> None:
        """Fills the cluster with `count` records: `running` members of an array that are given nodes, the others held.

        One sbatch for each would take minutes. Members of a held array become records of their own when they get another name
        (squeue joins pending members that look the same), and one scontrol does that for all of them.
        """
        script = self.directory / "job.sh"
        script.write_text("#!/bin/sh\nsleep 100000\n")
        base = ["sbatch", "--parsable", "--chdir=/tmp", "--output=/dev/null"]
        held = self.run([*base, "--hold", f"--array=1-{count - running}", "--ntasks=2", "--mem=500", str(script)]).strip()
        renames = "".join(f"update JobId={held}_{number} JobName=waiting-{number}\n" for number in range(1, count - running + 1))
        subprocess.run(["scontrol"], input=renames.encode(), env=self.environment, capture_output=True, check=True, timeout=300)
        self.run([*base, "--job-name=running", f"--array=1-{running}", "--ntasks=4", "--mem=1000", str(script)])
        wait_until(lambda: self.count_records() >= count, timeout=180, what=f"{count} records")

    def count_records(self) -> int:
        """Records that squeue prints."""
        return self.run(["squeue", "-h", "-a", "-t", "all", "-o", "%i"]).count("\n")

    def close(self) -> None:
        """Ends both daemons; there are no others."""
        for process in reversed(self._processes):
            end_process(process)
        self._processes.clear()
        kill_tree_of(self.configuration)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _start(self) -> None:
        write_munge_key(self.directory / "munge" / "munge.key")
        self.configuration.write_text(self._slurm_conf())
        self._spawn(munged_argv(self.directory / "munge", self._sockets / "munge"))
        wait_until((self._sockets / "munge").exists, timeout=10, what="munged")
        self._spawn(["slurmctld", "-D", "-f", str(self.configuration)])
        wait_until(self._answers, timeout=30, what="slurmctld")

    def _answers(self) -> bool:
        return subprocess.run(["scontrol", "ping"], env=self.environment, capture_output=True, check=False).returncode == 0

    def _spawn(self, argv: Sequence[str]) -> None:
        with (self.directory / f"{argv[0]}.out").open("ab") as log:
            self._processes.append(
                subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            )

    def _slurm_conf(self) -> str:
        port, node_port = free_ports(2)
        names = f"n[0001-{self.nodes:04d}]"
        size = "CPUs=128 Sockets=2 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=512000"
        return "\n".join(
            [
                f"ClusterName={self._cluster}",
                "SlurmctldHost=localhost",
                "SlurmUser=root",
                "AuthType=auth/munge",
                f"AuthInfo=socket={self._sockets / 'munge'}",
                f"SlurmctldPort={port}",
                f"SlurmdPort={node_port}",
                f"StateSaveLocation={self.directory}/state",
                f"SlurmdSpoolDir={self.directory}/spool-%n",
                f"SlurmctldPidFile={self.directory}/slurmctld.pid",
                f"SlurmctldLogFile={self.directory}/slurmctld.log",
                "SlurmctldDebug=error",
                "SlurmctldTimeout=3600",
                "SlurmdTimeout=0",
                "MinJobAge=10",
                "MaxJobCount=200000",
                "MaxArraySize=100001",
                "ProctrackType=proctrack/linuxproc",
                "TaskPlugin=task/none",
                "MpiDefault=none",
                "SchedulerType=sched/backfill",
                "SchedulerParameters=batch_sched_delay=0,sched_interval=1,max_sched_time=20,default_queue_depth=100000,bf_interval=3600",
                "SelectType=select/cons_tres",
                "SelectTypeParameters=CR_Core_Memory",
                "PriorityType=priority/basic",
                "AccountingStorageType=accounting_storage/none",
                "JobAcctGatherType=jobacct_gather/none",
                "TreeWidth=65533",
                "SuspendProgram=/bin/true",
                "ResumeProgram=/bin/true",
                "ResumeTimeout=3600",
                "SuspendTime=-1",
                f"NodeName={names} NodeAddr=127.0.0.1 NodeHostname=localhost {size} State=CLOUD",
                f"PartitionName=main Default=YES Nodes={names} MaxTime=3-00:00:00",
                "PrivateData=cloud",
                "",
            ]
        )


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
