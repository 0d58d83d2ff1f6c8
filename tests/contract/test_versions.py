# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A log of the first version replays byte for byte, goes on in a later one, and a later one is never guessed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from hpcbridge.contract import CONTRACT_VERSION, versions
from hpcbridge.contract.parameters import all_parameters
from hpcbridge.contract.versions import contract_version
from hpcbridge.errors import IntegrityError
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.model.clusters import QueueOffer
from hpcbridge.model.entries import Entry, Rejected
from hpcbridge.model.identities import Role
from hpcbridge.model.market import ContractActivation, Credit, Request
from hpcbridge.model.transactions import JobWatch, Parameters
from hpcbridge.wire.convert import decode
from tests.contract.version_1 import DATA, REGISTRATION, figures, read_leaves, tell
from tests.fold_world import World

KEPT = json.loads((DATA / "version-1.json").read_text())


def replay(world: World, leaves: Iterable[bytes]) -> None:
    """Folds what the leaves hold, each as the entry it was."""
    world.state, world.applied = WorkingState(), []
    for leaf in leaves:
        entry = decode(Entry, leaf)
        answer = fold(world.state, entry.envelope, index=entry.index, at=entry.at, proposer=entry.proposer, origin=world.origin)
        assert isinstance(answer, Applied), (entry.index, answer)
        assert answer.leaf == leaf, (entry.index, entry.outcomes, answer.entry.outcomes, answer.reasons)
        world.applied.append(answer)
        world.state.put(answer)


def test_a_log_of_version_1_replays_byte_for_byte(world: World) -> None:
    replay(world, read_leaves(DATA / "version-1.log"))
    assert figures(world) == KEPT
    assert contract_version(world.state) == 1


def test_it_would_not_if_the_version_were_not_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "contract_version", lambda _view: CONTRACT_VERSION)
    with pytest.raises(AssertionError):
        replay(world, read_leaves(DATA / "version-1.log"))


def test_the_story_is_still_told_with_the_same_outcomes(tmp_path: Path) -> None:
    world = World(tmp_path, contract_version=1)
    tell(world)
    kept = [decode(Entry, leaf).outcomes for leaf in read_leaves(DATA / "version-1.log")]
    assert [applied.entry.outcomes for applied in world.applied] == kept


def test_activation(tmp_path: Path) -> None:
    world = World(tmp_path, contract_version=1)
    site, user = world.provider(), world.enrol("ann", Role.USER)
    with_queues = dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="batch"),))
    assert world.outcomes(user, Request(cores=1)) == ["UNKNOWN_TYPE"]
    assert world.outcomes(site, with_queues) == ["MALFORMED"]
    assert world.outcomes(site, JobWatch(cluster="c1", job_id="1", owner="ann")) == ["MALFORMED"]
    assert world.outcomes(world.root, Parameters(values=(("deposit_permille", 1),))) == ["MALFORMED"]
    assert "deposit_permille" not in dict(all_parameters(world.state))
    for party, version in ((site, 2), (user, 2), (world.node, 2), (world.root, 1), (world.root, 0)):
        assert world.outcomes(party, ContractActivation(version=version)) == ["UNKNOWN_TYPE"]
    (event,) = world.must(world.root, ContractActivation(version=2)).events
    assert (event.type, event.audience) == ("CONTRACT_ACTIVATED", "")
    assert contract_version(world.state) == 2
    assert world.outcomes(world.root, ContractActivation(version=2)) == ["ILLEGAL_TRANSITION"]
    assert world.outcomes(user, ContractActivation(version=3)) == ["NOT_PERMITTED"]
    world.must(user, Request(cores=1))
    world.must(site, with_queues)
    world.must(world.root, Credit(member="ann", amount=1, reference="a"))
    world.must(world.root, Parameters(values=(("deposit_permille", 1),)))
    assert dict(all_parameters(world.state))["deposit_permille"] == 1


def test_a_program_stops_at_a_version_it_does_not_know(world: World) -> None:
    digest = world.state.digest()
    with pytest.raises(IntegrityError, match="knows versions up to"):
        world.send(world.root, ContractActivation(version=CONTRACT_VERSION + 1))
    assert world.state.digest() == digest


def test_a_ledger_founded_with_a_later_version_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as refused:
        World(tmp_path, contract_version=CONTRACT_VERSION + 1)
    assert isinstance(refused.value.args[0], Rejected)
