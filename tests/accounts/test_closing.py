# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What tenants, and crashes, leave behind on a machine: no way in, nothing that runs, and nothing that begins again."""

from __future__ import annotations

import dataclasses
import signal
import sys
from pathlib import Path

import pytest

from hpcbridge.model.accounts import ActionOutcome
from tests.accounts.sites import CLOSE, CREATE, PASSCODE, RENEW, Machine
from tests.private_accounts import PATH, PrivateAccounts

USER = CREATE.username
DONE, LATER, FAILED = ActionOutcome.DONE, ActionOutcome.LATER, ActionOutcome.FAILED
MARK = ",,,,hpcbridge l17"
PAM_SUCCESS = 0
ASK_PAM = """\
import ctypes, sys
class Conversation(ctypes.Structure):
    _fields_ = [("speak", ctypes.c_void_p), ("data", ctypes.c_void_p)]
library, handle = ctypes.CDLL("libpam.so.0"), ctypes.c_void_p()
assert library.pam_start(b"su", sys.argv[1].encode(), ctypes.byref(Conversation()), ctypes.byref(handle)) == 0
print(library.pam_acct_mgmt(handle, 0))
"""


def admitted_without_passcode(world: PrivateAccounts, username: str) -> int:
    """PAM's word on an account whose owner has proved who it is in another way, as sshd asks for it after a public key."""
    return int(world.run([sys.executable, "-c", ASK_PAM, username]))


def comment_of(world: PrivateAccounts, username: str) -> str:
    entry = world.entry(username)
    assert entry is not None
    return entry.pw_gecos


def test_closing_ends_what_runs_and_stops_keys_and_cron_too(world: PrivateAccounts) -> None:
    site = Machine(world)
    site.act(CREATE)
    processes = [world.spawn(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], user=USER) for _ in range(3)]
    other = world.spawn(["sleep", "1000"], user="nobody")
    assert site.act(CLOSE).outcome is DONE
    assert [process.wait(10) for process in processes] == [-signal.SIGKILL] * 3
    assert other.poll() is None
    assert site.expires_on(USER) == "1970-01-02"
    entry = world.entry(USER)
    assert entry is not None
    assert (entry.pw_gecos, entry.pw_shell) == (",,,,hpcbridge l17 closed", "/usr/sbin/nologin")
    assert world.run(["test", "-d", entry.pw_dir]) == ""


def test_a_home_is_removed_where_the_site_says_so(world: PrivateAccounts) -> None:
    site = Machine(world, ACCOUNTS_AFTER="remove")
    site.act(CREATE)
    for _ in range(2):
        assert site.act(CLOSE).outcome is DONE
        assert world.run(["ls", "/home"]) == ""
    assert world.entry(USER) is not None


def test_jobs_that_cannot_be_cancelled_keep_an_account_closing(world: PrivateAccounts, tmp_path: Path) -> None:
    cancel = tmp_path / "cancel_jobs"
    cancel.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n[ -e {tmp_path}/up ] || {{ echo controller down >&2; exit 1; }}\n')
    cancel.chmod(0o755)
    site = Machine(world, ACCOUNTS_CANCEL=str(cancel))
    site.act(CREATE)
    process = world.spawn(["sleep", "1000"], user=USER)
    result = site.act(CLOSE)
    assert (result.outcome, result.reason) == (LATER, f"the jobs of {USER} are not cancelled yet: controller down")
    assert process.wait(10) == -signal.SIGKILL
    assert not site.lets_in(USER, PASSCODE)
    (tmp_path / "up").touch()
    assert site.act(CLOSE).outcome is DONE
    assert (tmp_path / "asked").read_text() == f"{USER}\n{USER}\n"


def test_who_has_a_public_key_is_let_in_no_more(world: PrivateAccounts) -> None:
    site = Machine(world)
    site.act(CREATE)
    assert admitted_without_passcode(world, USER) == PAM_SUCCESS
    assert site.act(CLOSE).outcome is DONE
    assert admitted_without_passcode(world, USER) != PAM_SUCCESS
    world.run(["usermod", "--expiredate", "", USER])
    assert admitted_without_passcode(world, USER) == PAM_SUCCESS, "control: a locked passcode alone stops no key"


def test_a_tenant_that_changes_its_own_name_keeps_no_account_open(world: PrivateAccounts) -> None:
    """Where a site lets users change their whole name (chfn), the mark of the account must not be in it."""
    site = Machine(world)
    world.run(["sed", "-i", "s/^CHFN_RESTRICT.*/CHFN_RESTRICT frwh/", "/etc/login.defs"])
    site.act(CREATE)
    for name in ("Somebody Else", "hpcbridge l17 closed", "hpcbridge l4"):
        world.run(["chfn", "--full-name", name, USER], user=USER, stdin=f"{PASSCODE}\n".encode())
        assert comment_of(world, USER).startswith(f"{name},")
        assert site.act(RENEW).outcome is DONE
    assert site.act(CLOSE).outcome is DONE
    assert not site.lets_in(USER, PASSCODE)
    assert comment_of(world, USER) == f"{MARK} closed"


def test_an_account_that_was_opened_again_by_hand_is_closed_again(world: PrivateAccounts) -> None:
    site = Machine(world)
    site.act(CREATE)
    site.act(CLOSE)
    world.run(["usermod", "--expiredate", "", "--shell", "/bin/sh", USER])
    world.run(["chpasswd"], stdin=f"{USER}:{PASSCODE}\n".encode())
    assert site.lets_in(USER, PASSCODE)
    assert site.act(CLOSE).outcome is DONE
    assert not site.lets_in(USER, PASSCODE)


