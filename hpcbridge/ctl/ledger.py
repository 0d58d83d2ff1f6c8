# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl ledger`: how a ledger is, what it can be caught at, and a copy of it.

Whatever verifies here also compares with the last checkpoint this identity verified, and keeps the new one only when it continues the
old; so a ledger that was rolled back or forked is noticed by everybody who ever asked it anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from hpcbridge.audit.export import leaves_of_chunks, read_leaves, read_note, write_export
from hpcbridge.audit.replay import prove_log
from hpcbridge.audit.verify import Leaf, LogFault, LogForked, Pins, Verified
from hpcbridge.config import LEDGER_CONFIG
from hpcbridge.ctl.context import DAEMON_IDENTITY, Context, now, output_option, pass_context
from hpcbridge.ctl.output import ago, moment, note, print_facts, print_json, print_line
from hpcbridge.ctl.progress import progress
from hpcbridge.ctl.verdict import Finding, print_verdict, verdict_as_json
from hpcbridge.ctl.watch import watch_option
from hpcbridge.errors import BadData, HpcbridgeError, IntegrityError, LedgerUnavailable
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keystore import KeyDirectory, read_file, write_file
from hpcbridge.ledger.checkpoint import parse_checkpoint
from hpcbridge.ledger.merkle import verify_consistency
from hpcbridge.ledger.receipt import receipt_from_text
from hpcbridge.model.entries import Checkpoint, Receipt
from hpcbridge.model.quantities import Instant, format_instant
from hpcbridge.submitter.chain import load_chain
from hpcbridge.wire.client import LedgerClient
from hpcbridge.wire.generated import ledger_pb2

FRESH_MS = 180_000
"""The ledger ticks every 60 s; after three missing ticks what it shows may be old."""
_SEEN = "checkpoint"
_ON_ITS_HOST = "this is its host: systemctl status hpcbridge-ledgerd, then journalctl -u hpcbridge-ledgerd"
CHAIN_FILE = "chain.json"
RECEIPTS = "receipts"
_TELL = "Keep this identity's directory and whatever the ledger sent as evidence, and tell the admins and other members."


@click.group("ledger")
def ledger_group() -> None:
    """The ledger itself: how it is, proofs, a copy."""


@ledger_group.command("status")
@watch_option
@output_option
@pass_context
def status(context: Context) -> None:
    """Is the ledger all right, and if not, what to do? Its size, its age, and whether it continues what was seen before."""
    identity = reading_identity(context)
    pins = pins_of(identity)
    client = context.ledger_client()
    try:
        reply = client.call("GetStatus", ledger_pb2.GetStatusRequest())
    except LedgerUnavailable as error:
        if LEDGER_CONFIG.exists():
            error.hint = _ON_ITS_HOST
        raise
    checkpoint = parse_checkpoint(reply.checkpoint.note, pins.origin, pins.log_key)
    verify_growth(client, identity, checkpoint, pins)
    address, at = client.address, now()
    facts = status_as_json(reply, checkpoint, at=at)
    found = tuple(findings(reply, at))
    if context.json:
        print_json({**verdict_as_json(found), **facts, "address": address})
        return
    print_verdict("The ledger", found)
    print_facts(
        [
            ("ledger", f"{checkpoint.origin} at {address}, version {reply.version}, engine {reply.engine}"),
            ("entries", checkpoint.size),
            ("last entry", ago(reply.last_entry_at, at)),
            ("last tick", ago(reply.last_tick_at or None, at)),
            ("checkpoint", "signed by the pinned log key, continues what was seen before"),
            ("root", checkpoint.root.hex()),
            ("connected", f"{_counted(reply.streams, 'stream')} of members, {_counted(reply.subscribers, 'subscriber')}"),
            *_refused(reply),
        ]
    )


