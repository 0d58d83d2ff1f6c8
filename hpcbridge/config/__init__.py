# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration files of both programs: TOML, read strictly into frozen dataclasses.

Every complaint names the file, the line, the key and, for an unknown key, the nearest known one. Reading never creates, follows or
checks anything outside the file itself; that is the programs' and ``hpcbridgectl check``'s work.
"""

from __future__ import annotations

from hpcbridge.config.agent import (
    AGENT_CONFIG,
    SCRIPTS_DIRECTORY,
    AgentConfig,
    ControlSection,
    IntervalsSection,
    LedgerSection,
    PublishSection,
    SchedulerSection,
    SpoolSection,
    load_agent_config,
)
from hpcbridge.config.checks import is_loopback
from hpcbridge.config.cluster import MAX_QUEUE_TEXT, MAX_QUEUES, QUEUE_FIGURES, ClusterSection, ProgramSection, QueueSection, RatesSection
from hpcbridge.config.ledger import (
    LEDGER_CONFIG,
    EngineSection,
    LedgerConfig,
    LimitsSection,
    ListenSection,
    StoreSection,
    load_ledger_config,
)
from hpcbridge.config.log import LogLevel, LogSection
from hpcbridge.config.metrics import LedgerMetricsSection, MetricsSection
from hpcbridge.config.reloading import changed_keys

__all__ = [
    "AGENT_CONFIG",
    "LEDGER_CONFIG",
    "MAX_QUEUES",
    "MAX_QUEUE_TEXT",
    "QUEUE_FIGURES",
    "SCRIPTS_DIRECTORY",
    "AgentConfig",
    "ClusterSection",
    "ControlSection",
    "EngineSection",
    "IntervalsSection",
    "LedgerConfig",
    "LedgerMetricsSection",
    "LedgerSection",
    "LimitsSection",
    "ListenSection",
    "LogLevel",
    "LogSection",
    "MetricsSection",
    "ProgramSection",
    "PublishSection",
    "QueueSection",
    "RatesSection",
    "SchedulerSection",
    "SpoolSection",
    "StoreSection",
    "changed_keys",
    "is_loopback",
    "load_agent_config",
    "load_ledger_config",
]
