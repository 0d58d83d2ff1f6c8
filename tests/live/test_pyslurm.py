# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""pyslurm for real: `HPCBRIDGE_LIVE=pyslurm pytest tests/live` on a machine with a Slurm and a pyslurm of its release.

Asks only. The Slurm should have jobs, best of many kinds; both ways are asked twice, in turn, and what changed meanwhile is left out.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.schedulers.report import Report, Source
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.pyslurm_source import PyslurmSource
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler

pytestmark = pytest.mark.skipif(
    "pyslurm" not in os.environ.get("HPCBRIDGE_LIVE", "").split(","), reason="HPCBRIDGE_LIVE does not name pyslurm"
)

SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
PASSED_ON = ("PATH", "SLURM_CONF", "PYTHONPATH")
MAY_BE_UNKNOWN = {"exit_code", "exit_signal", "gpus", "gpu_type", "name", "account", "memory_bytes", "gpus_used", "gpus_total"}
"""What pyslurm may not tell where squeue does (hpcbridge/schedulers/slurm/pyslurm_records.py); if it does tell, both must agree."""
MEMORY = {"memory_bytes"}
"""What was asked for there, what was given here."""
CLOCK = {"wall_seconds"}


@pytest.fixture(scope="module")
def sources() -> Iterator[tuple[PyslurmSource, ScriptRunner]]:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    runner = ScriptRunner(SCRIPTS, scheduler="slurm", environment=environment, timeout_seconds=60, max_bytes=256 << 20)
    source = PyslurmSource(runner, environment=environment, timeout_seconds=60, max_bytes=256 << 20)
    yield source, runner
    source.close()


def test_it_is_really_pyslurm_that_answers(sources: tuple[PyslurmSource, ScriptRunner]) -> None:
    for query in ("jobs", "nodes", "queues"):
        assert sources[0].run(query).argv[0] == "pyslurm"


def test_jobs_are_the_same_as_those_of_squeue(sources: tuple[PyslurmSource, ScriptRunner]) -> None:
    def read(report: Report) -> dict[str, Job]:
        answer = SlurmScheduler("live").jobs(report)
        assert answer.problems == ()
        return {job.job_id: job for job in answer.records}

    own, cli = map(read, _asked(sources, "jobs"))
    own_again, cli_again = map(read, _asked(sources, "jobs"))
    same = [job_id for job_id in own if _timeless(own[job_id]) == _timeless(own_again.get(job_id))]
    same = [job_id for job_id in same if _timeless(cli.get(job_id)) == _timeless(cli_again.get(job_id))]
    same = [job_id for job_id in same if job_id in cli]
    assert same
    assert {job_id: differences for job_id in same if (differences := _differences(own[job_id], cli[job_id]))} == {}


def test_nodes_are_the_same_as_those_of_scontrol(sources: tuple[PyslurmSource, ScriptRunner]) -> None:
    own, cli = ({node.name: node for node in SlurmScheduler("live").nodes(report).records} for report in _asked(sources, "nodes"))
    assert own.keys() == cli.keys()
    same = [name for name in own if (own[name].native_state, own[name].cores_used) == (cli[name].native_state, cli[name].cores_used)]
    assert same
    assert {name: differences for name in same if (differences := _differences(own[name], cli[name]))} == {}


def test_queues_are_the_same_as_those_of_scontrol(sources: tuple[PyslurmSource, ScriptRunner]) -> None:
    def read(report: Report) -> dict[str, Queue]:
        return {queue.name: queue for queue in SlurmScheduler("live").queues(report, nodes=None, jobs=None).records}

    own, cli = (read(report) for report in _asked(sources, "queues"))
    assert own.keys() == cli.keys()
    assert {name: differences for name in own if (differences := _differences(own[name], cli[name]))} == {}


def _asked(sources: tuple[Source, Source], query: str) -> tuple[Report, Report]:
    return sources[0].run(query), sources[1].run(query)


def _timeless(job: Job | None) -> Job | None:
    return None if job is None else dataclasses.replace(job, wall_seconds=None)


def _differences(own: Job | Node | Queue, cli: Job | Node | Queue) -> dict[str, tuple[object, object]]:
    found = {}
    for field in dataclasses.fields(own):
        mine, other = getattr(own, field.name), getattr(cli, field.name)
        unknown = mine is None and field.name in MAY_BE_UNKNOWN
        if mine != other and not unknown and field.name not in CLOCK | MEMORY:
            found[field.name] = (mine, other)
    return found
