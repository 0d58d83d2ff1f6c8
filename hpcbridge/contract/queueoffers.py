# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What a registration offers: queues and rates, checked value by value, versions of its prices, and how it agrees with what is observed.

A registration that names no queues offers every queue that is observed. One that does offers those, each figure as it says or, where it
says none, as observed. An offer of more than is observed is no fault: the next sample may show more. It is told as drift, once for each
change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hpcbridge.contract.records import RegisteredQueues, decode_word, encode_word
from hpcbridge.contract.state import Draft, StateView
from hpcbridge.contract.versions import has_market
from hpcbridge.model.clusters import ClusterState, Queue, QueueHardware, QueueOffer, Rates, Registration
from hpcbridge.model.entries import EventType
from hpcbridge.model.jobs import MAX_BYTES
from hpcbridge.model.market import DriftField, QueueDrift, QueueDrifts
from hpcbridge.model.printable import lower_ascii

MAX_RATE = 1 << 53
MAX_QUEUES = 256
MAX_QUEUE_TEXT = 64
MAX_KINDS = 16
MAX_FIGURE = 1 << 31
"""Above every number of cores or GPUs of one job, and every walltime in seconds; with MAX_RATE still far within an amount of money."""
_GPU_TYPE = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?\Z")


def rates_fault(rates: Rates | None, *, lowest: int = 1) -> str:
    """What is wrong with rates; empty if nothing. `lowest` 0 is for a contract of the time before the market, which took any."""
    if rates is None:
        return ""
    if not (0 <= rates.cpu_core_per_hour <= MAX_RATE and 0 <= rates.gpu_core_per_hour <= MAX_RATE):
        return "rates are out of range"
    if rates.cpu_core_per_hour < lowest:
        return "a rate of 0 for a core and hour is no price: ask at least 1 micro-unit, or leave the rates out and nothing is offered"
    return ""


def queues_fault(queues: tuple[QueueOffer, ...]) -> str:
    """What is wrong with registered queues; empty if nothing."""
    if len({queue.name for queue in queues}) != len(queues) or len(queues) > MAX_QUEUES:
        return f"queues: one is named twice, or more than {MAX_QUEUES}"
    for queue in queues:
        fault = _queue_fault(queue)
        if fault:
            return f"queue {queue.name[:MAX_QUEUE_TEXT]!r}: {fault}"
    return ""


def note_offer(draft: Draft, registration: Registration) -> None:
    """Notes the queues and, if they changed, the next version of the prices of a registration that is about to go on record."""
    if not has_market(draft):
        return
    cluster = registration.cluster
    data = draft.get(f"registration/{cluster}")
    before = None if data is None else decode_word(Registration, data)
    if before is None or _prices(before) != _prices(registration):
        draft.put(f"priceversion/{cluster}", (price_version(draft, cluster) + 1).to_bytes(8, "big"))
    key = f"queueoffers/{cluster}"
    if registration.queues:
        draft.put(key, encode_word(RegisteredQueues(queues=registration.queues)))
    elif draft.get(key) is not None:
        draft.remove(key)
        draft.remove(f"drift/{cluster}")


def price_version(view: StateView, cluster: str) -> int:
    """How often the prices of a cluster were set since there is a market; 0: not since then."""
    stored = view.get(f"priceversion/{cluster}")
    return 0 if stored is None else int.from_bytes(stored, "big")


def registered_queues(view: StateView, cluster: str) -> tuple[QueueOffer, ...]:
    """The queues a cluster's registration names; none: it offers what is observed."""
    data = view.get(f"queueoffers/{cluster}")
    return () if data is None else decode_word(RegisteredQueues, data).queues


def compare_queues(draft: Draft, provider: str, state: ClusterState) -> None:
    """Tells the provider when its registered queues begin to differ from these, differ otherwise, or agree again."""
    offered = registered_queues(draft, state.cluster)
    if not offered:
        return
    found = QueueDrifts(cluster=state.cluster, drifts=drifts_of(offered, state))
    key = f"drift/{state.cluster}"
    encoded, before = encode_word(found) if found.drifts else None, draft.get(key)
    if encoded == before:
        return
    if encoded is None:
        draft.remove(key)
    else:
        draft.put(key, encoded)
    draft.tell(EventType.QUEUES_DRIFTED, provider, subject=state.cluster, body=encode_word(found))


