# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The whole bridge as its users start it: real ledgerd, real hpcbridged and hpcbridgectl as processes over loopback mutual TLS.

Used by the end-to-end tests, the benchmarks and the demo. Everything lies under one directory; every process is ended by `close`.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.ports import free_ports
from tests.private_accounts import PrivateAccounts

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
READY_SECONDS = 30.0
ORIGIN = "test.example"

LEDGERD_TOML = """\
[listen]
address = "{ledger}"
enrolment = "{enrolment}"
public_address = "{ledger}"
public_enrolment = "{enrolment}"
server_names = ["localhost", "127.0.0.1"]

[store]
directory = "{directory}"

[metrics]
address = "{metrics}"
{textfile}
"""

HPCBRIDGED_TOML = """\
state_directory = "{state}"

[cluster]
name = "{cluster}"
login_address = "login.{cluster}.example"
location = {location}

[[cluster.programs]]
name = "gromacs"
version = "2024.1"

[cluster.rates]
cpu_core_per_hour = {rates[0]}
gpu_core_per_hour = {rates[1]}

[scheduler]
name = "{scheduler}"
scripts = "{scripts}"
timeout_seconds = 15
{settings}

[scheduler.environment]
{environment}

[publish]
mode = "{publish}"
owners = {publish_owners}

[[ledger]]
address = "{ledger}"
server_name = "localhost"

[intervals]
jobs = {interval}
nodes = {interval}
queues = {interval}
vitals = 5
cluster_state = 5

[spool]
vanished_grace_seconds = 5

[control]
socket = "{socket}"
group = "{group}"

[metrics]
address = "{metrics}"
{textfile}
"""


