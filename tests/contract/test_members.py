# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens, enrolment, renewal, revocation, vetting and parameters."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from hpcbridge.contract import CONTRACT_VERSION, clusters, queries
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.records import MemberRecord
from hpcbridge.contract.standing import KeyStatus, genesis_record, holder_of, key_status, last_tick_at, stored_token
from hpcbridge.errors import Refused
from hpcbridge.fold import Applied
from hpcbridge.identity.keys import new_key
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import EventType, Rejected, RejectionCode
from hpcbridge.model.identities import Role, Submitter
from hpcbridge.model.transactions import Decision, Enrolment, Parameters, Renewal, Revocation
from tests.fold_world import DAY_MS, Party, World, job, job_changes


def digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def member(world: World, name: str) -> MemberRecord:
    return queries.member(world.state, world.caller(world.root), name, at=world.at)


def test_entry_0_is_on_record(world: World) -> None:
    record = genesis_record(world.state)
    assert record is not None
    assert (record.origin, record.ca_certificate, record.contract_version) == ("test", world.authority.certificate, CONTRACT_VERSION)
    assert record.system_nodes[0].submitter == world.node.submitter
    assert last_tick_at(world.state) is None
    world.tick()
    assert last_tick_at(world.state) == world.at


def test_a_token_admits_once(world: World) -> None:
    world.must(world.root, world.token(b"t", "ann", Role.USER))
    facts = world.issue(Submitter("ann", "laptop"), Role.USER, new_key())
    world.must(world.node, Enrolment(token_digest=digest(b"t"), facts=facts))
    again = world.issue(Submitter("ann", "desktop"), Role.USER, new_key())
    assert world.outcomes(world.node, Enrolment(token_digest=digest(b"t"), facts=again)) == ["TOKEN_INVALID"]
    assert [found.name for found in member(world, "ann").installations] == ["laptop"]
    token = stored_token(world.state, digest(b"t"))
    assert token is not None
    assert token.used


@pytest.mark.parametrize("what", ["unknown", "expired", "member", "role", "attributes", "ended"])
def test_a_token_that_does_not_fit(world: World, what: str) -> None:
    world.must(world.root, world.token(b"t", "ann", Role.USER))
    submitter, role, secret, expected = Submitter("ann", "x"), Role.USER, b"t", "TOKEN_INVALID"
    attributes: tuple[tuple[str, str], ...] = ()
    if what == "member":
        submitter = Submitter("bob", "x")
    elif what == "role":
        role = Role.ADMIN
    elif what == "attributes":
        attributes = (("auditor", "true"),)
    elif what == "unknown":
        secret = b"u"
    facts = world.issue(submitter, role, new_key(), attributes=attributes)
    if what == "expired":
        world.at += 3_600_000
    elif what == "ended":
        short = world.issue(submitter, role, new_key(), lifetime_ms=2000)
        world.at += 2000
        facts, expected = short, "STALE"
    assert world.outcomes(world.node, Enrolment(token_digest=digest(secret), facts=facts)) == [expected]
    with pytest.raises(Exception, match="NOT_FOUND"):
        member(world, submitter.member)


def test_tokens_are_checked(world: World, provider: Party) -> None:
    token = world.token(b"t", "ann", Role.USER)
    for changes, expected in (
        ({"role": Role.SYSTEM_NODE}, "NOT_PERMITTED"),
        ({"member": "No Name"}, "MALFORMED"),
        ({"digest": b"short"}, "MALFORMED"),
        ({"expires_at": world.at}, "MALFORMED"),
        ({"expires_at": world.at + 2 * 3_600_000}, "MALFORMED"),
        ({"attributes": (("Auditor", "x"),)}, "MALFORMED"),
        ({"member": "siteone"}, "ALREADY_EXISTS"),
        ({"member": "ledger"}, "ALREADY_EXISTS"),
    ):
        assert world.outcomes(world.root, dataclasses.replace(token, **changes)) == [expected], changes
    world.must(world.root, token)
    assert world.outcomes(world.root, token) == ["ALREADY_EXISTS"]


def test_a_host_that_was_set_up_again_gets_a_new_key(world: World) -> None:
    first = world.enrol("ann", Role.USER)
    old = world.signer(first).key_id
    world.must(world.root, world.token(b"t", "ann", Role.USER))
    reused = world.issue(first.submitter, Role.USER, first.key)
    assert world.outcomes(world.node, Enrolment(token_digest=digest(b"t"), facts=reused)) == ["ALREADY_EXISTS"]
    again = world.redeem(first.submitter, Role.USER, secret=b"t")
    new = world.signer(again).key_id
    assert key_status(world.state, old, world.at) is KeyStatus.REVOKED
    assert key_status(world.state, new, world.at) is KeyStatus.VALID
    assert key_status(world.state, b"\0" * 32, world.at) is KeyStatus.UNKNOWN
    assert holder_of(world.state, old) == first.submitter
    assert len(member(world, "ann").installations) == 1


