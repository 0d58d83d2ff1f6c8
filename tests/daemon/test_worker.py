# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Workers with real threads; events say when something happened, no test waits for time to pass."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.worker import Phase, Worker, WorkerStatus
from hpcbridge.errors import HpcbridgeError, IntegrityError, LedgerUnavailable, ScriptTimedOut

RARE = Pace(interval_seconds=3600, first_pause_seconds=3600, longest_pause_seconds=7200, breaks_after=3)
SOON = Pace(interval_seconds=0.001, first_pause_seconds=0.001, longest_pause_seconds=0.002, breaks_after=3)
PATIENCE = 20.0


class Stage:
    """Makes workers, and stops them when the test is over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.stopping = threading.Event()
        self.given_up: list[tuple[str, HpcbridgeError]] = []
        self.workers: list[Worker] = []

    def worker(
        self,
        step: Callable[[], None],
        *,
        pace: Pace = RARE,
        limit_seconds: float = 60.0,
        load: Callable[[], float] | None = None,
    ) -> Worker:
        worker = Worker(
            f"w{len(self.workers)}",
            step,
            pace=pace,
            stopping=self.stopping,
            clock=self.clock,
            jitter=lambda: 0.0,
            give_up=lambda which, error: self.given_up.append((which.name, error)),
            limit_seconds=limit_seconds,
            load=load,
        )
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        self.stopping.set()
        for worker in self.workers:
            worker.wake()
        for worker in self.workers:
            assert worker.join(PATIENCE)


@pytest.fixture(name="stage")
def _stage(clock: Callable[[], float]) -> Iterator[Stage]:
    stage = Stage(clock)
    yield stage
    stage.stop()


class Steps:
    """A step that counts itself and lets the test wait for the n-th call; raises what `raising` holds first."""

    def __init__(self, *raising: Exception) -> None:
        self.raising = list(raising)
        self.calls = threading.Semaphore(0)
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        self.calls.release()
        if self.raising:
            raise self.raising.pop(0)

    def wait(self) -> None:
        assert self.calls.acquire(timeout=PATIENCE)


def until_resting(worker: Worker, phase: Phase) -> None:
    """Waits, without a promise of time, until the worker shows `phase`."""
    pause = threading.Event()
    for _ in range(2000):
        if worker.status().phase is phase:
            return
        pause.wait(0.005)
    raise AssertionError(f"{worker.status()} is not {phase}")


def test_repeats_at_its_pace(stage: Stage) -> None:
    steps = Steps()
    stage.worker(steps, pace=SOON).start()
    for _ in range(5):
        steps.wait()


def test_wake_brings_the_next_step_forward(stage: Stage) -> None:
    steps = Steps()
    worker = stage.worker(steps)
    worker.start()
    for _ in range(3):
        steps.wait()
        until_resting(worker, Phase.RESTING)
        worker.wake()
    steps.wait()


def test_wake_within_the_step_is_not_lost(stage: Stage) -> None:
    done = threading.Event()

    def step() -> None:
        if worker.status().steps == 2:
            done.set()
        else:
            worker.wake()

    worker = stage.worker(step)
    worker.start()
    assert done.wait(PATIENCE)


def test_stop_interrupts_a_rest_of_an_hour(stage: Stage) -> None:
    steps = Steps()
    worker = stage.worker(steps)
    worker.start()
    steps.wait()
    stage.stop()
    assert worker.status().phase is Phase.ENDED
    assert steps.count == 1


def test_transient_error_pauses_and_waiting_work_does_not_shorten_it(stage: Stage) -> None:
    steps = Steps(LedgerUnavailable("no route"))
    worker = stage.worker(steps)
    worker.start()
    steps.wait()
    until_resting(worker, Phase.PAUSED)
    for _ in range(100):
        worker.wake()
    assert worker.status().last_error == "no route"
    assert steps.count == 1
    worker.hurry()
    steps.wait()
    until_resting(worker, Phase.RESTING)
    assert worker.status().failures == 0
    assert worker.status().last_error is None
    assert stage.given_up == []


def test_control_if_pauses_could_be_cut_short_every_wake_would_be_a_try(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "_is_called", lambda self: self._stopping.is_set() or self._woken)
    steps = Steps(*(LedgerUnavailable("no route") for _ in range(5)))
    worker = stage.worker(steps)
    worker.start()
    for count in range(1, 6):
        steps.wait()
        until_resting(worker, Phase.PAUSED if count < 3 else Phase.BROKEN)
        worker.wake()
    steps.wait()


def test_breaker_opens_and_closes_again(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hpcbridge")
    steps = Steps(*(ScriptTimedOut(["jobs"], 10) for _ in range(4)))
    worker = stage.worker(steps)
    worker.start()
    for phase in (Phase.PAUSED, Phase.PAUSED, Phase.BROKEN, Phase.BROKEN, Phase.RESTING):
        steps.wait()
        until_resting(worker, phase)
        worker.hurry()
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in lines][:3] == ["worker_failed", "worker_failed", "worker_recovered"]
    assert "failures=3 breaker=open" in lines[1]


def test_unforeseen_error_is_logged_with_its_trace_and_tried_again(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps(ZeroDivisionError("oh"))
    stage.worker(steps, pace=SOON).start()
    steps.wait()
    steps.wait()
    (record,) = [record for record in caplog.records if record.getMessage().startswith("worker_error")]
    assert record.exc_info
    assert stage.given_up == []


def test_error_that_is_not_transient_ends_the_worker_and_is_handed_over(stage: Stage) -> None:
    error = IntegrityError("root mismatch")
    steps = Steps(error)
    worker = stage.worker(steps, pace=SOON)
    worker.start()
    assert worker.join(PATIENCE)
    assert stage.given_up == [("w0", error)]
    assert steps.count == 1


def test_wedged_in_its_step_until_it_beats(stage: Stage, clock: Callable[[], float]) -> None:
    entered, beat, beaten, leave = (threading.Event() for _ in range(4))

    def step() -> None:
        entered.set()
        beat.wait(PATIENCE)
        worker.beat()
        beaten.set()
        leave.wait(PATIENCE)

    worker = stage.worker(step, limit_seconds=30)
    worker.start()
    assert entered.wait(PATIENCE)
    now = clock()
    assert not worker.is_wedged(now + 30)
    assert worker.is_wedged(now + 31)
    clock.now += 31  # type: ignore[attr-defined]
    beat.set()
    assert beaten.wait(PATIENCE)
    assert not worker.is_wedged(clock() + 30)
    leave.set()


def test_a_step_that_lasts_says_that_the_failure_is_over(stage: Stage) -> None:
    failed, got_through, leave = (threading.Event() for _ in range(3))

    def step() -> None:
        if not failed.is_set():
            failed.set()
            raise LedgerUnavailable("gone")
        worker.beat()
        before.append(worker.status())
        worker.recovered()
        got_through.set()
        leave.wait(PATIENCE)

    before: list[WorkerStatus] = []
    worker = stage.worker(step, pace=SOON)
    worker.start()
    assert got_through.wait(PATIENCE)
    status = worker.status()
    leave.set()
    assert (before[0].failures, before[0].last_error) == (1, "gone"), "a sign of life alone is no success"
    assert (status.phase, status.failures, status.last_error) == (Phase.WORKING, 0, None)


def test_a_rest_or_a_pause_is_not_wedged(stage: Stage, clock: Callable[[], float]) -> None:
    resting, paused = stage.worker(Steps(), limit_seconds=30), stage.worker(Steps(LedgerUnavailable("x")), limit_seconds=30)
    for worker, phase in ((resting, Phase.RESTING), (paused, Phase.PAUSED)):
        worker.start()
        until_resting(worker, phase)
        pause = threading.Event()
        while worker.is_wedged(clock() + 3629):
            pause.wait(0.005)
        assert worker.is_wedged(clock() + 3631)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_thread_can_be_started_again(stage: Stage) -> None:
    steps = Steps()
    worker = stage.worker(steps)

    def die() -> None:
        worker._step = steps
        raise SystemExit

    worker._step = die
    worker.start()
    assert worker.join(PATIENCE)
    assert worker.status().phase is Phase.ENDED
    worker.start()
    steps.wait()


@pytest.mark.parametrize("error", [None, ScriptTimedOut(("jobs",), 30)])
def test_a_status_says_how_often_and_why(stage: Stage, error: Exception | None) -> None:
    """The load, not what the step itself took, makes the interval longer, after failures too."""
    pace = Pace(interval_seconds=600, first_pause_seconds=1, longest_pause_seconds=2)
    busy = stage.worker(Steps(*[error] if error else []), pace=pace, load=lambda: 90.0)
    idle = stage.worker(Steps(*[error] if error else []), pace=pace, load=lambda: 2.0)
    for worker in (busy, idle):
        assert worker.status().next_after_seconds is None
        worker.start()
        until_resting(worker, Phase.PAUSED if error else Phase.RESTING)
    assert busy.status().interval_seconds == 600
    assert [round(worker.status().next_after_seconds or 0) for worker in (busy, idle)] == [900, 600]
    assert [worker.status().slow for worker in (busy, idle)] == [True, False]
