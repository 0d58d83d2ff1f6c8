# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A site that rents out: acting scripts that keep accounts as files and do as a test says, and a user who rents there."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hpcbridge.contract.market import rental_name
from hpcbridge.errors import IdentityError
from hpcbridge.identity.passcode import Binding, OpenedPasscode, open_passcode
from hpcbridge.model.clusters import ClusterState, Queue, Rates, Registration, SchedulerInfo
from hpcbridge.model.market import AccountRenewal, Cancellation, Rental, RentalOrder, Request
from hpcbridge.model.relay import SealedKind, SealedState
from hpcbridge.model.transactions import Body
from hpcbridge.wire.marketqueries import get_rental, list_offers, list_why_nots
from hpcbridge.wire.relay import collect_sealed
from tests.ledger_simulator import ORIGIN, LedgerSimulator

ACTIONS = ("account_create", "account_renew", "account_close", "passcode_deliver")
SCRIPT = """\
#!{python}
import hashlib, json, pathlib, sys, time
root = pathlib.Path({root!r})
order = json.load(sys.stdin)
action, username, rental, passcode = (order[name] for name in ("action", "username", "rental", "passcode"))
with (root / "calls").open("a") as calls:
    calls.write(f"{{action}} {{rental}} {{username}} {{'with' if passcode else 'without'}}\\n")
how = root / "how" / action
mode = how.read_text() if how.exists() else ""
if mode == "later":
    sys.stderr.write("the directory is locked\\n")
    sys.exit(75)
if mode == "fail":
    sys.exit("no room for accounts")
if mode == "blab":
    sys.exit(f"cannot set {{passcode}} for {{username}}")
if mode == "hang":
    time.sleep(60)
account = root / "accounts" / username
known = json.loads(account.read_text()) if account.exists() else None
if known and known["rental"] != rental:
    sys.exit(f"{{username}} is not ours")
if action == "passcode_deliver":
    (root / "mail").write_text(order["contact"] + "\\n" + order["message"])
elif action == "account_close":
    if known:
        account.write_text(json.dumps(known | {{"open": False}}))
elif action == "account_renew" and known is None:
    sys.exit(f"there is no {{username}}")
else:
    kept = hashlib.sha256(passcode.encode()).hexdigest() if passcode else known["passcode"]
    account.write_text(json.dumps({{"rental": rental, "passcode": kept, "expires_on": order["expires_on"], "open": True}}))
if mode == "linger":
    while how.exists() and how.read_text() == "linger":
        time.sleep(0.02)
if mode == "rubbish":
    sys.stdout.buffer.write(b"\\xff\\x00{{not json\\x1b[2J" * 100)
"""


