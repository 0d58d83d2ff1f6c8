# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The supervisor: stop signals, exit statuses, the watchdog's food."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.supervisor import MOST_RESTARTS, Supervisor
from hpcbridge.daemon.systemd import Notifier
from hpcbridge.errors import ConfigError, IntegrityError, StorageError

RARE = Pace(interval_seconds=3600)
PATIENCE = 20.0


def supervisor(notifier: Notifier | None = None, **options: Any) -> Supervisor:
    options.setdefault("tick_seconds", 0.005)
    return Supervisor(clock=time.monotonic, jitter=lambda: 0.0, notifier=notifier or Notifier({}), **options)


@contextmanager
def running(boss: Supervisor) -> Iterator[list[int]]:
    """Runs in a thread of its own; the list holds the exit status afterwards."""
    status: list[int] = []
    thread = threading.Thread(target=lambda: status.append(boss.run(handle_signals=False)))
    thread.start()
    try:
        yield status
    finally:
        boss.request_stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_it_in_order(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    boss = supervisor(tick_seconds=3600)
    stepped = threading.Event()
    worker = boss.add("w", stepped.set, pace=RARE)

    def kill() -> None:
        stepped.wait(PATIENCE)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=kill)
    thread.start()
    assert boss.run() == 0
    thread.join()
    assert not worker.is_alive()
    assert signal.getsignal(number) is former


def test_stop_signal_to_a_whole_process(tmp_path: Path) -> None:
    program = tmp_path / "daemon.py"
    program.write_text(
        "import sys, time\n"
        "from hpcbridge.daemon.pacing import Pace\n"
        "from hpcbridge.daemon.supervisor import Supervisor\n"
        "from hpcbridge.daemon.systemd import Notifier\n"
        "boss = Supervisor(clock=time.monotonic, jitter=lambda: 0.5, notifier=Notifier({}), tick_seconds=3600)\n"
        "boss.add('w', lambda: print('stepped', flush=True), pace=Pace(interval_seconds=3600))\n"
        "status = boss.run()\n"
        "print('stopped', flush=True)\n"
        "sys.exit(status)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True, cwd=root, env={"PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stepped\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("error", "status"), [(IntegrityError("root mismatch"), 3), (StorageError("fsync"), 70), (ConfigError("mode"), 78)]
)
def test_error_of_one_worker_stops_all_with_its_status(error: Exception, status: int) -> None:
    def fail() -> None:
        raise error

    boss = supervisor(tick_seconds=3600)
    well = boss.add("well", lambda: None, pace=RARE)
    boss.add("ill", fail, pace=RARE)
    assert boss.run() == status
    assert boss.error is error
    assert not well.is_alive()


def test_first_error_decides() -> None:
    boss = supervisor()
    boss.request_stop(IntegrityError("first"))
    boss.request_stop(ConfigError("second"))
    assert boss.run() == 3


def test_worker_that_does_not_stop_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leave.wait(PATIENCE)

    boss = supervisor(stop_seconds=0.05)
    boss.add("stuck", hang, pace=RARE)
    with running(boss) as status:
        assert entered.wait(PATIENCE)
    leave.set()
    assert status == [1]
    assert "stop_incomplete workers=stuck" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_worker_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    again = threading.Event()
    lives: list[int] = []

    def step() -> None:
        lives.append(1)
        if len(lives) < 3:
            raise SystemExit
        again.set()

    boss = supervisor()
    boss.add("mortal", step, pace=RARE)
    with running(boss) as status:
        assert again.wait(PATIENCE)
    assert status == [0]
    assert "worker_died worker=mortal restarts=2" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_worker_that_keeps_dying_stops_the_process() -> None:
    def step() -> None:
        raise SystemExit

    boss = supervisor()
    boss.add("mortal", step, pace=RARE)
    assert boss.run() == 1
    assert boss.error is not None
    assert f"died {MOST_RESTARTS + 1} times" in str(boss.error)


def test_systemd_hears_the_whole_life(manager: Any) -> None:
    boss = supervisor(Notifier(manager.environment), status=lambda: "all\nwell")
    boss.add("w", lambda: None, pace=RARE)
    with running(boss):
        assert sorted(manager.next() for _ in range(3)) == ["READY=1", "STATUS=all well", "WATCHDOG=1"]
    assert manager.wait_for("STOPPING=1") == ["STOPPING=1"]


def watched(manager: Any, **options: Any) -> Supervisor:
    return supervisor(Notifier(manager.environment | {"WATCHDOG_USEC": "3000"}), **options)


def test_watchdog_is_fed_again_and_again(manager: Any) -> None:
    with running(watched(manager)):
        for _ in range(5):
            manager.wait_for("WATCHDOG=1")


def test_failing_check_starves_the_watchdog_until_it_works(manager: Any) -> None:
    checks = threading.Semaphore(0)
    full = True

    def check() -> None:
        checks.release()
        if full:
            raise OSError(28, "No space left on device")

    boss = watched(manager, check=check)
    with running(boss):
        for _ in range(3):
            assert checks.acquire(timeout=PATIENCE)
        manager.wait_for("READY=1")
        assert manager.next() == "STATUS=test write failed: [Errno 28] No space left on device"
        manager.socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            manager.next()
        manager.socket.settimeout(PATIENCE)
        assert not boss.life().is_well
        full = False
        manager.wait_for("WATCHDOG=1")
        assert boss.life().is_well


def _wedge(manager: Any, caplog: pytest.LogCaptureFixture, *, until: Callable[[Supervisor], None]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leave.wait(PATIENCE)

    boss = watched(manager)
    boss.add("stuck", hang, pace=RARE, limit_seconds=0.001)
    with running(boss):
        assert entered.wait(PATIENCE)
        until(boss)
        leave.set()
        manager.wait_for("WATCHDOG=1")


def test_wedged_worker_starves_the_watchdog_until_it_moves(manager: Any, caplog: pytest.LogCaptureFixture) -> None:
    pause = threading.Event()

    def starved(boss: Supervisor) -> None:
        while "worker_wedged worker=stuck" not in caplog.text:
            pause.wait(0.005)
        assert [worker.name for worker in boss.wedged(time.monotonic())] == ["stuck"]
        manager.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            manager.wait_for("silence")
        manager.socket.settimeout(PATIENCE)

    _wedge(manager, caplog, until=starved)


def test_control_without_the_heartbeat_check_a_wedged_process_is_fed(
    manager: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "wedged", lambda *_: ())

    def fed(boss: Supervisor) -> None:
        for _ in range(3):
            manager.wait_for("WATCHDOG=1")

    _wedge(manager, caplog, until=fed)


def test_statuses_are_for_screens() -> None:
    boss = supervisor()
    boss.add("jobs", lambda: None, pace=RARE)
    assert [(status.name, status.phase.value) for status in boss.statuses()] == [("jobs", "IDLE")]
