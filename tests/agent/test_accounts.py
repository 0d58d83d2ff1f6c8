# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Accounts of tenants with a real ledger and real scripts: their whole life, and everything that may go wrong on the way."""

from __future__ import annotations

import dataclasses
import itertools
import random
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.message import Message

from hpcbridge.agent import accounts as accounts_module
from hpcbridge.agent import listener as listener_module
from hpcbridge.agent import spool as spool_module
from hpcbridge.agent.accounts import Accounts, Allowance, NoAccounts
from hpcbridge.agent.chain import RENTALS_LISTED
from hpcbridge.agent.listener import Listener
from hpcbridge.agent.passcodes import make_passcode
from hpcbridge.agent.publish import PublishMode
from hpcbridge.agent.tenancies import Account, Step, Tenancy, needs_attention, next_step
from hpcbridge.daemon.pacing import Pace
from hpcbridge.daemon.worker import Worker
from hpcbridge.errors import BadData, LedgerUnavailable
from hpcbridge.identity.passcode import Binding, passcode_from_text, seal_contact
from hpcbridge.model.accounts import AccountOrder, ActionResult, Actor
from hpcbridge.model.identities import Role
from hpcbridge.model.jobs import JobState
from hpcbridge.model.market import AccountState, Credit, Rental, RentalEnd, RentalState
from hpcbridge.model.relay import SealedKind
from hpcbridge.schedulers.acting import ScriptActor
from hpcbridge.wire.accounts import HelperActor
from hpcbridge.wire.convert import from_message
from hpcbridge.wire.relay import leave_sealed
from tests.agent.conftest import AT, Agent, now
from tests.ledger_simulator import LedgerSimulator
from tests.rented_site import ActingScripts, Tenant, priced, sample, tenant_of

_numbers = itertools.count(1)


class Site:
    """An agent with everything that has to do with tenants; the step of the accounts is made by the test itself."""

    def __init__(self, agent: Agent, tenant: Tenant, scripts: ActingScripts, actor: Actor | None = None) -> None:
        self.agent = agent
        self.tenant = tenant
        self.scripts = scripts
        self.actor = actor or ScriptActor(scripts.folder, environment={}, timeout_seconds=2)
        self.allowance = Allowance(open_at_most=1000, a_day_at_most=1000)
        self.ahead_ms = 0
        self.ahead_seconds = 0.0
        self.stopping = threading.Event()
        self.start()

    def start(self) -> None:
        agent = self.agent
        self.stopping = threading.Event()
        self.accounts = Accounts(
            self.actor, agent.spool, agent.client.call, agent.identity, cluster=agent.cluster, allowance=self.allowance,
            stopping=self.stopping, login_address=lambda: "login.site.example",
            clock=lambda: now() + self.ahead_ms, monotonic=lambda: time.monotonic() + self.ahead_seconds,
            random_bytes=secrets.token_bytes, stored=agent.gateway.wake, published=agent.memory.take_tenants,
        )  # fmt: skip
        self.listener = Listener(
            agent.client, agent.spool, agent.memory, member=agent.cluster, cluster=agent.cluster, stopping=self.stopping, clock=now,
            missed=self.accounts.reconcile_soon,
        )  # fmt: skip
        pace = Pace(interval_seconds=0.01, stretch=0, first_pause_seconds=0.1, longest_pause_seconds=0.3, breaks_after=1_000_000)
        self._worker = Worker(
            "listener", self.listener.run, pace=pace, stopping=self.stopping, clock=time.monotonic, jitter=random.random,
            give_up=lambda *_: None,
        )  # fmt: skip
        agent.start()
        self._worker.start()

    def stop(self) -> None:
        self.stopping.set()
        self.listener.close()
        self._worker.wake()
        assert self._worker.join(10)
        self.agent.stop()

    def restart(self) -> None:
        self.stop()
        self.agent.open()
        self.start()

    def until(self, condition: Callable[[], bool], *, seconds: float = 15) -> None:
        """Makes steps until it is so."""

        def step() -> bool:
            self.accounts.run()
            return condition()

        self.agent.until(step, seconds=seconds)

    def tenancy(self, rental: str) -> Tenancy:
        found = self.agent.spool.tenants.get(rental)
        assert found is not None
        return found

    def knows(self, rental: str) -> bool:
        return self.agent.spool.tenants.get(rental) is not None

    def on_ledger(self, rental: str) -> Rental:
        return self.tenant.rental(rental)

    def made(self) -> Rental:
        """A rental whose account is ready, with its passcode at the relay."""
        rental = self.tenant.rent()
        self.until(lambda: self.knows(rental.rental) and self.tenancy(rental.rental).reported)
        assert self.on_ledger(rental.rental).state is RentalState.READY
        return rental


