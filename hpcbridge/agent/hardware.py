# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes of a queue have for a job: kinds of GPUs, and memory. No scheduler says it of its queues, all say it of their nodes.

It is what a queue is made of and not what is free, so nodes that are down or drained count: a node that is repaired tomorrow does not
change what is offered. What a scheduler does not tell stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hpcbridge.model.clusters import Queue, QueueHardware
from hpcbridge.model.nodes import Node

MAX_KINDS = 16
_KIND = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?\Z")
"""What the ledger takes; the agent does without the contract itself."""


def hardware_of(queues: Iterable[Queue], nodes: Sequence[Node]) -> tuple[QueueHardware, ...]:
    """In the order of the queues, those of which anything is known."""
    found = []
    for queue in queues:
        names = frozenset(queue.nodes)
        own = [node for node in nodes if queue.name in node.queues or node.name in names]
        hardware = QueueHardware(queue=queue.name, gpu_types=_kinds(own), memory_bytes=_most_memory(own))
        if hardware.gpu_types or hardware.memory_bytes is not None:
            found.append(hardware)
    return tuple(found)


def _kinds(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The kinds of the GPUs of all nodes in order; none if a node with GPUs does not tell its own, because any could be missing.

    A kind that no user could ask for is as good as not told.
    """
    kinds: set[str] = set()
    for node in nodes:
        if node.gpus_total == 0:
            continue
        told = [kind.strip() for kind in (node.gpu_type or "").split(",") if kind.strip()]
        if (node.gpus_total is not None and not told) or not all(map(_KIND.match, told)):
            return ()
        kinds.update(told)
    return tuple(sorted(kinds)) if len(kinds) <= MAX_KINDS else ()


def _most_memory(nodes: Iterable[Node]) -> int | None:
    """Memory of the largest node known. A job on several nodes can have more; that is for the provider to register."""
    return max((node.memory_bytes_total for node in nodes if node.memory_bytes_total), default=None)
