# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Completion of names: those last listed on a terminal, and the daemon's jobs. Nothing here asks the network.

A table that a person looked at is kept in a small file of the person's own, so that a Tab after `rentals list` knows the rentals. Whatever
goes wrong here goes wrong silently: no command fails because a name could not be kept, and nobody wants an error at a Tab.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import click

from hpcbridge.config import AGENT_CONFIG, ControlSection, load_agent_config
from hpcbridge.errors import HpcbridgeError
from hpcbridge.identity.keystore import write_file
from hpcbridge.wire.control import ask

Completer = Callable[[click.Context, click.Parameter, str], list[str]]
_MOST = 500
_MAX_BYTES = 1 << 20
_SOON = 1.0
_NAME = re.compile(r"[\w.#\[\]/-]{1,80}", re.ASCII)
"""No sign that means something to a shell but those that job ids have."""


def remember(listed: Mapping[str, Iterable[str]]) -> None:
    """Keeps names by their kind, instead of those of that kind listed before."""
    kept = _kept()
    fresh = {kind: [name for name in dict.fromkeys(names) if _NAME.fullmatch(name)][:_MOST] for kind, names in listed.items()}
    if any(kept.get(kind) != names for kind, names in fresh.items()):
        with contextlib.suppress(OSError, HpcbridgeError):
            _path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(_path(), json.dumps({**kept, **fresh}).encode(), mode=0o600)


def listed(*kinds: str) -> Completer:
    """Completes a name of these kinds."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        kept = _kept()
        return _beginning(incomplete, [name for kind in kinds for name in kept.get(kind, ())])

    return complete


def jobs_here(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Completes a job that the daemon on this machine sees; with --cluster, one of those last listed."""
    here: list[str] = []
    if not context.params.get("cluster"):
        with contextlib.suppress(HpcbridgeError, KeyError, TypeError):
            answer = ask(_socket(context.find_root().params.get("config")), "jobs", timeout_seconds=_SOON)
            here = [str(job["job_id"]) for job in answer["jobs"]]
    return _beginning(incomplete, here or _kept().get("job", ()))


def _beginning(incomplete: str, names: Collection[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _socket(config: Path | None) -> Path:
    path = config or AGENT_CONFIG
    return load_agent_config(path).control.socket if os.access(path, os.R_OK) else ControlSection().socket


def _path() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "hpcbridge" / "names.json"


def _kept() -> dict[str, list[str]]:
    """What the file holds; nothing if there is none, or if it is not ours."""
    try:
        with _path().open("rb") as file:
            tree = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: an account without a home
        return {}
    if not isinstance(tree, dict):
        return {}
    return {kind: [name for name in names if isinstance(name, str)] for kind, names in tree.items() if isinstance(names, list)}
