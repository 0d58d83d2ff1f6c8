# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl admin`: who takes part, and on which terms. Every action is a signed entry of the log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hpcbridge.contract.parameters import PARAMETERS
from hpcbridge.contract.records import MemberRecord
from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.documents import FILE, documents_read
from hpcbridge.ctl.figures import AMOUNT
from hpcbridge.ctl.figures import amount as shown_amount
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.member import member as member_command
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import Column, moment, note, print_json, print_line, print_table
from hpcbridge.errors import HpcbridgeError
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.market import ContractActivation, Credit
from hpcbridge.model.quantities import check_name, format_instant
from hpcbridge.model.transactions import Body, Decision, Parameters, Revocation
from hpcbridge.submitter.invitation import invite
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import get_parameters, list_members

_ENROLLABLE = [role.value.lower() for role in Role if role is not Role.SYSTEM_NODE]
Function = TypeVar("Function", bound=Callable[..., Any])
_COLUMNS = (
    Column(title="MEMBER", names="member"),
    Column(title="ROLE"),
    Column(title="VETTING", coloured=True),
    Column(title="INSTALLATION"),
    Column(title="CERTIFICATE UNTIL (UTC)", optional=True),
    Column(title="ENROLLED (UTC)", optional=True),
    Column(title="ATTRIBUTES", shrink=True),
)


def reason_options(function: Function) -> Function:
    """What an admin says on why: a note, and which documents it has read."""
    for option in (
        click.option("--file", "files", multiple=True, type=FILE, help="A document you have read, as you got it; its digest is computed."),
        click.option("--document", "digests", multiple=True, metavar="DIGEST", help="A document you have read, by its SHA-256."),
        click.option("--note", "remark", default="", help="A word for the log on why."),
    ):
        function = option(function)
    return function


@click.group(short_help="Tokens, members, vetting, credit, parameters.")
def admin() -> None:
    """What a network's admins do: tokens, members, vetting, credit, parameters, versions of the contract."""


@admin.command(short_help="Print a token with which NAME can enrol.")
@click.option("--role", required=True, type=click.Choice(_ENROLLABLE, case_sensitive=False), help="What the new member will be.")
@click.option("--name", required=True, help="Name of the member; with a name that is there already, one more installation of it.")
@click.option("--attribute", "attributes", multiple=True, metavar="K=V", help="Attribute of the member, for example auditor=true.")
@click.option("--minutes", default=60, show_default=True, type=click.IntRange(1, 60 * 24 * 7), help="How long the token can be used.")
@output_option
@pass_context
def token(context: Context, role: str, name: str, attributes: tuple[str, ...], minutes: int) -> None:
    """Print a one-line token with which NAME can enrol one installation, once.

    The secret in it is made here and known to nobody else; the ledger gets its digest. Hand it over on a way that others cannot read.
    """
    expires_at = now() + minutes * 60_000
    invitation = invite(context.keys(), Role(role.upper()), member=_name(name), attributes=_pairs(attributes), expires_at=expires_at)
    entry = _submit(context, invitation.body)
    if context.json:
        print_json({"token": invitation.text, "role": role.upper(), "name": name, "expires_at": format_instant(expires_at), "entry": entry})
        return
    print(invitation.text)
    note(f"Give this line to {name}, on a way that others cannot read. It works once, until {moment(expires_at)} UTC:")
    note("  hpcbridgectl enrol")


@admin.command()
@output_option
@pass_context
def members(context: Context) -> None:
    """List members with their installations."""
    found = list_members(context.way().call)
    if context.json:
        print_json({"members": [as_json(member) for member in found]})
    else:
        print_table(_COLUMNS, (row for member in found for row in _rows(member)), empty="No members.")


@admin.command(short_help="Approve a member, a cluster or a new epoch.")
@click.argument("name", metavar="NAME[/INSTALLATION]", shell_complete=listed("member", "cluster"))
@reason_options
@output_option
@pass_context
def approve(context: Context, name: str, *, remark: str, digests: tuple[str, ...], files: tuple[Path, ...]) -> None:
    """Approve a member or cluster NAME, or the new epoch that NAME/INSTALLATION waits for."""
    _decide(context, name, Vetting.APPROVED, remark=remark, digests=digests, files=files)


@admin.command()
@click.argument("name", shell_complete=listed("member", "cluster"))
@reason_options
@output_option
@pass_context
def reject(context: Context, name: str, *, remark: str, digests: tuple[str, ...], files: tuple[Path, ...]) -> None:
    """Turn down a member or cluster that waits."""
    _decide(context, name, Vetting.REJECTED, remark=remark, digests=digests, files=files)


@admin.command(short_help="Stop a member or cluster for now.")
@click.argument("name", shell_complete=listed("member", "cluster"))
@reason_options
@output_option
@pass_context
def suspend(context: Context, name: str, *, remark: str, digests: tuple[str, ...], files: tuple[Path, ...]) -> None:
    """Stop a member or cluster for the time being; approve brings it back."""
    _decide(context, name, Vetting.SUSPENDED, remark=remark, digests=digests, files=files)


