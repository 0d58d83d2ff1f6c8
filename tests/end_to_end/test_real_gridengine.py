# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A real Grid Engine, a real ledger, a real agent that is killed: every end arrives once, with a receipt that proves it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.model.jobs import JobState, Outcome
from tests.agent_log import check_chain, read_agent_log
from tests.bridge import Bridge, wait_until
from tests.private_gridengine import GridEngineMissing, PrivateGridEngine

pytestmark = pytest.mark.gridengine

LONG = "sleep 1000"
End = tuple[str, str | None, int | None, int | None]
"""State, outcome, exit code, signal."""


@pytest.fixture
def gridengine(tmp_path: Path) -> Iterator[PrivateGridEngine]:
    try:
        with PrivateGridEngine(tmp_path / "gridengine", cluster="north") as private:
            yield private
    except GridEngineMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have a Grid Engine: {missing}")
        pytest.skip(str(missing))


@pytest.fixture
def bridge(gridengine: PrivateGridEngine, tmp_path: Path) -> Iterator[Bridge]:
    with Bridge(tmp_path / "bridge", scheduler="gridengine", environment=gridengine.environment) as made:
        made.set_up()
        yield made


def test_every_job_of_a_real_grid_engine_is_on_the_ledger_once_whatever_was_down(
    gridengine: PrivateGridEngine, bridge: Bridge, tmp_path: Path
) -> None:
    done = gridengine.submit("sleep 4", "-pe", "smp", "2", name="done")
    fails = gridengine.submit("sleep 4; exit 3", name="fails", user="bob")
    limited = gridengine.submit(LONG, "-l", "h_rt=5", name="limited")
    array = gridengine.submit("sleep 4; exit $((SGE_TASK_ID == 2))", "-t", "1-2", name="array")
    deleted = gridengine.submit("trap '' USR2; sleep 1000", "-notify", name="deleted")
    flag = gridengine.root / "go"
    across = gridengine.submit(f"while [ ! -e {flag} ]; do sleep 0.2; done; exit 5", name="across")
    held = gridengine.submit(LONG, "-h", name="held")
    members = {f"{array}.1", f"{array}.2"}
    seen = {done, fails, limited, deleted, across, held, *members}
    wait_until(lambda: _states(bridge).items() >= {held: "QUEUED_HELD", deleted: "RUNNING", across: "RUNNING"}.items(), what="the jobs")

    # Deleted while it runs, with five seconds' notice (-notify): the state `dr` is seen, so the kill that follows was a cancellation.
    gridengine.cancel(deleted)
    wait_until(lambda: all(job_id in _ends(bridge) for job_id in (done, fails, limited, *members)), what="the first ends", seconds=60)

    # While the daemon is dead one job ends and one that waited is deleted.
    bridge.kill_agent()
    assert gridengine.state(across) == "r"
    gridengine.cancel(held)
    flag.touch()
    gridengine.wait_state(across, "", timeout=30)
    gridengine.wait_accounted(across)
    bridge.start_agent()

    wait_until(lambda: seen <= _ends(bridge).keys(), what=f"every end of {sorted(seen)}", seconds=90)
    assert _ends(bridge) == {
        done: ("DONE", "COMPLETED", 0, None),
        fails: ("FAILED", "FAILED", 3, None),
        limited: ("FAILED", "TIMEOUT", None, 9),
        f"{array}.1": ("DONE", "COMPLETED", 0, None),
        f"{array}.2": ("FAILED", "FAILED", 1, None),
        deleted: ("FAILED", "CANCELLED", None, 9),
        across: ("FAILED", "FAILED", 5, None),
        held: _ends(bridge)[held],
    }
    # Of a job that was deleted while it waited nothing is recorded, and nobody was there to see it: nothing is claimed.
    assert _ends(bridge)[held][1] in (None, "CANCELLED")

    _check_receipts(bridge, tmp_path, seen)
    wait_until(bridge.is_drained, what="the spool to be empty")
    assert "verified" in bridge.admin("ledger", "verify").lower()
    assert bridge.agent is not None
    assert bridge.agent.end() == 0
    log = read_agent_log(bridge)
    check_chain(bridge, log)
    assert log.refused == []
    assert log.told_twice == []
    assert {job.job_id for job in log.jobs if job.state.ended} >= seen - {held}
    assert [job for job in log.jobs if job.outcome is Outcome.COMPLETED and job.state is not JobState.DONE] == []
    assert "Traceback" not in bridge.agent.log.read_text()


def _jobs(bridge: Bridge) -> dict[str, dict[str, Any]]:
    """The jobs on the ledger without the empty rest of a pending array."""
    return {job_id: job for job_id, job in bridge.jobs_on_ledger().items() if "[" not in job_id}


def _states(bridge: Bridge) -> dict[str, str]:
    return {job_id: job["state"] for job_id, job in _jobs(bridge).items()}


def _ends(bridge: Bridge) -> dict[str, End]:
    return {
        job_id: (job["state"], job["outcome"], job["exit_code"], job["exit_signal"])
        for job_id, job in _jobs(bridge).items()
        if job["phase"] in ("END", None)
    }


def _check_receipts(bridge: Bridge, folder: Path, job_ids: set[str]) -> None:
    """Each end came to a subscriber, and the receipt that the frontend keeps of its entry proves it by itself."""
    events = [json.loads(line) for line in bridge.admin("-o", "json", "events", "--from", "0.0").splitlines()]
    changes = [event for event in events if event["type"] == "JOB_CHANGED" and event["body"]["job_id"] in job_ids]
    for job_id in sorted(job_ids):
        told = [event for event in changes if event["body"]["job_id"] == job_id]
        assert [event["body"]["phase"] for event in told] == sorted(
            (event["body"]["phase"] for event in told), key=["QUEUE", "RUN", "END", None].index
        )
        index = told[-1]["cursor"].partition(".")[0]
        receipt = folder / f"{job_id}.receipt"
        bridge.frontend("receipt", "show", index, "--save", str(receipt))
        answer = json.loads(bridge.ctl("--identity", str(bridge.agent_identity), "-o", "json", "receipt", "verify", str(receipt)))
        assert (answer["included"], answer["index"], answer["refused"]) == (True, int(index), 0)