@pytest.fixture
def new_site(ledger: LedgerSimulator, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Sites of fresh providers, each with a tenant of its own who finds nothing else."""
    sites: list[Site] = []

    def make(actor: Actor | None = None, mode: PublishMode = PublishMode.TENANTS) -> Site:
        name = f"site{next(_numbers)}"
        for other in sites:
            ledger.submit(other.agent.cluster, dataclasses.replace(priced(other.agent.cluster), rates=None)).check_accepted()
        ledger.provider(name, cluster=name)
        identity = ledger.enrol(Role.PROVIDER, name, "frontend")
        key = identity.load_or_create_sealing_key().public_key().public_bytes_raw()
        ledger.submit(name, priced(name, sealing_key=key)).check_accepted()
        ledger.submit(name, sample(name)).check_accepted()
        ledger.user(f"{name}-user")
        ledger.submit("admin", Credit(member=f"{name}-user", amount=1 << 40, reference=name)).check_accepted()
        agent = Agent(ledger, identity, tmp_path / name, name)
        agent.mode = mode
        agent.spool.close()
        agent.client.close()
        agent.open()
        site = Site(agent, tenant_of(ledger, f"{name}-user", provider=name), ActingScripts(tmp_path / f"{name}-scripts"), actor)
        site.accounts.run()
        assert agent.spool.knows_all_rentals
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.stop()
        ledger.submit(site.agent.cluster, dataclasses.replace(priced(site.agent.cluster), rates=None)).check_accepted()


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    return new_site()


def test_the_whole_life_of_an_account(site: Site) -> None:
    rental = site.tenant.rent()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    passcode = site.tenant.passcode(rental.rental)
    assert passcode is not None
    assert site.scripts.takes(rental.username, passcode)
    assert not site.scripts.takes(rental.username, passcode[:-1] + ("a" if passcode[-1] != "a" else "b"))

    site.tenant.renew(rental.rental)
    site.until(lambda: site.scripts.called("account_renew", rental.rental) == 1)
    site.until(lambda: site.tenancy(rental.rental).relayed_at is not None and next_step(site.tenancy(rental.rental)) is None)
    another = site.tenant.passcode(rental.rental)
    assert another is not None
    assert another != passcode
    assert site.scripts.takes(rental.username, another)
    assert not site.scripts.takes(rental.username, passcode)

    site.tenant.cancel(rental.rental)
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)
    assert not site.scripts.is_open(rental.username)
    assert [call.split()[0] for call in site.scripts.calls] == ["account_create", "account_renew", "account_close"]


def test_without_a_key_the_account_is_made_and_the_user_told_why_there_is_no_passcode(site: Site) -> None:
    rental = site.tenant.rent(sealed=False)
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    assert "no passcode" in site.on_ledger(rental.rental).account_text
    assert site.scripts.is_open(rental.username)
    assert site.tenant.passcode(rental.rental) is None
    site.tenant.renew(rental.rental)
    site.until(lambda: site.tenant.passcode(rental.rental) is not None)


def test_a_script_that_asks_for_later_is_asked_again_with_longer_pauses(site: Site) -> None:
    site.scripts.how("account_create", "later")
    rental = site.tenant.rent()
    site.until(lambda: site.scripts.called("account_create", rental.rental) == 1)
    site.accounts.run()
    assert site.scripts.called("account_create", rental.rental) == 1, "not before its time"
    assert site.tenancy(rental.rental).reason == "the directory is locked"
    pauses = []
    for _ in range(9):
        waiting = site.tenancy(rental.rental)
        pauses.append(waiting.next_at - now() - site.ahead_ms)
        site.ahead_ms = waiting.next_at - now() + 1
        site.accounts.run()
    # what of a pause is left when it is looked at, which is never more than the whole of it
    whole = [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]
    assert all(pause // 2 < left <= pause for left, pause in zip(pauses, whole, strict=True))
    site.scripts.how("account_create", "")
    site.accounts.hurry()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    assert site.tenancy(rental.rental).reason == ""


def test_a_script_that_hangs_is_ended_and_tried_again(site: Site) -> None:
    site.scripts.how("account_create", "hang")
    rental = site.tenant.rent()
    site.until(lambda: site.knows(rental.rental) and site.tenancy(rental.rental).attempts == 1)
    assert site.tenancy(rental.rental).account is Account.PERHAPS
    site.scripts.how("account_create", "")
    site.accounts.hurry()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)


def test_a_script_that_fails_ends_the_rental_with_its_reason(site: Site) -> None:
    site.scripts.how("account_create", "fail")
    rental = site.tenant.rent()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.ENDED)
    ended = site.on_ledger(rental.rental)
    assert (ended.end, ended.account_text) == (RentalEnd.FAILED_BY_SITE, "no room for accounts")
    site.until(lambda: not site.tenancy(rental.rental).is_open)
    site.accounts.hurry()
    site.accounts.run()
    assert [call.split()[0] for call in site.scripts.calls] == ["account_create"], "nothing was made, so nothing is closed"


def test_what_may_be_there_after_a_failure_is_closed(site: Site) -> None:
    site.scripts.how("account_create", "hang")
    rental = site.tenant.rent()
    site.until(lambda: site.knows(rental.rental) and site.tenancy(rental.rental).attempts == 1)
    site.scripts.how("account_create", "fail")
    site.accounts.hurry()
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)
    assert site.scripts.called("account_close", rental.rental) == 1


def test_a_script_that_prints_rubbish_and_succeeds_is_believed(site: Site) -> None:
    site.scripts.how("account_create", "rubbish")
    rental = site.made()
    assert site.scripts.is_open(rental.username)


def test_an_account_that_cannot_be_closed_is_tried_until_it_is(site: Site) -> None:
    rental = site.made()
    site.scripts.how("account_close", "fail")
    site.tenant.cancel(rental.rental)
    site.until(lambda: site.tenancy(rental.rental).failed_at is not None)
    assert site.on_ledger(rental.rental).account is AccountState.READY
    assert next_step(site.tenancy(rental.rental)) is Step.CLOSE
    site.scripts.how("account_close", "")
    site.accounts.hurry()
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)


def test_a_site_that_makes_no_accounts_says_so(new_site: Callable[..., Site]) -> None:
    site = new_site(NoAccounts())
    rental = site.tenant.rent()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.ENDED)
    assert site.on_ledger(rental.rental).account_text == "this site makes no accounts"


def test_a_helper_that_is_not_there_is_waited_for(new_site: Callable[..., Site], tmp_path: Path) -> None:
    site = new_site(HelperActor(tmp_path / "none.sock", timeout_seconds=2))
    rental = site.tenant.rent()
    site.until(lambda: site.knows(rental.rental) and site.tenancy(rental.rental).attempts == 1)
    waits = site.tenancy(rental.rental)
    assert "nobody listens there" in waits.reason
    assert needs_attention(waits, now())
    site.tenant.cancel(rental.rental)
    site.agent.until(lambda: not site.tenancy(rental.rental).is_open)
    assert site.on_ledger(rental.rental).end is RentalEnd.CANCELLED


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_repeated_event_changes_nothing(site: Site, repeats: int) -> None:
    rental = site.made()
    before = site.tenancy(rental.rental)
    for _ in range(repeats):
        site.stop()
        site.agent.open()
        site.agent.spool.delete_meta("events")
        site.start()
        site.until(lambda: site.agent.spool.meta("events") is not None)
    assert site.tenancy(rental.rental) == before
    assert len(site.scripts.calls) == 1


def test_a_rental_that_ended_while_its_account_was_made_is_closed(site: Site) -> None:
    site.scripts.how("account_create", "linger")
    rental = site.tenant.rent()
    site.agent.until(lambda: site.knows(rental.rental))
    worker = threading.Thread(target=lambda: site.until(lambda: site.scripts.called("account_create", rental.rental) == 1))
    worker.start()
    site.agent.until(lambda: site.scripts.account(rental.username) is not None)
    site.tenant.cancel(rental.rental)
    site.agent.until(lambda: not site.tenancy(rental.rental).is_open)
    site.scripts.how("account_create", "")
    worker.join(10)
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)
    assert not site.scripts.is_open(rental.username)


def test_an_answer_to_ready_that_comes_too_late_closes_the_account(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is faster: the agent has not heard of the end when it reports READY, and hears of it by the refusal alone."""
    monkeypatch.setattr(Listener, "_take", lambda _, event, number: max(number, event.audience_number))
    granted = site.tenant.rent()
    still_open = dataclasses.replace(granted, state=RentalState.GRANTED, end=None)
    monkeypatch.setattr(accounts_module, "current_rental", lambda *_: still_open)
    site.agent.spool.hear_rentals((granted,), at=now())
    site.tenant.cancel(granted.rental)
    site.until(lambda: site.scripts.called("account_close", granted.rental) == 1)
    site.until(lambda: site.tenant.rental(granted.rental).account is AccountState.CLOSED)
    assert site.agent.spool.chain.refused(5)[0][2] == "ILLEGAL_TRANSITION"


def test_while_the_ledger_is_away_accounts_are_closed_and_reports_wait(
    ledger: LedgerSimulator, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.made(), site.tenant.rent()
    site.agent.until(lambda: site.knows(second.rental))
    site.tenant.cancel(first.rental)
    site.agent.until(lambda: not site.tenancy(first.rental).is_open)

    def away(*_: object) -> None:
        raise LedgerUnavailable("the ledger is away")

    with monkeypatch.context() as patch:
        patch.setattr(site.accounts, "_call", away)
        site.accounts.run()
        assert not site.scripts.is_open(first.username)
        assert site.tenancy(second.rental).reason == "the ledger: the ledger is away"
        assert site.scripts.account(second.username) is None
    site.accounts.hurry()
    site.until(lambda: site.on_ledger(second.rental).state is RentalState.READY)
    site.until(lambda: site.tenant.passcode(second.rental) is not None)


def test_a_lost_spool_makes_what_is_missing_and_closes_what_has_ended(site: Site) -> None:
    stays, ends = site.made(), site.made()
    passcode = site.tenant.passcode(stays.rental)
    assert passcode is not None
    site.stop()
    site.agent.path.unlink()
    site.tenant.cancel(ends.rental)
    waits = site.tenant.rent()
    site.agent.open()
    site.start()
    site.until(lambda: site.on_ledger(waits.rental).state is RentalState.READY)
    site.until(lambda: site.on_ledger(ends.rental).account is AccountState.CLOSED)
    site.until(lambda: not site.tenancy(stays.rental).adopted)
    assert site.scripts.takes(stays.username, passcode), "nobody took the passcode away"
    assert site.scripts.called("account_create", stays.rental) == 1
    assert not site.scripts.is_open(ends.username)


def test_a_lost_frontend_makes_accounts_again(site: Site) -> None:
    rental = site.made()
    site.stop()
    site.agent.path.unlink()
    (site.scripts.root / "accounts" / rental.username).unlink()
    site.agent.open()
    site.start()
    site.until(lambda: site.scripts.is_open(rental.username))
    site.until(lambda: site.tenancy(rental.rental).relayed_at is not None)
    passcode = site.tenant.passcode(rental.rental)
    assert passcode is not None
    assert site.scripts.takes(rental.username, passcode)


def test_a_restored_spool_sets_no_passcode_behind_the_users_back(site: Site) -> None:
    rental = site.tenant.rent()
    site.agent.until(lambda: site.knows(rental.rental))
    site.accounts._reconcile(everything=True)
    site.agent.drain()
    site.stop()
    backup = site.agent.directory / "backup.db"
    shutil.copy(site.agent.path, backup)
    site.agent.open()
    site.start()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    site.until(lambda: site.tenancy(rental.rental).reported)
    passcode = site.tenant.passcode(rental.rental)
    assert passcode is not None
    site.stop()
    for path in site.agent.directory.glob("spool.db*"):
        path.unlink()
    shutil.copy(backup, site.agent.path)
    site.agent.open()
    assert site.tenancy(rental.rental).account is Account.NONE
    site.start()

    def is_known_again() -> bool:
        site.accounts.hurry()
        return site.tenancy(rental.rental).account is Account.THERE and not site.tenancy(rental.rental).adopted

    site.until(is_known_again)
    assert site.scripts.called("account_create", rental.rental) == 1
    assert site.scripts.takes(rental.username, passcode)


def test_a_granted_rental_whose_event_never_came_is_found_by_asking(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "_take", lambda _, event, number: max(number, event.audience_number))
    site.accounts.run()
    rental = site.tenant.rent()
    site.accounts.run()
    assert not site.knows(rental.rental)
    site.ahead_seconds += accounts_module.RECONCILE_SECONDS + 1
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    site.tenant.cancel(rental.rental)
    site.ahead_seconds += accounts_module.RECONCILE_SECONDS + 1
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)


def test_no_more_accounts_are_made_than_the_site_allows(site: Site) -> None:
    """However many rentals there are, by the ledger's word; the others wait, and somebody is told."""
    site.allowance = Allowance(open_at_most=1, a_day_at_most=3)
    site.restart()
    first, second = site.made(), site.tenant.rent()
    site.until(lambda: site.knows(second.rental) and site.tenancy(second.rental).attempts == 1)
    assert site.tenancy(second.rental).reason == "accounts_open_at_most = 1 is reached; it waits until another account is closed"
    assert needs_attention(site.tenancy(second.rental), now())
    assert site.scripts.account(second.username) is None
    site.tenant.cancel(first.rental)
    site.until(lambda: not site.scripts.is_open(first.username))
    site.accounts.hurry()
    site.until(lambda: site.on_ledger(second.rental).state is RentalState.READY)


def test_who_rents_and_cancels_in_a_loop_uses_up_a_day_and_no_more(site: Site) -> None:
    """Numbers of closed accounts are never given again: without an end to it a loop would use up all there are."""
    site.allowance = Allowance(open_at_most=100, a_day_at_most=2)
    site.restart()
    for _ in range(2):
        site.tenant.cancel(site.made().rental)
    site.until(lambda: sum(call.startswith("account_close") for call in site.scripts.calls) == 2)
    waits = site.tenant.rent()
    site.until(lambda: site.knows(waits.rental) and site.tenancy(waits.rental).attempts == 1)
    assert "accounts_a_day_at_most" in site.tenancy(waits.rental).reason
    site.ahead_ms = 86_400_001
    site.until(lambda: site.scripts.is_open(waits.username))


def test_rentals_that_a_ledger_lists_after_the_spool_was_lost_count_too(site: Site) -> None:
    site.allowance = Allowance(open_at_most=2, a_day_at_most=100)
    rentals = [site.tenant.rent() for _ in range(4)]
    site.stop()
    site.agent.path.unlink()
    site.agent.open()
    site.start()
    site.until(lambda: sum(site.knows(each.rental) for each in rentals) == 4)
    site.until(lambda: sum(site.tenancy(each.rental).attempts > 0 for each in rentals) == 2)
    assert sum(site.scripts.is_open(each.username) for each in rentals) == 2


def test_accounts_are_closed_before_others_are_made(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rentals, real or invented, do not keep an account open whose rental has ended meanwhile."""
    ends = site.made()
    waiting = [site.tenant.rent() for _ in range(3)]
    site.agent.until(lambda: all(site.knows(each.rental) for each in waiting))
    act = site.actor.act

    def cancelled_meanwhile(order: AccountOrder) -> ActionResult:
        if order.rental == waiting[0].rental:
            site.tenant.cancel(ends.rental)
            site.agent.until(lambda: not site.tenancy(ends.rental).is_open)
        return act(order)

    monkeypatch.setattr(site.actor, "act", cancelled_meanwhile)
    site.until(lambda: len(site.scripts.calls) == 5)
    assert [call.split()[0] for call in site.scripts.calls] == ["account_create"] * 2 + ["account_close"] + ["account_create"] * 2


def test_where_to_log_in_is_signed_with_the_passcode(site: Site) -> None:
    rental = site.made()
    opened = site.tenant.opened(rental.rental)
    assert opened is not None
    assert opened.login_address == "login.site.example"


LIES: dict[str, dict[str, object]] = {
    "root": {"username": "root"},
    "a short name": {"username": "adm1n"},
    "a path": {"username": "../../etc/x"},
    "a name with an option": {"username": "-rf123456"},
    "another cluster": {"cluster": "elsewhere"},
    "never ends": {"latest_at": 1 << 60},
    "ended before it began": {"latest_at": 1},
    "no cores": {"cores": 0},
    "an odd queue": {"queue": "batch\n--uid 0"},
    "more cores than a number holds": {"cores": 1 << 63, "gpus": (1 << 64) - 1},
    "a name of megabytes": {"username": "x" * (2 << 20), "queue": "q" * (2 << 20)},
}


def test_a_lying_ledger_has_no_account_made(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "_take", lambda _, event, number: max(number, event.audience_number))
    for what, lie in LIES.items():
        rental = site.tenant.rent()
        lied = dataclasses.replace(rental, **lie)  # type: ignore[arg-type]
        monkeypatch.setattr(accounts_module, "current_rental", lambda *_, lied=lied: lied)
        monkeypatch.setattr(accounts_module, "list_rentals", lambda *_, lied=lied, **__: (lied,))
        site.agent.spool.hear_rentals((lied,), at=now())
        site.accounts.run()
        site.accounts.hurry()
        site.accounts.run()
        assert site.scripts.calls == [], what
        assert site.agent.spool.tenants.published() == frozenset(), what
        if "cluster" in lie:
            assert not site.knows(rental.rental)
            continue
        assert site.tenancy(rental.rental).problem, what
        site.agent.until(lambda name=rental.rental: site.tenant.rental(name).end is RentalEnd.FAILED_BY_SITE)  # type: ignore[misc]


NONSENSE = {"no name at all": "", "a path": "../l1", "megabytes": "l" + "1" * (2 << 20)}


@pytest.mark.parametrize("name", NONSENSE.values(), ids=NONSENSE)
def test_of_what_has_not_the_name_of_a_rental_nothing_is_kept(site: Site, name: str) -> None:
    lied = dataclasses.replace(site.tenant.rent(), rental=name)
    site.agent.spool.hear_rentals((lied,), at=now())
    assert not site.knows(name)


def test_a_ledger_that_names_rentals_without_end_does_not_fill_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MOST_TENANCIES", 5)
    rental = site.made()
    invented = [dataclasses.replace(rental, rental=f"l{number}", username=f"bcdfgh{number}") for number in range(1000, 1050)]
    site.agent.spool.hear_rentals(invented, at=now())
    assert site.agent.spool.tenants.count() == 5
    site.tenant.cancel(rental.rental)
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)


@pytest.mark.parametrize("where", ["current_rental", "list_rentals"])
def test_an_answer_that_cannot_be_read_neither_ends_the_process_nor_keeps_accounts_open(
    site: Site, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A newer ledger, or a malicious one: BadData ends a worker for good, and with it the daemon."""
    ends, waits = site.made(), site.tenant.rent()
    site.agent.until(lambda: site.knows(waits.rental))
    site.tenant.cancel(ends.rental)
    site.agent.until(lambda: not site.tenancy(ends.rental).is_open)

    def unreadable(*_: object, **__: object) -> None:
        raise BadData("the ledger sent a record that cannot be read")

    monkeypatch.setattr(accounts_module, where, unreadable)
    site.accounts.hurry()
    site.accounts.run()
    assert not site.scripts.is_open(ends.username)
    assert site.scripts.is_open(waits.username) is (where == "list_rentals")


def test_an_event_that_cannot_be_read_does_not_hide_the_ones_behind_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rental = site.made()

    def cannot(kind: type[Rental], message: Message) -> Rental:
        found = from_message(kind, message)
        if found.rental != rental.rental:
            raise ValueError("state 77 is not known")
        return found

    monkeypatch.setattr(listener_module, "from_message", cannot)
    site.tenant.rent()
    site.tenant.cancel(rental.rental)
    site.agent.until(lambda: not site.tenancy(rental.rental).is_open)


def test_control_the_same_rental_without_a_lie_has_its_account_made(site: Site) -> None:
    rental = site.tenant.rent()
    site.agent.spool.hear_rentals((rental,), at=now())
    site.until(lambda: site.scripts.is_open(rental.username))


def test_a_lying_ledger_closes_and_publishes_nothing_that_was_not_made_here(site: Site) -> None:
    """`stephanie` is an employee whose name happens to look like a generated one."""
    account = site.scripts.root / "accounts" / "stephanie"
    account.write_text('{"rental": "none", "passcode": "", "open": true}')
    site.accounts.run()
    rental = site.tenant.rent()
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    calls = site.scripts.calls
    words = dataclasses.replace(rental, rental="l999999", username="stephanie")
    for lie in (
        dataclasses.replace(words, state=RentalState.READY, account=AccountState.READY),
        dataclasses.replace(words, rental="l999998", state=RentalState.ENDED, account=AccountState.READY, ended_at=now()),
        dataclasses.replace(words, rental=rental.rental, state=RentalState.ENDED),
        dataclasses.replace(words, rental="l999997", username=rental.username, state=RentalState.ENDED, ended_at=now()),
    ):
        site.agent.spool.hear_rentals((lie,), at=now())
    site.accounts.run()
    assert site.scripts.calls == calls
    assert site.scripts.is_open("stephanie")
    assert "stephanie" not in site.agent.spool.tenants.published()
    assert site.tenancy(rental.rental).problem == "the ledger gives it another username than before"


def test_one_lie_does_not_keep_an_account_open_or_its_jobs_untold(site: Site) -> None:
    """Once a ledger said something impossible of a rental, nothing more is done for it; but what was made is closed and paid for."""
    rental = site.made()
    site.agent.spool.hear_rentals((dataclasses.replace(rental, username="stephanie"),), at=now())
    assert site.tenancy(rental.rental).problem
    assert rental.username in site.agent.spool.tenants.published()
    site.tenant.renew(rental.rental)
    site.tenant.cancel(rental.rental)
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)
    assert not site.scripts.is_open(rental.username)
    assert site.scripts.called("account_renew", rental.rental) == 0


def test_even_after_a_loss_of_the_spool_only_the_scripts_word_makes_an_account_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stephanie", "ferdinand"):
        (site.scripts.root / "accounts" / name).write_text('{"rental": "none", "passcode": "", "open": true}')
    rental = site.made()
    lie = dataclasses.replace(rental, rental="l999999", username="stephanie", state=RentalState.READY, account=AccountState.READY)
    ended = dataclasses.replace(lie, rental="l999998", username="ferdinand", state=RentalState.ENDED, ended_at=now())
    site.agent.spool.delete_meta(RENTALS_LISTED)
    site.agent.spool.hear_rentals((lie, ended), listed=True, at=now())
    assert site.tenancy("l999999").adopted
    monkeypatch.setattr(accounts_module, "current_rental", lambda *_: lie)
    site.accounts.run()
    tried = {call for call in site.scripts.calls if "l99999" in call}
    assert tried == {
        "account_renew l999999 stephanie without",
        "account_create l999999 stephanie with",
        "account_close l999998 ferdinand without",
    }, "each was asked of the scripts, which know their own"
    assert site.agent.spool.tenants.published() == {rental.username}
    assert site.scripts.is_open("stephanie")
    assert site.scripts.is_open("ferdinand")


def test_jobs_of_a_tenant_are_told_unasked_and_those_of_others_are_not(site: Site) -> None:
    site.agent.see([site.agent.job("1", owner="alice")])
    rental = site.tenant.rent()
    job = site.agent.job("2", JobState.QUEUED, owner=rental.username)
    site.agent.see([site.agent.job("1", owner="alice"), job])
    assert site.agent.memory.incarnations() == {}, "nobody made this account yet"
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    site.agent.see([site.agent.job("1", owner="alice"), job])
    site.agent.drain()
    assert set(site.agent.on_ledger()) == {("2", 1)}
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.USED)


