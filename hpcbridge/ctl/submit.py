# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""One transaction of the command line: as `submitter` does it, with a word on what an earlier command had left."""

from __future__ import annotations

from hpcbridge.contract.market import rental_name
from hpcbridge.ctl.output import note
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import RentalOrder
from hpcbridge.model.transactions import Body
from hpcbridge.submitter import submit as submitter
from hpcbridge.submitter.submit import DEADLINE_SECONDS, Earlier, Submitted
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.convert import payload_type_of

__all__ = ["Submitted", "submit"]


def submit(keys: KeyDirectory, client: LedgerClient, body: Body, *, deadline_seconds: float = DEADLINE_SECONDS) -> Submitted:
    """Sends one transaction and returns what the ledger made of it, accepted or refused."""
    try:
        return submitter.submit(keys, client, body, deadline_seconds=deadline_seconds, on_earlier=_tell)
    except KeyboardInterrupt:
        if submitter.is_waiting(keys):
            note("Interrupted. What was signed is kept: the next command that writes sends it again, it counts once, and you are told.")
        raise


def _tell(earlier: Earlier) -> None:
    submitted = earlier.submitted
    what = payload_type_of(earlier.body).name
    told = f"note: {what} of an earlier command is now entry {submitted.index}: {', '.join(submitted.outcomes)}"
    if isinstance(earlier.body, RentalOrder) and submitted.outcomes == (EntryOutcome.ACCEPTED,):
        told += f"; see: hpcbridgectl rentals show {rental_name(submitted.index)}"
    note(told)
