# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: the configuration is read again between RELOADING=1 and READY=1, and a mistake in it stops nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from hpcbridge.config import AgentConfig, ClusterSection, IntervalsSection, LogSection, QueueSection, SchedulerSection, changed_keys
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.signals import StopSignals
from hpcbridge.daemon.supervisor import Supervisor
from hpcbridge.daemon.systemd import Notifier
from hpcbridge.errors import ConfigError

PATIENCE = 20.0
CONFIG = AgentConfig(cluster=ClusterSection(name="north", login_address="l"), scheduler=SchedulerSection(name="slurm"))


def run_with_hangup(manager: Any, reload: Callable[[], None]) -> list[str]:
    """What systemd is told by a daemon that gets SIGHUP and then SIGTERM."""
    boss = Supervisor(
        clock=time.monotonic,
        jitter=lambda: 0.0,
        notifier=Notifier(manager.environment),
        reload=reload,
        status=lambda: "well",
        tick_seconds=3600,
    )
    boss.add("w", lambda: None, pace=Pace(interval_seconds=3600))
    told: list[str] = []

    def send() -> None:
        told.extend(manager.wait_for("READY=1"))
        os.kill(os.getpid(), signal.SIGHUP)
        told.extend(manager.wait_for("READY=1"))
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    assert boss.run() == 0
    thread.join(PATIENCE)
    return told


def test_systemd_hears_of_a_reload_from_its_beginning_to_its_end(manager: Any) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    loaded: list[int] = []
    told = run_with_hangup(manager, lambda: loaded.append(1))
    assert loaded == [1]
    assert told.count("READY=1") == 2
    reloading = next(message for message in told if message.startswith("RELOADING=1\nMONOTONIC_USEC="))
    assert before <= int(reloading.partition("USEC=")[2]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert told.index(reloading) < len(told) - 1


def test_a_mistake_in_the_file_is_told_and_nothing_stops(manager: Any, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise ConfigError("hpcbridged.toml:3: unknown key 'levle'", hint="did you mean 'level'?")

    assert run_with_hangup(manager, refuse)[-1] == "READY=1"
    assert "reload_refused" in caplog.text
    assert "did you mean 'level'?" in caplog.text


def test_without_a_reload_the_signal_is_left_alone() -> None:
    former = signal.getsignal(signal.SIGHUP)
    with StopSignals():
        assert signal.getsignal(signal.SIGHUP) is former
    with StopSignals(reload=True):
        assert signal.getsignal(signal.SIGHUP) is not former
    assert signal.getsignal(signal.SIGHUP) is former


def test_a_stop_counts_before_a_reload() -> None:
    with StopSignals(reload=True) as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(PATIENCE) == signal.SIGTERM


@pytest.mark.parametrize(
    ("new", "keys"),
    [
        ({}, ()),
        ({"log": LogSection(level="debug")}, ("log.level",)),
        (
            {"intervals": IntervalsSection(nodes=5, queues=6), "log": LogSection(level="debug")},
            ("intervals.nodes", "intervals.queues", "log.level"),
        ),
        (
            {"cluster": ClusterSection(name="south", login_address="l", queues=(QueueSection(name="q"),))},
            ("cluster.name", "cluster.queues"),
        ),
        ({"scheduler": SchedulerSection(name="slurm", environment={"SLURM_CONF": "/x"})}, ("scheduler.environment",)),
    ],
)
def test_changed_keys(new: dict[str, Any], keys: tuple[str, ...]) -> None:
    values = {name: getattr(CONFIG, name) for name in ("cluster", "scheduler")} | new
    assert set(changed_keys(CONFIG, AgentConfig(**values))) == set(keys)


def test_a_worker_takes_another_interval_at_once() -> None:
    stepped = threading.Semaphore(0)
    boss = Supervisor(clock=time.monotonic, jitter=lambda: 0.0, notifier=Notifier({}), tick_seconds=0.01)
    worker = boss.add("w", stepped.release, pace=Pace(interval_seconds=3600))
    thread = threading.Thread(target=lambda: boss.run(handle_signals=False))
    thread.start()
    try:
        assert stepped.acquire(timeout=PATIENCE)
        assert not stepped.acquire(timeout=0.2)
        worker.act_every(0.01)
        for _ in range(3):
            assert stepped.acquire(timeout=PATIENCE)
        assert worker.status().interval_seconds == 0.01
    finally:
        boss.request_stop()
        thread.join(PATIENCE)
