# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Every way a rental ends, everything that is noticed or corrected, and every reason for which the market refuses: a story for each.

A story leaves the book so that any other one can follow: its rentals have ended, and everybody takes part again. So each is told alone, and
all of them in one log.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hpcbridge.contract.market import stored_offer, stored_request
from hpcbridge.contract.parameters import PARAMETERS
from hpcbridge.contract.state import Effects
from hpcbridge.model.clusters import ClusterState, Program, QueueOffer, Registration, Vetting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.jobs import JobState, Outcome
from hpcbridge.model.market import (
    MAX_MICRO,
    AccountRenewal,
    AccountReport,
    AccountState,
    Cancellation,
    Credit,
    Excess,
    Rental,
    RentalEnd,
    RentalOrder,
    RentalState,
    Request,
)
from hpcbridge.model.transactions import Body, Decision, Document, Documents, Gap, JobWatch, Parameters, Tick
from tests.contract.market_book import CLUSTERS, HOUR, MINUTE, Book, observe, rented, run, tell
from tests.contract.market_sites import RATES
from tests.contract.rental_book import KEY

DAY = 24 * HOUR
DONE, QUEUED, RUNNING, LOST = JobState.DONE, JobState.QUEUED, JobState.RUNNING, JobState.UNDETERMINED
GROMACS = Program(name="gromacs", version="2025.1")
OTHER_KEY = bytes([KEY[0] ^ 1]) + KEY[1:]
Story = Callable[[Book], None]
Refusal = Callable[[Book], Effects]


def begin(book: Book) -> None:
    """Both clusters offer what they offer in every story."""
    for cluster, provider in CLUSTERS.items():
        book.accepted(provider, registration(cluster))
        tell(book, cluster)


def registration(cluster: str, **changes: Any) -> Registration:
    values: dict[str, Any] = {"cluster": cluster, "login_address": f"login.{cluster}", "rates": RATES}
    return Registration(**(values | changes))


def start(book: Book, user: str = "ann", **wanted: Any) -> Rental:
    begin(book)
    return rented(book, user, **wanted)


def wait(book: Book, milliseconds: int) -> None:
    book.at += milliseconds
    book.accepted("ledger", Tick())


def job(rental: Rental, number: int = 1, state: JobState = RUNNING, **fields: Any) -> Any:
    return run(rental, f"{rental.index}.{number}", state, **fields)


def worked(book: Book, rental: Rental, number: int = 1, *, hours: int = 1, **fields: Any) -> None:
    """A job from its start to its end."""
    began = book.at
    observe(book, job(rental, number, started_at=began, submitted_at=began))
    book.at += hours * HOUR
    told = {"started_at": began, "submitted_at": began, "ended_at": book.at} | fields
    observe(book, job(rental, number, DONE, **told))


def set_to(book: Book, name: str, value: int) -> None:
    book.accepted("root", Parameters(values=((name, value),)))


def back(book: Book, *names: str) -> None:
    for name in names:
        book.accepted("root", Parameters(values=((name, PARAMETERS[name].default),)))


def decide(book: Book, name: str, vetting: Vetting) -> None:
    book.accepted("root", Decision(name=name, vetting=vetting, note=""))


def completed(book: Book) -> None:
    rental = start(book)
    book.accepted(rental.provider, AccountReport(rental=rental.rental, state=AccountState.READY))
    book.accepted("ann", JobWatch(cluster=rental.cluster, job_id="1", owner=rental.username))
    worked(book, rental)
    worked(book, rental, 2, outcome=Outcome.NODE_FAILED)
    wait(book, 2 * HOUR)
    book.accepted(rental.provider, AccountReport(rental=rental.rental, state=AccountState.CLOSED))


def cancelled(book: Book) -> None:
    rental = start(book, "bob")
    book.accepted("bob", Cancellation(rental=rental.rental))


def expired(book: Book) -> None:
    start(book)
    wait(book, 8 * DAY)


