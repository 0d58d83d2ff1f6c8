# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that ask the daemon: over a real control socket, with the answers of tests/ctl_daemon.py."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hpcbridge.ctl import jobs as jobs_module
from hpcbridge.ctl.main import cli
from hpcbridge.ctl.output import NOTHING
from hpcbridge.ctl.status import findings
from hpcbridge.model.quantities import format_instant
from hpcbridge.wire.control import ControlServer
from hpcbridge.wire.convert import to_message
from hpcbridge.wire.generated import ledger_pb2
from tests import ctl_daemon

Handlers = dict[str, Callable[[Mapping[str, Any]], Any]]


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def handlers() -> Handlers:
    return ctl_daemon.handlers(now)


@pytest.fixture
def ctl(tmp_path: Path, handlers: Handlers) -> Iterator[Callable[..., Result]]:
    """One call of hpcbridgectl with a daemon at hand and no identity of its own."""
    server = ControlServer(tmp_path / "control.sock", handlers, acting={"flush", "add"})
    server.start()
    config = ctl_daemon.write_config(tmp_path, tmp_path / "control.sock")

    def run(*arguments: str) -> Result:
        environment = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "HPCBRIDGE_IDENTITY": None}
        return CliRunner().invoke(cli, ["--config", str(config), *arguments], env=environment)

    yield run
    server.close()


@pytest.mark.parametrize(
    "arguments", ["jobs list", "jobs show 57714", "nodes list", "queues list", "spool show", "spool quarantine", "status"]
)
def test_json_stands_alone_on_standard_output(ctl: Callable[..., Result], arguments: str) -> None:
    for result in (ctl(*arguments.split(), "-o", "json"), ctl("-o", "json", *arguments.split())):
        assert (result.exit_code, result.stderr) == (0, "")
        assert isinstance(json.loads(result.stdout), dict)


def test_jobs_as_a_table(ctl: Callable[..., Result]) -> None:
    lines = ctl("jobs", "list").stdout.splitlines()
    assert len(lines) == 1 + len(ctl_daemon.JOBS)
    assert lines[0].split()[:4] == ["JOB", "STATE", "OUTCOME", "OWNER"]
    assert [line.split()[0] for line in lines[1:]] == ["57690", "57691", "57692", "57714", "57720_[]"]
    assert "\\x1b[2Jrm -rf" in lines[3]


def test_a_range_of_thousands_does_not_widen_the_table(ctl: Callable[..., Result], handlers: Handlers) -> None:
    waits = {**ctl_daemon.JOBS[1], "job_id": f"72_[{','.join(map(str, range(1000)))}]"}
    handlers["jobs"] = lambda _: {"jobs": [waits], "observed_at": None}
    assert ctl("jobs", "list").stdout.splitlines()[1].startswith("72_[0,1,2,3,4,5,6,7,8,…]  QUEUED")


def test_jobs_are_filtered(ctl: Callable[..., Result]) -> None:
    opened = json.loads(ctl("jobs", "list", "--open", "-o", "json").stdout)["jobs"]
    assert {job["job_id"] for job in opened} == {"57714", "57720_[]"}
    owned = json.loads(ctl("jobs", "list", "--owner", "carol", "-o", "json").stdout)["jobs"]
    assert [job["job_id"] for job in owned] == ["57690"]


def test_jobs_in_json_keep_the_standard_schema(ctl: Callable[..., Result]) -> None:
    listed = json.loads(ctl("jobs", "list", "-o", "json").stdout)["jobs"]
    assert listed == ctl_daemon.JOBS
    assert listed[1]["started_at"] is None


def test_a_job_nobody_knows(ctl: Callable[..., Result]) -> None:
    result = ctl("jobs", "show", "999")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no job 999" in result.stderr
    assert "hpcbridgectl jobs list" in result.stderr


