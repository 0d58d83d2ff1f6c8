# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Rentals and requests for the eyes of each: nobody finds what is not its own, and a provider finds no user."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hpcbridge.contract import marketqueries, queries, requestqueries
from hpcbridge.contract.market import (
    for_provider,
    offer_key,
    put_rental,
    rental_key,
    rental_of_username,
    request_key,
    request_of_offer,
    statement_line,
    stored_rental,
)
from hpcbridge.contract.state import Draft
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import Rates
from hpcbridge.model.identities import Role
from hpcbridge.model.market import (
    AccountReport,
    AccountState,
    Cancellation,
    LineKind,
    Rental,
    RentalOrder,
    RentalState,
    Request,
    StatementLine,
)
from hpcbridge.model.transactions import JobWatch
from hpcbridge.wire.convert import decode, encode
from tests.fold_world import Party, World, job, job_changes

LINE = StatementLine(ordinal=1, kind=LineKind.DEPOSIT, index=7, at=8, amount=90)


def rental(number: int = 7, state: RentalState = RentalState.READY, *, member: str = "ann") -> Rental:
    return Rental(
        rental=f"l{number}",
        request="r5",
        offer="r5-1",
        member=member,
        submitter=f"{member}/main",
        username=f"hx{number:07d}",
        cluster="c1",
        provider="siteone",
        login_address="login.c1.example",
        queue="batch",
        cores=4,
        gpus=0,
        walltime_seconds=None,
        limit_seconds=3600,
        to_install=(),
        rates=Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=0),
        price_version=1,
        deposit=90,
        extra_limit=0,
        sealing_key=b"k" * 32,
        state=state,
        end=None,
        index=number,
        granted_at=8,
        expires_at=9,
        latest_at=10,
        ready_at=None,
        held=90,
    )


def put(world: World, *rentals: Rental) -> None:
    draft = Draft(world.state)
    for each in rentals:
        put_rental(draft, each)
        statement_line(draft, each.rental, LINE)
    world.state.write(draft.effects((), ()).writes)


@pytest.fixture
def parties(world: World) -> dict[str, Party]:
    return {
        "ann": world.enrol("ann", Role.USER),
        "bob": world.enrol("bob", Role.USER),
        "siteone": world.provider(),
        "sitetwo": world.provider("sitetwo", "c2"),
        "aud": world.enrol("aud", Role.USER, attributes=(("auditor", "true"),)),
        "root": world.root,
    }


def test_a_rental_for_the_eyes_of_each(world: World, parties: dict[str, Party]) -> None:
    put(world, rental())
    for name in ("ann", "aud", "root"):
        assert marketqueries.rental(world.state, world.caller(parties[name]), "l7") == rental()
    shown = marketqueries.rental(world.state, world.caller(parties["siteone"]), "l7")
    assert shown == for_provider(rental())
    assert b"ann" not in encode(shown)
    assert b"ann" in encode(rental())
    for name in ("ann", "siteone", "root"):
        assert marketqueries.statement(world.state, world.caller(parties[name]), "l7") == (LINE,)
    for name in ("bob", "sitetwo"):
        questions: tuple[Callable[..., object], ...] = (marketqueries.rental, marketqueries.statement)
        for ask in questions:
            with pytest.raises(Refused, match="NOT_FOUND"):
                ask(world.state, world.caller(parties[name]), "l7")
    assert decode(Rental, encode(rental())) == rental()
    assert decode(Rental, encode(shown)) == shown


def test_a_user_sees_the_jobs_of_its_rentals_and_no_others(world: World, parties: dict[str, Party]) -> None:
    put(world, rental(), rental(8, RentalState.ENDED))
    mine, earlier = rental().username, rental(8).username
    world.must(parties["siteone"], job_changes(job("1", owner=mine), job("2", owner="ann"), job("3", owner=earlier), job("4", owner=None)))
    ann, view = world.caller(parties["ann"]), world.state
    assert [found.job_id for found in queries.jobs(view, ann, "c1").jobs] == ["1", "3"]
    assert queries.job(view, ann, "c1", "1").owner == mine
    assert len(queries.jobs(view, world.caller(parties["aud"]), "c1").jobs) == 4
    assert len(queries.jobs(view, world.caller(parties["siteone"]), "c1").jobs) == 4
    for name, cluster, job_id in (("ann", "c1", "2"), ("ann", "c1", "4"), ("ann", "c2", "1"), ("bob", "c1", "1"), ("sitetwo", "c1", "1")):
        with pytest.raises(Refused, match="NOT_FOUND"):
            queries.job(view, world.caller(parties[name]), cluster, job_id)