def findings(reply: ledger_pb2.LedgerStatus, at: Instant) -> Iterator[Finding]:
    """What somebody should look at; nothing if all is well."""
    last_at = reply.last_tick_at
    if not last_at:
        yield Finding(what="it has not ticked yet", todo="a new ledger ticks within a minute; else look at its journal")
    elif last_at - at > FRESH_MS:
        yield Finding(
            what=f"its time is {ago(last_at, at).removeprefix('in ')} ahead of this machine's", todo="compare both clocks with NTP"
        )
    elif at - last_at > FRESH_MS:
        yield Finding(
            what=f"its last tick was {ago(last_at, at)}: nothing ends and nothing is settled, what it shows may be old",
            todo="on its host: journalctl -u hpcbridge-ledgerd; if it refuses the time: hpcbridge-ledgerd accept-clock",
        )


def _refused(reply: ledger_pb2.LedgerStatus) -> Iterator[tuple[str, str]]:
    """What it refused since it was started, most first: what was refused, the code, and the rule where one is named."""
    for number, each in enumerate(sorted(reply.refusals, key=lambda one: -one.value)):
        yield ("refused" if number == 0 else ""), f"{each.value} × {each.name.replace(':', ' ')}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@ledger_group.command("checkpoint", short_help="The largest checkpoint that was verified here.")
@pass_context
def checkpoint(context: Context) -> None:
    """Print the largest checkpoint that was verified here, as signed text. No ledger is asked: it is for one that has to be mended."""
    own = KeyDirectory(context.identity_path()).is_enrolled() and not context.is_daemons()
    if context.has_daemon() and not own:
        held = context.control("status")["ledger"]["checkpoint"]
    else:
        identity = reading_identity(context, offline=True)
        pins = pins_of(identity)
        seen = (*load_seen(identity, pins), *(receipt.checkpoint for receipt in kept_receipts(identity, pins)))
        held = max(seen, key=lambda each: each.size).note if seen else None
    if held is None:
        raise HpcbridgeError("no checkpoint was verified here yet")
    print(held, end="")


@ledger_group.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@output_option
@pass_context
def verify(context: Context, file: Path | None) -> None:
    """Prove a live ledger as far as you may read it, or an exported FILE without any network."""
    identity = reading_identity(context, offline=file is not None)
    pins = pins_of(identity)
    seen = (*load_seen(identity, pins), *(receipt.checkpoint for receipt in kept_receipts(identity, pins)))
    verified = verify_file(file, pins, seen=seen) if file is not None else verify_live(context.ledger_client(), identity, pins, seen=seen)
    _print_verified(context, verified, seen)


@ledger_group.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@pass_context
def export(context: Context, file: Path) -> None:
    """Write all entries you may read, with the checkpoint that covers them, into a new FILE."""
    identity = reading_identity(context)
    pins = pins_of(identity)
    client = context.ledger_client()
    checkpoint = current_checkpoint(client, pins)
    verify_growth(client, identity, checkpoint, pins)
    leaves = leaves_of_chunks(client.read_entries(0, checkpoint.size), checkpoint.size)
    with progress("exporting", checkpoint.size) as watch:
        size = write_export(file, checkpoint, _watched(leaves, watch))
    if context.json:
        print_json({"file": str(file), "entries": checkpoint.size, "bytes": size, "root": checkpoint.root.hex()})
        return
    print_line(f"{checkpoint.size} entries, {size} bytes in {file}; prove it with: hpcbridgectl ledger verify {file}")


def reading_identity(context: Context, *, offline: bool = False) -> KeyDirectory:
    """The identity that asks or whose pins count: the named one, one's own, else the daemon's if this account may read it.

    Off line a directory with nothing but `profile.json`, `log-key.pub` and `ca.pem` is enough.
    """
    if context.identity is None and not KeyDirectory(context.identity_path()).is_enrolled():
        config = context.agent_config()
        daemons = DAEMON_IDENTITY if config is None else config.identity_directory
        if os.access(daemons / "key.pem", os.R_OK):
            context.identity = daemons
    return KeyDirectory(context.identity_path()) if offline else context.keys()


def pins_of(identity: KeyDirectory) -> Pins:
    """What was pinned at enrolment. Without an own certificate (an auditor's copy of the pins) own entries are not checked apart."""
    origin = identity.load_profile().origin
    own = (identity.path / "certificate.pem").exists()
    return Pins(
        origin=origin,
        log_key=identity.load_log_public_key(),
        authority=identity.load_authority(),
        own_key=read_certificate(identity.load_certificate(), origin).public_key if own else None,
    )


