# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Damaged bodies and envelopes: each gets an answer, none gets through as somebody else's, none raises."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hpcbridge.fold import Applied
from hpcbridge.model.clusters import ClusterState, Queue, Registration, Vetting
from hpcbridge.model.entries import Duplicate, EntryOutcome
from hpcbridge.model.identities import Role
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import (
    Body,
    Decision,
    Envelope,
    EpochReason,
    EpochStart,
    Gap,
    JobWatch,
    NodeChange,
    NodeChanges,
    Parameters,
    Renewal,
    Revocation,
    Tick,
)
from hpcbridge.wire.convert import decode, encode_body
from tests.fold_world import Party, World, job, job_changes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def bodies(world: World) -> list[tuple[Party, Body]]:
    provider, user = world.provider(), world.enrol("ann", Role.USER)
    node = NodeChange(node="n1", availability=Availability.UP, native_state="IDLE", reason=None, observed_at=world.at)
    queue = Queue(cluster="c1", name="batch", open=True, nodes=("n1",), cores_total=4)
    assert user.facts is not None
    return [
        (provider, job_changes(job("1", nodes=("n1", "n2"), submitted_at=5), job("2_[]", array_job_id="2", array_pending=3))),
        (provider, NodeChanges(cluster="c1", changes=(node,))),
        (provider, ClusterState(cluster="c1", observed_at=world.at, queues=(queue,), nodes_total=1)),
        (provider, Registration(cluster="c1", login_address="x", latitude_microdegrees=1, longitude_microdegrees=2)),
        (provider, Gap(cluster="c1", reason="r", since_at=1, until_at=2, count=3)),
        (provider, EpochStart(previous_epoch=b"", last_acknowledged=0, reason=EpochReason.FIRST, gap=None)),
        (world.root, JobWatch(cluster="c1", job_id="1")),
        (world.root, world.token(b"t", "bob", Role.USER, attributes=(("a", "b"),))),
        (world.root, Decision(name="c1", vetting=Vetting.SUSPENDED, note="n")),
        (world.root, Decision(name="ann/main", vetting=Vetting.APPROVED, note="n")),
        (world.root, Revocation(member="ann", installation="main", reason="r")),
        (world.root, Parameters(values=(("lost_after_ms", 5000),))),
        (world.node, Renewal(facts=user.facts)),
        (world.node, Tick()),
    ]


def damaged(raw: bytes, chance: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(3):
            case 0 if place < len(data):
                data[place] = chance.randrange(256)
            case 1:
                data[place:place] = chance.randbytes(chance.randint(1, 11))
            case _:
                del data[place : place + chance.randint(1, 4)]
    return bytes(data)


def run_bodies(world: World, *, rounds: int) -> None:
    world.verify = lambda _envelope, _key: None  # whoever signs nonsense signs it validly
    chance = random.Random(20261122)
    for _ in range(rounds):
        for party, body in bodies_of_world(world):
            answer = world.send(party, body, raw_body=damaged(encode_body(body), chance))
            assert isinstance(answer, Applied), answer
            refused = [outcome for outcome in answer.entry.outcomes if outcome is not EntryOutcome.ACCEPTED]
            assert len(refused) == len(answer.reasons)
            assert all(answer.reasons)


def bodies_of_world(world: World) -> list[tuple[Party, Body]]:
    known = world.__dict__.get("bodies")
    if known is None:
        known = world.__dict__["bodies"] = bodies(world)
    return [(party, body) for party, body in known if world.signer(party).status == "VALID"]


def test_damaged_bodies_are_answered(world: World) -> None:
    run_bodies(world, rounds=500)


@pytest.mark.full
def test_damaged_bodies_are_answered_in_full(world: World) -> None:
    run_bodies(world, rounds=20_000)


def test_damaged_envelopes_change_nothing_of_anybody(world: World) -> None:
    provider = world.provider()
    raw = world.seal(provider, job_changes(job()))
    signed = decode(Envelope, raw)
    size, chance = len(world.applied), random.Random(7)
    answers = [world.fold(damaged(raw, chance)) for _ in range(1500)]
    entered = [answer for answer in answers if isinstance(answer, Applied)]
    assert world.applied[size:] == entered
    assert len(entered) <= 1, "one number holds one entry"
    for answer in entered:
        envelope = decode(Envelope, answer.entry.envelope)
        assert (envelope.payload, envelope.payload_type) == (signed.payload, signed.payload_type), "only the hint is not signed"
    again = {answer.index for answer in answers if isinstance(answer, Duplicate)}
    assert again <= {answer.entry.index for answer in entered}


def test_control_without_signatures_damage_gets_through(world: World) -> None:
    world.verify = lambda _envelope, _key: None
    with pytest.raises(AssertionError):
        test_damaged_envelopes_change_nothing_of_anybody(world)
