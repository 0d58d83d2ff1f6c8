# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong from outside, as people and agents of a market meet it: by command, by configuration, and by a real ledger.

The table of kinds stands in tests/contract/test_bad_input.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.config import load_agent_config
from hpcbridge.errors import ConfigError, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.clusters import ClusterState, Rates, Registration
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import Credit
from hpcbridge.model.transactions import Body, JobChange, JobChanges
from hpcbridge.submitter.submit import submit
from hpcbridge.wire.client import LedgerClient, endpoints_of
from tests.ctl_market import RATES, asked, open_cluster, queue, say
from tests.ctl_network import Network

TEN_MEGABYTES = "x" * 10_000_000
CYRILLIC_A = "\u0430"


@pytest.fixture(scope="module")
def market(network: Network) -> Network:
    network.enrol("root", "north", "provider")
    network.enrol("root", "south", "provider")
    network.enrol("root", "ulla", "user")
    open_cluster(network, "north", "aurora", queue("aurora", "limited"))
    open_cluster(network, "south", "boreas", queue("boreas", "endless", max_walltime_seconds=None))
    network.ok("root", "admin", "credit", "ulla", "50", "--reference", "bill 1")
    return network


USAGE = [
    "offers --cores 0",
    "offers --cores -1",
    "offers --cores 1.5",
    "offers --cores 99999999999999999999",
    "offers --cores 1 --gpus -1",
    "offers --cores 1 --walltime 0h",
    "offers --cores 1 --walltime 90",
    "offers --cores 1 --walltime -1h",
    "offers --cores 1 --memory -1G",
    "offers --cores 1 --memory 1.5G",
    "offers --cores 1 --location 90.1,0",
    "offers --cores 1 --location 0,-180.1",
    "offers --cores 1 --location nan,0",
    "offers --cores 1 --location 13",
    f"offers --cores 1 --program grom{CYRILLIC_A}cs",
    f"offers --cores 1 --program {'x' * 100_000}",
    f"offers --cores 1 --gpus 1 --gpu-type {CYRILLIC_A}100",
    "rent --best r1 --cores 0",
    "rent --best r1 --extra-limit -1",
    "rent --best r1 --extra-limit 0.0000001",
    "rent --best r1 --extra-limit 1e3",
    "admin credit ulla 0 --reference x",
    "admin credit ulla -5 --reference x",
    "admin credit ulla 1,5 --reference x",
    f"admin credit ull{CYRILLIC_A} 5 --reference x",
    f"admin token --role user --name ull{CYRILLIC_A}",
]


@pytest.mark.parametrize("arguments", USAGE)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(market: Network, arguments: str) -> None:
    result = market.run("root" if arguments.startswith("admin") else "ulla", *arguments.split())
    assert (result.exit_code, result.stderr.startswith("Usage:")) == (2, True), result.stderr


CONFIGURATION = [
    ("rates = { cpu_core_per_hour = 0 }", "0 is no price"),
    ("rates = { cpu_core_per_hour = -1 }", "not below 0"),
    ("rates = { cpu_core_per_hour = 0.0000001 }", "six decimals"),
    ("rates = { cpu_core_per_hour = 1e30 }", "at most"),
    ("rates = { cpu_core_per_hour = nan }", "six decimals"),
    ('rates = { cpu_core_per_hour = "1" }', "expected a number"),
    ("location = [90.1, 0]", "latitude"),
    ("location = [0, -181]", "longitude"),
    ("location = [0]", "location"),
    ('queues = [{ name = "q", max_walltime_seconds = 0 }]', "max_walltime_seconds"),
    ('queues = [{ name = "q", max_cores = 1.5 }]', "max_cores"),
    (f'queues = [{{ name = "q", gpu_type = "{CYRILLIC_A}100" }}]', "ASCII"),
]


@pytest.mark.parametrize(("line", "part"), CONFIGURATION)
def test_what_a_site_cannot_offer_is_said_with_its_line(tmp_path: Path, line: str, part: str) -> None:
    path = tmp_path / "hpcbridged.toml"
    path.write_text(f'[cluster]\nname = "c1"\nlogin_address = "l"\n{line}\n[scheduler]\nname = "slurm"\n')
    with pytest.raises(ConfigError, match=part) as told:
        load_agent_config(path)
    assert "hpcbridged.toml:" in str(told.value)


