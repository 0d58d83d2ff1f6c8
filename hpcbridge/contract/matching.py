# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""findResourceMatching: which clusters can do what a user asks for, and for each other one the first requirement that failed.

Requirements are looked at in the order of `Requirement`. Those from PRICED to WALLTIME must be met by one queue together; a cluster that
fails there is told by the queue that came farthest, among several by the one that came nearest. A figure that is not known meets nothing.
Programs come last, as in the paper: only where no cluster that fits has them all, those count that would install them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hpcbridge.contract.supply import Lot, Supply, versioned
from hpcbridge.model.clusters import Program
from hpcbridge.model.market import Request, Requirement
from hpcbridge.model.printable import lower_ascii
from hpcbridge.model.quantities import Instant


class Cluster(NamedTuple):
    """A cluster with how it stands at this moment. `held`: cores and GPUs by queue that open rentals have not begun to use."""

    name: str
    provider: str
    supply: Supply
    approved: bool
    heard_at: Instant | None
    held: Mapping[str, tuple[int, int]]


class Fit(NamedTuple):
    """A cluster that can do what was asked, with the queues that can, once `to_install` is installed there."""

    cluster: Cluster
    lots: tuple[Lot, ...]
    to_install: tuple[Program, ...]


class Failure(NamedTuple):
    """A requirement that failed: what was needed and what there is, None for what is no number (or, found, not known)."""

    requirement: Requirement
    needed: int | None
    found: int | None


class LeftOut(NamedTuple):
    """A cluster that is not among the fits, and why."""

    cluster: Cluster
    failure: Failure
    missing: tuple[Program, ...] = ()


@dataclass(frozen=True, slots=True)
class Matching:
    """Both lists in the order of the clusters; `missing`: programs that some cluster lacked which met everything else."""

    fits: tuple[Fit, ...]
    left_out: tuple[LeftOut, ...]
    missing: tuple[Program, ...]


def match(request: Request, clusters: Iterable[Cluster], *, member: str, at: Instant, heard_within_ms: int) -> Matching:
    """What a member's request meets now."""
    fits: list[Fit] = []
    left_out: list[LeftOut] = []
    for cluster in clusters:
        failure = _standing_fault(cluster, member, at=at, heard_within_ms=heard_within_ms)
        if failure is None:
            lots, failure = _look_at(cluster.supply.lots, request)
            if lots:
                fits.append(Fit(cluster, tuple(lots), missing_programs(cluster.supply, request)))
                continue
        left_out.append(LeftOut(cluster, failure))
    return _with_programs(request, fits, left_out)


def missing_programs(supply: Supply, request: Request) -> tuple[Program, ...]:
    """Programs of the request that are not installed; names and versions are compared as written, no version is any."""
    if not request.programs:
        return ()
    return tuple(program for program in request.programs if not _is_installed(supply, program))


def lot_fault(lot: Lot, request: Request) -> Failure | None:
    """The first requirement on a queue that fails; None if the queue can do it. A job of exactly `max_cores` fits."""
    if lot.rates is None:
        return Failure(Requirement.PRICED, None, None)
    if not lot.open:
        return Failure(Requirement.OPEN, 1, 0)
    if lot.max_cores is None or lot.max_cores < request.cores:
        return Failure(Requirement.CORES, request.cores, lot.max_cores)
    if request.gpus:
        if lot.gpus is None or lot.gpus < request.gpus:
            return Failure(Requirement.GPUS, request.gpus, lot.gpus)
        if request.gpu_type and lower_ascii(request.gpu_type) != lot.gpu_type:
            return Failure(Requirement.GPU_TYPE, None, None)
    memory, seconds = request.memory_bytes, request.walltime_seconds
    if memory is not None and (lot.memory_bytes is None or lot.memory_bytes < memory):
        return Failure(Requirement.MEMORY, memory, lot.memory_bytes)
    if seconds is not None and lot.max_walltime_seconds is not None and lot.max_walltime_seconds < seconds:
        return Failure(Requirement.WALLTIME, seconds, lot.max_walltime_seconds)
    return None


def _standing_fault(cluster: Cluster, member: str, *, at: Instant, heard_within_ms: int) -> Failure | None:
    if cluster.provider == member:
        return Failure(Requirement.OWN, None, None)
    if not cluster.approved:
        return Failure(Requirement.APPROVED, None, None)
    if cluster.heard_at is None or cluster.supply.sampled_at is None:
        return Failure(Requirement.HEARD_FROM, heard_within_ms, None)
    silent_ms = at - cluster.heard_at
    if silent_ms > heard_within_ms:
        return Failure(Requirement.HEARD_FROM, heard_within_ms, silent_ms)
    return None


def _look_at(lots: Iterable[Lot], request: Request) -> tuple[list[Lot], Failure]:
    """The queues that fit; and of those that fail the failure of the one that came farthest and, there, nearest."""
    fitting: list[Lot] = []
    told: Failure | None = None
    for lot in lots:
        failure = lot_fault(lot, request)
        if failure is None:
            fitting.append(lot)
        elif told is None or _is_nearer(failure, told):
            told = failure
    return fitting, told or _NO_QUEUE


def _is_nearer(failure: Failure, other: Failure) -> bool:
    if failure.requirement is other.requirement:
        return other.found is None or (failure.found is not None and failure.found > other.found)
    return _RANK[failure.requirement] > _RANK[other.requirement]


def _with_programs(request: Request, fits: list[Fit], left_out: list[LeftOut]) -> Matching:
    """The paper's last step over clusters that meet everything else."""
    lacking = [fit for fit in fits if fit.to_install]
    if not lacking:
        return Matching(tuple(fits), tuple(left_out), ())
    missing = tuple(program for program in request.programs if any(program in fit.to_install for fit in lacking))
    complete = tuple(fit for fit in fits if not fit.to_install)
    chosen = complete or tuple(fit for fit in lacking if fit.cluster.supply.installs_programs)
    asked = len(request.programs)
    refused = [
        LeftOut(fit.cluster, Failure(Requirement.PROGRAMS, asked, asked - len(fit.to_install)), fit.to_install)
        for fit in lacking
        if complete or not fit.cluster.supply.installs_programs
    ]
    return Matching(chosen, (*left_out, *refused), missing)


def _is_installed(supply: Supply, program: Program) -> bool:
    return (versioned(program) if program.version else program.name) in supply.programs


_NO_QUEUE = Failure(Requirement.OPEN, 1, 0)
_RANK: Mapping[Requirement, int] = {requirement: rank for rank, requirement in enumerate(Requirement)}
