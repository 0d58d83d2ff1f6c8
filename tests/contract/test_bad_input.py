# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong from outside, told to the contract: code and reason of each kind, and a state that is as it was.

| kind | here | by command and service: tests/ctl/test_bad_input.py |
|---|---|---|
| negative, zero, huge amounts | `AMOUNTS`, `test_amounts_on_the_wire` | `USAGE`, `REFUSED` |
| amounts that are no whole numbers | `test_amounts_on_the_wire` | `USAGE`, `CONFIGURATION` |
| a queue without a walltime limit | `test_a_queue_without_a_limit_needs_a_walltime` | `test_walltime` |
| walltime above the limit | `test_walltime_above_the_limit` | `test_walltime` |
| unknown programs | `test_unknown_programs` | `test_unknown_programs` |
| coordinates outside the globe | `PLACES` | `USAGE`, `CONFIGURATION` |
| rates of zero | `RATES_OF_ZERO` | `CONFIGURATION`, `REFUSED` |
| strings of 10 MB | `TOO_LONG`, and those that fit into an envelope: `LONG` | `test_ten_megabytes` |
| homoglyph names | `HOMOGLYPHS` | `USAGE`, `CONFIGURATION` |
| a user renting from itself | `test_nobody_rents_from_itself` | no member can be both; the market's `OWN` is of the contract |
| ending a job it never reported | `test_ends_of_jobs_that_were_never_reported` | `REFUSED` |
| time going backwards | `BACKWARDS`, `test_the_ledgers_time_never_goes_back` | `REFUSED` |
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hpcbridge.contract.orders import choose
from hpcbridge.contract.records import StoredMember, decode_stored, encode_stored
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import ClusterState, Program, QueueOffer, Rates, Registration
from hpcbridge.model.entries import EntryOutcome, Rejected, RejectionCode
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import Cancellation, Credit, RentalOrder, Request, Requirement
from hpcbridge.model.transactions import Body, Gap, JobChange, JobChanges
from tests.contract.market_sites import HOUR, RATES, ask, open_cluster, queue, tell_state, why_nots_of
from tests.contract.rental_book import everything, only_offer, order, refusal, rented
from tests.fold_world import Party, World

TEN_MEGABYTES = "x" * 10_000_000
CYRILLIC_A = "\u0430"
REGISTRATION = Registration(cluster="c1", login_address="login.c1.example", rates=RATES)
REQUEST = Request(cores=1)
CREDIT = Credit(member="alice", amount=1, reference="bill 1")


def jobs(**fields: Any) -> JobChanges:
    values: dict[str, Any] = {"cluster": "c1", "job_id": "7", "incarnation": 1, "state": JobState.RUNNING, "native_state": "R"}
    cluster = fields.pop("body_cluster", "c1")
    observed_at = fields.pop("observed_at", 1)
    return JobChanges(cluster=cluster, changes=(JobChange(job=Job(**(values | fields)), observed_at=observed_at),))


