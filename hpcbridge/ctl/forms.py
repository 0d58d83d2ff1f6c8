# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Words and records as JSON, for `-o json`: the standard schema where there is one, else field by field under the same rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from hpcbridge.model.clusters import ClusterState, Queue
from hpcbridge.model.identities import Submitter
from hpcbridge.model.jobs import Job
from hpcbridge.model.nodes import Node
from hpcbridge.model.quantities import format_instant
from hpcbridge.model.schema import cluster_state_as_json, job_as_json, node_as_json, queue_as_json

_STANDARD: Mapping[type, Callable[[Any], Any]] = {
    Job: job_as_json,
    Node: node_as_json,
    Queue: queue_as_json,
    ClusterState: cluster_state_as_json,
}


def as_json(word: Any) -> Any:
    """Instants (`_at`) become ISO 8601 text, bytes hexadecimal, pairs an object, what is unknown null."""
    if type(word) in _STANDARD:
        return _STANDARD[type(word)](word)
    if dataclasses.is_dataclass(word) and not isinstance(word, type | Submitter):
        return {field.name: _field(field.name, getattr(word, field.name)) for field in dataclasses.fields(word)}
    return _plain(word)


def _field(name: str, value: Any) -> Any:
    if (name == "at" or name.endswith("_at")) and isinstance(value, int):
        return format_instant(value)
    if name in ("attributes", "values"):
        return dict(value)
    return as_json(value)


def _plain(value: Any) -> Any:
    match value:
        case StrEnum():
            return value.value
        case Submitter():
            return str(value)
        case bytes():
            return value.hex()
        case tuple():
            return [as_json(each) for each in value]
    return value
