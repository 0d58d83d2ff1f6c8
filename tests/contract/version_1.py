# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A log of contract version 1: the story it tells, and its leaves as they were kept by the program that knew only that version.

`data/version-1.log` is that program's work and is never made again: each leaf after its length in four bytes.
Run as a module with a folder as argument, this file writes such a log with the program at hand.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcbridge.contract.state import effects_hash
from hpcbridge.fold import Applied
from hpcbridge.model.clusters import ClusterState, Program, Queue, Rates, Registration, Vetting
from hpcbridge.model.entries import Event
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import Decision, EpochReason, Gap, JobWatch, NodeChange, NodeChanges, Parameters, Revocation, Tick
from hpcbridge.wire.convert import encode_body
from tests.fold_world import DAY_MS, START_AT, World, job, job_changes

DATA = Path(__file__).parent / "data"
LATER_TYPES = ("request", "rental", "cancellation", "credit", "account")
LATER_PARAMETERS = ("deposit_permille", "heard_within_ms", "offer_life_ms")
REGISTRATION = Registration(
    cluster="c1",
    login_address="login.c1.example",
    latitude_microdegrees=52_520_000,
    longitude_microdegrees=-13_400_000,
    programs=(Program(name="gromacs", version="2025.1"),),
    installs_programs=True,
    rates=Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000),
)
SAMPLE = ClusterState(
    cluster="c1",
    observed_at=START_AT,
    queues=(Queue(cluster="c1", name="batch", open=True, nodes=("n1",), cores_total=64, max_walltime_seconds=86_400),),
    cores_total=64,
)


def tell(world: World) -> None:
    """Every kind of transaction of version 1, and what later versions know and version 1 refused."""
    site, other = world.provider("siteone", "c1"), world.provider("sitetwo", "c2")
    user, second = world.enrol("ann", Role.USER, attributes=(("group", "physics"),)), world.enrol("second", Role.ADMIN)
    world.must(site, REGISTRATION)
    for step in range(4):
        world.at += 60_000
        world.must(site, dataclasses.replace(SAMPLE, observed_at=world.at, cores_used=step))
    world.outcomes(site, SAMPLE)
    world.outcomes(other, SAMPLE)
    up = NodeChange(node="n1", availability=Availability.UP, native_state="IDLE", reason=None, observed_at=world.at)
    nodes = (up, dataclasses.replace(up, node="a/b"))
    world.outcomes(site, NodeChanges(cluster="c1", changes=nodes))
    world.outcomes(site, job_changes(job("1"), job("2", JobState.RUNNING), job("3", JobState.UNDETERMINED, reason="vanished")))
    world.outcomes(site, job_changes(job("1", JobState.DONE, outcome=Outcome.COMPLETED, wall_seconds=9), job("2")))
    world.must(site, Gap(cluster="c1", reason="spool full", since_at=1, until_at=2, count=None))
    world.must(second, Parameters(values=(("lost_after_ms", DAY_MS),)))
    for name in LATER_PARAMETERS:
        assert world.outcomes(second, Parameters(values=((name, 300),))) == ["MALFORMED"]
    for party in (site, user, second, world.node):
        for word in LATER_TYPES:
            answer = world.send(party, Tick(), payload_type=f"application/vnd.hpcbridge.{word}.v1+protobuf", raw_body=b"\x0a\x02c1\x10\x01")
            assert isinstance(answer, Applied)
            assert [outcome.value for outcome in answer.entry.outcomes] == ["UNKNOWN_TYPE"]
        with_queues = encode_body(REGISTRATION) + b"\x42\x07\x0a\x05batch"
        assert world.outcomes(party, REGISTRATION, raw_body=with_queues) == ["MALFORMED"]
        watch = JobWatch(cluster="c1", job_id="1")
        assert world.outcomes(party, watch, raw_body=encode_body(watch) + b"\x1a\x03ann") == ["MALFORMED"]
        world.outcomes(party, watch)
        decision = Decision(name="ann", vetting=Vetting.SUSPENDED, note="")
        assert world.outcomes(party, decision, raw_body=encode_body(decision) + b"\x22\x01\x01") == ["MALFORMED"]
    for party in (user, site):
        word = "contract"
        answer = world.send(party, Tick(), payload_type=f"application/vnd.hpcbridge.{word}.v1+protobuf", raw_body=b"\x08\x02")
        assert isinstance(answer, Applied)
        assert [outcome.value for outcome in answer.entry.outcomes] == ["UNKNOWN_TYPE"]
    world.start(user, reason=EpochReason.LOST)
    world.send(user, watch)
    user.sequence -= 1
    world.send(user, JobWatch(cluster="c1", job_id="2"))  # one number, two payloads: evidence
    world.start(user, reason=EpochReason.CLOSED)
    world.at += 8 * DAY_MS
    for party in (site, second):
        world.renew(party, lifetime_ms=40 * DAY_MS)
    world.tick()
    world.must(site, dataclasses.replace(REGISTRATION, rates=None))
    world.must(second, Decision(name="c2", vetting=Vetting.SUSPENDED, note="maintenance"))
    world.must(second, Revocation(member="sitetwo", installation=None, reason="left"))
    world.outcomes(site, job_changes(job("4", owner="bob"), observed_at=world.at))
    world.tick()


def figures(world: World) -> dict[str, object]:
    """By what two replays of one log are compared."""
    events: list[Event] = [event for applied in world.applied for event in applied.events]
    return {
        "entries": len(world.applied),
        "state": world.state.digest().hex(),
        "events": effects_hash((), events).hex(),
        "leaves": hashlib.sha256(b"".join(applied.leaf for applied in world.applied)).hexdigest(),
    }


def write_leaves(path: Path, leaves: Iterable[bytes]) -> None:
    """Each leaf after its length."""
    path.write_bytes(b"".join(len(leaf).to_bytes(4, "big") + leaf for leaf in leaves))


def read_leaves(path: Path) -> Iterator[bytes]:
    """The leaves of a kept log."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 4 + length]
        place += 4 + length


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    made = World(folder, contract_version=1)
    tell(made)
    write_leaves(folder / "version-1.log", (applied.leaf for applied in made.applied))
    (folder / "version-1.json").write_text(json.dumps(figures(made), indent=2) + "\n")
