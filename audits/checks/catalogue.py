"""The checks there are: one literal table. Adding a check is one entry here, one function, one page in docs/checks/.

Functions are named by dotted path, so that the web process can list checks without importing what computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from audits.checks.pandera_form import PANDERA

RATIO = {"type": "number", "minimum": 0, "maximum": 1}
LEVEL = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}  # of confidence: no interval has 1
COUNT = {"type": "integer", "minimum": 1}
# metric → the policy's limit: what `minimum_n` is worked out for
LIMITS = {"type": "object", "additionalProperties": {"type": "number"}}
# {column: what data.quality expects of it}
COLUMN_RULES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "type": {"enum": ["number", "boolean", "date", "text"]},
            "min": {"type": "number"},
            "max": {"type": "number"},
            "values": {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
            "missing": {"const": False},
            "unique": {"const": True},
        },
    },
}


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
    repeatable: bool = True  # the same input gives the same result; not so for measured times
    # How far a number may move on another image or CPU family, relative to the larger of 1 and itself.
    tolerance: float = 1e-9
    # Module with the functions of its shares (audits.checks.mapped), where long data are divided among workers.
    mapped: str = ""
    # Whether a stored sketch of the training data (role reference) does where those cannot be read.
    sketched: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the files it may be given."""
        return (*self.reads, "reference") if self.sketched else self.reads


