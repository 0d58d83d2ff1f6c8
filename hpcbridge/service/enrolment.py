# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The Enrolments service: one-time tokens and renewals, the only methods without a client certificate.

The CA signs here, but nothing counts before its entry is stored and signed: a certificate leaves the house with the receipt of its
entry, and of many who show one token at once the contract lets exactly one in. Who guesses learns nothing after a few tries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import grpc

from hpcbridge.contract.members import attributes_by
from hpcbridge.contract.parameters import parameter
from hpcbridge.contract.records import StoredKey, StoredMember, StoredToken, decode_stored
from hpcbridge.errors import EnrolmentRefused, HpcbridgeError, IdentityError, LedgerUnavailable, Refused
from hpcbridge.identity.authority import Authority
from hpcbridge.identity.certificates import key_id, read_csr
from hpcbridge.identity.tokens import SECRET_BYTES, token_digest
from hpcbridge.model.identities import CertificateFacts, Submitter, parse_submitter
from hpcbridge.model.quantities import Instant, check_name, format_instant
from hpcbridge.model.transactions import Enrolment, Renewal
from hpcbridge.service.endpoints import guarded, read_request
from hpcbridge.service.node import Node
from hpcbridge.service.quotas import Allowance
from hpcbridge.service.readers import ReadState
from hpcbridge.wire.generated import entries_pb2, ledger_pb2

ENROLMENT_SERVICE = ledger_pb2.DESCRIPTOR.services_by_name["Enrolments"].full_name
DEADLINE_SECONDS = 30.0
WRONG_AT_ONCE = 10
WRONG_PER_SECOND = 0.1
RENEWALS_AT_ONCE = 5
RENEWALS_PER_SECOND = 0.2
RENEWALS_PER_LIFE = 4.0
"""Of a certificate: each is renewed at half of its life, and some of them twice."""
MAX_ADDRESSES = 10_000
NEW_TOKEN_HINT = "ask an admin for a new one: hpcbridgectl admin token"


@dataclass(frozen=True, slots=True)
class Place:
    """What a new member is told about the ledger."""

    origin: str
    log_key: bytes
    ledger_addresses: tuple[str, ...]
    server_name: str


