# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes and queues of Slurm: documented words, figures that are not known, and reports that prove nothing."""

from __future__ import annotations

import pytest

from hpcbridge.errors import ReportUnreadable
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState
from hpcbridge.model.nodes import Node
from hpcbridge.schedulers.report import Answer, ProblemKind, Report
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from hpcbridge.schedulers.slurm.states import node_availability

NODE = "NodeName={name} CPUAlloc=2 CPUTot=8 {more} RealMemory=1000 AllocMem=0 State={state} Partitions=q"
QUEUE = "PartitionName=q MaxNodes=UNLIMITED MaxTime=UNLIMITED MaxCPUsPerNode=UNLIMITED Nodes={nodes} State={state} TotalCPUs=16 TRES=cpu=16"
NO_GPU = "Gres=(null) GresUsed=gpu:0"


def node(name: str = "n1", *, state: str = "MIXED", more: str = NO_GPU) -> Node:
    (found,) = read_nodes(NODE.format(name=name, state=state, more=more)).records
    return found


def read_nodes(*lines: str) -> Answer[Node]:
    return SlurmScheduler("c1").nodes(Report("nodes", ("x",), 0, "".join(f"{line}\n" for line in lines).encode(), b""))


def read_queues(*lines: str, nodes: list[Node] | None = None, jobs: list[Job] | None = None) -> Answer[Queue]:
    report = Report("queues", ("x",), 0, "".join(f"{line}\n" for line in lines).encode(), b"")
    return SlurmScheduler("c1").queues(report, nodes=nodes, jobs=jobs)


def one_queue(*, nodes: list[Node] | None = None, jobs: list[Job] | None = None) -> Queue:
    names = ",".join(member.name for member in nodes or []) or "n1"
    (queue,) = read_queues(QUEUE.format(nodes=names, state="UP"), nodes=nodes, jobs=jobs).records
    return queue


@pytest.mark.parametrize(
    "state",
    [
        # sinfo(1), NODE STATE CODES, as scontrol spells them: a base state, then flags
        "ALLOCATED", "ALLOCATED+COMPLETING", "IDLE+COMPLETING", "DOWN", "IDLE+DRAIN", "MIXED+DRAIN", "IDLE+FAIL", "MIXED+FAIL", "FUTURE",
        "IDLE", "IDLE+INVALID_REG", "INVAL", "IDLE+MAINTENANCE", "DOWN+REBOOT_ISSUED", "IDLE+REBOOT_REQUESTED", "MIXED", "IDLE+PERFCTRS",
        "IDLE+PLANNED", "IDLE+POWER_DOWN", "IDLE+POWERED_DOWN", "IDLE+POWERING_DOWN", "IDLE+POWERING_UP", "IDLE+RESERVED",
        "UNKNOWN", "IDLE+BLOCKED", "IDLE+NOT_RESPONDING", "IDLE+CLOUD", "IDLE+DYNAMIC_NORM", "IDLE+POWER_DRAIN",
        "IDLE*", "IDLE~", "IDLE#", "IDLE!", "IDLE%", "IDLE$", "IDLE@", "IDLE^", "IDLE-", "DOWN*+DRAIN",
    ],
)  # fmt: skip
def test_every_documented_word_of_a_node_is_known(state: str) -> None:
    assert node_availability(state, cores_used=0)[1]


def test_the_cores_of_a_reserved_or_blocked_node_are_not_for_everyone() -> None:
    for flags, free in (("", 6), ("+PLANNED", 6), ("+MAINTENANCE", 0), ("+RESERVED", 0), ("+BLOCKED", 0), ("+DRAIN", 0)):
        queue = one_queue(nodes=[node(state=f"MIXED{flags}"), node("n2")])
        assert (queue.cores_used, queue.cores_available) == (4, 6 + free)


def test_gpus_in_use_without_a_type() -> None:
    found = node(more="Gres=gpu:2 GresUsed=gpu:(null):1(IDX:0)")
    assert (found.gpus_total, found.gpus_used, found.gpu_type) == (2, 1, None)