def test_a_job_that_vanished_before_its_owner_was_known_is_told_with_its_end(site: Site) -> None:
    rental = site.tenant.rent()
    site.agent.see([site.agent.job("2", owner=rental.username)])
    site.agent.see([])
    site.until(lambda: site.on_ledger(rental.rental).state is RentalState.READY)
    ended = site.agent.job("2", JobState.DONE, owner=rental.username, started_at=AT, ended_at=AT + 5000)
    site.agent.memory.settle_jobs(site.agent.memory.due(now()), [ended], at=now())
    site.agent.drain()
    assert site.agent.on_ledger()["2", 1].state is JobState.DONE


def test_a_tenant_that_left_is_published_until_corrections_are_over_also_after_a_restart(site: Site) -> None:
    rental = site.made()
    site.tenant.cancel(rental.rental)
    site.until(lambda: site.on_ledger(rental.rental).account is AccountState.CLOSED)
    site.until(lambda: site.tenancy(rental.rental).reported)
    site.restart()
    assert site.agent.spool.tenants.published() == {rental.username}
    site.agent.see([site.agent.job("7", owner=rental.username)])
    assert site.agent.memory.incarnations() == {"7": 1}
    site.agent.spool.trim(at=now() + 59 * 86_400_000)
    assert site.agent.spool.tenants.published() == {rental.username}
    site.agent.spool.trim(at=now() + 63 * 86_400_000)
    assert site.agent.spool.tenants.published() == frozenset()