@pytest.mark.parametrize("name", [f"c{CYRILLIC_A}", "C1", "c1\u200b"])
def test_a_cluster_that_looks_like_another(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hpcbridged.toml"
    path.write_text(f'[cluster]\nname = "{name}"\nlogin_address = "l"\n[scheduler]\nname = "slurm"\n')
    with pytest.raises(ConfigError, match="lower-case letters"):
        load_agent_config(path)


def ended(cluster: str, **fields: Any) -> JobChanges:
    values: dict[str, Any] = {"job_id": "77", "incarnation": 1, "state": JobState.DONE, "outcome": Outcome.COMPLETED}
    job = Job(cluster=cluster, native_state="CD", **(values | fields))
    return JobChanges(cluster=cluster, changes=(JobChange(job=job, observed_at=time.time_ns() // 1_000_000),))


def free() -> Registration:
    return Registration(cluster="aurora", login_address="l", rates=Rates(cpu_core_per_hour=0, gpu_core_per_hour=0))


REFUSED: list[tuple[str, Callable[[], Body], str, str]] = [
    ("root", lambda: Credit(member="ulla", amount=0, reference="x"), "MALFORMED", "amount 0"),
    ("root", lambda: Credit(member="ulla", amount=(1 << 64) - 1, reference="x"), "MALFORMED", "amount 18446744073709551615"),
    ("root", lambda: Credit(member="ulla", amount=1, reference=f"bill {CYRILLIC_A}"), "MALFORMED", "ASCII"),
    ("north", free, "MALFORMED", "no price"),
    ("north", lambda: ClusterState(cluster="aurora", observed_at=1), "STALE", "younger sample"),
    ("north", lambda: ended("boreas"), "NOT_PERMITTED", "does not belong to north"),
    ("north", lambda: ended("nowhere"), "NOT_FOUND", "not registered"),
    ("north", lambda: ended("aurora", state=JobState.FAILED, outcome=Outcome.LOST), "ILLEGAL_TRANSITION", "only the contract gives up"),
    ("ulla", lambda: ended("aurora"), "NOT_PERMITTED", "role USER"),
]


@pytest.mark.parametrize(("who", "make", "code", "part"), REFUSED)
def test_what_the_ledger_refuses(market: Network, *, who: str, make: Callable[[], Body], code: str, part: str) -> None:
    balance = asked(market, "root", "balance", "--member", "ulla")
    clusters = [(each["registration"], each["state"]) for each in asked(market, "root", "clusters", "list")["clusters"]]
    with pytest.raises(Refused) as told:
        say(market, who, make())
    assert (told.value.code, part in told.value.reason) == (code, True), told.value.reason
    assert asked(market, "root", "balance", "--member", "ulla") == balance
    assert [(each["registration"], each["state"]) for each in asked(market, "root", "clusters", "list")["clusters"]] == clusters


def test_walltime(market: Network) -> None:
    request = asked(market, "ulla", "offers", "--cores", "1")["request"]["request"]
    offers = asked(market, "ulla", "offers", "--request", request)["offers"]
    shown = {offer["offer"]: offer["queues"][0]["max_walltime_seconds"] for offer in offers}
    endless = next(name for name, limit in shown.items() if limit is None)
    limited = next(name for name, limit in shown.items() if limit is not None)
    for offer, options, part in ((endless, [], "no limit of walltime"), (limited, ["--walltime", "25h"], "1 to 86400")):
        result = market.run("ulla", "rent", offer, "--queue", "q1", *options)
        assert (result.exit_code, "MALFORMED" in result.stderr, part in result.stderr) == (1, True, True), result.stderr
    assert asked(market, "ulla", "rentals", "list")["rentals"] == []


def test_unknown_programs(market: Network) -> None:
    answer = asked(market, "ulla", "offers", "--cores", "1", "--program", "nobody-has-it/9")
    assert answer["offers"] == []
    assert "nobody-has-it 9" in market.ok("ulla", "why", answer["request"]["request"])
    result = market.run("ulla", "rent", "--best", answer["request"]["request"])
    assert (result.exit_code, "NOT_FOUND" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("who", "arguments"),
    [
        ("root", ("admin", "credit", "ulla", "1", "--reference", TEN_MEGABYTES)),
        ("ulla", ("offers", "--request", TEN_MEGABYTES)),
        ("ulla", ("rentals", "cancel", TEN_MEGABYTES)),
        ("ulla", ("why", TEN_MEGABYTES)),
        ("root", ("admin", "suspend", "ulla", "--note", TEN_MEGABYTES)),
    ],
    ids=["credit", "offers", "cancel", "why", "suspend"],
)
def test_ten_megabytes(market: Network, who: str, arguments: tuple[str, ...]) -> None:
    """Said in a line, and the next command of the same installation works: no number was lost to it."""
    result = market.run(who, *arguments)
    assert (result.exit_code, len(result.stderr) < 500) == (1, True), (result.exit_code, result.stderr[:500])
    assert "TOO_LARGE" in result.stderr
    market.ok(who, "ledger", "status")
    keys = KeyDirectory(market.identity(who))
    with LedgerClient(endpoints_of(keys), keys) as client, pytest.raises(Refused, match="more than a transaction may have"):
        submit(keys, client, Credit(member="ulla", amount=1, reference=TEN_MEGABYTES)).check_accepted()
    market.ok("root", "admin", "credit", "ulla", "0.000001", "--reference", f"after {who} {time.time_ns()}")
    say(market, "north", Registration(cluster="aurora", login_address="login.aurora.example", rates=RATES))
