# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Asks Slurm through pyslurm where that works, and through the scripts where it does not: a second door to `subprocess`.

Jobs, nodes and queues are asked of a child process (pyslurm_child.py) that lives from question to question; everything else is the
scripts' affair. A child that cannot import pyslurm, is of another release than Slurm, dies, hangs, says too much or something else
than an answer is killed with its process group, the question is put to the scripts, and one line in the log says why. It is tried
again after an hour, and at once when `about` tells of another release. An empty answer never comes of a failure here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from hpcbridge.errors import SchedulerError
from hpcbridge.model.quantities import escape_text
from hpcbridge.schedulers.report import Report, Source

ASKED = frozenset({"jobs", "nodes", "queues"})
"""Queries that pyslurm answers."""
RETRY_SECONDS = 3600.0
"""Until a child that failed is tried again."""
ERROR_SECONDS = 60.0
"""Until pyslurm is asked again after it answered with an error: most likely the controller is down, and the scripts say so."""

_PATH = "/usr/local/bin:/usr/bin:/bin"
_CHUNK = 1 << 16
_TICK_SECONDS = 0.1
_STDERR_BYTES = 4096
_HELLO_BYTES = 64 << 10
_RELEASE = re.compile(r"(?:slurm\S* )?(\d{1,4}\.\d{1,4})(?:\.|\Z|\s)")

logger = logging.getLogger(__name__)


class PyslurmSource(Source):
    """A source of reports with a pyslurm child in front of `fallback`. One question at a time is with the child."""

    def __init__(
        self,
        fallback: Source,
        *,
        python: str = sys.executable,
        environment: Mapping[str, str],
        timeout_seconds: float,
        max_bytes: int,
    ) -> None:
        self._fallback = fallback
        self._argv = (python, "-m", "hpcbridge.schedulers.slurm.pyslurm_child")
        # 0: ranges of arrays come in full length
        self._environment = {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", "SLURM_BITSTR_LEN": "0", **environment}
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._release: str | None = None
        self._resting_until = 0.0
        self._said: set[str] = set()

    def run(self, query: str, arguments: Sequence[str] = (), *, stopping: threading.Event | None = None) -> Report:
        """As ScriptRunner. A report of the child has `("pyslurm", VERSION, QUERY)` as argv."""
        if query == "about":
            return self._about(stopping)
        if query in ASKED and not arguments and (report := self._ask(query, stopping)) is not None:
            return report
        return self._fallback.run(query, arguments, stopping=stopping)

    def close(self) -> None:
        """Ends the child and the fallback."""
        with self._lock:
            self._end_child()
        self._fallback.close()

    def _about(self, stopping: threading.Event | None) -> Report:
        report = self._fallback.run("about", stopping=stopping)
        release = _release_of(report.stdout[:256].decode("utf-8", "replace"))
        if release is not None:
            with self._lock:
                if release != self._release:
                    self._release, self._resting_until = release, 0.0
                    self._said.clear()
                    self._end_child()
        return report

    def _ask(self, query: str, stopping: threading.Event | None) -> Report | None:
        """None if the scripts must answer."""
        if self._release is None and time.monotonic() >= self._resting_until:
            with contextlib.suppress(SchedulerError):  # whoever asks `about` next hears of it; jobs are asked as if there were no pyslurm
                self._about(stopping)
        if not self._lock.acquire(timeout=self._timeout_seconds):
            return None  # another question takes as long as one may: this one goes to the scripts
        try:
            if time.monotonic() < self._resting_until:
                return None
            return self._ask_child(query, stopping)
        except _ChildFailed as failure:
            self._rest(failure)
            return None
        finally:
            self._lock.release()

    def _ask_child(self, query: str, stopping: threading.Event | None) -> Report:
        deadline = time.monotonic() + self._timeout_seconds
        try:
            child = self._child or self._start_child(deadline, stopping)
            report = child.ask(query, deadline=deadline, max_bytes=self._max_bytes, stopping=stopping)
        except SchedulerError:
            self._end_child()
            raise
        except _ChildFailed as failure:
            if not failure.alive:
                self._end_child()
            raise
        if self._said:
            logger.info("pyslurm answers again version=%s", child.version)
            self._said.clear()
        return report

    def _start_child(self, deadline: float, stopping: threading.Event | None) -> _Child:
        if self._release is None:
            raise _ChildFailed("release", "the release of Slurm is not known, so none of pyslurm can match it")
        self._child = _Child(self._argv, self._environment)
        self._child.greet(self._release, deadline=deadline, stopping=stopping)
        logger.info("pyslurm is used version=%s", self._child.version)
        return self._child

    def _rest(self, failure: _ChildFailed) -> None:
        self._resting_until = time.monotonic() + (ERROR_SECONDS if failure.alive else RETRY_SECONDS)
        if failure.reason not in self._said:
            self._said.add(failure.reason)
            logger.warning("pyslurm is not used, the scripts answer reason=%s detail=%s", failure.reason, escape_text(str(failure)))

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _ChildFailed(Exception):
    """The child gave no answer. `alive` if it may be asked again."""

    def __init__(self, reason: str, detail: str, *, alive: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.alive = alive


class _Child:
    """One child process and the lines that go to and fro."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.version = ""
        self._number = 0
        self._stderr = bytearray()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
                close_fds=True,
                bufsize=0,
            )
        except OSError as error:
            raise _ChildFailed("start", f"{argv[0]}: {error.strerror}") from error

    def greet(self, release: str, *, deadline: float, stopping: threading.Event | None) -> None:
        """Hears its hello. Its release must be that of Slurm: the protocol of libslurm changes with every one."""
        line = self._read(b"", deadline=deadline, max_bytes=_HELLO_BYTES, stopping=stopping)
        hello = _object_of(line)
        version = hello.get("hello")
        if version is None and isinstance(hello.get("error"), str):
            raise _ChildFailed("import", str(hello["error"]))
        if not isinstance(version, str):
            raise _ChildFailed("garbage", f"no hello but {line[:100]!r}")
        if _release_of(version) != release:
            raise _ChildFailed("release", f"pyslurm is {version}, Slurm is {release}")
        self.version = version

    def ask(self, query: str, *, deadline: float, max_bytes: int, stopping: threading.Event | None) -> Report:
        """One question. What is returned has head, end and the records that the end counts."""
        self._number += 1
        request = json.dumps({"id": self._number, "query": query}).encode() + b"\n"
        try:
            _file(self._process.stdin).write(request)
        except OSError as error:
            raise _ChildFailed("died", self._last_words()) from error
        head, end, error_ = (f'{{"id":{self._number},"{word}":'.encode() for word in ("query", "end", "error"))
        answer = self._read(end, error_, deadline=deadline, max_bytes=max_bytes, stopping=stopping)
        last = answer[answer.rfind(b"\n", 0, -1) + 1 :]
        facts = _object_of(last)
        if last.startswith(error_) and last == answer:
            raise _ChildFailed("error", str(facts.get("error")), alive=True)
        count, cpu_ms = facts.get("end"), facts.get("cpu_ms")
        if not answer.startswith(head) or count != answer.count(b"\n") - 2 or answer.count(b"\n[") != count:
            raise _ChildFailed("garbage", f"{answer[:100]!r}")
        return Report(query, ("pyslurm", self.version, query), 0, answer, b"", cpu_ms if isinstance(cpu_ms, int) else None)

    def close(self) -> None:
        """Kills it with whatever it started; it has nothing to lose."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            _file(stream).close()

    def _read(self, *ends: bytes, deadline: float, max_bytes: int, stopping: threading.Event | None) -> bytes:
        """Reads until a line that begins with one of `ends` is complete and nothing follows it."""
        answer = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(_file(self._process.stdout), selectors.EVENT_READ, answer)
            selector.register(_file(self._process.stderr), selectors.EVENT_READ, self._stderr)
            while not (answer.endswith(b"\n") and answer.startswith(ends, answer.rfind(b"\n", 0, -1) + 1)):
                if stopping is not None and stopping.is_set():
                    raise SchedulerError("pyslurm: stopped before it was over")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _ChildFailed("hangs", f"no answer in time {self._last_words()}")
                for key, _ in selector.select(min(_TICK_SECONDS, left)):
                    chunk = os.read(key.fd, _CHUNK)
                    key.data.extend(chunk)
                    if not chunk and key.data is answer:
                        raise _ChildFailed("died", self._last_words())
                    if not chunk:
                        selector.unregister(key.fileobj)
                del self._stderr[:-_STDERR_BYTES]
                if len(answer) > max_bytes:
                    raise _ChildFailed("too_much", f"more than {max_bytes} bytes")
        return bytes(answer)

    def _last_words(self) -> str:
        words = bytes(self._stderr).decode("utf-8", "replace").strip().splitlines()
        return words[-1][:200] if words else ""


def _file(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the stream is no pipe")
    return stream


def _object_of(line: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _ChildFailed("garbage", f"{line[:100]!r}") from error
    return value if isinstance(value, dict) else {}


def _release_of(text: str) -> str | None:
    """Major and minor of `slurm 24.11.5` or `24.11.0`: releases of Slurm and of pyslurm that begin with the same two belong together."""
    match = _RELEASE.match(text)
    return match.group(1) if match else None
