# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A real little Slurm of our own, for tests and `make demo`: several nodes on this machine, no systemd.

Own munge key and socket, own ports, own configuration, everything under one directory; an installed Slurm is neither asked nor
changed. Needs root and the Debian packages slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge (and slurmdbd mariadb-server
with `accounting=True`), of this machine or of the file system of another Debian (tests/make_slurm_roots). Kill slurmd and its steps
live on, so `close` cancels the jobs first and then ends every process by its id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.ports import free_ports

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "sacct", "sacctmgr")
MORE_PROGRAMS = ("srun", "sinfo", "sdiag", "mariadb", "mariadb-install-db")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READY_SECONDS = 30.0


_ENTER = """\
#!/bin/sh
# Runs a program in the file system of another Debian, which sees of this machine its devices, processes and these folders.
exec unshare --mount --propagation private sh -c '
    root=$1 home=$2 sockets=$3
    shift 3
    for folder in proc dev; do mount --rbind "/$folder" "$root/$folder"; done
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    for folder in "$home" "$sockets"; do mkdir -p "$root$folder" && mount --bind "$folder" "$root$folder"; done
    exec chroot "$root" /usr/bin/env PATH={path} "$@"' enter "{root}" "{home}" "{sockets}" "$@"
"""


class SlurmMissing(RuntimeError):
    """This machine cannot run the private Slurm: no root, or programs are missing."""


