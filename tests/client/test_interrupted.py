# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A receipt that does not come, and many who write with one identity at once: each order is one entry, never none and never two."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpcbridge.client import Client, Earlier, Request, rental_name
from hpcbridge.errors import LedgerUnavailable, ReceiptPending, Refused
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import RentalOrder
from hpcbridge.submitter import submit as submit_module
from hpcbridge.submitter.chain import load_chain
from hpcbridge.wire.client import SubmitStream
from tests.client.test_client import WANTED, new_user
from tests.ctl_network import Network
from tests.played_site import PlayedSite

SendEnvelopes = Callable[[SubmitStream, list[bytes]], None]
send_envelopes = SubmitStream.send_envelopes


def lost_on_the_way(stream: SubmitStream, _envelopes: list[bytes]) -> None:
    stream.close()


def lost_on_the_way_back(stream: SubmitStream, envelopes: list[bytes]) -> None:
    send_envelopes(stream, envelopes)
    next(stream)
    stream.close()


@pytest.mark.parametrize("cut", [lost_on_the_way, lost_on_the_way_back])
def test_a_rental_without_a_receipt_is_found_and_is_one(
    network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch, cut: SendEnvelopes
) -> None:
    told: list[Earlier] = []
    with new_user(network) as plain, Client(network.identity(plain.submitter.member), on_earlier=told.append) as user:
        request = user.request(WANTED).request.request
        monkeypatch.setattr(SubmitStream, "send_envelopes", cut)
        with pytest.raises(ReceiptPending):
            user.rent_best(request)
        with pytest.raises(ReceiptPending):
            user.finish()
        monkeypatch.undo()
        (earlier,) = user.finish()
        assert isinstance(earlier.body, RentalOrder)
        earlier.submitted.check_accepted()
        assert user.rentals() == (user.rental(rental_name(earlier.submitted.index)),)
        assert (user.finish(), told) == ((), [])


