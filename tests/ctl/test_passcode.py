# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A user and its passcode at the command line: read once, asked for anew, and every lie of a ledger refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.ctl import passcode as command
from hpcbridge.errors import LedgerUnavailable, ReceiptPending
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.passcode import Binding, open_contact, passcode_to_text, seal_passcode
from hpcbridge.model.market import AccountReport, AccountState, Rental
from hpcbridge.model.relay import SealedKind, SealedState
from hpcbridge.submitter import passcodes
from hpcbridge.submitter import submit as submitter
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.marketqueries import get_rental
from hpcbridge.wire.relay import collect_sealed, leave_sealed
from tests.ctl_market import asked, open_market, say
from tests.ctl_network import ORIGIN, Network

SECRET = "kd7xm-92fpq-vhw3z"
SITE_KEY = X25519PrivateKey.generate()


@pytest.fixture(scope="module")
def market(network: Network) -> Network:
    open_market(network, sealing_key=SITE_KEY.public_key().public_bytes_raw())
    network.enrol("root", "south", "provider")
    network.ok("root", "admin", "credit", "ulla", "500", "--reference", "invoice 1")
    return network


def rent(market: Network, *more: str) -> str:
    request = asked(market, "ulla", "offers", "--cores", "2", "--walltime", "2h")["request"]["request"]
    return str(asked(market, "ulla", "rent", "--best", request, *more)["rental"])


def rental_of(market: Network, name: str, *, who: str = "north") -> Rental:
    with client_of(market, who) as client:
        return get_rental(client.call, name)[0]


def client_of(market: Network, name: str) -> LedgerClient:
    keys = KeyDirectory(market.identity(name))
    return LedgerClient(endpoints_of(keys), keys)


def sealed_by(market: Network, rental: Rental, *, who: str = "north", secret: str = SECRET, login: str = "") -> bytes:
    """What the agent of a provider makes of a passcode."""
    keys = KeyDirectory(market.identity(who))
    binding = Binding(origin=ORIGIN, rental=rental.rental, cluster=rental.cluster, username=rental.username)
    return seal_passcode(
        secret, binding, sealing_key=rental.sealing_key, key=keys.load_key(), certificate=keys.load_certificate(), at=rental.granted_at,
        login_address=login,
    )  # fmt: skip


def leave(market: Network, rental: str, box: bytes) -> None:
    with client_of(market, "north") as client:
        leave_sealed(client.call, rental, SealedKind.PASSCODE, box=box)


def serve(market: Network, name: str, *, secret: str = SECRET) -> bytes:
    """The provider's part: account made, passcode sealed and left."""
    box = sealed_by(market, rental_of(market, name), secret=secret)
    leave(market, name, box)
    if rental_of(market, name).account is None:
        say(market, "north", AccountReport(rental=name, state=AccountState.READY))
    return box


def key_files(market: Network) -> set[str]:
    return {path.name for path in (market.identity("ulla") / "rental-keys").glob("*.pem")}


def failure(market: Network, *arguments: str, who: str = "ulla", status: int = 1) -> str:
    result = market.run(who, *arguments)
    assert result.exit_code == status, (result.stdout, result.stderr)
    assert SECRET not in result.stdout
    assert SECRET not in result.stderr
    return result.stderr


def test_the_passcode_is_shown_once_and_on_standard_output_alone(market: Network) -> None:
    name = rent(market)
    (key,) = (market.identity("ulla") / "rental-keys").glob(f"{name}.pem")
    assert key.stat().st_mode & 0o777 == 0o600
    assert "comes with the account" in market.ok("ulla", "rentals", "show", name)
    assert "not made the account" in failure(market, "passcode", name, "--wait", "0")
    serve(market, name)
    assert f"hpcbridgectl passcode {name}" in market.ok("ulla", "rentals", "show", name)
    assert asked(market, "ulla", "rentals", "show", name)["passcode"]["state"] == "WAITING"
    result = market.run("ulla", "passcode", name)
    rental = rental_of(market, name)
    assert result.exit_code == 0, result.stderr
    assert all(word in result.stdout for word in (SECRET, rental.username, rental.login_address))
    assert SECRET not in result.stderr
    assert ("north/one" in result.stderr, "change it" in result.stderr, "no terminal" in result.stderr) == (True, True, True)
    assert f"{name}.pem" not in key_files(market)
    told = failure(market, "passcode", name)
    assert ("was read at" in told, "--new" in told) == (True, True)
    assert "was read at" in market.ok("ulla", "rentals", "show", name)
    assert not any(SECRET.encode() in path.read_bytes() for path in market.identity("ulla").rglob("*") if path.is_file())


def test_a_ledger_that_names_another_machine_to_log_in_at(market: Network) -> None:
    """Whoever types the passcode there has given it away; so where to log in is the provider's signed word."""
    name = rent(market)
    rental = rental_of(market, name)
    leave(market, name, sealed_by(market, rental, login="login.really.north.example"))
    result = market.run("ulla", "passcode", name)
    assert result.exit_code == 0, result.stderr
    assert ("login.really.north.example" in result.stdout, rental.login_address in result.stdout) == (True, False)
    assert f"the ledger names {rental.login_address} to log in at, which north/one did not sign" in " ".join(result.stderr.split())
    assert f"ssh {rental.username}@login.really.north.example" in result.stderr
    assert f"@{rental.login_address}" not in result.stderr


