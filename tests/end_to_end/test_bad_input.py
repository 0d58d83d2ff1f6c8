# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong from outside, given to the real programs: exit status, what they say, and that nothing is lost.

README.md in this folder names the test of each kind of bad input, here and in the rooms.
"""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import build_csr
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.identity.tokens import EnrolmentToken, make_token, parse_token, token_digest
from hpcbridge.model.entries import EntryOutcome, RejectionCode
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import MAX_ENVELOPE_BYTES, Token
from hpcbridge.submitter.submit import submit
from hpcbridge.wire.client import LedgerClient, endpoints_of
from hpcbridge.wire.generated import ledger_pb2
from tests.bridge import BIN, Bridge, Process, wait_until
from tests.ledger_author import Author, job_changes
from tests.scripted_slurm import Line, ScriptedSlurm, done

ORIGIN = "test.example"


@dataclasses.dataclass(frozen=True)
class Said:
    """How a program ended."""

    status: int
    text: str


def program(name: str, *arguments: object, given: str = "") -> Said:
    argv = [str(BIN / name), *map(str, arguments)]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout + done.stderr)


def ctl(*arguments: object, given: str = "") -> Said:
    return program("hpcbridgectl", *arguments, given=given)


def says(said: Said, status: int, *parts: str) -> None:
    assert (said.status, [part for part in parts if part not in said.text]) == (status, []), said.text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bridge, ScriptedSlurm]]:
    folder = tmp_path_factory.mktemp("bad-input")
    slurm = ScriptedSlurm(folder / "slurm")
    slurm.jobs([Line(job_id="1"), Line(job_id="2")])
    with Bridge(folder / "bridge", scripts=slurm.scripts) as bridge:
        bridge.set_up()
        yield bridge, slurm


@pytest.fixture(scope="module")
def bridge(site: tuple[Bridge, ScriptedSlurm]) -> Bridge:
    return site[0]


def token_for(bridge: Bridge, name: str, role: str = "user") -> str:
    return bridge.admin("admin", "token", "--role", role, "--name", name).strip()


def enrolled(bridge: Bridge, name: str, role: str = "user") -> KeyDirectory:
    keys = KeyDirectory(bridge.directory / name)
    bridge.ctl("--identity", str(keys.path), "enrol", "--installation", "main", given=token_for(bridge, name, role))
    return keys


def as_member(keys: KeyDirectory, *arguments: object) -> Said:
    return ctl("--identity", keys.path, *arguments)


def now() -> int:
    return time.time_ns() // 1_000_000


def short_token(bridge: Bridge) -> str:
    """A token that has expired."""
    admin, secret = KeyDirectory(bridge.admin_identity), secrets.token_bytes(32)
    expires_at = now() + 500
    with LedgerClient(endpoints_of(admin), admin) as client:
        body = Token(digest=token_digest(secret), role=Role.USER, member="late", attributes=(), expires_at=expires_at)
        submit(admin, client, body).check_accepted()
    wait_until(lambda: now() > expires_at + 100, what="the token to expire")
    return make_token(dataclasses.replace(parse_token(token_for(bridge, "late")), secret=secret))


def changed(**fields: bytes) -> Callable[[Bridge], str]:
    def make(bridge: Bridge) -> str:
        token: EnrolmentToken = dataclasses.replace(parse_token(token_for(bridge, "mallory")), **fields)  # type: ignore[arg-type]
        return make_token(token)

    return make


def used_token(bridge: Bridge) -> str:
    token = token_for(bridge, "first")
    bridge.ctl("--identity", str(bridge.directory / "first"), "enrol", "--installation", "main", given=token)
    return token


@pytest.mark.parametrize(
    ("make", "status", "parts"),
    [
        (changed(secret=bytes(32)), 77, ("not known to this ledger", "ask an admin for a new one")),
        (used_token, 77, ("used already", "hpcbridgectl admin token")),
        (short_token, 77, ("expired at", "hpcbridgectl admin token")),
        (changed(ca_fingerprint=bytes(32)), 77, ("not the ledger this token is for", "nothing was sent")),
        (lambda bridge: token_for(bridge, "cut")[:-3], 65, ("damaged", "copy the whole line")),
    ],
    ids=["wrong", "used", "expired", "fingerprint", "damaged"],
)
def test_a_token_that_does_not_fit(
    bridge: Bridge, tmp_path: Path, make: Callable[[Bridge], str], status: int, parts: tuple[str, ...]
) -> None:
    says(ctl("--identity", tmp_path / "new", "enrol", given=make(bridge)), status, "error:", "hint:", *parts)
    assert not (tmp_path / "new" / "certificate.pem").exists()


def test_a_certificate_of_another_ca(bridge: Bridge, tmp_path: Path) -> None:
    keys = enrolled(bridge, "stranger")
    good, submitter = keys.load_certificate(), keys.load_profile().submitter
    other = Authority.create(tmp_path / "other", ORIGIN, at=now())
    keys.save_certificate(other.issue(build_csr(keys.load_key(), submitter), submitter, role=Role.USER, at=now()).certificate)
    says(as_member(keys, "ledger", "status"), 77, "was not issued by the CA of test.example", "enrol again")
    keys.save_certificate(good)
    says(as_member(keys, "ledger", "status"), 0)


def test_an_expired_certificate_is_renewed_and_one_that_cannot_be_says_so(bridge: Bridge) -> None:
    keys = enrolled(bridge, "sleeper")
    submitter, profile = keys.load_profile().submitter, keys.load_profile()
    ours = Authority.load(bridge.store / "keys")

    def expire() -> None:
        at = now()
        csr = build_csr(keys.load_key(), submitter)
        keys.save_certificate(ours.issue(csr, submitter, role=Role.USER, at=at, lifetime_ms=1000).certificate)
        wait_until(lambda: now() > at + 1100, what="the certificate to expire")

    expire()
    says(as_member(keys, "ledger", "status"), 0)
    keys.save_profile(dataclasses.replace(profile, enrolment_address="127.0.0.1:1"))
    expire()
    says(as_member(keys, "ledger", "status"), 77, "sleeper/main has expired and could not be renewed", "hint:")


def test_a_wrong_role_and_a_revoked_member(bridge: Bridge) -> None:
    keys = enrolled(bridge, "usual")
    says(as_member(keys, "clusters", "list"), 77, "NOT_PERMITTED", "role USER")
    says(as_member(keys, "admin", "token", "--role", "admin", "--name", "usual"), 77, "NOT_PERMITTED", "(entry ", "hint:")
    bridge.admin("admin", "revoke", "usual", "--yes")
    for command in (("ledger", "status"), ("admin", "token", "--role", "user", "--name", "x")):
        says(as_member(keys, *command), 77, "REVOKED: usual/main is revoked", "a new enrolment needs a new token")


def test_payloads_that_are_not_right_leave_the_next_one_alone(bridge: Bridge) -> None:
    keys = enrolled(bridge, "south", "provider")
    author = Author(keys)

    def answer(envelope: bytes) -> object:
        (given,) = author.send(stream, [envelope])
        if isinstance(given, ledger_pb2.Answer):
            return given.rejection.code or given.expect_sequence
        return given

    def fine() -> None:
        """Refused by the contract, so an entry under the number that was next: nothing was lost before it."""
        assert answer(author.envelope(job_changes("nowhere", 1))) == (EntryOutcome.NOT_FOUND,)

    with LedgerClient(endpoints_of(keys), keys) as client:
        stream = author.open(client)
        following = author.sequence + 1
        payload = author.payload(job_changes("nowhere", 1), sequence=following)
        assert answer(author.sealed(payload + b"\x7a\x01x")) == RejectionCode.MALFORMED_HEADER
        elsewhere = Author(keys, origin="other.example")
        elsewhere.epoch = author.epoch
        assert answer(elsewhere.envelope(job_changes("nowhere", 1), sequence=following)) == RejectionCode.WRONG_ORIGIN
        assert answer(author.sealed(b"x" * MAX_ENVELOPE_BYTES)) == RejectionCode.TOO_LARGE
        assert answer(author.envelope(job_changes("nowhere", 1), sequence=following + 1)) == following
        fine()
        replayed = author.envelope(job_changes("nowhere", 9))
        assert answer(replayed) == (EntryOutcome.NOT_FOUND,)
        fine()
        assert answer(replayed) == (EntryOutcome.NOT_FOUND,)
        _, reply = author.hello(client)
        assert reply.last_sequence == author.sequence

        many = [author.envelope(job_changes("nowhere", number)) for number in range(50)]
        stream.send_envelopes(many)
        stream.close()
        stream, reply = author.hello(client)
        assert author.sequence - 50 <= reply.last_sequence <= author.sequence
        assert author.send(stream, many) == [(EntryOutcome.NOT_FOUND,)] * 50

        fork = author.envelope(job_changes("nowhere", 99), sequence=author.sequence)
        assert answer(fork) == (EntryOutcome.EQUIVOCATION,)
        assert answer(author.envelope(job_changes("nowhere", 100))) == RejectionCode.CLOSED_EPOCH
    assert bridge.ledger is not None
    says(ctl("--identity", bridge.admin_identity, "ledger", "verify"), 0, "numbers without hole or repeat")


AGENT_MISTAKES = (
    ("jobs = 1", "job = 1", "hpcbridged.toml:34: unknown key 'intervals.job'", "did you mean 'jobs'?"),
    ("jobs = 1", 'jobs = "often"', "hpcbridged.toml:34: intervals.jobs: expected a whole number, got text in quotes", ""),
    ('state_directory = "', 'state_directory = 7 # "', "hpcbridged.toml:1: state_directory: expected a path in quotes", ""),
    ('mode = "full"', 'mode = "ful"', "publish.mode: invalid value 'ful'", "known are: tenants, pseudonyms, full"),
    ("[cluster]", "[cluster", "not TOML", "line 3"),
)


@pytest.mark.parametrize("mistake", AGENT_MISTAKES)
def test_a_configuration_that_cannot_be_meant(bridge: Bridge, tmp_path: Path, mistake: tuple[str, str, str, str]) -> None:
    old, new, complaint, advice = mistake
    path = tmp_path / "hpcbridged.toml"
    path.write_text(bridge.agent_config.read_text().replace(old, new, 1))
    says(program("hpcbridged", "--config", path), 78, complaint, advice)
    says(ctl("check", "--config", path), 78, "failed  configuration", complaint, advice)


def test_files_that_are_missing_or_closed(bridge: Bridge, tmp_path: Path) -> None:
    none = tmp_path / "none.toml"
    for said in (
        program("hpcbridged", "--config", none),
        program("hpcbridge-ledgerd", "--config", none, "run"),
        ctl("--config", none, "status"),
        ctl("check", "--config", none),
    ):
        says(said, 78, f"{none}: no such file", "--config")
    says(program("hpcbridge-ledgerd", "--directory", tmp_path, "run"), 78, f"{tmp_path}: there is no ledger", "init --origin NAME")
    says(ctl("--identity", tmp_path, "ledger", "status"), 78, f"no identity in {tmp_path}", "enrol")
    path = tmp_path / "ledgerd.toml"
    path.write_text(bridge.ledger_config.read_text().replace("[store]", "[stores]"))
    says(program("hpcbridge-ledgerd", "--config", path, "run"), 78, "ledgerd.toml:8: unknown key 'stores'", "did you mean 'store'?")


def test_a_port_and_files_that_another_process_has(bridge: Bridge, tmp_path: Path) -> None:
    says(program("hpcbridged", "--config", bridge.agent_config), 78, "in use", "another hpcbridged")
    says(program("hpcbridge-ledgerd", "--config", bridge.ledger_config, "run"), 78, "in use", "running already?")
    path = tmp_path / "ledgerd.toml"
    path.write_text(bridge.ledger_config.read_text().replace(str(bridge.store), str(tmp_path / "ledger")))
    assert program("hpcbridge-ledgerd", "--config", path, "init", "--origin", "second.example").status == 0
    port = program("hpcbridge-ledgerd", "--config", path, "run")
    says(port, 1, f"cannot listen on {bridge.ledger_address}: Address already in use", "[listen] in ledgerd.toml")
    assert "E0000" not in port.text
    says(ctl("--identity", bridge.admin_identity, "ledger", "status"), 0)


def test_one_changed_byte_of_an_export(bridge: Bridge, tmp_path: Path) -> None:
    export = tmp_path / "export"
    says(ctl("--identity", bridge.admin_identity, "ledger", "export", export), 0)
    says(ctl("--identity", bridge.admin_identity, "ledger", "verify", export), 0)
    whole = export.read_bytes()
    for place in (0, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        export.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        says(ctl("--identity", bridge.admin_identity, "ledger", "verify", export), 65, "error:", "export it again")
    export.write_bytes(whole[:-1])
    says(ctl("--identity", bridge.admin_identity, "ledger", "verify", export), 65, "cut off")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (None, "jobs"),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", "Unable to contact slurm controller"),
        ("exec sleep 1000", "no answer within 1 s"),
        ("head -c 65536 /dev/urandom", "jobs"),
        ("exit 0", "nothing was printed, which does not prove that there is nothing"),
    ],
    ids=["missing", "failing", "hanging", "garbage", "nothing"],
)
def test_a_scheduler_command_that_does_not_do_its_work(tmp_path: Path, body: str | None, complaint: str) -> None:
    """While it lasts the jobs stay as they were, and an end that happened meanwhile arrives afterwards."""
    slurm = ScriptedSlurm(tmp_path / "slurm")
    slurm.jobs([Line(job_id="1"), Line(job_id="2")])
    with Bridge(tmp_path / "bridge", scripts=slurm.scripts) as bridge:
        bridge.write_configuration()
        token = bridge.init_ledger()
        bridge.agent_config.write_text(bridge.agent_config.read_text().replace("timeout_seconds = 15", "timeout_seconds = 1"))
        bridge.start_ledger()
        bridge.ctl("--identity", str(bridge.admin_identity), "enrol", given=token)
        bridge.ctl("--identity", str(bridge.agent_identity), "enrol", given=token_for(bridge, "north", "provider"))
        bridge.start_agent()
        wait_until(lambda: states(bridge) == {"1": "RUNNING", "2": "RUNNING"}, what="the jobs to arrive")
        if body is None:
            (slurm.scripts / "slurm" / "jobs").unlink()
        else:
            slurm.script("jobs", body)
        slurm.report("jobs", "")

        def status() -> Said:
            return ctl("--config", bridge.agent_config, "status")

        wait_until(lambda: "needs attention" in status().text and complaint in status().text, what=f"status to say: {complaint}")
        says(status(), 0, "slurm does not answer", "hpcbridgectl check")
        threading.Event().wait(1)
        assert states(bridge) == {"1": "RUNNING", "2": "RUNNING"}
        slurm.jobs([done(Line(job_id="1")), Line(job_id="2")])
        slurm.works("jobs")
        bridge.frontend("spool", "flush")
        wait_until(lambda: states(bridge) == {"1": "DONE", "2": "RUNNING"}, what="the end that happened meanwhile", seconds=60)
        assert bridge.agent is not None
        assert bridge.agent.end() == 0


def states(bridge: Bridge) -> dict[str, str]:
    return {job_id: job["state"] for job_id, job in bridge.jobs_on_ledger().items()}


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.commit()
    connection.close()


def flip(place: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place % len(data)] ^= 1
        path.write_bytes(data)

    return change


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def test_stores_and_keys_that_are_not_as_they_were(bridge: Bridge) -> None:
    """Last: it stops both daemons. Afterwards, with the right bytes back, both start and nothing is lost."""
    before = states(bridge)
    assert bridge.agent is not None
    assert bridge.ledger is not None
    assert bridge.agent.end() == 0
    assert bridge.ledger.end() == 0
    ledger = ("hpcbridge-ledgerd", "--config", bridge.ledger_config, "run")
    agent = ("hpcbridged", "--config", bridge.agent_config)
    store, spool, keys = bridge.store / "ledger.db", bridge.state / "spool.db", bridge.store / "keys"
    size = store.stat().st_size
    damaged = [flip(size * part // 13) for part in range(1, 13)]

    def refused(path: Path, argv: tuple[object, ...], change: Callable[[Path], None]) -> Said:
        content, mode = path.read_bytes(), path.stat().st_mode
        change(path)
        said = program(str(argv[0]), *argv[1:])
        for rest in path.parent.glob(f"{path.name}-*"):
            rest.unlink()
        path.write_bytes(content)
        path.chmod(mode)
        return said

    for change in (flip(20), *damaged):
        said = refused(store, ledger, change)
        says(said, 3, "check of the", "failed")
        assert "restore the newest backup" in said.text or "remove " in said.text
    says(refused(store, ledger, newer), 78, "version 99", "install the newer hpcbridge again")
    says(refused(store, ledger, cut), 3, "check of the file structure failed")
    says(refused(bridge.store / "high-water", ledger, zero), 3, "high-water", "rebuild-high-water")
    says(refused(keys / "log-key.pem", ledger, lambda path: path.chmod(0o644)), 78, "0644 lets others read a private key", "chmod 600")
    says(refused(keys / "ca-key.pem", ledger, Path.unlink), 78, "no ca-key.pem", "bring back the keys of this ledger")
    says(refused(spool, agent, newer), 78, "version 99")
    says(refused(spool, agent, flip(20)), 3, "spool.db", "move spool.db away")
    says(refused(bridge.agent_identity / "key.pem", agent, lambda path: path.chmod(0o644)), 78, "lets others read a private key")
    bridge.start_ledger()
    bridge.start_agent()
    assert states(bridge) == before
    says(ctl("--identity", bridge.admin_identity, "ledger", "verify"), 0)
    assert isinstance(bridge.ledger, Process)
