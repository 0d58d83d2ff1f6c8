# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Who fits, who does not and by how much: each requirement by itself, their order, the paper's rule on programs, any mixture."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.contract.matching import Cluster, Failure, Matching, match
from hpcbridge.contract.records import encode_word
from hpcbridge.contract.supply import merge, supply_of, versioned
from hpcbridge.model.clusters import ClusterState, Program, QueueHardware, QueueOffer, Rates, Registration
from hpcbridge.model.market import Request, Requirement
from tests.contract.market_sites import HOUR, RATES, cluster, queue
from tests.fold_world import START_AT

WITHIN_MS = 600_000
GROMACS, LAMMPS = Program(name="gromacs", version="2025.1"), Program(name="lammps", version="2")
ANY_GROMACS = Program(name="gromacs", version="")


def matched(request: Request, *clusters: Cluster, member: str = "alice", at: int = START_AT) -> Matching:
    return match(request, clusters, member=member, at=at, heard_within_ms=WITHIN_MS)


def failure(request: Request, one: Cluster, **how: Any) -> Failure | None:
    found = matched(request, one, **how)
    assert len(found.fits) + len(found.left_out) == 1
    return found.left_out[0].failure if found.left_out else None


def test_a_job_of_exactly_max_cores_fits() -> None:
    for cores in (1, 127, 128):
        assert failure(Request(cores=cores), cluster()) is None
    assert failure(Request(cores=129), cluster()) == (Requirement.CORES, 129, 128)


GPU_QUEUE = QueueOffer(name="batch", gpu_type="A100", gpus=4, memory_bytes=1 << 36)
GPUS = queue(gpus_total=16, gpus_used=2)
HARDWARE = QueueHardware(queue="batch", gpu_types=("A100",), memory_bytes=1 << 35)
MIXED = QueueHardware(queue="batch", gpu_types=("A100", "V100"))
OTHERS = QueueHardware(queue="elsewhere", memory_bytes=1 << 40)


