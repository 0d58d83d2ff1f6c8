# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever users, providers and admins say, in any order, true or not: money is conserved, deposits come back once, a replay is the same.

The machine says things to a small market; the checks stand in `market_book` and are made at every entry.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import HypothesisProvider
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hpcbridge.contract import settlement
from hpcbridge.contract.jobrecords import decode_job
from hpcbridge.contract.state import scan_all
from hpcbridge.errors import IntegrityError
from hpcbridge.model.clusters import Rates, Registration, Vetting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import (
    AccountRenewal,
    AccountReport,
    AccountState,
    Cancellation,
    Credit,
    Rental,
    RentalOrder,
    RentalState,
    Request,
)
from hpcbridge.model.transactions import Body, Decision, JobChange, JobChanges, JobWatch, Parameters, Revocation, Tick
from tests.contract.market_book import CLUSTERS, HOUR, MINUTE, PARTIES, observe, opened, run, tell

CALLS = 1_000_000
STEPS = 200
DAY = 24 * HOUR
ENDS = [outcome for outcome in Outcome if outcome is not Outcome.COMPLETED]

users = st.sampled_from(["ann", "bob"])
clusters = st.sampled_from(sorted(CLUSTERS))
anybody = st.sampled_from(sorted(PARTIES))
amounts = st.one_of(st.integers(-1, 3_000_000), st.sampled_from([0, 1 << 62, 1 << 61, (1 << 63) - 1]))
places = st.integers(0, 30)
pauses = st.sampled_from([0, 1, 999, MINUTE, 9 * MINUTE, HOUR, HOUR, 2 * HOUR, 7 * HOUR, DAY, 8 * DAY, 61 * DAY])
times = st.one_of(st.none(), st.sampled_from([-8 * DAY, -DAY, -2 * HOUR, -HOUR, -MINUTE, -1, 0, 1, HOUR]))
states = st.sampled_from(
    [JobState.QUEUED, JobState.RUNNING, JobState.RUNNING, JobState.DONE, JobState.DONE, JobState.FAILED, JobState.FAILED, *JobState]
)
account_states = st.sampled_from([AccountState.READY, AccountState.READY, *AccountState])
counts = st.sampled_from([None, 0, 1, 16, 16, 17, 64, (1 << 40) - 1])
seconds = st.sampled_from([None, None, 0, 1, 3599, 3600, 36_001, (1 << 40) - 1])


class Drawn(NamedTuple):
    """What a provider says of a job."""

    job_id: str
    incarnation: int
    state: JobState
    end: Outcome
    owner: int
    cores: int | None
    gpus: int | None
    wall_seconds: int | None
    submitted: int | None
    started: int | None
    ended: int | None
    restarts: int | None
    vanished: bool
    observed: int


drawn = st.builds(
    Drawn,
    job_id=st.sampled_from("123"),
    incarnation=st.sampled_from([1, 1, 2]),
    state=states,
    end=st.sampled_from(ENDS),
    owner=places,
    cores=counts,
    gpus=counts,
    wall_seconds=seconds,
    submitted=times,
    started=times,
    ended=times,
    restarts=st.sampled_from([None, 0, 0, 1]),
    vanished=st.booleans(),
    observed=st.sampled_from([-HOUR, 0, HOUR]),
)


