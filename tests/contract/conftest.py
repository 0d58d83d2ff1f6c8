# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A small ledger in memory for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.model.identities import Role
from hpcbridge.model.market import Credit
from tests.contract.market_sites import open_cluster
from tests.contract.rental_book import CREDIT
from tests.fold_world import Party, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def provider(world: World) -> Party:
    return world.provider()


@pytest.fixture
def alice(world: World) -> Party:
    user = world.enrol("alice", Role.USER, installation="notebook")
    world.must(world.root, Credit(member="alice", amount=CREDIT, reference="1"))
    return user


@pytest.fixture
def bob(world: World) -> Party:
    user = world.enrol("bob", Role.USER)
    world.must(world.root, Credit(member="bob", amount=CREDIT, reference="1"))
    return user


@pytest.fixture
def site(world: World) -> Party:
    return open_cluster(world, "c1", world.enrol("site", Role.PROVIDER))
