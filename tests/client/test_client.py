# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The Python client as programs use it: a user, an admin, a provider and an auditor, each with an identity of its own."""

from __future__ import annotations

import itertools
import json
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from hpcbridge.client import Client, Program, Request
from hpcbridge.errors import CertificateExpired, ConfigError, EnrolmentRefused, Refused
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.receipt import receipt_to_text
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import CertificateFacts, Role
from hpcbridge.model.jobs import Job, Outcome, Phase
from hpcbridge.model.market import LineKind, Rental, RentalEnd, RentalState, Requirement
from hpcbridge.model.transactions import Document
from hpcbridge.wire.enrolment import enrol
from tests.ctl_network import Network
from tests.played_site import PlayedSite

_names = itertools.count(1)
WANTED = Request(cores=16, walltime_seconds=7200)


def new_user(network: Network, *, credit: int = 50_000_000) -> Client:
    name = f"user-{next(_names)}"
    network.enrol("root", name, "user")
    if credit:
        with Client(network.identity("root")) as admin:
            admin.credit(name, credit, reference="first")
    return Client(network.identity(name))


def rented(user: Client) -> Rental:
    return user.rent_best(user.request(WANTED).request.request)


def test_from_a_request_to_the_statement(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        answer = user.request(WANTED)
        (offer,) = answer.offers
        assert (offer.request, answer.request.offers, user.offers(offer.request)) == (answer.request.request, 1, answer.offers)
        assert "aurora" not in repr(answer)
        rental = user.rent(offer.offer, offer.queues[0].label, extra_limit=1)
        assert (rental.cluster, rental.cores, rental.extra_limit) == ("aurora", 16, 1)
        balance = user.balance()
        assert (balance.balance, balance.held) == (50_000_000 - rental.deposit, rental.deposit)
        site.ready(rental)
        site.run_job(rental, "100", Outcome.FAILED)
        events = list(user.follow_rental(rental))
        phases = [event.body.phase for event in events if isinstance(event.body, Job)]
        assert phases == [Phase.QUEUE, Phase.RUN, Phase.END]
        types = [event.type for event in events if event.type is not EventType.JOB_CHANGED]
        assert types == [EventType.RENTAL_GRANTED, EventType.RENTAL_READY, EventType.RENTAL_ENDED, EventType.RENTAL_SETTLED]
        statement = user.statement(rental.rental)
        assert (statement.rental.state, statement.rental.end) == (RentalState.ENDED, RentalEnd.COMPLETED)
        assert [line.kind for line in statement.lines] == [LineKind.DEPOSIT, LineKind.USAGE, LineKind.REFUND]
        assert user.receipt(rental.index).index == rental.index
        assert user.rental(rental.rental) == statement.rental
        (job,) = user.jobs("aurora")
        assert user.job("aurora", "100") == job
        assert [each.request for each in user.requests()] == [rental.request]


def test_why_and_what_providers_hear_of_it(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        answer = user.request(Request(cores=1, programs=(Program(name="namd", version="3"),)))
        assert answer.offers == ()
        (why,) = user.why(answer.request.request)
        assert (why.requirement, why.missing) == (Requirement.PROGRAMS, (Program(name="namd", version="3"),))
        (demand,) = site.client.program_demand()
        assert (demand.program.name, demand.count) == ("namd", 1)


def test_less_than_asked_for_and_given_back(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        rental = user.rent_best(user.request(WANTED).request.request, cores=4, walltime_seconds=3600)
        assert (rental.cores, rental.walltime_seconds, rental.deposit * 4) == (4, 3600, rented(user).deposit)
        assert user.cancel(rental.rental).index > rental.index
        assert rental.rental not in [each.rental for each in user.rentals(open_only=True)]
        assert rental.rental in [each.rental for each in user.rentals()]
        with pytest.raises(Refused) as no:
            user.cancel(rental.rental)
        assert no.value.code == "ILLEGAL_TRANSITION"
        theirs = next(each for each in site.client.rentals() if each.rental == rental.rental)
        assert (theirs.member, theirs.submitter, theirs.offer, theirs.username) == (None, None, None, rental.username)


def test_each_refusal_has_its_code(network: Network, site: PlayedSite) -> None:
    with new_user(network, credit=0) as poor, new_user(network) as other:
        request = poor.request(WANTED).request.request
        for code, call in (
            ("NO_CREDIT", lambda: poor.rent_best(request)),
            ("NOT_FOUND", lambda: other.rent_best(request)),
            ("NOT_FOUND", lambda: other.rent(f"{request}-1", "q1")),
            ("NOT_FOUND", lambda: poor.rent(f"{request}-1", "q7")),
            ("NOT_FOUND", lambda: poor.rent("no offer", "q1")),
            ("NOT_FOUND", lambda: other.why(request)),
            ("NOT_FOUND", lambda: other.cancel("l1")),
            ("MALFORMED", lambda: poor.request(Request(cores=0))),
            ("NOT_PERMITTED", poor.members),
            ("NOT_PERMITTED", lambda: poor.credit("north", 1, reference="me")),
            ("NOT_PERMITTED", lambda: site.client.request(WANTED)),
        ):
            with pytest.raises(Refused) as no:
                call()
            assert (no.value.code, bool(no.value.reason)) == (code, True)
        assert poor.balance() == poor.balance(member=poor.submitter.member)
        assert poor.rentals() == ()


def test_offers_that_are_over(network: Network, site: PlayedSite) -> None:
    with Client(network.identity("root")) as admin, new_user(network) as user:
        admin.set_parameters({"offer_life_ms": 1000})
        try:
            answer = user.request(WANTED)
            threading.Event().wait(1.1)
            with pytest.raises(Refused, match="OUTDATED"):
                user.rent_best(answer.request.request)
        finally:
            admin.set_parameters({"offer_life_ms": 900_000})
        assert user.rent_best(user.request(WANTED).request.request).state is RentalState.GRANTED


def test_following_is_of_one_rental_and_goes_on_from_a_cursor(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        first, second = rented(user), rented(user)
        site.run_job(first, "201")
        site.run_job(second, "202")
        seen = list(user.follow_rental(second))
        assert {event.body.job_id for event in seen if isinstance(event.body, Job)} == {"202"}
        assert {event.subject for event in seen if not isinstance(event.body, Job)} == {second.rental}
        for place, event in enumerate(seen):
            assert list(user.follow_rental(second, event.cursor)) == seen[place + 1 :]
        everything = [event.cursor for event in user.events()]
        assert {event.cursor for event in seen} < set(everything)
        assert {event.body.job_id for event in user.follow_rental(first) if isinstance(event.body, Job)} == {"201"}


def test_what_an_admins_script_does(network: Network, site: PlayedSite, tmp_path: Path) -> None:
    with Client(network.identity("root")) as admin:
        assert admin.role is Role.ADMIN
        token = admin.invite(Role.USER, "guest", attributes={"auditor": "true"})
        enrol(token, "laptop", KeyDirectory(tmp_path / "guest"))
        with pytest.raises(EnrolmentRefused):
            enrol(token, "again", KeyDirectory(tmp_path / "again"))
        guest = admin.member("guest")
        assert (guest.attributes, [each.name for each in guest.installations]) == ((("auditor", "true"),), ["laptop"])
        assert "guest" in [each.name for each in admin.members()]
        admin.credit("guest", 5_000_000, reference="invoice 7")
        with pytest.raises(Refused, match="ALREADY_EXISTS"):
            admin.credit("guest", 5_000_000, reference="invoice 7")
        assert admin.balance(member="guest").balance == 5_000_000
        admin.suspend("guest", note="unpaid")
        assert admin.member("guest").vetting is Vetting.SUSPENDED
        admin.approve("guest")
        admin.set_parameters({"rentals_open": 19})
        assert admin.parameters()["rentals_open"] == 19
        with Client(tmp_path / "guest") as auditor:
            assert auditor.members() == admin.members()
            assert dict(auditor.status().refusals)["CREDIT:ALREADY_EXISTS"] == 1
            checkpoint = auditor.export(tmp_path / "log")
            assert checkpoint.size <= auditor.verified_checkpoint().size
            assert "verified" in network.ok("root", "ledger", "verify", str(tmp_path / "log")).lower()
            assert receipt_to_text(auditor.receipt(checkpoint.size - 1))
        admin.revoke("guest", reason="left")
        assert admin.member("guest").revoked
        assert admin.clusters()[0] == admin.cluster("aurora")
        site.client.submit(Registration(cluster="shoal", login_address="login.shoal.example")).check_accepted()
        admin.reject("shoal")
        assert admin.cluster("shoal").vetting is Vetting.REJECTED
        assert list(admin.gaps()) == []
        assert site.client.nodes("aurora") == ()
        with pytest.raises(Refused):
            admin.activate_contract(1)


def test_documents_for_vetting(network: Network) -> None:
    statute = Document(digest=sha256(b"the statute").digest(), kind="statute", title="Statute of 2024")
    with Client(network.identity("root")) as admin, new_user(network) as user:
        user.submit_documents(statute)
        name = user.submitter.member
        with pytest.raises(Refused, match="NOT_FOUND"):
            admin.suspend(name, documents=[sha256(b"another").digest()])
        admin.suspend(name, note="read", documents=[statute.digest, statute.digest])
        found = user.member()
        assert [each.document for each in found.documents] == [statute]
        assert found.decisions[-1].decision.documents == (statute.digest,)


def test_a_certificate_is_renewed_on_the_way_of_a_call(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_user(network) as user:
        path = network.identity(user.submitter.member)
        before = certificate_of(path)
        user.balance()
        assert certificate_of(path) == before
        threading.Event().wait(1.1)  # certificates count whole seconds
        monkeypatch.setattr("hpcbridge.submitter.connection.wall_clock", lambda: before.not_after_at - 1000)
        user.balance()
        assert certificate_of(path).not_after_at > before.not_after_at
        assert user.request(WANTED).request.index


def test_a_renewal_that_fails_matters_only_at_the_end(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with new_user(network) as plain:
        path = network.identity(plain.submitter.member)
        profile = json.loads((path / "profile.json").read_text())
        (path / "profile.json").write_text(json.dumps({**profile, "enrolment_address": "127.0.0.1:1"}))
        end = certificate_of(path).not_after_at
        with Client(path) as user:
            monkeypatch.setattr("hpcbridge.submitter.connection.wall_clock", lambda: end - 1000)
            assert user.balance().balance
            assert "could not be renewed yet" in caplog.text
        with Client(path) as late:
            monkeypatch.setattr("hpcbridge.submitter.connection.wall_clock", lambda: end)
            with pytest.raises(CertificateExpired):
                late.balance()


def certificate_of(path: Path) -> CertificateFacts:
    keys = KeyDirectory(path)
    return read_certificate(keys.load_certificate(), keys.load_profile().origin)


def test_a_user_has_a_job_watched_of_its_own_rental_alone(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user, new_user(network) as other:
        rental = rented(user)
        user.watch_job("aurora", "999", owner=rental.username)
        with pytest.raises(Refused, match="NOT_PERMITTED"):
            other.watch_job("aurora", "999", owner=rental.username)
        heard = [event.body.job_id for event in site.client.events(types=(EventType.JOB_WATCHED,))]
        assert heard == ["999"]


def test_without_an_identity_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no identity") as missing:
        Client(tmp_path)
    assert "hpcbridgectl enrol" in missing.value.hint
