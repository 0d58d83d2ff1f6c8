# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What takes time: renewal, following events and jobs, the check before a start, and the way through the daemon."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf.message_factory import GetMessageClass

from hpcbridge.ctl import events as events_module
from hpcbridge.ctl.context import renew_if_due
from hpcbridge.ctl.main import cli
from hpcbridge.ctl.submit import submit
from hpcbridge.errors import CertificateExpired, LedgerUnavailable
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.clusters import Registration
from hpcbridge.model.jobs import Job, JobState, Outcome
from hpcbridge.model.transactions import JobChange, JobChanges, PayloadType
from hpcbridge.wire.client import Endpoint, LedgerClient, endpoints_of
from hpcbridge.wire.control import ControlServer
from hpcbridge.wire.convert import decode_body
from hpcbridge.wire.generated import ledger_pb2
from tests import ctl_daemon
from tests.ctl_network import Network, start_network

LIFE_MS = 60_000
SCRIPTS = Path(__file__).resolve().parents[2] / "scheduler_scripts"


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A ledger whose certificates live for a minute, with a provider and its cluster."""
    network = start_network(tmp_path_factory.mktemp("brief"), parameters=(("certificate_life_ms", LIFE_MS),))
    network.ok("root", "enrol", "--installation", "desk", stdin=network.first_token)
    network.enrol("root", "acme", "provider")
    keys = KeyDirectory(network.identity("acme"))
    with LedgerClient(endpoints_of(keys), keys) as client:
        submit(keys, client, Registration(cluster="c1", login_address="login.example")).check_accepted()
    yield network
    network.service.stop()


def expires_at(keys: KeyDirectory) -> int:
    return read_certificate(keys.load_certificate(), keys.load_profile().origin).not_after_at


def now() -> int:
    return time.time_ns() // 1_000_000


def test_a_certificate_is_renewed_in_the_second_half_of_its_life(brief: Network) -> None:
    keys = KeyDirectory(brief.identity("acme"))
    before = expires_at(keys)
    renew_if_due(keys, now())
    assert expires_at(keys) == before
    threading.Event().wait(1.1)  # certificates count whole seconds
    renew_if_due(keys, before - LIFE_MS // 4)
    assert expires_at(keys) > before
    brief.ok("acme", "clusters", "list")


def unreachable_copy(brief: Network) -> KeyDirectory:
    copy = brief.identity("cut-off")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(brief.identity("acme"), copy)
    profile = json.loads((copy / "profile.json").read_text())
    (copy / "profile.json").write_text(json.dumps({**profile, "enrolment_address": "127.0.0.1:1"}))
    return KeyDirectory(copy)


def test_a_renewal_that_fails_matters_only_at_the_end(brief: Network, capsys: pytest.CaptureFixture[str]) -> None:
    keys = unreachable_copy(brief)
    renew_if_due(keys, expires_at(keys) - 1000)
    assert "still valid" in capsys.readouterr().err
    with pytest.raises(CertificateExpired, match="expired and could not be renewed") as expired:
        renew_if_due(keys, expires_at(keys))
    assert expired.value.exit_status == 77


def test_another_endpoint_takes_over(brief: Network) -> None:
    keys = KeyDirectory(brief.identity("acme"))
    dead, alive = Endpoint("127.0.0.1:1", "localhost"), endpoints_of(keys)[0]
    with LedgerClient((dead, alive), keys) as client:
        assert client.call("GetStatus", ledger_pb2.GetStatusRequest()).origin == "test.example"
        assert client.address == alive.address
        with client.submit_stream() as stream:
            stream.send_hello(ledger_pb2.Hello(submitter="acme/one"))
            assert next(stream).hello.origin == "test.example"
    with LedgerClient((dead, dead), keys) as client, pytest.raises(LedgerUnavailable, match="cannot be reached"):
        client.submit_stream()


def test_a_stream_ends_when_it_is_closed_from_another_thread(brief: Network) -> None:
    keys = KeyDirectory(brief.identity("acme"))
    with LedgerClient(endpoints_of(keys), keys) as client:
        stream = client.subscribe(ledger_pb2.SubscribeRequest(cursor="now"))
        threading.Timer(0.2, stream.close).start()
        assert all(reply.WhichOneof("reply") == "checkpoint" for reply in stream)
        broken = client.subscribe(ledger_pb2.SubscribeRequest(cursor="now"))
        threading.Timer(0.2, client.reconnect).start()
        with pytest.raises(LedgerUnavailable):
            list(broken)
        client.call("GetStatus", ledger_pb2.GetStatusRequest())
    with pytest.raises(LedgerUnavailable, match="closed"):
        client.call("GetStatus", ledger_pb2.GetStatusRequest())


def job(state: JobState, **facts: Any) -> Job:
    return Job(cluster="c1", job_id="77", incarnation=1, state=state, native_state=state.value, owner="alice", queue="batch", **facts)


def observe(brief: Network, observed: Job, at: int) -> None:
    keys = KeyDirectory(brief.identity("acme"))
    with LedgerClient(endpoints_of(keys), keys) as client:
        submit(keys, client, JobChanges(cluster="c1", changes=(JobChange(job=observed, observed_at=at),))).check_accepted()


def test_a_job_is_followed_to_its_end(brief: Network) -> None:
    at = now()
    observe(brief, job(JobState.QUEUED, submitted_at=at), at)
    told: list[Result] = []
    watcher = threading.Thread(target=lambda: told.append(brief.run("acme", "-o", "json", "jobs", "watch", "77", "--cluster", "c1")))
    watcher.start()
    threading.Event().wait(0.8)
    observe(brief, job(JobState.RUNNING, submitted_at=at, started_at=at + 1000, nodes=("n1",)), at + 1000)
    ended = job(JobState.DONE, outcome=Outcome.COMPLETED, submitted_at=at, started_at=at + 1000, ended_at=at + 2000, exit_code=0)
    observe(brief, ended, at + 2000)
    watcher.join(20)
    assert not watcher.is_alive()
    assert told[0].exit_code == 0, told[0].stderr
    phases = [json.loads(line)["phase"] for line in told[0].stdout.splitlines()]
    assert phases == ["QUEUE", "RUN", "END"]
    listed = json.loads(brief.ok("acme", "jobs", "list", "--cluster", "c1", "-o", "json"))["jobs"]
    assert [(each["job_id"], each["outcome"]) for each in listed] == [("77", "COMPLETED")]
    assert "COMPLETED" in brief.ok("acme", "jobs", "show", "77", "--cluster", "c1")
    events = brief.ok("acme", "events", "--type", "JOB_CHANGED").splitlines()
    assert [line.partition(": ")[2] for line in events] == ["QUEUE (QUEUED)", "QUEUE → RUN (RUNNING)", "RUN → END (DONE COMPLETED)"]


def test_following_survives_a_broken_connection(brief: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is cut after each event; each event still comes once."""
    monkeypatch.setattr(events_module, "_AGAIN_SECONDS", 0.05)
    subscribe = LedgerClient.subscribe
    everything = brief.ok("acme", "events", "-o", "json").splitlines()
    cuts = 0

    def cut_off(client: LedgerClient, request: Any) -> Any:
        nonlocal cuts
        cuts += 1
        stream = subscribe(client, request)

        class Cut:
            def __enter__(self) -> Iterator[Any]:
                return self.replies()

            def __exit__(self, *_: object) -> None:
                stream.close()

            def replies(self) -> Iterator[Any]:
                yield next(reply for reply in stream if reply.WhichOneof("reply") == "event")
                if cuts == len(everything):
                    raise BrokenPipeError
                raise LedgerUnavailable("cut")

        return Cut()

    monkeypatch.setattr(LedgerClient, "subscribe", cut_off)
    monkeypatch.setattr("hpcbridge.ctl.main._close_output", lambda: None)
    result = brief.run("acme", "-o", "json", "events", "--from", "0.0", "--follow")
    assert result.stdout.splitlines() == everything
    assert result.stderr.count("trying again") == len(everything) - 1


