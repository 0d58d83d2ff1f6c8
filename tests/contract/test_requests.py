# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Requests on a ledger: what is frozen, in which order, who sees it, what is counted and refused, and that no name leaks either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcbridge.contract import requestqueries
from hpcbridge.contract import requests as contract_requests
from hpcbridge.contract.capacity import give_capacity, held_of, take_capacity
from hpcbridge.contract.demand import MAX_OF_MEMBER, MAX_PROGRAMS, PERIOD_MS, count_missing, demand_of
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.listing import cluster_now, clusters_of
from hpcbridge.contract.market import offer_key, stored_offer
from hpcbridge.contract.quotes import free_of
from hpcbridge.contract.records import encode_word
from hpcbridge.contract.requests import KEPT_MS, request_fault
from hpcbridge.contract.seed import blind_rank, market_seed
from hpcbridge.contract.state import Draft, MemoryState
from hpcbridge.contract.ticks import next_deadline
from hpcbridge.errors import IntegrityError, Refused
from hpcbridge.fold import Applied
from hpcbridge.model.clusters import Program, QueueOffer, Rates, Registration, Vetting
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.market import ContractActivation, Offer, Request, Requirement, WhyNot
from hpcbridge.model.transactions import Decision, Parameters, Revocation
from hpcbridge.wire.convert import encode
from tests.contract.market_sites import HOUR, LIFE_MS, RATES, ask, offers_of, open_cluster, queue, tell_state, why_nots_of
from tests.fold_world import Party, World

GROMACS, LAMMPS = Program(name="gromacs", version="2025.1"), Program(name="lammps", version="")


@pytest.fixture
def user(world: World) -> Party:
    return world.enrol("alice", Role.USER)


def codes(world: World, who: Party, body: Request) -> list[str]:
    return world.outcomes(who, body)


def requirements(why_nots: tuple[WhyNot, ...]) -> list[Requirement]:
    return sorted((each.requirement for each in why_nots), key=list(Requirement).index)


def test_offers_are_frozen_as_of_their_entry(world: World, user: Party) -> None:
    party = open_cluster(world, "c1", None, queue("batch", cluster="c1"), queue("long", cluster="c1", max_walltime_seconds=None))
    world.at += 5000
    record = ask(world, user)
    (offer,) = offers_of(world, user, record)
    index = record.index
    assert (record.offers, record.why_nots, record.asked_at, record.expires_at) == (1, 0, world.at, world.at + LIFE_MS)
    assert (offer.offer, offer.request, offer.index, offer.state_age_ms) == (f"r{index}-1", f"r{index}", index, 5000)
    assert [(each.label, each.cores_free, each.cores_total, each.jobs_queued, each.rates) for each in offer.queues] == [
        ("q1", 64, 128, 0, RATES),
        ("q2", 64, 128, 0, RATES),
    ]
    stored = stored_offer(world.state, offer.offer)
    assert stored is not None
    assert (stored.cluster, stored.provider, stored.queues, stored.offer) == ("c1", "c1-org", ("batch", "long"), offer)
    assert world.state.get(offer_key(offer.offer)) == encode_word(stored), "a record is written as its word would be"
    world.at += 1
    tell_state(world, party, "c1", queue("batch", cluster="c1", cores_available=0, cores_used=128))
    world.must(world.root, Parameters(values=(("deposit_permille", 500),)))
    assert offers_of(world, user, record) == (offer,)
    (later,) = offers_of(world, user, ask(world, user))
    assert later.queues[0].cores_free == 0


def test_prices_are_versioned_in_the_offer(world: World, user: Party) -> None:
    party = open_cluster(world, "c1")
    first = stored_offer(world.state, offers_of(world, user, ask(world, user))[0].offer)
    dearer = Rates(cpu_core_per_hour=30_000, gpu_core_per_hour=900_000)
    world.must(party, registration("c1", rates=dearer))
    second = stored_offer(world.state, offers_of(world, user, ask(world, user))[0].offer)
    assert first is not None
    assert second is not None
    assert second.price_version == first.price_version + 1
    assert second.offer.queues[0].rates == dearer


def registration(name: str, rates: Rates = RATES) -> Registration:
    return Registration(cluster=name, login_address=f"login.{name}.example", rates=rates)


def test_the_user_is_told_and_nobody_else(world: World, user: Party) -> None:
    open_cluster(world, "c1")
    (event,) = world.must(user, Request(cores=1)).events
    record = requestqueries.request(world.state, world.caller(user), f"r{len(world.applied) - 1}")
    assert (event.type, event.audience, event.subject) == (EventType.REQUEST_ANSWERED, "alice", record.request)
    assert decode_event(event).record == record