@pytest.mark.parametrize(
    ("request_", "one", "expected"),
    [
        (Request(cores=1), cluster(provider="alice"), (Requirement.OWN, None, None)),
        (Request(cores=1), cluster(approved=False), (Requirement.APPROVED, None, None)),
        (Request(cores=1), cluster(heard_at=None), (Requirement.HEARD_FROM, WITHIN_MS, None)),
        (Request(cores=1), cluster(heard_at=START_AT - WITHIN_MS), None),
        (Request(cores=1), cluster(heard_at=START_AT - WITHIN_MS - 1), (Requirement.HEARD_FROM, WITHIN_MS, WITHIN_MS + 1)),
        (Request(cores=1), cluster(rates=None), (Requirement.PRICED, None, None)),
        (Request(cores=1), cluster(rates=None, offers=(QueueOffer(name="batch", rates=RATES),)), None),
        (Request(cores=1), cluster(rates=Rates(cpu_core_per_hour=0, gpu_core_per_hour=5)), (Requirement.PRICED, None, None)),
        (Request(cores=1), cluster(GPUS, rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)), None),
        (Request(cores=1, gpus=1), cluster(GPUS, rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=0)), (Requirement.GPUS, 1, 0)),
        (Request(cores=1), cluster(queue(cores_total=None, max_cores=None)), (Requirement.CORES, 1, None)),
        (Request(cores=1), cluster(queue(max_cores=None)), None),
        (Request(cores=65), cluster(queue(cores_total=64)), (Requirement.CORES, 65, 64)),
        (Request(cores=1), cluster(reachable=False), (Requirement.OPEN, 1, 0)),
        (Request(cores=1), cluster(offers=(QueueOffer(name="elsewhere"),)), (Requirement.OPEN, 1, 0)),
        (Request(cores=9), cluster(offers=(QueueOffer(name="batch", max_cores=8),)), (Requirement.CORES, 9, 8)),
        (Request(cores=200), cluster(offers=(QueueOffer(name="batch", max_cores=256),)), (Requirement.CORES, 200, 128)),
        (Request(cores=1, gpus=1), cluster(), (Requirement.GPUS, 1, 0)),
        (Request(cores=1, gpus=1), cluster(queue(gpus_total=None)), (Requirement.GPUS, 1, None)),
        (Request(cores=1, gpus=16), cluster(GPUS), None),
        (Request(cores=1, gpus=5), cluster(GPUS, offers=(GPU_QUEUE,)), (Requirement.GPUS, 5, 4)),
        (Request(cores=1, gpus=4, gpu_type="a100"), cluster(GPUS, offers=(GPU_QUEUE,)), None),
        (Request(cores=1, gpus=4, gpu_type="h100"), cluster(GPUS, offers=(GPU_QUEUE,)), (Requirement.GPU_TYPE, None, None)),
        (Request(cores=1, gpus=4, gpu_type="a100"), cluster(GPUS), (Requirement.GPU_TYPE, None, None)),
        (Request(cores=1, gpus=4, gpu_type="a100"), cluster(GPUS, hardware=(HARDWARE,)), None),
        (Request(cores=1, gpus=4, gpu_type="h100"), cluster(GPUS, hardware=(HARDWARE,)), (Requirement.GPU_TYPE, None, None)),
        (Request(cores=1, gpus=4, gpu_type="a100"), cluster(GPUS, hardware=(MIXED,)), (Requirement.GPU_TYPE, None, None)),
        (Request(cores=1, gpus=4, gpu_type="a100"), cluster(GPUS, hardware=(MIXED,), offers=(GPU_QUEUE,)), None),
        (Request(cores=1, memory_bytes=1 << 35), cluster(GPUS, hardware=(HARDWARE,)), None),
        (Request(cores=1, memory_bytes=1 << 36), cluster(GPUS, hardware=(HARDWARE,)), (Requirement.MEMORY, 1 << 36, 1 << 35)),
        (Request(cores=1, memory_bytes=1 << 36), cluster(GPUS, hardware=(HARDWARE,), offers=(GPU_QUEUE,)), None),
        (Request(cores=1, memory_bytes=1), cluster(hardware=(OTHERS,)), (Requirement.MEMORY, 1, None)),
        (Request(cores=1, memory_bytes=1), cluster(), (Requirement.MEMORY, 1, None)),
        (Request(cores=1, memory_bytes=1 << 36), cluster(GPUS, offers=(GPU_QUEUE,)), None),
        (Request(cores=1, memory_bytes=1 << 37), cluster(GPUS, offers=(GPU_QUEUE,)), (Requirement.MEMORY, 1 << 37, 1 << 36)),
        (Request(cores=1, walltime_seconds=24 * HOUR), cluster(), None),
        (Request(cores=1, walltime_seconds=24 * HOUR + 1), cluster(), (Requirement.WALLTIME, 24 * HOUR + 1, 24 * HOUR)),
        (Request(cores=1, walltime_seconds=1 << 30), cluster(queue(max_walltime_seconds=None)), None),
        (Request(cores=1, programs=(GROMACS,)), cluster(), (Requirement.PROGRAMS, 1, 0)),
    ],
)
def test_each_requirement(request_: Request, one: Cluster, expected: tuple[Requirement, int | None, int | None] | None) -> None:
    assert failure(request_, one) == expected


def test_a_cluster_that_was_never_sampled_is_not_heard_from() -> None:
    one = cluster()._replace(supply=merge(Registration(cluster="c1", login_address="x", rates=RATES), None, sampled_at=None))
    assert failure(Request(cores=1), one) == (Requirement.HEARD_FROM, WITHIN_MS, None)


