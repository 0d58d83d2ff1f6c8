# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- a script, not a package
"""Writes docs/api-reference.md: every transaction, query, outcome and event, from the code that holds them. `--check` compares instead."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from docs.api_examples import OTHER_CALLS, PAPER, QUERY_NOTES, TRANSACTION_EXAMPLES
from docs.read_contract import Refusal, events_of, refusals_of
from hpcbridge.client import Client
from hpcbridge.contract import FUNCTIONS
from hpcbridge.contract.access import QUESTIONS, TABLE_1, Query, Share, always
from hpcbridge.contract.events import RECORDS
from hpcbridge.model.entries import EntryOutcome, EventType, RejectionCode, RetryCode
from hpcbridge.model.identities import Role
from hpcbridge.model.transactions import PayloadType
from hpcbridge.service.marketquestions import MARKET_QUESTIONS
from hpcbridge.service.queries import QUESTIONS as SERVICE_QUESTIONS
from hpcbridge.service.relay import Relay
from hpcbridge.submitter.submit import REFUSAL_HINTS
from hpcbridge.wire.convert import BODY_TYPES
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.status import REFUSALS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api-reference.md"

CANNOT_BE: Mapping[PayloadType, frozenset[str]] = {
    # what is held again was paid back a line before, so it is there
    PayloadType.JOB_CHANGES: frozenset({EntryOutcome.NO_CREDIT}),
    # a tick skips what it cannot end; its jobs and accounts are on record
    PayloadType.TICK: frozenset({EntryOutcome.NO_CREDIT, EntryOutcome.ILLEGAL_TRANSITION}),
    # the last line of a rental is written before it is over, and only lines after that are told as corrections
    PayloadType.CANCELLATION: frozenset({EventType.RENTAL_CORRECTED}),
    PayloadType.ACCOUNT: frozenset({EventType.RENTAL_CORRECTED}),
}
"""What stands on the way of a function, and cannot come about on it, with the reason."""

BY_THE_FOLD: Mapping[EventType, str] = {EventType.EPOCH_CLOSED: "two payloads with one number (the evidence is the entry)"}
"""Events that no transaction's function tells."""

ANSWERS: Mapping[str, Callable[..., Any]] = {
    **SERVICE_QUESTIONS,
    **MARKET_QUESTIONS,
    Query.LEAVE_SEALED: Relay.leave,
    Query.COLLECT_SEALED: Relay.collect,
}
"""Who answers each unary call."""

HEAD = """\
# API reference

Made by `make docs` from the code that holds each rule; [Programs](api.md) says how to use it, [The market](market.md) what it means.

* **Transactions** are signed and become an entry of the log, accepted or refused. **Queries** change nothing, and their answers are not
  proven.
* Money is an integer of micro-units, an instant an integer of milliseconds since 1970 UTC. A field that may be `None` is unknown, or no
  matter.
* Examples are Python with an open `client` (`hpcbridge.client.Client`) and words of `hpcbridge.model`. Other languages use the same payload
  types and calls by `proto/hpcbridge/v1/`.
"""

TRANSACTIONS = """\
## Transactions

Every transaction can be refused with `MALFORMED` (the body is not what its type says, or needs a later version of the contract),
`NOT_PERMITTED` (the role or its rule says no; the reason names the rule), `NOT_APPROVED` (the member waits for an admin, or was stopped;
only `EPOCH_START` is taken from it) and `UNKNOWN_TYPE` (the contract in force has no such function). Beyond that, the lists say what each
one is refused with, reasons as they read, `…` for what is filled in. A refusal changes nothing but the submitter's number.

A role marked * may do this although the paper's Table 1 does not say so ([why](adr/)).
"""

QUERIES = """\
## Queries

**all**: everything there is. **own**: what is the caller's; what is somebody else's is answered as if it were not there (`NOT_FOUND`, or
left out of a list). **nothing**: `NOT_PERMITTED`. A member with the attribute `auditor` sees what an admin sees, except what is sealed; one
that is not approved sees its own at most. A cursor or name that cannot be read is `MALFORMED`. Lists come in pages: pass `next` as `after`
until it is empty.
"""

