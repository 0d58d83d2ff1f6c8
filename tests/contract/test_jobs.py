# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The job's state machine, item by item."""

from __future__ import annotations

from typing import Any

import pytest

from hpcbridge.contract import queries
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.jobs import next_deadline
from hpcbridge.fold import Applied
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import Job, JobState, Outcome, Phase
from hpcbridge.model.transactions import JobWatch
from tests.fold_world import DAY_MS, START_AT, Party, World, job, job_changes

Q, H, R, S, RQ, U = (JobState(name) for name in ("QUEUED", "QUEUED_HELD", "RUNNING", "SUSPENDED", "REQUEUED", "UNDETERMINED"))
DONE: dict[str, Any] = {"state": JobState.DONE, "outcome": Outcome.COMPLETED}
FAILED: dict[str, Any] = {"state": JobState.FAILED, "outcome": Outcome.FAILED}


def tell(world: World, provider: Party, *, after: int = 0, **fields: Any) -> str:
    """Sends one observation, `after` ms after the ledger's start."""
    world.at = max(world.at, START_AT + after)
    return world.outcomes(provider, job_changes(job(**fields), observed_at=START_AT + after))[0]


def record(world: World, provider: Party, job_id: str = "1", incarnation: int = 0) -> Job:
    return queries.job(world.state, world.caller(provider), "c1", job_id, incarnation=incarnation)


def events(world: World) -> list[tuple[Phase | None, str]]:
    found = [decode_event(event) for entry in world.applied for event in entry.events if event.type is EventType.JOB_CHANGED]
    return [(event.previous_phase, event.record.state.value) for event in found if isinstance(event.record, Job)]


@pytest.mark.parametrize(
    ("steps", "last"),
    [
        ([Q, R], "ACCEPTED"),
        ([Q, H, Q, R, S, R], "ACCEPTED"),
        ([R, Q], "ILLEGAL_TRANSITION"),
        ([R, H], "ILLEGAL_TRANSITION"),
        ([R, RQ, Q, R], "ACCEPTED"),
        ([R, U, R], "ACCEPTED"),
        ([R, U, Q], "ILLEGAL_TRANSITION"),
        ([Q, U, Q], "ACCEPTED"),
        ([U, Q], "ACCEPTED"),
    ],
)
def test_steps(world: World, provider: Party, steps: list[JobState], last: str) -> None:
    outcomes = [tell(world, provider, after=place, state=state) for place, state in enumerate(steps)]
    assert outcomes == ["ACCEPTED"] * (len(steps) - 1) + [last]


def test_null_queue_run_end(world: World, provider: Party) -> None:
    steps: list[dict[str, Any]] = [{"state": Q}, {"state": R, "nodes": ("n1",)}, {**DONE, "exit_code": 0, "nodes": ("n1",)}]
    for place, fields in enumerate(steps):
        assert tell(world, provider, after=place, **fields) == "ACCEPTED"
    assert events(world) == [(None, "QUEUED"), (Phase.QUEUE, "RUNNING"), (Phase.RUN, "DONE")]
    assert record(world, provider) == job(**DONE, exit_code=0, nodes=("n1",))


def test_a_job_may_be_met_at_its_end(world: World, provider: Party) -> None:
    assert tell(world, provider, **FAILED) == "ACCEPTED"


@pytest.mark.parametrize("fields", [{"state": Q}, {"state": R}, {"state": U}, {"state": RQ, "restarts": 1}, FAILED])
def test_end_is_final(world: World, provider: Party, fields: dict[str, Any]) -> None:
    tell(world, provider, **DONE)
    answer = world.send(provider, job_changes(job(**fields), observed_at=START_AT + 9))
    assert isinstance(answer, Applied)
    assert answer.entry.outcomes == ("ILLEGAL_TRANSITION",)
    assert answer.reasons[0].startswith(f"job 1 cannot go from DONE to {fields['state']}: ")
    assert record(world, provider).outcome is Outcome.COMPLETED


