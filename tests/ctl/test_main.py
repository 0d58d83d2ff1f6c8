# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The program as a process: exit statuses, pipes, help, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcbridge.ctl import parse as parse_module
from hpcbridge.ctl.main import cli, exit_status_of
from hpcbridge.errors import BadData, ConfigError, HpcbridgeError, IdentityError, IntegrityError, LedgerUnavailable, Refused, StorageError

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "recorded" / "slurm" / "22.05.8"


def run(*arguments: str, home: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    argv = [sys.executable, "-m", "hpcbridge.ctl.main", *arguments]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--version"], 0, ""),
        (["dance"], 2, "No such command"),
        (["jobs", "show"], 2, "Missing argument"),
        (["--ledger", "nowhere", "gaps"], 2, "host:port"),
        (["events", "--from", "x"], 2, "not <index>.<n>"),
        (["enrol"], 65, "no token on standard input"),
        (["parse", "/nonexistent"], 65, "meta.json"),
        (["spool", "show"], 69, "no hpcbridged on this machine"),
        (["admin", "members"], 78, "enrol with a token"),
        (["check", "--config", "/nonexistent.toml"], 78, ""),
        (["--config", "/nonexistent.toml", "status"], 78, "no such file"),
    ],
)
def test_exit_statuses(arguments: list[str], status: int, told: str, tmp_path: Path) -> None:
    done = run(*arguments, home=tmp_path)
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HpcbridgeError("x"), 1),
        (IntegrityError("x"), 3),
        (BadData("x"), 65),
        (LedgerUnavailable("x"), 69),
        (StorageError("x"), 70),
        (IdentityError("x"), 77),
        (Refused("NOT_PERMITTED", "x"), 77),
        (Refused("REVOKED", "x"), 77),
        (Refused("NOT_FOUND", "x"), 1),
        (Refused("ILLEGAL_TRANSITION", "x"), 1),
        (ConfigError("x"), 78),
    ],
)
def test_each_family_has_its_exit_status(error: HpcbridgeError, status: int) -> None:
    assert exit_status_of(error) == status


def test_a_bug_is_told_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_directory: Path) -> None:
        raise RuntimeError("something nobody thought of")

    monkeypatch.setattr(parse_module, "load_recording", fail)
    result = CliRunner().invoke(cli, ["parse", "x"])
    assert result.exit_code == 1
    assert "unexpected: RuntimeError" in result.stderr
    assert "please report" in result.stderr


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hpcbridge.ctl.main parse {RECORDED / 'empty'} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)}
    )
    assert done.stdout.split() == ["{", "0"]
    assert done.stderr == ""


def test_an_encoding_that_cannot_show_a_dash(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    argv = [sys.executable, "-m", "hpcbridge.ctl.main", "check", "--config", "/nonexistent.toml"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert (done.returncode, "Traceback" in done.stderr) == (78, False)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_each_command_explains_itself(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()[2].strip()) > 8


GROUPS = [(), ("admin",), ("admin", "parameters"), ("identity",), ("jobs",), ("rentals",), ("spool",)]


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_no_short_help_is_cut(path: tuple[str, ...]) -> None:
    lines = CliRunner().invoke(cli, [*path, "--help"], terminal_width=80).stdout.splitlines()
    assert [line for line in lines if line.endswith("...") and not line.startswith("Usage:")] == []


def test_every_command_of_the_interface_is_there() -> None:
    wanted = """enrol; identity show; identity renew; status; check; jobs list; jobs show; jobs watch; jobs add; nodes list; queues list;
    clusters list; clusters show; spool show; spool flush; spool quarantine; gaps; parse; events; ledger status; ledger verify;
    ledger export; receipt show; receipt verify; admin token; admin members; admin approve; admin reject; admin suspend; admin revoke;
    admin parameters show; admin parameters set; admin credit; admin contract; offers; why; rent; rentals list; rentals show;
    rentals cancel; balance; completion"""
    assert {tuple(each.split()) for each in wanted.split(";")} <= set(commands(cli))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = CliRunner().invoke(cli, ["completion", shell]).stdout
    assert "_HPCBRIDGECTL_COMPLETE" in script
    assert "hpcbridgectl" in script


def test_the_shell_gets_its_words(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "_HPCBRIDGECTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "hpcbridgectl jobs ",
        "COMP_CWORD": "2",
    }
    program = "from hpcbridge.ctl.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == {"list", "show", "watch", "add"}


@pytest.mark.parametrize("case", sorted(path.parent.name for path in RECORDED.glob("*/meta.json"))[:4])
def test_parse_prints_json_alone(case: str, tmp_path: Path) -> None:
    done = run("parse", str(RECORDED / case), home=tmp_path)
    assert done.returncode in (0, 65)
    assert done.stdout.startswith("{")
    assert done.stderr == ""
