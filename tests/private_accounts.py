# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A world with accounts of its own: useradd, chpasswd and PAM for real, and nothing of this machine is touched. Needs root.

A mount namespace in which /etc is a copy and /home, /run, /var/lib/systemd, /var/log, /var/mail and /var/spool are empty; everything
else is this machine's. So programs, /tmp and the network are as outside, and a socket under /tmp works across. Processes are the machine's
own, therefore each world has 100 uids for itself (`uids`): what kills the processes of an account kills nobody else's.

    with PrivateAccounts(tmp_path / "world") as world:
        world.run(["useradd", "--uid", str(world.uids[0]), "--create-home", "alice"])
        world.run(["id"], user="alice")                     # one command, as root or as an account; its standard output
        daemon = world.spawn([...], user="alice")           # a Popen; its pid is the program's own
        with world.inside():                                # whatever this thread starts, opens or looks up is of the world:
            slurm = PrivateSlurm(tmp_path / "slurm")        #   Popen, pwd.getpwnam, Path("/etc/passwd"); threads begun here too
        assert world.lets_in("alice", passcode)             # a login by PAM, as a stranger would try it
    # leaving ends every process that is still in the world, by its id

A process stays in the world it was started in, wherever it is ended from. `accounts_environment` is what the scripts under
scheduler_scripts/accounts/unix want to know of this world ([scheduler] environment).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EMPTY = ("/home", "/run", "/var/lib/systemd", "/var/log", "/var/mail", "/var/spool")
"""Folders that are there and hold nothing of the machine's."""
STRANGER = "nobody"
"""Who tries to log in; root would be let in without a passcode."""

_CLONE_NEWNS = 0x0002_0000
_CLONE_FS = 0x0000_0200
_FIRST_UID = 700_000
_BLOCKS = 2_000
_UIDS = 100
_LIBC = ctypes.CDLL(None, use_errno=True)
_BUILD = """\
set -eu
world=$1; shift
mount -t tmpfs -o mode=0755 hpcbridge-accounts "$world"
cp -a /etc "$world/etc"
mount --bind "$world/etc" /etc
for folder in "$@"; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=0755 hpcbridge-accounts "$folder"
done
mkdir -p /run/lock /var/spool/cron/crontabs /var/spool/mail
chmod 1777 /run/lock /var/mail
touch /var/log/lastlog
echo built
read -r _
"""


class WorldMissing(RuntimeError):
    """This machine cannot make a world of its own: no root, or no mount namespaces."""


class PrivateAccounts:
    """A running world; `directory` is where its private files are mounted, empty for everybody outside."""

    def __init__(self, directory: Path) -> None:
        if os.geteuid() != 0:
            raise WorldMissing("making accounts needs root")
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        first = _FIRST_UID + secrets.randbelow(_BLOCKS) * _UIDS
        self.uids = range(first, first + _UIDS)
        self._namespace = _built(self.directory)
        self._identity = os.fstat(self._namespace).st_ino
        _quick_refusals(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def accounts_environment(self) -> Mapping[str, str]:
        """The uids of this world for scheduler_scripts/accounts/unix."""
        return {"ACCOUNTS_UIDS": f"{self.uids[0]}-{self.uids[-1]}"}

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and whatever it starts, is in the world until the end of the block."""
        folder = Path.cwd()
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self._namespace, folder)
            try:
                yield
            finally:
                _enter(home, folder)
        finally:
            os.close(home)

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 60.0,
    ) -> str:
        """Runs a command to its end and returns its standard output; RuntimeError with what it complained of, unless `check` is False."""
        with self.inside():
            done = subprocess.run(
                _as_user(argv, user), env=_environment(user, environment), input=stdin, capture_output=True, timeout=timeout, check=False,
            )  # fmt: skip
        if check and done.returncode != 0:
            complaint = done.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}: {complaint}")
        return done.stdout.decode(errors="replace")

    def spawn(
        self, argv: Sequence[str], *, user: str = "root", environment: Mapping[str, str] | None = None, output: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a program that goes on; what it prints is added to `output`."""
        with self.inside(), Path(output or os.devnull).open("ab") as sink:
            return subprocess.Popen(
                _as_user(argv, user), env=_environment(user, environment), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip

    def lets_in(self, username: str, passcode: str) -> bool:
        """True if a stranger who knows this passcode gets a shell as `username`: su, and through it PAM with /etc/shadow, decides."""
        got = self.run(["su", username, "-c", "id -un"], user=STRANGER, stdin=f"{passcode}\n".encode(), check=False)
        return got.strip() == username

    def entry(self, username: str) -> pwd.struct_passwd | None:
        """The account's line in the world's /etc/passwd."""
        with self.inside():
            try:
                return pwd.getpwnam(username)
            except KeyError:
                return None

    def read(self, path: str) -> str:
        """A file of the world."""
        with self.inside():
            return Path(path).read_text()

    def processes(self) -> list[int]:
        """The ids of all processes that are in the world (not the test's own, which only visits)."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and (entry / "ns/mnt").stat().st_ino == self._identity and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        """Ends every process of the world, TERM first, and forgets its files."""
        if self._namespace < 0:
            return
        _end(self, signal.SIGTERM, seconds=5.0)
        _end(self, signal.SIGKILL, seconds=10.0)
        os.close(self._namespace)
        self._namespace = -1


def _built(directory: Path) -> int:
    """A descriptor that keeps the namespace of a new world; the process that built it is over."""
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BUILD, "build", str(directory), *EMPTY]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": PATH}) as builder:
        if builder.stdout is None or builder.stdout.readline() != b"built\n":
            complaint = builder.communicate()[1].decode(errors="replace").strip()
            raise WorldMissing(f"no world of its own here: {complaint}")
        namespace = os.open(f"/proc/{builder.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        builder.communicate(b"\n")
    return namespace


def _quick_refusals(world: PrivateAccounts) -> None:
    """PAM waits two seconds after a wrong passcode; who tests refusals has no need to."""
    with world.inside():
        for path in map(Path, ("/etc/pam.d/common-auth", "/etc/pam.d/system-auth", "/etc/pam.d/password-auth")):
            if path.is_file():
                path.write_text("".join(
                    f"{line} nodelay\n" if "pam_unix.so" in line and line.startswith("auth") else f"{line}\n"
                    for line in path.read_text().splitlines()
                ))  # fmt: skip


def _enter(namespace: int, folder: Path) -> None:
    """Moves this thread. It must not share its working directory with other threads, and gets one anew."""
    if _LIBC.unshare(_CLONE_FS) != 0 or _LIBC.setns(namespace, _CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a mount namespace")
    os.chdir(folder)


def _as_user(argv: Sequence[str], user: str) -> list[str]:
    if user == "root":
        return list(argv)
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--init-groups", "--", *argv]


def _environment(user: str, more: Mapping[str, str] | None) -> Mapping[str, str]:
    entry = pwd.getpwnam(user)
    return {"PATH": PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": entry.pw_dir, "USER": user, "LOGNAME": user, **(more or {})}


def _end(world: PrivateAccounts, number: signal.Signals, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    sent: set[int] = set()
    while (left := _alive(world.processes())) and time.monotonic() < deadline:
        for pid in left:
            if pid not in sent or number is signal.SIGKILL:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                sent.add(pid)
        time.sleep(0.05)


def _alive(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if _state(pid) not in {"", "Z"}]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
