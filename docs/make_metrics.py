# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- a script, not a package
"""Writes docs/metrics.md: every figure of both daemons with labels and meaning, read from the code, and every alert. `--check` compares."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "monitoring" / "prometheus" / "hpcbridge.rules.yml"
ALIKE = ROOT / "hpcbridge" / "daemon" / "families.py"
SOURCES = (
    ("The agent (hpcbridged, port 9464)", "hpcbridge_agent_", ROOT / "hpcbridge" / "agent" / "metrics.py"),
    ("The ledger (hpcbridge-ledgerd, port 9465)", "hpcbridge_ledger_", ROOT / "hpcbridge" / "service" / "metrics.py"),
)
PROGRAMS = {"hpcbridge_agent_": "hpcbridged", "hpcbridge_ledger_": "hpcbridge-ledgerd"}
KINDS = {"gauge": "gauge", "_gauge": "gauge", "counter": "counter", "_counter": "counter", "histogram": "histogram"}
HEAD = """\
# Metrics and alerts

Made by `make docs` from the programs and from `monitoring/prometheus/hpcbridge.rules.yml`. How to set it up:
[the sysadmin guide](sysadmin-guide.md#metrics-and-alerts). What is not known is left out: absent is not 0. Times are seconds since 1970;
a counter begins at 0 with the process.
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One family: its name as it is scraped, kind, labels and meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def main() -> int:
    """Exit status 1 if `--check` finds the page out of date."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(title, prefix) for title, prefix, _ in SOURCES), _alerts()])


def figures(prefix: str) -> tuple[Figure, ...]:
    """All families with this prefix, in the order of the page."""
    source = next(path for _, known, path in SOURCES if known == prefix)
    alike = {name: [each for each in _families(ALIKE, prefix, name) if isinstance(each, Figure)] for name in ("process", "life")}
    found: list[Figure] = []
    for each in _families(source, prefix, None):
        found += [each] if isinstance(each, Figure) else alike[each]
    return tuple(found)


def _section(title: str, prefix: str) -> str:
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.meaning} |" for each in figures(prefix)
    ]
    return "\n".join([f"## {title}\n", "| name | kind | labels | meaning |", "|---|---|---|---|", *rows, ""])


def _alerts() -> str:
    rows = []
    for part in re.split(r"(?m)^      - alert: ", RULES.read_text(encoding="utf-8"))[1:]:
        name, severity = part.splitlines()[0], re.findall(r"severity: (\w+)", part)[0]
        texts = [re.findall(rf'{key}: "(.*)"', part)[0] for key in ("summary", "description")]
        summary, description = (re.sub(r"\{\{ \$(?:labels\.)?(\w+)[^}]*\}\}", r"*\1*", text).replace("|", "\\|") for text in texts)
        rows.append(f"| `{name}` | {severity} | {summary} | {description} |")
    return "\n".join(["## Alerts\n", "| alert | severity | says | do |", "|---|---|---|---|", *rows, ""])


def _families(source: Path, prefix: str, function: str | None) -> Iterator[Figure | str]:
    """Families in the order they are written; the name of a function of families.py where its own belong."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef) or (function is not None and node.name != function):
            continue
        lists = dict(_assigned(node))
        for call in sorted((each for each in ast.walk(node) if isinstance(each, ast.Call)), key=lambda each: each.lineno):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if function is None and name in ("process", "life") and "_FAMILIES" in ast.dump(call.func):
                yield name
            elif name in KINDS and call.args and isinstance(call.args[0], ast.Constant):
                yield _figure(KINDS[name], call, lists, prefix)


def _assigned(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    """What names stand for in a function."""
    for each in ast.walk(function):
        target = each.targets[0] if isinstance(each, ast.Assign) else getattr(each, "target", None)
        if isinstance(each, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and each.value is not None:
            yield target.id, each.value


def _figure(kind: str, call: ast.Call, lists: dict[str, ast.expr], prefix: str) -> Figure:
    name, text, values = call.args
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        raise TypeError(f"line {call.lineno}: a family's name is not written out")
    suffix = "_total" if kind == "counter" else ""
    meaning = "".join(str(part.value) if isinstance(part, ast.Constant) else PROGRAMS[prefix] for part in _parts(text))
    return Figure(f"{prefix}{name.value}{suffix}", kind, _labels(values, lists), meaning)


def _parts(text: ast.expr) -> list[ast.expr]:
    return text.values if isinstance(text, ast.JoinedStr) else [text]


def _labels(values: ast.expr, lists: dict[str, ast.expr]) -> tuple[str, ...]:
    """Keys of the dictionary that stands first in each pair of a list, wherever that list or dictionary is written."""
    match values:
        case ast.Name(id=known) if known in lists:
            return _labels(lists[known], lists)
        case ast.Call(func=ast.Name(id="of")):
            return _labels(lists["labels"], lists)
        case ast.IfExp(body=ast.List(elts=[]), orelse=other) | ast.IfExp(body=other):
            return _labels(other, lists)
        case ast.ListComp(elt=each) | ast.List(elts=[each, *_]) | ast.Tuple(elts=[each, *_]):
            return _labels(each, lists)
        case ast.Dict(keys=keys):
            return tuple(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return ()


if __name__ == "__main__":
    sys.exit(main())
