# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl rent`, `rentals` and `balance`: a rental from the order to its statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from hpcbridge.contract.market import rental_name
from hpcbridge.contract.pricing import SECONDS_PER_HOUR, price_per_hour
from hpcbridge.contract.requests import MAX_CORES
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.figures import AMOUNT, CONTACT, WALLTIME, amount
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.orders import check_order, explained, request_of
from hpcbridge.ctl.output import Column, clock, moment, note, print_facts, print_json, print_line, print_table
from hpcbridge.ctl.passcode import told_of_passcode
from hpcbridge.ctl.watch import watch_option
from hpcbridge.errors import HpcbridgeError, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.market import Cancellation, Micro, Rental, RentalOrder, RentalState, StatementLine
from hpcbridge.model.relay import Sealed, SealedKind
from hpcbridge.submitter.passcodes import forget_passcode, fresh_key, leave_contact
from hpcbridge.wire.marketqueries import get_balance, get_rental, get_request, list_rentals
from hpcbridge.wire.queries import Call
from hpcbridge.wire.relay import collect_sealed

_COLUMNS = (
    Column(title="RENTAL", names="rental"),
    Column(title="STATE"),
    Column(title="END"),
    Column(title="CLUSTER", shrink=True),
    Column(title="QUEUE", shrink=True),
    Column(title="USERNAME"),
    Column(title="CORES", right=True),
    Column(title="GPUS", right=True, optional=True),
    Column(title="HELD", right=True, optional=True),
    Column(title="CHARGED", right=True),
    Column(title="GRANTED (UTC)", optional=True),
)
_LINE_COLUMNS = (
    Column(title="ENTRY", right=True),
    Column(title="AT (UTC)", optional=True),
    Column(title="KIND"),
    Column(title="AMOUNT", right=True),
    Column(title="NOT COVERED", right=True),
    Column(title="JOB", shrink=True),
    Column(title="OUTCOME"),
    Column(title="BORNE BY"),
    Column(title="CORE SECONDS", right=True, optional=True),
    Column(title="GPU SECONDS", right=True, optional=True),
)


@click.command(short_help="Rent what was offered.")
@click.argument("offer", required=False, shell_complete=listed("offer"))
@click.option(
    "--queue", metavar="Q", shell_complete=listed("queue label"), default="", help="The queue of the offer by its label there: q1, q2, …"
)
@click.option(
    "--best",
    metavar="REQUEST",
    shell_complete=listed("request"),
    default="",
    help="Instead of an offer: the cheapest that starts soonest of this request.",
)
@click.option("--cores", type=click.IntRange(1, MAX_CORES), metavar="N", help="Fewer cores than asked for.")
@click.option("--gpus", type=click.IntRange(0, MAX_CORES), metavar="N", help="Fewer GPUs than asked for.")
@click.option("--walltime", type=WALLTIME, metavar="T", help="A shorter time than asked for, for example 02:00:00.")
@click.option("--extra-limit", type=AMOUNT, default="0", metavar="AMOUNT", help="May be charged beyond the deposit; 0 unless given.")
@click.option("--contact", type=CONTACT, help="A mail address, sealed to the provider, which sends the sealed passcode there as well.")
@output_option
@pass_context
def rent(
    context: Context,
    *,
    offer: str | None,
    queue: str,
    best: str,
    cores: int | None,
    gpus: int | None,
    walltime: int | None,
    extra_limit: int,
    contact: str | None,
) -> None:
    """Rent a queue of OFFER, or the best offer of a request. The deposit is held until the rental ends; what is not used comes back.

    You pay what your jobs use, and never more than deposit and extra limit together. Provider, cluster and login are named from now on.
    """
    if bool(offer) is bool(best) or bool(offer) is not bool(queue):
        raise click.UsageError("give OFFER and --queue Q, or --best REQUEST")
    request = request_of(offer or "", best)
    way = context.way()
    record = get_request(way.call, request)
    check_order(record, cores=cores, gpus=gpus, walltime=walltime)
    asked = record.asked
    keys = context.keys()
    with fresh_key(keys) as public:
        body = RentalOrder(
            offer=offer or "",
            request=best,
            queue=queue,
            cores=asked.cores if cores is None else cores,
            gpus=asked.gpus if gpus is None else gpus,
            walltime_seconds=walltime,
            extra_limit=extra_limit,
            sealing_key=public,
        )
        submitted = way.submit(body)
        try:
            submitted.check_accepted()
        except Refused as refusal:
            raise explained(refusal, request) from refusal
    rental, _ = get_rental(way.call, rental_name(submitted.index))
    if context.json:
        print_json(as_json(rental))
    else:
        print_facts(_facts(rental), title=f"Rental {rental.rental}")
        note(f"Rented (entry {submitted.index}, receipt verified).")
    if contact:
        _leave_contact(way.call, keys, rental, contact=contact)
    if not context.json:
        _advise(rental)


