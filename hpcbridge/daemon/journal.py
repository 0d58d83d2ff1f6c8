# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Where our words go: lines on standard error, or entries with fields where standard error is systemd's journal.

`logger.info("refused index=%d first_code=%s", …)` becomes an entry with HPCBRIDGE_EVENT=refused, HPCBRIDGE_INDEX, HPCBRIDGE_FIRST_CODE and
its PRIORITY. What is a field is read from our own template, never from the text that was put in, so that no job's name makes one.

The journal's own protocol is one datagram (systemd.io/JOURNAL_NATIVE_PROTOCOL), spoken here without the library: that exists for the
Python of a distribution only, and waits with Python's lock held for a journal that does not read.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

JOURNAL_SOCKET = "/run/systemd/journal/socket"
_LINE = "%(levelname)s %(name)s %(message)s"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_DIRECTIVE = re.compile(r"%(?:%|[-#0 +]*\d*(?:\.\d+)?[a-zA-Z])")
_EVENT = re.compile(r"[a-z][a-z0-9_]*\Z")
_PAIR = re.compile(r"([a-z][a-z0-9_]{0,39})=(\S+)\Z")
_LONGEST_FIELD = 4096
_LONGEST_MESSAGE = 32_768
_WAIT_SECONDS = 1.0


def start_logging(level: str, environment: Mapping[str, str], *, program: str, fields: Mapping[str, str] | None = None) -> None:
    """To the journal with fields, of which `fields` are in every entry, if standard error leads there; else as lines."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_LINE))
    if leads_to_journal(sys.stderr, environment):
        handler = JournalHandler(JOURNAL_SOCKET, {"SYSLOG_IDENTIFIER": program, **_named(fields or {})}, fallback=sys.stderr)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def leads_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """True if the stream is the one that systemd says leads to its journal (JOURNAL_STREAM, systemd.exec(5))."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(facts.st_dev), str(facts.st_ino))


class JournalHandler(logging.Handler):
    """Sends entries to the journal's socket at `address`; while that takes none, lines with their priority go to `fallback`."""

    def __init__(self, address: str, fields: Mapping[str, str], *, fallback: TextIO) -> None:
        super().__init__()
        self._address = address
        self._fields = dict(fields)
        self._fallback = fallback
        self._socket: socket.socket | None = None
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One entry. A journal that does not read is waited for a moment; what it did not take is counted in the next entry."""
        message = _message(record)
        fields = {"MESSAGE": message[:_LONGEST_MESSAGE], "PRIORITY": str(_priority(record.levelno)), **self._fields, **_about(record)}
        if self._lost:
            fields["HPCBRIDGE_LOST_ENTRIES"] = str(self._lost)
        try:
            self._connected().send(b"".join(_encoded(fields)))
            self._lost = 0
        except TimeoutError:
            self._lost += 1
        except OSError:
            # Not there, or started anew: systemd keeps the stream that it gave us.
            self._disconnect()
            self._say(f"<{_priority(record.levelno)}>{message.replace(chr(10), ' | ')}\n")

    def close(self) -> None:
        """Nothing is sent after this."""
        self._disconnect()
        super().close()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            try:
                connection.settimeout(_WAIT_SECONDS)
                connection.connect(self._address)
            except OSError:
                connection.close()
                raise
            self._socket = connection
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, line: str) -> None:
        try:
            self._fallback.write(line)
            self._fallback.flush()
        except (OSError, ValueError):
            self._lost += 1


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What a message of the form `event first=%s second=%d` tells, by name; `event` itself too, if all the rest are such pairs."""
    words = str(record.msg).split(" ")
    arguments = record.args if isinstance(record.args, tuple) else ()
    if sum(len(_directives(word)) for word in words) != len(arguments):
        return {}
    found: dict[str, str] = {}
    others: list[str] = []
    for word in words:
        count = len(_directives(word))
        values, arguments = arguments[:count], arguments[count:]
        pair = _PAIR.match(word)
        if pair is None:
            others.append(_put(word, values))
        else:
            found[pair[1]] = _put(pair[2], values)
    if len(others) == 1 and _EVENT.match(others[0]) and str(record.msg).startswith(words[0]) and _PAIR.match(words[0]) is None:
        found = {"event": others[0], **found}
    return found


def _directives(word: str) -> list[str]:
    return [each for each in _DIRECTIVE.findall(word) if each != "%%"]


def _put(word: str, values: tuple[object, ...]) -> str:
    """The word with its values as they are: a field needs no quotes that keep it apart from its neighbours."""
    return word.replace("%r", "%s") % values


def _about(record: logging.LogRecord) -> dict[str, str]:
    code = {"CODE_FILE": record.pathname, "CODE_LINE": str(record.lineno), "CODE_FUNC": record.funcName or ""}
    return {"LOGGER": record.name, "THREAD_NAME": record.threadName or "", **code, **_named(fields_of(record))}


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    return {f"HPCBRIDGE_{name.upper()}": value[:_LONGEST_FIELD] for name, value in fields.items()}


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    return text


def _priority(level: int) -> int:
    """As syslog(3) counts."""
    return next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)


def _encoded(fields: Mapping[str, str]) -> Iterator[bytes]:
    """Each field with its length before it, so that no byte of a value can begin another one."""
    for name, value in fields.items():
        data = value.encode(errors="replace")
        yield name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
