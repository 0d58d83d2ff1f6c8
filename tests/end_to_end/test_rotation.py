# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""I3: certificates that live for seconds, renewed by everybody who holds a stream, while job changes flow. Nobody's stream is cut."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest

from hpcbridge.client import Client
from hpcbridge.errors import CertificateExpired, HpcbridgeError
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.jobs import JobState
from hpcbridge.submitter.certificate import KeptFresh
from tests.agent_log import check_chain, read_agent_log
from tests.bridge import BIN, ORIGIN, Bridge, wait_until
from tests.ledger_simulator import LedgerSimulator
from tests.sabotage import DAEMON, LOOKS_AT_ITS_CERTIFICATE_TWICE_A_MINUTE
from tests.scripted_slurm import START, Line, ScriptedSlurm, done

OF_AGE = ("the stream is old enough", "max connection age")
"""The only reasons for which a ledger ends a stream here: of the stream and of its connection, after a quarter of an hour."""
STATES = {"PENDING": JobState.QUEUED, "RUNNING": JobState.RUNNING, "COMPLETED": JobState.DONE}


@pytest.mark.parametrize(
    ("life_ms", "rotations"),
    [(4000, 7), pytest.param(10_000, 300, marks=[pytest.mark.full, pytest.mark.timeout(7200)])],
    ids=["3 identities, 7 each", "10 s, 300 each"],
)
def test_certificates_rotate_under_load_and_nothing_is_lost_doubled_or_cut(tmp_path: Path, *, life_ms: int, rotations: int) -> None:
    chance = random.Random(3)
    pause = threading.Event()
    slurm = ScriptedSlurm(tmp_path / "slurm")
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts, parameters={"certificate_life_ms": life_ms}) as bridge:
        bridge.set_up()
        assert bridge.agent is not None
        wait_until(bridge.is_drained, what="the registration to be on the ledger")
        identities = {"agent": bridge.agent_identity, "command": tmp_path / "command", "program": tmp_path / "program"}
        for name in ("command", "program"):
            token = bridge.admin("admin", "token", "--role", "admin", "--name", "alice").strip()
            bridge.ctl("--identity", str(identities[name]), "enrol", "--installation", name, given=token)
        begins = json.loads(bridge.admin("-o", "json", "events").splitlines()[-1])["cursor"]
        connected = bridge.agent.log.read_text().count("connected address=")
        serials: dict[str, set[str]] = {name: set() for name in identities}
        jobs: dict[str, Line] = {}
        with _Command(identities["command"], begins) as command, _Program(identities["program"], begins) as program:
            while min(len(seen) for seen in serials.values()) <= rotations:
                for line in list(jobs.values()):
                    jobs[line.job_id] = _next(line, chance)
                for number in range(len(jobs) + 1, len(jobs) + 4):
                    jobs[str(number)] = Line(job_id=str(number), state="PENDING", started=None, submitted=START + number)
                slurm.jobs(jobs.values())
                for name, path in identities.items():
                    serials[name].add(read_certificate(KeyDirectory(path).load_certificate(), ORIGIN).serial)
                pause.wait(0.25 if len(jobs) < 3000 else 2.0)
            expected = {job_id: STATES[line.state] for job_id, line in jobs.items()}
            wait_until(lambda: _states(bridge) == expected, what="the ledger to know every job as it is", seconds=60)
            wait_until(bridge.is_drained, what="every receipt to be here")
            told = [json.loads(line)["cursor"] for line in bridge.admin("-o", "json", "events", "--from", begins).splitlines()]
            wait_until(lambda: told[-1] in command.cursors() and told[-1] in program.cursors, what="the last event at both")
        assert command.cursors()[: len(told)] == told
        assert program.cursors[: len(told)] == told
        assert (command.messages(), program.failures) == ("", [])
        assert bridge.agent.end() == 0
        text = bridge.agent.log.read_text()
        opened_again = text.count("stream_ended reason=") - text.count("stream_ended reason=end")
        assert text.count("connected address=") - connected == opened_again
        assert opened_again == len([line for line in text.splitlines() if "stream_ended" in line and _is_of_age(line)])
        assert ("retry_asked" in text, "event_hidden" in text) == (False, False)
        log = read_agent_log(bridge)
        check_chain(bridge, log)
        assert log.refused == []
        assert {job.job_id: job.state for job in log.jobs} == expected


@pytest.mark.full
def test_an_agent_that_looks_too_seldom_is_cut(tmp_path: Path) -> None:
    slurm = ScriptedSlurm(tmp_path / "slurm")
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts, parameters={"certificate_life_ms": 3000}) as bridge:
        bridge.set_up()
        assert bridge.agent is not None
        bridge.agent.end()
        bridge.start_agent(program=LOOKS_AT_ITS_CERTIFICATE_TWICE_A_MINUTE + DAEMON)
        wait_until(lambda: "expired" in (bridge.agent_status()["ledger"]["last_error"] or ""), what="the stream to be cut")


def test_a_stream_that_nobody_keeps_fresh_ends_with_its_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeptFresh, "_step", lambda _self: 60.0)
    with LedgerSimulator(tmp_path, parameters=(("certificate_life_ms", 2000),)) as ledger:
        keys = ledger.user("ulla")
        with Client(keys.path) as client, pytest.raises(CertificateExpired):
            for _ in client.events("now", follow=True):
                pass


def _is_of_age(text: str) -> bool:
    return any(reason in text for reason in OF_AGE)


class _Command:
    """`hpcbridgectl events --follow` as a process; its lines and messages in files."""

    def __init__(self, identity: Path, begins: str) -> None:
        self._lines, self._errors = identity / "events.txt", identity / "errors.txt"
        argv = [str(BIN / "hpcbridgectl"), "--identity", str(identity), "-o", "json", "events", "--from", begins, "--follow"]
        with self._lines.open("wb") as lines, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=lines, stderr=errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def cursors(self) -> list[str]:
        whole = self._lines.read_text().rpartition("\n")[0]
        return [json.loads(line)["cursor"] for line in whole.splitlines()]

    def messages(self) -> str:
        return "\n".join(line for line in self._errors.read_text().splitlines() if not _is_of_age(line))


class _Program:
    """A program with the Python client that follows events in one thread and asks in another, which renews as well."""

    def __init__(self, identity: Path, begins: str) -> None:
        self._client = Client(identity)
        self._over = threading.Event()
        self._begins = begins
        self.cursors: list[str] = []
        self.failures: list[HpcbridgeError] = []
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._ask)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._client.close()
        for thread in self._threads:
            thread.join(20)

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                for event in self._client.events((self.cursors or [self._begins])[-1], follow=True):
                    self.cursors.append(event.cursor)
            except HpcbridgeError as error:
                if not self._over.is_set() and not _is_of_age(str(error)):
                    self.failures.append(error)
                    return

    def _ask(self) -> None:
        while not self._over.wait(0.2):
            try:
                self._client.clusters()
            except HpcbridgeError as error:
                if not self._over.is_set() and not _is_of_age(str(error)):
                    self.failures.append(error)


def _next(line: Line, chance: random.Random) -> Line:
    match line.state, chance.random() < 0.5:
        case "PENDING", True:
            return dataclasses.replace(line, state="RUNNING", started=line.submitted + 5)
        case "RUNNING", True:
            return done(line)
    return line


def _states(bridge: Bridge) -> dict[str, JobState]:
    return {job_id: JobState(job["state"]) for job_id, job in bridge.jobs_on_ledger().items()}
