# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A world with accounts of its own for each test of this room that asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.private_accounts import PrivateAccounts, WorldMissing


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PrivateAccounts]:
    """Where the machine cannot make one this is said and left out, but fails when CI=true."""
    try:
        built = PrivateAccounts(tmp_path / "world")
    except WorldMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with built:
        yield built
