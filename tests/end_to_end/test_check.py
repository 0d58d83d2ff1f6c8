# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`check`: each of the likeliest mistakes is made on a copy of a site that is all right, and found by its words and its advice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpcbridge.ctl import context, frontend
from hpcbridge.ctl.main import cli
from hpcbridge.wire import credentials
from tests.bridge import BIN, Bridge
from tests.ledger_simulator import LedgerSimulator
from tests.ports import free_ports
from tests.scripted_slurm import ScriptedSlurm

ACTIONS = ("account_create", "account_renew", "account_close", "passcode_deliver")


@dataclass(frozen=True)
class Site:
    """A frontend's files, no daemon on them, and the network they belong to."""

    config: Path
    state: Path
    scripts: Path
    bridge: Bridge

    def write(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new, 1))

    def script(self, query: str) -> Path:
        return self.scripts / "slurm" / query


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    folder = tmp_path_factory.mktemp("check")
    slurm = ScriptedSlurm(folder / "slurm")
    with Bridge(folder / "bridge", scripts=slurm.scripts) as made:
        made.set_up()
        yield made


@pytest.fixture
def site(bridge: Bridge, tmp_path: Path) -> Site:
    state, scripts = tmp_path / "state", tmp_path / "scripts"
    shutil.copytree(bridge.agent_identity, state / "identity")
    slurm = ScriptedSlurm(scripts)
    config = tmp_path / "hpcbridged.toml"
    text = bridge.agent_config.read_text()
    text = text.replace(str(bridge.state), str(state)).replace(str(bridge.socket), str(tmp_path / "control.sock"))
    text = text.replace("login.north.example", "localhost").replace("[scheduler]\n", '[scheduler]\naccounts = "none"\n')
    config.write_text("\n".join(f'scripts = "{slurm.scripts}"' if line.startswith("scripts") else line for line in text.splitlines()))
    config.chmod(0o644)
    return Site(config, state, slurm.scripts, bridge)


