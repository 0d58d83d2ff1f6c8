# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl documents`: documents for vetting. Their digests are computed here; the documents themselves go nowhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import click

from hpcbridge.contract.records import DocumentRecord, MemberRecord
from hpcbridge.ctl.context import Context, output_option, pass_context
from hpcbridge.ctl.forms import as_json
from hpcbridge.ctl.output import Column, moment, note, print_json, print_line, print_table
from hpcbridge.ctl.ways import OwnWay, Way
from hpcbridge.errors import Refused, StorageError
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.transactions import Document, Documents
from hpcbridge.wire.queries import get_cluster, get_member

_SHORTEST = 12
"""Digits of a digest that are enough to name one of a member's 64."""
_COLUMNS = (
    Column(title="KIND"),
    Column(title="TITLE", shrink=True),
    Column(title="SHA-256"),
    Column(title="SUBMITTED (UTC)"),
    Column(title="BY", optional=True),
    Column(title="ENTRY", right=True),
)
FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def documents() -> None:
    """Documents for your vetting, by digest. No document leaves this machine."""


@documents.command(short_help="Name a document for your vetting.")
@click.argument("file", type=FILE)
@click.option("--kind", required=True, help="What it is in one word, for example statutes or contract; ask your network's admins.")
@click.option("--title", required=True, help="How people shall know it again. It stands in the log for ever: name no person.")
@output_option
@pass_context
def submit(context: Context, file: Path, kind: str, title: str) -> None:
    """Put the SHA-256 digest of FILE on record, with a kind and a title.

    Send the file itself to the admins on a way of your own. They compute the same digest from what they got, so both know that the
    same document is meant, and nobody can exchange it later.
    """
    digest = digest_of(file)
    submitted = context.way().submit(Documents(documents=(Document(digest=digest, kind=kind, title=title),)))
    submitted.check_accepted()
    if context.json:
        print_json({"entry": submitted.index, "digest": digest.hex()})
        return
    print_line(f"{digest.hex()}  {file.name} is on record (entry {submitted.index}, receipt verified)")
    note("Now send the file to your network's admins, unchanged.")


@documents.command(name="list")
@output_option
@pass_context
def list_command(context: Context) -> None:
    """List the documents you named."""
    way = context.way()
    found = get_member(way.call, own_member(context, way)).documents
    if context.json:
        print_json({"documents": [as_json(record) for record in found]})
    else:
        print_documents(found, empty="No documents.")


def print_documents(found: Iterable[DocumentRecord], *, empty: str) -> None:
    """A table of documents with whole digests, so that they can be compared with what sha256sum prints."""
    rows = (
        (each.document.kind, each.document.title, each.document.digest.hex(), moment(each.at), each.installation, each.index)
        for each in found
    )
    print_table(_COLUMNS, rows, empty=empty)


def digest_of(file: Path) -> bytes:
    """SHA-256 of a file's bytes."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror}") from error


def own_member(context: Context, way: Way) -> str:
    """The member that a way speaks for: that of the identity, or the daemon's."""
    if isinstance(way, OwnWay):
        return context.keys().load_profile().submitter.member
    return str(context.control("status")["agent"]["submitter"]).partition("/")[0]


def documents_read(way: Way, name: str, files: Iterable[Path], digests: Iterable[str]) -> tuple[bytes, ...]:
    """Digests of documents an admin has read, in order: of files, or named by their digest or its beginning."""
    read = {digest_of(file) for file in files}
    beginnings = list(digests)
    if beginnings:
        known = [record.document.digest for record in _member_of(way, name).documents]
        read.update(_one(beginning, known, name) for beginning in beginnings)
    return tuple(sorted(read))


def _one(beginning: str, known: Iterable[bytes], name: str) -> bytes:
    text = beginning.lower()
    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST},64}}", text):
        raise click.BadParameter(f"{beginning[:70]!r}: give a SHA-256 digest, or at least its first {_SHORTEST} digits")
    found = [digest for digest in known if digest.hex().startswith(text)]
    if len(found) != 1:
        told = f"{len(found) or 'no'} documents of the member begin with {text}"
        raise Refused(EntryOutcome.NOT_FOUND, told, hint=f"look at them: hpcbridgectl admin member {name}")
    return found[0]


def _member_of(way: Way, name: str) -> MemberRecord:
    """The member of this name, or the provider of the cluster of this name."""
    try:
        return get_member(way.call, name)
    except Refused as refusal:
        if refusal.code != EntryOutcome.NOT_FOUND:
            raise
        return get_member(way.call, get_cluster(way.call, name).provider)
