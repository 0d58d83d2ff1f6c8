# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Attacks on a running ledger, by who makes them: members, strangers, thieves and clones; at the end the whole log is proven."""

from __future__ import annotations

import gc
import secrets
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from hpcbridge import contract
from hpcbridge.audit.replay import prove_log
from hpcbridge.audit.verify import Pins
from hpcbridge.errors import BadData, EnrolmentRefused, HpcbridgeError, Refused
from hpcbridge.identity.certificates import build_csr, certificate_to_pem
from hpcbridge.identity.keys import new_key
from hpcbridge.identity.tokens import parse_token
from hpcbridge.model.clusters import ClusterState, Registration, Vetting
from hpcbridge.model.entries import EntryOutcome, RejectionCode, RetryCode
from hpcbridge.model.identities import Role, Submitter
from hpcbridge.model.transactions import (
    Body,
    Decision,
    EpochReason,
    EpochStart,
    Gap,
    Header,
    JobWatch,
    Parameters,
    Payload,
    PayloadType,
    Revocation,
    Seen,
    Tick,
    Token,
)
from hpcbridge.service import endpoints
from hpcbridge.service.submissions import END_UNREAD_BYTES, _Session
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.convert import encode, encode_body
from hpcbridge.wire.credentials import CHANNEL_OPTIONS, member_credentials
from hpcbridge.wire.enrolment import enrol
from hpcbridge.wire.generated import ledger_pb2
from tests.ledger_author import Author, job_changes
from tests.ledger_simulator import LedgerSimulator, now, registration

ACCEPTED = (EntryOutcome.ACCEPTED,)
NOT_PERMITTED = (EntryOutcome.NOT_PERMITTED,)
OPTIONS = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", "localhost"))
NodeGap = Gap(cluster="north", reason="x", since_at=1, until_at=2, count=1)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerSimulator]:
    with LedgerSimulator(tmp_path_factory.mktemp("attacked")) as simulator:
        simulator.provider("victim", cluster="north")
        simulator.provider("mallory", cluster="south")
        yield simulator


@pytest.fixture(scope="module")
def victim(ledger: LedgerSimulator) -> Author:
    author = Author(ledger.identity("victim"))
    author.open(ledger.client("victim")).close()
    return author


@pytest.fixture
def honest(ledger: LedgerSimulator, victim: Author) -> Iterator[None]:
    """The victim goes on sending all the while, and each of its envelopes becomes an entry."""
    stop, done, failures = threading.Event(), threading.Event(), []
    stream, _ = victim.hello(ledger.client("victim"))

    def work() -> None:
        try:
            while not stop.wait(0.02):
                if victim.send(stream, [victim.envelope(job_changes("north", 50_000 + victim.sequence))]) != [ACCEPTED]:
                    failures.append("refused")
                done.set()
        except (HpcbridgeError, StopIteration) as error:
            failures.append(repr(error))

    worker = threading.Thread(target=work)
    worker.start()
    assert done.wait(10)
    yield
    done.clear()
    assert done.wait(10), failures
    stop.set()
    worker.join()
    stream.close()
    assert failures == []


# (1) a valid certificate of the wrong role


def forbidden_bodies() -> list[Body]:
    """What neither a user nor a provider may send."""
    return [
        Tick(),
        Token(digest=secrets.token_bytes(32), role=Role.ADMIN, member="mine", attributes=(), expires_at=now() + 60_000),
        Revocation(member="victim", installation=None, reason=""),
        Decision(name="south", vetting=Vetting.APPROVED, note=""),
        Parameters(values=(("epochs_per_day", 1000),)),
    ]


def test_a_user_can_do_nothing_of_a_provider_an_admin_or_the_ledger(ledger: LedgerSimulator) -> None:
    author = Author(ledger.user("nosy"))
    stream = author.open(ledger.client("nosy"))
    bodies = [*forbidden_bodies(), registration("nosy"), job_changes("north", 1), NodeGap, JobWatch(cluster="north", job_id="1")]
    bodies.append(ClusterState(cluster="north", observed_at=1))
    answers = author.send(stream, [author.envelope(body) for body in bodies])
    assert answers == [NOT_PERMITTED] * len(bodies)
    stream.close()


