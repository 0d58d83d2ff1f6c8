# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The recipe of the agent's container: what must hold of it wherever it is built, and that what it copies and calls is there."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "packaging" / "container" / "Containerfile"
IGNORED = RECIPE.with_name("Containerfile.containerignore")
PAGE = ROOT / "docs" / "container.md"
PINNED = re.compile(r"\S+(:[0-9]+(\.[0-9]+)+\S*|@sha256:[0-9a-f]{64})\Z")
SECRET = re.compile(r"(?i)password|passcode|token|secret|\.pem|profile\.json|identity")


def instructions(text: str) -> list[tuple[str, str]]:
    """Keyword and rest of each instruction, in order, with lines put together."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def faults(text: str) -> list[str]:
    """What is wrong with a recipe."""
    found: list[str] = []
    steps = instructions(text)
    bases = dict(rest.partition("=")[::2] for keyword, rest in steps if keyword == "ARG")
    stages = [rest.split() for keyword, rest in steps if keyword == "FROM"]
    for stage in stages:
        base = re.sub(r"\$\{(\w+)\}", lambda name: bases.get(name[1], ""), stage[0])
        if not PINNED.match(base):
            found.append(f"FROM {base}: not pinned")
    last = steps[max(place for place, step in enumerate(steps) if step[0] == "FROM") :]
    users = [rest for keyword, rest in last if keyword == "USER"]
    if not users or not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", users[-1]):
        found.append("the last USER is not a number other than root's")
    there = {keyword for keyword, _ in last}
    found += [f"no {needed}" for needed in ("HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL") if needed not in there]
    for keyword, rest in steps:
        if keyword == "ADD":
            found.append("ADD: COPY says what it does")
        if keyword == "RUN" and "apt-get install" in rest and "rm -rf /var/lib/apt/lists/*" not in rest:
            found.append("package lists stay in a layer")
        if keyword in {"COPY", "ENV", "ARG", "RUN"} and SECRET.search(rest):
            found.append(f"{keyword} {rest}: key material is mounted, never built in")
        if keyword == "COPY" and not rest.startswith("--from="):
            found += [f"COPY {name}: no such file" for name in shlex.split(rest)[:-1] if not (ROOT / name).exists()]
            found += [f"COPY {name}: kept out by {IGNORED.name}" for name in shlex.split(rest)[:-1] if f"!{name}" not in ignored()]
    return found


def ignored() -> list[str]:
    return IGNORED.read_text().splitlines()


def test_nothing_is_wrong_with_the_recipe() -> None:
    assert faults(RECIPE.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (":12.12-slim", ":latest", "not pinned"),
        (":12.12-slim", "", "not pinned"),
        ("USER 990:990", "USER root", "the last USER"),
        ("USER 990:990\n", "", "the last USER"),
        ("USER 990:990", "USER 0:0", "the last USER"),
        ("HEALTHCHECK", "LABEL a=", "no HEALTHCHECK"),
        ("COPY hpcbridge hpcbridge", "COPY hpcbrigde hpcbridge", "no such file"),
        ("COPY hpcbridge hpcbridge", "COPY docs docs", "kept out"),
        ("COPY hpcbridge hpcbridge", "COPY identity/key.pem /", "key material"),
        ("COPY scheduler_scripts", "ADD scheduler_scripts", "ADD"),
        (" \\\n    && rm -rf /var/lib/apt/lists/*", "", "package lists"),
    ],
)
def test_each_fault_is_found(old: str, new: str, fault: str) -> None:
    text = RECIPE.read_text()
    assert old in text
    assert any(fault in each for each in faults(text.replace(old, new)))


def test_what_it_calls_is_what_is_installed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    programs = re.findall(r"^(\S+) =", setup["options.entry_points"]["console_scripts"].strip(), re.MULTILINE)
    steps = dict(instructions(RECIPE.read_text()))
    assert '"hpcbridged"' in steps["ENTRYPOINT"]
    assert '"hpcbridgectl", "status"' in steps["HEALTHCHECK"]
    assert {"hpcbridged", "hpcbridgectl"} <= set(programs)


def test_the_page_says_what_the_recipe_has() -> None:
    page, recipe = PAGE.read_text(), RECIPE.read_text()
    for name in re.findall(r"^ARG (\w+)", recipe, re.MULTILINE):
        assert f"`{name}`" in page
    for path in re.findall(r"--(?:ignorefile|f) (\S+)|-f (\S+)", page):
        assert (ROOT / next(filter(None, path))).is_file()
    user = re.search(r"^USER (\S+)", recipe, re.MULTILINE)
    assert user is not None
    assert page.count(f"--user {user[1]}") == 2