class EnrolmentOffice:
    """Redeems tokens and renews certificates. Its coroutines belong to the event loop."""

    def __init__(
        self,
        place: Place,
        authority: Authority,
        node: Node,
        *,
        view: Callable[[], ReadState],
        readers: Executor,
        now: Callable[[], Instant],
    ) -> None:
        self._place = place
        self._authority = authority
        self._node = node
        self._view = view
        self._readers = readers
        self._now = now
        self._wrong: dict[str, Allowance] = {}
        self._renewals: dict[bytes, Allowance] = {}

    async def enrol(self, request: ledger_pb2.EnrolRequest, context: Any) -> ledger_pb2.EnrolReply:
        """Certificate and receipt for the holder of a good token; EnrolmentRefused says what is wrong with it."""
        loop = asyncio.get_running_loop()
        try:
            facts = await loop.run_in_executor(self._readers, self._issue, request)
        except _WrongToken as error:
            self._bar(_address(context), error)
            raise
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                made = await self._node.send(Enrolment(token_digest=token_digest(request.token_secret), facts=facts))
        except Refused as error:
            raise EnrolmentRefused(error.reason, hint=error.hint or NEW_TOKEN_HINT) from error
        receipt = made.receipt
        return ledger_pb2.EnrolReply(
            certificate=facts.certificate,
            ca_certificate=self._authority.certificate,
            log_key=self._place.log_key,
            origin=self._place.origin,
            ledger_addresses=self._place.ledger_addresses,
            server_name=self._place.server_name,
            receipt=entries_pb2.Receipt(
                leaf=receipt.leaf,
                index=receipt.index,
                proof=receipt.proof,
                checkpoint=entries_pb2.Checkpoint(note=receipt.checkpoint.note),
            ),
        )

    async def renew(self, request: ledger_pb2.RenewRequest, context: Any) -> ledger_pb2.RenewReply:
        """A newer certificate for a key on the log, also for one that expired within the renewal window."""
        loop = asyncio.get_running_loop()
        try:
            facts, life_ms = await loop.run_in_executor(self._readers, self._issue_again, request.csr)
        except (EnrolmentRefused, IdentityError) as error:
            self._bar(_address(context), error)
            raise
        rate = max(RENEWALS_PER_SECOND, RENEWALS_PER_LIFE * 1000 / life_ms)
        renewals = self._renewals.setdefault(facts.public_key, Allowance(rate, at_once=RENEWALS_AT_ONCE))
        if not renewals.take(1, loop.time()):
            raise LedgerUnavailable("this key was renewed several times just now", hint="use the certificate it got")
        _forget_some(self._renewals)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._node.send(Renewal(facts=facts))
        except Refused as error:
            raise EnrolmentRefused(error.reason, hint=error.hint) from error
        return ledger_pb2.RenewReply(certificate=facts.certificate)

    def _issue(self, request: ledger_pb2.EnrolRequest) -> CertificateFacts:
        """Checks token and request, and signs; runs on a reader thread."""
        view, now = self._view(), self._now()
        stored = view.get(f"token/{token_digest(request.token_secret).hex()}") if len(request.token_secret) == SECRET_BYTES else None
        if stored is None:
            raise _WrongToken("this token is not known to this ledger", hint="copy the whole line, or ask an admin for a new one")
        token = decode_stored(StoredToken, stored)
        if token.used:
            raise EnrolmentRefused("this token was used already; a token is good for one enrolment", hint=NEW_TOKEN_HINT)
        if token.expires_at <= now:
            raise EnrolmentRefused(f"this token expired at {format_instant(token.expires_at)}", hint=NEW_TOKEN_HINT)
        try:
            submitter = Submitter(token.member, check_name("installation", request.installation))
            lifetime_ms = parameter(view, "certificate_life_ms")
            return self._authority.issue(
                request.csr, submitter, role=token.role, attributes=attributes_by(view, token), at=now, lifetime_ms=lifetime_ms
            )
        except (ValueError, IdentityError) as error:
            raise EnrolmentRefused(str(error)) from error

    def _issue_again(self, csr: bytes) -> tuple[CertificateFacts, int]:
        """Finds the key on the log and signs; how long certificates live, in milliseconds. Runs on a reader thread."""
        view = self._view()
        stored = view.get(f"key/{key_id(read_csr(csr)).hex()}")
        if stored is None:
            raise EnrolmentRefused("this key is not on the log", hint="enrol with a token first")
        key = decode_stored(StoredKey, stored)
        submitter = parse_submitter(key.submitter)
        member = decode_stored(StoredMember, view.get(f"member/{submitter.member}") or b"")
        if key.revoked or member.revoked:
            raise EnrolmentRefused(f"{submitter} is revoked; its key is never renewed", hint=NEW_TOKEN_HINT)
        life_ms = parameter(view, "certificate_life_ms")
        facts = self._authority.issue(
            csr, submitter, role=member.role, attributes=member.attributes, at=self._now(), lifetime_ms=life_ms
        )
        return facts, life_ms

    def _bar(self, address: str, error: HpcbridgeError) -> None:
        """After many wrong requests from one address none of them is told any more what is wrong. A right one is served all the same:
        behind one address may be a whole site, and 256 bits are not guessed.
        """
        allowance = self._wrong.setdefault(address, Allowance(WRONG_PER_SECOND, at_once=WRONG_AT_ONCE))
        _forget_some(self._wrong)
        if not allowance.take(1, asyncio.get_running_loop().time()):
            raise LedgerUnavailable("too many wrong requests came from this address", hint="wait a minute") from error


def enrolment_handlers(office: EnrolmentOffice, fail: Callable[[HpcbridgeError], None]) -> grpc.GenericRpcHandler[Any, Any]:
    """The Enrolments service."""

    async def enrol(_requests: Any, context: Any) -> Any:
        return await office.enrol(await read_request(context), context)

    async def renew(_requests: Any, context: Any) -> Any:
        return await office.renew(await read_request(context), context)

    methods = {
        "Enrol": grpc.stream_unary_rpc_method_handler(
            guarded(enrol, fail),
            request_deserializer=ledger_pb2.EnrolRequest.FromString,
            response_serializer=ledger_pb2.EnrolReply.SerializeToString,
        ),
        "Renew": grpc.stream_unary_rpc_method_handler(
            guarded(renew, fail),
            request_deserializer=ledger_pb2.RenewRequest.FromString,
            response_serializer=ledger_pb2.RenewReply.SerializeToString,
        ),
    }
    return grpc.method_handlers_generic_handler(ENROLMENT_SERVICE, methods)


class _WrongToken(EnrolmentRefused):
    """A secret nobody was given: a mistake, or a guess."""


def _address(context: Any) -> str:
    """The caller's address without its port: one machine is one guesser."""
    peer: str = context.peer()
    return peer.rpartition(":")[0]


def _forget_some(allowances: dict[Any, Allowance]) -> None:
    """Bounds memory: whoever was remembered longest is forgotten."""
    while len(allowances) > MAX_ADDRESSES:
        del allowances[next(iter(allowances))]