def test_renewal(world: World) -> None:
    user = world.enrol("ann", Role.USER, lifetime_ms=DAY_MS)
    assert world.outcomes(world.node, Renewal(facts=user.facts)) == ["STALE"]  # type: ignore[arg-type]
    world.at += 91 * DAY_MS - 1
    assert world.signer(user).status is KeyStatus.EXPIRED
    world.renew(user, lifetime_ms=DAY_MS)
    assert world.signer(user).status is KeyStatus.VALID
    other_key = world.issue(user.submitter, Role.USER, new_key())
    assert world.outcomes(world.node, Renewal(facts=other_key)) == ["NOT_FOUND"]
    more = world.issue(user.submitter, Role.ADMIN, user.key, lifetime_ms=2 * DAY_MS)
    assert world.outcomes(world.node, Renewal(facts=more)) == ["NOT_PERMITTED"]
    world.at += 91 * DAY_MS + 1
    late = world.issue(user.submitter, Role.USER, user.key)
    assert world.outcomes(world.node, Renewal(facts=late)) == ["NOT_PERMITTED"]


def test_revocation_of_a_member_ends_everything_of_it(world: World, provider: Party) -> None:
    second = world.enrol("siteone", Role.PROVIDER, installation="spare")
    answer = world.must(world.root, Revocation(member="siteone", installation=None, reason="left"))
    assert [event.type for event in answer.events] == [EventType.VETTING_CHANGED, EventType.MEMBER_REVOKED]
    for party in (provider, second):
        refused = world.send(party, job_changes(job()))
        assert isinstance(refused, Rejected)
        assert refused.code is RejectionCode.REVOKED
    assert queries.cluster(world.state, world.caller(world.root), "c1").vetting is Vetting.SUSPENDED
    assert world.outcomes(world.root, Decision(name="c1", vetting=Vetting.APPROVED, note="")) == ["NOT_APPROVED"]
    assert world.outcomes(world.root, world.token(b"t", "siteone", Role.PROVIDER)) == ["NOT_APPROVED"]
    assert world.outcomes(world.root, Revocation(member="siteone", installation=None, reason="")) == ["ILLEGAL_TRANSITION"]


def test_revocation_of_one_installation_leaves_the_others(world: World, provider: Party) -> None:
    second = world.enrol("siteone", Role.PROVIDER, installation="spare")
    (event,) = world.must(world.root, Revocation(member="siteone", installation="main", reason="")).events
    assert (event.subject, event.audience) == ("siteone/main", "siteone")
    assert isinstance(decode_event(event).record, Revocation)
    assert isinstance(world.send(provider, job_changes(job())), Rejected)
    world.must(second, job_changes(job()))
    assert world.outcomes(world.root, Revocation(member="siteone", installation="main", reason="")) == ["ILLEGAL_TRANSITION"]
    assert world.outcomes(world.root, Revocation(member="siteone", installation="none", reason="")) == ["NOT_FOUND"]
    assert world.outcomes(world.root, Revocation(member="nobody", installation=None, reason="")) == ["NOT_FOUND"]


def test_nobody_locks_the_door_from_outside(world: World) -> None:
    assert world.outcomes(world.root, Revocation(member="root", installation=None, reason="")) == ["NOT_PERMITTED"]
    assert world.outcomes(world.root, Revocation(member="root", installation="desk", reason="")) == ["NOT_PERMITTED"]
    assert world.outcomes(world.root, Revocation(member="ledger", installation=None, reason="")) == ["NOT_PERMITTED"]
    assert world.outcomes(world.root, Decision(name="root", vetting=Vetting.SUSPENDED, note="")) == ["NOT_PERMITTED"]
    assert world.outcomes(world.root, Decision(name="ledger", vetting=Vetting.SUSPENDED, note="")) == ["NOT_PERMITTED"]


def test_members_wait_where_the_network_vets_them(tmp_path: Path) -> None:
    world = World(tmp_path, parameters=(("vet_members", 1),))
    user = world.enrol("ann", Role.PROVIDER)
    assert member(world, "ann").vetting is Vetting.PENDING
    assert world.outcomes(user, job_changes(job())) == ["NOT_FOUND"]
    world.must(world.root, Decision(name="ann", vetting=Vetting.APPROVED, note=""))
    assert world.outcomes(world.root, Decision(name="ann", vetting=Vetting.REJECTED, note="")) == ["ILLEGAL_TRANSITION"]
    world.must(world.root, Decision(name="ann", vetting=Vetting.SUSPENDED, note=""))
    assert world.outcomes(user, job_changes(job())) == ["NOT_FOUND"]
    assert world.outcomes(world.root, Decision(name="ann", vetting=Vetting.PENDING, note="")) == ["MALFORMED"]
    assert world.outcomes(world.root, Decision(name="bob", vetting=Vetting.APPROVED, note="")) == ["NOT_FOUND"]
    assert world.outcomes(world.root, Decision(name="ann/main", vetting=Vetting.APPROVED, note="")) == ["ILLEGAL_TRANSITION"]
    assert world.outcomes(world.root, Decision(name="ann/none", vetting=Vetting.APPROVED, note="")) == ["NOT_FOUND"]


