# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the agent knows of each rental of its cluster, and what is to be done next for its account. Pure.

Whatever happens is a function from one tenancy to the next: what the ledger says of a rental is in rentals.py, the rest here. A clear
passcode is in no tenancy: after a crash a new one is made, and the script sets it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hpcbridge.model.accounts import AccountAction, AccountOrder
from hpcbridge.model.market import AccountState
from hpcbridge.model.quantities import Instant

PUBLISHED_AFTER_END_MS = 62 * 86_400_000
"""How long a tenancy is kept after its end: a little longer than the ledger takes corrections (60 days, `correction_ms`)."""
CONTACT_MS = 24 * 3_600_000
"""How long a sealed passcode is kept for an address its user may still name: as long as the ledger's relay keeps one."""
LONGEST_PAUSE_MS = 600_000
MAX_TEXT = 256
"""Most characters of a report's text; the contract takes no more."""
NO_KEY = "no passcode: the rental names no key to seal it to"

_FIRST_PAUSE_MS = 5_000
_SHOWN_MS = 86_400_000


class Account(StrEnum):
    """How far the account of a tenancy has come, as known here."""

    NONE = "NONE"
    """Nothing was done."""
    PERHAPS = "PERHAPS"
    """A script was told to make it, and did not say that it is done."""
    THERE = "THERE"
    """It was made."""
    FAILED = "FAILED"
    """It could not be made, and will not be."""
    CLOSED = "CLOSED"
    """It was closed."""


class Step(StrEnum):
    """What is to be done next."""

    CREATE = "create"
    """Make the account."""
    CHECK = "check"
    """Ask whether an account that was made before the spool was lost is there."""
    RENEW = "renew"
    """Set another passcode."""
    RELAY = "relay"
    """Leave the sealed passcode at the ledger."""
    CLOSE = "close"
    """Close the account."""


