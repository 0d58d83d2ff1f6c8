# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- a script, not a package
"""Writes docs/worked-example.md: one job change from a line of squeue to the event at a subscriber, in bytes.

Everything is made by the code that runs in production, with keys that everybody knows; `--check` compares instead of writing.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from google.protobuf.json_format import MessageToDict  # noqa: E402 -- the repository's root must be on the path first

from hpcbridge.contract.state import effects_hash  # noqa: E402
from hpcbridge.identity.keys import public_bytes  # noqa: E402
from hpcbridge.identity.sealing import pae, verify_envelope  # noqa: E402
from hpcbridge.ledger.checkpoint import checkpoint_text  # noqa: E402
from hpcbridge.ledger.merkle import leaf_hash  # noqa: E402
from hpcbridge.ledger.receipt import receipt_from_text, receipt_to_text  # noqa: E402
from hpcbridge.model.entries import Cursor, Entry  # noqa: E402
from hpcbridge.model.jobs import Job, JobState  # noqa: E402
from hpcbridge.model.schema import job_as_json  # noqa: E402
from hpcbridge.model.transactions import Envelope, Header, JobChange, JobChanges, Payload, PayloadType  # noqa: E402
from hpcbridge.schedulers.report import Report  # noqa: E402
from hpcbridge.schedulers.slurm.scheduler import SlurmScheduler  # noqa: E402
from hpcbridge.service.answers import event_message  # noqa: E402
from hpcbridge.wire.convert import decode, decode_body, encode_body  # noqa: E402
from tests.honest_log import HonestLog, Signer  # noqa: E402
from tests.small_network import SmallNetwork  # noqa: E402

TARGET = ROOT / "docs" / "worked-example.md"
RECORDING = ROOT / "tests" / "recorded" / "slurm" / "22.05.8" / "zoo"
JOB_ID = "5"
CLUSTER = "one"


def main() -> int:
    """Writes or checks the file."""
    text = example()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{TARGET} is not what {Path(__file__).name} makes now; run it without --check and look at the difference\n")
    return 1


def example() -> str:
    """The page."""
    header_line, line, job = parsed()
    network = SmallNetwork()
    log, provider = network.log, network.one
    running = dataclasses.replace(job, state=JobState.RUNNING, outcome=None, native_state="RUNNING", ended_at=None, exit_code=None)
    for before in (dataclasses.replace(running, state=JobState.QUEUED, native_state="PENDING", started_at=None, nodes=()), running):
        log.submit(provider, JobChanges(cluster=CLUSTER, changes=(JobChange(job=before, observed_at=log.at),)))
    network.see(provider)
    body = JobChanges(cluster=CLUSTER, changes=(JobChange(job=job, observed_at=log.at),))
    raw = provider.sign(body, log.at)
    log.append(raw)
    index = len(log.leaves) - 1
    log.tick()
    sections = [
        PREFACE,
        line_section(header_line, line),
        job_section(job),
        payload_section(raw, body),
        envelope_section(raw, provider),
        entry_section(log, index),
        tree_section(log, index),
        receipt_section(log, index),
        event_section(log, index),
    ]
    return "\n".join(sections)


def parsed() -> tuple[str, str, Job]:
    """Header, one record of a recorded report, and the job it is."""
    meta = json.loads((RECORDING / "meta.json").read_text())
    lines = (RECORDING / "jobs.out").read_text(encoding="utf-8", errors="replace").split("\n")
    line = next(each for each in lines if each.split("|")[2:3] == [JOB_ID])
    stdout = f"{lines[0]}\n{line}\n".encode()
    report = Report(query="jobs", argv=tuple(meta["queries"]["jobs"]["argv"]), exit_status=0, stdout=stdout, stderr=b"")
    (job,) = SlurmScheduler(CLUSTER).jobs(report).records
    return lines[0], line, dataclasses.replace(job, incarnation=1)


PREFACE = """\
# One update in bytes

*Made by `make docs` (docs/make_worked_example.py) from the code that runs in production; a test compares. The keys are fixed and known to
everybody: the private P-256 key of `name/installation` is SHA-256 of that text, the log key SHA-256 of `log`.*

A job has ended on the cluster `one` of the provider `hpc-one`. Its way is that of [Life of a job update](concepts.md).
"""


def line_section(header_line: str, line: str) -> str:
    """What the scheduler printed."""
    return f"""\
## 1. The line

`scheduler_scripts/slurm/jobs` prints what squeue prints. `{header_line.split("|")[1]}` is the nonce of this call: a job name cannot
forge a record.

{block(header_line)}
{block(line)}"""


def job_section(job: Job) -> str:
    """The job in the standard schema."""
    return f"""\
## 2. The change

`schedulers/slurm/scheduler.py` makes a job of the standard schema of it, `agent/changes.py` gives it its incarnation and finds that it
changed (RUNNING before). Unknown is `null`, never a guess.

{block(json.dumps({name: value for name, value in job_as_json(job).items() if value is not None}, indent=1), "json")}"""


def payload_section(raw: bytes, body: JobChanges) -> str:
    """Header and body."""
    payload_bytes = decode(Envelope, raw).payload
    payload = decode(Payload, payload_bytes)
    if decode_body(PayloadType.JOB_CHANGES, payload.body) != body:
        raise ValueError("the payload does not carry the change")
    return f"""\
## 3. The payload

The body is a `JobChanges` message, {len(payload.body)} bytes
(SHA-256 `{sha256(encode_body(body)).hexdigest()}`).
In front of it stands a header: for which ledger, who, which number, and what the submitter had verified of the log before.

