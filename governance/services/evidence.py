"""Order the checks a policy asks for: one run for each entry, or the run that already answers it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from audits.actors import Actor
from audits.checks.contract import Material
from audits.services.check_runs import obtain_run
from governance.models import Promotion, PromotionCheck
from governance.policy.schema import duration

SEMANTICS = (
    "task",
    "target",
    "positive_label",
    "favourable_label",
    "output",
    "threshold",
    "sensitive",
    "entity_key",
    "time_column",
    "format",
    "framework",
    "claimed_metrics",
)


def order_checks(actor: Actor, promotion: Promotion) -> None:
    """Part of the transaction that creates the promotion."""
    version, policy = promotion.version, promotion.policy.body
    training = version.training.order_by("created_at")
    materials = (
        Material("artifact", version.artifact_digest, version.metadata["format"]),
        *(Material("training", row.digest, row.format) for row in training[:1]),
        Material("evaluation", version.evaluation.digest, version.evaluation.format),
    )
    semantics = {name: version.metadata[name] for name in SEMANTICS if name in version.metadata}
    fresh_since = timezone.now() - duration(policy["evidence_max_age"])
    for position, entry in enumerate(policy["checks"]):
        run = obtain_run(
            actor,
            subject=version.ref,
            slug=entry["check"],
            parameters=_parameters(entry, semantics),
            seed=version.metadata["seed"],
            semantics=semantics,
            materials=materials,
            confinement_level=policy["confinement_level"],
            fresh_since=fresh_since,
        )
        PromotionCheck.objects.create(promotion=promotion, position=position, run=run)


def _parameters(entry: dict[str, Any], semantics: dict[str, Any]) -> dict[str, Any]:
    """The policy's parameters; the sensitive columns are those declared and the policy's: it adds, never removes."""
    parameters = dict(entry.get("parameters", {}))
    if entry["check"] == "bias.group_disparity":
        # so that the check can say at which sample size the limit could be met at all
        limits = {line["metric"]: line.get("min", line.get("max")) for line in entry["require"]}
        parameters.setdefault("limits", {name: limits[name] for name in sorted(limits)})
    if "sensitive" in parameters:
        parameters["sensitive"] = sorted({*parameters["sensitive"], *semantics["sensitive"]})
    return parameters