@click.command(short_help="Your account: to spend, and held.")
@click.option(
    "--member", metavar="NAME", shell_complete=listed("member"), default="", help="Somebody else's account; for admins and auditors."
)
@watch_option
@output_option
@pass_context
def balance(context: Context, member: str) -> None:
    """Show your account: what may be spent, and what is held as deposits."""
    found = get_balance(context.way().call, member)
    if context.json:
        print_json(as_json(found))
    else:
        print_facts([("member", found.member), ("to spend", amount(found.balance)), ("held", amount(found.held))])


@click.group()
def rentals() -> None:
    """Your rentals; for providers, those of their clusters."""


@rentals.command(name="list")
@click.option("--open", "open_only", is_flag=True, help="Leave out rentals that have ended.")
@watch_option
@output_option
@pass_context
def list_command(context: Context, *, open_only: bool) -> None:
    """List rentals."""
    found = list_rentals(context.way().call, open_only=open_only)
    _forget_ended(context, found)
    if context.json:
        print_json({"rentals": [as_json(each) for each in found]})
    else:
        print_table(_COLUMNS, (_row(each) for each in found), empty="No rentals.")


@rentals.command(short_help="Show a rental with its statement.")
@click.argument("rental_id", metavar="ID", shell_complete=listed("rental"))
@watch_option
@output_option
@pass_context
def show(context: Context, rental_id: str) -> None:
    """Show a rental with its statement; each line names the entry of the log that moved the money."""
    way = context.way()
    rental, lines = get_rental(way.call, rental_id)
    sealed = _passcode_of(way.call, rental)
    _forget_ended(context, (rental,))
    if context.json:
        told = {} if sealed is None else {"passcode": {name: value for name, value in as_json(sealed).items() if name != "box"}}
        print_json({"rental": as_json(rental), **told, "statement": [as_json(line) for line in lines]})
        return
    print_facts(_facts(rental, sealed), title=f"Rental {rental.rental}")
    print_line("")
    print_table(_LINE_COLUMNS, (_line(line) for line in lines), empty="No movements.")


@rentals.command(short_help="Give a rental back before its first job.")
@click.argument("rental_id", metavar="ID", shell_complete=listed("rental"))
@output_option
@pass_context
def cancel(context: Context, rental_id: str) -> None:
    """Give a rental back before its first job; the whole deposit comes back."""
    way = context.way()
    submitted = way.submit(Cancellation(rental=rental_id))
    submitted.check_accepted()
    _forget_ended(context, (get_rental(way.call, rental_id)[0],))
    if context.json:
        print_json({"entry": submitted.index})
    else:
        print_line(f"rental {rental_id} is cancelled (entry {submitted.index}, receipt verified)")


def _leave_contact(call: Call, keys: KeyDirectory, rental: Rental, *, contact: str) -> None:
    """The rental stands whatever becomes of the address."""
    try:
        leave_contact(call, keys, rental, contact=contact)
    except HpcbridgeError as error:
        note(f"note: the address could not be left ({error}); try: hpcbridgectl passcode {rental.rental} --contact {contact}")