class Standing(StrEnum):
    """How a tenancy stands, for those who look after the site."""

    WELL = "well"
    """Nothing is to be done."""
    WAITING = "waiting"
    """Something is to be done, or is tried again."""
    FAILED = "failed"
    """A script says that a person has to look."""
    NOT_FOLLOWED = "not followed"
    """What the ledger says of it is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """A rental as its provider's agent keeps it. `problem` says why the ledger's word is not followed; empty if it is.

    `begun_at` is when a script was first told to make the account. `sealing_key` is the one the ledger named last, `sealed_to` the one to
    which the account's present passcode is sealed; `sealed` is that passcode, signed, until nobody needs it any more. `report` is what was
    said to the ledger last, `reported` whether it has answered. `reason` is what went wrong last, `failed_at` when a script last said that
    a person has to look.
    """

    rental: str
    username: str
    queue: str
    cores: int
    gpus: int
    expires_at: Instant
    sealing_key: bytes = b""
    problem: str = ""
    account: Account = Account.NONE
    begun_at: Instant | None = None
    adopted: bool = False
    ended_at: Instant | None = None
    sealed_to: bytes = b""
    sealed: bytes = field(default=b"", repr=False)
    sealed_at: Instant | None = None
    relayed_at: Instant | None = None
    delivered_at: Instant | None = None
    report: AccountState | None = None
    report_text: str = ""
    reported: bool = False
    attempts: int = 0
    next_at: Instant = 0
    reason: str = ""
    failed_at: Instant | None = None

    @property
    def is_open(self) -> bool:
        """True until the ledger says that the rental has ended."""
        return self.ended_at is None


Change = Callable[[Tenancy], Tenancy]
"""How a tenancy goes on; it is applied to what the spool has at that moment."""


def ended(tenancy: Tenancy, at: Instant) -> Tenancy:
    """The rental is over; what failed before does not hold up the closing."""
    if not tenancy.is_open:
        return tenancy
    reason = tenancy.reason if tenancy.report is AccountState.FAILED else ""
    return replace(tenancy, ended_at=at, sealed=b"", attempts=0, next_at=0, reason=reason)


def next_step(tenancy: Tenancy) -> Step | None:
    """What is to be done, whether or not its time has come; None if nothing."""
    if not tenancy.is_open:
        return Step.CLOSE if tenancy.account in (Account.PERHAPS, Account.THERE) else None
    if tenancy.problem:
        return None
    if tenancy.account in (Account.NONE, Account.PERHAPS):
        return None if tenancy.report is AccountState.FAILED else Step.CREATE
    if tenancy.account is not Account.THERE:
        return None
    if tenancy.adopted:
        return Step.CHECK
    if tenancy.sealing_key and tenancy.sealing_key != tenancy.sealed_to:
        return Step.RENEW
    return Step.RELAY if tenancy.sealed and tenancy.relayed_at is None else None


def is_due(tenancy: Tenancy, at: Instant) -> bool:
    """True if something is to be done now; a time too far ahead was set by a clock that jumped."""
    return next_step(tenancy) is not None and not at < tenancy.next_at <= at + LONGEST_PAUSE_MS


def may_be_delivered(tenancy: Tenancy, at: Instant) -> bool:
    """True while the sealed passcode could still be sent to an address that the user names."""
    if not (tenancy.is_open and tenancy.sealed and tenancy.relayed_at is not None and tenancy.delivered_at is None):
        return False
    return 0 <= at - tenancy.relayed_at < CONTACT_MS


def is_spent(tenancy: Tenancy, at: Instant) -> bool:
    """True if the sealed passcode is at the ledger and will not be sent anywhere else."""
    return bool(tenancy.sealed) and tenancy.relayed_at is not None and not may_be_delivered(tenancy, at)


def order_of(tenancy: Tenancy, step: Step, *, cluster: str, passcode: str | None = None) -> AccountOrder:
    """The order for a script. To renew an account without a passcode changes nothing about one that is there."""
    return AccountOrder(
        action=_ACTIONS[step],
        rental=tenancy.rental,
        username=tenancy.username,
        cluster=cluster,
        queue=tenancy.queue,
        cores=tenancy.cores,
        gpus=tenancy.gpus,
        expires_at=tenancy.expires_at,
        passcode=passcode,
    )


def begun(tenancy: Tenancy, *, at: Instant) -> Tenancy:
    """A script is about to be told to make the account: whatever happens now, it may exist."""
    if tenancy.begun_at is not None or tenancy.account not in (Account.NONE, Account.PERHAPS):
        return tenancy
    return replace(tenancy, account=Account.PERHAPS, begun_at=at)


def made(tenancy: Tenancy, *, sealed: bytes, sealed_to: bytes, at: Instant) -> Tenancy:
    """The account exists with the passcode that is `sealed` (empty if the rental names no key); if the rental has ended meanwhile, only so
    that it can be closed.
    """
    if not tenancy.is_open:
        return _went_well(replace(tenancy, account=Account.THERE))
    ready = replace(
        tenancy,
        account=Account.THERE,
        adopted=False,
        sealed=sealed,
        sealed_to=sealed_to,
        sealed_at=at,
        relayed_at=None,
        delivered_at=None,
        failed_at=None,
    )
    return _went_well(reporting(ready, AccountState.READY, "" if sealed else NO_KEY))


def renewed(tenancy: Tenancy, *, sealed: bytes, sealed_to: bytes, at: Instant) -> Tenancy:
    """The account has another passcode; the ledger heard long ago that it is there."""
    if not tenancy.is_open:
        return _went_well(tenancy)
    changed = replace(
        tenancy, sealed=sealed, sealed_to=sealed_to, sealed_at=at, relayed_at=None, delivered_at=None, failed_at=None
    )
    return _went_well(changed)


def relayed(tenancy: Tenancy, sealed: bytes, *, at: Instant) -> Tenancy:
    """The ledger keeps the sealed passcode for the user."""
    return _went_well(replace(tenancy, relayed_at=at)) if tenancy.sealed == sealed else tenancy


def checked(tenancy: Tenancy) -> Tenancy:
    """The account that the ledger remembers is there, and ours."""
    return _went_well(replace(tenancy, adopted=False))


def not_found(tenancy: Tenancy) -> Tenancy:
    """The account that the ledger remembers is not there, or not ours: it is made, if that can be."""
    return _went_well(replace(tenancy, account=Account.PERHAPS))


def delivered(tenancy: Tenancy, sealed: bytes, *, at: Instant, failure: str = "") -> Tenancy:
    """The sealed passcode went to the user's address, or for this `failure` never will."""
    if tenancy.sealed != sealed:
        return tenancy
    done = _went_well(replace(tenancy, delivered_at=at, sealed=b""))
    return replace(done, reason=one_line(failure), failed_at=at) if failure else done


