# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a cluster has to offer: what its provider registered, laid over what its agent observed last.

A registered figure stands; where nothing is registered, what is observed stands in its place; what neither tells is unknown (None). No
queue is offered with more than it has altogether, and a registered queue that is not observed is closed. Nothing is offered for nothing:
a rate of 0 is no price.

A request reads all clusters, so the last supply of each is kept beside its bytes, and the nouns are records that are quickly made.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import msgspec

from hpcbridge.contract.distance import Place
from hpcbridge.contract.records import decode_fields
from hpcbridge.model.clusters import ClusterState, Program, Queue, QueueHardware, QueueOffer, Rates, Registration
from hpcbridge.model.printable import lower_ascii
from hpcbridge.model.quantities import Instant

REMEMBERED = 20_000
"""Clusters whose last supply is remembered beside the bytes it was made from, which alone decide whether it still is theirs."""


class Lot(msgspec.Struct, frozen=True, gc=False):
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


class Supply(msgspec.Struct, frozen=True):
    """A cluster as the market sees it; `programs`: names, and names `versioned`. `sampled_at` None: nothing was observed yet."""

    place: Place | None
    programs: frozenset[str]
    installs_programs: bool
    lots: tuple[Lot, ...]
    sampled_at: Instant | None


def supply_of(cluster: str, registration: bytes, sample: bytes | None) -> Supply:
    """Supply from the bytes on record: `registration/<name>`, and `clusterstate/<name>` with its moment before it."""
    last = _LAST.get(cluster)
    if last is not None and last.sample == sample and last.registration == registration:
        return last.supply
    kept = last.registered if last is not None and last.registration == registration else None
    registered = kept or cast("Registration", decode_fields(Registration, registration))
    if sample is None:
        supply = merge(registered, None, sampled_at=None)
    else:
        supply = merge(registered, decode_fields(ClusterState, sample[8:]), sampled_at=int.from_bytes(sample[:8], "big"))
    if last is None and len(_LAST) >= REMEMBERED:
        _LAST.clear()
    _LAST[cluster] = _Last(registration, registered, sample, supply)
    return supply


def registered_supply(registration: bytes) -> Supply:
    """What is registered alone."""
    return merge(cast("Registration", decode_fields(Registration, registration)), None, sampled_at=None)


def merge(registered: Registration, state: ClusterState | None, *, sampled_at: Instant | None) -> Supply:
    """Supply from what was registered and observed."""
    answers = state is not None and (state.scheduler is None or state.scheduler.reachable)
    queues = state.queues if state is not None else ()
    hardware = {known.queue: known for known in state.hardware} if state is not None else {}
    if registered.queues:
        observed = {queue.name: queue for queue in queues}
        pairs = [(offer, observed.get(offer.name) or _unseen(offer)) for offer in registered.queues]
        lots = [
            _lot(queue, hardware.get(queue.name), rates=offer.rates or registered.rates, answers=answers, offer=offer)
            for offer, queue in pairs
        ]
    else:
        lots = [_lot(queue, hardware.get(queue.name), rates=registered.rates, answers=answers) for queue in queues]
    latitude, longitude = registered.latitude_microdegrees, registered.longitude_microdegrees
    return Supply(
        place=None if latitude is None or longitude is None else (latitude, longitude),
        programs=frozenset([text for program in registered.programs for text in (program.name, versioned(program))]),
        installs_programs=registered.installs_programs,
        lots=tuple(lots),
        sampled_at=sampled_at,
    )


def versioned(program: Program) -> str:
    """A program with its version as one text, which is no program's name."""
    return f"{program.name}\n{program.version}"


def _lot(queue: Queue, hardware: QueueHardware | None, *, rates: Rates | None, answers: bool, offer: QueueOffer | None = None) -> Lot:
    """A queue as observed, and as registered where it is. GPUs without a price are not offered."""
    max_cores, gpus, max_walltime_seconds = queue.max_cores, queue.gpus_total, queue.max_walltime_seconds
    gpu_type = memory_bytes = None
    if hardware is not None:
        gpu_type, memory_bytes = _only(hardware.gpu_types), hardware.memory_bytes
    if offer is not None:
        max_cores = _first(offer.max_cores, max_cores)
        gpus = _at_most(offer.gpus, gpus)
        max_walltime_seconds = _first(offer.max_walltime_seconds, max_walltime_seconds)
        gpu_type = offer.gpu_type or gpu_type
        memory_bytes = _first(offer.memory_bytes, memory_bytes)
    if rates is not None and rates.gpu_core_per_hour == 0:
        gpus = 0
    return Lot(
        name=queue.name,
        open=answers and queue.open,
        max_cores=_at_most(max_cores, queue.cores_total),
        gpu_type=lower_ascii(gpu_type) if gpu_type else None,
        gpus=gpus,
        max_walltime_seconds=max_walltime_seconds,
        memory_bytes=memory_bytes,
        rates=rates if rates is not None and rates.cpu_core_per_hour else None,
        cores_total=queue.cores_total,
        cores_used=queue.cores_used,
        cores_free=_free(queue.cores_available, queue.cores_total, queue.cores_used),
        gpus_total=queue.gpus_total,
        gpus_used=queue.gpus_used,
        gpus_free=_free(None, queue.gpus_total, queue.gpus_used),
        jobs_queued=queue.jobs_queued,
        jobs_running=queue.jobs_running,
    )


def _unseen(offer: QueueOffer) -> Queue:
    """A registered queue that is not observed: closed, and nothing is known of it but what was registered."""
    return Queue(cluster="", name=offer.name, open=False)


def _only(kinds: tuple[str, ...]) -> str | None:
    """The kind, if there is but one: of several nobody knows how many GPUs each has."""
    return kinds[0] if len(kinds) == 1 else None


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


class _Last(NamedTuple):
    registration: bytes
    registered: Registration
    sample: bytes | None
    supply: Supply


_LAST: dict[str, _Last] = {}


def forget_supplies() -> None:
    """As after a start."""
    _LAST.clear()
