# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Runs collecting and acting scripts: the one door to `subprocess` in this room.

A script is run by its absolute path with a list of arguments, no shell, a clean environment and its own session, and gets a time and
an output cap. Whatever it does (hang, ignore TERM, leave children behind, print for ever), its process group is gone at most three
seconds after its time is over, and so are children that made a group of their own, which are known by a mark in their environment
(unless a command began with an empty one). What it printed is returned as bytes: nothing is decoded or judged here. An acting script
gets its order on standard input, and it is no error if it does not read it, or not to its end.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from hpcbridge.errors import SchedulerError, ScriptMissing, ScriptTimedOut
from hpcbridge.schedulers.report import Report, Source

MAX_STDERR_BYTES = 256 << 10
_PATH = "/usr/local/bin:/usr/bin:/bin"
_CHUNK = 1 << 16
_TICK_SECONDS = 0.1
_TERM_SECONDS = 1.0
_LEFT_BEHIND_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 0.001
_MARK = "HPCBRIDGE_RUN"
_RUNS = itertools.count(1)
_ROUNDS = 5
_QUERY = re.compile(r"[a-z][a-z_]{0,30}\Z")
_ARGUMENT = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+%,:\[\]-]{0,127}\Z")


class ScriptRunner(Source):
    """Runs the scripts of one scheduler from `directory`/`scheduler`; each query at most once at a time."""

    def __init__(self, directory: Path, *, scheduler: str, environment: Mapping[str, str], timeout_seconds: float, max_bytes: int) -> None:
        self._directory = directory.absolute() / scheduler
        self._environment = {"PATH": _PATH, "LC_ALL": "C", "TZ": "UTC", **environment}
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def run(
        self, query: str, arguments: Sequence[str] = (), *, stdin: bytes | None = None, stopping: threading.Event | None = None
    ) -> Report:
        """Runs one script to its end; a non-zero exit status is part of the report and no error here. Without `stdin` there is nothing
        to read for it.

        Raises ScriptTimedOut, ScriptMissing, and SchedulerError for a script that may not be run, too much output, a query that is still
        running, and when `stopping` was set.
        """
        argv = (str(self._script(query)), *map(_checked, arguments))
        with self._alone(query), self._started(argv, f"{os.getpid()}-{next(_RUNS)}", reads=stdin is not None) as process:
            stdout, stderr, cpu_ms = self._collect(process, argv, stdin=stdin, stopping=stopping)
        return Report(query, argv, process.returncode, stdout, stderr, cpu_ms)

    def close(self) -> None:
        """Nothing is left to end: every run ends what it began."""

    def _script(self, query: str) -> Path:
        if not _QUERY.match(query):
            raise SchedulerError(f"{query[:40]!r} is not the name of a query")
        script = self._directory / query
        if not script.is_file():
            raise ScriptMissing(str(script))
        return script

    @contextlib.contextmanager
    def _alone(self, query: str) -> Iterator[None]:
        with self._lock:
            if query in self._running:
                raise SchedulerError(f"{query}: the run before is not over")
            self._running.add(query)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(query)

    @contextlib.contextmanager
    def _started(self, argv: Sequence[str], mark: str, *, reads: bool) -> Iterator[subprocess.Popen[bytes]]:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environment, _MARK: mark},
                cwd="/",
                start_new_session=True,
                close_fds=True,
            )
        except OSError as error:
            raise SchedulerError(f"{argv[0]}: cannot be run: {error.strerror}", hint="is it executable, with a #! line?") from error
        whole = False
        try:
            yield process
            whole = True
        finally:
            _end_group(process)
            if not whole or not _at_end(process.stdout) or not _at_end(process.stderr):
                _end_marked(f"{_MARK}={mark}".encode())
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _collect(
        self, process: subprocess.Popen[bytes], argv: Sequence[str], *, stdin: bytes | None, stopping: threading.Event | None
    ) -> tuple[bytes, bytes, int]:
        """Reads until both ends are closed, or a second after the script itself is over: a child it left behind may hold them open."""
        deadline = time.monotonic() + self._timeout_seconds
        stdout, stderr = io.BytesIO(), io.BytesIO()
        cpu_ms: int | None = None
        over_at = 0.0
        with selectors.DefaultSelector() as selector:
            for stream, buffer in ((process.stdout, stdout), (process.stderr, stderr)):
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, buffer)
            if stdin is not None and process.stdin is not None:
                os.set_blocking(process.stdin.fileno(), False)
                selector.register(process.stdin, selectors.EVENT_WRITE, io.BytesIO(stdin))
            while selector.get_map():
                now = self._checked_time(argv, deadline, stopping)
                if cpu_ms is not None and now >= over_at + _LEFT_BEHIND_SECONDS:
                    break
                for key, _ in selector.select(min(_TICK_SECONDS, deadline - now)):
                    _move_some(selector, key)
                stderr.truncate(MAX_STDERR_BYTES)
                stderr.seek(0, io.SEEK_END)
                if stdout.tell() > self._max_bytes:
                    raise SchedulerError(f"{argv[0]}: printed more than {self._max_bytes} bytes")
                if cpu_ms is None and (cpu_ms := _reaped(process)) is not None:
                    over_at = time.monotonic()
        pause = stopping or threading.Event()
        seconds = _FIRST_LOOK_SECONDS
        while cpu_ms is None and (cpu_ms := _reaped(process)) is None:
            pause.wait(min(seconds, max(0.0, deadline - self._checked_time(argv, deadline, stopping))))
            seconds = min(2 * seconds, _TICK_SECONDS)
        return stdout.getvalue(), stderr.getvalue(), cpu_ms  # getvalue of what is not written to any more copies nothing

    def _checked_time(self, argv: Sequence[str], deadline: float, stopping: threading.Event | None) -> float:
        """Monotonic time, unless there is none left."""
        if stopping is not None and stopping.is_set():
            raise SchedulerError(f"{argv[0]}: stopped before it was over")
        now = time.monotonic()
        if now >= deadline:
            raise ScriptTimedOut(argv, self._timeout_seconds)
        return now


def _checked(argument: str) -> str:
    if not _ARGUMENT.match(argument):
        raise SchedulerError(f"{argument[:60]!r} is not an argument for a script")
    return argument


def _move_some(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    stream: IO[bytes] = key.fileobj  # type: ignore[assignment]
    if key.events == selectors.EVENT_WRITE:
        if not _written_some(stream, key.data):
            selector.unregister(stream)
            stream.close()
        return
    chunk = os.read(stream.fileno(), _CHUNK)
    if chunk:
        key.data.write(chunk)
    else:
        selector.unregister(stream)


def _written_some(stream: IO[bytes], source: io.BytesIO) -> bool:
    """False when there is no more to write, or nobody who would read it."""
    waiting = source.getbuffer()[source.tell() :]
    if not waiting:
        return False
    try:
        source.seek(os.write(stream.fileno(), waiting), io.SEEK_CUR)
    except BrokenPipeError:
        return False
    return True


def _reaped(process: subprocess.Popen[bytes]) -> int | None:
    """Processor time, in ms, of a script that is over and of those of its children it waited for; None while it runs.

    The exit status is put where Popen looks for it: whoever asks wait4 is the last one the kernel tells.
    """
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return round((usage.ru_utime + usage.ru_stime) * 1000)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM, then KILL, for the whole group; harmless when it is gone: the kernel does not reuse the id of a group that has members."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(_TERM_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
    _signal_group(process.pid, signal.SIGKILL)


def _at_end(stream: IO[bytes] | None) -> bool:
    """True if nobody can write to it any more; it is read no further."""
    if stream is None:
        return True
    readable = select.poll()
    readable.register(stream, select.POLLIN)
    return bool(readable.poll(0)) and not os.read(stream.fileno(), 1)


def _end_marked(mark: bytes) -> None:
    """KILL for every process of ours with this in its environment, until there is none: one may have forked another meanwhile."""
    for _ in range(_ROUNDS):
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and mark in _environment_of(entry)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _environment_of(process: Path) -> Sequence[bytes]:
    """Empty for a process that is gone or another account's."""
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return ()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
