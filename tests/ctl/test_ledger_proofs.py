# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`ledger` and `receipt` against a real service: what they prove, what they refuse, and with which exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpcbridge.audit.export import read_leaves, read_note
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.checkpoint import sign_checkpoint
from hpcbridge.ledger.merkle import leaf_hash, root_of

if TYPE_CHECKING:
    from tests.ctl_network import Network


@pytest.fixture(scope="module")
def busy(network: Network) -> Network:
    network.enrol("root", "hpc-one", "provider")
    network.enrol("root", "audrey", "user", "--attribute", "auditor=true")
    network.enrol("root", "bob", "user")
    return network


def export_of(network: Network, name: str, path: Path) -> Path:
    network.ok(name, "ledger", "export", str(path))
    return path


def test_status(busy: Network) -> None:
    answer = json.loads(busy.ok("hpc-one", "ledger", "status", "-o", "json"))
    assert answer["fresh"] is True
    assert answer["size"] >= 8
    assert answer["last_entry_age_seconds"] < 120
    text = busy.ok("hpc-one", "ledger", "status")
    assert "continues what was seen before" in text


@pytest.mark.parametrize("name", ["root", "audrey"])
def test_admin_and_auditor_verify_in_full(busy: Network, name: str) -> None:
    answer = json.loads(busy.ok(name, "ledger", "verify", "-o", "json"))
    assert answer["replayed"] is True
    assert (answer["hidden"], answer["disputes"]) == (0, [])
    assert answer["signatures"] == answer["entries"]
    assert "every outcome and every effect" in busy.ok(name, "ledger", "verify")


def test_others_verify_root_history_and_their_own(busy: Network) -> None:
    busy.ok("hpc-one", "ledger", "status")
    answer = json.loads(busy.ok("hpc-one", "ledger", "verify", "-o", "json"))
    assert answer["replayed"] is False
    assert 0 < answer["hidden"] <= answer["entries"]
    assert answer["compared_with_size"] is not None
    assert "known by their hash" in busy.ok("bob", "ledger", "verify")


def test_export_and_verify_off_line(busy: Network, tmp_path: Path) -> None:
    path = export_of(busy, "audrey", tmp_path / "all.export")
    answer = json.loads(busy.ok("audrey", "ledger", "verify", str(path), "-o", "json"))
    assert answer["replayed"] is True
    assert busy.run("audrey", "ledger", "export", str(path)).exit_code == 65


def test_pins_alone_are_enough_off_line(busy: Network, tmp_path: Path) -> None:
    """A third party with three files and no certificate."""
    path = export_of(busy, "root", tmp_path / "all.export")
    pins = busy.identity("third-party")
    pins.mkdir(mode=0o700, parents=True)
    for name in ("profile.json", "log-key.pub", "ca.pem"):
        (pins / name).write_bytes((busy.identity("root") / name).read_bytes())
    assert "replay" in busy.ok("third-party", "ledger", "verify", str(path))


