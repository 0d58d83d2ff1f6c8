# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Events, queries, receipts, proofs and raw entries: who gets what over the real API."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hpcbridge.contract import CONTRACT_VERSION
from hpcbridge.errors import HpcbridgeError, Refused
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import leaf_hash, root_of, verify_consistency
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from hpcbridge.service import queries
from hpcbridge.wire.credentials import member_credentials
from hpcbridge.wire.generated import entries_pb2, ledger_pb2
from hpcbridge.wire.receipts import open_leaf, read_receipt
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator

ACCEPTED = (EntryOutcome.ACCEPTED,)
ALL = ledger_pb2.SubscribeRequest(until_caught_up=True)


@pytest.fixture(scope="module")
def world(ledger: LedgerSimulator) -> dict[str, Author]:
    """Two providers with jobs, a user and an auditor."""
    authors = {}
    for name, cluster in (("acme", "c1"), ("bolt", "c2")):
        authors[name] = Author(ledger.provider(name, cluster=cluster))
        stream = authors[name].open(ledger.client(name))
        assert authors[name].send(stream, [authors[name].envelope(job_changes(cluster, 1, 2, 3))]) == [ACCEPTED * 3]
        stream.close()
    ledger.user("ulla")
    ledger.enrol(Role.USER, "audrey", attributes=(("auditor", "true"),))
    return authors


def events_of(ledger: LedgerSimulator, name: str, request: ledger_pb2.SubscribeRequest = ALL) -> list[entries_pb2.Event]:
    return [reply.event for reply in ledger.client(name).subscribe(request) if reply.WhichOneof("reply") == "event"]


