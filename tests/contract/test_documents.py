# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Vetting with documents by digest: who may name them and see them, what a decision may name, and what is kept of it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from hpcbridge.contract import queries
from hpcbridge.contract.documents import MAX_DOCUMENTS
from hpcbridge.contract.events import decode_event
from hpcbridge.contract.records import MemberRecord, VettingRecord
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import EventType, Rejected, RejectionCode
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import Decision, Document, Documents, Parameters, Revocation
from hpcbridge.wire.convert import decode, encode
from tests.contract.rental_book import refusal
from tests.fold_world import Party, World


def document(text: str, *, kind: str = "statutes", title: str = "Statutes of 2024") -> Document:
    return Document(digest=hashlib.sha256(text.encode()).digest(), kind=kind, title=title)


STATUTES, INVOICE = document("the statutes"), document("an invoice", kind="invoice", title="Invoice 7, ภาษาไทย")
BOTH = tuple(sorted((STATUTES.digest, INVOICE.digest)))


def member(world: World, name: str, by: Party | None = None) -> MemberRecord:
    return queries.member(world.state, world.caller(by or world.root), name, at=world.at)


def decided(world: World, name: str, vetting: Vetting, *documents: bytes, note: str = "seen") -> int:
    return world.must(world.root, Decision(name=name, vetting=vetting, note=note, documents=documents)).entry.index


@pytest.fixture
def newcomer(world: World) -> Party:
    world.must(world.root, Parameters(values=(("vet_users", 1),)))
    return world.enrol("newcomer", Role.USER)


def test_a_member_that_waits_names_documents_and_is_let_in_for_them(world: World, newcomer: Party) -> None:
    assert member(world, "newcomer").vetting is Vetting.PENDING
    body = Documents(documents=(STATUTES, INVOICE))
    applied = world.must(newcomer, body)
    (event,) = applied.events
    assert (event.type, event.audience, decode_event(event).record) == (EventType.DOCUMENTS_SUBMITTED, "newcomer", body)
    shown = member(world, "newcomer", newcomer).documents
    assert {record.document for record in shown} == {STATUTES, INVOICE}
    assert {(record.index, record.at, record.installation) for record in shown} == {(applied.entry.index, world.at, "main")}
    world.at += 1000
    index = decided(world, "newcomer", Vetting.APPROVED, *BOTH)
    record = member(world, "newcomer", newcomer)
    assert record.vetting is Vetting.APPROVED
    (found,) = record.decisions
    decision = Decision(name="newcomer", vetting=Vetting.APPROVED, note="seen", documents=BOTH)
    assert found == VettingRecord(decision=decision, index=index, at=world.at, admin="root")


def test_every_decision_stays_on_record(world: World, newcomer: Party) -> None:
    world.must(newcomer, Documents(documents=(STATUTES,)))
    steps = [Vetting.REJECTED, Vetting.APPROVED, Vetting.SUSPENDED, Vetting.APPROVED]
    indexes = [decided(world, "newcomer", step, *([STATUTES.digest] if step is Vetting.APPROVED else [])) for step in steps]
    found = member(world, "newcomer").decisions
    assert [(each.decision.vetting, each.index, len(each.decision.documents)) for each in found] == list(
        zip(steps, indexes, [0, 1, 0, 1], strict=True)
    )


def test_whoever_was_turned_down_may_name_more(world: World, newcomer: Party) -> None:
    for vetting in (Vetting.REJECTED, Vetting.APPROVED, Vetting.SUSPENDED):
        decided(world, "newcomer", vetting)
        world.must(newcomer, Documents(documents=(document(vetting.value),)))
    assert len(member(world, "newcomer").documents) == 3
    world.must(world.root, Revocation(member="newcomer", installation=None, reason=""))
    answer = world.send(newcomer, Documents(documents=(STATUTES,)))
    assert isinstance(answer, Rejected)
    assert answer.code is RejectionCode.REVOKED


def test_a_cluster_is_decided_on_by_documents_of_its_provider(world: World, provider: Party, newcomer: Party) -> None:
    world.must(provider, Registration(cluster="c2", login_address="l"))
    world.must(provider, Documents(documents=(STATUTES,)))
    world.must(newcomer, Documents(documents=(INVOICE,)))
    answer = refusal(world, world.root, Decision(name="c2", vetting=Vetting.APPROVED, note="", documents=(INVOICE.digest,)))
    assert answer[0] == "NOT_FOUND"
    decided(world, "c2", Vetting.APPROVED, STATUTES.digest)
    (found,) = queries.cluster(world.state, world.caller(provider), "c2").decisions
    assert (found.decision.documents, found.admin) == ((STATUTES.digest,), "root")
    world.must(world.root, Revocation(member="siteone", installation=None, reason="gone"))
    told = queries.cluster(world.state, world.caller(world.root), "c2").decisions
    assert [each.decision.vetting for each in told] == [Vetting.APPROVED, Vetting.SUSPENDED]
    assert [each.decision.vetting for each in member(world, "siteone").decisions] == []


@pytest.mark.parametrize(
    ("documents", "code", "part"),
    [
        ((), "MALFORMED", "at least one"),
        ((STATUTES, STATUTES), "MALFORMED", "each once"),
        ((dataclasses.replace(STATUTES, digest=b"\x01" * 31),), "MALFORMED", "32 bytes"),
        ((dataclasses.replace(STATUTES, kind=""),), "MALFORMED", "kind"),
        ((dataclasses.replace(STATUTES, kind="Statutes"),), "MALFORMED", "kind"),
        ((dataclasses.replace(STATUTES, kind="st\u0430tutes"),), "MALFORMED", "kind"),
        ((dataclasses.replace(STATUTES, kind="x" * 41),), "MALFORMED", "kind"),
        ((dataclasses.replace(STATUTES, title=""),), "MALFORMED", "title"),
        ((dataclasses.replace(STATUTES, title="x" * 121),), "MALFORMED", "title"),
        (tuple(document(str(number)) for number in range(MAX_DOCUMENTS + 1)), "TOO_MANY", "at most 64"),
    ],
)
def test_documents_that_make_no_sense(world: World, newcomer: Party, documents: tuple[Document, ...], code: str, part: str) -> None:
    told = refusal(world, newcomer, Documents(documents=documents))
    assert (told[0], part in told[1]) == (code, True), told


