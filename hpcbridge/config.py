# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration files of both programs: TOML, read strictly into frozen dataclasses.

Every complaint names the file, the line, the key and, for an unknown key, the nearest known one. Reading never creates, follows or
checks anything outside the file itself; that is the programs' and ``hpcbridgectl check``'s work.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
import tomllib
import types
import typing
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from hpcbridge.errors import ConfigError
from hpcbridge.model.clusters import Program, QueueOffer, Rates, Registration
from hpcbridge.model.jobs import MAX_BYTES
from hpcbridge.model.quantities import check_name
from hpcbridge.schedulers import SCHEDULERS

AGENT_CONFIG = Path("/etc/hpcbridge/hpcbridged.toml")
LEDGER_CONFIG = Path("/etc/hpcbridge/ledgerd.toml")
SCRIPTS_DIRECTORY = Path("/usr/share/hpcbridge/scheduler_scripts")

LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSection:
    """Software that is installed on the cluster."""

    name: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesSection:
    """Asked prices in the network's currency for one hour, with up to six decimals."""

    cpu_core_per_hour: Decimal
    gpu_core_per_hour: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSection:
    """A queue that is offered, with the most one job may have; what is left out is as observed, and the rates are those of the cluster."""

    name: str
    max_cores: int | None = None
    gpus: int | None = None
    gpu_type: str | None = None
    memory_bytes: int | None = None
    max_walltime_seconds: int | None = None
    rates: RatesSection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSection:
    """The cluster as it is registered; ``location`` is latitude and longitude in degrees. ``queues`` are those offered, or all."""

    name: str
    login_address: str = ""
    location: tuple[Decimal, Decimal] | None = None
    programs: tuple[ProgramSection, ...] = ()
    installs_programs: bool = False
    rates: RatesSection | None = None
    queues: tuple[QueueSection, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSection:
    """Which scheduler, where its scripts are, and what they may see of the environment. ``owners`` are those whose processes count as jobs
    where this machine itself is the cluster (``local``); ``pyslurm`` says whether Slurm is asked through it where that works.
    """

    name: str
    scripts: Path = SCRIPTS_DIRECTORY
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int = 30
    max_report_bytes: int = 256 * 1024 * 1024
    owners: tuple[str, ...] = ()
    pyslurm: Literal["auto", "yes", "no"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSection:
    """What leaves the site; ``owners`` are published in mode ``tenants`` beside those who rented."""

    mode: Literal["tenants", "pseudonyms", "full"] = "tenants"
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSection:
    """One endpoint of the ledger; several make a connection profile."""

    address: str
    server_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalsSection:
    """Seconds between two questions to the scheduler, and between two samples to the ledger."""

    jobs: int = 15
    nodes: int = 30
    queues: int = 60
    vitals: int = 30
    cluster_state: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSection:
    """How much the spool may hold, how long acknowledged payloads stay, and how long a job that left the scheduler's list may stay
    unexplained by accounting (which does not know it, or does not answer) before the ledger is told that it is UNDETERMINED.
    """

    quota_bytes: int = 1024 * 1024 * 1024
    keep_days: int = 7
    vanished_grace_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSection:
    """The socket that hpcbridgectl talks to."""

    socket: Path = Path("/run/hpcbridge/control.sock")
    group: str = "hpcbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """Where Prometheus may ask for figures, "" for nowhere. Nobody has to log in there, so other machines reach it only if
    ``open_to_network`` says so.
    """

    address: str = "127.0.0.1:9464"
    open_to_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSection:
    """How much is said; the journal keeps it."""

    level: LogLevel = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """hpcbridged.toml."""

    cluster: ClusterSection
    scheduler: SchedulerSection
    state_directory: Path = Path("/var/lib/hpcbridge")
    publish: PublishSection = PublishSection()
    ledger: tuple[LedgerSection, ...] = ()
    intervals: IntervalsSection = IntervalsSection()
    spool: SpoolSection = SpoolSection()
    control: ControlSection = ControlSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()

    @property
    def identity_directory(self) -> Path:
        """Key, certificate and what was pinned at enrolment."""
        return self.state_directory / "identity"

    @property
    def spool_path(self) -> Path:
        """The spool's database file."""
        return self.state_directory / "spool.db"

    @property
    def registration(self) -> Registration:
        """``[cluster]`` in the words of the ledger."""
        return _registration(self.cluster)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSection:
    """Where the ledger listens; ``server_names`` stand in its certificate, ``public`` addresses are told to new members."""

    address: str = "0.0.0.0:7443"
    enrolment: str = "0.0.0.0:7444"
    public_address: str = ""
    public_enrolment: str = ""
    server_names: tuple[str, ...] = ("localhost",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSection:
    """Directory of ledger.db, high-water and keys/."""

    directory: Path = Path("/var/lib/hpcbridge-ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSection:
    """Who decides the order."""

    name: str = "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """Quotas of one identity and of the whole service."""

    streams_per_identity: int = 16
    envelopes_per_second: int = 100_000
    window: int = 256
    streams: int = 4096
    read_idle_seconds: int = 90
    connection_age_seconds: int = 900
    tick_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConfig:
    """ledgerd.toml."""

    listen: ListenSection = ListenSection()
    store: StoreSection = StoreSection()
    engine: EngineSection = EngineSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()


def load_agent_config(path: Path) -> AgentConfig:
    """Reads hpcbridged.toml; ConfigError naming file, line and key."""
    source = _Source(path)
    config = source.read(AgentConfig)
    _check_queues(source, config.cluster.queues)
    try:
        check_name("name", config.cluster.name)
        _ = config.registration
    except (ValueError, ArithmeticError) as error:
        raise source.error(("cluster",), str(error)) from error
    _check_scheduler(source, config.scheduler)
    _check_metrics(source, config.metrics)
    for section, name in ((config.scheduler, "scheduler"), (config.intervals, "intervals"), (config.spool, "spool")):
        _check_positive(source, section, name)
    for number, endpoint in enumerate(config.ledger):
        _check_address(source, endpoint.address, ("ledger", "address"), f"[[ledger]] number {number + 1}: address", number=number + 1)
    return config


def load_ledger_config(path: Path) -> LedgerConfig:
    """Reads ledgerd.toml; ConfigError naming file, line and key."""
    source = _Source(path)
    config = source.read(LedgerConfig)
    _check_positive(source, config.limits, "limits")
    for key in ("address", "enrolment"):
        _check_address(source, getattr(config.listen, key), ("listen", key), f"[listen] {key}")
    if not config.listen.server_names:
        raise source.error(("listen", "server_names"), "[listen] server_names: name at least one")
    return config


Config = TypeVar("Config")
_MICRO = Decimal(1_000_000)
MAX_QUEUES = 256
MAX_QUEUE_TEXT = 64
QUEUE_FIGURES = {"max_cores": (1, 1 << 31), "gpus": (0, 1 << 31), "memory_bytes": (1, MAX_BYTES), "max_walltime_seconds": (1, 1 << 31)}
"""Lowest and highest figure of a queue, as the contract takes them; the agent does without the contract itself."""
_TOML_WORDS = {"str": "text in quotes", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
               "object": "a section", "decimal": "a number"}  # fmt: skip


class _Source:
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
                near = difflib.get_close_matches(key, hints, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(hints))}"
                raise self.error((*place, key), f"unknown key {'.'.join((*place, key))!r}", hint=hint, number=number)
            section = _section_of(hints[key])
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
        place = tuple(re.sub(r"\[[^]]*\]", "", path.rstrip("`")).strip(".").split("."))
        entry = re.search(r"\[(\d+)\]", path)
        number = 0 if entry is None else int(entry[1]) + 1
        return self.error(place, f"{'.'.join(place)}: {_plain(reason)}".removeprefix(": "), hint=_choices(kind, place), number=number)

    def error(self, place: tuple[str, ...], message: str, *, hint: str = "", number: int = 0) -> ConfigError:
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


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _section_of(hint: Any) -> Any:
    """The dataclass a key holds, directly, optionally or in a tuple; None for plain values."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) is tuple else (hint,)
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _plain(reason: str) -> str:
    """What msgspec complains of, in the words of TOML."""
    text = re.sub(r"`(\w+)(?: \| null)?`", lambda found: _TOML_WORDS.get(found[1], found[0]), f"{reason[:1].lower()}{reason[1:]}")
    return text.replace("enum ", "")


def _choices(kind: Any, place: tuple[str, ...]) -> str:
    """The values a key knows, if it has a closed list of them."""
    for key in place:
        hint = typing.get_type_hints(kind).get(key) if dataclasses.is_dataclass(kind) else None
        kind = _section_of(hint) or hint
    return f"known are: {', '.join(typing.get_args(kind))}" if typing.get_origin(kind) is Literal else ""


def _decimals(kind: Any, tree: Any) -> Any:
    """Whole numbers where a decimal is asked for: ``1`` is as good as ``1.0``, and ``"0.05"`` is refused as text."""
    if not isinstance(tree, dict):
        return tree
    hints = typing.get_type_hints(kind)
    result = {}
    for key, value in tree.items():
        hint, section = hints[key], _section_of(hints[key])
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


def _registration(cluster: ClusterSection) -> Registration:
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


def _check_queues(source: _Source, queues: tuple[QueueSection, ...]) -> None:
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
    if not (1 <= len(queue.name) <= MAX_QUEUE_TEXT and queue.name.isprintable()):
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
    return "", ""


def _check_scheduler(source: _Source, section: SchedulerSection) -> None:
    name = section.name
    if name not in SCHEDULERS:
        near = difflib.get_close_matches(name, SCHEDULERS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(SCHEDULERS))}"
        raise source.error(("scheduler", "name"), f"[scheduler] name = {name[:40]!r} is no scheduler we know", hint=hint)
    if name == "local" and not section.owners:
        raise source.error(
            ("scheduler", "owners"),
            "[scheduler] owners: name at least one",
            hint="those whose processes on this machine are to be seen as jobs",
        )
    if name != "local" and section.owners:
        raise source.error(
            ("scheduler", "owners"),
            f"[scheduler] owners has no meaning for {name}",
            hint='[publish] owners are those whose jobs are published; this one is for name = "local"',
        )
    if name != "slurm" and section.pyslurm == "yes":
        raise source.error(("scheduler", "pyslurm"), f"[scheduler] pyslurm has no meaning for {name}")


def _check_metrics(source: _Source, section: MetricsSection) -> None:
    if not section.address:
        return
    place = ("metrics", "address")
    _check_address(source, section.address, place, "[metrics] address")
    if not (section.open_to_network or is_loopback(section.address)):
        raise source.error(
            place,
            f"[metrics] address {section.address!r} is open to other machines, and anybody there may read it",
            hint="say open_to_network = true beside it if that is meant",
        )


def is_loopback(address: str) -> bool:
    """True if HOST:PORT can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_positive(source: _Source, section: Any, name: str) -> None:
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if isinstance(value, int) and value < 1:
            raise source.error((name, item.name), f"[{name}] {item.name} = {value}: must be at least 1")


def _check_address(source: _Source, address: str, place: tuple[str, ...], what: str, *, number: int = 0) -> None:
    match = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", address)
    if match is None or int(match[1]) > 65_535:
        hint = "an IPv6 address stands in brackets: [::1]:7443"
        raise source.error(place, f"{what} {address!r} is not HOST:PORT", hint=hint, number=number)
