# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""The export file: a checkpoint and every leaf under it, in order; docs/export-format.md says it byte by byte.

Writer and reader stream: neither holds more than one leaf. The reader refuses every byte that is not part of the format, but proves
nothing; that is for `verify`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from hpcbridge.audit.verify import Hidden, Leaf, LogFault
from hpcbridge.errors import BadData, StorageError
from hpcbridge.ledger.checkpoint import MAX_NOTE_CHARACTERS, parse_decimal
from hpcbridge.ledger.merkle import HASH_BYTES, CompactRange, leaf_hash
from hpcbridge.model.entries import MAX_ENTRY_BYTES, Checkpoint
from hpcbridge.wire.generated import ledger_pb2

MAGIC = b"hpcbridge-export-v1\n"
_LEAF = b"L"
_HIDDEN = b"H"
_LENGTH_BYTES = 4


def write_export(path: Path, checkpoint: Checkpoint, leaves: Iterable[Leaf]) -> int:
    """Writes a new file (0600) and returns its size; all or nothing.

    LogFault if the leaves do not have the root of the checkpoint, BadData if `path` exists, StorageError if it cannot be written.
    """
    if path.exists():
        raise BadData(f"{path}: is there already, it is not overwritten", hint="give a new name, or move it away")
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            _write(file, checkpoint, leaves)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.link(temporary, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
    return size


def read_note(file: IO[bytes]) -> str:
    """Reads up to the first leaf and returns the checkpoint's note, not yet verified; BadData if this is no export."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BadData("not an export of a ledger: its first line is not hpcbridge-export-v1")
    word, _, length_text = file.readline(40).decode("latin-1").partition(" ")
    if word != "checkpoint" or not length_text.endswith("\n"):
        raise BadData("the second line of an export is `checkpoint` and the length of the note")
    length = parse_decimal("length of the checkpoint", length_text[:-1])
    if length > MAX_NOTE_CHARACTERS:
        raise BadData(f"a checkpoint of {length} bytes is too long")
    try:
        note = _exactly(file, length, "the checkpoint").decode()
    except UnicodeDecodeError as error:
        raise BadData("the checkpoint is not UTF-8") from error
    if note.count("\n") != 5:
        raise BadData("the checkpoint of an export has three lines, an empty one and one signature")
    return note


def read_leaves(file: IO[bytes]) -> Iterator[Leaf]:
    """The leaves after the head, one by one; BadData naming the entry where the file is cut off or is no export."""
    index = 0
    while kind := file.read(1):
        if kind == _LEAF:
            length = int.from_bytes(_exactly(file, _LENGTH_BYTES, f"entry {index}"))
            if not 0 < length <= MAX_ENTRY_BYTES:
                raise BadData(f"entry {index}: a length of {length} bytes, 1 to {MAX_ENTRY_BYTES} are possible")
            yield _exactly(file, length, f"entry {index}")
        elif kind == _HIDDEN:
            yield Hidden(_exactly(file, HASH_BYTES, f"entry {index}"))
        else:
            raise BadData(f"entry {index}: begins with the byte {kind[0]:#04x}, neither L nor H")
        index += 1


def leaves_of_chunks(chunks: Iterable[ledger_pb2.EntriesChunk], size: int) -> Iterator[Leaf]:
    """The first `size` leaves out of what a live ledger streams; LogFault if it sends them out of order or stops before."""
    index = 0
    for chunk in chunks:
        if chunk.start != index:
            raise LogFault(index, f"the ledger sent entry {chunk.start} in its place")
        for leaf in chunk.leaves[: size - index]:
            yield leaf.bytes if leaf.WhichOneof("leaf") == "bytes" else Hidden(leaf.hash)
            index += 1
        if index >= size:
            return
    if index < size:
        raise LogFault(index, f"the ledger sends no more, but signed a checkpoint over {size} entries")


def _write(file: IO[bytes], checkpoint: Checkpoint, leaves: Iterable[Leaf]) -> None:
    note = _own_signature_only(checkpoint).encode()
    file.write(MAGIC + b"checkpoint %d\n" % len(note) + note)
    tree = CompactRange()
    for leaf in leaves:
        if isinstance(leaf, Hidden):
            file.write(_HIDDEN + leaf.hash)
            tree.append(leaf.hash)
        else:
            file.write(_LEAF + len(leaf).to_bytes(_LENGTH_BYTES) + leaf)
            tree.append(leaf_hash(leaf))
    if tree.size != checkpoint.size or tree.root() != checkpoint.root:
        raise LogFault(None, f"the {tree.size} entries the ledger sent do not have the root of its checkpoint over {checkpoint.size}")


def _own_signature_only(checkpoint: Checkpoint) -> str:
    """The note without signatures of others: no byte of an export may be one that nobody checks."""
    head, _, tail = checkpoint.note.rpartition("\n\n")
    own = [line for line in tail.splitlines() if line.startswith(f"— {checkpoint.origin} ")]
    return f"{head}\n\n{own[0]}\n" if own else checkpoint.note


def _exactly(file: IO[bytes], length: int, what: str) -> bytes:
    content = file.read(length)
    if len(content) != length:
        raise BadData(f"{what}: the file is cut off")
    return content
