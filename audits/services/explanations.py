"""The life of an explanation: asked for (an event), claimed by one worker, answered once (an event), never deleted.

The record of the person is not in any of it: see audits.models.Explanation.
"""

from __future__ import annotations

import hmac
import json
import os
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audits import dispatch
from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.checks.contract import CheckResult
from audits.door import Result, service
from audits.errors import Conflict
from audits.ids import uuid7
from audits.keys import pepper
from audits.ledger.record import lock, record
from audits.models import Explanation
from audits.services.leases import Lease
from audits.states import CHECK_RUN, CheckRunState, step

LEASE = timedelta(seconds=settings.CRIVO_LEASE_SECONDS)
MAX_ATTEMPTS = 3
TASK = "audits.tasks.run_explanation"
_lease = Lease(Explanation, LEASE, TASK, zone="zone")
claim, renew, resend_waiting = _lease.claim, _lease.renew, _lease.resend


def _key(explanation: UUID, purpose: str) -> bytes:
    label = f"crivo explanation {purpose} v1\n{explanation}".encode()
    return hmac.new(pepper(), label, sha256).digest()


def digest_of_record(explanation: UUID, given: dict[str, Any]) -> str:
    """Keyed with a key of this explanation alone: two about one person cannot be told to be so."""
    body = json.dumps(given, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return "hmac-sha256:" + hmac.new(_key(explanation, "digest"), body, sha256).hexdigest()


def _sealed(explanation: UUID, given: dict[str, Any]) -> bytes:
    nonce = os.urandom(12)
    body = json.dumps(given, ensure_ascii=False).encode()
    return nonce + AESGCM(_key(explanation, "seal")).encrypt(nonce, body, explanation.bytes)


def unsealed(row: Explanation) -> dict[str, Any] | None:
    """The record, or None where it cannot be opened any more (another pepper)."""
    content = bytes(row.sealed or b"")
    try:
        body = AESGCM(_key(row.id, "seal")).decrypt(content[:12], content[12:], row.id.bytes)
    except (InvalidTag, ValueError):
        return None
    given: dict[str, Any] = json.loads(body)
    return given


def order_explanation(
    command: Command,
    *,
    subject: SubjectRef,
    given: dict[str, Any],
    question: dict[str, Any],
    confinement_level: int,
    sources: dict[str, str] | None = None,
) -> Explanation:
    """Part of the transaction of a service, which has asked whether this may be done. `sources` as of a check run."""
    explanation = uuid7()
    row = Explanation.objects.create(
        id=explanation,
        workspace_id=command.actor.workspace,
        requested_by=command.actor.id,
        subject_kind=subject.kind,
        subject_id=subject.id,
        subject_label=subject.label,
        subject_digest=subject.digest,
        question=question,
        record_digest=digest_of_record(explanation, given),
        sealed=_sealed(explanation, given),
        confinement_level=confinement_level,
        zone=(question["semantics"].get("zone") or {}).get("name"),
        sources=sources or None,
        sent_at=timezone.now(),
    )
    record(
        command,
        verb="explanation.requested",
        subject=row.ref,
        evidence=[{"kind": "artifact", "digest": item["digest"]} for item in question["materials"][:1]],
        detail={
            "subject": {"kind": subject.kind, "id": str(subject.id), "digest": subject.digest},
            "record": row.record_digest,
            "lime": bool(question["lime"]),
        },
    )
    transaction.on_commit(partial(dispatch.send, TASK, str(row.id), zone=row.zone), robust=True)
    return row


@service("explanation.completed")
def complete_explanation(
    *,
    command: Command,
    explanation_id: UUID,
    fence: int,
    result: CheckResult,
    run_environment: dict[str, Any],
) -> Result[Explanation]:
    """Write the answer and erase the record, once. 409 if another worker has taken it over meanwhile."""
    row = Explanation.objects.select_for_update().get(id=explanation_id)
    lock(row.workspace_id, row.ref)
    if row.fence != fence or row.finished:
        raise Conflict("explanation_taken_over", explanation=str(row.id))
    wanted = CheckRunState.COMPLETED if result.outcome == "completed" else CheckRunState.ERRORED
    row.state = step(CHECK_RUN, row.state, wanted)
    row.result = result.to_json()
    row.result_digest = digest_of(row.result)
    row.run_environment = run_environment
    row.finished_at = timezone.now()
    row.lease_until = None
    row.sealed = None
    row.save()
    record(
        command,
        verb="explanation.completed",
        subject=row.ref,
        reason=result.error,
        evidence=[{"kind": "result", "digest": row.result_digest}],
        after=row.result_digest,
        detail={
            "outcome": result.outcome,
            "subject": {"kind": row.subject_kind, "id": str(row.subject_id), "digest": row.subject_digest},
            "record": row.record_digest,
        },
    )
    return Result(row, created=False)