def test_a_provider_can_do_nothing_of_an_admin_or_to_another_provider(ledger: LedgerSimulator, honest: None) -> None:
    author = Author(ledger.identity("mallory"))
    stream = author.open(ledger.client("mallory"))
    bodies = [*forbidden_bodies(), job_changes("north", 1), NodeGap, JobWatch(cluster="north", job_id="1")]
    bodies.append(ClusterState(cluster="north", observed_at=1))
    assert author.send(stream, [author.envelope(body) for body in bodies]) == [NOT_PERMITTED] * len(bodies)
    taken = author.send(stream, [author.envelope(registration("north"))])
    assert taken == [(EntryOutcome.ALREADY_EXISTS,)]
    stream.close()


def test_a_gap_of_another_cluster_told_with_a_new_epoch_is_refused_and_the_epoch_goes_on(ledger: LedgerSimulator) -> None:
    author = Author(ledger.enrol(Role.PROVIDER, "gapper"))
    stream, _ = author.hello(ledger.client("gapper"))
    start = EpochStart(previous_epoch=b"", last_acknowledged=0, reason=EpochReason.FIRST, gap=NodeGap)
    assert author.send(stream, [author.envelope(start)]) == [NOT_PERMITTED]
    assert author.send(stream, [author.envelope(registration("gapped"))]) == [ACCEPTED]
    admin = ledger.client()
    assert not admin.call("ListGaps", ledger_pb2.ListGapsRequest(cluster="north")).gaps
    stream.close()


def test_a_name_never_has_two_owners_an_admin_could_mix_up(ledger: LedgerSimulator) -> None:
    """Else the admin's word on one is a word on the other."""
    refused = ledger.submit("mallory", registration("victim"))
    assert refused.outcomes == (EntryOutcome.ALREADY_EXISTS,)
    ledger.submit("mallory", registration("newcomer")).check_accepted()
    ledger.enrol(Role.USER, "newcomer")  # the member enrols after the cluster took the name
    decided = ledger.submit("admin", Decision(name="newcomer", vetting=Vetting.SUSPENDED, note=""))
    decided.check_accepted()
    ledger.submit("admin", Decision(name="newcomer", vetting=Vetting.APPROVED, note="")).check_accepted()
    clusters = ledger.client().call("GetHpcSystemDetail", ledger_pb2.GetHpcSystemDetailRequest(name="newcomer"))
    assert clusters.cluster.vetting == 1, "still waits for an admin"


def test_a_member_that_is_suspended_watches_nobody(ledger: LedgerSimulator) -> None:
    ledger.enrol(Role.USER, "auditing", attributes=(("auditor", "true"),))
    ledger.enrol(Role.ADMIN, "second")
    clients = [ledger.client("auditing"), ledger.client("second")]
    asked = ledger_pb2.ListAllUsersRequest()
    for client in clients:
        assert client.call("ListAllUsers", asked).members
    for name in ("auditing", "second"):
        ledger.submit("admin", Decision(name=name, vetting=Vetting.SUSPENDED, note="")).check_accepted()
    for client in clients:
        with pytest.raises(Refused):
            client.call("ListAllUsers", asked)
        with pytest.raises(Refused):
            client.call("GetHpcSystemDetail", ledger_pb2.GetHpcSystemDetailRequest(name="north"))
        assert not [each for each in client.subscribe(ledger_pb2.SubscribeRequest(until_caught_up=True)) if shows_a_strangers(each)]
        assert all(leaf.hash for chunk in client.read_entries(0, 5) for leaf in chunk.leaves)
        assert client.call("GetCheckpoint", ledger_pb2.GetCheckpointRequest()).note
    refused = ledger.submit("second", Revocation(member="victim", installation=None, reason=""))
    assert refused.outcomes == (EntryOutcome.NOT_APPROVED,)


def shows_a_strangers(reply: ledger_pb2.SubscribeReply) -> bool:
    return reply.WhichOneof("reply") == "event" and reply.event.audience not in ("auditing", "second")


# (2) a valid provider against others and the ledger


def test_a_number_that_no_store_can_hold_is_a_malformed_header_and_no_mistake_of_ours(ledger: LedgerSimulator) -> None:
    author = Author(ledger.identity("mallory"))
    stream = author.open(ledger.client("mallory"))
    header = replace(header_of(author), wall_at=-(1 << 62))
    for sequence in (1 << 63, (1 << 64) - 1):
        payload = encode(Payload(header=replace(header, sequence=sequence), body=encode_body(Tick())))
        (answer,) = author.send(stream, [author.sealed(payload, PayloadType.TICK)])
        assert isinstance(answer, ledger_pb2.Answer)
        assert answer.rejection.code == RejectionCode.MALFORMED_HEADER
    extreme = replace(header, sequence=author.sequence + 1, seen=Seen(size=(1 << 64) - 1, root=b"\xff" * 9000))
    author.sequence += 1
    payload = encode(Payload(header=extreme, body=encode_body(registration("south"))))
    assert author.send(stream, [author.sealed(payload, PayloadType.REGISTRATION)]) == [ACCEPTED]
    which = ledger_pb2.NumberKey(submitter="mallory/main", epoch=author.epoch, sequence=(1 << 64) - 1)
    with pytest.raises(Refused, match="no such entry"):
        ledger.client("mallory").call("GetReceipt", ledger_pb2.GetReceiptRequest(number=which))
    assert faults(ledger) == 0
    stream.close()


