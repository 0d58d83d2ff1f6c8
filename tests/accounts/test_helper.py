# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""hpcbridge-accounts: who may ask, what it takes for an order, which scripts it runs, and that a kill in the middle harms nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcbridge.accounts.ownership import why_not_roots, why_root_must_not_run
from hpcbridge.model.accounts import AccountOrder, ActionOutcome, ActionResult
from hpcbridge.schedulers.acting import ScriptActor
from hpcbridge.wire import accounts
from hpcbridge.wire.accounts import HelperActor, decode_order, decode_result, encode_order, encode_result
from tests.accounts.sites import CLOSE, CREATE, OTHER, PASSCODE, SCRIPTS
from tests.private_accounts import PrivateAccounts

DONE, LATER, FAILED = ActionOutcome.DONE, ActionOutcome.LATER, ActionOutcome.FAILED
NOBODY = 65534


class Echo:
    """An actor that says what it was asked."""

    def __init__(self) -> None:
        self.orders: list[AccountOrder] = []

    def act(self, order: AccountOrder) -> ActionResult:
        self.orders.append(order)
        return ActionResult(outcome=DONE, reason="", facts={"username": order.username})


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def address(tmp_path: Path, echo: Echo) -> Iterator[Path]:
    """Where the serving half listens, open for everybody so that only the peer's credentials decide."""
    with _serving(tmp_path / "s", echo) as path:
        yield path


@contextlib.contextmanager
def _serving(path: Path, actor: Echo, *, allowed: frozenset[int] = frozenset({0})) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        for folder in path.parents[:3]:
            folder.chmod(0o711)
        listener.listen(4)
        thread = threading.Thread(target=accounts.serve, args=(listener, actor), kwargs={"allowed_uids": allowed, "idle_seconds": 1.0})
        thread.start()
        try:
            yield path
        finally:
            thread.join(30)
    assert not thread.is_alive()


def test_an_order_goes_there_and_the_answer_comes_back(address: Path, echo: Echo) -> None:
    for order in (CREATE, CLOSE):
        assert HelperActor(address).act(order) == ActionResult(outcome=DONE, facts={"username": CREATE.username})
    assert echo.orders == [CREATE, CLOSE]


def test_both_forms_come_back_as_they_were() -> None:
    for order in (CREATE, CLOSE, dataclasses.replace(CREATE, message='a\n"b"\\ é', queue="x")):
        assert decode_order(encode_order(order)) == order
    result = ActionResult(outcome=LATER, reason="é \\x1b", facts={"a": "b"})
    assert decode_result(encode_result(result)) == result


ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.sendall(sys.stdin.buffer.read())
    print(s.makefile().read(), end="")
