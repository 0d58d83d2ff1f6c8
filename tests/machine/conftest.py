# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Two booted machines with our RPMs: a frontend of a real Slurm, and the host of the ledger it reports to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.booted_machine import BootedMachine, MachineMissing, check_machine, join
from tests.booted_slurm import start_slurm
from tests.machine_packages import Packages, base_package, build_packages, install

PHASES = ("QUEUE", "RUN", "END")
CONFIG = "/etc/hpcbridge/hpcbridged.toml"
AGENT_TOML = """\
# written by the sysadmin of north
[cluster]
name = "north"
login_address = "login.north.example"

[scheduler]
name = "slurm"
environment = { SLURM_CONF = "/etc/slurm/slurm.conf" }

[publish]
mode = "full"

[intervals]
jobs = 1
nodes = 5
queues = 5
"""
LEDGER_TOML = """\
[listen]
server_names = ["ledger"]
public_address = "ledger:7443"
public_enrolment = "ledger:7444"
"""


@dataclass(frozen=True)
class Site:
    """The frontend, the ledger's host, and what the network's admin does there."""

    frontend: BootedMachine
    ledger: BootedMachine

    def admin(self, *arguments: str, stdin: str = "") -> str:
        return self.ledger.run("hpcbridgectl", "--identity", "/root/admin", *arguments, stdin=stdin)

    def job_events(self) -> list[dict[str, Any]]:
        """Every change of a job that stands on the ledger, as its admin reads it."""
        lines = self.admin("-o", "json", "events", "--type", "JOB_CHANGED").splitlines()
        return [json.loads(line) for line in lines]

    def changes(self) -> dict[str, list[tuple[str, str]]]:
        """Phase and state of every change, for each job."""
        found: dict[str, list[tuple[str, str]]] = {}
        for event in self.job_events():
            found.setdefault(event["body"]["job_id"], []).append((event["body"]["phase"], event["body"]["state"]))
        return found

    def wait_phase(self, job_id: str, phase: str) -> list[tuple[str, str]]:
        """Waits until the ledger has a job in this phase; all its changes until then."""
        reached = lambda: any(phase == each for each, _ in self.changes().get(job_id, ()))  # noqa: E731 - a condition, not a function
        self.frontend.wait(reached, what=f"{phase} of job {job_id} on the ledger")
        return self.changes()[job_id]


def is_whole(changes: list[tuple[str, str]]) -> bool:
    """True if no change is missing or doubled; a job that starts at once may never have been seen in the queue."""
    phases = [phase for phase, _ in changes]
    return len(set(changes)) == len(changes) and sorted(phases, key=PHASES.index) == phases and set(PHASES[1:]) <= set(phases)


@pytest.fixture(scope="session")
def machine_root() -> Path:
    """The file system to boot. Where nothing can be booted this is said and left out, but fails when CI=true."""
    try:
        check_machine("rpmbuild", "debootstrap")
    except MachineMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    maker = Path(__file__).parents[1] / "make_machine_root"
    return Path(subprocess.run([maker], capture_output=True, text=True, check=True, timeout=280).stdout.strip())


@pytest.fixture(scope="session")
def builds(machine_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Future[Packages], Future[Packages]]]:
    """Two releases of the RPMs of this checkout; the second one is built while the first one is tried. Workers of one run share them."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "packages"
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(build_packages, folder / "1"), pool.submit(build_packages, folder / "2", release="2")


@pytest.fixture(scope="session")
def packages(builds: tuple[Future[Packages], Future[Packages]]) -> Packages:
    """The RPMs of this checkout."""
    return builds[0].result()


@pytest.fixture(scope="session")
def later_packages(builds: tuple[Future[Packages], Future[Packages]]) -> Packages:
    """The same programs as a later release."""
    return builds[1].result()


@pytest.fixture(scope="session")
def base(machine_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the root provides, as an RPM."""
    return base_package(machine_root, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def site(machine_root: Path, packages: Packages, base: Path) -> Iterator[Site]:
    """Everything installed, enrolled, started and approved, as the guide says."""
    with ExitStack() as stack:
        frontend = stack.enter_context(BootedMachine(machine_root, name="frontend"))
        ledger = stack.enter_context(BootedMachine(machine_root, name="ledger"))
        join(frontend, ledger)
        install(ledger, base, packages.library, packages.ledger)
        install(frontend, base, packages.library, packages.agent)
        start_slurm(frontend)
        site = Site(frontend, ledger)
        _found_ledger(site)
        _enrol_frontend(site)
        yield site


def _found_ledger(site: Site) -> None:
    site.ledger.write("/etc/hpcbridge/ledgerd.toml", LEDGER_TOML)
    init = ("hpcbridge-ledgerd", "init", "--origin", "test.example", "--admin", "alice")
    token = site.ledger.run("runuser", "-u", "hpcbridge-ledger", "--", *init)
    site.ledger.run("systemctl", "enable", "--now", "hpcbridge-ledgerd")
    site.admin("enrol", "--installation", "desk", stdin=token)


def _enrol_frontend(site: Site) -> None:
    token = site.admin("admin", "token", "--role", "provider", "--name", "north")
    identity = ("--identity", "/var/lib/hpcbridge/identity")
    site.frontend.run("hpcbridgectl", *identity, "enrol", "--installation", "frontend", stdin=token)
    site.frontend.write(CONFIG, AGENT_TOML)
    site.frontend.run("hpcbridgectl", "check")
    site.frontend.run("systemctl", "enable", "--now", "hpcbridged")
    clusters = ("-o", "json", "clusters", "list")
    site.frontend.wait(lambda: "north" in site.admin(*clusters), what="the registration of north")
    site.admin("admin", "approve", "north")
