# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Schedulers: one parser each, over reports that the collecting scripts printed. A new one is a line in `SCHEDULERS`."""

from __future__ import annotations

from hpcbridge.schedulers.gridengine import GridEngineScheduler
from hpcbridge.schedulers.local import LocalScheduler
from hpcbridge.schedulers.openpbs import OpenpbsScheduler
from hpcbridge.schedulers.report import SchedulerTypes
from hpcbridge.schedulers.slurm import SlurmScheduler
from hpcbridge.schedulers.standard import StandardScheduler
from hpcbridge.schedulers.torque import TorqueScheduler

SCHEDULERS: SchedulerTypes = {
    "openpbs": OpenpbsScheduler,
    "slurm": SlurmScheduler,
    "torque": TorqueScheduler,
    "gridengine": GridEngineScheduler,
    "standard": StandardScheduler,
    "local": LocalScheduler,
}
