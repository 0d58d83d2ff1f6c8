# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A user at the command line: asks, sees why, rents, looks at the statement, and gives back; and each way to be refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcbridge.ctl.figures import amount
from hpcbridge.ctl.main import cli
from hpcbridge.ctl.why import WORDS
from hpcbridge.model.market import Requirement
from hpcbridge.wire.client import SubmitStream
from tests.ctl_market import asked, open_market
from tests.ctl_network import Network


@pytest.fixture(scope="module")
def market(network: Network) -> Network:
    open_market(network)
    for name in ("poor", "broke"):
        network.enrol("root", name, "user")
    network.ok("root", "admin", "credit", "ulla", "50", "--reference", "invoice 1")
    return network


def new_request(market: Network, name: str = "ulla", *more: str) -> str:
    return str(asked(market, name, "offers", "--cores", "16", "--walltime", "2h", *more)["request"]["request"])


def test_why_in_plain_words(market: Network) -> None:
    request = new_request(market)
    shown = market.ok("ulla", "why", request)
    assert "cores for one job" in shown
    assert ("16" in shown, "8" in shown, "pebble" in shown) == (True, True, False)
    (reason,) = asked(market, "ulla", "why", request)["why_nots"]
    assert (reason["requirement"], reason["needed"], reason["found"]) == ("CORES", 16, 8)
    assert set(WORDS) == set(Requirement)
    lacking = new_request(market, "ulla", "--program", "namd/3")
    assert "namd 3" in market.ok("ulla", "why", lacking)


def test_from_rent_to_cancel(market: Network) -> None:
    before = asked(market, "ulla", "balance")
    rental = asked(market, "ulla", "rent", "--best", new_request(market), "--cores", "8", "--extra-limit", "1.5")
    assert (rental["cores"], rental["provider"], rental["extra_limit"]) == (8, "north", 1_500_000)
    name = rental["rental"]
    after = asked(market, "ulla", "balance")
    assert (after["balance"], after["held"]) == (before["balance"] - rental["deposit"], before["held"] + rental["deposit"])
    assert name in market.ok("ulla", "rentals", "list", "--open")
    theirs = asked(market, "north", "rentals", "show", name)["rental"]
    assert (theirs["member"], theirs["offer"], theirs["username"]) == (None, None, rental["username"])
    assert "ulla" not in market.ok("north", "rentals", "show", name) + market.ok("north", "rentals", "list")
    assert "cancelled" in market.ok("ulla", "rentals", "cancel", name)
    shown = market.ok("ulla", "rentals", "show", name)
    assert ("DEPOSIT" in shown, "REFUND" in shown, "ENDED (CANCELLED)" in shown) == (True, True, True)
    answer = asked(market, "ulla", "rentals", "show", name)
    assert [line["kind"] for line in answer["statement"]] == ["DEPOSIT", "REFUND"]
    assert str(answer["statement"][1]["index"]) in shown
    assert asked(market, "ulla", "balance") == before
    again = market.run("ulla", "rentals", "cancel", name)
    assert (again.exit_code, "ILLEGAL_TRANSITION" in again.stderr) == (1, True)
    assert name not in market.run("ulla", "rentals", "list", "--open").stdout


def test_rent_by_name(market: Network) -> None:
    request = new_request(market)
    result = market.run("ulla", "rent", f"{request}-1", "--queue", "q1", "--walltime", "1h")
    assert result.exit_code == 0, result.stderr
    assert ("login.aurora.example" in result.stdout, "rentals cancel l" in result.stderr) == (True, True)


def test_what_a_rental_costs_and_until_when_is_shown(market: Network) -> None:
    name = asked(market, "ulla", "rent", "--best", new_request(market), "--cores", "8", "--walltime", "1h")["rental"]
    record = asked(market, "ulla", "rentals", "show", name)["rental"]
    shown = " ".join(market.ok("ulla", "rentals", "show", name).split())
    rate = record["rates"]["cpu_core_per_hour"]
    for fact in (
        f"price {amount(8 * rate)} an hour: 8 × {amount(rate)} for cores",
        "walltime 01:00:00",
        f"deposit {amount(record['deposit'])} (for ",
        "UTC at the latest",
    ):
        assert fact in shown, shown
    assert "GPU" not in shown.partition("ENTRY")[0], "none was rented"
    market.ok("ulla", "rentals", "cancel", name)
    assert "at the latest" not in market.ok("ulla", "rentals", "show", name)


@pytest.mark.parametrize(("order", "told"), [
    ("--cores 17", "--cores: {} asked for 16, and its offers hold for no more"), ("--gpus 1", "--gpus: {} asked for 0"),
    ("--walltime 3h", "--walltime: {} asked for 02:00:00"),
])  # fmt: skip
def test_more_than_was_asked_for_becomes_no_entry(market: Network, order: str, told: str) -> None:
    request = new_request(market)
    before = asked(market, "root", "ledger", "status")["size"]
    result = market.run("ulla", "rent", "--best", request, *order.split())
    assert (result.exit_code, told.format(request) in " ".join(result.stderr.split())) == (2, True), result.stderr
    assert asked(market, "root", "ledger", "status")["size"] == before


def test_a_request_is_no_offer(market: Network) -> None:
    request = new_request(market)
    result = market.run("ulla", "rent", request, "--queue", "q1")
    assert (result.exit_code, f"hpcbridgectl offers --request {request}" in result.stderr) == (2, True), result.stderr


