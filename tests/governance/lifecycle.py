"""Ways to a placement for the tests of what comes after it: short ones, by services."""

from __future__ import annotations

from governance import gate
from governance.models import Environment, Placement, Promotion
from governance.services.decisions import decide
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast

APPROVED = """
policy: study-{environment}
applies_to: {{use_case: care, environment: {environment}}}
checks: []
approvals: [{{role: validator, count: 1}}]
"""


def open_ways(cast: Cast) -> ModelVersion:
    """A study in which every step is free, but production needs Bruno or Ana as validator."""
    version = study.study(cast)
    for text in (
        study.OPEN.format(environment="homologation"),
        APPROVED.format(environment="production"),
    ):
        study.put_in_force(cast, text)
    return version


def step_to(cast: Cast, version: ModelVersion, last: str) -> Promotion:
    """All steps up to `last`, each effective but the last one, which is granted or waits for approval."""
    for row in Environment.objects.filter(workspace=cast.workspace).order_by("position"):
        if Placement.objects.filter(
            version=version, environment=row, state__in=["live", "superseded"]
        ).exists():
            continue
        promotion = study.ask(cast, version, row.name)
        if row.name == last:
            return promotion
        study.sequence()
    raise AssertionError(last)


def approve(cast: Cast, promotion: Promotion, name: str = "bruno") -> None:
    promotion.refresh_from_db()
    decide(
        command=cast.command(name),
        promotion_id=promotion.id,
        verdict="approve",
        reason="read",
        dossier_digest=promotion.dossier_digest,
    )
    promotion.refresh_from_db()


def live(cast: Cast, version: ModelVersion, *, effective: bool = True) -> Placement:
    """The version live in production."""
    promotion = step_to(cast, version, "production")
    approve(cast, promotion)
    if effective:
        study.sequence()
    return Placement.objects.get(promotion=promotion)


def another(cast: Cast, n: int) -> ModelVersion:
    return study.model_version(cast, artifact=b"model %d" % n)


def says(cast: Cast, version: ModelVersion, environment: str = "production") -> str:
    """The gate in one word: allowed, or the code of its first reason."""
    answer = gate.ask(cast.workspace.id, version.artifact_digest, environment)
    return "allowed" if answer.allowed else answer.reasons[0].code
