"""What tests of findings, waivers and broken glass share: a policy that allows them, and rows moved in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections

from audits.actors import Command, system_actor
from governance import gate
from governance.gate import Answer
from governance.models import Finding, Promotion, Waiver
from governance.services.conditions import ConditionTerms
from governance.services.decisions import decide
from governance.services.findings import answer_finding, close_finding, open_finding, verify_finding
from governance.services.identity import bind_role
from governance.services.policies import apply_policy
from governance.services.waivers import approve_waiver, request_waiver
from registry.models import ModelVersion
from tests import scenario
from tests.cast import Cast

SOON = timedelta(days=7)
SEX_DISPARITY = ("bias.group_disparity", "demographic_parity_ratio", "sex")


def later(delta: timedelta = SOON) -> datetime:
    return datetime.now(UTC) + delta


def give(cast: Cast, name: str, role: str) -> None:
    bind_role(command=Command(system_actor("shell", cast.workspace.id)), role=role, person=cast.people[name])


def production_policy(cast: Cast, extra: str, strict: bool = False) -> None:
    """The production policy of the scenario with further terms; `strict`: asking for more parity than there is."""
    text = scenario.POLICY.format(environment="production", approvals=scenario.APPROVALS["production"])
    if strict:
        text = text.replace("min: 0.80", "min: 0.999")
    shell = Command(system_actor("shell", cast.workspace.id))
    if apply_policy(command=shell, text=text + extra).created:
        scenario.publish()  # in force once its event is published


def with_terms(cast: Cast, extra: str, strict: bool = False) -> ModelVersion:
    """A version in homologation, with a production policy of further terms."""
    scenario.policies(cast)
    production_policy(cast, extra, strict)
    version = scenario.register(cast)
    scenario.promoted(cast, version, "homologation")
    return version


def live(cast: Cast, version: ModelVersion, conditions: Sequence[ConditionTerms] = ()) -> Promotion:
    """From homologation into production, effective; Bruno approves under `conditions`."""
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    decide(
        command=cast.command("bruno"),
        promotion_id=promotion.id,
        verdict="approve",
        reason="Within policy.",
        dossier_digest=promotion.dossier_digest,
        conditions=conditions,
    )
    scenario.word(cast, "bia", promotion)
    assert promotion.state == "granted"
    scenario.publish()
    return promotion


def ask(version: ModelVersion, environment: str = "production") -> Answer:
    return gate.ask(version.workspace_id, version.artifact_digest, environment, version.model.name)


def codes(answer: Answer) -> list[str]:
    return [reason.code for reason in answer.reasons]


def opened(cast: Cast, version: ModelVersion, severity: str = "high", by: str = "bruno") -> Finding:
    return open_finding(
        command=cast.command(by),
        version_id=version.id,
        severity=severity,
        owner="ana",
        due=later(),
        text="The threshold was chosen on the evaluation data.",
    ).value


def closed(cast: Cast, finding: Finding) -> Finding:
    answer_finding(command=cast.command("ana"), finding_id=finding.id, text="Chosen again on a third split.")
    verify_finding(command=cast.command("bruno"), finding_id=finding.id, holds=True, text="It was.")
    row = close_finding(command=cast.command("bia"), finding_id=finding.id, text="Settled.").value
    scenario.publish()
    return row


def waiver(cast: Cast, version: ModelVersion, days: int = 30, requirement: Any = SEX_DISPARITY) -> Waiver:
    check, metric, attribute = requirement
    return request_waiver(
        command=cast.command("ana"),
        version_id=version.id,
        environment="production",
        check=check,
        metric=metric,
        attribute=attribute,
        reason="The sample of women is small.",
        compensating_control="Every refusal of a woman is looked at by a physician.",
        expires_at=later(timedelta(days=days)),
    ).value


def waived(cast: Cast, version: ModelVersion, days: int = 30) -> Waiver:
    """Approved by Bia, not yet effective."""
    return approve_waiver(
        command=cast.command("bia"), waiver_id=waiver(cast, version, days).id, reason="Until the new cohort."
    ).value


def move(table: str, row_id: Any, **columns: datetime) -> None:
    """Set times in a row behind the back of the service, as if the clock had moved."""
    assignments = ", ".join(f"{name} = %s" for name in columns)
    with connections["migrator"].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE {table} SET {assignments} WHERE id = %s", [*columns.values(), str(row_id)])
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table]
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
