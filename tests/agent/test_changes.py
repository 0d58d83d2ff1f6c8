# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison of two reports, case by case."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from hpcbridge.agent.changes import (
    GoneJob,
    JobComparison,
    JobMemory,
    MissingJob,
    SeenJob,
    by_key,
    compare_jobs,
    compare_nodes,
)
from hpcbridge.agent.vanished import Patience, find_end, settle
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.nodes import Availability, Node

AT = 1_795_349_592_000
PATIENCE = Patience(grace_ms=60_000)


def job(job_id: str = "7", state: JobState = JobState.RUNNING, **fields: object) -> Job:
    outcome = Outcome.COMPLETED if state is JobState.DONE else Outcome.FAILED if state is JobState.FAILED else None
    facts: dict[str, object] = {"submitted_at": AT, "owner": "alice", "outcome": outcome, "native_state": state.value, "restarts": 0}
    return Job(cluster="c1", job_id=job_id, state=state, **{**facts, **fields})  # type: ignore[arg-type]


def pending_range(count: int | None, text: str = "1-9", **fields: object) -> Job:
    return job(f"25_[{text}]", JobState.QUEUED, array_job_id="25", array_pending=count, **fields)


class World:
    """A memory that goes from report to report as the agent's does."""

    def __init__(self) -> None:
        self.live: dict[str, SeenJob] = {}
        self.missing: dict[tuple[str, int], MissingJob] = {}
        self.gone: dict[str, GoneJob] = {}
        self.wants = True

    def see(self, jobs: Iterable[Job], *, unreadable: tuple[str, ...] = ()) -> JobComparison:
        report, hidden = by_key(jobs, unreadable)
        memory = JobMemory(self.live, self.missing, self.gone)
        result = compare_jobs(memory, report, at=AT, wanted=lambda _: self.wants, unreadable=hidden)
        for key in result.gone:
            self.live.pop(key, None)
        self.live.update(result.seen)
        self.live.update(result.kept)
        self.gone.update(result.gone)
        self.missing.update((each.key, each) for each in result.vanished)
        for found in result.found:
            del self.missing[found]
        return result

    def told(self, jobs: Iterable[Job], *, unreadable: tuple[str, ...] = ()) -> list[tuple[str, int, str]]:
        changes = self.see(jobs, unreadable=unreadable).changes
        return [(change.job.job_id, change.incarnation, change.job.state.value) for change in changes]


def test_a_job_is_told_once_per_change() -> None:
    world = World()
    queued = job(state=JobState.QUEUED)
    assert world.told([queued]) == [("7", 1, "QUEUED")]
    assert world.told([queued]) == []
    assert world.told([dataclasses.replace(queued, reason="Resources")]) == []
    assert world.told([job(started_at=AT + 5, nodes=("n1",), wall_seconds=1)]) == [("7", 1, "RUNNING")]
    assert world.told([job(started_at=AT + 5, nodes=("n1",), wall_seconds=99)]) == []
    assert world.told([job(started_at=AT + 5, nodes=("n1",), native_state="COMPLETING")]) == []
    assert world.told([job(state=JobState.DONE, ended_at=AT + 9)]) == [("7", 1, "DONE")]
    assert world.told([job(state=JobState.DONE, ended_at=AT + 9)]) == []
    assert world.told([]) == []
    assert world.missing == {}


def test_an_end_keeps_what_the_last_observation_knew() -> None:
    world = World()
    world.see([job(nodes=("n1",), cores=4, started_at=AT + 5)])
    change = world.see([job(state=JobState.DONE, ended_at=AT + 9)]).changes[0]
    assert (change.job.nodes, change.job.cores, change.job.started_at) == (("n1",), 4, AT + 5)


def test_a_job_seen_first_at_its_end_is_told_as_end() -> None:
    assert World().told([job(state=JobState.FAILED, exit_code=3)]) == [("7", 1, "FAILED")]


def test_a_requeue_keeps_the_incarnation() -> None:
    world = World()
    world.see([job()])
    requeued = job(state=JobState.QUEUED, submitted_at=AT + 60_000, restarts=1)
    assert world.told([requeued]) == [("7", 1, "QUEUED")]
    assert world.missing == {}


def test_a_reused_id_is_a_new_incarnation_and_the_old_run_vanished() -> None:
    world = World()
    world.see([job()])
    assert world.told([job(submitted_at=AT + 60_000, owner="bob")]) == [("7", 2, "RUNNING")]
    assert list(world.missing) == [("7", 1)]


def test_a_reused_id_after_an_end_leaves_nothing_missing() -> None:
    world = World()
    world.see([job(state=JobState.DONE)])
    world.see([])
    assert world.told([job(submitted_at=AT + 60_000)]) == [("7", 2, "RUNNING")]
    assert world.missing == {}


