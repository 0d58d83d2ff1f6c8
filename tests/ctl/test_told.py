# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Every type of event has a readable line and a JSON form, whatever stands in its record."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from enum import Enum
from typing import Any

import pytest

from hpcbridge.contract.events import RECORDS
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.told import told
from hpcbridge.model.entries import EventType
from hpcbridge.model.identities import Submitter
from hpcbridge.wire.queries import LedgerEvent


def made(kind: Any, *, bare: bool) -> Any:
    """A value of a type; `bare` leaves out and empties what can be."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if bare else made(arguments[0], bare=bare)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return () if bare else (made(arguments[0], bare=bare),)
        return tuple(made(each, bare=bare) for each in arguments)
    if kind is Submitter:
        return Submitter("acme", "one")
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return typing.cast("Any", kind)(**{each.name: made(hints[each.name], bare=bare) for each in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    return {int: 7, str: "" if bare else "word", bool: True, bytes: b"\1"}[kind]


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("event_type", list(EventType))
def test_every_type_has_a_line(event_type: EventType, *, bare: bool) -> None:
    body = made(RECORDS[event_type], bare=bare)
    event = LedgerEvent(
        cursor="1.1", at=7, type=event_type, audience="acme", audience_number=1, subject="x", previous_phase=None, body=body
    )
    json.dumps(as_json(event))
    assert bare or told(event)
    assert "None" not in told(event)
    assert told(dataclasses.replace(event, body=None)) == ""
