# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Enrolment and administration against a real ledger: what works, and each way in which a token or a right is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hpcbridge.client import Client
from hpcbridge.ctl.submit import submit
from hpcbridge.errors import ConfigError, EnrolmentRefused, Refused
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import build_csr, certificate_to_pem, fingerprint, read_certificate
from hpcbridge.identity.keys import public_bytes
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import make_token, parse_token
from hpcbridge.ledger.receipt import receipt_from_text
from hpcbridge.model.clusters import Registration
from hpcbridge.wire import enrolment
from hpcbridge.wire.client import LedgerClient, endpoints_of
from tests.ctl_network import Network


def token_for(network: Network, name: str, role: str = "provider") -> str:
    return network.ok("root", "admin", "token", "--role", role, "--name", name)


def test_the_token_stands_alone_on_standard_output(network: Network) -> None:
    result = network.run("root", "admin", "token", "--role", "user", "--name", "uma")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert parse_token(result.stdout).address == network.enrolment_address
    assert "hpcbridgectl enrol" in result.stderr
    token = json.loads(network.ok("root", "-o", "json", "admin", "token", "--role", "user", "--name", "uma"))
    assert (token["role"], token["name"]) == ("USER", "uma")


def test_enrolment_leaves_a_closed_key_and_a_proven_entry(network: Network) -> None:
    answer = json.loads(network.ok("acme", "-o", "json", "enrol", "--installation", "front", stdin=token_for(network, "acme")))
    assert (answer["submitter"], answer["role"]) == ("acme/front", "PROVIDER")
    path = network.identity("acme")
    assert stat.S_IMODE((path / "key.pem").stat().st_mode) == 0o600
    shown = json.loads(network.ok("acme", "identity", "show", "-o", "json"))
    assert (shown["submitter"], shown["origin"], shown["expired"]) == ("acme/front", "test.example", False)


def test_attributes_reach_the_certificate(network: Network) -> None:
    token = network.ok("root", "admin", "token", "--role", "provider", "--name", "watcher", "--attribute", "auditor=true")
    network.ok("watcher", "enrol", "--installation", "one", stdin=token)
    assert json.loads(network.ok("watcher", "identity", "show", "-o", "json"))["attributes"] == {"auditor": "true"}


def refused(network: Network, name: str, token: str, *told: str) -> None:
    result = network.run(name, "enrol", "--installation", "one", stdin=token)
    assert result.exit_code == 77, result.stderr
    assert all(each in result.stderr for each in told), result.stderr
    assert "hint:" in result.stderr
    assert not KeyDirectory(network.identity(name)).is_enrolled()


def test_a_token_that_nobody_made(network: Network) -> None:
    token = parse_token(network.first_token)
    refused(network, "wrong", make_token(dataclasses.replace(token, secret=bytes(32))), "not known")


def test_a_token_that_was_used(network: Network) -> None:
    refused(network, "used", network.first_token, "used already", "admin token")


def test_a_token_of_another_ca(network: Network) -> None:
    token = parse_token(token_for(network, "other"))
    refused(network, "other", make_token(dataclasses.replace(token, ca_fingerprint=bytes(32))), "not the ledger this token is for")