def test_reasons_for_every_other_cluster(world: World, user: Party) -> None:
    names = ["fits", "small", "closed", "silent", "poor", "pending", "slow"]
    parties = {name: open_cluster(world, name) for name in names[:2]}
    tell_state(world, parties["small"], "small", queue(cluster="small", max_cores=8))
    closed = open_cluster(world, "closed", None, queue(cluster="closed"))
    tell_state(world, closed, "closed")
    world.must(world.root, Decision(name="closed", vetting=Vetting.SUSPENDED, note=""))
    world.must(world.enrol("silent-org", Role.PROVIDER), registration("silent"))
    world.must(world.root, Decision(name="silent", vetting=Vetting.APPROVED, note=""))
    open_cluster(world, "poor", rates=None)
    world.must(world.enrol("pending-org", Role.PROVIDER), registration("pending"))
    open_cluster(world, "slow", None, queue(cluster="slow", max_walltime_seconds=60))
    record = ask(world, user, walltime_seconds=HOUR)
    found = why_nots_of(world, user, record)
    assert [each.ordinal for each in found] == list(range(1, 7))
    assert [each.value for each in requirements(found)] == ["APPROVED", "APPROVED", "HEARD_FROM", "PRICED", "CORES", "WALLTIME"]
    by_how_much = {each.requirement: (each.needed, each.found) for each in found}
    assert by_how_much[Requirement.CORES] == (16, 8)
    assert by_how_much[Requirement.WALLTIME] == (HOUR, 60)
    assert len(offers_of(world, user, record)) == 1


def test_a_provider_that_is_suspended_or_revoked_offers_nothing(world: World, user: Party) -> None:
    open_cluster(world, "c1")
    open_cluster(world, "c2")
    assert ask(world, user).offers == 2
    world.must(world.root, Decision(name="c1-org", vetting=Vetting.SUSPENDED, note=""))
    assert ask(world, user).offers == 1
    world.must(world.root, Revocation(member="c2-org", installation=None, reason="gone"))
    record = ask(world, user)
    assert record.offers == 0
    assert requirements(why_nots_of(world, user, record)) == [Requirement.APPROVED] * 2


def test_silence_ends_offers(world: World, user: Party) -> None:
    open_cluster(world, "c1")
    world.at += 600_000
    assert ask(world, user).offers == 1
    world.at += 1
    record = ask(world, user)
    (why_not,) = why_nots_of(world, user, record)
    assert (why_not.requirement, why_not.needed, why_not.found) == (Requirement.HEARD_FROM, 600_000, 600_001)


def test_the_order_is_the_seeds_and_no_tie_follows_a_name(world: World, user: Party) -> None:
    names = [f"c{number:02d}" for number in range(12)]
    provider = open_cluster(world, names[0])
    for name in names[1:]:
        open_cluster(world, name, provider)
    orders: list[list[str]] = []
    world.must(world.root, Parameters(values=(("offers_per_request", 5),)))
    for _ in range(3):
        tell_state(world, provider, names[0])
        seed = market_seed(world.state)
        record = ask(world, user)
        ranked = sorted(names, key=lambda name: blind_rank(seed, record.request, name))
        stored = [stored_offer(world.state, offer.offer) for offer in offers_of(world, user, record)]
        orders.append([each.cluster for each in stored if each is not None])
        assert orders[-1] == ranked[:5], "all are equally good"
        found = why_nots_of(world, user, record)
        assert {(each.requirement, each.needed, each.found) for each in found} == {(Requirement.LISTED, 5, 12)}
        assert len(found) == 7
        world.at += 1
    assert len({tuple(order) for order in orders}) == 3


def test_the_listed_ones_are_the_best(world: World, user: Party) -> None:
    provider = open_cluster(world, "c0", rates=Rates(cpu_core_per_hour=100, gpu_core_per_hour=0))
    for number in range(1, 6):
        rates = Rates(cpu_core_per_hour=100 + number, gpu_core_per_hour=0)
        busy = queue(cluster=f"c{number}", cores_available=0, cores_used=128)
        open_cluster(world, f"c{number}", provider, *([busy] if number == 1 else []), rates=rates)
    world.must(world.root, Parameters(values=(("offers_per_request", 3),)))
    offers = offers_of(world, user, ask(world, user))
    assert sorted(offer.queues[0].rates.cpu_core_per_hour for offer in offers) == [100, 102, 103]


