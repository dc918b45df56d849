"""Bias where the answer is a number, one of many classes, or a score that should mean the same for everybody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ks_2samp
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB

from audits.checks.bias_regression import ks_distance, ks_interval
from audits.checks.group_calibration import CalibrationSums, expected_error
from audits.checks.intervals import benjamini_hochberg, newcombe_difference, spread_of_means
from audits.checks.one_vs_rest import class_counts
from tests.checks import cast

CHECK = "bias.group_disparity"
REGRESSION = {
    "task": "regression",
    "output": "value",
    "threshold": None,
    "positive_label": None,
    "favourable_label": None,
}


def regression_study() -> tuple[Any, pd.DataFrame]:
    data = load_diabetes(scaled=False, as_frame=True)
    frame = data.data.assign(progression=data.target)
    model = LinearRegression().fit(frame.drop(columns="progression"), frame["progression"])
    return model, frame


class TestRegression:
    def test_the_figures_of_each_group_are_numpys(self) -> None:
        model, frame = regression_study()
        result = cast.run(CHECK, model=model, evaluation=frame, declared=cast.semantics(**REGRESSION))
        predicted = pd.Series(model.predict(frame.drop(columns="progression")))
        error = predicted - frame["progression"]
        means, maes = predicted.groupby(frame["sex"]).mean(), error.abs().groupby(frame["sex"]).mean()
        rmses = np.sqrt((error**2).groupby(frame["sex"]).mean())
        residuals = error.groupby(frame["sex"]).mean()
        for name, values in (
            ("mean_prediction", means),
            ("mae", maes),
            ("rmse", rmses),
            ("mean_residual", residuals),
        ):
            spread = cast.metric(result, f"{name}_difference", "sex")
            assert spread["value"] == pytest.approx(values.max() - values.min(), abs=1e-9)
            assert spread["interval"][0] <= spread["value"] <= spread["interval"][1]
            for group in (1, 2):
                one = cast.metric(result, name, "sex", str(group))
                assert one["value"] == pytest.approx(values[group], abs=1e-9)
                assert one["interval"][0] < one["value"] < one["interval"][1]
                assert one["denominators"] == {"rows": int((frame["sex"] == group).sum())}
        standardised = cast.metric(result, "mean_prediction_difference_standardised", "sex")
        assert standardised["value"] == pytest.approx(
            (means.max() - means.min()) / predicted.std(ddof=0), abs=1e-9
        )
        distance = cast.metric(result, "prediction_ks", "sex")
        theirs = ks_2samp(predicted[frame["sex"] == 1], predicted[frame["sex"] == 2]).statistic
        assert distance["value"] == pytest.approx(theirs, abs=1e-12)
        assert cast.metric(result, "attribute_flips", "sex")["value"] == len(frame)

    def test_small_groups_are_left_out_and_listed_with_their_size(self) -> None:
        model, frame = regression_study()
        result = cast.run(
            CHECK,
            model=model,
            evaluation=frame,
            declared=cast.semantics(**REGRESSION),
            parameters={"intersections": 2, "min_group": 40},
        )
        table = cast.table(result, "groups_regression").set_index(["attribute", "group"])
        small = table[table["excluded"] == "below_min_group"]
        assert sorted(small.index) == [("sex×age", "1×≥65"), ("sex×age", "2×≥65")]
        left = {(note["params"]["group"], note["params"]["n"]) for note in result["notes"]}
        assert left == {(group, n) for (_, group), n in small["n"].items()}
        assert cast.metric(result, "mae_difference", "sex×age")["denominators"]["groups"] == 4

    def test_one_group_has_no_disparity_and_a_constant_model_no_scale(self) -> None:
        model, frame = regression_study()
        one = cast.run(
            CHECK,
            model=model,
            evaluation=frame,
            declared=cast.semantics(**REGRESSION),
            parameters={"min_group": 300},
        )
        assert cast.metric(one, "mae_difference", "sex")["undefined"]["code"] == "fewer_than_two_groups"
        flat = LinearRegression().fit(frame.drop(columns="progression") * 0, frame["progression"])
        result = cast.run(CHECK, model=flat, evaluation=frame, declared=cast.semantics(**REGRESSION))
        found = cast.metric(result, "mean_prediction_difference_standardised", "sex")
        assert (found["value"], found["undefined"]["code"]) == (None, "prediction_constant")
        assert cast.metric(result, "prediction_ks", "sex")["value"] == 0

    def test_rows_in_another_order_give_the_same_result(self) -> None:
        model, frame = regression_study()
        declared = cast.semantics(**REGRESSION)
        first, second = (
            cast.run(CHECK, model=model, evaluation=data, declared=declared)
            for data in (frame, frame.sample(frac=1, random_state=2))
        )
        # the model's own sums differ in the last bits with the place of a row
        for one, other in zip(first["metrics"], second["metrics"], strict=True):
            assert (one["metric"], one["group"], one["n"]) == (other["metric"], other["group"], other["n"])
            assert one["value"] == pytest.approx(other["value"], abs=1e-9)
            assert one["interval"] is None or one["interval"] == pytest.approx(other["interval"], abs=1e-9)

    def test_the_band_of_the_distance_covers_it(self) -> None:
        assert ks_interval(0.2, 100, 400, 0.95) == pytest.approx((0.0, 0.2 + 0.148 + 0.0740), abs=0.001)
        assert np.isnan(ks_distance(np.array([1.0]), np.array([True])))


class TestOneVsRest:
    def test_it_is_the_largest_over_classes(self) -> None:
        training, evaluation = cast.diabetes()
        for frame in (training, evaluation):
            frame["progression"] = np.where(
                frame["s5"] > 5, "high", np.where(frame["bmi"] > 26, "middle", "low")
            )
        inputs = [name for name in training.columns if name != "progression"]
        model = GaussianNB().fit(training[inputs], training["progression"])
        declared = cast.semantics(
            task="multi-class", output="label", positive_label=None, favourable_label="low", threshold=None
        )
        result = cast.run(CHECK, model=model, evaluation=evaluation, declared=declared)
        decided = pd.Series(model.predict(evaluation[inputs]))
        spreads = {
            name: (decided == name).groupby(evaluation["sex"]).mean().agg(lambda s: s.max() - s.min())
            for name in ("low", "middle", "high")
        }
        found = cast.metric(result, "one_vs_rest_demographic_parity_difference", "sex")
        assert found["value"] == pytest.approx(max(spreads.values()), abs=1e-12)
        assert found["interval"][0] <= found["value"] <= found["interval"][1]
        assert found["denominators"] == {"rows": 177, "groups": 2, "groups_excluded": 0, "classes": 3}
        lines = cast.table(result, "one_vs_rest")
        assert sorted(lines["class"].unique()) == ["high", "low", "middle"]
        own = cast.metric(result, "demographic_parity_difference", "sex")["value"]
        assert own == pytest.approx(spreads["low"], abs=1e-12)

    def test_counts_of_each_class_against_the_rest(self) -> None:
        table = np.arange(18).reshape(2, 3, 3)
        counts = class_counts(table)
        assert counts.shape == (3, 2, 4)
        assert (counts.sum(axis=-1) == table.sum(axis=(1, 2))).all()
        # class 1 in group 0: tp 4, fp 1 + 7, fn 3 + 5
        assert counts[1, 0].tolist() == [4, 8, 8, 36 - 20]


class TestCalibration:
    def test_gaps_and_errors_are_counted_by_hand(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        result = cast.run(CHECK, model=model, evaluation=evaluation)
        scores = pd.Series(model.predict_proba(evaluation[list(model.feature_names_in_)])[:, 1])
        gap = (evaluation["progression"] - scores).groupby(evaluation["sex"]).mean()
        found = cast.metric(result, "calibration_gap_difference", "sex")
        assert found["value"] == pytest.approx(gap.max() - gap.min(), abs=1e-12)
        one = cast.metric(result, "calibration_gap", "sex", "1")
        assert one["value"] == pytest.approx(gap[1], abs=1e-12)
        assert one["interval"][0] < one["value"] < one["interval"][1]
        inside = evaluation["sex"] == 1
        bins = np.minimum((scores[inside] * 10).astype(int), 9)
        by_bin = pd.DataFrame({"y": evaluation["progression"][inside], "s": scores[inside]}).groupby(bins)
        expected = (by_bin["y"].sum() - by_bin["s"].sum()).abs().sum() / inside.sum()
        error = cast.metric(result, "calibration_error", "sex", "1")
        assert error["value"] == pytest.approx(expected, abs=1e-12)
        worst = cast.metric(result, "calibration_error_worst_group", "sex")
        others = cast.metric(result, "calibration_error", "sex", "2")
        assert worst["value"] == max(error["value"], others["value"])
        table = cast.table(result, "calibration_by_group")
        assert table.query("attribute == 'sex'")["n"].sum() == len(evaluation)
        assert table.query("attribute == 'age' and group == '≥65'").empty  # 12 rows

    def test_a_perfectly_calibrated_score_has_no_error(self) -> None:
        truth = np.array([True] * 3 + [False] * 7)
        sums = CalibrationSums({"all": ("all",)})
        sums.add({"all": np.zeros(10, dtype=np.int64)}, truth, np.full(10, 0.3))
        bins = sums.bins("all", 0)
        value, interval = expected_error(bins, stream=np.random.default_rng(0), replicates=500, level=0.95)
        assert value == pytest.approx(0.0, abs=1e-12)
        assert interval is not None
        assert interval[0] == pytest.approx(0.0, abs=1e-12)

    def test_a_model_without_probabilities_has_none(self) -> None:
        training, evaluation = cast.diabetes()
        from sklearn.linear_model import RidgeClassifier

        ridge = RidgeClassifier().fit(training.drop(columns="progression"), training["progression"])
        result = cast.run(
            CHECK,
            model=ridge,
            evaluation=evaluation,
            declared=cast.semantics(output="label", threshold=None),
        )
        assert not [item for item in result["metrics"] if item["metric"].startswith("calibration")]


class TestCorrections:
    def test_benjamini_hochberg_is_scipys(self) -> None:
        values = [0.001, 0.04, 0.03, 0.2, 0.04, 1.0]
        assert benjamini_hochberg(values) == pytest.approx(false_discovery_control(values), abs=1e-15)
        assert benjamini_hochberg([]) == []

    def test_both_corrections_stand_in_the_table(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(
            CHECK, model=cast.logistic(training), evaluation=evaluation, parameters={"intersections": 2}
        )
        tests = cast.table(result, "disparity_tests")
        assert tests["attribute"].tolist() == ["sex", "age", "sex×age"]
        assert (tests["p_value"] <= tests["p_benjamini_hochberg"] + 1e-12).all()
        assert (tests["p_benjamini_hochberg"] <= tests["p_holm"] + 1e-12).all()

    def test_newcombe_and_the_spread_of_means(self) -> None:
        value, (low, high) = newcombe_difference((0.8, (0.7, 0.9)), (0.5, (0.4, 0.6)))
        assert (value, low, high) == pytest.approx((0.3, 0.3 - 0.02**0.5, 0.3 + 0.02**0.5))
        stream = np.random.default_rng(0)
        found = spread_of_means(
            np.array([0.0, 10.0]), np.array([1.0, 1.0]), stream=stream, replicates=20_000, level=0.95
        )
        assert found == pytest.approx((10 - 2.772, 10 + 2.772), abs=0.1)
        one = spread_of_means(np.zeros(1), np.ones(1), stream=stream, replicates=10, level=0.95)
        assert one is None
