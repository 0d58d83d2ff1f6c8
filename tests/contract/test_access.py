# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Table 1 over every function, role and state of the key, and the visibility table cell by cell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcbridge.contract import CONTRACT_VERSION, FUNCTIONS, queries
from hpcbridge.contract.access import (
    QUESTIONS,
    TABLE_1,
    VISIBILITY,
    Kind,
    Query,
    Relation,
    Share,
    audience_of,
    check_query,
    may_see,
    share_of,
)
from hpcbridge.errors import Refused
from hpcbridge.fold import Applied
from hpcbridge.identity.keys import new_key
from hpcbridge.model.clusters import ClusterState, Registration, Vetting
from hpcbridge.model.entries import Rejected, RejectionCode, Retry, RetryCode
from hpcbridge.model.identities import Caller, CertificateFacts, Role, Submitter
from hpcbridge.model.market import (
    AccountRenewal,
    AccountReport,
    AccountState,
    Cancellation,
    ContractActivation,
    Credit,
    RentalOrder,
    Request,
)
from hpcbridge.model.nodes import Availability
from hpcbridge.model.transactions import (
    Body,
    Decision,
    Document,
    Documents,
    Enrolment,
    EpochReason,
    EpochStart,
    Gap,
    Genesis,
    JobWatch,
    NodeChange,
    NodeChanges,
    Parameters,
    PayloadType,
    Renewal,
    Revocation,
    Tick,
)
from tests.fold_world import DAY_MS, Party, World, job, job_changes

BODIES: dict[PayloadType, Callable[[World], Body]] = {
    PayloadType.GENESIS: lambda _world: Genesis(
        origin="test",
        ca_certificate=b"",
        log_key=b"",
        first_admin="root2",
        first_admin_token_digest=b"",
        token_expires_at=1,
        system_nodes=(),
        parameters=(),
        contract_version=1,
        created_at=1,
    ),
    PayloadType.TICK: lambda _world: Tick(),
    PayloadType.TOKEN: lambda world: world.token(b"new", "newcomer", Role.USER),
    PayloadType.ENROLMENT: lambda world: Enrolment(
        token_digest=hashlib.sha256(b"waiting").digest(), facts=world.issue(Submitter("late", "x"), Role.USER, new_key())
    ),
    PayloadType.RENEWAL: lambda world: Renewal(facts=renewal(world)),
    PayloadType.REVOCATION: lambda _world: Revocation(member="victim", installation=None, reason=""),
    PayloadType.DECISION: lambda _world: Decision(name="victim", vetting=Vetting.SUSPENDED, note=""),
    PayloadType.PARAMETERS: lambda _world: Parameters(values=(("vet_members", 1),)),
    PayloadType.REGISTRATION: lambda _world: Registration(cluster="c1", login_address="other"),
    PayloadType.CLUSTER_STATE: lambda _world: ClusterState(cluster="c1", observed_at=1),
    PayloadType.NODE_CHANGES: lambda _world: NodeChanges(
        cluster="c1", changes=(NodeChange(node="n1", availability=Availability.UP, native_state="IDLE", reason=None, observed_at=1),)
    ),
    PayloadType.JOB_CHANGES: lambda _world: job_changes(job()),
    PayloadType.JOB_WATCH: lambda _world: JobWatch(cluster="c1", job_id="1"),
    PayloadType.GAP: lambda _world: Gap(cluster="c1", reason="", since_at=1, until_at=2, count=None),
    PayloadType.CREDIT: lambda _world: Credit(member="ann", amount=1, reference="bill 1"),
    PayloadType.REQUEST: lambda _world: Request(cores=1),
    PayloadType.RENTAL: lambda _world: RentalOrder(offer="r1-1", queue="q1", cores=1),
    PayloadType.CANCELLATION: lambda _world: Cancellation(rental="l1"),
    PayloadType.ACCOUNT: lambda _world: AccountReport(rental="l1", state=AccountState.READY),
    PayloadType.ACCOUNT_RENEWAL: lambda _world: AccountRenewal(rental="l1", sealing_key=bytes(32)),
    PayloadType.DOCUMENTS: lambda _world: Documents(documents=(Document(digest=bytes(32), kind="statutes", title="Statutes of 2024"),)),
    PayloadType.CONTRACT: lambda _world: ContractActivation(version=CONTRACT_VERSION),
}
PERMITTED: dict[tuple[str, Role], str] = {
    ("JOB_WATCH", Role.USER): "NOT_PERMITTED",
    ("RENTAL", Role.USER): "NOT_FOUND",
    ("CANCELLATION", Role.USER): "NOT_FOUND",
    ("ACCOUNT", Role.PROVIDER): "NOT_FOUND",
    ("ACCOUNT_RENEWAL", Role.USER): "NOT_FOUND",
    ("CONTRACT", Role.ADMIN): "ILLEGAL_TRANSITION",
}
"""What the role's own rule or the function says of these bodies; elsewhere a permitted role is accepted."""
EXPECTED: dict[Role, set[str]] = {
    Role.PROVIDER: {"REGISTRATION", "CLUSTER_STATE", "NODE_CHANGES", "JOB_CHANGES", "JOB_WATCH", "GAP", "ACCOUNT", "DOCUMENTS"},
    Role.USER: {"REQUEST", "RENTAL", "CANCELLATION", "ACCOUNT_RENEWAL", "JOB_WATCH", "DOCUMENTS"},
    Role.ADMIN: {"TOKEN", "REVOCATION", "DECISION", "PARAMETERS", "JOB_WATCH", "CONTRACT", "CREDIT"},
    Role.SYSTEM_NODE: {"TICK", "ENROLMENT", "RENEWAL"},
}
"""Written by hand from the mission's table, not from the literal."""


