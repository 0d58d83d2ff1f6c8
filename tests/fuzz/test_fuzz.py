# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target: with the recordings in the quick tests, with a bounded and repeatable number of runs of atheris in the full ones."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, seeds

ROOT = Path(__file__).parents[2]
RUNS = 100_000
SECONDS = 600


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_recorded_breaks_no_promise(target: str) -> None:
    tried = 0
    for seed in seeds(target):
        TARGETS[target](seed)
        tried += 1
    assert tried


@pytest.mark.full
@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing(target: str, tmp_path: Path) -> None:
    assert importlib.util.find_spec("atheris"), "atheris is not installed: make test-full does it (pip install -e '.[fuzz]')"
    limits = [f"-runs={RUNS}", "-seed=20261122", f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzz", target, *limits],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr
