# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Makes, renews and closes the accounts of tenants: carries out what tenancies.py decides, one step after the other.

Every step is in the spool before and after, and may be carried out twice: a process that dies in between starts it again. What the listener
missed is found by asking for the rentals, at the start, every hour and whenever events were held back. Accounts are closed before
others are made, and no more are made than the site allows: how many rentals there are is the ledger's word, which nobody here can check.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hpcbridge.agent.delivery import AWAY, Delivery
from hpcbridge.agent.passcodes import make_passcode, without_passcode
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.tenancies import (
    Account,
    Step,
    Tenancy,
    begun,
    checked,
    closed,
    failed,
    is_due,
    later,
    made,
    next_step,
    not_found,
    order_of,
    relayed,
    renewed,
)
from hpcbridge.errors import IdentityError, Refused
from hpcbridge.failpoints import reach
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.passcode import Binding, seal_passcode
from hpcbridge.model.accounts import AccountAction, AccountOrder, ActionOutcome, ActionResult, Actor
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import AccountState, Rental
from hpcbridge.model.quantities import Instant
from hpcbridge.model.relay import SealedKind
from hpcbridge.wire.marketqueries import current_rental, list_rentals
from hpcbridge.wire.queries import Call
from hpcbridge.wire.relay import leave_sealed

logger = logging.getLogger(__name__)

RECONCILE_SECONDS = 3600.0
RECONCILE_AGAIN_SECONDS = 30.0
CONTACT_SECONDS = 30.0
"""How often the relay is asked for addresses, as long as there is a passcode that could be sent."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many accounts a site has at once, and makes within any 24 hours; more rentals wait."""

    open_at_most: int
    a_day_at_most: int


class NoAccounts:
    """The actor of a site that makes no accounts."""

    def act(self, order: AccountOrder) -> ActionResult:
        """Refuses to make one. To close what never was is done."""
        if order.action is AccountAction.CLOSE:
            return ActionResult(outcome=ActionOutcome.DONE)
        return ActionResult(outcome=ActionOutcome.FAILED, reason="this site makes no accounts")