"""


def _ask_as(uid: int, address: Path) -> ActionResult:
    asked = subprocess.run(
        ["/usr/bin/python3", "-c", ASK, str(address)], input=encode_order(CREATE), capture_output=True, user=uid, timeout=20, check=True
    )
    return decode_result(asked.stdout)


def test_another_account_is_refused_by_the_kernels_word(address: Path, echo: Echo) -> None:
    assert _ask_as(NOBODY, address) == ActionResult(
        outcome=LATER, reason="uid 65534 is not the daemon's account: the helper takes orders from nobody else"
    )
    assert echo.orders == []
    assert _ask_as(0, address).outcome is DONE


def test_control_without_credentials_anybody_would_be_served(address: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "peer_uid", lambda _connection: 0)
    assert _ask_as(NOBODY, address).outcome is DONE
    assert echo.orders == [CREATE]


_GOOD = json.loads(encode_order(CREATE))


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"hello\n", b"{}\n", b"[" * 60000 + b"\n", b"\xff\xfe\n", encode_order(CREATE)[:-1], encode_order(CREATE) * 2,
        json.dumps({**_GOOD, "more": 1}).encode() + b"\n", json.dumps({**_GOOD, "cores": "16"}).encode() + b"\n",
        json.dumps({**_GOOD, "cores": True}).encode() + b"\n", json.dumps({**_GOOD, "cores": 1e99}).encode() + b"\n",
        json.dumps({**_GOOD, "action": "rm"}).encode() + b"\n", json.dumps({**_GOOD, "action": "../account_close"}).encode() + b"\n",
        json.dumps({**_GOOD, "passcode": [PASSCODE]}).encode() + b"\n", json.dumps({**_GOOD, "username": None}).encode() + b"\n",
        b'{"expires_at": ' + b"9" * 5000 + b"}\n", b"x" * 200_000, b"x" * 200_000 + b"\n",
    ],
    ids=range(19),
)  # fmt: skip
def test_what_is_no_order_is_refused_and_the_next_one_served(address: Path, echo: Echo, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError), connection.makefile("rb") as answer:
            result = decode_result(answer.read())
            assert result.outcome is FAILED
            assert result.reason
            assert PASSCODE not in result.reason
    assert echo.orders == []
    assert HelperActor(address).act(CREATE).outcome is DONE


def test_who_is_silent_keeps_nobody_waiting_for_long(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "READ_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        connection.sendall(b'{"action"')
        assert HelperActor(address, timeout_seconds=10).act(CREATE).outcome is DONE
        assert b"no whole order within" in connection.recv(4096)


def test_no_helper_and_one_that_says_nothing_are_for_later(tmp_path: Path) -> None:
    result = HelperActor(tmp_path / "none").act(CREATE)
    assert result.outcome is LATER
    assert "nobody listens there" in result.reason
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert "nobody listens there" in HelperActor(tmp_path / "s").act(CREATE).reason
        listener.listen(1)
        started = time.monotonic()
        result = HelperActor(tmp_path / "s", timeout_seconds=0.3).act(CREATE)
        assert (result.outcome, "none within 0.3 s" in result.reason) == (LATER, True)
        stopping = threading.Event()
        stopping.set()
        assert HelperActor(tmp_path / "s", stopping=stopping).act(CREATE).outcome is LATER
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "said", [b"", b'{"outcome": "DO', b"hello\n", b'{"outcome": "GREAT", "reason": "", "facts": {}}\n', b"x" * 200_000]
)
def test_an_answer_that_is_none_is_for_later(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(1 << 16)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        result = HelperActor(tmp_path / "s", timeout_seconds=10).act(CREATE)
        thread.join()
    assert result.outcome is LATER
    assert result.reason


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder with a script of root's."""
    tmp_path.chmod(0o700)
    script = tmp_path / "scripts" / "site" / "account_create"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    (script.parent / "part.sh").touch(0o644)
    (tmp_path / "scripts" / "accounts").mkdir(0o755)
    (tmp_path / "scripts" / "accounts" / "part.sh").touch(0o644)
    for folder in (script.parent, script.parent.parent):
        folder.chmod(0o755)
    return script


def _act(script: Path) -> ActionResult:
    return ScriptActor(script.parent, environment={}, check=why_root_must_not_run).act(CREATE)


@pytest.mark.parametrize("place", ["", "..", "../part.sh", "../..", "../../accounts", "../../accounts/part.sh"])
@pytest.mark.parametrize("how", ["group", "others", "owner"])
def test_a_script_that_others_may_write_is_not_run(scripts: Path, place: str, how: str) -> None:
    assert _act(scripts).outcome is DONE
    path = (scripts / place).resolve() if place else scripts
    if how == "owner":
        os.chown(path, NOBODY, -1)
    else:
        path.chmod(path.stat().st_mode | (0o020 if how == "group" else 0o002))
    result = _act(scripts)
    assert result.outcome is FAILED
    assert result.reason.startswith(f"{path}: ")
    assert ScriptActor(scripts.parent, environment={}).act(CREATE).outcome is DONE, "control: without the check it runs"