OUTCOMES = """\
## Outcomes

What the contract says of an item stands in the entry and is proven by the receipt. A query that is refused ends with the gRPC status beside
it; the exact code is in the trailing metadata `hpcbridge-code`, advice in `hpcbridge-hint-bin`.
"""

EVENTS = """\
## Events

A member hears what is addressed to it: of its clusters, rentals, jobs and account. Admins and auditors hear all. Both sides of a rental
hear of it, each in the form for its eyes.
"""


def main() -> int:
    """Exit status 1 if `--check` finds the page out of date."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    parts = [HEAD, paper(), client(), TRANSACTIONS, *map(transaction, PayloadType), QUERIES, *map(query, _calls()), outcomes(), events()]
    return "\n".join(parts)


def paper() -> str:
    """The paper's functions under our names."""
    rows = ((f"`{name}`" if name[0].islower() and " " not in name else name, *where) for name, where in PAPER.items())
    return "## The paper's functions\n\n" + table(("paper", "here", "called by"), rows)


def client() -> str:
    """Every function of the Python client."""
    methods = [(name, method) for name, method in vars(Client).items() if not name.startswith("_")]
    rows = ((f"`{name}{_signature(method)}`", _first_sentences(method)) for name, method in methods)
    return "## The Python client\n\n" + table(("function", "what it does"), rows)


def transaction(payload_type: PayloadType) -> str:
    """One transaction: who, what, how it is refused, what follows, an example."""
    body, function = BODY_TYPES[payload_type], FUNCTIONS.get(payload_type)
    parts = [f"### {payload_type.name}\n", f"{docs_of(PayloadType)[payload_type.name]} `{payload_type}`\n", _who(payload_type)]
    parts.append(f"**Body** `{body.__name__}`: {_plain(inspect.getdoc(body) or '')}\n")
    parts.extend(_fields(body))
    excluded = CANNOT_BE.get(payload_type, frozenset())
    if function is not None:
        refusals = [each for each in refusals_of(function) if each.code not in excluded]
        told = [each for each in events_of(function) if each not in excluded]
        parts.append(_refused(refusals))
        parts.append(f"**Events**: {', '.join(f'`{each}`' for each in told) or 'none'}.\n")
    parts.append(code(TRANSACTION_EXAMPLES[payload_type]))
    return "\n".join(parts)


def query(name: str) -> str:
    """One call of the API that is no transaction."""
    method = _methods()[name]
    words, example = OTHER_CALLS.get(name) or QUERY_NOTES[name]
    parts = [f"### {name}\n", f"{words}\n", table(("", ""), _call_rows(name, method)), code(example)]
    return "\n".join(parts)


def outcomes() -> str:
    """Every code with which something is not accepted."""
    entry = ((f"`{each}`", docs_of(EntryOutcome)[each.name], _status(each), REFUSAL_HINTS.get(each, "")) for each in EntryOutcome)
    rejection = ((f"`{each}`", docs_of(RejectionCode)[each.name], _status(each)) for each in RejectionCode)
    retry = ((f"`{each}`", docs_of(RetryCode)[each.name]) for each in RetryCode)
    return "\n".join(
        [
            OUTCOMES,
            table(("entry outcome", "meaning", "gRPC status", "what to do"), entry),
            "**Rejected**: never send these bytes again. They are no entry and used no number.\n",
            table(("rejection", "meaning", "gRPC status"), rejection),
            "**Retry**: send the same bytes again later.\n",
            table(("retry", "meaning"), retry),
        ]
    )


