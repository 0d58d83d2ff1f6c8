# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Real scripts that stand in for a scheduler's commands: they answer, fail, hang, ignore TERM, leave children behind or never stop.

`FakeScheduler` is a folder of collecting scripts as ScriptRunner wants it; each call is logged with its arguments.
"""

from __future__ import annotations

from pathlib import Path

SCHEDULER = "fake"

HANG = "exec sleep 1000"
IGNORE_TERM = "trap '' TERM; while :; do sleep 1000; done"
LEAVE_CHILD = "sleep 1000 & echo answered"
LEAVE_STUBBORN_CHILD = "( trap '' TERM; while :; do sleep 1000; done ) & sleep 1000"
LEAVE_DAEMON = "setsid sh -c 'trap \"\" TERM; sleep 1000' >/dev/null 2>&1 & echo $! >\"$0.daemon\"; sleep 1000"
LEAVE_DAEMON_WITH_PIPE = "setsid sh -c 'trap \"\" TERM; sleep 1000' & echo $! >\"$0.daemon\"; echo answered"
PRINT_FOR_EVER = "exec yes 0123456789abcdef"
COMPLAIN_FOR_EVER = "while :; do echo complaint; done >&2"
GARBAGE = "head -c 65536 /dev/urandom"
NOTHING = "exit 0"


class FakeScheduler:
    """A folder `directory`/fake with one script per query."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folder = directory / SCHEDULER
        self._folder.mkdir(parents=True)
        self._log = directory / "calls"
        self._log.touch()

    def script(self, query: str, body: str) -> Path:
        """Writes the script of one query: `body` is sh."""
        path = self._folder / query
        path.write_text(f'#!/bin/sh\necho "{query} $*" >>"{self._log}"\necho $$ >"{self.directory}/{query}.pid"\n{body}\n')
        path.chmod(0o755)
        return path

    def answers(self, query: str, stdout: bytes, *, stderr: bytes = b"", exit_status: int = 0) -> Path:
        """Writes a script that prints exactly these bytes."""
        (self._folder / f"{query}.out").write_bytes(stdout)
        (self._folder / f"{query}.err").write_bytes(stderr)
        return self.script(query, f'cat "{self._folder}/{query}.out"; cat "{self._folder}/{query}.err" >&2; exit {exit_status}')

    def calls(self) -> list[str]:
        """Query and arguments of every call, in order."""
        return [line.strip() for line in self._log.read_text().splitlines()]

    def daemon(self, query: str) -> int | None:
        """The process in a session of its own that the last call of a query left behind, None if it is gone."""
        pid = int((self._folder / f"{query}.daemon").read_text())
        try:
            return None if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" else pid
        except OSError:
            return None

    def group_members(self, query: str) -> list[int]:
        """Processes that are left of the last call of a query: those of its process group, zombies not counted."""
        group = int((self.directory / f"{query}.pid").read_text())
        members = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[2]) == group and fields[0] != "Z":
                    members.append(int(entry.name))
        return members