def failed_by_site(book: Book) -> None:
    rental = start(book)
    book.accepted(rental.provider, AccountReport(rental=rental.rental, state=AccountState.FAILED, text="no home left"))


def overdue(book: Book) -> None:
    rental = start(book)
    observe(book, job(rental, started_at=book.at))
    wait(book, 9 * DAY)


def cluster_ended(book: Book) -> None:
    rental = start(book)
    decide(book, rental.cluster, Vetting.SUSPENDED)
    wait(book, 0)
    decide(book, rental.cluster, Vetting.APPROVED)


def member_ended(book: Book) -> None:
    start(book)
    decide(book, "ann", Vetting.SUSPENDED)
    wait(book, 0)
    decide(book, "ann", Vetting.APPROVED)


ENDS: Mapping[RentalEnd, Story] = {
    RentalEnd.COMPLETED: completed,
    RentalEnd.CANCELLED: cancelled,
    RentalEnd.EXPIRED: expired,
    RentalEnd.FAILED_BY_SITE: failed_by_site,
    RentalEnd.OVERDUE: overdue,
    RentalEnd.CLUSTER_ENDED: cluster_ended,
    RentalEnd.MEMBER_ENDED: member_ended,
}


def too_many_cores(book: Book) -> None:
    rental = start(book)
    worked_together = [job(rental, number, started_at=book.at) for number in (1, 2)]
    observe(book, *worked_together)
    book.at += MINUTE
    observe(book, *(job(rental, number, DONE, started_at=book.at - MINUTE, ended_at=book.at) for number in (1, 2)))
    wait(book, 2 * HOUR)


def too_many_gpus(book: Book) -> None:
    rental = start(book)
    worked(book, rental, gpus=0)
    observe(book, job(rental, 2, started_at=book.at, gpus=1))
    book.at += HOUR
    observe(book, job(rental, 2, DONE, started_at=book.at - HOUR, ended_at=book.at, gpus=1))
    wait(book, 2 * HOUR)


def too_long(book: Book) -> None:
    rental = start(book, walltime_seconds=3600)
    worked(book, rental, hours=2)
    wait(book, 2 * HOUR)


def after_the_end(book: Book) -> None:
    rental = start(book)
    book.accepted("ann", Cancellation(rental=rental.rental))
    book.at += HOUR
    worked(book, rental)


NOTICES: Mapping[Excess, Story] = {
    Excess.CORES: too_many_cores,
    Excess.GPUS: too_many_gpus,
    Excess.WALLTIME: too_long,
    Excess.JOBS: after_the_end,
}


def lost_and_found(book: Book) -> None:
    """Given up while the rental is open, and told when it is settled."""
    rental = start(book)
    set_to(book, "lost_after_ms", HOUR)
    began = book.at
    observe(book, job(rental, started_at=began))
    observe(book, job(rental, 1, LOST, reason="vanished", started_at=began))
    wait(book, 2 * HOUR)
    wait(book, 2 * HOUR)
    observe(book, job(rental, 1, DONE, started_at=began, ended_at=began + HOUR))
    back(book, "lost_after_ms")


def unknown_and_told(book: Book) -> None:
    rental = start(book)
    observe(book, job(rental, started_at=book.at))
    observe(book, job(rental, 1, DONE, started_at=book.at))
    book.at += HOUR
    observe(book, job(rental, 1, DONE, started_at=book.at - HOUR, ended_at=book.at))
    wait(book, 2 * HOUR)


def charged_and_paid_back(book: Book) -> None:
    rental = start(book)
    worked(book, rental, hours=2)
    observe(book, job(rental, 1, DONE, started_at=book.at - 2 * HOUR, submitted_at=book.at - 2 * HOUR, ended_at=book.at, wall_seconds=60))
    wait(book, 2 * HOUR)


def told_late(book: Book) -> None:
    rental = start(book, extra_limit=50_000)
    began = book.at
    wait(book, 8 * DAY)
    observe(book, job(rental, 1, DONE, submitted_at=began, started_at=began, ended_at=began + 4 * HOUR))