def test_under_pseudonyms_a_tenant_keeps_the_username_that_the_ledger_gave(new_site: Callable[..., Site]) -> None:
    site = new_site(mode=PublishMode.PSEUDONYMS)
    rental = site.made()
    site.agent.see([site.agent.job("1", owner="alice"), site.agent.job("2", owner=rental.username)])
    site.agent.drain()
    jobs = site.agent.on_ledger()
    assert jobs["2", 1].owner == rental.username
    assert (jobs["1", 1].owner or "").startswith("p-")
    assert site.on_ledger(rental.rental).state is RentalState.USED


def test_the_sealed_passcode_goes_to_the_address_that_the_user_left(ledger: LedgerSimulator, site: Site) -> None:
    rental = site.made()
    binding = Binding(origin="ledger.test", rental=rental.rental, cluster=rental.cluster, username=rental.username)
    box = seal_contact("ulla@mail.example", binding, sealing_key=rental.provider_sealing_key)
    call = ledger.client(f"{site.agent.cluster}-user").call
    leave_sealed(call, rental.rental, SealedKind.CONTACT, box=box)
    mail = site.scripts.root / "mail"
    site.ahead_seconds += 31
    site.until(mail.exists)
    assert mail.read_text().startswith("ulla@mail.example\n")
    assert passcode_from_text(mail.read_text()) != b""
    passcode = site.tenant.passcode(rental.rental)
    assert passcode is not None
    assert passcode not in mail.read_text()
    site.ahead_seconds += 31
    site.accounts.run()
    assert site.scripts.called("passcode_deliver", rental.rental) == 1
    assert site.tenancy(rental.rental).sealed == b""


@pytest.mark.parametrize("mode", ["", "blab", "later", "rubbish"])
def test_no_clear_passcode_is_in_any_file_or_word(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    made: list[str] = []
    honest = make_passcode

    def noting(random_bytes: Callable[[int], bytes]) -> str:
        made.append(honest(random_bytes))
        return made[-1]

    monkeypatch.setattr(accounts_module, "make_passcode", noting)
    caplog.set_level("DEBUG")
    site.scripts.how("account_create", mode)
    rental = site.tenant.rent()
    site.until(lambda: len(made) == 1 and (site.tenancy(rental.rental).report is not None or site.tenancy(rental.rental).attempts > 0))
    site.agent.drain()
    secrets_made = [part.encode() for passcode in made for part in passcode.split("-")]
    files = [path for folder in (site.agent.directory, site.scripts.root) for path in folder.rglob("*") if path.is_file()]
    haystack = b"".join(path.read_bytes() for path in files) + caplog.text.encode() + repr(site.tenancy(rental.rental)).encode()
    haystack += site.on_ledger(rental.rental).account_text.encode()
    assert not [part for part in secrets_made if part in haystack]
    assert rental.username.encode() in haystack, "control: the search finds what is there"