class Accounts:
    """A worker's step, run every few seconds and woken by the listener."""

    def __init__(
        self,
        actor: Actor,
        spool: Spool,
        call: Call,
        identity: KeyDirectory,
        *,
        cluster: str,
        allowance: Allowance,
        stopping: threading.Event,
        clock: Callable[[], Instant],
        monotonic: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        stored: Callable[[], None] = lambda: None,
        published: Callable[[], None] = lambda: None,
        login_address: Callable[[], str] = lambda: "",
    ) -> None:
        """`stored` is called when a report may wait to be sent, `published` when other usernames may have to be published; `login_address`
        tells where tenants log in, which is signed together with their passcode.
        """
        self._actor = actor
        self._spool = spool
        self._call = call
        self._identity = identity
        self._cluster = cluster
        self._allowance = allowance
        self._stopping = stopping
        self._clock = clock
        self._monotonic = monotonic
        self._random_bytes = random_bytes
        self._stored = stored
        self._published = published
        self._login_address = login_address
        self._origin = identity.load_profile().origin
        self._delivery = Delivery(actor, spool, call, identity, cluster=cluster, clock=clock)
        self._beat: Callable[[], None] = lambda: None
        self._reconcile_after = monotonic()
        self._contacts_after = monotonic()
        self._asked = threading.Event()
        self._knew_all = False

    def beat_with(self, beat: Callable[[], None]) -> None:
        """Sets what is called as sign of life before each script and each question."""
        self._beat = beat

    def reconcile_soon(self) -> None:
        """The next step compares with the ledger; from any thread."""
        self._asked.set()

    def hurry(self) -> None:
        """A person mended something: whatever pauses is tried in the next step; from any thread."""
        self._spool.tenants.hurry()
        self._asked.set()

    def run(self) -> None:
        """Carries out what is due. While the ledger is away, what needs it waits, and accounts are closed all the same."""
        self._close_ended()
        self._reconcile_if_due()
        for tenancy in self._spool.tenants.active():
            self._close_ended()
            self._carry_on(tenancy.rental)
        if self._monotonic() >= self._contacts_after:
            self._contacts_after = self._monotonic() + CONTACT_SECONDS
            for tenancy in self._spool.tenants.active():
                self._beat()
                self._close_ended()
                self._delivery.look(tenancy)

    # Comparing with the ledger

    def _reconcile_if_due(self) -> None:
        knows_all = self._spool.knows_all_rentals
        lost, self._knew_all = self._knew_all and not knows_all, knows_all
        if not (lost or self._asked.is_set()) and self._monotonic() < self._reconcile_after:
            return
        self._asked.clear()
        try:
            self._reconcile(everything=not knows_all)
            self._knew_all = self._spool.knows_all_rentals
        except AWAY as error:
            logger.info("rentals_not_compared error=%r", str(error)[:300])
            self._reconcile_after = self._monotonic() + RECONCILE_AGAIN_SECONDS
            return
        self._reconcile_after = self._monotonic() + RECONCILE_SECONDS

    def _reconcile(self, *, everything: bool) -> None:
        """What is open at the ledger, or all of it after the spool was lost. One that is missing there is asked for by name, because
        absence is no end.
        """
        self._beat()
        before = {each.rental for each in self._spool.tenants.active() if each.is_open}
        rentals = list_rentals(self._call, open_only=not everything)
        self._hear(rentals, listed=everything)
        for name in sorted(before - {each.rental for each in rentals}):
            self._beat()
            rental = self._ask(name)
            if rental is None:
                logger.warning("rental_unknown_to_ledger rental=%s account=left_as_it_is", name)
            else:
                self._hear((rental,))
        for name in self._spool.tenants.unanswered():
            self._spool.tell_again(name)
        self._stored()
        logger.info("rentals_compared count=%d all=%s", len(rentals), everything)

    def _hear(self, rentals: tuple[Rental, ...], *, listed: bool = False) -> None:
        self._spool.hear_rentals(rentals, listed=listed, at=self._clock())
        self._published()

    def _ask(self, name: str) -> Rental | None:
        """A rental as it stands now; None if the ledger knows none of this name."""
        try:
            return current_rental(self._call, name)
        except Refused as error:
            if error.code != EntryOutcome.NOT_FOUND:
                raise
            return None

    # Steps

    def _close_ended(self) -> None:
        """However many accounts are to be made, none waits for them that has to be closed."""
        for tenancy in self._spool.tenants.to_close():
            self._carry_on(tenancy.rental)

    def _carry_on(self, name: str) -> None:
        """Step after step, until one has to wait or nothing is left to do."""
        for _ in range(len(Step) + 1):
            current = self._spool.tenants.get(name)
            if current is None or self._stopping.is_set() or not is_due(current, self._clock()):
                return
            self._beat()
            try:
                self._do(current, next_step(current))
            except AWAY as error:
                self._later(name, f"the ledger: {error}")

    def _do(self, tenancy: Tenancy, step: Step | None) -> None:
        match step:
            case Step.CREATE | Step.RENEW:
                self._set_passcode(tenancy.rental, step)
            case Step.CHECK:
                self._check(tenancy)
            case Step.RELAY:
                self._relay(tenancy)
            case Step.CLOSE:
                self._close(tenancy)

    def _set_passcode(self, name: str, step: Step) -> None:
        """Makes or renews an account, if the ledger still says so: what was heard may be old."""
        known = self._spool.tenants.get(name)
        if known is not None and step is Step.CREATE and known.begun_at is None and (reason := self._full()):
            self._later(name, reason)
            return
        rental = self._ask(name)
        if rental is None:
            self._later(name, "the ledger knows no such rental")
            return
        self._hear((rental,))
        tenancy = self._spool.tenants.get(name)
        if tenancy is None or next_step(tenancy) is not step:
            return
        if step is Step.CREATE and rental.account is AccountState.READY and not tenancy.adopted:
            self._later(name, "the ledger says that the account was made before, and it was not made with this spool")
            self.reconcile_soon()
            return
        passcode = make_passcode(self._random_bytes)
        key = tenancy.sealing_key
        sealed = self._seal(tenancy, passcode) if key else b""
        fresh = tenancy.account is Account.NONE
        if step is Step.CREATE:
            tenancy = self._spool.tenants.change(name, partial(begun, at=self._clock())) or tenancy
        result = self._act(order_of(tenancy, step, cluster=self._cluster, passcode=passcode))
        at = self._clock()
        if result.outcome is not ActionOutcome.DONE:
            self._note(tenancy, step, result, fresh=fresh)
            return
        done = made if step is Step.CREATE else renewed
        self._spool.tenants.change(name, partial(done, sealed=sealed, sealed_to=key, at=at))
        logger.info("account_%s rental=%s username=%s", "made" if step is Step.CREATE else "renewed", name, tenancy.username)
        self._published()
        self._stored()

    def _full(self) -> str:
        """Why no other account is made now; empty if one may be."""
        tenants, most = self._spool.tenants, self._allowance
        if tenants.accounts_there() >= most.open_at_most:
            return f"accounts_open_at_most = {most.open_at_most} is reached; it waits until another account is closed"
        if tenants.accounts_begun(since=self._clock() - _DAY_MS) >= most.a_day_at_most:
            return f"accounts_a_day_at_most = {most.a_day_at_most} is reached; it waits until a day has passed since some were made"
        return ""

    def _seal(self, tenancy: Tenancy, passcode: str) -> bytes:
        try:
            return seal_passcode(
                passcode,
                Binding(origin=self._origin, rental=tenancy.rental, cluster=self._cluster, username=tenancy.username),
                sealing_key=tenancy.sealing_key,
                key=self._identity.load_key(),
                certificate=self._identity.load_certificate(),
                at=self._clock(),
                login_address=self._login_address(),
            )
        except (ValueError, IdentityError):
            # A key with which nothing can be sealed is as good as none; the account is made all the same.
            logger.exception("passcode_not_sealed rental=%s", tenancy.rental)
            return b""

    def _check(self, tenancy: Tenancy) -> None:
        result = self._act(order_of(tenancy, Step.CHECK, cluster=self._cluster))
        match result.outcome:
            case ActionOutcome.DONE:
                self._spool.tenants.change(tenancy.rental, checked)
                self._published()
            case ActionOutcome.LATER:
                self._later(tenancy.rental, result.reason)
            case ActionOutcome.FAILED:
                logger.warning("account_not_found rental=%s username=%s reason=%r", tenancy.rental, tenancy.username, result.reason)
                self._spool.tenants.change(tenancy.rental, not_found)

    def _relay(self, tenancy: Tenancy) -> None:
        reach("accounts.before_relay")
        leave_sealed(self._call, tenancy.rental, SealedKind.PASSCODE, box=tenancy.sealed)
        reach("accounts.after_relay")
        self._spool.tenants.change(tenancy.rental, partial(relayed, sealed=tenancy.sealed, at=self._clock()))
        self._contacts_after = self._monotonic()  # an address that was left before is waited for no longer
        logger.info("passcode_left rental=%s", tenancy.rental)

    def _close(self, tenancy: Tenancy) -> None:
        result = self._act(order_of(tenancy, Step.CLOSE, cluster=self._cluster))
        if result.outcome is not ActionOutcome.DONE:
            self._note(tenancy, Step.CLOSE, result)
            return
        self._spool.tenants.change(tenancy.rental, closed)
        logger.info("account_closed rental=%s username=%s", tenancy.rental, tenancy.username)
        self._published()
        self._stored()

    def _act(self, order: AccountOrder) -> ActionResult:
        reach(f"accounts.before_{order.action.value}")
        result = self._actor.act(order)
        reach(f"accounts.after_{order.action.value}")
        return ActionResult(outcome=result.outcome, reason=without_passcode(result.reason, order.passcode))

    def _note(self, tenancy: Tenancy, step: Step, result: ActionResult, *, fresh: bool = False) -> None:
        if result.outcome is ActionOutcome.LATER:
            self._later(tenancy.rental, result.reason)
            return
        logger.error("account_failed rental=%s username=%s step=%s reason=%r", tenancy.rental, tenancy.username, step, result.reason)
        change = partial(failed, step=step, reason=result.reason, fresh=fresh, at=self._clock())
        self._spool.tenants.change(tenancy.rental, change)
        self._stored()

    def _later(self, rental: str, reason: str) -> None:
        now = self._spool.tenants.change(rental, partial(later, reason=reason, at=self._clock()))
        if now is not None and now.attempts == 1:
            logger.warning("account_waits rental=%s username=%s reason=%r", rental, now.username, reason)
