# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A machine of our own for tests: a real systemd as first process, in a container over a file system that is thrown away.

systemd-nspawn boots `root` (tests/make_machine_root) under an overlay in memory, in a mount namespace, a network namespace and a control
group of its own, without any service of this machine. When this program dies, killed or not, the kernel ends the first process of a
process namespace around it all (PR_SET_PDEATHSIG), hence every process, and with the last one every mount is gone. Machines know each
other only where `join` lays a cable.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.private_slurm import wait_until

PROGRAMS = ("systemd-nspawn", "nsenter", "unshare", "setpriv", "ip", "mount")
_PREFIX = "hpcbridge-machine-"
_BOOT_SECONDS = 60.0
_HIERARCHIES = tuple(Path("/sys/fs/cgroup") / name for name in ("systemd", "unified", ""))
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_LAUNCH = """
root=$1 home=$2 name=$3
for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e "$tree/cgroup.procs" ] || continue
    tries=0  # another test that looks for what is left may take the group away while it is empty
    until mkdir -p "$tree/$name" && { echo $$ >"$tree/$name/cgroup.procs"; } 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || exit 71
    done
done
mount -t tmpfs -o mode=755,size=2g tmpfs "$home" || exit 71
mkdir "$home/upper" "$home/work" "$home/merged"
mount -t overlay -o "lowerdir=$root,upperdir=$home/upper,workdir=$home/work" overlay "$home/merged" || exit 71
exec systemd-nspawn --quiet --boot --directory="$home/merged" --machine="$name" --hostname="${name##*-}" --register=no --keep-unit \\
    --private-network --resolv-conf=off --timezone=off --link-journal=no --notify-ready=yes --kill-signal=SIGRTMIN+3 --console=pipe
"""


class MachineMissing(RuntimeError):
    """Nothing can be booted here: no root, or programs are missing."""