def _parameters(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


CATALOGUE: dict[str, CheckDefinition] = {
    definition.slug: definition
    for definition in (
        CheckDefinition(
            slug="data.quality",
            title="Data quality",
            kind="quality",
            version="2",
            function="audits.checks.quality:run",
            mapped="audits.checks.quality",
            reads=("training", "evaluation"),
            parameters=_parameters(
                schema=COLUMN_RULES,
                pandera=PANDERA,
                as_of={"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
            ),
            metrics=(
                "rows",
                "missing_ratio",
                "missing_ratio_worst_column",
                "duplicate_ratio",
                "constant_columns",
                "minority_class_ratio",
                "infinite_cells",
                "schema_mismatches",
                "schema_violations",
                "strongest_target_association",
                "data_age_days",
            ),
        ),
        CheckDefinition(
            slug="evaluation.performance",
            title="Recomputed evaluation",
            kind="evaluation",
            version="3",
            function="audits.checks.evaluation:run",
            reads=("artifact", "training", "evaluation"),
            parameters=_parameters(
                claim_tolerance={"type": "number", "minimum": 0}, unknown_levels={"enum": ["count", "error"]}
            ),
            metrics=(
                "accuracy",
                "balanced_accuracy",
                "precision",
                "recall",
                "f1",
                "roc_auc",
                "brier_score",
                "baseline_gain",
                "expected_cost",
                "cost_gain",
                "generalisation_gap",
                "row_overlap",
                "entity_overlap",
                "claimed_metric_gap",
                "time_overlap",
                "unknown_level_ratio",
                "reordered_columns",
                "mae",
                "rmse",
                "r2",
            ),
        ),
        CheckDefinition(
            slug="bias.group_disparity",
            title="Group disparity",
            kind="bias",
            version="4",
            function="audits.checks.bias:run",
            mapped="audits.checks.bias_mapped",
            reads=("artifact", "evaluation"),
            parameters={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "sensitive": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    "intersections": {"type": "integer", "minimum": 1, "maximum": 3},
                    "min_group": {"type": "integer", "minimum": 1},
                    "level": LEVEL,
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
                # more than two classes: each against the rest
                "one_vs_rest_demographic_parity_difference",
                "one_vs_rest_equal_opportunity_difference",
                "one_vs_rest_equalized_odds_difference",
                # scores
                "calibration_gap_difference",
                "calibration_error_worst_group",
                # regression
                "mean_prediction_difference",
                "mean_prediction_difference_standardised",
                "mae_difference",
                "rmse_difference",
                "mean_residual_difference",
                "prediction_ks",
                # per group
                "selection_rate",
                "base_rate",
                "true_positive_rate",
                "false_positive_rate",
                "false_negative_rate",
                "precision",
                "negative_predictive_value",
                "accuracy",
                "calibration_gap",
                "calibration_error",
                "mean_prediction",
                "mean_target",
                "mae",
                "rmse",
                "mean_residual",
            ),
        ),
        CheckDefinition(
            slug="explainability.shap",
            title="Explainability (SHAP)",
            kind="explainability",
            version="3",
            function="audits.checks.explain:run",
            reads=("artifact", "training", "evaluation"),
            parameters={
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "max_rows": {"type": "integer", "minimum": 10, "maximum": 100000},
                    "background_rows": {"type": "integer", "minimum": 10, "maximum": 10000},
                    "proxy_association": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                },
            },
            metrics=(
                "sensitive_attribution_share",
                "proxy_attribution_share",
                "top_feature_share",
                "additivity_error",
            ),
            tolerance=1e-6,
        ),
        CheckDefinition(
            slug="bias.proxy_scan",
            title="Proxies of sensitive attributes",
            kind="bias",
            version="1",
            function="audits.checks.proxies:run",
            reads=("artifact", "evaluation"),
            parameters=_parameters(
                folds={"type": "integer", "minimum": 2, "maximum": 20},
                max_rows={"type": "integer", "minimum": 100, "maximum": 1_000_000},
                min_group=COUNT,
                level=LEVEL,
            ),
            metrics=("proxy_auc", "forbidden_attribute_flips", "attribute_flips"),
        ),
        CheckDefinition(
            slug="drift.distribution",
            title="Drift of the data",
            kind="drift",
            version="2",
            function="audits.checks.drift:run",
            mapped="audits.checks.drift_mapped",
            reads=("training", "evaluation"),
            sketched=True,
            parameters=_parameters(
                columns={"type": "array", "items": {"type": "string"}, "minItems": 1},
                min_group=COUNT,
                level=LEVEL,
                replicates={"type": "integer", "minimum": 100, "maximum": 100_000},
                limits=LIMITS,
            ),
            metrics=(
                "population_stability_index",
                "jensen_shannon",
                "kolmogorov_smirnov",
                "drifted_columns",
                "group_population_stability_index",
            ),
        ),
        CheckDefinition(
            slug="drift.concept",
            title="Performance over time",
            kind="drift",
            version="2",
            function="audits.checks.concept_drift:run",
            reads=("artifact", "evaluation"),
            parameters=_parameters(windows={"type": "integer", "minimum": 2, "maximum": 100}, level=LEVEL),
            metrics=("performance_drop", "performance_worst_window"),
        ),
        CheckDefinition(
            slug="robustness.perturbation",
            title="Robustness to small disturbances",
            kind="robustness",
            version="2",
            function="audits.checks.robustness:run",
            reads=("artifact", "evaluation"),
            parameters=_parameters(
                noise={"type": "number", "exclusiveMinimum": 0, "maximum": 10},
                shift=RATIO,
                missing=RATIO,
                repeats={"type": "integer", "minimum": 1, "maximum": 100},
                tolerance={"type": "number", "minimum": 0},
                min_group=COUNT,
                level=LEVEL,
            ),
            metrics=(
                "flip_rate_noise",
                "flip_rate_shift",
                "flip_rate_missing",
                "flip_rate_noise_difference",
                "flip_rate_shift_difference",
                "flip_rate_missing_difference",
            ),
        ),
        CheckDefinition(
            slug="privacy.columns",
            title="Personal data in the columns",
            kind="privacy",
            version="1",
            function="audits.checks.privacy:run",
            reads=("training", "evaluation"),
            parameters=_parameters(
                quasi_identifiers={"type": "array", "items": {"type": "string"}, "minItems": 1}
            ),
            metrics=(
                "direct_identifier_columns",
                "quasi_identifier_columns",
                "special_category_columns",
                "undeclared_special_columns",
                "k_anonymity",
                "unique_row_ratio",
            ),
        ),
        CheckDefinition(
            slug="evaluation.resources",
            title="Cost of running the model",
            kind="evaluation",
            version="1",
            function="audits.checks.resources:run",
            reads=("artifact", "evaluation"),
            parameters=_parameters(
                rows={"type": "integer", "minimum": 1, "maximum": 10_000},
                batch={"type": "integer", "minimum": 1, "maximum": 1_000_000},
                repeats={"type": "integer", "minimum": 1, "maximum": 100},
            ),
            metrics=(
                "latency_ms",
                "latency_ms_p95",
                "throughput_rows_per_second",
                "peak_memory_bytes",
                "artifact_bytes",
            ),
            repeatable=False,
        ),
    )
}
