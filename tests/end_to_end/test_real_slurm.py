# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A real Slurm, a real ledger, a real agent that is killed again and again: every job is on the ledger once, with the end it had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.model.jobs import JobState, Outcome
from tests.agent_log import check_chain, read_agent_log
from tests.bridge import Bridge, wait_until
from tests.private_slurm import PrivateSlurm, SlurmMissing

pytestmark = pytest.mark.slurm

Ends = dict[str, tuple[JobState, Outcome | None]]
DONE = (JobState.DONE, Outcome.COMPLETED)
FAILED = (JobState.FAILED, Outcome.FAILED)
CANCELLED = (JobState.FAILED, Outcome.CANCELLED)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[PrivateSlurm]:
    try:
        with PrivateSlurm(tmp_path / "slurm", nodes=2, cluster="north") as private:
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


def test_every_job_of_a_real_slurm_is_on_the_ledger_once_whatever_was_down(slurm: PrivateSlurm, bridge: Bridge) -> None:
    ends: Ends = {}
    wanted = {
        slurm.submit("sleep 1"): DONE,
        slurm.submit("exit 3"): FAILED,
        slurm.submit("sleep 1", "--partition=gpu", "--gres=gpu:a100:1", name="gpu"): DONE,
    }
    ends |= wanted
    cancelled = slurm.submit("sleep 1000", name="cancel me")
    array = slurm.submit("sleep 1; exit $(( SLURM_ARRAY_TASK_ID == 2 ))", "--array=1-3%2", name="array")
    slurm.wait_state(cancelled, "RUNNING")
    bridge.kill_agent()

    # While the daemon is down one job begins and ends, one is cancelled, and one is cancelled before it began.
    unseen = slurm.submit("true", name="unseen")
    never = slurm.submit("true", "--hold", name="never began")
    slurm.cancel(cancelled, never)
    slurm.wait_state(unseen, "COMPLETED")
    ends |= {unseen: DONE, cancelled: CANCELLED, never: CANCELLED}
    ends |= {f"{array}_1": DONE, f"{array}_2": FAILED, f"{array}_3": DONE}
    bridge.start_agent()

    # The controller goes while jobs run, and the daemon is killed and started without it.
    across = slurm.submit("sleep 5", name="across")
    slurm.wait_state(across, "RUNNING")
    wait_until(lambda: across in bridge.jobs_on_ledger(), what="the running job to be told")
    slurm.stop_controller()
    wait_until(lambda: bridge.agent_status()["scheduler"]["reachable"] is False, what="the daemon to miss the controller")
    bridge.kill_agent()
    bridge.start_agent()
    slurm.start_controller()
    after = slurm.submit("exit 7", name="after")
    ends |= {across: DONE, after: FAILED}

    wait_until(lambda: _ends(bridge) == ends, what="the ledger to know every end", seconds=30)
    wait_until(bridge.is_drained, what="the spool to be empty")
    assert bridge.agent_status()["scheduler"]["reachable"] is True
    assert "verified" in bridge.admin("ledger", "verify").lower()
    assert bridge.agent is not None
    assert bridge.agent.end() == 0
    log = read_agent_log(bridge)
    check_chain(bridge, log)
    assert log.refused == []
    assert {job.incarnation for job in log.jobs} == {1}
    assert {job.job_id for job in log.jobs if job.state.ended} == set(ends)
    assert "Traceback" not in bridge.agent.log.read_text()


def _ends(bridge: Bridge) -> Ends:
    """Every job on the ledger; the empty rest of an array's pending range has left."""
    jobs = bridge.jobs_on_ledger().values()
    told = {job["job_id"]: (JobState(job["state"]), job["outcome"] and Outcome(job["outcome"])) for job in jobs}
    return {job_id: end for job_id, end in told.items() if not job_id.endswith("_[]")}
