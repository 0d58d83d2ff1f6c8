# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl`: the root of all commands, and the one place where an error becomes a message and an exit status."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import click

import hpcbridge
from hpcbridge.ctl.admin import admin
from hpcbridge.ctl.check import check
from hpcbridge.ctl.clusters import clusters
from hpcbridge.ctl.completion import completion
from hpcbridge.ctl.context import Context
from hpcbridge.ctl.documents import documents
from hpcbridge.ctl.enrol import enrol
from hpcbridge.ctl.events import events
from hpcbridge.ctl.gaps import gaps
from hpcbridge.ctl.identity import identity
from hpcbridge.ctl.jobs import jobs
from hpcbridge.ctl.ledger import ledger_group
from hpcbridge.ctl.money import money
from hpcbridge.ctl.nodes import nodes
from hpcbridge.ctl.offers import offers
from hpcbridge.ctl.output import show_error
from hpcbridge.ctl.parse import parse
from hpcbridge.ctl.passcode import passcode
from hpcbridge.ctl.queues import queues
from hpcbridge.ctl.receipt import receipt_group
from hpcbridge.ctl.record import record
from hpcbridge.ctl.rentals import balance, rent, rentals
from hpcbridge.ctl.signs import use_known_signs
from hpcbridge.ctl.spool import spool
from hpcbridge.ctl.status import status
from hpcbridge.ctl.why import why
from hpcbridge.errors import HpcbridgeError, Refused
from hpcbridge.identity.tokens import check_address
from hpcbridge.model.entries import EntryOutcome, RejectionCode
from hpcbridge.submitter.submit import REFUSAL_HINTS
from hpcbridge.wire.credentials import check_libraries

logger = logging.getLogger(__name__)

_FAILED = 1
_INTERRUPTED = 130
_NOT_PERMITTED = frozenset(
    {
        EntryOutcome.NOT_PERMITTED,
        EntryOutcome.NOT_APPROVED,
        EntryOutcome.TOKEN_INVALID,
        RejectionCode.NOT_AUTHENTIC,
        RejectionCode.REVOKED,
    }
)
EXIT_STATUSES: Mapping[int, tuple[str, str]] = {
    0: ("done", "the answer is complete, and where there was something to verify it is verified"),
    1: ("failed", "the ledger refused, there is no such thing, or a bug; the message says which"),
    2: ("usage", "no such command, option or value"),
    3: ("integrity", "a proof, signature or history does not hold: keep the evidence, tell the admins and other members"),
    65: ("bad data", "a file or token cannot be read, or (with record and parse) something needs your eye"),
    69: ("not reachable", "the daemon, or every known address of the ledger; try again later"),
    70: ("input/output", "a disk failed or is full"),
    77: ("not permitted", "somebody else is entitled, or the certificate is not valid any more"),
    78: ("configuration", "a file, a permission or an identity has to be mended first; the message names place and remedy"),
    _INTERRUPTED: ("interrupted", "by Ctrl-C; --watch ends so with 0"),
}
_EPILOG = f"Exit status: {', '.join(f'{status} {word}' for status, (word, _) in EXIT_STATUSES.items())}. All of it: man hpcbridgectl"
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


GROUPS: Mapping[str, tuple[click.Command, ...]] = {
    "Everybody": (enrol, identity, status, events, documents, completion),
    "Sysadmins, on a cluster's frontend": (check, jobs, nodes, queues, spool, clusters, record, parse),
    "Users": (offers, why, rent, passcode, rentals, balance),
    "Admins of the network": (admin,),
    "Auditors, and whoever does not want to believe": (ledger_group, receipt_group, gaps),
}
"""All commands, by who needs them first."""


class Program(click.Group):
    """A group that turns every error below it into message, hint and exit status."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by who needs them, in the order in which they are needed."""
        width = max(len(name) for name in self.list_commands(ctx))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{each.name or '':<{width}}", each.get_short_help_str(formatter.width)) for each in commands])

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; what it raises ends here."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except HpcbridgeError as error:
            if isinstance(error, Refused) and not error.hint:
                error.hint = REFUSAL_HINTS.get(error.code, "")
            show_error(error)
            ctx.exit(exit_status_of(error))
        except BrokenPipeError:
            _close_output()
            ctx.exit(0)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)
        except Exception as error:
            logger.exception("unexpected error")
            told = f"unexpected: {type(error).__name__}: {error}"
            show_error(HpcbridgeError(told, hint="this is a bug; please report the lines above"))
            ctx.exit(1)


@click.group(cls=Program, context_settings=_SETTINGS, epilog=_EPILOG)
@click.version_option(hpcbridge.__version__, prog_name="hpcbridgectl")
@click.option(
    "--identity", "identity_path", type=click.Path(path_type=Path), envvar="HPCBRIDGE_IDENTITY", metavar="DIR",
    help="Whose key to use; default ~/.config/hpcbridge.",
)  # fmt: skip
@click.option(
    "--ledger", "ledger_address", metavar="HOST:PORT", envvar="HPCBRIDGE_LEDGER", callback=lambda _c, _p, value: _address(value),
    help="Which ledger endpoint to ask; default: those told at enrolment.",
)  # fmt: skip
@click.option(
    "--config", type=click.Path(path_type=Path), envvar="HPCBRIDGE_CONFIG", metavar="FILE",
    help="The daemon's configuration; default /etc/hpcbridge/hpcbridged.toml.",
)  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print answers.")
@click.pass_context
def cli(context: click.Context, *, identity_path: Path | None, ledger_address: str | None, config: Path | None, output: str) -> None:
    """Look at and look after hpcbridge: this machine's daemon, the ledger, and what is proven there."""
    check_libraries()
    use_known_signs()
    context.obj = Context(identity=identity_path, ledger=ledger_address, config=config, output=output)


for _command in itertools.chain(*GROUPS.values()):
    cli.add_command(_command)
ledger_group.add_command(money)


def main() -> None:
    """The console script. It handles private keys, so it leaves no core file behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cli(prog_name="hpcbridgectl")


def exit_status_of(error: HpcbridgeError) -> int:
    """77 says that somebody else is entitled; what nobody may do, or what is not there, has simply failed."""
    if isinstance(error, Refused) and error.code not in _NOT_PERMITTED:
        return _FAILED
    return error.exit_status


def _address(value: str | None) -> str | None:
    try:
        return None if value is None else check_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _close_output() -> None:
    """The reader of our pipe has gone: let nothing be flushed into it when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
