# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The whole story of the market: two clusters far apart, a user from the offers to the statement, the income, the auditor's sums.

Real Slurm, real Grid Engine, real accounts with real logins, daemons and ledger as processes over mutual TLS. The ledger is killed in the
middle of a rental, and one job ends by the site's fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bridge import Bridge, wait_until
from tests.market_world import (
    BANGKOK,
    CHIANG_MAI,
    HAMBURG,
    QUICK,
    Follower,
    GridEngineSite,
    People,
    Site,
    SlurmSite,
    frontend,
    job_id_of,
    rates_of,
    set_parameters,
)
from tests.private_accounts import WorldMissing
from tests.private_gridengine import GridEngineMissing
from tests.private_slurm import SlurmMissing

pytestmark = [pytest.mark.slurm, pytest.mark.gridengine]

UNIT = 1_000_000
FIVE_MINUTES = 300


@dataclass(frozen=True, kw_only=True)
class Market:
    """Who and what there is."""

    directory: Path
    slurm: SlurmSite
    gridengine: GridEngineSite
    north: Bridge
    south: Bridge
    people: People
    ulla: Follower


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    directory = tmp_path_factory.mktemp("market")
    with ExitStack() as stack:
        try:
            slurm = stack.enter_context(closing(SlurmSite(directory / "slurm", cluster="north")))
            gridengine = stack.enter_context(closing(GridEngineSite(directory / "gridengine", cluster="south")))
        except (SlurmMissing, GridEngineMissing, WorldMissing) as missing:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI must have both schedulers and be root: {missing}")
            pytest.skip(str(missing))
        north = stack.enter_context(frontend(directory / "north", slurm, cluster="north", location=CHIANG_MAI))
        north.set_up()
        south = stack.enter_context(frontend(directory / "south", gridengine, cluster="south", location=HAMBURG, network=north))
        south.set_up()
        set_parameters(north, QUICK)
        people = People(directory / "people", north)
        people.enrol("ulla", "user")
        people.enrol("audrey", "user", "--attribute", "auditor=true")
        north.admin("admin", "credit", "ulla", "50", "--reference", "invoice 1")
        ulla = stack.enter_context(Follower(people.identity("ulla")))
        yield Market(
            directory=directory, slurm=slurm, gridengine=gridengine, north=north, south=south, people=people, ulla=ulla
        )  # fmt: skip


def test_the_whole_story(market: Market) -> None:
    near, far = rent_at_both(market)
    for bridge, rental in ((market.north, near), (market.south, far)):
        assert rental["provider"] == bridge.cluster
    codes = {rental["rental"]: passcode_of(market, rental) for rental in (near, far)}
    work(market, near, far, codes)

    for rental, site in ((near, market.slurm), (far, market.gridengine)):
        ended = market.ulla.wait_for("RENTAL_ENDED", rental["rental"])
        assert ended["body"]["end"] == "COMPLETED"
        closed(site, rental, codes[rental["rental"]])

    charged = check_statement(market, near, ["COMPLETED", "NODE_FAILED"]), check_statement(market, far, ["FAILED"])
    check_money(market, *charged)
    check_secrets(market, near, far, codes)


def rent_at_both(market: Market) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two offers whose prices differ by distance alone, the reason of a cluster that is left out, and a rental at each."""
    ask = ("offers", "--cores", "2", "--walltime", "2min", "--location", BANGKOK)
    wait_until(lambda: len(market.people.asks("ulla", *ask)["offers"]) == 2, what="both clusters to be heard of")
    offers = market.people.asks("ulla", *ask)["offers"]
    rates = rates_of(offers)
    # 583 km are six times 100 km begun at 1 % each; Hamburg is beyond the cap of 50 %
    assert sorted(rates.values()) == [36 * UNIT * 106 // 100, 36 * UNIT * 150 // 100]
    gpus = market.people.asks("ulla", "offers", "--cores", "2", "--gpus", "1", "--gpu-type", "a100", "--location", BANGKOK)
    (why,) = market.people.asks("ulla", "why", gpus["request"]["request"])["why_nots"]
    assert (len(gpus["offers"]), why["requirement"]) == (1, "GPU_TYPE")
    assert not any(name in str((offers, gpus, why)) for name in ("north", "south", "slurm", "all.q"))
    rented = []
    for offer in sorted(offers, key=lambda offer: rates[offer["offer"]]):
        queue = next(queue for queue in offer["queues"] if queue["max_walltime_seconds"] == FIVE_MINUTES)
        rental = market.people.asks("ulla", "rent", offer["offer"], "--queue", queue["label"])
        assert rental["deposit"] == queue["deposit"] == 2 * rates[offer["offer"]] * FIVE_MINUTES * 3 // 36_000
        rented.append(rental)
    return rented[0], rented[1]


def passcode_of(market: Market, rental: dict[str, Any]) -> str:
    """The account is there, and the passcode the user alone can read is the one that opens it."""
    site: Site = market.slurm if rental["cluster"] == "north" else market.gridengine
    market.ulla.wait_for("RENTAL_READY", rental["rental"])
    told = market.people.asks("ulla", "passcode", rental["rental"])
    assert told["username"] == rental["username"]
    passcode = str(told["passcode"])
    assert site.login(rental["username"], passcode, "id -un; pwd").split() == [rental["username"], f"/home/{rental['username']}"]
    assert not site.accounts.lets_in(rental["username"], passcode[:-1])
    with pytest.raises(RuntimeError, match="shown once"):
        market.people.says("ulla", "passcode", rental["rental"])
    return passcode


def work(market: Market, near: dict[str, Any], far: dict[str, Any], codes: dict[str, str]) -> None:
    """Jobs on both clusters by the user itself; the ledger is killed while they run, and a node breaks down."""
    me, code = near["username"], codes[near["rental"]]
    good = job_id_of(market.slurm.submit(me, code, "id -un > who; sleep 4", "--ntasks=2", "--begin=now+2"))
    bad = job_id_of(market.slurm.submit(me, code, "sleep 600", "--ntasks=2", "--no-requeue"))
    market.slurm.slurm.wait_state(bad, "RUNNING")
    failing = job_id_of(market.gridengine.submit(far["username"], codes[far["rental"]], "sleep 2; exit 3"))
    for cluster, job in (("north", good), ("north", bad), ("south", failing)):
        market.ulla.wait_for("JOB_CHANGED", f"{cluster}/{job}#1", holds=lambda body: body["phase"] == "RUN")
    assert market.north.ledger is not None
    market.north.ledger.kill()
    market.slurm.slurm.wait_state(good, "COMPLETED")
    market.north.start_ledger()
    market.slurm.fail_node_of(bad)
    for cluster, job, outcome in (("north", good, "COMPLETED"), ("north", bad, "NODE_FAILED"), ("south", failing, "FAILED")):
        name = f"{cluster}/{job}#1"
        market.ulla.wait_for("JOB_CHANGED", name, holds=lambda body: body["phase"] == "END")
        assert list(dict.fromkeys(market.ulla.way_of(name)))[-2:] == [("RUN", None), ("END", outcome)]
    assert market.ulla.way_of(f"north/{good}#1")[0] == ("QUEUE", None)
    assert market.slurm.accounts.read(f"/home/{me}/who").strip() == me


def closed(site: Site, rental: dict[str, Any], passcode: str) -> None:
    """The provider's daemon closes the account: who knew the passcode is not let in any more, and nothing of the user runs on."""
    username = rental["username"]
    wait_until(lambda: not site.accounts.lets_in(username, passcode), what=f"account {username} to be closed", seconds=60)


