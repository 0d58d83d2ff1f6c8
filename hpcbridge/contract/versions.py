# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of the contract: which one is in force, what came with which, and how an admin activates a later one.

Whatever came with a later version is answered, as long as an earlier one is in force, exactly as the programs of that version answered
it: an unknown type, a body that cannot be read. So a log replays to the same bytes whichever program reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hpcbridge.contract.records import LATER_FIELDS, GenesisRecord, decode_fields, encode_word, uses_later_fields
from hpcbridge.contract.state import Draft, StateView
from hpcbridge.errors import IntegrityError, Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.market import ContractActivation
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Body, PayloadType

CONTRACT_VERSION = 2
"""The newest version this program knows; Genesis of a new ledger names it."""
MARKET = 2
"""The version that brought the market."""

SINCE: Mapping[PayloadType, int] = {
    PayloadType.CONTRACT: MARKET,
    PayloadType.CREDIT: MARKET,
    PayloadType.REQUEST: MARKET,
    PayloadType.RENTAL: MARKET,
    PayloadType.CANCELLATION: MARKET,
    PayloadType.ACCOUNT: MARKET,
    PayloadType.DOCUMENTS: MARKET,
    PayloadType.ACCOUNT_RENEWAL: MARKET,
}
"""Types that came after the first version."""

_KEY = "contract/version"


def contract_version(view: StateView) -> int:
    """The version in force: the one activated last, or that of Genesis."""
    stored = view.get(_KEY)
    if stored is not None:
        return int.from_bytes(stored, "big")
    genesis = view.get("ledger/genesis")
    return 1 if genesis is None else int(decode_fields(GenesisRecord, genesis).contract_version)


def has_market(view: StateView) -> bool:
    """True once the version that brought the market is in force."""
    return contract_version(view) >= MARKET


def is_later(view: StateView, payload_type: PayloadType) -> bool:
    """True for a type that came with a version after the one in force."""
    since = SINCE.get(payload_type)
    return since is not None and since > contract_version(view)


def check_fields(view: StateView, body: Body) -> None:
    """Refused(MALFORMED) for a body that says what the version in force has no field for."""
    later = LATER_FIELDS.get(type(body))
    if later is not None and uses_later_fields(body) and contract_version(view) < max(later.values()):
        raise Refused(EntryOutcome.MALFORMED, f"{type(body).__name__}: unknown or repeated fields", hint="an admin activates the contract")


def activate(draft: Draft, _caller: Caller, body: ContractActivation, _at: Instant) -> None:
    """An admin activates a later version. A program that does not know it stops here: it could only guess what follows."""
    current = contract_version(draft)
    if body.version <= current:
        raise Refused(EntryOutcome.ILLEGAL_TRANSITION, f"contract version {current} is in force; {body.version} is not later")
    if body.version > CONTRACT_VERSION:
        raise IntegrityError(
            f"entry {draft.index} activates contract version {body.version}; this program knows versions up to {CONTRACT_VERSION}",
            hint="install a newer program",
        )
    draft.put(_KEY, body.version.to_bytes(8, "big"))
    draft.tell(EventType.CONTRACT_ACTIVATED, "", subject="contract", body=encode_word(body))