def test_what_would_begin_again_without_a_login_is_taken_away(world: PrivateAccounts, tmp_path: Path) -> None:
    """Jobs of cron and at, and the mark with which systemd runs a manager for somebody who is not logged in."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, prints in (("crontab", ""), ("atq", f"7\\tMon a {USER}\\n8\\tMon a root\\n9\\tMon = {USER}\\n"), ("atrm", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/asked\nprintf "{prints}"\n')
        program.chmod(0o755)
    site = Machine(world, PATH=f"{programs}:{PATH}")
    site.act(CREATE)
    world.run(["sh", "-c", f"mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/{USER} /var/lib/systemd/linger/other"])
    assert site.act(CLOSE).outcome is DONE
    assert (tmp_path / "asked").read_text().splitlines() == [f"crontab -r -u {USER}", "atq ", "atrm 7", "atrm 9"]
    assert world.run(["ls", "/var/lib/systemd/linger"]) == "other\n"


def test_a_process_that_submits_jobs_until_it_is_ended_leaves_none(world: PrivateAccounts, tmp_path: Path) -> None:
    """Jobs are cancelled after the processes that submit them were ended, not before."""
    queue = tmp_path / "queue"
    queue.mkdir(mode=0o777)
    queue.chmod(0o777)
    cancel = tmp_path / "cancel_jobs"
    cancel.write_text(f"#!/bin/sh\nrm -f {queue}/*\nsleep 0.3\n")
    cancel.chmod(0o755)
    site = Machine(world, ACCOUNTS_CANCEL=str(cancel))
    site.act(CREATE)
    tmp_path.chmod(0o755)
    submits = world.spawn(["sh", "-c", f"while :; do echo job >{queue}/$$; sleep 0.05; done"], user=USER)
    assert site.act(CLOSE).outcome is DONE
    assert submits.wait(10) == -signal.SIGKILL
    assert list(queue.iterdir()) == []


def test_a_job_that_starts_processes_here_is_ended_before_it_is_called_done(world: PrivateAccounts, tmp_path: Path) -> None:
    """The first time its jobs are cancelled, one of them has just begun here."""
    cancel = tmp_path / "cancel_jobs"
    uid = world.uids[0]
    cancel.write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/once ] && exit 0\ntouch {tmp_path}/once\n"
        f"setpriv --reuid={uid} --clear-groups sleep 1000 >/dev/null 2>&1 </dev/null &\necho $! >{tmp_path}/pid\nsleep 0.3\n"
    )
    cancel.chmod(0o755)
    site = Machine(world, ACCOUNTS_CANCEL=str(cancel))
    site.act(CREATE)
    assert site.act(CLOSE).outcome is DONE
    assert world.run(["ps", "-U", str(uid), "-o", "stat="], check=False).replace("Z", "").split() == []
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/exe").exists()


def test_without_ps_nothing_is_called_ended(world: PrivateAccounts, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("cat", "sed", "awk", "getent", "cut", "usermod"):
        (programs / name).symlink_to(world.run(["sh", "-c", f"command -v {name}"]).strip())
    Machine(world).act(CREATE)
    result = Machine(world, PATH=str(programs)).act(CLOSE)
    assert (result.outcome, "ps or pkill" in result.reason) == (FAILED, True)


@pytest.mark.parametrize("before", ["true", f"cp -R /etc/skel/. /home/{USER}"], ids=["empty", "with files of root"])
def test_a_home_that_was_cut_off_half_made_is_its_tenants_in_the_end(world: PrivateAccounts, before: str) -> None:
    """useradd was killed after the account and before the home was given to it."""
    site = Machine(world)
    world.run(["useradd", "--comment", MARK, "--uid", str(world.uids[0]), "--no-create-home", USER])
    world.run(["sh", "-c", f"mkdir /home/{USER} && {before}"])
    assert site.act(CREATE).outcome is DONE
    assert world.run(["stat", "-c", "%a %U %G", f"/home/{USER}"]) == f"700 {USER} {USER}\n"
    assert world.run(["find", f"/home/{USER}", "!", "-user", USER]) == ""
    assert world.run(["sh", "-c", "echo mine >$HOME/mine && cat $HOME/mine"], user=USER) == "mine\n"


def test_a_home_of_somebody_else_is_not_taken_over(world: PrivateAccounts) -> None:
    world.run(["sh", "-c", f"mkdir /home/{USER} && chown nobody /home/{USER}"])
    result = Machine(world).act(CREATE)
    assert (result.outcome, result.reason) == (FAILED, f"the home /home/{USER} is there and belongs to somebody else")
    assert world.run(["stat", "-c", "%U", f"/home/{USER}"]) == "nobody\n"


def test_links_in_a_home_lead_out_of_it_for_nobody(world: PrivateAccounts) -> None:
    """Removed is the link, never what it points to."""
    site = Machine(world, ACCOUNTS_AFTER="remove")
    site.act(CREATE)
    world.run(["sh", "-c", "mkdir -p /home/other/deep && touch /home/other/deep/kept && chmod -R a+rwX /home/other"])
    world.run(["ln", "-s", "/home/other", f"/home/{USER}/other"], user=USER)
    world.run(["ln", "-s", "/etc", f"/home/{USER}/etc"], user=USER)
    assert site.act(dataclasses.replace(CREATE, passcode=PASSCODE)).outcome is DONE
    assert site.act(CLOSE).outcome is DONE
    assert world.run(["find", "/home", "-type", "f"]) == "/home/other/deep/kept\n"
    assert world.read("/etc/passwd")
