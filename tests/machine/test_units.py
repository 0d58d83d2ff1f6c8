# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The units as systemd takes them: no complaint, little exposure, every scheduler's commands run inside, nothing else can be done there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.booted_machine import BootedMachine
from tests.machine.conftest import AGENT_TOML, CONFIG, Site
from tests.machine_packages import CHECKOUT

UNITS = ("hpcbridged.service", "hpcbridge-accounts.service", "hpcbridge-accounts.socket")
MOST_EXPOSED = 15  # tenths, as --threshold takes them
IN_SANDBOX = """\
[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/local/bin/probe
ExecReload=
Restart=no
WatchdogSec=0
StateDirectory=probe
CacheDirectory=probe
RuntimeDirectory=probe
"""
SLURM_COMMANDS = ("squeue --all", "sinfo", "scontrol show config", "sacct --allusers", "sdiag", "munge --no-input")
GRIDENGINE_COMMANDS = ("qstat -f", "qstat -u '*' -xml", "qconf -sconf", "qhost")


@pytest.fixture(name="in_sandbox", scope="module")
def _in_sandbox(site: Site) -> BootedMachine:
    """The frontend with a unit `probe`: the daemon's, but that it runs /usr/local/bin/probe instead."""
    machine = site.frontend
    machine.run("cp", "/usr/lib/systemd/system/hpcbridged.service", "/etc/systemd/system/probe.service")
    machine.write("/etc/systemd/system/probe.service.d/probe.conf", IN_SANDBOX)
    machine.run("systemctl", "daemon-reload")
    return machine


def try_in_sandbox(machine: BootedMachine, command: str) -> tuple[bool, str]:
    """True if a shell command succeeds in the daemon's sandbox, and all that it said."""
    machine.write(
        "/usr/local/bin/probe", f"#!/bin/sh\nexport SGE_ROOT=/var/lib/gridengine SLURM_CONF=/etc/slurm/slurm.conf\n{command}\n", mode=0o755
    )
    since = machine.run("date", "+%F %T.%6N").strip()
    succeeded = machine.try_run("systemctl", "start", "probe").returncode == 0
    said = machine.run("journalctl", "--no-pager", "--output=cat", "--unit=probe", f"--since={since}")
    machine.try_run("systemctl", "reset-failed", "probe")
    return succeeded, said


def test_systemd_has_nothing_to_say_about_them(site: Site) -> None:
    for machine, units in ((site.frontend, UNITS), (site.ledger, ("hpcbridge-ledgerd.service",))):
        done = machine.try_run("systemd-analyze", "verify", "--man=no", *units)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    site.frontend.write("/etc/systemd/system/typing-error.service", "[Service]\nExecStart=/bin/true\nWatchdogSecs=1\n")
    assert "WatchdogSecs" in site.frontend.try_run("systemd-analyze", "verify", "--man=no", "typing-error.service").stderr


def test_both_daemons_are_little_exposed(site: Site) -> None:
    for machine, unit in ((site.frontend, "hpcbridged.service"), (site.ledger, "hpcbridge-ledgerd.service")):
        done = machine.try_run("systemd-analyze", "security", "--no-pager", f"--threshold={MOST_EXPOSED}", unit)
        assert done.returncode == 0, done.stdout.splitlines()[-1]
        assert machine.try_run("systemd-analyze", "security", "--no-pager", "--threshold=5", unit).returncode != 0


def test_slurms_commands_run_in_the_sandbox(in_sandbox: BootedMachine) -> None:
    for command in SLURM_COMMANDS:
        succeeded, said = try_in_sandbox(in_sandbox, command)
        assert succeeded, f"{command}: {said}"
    assert not try_in_sandbox(in_sandbox, "munge --socket=/run/munge/none --no-input")[0]


def test_grid_engines_commands_run_in_the_sandbox(in_sandbox: BootedMachine) -> None:
    in_sandbox.shell(
        "/usr/share/gridengine/scripts/init_cluster /var/lib/gridengine default /var/spool/gridengine/spooldb sgeadmin;"
        "echo frontend >/var/lib/gridengine/default/common/act_qmaster;"
        "chown -R sgeadmin: /var/spool/gridengine /var/lib/gridengine/default;"
        "systemd-run --quiet --unit=qmaster --setenv=SGE_ROOT=/var/lib/gridengine --setenv=SGE_ND=1 sge_qmaster"
    )
    in_sandbox.wait(lambda: try_in_sandbox(in_sandbox, "qconf -sconf")[0], what="the answer of qmaster")
    for command in GRIDENGINE_COMMANDS:
        succeeded, said = try_in_sandbox(in_sandbox, command)
        assert succeeded, f"{command}: {said}"
    in_sandbox.run("systemctl", "stop", "qmaster")
    assert not try_in_sandbox(in_sandbox, "qstat -f")[0]