def test_a_document_is_named_once_and_64_at_most(world: World, newcomer: Party) -> None:
    world.must(newcomer, Documents(documents=(STATUTES,)))
    assert refusal(world, newcomer, Documents(documents=(INVOICE, STATUTES)))[0] == "ALREADY_EXISTS"
    world.must(newcomer, Documents(documents=tuple(document(str(number)) for number in range(MAX_DOCUMENTS - 1))))
    assert refusal(world, newcomer, Documents(documents=(INVOICE,)))[0] == "TOO_MANY"


@pytest.mark.parametrize(
    ("digests", "code"),
    [
        ((INVOICE.digest,), "NOT_FOUND"),
        ((STATUTES.digest[:31],), "NOT_FOUND"),
        ((b"",), "NOT_FOUND"),
        ((STATUTES.digest, STATUTES.digest), "MALFORMED"),
        (tuple(reversed(BOTH)), "MALFORMED"),
    ],
)
def test_what_an_admin_cannot_have_read(world: World, newcomer: Party, digests: tuple[bytes, ...], code: str) -> None:
    world.must(newcomer, Documents(documents=(STATUTES,)))
    body = Decision(name="newcomer", vetting=Vetting.APPROVED, note="", documents=digests)
    assert refusal(world, world.root, body)[0] == code
    assert member(world, "newcomer").vetting is Vetting.PENDING


def test_a_new_epoch_needs_no_documents(world: World, newcomer: Party) -> None:
    world.must(newcomer, Documents(documents=(STATUTES,)))
    body = Decision(name="newcomer/main", vetting=Vetting.APPROVED, note="", documents=(STATUTES.digest,))
    assert refusal(world, world.root, body)[0] == "MALFORMED"


def test_a_network_may_want_documents_to_be_read(world: World, newcomer: Party) -> None:
    world.must(world.root, Parameters(values=(("vet_documents", 2),)))
    world.must(newcomer, Documents(documents=(STATUTES, INVOICE)))
    told = refusal(world, world.root, Decision(name="newcomer", vetting=Vetting.APPROVED, note="", documents=BOTH[:1]))
    assert (told[0], "vet_documents" in told[1]) == ("ILLEGAL_TRANSITION", True)
    decided(world, "newcomer", Vetting.APPROVED, *BOTH)
    decided(world, "newcomer", Vetting.SUSPENDED)
    decided(world, "newcomer", Vetting.APPROVED)


@pytest.mark.parametrize(
    ("parameters", "pending"),
    [
        ((), set()),
        ((("vet_members", 1),), {Role.PROVIDER, Role.USER}),
        ((("vet_providers", 1),), {Role.PROVIDER}),
        ((("vet_users", 1),), {Role.USER}),
        ((("vet_providers", 1), ("vet_users", 1)), {Role.PROVIDER, Role.USER}),
    ],
)
def test_who_waits_for_an_admin(world: World, parameters: tuple[tuple[str, int], ...], pending: set[Role]) -> None:
    if parameters:
        world.must(world.root, Parameters(values=parameters))
    for role in (Role.PROVIDER, Role.USER, Role.ADMIN):
        name = f"new-{role.value.lower()}"
        world.enrol(name, role)
        assert (member(world, name).vetting is Vetting.PENDING) is (role in pending)


def test_who_sees_documents(world: World, newcomer: Party, provider: Party) -> None:
    world.must(newcomer, Documents(documents=(STATUTES,)))
    other = world.enrol("other", Role.USER)
    for looker in (provider, other):
        with pytest.raises(Refused):
            member(world, "newcomer", looker)
    watcher = world.enrol("watcher", Role.USER, attributes=(("auditor", "true"),))
    decided(world, "watcher", Vetting.APPROVED)
    expected = member(world, "newcomer").documents
    assert {member(world, "newcomer", looker).documents for looker in (watcher, newcomer)} == {expected}
    (listed,) = [each for each in queries.members(world.state, world.caller(world.root), at=world.at) if each.name == "newcomer"]
    assert listed.documents[0].document == STATUTES
    assert refusal(world, world.root, Documents(documents=(STATUTES,)))[0] == "NOT_PERMITTED"


def test_before_the_market_there_are_none(tmp_path: Path) -> None:
    world = World(tmp_path, contract_version=1)
    user = world.enrol("ann", Role.USER)
    assert world.outcomes(user, Documents(documents=(STATUTES,))) == ["UNKNOWN_TYPE"]
    body = Decision(name="ann", vetting=Vetting.SUSPENDED, note="", documents=(STATUTES.digest,))
    assert refusal(world, world.root, body)[0] == "MALFORMED"
    world.must(world.root, dataclasses.replace(body, documents=()))
    assert member(world, "ann").decisions == ()
    assert refusal(world, world.root, Parameters(values=(("vet_users", 1),)))[0] == "MALFORMED"


def test_words_travel() -> None:
    body = Documents(documents=(STATUTES, INVOICE))
    assert decode(Documents, encode(body)) == body
    decision = Decision(name="ann", vetting=Vetting.APPROVED, note="", documents=BOTH)
    assert decode(Decision, encode(decision)) == decision
