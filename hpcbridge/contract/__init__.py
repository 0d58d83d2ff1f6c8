# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The contract: what everybody agreed on, as pure functions from state, caller and body to effects.

It knows neither the log nor signatures nor any clock: `at` is the ledger's time, integers are the only numbers, and what it returns
depends on its arguments alone, so that every replica and every auditor comes to the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpcbridge.contract import accounts, clusters, documents, epochs, jobs, members, parameters, rentals, requests, ticks, versions, vetting
from hpcbridge.contract.access import check_permitted
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import Draft, Effects, StateView
from hpcbridge.contract.versions import CONTRACT_VERSION, check_fields, is_later
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.identities import Caller
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Body, PayloadType

__all__ = ["CONTRACT_VERSION", "FUNCTIONS", "apply", "is_later", "refused"]

Function = Callable[[Draft, Caller, Any, Instant], clusters.Outcomes | None]
"""Writes into the draft and returns outcomes and reasons by item, or None if its one item is accepted; or raises Refused."""

FUNCTIONS: Mapping[PayloadType, Function] = {
    PayloadType.EPOCH_START: epochs.start_epoch,
    PayloadType.TICK: ticks.tick,
    PayloadType.TOKEN: members.allow_enrolment,
    PayloadType.ENROLMENT: members.enrol,
    PayloadType.RENEWAL: members.renew,
    PayloadType.REVOCATION: members.revoke,
    PayloadType.DECISION: vetting.decide,
    PayloadType.PARAMETERS: parameters.set_parameters,
    PayloadType.REGISTRATION: clusters.register,
    PayloadType.CLUSTER_STATE: clusters.sample,
    PayloadType.NODE_CHANGES: clusters.change_nodes,
    PayloadType.JOB_CHANGES: jobs.change_jobs,
    PayloadType.JOB_WATCH: jobs.watch,
    PayloadType.GAP: clusters.report_gap,
    PayloadType.CONTRACT: versions.activate,
    PayloadType.CREDIT: accounts.credit,
    PayloadType.REQUEST: requests.answer,
    PayloadType.RENTAL: rentals.rent,
    PayloadType.CANCELLATION: rentals.cancel,
    PayloadType.ACCOUNT: rentals.report_account,
    PayloadType.DOCUMENTS: documents.submit_documents,
    PayloadType.ACCOUNT_RENEWAL: rentals.renew_account,
}
"""What may follow entry 0."""

_ACCEPTED = (EntryOutcome.ACCEPTED,)
_BEFORE_APPROVAL = frozenset({PayloadType.EPOCH_START, PayloadType.DOCUMENTS})
"""What a member may send that nobody approved yet, or approves no more."""


def apply(state: StateView, caller: Caller, payload_type: PayloadType, *, body: Body, at: Instant, index: int) -> Effects:
    """What the transaction of entry `index` does: role, then attributes, then the function. A refusal writes and tells nothing."""
    draft = Draft(state, index=index)
    try:
        check_fields(state, body)
        check_permitted(state, caller, payload_type, body=body)
        _check_approved(state, caller, payload_type)
        answer = FUNCTIONS[payload_type](draft, caller, body, at)
    except Refused as refusal:
        return refused(EntryOutcome(refusal.code), refusal.reason, items=len(getattr(body, "changes", "-")))
    outcomes, reasons = (_ACCEPTED, ()) if answer is None else answer
    return draft.effects(outcomes, reasons)


def refused(code: EntryOutcome, reason: str, *, items: int = 1) -> Effects:
    """Effects of a transaction that is refused with all its items."""
    return Effects(writes=(), events=(), outcomes=(code,) * items, reasons=(reason,) * items)


def _check_approved(state: StateView, caller: Caller, payload_type: PayloadType) -> None:
    member = stored_member(state, caller.member)
    vetted = member is not None and member.vetting is Vetting.APPROVED
    if not vetted and payload_type not in _BEFORE_APPROVAL:
        standing = "unknown" if member is None else member.vetting
        raise Refused(EntryOutcome.NOT_APPROVED, f"member {caller.member} is {standing}", hint="an admin of the network decides")
