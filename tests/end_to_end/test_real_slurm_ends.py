# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Ends that nobody saw: the agent of a real Slurm is away until slurmctld has forgotten its jobs, so only accounting knows them.

slurmctld forgets from time to time what ended more than MinJobAge ago, so each of these takes up to two minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.model.jobs import JobState, Outcome
from tests.agent_log import check_chain, read_agent_log
from tests.bridge import Bridge, wait_until
from tests.end_to_end.test_real_slurm import CANCELLED, DONE, FAILED, Ends
from tests.private_slurm import PrivateSlurm, SlurmMissing

pytestmark = [pytest.mark.slurm, pytest.mark.full]

LONG = "sleep 1000"
UNKNOWN = (JobState.UNDETERMINED, None)
FORGOTTEN_SECONDS = 150.0


@pytest.fixture
def slurm(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PrivateSlurm]:
    try:
        with PrivateSlurm(tmp_path / "slurm", nodes=2, cluster="north", accounting=request.param, min_job_age=2) as private:
            yield private
    except SlurmMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have a Slurm: {missing}")
        pytest.skip(str(missing))


@pytest.fixture
def bridge(slurm: PrivateSlurm, tmp_path: Path) -> Iterator[Bridge]:
    with Bridge(tmp_path / "bridge", environment=slurm.environment) as made:
        made.set_up()
        yield made


@pytest.mark.parametrize("slurm", [True], indirect=True, ids=["accounting"])
def test_accounting_tells_what_the_controller_has_forgotten(slurm: PrivateSlurm, bridge: Bridge) -> None:
    good, bad = slurm.submit("sleep 3", name="good"), slurm.submit("sleep 3; exit 3", name="bad")
    cancelled, requeued = slurm.submit(LONG, name="cancelled"), slurm.submit(LONG, "--requeue", name="requeued")
    array = slurm.submit("sleep 3; exit $(( SLURM_ARRAY_TASK_ID == 2 ))", "--array=1-2", name="array")
    held = slurm.submit("true", "--hold", name="held")
    for job_id in (good, bad, cancelled, requeued, held):
        wait_until(lambda job_id=job_id: job_id in bridge.jobs_on_ledger(), what=f"job {job_id} to be told")  # type: ignore[misc]
    slurm.wait_state(requeued, "RUNNING")
    bridge.kill_agent()

    slurm.run(["scontrol", "requeue", requeued])
    unseen = slurm.submit("exit 4", name="unseen")
    slurm.wait_state(requeued, "PENDING")
    slurm.cancel(cancelled, held, requeued)
    seen = [good, bad, cancelled, requeued, held, f"{array}_1", f"{array}_2"]
    _wait_forgotten(slurm, *seen, unseen)
    bridge.start_agent()
    ends: Ends = {good: DONE, bad: FAILED, cancelled: CANCELLED, requeued: CANCELLED, held: CANCELLED}
    ends |= {f"{array}_1": DONE, f"{array}_2": FAILED}
    _wait_ends(bridge, ends)
    told = bridge.jobs_on_ledger()
    assert unseen not in told, "a job that began and was forgotten while nobody looked is nobody's statement"
    assert (told[bad]["exit_code"], told[requeued]["restarts"], told[good]["exit_code"]) == (3, 1, 0)
    assert all(told[job_id]["ended_at"] is not None for job_id in seen)

    _check_log(bridge)


@pytest.mark.timeout(420)
@pytest.mark.parametrize("slurm", [True], indirect=True, ids=["accounting"])
def test_slurmdbd_is_away_while_jobs_end_and_comes_back(slurm: PrivateSlurm, bridge: Bridge) -> None:
    """First nobody knows, then what accounting knows; what was erased there stays unknown."""
    late = slurm.submit("sleep 4; exit 5", name="late")
    erased = slurm.submit("sleep 4", name="erased")
    for job_id in (late, erased):
        slurm.wait_state(job_id, "RUNNING")
        wait_until(lambda job_id=job_id: job_id in bridge.jobs_on_ledger(), what=f"job {job_id} to be told")  # type: ignore[misc]
    slurm.stop_accounting()
    bridge.kill_agent()
    _wait_forgotten(slurm, late, erased)
    bridge.start_agent()
    _wait_ends(bridge, {late: UNKNOWN, erased: UNKNOWN})
    slurm.erase_accounting(erased)
    slurm.start_accounting()
    _wait_ends(bridge, {late: FAILED, erased: UNKNOWN}, seconds=150)
    assert bridge.jobs_on_ledger()[late]["exit_code"] == 5
    _check_log(bridge)


@pytest.mark.parametrize("slurm", [False], indirect=True, ids=["no-accounting"])
def test_without_accounting_what_was_forgotten_is_undetermined(slurm: PrivateSlurm, bridge: Bridge) -> None:
    job_id = slurm.submit("sleep 3", name="forgotten")
    wait_until(lambda: job_id in bridge.jobs_on_ledger(), what="the job to be told")
    bridge.kill_agent()
    _wait_forgotten(slurm, job_id)
    bridge.start_agent()
    _wait_ends(bridge, {job_id: UNKNOWN})
    again = slurm.submit("exit 7", name="seen")
    _wait_ends(bridge, {job_id: UNKNOWN, again: (JobState.FAILED, Outcome.FAILED)})


def _check_log(bridge: Bridge) -> None:
    wait_until(bridge.is_drained, what="the spool to be empty")
    assert bridge.agent is not None
    assert bridge.agent.end() == 0
    log = read_agent_log(bridge)
    check_chain(bridge, log)
    assert log.refused == []
    assert {job.incarnation for job in log.jobs} == {1}


def _wait_forgotten(slurm: PrivateSlurm, *job_ids: str) -> None:
    wait_until(lambda: not any(slurm.state(job_id) for job_id in job_ids), what="slurmctld to forget", seconds=FORGOTTEN_SECONDS)


def _wait_ends(bridge: Bridge, ends: Ends, *, seconds: float = 60.0) -> None:
    def told() -> Ends:
        jobs = bridge.jobs_on_ledger()
        return {job_id: (JobState(jobs[job_id]["state"]), jobs[job_id]["outcome"] and Outcome(jobs[job_id]["outcome"])) for job_id in ends}

    deadline = time.monotonic() + seconds
    wait_until(lambda: told() == ends or time.monotonic() > deadline, what="the ledger to answer", seconds=seconds)
    assert told() == ends
