"""Rates and aggregates against golden figures on which three public libraries agree."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from audits.checks import disparity as module
from audits.checks.disparity import disparity, rate, selection_chi_square
from audits.checks.intervals import wilson
from tests.checks.shared import golden, table

FILES = {"adult": "eval.csv.gz", "german": "eval.csv", "taiwan_credit": "eval.csv.gz"}
RATE_NAMES = {
    "selection_rate": "selection_rate",
    "base_rate": "base_rate",
    "tpr": "true_positive_rate",
    "fnr": "false_negative_rate",
    "fpr": "false_positive_rate",
    "tnr": "true_negative_rate",
    "ppv": "precision",
    "npv": "negative_predictive_value",
    "accuracy": "accuracy",
    "treatment_equality_fn_over_fp": "treatment_equality",
}
SPREADS = ("selection_rate", "tpr", "fpr", "fnr", "tnr", "ppv", "npv", "accuracy")
AGGREGATES = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "equal_opportunity_ratio",
    "equalized_odds_difference",
    "equalized_odds_difference_mean",
    "equalized_odds_ratio",
    "predictive_parity_difference",
)


def subset(dataset: str, name: str) -> pd.DataFrame:
    frame = table(dataset, FILES[dataset])
    return frame[frame["is_train"] == 0] if name.startswith("holdout") else frame


def same(found: float, expected: float | None) -> bool:
    if expected is None:
        return math.isnan(found)
    return abs(found - expected) <= 1e-9


@pytest.mark.parametrize("dataset", sorted(FILES))
def test_every_cell_of_the_golden_figures(dataset: str) -> None:
    compared = 0
    figures = golden(dataset)
    for name, part in figures["subsets"].items():
        frame = subset(dataset, name)
        assert len(frame) == part["n"]
        truth = frame["y_true"].to_numpy() == 1
        for prediction, attributes in part["preds"].items():
            decided = frame[prediction].to_numpy() == 1
            for attribute, expected in attributes.items():
                columns = attribute.split("×")
                groups = ["×".join(map(str, row)) for row in zip(*(frame[c] for c in columns), strict=True)]
                compared += check_groups(disparity(truth, decided, groups), expected)
                # fewest=1: the libraries call the spread over one group 0; our check calls it undefined
                everyone = disparity(truth, decided, groups, fewest=1)
                compared += check_summary(everyone, expected["summary"])
                larger = disparity(truth, decided, groups, min_group=30, fewest=1)
                compared += check_summary(larger, expected["summary_min_n_30"])
    assert compared > 200


def check_groups(found: module.Disparity, expected: dict[str, Any]) -> int:
    compared = 0
    # the golden files may join names of an intersection differently
    names = {tuple(name.replace("|", "×").split("×")): name for name in expected["groups"]}
    assert {tuple(group.split("×")) for group in found.groups} == set(names)
    for place, group in enumerate(found.groups):
        cell = expected["groups"][names[tuple(group.split("×"))]]
        assert [int(value) for value in found.counts[place]] == [
            cell[key] for key in ("tp", "fp", "fn", "tn")
        ]
        for theirs, ours in RATE_NAMES.items():
            assert same(float(rate(found.counts, ours)[place]), cell[theirs]), (group, ours)
            compared += 1
        selected = int(found.counts[place][:2].sum())
        interval = wilson(selected, cell["n"])
        assert interval == pytest.approx(tuple(cell["selection_rate_wilson95"]), abs=1e-9)
    if expected.get("selection_chi2"):
        chi_square = selection_chi_square(found.counts)
        assert chi_square is not None
        assert chi_square[0] == pytest.approx(expected["selection_chi2"]["stat"], rel=1e-9)
        assert chi_square[1] == expected["selection_chi2"]["dof"]
    return compared


def check_summary(found: module.Disparity, expected: dict[str, Any]) -> int:
    compared = 0
    assert int(found.included.sum()) == expected["n_groups"]
    assert int((~found.included).sum()) == len(expected["excluded_groups"])
    for name in AGGREGATES:
        value = found.aggregates[name]
        assert same(math.nan if value is None else value, expected[name]), name
        compared += 1
    for short in SPREADS:
        rates = rate(found.compared, RATE_NAMES[short])
        assert same(float(module.difference(rates, 1)), expected[f"{short}_difference"])
        assert same(float(module.ratio(rates, 1)), expected[f"{short}_ratio"]), short
        assert len(found.without(RATE_NAMES[short])) == len(expected[f"{short}_undefined_groups"])
        compared += 2
    return compared
