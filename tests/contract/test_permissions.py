# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""I1: every function × every role × every state of the certificate gives exactly Table 1, and for every type somebody is accepted.

One small market is built for each state. Each case is folded into a layer over it that is thrown away, so no case knows of another.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcbridge.contract import access, queries
from hpcbridge.contract.access import QUESTIONS, TABLE_1, Query, Row, check_query
from hpcbridge.contract.market import stored_rental
from hpcbridge.errors import Refused
from hpcbridge.fold import Applied, WorkingState, fold
from hpcbridge.identity.keys import new_key
from hpcbridge.model.clusters import ClusterState, Rates, Registration, Vetting
from hpcbridge.model.entries import NoEntry, Rejected, Retry
from hpcbridge.model.identities import CertificateFacts, Role, Submitter
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
from tests.contract.market_sites import ask, open_cluster, tell_state
from tests.contract.rental_book import KEY
from tests.fold_world import DAY_MS, Party, World, job, job_changes

ROLES = {Role.PROVIDER: "site", Role.USER: "ann", Role.ADMIN: "deputy", Role.SYSTEM_NODE: "ledger"}
FROM_PENDING = {"EPOCH_START", "DOCUMENTS"}
"""What a member may send whom nobody approved."""
MAY: Mapping[Role, frozenset[str]] = {
    Role.PROVIDER: frozenset(
        ["EPOCH_START", "REGISTRATION", "CLUSTER_STATE", "NODE_CHANGES", "JOB_CHANGES", "JOB_WATCH", "GAP", "ACCOUNT", "DOCUMENTS"]
    ),
    Role.USER: frozenset(["EPOCH_START", "REQUEST", "RENTAL", "CANCELLATION", "ACCOUNT_RENEWAL", "JOB_WATCH", "DOCUMENTS"]),
    Role.ADMIN: frozenset(["EPOCH_START", "TOKEN", "REVOCATION", "DECISION", "PARAMETERS", "JOB_WATCH", "CONTRACT", "CREDIT"]),
    Role.SYSTEM_NODE: frozenset(["EPOCH_START", "TICK", "ENROLMENT", "RENEWAL"]),
}
"""Written by hand from the paper's table and the mission, not from the literal."""


@dataclass
class Market:
    """A world in which each function has something to do: two clusters, two tenants, somebody who waits to enrol."""

    world: World
    parties: dict[str, Party]
    request: str
    rental: str
    other_rental: str

    def body(self, kind: PayloadType) -> Body:
        """One that is accepted of whoever may send it, and is its own."""
        return OWN[kind](self)

    def username(self, rental: str) -> str:
        found = stored_rental(self.world.state, rental)
        assert found is not None
        return found.username


def build(directory: Path) -> Market:
    world = World(directory)
    site, other = open_cluster(world, "c1", world.enrol("site", Role.PROVIDER)), world.enrol("othersite", Role.PROVIDER)
    ann, bob = world.enrol("ann", Role.USER), world.enrol("bob", Role.USER)
    parties = {"site": site, "othersite": other, "ann": ann, "bob": bob, "deputy": world.enrol("deputy", Role.ADMIN), "ledger": world.node}
    for name in ("ann", "bob"):
        world.must(world.root, Credit(member=name, amount=1_000_000_000, reference="first"))
    rental = _rent(world, ann)
    open_cluster(world, "c2", other, rates=Rates(cpu_core_per_hour=1, gpu_core_per_hour=1))
    other_rental = _rent(world, bob)
    world.must(site, AccountReport(rental=rental, state=AccountState.READY))
    parties["victim"] = world.enrol("victim", Role.USER)
    world.must(world.root, world.token(b"waiting", "late", Role.USER))
    tell_state(world, site, "c1")
    request = ask(world, ann).request
    found = Market(world, parties, request, rental, other_rental)
    assert (stored_rental(world.state, rental), stored_rental(world.state, other_rental)) != (None, None)
    return found


def _rent(world: World, user: Party) -> str:
    applied = world.must(user, RentalOrder(request=ask(world, user).request, cores=16, sealing_key=KEY))
    return f"l{applied.entry.index}"


