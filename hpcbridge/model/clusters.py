# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Clusters: what is registered about one, its queues, and its state as sampled by the agent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.quantities import Instant


class Vetting(StrEnum):
    """How far the network's admins have come with a member or a cluster."""

    PENDING = "PENDING"
    """Waits for an admin."""
    APPROVED = "APPROVED"
    """Takes part."""
    REJECTED = "REJECTED"
    """Was turned down."""
    SUSPENDED = "SUSPENDED"
    """Took part and was stopped; may be approved again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Software that is installed on a cluster."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Asked prices in micro-units of the network's currency, per core and per GPU for one hour."""

    cpu_core_per_hour: int
    gpu_core_per_hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOffer:
    """What a provider offers of one queue. A figure that is None is what is observed; without `rates` those of the cluster hold.

    `max_cores` and `gpus` are the most one job may have, `memory_bytes` the most it may ask for.
    """

    name: str
    max_cores: int | None = None
    gpu_type: str | None = None
    gpus: int | None = None
    max_walltime_seconds: int | None = None
    memory_bytes: int | None = None
    rates: Rates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a provider registers about its cluster. Latitude and longitude are integer micro-degrees.

    `queues` are those it offers; without any, every queue that is observed is offered as it is. `sealing_key` is the X25519 key of the
    agent, to which users seal what only the provider may read; empty if it has none.
    """

    cluster: str
    login_address: str
    latitude_microdegrees: int | None = None
    longitude_microdegrees: int | None = None
    programs: tuple[Program, ...] = ()
    installs_programs: bool = False
    rates: Rates | None = None
    queues: tuple[QueueOffer, ...] = ()
    sealing_key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One queue. Figures that need a report we do not have are None; `max_walltime_seconds` None means no limit."""

    cluster: str
    name: str
    open: bool
    nodes: tuple[str, ...] = ()
    cores_total: int | None = None
    cores_used: int | None = None
    cores_available: int | None = None
    gpus_total: int | None = None
    gpus_used: int | None = None
    jobs_queued: int | None = None
    jobs_running: int | None = None
    max_cores: int | None = None
    max_walltime_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHardware:
    """What the nodes of a queue have for a job, as far as a scheduler tells it.

    `gpu_types` are the kinds of its GPUs, none where one is not known; `memory_bytes` is the memory of the largest node known: what a job
    gets without being spread.
    """

    queue: str
    gpu_types: tuple[str, ...] = ()
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerInfo:
    """The scheduler behind a cluster."""

    name: str
    version: str | None
    reachable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """Vitals of the machine the agent runs on: load average × 100 and memory in use."""

    load_hundredths: int | None
    memory_used_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """A sample of the whole cluster. `utilization` is used of total cores in basis points; `hardware`: queues of which any is known."""

    cluster: str
    observed_at: Instant
    queues: tuple[Queue, ...] = ()
    nodes_total: int | None = None
    nodes_up: int | None = None
    cores_total: int | None = None
    cores_used: int | None = None
    utilization: int | None = None
    scheduler: SchedulerInfo | None = None
    frontend: Frontend | None = None
    hardware: tuple[QueueHardware, ...] = ()


def utilization_of(used: int | None, total: int | None) -> int | None:
    """Basis points of `total` that are used, rounded down; None if either is unknown or there is nothing to use."""
    if used is None or not total:
        return None
    return used * 10_000 // total
