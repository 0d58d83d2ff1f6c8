# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The program hpcbridge-ledgerd as a process: exit status, messages, files, signals."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.wire.enrolment import enrol
from tests.ports import free_ports

PROGRAM = [sys.executable, "-c", "from hpcbridge.service.main import main; main()"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    address, enrolment = free_ports(2)
    path = tmp_path / "ledgerd.toml"
    path.write_text(
        f'[listen]\naddress = "localhost:{address}"\nenrolment = "localhost:{enrolment}"\n[store]\ndirectory = "{tmp_path / "ledger"}"\n'
    )
    return path


def ledgerd(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, "--config", str(config), *arguments], capture_output=True, text=True, timeout=30, check=False)


def start(config: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([*PROGRAM, "--config", str(config), "run"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("serving on"):
            return process
    raise AssertionError(f"ended with {process.wait()}")


def test_init_run_enrol_and_stop(config: Path, tmp_path: Path) -> None:
    made = ledgerd(config, "init", "--origin", "ledger.test")
    assert made.returncode == 0, made.stderr
    token = made.stdout
    assert token.startswith("hpcb1.")
    assert len(token.splitlines()) == 1
    assert "hpcbridgectl enrol" in made.stderr
    directory = tmp_path / "ledger"
    for path in directory.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.suffix == ".db" or path.name in ("ca-key.pem", "log-key.pem", "key.pem", "high-water")
        assert not secret or mode == 0o600, f"{path} {mode:o}"
    assert stat.S_IMODE(directory.stat().st_mode) == stat.S_IMODE((directory / "keys").stat().st_mode) == 0o700

    again = ledgerd(config, "init", "--origin", "ledger.test")
    assert again.returncode == 78
    assert "there is a ledger here" in again.stderr

    process = start(config)
    enrol(token, "main", KeyDirectory(tmp_path / "admin"))
    second = ledgerd(config, "run")
    assert second.returncode == 78
    assert "in use by another process" in second.stderr
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr


def test_a_changed_byte_in_the_store_is_named_and_the_status_is_3(config: Path, tmp_path: Path) -> None:
    ledgerd(config, "init", "--origin", "ledger.test")
    with sqlite3.connect(tmp_path / "ledger" / "ledger.db") as connection:
        (leaf,) = connection.execute("SELECT leaf FROM entry").fetchone()
        connection.execute("UPDATE entry SET leaf=?", (leaf[:100] + bytes([leaf[100] ^ 1]) + leaf[101:],))
    connection.close()
    ended = ledgerd(config, "run")
    assert ended.returncode == 3
    assert "check of the" in ended.stderr


def test_configuration_errors(config: Path, tmp_path: Path) -> None:
    missing = ledgerd(config, "run")
    assert missing.returncode == 78
    config.write_text(config.read_text() + "[limit]\n")
    unknown = ledgerd(config, "run")
    assert unknown.returncode == 78
    assert "limits" in unknown.stderr
    assert ledgerd(tmp_path / "none.toml", "run").returncode == 78
    assert ledgerd(config, "nonsense").returncode == 2


def test_accept_clock_and_rebuild_say_what_they_do(config: Path, tmp_path: Path) -> None:
    ledgerd(config, "init", "--origin", "ledger.test")
    accepted = ledgerd(config, "accept-clock")
    assert accepted.returncode == 0
    assert "will be accepted" in accepted.stderr
    note = tmp_path / "note"
    note.write_text("not a checkpoint")
    assert ledgerd(config, "rebuild-high-water", str(note)).returncode == 65
    assert ledgerd(config, "rebuild-high-water").returncode == 2


def test_a_wrong_origin_or_parameter_makes_no_ledger(config: Path, tmp_path: Path) -> None:
    for arguments in (("--origin", "Not A Name"), ("--origin", "ledger.test", "--parameter", "x"), ("--origin", "o", "--admin", "-")):
        assert ledgerd(config, "init", *arguments).returncode == 78
    assert not (tmp_path / "ledger" / "ledger.db").exists()
    assert ledgerd(config, "init", "--origin", "ledger.test", "--parameter", "vet_members=1").returncode == 0
