# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl status`: is it all right, and if not, what to do, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from hpcbridge.config import LEDGER_CONFIG
from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.output import NOTHING, Column, ago, duration, moment, print_facts, print_json, print_line, print_table, size
from hpcbridge.ctl.verdict import Finding, print_verdict, verdict_as_json
from hpcbridge.ctl.watch import watch_option
from hpcbridge.errors import ConfigError, LedgerUnavailable
from hpcbridge.identity.certificates import read_certificate
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.clusters import Vetting
from hpcbridge.model.quantities import Instant, format_instant, parse_instant
from hpcbridge.wire.generated import ledger_pb2
from hpcbridge.wire.queries import get_member

Json = Mapping[str, Any]
_OLD_REPORT_MS = 15 * 60_000
_OLD_SPOOL_MS = 10 * 60_000
_NEARLY_FULL = 0.8
_NO_ROOM_BYTES = 16 << 20
_SMALL_SHARE = 0.001
_SHORT_CERTIFICATE_MS = 3_600_000
_ASKED_WHEN_NEEDED = ("ended", "ended_fallback")
"""Queries that are asked only when a job has vanished."""
_NEED_THE_LEDGER = ("gateway", "listener", "renewal")
"""Workers that cannot do their work without a connection: said once, not once for each."""
_ON_A_LEDGERS_HOST = "systemctl status hpcbridge-ledgerd; or, where you have enrolled: hpcbridgectl ledger status"
_ACCOUNTS_SHOWN = 5
_REGISTER_AGAIN = "then: hpcbridgectl check && systemctl reload hpcbridged"
_REGISTRATION_TODO = {
    "ALREADY_EXISTS": "ask the network's admins, or take another [cluster] name and move the spool away",
    "NOT_PERMITTED": "ask the network's admins what this identity may register",
    "NOT_APPROVED": "ask the network's admins: hpcbridgectl admin approve NAME; the next start or reload registers again",
}
_MEND = "it is tried again and again; mend what the reason names, then: hpcbridgectl spool flush"
_ACCOUNT_STEPS = {
    "create": ("is not made yet", _MEND),
    "check": ("could not be looked for after the spool was lost", _MEND),
    "renew": ("has no other passcode yet", _MEND),
    "relay": ("is made, but its passcode is not at the ledger yet", _MEND),
    "close": ("is still open although its rental has ended", _MEND),
}
_NOT_MADE = ("could not be made", "its rental ends and the user pays nothing; mend what the reason names before the next tenant comes")
_NOT_SENT = ("is ready, but its passcode could not be sent to its user", "the user can fetch it all the same; mend passcode_deliver")
_QUERY_COLUMNS = (
    Column(title="QUERY"),
    Column(title="LAST REPORT"),
    Column(title="TOOK", right=True, optional=True),
    Column(title="CPU", right=True, optional=True),
    Column(title="EVERY", right=True, optional=True),
    Column(title="RECORDS", right=True),
    Column(title="PROBLEMS", right=True),
    Column(title="REMARK", shrink=True),
)
_WORKER_COLUMNS = (
    Column(title="WORKER"),
    Column(title="HEALTHY", coloured=True),
    Column(title="LAST RUN"),
    Column(title="FAILURES", right=True),
    Column(title="LAST ERROR", shrink=True),
)


@click.command(short_help="Is it all right, and if not, what to do?")
@click.option("-v", "--verbose", is_flag=True, help="Show the workers also that are well.")
@watch_option
@output_option
@pass_context
def status(context: Context, *, verbose: bool) -> None:
    """Is it all right, and if not, what to do? About the daemon here, or without one about your own identity.

    About a ledger: hpcbridgectl ledger status.
    """
    enrolled = KeyDirectory(context.identity_path()).is_enrolled()
    if not enrolled and not context.has_daemon() and LEDGER_CONFIG.exists():
        raise ConfigError("no daemon here, and no identity: this is a ledger's host", hint=_ON_A_LEDGERS_HOST)
    if context.has_daemon() or not enrolled:
        _daemon_status(context, verbose=verbose)
    else:
        _own_status(context)


