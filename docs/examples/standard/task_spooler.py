#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Site scripts for Task Spooler (tsp 1.0): prints the standard JSON of docs/standard.md. Called by the scripts beside it.

One user's queue on one machine: TS_SOCKET names its socket, and the owner of the socket owns every job. Everything a user writes is
treated as hostile. `tsp` prints labels and commands raw, so a newline in one forges a line: ids are taken from the list, but each is
asked for alone, and of that answer only what stands before and behind the command is believed.
"""

from __future__ import annotations

import datetime
import json
import os
import pwd
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

QUEUE = "tsp"
STATES = {"queued": "QUEUED", "running": "RUNNING"}
LINE = re.compile(r"(\d{1,9}) +[a-z]+ ")
INFO = re.compile(
    r"(?:Exit status: (?P<exit>[^\n]*)\n)?Command: (?P<command>.*)\nSlots required: (?P<slots>\d+)\n"
    r"Enqueue time: (?P<enqueued>[^\n]*)(?:\nStart time: (?P<started>[^\n]*))?(?:\nEnd time: (?P<ended>[^\n]*))?(?:\nTime run[^\n]*)?\n*\Z",
    re.DOTALL,
)


def main() -> int:
    """Prints the answer to one query; exit status 69 and a reason where there is none."""
    query, *job_ids = sys.argv[1:]
    try:
        owner = owner_of_the_queue()
        answers = {
            "about": lambda: {"about": {"name": "task-spooler", "version": version(), "accounting": True}},
            "jobs": lambda: {"jobs": jobs(listed_ids(), owner)},
            "ended": lambda: {"jobs": jobs(job_ids, owner)},
            "nodes": lambda: {"nodes": [node()]},
            "queues": lambda: {"queues": [{"name": QUEUE, "open": True, "nodes": [socket.gethostname()], "max_cores": slots()}]},
        }
        answer = answers[query]()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"task-spooler: {error}\n")
        return 69
    sys.stdout.write(json.dumps(answer, indent=1) + "\n")
    return 0


def owner_of_the_queue() -> str:
    """Who owns the socket. `tsp` starts a server where there is none, and its empty list would look like an answer."""
    path = Path(os.environ.get("TS_SOCKET", ""))
    status = path.stat()
    if not stat.S_ISSOCK(status.st_mode):
        raise ValueError(f"{path} is no socket")
    return pwd.getpwuid(status.st_uid).pw_name


def listed_ids() -> list[str]:
    """Every number that begins a line of the list; one that was forged is not known to the server."""
    lines = tsp().splitlines()
    if not lines or not lines[0].startswith("ID "):
        raise ValueError("the list has no header")
    return sorted({match.group(1) for line in lines[1:] if (match := LINE.match(line))}, key=int)


def jobs(job_ids: list[str], owner: str) -> list[dict[str, object]]:
    """The jobs of these ids that the server knows."""
    return [job(job_id, word, owner) for job_id in job_ids if (word := state_word(job_id)) is not None]


def job(job_id: str, word: str, owner: str) -> dict[str, object]:
    """One job. Its name is the program without arguments, which may hold secrets."""
    info = INFO.match(tsp("-i", job_id))
    if info is None:
        raise ValueError(f"job {job_id}: tsp -i is not in the known form")
    started, ended = time_of(info["started"]), time_of(info["ended"])
    return {
        "job_id": job_id,
        **state_of(word, info["exit"]),
        "owner": owner,
        "queue": QUEUE,
        "name": program_of(info["command"]),
        "cores": int(info["slots"]),
        "nodes": [socket.gethostname()] if started else [],
        "submitted_at": time_of(info["enqueued"]),
        "started_at": started,
        "ended_at": ended,
    }


def state_of(word: str, exit_text: str | None) -> dict[str, object]:
    """Our words. What is not known is said to be so, with the word, and never guessed."""
    if word in STATES:
        return {"state": STATES[word], "native_state": word}
    if word == "skipped":
        return {"state": "FAILED", "outcome": "CANCELLED", "native_state": word, "reason": "the job before it failed"}
    match = re.fullmatch(r"(died with exit code|killed by signal) (-?\d{1,3})", exit_text or "")
    if word != "finished" or match is None:
        return {"state": "UNDETERMINED", "native_state": f"{word} {exit_text or ''}".strip()[:64]}
    number = int(match[2])
    if match[1].startswith("killed"):
        return {"state": "FAILED", "outcome": "FAILED", "native_state": word, "exit_signal": number}
    if number:
        reason = "could not be started" if number < 0 else None
        return {"state": "FAILED", "outcome": "FAILED", "native_state": word, "exit_code": number, "reason": reason}
    return {"state": "DONE", "outcome": "COMPLETED", "native_state": word, "exit_code": 0}


def program_of(command: str) -> str:
    """The first word of a command, behind the mark of a job that waits for another."""
    words = re.sub(r"\A\[\d+\]&& ", "", command).split(None, 1)
    return words[0] if words else ""


def time_of(text: str | None) -> str | None:
    """ISO 8601 with Z, from ctime(3) in UTC: hpcbridged runs scripts with TZ=UTC."""
    if text is None:
        return None
    moment = datetime.datetime.strptime(text.strip(), "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007 (the zone is that of the command)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def node() -> dict[str, object]:
    """The machine. The server counts slots, so a slot is a core here."""
    return {"name": socket.gethostname(), "availability": "UP", "queues": [QUEUE], "cores_total": slots()}


def slots() -> int:
    """How many jobs may run at a time."""
    return int(tsp("-S"))


def version() -> str | None:
    """The version, where the program says one."""
    match = re.match(r"Task Spooler v(\S+)", tsp("-V"))
    return match[1] if match else None


def state_word(job_id: str) -> str | None:
    """The server's word for the state of a job; None if it does not know the job."""
    done = run("-s", job_id)
    if done.returncode != 0 and "cannot be stated" in done.stderr:
        return None
    done.check_returncode()
    return done.stdout.strip()


def tsp(*arguments: str) -> str:
    """What `tsp` prints; bytes that are not UTF-8 are kept as surrogates, which json.dump escapes."""
    done = run(*arguments)
    done.check_returncode()
    return done.stdout


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `tsp` for at most five seconds, its messages in English and its times in UTC."""
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(
        ["tsp", *arguments], capture_output=True, check=False, timeout=5, env=environment, encoding="utf-8", errors="surrogateescape"
    )


if __name__ == "__main__":
    sys.exit(main())
