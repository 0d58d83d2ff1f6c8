# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A market of real parts: clusters with accounts of their own, their daemons, one ledger, and people with hpcbridgectl.

A site is a real scheduler in a world of tests/private_accounts.py, so the provider's daemon makes real accounts there, and a user logs in
with a passcode as a stranger would. Needs root. Used by the end-to-end test of the market and by the demo.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from tests.bridge import BIN, Bridge, wait_until
from tests.private_accounts import STRANGER, PrivateAccounts
from tests.private_gridengine import PrivateGridEngine
from tests.private_slurm import PrivateSlurm

CHIANG_MAI = (18.79, 98.99)
HAMBURG = (53.55, 9.99)
BANGKOK = "13.8,100.5"
RATES = (36, 1800)
"""A core costs a hundredth a second, a GPU a half: what is charged can be checked by eye."""
QUICK = {"rental_grace_ms": 3000}
"""Network parameters with which a rental ends seconds after its last job."""


class Site(Protocol):
    """A cluster: its scheduler runs in the world of its accounts. `two_cores` are a submission's options for a job of two cores."""

    scheduler: str
    accounts: PrivateAccounts
    submit_command: str
    two_cores: tuple[str, ...]

    @property
    def environment(self) -> Mapping[str, str]:
        """What the scheduler's commands need."""

    def login(self, username: str, passcode: str, command: str) -> str:
        """Runs a command on the frontend as somebody who knows a passcode; RuntimeError if the login is refused or the command fails."""

    def submit(self, username: str, passcode: str, command: str, *options: str) -> str:
        """A job of a shell command by this user; returns what the scheduler's command answers."""

    def wait_running(self, job_id: str) -> None:
        """Waits until a job runs."""

    def close(self) -> None:
        """Ends everything."""


class SlurmSite(Site):
    """A private Slurm whose users find its configuration where a user expects it."""

    scheduler = "slurm"
    submit_command = "sbatch"
    two_cores = ("--ntasks=2", "--no-requeue")

    def __init__(self, directory: Path, *, cluster: str, nodes: int = 2) -> None:
        with ExitStack() as stack:
            self.accounts = stack.enter_context(PrivateAccounts(directory / "world"))
            with self.accounts.inside():
                self.slurm = stack.enter_context(PrivateSlurm(directory / "slurm", nodes=nodes, cluster=cluster))
                Path("/etc/slurm").mkdir(exist_ok=True)
                Path("/etc/slurm/slurm.conf").write_text(self.slurm.configuration.read_text())
            self._stack = stack.pop_all()

    @property
    def environment(self) -> Mapping[str, str]:
        """As the private Slurm's."""
        return self.slurm.environment

    def login(self, username: str, passcode: str, command: str) -> str:
        """su decides, and through it PAM."""
        return self.accounts.run(["su", "-", username, "-c", command], user=STRANGER, stdin=f"{passcode}\n".encode())

    def submit(self, username: str, passcode: str, command: str, *options: str) -> str:
        """sbatch by this user."""
        return self.login(username, passcode, " ".join(["sbatch", *options, f"--wrap='{command}'"])).strip()

    def wait_running(self, job_id: str) -> None:
        """As squeue says."""
        self.slurm.wait_state(job_id, "RUNNING")

    def fail_node_of(self, job_id: str) -> str:
        """The node is set down."""
        node = self.slurm.run(["squeue", "-h", "-j", job_id, "-o", "%N"]).strip()
        self.slurm.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=power"])
        return node

    def close(self) -> None:
        """Slurm first, then what is left in its world."""
        self._stack.close()


class GridEngineSite(Site):
    """A private Grid Engine; who logs in is on head1 and finds its settings in the environment."""

    scheduler = "gridengine"
    submit_command = "qsub"
    two_cores = ("-pe", "smp", "2")

    def __init__(self, directory: Path, *, cluster: str, nodes: int = 2) -> None:
        with ExitStack() as stack:
            self.accounts = stack.enter_context(PrivateAccounts(directory / "world"))
            with self.accounts.inside():
                self.gridengine = stack.enter_context(
                    PrivateGridEngine(directory / "gridengine", nodes=nodes, cluster=cluster, own_etc=True)
                )
                settings = {name: value for name, value in self.gridengine.environment.items() if name.startswith("SGE_")}
                lines = [f"export {name}={value}\n" for name, value in settings.items()]
                Path("/etc/profile.d/gridengine.sh").write_text("".join(lines))
            self._stack = stack.pop_all()

    @property
    def environment(self) -> Mapping[str, str]:
        """As the private Grid Engine's."""
        return self.gridengine.environment

    def wait_running(self, job_id: str) -> None:
        """As qstat says."""
        self.gridengine.wait_state(job_id, "r")

    def login(self, username: str, passcode: str, command: str) -> str:
        """su on head1."""
        stranger = ["setpriv", f"--reuid={STRANGER}", "--regid=nogroup", "--clear-groups"]
        return self.gridengine.run([*stranger, "su", "-", username, "-c", command], stdin=f"{passcode}\n".encode())

    def submit(self, username: str, passcode: str, command: str, *options: str) -> str:
        """qsub by this user."""
        line = " ".join(["qsub", "-b", "y", "-shell", "n", *options, "/bin/sh", "-c", f"'{command}'"])
        return self.login(username, passcode, line).strip()

    def close(self) -> None:
        """Grid Engine first, then what is left in its world."""
        self._stack.close()


