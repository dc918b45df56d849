"""One row of each kind that watches over a version: a finding, a waiver, a condition, a re-review, broken glass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from audits.ids import uuid7
from governance.models import (
    Alarm,
    BrokenGlass,
    Condition,
    Decision,
    Environment,
    ExternalEvidence,
    Finding,
    Placement,
    PlacementReview,
    Promotion,
    Waiver,
)
from registry.models import ModelVersion
from tests.cast import Cast


def watched(cast: Cast, version: ModelVersion, promotion: Promotion) -> dict[str, Any]:
    """One of each: a finding, a waiver, a condition, a re-review, a broken glass and its alarm."""
    about = {"workspace": cast.workspace, "version": version}
    production = Environment.objects.get(workspace=cast.workspace, name="production")
    due = datetime.now(UTC) + timedelta(days=9)
    bruno, ana = cast.people["bruno"].id, cast.people["ana"].id
    decision = Decision.objects.create(
        workspace=cast.workspace,
        promotion=promotion,
        person_id=bruno,
        role="validator",
        verdict="approve",
        dossier_digest="sha256:an earlier one",
        event_id=uuid7(),
    )
    glass = BrokenGlass.objects.create(
        **about, environment=production, broken_by=bruno, expires_at=due, granted_event=uuid7()
    )
    return {
        "external_evidence": ExternalEvidence.objects.create(
            **about,
            check_slug="c",
            kind="junit",
            title="t",
            issuer="i",
            digest="sha256:0",
            size=1,
            attached_by=ana,
        ),
        "finding": Finding.objects.create(**about, severity="low", owner_id=ana, due=due, opened_by=bruno),
        "waiver": Waiver.objects.create(
            **about, environment=production, check_slug="c", expires_at=due, requested_by=ana
        ),
        "condition": Condition.objects.create(
            workspace=cast.workspace, promotion=promotion, decision=decision, n=1, due=due, set_by=bruno
        ),
        "review": PlacementReview.objects.create(
            workspace=cast.workspace,
            placement=Placement.objects.filter(version=version).earliest("id"),
            due=due,
        ),
        "glass": glass,
        "alarm": Alarm.objects.create(workspace=cast.workspace, glass=glass, raised_by=bruno),
    }
