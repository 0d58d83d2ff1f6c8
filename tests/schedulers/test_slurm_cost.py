# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""sdiag as 22.05 and 26.05 print it: what the controller has counted of one account's calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.agent.observations import Observations
from hpcbridge.errors import ReportUnreadable, ScriptFailed
from hpcbridge.schedulers.report import Effort, Report
from hpcbridge.schedulers.scripts import ScriptRunner
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from tests.private_slurm import PrivateSlurm

SDIAG = Path(__file__).parent / "sdiag"
SCRIPTS = Path(__file__).parents[2] / "scheduler_scripts"


def report(text: str, *, exit_status: int = 0, stderr: bytes = b"") -> Report:
    return Report("cost", ("sdiag",), exit_status, text.encode(), stderr)


def effort(text: str, user_id: int = 0) -> Effort:
    return SlurmScheduler("c1").effort(report(text), user_id=user_id)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("22.05.8", Effort(at=1795344516000, since_at=1795344388000, calls=1792, busy_us=818_046, all_calls=1877, all_busy_us=994_307)),
        ("26.05.5", Effort(at=1795345686000, since_at=1795345560000, calls=1879, busy_us=153_614, all_calls=1966, all_busy_us=227_886)),
    ],
)
def test_calls_are_counted_by_account(version: str, expected: Effort) -> None:
    text = (SDIAG / f"{version}.txt").read_text()
    assert effort(text) == expected
    assert effort(text, 2001).calls in (48, 49)
    assert (effort(text, 4711).calls, effort(text, 4711).busy_us) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(1795344388)", ""),
        ("Remote Procedure Call statistics by user", "Remote Procedure Calls"),
        ("count:48     ave_time:875 ", "count:many ave_time:875 "),
        ("\talice           (    2001)", "alice"),
    ],
)
def test_what_is_not_sdiag_s_is_refused(old: str, new: str) -> None:
    text = (SDIAG / "22.05.8.txt").read_text()
    assert old in text
    with pytest.raises(ReportUnreadable):
        effort(text.replace(old, new))


def test_a_controller_that_is_down_counts_nothing() -> None:
    said = b"slurm_get_statistics: Unable to contact slurm controller (connect failure)\n"
    with pytest.raises(ScriptFailed, match="Unable to contact"):
        SlurmScheduler("c1").effort(report("", exit_status=1, stderr=said), user_id=0)
    with pytest.raises(ReportUnreadable):
        effort("")


def look(at: int, calls: int, busy_us: int, since_at: int = 0) -> Effort:
    return Effort(at=at, since_at=since_at, calls=calls, busy_us=busy_us, all_calls=10 * calls, all_busy_us=4 * busy_us)


def test_two_looks_make_a_share_unless_the_counters_began_again() -> None:
    observations = Observations()
    observations.note_effort(look(60_000, 100, 5_000))
    assert observations.server_cost is None
    observations.note_effort(look(120_000, 112, 35_000))
    cost = observations.server_cost
    assert cost is not None
    assert (cost.period_ms, cost.calls, cost.busy_us, cost.all_busy_us) == (60_000, 12, 30_000, 120_000)
    observations.note_effort(look(180_000, 3, 100, since_at=130_000))
    assert observations.server_cost is cost, "midnight: nothing to compare"
    observations.note_effort(look(240_000, 5, 400, since_at=130_000))
    cost = observations.server_cost
    assert cost is not None
    assert (cost.calls, cost.total_calls, cost.total_busy_us) == (2, 14, 30_300)


def test_a_real_controller_counts_our_questions(private_slurm: PrivateSlurm) -> None:
    runner = ScriptRunner(SCRIPTS, scheduler="slurm", environment=dict(private_slurm.environment), timeout_seconds=20, max_bytes=1 << 20)
    scheduler = SlurmScheduler("c1")
    before = scheduler.effort(runner.run("cost"), user_id=0)
    for _ in range(3):
        runner.run("jobs")
    after = scheduler.effort(runner.run("cost"), user_id=0)
    assert after.since_at == before.since_at
    assert after.calls >= before.calls + 3
    assert after.busy_us > before.busy_us
