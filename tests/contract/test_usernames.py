# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Access usernames: their form, that every replica makes the same, that no two rentals share one, and that nothing stands in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcbridge.contract import usernames
from hpcbridge.contract.market import put_rental, rental_name, rental_of_username
from hpcbridge.contract.records import StoredMember, encode_stored
from hpcbridge.contract.seed import market_seed, stir
from hpcbridge.contract.state import Draft, MemoryState
from hpcbridge.contract.usernames import LENGTH, LETTERS, SIGNS, access_username, username_choice
from hpcbridge.model.clusters import Rates, Vetting
from hpcbridge.model.identities import Role
from hpcbridge.model.market import Rental, RentalState

FORM = re.compile(r"[a-z][a-z0-9]{7,14}\Z")
NAMES = st.integers(min_value=0, max_value=10**15 - 1).map(rental_name)
RESERVED = [
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup", "list", "irc",
    "gnats", "nobody", "systemd-network", "systemd-resolve", "systemd-timesync", "messagebus", "sshd", "polkitd", "postgres", "mysql",
    "mariadb", "apache", "nginx", "named", "ntp", "chrony", "dbus", "tcpdump", "tss", "rpcuser", "nfsnobody", "postfix", "dovecot",
    "munge", "slurm", "pbsdata", "pbsadmin", "sgeadmin", "condor", "operator", "shutdown", "halt", "adm", "ftp", "avahi", "colord",
    "geoclue", "pulse", "dnsmasq", "ldap", "sssd", "unbound", "redis", "memcached", "rabbitmq", "prometheus", "grafana",
    "administrator", "superuser", "wheel", "sudo", "admin", "guest", "user", "test",
]


def rental(name: str, username: str) -> Rental:
    """Something to put under a username."""
    values: dict[str, Any] = dict.fromkeys(("request", "offer", "submitter", "walltime_seconds", "end"))
    values |= {"member": "ann", "cluster": "c1", "provider": "p", "login_address": "l", "queue": "q", "to_install": ()}
    values |= dict.fromkeys(("cores", "gpus", "limit_seconds", "price_version", "deposit", "extra_limit", "index"), 1)
    values |= dict.fromkeys(("granted_at", "expires_at", "latest_at"), 1)
    rates = Rates(cpu_core_per_hour=1, gpu_core_per_hour=1)
    return Rental(rental=name, username=username, rates=rates, sealing_key=b"", state=RentalState.GRANTED, **values)


@given(seed=st.binary(min_size=32, max_size=32), name=NAMES, attempt=st.integers(min_value=0, max_value=1000))
def test_every_choice_has_the_form_and_holds_no_word(seed: bytes, name: str, attempt: int) -> None:
    choice = username_choice(seed, name, attempt)
    assert FORM.match(choice)
    assert len(choice) == LENGTH
    assert choice[0] in LETTERS
    assert set(choice) <= set(SIGNS)
    assert not set(choice) & set("aeiouy01l"), "no vowel, so no word; nothing that looks like another sign"
    assert choice not in RESERVED


def test_no_reserved_name_could_come_about() -> None:
    possible = [name for name in RESERVED if len(name) == LENGTH and set(name) <= set(SIGNS)]
    assert possible == []
    assert any(FORM.match(name) for name in RESERVED), "the form alone would allow some"


def test_it_is_the_same_everywhere_and_another_one_for_another_seed_rental_or_attempt() -> None:
    seeds, names = [b"\0" * 32, b"\1" * 32], ["l1", "l2", "l11"]
    choices = [username_choice(seed, name, attempt) for seed in seeds for name in names for attempt in range(11)]
    assert len(set(choices)) == len(choices)
    assert choices == [username_choice(seed, name, attempt) for seed in seeds for name in names for attempt in range(11)]
    assert username_choice(b"\0" * 32, "l1", 0) == "pd589znmqd7d", "what a name is made of is part of the contract"


def test_samples_of_clusters_change_what_comes() -> None:
    state = MemoryState()
    before = access_username(state, "l5")
    draft = Draft(state)
    stir(draft, b"a sample")
    assert access_username(draft, "l5") != before


def test_signs_are_evenly_spread() -> None:
    counts = dict.fromkeys(SIGNS, 0)
    for number in range(4000):
        for sign in username_choice(b"\7" * 32, f"l{number}", 0)[1:]:
            counts[sign] += 1
    expected = 4000 * (LENGTH - 1) / len(SIGNS)
    assert all(abs(count - expected) < expected * 0.12 for count in counts.values()), counts


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.integers(0, 500), min_size=1, max_size=60, unique=True), space=st.integers(2, 5), data=st.data())
def test_no_two_rentals_ever_share_a_name(numbers: list[int], space: int, data: st.DataObject) -> None:
    """With so few names that first choices collide all the time, whether or not the rentals before have ended."""
    state = MemoryState()
    real = usernames.username_choice

    def crowded(seed: bytes, name: str, attempt: int) -> str:
        return real(seed, f"l{int(name[1:]) % space}", attempt % 40)

    given_names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usernames, "username_choice", crowded)
        for number in numbers:
            if len(given_names) >= space * 40:
                break
            draft = Draft(state, index=number)
            if data.draw(st.booleans()):
                stir(draft, number.to_bytes(4, "big"))
            name = access_username(draft, rental_name(number))
            assert rental_of_username(draft, name) is None
            put_rental(draft, rental(rental_name(number), name))
            state.write(draft.effects((), ()).writes)
            assert rental_of_username(state, name) == rental_name(number)
            given_names.append(name)
    assert len(set(given_names)) == len(given_names)


def test_a_name_that_is_taken_is_never_given_again() -> None:
    state = MemoryState()
    first = access_username(state, "l9")
    draft = Draft(state)
    put_rental(draft, rental("l3", first))
    state.write(draft.effects((), ()).writes)
    assert first != access_username(state, "l9") == username_choice(market_seed(state), "l9", 1)


def test_a_name_of_a_member_is_not_given() -> None:
    state = MemoryState()
    first = access_username(state, "l9")
    member = StoredMember(role=Role.USER, vetting=Vetting.APPROVED, revoked=False, attributes=(), enrolled_at=0)
    state.write([(f"member/{first}", encode_stored(member))])
    assert access_username(state, "l9") != first