def test_a_link_is_judged_by_both_ends(scripts: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("#!/bin/sh\nexit 0\n")
    target.chmod(0o755)
    scripts.unlink()
    scripts.symlink_to(target)
    assert _act(scripts).outcome is DONE
    target.chmod(0o757)
    assert "others than root may write" in _act(scripts).reason
    target.chmod(0o755)
    os.chown(scripts, NOBODY, -1, follow_symlinks=False)
    assert f"belongs to uid {NOBODY}" in _act(scripts).reason


def test_the_scripts_of_a_sticky_folder_can_be_roots(scripts: Path) -> None:
    scripts.parent.parent.chmod(0o1777)
    assert why_not_roots(scripts) == ""
    scripts.parent.parent.chmod(0o777)
    assert why_not_roots(scripts)


CONFIG = """
[cluster]
name = "c1"
login_address = "login.example"
[scheduler]
name = "slurm"
accounts_scripts = "{scripts}"
environment = {{ ACCOUNTS_UIDS = "{uids}"{more} }}
"""


def _installed(directory: Path) -> Path:
    """The scripts as a package installs them, whoever owns the checkout."""
    shutil.copytree(SCRIPTS / "accounts", directory / "installed" / "accounts")
    for path in (directory / "installed").rglob("*"):
        os.chown(path, 0, 0)
        path.chmod(path.stat().st_mode & ~0o022)
    return directory / "installed" / "accounts" / "unix"


class Helper:
    """A helper in a world, started as systemd would: with a socket that somebody else listens on."""

    def __init__(self, world: PrivateAccounts, tmp_path: Path, *, more: str = "") -> None:
        tmp_path.chmod(0o711)
        self._world = world
        self.log = tmp_path / "helper.log"
        self.path = tmp_path / "accounts.sock"
        self._config = tmp_path / "hpcbridged.toml"
        self._config.write_text(CONFIG.format(scripts=_installed(tmp_path), uids=world.accounts_environment["ACCOUNTS_UIDS"], more=more))
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(8)
        self.process = self.start()

    def start(self, *, idle: float = 60.0) -> subprocess.Popen[bytes]:
        """As sd_listen_fds(3) says: descriptor 3, and LISTEN_PID is the program's own."""
        argv = [sys.executable, "-m", "hpcbridge.accounts.main", "--config", str(self._config), "--user", "root", f"--idle={idle}"]
        begin = f'exec 3<&{self.listener.fileno()} 2>>{self.log}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        with self._world.inside():
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", begin, "bash", *argv], pass_fds=[self.listener.fileno()], stdin=subprocess.DEVNULL
            )
        return self.process

    def act(self, order: AccountOrder) -> ActionResult:
        return HelperActor(self.path, timeout_seconds=20).act(order)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.listener.close()


