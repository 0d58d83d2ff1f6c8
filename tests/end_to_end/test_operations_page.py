# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md, run as it stands: every block of the page against a real ledger, a real frontend and an admin's command (S8).

Two things are played: absolute paths lie under a directory for each machine, and `systemctl` and `runuser` are commands of the test.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.client import Client
from hpcbridge.errors import LedgerUnavailable
from hpcbridge.wire.control import ask
from tests.agent_log import AgentLog, read_agent_log
from tests.bridge import BIN, ROOT, Bridge, wait_until
from tests.scripted_slurm import Line, ScriptedSlurm

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
SYSTEMCTL = """#!{python}
import socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect("{socket}")
    asking.sendall((" ".join(sys.argv[1:]) + "\\n").encode())
    answer = asking.makefile().read()
sys.exit(answer or 0)
"""
RUNUSER = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'


def blocks_of(page: str) -> dict[str, list[str]]:
    """The blocks that are run, by heading."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        found[section.partition("\n")[0]] = re.findall(r"^```sh\n(# on .*?)^```$", section, re.MULTILINE | re.DOTALL)
    return found


class Site:
    """A ledger host, a frontend and an admin's machine, each with a root of its own, and a shared /srv."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.slurm = ScriptedSlurm(directory / "slurm")
        self.bridge = Bridge(directory / "programs", scripts=self.slurm.scripts)
        self.ledger, self.frontend, self.desk = (directory / name for name in ("ledger", "frontend", "desk"))
        for root, state in ((self.ledger, "hpcbridge-ledger"), (self.frontend, "hpcbridge"), (self.desk, "")):
            (root / "var/lib" / state).mkdir(parents=True, mode=0o700)
            (root / "etc/hpcbridge").mkdir(parents=True)
        for name in ("backup", "checkpoints"):
            (directory / "srv" / name).mkdir(parents=True)
        bridge = self.bridge
        bridge.store, bridge.ledger_config = self.ledger / "var/lib/hpcbridge-ledger", self.ledger / "etc/hpcbridge/ledgerd.toml"
        bridge.state, bridge.agent_config = self.frontend / "var/lib/hpcbridge", self.frontend / "etc/hpcbridge/hpcbridged.toml"
        bridge.agent_identity, bridge.admin_identity = bridge.state / "identity", self.desk / ".config/hpcbridge"
        self._left = blocks_of(PAGE)
        self.number = 0
        self._last = ""
        self._manager = self._serve()

    def commands(self) -> None:
        """PATH of the machines."""
        where = self.directory / "bin"
        where.mkdir()
        texts = {
            "systemctl": SYSTEMCTL.format(python=BIN / "python", socket=self._manager.server_address),
            "runuser": RUNUSER,
            "hpcbridge-ledgerd": f'#!/bin/sh\nexec {BIN}/hpcbridge-ledgerd --config {self.bridge.ledger_config} "$@"\n',
            "hpcbridgectl": f'#!/bin/sh\nexec {BIN}/hpcbridgectl ${{FRONTEND:+--config {self.bridge.agent_config}}} "$@"\n',
        }
        for name, text in texts.items():
            (where / name).write_text(text)
            (where / name).chmod(0o755)

    def run(self, heading: str, *, again: bool = False) -> subprocess.CompletedProcess[str]:
        """The next block of a section, or the last one `again`."""
        block = self._last if again else self._left[heading].pop(0)
        self._last = block
        words = block.splitlines()[0]
        root = self.frontend if "frontend" in words else self.ledger if "ledger host" in words else self.desk
        text = re.sub(r"(?<=[\s<>])/(var|etc)/", rf"{root}/\1/", block)
        text = re.sub(r"(?<=[\s<>])/srv/", f"{self.directory}/srv/", text)
        text = text.replace("tar -C / ", f"tar -C {root} ")
        environment = {
            **os.environ,
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "HOME": str(root),
            "XDG_CONFIG_HOME": str(self.desk / ".config") if root is self.desk else "",
            **({"FRONTEND": "1"} if root is self.frontend else {}),
        }
        return subprocess.run(["sh", "-eu", "-c", text], env=environment, capture_output=True, text=True, timeout=120, check=False)

    def do(self, heading: str) -> str:
        """The next block of a section, which must work; what it printed."""
        done = self.run(heading)
        assert done.returncode == 0, f"{heading}:\n{self._last}\n{done.stdout}{done.stderr}"
        return done.stdout

    def left(self) -> dict[str, list[str]]:
        """Blocks that were not run yet."""
        return {heading: blocks for heading, blocks in self._left.items() if blocks}

    def see(self) -> None:
        """One more job starts, and the ledger hears of it."""
        self.start_job()
        self.wait()

    def start_job(self) -> None:
        self.number += 1
        self.slurm.jobs(Line(job_id=str(number + 1)) for number in range(self.number))

    def wait(self) -> None:
        wanted = {str(number + 1) for number in range(self.number)}
        with Client(self.bridge.admin_identity) as admin:
            wait_until(lambda: wanted <= _jobs(admin), what="the jobs to be on the ledger", seconds=60)
        wait_until(lambda: self.daemon()["spool"]["in_flight"] == 0, what="every receipt to be here", seconds=60)

    def daemon(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        answer: dict[str, Any] = ask(self.bridge.socket, "status")
        return answer

    def replace_machine(self, root: Path, state: str) -> None:
        """Another machine with the package installed and nothing else takes this one's name."""
        root.rename(root.with_name(f"{root.name}-old-{self.number}"))
        (root / "etc/hpcbridge").mkdir(parents=True)
        (root / "var/lib" / state).mkdir(parents=True, mode=0o700)

    def log(self) -> AgentLog:
        return read_agent_log(self.bridge)

    def close(self) -> None:
        self._manager.shutdown()
        self._manager.server_close()
        self.bridge.close()

    def _serve(self) -> socketserver.ThreadingUnixStreamServer:
        site = self

        class Manager(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(site._systemctl(self.rfile.readline().decode().split()).encode())

        manager = socketserver.ThreadingUnixStreamServer(str(self.directory / "systemctl"), Manager)
        threading.Thread(target=manager.serve_forever, daemon=True).start()
        return manager

    def _systemctl(self, words: list[str]) -> str:
        verb, unit = words
        bridge = self.bridge
        process = {"hpcbridged": bridge.agent, "hpcbridge-ledgerd": bridge.ledger}[unit]
        if verb == "stop":
            if process is not None:
                process.end()
            return ""
        assert verb == "start"
        try:
            (bridge.start_agent if unit == "hpcbridged" else bridge.start_ledger)()
        except RuntimeError as error:
            return str(error)
        return ""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    with contextlib.closing(made):
        made.commands()
        made.bridge.set_up()
        yield made


def test_the_page_works_as_it_stands(site: Site) -> None:
    _ledgers(site)
    _frontends(site)
    _keys(site)
    assert site.left() == {}
    assert site.log().refused == []


def _jobs(admin: Client) -> set[str]:
    try:
        return {job.job_id for job in admin.jobs("north")}
    except LedgerUnavailable:
        return set()


def _ledgers(site: Site) -> None:
    bridge, copy = site.bridge, site.directory / "srv/backup/ledger.db"
    site.see()
    site.do("Back up a ledger")
    site.do("Back up a ledger")
    older = copy.with_name("older.db")
    shutil.copy2(copy, older)
    mark = (bridge.store / "high-water").read_bytes()
    site.see()
    numbers = len(site.log().numbers)

    # an older copy is refused, whatever is done with it
    refused = site.run("Restore a ledger")
    assert (refused.returncode, "ended with 3" in refused.stderr, "older copy" in refused.stderr) == (1, True, True), refused.stderr
    damaged = bridge.store / "ledger.db.damaged"
    damaged.replace(copy)  # the newest there is: the store as it was stopped
    again = site.run("Restore a ledger", again=True)
    assert again.returncode == 0, again.stderr
    site.see()
    assert len(site.log().numbers) > numbers

    # the high-water file is lost: an older store does not have what members hold
    lost = "When the high-water file is lost"
    site.do(lost)
    site.do(lost)
    assert bridge.ledger is not None
    bridge.ledger.end()
    (bridge.store / "high-water").unlink()
    newest = (bridge.store / "ledger.db").read_bytes()
    closed = (bridge.store / "ledger.db.closed").read_bytes()
    shutil.copy2(older, bridge.store / "ledger.db")
    (bridge.store / "ledger.db.closed").unlink()
    refused = site.run(lost)
    assert (refused.returncode, "older copy" in refused.stderr) == (3, True), refused.stderr

    # the older store with its own high-water file starts, and stops at the first member that has seen more
    (bridge.store / "high-water").write_bytes(mark)
    bridge.start_ledger()
    assert bridge.ledger.wait(30) == 3
    for name in ("ledger.db-wal", "ledger.db-shm", "high-water"):
        (bridge.store / name).unlink(missing_ok=True)
    (bridge.store / "ledger.db").write_bytes(newest)
    (bridge.store / "ledger.db.closed").write_bytes(closed)
    again = site.run(lost, again=True)
    assert again.returncode == 0, again.stderr
    site.see()

    site.do("Move a ledger to another machine")
    site.replace_machine(site.ledger, "hpcbridge-ledger")
    site.start_job()
    site.do("Move a ledger to another machine")
    site.see()
    assert len({epoch for epoch, _ in site.log().numbers}) == 1


def _frontends(site: Site) -> None:
    site.do("Back up a frontend")
    site.see()
    site.do("Restore a frontend")
    newer = str(site.number)
    site.see()
    log = site.log()
    assert len({epoch for epoch, _ in log.numbers}) == 2
    assert {key[0] for key in log.told_twice} <= {newer}  # what only the newer spool knew is observed again, and changes nothing
    site.do("Move a frontend")
    site.replace_machine(site.frontend, "hpcbridge")
    site.start_job()
    site.do("Move a frontend")
    site.see()
    assert len({epoch for epoch, _ in site.log().numbers}) == 2


def _keys(site: Site) -> None:
    shown = site.do("Revoke a key")
    assert re.search(r"frontend.*revoked", shown, re.IGNORECASE), shown
    wait_until(lambda: not site.daemon()["ledger"]["connected"], what="the stream to be cut", seconds=60)
    site.start_job()
    site.do("A frontend without a backup")
    site.do("A frontend without a backup")
    site.see()

    # the spool is kept and only the key is new: what waited is sent under it
    bridge = site.bridge
    bridge.admin("admin", "revoke", "north/frontend")
    wait_until(lambda: not site.daemon()["ledger"]["connected"], what="the stream to be cut", seconds=60)
    site.start_job()
    wait_until(lambda: site.daemon()["spool"]["waiting"] > 0, what="the job to wait", seconds=60)
    assert bridge.agent is not None
    bridge.agent.end()
    shutil.rmtree(bridge.agent_identity)
    token = bridge.admin("admin", "token", "--role", "provider", "--name", "north")
    bridge.ctl("--identity", str(bridge.agent_identity), "enrol", "--installation", "frontend", given=token)
    bridge.start_agent()
    site.wait()
