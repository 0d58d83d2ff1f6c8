# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Rentals: granted for an offer, given back, and what the provider says of their account.

That an order is for the caller's own request and a report for the provider's own rental was decided before, in access.py.
"""

from __future__ import annotations

from hpcbridge.contract.market import stored_offer, stored_rental
from hpcbridge.contract.state import Draft
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller
from hpcbridge.model.market import AccountReport, Cancellation, RentalOrder
from hpcbridge.model.quantities import Instant


def rent(draft: Draft, _caller: Caller, body: RentalOrder, _at: Instant) -> None:
    """Rents an offer's queue."""
    if stored_offer(draft, body.offer) is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no offer {body.offer[:40]!r}")


def cancel(draft: Draft, _caller: Caller, body: Cancellation, _at: Instant) -> None:
    """Gives a rental back before its first job."""
    if stored_rental(draft, body.rental) is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no rental {body.rental[:40]!r}")


def report_account(draft: Draft, _caller: Caller, body: AccountReport, _at: Instant) -> None:
    """Takes the provider's word on the account of a rental."""
    if stored_rental(draft, body.rental) is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no rental {body.rental[:40]!r}")
