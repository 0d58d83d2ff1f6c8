# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""passcode_deliver: the mail it makes, with what the machine has, and when it makes none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hpcbridge.model.accounts import AccountAction, ActionOutcome, ActionResult
from hpcbridge.schedulers.acting import ScriptActor
from tests.accounts.sites import CREATE, SCRIPTS

MESSAGE = 'Sealed "box" \\n with a \\ and\n.\n  "contact": "x@y",\nOpen it with hpcbridgectl passcode l17 --file F'
DELIVER = dataclasses.replace(CREATE, action=AccountAction.DELIVER, passcode=None, contact="first.last+hpc@uni-x.example", message=MESSAGE)


def _deliver(tmp_path: Path, program: str, text: str, **environment: str) -> ActionResult:
    """With a PATH on which only `program` sends mail: a real script of this text."""
    path = tmp_path / "bin" / program
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    for name in ("sh", "cat", "sed", "awk"):
        (path.parent / name).symlink_to(f"/usr/bin/{name}")
    return ScriptActor(SCRIPTS / "accounts" / "unix", environment={"PATH": str(path.parent), **environment}, timeout_seconds=20).act(
        DELIVER
    )


def test_the_mail_has_the_message_as_it_is_and_the_address_in_its_header_only(tmp_path: Path) -> None:
    result = _deliver(tmp_path, "sendmail", f'echo "$*" >{tmp_path}/argv; cat >{tmp_path}/mail', ACCOUNTS_MAIL_FROM="hpc@site.example")
    assert (result.outcome, result.facts) == (ActionOutcome.DONE, {"sent_with": "sendmail"})
    assert (tmp_path / "argv").read_text() == "-t -i\n"
    header, _, body = (tmp_path / "mail").read_text().partition("\n\n")
    assert header.splitlines()[:3] == [
        "From: hpc@site.example", "To: first.last+hpc@uni-x.example", "Subject: Passcode of kdhz4w7c2mxq on c1 (sealed)",
    ]  # fmt: skip
    assert body == f"{MESSAGE}\n"


def test_a_mail_system_that_fails_is_tried_again(tmp_path: Path) -> None:
    result = _deliver(tmp_path, "sendmail", "cat >/dev/null; echo disk full >&2; exit 1")
    assert result == ActionResult(outcome=ActionOutcome.LATER, reason="sendmail: disk full")


def test_without_sendmail_it_is_mail(tmp_path: Path) -> None:
    result = _deliver(tmp_path, "mail", f'printf "%s|" "$@" >{tmp_path}/argv; cat >{tmp_path}/mail')
    assert (result.outcome, result.facts) == (ActionOutcome.DONE, {"sent_with": "mail"})
    assert (tmp_path / "argv").read_text() == "-s|Passcode of kdhz4w7c2mxq on c1 (sealed)|first.last+hpc@uni-x.example|"
    assert (tmp_path / "mail").read_text() == f"{MESSAGE}\n"


def test_a_machine_that_sends_no_mail_says_so(tmp_path: Path) -> None:
    result = _deliver(tmp_path, "nothing", "")
    assert result.outcome is ActionOutcome.FAILED
    assert result.reason == "this machine sends no mail: there is neither sendmail nor mail"
