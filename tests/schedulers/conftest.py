# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One private Slurm and one private Grid Engine for all live tests of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.private_gridengine import GridEngineMissing, PrivateGridEngine
from tests.private_slurm import PrivateSlurm, SlurmMissing, check_machine


@pytest.fixture(scope="session")
def private_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSlurm]:
    """A Slurm with accounting. Where the machine cannot run one this is said and left out, but fails when CI=true."""
    try:
        check_machine(accounting=True)
    except SlurmMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with PrivateSlurm(tmp_path_factory.mktemp("slurm"), accounting=True) as slurm:
        yield slurm


@pytest.fixture(scope="session")
def private_gridengine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateGridEngine]:
    """A Grid Engine of three hosts, skipped or failed like Slurm's."""
    try:
        with PrivateGridEngine(tmp_path_factory.mktemp("gridengine"), nodes=3) as gridengine:
            yield gridengine
    except GridEngineMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