def findings(facts: Json, at: Instant) -> Iterator[Finding]:
    """What a sysadmin should look at, most urgent first; nothing if all is well."""
    yield from _ledger_findings(facts["ledger"], at)
    yield from _scheduler_findings(facts["scheduler"], at)
    told = {query["name"] for query in facts["scheduler"]["queries"] if query.get("last_error")}
    told |= set() if facts["ledger"]["connected"] else set(_NEED_THE_LEDGER)
    for worker in facts["workers"]:
        if worker["healthy"] or worker["name"] in told:
            continue
        if worker["name"] in _NEED_THE_LEDGER and worker.get("last_error"):
            yield Finding(
                what=f"worker {worker['name']} waits for the ledger: {worker['last_error']}",
                todo="nothing is lost, it is tried again by itself. If it stays so: hpcbridgectl check",
            )
        else:
            yield Finding(
                what=f"worker {worker['name']} is not healthy: {worker.get('last_error') or 'it does not answer'}",
                todo="journalctl -u hpcbridged tells more; a restart does no harm: systemctl restart hpcbridged",
            )
    yield from _account_findings(facts.get("accounts") or {}, at)
    yield from _spool_findings(facts["spool"], at)


def _daemon_status(context: Context, *, verbose: bool) -> None:
    facts = context.control("status")
    at = now()
    found = list(findings(facts, at))
    if context.json:
        print_json({**verdict_as_json(found), **facts})
        return
    print_verdict("hpcbridged", found)
    agent, ledger, scheduler, spool = facts["agent"], facts["ledger"], facts["scheduler"], facts["spool"]
    connected = f"connected to {ledger['address']}" if ledger["connected"] else f"not connected ({ledger['address'] or 'no address'})"
    epoch = f", next number {ledger['next_sequence']}" if ledger.get("epoch") else ", no number given yet"
    expires_at = _instant(ledger.get("certificate_expires_at"))
    reachable = "answers" if scheduler["reachable"] else "does not answer"
    waits = f"{spool['waiting']} waiting, {spool['in_flight']} on their way, {spool['acknowledged']} acknowledged"
    told = [
        ("daemon", f"{agent['version']}, up {_since(agent.get('started_at'), at)}, publishes {agent['publish']}"),
        ("identity", f"{agent['submitter']} on {agent['origin']}"),
        ("cluster", agent["cluster"]),
        ("scheduler", f"{scheduler['name']} {scheduler['version'] or ''}".strip() + f", {reachable}"),
        ("our polling", _polling(scheduler)),
        ("ledger", f"{connected}{epoch}"),
        ("last receipt", ago(_instant(ledger.get("last_receipt_at")), at)),
        ("certificate", f"until {moment(expires_at)} UTC" if expires_at else None),
        ("tenants", _tenants(facts.get("accounts") or {})),
        ("spool", f"{waits}, {size(spool['bytes'])} of {size(spool['quota_bytes'])}"),
    ]
    print_facts((name, value) for name, value in told if value is not None)
    print_line("")
    print_table(_QUERY_COLUMNS, (_query_row(query, at) for query in scheduler["queries"]), empty="No queries yet.")
    workers = [worker for worker in facts["workers"] if verbose or not worker["healthy"]]
    if workers:
        print_line("")
        print_table(_WORKER_COLUMNS, (_worker_row(worker, at) for worker in workers), empty="")


def _own_status(context: Context) -> None:
    """Without a daemon here: the identity, and whether its ledger answers."""
    keys = context.keys()
    profile = keys.load_profile()
    facts = read_certificate(keys.load_certificate(), profile.origin)
    at = now()
    try:
        reply: ledger_pb2.LedgerStatus | None = context.ledger_client().call("GetStatus", ledger_pb2.GetStatusRequest())
        vetting = get_member(context.ledger_client().call, profile.submitter.member).vetting
        found = list(_vetting_findings(vetting))
    except LedgerUnavailable as error:
        reply, vetting, found = None, None, [Finding(what=str(error), todo=error.hint)]
    if context.json:
        print_json(
            {
                **verdict_as_json(found),
                "submitter": str(profile.submitter),
                "origin": profile.origin,
                "vetting": vetting,
                "not_after_at": format_instant(facts.not_after_at),
                "last_entry_at": None if reply is None else format_instant(reply.last_entry_at),
            }
        )
        return
    print_verdict("The connection to the ledger", found)
    print_facts(
        [
            ("identity", f"{profile.submitter} ({profile.role.value.lower()}) on {profile.origin}"),
            ("vetting", vetting),
            ("ledger", ", ".join(profile.ledger_addresses)),
            ("last entry", None if reply is None else ago(reply.last_entry_at, at)),
            ("certificate", f"until {moment(facts.not_after_at)} UTC"),
            ("daemon", "none on this machine"),
        ]
    )


