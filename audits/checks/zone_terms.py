"""The lists behind audits.checks.zones: words, numbers, notes and counts that may leave a data zone.

An allow-list: a check that says something new says it outside a zone only once it is named here.
"""

from __future__ import annotations

import re

from audits.checks.catalogue import CATALOGUE

LEAST = 10  # rows behind a cell, where a zone names no other number
JOIN = "×"  # of the columns of an intersection (audits.checks.groups)
ROLES = ("artifact", "training", "evaluation")
HIDDEN = "…"

# What a metric may say beside its value. Counts of rows are held against k; the rest counts something else.
ROWS = frozenset(
    {
        *(
            "rows",
            "positives",
            "negatives",
            "successes",
            "correct",
            "flipped",
            "shared",
            "not_later",
            "unique",
        ),
        *("unknown", "missing", "duplicates", "smallest_class", "training_rows", "evaluation_rows"),
    }
)
# Those that are sizes of data sets: nobody is outside them.
WHOLES = frozenset({"rows", "training_rows", "evaluation_rows"})
OTHERS = frozenset(
    {
        "groups",
        "groups_excluded",
        "classes",
        "columns",
        "claims",
        "features",
        "levels",
        "windows",
        "rules",
        "cells",
    }
)
# Metrics that are a count of rows or cells themselves, and those that are one row's value.
COUNTED = frozenset(
    {
        "forbidden_attribute_flips",
        "attribute_flips",
        "schema_violations",
        "infinite_cells",
        "k_anonymity",
        "rows",
    }
)
SINGLE = frozenset({"data_age_days"})
# With one cell of a confusion small, these give it away together.
OF_CONFUSION = frozenset({"precision", "recall", "f1", "balanced_accuracy", "expected_cost", "cost_gain"})
OF_CLASSES = OF_CONFUSION | {"accuracy", "roc_auc", "brier_score", "baseline_gain", "generalisation_gap"}
DEPENDENT = {"baseline_gain": {"accuracy"}, "generalisation_gap": {"accuracy"}}
CLAIMS = frozenset({"claim_differs"})
MEASURED = "evaluation.resources"  # of the machine, not of the data: its n counts repetitions

WORDS = frozenset(
    {
        *ROLES,
        *("number", "text", "boolean", "date", "empty", "missing", "integer", "category"),
        *(
            "linear",
            "tree",
            "native",
            "exact",
            "permutation",
            "margin",
            "probability",
            "value",
            "label",
            "score",
        ),
        *("path-dependent", "interventional", "forbidden", "allowed", "monitored", "noise", "shift"),
        *(name for definition in CATALOGUE.values() for name in (definition.slug, *definition.metrics)),
    }
)
EXCEPTION = re.compile(r"[A-Z][A-Za-z]{2,40}(Error|Exception|Warning|Exit|Interrupt)")
PLACE = re.compile(r"audits\.checks\.[a-z_.]{1,80}|audits\.checks\.[a-z_]+\.[A-Za-z_.<>]{1,60}")
VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}[a-z0-9.+]{0,12}")
VERSIONS = frozenset({"written_with", "read_with", "asked", "installed"})
# Numbers that a message may carry; counts of rows among them are held against k.
NUMBERS = frozenset(
    {
        *("rows", "limit", "count", "line", "position", "minimum", "seconds", "memory_bytes", "limit_bytes"),
        *("allowed", "tolerance", "attempts", "status", "required", "level", "claimed", "found", "expected"),
        *("groups", "excluded", "columns", "n", "declared", "inputs", "members", "error", "features"),
        *("level", "value", "index", "signal"),
    }
)
COUNTS_OF_MESSAGES = frozenset({"rows", "n", "count"})
# Notes that leave, where all their parameters do.
NOTES = frozenset(
    {
        *(
            "columns_all_missing",
            "columns_constant",
            "columns_infinite",
            "column_only_in",
            "column_kind_differs",
        ),
        *("claimed_metric_unknown", "claimed_metric_undefined", "claim_differs", "nothing_claimed"),
        *(
            "columns_reordered",
            "not_a_model_input",
            "attribute_constant",
            "no_other_inputs",
            "groups_excluded",
        ),
        *("direct_identifiers", "special_undeclared", "no_quasi_identifiers", "route_failed"),
        *("rows_reduced", "background_reduced"),
        *("split_not_by_time", "split_not_by_entity"),
        *("reference_is_sketch", "sketch_without_groups"),
        *("route_not_attributable", "record_columns_ignored", "model_ignores_inputs", "column_near_target"),
    }
)
# Why a metric is undefined, where that may be told.
UNDEFINED = NOTES | {
    *("one_class_only", "class_without_rows", "nothing_predicted_positive", "nothing_truly_positive"),
    *(
        "target_constant",
        "target_is_a_number",
        "fewer_than_two_groups",
        "ratio_of_zeros",
        "no_numeric_inputs",
    ),
    *("model_gives_no_scores", "prediction_constant", "nothing_to_associate", "too_few_windows"),
    *("reference_without_attribute", "reference_bins_differ"),
    *("no_group_large_enough", "drift_column_empty", "time_is_a_number", "model_rejects_missing"),
}


# Errors that the worker's own process names, of what its child answered.
OURS = frozenset({"check_result_malformed", "errored_in_zone"})
