# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- part of a script, not of a package
"""What the API reference says beside what follows from code: an example for each transaction and query, the paper's names, and words.

Examples are lines of a program with an open `client`; a test holds every call in them to the signature of what is called.
"""

from __future__ import annotations

from collections.abc import Mapping

from hpcbridge.contract.access import Query
from hpcbridge.model.transactions import PayloadType

PAPER: Mapping[str, tuple[str, str]] = {
    "requestComputingResources": ("transaction `REQUEST`", "`client.request`, `hpcbridgectl offers`"),
    "findResourceMatching": (
        "part of `REQUEST`: what fits is frozen as offers, what does not as reasons",
        "`client.why`, `hpcbridgectl why`",
    ),
    "displayResourcesAndRentalPrice": ("query `ListOffers`", "`client.offers`, `hpcbridgectl offers --request`"),
    "weighPriceByDistance": ("part of `REQUEST`: every rate of an offer includes it", "`offer.queues[0].rates`"),
    "generateAccessUsername": ("part of `RENTAL`", "`rental.username`"),
    "getHpcSystemDetail": ("query `GetHpcSystemDetail`", "`client.cluster`, `hpcbridgectl clusters show`"),
    "listAllHpcSystems": ("query `ListAllHpcSystems`", "`client.clusters`, `hpcbridgectl clusters list`"),
    "getUserDetail": ("query `GetUserDetail`", "`client.member`"),
    "listAllUsers": ("query `ListAllUsers`", "`client.members`, `hpcbridgectl admin members`"),
    "register and update a system": ("transaction `REGISTRATION`", "`hpcbridged`, from its configuration"),
    "update a cluster's state": ("transaction `CLUSTER_STATE`", "`hpcbridged`"),
    "update a job's status": ("transaction `JOB_CHANGES`", "`hpcbridged`"),
}
"""The paper's functions, what they are on the wire, and how one calls them."""

_SYSTEM = "# by the ledger's own system node; no member sends it"

TRANSACTION_EXAMPLES: Mapping[PayloadType, str] = {
    PayloadType.GENESIS: "# entry 0, written by hpcbridge-ledgerd init",
    PayloadType.EPOCH_START: "client.finish()  # number 1 of an epoch is sent by itself where one is needed",
    PayloadType.TICK: _SYSTEM,
    PayloadType.ENROLMENT: _SYSTEM,
    PayloadType.RENEWAL: _SYSTEM,
    PayloadType.TOKEN: 'print(client.invite(Role.USER, "ulla", minutes=60))',
    PayloadType.REVOCATION: 'client.revoke("ulla", installation="laptop", reason="stolen")',
    PayloadType.DECISION: 'client.approve("aurora", note="contract of 3 May")',
    PayloadType.PARAMETERS: 'client.set_parameters({"offer_life_ms": 600_000})',
    PayloadType.REGISTRATION: 'client.submit(Registration(cluster="aurora", login_address="login.aurora.example")).check_accepted()',
    PayloadType.CLUSTER_STATE: 'client.submit(ClusterState(cluster="aurora", observed_at=1_795_349_700_000)).check_accepted()',
    PayloadType.NODE_CHANGES: (
        'down = NodeChange(node="n1", availability=Availability.DOWN, native_state="DOWN", reason="disk", observed_at=1_795_349_700_000)\n'
        'client.submit(NodeChanges(cluster="aurora", changes=(down,))).check_accepted()'
    ),
    PayloadType.JOB_CHANGES: (
        'job = Job(cluster="aurora", job_id="4711", incarnation=1, state=JobState.RUNNING, owner="pd589znmqd7d", cores=16)\n'
        'client.submit(JobChanges(cluster="aurora", changes=(JobChange(job=job, observed_at=1_795_349_700_000),))).check_accepted()'
    ),
    PayloadType.GAP: (
        'gap = Gap(cluster="aurora", reason="disk full", since_at=1_795_349_700_000, until_at=1_795_349_760_000, count=None)\n'
        "client.submit(gap).check_accepted()"
    ),
    PayloadType.JOB_WATCH: 'client.watch_job("aurora", "4711", owner="pd589znmqd7d")',
    PayloadType.CONTRACT: "client.activate_contract(2)",
    PayloadType.CREDIT: 'client.credit("ulla", 50_000_000, reference="invoice 7")',
    PayloadType.REQUEST: (
        'answer = client.request(Request(cores=32, gpus=2, programs=(Program(name="gromacs", version=""),), walltime_seconds=7200))\n'
        "for offer in answer.offers:\n"
        "    print(offer.offer, offer.queues[0].label, offer.queues[0].deposit)"
    ),
    PayloadType.RENTAL: 'rental = client.rent("r17-2", "q1", extra_limit=5_000_000)  # or client.rent_best("r17")',
    PayloadType.CANCELLATION: 'client.cancel("l18")',
    PayloadType.ACCOUNT: 'client.submit(AccountReport(rental="l18", state=AccountState.READY)).check_accepted()',
    PayloadType.DOCUMENTS: (
        'statute = Document(digest=sha256(Path("statute.pdf").read_bytes()).digest(), kind="statute", title="Statute of 2024")\n'
        "client.submit_documents(statute)"
    ),
    PayloadType.ACCOUNT_RENEWAL: 'client.renew_passcode("l18")',
}