def verify_file(path: Path, pins: Pins, *, seen: Sequence[Checkpoint]) -> Verified:
    """Proves an exported log. BadData if the file is damaged or not one; LogForked if it is whole and contradicts what was seen."""
    try:
        with path.open("rb") as file:
            note = read_note(file)
            checkpoint = parse_checkpoint(note, pins.origin, pins.log_key)
            comparable = [old for old in seen if old.size <= checkpoint.size]  # an older copy of a longer log is none the worse
            with progress("verifying", checkpoint.size) as watch:
                return prove_log(read_leaves(file), note, pins, seen=comparable, watch=watch)
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror}") from error
    except LogForked:
        raise
    except (BadData, IntegrityError) as error:
        raise BadData(f"{path}: {error}", hint=error.hint or "the file was changed or cut off; export it again and compare") from error


def verify_live(client: LedgerClient, identity: KeyDirectory, pins: Pins, *, seen: Sequence[Checkpoint]) -> Verified:
    """Proves all of a live ledger that this identity may read and that it continues what was seen; then this is what was seen."""
    checkpoint = current_checkpoint(client, pins)
    _check_not_shorter(checkpoint, seen)
    leaves = leaves_of_chunks(client.read_entries(0, checkpoint.size), checkpoint.size)
    try:
        with progress("verifying", checkpoint.size) as watch:
            verified = prove_log(leaves, checkpoint.note, pins, seen=seen, watch=watch)
    except LogFault as error:
        error.hint = error.hint or _TELL
        raise
    save_seen(identity, checkpoint)
    return verified


def verify_growth(client: LedgerClient, identity: KeyDirectory, checkpoint: Checkpoint, pins: Pins) -> None:
    """Checks by a consistency proof that a checkpoint continues what was seen, then keeps it; IntegrityError if it does not."""
    seen = load_seen(identity, pins)
    _check_not_shorter(checkpoint, seen)
    for old in seen:
        request = ledger_pb2.GetConsistencyProofRequest(first_size=old.size, second_size=checkpoint.size)
        proof = client.call("GetConsistencyProof", request).proof if old.size < checkpoint.size else ()
        try:
            verify_consistency(old.size, checkpoint.size, proof=tuple(proof), root1=old.root, root2=checkpoint.root)
        except IntegrityError as error:
            raise LogForked(None, f"the ledger does not continue what was seen before: {error}", hint=_TELL) from error
    save_seen(identity, checkpoint)


def current_checkpoint(client: LedgerClient, pins: Pins) -> Checkpoint:
    """The ledger's newest checkpoint, its signature verified."""
    note = client.call("GetCheckpoint", ledger_pb2.GetCheckpointRequest()).note
    return parse_checkpoint(note, pins.origin, pins.log_key)


def load_seen(identity: KeyDirectory, pins: Pins) -> tuple[Checkpoint, ...]:
    """The last checkpoints this identity verified, here and when it submitted; none at first."""
    path = identity.path / _SEEN
    notes = [load_chain(identity.path / CHAIN_FILE).checkpoint]
    try:
        notes += [read_file(path).decode()] if path.exists() else []
        return tuple(parse_checkpoint(note_, pins.origin, pins.log_key) for note_ in dict.fromkeys(notes) if note_)
    except (BadData, IntegrityError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: {error}", hint="by this file a rollback is noticed: find out why it is damaged") from error


def kept_receipts(identity: KeyDirectory, pins: Pins) -> Iterator[Receipt]:
    """What this identity got for its own transactions. Whatever continues their checkpoints contains their entries."""
    for path in sorted((identity.path / RECEIPTS).glob("*.tlog-proof")):
        try:
            yield receipt_from_text(path.read_text(encoding="utf-8"), pins.origin, pins.log_key)
        except (BadData, IntegrityError, OSError, UnicodeDecodeError) as error:
            raise BadData(f"{path}: {error}", hint="a kept receipt was damaged: find out how, then move it away") from error


def save_seen(identity: KeyDirectory, checkpoint: Checkpoint) -> None:
    """Keeps a verified checkpoint for the next time."""
    write_file(identity.path / _SEEN, checkpoint.note.encode())


def status_as_json(reply: ledger_pb2.LedgerStatus, checkpoint: Checkpoint, *, at: Instant) -> dict[str, Any]:
    """The form of `-o json`. Ages are whole seconds, never negative: clocks differ."""
    tick_age = max(0, at - reply.last_tick_at)
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "last_entry_at": format_instant(reply.last_entry_at),
        "last_entry_age_seconds": max(0, at - reply.last_entry_at) // 1000,
        "last_tick_at": format_instant(reply.last_tick_at) if reply.last_tick_at else None,
        "last_tick_age_seconds": tick_age // 1000 if reply.last_tick_at else None,
        "fresh": bool(reply.last_tick_at) and tick_age <= FRESH_MS,
        "version": reply.version,
        "contract_version": reply.contract_version,
        "engine": reply.engine,
        "streams": reply.streams,
        "subscribers": reply.subscribers,
        "refusals": {each.name: each.value for each in reply.refusals},
    }