def told_too_late(book: Book) -> None:
    rental = start(book)
    began = book.at
    book.at += HOUR
    book.accepted("ann", Cancellation(rental=rental.rental))
    book.at += 61 * DAY
    observe(book, job(rental, 1, DONE, submitted_at=began, started_at=began, ended_at=began + HOUR))


CORRECTIONS: Mapping[str, Story] = {
    "lost and found": lost_and_found,
    "unknown and told": unknown_and_told,
    "charged and paid back": charged_and_paid_back,
    "told late": told_late,
    "told too late": told_too_late,
}


def another_passcode(book: Book) -> None:
    rental = start(book)
    book.accepted(rental.provider, AccountReport(rental=rental.rental, state=AccountState.READY))
    book.accepted("ann", AccountRenewal(rental=rental.rental, sealing_key=OTHER_KEY))
    book.accepted("ann", Cancellation(rental=rental.rental))


def other_words(book: Book) -> None:
    """What the market needs of the rest: documents, a gap, a queue that drifts, missing programs."""
    begin(book)
    document = Document(digest=book.at.to_bytes(32, "big"), kind="identity", title="a card")
    book.accepted("ann", Documents(documents=(document,)))
    book.accepted("siteone", Gap(cluster="c1", reason="spool full", since_at=1, until_at=2, count=3))
    book.accepted("siteone", registration("c1", queues=(QueueOffer(name="batch", max_cores=1000, gpus=8, gpu_type="A100"),)))
    book.at += MINUTE
    tell(book, "c1")
    book.accepted("ann", Request(cores=1, programs=(GROMACS,), gpus=1, gpu_type="a100"))
    begin(book)


OTHERS: Mapping[str, Story] = {"another passcode": another_passcode, "other words": other_words}


def asked(book: Book, user: str = "ann", **wanted: Any) -> str:
    begin(book)
    book.accepted(user, Request(**({"cores": 16} | wanted)))
    return f"r{book.last}"


def order(request: str, **changes: Any) -> RentalOrder:
    return dataclasses.replace(RentalOrder(request=request, cores=16), **changes)


def offer(request: str, **changes: Any) -> RentalOrder:
    return order("", offer=f"{request}-1", queue="q1", **changes)


def refuse_order(change: Callable[[Book, str], Body], **wanted: Any) -> Refusal:
    """An order of ann's, after something about it was changed."""
    return lambda book: book.say("ann", change(book, asked(book, **wanted)))


def cluster_of(book: Book, request: str) -> str:
    found = stored_offer(book.state, f"{request}-1")
    return "" if found is None else found.cluster


def changed_since(change: Callable[[Book, str], None], undo: Callable[[Book, str], None], **wanted: Any) -> Refusal:
    """An order for an offer whose cluster is not any more what it was."""

    def story(book: Book) -> Effects:
        request = asked(book, **wanted)
        cluster = cluster_of(book, request)
        change(book, cluster)
        try:
            return book.say("ann", offer(request))
        finally:
            undo(book, cluster)

    return story


def with_rental(body: Callable[[Book, Rental], tuple[str, Body]]) -> Refusal:
    """Something about an open rental of ann's, which is given back then."""

    def story(book: Book) -> Effects:
        rental = start(book)
        who, what = body(book, rental)
        effects = book.say(who, what)
        if book.rental(rental.rental).state in (RentalState.GRANTED, RentalState.READY):
            book.accepted("ann", Cancellation(rental=rental.rental))
        return effects

    return story


def with_parameter(name: str, value: int, body: Callable[[Book], Effects]) -> Refusal:
    def story(book: Book) -> Effects:
        set_to(book, name, value)
        try:
            return body(book)
        finally:
            back(book, name)

    return story


def suspended(book: Book) -> Effects:
    decide(book, "ann", Vetting.SUSPENDED)
    effects = book.say("ann", Request(cores=1))
    decide(book, "ann", Vetting.APPROVED)
    return effects


def outdated(book: Book) -> Effects:
    request = asked(book)
    record = stored_request(book.state, request)
    book.at = book.at if record is None else record.record.expires_at
    return book.say("ann", offer(request))