def test_programs_missing_are_counted_and_providers_see_what_they_lack(world: World, user: Party) -> None:
    has = open_cluster(world, "c1", programs=(GROMACS,))
    lacks = open_cluster(world, "c2", installs_programs=True)
    record = ask(world, user, programs=(GROMACS,))
    (why_not,) = why_nots_of(world, user, record)
    assert (why_not.requirement, why_not.missing, why_not.needed, why_not.found) == (Requirement.PROGRAMS, (GROMACS,), 1, 0)
    both = ask(world, user, programs=(GROMACS, LAMMPS))
    (offer,) = offers_of(world, user, both)
    assert offer.to_install == (GROMACS, LAMMPS)
    assert world.state.get(offer_key(offer.offer)) == encode_word(stored_offer(world.state, offer.offer))

    def seen_by(party: Party) -> list[tuple[str, int]]:
        return [(each.program.name, each.count) for each in requestqueries.program_demand(world.state, world.caller(party))]

    assert seen_by(lacks) == [("gromacs", 2), ("lammps", 1)]
    assert seen_by(has) == [("lammps", 1)]
    assert seen_by(world.root) == [("gromacs", 2), ("lammps", 1)]
    after = requestqueries.program_demand(world.state, world.caller(lacks), after=GROMACS)
    assert [each.program for each in after] == [LAMMPS]
    with pytest.raises(Refused):
        seen_by(user)
    ask(world, user, cores=100_000, programs=(Program(name="elsewhere", version=""),))
    assert "elsewhere" not in dict(seen_by(lacks)), "nobody fits otherwise: no program was missing"


def test_demand_is_bounded_and_ends() -> None:
    state = MemoryState()

    def count(names: list[str], at: int) -> dict[str, int]:
        draft = Draft(state)
        for place in range(0, len(names), MAX_OF_MEMBER):  # as many users as it takes
            programs = [Program(name=name, version="") for name in names[place : place + MAX_OF_MEMBER]]
            count_missing(draft, f"user{place}", programs, at=at)
        state.write(draft.effects((), ()).writes)
        return {each.program.name: each.count for each in demand_of(state)}

    many = [f"p{number}" for number in range(MAX_PROGRAMS + 5)]
    assert list(count(many, 0)) == sorted(many[:MAX_PROGRAMS])
    assert count(["p1", "late"], 1)["p1"] == 2
    assert "late" not in count(["late"], PERIOD_MS - 1)
    assert count(["late", "p1"], PERIOD_MS)["late"] == 1
    assert count(["p1"], PERIOD_MS)["p1"] == 4
    assert count(["new"], 2 * PERIOD_MS) == {"late": 1, "p1": 2, "new": 1}
    assert count(["new"], 9 * PERIOD_MS) == {"new": 1}


def test_one_user_does_not_take_the_room_of_all_programs() -> None:
    draft = Draft(MemoryState())
    count_missing(draft, "ann", [Program(name=f"p{number}", version="") for number in range(MAX_PROGRAMS)], at=0)
    assert len(demand_of(draft)) == MAX_OF_MEMBER
    count_missing(draft, "ann", [Program(name="p0", version=""), Program(name="another", version="")], at=1)
    assert [(each.program.name, each.count) for each in demand_of(draft) if each.count > 1] == [("p0", 2)]
    count_missing(draft, "bob", [Program(name="another", version="")], at=1)
    count_missing(draft, "ann", [Program(name="later", version="")], at=PERIOD_MS)
    assert {"another", "later"} <= {each.program.name for each in demand_of(draft)}


def test_a_store_of_version_1_makes_offers_once_the_market_is_there(tmp_path: Path) -> None:
    world = World(tmp_path, contract_version=1)
    open_cluster(world, "c1", programs=(GROMACS,))
    user = world.enrol("alice", Role.USER)
    assert isinstance(world.send(user, Request(cores=1)), Applied)
    assert [outcome.value for outcome in world.applied[-1].entry.outcomes] == ["UNKNOWN_TYPE"]
    world.must(world.root, ContractActivation(version=2))
    (offer,) = offers_of(world, user, ask(world, user, programs=(GROMACS,)))
    stored = stored_offer(world.state, offer.offer)
    assert stored is not None
    assert (stored.cluster, stored.price_version) == ("c1", 0)


