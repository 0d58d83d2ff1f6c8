# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001, T201 -- a program, not a package; it prints
"""Rents cores for a job within a budget, shows how to log in, and follows the job to its statement.

    python rent_and_follow.py --cores 32 --hours 2 --budget 40 --program gromacs/2023.3

It may be stopped at any moment and started again with the same arguments: what it rents and what it has shown stand in a small file, and
it goes on from there. A ledger that is away is waited for.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path

from hpcbridge.client import Client, LedgerEvent, Program, Request, Statement, rental_name
from hpcbridge.errors import HpcbridgeError, LedgerUnavailable, ReceiptPending, Refused
from hpcbridge.model.entries import EventType
from hpcbridge.model.jobs import Job
from hpcbridge.model.market import Offer, OfferedQueue, Rental, RentalOrder

UNIT = 1_000_000  # money is counted in millionths
ASK_AGAIN = {"OUTDATED", "CLOSED", "NO_CAPACITY", "NOT_APPROVED"}  # what was offered is so no longer
ATTEMPTS = 3
PATIENCE_SECONDS = 2.0


def main() -> int:
    """Exit status 0 when the rental is settled, else that of the error."""
    options = _options()
    progress = Progress(options.progress)
    try:
        with Client(options.identity) as client:
            rental = find(client, progress) or rent(client, _wanted(options), budget=round(options.budget * UNIT))
            progress.keep(rental=rental.rental)
            follow(client, rental, progress)
            print_statement(client.statement(rental.rental))
    except HpcbridgeError as error:
        print(f"{error}\n{error.hint}".rstrip(), file=sys.stderr)
        return error.exit_status
    progress.forget()
    return 0


class Progress:
    """What has to outlive this process: the rental, and the cursor of the last event that was shown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.rental: str = kept.get("rental", "")
        self.cursor: str = kept.get("cursor", "")

    def keep(self, *, rental: str, cursor: str = "") -> None:
        """Replaces the file whole."""
        self.rental, self.cursor = rental, cursor or self.cursor
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"rental": self.rental, "cursor": self.cursor}))
        fresh.replace(self._path)

    def forget(self) -> None:
        """The work is done."""
        self._path.unlink(missing_ok=True)


def find(client: Client, progress: Progress) -> Rental | None:
    """The rental of an earlier run: the one it kept, or one whose receipt never reached it."""
    return client.rental(progress.rental) if progress.rental else finished(client)


def rent(client: Client, wanted: Request, *, budget: int) -> Rental:
    """Asks, takes the cheapest offer within the budget, and asks again where the market has moved meanwhile."""
    for attempt in range(1, ATTEMPTS + 1):
        answer = client.request(wanted)
        for why in client.why(answer.request.request):
            print(f"left out: a cluster lacks {why.requirement.value.lower()}, needed {why.needed}, found {why.found}")
        offer, queue = choose(answer.offers, budget)
        deposit = queue.deposit or 0
        print(f"renting {offer.offer}, queue {queue.label}: deposit {deposit / UNIT:g}, wait {_seconds(queue.wait_seconds)}")
        try:
            return client.rent(offer.offer, queue.label, extra_limit=budget - deposit)
        except ReceiptPending:
            rental = finished(client)
            if rental is not None:
                return rental
        except Refused as no:
            if no.code not in ASK_AGAIN or attempt == ATTEMPTS:
                raise
            print(f"{no.code}, asking again: {no.reason}")
    raise SystemExit("the market moves too fast")


def choose(offers: tuple[Offer, ...], budget: int) -> tuple[Offer, OfferedQueue]:
    """The queue with the lowest deposit that the budget covers; of equal ones the one that starts soonest."""
    covered = [(offer, queue) for offer in offers for queue in offer.queues if queue.deposit is not None and queue.deposit <= budget]
    if not covered:
        raise SystemExit(f"nobody offers this for {budget / UNIT:g}")
    unknown = 10**9
    return min(covered, key=lambda pair: (pair[1].deposit or 0, unknown if pair[1].wait_seconds is None else pair[1].wait_seconds))


def finished(client: Client) -> Rental | None:
    """Waits for the receipts that are still missing; the rental that one of them is of."""
    while True:
        try:
            for earlier in client.finish():
                if isinstance(earlier.body, RentalOrder):
                    earlier.submitted.check_accepted()
                    return client.rental(rental_name(earlier.submitted.index))
        except LedgerUnavailable as away:
            wait_for(away)
        else:
            return None


def follow(client: Client, rental: Rental, progress: Progress) -> None:
    """Shows each event of the rental once, however often the connection breaks."""
    while True:
        try:
            for event in client.follow_rental(rental, progress.cursor):
                print(f"{event.cursor:>8}  {tell(event)}", flush=True)
                if event.type is EventType.RENTAL_READY:
                    show_passcode(client, rental)
                progress.keep(rental=rental.rental, cursor=event.cursor)
        except LedgerUnavailable as away:
            wait_for(away)
        else:
            return


def show_passcode(client: Client, rental: Rental) -> None:
    """Waits for the passcode and shows it; it can be read once, so it is deleted only after it was shown."""
    try:
        while (passcode := client.passcode(rental.rental)) is None:
            threading.Event().wait(1.0)
        print(f"passcode {passcode.text}, signed by {passcode.signer}: change it at the first login", flush=True)
        client.confirm_passcode(passcode)
    except LedgerUnavailable:
        raise
    except HpcbridgeError as error:  # read in an earlier run, or the rental has ended meanwhile
        print(f"no passcode: {error}", flush=True)


def tell(event: LedgerEvent) -> str:
    """One line for an event."""
    match event.body:
        case Job() as job:
            return f"job {job.job_id}: {job.phase or 'not known'}{f', {job.outcome}' if job.outcome else ''}"
        case Rental() as rental if event.type is EventType.RENTAL_READY:
            return f"the account is ready: ssh {rental.username}@{rental.login_address}"
        case Rental() as rental:
            return f"rental {rental.rental}: {rental.end or rental.state}"
    return event.type.value.lower()


def print_statement(statement: Statement) -> None:
    """Every movement of money, each with the entry of the log that proves it."""
    for line in statement.lines:
        job = f"job {line.usage.job_id}, {line.usage.outcome}" if line.usage else ""
        print(f"entry {line.index:>6}  {line.kind:<10} {line.amount / UNIT:>14.6f}  {job}".rstrip())
    print(f"paid {statement.rental.charged / UNIT:g} of a deposit of {statement.rental.deposit / UNIT:g}")


def wait_for(away: LedgerUnavailable) -> None:
    """Says why, and waits a moment."""
    print(f"waiting: {away}", file=sys.stderr)
    threading.Event().wait(PATIENCE_SECONDS)


def _wanted(options: argparse.Namespace) -> Request:
    programs = (name.partition("/") for name in options.program)
    return Request(
        cores=options.cores,
        walltime_seconds=round(options.hours * 3600),
        programs=tuple(Program(name=name, version=version) for name, _, version in programs),
    )


def _seconds(seconds: int | None) -> str:
    return "not known" if seconds is None else f"{seconds} s"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--hours", type=float, required=True, help="how long the job may run")
    parser.add_argument("--budget", type=float, required=True, help="most you will pay, in units")
    parser.add_argument("--program", action="append", default=[], metavar="NAME[/VERSION]")
    parser.add_argument("--identity", type=Path, help="a directory of hpcbridgectl enrol; your own unless given")
    parser.add_argument("--progress", type=Path, default=Path("rental.json"), help="where to keep what must not be forgotten")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
