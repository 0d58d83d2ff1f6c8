# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""hpcbridged as a sysadmin meets it when something is wrong: what it says, where, what to do, and with which exit status it ends."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keys import new_key
from hpcbridge.identity.keystore import KeyDirectory, save_private_key
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import Decision
from hpcbridge.wire.control import ask
from tests.bridge import BIN, Process, wait_until
from tests.ledger_simulator import ADMIN, LedgerSimulator, now
from tests.scripted_slurm import Line, ScriptedSlurm

CONFIG = """
state_directory = "{state}"
[cluster]
name = "{cluster}"
login_address = "login.example"
[scheduler]
name = "slurm"
scripts = "{scripts}"
timeout_seconds = 2
[intervals]
jobs = 1
nodes = 1
queues = 1
[[ledger]]
address = "{ledger}"
server_name = "localhost"
[control]
socket = "{state}/c.sock"
group = "root"
[metrics]
address = ""
"""


class Frontend:
    """An enrolled frontend whose daemon is not running yet."""

    def __init__(self, ledger: LedgerSimulator, directory: Path, name: str) -> None:
        self.ledger = ledger
        self.name = name
        self.slurm = ScriptedSlurm(directory / "slurm")
        self.slurm.jobs([Line(job_id="1")])
        self.state = directory / "state"
        self.config = directory / "hpcbridged.toml"
        ledger.provider(name, cluster=name)
        self.identity = ledger.enrol(Role.PROVIDER, name, "frontend")
        self.state.mkdir()
        self.identity.path.rename(self.state / "identity")
        self.identity = KeyDirectory(self.state / "identity")
        self.text = CONFIG.format(state=self.state, cluster=name, scripts=self.slurm.scripts, ledger=ledger.address)
        self.config.write_text(self.text)
        self.process: Process | None = None

    def replace(self, old: str, new: str) -> None:
        """Changes the configuration."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        self.config.write_text(self.text)

    def refuses(self) -> tuple[int, str]:
        """Starts the daemon, which must end by itself; its exit status and what it said."""
        argv = [str(BIN / "hpcbridged"), "--config", str(self.config)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def start(self) -> None:
        self.process = Process([str(BIN / "hpcbridged"), "--config", str(self.config)], log=self.state / "log")
        self.process.wait_ready()

    def status(self) -> Any:
        return ask(self.state / "c.sock", "status")

    def ctl(self, *arguments: str) -> str:
        """Standard output of the command, asked about this daemon."""
        argv = [str(BIN / "hpcbridgectl"), "--config", str(self.config), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20, env={**os.environ, "COLUMNS": "400"}).stdout

    def query(self, name: str) -> Any:
        return next((query for query in self.status()["scheduler"]["queries"] if query["name"] == name), None)

    def stop(self) -> None:
        if self.process is not None:
            assert self.process.end() == 0
            assert "Traceback" not in self.process.log.read_text()


@pytest.fixture
def frontend(ledger: LedgerSimulator, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made = Frontend(ledger, tmp_path, f"s{abs(hash(request.node.nodeid)) % 10**9}")
    yield made
    made.stop()


def no_identity(frontend: Frontend) -> None:
    frontend.identity.path.rename(frontend.state / "elsewhere")


def open_key(frontend: Frontend) -> None:
    (frontend.identity.path / "key.pem").chmod(0o644)


def garbage(name: str) -> Callable[[Frontend], None]:
    def change(frontend: Frontend) -> None:
        (frontend.identity.path / name).write_bytes(b"garbage\n")

    change.__name__ = f"garbage in {name}"
    return change


def another_key(frontend: Frontend) -> None:
    (frontend.identity.path / "key.pem").unlink()
    save_private_key(frontend.identity.path / "key.pem", new_key())


def certificate_as_authority(frontend: Frontend) -> None:
    frontend.identity.save_authority(frontend.identity.load_certificate())


def newer_spool(frontend: Frontend) -> None:
    with sqlite3.connect(frontend.state / "spool.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def broken_spool(frontend: Frontend) -> None:
    (frontend.state / "spool.db").write_bytes(b"no database" * 500)


def unknown_scheduler(frontend: Frontend) -> None:
    frontend.replace('name = "slurm"', 'name = "slrum"')


def unreadable(frontend: Frontend) -> None:
    frontend.config.unlink()
    frontend.config.mkdir()


def no_place_for_the_socket(frontend: Frontend) -> None:
    frontend.replace(f"{frontend.state}/c.sock", "/proc/hpcbridge/c.sock")


@pytest.mark.parametrize(
    ("change", "status", "place", "remedy"),
    [
        (no_identity, 78, "identity", "hpcbridgectl --identity"),
        (open_key, 78, "key.pem", "chmod 600"),
        (garbage("key.pem"), 78, "key.pem", "enrol again"),
        (garbage("certificate.pem"), 78, "certificate.pem", "enrol again"),
        (garbage("ca.pem"), 78, "ca.pem", "enrol again"),
        (garbage("log-key.pub"), 78, "log-key.pub", "enrol again"),
        (garbage("profile.json"), 78, "profile.json", "enrol again"),
        (another_key, 78, "identity", "enrol again"),
        (certificate_as_authority, 77, "ca.pem", "enrol again"),
        (newer_spool, 78, "spool.db", "install that version again"),
        (broken_spool, 3, "spool.db", "move spool.db away"),
        (unknown_scheduler, 78, "[scheduler] name", "did you mean 'slurm'"),
        (unreadable, 78, "hpcbridged.toml", "is it a file"),
        (no_place_for_the_socket, 78, "/proc/hpcbridge/c.sock", "[control] socket"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_refuses_to_start_and_says_where_and_what_to_do(
    frontend: Frontend, change: Callable[[Frontend], None], status: int, place: str, remedy: str
) -> None:
    change(frontend)
    ended_with, said = frontend.refuses()
    last = said.strip().splitlines()[-1]
    assert ended_with == status, said
    assert last.startswith("hpcbridged: ")
    assert place in last
    assert remedy in last


def test_the_spool_of_another_cluster_is_refused(frontend: Frontend) -> None:
    frontend.start()
    frontend.stop()
    frontend.process = None
    name = frontend.text.split('[cluster]\nname = "')[1].partition('"')[0]
    frontend.replace(f'name = "{name}"', 'name = "other"')
    status, said = frontend.refuses()
    assert status == 78
    assert "is the spool of" in said
    assert "move the old spool away first" in said


def test_a_refused_registration_is_shown_with_what_to_do_and_tried_again_at_the_next_start(frontend: Frontend) -> None:
    name = frontend.identity.load_profile().submitter.member
    frontend.ledger.submit(ADMIN, Decision(name=name, vetting=Vetting.SUSPENDED, note="")).check_accepted()
    frontend.start()
    wait_until(lambda: frontend.status()["ledger"]["registration_refused"] is not None, what="the refusal")
    said = frontend.ctl("status")
    assert "needs attention" in said
    assert f"the ledger refused the registration of this cluster: NOT_APPROVED: member {name} is SUSPENDED" in said
    assert "ask the network's admins" in said
    frontend.stop()

    frontend.ledger.submit(ADMIN, Decision(name=name, vetting=Vetting.APPROVED, note="")).check_accepted()
    frontend.start()
    wait_until(lambda: frontend.status()["ledger"]["registration_refused"] is None, what="the registration")
    wait_until(lambda: "is all right" in frontend.ctl("status"), what="all to be well")


def test_a_name_that_belongs_to_another_member_is_told(frontend: Frontend) -> None:
    frontend.ledger.provider(f"{frontend.name}-other", cluster=f"{frontend.name}-c")
    frontend.replace(f'name = "{frontend.name}"', f'name = "{frontend.name}-c"')
    frontend.start()
    wait_until(lambda: frontend.status()["ledger"]["registration_refused"] is not None, what="the refusal")
    assert "ALREADY_EXISTS" in frontend.ctl("status")
    assert "take another [cluster] name" in frontend.ctl("status")


def test_what_is_wrong_with_a_script_is_shown_with_its_query(frontend: Frontend) -> None:
    frontend.start()
    wait_until(lambda: frontend.status()["scheduler"]["reachable"] is True, what="the scheduler to answer")
    for body, said in {
        "head -c 3000 /dev/urandom": "",
        "exit 0": "nothing was printed",
        "exec squeueue": "not found",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1": "Unable to contact slurm controller",
    }.items():
        frontend.slurm.script("nodes", body)
        wait_until(
            lambda said=said: frontend.query("nodes")["last_error"] is not None and said in frontend.query("nodes")["last_error"],  # type: ignore[misc]
            what=said or "an unreadable report to be shown",
            seconds=40,
        )
        assert frontend.query("nodes")["records"] == 2, "what was known stays"
        frontend.slurm.works("nodes")
        wait_until(lambda: frontend.query("nodes")["last_error"] is None, what="the next good report")
    assert frontend.query("jobs")["last_error"] is None
    assert frontend.status()["scheduler"]["reachable"] is True


def test_about_is_asked_again_when_the_scheduler_comes_back(frontend: Frontend) -> None:
    for query in ("about", "jobs"):
        frontend.slurm.script(query, "echo down >&2; exit 1")
    frontend.start()
    wait_until(lambda: frontend.status()["scheduler"]["reachable"] is False, what="the scheduler to be missed")
    assert frontend.status()["scheduler"]["version"] is None
    for query in ("about", "jobs"):
        frontend.slurm.works(query)
    wait_until(lambda: frontend.status()["scheduler"]["version"] == "22.05.8", what="the version to be known")


def test_an_expired_certificate_is_no_reason_not_to_start(tmp_path: Path) -> None:
    with LedgerSimulator(tmp_path / "hasty", parameters=(("certificate_life_ms", 2000),)) as hasty:
        frontend = Frontend(hasty, tmp_path, "late")
        wait_until(lambda: has_expired(frontend), what="the certificate to expire")
        frontend.start()
        try:
            wait_until(lambda: frontend.status()["ledger"]["connected"], what="a renewed certificate")
            assert frontend.process is not None
            assert "certificate_expired" in frontend.process.log.read_text()
        finally:
            frontend.stop()


def has_expired(frontend: Frontend) -> bool:
    return read_certificate(frontend.identity.load_certificate(), frontend.identity.load_profile().origin).not_after_at < now()