@admin.command(short_help="End a member or an installation for good.")
@click.argument("name", metavar="NAME[/INSTALLATION]", shell_complete=listed("member", "cluster"))
@click.option("--reason", default="revoked by an admin", show_default=True, help="Stands in the log for everybody to read.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@pass_context
def revoke(context: Context, name: str, reason: str, *, yes: bool) -> None:
    """End a member, or one installation of it, for good. Its live streams are cut within seconds."""
    member, slash, installation = name.partition("/")
    if not yes and sys.stdin.isatty():
        click.confirm(f"Revoke {name} for good?", abort=True, err=True)
    body = Revocation(member=_name(member), installation=_name(installation) if slash else None, reason=reason)
    _report(context, _submit(context, body), f"{name} is revoked")


def _parameters(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [f"{name}=" for name in PARAMETERS if name.startswith(incomplete)]


@admin.group(invoke_without_command=True)
@output_option
@click.pass_context
def parameters(context: click.Context) -> None:
    """Show or change the network's parameters."""
    if context.invoked_subcommand is None:
        context.invoke(show_parameters)


@parameters.command(name="show")
@output_option
@pass_context
def show_parameters(context: Context) -> None:
    """Show the network's parameters."""
    found = get_parameters(context.way().call)
    if context.json:
        print_json(dict(found))
    else:
        print_table((Column(title="PARAMETER"), Column(title="VALUE", right=True)), found, empty="No parameters.")


@parameters.command(name="set")
@click.argument("values", nargs=-1, required=True, metavar="K=V…", shell_complete=_parameters)
@output_option
@pass_context
def set_parameters(context: Context, values: tuple[str, ...]) -> None:
    """Change parameters; each is an integer."""
    pairs = _pairs(values)
    try:
        body = Parameters(values=tuple((name, int(value)) for name, value in pairs))
    except ValueError as error:
        raise click.BadParameter("parameters are integers, for example lost_after_ms=604800000") from error
    _report(context, _submit(context, body), "parameters changed")


@admin.command(short_help="Credit an account, once for each reference.")
@click.argument("name", shell_complete=listed("member", "cluster"))
@click.argument("amount", type=AMOUNT)
@click.option("--reference", required=True, help="Which payment this is; each counts once for a member. It stands in the log for ever.")
@output_option
@pass_context
def credit(context: Context, name: str, amount: int, reference: str) -> None:
    """Credit the account of user or provider NAME with AMOUNT units (up to six decimals). A credit is never taken back."""
    if not amount:
        raise click.BadParameter("more than 0", param_hint="AMOUNT")
    entry = _submit(context, Credit(member=_name(name), amount=amount, reference=reference))
    _report(context, entry, f"{name} is credited with {shown_amount(amount)}")


@admin.command(short_help="Activate a later version of the contract.")
@click.argument("version", type=click.IntRange(1, 1_000_000))
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@pass_context
def contract(context: Context, version: int, *, yes: bool) -> None:
    """Activate VERSION of the contract for good. Every ledger program and auditor must know it: install newer ones first."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Activate contract version {version} for good?", abort=True, err=True)
    _check_known(context, version)
    _report(context, _submit(context, ContractActivation(version=version)), f"contract version {version} is in force")


admin.add_command(member_command)


def _check_known(context: Context, version: int) -> None:
    """Before a number is given to it: a ledger rejects what it does not know, and a rejected number ends an epoch."""
    newest = context.way().call("GetStatus", ledger_pb2.GetStatusRequest()).newest_contract_version
    if newest and version > newest:
        raise HpcbridgeError(
            f"the ledger's program knows contract versions up to {newest}, not {version}",
            hint="install a newer program for the ledger and every auditor first",
        )


def _decide(context: Context, name: str, vetting: Vetting, *, remark: str, digests: tuple[str, ...], files: tuple[Path, ...]) -> None:
    for part in name.split("/", 1):
        _name(part)
    read = documents_read(context.way(), name, files, digests)
    entry = _submit(context, Decision(name=name, vetting=vetting, note=remark, documents=read))
    _report(context, entry, f"{name} is {vetting.value.lower()}")


def _submit(context: Context, body: Body) -> int:
    submitted = context.way().submit(body)
    submitted.check_accepted()
    return submitted.index


def _report(context: Context, entry: int, text: str) -> None:
    if context.json:
        print_json({"entry": entry})
    else:
        print_line(f"{text} (entry {entry}, receipt verified)")


def _rows(member: MemberRecord) -> list[tuple[object, ...]]:
    vetting = "revoked" if member.revoked else member.vetting
    attributes = ", ".join(f"{name}={value}" for name, value in member.attributes)
    if not member.installations:
        return [(member.name, member.role.value.lower(), vetting, None, None, moment(member.enrolled_at), attributes)]
    return [
        (
            member.name,
            member.role.value.lower(),
            vetting,
            each.name + (" (waits for approval)" if each.awaits_approval else ""),
            "revoked" if each.revoked else "no end" if each.not_after_at is None else moment(each.not_after_at),
            moment(each.enrolled_at),
            attributes,
        )
        for each in member.installations
    ]


def _name(text: str) -> str:
    try:
        return check_name("name", text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _pairs(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """K=V texts as pairs in the order of their names."""
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or name in pairs:
            raise click.BadParameter(f"{text!r}: give K=V, each K once")
        pairs[name] = value
    return tuple(sorted(pairs.items()))