def test_one_cluster_is_known_again_as_it_stands(world: World, user: Party) -> None:
    open_cluster(world, "c1")
    open_cluster(world, "c10")
    draft = Draft(world.state)
    take_capacity(draft, "c1", "batch", cores=60, gpus=0)
    take_capacity(draft, "c10", "batch", cores=1, gpus=0)
    assert [cluster_now(draft, name, "batch") for name in ("c1", "c10")] == list(clusters_of(draft))
    assert cluster_now(draft, "c9", "batch") is None
    found = cluster_now(draft, "c1", "batch")
    assert found is not None
    assert free_of(found.supply.lots[0], found.held) == (4, 0)


def test_capacity_is_held_and_given_back_exactly() -> None:
    draft = Draft(MemoryState())
    take_capacity(draft, "c1", "a/b", cores=5, gpus=1)
    take_capacity(draft, "c1", "a/b", cores=2, gpus=0)
    assert held_of(draft, "c1", "a/b") == (7, 1)
    give_capacity(draft, "c1", "a/b", cores=7, gpus=1)
    assert held_of(draft, "c1", "a/b") == (0, 0)
    assert draft.effects((), ()).writes == (("queueheld/c1/a/b", None),)
    with pytest.raises(IntegrityError):
        give_capacity(draft, "c1", "a/b", cores=1, gpus=0)


MANY_PROGRAMS = tuple(Program(name=f"p{number}", version="") for number in range(65))


@pytest.mark.parametrize(
    "wanted",
    [
        {"cores": 0},
        {"cores": -1},
        {"cores": 1 << 32},
        {"gpus": -1},
        {"gpus": 1 << 32},
        {"gpu_type": "a100"},
        {"gpus": 1, "gpu_type": "x" * 65},
        {"gpus": 1, "gpu_type": "\u0430100"},
        {"memory_bytes": 0},
        {"memory_bytes": -5},
        {"memory_bytes": 1 << 63},
        {"walltime_seconds": 0},
        {"walltime_seconds": -1},
        {"walltime_seconds": 1 << 40},
        {"programs": (Program(name="", version=""),)},
        {"programs": (Program(name=" x", version=""),)},
        {"programs": (Program(name="x" * 65, version=""),)},
        {"programs": (Program(name="x" * 10_000_000, version=""),)},
        {"programs": (Program(name="a\nb", version=""),)},
        {"programs": (Program(name="gr\u043emacs", version=""),)},
        {"programs": (Program(name="x", version="\u202e1"),)},
        {"programs": (GROMACS, GROMACS)},
        {"programs": MANY_PROGRAMS},
        {"latitude_microdegrees": 1},
        {"longitude_microdegrees": 1},
        {"latitude_microdegrees": 90_000_001, "longitude_microdegrees": 0},
        {"latitude_microdegrees": 0, "longitude_microdegrees": -180_000_001},
    ],
)
def test_requests_that_make_no_sense(wanted: dict[str, Any]) -> None:
    assert request_fault(Request(**({"cores": 1} | wanted)))


def test_the_least_and_the_most_that_makes_sense() -> None:
    assert not request_fault(Request(cores=1))
    most = Request(
        cores=1 << 31, gpus=1 << 31, gpu_type="x" * 64, memory_bytes=1 << 62, walltime_seconds=366 * 24 * HOUR, programs=MANY_PROGRAMS[:64],
        latitude_microdegrees=-90_000_000, longitude_microdegrees=180_000_000,
    )  # fmt: skip
    assert not request_fault(most)


def test_a_refused_request_leaves_nothing(world: World, user: Party) -> None:
    open_cluster(world, "c1")
    assert codes(world, user, Request(cores=0)) == ["MALFORMED"]
    applied = world.applied[-1]
    assert (applied.events, [key for key, _ in applied.writes if not key.startswith("epoch/")]) == ((), [])
    assert requestqueries.requests(world.state, world.caller(user)) == ()
    provider = world.enrol("other-org", Role.PROVIDER)
    assert codes(world, provider, Request(cores=1)) == ["NOT_PERMITTED"]
    assert codes(world, world.root, Request(cores=1)) == ["NOT_PERMITTED"]


def test_so_many_a_day(world: World, user: Party) -> None:
    world.must(world.root, Parameters(values=(("requests_per_day", 2),)))
    assert [codes(world, user, Request(cores=1)) for _ in range(3)] == [["ACCEPTED"], ["ACCEPTED"], ["TOO_MANY"]]
    assert codes(world, world.enrol("bob", Role.USER), Request(cores=1)) == ["ACCEPTED"]
    world.at += 24 * HOUR * 1000
    assert codes(world, user, Request(cores=1)) == ["ACCEPTED"]