def test_watching_ends_with_the_job(ctl: Callable[..., Result], handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_POLL_SECONDS", 0.01)
    running, ended = ctl_daemon.JOBS[0], {**ctl_daemon.JOBS[3], "job_id": "57714"}
    waits = {**running, "state": "QUEUED", "phase": "QUEUE", "nodes": [], "started_at": None, "reason": "Resources"}
    steps = iter([waits, waits, running, {**running, "wall_seconds": 4000}, ended, ended])
    handlers["job"] = lambda _: {"jobs": [next(steps)]}
    result = ctl("jobs", "watch", "57714")
    assert result.exit_code == 0
    told = [line.split()[3:5] for line in result.stdout.splitlines()]
    assert told == [["QUEUE", "QUEUED,"], ["RUN", "RUNNING,"], ["END", "DONE"]]


def test_watching_a_job_that_leaves_the_scheduler(ctl: Callable[..., Result], handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is taken from the ledger, through the daemon."""
    monkeypatch.setattr(jobs_module, "_POLL_SECONDS", 0.01)
    running = ctl_daemon.JOBS[0]
    steps = iter([[running], [running], [], [], []])
    handlers["job"] = lambda _: {"jobs": next(steps)}
    ended = dataclasses.replace(ctl_daemon.EXAMPLES[3], job_id="57714")
    reply = ledger_pb2.GetJobReply(job=to_message(ended))
    handlers["call"] = lambda _: {"reply": base64.b64encode(reply.SerializeToString()).decode()}
    result = ctl("jobs", "watch", "57714")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "END" in result.stdout.splitlines()[-1]


def test_watching_a_job_nobody_publishes_gives_up_in_the_end(
    ctl: Callable[..., Result], handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_POLL_SECONDS", 0.001)
    steps = itertools.chain([[{**ctl_daemon.JOBS[0], "published": False}]], itertools.repeat([]))
    handlers["job"] = lambda _: {"jobs": next(steps)}
    result = ctl("jobs", "watch", "57714")
    assert (result.exit_code, "has left the scheduler" in result.stderr) == (1, True)


def test_watching_an_array(ctl: Callable[..., Result], handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_POLL_SECONDS", 0.01)
    waits, ended = ctl_daemon.JOBS[1], ctl_daemon.JOBS[3]
    one, two = {**ended, "job_id": "57720_1"}, {**ended, "job_id": "57720_2"}
    runs = {**ctl_daemon.JOBS[0], "job_id": "57720_2"}
    steps = iter([[waits], [waits, one, runs], [one, two]])
    handlers["job"] = lambda _: {"jobs": next(steps)}
    result = ctl("jobs", "watch", "57720")
    assert result.exit_code == 0
    assert [line.split()[2:4] for line in result.stdout.splitlines()] == [
        ["57720_[]", "QUEUE"], ["57720_1", "END"], ["57720_2", "RUN"], ["57720_2", "END"],
    ]  # fmt: skip


def test_what_was_set_aside(ctl: Callable[..., Result]) -> None:
    shown = ctl("spool", "quarantine").stdout
    assert "jobchanges.v1" in shown
    assert "too long" in shown
    assert "ILLEGAL_TRANSITION" in shown


def test_status_in_one_screen(ctl: Callable[..., Result]) -> None:
    result = ctl("status")
    assert result.exit_code == 0
    assert result.stdout.startswith("hpcbridged is all right.")
    assert len(result.stdout.splitlines()) <= 24


def test_status_shows_what_asking_costs_and_why_it_is_asked_less(ctl: Callable[..., Result], handlers: Handlers) -> None:
    facts = ctl_daemon.status(now())
    jobs, nodes, queues = facts["scheduler"]["queries"]
    jobs.update(
        last_duration_ms=4200, cpu_share=0.0123, interval_seconds=15.0, next_interval_seconds=42.0, stretched="slow", breaker="closed"
    )
    nodes.update(last_duration_ms=30_000, cpu_share=0.00002, interval_seconds=30.0, next_interval_seconds=300.0, stretched="failures",
                 breaker="open", last_error="no answer within 30 s")  # fmt: skip
    queues.update(interval_seconds=60.0, next_interval_seconds=60.0, stretched=None, breaker="closed", cpu_share=None)
    facts["scheduler"]["server_cost"] = {"calls_per_minute": 14.0, "busy_share": 0.0004, "period_seconds": 60.0, "share_of_all_calls": 0.1}
    handlers["status"] = lambda _: facts
    lines = ctl("status").stdout.splitlines()
    row = {line.split()[0]: line for line in reversed(lines) if line}
    assert "1.2 % of one core here; 14 calls a minute, <0.1 % of the server's time" in next(line for line in lines if "our polling" in line)
    assert all(part in row["jobs"] for part in ("4200 ms", "1.2 %", "42 s", "asked less often than every 15 s: the scheduler is slow"))
    assert all(part in row["nodes"] for part in ("<0.1 %", "5 min", "breaker open; asked less often than every 30 s: it fails; no answer"))
    assert row["queues"].split()[-3:] == ["4", "0", NOTHING]


def test_a_second_way_to_accounting_that_is_shut_is_no_trouble_while_the_first_answers() -> None:
    at = 1_795_349_592_000
    facts = ctl_daemon.status(at)
    query = facts["scheduler"]["queries"][0]
    facts["scheduler"]["queries"] += [{**query, "name": "ended"}, {**query, "name": "ended_fallback", "last_error": "not readable"}]
    assert list(findings(facts, at)) == []
    facts["scheduler"]["queries"][-2]["last_error"] = "down"
    assert len(list(findings(facts, at))) == 2


def test_accounting_that_nobody_had_to_ask_for_long_is_no_trouble(ctl: Callable[..., Result], handlers: Handlers) -> None:
    facts = ctl_daemon.status(now())
    query = {**facts["scheduler"]["queries"][0], "name": "ended", "interval_seconds": 5.0, "next_interval_seconds": 5.0}
    facts["scheduler"]["queries"].append({**query, "last_report_at": format_instant(now() - 3_600_000)})
    handlers["status"] = lambda _: facts
    shown = ctl("status").stdout
    assert shown.startswith("hpcbridged is all right.")
    assert "if needed" in next(line for line in shown.splitlines() if line.startswith("ended"))


def test_a_missing_connection_is_said_once() -> None:
    at = 1_795_349_592_000
    facts = ctl_daemon.status(at)
    facts["ledger"].update(connected=False, last_error="Connection refused")
    for name in ("gateway", "listener"):
        facts["workers"].append({"name": name, "healthy": False, "last_run_at": None, "failures": 3, "last_error": "Connection refused"})
    assert len(list(findings(facts, at))) == 1


def test_status_says_what_to_do(ctl: Callable[..., Result], handlers: Handlers) -> None:
    facts = ctl_daemon.status(now())
    facts["ledger"] |= {"connected": False, "last_error": "connection refused"}
    facts["spool"]["quarantined"] = 1
    handlers["status"] = lambda _: facts
    shown = ctl("status").stdout
    assert "needs attention" in shown
    assert "no connection to the ledger: connection refused" in shown
    assert "nothing is lost" in shown
    assert "hpcbridgectl spool quarantine" in shown
    told = json.loads(ctl("status", "-o", "json").stdout)
    assert told["all_right"] is False
    assert len(told["findings"]) == 2


def test_each_trouble_is_found() -> None:
    at = 1_795_349_592_000
    old = format_instant(at - 3_600_000)
    changes: list[Callable[[dict[str, Any]], Any]] = [
        lambda facts: facts["ledger"].update(connected=False),
        lambda facts: facts["ledger"].update(certificate_expires_at=old),
        lambda facts: facts["ledger"].update(certificate_expires_at=format_instant(at + 60_000)),
        lambda facts: facts["scheduler"].update(reachable=False),
        lambda facts: facts["scheduler"]["queries"][0].update(last_error="broken"),
        lambda facts: facts["scheduler"]["queries"][0].update(last_report_at=old),
        lambda facts: facts["workers"][0].update(healthy=False),
        lambda facts: facts["spool"].update(quarantined=1),
        lambda facts: facts["spool"].update(bytes=facts["spool"]["quota_bytes"]),
        lambda facts: facts["spool"].update(oldest_waiting_at=old),
        lambda facts: facts["ledger"].update(events_hidden={"count": 1, "first": 5, "last": 5}),
        lambda facts: facts["ledger"].update(registration_refused={"code": "ALREADY_EXISTS", "reason": "taken", "at": old}),
        lambda facts: facts["ledger"].update(registration_refused={"code": "MALFORMED", "reason": "rates", "at": old}),
        lambda facts: facts["spool"].update(disk_free_bytes=1 << 20),
    ]
    assert list(findings(ctl_daemon.status(at), at)) == []
    for change in changes:
        facts = ctl_daemon.status(at)
        change(facts)
        found = list(findings(facts, at))
        assert len(found) == 1
        assert found[0].what
        assert found[0].todo


def test_a_worker_that_waits_for_the_ledger_needs_no_restart() -> None:
    at = 1_795_349_592_000
    facts = ctl_daemon.status(at)
    worker = {**facts["workers"][0], "name": "listener", "healthy": False, "last_error": "ledger at x:1 cannot be reached"}
    (found,) = findings({**facts, "workers": [worker]}, at)
    assert "listener waits for the ledger: ledger at x:1 cannot be reached" in found.what
    assert "restart" not in found.todo
    (found,) = findings({**facts, "workers": [{**worker, "last_error": None}]}, at)
    assert "restart" in found.todo, "it says nothing at all, so it hangs"


ACCOUNT = {"rental": "l7", "username": "bcdfghjk", "standing": "waiting", "report": None, "reason": "the disk is full", "attempts": 3,
           "step": "create", "next_at": format_instant(1_795_349_652_000), "failed_at": None}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what", "todo"),
    [
        ({}, "is not made yet: the disk is full; tried 3 times, next in 1 min", "hpcbridgectl spool flush"),
        ({"step": "close", "standing": "failed"}, "is still open although its rental has ended", "hpcbridgectl spool flush"),
        ({"step": "renew"}, "has no other passcode yet", "hpcbridgectl spool flush"),
        ({"step": "relay"}, "its passcode is not at the ledger yet", "hpcbridgectl spool flush"),
        ({"step": "check"}, "after the spool was lost", "hpcbridgectl spool flush"),
        ({"step": None, "next_at": None, "standing": "failed", "report": "FAILED"}, "could not be made: the disk is full", "next tenant"),
        ({"step": None, "next_at": None, "standing": "failed", "report": "READY"}, "could not be sent to its user", "passcode_deliver"),
        ({"step": None, "next_at": None, "standing": "not followed"}, "is not followed: the disk is full", "tell the ledger's admins"),
    ],
)
def test_an_account_that_waits_or_failed_is_told_with_what_to_do(change: dict[str, Any], what: str, todo: str) -> None:
    at = 1_795_349_592_000
    facts = ctl_daemon.status(at) | {"accounts": {"mode": "helper", "open": 1, "attention": [ACCOUNT | change]}}
    (found,) = findings(facts, at)
    assert "bcdfghjk (rental l7)" in found.what
    assert what in found.what
    assert todo in found.todo


def test_of_many_accounts_some_are_told_and_how_many_more_there_are() -> None:
    at = 1_795_349_592_000
    facts = ctl_daemon.status(at) | {"accounts": {"mode": "helper", "open": 9, "attention": [ACCOUNT] * 9}}
    found = list(findings(facts, at))
    assert len(found) == 6
    assert "4 more accounts" in found[-1].what


def test_without_a_daemon(tmp_path: Path) -> None:
    config = ctl_daemon.write_config(tmp_path, tmp_path / "nobody.sock")
    for arguments in ("status", "jobs list", "nodes list", "queues list", "spool show", "spool flush", "jobs add 7"):
        result = CliRunner().invoke(cli, ["--config", str(config), *arguments.split()], env={"XDG_CONFIG_HOME": str(tmp_path)})
        assert result.exit_code == 69, arguments
        assert "no hpcbridged on this machine" in result.stderr
        assert "systemctl start hpcbridged" in result.stderr