def test_a_job_requeued_after_its_end_is_a_new_incarnation() -> None:
    world = World()
    world.see([job(state=JobState.DONE)])
    assert world.told([job(state=JobState.QUEUED, submitted_at=AT + 60_000, restarts=1)]) == [("7", 2, "QUEUED")]


def test_a_job_that_comes_back_was_not_lost() -> None:
    world = World()
    world.see([job()])
    world.see([])
    assert list(world.missing) == [("7", 1)]
    assert world.told([job()]) == [("7", 1, "RUNNING")]
    assert world.missing == {}


def test_absence_is_never_an_end() -> None:
    world = World()
    world.see([job()])
    result = world.see([])
    assert result.changes == ()
    assert [each.key for each in result.vanished] == [("7", 1)]


def test_a_job_that_could_not_be_read_has_not_vanished() -> None:
    world = World()
    world.see([job(), pending_range(9)])
    assert world.told([], unreadable=("7", "25_[1-9]")) == []
    assert world.missing == {}
    assert set(world.live) == {"7", "25_[]"}


def test_a_pending_range_shrinks_and_leaves_without_an_end() -> None:
    world = World()
    counts = [world.see([pending_range(count, text)]).changes for count, text in ((9, "1-9"), (7, "3-9"), (7, "3-9"))]
    assert [[change.job.array_pending for change in changes] for changes in counts] == [[9], [7], []]
    assert counts[0][0].job.job_id == "25_[]"
    last = world.see([job("25_9", array_job_id="25", array_index=9)]).changes
    assert [(change.job.job_id, change.job.array_pending, change.job.state) for change in last] == [
        ("25_9", None, JobState.RUNNING),
        ("25_[]", 0, JobState.QUEUED),
    ]
    assert world.missing == {}


@pytest.mark.parametrize(
    ("subject", "array", "hidden"),
    [
        ("25_[2-9%2]", "25", {"25_[]"}),
        ("29.7,10", "29", {"29_[]"}),
        ("29.4-10:2", "29", {"29_[]"}),
        ("29.7", "29", {"29.7", "29_[]"}),
        ("25_3", "25", {"25_3"}),
        ("36[1]", "36", {"36[1]"}),
        ("7.head1", "7", {"7.head1"}),
    ],
)
def test_what_could_not_be_read_has_not_left_however_a_scheduler_spells_it(subject: str, array: str, hidden: set[str]) -> None:
    assert by_key([], [subject])[1] == hidden
    world = World()
    known = "25_[2-9%2]" if subject.startswith("25") else subject
    waits = job(known, JobState.QUEUED, array_job_id=array, array_pending=3)
    world.see([waits, job("7")])
    changes = world.see([job("7")], unreadable=(subject,)).changes
    assert [change.job.array_pending for change in changes] == ([] if f"{array}_[]" in hidden else [0])


def test_a_range_of_which_a_part_cannot_be_read_is_not_counted() -> None:
    world = World()
    world.see([pending_range(3, "1-3"), pending_range(2, "8-9")])
    assert world.told([pending_range(3, "1-3")], unreadable=("25_[8-9]",)) == []
    assert world.told([pending_range(3, "1-3")]) == [("25_[]", 1, "QUEUED")]


def test_a_submit_time_that_was_seen_once_stays_known() -> None:
    world = World()
    world.see([job(state=JobState.QUEUED)])
    runs = job(submitted_at=None, started_at=AT + 5, restarts=None)
    (change,) = world.see([runs]).changes
    assert (change.job.state, change.job.submitted_at) == (JobState.RUNNING, AT)
    for again in (runs, dataclasses.replace(runs), dataclasses.replace(runs, wall_seconds=9)):
        assert world.told([again]) == []
        assert world.live["7"].job.submitted_at == AT
    assert world.told([job(submitted_at=None, owner="bob", restarts=None)]) == [("7", 2, "RUNNING")]


def test_an_unchanged_job_is_recognised_though_more_is_known_of_it() -> None:
    world = World()
    world.see([job(state=JobState.QUEUED)])
    runs = job(submitted_at=None, restarts=None)
    world.see([runs])
    kept = world.live["7"]
    assert kept.reported is runs
    world.see([runs])
    assert world.live["7"] is kept


def test_a_requeue_that_the_scheduler_does_not_count_is_seen() -> None:
    world = World()
    world.see([job(restarts=None)])
    waits = job(state=JobState.QUEUED, native_state="qw", restarts=None)
    assert world.told([waits]) == [("7", 1, "REQUEUED")]
    assert world.told([dataclasses.replace(waits)]) == []
    assert world.told([job(state=JobState.QUEUED_HELD, native_state="hqw", restarts=None)]) == [("7", 1, "REQUEUED_HELD")]
    assert world.told([job(restarts=None)]) == [("7", 1, "RUNNING")]