def test_parameters(world: World) -> None:
    answer = world.must(world.root, Parameters(values=(("epochs_per_day", 7), ("lost_after_ms", 5000))))
    assert [(event.type, event.audience) for event in answer.events] == [(EventType.PARAMETERS_CHANGED, "")]
    found = dict(queries.parameters(world.state, world.caller(world.root)))
    assert (found["epochs_per_day"], found["lost_after_ms"], found["certificate_life_ms"]) == (7, 5000, DAY_MS)
    for values in ((), (("speed", 1),), (("vet_members", 2),), (("lost_after_ms", 0),), (("lost_after_ms", -(2**40)),)):
        assert world.outcomes(world.root, Parameters(values=values)) == ["MALFORMED"]


def test_event_of_an_enrolment(world: World) -> None:
    world.enrol("ann", Role.USER)
    enrolments = [event for entry in world.applied for event in entry.events if event.type is EventType.MEMBER_ENROLLED]
    record = decode_event(enrolments[-1]).record
    assert isinstance(record, MemberRecord)
    assert dataclasses.replace(record, installations=()) == dataclasses.replace(member(world, "ann"), installations=())
    assert record.installations == member(world, "ann").installations


def test_applied_names_its_number(world: World) -> None:
    answer = world.applied[-1]
    assert isinstance(answer, Applied)
    assert answer.number is not None
    assert world.state.number(*answer.number[:3]) is not None


def test_attributes_are_those_of_the_newest_token_that_names_any(world: World) -> None:
    member = world.enrol("ann", Role.USER, attributes=(("auditor", "true"),))
    secret = b"second host"
    world.must(world.root, world.token(secret, "ann", Role.USER))
    world.redeem(Submitter("ann", "second"), Role.USER, secret=secret, attributes=(("auditor", "true"),))
    assert world.caller(member).has_attribute("auditor")
    world.enrol("ann", Role.USER, installation="third", attributes=(("auditor", "false"),))
    assert not world.caller(member).has_attribute("auditor")


def test_a_member_that_waits_or_is_suspended_is_not_approved(world: World) -> None:
    member = world.enrol("ann", Role.USER)
    assert world.caller(member).approved
    world.must(world.root, Decision(name="ann", vetting=Vetting.SUSPENDED, note=""))
    assert not world.caller(member).approved


def test_a_suspended_auditor_watches_nobody_and_would_if_nobody_looked_at_its_standing(world: World) -> None:
    auditor = world.enrol("aud", Role.USER, attributes=(("auditor", "true"),))
    assert queries.members(world.state, world.caller(auditor), at=world.at)
    world.must(world.root, Decision(name="aud", vetting=Vetting.SUSPENDED, note=""))
    with pytest.raises(Refused):
        queries.members(world.state, world.caller(auditor), at=world.at)
    assert queries.members(world.state, dataclasses.replace(world.caller(auditor), approved=True), at=world.at)


def test_a_word_on_a_member_is_none_on_a_strangers_cluster(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mallory = world.enrol("mallory", Role.PROVIDER)
    world.enrol("ann", Role.USER)
    squat = Registration(cluster="ann", login_address="x")
    assert world.outcomes(mallory, squat) == ["ALREADY_EXISTS"]
    monkeypatch.setattr(clusters, "_check_new", lambda *_: None)
    world.must(mallory, squat)
    world.must(world.root, Decision(name="ann", vetting=Vetting.SUSPENDED, note=""))
    world.must(world.root, Decision(name="ann", vetting=Vetting.APPROVED, note=""))
    assert queries.cluster(world.state, world.caller(world.root), "ann").vetting is Vetting.PENDING


def test_a_member_has_so_many_clusters_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MAX_CLUSTERS", 2)
    provider = world.enrol("many", Role.PROVIDER)
    bodies = [Registration(cluster=f"c{number}", login_address="x") for number in range(3)]
    assert [world.outcomes(provider, body) for body in bodies] == [["ACCEPTED"], ["ACCEPTED"], ["NOT_PERMITTED"]]
    assert world.outcomes(provider, dataclasses.replace(bodies[0], login_address="y")) == ["ACCEPTED"]
