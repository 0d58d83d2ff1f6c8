# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens and renewals over the enrolment port (I8 quick share), and what is said to those who are refused."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpcbridge.contract import members
from hpcbridge.contract.standing import stored_token
from hpcbridge.contract.state import Draft
from hpcbridge.errors import EnrolmentRefused, HpcbridgeError, LedgerUnavailable
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import make_token, parse_token
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import Enrolment
from hpcbridge.service.enrolment import EnrolmentOffice
from hpcbridge.wire.client import Endpoint, call_enrolments
from hpcbridge.wire.enrolment import enrol, renew
from hpcbridge.wire.generated import ledger_pb2
from tests.ledger_simulator import LedgerSimulator


def redeem_together(token: str, folder: Path, count: int) -> tuple[list[KeyDirectory], list[HpcbridgeError]]:
    """Many installations redeem one token at the same moment."""
    barrier = threading.Barrier(count)
    winners: list[KeyDirectory] = []
    losers: list[HpcbridgeError] = []

    def redeem(number: int) -> None:
        keys = KeyDirectory(folder / str(number))
        barrier.wait()
        try:
            enrol(token, f"i{number}", keys)
            winners.append(keys)
        except HpcbridgeError as error:
            losers.append(error)

    threads = [threading.Thread(target=redeem, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return winners, losers


def test_one_token_lets_exactly_one_in(ledger: LedgerSimulator, tmp_path: Path) -> None:
    winners, losers = redeem_together(ledger.token(Role.USER, "many"), tmp_path, 30)
    assert len(winners) == 1
    assert len(losers) == 29
    assert all(isinstance(error, EnrolmentRefused) and "used" in str(error) for error in losers)
    reply = ledger.client().call("GetUserDetail", ledger_pb2.GetUserDetailRequest(name="many"))
    assert [installation.name for installation in reply.member.installations] == [winners[0].load_profile().submitter.installation]


def test_it_is_the_contract_that_lets_only_one_in(ledger: LedgerSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def redeem_without_marking(draft: Draft, body: Enrolment, _at: int) -> None:
        assert stored_token(draft, body.token_digest) is not None

    monkeypatch.setattr(members, "_redeem", redeem_without_marking)
    winners, _ = redeem_together(ledger.token(Role.USER, "several"), tmp_path, 4)
    assert len(winners) == 4


def test_a_token_that_was_used_or_is_unknown_or_expired(new_ledger: Callable[..., LedgerSimulator], tmp_path: Path) -> None:
    ledger = new_ledger()
    token = ledger.token(Role.USER, "once")
    enrol(token, "first", KeyDirectory(tmp_path / "first"))
    with pytest.raises(EnrolmentRefused, match="used already") as refusal:
        enrol(token, "second", KeyDirectory(tmp_path / "second"))
    assert "admin token" in refusal.value.hint
    unknown = make_token(replace(parse_token(token), secret=secrets.token_bytes(32)))
    with pytest.raises(EnrolmentRefused, match="not known"):
        enrol(unknown, "third", KeyDirectory(tmp_path / "third"))
    late = ledger.token(Role.USER, "late", life_ms=300)
    threading.Event().wait(0.4)
    with pytest.raises(EnrolmentRefused, match="expired"):
        enrol(late, "fourth", KeyDirectory(tmp_path / "fourth"))


def test_an_installation_needs_a_proper_name(ledger: LedgerSimulator) -> None:
    token = parse_token(ledger.token(Role.USER, "named"))
    with pytest.raises(EnrolmentRefused, match="installation"):
        _office_request(ledger, ledger_pb2.EnrolRequest(token_secret=token.secret, installation="../etc", csr=b"x"))
    with pytest.raises(EnrolmentRefused, match="certificate request"):
        _office_request(ledger, ledger_pb2.EnrolRequest(token_secret=token.secret, installation="fine", csr=b"x"))


def test_guessing_is_barred_and_nobody_else_behind_the_same_address(
    new_ledger: Callable[..., LedgerSimulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = new_ledger()
    good = ledger.token(Role.USER, "patient")

    def guess() -> None:
        _office_request(ledger, ledger_pb2.EnrolRequest(token_secret=secrets.token_bytes(32), installation="x", csr=b""))

    for _ in range(10):
        with pytest.raises(EnrolmentRefused):
            guess()
    with pytest.raises(LedgerUnavailable, match="too many wrong requests"):
        guess()
    enrol(good, "main", KeyDirectory(tmp_path / "patient"))  # whoever shares the guesser's address is not harmed
    monkeypatch.setattr(EnrolmentOffice, "_bar", lambda _self, _address, _error: None)
    with pytest.raises(EnrolmentRefused):
        guess()


def test_renewal_gives_the_same_rights_and_not_to_the_revoked(ledger: LedgerSimulator) -> None:
    keys = ledger.enrol(Role.USER, "renews", attributes=(("auditor", "true"),))
    before = keys.load_certificate()
    threading.Event().wait(1.1)  # certificates count whole seconds
    facts = renew(keys)
    assert facts.certificate != before
    assert facts.attributes == (("auditor", "true"),)
    ledger.revoke("renews").check_accepted()
    with pytest.raises(EnrolmentRefused, match="revoked"):
        renew(keys)


def test_an_unknown_key_is_not_renewed(ledger: LedgerSimulator) -> None:
    keys = ledger.user("rekeyed")
    (keys.path / "key.pem").unlink()
    keys.create_key()
    with pytest.raises(EnrolmentRefused, match="not on the log"):
        renew(keys)


def _office_request(ledger: LedgerSimulator, request: ledger_pb2.EnrolRequest) -> object:
    authority = ledger.admin().load_authority()
    return call_enrolments(Endpoint(ledger.enrolment_address, "localhost"), authority, method="Enrol", request=request, deadline_seconds=10)
