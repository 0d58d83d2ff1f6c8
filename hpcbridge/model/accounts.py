# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a site's acting scripts are asked to do for a tenant, and what they answer.

An order may be carried out twice: a script that is given the same order again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from hpcbridge.model.quantities import Instant


class AccountAction(StrEnum):
    """The acting scripts, by the names of their files."""

    CREATE = "account_create"
    """Makes the account of a rental, with a passcode; of one that exists it sets the passcode and the date of expiry."""
    RENEW = "account_renew"
    """Gives an account another passcode or another date of expiry."""
    CLOSE = "account_close"
    """Closes an account: nobody logs in any more, and nothing of it runs on."""
    DELIVER = "passcode_deliver"
    """Sends the sealed passcode to the address its user named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOrder:
    """One task for a script. `passcode` is the only secret in it and is None where the script needs none; it is not in the `repr`.

    `message` is what `passcode_deliver` sends to `contact`: the sealed passcode as text, and how to open it.
    """

    action: AccountAction
    rental: str
    username: str
    cluster: str
    queue: str
    cores: int
    gpus: int
    expires_at: Instant
    passcode: str | None = field(default=None, repr=False)
    contact: str = ""
    message: str = ""


class ActionOutcome(StrEnum):
    """What came of an order."""

    DONE = "DONE"
    """It is as ordered, now or already before (exit status 0)."""
    LATER = "LATER"
    """Not now; to be tried again (exit status 75, no time left, no helper)."""
    FAILED = "FAILED"
    """It cannot be done; a person has to look (any other exit status, no such script)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """An outcome, with the script's own words: `reason` for people, one line, escaped; `facts` are the strings of the JSON it printed."""

    outcome: ActionOutcome
    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class Actor(Protocol):
    """Whoever carries out orders."""

    def act(self, order: AccountOrder) -> ActionResult:
        """Carries it out and waits for the end; never raises for what a script or helper does, that is an outcome."""
        ...
