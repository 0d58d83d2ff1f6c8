# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Manual pages and tables of keys: of today, whole, accepted by both formatters, and readable at 80 columns."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from docs import make_man
from hpcbridge.config import AgentConfig, LedgerConfig
from hpcbridge.config.described import about_key, sections_of
from hpcbridge.ctl.main import EXIT_STATUSES, GROUPS, cli
from hpcbridge.errors import HpcbridgeError

PAGES = sorted(path for path in make_man.texts() if path.parent == make_man.PAGES)
NAMES = ("hpcbridge-accounts.8", "hpcbridge-ledgerd.8", "hpcbridgectl.8", "hpcbridged.8", "hpcbridged.toml.5", "ledgerd.toml.5")
formatters = pytest.mark.skipif(
    os.environ.get("CI") != "true" and not (shutil.which("mandoc") and shutil.which("groff")), reason="tests/prepare man installs both"
)


def test_all_is_of_today() -> None:
    assert [path.name for path, text in make_man.texts().items() if path.read_text(encoding="utf-8") != text] == [], "run: make docs"


def test_there_is_a_page_for_every_program_and_file() -> None:
    assert tuple(path.name for path in PAGES) == NAMES


@formatters
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_formatters_are_silent(page: Path) -> None:
    argvs: tuple[list[str | Path], ...] = (["mandoc", "-T", "lint", page], ["groff", "-man", "-Tutf8", "-ww", page])
    for argv in argvs:
        done = subprocess.run(argv, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert argv[0] != "mandoc" or done.stdout == b""


@formatters
def test_a_broken_page_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "broken.8"
    page.write_text('.TH BROKEN 8 "2026-11-22" "x" "y"\n.SH NAME\nbroken \\(en page\n.TP\n.NOSUCH\n')
    assert subprocess.run(["mandoc", "-T", "lint", page], capture_output=True, check=False).stdout != b""
    assert subprocess.run(["groff", "-man", "-Tutf8", "-ww", page], capture_output=True, check=False).stderr != b""


@formatters
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_line_is_wider_than_80(page: Path) -> None:
    shown = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=78", page], capture_output=True, check=True, text=True).stdout
    lines = [re.sub(r".\x08", "", line) for line in shown.splitlines()]
    assert max(map(len, lines)) <= 100, "code that an example needs on one line may be wider, but not by much"
    assert [line for line in lines if len(line) > 80 and " > " not in line] == []


def commands(group: click.Group, path: str = "hpcbridgectl") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_with_its_options_is_on_the_page() -> None:
    page = (make_man.PAGES / "hpcbridgectl.8").read_text(encoding="utf-8").replace("\\-", "-")
    for path, command in commands(cli):
        assert f"\\fB{path}\\fR" in page
        for each in command.params:
            assert not isinstance(each, click.Option) or max(each.opts, key=len) in page, path


def test_every_command_is_in_one_group() -> None:
    grouped = [each.name for group in GROUPS.values() for each in group]
    assert sorted(map(str, grouped)) == sorted(cli.commands)


def families(above: type[HpcbridgeError]) -> Iterator[type[HpcbridgeError]]:
    yield above
    for each in above.__subclasses__():
        yield from families(each)


def test_every_exit_status_is_told() -> None:
    assert {each.exit_status for each in families(HpcbridgeError)} <= set(EXIT_STATUSES)


@pytest.mark.parametrize("config", [AgentConfig, LedgerConfig])
def test_every_key_says_what_it_is(config: type[object]) -> None:
    told = {f"{section.heading} {key.name}": key.about for section in sections_of(config) for key in section.keys}
    assert [name for name, about in told.items() if not about] == []
    assert all(section.about for section in sections_of(config))
    assert "[log] level" in told


def test_what_a_key_is() -> None:
    assert about_key(AgentConfig, ("cluster", "queues", "name")).startswith("as the scheduler calls it")
    assert about_key(AgentConfig, ("cluster", "nothing")) == ""
    assert about_key(AgentConfig, ("nothing", "at", "all")) == ""
