"""What another policy would say of a version, with the evidence there is. Reads only: nothing is queued or written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audits.services.check_runs import latest_answer
from governance.attested import attested_for
from governance.environment_locks import lock_hindrance
from governance.models import UseCase
from governance.policy import quorum, schema
from governance.policy.schema import duration
from governance.policy.verdict import Evidence, RequirementVerdict, judge, passed
from governance.services.evidence import questions
from registry.models import ModelVersion


@dataclass(frozen=True)
class Rehearsal:
    """`applies`: whether the policy is meant for this version's use case at all."""

    applies: bool
    format_accepted: bool
    lock_accepted: bool
    lines: list[RequirementVerdict]
    approvals: list[dict[str, Any]]

    @property
    def passed(self) -> bool:
        return self.format_accepted and self.lock_accepted and passed(self.lines)


def rehearse(version: ModelVersion, body: dict[str, Any], now: datetime) -> Rehearsal:
    """Every requirement of a validated policy body; evidence that is not there is *pending*, an old one *stale*."""
    evidence = []
    not_before = now - duration(body["evidence_max_age"])
    attested = attested_for(version, body["checks"], not_before)
    for question, paper in zip(questions(version, body), attested, strict=True):
        run = latest_answer(version.workspace_id, **question, confinement_level=body["confinement_level"])
        evidence.append(Evidence(run.result if run else None, run.finished_at if run else None, paper))
    lines = judge(body, evidence, not_before=not_before)
    return Rehearsal(
        applies=_applies(version, body),
        format_accepted=version.metadata["format"] in body["artifact_formats"],
        lock_accepted=lock_hindrance(version, body, body["policy"]) is None,
        lines=lines,
        approvals=quorum.tally(body, []),
    )


def _applies(version: ModelVersion, body: dict[str, Any]) -> bool:
    name = version.metadata["use_case"]
    if "use_case" in body["applies_to"]:
        return bool(body["applies_to"]["use_case"] == name)
    use_case = UseCase.objects.get(workspace_id=version.workspace_id, name=name)
    return use_case.risk_tier in schema.tiers_of(body)