@pytest.mark.parametrize("login", ["host.example; rm -rf ~", "-oProxyCommand=x", "a b", "$(id).example"])
def test_no_command_to_copy_where_the_login_is_not_a_plain_name(market: Network, login: str) -> None:
    name = rent(market)
    leave(market, name, sealed_by(market, rental_of(market, name), login=login))
    assert "ssh " not in market.run("ulla", "passcode", name).stderr


def test_a_new_one_and_what_a_program_gets(market: Network) -> None:
    name = rent(market)
    older = serve(market, name, secret="older-passcode")
    before = rental_of(market, name).sealing_key
    told = failure(market, "passcode", name, "--new", "--wait", "0")
    assert "another passcode was asked for" in told
    assert rental_of(market, name).sealing_key != before
    assert key_files(market) >= {f"{name}.pem"}
    for who in ("ulla", "north"):
        assert "another passcode is asked for" in market.ok(who, "events", "--type", "PASSCODE_ASKED")
    assert "ulla" not in market.ok("north", "-o", "json", "events", "--type", "PASSCODE_ASKED")
    assert "has not come yet" in failure(market, "passcode", name, "--wait", "0")
    leave(market, name, older)  # the ledger hands out the older one again
    assert "sealed to another key" in failure(market, "passcode", name, "--wait", "0", status=77)
    serve(market, name)
    answer = asked(market, "ulla", "passcode", name)
    assert (answer["passcode"], answer["signed_by"], answer["rental"]) == (SECRET, "north/one", name)


