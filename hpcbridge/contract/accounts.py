# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Accounts: the only place where money moves.

An account has a balance, which may be spent, and what is held of it as deposits. Money comes in by an admin's credit alone and never
leaves; every other move takes from one place exactly what it gives to another, and nothing goes below zero. So at every entry the sum of
all balances and holdings is the sum of all credits.
"""

from __future__ import annotations

import hashlib
import re

from hpcbridge.contract.records import StoredAccount, decode_stored, encode_stored, encode_word
from hpcbridge.contract.standing import stored_member
from hpcbridge.contract.state import Draft, StateView, scan_all
from hpcbridge.errors import IntegrityError, Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller, Role
from hpcbridge.model.market import MAX_MICRO, Balance, Credit, Micro
from hpcbridge.model.quantities import Instant

MAX_REFERENCE = 128
_NOTHING = StoredAccount(balance=0, held=0)
_REFERENCE = re.compile(rf"(?=.{{1,{MAX_REFERENCE}}}\Z)[!-~]+(?: [!-~]+)*\Z")
"""Two references that look alike are one: a payment must not count twice because of a sign nobody sees."""
_TOTAL = "credited/total"
_HOLDERS = frozenset({Role.USER, Role.PROVIDER})


def credit(draft: Draft, _caller: Caller, body: Credit, _at: Instant) -> None:
    """Credits a member's account once for each reference, so that a repeat after a lost answer does no harm."""
    if not 1 <= body.amount <= MAX_MICRO:
        raise Refused(EntryOutcome.MALFORMED, f"amount {body.amount}: credit 1 to {MAX_MICRO} micro-units")
    if not _REFERENCE.match(body.reference):
        raise Refused(EntryOutcome.MALFORMED, f"reference: 1 to {MAX_REFERENCE} ASCII characters that name the payment, spaces one by one")
    member = stored_member(draft, body.member)
    if member is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"there is no member {body.member[:60]!r}")
    if member.revoked or member.role not in _HOLDERS:
        raise Refused(EntryOutcome.NOT_APPROVED, f"member {body.member} is revoked, or neither user nor provider")
    key = f"creditref/{body.member}/{hashlib.sha256(body.reference.encode()).hexdigest()}"
    if draft.get(key) is not None:
        raise Refused(EntryOutcome.ALREADY_EXISTS, f"{body.member} was credited for {body.reference[:60]!r} before")
    total = credited(draft) + body.amount
    if total > MAX_MICRO:
        raise Refused(EntryOutcome.MALFORMED, f"all credits together would be more than {MAX_MICRO} micro-units")
    draft.put(key, draft.index.to_bytes(8, "big"))
    draft.put(_TOTAL, total.to_bytes(8, "big"))
    account = _account(draft, body.member)
    _put(draft, body.member, StoredAccount(balance=account.balance + body.amount, held=account.held))
    draft.tell(EventType.CREDITED, body.member, subject=body.member, body=encode_word(body))


def hold(draft: Draft, member: str, amount: Micro) -> None:
    """Holds part of a member's balance; Refused(NO_CREDIT) if there is less."""
    account = _account(draft, member)
    if account.balance < _sound(amount):
        raise Refused(EntryOutcome.NO_CREDIT, f"{amount} micro-units are needed, {account.balance} are there", hint="ask for credit")
    _put(draft, member, StoredAccount(balance=account.balance - amount, held=account.held + amount))


def release(draft: Draft, member: str, amount: Micro) -> None:
    """Gives back part of what is held."""
    account = _account(draft, member)
    _put(draft, member, StoredAccount(balance=account.balance + _sound(amount), held=account.held - amount))


def pay_from_held(draft: Draft, payer: str, payee: str, *, amount: Micro) -> None:
    """Pays out of what is held for the payer into the payee's balance."""
    account = _account(draft, payer)
    _put(draft, payer, StoredAccount(balance=account.balance, held=account.held - _sound(amount)))
    _receive(draft, payee, amount)


def pay_up_to(draft: Draft, payer: str, payee: str, *, amount: Micro) -> Micro:
    """Pays out of the payer's balance as much of `amount` as is there; returns what was paid."""
    account = _account(draft, payer)
    paid = min(_sound(amount), account.balance)
    _put(draft, payer, StoredAccount(balance=account.balance - paid, held=account.held))
    _receive(draft, payee, paid)
    return paid


def balance_of(view: StateView, member: str) -> Balance:
    """A member's account; one that never had any money has none."""
    account = _account(view, member)
    return Balance(member=member, balance=account.balance, held=account.held)


def credited(view: StateView) -> Micro:
    """The sum of all credits."""
    stored = view.get(_TOTAL)
    return 0 if stored is None else int.from_bytes(stored, "big")


def money_fault(view: StateView) -> str:
    """What is wrong with the money of a state; empty if every account is sound and their sum is that of all credits."""
    accounts = [(key, decode_stored(StoredAccount, data)) for key, data in scan_all(view, "account/")]
    for key, account in accounts:
        if account.balance < 0 or account.held < 0:
            return f"{key} is below zero: {account.balance}, held {account.held}"
    total = sum(account.balance + account.held for _, account in accounts)
    return "" if total == credited(view) else f"{total} micro-units are there, {credited(view)} were credited"


def _account(view: StateView, member: str) -> StoredAccount:
    stored = view.get(f"account/{member}")
    return _NOTHING if stored is None else decode_stored(StoredAccount, stored)


def _receive(draft: Draft, member: str, amount: Micro) -> None:
    account = _account(draft, member)
    _put(draft, member, StoredAccount(balance=account.balance + amount, held=account.held))


def _put(draft: Draft, member: str, account: StoredAccount) -> None:
    if account.balance < 0 or account.held < 0:
        raise IntegrityError(f"entry {draft.index} would bring the account of {member} below zero")
    draft.put(f"account/{member}", encode_stored(account))


def _sound(amount: Micro) -> Micro:
    if amount < 0:
        raise IntegrityError(f"{amount} micro-units cannot move")
    return amount
