# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A Slurm of one node inside a booted machine, with munge and accounting, run by the machine's systemd as on a cluster."""

from __future__ import annotations

from tests.booted_machine import BootedMachine

_SLURM_CONF = """\
ClusterName=north
SlurmctldHost={host}
SlurmUser=slurm
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
SlurmdParameters=config_overrides
NodeName=c1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=batch Nodes=c1 Default=YES MaxTime=60 State=UP
"""
_SLURMDBD_CONF = """\
AuthType=auth/munge
DbdHost=localhost
SlurmUser=slurm
PidFile=/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=private
StorageLoc=slurm
"""
_DATABASE = "CREATE DATABASE slurm; CREATE USER slurm@localhost IDENTIFIED BY 'private'; GRANT ALL ON slurm.* TO slurm@localhost"


def start_slurm(machine: BootedMachine) -> None:
    """Starts munge, the database, slurmdbd, slurmctld and slurmd, and waits until a job could run. There is a user alice."""
    machine.write("/etc/slurm/slurm.conf", _SLURM_CONF.format(host=machine.name))
    machine.write("/etc/slurm/slurmdbd.conf", _SLURMDBD_CONF, mode=0o600)
    machine.shell(
        "useradd --create-home alice; chown slurm /etc/slurm/slurmdbd.conf; mkdir -p /var/lib/slurm/slurmctld /var/lib/slurm/slurmd;"
        "chown slurm: /var/lib/slurm /var/lib/slurm/slurmctld; systemctl start munge mariadb"
    )
    machine.run("mariadb", "-e", _DATABASE)
    machine.run("systemctl", "start", "slurmdbd")
    machine.wait(lambda: machine.try_run("sacctmgr", "-n", "show", "cluster").returncode == 0, what="slurmdbd")
    machine.run("sacctmgr", "--immediate", "add", "cluster", "north")
    machine.run("systemctl", "start", "slurmctld", "slurmd")
    machine.wait(lambda: "idle" in machine.try_run("sinfo", "--noheader", "-o", "%t").stdout, what="a node that takes jobs")


def submit(machine: BootedMachine, command: str, *arguments: str) -> str:
    """Submits a shell command as alice, with more arguments of sbatch; the job's id."""
    options = ("--parsable", "--chdir=/tmp", "--output=/dev/null", "--uid=alice", *arguments)
    return machine.run("sbatch", *options, "--wrap", command).strip()