@pytest.mark.parametrize(
    "command",
    ["touch /srv/open/mark", "cat /home/open", "unshare --mount true", "chmod u+s /tmp/own", "mknod /tmp/null c 1 3"],
)
def test_nothing_else_can_be_done_in_it(in_sandbox: BootedMachine, command: str) -> None:
    in_sandbox.shell("mkdir -p -m 1777 /srv/open; echo open >/home/open; chmod 644 /home/open")
    prepared = f": >/tmp/own; {command}"
    allowed, _ = try_in_sandbox(in_sandbox, ": >/tmp/own")
    assert allowed
    succeeded, said = try_in_sandbox(in_sandbox, prepared)
    assert not succeeded, said
    outside = ("unshare", "mknod")  # no ordinary user may do these at all
    if not command.startswith(outside):
        in_sandbox.run("runuser", "-u", "hpcbridge", "--", "sh", "-euc", prepared)


def test_what_a_person_must_mend_is_not_started_again_and_again(site: Site) -> None:
    machine = site.frontend
    machine.write(CONFIG, AGENT_TOML + "[lgo]\n")
    assert machine.try_run("systemctl", "restart", "hpcbridged").returncode != 0
    assert machine.property("hpcbridged", "ExecMainStatus") == "78"
    assert machine.property("hpcbridged", "ActiveState") == "failed"  # one that is to be started again is `activating`
    machine.write(CONFIG, AGENT_TOML)
    machine.run("systemctl", "start", "hpcbridged")


def test_a_daemon_that_hangs_is_ended_and_started_again(site: Site) -> None:
    machine = site.frontend
    machine.write("/etc/systemd/system/hpcbridged.service.d/quick.conf", "[Service]\nWatchdogSec=5\nRestartSec=1\n")
    machine.shell("systemctl daemon-reload; systemctl restart hpcbridged")
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "hpcbridged")
    machine.wait(lambda: machine.property("hpcbridged", "NRestarts") == "1", what="the watchdog")
    machine.wait(lambda: machine.property("hpcbridged", "SubState") == "running", what="the daemon")
    assert "Watchdog timeout" in machine.journal("hpcbridged")
    machine.shell("rm -r /etc/systemd/system/hpcbridged.service.d; systemctl daemon-reload; systemctl restart hpcbridged")


ORDER = """
import sys, time
from pathlib import Path
from hpcbridge.model.accounts import AccountAction, AccountOrder
from hpcbridge.wire.accounts import HelperActor

action, username = AccountAction(sys.argv[1]), sys.argv[2]
order = AccountOrder(
    action=action, rental="l7", username=username, cluster="north", queue="batch", cores=1, gpus=0,
    expires_at=int((time.time() + 86400) * 1000), passcode=None if action is AccountAction.CLOSE else "abcd-efgh-ijkl-mnop-qrst",
)
result = HelperActor(Path("/run/hpcbridge-accounts/accounts.sock")).act(order)
print(result.outcome, result.reason)
"""


def test_the_helper_makes_and_closes_accounts_from_its_own_sandbox(site: Site) -> None:
    machine, tenant = site.frontend, "bcdfgh234567"

    def order(action: str, *, by: str) -> str:
        python = ("/usr/lib64/hpcbridge/bin/python3.11", "-I", "-c", ORDER)
        return machine.run("runuser", "-u", by, "--", *python, action, tenant).strip()

    machine.run("systemctl", "enable", "--now", "hpcbridge-accounts.socket")
    assert order("account_create", by="alice").startswith("LATER")
    assert machine.try_run("getent", "passwd", tenant).returncode != 0
    assert order("account_create", by="hpcbridge") == "DONE"
    assert machine.run("stat", "--format=%U %a", f"/home/{tenant}").strip() == f"{tenant} 700"
    assert machine.run("passwd", "--status", tenant).split()[1] == "P"
    assert machine.property("hpcbridge-accounts.service", "ActiveState") == "active"

    machine.run("systemd-run", "--quiet", "--unit=tenant", f"--uid={tenant}", "sleep", "3600")
    assert order("account_close", by="hpcbridge") == "DONE"
    machine.wait(lambda: machine.try_run("pgrep", "--uid", tenant).returncode == 1, what="the end of what the tenant ran")
    assert machine.run("passwd", "--status", tenant).split()[1] == "L"
    assert "abcd-efgh" not in machine.run("journalctl", "--no-pager")


@pytest.mark.full
@pytest.mark.parametrize("suite", ["trixie", "forky"])
@pytest.mark.parametrize("unit", ["hpcbridged.service", "hpcbridge-ledgerd.service"])
def test_newer_systemds_think_the_same_of_exposure(suite: str, unit: str, machine_root: Path) -> None:
    assert machine_root.is_dir()  # root, and programs to mount with
    roots = subprocess.run([CHECKOUT / "tests" / "make_slurm_roots", suite], capture_output=True, text=True, check=True).stdout.strip()
    script = 'mount --bind "$1" "$2/mnt" && exec chroot "$2" systemd-analyze security --no-pager --offline=true --threshold="$3" "/mnt/$4"'
    inside = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-euc",
        script,
        "analyse",
        str(CHECKOUT / "systemd"),
        f"{roots}/{suite}",
    ]
    done = subprocess.run([*inside, str(MOST_EXPOSED), unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    assert "Overall exposure level" in done.stdout
    assert subprocess.run([*inside, "5", unit], capture_output=True, check=False).returncode != 0
