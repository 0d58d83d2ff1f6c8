# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The passcode of a rental by the Python client: read once, renewed, of one folder, and nobody else's word for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcbridge.client import Client, rental_name
from hpcbridge.errors import HpcbridgeError, IdentityError, ReceiptPending, Refused
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.entries import EventType
from hpcbridge.wire.client import SubmitStream
from tests.client.test_client import WANTED, new_user, rented
from tests.client.test_interrupted import lost_on_the_way_back
from tests.ctl_network import Network
from tests.played_site import PlayedSite


def keys_of(network: Network, user: Client) -> list[Path]:
    return list((network.identity(user.submitter.member) / "rental-keys").glob("*.pem"))


def test_a_passcode_is_read_once(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        rental = rented(user)
        name = rental.rental
        assert user.passcode(name) is None
        site.ready(rental)
        assert user.passcode(name) is None
        site.leave_passcode(rental, "correct-horse-9")
        found = user.passcode(name)
        assert found is not None
        assert (found.text, str(found.signer), "correct" in repr(found)) == ("correct-horse-9", "north/one", False)
        assert user.passcode(name) == found
        user.confirm_passcode(found)
        assert keys_of(network, user) == []
        with pytest.raises(HpcbridgeError, match="was read already"):
            user.passcode(name)


def test_another_one_is_sealed_to_another_key(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        rental = rented(user)
        with pytest.raises(Refused, match="ILLEGAL_TRANSITION"):
            user.renew_passcode(rental.rental)
        site.ready(rental)
        site.leave_passcode(rental, "first")
        user.renew_passcode(rental.rental)
        assert user.passcode(rental.rental) is None
        (asked,) = [event.body for event in site.client.events(types=(EventType.PASSCODE_ASKED,)) if event.subject == rental.rental]
        assert asked.sealing_key != rental.sealing_key
        site.leave_passcode(asked, "second")
        found = user.passcode(rental.rental)
        assert found is not None
        assert found.text == "second"


def test_one_of_somebody_else_is_refused(network: Network, site: PlayedSite) -> None:
    """Another provider of the network seals to the same key; the ledger's operator puts it into the relay in place of the right one."""
    mallory = PlayedSite(network, "mallory", "reef")
    with new_user(network) as user, mallory.client:
        rental = rented(user)
        site.ready(rental)
        site.leave_passcode(rental, "swapped", signer=KeyDirectory(network.identity("mallory")))
        with pytest.raises(IdentityError, match="signed by mallory"):
            user.passcode(rental.rental)
        with pytest.raises(Refused, match="NOT_FOUND"):
            mallory.leave_passcode(rental, "swapped")


def test_where_there_is_no_key_waiting_is_in_vain(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user:
        rental = rented(user)
        (key,) = keys_of(network, user)
        key.unlink()
        with pytest.raises(HpcbridgeError, match="is not here"):
            user.passcode(rental.rental)
        user.cancel(rental.rental)
        with pytest.raises(HpcbridgeError, match="has ended"):
            user.passcode(rental.rental)


def test_keys_go_with_the_order(network: Network, site: PlayedSite) -> None:
    with new_user(network) as user, new_user(network, credit=0) as poor:
        with pytest.raises(Refused, match="NO_CREDIT"):
            rented(poor)
        assert keys_of(network, poor) == []
        rental = rented(user)
        assert len(keys_of(network, user)) == 1
        user.cancel(rental.rental)
        assert keys_of(network, user) == []


def test_an_order_without_a_receipt_keeps_its_key(network: Network, site: PlayedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_user(network) as user:
        request = user.request(WANTED).request.request
        monkeypatch.setattr(SubmitStream, "send_envelopes", lost_on_the_way_back)
        with pytest.raises(ReceiptPending):
            user.rent_best(request)
        monkeypatch.undo()
        (earlier,) = user.finish()
        rental = user.rental(rental_name(earlier.submitted.index))
        site.leave_passcode(rental, "late-but-here")
        found = user.passcode(rental.rental)
        assert found is not None
        assert found.text == "late-but-here"