@pytest.fixture
def helper(world: PrivateAccounts, tmp_path: Path) -> Iterator[Callable[..., Helper]]:
    started: list[Helper] = []

    def start(**options: str | Path) -> Helper:
        started.append(Helper(world, tmp_path, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_an_account_by_the_helper_lets_in_and_is_closed(helper: Callable[..., Helper], world: PrivateAccounts) -> None:
    running = helper()
    assert running.act(CREATE).outcome is DONE
    assert world.lets_in(CREATE.username, PASSCODE)
    assert running.act(dataclasses.replace(CREATE, username="root")).outcome is FAILED
    assert running.act(dataclasses.replace(CREATE, rental="l1")).outcome is FAILED
    assert running.act(CLOSE).outcome is DONE
    assert not world.lets_in(CREATE.username, PASSCODE)
    assert PASSCODE not in running.log.read_text()
    assert "account_close of kdhz4w7c2mxq for l17: DONE" in running.log.read_text()


def test_an_idle_helper_ends_and_leaves_the_socket(helper: Callable[..., Helper], world: PrivateAccounts) -> None:
    running = helper()
    running.process.kill()
    running.process.wait()
    assert running.start(idle=0.2).wait(20) == 0
    running.start()
    assert running.act(CREATE).outcome is DONE


@pytest.mark.parametrize("delays", [(0.0, 0.01, 0.03), pytest.param(tuple(i * 0.002 for i in range(50)), marks=pytest.mark.full)])
def test_a_helper_killed_in_the_middle_harms_nothing(
    helper: Callable[..., Helper], world: PrivateAccounts, delays: tuple[float, ...]
) -> None:
    """At moments spread over the run of a script; the script is killed with it, as systemd does with all that is in the unit."""
    running = helper()
    for number, delay in enumerate(delays):
        order = dataclasses.replace(CREATE, username=f"kdhz4w7c{number}", rental=f"l{number}")
        cut: list[ActionResult] = []
        thread = threading.Thread(target=lambda order=order, cut=cut: cut.append(running.act(order)))
        thread.start()
        time.sleep(delay)
        running.process.kill()
        running.process.wait()
        for pid in world.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        running.start()
        thread.join(60)
        assert cut[0].outcome in {LATER, DONE}
        for _ in range(20):
            if (result := running.act(order)).outcome is not LATER:
                break
        assert result.outcome is DONE, result
        assert world.lets_in(order.username, PASSCODE)
        assert running.act(dataclasses.replace(order, passcode=OTHER)).outcome is DONE
        assert not world.lets_in(order.username, PASSCODE)


def test_the_passcode_is_seen_nowhere(helper: Callable[..., Helper], world: PrivateAccounts, tmp_path: Path) -> None:
    """While the account is made, everything that any process shows of itself is read again and again, by root."""
    running = helper()
    seen = bytearray()
    stop = threading.Event()
    found = [0]

    def look() -> None:
        while not stop.is_set():
            for pid in world.processes():
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        data = Path(f"/proc/{pid}/{name}").read_bytes()
                        found[0] += b"useradd" in data or b"chpasswd" in data or b"account_create" in data
                        if PASSCODE.encode() in data:
                            seen.extend(data)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(5):
        order = dataclasses.replace(CREATE, username=f"kdhz4w7c{number}", rental=f"l{number}")
        assert running.act(order).outcome is DONE
    stop.set()
    thread.join()
    assert found[0], "control: the programs were seen at all"
    assert not seen
    left = [path for path in tmp_path.rglob("*") if path.is_file() and PASSCODE.encode() in path.read_bytes()]
    assert left == []
    assert world.run(["grep", "-rl", PASSCODE, "/etc", "/home", "/run", "/var/log", "/var/spool"], check=False) == ""


def test_a_configuration_that_is_not_roots_is_not_read(world: PrivateAccounts, tmp_path: Path) -> None:
    config = tmp_path / "hpcbridged.toml"
    config.write_text(CONFIG.format(scripts=SCRIPTS, uids="1-2", more=""))
    config.chmod(0o666)
    argv = [sys.executable, "-m", "hpcbridge.accounts.main", "--config", str(config), "--user", "root"]
    done = subprocess.run([*argv, "--socket", str(tmp_path / "s")], capture_output=True, timeout=30, check=False)
    assert done.returncode == 78
    assert b"others than root may write there (mode 0666)" in done.stderr
    config.chmod(0o644)
    done = subprocess.run(argv, capture_output=True, timeout=30, check=False)
    assert (done.returncode, b"hpcbridge-accounts.socket" in done.stderr) == (78, True)
    argv[-1] = "no-such-account"
    done = subprocess.run(argv, capture_output=True, timeout=30, check=False)
    assert (done.returncode, b"there is no account 'no-such-account' here" in done.stderr) == (78, True)


def test_nothing_that_speaks_with_networks_is_in_the_helper() -> None:
    script = (
        "import sys, hpcbridge.accounts.main; print([name for name in ('grpc', 'cryptography', 'google', 'ssl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=True)
    assert done.stdout == b"[]\n"


def test_a_machine_of_its_own_socket(world: PrivateAccounts, tmp_path: Path) -> None:
    """Without systemd: --socket, for the daemon's account only."""
    tmp_path.chmod(0o711)
    config = tmp_path / "hpcbridged.toml"
    config.write_text(CONFIG.format(scripts=_installed(tmp_path), uids=world.accounts_environment["ACCOUNTS_UIDS"], more=""))
    path = tmp_path / "own.sock"
    argv = [sys.executable, "-m", "hpcbridge.accounts.main", "--config", str(config), "--user", "nobody", "--socket", str(path)]
    process = world.spawn(argv, output=tmp_path / "log")
    while not path.exists():
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    while (result := HelperActor(path).act(CREATE)).outcome is LATER and "nobody listens" in result.reason:
        time.sleep(0.05)
    assert result.outcome is DONE
    assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, NOBODY)
    process.terminate()
    assert process.wait(10) == 0
