# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The control socket: a real Unix socket and real peer credentials of another process and account."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hpcbridge.errors import BadData, ConfigError, HpcbridgeError, LedgerUnavailable, Refused, ScriptTimedOut
from hpcbridge.wire import control
from hpcbridge.wire.control import ControlServer, Peer, ask, peer_of

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes account, needs root")


def _echo(arguments: Mapping[str, Any]) -> Any:
    return dict(arguments)


def _refuse(_arguments: Mapping[str, Any]) -> Any:
    raise Refused("NOT_FOUND", "no such job", hint="look again")


def _bad(_arguments: Mapping[str, Any]) -> Any:
    raise BadData("odd", hint="give another")


def _slow_script(_arguments: Mapping[str, Any]) -> Any:
    raise ScriptTimedOut(("/x",), 3)


HANDLERS = {"status": _echo, "refuse": _refuse, "bad": _bad, "script": _slow_script, "flush": _echo}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o755)
    where = tmp_path / "run" / "control.sock"
    server = ControlServer(where, HANDLERS, acting={"flush"}, group=grp.getgrgid(NOBODY).gr_name)
    server.start()
    yield where
    server.close()
    assert not where.exists()


def test_question_and_answer(path: Path) -> None:
    assert ask(path, "status", arguments={"text": "ü\n", "number": 3}) == {"text": "ü\n", "number": 3}


def test_one_connection_carries_several_commands(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        with connection.makefile("rwb") as lines:
            for number in range(3):
                lines.write(json.dumps({"command": "status", "n": number}).encode() + b"\n")
                lines.flush()
                assert json.loads(lines.readline()) == {"result": {"n": number}}


def test_errors_keep_their_family(path: Path) -> None:
    with pytest.raises(Refused, match="NOT_FOUND: no such job") as refused:
        ask(path, "refuse")
    assert (refused.value.code, refused.value.hint) == ("NOT_FOUND", "look again")
    with pytest.raises(BadData, match="odd") as bad:
        ask(path, "bad")
    assert (bad.value.exit_status, bad.value.hint) == (65, "give another")
    with pytest.raises(HpcbridgeError, match="no answer within"):
        ask(path, "script")


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b"{]\n", b"\xff\xfe\n", b'"command"\n'])
def test_nonsense_is_answered_and_harmless(path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as lines:
            assert "one line of JSON" in json.loads(lines.readline())["error"]["message"]
    assert ask(path, "status") == {}


def test_unknown_command(path: Path) -> None:
    with pytest.raises(HpcbridgeError, match="knows no command 'dance'") as error:
        ask(path, "dance")
    assert "one version" in error.value.hint


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="does not answer") as error:
        ask(tmp_path / "control.sock", "status")
    assert error.value.exit_status == 69


def test_a_daemon_that_breaks_off(tmp_path: Path) -> None:
    where = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(where))
        listener.listen()

        def answer_half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b'{"result": {"jo')

        thread = threading.Thread(target=answer_half)
        thread.start()
        with pytest.raises(LedgerUnavailable, match="broke off"):
            ask(where, "status")
        thread.join()


def test_a_stale_socket_is_replaced_a_live_one_is_not(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another hpcbridged"):
        ControlServer(path, HANDLERS, acting=()).start()
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    server = ControlServer(stale, HANDLERS, acting=())
    server.start()
    try:
        assert ask(stale, "status") == {}
    finally:
        server.close()


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    file = tmp_path / "control.sock"
    file.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        ControlServer(file, HANDLERS, acting=()).start()
    assert file.read_text() == "precious"


def test_the_socket_is_closed_to_others(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == (0o660 if os.geteuid() == 0 else 0o600)


def test_the_kernel_says_who_asks() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert set(os.getgroups()) <= peer.groups


def ask_as(uid: int, gid: int, path: Path, command: str) -> dict[str, Any]:
    """The answer that another account gets: a process of its own that drops its rights before it connects."""
    program = (
        "import os,socket,sys\n"
        "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))\n"
        "c=socket.socket(socket.AF_UNIX); c.connect(sys.argv[3])\n"
        "c.sendall(b'{\"command\": \"'+sys.argv[4].encode()+b'\"}\\n'); print(c.makefile().readline())"
    )
    argv = [sys.executable, "-c", program, str(uid), str(gid), str(path), command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@needs_root
def test_the_group_reads_and_does_not_act(path: Path) -> None:
    assert ask_as(4711, NOBODY, path, "status") == {"result": {}}
    refused = ask_as(4711, NOBODY, path, "flush")["error"]
    assert (refused["code"], refused["exit_status"]) == ("NOT_PERMITTED", 77)


@needs_root
def test_others_get_nothing_even_if_the_file_lets_them_in(path: Path) -> None:
    path.chmod(0o666)
    refused = ask_as(4711, 4711, path, "status")["error"]
    assert (refused["code"], refused["exit_status"]) == ("NOT_PERMITTED", 77)


@needs_root
def test_without_the_check_of_the_peer_others_would_act(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(control, "peer_of", lambda _connection: Peer(pid=0, uid=0, groups=frozenset()))
    path.chmod(0o666)
    assert ask_as(4711, 4711, path, "flush") == {"result": {}}


@needs_root
def test_the_file_mode_alone_keeps_others_out(path: Path) -> None:
    with pytest.raises(AssertionError, match="PermissionError"):
        ask_as(4711, 4711, path, "status")