def test_a_changed_byte_of_an_export_is_bad_data(busy: Network, tmp_path: Path) -> None:
    path = export_of(busy, "root", tmp_path / "all.export")
    content = bytearray(path.read_bytes())
    for place in range(3, len(content), len(content) // 23):
        content[place] ^= 4
        path.write_bytes(content)
        result = busy.run("root", "ledger", "verify", str(path))
        assert result.exit_code == 65, place
        assert "all.export" in result.stderr
        content[place] ^= 4
    path.write_bytes(content[:-1])
    assert busy.run("root", "ledger", "verify", str(path)).exit_code == 65
    assert busy.run("root", "ledger", "verify", str(tmp_path / "nothing")).exit_code == 65


def test_an_older_export_is_none_the_worse(busy: Network, tmp_path: Path) -> None:
    path = export_of(busy, "root", tmp_path / "older.export")
    busy.enrol("root", "late", "user")
    busy.ok("root", "ledger", "verify")
    assert "replay" in busy.ok("root", "ledger", "verify", str(path))


def test_renewed_replaced_and_revoked_keys_are_no_false_alarm(busy: Network) -> None:
    busy.enrol("root", "carol", "user")
    busy.run("carol", "identity", "renew")
    busy.identity("carol").rename(busy.identity("carol-lost"))
    busy.enrol("root", "carol", "user")
    assert busy.run("carol-lost", "ledger", "status").exit_code != 0
    busy.ok("root", "ledger", "verify")
    busy.ok("root", "admin", "revoke", "carol")
    answer = json.loads(busy.ok("root", "ledger", "verify", "-o", "json"))
    assert (answer["replayed"], answer["disputes"]) == (True, [])


def own_checkpoint(busy: Network, size: int, leaves: list[bytes]) -> str:
    """What the operator, who has the log key, could have signed for somebody else."""
    keys = next(directory for directory in (busy.directory / "ledger").rglob("log-key.pem")).parent
    root = root_of(leaf_hash(leaf) for leaf in leaves[:size])
    return sign_checkpoint("test.example", size, root=root, key=KeyDirectory(keys).load_log_key()).note


@pytest.mark.parametrize("command", [["ledger", "verify"], ["ledger", "status"], ["ledger", "export", "fork.export"]])
def test_a_fork_and_a_rollback_end_with_3(busy: Network, tmp_path: Path, command: list[str]) -> None:
    exported = export_of(busy, "root", tmp_path / "all.export")
    with exported.open("rb") as file:
        read_note(file)
        leaves = [leaf for leaf in read_leaves(file) if isinstance(leaf, bytes)]
    seen = busy.identity("root") / "checkpoint"
    honest = seen.read_bytes()
    arguments = [str(tmp_path / part) if part.endswith(".export") else part for part in command]
    for size, shown, words in ((4, [b"other", *leaves], "forked|does not continue"), (len(leaves) + 50, leaves * 9, "rolled back")):
        seen.write_text(own_checkpoint(busy, size, shown))
        result = busy.run("root", *arguments)
        assert result.exit_code == 3, result.output
        assert any(word in result.stderr for word in words.split("|"))
        assert "evidence" in result.stderr
    seen.write_bytes(honest)
    busy.ok("root", *arguments)


def test_receipts(busy: Network, tmp_path: Path) -> None:
    kept = sorted((busy.identity("root") / "receipts").glob("*.tlog-proof"))
    assert kept
    index = kept[-1].stem
    shown = json.loads(busy.ok("root", "receipt", "show", index, "--save", str(tmp_path / "r"), "-o", "json"))
    assert shown["receipt"] == (tmp_path / "r").read_text()
    verified = json.loads(busy.ok("root", "receipt", "verify", str(tmp_path / "r"), "-o", "json"))
    assert verified == {key: value for key, value in shown.items() if key != "receipt"}
    assert (verified["included"], verified["accepted"], verified["refused"]) == (True, 1, 0)
    assert verified["signed_by_this_installation"] is True
    text = busy.ok("hpc-one", "receipt", "verify", str(kept[-1]))
    assert f"entry {index} of test.example" in text
    assert "accepted" in text
    assert "not checked" in text


def test_a_refused_entry_is_included_all_the_same(busy: Network) -> None:
    """The proof of a refusal: included yes, accepted no."""
    result = busy.run("root", "admin", "approve", "nobody-at-all")
    assert result.exit_code != 0
    index = max(int(path.stem) for path in (busy.identity("root") / "receipts").glob("*.tlog-proof"))
    answer = json.loads(busy.ok("root", "receipt", "show", str(index), "-o", "json"))
    assert (answer["included"], answer["accepted"], answer["refused"]) == (True, 0, 1)
    assert answer["items"] == [{"subject": "decision.v1", "outcome": "NOT_FOUND"}]
    assert "refused: NOT_FOUND" in busy.ok("root", "receipt", "show", str(index))


def test_a_bad_receipt_is_bad_data(busy: Network, tmp_path: Path) -> None:
    kept = max((busy.identity("root") / "receipts").glob("*.tlog-proof"))
    good = kept.read_text()
    bad = tmp_path / "bad"
    for text in ("", "no receipt", good[:-9], good.replace("index ", "index 1"), good.replace("A", "B", 1), good.swapcase()):
        bad.write_text(text)
        assert busy.run("root", "receipt", "verify", str(bad)).exit_code == 65, text[:40]
    bad.write_bytes(b"\xff\xfe")
    assert busy.run("root", "receipt", "verify", str(bad)).exit_code == 65
    assert busy.run("root", "receipt", "verify", str(tmp_path / "nothing")).exit_code == 65


def test_a_strangers_receipt_is_not_shown(busy: Network) -> None:
    """Nor does the answer tell whether there is such an entry."""
    for index in ("2", "999999"):
        result = busy.run("bob", "receipt", "show", index)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no such entry whose receipt you may see" in result.stderr


def test_a_job_nobody_spoke_of(busy: Network) -> None:
    result = busy.run("hpc-one", "receipt", "show", "--job", "57714")
    assert result.exit_code == 1
    assert "no entry you may read" in result.stderr
