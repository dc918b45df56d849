"""Answers as the API gives them, for the double."""

from __future__ import annotations

from typing import Any

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
ARTIFACT = "sha256:" + "a" * 64
DOSSIER = "sha256:" + "d" * 64
ME = {"kind": "token", "id": ID, "workspace": "default", "roles": ["pipeline"], "scopes": ["gate:read"]}


def reason(code: str, text: str) -> dict[str, Any]:
    return {"code": code, "params": {}, "text": text}


def requirement(**more: Any) -> dict[str, Any]:
    return {
        "check": "bias.group_disparity",
        "metric": "demographic_parity_ratio",
        "attribute": "sex",
        "op": "min",
        "limit": 0.8,
        "bound": "point",
        "value": 0.6283309957924264,
        "interval": [0.44060313593203415, 0.8812063549302926],
        "n": 177,
        "verdict": "failed",
        "reason": reason("limit_missed_min", "0.6283 is below the limit of 0.8."),
        **more,
    }


def promotion(state: str = "checking", **more: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "model": "scoring",
        "n": 3,
        "to": "homologation",
        "state": state,
        "effective": False,
        "effective_at": None,
        "dossier_digest": "" if state == "checking" else DOSSIER,
        "policy": {"id": "homologation-high", "version": "2", "digest": "sha256:" + "9" * 64},
        "requirements": [],
        "approvals": [{"role": "validator", "needed": 1, "given": 0}],
        "reasons": [],
        "checks": [],
        "attestation": None,
        "receipt": None,
        "created_at": "2026-01-01T00:00:00Z",
        **more,
    }


EFFECTIVE = promotion(
    "granted",
    effective=True,
    effective_at="2026-01-01T00:01:00Z",
    attestation=f"/api/v1/promotions/{ID}/attestation",
    receipt=f"/api/v1/promotions/{ID}/receipt",
)
REFUSED = promotion(
    "refused",
    requirements=[requirement()],
    reasons=[
        reason("requirements_not_met", "Requirements of the policy that are not met: 1."),
        reason(
            "requirement_not_passed",
            "bias.group_disparity, demographic_parity_ratio sex: 0.6283 is below the limit of 0.8.",
        ),
    ],
)


def gate(allowed: bool, digest: str = ARTIFACT, environment: str = "production") -> dict[str, Any]:
    reasons = [] if allowed else [reason("not_promoted", "No version with this artefact was promoted.")]
    return {
        "allowed": allowed,
        "digest": digest,
        "environment": environment,
        "reasons": reasons,
        "placements": [],
        "attestation": None,
        "receipt": None,
    }
