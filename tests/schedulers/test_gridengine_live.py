# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The real scripts against a real Grid Engine: what the parser says is what was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hpcbridge.errors import ScriptFailed
from hpcbridge.model.clusters import Queue
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.schedulers.gridengine.scheduler import GridEngineScheduler
from hpcbridge.schedulers.scripts import ScriptRunner
from tests.private_gridengine import PrivateGridEngine
from tests.private_slurm import wait_until

pytestmark = pytest.mark.gridengine

SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
LONG = "sleep 1000"
QUERIES = ("about", "jobs", "nodes", "queues")


class Cluster:
    """The scripts and the parser of one private Grid Engine."""

    def __init__(self, gridengine: PrivateGridEngine) -> None:
        self.gridengine = gridengine
        self.runner = ScriptRunner(
            SCRIPTS, scheduler="gridengine", environment=gridengine.environment, timeout_seconds=20, max_bytes=64 << 20
        )
        self.scheduler = GridEngineScheduler("private")
        self.scheduler.about(self.runner.run("about"))

    def jobs(self) -> dict[str, Job]:
        answer = self.scheduler.jobs(self.runner.run("jobs"))
        assert answer.problems == ()
        assert len({job.job_id for job in answer.records}) == len(answer.records)
        return {job.job_id: job for job in answer.records}

    def job(self, job_id: str, holds: Callable[[Job], bool]) -> Job:
        wait_until(lambda: job_id in (jobs := self.jobs()) and holds(jobs[job_id]), timeout=20, what=f"job {job_id}")
        return self.jobs()[job_id]

    def state(self, job_id: str, state: JobState) -> Job:
        return self.job(job_id, lambda job: job.state is state)

    def ended(self, *job_ids: str) -> dict[str, Job]:
        """What accounting says of jobs that ended; of several records of one job the one that is an end."""
        answer = self.scheduler.ended(self.runner.run("ended", job_ids), job_ids)
        assert answer.problems == ()
        return {job.job_id: job for job in answer.records if job.state.ended}

    def wait_ended(self, *job_ids: str) -> dict[str, Job]:
        self.gridengine.wait_accounted(job_ids[0])  # there is no accounting file, and so no answer, before the first job has ended
        wait_until(lambda: self.ended(*job_ids).keys() >= set(job_ids), timeout=30, what=f"the ends of {job_ids}")
        return self.ended(*job_ids)

    def nodes(self) -> dict[str, Node]:
        answer = self.scheduler.nodes(self.runner.run("nodes"))
        assert answer.problems == ()
        return {node.name: node for node in answer.records}

    def queues(self, *, nodes: Sequence[Node] | None, jobs: Sequence[Job] | None) -> dict[str, Queue]:
        answer = self.scheduler.queues(self.runner.run("queues"), nodes=nodes, jobs=jobs)
        assert answer.problems == ()
        return {queue.name: queue for queue in answer.records}


@pytest.fixture
def cluster(private_gridengine: PrivateGridEngine) -> Iterator[Cluster]:
    yield Cluster(private_gridengine)
    private_gridengine.delete_all()


def test_about_and_an_empty_cluster(cluster: Cluster) -> None:
    about = cluster.scheduler.about(cluster.runner.run("about"))
    assert (about.name, about.version, about.accounting, about.zone) == ("gridengine", "8.1.9", True, "UTC")
    # what other files of the run have deleted may still be going
    wait_until(lambda: not cluster.jobs(), timeout=60, what="the end of earlier jobs")
    assert cluster.jobs() == {}


