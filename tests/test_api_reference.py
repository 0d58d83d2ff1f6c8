# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""docs/api-reference.md: made from the code of today, names everything there is, and each of its examples fits what it calls."""

from __future__ import annotations

import ast
import builtins
import enum
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from docs import api_examples, make_api_reference, read_contract
from hpcbridge import model
from hpcbridge.client import Client
from hpcbridge.contract import FUNCTIONS
from hpcbridge.contract.access import QUESTIONS, TABLE_1, Query, always
from hpcbridge.contract.rentals import rent
from hpcbridge.model.entries import EntryOutcome, EventType, RejectionCode, RetryCode
from hpcbridge.model.transactions import PayloadType
from hpcbridge.wire.generated import ledger_pb2

PAGE = make_api_reference.PAGE.read_text(encoding="utf-8")
EXAMPLES = [
    *api_examples.TRANSACTION_EXAMPLES.values(),
    *(example for _, example in api_examples.QUERY_NOTES.values()),
    *(example for _, example in api_examples.OTHER_CALLS.values()),
]


def test_the_page_is_of_today() -> None:
    assert make_api_reference.page() == PAGE, "run: make docs"


@pytest.mark.parametrize("kind", [EntryOutcome, EventType, RejectionCode, RetryCode])
def test_every_code_and_event_has_a_row(kind: type[enum.Enum]) -> None:
    assert [each.value for each in kind if f"\n| `{each.value}` | " not in PAGE] == []


def test_every_transaction_and_call_has_a_section() -> None:
    calls = [method.name for service in ledger_pb2.DESCRIPTOR.services_by_name.values() for method in service.methods]
    assert [name for name in (*PayloadType.__members__, *calls) if f"\n### {name}\n" not in PAGE] == []
    assert set(calls) >= {str(query) for query in QUESTIONS} == {str(query) for query in Query}
    assert set(api_examples.TRANSACTION_EXAMPLES) == set(PayloadType)
    streams = {Query.SUBSCRIBE, Query.READ_ENTRIES}
    assert set(make_api_reference.ANSWERS) == {str(query) for query in Query} - streams


def test_each_role_stands_with_its_rule() -> None:
    for payload_type, row in TABLE_1.items():
        section = PAGE.partition(f"\n### {payload_type.name}\n")[2].partition("**Body**")[0]
        sent_by = section.partition("**Sent by**")[2]
        assert sent_by.startswith(" nobody") is not bool(row.rules)
        for role, rule in row.rules.items():
            mark = "*" if role in row.beyond else ""
            assert re.search(rf"\b{role.value.lower().replace('_', ' ')}{re.escape(mark)}[,:\n]", sent_by), (payload_type, role)
            assert rule is always or " ".join((rule.__doc__ or "").split()) in sent_by


def test_every_function_of_the_paper_and_of_the_client_is_there() -> None:
    for name in ("requestComputingResources", "findResourceMatching", "displayResourcesAndRentalPrice", "weighPriceByDistance",
                 "generateAccessUsername", "getHpcSystemDetail", "getUserDetail", "listAllHpcSystems", "listAllUsers"):  # fmt: skip
        assert f"\n| `{name}` | " in PAGE
    public = [name for name in vars(Client) if not name.startswith("_")]
    assert [name for name in public if f"\n| `{name}(" not in PAGE and f"\n| `{name}` | " not in PAGE] == []


def test_what_a_transaction_is_refused_with_is_read_from_its_source() -> None:
    found = read_contract.refusals_of(rent)
    codes = {each.code for each in found}
    market = {EntryOutcome.NO_CREDIT, EntryOutcome.NO_CAPACITY, EntryOutcome.OUTDATED, EntryOutcome.CLOSED, EntryOutcome.TOO_MANY}
    assert market <= codes
    assert read_contract.Refusal(EntryOutcome.NOT_PERMITTED, "nobody rents from itself") in found
    assert read_contract.Refusal(EntryOutcome.MALFORMED, "…") in found
    assert read_contract.events_of(rent) == (EventType.RENTAL_GRANTED,)
    told = {event for function in FUNCTIONS.values() for event in read_contract.events_of(function)}
    assert set(EventType) - told == set(make_api_reference.BY_THE_FOLD)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_fits_what_it_calls(example: str) -> None:
    assert list(faults(example)) == []


@pytest.mark.parametrize(
    "example", ["client.rnt('r1-1', 'q1')", "client.rent('r1-1')", "client.submit(Request(kores=1))", "client.submit(Reqest(cores=1))"]
)
def test_one_that_does_not_fit_is_found(example: str) -> None:
    assert list(faults(example)) != []


def faults(example: str) -> Iterator[str]:
    """Names that do not exist, and calls that their target would not take."""
    names = words() | {"client": Client, "fresh_key": b"", "sha256": sha256, "Path": Path}
    tree = ast.parse(example)
    own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in names.keys() | own | vars(builtins).keys():
            yield f"no {node.id}"
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "client"
            and not hasattr(Client, node.attr)
        ):
            yield f"no client.{node.attr}"
        if isinstance(node, ast.Call):
            yield from unfit(node, names)


def unfit(call: ast.Call, names: Mapping[str, Any]) -> Iterator[str]:
    target: Any = None
    places: list[Any] = [None] * len(call.args)
    if isinstance(call.func, ast.Name):
        target = names.get(call.func.id)
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "client":
        target, places = getattr(Client, call.func.attr, None), [None, *places]
    if inspect.isfunction(target) or (isinstance(target, type) and target is not Path):
        try:
            inspect.signature(target).bind(*places, **{each.arg or "": None for each in call.keywords})
        except TypeError as error:
            yield f"{ast.unparse(call)}: {error}"


def words() -> dict[str, Any]:
    """Everything that the modules of words define."""
    modules = [importlib.import_module(f"{model.__name__}.{each.name}") for each in pkgutil.iter_modules(model.__path__)]
    return {name: value for module in modules for name, value in vars(module).items() if not name.startswith("_")}
