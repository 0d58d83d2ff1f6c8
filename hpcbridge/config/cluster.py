# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""``[cluster]``: what a cluster offers, in the words of the file and in those of the ledger.

What the ledger would refuse is said here already, with its line.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from hpcbridge.config.source import Source
from hpcbridge.model.clusters import Program, QueueOffer, Rates, Registration
from hpcbridge.model.jobs import MAX_BYTES
from hpcbridge.model.printable import is_printable

_MICRO = Decimal(1_000_000)
_FREE = ": 0 is no price; ask at least 0.000001, or leave the rates out and nothing is offered"
_LOGIN_ADDRESS = re.compile(r"[\x21-\x7e]{1,255}")
MAX_PROGRAMS = 1000
MAX_PROGRAM_TEXT = 64
MAX_QUEUES = 256
MAX_QUEUE_TEXT = 64
QUEUE_FIGURES = {"max_cores": (1, 1 << 31), "gpus": (0, 1 << 31), "memory_bytes": (1, MAX_BYTES), "max_walltime_seconds": (1, 1 << 31)}
"""Lowest and highest figure of a queue, as the contract takes them; the agent does without the contract itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSection:
    """Software that is installed on the cluster; write the section once for each program."""

    name: Annotated[str, "as users ask for it: lower case by habit, for example gromacs"]
    version: Annotated[str, 'the version that is installed; "" for one that nobody asks about'] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesSection:
    """Asked prices in the network's currency for one hour, with up to six decimals. Without this section nothing is offered."""

    cpu_core_per_hour: Annotated[Decimal, "price of one core for one hour, at least 0.000001"]
    gpu_core_per_hour: Annotated[Decimal, "price of one GPU for one hour; GPUs at 0 are not offered"] = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSection:
    """A queue that is offered, with the most that one job may have; write the section once for each, at most 256 times.

    Without any, every open queue is offered as it is observed.
    """

    name: Annotated[str, "as the scheduler calls it, 1 to 64 characters; the only key a queue must have"]
    max_cores: Annotated[int | None, "most cores of one job; unset: as observed"] = None
    gpus: Annotated[int | None, "most GPUs of one job; unset: as observed"] = None
    gpu_type: Annotated[str | None, "kind of GPU as users ask for it, in ASCII; unset: that of the nodes, if it is one"] = None
    memory_bytes: Annotated[int | None, "most memory of one job; unset: the largest node's, if nodes tell it"] = None
    max_walltime_seconds: Annotated[int | None, "longest time of one job; unset: as observed"] = None
    rates: Annotated[
        RatesSection | None,
        "prices of this queue, as { cpu_core_per_hour = 0.03, gpu_core_per_hour = 2.5 }; unset: those of the cluster",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSection:
    """The cluster as it is registered.

    A change is registered at the daemon's next start or reload; new prices count for offers made from then on.
    """

    name: Annotated[str, "its name on the ledger, for ever: lower-case letters, digits and hyphens"]
    login_address: Annotated[str, "where tenants log in; told to them with their passcode"]
    location: Annotated[
        tuple[Decimal, Decimal] | None,
        "latitude and longitude in degrees, for example [18.79, 98.98]; without it nobody pays a surcharge for distance",
    ] = None
    location_database: Annotated[
        Path | None,
        "instead of location: a .mmdb file of the site in which location_address is looked up",
    ] = None
    location_address: Annotated[str | None, "instead of location: an IP address of the site that others see"] = None
    programs: Annotated[tuple[ProgramSection, ...], "software that is installed"] = ()
    installs_programs: Annotated[bool, "would you install what a user asks for?"] = False
    rates: Annotated[RatesSection | None, "asked prices"] = None
    queues: Annotated[tuple[QueueSection, ...], "queues that are offered"] = ()


def registration_of(cluster: ClusterSection) -> Registration:
    """``[cluster]`` in the words of the ledger; ValueError or ArithmeticError for figures that are none."""
    latitude, longitude = cluster.location or (None, None)
    return Registration(
        cluster=cluster.name,
        login_address=cluster.login_address,
        latitude_microdegrees=_micro("location: latitude", latitude, limit=90),
        longitude_microdegrees=_micro("location: longitude", longitude, limit=180),
        programs=tuple(Program(name=program.name, version=program.version) for program in cluster.programs),
        installs_programs=cluster.installs_programs,
        rates=_rates(cluster.rates),
        queues=tuple(_queue(queue) for queue in cluster.queues),
    )


def _queue(queue: QueueSection) -> QueueOffer:
    return QueueOffer(
        name=queue.name,
        max_cores=queue.max_cores,
        gpu_type=queue.gpu_type,
        gpus=queue.gpus,
        max_walltime_seconds=queue.max_walltime_seconds,
        memory_bytes=queue.memory_bytes,
        rates=_rates(queue.rates),
    )


def _rates(rates: RatesSection | None) -> Rates | None:
    if rates is None:
        return None
    cpu = _micro("rates.cpu_core_per_hour", rates.cpu_core_per_hour)
    gpu = _micro("rates.gpu_core_per_hour", rates.gpu_core_per_hour)
    if cpu is None or gpu is None or cpu < 0 or gpu < 0:
        raise ValueError("rates: a price is not below 0")
    if cpu == 0:
        raise ValueError(f"rates.cpu_core_per_hour{_FREE}")
    return Rates(cpu_core_per_hour=cpu, gpu_core_per_hour=gpu)


def _micro(what: str, value: Decimal | None, *, limit: int = 1_000_000_000) -> int | None:
    """Millionths, exactly: more than six decimals are refused rather than rounded."""
    if value is None:
        return None
    # copy_abs, because abs() and * do not bear a number beyond a decimal's own range
    scaled = value * _MICRO if value.is_finite() and value.copy_abs() <= limit else None
    if scaled is None or scaled != scaled.to_integral_value():
        raise ValueError(f"{what} {value}: use up to six decimals and at most {limit}")
    return int(scaled)


def check_site(source: Source, section: ClusterSection) -> None:
    """What the ledger would refuse of login address and programs, said here with its line."""
    if not _LOGIN_ADDRESS.fullmatch(section.login_address):
        place, told = ("cluster", "login_address"), f"[cluster] login_address {section.login_address[:60]!r} is no address"
        raise source.error(place, told, hint='where tenants log in, without spaces, for example "login.north.example"')
    known: set[ProgramSection] = set()
    for number, program in enumerate(section.programs, start=1):
        fault = ""
        if not 1 <= len(program.name) <= MAX_PROGRAM_TEXT:
            fault = f"name has 1 to {MAX_PROGRAM_TEXT} characters"
        elif len(program.version) > MAX_PROGRAM_TEXT:
            fault = f"version has at most {MAX_PROGRAM_TEXT} characters"
        elif program in known:
            fault = f"{program.name} {program.version}".rstrip() + " stands above already"
        elif number > MAX_PROGRAMS:
            fault = f"more than {MAX_PROGRAMS}"
        if fault:
            raise source.error(("cluster", "programs", "name"), f"[[cluster.programs]] number {number}: {fault}", number=number)
        known.add(program)


def check_location(source: Source, section: ClusterSection) -> None:
    """One way to say where the cluster is, and that one whole."""
    named = {key for key in ("location", "location_database", "location_address") if getattr(section, key) is not None}
    if "location" in named and len(named) > 1:
        raise source.error(("cluster", "location"), "[cluster] location: name the place, or database and address to look it up, not both")
    if len(named) == 1 and "location" not in named:
        (key,) = named
        raise source.error(("cluster", key), f"[cluster] {key}: location_database and location_address go together")
    if section.location_address is not None:
        try:
            ipaddress.ip_address(section.location_address)
        except ValueError as error:
            place = ("cluster", "location_address")
            told = f"[cluster] location_address {section.location_address[:60]!r} is not an IP address"
            raise source.error(place, told, hint="no name and no port, just the address, for example 203.0.113.7") from error


def check_queues(source: Source, queues: tuple[QueueSection, ...]) -> None:
    """What the ledger would refuse of the offered queues, said here with its line."""
    names: set[str] = set()
    for number, queue in enumerate(queues, start=1):
        key, fault = _queue_fault(queue, names)
        if fault:
            place = ("cluster", "queues", *key.split("."))
            raise source.error(place, f"[[cluster.queues]] number {number}: {key}{fault}", number=number)
        names.add(queue.name)
    if len(queues) > MAX_QUEUES:
        place, message = ("cluster", "queues"), f"[[cluster.queues]]: more than {MAX_QUEUES}"
        raise source.error(place, message, number=MAX_QUEUES + 1)


def _queue_fault(queue: QueueSection, names: set[str]) -> tuple[str, str]:
    """The key and what is wrong with it; empty if nothing."""
    if queue.name in names:
        return "name", f" {queue.name[:MAX_QUEUE_TEXT]!r} is that of another one above"
    if not (1 <= len(queue.name) <= MAX_QUEUE_TEXT and is_printable(queue.name)):
        return "name", f": 1 to {MAX_QUEUE_TEXT} printable characters, as the scheduler calls it"
    if queue.gpu_type is not None and not re.fullmatch(rf"[!-~](?:[ -~]{{0,{MAX_QUEUE_TEXT - 2}}}[!-~])?", queue.gpu_type):
        return "gpu_type", f": 1 to {MAX_QUEUE_TEXT} printable ASCII characters, because users ask with no others"
    for key, (lowest, highest) in QUEUE_FIGURES.items():
        value = getattr(queue, key)
        if value is not None and not lowest <= value <= highest:
            return key, f" = {value}: from {lowest} to {highest}"
    for item in dataclasses.fields(RatesSection) if queue.rates is not None else ():
        try:
            price = _micro("", getattr(queue.rates, item.name)) or 0
        except (ValueError, ArithmeticError) as error:
            return f"rates.{item.name}", str(error)
        if price < 0:
            return f"rates.{item.name}", ": a price is not below 0"
        if price == 0 and item.name == "cpu_core_per_hour":
            return f"rates.{item.name}", _FREE
    return "", ""