def test_the_last_native_state_is_kept_for_judging_the_end_though_nothing_is_told() -> None:
    world = World()
    world.see([job(native_state="r")])
    result = world.see([job(native_state="dr")])
    assert result.changes == ()
    assert result.seen["7"].job.native_state == "dr"


def test_a_job_that_is_back_after_its_end_in_accounting_is_another_run() -> None:
    world = World()
    world.see([job()])
    world.see([])
    world.missing.clear()
    world.gone["7"] = dataclasses.replace(world.gone["7"], ended=True)
    assert world.told([job(state=JobState.QUEUED)]) == [("7", 2, "QUEUED")]


def test_ranges_of_one_array_are_one_record_and_a_cancelled_one_leaves() -> None:
    world = World()
    first = world.see([pending_range(3, "1-3"), pending_range(2, "8-9")]).changes
    assert [change.job.array_pending for change in first] == [5]
    cancelled = job("25_[1-3,8-9]", JobState.FAILED, array_job_id="25", outcome=Outcome.CANCELLED)
    assert [change.job.array_pending for change in world.see([cancelled]).changes] == [0]
    assert world.told([cancelled]) == []


def test_a_range_that_comes_again_is_a_new_incarnation() -> None:
    world = World()
    world.see([pending_range(2)])
    world.see([])
    assert world.told([pending_range(1)]) == [("25_[]", 2, "QUEUED")]


def test_a_job_wanted_later_is_told_then() -> None:
    world = World()
    world.wants = False
    assert world.told([job()]) == []
    world.wants = True
    assert world.told([job()]) == [("7", 1, "RUNNING")]
    world.wants = False
    assert world.told([job(state=JobState.DONE)]) == [("7", 1, "DONE")]


def missing(**fields: object) -> MissingJob:
    facts: dict[str, object] = {"job": job(), "incarnation": 1, "published": True, "since_at": AT, "next_at": AT}
    return MissingJob(**{**facts, **fields})  # type: ignore[arg-type]


def test_a_vanished_job_ends_as_accounting_says() -> None:
    end = job(state=JobState.FAILED, outcome=Outcome.TIMEOUT, restarts=None, owner=None)
    settled = settle(missing(), [end], at=AT + 1, patience=PATIENCE)
    assert settled.missing is None
    assert settled.change is not None
    assert (settled.change.job.outcome, settled.change.job.owner, settled.change.incarnation) == (Outcome.TIMEOUT, "alice", 1)


def test_accounting_of_another_run_says_nothing() -> None:
    other = job(state=JobState.DONE, submitted_at=AT + 60_000)
    earlier = job(state=JobState.DONE, submitted_at=AT - 60_000)
    assert find_end(job(), [earlier, other]) is None


def test_accounting_follows_a_requeue_to_its_end() -> None:
    requeued = job(state=JobState.UNDETERMINED, native_state="REQUEUED")
    last = job(state=JobState.DONE, submitted_at=AT + 60_000, restarts=None)
    end = find_end(job(), [last, requeued])
    assert end is not None
    assert (end.state, end.restarts) == (JobState.DONE, 1)
    preempted = job(state=JobState.FAILED, outcome=Outcome.PREEMPTED, ended_at=AT + 59_000)
    assert find_end(job(), [preempted, last]) is not None
    assert find_end(job(), [preempted]) is not None
    assert find_end(job(), [requeued]) is None


def test_a_requeue_under_the_same_submit_time_is_followed_to_its_last_run() -> None:
    first = job(state=JobState.FAILED, outcome=Outcome.NODE_FAILED, started_at=AT + 5, ended_at=AT + 10, restarts=None)
    last = job(state=JobState.DONE, started_at=AT + 60_000, ended_at=AT + 90_000, restarts=None)
    for records in ([first, last], [last, first]):
        end = find_end(job(restarts=None), records)
        assert end is not None
        assert (end.state, end.restarts) == (JobState.DONE, None)
    waits = job(state=JobState.QUEUED, restarts=None)
    assert find_end(job(restarts=None), [waits, first]) is None, "it went back to the queue after that"


