# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Registration, samples, nodes and gaps, with the values that strangers may try."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hpcbridge.contract import queries
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.records import ClusterRecord
from hpcbridge.model.clusters import (
    ClusterState,
    Frontend,
    Program,
    Queue,
    Rates,
    Registration,
    SchedulerInfo,
    Vetting,
)
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import Decision, Gap, NodeChange, NodeChanges
from tests.fold_world import DAY_MS, START_AT, Party, World, job, job_changes

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
    queues=(Queue(cluster="c1", name="batch", open=True, nodes=("n1", "n2"), cores_total=64, jobs_queued=0),),
    nodes_total=2,
    nodes_up=2,
    cores_total=64,
    cores_used=32,
    utilization=5000,
    scheduler=SchedulerInfo(name="slurm", version="22.05.8", reachable=True),
    frontend=Frontend(load_hundredths=12, memory_used_bytes=1 << 30),
)


def shown(world: World, who: Party) -> ClusterRecord:
    return queries.cluster(world.state, world.caller(who), "c1")


def test_registration_waits_takes_updates_and_keeps_its_vetting(world: World) -> None:
    provider = world.enrol("siteone", Role.PROVIDER)
    (event,) = world.must(provider, REGISTRATION).events
    assert decode_event(event).record == REGISTRATION
    assert (shown(world, provider).vetting, shown(world, provider).registration) == (Vetting.PENDING, REGISTRATION)
    world.must(provider, job_changes(job()))
    assert world.must(provider, REGISTRATION).events == ()
    world.must(world.root, Decision(name="c1", vetting=Vetting.APPROVED, note="welcome"))
    update = dataclasses.replace(REGISTRATION, login_address="login2.c1.example")
    assert len(world.must(provider, update).events) == 1
    assert (shown(world, provider).vetting, shown(world, provider).registration) == (Vetting.APPROVED, update)


@pytest.mark.parametrize("decisions", [[Vetting.REJECTED], [Vetting.APPROVED, Vetting.SUSPENDED]])
def test_a_cluster_that_may_not_take_part(world: World, decisions: list[Vetting]) -> None:
    provider = world.enrol("siteone", Role.PROVIDER)
    world.must(provider, REGISTRATION)
    for decision in decisions:
        world.must(world.root, Decision(name="c1", vetting=decision, note=""))
    nodes = NodeChanges(
        cluster="c1", changes=(NodeChange(node="n", availability=Availability.UP, native_state="", reason=None, observed_at=1),)
    )
    for body in (REGISTRATION, SAMPLE, job_changes(job(), job("2")), nodes):
        assert set(world.outcomes(provider, body)) == {"NOT_APPROVED"}
    world.must(world.root, Decision(name="c1", vetting=Vetting.APPROVED, note=""))
    world.must(provider, SAMPLE)


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": "C 1"},
        {"cluster": "a/b"},
        {"login_address": ""},
        {"login_address": "two words"},
        {"latitude_microdegrees": None},
        {"latitude_microdegrees": 90_000_001},
        {"longitude_microdegrees": -180_000_001},
        {"programs": (Program(name="", version="1"),)},
        {"programs": (Program(name="a", version="1"),) * 2},
        {"rates": Rates(cpu_core_per_hour=1 << 60, gpu_core_per_hour=0)},
    ],
)
def test_registrations_that_make_no_sense(world: World, changes: dict[str, Any]) -> None:
    provider = world.enrol("siteone", Role.PROVIDER)
    assert world.outcomes(provider, dataclasses.replace(REGISTRATION, **changes)) == ["MALFORMED"]


def test_samples_in_order(world: World, provider: Party) -> None:
    (event,) = world.must(provider, SAMPLE).events
    assert (event.type, decode_event(event).record) == (EventType.CLUSTER_STATE, SAMPLE)
    assert world.must(provider, SAMPLE).events == ()
    assert world.outcomes(provider, dataclasses.replace(SAMPLE, observed_at=START_AT - 1)) == ["STALE"]
    world.at += 60_000
    world.must(provider, dataclasses.replace(SAMPLE, observed_at=START_AT + 60_000, cores_used=1))
    state = shown(world, provider).state
    assert state is not None
    assert state.cores_used == 1
    assert shown(world, provider).heard_at == world.at


def test_a_sample_from_the_future_does_not_shut_out_the_rest(world: World, provider: Party) -> None:
    world.must(provider, dataclasses.replace(SAMPLE, observed_at=START_AT + 3650 * DAY_MS))
    world.at += 1
    world.must(provider, dataclasses.replace(SAMPLE, observed_at=START_AT + 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"observed_at": -1},
        {"nodes_total": 1 << 41},
        {"utilization": 1_000_001},
        {"queues": SAMPLE.queues * 2},
        {"queues": (dataclasses.replace(SAMPLE.queues[0], cluster="c2"),)},
        {"queues": (dataclasses.replace(SAMPLE.queues[0], nodes=("a/b",)),)},
        {"queues": (dataclasses.replace(SAMPLE.queues[0], max_cores=1 << 50),)},
        {"scheduler": SchedulerInfo(name="", version=None, reachable=True)},
        {"frontend": Frontend(load_hundredths=None, memory_used_bytes=1 << 63)},
    ],
)
def test_samples_that_make_no_sense(world: World, provider: Party, changes: dict[str, Any]) -> None:
    assert world.outcomes(provider, dataclasses.replace(SAMPLE, **changes)) == ["MALFORMED"]


def node(name: str, availability: Availability = Availability.UP, **fields: Any) -> NodeChange:
    return NodeChange(node=name, availability=availability, **({"native_state": "IDLE", "reason": None, "observed_at": START_AT} | fields))


def test_nodes_each_by_itself(world: World, provider: Party) -> None:
    body = NodeChanges(
        cluster="c1", changes=(node("n2"), node("a/b"), node("n1", Availability.DOWN, reason="disk"), node("n3", observed_at=-1))
    )
    assert world.outcomes(provider, body) == ["ACCEPTED", "MALFORMED", "ACCEPTED", "MALFORMED"]
    assert [event.subject for event in world.applied[-1].events] == ["c1/n2", "c1/n1"]
    assert [found.node for found in queries.nodes(world.state, world.caller(provider), "c1")] == ["n1", "n2"]
    again = NodeChanges(cluster="c1", changes=(node("n2", observed_at=START_AT + 9), node("n2", Availability.DRAINED)))
    answer = world.must(provider, again)
    assert len(answer.events) == 1
    assert decode_event(answer.events[0]).record == again.changes[1]


def test_gaps_are_listed(world: World, provider: Party) -> None:
    gap = Gap(cluster="c1", reason="spool full", since_at=START_AT, until_at=START_AT + 5, count=None)
    (event,) = world.must(provider, gap).events
    assert decode_event(event).record == gap
    (found,) = queries.gaps(world.state, world.caller(provider))
    assert (found.gap, found.index, found.at) == (gap, len(world.applied) - 1, world.at)
    assert queries.gaps(world.state, world.caller(world.root), "c1") == (found,)
    for changes in ({"until_at": 1}, {"since_at": -1}, {"reason": "x" * 300}, {"count": 1 << 41}):
        assert world.outcomes(provider, dataclasses.replace(gap, **changes)) == ["MALFORMED"]
    assert world.outcomes(provider, dataclasses.replace(gap, cluster="c9")) == ["NOT_FOUND"]
