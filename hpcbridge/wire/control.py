# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The daemon's control socket: one JSON object per line over a Unix socket, both ends.

A request is {"command": NAME, …arguments}, the answer {"result": …} or {"error": {"family", "message", "hint", "exit_status"}}.
The kernel says who asks: root and the daemon's own account may do everything, members of the group may read. File mode is only
the first of two locks.
"""

from __future__ import annotations

import contextlib
import grp
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbridge import errors
from hpcbridge.errors import ConfigError, HpcbridgeError, LedgerUnavailable, Refused

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], Any]
"""Takes the arguments of a command, returns what json can write; raises HpcbridgeError."""

MAX_REQUEST_BYTES = 1 << 20
MAX_ANSWER_BYTES = 256 << 20
"""A cluster has many jobs."""
_MAX_CONNECTIONS = 32
_IDLE_SECONDS = 30.0
_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59  # asm-generic/socket.h, Linux 4.13; the socket module has no name for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end, from the kernel."""

    pid: int
    uid: int
    groups: frozenset[int]


class ControlServer:
    """Serves commands in threads of its own until `close`. `acting` names the commands that need more than the group."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler], *, acting: Collection[str], group: str = "hpcbridge") -> None:
        self._path = path
        self._handlers = handlers
        self._acting = frozenset(acting)
        self._group_id = _group_id(group)
        self._stopping = threading.Event()
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Takes the socket's place and answers from now on; ConfigError if another process answers there or it cannot be made."""
        _remove_stale(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            if self._group_id is not None:
                self._open_to_group(self._group_id)
            listener.listen(_MAX_CONNECTIONS)
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"control socket {self._path} cannot be made: {error.strerror or error}", hint="see [control] socket in hpcbridged.toml"
            ) from error
        self._listener = listener
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        """No more answers; the socket's file is gone afterwards."""
        self._stopping.set()
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._path.unlink(missing_ok=True)
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _open_to_group(self, group_id: int) -> None:
        try:
            # Its own group it has already, and the sandbox of a service may forbid the call altogether.
            if self._path.stat().st_gid != group_id:
                os.chown(self._path, -1, group_id)
            self._path.chmod(0o660)
        except PermissionError:
            logger.warning("control socket is not open to its group path=%s gid=%d", self._path, group_id)

    def _accept(self) -> None:
        while not self._stopping.is_set() and self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    logger.warning("control socket cannot accept error=%s", error)
                    self._stopping.wait(1)
                continue
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="control-connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(_IDLE_SECONDS)
            peer = peer_of(connection)
            with connection.makefile("rb") as lines:
                while not self._stopping.is_set() and (line := lines.readline(MAX_REQUEST_BYTES + 1)):
                    connection.sendall(_to_line(self._answer(line, peer)))
        except OSError as error:
            logger.debug("control connection ended error=%s", error)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()
            self._places.release()

    def _answer(self, line: bytes, peer: Peer) -> Mapping[str, Any]:
        try:
            command, arguments = _parse_request(line)
            self._check_allowed(command, peer)
            return {"result": self._handlers[command](arguments)}
        except HpcbridgeError as error:
            return {"error": _error_as_json(error)}

    def _check_allowed(self, command: str, peer: Peer) -> None:
        if command not in self._handlers:
            raise HpcbridgeError(f"the daemon knows no command {command[:40]!r}", hint="are hpcbridgectl and hpcbridged of one version?")
        if peer.uid in (0, os.geteuid()):
            return
        if command in self._acting:
            raise Refused("NOT_PERMITTED", f"{command} is for root and the daemon's account", hint="run it with sudo")
        if self._group_id is None or self._group_id not in peer.groups:
            raise Refused("NOT_PERMITTED", "the daemon answers members of its group only", hint="ask the sysadmin to add you to the group")


def ask(path: Path, command: str, *, arguments: Mapping[str, Any] | None = None, timeout_seconds: float = 30.0) -> Any:
    """Sends one command to a daemon and returns its result; raises the error it answers with, in its own family.

    LedgerUnavailable (exit 69) if no daemon answers there.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(str(path))
            connection.sendall(_to_line({"command": command, **(arguments or {})}))
            with connection.makefile("rb") as lines:
                line = lines.readline(MAX_ANSWER_BYTES)
    except PermissionError as error:
        raise Refused(
            "NOT_PERMITTED",
            f"{path} is not open to this account",
            hint="ask the sysadmin to add you to the group of the daemon, or use sudo",
        ) from error
    except TimeoutError as error:
        raise LedgerUnavailable(f"hpcbridged at {path} gave no answer within {timeout_seconds:g} s", hint="look at its journal") from error
    except OSError as error:
        raise LedgerUnavailable(
            f"hpcbridged does not answer at {path}: {error.strerror or error}", hint="is it running? systemctl status hpcbridged"
        ) from error
    return _result_of(line, path)


def peer_of(connection: socket.socket) -> Peer:
    """Process, account and all groups of whoever connected, as they were at that moment."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    packed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
    extra = struct.unpack(f"{len(packed) // 4}I", packed)
    return Peer(pid=pid, uid=uid, groups=frozenset({gid, *extra}))


def _group_id(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        logger.info("no such group, the control socket is for root and this account only group=%s", group)
        return None


def _remove_stale(path: Path) -> None:
    """Takes away the socket of a daemon that died; ConfigError if one is alive or the path is something else."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"{path}: there is a file that is no socket", hint="see [control] socket in hpcbridged.toml")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ConfigError(f"{path}: cannot be looked at: {error.strerror or error}") from error
    raise ConfigError(f"{path}: another hpcbridged answers there", hint="stop it first: systemctl stop hpcbridged")


def _parse_request(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        request = json.loads(line)
        return str(request.pop("command")), request
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise HpcbridgeError('a request is one line of JSON with "command" in it') from error


def _to_line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _error_as_json(error: HpcbridgeError) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "family": type(error).__name__,
        "message": str(error),
        "hint": error.hint,
        "exit_status": error.exit_status,
    }
    return {**facts, "code": error.code, "reason": error.reason} if isinstance(error, Refused) else facts


def _result_of(line: bytes, path: Path) -> Any:
    try:
        answer = json.loads(line)
        if "error" not in answer:
            return answer["result"]
        facts = answer["error"]
        family, message, hint = str(facts["family"]), str(facts["message"]), str(facts.get("hint", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerUnavailable(f"hpcbridged at {path} broke off its answer", hint="look at its journal") from error
    raise _error_from(family, message, hint=hint, facts=facts)


def _error_from(family: str, message: str, *, hint: str, facts: Mapping[str, Any]) -> HpcbridgeError:
    if family == Refused.__name__:
        return Refused(str(facts.get("code", "NOT_PERMITTED")), str(facts.get("reason", message)), hint=hint)
    kind = getattr(errors, family, None)
    error = HpcbridgeError(message, hint=hint)
    if isinstance(kind, type) and issubclass(kind, HpcbridgeError) and kind.__init__ is HpcbridgeError.__init__:
        return kind(message, hint=hint)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        error.exit_status = int(facts["exit_status"])
    return error
