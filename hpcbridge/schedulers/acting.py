# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Carries out orders for accounts by running a site's acting scripts: `<scripts>/<action>`, the order as JSON on standard input.

What a script gets and may answer is written in docs/accounts.md. An order is checked member by member before any script sees it, so
that none of its texts can be an option, a path or a line of its own. Passcode and address go to standard input and nowhere else: not into
arguments, environment, a reason or a fact.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from hpcbridge.errors import SchedulerError, ScriptMissing
from hpcbridge.model.accounts import AccountAction, AccountOrder, ActionOutcome, ActionResult
from hpcbridge.model.quantities import check_contact, check_name, escape_text, format_instant
from hpcbridge.schedulers.report import Report
from hpcbridge.schedulers.scripts import ScriptRunner

ACTING_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TRY_AGAIN_LATER = 75
MAX_ANSWER_BYTES = 1 << 16
MAX_REASON = 256
MAX_FACTS = 16
MAX_FACT = 256
MAX_MESSAGE = 16_384

_DAY_MS = 86_400_000
_LATEST_MS = 253_402_214_400_000  # 9999-12-31: a date has four digits of a year
_RENTAL = re.compile(r"l[0-9]{1,18}\Z")
_USERNAME = re.compile(r"[a-z][a-z0-9]{7,14}\Z")
_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}\Z")
_PASSCODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{8,62})[A-Za-z0-9]\Z")
_MESSAGE = re.compile(r"[ -~\n]*\Z")
_FACT = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


class ScriptActor:
    """Runs acting scripts from one folder, one at a time for each action, as the account this process has."""

    def __init__(
        self,
        scripts: Path,
        *,
        environment: Mapping[str, str],
        timeout_seconds: float = 60.0,
        stopping: threading.Event | None = None,
        check: Callable[[Path], str] | None = None,
    ) -> None:
        """`environment` is added to a clean one; `check` gets the path of a script and returns why it must not be run, or ""."""
        self._scripts = scripts.absolute()
        self._runner = ScriptRunner(
            self._scripts.parent,
            scheduler=self._scripts.name,
            environment={"PATH": ACTING_PATH, **environment},
            timeout_seconds=timeout_seconds,
            max_bytes=MAX_ANSWER_BYTES,
        )
        self._stopping = stopping
        self._check = check

    def act(self, order: AccountOrder) -> ActionResult:
        """Runs the script of the order's action. What it changed before it was cut off is found by the next time it is run."""
        script = self._scripts / order.action.value
        wrong = check_order(order) or self._unfit(script)
        if wrong:
            return ActionResult(outcome=ActionOutcome.FAILED, reason=escape_text(wrong, limit=MAX_REASON))
        try:
            report = self._runner.run(order.action.value, stdin=order_for_script(order), stopping=self._stopping)
        except ScriptMissing as missing:
            return ActionResult(outcome=ActionOutcome.FAILED, reason=escape_text(str(missing), limit=MAX_REASON))
        except SchedulerError as error:
            return ActionResult(outcome=ActionOutcome.LATER, reason=escape_text(str(error), limit=MAX_REASON))
        return _judged(report, order)

    def _unfit(self, script: Path) -> str:
        """Why a script that is there cannot or must not be run."""
        if not script.is_file():
            return f"{script}: this site has no such script"
        if self._check is not None and (wrong := self._check(script)):
            return wrong
        return "" if os.access(script, os.X_OK) else f"{script}: is not executable"


