# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- part of a script, not of a package
"""What a function of contract or service can refuse and tell, read from its source: its own lines and those of all it leads to.

It follows names, not conditions: what is listed can happen on some way through the function, not on each.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpcbridge.model.entries import EntryOutcome, EventType

PACKAGE = Path(__file__).resolve().parent.parent / "hpcbridge"
_ROOMS = ("hpcbridge.contract.", "hpcbridge.service.")
_Place = tuple[str, str]
_Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """A code, and the reason as it reads, `…` for what is filled in; empty where the code stands without one."""

    code: EntryOutcome
    reason: str


def refusals_of(function: Callable[..., Any]) -> tuple[Refusal, ...]:
    """Every refusal that is on a way through the function, by code and reason."""
    found: set[Refusal] = set()
    for place in _reached(_place_of(function)):
        found.update(_refusals(_definitions(place[0])[place[1]]))
    spoken = {each.code for each in found if each.reason}
    return tuple(sorted((each for each in found if each.reason or each.code not in spoken), key=lambda each: (str(each.code), each.reason)))


def events_of(function: Callable[..., Any]) -> tuple[EventType, ...]:
    """Every type of event that is on a way through the function, in the order of the types."""
    names: set[str] = set()
    for place in _reached(_place_of(function)):
        names.update(_named(_definitions(place[0])[place[1]], "EventType"))
    return tuple(each for each in EventType if each.name in names)


def _place_of(function: Callable[..., Any]) -> _Place:
    return function.__module__, function.__qualname__


def _reached(start: _Place) -> Iterator[_Place]:
    """The place and all that its names lead to, within contract and service."""
    waiting, seen = [start], {start}
    while waiting:
        place = waiting.pop()
        yield place
        for target in _targets(place):
            if target not in seen:
                seen.add(target)
                waiting.append(target)


def _targets(place: _Place) -> Iterator[_Place]:
    module, name = place
    here, imported = _definitions(module), _imports(module)
    for node in _spoken(here[name]):
        if isinstance(node, ast.Name) and node.id in here:
            yield module, node.id
        elif isinstance(node, ast.Name) and node.id in imported:
            yield from _in_the_rooms(imported[node.id])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
            yield from _in_the_rooms((".".join(imported[node.value.id]), node.attr))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            method = f"{name.partition('.')[0]}.{node.attr}"
            if method in here:
                yield module, method


def _spoken(definition: ast.AST) -> Iterator[ast.AST]:
    """Every node but those of annotations: a type that is named there is not used."""
    yield definition
    silent = {"annotation", "returns"}
    for field, value in ast.iter_fields(definition):
        if field not in silent:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _spoken(child)


def _in_the_rooms(place: _Place) -> Iterator[_Place]:
    if place[0].startswith(_ROOMS) and _source(place[0]) and place[1] in _definitions(place[0]):
        yield place


@cache
def _source(module: str) -> str:
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path.read_text(encoding="utf-8") if path.exists() else ""


@cache
def _definitions(module: str) -> Mapping[str, _Definition]:
    """What a module defines on its first level and methods of classes: a class counts with all of them, a table with all it names."""
    found: dict[str, _Definition] = {}
    for node in ast.parse(_source(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
            methods = node.body if isinstance(node, ast.ClassDef) else []
            found.update({f"{node.name}.{each.name}": each for each in methods if isinstance(each, ast.FunctionDef)})
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


@cache
def _imports(module: str) -> Mapping[str, _Place]:
    found: dict[str, _Place] = {}
    for node in ast.parse(_source(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
    return found


def _refusals(definition: _Definition) -> Iterator[Refusal]:
    """Those with words, and the codes that stand alone."""
    worded: set[int] = set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Call | ast.Tuple):
            parts = node.args if isinstance(node, ast.Call) else node.elts
            refuses = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused"
            if len(parts) > 1 and (code := _code(parts[0])) is not None and (reason := _words(parts[1]) or "…" * refuses):
                worded.add(id(parts[0]))
                yield Refusal(code, reason)
    for node in ast.walk(definition):
        if (code := _code(node)) is not None and id(node) not in worded and code is not EntryOutcome.ACCEPTED:
            yield Refusal(code, "")


def _code(node: ast.AST) -> EntryOutcome | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "EntryOutcome":
        return EntryOutcome[node.attr]
    return None


def _words(node: ast.AST) -> str:
    """A literal reason with `…` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
        return re.sub(r"\s+", " ", text).strip()
    return ""


def _named(definition: _Definition, enumeration: str) -> Iterator[str]:
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == enumeration:
            yield node.attr
