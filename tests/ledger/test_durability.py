# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""S2, S3: a writer that is killed anywhere loses no acknowledged group, and every durable step has its fail points."""

from __future__ import annotations

import ast
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpcbridge.ledger
from hpcbridge import failpoints
from hpcbridge.errors import ConfigError
from hpcbridge.ledger.highwater import HighWater, check_not_behind
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from tests.ledger_filling import fill, leaf_of

ROOT = Path(__file__).parent.parent.parent
LEDGER = Path(hpcbridge.ledger.__file__).parent

WRITER = """
import sys
from pathlib import Path
from hpcbridge.ledger.highwater import HighWater, Mark
from hpcbridge.ledger.store import Store
from hpcbridge.ledger.tiles import Tree
from tests.ledger_filling import next_group

directory = Path(sys.argv[1])
with Store.open(directory / "ledger.db") as store, HighWater.open(directory / "high-water") as high_water:
    tree = Tree(store)
    for _ in range(int(sys.argv[2])):
        store.append(next_group(tree, 7))
        high_water.write(Mark(size=tree.size, root=tree.root()))
        print(tree.size, flush=True)
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    Store.open(tmp_path / "ledger.db", create=True).close()
    HighWater.create(tmp_path / "high-water").close()
    return tmp_path


def start_writer(directory: Path, groups: int, failpoint: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HPCBRIDGE_FAILPOINT": failpoint}
    command = [sys.executable, "-c", WRITER, str(directory), str(groups)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_nothing_acknowledged_is_lost(directory: Path, acknowledged: int) -> int:
    with Store.open(directory / "ledger.db") as store, HighWater.open(directory / "high-water") as high_water:
        size = store.size()
        assert size % 7 == 0
        assert acknowledged <= high_water.mark.size <= size
        assert store.leaves(0, size) == [leaf_of(index) for index in range(size)]
        check_not_behind(Tree(store), high_water.mark)
        return size


@pytest.mark.parametrize("kills", [4, pytest.param(500, marks=pytest.mark.full)])
def test_killed_writer_loses_no_acknowledged_group(directory: Path, kills: int) -> None:
    chance = random.Random(9)
    last = 0
    for _ in range(kills):
        writer = start_writer(directory, 100_000)
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 60)):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split("\n")[:-1]
        acknowledged = int(rest[-1]) if rest else acknowledged
        assert acknowledged > last
        last = check_nothing_acknowledged_is_lost(directory, acknowledged)


WRITING = ("store.before_commit", "store.after_commit", "highwater.before_sync", "highwater.after_sync")
CREATING = ("store.before_create_commit", "store.after_create_commit", "directory.before_sync", "directory.after_sync")


@pytest.mark.parametrize("name", [*WRITING, "store.before_close_sync", "store.after_close_sync"])
def test_writer_that_ends_at_a_fail_point_loses_no_acknowledged_group(name: str, directory: Path) -> None:
    count = 1 if "close" in name else 3
    writer = start_writer(directory, 5, f"{name}:exit:{count}")
    output, errors = writer.communicate()
    assert writer.returncode == failpoints.EXIT_STATUS, errors
    acknowledged = output.split()
    assert len(acknowledged) == (5 if "close" in name else 2)
    check_nothing_acknowledged_is_lost(directory, int(acknowledged[-1]))


@pytest.mark.parametrize("name", CREATING)
def test_creation_that_ends_at_a_fail_point_leaves_no_store_that_lies(name: str, tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from hpcbridge.ledger.store import Store; Store.open(Path(sys.argv[1]), create=True)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HPCBRIDGE_FAILPOINT": f"{name}:exit"}
    path = tmp_path / "ledger.db"
    assert subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False).returncode == failpoints.EXIT_STATUS
    if name == "store.before_create_commit":
        with pytest.raises(ConfigError, match="not a ledger store"):
            Store.open(path)
    else:
        with Store.open(path) as store:
            assert store.size() == 0


DURABLE = ("fsync", "fdatasync", "COMMIT", "super().close")


def unguarded(source: str) -> list[str]:
    """Durable steps that do not stand between two fail points of one block."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for block in (getattr(node, "body", None), getattr(node, "finalbody", None)):
            if not isinstance(block, list):
                continue
            lines = [ast.unparse(statement) for statement in block]
            for place, line in enumerate(lines):
                called = isinstance(block[place], ast.Expr) and isinstance(block[place].value, ast.Call)
                durable = called and any(step in line for step in DURABLE)
                before = place > 0 and lines[place - 1].startswith("reach(")
                after = any(later.startswith("reach(") for later in lines[place + 1 :])
                if durable and not (before and after):
                    found.append(line)
    return found


@pytest.mark.parametrize("path", sorted(LEDGER.rglob("*.py")), ids=lambda path: path.name)
def test_every_commit_and_sync_stands_between_fail_points(path: Path) -> None:
    assert unguarded(path.read_text()) == []


def test_control_the_look_for_fail_points_finds_a_bare_sync() -> None:
    assert unguarded("def f():\n    os.fsync(1)\n    reach('x')") == ["os.fsync(1)"]
    assert unguarded("def f():\n    reach('x')\n    db.execute('COMMIT')") == ["db.execute('COMMIT')"]
    assert unguarded("def f():\n    reach('x')\n    os.fsync(1)\n    reach('y')") == []


def test_fail_points_happen_once_at_their_count() -> None:
    failpoints.arm("one:eio:3,two:raise")
    failpoints.reach("one")
    failpoints.reach("one")
    failpoints.reach("other")
    with pytest.raises(OSError, match="fail point one"):
        failpoints.reach("one")
    failpoints.reach("one")
    with pytest.raises(failpoints.FailpointReached):
        failpoints.reach("two")
    failpoints.arm("")
    failpoints.reach("two")


@pytest.mark.parametrize("text", ["x", "x:explode", "x:exit:0", "x:exit:many", ":exit", "x:exit:1:2"])
def test_unreadable_fail_points_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="fail point"):
        failpoints.arm(text)


def test_the_connection_that_writes_syncs_fully(tmp_path: Path) -> None:
    """Durability hangs on two settings of the connection; they are what we think they are."""
    with Store.open(tmp_path / "ledger.db", create=True) as store:
        fill(store, 1)
        assert store._query("PRAGMA synchronous") == [(2,)]
        assert store._query("PRAGMA journal_mode") == [("wal",)]
