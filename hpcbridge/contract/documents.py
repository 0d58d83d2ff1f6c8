# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Documents for vetting, by digest: what a member says it has shown, and what an admin says it has read.

The ledger never has a document. A member that is not approved yet, or no more, may name documents: that is what they are for. A digest
stays on record for ever, once for each member.
"""

from __future__ import annotations

import hashlib
import re

from hpcbridge.contract.records import DocumentRecord, VettingRecord, decode_word, encode_word
from hpcbridge.contract.state import Draft, StateView, scan_all
from hpcbridge.contract.versions import has_market
from hpcbridge.errors import Refused
from hpcbridge.model.entries import EntryOutcome, EventType
from hpcbridge.model.identities import Caller
from hpcbridge.model.printable import is_printable
from hpcbridge.model.quantities import Instant
from hpcbridge.model.transactions import Decision, Document, Documents

MAX_DOCUMENTS = 64
"""Of one member, for good; also the most that one decision names."""
MAX_TITLE = 120
DIGEST_BYTES = hashlib.sha256().digest_size
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")


def submit_documents(draft: Draft, caller: Caller, body: Documents, at: Instant) -> None:
    """Puts digests on record under the member that signed: all of the body's or none."""
    digests = [document.digest for document in body.documents]
    if not digests or len(dict.fromkeys(digests)) != len(digests):
        raise Refused(EntryOutcome.MALFORMED, "name at least one document, each once")
    for document in body.documents:
        fault = _document_fault(document)
        if fault:
            raise Refused(EntryOutcome.MALFORMED, fault)
        if draft.get(_key(caller.member, document.digest)) is not None:
            raise Refused(EntryOutcome.ALREADY_EXISTS, f"document {document.digest.hex()[:12]} of {caller.member} is on record")
    if len(documents_of(draft, caller.member)) + len(digests) > MAX_DOCUMENTS:
        raise Refused(EntryOutcome.TOO_MANY, f"a member has at most {MAX_DOCUMENTS} documents on record")
    for document in body.documents:
        record = DocumentRecord(document=document, index=draft.index, at=at, installation=caller.submitter.installation)
        draft.put(_key(caller.member, document.digest), encode_word(record))
    draft.tell(EventType.DOCUMENTS_SUBMITTED, caller.member, subject=caller.member, body=encode_word(body))


def documents_of(view: StateView, member: str) -> tuple[DocumentRecord, ...]:
    """The documents of a member in order of submission."""
    found = [decode_word(DocumentRecord, data) for _, data in scan_all(view, f"document/{member}/")]
    return tuple(sorted(found, key=lambda record: record.index))


def decisions_on(view: StateView, *, member: str = "", cluster: str = "") -> tuple[VettingRecord, ...]:
    """What admins decided of a member or a cluster, in order; nothing of the time before the second version of the contract."""
    return tuple(decode_word(VettingRecord, data) for _, data in scan_all(view, _decided(member=member, cluster=cluster)))


def check_read(draft: Draft, decision: Decision, member: str) -> None:
    """Refused unless every document that a decision names is on record for the member it is about."""
    digests = list(decision.documents)
    if digests != sorted(dict.fromkeys(digests)) or len(digests) > MAX_DOCUMENTS:
        raise Refused(EntryOutcome.MALFORMED, f"documents: not in order, doubled, or more than {MAX_DOCUMENTS}")
    for digest in digests:
        if len(digest) != DIGEST_BYTES or draft.get(_key(member, digest)) is None:
            raise Refused(EntryOutcome.NOT_FOUND, f"{member} has submitted no document {digest.hex()[:64]}", hint="is it the same version?")


def keep_decision(draft: Draft, decision: Decision, *, admin: str, at: Instant, member: str = "", cluster: str = "") -> None:
    """Puts on record what was decided of a member or a cluster, by whom and when."""
    if has_market(draft):
        record = VettingRecord(decision=decision, index=draft.index, at=at, admin=admin)
        draft.put(f"{_decided(member=member, cluster=cluster)}{draft.index:015d}", encode_word(record))


def _document_fault(document: Document) -> str:
    if len(document.digest) != DIGEST_BYTES:
        return f"a document's digest has {DIGEST_BYTES} bytes"
    if not _KIND.match(document.kind):
        return f"kind {document.kind[:60]!r}: 1 to 40 lower-case letters, digits and hyphens, a letter first"
    if not (1 <= len(document.title) <= MAX_TITLE and is_printable(document.title)):
        return f"title: 1 to {MAX_TITLE} printable characters"
    return ""


def _decided(*, member: str, cluster: str) -> str:
    return f"decided/member/{member}/" if member else f"decided/cluster/{cluster}/"


def _key(member: str, digest: bytes) -> str:
    return f"document/{member}/{digest.hex()}"