_LEAVE_SEALED = (
    "A sealed passcode from the provider, or a sealed address from the user, for the other side of a rental: at most 8,192 bytes, for a "
    "day, beside the log and never in it; what was left before is replaced."
)
_SUBMIT = (
    "The one way in: Hello, then envelopes in order of their numbers; a receipt or another answer comes for each. Any member may carry "
    "another's envelopes; who signed them decides."
)

QUERY_NOTES: Mapping[str, tuple[str, str]] = {
    Query.GET_CHECKPOINT: ("The signed head of the log.", "client.verified_checkpoint()"),
    Query.GET_CONSISTENCY_PROOF: (
        "Proves that the log of one size begins with that of another. The client asks by itself whenever it writes.",
        'client.submit(JobWatch(cluster="aurora", job_id="4711"))',
    ),
    Query.GET_RECEIPT: ("Entry, inclusion proof and checkpoint, by index or by number.", "client.receipt(18)"),
    Query.READ_ENTRIES: (
        "Leaves in order; those of others arrive as hashes, so the root can be computed all the same.",
        'client.export("log")',
    ),
    Query.SUBSCRIBE: (
        "Events from a cursor on, then live; a checkpoint when caught up and at least every 30 s.",
        'for event in client.events("18.1", follow=True):\n    print(event.cursor, event.type, event.subject)',
    ),
    Query.GET_HPC_SYSTEM_DETAIL: ("A cluster with its last sample.", 'client.cluster("aurora").state'),
    Query.LIST_ALL_HPC_SYSTEMS: ("All clusters the caller may see.", "[each.registration.cluster for each in client.clusters()]"),
    Query.GET_USER_DETAIL: ("A member with installations, documents and decisions.", 'client.member("ulla").installations'),
    Query.LIST_ALL_USERS: ("All members.", "[each.name for each in client.members()]"),
    Query.LIST_JOBS: ("Jobs of a cluster: a provider's all, a user's those of its rentals.", 'list(client.jobs("aurora", open_only=True))'),
    Query.GET_JOB: ("One run of a job.", 'client.job("aurora", "4711").outcome'),
    Query.LIST_NODES: ("Last known availability of each node.", 'client.nodes("aurora")'),
    Query.LIST_GAPS: ("What agents could not keep or observe.", 'client.gaps("aurora")'),
    Query.GET_PARAMETERS: ("The network's parameters in force.", 'client.parameters()["offer_life_ms"]'),
    Query.GET_STATUS: ("The service about itself; `refusals` for admins and auditors.", "client.status().last_tick_at"),
    Query.LIST_REQUESTS: ("Requests on record, a day beyond the end of their offers.", "client.requests()"),
    Query.GET_REQUEST: (
        "One request: what was asked for, how many offers and reasons there are.",
        "client.request(Request(cores=1)).request",
    ),
    Query.LIST_OFFERS: ("The offers of a request, blind.", 'client.offers("r17")'),
    Query.LIST_WHY_NOTS: ("What each cluster lacked that was not offered, blind.", 'client.why("r17")'),
    Query.LIST_RENTALS: ("Rentals, for the provider without the user.", "client.rentals(open_only=True)"),
    Query.GET_RENTAL: ("A rental with its statement, each line with the index of its entry.", 'client.statement("l18").lines'),
    Query.GET_BALANCE: ("What may be spent, and what is held.", "client.balance().held"),
    Query.LIST_PROGRAM_DEMAND: ("Programs that were asked for and missing.", "client.program_demand()"),
    Query.LEAVE_SEALED: (
        _LEAVE_SEALED,
        'client.leave_contact("l18", "ulla@example.org")  # the passcode is left by hpcbridged',
    ),
    Query.COLLECT_SEALED: (
        "What the other side left; acknowledged by its SHA-256 it is deleted, so it is read once and a cut connection loses nothing.",
        'passcode = client.passcode("l18")\nif passcode is not None:\n    print(passcode.text)\n    client.confirm_passcode(passcode)',
    ),
}
"""For each query what it is for, and an example."""

OTHER_CALLS: Mapping[str, tuple[str, str]] = {
    "Submit": (
        _SUBMIT,
        'client.cancel("l18")  # every call that writes',
    ),
    "Enrol": (
        "Redeems a one-time token: a certificate for the key of the CSR, and everything to pin. Server TLS only.",
        "# hpcbridgectl enrol, or hpcbridge.wire.enrolment.enrol",
    ),
    "Renew": ("A newer certificate for a key on record, also after its end for `renewal_window_ms`. Server TLS only.", "client.renew()"),
}
"""Calls that no table of questions has: the way in and the enrolment port."""
