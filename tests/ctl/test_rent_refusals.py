# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a user is told when what was offered is no longer so, and what an admin is told of a contract nobody knows."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from click.shell_completion import BashComplete

from hpcbridge.contract import CONTRACT_VERSION
from hpcbridge.ctl.completion import COMPLETE_VARIABLE
from hpcbridge.ctl.main import cli
from hpcbridge.errors import Refused
from hpcbridge.model.clusters import ClusterState, Queue, SchedulerInfo
from hpcbridge.model.entries import RejectionCode
from hpcbridge.model.market import ContractActivation
from tests.ctl_market import asked, open_cluster, queue, say
from tests.ctl_network import Network

ORDER = ("--cores", "16", "--walltime", "2h")


@pytest.fixture(scope="module")
def market(network: Network) -> Network:
    network.enrol("root", "north", "provider")
    open_cluster(network, "north", "aurora", queue("aurora", "sunrise"))
    network.enrol("root", "ulla", "user")
    network.ok("root", "admin", "credit", "ulla", "500", "--reference", "invoice 1")
    return network


def tell(network: Network, **changes: Any) -> None:
    """A later sample of the only queue."""
    found: Queue = dataclasses.replace(queue("aurora", "sunrise"), **changes)
    scheduler = SchedulerInfo(name="slurm", version="23.11", reachable=True)
    say(network, "north", ClusterState(cluster="aurora", observed_at=time.time_ns() // 1_000_000, queues=(found,), scheduler=scheduler))


@pytest.mark.parametrize(("changes", "code", "advice"), [
    ({"open": False}, "CLOSED", "ask for offers again"),
    ({"max_walltime_seconds": 60}, "OUTDATED", "ask for offers again"),
    ({"max_cores": 8}, "OUTDATED", "ask for offers again"),
    ({"cores_used": 120, "cores_available": 8}, "NO_CAPACITY", "ask for offers again"),
])  # fmt: skip
def test_what_was_offered_is_no_longer_so(market: Network, changes: dict[str, Any], code: str, advice: str) -> None:
    tell(market)
    request = asked(market, "ulla", "offers", *ORDER)["request"]["request"]
    before = asked(market, "ulla", "balance")
    tell(market, **changes)
    for arguments in (("--best", request), (f"{request}-1", "--queue", "q1")):
        result = market.run("ulla", "rent", *arguments)
        assert (result.exit_code, code in result.stderr, advice in result.stderr) == (1, True, True), result.stderr
        assert "aurora" not in result.output
        assert "sunrise" not in result.output
    assert asked(market, "ulla", "balance") == before
    assert not list((market.identity("ulla") / "rental-keys").glob("*.pem"))
    tell(market)
    rental = asked(market, "ulla", "rent", "--best", request)["rental"]  # the same order, where it is so again
    market.ok("ulla", "rentals", "cancel", rental)


def test_a_contract_nobody_knows_is_refused_and_the_admins_epoch_goes_on(market: Network) -> None:
    market.ok("root", "admin", "credit", "ulla", "1", "--reference", "before")
    chain = market.identity("root") / "chain.json"
    before = json.loads(chain.read_text())
    result = market.run("root", "admin", "contract", str(CONTRACT_VERSION + 1), "--yes")
    assert (result.exit_code, f"up to {CONTRACT_VERSION}, not {CONTRACT_VERSION + 1}" in result.stderr) == (1, True), result.stderr
    assert "install a newer program" in result.stderr
    after = json.loads(chain.read_text())
    assert (after["epoch"], after["next_sequence"], after["reason"]) == (before["epoch"], before["next_sequence"], None)
    market.ok("root", "admin", "credit", "ulla", "1", "--reference", "after")
    assert json.loads(chain.read_text())["epoch"] == before["epoch"]


def test_a_program_that_sends_it_all_the_same_is_told_why(market: Network) -> None:
    """What the command line's look at the ledger beforehand prevents: the number is lost, and with it the epoch."""
    with pytest.raises(Refused) as refusal:
        say(market, "root", ContractActivation(version=CONTRACT_VERSION + 1))
    assert refusal.value.code == RejectionCode.UNKNOWN_CONTRACT
    assert "install a newer program" in refusal.value.reason
    assert json.loads((market.identity("root") / "chain.json").read_text())["reason"] == "POISON"
    market.ok("root", "admin", "credit", "ulla", "1", "--reference", "poisoned")


def completions(*words: str) -> set[str]:
    """What a shell is offered behind these words; the last one is begun."""
    complete = BashComplete(cli, {}, "hpcbridgectl", COMPLETE_VARIABLE)
    return {item.value for item in complete.get_completions(list(words[:-1]), words[-1])}


@pytest.mark.parametrize(("words", "found"), [
    (("off",), {"offers"}),
    (("ren",), {"rent", "rentals"}),
    (("pass",), {"passcode"}),
    (("rentals", ""), {"list", "show", "cancel"}),
    (("rent", "--"), {"--queue", "--best", "--cores", "--gpus", "--walltime", "--extra-limit", "--contact", "--output", "--help"}),
    (("passcode", "l1", "--"), {"--new", "--contact", "--file", "--wait", "--output", "--help"}),
    (("offers", "--wall"), {"--walltime"}),
    (("events", "--type", "passcode"), {"passcode_asked"}),
    (("admin", "contr"), {"contract"}),
])  # fmt: skip
def test_a_shell_completes_the_market(words: tuple[str, ...], found: set[str]) -> None:
    assert completions(*words) == found


def test_a_shell_completes_only_what_there_is() -> None:
    assert completions("rentals", "buy") == set()
