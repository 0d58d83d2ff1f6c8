# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Refusals are counted by what, code and rule; a reason that a stranger wrote names no rule, and what became no entry is counted too."""

from __future__ import annotations

import threading

from hpcbridge.identity.keys import new_key
from hpcbridge.identity.sealing import seal
from hpcbridge.model.entries import Rejected, RejectionCode, Retry, RetryCode
from hpcbridge.model.identities import Submitter
from hpcbridge.model.transactions import Header, Payload, PayloadType, Seen, Tick
from hpcbridge.service.admission import Admission, VerifiedSignatures
from hpcbridge.service.refusals import Refusals
from hpcbridge.service.standings import Standings
from hpcbridge.wire.convert import encode, encode_body


def test_by_what_code_and_rule() -> None:
    refusals = Refusals()
    refusals.count("RENTAL", ["NOT_FOUND"], ["ann has no offer 'r1-1' (rule: own_request)"])
    refusals.count("RENTAL", ["NOT_PERMITTED"], ["role PROVIDER may not send RENTAL (rule: Table 1)"])
    refusals.count("RENTAL", ["NO_CREDIT"], ["5 micro-units are needed"])
    refusals.count("JOB_CHANGES", ["ACCEPTED", "STALE", "ACCEPTED", "MALFORMED"], ["a younger one", "what (rule: of_mine)"])
    refusals.count("RENTAL", ["NO_CREDIT"])
    refusals.count_envelope(Rejected(RejectionCode.REVOKED, "x"))
    refusals.count_envelope(Retry(RetryCode.KEY_EXPIRED, "x"))
    assert dict(refusals.counted()) == {
        "RENTAL:NOT_FOUND:own_request": 1,
        "RENTAL:NOT_PERMITTED:TABLE_1": 1,
        "RENTAL:NO_CREDIT": 2,
        "JOB_CHANGES:STALE": 1,
        "JOB_CHANGES:MALFORMED": 1,
        "ENVELOPE:REVOKED": 1,
        "ENVELOPE:KEY_EXPIRED": 1,
    }


def test_an_envelope_that_admission_refuses_is_counted() -> None:
    refusals = Refusals()
    admission = Admission("test", Standings(lambda _: None), VerifiedSignatures(), now=lambda: 0, refusals=refusals)
    header = Header(origin="test", submitter=Submitter("ann", "x"), epoch=bytes(16), sequence=1, seen=Seen(size=0, root=b""), wall_at=0)
    sealed = encode(seal(encode(Payload(header=header, body=encode_body(Tick()))), PayloadType.TICK, new_key()))
    admission.check_all([sealed, b"no envelope", sealed])
    assert dict(refusals.counted()) == {"ENVELOPE:KEY_UNKNOWN": 2, "ENVELOPE:MALFORMED_HEADER": 1}


def test_threads_lose_no_count() -> None:
    refusals = Refusals()

    def count() -> None:
        for _ in range(2000):
            refusals.count("TICK", ["STALE"])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals.counted() == (("TICK:STALE", 8000),)
