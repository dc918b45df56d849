"""How things are called on the pages: titles for slugs, numbers as the reader writes them, sentences of messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils import formats, translation
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audits import messages
from audits.checks.contract import Message
from audits.plots.reader import Reader
from audits.plots.svg import clean_name
from governance.roles import ROLES
from governance.states import DecisionVerdict, DeploymentMode, PlacementState, PromotionState
from registry.states import VersionState

Words = Mapping[str, str | Promise]
MOMENT = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-][0-2]\d:[0-5]\d)")

CHECKS: Words = {
    "data.quality": _("Data quality"),
    "evaluation.performance": _("Recomputed evaluation"),
    "bias.group_disparity": _("Group disparity"),
    "explainability.shap": _("Explainability (SHAP)"),
    "bias.proxy_scan": _("Proxies of sensitive attributes"),
    "drift.distribution": _("Drift of the data"),
    "drift.concept": _("Performance over time"),
    "robustness.perturbation": _("Robustness to small disturbances"),
    "privacy.columns": _("Personal data in the columns"),
    "evaluation.resources": _("Cost of running the model"),
}

METRICS: Words = {
    "rows": _("Rows"),
    "missing_ratio": _("Share of missing cells"),
    "missing_ratio_worst_column": _("Share of missing cells in the worst column"),
    "duplicate_ratio": _("Share of duplicate rows"),
    "constant_columns": _("Constant columns"),
    "minority_class_ratio": _("Share of the rarest class"),
    "infinite_cells": _("Infinite cells"),
    "schema_mismatches": _("Schema mismatches between training and evaluation"),
    "accuracy": _("Accuracy"),
    "balanced_accuracy": _("Balanced accuracy"),
    "precision": _("Precision"),
    "recall": _("Recall"),
    "f1": _("F1 score"),
    "roc_auc": _("Area under the ROC curve"),
    "brier_score": _("Brier score"),
    "baseline_gain": _("Gain over a constant answer"),
    "expected_cost": _("Cost of a decision"),
    "cost_gain": _("Cost saved over a constant answer"),
    "generalisation_gap": _("Training minus evaluation"),
    "row_overlap": _("Evaluation rows also in training"),
    "entity_overlap": _("Evaluation entities also in training"),
    "claimed_metric_gap": _("Largest gap between claimed and recomputed"),
    "mae": _("Mean absolute error"),
    "rmse": _("Root mean squared error"),
    "r2": _("R²"),
    "demographic_parity_difference": _("Demographic parity difference"),
    "demographic_parity_ratio": _("Demographic parity ratio"),
    "equalized_odds_difference": _("Equalised odds difference"),
    "equalized_odds_difference_mean": _("Equalised odds difference (mean)"),
    "equalized_odds_ratio": _("Equalised odds ratio"),
    "equal_opportunity_difference": _("Equal opportunity difference"),
    "equal_opportunity_ratio": _("Equal opportunity ratio"),
    "predictive_parity_difference": _("Predictive parity difference"),
    "treatment_equality_difference": _("Treatment equality difference"),
    "accuracy_difference": _("Accuracy difference"),
    "forbidden_attribute_flips": _("Decisions flipped by a forbidden attribute"),
    "attribute_flips": _("Decisions flipped by an attribute"),
    "sensitive_attribution_share": _("Share of attribution on sensitive columns"),
    "proxy_attribution_share": _("Share of attribution on proxies"),
    "top_feature_share": _("Share of attribution on the top column"),
    "additivity_error": _("Additivity error"),
    "selection_rate": _("Selection rate"),
    "true_positive_rate": _("True positive rate"),
    "false_positive_rate": _("False positive rate"),
    "false_negative_rate": _("False negative rate"),
    "negative_predictive_value": _("Negative predictive value"),
    "base_rate": _("Base rate"),
    "schema_violations": _("Cells that break a rule"),
    "strongest_target_association": _("Association of the column closest to the target"),
    "data_age_days": _("Age of the newest row in days"),
    "time_overlap": _("Evaluation rows not later than training"),
    "unknown_level_ratio": _("Rows with a category unknown to training"),
    "reordered_columns": _("Columns in another order"),
    "one_vs_rest_demographic_parity_difference": _("Demographic parity difference (worst class)"),
    "one_vs_rest_equal_opportunity_difference": _("Equal opportunity difference (worst class)"),
    "one_vs_rest_equalized_odds_difference": _("Equalised odds difference (worst class)"),
    "calibration_gap": _("Observed rate minus mean score"),
    "calibration_error": _("Expected calibration error"),
    "calibration_gap_difference": _("Calibration gap difference"),
    "calibration_error_worst_group": _("Expected calibration error (worst group)"),
    "mean_prediction": _("Mean prediction"),
    "mean_target": _("Mean of the target"),
    "mean_residual": _("Mean residual"),
    "mean_prediction_difference": _("Mean prediction difference"),
    "mean_prediction_difference_standardised": _("Mean prediction difference (standardised)"),
    "mae_difference": _("Mean absolute error difference"),
    "rmse_difference": _("Root mean squared error difference"),
    "mean_residual_difference": _("Mean residual difference"),
    "prediction_ks": _("Largest distance of predictions (KS)"),
    "proxy_auc": _("How well the inputs tell the attribute (AUC)"),
    "population_stability_index": _("Population stability index"),
    "jensen_shannon": _("Jensen-Shannon divergence"),
    "kolmogorov_smirnov": _("Kolmogorov-Smirnov distance"),
    "drifted_columns": _("Columns that moved"),
    "group_population_stability_index": _("Population stability index (worst group)"),
    "performance_drop": _("Drop from the first to the last window"),
    "performance_worst_window": _("Performance in the worst window"),
    "flip_rate_noise": _("Decisions flipped by noise"),
    "flip_rate_shift": _("Decisions flipped by a small shift"),
    "flip_rate_missing": _("Decisions flipped by empty cells"),
    "flip_rate_noise_difference": _("Flips by noise, difference between groups"),
    "flip_rate_shift_difference": _("Flips by a small shift, difference between groups"),
    "flip_rate_missing_difference": _("Flips by empty cells, difference between groups"),
    "direct_identifier_columns": _("Columns that identify a person"),
    "quasi_identifier_columns": _("Quasi-identifier columns"),
    "special_category_columns": _("Special category columns"),
    "undeclared_special_columns": _("Undeclared special category columns"),
    "k_anonymity": _("Smallest group with the same quasi-identifiers"),
    "unique_row_ratio": _("Share of unique rows"),
    "latency_ms": _("Milliseconds per row (median)"),
    "latency_ms_p95": _("Milliseconds per row (95th percentile)"),
    "throughput_rows_per_second": _("Rows per second"),
    "peak_memory_bytes": _("Peak memory in bytes"),
    "artifact_bytes": _("Size of the model file in bytes"),
}

VERDICTS: Words = {
    "passed": _("met"),
    "attested": _("attested, not computed here"),
    "failed": _("not met"),
    "inconclusive": _("inconclusive"),
    "errored": _("could not be measured"),
    "stale": _("evidence too old"),
    "pending": _("being checked"),
    "waived": _("waived"),
}

DECIDED: Words = {
    DecisionVerdict.APPROVE: _("approved"),
    DecisionVerdict.REJECT: _("rejected"),
    DecisionVerdict.REQUEST_CHANGES: _("asked for changes"),
}

DUTIES: Words = {
    "requester": _("asked for this promotion"),
    "author": _("is the author of the version"),
    "trainer": _("registered the version"),
    "dataset_owner": _("owns a dataset it was made from"),
    # of a change of a policy
    "proposer": _("proposed it"),
    "beneficiary": _("waits for a decision under this policy"),
}

EXCLUDED: Words = {"below_min_group": _("too few rows to compare")}

SYSTEM: Words = {
    "worker": _("Crivo (worker)"),
    "notary": _("Crivo (notary)"),
    "sweep": _("Crivo (sweep)"),
    "shell": _("the operator's shell"),
}

DATA_ROLES: Words = {
    "training": _("training"),
    "evaluation": _("evaluation"),
    "artifact": _("artefact"),
    "reference": _("reference"),
}

USES: Words = {"allowed": _("allowed"), "forbidden": _("forbidden"), "monitored": _("monitored")}

COLUMN_KINDS: Words = {
    "number": _("number"),
    "boolean": _("boolean"),
    "date": _("date"),
    "text": _("text"),
    "empty": _("empty"),
}

ROLE_TITLES: Words = {slug: role.title for slug, role in ROLES.items()}

STATES: Words = {
    **dict(VersionState.choices),
    **dict(PlacementState.choices),
    **dict(PromotionState.choices),
}

_BY_PARAMETER: Mapping[str, Words] = {
    "check": CHECKS,
    "metric": METRICS,
    "state": STATES,
    "wanted": STATES,
    "mode": dict(DeploymentMode.choices),
    "verdict": dict(DecisionVerdict.choices),
    "role": {**ROLE_TITLES, **DATA_ROLES},
    "roles": ROLE_TITLES,
    "duties": DUTIES,
}


def number(value: float, decimals: int) -> str:
    """`value` with `decimals` places as the reader writes it: 1,234.50 or 1.234,50."""
    if not translation.get_language().startswith("pt"):
        return f"{value:,.{decimals}f}"
    return formats.number_format(value, decimal_pos=decimals, use_l10n=True, force_grouping=True)


def reader() -> Reader:
    return Reader(gettext, number)


def word(words: Words, key: object) -> str:
    """The word for `key`, or the key itself, safe to show: slugs may be newer than this page."""
    return str(words[key]) if isinstance(key, str) and key in words else clean_name(key)


def quantity(value: float | None, *, beside: float | None = None) -> str:
    """A measured value: a count whole, anything else with three decimals, or as many as tell it from `beside`."""
    if value is None:
        return reader().decimals(None, 0)
    if float(value).is_integer() and abs(value) < 1e7:
        return reader().decimals(value, 0)
    return reader().apart(value, beside) if beside is not None else reader().decimals(value, 3)


def limit(value: float) -> str:
    """A limit as a person would write it in a policy: at least two decimals, unless it is whole."""
    if float(value).is_integer():
        return reader().decimals(value, 0)
    decimals = max(2, len(f"{value:.7f}".rstrip("0").partition(".")[2]))
    return reader().decimals(value, decimals)


def sentence(message: Message | Mapping[str, Any] | None) -> str:
    """A message as the reader would say it: their words for slugs, their way of writing numbers."""
    if message is None:
        return ""
    if isinstance(message, Mapping):
        given = message.get("params")
        message = Message(str(message.get("code", "")), dict(given) if isinstance(given, Mapping) else {})
    code, params = message.code, message.params
    if not messages.known(code):
        return clean_name(code)  # what would be shown in place of a sentence may be a stranger's
    shown = {str(name): _shown(str(name), value, params) for name, value in params.items()}
    return messages.render(Message(code, shown))


def _shown(name: str, value: Any, params: Any) -> Any:
    words = _BY_PARAMETER.get(name)
    if isinstance(value, Mapping) and "code" in value:
        return sentence(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(_shown(name, item, {})) for item in value)
    if words is not None and isinstance(value, str) and value in words:
        return str(words[value])
    if isinstance(value, float):
        if name in ("limit", "before", "after"):
            return limit(value)
        beside = params.get("limit") if name == "value" else None
        return quantity(value, beside=beside if isinstance(beside, float | int) else None)
    if isinstance(value, str):
        return to_the_minute(value) or clean_name(value)
    return value


def to_the_minute(value: str) -> str:
    """A time as the pages write it, in UTC and said to be; empty for any other text."""
    if not MOMENT.fullmatch(value):
        return ""
    try:
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return ""
