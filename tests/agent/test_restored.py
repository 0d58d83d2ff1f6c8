# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S8: an agent's state directory restored again and again from any earlier copy. It begins new epochs by itself, and nothing is lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from tests.agent.conftest import Agent
from tests.ledger_simulator import LedgerSimulator


@pytest.fixture
def patient_ledger(tmp_path: Path) -> Iterator[LedgerSimulator]:
    """As many fresh starts a day as a test needs."""
    with LedgerSimulator(tmp_path / "patient", parameters=(("epochs_per_day", 1000),)) as simulator:
        yield simulator


@pytest.mark.parametrize("restores", [5, pytest.param(50, marks=[pytest.mark.full, pytest.mark.timeout(3600)])])
def test_an_agent_restored_from_any_copy_goes_on(patient_ledger: LedgerSimulator, tmp_path: Path, restores: int) -> None:
    chance = random.Random(9)
    patient_ledger.provider("c1", cluster="c1")
    agent = Agent(patient_ledger, patient_ledger.enrol(Role.PROVIDER, "c1", "frontend"), tmp_path / "agent", "c1")
    truth: dict[str, JobState] = {}
    copies: list[Path] = []
    for cycle in range(restores):
        _live(agent, truth, chance)
        agent.start()
        agent.drain()
        agent.stop()
        copies.append(tmp_path / f"copy-{cycle}")
        shutil.copytree(agent.directory, copies[-1])
        agent.open()
        _live(agent, truth, chance)
        agent.start()
        agent.drain()
        agent.stop()
        shutil.rmtree(agent.directory)
        shutil.copytree(chance.choice(copies), agent.directory)
        agent.open()
        assert agent.error is None
    _live(agent, truth, chance)
    agent.start()
    agent.drain()
    assert {key: job.state for key, job in agent.on_ledger().items()} == {(job_id, 1): state for job_id, state in truth.items()}
    assert (agent.spool.figures().refused, agent.spool.figures().quarantined) == (0, 0)
    assert agent.gateway.status.connected
    agent.stop()


def _live(agent: Agent, truth: dict[str, JobState], chance: random.Random) -> None:
    """Some jobs end, some begin; all of them are in the report, as long as a scheduler shows ended ones."""
    for job_id, state in list(truth.items()):
        if state is JobState.RUNNING and chance.random() < 0.4:
            truth[job_id] = JobState.DONE
    for _ in range(3):
        truth[str(len(truth) + 1)] = JobState.RUNNING
    agent.see([agent.job(job_id, state) for job_id, state in truth.items()])
