# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl ledger money`: what an auditor computes of the market from an export alone, and where the ledger's figures are others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcbridge.audit.export import read_leaves, read_note
from hpcbridge.audit.money import Money, prove_money
from hpcbridge.audit.verify import LogForked, Pins, Verified
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.figures import amount
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.ledger import kept_receipts, load_seen, pins_of, reading_identity
from hpcbridge.ctl.names import listed
from hpcbridge.ctl.output import Column, print_facts, print_json, print_line, print_table
from hpcbridge.ctl.progress import progress
from hpcbridge.errors import BadData, IntegrityError, Refused
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.model.entries import Checkpoint, EntryOutcome
from hpcbridge.model.market import Rental, StatementLine

_RENTALS = (
    Column(title="RENTAL"),
    Column(title="USER", shrink=True),
    Column(title="PROVIDER", shrink=True),
    Column(title="END"),
    Column(title="DEPOSIT", right=True),
    Column(title="CHARGED", right=True),
    Column(title="REFUNDED", right=True),
    Column(title="HELD", right=True),
    Column(title="NOT COVERED", right=True, optional=True),
)
_LINES = (
    Column(title="ENTRY", right=True),
    Column(title="KIND"),
    Column(title="AMOUNT", right=True),
    Column(title="JOB", shrink=True),
    Column(title="OUTCOME"),
    Column(title="CORE SECONDS", right=True),
    Column(title="× PER HOUR", right=True),
    Column(title="GPU SECONDS", right=True, optional=True),
    Column(title="× PER HOUR", right=True, optional=True),
    Column(title="PRICE", right=True),
)


@click.command(short_help="Count the money of an exported log again.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--rental",
    "rental_id",
    metavar="ID",
    shell_complete=listed("rental"),
    help="The lines of one rental, each with what it was computed from.",
)
@output_option
@pass_context
def money(context: Context, file: Path, rental_id: str | None) -> None:
    """Prove an exported FILE and count its money again, without any network: every line of every statement, every account.

    Counted from what members signed, by rules written apart from the ledger's own; exit status 65 where a figure differs.
    """
    identity = reading_identity(context, offline=True)
    pins = pins_of(identity)
    seen = (*load_seen(identity, pins), *(receipt.checkpoint for receipt in kept_receipts(identity, pins)))
    verified, counted = money_of_file(file, pins, seen=seen)
    found = next((each for each in counted.rentals if each[0].rental == rental_id), None)
    if rental_id is not None and found is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no rental {rental_id[:40]!r} in {file}")
    if context.json:
        print_json(_as_json(verified, counted) if found is None else _rental_as_json(*found))
    elif found is None:
        _print(counted, verified)
    else:
        print_table(_LINES, (_line(found[0], line) for line in found[1]), empty="No movements.")


def money_of_file(path: Path, pins: Pins, *, seen: tuple[Checkpoint, ...]) -> tuple[Verified, Money]:
    """Counts the money of an exported log; BadData naming file and entry where anything is wrong, LogForked if it contradicts `seen`."""
    try:
        with path.open("rb") as file:
            note = read_note(file)
            checkpoint = parse_checkpoint(note, pins.origin, pins.log_key)
            comparable = [old for old in seen if old.size <= checkpoint.size]
            with progress("counting", checkpoint.size) as watch:
                return prove_money(read_leaves(file), note, pins, seen=comparable, watch=watch)
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror}") from error
    except LogForked:
        raise
    except (BadData, IntegrityError) as error:
        raise BadData(f"{path}: {error}", hint=error.hint) from error


def _print(counted: Money, verified: Verified) -> None:
    print_table(_RENTALS, (_rental(rental) for rental, _ in counted.rentals), empty="No rentals.")
    print_line("")
    held = sum(account.held for account in counted.accounts)
    spendable = sum(account.balance for account in counted.accounts)
    checked = f"{_count(counted.lines, 'line')} of {_count(len(counted.rentals), 'statement')}"
    facts = [(account.member, f"{amount(account.balance)} to spend, {amount(account.held)} held") for account in counted.accounts]
    print_facts(
        [
            *facts,
            ("credited", f"{amount(counted.credited)} = {amount(spendable)} to spend + {amount(held)} held"),
            ("proven", f"{verified.entries} entries; {checked}, all as counted here"),
        ]
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _rental(rental: Rental) -> tuple[Any, ...]:
    figures = (rental.deposit, rental.charged, rental.refunded, rental.held, rental.not_covered)
    return (rental.rental, rental.member, rental.provider, rental.end, *(amount(figure) for figure in figures))


def _line(rental: Rental, line: StatementLine) -> tuple[Any, ...]:
    usage, rates = line.usage, rental.rates
    known = (None,) * 7 if usage is None else (
        usage.job_id, usage.outcome, usage.core_seconds, amount(rates.cpu_core_per_hour), usage.gpu_seconds,
        amount(rates.gpu_core_per_hour), amount(usage.charge),
    )  # fmt: skip
    return (line.index, line.kind, amount(line.amount), *known)


def _as_json(verified: Verified, counted: Money) -> dict[str, Any]:
    return {
        "entries": verified.entries,
        "root": verified.checkpoint.root.hex(),
        "credited": counted.credited,
        "accounts": [as_json(account) for account in counted.accounts],
        "lines": counted.lines,
        "rentals": [_rental_as_json(rental, lines) for rental, lines in counted.rentals],
    }


def _rental_as_json(rental: Rental, lines: tuple[StatementLine, ...]) -> dict[str, Any]:
    return {"rental": as_json(rental), "statement": [as_json(line) for line in lines]}
