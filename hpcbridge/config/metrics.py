# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The section [metrics] of both files: where Prometheus finds the figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hpcbridge.config.checks import check_address, is_loopback
from hpcbridge.config.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """Figures for Prometheus. Nobody has to log in there."""

    address: Annotated[str, 'HOST:PORT to serve them on; "" for nowhere'] = "127.0.0.1:9464"
    open_to_network: Annotated[bool, "must be true where other machines reach that address, so that it is meant"] = False
    textfile: Annotated[Path | None, "a file for node_exporter's textfile collector, NAME.prom, beside the address or instead"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMetricsSection:
    """Figures for Prometheus, on another port than the agent's: both may run on one host. Nobody has to log in there."""

    address: Annotated[str, 'HOST:PORT to serve them on; "" for nowhere'] = "127.0.0.1:9465"
    open_to_network: Annotated[bool, "must be true where other machines reach that address, so that it is meant"] = False
    textfile: Annotated[Path | None, "a file for node_exporter's textfile collector, NAME.prom, beside the address or instead"] = None


def check_metrics(source: Source, section: MetricsSection | LedgerMetricsSection) -> None:
    """ConfigError for an address that others reach and nobody said so, or a file that node_exporter would not read."""
    if section.textfile is not None and section.textfile.suffix != ".prom":
        raise source.error(
            ("metrics", "textfile"),
            f"[metrics] textfile {str(section.textfile)!r} does not end in .prom",
            hint="node_exporter reads no others",
        )
    if not section.address:
        return
    place = ("metrics", "address")
    check_address(source, section.address, place, "[metrics] address")
    if not (section.open_to_network or is_loopback(section.address)):
        raise source.error(
            place,
            f"[metrics] address {section.address!r} is open to other machines, and anybody there may read it",
            hint="say open_to_network = true beside it if that is meant",
        )
