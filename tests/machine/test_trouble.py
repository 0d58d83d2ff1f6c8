# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on a frontend that runs: a second daemon, a disk that is full or read-only, another host name, certificates that end,
an earlier program on a later file. Each with what is said, and that all is well afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.booted_machine import BootedMachine
from tests.booted_slurm import submit
from tests.machine.conftest import Site, is_whole
from tests.machine_packages import Packages, install

STATE = "/var/lib/hpcbridge"
AS_DAEMON = ("runuser", "-u", "hpcbridge", "--")
SHORT_MS = 10_000
DAY_MS = 86_400_000
SET_VERSION = "import sqlite3; d = sqlite3.connect('{state}/spool.db'); d.execute('PRAGMA user_version = {version}'); d.close()"
READ_VERSION = "import sqlite3; print(sqlite3.connect('{state}/spool.db').execute('PRAGMA user_version').fetchone()[0])"


@pytest.fixture(name="frontend")
def _frontend(site: Site) -> Iterator[BootedMachine]:
    """The frontend, whose daemon runs before and after, whatever a test does to it."""
    machine = site.frontend
    machine.run("systemctl", "start", "hpcbridged")
    yield machine
    machine.try_run("systemctl", "reset-failed", "hpcbridged")
    machine.run("systemctl", "start", "hpcbridged")
    machine.wait(lambda: "is all right" in machine.try_run("hpcbridgectl", "status").stdout, what="all to be well again")


def fails_to_start(machine: BootedMachine) -> tuple[str, str]:
    """Starts the unit, which must not come up; its exit status and the last words in the journal."""
    machine.try_run("systemctl", "stop", "hpcbridged")
    since = machine.run("date", "+%F %T.%6N").strip()
    assert machine.try_run("systemctl", "start", "hpcbridged").returncode != 0
    said = machine.run("journalctl", "--no-pager", "--output=cat", "--unit=hpcbridged", f"--since={since}")
    status = machine.property("hpcbridged", "ExecMainStatus")
    machine.try_run("systemctl", "stop", "hpcbridged")
    machine.try_run("systemctl", "reset-failed", "hpcbridged")
    return status, said


def test_a_second_daemon_on_one_spool_ends_and_says_so(frontend: BootedMachine) -> None:
    before = frontend.property("hpcbridged", "MainPID")
    second = frontend.try_run(*AS_DAEMON, "hpcbridged")
    assert second.returncode == 78
    assert f"{STATE}/spool.db is in use by another process" in second.stderr
    assert "is another hpcbridged running?" in second.stderr
    assert frontend.property("hpcbridged", "MainPID") == before
    assert frontend.property("hpcbridged", "ActiveState") == "active"


def test_a_state_directory_that_is_read_only_is_named(frontend: BootedMachine) -> None:
    frontend.run("systemctl", "stop", "hpcbridged")
    frontend.shell(f"mount --bind {STATE} {STATE}; mount -o remount,ro,bind {STATE}")
    try:
        assert frontend.try_run("touch", f"{STATE}/mark").returncode != 0
        status, said = fails_to_start(frontend)
    finally:
        frontend.run("umount", STATE)
    assert status in ("70", "78")
    assert STATE in said
    assert "read-only" in said.lower()


def test_a_full_disk_loses_nothing_and_is_shown(site: Site, frontend: BootedMachine) -> None:
    frontend.run("systemctl", "stop", "hpcbridged")
    frontend.shell(
        f"mkdir /var/tmp/state; cp -a {STATE}/. /var/tmp/state;"
        f"mount -t tmpfs -o size=64m,mode=700,uid=$(id -u hpcbridge),gid=$(id -g hpcbridge) var {STATE}; cp -a /var/tmp/state/. {STATE}"
    )
    try:
        frontend.run("systemctl", "start", "hpcbridged")
        frontend.wait(lambda: "is all right" in frontend.try_run("hpcbridgectl", "status").stdout, what="the daemon on the small disk")
        frontend.try_run("sh", "-c", f"dd if=/dev/zero of={STATE}/filler bs=64k 2>/dev/null; cat /dev/zero >>{STATE}/filler")
        assert frontend.run("df", "--output=avail", STATE).split()[-1] == "0"
        job = submit(frontend, "sleep 2")
        full = "the disk of the state directory is full: "
        frontend.wait(lambda: full in frontend.run("hpcbridgectl", "status"), what="a word on it")
        assert frontend.property("hpcbridged", "ActiveState") == "active"
        frontend.run("rm", f"{STATE}/filler")
        assert is_whole(site.wait_phase(job, "END"))
    finally:
        frontend.run("systemctl", "stop", "hpcbridged")
        frontend.shell(
            f"cp -a {STATE}/. /var/tmp/state; umount {STATE}; cp -a /var/tmp/state/. {STATE}; rm -r /var/tmp/state {STATE}/filler || true"
        )


