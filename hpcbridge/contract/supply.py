# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a cluster has to offer: what its provider registered, laid over what its agent observed last.

A registered figure stands; where nothing is registered, what is observed stands in its place; what neither tells is unknown (None). No
queue is offered with more than it has altogether, and a registered queue that is not observed is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from hpcbridge.contract.distance import Place
from hpcbridge.contract.records import decode_word
from hpcbridge.model.clusters import ClusterState, Queue, QueueOffer, Rates, Registration
from hpcbridge.model.quantities import Instant

REMEMBERED = 4096
"""Clusters whose supply is remembered by the bytes it was made from; what is asked of many is asked again before they change."""


@dataclass(frozen=True, slots=True)
class Lot:
    """One queue as it can be offered. None is unknown, but `max_walltime_seconds` None is no limit, and `rates` None no price.

    `max_cores` and `gpus` are the most one job may have, `gpu_type` in lower case; free and used are as observed.
    """

    name: str
    open: bool
    max_cores: int | None
    gpu_type: str | None
    gpus: int | None
    max_walltime_seconds: int | None
    memory_bytes: int | None
    rates: Rates | None
    cores_total: int | None
    cores_used: int | None
    cores_free: int | None
    gpus_total: int | None
    gpus_used: int | None
    gpus_free: int | None
    jobs_queued: int | None
    jobs_running: int | None


@dataclass(frozen=True, slots=True)
class Supply:
    """A cluster as the market sees it; `programs` maps names to versions. `sampled_at` None: nothing was observed yet."""

    place: Place | None
    programs: Mapping[str, tuple[str, ...]]
    installs_programs: bool
    lots: tuple[Lot, ...]
    sampled_at: Instant | None


@lru_cache(maxsize=REMEMBERED)
def supply_of(registration: bytes, sample: bytes | None) -> Supply:
    """Supply from the bytes on record: `registration/<name>`, and `clusterstate/<name>` with its moment before it."""
    registered = decode_word(Registration, registration)
    if sample is None:
        return merge(registered, None, sampled_at=None)
    return merge(registered, decode_word(ClusterState, sample[8:]), sampled_at=int.from_bytes(sample[:8], "big"))


def merge(registered: Registration, state: ClusterState | None, *, sampled_at: Instant | None) -> Supply:
    """Supply from the words themselves."""
    answers = state is not None and (state.scheduler is None or state.scheduler.reachable)
    observed = {queue.name: queue for queue in state.queues} if state is not None else {}
    offers = registered.queues or tuple(QueueOffer(name=name) for name in observed)
    latitude, longitude = registered.latitude_microdegrees, registered.longitude_microdegrees
    programs: dict[str, tuple[str, ...]] = {}
    for program in registered.programs:
        programs[program.name] = (*programs.get(program.name, ()), program.version)
    return Supply(
        place=None if latitude is None or longitude is None else (latitude, longitude),
        programs=programs,
        installs_programs=registered.installs_programs,
        lots=tuple(_lot(offer, observed.get(offer.name), registered.rates, answers=answers) for offer in offers),
        sampled_at=sampled_at,
    )


def _lot(offer: QueueOffer, queue: Queue | None, rates: Rates | None, *, answers: bool) -> Lot:
    cores_total = queue.cores_total if queue else None
    gpus_total = queue.gpus_total if queue else None
    walltime = offer.max_walltime_seconds
    return Lot(
        name=offer.name,
        open=answers and queue is not None and queue.open,
        max_cores=_at_most(_first(offer.max_cores, queue.max_cores if queue else None), cores_total),
        gpu_type=offer.gpu_type.lower() if offer.gpu_type else None,
        gpus=_at_most(offer.gpus, gpus_total),
        max_walltime_seconds=_first(walltime, queue.max_walltime_seconds if queue else None),
        memory_bytes=offer.memory_bytes,
        rates=offer.rates or rates,
        cores_total=cores_total,
        cores_used=queue.cores_used if queue else None,
        cores_free=_free(queue.cores_available, cores_total, queue.cores_used) if queue else None,
        gpus_total=gpus_total,
        gpus_used=queue.gpus_used if queue else None,
        gpus_free=_free(None, gpus_total, queue.gpus_used) if queue else None,
        jobs_queued=queue.jobs_queued if queue else None,
        jobs_running=queue.jobs_running if queue else None,
    )


def _first(registered: int | None, observed: int | None) -> int | None:
    return observed if registered is None else registered


def _at_most(figure: int | None, total: int | None) -> int | None:
    if figure is None or total is None:
        return _first(figure, total)
    return min(figure, total)


def _free(available: int | None, total: int | None, used: int | None) -> int | None:
    if available is not None or total is None or used is None:
        return available
    return max(0, total - used)