def test_it_waits_for_what_is_on_its_way(market: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    name = rent(market)
    looked: list[float] = []

    def pause(seconds: float) -> None:
        looked.append(seconds)
        serve(market, name)

    monkeypatch.setattr(command, "pause", pause)
    result = market.run("ulla", "passcode", name)
    assert (result.exit_code, SECRET in result.stdout, len(looked)) == (0, True, 1)
    assert "Ctrl-C" in result.stderr


def test_a_connection_cut_before_the_acknowledgement_loses_nothing(market: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    name = rent(market)
    serve(market, name)

    def cut(*_: object, **__: object) -> None:
        raise LedgerUnavailable("cut")

    with monkeypatch.context() as broken:
        broken.setattr(passcodes, "acknowledge_sealed", cut)
        result = market.run("ulla", "passcode", name)
    assert (result.exit_code, SECRET in result.stdout, "could not be told" in result.stderr) == (0, True, True)
    assert f"{name}.pem" in key_files(market)
    assert SECRET in market.ok("ulla", "passcode", name)
    assert "was read at" in failure(market, "passcode", name)


def test_the_mail_that_came_instead(market: Network, tmp_path: Path) -> None:
    name = rent(market)
    mail = tmp_path / "mail.txt"
    mail.write_text("Subject: your account\n\n" + passcode_to_text(sealed_by(market, rental_of(market, name))) + "\nBye\n")
    result = market.run("ulla", "passcode", name, "--file", str(mail))
    assert (result.exit_code, SECRET in result.stdout) == (0, True), result.stderr
    assert "is not here" in failure(market, "passcode", name, "--file", str(mail))
    assert "no sealed passcode is in this text" in failure(market, "passcode", name, "--file", "/dev/null", status=65)
    assert market.run("ulla", "passcode", name, "--file", str(mail), "--new").exit_code == 2


def test_an_address_reaches_the_provider_sealed(market: Network) -> None:
    name = rent(market, "--contact", "ulla@mail.example")
    rental = rental_of(market, name)
    with client_of(market, "north") as client:
        box = collect_sealed(client.call, name, SealedKind.CONTACT).box
    binding = Binding(origin=ORIGIN, rental=name, cluster=rental.cluster, username=rental.username)
    assert b"ulla" not in box
    assert open_contact(box, binding, sealing_key=SITE_KEY) == "ulla@mail.example"
    assert market.run("ulla", "passcode", name, "--contact", "no address").exit_code == 2


def test_not_rented_from_this_machine(market: Network) -> None:
    name = rent(market)
    folder = market.identity("ulla") / "rental-keys"
    shutil.move(folder / f"{name}.pem", folder / "elsewhere")
    serve(market, name)
    told = failure(market, "passcode", name)
    assert ("another machine" in told, "--new" in told) == (True, True)
    assert "another machine" in failure(market, "passcode", name, "--wait", "0")


def test_a_rental_that_has_ended_has_no_key_any_more(market: Network) -> None:
    name = rent(market)
    assert f"{name}.pem" in key_files(market)
    market.ok("ulla", "rentals", "cancel", name)
    assert f"{name}.pem" not in key_files(market)
    assert "has ended" in failure(market, "passcode", name)
    assert "has ended" in failure(market, "passcode", name, "--new")


def test_a_rental_that_the_site_ended_loses_its_key_when_that_is_seen(market: Network) -> None:
    seen_in_list, shown = rent(market), rent(market)
    for name, look in ((seen_in_list, ["list"]), (shown, ["show", shown])):
        say(market, "north", AccountReport(rental=name, state=AccountState.FAILED, text="disk is full"))
        assert f"{name}.pem" in key_files(market)
        assert "FAILED_BY_SITE" in market.ok("ulla", "rentals", *look)
        assert f"{name}.pem" not in key_files(market)


def test_an_order_that_is_refused_leaves_no_key(market: Network) -> None:
    before = key_files(market)
    request = asked(market, "ulla", "offers", "--cores", "2", "--walltime", "2h")["request"]["request"]
    assert "NOT_FOUND" in failure(market, "rent", f"{request}-9", "--queue", "q1")
    name = rent(market)
    assert "ILLEGAL_TRANSITION" in failure(market, "passcode", name, "--new")
    assert key_files(market) - before == {f"{name}.pem"}


def test_an_order_without_a_receipt_keeps_its_key_until_it_is_sent_again(market: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    request = asked(market, "ulla", "offers", "--cores", "2", "--walltime", "2h")["request"]["request"]
    before = key_files(market)

    def cut(*_: object, **__: object) -> Any:
        raise LedgerUnavailable("cut")

    with monkeypatch.context() as broken:
        broken.setattr(submitter._Session, "deliver", cut)
        assert "cut" in failure(market, "rent", "--best", request, status=ReceiptPending.exit_status)
    (left,) = key_files(market) - before
    market.ok("ulla", "offers", "--cores", "1")
    (rental,) = [each for each in asked(market, "ulla", "rentals", "list")["rentals"] if each["sealing_key"] == left.removesuffix(".pem")]
    assert key_files(market) - before == {f"{rental['rental']}.pem"}
    serve(market, rental["rental"])
    assert SECRET in market.ok("ulla", "passcode", rental["rental"])


def test_a_ledger_that_shows_another_key_than_was_sent(market: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gave the provider its own key: what it hands on, it has read."""
    name = rent(market)
    own = X25519PrivateKey.generate().public_key().public_bytes_raw()
    swapped = dataclasses.replace(rental_of(market, name, who="ulla"), sealing_key=own)
    leave(market, name, sealed_by(market, swapped))
    assert "sealed to another key" in failure(market, "passcode", name, status=77)
    monkeypatch.setattr(command, "get_rental", lambda _call, _name: (swapped, ()))
    assert "the ledger shows another sealing key" in failure(market, "passcode", name, status=77)


@pytest.fixture(name="lied_to")
def _lied_to(market: Network) -> Iterator[tuple[str, Callable[[bytes], str]]]:
    name = rent(market)

    def told(box: bytes) -> str:
        leave(market, name, box)
        return failure(market, "passcode", name, status=77)

    yield name, told
    serve(market, name)
    assert SECRET in market.ok("ulla", "passcode", name)  # the genuine one is read after all lies


def test_a_ledger_that_puts_another_box_in_its_place(market: Network, lied_to: tuple[str, Callable[[bytes], str]]) -> None:
    name, told = lied_to
    rental, other = rental_of(market, name), rental_of(market, rent(market))
    assert "signed by south/one" in told(sealed_by(market, rental, who="south"))
    assert "is for rental" in told(sealed_by(market, dataclasses.replace(other, sealing_key=rental.sealing_key)))
    assert "is for username" in told(sealed_by(market, dataclasses.replace(rental, username="pd589znmqd7d")))
    assert "not a sealed passcode" in told(b"\x00" * 100)
    genuine, another = (json.loads(sealed_by(market, rental, secret=secret)) for secret in (SECRET, "chosen"))
    assert "signature" in told(json.dumps(genuine | {"payload": another["payload"]}).encode())


def test_a_passcode_whose_day_is_over(market: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    name = rent(market)
    serve(market, name)
    relay = market.service._running._relay  # type: ignore[union-attr]
    now = relay._now
    with monkeypatch.context() as later:
        later.setattr(relay, "_now", lambda: now() + 86_400_000)
        told = failure(market, "passcode", name)
        assert ("was not read by" in told, "--new" in told) == (True, True)
        with client_of(market, "ulla") as client:
            assert collect_sealed(client.call, name, SealedKind.PASSCODE).state is SealedState.EXPIRED
    assert "deleted" in market.ok("ulla", "rentals", "show", name)


def test_rent_says_what_comes_next_and_what_the_deposit_pays(market: Network) -> None:
    request = asked(market, "ulla", "offers", "--cores", "2", "--walltime", "24h")["request"]["request"]
    result = market.run("ulla", "rent", "--best", request)
    assert result.exit_code == 0, result.stderr
    assert "hpcbridgectl passcode l" in result.stderr
    found = result.stderr.split("--extra-limit ")[1].split()[0]
    covered = market.run("ulla", "rent", "--best", request, "--extra-limit", found)
    assert (covered.exit_code, "--extra-limit" in covered.stderr) == (0, False), covered.stderr
