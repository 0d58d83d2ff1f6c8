# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The machines that tests boot end with the tests, even with those that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.booted_machine import BootedMachine
from tests.machine_packages import CHECKOUT
from tests.private_slurm import wait_until

PROGRAM = """
import sys
from pathlib import Path
from tests.booted_machine import BootedMachine

with BootedMachine(Path(sys.argv[1]), name="brief") as machine:
    print(machine.leader, flush=True)
    sys.stdin.read()
"""


def test_killing_the_program_ends_its_machine(machine_root: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(machine_root)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as program:
        assert program.stdout is not None
        leader = int(program.stdout.readline())
        assert Path(f"/proc/{leader}/comm").read_text().strip() == "systemd"
        program.kill()
    wait_until(lambda: not Path(f"/proc/{leader}").exists(), timeout=20, what="the end of the machine")


def test_machines_leave_nothing_behind_and_see_nothing_of_each_other(machine_root: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    with BootedMachine(machine_root, name="one") as one, BootedMachine(machine_root, name="two") as two:
        one.write("/etc/mark", "one\n")
        assert two.try_run("cat", "/etc/mark").returncode != 0
        assert not (machine_root / "etc/mark").exists()
        assert one.run("hostname").strip() == "one"
        assert "eth" not in two.run("ip", "-brief", "link")
        leaders = (one.leader, two.leader)
    wait_until(lambda: not any(Path(f"/proc/{leader}").exists() for leader in leaders), timeout=5, what="the end of both")
    assert Path("/proc/self/mountinfo").read_text() == before
    groups = [*Path("/sys/fs/cgroup").glob("hpcbridge-machine-*"), *Path("/sys/fs/cgroup").glob("*/hpcbridge-machine-*")]
    assert not [group for group in groups if group.name.endswith(("-one", "-two"))]
