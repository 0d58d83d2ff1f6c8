# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Orders carried out by scripts: what they get, what their answers mean, and that the passcode is nowhere else."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.model.accounts import AccountAction, AccountOrder, ActionOutcome, ActionResult
from hpcbridge.model.quantities import check_contact, parse_instant
from hpcbridge.schedulers import acting
from hpcbridge.schedulers.acting import ScriptActor, check_order, order_for_script
from hpcbridge.schedulers.scripts import ScriptRunner

PASSCODE = "k7mq-x2dw-9hzt-4vnb"
CREATE = AccountOrder(
    action=AccountAction.CREATE, rental="l17", username="kdhz4w7c2mxq", cluster="c1", queue="batch",
    cores=16, gpus=1, expires_at=parse_instant("2026-12-01T12:00:00Z"), passcode=PASSCODE,
)  # fmt: skip
MESSAGE = "Sealed.\nOpen it with: hpcbridgectl passcode l17 --file F\n"
DELIVER = dataclasses.replace(CREATE, action=AccountAction.DELIVER, passcode=None, contact="a.b+c@uni.example", message=MESSAGE)

Act = Callable[..., ActionResult]


@pytest.fixture
def act(tmp_path: Path) -> Act:
    """Runs an order with a script of this text."""

    def run(text: str, *, order: AccountOrder = CREATE, timeout: float = 20.0, stopping: threading.Event | None = None) -> ActionResult:
        script = tmp_path / "scripts" / order.action.value
        script.parent.mkdir(exist_ok=True)
        script.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        return ScriptActor(script.parent, environment={"SITE": "here"}, timeout_seconds=timeout, stopping=stopping).act(order)

    return run


def test_a_script_gets_the_order_on_standard_input_one_member_a_line(act: Act, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    assert act(f"cat > {seen}").outcome is ActionOutcome.DONE
    assert json.loads(seen.read_text()) == {
        "action": "account_create", "rental": "l17", "username": "kdhz4w7c2mxq", "cluster": "c1", "queue": "batch",
        "cores": 16, "gpus": 1, "expires_at": "2026-12-01T12:00:00Z", "expires_on": "2026-12-02",
        "passcode": PASSCODE, "contact": None, "message": None,
    }  # fmt: skip
    assert len(seen.read_text().splitlines()) == 14


@pytest.mark.parametrize(("at", "on"), [("2026-12-01T00:00:00Z", "2026-12-01"), ("2026-12-01T00:00:00.001Z", "2026-12-02")])
def test_the_day_of_expiry_is_rounded_up(at: str, on: str) -> None:
    assert json.loads(order_for_script(dataclasses.replace(CREATE, expires_at=parse_instant(at))))["expires_on"] == on


def test_a_message_stays_on_its_line(act: Act, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    order = dataclasses.replace(DELIVER, message=f'{MESSAGE}  "username": "root",\n\\n"')
    act(f"cat > {seen}", order=order)
    assert json.loads(seen.read_text())["message"] == order.message
    assert len(seen.read_text().splitlines()) == 14


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("exit 0", ActionOutcome.DONE, ""),
        ("echo kept >&2", ActionOutcome.DONE, "kept"),
        ("echo locked >&2; exit 75", ActionOutcome.LATER, "locked"),
        ("exit 75", ActionOutcome.LATER, "the script asks to be run again later and says no more"),
        ("echo one >&2; echo ' two' >&2; exit 1", ActionOutcome.FAILED, "one; two"),
        ("exit 3", ActionOutcome.FAILED, "the script ended with exit status 3 and says no more"),
        ("printf 'a\\033[2Jb\\377' >&2; exit 1", ActionOutcome.FAILED, r"a\x1b[2Jb\xff"),
        ("kill -9 $$", ActionOutcome.LATER, "the script was ended by signal 9"),
    ],
)
def test_what_an_exit_status_means(act: Act, script: str, outcome: ActionOutcome, reason: str) -> None:
    assert act(script) == ActionResult(outcome=outcome, reason=reason)


def test_a_long_complaint_loses_its_middle(act: Act) -> None:
    result = act("i=0; while [ $i -lt 500 ]; do echo line $i >&2; i=$((i+1)); done; exit 1")
    assert len(result.reason) == acting.MAX_REASON
    assert result.reason.startswith("line 0; line 1; ")
    assert result.reason.endswith("line 498; line 499")


