# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The real ledger service in this process, on a temporary store and free loopback ports, with members enrolled for real."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from hpcbridge.config import LedgerConfig, LimitsSection, ListenSection, StoreSection
from hpcbridge.identity.certificates import fingerprint
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import EnrolmentToken, make_token, token_digest
from hpcbridge.model.clusters import Registration, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import Body, Decision, Revocation, Token
from hpcbridge.service.founding import Foundation, found
from hpcbridge.service.ledger_service import LedgerService
from hpcbridge.submitter.submit import Submitted, submit
from hpcbridge.wire.client import Endpoint, LedgerClient
from hpcbridge.wire.enrolment import enrol
from tests.ports import free_ports

ORIGIN = "ledger.test"
ADMIN = "admin"


class LedgerSimulator:
    """A ledger that runs from construction to `stop`. `parameters` are those of entry 0, `limits` those of ledgerd.toml."""

    def __init__(
        self,
        directory: Path,
        *,
        parameters: tuple[tuple[str, int], ...] = (),
        limits: LimitsSection | None = None,
        reflection: bool = False,
        start: bool = True,
    ) -> None:
        self.directory = directory
        self.identities = directory / "identities"
        address, enrolment = (f"localhost:{port}" for port in free_ports(2))
        self.config = LedgerConfig(
            listen=ListenSection(address=address, enrolment=enrolment, reflection=reflection),
            store=StoreSection(directory=directory / "ledger"),
            limits=limits or LimitsSection(),
        )
        foundation = Foundation(origin=ORIGIN, first_admin=ADMIN, enrolment_address=enrolment, parameters=parameters)
        self.admin_token = found(self.config.store.directory, foundation, at=now(), random=secrets.token_bytes)
        self.service = LedgerService(self.config)
        self._clients: list[LedgerClient] = []
        if start:
            self.service.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where the ledger listens."""
        return self.config.listen.address

    @property
    def enrolment_address(self) -> str:
        """Where tokens are redeemed."""
        return self.config.listen.enrolment

    @property
    def store_path(self) -> Path:
        """The store's file."""
        return self.config.store.directory / "ledger.db"

    def start(self) -> None:
        """Starts a service on the same files, after `stop`."""
        self.service = LedgerService(self.config)
        self.service.start()

    def stop(self) -> None:
        """Stops in order, and closes every client made here."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.service.stop()

    def restart(self) -> None:
        """Stops and starts; clients must be asked for anew."""
        self.stop()
        self.start()

    def set_limits(self, limits: LimitsSection) -> None:
        """For the next start."""
        self.config = replace(self.config, limits=limits)

    def identity(self, name: str, installation: str = "main") -> KeyDirectory:
        """Folder of an identity, enrolled or not."""
        return KeyDirectory(self.identities / f"{name}-{installation}")

    def admin(self) -> KeyDirectory:
        """The first admin, enrolled at the first call."""
        keys = self.identity(ADMIN)
        if not keys.is_enrolled():
            enrol(self.admin_token, "main", keys)
        return keys

    def token(self, role: Role, name: str, *, attributes: tuple[tuple[str, str], ...] = (), life_ms: int = 3_000_000) -> str:
        """A token for a new member or a new installation of one."""
        admin = self.admin()
        secret = secrets.token_bytes(32)
        body = Token(digest=token_digest(secret), role=role, member=name, attributes=attributes, expires_at=now() + life_ms)
        self.submit(ADMIN, body).check_accepted()
        ca_fingerprint = fingerprint(admin.load_authority())
        return make_token(EnrolmentToken(address=self.enrolment_address, origin=ORIGIN, ca_fingerprint=ca_fingerprint, secret=secret))

    def enrol(self, role: Role, name: str, installation: str = "main", *, attributes: tuple[tuple[str, str], ...] = ()) -> KeyDirectory:
        """Enrols a member's installation by a fresh token."""
        keys = self.identity(name, installation)
        enrol(self.token(role, name, attributes=attributes), installation, keys)
        return keys

    def provider(self, name: str, *, cluster: str | None = None) -> KeyDirectory:
        """A provider, with an approved cluster if one is named."""
        keys = self.enrol(Role.PROVIDER, name)
        if cluster is not None:
            self.submit(name, registration(cluster)).check_accepted()
            self.submit(ADMIN, Decision(name=cluster, vetting=Vetting.APPROVED, note="")).check_accepted()
        return keys

    def user(self, name: str) -> KeyDirectory:
        """A user."""
        return self.enrol(Role.USER, name)

    def revoke(self, name: str, installation: str | None = None) -> Submitted:
        """Revokes a member or one installation."""
        return self.submit(ADMIN, Revocation(member=name, installation=installation, reason="test"))

    def client(self, name: str = ADMIN, installation: str = "main", *, deadline_seconds: float = 10) -> LedgerClient:
        """A connection as this identity; closed by `stop`."""
        keys = self.admin() if name == ADMIN else self.identity(name, installation)
        client = LedgerClient([Endpoint(self.address, "localhost")], keys, deadline_seconds=deadline_seconds)
        self._clients.append(client)
        return client

    def submit(self, name: str, body: Body, installation: str = "main") -> Submitted:
        """One transaction through the command line's way: number, receipt, verified."""
        keys = self.admin() if name == ADMIN else self.identity(name, installation)
        with LedgerClient([Endpoint(self.address, "localhost")], keys) as client:
            return submit(keys, client, body)


def registration(cluster: str) -> Registration:
    """A small cluster's registration."""
    return Registration(cluster=cluster, login_address=f"login.{cluster}.test")


def now() -> int:
    """Wall clock in milliseconds."""
    return time.time_ns() // 1_000_000