def spent(tenancy: Tenancy) -> Tenancy:
    """Nobody needs the sealed passcode here any more."""
    return replace(tenancy, sealed=b"")


def closed(tenancy: Tenancy) -> Tenancy:
    """The account is closed."""
    return _went_well(reporting(replace(tenancy, account=Account.CLOSED, failed_at=None), AccountState.CLOSED, ""))


def later(tenancy: Tenancy, reason: str, *, at: Instant) -> Tenancy:
    """It did not work now: again after a pause that doubles each time, for ever."""
    pause = min(_FIRST_PAUSE_MS << min(tenancy.attempts, 20), LONGEST_PAUSE_MS)
    return replace(tenancy, attempts=tenancy.attempts + 1, next_at=at + pause, reason=one_line(reason))


def failed(tenancy: Tenancy, step: Step, reason: str, *, fresh: bool = False, at: Instant) -> Tenancy:
    """A script says that a step cannot be done. An account that cannot be made ends its rental; all else is tried again, after the longest
    pause.

    `fresh`: nothing was tried before, so a script that refused at once has left nothing that would have to be closed.
    """
    text = one_line(reason) or "the script gave no reason"
    again = replace(tenancy, attempts=tenancy.attempts + 1, next_at=at + LONGEST_PAUSE_MS, reason=text, failed_at=at)
    if step is not Step.CREATE:
        return again
    return reporting(replace(again, account=Account.FAILED if fresh else Account.PERHAPS), AccountState.FAILED, text)


def is_over(tenancy: Tenancy, at: Instant) -> bool:
    """True if it can be forgotten."""
    if tenancy.ended_at is None or at - tenancy.ended_at < PUBLISHED_AFTER_END_MS:
        return False
    return next_step(tenancy) is None and (tenancy.report is None or tenancy.reported)


def is_published(tenancy: Tenancy) -> bool:
    """True if jobs of the username are told to the ledger: of accounts made from here, also when they are closed."""
    return not tenancy.adopted and tenancy.account in (Account.THERE, Account.CLOSED)


def standing(tenancy: Tenancy) -> Standing:
    """How a tenancy stands, for those who look after the site."""
    if tenancy.problem:
        return Standing.NOT_FOLLOWED
    if tenancy.failed_at is not None:
        return Standing.FAILED
    if next_step(tenancy) is not None or tenancy.attempts:
        return Standing.WAITING
    return Standing.WELL


def needs_attention(tenancy: Tenancy, at: Instant) -> bool:
    """True if somebody should know, until a day after the end: something did not work, or the ledger is not followed."""
    if tenancy.ended_at is not None and next_step(tenancy) is None and at - tenancy.ended_at > _SHOWN_MS:
        return False
    now = standing(tenancy)
    return now in (Standing.FAILED, Standing.NOT_FOLLOWED) or (now is Standing.WAITING and tenancy.attempts > 0)


def reporting(tenancy: Tenancy, state: AccountState, text: str) -> Tenancy:
    """The ledger is to be told this of the account."""
    return replace(tenancy, report=state, report_text=one_line(text), reported=False)


def one_line(text: str) -> str:
    """One printable line that the contract takes."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"


_ACTIONS = {
    Step.CREATE: AccountAction.CREATE,
    Step.CHECK: AccountAction.RENEW,
    Step.RENEW: AccountAction.RENEW,
    Step.CLOSE: AccountAction.CLOSE,
}


def _went_well(tenancy: Tenancy) -> Tenancy:
    return replace(tenancy, attempts=0, next_at=0, reason="")