def test_facts_are_strings_with_bounds(act: Act) -> None:
    assert act("""echo '{"home": "/home/x", "uid": "5"}'""").facts == {"home": "/home/x", "uid": "5"}
    odd = act("""printf '%s' '{"home": "/h\\u001b[0m", "n": 5, "Bad Name": "x", "list": ["x"]}'""")
    assert (odd.outcome, odd.facts) == (ActionOutcome.DONE, {"home": r"/h\x1b[0m"})
    assert "left out" in odd.reason
    long = act("#!/usr/bin/python3\nimport json\nprint(json.dumps({'home': 'x' * 5000}))")
    assert len(long.facts["home"]) == acting.MAX_FACT


@pytest.mark.parametrize("printed", ["hello", "[1]", '"x"', '{"a": "b"', "[" * 30000, '{"a": "\\ud800"}'])
def test_an_answer_that_is_no_object_does_not_undo_what_is_done(act: Act, tmp_path: Path, printed: str) -> None:
    (tmp_path / "answer").write_text(printed)
    result = act(f"cat {tmp_path}/answer")
    assert result.outcome is ActionOutcome.DONE
    result.reason.encode()
    str(result.facts).encode()


def test_too_much_output_is_for_later(act: Act) -> None:
    result = act("cat /dev/zero")
    assert result.outcome is ActionOutcome.LATER
    assert "printed more than" in result.reason


@pytest.mark.parametrize("script", ["exit 0", "exec 0<&-; exit 0", "head -c 3 >/dev/null", "exec <&- >&- 2>&-; sleep 0.1"])
def test_an_order_may_be_left_unread(act: Act, script: str) -> None:
    order = dataclasses.replace(DELIVER, message="x" * acting.MAX_MESSAGE)
    for _ in range(5):
        assert act(script, order=order).outcome is ActionOutcome.DONE


def test_more_than_a_pipe_holds_is_written_while_the_script_prints(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    script = tmp_path / "s" / "jobs"
    script.write_text("#!/bin/sh\nexec cat\n")
    script.chmod(0o755)
    runner = ScriptRunner(tmp_path, scheduler="s", environment={}, timeout_seconds=20, max_bytes=1 << 23)
    data = bytes(range(256)) * (1 << 14)
    assert runner.run("jobs", stdin=data).stdout == data
    script.write_text("#!/bin/sh\nexec head -c 100000\n")
    assert runner.run("jobs", stdin=data).stdout == data[:100000]
    assert runner.run("jobs").stdout == b""


def test_a_script_that_hangs_is_for_later_and_stopping_does_not_wait(act: Act) -> None:
    started = time.monotonic()
    result = act("trap '' TERM; while :; do sleep 1; done", timeout=0.3)
    assert result.outcome is ActionOutcome.LATER
    assert "no answer within 0.3 s" in result.reason
    stopping = threading.Event()
    stopping.set()
    assert act("sleep 60", stopping=stopping).outcome is ActionOutcome.LATER
    assert time.monotonic() - started < 15


def test_no_script_and_none_that_can_be_run(act: Act, tmp_path: Path) -> None:
    actor = ScriptActor(tmp_path / "none", environment={})
    assert actor.act(CREATE) == ActionResult(
        outcome=ActionOutcome.FAILED, reason=f"{tmp_path}/none/account_create: this site has no such script"
    )
    act("exit 0")
    (tmp_path / "scripts" / "account_create").chmod(0o644)
    result = ScriptActor(tmp_path / "scripts", environment={}).act(CREATE)
    assert result.outcome is ActionOutcome.FAILED
    assert "is not executable" in result.reason


def test_a_check_is_asked_first(act: Act, tmp_path: Path) -> None:
    act("exit 0")
    result = ScriptActor(tmp_path / "scripts", environment={}, check=lambda script: f"{script.name}: no").act(CREATE)
    assert result == ActionResult(outcome=ActionOutcome.FAILED, reason="account_create: no")


@pytest.mark.parametrize(
    "changes",
    [
        {"username": "root"}, {"username": "-rfkdhz4w7c"}, {"username": "kdhz4w7c\nroot"}, {"username": "kdhz4w7c2mxq\n"},
        {"username": "../../etc/pw"}, {"username": "Kdhz4w7c2mxq"}, {"username": "kdhz4w7c2mxqkdhz"},
        {"username": "kdhz$(id)"}, {"username": ""},
        {"rental": "17"}, {"rental": "l"}, {"rental": "l17 closed"}, {"rental": "l" + "1" * 30}, {"rental": "l١"},
        {"cluster": "-c"}, {"cluster": "a b"}, {"queue": "--all"}, {"queue": "a b"}, {"queue": ""}, {"queue": 'a"b'},
        {"cores": -1}, {"gpus": 1 << 50}, {"expires_at": -1}, {"expires_at": 1 << 60},
        {"passcode": None}, {"passcode": "short"}, {"passcode": "k7mq x2dw 9hzt"}, {"passcode": "-" * 16}, {"passcode": "k7mq:x2dw\n9hzt"},
        {"contact": "-oQ/tmp@x"}, {"contact": "a@b\nBcc: c@d"}, {"contact": "a b@c"}, {"contact": "@x"}, {"contact": "a@-b"},
        {"contact": "a%b@c"},
        {"message": "\x1b[2J"}, {"message": "x" * 20000}, {"message": "\r.\r"},
    ],
)  # fmt: skip
def test_a_hostile_order_reaches_no_script(act: Act, tmp_path: Path, changes: dict[str, Any]) -> None:
    result = act(f"touch {tmp_path}/ran", order=dataclasses.replace(CREATE, **changes))
    assert result.outcome is ActionOutcome.FAILED
    assert result.reason.isprintable()
    assert result.reason
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "order",
    [
        dataclasses.replace(CREATE, action=AccountAction.CLOSE),
        dataclasses.replace(DELIVER, passcode=PASSCODE),
        dataclasses.replace(DELIVER, contact=""),
        dataclasses.replace(DELIVER, message=""),
    ],
)
def test_each_script_is_told_what_it_needs(order: AccountOrder) -> None:
    assert order.action.value in check_order(order)
    assert PASSCODE not in check_order(order)


