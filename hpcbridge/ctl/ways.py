# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The two ways of a command to the ledger: with a key of its own, or through the daemon and its numbers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from hpcbridge.ctl.submit import Submitted, submit
from hpcbridge.errors import BadData
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.transactions import Body
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.convert import encode_body, payload_type_of
from hpcbridge.wire.generated import ledger_pb2


class Way(Protocol):
    """Queries and transactions, whoever carries them."""

    def call(self, method: str, request: Message) -> Any:
        """One query of the Ledger service."""

    def submit(self, body: Body) -> Submitted:
        """One transaction, up to its verified receipt."""


class OwnWay:
    """With the key of an identity directory."""

    def __init__(self, keys: KeyDirectory, client: LedgerClient) -> None:
        self._keys = keys
        self._client = client

    def call(self, method: str, request: Message) -> Any:
        """Asks the ledger."""
        return self._client.call(method, request)

    def submit(self, body: Body) -> Submitted:
        """Signs, numbers, sends and waits for the receipt."""
        return submit(self._keys, self._client, body)


class DaemonWay:
    """Through the control socket. The daemon numbers, signs and verifies."""

    def __init__(self, control: Callable[[str, dict[str, Any]], Any]) -> None:
        self._control = control

    def call(self, method: str, request: Message) -> Any:
        """Asks the ledger with the daemon's identity."""
        answer = self._control("call", {"method": method, "request": base64.b64encode(request.SerializeToString()).decode()})
        descriptor = ledger_pb2.DESCRIPTOR.services_by_name["Ledger"].methods_by_name[method]
        return GetMessageClass(descriptor.output_type).FromString(base64.b64decode(answer["reply"]))

    def submit(self, body: Body) -> Submitted:
        """Hands the transaction to the daemon; for root and the daemon's account."""
        body_text = base64.b64encode(encode_body(body)).decode()
        answer = self._control("submit", {"payload_type": payload_type_of(body).value, "body": body_text})
        try:
            outcomes = tuple(EntryOutcome(outcome) for outcome in answer["outcomes"])
            return Submitted(index=int(answer["index"]), outcomes=outcomes, reasons=tuple(answer["reasons"]))
        except (KeyError, ValueError, TypeError) as error:
            raise BadData("the daemon's answer cannot be read", hint="are hpcbridgectl and hpcbridged of one version?") from error