def test_a_job_the_ledger_does_not_know(brief: Network) -> None:
    for command in ("show", "watch"):
        result = brief.run("acme", "jobs", command, "999", "--cluster", "c1")
        assert (result.exit_code, "NOT_FOUND" in result.stderr) == (1, True)


def checked(brief: Network, config: Path) -> Result:
    return brief.run("acme", "check", "--config", str(config))


def write_config(directory: Path, identity: Path, *, scripts: Path = SCRIPTS, scheduler: str = "slurm", extra: str = "") -> Path:
    state = directory / "state"
    state.mkdir(parents=True, exist_ok=True)
    if not (state / "identity").exists():
        (state / "identity").symlink_to(identity)
    file = directory / "hpcbridged.toml"
    file.write_text(
        f'state_directory = "{state}"\n[cluster]\nname = "c1"\nlogin_address = "l"\n'
        f'[scheduler]\nname = "{scheduler}"\nscripts = "{scripts}"\n{extra}'
    )
    return file


def test_check_finds_what_would_fail_at_the_start(brief: Network, tmp_path: Path) -> None:
    good = checked(brief, write_config(tmp_path, brief.identity("acme")))
    assert "ok      identity: acme/one (provider)" in good.stdout
    assert "test.example answers" in good.stdout
    unknown = checked(brief, write_config(tmp_path, brief.identity("acme"), scheduler="slum"))
    assert (unknown.exit_code, "did you mean 'slurm'?" in unknown.stdout) == (78, True)
    lost = checked(brief, write_config(tmp_path, brief.identity("acme"), scripts=tmp_path))
    assert (lost.exit_code, "no script about, jobs" in lost.stdout) == (78, True)
    typo = checked(brief, write_config(tmp_path, brief.identity("acme"), extra="[intervals]\njob = 3\n"))
    assert (typo.exit_code, "did you mean 'jobs'?" in typo.stdout) == (78, True)
    fresh = checked(brief, write_config(tmp_path / "fresh", tmp_path / "nowhere"))
    assert (fresh.exit_code, "not enrolled yet" in fresh.stdout) != (0, False)


