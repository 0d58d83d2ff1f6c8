# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""When a worker acts next: pure arithmetic over how long it took and how often it failed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a worker acts.

    Between two beginnings lie at least `interval_seconds`, and at least `stretch` times as long as the last step kept others busy (its
    load; all of it where that is not known): a slow scheduler is asked less. After failures in a row the pause doubles from
    `first_pause_seconds`; from the `breaks_after`th on the breaker is open, with one try per `longest_pause_seconds`. `stretch` 0 is for
    steps that are meant to last, such as a stream.
    """

    interval_seconds: float
    stretch: int = 10
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 300.0
    breaks_after: int = 5

    def rest_after_success(self, took_seconds: float, load_seconds: float | None = None) -> float:
        """Seconds to rest after a step that worked."""
        return max(self.interval_seconds - took_seconds, self.stretched_seconds(took_seconds, load_seconds) - took_seconds, 0.0)

    def rest_after_failure(self, took_seconds: float, load_seconds: float | None = None, *, failures: int, jitter: float) -> float:
        """Seconds to rest after the `failures`th failure in a row; `jitter` (0 to 1, random) takes off up to half of the pause."""
        doubled = self.first_pause_seconds * 2.0 ** min(failures - 1, 60)
        pause = self.longest_pause_seconds if self.is_broken(failures) else min(doubled, self.longest_pause_seconds)
        return max(pause * (1.0 - jitter / 2), self.rest_after_success(took_seconds, load_seconds))

    def stretched_seconds(self, took_seconds: float, load_seconds: float | None = None) -> float:
        """Seconds from beginning to beginning that the load alone asks for."""
        return self.stretch * (took_seconds if load_seconds is None else load_seconds)

    def is_broken(self, failures: int) -> bool:
        """True if so many failures in a row open the breaker."""
        return failures >= self.breaks_after