def verified_as_json(verified: Verified, seen: Sequence[Checkpoint]) -> dict[str, Any]:
    """The form of `-o json`."""
    return {
        "origin": verified.checkpoint.origin,
        "entries": verified.entries,
        "root": verified.checkpoint.root.hex(),
        "hidden": verified.hidden,
        "signatures": verified.signatures,
        "signatures_not_checked": verified.unproven,
        "submitters": verified.submitters,
        "replayed": verified.hidden == 0,
        "first_at": _time(verified.first_at),
        "last_at": _time(verified.last_at),
        "last_tick_at": _time(verified.last_tick_at),
        "compared_with_size": max((old.size for old in seen if old.size <= verified.entries), default=None),
        "disputes": [
            {"index": each.index, "submitter": str(each.submitter), "size": each.size, "root": each.root.hex()}
            for each in verified.disputes
        ],
    }


def _watched(leaves: Iterator[Leaf], watch: Callable[[int], None]) -> Iterator[Leaf]:
    for done, leaf in enumerate(leaves, start=1):
        yield leaf
        watch(done)


def _check_not_shorter(checkpoint: Checkpoint, seen: Sequence[Checkpoint]) -> None:
    most = max((old.size for old in seen), default=0)
    if most > checkpoint.size:
        raise LogForked(None, f"the ledger shows {checkpoint.size} entries, {most} were seen before: it was rolled back", hint=_TELL)


def _print_verified(context: Context, verified: Verified, seen: Sequence[Checkpoint]) -> None:
    facts = verified_as_json(verified, seen)
    if context.json:
        print_json(facts)
    else:
        print_facts(_in_words(verified, facts))
    for each in verified.disputes:
        note(
            f"disputed: entry {each.index}: {each.submitter} says it verified another root for {each.size} entries. "
            "Either the ledger showed it another history, or it lies; ask it for its signed checkpoint."
        )


def _in_words(verified: Verified, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    span = f" from {moment(verified.first_at)} to {moment(verified.last_at)} UTC" if verified.first_at is not None else ""
    yield "ledger", f"{facts['origin']}: {verified.entries} entries{span}"
    yield "checkpoint", "signed by the pinned log key; all leaves together have its root"
    yield "signatures", f"{verified.signatures} verified, of {_counted(verified.submitters, 'submitter')}; numbers without hole or repeat"
    if verified.hidden:
        yield "hidden", f"{verified.hidden} entries are not yours to read: known by their hash, not replayed"
        if verified.unproven:
            yield "unproven", f"{verified.unproven} signatures by keys of yours that are not here"
    else:
        yield "replay", "every outcome and every effect is what the rules say"
        told = "none" if verified.last_tick_at is None else f"{moment(verified.last_tick_at)} UTC"
        yield "last tick", f"{told}, as it stands in the log"
    if facts["compared_with_size"] is not None:
        yield "history", f"continues the {facts['compared_with_size']} entries seen before, and contains what receipts are kept of"


def _time(at: Instant | None) -> str | None:
    return format_instant(at) if at is not None else None