class PrivateSlurm:
    """A running Slurm: nodes c1…c`nodes` with 4 CPUs each, the last one with two GPUs of type a100.

    Queues `batch` (default, 1 h), `short` (5 min), `gpu` (2 h, the GPU node) and `open` (no limit). Every attribute that names a file
    lies in `directory`; `environment` is what a program needs to speak with it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 4,
        accounting: bool = False,
        cluster: str = "private",
        root: Path | None = None,
        min_job_age: int = 300,
    ) -> None:
        check_machine(accounting=accounting, root=root)
        self.directory = directory.absolute()
        self.cluster = cluster
        self.nodes = nodes
        self.accounting = accounting
        self._min_job_age = min_job_age
        self.configuration = self.directory / "slurm.conf"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # outside `directory`: a socket's path has at most 107 characters, and other users' jobs must reach their spooled script
        self._sockets = Path(tempfile.mkdtemp(prefix="hpcbridge-slurm-"))
        self._sockets.chmod(0o711)
        self._ports = free_ports(nodes + 2)
        self._path = _PATH if root is None else f"{self.directory}/bin:{_PATH}"
        self.directory.mkdir(parents=True, exist_ok=True)
        if root is not None:
            self._write_entrances(root.absolute())
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> Mapping[str, str]:
        """For ScriptRunner and for commands."""
        return {"PATH": self._path, "SLURM_CONF": str(self.configuration)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run(self, argv: Sequence[str], *, check: bool = True, timeout: float = 30.0) -> str:
        """Runs a command of this Slurm and returns its standard output."""
        done = subprocess.run(argv, env={**self.environment, "LC_ALL": "C", "TZ": "UTC"}, capture_output=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace")

    def submit(self, command: str, *arguments: str, name: str = "job", user: str | None = None) -> str:
        """Submits a shell command with more sbatch arguments, as root or as `user`; returns the job id."""
        more = [f"--uid={user}"] if user else []
        argv = ["sbatch", "--parsable", "--chdir=/tmp", "--output=/dev/null", "--error=/dev/null", f"--job-name={name}"]
        return self.run([*argv, *more, *arguments, "--wrap", command]).strip().partition(";")[0]

    def cancel(self, *job_ids: str) -> None:
        """Cancels jobs."""
        self.run(["scancel", *job_ids])

    def expire(self, job_id: str) -> None:
        """Lets the time limit of a running job be over: slurmctld ends it with TIMEOUT within 30 s. The shortest limit is a minute."""
        self.run(["scontrol", "update", f"JobId={job_id}", "EndTime=now+1"])

    def state(self, job_id: str) -> str:
        """The native state of one job, empty if the controller does not know it."""
        return self.run(["squeue", "-h", "-a", "-t", "all", "-j", job_id, "-o", "%T"], check=False).strip().partition("\n")[0]

    def wait_state(self, job_id: str, *states: str, timeout: float = 20.0) -> str:
        """Waits until a job is in one of `states`; TimeoutError naming the last one seen."""
        try:
            wait_until(lambda: self.state(job_id) in states, timeout=timeout, what=f"job {job_id} to be {' or '.join(states)}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}, but it is {self.state(job_id) or 'unknown'}") from error
        return self.state(job_id)

    def stop_controller(self) -> None:
        """Stops slurmctld, as an outage: jobs and nodes live on."""
        self._end("slurmctld")

    def start_controller(self) -> None:
        """Starts slurmctld (again) and waits until it answers."""
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", str(self.configuration)])
        wait_until(lambda: " UP" in self.run(["scontrol", "ping"], check=False), timeout=_READY_SECONDS, what="slurmctld")

    def stop_accounting(self) -> None:
        """Stops slurmdbd: jobs go on, accounting does not answer."""
        self._end("slurmdbd")

    def start_accounting(self) -> None:
        """Starts slurmdbd and waits until it answers; libmariadb takes the socket from its environment."""
        self._spawn("slurmdbd", ["slurmdbd", "-D"], MYSQL_UNIX_PORT=str(self._sockets / "mariadb"))
        wait_until(lambda: self._succeeds(["sacctmgr", "-n", "show", "cluster"]), timeout=_READY_SECONDS, what="slurmdbd")

    def erase_accounting(self, job_id: str) -> None:
        """Deletes what the database knows of a job, as a purge does; slurmdbd must be stopped, or it might be told again."""
        statement = f"DELETE FROM {self.cluster}_job_table WHERE id_job = {int(job_id)}"
        self.run(["mariadb", "--no-defaults", f"--socket={self._sockets / 'mariadb'}", "slurm", "-e", statement])

    def stop_node(self, node: str) -> None:
        """Kills the daemon of one node."""
        self._end(f"slurmd-{node}", number=signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Starts the daemon of one node."""
        self._spawn(f"slurmd-{node}", ["slurmd", "-D", "-N", node, "-f", str(self.configuration)])

    def wait_nodes(self, *, timeout: float = _READY_SECONDS) -> None:
        """Waits until every node is idle or working."""

        def ready() -> bool:
            states = self.run(["sinfo", "-h", "-N", "-o", "%N %t"], check=False).split("\n")
            return len({line.split()[0] for line in states if line.endswith((" idle", " mix", " alloc"))}) == self.nodes

        wait_until(ready, timeout=timeout, what="nodes")

    def close(self) -> None:
        """Cancels all jobs, then ends every process that was started here or by these, whatever happened before."""
        if "slurmctld" in self._processes:
            self._cancel_all()
        for name in reversed(list(self._processes)):
            self._end(name)
        kill_tree_of(self.configuration)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _start(self) -> None:
        for folder in ("state", "log", "munge"):
            (self.directory / folder).mkdir(mode=0o700, exist_ok=True)
        write_munge_key(self.directory / "munge" / "munge.key")
        self.configuration.write_text(self._slurm_conf())
        (self.directory / "gres.conf").write_text(
            f"NodeName=c{self.nodes} Name=gpu Type=a100 File=/dev/null\nNodeName=c{self.nodes} Name=gpu Type=a100 File=/dev/zero\n"
        )
        (self.directory / "cgroup.conf").write_text("CgroupPlugin=disabled\n" if self._version() >= (24, 11) else "")
        self._spawn("munged", munged_argv(self.directory / "munge", self._sockets / "munge"))
        wait_until((self._sockets / "munge").exists, timeout=10, what="munged")
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for number in range(1, self.nodes + 1):
            self.start_node(f"c{number}")
        self.wait_nodes()

    def _start_accounting(self) -> None:
        data, database = self.directory / "mariadb", self._sockets / "mariadb"
        self._install_database(data)
        self._spawn(
            "mariadbd",
            ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={database}", "--skip-networking",
             f"--pid-file={data}/mariadb.pid", "--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"],
        )  # fmt: skip
        client = ["mariadb", "--no-defaults", f"--socket={database}", "-e"]
        wait_until(lambda: self._succeeds([*client, "SELECT 1"]), timeout=_READY_SECONDS, what="mariadbd")
        owner = "CREATE USER slurm@localhost IDENTIFIED BY 'private'; GRANT ALL ON slurm.* TO slurm@localhost"
        self.run([*client, f"CREATE DATABASE slurm; {owner}"])
        path = self.directory / "slurmdbd.conf"
        path.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={self._sockets / 'munge'}\nDbdHost=localhost\nDbdPort={self._ports[1]}\nSlurmUser=root\n"
            f"LogFile={self.directory}/log/slurmdbd.log\nPidFile={self.directory}/slurmdbd.pid\nStorageType=accounting_storage/mysql\n"
            f"StorageHost=localhost\nStorageUser=slurm\nStoragePass=private\nStorageLoc=slurm\n"
        )
        path.chmod(0o600)
        self.start_accounting()
        self.run(["sacctmgr", "-i", "add", "cluster", self.cluster], check=False)

    def _install_database(self, data: Path) -> None:
        data.mkdir(exist_ok=True)
        argv = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--auth-root-authentication-method=normal",
                "--skip-test-db", "--innodb-flush-log-at-trx-commit=0"]  # fmt: skip
        self.run(argv, timeout=60)

    def _slurm_conf(self) -> str:
        home = self.directory
        node_ports = self._ports[2:]
        accounting = ["AccountingStorageType=accounting_storage/none"]
        if self.accounting:  # without slurmdbd, 22.05 refuses to count GPUs among the trackable resources
            accounting = [
                "AccountingStorageType=accounting_storage/slurmdbd",
                "AccountingStorageHost=localhost",
                f"AccountingStoragePort={self._ports[1]}",
                f"AccountingStoragePass={self._sockets / 'munge'}",  # how sacct finds the socket; AuthInfo does not count there
                "AccountingStorageTRES=gres/gpu",
            ]
        lines = [
            f"ClusterName={self.cluster}",
            "SlurmctldHost=localhost",
            "SlurmUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self._sockets / 'munge'}",
            f"SlurmctldPort={self._ports[0]}",
            f"StateSaveLocation={home}/state",
            f"SlurmdSpoolDir={self._sockets}/spool-%n",
            f"SlurmctldPidFile={home}/slurmctld.pid",
            f"SlurmdPidFile={home}/slurmd-%n.pid",
            f"SlurmctldLogFile={home}/log/slurmctld.log",
            f"SlurmdLogFile={home}/log/slurmd-%n.log",
            "SlurmctldDebug=info",
            "ReturnToService=2",
            "SlurmctldTimeout=30",
            "SlurmdTimeout=30",
            "KillWait=2",
            f"MinJobAge={self._min_job_age}",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "MpiDefault=none",
            "JobAcctGatherType=jobacct_gather/none",
            "SchedulerType=sched/backfill",
            "SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "DefMemPerCPU=100",
            "PriorityType=priority/basic",
            *accounting,
            "GresTypes=gpu",
            "SlurmdParameters=config_overrides",
            "TreeWidth=65533",
        ]
        for number in range(1, self.nodes + 1):
            gres = " Gres=gpu:a100:2" if number == self.nodes else ""
            lines.append(
                f"NodeName=c{number} NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_ports[number - 1]} Sockets=1 CoresPerSocket=4 "
                f"ThreadsPerCore=1 RealMemory=2000{gres} State=UNKNOWN"
            )
        every, last = f"c[1-{self.nodes}]", f"c{self.nodes}"
        lines += [
            f"PartitionName=batch Default=YES Nodes={every} MaxTime=1:00:00 DefaultTime=30:00 State=UP",
            f"PartitionName=short Nodes={every} MaxTime=5 State=UP",
            f"PartitionName=gpu Nodes={last} MaxTime=2:00:00 State=UP",
            f"PartitionName=open Nodes={every} MaxTime=UNLIMITED State=UP",
        ]
        return "\n".join(lines) + "\n"

    def _spawn(self, name: str, argv: Sequence[str], **environment: str) -> None:
        with (self.directory / "log" / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                argv,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )

    def _end(self, name: str, *, number: signal.Signals = signal.SIGTERM) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            end_process(process, number=number)

    def _version(self) -> tuple[int, int]:
        major, minor = self.run(["slurmctld", "-V"]).split()[-1].split(".")[:2]
        return int(major), int(minor)

    def _write_entrances(self, root: Path) -> None:
        """Every program by its name in a folder that stands first in the path: who runs it need not know where it runs."""
        folder = self.directory / "bin"
        folder.mkdir(exist_ok=True)
        enter = folder / "enter"
        enter.write_text(_ENTER.format(root=root, home=self.directory, sockets=self._sockets, path=_PATH))
        enter.chmod(0o755)
        for program in PROGRAMS + ACCOUNTING_PROGRAMS + MORE_PROGRAMS:
            entrance = folder / program
            entrance.write_text(f'#!/bin/sh\nexec "{enter}" {program} "$@"\n')
            entrance.chmod(0o755)

    def _succeeds(self, argv: Sequence[str]) -> bool:
        return subprocess.run(argv, env=self.environment, capture_output=True, check=False, timeout=20).returncode == 0

    def _cancel_all(self) -> None:
        try:
            self.run(["scancel", "--full", "--user=root"], check=False, timeout=10)
            ids = self.run(["squeue", "-h", "-a", "-o", "%A"], check=False, timeout=10).split()
            if ids:
                self.run(["scancel", "--full", *sorted(set(ids))], check=False, timeout=10)
                wait_until(lambda: not self.run(["squeue", "-h", "-a"], check=False, timeout=10).strip(), timeout=8, what="no jobs")
        except (subprocess.TimeoutExpired, TimeoutError, OSError):
            return  # the controller is down or slow; what is left is killed by id below