def header_of(author: Author) -> Header:
    return Header(
        origin=author.origin,
        submitter=author.submitter,
        epoch=author.epoch,
        sequence=author.sequence,
        seen=Seen(size=0, root=b""),
        wall_at=1,
    )


def faults(ledger: LedgerSimulator) -> int:
    running = ledger.service._running
    assert running is not None
    return running._applier.faults


@pytest.mark.parametrize("bug", [struct.error(), msgspec.ValidationError(), BadData("bug"), KeyError(), OverflowError()], ids=type)
def test_a_mistake_of_ours_that_one_envelope_shows_stops_nobody_and_is_told(
    ledger: LedgerSimulator, honest: None, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    author = Author(ledger.identity("mallory"))
    stream, reply = author.hello(ledger.client("mallory"))
    author.epoch, author.sequence = reply.epoch, reply.last_sequence
    before = faults(ledger)

    def broken(_draft: object, _caller: object, body: Registration, _at: int) -> None:
        if body.login_address == "poison":
            raise bug

    functions = {**contract.FUNCTIONS, PayloadType.REGISTRATION: broken}
    poison = author.envelope(replace(registration("south"), login_address="poison"))
    with monkeypatch.context() as patch:
        patch.setattr(contract, "FUNCTIONS", functions)
        (answer,) = author.send(stream, [poison])
    assert isinstance(answer, ledger_pb2.Answer)
    assert answer.rejection.code == RejectionCode.MALFORMED_HEADER
    assert faults(ledger) == before + 1
    assert "mistake of the ledger" in ledger.service.status_line()
    assert author.send(stream, [poison]) == [ACCEPTED], "it consumed no number: once mended, the same bytes are an entry"
    stream.close()


def test_half_a_million_empty_envelopes_in_one_message(ledger: LedgerSimulator, honest: None) -> None:
    author = Author(ledger.identity("mallory"))
    for _ in range(5):
        stream, _ = author.hello(ledger.client("mallory"))
        stream.send_envelopes([b""] * 500_000)
        with pytest.raises(Refused, match="window"):
            next(stream)
        stream.close()


def test_who_reads_no_answers_is_ended_before_they_fill_the_memory(ledger: LedgerSimulator, honest: None) -> None:
    keys = ledger.identity("mallory")
    hello = ledger_pb2.SubmitRequest(hello=ledger_pb2.Hello(submitter="mallory/main"))
    many = ledger_pb2.SubmitRequest(envelopes=ledger_pb2.Envelopes(envelopes=[secrets.token_bytes(8) for _ in range(512)]))
    sent = [0]

    def requests() -> Iterator[ledger_pb2.SubmitRequest]:
        yield hello
        while sent[0] < 100 * END_UNREAD_BYTES:
            sent[0] += 512 * 60
            yield many

    with grpc.secure_channel(ledger.address, member_credentials(keys), options=OPTIONS) as channel:
        submit: Any = channel.stream_stream("/hpcbridge.v1.Ledger/Submit", ledger_pb2.SubmitRequest.SerializeToString, bytes)
        call = submit(requests())
        for _ in range(600):
            if threading.Event().wait(0.1) or (sent[0] > END_UNREAD_BYTES and not open_streams(ledger, "mallory")):
                break
        assert not open_streams(ledger, "mallory"), f"it still takes more after {sent[0]} bytes"
        call.cancel()


def open_streams(ledger: LedgerSimulator, name: str) -> int:
    running = ledger.service._running
    assert running is not None
    return running._streams._of[Submitter(name, "main")]


def test_hello_tells_nothing_of_another_member(ledger: LedgerSimulator, victim: Author) -> None:
    stream = ledger.client("mallory").submit_stream()
    stream.send_hello(ledger_pb2.Hello(submitter="victim/main"))
    with pytest.raises(Refused, match="another member"):
        next(stream)
    stream.close()


def test_questions_say_the_same_of_what_is_hidden_and_what_is_not_there(ledger: LedgerSimulator, victim: Author) -> None:
    client = ledger.client("mallory")
    pairs: list[tuple[str, Any, Any]] = [
        ("GetHpcSystemDetail", ledger_pb2.GetHpcSystemDetailRequest(name="north"), ledger_pb2.GetHpcSystemDetailRequest(name="norsk")),
        ("GetUserDetail", ledger_pb2.GetUserDetailRequest(name="victim"), ledger_pb2.GetUserDetailRequest(name="victor")),
        ("ListJobs", ledger_pb2.ListJobsRequest(cluster="north"), ledger_pb2.ListJobsRequest(cluster="norsk")),
        ("GetJob", ledger_pb2.GetJobRequest(cluster="north", job_id="1"), ledger_pb2.GetJobRequest(cluster="norsk", job_id="1")),
        ("ListNodes", ledger_pb2.ListNodesRequest(cluster="north"), ledger_pb2.ListNodesRequest(cluster="norsk")),
        ("ListGaps", ledger_pb2.ListGapsRequest(cluster="north"), ledger_pb2.ListGapsRequest(cluster="norsk")),
        ("GetReceipt", receipt_request(victim.epoch), receipt_request(bytes(16))),
    ]
    for method, hidden, absent in pairs:
        texts = [refusal_of(client, method, request) for request in (hidden, absent)]
        assert texts[0].replace("north", "norsk").replace("victim", "victor") == texts[1], method
    assert {each.registration.cluster for each in client.call("ListAllHpcSystems", ledger_pb2.ListAllHpcSystemsRequest()).clusters} <= {
        "south",
        "newcomer",
    }


def receipt_request(epoch: bytes) -> ledger_pb2.GetReceiptRequest:
    return ledger_pb2.GetReceiptRequest(number=ledger_pb2.NumberKey(submitter="victim/main", epoch=epoch, sequence=1))


def refusal_of(client: LedgerClient, method: str, request: Any) -> str:
    with pytest.raises(HpcbridgeError) as refusal:
        client.call(method, request)
    return str(refusal.value)


def test_the_largest_registrations_of_one_provider_do_not_hide_the_others_from_the_admin(ledger: LedgerSimulator) -> None:
    author = Author(ledger.enrol(Role.PROVIDER, "bulky"))
    stream = author.open(ledger.client("bulky"))
    programs = ledger_pb2.ListAllHpcSystemsReply().clusters.add().registration.programs
    for number in range(420):
        programs.add(name=f"{number:03d}".ljust(64, "p"), version="v" * 60)
    outcomes = []
    for number in range(66):
        body = registration(f"bulk-{number:02d}")
        message = ledger_pb2.ListAllHpcSystemsReply().clusters.add().registration
        message.cluster, message.login_address = body.cluster, body.login_address
        message.programs.extend(programs)
        author.sequence += 1
        payload = encode(Payload(header=header_of(author), body=message.SerializeToString()))
        outcomes += author.send(stream, [author.sealed(payload, PayloadType.REGISTRATION)])
    assert outcomes == [ACCEPTED] * 64 + [NOT_PERMITTED] * 2
    names, after = [], ""
    while True:
        reply = ledger.client().call("ListAllHpcSystems", ledger_pb2.ListAllHpcSystemsRequest(after=after))
        names += [each.registration.cluster for each in reply.clusters]
        after = reply.next
        if not after:
            break
    assert {"north", "south", "bulk-00", "bulk-63"} <= set(names)
    assert len(names) == len(set(names))
    stream.close()


def test_calls_that_are_opened_and_send_nothing_cost_only_who_opens_them(ledger: LedgerSimulator, honest: None) -> None:
    keys = ledger.identity("mallory")
    never = threading.Event()
    with grpc.secure_channel(ledger.address, member_credentials(keys), options=OPTIONS) as channel:
        method: Any = channel.stream_unary("/hpcbridge.v1.Ledger/GetStatus", bytes, bytes)
        calls = [method.future(silence(never), timeout=30) for _ in range(60)]
        other = Author(ledger.user("patient"))
        other.open(ledger.client("patient")).close()
        codes = [call.code() for call in calls]
        never.set()
        assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
        assert "no request came" in calls[0].details()


def test_refusals_use_up_neither_a_connection_nor_memory(ledger: LedgerSimulator) -> None:
    """A context that is kept counts as an open call, and the 65th call of a connection is refused."""
    client = ledger.client("mallory")
    hidden = ledger_pb2.GetUserDetailRequest(name="victim")
    gc.disable()
    try:
        for _ in range(150):
            with pytest.raises(Refused):
                client.call("GetUserDetail", hidden)
            with pytest.raises(Refused):
                client.call("ListNodes", ledger_pb2.ListNodesRequest(cluster="north"))
            with client.submit_stream() as stream:
                stream.send_hello(ledger_pb2.Hello(submitter="victim/main"))
                with pytest.raises(Refused):
                    next(stream)
        assert len([each for each in gc.get_objects() if isinstance(each, _Session)]) < 10
    finally:
        gc.enable()


def silence(end: threading.Event) -> Iterator[bytes]:
    end.wait(30)
    yield from ()


# (3) a peer without a certificate


def strangers_channel(ledger: LedgerSimulator) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(certificate_to_pem(ledger.admin().load_authority()))
    return grpc.secure_channel(ledger.enrolment_address, credentials, options=OPTIONS)


def test_a_stranger_learns_nothing_and_holds_nothing_open_on_the_enrolment_port(ledger: LedgerSimulator) -> None:
    with strangers_channel(ledger) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        status: Any = channel.unary_unary("/hpcbridge.v1.Ledger/GetStatus", bytes, bytes)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        refusals = [
            lambda: list(health.Watch(health_pb2.HealthCheckRequest(), timeout=5)),
            lambda: list(
                reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                    iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
                )
            ),
            lambda: status(b"", timeout=5),
        ]
        for attempt in refusals:
            with pytest.raises(grpc.RpcError) as refusal:
                attempt()
            assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_member_holds_nothing_open_with_health_and_reflection_is_off(ledger: LedgerSimulator) -> None:
    with grpc.secure_channel(ledger.address, member_credentials(ledger.identity("mallory")), options=OPTIONS) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        refusals = [
            lambda: list(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5)),
            lambda: list(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=5)),
        ]
        for attempt in refusals:
            with pytest.raises(grpc.RpcError) as refusal:
                attempt()
            assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_silent_enrolments_do_not_keep_a_member_from_renewing(ledger: LedgerSimulator) -> None:
    never, token = threading.Event(), ledger.token(Role.USER, "late-comer")
    channels = [strangers_channel(ledger) for _ in range(10)]
    try:
        for channel in channels:
            method: Any = channel.stream_unary("/hpcbridge.v1.Enrolments/Enrol", bytes, bytes)
            for _ in range(8):
                method.future(silence(never), timeout=30)
        enrol(token, "main", ledger.identity("late-comer"))
    finally:
        never.set()
        for channel in channels:
            channel.close()


