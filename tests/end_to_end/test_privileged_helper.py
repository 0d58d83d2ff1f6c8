# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A tenant's account the way a site has it: hpcbridged gives orders, `hpcbridge-accounts` runs the scripts that come with it, and they make
accounts with which somebody logs in. The daemon is outside of the world in which the accounts are.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from hpcbridge.identity.passcode import passcode_from_text
from tests.bridge import ROOT, Bridge, wait_until
from tests.market_world import People
from tests.private_accounts import PATH, PrivateAccounts
from tests.scripted_slurm import ScriptedSlurm

SENDMAIL = '#!/bin/sh\n[ "$*" = "-t -i" ] && cat >{mail}\n'


class HelpedSite:
    """A ledger, a daemon, the helper in a world of accounts, and a user who rents."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = PrivateAccounts(directory / "world")
        self.mail = directory / "mail"
        programs = directory / "programs"
        programs.mkdir()
        (programs / "sendmail").write_text(SENDMAIL.format(mail=self.mail))
        (programs / "sendmail").chmod(0o755)
        self._socket = directory / "accounts.sock"
        self.bridge = Bridge(
            directory / "bridge",
            scripts=ScriptedSlurm(directory / "slurm").scripts,
            publish="tenants",
            settings={"accounts": "helper", "accounts_socket": str(self._socket), "accounts_scripts": str(_installed(directory))},
            environment={**self.world.accounts_environment, "PATH": f"{programs}:{PATH}"},
        )
        self.people = People(directory / "people", self.bridge)
        self.helper: Popen[bytes] | None = None

    def set_up(self) -> None:
        self.bridge.set_up()
        self.people.enrol("ulla", "user")
        self.bridge.admin("admin", "credit", "ulla", "1000", "--reference", "test")
        wait_until(self._takes_addresses, what="the daemon's key for addresses, registered once it knows that the ledger takes one")
        wait_until(lambda: self.people.asks("ulla", "offers", "--cores", "1", "--walltime", "1min")["offers"], what="an offer")

    def _takes_addresses(self) -> bool:
        answer = json.loads(self.bridge.admin("-o", "json", "clusters", "show", self.bridge.cluster))
        return bool(answer["registration"]["sealing_key"])

    def start_helper(self) -> None:
        """With the daemon's own configuration, as its unit starts it; here with a socket of its own."""
        argv = [sys.executable, "-m", "hpcbridge.accounts.main", "--config", str(self.bridge.agent_config), "--user", "root"]
        self.helper = self.world.spawn([*argv, "--socket", str(self._socket), "--idle", "600"], output=self.directory / "helper.log")

    def kill_helper(self) -> None:
        assert self.helper is not None
        self.helper.kill()
        self.helper.wait()

    def rent(self, *options: str) -> dict[str, Any]:
        offers = self.people.asks("ulla", "offers", "--cores", "1", "--walltime", "1min")
        rental: dict[str, Any] = self.people.asks("ulla", "rent", "--best", offers["request"]["request"], *options)
        return rental

    def rental(self, name: str) -> dict[str, Any]:
        rental: dict[str, Any] = self.people.asks("ulla", "rentals", "show", name)["rental"]
        return rental

    def close(self) -> None:
        if self.helper is not None:
            self.kill_helper()
        self.bridge.close()
        self.world.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HelpedSite]:
    built = HelpedSite(tmp_path)
    try:
        built.set_up()
        yield built
    finally:
        built.close()


def test_an_account_by_daemon_helper_and_scripts_from_the_rental_to_its_end(site: HelpedSite) -> None:
    rental = site.rent("--contact", "ulla@mail.example")
    name, username = rental["rental"], rental["username"]
    wait_until(lambda: "nobody listens there" in site.bridge.frontend("status"), what="the sysadmin to be told")
    site.start_helper()
    site.bridge.frontend("spool", "flush")

    told = site.people.asks("ulla", "passcode", name)
    assert (told["username"], told["login_address"]) == (username, rental["login_address"])
    assert site.world.lets_in(username, told["passcode"])
    assert not site.world.lets_in(username, f"{told['passcode']}x")
    assert site.rental(name)["state"] == "READY"

    wait_until(site.mail.exists, what="the mail", seconds=60)
    assert "To: ulla@mail.example" in site.mail.read_text()
    assert told["passcode"] not in site.mail.read_text()
    assert passcode_from_text(site.mail.read_text())

    site.kill_helper()
    with pytest.raises(RuntimeError, match="has not come yet"):
        site.people.says("ulla", "passcode", name, "--new", "--wait", "0")
    site.start_helper()
    site.bridge.frontend("spool", "flush")
    another = site.people.asks("ulla", "passcode", name)["passcode"]
    assert (site.world.lets_in(username, another), site.world.lets_in(username, told["passcode"])) == (True, False)

    stays = site.world.spawn(["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"], user=username)
    site.people.says("ulla", "rentals", "cancel", name)
    wait_until(lambda: site.rental(name)["account"] == "CLOSED", what="the account to be closed")
    assert stays.wait(10) == -signal.SIGKILL
    assert not site.world.lets_in(username, another)
    _check_that_nobody_wrote_down(site, told["passcode"], another)


def _check_that_nobody_wrote_down(site: HelpedSite, *passcodes: str) -> None:
    files = [path for path in site.directory.rglob("*") if path.is_file() and not path.is_relative_to(site.world.directory)]
    written = b"".join(path.read_bytes() for path in files)
    assert b"account_create" in written, "control: the search finds what is there"
    for passcode in passcodes:
        assert not [part for part in passcode.split("-") if part.encode() in written]
        assert site.world.run(["grep", "-rl", passcode, "/etc", "/home", "/run", "/var/log", "/var/spool"], check=False) == ""


def _installed(directory: Path) -> Path:
    """The scripts as a package installs them, whoever owns the checkout."""
    copied = shutil.copytree(ROOT / "scheduler_scripts" / "accounts", directory / "installed" / "accounts")
    for path in (copied, *copied.rglob("*")):
        os.chown(path, 0, 0)
        path.chmod(path.stat().st_mode & ~0o022)
    return copied / "unix"