def no_capacity(book: Book) -> Effects:
    request, other = asked(book, cores=64), asked(book, cores=64)
    book.accepted("ann", offer(request, cores=64))
    first = book.rentals[-1]
    mine = next(number for number in (1, 2) if _cluster(book, other, number) == book.rental(first).cluster)
    effects = book.say("ann", order("", offer=f"{other}-{mine}", queue="q1", cores=64))
    book.accepted("ann", Cancellation(rental=first))
    return effects


def _cluster(book: Book, request: str, number: int) -> str:
    found = stored_offer(book.state, f"{request}-{number}")
    return "" if found is None else found.cluster


def ready(book: Book, rental: Rental) -> None:
    book.accepted(rental.provider, AccountReport(rental=rental.rental, state=AccountState.READY))


def ended_of(book: Book) -> Rental:
    rental = start(book)
    book.accepted("ann", Cancellation(rental=rental.rental))
    return rental


def no_limit(book: Book) -> Effects:
    for cluster in CLUSTERS:
        tell(book, cluster, max_walltime_seconds=None)
    book.accepted("ann", Request(cores=16))
    effects = book.say("ann", offer(f"r{book.last}"))
    begin(book)
    return effects


def in_use(book: Book) -> Effects:
    rental = start(book)
    observe(book, job(rental))
    effects = book.say("ann", Cancellation(rental=rental.rental))
    observe(book, job(rental, 1, DONE, started_at=book.at, ended_at=book.at))
    wait(book, 2 * HOUR)
    return effects


def watched(book: Book) -> Effects:
    begin(book)
    decide(book, "c1", Vetting.SUSPENDED)
    effects = book.say("root", JobWatch(cluster="c1", job_id="1"))
    decide(book, "c1", Vetting.APPROVED)
    return effects


def asked_for_a_program(book: Book) -> Effects:
    begin(book)
    for cluster, provider in CLUSTERS.items():
        book.accepted(provider, registration(cluster, programs=(GROMACS,)))
    book.accepted("ann", Request(cores=16, programs=(GROMACS,)))
    request = f"r{book.last}"
    begin(book)
    return book.say("ann", offer(request))


def silent(book: Book) -> Effects:
    request = asked(book)
    set_to(book, "heard_within_ms", MINUTE)
    book.at += 2 * MINUTE
    effects = book.say("ann", offer(request))
    back(book, "heard_within_ms")
    return effects


def unrented(body: Callable[[Rental], tuple[str, Body]]) -> Refusal:
    def story(book: Book) -> Effects:
        return book.say(*body(ended_of(book)))

    return story


def close(book: Book, cluster: str) -> None:
    book.accepted(CLUSTERS[cluster], registration(cluster, queues=(QueueOffer(name="gone"),)))


def shrink(book: Book, cluster: str) -> None:
    tell(book, cluster, max_cores=8)


def nothing(_book: Book, _cluster: str) -> None:
    """What the next story begins with undoes it."""


def credit(amount: int = 5, member: str = "ann", reference: str = "again") -> Refusal:
    return lambda book: book.say("root", Credit(member=member, amount=amount, reference=reference))


def twice(book: Book) -> Effects:
    reference = f"bill {book.at} {book.last}"
    book.accepted("root", Credit(member="ann", amount=5, reference=reference))
    return book.say("root", Credit(member="ann", amount=5, reference=reference))


def request(**wanted: Any) -> Refusal:
    return lambda book: book.say("ann", Request(**({"cores": 1} | wanted)))


def say(who: str, body: Body) -> Refusal:
    return lambda book: book.say(who, body)


def renewal(key: bytes) -> Refusal:
    def story(book: Book) -> Effects:
        request = asked(book)
        book.accepted("ann", order(request, sealing_key=KEY))
        rental = book.rental(book.rentals[-1])
        ready(book, rental)
        effects = book.say("ann", AccountRenewal(rental=rental.rental, sealing_key=key))
        book.accepted("ann", Cancellation(rental=rental.rental))
        return effects

    return story


