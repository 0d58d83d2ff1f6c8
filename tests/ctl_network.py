# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A real ledger in this process, and the command line as its people use it, each with a folder of their own."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from hpcbridge.config import LedgerConfig, ListenSection, StoreSection
from hpcbridge.ctl.main import cli
from hpcbridge.service.founding import Foundation, found
from hpcbridge.service.ledger_service import LedgerService
from tests.ports import free_ports

ORIGIN = "test.example"


@dataclass
class Network:
    """A ledger and the folders of whoever takes part. `run` is one call of hpcbridgectl."""

    directory: Path
    service: LedgerService
    first_token: str
    ledger_address: str
    enrolment_address: str

    def identity(self, name: str) -> Path:
        return self.directory / "identities" / name

    def run(self, name: str, *arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, ["--identity", str(self.identity(name)), *arguments], input=stdin)

    def ok(self, name: str, *arguments: str, stdin: str = "") -> str:
        result = self.run(name, *arguments, stdin=stdin)
        assert result.exit_code == 0, f"{arguments}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def enrol(self, admin: str, name: str, role: str, *options: str) -> None:
        token = self.ok(admin, "admin", "token", "--role", role, "--name", name, *options)
        self.ok(name, "enrol", "--installation", "one", stdin=token)


def start_network(directory: Path, *, parameters: tuple[tuple[str, int], ...] = ()) -> Network:
    ledger, enrolment = (f"127.0.0.1:{port}" for port in free_ports(2))
    store = directory / "ledger"
    token = found(
        store,
        Foundation(origin=ORIGIN, first_admin="root", enrolment_address=enrolment, parameters=parameters),
        at=time.time_ns() // 1_000_000,
        random=secrets.token_bytes,
    )
    config = LedgerConfig(listen=ListenSection(address=ledger, enrolment=enrolment), store=StoreSection(directory=store))
    service = LedgerService(config)
    service.start()
    return Network(directory, service, token, ledger, enrolment)
