# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Families of figures as Prometheus takes them, and the part that all our daemons have alike: the process and what keeps it alive.

What is not known is left out: absent is not 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from hpcbridge.daemon.durations import Durations
from hpcbridge.daemon.life import Life
from hpcbridge.daemon.vitals import read_process
from hpcbridge.model.quantities import Instant

Values = list[tuple[dict[str, str], Any]]
"""Labels and figure; None is left out."""


class Families:
    """Makes families whose names begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def gauge(self, name: str, text: str, values: Values) -> Metric:
        """What goes up and down."""
        return self._filled(GaugeMetricFamily, name, text, values)

    def counter(self, name: str, text: str, values: Values) -> Metric:
        """What only grows while the process lives; prometheus_client puts `_total` behind the name."""
        return self._filled(CounterMetricFamily, name, text, values)

    def histogram(self, name: str, text: str, values: list[tuple[dict[str, str], Durations]]) -> Metric:
        """Durations in seconds."""
        family = HistogramMetricFamily(self._prefix + name, text, labels=list(values[0][0]) if values else [])
        for labels, durations in values:
            buckets, total = durations.counted()
            family.add_metric(list(labels.values()), buckets, total)
        return family

    def process(self, program: str, started_at: Instant) -> Iterator[Metric]:
        """The process itself."""
        yield self.gauge("start_time_seconds", f"When {program} started.", [({}, seconds(started_at))])
        yield self.counter("cpu_seconds", f"Processor time of {program} itself, without what it starts.", [({}, time.process_time())])
        vitals = read_process()
        yield self.gauge("resident_memory_bytes", f"Resident memory of {program}.", [({}, vitals.resident_bytes)])
        yield self.gauge("threads", f"Threads of {program}.", [({}, vitals.threads)])
        yield self.gauge("open_fds", f"Open files of {program}.", [({}, vitals.open_files)])

    def life(self, life: Life) -> Iterator[Metric]:
        """What the watchdog is fed by."""
        wedged: Values = [({"worker": name}, name in life.wedged) for name in life.workers]
        yield self.gauge("worker_wedged", "1 while a worker hangs; then the watchdog is not fed.", wedged)
        written: Values = [({}, life.problem == "")] if life.looked else []
        yield self.gauge("test_write_ok", "1 if the last test write onto the state directory's disk worked.", written)
        fed = life.fed_at
        yield self.gauge(
            "watchdog_last_fed_timestamp_seconds",
            "When everything was last found alive, and the watchdog fed if there is one.",
            [({}, None if fed is None else seconds(fed))],
        )

    def _filled(self, kind: type[GaugeMetricFamily | CounterMetricFamily], name: str, text: str, values: Values) -> Metric:
        family = kind(self._prefix + name, text, labels=list(values[0][0]) if values else [])
        for labels, value in values:
            if value is not None:
                family.add_metric(list(labels.values()), float(value))
        return family


def seconds(instant: Instant) -> float:
    """As Prometheus tells time."""
    return instant / 1000


def seconds_or_none(instant: Instant | None) -> float | None:
    """As `seconds`; what is not known stays so."""
    return None if instant is None else instant / 1000
