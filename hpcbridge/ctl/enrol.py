# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl enrol`: from a one-line token to an identity."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

import click

from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.output import ago, moment, note, print_facts, print_json
from hpcbridge.errors import BadData, ConfigError
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import parse_token
from hpcbridge.model.identities import Role
from hpcbridge.model.quantities import check_name
from hpcbridge.wire.enrolment import Enrolled
from hpcbridge.wire.enrolment import enrol as redeem

_MAX_INPUT = 8192
_NEXT = {
    Role.PROVIDER: "start the daemon: systemctl start hpcbridged; then look: hpcbridgectl status",
    Role.USER: "look whether you can use the network already: hpcbridgectl status",
    Role.ADMIN: "you can look after the network from here: hpcbridgectl admin members, hpcbridgectl admin token",
    Role.SYSTEM_NODE: "the node can take part now",
}


@click.command()
@click.option("--installation", metavar="NAME", help="Name of this installation of yours; default: the name of this machine.")
@output_option
@pass_context
def enrol(context: Context, installation: str | None) -> None:
    """Join a network with a one-time token.

    The token is read from standard input or asked for, never taken from the command line, where others could see it. Your private
    key is made here and never leaves this machine.
    """
    path = context.identity_path()
    keys = KeyDirectory(path)
    _check_free(keys)
    name = _installation(installation)
    token = _read_token()
    parse_token(token)  # what is damaged is told before a directory is made
    owner = _owner_of(path)
    with keys.lock():
        enrolled = redeem(token, name, keys)
    _give_to(owner, path)
    _show(context, enrolled, path)


def _check_free(keys: KeyDirectory) -> None:
    if keys.is_enrolled():
        raise ConfigError(
            f"{keys.path} is enrolled already, as {keys.load_profile().submitter}",
            hint="nothing was changed. For a new certificate: hpcbridgectl identity renew. "
            "To start over, move that directory away first; for a second identity name another one with --identity.",
        )


def _installation(given: str | None) -> str:
    if given is not None:
        try:
            return check_name("installation", given)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--installation") from error
    short = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")[:40].strip("-")
    return short or "installation"


def _read_token() -> str:
    """One line from a terminal without echo, or all of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt("Enrolment token", hide_input=True, err=True))
    text = sys.stdin.read(_MAX_INPUT)
    if not text.strip():
        raise BadData("no token on standard input", hint="for example: hpcbridgectl enrol < token.txt")
    return text


def _owner_of(path: Path) -> tuple[int, int] | None:
    """Root enrols for the daemon's account: whoever owns the directory, or the nearest one above it that is there, shall own the files."""
    if os.geteuid() != 0:
        return None
    there = next(each for each in (path, *path.parents) if each.exists())
    facts = there.stat()
    return facts.st_uid, facts.st_gid


def _give_to(owner: tuple[int, int] | None, path: Path) -> None:
    if owner is None or owner[0] == 0:
        return
    for each in (path, *path.iterdir()):
        os.chown(each, *owner, follow_symlinks=False)


def _show(context: Context, enrolled: Enrolled, path: Path) -> None:
    profile, facts = enrolled.profile, enrolled.facts
    if context.json:
        print_json(
            {
                "submitter": str(profile.submitter),
                "role": profile.role.value,
                "origin": profile.origin,
                "attributes": dict(facts.attributes),
                "identity": str(path),
                "ledger_addresses": list(profile.ledger_addresses),
                "not_after_at": as_json(facts)["not_after_at"],
                "entry": enrolled.receipt.index,
            }
        )
        return
    print_facts(
        [
            ("member", profile.submitter.member),
            ("installation", profile.submitter.installation),
            ("role", profile.role.value.lower()),
            *((f"attribute {name}", value) for name, value in facts.attributes),
            ("ledger", f"{profile.origin} at {', '.join(profile.ledger_addresses)}"),
            ("certificate", f"until {moment(facts.not_after_at)} UTC ({ago(facts.not_after_at, now())}); renewed by itself"),
            ("on the log", f"entry {enrolled.receipt.index}, receipt verified"),
            ("kept in", str(path)),
        ],
        title=f"Welcome to {profile.origin}.",
    )
    note(f"Next: {_NEXT[profile.role]}")