class BootedMachine:
    """A running machine called `name`, a short word without hyphens, which is its host name. Its address is given by `join`."""

    def __init__(self, root: Path, *, name: str) -> None:
        check_machine()
        _remove_empty_groups()
        self.name = name
        self._container = f"{_PREFIX}{uuid.uuid4().hex[:8]}-{name}"
        self._home = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._console = self._home.with_suffix(".console")
        self.leader = 0
        with self._console.open("wb") as console, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            # Beside the folder, which a file system is mounted over.
            ready.bind(str(self._home.with_suffix(".ready")))
            ready.settimeout(_BOOT_SECONDS)
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
                 "--mount-proc", "sh", "-c", _LAUNCH, "launch", str(root), str(self._home), self._container],
                env={"PATH": _PATH, "NOTIFY_SOCKET": str(self._home.with_suffix(".ready"))},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd="/",
            )  # fmt: skip
            try:
                self._wait_until_ready(ready)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def try_run(self, *argv: str, stdin: str = "", timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs a command as root in the machine, whatever its exit status."""
        return subprocess.run(
            [*self._inside(), *argv], input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )

    def run(self, *argv: str, stdin: str = "", timeout: float = 60.0) -> str:
        """Runs a command as root in the machine and returns its standard output; RuntimeError with all it said if it fails."""
        done = self.try_run(*argv, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(argv)}: exit status {done.returncode}: {done.stderr.strip()} {done.stdout.strip()}")
        return done.stdout

    def shell(self, script: str, *, timeout: float = 60.0) -> str:
        """As `run`, a shell script; the first command that fails ends it."""
        return self.run("bash", "-euc", script, timeout=timeout)

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Writes a file of root's, and the folders above it."""
        self.run("sh", "-euc", 'mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"', "write", path, f"{mode:o}", stdin=text)

    def copy(self, source: Path, path: str) -> None:
        """Copies a file of this machine into it."""
        with source.open("rb") as data:
            subprocess.run([*self._inside(), "sh", "-euc", 'cat >"$1"', "copy", path], stdin=data, check=True, timeout=60)

    def journal(self, unit: str) -> str:
        """What a unit said, without times."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl shows it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def wait(self, condition: Callable[[], bool], *, what: str, timeout: float = 30.0) -> None:
        """Waits until something is so in the machine; TimeoutError with the end of its journal."""
        try:
            wait_until(condition, timeout=timeout, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.run('journalctl', '--no-pager', '--lines=40')}") from error

    def close(self) -> None:
        """Ends every process in it; nothing of it is left."""
        if self._process.poll() is None:
            # Nothing in it is worth an orderly end: with the first process of its namespace all others end.
            for nspawn in _children(self._process.pid):
                _kill(nspawn)
            self._process.kill()
            self._process.wait(30)
        self._console.unlink(missing_ok=True)
        self._home.with_suffix(".ready").unlink(missing_ok=True)
        shutil.rmtree(self._home, ignore_errors=True)
        wait_until(lambda: not _remove_empty_groups(only=self._container), timeout=10, what=f"the end of {self._container}")

    def _inside(self) -> list[str]:
        target = ["nsenter", "--target", str(self.leader), *(f"--{kind}" for kind in ("mount", "uts", "ipc", "net", "pid", "cgroup"))]
        clean = ["env", "--chdir=/", "--ignore-environment", f"PATH={_PATH}", "LC_ALL=C.UTF-8", "HOME=/root", "COLUMNS=160"]
        return [*target, "--root", "--", *clean]

    def _wait_until_ready(self, ready: socket.socket) -> None:
        told = ""
        while "READY=1" not in told.splitlines():
            try:
                told += ready.recv(4096).decode() + "\n"
            except TimeoutError as error:
                raise MachineMissing(f"{self.name} did not boot: {self._said()}") from error
            if self._process.poll() is not None:
                raise MachineMissing(f"{self.name} did not boot: {self._said()}")
        leaders = [line for line in told.splitlines() if line.startswith("X_NSPAWN_LEADER_PID=")]
        # nspawn is the first process of a namespace and gives the number there.
        self.leader = _outside(self._process.pid, leaders[0].partition("=")[2])

    def _said(self) -> str:
        return self._console.read_text(errors="replace")[-2000:]


def join(first: BootedMachine, second: BootedMachine) -> tuple[str, str]:
    """Lays a cable between two machines; their addresses on it. They know each other by name."""
    addresses = ("10.77.0.1", "10.77.0.2")
    peer = ["peer", "name", "cable0", "netns", str(second.leader)]
    subprocess.run(["nsenter", "--target", str(first.leader), "--net", "ip", "link", "add", "cable0", "type", "veth", *peer], check=True)
    for machine, address in zip((first, second), addresses, strict=True):
        names = "".join(f"{each} {other.name}\n" for each, other in zip(addresses, (first, second), strict=True))
        machine.run("ip", "address", "add", f"{address}/24", "dev", "cable0")
        machine.run("ip", "link", "set", "cable0", "up")
        machine.run("sh", "-euc", "cat >>/etc/hosts", stdin=names)
    return addresses


def check_machine(*more: str) -> None:
    """MachineMissing if nothing can be booted here, or one of `more` programs is missing."""
    if os.geteuid() != 0:
        raise MachineMissing("only root can boot a machine")
    missing = [program for program in (*PROGRAMS, *more) if shutil.which(program, path=_PATH) is None]
    if missing:
        raise MachineMissing(f"not installed: {' '.join(missing)}")


def _children(process_id: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def _outside(launcher: int, number: str) -> int:
    """The number that a child of nspawn has here, by the one it has where nspawn is; `launcher` is nspawn's parent."""
    for process_id in (child for nspawn in _children(launcher) for child in _children(nspawn)):
        status = Path(f"/proc/{process_id}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if number in numbers[1:2]:
            return process_id
    raise MachineMissing(f"the first process of the machine, {number}, is not found")


def _kill(process_id: int) -> None:
    try:
        os.kill(process_id, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove_empty_groups(*, only: str = _PREFIX) -> bool:
    """Removes control groups of machines that have ended; True if one is left. Those that live cannot be removed."""
    left = False
    for hierarchy in _HIERARCHIES:
        for group in hierarchy.glob(f"{only}*") if (hierarchy / "cgroup.procs").exists() else ():
            for folder in sorted((group, *group.rglob("*/")), reverse=True):
                try:
                    folder.rmdir()
                except OSError:
                    left = left or folder.exists()
    return left
