# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What the daemon answers on its control socket: the handlers behind `hpcbridgectl`, each from arguments to plain JSON values."""

from __future__ import annotations

import base64
import binascii
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from hpcbridge import __version__
from hpcbridge.agent.changes import is_range, key_of_range
from hpcbridge.agent.gateway import Gateway
from hpcbridge.agent.listener import HiddenEvents
from hpcbridge.agent.memory import Memory
from hpcbridge.agent.observations import Observations, QueryStatus, ServerCost
from hpcbridge.agent.payloads import MAX_BODY_BYTES, WITH_ITEMS
from hpcbridge.agent.rows import Item
from hpcbridge.agent.spool import Spool
from hpcbridge.agent.tenancies import Tenancy, needs_attention, next_step, standing
from hpcbridge.agent.tenants import open_usernames
from hpcbridge.config import AgentConfig
from hpcbridge.daemon.worker import Phase, WorkerStatus
from hpcbridge.errors import HpcbridgeError, Refused
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.model.entries import EntryOutcome, RejectionCode
from hpcbridge.model.identities import CertificateFacts
from hpcbridge.model.jobs import Job
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant, format_instant
from hpcbridge.model.schema import job_as_json, node_as_json, queue_as_json
from hpcbridge.model.transactions import PayloadType
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.control import Handler
from hpcbridge.wire.convert import decode_body
from hpcbridge.wire.generated import ledger_pb2

