# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A market at the command line: an admin, a provider with clusters, and users, each with a folder of their own."""

from __future__ import annotations

import json
import time
from typing import Any

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.clusters import ClusterState, Program, Queue, Rates, Registration, SchedulerInfo
from hpcbridge.model.transactions import Body
from hpcbridge.submitter.submit import submit
from hpcbridge.wire.client import LedgerClient, endpoints_of
from tests.ctl_network import Network

RATES = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000)


def say(network: Network, name: str, body: Body) -> int:
    """One accepted transaction of what no command says, such as an agent's."""
    keys = KeyDirectory(network.identity(name))
    with LedgerClient(endpoints_of(keys), keys) as client:
        submitted = submit(keys, client, body)
    submitted.check_accepted()
    return submitted.index


def open_cluster(
    network: Network, provider: str, cluster: str, *queues: Queue, programs: tuple[Program, ...] = (), sealing_key: bytes = b""
) -> None:
    """Registers a cluster, has it approved and tells a sample of it."""
    registration = Registration(
        cluster=cluster,
        login_address=f"login.{cluster}.example",
        latitude_microdegrees=18_787_700,
        longitude_microdegrees=98_993_100,
        rates=RATES,
        programs=programs,
        sealing_key=sealing_key,
    )
    say(network, provider, registration)
    network.ok("root", "admin", "approve", cluster)
    scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
    say(network, provider, ClusterState(cluster=cluster, observed_at=time.time_ns() // 1_000_000, queues=queues, scheduler=scheduler))


def queue(cluster: str, name: str, **figures: Any) -> Queue:
    """An open queue of 128 cores, half of them free."""
    known = {"cores_total": 128, "cores_used": 64, "cores_available": 64, "gpus_total": 0, "gpus_used": 0, "jobs_queued": 0,
             "jobs_running": 4, "max_cores": 128, "max_walltime_seconds": 24 * 3600}  # fmt: skip
    return Queue(cluster=cluster, name=name, open=True, **(known | figures))


def open_market(network: Network, *, sealing_key: bytes = b"") -> None:
    """Two clusters of a provider, one of them small; and a user, ulla, without any money."""
    network.enrol("root", "north", "provider")
    gromacs = (Program(name="gromacs", version="2023.3"),)
    wide = (queue("aurora", "sunrise"), queue("aurora", "midday", jobs_queued=3, max_walltime_seconds=7200))
    small = queue("pebble", "gravel", cores_total=8, cores_used=0, cores_available=8, max_cores=8)
    open_cluster(network, "north", "aurora", *wide, programs=gromacs, sealing_key=sealing_key)
    open_cluster(network, "north", "pebble", small, sealing_key=sealing_key)
    network.enrol("root", "ulla", "user")


def asked(network: Network, name: str, *arguments: str) -> Any:
    """The JSON answer of a command."""
    return json.loads(network.ok(name, "-o", "json", *arguments))