def _advise(rental: Rental) -> None:
    """What comes next, and what the deposit does not pay."""
    seconds = rental.limit_seconds if rental.walltime_seconds is None else rental.walltime_seconds
    per_hour = _per_hour(rental)
    price = -(-per_hour * seconds // SECONDS_PER_HOUR)
    note(f"Username, login and passcode, as soon as the account is made:  hpcbridgectl passcode {rental.rental}")
    note(f"To give it back before the first job:  hpcbridgectl rentals cancel {rental.rental}")
    if price > rental.deposit + rental.extra_limit:
        paid = (rental.deposit + rental.extra_limit) * SECONDS_PER_HOUR // per_hour
        note(
            f"Deposit and extra limit pay {clock(paid)} of all of it; the {clock(seconds)} you want cost {amount(price)}."
            f" To cover them, give it back and rent with --extra-limit {amount(price - rental.deposit)}"
        )


def _forget_ended(context: Context, found: Iterable[Rental]) -> None:
    """A rental that has ended needs no key any more; whoever ended it, it shows here first."""
    keys = KeyDirectory(context.identity_path())
    for rental in found:
        if rental.state is RentalState.ENDED:
            forget_passcode(keys, rental)


def _passcode_of(call: Call, rental: Rental) -> Sealed | None:
    """Where the passcode is, for the user of an open rental; None for everybody else."""
    if rental.state is RentalState.ENDED or rental.member is None:
        return None
    try:
        return collect_sealed(call, rental.rental, SealedKind.PASSCODE)
    except Refused:  # an admin's or auditor's eyes
        return None


def _row(rental: Rental) -> tuple[Any, ...]:
    return (
        rental.rental,
        rental.state,
        rental.end,
        rental.cluster,
        rental.queue,
        rental.username,
        rental.cores,
        rental.gpus,
        amount(rental.held),
        amount(rental.charged),
        moment(rental.granted_at),
    )


def _facts(rental: Rental, sealed: Sealed | None = None) -> list[tuple[str, Any]]:
    facts = [
        ("state", f"{rental.state} ({rental.end})" if rental.end else rental.state),
        ("offer", rental.offer),
        ("provider", rental.provider),
        ("cluster", rental.cluster),
        ("login", rental.login_address),
        ("username", rental.username),
        ("account", " ".join(part for part in (rental.account, rental.account_text) if part)),
        ("passcode", None if sealed is None else told_of_passcode(rental, sealed)),
        ("queue", rental.queue),
        ("cores", rental.cores),
        ("gpus", rental.gpus or None),
        ("walltime", None if rental.walltime_seconds is None else clock(rental.walltime_seconds)),
        ("to install", ", ".join(f"{program.name} {program.version}".strip() for program in rental.to_install)),
        ("price", _price(rental)),
        ("deposit", f"{amount(rental.deposit)} (for {clock(rental.limit_seconds)})"),
        ("extra limit", amount(rental.extra_limit)),
        ("held", amount(rental.held)),
        ("charged", amount(rental.charged)),
        ("refunded", amount(rental.refunded)),
        ("not covered", amount(rental.not_covered)),
        ("granted", f"{moment(rental.granted_at)} UTC (entry {rental.index})"),
        ("first job by", None if rental.used_at or rental.ended_at else f"{moment(rental.expires_at)} UTC"),
        ("over by", None if rental.ended_at else f"{moment(rental.latest_at)} UTC at the latest"),
        ("ended", f"{moment(rental.ended_at)} UTC (entry {rental.settled_index})" if rental.ended_at else None),
    ]
    return [(name, value) for name, value in facts if value not in (None, "")]


def _per_hour(rental: Rental) -> Micro:
    return price_per_hour(rental.rates, cores=rental.cores, gpus=rental.gpus)


def _price(rental: Rental) -> str:
    """What all of it costs an hour, and what that is made of."""
    parts = [f"{rental.cores} × {amount(rental.rates.cpu_core_per_hour)} for cores"]
    if rental.gpus:
        parts.append(f"{rental.gpus} × {amount(rental.rates.gpu_core_per_hour)} for GPUs")
    return f"{amount(_per_hour(rental))} an hour: {' + '.join(parts)}"


def _line(line: StatementLine) -> tuple[Any, ...]:
    usage = line.usage
    known = (None,) * 6 if usage is None else (
        amount(usage.not_covered), usage.job_id, usage.outcome, usage.bearer.value.lower(), usage.core_seconds, usage.gpu_seconds,
    )  # fmt: skip
    return (line.index, moment(line.at), line.kind, amount(line.amount), *known)
