# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""``[log]`` of both files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSection:
    """How much is said; the journal keeps it."""

    level: Annotated[LogLevel, "debug, info, warning or error; what is less urgent is not said"] = "info"
