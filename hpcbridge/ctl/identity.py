# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl identity`: who speaks here, until when, and a new certificate."""

from __future__ import annotations

from typing import Any

import click

from hpcbridge.ctl.context import Context, now, output_option, pass_context
from hpcbridge.ctl.output import ago, moment, note, print_facts, print_json
from hpcbridge.identity.certificates import fingerprint, key_id, read_certificate, verify_issued
from hpcbridge.identity.keystore import KeyDirectory
from hpcbridge.model.identities import CertificateFacts
from hpcbridge.model.quantities import format_instant
from hpcbridge.wire.enrolment import renew as renew_certificate


@click.group()
def identity() -> None:
    """Your key and certificate on this machine."""


@identity.command(short_help="Who this identity is, and until when.")
@output_option
@pass_context
def show(context: Context) -> None:
    """Show who this identity is, where its ledger lives and until when it is valid."""
    keys = context.keys()
    _show(context, keys, _facts(keys))


@identity.command(short_help="Get a newer certificate for the same key.")
@output_option
@pass_context
def renew(context: Context) -> None:
    """Get a newer certificate for the same key, also after the old one has expired. Usually this happens by itself."""
    keys = context.keys()
    facts = renew_certificate(keys)
    if context.json:
        print_json(_as_json(keys, facts))
    else:
        note(f"renewed: valid until {moment(facts.not_after_at)} UTC ({ago(facts.not_after_at, now())})")


def _facts(keys: KeyDirectory) -> CertificateFacts:
    facts = read_certificate(keys.load_certificate(), keys.load_profile().origin)
    verify_issued(facts, keys.load_authority())
    return facts


def _show(context: Context, keys: KeyDirectory, facts: CertificateFacts) -> None:
    if context.json:
        print_json(_as_json(keys, facts))
        return
    profile = keys.load_profile()
    expired = now() >= facts.not_after_at
    print_facts(
        [
            ("member", facts.submitter.member),
            ("installation", facts.submitter.installation),
            ("role", facts.role.value.lower()),
            *((f"attribute {name}", value) for name, value in facts.attributes),
            ("valid from", f"{moment(facts.not_before_at)} UTC"),
            ("valid until", f"{moment(facts.not_after_at)} UTC ({ago(facts.not_after_at, now())})"),
            ("ledger", f"{profile.origin} at {', '.join(profile.ledger_addresses)}"),
            ("enrolment", profile.enrolment_address),
            ("server name", profile.server_name),
            ("key", key_id(facts.public_key).hex()),
            ("CA", fingerprint(keys.load_authority()).hex()),
            ("log key", keys.load_log_public_key().hex()),
            ("kept in", str(keys.path)),
        ]
    )
    if expired:
        note("This certificate has expired. It can still be renewed: hpcbridgectl identity renew")


def _as_json(keys: KeyDirectory, facts: CertificateFacts) -> dict[str, Any]:
    profile = keys.load_profile()
    return {
        "submitter": str(facts.submitter),
        "role": facts.role.value,
        "attributes": dict(facts.attributes),
        "origin": profile.origin,
        "not_before_at": format_instant(facts.not_before_at),
        "not_after_at": format_instant(facts.not_after_at),
        "expired": now() >= facts.not_after_at,
        "ledger_addresses": list(profile.ledger_addresses),
        "enrolment_address": profile.enrolment_address,
        "server_name": profile.server_name,
        "key_id": key_id(facts.public_key).hex(),
        "ca_fingerprint": fingerprint(keys.load_authority()).hex(),
        "log_key": keys.load_log_public_key().hex(),
        "identity": str(keys.path),
    }
