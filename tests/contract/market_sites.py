# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Clusters for tests of the market: as the contract's pure functions see them, and as a small ledger knows them."""

from __future__ import annotations

from typing import Any

from hpcbridge.contract import requestqueries
from hpcbridge.contract.matching import Cluster
from hpcbridge.contract.supply import merge
from hpcbridge.model.clusters import ClusterState, Program, Queue, QueueHardware, QueueOffer, Rates, Registration, SchedulerInfo, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.market import Offer, Request, RequestRecord, WhyNot
from hpcbridge.model.transactions import Decision
from tests.fold_world import START_AT, Party, World

RATES = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000)
HOUR = 3600
LIFE_MS = 900_000


def queue(name: str = "batch", *, cluster: str = "c1", **changes: Any) -> Queue:
    """An open queue of 128 cores, half of them free, no job waiting."""
    figures: dict[str, Any] = {
        "cores_total": 128,
        "cores_used": 64,
        "cores_available": 64,
        "gpus_total": 0,
        "gpus_used": 0,
        "jobs_queued": 0,
        "jobs_running": 4,
        "max_cores": 128,
        "max_walltime_seconds": 24 * HOUR,
    }
    return Queue(cluster=cluster, name=name, open=True, **(figures | changes))


def cluster(
    *queues: Queue,
    offers: tuple[QueueOffer, ...] = (),
    programs: tuple[Program, ...] = (),
    hardware: tuple[QueueHardware, ...] = (),
    reachable: bool = True,
    **changes: Any,
) -> Cluster:
    """An approved cluster that was heard of just now; keywords change the cluster or its registration."""
    registered: dict[str, Any] = {"cluster": "c1", "login_address": "login.example", "rates": RATES, "queues": offers, "programs": programs}
    standing: dict[str, Any] = {"name": "c1", "provider": "siteone", "approved": True, "heard_at": START_AT, "held": {}}
    for key, value in changes.items():
        (standing if key in standing else registered)[key] = value
    scheduler = SchedulerInfo(name="slurm", version=None, reachable=reachable)
    state = ClusterState(cluster="c1", observed_at=START_AT, queues=queues or (queue(),), scheduler=scheduler, hardware=hardware)
    return Cluster(supply=merge(Registration(**registered), state, sampled_at=START_AT), **standing)


def open_cluster(world: World, name: str, provider: Party | None = None, *queues: Queue, **registered: Any) -> Party:
    """Registers and approves a cluster and tells its state; without a provider one is enrolled as `<name>-org`."""
    party = provider or world.enrol(f"{name}-org", Role.PROVIDER)
    values: dict[str, Any] = {"login_address": f"login.{name}.example", "rates": RATES} | registered
    world.must(party, Registration(cluster=name, **values))
    world.must(world.root, Decision(name=name, vetting=Vetting.APPROVED, note=""))
    tell_state(world, party, name, *queues)
    return party


def tell_state(world: World, provider: Party, name: str, *queues: Queue) -> None:
    """A sample of a cluster, by default of one half-used queue."""
    observed = queues or (queue("batch", cluster=name),)
    scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
    world.must(provider, ClusterState(cluster=name, observed_at=world.at, queues=observed, scheduler=scheduler))


def ask(world: World, user: Party, **wanted: Any) -> RequestRecord:
    """A request for 16 cores, or what is wanted, and what was put on record of it."""
    world.must(user, Request(**({"cores": 16} | wanted)))
    return requestqueries.request(world.state, world.caller(user), f"r{world.applied[-1].entry.index}")


def offers_of(world: World, user: Party, record: RequestRecord) -> tuple[Offer, ...]:
    """What the user sees."""
    return requestqueries.offers(world.state, world.caller(user), record.request)


def why_nots_of(world: World, user: Party, record: RequestRecord) -> tuple[WhyNot, ...]:
    """What the user sees of the rest."""
    return requestqueries.why_nots(world.state, world.caller(user), record.request)
