# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The house: imports go down only, dangerous libraries stand behind named doors, the contract is deterministic."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hpcbridge"
GENERATED = PACKAGE / "wire" / "generated"

STOREYS = {
    "model": 1, "errors": 1, "failpoints": 1,
    "schedulers": 2, "identity": 2, "ledger": 2, "contract": 2,
    "config": 3, "wire": 3, "daemon": 3, "fold": 3, "submitter": 3,
    "agent": 4, "service": 4, "ctl": 4, "audit": 4, "client": 4, "accounts": 4,
}  # fmt: skip
BESIDE = {
    ("errors", "model"), ("failpoints", "errors"), ("fold", "wire"), ("submitter", "wire"), ("ctl", "audit"), ("client", "audit"),
    ("ctl", "service"), ("ctl", "accounts"),  # `check` looks at a ledger's host and at acting scripts as their programs do
}  # fmt: skip
"""What may look sideways: (who, whom)."""

DOORS = {
    "subprocess": {"schedulers/scripts.py", "schedulers/slurm/pyslurm_source.py"},
    "sqlite3": {"ledger/store.py", "ledger/schema.py", "agent/spool_file.py", "service/relay_file.py"},
    "grpc": {"wire/", "service/", "ledger/engines/"},
    "grpc_health": {"service/"},
    "grpc_reflection": {"service/"},
    "systemd": {"daemon/systemd.py"},
    "maxminddb": {"daemon/location.py"},
    "prometheus_client": {"agent/metrics.py", "service/metrics.py", "daemon/exposition.py", "daemon/families.py", "daemon/textfile.py"},
    "psutil": {"daemon/vitals.py", "schedulers/local/scheduler.py"},
    "pyslurm": {"schedulers/slurm/pyslurm_child.py"},
}
"""Which file (or folder, with a slash) may import what."""

NOT_IN_THE_CONTRACT = {"time", "datetime", "random", "secrets", "os", "uuid", "threading", "socket", "math", "decimal"}
BANNED_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "handler", "core"}
BROAD_EXCEPT = {"daemon/worker.py", "service/endpoints.py", "ctl/main.py"}


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if GENERATED not in path.parents]


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def names(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def upward_imports(path: Path) -> list[str]:
    room = room_of(path)
    if room == "__init__":
        return []
    wrong = []
    for module in imports_of(path):
        parts = module.split(".")
        if parts[0] != "hpcbridge" or len(parts) == 1:
            continue
        other = parts[1]
        allowed = other == room or STOREYS[other] < STOREYS[room] or (room, other) in BESIDE
        if not allowed:
            wrong.append(f"{names(path)} imports {module}")
    return wrong


@pytest.mark.parametrize("path", sources(), ids=names)
def test_imports_go_down_only(path: Path) -> None:
    assert upward_imports(path) == []


def test_the_import_rule_finds_an_upward_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "contract").mkdir()
    wrong = tmp_path / "contract" / "jobs.py"
    wrong.write_text("from hpcbridge.ledger.store import Store\n")
    monkeypatch.setattr("tests.test_architecture.PACKAGE" if __name__.startswith("tests.") else f"{__name__}.PACKAGE", tmp_path)
    assert upward_imports(wrong) == ["contract/jobs.py imports hpcbridge.ledger.store"]


@pytest.mark.parametrize("path", sources(), ids=names)
def test_doors(path: Path) -> None:
    for module in imports_of(path):
        allowed = DOORS.get(module.split(".")[0])
        if allowed is not None:
            assert any(names(path) == door or (door.endswith("/") and names(path).startswith(door)) for door in allowed), (
                f"{names(path)} imports {module}; its door is {sorted(allowed)}"
            )


@pytest.mark.parametrize("path", [path for path in sources() if room_of(path) == "contract"], ids=names)
def test_the_contract_is_deterministic(path: Path) -> None:
    modules = {module.split(".")[0] for module in imports_of(path)}
    assert modules.isdisjoint(NOT_IN_THE_CONTRACT)
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{names(path)}:{node.lineno}: a float"
        assert not isinstance(node, ast.Div), f"{names(path)}: / makes floats; use //"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"float", "hash", "id", "set"}, f"{names(path)}:{node.lineno}: {node.func.id}()"


@pytest.mark.parametrize("path", sources(), ids=names)
def test_how_our_code_reads(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.startswith("# SPDX-FileCopyrightText: "), f"{names(path)}: SPDX lines first"
    assert ast.get_docstring(tree), f"{names(path)}: a module starts with its purpose"
    assert path.stem not in BANNED_NAMES
    assert not re.search(r"\btime\.sleep\(", text), f"{names(path)}: stop is an event, not a sleep"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"{names(path)}:{node.lineno}: assert outside tests"
        if isinstance(node, ast.ExceptHandler):
            kind = node.type.id if isinstance(node.type, ast.Name) else ""
            assert node.type is not None, f"{names(path)}:{node.lineno}: bare except"
            assert kind not in {"Exception", "BaseException"} or names(path) in BROAD_EXCEPT, f"{names(path)}:{node.lineno}: broad except"


def test_nothing_committed_names_this_machine() -> None:
    forbidden = re.compile(r"\.\./shared|/work/|/farm/|\.library/")
    texts = {".py", ".md", ".toml", ".proto", ".cfg", ".service", ".json", ".txt", ""}
    for folder in ("hpcbridge", "proto", "scheduler_scripts", "systemd", "packaging", "docs", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in texts and path != Path(__file__):
                assert not forbidden.search(path.read_text(errors="replace")), path