def renewal(world: World) -> CertificateFacts:
    victim = world.parties["victim"]  # type: ignore[attr-defined]
    return world.issue(victim.submitter, Role.USER, victim.key, lifetime_ms=60 * DAY_MS)


def cast_of(world: World) -> dict[Role, Party]:
    provider = world.provider()
    user = world.enrol("ann", Role.USER)
    world.parties = {"victim": world.enrol("victim", Role.USER)}  # type: ignore[attr-defined]
    world.must(world.root, world.token(b"waiting", "late", Role.USER))
    return {Role.PROVIDER: provider, Role.USER: user, Role.ADMIN: world.root, Role.SYSTEM_NODE: world.node}


def test_every_function_and_question_has_its_row() -> None:
    assert set(TABLE_1) == set(PayloadType)
    assert set(FUNCTIONS) == set(PayloadType) - {PayloadType.GENESIS}
    assert set(QUESTIONS) == set(Query)
    assert all(set(row) == set(Role) for row in QUESTIONS.values())
    assert set(VISIBILITY) == set(Kind)
    assert set(BODIES) == set(PayloadType) - {PayloadType.EPOCH_START}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("payload_type", list(BODIES))
def test_table_1_for_a_valid_key(tmp_path: Path, role: Role, payload_type: PayloadType) -> None:
    world = World(tmp_path)
    sender = cast_of(world)[role]
    before = world.state.digest()
    answer = world.send(sender, BODIES[payload_type](world))
    assert isinstance(answer, Applied)
    permitted = role in TABLE_1[payload_type].rules
    assert permitted is (payload_type.name in EXPECTED[role])
    expected = PERMITTED.get((payload_type.name, role), "ACCEPTED") if permitted else "NOT_PERMITTED"
    assert [outcome.value for outcome in answer.entry.outcomes] == [expected], answer.reasons
    assert world.state.digest() != before
    if expected != "ACCEPTED":
        assert answer.events == ()
        assert [key for key, _ in answer.writes] == [f"epoch/{sender.submitter}"]


def test_table_1_for_keys_that_are_not_valid(world: World) -> None:
    parties = cast_of(world)
    bodies = {payload_type: make(world) for payload_type, make in BODIES.items()}
    bodies[PayloadType.EPOCH_START] = EpochStart(previous_epoch=b"", last_acknowledged=0, reason=EpochReason.FIRST, gap=None)
    digest, size = world.state.digest(), len(world.applied)
    for role, party in parties.items():
        for body in bodies.values():
            unknown = Party(Submitter("nobody", "x"), role, new_key(), world.new_epoch())
            assert code(world, unknown, body) is RetryCode.KEY_UNKNOWN
            if role is not Role.SYSTEM_NODE:
                at, world.at = world.at, world.at + 31 * DAY_MS
                assert code(world, party, body) is RetryCode.KEY_EXPIRED
                world.at = at
    assert (world.state.digest(), len(world.applied)) == (digest, size)
    other = world.enrol("second", Role.ADMIN)
    for party in (parties[Role.PROVIDER], parties[Role.USER], parties[Role.ADMIN]):
        world.must(other, Revocation(member=party.submitter.member, installation=None, reason=""))
        assert {code(world, party, body) for body in bodies.values()} == {RejectionCode.REVOKED}


