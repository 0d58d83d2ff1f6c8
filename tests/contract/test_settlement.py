# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A rental's jobs and its money, story by story; the books themselves are checked at every entry by `market_book`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.contract.capacity import held_of
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.market import due_of
from hpcbridge.contract.settlement import settle
from hpcbridge.contract.state import Draft, Effects
from hpcbridge.errors import IntegrityError
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.jobs import Job, JobState, Outcome, Phase
from hpcbridge.model.market import (
    AccountReport,
    AccountState,
    Bearer,
    Cancellation,
    Credit,
    Excess,
    LineKind,
    Rental,
    RentalEnd,
    RentalState,
    UsageNotice,
)
from hpcbridge.model.transactions import Decision, Parameters, Tick
from tests.contract.market_book import CLUSTERS, HOUR, MINUTE, Book, observe, opened, rented, run, tell

DAY = 24 * HOUR
R, D, Q = JobState.RUNNING, JobState.DONE, JobState.QUEUED
PRICE = 320_000
"""Of 16 cores for an hour."""
DEPOSIT = 960_000
"""30 % of 16 cores for the queue's ten hours."""


def later(book: Book, milliseconds: int, *jobs: Job) -> Effects:
    """Time goes by, and then jobs are observed."""
    book.at += milliseconds
    return observe(book, *jobs)


def worked(
    book: Book, rental: Rental, job_id: str = "1", *, hours: int = 1, outcome: Outcome = Outcome.COMPLETED, **fields: Any
) -> Effects:
    """A job that starts now and is told at its end, with all times."""
    start = book.at
    observe(book, run(rental, job_id, started_at=start))
    told = {"started_at": start, "ended_at": start + hours * HOUR, "wall_seconds": hours * 3600} | fields
    return later(book, hours * HOUR, run(rental, job_id, D, outcome=outcome, **told))


def wait(book: Book, milliseconds: int) -> Effects:
    book.at += milliseconds
    return book.accepted("ledger", Tick())


def amounts(book: Book, rental: Rental) -> list[tuple[str, int]]:
    return [(line.kind.value, line.amount) for line in book.statement(rental.rental)]


def notices(effects: Effects) -> list[tuple[str, Excess, int, int]]:
    told = [(event.audience, decode_event(event).record) for event in effects.events if event.type is EventType.USAGE_NOTICED]
    return [(audience, record.excess, record.rented, record.used) for audience, record in told if isinstance(record, UsageNotice)]


def test_one_job_from_deposit_to_refund() -> None:
    book = opened()
    rental = rented(book)
    assert (rental.deposit, book.account("ann")) == (DEPOSIT, (10_000_000 - DEPOSIT, DEPOSIT))
    ended = worked(book, rental)
    index = len(book.story) - 1
    assert book.account(rental.provider) == (PRICE, 0)
    assert book.account("ann") == (10_000_000 - DEPOSIT, DEPOSIT - PRICE)
    wait(book, HOUR - 1)
    assert book.rental(rental.rental).state is RentalState.USED
    settled = wait(book, 1)
    found = book.rental(rental.rental)
    assert (found.state, found.end, found.settled_index) == (RentalState.ENDED, RentalEnd.COMPLETED, len(book.story) - 1)
    assert (found.charged, found.refunded, found.not_covered) == (PRICE, DEPOSIT - PRICE, 0)
    assert book.account("ann") == (10_000_000 - PRICE, 0)
    assert amounts(book, rental) == [("DEPOSIT", DEPOSIT), ("USAGE", PRICE), ("REFUND", DEPOSIT - PRICE)]
    assert book.statement(rental.rental)[1].index == index
    assert {(event.type, event.audience) for event in settled.events} == {
        (kind, who) for kind in ("RENTAL_ENDED", "RENTAL_SETTLED") for who in ("ann", rental.provider)
    }
    assert [(event.type, event.audience) for event in ended.events] == [("JOB_CHANGED", rental.provider), ("JOB_CHANGED", "ann")]
    book.check_all()


