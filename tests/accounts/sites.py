# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Two systems of accounts for one suite: those of a machine, in a world of its own, and those that are only files."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from hpcbridge.model.accounts import AccountAction, AccountOrder, ActionResult
from hpcbridge.model.quantities import parse_instant
from hpcbridge.schedulers.acting import ScriptActor
from tests.private_accounts import PrivateAccounts

SCRIPTS = Path(__file__).resolve().parents[2] / "scheduler_scripts"
PASSCODE = "k7mq-x2dw-9hzt-4vnb"
OTHER = "b4nv-tzh9-wd2x-qm7k"
CREATE = AccountOrder(
    action=AccountAction.CREATE, rental="l17", username="kdhz4w7c2mxq", cluster="c1", queue="batch",
    cores=16, gpus=0, expires_at=parse_instant("2099-12-01T12:00:00Z"), passcode=PASSCODE,
)  # fmt: skip
RENEW = dataclasses.replace(CREATE, action=AccountAction.RENEW)
CLOSE = dataclasses.replace(CREATE, action=AccountAction.CLOSE, passcode=None)


class Site(Protocol):
    """A system of accounts, as the suite sees it."""

    scripts: Path

    def act(self, order: AccountOrder) -> ActionResult:
        """Has the family's script carry out an order."""

    def lets_in(self, username: str, passcode: str) -> bool:
        """Whether a login succeeds."""

    def expires_on(self, username: str) -> str:
        """The date on which the account is over."""

    def add_foreign(self, username: str) -> None:
        """An account that somebody else made, with the passcode OTHER."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """While somebody else holds the files of accounts."""

    def state(self) -> Mapping[str, str]:
        """Everything the system keeps, but for what salts a hash."""


class Machine:
    """passwd, shadow and PAM."""

    scripts = SCRIPTS / "accounts" / "unix"

    def __init__(self, world: PrivateAccounts, **environment: str) -> None:
        self.world = world
        self._actor = ScriptActor(self.scripts, environment={**world.accounts_environment, **environment}, timeout_seconds=20)

    def act(self, order: AccountOrder) -> ActionResult:
        with self.world.inside():
            return self._actor.act(order)

    def lets_in(self, username: str, passcode: str) -> bool:
        return self.world.lets_in(username, passcode)

    def expires_on(self, username: str) -> str:
        days = self.world.run(["getent", "shadow", username]).split(":")[7]
        return self.world.run(["date", "-u", "-d", f"1970-01-01 +{days} days", "+%Y-%m-%d"]).strip()

    def add_foreign(self, username: str) -> None:
        self.world.run(["useradd", "--uid", str(self.world.uids[-1]), "--create-home", "--shell", "/bin/sh", username])
        self.world.run(["chpasswd"], stdin=f"{username}:{OTHER}\n".encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        holder = self.world.spawn(["sleep", "1000"])
        self.world.run(["sh", "-c", f"printf {holder.pid} > /etc/passwd.lock"])
        try:
            yield
        finally:
            self.world.run(["rm", "/etc/passwd.lock"])
            holder.kill()
            holder.wait()

    def state(self) -> Mapping[str, str]:
        kept = {path: self.world.read(path) for path in ("/etc/passwd", "/etc/group", "/etc/shadow")}
        lines = [line.split(":") for line in kept["/etc/shadow"].splitlines()]
        kept["/etc/shadow"] = "\n".join(":".join([name, hashed[:3], *more]) for name, hashed, *more in lines)
        return {**kept, "/home": self.world.run(["ls", "-lnR", "/home"])}


class Files:
    """A folder."""

    scripts = SCRIPTS / "accounts" / "files"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._actor = ScriptActor(self.scripts, environment={"ACCOUNTS_DIRECTORY": str(directory)}, timeout_seconds=20)

    def act(self, order: AccountOrder) -> ActionResult:
        return self._actor.act(order)

    def lets_in(self, username: str, passcode: str) -> bool:
        lines = self._lines(username)
        return "hash" in lines and hashlib.sha256(f"{lines['salt']}{passcode}".encode()).hexdigest() == lines["hash"]

    def expires_on(self, username: str) -> str:
        return self._lines(username)["expires_on"]

    def add_foreign(self, username: str) -> None:
        digest = hashlib.sha256(f"00{OTHER}".encode()).hexdigest()
        (self.directory / username).write_text(f"comment=the director\nsalt=00\nhash={digest}\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def state(self) -> Mapping[str, str]:
        return {
            path.name: "\n".join(line for line in path.read_text().splitlines() if not line.startswith(("salt=", "hash=")))
            for path in sorted(self.directory.iterdir())
        }

    def _lines(self, username: str) -> dict[str, str]:
        path = self.directory / username
        return dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}


def run_by_hand(script: Path, text: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """A script run as a sysadmin would, with anything on standard input."""
    return subprocess.run(
        [script], input=text.encode(), env={"PATH": os.environ["PATH"], **environment}, capture_output=True, timeout=20, check=False
    )
