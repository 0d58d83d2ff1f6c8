# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Which source of reports a cluster has: chosen by its configuration, the same for the daemon and the command line."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from hpcbridge.model.quantities import Instant
from hpcbridge.schedulers.local.scheduler import LocalSource
from hpcbridge.schedulers.report import Source
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.pyslurm_source import PyslurmSource

QUERIES = ("about", "jobs", "ended", "nodes", "queues")
"""What every scheduler is asked; `ended_fallback` and `cost` exist where a scheduler has them."""


def wall_clock() -> Instant:
    """Now."""
    return time.time_ns() // 1_000_000


class SourceSettings(Protocol):
    """What is needed of the section [scheduler] of the configuration."""

    @property
    def name(self) -> str:
        """The scheduler, a key of `SCHEDULERS`."""

    @property
    def scripts(self) -> Path:
        """Folder of the folders of collecting scripts."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What scripts see of the environment beside what they always see."""

    @property
    def timeout_seconds(self) -> int:
        """Longest time of one question."""

    @property
    def max_report_bytes(self) -> int:
        """Largest answer."""

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose processes count as jobs where this machine itself is the cluster."""

    @property
    def pyslurm(self) -> str:
        """"auto", "yes" or "no"."""


def open_source(settings: SourceSettings, *, clock: Callable[[], Instant] = wall_clock) -> Source:
    """The source that answers for this scheduler; nothing is asked or started before its first `run`."""
    if not has_scripts(settings):
        return LocalSource(owners=settings.owners, clock=clock)
    scripts = ScriptRunner(
        settings.scripts,
        scheduler=settings.name,
        environment=settings.environment,
        timeout_seconds=settings.timeout_seconds,
        max_bytes=settings.max_report_bytes,
    )
    if not asks_pyslurm(settings):
        return scripts
    return PyslurmSource(
        scripts,
        environment=settings.environment,
        timeout_seconds=settings.timeout_seconds,
        max_bytes=settings.max_report_bytes,
    )


def has_scripts(settings: SourceSettings) -> bool:
    """False where this machine itself is the cluster and no command is run."""
    return settings.name != "local"


def asks_pyslurm(settings: SourceSettings) -> bool:
    """True if pyslurm is asked before the scripts: where the configuration says so or, if it leaves that open, where it is installed."""
    if settings.name != "slurm" or settings.pyslurm == "no":
        return False
    return settings.pyslurm == "yes" or importlib.util.find_spec("pyslurm") is not None


def missing_scripts(settings: SourceSettings) -> tuple[str, ...]:
    """Names of the queries that every scheduler is asked and that lack a script."""
    if not has_scripts(settings):
        return ()
    return tuple(query for query in QUERIES if not (settings.scripts / settings.name / query).is_file())