def test_the_user_hears_what_becomes_of_its_jobs_and_the_provider_hears_no_name() -> None:
    book = opened()
    rental = rented(book)
    heard: list[tuple[Phase | None, str]] = []
    start = book.at
    for job in (run(rental, state=Q), run(rental, started_at=start), run(rental, state=D, started_at=start, wall_seconds=1)):
        for event in later(book, MINUTE, job).events:
            told = decode_event(event)
            assert b"ann" not in event.body
            if event.audience == "ann":
                assert isinstance(told.record, Job)
                heard.append((told.previous_phase, told.record.state.value))
            assert event.subject == f"{rental.cluster}/1#1"
    assert heard == [(None, "QUEUED"), (Phase.QUEUE, "RUNNING"), (Phase.RUN, "DONE")]
    for event in wait(book, HOUR).events:
        assert (b"ann" in event.body) is (event.audience == "ann" and event.type is EventType.RENTAL_ENDED)


def test_jobs_of_others_cost_and_move_nothing() -> None:
    book = opened()
    rental = rented(book)
    before = book.account("ann")
    elsewhere = "c1" if rental.cluster == "c2" else "c2"
    foreign = Job(cluster=elsewhere, job_id="1", incarnation=1, state=D, outcome=Outcome.COMPLETED, owner=rental.username, wall_seconds=9)
    assert [event.audience for event in observe(book, foreign).events] != ["ann"]
    observe(book, run(rental, owner="somebody"), run(rental, "2", owner=None))
    assert book.rental(rental.rental).state is RentalState.GRANTED
    assert book.account("ann") == before


def test_the_first_job_means_use_and_the_first_run_gives_the_queue_back() -> None:
    book = opened()
    rental = rented(book)
    assert held_of(book.state, rental.cluster, "batch") == (16, 0)
    observe(book, run(rental, state=Q))
    found = book.rental(rental.rental)
    assert (found.state, found.used_at) == (RentalState.USED, book.at)
    assert held_of(book.state, rental.cluster, "batch") == (16, 0)
    assert book.say("ann", Cancellation(rental=rental.rental)).outcomes == (EntryOutcome.ILLEGAL_TRANSITION,)
    observe(book, run(rental))
    assert held_of(book.state, rental.cluster, "batch") == (0, 0)
    observe(book, run(rental, "2"))
    worked(book, rental, "3")
    book.check_all()


@pytest.mark.parametrize("outcome", [Outcome.NODE_FAILED, Outcome.BOOT_FAILED, Outcome.PREEMPTED, Outcome.REVOKED])
def test_what_the_site_bears_is_shown_and_free(outcome: Outcome) -> None:
    book = opened()
    rental = rented(book)
    worked(book, rental, outcome=outcome)
    line = book.statement(rental.rental)[-1]
    assert line.usage is not None
    assert (line.amount, line.usage.bearer, line.usage.core_seconds, line.usage.charge) == (0, Bearer.SITE, 57_600, 0)
    wait(book, HOUR)
    assert book.rental(rental.rental).refunded == DEPOSIT


def test_deposit_then_extra_limit_then_not_covered() -> None:
    book = opened()
    rental = rented(book, extra_limit=100_000)
    worked(book, rental, "1", hours=2)
    worked(book, rental, "2", hours=2)
    assert amounts(book, rental) == [("DEPOSIT", DEPOSIT), ("USAGE", 640_000), ("USAGE", 420_000)]
    line = book.statement(rental.rental)[-1]
    assert line.usage is not None
    assert (line.usage.charge, line.usage.not_covered) == (640_000, 220_000)
    worked(book, rental, "3", hours=1)
    found = book.rental(rental.rental)
    assert (found.charged, found.held, found.not_covered) == (DEPOSIT + 100_000, 0, 220_000 + PRICE)
    assert book.account("ann") == (10_000_000 - DEPOSIT - 100_000, 0)
    wait(book, HOUR)
    assert amounts(book, rental)[-1] == ("REFUND", 0)
    assert book.rental(rental.rental).refunded == 0