def try_out(market: Market, party: Party, body: Body, **changes: object) -> Applied | NoEntry:
    """What this would become as the next entry; nothing of it stays."""
    world, number = market.world, (party.epoch, party.sequence)
    if isinstance(body, EpochStart):
        changes |= {"epoch": hashlib.sha256(b"next").digest()[:16], "sequence": 1}
    raw = world.seal(party, body, **changes)
    party.epoch, party.sequence = number
    return fold(WorkingState(world.state), raw, index=len(world.applied), at=world.at, proposer=world.node.submitter, origin=world.origin)


def answer(market: Market, party: Party, body: Body, **changes: object) -> tuple[str, str]:
    """Code, and the rule that the reason names."""
    found = try_out(market, party, body, **changes)
    if isinstance(found, Applied):
        (outcome,) = found.entry.outcomes
        reason = found.reasons[0] if found.reasons else ""
        _, _, rule = reason.partition("(rule: ")
        return outcome.value, rule.removesuffix(")")
    assert isinstance(found, Retry | Rejected), found
    return found.code.value, ""


def _renewal(market: Market) -> CertificateFacts:
    victim = market.parties["victim"]
    return market.world.issue(victim.submitter, Role.USER, victim.key, lifetime_ms=60 * DAY_MS)


def _enrolment(market: Market) -> Enrolment:
    facts = market.world.issue(Submitter("late", "x"), Role.USER, new_key())
    return Enrolment(token_digest=hashlib.sha256(b"waiting").digest(), facts=facts)


