# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A market without envelopes: what is said is applied to a state in memory, and after every entry the books are held against each other.

The checks know the contract's records and none of its ways: they add up what stands on accounts, in rentals and in statements.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hpcbridge.contract import apply
from hpcbridge.contract.accounts import credited, money_fault
from hpcbridge.contract.capacity import all_held
from hpcbridge.contract.market import count_open, open_rentals_of_member, rental_key, statement_prefix, stored_rental
from hpcbridge.contract.records import StoredAccount, StoredMember, decode_stored, decode_word, encode_stored
from hpcbridge.contract.settlement import tally_of
from hpcbridge.contract.state import Effects, MemoryState, effects_hash, scan_all
from hpcbridge.contract.usage import StoredUsage
from hpcbridge.model.clusters import ClusterState, Rates, Registration, SchedulerInfo, Vetting
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller, Role, Submitter
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import MAX_MICRO, Credit, LineKind, Rental, RentalOrder, RentalState, Request, StatementLine
from hpcbridge.model.transactions import Body, Decision, JobChange, JobChanges
from hpcbridge.wire.convert import payload_type_of
from tests.contract.market_sites import RATES, queue
from tests.fold_world import START_AT

MINUTE = 60_000
HOUR = 3_600_000
PARTIES = {
    "root": Role.ADMIN,
    "second": Role.ADMIN,
    "ledger": Role.SYSTEM_NODE,
    "ann": Role.USER,
    "bob": Role.USER,
    "siteone": Role.PROVIDER,
    "sitetwo": Role.PROVIDER,
}
USERS = ("ann", "bob")
CLUSTERS = {"c1": "siteone", "c2": "sitetwo"}


