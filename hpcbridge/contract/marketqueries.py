# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Reading rentals, their statements and accounts for a caller; requests and offers are read in `requestqueries`.

What a caller may not see is answered as if it were not there, and a provider never learns who its tenant is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcbridge.contract.access import Kind, Query, Relation, Share, check_query, may_see
from hpcbridge.contract.accounts import balance_of
from hpcbridge.contract.market import for_provider, rental_key, rental_name, statement_prefix, stored_rental
from hpcbridge.contract.records import decode_word
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import StateView, prefix_end
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller
from hpcbridge.model.market import Balance, Rental, RentalState, StatementLine

MAX_PAGE = 500
MAX_ROWS_READ = 5_000
"""Records read for one page of answers: who looks for few among many must come back for more."""


@dataclass(frozen=True, slots=True)
class RentalPage:
    """Some rentals, perhaps none; pass `next` as `after` for more, empty at the end."""

    rentals: tuple[Rental, ...]
    next: str


def rentals(view: StateView, caller: Caller, *, open_only: bool = False, after: str = "", limit: int = MAX_PAGE) -> RentalPage:
    """Rentals in order of entries: a user's own, those of a provider's clusters, or all."""
    share = check_query(caller, Query.LIST_RENTALS)
    prefix = "rental/" if share is Share.ALL else f"memberrental/{caller.member}/"
    limit = max(1, min(limit or MAX_PAGE, MAX_PAGE))
    rows = _rows(view, prefix, rental_key(after).removeprefix("rental/") if after else "", limit=MAX_ROWS_READ)
    found: list[Rental] = []
    last = ""
    for key, _ in rows:
        rental = stored_rental(view, last := rental_name(int(key.removeprefix(prefix))))
        if rental is None or (open_only and rental.state is RentalState.ENDED):
            continue
        found.append(_shown(caller, rental))
        if len(found) == limit:
            return RentalPage(tuple(found), last)
    return RentalPage(tuple(found), last if len(rows) == MAX_ROWS_READ else "")


def rental(view: StateView, caller: Caller, name: str) -> Rental:
    """One rental, in the form that is for the caller's eyes."""
    check_query(caller, Query.GET_RENTAL)
    return _shown(caller, _visible_rental(view, caller, name))


def statement(view: StateView, caller: Caller, name: str, *, after: str = "", limit: int = MAX_PAGE) -> tuple[StatementLine, ...]:
    """The lines of a rental's statement in order; user and provider see the same ones. `after` is an ordinal."""
    check_query(caller, Query.GET_RENTAL)
    prefix = statement_prefix(_visible_rental(view, caller, name).rental)
    return tuple(decode_word(StatementLine, data) for _, data in _rows(view, prefix, _ordinal(after), limit=limit))


def balance(view: StateView, caller: Caller, member: str = "") -> Balance:
    """A member's account: the caller's own, or anybody's for those who may see all."""
    check_query(caller, Query.GET_BALANCE)
    name = member or caller.member
    if not may_see(caller, Kind.ACCOUNT, name) or stored_member(view, name) is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no account {name[:60]!r} that {caller.member} may see")
    return balance_of(view, name)


def _visible_rental(view: StateView, caller: Caller, name: str) -> Rental:
    found = stored_rental(view, name)
    if found is None or not (
        may_see(caller, Kind.JOB, found.member or "", owner_is=Relation.USER)
        or may_see(caller, Kind.JOB, found.provider, owner_is=Relation.PROVIDER)
    ):
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no rental {name[:40]!r} that {caller.member} may see")
    return found


def _shown(caller: Caller, found: Rental) -> Rental:
    """The user's form to the user, admins and auditors; the provider's to everybody else."""
    return found if may_see(caller, Kind.JOB, found.member or "", owner_is=Relation.USER) else for_provider(found)


def _rows(view: StateView, prefix: str, after: str, *, limit: int) -> Sequence[tuple[str, bytes]]:
    return view.scan(f"{prefix}{after}\0" if after else prefix, prefix_end(prefix), limit)


def _ordinal(after: str, digits: int = 12) -> str:
    return f"{int(after):0{digits}d}" if after.isdecimal() and after.isascii() and len(after) <= digits else ""
