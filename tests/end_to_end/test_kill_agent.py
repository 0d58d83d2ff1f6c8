# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S1, quick share: kill -9 of hpcbridged at random moments, with the ledger up and down. Nothing is lost, doubled or reordered."""

from __future__ import annotations

import dataclasses
import random
import threading
from pathlib import Path

import pytest

from hpcbridge.model.jobs import JobState
from tests.agent_log import check_chain, read_agent_log
from tests.bridge import BIN, Bridge, Process, wait_until
from tests.sabotage import DAEMON, NEVER_COMMITS
from tests.scripted_slurm import START, Line, ScriptedSlurm, done

CYCLES = 8
JOBS_PER_CYCLE = 60


def test_kill_9_of_the_agent_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    pause = threading.Event()
    slurm = ScriptedSlurm(tmp_path / "slurm")
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts) as bridge:
        bridge.set_up()
        assert bridge.agent is not None
        assert bridge.ledger is not None
        jobs: dict[str, Line] = {}
        for cycle in range(CYCLES):
            for line in list(jobs.values()):
                jobs[line.job_id] = _next(line, chance)
            for number in range(cycle * JOBS_PER_CYCLE, (cycle + 1) * JOBS_PER_CYCLE):
                jobs[str(number + 1)] = Line(job_id=str(number + 1), state="PENDING", started=None, submitted=START + number)
            slurm.jobs(jobs.values())
            if cycle == 3:
                bridge.ledger.end()
            pause.wait(chance.uniform(0.0, 0.8))
            bridge.agent.kill()
            if cycle == 5:
                bridge.start_ledger()
            bridge.start_agent()
        expected = {job_id: _STATES[line.state] for job_id, line in jobs.items()}
        wait_until(lambda: _states(bridge) == expected, what="the ledger to know every job as it is")
        pause.wait(1.5)
        assert bridge.agent.end() == 0
        assert "event_hidden" not in bridge.agent.log.read_text()
        _check(bridge, expected)


PLACES = {
    "spool.before_commit:exit": 86,
    "spool.after_commit:exit": 86,
    "spool.before_commit:raise": None,
    "spool.after_commit:raise": None,
    "spool.before_commit:eio": 70,
    "spool.after_commit:eio": 70,
    "spool.before_commit:enospc": None,
    "spool.after_commit:enospc": 70,
}
"""Fail points and the status the process ends with; None: it goes on."""


def test_a_failure_at_any_commit_of_the_spool_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(11)
    pause = threading.Event()
    slurm = ScriptedSlurm(tmp_path / "slurm")
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts) as bridge:
        bridge.set_up()
        assert bridge.agent is not None
        jobs: dict[str, Line] = {}
        for cycle, (place, ends_with) in enumerate(PLACES.items()):
            bridge.agent.kill()
            for line in list(jobs.values()):
                jobs[line.job_id] = _next(line, chance)
            for number in range(cycle * 30, cycle * 30 + 30):
                jobs[str(number + 1)] = Line(job_id=str(number + 1), state="PENDING", started=None, submitted=START + number)
            slurm.jobs(jobs.values())
            argv = [str(BIN / "hpcbridged"), "--config", str(bridge.agent_config)]
            trap = {"HPCBRIDGE_FAILPOINT": f"{place}:{chance.randint(2, 9)}"}
            bridge.agent = Process(argv, log=tmp_path / "trapped.log", environment=trap)
            if ends_with is None:
                pause.wait(1.2)
            else:
                assert bridge.agent.wait(15) == ends_with, place
        bridge.agent.kill()
        bridge.start_agent()
        expected = {job_id: _STATES[line.state] for job_id, line in jobs.items()}
        wait_until(lambda: _states(bridge) == expected, what="the ledger to know every job as it is")
        pause.wait(1.5)
        assert bridge.agent.end() == 0
        assert "event_hidden" not in bridge.agent.log.read_text()
        _check(bridge, expected)


@pytest.mark.parametrize("commits", [True, False], ids=["as it is", "control: nothing is committed"])
def test_a_job_that_was_seen_only_while_the_ledger_was_down_outlives_kill_9(tmp_path: Path, *, commits: bool) -> None:
    slurm = ScriptedSlurm(tmp_path / "slurm")
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts) as bridge:
        bridge.set_up()
        assert bridge.agent is not None
        assert bridge.ledger is not None
        wait_until(bridge.is_drained, what="the spool to be empty")
        bridge.agent.end()
        bridge.start_agent(program=None if commits else NEVER_COMMITS + DAEMON)
        bridge.ledger.end()
        slurm.jobs([done(Line(job_id="1"))])
        wait_until(lambda: bridge.agent_status()["spool"]["waiting"] > 0 and bridge.sees("1"), what="the job to be seen")
        bridge.kill_agent()
        slurm.jobs([Line(job_id="2")])
        bridge.start_ledger()
        bridge.start_agent()
        wait_until(lambda: "2" in bridge.jobs_on_ledger() and bridge.is_drained(), what="the spool to be drained")
        assert set(bridge.jobs_on_ledger()) == ({"1", "2"} if commits else {"2"})


def _next(line: Line, chance: random.Random) -> Line:
    match line.state, chance.random() < 0.7:
        case "PENDING", True:
            return dataclasses.replace(line, state="RUNNING", started=line.submitted + 5)
        case "RUNNING", True:
            return done(line)
    return line


_STATES = {"PENDING": JobState.QUEUED, "RUNNING": JobState.RUNNING, "COMPLETED": JobState.DONE}


def _states(bridge: Bridge) -> dict[str, JobState]:
    return {job_id: JobState(job["state"]) for job_id, job in bridge.jobs_on_ledger().items()}


def _check(bridge: Bridge, expected: dict[str, JobState]) -> None:
    log = read_agent_log(bridge)
    check_chain(bridge, log)
    assert log.refused == []
    assert {job.job_id: job.state for job in log.jobs} == expected