def _vetting_findings(vetting: Vetting) -> Iterator[Finding]:
    """Whoever is not approved can name documents and look at its own things."""
    if vetting is not Vetting.APPROVED:
        what = "waits for an admin's decision" if vetting is Vetting.PENDING else f"is {vetting.value.lower()}"
        yield Finding(what=f"your membership {what}", todo="name what your network wants to see: hpcbridgectl documents submit --help")


def _ledger_findings(ledger: Json, at: Instant) -> Iterator[Finding]:
    expires_at = _instant(ledger.get("certificate_expires_at"))
    if expires_at is not None and expires_at <= at:
        yield Finding(
            what=f"the certificate expired {ago(expires_at, at)}",
            todo="the daemon renews it by itself as soon as the enrolment port answers; after 90 days enrol again",
        )
    elif expires_at is not None and expires_at - at < _SHORT_CERTIFICATE_MS:
        yield Finding(
            what=f"the certificate ends {ago(expires_at, at)} and was not renewed", todo="is the enrolment port (7444) reachable?"
        )
    if ledger.get("waits_for_approval"):
        yield Finding(
            what="a new chain of numbers waits for an admin",
            todo="nothing is lost; ask one to run: hpcbridgectl admin approve NAME/INSTALLATION, as in the line identity below",
        )
    elif not ledger["connected"]:
        yield Finding(
            what=f"no connection to the ledger: {ledger.get('last_error') or 'not tried yet'}",
            todo="nothing is lost: changes wait in the spool and are sent when it is back. Check address, network and firewall.",
        )
    refused = ledger.get("registration_refused")
    if refused:
        yield Finding(
            what=f"the ledger refused the registration of this cluster: {refused['code']}: {refused['reason']}",
            todo=_REGISTRATION_TODO.get(refused["code"], f"change [cluster] in hpcbridged.toml as the reason says, {_REGISTER_AGAIN}"),
        )
    hidden = ledger.get("events_hidden")
    if hidden:
        yield Finding(
            what=f"the ledger held back {hidden['count']} events for this member, numbers {hidden['first']} to {hidden['last']}",
            todo="they were asked for twice; tell the ledger's admins. A restart of hpcbridged takes this line away, the journal keeps it.",
        )


def _scheduler_findings(scheduler: Json, at: Instant) -> Iterator[Finding]:
    if not scheduler["reachable"]:
        errors = [f"query {query['name']}: {query['last_error']}" for query in scheduler["queries"] if query.get("last_error")]
        yield Finding(
            what=f"{scheduler['name']} does not answer: {errors[0] if errors else 'no report yet'}",
            todo="run the script by hand to see: hpcbridgectl check",
        )
        return
    answered = {query["name"] for query in scheduler["queries"] if not query.get("last_error")}
    for query in scheduler["queries"]:
        if query["name"] == "ended_fallback" and "ended" in answered:
            continue  # a second way that is shut, where the first one answers
        last_at = _instant(query.get("last_report_at"))
        if query.get("last_error"):
            yield Finding(
                what=f"query {query['name']} fails: {query['last_error']}", todo="what was known stays as it is; hpcbridgectl check"
            )
        elif last_at is not None and at - last_at > _OLD_REPORT_MS and query["name"] not in _ASKED_WHEN_NEEDED:
            yield Finding(what=f"query {query['name']} gave its last report {ago(last_at, at)}", todo="journalctl -u hpcbridged")


def _tenants(accounts: Json) -> str | None:
    """Accounts of tenants in one line; nothing where there never were any."""
    count, attention = accounts.get("open", 0), len(accounts.get("attention", ()))
    if not count and not attention:
        return None
    return f"{count} account{'' if count == 1 else 's'} open" + (f", {attention} to look at" if attention else "")