AMOUNTS = [
    ("root", dataclasses.replace(CREDIT, amount=0), "amount 0"),
    ("root", dataclasses.replace(CREDIT, amount=(1 << 62) + 1), "amount 4611686018427387905"),
    ("root", dataclasses.replace(CREDIT, amount=(1 << 64) - 1), "amount 18446744073709551615"),
    ("alice", dataclasses.replace(REQUEST, cores=0), "cores: 1 to"),
    ("alice", dataclasses.replace(REQUEST, cores=1 << 60), "cores: 1 to"),
    ("alice", dataclasses.replace(REQUEST, gpus=1 << 60), "gpus: 0 to"),
    ("alice", dataclasses.replace(REQUEST, memory_bytes=0), "memory_bytes"),
    ("alice", dataclasses.replace(REQUEST, memory_bytes=(1 << 64) - 1), "memory_bytes"),
    ("alice", dataclasses.replace(REQUEST, walltime_seconds=0), "walltime_seconds: 1 to"),
    ("alice", dataclasses.replace(REQUEST, walltime_seconds=(1 << 64) - 1), "walltime_seconds: 1 to"),
    ("site", dataclasses.replace(REGISTRATION, rates=Rates(cpu_core_per_hour=(1 << 64) - 1, gpu_core_per_hour=0)), "out of range"),
    ("site", dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="q", max_cores=0),)), "max_cores: 1 to"),
    ("site", dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="q", max_cores=1 << 40),)), "max_cores: 1 to"),
    ("site", dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="q", max_walltime_seconds=0),)), "max_walltime_seconds"),
    ("site", dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="q", memory_bytes=0),)), "memory_bytes"),
    ("site", ClusterState(cluster="c1", observed_at=1, cores_total=1 << 60), "count is out of range"),
    ("site", jobs(cores=1 << 60), "cores"),
    ("site", jobs(wall_seconds=(1 << 64) - 1), "wall_seconds"),
]
PLACES = [
    ("alice", dataclasses.replace(REQUEST, latitude_microdegrees=90_000_001, longitude_microdegrees=0), "no place on Earth"),
    ("alice", dataclasses.replace(REQUEST, latitude_microdegrees=-90_000_001, longitude_microdegrees=0), "no place on Earth"),
    ("alice", dataclasses.replace(REQUEST, latitude_microdegrees=0, longitude_microdegrees=180_000_001), "no place on Earth"),
    ("alice", dataclasses.replace(REQUEST, latitude_microdegrees=0), "both or neither"),
    ("site", dataclasses.replace(REGISTRATION, latitude_microdegrees=0, longitude_microdegrees=-180_000_001), "no place on Earth"),
    ("site", dataclasses.replace(REGISTRATION, longitude_microdegrees=1), "both or neither"),
]
FREE = Rates(cpu_core_per_hour=0, gpu_core_per_hour=0)
RATES_OF_ZERO = [
    ("site", dataclasses.replace(REGISTRATION, rates=FREE), "0 for a core and hour is no price"),
    ("site", dataclasses.replace(REGISTRATION, rates=dataclasses.replace(FREE, gpu_core_per_hour=9)), "0 for a core and hour is no price"),
    ("site", dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="q", rates=FREE),)), "queue 'q': a rate of 0"),
]
TOO_LONG = [
    ("root", dataclasses.replace(CREDIT, reference=TEN_MEGABYTES)),
    ("root", dataclasses.replace(CREDIT, member=TEN_MEGABYTES)),
    ("alice", dataclasses.replace(REQUEST, programs=(Program(name=TEN_MEGABYTES, version=""),))),
    ("alice", dataclasses.replace(REQUEST, gpus=1, gpu_type=TEN_MEGABYTES)),
    ("alice", RentalOrder(offer=TEN_MEGABYTES, queue="q1", cores=1)),
    ("alice", RentalOrder(request="r1", cores=1, sealing_key=bytes(10_000_000))),
    ("alice", Cancellation(rental=TEN_MEGABYTES)),
    ("site", dataclasses.replace(REGISTRATION, login_address=TEN_MEGABYTES)),
    ("site", jobs(name=TEN_MEGABYTES)),
    ("site", Gap(cluster="c1", reason=TEN_MEGABYTES, since_at=1, until_at=2, count=None)),
]
LONG = [
    ("root", dataclasses.replace(CREDIT, reference="x" * 1000), "reference: 1 to"),
    ("alice", dataclasses.replace(REQUEST, programs=(Program(name="x" * 1000, version=""),)), "programs"),
    ("site", dataclasses.replace(REGISTRATION, login_address="x" * 1000), "login_address"),
    ("site", dataclasses.replace(REGISTRATION, queues=(QueueOffer(name="x" * 1000),)), "its name has 1 to 64"),
    ("root", dataclasses.replace(CREDIT, member="x" * 40_000), "longer than 1024"),
    ("site", jobs(name="x" * 40_000), "name is longer"),
]
HOMOGLYPHS = [
    ("root", dataclasses.replace(CREDIT, reference=f"bill {CYRILLIC_A}"), "ASCII"),
    ("alice", dataclasses.replace(REQUEST, programs=(Program(name=f"grom{CYRILLIC_A}cs", version=""),)), "ASCII"),
    ("alice", dataclasses.replace(REQUEST, gpus=1, gpu_type=f"{CYRILLIC_A}100"), "ASCII"),
    ("site", dataclasses.replace(REGISTRATION, cluster=f"c{CYRILLIC_A}"), "lower-case letters"),
    ("site", dataclasses.replace(REGISTRATION, login_address=f"login.c{CYRILLIC_A}.example"), "login_address"),
]
BACKWARDS = [
    ("site", Gap(cluster="c1", reason="", since_at=2, until_at=1, count=None), "begins before it ends"),
    ("site", Gap(cluster="c1", reason="", since_at=-1, until_at=1, count=None), "begins before it ends"),
    ("site", ClusterState(cluster="c1", observed_at=-1), "observed_at -1"),
    ("site", jobs(observed_at=-1), "observed_at -1"),
    ("site", jobs(submitted_at=-1), "time -1"),
]