class Market(RuleBasedStateMachine):
    """Two providers with a cluster each, two users, two admins and the clock."""

    seen: ClassVar[Counter[str]] = Counter()
    calls: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.book = opened(credit=5_000_000)
        self.requests: list[str] = []
        self.deal("ann", 16, 0, 100_000)

    @rule(pause=pauses)
    def wait(self, pause: int) -> None:
        self.book.at += pause
        self.book.say("ledger", Tick())

    @rule(user=users, cores=st.sampled_from([0, 1, 16, 16, 64, 129]), gpus=st.sampled_from([0, 0, 0, 1, 9]), extra=amounts)
    def deal(self, user: str, cores: int, gpus: int, extra: int) -> None:
        """Clusters are heard of, somebody asks and takes the best."""
        for cluster in CLUSTERS:
            self.book.say("second", Decision(name=cluster, vetting=Vetting.APPROVED, note=""))
            tell(self.book, cluster)
        self.ask(user, cores, gpus, None)
        if self.requests:
            order = RentalOrder(request=self.requests[-1], cores=cores, gpus=gpus, extra_limit=extra)
            self.book.say(user, order)

    @rule(user=users, cores=st.integers(-1, 130), gpus=st.integers(0, 9), walltime=seconds)
    def ask(self, user: str, cores: int, gpus: int, walltime: int | None) -> None:
        if cores < 0:
            return
        if self.book.say(user, Request(cores=cores, gpus=gpus, walltime_seconds=walltime)).outcomes == (EntryOutcome.ACCEPTED,):
            self.requests.append(f"r{len(self.book.story) - 1}")

    @rule(who=anybody, place=places, cores=st.integers(0, 65), walltime=seconds, extra=amounts)
    def rent(self, who: str, place: int, cores: int, walltime: int | None, extra: int) -> None:
        name = self.requests[-1 - place % len(self.requests)] if self.requests else "r1"
        offer, queue = ("", "") if place % 4 == 0 else (f"{name}-{place % 4}", "q1")
        order = RentalOrder(request="" if offer else name, offer=offer, queue=queue, cores=cores, walltime_seconds=walltime)
        self.book.say(who, dataclasses.replace(order, extra_limit=extra))

    @rule(wrong=st.sampled_from([None, *PARTIES]), place=places)
    def cancel(self, wrong: str | None, place: int) -> None:
        name = self.rental(place)
        right = self.book.rental(name).member if self.book.rentals else "ann"
        self.book.say(wrong or right or "", Cancellation(rental=name))

    @rule(wrong=st.sampled_from([None, None, None, "siteone", "sitetwo", "ann"]), place=places, state=account_states)
    def report(self, wrong: str | None, place: int, state: AccountState) -> None:
        name = self.rental(place)
        right = self.book.rental(name).provider if self.book.rentals else "siteone"
        self.book.say(wrong or right, AccountReport(rental=name, state=state))

    @rule(wrong=st.sampled_from([None, None, None, *PARTIES]), place=places, number=places)
    def renew(self, wrong: str | None, place: int, number: int) -> None:
        """A user, or somebody else, asks for another passcode, now and then with the key of the one before."""
        name = self.rental(place)
        right = self.book.rental(name).member if self.book.rentals else "ann"
        self.book.say(wrong or right or "", AccountRenewal(rental=name, sealing_key=bytes([number + 2]) * 32))

    @precondition(lambda self: self.book.rentals)
    @rule(place=places, changes=st.lists(drawn, min_size=1, max_size=4))
    def observe(self, place: int, changes: list[Drawn]) -> None:
        """A provider tells of jobs of its tenants and of others, some of it impossible."""
        rental = self.book.rental(self.rental(place))
        owners = [rental.username, rental.username, rental.username, None, "nobody", *self.usernames()]
        found = tuple(self.change(each, rental, owners) for each in changes)
        self.book.say(rental.provider, JobChanges(cluster=rental.cluster, changes=found))

    @precondition(lambda self: self.book.rentals)
    @rule(place=places, cores=counts, wall=seconds, started=times, ended=times)
    def fill_in(self, place: int, cores: int | None, wall: int | None, started: int | None, ended: int | None) -> None:
        """Accounting tells more of a job that has ended, or what became of one that was lost."""
        rental = self.book.rental(self.rental(place))
        rows = scan_all(self.book.state, f"job/{rental.cluster}/")
        for job in (decode_job(record) for _, record in rows):
            if job.owner == rental.username and job.outcome is not None:
                told = {"cores": cores, "wall_seconds": wall, "started_at": self.moment(started), "ended_at": self.moment(ended)}
                more: dict[str, Any] = {name: value for name, value in told.items() if getattr(job, name) is None}
                if job.outcome is Outcome.LOST:
                    more |= {"state": JobState.DONE, "outcome": Outcome.COMPLETED}
                observe(self.book, dataclasses.replace(job, **more))

    @precondition(lambda self: self.book.rentals)
    @rule(place=places, job_id=st.sampled_from("123"), minutes=st.integers(1, 700), outcome=st.sampled_from(list(Outcome)))
    def work(self, place: int, job_id: str, minutes: int, outcome: Outcome) -> None:
        """A job as an honest provider tells it, from its start to its end."""
        rental = self.book.rental(self.rental(place))
        job_id = f"{rental.index}.{job_id}"
        if outcome is Outcome.LOST:
            observe(self.book, run(rental, job_id, JobState.UNDETERMINED, reason="vanished"))
            return
        start = self.book.at
        observe(self.book, run(rental, job_id, started_at=start))
        self.book.at += minutes * MINUTE
        observe(self.book, run(rental, job_id, JobState.DONE, outcome=outcome, started_at=start, ended_at=self.book.at))

    @rule(who=anybody, body=st.deferred(lambda: orders))
    def administer(self, who: str, body: Body) -> None:
        """An admin decides, or somebody would like to be one."""
        admin = "root" if who in CLUSTERS.values() else who
        self.book.say(admin, body)

    @rule(cluster=clusters, cores=st.sampled_from([0, 1, 20_000, 10_000_000, 1 << 53, 1 << 60]), used=st.integers(0, 128))
    def tell(self, cluster: str, cores: int, used: int) -> None:
        """A provider has other prices, and other jobs."""
        rates = Rates(cpu_core_per_hour=cores, gpu_core_per_hour=cores)
        self.book.say(CLUSTERS[cluster], Registration(cluster=cluster, login_address="x", rates=rates))
        tell(self.book, cluster, cores_used=used, cores_available=max(0, 64 - used), gpus_used=min(used, 8))

    @invariant()
    def nothing_is_overdue_that_a_tick_saw(self) -> None:
        for name in self.book.rentals[-3:]:
            self.book.check_rental(name)

    def teardown(self) -> None:
        """At last everybody is silent, and time alone brings every rental to its end."""
        self.book.check_all()
        for pause in (0, 8 * DAY, 9 * DAY, 366 * DAY, 366 * DAY):
            self.book.at += pause
            self.book.say("ledger", Tick())
        self.book.check_all()
        assert {self.book.rental(name).state for name in self.book.rentals} <= {RentalState.ENDED}
        assert [self.book.account(name)[1] for name in PARTIES] == [0] * len(PARTIES)
        assert self.book.replayed() == self.book.digest()
        Market.seen.update(self.book.seen)
        Market.calls += len(self.book.story)

    def rental(self, place: int) -> str:
        """One of the rentals there are, the newest more often; a name of nothing if there is none."""
        rentals = self.book.rentals
        return rentals[-1 - place % min(len(rentals), 1 + place)] if rentals else f"l{place}"

    def usernames(self) -> list[str]:
        """Of all rentals, whosever they are."""
        return [self.book.rental(name).username for name in self.book.rentals[-4:]]

    def change(self, drawn: Drawn, rental: Rental, owners: list[str | None]) -> JobChange:
        """A job out of what was drawn; times are told relative to the ledger's."""
        state = drawn.state
        job = Job(
            cluster=rental.cluster,
            job_id=f"{rental.index}.{drawn.job_id}",
            incarnation=drawn.incarnation,
            state=state,
            outcome=Outcome.COMPLETED if state is JobState.DONE else drawn.end if state is JobState.FAILED else None,
            reason="vanished" if drawn.vanished else None,
            owner=owners[drawn.owner % len(owners)],
            cores=drawn.cores,
            gpus=drawn.gpus,
            wall_seconds=drawn.wall_seconds,
            submitted_at=self.moment(drawn.submitted),
            started_at=self.moment(drawn.started),
            ended_at=self.moment(drawn.ended),
            restarts=drawn.restarts,
        )
        return JobChange(job=job, observed_at=self.book.at + drawn.observed)

    def moment(self, before: int | None) -> int | None:
        """An instant told relative to the ledger's."""
        return None if before is None else self.book.at + before


