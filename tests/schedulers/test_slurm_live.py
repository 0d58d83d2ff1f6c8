# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The real scripts against a real Slurm: what the parser says is what was done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.errors import ScriptFailed
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability, Node
from hpcbridge.schedulers.recording import complete
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from tests.private_slurm import PrivateSlurm, processes_of, wait_until

pytestmark = pytest.mark.slurm

SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
LONG = "sleep 1000"


class Cluster:
    """The scripts and the parser of one private Slurm."""

    def __init__(self, slurm: PrivateSlurm) -> None:
        self.slurm = slurm
        self.runner = ScriptRunner(
            SCRIPTS, scheduler="slurm", environment=slurm.environment, timeout_seconds=20, max_bytes=64 << 20
        )
        self.scheduler = SlurmScheduler("private")

    def jobs(self) -> dict[str, Job]:
        answer = self.scheduler.jobs(self.runner.run("jobs"))
        assert answer.problems == ()
        return {job.job_id: job for job in answer.records}

    def job(self, job_id: str, holds: Callable[[Job], bool]) -> Job:
        wait_until(lambda: job_id in (jobs := self.jobs()) and holds(jobs[job_id]), timeout=20, what=f"job {job_id}")
        return self.jobs()[job_id]

    def ended(self, job_id: str, outcome: Outcome) -> Job:
        return self.job(job_id, lambda job: job.outcome is outcome)

    def state(self, job_id: str, state: JobState) -> Job:
        return self.job(job_id, lambda job: job.state is state)

    def nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.scheduler.nodes(self.runner.run("nodes")).records}


@pytest.fixture
def cluster(private_slurm: PrivateSlurm) -> Iterator[Cluster]:
    yield Cluster(private_slurm)
    private_slurm.run(["scancel", "--full", "--user=root"], check=False)


def test_about(cluster: Cluster) -> None:
    about = cluster.scheduler.about(cluster.runner.run("about"))
    assert (about.name, about.cluster_name, about.min_job_age_seconds, about.zone) == ("slurm", "private", 300, "UTC")
    assert about.accounting is True
    assert about.version is not None


def test_jobs_that_end_by_themselves_or_are_cancelled(cluster: Cluster) -> None:
    done = cluster.slurm.submit("true", "-n2", "-N1")
    failed = cluster.slurm.submit("exit 3")
    killed = cluster.slurm.submit("kill -SEGV $$", user="daemon")
    cancelled = cluster.slurm.submit(LONG, "-p", "open", name="cancel me")
    job = cluster.ended(done, Outcome.COMPLETED)
    assert (job.state, job.exit_code, job.cores, job.owner, job.queue) == (JobState.DONE, 0, 2, "root", "batch")
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.started_at <= job.ended_at
    job = cluster.ended(failed, Outcome.FAILED)
    assert (job.state, job.exit_code, job.exit_signal) == (JobState.FAILED, 3, None)
    job = cluster.ended(killed, Outcome.FAILED)
    assert (job.exit_code, job.exit_signal, job.owner) == (None, 11, "daemon")
    running = cluster.state(cancelled, JobState.RUNNING)
    assert (running.name, running.walltime_limit_seconds, len(running.nodes), running.ended_at) == ("cancel me", None, 1, None)
    cluster.slurm.cancel(cancelled)
    assert cluster.ended(cancelled, Outcome.CANCELLED).exit_code is None


def test_arrays_are_members_and_one_pending_record(cluster: Cluster) -> None:
    array = cluster.slurm.submit(LONG, "--array=0-9%2")
    member = cluster.state(f"{array}_1", JobState.RUNNING)
    assert (member.array_job_id, member.array_index, member.array_pending) == (array, 1, None)
    pending = cluster.jobs()[f"{array}_[2-9%2]"]
    assert (pending.array_pending, pending.array_index, pending.state, pending.nodes) == (8, None, JobState.QUEUED, ())


def test_heterogeneous_and_gpu_jobs(cluster: Cluster) -> None:
    het = cluster.slurm.submit(LONG, "-n1", ":", "-n2", "-p", "open")
    gpu = cluster.slurm.submit(LONG, "-p", "gpu", "--gres=gpu:a100:2")
    first, second = cluster.state(f"{het}+0", JobState.RUNNING), cluster.state(f"{het}+1", JobState.RUNNING)
    assert (first.het_job_id, first.het_index, first.cores) == (het, 0, 1)
    assert (second.het_index, second.cores, second.queue) == (1, 2, "open")
    job = cluster.state(gpu, JobState.RUNNING)
    assert (job.gpus, job.gpu_type, job.nodes) == (2, "a100", ("c4",))
    node = cluster.nodes()["c4"]
    assert (node.gpus_total, node.gpus_used, node.gpu_type) == (2, 2, "a100")
    assert cluster.nodes()["c1"].gpus_total == 0


