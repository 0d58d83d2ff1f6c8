# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Sends a sealed passcode to the address its user named, if it named one: the relay has it, sealed to this installation.

The passcode goes out as it was sealed for the relay, so a mail holds nothing that its reader could use without the identity that rented.
The address is read, given to the script and forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from hpcbridge.agent.spool import Spool
from hpcbridge.agent.tenancies import Tenancy, delivered, is_spent, later, may_be_delivered, spent
from hpcbridge.errors import BadData, HpcbridgeError, IdentityError, LedgerUnavailable, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.passcode import Binding, open_contact, passcode_to_text
from hpcbridge.model.accounts import AccountAction, AccountOrder, ActionOutcome, Actor
from hpcbridge.model.quantities import Instant
from hpcbridge.model.relay import SealedKind, SealedState
from hpcbridge.wire.queries import Call
from hpcbridge.wire.relay import acknowledge_sealed, collect_sealed

logger = logging.getLogger(__name__)

AWAY = (LedgerUnavailable, Refused, IdentityError, BadData)
"""A ledger that does not answer, or not as it should: to be asked again. What it sends never ends this process."""
_MESSAGE = """\
The account {username} on cluster {cluster} (rental {rental}) has a passcode.
It is sealed below; only the identity that rented can open it:

  hpcbridgectl passcode {rental} --file THIS-MAIL

{sealed}"""


class Delivery:
    """Looks for addresses at the relay."""

    def __init__(
        self, actor: Actor, spool: Spool, call: Call, identity: KeyDirectory, *, cluster: str, clock: Callable[[], Instant]
    ) -> None:
        self._actor = actor
        self._spool = spool
        self._call = call
        self._identity = identity
        self._cluster = cluster
        self._clock = clock
        self._origin = identity.load_profile().origin

    def look(self, tenancy: Tenancy) -> None:
        """Sends the passcode if its user left an address by now; lets go of what nobody needs any more."""
        at = self._clock()
        if is_spent(tenancy, at):
            self._spool.tenants.change(tenancy.rental, spent)
        elif may_be_delivered(tenancy, at) and at >= tenancy.next_at:
            try:
                self._deliver(tenancy)
            except AWAY as error:
                logger.info("contact_not_asked rental=%s error=%r", tenancy.rental, str(error)[:300])

    def _deliver(self, tenancy: Tenancy) -> None:
        left = collect_sealed(self._call, tenancy.rental, SealedKind.CONTACT)
        if left.state is not SealedState.WAITING:
            return
        contact = self._open(tenancy, left.box)
        if contact is not None:
            result = self._actor.act(self._order(tenancy, contact))
            logger.info("passcode_delivery rental=%s outcome=%s", tenancy.rental, result.outcome)
            if result.outcome is ActionOutcome.LATER:
                self._spool.tenants.change(tenancy.rental, partial(later, reason=result.reason, at=self._clock()))
                return
            failure = "" if result.outcome is ActionOutcome.DONE else result.reason or "the script gave no reason"
            self._spool.tenants.change(
                tenancy.rental, partial(delivered, sealed=tenancy.sealed, failure=failure, at=self._clock())
            )
        acknowledge_sealed(self._call, tenancy.rental, SealedKind.CONTACT, box=left.box)

    def _open(self, tenancy: Tenancy, box: bytes) -> str | None:
        """The address; None if it cannot be read, for which somebody else's key is reason enough."""
        binding = Binding(origin=self._origin, rental=tenancy.rental, cluster=self._cluster, username=tenancy.username)
        try:
            return open_contact(box, binding, sealing_key=self._identity.load_sealing_key())
        except HpcbridgeError as error:
            logger.warning("contact_unreadable rental=%s error=%s", tenancy.rental, type(error).__name__)
            return None

    def _order(self, tenancy: Tenancy, contact: str) -> AccountOrder:
        sealed = passcode_to_text(tenancy.sealed)
        return AccountOrder(
            action=AccountAction.DELIVER,
            rental=tenancy.rental,
            username=tenancy.username,
            cluster=self._cluster,
            queue=tenancy.queue,
            cores=tenancy.cores,
            gpus=tenancy.gpus,
            expires_at=tenancy.expires_at,
            contact=contact,
            message=_MESSAGE.format(username=tenancy.username, cluster=self._cluster, rental=tenancy.rental, sealed=sealed),
        )
