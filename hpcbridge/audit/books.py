# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""An auditor's own books: accounts and statements kept a second time, from what the members signed.

Taken as given, because a replay proves them and they move no money: which queue was granted under which username, how reports on one job
become its record, and when a rental ended. All else is computed here by docs/market.md and not by the contract's code: the rates, the
deposit, what a run costs, who pays, what is held and given back. A figure that costs money must stand in a report that the provider
signed, a rate in its registration.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpcbridge.audit.charges import Place, cost_of_run, deposit_of, rates_at
from hpcbridge.audit.verify import LogFault
from hpcbridge.contract.jobrecords import decode_job, phase_of_code
from hpcbridge.contract.parameters import PARAMETERS
from hpcbridge.contract.records import decode_word
from hpcbridge.model.clusters import Registration
from hpcbridge.model.entries import EntryOutcome, Event, EventType
from hpcbridge.model.jobs import Job, Outcome, Phase
from hpcbridge.model.market import (
    Credit,
    LineKind,
    Micro,
    Rental,
    RentalEnd,
    RentalOrder,
    Request,
    StatementLine,
    UsageLine,
)
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Body, Genesis, JobChanges, Parameters

_COSTS_MONEY = ("outcome", "cores", "gpus", "started_at", "ended_at", "wall_seconds")
_DEPOSIT, _CORRECTION, _STEP, _CAP = "deposit_permille", "correction_ms", "surcharge_bp_per_100km", "surcharge_cap_bp"
_COUNT = (_DEPOSIT, _CORRECTION, _STEP, _CAP)
"""The network parameters that a price depends on."""


@dataclass(slots=True)
class Account:
    """What a member may spend, and what is held of it."""

    balance: Micro = 0
    held: Micro = 0


@dataclass(slots=True)
class Run:
    """One incarnation of a job. `before`: its last phase before its end; `line`: what it was last charged for, of which `paid` was paid."""

    counts: bool = False
    before: Phase | None = None
    line: UsageLine | None = None
    paid: Micro = 0


@dataclass(slots=True)
class RentalBook:
    """A rental's money so far. `granted` is the rental as it was at the beginning."""

    granted: Rental
    held: Micro
    charged: Micro = 0
    refunded: Micro = 0
    not_covered: Micro = 0
    ended_at: Instant | None = None
    end: RentalEnd | None = None
    lines: list[StatementLine] = field(default_factory=list)
    runs: dict[tuple[str, int], Run] = field(default_factory=lambda: defaultdict(Run))

    def write(self, kind: LineKind, amount: Micro, *, index: int, at: Instant, usage: UsageLine | None = None) -> None:
        """Adds a line."""
        self.lines.append(StatementLine(ordinal=len(self.lines) + 1, kind=kind, index=index, at=at, amount=amount, usage=usage))