decisions = st.builds(
    Decision,
    name=st.sampled_from(["c1", "c2", "siteone", "sitetwo", "ann"]),
    vetting=st.sampled_from([Vetting.APPROVED, Vetting.APPROVED, Vetting.SUSPENDED]),
    note=st.just(""),
)
credits_ = st.builds(Credit, member=anybody, amount=amounts, reference=st.sampled_from(["first", "a", "b", "c", "d", ""]))
parameters = st.builds(
    lambda name, value: Parameters(values=((name, value * (33 if name == "deposit_permille" else 7 * HOUR)),)),
    st.sampled_from(["deposit_permille", "rental_grace_ms", "rental_unused_ms", "correction_ms", "lost_after_ms"]),
    places,
)
watches = st.builds(JobWatch, cluster=clusters, job_id=st.sampled_from("123"), owner=st.sampled_from(["", "nobody"]))
ends = st.builds(Revocation, member=st.sampled_from(["sitetwo", "bob"]), installation=st.none(), reason=st.just(""))
rarely_ends = st.integers(0, 5).flatmap(lambda number: decisions if number else ends)
orders: st.SearchStrategy[Body] = st.one_of(decisions, credits_, parameters, parameters, watches, rarely_ends)


@contextlib.contextmanager
def no_constants_of_others() -> Iterator[None]:
    """Hypothesis likes to try constants it finds in modules that happen to be imported; here only what the strategies say is tried."""
    with mock.patch.object(HypothesisProvider, "_maybe_draw_constant", return_value=None):
        yield


