# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Schedulers: one parser each, over reports that the collecting scripts printed. A new one is a line in `SCHEDULERS`."""

from __future__ import annotations

from hpcbridge.schedulers.gridengine.scheduler import GridEngineScheduler
from hpcbridge.schedulers.local.scheduler import LocalScheduler
from hpcbridge.schedulers.openpbs.scheduler import OpenpbsScheduler
from hpcbridge.schedulers.report import SchedulerTypes
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler
from hpcbridge.schedulers.standard.scheduler import StandardScheduler
from hpcbridge.schedulers.torque.scheduler import TorqueScheduler

SCHEDULERS: SchedulerTypes = {
    "slurm": SlurmScheduler,
    "torque": TorqueScheduler,
    "openpbs": OpenpbsScheduler,
    "gridengine": GridEngineScheduler,
    "standard": StandardScheduler,
    "local": LocalScheduler,
}
