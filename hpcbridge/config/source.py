# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A configuration file read strictly: TOML into frozen dataclasses, and where in the file a complaint belongs."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import typing
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from hpcbridge.config.described import about_key, needed_keys, section_at, section_of
from hpcbridge.errors import ConfigError

Config = TypeVar("Config")
_TOML_WORDS = {"str": "text in quotes", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
               "object": "a section", "decimal": "a number"}  # fmt: skip

OTHER_WORDS = {
    "partition": "[[cluster.queues]]",
    "partitions": "[[cluster.queues]]",
    "site": "[cluster]",
    "hpc_system": "[cluster]",
    "latitude": "[cluster] location = [latitude, longitude]",
    "longitude": "[cluster] location = [latitude, longitude]",
    "hostname": "[cluster] login_address",
    "users": "owners",
    "resource_manager": "[scheduler] name",
    "batch_system": "[scheduler] name",
    "script_directory": "[scheduler] scripts",
    "action_scripts": "[scheduler] accounts_scripts",
    "poll_interval": "[intervals] jobs",
    "spool_directory": "state_directory",
    "data_directory": "state_directory, or [store] directory of ledgerd.toml",
    "queue_size": "[spool] quota_bytes",
    "loglevel": "[log] level",
    "log_level": "[log] level",
    "prometheus_port": "[metrics] address",
    "metrics_port": "[metrics] address",
    "port": "[listen] address = HOST:PORT, or [[ledger]] address",
    "bind": "[listen] address",
    "tls_name": "[[ledger]] server_name",
}
"""Keys of earlier files, and words of other programs, that no near key is found for: what they are called here."""


