# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S1, quick share: kill -9 of hpcbridged at random moments, with the ledger up and down. Nothing is lost, doubled or reordered."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections import Counter
from pathlib import Path

from hpcbridge.agent.spool import Spool
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.receipt import receipt_from_text
from hpcbridge.model.jobs import JobState
from hpcbridge.model.transactions import JobChanges, PayloadType
from hpcbridge.wire.client import Endpoint, LedgerClient
from hpcbridge.wire.convert import decode
from hpcbridge.wire.receipts import open_leaf
from tests.bridge import BIN, Bridge, Process, wait_until
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
    """Reads the log itself: receipts are in it, numbers are contiguous, and no change stands in it twice."""
    identity = KeyDirectory(bridge.agent_identity)
    with LedgerClient([Endpoint(bridge.ledger_address, "localhost")], KeyDirectory(bridge.admin_identity)) as client:
        leaves = [(chunk.start + place, leaf.bytes) for chunk in client.read_entries(1) for place, leaf in enumerate(chunk.leaves)]
    own = [(index, leaf, open_leaf(leaf)) for index, leaf in leaves]
    own = [each for each in own if str(each[2].payload.header.submitter) == str(identity.load_profile().submitter)]
    assert [opened.payload.header.sequence for _, _, opened in own] == list(range(1, len(own) + 1))
    assert len({opened.payload.header.epoch for _, _, opened in own}) == 1

    changes = [
        (change.job.job_id, change.job.incarnation, change.job.state)
        for _, _, opened in own
        if opened.envelope.payload_type == PayloadType.JOB_CHANGES
        for change in decode(JobChanges, opened.payload.body).changes
    ]
    assert [change for change, count in Counter(changes).items() if count > 1] == []
    assert {job_id: state for job_id, _, state in changes} == expected

    stored = {index: leaf for index, leaf, _ in own}
    with Spool(bridge.state / "spool.db", cluster=bridge.cluster, quota_bytes=1 << 30, keep_ms=1 << 40) as spool:
        receipts = spool.chain.receipts(100_000)
        for index, *_ in receipts:
            text = spool.chain.receipt(index)
            assert text is not None
            assert receipt_from_text(text, "test.example", identity.load_log_public_key()).leaf == stored[index]
        figures = spool.figures()
        assert (figures.refused, figures.quarantined) == (0, 0)
        assert len(receipts) == figures.acknowledged
        assert figures.acknowledged + figures.in_flight >= len(own)