def drifts_of(offered: tuple[QueueOffer, ...], state: ClusterState) -> tuple[QueueDrift, ...]:
    """In what queues are offered with more than is observed. What is not observed is not known to be less."""
    observed = {queue.name: queue for queue in state.queues}
    hardware = {known.queue: known for known in state.hardware}
    drifts: list[QueueDrift] = []
    for offer in offered:
        queue = observed.get(offer.name)
        if queue is None:
            drifts.append(QueueDrift(queue=offer.name, field=DriftField.QUEUE, registered=None, observed=None))
        else:
            drifts.extend(_drifts(offer, queue, hardware.get(offer.name, QueueHardware(queue=offer.name))))
    return tuple(drifts)


def _drifts(offer: QueueOffer, queue: Queue, hardware: QueueHardware) -> Iterator[QueueDrift]:
    figures = (
        (DriftField.MAX_CORES, offer.max_cores, queue.max_cores),
        (DriftField.GPUS, offer.gpus, queue.gpus_total),
        (DriftField.MAX_WALLTIME_SECONDS, offer.max_walltime_seconds, queue.max_walltime_seconds),
        (DriftField.MEMORY_BYTES, offer.memory_bytes, hardware.memory_bytes),
    )
    for field, registered, seen in figures:
        if registered is not None and seen is not None and registered > seen:
            yield QueueDrift(queue=offer.name, field=field, registered=registered, observed=seen)
    kinds = hardware.gpu_types
    if offer.gpu_type and kinds and lower_ascii(offer.gpu_type) not in [lower_ascii(kind) for kind in kinds]:
        yield QueueDrift(
            queue=offer.name,
            field=DriftField.GPU_TYPE,
            registered=None,
            observed=None,
            registered_gpu_type=offer.gpu_type,
            observed_gpu_types=kinds,
        )


def hardware_fault(state: ClusterState) -> str:
    """What is wrong with what a sample tells of hardware; empty if nothing."""
    names = [hardware.queue for hardware in state.hardware]
    if len(dict.fromkeys(names)) != len(names) or not {*names} <= {queue.name for queue in state.queues}:
        return "hardware: of a queue that is named twice, or not at all"
    for hardware in state.hardware:
        kinds = hardware.gpu_types
        if list(kinds) != sorted(dict.fromkeys(kinds)) or len(kinds) > MAX_KINDS or not all(map(_GPU_TYPE.match, kinds)):
            return f"hardware of {hardware.queue[:MAX_QUEUE_TEXT]!r}: kinds of GPUs are not in order, more than {MAX_KINDS}, or not ASCII"
        if not _within(hardware.memory_bytes, 1, MAX_BYTES):
            return f"hardware of {hardware.queue[:MAX_QUEUE_TEXT]!r}: memory_bytes is out of range"
    return ""


def _queue_fault(queue: QueueOffer) -> str:
    if not 1 <= len(queue.name) <= MAX_QUEUE_TEXT or len(queue.gpu_type or "") > MAX_QUEUE_TEXT:
        return f"its name has 1 to {MAX_QUEUE_TEXT} characters, gpu_type at most as many"
    if not (_within(queue.max_cores, 1, MAX_FIGURE) and _within(queue.gpus, 0, MAX_FIGURE)):
        return f"max_cores: 1 to {MAX_FIGURE}; gpus: 0 to {MAX_FIGURE}"
    if not (_within(queue.max_walltime_seconds, 1, MAX_FIGURE) and _within(queue.memory_bytes, 1, MAX_BYTES)):
        return "max_walltime_seconds or memory_bytes is out of range"
    return rates_fault(queue.rates)


def _within(value: int | None, lowest: int, highest: int) -> bool:
    return value is None or lowest <= value <= highest


def _prices(registration: Registration) -> tuple[Rates | None, tuple[tuple[str, Rates | None], ...]]:
    return registration.rates, tuple((queue.name, queue.rates) for queue in registration.queues)
