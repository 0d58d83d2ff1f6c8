# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The bytes of a job's record: a fixed head that decides transitions, then the job's fields as one MessagePack array.

Head: state, last known phase, time of the observation, time at which a vanished job is given up (0: not). Most changes are decided and
compared from these bytes without building the old job again, and an event carries them as they are.
"""

from __future__ import annotations

import struct
from operator import attrgetter
from typing import Any

import msgspec

from hpcbridge.model.jobs import Job, JobState, Outcome, Phase
from hpcbridge.model.quantities import Instant

HEAD = struct.Struct(">BBqq")
HEAD_BYTES = HEAD.size

STATE_CODES = {state: code for code, state in enumerate(JobState)}
PHASE_CODES: dict[Phase | None, int] = {None: 0, Phase.QUEUE: 1, Phase.RUN: 2, Phase.END: 3}
NO_PHASE, QUEUE, RUN, END = PHASE_CODES.values()
PHASE_OF_STATE = tuple(PHASE_CODES[state.phase] for state in JobState)
FIELDS = (
    "cluster",
    "job_id",
    "incarnation",
    "restarts",
    "outcome",
    "array_pending",
    "array_job_id",
    "array_index",
    "het_job_id",
    "het_index",
    "native_state",
    "reason",
    "owner",
    "account",
    "queue",
    "name",
    "cores",
    "gpus",
    "gpu_type",
    "memory_bytes",
    "nodes",
    "submitted_at",
    "started_at",
    "ended_at",
    "wall_seconds",
    "walltime_limit_seconds",
    "exit_code",
    "exit_signal",
)
RESTARTS, OUTCOME, ARRAY_PENDING, NATIVE_STATE, REASON, OWNER, NODES = (
    FIELDS.index(name) for name in ("restarts", "outcome", "array_pending", "native_state", "reason", "owner", "nodes")
)

fields_of = attrgetter(*FIELDS)
encode_fields = msgspec.msgpack.Encoder().encode
decode_fields = msgspec.msgpack.Decoder(list[Any]).decode

_STATES = tuple(JobState)
_PHASES: tuple[Phase | None, ...] = tuple(PHASE_CODES)
_ENDED = frozenset({STATE_CODES[JobState.DONE], STATE_CODES[JobState.FAILED]})


def state_of(record: bytes) -> JobState:
    """State in a record."""
    return _STATES[record[0]]


def phase_of_code(code: int) -> Phase | None:
    """The phase a head or an event speaks of."""
    return _PHASES[code]


def is_open(record: bytes) -> bool:
    """True until the job ends, or its pending range of an array has become empty."""
    return record[0] not in _ENDED and decode_fields(record[HEAD_BYTES:])[ARRAY_PENDING] != 0


def observed_at(record: bytes) -> Instant:
    """When the scheduler was asked."""
    moment: Instant = HEAD.unpack_from(record)[2]
    return moment


def decode_job(record: bytes) -> Job:
    """The job in a record."""
    values = dict(zip(FIELDS, decode_fields(record[HEAD_BYTES:]), strict=True))
    outcome = values["outcome"]
    values["outcome"] = None if outcome is None else Outcome(outcome)
    values["nodes"] = tuple(values["nodes"])
    return Job(state=_STATES[record[0]], **values)