def test_an_empty_account_covers_no_extra_and_is_not_asked_again() -> None:
    book = opened(credit=DEPOSIT + 5)
    rental = rented(book, extra_limit=1_000_000)
    worked(book, rental, hours=4)
    found = book.rental(rental.rental)
    assert (found.charged, found.not_covered, book.account("ann")) == (DEPOSIT + 5, 4 * PRICE - DEPOSIT - 5, (0, 0))
    book.accepted("root", Credit(member="ann", amount=1_000_000, reference="second"))
    wait(book, HOUR)
    assert book.account("ann") == (1_000_000, 0)


def test_unknown_usage_is_charged_when_it_is_told() -> None:
    book = opened()
    rental = rented(book)
    start = book.at
    observe(book, run(rental))
    later(book, HOUR, run(rental, state=D))
    line = book.statement(rental.rental)[-1]
    assert line.usage is not None
    assert (line.amount, line.usage.core_seconds, line.usage.bearer) == (0, None, Bearer.USER)
    told: dict[str, Any] = {"started_at": start, "ended_at": start + HOUR}
    later(book, MINUTE, run(rental, state=D, **told))
    later(book, MINUTE, run(rental, state=D, **told, exit_code=0))
    later(book, MINUTE, run(rental, state=D, **told, exit_code=0))
    assert amounts(book, rental)[1:] == [("USAGE", 0), ("CORRECTION", PRICE)]
    later(book, MINUTE, run(rental, state=D, **told, exit_code=0, wall_seconds=1800))
    assert amounts(book, rental)[3:] == [("CORRECTION", -PRICE // 2)]
    assert book.rental(rental.rental).held == DEPOSIT - PRICE // 2


def lost(book: Book, rental: Rental) -> Effects:
    """A job that vanished while it ran, given up after a week."""
    observe(book, run(rental, started_at=book.at))
    later(book, MINUTE, run(rental, state=JobState.UNDETERMINED, reason="vanished", started_at=book.at - MINUTE))
    return wait(book, 7 * DAY)


def test_lost_costs_nothing_and_is_corrected_after_settlement_once() -> None:
    book = opened()
    rental = rented(book)
    begun = book.at
    given_up = [(event.type, event.audience) for event in lost(book, rental).events]
    assert given_up == [("JOB_CHANGED", rental.provider), ("JOB_CHANGED", "ann")]
    assert book.rental(rental.rental).state is not RentalState.ENDED
    wait(book, HOUR)
    found = book.rental(rental.rental)
    assert (found.end, found.charged, found.refunded) == (RentalEnd.COMPLETED, 0, DEPOSIT)
    line = book.statement(rental.rental)[1]
    assert line.usage is not None
    assert (line.usage.outcome, line.usage.bearer, line.amount) == (Outcome.LOST, Bearer.NOBODY, 0)
    told = run(rental, state=D, started_at=begun, ended_at=begun + HOUR)
    corrected = later(book, DAY, told)
    assert [(event.audience, decode_event(event).record) for event in corrected.events if event.type is EventType.RENTAL_CORRECTED] == [
        (who, book.statement(rental.rental)[-1]) for who in ("ann", rental.provider)
    ]
    later(book, DAY, told)
    assert amounts(book, rental) == [("DEPOSIT", DEPOSIT), ("USAGE", 0), ("REFUND", DEPOSIT), ("CORRECTION", PRICE)]
    assert book.account("ann") == (10_000_000 - PRICE, 0)
    assert book.rental(rental.rental).charged == PRICE


def test_a_correction_stays_within_deposit_and_extra_limit_and_its_time() -> None:
    book = opened()
    rental = rented(book, extra_limit=40_000)
    begun = book.at
    lost(book, rental)
    wait(book, HOUR)
    later(book, 30 * DAY, run(rental, state=D, started_at=begun, ended_at=begun + 9 * HOUR))
    found = book.rental(rental.rental)
    assert (found.charged, found.not_covered) == (DEPOSIT + 40_000, 9 * PRICE - DEPOSIT - 40_000)
    second = rented_again(book)
    begun = book.at
    lost(book, second)
    wait(book, HOUR)
    later(book, 60 * DAY + 1, run(second, state=D, started_at=begun, ended_at=begun + HOUR))
    assert amounts(book, second)[-1] == ("CORRECTION", 0)
    assert book.rental(second.rental).not_covered == PRICE


def rented_again(book: Book) -> Rental:
    """Clusters are heard of again, and bob rents."""
    for cluster in CLUSTERS:
        tell(book, cluster)
    return rented(book, "bob")


def test_what_runs_on_when_time_is_over_is_charged_at_its_end() -> None:
    book = opened()
    rental = rented(book)
    observe(book, run(rental, started_at=book.at))
    begun = book.at
    wait(book, rental.latest_at - book.at)
    found = book.rental(rental.rental)
    assert (found.end, found.refunded) == (RentalEnd.OVERDUE, DEPOSIT)
    later(book, HOUR, run(rental, state=D, started_at=begun, ended_at=begun + 2 * HOUR))
    assert amounts(book, rental)[2:] == [("CORRECTION", 2 * PRICE)]
    book.check_all()


def test_told_late_because_the_agent_was_cut_off() -> None:
    book = opened()
    rental = rented(book)
    began, ended_at = book.at + HOUR, book.at + 3 * HOUR
    wait(book, 7 * DAY)
    assert book.rental(rental.rental).end is RentalEnd.EXPIRED
    effects = later(book, DAY, run(rental, state=D, submitted_at=began, started_at=began, ended_at=ended_at))
    assert notices(effects) == []
    assert amounts(book, rental)[2:] == [("CORRECTION", 2 * PRICE)]


def test_whoever_cancels_after_a_job_that_was_not_told_yet_pays_it() -> None:
    book = opened()
    rental = rented(book)
    began = book.at
    book.at += 2 * HOUR
    book.accepted("ann", Cancellation(rental=rental.rental))
    later(book, MINUTE, run(rental, state=D, submitted_at=began, started_at=began, ended_at=began + HOUR))
    assert amounts(book, rental)[2:] == [("CORRECTION", PRICE)]


@pytest.mark.parametrize("began", [0, None])
def test_a_job_after_the_end_is_noticed_and_free(began: int | None) -> None:
    book = opened()
    rental = rented(book)
    book.accepted("ann", Cancellation(rental=rental.rental))
    start = None if began is None else book.at + began
    effects = later(book, HOUR, run(rental, submitted_at=start))
    assert notices(effects) == [(who, Excess.JOBS, 0, 1) for who in ("ann", rental.provider)]
    assert notices(later(book, HOUR, run(rental, state=D, submitted_at=start, wall_seconds=3600))) == []
    assert notices(observe(book, run(rental, "2")))[0][1:] == (Excess.JOBS, 0, 2)
    assert book.account("ann") == (10_000_000, 0)
    book.check_all()


def test_an_account_that_could_not_be_made_has_no_jobs() -> None:
    book = opened()
    rental = rented(book)
    book.accepted(rental.provider, AccountReport(rental=rental.rental, state=AccountState.FAILED))
    assert book.rental(rental.rental).end is RentalEnd.FAILED_BY_SITE
    effects = later(book, HOUR, run(rental, state=D, submitted_at=book.at - MINUTE, wall_seconds=60))
    assert notices(effects)[0][1] is Excess.JOBS
    assert book.account("ann") == (10_000_000, 0)


def test_more_than_rented_is_noticed_once_each_time() -> None:
    book = opened()
    rental = rented(book, gpus=1)
    assert notices(observe(book, run(rental, "1"))) == []
    over = observe(book, run(rental, "2", gpus=0))
    assert notices(over) == [(who, Excess.CORES, 16, 32) for who in ("ann", rental.provider)]
    assert notices(observe(book, run(rental, "3", gpus=0))) == []
    assert notices(observe(book, run(rental, "4", cores=0, gpus=1)))[0] == ("ann", Excess.GPUS, 1, 2)
    observe(book, *(run(rental, name, D, wall_seconds=1) for name in "234"))
    assert notices(observe(book, run(rental, "5", gpus=0)))[0][1:] == (Excess.CORES, 16, 32)
    observe(book, run(rental, "5", JobState.SUSPENDED, gpus=0))
    assert notices(observe(book, run(rental, "6", gpus=0)))[0][1:] == (Excess.CORES, 16, 32)
    book.at += 12 * HOUR
    long = observe(book, run(rental, "1", gpus=1, wall_seconds=36_001))
    assert notices(long)[0] == ("ann", Excess.WALLTIME, 36_000, 36_001)
    assert notices(observe(book, run(rental, "1", D, wall_seconds=36_002))) == []
    times: dict[str, Any] = {"started_at": book.at - 11 * HOUR, "ended_at": book.at}
    assert notices(observe(book, run(rental, "7", D, **times)))[0][1:] == (Excess.WALLTIME, 36_000, 39_600)
    book.check_all()


def test_a_pending_range_keeps_a_rental_open_and_makes_no_line() -> None:
    book = opened()
    rental = rented(book)
    waiting = {"array_job_id": "25", "array_pending": 2}
    observe(book, run(rental, "25_[]", Q, **waiting))
    worked(book, rental, "25_1", array_job_id="25", array_index=1)
    wait(book, 2 * HOUR)
    assert book.rental(rental.rental).state is RentalState.USED
    observe(book, run(rental, "25_[]", Q, **(waiting | {"array_pending": 0})))
    assert due_of(book.state, rental.rental) == (book.at + HOUR, RentalEnd.COMPLETED)
    wait(book, HOUR)
    assert amounts(book, rental) == [("DEPOSIT", DEPOSIT), ("USAGE", PRICE), ("REFUND", DEPOSIT - PRICE)]


def test_another_job_within_the_grace_time_keeps_it_open() -> None:
    book = opened()
    rental = rented(book)
    worked(book, rental, "1")
    observe(book, run(rental, "2", Q))
    wait(book, 5 * HOUR)
    assert book.rental(rental.rental).state is RentalState.USED
    observe(book, run(rental, "2", JobState.FAILED, outcome=Outcome.CANCELLED))
    assert amounts(book, rental)[-1] == ("USAGE", 0)
    wait(book, HOUR)
    assert book.rental(rental.rental).end is RentalEnd.COMPLETED


def test_the_owner_of_a_tenants_job_stays() -> None:
    book = opened()
    rental = rented(book)
    observe(book, run(rental))
    assert observe(book, run(rental, state=D, owner="other", wall_seconds=9)).outcomes == (EntryOutcome.ILLEGAL_TRANSITION,)
    book.at += HOUR
    assert observe(book, run(rental, state=D, owner=None, wall_seconds=3600)).outcomes == (EntryOutcome.ACCEPTED,)
    assert amounts(book, rental)[-1] == ("USAGE", PRICE)


def test_one_body_of_many_jobs_and_a_bad_one() -> None:
    book = opened()
    rental = rented(book)
    book.at += HOUR
    bad = run(rental, "9", D, wall_seconds=60, incarnation=None)
    jobs = [run(rental, str(number), D, wall_seconds=360) for number in range(1, 4)]
    assert observe(book, jobs[0], bad, *jobs[1:]).outcomes.count(EntryOutcome.ACCEPTED) == 3
    assert amounts(book, rental)[1:] == [("USAGE", PRICE // 10)] * 3
    assert [line.index for line in book.statement(rental.rental)][1:] == [len(book.story) - 1] * 3


def test_a_suspended_cluster_ends_its_rentals_and_later_words_still_count() -> None:
    book = opened()
    rental = rented(book)
    start = book.at
    observe(book, run(rental, started_at=start))
    book.accepted("root", Decision(name=rental.cluster, vetting=Vetting.SUSPENDED, note=""))
    wait(book, MINUTE)
    assert book.rental(rental.rental).end is RentalEnd.CLUSTER_ENDED
    book.accepted("root", Decision(name=rental.cluster, vetting=Vetting.APPROVED, note=""))
    later(book, HOUR, run(rental, state=D, started_at=start, wall_seconds=3600, ended_at=start + HOUR))
    assert amounts(book, rental)[2:] == [("CORRECTION", PRICE)]


def test_a_deposit_of_nothing() -> None:
    book = opened()
    book.accepted("root", Parameters(values=(("deposit_permille", 0),)))
    rental = rented_again(book)
    worked(book, rental)
    assert amounts(book, rental) == [("DEPOSIT", 0), ("USAGE", 0)]
    assert book.rental(rental.rental).not_covered == PRICE


def test_an_end_twice_is_our_own_fault_and_stops() -> None:
    book = opened()
    rental = rented(book)
    book.accepted("ann", Cancellation(rental=rental.rental))
    with pytest.raises(IntegrityError, match="again"):
        settle(Draft(book.state, index=99), book.rental(rental.rental), end=RentalEnd.EXPIRED, at=book.at)
    with pytest.raises(IntegrityError, match="again"):
        settle(Draft(book.state, index=99), rental, end=RentalEnd.EXPIRED, at=book.at)
    assert [line.kind for line in book.statement(rental.rental)] == [LineKind.DEPOSIT, LineKind.REFUND]


def test_the_examples_of_the_documentation() -> None:
    """docs/market.md, "Worked examples": the stories above, as their tests tell them."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "market.md").read_text()
    section = page.partition("### Worked examples")[2].partition("###")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in section.splitlines() if row.startswith("|")][2:]
    for (story, lines, paid, missing), tell_story in zip(rows, STORIES, strict=True):
        book = opened()
        rental = tell_story(book)
        found = " · ".join(f"{kind} {amount:,}".replace("-", "−") for kind, amount in amounts(book, rental))
        assert (story, found) == (story, lines)
        told = book.rental(rental.rental)
        assert (f"{told.charged:,}", f"{told.not_covered:,}") == (paid, missing)


def ended_story(*, outcome: Outcome, cancelled: bool = False) -> Callable[[Book], Rental]:
    def story(book: Book) -> Rental:
        rental = rented(book)
        if cancelled:
            observe(book, run(rental, state=Q), run(rental, state=JobState.FAILED, outcome=outcome))
        else:
            worked(book, rental, outcome=outcome)
        wait(book, HOUR)
        return rental

    return story


def two_jobs(book: Book) -> Rental:
    rental = rented(book, extra_limit=100_000)
    worked(book, rental, "1", hours=2)
    worked(book, rental, "2", hours=2)
    wait(book, HOUR)
    return rental


def lost_and_found(book: Book) -> Rental:
    rental, begun = rented(book), book.at
    lost(book, rental)
    wait(book, HOUR)
    later(book, DAY, run(rental, state=D, started_at=begun, ended_at=begun + HOUR))
    return rental


def filled_in(book: Book) -> Rental:
    rental, begun = rented(book), book.at
    told: dict[str, Any] = {"started_at": begun, "ended_at": begun + HOUR}
    later(book, HOUR, run(rental, state=D, **told))
    later(book, MINUTE, run(rental, state=D, **told, wall_seconds=1800))
    wait(book, HOUR)
    return rental


def overdue(book: Book) -> Rental:
    rental, begun = rented(book), book.at
    observe(book, run(rental, started_at=begun))
    wait(book, rental.latest_at - book.at)
    later(book, HOUR, run(rental, state=D, started_at=begun, ended_at=begun + 2 * HOUR))
    return rental


STORIES = (
    ended_story(outcome=Outcome.COMPLETED),
    ended_story(outcome=Outcome.NODE_FAILED),
    ended_story(outcome=Outcome.CANCELLED, cancelled=True),
    two_jobs,
    lost_and_found,
    filled_in,
    overdue,
)