_UP = NodeChange(node="n1", availability=Availability.UP, native_state="IDLE", reason=None, observed_at=1)
OWN: Mapping[PayloadType, Callable[[Market], Body]] = {
    PayloadType.GENESIS: lambda _: Genesis(
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
    PayloadType.EPOCH_START: lambda _: EpochStart(previous_epoch=b"", last_acknowledged=0, reason=EpochReason.LOST, gap=None),
    PayloadType.TICK: lambda _: Tick(),
    PayloadType.TOKEN: lambda market: market.world.token(b"new", "newcomer", Role.USER),
    PayloadType.ENROLMENT: _enrolment,
    PayloadType.RENEWAL: lambda market: Renewal(facts=_renewal(market)),
    PayloadType.REVOCATION: lambda _: Revocation(member="victim", installation=None, reason=""),
    PayloadType.DECISION: lambda _: Decision(name="victim", vetting=Vetting.SUSPENDED, note=""),
    PayloadType.PARAMETERS: lambda _: Parameters(values=(("vet_members", 1),)),
    PayloadType.REGISTRATION: lambda _: Registration(cluster="c1", login_address="other"),
    PayloadType.CLUSTER_STATE: lambda market: ClusterState(cluster="c1", observed_at=market.world.at),
    PayloadType.NODE_CHANGES: lambda _: NodeChanges(cluster="c1", changes=(_UP,)),
    PayloadType.JOB_CHANGES: lambda _: job_changes(job()),
    PayloadType.JOB_WATCH: lambda _: JobWatch(cluster="c1", job_id="1"),
    PayloadType.GAP: lambda _: Gap(cluster="c1", reason="", since_at=1, until_at=2, count=None),
    PayloadType.CREDIT: lambda _: Credit(member="ann", amount=1, reference="bill 1"),
    PayloadType.REQUEST: lambda _: Request(cores=1),
    PayloadType.RENTAL: lambda market: RentalOrder(request=market.request, cores=1),
    PayloadType.CANCELLATION: lambda market: Cancellation(rental=market.rental),
    PayloadType.ACCOUNT: lambda market: AccountReport(rental=market.rental, state=AccountState.READY),
    PayloadType.ACCOUNT_RENEWAL: lambda market: AccountRenewal(rental=market.rental, sealing_key=bytes([9, *KEY[1:]])),
    PayloadType.DOCUMENTS: lambda _: Documents(documents=(Document(digest=bytes(32), kind="identity", title="a card"),)),
    PayloadType.CONTRACT: lambda _: ContractActivation(version=2),
}
"""What each type has to say here. A user watches a job of its tenant; see `body_of`."""


def body_of(market: Market, kind: PayloadType, role: Role) -> Body:
    if (kind, role) == (PayloadType.JOB_WATCH, Role.USER):
        return JobWatch(cluster="c1", job_id="1", owner=market.username(market.rental))
    if kind is PayloadType.EPOCH_START:
        return market.world.start_body(market.parties[ROLES[role]])
    return market.body(kind)


def decide(market: Market, vetting: Vetting) -> None:
    """Every member but the node gets there."""
    for name in ("site", "ann", "deputy"):
        market.world.must(market.world.root, Decision(name=name, vetting=Vetting.SUSPENDED, note=""))
        if vetting is Vetting.REJECTED:
            market.world.must(market.world.root, Decision(name=name, vetting=vetting, note=""))


def pend(market: Market) -> None:
    """Newcomers whom nobody has approved take the places of the others."""
    world = market.world
    world.must(world.root, Parameters(values=(("vet_members", 1),)))
    market.parties["site"] = world.enrol("newsite", Role.PROVIDER)
    market.parties["ann"] = world.enrol("newuser", Role.USER)


def revoke(market: Market, *, installation: str | None) -> None:
    for name in ("site", "ann", "deputy"):
        market.world.must(market.world.root, Revocation(member=name, installation=installation, reason=""))


def replace_keys(market: Market) -> None:
    """Each installation enrols again; what the old keys sign counts no more."""
    for name, role in (("site", Role.PROVIDER), ("ann", Role.USER), ("deputy", Role.ADMIN)):
        old = market.parties[name]
        market.world.enrol(name, role)
        market.parties[name] = dataclasses.replace(old)


def expire(market: Market) -> None:
    market.world.at += 31 * DAY_MS


def forget(market: Market) -> None:
    for role, name in ROLES.items():
        market.parties[name] = Party(Submitter("nobody", "x"), role, new_key(), market.world.new_epoch())


def second_installations(market: Market) -> None:
    for name, role in (("site", Role.PROVIDER), ("ann", Role.USER), ("deputy", Role.ADMIN)):
        market.parties[name] = market.world.enrol(name, role, installation="second")


def swap_keys(market: Market) -> None:
    """Each signs with the key of another member."""
    parties = market.parties
    keys = {"site": parties["ann"].key, "ann": parties["site"].key, "deputy": parties["ann"].key, "ledger": parties["deputy"].key}
    for name, key in keys.items():
        parties[name].key = key


STATES: Mapping[str, tuple[Callable[[Market], None], str]] = {
    "valid": (lambda _: None, "ACCEPTED"),
    "another installation": (second_installations, "ACCEPTED"),
    "pending": (pend, "NOT_APPROVED"),
    "suspended": (lambda market: decide(market, Vetting.SUSPENDED), "NOT_APPROVED"),
    "rejected": (lambda market: decide(market, Vetting.REJECTED), "NOT_APPROVED"),
    "expired": (expire, "KEY_EXPIRED"),
    "revoked": (lambda market: revoke(market, installation=None), "REVOKED"),
    "installation revoked": (lambda market: revoke(market, installation="main"), "REVOKED"),
    "replaced": (replace_keys, "REVOKED"),
    "unknown": (forget, "KEY_UNKNOWN"),
    "another member's key": (swap_keys, "KEY_UNKNOWN NOT_AUTHENTIC"),
}
NODES = {"valid", "unknown", "another member's key"}
"""States that a system node's key can be in: it does not expire, nobody decides on it, and the last one is not revoked."""


def expected(state: str, kind: PayloadType, role: Role) -> tuple[str, str]:
    """Code and rule by the table above."""
    code = STATES[state][1]
    if code not in ("ACCEPTED", "NOT_APPROVED"):
        return code, ""
    if kind.name not in MAY[role]:
        return "NOT_PERMITTED", "Table 1"
    if code == "NOT_APPROVED" and kind.name not in FROM_PENDING:
        return code, ""
    return "ACCEPTED", ""


def cases(state: str) -> list[tuple[PayloadType, Role]]:
    roles = [role for role in Role if state in NODES or role is not Role.SYSTEM_NODE]
    return [(kind, role) for kind in PayloadType for role in roles if not (state == "pending" and role is Role.ADMIN)]


def check_state(directory: Path, state: str) -> int:
    """Every case of one state; how many were accepted."""
    market = build(directory)
    STATES[state][0](market)
    accepted = 0
    for kind, role in cases(state):
        party = market.parties[ROLES[role]]
        code, rule = expected(state, kind, role)
        got = answer(market, party, body_of(market, kind, role))
        if state == "pending" and role is not Role.ADMIN and (code, rule) == ("NOT_APPROVED", ""):
            # newcomers own nothing, so their own rule may come before; nothing of theirs is accepted in either case
            assert got[0] in ("NOT_APPROVED", "NOT_FOUND", "NOT_PERMITTED", "ALREADY_EXISTS"), (state, kind.name, role, got)
        elif kind is PayloadType.CONTRACT and code == "ACCEPTED":
            assert got[0] == "ILLEGAL_TRANSITION", "it is in force already; an admin may, and test_versions has one that does"
            accepted += 1
        else:
            assert got[0] in code.split() or got[0] == code, (state, kind.name, role, got)
            assert got[1] == rule, (state, kind.name, role, got)
            accepted += code == "ACCEPTED"
    return accepted


@pytest.mark.parametrize("state", list(STATES))
def test_i1_exactly_table_1(tmp_path: Path, state: str) -> None:
    accepted = check_state(tmp_path, state)
    roles = [role for role in Role if state in NODES or role is not Role.SYSTEM_NODE]
    if STATES[state][1] == "ACCEPTED":
        assert accepted == sum(len(MAY[role]) for role in roles)
    elif STATES[state][1] != "NOT_APPROVED":
        assert accepted == 0


def test_i1_is_about_everything_there_is() -> None:
    assert set(OWN) == set(TABLE_1) == set(PayloadType)
    assert set(ROLES) == set(MAY) == set(Role)
    assert {kind.name for kind in PayloadType} - set().union(*MAY.values()) == {"GENESIS"}, "for every other type somebody is accepted"


@pytest.mark.parametrize(
    ("kind", "role"), [(PayloadType.CREDIT, Role.USER), (PayloadType.TICK, Role.ADMIN), (PayloadType.CANCELLATION, Role.PROVIDER)]
)
def test_control_a_table_with_one_cell_more_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: PayloadType, role: Role
) -> None:
    row = Row({**TABLE_1[kind].rules, role: access.always})
    monkeypatch.setattr(access, "TABLE_1", {**TABLE_1, kind: row})
    with pytest.raises(AssertionError):
        check_state(tmp_path, "valid")


