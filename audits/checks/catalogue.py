"""The checks there are: one literal table. Adding a check is one entry here, one function, one page in docs/checks/.

Functions are named by dotted path, so that the web process can list checks without importing what computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RATIO = {"type": "number", "minimum": 0, "maximum": 1}


@dataclass(frozen=True)
class CheckDefinition:
    slug: str
    title: str
    kind: str
    version: str
    function: str  # dotted path, "module:function", imported in the confined child only
    reads: tuple[str, ...]  # roles of the materials it needs
    parameters: dict[str, Any]  # JSON Schema of `parameters`
    metrics: tuple[str, ...]  # what a policy may require of it


CATALOGUE: dict[str, CheckDefinition] = {
    definition.slug: definition
    for definition in (
        CheckDefinition(
            slug="data.quality",
            title="Data quality",
            kind="quality",
            version="1",
            function="audits.checks.quality:run",
            reads=("training", "evaluation"),
            parameters={"type": "object", "additionalProperties": False, "properties": {}},
            metrics=(
                "rows",
                "missing_ratio",
                "missing_ratio_worst_column",
                "duplicate_ratio",
                "constant_columns",
                "minority_class_ratio",
                "infinite_cells",
                "schema_mismatches",
            ),
        ),
        CheckDefinition(
            slug="evaluation.performance",
            title="Recomputed evaluation",
            kind="evaluation",
            version="1",
            function="audits.checks.evaluation:run",
            reads=("artifact", "training", "evaluation"),
            parameters={
                "type": "object",
                "additionalProperties": False,
                "properties": {"claim_tolerance": {"type": "number", "minimum": 0}},
            },
            metrics=(
                "accuracy",
                "balanced_accuracy",
                "precision",
                "recall",
                "f1",
                "roc_auc",
                "brier_score",
                "baseline_gain",
                "generalisation_gap",
                "row_overlap",
                "entity_overlap",
                "claimed_metric_gap",
                "mae",
                "rmse",
                "r2",
            ),
        ),
        CheckDefinition(
            slug="bias.group_disparity",
            title="Group disparity",
            kind="bias",
            version="1",
            function="audits.checks.bias:run",
            reads=("artifact", "evaluation"),
            parameters={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "sensitive": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    "intersections": {"type": "integer", "minimum": 1, "maximum": 3},
                    "min_group": {"type": "integer", "minimum": 1},
                    "level": RATIO,
                    "replicates": {"type": "integer", "minimum": 100, "maximum": 100000},
                    # metric → the policy's limit: what `minimum_n` is worked out for
                    "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                },
            },
            metrics=(
                "demographic_parity_difference",
                "demographic_parity_ratio",
                "equalized_odds_difference",
                "equalized_odds_difference_mean",
                "equalized_odds_ratio",
                "equal_opportunity_difference",
                "equal_opportunity_ratio",
                "predictive_parity_difference",
                "treatment_equality_difference",
                "accuracy_difference",
                "forbidden_attribute_flips",
                "attribute_flips",
                # per group
                "selection_rate",
                "base_rate",
                "true_positive_rate",
                "false_positive_rate",
                "false_negative_rate",
                "precision",
                "negative_predictive_value",
                "accuracy",
            ),
        ),
        CheckDefinition(
            slug="explainability.shap",
            title="Explainability (SHAP)",
            kind="explainability",
            version="1",
            function="audits.checks.explain:run",
            reads=("artifact", "training", "evaluation"),
            parameters={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "max_rows": {"type": "integer", "minimum": 10, "maximum": 100000},
                    "background_rows": {"type": "integer", "minimum": 10, "maximum": 10000},
                },
            },
            metrics=("sensitive_attribution_share", "top_feature_share", "additivity_error"),
        ),
    )
}
