# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl receipt`: fetch the proof of an entry, and say off line what a proof proves.

*Included* and *accepted* are told apart: a receipt proves that an entry stands in the log, and the entry says of each of its items
whether the contract accepted it or why not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hpcbridge.audit.export import leaves_of_chunks
from hpcbridge.audit.verify import Pins
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.ledger import RECEIPTS, current_checkpoint, pins_of, reading_identity
from hpcbridge.ctl.output import Column, note, print_facts, print_json, print_table
from hpcbridge.errors import BadData, HpcbridgeError, IntegrityError, LedgerUnavailable, Refused, SignatureInvalid
from hpcbridge.identity.certificates import key_id
from hpcbridge.identity.sealing import verify_envelope
from hpcbridge.ledger.receipt import receipt_from_text, receipt_to_text
from hpcbridge.model.entries import EntryOutcome, Receipt
from hpcbridge.model.quantities import format_instant
from hpcbridge.model.transactions import Body, Envelope, JobChanges, NodeChanges, PayloadType
from hpcbridge.wire.convert import decode_body
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.receipts import OpenedLeaf, open_leaf, read_receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of an entry's body in words, and what the contract said of it."""

    subject: str
    outcome: EntryOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a verified receipt says. `signed_by_us` None: the key of the envelope is not at hand, so its signature was not checked."""

    receipt: Receipt
    opened: OpenedLeaf
    items: tuple[Item, ...]
    signed_by_us: bool | None


@click.group("receipt")
def receipt_group() -> None:
    """Proofs that an entry stands in the log."""


@receipt_group.command("show")
@click.argument("id_", metavar="ID")
@click.option("--job", "by_job", is_flag=True, help="ID is a job's id even if it looks like the index of an entry.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the receipt to a file, for `receipt verify`.")
@output_option
@pass_context
def show(context: Context, id_: str, *, by_job: bool, save: Path | None) -> None:
    """Show the receipt of an entry, by its index or by the id of a job it speaks of (the newest such entry)."""
    pins = pins_of(reading_identity(context))
    receipt = _fetch(context, pins, id_, by_job=by_job)
    if save is not None:
        _save(save, receipt_to_text(receipt))
    _print(context, examine(receipt, pins), text=receipt_to_text(receipt))


@receipt_group.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@pass_context
def verify(context: Context, file: Path) -> None:
    """Verify a receipt with the pinned keys; needs no network."""
    pins = pins_of(reading_identity(context, offline=True))
    _print(context, verify_text(_read(file), pins, name=str(file)))


def verify_text(text: str, pins: Pins, *, name: str) -> Findings:
    """What a receipt file proves; BadData naming the file if it is none or proves nothing."""
    try:
        return examine(receipt_from_text(text, pins.origin, pins.log_key), pins)
    except (BadData, IntegrityError, SignatureInvalid) as error:
        raise BadData(f"{name}: {error}", hint=error.hint or "this file proves nothing; fetch the receipt again: receipt show") from error


def examine(receipt: Receipt, pins: Pins) -> Findings:
    """Reads the leaf of a receipt that was verified; IntegrityError if it is no entry of this place and ledger."""
    opened = open_leaf(receipt.leaf)
    if opened.entry.index != receipt.index:
        raise IntegrityError(f"the proof is of entry {receipt.index}, but the entry says it is {opened.entry.index}")
    if opened.payload.header.origin != pins.origin:
        raise IntegrityError(f"the entry's envelope was signed for the ledger {opened.payload.header.origin[:80]!r}")
    signed_by_us = None
    if pins.own_key is not None and key_id(pins.own_key) == opened.envelope.key_id:
        verify_envelope(opened.envelope, pins.own_key)
        signed_by_us = True
    return Findings(receipt=receipt, opened=opened, items=_items(opened), signed_by_us=signed_by_us)


def findings_as_json(findings: Findings) -> dict[str, Any]:
    """The form of `-o json`."""
    entry, header, envelope = findings.opened.entry, findings.opened.payload.header, findings.opened.envelope
    accepted = sum(item.outcome is EntryOutcome.ACCEPTED for item in findings.items)
    return {
        "included": True,
        "origin": findings.receipt.checkpoint.origin,
        "index": entry.index,
        "size": findings.receipt.checkpoint.size,
        "root": findings.receipt.checkpoint.root.hex(),
        "at": format_instant(entry.at),
        "submitter": str(header.submitter),
        "epoch": header.epoch.hex(),
        "sequence": header.sequence,
        "payload_type": envelope.payload_type,
        "key_id": envelope.key_id.hex(),
        "signed_by_this_installation": findings.signed_by_us,
        "accepted": accepted,
        "refused": len(findings.items) - accepted,
        "items": [{"subject": item.subject, "outcome": item.outcome.value} for item in findings.items],
    }


def _items(opened: OpenedLeaf) -> tuple[Item, ...]:
    outcomes = opened.entry.outcomes
    subjects = _subjects(opened.envelope, opened.payload.body)
    if len(subjects) != len(outcomes):  # refused as a whole, before any item was looked at
        subjects = (_kind(opened.envelope),) * len(outcomes)
    return tuple(Item(subject=subject, outcome=outcome) for subject, outcome in zip(subjects, outcomes, strict=True))


def _subjects(envelope: Envelope, body: bytes) -> tuple[str, ...]:
    try:
        return _subjects_of(decode_body(PayloadType(envelope.payload_type), body), _kind(envelope))
    except ValueError:  # a body nobody can read is an entry too: MALFORMED or UNKNOWN_TYPE
        return (_kind(envelope),)


def _subjects_of(body: Body, kind: str) -> tuple[str, ...]:
    match body:
        case JobChanges():
            jobs = ((change.job, f"{change.job.job_id}#{change.job.incarnation}") for change in body.changes)
            return tuple(f"job {job.cluster}/{key} {job.state}" for job, key in jobs)
        case NodeChanges():
            return tuple(f"node {body.cluster}/{change.node} {change.availability}" for change in body.changes)
        case _:
            return (kind,)


def _kind(envelope: Envelope) -> str:
    return envelope.payload_type.removeprefix("application/vnd.hpcbridge.").removesuffix("+protobuf")[:60]


def _fetch(context: Context, pins: Pins, id_: str, *, by_job: bool) -> Receipt:
    if id_.isdecimal() and id_.isascii() and not by_job:
        try:
            return _by_index(context, pins, int(id_))
        except Refused as error:
            raise Refused(error.code, error.reason, hint="if this is the id of a job: receipt show --job ID") from error
    return _by_index(context, pins, _index_of_job(context, pins, id_))


def _by_index(context: Context, pins: Pins, index: int) -> Receipt:
    try:
        message = context.ledger_client().call("GetReceipt", ledger_pb2.GetReceiptRequest(index=index))
    except LedgerUnavailable:
        kept = context.keys().path / RECEIPTS / f"{index}.tlog-proof"
        if not kept.exists():
            raise
        note("the ledger is not reachable; this is the receipt as it was kept here")
        return verify_text(_read(kept), pins, name=str(kept)).receipt
    receipt = read_receipt(message, message.checkpoint.note, origin=pins.origin, log_public_key=pins.log_key)
    if receipt.index != index:
        raise IntegrityError(f"asked for the receipt of entry {index}, the ledger sent one of {receipt.index}")
    return receipt


def _index_of_job(context: Context, pins: Pins, job_id: str) -> int:
    """The newest entry this identity may read that speaks of the job."""
    found = None
    for opened in _readable_entries(context, pins):
        if opened.envelope.payload_type == PayloadType.JOB_CHANGES and any(
            f"/{job_id}#" in subject for subject in _subjects(opened.envelope, opened.payload.body)
        ):
            found = opened.entry.index
    if found is None:
        raise HpcbridgeError(f"no entry you may read speaks of job {job_id!r}", hint="hpcbridgectl jobs show ID says what is known of it")
    return found


def _readable_entries(context: Context, pins: Pins) -> Iterator[OpenedLeaf]:
    client = context.ledger_client()
    checkpoint = current_checkpoint(client, pins)
    for leaf in leaves_of_chunks(client.read_entries(0, checkpoint.size), checkpoint.size):
        if isinstance(leaf, bytes):
            yield open_leaf(leaf)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: not a receipt: it is not text") from error


def _save(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError as error:
        raise BadData(f"{path}: is there already, it is not overwritten") from error
    except OSError as error:
        raise BadData(f"{path}: cannot be written: {error.strerror}") from error


def _print(context: Context, findings: Findings, *, text: str | None = None) -> None:
    facts = findings_as_json(findings)
    if context.json:
        print_json({**facts, **({"receipt": text} if text is not None else {})})
        return
    signature = "checked: this installation's own" if findings.signed_by_us else f"not checked: key {facts['key_id'][:16]}… is not here"
    print_facts(
        [
            ("included", f"yes: entry {facts['index']} of {facts['origin']}, under its signed checkpoint of {facts['size']} entries"),
            ("at", facts["at"]),
            ("from", f"{facts['submitter']}, number {facts['sequence']} of epoch {facts['epoch'][:8]}…, {_kind(findings.opened.envelope)}"),
            ("signature", signature),
            ("accepted", f"{facts['accepted']} of {len(findings.items)}"),
        ]
    )
    rows = [
        (number, item.subject, "accepted" if item.outcome is EntryOutcome.ACCEPTED else f"refused: {item.outcome}")
        for number, item in enumerate(findings.items, start=1)
    ]
    print_table((Column(title="item", right=True), Column(title="what", shrink=True), Column(title="verdict")), rows, empty="no items")
