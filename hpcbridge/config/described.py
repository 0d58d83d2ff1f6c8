# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The keys of a configuration file with what they mean, out of the dataclasses that read it.

A key's one line stands beside its type: `Annotated[int, "what it means"]`. Manual pages, the table of the guide and the hints of
complaints come from it, so there is nothing else to keep up to date.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

_BINARY = ((1 << 30, "GiB"), (1 << 20, "MiB"))
_KINDS: Mapping[Any, str] = {str: "text", int: "whole number", bool: "true or false", Path: "path", Decimal: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. `default` is as it would be written in the file, "" if there is none; `required` says that it has to be written."""

    name: str
    kind: str
    default: str
    about: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section as it is headed in the file, "" for what stands above all sections."""

    heading: str
    about: str
    keys: tuple[Key, ...]


def sections_of(config: type[Any]) -> tuple[Section, ...]:
    """All sections in the order of the file."""
    return tuple(_sections(config, "", repeated=False))


def about_key(config: Any, place: tuple[str, ...]) -> str:
    """What the key at ``place`` means; "" if there is none there."""
    about = ""
    for name in place:
        hint = typing.get_type_hints(config, include_extras=True).get(name) if dataclasses.is_dataclass(config) else None
        about = "" if hint is None else _about(hint)
        config = section_of(hint)
    return about


def section_at(config: Any, place: tuple[str, ...]) -> Any:
    """The dataclass of the section at ``place``; None if there is a plain value."""
    for name in place:
        config = section_of(typing.get_type_hints(config).get(name)) if config is not None else None
    return config


def needed_keys(config: Any, place: tuple[str, ...]) -> tuple[str, ...]:
    """The keys without which the section at ``place`` is not read."""
    kind = section_at(config, place)
    return tuple(each.name for each in dataclasses.fields(kind) if _is_required(each)) if kind is not None else ()


def section_of(hint: Any) -> Any:
    """The dataclass a key holds, directly, optionally or in a tuple; None for plain values."""
    plain = _plain(hint)
    kinds = typing.get_args(plain) if isinstance(plain, types.UnionType) or typing.get_origin(plain) is tuple else (plain,)
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _sections(kind: Any, path: str, *, repeated: bool) -> Iterator[Section]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {each.name: each for each in dataclasses.fields(kind)}
    inner = {name: section_of(hint) for name, hint in hints.items() if section_of(hint) is not None}
    keys = tuple(_key(fields[name], hint) for name, hint in hints.items() if name not in inner or (repeated and inner[name]))
    heading = f"[[{path}]]" if repeated else f"[{path}]" if path else ""
    if keys or not path:
        yield Section(heading=heading, about=inspect.cleandoc(kind.__doc__ or ""), keys=keys)
    for name, section in inner.items():
        if not repeated:  # a section within a list is written in one line, as a key
            listed = typing.get_origin(_plain(hints[name])) is tuple
            yield from _sections(section, f"{path}.{name}".lstrip("."), repeated=listed)


def _key(item: dataclasses.Field[Any], hint: Any) -> Key:
    return Key(name=item.name, kind=_kind(_plain(hint)), default=_written(item), about=_about(hint), required=_is_required(item))


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _about(hint: Any) -> str:
    return next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, str)), "")


def _plain(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _kind(hint: Any) -> str:
    arguments = [each for each in typing.get_args(hint) if each is not type(None)]
    if isinstance(hint, types.UnionType):
        return _kind(arguments[0])
    origin = typing.get_origin(hint)
    if origin is Literal:
        return " | ".join(f'"{each}"' for each in arguments)
    if origin is tuple:
        return f"list of {_KINDS[arguments[0]]}" if arguments[-1] is Ellipsis else f"[{', '.join(_KINDS[each] for each in arguments)}]"
    if origin is not None:
        return "table of texts"
    return "table" if dataclasses.is_dataclass(hint) else _KINDS[hint]


def _written(item: dataclasses.Field[Any]) -> str:
    value = item.default
    if value is dataclasses.MISSING or value is None or value in ((), ""):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    if isinstance(value, (int, Decimal)):
        return str(value) + next((f" ({value // unit} {name})" for unit, name in _BINARY if value and value % unit == 0), "")
    return f'"{value}"'
