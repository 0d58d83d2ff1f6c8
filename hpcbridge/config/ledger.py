# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""ledgerd.toml: the ledger's sections."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hpcbridge.config.checks import check_address, check_positive
from hpcbridge.config.log import LogSection
from hpcbridge.config.metrics import LedgerMetricsSection, check_metrics
from hpcbridge.config.source import Source

LEDGER_CONFIG = Path("/etc/hpcbridge/ledgerd.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSection:
    """Where the ledger listens, and what others are told of it."""

    address: Annotated[str, "HOST:PORT for members, with certificates on both sides"] = "0.0.0.0:7443"
    enrolment: Annotated[str, "HOST:PORT for those who have a token and no certificate yet, and for renewal"] = "0.0.0.0:7444"
    public_address: Annotated[str, "HOST:PORT told to new members instead of address, where they reach it under another name"] = ""
    public_enrolment: Annotated[str, "HOST:PORT told to new members instead of enrolment"] = ""
    server_names: Annotated[tuple[str, ...], "names in the ledger's certificate; members reach it under one of them"] = ("localhost",)
    reflection: Annotated[bool, "whether members may ask which methods there are, as grpcurl does"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSection:
    """The store."""

    directory: Annotated[
        Path,
        "directory of ledger.db, high-water, relay.db and keys/; open to the ledger's account alone",
    ] = Path("/var/lib/hpcbridge-ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSection:
    """Who decides the order of entries."""

    name: Annotated[str, "sqlite: this process alone"] = "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """Quotas of one identity and of the whole service."""

    connections_per_identity: Annotated[int, "most connections over which one identity may have calls open"] = 64
    streams_per_identity: Annotated[int, "most streams that one identity may have open"] = 16
    messages_per_second: Annotated[int, "most calls and messages a second from one identity; what is more waits"] = 1_000
    envelopes_per_second: Annotated[int, "most envelopes a second from one identity"] = 100_000
    bytes_per_second: Annotated[int, "most bytes a second to and from one identity; what is more waits"] = 32 << 20
    stored_bytes_per_day: Annotated[int, "most bytes that a member, all its installations together, may add to the log in a day"] = 1 << 30
    window: Annotated[int, "most envelopes of one stream that wait for their receipt"] = 256
    streams: Annotated[int, "most streams of all together"] = 16_384
    connections: Annotated[int, "most connections of all together; keep it well below the unit's LimitNOFILE"] = 32_768
    connection_idle_seconds: Annotated[int, "a connection without a call is closed after so long"] = 300
    read_idle_seconds: Annotated[int, "a stream that says nothing for so long is closed"] = 90
    connection_age_seconds: Annotated[int, "a connection older than this is asked to come anew"] = 900
    tick_seconds: Annotated[int, "seconds between two entries that only tell the time"] = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConfig:
    """ledgerd.toml."""

    listen: Annotated[ListenSection, "where it listens"] = ListenSection()
    store: Annotated[StoreSection, "where it is kept"] = StoreSection()
    engine: Annotated[EngineSection, "who decides the order"] = EngineSection()
    limits: Annotated[LimitsSection, "quotas"] = LimitsSection()
    metrics: Annotated[LedgerMetricsSection, "for Prometheus"] = field(default_factory=LedgerMetricsSection)
    log: Annotated[LogSection, "for the journal"] = field(default_factory=LogSection)


def load_ledger_config(path: Path) -> LedgerConfig:
    """Reads ledgerd.toml; ConfigError naming file, line and key."""
    source = Source(path)
    config = source.read(LedgerConfig)
    check_metrics(source, config.metrics)
    check_positive(source, config.limits, "limits")
    for key in ("address", "enrolment"):
        check_address(source, getattr(config.listen, key), ("listen", key), f"[listen] {key}")
    if not config.listen.server_names:
        raise source.error(("listen", "server_names"), "[listen] server_names: name at least one")
    return config