def test_lists_of_rentals(world: World, parties: dict[str, Party]) -> None:
    put(world, rental(9), rental(10, RentalState.ENDED), rental(11), rental(12, member="bob"))

    def names(party: str, **options: object) -> list[str]:
        page = marketqueries.rentals(world.state, world.caller(parties[party]), **options)  # type: ignore[arg-type]
        return [each.rental for each in page.rentals] + ([f"next {page.next}"] if page.next else [])

    assert names("ann") == ["l9", "l10", "l11"]
    assert names("ann", open_only=True) == ["l9", "l11"]
    assert names("ann", limit=2) == ["l9", "l10", "next l10"]
    assert names("ann", after="l10") == ["l11"]
    assert (names("bob"), names("sitetwo")) == (["l12"], [])
    assert names("siteone") == names("root") == names("aud") == ["l9", "l10", "l11", "l12"]
    shown = marketqueries.rentals(world.state, world.caller(parties["siteone"])).rentals
    assert {each.member for each in shown} == {None}


def test_what_only_the_owner_may_do_with_a_rental(world: World, parties: dict[str, Party]) -> None:
    put(world, rental())
    own = rental().username
    for name in ("bob", "aud"):
        assert world.outcomes(parties[name], Cancellation(rental="l7")) == ["NOT_FOUND"]
        assert world.outcomes(parties[name], JobWatch(cluster="c1", job_id="5", owner=own)) == ["NOT_PERMITTED"]
        assert world.outcomes(parties[name], RentalOrder(offer="r5-1", queue="q1", cores=1)) == ["NOT_FOUND"]
    assert world.outcomes(parties["sitetwo"], AccountReport(rental="l7", state=AccountState.READY)) == ["NOT_FOUND"]
    for watch in (JobWatch(cluster="c1", job_id="5"), JobWatch(cluster="c2", job_id="5", owner=own)):
        assert world.outcomes(parties["ann"], watch) == ["NOT_PERMITTED"]
    (event,) = world.must(parties["ann"], JobWatch(cluster="c1", job_id="5", owner=own)).events
    assert (event.audience, event.subject) == ("siteone", "c1/5")
    assert b"ann" not in event.body
    put(world, rental(state=RentalState.ENDED))
    assert world.outcomes(parties["ann"], JobWatch(cluster="c1", job_id="6", owner=own)) == ["NOT_PERMITTED"]


def test_requests_are_their_members_alone(world: World, parties: dict[str, Party]) -> None:
    index = world.must(parties["ann"], Request(cores=1)).entry.index
    view = world.state
    for name in ("ann", "aud", "root"):
        assert requestqueries.request(view, world.caller(parties[name]), f"r{index}").asked == Request(cores=1)
        assert len(requestqueries.requests(view, world.caller(parties[name]), member="ann")) == 1
    assert requestqueries.requests(view, world.caller(parties["ann"]), after=f"r{index}") == ()
    questions: tuple[Callable[..., object], ...] = (requestqueries.request, requestqueries.offers, requestqueries.why_nots)
    for ask in questions:
        with pytest.raises(Refused, match="NOT_FOUND"):
            ask(view, world.caller(parties["bob"]), f"r{index}")
        with pytest.raises(Refused, match="NOT_PERMITTED"):
            ask(view, world.caller(parties["siteone"]), f"r{index}")
    assert requestqueries.requests(view, world.caller(parties["bob"]), member="ann") == ()
    with pytest.raises(Refused, match="NOT_PERMITTED"):
        requestqueries.program_demand(view, world.caller(parties["ann"]))


NO_NAMES = ["", "r", "r01", "r-1", "r1 ", "r1\n", "l1", "r1/2", "r9999999999999999", "r1-0", "r1-01", "r1-10000", "\u04331"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_none_find_nothing(world: World, name: str) -> None:
    assert world.state.get(request_key(name)) is None
    assert world.state.get(offer_key(name)) is None
    assert request_of_offer(name) == ""
    assert request_key(name) == "request/none"
    assert rental_key("r1") == "rental/none"


def test_usernames_lead_to_rentals(world: World) -> None:
    put(world, rental())
    assert rental_of_username(world.state, rental().username) == "l7"
    assert rental_of_username(world.state, "nobody") is None
    assert stored_rental(world.state, "l7") == rental()


def test_a_refusal_says_which_rule(world: World, parties: dict[str, Party]) -> None:
    answer = world.send(parties["bob"], Cancellation(rental="l7"))
    assert answer.reasons == ("bob has no rental 'l7' (rule: own_rental)",)  # type: ignore[union-attr]
    answer = world.send(parties["siteone"], Request(cores=1))
    assert answer.reasons == ("role PROVIDER may not send REQUEST (rule: Table 1)",)  # type: ignore[union-attr]
