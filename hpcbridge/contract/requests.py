# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Requests: what a user asks for, checked value by value, and put on record with its answer: offers and reasons, frozen as of this entry.

A request whose offers have been over for a day leaves the state, some with each new request of anybody and some with each tick; the log
keeps it.
"""

from __future__ import annotations

import dataclasses
import re

from hpcbridge.contract.demand import count_missing
from hpcbridge.contract.listing import make_listing
from hpcbridge.contract.market import put_offers, put_request, put_why_nots, remove_request, request_name, stored_request
from hpcbridge.contract.parameters import DAY_MS, parameter
from hpcbridge.contract.records import StoredCount, StoredRequest, decode_stored, encode_stored, encode_word
from hpcbridge.contract.state import Draft
from hpcbridge.errors import IntegrityError, Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.jobs import MAX_BYTES
from hpcbridge.model.market import Request, RequestRecord
from hpcbridge.model.quantities import Instant

MAX_CORES = 1 << 31
MAX_WALLTIME_SECONDS = 366 * 86_400
MAX_PROGRAMS = 64
MAX_PROGRAM_TEXT = 64
KEPT_MS = DAY_MS
"""For so long after its offers are over a request can be asked for."""
MAX_FORGOTTEN = 4
"""Old requests that one new one takes off the state: more than come."""
MAX_FORGOTTEN_BY_TICK = 20
"""As many with each tick, so that they go even if nobody asks any more; each has up to a thousand offers."""
_DUE = "requestdue/"
_TEXT = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?\Z")
"""ASCII alone, so that a letter which only looks like another is refused and not silently found nowhere."""


def answer(draft: Draft, caller: Caller, body: Request, at: Instant) -> None:
    """The paper's requestComputingResources: what is asked for goes on record with the offers that hold now."""
    fault = request_fault(body)
    if fault:
        raise Refused(EntryOutcome.MALFORMED, fault)
    _count(draft, caller.member, at)
    forget_old(draft, at, limit=MAX_FORGOTTEN)
    asked = RequestRecord(
        request=request_name(draft.index),
        asked=body,
        index=draft.index,
        asked_at=at,
        expires_at=at + parameter(draft, "offer_life_ms"),
        offers=0,
        why_nots=0,
    )
    listing = make_listing(draft, caller.member, asked)
    put_offers(draft, asked.request, listing.offers)
    put_why_nots(draft, asked, listing.why_nots)
    count_missing(draft, caller.member, listing.missing, at=at)
    record = dataclasses.replace(asked, offers=len(listing.offers), why_nots=len(listing.why_nots))
    put_request(draft, StoredRequest(member=caller.member, record=record))
    draft.put(f"{_DUE}{record.expires_at + KEPT_MS:015d}/{record.request}", b"")
    draft.tell(EventType.REQUEST_ANSWERED, caller.member, subject=record.request, body=encode_word(record))


def forget_old(draft: Draft, at: Instant, *, limit: int) -> None:
    """Takes requests off the state that are kept no longer, the oldest first. No tick is made for that: it is in no hurry."""
    for key, _ in draft.scan(_DUE, f"{_DUE}{at + 1:015d}", limit):
        name = key.rpartition("/")[2]
        stored = stored_request(draft, name)
        if stored is None:
            raise IntegrityError(f"entry {draft.index}: request {name} is due and not on record")
        remove_request(draft, stored)
        draft.remove(key)


def request_fault(body: Request) -> str:
    """What makes no sense in a request; empty if nothing."""
    if not (1 <= body.cores <= MAX_CORES and 0 <= body.gpus <= MAX_CORES):
        return f"cores: 1 to {MAX_CORES}; gpus: 0 to {MAX_CORES}"
    if body.gpu_type and not (body.gpus and _TEXT.match(body.gpu_type)):
        return f"gpu_type: at most {MAX_PROGRAM_TEXT} printable ASCII characters, and only with gpus"
    if body.memory_bytes is not None and not 1 <= body.memory_bytes <= MAX_BYTES:
        return "memory_bytes is out of range"
    if body.walltime_seconds is not None and not 1 <= body.walltime_seconds <= MAX_WALLTIME_SECONDS:
        return f"walltime_seconds: 1 to {MAX_WALLTIME_SECONDS}"
    return _programs_fault(body) or _place_fault(body)


def _programs_fault(body: Request) -> str:
    if len({(program.name, program.version) for program in body.programs}) != len(body.programs) or len(body.programs) > MAX_PROGRAMS:
        return f"programs: doubled, or more than {MAX_PROGRAMS}"
    for program in body.programs:
        if not _TEXT.match(program.name) or (program.version and not _TEXT.match(program.version)):
            return f"programs: names have 1 to {MAX_PROGRAM_TEXT} printable ASCII characters, versions at most as many"
    return ""


def _place_fault(body: Request) -> str:
    latitude, longitude = body.latitude_microdegrees, body.longitude_microdegrees
    if (latitude is None) is not (longitude is None):
        return "latitude and longitude: both or neither"
    if latitude is not None and longitude is not None and (abs(latitude) > 90_000_000 or abs(longitude) > 180_000_000):
        return f"{latitude}, {longitude} micro-degrees is no place on Earth"
    return ""


def _count(draft: Draft, member: str, at: Instant) -> None:
    key, today = f"requestcount/{member}", at // DAY_MS
    data = draft.get(key)
    stored = StoredCount(day=today, count=0) if data is None else decode_stored(StoredCount, data)
    count = 1 + (stored.count if stored.day == today else 0)
    most = parameter(draft, "requests_per_day")
    if count > most:
        raise Refused(EntryOutcome.TOO_MANY, f"{member} made {most} requests today, which is the most a day may have", hint="try tomorrow")
    draft.put(key, encode_stored(StoredCount(day=today, count=count)))