class Book:
    """The state, and the story that led to it. `seen` counts what has come about, so that a test can say what it tried."""

    def __init__(self) -> None:
        self.state: Any = MemoryState()
        self.last = 0
        """Index of the newest entry."""
        self.story: list[tuple[Caller, Body, int]] = []
        self.at = START_AT
        self.seen: Counter[str] = Counter()
        self.refunds: Counter[str] = Counter()
        self.credits: Counter[str] = Counter()
        self.rentals: list[str] = []
        self._found()

    def _found(self) -> None:
        for name, role in PARTIES.items():
            member = StoredMember(role=role, vetting=Vetting.APPROVED, revoked=False, attributes=(), enrolled_at=0)
            self.state.write([(f"member/{name}", encode_stored(member))])
        self.state.write([("contract/version", (2).to_bytes(8, "big"))])

    def say(self, who: str, body: Body) -> Effects:
        """One entry, with every check that can be made of it alone."""
        effects = self.enter(who, body)
        self._note(body, effects)
        if EntryOutcome.ACCEPTED not in effects.outcomes:
            allowed = {f"heard/{body.cluster}"} if isinstance(body, JobChanges) else set()
            changed = {key for key, _ in effects.writes if not key.startswith("epoch/")}
            assert changed <= allowed, "what is refused changes nothing but its number"
            assert not effects.events
        assert money_fault(self.state) == ""
        for event in effects.events:
            if event.audience in CLUSTERS.values():
                told = event.body + event.subject.encode()
                assert not any(name.encode() in told for name in USERS), "a provider learns no user's name"
        for key, _ in effects.writes:
            if key.startswith("rental/"):
                self.check_rental(f"l{int(key.removeprefix('rental/'))}")
        return effects

    def enter(self, who: str, body: Body) -> Effects:
        """Makes the next entry."""
        caller = Caller(submitter=Submitter(who, "main"), role=PARTIES[who])
        self.last = len(self.story)
        effects = apply(self.state, caller, payload_type_of(body), body=body, at=self.at, index=self.last)
        self.story.append((caller, body, self.at))
        self.state.write(effects.writes)
        return effects

    def accepted(self, who: str, body: Body) -> Effects:
        """As `say`, for what has to be accepted whole."""
        effects = self.say(who, body)
        assert set(effects.outcomes) == {EntryOutcome.ACCEPTED}, effects.reasons
        return effects

    def rental(self, name: str) -> Rental:
        """As the ledger knows it."""
        found = stored_rental(self.state, name)
        assert found is not None
        return found

    def statement(self, name: str) -> list[StatementLine]:
        """The lines of a rental."""
        return [decode_word(StatementLine, data) for _, data in scan_all(self.state, statement_prefix(name))]

    def account(self, name: str) -> tuple[int, int]:
        """Balance and what is held."""
        data = self.state.get(f"account/{name}")
        account = StoredAccount(balance=0, held=0) if data is None else decode_stored(StoredAccount, data)
        return account.balance, account.held

    def check_rental(self, name: str) -> None:
        """What one rental says of its money is what its statement adds up to."""
        rental, lines = self.rental(name), self.statement(name)
        sums: Counter[LineKind] = Counter()
        for line in lines:
            sums[line.kind] += line.amount
        assert [line.ordinal for line in lines] == list(range(1, len(lines) + 1))
        assert [line.index for line in lines] == sorted(line.index for line in lines)
        assert sums[LineKind.DEPOSIT] == rental.deposit
        assert sums[LineKind.USAGE] + sums[LineKind.CORRECTION] == rental.charged
        assert 0 <= rental.charged <= rental.deposit + rental.extra_limit
        self._check_runs(rental, lines)
        refunds = [line for line in lines if line.kind is LineKind.REFUND]
        if rental.state is RentalState.ENDED:
            assert len(refunds) == 1, "a deposit is released exactly once"
            assert (rental.held, rental.refunded, rental.settled_index) == (0, refunds[0].amount, refunds[0].index)
            before = sum(line.amount for line in lines[: refunds[0].ordinal - 1] if line.kind is not LineKind.DEPOSIT)
            assert rental.refunded == max(0, rental.deposit - before)
        else:
            assert not refunds
            assert (rental.held, rental.refunded) == (max(0, rental.deposit - rental.charged), 0)

    def check_all(self) -> None:
        """Accounts, queues and tallies are the sums of what rentals and jobs say."""
        rentals = [self.rental(name) for name in self.rentals]
        held: Counter[str] = Counter()
        capacity: Counter[tuple[str, str]] = Counter()
        charged: Counter[str] = Counter()
        for rental in rentals:
            held[rental.member or ""] += rental.held
            charged[rental.member or ""] -= rental.charged
            charged[rental.provider] += rental.charged
            tally = tally_of(self.state, rental.rental)
            capacity[rental.cluster, rental.queue] += rental.cores if tally.capacity else 0
            assert not (tally.capacity and rental.state is RentalState.ENDED)
            rows = self._usage(rental.rental)
            assert (tally.open, tally.cores, tally.gpus) == (
                sum(row.open for row in rows), sum(row.cores for row in rows), sum(row.gpus for row in rows)
            )  # fmt: skip
            assert sum(row.paid for row in rows) == rental.charged
            assert tally.lines == len(self.statement(rental.rental))
        still_open = Counter(rental.member for rental in rentals if rental.state is not RentalState.ENDED)
        for name in PARTIES:
            assert count_open(self.state, name) == len(open_rentals_of_member(self.state, name)) == still_open[name]
            assert self.account(name) == (self.credits[name] + charged[name] - held[name], held[name])
        found = {(cluster, name): cores for cluster, queues in all_held(self.state).items() for name, (cores, _) in queues.items()}
        assert found == {place: cores for place, cores in capacity.items() if cores}
        assert sum(self.credits.values()) == credited(self.state)

    def replayed(self) -> bytes:
        """Digest of the state that the story leads to from an empty one."""
        again = Book.__new__(Book)
        again.state = MemoryState()
        again._found()
        for index, (caller, body, at) in enumerate(self.story):
            again.state.write(apply(again.state, caller, payload_type_of(body), body=body, at=at, index=index).writes)
        return again.digest()

    def digest(self) -> bytes:
        """Over the whole state."""
        return effects_hash([(key, value) for key, value in self.state.items() if value is not None], ())

    def _note(self, body: Body, effects: Effects) -> None:
        accepted = EntryOutcome.ACCEPTED in effects.outcomes
        self.seen[type(body).__name__ + ("" if accepted else " refused")] += 1
        if isinstance(body, Credit) and accepted:
            self.credits[body.member] += body.amount
        if isinstance(body, RentalOrder) and accepted:
            self.rentals.append(f"l{self.last}")
        settled = [event for event in effects.events if event.type is EventType.RENTAL_SETTLED]
        for event in settled:
            self.refunds[event.subject] += 1
            assert self.refunds[event.subject] <= 2, "a rental ends once, and both sides hear of it"
            self.seen[f"ended {self.rental(event.subject).end}"] += 1
        for event in effects.events:
            if event.type in (EventType.USAGE_NOTICED, EventType.RENTAL_CORRECTED):
                self.seen[event.type.value] += 1

    def _usage(self, name: str) -> list[StoredUsage]:
        number = rental_key(name).removeprefix("rental/")
        return [decode_stored(StoredUsage, data) for _, data in scan_all(self.state, f"usage/{number}/")]

    def _check_runs(self, rental: Rental, lines: list[StatementLine]) -> None:
        """Nothing is charged twice: what was paid for a run is its price, less what its newest line says was not covered."""
        runs: dict[tuple[str, int], list[StatementLine]] = {}
        for line in lines:
            if line.usage is not None:
                runs.setdefault((line.usage.job_id, line.usage.incarnation), []).append(line)
        missing = 0
        for told in runs.values():
            usages = [line.usage for line in told if line.usage is not None]
            paid = sum(line.amount for line in told)
            assert usages[-1].not_covered == max(0, usages[-1].charge - paid)
            assert 0 <= paid <= max(usage.charge for usage in usages)
            missing += usages[-1].not_covered
        assert int(tally_of(self.state, rental.rental).missing) == missing
        assert rental.not_covered == min(missing, MAX_MICRO - 1)


