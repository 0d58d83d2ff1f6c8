# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A small ledger in memory for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fold_world import Party, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def provider(world: World) -> Party:
    return world.provider()