def test_ends_are_those_that_were_caused(cluster: Cluster) -> None:
    submit = cluster.gridengine.submit
    done = submit("sleep 1", "-pe", "smp", "2", user="bob")
    failed = submit("exit 3", name="fails")
    killed = submit("kill -SEGV $$")
    hard = submit(LONG, "-l", "h_rt=2")
    soft = submit(LONG, "-l", "s_rt=2")
    deleted = submit(LONG)
    array = submit("exit $((SGE_TASK_ID == 2))", "-t", "1-3")
    waiting = cluster.jobs().get(deleted)
    cluster.state(deleted, JobState.RUNNING)
    cluster.gridengine.cancel(deleted)
    seen = cluster.job(deleted, lambda job: "d" in job.native_state)
    ends = cluster.wait_ended(done, failed, killed, hard, soft, deleted, f"{array}.1", f"{array}.2", f"{array}.3")

    def end(job_id: str) -> tuple[JobState, Outcome | None, int | None, int | None]:
        job = ends[job_id]
        return job.state, job.outcome, job.exit_code, job.exit_signal

    assert end(done) == (JobState.DONE, Outcome.COMPLETED, 0, None)
    assert (ends[done].owner, ends[done].cores, ends[done].queue is not None) == ("bob", 2, True)
    job = ends[done]
    assert job.submitted_at is not None
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.submitted_at <= job.started_at < job.ended_at
    assert end(failed) == (JobState.FAILED, Outcome.FAILED, 3, None)
    assert end(killed) == (JobState.FAILED, Outcome.FAILED, None, 11)
    assert end(hard)[:2] == (JobState.FAILED, Outcome.TIMEOUT)
    assert end(soft)[:2] == (JobState.FAILED, Outcome.TIMEOUT)
    assert end(f"{array}.1") == end(f"{array}.3") == (JobState.DONE, Outcome.COMPLETED, 0, None)
    assert end(f"{array}.2") == (JobState.FAILED, Outcome.FAILED, 1, None)
    assert (ends[f"{array}.2"].array_job_id, ends[f"{array}.2"].array_index) == (array, 2)
    # Accounting alone cannot tell who killed it; that it was being deleted was seen.
    assert end(deleted) == (JobState.FAILED, Outcome.FAILED, None, 9)
    refined = cluster.scheduler.refine(seen, ends[deleted])
    assert (refined.outcome, refined.submitted_at) == (Outcome.CANCELLED, seen.submitted_at or refined.submitted_at)
    # qstat tells of a submit time only while a job waits; then it is the one of accounting.
    assert waiting is None or waiting.submitted_at in (None, ends[deleted].submitted_at)


def test_jobs_wait_are_held_run_and_are_suspended(cluster: Cluster) -> None:
    submit = cluster.gridengine.submit
    pending = submit(LONG, "-pe", "smp", "20", "-l", "h_rt=600", name="too-wide", user="carol")
    held = submit(LONG, "-h", user="bob")
    parallel = submit(LONG, "-pe", "mpi", "3", "-q", "all.q")
    suspended = submit(LONG)
    broken = submit("true", "-o", "/nonexistent/out")
    array = submit(LONG, "-t", "1-9:2", "-tc", "2")
    job = cluster.state(pending, JobState.QUEUED)
    assert (job.owner, job.name, job.cores, job.walltime_limit_seconds, job.nodes, job.started_at) == (
        "carol", "too-wide", 20, 600, (), None)  # fmt: skip
    assert job.submitted_at is not None
    assert cluster.state(held, JobState.QUEUED_HELD).owner == "bob"
    job = cluster.state(parallel, JobState.RUNNING)
    assert (job.cores, sorted(job.nodes), job.queue) == (3, ["gpu01", "node01", "node02"], "all.q")
    cluster.state(suspended, JobState.RUNNING)
    cluster.gridengine.suspend(suspended)
    assert len(cluster.state(suspended, JobState.SUSPENDED).nodes) == 1
    cluster.gridengine.resume(suspended)
    cluster.state(suspended, JobState.RUNNING)
    assert cluster.job(broken, lambda job: "E" in job.native_state).state is JobState.QUEUED_HELD
    member = cluster.state(f"{array}.3", JobState.RUNNING)
    assert (member.array_job_id, member.array_index, member.array_pending) == (array, 3, None)
    (waiting,) = [job for job in cluster.jobs().values() if job.array_job_id == array and job.array_index is None]
    assert (waiting.state, waiting.array_pending) == (JobState.QUEUED, 3)


def test_a_rescheduled_job_is_the_same_job_again_and_not_an_end(cluster: Cluster) -> None:
    job_id = cluster.gridengine.submit(LONG, "-r", "y")
    before = cluster.state(job_id, JobState.RUNNING)
    cluster.gridengine.reschedule(job_id)
    cluster.gridengine.wait_accounted(job_id)
    after = cluster.job(job_id, lambda job: "R" in job.native_state and job.state is JobState.RUNNING)
    assert after.owner == before.owner
    assert cluster.ended(job_id) == {}
    cluster.gridengine.cancel(job_id)
    assert cluster.wait_ended(job_id)[job_id].exit_signal == 9


def test_what_was_deleted_in_the_queue_has_no_record_and_other_unknown_ids_neither(cluster: Cluster) -> None:
    waits, ends = cluster.gridengine.submit(LONG, "-h"), cluster.gridengine.submit("true")
    seen = cluster.state(waits, JobState.QUEUED_HELD)
    cluster.gridengine.cancel(waits)
    cluster.wait_ended(ends)
    assert cluster.ended(waits, ends, "999999").keys() == {ends}
    assert cluster.ended("999999") == {}
    end = cluster.scheduler.unrecorded(seen)
    assert end is not None
    assert (end.outcome, end.exit_code) == (Outcome.CANCELLED, None)