class Bridge:
    """One ledger, one admin (`alice`), one provider (`north`) with a frontend, in `directory`.

    `settings` are more keys of [scheduler] with values as JSON has them, which is how TOML writes texts, numbers and lists too. With
    `network` there is no other ledger: this is one more provider of the network of that bridge. The daemon of the frontend is started
    in the world of `accounts`, if one is given. `parameters` are those of a new network.
    """

    def __init__(self, directory: Path, *, scheduler: str = "slurm", scripts: Path = ROOT / "scheduler_scripts",
                 environment: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None, cluster: str = "north",
                 publish: str = "full", publish_owners: Sequence[str] = (), interval: int = 1, metrics: bool = False,
                 location: tuple[float, float] = (35.681236, 139.767125), rates: tuple[float, float] = (0.02, 1.5),
                 network: Bridge | None = None, accounts: PrivateAccounts | None = None,
                 parameters: Mapping[str, int] | None = None) -> None:  # fmt: skip
        self.directory = directory
        self.cluster = cluster
        self._scheduler = scheduler
        self._settings = dict(settings or {})
        self._scripts = scripts
        self._environment = dict(environment or {})
        self._publish = publish
        self._publish_owners = list(publish_owners)
        self._interval = interval
        self._location = location
        self._rates = rates
        self._network = network
        self._accounts = accounts
        self._parameters = dict(parameters or {})
        ledger, enrolment, measured, ledger_measured = free_ports(4)
        self.metrics_address = f"127.0.0.1:{measured}" if metrics else ""
        self.ledger_metrics_address = f"127.0.0.1:{ledger_measured}" if metrics else ""
        self.ledger_address: str = f"127.0.0.1:{ledger}" if network is None else network.ledger_address
        self.enrolment_address: str = f"127.0.0.1:{enrolment}" if network is None else network.enrolment_address
        self.store = directory / "ledger"
        self.state = directory / "agent"
        self.admin_identity: Path = directory / "admin" if network is None else network.admin_identity
        self.agent_identity = self.state / "identity"
        self.ledger_config = directory / "ledgerd.toml"
        self.agent_config = directory / "hpcbridged.toml"
        self.socket = Path("/tmp") / f"hpcbridge-{os.getpid()}-{ledger}.sock"  # a socket's path has at most 107 characters
        self.ledger: Process | None = None
        self.agent: Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_configuration(self) -> None:
        """Both files; the agent's `environment` is what its scripts may see."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._network is None:
            self.ledger_config.write_text(
                LEDGERD_TOML.format(
                    ledger=self.ledger_address,
                    enrolment=self.enrolment_address,
                    directory=self.store,
                    metrics=self.ledger_metrics_address,
                    textfile=self._textfile("ledger"),
                )
            )
        self.agent_config.write_text(
            HPCBRIDGED_TOML.format(
                state=self.state,
                cluster=self.cluster,
                location=json.dumps(self._location),
                rates=self._rates,
                scheduler=self._scheduler,
                settings="\n".join(f"{name} = {json.dumps(value)}" for name, value in self._settings.items()),
                scripts=self._scripts,
                environment="\n".join(f"{name} = {json.dumps(value)}" for name, value in self._environment.items()),
                publish=self._publish,
                publish_owners=json.dumps(self._publish_owners),
                ledger=self.ledger_address,
                interval=self._interval,
                socket=self.socket,
                group=grp.getgrgid(os.getgid()).gr_name,
                metrics=self.metrics_address,
                textfile=self._textfile("agent"),
            )
        )

    def _textfile(self, daemon: str) -> str:
        return f'textfile = "{self.directory / daemon}.prom"' if self.metrics_address else ""

    def set_up(self) -> None:
        """Everything from nothing to an approved cluster with both daemons running."""
        self.write_configuration()
        if self._network is None:
            token = self.init_ledger()
            self.start_ledger()
            self.ctl("--identity", str(self.admin_identity), "enrol", "--installation", "laptop", given=token)
        token = self.admin("admin", "token", "--role", "provider", "--name", self.cluster).strip()
        self.ctl("--identity", str(self.agent_identity), "enrol", "--installation", "frontend", given=token)
        self.start_agent()
        wait_until(self._registered, what="the cluster to be registered")
        self.admin("admin", "approve", self.cluster)

    def init_ledger(self) -> str:
        """Makes the ledger and returns the first admin's token."""
        argv = [str(BIN / "hpcbridge-ledgerd"), "--config", str(self.ledger_config), "init", "--origin", ORIGIN, "--admin", "alice"]
        for name, value in self._parameters.items():
            argv += ["--parameter", f"{name}={value}"]
        return run(argv).strip().splitlines()[-1]

    def start_ledger(self, *, program: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        """Starts ledgerd, or the Python `program` in its place, with more in its environment, and waits until it serves."""
        command = [str(BIN / "hpcbridge-ledgerd")] if program is None else [sys.executable, "-c", program]
        argv = [*command, "--config", str(self.ledger_config), "run"]
        self.ledger = Process(argv, log=self.directory / "ledgerd.log", environment=environment)
        self.ledger.wait_ready()

    def start_agent(self, *, program: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        """Starts hpcbridged, or the Python `program` in its place, with more in its environment, and waits until it is ready."""
        command = [str(BIN / "hpcbridged")] if program is None else [sys.executable, "-c", program]
        argv = [*command, "--config", str(self.agent_config)]
        with contextlib.nullcontext() if self._accounts is None else self._accounts.inside():
            self.agent = Process(argv, log=self.directory / "hpcbridged.log", environment=environment)
        self.agent.wait_ready()

    def admin(self, *arguments: str) -> str:
        """hpcbridgectl as the admin."""
        return self.ctl("--identity", str(self.admin_identity), *arguments)

    def frontend(self, *arguments: str) -> str:
        """hpcbridgectl as the sysadmin on the frontend, through the daemon."""
        return self.ctl("--config", str(self.agent_config), *arguments)

    def ctl(self, *arguments: str, given: str | None = None) -> str:
        """Runs hpcbridgectl and returns its standard output; RuntimeError with its messages if it fails."""
        return run([str(BIN / "hpcbridgectl"), *arguments], given=given)

    def kill_agent(self) -> None:
        """kill -9 of hpcbridged."""
        if self.agent is None:
            raise RuntimeError("hpcbridged was not started")
        self.agent.kill()

    def agent_status(self) -> dict[str, Any]:
        """`hpcbridgectl status` of the running daemon."""
        answer: dict[str, Any] = json.loads(self.frontend("-o", "json", "status"))
        return answer

    def ledger_log(self) -> str:
        """What hpcbridge-ledgerd has said so far."""
        return (self.directory / "ledgerd.log").read_text(errors="replace")

    def agent_log(self) -> str:
        """What hpcbridged has said so far."""
        return (self.directory / "hpcbridged.log").read_text(errors="replace")

    def sees(self, job_id: str) -> bool:
        """True if the job is in the daemon's last report."""
        return any(job["job_id"] == job_id for job in json.loads(self.frontend("-o", "json", "jobs", "list"))["jobs"])

    def is_drained(self) -> bool:
        """True if nothing waits in the spool and nothing is on its way."""
        spool = self.agent_status()["spool"]
        return (spool["waiting"], spool["in_flight"]) == (0, 0)

    def jobs_on_ledger(self) -> dict[str, dict[str, Any]]:
        """The cluster's jobs as the ledger knows them, by id."""
        answer = json.loads(self.admin("-o", "json", "jobs", "list", "--cluster", self.cluster))
        return {job["job_id"]: job for job in answer["jobs"]}

    def close(self) -> None:
        """Ends both daemons, whatever state they are in."""
        for process in (self.agent, self.ledger):
            if process is not None:
                process.end()
        self.socket.unlink(missing_ok=True)

    def _registered(self) -> bool:
        answer = json.loads(self.admin("-o", "json", "clusters", "list"))
        return any(cluster["registration"]["cluster"] == self.cluster for cluster in answer["clusters"])


class Process:
    """A daemon with sd_notify: `wait_ready` returns when it said READY=1 and tells its log when it ends before."""

    def __init__(self, argv: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.argv = tuple(argv)
        self.log = log
        self._status = ""
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind("")
        name = self._notify.getsockname()
        address = "@" + name[1:].decode() if isinstance(name, bytes) else name
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "NOTIFY_SOCKET": address, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """Of the daemon itself."""
        return self._process.pid

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Returns at READY=1; RuntimeError with the end of the log if the daemon stops or stays silent."""
        self._notify.settimeout(0.2)
        ended = threading.Event()
        for _ in range(int(seconds / 0.2)):
            try:
                if b"READY=1" in self._notify.recv(4096):
                    return
            except TimeoutError:
                if self._process.poll() is not None:
                    ended.set()
                    break
        state = f"ended with {self._process.returncode}" if ended.is_set() else f"not ready after {seconds:g} s"
        raise RuntimeError(f"{self.argv[0]}: {state}:\n{self.log.read_text(errors='replace')[-3000:]}")

    def pings(self, seconds: float) -> int:
        """How often the process fed the watchdog in this time, from now on."""
        self._hear()
        threading.Event().wait(seconds)
        return self._hear().count("WATCHDOG=1")

    def told(self) -> str:
        """The last status line it gave the service manager."""
        self._hear()
        return self._status

    def _hear(self) -> list[str]:
        self._notify.settimeout(0)
        heard: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(self._notify.recv(4096).decode())
        self._status = next((each.removeprefix("STATUS=") for each in reversed(heard) if each.startswith("STATUS=")), self._status)
        return heard

    def pause(self) -> None:
        """Stops the process where it is: it is there and does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused process go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        self._process.kill()
        self._process.wait()

    def end(self, seconds: float = 20.0) -> int:
        """SIGTERM, then SIGKILL after `seconds`; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._notify.close()
        return self._process.returncode

    def wait(self, seconds: float) -> int:
        """Waits for an end by itself and returns the exit status."""
        return self._process.wait(seconds)


def run(argv: Sequence[str], *, given: str | None = None) -> str:
    """Standard output of a command; RuntimeError with what it said if it fails."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition: Callable[[], bool], *, what: str, seconds: float = READY_SECONDS) -> None:
    """Asks again every 0.1 s; TimeoutError naming what was waited for."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.1)):
        if condition():
            return
        pause.wait(0.1)
    raise TimeoutError(f"waited {seconds:g} s for {what}")