def play(examples: int, steps: int, *, always_the_same: bool = True, phases: Sequence[Phase] = (Phase.generate, Phase.shrink)) -> None:
    """Runs the machine so often; each time it says about as many things as it makes steps."""
    Market.seen.clear()
    Market.calls = 0
    with no_constants_of_others():
        run_state_machine_as_test(
            Market,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                derandomize=always_the_same,
                print_blob=True,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_the_market_holds() -> None:
    """Random words from one seed. That every end, notice, correction and refusal is met is another test's matter: test_every_story."""
    play(200, 60)
    assert Market.calls > 3000
    assert sum(count for name, count in Market.seen.items() if name.startswith("ended ")) > 100


def test_the_same_words_are_said_whatever_else_is_imported() -> None:
    """In processes of their own: with nothing else, and with a module full of odd constants and another hash seed."""
    said = [_said("0", ""), _said("7", "import sys, types, tests.contract.test_settlement, tests.test_fold; ODD = 123_457")]
    assert said[0] == said[1]
    assert int(said[0].split()[0]) > 300


def _said(seed: str, before: str) -> str:
    script = f"""
{before}
import hashlib
from tests.contract.test_market_machine import Market, play
play(10, 40)
print(Market.calls, hashlib.sha256(repr(sorted(Market.seen.items())).encode()).hexdigest())
"""
    root = Path(__file__).resolve().parent.parent.parent
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True, text=True, cwd=root).stdout


@pytest.mark.full
def test_the_market_holds_for_a_million_calls() -> None:
    total = 0
    while total < CALLS:
        play(500, STEPS, always_the_same=False)
        total += Market.calls


def unlimited(_draft: object, rental: Rental, price: int) -> tuple[Rental, int]:
    """A contract that forgets the limit and the balance."""
    return dataclasses.replace(rental, charged=rental.charged + price), price


def forgetful(line: Callable[..., object]) -> Callable[..., object]:
    """A contract that forgets what it charged for a run before."""
    return lambda *arguments, **named: line(*arguments, **(named | {"before": 0, "paid": 0}))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("settlement.release", lambda *_: None),
        ("settlement.give_capacity", lambda *_, **__: None),
        ("settlement._pay", unlimited),
        ("usage.charge_run", forgetful(settlement.charge_run)),
        ("accounts._receive", lambda *_: None),
        ("settlement.pay_from_held", lambda *_, **__: None),
        ("settlement.for_provider", lambda rental: rental),
    ],
)
def test_control_a_contract_with_one_fault_is_found_out(name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"hpcbridge.contract.{name}", wrong)
    with pytest.raises((AssertionError, IntegrityError)):
        play(100, 60, phases=[Phase.generate])
