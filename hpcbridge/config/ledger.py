# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""ledgerd.toml: the ledger's sections."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hpcbridge.config.checks import check_address, check_positive
from hpcbridge.config.log import LogSection
from hpcbridge.config.source import Source

LEDGER_CONFIG = Path("/etc/hpcbridge/ledgerd.toml")


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
    log: LogSection = field(default_factory=LogSection)


def load_ledger_config(path: Path) -> LedgerConfig:
    """Reads ledgerd.toml; ConfigError naming file, line and key."""
    source = Source(path)
    config = source.read(LedgerConfig)
    check_positive(source, config.limits, "limits")
    for key in ("address", "enrolment"):
        check_address(source, getattr(config.listen, key), ("listen", key), f"[listen] {key}")
    if not config.listen.server_names:
        raise source.error(("listen", "server_names"), "[listen] server_names: name at least one")
    return config
