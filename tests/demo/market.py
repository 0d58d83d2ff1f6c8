# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The second half of the demo: a second cluster far away, and a user from the offers to the statement, the income, the auditor's sums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from tests.bridge import Bridge, wait_until
from tests.demo.shown import answer, command_line, typed
from tests.demo.story import PHASE_COLOURS, console, title
from tests.market_world import (
    BANGKOK,
    CHIANG_MAI,
    HAMBURG,
    Follower,
    GridEngineSite,
    People,
    Site,
    SlurmSite,
    frontend,
    job_id_of,
    rates_of,
)
from tests.private_gridengine import GridEngineMissing

GRACE = "rental_grace_ms=3000"
_FIVE_MINUTES = 300
_SCHEDULERS = {"slurm": "Slurm", "gridengine": "Grid Engine"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    """A rental with its site, and the passcode its user has."""

    name: str
    username: str
    cluster: str
    site: Site
    passcode: str = ""

    def submit(self, command: str, *more: str) -> str:
        """What a user types on the frontend; returns the job id, as the scheduler answers."""
        options = " ".join((*self.site.two_cores, *more))
        how = f"--wrap '{command}'" if isinstance(self.site, SlurmSite) else f"-b y /bin/sh -c '{command}'"
        command_line(f"{self.username}@login.{self.cluster}", f"{self.site.submit_command} {options} {how}")
        said = self.site.submit(self.username, self.passcode, command, *self.site.two_cores, *more)
        answer(said)
        return job_id_of(said)


def play_market(stack: ExitStack, directory: Path, first: Site, network: Bridge) -> bool:
    """The market on top of a network with one cluster, `north`; True if everything came as it should."""
    title("THE MARKET. A second cluster joins, on another continent")
    second = _second_site(stack, directory, first)
    near, far = (first, second) if isinstance(first, SlurmSite) else (second, first)
    if not isinstance(near, SlurmSite):
        raise TypeError(f"{near.scheduler}: one of the two is a Slurm, whose nodes can be broken")
    place = HAMBURG if second is far else CHIANG_MAI
    south = stack.enter_context(frontend(directory / "south", second, cluster="south", location=place, network=network))
    south.set_up()
    for site in (near, far):
        where = "in Chiang Mai" if site is near else "in Hamburg"
        answer(f"{'north' if site is first else 'south'}: {_SCHEDULERS[site.scheduler]} {where}, 36 for a core and hour")
    market = Market(directory, {"north": network, "south": south}, {"north": first, "south": second})
    market.enrol()
    mine, abroad = market.rent()
    market.look_at_accounts(mine)
    mine, abroad = market.receive(mine), market.receive(abroad)
    followed = market.work(mine, abroad, near)
    title("The rentals were over three seconds after their last job, and the daemons have closed the accounts")
    shut = [market.is_shut(each) for each in (mine, abroad)]
    market.settle(mine)
    return followed and all(shut) and market.audit(mine.name)


def play_market_of_files(directory: Path, network: Bridge, accounts: Path) -> bool:
    """The market with one cluster whose accounts are files: from the offer to the refund, without a job, as the tenant is nobody here."""
    title("THE MARKET, without root: the accounts of tenants are files here")
    market = Market(directory, {"north": network}, {})
    market.enrol()
    title("ulla asks for a core, and rents")
    found = market.ask("--cores", "1", "--walltime", "90s", offers=1)
    rental = market.take(found["offers"][0], found["offers"][0]["queues"][0]["label"], "--extra-limit", "1")
    name, username = str(rental["rental"]), str(rental["username"])
    title("The daemon makes the account; the passcode comes sealed, and ulla alone can open it, once")
    passcode = market.read_passcode(name)
    account = dict(line.split("=", 1) for line in (accounts / username).read_text().splitlines())
    fits = hashlib.sha256(f"{account['salt']}{passcode}".encode()).hexdigest() == account["hash"]
    answer(f"the account's file keeps {account['hash'][:16]}…, which {'is' if fits else 'IS NOT'} the hash of that passcode")
    title("She gives it back: the account is closed, the deposit is hers again")
    market.give_back(name)
    wait_until(lambda: "closed" in (accounts / username).read_text(), what="the account to be closed")
    answer(f"the account's file says: {(accounts / username).read_text().splitlines()[0]}")
    market.show_statement(name)
    return fits and market.audit(name)


class Market:
    """The people, and the providers."""

    def __init__(self, directory: Path, providers: Mapping[str, Bridge], sites: Mapping[str, Site]) -> None:
        self._directory = directory
        self._providers = providers
        self._sites = sites
        self._network = providers["north"]
        self._people = People(directory / "people", self._network)

    def enrol(self) -> None:
        """A user, an auditor, money."""
        title("ulla enrols with a token of alice, the admin, who credits her account")
        self._people.enrol("audrey", "user", "--attribute", "auditor=true")
        token = self._alice("admin", "token", "--role", "user", "--name", "ulla", hide="hpcb1.… (for ulla alone, and once)")
        self._types("ulla", "enrol", given=token)
        self._alice("admin", "credit", "ulla", "50", "--reference", "invoice 1")
        self._alice("admin", "parameters", "set", GRACE)

    def rent(self) -> list[Rented]:
        """Offers, a reason, two rentals: the cheaper cluster first."""
        title("ulla is in Bangkok and asks for cores. Clusters have no names yet; the farther one is dearer")
        wanted = ("--cores", "2", "--walltime", "90s", "--location", BANGKOK)
        found = self.ask(*wanted, offers=2)
        title("With a GPU of type a100 there is one offer only. Why?")
        gpus = self._people.asks("ulla", "offers", *wanted, "--gpus", "1", "--gpu-type", "a100")["request"]["request"]
        self._types("ulla", "why", gpus)
        title("She rents at both: the deposit is held; provider, login and a username are named")
        rates = rates_of(found["offers"])
        rented: list[Rented] = []
        for offer in sorted(found["offers"], key=lambda offer: rates[offer["offer"]]):
            label = next(queue["label"] for queue in offer["queues"] if queue["max_walltime_seconds"] == _FIVE_MINUTES)
            rental = self.take(offer, label, hide="(the same for the other one)" if rented else "")
            cluster = rental["cluster"]
            rented.append(Rented(name=rental["rental"], username=rental["username"], cluster=cluster, site=self._sites[cluster]))
        return rented

    def ask(self, *wanted: str, offers: int) -> dict[str, Any]:
        """An answer with so many offers, as soon as the clusters are heard of."""
        wait_until(lambda: len(self._people.asks("ulla", "offers", *wanted)["offers"]) == offers, what="clusters to be heard of")
        found: dict[str, Any] = self._people.asks("ulla", "offers", *wanted)
        self._types("ulla", "offers", "--request", found["request"]["request"], instead=f"hpcbridgectl offers {' '.join(wanted)}")
        return found

    def take(self, offer: Mapping[str, Any], label: str, *more: str, hide: str = "") -> dict[str, Any]:
        """Rents a queue of an offer."""
        self._types("ulla", "rent", offer["offer"], "--queue", label, *more, hide=hide)
        return next(each for each in self._rentals() if each["offer"] == offer["offer"])

    def look_at_accounts(self, rented: Rented) -> None:
        """What the provider sees."""
        self._wait_ready(rented.name)
        title("The daemons make the accounts (useradd, chpasswd). A provider knows of its user a username, no more")
        self._provider(rented.cluster, "rentals", "list")
        title("The passcodes came sealed to keys of ulla's; she opens them, once")

    def receive(self, rented: Rented) -> Rented:
        """The user reads the passcode."""
        return replace(rented, passcode=self.read_passcode(rented.name))

    def read_passcode(self, rental: str) -> str:
        """Once."""
        self._wait_ready(rental)
        said = self._types("ulla", "passcode", rental)
        found = re.search(r"passcode +(\S+)", said)
        if found is None:
            raise RuntimeError(f"no passcode in {said}")
        return found[1]

    def give_back(self, rental: str) -> None:
        """Before the first job."""
        self._types("ulla", "rentals", "cancel", rental)

    def work(self, mine: Rented, abroad: Rented, slurm: SlurmSite) -> bool:
        """Jobs by the user itself, one good, one whose node breaks down, one that fails; and all she hears while the ledger is killed."""
        title("With them she logs in and works as on any cluster")
        bad = mine.submit("sleep 600")
        slurm.wait_running(bad)
        good, failing = mine.submit("sleep 5", "--begin=now+3"), abroad.submit("sleep 3; exit 3")
        jobs = {f"{mine.cluster}/{bad}#1", f"{mine.cluster}/{good}#1", f"{abroad.cluster}/{failing}#1"}
        title("She hears what happens, while the ledger is killed and a node of hers breaks down")
        command_line("ulla", "hpcbridgectl events --follow")
        phases: dict[str, str] = {}
        ended: set[str] = set()
        killed = broken = False
        with Follower(self._people.identity("ulla")) as events:
            for event in events.live(seconds=120):
                if event["type"] == "JOB_CHANGED" and event["subject"] in jobs:
                    phases[event["subject"]] = event["body"]["phase"]
                    _print_job(event)
                elif event["type"] == "RENTAL_ENDED":
                    ended.add(event["subject"])
                    answer(f"{event['at'][11:19]}  rental {event['subject']} ended: {event['body']['end']}")
                if not killed and set(phases) == jobs and "QUEUE" not in phases.values():
                    killed = True
                    self._kill_ledger()
                if killed and not broken and phases[f"{mine.cluster}/{good}#1"] == "END":
                    broken = True
                    answer(f"          (the power of node {slurm.fail_node_of(bad)} fails)")
                if ended == {mine.name, abroad.name}:
                    break
        return len(ended) == 2 and list(phases.values()) == ["END"] * 3

    def _wait_ready(self, rental: str) -> None:
        with Follower(self._people.identity("ulla")) as events:
            events.wait_for("RENTAL_READY", rental)

    def is_shut(self, rented: Rented) -> bool:
        """The daemon has closed the account."""
        try:
            wait_until(lambda: not rented.site.accounts.lets_in(rented.username, rented.passcode), what="a refusal", seconds=60)
        except TimeoutError:
            answer(f"{rented.username}@login.{rented.cluster} is still let in")
            return False
        answer(f"{rented.username}@login.{rented.cluster}: the passcode is refused")
        return True

    def settle(self, near: Rented) -> None:
        """Statement and income."""
        title("ulla's statement: what was measured is paid, the site bears its broken node, the rest is back")
        self.show_statement(near.name)
        title("The income of the providers")
        for name in self._providers:
            self._provider(name, "balance")

    def show_statement(self, rental: str) -> None:
        """What the user sees of its money."""
        self._types("ulla", "rentals", "show", rental)
        self._types("ulla", "balance")

    def audit(self, rental: str) -> bool:
        """From the export alone."""
        title("audrey, the auditor, takes a copy of the log, proves it, and counts all money again, off line")
        try:
            self._types("audrey", "ledger", "export", "log.export")
            self._types("audrey", "ledger", "verify", "log.export")
            self._types("audrey", "ledger", "money", "log.export")
            self._types("audrey", "ledger", "money", "log.export", "--rental", rental)
            money = self._people.asks("audrey", "ledger", "money", str(self._directory / "log.export"))
        except RuntimeError as error:
            console.print(Text(str(error), "red"))
            return False
        paid = sum(each["rental"]["charged"] for each in money["rentals"])
        income = sum(account["balance"] for account in money["accounts"] if account["member"] in self._providers)
        return bool(paid == income)

    def _kill_ledger(self) -> None:
        ledger = self._network.ledger
        if ledger is not None:
            ledger.kill()
            self._network.start_ledger()
            answer(f"          (kill -9 {ledger.pid}: the ledger is gone in the middle of it, and is started again)")

    def _rentals(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._people.asks("ulla", "rentals", "list")["rentals"]
        return found

    def _types(self, who: str, *arguments: str, given: str | None = None, instead: str = "", hide: str = "") -> str:
        return typed(
            who, str(self._people.identity(who)), *arguments, given=given, instead=instead, hide=hide, folder=self._directory
        )  # fmt: skip

    def _alice(self, *arguments: str, hide: str = "") -> str:
        return typed("alice", str(self._network.admin_identity), *arguments, hide=hide)

    def _provider(self, name: str, *arguments: str) -> str:
        return typed(name, str(self._providers[name].agent_identity), *arguments)


def _second_site(stack: ExitStack, directory: Path, first: Site) -> Site:
    """The other scheduler, if this machine has it; else a Slurm once more."""
    place = directory / "second"
    if isinstance(first, SlurmSite):
        try:
            return stack.enter_context(closing(GridEngineSite(place, cluster="south")))
        except GridEngineMissing as missing:
            answer(f"({missing}: so the second one is a Slurm, too)")
    return stack.enter_context(closing(SlurmSite(place, cluster="south")))


def _print_job(event: dict[str, Any]) -> None:
    job = event["body"]
    before, now = event["previous_phase"] or "·", job["phase"] or "·"
    line = Text(f"  {event['at'][11:19]}  {event['subject']:<12} {before:>5} → ")
    line.append(f"{now:<6}", PHASE_COLOURS.get(now, ""))
    line.append(job["outcome"] or "")
    console.print(line)
