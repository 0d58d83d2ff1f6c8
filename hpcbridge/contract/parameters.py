# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Network parameters: the numbers the members agreed on, their defaults and the range an admin may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpcbridge.contract.records import encode_word
from hpcbridge.contract.state import Draft, StateView
from hpcbridge.contract.versions import MARKET, contract_version
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Parameters

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: what holds until somebody sets it, its lowest and highest value, and the version of the contract that brought it."""

    default: int
    lowest: int
    highest: int
    since: int = 1


PARAMETERS: Mapping[str, Parameter] = {
    "certificate_life_ms": Parameter(DAY_MS, 1000, 366 * DAY_MS),
    "correction_ms": Parameter(60 * DAY_MS, 0, 3660 * DAY_MS, MARKET),
    "deposit_permille": Parameter(300, 0, 1000, MARKET),
    "epochs_per_day": Parameter(3, 0, 1000),
    "heard_within_ms": Parameter(600_000, 60_000, 30 * DAY_MS, MARKET),
    "lost_after_ms": Parameter(7 * DAY_MS, 1000, 366 * DAY_MS),
    "offer_life_ms": Parameter(900_000, 1000, 30 * DAY_MS, MARKET),
    "offers_per_request": Parameter(100, 1, 1000, MARKET),
    "passcodes_per_day": Parameter(10, 0, 1000, MARKET),
    "renewal_window_ms": Parameter(90 * DAY_MS, 0, 3660 * DAY_MS),
    "rental_grace_ms": Parameter(3_600_000, 1000, 366 * DAY_MS, MARKET),
    "rental_unused_ms": Parameter(7 * DAY_MS, 1000, 366 * DAY_MS, MARKET),
    "rentals_open": Parameter(20, 0, 1000, MARKET),
    "requests_per_day": Parameter(200, 0, 1_000_000, MARKET),
    "surcharge_bp_per_100km": Parameter(100, 0, 100_000, MARKET),
    "surcharge_cap_bp": Parameter(5000, 0, 1_000_000, MARKET),
    "token_life_ms": Parameter(3_600_000, 1000, 30 * DAY_MS),
    "vet_documents": Parameter(0, 0, 64, MARKET),
    "vet_members": Parameter(0, 0, 1),
    "vet_providers": Parameter(0, 0, 1, MARKET),
    "vet_users": Parameter(0, 0, 1, MARKET),
}
"""In order of name, as they are listed."""


def parameter(view: StateView, name: str) -> int:
    """Value of a parameter in force."""
    stored = view.get(f"parameter/{name}")
    return PARAMETERS[name].default if stored is None else int.from_bytes(stored, "big")


def all_parameters(view: StateView) -> tuple[tuple[str, int], ...]:
    """Every parameter with its value in force, by name."""
    return tuple((name, parameter(view, name)) for name in _known(view))


def set_parameters(draft: Draft, _caller: Caller, body: Parameters, _at: Instant) -> None:
    """An admin changes parameters: all of the body's or none."""
    if not body.values:
        raise Refused(EntryOutcome.MALFORMED, "no parameter is named")
    write_parameters(draft, body.values)
    draft.tell(EventType.PARAMETERS_CHANGED, "", subject="parameters", body=encode_word(body))


def write_parameters(draft: Draft, values: tuple[tuple[str, int], ...]) -> None:
    """Sets parameters; Refused(MALFORMED) for one that does not exist or a value out of its range."""
    in_force = _known(draft)
    for name, value in values:
        known = in_force.get(name)
        if known is None:
            raise Refused(EntryOutcome.MALFORMED, f"there is no parameter {name[:60]!r}", hint=f"known: {', '.join(in_force)}")
        if not known.lowest <= value <= known.highest:
            raise Refused(EntryOutcome.MALFORMED, f"{name} = {value}: choose from {known.lowest} to {known.highest}")
    for name, value in values:
        draft.put(f"parameter/{name}", value.to_bytes(8, "big"))


def _known(view: StateView) -> Mapping[str, Parameter]:
    version = contract_version(view)
    return {name: known for name, known in PARAMETERS.items() if known.since <= version}