@pytest.mark.parametrize(("who", "body", "part"), [*AMOUNTS, *PLACES, *RATES_OF_ZERO, *LONG, *HOMOGLYPHS, *BACKWARDS])
def test_what_makes_no_sense_is_malformed(world: World, alice: Party, site: Party, *, who: str, body: Body, part: str) -> None:
    code, reason = refusal(world, {"root": world.root, "alice": alice, "site": site}[who], body)
    assert (code, part in reason) == ("MALFORMED", True), reason[:200]
    assert len(reason) < 500


@pytest.mark.parametrize(("who", "body"), TOO_LONG)
def test_ten_megabytes_are_no_entry(world: World, alice: Party, site: Party, *, who: str, body: Body) -> None:
    before = world.state.digest()
    answer = world.send({"root": world.root, "alice": alice, "site": site}[who], body)
    assert isinstance(answer, Rejected)
    assert (answer.code, world.state.digest() == before, len(answer.reason) < 200) == (RejectionCode.TOO_LARGE, True, True)


@pytest.mark.parametrize("raw", [
    b"\x0a\x05alice\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01x",  # -1 as an integer of 64 bits
    b"\x0a\x05alice\x11" + bytes.fromhex("000000000000f83f") + b"\x1a\x01x",  # 1.5
    b"\x0a\x05alice\x12\x011\x1a\x01x",  # "1"
    b"\x0a\x05alice\x10\x01\x10\x02\x1a\x01x",  # 1, and then 2
])  # fmt: skip
def test_amounts_on_the_wire(world: World, alice: Party, raw: bytes) -> None:
    before = everything(world)
    assert world.outcomes(world.root, CREDIT, raw_body=raw) == ["MALFORMED"]
    assert everything(world) == before
    assert world.outcomes(world.root, CREDIT, raw_body=b"\x0a\x05alice\x10\x01\x1a\x01x") == ["ACCEPTED"]


@pytest.mark.parametrize("what", ["cores", "gpus", "walltime_seconds", "extra_limit"])
@pytest.mark.parametrize("value", [1 << 40, (1 << 64) - 1])
def test_orders_beyond_what_was_asked_for(world: World, alice: Party, site: Party, *, what: str, value: int) -> None:
    offer = only_offer(world, alice)
    if (what, value) == ("extra_limit", 1 << 40):
        return  # that much may be promised
    code, reason = refusal(world, alice, order(offer, **{what: value}))
    assert (code, what in reason) == ("MALFORMED", True), reason
    assert refusal(world, alice, order(offer, sealing_key=bytes(40_000)))[0] == "MALFORMED"


def test_a_queue_without_a_limit_needs_a_walltime(world: World, alice: Party) -> None:
    open_cluster(world, "c1", None, queue(cluster="c1", max_walltime_seconds=None))
    code, reason = refusal(world, alice, order(only_offer(world, alice)))
    assert (code, "no limit of walltime" in reason) == ("MALFORMED", True)
    offer = only_offer(world, alice, walltime_seconds=2 * HOUR)
    assert refusal(world, alice, order(offer, walltime_seconds=2 * HOUR + 1))[0] == "MALFORMED"
    assert rented(world, alice, walltime_seconds=HOUR).deposit == 16 * 20_000 * 300 // 1000


def test_walltime_above_the_limit(world: World, alice: Party, site: Party) -> None:
    (told,) = why_nots_of(world, alice, ask(world, alice, walltime_seconds=24 * HOUR + 1))
    assert (told.requirement, told.needed, told.found) == (Requirement.WALLTIME, 24 * HOUR + 1, 24 * HOUR)
    code, reason = refusal(world, alice, order(only_offer(world, alice), walltime_seconds=24 * HOUR + 1))
    assert (code, "walltime_seconds: 1 to 86400" in reason) == ("MALFORMED", True)


def test_unknown_programs(world: World, alice: Party, site: Party) -> None:
    record = ask(world, alice, programs=(Program(name="nobody-has-it", version="9"),))
    assert record.offers == 0
    (told,) = why_nots_of(world, alice, record)
    assert (told.requirement, told.missing) == (Requirement.PROGRAMS, (Program(name="nobody-has-it", version="9"),))
    code, reason = refusal(world, alice, RentalOrder(request=record.request, cores=1))
    assert (code, record.request in reason) == ("NOT_FOUND", True)