def test_old_requests_leave_with_the_clock_although_nobody_asks(world: World, user: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_requests, "MAX_FORGOTTEN_BY_TICK", 2)
    open_cluster(world, "c1")
    open_cluster(world, "c2", None, queue(cluster="c2", max_cores=1))
    bob = world.enrol("bob", Role.USER)
    world.tick()
    before = {key for key, _ in world.state.scan("", "~", 9999)}
    for party in (user, bob, user):
        ask(world, party)
        world.at += 1
    brought = {key for key, _ in world.state.scan("", "~", 9999)} - before
    world.at += LIFE_MS + KEPT_MS - 4
    world.tick()
    assert len(requestqueries.requests(world.state, world.caller(user))) == 2
    assert next_deadline(world.state) is None, "no tick is made for that"
    world.at += 3
    world.tick()
    assert [len(requestqueries.requests(world.state, world.caller(party))) for party in (user, bob)] == [1, 0]
    world.tick()
    left = {key for key, _ in world.state.scan("", "~", 9999)} & brought
    assert left == {key for key in brought if key.startswith(("requestcount/", "marketseed", "epoch/"))}


def test_a_due_request_that_is_not_on_record_stops_the_program(world: World, user: Party) -> None:
    open_cluster(world, "c1")
    number = ask(world, user).index
    world.state.write([(f"request/{number:015d}", None)])
    world.at += LIFE_MS + KEPT_MS
    with pytest.raises(IntegrityError, match="is due and not on record"):
        world.tick()


def test_old_requests_leave_the_state_with_all_they_brought(world: World, user: Party) -> None:
    party = open_cluster(world, "c1")
    open_cluster(world, "c2", None, queue(cluster="c2", max_cores=1))
    old = [ask(world, user).request for _ in range(2)]
    world.at += LIFE_MS + KEPT_MS - 1
    tell_state(world, party, "c1")
    kept = ask(world, user).request
    assert [each.request for each in requestqueries.requests(world.state, world.caller(user))] == [*old, kept]
    world.at += 1
    last = ask(world, user).request
    assert [each.request for each in requestqueries.requests(world.state, world.caller(user))] == [kept, last]
    rows = [key for prefix in ("offer", "whynot", "request") for key, _ in world.state.scan(f"{prefix}/", f"{prefix}0", 99)]
    assert all(int(key.split("/")[1]) in {int(kept[1:]), int(last[1:])} for key in rows)
    assert len(rows) == 6, "two requests with an offer and their reasons"
    for question in (requestqueries.offers, requestqueries.why_nots, requestqueries.request):
        with pytest.raises(Refused):
            question(world.state, world.caller(user), old[0])


def test_pages(world: World, user: Party) -> None:
    provider = open_cluster(world, "c0")
    for number in range(1, 12):
        open_cluster(world, f"c{number}", provider, queue(cluster=f"c{number}", max_cores=128 if number < 6 else 1))
    record, other = ask(world, user), ask(world, user)
    caller = world.caller(user)
    whole = offers_of(world, user, record)
    first = requestqueries.offers(world.state, caller, record.request, limit=4)
    assert first + requestqueries.offers(world.state, caller, record.request, after=first[-1].offer, limit=4) == whole
    assert requestqueries.offers(world.state, caller, record.request, after=offers_of(world, user, other)[0].offer) == ()
    assert requestqueries.offers(world.state, caller, other.request, after=whole[0].offer) == offers_of(world, user, other)
    reasons = why_nots_of(world, user, record)
    assert len(reasons) == 6
    assert requestqueries.why_nots(world.state, caller, record.request, after=2, limit=3) == reasons[2:5]
    assert [each.request for each in requestqueries.requests(world.state, caller, after=record.request)] == [other.request]
    assert requestqueries.requests(world.state, caller, after="nonsense") == ()