class Source:
    """One file: its text, and where in it a key stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such file", hint="create it, or name another one with --config") from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="is it a file, and open to this account?") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})", hint="is this the right file?") from error

    def read(self, kind: type[Config]) -> Config:
        """The file as ``kind``; ConfigError naming file, line, key and what is wrong."""
        try:
            tree = tomllib.loads(self.text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{self.path}: not TOML: {error}", hint="strings need quotes; see toml.io for the format") from error
        self._check_keys(kind, tree, ())
        try:
            return msgspec.convert(_decimals(kind, tree), kind, dec_hook=_path_hook)
        except msgspec.ValidationError as error:
            raise self._type_error(kind, str(error)) from error

    def _check_keys(self, kind: Any, tree: Mapping[str, Any], place: tuple[str, ...], *, number: int = 0) -> None:
        hints = typing.get_type_hints(kind)
        for key, value in tree.items():
            if key not in hints:
                hint = _instead_of(key, kind, hints)
                raise self.error((*place, key), f"unknown key {'.'.join((*place, key))!r}", hint=hint, number=number)
            section = section_of(hints[key])
            if section is None and "Decimal" in str(hints[key]) and any(isinstance(item, str) for item in _listed(value)):
                message = f"{'.'.join((*place, key))}: expected a number, got text in quotes"
                raise self.error((*place, key), message, number=number)
            if section is not None:
                numbered = enumerate(value, start=1) if isinstance(value, list) else [(number, value)]
                for ordinal, item in numbered:
                    if isinstance(item, dict):
                        self._check_keys(section, item, (*place, key), number=ordinal)

    def _type_error(self, kind: Any, message: str) -> ConfigError:
        reason, _, path = message.partition(" - at `$")
        missing = re.search(r"missing required field `(\w+)`", reason)
        if missing:
            path = f"{path.rstrip('`')}.{missing[1]}"
        place = tuple(re.sub(r"\[[^]]*\]", "", path.rstrip("`")).strip(".").split("."))
        entry = re.search(r"\[(\d+)\]", path)
        number = 0 if entry is None else int(entry[1]) + 1
        if missing:
            return self._missing(kind, place, number)
        hint = _choices(kind, place) or _meaning(kind, place)
        return self.error(place, f"{'.'.join(place)}: {_plain(reason)}".removeprefix(": "), hint=hint, number=number)

    def _missing(self, kind: Any, place: tuple[str, ...], number: int) -> ConfigError:
        """A section or key that has to be there."""
        if section_at(kind, place) is None:
            written = f"[{'.'.join(place[:-1])}] " if place[:-1] else ""
            return self.error(place, f"{written}{place[-1]} is missing", hint=_meaning(kind, place), number=number)
        what = f"the section [{'.'.join(place)}] is missing"
        if not any(line.strip() and not line.lstrip().startswith("#") for line in self.text.splitlines()):
            told = "every line of the file is still a comment: take the # away from those that you need, and write what is so at your site"
            return ConfigError(f"{self.path}: {what}", hint=told)
        told = f"it says {about_key(kind, place)}, and needs: {', '.join(needed_keys(kind, place))}"
        return ConfigError(f"{self.path}: {what}", hint=told)

    def error(self, place: tuple[str, ...], message: str, *, hint: str = "", number: int = 0) -> ConfigError:
        """A complaint with the line where the last key of ``place`` stands."""
        line = self._line_of(place, number)
        where = f"{self.path}:{line}" if line else str(self.path)
        return ConfigError(f"{where}: {message}", hint=hint)

    def _line_of(self, place: tuple[str, ...], number: int) -> int | None:
        """Line of the last key of ``place``; if it is not written out, of the nearest key or header around it that is.

        ``number`` is that of the entry, from 1, where a section on the way is written ``[[so]]``; 0 for the first one that fits.
        """
        section: tuple[str, ...] = ()
        entries: Counter[tuple[str, ...]] = Counter()
        found, depth = None, 0
        for line_number, line in enumerate(self.text.splitlines(), start=1):
            header = re.match(r"\s*(\[\[?)\s*([\w.\-]+)\s*\]\]?", line)
            if header:
                section = tuple(header[2].split("."))
                entries[section] += header[1] == "[["
            entry = max(entries[place[:length]] for length in range(len(place) + 1))
            if section != place[: len(section)] or (number and entry not in (0, number)):
                continue
            if header and section == place:
                return line_number
            key = None if header or section == place else re.match(rf"\s*[\"']?{re.escape(place[len(section)])}[\"']?\s*[.=]", line)
            if key and len(section) == len(place) - 1:
                return line_number
            here = 2 * len(section) + bool(key) if header or key else 0
            if here > depth:
                found, depth = line_number, here
        return found


def _instead_of(key: str, kind: Any, known: Mapping[str, Any]) -> str:
    """What somebody may have meant by a key that there is not."""
    word = OTHER_WORDS.get(key.lower().replace("-", "_"))
    if word is not None:
        return f"here that is {word}"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}? {_meaning(kind, (near[0],))}" if near else f"known here: {', '.join(sorted(known))}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(reason: str) -> str:
    """What msgspec complains of, in the words of TOML."""
    text = re.sub(r"`(\w+)(?: \| null)?`", lambda found: _TOML_WORDS.get(found[1], found[0]), f"{reason[:1].lower()}{reason[1:]}")
    return text.replace("enum ", "")


def _meaning(kind: Any, place: tuple[str, ...]) -> str:
    about = about_key(kind, place)
    return f"{place[-1]}: {about}" if about else ""


def _choices(kind: Any, place: tuple[str, ...]) -> str:
    """The values a key knows, if it has a closed list of them."""
    for key in place:
        hint = typing.get_type_hints(kind).get(key) if dataclasses.is_dataclass(kind) else None
        kind = section_of(hint) or hint
    return f"known are: {', '.join(typing.get_args(kind))}" if typing.get_origin(kind) is Literal else ""


def _decimals(kind: Any, tree: Any) -> Any:
    """Whole numbers where a decimal is asked for: ``1`` is as good as ``1.0``, and ``"0.05"`` is refused as text."""
    if not isinstance(tree, dict):
        return tree
    hints = typing.get_type_hints(kind)
    result = {}
    for key, value in tree.items():
        hint, section = hints[key], section_of(hints[key])
        if section is not None:
            result[key] = [_decimals(section, item) for item in value] if isinstance(value, list) else _decimals(section, value)
        elif "Decimal" in str(hint):
            result[key] = [_decimal(item) for item in value] if isinstance(value, list) else _decimal(value)
        else:
            result[key] = value
    return result


def _decimal(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _path_hook(kind: type, value: Any) -> Any:
    if kind is not Path:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError(f"expected a path in quotes, got {value!r:.40}")  # noqa: TRY004 - what msgspec turns into its own error
    path = Path(value)
    if not path.is_absolute():
        raise ValueError(f"path {value!r} must be absolute")
    return path
