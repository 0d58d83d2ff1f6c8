# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What starves the watchdog of hpcbridged and what does not: a wedged worker does, a ledger or scheduler that hangs does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge import Bridge, wait_until
from tests.sabotage import DAEMON, WEDGED_AFTER_A_SECOND
from tests.scripted_slurm import Line, ScriptedSlurm

WATCHDOG = {"WATCHDOG_USEC": "1500000"}
"""Fed every half second."""


@pytest.fixture
def slurm(tmp_path: Path) -> ScriptedSlurm:
    return ScriptedSlurm(tmp_path / "slurm")


@pytest.fixture
def bridge(slurm: ScriptedSlurm, tmp_path: Path) -> Iterator[Bridge]:
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts) as made:
        made.set_up()
        assert made.agent is not None
        made.agent.end()
        yield made


def test_a_ledger_and_a_scheduler_that_hang_do_not_starve_the_watchdog(bridge: Bridge, slurm: ScriptedSlurm) -> None:
    bridge.start_agent(environment=WATCHDOG)
    assert bridge.agent is not None
    assert bridge.ledger is not None
    assert bridge.agent.pings(3) >= 2
    bridge.ledger.pause()
    try:
        slurm.jobs([Line(job_id="1")])
        wait_until(lambda: bridge.sees("1"), what="the job to be seen")
        for query in ("jobs", "nodes", "about"):
            slurm.script(query, "exec sleep 1000")
        assert bridge.agent.pings(4) >= 2
    finally:
        bridge.ledger.resume()
    wait_until(lambda: "1" in bridge.jobs_on_ledger(), what="the job to arrive when the ledger goes on")


def test_a_wedged_worker_starves_the_watchdog(bridge: Bridge) -> None:
    bridge.start_agent(program=WEDGED_AFTER_A_SECOND + DAEMON, environment=WATCHDOG)
    assert bridge.agent is not None
    wait_until(lambda: "worker_wedged worker=jobs" in bridge.agent_log(), what="the jobs worker to be wedged")
    assert bridge.agent.pings(3) == 0
    bridge.kill_agent()
