# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Between the daemon and the privileged helper `hpcbridge-accounts`: one order, one answer, each a line of JSON over a Unix socket.

The daemon's end is an `Actor` like any other: whatever goes wrong on the way is `LATER` with the reason, because nothing is known of
what the helper did, and an order may be carried out twice. The helper's end believes the kernel about who asks and nobody else,
reads one bounded line within seconds, and takes nothing that is not exactly an order. The passcode is in the line and nowhere else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import msgspec

from hpcbridge.model.accounts import AccountAction, AccountOrder, ActionOutcome, ActionResult, Actor
from hpcbridge.model.quantities import escape_text

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 1 << 16
READ_SECONDS = 5.0
"""An order is written at once; who writes slower keeps the helper from others."""
_CREDENTIALS = struct.Struct("3i")
_TICK_SECONDS = 0.5
_LET_GO_SECONDS = 0.5
_CHUNK = 1 << 14
_MAX_REASON = 256


class HelperActor:
    """Has orders carried out by the helper that listens at `path`."""

    def __init__(self, path: Path, *, timeout_seconds: float = 120.0, stopping: threading.Event | None = None) -> None:
        """`timeout_seconds` for everything, so more than the helper gives a script; a set `stopping` ends a wait soon."""
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._stopping = stopping or threading.Event()

    def act(self, order: AccountOrder) -> ActionResult:
        """Sends the order and waits for the answer."""
        deadline = time.monotonic() + self._timeout_seconds
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(min(READ_SECONDS, self._timeout_seconds))
                connection.connect(str(self._path))
                if (uid := peer_uid(connection)) not in {0, os.geteuid()}:
                    return _later(f"{self._path}: belongs to uid {uid}, and the helper is root's: is something else listening there?")
                connection.sendall(encode_order(order))
                return decode_result(self._answer(connection, deadline))
        except (FileNotFoundError, ConnectionRefusedError):
            return _later(f"{self._path}: nobody listens there: is hpcbridge-accounts.socket enabled and started?")
        except PermissionError:
            return _later(f"{self._path}: not permitted: this daemon's account must be the one the socket was made for")
        except OSError as error:  # TimeoutError is one, and its strerror is empty
            return _later(f"{self._path}: the helper gave no answer: {error.strerror or error}")
        except ValueError as error:
            return _later(f"{self._path}: {error}")

    def _answer(self, connection: socket.socket, deadline: float) -> bytes:
        connection.settimeout(_TICK_SECONDS)
        read = bytearray()
        while not read.endswith(b"\n"):
            if self._stopping.is_set():
                raise TimeoutError("stopped before it answered")
            if time.monotonic() >= deadline:
                raise TimeoutError(f"none within {self._timeout_seconds:g} s")
            with contextlib.suppress(TimeoutError):
                if not (chunk := connection.recv(_CHUNK)):
                    raise ConnectionResetError("it ended in the middle")
                read += chunk
            if len(read) > MAX_LINE_BYTES:
                raise ValueError("the helper's answer is longer than any answer")
        return bytes(read)


def serve(listener: socket.socket, actor: Actor, *, allowed_uids: Collection[int], idle_seconds: float) -> None:
    """Answers one connection after the other; returns when none came for `idle_seconds`."""
    listener.settimeout(idle_seconds)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return
        with connection:
            try:
                answer(connection, actor, allowed_uids=allowed_uids)
                _let_go(connection)
            except OSError as error:
                logger.warning("an order was cut off: %s", error.strerror or error)


def answer(connection: socket.socket, actor: Actor, *, allowed_uids: Collection[int]) -> None:
    """Reads one order, has it carried out, and says what came of it. Raises OSError if the other end is gone."""
    uid = peer_uid(connection)
    if uid not in allowed_uids:
        logger.warning("uid %d asked and may not", uid)
        _send(connection, _later(f"uid {uid} is not the daemon's account: the helper takes orders from nobody else"))
        return
    try:
        order = decode_order(_line(connection))
    except ValueError as error:
        logger.warning("uid %d sent no order: %s", uid, error)
        _send(connection, _failed(str(error)))
        return
    result = actor.act(order)
    logger.info(
        "%s of %s for %s: %s%s", order.action.value, escape_text(order.username, limit=32), escape_text(order.rental, limit=32),
        result.outcome.value, f" ({result.reason})" if result.reason else "",
    )  # fmt: skip
    _send(connection, result)


def peer_uid(connection: socket.socket) -> int:
    """Whose process is at the other end, as the kernel noted it when it connected or began to listen."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def encode_order(order: AccountOrder) -> bytes:
    """One line."""
    return json.dumps({**dataclasses.asdict(order), "action": order.action.value}).encode() + b"\n"


def decode_order(line: bytes) -> AccountOrder:
    """Exactly what `encode_order` makes, all members there and no other; ValueError, which quotes nothing, if not."""
    form = _decoded(line, _OrderForm, what="an order")
    return AccountOrder(**{field: getattr(form, field) for field in form.__struct_fields__})


def encode_result(result: ActionResult) -> bytes:
    """One line."""
    return json.dumps({"outcome": result.outcome.value, "reason": result.reason, "facts": dict(result.facts)}).encode() + b"\n"


def decode_result(line: bytes) -> ActionResult:
    """What `encode_result` makes; ValueError if it is something else."""
    form = _decoded(line, _ResultForm, what="an answer")
    return ActionResult(outcome=form.outcome, reason=form.reason, facts=form.facts)


class _OrderForm(msgspec.Struct, forbid_unknown_fields=True):
    action: AccountAction
    rental: str
    username: str
    cluster: str
    queue: str
    cores: int
    gpus: int
    expires_at: int
    passcode: str | None
    contact: str
    message: str


class _ResultForm(msgspec.Struct, forbid_unknown_fields=True):
    outcome: ActionOutcome
    reason: str
    facts: dict[str, str]


_Form = TypeVar("_Form", _OrderForm, _ResultForm)


def _decoded(line: bytes, form: type[_Form], *, what: str) -> _Form:
    try:
        return msgspec.json.decode(line, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"this is not {what}: {escape_text(str(error), limit=120)}") from error


def _line(connection: socket.socket) -> bytes:
    """Up to the newline; ValueError for too much, too slowly, or an end before it."""
    deadline = time.monotonic() + READ_SECONDS
    read = bytearray()
    while b"\n" not in read:
        if len(read) > MAX_LINE_BYTES:
            raise ValueError("this is longer than any order")
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            chunk = connection.recv(_CHUNK)
        except TimeoutError as error:
            raise ValueError(f"no whole order within {READ_SECONDS:g} s") from error
        if not chunk:
            raise ValueError("the order ended before its end")
        read += chunk
    line, _, more = read.partition(b"\n")
    if more:
        raise ValueError("there is something after the order")
    return bytes(line)


def _send(connection: socket.socket, result: ActionResult) -> None:
    connection.settimeout(READ_SECONDS)
    connection.sendall(encode_result(result))


def _let_go(connection: socket.socket) -> None:
    """Reads what is left, briefly: whoever is still writing to a socket that was closed learns of that, and not what it was answered."""
    connection.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + _LET_GO_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        if not connection.recv(_CHUNK):
            return


def _later(reason: str) -> ActionResult:
    return ActionResult(outcome=ActionOutcome.LATER, reason=escape_text(reason, limit=_MAX_REASON))


def _failed(reason: str) -> ActionResult:
    return ActionResult(outcome=ActionOutcome.FAILED, reason=escape_text(reason, limit=_MAX_REASON))