class Books:
    """Takes every entry of a log in order."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.rentals: dict[str, RentalBook] = {}
        self.credited: Micro = 0
        self._tenants: dict[tuple[str, str], RentalBook] = {}
        self._signed: dict[tuple[str, str, int | None], dict[str, set[object]]] = defaultdict(lambda: defaultdict(set))
        self._registered: dict[str, list[tuple[int, Registration]]] = defaultdict(list)
        self._asked: dict[int, Request] = {}
        self._parameters: dict[str, list[tuple[int, int]]] = {name: [(-1, PARAMETERS[name].default)] for name in _COUNT}

    def take(
        self, index: int, at: Instant, signer: str, *, body: Body | None, outcomes: tuple[EntryOutcome, ...], events: Sequence[Event]
    ) -> None:
        """One entry: what the member `signer` signed, what was accepted of it, and what it caused. LogFault where money does not add up."""
        if isinstance(body, JobChanges):
            self._note_signed(signer, body, outcomes)
        elif outcomes[:1] == (EntryOutcome.ACCEPTED,):
            self._take_body(index, body)
        for event in events:
            if event.type is EventType.RENTAL_GRANTED:
                self._grant(index, at, decode_word(Rental, event.body), audience=event.audience, order=body)
            elif event.type is EventType.RENTAL_ENDED:
                self._end(index, at, decode_word(Rental, event.body), audience=event.audience)
            elif event.type is EventType.JOB_CHANGED:
                self._job(index, at, event)

    def _take_body(self, index: int, body: Body | None) -> None:
        if isinstance(body, Credit):
            self.accounts[body.member].balance += body.amount
            self.credited += body.amount
        elif isinstance(body, Registration):
            self._registered[body.cluster].append((index, body))
        elif isinstance(body, Request):
            self._asked[index] = body
        elif isinstance(body, Genesis | Parameters):
            for name, value in body.parameters if isinstance(body, Genesis) else body.values:
                if name in self._parameters:
                    self._parameters[name].append((index, value))

    def _note_signed(self, signer: str, body: JobChanges, outcomes: Sequence[EntryOutcome]) -> None:
        """Remembers the figures of each job that may be a tenant's: of one whose owner is not told, too."""
        for change, outcome in zip(body.changes, outcomes, strict=False):
            job = change.job
            known = (body.cluster, job.job_id, job.incarnation) in self._signed
            if outcome is EntryOutcome.ACCEPTED and (known or not job.owner or (body.cluster, job.owner) in self._tenants):
                for name in _COSTS_MONEY:
                    self._signed[body.cluster, job.job_id, job.incarnation][name].add((signer, getattr(job, name)))

    def _grant(self, index: int, at: Instant, rental: Rental, *, audience: str, order: Body | None) -> None:
        if rental.member is None or audience != rental.member:
            return  # the same for its provider's eyes
        wanted = (order.cores, order.gpus, order.extra_limit) if isinstance(order, RentalOrder) else None
        if wanted != (rental.cores, rental.gpus, rental.extra_limit):
            raise LogFault(index, f"money: rental {rental.rental} is not what its user ordered")
        asked_in = int((rental.request or "r0")[1:])
        self._check_rates(index, rental, asked_in)
        deposit = deposit_of(rental, permille=self._parameter(_DEPOSIT, asked_in))
        if deposit != rental.deposit:
            raise LogFault(index, f"money: the deposit of {rental.rental} is {rental.deposit}, its rates and limit give {deposit}")
        account = self.accounts[rental.member]
        account.balance -= deposit
        account.held += deposit
        book = self.rentals[rental.rental] = self._tenants[rental.cluster, rental.username] = RentalBook(rental, deposit)
        book.write(LineKind.DEPOSIT, deposit, index=index, at=at)

    def _check_rates(self, index: int, rental: Rental, asked_in: int) -> None:
        """The rates are those the provider had signed when the request was answered, and the surcharge for the distance on top."""
        asked = self._asked[asked_in]
        registered = next(said for since, said in reversed(self._registered[rental.cluster]) if since < asked_in)
        base = next((queue.rates for queue in registered.queues if queue.name == rental.queue and queue.rates), registered.rates)
        step, cap = self._parameter(_STEP, asked_in), self._parameter(_CAP, asked_in)
        possible = () if base is None else rates_at(base, user=_place(asked), cluster=_place(registered), per_step=step, cap=cap)
        if rental.rates not in possible:
            raise LogFault(index, f"money: the rates of {rental.rental} are {rental.rates}, by registration and distance {possible}")

    def _end(self, index: int, at: Instant, rental: Rental, *, audience: str) -> None:
        if rental.member is None or audience != rental.member:
            return
        book = self.rentals[rental.rental]
        if book.ended_at is not None:
            raise LogFault(index, f"money: rental {rental.rental} ends a second time")
        account = self.accounts[rental.member]
        account.held -= book.held
        account.balance += book.held
        book.refunded, book.held, book.ended_at, book.end = book.held, 0, at, rental.end
        book.write(LineKind.REFUND, book.refunded, index=index, at=at)

    def _job(self, index: int, at: Instant, event: Event) -> None:
        previous, job = phase_of_code(event.body[0]), decode_job(event.body[1:])
        book = self._tenants.get((job.cluster, job.owner or ""))
        if book is None or event.audience != book.granted.member:
            return
        key = (job.job_id, job.incarnation or 1)
        is_new = key not in book.runs
        run = book.runs[key]
        if is_new and previous is not Phase.END:
            run.before = previous
        run.counts = run.counts or book.ended_at is None or _began_before_end(book, job)
        if job.phase not in (None, Phase.END):
            run.before = job.phase
        if job.phase is Phase.END and run.counts and job.array_pending is None:
            self._charge(index, at, book, run=run, job=job)

    def _charge(self, index: int, at: Instant, book: RentalBook, *, run: Run, job: Job) -> None:
        self._check_signed(index, book, job)
        usage = cost_of_run(job, run.before, book.granted, at=at)
        old = run.line
        if old is not None and _measured(old) == _measured(usage):
            return
        before, late = 0 if old is None else old.charge, book.ended_at is not None
        if book.ended_at is not None and at > book.ended_at + self._parameter(_CORRECTION, index):
            moved = 0
        elif usage.charge > before:
            moved = self._pay(book, usage.charge - before)
        else:
            moved = -self._pay_back(book, max(0, run.paid - usage.charge))
        book.not_covered -= 0 if old is None else old.not_covered
        run.paid += moved
        run.line = dataclasses.replace(usage, not_covered=max(0, usage.charge - run.paid))
        book.not_covered += run.line.not_covered
        kind = LineKind.CORRECTION if old is not None or late else LineKind.USAGE
        book.write(kind, moved, index=index, at=at, usage=run.line)

    def _pay(self, book: RentalBook, price: Micro) -> Micro:
        user, provider = self._parties(book)
        owed = min(price, book.granted.deposit + book.granted.extra_limit - book.charged)
        of_deposit = min(owed, book.held)
        of_balance = min(owed - of_deposit, user.balance)
        user.held -= of_deposit
        user.balance -= of_balance
        provider.balance += of_deposit + of_balance
        book.held -= of_deposit
        book.charged += of_deposit + of_balance
        return of_deposit + of_balance

    def _pay_back(self, book: RentalBook, amount: Micro) -> Micro:
        user, provider = self._parties(book)
        back = min(amount, provider.balance)
        provider.balance -= back
        user.balance += back
        book.charged -= back
        if book.ended_at is None:
            again = max(0, book.granted.deposit - book.charged) - book.held
            user.balance -= again
            user.held += again
            book.held += again
        return back

    def _parties(self, book: RentalBook) -> tuple[Account, Account]:
        return self.accounts[book.granted.member or ""], self.accounts[book.granted.provider]

    def _check_signed(self, index: int, book: RentalBook, job: Job) -> None:
        signed = self._signed[job.cluster, job.job_id, job.incarnation]
        for name in _COSTS_MONEY:
            value = getattr(job, name)
            if value not in (None, Outcome.LOST) and (book.granted.provider, value) not in signed[name]:
                raise LogFault(index, f"money: job {job.job_id} is charged for {name} {value}, which its provider never signed")

    def _parameter(self, name: str, index: int) -> int:
        return next(value for since, value in reversed(self._parameters[name]) if since < index)


def _began_before_end(book: RentalBook, job: Job) -> bool:
    """A job told after the rental's end counts if it began before; not if the provider said that there was no account."""
    begun = job.submitted_at if job.submitted_at is not None else job.started_at
    return book.end is not RentalEnd.FAILED_BY_SITE and begun is not None and begun < (book.ended_at or 0)


def _place(said: Request | Registration) -> Place | None:
    """Where somebody says to be."""
    north, east = said.latitude_microdegrees, said.longitude_microdegrees
    return None if north is None or east is None else (north, east)


def _measured(line: UsageLine) -> tuple[object, ...]:
    return (line.outcome, line.core_seconds, line.gpu_seconds)
