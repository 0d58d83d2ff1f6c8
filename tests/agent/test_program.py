# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""hpcbridged as a process: what it refuses to start on, what it answers, and that it stops in order."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import HpcbridgeError, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.ledger.receipt import receipt_from_text
from hpcbridge.model.transactions import Gap, PayloadType
from hpcbridge.wire.control import ask
from hpcbridge.wire.convert import encode
from hpcbridge.wire.generated import ledger_pb2
from tests.bridge import BIN, Bridge, wait_until
from tests.scripted_slurm import Line, ScriptedSlurm

CONFIG = """
state_directory = "{state}"
[cluster]
name = "c1"
login_address = "login.example"
[scheduler]
name = "{scheduler}"
scripts = "/nowhere"
[control]
socket = "{state}/control.sock"
"""


def start(path: Path) -> tuple[int, str]:
    done = subprocess.run([str(BIN / "hpcbridged"), "--config", str(path)], capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("[cluster]", "[clusters]"), "did you mean 'cluster'"),
        (("[scheduler]", '[scheduler]\ntimeout_seconds = "x"'), "timeout_seconds"),
        (("", ""), "hpcbridgectl --identity"),
    ],
)
def test_it_does_not_start_on_a_wrong_configuration_or_without_identity(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    path = tmp_path / "hpcbridged.toml"
    path.write_text(CONFIG.format(state=tmp_path, scheduler="slurm").replace(*change, 1))
    status, said = start(path)
    assert status == 78
    assert complaint in said


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    status, said = start(tmp_path / "none.toml")
    assert status == 78
    assert str(tmp_path / "none.toml") in said


def test_every_command_of_a_running_daemon(tmp_path: Path) -> None:
    slurm = ScriptedSlurm(tmp_path / "slurm")
    slurm.jobs([Line(job_id="1"), Line(job_id="2", owner="bob"), Line(job_id="3_[1-4]", state="PENDING")])
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts, publish="tenants") as bridge:
        bridge.set_up()

        def command(name: str, **arguments: Any) -> Any:
            return ask(bridge.socket, name, arguments=arguments)

        wait_until(lambda: command("status")["ledger"]["connected"] and command("jobs")["jobs"], what="the daemon to be at work")
        status = command("status")
        assert status["agent"]["submitter"] == "north/frontend"
        assert status["agent"]["publish"] == "tenants"
        assert status["scheduler"]["reachable"] is True
        assert {worker["name"] for worker in status["workers"]} >= {"jobs", "ended", "nodes", "queues", "vitals", "gateway", "listener"}
        assert all(worker["healthy"] for worker in status["workers"])
        assert [(job["job_id"], job["published"]) for job in command("jobs")["jobs"]] == [("1", False), ("2", False), ("3_[1-4]", False)]
        assert [node["name"] for node in command("nodes")["nodes"]] == ["c1", "c2"]
        assert [queue["name"] for queue in command("queues")["queues"]] == ["batch"]

        command("add", job_id="2")
        wait_until(lambda: command("job", job_id="2")["jobs"][0]["published"], what="the job to be published")
        command("flush")
        wait_until(lambda: bridge.jobs_on_ledger().keys() == {"2"}, what="the job to arrive")

        gap = Gap(cluster="north", reason="test", since_at=1, until_at=2, count=None)
        sent = command("submit", payload_type=PayloadType.GAP.value, body=base64.b64encode(encode(gap)).decode())
        assert sent["outcomes"] == ["ACCEPTED"]
        text = command("receipt", index=sent["index"])["text"]
        receipt_from_text(text, "test.example", KeyDirectory(bridge.agent_identity).load_log_public_key())
        assert command("receipts", limit=1)["receipts"][0]["index"] >= sent["index"]
        request = base64.b64encode(ledger_pb2.ListGapsRequest(cluster="north").SerializeToString()).decode()
        reply = ledger_pb2.ListGapsReply.FromString(base64.b64decode(command("call", method="ListGaps", request=request)["reply"]))
        assert [record.gap.reason for record in reply.gaps] == ["test"]
        assert command("spool")["refused"] == 0
        assert command("quarantine")["payloads"] == []

        wrong: dict[str, dict[str, Any]] = {
            "receipt": {"index": 999_999},
            "submit": {"payload_type": PayloadType.JOB_CHANGES.value, "body": ""},
            "call": {"method": "Submit", "request": ""},
            "add": {"job_id": ""},
        }
        for name, arguments in wrong.items():
            with pytest.raises(Refused):
                command(name, **arguments)
        with pytest.raises(HpcbridgeError):
            command("nonsense")

        assert bridge.ledger is not None
        bridge.ledger.kill()
        wait_until(lambda: not all(worker["healthy"] for worker in command("status")["workers"]), what="the ledger to be missed")
        bridge.start_ledger()
        wait_until(lambda: all(worker["healthy"] for worker in command("status")["workers"]), what="streams to be well while they last")

        assert bridge.agent is not None
        own = ("--identity", str(bridge.agent_identity), "documents", "submit", str(bridge.agent_config), "--kind", "a", "--title", "T")
        with pytest.raises(RuntimeError, match=f"in use by process {bridge.agent.pid}"):
            bridge.ctl(*own)
        slurm.script("jobs", "exec sleep 100")
        wait_until(lambda: command("status")["scheduler"]["reachable"] is True, what="the daemon to answer while a script hangs")
        assert bridge.agent.end() == 0
        assert bridge.agent.log.read_text().count("epoch_opened") == 1, "no command ended the daemon's chain of numbers"
        assert "is on record" in bridge.ctl(*own), "nobody else works with this key any more"
        assert "Traceback" not in bridge.agent.log.read_text()
