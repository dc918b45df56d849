"""Rates and aggregates against golden figures on which three public libraries agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.checks import disparity as module
from audits.checks.disparity import bootstrap, disparity, from_counts, minimum_n, rate, selection_chi_square
from audits.checks.intervals import wilson
from tests.checks import cast
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
        assert same(1 - float(rate(found.counts, "precision")[place]), cell["fdr"])
        assert same(1 - float(rate(found.counts, "negative_predictive_value")[place]), cell["for"])
        compared += 2
    if "vs_reference" in expected:
        compared += check_reference(found, expected["vs_reference"])
    if expected.get("selection_chi2"):
        chi_square = selection_chi_square(found.counts)
        assert chi_square is not None
        assert chi_square[0] == pytest.approx(expected["selection_chi2"]["stat"], rel=1e-9)
        assert chi_square[1] == expected["selection_chi2"]["dof"]
    return compared


REFERENCE_NAMES = {
    "selection_rate_disparity": "selection_rate",
    "tpr_disparity": "true_positive_rate",
    "fpr_disparity": "false_positive_rate",
    "fnr_disparity": "false_negative_rate",
    "ppv_disparity": "precision",
}


def check_reference(found: module.Disparity, expected: dict[str, Any]) -> int:
    """Rates of each group over those of the reference group, as aequitas has them."""
    compared = 0
    place = {tuple(group.split("×")): at for at, group in enumerate(found.groups)}

    def of(name: str, group: str) -> float:
        if name == "for":
            return 1 - of("negative_predictive_value", group)
        return float(rate(found.counts, name)[place[tuple(group.replace("|", "×").split("×"))]])

    for group, cells in expected["disparity"].items():
        for theirs, ours in {**REFERENCE_NAMES, "for_disparity": "for"}.items():
            top, bottom = of(ours, group), of(ours, expected["reference"])
            assert same(top / bottom if bottom else math.nan, cells[theirs]), (group, theirs)
            compared += 1
    return compared


def check_summary(found: module.Disparity, expected: dict[str, Any]) -> int:
    compared = 0
    parity = found.aggregates["demographic_parity_ratio"]
    assert (parity is not None and parity >= 0.8) == bool(expected["four_fifths_pass"])
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


REPORTED = ("selection_rate", "base_rate", "tpr", "fpr", "fnr", "ppv", "npv", "accuracy")


@pytest.mark.parametrize("dataset", sorted(FILES))
def test_the_golden_figures_come_out_of_the_whole_check(dataset: str) -> None:
    """From a file through a model to the stored result: groups, rates and spreads, and undefined where undefined.

    The model is one that says what the golden prediction says.
    """
    from sklearn.tree import DecisionTreeClassifier

    compared = undefined = 0
    for name, part in golden(dataset)["subsets"].items():
        frame = subset(dataset, name).reset_index(drop=True)
        for prediction, attributes in part["preds"].items():
            single = [attribute for attribute in attributes if "×" not in attribute]
            depth = max(len(attribute.split("×")) for attribute in attributes)
            model = DecisionTreeClassifier().fit(pd.DataFrame({"said": [0, 1]}), [0, 1])
            data = frame[[*single, "y_true"]].assign(said=frame[prediction])
            declared = cast.semantics(
                target="y_true",
                output="label",
                threshold=None,
                sensitive={column: {"use": "monitored"} for column in single},
            )
            for minimum, summary in ((1, "summary"), (30, "summary_min_n_30")):
                result = cast.run(
                    "bias.group_disparity",
                    model=model,
                    evaluation=data,
                    data_format="parquet",
                    declared=declared,
                    parameters={"intersections": depth, "min_group": minimum, "replicates": 100},
                )
                for attribute, expected in attributes.items():
                    if expected[summary]["n_groups"] < 2:  # libraries call the spread over one group 0
                        continue
                    for aggregate in AGGREGATES:
                        found = cast.metric(result, aggregate, attribute)
                        assert (found["value"] is None) == (expected[summary][aggregate] is None)
                        assert same(_number(found["value"]), expected[summary][aggregate])
                        compared += 1
                    assert found["denominators"]["groups"] == expected[summary]["n_groups"]
                    assert found["denominators"]["groups_excluded"] == len(
                        expected[summary]["excluded_groups"]
                    )
                    if minimum > 1 or "×" in attribute:
                        continue
                    for group, cell in expected["groups"].items():
                        for theirs in REPORTED:
                            found = cast.metric(result, RATE_NAMES[theirs], attribute, group)
                            assert same(_number(found["value"]), cell[theirs]), (group, theirs)
                            assert (found["undefined"] is None) == (cell[theirs] is not None)
                            undefined += cell[theirs] is None
                            compared += 1
    assert compared > 100
    if dataset == "taiwan_credit":
        assert undefined > 0  # education e0, for one, has no positives: never 0


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def from_table(*groups: tuple[int, int, int, int]) -> module.Disparity:
    return from_counts(tuple(str(place) for place in range(len(groups))), np.array(groups, dtype=np.int64))


class TestUndefined:
    def test_zero_over_zero_is_left_out_and_never_zero(self) -> None:
        # tp, fp, fn, tn; the last group has no positives at all
        found = from_table((30, 10, 10, 30), (20, 10, 20, 30), (0, 5, 0, 35))
        assert found.without("true_positive_rate") == ("2",)
        assert found.aggregates["equal_opportunity_difference"] == 0.25
        # with 0 for 0/0 it would be 0.75
        assert found.aggregates["equalized_odds_difference"] == 0.25

    def test_one_group_has_no_disparity_to_state(self) -> None:
        found = from_table((30, 10, 10, 30))
        assert set(found.aggregates.values()) == {None}
        assert set(bootstrap(found.compared, seed=1, context="a", replicates=100, level=0.95).values()) == {
            None
        }

    def test_a_ratio_of_zeros_is_undefined(self) -> None:
        found = from_table((0, 0, 10, 30), (0, 0, 20, 30))
        assert found.aggregates["demographic_parity_difference"] == 0.0
        assert found.aggregates["demographic_parity_ratio"] is None
        assert found.aggregates["predictive_parity_difference"] is None

    def test_equalized_odds_needs_both_of_its_parts(self) -> None:
        found = from_table((0, 5, 0, 35), (0, 10, 0, 30))
        assert found.aggregates["demographic_parity_difference"] == 0.125
        assert found.aggregates["equalized_odds_difference"] is None

    def test_a_small_group_is_excluded_by_its_rows(self) -> None:
        counts = np.array([[30, 10, 10, 30], [20, 10, 20, 30], [9, 10, 5, 5]], dtype=np.int64)
        found = from_counts(("a", "b", "c"), counts, min_group=30)
        assert found.included.tolist() == [True, True, False]
        assert found.aggregates["demographic_parity_difference"] == 0.125

    def test_no_interval_where_too_many_replicates_are_undefined(self) -> None:
        # one positive in each group: in about 60 % of replicates at least one of them has none
        counts = np.array([[1, 10, 0, 29], [0, 10, 1, 29]], dtype=np.int64)
        found = bootstrap(counts, seed=1, context="a", replicates=2000, level=0.95)
        assert found["equal_opportunity_difference"] is None
        assert found["demographic_parity_difference"] is not None


class TestBootstrap:
    COUNTS = np.array([[20, 20, 26, 27], [31, 11, 11, 31]], dtype=np.int64)

    def test_the_seed_and_the_attribute_decide_it(self) -> None:
        def draw(seed: int, context: str) -> Any:
            return bootstrap(self.COUNTS, seed=seed, context=context, replicates=500, level=0.95)

        assert draw(1, "sex") == draw(1, "sex")
        assert draw(1, "sex") != draw(2, "sex")
        assert draw(1, "sex") != draw(1, "age")

    def test_it_agrees_with_resampling_rows(self) -> None:
        cells = np.repeat(np.arange(8), self.COUNTS.reshape(-1))
        stream = np.random.default_rng(5)
        drawn = np.stack(
            [np.bincount(stream.choice(cells, len(cells)), minlength=8).reshape(2, 4) for _ in range(4000)]
        )
        by_rows = np.quantile(module.AGGREGATES["demographic_parity_ratio"](drawn, 2), [0.025, 0.975])
        found = bootstrap(self.COUNTS, seed=1, context="sex", replicates=10_000, level=0.95)
        assert found["demographic_parity_ratio"] == pytest.approx(tuple(by_rows), abs=0.02)

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = bootstrap(self.COUNTS, seed=1, context="sex", replicates=300, level=0.9)
        monkeypatch.setattr(module, "CHUNK_CELLS", 80)
        assert bootstrap(self.COUNTS, seed=1, context="sex", replicates=300, level=0.9) == whole


class TestMinimumN:
    def test_at_that_size_equal_groups_just_meet_the_limit(self) -> None:
        """No disparity at all, as many rows as it says: the bound lands on the limit."""
        small = np.array([[20, 20, 20, 20]] * 2, dtype=np.int64)
        for name, limit in (("demographic_parity_difference", 0.1), ("demographic_parity_ratio", 0.8)):
            needed = minimum_n(name, small, limit, 0.95)
            assert needed is not None
            size = round(needed / 8)
            counts = np.full((2, 4), size, dtype=np.int64)
            interval = bootstrap(counts, seed=3, context="x", replicates=20_000, level=0.95)[name]
            assert interval is not None
            assert interval[1 if limit == 0.1 else 0] == pytest.approx(limit, abs=0.01)

    @pytest.mark.parametrize(
        ("name", "limit"),
        [
            ("demographic_parity_ratio", 1.0),
            ("demographic_parity_difference", 0.0),
            ("treatment_equality_difference", 0.1),
        ],
    )
    def test_it_is_silent_where_no_size_would_do(self, name: str, limit: float) -> None:
        assert minimum_n(name, np.full((2, 4), 20, dtype=np.int64), limit, 0.95) is None


ROWS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from(["a", "b", "c"])), min_size=1, max_size=60
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: Any, random: Any) -> None:
    first = disparity(*zip(*rows, strict=True))
    random.shuffle(rows)
    second = disparity(*zip(*rows, strict=True))
    assert first.aggregates == second.aggregates
    assert first.groups == second.groups
    assert np.array_equal(first.counts, second.counts)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.permutations(["x", "y", "z"]))
def test_names_of_groups_change_nothing(rows: Any, names: Any) -> None:
    renamed = dict(zip("abc", names, strict=True))
    first = disparity(*zip(*rows, strict=True))
    second = disparity(
        *zip(*[(truth, decided, renamed[group]) for truth, decided, group in rows], strict=True)
    )
    assert first.aggregates == second.aggregates


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(2, 4))
def test_duplicating_data_moves_no_rate(rows: Any, times: int) -> None:
    first = disparity(*zip(*rows, strict=True))
    second = disparity(*zip(*(rows * times), strict=True))
    assert np.array_equal(first.counts * times, second.counts)
    for name, value in first.aggregates.items():
        other = second.aggregates[name]
        assert value == other or (value is not None and other == pytest.approx(value, abs=1e-12)), name


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_swapping_the_favourable_label_mirrors_the_rates(rows: Any) -> None:
    truth, decided, groups = (np.array(part) for part in zip(*rows, strict=True))
    first = disparity(truth, decided, groups.tolist())
    second = disparity(~truth, ~decided, groups.tolist())
    assert np.allclose(rate(second.counts, "selection_rate"), 1 - rate(first.counts, "selection_rate"))
    for mine, theirs in (
        ("true_positive_rate", "true_negative_rate"),
        ("precision", "negative_predictive_value"),
        ("accuracy", "accuracy"),
    ):
        assert np.array_equal(rate(first.counts, mine), rate(second.counts, theirs), equal_nan=True)
    for name in ("demographic_parity_difference", "accuracy_difference"):
        left, right = first.aggregates[name], second.aggregates[name]
        assert (left is None) == (right is None)
        assert left is None or left == pytest.approx(right, abs=1e-12)
