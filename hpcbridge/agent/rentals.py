# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the ledger says of a rental, and what its tenancy becomes by it. Pure.

The ledger's word is checked before it is followed. A username must have the form of generated ones, belong to one rental and never change.
An account counts as there only if it was made from here. That it was made earlier, as the ledger says, is taken up only while the spool is
known to be lost or restored, and then the site's scripts are asked, which know their own accounts. So no word of the ledger makes the
agent close, renew or publish what it did not make. Of what is not followed nothing large is kept.
"""

from __future__ import annotations

import re
from dataclasses import replace

from hpcbridge.agent.tenancies import MAX_TEXT, Account, Tenancy, ended, one_line, reporting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import AccountReport, AccountState, Rental, RentalState
from hpcbridge.model.quantities import Instant

_USERNAME = re.compile(r"[a-z][a-z0-9]{7,14}\Z")
_RENTAL = re.compile(r"l[0-9]{1,18}\Z")
_MOST_COUNTED = 1 << 40
_KEY_BYTES = 32
_LONGEST_RENTAL_MS = 20 * 366 * 86_400_000


def has_name(rental: Rental) -> bool:
    """False for what has not even the name of a rental, of which nothing is kept."""
    return _RENTAL.match(rental.rental) is not None


def heard(known: Tenancy | None, rental: Rental, *, cluster: str, taken: bool, adopt: bool, at: Instant) -> Tenancy:
    """What the ledger's word makes of a tenancy. `taken`: another rental has this username; `adopt`: the spool was lost or restored."""
    if known is None:
        problem = _problem(rental, cluster=cluster, at=at) or ("its username is that of another rental" if taken else "")
        known = _refused(rental, problem) if problem else _new(rental)
    elif known.username != rental.username:
        # an account that was made is closed at its end all the same, and its jobs are told: one lie must not keep it open
        return known if known.problem else replace(known, problem="the ledger gives it another username than before")
    if adopt and not known.problem and known.account in (Account.NONE, Account.PERHAPS):
        known = _adopted(known, rental)
    if rental.state is RentalState.ENDED:
        return ended(known, rental.ended_at or at)
    return replace(known, sealing_key=_key(rental)) if known.is_open else known


def answered(tenancy: Tenancy, report: AccountReport, code: EntryOutcome, reason: str, *, at: Instant) -> Tenancy:
    """The ledger's answer to a report. One to READY that comes too late means that the rental has ended: the account is closed."""
    if report.state is not tenancy.report:
        return tenancy
    known = replace(tenancy, reported=True)
    if code is EntryOutcome.ACCEPTED:
        return known
    if report.state is AccountState.READY and code is EntryOutcome.ILLEGAL_TRANSITION:
        return ended(known, at)
    return replace(known, reason=one_line(f"the ledger refused {report.state}: {code}: {reason}"))


def _new(rental: Rental) -> Tenancy:
    return Tenancy(
        rental=rental.rental,
        username=rental.username,
        queue=rental.queue,
        cores=rental.cores,
        gpus=rental.gpus,
        expires_at=rental.latest_at,
        sealing_key=_key(rental),
    )


def _key(rental: Rental) -> bytes:
    """The key to seal to; what has not the length of one is none."""
    return rental.sealing_key if len(rental.sealing_key) == _KEY_BYTES else b""


def _problem(rental: Rental, *, cluster: str, at: Instant) -> str:
    """Why no account is made for this rental, whoever says it was granted."""
    if rental.cluster != cluster:
        return "it is of another cluster"
    if not _USERNAME.match(rental.username):
        return "its username does not have the form of generated ones"
    if not (1 <= rental.cores <= _MOST_COUNTED and 0 <= rental.gpus <= _MOST_COUNTED):
        return "its cores and GPUs make no sense"
    if not (rental.queue.isprintable() and 1 <= len(rental.queue) <= MAX_TEXT):
        return "its queue's name makes no sense"
    if not rental.granted_at < rental.latest_at <= at + _LONGEST_RENTAL_MS:
        return "its date of expiry makes no sense"
    return ""


def _refused(rental: Rental, problem: str) -> Tenancy:
    """What is not followed is said to the ledger, so that an honest user gets the deposit back. Kept of it is what fits into a line."""
    username, queue = one_line(rental.username), one_line(rental.queue)
    kept = Tenancy(rental=rental.rental, username=username, queue=queue, cores=0, gpus=0, expires_at=0, problem=problem)
    return reporting(kept, AccountState.FAILED, problem)


def _adopted(tenancy: Tenancy, rental: Rental) -> Tenancy:
    """The spool was lost: what the ledger has of our own reports tells how far the account had come."""
    if rental.account is AccountState.READY:
        return replace(tenancy, account=Account.THERE, adopted=True, sealed_to=_key(rental))
    if rental.account is AccountState.CLOSED:
        return replace(tenancy, account=Account.CLOSED, adopted=True)
    if rental.account is AccountState.FAILED:
        return replace(tenancy, account=Account.FAILED)
    return replace(tenancy, account=Account.PERHAPS)