LEAKS = """#!/bin/sh
order=$(cat)
passcode=$(printf '%s\\n' "$order" | sed -n 's/^ *"passcode": "\\([^"]*\\)",$/\\1/p')
printf '{"said": "it is %s"}' "$passcode"
echo "it is $passcode" >&2
tr '\\0' '\\n' < /proc/$$/environ > "$SEEN"
tr '\\0' '\\n' < /proc/$$/cmdline >> "$SEEN"
"""


def test_what_reaches_a_person_never_quotes_the_address(act: Act) -> None:
    """It is personal; a reason stands in the spool, in `hpcbridgectl status` and in the log."""
    for contact in ("ada lovelace@x", "ada@lovelace@x"):
        assert "lovelace" not in check_order(dataclasses.replace(DELIVER, contact=contact))
    result = act("echo 'no such mailbox: a.b+c@uni.example' >&2; exit 1", order=DELIVER)
    assert result.reason == "no such mailbox: [address]"


@pytest.mark.parametrize("contact", ["_ada@x", "ada@example.org", "a.b+c-d_e@" + "x." * 110 + "org"])
def test_an_address_that_was_sealed_is_one_that_a_script_is_given(contact: str) -> None:
    assert check_contact(contact) == contact
    assert check_order(dataclasses.replace(DELIVER, contact=contact)) == ""


def test_the_passcode_is_on_standard_input_only(act: Act, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    result = act(LEAKS.replace("$SEEN", str(seen)))
    assert "HPCBRIDGE_RUN" in seen.read_text()
    assert PASSCODE not in seen.read_text()
    assert result.reason == "it is [passcode]"
    assert result.facts == {"said": "it is [passcode]"}
    assert PASSCODE not in repr(CREATE)


def test_control_a_script_that_tells_the_passcode_would_be_believed(act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "_without_secrets", lambda _order, text: text)
    result = act(LEAKS.replace("$SEEN", str(tmp_path / "seen")))
    assert PASSCODE in result.reason
    assert PASSCODE in result.facts["said"]
