# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo needs of a scheduler, and the jobs it plays with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.bridge import Bridge
from tests.market_world import Site


class SceneMissing(RuntimeError):
    """This machine cannot play the demo with this scheduler, and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job of the demo and how it must end; `members` counts the records of an array that end.

    `or_unknown` where this machine may be unable to say how: then that it ended is enough.
    """

    name: str
    command: str
    arguments: tuple[str, ...]
    outcome: str
    members: int = 1
    cancelled_by_us: bool = False
    exit_code: int | None = None
    exit_signal: int | None = None
    or_unknown: bool = False

    @property
    def shown(self) -> str:
        """What is special about it, to be printed after the submitting command."""
        return " ".join(self.arguments)

    def ends_so(self, job: Mapping[str, Any]) -> bool:
        """True if the record of an end says what was to happen; codes count where this job names one."""
        return (
            job["outcome"] == self.outcome and self.exit_code in (None, job["exit_code"]) and self.exit_signal in (None, job["exit_signal"])
        )


class Scene(Protocol):
    """One scheduler, running: the demo submits to it and cancels, hpcbridge asks it like any other."""

    title: str
    """What was started, or found."""
    submitting: str
    submit_command: str
    jobs: Sequence[Wanted]
    while_the_last_runs: str
    seconds_for_all_ends: float
    site: Site | None
    """The same scheduler with accounts that can be rented; None where none can be made."""
    account_files: Path | None
    """The folder of accounts that are only files; None where there are real ones, or none: then the market is not played."""

    def overview(self) -> str:
        """What the scheduler itself says of its nodes."""

    def bridge(self) -> Bridge:
        """A bridge that is configured for this scheduler, not started."""

    def submit(self, job: Wanted) -> str:
        """Submits a job and returns its id."""

    def cancel(self, job_id: str) -> None:
        """Cancels a job."""

    def a_job_to_try(self) -> str:
        """A command with which a person submits one more."""

    def close(self) -> None:
        """Ends what this scene started, and its jobs."""
