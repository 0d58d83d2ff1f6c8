# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Which source answers is decided by the configuration, in one place."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from hpcbridge.config import SCRIPTS_DIRECTORY, SchedulerSection
from hpcbridge.schedulers import SCHEDULERS, sources
from hpcbridge.schedulers.local.scheduler import LocalSource
from hpcbridge.schedulers.report import Source
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.pyslurm_source import PyslurmSource
from hpcbridge.schedulers.sources import QUERIES, asks_pyslurm, missing_scripts, open_source

SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"
Wish = Literal["auto", "yes", "no"]
SLURM = SchedulerSection(name="slurm", scripts=SCRIPTS)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(("wish", "without", "with_it"), [("no", False, False), ("auto", False, True), ("yes", True, True)])
def test_pyslurm_is_asked_where_it_is_installed_or_demanded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wish: Wish, *, without: bool, with_it: bool, installed: bool
) -> None:
    if installed:
        (tmp_path / "pyslurm.py").write_text("raise SystemExit('imported into the daemon')\n")
        monkeypatch.syspath_prepend(str(tmp_path))
    settings = dataclasses.replace(SLURM, pyslurm=wish)
    assert asks_pyslurm(settings) is (with_it if installed else without)
    source = open_source(settings)
    assert isinstance(source, PyslurmSource if asks_pyslurm(settings) else ScriptRunner)
    source.close()


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_every_scheduler_has_a_source(name: str) -> None:
    settings = SchedulerSection(name=name, scripts=SCRIPTS, owners=("nobody",) if name == "local" else ())
    source: Source = open_source(settings)
    try:
        assert isinstance(source, LocalSource if name == "local" else ScriptRunner)
    finally:
        source.close()


def test_missing_scripts_are_named(tmp_path: Path) -> None:
    assert missing_scripts(SLURM) == ()
    assert missing_scripts(dataclasses.replace(SLURM, scripts=tmp_path)) == QUERIES
    assert missing_scripts(SchedulerSection(name="local", scripts=tmp_path, owners=("alice",))) == ()
    assert SchedulerSection(name="slurm").scripts == SCRIPTS_DIRECTORY


def test_a_source_of_its_own_tells_the_time_it_is_given() -> None:
    source = open_source(SchedulerSection(name="local", owners=("nobody",)), clock=lambda: 1_795_349_592_000)
    try:
        assert b'"jobs"' in source.run("jobs").stdout
    finally:
        source.close()
    assert sources.wall_clock() > 1_700_000_000_000