def test_no_credit_is_told_in_units(market: Network) -> None:
    request = new_request(market, "broke")
    deposit = asked(market, "broke", "offers", "--request", request)["offers"][0]["queues"][0]["deposit"]
    result = market.run("broke", "rent", f"{request}-1", "--queue", "q1")
    told = " ".join(result.stderr.split())
    assert (result.exit_code, f"the deposit is {amount(deposit)}, you have 0." in told) == (1, True), told


def test_ctrl_c_while_an_order_is_on_its_way(market: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    request = new_request(market)
    before = {each["rental"] for each in asked(market, "ulla", "rentals", "list")["rentals"]}

    def interrupted(stream: SubmitStream, envelopes: list[bytes]) -> None:
        send_envelopes(stream, envelopes)
        raise KeyboardInterrupt

    send_envelopes = SubmitStream.send_envelopes
    monkeypatch.setattr(SubmitStream, "send_envelopes", interrupted)
    cut = market.run("ulla", "rent", "--best", request)
    assert (cut.exit_code, "What was signed is kept" in cut.stderr) == (130, True), cut.stderr
    monkeypatch.undo()
    told = " ".join(market.run("ulla", "offers", "--cores", "1").stderr.split())
    (name,) = {each["rental"] for each in asked(market, "ulla", "rentals", "list")["rentals"]} - before
    assert f"RENTAL of an earlier command is now entry {name[1:]}: ACCEPTED; see: hpcbridgectl rentals show {name}" in told
    assert list((market.identity("ulla") / "rental-keys").glob(f"{name}.pem")), "its passcode can be opened"
    market.ok("ulla", "rentals", "cancel", name)


def test_balance_is_shown_in_units(market: Network) -> None:
    whole = asked(market, "root", "balance", "--member", "ulla")
    assert whole["balance"] + whole["held"] == 50_000_000
    market.ok("root", "admin", "credit", "poor", "12.5", "--reference", "once")
    market.ok("poor", "offers", "--cores", "1")
    assert "12.5" in market.ok("poor", "balance")


def test_who_may_not(market: Network) -> None:
    request = new_request(market)
    for name, arguments, status, code in (
        ("broke", f"rent --best {new_request(market, 'broke')}", 1, "NO_CREDIT"),
        ("poor", f"rent --best {request}", 1, "NOT_FOUND"),
        ("poor", f"why {request}", 1, "NOT_FOUND"),
        ("poor", "balance --member ulla", 1, "NOT_FOUND"),
        ("north", f"why {request}", 77, "NOT_PERMITTED"),
        ("north", f"rent --best {request}", 77, "NOT_PERMITTED"),
        ("north", "rentals cancel l1", 77, "NOT_PERMITTED"),
        ("ulla", "admin credit ulla 5 --reference x", 77, "NOT_PERMITTED"),
        ("ulla", "admin contract 2 --yes", 77, "NOT_PERMITTED"),
        ("root", "admin contract 2 --yes", 1, "ILLEGAL_TRANSITION"),
        ("root", "admin contract 3 --yes", 1, "install a newer program"),
        ("ulla", "rentals cancel l999999", 1, "NOT_FOUND"),
        ("ulla", "rentals show l999999", 1, "NOT_FOUND"),
        ("ulla", "why r999999", 1, "NOT_FOUND"),
        ("ulla", f"rent {request}-1 --queue q9", 1, "NOT_FOUND"),
        ("ulla", f"rent {request}-9 --queue q1", 1, "NOT_FOUND"),
        ("root", "admin credit nobody 5 --reference x", 1, "NOT_FOUND"),
    ):
        result = market.run(name, *arguments.split())
        assert (result.exit_code, code in result.stderr) == (status, True), f"{arguments}: {result.exit_code} {result.stderr}"
        assert not any(word in result.output for word in ("aurora", "sunrise", "midday")), arguments


def test_a_reference_counts_once(market: Network) -> None:
    before = asked(market, "poor", "balance")["balance"]
    market.ok("root", "admin", "credit", "poor", "0.000001", "--reference", "tiny")
    again = market.run("root", "admin", "credit", "poor", "0.000001", "--reference", "tiny")
    assert (again.exit_code, "ALREADY_EXISTS" in again.stderr) == (1, True)
    assert asked(market, "poor", "balance")["balance"] == before + 1


@pytest.mark.parametrize("arguments", [
    "rent", "rent r1-1", "rent --queue q1", "rent r1-1 --queue q1 --best r1", "rent --best r1 --queue q1", "rent --best r1 --cores 0",
    "rent --best r1 --gpus -1", "rent --best r1 --walltime soon", "rent --best r1 --extra-limit -1", "rent --best r1 --extra-limit 1,5",
    "admin credit ulla 0 --reference x", "admin credit ulla 1.0000001 --reference x", "admin credit ulla 5",
    "admin credit UPPER 5 --reference x",
    "admin contract two", "why", "rentals show", "rentals cancel",
])  # fmt: skip
def test_what_cannot_be_meant_is_a_question_of_usage(market: Network, arguments: str) -> None:
    assert market.run("root", *arguments.split()).exit_code == 2


def test_the_user_guide_names_what_there_is() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "user-guide.md").read_text()
    named = set(re.findall(r"hpcbridgectl ([a-z]+)", guide))
    assert {"enrol", "balance", "offers", "why", "rent", "rentals", "events"} <= named <= set(cli.commands)
    options = set(re.findall(r"`(--[a-z-]+)", guide)) | set(re.findall(r"hpcbridgectl [^#\n`]*?(--[a-z-]+)", guide))
    known = {name for command in cli.commands.values() for each in command.params for name in each.opts}
    assert options - known <= {"--help", "--open", "--reference"}