def test_requirements_are_looked_at_in_their_order() -> None:
    """A cluster that fails everything is told its first failure; with that one met the next, to the end."""
    request = Request(cores=200, gpus=2, gpu_type="h100", memory_bytes=8, walltime_seconds=99 * HOUR, programs=(GROMACS,))
    changes: dict[str, Any] = {"provider": "alice", "approved": False, "heard_at": None, "rates": None}
    figures: dict[str, Any] = {"max_walltime_seconds": HOUR}
    offered: dict[str, Any] = {"max_cores": 1}
    told: list[Requirement] = []
    steps: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        ({}, {}, {}),
        ({"provider": "siteone"}, {}, {}),
        ({"approved": True}, {}, {}),
        ({"heard_at": START_AT}, {}, {}),
        ({"rates": RATES}, {}, {}),
        ({"reachable": True}, {}, {}),
        ({}, {"cores_total": 256}, {"max_cores": 200}),
        ({}, {"gpus_total": 8}, {}),
        ({}, {}, {"gpu_type": "H100"}),
        ({}, {}, {"memory_bytes": 8}),
        ({}, {"max_walltime_seconds": 99 * HOUR}, {}),
        ({"programs": (GROMACS,)}, {}, {}),
    ]
    changes["reachable"] = False
    for standing, seen, registered in steps:
        changes |= standing
        figures |= seen
        offered |= registered
        found = failure(request, cluster(queue(**figures), offers=(QueueOffer(name="batch", **offered),), **changes))
        if found is not None:
            told.append(found.requirement)
    assert told == [requirement for requirement in Requirement if requirement is not Requirement.LISTED]


def test_one_queue_must_meet_everything_and_the_one_that_came_farthest_tells() -> None:
    wide, long = queue("wide", max_walltime_seconds=HOUR), queue("long", max_cores=8, max_walltime_seconds=99 * HOUR)
    one = cluster(wide, long, queue("wider", max_walltime_seconds=2 * HOUR), queue("closed"))
    assert failure(Request(cores=64, walltime_seconds=9 * HOUR), cluster(wide, long)) == (Requirement.WALLTIME, 9 * HOUR, HOUR)
    assert failure(Request(cores=64, walltime_seconds=72 * HOUR), one) == (Requirement.WALLTIME, 72 * HOUR, 24 * HOUR)
    (fit,) = matched(Request(cores=8, walltime_seconds=72 * HOUR), one).fits
    assert [lot.name for lot in fit.lots] == ["long"]


def names(found: Matching) -> tuple[list[str], dict[str, tuple[Requirement, tuple[Program, ...]]]]:
    fits = [fit.cluster.name for fit in found.fits]
    return fits, {out.cluster.name: (out.failure.requirement, out.missing) for out in found.left_out}


def test_programs_as_in_the_paper() -> None:
    both = cluster(name="both", programs=(GROMACS, LAMMPS))
    one = cluster(name="one", programs=(GROMACS,), installs_programs=True)
    none = cluster(name="none", installs_programs=True)
    stubborn = cluster(name="stubborn")
    request = Request(cores=1, programs=(ANY_GROMACS, LAMMPS))
    found = matched(request, both, one, none, stubborn)
    programs = Requirement.PROGRAMS
    assert names(found) == (
        ["both"],
        {"one": (programs, (LAMMPS,)), "none": (programs, (ANY_GROMACS, LAMMPS)), "stubborn": (programs, (ANY_GROMACS, LAMMPS))},
    )
    assert {out.cluster.name: out.failure[1:] for out in found.left_out} == {"one": (2, 1), "none": (2, 0), "stubborn": (2, 0)}
    found = matched(request, one, none, stubborn)
    assert names(found) == (["one", "none"], {"stubborn": (programs, (ANY_GROMACS, LAMMPS))})
    assert [fit.to_install for fit in found.fits] == [(LAMMPS,), (ANY_GROMACS, LAMMPS)]
    assert found.missing == (ANY_GROMACS, LAMMPS)


def test_a_cluster_with_all_programs_that_does_not_fit_does_not_shut_out_those_who_would_install() -> None:
    small = cluster(queue(max_cores=1), name="small", programs=(GROMACS,))
    willing = cluster(name="willing", installs_programs=True)
    found = matched(Request(cores=2, programs=(GROMACS,)), small, willing)
    assert names(found) == (["willing"], {"small": (Requirement.CORES, ())})


