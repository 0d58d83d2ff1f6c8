# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What starves the watchdog of hpcbridged and what does not: a wedged worker does, a ledger or scheduler that hangs does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge import Bridge, Process, wait_until
from tests.sabotage import DAEMON, LEDGER_WEDGED_BY_FILES, WEDGED_BY_FILES, YEARS_LATER
from tests.scripted_slurm import Line, ScriptedSlurm

WATCHDOG = {"WATCHDOG_USEC": "1500000"}
"""Fed every half second."""
QUICK_WATCHDOG = {"WATCHDOG_USEC": "300000"}
LEDGER_THREADS = ("proposer", "applier", "signer", "checker", "reader", "loop")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> ScriptedSlurm:
    return ScriptedSlurm(tmp_path_factory.mktemp("slurm"))


@pytest.fixture(scope="module")
def site(slurm: ScriptedSlurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with Bridge(tmp_path_factory.mktemp("bridge"), scripts=slurm.scripts) as made:
        made.set_up()
        end(made)
        yield made


@pytest.fixture
def bridge(site: Bridge) -> Iterator[Bridge]:
    """Enrolled, and neither daemon is running."""
    yield site
    end(site)


def end(bridge: Bridge) -> None:
    for process in (bridge.agent, bridge.ledger):
        if process is not None:
            process.end()


def test_a_ledger_and_a_scheduler_that_hang_do_not_starve_the_watchdog(bridge: Bridge, slurm: ScriptedSlurm) -> None:
    bridge.start_ledger()
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
        for query in ("jobs", "nodes", "about"):
            slurm.works(query)
    wait_until(lambda: "1" in bridge.jobs_on_ledger(), what="the job to arrive when the ledger goes on")


def test_each_worker_that_is_wedged_is_noticed_and_nothing_else_starves(bridge: Bridge, tmp_path: Path) -> None:
    wedges = tmp_path / "wedges"
    wedges.mkdir()
    bridge.start_ledger()
    bridge.start_agent(program=WEDGED_BY_FILES + DAEMON, environment=QUICK_WATCHDOG | {"WEDGES": str(wedges)})
    assert bridge.agent is not None
    workers = [worker["name"] for worker in bridge.agent_status()["workers"]]
    assert {"jobs", "ended", "nodes", "queues", "vitals", "samples", "renewal", "gateway", "listener", "accounts"} <= set(workers)
    for name in workers:
        wait_until(lambda: is_fed(bridge.agent), what=f"a fed watchdog before {name} is wedged")
        (wedges / name).touch()
        wait_until(lambda name=name: f"worker_wedged worker={name}" in bridge.agent_log(), what=f"{name} to be wedged")  # type: ignore[misc]
        assert bridge.agent.pings(0.4) == 0, name
        assert f"wedged: {name}" in bridge.agent.told()
        (wedges / name).unlink()
    wait_until(lambda: is_fed(bridge.agent), what="a fed watchdog")
    assert "wedged" not in bridge.agent.told()


def test_each_thread_of_the_ledger_that_is_wedged_is_noticed_and_a_disk_that_takes_nothing(bridge: Bridge, tmp_path: Path) -> None:
    wedges = tmp_path / "wedges"
    wedges.mkdir()
    with bridge.ledger_config.open("a") as config:
        config.write("[limits]\ntick_seconds = 1\n")
    bridge.start_ledger(program=LEDGER_WEDGED_BY_FILES, environment=QUICK_WATCHDOG | {"WEDGES": str(wedges)})
    assert bridge.ledger is not None
    bridge.start_agent()  # its samples keep the threads busy that check signatures
    for name in LEDGER_THREADS:
        wait_until(lambda: is_fed(bridge.ledger), what=f"a fed watchdog before {name} is wedged")
        (wedges / name).touch()
        wait_until(lambda name=name: name in complaint(bridge.ledger), what=f"{name} to be wedged")  # type: ignore[misc]
        assert bridge.ledger.pings(0.4) == 0, name
        (wedges / name).unlink()
    wait_until(lambda: is_fed(bridge.ledger), what="a fed watchdog before the disk is broken")
    assert complaint(bridge.ledger) == ""
    (bridge.store / "write-test").unlink()
    (bridge.store / "write-test").mkdir()
    wait_until(lambda: "test write failed" in complaint(bridge.ledger), what="the disk to be noticed")
    assert bridge.ledger.pings(0.4) == 0
    (bridge.store / "write-test").rmdir()
    wait_until(lambda: is_fed(bridge.ledger), what="a fed watchdog at the end")
    assert bridge.ledger_log().count("ledger_well_again") >= len(LEDGER_THREADS)


def test_members_that_are_silent_and_a_clock_that_is_not_believed_starve_nothing(bridge: Bridge) -> None:
    """A start two years after the last entry: nothing is taken before a person has looked, and the process lives."""
    bridge.start_ledger(program=YEARS_LATER, environment=QUICK_WATCHDOG)
    wait_until(lambda: "clock_moved" in bridge.ledger_log(), what="the clock to be noticed")
    assert bridge.ledger is not None
    assert bridge.ledger.pings(1) >= 2
    assert "the wall clock is not believed" in bridge.ledger.told()


def test_a_ledger_and_a_scheduler_that_are_away_are_told_with_their_last_word(bridge: Bridge, slurm: ScriptedSlurm) -> None:
    bridge.start_ledger()
    bridge.start_agent(environment=WATCHDOG)
    wait_until(bridge.is_drained, what="a receipt")
    assert bridge.ledger is not None
    assert bridge.ledger.end() == 0
    wait_until(lambda: "ledger not connected (last receipt 20" in told(bridge.agent), what="the status line")
    slurm.script("jobs", "exit 1")
    wait_until(lambda: "scheduler does not answer (last answer 20" in told(bridge.agent), what="the status line to tell of both")
    slurm.works("jobs")
    assert bridge.agent is not None
    assert bridge.agent.pings(2) >= 1


def is_fed(process: Process | None) -> bool:
    return process is not None and process.pings(0.3) > 0


def told(process: Process | None) -> str:
    return "" if process is None else process.told()


def complaint(process: Process | None) -> str:
    line = told(process)
    return line if "wedged" in line or "failed" in line else ""
