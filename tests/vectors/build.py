# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the published vectors beside this file; `--check` compares instead and fails if they differ.

Run from the top of the checkout: `python -m tests.vectors.build [--check]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hpcbridge.ledger.checkpoint import checkpoint_text, log_key_id, sign_checkpoint
from hpcbridge.ledger.merkle import leaf_hash
from hpcbridge.ledger.receipt import receipt_to_text
from hpcbridge.ledger.tiles import Tree
from hpcbridge.model.entries import Receipt
from tests.ledger_filling import LeavesInMemory

DIRECTORY = Path(__file__).parent
ORIGIN = "ledger.example"
SECRET_KEY = bytes(range(32))
LEAVES = [b"entry %d" % index for index in range(21)]
INDEX = 5


def log_vectors() -> object:
    """Leaf hashes, one signed checkpoint and one receipt."""
    key = Ed25519PrivateKey.from_private_bytes(SECRET_KEY)
    public = key.public_key().public_bytes_raw()
    tree = Tree(LeavesInMemory())
    for leaf in LEAVES:
        tree.append(leaf_hash(leaf))
    checkpoint = sign_checkpoint(ORIGIN, tree.size, root=tree.root(), key=key)
    receipt = Receipt(leaf=LEAVES[INDEX], index=INDEX, proof=tree.inclusion_proof(INDEX, tree.size), checkpoint=checkpoint)
    return {
        "leaves": [{"leaf": leaf.hex(), "leaf_hash": leaf_hash(leaf).hex()} for leaf in LEAVES],
        "checkpoint": {
            "origin": ORIGIN,
            "secret_key": SECRET_KEY.hex(),
            "public_key": public.hex(),
            "key_id": log_key_id(ORIGIN, public).hex(),
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "signed_text": checkpoint_text(ORIGIN, tree.size, root=tree.root()).encode().hex(),
            "note": checkpoint.note,
        },
        "receipt": {"index": INDEX, "proof": [hash_.hex() for hash_ in receipt.proof], "text": receipt_to_text(receipt)},
    }


VECTORS: Mapping[str, Callable[[], object]] = {"log.json": log_vectors}


def different() -> list[str]:
    """Names of the files that are not what this program would write."""
    return [name for name, text in _texts().items() if not (DIRECTORY / name).exists() or (DIRECTORY / name).read_text() != text]


def main(arguments: list[str]) -> int:
    """Writes or, with --check, compares."""
    if arguments == ["--check"]:
        for name in different():
            sys.stderr.write(f"{DIRECTORY / name} differs from what build.py makes\n")
        return 1 if different() else 0
    for name, text in _texts().items():
        (DIRECTORY / name).write_text(text)
    return 0


def _texts() -> dict[str, str]:
    return {name: json.dumps(make(), indent=2, ensure_ascii=False) + "\n" for name, make in VECTORS.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