def frontend(directory: Path, site: Site, *, cluster: str, location: tuple[float, float], network: Bridge | None = None) -> Bridge:
    """A daemon for a site, which makes the accounts of tenants by itself; not started."""
    return Bridge(
        directory,
        scheduler=site.scheduler,
        cluster=cluster,
        environment={**site.environment, **site.accounts.accounts_environment},
        settings={"accounts": "direct"},
        location=location,
        rates=RATES,
        network=network,
        accounts=site.accounts,
    )


class People:
    """Whoever takes part with hpcbridgectl, each with an identity folder under `directory`."""

    def __init__(self, directory: Path, network: Bridge) -> None:
        self._directory = directory
        self._network = network

    def enrol(self, name: str, role: str, *options: str) -> None:
        """An admin's token, redeemed."""
        token = self._network.admin("admin", "token", "--role", role, "--name", name, *options)
        self.says(name, "enrol", "--installation", "laptop", given=token)

    def identity(self, name: str) -> Path:
        """Where somebody's key is."""
        return self._directory / name

    def says(self, name: str, *arguments: str, given: str | None = None) -> str:
        """hpcbridgectl by somebody; what it prints."""
        return self._network.ctl("--identity", str(self.identity(name)), *arguments, given=given)

    def asks(self, name: str, *arguments: str) -> Any:
        """The same as JSON."""
        return json.loads(self.says(name, "-o", "json", *arguments))


class Follower:
    """`hpcbridgectl events --follow` of somebody, in the background, from the beginning of the log."""

    def __init__(self, identity: Path) -> None:
        argv = [str(BIN / "hpcbridgectl"), "--identity", str(identity), "-o", "json", "events", "--from", "0.0", "--follow"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._heard: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def heard(self, event_type: str, subject: str = "") -> list[dict[str, Any]]:
        """What came so far of a type, and of a subject if one is given."""
        return [event for event in list(self._heard) if event["type"] == event_type and subject in ("", event["subject"])]

    def wait_for(self, event_type: str, subject: str = "", *, holds: Callable[[Any], bool] = bool, seconds: float = 60.0) -> dict[str, Any]:
        """The first such event for whose body `holds` is true."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            found[:] = [event for event in self.heard(event_type, subject) if holds(event["body"])]
            return bool(found)

        wait_until(came, what=f"{event_type} of {subject or 'anything'}", seconds=seconds)
        return found[0]

    def live(self, *, seconds: float) -> Iterator[dict[str, Any]]:
        """Every event in order, and what comes, for so long at most."""
        read, pause = 0, threading.Event()
        for _ in range(int(seconds / 0.1)):
            while read < len(self._heard):
                read += 1
                yield self._heard[read - 1]
            pause.wait(0.1)

    def way_of(self, job: str) -> list[tuple[str, str | None]]:
        """Phases of a job (`cluster/id#incarnation`) as they came, each with its outcome."""
        return [(event["body"]["phase"], event["body"]["outcome"]) for event in self.heard("JOB_CHANGED", job)]

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._heard.append(json.loads(line))


def job_id_of(answer: str) -> str:
    """The number in what sbatch or qsub says."""
    found = re.search(r"job (\d+)", answer)
    if found is None:
        raise RuntimeError(f"no job in {answer!r}")
    return found[1]


def set_parameters(network: Bridge, values: Mapping[str, int]) -> None:
    """An admin sets network parameters."""
    network.admin("admin", "parameters", "set", *(f"{name}={value}" for name, value in values.items()))


def rates_of(offers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The rate for a core and hour of each offer: a cluster without rates of its own for a queue has one for all of them."""
    return {offer["offer"]: min(queue["rates"]["cpu_core_per_hour"] for queue in offer["queues"]) for offer in offers}
