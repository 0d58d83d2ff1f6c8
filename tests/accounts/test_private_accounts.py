# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The world with accounts of its own: real logins, nothing of the machine touched, nothing left behind."""

from __future__ import annotations

import pwd
import threading
from pathlib import Path

import pytest

from tests.private_accounts import PrivateAccounts


def test_accounts_are_real_inside_and_unknown_outside(world: PrivateAccounts, tmp_path: Path) -> None:
    machine = Path("/etc/passwd").read_bytes(), Path("/etc/shadow").read_bytes()
    folder = Path.cwd()
    world.run(["useradd", "--uid", str(world.uids[-1]), "--create-home", "worldling"])
    world.run(["chpasswd"], stdin=b"worldling:right-one-22\n")
    assert world.lets_in("worldling", "right-one-22")
    assert not world.lets_in("worldling", "wrong-one-22")
    assert not world.lets_in("root", "")
    process = world.spawn(["sh", "-c", "id -un; pwd; exec sleep 1000"], user="worldling", output=tmp_path / "said")
    assert world.processes() == [process.pid]
    with world.inside():
        assert pwd.getpwnam("worldling").pw_uid == world.uids[-1]
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(pwd.getpwnam("worldling").pw_dir))
        thread.start()
        thread.join()
        assert seen == ["/home/worldling"]
        assert Path.cwd() == folder
    with pytest.raises(KeyError):
        pwd.getpwnam("worldling")
    world.close()
    assert process.wait(10) == -15
    assert world.processes() == []
    assert machine == (Path("/etc/passwd").read_bytes(), Path("/etc/shadow").read_bytes())
    assert not Path("/home/worldling").exists()