def check_machine(*, accounting: bool = False, root: Path | None = None) -> None:
    """Raises SlurmMissing, saying what is missing, where a private Slurm cannot run: on this machine or in the file system at `root`."""
    if os.geteuid() != 0:
        raise SlurmMissing("a private Slurm needs root")
    wanted = PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    path = ":".join(f"{root or ''}{folder}" for folder in _PATH.split(":"))
    missing = [program for program in wanted if shutil.which(program, path=path) is None]
    if missing:
        raise SlurmMissing(f"not installed: {', '.join(missing)}")


def write_munge_key(path: Path) -> None:
    """A random key, readable by its owner only."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(os.urandom(1024))


def munged_argv(directory: Path, socket_path: Path) -> list[str]:
    """A munged in the foreground with everything of its own."""
    return [
        "munged", "--foreground", "--force", f"--socket={socket_path}", f"--key-file={directory / 'munge.key'}",
        f"--pid-file={directory / 'munged.pid'}", f"--log-file={directory / 'munged.log'}", f"--seed-file={directory / 'munged.seed'}",
    ]  # fmt: skip


def wait_until(holds: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Asks until it holds; TimeoutError saying what did not come."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.05)


def end_process(process: subprocess.Popen[bytes], *, number: signal.Signals = signal.SIGTERM) -> None:
    """Asks a process to end and kills it after five seconds."""
    process.send_signal(number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def processes_of(configuration: Path) -> list[int]:
    """Ids of the processes that run with this SLURM_CONF: daemons, steps, jobs.

    A step of 24.11 empties its environment; in the file system of another Debian, what is mounted for it tells whose it is.
    """
    mark, mounted = f"SLURM_CONF={configuration}".encode(), f" {configuration.parent} ".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0") or mounted in (entry / "mountinfo").read_bytes():
                    found.append(int(entry.name))
    return found


def kill_tree_of(configuration: Path) -> None:
    """Kills, by id, what still runs with this SLURM_CONF: steps outlive the daemon that started them."""
    for process in processes_of(configuration):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_until(lambda: not processes_of(configuration), timeout=5, what="killed processes to go")