class ActingScripts:
    """A folder with the four scripts, and what they did. `how` makes one of them misbehave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "acting"
        for folder in (self.folder, root / "how", root / "accounts"):
            folder.mkdir(parents=True, exist_ok=True)
        for action in ACTIONS:
            script = self.folder / action
            script.write_text(SCRIPT.format(python=sys.executable, root=str(root)))
            script.chmod(0o755)

    def how(self, action: str, mode: str) -> None:
        """later, fail, blab, hang, linger, rubbish; empty: as it should be."""
        path = self.root / "how" / action
        path.unlink(missing_ok=True)
        if mode:
            path.write_text(mode)

    @property
    def calls(self) -> list[str]:
        """`action rental username with|without` a passcode, in order."""
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def called(self, action: str, rental: str) -> int:
        """How often a script was run for a rental."""
        return sum(call.startswith(f"{action} {rental} ") for call in self.calls)

    def account(self, username: str) -> dict[str, Any] | None:
        """What the site has of an account; None if there is none."""
        path = self.root / "accounts" / username
        return json.loads(path.read_text()) if path.exists() else None

    def is_open(self, username: str) -> bool:
        """True if somebody could log in."""
        account = self.account(username)
        return account is not None and bool(account["open"])

    def takes(self, username: str, passcode: str) -> bool:
        """True if this is the passcode of an open account."""
        account = self.account(username)
        digest = hashlib.sha256(passcode.encode()).hexdigest()
        return account is not None and bool(account["open"]) and account["passcode"] == digest


class Tenant:
    """A user with a rental: orders, cancels, asks for another passcode, and reads what is at the relay.

    `say` signs one transaction and returns the index of its entry, `call` asks the ledger, both as the user.
    """

    def __init__(self, say: Callable[[Body], int], call: Callable[..., Any], *, origin: str, authority: bytes, provider: str) -> None:
        self._say = say
        self._call = call
        self._origin = origin
        self._authority = authority
        self._provider = provider
        self._keys: dict[str, X25519PrivateKey] = {}

    def rent(self, *, sealed: bool = True, cores: int = 2) -> Rental:
        """A rental of the best offer, with or without a key for the passcode."""
        asked = self._say(Request(cores=cores))
        if not list_offers(self._call, f"r{asked}"):
            raise LookupError(f"nothing is offered: {list_why_nots(self._call, f'r{asked}')}")
        key = X25519PrivateKey.generate()
        order = RentalOrder(request=f"r{asked}", cores=cores, sealing_key=key.public_key().public_bytes_raw() if sealed else b"")
        name = rental_name(self._say(order))
        self._keys[name] = key
        return self.rental(name)

    def rental(self, name: str) -> Rental:
        """As the ledger has it."""
        return get_rental(self._call, name)[0]

    def cancel(self, name: str) -> None:
        """Gives it back."""
        self._say(Cancellation(rental=name))

    def renew(self, name: str) -> None:
        """Asks for another passcode, to another key."""
        self._keys[name] = X25519PrivateKey.generate()
        self._say(AccountRenewal(rental=name, sealing_key=self._keys[name].public_key().public_bytes_raw()))

    def passcode(self, name: str) -> str | None:
        """The passcode that waits at the relay; None if none does."""
        opened = self.opened(name)
        return None if opened is None else opened.passcode

    def opened(self, name: str) -> OpenedPasscode | None:
        """What waits at the relay, opened; None if nothing does."""
        left = collect_sealed(self._call, name, SealedKind.PASSCODE)
        if left.state is not SealedState.WAITING:
            return None
        rental = self.rental(name)
        binding = Binding(origin=self._origin, rental=name, cluster=rental.cluster, username=rental.username)
        try:
            return open_passcode(left.box, binding, sealing_key=self._keys[name], provider=self._provider, authority=self._authority)
        except IdentityError as error:
            if "sealed to another key" not in str(error):
                raise
            return None  # the one from before, until the next one takes its place


def tenant_of(ledger: LedgerSimulator, user: str, *, provider: str) -> Tenant:
    """A user of a ledger in this process."""

    def say(body: Body) -> int:
        submitted = ledger.submit(user, body)
        submitted.check_accepted()
        return submitted.index

    authority = ledger.admin().load_authority()
    return Tenant(say, ledger.client(user).call, origin=ORIGIN, authority=authority, provider=provider)


def priced(cluster: str, *, sealing_key: bytes = b"") -> Registration:
    """A registration with a price, so that it is offered."""
    rates = Rates(cpu_core_per_hour=20_000, gpu_core_per_hour=0)
    return Registration(cluster=cluster, login_address=f"login.{cluster}.test", rates=rates, sealing_key=sealing_key)


def sample(cluster: str) -> ClusterState:
    """An open queue with enough of everything."""
    queue = Queue(cluster=cluster, name="batch", open=True, cores_total=4096, cores_used=0, cores_available=4096, gpus_total=0,
                  gpus_used=0, jobs_queued=0, jobs_running=0, max_cores=128, max_walltime_seconds=3600)  # fmt: skip
    scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
    return ClusterState(cluster=cluster, observed_at=time.time_ns() // 1_000_000, queues=(queue,), scheduler=scheduler)
