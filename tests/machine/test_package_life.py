# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The life of the packages on booted machines, in the order of their lives: started, changed, killed, upgraded, erased."""

from __future__ import annotations

import functools
import json

from tests.booted_machine import BootedMachine
from tests.booted_slurm import submit
from tests.machine.conftest import AGENT_TOML, CONFIG, Site, is_whole
from tests.machine_packages import Packages, install


def test_both_units_run_and_say_so(site: Site) -> None:
    for machine, unit in _units(site):
        assert machine.property(unit, "ActiveState") == "active"
        assert machine.property(unit, "NRestarts") == "0"
        assert machine.property(unit, "WatchdogUSec") == "1min 30s"
        assert machine.run("systemctl", "is-enabled", unit).strip() == "enabled"
    site.frontend.wait(lambda: "ledger connected" in site.frontend.property("hpcbridged", "StatusText"), what="the status line")
    assert site.frontend.property("hpcbridged", "User") == "hpcbridge"
    site.frontend.wait(lambda: "hpcbridged is all right" in site.frontend.run("hpcbridgectl", "status"), what="all to be well")


def test_job_changes_flow_to_the_ledger_in_the_other_machine(site: Site) -> None:
    job = submit(site.frontend, "sleep 2; exit 3", "--hold")
    site.wait_phase(job, "QUEUE")
    site.frontend.run("scontrol", "release", job)
    states = [state for _, state in site.wait_phase(job, "END")]
    assert states in (["QUEUED_HELD", "RUNNING", "FAILED"], ["QUEUED_HELD", "QUEUED", "RUNNING", "FAILED"])
    assert site.job_events()[-1]["body"]["outcome"] == "FAILED"
    assert site.frontend.run("hpcbridgectl", "receipt", "show", job, "--job").strip()


def test_members_of_the_group_may_look_and_nobody_else(site: Site) -> None:
    site.frontend.run("usermod", "--append", "--groups", "hpcbridge", "alice")
    assert "north" in site.frontend.run("runuser", "-u", "alice", "--", "hpcbridgectl", "status")
    assert site.frontend.try_run("runuser", "-u", "alice", "--", "hpcbridgectl", "spool", "flush").returncode != 0
    assert site.frontend.try_run("runuser", "-u", "nobody", "--", "hpcbridgectl", "status").returncode != 0
    assert site.frontend.try_run("runuser", "-u", "alice", "--", "ls", "/var/lib/hpcbridge").returncode != 0


def test_reload_takes_over_what_it_can_and_names_the_rest(site: Site) -> None:
    machine, pid = site.frontend, site.frontend.property("hpcbridged", "MainPID")
    machine.write(CONFIG, AGENT_TOML.replace("jobs = 1", "jobs = 2").replace("nodes = 5", "nodes = 6").replace("login.", "login2."))
    machine.run("systemctl", "reload", "hpcbridged")
    said = machine.journal("hpcbridged")
    assert "reloaded changed=cluster.login_address,intervals.nodes" in said
    assert "reload_needs_restart keys=intervals.jobs" in said
    machine.wait(lambda: "login2.north.example" in site.admin("-o", "json", "clusters", "show", "north"), what="the new registration")

    machine.write(CONFIG, AGENT_TOML + "[lgo]\n")
    machine.run("systemctl", "reload", "hpcbridged")
    assert "did you mean 'log'?" in machine.journal("hpcbridged")
    assert machine.property("hpcbridged", "MainPID") == pid
    machine.write(CONFIG, AGENT_TOML)
    machine.run("systemctl", "reload", "hpcbridged")
    site.ledger.run("systemctl", "reload", "hpcbridge-ledgerd")
    assert "reloaded changed=nothing" in site.ledger.journal("hpcbridge-ledgerd")


def test_a_killed_daemon_is_back_and_nothing_is_lost_or_doubled(site: Site) -> None:
    job = submit(site.frontend, "sleep 6")
    site.wait_phase(job, "RUN")
    for machine, unit in _units(site):
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", unit)
    for machine, unit in _units(site):
        machine.wait(functools.partial(_is_back, machine, unit), what=f"the restart of {unit}")
    assert is_whole(site.wait_phase(job, "END"))


def test_upgrade_keeps_configuration_and_stream(site: Site, later_packages: Packages) -> None:
    job = submit(site.frontend, "sleep 4")
    site.wait_phase(job, "RUN")
    before = {unit: machine.property(unit, "MainPID") for machine, unit in _units(site)}
    install(site.ledger, later_packages.library, later_packages.ledger)
    install(site.frontend, later_packages.library, later_packages.agent)
    for machine, unit in _units(site):
        assert machine.property(unit, "ActiveState") == "active"
        assert machine.property(unit, "MainPID") != before[unit], f"{unit} runs the old program"
        assert machine.run("systemctl", "is-enabled", unit).strip() == "enabled"
    assert site.frontend.run("cat", CONFIG) == AGENT_TOML
    assert "hpcbridge-agent-0.1.0-2" in site.frontend.run("rpm", "--query", "hpcbridge-agent")
    assert is_whole(site.wait_phase(job, "END"))


def test_the_whole_history_verifies_and_has_no_gaps(site: Site) -> None:
    site.admin("ledger", "verify")
    assert json.loads(site.admin("-o", "json", "gaps"))["gaps"] == []
    changes = site.changes()
    assert changes
    assert all(map(is_whole, changes.values())), changes


def test_erase_keeps_state_configuration_and_account(site: Site, later_packages: Packages) -> None:
    machine = site.frontend
    names = [f"/var/lib/hpcbridge/{name}" for name in ("identity/key.pem", "spool.db")]
    before = machine.run("sha256sum", names[0])
    machine.run("rpm", "--erase", "hpcbridge-agent", "hpcbridge")
    assert machine.property("hpcbridged", "LoadState") == "not-found"
    assert machine.try_run("pgrep", "-f", "hpcbridged").returncode == 1
    assert machine.run("sha256sum", names[0]) == before
    machine.run("test", "-s", names[1])
    assert machine.run("cat", f"{CONFIG}.rpmsave") == AGENT_TOML
    assert "/var/lib/hpcbridge" in machine.run("getent", "passwd", "hpcbridge")
    assert machine.try_run("test", "-e", "/usr/lib64/hpcbridge").returncode == 1

    # Who installs it again goes on where it was.
    install(machine, later_packages.library, later_packages.agent)
    machine.run("mv", f"{CONFIG}.rpmsave", CONFIG)
    machine.run("systemctl", "start", "hpcbridged")
    job = submit(machine, "true")
    site.wait_phase(job, "END")


def _units(site: Site) -> tuple[tuple[BootedMachine, str], ...]:
    return (site.frontend, "hpcbridged"), (site.ledger, "hpcbridge-ledgerd")


def _is_back(machine: BootedMachine, unit: str) -> bool:
    return machine.property(unit, "NRestarts") == "1" and machine.property(unit, "SubState") == "running"