def events() -> str:
    """Every type of event."""
    causes: dict[EventType, list[str]] = {each: [] for each in EventType}
    for payload_type, function in FUNCTIONS.items():
        for each in events_of(function):
            if each not in CANNOT_BE.get(payload_type, frozenset()):
                causes[each].append(f"`{payload_type.name}`")
    rows = (
        (f"`{each}`", docs_of(EventType)[each.name], f"`{RECORDS[each].__name__}`", ", ".join(causes[each]) or BY_THE_FOLD[each])
        for each in EventType
    )
    return "\n".join(
        [
            EVENTS,
            table(("event", "meaning", "body", "caused by"), rows),
        ]
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Markdown; a bar in a cell is escaped."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""])


def code(text: str) -> str:
    """An example."""
    return f"```python\n{text}\n```\n"


@cache
def docs_of(kind: type[enum.Enum]) -> Mapping[str, str]:
    """The line under each member of an enumeration."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    found: dict[str, str] = {}
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for member, words in itertools.pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name) and isinstance(words, ast.Expr):
            found[member.targets[0].id] = str(ast.literal_eval(words.value))
    return found


def _who(payload_type: PayloadType) -> str:
    row = TABLE_1[payload_type]
    if not row.rules:
        return "**Sent by** nobody: it is entry 0 or nothing.\n"
    lines = []
    for rule in dict.fromkeys(row.rules.values()):
        roles = ", ".join(_role(role) + ("*" if role in row.beyond else "") for role in row.rules if row.rules[role] is rule)
        own = "" if rule is always else f": {_plain(inspect.getdoc(rule) or '')}"
        codes = sorted({str(each.code) for each in refusals_of(rule)})
        refused = f" Else {' or '.join(f'`{each}`' for each in codes)}." if codes else ""
        lines.append(f"* {roles}{own}{refused}")
    return "**Sent by**\n\n" + "\n".join(lines) + "\n"


def _fields(body: type) -> Iterator[str]:
    rows = [(f"`{each.name}`", f"`{each.type}`", _default(each)) for each in dataclasses.fields(body)]
    if rows:
        yield table(("field", "type", "unless given"), rows)


def _default(field: dataclasses.Field[Any]) -> str:
    return "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"


def _refused(refusals: list[Refusal]) -> str:
    if not refusals:
        return "**Refused with** nothing of its own.\n"
    rows = ((f"`{each.code}`", _reason(each)) for each in refusals)
    return "**Refused with**\n\n" + table(("code", "reason"), rows)


def _reason(refusal: Refusal) -> str:
    if refusal.reason.strip("…"):
        return refusal.reason
    return "the reason names the field and what it may be" if refusal.code is EntryOutcome.MALFORMED else "the reason says what"


def _call_rows(name: str, method: Any) -> Iterator[tuple[str, str]]:
    service = method.containing_service.name
    streams = {(True, True): ", both ways a stream", (False, True): ", a stream"}.get(
        (method.client_streaming, method.server_streaming), ""
    )
    yield "call", f"`hpcbridge.v1.{service}/{name}`{streams}"
    if name in set(Query):
        shares = QUESTIONS[Query(name)]
        yield "who sees how much", ", ".join(f"{_role(role)} {share.value.lower()}" for role, share in shares.items())
    else:
        yield "who", "everybody" if service == "Ledger" else "whoever has a token, or the key"
    yield "asks", _message(method.input_type)
    yield "gets", _message(method.output_type)
    if name in ANSWERS:
        given = QUESTIONS[Query(name)].values()
        refusals = [each for each in refusals_of(ANSWERS[name]) if Share.NOTHING in given or "may not ask" not in each.reason]
        yield "refused with", "; ".join(f"`{each.code}`: {_reason(each)}" for each in refusals) or "nothing of its own"


def _message(message: Any) -> str:
    fields = ", ".join(f"`{field.name}`" for field in message.fields)
    return f"`{message.name}`: {fields}" if fields else f"`{message.name}`, empty"


def _calls() -> list[str]:
    """Every call, in the order of the services."""
    return list(_methods())


def _methods() -> dict[str, Any]:
    services = ledger_pb2.DESCRIPTOR.services_by_name.values()
    return {method.name: method for service in services for method in service.methods}


def _status(each: str) -> str:
    return f"`{REFUSALS[each].name}`" if each in REFUSALS else ""


def _role(role: Role) -> str:
    return role.value.lower().replace("_", " ")


def _signature(method: Any) -> str:
    if isinstance(method, property):
        return ""
    text = str(inspect.signature(method)).replace("(self, ", "(").replace("(self)", "()")
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def _first_sentences(method: Any) -> str:
    """The first paragraph of a docstring."""
    return _plain((inspect.getdoc(method) or "").partition("\n\n")[0])


def _plain(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
