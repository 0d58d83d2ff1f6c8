# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The command line's chain of numbers: cut off at any moment, restored, cloned, out of step, and a ledger that lies."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from hpcbridge.errors import ConfigError, IntegrityError, LedgerUnavailable, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.transactions import Decision, EpochReason, Parameters, PayloadType, Seen
from hpcbridge.submitter import submit as submit_module
from hpcbridge.submitter.chain import Chain, Step, Waiting, decide, load_chain, save_chain
from hpcbridge.submitter.submit import submit
from hpcbridge.wire.client import LedgerClient, SubmitStream, endpoints_of
from hpcbridge.wire.generated import ledger_pb2
from tests.ctl_network import Network

_numbers = itertools.count(1)
BODY = Parameters(values=(("lost_after_ms", 700_000_000),))


@pytest.fixture
def keys(network: Network) -> KeyDirectory:
    """An admin of its own for each test: three epochs a day are free."""
    name = f"admin-{next(_numbers)}"
    network.enrol("root", name, "admin")
    return KeyDirectory(network.identity(name))


@pytest.fixture
def client(keys: KeyDirectory) -> Iterator[LedgerClient]:
    with LedgerClient(endpoints_of(keys), keys) as client:
        yield client


def chain_of(keys: KeyDirectory) -> Chain:
    return load_chain(keys.path / "chain.json")


def entries_of(client: LedgerClient, keys: KeyDirectory, chain: Chain, sequence: int) -> int:
    """Index of the entry that consumed a number."""
    number = ledger_pb2.NumberKey(submitter=str(keys.load_profile().submitter), epoch=chain.epoch, sequence=sequence)
    index: int = client.call("GetReceipt", ledger_pb2.GetReceiptRequest(number=number)).index
    return index


def test_numbers_follow_each_other(keys: KeyDirectory, client: LedgerClient) -> None:
    first, second = submit(keys, client, BODY), submit(keys, client, BODY)
    assert first.outcomes == second.outcomes == (EntryOutcome.ACCEPTED,)
    assert second.index > first.index
    chain = chain_of(keys)
    assert (chain.next_sequence, chain.waiting) == (4, ())
    assert chain.seen.size > second.index
    assert (keys.path / "chain.json").stat().st_mode & 0o777 == 0o600


def test_a_refused_one_consumes_its_number_and_the_next_goes_on(keys: KeyDirectory, client: LedgerClient) -> None:
    refused = submit(keys, client, Decision(name="nobody", vetting=Vetting.APPROVED, note=""))
    assert refused.outcomes == (EntryOutcome.NOT_FOUND,)
    with pytest.raises(Refused, match="NOT_FOUND"):
        refused.check_accepted()
    submit(keys, client, BODY).check_accepted()
    assert chain_of(keys).next_sequence == 4


class Died(BaseException):
    """What kill -9 looks like from inside."""


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The command ends before its n-th durable or outward step: a save of the chain, a send, the keeping of a receipt."""
    steps = itertools.count(1)

    def around(function: Callable[..., object]) -> Callable[..., object]:
        def stepped(*arguments: object, **named: object) -> object:
            if next(steps) == step:
                raise Died
            return function(*arguments, **named)

        return stepped

    monkeypatch.setattr(submit_module, "save_chain", around(save_chain))
    monkeypatch.setattr(submit_module, "_keep", around(submit_module._keep))
    monkeypatch.setattr(SubmitStream, "send_envelopes", around(SubmitStream.send_envelopes))


def test_cut_off_at_every_step_nothing_is_lost_or_doubled(keys: KeyDirectory, client: LedgerClient) -> None:
    """The command ends at each of its steps in turn; the next one finishes it, and each body is one entry."""
    submit(keys, client, BODY).check_accepted()
    left_something = 0
    for step in range(1, 6):
        before = chain_of(keys)
        with pytest.MonkeyPatch.context() as monkeypatch, contextlib.suppress(Died):
            die_at(monkeypatch, step)
            submit(keys, client, BODY)
        journaled = chain_of(keys).waiting
        left_something += len(journaled)
        submit(keys, client, BODY).check_accepted()
        after = chain_of(keys)
        assert (after.epoch, after.waiting) == (before.epoch, ())
        assert after.next_sequence in (before.next_sequence + 1, before.next_sequence + 2)
        indexes = [entries_of(client, keys, after, number) for number in range(before.next_sequence, after.next_sequence)]
        assert len(set(indexes)) == len(indexes)
        for waiting in journaled:
            assert entries_of(client, keys, after, waiting.sequence) in indexes
    assert left_something >= 2


def test_without_the_journal_a_cut_off_command_would_leave_its_number_behind(
    keys: KeyDirectory, client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: sent, not journaled; the next command finds the ledger ahead of it and has to leave the epoch."""
    submit(keys, client, BODY).check_accepted()
    before = (keys.path / "chain.json").read_bytes()
    submit(keys, client, BODY).check_accepted()
    (keys.path / "chain.json").write_bytes(before)
    epoch = chain_of(keys).epoch
    submit(keys, client, BODY).check_accepted()
    assert chain_of(keys).epoch != epoch