def test_each_sees_its_own_events_and_watchers_see_all(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    own = events_of(ledger, "acme")
    assert {event.audience for event in own} == {"acme"}
    assert [event.audience_number for event in own] == list(range(1, len(own) + 1))
    jobs = [event.job for event in own if event.type == entries_pb2.EventType.JOB_CHANGED]
    assert [(job.cluster, job.job_id) for job in jobs] == [("c1", "1"), ("c1", "2"), ("c1", "3")]
    assert {event.audience for event in events_of(ledger, "admin")} >= {"acme", "bolt", "ulla"}
    assert events_of(ledger, "audrey")[0].cursor == events_of(ledger, "admin")[0].cursor
    assert {event.audience for event in events_of(ledger, "ulla")} <= {"ulla"}


def test_types_and_cursor(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    request = ledger_pb2.SubscribeRequest(types=[EventType.JOB_CHANGED.value], until_caught_up=True)
    jobs = events_of(ledger, "acme", request)
    assert len(jobs) == 3
    request.cursor = jobs[1].cursor
    assert [event.cursor for event in events_of(ledger, "acme", request)] == [jobs[2].cursor]
    for wrong in ("x", "999999.1"):
        with pytest.raises(Refused):
            events_of(ledger, "acme", ledger_pb2.SubscribeRequest(cursor=wrong))


def test_live_events_come_after_they_are_signed(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    listener = ledger.client("acme").subscribe(ledger_pb2.SubscribeRequest(cursor="now"))
    assert next(listener).WhichOneof("reply") == "checkpoint"
    author = world["acme"]
    stream, _ = author.hello(ledger.client("acme"))
    assert author.send(stream, [author.envelope(job_changes("c1", 77, state=JobState.RUNNING))]) == [ACCEPTED]
    event, checkpoint = next(listener), next(listener)
    assert event.event.job.job_id == "77"
    signed = parse_checkpoint(checkpoint.checkpoint.note, author.origin, author.log_key)
    assert int(event.event.cursor.partition(".")[0]) < signed.size
    listener.close()


def test_a_slow_subscriber_gets_everything_in_order(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    author = world["bolt"]
    listener = ledger.client("bolt").subscribe(ledger_pb2.SubscribeRequest(cursor="now", types=[EventType.JOB_CHANGED.value]))
    next(listener)
    stream, _ = author.hello(ledger.client("bolt"))
    for start in range(1000, 2500, 250):
        author.send(stream, [author.envelope(job_changes("c2", *range(start, start + 250)))])
    threading.Event().wait(0.3)
    found: list[str] = []
    while len(found) < 1500:
        reply = next(listener)
        if reply.WhichOneof("reply") == "event":
            found.append(reply.event.job.job_id)
    assert found == [str(number) for number in range(1000, 2500)]
    listener.close()


def test_queries_show_what_the_caller_may_see(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    acme, ulla, admin = ledger.client("acme"), ledger.client("ulla"), ledger.client()
    assert [cluster.registration.cluster for cluster in _clusters(acme)] == ["c1"]
    assert [cluster.registration.cluster for cluster in _clusters(admin)] == ["c1", "c2"]
    with pytest.raises(Refused) as refusal:
        _clusters(ulla)
    assert refusal.value.code == EntryOutcome.NOT_PERMITTED
    with pytest.raises(Refused) as refusal:
        acme.call("GetHpcSystemDetail", ledger_pb2.GetHpcSystemDetailRequest(name="c2"))
    assert refusal.value.code == EntryOutcome.NOT_FOUND
    page = acme.call("ListJobs", ledger_pb2.ListJobsRequest(cluster="c1", limit=2))
    rest = acme.call("ListJobs", ledger_pb2.ListJobsRequest(cluster="c1", after=page.next))
    assert len(page.jobs) == 2
    assert not rest.next
    assert acme.call("GetJob", ledger_pb2.GetJobRequest(cluster="c1", job_id="2")).job.owner == "someone"
    assert {member.name for member in admin.call("ListAllUsers", ledger_pb2.ListAllUsersRequest()).members} >= {"admin", "acme", "ulla"}
    assert ulla.call("GetUserDetail", ledger_pb2.GetUserDetailRequest(name="ulla")).member.role
    assert {each.name: each.value for each in acme.call("GetParameters", ledger_pb2.GetParametersRequest()).parameters}
    assert not acme.call("ListNodes", ledger_pb2.ListNodesRequest(cluster="c1")).nodes
    assert not acme.call("ListGaps", ledger_pb2.ListGapsRequest()).gaps
    status = acme.call("GetStatus", ledger_pb2.GetStatusRequest())
    assert (status.engine, status.contract_version) == ("sqlite", CONTRACT_VERSION)
    assert status.last_tick_at


def test_a_page_of_jobs_always_fits_into_a_message(
    ledger: LedgerSimulator, world: dict[str, Author], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "REPLY_BYTES", 2000)
    client, found, after = ledger.client("bolt"), [], ""
    for _ in range(20):
        page = client.call("ListJobs", ledger_pb2.ListJobsRequest(cluster="c2", after=after))
        assert 0 < page.ByteSize() <= 2000
        found += [job.job_id for job in page.jobs]
        after = page.next
    assert len(set(found)) == len(found)


def test_receipts_are_for_the_submitter_and_watchers(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    author = world["acme"]
    number = ledger_pb2.NumberKey(submitter=str(author.submitter), epoch=author.epoch, sequence=2)
    message = ledger.client("acme").call("GetReceipt", ledger_pb2.GetReceiptRequest(number=number))
    receipt = read_receipt(message, message.checkpoint.note, origin=author.origin, log_public_key=author.log_key)
    assert open_leaf(receipt.leaf).entry.outcomes == ACCEPTED * 3
    by_index = ledger_pb2.GetReceiptRequest(index=receipt.index)
    for name in ("admin", "audrey"):
        assert ledger.client(name).call("GetReceipt", by_index).leaf == receipt.leaf
    for request in (by_index, ledger_pb2.GetReceiptRequest(number=number), ledger_pb2.GetReceiptRequest(index=0)):
        with pytest.raises(Refused):
            ledger.client("bolt").call("GetReceipt", request)
    with pytest.raises(Refused):
        ledger.client().call("GetReceipt", ledger_pb2.GetReceiptRequest(index=10**9))


def test_raw_entries_of_others_arrive_as_hashes_and_make_the_same_root(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    author = world["acme"]
    note = ledger.client().call("GetCheckpoint", ledger_pb2.GetCheckpointRequest()).note
    checkpoint = parse_checkpoint(note, author.origin, author.log_key)
    for name in ("admin", "acme", "ulla"):
        leaves = [leaf for chunk in ledger.client(name).read_entries(0, checkpoint.size) for leaf in chunk.leaves]
        hashes = [leaf_hash(leaf.bytes) if leaf.WhichOneof("leaf") == "bytes" else leaf.hash for leaf in leaves]
        assert root_of(hashes) == checkpoint.root
        own = {
            str(open_leaf(leaf.bytes).payload.header.submitter)
            for index, leaf in enumerate(leaves)
            if index and leaf.WhichOneof("leaf") == "bytes"
        }
        assert own == {f"{name}/main"} if name == "acme" else name == "admin" or not own


def test_consistency_proofs(ledger: LedgerSimulator, world: dict[str, Author]) -> None:
    client, author = ledger.client("ulla"), world["acme"]
    note = client.call("GetCheckpoint", ledger_pb2.GetCheckpointRequest()).note
    new = parse_checkpoint(note, author.origin, author.log_key)
    leaves = [leaf for chunk in ledger.client().read_entries(0, 5) for leaf in chunk.leaves]
    old_root = root_of([leaf_hash(leaf.bytes) for leaf in leaves])
    proof = client.call("GetConsistencyProof", ledger_pb2.GetConsistencyProofRequest(first_size=5, second_size=new.size)).proof
    verify_consistency(5, new.size, proof=tuple(proof), root1=old_root, root2=new.root)
    for first, second in ((0, 5), (6, 5), (5, 10**9)):
        with pytest.raises(Refused):
            client.call("GetConsistencyProof", ledger_pb2.GetConsistencyProofRequest(first_size=first, second_size=second))


def test_health_and_a_call_that_is_too_large(ledger: LedgerSimulator) -> None:
    channel = grpc.secure_channel(
        ledger.address,
        member_credentials(ledger.admin()),
        options=[("grpc.ssl_target_name_override", "localhost"), ("grpc.max_send_message_length", -1)],
    )
    with channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "hpcbridge.v1.Ledger"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        huge: Any = channel.unary_unary("/hpcbridge.v1.Ledger/GetStatus", bytes, bytes)
        with pytest.raises(grpc.RpcError) as refusal:
            huge(b"\x00" * (2 << 20), timeout=5)
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unforeseen_error_ends_the_call_and_not_the_service(ledger: LedgerSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Callable[[], None]:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(queries, "last_tick_at", broken)
    with pytest.raises(HpcbridgeError, match="trouble of its own"):
        ledger.client().call("GetStatus", ledger_pb2.GetStatusRequest())
    monkeypatch.undo()
    ledger.client().call("GetStatus", ledger_pb2.GetStatusRequest())


def _clusters(client: object) -> list[entries_pb2.Cluster]:
    return list(client.call("ListAllHpcSystems", ledger_pb2.ListAllHpcSystemsRequest()).clusters)  # type: ignore[attr-defined]