def test_what_was_accepted_and_could_not_be_read_is_told_by_finish(
    network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger goes away between the receipt and the question that follows it: an order made anew would be a second one."""
    with new_user(network) as user:
        request = user.request(WANTED).request.request

        def away(*_: object) -> None:
            raise LedgerUnavailable("gone")

        monkeypatch.setattr("hpcbridge.wire.marketqueries.get_rental", away)
        with pytest.raises(ReceiptPending, match="it is entry"):
            user.rent_best(request)
        monkeypatch.undo()
        (earlier,) = user.finish()
        assert user.rentals() == (user.rental(rental_name(earlier.submitted.index)),)
        assert user.finish() == ()


def test_what_goes_out_with_the_next_call_is_told(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Earlier] = []
    with new_user(network) as plain, Client(network.identity(plain.submitter.member), on_earlier=told.append) as user:
        request = user.request(WANTED).request.request
        monkeypatch.setattr(SubmitStream, "send_envelopes", lost_on_the_way_back)
        with pytest.raises(ReceiptPending):
            user.rent_best(request)
        monkeypatch.undo()
        user.request(WANTED)
        assert [type(earlier.body) for earlier in told] == [RentalOrder]
        assert len(user.rentals()) == 1


def test_hpcbridgectl_finishes_it_as_well(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_user(network) as user:
        request = user.request(WANTED).request.request
        monkeypatch.setattr(SubmitStream, "send_envelopes", lost_on_the_way)
        with pytest.raises(ReceiptPending):
            user.rent_best(request)
        monkeypatch.undo()
        result = network.run(user.submitter.member, "offers", "--cores", "1")
        assert "RENTAL of an earlier command is now entry" in result.stderr
        assert (user.finish(), len(user.rentals())) == ((), 1)


def test_ordered_anew_instead_it_would_be_two(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of what the exception is for."""
    with new_user(network) as user:
        request = user.request(WANTED).request.request
        monkeypatch.setattr(SubmitStream, "send_envelopes", lost_on_the_way_back)
        with pytest.raises(ReceiptPending):
            user.rent_best(request)
        monkeypatch.undo()
        user.rent_best(request)
        assert len(user.rentals()) == 2


def test_before_it_is_numbered_nothing_is_left(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_user(network) as user:
        user.request(WANTED)
        monkeypatch.setattr(SubmitStream, "send_hello", lost_on_the_way)
        with pytest.raises(LedgerUnavailable) as away:
            user.request(WANTED)
        assert not isinstance(away.value, ReceiptPending)
        monkeypatch.undo()
        assert user.finish() == ()
        assert len(user.requests()) == 1


def test_an_order_that_is_refused_when_it_is_finished(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_user(network, credit=0) as user:
        request = user.request(WANTED).request.request
        monkeypatch.setattr(SubmitStream, "send_envelopes", lost_on_the_way)
        with pytest.raises(ReceiptPending):
            user.rent_best(request)
        monkeypatch.undo()
        (earlier,) = user.finish()
        assert earlier.submitted.outcomes == (EntryOutcome.NO_CREDIT,)
        with pytest.raises(Refused, match="NO_CREDIT"):
            earlier.submitted.check_accepted()


OTHER_PROCESS = """
import sys
from hpcbridge.client import Client, Request
with Client(sys.argv[1]) as client:
    for _ in range(10):
        client.request(Request(cores=2))
"""


def write_together(network: Network, user: Client) -> tuple[int, int]:
    """Threads of one client, another process and hpcbridgectl, all with one identity: how many requests there are, and the next number."""
    name = user.submitter.member
    path = network.identity(name)
    other = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(path)], stderr=subprocess.PIPE, text=True)
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(user.request, Request(cores=3)) for _ in range(20)]
        typed = [pool.submit(network.run, name, "offers", "--cores", "4") for _ in range(3)]
        assert [each.result().request.asked.cores for each in asked] == [3] * 20
        assert [each.result().exit_code for each in typed] == [0] * 3
    _, errors = other.communicate(timeout=30)
    assert (other.returncode, errors) == (0, "")
    return len(user.requests()), load_chain(path / "chain.json").next_sequence


def test_threads_processes_and_the_command_line_share_one_chain(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        user.request(WANTED)
        epoch = load_chain(network.identity(user.submitter.member) / "chain.json").epoch
        requests, next_sequence = write_together(network, user)
        assert (requests, next_sequence) == (34, 36)  # the start of the epoch is number 1
        assert load_chain(network.identity(user.submitter.member) / "chain.json").epoch == epoch


def test_without_the_lock_they_would_take_each_others_numbers(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: two writers meet between reading the chain and writing it; the second payload of one number closes the epoch."""
    monkeypatch.setattr("hpcbridge.identity.keystore.KeyDirectory._take_lock", lambda *_: None)
    with new_user(network) as user, Client(network.identity(user.submitter.member)) as twin:
        user.request(WANTED)
        path = network.identity(user.submitter.member) / "chain.json"
        epoch = load_chain(path).epoch
        together = threading.Barrier(2)
        load = load_chain

        def load_together(path: object) -> object:
            chain = load(path)  # type: ignore[arg-type]
            together.wait(10)
            return chain

        with pytest.MonkeyPatch.context() as meeting, ThreadPoolExecutor(2) as pool:
            meeting.setattr(submit_module, "load_chain", load_together)
            answers = [pool.submit(outcome_of, each, cores) for cores, each in enumerate((user, twin), start=1)]
            found = {answer.result() for answer in answers}
        user.request(WANTED)
        assert found != {EntryOutcome.ACCEPTED} or load_chain(path).epoch != epoch


def outcome_of(client: Client, cores: int) -> str:
    try:
        return client.submit(Request(cores=cores)).outcomes[0]
    except (LedgerUnavailable, Refused) as error:
        return str(error)