def test_check_finds_a_key_that_others_can_read(brief: Network, tmp_path: Path) -> None:
    open_to_all = brief.identity("open")
    shutil.copytree(brief.identity("acme"), open_to_all)
    (open_to_all / "key.pem").chmod(0o644)
    result = checked(brief, write_config(tmp_path, open_to_all))
    assert result.exit_code != 0
    assert "lets others read a private key" in result.stdout
    refused = brief.run("open", "clusters", "list")
    assert (refused.exit_code, "chmod 600" in refused.stderr) == (78, True)


def test_check_looks_at_a_ledger_too(brief: Network, tmp_path: Path) -> None:
    file = tmp_path / "ledgerd.toml"
    listen = f'[listen]\naddress = "{brief.ledger_address}"\nenrolment = "{brief.enrolment_address}"\n'
    file.write_text(f'{listen}[store]\ndirectory = "{brief.directory}/ledger"\n')
    result = brief.run("root", "check", "--config", str(file))
    assert (result.exit_code, "All is fine." in result.stdout) == (0, True)
    file.write_text(f'[store]\ndirectory = "{tmp_path}"\n')
    assert brief.run("root", "check", "--config", str(file)).exit_code == 78


def test_without_an_own_identity_the_daemon_carries_it(brief: Network, tmp_path: Path) -> None:
    """Queries and transactions through the control socket: the numbers stay the daemon's."""
    keys = KeyDirectory(brief.identity("acme"))
    submitted: list[Any] = []
    with LedgerClient(endpoints_of(keys), keys) as client:

        def call(asked: Mapping[str, Any]) -> Any:
            method = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].methods_by_name[asked["method"]]
            request = GetMessageClass(method.input_type).FromString(base64.b64decode(asked["request"]))
            return {"reply": base64.b64encode(client.call(asked["method"], request).SerializeToString()).decode()}

        def take(asked: Mapping[str, Any]) -> Any:
            submitted.append(decode_body(PayloadType(asked["payload_type"]), base64.b64decode(asked["body"])))
            return {"index": 7, "outcomes": ["NOT_FOUND"], "reasons": ["there is no such job"]}

        server = ControlServer(tmp_path / "c.sock", {"call": call, "submit": take}, acting={"submit"})
        server.start()
        config = ctl_daemon.write_config(tmp_path, tmp_path / "c.sock")
        environment = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
        try:
            listed = CliRunner().invoke(cli, ["--config", str(config), "clusters", "list", "-o", "json"], env=environment)
            added = CliRunner().invoke(cli, ["--config", str(config), "jobs", "add", "5", "--cluster", "c1"], env=environment)
        finally:
            server.close()
    assert [each["registration"]["cluster"] for each in json.loads(listed.stdout)["clusters"]] == ["c1"]
    assert (added.exit_code, "there is no such job (entry 7)" in added.stderr) == (1, True)
    assert submitted[0].job_id == "5"
