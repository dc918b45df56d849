"""What a promotion rests on: the verdict line by line, and the one digest that a decision is pinned to.

The digest covers manifest, datasets, check results, policy, findings and waivers; never decisions, reasons, ages or the
comparison with what is live. So it changes exactly when the proof changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.models import CheckRun
from governance import exceptions
from governance.models import Decision, Promotion
from governance.policy.schema import duration
from governance.policy.verdict import (
    SATISFYING,
    Evidence,
    RequirementVerdict,
    judge,
    passed,
    requirement_of,
    waive,
)
from governance.states import DecisionVerdict
from registry.models import DatasetVersion


@dataclass(frozen=True)
class Dossier:
    """`digest` is empty until every check has finished."""

    lines: list[RequirementVerdict]
    runs: list[CheckRun]
    digest: str
    blocked: tuple[Message, ...] = ()  # findings that shut the gate until they are closed
    awaits_waiver: bool = False  # what is not met was waived, and the waivers are about to be effective

    @property
    def complete(self) -> bool:
        return bool(self.digest)

    @property
    def passed(self) -> bool:
        return self.complete and passed(self.lines)

    @property
    def reasons(self) -> tuple[Message, ...]:
        """Why the gate is closed: one message for each line that is not passed."""
        return tuple(
            Message(
                "requirement_not_passed",
                {
                    "check": line.check,
                    "metric": line.metric,
                    "attribute": line.attribute or "",
                    "verdict": line.verdict,
                    "value": line.value,
                    "op": line.op,
                    "limit": line.limit,
                    "cause": {"code": line.reason.code, "params": line.reason.params},
                },
            )
            for line in self.lines
            if line.verdict not in SATISFYING
        )


def datasets_of(promotion: Promotion) -> list[DatasetVersion]:
    version = promotion.version
    rows = {row.id: row for row in version.training.select_related("dataset")}
    rows[version.evaluation_id] = version.evaluation
    return sorted(rows.values(), key=lambda row: row.label)


def assess(promotion: Promotion, now: datetime) -> Dossier:
    """Judge the promotion as it stands. Reads only."""
    policy = promotion.policy.body
    runs = [check.run for check in promotion.checks.select_related("run")]
    evidence = [Evidence(run.result, run.finished_at) for run in runs]
    lines = judge(policy, evidence, not_before=now - duration(policy["evidence_max_age"]))
    findings = exceptions.findings_of(promotion.version)
    approved = exceptions.approved_waivers(promotion.version, promotion.environment, now)
    waivers = exceptions.effective(approved)
    lines = waive(lines, exceptions.about(waivers))
    unmet = [requirement_of(line) for line in lines if line.verdict not in SATISFYING]
    if not all(run.finished for run in runs):
        return Dossier(lines, runs, "")
    content = {
        "manifest": promotion.version.manifest_digest,
        "datasets": {row.label: row.digest for row in datasets_of(promotion)},
        "checks": [[run.check_slug, run.check_version, run.result_digest] for run in runs],
        "policy": promotion.policy.digest,
        "findings": [[str(row.id), row.severity, row.state] for row in findings],
        "waivers": sorted([str(row.id), *row.requirement] for row in waivers.values()),
    }
    return Dossier(
        lines,
        runs,
        digest_of(content),
        blocked=exceptions.blocking(findings, policy),
        awaits_waiver=bool(unmet) and set(unmet) <= {row.requirement for row in approved},
    )


def approvals_given(promotion: Promotion, digest: str) -> list[str]:
    """The slots filled by approvals that still count: those of people who saw this very dossier."""
    valid = Decision.objects.filter(
        promotion=promotion, dossier_digest=digest, verdict=DecisionVerdict.APPROVE
    )
    return list(valid.values_list("role", flat=True))
