# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the agent registers: `[cluster]` of its configuration, with the place that the site's database tells where one is named."""

from __future__ import annotations

import dataclasses

from hpcbridge.config import AgentConfig
from hpcbridge.daemon.location import locate
from hpcbridge.model.clusters import Registration


def registration_of(config: AgentConfig) -> Registration:
    """The registration; ConfigError if the database does not tell the place."""
    section = config.cluster
    if section.location_database is None or section.location_address is None:
        return config.registration
    latitude, longitude = locate(section.location_database, section.location_address)
    return dataclasses.replace(config.registration, latitude_microdegrees=latitude, longitude_microdegrees=longitude)