def of_other_member(book: Book) -> Effects:
    return book.say("bob", offer(asked(book)))


def moved(book: Book) -> Effects:
    """A job of a tenant that is told to be somebody else's."""
    rental = start(book)
    observe(book, job(rental))
    effects = observe(book, job(rental, owner="nobody"))
    observe(book, job(rental, 1, DONE, started_at=book.at, ended_at=book.at))
    wait(book, 2 * HOUR)
    return effects


REFUSALS: Mapping[str, tuple[EntryOutcome, Refusal]] = {
    "another role": (EntryOutcome.NOT_PERMITTED, say("ann", Tick())),
    "a member that is suspended": (EntryOutcome.NOT_APPROVED, suspended),
    "another provider's cluster": (EntryOutcome.NOT_PERMITTED, say("sitetwo", JobWatch(cluster="c1", job_id="1"))),
    "a cluster that is not there": (EntryOutcome.NOT_FOUND, say("siteone", ClusterState(cluster="c9", observed_at=1))),
    "a name that is taken": (EntryOutcome.ALREADY_EXISTS, say("sitetwo", registration("c1"))),
    "no cluster to watch": (EntryOutcome.NOT_FOUND, say("root", JobWatch(cluster="c9", job_id="1"))),
    "a tenant of nobody": (EntryOutcome.NOT_PERMITTED, say("ann", JobWatch(cluster="c1", job_id="1", owner="nobody"))),
    "somebody else's offer": (EntryOutcome.NOT_FOUND, of_other_member),
    "somebody else's rental": (EntryOutcome.NOT_FOUND, with_rental(lambda _, rental: ("bob", Cancellation(rental=rental.rental)))),
    "somebody else's account": (
        EntryOutcome.NOT_FOUND,
        with_rental(
            lambda _, rental: (
                next(name for name in CLUSTERS.values() if name != rental.provider),
                AccountReport(rental=rental.rental, state=AccountState.READY),
            )
        ),
    ),
    "no id of a job": (EntryOutcome.MALFORMED, say("root", JobWatch(cluster="c1", job_id="?"))),
    "a cluster that is suspended": (EntryOutcome.NOT_APPROVED, watched),
    "credit of nothing": (EntryOutcome.MALFORMED, credit(0)),
    "credit without a reference": (EntryOutcome.MALFORMED, credit(reference=" ")),
    "credit for nobody": (EntryOutcome.NOT_FOUND, credit(member="nobody")),
    "credit for an admin": (EntryOutcome.NOT_APPROVED, credit(member="second")),
    "credit twice": (EntryOutcome.ALREADY_EXISTS, twice),
    "more credit than there can be": (EntryOutcome.MALFORMED, credit(MAX_MICRO)),
    "a request for nothing": (EntryOutcome.MALFORMED, request(cores=0)),
    "requests without end": (EntryOutcome.TOO_MANY, with_parameter("requests_per_day", 0, request())),
    "neither offer nor request": (EntryOutcome.MALFORMED, refuse_order(lambda _, name: order(name, offer=f"{name}-1", queue="q1"))),
    "more cores than asked for": (EntryOutcome.MALFORMED, refuse_order(lambda _, name: offer(name, cores=17))),
    "no key": (EntryOutcome.MALFORMED, refuse_order(lambda _, name: offer(name, sealing_key=bytes(32)))),
    "offers that are over": (EntryOutcome.OUTDATED, outdated),
    "no such offer": (EntryOutcome.NOT_FOUND, refuse_order(lambda _, name: order("", offer=f"{name}-9", queue="q1"))),
    "no such queue": (EntryOutcome.NOT_FOUND, refuse_order(lambda _, name: order("", offer=f"{name}-1", queue="q9"))),
    "a request without offers": (EntryOutcome.NOT_FOUND, refuse_order(lambda _, name: order(name), cores=1000)),
    "longer than the queue's limit": (EntryOutcome.MALFORMED, refuse_order(lambda _, name: offer(name, walltime_seconds=36_001))),
    "no walltime where none is the limit": (EntryOutcome.MALFORMED, no_limit),
    "a limit beyond all money": (EntryOutcome.MALFORMED, refuse_order(lambda _, name: offer(name, extra_limit=MAX_MICRO - 1))),
    "none of the best": (EntryOutcome.MALFORMED, refuse_order(lambda _, name: order(name, extra_limit=MAX_MICRO - 1))),
    "a cluster that left": (
        EntryOutcome.NOT_APPROVED,
        changed_since(lambda book, name: decide(book, name, Vetting.SUSPENDED), lambda book, name: decide(book, name, Vetting.APPROVED)),
    ),
    "a cluster that is silent": (EntryOutcome.OUTDATED, silent),
    "a queue that is closed": (EntryOutcome.CLOSED, changed_since(close, nothing)),
    "a queue that shrank": (EntryOutcome.OUTDATED, changed_since(shrink, nothing)),
    "a program that is gone": (EntryOutcome.OUTDATED, asked_for_a_program),
    "the last cores": (EntryOutcome.NO_CAPACITY, no_capacity),
    "no money": (
        EntryOutcome.NO_CREDIT,
        lambda book: (
            book.say("siteone", registration("c1", rates=dataclasses.replace(RATES, cpu_core_per_hour=1 << 50))),
            book.say("sitetwo", registration("c2", rates=dataclasses.replace(RATES, cpu_core_per_hour=1 << 50))),
            book.accepted("ann", Request(cores=1)),
            book.say("ann", offer(f"r{book.last}", cores=1)),
        )[-1],
    ),
    "too many rentals": (
        EntryOutcome.TOO_MANY,
        with_parameter("rentals_open", 0, refuse_order(lambda _, name: offer(name))),
    ),
    "in use": (EntryOutcome.ILLEGAL_TRANSITION, in_use),
    "over": (EntryOutcome.ILLEGAL_TRANSITION, unrented(lambda rental: ("ann", Cancellation(rental=rental.rental)))),
    "a long text": (
        EntryOutcome.MALFORMED,
        with_rental(lambda _, rental: (rental.provider, AccountReport(rental=rental.rental, state=AccountState.READY, text="x" * 257))),
    ),
    "an account closed while it is open": (
        EntryOutcome.ILLEGAL_TRANSITION,
        with_rental(lambda _, rental: (rental.provider, AccountReport(rental=rental.rental, state=AccountState.CLOSED))),
    ),
    "an account after the end": (
        EntryOutcome.ILLEGAL_TRANSITION,
        unrented(lambda rental: (rental.provider, AccountReport(rental=rental.rental, state=AccountState.READY))),
    ),
    "a passcode to no key": (EntryOutcome.MALFORMED, renewal(bytes(32))),
    "a passcode to the same key": (EntryOutcome.MALFORMED, renewal(KEY)),
    "a passcode of no account": (
        EntryOutcome.ILLEGAL_TRANSITION,
        with_rental(lambda _, rental: ("ann", AccountRenewal(rental=rental.rental, sealing_key=OTHER_KEY))),
    ),
    "passcodes without end": (EntryOutcome.TOO_MANY, with_parameter("passcodes_per_day", 0, renewal(OTHER_KEY))),
    "a job of another": (EntryOutcome.ILLEGAL_TRANSITION, moved),
}
"""By what is wrong: code and story. The last entry that is refused in it is the one meant."""


def every_story() -> list[tuple[str, Callable[[Book], object]]]:
    """All of them by name, in one order."""
    stories: list[tuple[str, Callable[[Book], object]]] = [(f"end {end}", story) for end, story in ENDS.items()]
    stories += [(f"notice {excess}", story) for excess, story in NOTICES.items()]
    stories += [(f"correction {name}", story) for name, story in CORRECTIONS.items()]
    stories += list(OTHERS.items())
    return stories + [(f"refusal {name}", story) for name, (_, story) in REFUSALS.items()]
