# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""When a worker acts next: pure arithmetic over how long it took and how often it failed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a worker acts.

    Between two beginnings lie at least `interval_seconds`, and at least `stretch` times what the last step took: a slow scheduler
    is asked less. After failures in a row the pause doubles from `first_pause_seconds`; from the `breaks_after`th on the breaker is
    open, with one try per `longest_pause_seconds`. `stretch` 0 is for steps that are meant to last, such as a stream.
    """

    interval_seconds: float
    stretch: int = 10
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 300.0
    breaks_after: int = 5

    def rest_after_success(self, took_seconds: float) -> float:
        """Seconds to rest after a step that worked."""
        return max(self.interval_seconds - took_seconds, (self.stretch - 1) * took_seconds, 0.0)

    def rest_after_failure(self, took_seconds: float, *, failures: int, jitter: float) -> float:
        """Seconds to rest after the `failures`th failure in a row; `jitter` (0 to 1, random) takes off up to half of the pause."""
        doubled = self.first_pause_seconds * 2.0 ** min(failures - 1, 60)
        pause = self.longest_pause_seconds if self.is_broken(failures) else min(doubled, self.longest_pause_seconds)
        return max(pause * (1.0 - jitter / 2), self.rest_after_success(took_seconds))

    def is_broken(self, failures: int) -> bool:
        """True if so many failures in a row open the breaker."""
        return failures >= self.breaks_after