def test_control_a_contract_that_asks_for_no_approval_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcbridge.contract._check_approved", lambda *_: None)
    with pytest.raises(AssertionError):
        check_state(tmp_path, "suspended")


OTHERS: tuple[tuple[str, Callable[[Market], Body], str, str], ...] = (
    ("othersite", lambda _: Registration(cluster="c1", login_address="mine"), "ALREADY_EXISTS", "own_or_new_cluster"),
    ("othersite", lambda _: ClusterState(cluster="c1", observed_at=1), "NOT_PERMITTED", "own_cluster"),
    ("othersite", lambda _: NodeChanges(cluster="c1", changes=(_UP,)), "NOT_PERMITTED", "own_cluster"),
    ("othersite", lambda _: job_changes(job()), "NOT_PERMITTED", "own_cluster"),
    ("othersite", lambda _: Gap(cluster="c1", reason="", since_at=1, until_at=2, count=None), "NOT_PERMITTED", "own_cluster"),
    ("othersite", lambda _: Gap(cluster="c9", reason="", since_at=1, until_at=2, count=None), "NOT_FOUND", "own_cluster"),
    ("othersite", lambda _: JobWatch(cluster="c1", job_id="1"), "NOT_PERMITTED", "own_cluster"),
    ("othersite", lambda market: AccountReport(rental=market.rental, state=AccountState.READY), "NOT_FOUND", "own_clusters_rental"),
    ("site", lambda market: AccountReport(rental=market.other_rental, state=AccountState.READY), "NOT_FOUND", "own_clusters_rental"),
    ("bob", lambda market: RentalOrder(request=market.request, cores=1), "NOT_FOUND", "own_request"),
    ("bob", lambda market: RentalOrder(offer=f"{market.request}-1", queue="q1", cores=1), "NOT_FOUND", "own_request"),
    ("bob", lambda _: RentalOrder(offer="r999-1", queue="q1", cores=1), "NOT_FOUND", "own_request"),
    ("bob", lambda market: Cancellation(rental=market.rental), "NOT_FOUND", "own_rental"),
    ("bob", lambda _: Cancellation(rental="l999"), "NOT_FOUND", "own_rental"),
    ("bob", lambda market: AccountRenewal(rental=market.rental, sealing_key=KEY), "NOT_FOUND", "own_rental"),
    ("bob", lambda market: JobWatch(cluster="c1", job_id="1", owner=market.username(market.rental)), "NOT_PERMITTED", "own_tenant"),
    ("bob", lambda _: JobWatch(cluster="c1", job_id="1", owner="nobody"), "NOT_PERMITTED", "own_tenant"),
    ("bob", lambda _: JobWatch(cluster="c1", job_id="1"), "NOT_PERMITTED", "own_tenant"),
    ("deputy", lambda _: JobWatch(cluster="c9", job_id="1"), "NOT_FOUND", "known_cluster"),
)
"""Of somebody else: who, what, and the attribute rule that refuses it."""


