# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What every family of acting scripts does: one suite for accounts of a machine (with real logins) and accounts that are files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hpcbridge.model.accounts import ActionOutcome
from hpcbridge.model.quantities import parse_instant
from hpcbridge.schedulers.acting import order_for_script
from tests.accounts.sites import CLOSE, CREATE, OTHER, PASSCODE, RENEW, SCRIPTS, Files, Machine, Site, run_by_hand
from tests.private_accounts import PrivateAccounts

USER = CREATE.username
DONE, LATER, FAILED = ActionOutcome.DONE, ActionOutcome.LATER, ActionOutcome.FAILED


@pytest.fixture(params=["unix", "files"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Machine(request.getfixturevalue("world")) if request.param == "unix" else Files(tmp_path / "accounts")


def test_an_account_lets_in_who_knows_its_passcode(site: Site) -> None:
    assert not site.lets_in(USER, PASSCODE)
    result = site.act(CREATE)
    assert (result.outcome, result.reason, result.facts["expires_on"]) == (DONE, "", "2099-12-02")
    assert site.lets_in(USER, PASSCODE)
    assert not site.lets_in(USER, OTHER)
    assert not site.lets_in(USER, "")
    assert site.expires_on(USER) == "2099-12-02"


def test_the_same_order_again_changes_nothing(site: Site) -> None:
    for order in (CREATE, RENEW, CLOSE):
        assert site.act(order).outcome is DONE
        once = site.state()
        assert site.act(order).outcome is DONE
        assert site.state() == once


def test_created_again_with_another_passcode_only_that_one_lets_in(site: Site) -> None:
    site.act(CREATE)
    assert site.act(dataclasses.replace(CREATE, passcode=OTHER)).outcome is DONE
    assert (site.lets_in(USER, OTHER), site.lets_in(USER, PASSCODE)) == (True, False)


def test_renewed_with_a_passcode_and_with_a_day(site: Site) -> None:
    site.act(CREATE)
    assert site.act(dataclasses.replace(RENEW, passcode=OTHER)).outcome is DONE
    assert (site.lets_in(USER, OTHER), site.lets_in(USER, PASSCODE)) == (True, False)
    later = dataclasses.replace(RENEW, passcode=None, expires_at=parse_instant("2100-01-01T00:00:00Z"))
    assert site.act(later).outcome is DONE
    assert site.lets_in(USER, OTHER)
    assert site.expires_on(USER) == "2100-01-01"


def test_a_closed_account_lets_nobody_in_and_is_not_opened_again(site: Site) -> None:
    site.act(CREATE)
    assert site.act(CLOSE).outcome is DONE
    assert not site.lets_in(USER, PASSCODE)
    for order in (CREATE, RENEW):
        result = site.act(order)
        assert (result.outcome, result.reason) == (FAILED, f"the account {USER} of l17 was closed; it is not opened again")
        assert not site.lets_in(USER, PASSCODE)


def test_what_never_was_is_closed_and_cannot_be_renewed(site: Site) -> None:
    before = site.state()
    assert site.act(CLOSE).outcome is DONE
    result = site.act(RENEW)
    assert (result.outcome, result.reason) == (FAILED, f"there is no account {USER}")
    assert {**site.state(), ".lock": ""} == {**before, ".lock": ""}


def test_an_account_of_somebody_else_is_left_as_it_is(site: Site) -> None:
    site.add_foreign(USER)
    before = site.state()
    for order in (CREATE, RENEW, CLOSE):
        result = site.act(order)
        assert result.outcome is FAILED
        assert result.reason == f"the account {USER} is there and was not made for l17; it is left as it is"
    assert {**site.state(), ".lock": ""} == {**before, ".lock": ""}
    assert site.lets_in(USER, OTHER)


def test_an_account_of_another_rental_is_somebody_elses(site: Site) -> None:
    site.act(CREATE)
    for order in (CREATE, RENEW, CLOSE):
        assert site.act(dataclasses.replace(order, rental="l1")).outcome is FAILED
    assert site.lets_in(USER, PASSCODE)


def test_while_others_hold_the_files_it_is_for_later(site: Site) -> None:
    with site.locked():
        result = site.act(CREATE)
        assert result.outcome is LATER
        assert "cannot lock" in result.reason
    assert site.act(CREATE).outcome is DONE
    assert site.lets_in(USER, PASSCODE)


@pytest.mark.parametrize("family", ["unix", "files"])
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("username", "root"), ("username", "-rf"), ("username", "../../etc/x"), ("username", "kdhz4w7c 2mxq"), ("username", ""),
        ("username", None), ("rental", "l"), ("rental", "17"), ("rental", "l17 closed"), ("rental", "l17l"), ("rental", None),
    ],
)  # fmt: skip
def test_a_script_run_by_hand_looks_for_itself(tmp_path: Path, family: str, member: str, value: str | None) -> None:
    order = {**json.loads(order_for_script(CREATE)), member: value}
    script = SCRIPTS / "accounts" / family / "account_create"
    done = run_by_hand(script, json.dumps(order, indent=2), {"ACCOUNTS_DIRECTORY": str(tmp_path), "ACCOUNTS_UIDS": "1-1"})
    assert done.returncode == 1
    assert b"this is not" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{}", "hello", json.dumps(json.loads(order_for_script(CREATE)))])
def test_what_is_no_order_is_refused(tmp_path: Path, text: str) -> None:
    assert run_by_hand(Files.scripts / "account_create", text, {"ACCOUNTS_DIRECTORY": str(tmp_path)}).returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_home_group_and_shell_of_an_account(world: PrivateAccounts) -> None:
    site = Machine(world, ACCOUNTS_HOMES="/home/tenants", ACCOUNTS_GROUPS="users", ACCOUNTS_SHELL="/bin/sh")
    world.run(["mkdir", "/home/tenants"])
    assert site.act(CREATE).facts["home"] == f"/home/tenants/{USER}"
    entry = world.entry(USER)
    assert entry is not None
    assert entry.pw_uid in world.uids
    assert entry.pw_gid in world.uids
    assert (entry.pw_gecos, entry.pw_dir, entry.pw_shell) == (",,,,hpcbridge l17", f"/home/tenants/{USER}", "/bin/sh")
    assert world.run(["stat", "-c", "%a %U %G", entry.pw_dir]) == f"700 {USER} {USER}\n"
    assert "users" in world.run(["id", "-Gn", USER]).split()
    world.run(["rm", "-rf", entry.pw_dir])
    assert site.act(CREATE).outcome is DONE
    assert world.run(["stat", "-c", "%a %U %G", entry.pw_dir]) == f"700 {USER} {USER}\n"


def test_a_marked_account_with_a_number_that_is_not_ours_is_left(world: PrivateAccounts) -> None:
    world.run(["useradd", "--uid", str(world.uids[-1] + 1), "--comment", ",,,,hpcbridge l17", USER])
    assert Machine(world).act(CLOSE).outcome is FAILED


@pytest.mark.parametrize(("name", "value"), [("ACCOUNTS_UIDS", "5"), ("ACCOUNTS_UIDS", "a-b"), ("ACCOUNTS_AFTER", "burn")])
def test_settings_that_make_no_sense_are_said(world: PrivateAccounts, name: str, value: str) -> None:
    result = Machine(world, **{name: value}).act(CREATE)
    assert result.outcome is FAILED
    assert name in result.reason
