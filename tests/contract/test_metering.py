# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a run used, from what its record says of it: each outcome has a bearer, what is unknown or contradicts itself is free."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.contract.jobrecords import NO_PHASE, PHASE_CODES, QUEUE, RUN, fields_of
from hpcbridge.contract.metering import BEARERS, STARTED, line_of, seconds_of
from hpcbridge.model.clusters import Rates
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import MAX_MICRO, Bearer, UsageLine

RATES = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=900_000)
LONG = 1_000_000
U, S, N = Bearer.USER, Bearer.SITE, Bearer.NOBODY
WRITTEN = {
    "COMPLETED": U, "FAILED": U, "CANCELLED": U, "TIMEOUT": U, "OUT_OF_MEMORY": U, "DEADLINE": U,
    "NODE_FAILED": S, "BOOT_FAILED": S, "PREEMPTED": S, "REVOKED": S, "LOST": N,
}  # fmt: skip


def ended(outcome: Outcome = Outcome.COMPLETED, **fields: Any) -> Any:
    """Fields of a job's record at its end."""
    state = JobState.DONE if outcome is Outcome.COMPLETED else JobState.FAILED
    values = {"incarnation": 1, "cores": 4, "gpus": 0} | fields
    return fields_of(Job(cluster="c1", job_id="1", state=state, outcome=outcome, **values))


def line(
    outcome: Outcome = Outcome.COMPLETED, *, previous: int = RUN, granted_at: int = 0, at: int = LONG * 1000, **fields: Any
) -> UsageLine:
    return line_of(ended(outcome, **fields), previous, rates=RATES, granted_at=granted_at, at=at)


def test_every_outcome_has_its_bearer_as_written() -> None:
    assert {outcome.value: bearer for outcome, bearer in BEARERS.items()} == WRITTEN
    assert set(BEARERS) == set(Outcome)
    assert all(BEARERS[outcome] is not N for outcome in STARTED)


@pytest.mark.parametrize("outcome", Outcome)
def test_who_pays_an_hour(outcome: Outcome) -> None:
    found = line(outcome, wall_seconds=3600)
    charged = 80_000 if BEARERS[outcome] is U else 0
    assert (found.bearer, found.charge, found.outcome) == (BEARERS[outcome], charged, outcome)
    assert found.core_seconds == (None if outcome is Outcome.LOST else 4 * 3600)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome not in STARTED and outcome is not Outcome.LOST])
@pytest.mark.parametrize("previous", [NO_PHASE, QUEUE])
@pytest.mark.parametrize("wall", [None, 0])
def test_what_ended_while_it_waited_used_nothing(outcome: Outcome, previous: int, wall: int | None) -> None:
    found = line(outcome, previous=previous, wall_seconds=wall, ended_at=5000)
    assert (found.bearer, found.core_seconds, found.gpu_seconds, found.charge) == (N, 0, 0, 0)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"wall_seconds": 100}, 100),
        ({"started_at": 1000, "ended_at": 11_999}, 10),
        ({"wall_seconds": 100, "started_at": 0, "ended_at": 90_000}, 90),
        ({"wall_seconds": 80, "started_at": 0, "ended_at": 90_000}, 80),
        ({"started_at": 0, "ended_at": 999}, 0),
        ({"started_at": 5000, "ended_at": 5000}, 0),
        ({"started_at": 5001, "ended_at": 5000}, None),
        ({"wall_seconds": 7, "started_at": 5001, "ended_at": 5000}, 7),
        ({"started_at": 5000}, None),
        ({"ended_at": 5000}, None),
        ({}, None),
        ({"wall_seconds": 10 * LONG}, LONG),
        ({"started_at": 0, "ended_at": 10 * LONG * 1000}, LONG),
    ],
)
def test_seconds(fields: dict[str, Any], seconds: int | None) -> None:
    assert seconds_of(ended(**fields), RUN, limit=LONG) == seconds
    found = line(**fields)
    assert found.core_seconds == (None if seconds is None else 4 * seconds)
    assert found.bearer is (N if seconds == 0 else U)
    assert found.charge == 20_000 * 4 * (seconds or 0) // 3600


def test_of_a_requeued_job_the_last_run_counts() -> None:
    assert seconds_of(ended(restarts=1, wall_seconds=60, started_at=0, ended_at=60_000), RUN, limit=LONG) == 60
    cancelled = ended(Outcome.CANCELLED, restarts=1, started_at=0, ended_at=9_000_000)
    assert seconds_of(cancelled, QUEUE, limit=LONG) is None
    assert seconds_of(ended(Outcome.CANCELLED, restarts=1, started_at=0, ended_at=9_000_000, wall_seconds=0), QUEUE, limit=LONG) == 0
    assert seconds_of(cancelled, RUN, limit=LONG) == 9000


def test_a_count_that_is_not_known_is_not_charged() -> None:
    found = line(wall_seconds=3600, cores=None, gpus=2)
    assert (found.core_seconds, found.gpu_seconds, found.cpu_charge, found.gpu_charge) == (None, 7200, 0, 1_800_000)
    found = line(wall_seconds=3600, gpus=None)
    assert (found.gpu_seconds, found.gpu_charge, found.cpu_charge) == (None, 0, 80_000)


def test_each_half_of_a_line_is_rounded_down() -> None:
    found = line(wall_seconds=1, cores=1, gpus=1)
    assert (found.cpu_charge, found.gpu_charge, found.charge) == (5, 250, 255)


@given(
    outcome=st.sampled_from(list(Outcome)),
    previous=st.sampled_from(list(PHASE_CODES.values())),
    restarts=st.none() | st.integers(0, 3),
    cores=st.none() | st.integers(0, (1 << 40) - 1),
    wall=st.none() | st.integers(0, (1 << 40) - 1),
    start=st.none() | st.integers(0, 253_402_300_799_999),
    end=st.none() | st.integers(0, 253_402_300_799_999),
)
def test_whatever_a_record_says_a_line_fits_a_store_and_never_asks_for_more_than_time_allows(
    outcome: Outcome, previous: int, restarts: int | None, **told: int | None
) -> None:
    fields = {"cores": told["cores"], "wall_seconds": told["wall"], "started_at": told["start"], "ended_at": told["end"]}
    found = line(outcome, previous=previous, granted_at=1_000_000, at=1_060_999, restarts=restarts, **fields)
    assert found.core_seconds is None or 0 <= found.core_seconds <= 60 * (told["cores"] or 0)
    assert 0 <= found.charge < MAX_MICRO
    assert found.charge == 0 or BEARERS[outcome] is U
