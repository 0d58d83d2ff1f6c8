# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The guide's first hour, typed from the page in its order on two fresh booted machines; then its way to forget a frontend for good.

The machines are Debian's, so `dnf` is a few lines here that hand the same files to rpm. Everything else runs as it stands on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.booted_machine import BootedMachine, join
from tests.booted_slurm import start_slurm
from tests.machine_packages import CHECKOUT, Packages, install
from tests.private_slurm import wait_until

GUIDE = CHECKOUT / "docs" / "sysadmin-guide.md"
PROMPT = re.compile(r"(?P<who>[a-z]+)(?P<sign>[#$]) (?P<command>.*)", re.DOTALL)
DNF = """\
#!/bin/sh
verb=$1; shift 2
case $verb in
install) exec rpm --upgrade --force-debian "$@" ;;
remove) exec rpm --erase "$@" ;;
esac
exit 64
"""
TOKEN = re.compile(r"^hpcb1\.\S+$", re.MULTILINE)


def commands_of(section: str, page: str) -> list[tuple[str, str]]:
    """Who types what, in the order of the page; a here-document belongs to its command."""
    found: list[tuple[str, str]] = []
    text = page.split(f"\n{section}\n", 1)[1]
    text = re.split(rf"\n#{{1,{section.count('#')}}} ", text, maxsplit=1)[0]
    for block in re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        typed = map(PROMPT.fullmatch, re.split(r"\n(?=[a-z]+[#$] )", block.strip()))
        found += [(said["who"], said["command"]) for said in typed if said is not None]
    return found


@dataclass
class Hour:
    """The machines, and the last token that was shown on any screen."""

    hosts: dict[str, BootedMachine]
    token: str = ""
    screens: list[str] = field(default_factory=list)

    def type(self, who: str, command: str) -> str:
        """One command as a person types it: beside the packages, with the token pasted where one is asked for."""
        machine = self.hosts[who]
        home = "/root" if who in ("frontend", "ledger") else f"/home/{who}"
        script = f"mkdir -p {home}; export HOME={home}; cd /var/tmp/packages; {command}"
        done = machine.try_run("bash", "-euc", script, stdin=self.token if command.endswith("enrol") else "", timeout=120)
        screen = f"{who}: {command}\nexit status {done.returncode}\n{done.stdout}{done.stderr}"
        self.screens.append(screen)
        assert done.returncode == 0, screen
        if shown := TOKEN.search(done.stdout):
            self.token = shown[0]
        return done.stdout + done.stderr


@pytest.fixture(name="hour", scope="module")
def _hour(machine_root: Path, packages: Packages, base: Path) -> Iterator[Hour]:
    with BootedMachine(machine_root, name="frontend") as frontend, BootedMachine(machine_root, name="ledger") as ledger:
        addresses = join(frontend, ledger)
        for machine, own in ((ledger, packages.ledger), (frontend, packages.agent)):
            machine.run("sh", "-euc", "cat >>/etc/hosts", stdin=f"{addresses[1]} ledger.example\n")
            machine.write("/usr/bin/dnf", DNF, mode=0o755)
            install(machine, base)
            for package in (packages.library, own):
                machine.copy(package, f"/var/tmp/packages/{package.name}")
        start_slurm(frontend)
        yield Hour({"frontend": frontend, "ledger": ledger, "alice": ledger})


def test_the_first_hour_as_it_stands_on_the_page(hour: Hour) -> None:
    typed = commands_of("## The first hour", GUIDE.read_text())
    assert [who for who, _ in typed].count("frontend") >= 10
    shown: dict[str, str] = {}
    for who, command in typed:
        if command.startswith("hpcbridgectl receipt show"):
            wait_until(lambda: "no receipt" not in _try(hour, command), timeout=60, what="the receipt")  # noqa: B023 - called at once
        if command.startswith("hpcbridgectl jobs"):
            wait_until(lambda: "COMPLETED" in _listed(hour) or "RUNNING" in _listed(hour), timeout=60, what="the job")
        if command == "hpcbridgectl status" and command in shown:
            hour.hosts[who].wait(
                lambda: "all right" in hour.hosts["frontend"].try_run("hpcbridgectl", "status").stdout, what="all to be well"
            )
        shown[command] = hour.type(who, command)
    assert "All is fine." in shown["hpcbridgectl check"]
    assert shown["hpcbridgectl receipt verify /root/1.receipt"].startswith("included   yes")
    assert "hpcbridged is all right" in shown["hpcbridgectl status"]


def test_what_the_daemon_says_has_fields_in_the_journal(hour: Hour) -> None:
    machine = hour.hosts["frontend"]
    machine.run("systemctl", "restart", "hpcbridged")
    found = machine.run("journalctl", "-u", "hpcbridged", "HPCBRIDGE_EVENT=started", "-o", "json", "--no-pager").splitlines()
    assert found
    assert '"HPCBRIDGE_CLUSTER":"north"' in found[-1]
    assert '"PRIORITY":"6"' in found[-1]
    assert '"_SYSTEMD_UNIT":"hpcbridged.service"' in found[-1]
    assert not machine.run("journalctl", "-q", "-u", "hpcbridged", "HPCBRIDGE_EVENT=never_said", "-o", "json", "--no-pager").strip()


def test_a_frontend_is_forgotten_for_good_as_the_page_says(hour: Hour) -> None:
    machine = hour.hosts["frontend"]
    machine.run("test", "-d", "/var/lib/hpcbridge/identity")
    hour.type("alice", "hpcbridgectl admin revoke north/frontend --yes")
    typed = commands_of("### Upgrade and erase", GUIDE.read_text())
    assert len(typed) == 3
    for who, command in typed:
        hour.type(who, command)
    assert machine.try_run("getent", "passwd", "hpcbridge").returncode != 0
    left = machine.run("find", "/etc", "/usr", "/var/lib", "/var/cache", "/run", "-name", "*hpcbridge*", "-not", "-path", "/var/lib/rpm/*")
    assert left.strip() == ""


def _try(hour: Hour, command: str) -> str:
    _hurry(hour)
    done = hour.hosts["frontend"].try_run("bash", "-c", command.partition(" --save ")[0])
    return "" if done.returncode == 0 else f"no receipt: {done.stderr}"


def _listed(hour: Hour) -> str:
    _hurry(hour)
    return hour.hosts["frontend"].try_run("hpcbridgectl", "-o", "json", "jobs", "list").stdout


def _hurry(hour: Hour) -> None:
    """The page's daemon asks every 15 s; who waits in a test has it asked now."""
    hour.hosts["frontend"].run("hpcbridgectl", "spool", "flush")
