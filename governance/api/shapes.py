"""Turn promotions and gate answers into what the API says of them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from audits import messages
from audits.checks.contract import Message
from audits.progress import progress_of
from governance import gate, selectors
from governance.dossier import approvals_given, assess
from governance.models import Promotion
from governance.outdated import policy_outdated
from governance.policy import quorum
from governance.states import OPEN_PROMOTION


def _reason(data: dict[str, Any]) -> dict[str, Any]:
    return messages.as_json(Message(data["code"], data.get("params") or {}))


def promotion(row: Promotion, now: datetime | None = None) -> dict[str, Any]:
    """The verdict of an open promotion is taken as of now; a settled one says what it was settled on."""
    effect = selectors.effect_of(getattr(row, "placement", None))
    if row.state in OPEN_PROMOTION:
        dossier = assess(row, now or timezone.now())
        requirements, digest = [line.to_json() for line in dossier.lines], dossier.digest
    else:
        requirements, digest = row.requirements, row.dossier_digest
    outcome = row.outcome or {}
    reasons = [_reason(outcome), *map(_reason, outcome.get("reasons", []))] if outcome else []
    base = f"/api/v1/promotions/{row.id}"
    checks = list(row.checks.select_related("run"))
    unfinished = [check.run_id for check in checks if not check.run.finished]
    progress = progress_of(unfinished) if unfinished else {}
    return {
        "id": row.id,
        "model": row.version.model.name,
        "n": row.version.n,
        "to": row.environment.name,
        "state": row.state,
        "effective": effect.effective,
        "effective_at": effect.at,
        "dossier_digest": digest,
        "policy": row.policy.pinned,
        "requirements": [{**line, "reason": _reason(line["reason"])} for line in requirements],
        "approvals": quorum.tally(row.policy.body, approvals_given(row, digest)),
        "reasons": reasons,
        "checks": [
            {
                "id": check.run.id,
                "check": check.run.check_slug,
                "state": check.run.state,
                "result_digest": check.run.result_digest,
                "progress": asdict(progress[check.run_id]) if check.run_id in progress else None,
            }
            for check in checks
        ],
        "policy_outdated": policy_outdated(row),
        "attestation": f"{base}/attestation" if row.attestation is not None else None,
        "receipt": f"{base}/receipt" if effect.effective else None,
        "created_at": row.created_at,
    }


def gate_answer(
    digest: str, environment: str, answer: gate.Answer, at: datetime | None = None
) -> dict[str, Any]:
    """In the shape of serializers.GateOut, which describes it: to make each answer pass through it took longer."""
    # Nobody attests what was let through by breaking the glass.
    proved = answer.allowed and not answer.break_glass and bool(answer.standings)
    proof: UUID | None = answer.standings[0].placement.promotion_id if proved else None
    base = f"/api/v1/promotions/{proof}"
    return {
        "allowed": answer.allowed,
        "digest": digest,
        "environment": environment,
        "reasons": [messages.as_json(reason) for reason in answer.reasons],
        "placements": [
            {
                "model": standing.placement.version.model.name,
                "n": standing.placement.version.n,
                "state": standing.state,
                "effective_at": standing.effective_at,
                "promotion": standing.placement.promotion_id,
            }
            for standing in answer.standings
        ],
        "attestation": f"{base}/attestation" if proof else None,
        "receipt": f"{base}/receipt" if proof else None,
        "at": at.astimezone(UTC) if at else None,
        "grandfathered": _grandfathered(answer),
        "warnings": [messages.as_json(warning) for warning in answer.warnings],
        "break_glass": answer.break_glass,
        "until": answer.until,
    }


def _grandfathered(answer: gate.Answer) -> dict[str, Any] | None:
    entry = answer.grandfathered
    return None if entry is None else {"id": entry.id, "model": entry.model.name, "deadline": entry.deadline}
