# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What user and provider of a rental hand each other through the ledger's service, sealed and beside the log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpcbridge.model.quantities import Instant

MAX_SEALED_BYTES = 8192
"""Nothing that is handed over is longer."""


class SealedKind(StrEnum):
    """What is handed over; of each kind there is at most one for a rental."""

    PASSCODE = "PASSCODE"
    """From the provider to the user."""
    CONTACT = "CONTACT"
    """From the user to the provider."""


class SealedState(StrEnum):
    """What became of it."""

    NONE = "NONE"
    """Nothing was left yet."""
    WAITING = "WAITING"
    """It waits to be collected."""
    COLLECTED = "COLLECTED"
    """It arrived, and was deleted."""
    EXPIRED = "EXPIRED"
    """Nobody collected it in time, and it was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """One thing that is handed over. `box` is empty unless it is WAITING; times are the ledger's."""

    state: SealedState
    box: bytes = b""
    left_at: Instant | None = None
    expires_at: Instant | None = None
    collected_at: Instant | None = None
