# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Vetting at the command line: a member names documents, an admin compares its own copies; and what providers are told is missing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hpcbridge.model.clusters import Program
from tests.ctl_market import asked, open_cluster, queue
from tests.ctl_network import Network


@pytest.fixture(scope="module")
def vetting(network: Network) -> Network:
    network.ok("root", "admin", "parameters", "set", "vet_users=1")
    network.enrol("root", "nina", "user")
    return network


@pytest.fixture
def statutes(tmp_path: Path) -> Path:
    path = tmp_path / "statutes.pdf"
    path.write_bytes(b"%PDF the statutes" * 100_000)
    return path


def test_a_document_goes_from_member_to_decision(vetting: Network, statutes: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(statutes.read_bytes()).hexdigest()
    assert vetting.run("nina", "offers", "--cores", "1").exit_code == 77
    assert "waits for an admin" in vetting.ok("nina", "status")
    told = vetting.ok("nina", "documents", "submit", str(statutes), "--kind", "statutes", "--title", "Statutes of 2024")
    assert digest in told
    assert digest in vetting.ok("nina", "documents", "list")
    shown = vetting.ok("root", "admin", "member", "nina")
    assert (digest in shown, "PENDING" in shown, "Statutes of 2024" in shown) == (True, True, True)
    other = tmp_path / "changed.pdf"
    other.write_bytes(statutes.read_bytes() + b"\n")
    refused = vetting.run("root", "admin", "approve", "nina", "--file", str(other))
    assert (refused.exit_code, "NOT_FOUND" in refused.stderr) == (1, True)
    vetting.ok("root", "admin", "reject", "nina", "--note", "which year?")
    vetting.ok("root", "admin", "approve", "nina", "--file", str(statutes), "--note", "compared")
    assert vetting.run("nina", "offers", "--cores", "1").exit_code == 0
    assert asked(vetting, "nina", "status")["vetting"] == "APPROVED"
    record = asked(vetting, "root", "admin", "member", "nina")
    assert [(each["decision"]["vetting"], each["decision"]["documents"], each["admin"]) for each in record["decisions"]] == [
        ("REJECTED", [], "root"),
        ("APPROVED", [digest], "root"),
    ]
    assert [each["document"]["digest"] for each in record["documents"]] == [digest]
    (listed,) = [each for each in asked(vetting, "root", "admin", "members")["members"] if each["name"] == "nina"]
    assert listed == record
    assert asked(vetting, "nina", "documents", "list")["documents"] == record["documents"]
    assert "documents read: 1" in vetting.ok("nina", "events")
    assert statutes.read_bytes()[:17] not in b"".join(path.read_bytes() for path in (vetting.directory / "ledger").glob("ledger.db*"))


@pytest.mark.parametrize(
    "said",
    [
        ("nina", "documents submit {file} --kind statutes --title Again", 1, "ALREADY_EXISTS"),
        ("nina", "documents submit {file} --kind UPPER --title x", 1, "MALFORMED"),
        ("nina", "documents submit {file} --title x", 2, "--kind"),
        ("nina", "documents submit /nowhere --kind x --title x", 2, "does not exist"),
        ("nina", "documents submit /tmp --kind x --title x", 2, "is a directory"),
        ("root", "documents submit {file} --kind x --title x", 77, "NOT_PERMITTED"),
        ("root", "admin suspend nina --document 0123456789ab", 1, "no documents"),
        ("root", "admin suspend nina --document 0123", 2, "SHA-256"),
        ("root", "admin suspend nina --document {digest}x", 2, "SHA-256"),
        ("root", "admin member nobody", 1, "NOT_FOUND"),
        ("nina", "admin member root", 1, "NOT_FOUND"),
    ],
)
def test_what_is_refused(vetting: Network, statutes: Path, said: tuple[str, str, int, str]) -> None:
    who, arguments, status, part = said
    vetting.run("nina", "documents", "submit", str(statutes), "--kind", "statutes", "--title", "Statutes of 2024")
    digest = hashlib.sha256(statutes.read_bytes()).hexdigest()
    result = vetting.run(who, *arguments.format(file=statutes, digest=digest).split())
    assert (result.exit_code, part in result.stderr) == (status, True), result.stderr


def test_a_provider_hears_which_programs_are_missing(vetting: Network, statutes: Path) -> None:
    vetting.enrol("root", "west", "provider")
    vetting.run("west", "documents", "submit", str(statutes), "--kind", "statutes", "--title", "Ours")
    digest = hashlib.sha256(statutes.read_bytes()).hexdigest()
    assert "No program was asked for" in vetting.run("west", "clusters", "demand").stderr
    open_cluster(vetting, "west", "mesa", queue("mesa", "sand"), programs=(Program(name="gromacs", version="2023.3"),))
    vetting.ok("root", "admin", "suspend", "mesa", "--note", "asks")
    vetting.ok("root", "admin", "approve", "mesa", "--document", digest[:12])
    assert digest[:12] in vetting.ok("west", "clusters", "show", "mesa")
    vetting.enrol("root", "olga", "user")
    vetting.ok("root", "admin", "approve", "olga")
    for wanted in ("namd/3", "namd/3", "gromacs"):
        vetting.run("olga", "offers", "--cores", "1", "--program", wanted)
    assert asked(vetting, "west", "clusters", "demand")["programs"] == [{"program": {"name": "namd", "version": "3"}, "count": 2}]
    shown = vetting.ok("west", "clusters", "demand")
    assert ("namd" in shown, "olga" in shown) == (True, False)
    refused = vetting.run("olga", "clusters", "demand")
    assert (refused.exit_code, "NOT_PERMITTED" in refused.stderr) == (77, True)
