# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`rentals show` of a rental with many jobs: every kind of line, for both sides, on a narrow terminal and a wide one."""

from __future__ import annotations

import re
import time

import pytest

from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.market import AccountReport, AccountState
from hpcbridge.model.transactions import JobChange, JobChanges
from tests.ctl_market import asked, open_market, say
from tests.ctl_network import Network

JOBS = 30
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def rental(network: Network) -> str:
    """Of ulla: 30 jobs that ended in all ways, some corrected, then it was used up."""
    open_market(network)
    network.ok("root", "admin", "credit", "ulla", "5000", "--reference", "invoice 1")
    request = str(asked(network, "ulla", "offers", "--cores", "16", "--walltime", "2h")["request"]["request"])
    rented = asked(network, "ulla", "rent", "--best", request, "--cores", "8", "--extra-limit", "1.5")
    name, username = str(rented["rental"]), str(rented["username"])
    say(network, "north", AccountReport(rental=name, state=AccountState.READY))
    time.sleep(2.1)  # what is charged is no longer than the rental is old
    at = time.time_ns() // 1_000_000
    outcomes = [outcome for outcome in Outcome if outcome is not Outcome.LOST]
    for place in range(JOBS):
        outcome = outcomes[place % len(outcomes)]
        state = JobState.DONE if outcome is Outcome.COMPLETED else JobState.FAILED
        known: dict[str, int] = {"started_at": at - 2_000, "ended_at": at} if place % 3 else {"started_at": at - 2_000}
        values = {"native_state": "X", "owner": username, "cores": (1 << 30) if place == 4 else 8, "gpus": 0, "outcome": outcome}
        if place == 7:
            known, state, values["outcome"] = {}, JobState.FAILED, Outcome.CANCELLED  # while it waited
        job_id = f"{57_714_000 + place}_{place}"
        ended = Job(cluster="aurora", job_id=job_id, incarnation=1, state=state, **(values | known))  # type: ignore[arg-type]
        say(network, "north", JobChanges(cluster="aurora", changes=(JobChange(job=ended, observed_at=at),)))
        if place % 3 == 0 and place < 12:
            more = Job(cluster="aurora", job_id=job_id, incarnation=1, state=state, ended_at=at, **(values | known))  # type: ignore[arg-type]
            say(network, "north", JobChanges(cluster="aurora", changes=(JobChange(job=more, observed_at=at + 1),)))
    return name


def shown(network: Network, who: str, name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    return COLOUR.sub("", network.ok(who, "rentals", "show", name)).splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_each_line_fits_and_says_what_was_paid_for_which_job(
    network: Network, rental: str, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = shown(network, "ulla", rental, width, monkeypatch)
    table = lines[next(place for place, line in enumerate(lines) if line.startswith("ENTRY")) :]
    assert max(map(len, table)) <= width, "\n".join(table)
    statement = asked(network, "ulla", "rentals", "show", rental)["statement"]
    assert len(table) == 1 + len(statement) > JOBS
    for line, told in zip(table[1:], statement, strict=True):
        words = line.split()
        assert words[0] == str(told["index"])
        assert told["kind"] in words
        if told["usage"] is not None:
            assert told["usage"]["outcome"] in line
            assert told["usage"]["job_id"].startswith(next(word for word in words if word.startswith("577")).rstrip("…"))
    assert {told["kind"] for told in statement} == {"DEPOSIT", "USAGE", "CORRECTION"}
    assert {told["usage"]["bearer"] for told in statement if told["usage"]} == {"USER", "SITE", "NOBODY"}
    if width == 200:
        assert ("CORE SECONDS" in table[0], "AT (UTC)" in table[0]) == (True, True)


def test_both_sides_see_the_same_statement_and_the_sums_are_right(network: Network, rental: str) -> None:
    mine, theirs = (asked(network, who, "rentals", "show", rental) for who in ("ulla", "north"))
    assert mine["statement"] == theirs["statement"]
    found = mine["rental"]
    moved = sum(line["amount"] for line in mine["statement"] if line["kind"] in ("USAGE", "CORRECTION"))
    assert moved == found["charged"] == asked(network, "north", "balance")["balance"]
    assert found["held"] == max(0, found["deposit"] - found["charged"])
    assert found["not_covered"] > 0, "one job was as large as none can be"
    assert "ulla" not in network.ok("north", "rentals", "show", rental)
