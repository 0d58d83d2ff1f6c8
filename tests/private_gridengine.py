# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A real little Grid Engine of our own, for tests and `make demo`: several hosts on this machine, no systemd.

Grid Engine identifies a host by what its address resolves to, so several hosts need several addresses, and a machine whose own name
resolves to 127.0.0.1 cannot even be one. Here every host is a network namespace with an address and a name of its own, behind a
bridge that only these hosts see, with their own /etc/hosts and /etc/passwd: the same on every machine, and nothing outside can be
reached or is changed, an installed Grid Engine least of all. `environment` has a PATH whose commands (qsub, qstat …) run in there.

Needs root, namespaces, and the Debian packages gridengine-master gridengine-exec gridengine-client iproute2. Every process lives in
one process namespace: the kernel ends them all with its first one, whatever happened before, even when this program is killed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.private_slurm import wait_until

COMMANDS = ("qacct", "qalter", "qconf", "qdel", "qhold", "qhost", "qmod", "qrls", "qstat", "qsub")
PROGRAMS = (*COMMANDS, "sge_qmaster", "sge_execd", "ip", "unshare", "nsenter", "setpriv")
USERS = {"alice": 20_001, "bob": 20_002, "carol": 20_003}
DOMAIN = "cluster.local"
_HOME = Path("/usr/lib/gridengine")
_SHARED = Path("/usr/share/gridengine")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READY_SECONDS = 30.0


class GridEngineMissing(RuntimeError):
    """This machine cannot run the private Grid Engine: no root, no namespaces, or programs are missing."""