def test_nothing_is_sent_before_the_fingerprint_fits(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of the wrong fingerprint above is still good. Control: without the comparison it is redeemed anywhere."""
    good = parse_token(token_for(network, "careful"))
    wrong = make_token(dataclasses.replace(good, ca_fingerprint=bytes(32)))
    refused(network, "careful", wrong, "not the ledger")
    monkeypatch.setattr("hpcbridge.wire.credentials.hmac.compare_digest", lambda _one, _other: True)
    network.ok("careful", "enrol", "--installation", "one", stdin=wrong)


def test_another_ca_that_shows_ours_as_well_is_not_believed(network: Network, tmp_path: Path) -> None:
    """Copying our CA into a chain is easy; issuing a server certificate under it is not."""
    token = parse_token(token_for(network, "mitm"))
    ours = KeyDirectory(network.identity("root")).load_authority()
    assert fingerprint(ours) == token.ca_fingerprint
    liar = Authority.create(tmp_path / "liar", "test.example", at=1_795_000_000_000)
    directory = KeyDirectory(tmp_path / "server")
    key = directory.create_key()
    leaf = liar.issue_server(["localhost"], public_bytes(key), at=1_795_000_000_000)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        chain = certificate_to_pem(leaf) + certificate_to_pem(ours)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(directory.load_key_pem(), chain)]))
        server.start()
        result = network.run("mitm", "enrol", stdin=make_token(dataclasses.replace(token, address=f"127.0.0.1:{port}")))
        server.stop(None).wait()
    assert result.exit_code == 69, result.stderr
    assert not KeyDirectory(network.identity("mitm")).is_enrolled()


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-6], lambda text: "x" + text, lambda text: text.replace("1.", "9.", 1), lambda _: "hello"]
)
def test_a_damaged_token_is_told_from_a_refused_one(network: Network, spoil: Callable[[str], str]) -> None:
    result = network.run("damaged", "enrol", stdin=spoil(network.first_token.strip()))
    assert result.exit_code == 65
    assert not network.identity("damaged").exists()


def test_nobody_listens(network: Network, tmp_path: Path) -> None:
    token = dataclasses.replace(parse_token(network.first_token), address="127.0.0.1:1")
    result = network.run("lonely", "enrol", stdin=make_token(token))
    assert (result.exit_code, "cannot be reached" in result.stderr) == (69, True)


def test_enrolled_folders_are_not_overwritten(network: Network) -> None:
    before = (network.identity("root") / "key.pem").read_bytes()
    result = network.run("root", "enrol", stdin=token_for(network, "again"))
    assert result.exit_code == 78
    assert "enrolled already, as root/desk" in result.stderr
    assert (network.identity("root") / "key.pem").read_bytes() == before


def test_one_token_many_hands(network: Network) -> None:
    token = token_for(network, "race")
    done: list[str] = []

    def redeem(number: int) -> None:
        try:
            enrolment.enrol(token, f"hand-{number}", KeyDirectory(network.identity(f"race-{number}")))
            done.append("in")
        except EnrolmentRefused:
            done.append("refused")

    hands = [threading.Thread(target=redeem, args=(number,)) for number in range(6)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert sorted(done) == ["in"] + ["refused"] * 5


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, needs root")
def test_root_enrols_for_the_daemons_account(network: Network, tmp_path: Path) -> None:
    home = network.directory / "identities" / "daemon-home"
    home.mkdir(parents=True)
    os.chown(home, 4711, 4712)
    network.run("daemon-home/identity", "enrol", stdin=token_for(network, "daemon"))
    files = [home / "identity", *(home / "identity").iterdir()]
    assert {(file.stat().st_uid, file.stat().st_gid) for file in files} == {(4711, 4712)}


def test_what_an_admin_does_is_on_the_log(network: Network) -> None:
    network.enrol("root", "member", "provider")
    for action, vetting in (("suspend", "SUSPENDED"), ("approve", "APPROVED")):
        told = network.ok("root", "admin", action, "member", "--note", "because")
        assert "receipt verified" in told
        members = json.loads(network.ok("root", "admin", "members", "-o", "json"))["members"]
        assert [each["vetting"] for each in members if each["name"] == "member"] == [vetting]
    network.ok("root", "admin", "parameters", "set", "lost_after_ms=1000000000")
    assert json.loads(network.ok("root", "admin", "parameters", "-o", "json"))["lost_after_ms"] == 1_000_000_000
    events = [json.loads(line) for line in network.ok("root", "-o", "json", "events").splitlines()]
    assert events[-1]["type"] == "PARAMETERS_CHANGED"
    later = network.ok("root", "events", "--from", events[-2]["cursor"], "-o", "json").splitlines()
    assert [json.loads(line)["cursor"] for line in later] == [events[-1]["cursor"]]


def test_every_receipt_is_kept_and_proves_off_line(network: Network) -> None:
    keys = KeyDirectory(network.identity("root"))
    files = sorted((keys.path / "receipts").iterdir())
    assert files
    for file in files:
        receipt = receipt_from_text(file.read_text(), "test.example", keys.load_log_public_key())
        assert file.name == f"{receipt.index}.tlog-proof"


@pytest.mark.parametrize("name", ["nobody", "nobody/one"])
def test_refusals_name_code_reason_and_advice(network: Network, name: str) -> None:
    result = network.run("root", "admin", "approve", name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "NOT_FOUND" in result.stderr


def test_who_may_not(network: Network) -> None:
    network.enrol("root", "guest", "user")
    for arguments in ("admin members", "clusters list", "admin approve guest", "admin parameters set lost_after_ms=1", "gaps"):
        result = network.run("guest", *arguments.split())
        assert result.exit_code == 77, (arguments, result.stderr)
        assert "NOT_PERMITTED" in result.stderr
        assert "hint:  see who you are here" in result.stderr


@pytest.mark.parametrize("arguments", ["admin approve UPPER", "admin token --role user --name x --attribute novalue",
                                       "admin parameters set lost=much", "admin revoke a/b/c"])  # fmt: skip
def test_what_cannot_be_meant_is_a_question_of_usage(network: Network, arguments: str) -> None:
    assert network.run("root", *arguments.split()).exit_code == 2


def test_revoked_is_over(network: Network) -> None:
    network.enrol("root", "thief", "provider")
    network.ok("thief", "status")
    network.ok("root", "admin", "revoke", "thief/one", "--reason", "stolen", "--yes")
    result = network.run("thief", "clusters", "list")
    assert (result.exit_code, "REVOKED" in result.stderr) == (77, True)


def test_a_foreign_key_at_the_right_ledger(network: Network, tmp_path: Path) -> None:
    """A certificate of another CA of the same name does not get past the handshake."""
    forged = network.directory / "identities" / "forged"
    shutil.copytree(network.identity("root"), forged)
    liar = Authority.create(tmp_path / "liar", "test.example", at=1_795_000_000_000)
    keys = KeyDirectory(forged)
    real = read_certificate(keys.load_certificate(), "test.example")
    facts = liar.issue(build_csr(keys.load_key(), real.submitter), real.submitter, role=real.role, at=time.time_ns() // 1_000_000)
    keys.save_certificate(facts.certificate)
    result = network.run("forged", "admin", "members")
    assert result.exit_code in (69, 77)
    assert "hint:" in result.stderr


def test_the_python_client(network: Network) -> None:
    network.enrol("root", "pythonista", "provider")
    with Client(network.identity("pythonista")) as client:
        assert str(client.submitter) == "pythonista/one"
        assert client.verified_checkpoint().size > 1
        assert client.clusters() == ()
        with pytest.raises(Refused, match="NOT_FOUND"):
            client.cluster("nowhere")
        assert all(event.audience for event in client.events())
    with pytest.raises(ConfigError, match="no identity"):
        Client(network.directory / "nobody")


def test_a_cluster_as_the_ledger_has_it(network: Network) -> None:
    network.enrol("root", "owner", "provider")
    keys = KeyDirectory(network.identity("owner"))
    with LedgerClient(endpoints_of(keys), keys) as client:
        submit(keys, client, Registration(cluster="hpc-one", login_address="login.example")).check_accepted()
    assert "hpc-one" in network.ok("owner", "clusters", "list")
    assert "login.example" in network.ok("root", "clusters", "show", "hpc-one")
    assert json.loads(network.ok("owner", "clusters", "show", "hpc-one", "-o", "json"))["vetting"] == "PENDING"
    network.ok("root", "admin", "approve", "hpc-one")
    for arguments in (
        "jobs list --cluster hpc-one",
        "nodes list --cluster hpc-one",
        "queues list --cluster hpc-one",
        "gaps --cluster hpc-one",
    ):
        network.ok("owner", *arguments.split())
    assert network.run("guest", "clusters", "list").exit_code in (77, 78)