def test_damaged_requests_for_certificates_are_refused_and_none_is_a_mistake(
    ledger: LedgerSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    csr = build_csr(new_key(), Submitter("x", "x"))
    token = parse_token(ledger.token(Role.USER, "damaged"))
    with strangers_channel(ledger) as channel:
        enrolments: Any = channel.unary_unary(
            "/hpcbridge.v1.Enrolments/Enrol", ledger_pb2.EnrolRequest.SerializeToString, ledger_pb2.EnrolReply.FromString
        )
        for place in range(0, len(csr), 3):
            for bit in (0, 7):
                changed = bytes([*csr[:place], csr[place] ^ 1 << bit, *csr[place + 1 :]])
                with pytest.raises(grpc.RpcError) as refusal:
                    enrolments(ledger_pb2.EnrolRequest(token_secret=token.secret, installation="main", csr=changed), timeout=5)
                assert refusal.value.code() is grpc.StatusCode.PERMISSION_DENIED, refusal.value.details()
    assert "call_failed" not in caplog.text


# (5) a stolen key before its revocation, (6) a clone


def test_a_stolen_key_can_close_an_epoch_and_dies_with_its_installation(ledger: LedgerSimulator) -> None:
    owner = Author(ledger.provider("robbed", cluster="west"))
    stream = owner.open(ledger.client("robbed"))
    thief = Author(ledger.identity("robbed"))
    thief.epoch, thief.sequence = owner.epoch, owner.sequence
    other = ledger.client("mallory")  # the thief has the key, and comes by any way
    relay, _ = Author(ledger.identity("mallory")).hello(other)
    assert thief.send(relay, [thief.envelope(job_changes("west", 666))]) == [ACCEPTED]
    evidence = owner.send(stream, [owner.envelope(job_changes("west", 1))])
    assert evidence == [(EntryOutcome.EQUIVOCATION,)]
    start = EpochStart(previous_epoch=owner.epoch, last_acknowledged=owner.sequence, reason=EpochReason.CLOSED, gap=None)
    owner.epoch, owner.sequence = secrets.token_bytes(16), 0
    (waits,) = owner.send(stream, [owner.envelope(start)])
    assert isinstance(waits, ledger_pb2.Answer)
    assert waits.retry.code == RetryCode.APPROVAL
    ledger.revoke("robbed", "main").check_accepted()
    (dead,) = thief.send(relay, [thief.envelope(job_changes("west", 667))])
    assert isinstance(dead, ledger_pb2.Answer)
    assert dead.rejection.code == RejectionCode.REVOKED
    fresh = ledger.identity("robbed", "new")
    enrol(ledger.token(Role.PROVIDER, "robbed"), "new", fresh)
    anew = Author(fresh)
    with anew.open(ledger.client("robbed", "new")) as stream:
        assert anew.send(stream, [anew.envelope(job_changes("west", 2))]) == [ACCEPTED], "its clusters are still its own"
    relay.close()


def test_a_clone_that_replays_everything_changes_nothing(ledger: LedgerSimulator) -> None:
    author = Author(ledger.provider("cloned", cluster="east"))
    stream = author.open(ledger.client("cloned"))
    sent = [author.envelope(job_changes("east", number)) for number in range(20)]
    assert author.send(stream, sent) == [ACCEPTED] * 20
    size = ledger.client().call("GetStatus", ledger_pb2.GetStatusRequest()).checkpoint.note.splitlines()[1]
    again, _ = author.hello(ledger.client("cloned"))
    assert author.send(again, [*reversed(sent), *sent]) == [ACCEPTED] * 40
    assert ledger.client().call("GetStatus", ledger_pb2.GetStatusRequest()).checkpoint.note.splitlines()[1] == size
    stream.close()
    again.close()


# rights


def test_a_further_installation_changes_no_rights_and_a_right_is_taken_away_by_name(ledger: LedgerSimulator) -> None:
    ledger.enrol(Role.USER, "twice", attributes=(("auditor", "true"),))
    ledger.enrol(Role.USER, "twice", "laptop")
    clients = [ledger.client("twice"), ledger.client("twice", "laptop")]
    for client in clients:
        assert client.call("ListAllUsers", ledger_pb2.ListAllUsersRequest()).members
    ledger.enrol(Role.USER, "twice", "third", attributes=(("auditor", "false"),))
    for client in clients:
        with pytest.raises(Refused):
            client.call("ListAllUsers", ledger_pb2.ListAllUsersRequest())


def test_a_used_token_of_another_role_or_member_gives_nothing(ledger: LedgerSimulator) -> None:
    token = ledger.token(Role.USER, "redeemed")
    enrol(token, "main", ledger.identity("redeemed"))
    with pytest.raises(EnrolmentRefused, match="used already"):
        enrol(token, "main", ledger.identity("redeemed", "again"))
    wrong = Token(digest=secrets.token_bytes(32), role=Role.ADMIN, member="redeemed", attributes=(), expires_at=now() + 60_000)
    assert ledger.submit("admin", wrong).outcomes == (EntryOutcome.ALREADY_EXISTS,)
    node = replace(wrong, member="ledger", role=Role.SYSTEM_NODE)
    assert ledger.submit("admin", node).outcomes == NOT_PERMITTED


# all of it


def test_after_all_this_the_whole_log_is_proven_by_replay(ledger: LedgerSimulator, victim: Author) -> None:
    client = ledger.client()
    note = client.call("GetCheckpoint", ledger_pb2.GetCheckpointRequest()).note
    size = int(note.splitlines()[1])
    leaves = [leaf.bytes for chunk in client.read_entries(0, size) for leaf in chunk.leaves]
    admin = ledger.admin()
    verified = prove_log(leaves, note, Pins(origin=victim.origin, log_key=victim.log_key, authority=admin.load_authority()))
    assert verified.entries == size
    assert ledger.service.failure is None


def test_without_the_time_limit_silent_calls_stay_open(ledger: LedgerSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "REQUEST_SECONDS", 3600.0)
    never = threading.Event()
    with strangers_channel(ledger) as channel:
        method: Any = channel.stream_unary("/hpcbridge.v1.Enrolments/Renew", bytes, bytes)
        call = method.future(silence(never), timeout=30)
        assert not threading.Event().wait(6)
        assert not call.done()
        call.cancel()
        never.set()