ACTING = frozenset({"add", "flush", "submit", "call"})
"""Commands for root and the daemon's own account; `call` asks with the daemon's rights."""
SUBMIT_SECONDS = 20.0
WORKER_OF = {"ended_fallback": "ended"}
"""Queries that another worker than their namesake asks."""
ASKED_WHEN_NEEDED = frozenset({"ended", "ended_fallback"})
_STRETCHED = 1.05
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the handlers look at."""

    config: AgentConfig
    started_at: Instant
    spool: Spool
    memory: Memory
    observations: Observations
    gateway: Gateway
    client: LedgerClient
    certificate: Callable[[], CertificateFacts]
    hidden_events: Callable[[], HiddenEvents | None]
    workers: Callable[[], tuple[WorkerStatus, ...]]
    hurry: Callable[[], None]
    clock: Callable[[], Instant]
    monotonic: Callable[[], float]
    log_key: bytes


def handlers(parts: Parts) -> Mapping[str, Handler]:
    """One handler for each command."""
    return {
        "status": lambda _: _status(parts),
        "jobs": lambda _: _jobs(parts),
        "job": lambda arguments: _job(parts, arguments),
        "nodes": lambda _: _nodes(parts),
        "queues": lambda _: _queues(parts),
        "add": lambda arguments: _add(parts, arguments),
        "spool": lambda _: _spool(parts),
        "flush": lambda _: _flush(parts),
        "quarantine": lambda _: _quarantine(parts),
        "receipts": lambda arguments: _receipts(parts, arguments),
        "receipt": lambda arguments: _receipt(parts, arguments),
        "submit": lambda arguments: _submit(parts, arguments),
        "call": lambda arguments: _call(parts, arguments),
    }


def _status(parts: Parts) -> Json:
    profile, gateway = parts.gateway.profile, parts.gateway.status
    numbers = parts.spool.chain.numbers()
    note = (parts.spool.meta("checkpoint") or b"").decode()
    snapshot = parts.observations.snapshot
    workers = {status.name: status for status in parts.workers()}
    return {
        "agent": {
            "version": __version__,
            "started_at": format_instant(parts.started_at),
            "submitter": str(profile.submitter),
            "origin": profile.origin,
            "cluster": parts.config.cluster.name,
            "publish": parts.config.publish.mode,
        },
        "ledger": {
            "connected": gateway.connected,
            "address": gateway.address,
            "last_receipt_at": _time(gateway.last_receipt_at),
            "epoch": numbers.epoch.hex() or None,
            "next_sequence": numbers.next_sequence,
            "checkpoint": note or None,
            "checkpoint_size": parse_checkpoint(note, profile.origin, parts.log_key).size if note else None,
            "certificate_expires_at": _time(parts.certificate().not_after_at),
            "last_error": gateway.last_error,
            "waits_for_approval": gateway.waits_for_approval,
            "events_hidden": _hidden(parts.hidden_events()),
            "registration_refused": _refused_registration(parts),
        },
        "scheduler": {
            "name": parts.config.scheduler.name,
            "version": snapshot.about.version if snapshot.about else None,
            "reachable": snapshot.reachable,
            "queries": [_query(query, workers.get(WORKER_OF.get(query.name, query.name))) for query in parts.observations.queries()],
            "server_cost": _server_cost(parts.observations.server_cost),
        },
        "workers": [_worker(parts, status) for status in workers.values()],
        "accounts": _accounts(parts),
        "spool": _spool(parts),
    }


def _accounts(parts: Parts) -> Json:
    """Accounts of tenants: how many are open, and those of which somebody should know something."""
    tenancies = parts.spool.tenants.all()
    return {
        "mode": parts.config.scheduler.accounts,
        "open": len(open_usernames(tenancies)),
        "attention": [_tenancy(each) for each in tenancies if needs_attention(each, parts.clock())],
    }


def _tenancy(tenancy: Tenancy) -> Json:
    step = next_step(tenancy)
    return {
        "rental": tenancy.rental,
        "username": tenancy.username,
        "step": None if step is None else str(step),
        "standing": str(standing(tenancy)),
        "report": None if tenancy.report is None else str(tenancy.report),
        "reason": tenancy.problem or tenancy.reason,
        "attempts": tenancy.attempts,
        "next_at": _time(tenancy.next_at) if step is not None and tenancy.next_at else None,
        "failed_at": _time(tenancy.failed_at),
    }


def _refused_registration(parts: Parts) -> Json | None:
    refused = parts.spool.chain.refused_registration()
    return None if refused is None else {"code": refused[0], "reason": refused[1], "at": _time(refused[2])}


def _hidden(events: HiddenEvents | None) -> Json | None:
    return None if events is None else {"count": events.count, "first": events.first, "last": events.last}


def _query(query: QueryStatus, worker: WorkerStatus | None) -> Json:
    """A query, and how often it is asked: `stretched` says why less often than configured, null if it is not."""
    seconds = worker.next_after_seconds if worker else None
    return {
        "name": query.name,
        "last_report_at": _time(query.last_report_at),
        "last_duration_ms": query.last_duration_ms,
        "last_cpu_ms": query.last_cpu_ms,
        "last_bytes": query.last_bytes,
        "cpu_share": cpu_share(query, worker),
        "interval_seconds": worker.interval_seconds if worker else None,
        "next_interval_seconds": None if seconds is None else round(seconds, 1),
        "stretched": None if worker is None else stretched(worker),
        "breaker": None if worker is None else "open" if worker.phase is Phase.BROKEN else "closed",
        "records": query.records,
        "problems": query.problems,
        "runs": query.runs,
        "failures": query.failures,
        "last_error": query.last_error,
    }


def cpu_share(query: QueryStatus, worker: WorkerStatus | None) -> float | None:
    """The part of one core that asking this often takes, scripts and commands included; None where that was not measured, or where it is
    asked only when there is something to ask.
    """
    if query.last_cpu_ms is None or worker is None or not worker.next_after_seconds or query.name in ASKED_WHEN_NEEDED:
        return None
    return round(query.last_cpu_ms / 1000 / worker.next_after_seconds, 5)


def stretched(worker: WorkerStatus) -> str | None:
    """Why a worker acts less often than it is meant to: "slow" (the scheduler's answers), "failures", or None."""
    seconds = worker.next_after_seconds
    if seconds is None or seconds <= worker.interval_seconds * _STRETCHED:
        return None
    return "slow" if worker.slow else "failures" if worker.failures else None


def _server_cost(cost: ServerCost | None) -> Json | None:
    """Share of one thread of the server's time, and of the time it spends on anybody's calls."""
    if cost is None:
        return None
    return {
        "period_seconds": cost.period_ms / 1000,
        "calls_per_minute": round(cost.calls * 60_000 / cost.period_ms, 1),
        "busy_share": round(cost.busy_us / 1000 / cost.period_ms, 6),
        "share_of_all_calls": round(cost.busy_us / cost.all_busy_us, 4) if cost.all_busy_us else None,
    }


def _worker(parts: Parts, status: WorkerStatus) -> Json:
    ran = status.phase is not Phase.IDLE
    ago_ms = int((parts.monotonic() - status.beat_at) * 1000)
    return {
        "name": status.name,
        "healthy": status.phase in (Phase.WORKING, Phase.RESTING) and status.failures == 0,
        "last_run_at": format_instant(parts.clock() - ago_ms) if ran else None,
        "failures": status.failures,
        "last_error": status.last_error,
    }


def _jobs(parts: Parts) -> Json:
    snapshot = parts.observations.snapshot
    incarnations = parts.memory.incarnations()
    return {"jobs": [_job_as_json(job, incarnations) for job in snapshot.jobs or ()], "observed_at": _time(snapshot.jobs_at)}


def _job(parts: Parts, arguments: Mapping[str, Any]) -> Json:
    job_id = str(arguments.get("job_id", ""))
    incarnations = parts.memory.incarnations()
    found = [job for job in parts.observations.snapshot.jobs or () if job_id in (job.job_id, job.array_job_id, job.het_job_id)]
    return {"jobs": [_job_as_json(job, incarnations) for job in found]}


def _job_as_json(job: Job, incarnations: Mapping[str, int]) -> Json:
    incarnation = incarnations.get(key_of_range(job.array_job_id) if is_range(job) else job.job_id)
    return {**job_as_json(job), "incarnation": incarnation, "published": incarnation is not None}


def _nodes(parts: Parts) -> Json:
    snapshot = parts.observations.snapshot
    return {"nodes": [node_as_json(node) for node in snapshot.nodes or ()], "observed_at": _time(snapshot.nodes_at)}


def _queues(parts: Parts) -> Json:
    snapshot = parts.observations.snapshot
    return {"queues": [queue_as_json(queue) for queue in snapshot.queues or ()], "observed_at": _time(snapshot.queues_at)}


def _add(parts: Parts, arguments: Mapping[str, Any]) -> Json:
    job_id = str(arguments.get("job_id", ""))
    if not 1 <= len(job_id) <= 128 or not is_printable(job_id):
        raise Refused(EntryOutcome.MALFORMED, f"{job_id[:60]!r} is not a job id")
    parts.memory.watch(job_id)
    parts.hurry()
    return {"job_id": job_id}


def _spool(parts: Parts) -> Json:
    figures = parts.spool.figures()
    return {
        "waiting": figures.waiting,
        "in_flight": figures.in_flight,
        "acknowledged": figures.acknowledged,
        "quarantined": figures.quarantined,
        "refused": figures.refused,
        "bytes": figures.bytes,
        "quota_bytes": figures.quota_bytes,
        "oldest_waiting_at": _time(figures.oldest_waiting_at),
        "disk_free_bytes": shutil.disk_usage(parts.spool.file.path.parent).free,
    }


def _flush(parts: Parts) -> Json:
    parts.hurry()
    return _spool(parts)


def _quarantine(parts: Parts) -> Json:
    return {
        "payloads": [
            {
                "epoch": epoch.hex(),
                "sequence": sequence,
                "payload_type": kind,
                "items": items,
                "made_at": format_instant(made_at),
                "reason": reason,
                "payload": base64.b64encode(payload).decode(),
            }
            for epoch, sequence, kind, items, made_at, reason, payload in parts.spool.chain.quarantined()
        ],
        "refused": [
            {"payload_type": kind, "code": code, "reason": reason, "index": index, "at": format_instant(at)}
            for kind, _, code, reason, index, at in parts.spool.chain.refused(100)
        ],
    }


def _receipts(parts: Parts, arguments: Mapping[str, Any]) -> Json:
    limit = min(max(_integer(arguments.get("limit", 20), "limit"), 1), 10_000)
    return {
        "receipts": [
            {
                "index": index,
                "sequence": sequence,
                "epoch": epoch.hex(),
                "outcomes": json.loads(outcomes),
                "at": format_instant(at),
                "items": items,
            }
            for index, sequence, epoch, outcomes, at, items in parts.spool.chain.receipts(limit)
        ]
    }


def _receipt(parts: Parts, arguments: Mapping[str, Any]) -> Json:
    index = _integer(arguments.get("index"), "index")
    text = parts.spool.chain.receipt(index)
    if text is None:
        raise Refused(EntryOutcome.NOT_FOUND, f"no receipt for entry {index} is kept here", hint="list them: hpcbridgectl receipt show")
    return {"text": text}


def _submit(parts: Parts, arguments: Mapping[str, Any]) -> Json:
    try:
        payload_type = PayloadType(str(arguments.get("payload_type", "")))
        body = base64.b64decode(str(arguments.get("body", "")), validate=True)
        decode_body(payload_type, body)
    except (ValueError, binascii.Error) as error:
        raise Refused(EntryOutcome.MALFORMED, str(error)) from error
    if len(body) > MAX_BODY_BYTES:
        raise Refused(RejectionCode.TOO_LARGE, f"{len(body)} bytes are more than a transaction may have ({MAX_BODY_BYTES})")
    if payload_type in WITH_ITEMS or payload_type is PayloadType.EPOCH_START:
        raise Refused(EntryOutcome.NOT_PERMITTED, "the daemon itself decides what of this kind is sent")
    acknowledged, reasons = parts.gateway.submit(Item(payload_type=payload_type, content=body), timeout_seconds=SUBMIT_SECONDS)
    return {"index": acknowledged.index, "outcomes": [str(outcome) for outcome in acknowledged.outcomes], "reasons": list(reasons)}


def _call(parts: Parts, arguments: Mapping[str, Any]) -> Json:
    name = str(arguments.get("method", ""))
    method = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].methods_by_name.get(name)
    if method is None or method.client_streaming or method.server_streaming:
        raise Refused(EntryOutcome.NOT_FOUND, f"the Ledger service has no query {name[:60]!r}")
    request = message_factory.GetMessageClass(method.input_type)()
    try:
        request.ParseFromString(base64.b64decode(str(arguments.get("request", "")), validate=True))
    except (DecodeError, binascii.Error, ValueError) as error:
        raise Refused(EntryOutcome.MALFORMED, f"not a request for {name}") from error
    reply = parts.client.call(name, request)
    return {"reply": base64.b64encode(reply.SerializeToString()).decode()}


def _integer(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise HpcbridgeError(f"{name} is not a whole number")
    return value


def _time(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant)