def test_a_restored_folder_opens_a_new_epoch_by_itself(keys: KeyDirectory, client: LedgerClient) -> None:
    submit(keys, client, BODY).check_accepted()
    (keys.path / "chain.json").unlink()
    submit(keys, client, BODY).check_accepted()
    assert chain_of(keys).next_sequence == 3


def test_two_clones_end_at_the_admins_door(network: Network, keys: KeyDirectory, client: LedgerClient) -> None:
    """Each takes the epoch from the other; the fourth time that day waits for an admin, and goes on after the approval."""
    submit(keys, client, BODY).check_accepted()
    for _ in range(3):
        (keys.path / "chain.json").unlink()
        submit(keys, client, BODY).check_accepted()
    (keys.path / "chain.json").unlink()
    with pytest.raises(LedgerUnavailable, match="waits for an admin") as waits:
        submit(keys, client, BODY)
    submitter = str(keys.load_profile().submitter)
    assert f"admin approve {submitter}" in waits.value.hint
    with pytest.raises(LedgerUnavailable, match="waits for an admin"):
        submit(keys, client, BODY)
    network.ok("root", "admin", "approve", submitter)
    submit(keys, client, BODY).check_accepted()
    assert chain_of(keys).waiting == ()


def test_a_waiting_transaction_moves_into_the_new_epoch(keys: KeyDirectory, client: LedgerClient) -> None:
    """Journaled in an epoch that is over and not on the log: the body gets a new number, once."""
    submit(keys, client, BODY).check_accepted()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(SubmitStream, "send_envelopes", lambda *_: (_ for _ in ()).throw(LedgerUnavailable("cut")))
        with pytest.raises(LedgerUnavailable):
            submit(keys, client, BODY)
    waiting = chain_of(keys)
    assert len(waiting.waiting) == 1
    save_chain(keys.path / "chain.json", dataclasses.replace(waiting, reason=EpochReason.LOST))
    submit(keys, client, BODY).check_accepted()
    after = chain_of(keys)
    assert (after.epoch != waiting.epoch, after.next_sequence, after.waiting) == (True, 4, ())


def test_a_transaction_that_is_on_the_log_is_not_done_again_in_a_new_epoch(keys: KeyDirectory, client: LedgerClient) -> None:
    submit(keys, client, BODY).check_accepted()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(submit_module, "_keep", lambda *_: (_ for _ in ()).throw(LedgerUnavailable("cut")))
        with pytest.raises(LedgerUnavailable):
            submit(keys, client, BODY)
    chain = chain_of(keys)
    assert len(chain.waiting) == 1
    save_chain(keys.path / "chain.json", dataclasses.replace(chain, reason=EpochReason.LOST))
    submit(keys, client, BODY).check_accepted()
    assert chain_of(keys).next_sequence == 3