def test_without_a_submit_time_a_run_is_known_by_its_start_or_by_when_it_was_seen() -> None:
    old = job(state=JobState.FAILED, submitted_at=AT - 9_000_000, started_at=AT - 8_000_000, ended_at=AT - 7_000_000)
    own = job(state=JobState.DONE, started_at=AT + 5_000, ended_at=AT + 60_000)
    seen = job(submitted_at=None, started_at=AT + 3_000, restarts=None)
    unseen = job(submitted_at=None, restarts=None)

    def ends(known: Job, records: list[Job], seen_at: int | None = AT + 50_000) -> JobState | None:
        end = find_end(known, records, seen_at=seen_at)
        return None if end is None else end.state

    assert ends(seen, [old, own]) is JobState.DONE
    assert ends(seen, [old]) is None
    assert ends(unseen, [old, own]) is JobState.DONE
    assert ends(unseen, [old]) is None
    assert ends(unseen, [old, own], seen_at=None) is None, "two runs, and nothing tells which one it was"


def test_a_vanished_job_becomes_undetermined_after_the_grace_period_once() -> None:
    early = settle(missing(), [], at=AT + 30_000, patience=PATIENCE)
    assert early.change is None
    assert early.missing is not None
    late = settle(early.missing, [], at=AT + 61_000, patience=PATIENCE)
    assert late.change is not None
    assert (late.change.job.state, late.change.job.reason, late.change.job.native_state) == (
        JobState.UNDETERMINED,
        "vanished",
        "RUNNING",
    )
    assert late.missing is not None
    again = settle(late.missing, [], at=AT + 120_000, patience=PATIENCE)
    assert again.change is None
    corrected = settle(late.missing, [job(state=JobState.DONE)], at=AT + 3_600_000, patience=PATIENCE)
    assert corrected.change is not None
    assert corrected.change.job.state is JobState.DONE


def test_the_grace_period_holds_whether_accounting_answers_or_fails() -> None:
    answers: tuple[tuple[Job, ...] | None, ...] = ((), None)
    for records in answers:
        assert settle(missing(), records, at=AT + 59_999, patience=PATIENCE).change is None
        late = settle(missing(), records, at=AT + 60_000, patience=PATIENCE)
        assert late.change is not None
        assert (late.change.job.state, late.change.job.reason) == (JobState.UNDETERMINED, "vanished")


def test_the_end_of_the_grace_period_is_not_slept_through() -> None:
    state, at = missing(), AT
    asked_at = []
    while not state.told:
        kept = settle(state, None, at=at, patience=PATIENCE).missing
        assert kept is not None
        asked_at.append(at - AT)
        state, at = kept, kept.next_at
    assert asked_at == [0, 15_000, 45_000, 60_000]


def test_accounting_is_asked_less_and_less_and_then_no_more() -> None:
    state, pauses = missing(told=True), []
    for _ in range(14):
        kept = settle(state, [], at=AT + 60_000, patience=PATIENCE).missing
        assert kept is not None
        pauses.append(kept.next_at - AT - 60_000)
        state = kept
    assert pauses[:3] == [15_000, 30_000, 60_000]
    assert pauses[-1] == PATIENCE.longest_pause_ms
    late = AT + PATIENCE.lost_after_ms
    assert settle(state, [], at=late, patience=PATIENCE).missing is not None, "perhaps only the clock jumped"
    assert settle(dataclasses.replace(state, asked=30), [], at=late, patience=PATIENCE).missing is None
    assert settle(dataclasses.replace(state, asked=30), None, at=late, patience=PATIENCE).missing is not None, "it may come back"


def test_accounting_that_does_not_answer_is_tried_every_few_minutes() -> None:
    """slurmdbd was away for a day: the ends are on the ledger minutes after it is back, not six hours."""
    state = missing(told=True, asked=14)
    kept = settle(state, None, at=AT + 86_400_000, patience=PATIENCE).missing
    answered = settle(state, [], at=AT + 86_400_000, patience=PATIENCE).missing
    assert kept is not None
    assert answered is not None
    assert (kept.next_at - AT - 86_400_000, answered.next_at - AT - 86_400_000) == (PATIENCE.silent_pause_ms, PATIENCE.longest_pause_ms)


def test_an_unpublished_job_is_settled_silently() -> None:
    settled = settle(missing(published=False), [job(state=JobState.DONE)], at=AT, patience=PATIENCE)
    assert settled.change is None
    assert settled.missing is None


def node(name: str, availability: Availability) -> Node:
    return Node(cluster="c1", name=name, availability=availability, native_state=availability.value)


def test_nodes_are_told_when_their_availability_changes() -> None:
    first = compare_nodes({}, [node("n1", Availability.UP), node("n2", Availability.DOWN)], at=AT)
    assert [change.node for change in first.changes] == ["n1", "n2"]
    second = compare_nodes(first.seen, [node("n1", Availability.UP)], at=AT)
    assert [(change.node, change.availability) for change in second.changes] == [("n2", Availability.UNKNOWN)]
    assert compare_nodes({**first.seen, **second.seen}, [node("n1", Availability.UP)], at=AT).changes == ()
