# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever an agent says of jobs, in whatever order: the promises of the state machine hold, and a replay comes to the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcbridge.contract import apply
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.jobrecords import decode_job
from hpcbridge.contract.jobs import next_deadline
from hpcbridge.contract.records import StoredMember, encode_stored
from hpcbridge.contract.state import Effects, MemoryState
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.jobs import Job, JobKey, JobState, Outcome, Phase
from hpcbridge.model.transactions import Body, JobChange, JobChanges, PayloadType, Tick
from tests.fold_world import DAY_MS, START_AT

PROVIDER = Caller(submitter=Submitter("siteone", "main"), role=Role.PROVIDER)
NODE = Caller(submitter=Submitter("ledger", "node1"), role=Role.SYSTEM_NODE)
ENDS = [outcome for outcome in Outcome if outcome is not Outcome.COMPLETED]

states = st.sampled_from(list(JobState))
jobs = st.builds(
    lambda state, end, **fields: Job(
        cluster="c1",
        state=state,
        outcome=Outcome.COMPLETED if state is JobState.DONE else end if state is JobState.FAILED else None,
        **fields,
    ),
    states,
    st.sampled_from(ENDS),
    job_id=st.sampled_from(["1", "2"]),
    incarnation=st.integers(1, 2),
    reason=st.sampled_from([None, "vanished"]),
    exit_code=st.sampled_from([None, 0, 1]),
    restarts=st.sampled_from([None, 0, 1, 2]),
    nodes=st.sampled_from([(), ("n1",)]),
)
bodies = st.lists(st.builds(JobChange, job=jobs, observed_at=st.integers(START_AT - 3, START_AT + 3)), min_size=1, max_size=5).map(
    lambda changes: JobChanges(cluster="c1", changes=tuple(changes))
)
histories = st.lists(st.tuples(st.integers(0, 4 * DAY_MS), bodies | st.just(Tick())), max_size=25)


def beginning() -> MemoryState:
    state = MemoryState()
    for name, role in (("siteone", Role.PROVIDER), ("ledger", Role.SYSTEM_NODE)):
        member = StoredMember(role=role, vetting=Vetting.APPROVED, revoked=False, attributes=(), enrolled_at=0)
        state.write([(f"member/{name}", encode_stored(member))])
    body = Registration(cluster="c1", login_address="x")
    state.write(apply(state, PROVIDER, PayloadType.REGISTRATION, body=body, at=START_AT, index=0).writes)
    return state


def play(state: MemoryState, history: Sequence[tuple[int, Body]]) -> list[tuple[Body, Effects]]:
    found, at = [], START_AT
    for index, (pause, body) in enumerate(history, 1):
        at += pause
        caller, payload_type = (NODE, PayloadType.TICK) if isinstance(body, Tick) else (PROVIDER, PayloadType.JOB_CHANGES)
        effects = apply(state, caller, payload_type, body=body, at=at, index=index)
        state.write(effects.writes)
        found.append((body, effects))
    return found


class Watcher:
    """A subscriber that knows only events and holds each new one against those before it."""

    def __init__(self) -> None:
        self.number = 1
        self.jobs: dict[JobKey, Job] = {}
        self.phases: dict[JobKey, Phase | None] = {}

    def see(self, effects: Effects, *, by_tick: bool) -> None:
        for event in effects.events:
            assert event.audience == "siteone"
            assert event.audience_number == self.number + 1
            self.number += 1
            told = decode_event(event)
            assert isinstance(told.record, Job)
            key = JobKey(told.record.cluster, told.record.job_id, told.record.incarnation or 0)
            assert event.subject == str(key)
            self.step(key, told.record, told.previous_phase, by_tick=by_tick)

    def step(self, key: JobKey, new: Job, previous: Phase | None, *, by_tick: bool) -> None:
        old = self.jobs.get(key)
        assert previous is self.phases.get(key)
        assert (new.outcome is Outcome.LOST) is by_tick
        if old is not None:
            assert (new.restarts or 0) >= (old.restarts or 0)
            if old.state.ended:
                assert new.state.ended
                assert old.outcome in (Outcome.LOST, new.outcome)
                assert old.outcome is Outcome.LOST or old.exit_code in (None, new.exit_code)
            if previous is Phase.RUN and new.phase is Phase.QUEUE:
                requeued = new.state in (JobState.REQUEUED, JobState.REQUEUED_HELD)
                assert requeued or (new.restarts or 0) > (old.restarts or 0)
        else:
            assert all(other.incarnation <= key.incarnation for other in self.jobs if other.job_id == key.job_id)
        self.jobs[key] = new
        self.phases[key] = new.phase or self.phases.get(key)


@given(histories)
@settings(max_examples=200, deadline=None)
def test_promises_hold_for_every_history(history: list[tuple[int, Body]]) -> None:
    state, again = beginning(), beginning()
    watcher = Watcher()
    for body, effects in play(state, history):
        if isinstance(body, JobChanges):
            assert len(effects.outcomes) == len(body.changes)
            refused = [outcome for outcome in effects.outcomes if outcome is not EntryOutcome.ACCEPTED]
            assert len(refused) == len(effects.reasons)
        assert [key for key, _ in effects.writes] == sorted({key for key, _ in effects.writes})
        watcher.see(effects, by_tick=isinstance(body, Tick))
    play(again, history)
    assert state.items() == again.items()


@given(histories)
@settings(max_examples=50, deadline=None)
def test_after_a_long_silence_nothing_is_left_vanished(history: list[tuple[int, Body]]) -> None:
    state = beginning()
    play(state, history)
    at = START_AT + 200 * DAY_MS
    state.write(apply(state, NODE, PayloadType.TICK, body=Tick(), at=at, index=99).writes)
    assert next_deadline(state) is None
    for key, record in state.items():
        if key.startswith("job/") and record is not None:
            job = decode_job(record)
            assert not (job.state is JobState.UNDETERMINED and job.reason == "vanished")


def test_control_a_machine_that_takes_everything_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcbridge.contract.jobs._next_fields", lambda _old, fields, **_arguments: fields)
    end = Job(cluster="c1", job_id="1", incarnation=1, state=JobState.DONE, outcome=Outcome.COMPLETED)
    run = Job(cluster="c1", job_id="1", incarnation=1, state=JobState.RUNNING)
    history: list[tuple[int, Body]] = [
        (0, JobChanges(cluster="c1", changes=(JobChange(job=job, observed_at=START_AT),))) for job in (end, run)
    ]
    watcher = Watcher()
    first, second = (effects for _, effects in play(beginning(), history))
    watcher.see(first, by_tick=False)
    with pytest.raises(AssertionError):
        watcher.see(second, by_tick=False)