@pytest.mark.full
def test_a_host_with_another_name_is_the_same_installation(site: Site, frontend: BootedMachine) -> None:
    name = frontend.run("hostname").strip()
    frontend.shell("hostname renamed; echo '127.0.0.1 renamed' >>/etc/hosts")
    try:
        frontend.run("systemctl", "restart", "hpcbridged")
        frontend.wait(lambda: "north/frontend" in frontend.try_run("hpcbridgectl", "status").stdout, what="the daemon")
        job = submit(frontend, "true")
        site.wait_phase(job, "END")
    finally:
        frontend.run("hostname", name)


def test_certificates_that_end_soon_are_renewed_while_jobs_flow(site: Site, frontend: BootedMachine) -> None:
    def serials() -> list[str]:
        query = ("-u", "hpcbridged", "HPCBRIDGE_EVENT=certificate_renewed", "-o", "json", "--no-pager")
        return [json.loads(line)["HPCBRIDGE_SERIAL"] for line in frontend.run("journalctl", *query).splitlines()]

    # A certificate on record is not renewed by a shorter one, so a further installation of the site takes its turn.
    frontend.run("systemctl", "stop", "hpcbridged")
    frontend.shell(f"mkdir /var/tmp/aside; mv {STATE}/identity {STATE}/spool.db* /var/tmp/aside")
    site.admin("admin", "parameters", "set", f"certificate_life_ms={SHORT_MS}")
    try:
        token = site.admin("admin", "token", "--role", "provider", "--name", "north")
        frontend.run("hpcbridgectl", "--identity", f"{STATE}/identity", "enrol", "--installation", "brief", stdin=token)
        before = len(serials())
        frontend.run("systemctl", "start", "hpcbridged")
        job = submit(frontend, "sleep 8")
        frontend.wait(lambda: len(serials()) >= before + 2, what="two certificates", timeout=120)
        assert len(set(serials())) == len(serials())
        assert frontend.property("hpcbridged", "NRestarts") == "0"
        assert is_whole(site.wait_phase(job, "END"))
    finally:
        site.admin("admin", "parameters", "set", f"certificate_life_ms={DAY_MS}")
        frontend.run("systemctl", "stop", "hpcbridged")
        frontend.shell(f"rm -r {STATE}/identity {STATE}/spool.db*; mv /var/tmp/aside/* {STATE}")


def test_an_earlier_program_on_a_later_spool_changes_nothing_and_names_the_version(frontend: BootedMachine) -> None:
    frontend.run("systemctl", "stop", "hpcbridged")
    python = (*AS_DAEMON, "/usr/bin/python3", "-c")
    known = frontend.run(*python, READ_VERSION.format(state=STATE)).strip()
    frontend.run(*python, SET_VERSION.format(state=STATE, version=99))
    before = frontend.run("sha256sum", f"{STATE}/spool.db")
    status, said = fails_to_start(frontend)
    assert status == "78"
    assert f"{STATE}/spool.db: made by a newer hpcbridged (version 99)" in said
    assert "install that version again" in said
    assert frontend.run("sha256sum", f"{STATE}/spool.db") == before
    frontend.run(*python, SET_VERSION.format(state=STATE, version=known))


def test_a_downgrade_to_a_release_of_the_same_form_goes_on(site: Site, packages: Packages, frontend: BootedMachine) -> None:
    version = frontend.run("rpm", "--query", "hpcbridge-agent").strip()
    install(frontend, packages.library, packages.agent, downgrade=True)
    assert frontend.run("rpm", "--query", "hpcbridge-agent").strip() == packages.agent.name.removesuffix(".rpm")
    assert version
    job = submit(frontend, "true")
    site.wait_phase(job, "END")