def test_who_may_ask_about_a_request(world: World, user: Party) -> None:
    provider = open_cluster(world, "c1")
    record = ask(world, user)
    stranger, auditor = world.enrol("mallory", Role.USER), world.enrol("eve", Role.USER, attributes=(("auditor", "true"),))
    for party in (user, world.root, auditor):
        assert requestqueries.offers(world.state, world.caller(party), record.request)
    for party, code in ((stranger, "NOT_FOUND"), (provider, "NOT_PERMITTED")):
        for question in (requestqueries.offers, requestqueries.why_nots, requestqueries.request):
            with pytest.raises(Refused) as refusal:
                question(world.state, world.caller(party), record.request)
            assert refusal.value.code == code
            assert "alice" not in str(refusal.value)
    assert requestqueries.requests(world.state, world.caller(stranger)) == ()
    assert requestqueries.requests(world.state, world.caller(stranger), member="alice") == ()
    assert [each.request for each in requestqueries.requests(world.state, world.caller(world.root))] == [record.request]
    assert [each.request for each in requestqueries.requests(world.state, world.caller(auditor), member="alice")] == [record.request]


SECRETS = (b"zanzibar", b"quetzal", b"xylophone", b"wolfram")
"""Provider, cluster, login address and queue of the test below."""


def told_to(world: World, member: str) -> bytes:
    """Every byte of every event a member's subscription is given."""
    events = [event for applied in world.applied for event in applied.events if event.audience == member]
    return b"\0".join(part for event in events for part in (event.type.encode(), event.subject.encode(), event.body))


def answered(world: World, who: Party) -> bytes:
    """Every byte of the answers to every question about every request, offer and reason, in the form in which they are sent."""
    caller = world.caller(who)
    parts: list[bytes] = []
    for record in requestqueries.requests(world.state, caller):
        parts.append(encode(record))
        parts += [encode(offer) for offer in requestqueries.offers(world.state, caller, record.request)]
        parts += [encode(reason) for reason in requestqueries.why_nots(world.state, caller, record.request)]
    return b"\0".join(parts)


def test_no_name_leaks_to_either_side(world: World, user: Party) -> None:
    whole = queue("wolfram", cluster="quetzal", gpus_total=8, gpus_used=0)
    site = world.enrol("zanzibar", Role.PROVIDER)
    offered = (QueueOffer(name="wolfram", gpu_type="Zanzibar-A100", gpus=8), QueueOffer(name="wolfram-small", gpu_type="quetzal"))
    open_cluster(world, "quetzal", site, whole, login_address="xylophone.example", queues=offered, programs=(GROMACS,))
    busy = world.enrol("zanzibar2", Role.PROVIDER)
    open_cluster(world, "quetzal2", busy, queue("wolfram", cluster="quetzal2", max_cores=2), login_address="xylophone.example")
    easy: list[dict[str, Any]] = [{}, {"gpus": 4}, {"programs": (GROMACS, LAMMPS)}]
    hard: list[dict[str, Any]] = [{"gpus": 4, "gpu_type": "h100"}, {"cores": 1000}, {"walltime_seconds": 10**7}]
    for wanted in easy + hard:
        ask(world, user, **wanted)
    reasons: list[str] = []
    for body in (Request(cores=0), Request(cores=1, gpu_type="x")):
        answer = world.send(user, body)
        assert isinstance(answer, Applied)
        reasons += answer.reasons
    seen = told_to(world, "alice") + answered(world, user) + "\0".join(reasons).encode()
    assert b"gromacs" in seen, "the search itself finds what is there"
    assert not [name for name in SECRETS if name in seen.lower()]
    for provider in ("zanzibar", "zanzibar2"):
        assert told_to(world, provider)
        assert b"alice" not in told_to(world, provider)
    demand = requestqueries.program_demand(world.state, world.caller(site))
    assert demand
    assert b"alice" not in b"".join(encode(each) for each in demand)


def test_the_leak_test_would_find_a_leak(world: World, user: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the labels switched off the same search finds the queue."""
    from hpcbridge.contract import quotes

    real = quotes._offered
    monkeypatch.setattr(quotes, "_offered", lambda quote, _label, names, rates: real(quote, quote.lot.name, names, rates=rates))
    open_cluster(world, "quetzal", None, queue("wolfram", cluster="quetzal"))
    ask(world, user)
    assert b"wolfram" in answered(world, user)


def test_every_offer_has_the_same_fields_whoever_made_it(world: World, user: Party) -> None:
    """An offer is told apart by its figures alone."""
    open_cluster(world, "c1")
    open_cluster(world, "a-very-long-name-of-another-cluster")
    first, second = offers_of(world, user, ask(world, user))
    neutral = {"offer": "r1-1"}
    assert [getattr(each, name) for each in (first,) for name in Offer.__dataclass_fields__ if name not in neutral] == [
        getattr(each, name) for each in (second,) for name in Offer.__dataclass_fields__ if name not in neutral
    ]