@pytest.mark.parametrize("name", [f"{CYRILLIC_A}lice", "alice\u200b", "ALICE", "al\u0131ce", "\uff41lice", "alice\u0301"])
def test_names_that_look_like_another(world: World, alice: Party, name: str) -> None:
    code, reason = refusal(world, world.root, world.token(b"x", name, Role.USER))
    assert (code, "member" in reason or "printable" in reason) == ("MALFORMED", True)
    assert refusal(world, world.root, dataclasses.replace(CREDIT, member=name))[0] in ("NOT_FOUND", "MALFORMED")


def test_nobody_rents_from_itself(world: World, alice: Party, site: Party) -> None:
    """A member has one role, so this state cannot come about by entries; the rule holds all the same."""
    offer = only_offer(world, alice)
    record = decode_stored(StoredMember, world.state.get("member/site") or b"")
    assert refusal(world, world.root, world.token(b"x", "site", Role.USER))[0] == "ALREADY_EXISTS"
    asks_itself = StoredMember(
        role=Role.USER, vetting=record.vetting, revoked=False, attributes=(), enrolled_at=record.enrolled_at
    )
    world.state.write([("member/site", encode_stored(asks_itself))])
    (told,) = why_nots_of(world, site, ask(world, site))
    assert told.requirement is Requirement.OWN
    assert refusal(world, site, order(offer))[0] == "NOT_FOUND"
    with pytest.raises(Refused, match="nobody rents from itself") as told_to:
        choose(world.state, "site", order(offer), at=world.at)
    assert told_to.value.code == EntryOutcome.NOT_PERMITTED


def test_ends_of_jobs_that_were_never_reported(world: World, alice: Party, site: Party) -> None:
    """An end may be the first that is heard of a job: short ones and those of a time when the agent was down. It proves nothing more."""
    rental = rented(world, alice)
    other = open_cluster(world, "c2")
    ended = {"state": JobState.DONE, "outcome": Outcome.COMPLETED, "owner": rental.username, "cores": 16, "observed_at": world.at}
    assert refusal(world, other, jobs(**ended))[0] == "NOT_PERMITTED"
    assert refusal(world, alice, jobs(**ended))[0] == "NOT_PERMITTED"
    assert refusal(world, site, jobs(body_cluster="c9", cluster="c9", **ended))[0] == "NOT_FOUND"
    assert refusal(world, site, jobs(cluster="c2", **ended))[0] == "MALFORMED"
    lost = ended | {"state": JobState.FAILED, "outcome": Outcome.LOST}
    assert refusal(world, site, jobs(**lost))[0] == "ILLEGAL_TRANSITION"
    assert refusal(world, site, jobs(**(ended | {"incarnation": None})))[0] == "MALFORMED"
    before = world.state.get("account/alice")
    world.must(other, jobs(body_cluster="c2", cluster="c2", **ended, wall_seconds=3600))
    assert world.state.get("account/alice") == before, "another cluster's job of that name is somebody else's"
    world.must(site, jobs(**ended))
    assert world.state.get("account/alice") == before, "an end without any time was no use of anything"
    world.must(site, jobs(job_id="8", wall_seconds=10**6, **ended))
    assert world.state.get("account/alice") == before, "nobody used more time than has passed since the rental was granted"
    again = jobs(job_id="8", owner=rental.username, observed_at=world.at)
    assert refusal(world, site, again)[0] == "ILLEGAL_TRANSITION"


def test_the_ledgers_time_never_goes_back(world: World, alice: Party, site: Party) -> None:
    state = ClusterState(cluster="c1", observed_at=world.at - 1)
    code, reason = refusal(world, site, state)
    assert (code, "younger sample" in reason) == ("STALE", True)
    world.must(site, jobs(started_at=1000, observed_at=world.at))
    back = jobs(state=JobState.QUEUED, native_state="Q", observed_at=world.at - 1)
    assert refusal(world, site, back)[0] == "ILLEGAL_TRANSITION"
    rental = rented(world, alice)
    before = world.state.get("account/alice")
    world.at += 10 * 3_600_000
    ended = jobs(
        job_id="9", state=JobState.DONE, outcome=Outcome.COMPLETED, owner=rental.username, cores=16,
        started_at=world.at, ended_at=world.at - 3_600_000, observed_at=world.at,
    )  # fmt: skip
    world.must(site, ended)
    assert world.state.get("account/alice") == before, "an end before its start says nothing of use"
    tell_state(world, site, "c1")
    assert world.applied[-1].entry.outcomes == (EntryOutcome.ACCEPTED,)
