# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One log, folded again: by another process, under other hash seeds, in layers, always the same leaves and the same state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.identity.sealing import verify_envelope
from hpcbridge.model.clusters import ClusterState, Vetting
from hpcbridge.model.identities import Role, Submitter
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import (
    Decision,
    Gap,
    JobWatch,
    NodeChange,
    NodeChanges,
    Parameters,
    Revocation,
)
from hpcbridge.wire.convert import decode
from tests.fold_world import DAY_MS, World, job, job_changes

REPLAY = """
import sys
from tests.test_fold_replay import read_log, replay
state, leaves = replay(read_log(sys.argv[1]))
print(state.digest().hex())
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A log with an entry of every kind, refusals and evidence included."""
    world = World(tmp_path)
    provider = world.provider()
    user = world.enrol("ann", Role.USER, attributes=(("auditor", "true"), ("group", "physics")))
    world.must(world.root, Parameters(values=(("lost_after_ms", DAY_MS), ("vet_members", 1))))
    world.must(provider, ClusterState(cluster="c1", observed_at=world.at, cores_total=8))
    world.must(
        provider,
        NodeChanges(
            cluster="c1",
            changes=(NodeChange(node="n1", availability=Availability.UP, native_state="IDLE", reason=None, observed_at=world.at),),
        ),
    )
    world.must(provider, job_changes(*(job(str(number)) for number in range(20))))
    vanished = [job(str(number), JobState.UNDETERMINED, reason="vanished") for number in range(5)]
    world.must(provider, job_changes(*vanished, observed_at=world.at + 1))
    world.outcomes(provider, job_changes(job("9", JobState.DONE, outcome=Outcome.COMPLETED), job("9", JobState.RUNNING)))
    world.outcomes(user, job_changes(job()))
    world.must(world.root, JobWatch(cluster="c1", job_id="3"))
    world.must(provider, Gap(cluster="c1", reason="", since_at=1, until_at=2, count=3))
    world.at += 2 * DAY_MS
    world.tick()
    world.renew(provider)
    world.send(provider, job_changes(job("77")), sequence=provider.sequence)
    world.must(world.root, Decision(name=str(provider.submitter), vetting=Vetting.APPROVED, note=""))
    assert isinstance(world.start(provider), Applied)
    world.must(world.root, Revocation(member="siteone", installation=None, reason="end"))
    return world


def write_log(path: Path, applied: list[Applied]) -> None:
    path.write_text("".join(f"{entry.leaf.hex()}\n" for entry in applied))


def read_log(path: str) -> list[bytes]:
    return [bytes.fromhex(line) for line in Path(path).read_text().splitlines()]


def replay(leaves: list[bytes], state: WorkingState | None = None) -> tuple[WorkingState, list[bytes]]:
    from hpcbridge.model.entries import Entry

    state = state or WorkingState()
    made = []
    for leaf in leaves:
        entry = decode(Entry, leaf)
        answer = fold(
            state,
            entry.envelope,
            index=entry.index,
            at=entry.at,
            proposer=entry.proposer,
            origin="test",
            verify=verify_envelope,
        )
        assert isinstance(answer, Applied), answer
        state.put(answer)
        made.append(answer.leaf)
    return state, made


def test_replay_makes_the_same_leaves_and_state(world: World) -> None:
    leaves = [entry.leaf for entry in world.applied]
    state, made = replay(leaves)
    assert made == leaves
    assert state.digest() == world.state.digest()


def test_replay_under_other_hash_seeds(world: World, tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_log(path, world.applied)
    root = str(Path(__file__).resolve().parent.parent)
    found = {
        subprocess.run(
            [sys.executable, "-c", REPLAY, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            check=True,
            text=True,
            cwd=root,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }
    assert found == {world.state.digest().hex()}


def test_layers_over_a_stored_state_come_to_the_same_leaves(world: World) -> None:
    leaves = [entry.leaf for entry in world.applied]
    for cut in range(1, len(leaves), 5):
        stored, _ = replay(leaves[:cut])
        _, made = replay(leaves[cut:], WorkingState(stored))
        assert made == leaves[cut:]


def test_a_replay_does_not_change_what_it_reads(world: World) -> None:
    before = world.state.digest()
    world.tick()
    last = world.applied[-1]
    assert world.state.digest() != before
    again = fold(
        replay([entry.leaf for entry in world.applied[:-1]])[0],
        last.entry.envelope,
        index=last.entry.index,
        at=last.entry.at,
        proposer=Submitter("ledger", "node1"),
        origin="test",
    )
    assert isinstance(again, Applied)
    assert again.leaf == last.leaf


def test_control_effects_that_differ_show_in_the_leaf(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = [entry.leaf for entry in world.applied]
    monkeypatch.setattr("hpcbridge.contract.jobs.MAX_LOST_AT_ONCE", 4)
    _, made = replay(leaves)
    different = [place for place, (was, now) in enumerate(zip(leaves, made, strict=True)) if was != now]
    assert different[0] == next(place for place, entry in enumerate(world.applied) if is_tick(entry))


def is_tick(entry: Applied) -> bool:
    return any(key == "ledger/tick" for key, _ in entry.writes)