def test_i1_what_is_somebody_elses_is_refused_by_its_rule(tmp_path: Path) -> None:
    market = build(tmp_path)
    for who, make, code, rule in OTHERS:
        assert answer(market, market.parties[who], make(market)) == (code, rule), (who, make(market))
    rules = {found.__name__ for row in TABLE_1.values() for found in row.rules.values()}
    assert {rule for *_, rule in OTHERS} == rules - {"always", "own_gap"}


@pytest.mark.parametrize(("who", "code"), [("ann", "NOT_PERMITTED"), ("othersite", "NOT_PERMITTED"), ("site", "ACCEPTED")])
def test_i1_a_gap_told_with_a_new_epoch_is_of_the_callers_own_cluster(tmp_path: Path, who: str, code: str) -> None:
    market = build(tmp_path)
    gap = Gap(cluster="c1", reason="", since_at=1, until_at=2, count=None)
    body = market.world.start_body(market.parties[who], gap=gap)
    assert answer(market, market.parties[who], body) == (code, "" if code == "ACCEPTED" else "own_gap")


def test_somebody_elses_and_nothing_are_answered_alike(tmp_path: Path) -> None:
    """But for the name that was asked for, so that nobody finds out by asking what there is."""
    market = build(tmp_path)
    bob = market.parties["bob"]

    def reason(body: Body, name: str) -> str:
        found = try_out(market, bob, body)
        assert isinstance(found, Applied)
        return found.reasons[0].replace(name, "?")

    absent = market.rental.replace("l", "l9")
    assert reason(Cancellation(rental=market.rental), market.rental) == reason(Cancellation(rental=absent), absent)
    taken, free = market.username(market.rental), "zzzzzzzzzzzz"
    watches = [reason(JobWatch(cluster="c1", job_id="1", owner=name), name) for name in (taken, free)]
    assert watches[0] == watches[1]
    asked, nothing = market.request, market.request.replace("r", "r9")
    assert reason(RentalOrder(request=asked, cores=1), asked) == reason(RentalOrder(request=nothing, cores=1), nothing)


def test_error_failed_evaluating_policy_on_signed_data(tmp_path: Path) -> None:
    """The paper's first error: entities of all roles submit and ask by turns; whoever has no grant is rejected by the policy."""
    market = build(tmp_path)
    refused = 0
    for kind, role in cases("valid"):
        if kind.name not in MAY[role]:
            assert answer(market, market.parties[ROLES[role]], body_of(market, kind, role)) == ("NOT_PERMITTED", "Table 1")
            refused += 1
    assert refused == 4 * len(PayloadType) - sum(map(len, MAY.values()))
    for query, row in QUESTIONS.items():
        for role, share in row.items():
            caller = market.world.caller(market.parties[ROLES[role]])
            if share is access.Share.NOTHING:
                with pytest.raises(Refused, match=rf"NOT_PERMITTED.*role {role} may not ask {query} \(rule: Table 1\)"):
                    check_query(caller, query)
            else:
                assert check_query(caller, query) is share
    with pytest.raises(Refused, match="NOT_PERMITTED"):
        queries.members(market.world.state, market.world.caller(market.parties["ann"]), at=market.world.at)
    # what is signed by a key that is not the submitter's fails before that
    forged = try_out(market, market.parties["ann"], Request(cores=1), key=market.parties["bob"].key)
    assert isinstance(forged, Retry | Rejected)


def test_error_invoking_entity_is_unauthorized(tmp_path: Path) -> None:
    """The paper's second error: the role is right, and the attribute that the function asks for is another's."""
    market = build(tmp_path)
    for who, make, _, _ in OTHERS:
        found = try_out(market, market.parties[who], make(market))
        assert isinstance(found, Applied)
        assert found.events == ()
        assert [key for key, _ in found.writes] == [f"epoch/{market.parties[who].submitter}"]
    assert check_query(market.world.caller(market.parties["ann"]), Query.GET_RENTAL) is access.Share.OWN