class PrivateGridEngine:
    """A running Grid Engine: qmaster on head1, execution hosts node01 … and, as the last one, gpu01 with two GPUs (complex `gpu`).

    Queues `all.q` (every host, 8 slots each, 168 h), `short.q` (every host, 4 slots, 5 minutes), `gpu.q` (gpu01, no limit);
    parallel environments `smp` (one host) and `mpi` (round robin). Jobs are those of alice, bob and carol, whom only these hosts know;
    with `own_etc`, made in a world of tests/private_accounts.py, also of accounts that this world gets later.
    """

    def __init__(self, directory: Path, *, nodes: int = 2, cluster: str = "private", own_etc: bool = False) -> None:
        check_machine()
        self._own_etc = own_etc
        self.directory = directory.absolute()
        self.cluster = cluster
        self.nodes = (*(f"node{number:02}" for number in range(1, nodes)), "gpu01")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        # outside `directory`: jobs of other users must reach their spooled script
        self.root = Path(tempfile.mkdtemp(prefix="hpcbridge-gridengine-"))
        self.root.chmod(0o755)
        self.accounting_file = self.root / "default" / "common" / "accounting"
        self._first = 0
        for folder in (self.directory / "log", self.directory / "bin"):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> Mapping[str, str]:
        """For ScriptRunner and for commands."""
        return {
            "PATH": f"{self.directory}/bin:{_PATH}",
            "SGE_ROOT": str(self.root),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": "6444",
            "SGE_EXECD_PORT": "6445",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run(
        self, argv: Sequence[str], *, user: str | None = None, check: bool = True, timeout: float = 30.0, stdin: bytes = b""
    ) -> str:
        """Runs a command of this Grid Engine on head1, as root or as `user`, and returns its standard output."""
        identity = ["--setgid", str(USERS[user]), "--setuid", str(USERS[user])] if user else []
        done = subprocess.run(
            [*self._inside(), *identity, "--", *argv],
            env={**self.environment, "PATH": _PATH, "LC_ALL": "C", "TZ": "UTC"},
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            said = (done.stderr + done.stdout).decode(errors="replace").strip()
            raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")

    def submit(self, command: str, *arguments: str, name: str = "job", user: str = "alice") -> str:
        """Submits a shell command with more qsub arguments; returns the job id, of an array without its tasks."""
        argv = ["qsub", "-terse", "-b", "y", "-shell", "n", "-wd", "/tmp", "-o", "/dev/null", "-e", "/dev/null", "-N", name]
        # a binary job's arguments are joined by qsub, so what a shell must see travels quoted by qsub itself
        answer = self.run([*argv, *arguments, "/bin/sh", "-c", command], user=user)
        return answer.strip().partition(".")[0]

    def cancel(self, *job_ids: str) -> None:
        """Deletes jobs, or tasks named as `29.4`."""
        for job_id in job_ids:
            number, _, task = job_id.partition(".")
            self.run(["qdel", number, *(["-t", task] if task else [])])

    def hold(self, job_id: str) -> None:
        """Holds a waiting job."""
        self.run(["qhold", job_id])

    def release(self, job_id: str) -> None:
        """Releases a held job."""
        self.run(["qrls", job_id])

    def suspend(self, job_id: str) -> None:
        """Suspends a running job."""
        self.run(["qmod", "-sj", job_id])

    def resume(self, job_id: str) -> None:
        """Lets a suspended job go on."""
        self.run(["qmod", "-usj", job_id])

    def reschedule(self, job_id: str) -> None:
        """Ends a running job and queues it again, under the same id."""
        self.run(["qmod", "-f", "-rj", job_id])

    def state(self, job_id: str) -> str:
        """The native state of a job, or of a task named as `29.4`; empty if qmaster does not know it."""
        number, _, task = job_id.partition(".")
        for job in ET.fromstring(self.run(["qstat", "-u", "*", "-xml"])).iter("job_list"):
            if job.findtext("JB_job_number") == number and (not task or job.findtext("tasks") == task):
                return job.findtext("state") or ""
        return ""

    def wait_state(self, job_id: str, *states: str, timeout: float = 20.0) -> str:
        """Waits until a job is in one of `states` (an empty one: gone); TimeoutError naming the last one seen."""
        try:
            wait_until(lambda: self.state(job_id) in states, timeout=timeout, what=f"job {job_id} to be {' or '.join(states) or 'gone'}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}, but it is {self.state(job_id) or 'unknown'}") from error
        return self.state(job_id)

    def wait_accounted(self, job_id: str, *, timeout: float = 20.0) -> str:
        """Waits until accounting knows a job and returns what qacct prints of it."""
        wait_until(lambda: "jobnumber" in self.run(["qacct", "-j", job_id], check=False), timeout=timeout, what=f"accounting of {job_id}")
        return self.run(["qacct", "-j", job_id])

    def stop_controller(self) -> None:
        """kill -9 of qmaster, as an outage: jobs live on. Ids that it gave in its last seconds it may give again when it is back.

        The execution hosts' daemons sleep meanwhile: one that missed its qmaster tries again after half a minute only, and one that was
        started again instead sees the ends of its jobs a minute late.
        """
        self._signal_nodes(signal.SIGSTOP)
        self._end("sge_qmaster", number=signal.SIGKILL)

    def start_controller(self) -> None:
        """Starts qmaster (again) and waits until it answers."""
        self._spawn("sge_qmaster", ["/usr/sbin/sge_qmaster"])
        wait_until(self._answers, timeout=_READY_SECONDS, what="qmaster")
        self._signal_nodes(signal.SIGCONT)

    def stop_node(self, node: str) -> None:
        """Kills the daemon of one host: qmaster misses it after `max_unheard`, 5 s. Its jobs live on."""
        self._end(f"execd-{node}", number=signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Starts the daemon of one host."""
        self._spawn(f"execd-{node}", ["/usr/sbin/sge_execd"], node=node)

    def wait_nodes(self, *, timeout: float = _READY_SECONDS) -> None:
        """Waits until every host has reported: only then queues start jobs there."""

        def ready() -> bool:
            states = self.run(["qstat", "-f", "-u", "nobody"], check=False).splitlines()
            queues = [line.split() for line in states if "@" in line]
            return len(queues) == 2 * len(self.nodes) + 1 and all(len(queue) == 5 and queue[3] != "-NA-" for queue in queues)

        wait_until(ready, timeout=timeout, what="execution hosts")

    def delete_all(self) -> None:
        """Deletes every job by force and waits until none is left."""
        if self.run(["qstat", "-u", "*"]).strip():
            self.run(["qdel", "-f", "-u", "*"], check=False)
            wait_until(lambda: not self.run(["qstat", "-u", "*"]).strip(), timeout=_READY_SECONDS, what="no jobs")

    def pids(self) -> list[int]:
        """Ids of everything that runs in this Grid Engine: daemons, shepherds, jobs."""
        if not self._first:
            return []
        mine = Path(f"/proc/{self._first}/ns/pid").readlink()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    found += [int(entry.name)] if (entry / "ns" / "pid").readlink() == mine else []
                except OSError:
                    continue
        return found

    def close(self) -> None:
        """Ends the first process of the namespace, and with it the kernel ends all others; then removes what lay outside `directory`."""
        hosts = self._processes.pop("hosts", None)
        if hosts is not None and hosts.poll() is None:
            os.kill(self._first or hosts.pid, signal.SIGKILL)
        for process in self._processes.values():
            _collect(process)
        if hosts is not None:
            hosts.wait()  # `unshare`, which collects the first process; the kernel lets that go when all others are collected
        self._processes.clear()
        shutil.rmtree(self.root, ignore_errors=True)

    def _start(self) -> None:
        self._write_cell()
        self._start_hosts()
        self._write_commands()
        self._fill_database()
        self.start_controller()
        self._define_cluster()
        for node in self.nodes:
            self.start_node(node)
        self.wait_nodes()

    def _write_cell(self) -> None:
        common = self.root / "default" / "common"
        common.mkdir(parents=True)
        for name, target in (("bin/lx-amd64", _HOME), ("utilbin/lx-amd64", _HOME), ("lib/lx-amd64", _HOME), ("util", _SHARED / "util")):
            (self.root / name).parent.mkdir(exist_ok=True)
            (self.root / name).symlink_to(target)
        (common / "act_qmaster").write_text(f"head1.{DOMAIN}\n")
        (common / "cluster_name").write_text(f"{self.cluster}\n")
        (common / "bootstrap").write_text(
            textwrap.dedent("""\
            admin_user              sgeadmin
            default_domain          none
            ignore_fqdn             false
            spooling_method         berkeleydb
            spooling_lib            libspoolb
            spooling_params         /var/spool/gridengine/spooldb
            binary_path             /usr/sbin
            qmaster_spool_dir       /var/spool/gridengine/qmaster
            security_mode           none
            listener_threads        2
            worker_threads          2
            scheduler_threads       1
            """)
        )
        for folder in ("spool/spooldb", "spool/qmaster/job_scripts", "spool/execd"):
            (self.root / folder).mkdir(parents=True)
        owner = pwd.getpwnam("sgeadmin")
        for path in (common, *common.iterdir(), self.root / "spool", *(self.root / "spool").rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _start_hosts(self) -> None:
        """The first process of the namespaces makes the hosts, says `ready` and then only collects orphans."""
        files = self.directory / "etc"
        files.mkdir(exist_ok=True)
        hosts = [("10.77.0.1", "head1"), *((f"10.77.0.{number}", node) for number, node in enumerate(self.nodes, start=11))]
        (files / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{a} {name}.{DOMAIN} {name}\n" for a, name in hosts))
        users = "".join(f"{name}:x:{uid}:{uid}::/tmp:/bin/sh\n" for name, uid in USERS.items())
        groups = "".join(f"{name}:x:{uid}:\n" for name, uid in USERS.items())
        for name, more in (("passwd", users), ("group", groups)):
            known = [line for line in Path("/etc", name).read_text().splitlines(keepends=True) if line.partition(":")[0] not in USERS]
            # whoever adds an account puts a new file in the place of the old one, which cannot be done to one that is mounted
            (Path("/etc") if self._own_etc else files).joinpath(name).write_text("".join(known) + more)
        bound = ("hosts", "nsswitch.conf") if self._own_etc else ("hosts", "passwd", "group", "nsswitch.conf")
        (files / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
        lines = [
            "set -e",
            *(f"mount --bind {files}/{name} /etc/{name}" for name in bound),
            "mkdir -p /var/spool/gridengine",
            f"mount --bind {self.root}/spool /var/spool/gridengine",
            "mount -t tmpfs none /run",  # hides the sockets of a name service cache, and is where `ip netns` keeps its names
            "hostname head1",
            "ip link set lo up",
            "ip link add hosts type bridge",
            "ip address add 10.77.0.1/24 dev hosts",
            "ip link set hosts up",
        ]
        for address, name in hosts[1:]:
            lines += [
                f"ip netns add {name}",
                f"ip link add {name} type veth peer name eth0 netns {name}",
                f"ip link set {name} master hosts up",
                f"ip -n {name} address add {address}/24 dev eth0",
                f"ip -n {name} link set eth0 up",
                f"ip -n {name} link set lo up",
            ]
        lines += ["echo ready", "while :; do sleep 3600; done"]
        with (self.directory / "log" / "hosts.out").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child",
                 "--mount-proc", "sh", "-c", "\n".join(lines)],
                env={"PATH": _PATH}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip
        self._processes["hosts"] = process
        wait_until(lambda: self._said(process) == "ready\n", timeout=10, what="the hosts")
        self._first = _child_of(process.pid)

    def _said(self, process: subprocess.Popen[bytes]) -> str:
        text = (self.directory / "log" / "hosts.out").read_text(errors="replace")
        if process.poll() is not None:
            raise GridEngineMissing(f"this machine does not let us make hosts: {text.strip()}")
        return text

    def _write_commands(self) -> None:
        """Commands that do outside what they do on head1."""
        script = self.directory / "bin" / "on-head1"
        script.write_text(f'#!/bin/sh\nexec {" ".join(self._inside())} -- "/usr/bin/${{0##*/}}" "$@"\n')
        script.chmod(0o755)
        for command in COMMANDS:
            (script.parent / command).unlink(missing_ok=True)
            (script.parent / command).symlink_to(script.name)

    def _inside(self) -> list[str]:
        return ["nsenter", "--target", str(self._first), "--mount", "--net", "--uts"]

    def _fill_database(self) -> None:
        """What qmaster must find in its database to start: the configuration, complexes, user sets and a manager."""
        definitions = self.root / "definitions"
        complexes = definitions / "complexes"
        shutil.copytree(_SHARED / "util" / "resources" / "centry", complexes)
        (complexes / "gpu").write_text(
            "name gpu\nshortcut gpu\ntype INT\nrelop <=\nrequestable YES\nconsumable YES\ndefault 0\nurgency 0\n"
        )
        (definitions / "configuration").write_text(_configuration())
        for argv in (
            [_HOME / "spoolinit", "berkeleydb", "libspoolb", "/var/spool/gridengine/spooldb", "init"],
            [_HOME / "spooldefaults", "configuration", definitions / "configuration"],
            [_HOME / "spooldefaults", "complexes", complexes],
            [_HOME / "spooldefaults", "usersets", _SHARED / "util" / "resources" / "usersets"],
            [_HOME / "spooldefaults", "managers", "sgeadmin", "root"],
        ):
            self.run(["setpriv", "--reuid=sgeadmin", "--regid=sgeadmin", "--clear-groups", *map(str, argv)])

    def _define_cluster(self) -> None:
        """Hosts, host group, queues and parallel environments; files, because qconf has no other way without an editor."""
        folder = self.root / "definitions"

        def define(option: str, name: str, text: str) -> None:
            (folder / name).write_text(text)
            self.run(["qconf", option, str(folder / name)])

        for number, node in enumerate(self.nodes):
            host = f"{node}.{DOMAIN}"
            gpus = "gpu=2" if node == "gpu01" else "NONE"
            self.run(["qconf", "-ah", host])
            define("-Ae", f"host-{node}", f"hostname {host}\nload_scaling NONE\ncomplex_values {gpus}\nuser_lists NONE\n"
                   "xuser_lists NONE\nprojects NONE\nxprojects NONE\nusage_scaling NONE\nreport_variables NONE\n")  # fmt: skip
            # an execd kills by the group ids of its range: with one for all it would kill the jobs of its neighbours
            define("-Aconf", host, f"mailer /bin/true\ngid_range {65_100 + 20 * number}-{65_119 + 20 * number}\n")
        self.run(["qconf", "-as", f"head1.{DOMAIN}"])
        define("-Ahgrp", "allhosts", f"group_name @allhosts\nhostlist {' '.join(f'{node}.{DOMAIN}' for node in self.nodes)}\n")
        for name, rule in (("smp", "$pe_slots"), ("mpi", "$round_robin")):
            define("-Ap", name, f"pe_name {name}\nslots 999\nuser_lists NONE\nxuser_lists NONE\nstart_proc_args NONE\nstop_proc_args NONE\n"
                   f"allocation_rule {rule}\ncontrol_slaves TRUE\njob_is_first_task TRUE\nurgency_slots min\naccounting_summary FALSE\n"
                   "qsort_args NONE\n")  # fmt: skip
        define("-Aq", "all.q", _queue("all.q", hosts="@allhosts", slots=8, environments="smp mpi", limit="168:00:00"))
        define("-Aq", "short.q", _queue("short.q", hosts="@allhosts", slots=4, environments="smp", limit="00:05:00"))
        define("-Aq", "gpu.q", _queue("gpu.q", hosts=f"gpu01.{DOMAIN}", slots=4, environments="smp", limit="INFINITY"))
        scheduling = dict(line.split(None, 1) for line in self.run(["qconf", "-ssconf"]).splitlines())
        scheduling |= {"schedule_interval": "0:0:2", "flush_submit_sec": "1", "flush_finish_sec": "1", "job_load_adjustments": "NONE",
                       "load_formula": "slots"}  # fmt: skip
        define("-Msconf", "scheduling", "".join(f"{key} {value}\n" for key, value in scheduling.items()))

    def _spawn(self, name: str, argv: Sequence[str], *, node: str | None = None) -> None:
        if node is not None:
            argv = ["nsenter", f"--net=/run/netns/{node}", "unshare", "--uts", "sh", "-c", f'hostname {node}; exec "$@"', "sh", *argv]
        with (self.directory / "log" / f"{name}.out").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._inside(), "--pid", "--", *argv],
                env={**self.environment, "PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", "SGE_ND": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        self._processes[name] = process

    def _signal_nodes(self, number: signal.Signals) -> None:
        for node in self.nodes:
            process = self._processes.get(f"execd-{node}")
            if process is not None:
                os.kill(_child_of(process.pid), number)

    def _end(self, name: str, *, number: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            os.kill(_child_of(process.pid), number)
            _collect(process)

    def _answers(self) -> bool:
        if self._processes["sge_qmaster"].poll() is not None:
            raise RuntimeError(f"qmaster ended: {(self.directory / 'log' / 'sge_qmaster.out').read_text(errors='replace').strip()}")
        try:
            self.run(["qconf", "-sh"], timeout=10)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True


def check_machine() -> None:
    """Raises GridEngineMissing, saying what is missing, where a private Grid Engine cannot run."""
    if os.geteuid() != 0:
        raise GridEngineMissing("a private Grid Engine needs root")
    missing = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if missing:
        raise GridEngineMissing(f"not installed: {', '.join(missing)}")


def _collect(process: subprocess.Popen[bytes]) -> None:
    """Waits for the `nsenter` of a daemon that is being killed. It stops when its child stops, and must go on to see the end of it."""
    deadline = time.monotonic() + 5
    while process.poll() is None:
        process.send_signal(signal.SIGCONT if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.01)


def _child_of(process: int) -> int:
    """The only child of a program that starts one in another process namespace."""
    path = Path("/proc", str(process), "task", str(process), "children")
    deadline = time.monotonic() + 5
    while not (children := path.read_text().split()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {process} has no child")
        time.sleep(0.01)
    return int(children[0])


def _configuration() -> str:
    """The package's own, with short times, and jobs of every user, root too."""
    wanted = {
        "min_uid": "0",
        "min_gid": "0",
        "mailer": "/bin/true",
        "load_report_time": "00:00:02",
        "max_unheard": "00:00:05",
        "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00",
    }
    lines = (_SHARED / "default-configuration").read_text().splitlines()
    pairs = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    return "".join(f"{key} {wanted.get(key, value)}\n" for key, value in pairs)


def _queue(name: str, *, hosts: str, slots: int, environments: str, limit: str) -> str:
    """A queue's definition: qconf wants every line of it."""
    none = ("load_thresholds", "suspend_thresholds", "ckpt_list", "prolog", "epilog", "starter_method", "suspend_method", "resume_method",
            "terminate_method", "owner_list", "user_lists", "xuser_lists", "subordinate_list", "complex_values", "projects", "xprojects",
            "calendar")  # fmt: skip
    unlimited = ("s_rt", "s_cpu", "h_cpu", "s_fsize", "h_fsize", "s_data", "h_data", "s_stack", "h_stack", "s_core", "h_core", "s_rss",
                 "h_rss", "s_vmem", "h_vmem")  # fmt: skip
    pairs = {
        "qname": name,
        "hostlist": hosts,
        "seq_no": "0",
        "nsuspend": "1",
        "suspend_interval": "00:05:00",
        "priority": "0",
        "min_cpu_interval": "00:05:00",
        "processors": "UNDEFINED",
        "qtype": "BATCH INTERACTIVE",
        "pe_list": environments,
        "rerun": "TRUE",
        "slots": str(slots),
        "tmpdir": "/tmp",
        "shell": "/bin/sh",
        "shell_start_mode": "unix_behavior",
        "notify": "00:00:05",
        "initial_state": "default",
        "h_rt": limit,
        **dict.fromkeys(none, "NONE"),
        **dict.fromkeys(unlimited, "INFINITY"),
    }
    return "".join(f"{key} {value}\n" for key, value in pairs.items())