def check_order(order: AccountOrder) -> str:
    """What is wrong with an order, "" if nothing is. The text quotes neither passcode nor address."""
    try:
        check_name("cluster", order.cluster)
        if order.contact:
            check_contact(order.contact)
    except ValueError as error:
        return str(error)
    needs_passcode = order.action is AccountAction.CREATE
    takes_passcode = order.action in {AccountAction.CREATE, AccountAction.RENEW}
    delivers = order.action is AccountAction.DELIVER
    rules = (
        (_RENTAL.match(order.rental), f"{order.rental!r} is not the name of a rental"),
        (_USERNAME.match(order.username), f"{order.username!r} is not a username that a rental gets"),
        (_QUEUE.match(order.queue), f"{order.queue!r} is not the name of a queue"),
        (0 <= order.cores <= 1 << 40 and 0 <= order.gpus <= 1 << 40, "cores and gpus are not counts"),
        (0 <= order.expires_at <= _LATEST_MS, f"{order.expires_at} is not a time of expiry"),
        (order.passcode is not None or not needs_passcode, f"{order.action.value} needs a passcode"),
        (order.passcode is None or takes_passcode, f"{order.action.value} is not told the passcode"),
        (order.passcode is None or _PASSCODE.match(order.passcode), "the passcode has signs or a length that no passcode has"),
        (_MESSAGE.match(order.message) and len(order.message) <= MAX_MESSAGE, "the message has signs or a length that none has"),
        (not delivers or (order.contact and order.message), f"{order.action.value} needs a contact and a message"),
    )
    return next((escape_text(wrong, limit=MAX_REASON) for right, wrong in rules if not right), "")


def order_for_script(order: AccountOrder) -> bytes:
    """The JSON a script reads: one object, one member a line, so that a shell script can read it with sed (docs/accounts.md)."""
    members = {
        "action": order.action.value,
        "rental": order.rental,
        "username": order.username,
        "cluster": order.cluster,
        "queue": order.queue,
        "cores": order.cores,
        "gpus": order.gpus,
        "expires_at": format_instant(order.expires_at),
        "expires_on": _first_day_after(order.expires_at),
        "passcode": order.passcode,
        "contact": order.contact or None,
        "message": order.message or None,
    }
    return json.dumps(members, indent=2).encode() + b"\n"


def _first_day_after(instant: int) -> str:
    """The date (UTC) on which nobody may log in any more: shadow(5) closes an account with the beginning of a day."""
    return format_instant(-(-instant // _DAY_MS) * _DAY_MS).partition("T")[0]


def _judged(report: Report, order: AccountOrder) -> ActionResult:
    reason = _one_line(report.stderr, order)
    status = report.exit_status
    if status == 0:
        facts, trouble = _facts(report.stdout, order)
        return ActionResult(outcome=ActionOutcome.DONE, reason=trouble or reason, facts=facts)
    if status == TRY_AGAIN_LATER:
        return ActionResult(outcome=ActionOutcome.LATER, reason=reason or "the script asks to be run again later and says no more")
    if status < 0:
        return ActionResult(outcome=ActionOutcome.LATER, reason=reason or f"the script was ended by signal {-status}")
    return ActionResult(outcome=ActionOutcome.FAILED, reason=reason or f"the script ended with exit status {status} and says no more")


def _one_line(raw: bytes, order: AccountOrder) -> str:
    """What a script complained. Of much the middle is left out: its own words mostly come first, those of a program it ran last."""
    lines = (line.strip() for line in raw.decode(errors="surrogateescape").splitlines())
    text = _without_secrets(order, "; ".join(line for line in lines if line))
    shown = escape_text(text, limit=10 * len(text))
    return shown if len(shown) <= MAX_REASON else f"{shown[: MAX_REASON // 2]}…{shown[1 - MAX_REASON // 2 :]}"


def _facts(raw: bytes, order: AccountOrder) -> tuple[Mapping[str, str], str]:
    """What a script that is done printed, and what is wrong with that: an exit status of 0 is believed all the same."""
    if not raw.strip():
        return {}, ""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}, "the script printed something that is not a JSON object"
    if not isinstance(found, dict) or len(found) > MAX_FACTS:
        return {}, f"the script printed something that is not a JSON object of at most {MAX_FACTS} members"
    facts = {
        name: escape_text(_without_secrets(order, value), limit=MAX_FACT)
        for name, value in found.items()
        if _FACT.match(name) and isinstance(value, str)
    }
    return facts, "" if len(facts) == len(found) else "the script printed members that are not strings or have odd names; they are left out"


def _without_secrets(order: AccountOrder, text: str) -> str:
    for secret, instead in ((order.passcode, "[passcode]"), (order.contact, "[address]")):
        text = text.replace(secret, instead) if secret else text
    return text
