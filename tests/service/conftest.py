# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A running ledger for each test file, and fresh ones for tests that break theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ledger_simulator import LedgerSimulator


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerSimulator]:
    with LedgerSimulator(tmp_path_factory.mktemp("ledger")) as simulator:
        yield simulator


@pytest.fixture
def new_ledger(tmp_path: Path) -> Iterator[Callable[..., LedgerSimulator]]:
    made: list[LedgerSimulator] = []

    def make(**options: object) -> LedgerSimulator:
        made.append(LedgerSimulator(tmp_path / f"ledger-{len(made)}", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for simulator in made:
        simulator.stop()
