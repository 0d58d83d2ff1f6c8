# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Amounts, times, sizes, programs and places as people write them on the command line, and amounts as they are shown.

An amount is in units of the network's currency with up to six decimals on screens and in what people type; everything else, JSON too,
counts micro-units. What is not clear is refused, not guessed: `90` could be seconds or minutes, `1,5` one and a half or fifteen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import click

from hpcbridge.contract.requests import MAX_WALLTIME_SECONDS
from hpcbridge.ctl.output import NOTHING
from hpcbridge.model.clusters import Program
from hpcbridge.model.jobs import MAX_BYTES
from hpcbridge.model.market import MAX_MICRO, Micro
from hpcbridge.model.quantities import check_contact

_UNIT = 1_000_000
_COARSE = 100_000
_AMOUNT = re.compile(r"(\d{1,13})(?:\.(\d{1,6}))?\Z", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)\Z", re.ASCII)
_SPAN = re.compile(r"(\d{1,8}) ?(s|min|h|d)\Z", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}) ?([KMGTP]?)(?:i?B)?\Z", re.ASCII | re.IGNORECASE)
_DEGREES = re.compile(r"[+-]?\d{1,3}(?:\.\d{1,12})?\Z", re.ASCII)
_SECONDS: Mapping[str, int] = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def amount(micro: Micro | None) -> str:
    """Micro-units as units, without zeros at the end: 37.24416."""
    if micro is None:
        return NOTHING
    units, rest = divmod(abs(micro), _UNIT)
    text = f"{units}.{rest:06d}".rstrip("0").rstrip(".")
    return f"-{text}" if micro < 0 else text


def parse_amount(text: str) -> Micro:
    """Units with up to six decimals as micro-units; ValueError for anything else."""
    found = _AMOUNT.match(text)
    if found is None:
        raise ValueError(f"{text[:40]!r}: give units with at most six decimals and a point, for example 12.5")
    micro = int(found[1]) * _UNIT + int((found[2] or "").ljust(6, "0"))
    if micro >= MAX_MICRO:
        raise ValueError(f"{text[:40]!r} is more than any account can hold")
    return micro


def parse_walltime(text: str) -> int:
    """[D-]HH:MM:SS, or a number with s, min, h or d, as seconds."""
    if found := _CLOCK.match(text):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        total = days * 86_400 + hours * 3600 + minutes * 60 + seconds
    elif found := _SPAN.match(text):
        total = int(found[1]) * _SECONDS[found[2]]
    else:
        raise ValueError(f"{text[:40]!r}: give [D-]HH:MM:SS, or a number with s, min, h or d, for example 02:00:00 or 36h")
    if not 1 <= total <= MAX_WALLTIME_SECONDS:
        raise ValueError(f"{text[:40]!r}: give at least 1 s and at most {MAX_WALLTIME_SECONDS // 86_400}d")
    return total


def parse_size(text: str) -> int:
    """Bytes, or a number with K, M, G, T or P (powers of 1024, as schedulers mean them)."""
    found = _SIZE.match(text)
    if found is None:
        raise ValueError(f"{text[:40]!r}: give bytes, or a number with K, M, G, T or P, for example 64G")
    total = int(found[1]) << 10 * " KMGTP".index(found[2].upper() or " ")
    if not 1 <= total <= MAX_BYTES:
        raise ValueError(f"{text[:40]!r}: give at least 1 byte and at most {MAX_BYTES >> 50}P")
    return total


def parse_program(text: str) -> Program:
    """NAME or NAME/VERSION, as module systems write it."""
    name, slash, version = text.partition("/")
    if not name or (slash and not version):
        raise ValueError(f"{text[:80]!r}: give NAME or NAME/VERSION, for example gromacs/2023.3")
    return Program(name=name, version=version)


def parse_place(text: str) -> tuple[int, int]:
    """LAT,LON in degrees as micro-degrees, rounded to a tenth of a degree (about 11 km): it will stand in the log for ever."""
    parts = text.split(",")
    if len(parts) != 2 or not all(_DEGREES.match(part.strip()) for part in parts):
        raise ValueError(f"{text[:60]!r}: give degrees of latitude and longitude, for example 13.8,100.5")
    latitude, longitude = (_coarse(part.strip()) for part in parts)
    if abs(latitude) > 90 * _UNIT or abs(longitude) > 180 * _UNIT:
        raise ValueError(f"{text[:60]!r} is no place on Earth: latitude -90 to 90, longitude -180 to 180")
    return latitude, longitude


class Figure(click.ParamType):  # type: ignore[type-arg]  # generic only in late versions of click
    """A parameter that one of the functions above reads; what it refuses is a mistake of usage."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads text; what was read before stays."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


AMOUNT = Figure("amount", parse_amount)
WALLTIME = Figure("time", parse_walltime)
SIZE = Figure("size", parse_size)
PROGRAM = Figure("program", parse_program)
PLACE = Figure("lat,lon", parse_place)
CONTACT = Figure("address", check_contact)


def _coarse(degrees: str) -> int:
    return int((Decimal(degrees) * _UNIT / _COARSE).to_integral_value(ROUND_HALF_EVEN)) * _COARSE