{block(words_of(payload.header))}
Header and body together are the payload, {len(payload_bytes)} bytes. Its SHA-256 is the transaction's identity, whoever signs:
`{sha256(payload_bytes).hexdigest()}`

{block(dump(payload_bytes))}"""


def envelope_section(raw: bytes, provider: Signer) -> str:
    """What is signed and sent."""
    envelope = decode(Envelope, raw)
    verify_envelope(envelope, public_bytes(provider.key))
    signed_bytes = pae(envelope.payload_type, envelope.payload)
    return f"""\
## 4. The envelope

Signed is the pre-authentication encoding of DSSE: `DSSEv1`, length and text of the payload type, length and bytes of the payload.
It begins with

{block(signed_bytes[: signed_bytes.index(envelope.payload)].decode())}
and has SHA-256 `{sha256(signed_bytes).hexdigest()}`.
The signature is ECDSA P-256 with SHA-256 (here as in RFC 6979, so that this page is always the same):

{block(f"key_id     {envelope.key_id.hex()}" + chr(10) + f"signature  {envelope.signature.hex()}")}
The public key of `{provider.submitter}` (DER SubjectPublicKeyInfo, base64):

{block(base64.b64encode(public_bytes(provider.key)).decode())}
Payload, type, key id and signature are the envelope, {len(raw)} bytes
(SHA-256 `{sha256(raw).hexdigest()}`).
These bytes are sent, stored and hashed; nobody encodes them a second time."""


def entry_section(log: HonestLog, index: int) -> str:
    """The leaf."""
    leaf, applied = log.leaves[index], log.applied[index]
    entry = decode(Entry, leaf)
    if entry.effects_hash != effects_hash(applied.writes, applied.events):
        raise ValueError("the entry does not commit to its effects")
    writes = "\n".join(f"{key}  {len(value)} bytes" if value is not None else f"{key}  removed" for key, value in applied.writes)
    return f"""\

## 5. The entry

The fold checks key, signature, origin and number, the contract the rest. It writes

{block(writes)}
and one event (section 8). The hash over both stands in the entry beside the outcome of each item, so that whoever holds the entry
holds the result:

{block(words_of(entry, leave_out="envelope"))}
The entry is the leaf, {len(leaf)} bytes:

{block(dump(leaf))}"""


def tree_section(log: HonestLog, index: int) -> str:
    """Leaf hash, root and checkpoint."""
    receipt, checkpoint = log.receipt(index), log.checkpoint()
    path = "\n".join(hash_.hex() for hash_ in receipt.proof)
    signed_text = checkpoint_text(checkpoint.origin, checkpoint.size, root=checkpoint.root)
    return f"""\
## 6. Tree and checkpoint

The leaf hash is SHA-256 of a zero byte and the leaf (RFC 6962),
`{leaf_hash(log.leaves[index]).hex()}`. With the hashes beside its way up

{block(path)}
it leads to the root of {checkpoint.size} leaves, `{checkpoint.root.hex()}`.
The log key (Ed25519, public half `{log.pins.log_key.hex()}`) signs origin, size and root,
{len(signed_text.encode())} bytes of text; text and signature are the checkpoint:

{block(checkpoint.note)}"""


def receipt_section(log: HonestLog, index: int) -> str:
    """The file."""
    text = receipt_to_text(log.receipt(index))
    receipt_from_text(text, log.pins.origin, log.pins.log_key)
    lines = [line if len(line) <= 120 else f"{line[:100]}… ({len(line)} characters)" for line in text.splitlines()]
    return f"""\
## 7. The receipt

Leaf, index, proof and checkpoint in one file, a C2SP tlog-proof; `hpcbridgectl receipt verify FILE` needs no network. Only now may the
agent's spool forget the change. (`extra` is the leaf in base64, cut off here.)

{block(chr(10).join(lines))}
SHA-256 of the whole file: `{sha256(text.encode()).hexdigest()}`"""


def event_section(log: HonestLog, index: int) -> str:
    """What a subscriber reads."""
    (event,) = log.events[index]
    message = event_message(Cursor(index, 1), event, decode(Entry, log.leaves[index]).at)
    content = message.SerializeToString(deterministic=True)
    shown = MessageToDict(message, preserving_proto_field_name=True)
    shown["job"] = {"…": "as in section 2"}
    return f"""\

## 8. The event

It is for the provider `{event.audience}` (admins and auditors see all) and has number {event.audience_number} among what is: a hidden
one would leave a hole.

{block(json.dumps(shown, indent=1, ensure_ascii=False), "json")}
On the wire, {len(content)} bytes:

{block(dump(content))}"""


def words_of(word: Header | Entry, *, leave_out: str = "") -> str:
    """Field names and values, one a line."""
    rows = []
    for field in dataclasses.fields(word):
        value = getattr(word, field.name)
        if field.name == "seen":
            value = f"size {value.size}, root {value.root.hex()}"
        elif field.name == leave_out:
            value = f"the {len(value)} bytes of section 4"
        elif isinstance(value, bytes):
            value = value.hex()
        elif isinstance(value, tuple):
            value = ", ".join(value)
        rows.append(f"{field.name:<12}  {value}")
    return "\n".join(rows)


def dump(content: bytes) -> str:
    """Hexadecimal, 32 bytes a line, with the offset."""
    return "\n".join(f"{start:04x}  {content[start : start + 32].hex(' ', -4)}" for start in range(0, len(content), 32))


def block(text: str, language: str = "text") -> str:
    """A code block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