def test_held_suspended_and_requeued_jobs(cluster: Cluster) -> None:
    held = cluster.slurm.submit(LONG, "--hold")
    suspended = cluster.slurm.submit(LONG)
    requeued = cluster.slurm.submit(LONG)
    assert cluster.state(held, JobState.QUEUED_HELD).reason == "JobHeldUser"
    cluster.state(suspended, JobState.RUNNING)
    cluster.slurm.run(["scontrol", "suspend", suspended])
    assert cluster.state(suspended, JobState.SUSPENDED).nodes != ()
    before = cluster.state(requeued, JobState.RUNNING)
    time.sleep(1.1)  # a requeue is seen by its new submit time, in whole seconds
    cluster.slurm.run(["scontrol", "requeuehold", requeued])
    after = cluster.state(requeued, JobState.REQUEUED_HELD)
    assert (after.restarts, after.nodes, after.started_at) == (1, (), None)
    assert (after.submitted_at or 0) > (before.submitted_at or 0)
    cluster.slurm.run(["scontrol", "resume", suspended])


def test_a_name_that_forges_a_record_forges_nothing(cluster: Cluster) -> None:
    forged = "x\n0:00|deadbeef|666|666|666|N/A|N/A|N/A|root|root|batch|RUNNING|None|1|1|1|1|30:00|3|1|c2|cpu=3|N/A|N/A|N/A|100M|0|1|0|y"
    job_id = cluster.slurm.submit(LONG, "--hold", name=forged)
    jobs = cluster.jobs()
    assert "666" not in jobs
    assert jobs[job_id].state is JobState.QUEUED_HELD
    assert (jobs[job_id].name or "").startswith("x\\x0a0:00|deadbeef|666")


def test_accounting_and_its_fallback_know_how_jobs_ended(cluster: Cluster) -> None:
    job_id = cluster.slurm.submit("exit 7")
    seen = cluster.ended(job_id, Outcome.FAILED)

    def found(query: str) -> list[Job]:
        return list(cluster.scheduler.ended(cluster.runner.run(query, [job_id, "999999"]), [job_id, "999999"]).records)

    wait_until(lambda: any(job.state.ended for job in found("ended")), timeout=20, what="accounting")
    for query in ("ended", "ended_fallback"):
        (job,) = found(query)
        assert (job.job_id, job.outcome, job.exit_code, job.submitted_at) == (job_id, Outcome.FAILED, 7, seen.submitted_at)
        assert complete(seen, job) == seen
    cluster.slurm.stop_accounting()
    try:
        with pytest.raises(ScriptFailed, match="sacct"):
            found("ended")
        assert found("ended_fallback")[0].exit_code == 7
    finally:
        cluster.slurm.start_accounting()
    answer = cluster.scheduler.ended(cluster.runner.run("ended_fallback", ["999999"]), ["999999"])
    assert (answer.records, answer.problems) == ((), ())


def test_nodes_drain_with_and_without_jobs_and_queues_add_up(cluster: Cluster) -> None:
    job_id = cluster.slurm.submit(LONG, "-w", "c1", "-n3", "-N1")
    cluster.state(job_id, JobState.RUNNING)
    reason = "State=IDLE CPUAlloc=0 | é"
    cluster.slurm.run(["scontrol", "update", "NodeName=c1,c2", "State=DRAIN", f"Reason={reason}"])
    try:
        nodes = cluster.nodes()
        assert (nodes["c1"].availability, nodes["c1"].cores_used) == (Availability.DRAINING, 3)
        assert (nodes["c2"].availability, nodes["c2"].reason) == (Availability.DRAINED, reason)
        assert nodes["c3"].availability is Availability.UP
        jobs = list(cluster.jobs().values())
        report = cluster.runner.run("queues")
        queues = {queue.name: queue for queue in cluster.scheduler.queues(report, nodes=list(nodes.values()), jobs=jobs).records}
        batch = queues["batch"]
        assert (batch.open, batch.cores_total, batch.max_cores, batch.max_walltime_seconds) == (True, 16, 16, 3600)
        assert (batch.cores_used, batch.cores_available) == (3, 8)
        assert queues["open"].max_walltime_seconds is None
        assert queues["gpu"].gpus_total == 2
    finally:
        cluster.slurm.run(["scontrol", "update", "NodeName=c1,c2", "State=RESUME"])


def test_unchanged_lines_are_not_parsed_again(cluster: Cluster) -> None:
    running = cluster.slurm.submit(LONG)
    first = cluster.state(running, JobState.RUNNING)
    time.sleep(1.1)
    assert cluster.jobs()[running] is first


def test_a_controller_that_is_down_is_no_empty_cluster(cluster: Cluster) -> None:
    job_id = cluster.slurm.submit(LONG)
    cluster.state(job_id, JobState.RUNNING)
    cluster.slurm.stop_controller()
    try:
        with pytest.raises(ScriptFailed, match="Unable to contact slurm controller"):
            cluster.jobs()
        with pytest.raises(ScriptFailed):
            cluster.scheduler.about(cluster.runner.run("about"))
    finally:
        cluster.slurm.start_controller()
        cluster.slurm.wait_nodes()
    assert cluster.state(job_id, JobState.RUNNING).job_id == job_id


@pytest.mark.usefixtures("private_slurm")
def test_closing_leaves_no_process_behind(tmp_path: Path) -> None:
    with PrivateSlurm(tmp_path / "slurm", nodes=1) as slurm:
        job_id = slurm.submit(LONG)
        slurm.wait_state(job_id, "RUNNING")
        assert processes_of(slurm.configuration)
        slurm.stop_controller()
    assert processes_of(slurm.configuration) == []