def test_gpus_nodes_and_queues_add_up(cluster: Cluster) -> None:
    gpu = cluster.gridengine.submit(LONG, "-l", "gpu=2", "-q", "gpu.q")
    cores = cluster.gridengine.submit(LONG, "-pe", "smp", "3", "-q", "short.q@gpu01.cluster.local")
    job = cluster.state(gpu, JobState.RUNNING)
    assert (job.gpus, job.nodes, job.queue) == (2, ("gpu01",), "gpu.q")
    cluster.state(cores, JobState.RUNNING)
    jobs, nodes = list(cluster.jobs().values()), cluster.nodes()
    assert nodes.keys() == {"node01", "node02", "gpu01"}
    assert (nodes["gpu01"].gpus_total, nodes["gpu01"].gpus_used) == (2, 2)
    assert nodes["gpu01"].cores_used == 4
    assert nodes["node01"].cores_used == 0
    queues = cluster.queues(nodes=list(nodes.values()), jobs=jobs)
    assert {name: queue.max_walltime_seconds for name, queue in queues.items()} == {"all.q": 168 * 3600, "short.q": 300, "gpu.q": None}
    assert (queues["all.q"].cores_used, queues["short.q"].cores_used, queues["gpu.q"].cores_used) == (0, 3, 1)
    assert (queues["all.q"].cores_total, queues["short.q"].cores_total, queues["gpu.q"].cores_total) == (24, 12, 4)
    assert all(queue.open for queue in queues.values())


def test_a_disabled_node_drains_and_a_dead_one_is_down(cluster: Cluster) -> None:
    job_id = cluster.gridengine.submit(LONG, "-q", "all.q@node02.cluster.local")
    cluster.state(job_id, JobState.RUNNING)
    cluster.gridengine.run(["qmod", "-d", "*@node01.cluster.local", "*@node02.cluster.local"])
    cluster.gridengine.stop_node("node01")
    try:
        nodes = cluster.nodes()
        assert (nodes["node02"].availability, nodes["node02"].cores_used) == (Availability.DRAINING, 1)
        assert nodes["gpu01"].availability is Availability.UP
        wait_until(lambda: cluster.nodes()["node01"].availability is Availability.DOWN, timeout=30, what="node01 to be down")
    finally:
        cluster.gridengine.start_node("node01")
        cluster.gridengine.run(["qmod", "-e", "*@node01.cluster.local", "*@node02.cluster.local"])
        cluster.gridengine.wait_nodes()


@pytest.mark.parametrize("query", QUERIES)
def test_an_answer_of_a_controller_that_is_there_is_no_failure(cluster: Cluster, query: str) -> None:
    """The control of the next test: the same queries answer while qmaster is there."""
    assert cluster.runner.run(query).exit_status == 0


def test_a_controller_that_is_down_is_no_empty_cluster(cluster: Cluster) -> None:
    ended, running = cluster.gridengine.submit("true"), cluster.gridengine.submit(LONG)
    cluster.state(running, JobState.RUNNING)
    cluster.wait_ended(ended)
    cluster.gridengine.stop_controller()
    try:
        for query, read in (
            ("about", cluster.scheduler.about),
            ("jobs", cluster.scheduler.jobs),
            ("nodes", cluster.scheduler.nodes),
            ("queues", lambda report: cluster.scheduler.queues(report, nodes=None, jobs=None)),
        ):
            report = cluster.runner.run(query)
            with pytest.raises(ScriptFailed, match=r"unable to send message to qmaster|got select error"):
                read(report)
        assert cluster.ended(ended)[ended].outcome is Outcome.COMPLETED
    finally:
        cluster.gridengine.start_controller()
        cluster.gridengine.wait_nodes()
    assert cluster.state(running, JobState.RUNNING).job_id == running


@pytest.mark.usefixtures("private_gridengine")
def test_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    with PrivateGridEngine(tmp_path / "gridengine", nodes=1) as gridengine:
        job_id = gridengine.submit(LONG)
        gridengine.wait_state(job_id, "r")
        pids = gridengine.pids()
        assert len(pids) >= 5
    assert [pid for pid in pids if Path("/proc", str(pid)).exists()] == []
    assert not gridengine.root.exists()