def code(world: World, party: Party, body: Body) -> RetryCode | RejectionCode:
    answer = world.send(party, body)
    assert isinstance(answer, Retry | Rejected), answer
    return answer.code


CELLS = {
    Kind.CHECKPOINT: {"submitter", "provider concerned", "user concerned", "admin", "auditor", "others"},
    Kind.RECEIPT: {"submitter", "admin", "auditor"},
    Kind.ENTRY: {"submitter", "admin", "auditor"},
    Kind.REQUEST: {"submitter", "user concerned", "admin", "auditor"},
    Kind.ACCOUNT: {"submitter", "admin", "auditor"},
    Kind.JOB: {"provider concerned", "user concerned", "admin", "auditor"},
    Kind.CLUSTER: {"submitter", "provider concerned", "admin", "auditor"},
    Kind.MEMBER: {"submitter", "admin", "auditor"},
    Kind.SEALED: {"provider concerned", "user concerned"},
}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("relation", list(Relation))
def test_who_sees_what(kind: Kind, relation: Relation) -> None:
    assert (relation in VISIBILITY[kind]) is (relation.value in CELLS[kind])
    role = Role.ADMIN if relation is Relation.ADMIN else Role.USER
    attributes = (("auditor", "true"),) if relation is Relation.AUDITOR else ()
    looker = Caller(submitter=Submitter("looker", "x"), role=role, attributes=attributes)
    stands = relation in (Relation.SUBMITTER, Relation.PROVIDER, Relation.USER)
    owner, owner_is = ("looker", relation) if stands else ("another", Relation.SUBMITTER)
    assert may_see(looker, kind, owner, owner_is=owner_is) is (relation.value in CELLS[kind])


def test_questions() -> None:
    user, provider, admin = (Caller(submitter=Submitter("m", "i"), role=role) for role in (Role.USER, Role.PROVIDER, Role.ADMIN))
    auditor = Caller(submitter=Submitter("m", "i"), role=Role.USER, attributes=(("auditor", "true"),))
    with pytest.raises(Refused, match="NOT_PERMITTED"):
        check_query(user, Query.LIST_ALL_HPC_SYSTEMS)
    with pytest.raises(Refused, match="NOT_PERMITTED"):
        check_query(provider, Query.LIST_ALL_USERS)
    assert check_query(provider, Query.LIST_ALL_HPC_SYSTEMS) is Share.OWN
    between = {Query.LEAVE_SEALED, Query.COLLECT_SEALED}
    assert all(share_of(admin, query) is (Share.NOTHING if query in between else Share.ALL) for query in Query)
    assert all(share_of(auditor, query) is (Share.OWN if query in between else Share.ALL) for query in Query)
    assert (audience_of(provider), audience_of(admin), audience_of(auditor)) == ("m", None, None)


def test_answers_to_those_who_may_not_see(world: World, provider: Party) -> None:
    other = world.provider("sitetwo", "c2")
    user = world.enrol("ann", Role.USER)
    auditor = world.enrol("aud", Role.USER, attributes=(("auditor", "true"),))
    view, at = world.state, world.at
    assert [found.provider for found in queries.clusters(view, world.caller(other))] == ["sitetwo"]
    assert len(queries.clusters(view, world.caller(auditor))) == 2
    assert queries.member(view, world.caller(user), "ann", at=at).role is Role.USER
    assert queries.member(view, world.caller(auditor), "ann", at=at).installations[0].name == "main"
    hidden: tuple[Callable[[], object], ...] = (
        lambda: queries.cluster(view, world.caller(other), "c1"),
        lambda: queries.jobs(view, world.caller(other), "c1"),
        lambda: queries.nodes(view, world.caller(other), "c1"),
        lambda: queries.gaps(view, world.caller(other), "c1"),
        lambda: queries.member(view, world.caller(user), "siteone", at=at),
        lambda: queries.jobs(view, world.caller(user), "c1"),
        lambda: queries.job(view, world.caller(user), "c1", "1"),
    )
    for ask in hidden:
        with pytest.raises(Refused, match="NOT_FOUND"):
            ask()
    forbidden: tuple[Callable[[], object], ...] = (
        lambda: queries.clusters(view, world.caller(user)),
        lambda: queries.members(view, world.caller(provider), at=at),
        lambda: queries.nodes(view, world.caller(user), "c1"),
    )
    for ask in forbidden:
        with pytest.raises(Refused, match="NOT_PERMITTED"):
            ask()
