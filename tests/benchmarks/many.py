# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One ledger and a crowd: 1,000 agents that each send a sample and ten changes a minute, and 5,000 subscribers that wait.

Every identity is enrolled for real, every stream has a connection of its own with mutual TLS; the crowd lives in a few processes
(crowd.py). Measured is the ledger: memory of a stream, CPU, how soon others get their receipts beside it, and how soon all hear an event.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import psutil

from hpcbridge.identity.certificates import fingerprint
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import EnrolmentToken, make_token, token_digest
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import Decision, Parameters, Token
from hpcbridge.wire.enrolment import enrol
from tests.benchmarks.figures import Figure, milliseconds
from tests.benchmarks.ledger import invoke, query
from tests.benchmarks.load import Load
from tests.bridge import ORIGIN, ROOT, Bridge

AGENTS = 1_000
SUBSCRIBERS = 5_000
STREAMS_OF_ONE = 16
PROCESSES = 2
IDLE_SECONDS = 15
BUSY_SECONDS = 75
HOUR_MS = 3_600_000
MINUTES_OF_A_DAY = 1_440
CLUSTER = "north"


def measure(directory: Path, *, quick: bool) -> Iterator[Figure]:
    """All figures of a ledger that many use; `quick` has a tenth of them."""
    agents, subscribers = (AGENTS // 10, SUBSCRIBERS // 10) if quick else (AGENTS, SUBSCRIBERS)
    with Bridge(directory) as bridge, contextlib.ExitStack() as stack:
        network = Network(bridge)
        began = time.perf_counter()
        providers = network.enrol_all(Role.PROVIDER, "site", agents)
        users = network.enrol_all(Role.USER, "user", -(-subscribers // STREAMS_OF_ONE))
        auditors = network.enrol_all(Role.USER, "auditor", -(-subscribers // STREAMS_OF_ONE), auditor=True)
        seconds = time.perf_counter() - began
        count = len(providers) + len(users) + len(auditors)
        yield Figure(name="enrolments, eight at a time", value=count / seconds, unit="1/s", more_is_better=True)
        load = network.load()
        yield query(load)
        yield invoke(load)

        before = network.resident()
        waiting = [stack.enter_context(Crowd("subscribers", part)) for part in parts(users)]
        streams = STREAMS_OF_ONE * len(users)
        yield per_stream(f"memory of a waiting subscriber, of {streams:,}", network.resident() - before, streams)
        before = network.resident()
        sending = stack.enter_context(Crowd("agents", providers, each=1))
        network.approve(len(providers))
        yield per_stream(f"memory of an agent (a stream each way), of {agents:,}", network.resident() - before, agents)
        yield network.cpu(f"CPU of ledgerd, {streams:,} subscribers and {agents:,} agents, all silent", IDLE_SECONDS)

        sending.say("go")
        entries, size, began = network.size(), network.disk(), time.monotonic()
        yield network.cpu("CPU of ledgerd, each agent sends a sample and ten changes a minute", BUSY_SECONDS)
        latencies = sending.ask("how")
        entries, seconds = network.size() - entries, time.monotonic() - began
        yield milliseconds("receipt of an agent's envelope", latencies)
        yield Figure(name="entries of all agents", value=entries / seconds, unit="1/s")
        per_day = (network.disk() - size) / entries * 2 * MINUTES_OF_A_DAY
        yield Figure(name="growth of the store for each agent", value=per_day / 1e6, unit="MB/day", detail="at two entries a minute")
        yield renamed(query(load), "beside them")
        yield renamed(invoke(load), "beside them")
        yield Figure(name="ledgerd, resident memory", value=network.resident() / 1e6, unit="MB")
        sending.close()
        for crowd in waiting:
            crowd.close()

        watching = [stack.enter_context(Crowd("subscribers", part)) for part in parts(auditors)]
        yield from network.deliveries(watching, STREAMS_OF_ONE * len(auditors), rounds=3 if quick else 5)
        load.client.close()


class Network:
    """A ledger as a process, an admin, one cluster of the admin's own beside the crowd."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        bridge.write_configuration()
        token = bridge.init_ledger()
        bridge.start_ledger()
        if bridge.ledger is None:
            raise RuntimeError("the ledger is not running")
        self._process = psutil.Process(bridge.ledger.pid)
        bridge.ctl("--identity", str(bridge.admin_identity), "enrol", "--installation", "laptop", given=token)
        bridge.ctl("--identity", str(bridge.directory / "bulk"), "enrol", "--installation", "bulk", given=self._token("admin", "alice"))
        self._admin = Load(bridge.directory / "bulk", CLUSTER)
        self._ca = fingerprint(KeyDirectory(bridge.admin_identity).load_authority())

    def enrol_all(self, role: Role, name: str, count: int, *, auditor: bool = False) -> list[Path]:
        """As many new members, each with a folder."""
        made = [secrets.token_bytes(32) for _ in range(count)]
        attributes = (("auditor", "true"),) if auditor else ()
        expires_at = time.time_ns() // 1_000_000 + HOUR_MS
        tokens = [
            Token(digest=token_digest(secret), role=role, member=f"{name}-{number}", attributes=attributes, expires_at=expires_at)
            for number, secret in enumerate(made)
        ]
        self._admin.send(self._admin.make_all(tokens))
        folders = [self._bridge.directory / "crowd" / f"{name}-{number}" for number in range(count)]
        address = self._bridge.enrolment_address

        def enrol_one(secret: bytes, folder: Path) -> None:
            token = EnrolmentToken(address=address, origin=ORIGIN, ca_fingerprint=self._ca, secret=secret)
            enrol(make_token(token), "main", KeyDirectory(folder), deadline_seconds=60)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(enrol_one, made, folders))
        return folders

    def load(self) -> Load:
        """A provider beside the crowd."""
        identity = self._bridge.directory / "beside"
        self._bridge.ctl("--identity", str(identity), "enrol", "--installation", "beside", given=self._token("provider", CLUSTER))
        load = Load(identity, CLUSTER)
        load.send(load.make_all([Registration(cluster=CLUSTER, login_address="login.example")]))
        self._bridge.admin("admin", "approve", CLUSTER)
        return load

    def approve(self, count: int) -> None:
        """The clusters of the crowd."""
        decisions = [Decision(name=f"site-{number}", vetting=Vetting.APPROVED, note="") for number in range(count)]
        self._admin.send(self._admin.make_all(decisions))

    def resident(self) -> int:
        """Bytes of memory of ledgerd, once it has come to rest."""
        threading.Event().wait(2)
        return int(self._process.memory_info().rss)

    def cpu(self, name: str, seconds: float) -> Figure:
        """Of one core, over some time."""
        before = sum(self._process.cpu_times()[:2])
        threading.Event().wait(seconds)
        used = sum(self._process.cpu_times()[:2]) - before
        return Figure(name=name, value=100 * used / seconds, unit="% of a core", detail=f"over {seconds:g} s")

    def size(self) -> int:
        """Entries of the log."""
        status: dict[str, Any] = json.loads(self._bridge.admin("-o", "json", "ledger", "status"))
        return int(status["size"])

    def disk(self) -> int:
        """Bytes of the store and its journal."""
        return sum(path.stat().st_size for path in self._bridge.store.glob("ledger.db*"))

    def deliveries(self, watching: Sequence[Crowd], streams: int, *, rounds: int) -> Iterator[Figure]:
        """From sending a transaction to its event at the first, the middle and the last of all who watch everything."""
        first, middle, last = [], [], []
        for number in range(rounds):
            for crowd in watching:
                crowd.say("next")
                crowd.expect("waiting")
            (envelope,) = self._admin.make_all([Parameters(values=(("epochs_per_day", 100 + number),))])
            began = time.monotonic()
            self._admin.send([envelope])
            heard = sorted(at - began for crowd in watching for at in crowd.answer())
            first.append(heard[0])
            middle.append(heard[len(heard) // 2])
            last.append(heard[-1])
        for which, seconds in (("first", first), ("middle one", middle), ("last", last)):
            yield milliseconds(f"an event for {streams:,} auditors, until the {which} has it", seconds)

    def _token(self, role: str, name: str) -> str:
        return self._bridge.admin("admin", "token", "--role", role, "--name", name).strip()


class Crowd:
    """One process of crowd.py, open when made."""

    def __init__(self, kind: str, identities: Sequence[Path], *, each: int = STREAMS_OF_ONE) -> None:
        argv = [sys.executable, "-m", "tests.benchmarks.crowd", kind, str(each), *map(str, identities)]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.expect("open")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, word: str) -> None:
        """One line."""
        if self._process.stdin is None:
            raise RuntimeError("no way in")
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def ask(self, word: str) -> list[float]:
        """One line, and the figures that come back."""
        self.say(word)
        return self.answer()

    def answer(self) -> list[float]:
        """The figures of the next line."""
        figures: list[float] = json.loads(self._line())
        return figures

    def expect(self, word: str) -> None:
        """RuntimeError if the next line is another."""
        if (line := self._line().strip()) != word:
            raise RuntimeError(f"a crowd said {line!r} and not {word!r}")

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("no way out")
        return self._process.stdout.readline()


def parts(identities: Sequence[Path]) -> list[Sequence[Path]]:
    """For as many processes."""
    return [identities[number::PROCESSES] for number in range(PROCESSES)]


def per_stream(name: str, bytes_: int, count: int) -> Figure:
    """Memory of one of many."""
    return Figure(name=name, value=bytes_ / count / 1000, unit="kB", detail=f"{bytes_ / 1e6:.0f} MB together")


def renamed(figure: Figure, where: str) -> Figure:
    """The same figure without aim and paper, measured in other surroundings."""
    return Figure(name=f"{figure.name}, {where}", value=figure.value, unit=figure.unit, detail=figure.detail)
