# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""docs/examples/rent_and_follow.py against a real ledger: the whole way, refusals, and interruptions at its worst moments."""

from __future__ import annotations

import copy
import itertools
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcbridge.client import Client
from hpcbridge.model.entries import EventType
from hpcbridge.service.ledger_service import LedgerService
from tests.client.test_client import new_user
from tests.ctl_network import Network
from tests.played_site import PlayedSite

PROGRAM = Path(__file__).resolve().parents[2] / "docs" / "examples" / "rent_and_follow.py"


@pytest.fixture
def own_site(network: Network, site: PlayedSite) -> Iterator[PlayedSite]:
    """`site` with a connection that one test may close, where the account outlives the job by long enough to be looked at."""
    with Client(network.identity("root")) as admin:
        admin.set_parameters({"rental_grace_ms": 2500})
    own = copy.copy(site)
    own.client = Client(network.identity("north"))
    yield own
    own.client.close()


def command(user: Client, network: Network, *more: str) -> list[str]:
    identity = network.identity(user.submitter.member)
    options = ["--identity", str(identity), "--progress", str(identity / "progress.json"), "--cores", "16", "--hours", "2"]
    return [sys.executable, str(PROGRAM), *options, "--budget", "40", *more]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def test_the_whole_way(network: Network, own_site: PlayedSite) -> None:
    with new_user(network) as user, own_site.at_work():
        ran = run(command(user, network, "--program", "gromacs"))
        assert ran.returncode == 0, ran.stderr
        rental = user.rentals()[0]
        shown = ran.stdout
        assert f"ssh {rental.username}@login.aurora.example" in shown
        assert f"passcode passcode-of-{rental.rental}, signed by north/one" in shown
        job = f"job 47{rental.index}: "
        told = ("GRANTED", f"{job}QUEUE", f"{job}RUN", f"{job}END, COMPLETED", "rental_settled", "REFUND")
        places = [shown.index(words) for words in told]
        assert places == sorted(places)
        assert rental.extra_limit == 40_000_000 - rental.deposit
        assert not (network.identity(user.submitter.member) / "progress.json").exists()


def test_killed_and_started_again_it_rents_once_and_shows_each_event_once(network: Network, own_site: PlayedSite) -> None:
    with new_user(network) as user:
        process = subprocess.Popen(command(user, network), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if "GRANTED" in line:
                break
        while not cursor_of(network, user):
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        (rental,) = user.rentals()
        own_site.leave_passcode(rental, "open-sesame")
        own_site.ready(rental)
        again = subprocess.Popen(command(user, network), stdout=subprocess.PIPE, text=True)
        assert again.stdout is not None
        shown = list(itertools.takewhile(lambda line: "open-sesame" not in line, again.stdout))
        own_site.run_job(rental, "5")
        rest, _ = again.communicate(timeout=60)
        assert (again.returncode, len(user.rentals())) == (0, 1)
        assert ("GRANTED" in "".join(shown), "the account is ready" in "".join(shown), "END, COMPLETED" in rest) == (False, True, True)
        assert "open-sesame" not in rest


def test_without_its_progress_file_it_would_rent_again(network: Network, own_site: PlayedSite) -> None:
    """Negative control: what it forgets it does twice."""
    with new_user(network) as user:
        for _ in range(2):
            process = subprocess.Popen(command(user, network), stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert any("GRANTED" in line for line in process.stdout)
            process.kill()
            process.wait(10)
            process.stdout.close()
            (network.identity(user.submitter.member) / "progress.json").unlink()
        assert len(user.rentals()) == 2


def test_a_ledger_that_goes_away_is_waited_for(network: Network, own_site: PlayedSite) -> None:
    with new_user(network) as user:
        process = subprocess.Popen(command(user, network), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if "GRANTED" in line:
                break
        config = network.service._config
        network.service.stop()
        network.service = LedgerService(config)
        network.service.start()
        (rental,) = user.rentals()
        own_site.leave_passcode(rental, "open-sesame")
        own_site.ready(rental)
        own_site.run_job(rental, "6")
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert ("waiting: " in errors, output.count("job 6: QUEUE"), output.count("job 6: END")) == (True, 1, 1)


def test_what_it_says_when_it_cannot(network: Network, own_site: PlayedSite) -> None:
    with new_user(network, credit=1) as poor:
        broke = run(command(poor, network))
        assert (broke.returncode, "NO_CREDIT" in broke.stderr, "hpcbridgectl balance" in broke.stderr) == (77, True, True)
        dear = run([*command(poor, network), "--budget", "0.01"])
        assert (dear.returncode, "nobody offers this for 0.01" in dear.stderr) == (1, True)
        lacking = run(command(poor, network, "--program", "namd"))
        assert "a cluster lacks programs" in lacking.stdout
        assert [event.type for event in poor.events(types=(EventType.RENTAL_GRANTED,))] == []


def cursor_of(network: Network, user: Client) -> str:
    path = network.identity(user.submitter.member) / "progress.json"
    return str(json.loads(path.read_text())["cursor"]) if path.exists() else ""
