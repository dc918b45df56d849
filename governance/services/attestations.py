"""Attestations: what a promotion rested on, as a signed in-toto statement that a deploy job can verify without us.

Issued by the notary, once the granting event is in a published checkpoint: before that the grant is not effective.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils import timezone

from audits.actors import Command, system_actor
from audits.door import Result, service
from audits.errors import Conflict
from audits.ledger.body import timestamp
from audits.ledger.canonical import canonical, digest
from audits.ledger.inclusion import published_at
from audits.ledger.receipts import receipt_for
from audits.ledger.record import lock, record
from audits.models import Event, Leaf, LogState
from audits.roles import acting_as_notary
from governance.dossier import datasets_of
from governance.gate import of_placement
from governance.hindrances import hindrances, standing_since
from governance.models import Attestation, Decision, Placement, PlacementReview, Promotion
from governance.policy.schema import duration
from governance.services import revocations
from governance.services.keys import compromises
from governance.standings import moment
from governance.states import PlacementState, ReviewState

STATEMENT = "https://in-toto.io/Statement/v1"
# A name, not an address: nothing has to be fetched to understand it, and nobody can take the host over.
PREDICATE = "urn:crivo:attestation:promotion:v1"
log = logging.getLogger(__name__)


class Signer(Protocol):
    @property
    def id(self) -> str: ...

    def sign(self, payload: bytes) -> dict[str, Any]: ...


def issue_pending(signer: Signer, limit: int = 100) -> list[UUID]:
    """Attest every effective promotion that is not attested yet, or has to be again; the ids of those promotions.

    At most `limit` of each. One that cannot be attested is logged, tried again by the next pass, and stops no other.
    """
    waiting = Placement.objects.filter(promotion__attestations=None).order_by("id")
    rows = list(waiting.values_list("promotion_id", "granted_event", "workspace_id")[: 10 * limit])
    effective = published_at(event for _, event, _ in rows)
    first = [(promotion, workspace, None) for promotion, event, workspace in rows if event in effective]
    issued: list[UUID] = []
    for promotion, workspace, because in [*first[:limit], *_outdated(signer, limit)]:
        command = Command(system_actor("notary", workspace))
        try:
            issue_attestation(command=command, promotion_id=promotion, signer=signer, because=because)
        except DatabaseError:
            raise  # no word about this promotion: nothing can be written
        except Exception:
            log.exception("promotion %s is not attested", promotion)
            continue
        issued.append(promotion)
    return issued


def _outdated(signer: Signer, limit: int) -> list[tuple[UUID, UUID, UUID]]:
    """(promotion, workspace, event) of live grants whose newest attestation says less than holds now, and why.

    A re-review was passed since, or the key that signed it is in other hands. Two queries where there is none.
    """
    stolen = {event.detail["old"]: event.id for event in compromises()}
    if signer.id in stolen:
        return []
    passed = PlacementReview.objects.filter(state=ReviewState.COMPLETED)
    newest = Attestation.objects.filter(promotion=OuterRef("promotion")).order_by("-n")
    answered = Attestation.objects.filter(promotion=OuterRef("promotion"), because=OuterRef("review_event"))
    signed_by_stolen = Attestation.objects.filter(key_id__in=stolen).values("promotion")
    rows = (
        Placement.objects.filter(
            Q(promotion__in=signed_by_stolen) | Q(id__in=passed.values("placement")),
            state=PlacementState.LIVE,
        )
        .annotate(
            key_id=Subquery(newest.values("key_id")[:1]),
            review_event=Subquery(
                passed.filter(placement=OuterRef("pk"))
                .order_by("-completed_at")
                .values("completed_event")[:1]
            ),
            answered=Exists(answered),
        )
        .filter(key_id__isnull=False)
        .select_related("version__model", "environment", "promotion__policy")
        .order_by("id")
    )
    found = list(rows)
    reviews = {row.id: row.review_event for row in found if row.review_event and not row.answered}
    published = published_at(reviews.values())
    due: list[tuple[UUID, UUID, UUID]] = []
    for row in found:
        review = reviews.get(row.id)
        because = review if review in published else stolen.get(row.key_id)
        # What the gate refuses is attested once it lets it through again.
        if because is not None and len(due) < limit and of_placement(row).allowed:
            due.append((row.promotion_id, row.workspace_id, because))
    return due


@acting_as_notary()
@service("attestation.issued")
def issue_attestation(
    *, command: Command, promotion_id: UUID, signer: Signer, because: UUID | None = None
) -> Result[Attestation]:
    """Sign the statement of one promotion, once; and once more for each event `because` of which it is due again.

    409 while its grant is not effective.
    """
    promotion = Promotion.objects.select_related(
        "version__model", "version__evaluation__dataset", "environment", "policy", "placement"
    ).get(id=promotion_id)
    lock(promotion.workspace_id, promotion.ref)
    known = list(Attestation.objects.filter(promotion=promotion).order_by("n"))
    for row in known:
        if because in (None, row.because):
            return Result(row, created=False)
    payload = canonical(statement(promotion))
    envelope = signer.sign(payload)
    attestation = Attestation.objects.create(
        promotion=promotion,
        n=len(known) + 1,
        because=because if known else None,
        envelope=json.dumps(envelope, separators=(",", ":")),
        key_id=signer.id,
    )
    record(
        command,
        verb="attestation.issued",
        subject=promotion.ref,
        evidence=[{"kind": "attestation", "digest": digest(envelope)}],
        detail={
            "key_id": signer.id,
            "predicate": PREDICATE,
            **({"n": attestation.n, "because": str(because)} if attestation.because else {}),
        },
    )
    return Result(attestation)


def statement(promotion: Promotion) -> dict[str, Any]:
    """The in-toto Statement v1 of a granted promotion. Conflict while the grant is in no published checkpoint."""
    version = promotion.version
    return {
        "_type": STATEMENT,
        "subject": [{"name": version.label, "digest": _digest(version.artifact_digest)}],
        "predicateType": PREDICATE,
        "predicate": _predicate(promotion),
    }


def _predicate(promotion: Promotion) -> dict[str, Any]:
    version, policy = promotion.version, promotion.policy
    event_id = promotion.placement.granted_event
    effective = published_at([event_id]).get(event_id)
    receipt = receipt_for(event_id)
    if effective is None or receipt is None:
        raise Conflict("attestation_pending")
    granted = Event.objects.get(id=event_id)
    return {
        "promotion": str(promotion.id),
        "workspace": str(promotion.workspace_id),
        "modelVersion": {
            "name": version.model.name,
            "version": version.n,
            "manifest": _digest(version.manifest_digest),
        },
        "environment": promotion.environment.name,
        "requestedBy": str(promotion.requested_by),
        "grantedAt": timestamp(granted.at),
        "effectiveAt": timestamp(effective),
        "issuedAt": timestamp(timezone.now()),
        "validUntil": _valid_until(promotion.placement, granted.at),
        "revocations": revocations.address(),
        "policy": {
            "uri": f"urn:crivo:policy:{policy.name}:{policy.n}",
            "version": policy.n,
            "digest": _digest(policy.digest),
        },
        "dossier": _digest(promotion.dossier_digest),
        "reviews": [
            {
                "reviewer": str(decision.person_id),
                "role": decision.role,
                "decision": decision.verdict,
                "at": timestamp(decision.created_at),
            }
            for decision in Decision.objects.filter(
                promotion=promotion, dossier_digest=promotion.dossier_digest
            ).order_by("id")
        ],
        "evidence": [
            {
                "kind": check.run.check_slug,
                "version": check.run.check_version,
                "digest": _digest(check.run.result_digest),
                "basis": "computed",
                "finishedAt": timestamp(check.run.finished_at),
            }
            for check in promotion.checks.select_related("run")
            if check.run.finished_at is not None
        ],
        "datasets": [{"name": row.label, "digest": _digest(row.digest)} for row in datasets_of(promotion)],
        "log": {
            "origin": LogState.objects.get(id=1).origin,
            "index": Leaf.objects.get(event_id=event_id).index,
            "event": str(event_id),
            "receipt": receipt,
        },
    }  # fmt: skip


def _valid_until(placement: Placement, granted: datetime) -> str | None:
    """The policy's validity, or when the gate shuts by itself if nobody does anything, whichever comes first.

    Both count from the last re-review that is published; the gate shuts for an overdue one where the policy says so.
    """
    when = moment(None)
    since = standing_since([placement], when)[placement.id]
    valid_for = placement.promotion.policy.body.get("valid_for")
    begins = granted if since == placement.created_at else since
    ends = [begins + duration(valid_for)] if valid_for else []
    lapses = hindrances([placement], when)[placement.id].lapses_at
    ends += [lapses] if lapses is not None else []
    return timestamp(min(ends)) if ends else None


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
