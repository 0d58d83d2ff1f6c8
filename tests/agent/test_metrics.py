# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Figures over real HTTP from a running hpcbridged, and what a local user can do to the port."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from hpcbridge.daemon import exposition
from hpcbridge.daemon.exposition import MetricsServer
from hpcbridge.errors import ConfigError
from tests.bridge import Bridge, wait_until
from tests.scripted_slurm import Line, ScriptedSlurm

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Constant(Collector):
    """Counts how often it was asked."""

    asked = 0

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        yield GaugeMetricFamily("asked", "How often.", value=self.asked)


def page(address: str, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return str(answer.read().decode())


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_running_daemon_in_figures(tmp_path: Path) -> None:
    slurm = ScriptedSlurm(tmp_path / "slurm")
    slurm.jobs([Line(job_id="1", owner="secretive", name="secret"), Line(job_id="2"), Line(job_id="3_[1-4]", state="PENDING")])
    slurm.script("cost", f'exec cat "{Path(__file__).parents[1]}/schedulers/sdiag/22.05.8.txt"')
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts, metrics=True) as bridge:
        bridge.set_up()
        prefix = "hpcbridge_agent_"

        def value(name: str, **labels: str) -> float | None:
            return samples(page(bridge.metrics_address)).get((prefix + name, tuple(sorted(labels.items()))))

        wait_until(lambda: value("ledger_last_receipt_timestamp_seconds") is not None, what="a receipt", seconds=30)
        found = samples(page(bridge.metrics_address))
        named = {name.removeprefix(prefix): labels for name, labels in found}
        assert all(name.startswith(prefix) for name, _ in found)
        assert named.keys() >= {
            "build_info", "start_time_seconds", "resident_memory_bytes", "cpu_seconds_total", "worker_healthy", "queries_total",
            "query_duration_seconds_total", "query_cpu_seconds_total", "query_report_bytes_total", "query_last_duration_seconds",
            "query_interval_seconds", "spool_bytes", "spool_items", "ledger_connected", "certificate_expiry_timestamp_seconds",
        }  # fmt: skip
        assert value("scheduler_reachable") == 1
        assert value("ledger_connected") == 1
        assert value("jobs", state="RUNNING") == 2
        assert value("jobs", state="QUEUED") == 4
        assert value("nodes", availability="UP") == 2
        assert value("vanished_jobs") == 0
        assert value("unknown_states") == 0
        assert value("worker_healthy", worker="jobs") == 1
        assert abs((value("query_last_report_timestamp_seconds", query="jobs") or 0) - time.time()) < 60
        assert value("query_failures_total", query="cost") == 0
        assert "secret" not in page(bridge.metrics_address)

        slurm.jobs([Line(job_id="1", state="HIBERNATING"), Line(job_id="2", state="DREAMING")])
        wait_until(lambda: value("unknown_states") == 2, what="two unknown words")
        assert (value("report_problems_total", query="jobs", kind="unknown_state") or 0) >= 2
        assert value("jobs", state="UNDETERMINED") == 2
        slurm.script("jobs", "echo down >&2; exit 1")
        wait_until(lambda: value("scheduler_reachable") == 0, what="the scheduler to be away")
        assert (value("query_failures_total", query="jobs") or 0) >= 1
        assert value("query_breaker_open", query="jobs") == 0

        def jobs_query() -> dict[str, Any]:
            queries = json.loads(bridge.frontend("-o", "json", "status"))["scheduler"]["queries"]
            return next(query for query in queries if query["name"] == "jobs")

        wait_until(lambda: jobs_query()["stretched"] == "failures", what="the jobs worker to pause")
        assert jobs_query()["next_interval_seconds"] > jobs_query()["interval_seconds"] == 1.0

        taken = bridge.metrics_address
        assert bridge.agent is not None
        assert bridge.agent.end() == 0
        with socket.create_server(("127.0.0.1", int(taken.rpartition(":")[2]))), pytest.raises(RuntimeError, match="ended with 78"):
            bridge.start_agent()
        assert f"[metrics] address {taken}: Address already in use" in bridge.agent_log()


@pytest.fixture
def collector() -> Constant:
    return Constant()


@pytest.fixture
def server(collector: Constant) -> Iterator[MetricsServer]:
    with MetricsServer("127.0.0.1:0", collector) as made:
        yield made


def test_figures_are_made_at_most_once_a_second(server: MetricsServer, collector: Constant) -> None:
    for _ in range(50):
        page(f"127.0.0.1:{server.port}")
    assert collector.asked <= 5


@pytest.mark.parametrize("path", ["/admin", "/metrics/../x", "/" + "a" * 70_000])
def test_there_is_nothing_else_to_read(server: MetricsServer, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        page(f"127.0.0.1:{server.port}", path)
    assert caught.value.code in (404, 414)
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(request, timeout=10)


def test_idle_and_slow_connections_take_few_threads_and_are_cut_off(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "_CONNECTION_SECONDS", 1.0)
    before = threading.active_count()
    with contextlib.ExitStack() as open_ones:
        for _ in range(100):
            held = open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            with contextlib.suppress(OSError):
                held.sendall(b"GET /met")
        assert threading.active_count() - before <= 2 * 4, "a thread and a timer for each place"
        wait_until(lambda: answers(server), what="places to be free again", seconds=5)


def answers(server: MetricsServer) -> bool:
    try:
        return "asked" in page(f"127.0.0.1:{server.port}")
    except OSError:
        return False


def test_a_port_that_is_taken_is_told(server: MetricsServer, collector: Constant) -> None:
    with pytest.raises(ConfigError, match="Address already in use") as caught:
        MetricsServer(f"127.0.0.1:{server.port}", collector)
    assert 'address = ""' in caught.value.hint


def test_ipv6(collector: Constant) -> None:
    with MetricsServer("[::1]:0", collector) as made:
        assert "asked" in page(f"[::1]:{made.port}")