def test_commands_at_the_same_time_wait_for_each_other(keys: KeyDirectory, client: LedgerClient) -> None:
    indexes: list[int] = []
    threads = [threading.Thread(target=lambda: indexes.append(submit(keys, client, BODY).index)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(indexes)) == 4
    assert chain_of(keys).next_sequence == 6


def test_a_ledger_that_forgot_what_was_seen_is_caught(keys: KeyDirectory, client: LedgerClient) -> None:
    submit(keys, client, BODY).check_accepted()
    chain = chain_of(keys)
    save_chain(keys.path / "chain.json", dataclasses.replace(chain, seen=Seen(size=chain.seen.size + 1000, root=bytes(32)), checkpoint=""))
    with pytest.raises(IntegrityError, match="seen and verified before"):
        submit(keys, client, BODY)


def test_a_ledger_that_shows_another_history_is_caught(keys: KeyDirectory, client: LedgerClient) -> None:
    submit(keys, client, BODY).check_accepted()
    chain = chain_of(keys)
    save_chain(keys.path / "chain.json", dataclasses.replace(chain, seen=Seen(size=chain.seen.size - 1, root=bytes(32)), checkpoint=""))
    with pytest.raises(IntegrityError):
        submit(keys, client, BODY)


def test_without_the_check_another_history_gets_through(keys: KeyDirectory, client: LedgerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    submit(keys, client, BODY).check_accepted()
    chain = chain_of(keys)
    save_chain(keys.path / "chain.json", dataclasses.replace(chain, seen=Seen(size=chain.seen.size - 1, root=bytes(32)), checkpoint=""))
    monkeypatch.setattr(submit_module, "verify_growth", lambda *_: None)
    submit(keys, client, BODY).check_accepted()


def test_a_receipt_under_another_log_key_is_no_receipt(network: Network, keys: KeyDirectory, client: LedgerClient) -> None:
    keys.save_log_public_key(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
    with pytest.raises(IntegrityError, match="pinned log key"):
        submit(keys, client, BODY)


def test_a_damaged_chain_is_told(keys: KeyDirectory, client: LedgerClient) -> None:
    for content in ("{", '{"epoch": 3}', "[]"):
        (keys.path / "chain.json").write_text(content)
        (keys.path / "chain.json").chmod(0o600)
        with pytest.raises(ConfigError, match="damaged") as damaged:
            submit(keys, client, BODY)
        assert "new epoch by itself" in damaged.value.hint


def test_the_file_comes_back_whole(tmp_path: Path) -> None:
    waiting = Waiting(epoch=b"a" * 16, sequence=7, payload_type=PayloadType.TOKEN, payload=b"\x00\xff")
    chain = Chain(
        epoch=b"a" * 16, next_sequence=8, last_payload_hash=bytes(32), reason=EpochReason.POISON,
        seen=Seen(size=3, root=b"r" * 32), checkpoint="note\n", waiting=(waiting,),
    )  # fmt: skip
    save_chain(tmp_path / "chain.json", chain)
    assert load_chain(tmp_path / "chain.json") == chain
    assert load_chain(tmp_path / "absent.json") == Chain()


OURS, OTHER = b"o" * 16, b"x" * 16
LAST = sha256(b"last").digest()
BEGUN = Chain(epoch=OURS, next_sequence=5, last_payload_hash=LAST)
START = Waiting(epoch=OURS, sequence=1, payload_type=PayloadType.EPOCH_START, payload=b"start")
FOURTH = Waiting(epoch=OURS, sequence=4, payload_type=PayloadType.TOKEN, payload=b"last")


@pytest.mark.parametrize(
    ("chain", "hello", "step", "reason"),
    [
        (Chain(), {}, Step.NEW_EPOCH, EpochReason.FIRST),
        (Chain(), {"epoch": OTHER, "last_sequence": 9}, Step.NEW_EPOCH, EpochReason.LOST),
        (Chain(), {"epoch": OTHER, "epoch_closed": True}, Step.NEW_EPOCH, EpochReason.CLOSED),
        (BEGUN, {"epoch": OURS, "last_sequence": 4, "last_payload_hash": LAST}, Step.CONTINUE, None),
        (BEGUN, {"epoch": OURS, "last_sequence": 4, "last_payload_hash": bytes(32)}, Step.NEW_EPOCH, EpochReason.LOST),
        (BEGUN, {"epoch": OURS, "last_sequence": 5}, Step.NEW_EPOCH, EpochReason.LOST),
        (BEGUN, {"epoch": OURS, "last_sequence": 4, "epoch_closed": True}, Step.NEW_EPOCH, EpochReason.CLOSED),
        (BEGUN, {"epoch": OTHER, "last_sequence": 1}, Step.NEW_EPOCH, EpochReason.LOST),
        (dataclasses.replace(BEGUN, waiting=(FOURTH,)), {"epoch": OURS, "last_sequence": 3}, Step.CONTINUE, None),
        (Chain(epoch=OURS, next_sequence=2, waiting=(START,)), {}, Step.CONTINUE, None),
        (Chain(epoch=OURS, next_sequence=2, waiting=(START,)), {"epoch": OTHER, "last_sequence": 3}, Step.CONTINUE, None),
        (dataclasses.replace(BEGUN, reason=EpochReason.POISON), {"epoch": OURS, "last_sequence": 4}, Step.NEW_EPOCH, EpochReason.POISON),
    ],
)
def test_what_a_hello_asks_for(chain: Chain, hello: dict[str, object], step: Step, reason: EpochReason | None) -> None:
    decision = decide(chain, ledger_pb2.HelloReply(**hello))  # type: ignore[arg-type]
    assert (decision.step, decision.reason) == (step, reason)


def test_a_ledger_that_lost_a_receipted_number_is_caught() -> None:
    with pytest.raises(IntegrityError, match="gave a receipt"):
        decide(BEGUN, ledger_pb2.HelloReply(epoch=OURS, last_sequence=3, last_payload_hash=bytes(32)))
