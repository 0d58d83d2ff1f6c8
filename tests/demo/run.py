# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""make demo: a real scheduler, the ledger and the daemon on this machine, and jobs whose changes arrive with verified receipts.

SCHEDULER=slurm|gridengine|local|existing chooses the scheduler. KEEP=1 leaves everything running until Ctrl-C and says how to look
around. DEMO_DIRECTORY is where everything lies, build/demo unless it is said.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from rich.markup import escape

from tests.bridge import BIN, ROOT, Bridge
from tests.demo.existing import ExistingScene
from tests.demo.gridengine import GridEngineScene
from tests.demo.local import LocalScene
from tests.demo.market import play_market, play_market_of_files
from tests.demo.scene import Scene, SceneMissing
from tests.demo.slurm import SlurmScene
from tests.demo.story import Subscriber, console, submit, title, verify, watch
from tests.private_accounts import WorldMissing
from tests.private_slurm import SlurmMissing

DIRECTORY = Path(os.environ.get("DEMO_DIRECTORY", ROOT / "build" / "demo")).absolute()
SCENES: Mapping[str, Callable[[Path], Scene]] = {
    "slurm": SlurmScene,
    "gridengine": GridEngineScene,
    "local": LocalScene,
    "existing": ExistingScene,
}


def main() -> int:
    """Runs the demo; exit status 0 only if every job arrived as it ended and the whole log verified."""
    scheduler = sys.argv[1] if len(sys.argv) > 1 else "slurm"
    if scheduler not in SCENES:
        console.print(f"SCHEDULER={scheduler}: no such demo; there are {', '.join(SCENES)}", markup=False)
        return 2
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        try:
            scene, bridge = set_up(stack, SCENES[scheduler])
            with Subscriber(bridge) as events:
                wanted = submit(scene)
                ended = watch(bridge, scene, events, wanted)
        except (SceneMissing, RuntimeError, TimeoutError) as error:
            console.print(f"[red]The demo could not be played:[/] {escape(str(error))}")
            return 1
        verified = verify(bridge) and _market(stack, scene, bridge)
        if os.environ.get("KEEP") == "1":
            say_how_to_look_around(scene, bridge)
            wait_for_interrupt(stopping)
        title("Taking everything down")
    complete = ended and verified
    console.print("[green]Done: every change arrived, every receipt and the whole log verified.[/]" if complete else "[red]Failed.[/]")
    return 0 if complete else 1


def set_up(stack: ExitStack, start: Callable[[Path], Scene]) -> tuple[Scene, Bridge]:
    """Scheduler, ledger, enrolment of a provider by token, daemon."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    scene = stack.enter_context(closing(start(DIRECTORY)))
    title(scene.title)
    console.print(scene.overview().rstrip(), markup=False)
    title("A ledger with its CA; an admin and a provider enrol with one-time tokens; the daemon starts on the frontend")
    bridge = stack.enter_context(scene.bridge())
    bridge.set_up()
    console.print(bridge.frontend("status").rstrip(), markup=False)
    return scene, bridge


def _market(stack: ExitStack, scene: Scene, bridge: Bridge) -> bool:
    """The second half, where accounts can be made."""
    try:
        if scene.site is not None:
            return play_market(stack, DIRECTORY, scene.site, bridge)
        if scene.account_files is not None:
            return play_market_of_files(DIRECTORY, bridge, scene.account_files)
    except (SlurmMissing, WorldMissing, RuntimeError, TimeoutError) as error:
        console.print(f"[red]The market could not be played:[/] {escape(str(error))}")
        return False
    title("No market: accounts of tenants cannot be made here without touching those of this machine")
    return True


def say_how_to_look_around(scene: Scene, bridge: Bridge) -> None:
    """Commands to copy while everything is up."""
    title("KEEP=1: everything stays up until Ctrl-C. Look around from another terminal, in this folder:")
    ctl = _from_here(BIN / "hpcbridgectl")
    agent = bridge.agent.pid if bridge.agent else 0
    config, admin = _from_here(bridge.agent_config), _from_here(bridge.admin_identity)
    tenant = f"{ctl} --identity {_from_here(DIRECTORY)}/people/ulla"
    market = [("user of the market", f"{tenant} offers --cores 2"), ("", f"{tenant} rentals list")]
    for who, command in (
        ("sysadmin on the frontend", f"{ctl} --config {config} status"),
        ("", f"{ctl} --config {config} jobs list"),
        ("admin", f"{ctl} --identity {admin} events --follow"),
        ("", f"{ctl} --identity {admin} admin members"),
        ("user", scene.a_job_to_try()),
        *(market if scene.site or scene.account_files else []),
        ("kill -9 at will", f"kill -9 {agent}; {_from_here(BIN / 'hpcbridged')} --config {config}"),
    ):
        console.print(f"  {who:<26}{command}", markup=False)


def _from_here(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def wait_for_interrupt(stopping: threading.Event) -> None:
    """Until Ctrl-C."""
    try:
        stopping.wait()
    except KeyboardInterrupt:
        console.print()


if __name__ == "__main__":
    sys.exit(main())
