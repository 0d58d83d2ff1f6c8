# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A Slurm that says what a test wants: real collecting scripts that print real report formats from files the test writes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hpcbridge.schedulers.slurm.columns import SACCT_HEADER, SQUEUE_HEADER

NONCE = "0badcafe"
START = 1_795_349_000

ABOUT = """\
slurm-wlm 22.05.8
Slurmctld(primary) at test is UP
Configuration data as of 1795349807
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = test
MinJobAge               = 300 sec
"""
NODE = (
    "NodeName={name} Arch=x86_64 CoresPerSocket=4  CPUAlloc={used} CPUEfctv=8 CPUTot=8 CPULoad=0.15 Gres=(null) GresDrain=N/A"
    " GresUsed=gpu:0 NodeAddr=127.0.0.1 NodeHostName=c Port=17001 Version=22.05.8 OS=Linux  RealMemory=4000 AllocMem=0 FreeMem=21985"
    " Sockets=2 Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=batch  BootTime=1795343162"
    " SlurmdStartTime=1795349586 LastBusyTime=1795349586 CfgTRES=cpu=8,mem=4000M,billing=8 AllocTRES=cpu={used} CapWatts=n/a\n"
)
QUEUE = (
    "PartitionName=batch AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A DefaultTime=00:30:00"
    " DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO"
    " MaxCPUsPerNode=UNLIMITED Nodes=c[1-2] PriorityJobFactor=1 PriorityTier=10 RootOnly=NO ReqResv=NO OverSubscribe=NO"
    " OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=16 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null)"
    " DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=16,mem=8000M,node=2,billing=16\n"
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One job as squeue and sacct would print it."""

    job_id: str
    state: str = "RUNNING"
    owner: str = "alice"
    submitted: int = START
    started: int | None = START + 1
    ended: int | None = None
    restarts: int = 0
    exit_text: str = "0"
    name: str = "job"


class ScriptedSlurm:
    """Folder of scripts in `directory`; every write replaces a whole report at once."""

    def __init__(self, directory: Path) -> None:
        self.scripts = directory / "scripts"
        self.reports = directory / "reports"
        (self.scripts / "slurm").mkdir(parents=True)
        self.reports.mkdir()
        for query in ("about", "jobs", "ended", "ended_fallback", "nodes", "queues"):
            self.script(query, f'cat "{self.reports}/{query}"')
        self.report("about", ABOUT)
        self.report("queues", QUEUE)
        self.nodes({"c1": "MIXED", "c2": "IDLE"})
        self.jobs(())
        self.ended(())
        self.script("ended_fallback", "echo down >&2; exit 1")

    def script(self, query: str, body: str) -> None:
        """Replaces a script; `body` is sh."""
        path = self.scripts / "slurm" / query
        new = path.with_suffix(".new")
        new.write_text(f"#!/bin/sh\n{body}\n")
        new.chmod(0o755)
        new.replace(path)

    def works(self, query: str) -> None:
        """The script prints its report again."""
        self.script(query, f'cat "{self.reports}/{query}"')

    def report(self, query: str, text: str) -> None:
        """Replaces what a script prints."""
        new = self.reports / f"{query}.{os.getpid()}"
        new.write_text(text)
        new.replace(self.reports / query)

    def jobs(self, lines: Iterable[Line]) -> None:
        """What squeue says."""
        self.report("jobs", squeue(lines))

    def ended(self, lines: Iterable[Line]) -> None:
        """What sacct says, whatever was asked for."""
        self.report("ended", sacct(lines))

    def nodes(self, states: dict[str, str]) -> None:
        """What `scontrol show node` says."""
        lines = [NODE.format(name=name, state=state, used=4 if state == "MIXED" else 0) for name, state in states.items()]
        self.report("nodes", "".join(lines))


def squeue(lines: Iterable[Line], *, nonce: str = NONCE) -> str:
    """A report of `jobs`."""
    rows = [f"TIME|{nonce}|" + "|".join(SQUEUE_HEADER)]
    for line in lines:
        base, _, task = line.job_id.partition("_")
        node = "" if line.state == "PENDING" else "c1"
        member = task.strip("[]") or "N/A"
        raw_id = base + task.strip("[]").partition("-")[0]
        columns = (
            line.job_id, raw_id, base, member, "N/A", "N/A", line.owner, "proj", "batch", line.state, "None",
            line.submitted, line.submitted, line.started if line.started and node else "N/A", line.ended or "N/A", "30:00", 2, 1, node,
            "cpu=2,mem=200M,node=1,billing=2", "N/A", "N/A", "N/A", "100M", line.exit_text, 1, line.restarts, line.name,
        )  # fmt: skip
        rows.append(f"0:10|{nonce}|" + "|".join(map(str, columns)))
    return "\n".join(rows) + "\n"


def sacct(lines: Iterable[Line], *, nonce: str = NONCE) -> str:
    """A report of `ended`."""
    separator = f"|{nonce}|"
    rows = [separator.join(SACCT_HEADER)]
    for line in lines:
        base, _, task = line.job_id.partition("_")
        columns = (
            line.job_id, f"{base}{task}", line.state, line.exit_text if ":" in line.exit_text else "0:0", "0:0", "None", line.submitted,
            line.submitted, line.started or "Unknown", line.ended or "Unknown", 10, "00:00:00", 30, 20, 2, 1,
            "cpu=2,mem=200M,node=1,billing=2", "cpu=2,mem=200M,node=1,billing=2", "c1", line.owner, "proj", "batch", line.name,
        )  # fmt: skip
        rows.append(separator.join(map(str, columns)))
    return "\n".join(rows) + "\n"


def done(line: Line) -> Line:
    """The same job after its end."""
    return dataclasses.replace(line, state="COMPLETED", ended=(line.started or line.submitted) + 10)
