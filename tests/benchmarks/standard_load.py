# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What site scripts of a large cluster would print: as a generator of JSON indents it, with every field that is usually known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hpcbridge.model.quantities import format_instant

START_AT = 1_795_000_000_000
_CORES = 128
_QUEUES = ("short", "long", "gpu", "debug")


def reports(jobs: int, nodes: int) -> Mapping[str, bytes]:
    """The output of each query for that many jobs on that many nodes; two jobs in five run, some are pending ranges."""
    printed = {
        "about": {"about": {"name": "standard", "version": "1", "cluster_name": "north", "min_job_age_seconds": 600, "accounting": True}},
        "jobs": {"jobs": [_job(number, nodes) for number in range(jobs)]},
        "ended": {"jobs": []},
        "nodes": {"nodes": [_node(number) for number in range(nodes)]},
        "queues": {"queues": [{"name": name, "open": True, "max_walltime_seconds": 604_800} for name in _QUEUES]},
    }
    return {query: json.dumps(document, indent=1).encode() for query, document in printed.items()}


def _job(number: int, nodes: int) -> dict[str, Any]:
    ours: dict[str, Any] = {
        "job_id": str(500_000 + number),
        "state": "QUEUED",
        "native_state": "waiting",
        "reason": "Resources",
        "owner": f"user{number % 400:03d}",
        "account": f"project{number % 60:02d}",
        "queue": _QUEUES[number % 4],
        "name": f"relax-{number % 997}",
        "cores": 16 * (1 + number % 8),
        "gpus": number % 3,
        "gpu_type": "a100" if number % 3 else None,
        "memory_bytes": 1 << (30 + number % 8),
        "nodes": [],
        "submitted_at": format_instant(START_AT + number * 1000),
        "started_at": None,
        "ended_at": None,
        "wall_seconds": None,
        "walltime_limit_seconds": 86_400,
        "exit_code": None,
        "exit_signal": None,
        "restarts": 0,
    }
    if number % 5 in (1, 2):
        where = [f"n{place % nodes:04d}" for place in range(number, number + 1 + number % 4)]
        ours |= {"state": "RUNNING", "native_state": "running", "reason": None, "nodes": where}
        ours |= {"started_at": format_instant(START_AT + (50_000 + number) * 1000), "wall_seconds": 100 + number % 3600}
    elif number % 5 == 3 and number % 20 == 3:
        ours |= {"job_id": f"{500_000 + number}_[1-99]", "array_job_id": str(500_000 + number), "array_pending": 99}
    return ours


def _node(number: int) -> dict[str, Any]:
    return {
        "name": f"n{number:04d}",
        "availability": "DOWN" if number % 100 == 99 else "UP",
        "native_state": "free",
        "reason": None,
        "queues": [_QUEUES[number % 4]],
        "cores_total": _CORES,
        "cores_used": number % (_CORES + 1),
        "gpus_total": 4 if number % 4 == 2 else 0,
        "gpus_used": 0,
        "gpu_type": "a100" if number % 4 == 2 else None,
        "memory_bytes_total": 512 << 30,
        "memory_bytes_used": (number % 512) << 30,
    }