def test_gpus_in_use_where_only_the_resources_tell() -> None:
    """`scontrol show node` without -d has no GresUsed."""
    assert node(more="Gres=gpu:2 CfgTRES=cpu=8,gres/gpu=2 AllocTRES=cpu=2,gres/gpu=1").gpus_used == 1
    assert node(more="Gres=gpu:2 CfgTRES=cpu=8,gres/gpu=2 AllocTRES=cpu=2").gpus_used == 0
    assert node(more="Gres=gpu:2 CfgTRES=cpu=8 AllocTRES=cpu=2").gpus_used is None


def test_a_figure_of_a_queue_is_not_known_if_one_of_its_nodes_is_not() -> None:
    queue = one_queue(nodes=[node(more="Gres=gpu:2 CfgTRES=cpu=8 AllocTRES="), node("n2", more="Gres=gpu:many GresUsed=gpu:0")])
    assert (queue.gpus_total, queue.gpus_used) == (None, None)
    assert one_queue(nodes=[node(), node("n2")]).gpus_total == 0


def test_a_range_of_unknown_length_is_not_counted_as_one_job() -> None:
    def job(job_id: str, **more: object) -> Job:
        return Job(cluster="c1", job_id=job_id, queue="q", state=JobState.QUEUED, **more)  # type: ignore[arg-type]

    range_of = {"array_job_id": "5", "array_pending": 4}
    assert one_queue(jobs=[job("4"), job("5_[1-4]", **range_of)]).jobs_queued == 5
    assert one_queue(jobs=[job("4"), job("5_[1,3,...]", array_job_id="5")]).jobs_queued is None
    assert one_queue(jobs=[]).jobs_queued == 0


def test_a_queue_in_an_unknown_state_is_told() -> None:
    answer = read_queues(*(QUEUE.replace("=q ", f"={state} ").format(nodes="n1", state=state) for state in ("UP", "DOWN", "DRAIN", "NAP")))
    assert [queue.open for queue in answer.records] == [True, False, False, False]
    assert [(problem.kind, problem.field, problem.subject) for problem in answer.problems] == [(ProblemKind.UNKNOWN_STATE, "open", "NAP")]


def test_two_records_of_one_queue_contradict_each_other() -> None:
    answer = read_queues(QUEUE.format(nodes="n1", state="UP"), QUEUE.format(nodes="n1", state="DOWN"))
    assert answer.records == ()
    assert [problem.kind for problem in answer.problems] == [ProblemKind.QUARANTINED] * 2


@pytest.mark.parametrize("stdout", [b"\n", b"  \n\n"])
def test_empty_lines_do_not_prove_that_there_is_nothing(stdout: bytes) -> None:
    scheduler = SlurmScheduler("c1")
    with pytest.raises(ReportUnreadable):
        scheduler.nodes(Report("nodes", ("x",), 0, stdout, b""))
    with pytest.raises(ReportUnreadable):
        scheduler.queues(Report("queues", ("x",), 0, stdout, b""), nodes=None, jobs=None)
    with pytest.raises(ReportUnreadable):
        scheduler.ended(Report("ended_fallback", ("x",), 0, stdout, b""), ["7"])


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("gpu | x [root@1795372136]        NodeName=c9 State=IDLE CPUTot=64", r"gpu | x\x0aNodeName=c9 State=IDLE CPUTot=64"),
        ("one [root@1795372136]        two        three Comment=none", r"one\x0atwo\x0athree"),
        ("one [root@1795372136]\n          two", r"one\x0atwo"),
        ("see [ticket] [root@1795372136]", "see [ticket]"),
        ("Not responding [slurm@2026-11-22T10:26:02]", "Not responding"),
        ("without a time", "without a time"),
    ],
)
def test_who_gave_a_reason_and_when_is_no_part_of_it(printed: str, reason: str) -> None:
    """Slurm writes that behind the first line of the reason and indents the others (recorded on 22.05, 24.11 and 26.05)."""
    record = f"{NODE.format(name='c1', more=NO_GPU, state='IDLE+DRAIN')} Reason={printed}\n"
    (node,) = SlurmScheduler("c1").nodes(Report("nodes", ("scontrol",), 0, record.encode(), b"")).records
    assert (node.reason, node.native_state) == (reason, "IDLE+DRAIN")