def test_an_end_is_filled_in_and_not_changed(world: World, provider: Party) -> None:
    tell(world, provider, **DONE, native_state="CD", started_at=5)
    assert tell(world, provider, after=1, **DONE, native_state="COMPLETED", exit_code=0, nodes=("n1",)) == "ACCEPTED"
    filled = record(world, provider)
    assert (filled.native_state, filled.started_at, filled.exit_code, filled.nodes) == ("CD", 5, 0, ("n1",))
    count = len(events(world))
    assert tell(world, provider, after=2, **DONE, native_state="COMPLETED", exit_code=0, nodes=("n1",)) == "ACCEPTED"
    assert len(events(world)) == count
    assert tell(world, provider, after=3, **DONE, exit_code=1) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, after=3, **DONE, nodes=("n2",)) == "ILLEGAL_TRANSITION"
    assert record(world, provider) == filled


def test_restarts_never_fall(world: World, provider: Party) -> None:
    assert tell(world, provider, state=R, restarts=0) == "ACCEPTED"
    assert tell(world, provider, after=1, state=Q, restarts=1) == "ACCEPTED"
    assert tell(world, provider, after=2, state=R, restarts=0) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, after=2, state=R) == "ACCEPTED"
    assert record(world, provider).restarts == 1
    assert tell(world, provider, after=3, state=Q, restarts=1) == "ILLEGAL_TRANSITION"


def test_observations_again_and_older_ones(world: World, provider: Party) -> None:
    tell(world, provider, after=10, state=R, nodes=("n1",))
    assert tell(world, provider, after=10, state=R, nodes=("n1",)) == "ACCEPTED"
    assert tell(world, provider, after=5, state=R, nodes=("n1",)) == "ACCEPTED"
    assert tell(world, provider, after=5, state=R, nodes=("n2",)) == "STALE"
    assert tell(world, provider, after=5, state=U) == "STALE"
    assert len(events(world)) == 1


def test_no_clock_loses_a_step_forward(world: World, provider: Party) -> None:
    tell(world, provider, after=10 * DAY_MS, state=Q)
    assert tell(world, provider, after=1, state=R, restarts=0) == "ACCEPTED"
    assert tell(world, provider, after=1, state=Q, restarts=1) == "ACCEPTED"
    assert tell(world, provider, after=0, **DONE) == "ACCEPTED"


def test_a_clock_that_was_ahead_does_not_make_the_rest_old(world: World, provider: Party) -> None:
    years = 10 * 365 * DAY_MS
    world.outcomes(provider, job_changes(job(state=R), observed_at=START_AT + years))
    assert tell(world, provider, after=1, state=S) == "ACCEPTED"


def test_incarnations_only_rise(world: World, provider: Party) -> None:
    assert tell(world, provider, **DONE, incarnation=2) == "ACCEPTED"
    assert tell(world, provider, state=Q, incarnation=1) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, state=Q, incarnation=5) == "ACCEPTED"
    assert tell(world, provider, state=Q, incarnation=4) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, **DONE, incarnation=2, exit_code=0) == "ACCEPTED"
    assert record(world, provider).incarnation == 5
    assert record(world, provider, incarnation=2).exit_code == 0


def test_pending_range_shrinks_and_leaves_without_an_end(world: World, provider: Party) -> None:
    array: dict[str, Any] = {"job_id": "25_[]", "array_job_id": "25"}
    assert tell(world, provider, **array, array_pending=8) == "ACCEPTED"
    assert tell(world, provider, after=1, **array, array_pending=3) == "ACCEPTED"
    assert tell(world, provider, after=2, **array, array_pending=2, **FAILED) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, after=2, **array, array_pending=2, state=R) == "ILLEGAL_TRANSITION"
    assert [found.job_id for found in queries.jobs(world.state, world.caller(provider), "c1", open_only=True).jobs] == ["25_[]"]
    assert tell(world, provider, after=3, **array, array_pending=0) == "ACCEPTED"
    assert queries.jobs(world.state, world.caller(provider), "c1", open_only=True).jobs == ()
    assert tell(world, provider, after=4, **array, array_pending=1) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, **array) == "MALFORMED"
    assert tell(world, provider, job_id="26_[1-3]", array_job_id="26", array_pending=3) == "MALFORMED"


def test_only_the_contract_gives_up(world: World, provider: Party) -> None:
    assert tell(world, provider, state=JobState.FAILED, outcome=Outcome.LOST) == "ILLEGAL_TRANSITION"