def check(config: Path) -> tuple[int, dict[str, Any]]:
    """Exit status, and what was found by what was looked at."""
    done = CliRunner().invoke(cli, ["-o", "json", "check", "--config", str(config)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, {each["what"]: each for each in json.loads(done.stdout)["checks"]}


def finds(site: Site, what: str, *words: str, status: int = 78) -> None:
    code, found = check(site.config)
    assert code == status, found
    told = f"{found[what]['text']} → {found[what]['hint']}"
    assert [word for word in words if word not in told] == [], told
    assert found[what]["ok"] is (status == 0)
    assert found[what]["note"] is (status == 0)


def test_a_site_that_is_all_right(site: Site) -> None:
    code, found = check(site.config)
    assert code == 0, found
    assert {what for what, each in found.items() if each["note"]} <= {"accounts of tenants", "control group"}
    assert len(found) >= 12


def replaced(old: str, new: str) -> Callable[[Site], None]:
    return lambda site: site.write(old, new)


def acting(site: Site, *, mode: int) -> None:
    folder = site.state.parent / "acting"
    folder.mkdir()
    for action in ACTIONS:
        (folder / action).write_text("#!/bin/sh\n")
        (folder / action).chmod(0o755)
    (folder / "account_close").chmod(mode)
    site.write('accounts = "none"', f'accounts = "direct"\naccounts_scripts = "{folder}"')


def at_a_ledger(site: Site, address: str, name: str = "localhost") -> None:
    site.write(f'address = "{site.bridge.ledger_address}"\nserver_name = "localhost"', f'address = "{address}"\nserver_name = "{name}"')


MISTAKES: dict[str, tuple[Callable[[Site], Any], str, tuple[str, ...]]] = {
    "typing error": (replaced("jobs = 1", "job = 1"), "configuration", ("unknown key 'intervals.job'", "did you mean 'jobs'?")),
    "key of another time": (
        replaced('name = "north"', 'name = "north"\npartitions = ["a"]'), "configuration", ("'cluster.partitions'", "[[cluster.queues]]")
    ),
    "wrong scheduler": (replaced('name = "slurm"', 'name = "slum"'), "configuration", ("no scheduler we know", "'slurm'")),
    "configuration others may change": (lambda site: site.config.chmod(0o666), "configuration file", ("others", "chmod go-w")),
    "script missing": (lambda site: site.script("jobs").unlink(), "scripts", ("no script jobs", "[scheduler] scripts")),
    "script not executable": (lambda site: site.script("ended").chmod(0o644), "scripts", ("ended: is not executable", "chmod +x")),
    "script others may change": (lambda site: site.script("nodes").chmod(0o777), "scripts", ("nodes: others", "chmod go-w")),
    "environment": (
        replaced("[scheduler.environment]", '[scheduler.environment]\nSLURM_CONF = "/nowhere/slurm.conf"'),
        "environment",
        ("SLURM_CONF: there is no /nowhere/slurm.conf",),
    ),
    "queue the scheduler has not": (
        replaced("[scheduler]", '[[cluster.queues]]\nname = "gpux"\n\n[scheduler]'), "queues", ("no queue gpux", "it has: ")
    ),
    "helper missing": (
        replaced('accounts = "none"', 'accounts = "helper"\naccounts_socket = "/nowhere/accounts.sock"'),
        "accounts of tenants",
        ("/nowhere/accounts.sock", "systemctl enable --now hpcbridge-accounts.socket"),
    ),
    "acting script others may change": (lambda site: acting(site, mode=0o777), "accounts of tenants", ("account_close: others", "chmod")),
    "acting script not executable": (lambda site: acting(site, mode=0o644), "accounts of tenants", ("account_close: is not exec",)),
    "acting scripts missing": (
        replaced('accounts = "none"', 'accounts = "direct"\naccounts_scripts = "/nowhere"'), "accounts of tenants", ("no such script",)
    ),
    "not enrolled": (lambda site: shutil.rmtree(site.state / "identity"), "identity", ("not enrolled yet", "enrol")),
    "key others can read": (lambda site: (site.state / "identity/key.pem").chmod(0o644), "identity", ("lets others read", "chmod 600")),
    "file of another account": (
        lambda site: os.chown(site.state / "identity/key.pem", 12345, 12345), "state directory", ("uid 12345", "chown -R")
    ),
    "no state directory": (lambda site: shutil.rmtree(site.state), "state directory", ("no such directory",)),
    "ledger's port closed": (lambda site: at_a_ledger(site, f"127.0.0.1:{free_ports(1)[0]}"), "", ("nothing listens",)),
    "ledger's name wrong": (lambda site: at_a_ledger(site, "ledger.invalid:7443"), "", ("no such name",)),
    "ledger's TLS name wrong": (
        lambda site: at_a_ledger(site, site.bridge.ledger_address, "other.example"), "", ("not for 'other.example'", "server_names")
    ),
    "metrics' port taken": (
        lambda site: site.write('[metrics]\naddress = ""', f'[metrics]\naddress = "{site.bridge.ledger_address}"'),
        "metrics",
        ("Address already in use", "another port"),
    ),
    "textfile's folder missing": (
        replaced("[metrics]", '[metrics]\ntextfile = "/nowhere/a.prom"'), "metrics", ("there is no /nowhere", "node_exporter")
    ),
}  # fmt: skip
STATUS = {"ledger's port closed": 69}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(site: Site, mistake: str) -> None:
    make, what, words = MISTAKES[mistake]
    make(site)
    if not what:
        what = next(each for each in check(site.config)[1] if each.startswith("ledger "))
    finds(site, what, *words, status=STATUS.get(mistake, 78))


NOTES = {
    "no rates": (("[cluster.rates]\ncpu_core_per_hour = 0.02\ngpu_core_per_hour = 1.5", ""), ("[cluster.rates] are not given",)),
    "no location": (("location = [35.681236, 139.767125]", ""), ("surcharge for distance",)),
    "host renamed": (('"localhost"\nlocation', '"login.north.invalid"\nlocation'), ("no name that this host finds", "renamed")),
}


@pytest.mark.parametrize("note", NOTES)
def test_what_may_be_meant_is_a_note(site: Site, note: str) -> None:
    change, words = NOTES[note]
    site.write(*change)
    finds(site, "offer", *words, status=0)


def test_a_scheduler_that_does_not_answer(site: Site) -> None:
    site.script("about").write_text("#!/bin/sh\necho slurm_load_partitions: Unable to contact slurm controller >&2\nexit 1\n")
    code, found = check(site.config)
    assert code != 0
    assert "Unable to contact slurm controller" in found["scheduler"]["text"]


@pytest.mark.parametrize(("hours", "what", "words"), [(20, "ledger", ("minutes apart", "chronyc")), (48, "identity", ("expired", "date"))])
def test_a_clock_that_is_wrong(site: Site, monkeypatch: pytest.MonkeyPatch, hours: int, what: str, words: tuple[str, ...]) -> None:
    right = context.now
    monkeypatch.setattr(frontend, "now", lambda: right() + hours * 3_600_000)
    code, found = check(site.config)
    told = " ".join(f"{each['text']} {each['hint']}" for name, each in found.items() if name.startswith(what))
    assert code in (77, 78)
    assert [word for word in words if word not in told] == [], told


def test_another_ledger_at_the_address(site: Site, tmp_path: Path) -> None:
    with LedgerSimulator(tmp_path / "other") as other:
        at_a_ledger(site, other.address)
        code, found = check(site.config)
    assert code == 77
    assert "not of the CA that was pinned at enrolment" in found[f"ledger {other.address}"]["text"]


def test_a_library_that_is_too_old(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MINIMUM_GRPCIO", (99, 0))
    first = next(frontend.frontend_findings(site.config))
    assert first.failed
    assert "is too old" in str(first.error)


def test_a_second_daemon_on_the_spool(site: Site) -> None:
    """The daemon of the site runs; this configuration has its state directory and another control socket."""
    site.write(str(site.state), str(site.bridge.state))
    assert site.bridge.agent is not None
    finds(site, "daemon", f"process {site.bridge.agent.pid} has it open and does not answer", "a second hpcbridged")
    code, found = check(site.bridge.agent_config)
    assert "running since" in found["daemon"]["text"], code


@pytest.mark.parametrize(
    ("mount", "words"),
    [("mount --bind $S $S; mount -o remount,bind,ro $S", "its file system is read-only"),
     ("mount -t tmpfs -o size=1m none $S; mkdir $S/identity", "1 MiB are left on its disk")],
)  # fmt: skip
def test_a_state_directory_that_is_read_only_or_full(site: Site, mount: str, words: str) -> None:
    if os.geteuid() != 0:
        assert os.environ.get("CI") != "true"
        pytest.skip("only root can mount")
    script = f"S={site.state}; {mount}; exec {BIN / 'hpcbridgectl'} check --config {site.config}"
    done = subprocess.run(["unshare", "--mount", "sh", "-ec", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert words in " ".join(done.stdout.split())


def ledgerd(*arguments: object) -> tuple[int, str]:
    argv = [str(BIN / "hpcbridge-ledgerd"), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_ledgers_host(bridge: Bridge, tmp_path: Path) -> None:
    """The same by both commands, while it runs; then each mistake on a copy that does not."""
    status, told = ledgerd("--config", bridge.ledger_config, "check")
    assert (status, "failed" in told, "a ledger runs and listens on" in told) == (0, False, True), told
    assert check(bridge.ledger_config)[0] == 0
    store, config = tmp_path / "store", tmp_path / "ledgerd.toml"
    shutil.copytree(bridge.store, store)
    free, other, figures = free_ports(3)
    text = bridge.ledger_config.read_text().replace(str(bridge.store), str(store))
    text = text.replace('address = ""', f'address = "127.0.0.1:{figures}"')
    text = text.replace(bridge.ledger_address, f"127.0.0.1:{free}").replace(bridge.enrolment_address, f"127.0.0.1:{other}")
    config.write_text(text)

    def found(what: str, *words: str, status: int = 78) -> None:
        code, seen = check(config)
        assert code == status, seen
        said = f"{seen[what]['text']} {seen[what]['hint']}"
        assert [word for word in words if word not in said] == [], said

    found("ports", "are free", status=0)
    config.write_text(text.replace(f"127.0.0.1:{free}", bridge.ledger_address))
    found("ports", "Address already in use", "ss -tlnp")
    config.write_text(text.replace('"localhost", ', '"ledger.invalid", '))
    found("names", "no name that this host finds", "renamed", status=0)
    config.write_text(text.replace("[store]", "[stor]"))
    found("configuration", "unknown key 'stor'", "did you mean 'store'?")
    config.write_text(text)
    (store / "keys" / "log-key.pem").chmod(0o640)
    found("keys", "lets others read", "chmod 600")
    (store / "keys" / "log-key.pem").chmod(0o600)
    (store / "keys" / "ca.pem").rename(store / "ca.pem")
    found("keys", "no ca.pem", "bring back the keys")
    (store / "ca.pem").rename(store / "keys" / "ca.pem")
    (store / "high-water").unlink()
    found("store", "no high-water")
    status, told = ledgerd("--config", config, "check")
    assert (status, "failed  store" in told) == (78, True)