def _account_findings(accounts: Json, at: Instant) -> Iterator[Finding]:
    """Accounts of tenants that wait or failed; `_ACCOUNTS_SHOWN` of them, and how many more."""
    attention = accounts.get("attention", ())
    for each in attention[:_ACCOUNTS_SHOWN]:
        who = f"{each['username']} (rental {each['rental']})"
        if each["standing"] == "not followed":
            yield Finding(
                what=f"the ledger's word on account {who} is not followed: {each['reason']}",
                todo="no account was touched; tell the ledger's admins",
            )
            continue
        next_at = _instant(each.get("next_at"))
        again = f"; tried {each['attempts']} times, next {ago(next_at, at)}" if next_at else ""
        doing, todo = _ACCOUNT_STEPS.get(each.get("step") or "", _NOT_MADE if each.get("report") == "FAILED" else _NOT_SENT)
        yield Finding(what=f"account {who} {doing}: {each['reason'] or 'no reason given'}{again}", todo=todo)
    if len(attention) > _ACCOUNTS_SHOWN:
        more = len(attention) - _ACCOUNTS_SHOWN
        yield Finding(what=f"{more} more accounts of tenants wait or failed", todo="hpcbridgectl -o json status lists them all")


def _spool_findings(spool: Json, at: Instant) -> Iterator[Finding]:
    if spool["quarantined"]:
        yield Finding(
            what=f"{spool['quarantined']} payloads could never be accepted and are set aside", todo="hpcbridgectl spool quarantine"
        )
    if spool["bytes"] > spool["quota_bytes"] * _NEARLY_FULL:
        yield Finding(
            what=f"the spool is nearly full: {size(spool['bytes'])} of {size(spool['quota_bytes'])}",
            todo="bring the ledger back, or raise [spool] quota_bytes; samples give way first",
        )
    free = spool.get("disk_free_bytes")
    if free is not None and free < _NO_ROOM_BYTES:
        yield Finding(
            what=f"the disk of the state directory is full: {size(free)} left",
            todo="make room. Until then the spool lives on its reserve; what it cannot keep becomes a signed gap",
        )
    oldest_at = _instant(spool.get("oldest_waiting_at"))
    if oldest_at is not None and at - oldest_at > _OLD_SPOOL_MS:
        yield Finding(
            what=f"{spool['waiting']} changes wait, the oldest since {ago(oldest_at, at)}", todo="hpcbridgectl spool flush tries now"
        )


def _query_row(query: Json, at: Instant) -> tuple[Any, ...]:
    took = query.get("last_duration_ms")
    return (
        query["name"],
        ago(_instant(query.get("last_report_at")), at),
        NOTHING if took is None else f"{took} ms",
        _percent(query.get("cpu_share")),
        _every(query),
        query["records"],
        query["problems"],
        _remark(query),
    )


def _every(query: Json) -> str:
    if query["name"] in _ASKED_WHEN_NEEDED and not query.get("stretched"):
        return "if needed"
    return duration(_whole(query.get("next_interval_seconds") or query.get("interval_seconds")))


def _remark(query: Json) -> str | None:
    """Why it is asked less often than configured, and what it failed with last."""
    meant = duration(_whole(query.get("interval_seconds")))
    why = {
        "slow": f"asked less often than every {meant}: the scheduler is slow",
        "failures": f"asked less often than every {meant}: it fails",
    }.get(query.get("stretched") or "")
    breaker = "breaker open" if query.get("breaker") == "open" else None
    return "; ".join(filter(None, (breaker, why, query.get("last_error")))) or None


def _polling(scheduler: Json) -> str | None:
    """What asking costs: processor time here, and what the scheduler's server counts."""
    shares = [query["cpu_share"] for query in scheduler["queries"] if query.get("cpu_share") is not None]
    here = f"{_percent(sum(shares))} of one core here" if shares else None
    cost = scheduler.get("server_cost")
    there = f"{cost['calls_per_minute']:g} calls a minute, {_percent(cost['busy_share'])} of the server's time" if cost else None
    return "; ".join(filter(None, (here, there))) or None


def _percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    return f"{share * 100:.1f} %" if share >= _SMALL_SHARE or share == 0 else f"<{_SMALL_SHARE * 100:g} %"


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _worker_row(worker: Json, at: Instant) -> tuple[Any, ...]:
    return worker["name"], worker["healthy"], ago(_instant(worker.get("last_run_at")), at), worker["failures"], worker.get("last_error")


def _since(value: Any, at: Instant) -> str:
    instant = _instant(value)
    return duration(None if instant is None else max(0, at - instant) // 1000)


def _instant(value: Any) -> Instant | None:
    return parse_instant(value) if isinstance(value, str) and value else None