def test_vanished_is_lost_after_a_week_and_may_be_corrected(world: World, provider: Party) -> None:
    tell(world, provider, state=R)
    tell(world, provider, after=1, state=U, reason="vanished")
    assert next_deadline(world.state) == START_AT + 1 + 7 * DAY_MS
    world.at = START_AT + 7 * DAY_MS
    assert world.tick().events == ()
    tell(world, provider, after=7 * DAY_MS, state=U, reason="vanished")
    world.at = START_AT + 1 + 7 * DAY_MS
    (event,) = world.tick().events
    assert event.audience == "siteone"
    lost = record(world, provider)
    assert (lost.state, lost.outcome, lost.ended_at) == (JobState.FAILED, Outcome.LOST, None)
    assert next_deadline(world.state) is None
    assert world.tick().events == ()
    assert tell(world, provider, after=8 * DAY_MS, state=R) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, after=8 * DAY_MS, **DONE, exit_code=0) == "ACCEPTED"
    assert record(world, provider).outcome is Outcome.COMPLETED
    assert events(world)[-3:] == [(Phase.RUN, "UNDETERMINED"), (Phase.RUN, "FAILED"), (Phase.END, "DONE")]


def test_a_lost_job_is_not_corrected_by_an_earlier_run_of_it(world: World, provider: Party) -> None:
    """Accounting knows each run of a requeued job; the end of the first is not the end of the second."""
    tell(world, provider, state=R, restarts=1)
    tell(world, provider, after=1, state=U, reason="vanished", restarts=1)
    world.at += 9 * DAY_MS
    world.tick()
    assert tell(world, provider, after=10 * DAY_MS, **DONE, restarts=0) == "ILLEGAL_TRANSITION"
    assert tell(world, provider, after=10 * DAY_MS, **DONE, restarts=1) == "ACCEPTED"


@pytest.mark.parametrize("fields", [{"state": R}, DONE, {"state": U, "reason": "scheduler says X"}])
def test_a_job_that_turns_up_is_not_given_up(world: World, provider: Party, fields: dict[str, Any]) -> None:
    tell(world, provider, state=U, reason="vanished")
    tell(world, provider, after=1, **fields)
    assert next_deadline(world.state) is None
    world.at += 9 * DAY_MS
    assert world.tick().events == ()


def test_a_pending_range_that_vanished_leaves(world: World, provider: Party) -> None:
    array: dict[str, Any] = {"job_id": "25_[]", "array_job_id": "25", "array_pending": 8}
    tell(world, provider, **array)
    tell(world, provider, after=1, **array, state=U, reason="vanished")
    world.at += 9 * DAY_MS
    assert len(world.tick().events) == 1
    assert record(world, provider, "25_[]").array_pending == 0


def test_items_that_make_no_sense(world: World, provider: Party) -> None:
    assert tell(world, provider, incarnation=None) == "MALFORMED"
    assert tell(world, provider, incarnation=100_000_000) == "MALFORMED"
    assert tell(world, provider, cluster="c2") == "MALFORMED"
    assert world.outcomes(provider, job_changes(job(), observed_at=-1)) == ["MALFORMED"]


def test_watch_tells_the_provider_once(world: World, provider: Party) -> None:
    watch = JobWatch(cluster="c1", job_id="77")
    (event,) = world.must(world.root, watch).events
    assert (event.type, event.audience) == (EventType.JOB_WATCHED, "siteone")
    assert decode_event(event).record == watch
    assert world.must(provider, watch).events == ()
    assert queries.watched_jobs(world.state, world.caller(provider), "c1") == ("77",)
    assert world.outcomes(world.root, JobWatch(cluster="c9", job_id="77")) == ["NOT_FOUND"]
    assert world.outcomes(world.root, JobWatch(cluster="c1", job_id="../x")) == ["MALFORMED"]
    assert world.outcomes(world.enrol("ann", Role.USER), watch) == ["NOT_PERMITTED"]


def test_jobs_by_pages(world: World, provider: Party) -> None:
    world.must(provider, job_changes(*(job(str(number)) for number in range(10, 20)), job("15", incarnation=2)))
    caller = world.caller(provider)
    first = queries.jobs(world.state, caller, "c1", limit=6)
    rest = queries.jobs(world.state, caller, "c1", after=first.next, limit=6)
    found = [(item.job_id, item.incarnation) for item in (*first.jobs, *rest.jobs)]
    assert found == sorted([(str(number), 1) for number in range(10, 20)] + [("15", 2)])
    assert rest.next == ""
