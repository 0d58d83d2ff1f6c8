# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Engines by the name they have in `ledgerd.toml`. A new one is one file and one line here; the conformance suite picks it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hpcbridge.ledger.engine import Engine
from hpcbridge.ledger.engines.sqlite import SqliteEngine

ENGINES: Mapping[str, Callable[[int], Engine]] = MappingProxyType({"sqlite": SqliteEngine})
"""How to open each: with the engine position that this replica's store has."""
