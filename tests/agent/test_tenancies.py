# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""What is next for a tenancy, as pure functions: no word in any order leads astray, and passcodes are fair."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbridge.agent.passcodes import make_passcode, without_passcode
from hpcbridge.agent.rentals import answered
from hpcbridge.agent.tenancies import (
    LONGEST_PAUSE_MS,
    MAX_TEXT,
    Account,
    Change,
    Standing,
    Step,
    Tenancy,
    begun,
    checked,
    closed,
    delivered,
    ended,
    failed,
    is_due,
    is_over,
    is_published,
    later,
    made,
    next_step,
    not_found,
    relayed,
    renewed,
    standing,
)
from hpcbridge.agent.tenants import report_of
from hpcbridge.model.entries import EntryOutcome
from hpcbridge.model.market import AccountState

AT = 1_795_349_592_000
TENANCY = Tenancy(rental="l7", username="bcdfghjk", queue="batch", cores=1, gpus=0, expires_at=AT + 1, sealing_key=b"k" * 32)
WORDS: dict[str, Change] = {
    "begun": partial(begun, at=AT),
    "made": partial(made, sealed=b"box", sealed_to=b"k" * 32, at=AT),
    "renewed": partial(renewed, sealed=b"box2", sealed_to=b"k" * 32, at=AT),
    "relayed": partial(relayed, sealed=b"box", at=AT),
    "checked": checked,
    "not found": not_found,
    "delivered": partial(delivered, sealed=b"box", at=AT),
    "closed": closed,
    "later": partial(later, reason="busy", at=AT),
    "failed": partial(failed, step=Step.CREATE, reason="no", at=AT),
    "ended": partial(ended, at=AT),
}


def test_the_usual_way() -> None:
    tenancy = TENANCY
    seen = [next_step(tenancy)]
    for word in ("begun", "made", "relayed", "ended", "closed"):
        tenancy = WORDS[word](tenancy)
        seen.append(next_step(tenancy))
    assert seen == [Step.CREATE, Step.CREATE, Step.RELAY, None, Step.CLOSE, None]
    assert report_of(tenancy).state is AccountState.CLOSED


@given(st.lists(st.sampled_from(sorted(WORDS)), max_size=12))
def test_whatever_happens_an_ended_rental_leads_to_no_open_account_and_an_open_one_is_never_closed(words: list[str]) -> None:
    tenancy = TENANCY
    for word in words:
        was_open, known = tenancy.is_open, tenancy.account
        tenancy = WORDS[word](tenancy)
        assert was_open or not tenancy.is_open, "an end is final"
        assert not (known is not Account.NONE and tenancy.account is Account.NONE), "what may be there is not forgotten"
        if tenancy.is_open:
            assert next_step(tenancy) is not Step.CLOSE
        elif tenancy.account in (Account.PERHAPS, Account.THERE):
            assert next_step(tenancy) is Step.CLOSE
        else:
            assert next_step(tenancy) is None
        assert is_published(tenancy) == (tenancy.account in (Account.THERE, Account.CLOSED))
        assert "box" not in repr(tenancy)


def test_pauses_double_up_to_ten_minutes_and_a_clock_that_jumped_holds_nobody_up() -> None:
    tenancy, pauses = TENANCY, []
    for _ in range(70):
        tenancy = later(tenancy, "busy", at=AT)
        pauses.append(tenancy.next_at - AT)
    assert pauses[:4] == [5_000, 10_000, 20_000, 40_000]
    assert pauses[-1] == LONGEST_PAUSE_MS
    assert not is_due(tenancy, AT)
    assert is_due(tenancy, AT + LONGEST_PAUSE_MS)
    assert is_due(tenancy, AT - 86_400_000), "the clock went back a day"
    assert ended(begun(tenancy, at=AT), AT).next_at == 0, "what failed before does not hold up the closing"


@pytest.mark.parametrize("code", [EntryOutcome.ILLEGAL_TRANSITION, EntryOutcome.NOT_PERMITTED])
def test_what_an_answer_means(code: EntryOutcome) -> None:
    ready = WORDS["made"](TENANCY)
    refused = answered(ready, report_of(ready), code, "it has ended", at=AT)
    assert refused.is_open is (code is not EntryOutcome.ILLEGAL_TRANSITION)
    assert refused.reported
    assert answered(ready, report_of(ready), EntryOutcome.ACCEPTED, "", at=AT).is_open
    late = answered(closed(ended(ready, AT)), report_of(ready), code, "", at=AT)
    assert not late.reported, "an answer to READY is none to CLOSED"


def test_reasons_fit_the_contract_and_hold_no_control_signs() -> None:
    gone = failed(TENANCY, Step.CREATE, "\x1b[2J" + "x" * 1000, fresh=True, at=AT)
    assert len(gone.report_text) == MAX_TEXT
    assert gone.report_text.isprintable()
    assert failed(TENANCY, Step.CREATE, "", at=AT).report_text
    assert standing(gone) is Standing.FAILED


def test_a_tenancy_is_forgotten_after_its_corrections_if_nothing_is_left_to_do() -> None:
    over = AT + 63 * 86_400_000
    done = closed(ended(WORDS["made"](TENANCY), AT))
    assert not is_over(done, over), "the ledger has not answered"
    answer = answered(done, report_of(done), EntryOutcome.ACCEPTED, "", at=AT)
    assert is_over(answer, over)
    assert not is_over(answer, AT + 59 * 86_400_000)
    assert not is_over(ended(WORDS["made"](TENANCY), AT), over), "an account that is not closed is not forgotten"


def test_passcodes_are_long_fair_and_cannot_be_misread() -> None:
    chance = random.Random(1)
    passcodes = [make_passcode(chance.randbytes) for _ in range(4000)]
    assert len(set(passcodes)) == len(passcodes)
    assert all(re.fullmatch(r"[a-hjkmnp-z2-9]{5}(-[a-hjkmnp-z2-9]{5}){3}", each) for each in passcodes)
    counts = Counter(itertools.chain.from_iterable(each.replace("-", "") for each in passcodes))
    assert 20 * math.log2(len(counts)) >= 80
    expected = 4000 * 20 / len(counts)
    assert all(abs(count - expected) < 6 * math.sqrt(expected) for count in counts.values())
    assert counts.keys().isdisjoint("ilo01")


def test_control_without_rejection_some_signs_come_more_often() -> None:
    biased = Counter(byte % 31 for byte in range(256))
    assert len(set(biased.values())) > 1


def test_a_scripts_words_are_withheld_if_any_of_the_passcode_is_among_them() -> None:
    passcode = "abcde-fghjk-mnpqr-stuvw"
    assert without_passcode("no room", passcode) == "no room"
    assert "withheld" in without_passcode("cannot set abcde-fghj", passcode)
    assert "withheld" in without_passcode("…pqr-stuvw", passcode)
    assert without_passcode("abcde", None) == "abcde"
