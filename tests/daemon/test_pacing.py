# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Rest after success and failure."""

from __future__ import annotations

import pytest

from hpcbridge.daemon.pacing import Pace

PACE = Pace(interval_seconds=15, first_pause_seconds=1, longest_pause_seconds=60, breaks_after=5)


@pytest.mark.parametrize(
    ("took", "rest"),
    [(0.0, 15.0), (0.5, 14.5), (1.5, 13.5), (2.0, 18.0), (30.0, 270.0)],
)
def test_interval_is_at_least_ten_times_what_a_step_took(took: float, rest: float) -> None:
    assert PACE.rest_after_success(took) == rest
    assert took + rest >= 10 * took


def test_control_without_stretch_a_slow_scheduler_is_asked_without_a_break() -> None:
    assert Pace(interval_seconds=15, stretch=0).rest_after_success(30.0) == 0.0


def test_pauses_double_up_to_the_longest() -> None:
    pace = Pace(interval_seconds=0, first_pause_seconds=1, longest_pause_seconds=60, breaks_after=100)
    pauses = [pace.rest_after_failure(0, failures=count, jitter=0) for count in range(1, 10)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pace.rest_after_failure(0, failures=10**6, jitter=0) == 60


def test_jitter_takes_off_up_to_half() -> None:
    pace = Pace(interval_seconds=0, first_pause_seconds=8)
    assert pace.rest_after_failure(0, failures=1, jitter=1.0) == 4
    assert pace.rest_after_failure(0, failures=1, jitter=0.5) == 6


def test_open_breaker_tries_once_per_longest_pause() -> None:
    assert not PACE.is_broken(4)
    assert PACE.is_broken(5)
    assert PACE.rest_after_failure(0, failures=4, jitter=0) == 15
    assert PACE.rest_after_failure(0, failures=5, jitter=0) == 60


def test_failing_is_never_asked_more_often_than_working() -> None:
    for failures in range(1, 8):
        assert PACE.rest_after_failure(0.0, failures=failures, jitter=1.0) >= 15
        assert PACE.rest_after_failure(30.0, failures=failures, jitter=1.0) >= 270


def test_what_others_were_kept_busy_with_stretches_the_interval_and_not_our_own_work() -> None:
    pace = Pace(interval_seconds=15, first_pause_seconds=1, longest_pause_seconds=60)
    assert pace.rest_after_success(4.0, 0.1) == 11.0
    assert pace.rest_after_success(4.0, 3.0) == 26.0
    assert pace.rest_after_failure(4.0, 0.1, failures=1, jitter=0) == 11.0
    assert pace.rest_after_failure(30.0, 30.0, failures=1, jitter=0) == 270.0
    assert pace.rest_after_failure(30.0, 0.0, failures=9, jitter=0) == 60.0
