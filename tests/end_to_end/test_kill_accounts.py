# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of hpcbridged at every step of a tenant's account: it is made, renewed and closed all the same, and no passcode is left."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.market import AccountState, RentalState, Request
from hpcbridge.model.transactions import Body
from hpcbridge.submitter.submit import submit
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.marketqueries import list_offers
from tests.bridge import BIN, ORIGIN, Bridge, Process, wait_until
from tests.rented_site import ActingScripts, Tenant
from tests.scripted_slurm import Line, ScriptedSlurm

CREATING = ("accounts.before_account_create", "accounts.after_account_create", "accounts.before_relay", "accounts.after_relay")
RENEWING = ("accounts.before_account_renew", "accounts.after_account_renew", "accounts.after_relay")
CLOSING = ("accounts.before_account_close", "accounts.after_account_close")
COMMITS = ("spool.before_commit", "spool.after_commit")


class Market:
    """A bridge that rents out, and its tenant."""

    def __init__(self, directory: Path) -> None:
        self.scripts = ActingScripts(directory / "scripts")
        self.slurm = ScriptedSlurm(directory / "slurm")
        settings = {"accounts": "direct", "accounts_scripts": str(self.scripts.folder)}
        self.bridge = Bridge(directory / "bridge", scripts=self.slurm.scripts, publish="tenants", settings=settings, metrics=True)
        self.bridge.set_up()
        token = self.bridge.admin("admin", "token", "--role", "user", "--name", "ulla").strip()
        folder = directory / "ulla"
        self.bridge.ctl("--identity", str(folder), "enrol", "--installation", "laptop", given=token)
        self.bridge.admin("admin", "credit", "ulla", "1000000", "--reference", "test")
        self._keys = KeyDirectory(folder)
        self._client = LedgerClient(endpoints_of(self._keys), self._keys)
        authority = self._keys.load_authority()
        self.tenant = Tenant(self._say, self._client.call, origin=ORIGIN, authority=authority, provider="north")
        self.passcodes: list[str] = []

    def close(self) -> None:
        self._client.close()
        self.bridge.close()

    def dies_at(self, place: str) -> None:
        """The daemon is started, and dies where it is told to."""
        argv = [str(BIN / "hpcbridged"), "--config", str(self.bridge.agent_config)]
        trap = {"HPCBRIDGE_FAILPOINT": place}
        self.bridge.agent = Process(argv, log=self.bridge.directory / "hpcbridged.log", environment=trap)
        assert self.bridge.agent.wait(60) == 86, place
        self.bridge.agent.end()

    def passcode_works(self, rental: str) -> bool:
        """True if what is at the relay opens the account; remembers it."""
        passcode = self.tenant.passcode(rental)
        if passcode is None or not self.scripts.takes(self.tenant.rental(rental).username, passcode):
            return False
        self.passcodes.append(passcode)
        return True

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.bridge.frontend("-o", "json", "status"))
        return answer

    def _say(self, body: Body) -> int:
        submitted = submit(self._keys, self._client, body)
        submitted.check_accepted()
        return submitted.index

    def is_offered(self) -> bool:
        """True if a sample of the cluster is on the ledger."""
        request = f"r{self._say(Request(cores=1))}"
        return bool(list_offers(self._client.call, request))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    market = Market(tmp_path_factory.mktemp("market"))
    yield market
    market.close()


@pytest.mark.parametrize("way", ["every step", pytest.param("any commit", marks=pytest.mark.full)])
def test_kill_9_on_the_way_of_an_account(market: Market, way: str) -> None:
    """One account, and a process that dies again and again at the next place of its making, renewing and closing."""
    bridge, tenant, chance = market.bridge, market.tenant, random.Random(3)

    def places(steps: tuple[str, ...]) -> list[str]:
        if way == "every step":
            return [f"{step}:exit" for step in steps]
        return [f"{commit}:exit:{chance.randint(1, 8)}" for commit in COMMITS * 2]

    wait_until(market.is_offered, what="the cluster to be offered")
    bridge.kill_agent()
    rental = tenant.rent()
    for place in places(CREATING):
        market.dies_at(place)
    bridge.start_agent()
    wait_until(lambda: market.passcode_works(rental.rental), what="a passcode")
    wait_until(lambda: tenant.rental(rental.rental).state is RentalState.READY, what="READY")
    bridge.kill_agent()
    tenant.renew(rental.rental)
    for place in places(RENEWING):
        market.dies_at(place)
    bridge.start_agent()
    wait_until(lambda: market.passcode_works(rental.rental), what="another passcode")
    bridge.kill_agent()
    tenant.cancel(rental.rental)
    for place in places(CLOSING):
        market.dies_at(place)
    bridge.start_agent()
    wait_until(lambda: tenant.rental(rental.rental).account is AccountState.CLOSED, what="CLOSED")
    assert not market.scripts.is_open(rental.username)
    assert market.status()["accounts"]["attention"] == []
    _check_that_no_passcode_is_left(market, rental.username)


def test_a_sysadmin_sees_what_waits_mends_it_and_has_it_tried_at_once(market: Market) -> None:
    bridge, tenant, scripts = market.bridge, market.tenant, market.scripts
    wait_until(market.is_offered, what="the cluster to be offered")
    scripts.how("account_create", "later")
    rental = tenant.rent()
    wait_until(lambda: scripts.called("account_create", rental.rental) >= 1, what="the script to be tried")
    shown = market.status()
    assert not shown["all_right"]
    (waits,) = shown["accounts"]["attention"]
    assert (waits["rental"], waits["step"], waits["reason"]) == (rental.rental, "create", "the directory is locked")
    (finding,) = shown["findings"]
    assert rental.username in finding["what"]
    assert "the directory is locked" in finding["what"]
    assert "hpcbridgectl spool flush" in finding["todo"]
    assert "1 to look at" in bridge.frontend("status")
    scripts.how("account_create", "")
    bridge.frontend("spool", "flush")
    wait_until(lambda: market.passcode_works(rental.rental), what="the passcode", seconds=4)
    wait_until(lambda: market.status()["all_right"], what="all to be right")
    assert "1 account open" in bridge.frontend("status")
    with urllib.request.urlopen(f"http://{bridge.metrics_address}/metrics") as page:
        figures = page.read().decode()
    assert "\nhpcbridge_agent_tenant_accounts 1.0\n" in figures
    assert 'hpcbridge_agent_tenant_accounts_attention{standing="failed"} 0.0' in figures

    market.slurm.jobs([Line(job_id="1", owner="alice"), Line(job_id="2", owner=rental.username)])
    wait_until(lambda: "2" in bridge.jobs_on_ledger(), what="the tenant's job")
    assert "1" not in bridge.jobs_on_ledger()
    assert tenant.rental(rental.rental).state is RentalState.USED


def _check_that_no_passcode_is_left(market: Market, username: str) -> None:
    folders = (market.bridge.directory, market.scripts.root)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    found = b"".join(path.read_bytes() for path in files)
    assert market.passcodes
    assert not [part for passcode in market.passcodes for part in passcode.split("-") if part.encode() in found]
    assert username.encode() in found, "control: the search finds what is there"