def check_statement(market: Market, rental: dict[str, Any], outcomes: list[str]) -> int:
    """The statement says what was measured, at the rate of the rental, and the rest of the deposit came back; what was charged."""
    name = rental["rental"]
    shown = market.people.asks("ulla", "rentals", "show", name)
    deposit, *usage, refund = shown["statement"]
    assert (deposit["kind"], deposit["amount"], refund["kind"]) == ("DEPOSIT", rental["deposit"], "REFUND")
    assert sorted(line["usage"]["outcome"] for line in usage) == sorted(outcomes)
    for line in usage:
        price = line["usage"]["core_seconds"] * rental["rates"]["cpu_core_per_hour"] // 3600
        site = line["usage"]["outcome"] == "NODE_FAILED"
        assert (line["amount"], line["usage"]["bearer"]) == ((0, "SITE") if site else (price, "USER"))
    charged: int = sum(line["amount"] for line in usage)
    assert 0 < charged == rental["deposit"] - refund["amount"]
    assert (shown["rental"]["charged"], shown["rental"]["held"]) == (charged, 0)
    return charged


def check_money(market: Market, near: int, far: int) -> None:
    """What the user paid the providers have, and an auditor comes to the same from the export alone."""
    people = market.people
    assert people.asks("ulla", "balance") == {"member": "ulla", "balance": 50 * UNIT - near - far, "held": 0}
    for bridge, income in ((market.north, near), (market.south, far)):
        identity = ("--identity", str(bridge.agent_identity))
        assert f"to spend  {income / UNIT:g}" in bridge.ctl(*identity, "balance")
        listed = bridge.ctl(*identity, "rentals", "list")
        assert ("ENDED" in listed, "ulla" in listed) == (True, False)
    export = market.directory / "log.export"
    people.says("audrey", "ledger", "export", str(export))
    market.north.ledger.end()  # type: ignore[union-attr]  # nothing but the file is needed from here on
    verified = people.asks("audrey", "ledger", "verify", str(export))
    assert (verified["hidden"], verified["replayed"]) == (0, True)
    money = people.asks("audrey", "ledger", "money", str(export))
    accounts = {account["member"]: account["balance"] + account["held"] for account in money["accounts"]}
    assert accounts == {"ulla": 50 * UNIT - near - far, "north": near, "south": far}
    assert (money["credited"], [each["rental"]["charged"] for each in money["rentals"]]) == (50 * UNIT, [near, far])


def check_secrets(market: Market, near: dict[str, Any], far: dict[str, Any], codes: dict[str, str]) -> None:
    """No passcode in clear lies anywhere but with the user, and no provider has the user's name."""
    kept = [market.directory / "log.export"]
    for bridge in (market.north, market.south):
        kept += [*(bridge.directory / "ledger").rglob("*"), *bridge.state.rglob("*"), *bridge.directory.glob("*.log")]
    everything = {path: path.read_bytes() for path in kept if path.is_file()}
    assert len(everything) > 10
    assert any(near["username"].encode() in content for content in everything.values()), "a control: the search finds what is there"
    for path, content in everything.items():
        assert not any(code.encode() in content for code in codes.values()), path
        if "agent" in path.parts or path.name == "hpcbridged.log":
            assert b"ulla" not in content, path
    assert far["username"] != near["username"]
