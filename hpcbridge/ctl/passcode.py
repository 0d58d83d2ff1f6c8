# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl passcode`: the first passcode of a rented account, read once. It goes to standard output and nowhere else."""

from __future__ import annotations

import re
import sys
import time
from typing import TextIO

import click

from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.figures import CONTACT
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import moment, note, pause, print_facts, print_json
from hpcbridge.ctl.ways import Way
from hpcbridge.errors import BadData, HpcbridgeError
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.passcode import OpenedPasscode, passcode_from_text
from hpcbridge.model.market import AccountRenewal, AccountState, Rental, RentalState
from hpcbridge.model.quantities import format_instant
from hpcbridge.model.relay import Sealed, SealedState
from hpcbridge.submitter.passcodes import (
    collect_passcode,
    confirm_passcode,
    forget_passcode,
    fresh_key,
    has_key,
    key_missing,
    leave_contact,
    open_box,
)
from hpcbridge.wire.marketqueries import get_rental

_LOOK_SECONDS = 1.0
_MAX_TEXT = 65_536
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
"""A login address that is a plain name, which a shell takes as it stands; a provider may have written anything else there."""


@click.command(short_help="Read the passcode of a rented account, once.")
@click.argument("rental_id", metavar="ID", shell_complete=listed("rental"))
@click.option("--new", is_flag=True, help="Ask the provider for another one; the one before is no longer good.")
@click.option("--contact", type=CONTACT, help="A mail address, sealed to the provider, which sends the sealed passcode there as well.")
@click.option("--file", "text", type=click.File(errors="replace"), help="Open the sealed passcode in a mail (- : standard input).")
@click.option("--wait", type=click.IntRange(0, 86_400), default=60, show_default=True, metavar="SECONDS", help="How long to wait for it.")
@output_option
@pass_context
def passcode(context: Context, rental_id: str, *, new: bool, contact: str | None, text: TextIO | None, wait: int) -> None:
    """Show username, login and passcode of rental ID. The passcode is shown once and then deleted everywhere: change it at the first login.

    It was sealed to a key on this machine and signed by the provider; if anybody on the way changed something, it is refused.
    """
    if text is not None and (new or contact):
        raise click.UsageError("--file opens what is there; it does not go with --new or --contact")
    keys, way = context.keys(), context.way()
    rental = _open_rental(way, keys, rental_id)
    if text is not None:
        _show(context, rental, open_box(keys, rental, passcode_from_text(_read(text))))
        forget_passcode(keys, rental)
        return
    if new:
        with fresh_key(keys) as public:
            way.submit(AccountRenewal(rental=rental_id, sealing_key=public)).check_accepted()
        rental = _open_rental(way, keys, rental_id)
    if contact:
        leave_contact(way.call, keys, rental, contact=contact)
        note(f"The address was sealed to {rental.provider} and left for it.")
    _collect(context, way, keys, rental, wait=wait)


def told_of_passcode(rental: Rental, sealed: Sealed) -> str:
    """Where the passcode of an open rental is, in a few words."""
    match sealed.state:
        case SealedState.WAITING:
            return f"waits for you until {moment(sealed.expires_at)} UTC: hpcbridgectl passcode {rental.rental}"
        case SealedState.COLLECTED:
            return f"was read at {moment(sealed.collected_at)} UTC"
        case SealedState.EXPIRED:
            return f"was not read by {moment(sealed.expires_at)} UTC and deleted"
        case SealedState.NONE:
            return "is on its way" if rental.account is AccountState.READY else "comes with the account"


def _collect(context: Context, way: Way, keys: KeyDirectory, rental: Rental, *, wait: int) -> None:
    deadline, told = time.monotonic() + wait, False
    while True:
        found = collect_passcode(way.call, keys, rental)
        if found.opened is not None:
            _show(context, rental, found.opened)
            if not confirm_passcode(way.call, keys, rental, box=found.sealed.box):
                note("note: the ledger could not be told that it arrived; the same command would show it again for a day at most")
            return
        _check_still_to_come(keys, rental, found.sealed)
        if time.monotonic() >= deadline:
            break
        if not told:
            note(f"{_not_yet(rental)}; waiting up to {wait} s. Ctrl-C ends the waiting and loses nothing.")
            told = True
        pause(_LOOK_SECONDS)
        rental = _open_rental(way, keys, rental.rental)
    raise HpcbridgeError(_not_yet(rental), hint=f"run it again later: hpcbridgectl passcode {rental.rental}; --wait SECONDS waits longer")


def _open_rental(way: Way, keys: KeyDirectory, rental_id: str) -> Rental:
    rental, _ = get_rental(way.call, rental_id)
    if rental.state is RentalState.ENDED:
        forget_passcode(keys, rental)
        raise HpcbridgeError(f"rental {rental_id} has ended ({rental.end}): there is no account any more")
    return rental


def _check_still_to_come(keys: KeyDirectory, rental: Rental, sealed: Sealed) -> None:
    """Raises if waiting is in vain: it was there and is gone, or could not be opened here."""
    again = f"get a new one: hpcbridgectl passcode {rental.rental} --new"
    if sealed.state is SealedState.COLLECTED:
        raise HpcbridgeError(f"the passcode of {rental.rental} was read at {moment(sealed.collected_at)} UTC; it is shown once", hint=again)
    if sealed.state is SealedState.EXPIRED:
        raise HpcbridgeError(f"the passcode of {rental.rental} was not read by {moment(sealed.expires_at)} UTC and was deleted", hint=again)
    if not rental.sealing_key:
        raise HpcbridgeError(f"rental {rental.rental} was made without a key for a passcode", hint=again)
    if not has_key(keys, rental):
        raise key_missing(rental)


def _not_yet(rental: Rental) -> str:
    if rental.account is not AccountState.READY:
        return f"the provider has not made the account of {rental.rental} yet"
    what = "another passcode was asked for" if rental.renewed_at else "the account is made"
    return f"{what}, and the passcode of {rental.rental} has not come yet"


def _show(context: Context, rental: Rental, opened: OpenedPasscode) -> None:
    """On standard output alone, and written out before anything is deleted; where to log in as the provider signed it, if it did."""
    login = opened.login_address or rental.login_address
    if context.json:
        print_json({
            "rental": rental.rental, "username": rental.username, "login_address": login, "passcode": opened.passcode,
            "signed_by": str(opened.signer.submitter), "certificate": opened.signer.serial, "made_at": format_instant(opened.made_at),
        })  # fmt: skip
    else:
        print_facts([("username", rental.username), ("login", login), ("passcode", opened.passcode)])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise HpcbridgeError(f"the passcode could not be written: {error.strerror}", hint="nothing was deleted; run it again") from error
    if login != rental.login_address:
        note(
            f"note: the ledger names {rental.login_address} to log in at, which {opened.signer.submitter} did not sign: use the passcode at"
            f" {login} only, and ask the provider if it has moved"
        )
    if not context.json and _HOST.fullmatch(opened.login_address):
        note(f"Log in:  ssh {rental.username}@{opened.login_address}")
    note(f"Signed by {opened.signer.submitter}. It is shown this once: change it at the first login (passwd).")
    if not context.json and not sys.stdout.isatty():
        note("Standard output is no terminal: whatever reads it has the passcode now.")


def _read(text: TextIO) -> str:
    content = text.read(_MAX_TEXT + 1)
    if len(content) > _MAX_TEXT:
        raise BadData("the file is too long to be a mail with a passcode")
    return content