def opened(*, credit: int = 10_000_000, rates: Rates = RATES, book: Book | None = None, **figures: Any) -> Book:
    """Two clusters with 64 free cores each, and two users with money."""
    book = book or Book()
    for name, provider in CLUSTERS.items():
        book.accepted(provider, Registration(cluster=name, login_address=f"login.{name}", rates=rates))
        book.accepted("root", Decision(name=name, vetting=Vetting.APPROVED, note=""))
        tell(book, name, **figures)
    for name in USERS:
        book.accepted("root", Credit(member=name, amount=credit, reference="first"))
    return book


def tell(book: Book, cluster: str, **figures: Any) -> Effects:
    """A sample of a cluster now."""
    values = {"gpus_total": 8, "max_walltime_seconds": 10 * 3600} | figures
    scheduler = SchedulerInfo(name="slurm", version=None, reachable=True)
    body = ClusterState(cluster=cluster, observed_at=book.at, queues=(queue(cluster=cluster, **values),), scheduler=scheduler)
    return book.say(CLUSTERS[cluster], body)


def rented(book: Book, user: str = "ann", *, extra_limit: int = 0, **wanted: Any) -> Rental:
    """The best offer for 16 cores, or what is wanted."""
    asked = Request(**({"cores": 16} | wanted))
    book.accepted(user, asked)
    order = RentalOrder(request=f"r{book.last}", cores=asked.cores, gpus=asked.gpus, extra_limit=extra_limit)
    book.accepted(user, order)
    return book.rental(book.rentals[-1])


def run(rental: Rental, job_id: str = "1", state: JobState = JobState.RUNNING, **fields: Any) -> Job:
    """A job of a tenant that asks for just what was rented; an end is COMPLETED unless another outcome is named."""
    outcome = fields.get("outcome", Outcome.COMPLETED if state is JobState.DONE else None)
    if outcome not in (None, Outcome.COMPLETED):
        state = JobState.FAILED
    values = {"incarnation": 1, "native_state": state.value, "owner": rental.username, "cores": rental.cores, "gpus": rental.gpus}
    return Job(cluster=rental.cluster, job_id=job_id, state=state, **(values | fields | {"outcome": outcome}))


def observe(book: Book, *jobs: Job) -> Effects:
    """Jobs of one cluster, observed now."""
    changes = tuple(JobChange(job=job, observed_at=book.at) for job in jobs)
    return book.say(CLUSTERS[jobs[0].cluster], JobChanges(cluster=jobs[0].cluster, changes=changes))