def test_versions_are_compared_as_written() -> None:
    one = cluster(programs=(GROMACS, Program(name="gromacs", version="2024")))
    for version, fits in (("", True), ("2025.1", True), ("2024", True), ("2025", False)):
        found = failure(Request(cores=1, programs=(Program(name="gromacs", version=version),)), one)
        assert (found is None) is fits, version
    assert failure(Request(cores=1, programs=(Program(name="Gromacs", version=""),)), one) is not None


clusters = st.builds(
    lambda cores, gpus, walltime, has, installs, approved, number: cluster(
        queue("a", max_cores=cores, gpus_total=gpus), queue("b", max_walltime_seconds=walltime),
        name=f"c{number}", programs=has, installs_programs=installs, approved=approved,
    ),
    cores=st.sampled_from([1, 16, 128]),
    gpus=st.sampled_from([None, 0, 4]),
    walltime=st.sampled_from([None, HOUR, 48 * HOUR]),
    has=st.sampled_from([(), (GROMACS,), (LAMMPS,), (GROMACS, LAMMPS)]),
    installs=st.booleans(),
    approved=st.booleans(),
    number=st.integers(0, 99),
)  # fmt: skip
requests = st.builds(
    Request,
    cores=st.sampled_from([1, 16, 128, 129]),
    gpus=st.sampled_from([0, 4]),
    walltime_seconds=st.sampled_from([None, HOUR, 48 * HOUR]),
    programs=st.sampled_from([(), (GROMACS,), (ANY_GROMACS, LAMMPS)]),
)


@given(requests, st.lists(clusters, max_size=8))
def test_any_mixture_as_the_paper_would_have_it(request: Request, some: list[Cluster]) -> None:
    """An independent spelling: lines 1 to 7 of the paper's first algorithm."""

    def big_enough(one: Cluster) -> bool:
        return one.approved and any(
            lot.max_cores is not None and lot.max_cores >= request.cores
            and (request.gpus == 0 or (lot.gpus or 0) >= request.gpus)
            and (request.walltime_seconds is None or (lot.max_walltime_seconds or 1 << 60) >= request.walltime_seconds)
            for lot in one.supply.lots
        )  # fmt: skip

    def has_all(one: Cluster) -> bool:
        return all((versioned(program) if program.version else program.name) in one.supply.programs for program in request.programs)

    spec = [one for one in some if big_enough(one)]
    candidates = [one for one in spec if has_all(one)] or [one for one in spec if one.supply.installs_programs]
    found = matched(request, *some)
    assert [fit.cluster for fit in found.fits] == candidates
    assert sorted(out.cluster.name for out in found.left_out) == sorted(one.name for one in some if one not in candidates)
    for out in found.left_out:
        requirement, needed, known = out.failure
        assert known is None or needed is None or known < needed
        assert (requirement is Requirement.PROGRAMS) is (out.cluster in spec)


def test_what_is_remembered_of_a_cluster_is_never_anothers() -> None:
    """The bytes decide, not the name: a rate, a sample and both may change and come back, also in another ledger of this process."""
    dear = Rates(cpu_core_per_hour=9, gpu_core_per_hour=9)
    bodies = [encode_word(Registration(cluster="c1", login_address="x", rates=rates)) for rates in (RATES, dear)]
    states = [encode_word(ClusterState(cluster="c1", observed_at=1, queues=(queue(max_cores=cores),))) for cores in (4, 8)]
    samples = [None, *((moment).to_bytes(8, "big") + state for moment, state in ((1, states[0]), (2, states[1])))]
    for _ in range(2):
        for body, rates in zip(bodies, (RATES, dear), strict=True):
            for sample, cores in zip(samples, (None, 4, 8), strict=True):
                lots = supply_of("c1", body, sample).lots
                assert [(lot.max_cores, lot.rates and lot.rates.cpu_core_per_hour) for lot in lots] == (
                    [] if cores is None else [(cores, rates.cpu_core_per_hour)]
                )
