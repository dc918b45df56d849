"""Recomputed evaluation: scikit-learn's own figures, and silence where a figure would mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB

from audits.checks.evaluation import calibration, row_keys
from audits.checks.scores import confusion_figures, regression_figures, roc_auc
from tests.checks import cast
from tests.checks.shared import golden, table

CHECK = "evaluation.performance"


def run(**what: Any) -> dict[str, Any]:
    training, evaluation = cast.diabetes()
    given = {"model": cast.logistic(training), "training": training, "evaluation": evaluation, **what}
    return cast.run(CHECK, **given)


class TestBinary:
    def test_the_figures_are_scikit_learns(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        chance = model.predict_proba(evaluation[list(model.feature_names_in_)])[:, 1]
        truth, decided = evaluation["progression"], chance >= 0.5
        expected = {
            "accuracy": theirs.accuracy_score(truth, decided),
            "balanced_accuracy": theirs.balanced_accuracy_score(truth, decided),
            "precision": theirs.precision_score(truth, decided),
            "recall": theirs.recall_score(truth, decided),
            "f1": theirs.f1_score(truth, decided),
            "roc_auc": theirs.roc_auc_score(truth, chance),
            "brier_score": theirs.brier_score_loss(truth, chance),
        }
        result = run()
        for name, value in expected.items():
            found = cast.metric(result, name)
            assert found["value"] == pytest.approx(value, abs=1e-12), name
            low, high = found["interval"]
            assert low < value < high
        assert cast.metric(result, "precision")["n"] == int(decided.sum())
        assert cast.metric(result, "baseline_gain")["value"] == pytest.approx(
            expected["accuracy"] - (truth == training["progression"].mode()[0]).mean(), abs=1e-12
        )
        inputs = training[list(model.feature_names_in_)]
        learned = theirs.accuracy_score(training["progression"], model.predict(inputs))
        gap = cast.metric(result, "generalisation_gap")
        assert gap["value"] == pytest.approx(learned - expected["accuracy"], abs=1e-12)
        assert gap["interval"][0] < gap["value"] < gap["interval"][1]

    def test_tables(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        result = run(declared=cast.semantics(claimed_metrics={"accuracy": 0.8}))
        confusion = cast.table(result, "confusion")
        decided = cast.predicted(model, evaluation).astype(int)
        matrix = theirs.confusion_matrix(evaluation["progression"], decided)
        assert confusion["n"].tolist() == matrix.ravel().tolist()
        assert confusion.columns.tolist() == ["truth", "prediction", "n"]
        bins = cast.table(result, "calibration")
        assert bins.columns.tolist() == ["bin_low", "bin_high", "n", "mean_score", "observed_rate"]
        assert bins["n"].sum() == len(evaluation)
        summary = cast.table(result, "evaluation")
        assert summary.columns.tolist() == ["metric", "training", "evaluation", "claimed", "baseline"]
        assert summary.set_index("metric").loc["accuracy", "claimed"] == 0.8

    def test_favourable_and_positive_may_differ_without_moving_accuracy(self) -> None:
        first = run()
        other = run(declared=cast.semantics(positive_label=0, favourable_label=1))
        assert cast.metric(first, "accuracy")["value"] == pytest.approx(
            cast.metric(other, "accuracy")["value"]
        )
        assert cast.metric(first, "roc_auc")["value"] == pytest.approx(cast.metric(other, "roc_auc")["value"])
        assert cast.metric(first, "recall")["value"] != cast.metric(other, "recall")["value"]

    def test_a_model_without_scores_says_so(self) -> None:
        training, _ = cast.diabetes()
        inputs = training.drop(columns="progression")
        ridge = RidgeClassifier().fit(inputs, training["progression"])
        result = run(model=ridge, declared=cast.semantics(output="label", threshold=None))
        assert cast.metric(result, "roc_auc")["value"] > 0.7  # its margin ranks
        assert cast.metric(result, "brier_score")["undefined"]["code"] == "model_gives_no_scores"
        assert run(model=ridge)["error"]["code"] == "model_lacks_output"


class TestClaims:
    def test_the_largest_gap_counts_and_each_is_noted(self) -> None:
        accuracy = 127 / 177
        result = run(
            declared=cast.semantics(claimed_metrics={"accuracy": accuracy + 0.05, "auc": 0.9, "mcc": 1})
        )
        found = cast.metric(result, "claimed_metric_gap")
        ours = cast.metric(result, "roc_auc")["value"]
        assert found["value"] == pytest.approx(0.9 - ours, abs=1e-12)
        assert cast.codes(result) == ["claimed_metric_unknown", "claim_differs", "claim_differs"]

    def test_within_tolerance_nothing_is_noted(self) -> None:
        declared = cast.semantics(claimed_metrics={"accuracy": 0.72})
        assert cast.codes(run(declared=declared)) == []
        assert cast.codes(run(declared=declared, parameters={"claim_tolerance": 0.001})) == ["claim_differs"]

    @pytest.mark.parametrize("claims", [{}, {"mcc": 0.5}])
    def test_no_claim_is_no_gap_of_zero(self, claims: dict[str, Any]) -> None:
        found = cast.metric(run(declared=cast.semantics(claimed_metrics=claims)), "claimed_metric_gap")
        assert (found["value"], found["undefined"]["code"]) == (None, "nothing_claimed")

    @pytest.mark.parametrize("value", ["0.9", None, True])
    def test_a_claim_that_is_no_number_is_an_error(self, value: Any) -> None:
        declared = cast.semantics(claimed_metrics={"accuracy": value})
        assert run(declared=declared)["error"] == {
            "code": "claimed_metric_invalid",
            "params": {"metric": "accuracy"},
        }


class TestOverlap:
    def test_copied_rows_are_counted_whatever_the_file_made_of_them(self) -> None:
        training, evaluation = cast.diabetes()
        leaked = pd.concat([evaluation.iloc[:140], training.iloc[:37]], ignore_index=True)
        stored = leaked.assign(sex=leaked["sex"].astype(int), note="x")
        found = cast.metric(run(evaluation=stored), "row_overlap")
        assert found["value"] == 37 / 177
        assert found["denominators"] == {"shared": 37, "rows": 177}

    def test_entities_may_overlap_where_rows_do_not(self) -> None:
        training, evaluation = cast.diabetes()
        training["patient"] = [f"p{place}" for place in range(len(training))]
        evaluation["patient"] = [f"p{place + 200}" for place in range(len(evaluation))]
        what = {"training": training, "evaluation": evaluation}
        training_only = training.drop(columns="patient")
        result = run(
            model=cast.logistic(training_only), declared=cast.semantics(entity_key="patient"), **what
        )
        assert cast.metric(result, "row_overlap")["value"] == 0
        assert cast.metric(result, "entity_overlap")["value"] == (len(training) - 200) / 177
        evaluation.loc[0, "patient"] = None
        error = run(
            model=cast.logistic(training_only), declared=cast.semantics(entity_key="patient"), **what
        )["error"]
        assert error == {"code": "entity_key_missing", "params": {"role": "evaluation", "column": "patient"}}

    def test_row_keys_look_through_storage(self) -> None:
        whole = pd.DataFrame({"a": [1, 0, 2], "b": ["x", "y", None]})
        other = pd.DataFrame({"a": [1.0, -0.0, 2.0], "b": pd.Categorical(["x", "y", None])})
        assert row_keys(whole, ("a", "b")).tolist() == row_keys(other, ("a", "b")).tolist()
        assert len(set(row_keys(whole, ("a", "b")).tolist())) == 3


class TestBadData:
    @pytest.mark.parametrize("role", ["training", "evaluation"])
    def test_one_class_only_is_an_error_naming_the_target(self, role: str) -> None:
        training, evaluation = cast.diabetes()
        data = {"training": training, "evaluation": evaluation}
        model = cast.logistic(training)
        data[role] = data[role].assign(progression=1)
        error = run(model=model, **data)["error"]
        assert error == {
            "code": "target_single_class",
            "params": {"role": role, "column": "progression", "count": 1},
        }

    def test_a_model_that_never_says_yes_has_no_precision(self) -> None:
        result = run(declared=cast.semantics(threshold=1.1))
        found = cast.metric(result, "precision")
        assert (found["value"], found["undefined"]["code"]) == (None, "nothing_predicted_positive")
        assert cast.metric(result, "recall")["value"] == 0
        claimed = run(declared=cast.semantics(threshold=1.1, claimed_metrics={"precision": 0.9}))
        assert cast.metric(claimed, "claimed_metric_gap")["undefined"]["code"] == "claimed_metric_undefined"

    def test_a_column_missing_in_training_is_named(self) -> None:
        training, _ = cast.diabetes()
        error = run(model=cast.logistic(training), training=training.drop(columns="bmi"))["error"]
        assert error == {"code": "column_missing", "params": {"columns": "bmi", "reader": "model"}}

    def test_labels_of_another_alphabet_are_named(self) -> None:
        _, evaluation = cast.diabetes()
        words = evaluation.assign(progression=np.where(evaluation["progression"] == 1, "yes", "no"))
        error = run(evaluation=words)["error"]
        assert (error["code"], error["params"]["labels"]) == ("label_unknown_to_model", "no, yes")


def regression() -> dict[str, Any]:
    data = load_diabetes(scaled=False, as_frame=True)
    frame = data.data.assign(progression=data.target)
    training, evaluation = frame.iloc[:300], frame.iloc[300:]
    model = LinearRegression().fit(training.drop(columns="progression"), training["progression"])
    declared = cast.semantics(task="regression", output="value", positive_label=None, favourable_label=None)
    return {"model": model, "training": training, "evaluation": evaluation, "declared": declared}


def test_regression() -> None:
    what = regression()
    truth = what["evaluation"]["progression"]
    answer = what["model"].predict(what["evaluation"].drop(columns="progression"))
    result = run(**what)
    for name, value in (
        ("mae", theirs.mean_absolute_error(truth, answer)),
        ("rmse", theirs.root_mean_squared_error(truth, answer)),
        ("r2", theirs.r2_score(truth, answer)),
    ):
        found = cast.metric(result, name)
        assert found["value"] == pytest.approx(value, rel=1e-12)
        assert found["interval"][0] < value < found["interval"][1]
    dummy = theirs.mean_absolute_error(truth, np.full(len(truth), what["training"]["progression"].median()))
    gain = cast.metric(result, "baseline_gain")["value"]
    assert gain == pytest.approx(1 - theirs.mean_absolute_error(truth, answer) / dummy, rel=1e-12)
    constant = what["evaluation"].assign(progression=100.0)
    flat = run(**{**what, "evaluation": constant})
    assert cast.metric(flat, "r2")["undefined"]["code"] == "target_constant"
    endless = what["evaluation"].assign(progression=np.inf)
    assert run(**{**what, "evaluation": endless})["error"]["code"] == "column_not_finite"


def test_multi_class_is_the_mean_over_classes() -> None:
    training, evaluation = cast.diabetes()
    for frame in (training, evaluation):
        frame["progression"] = np.where(frame["s5"] > 5, "high", np.where(frame["bmi"] > 26, "middle", "low"))
    inputs = [name for name in training.columns if name != "progression"]
    model = GaussianNB().fit(training[inputs], training["progression"])
    declared = cast.semantics(
        task="multi-class", output="label", positive_label=None, favourable_label="low", threshold=None
    )
    result = run(model=model, training=training, evaluation=evaluation, declared=declared)
    truth, answer = evaluation["progression"], model.predict(evaluation[inputs])
    chance = model.predict_proba(evaluation[inputs])
    for name, value in (
        ("accuracy", theirs.accuracy_score(truth, answer)),
        ("balanced_accuracy", theirs.balanced_accuracy_score(truth, answer)),
        ("precision", theirs.precision_score(truth, answer, average="macro")),
        ("recall", theirs.recall_score(truth, answer, average="macro")),
        ("f1", theirs.f1_score(truth, answer, average="macro")),
        ("roc_auc", theirs.roc_auc_score(truth, chance, multi_class="ovr")),
    ):
        assert cast.metric(result, name)["value"] == pytest.approx(value, abs=1e-12), name


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=50))
def test_the_area_is_scikit_learns_with_ties(rows: Any) -> None:
    truth = np.array([row[0] for row in rows])
    scores = np.array([row[1] for row in rows], dtype=float)
    found = roc_auc(truth, scores, 0.95)
    if truth.all() or not truth.any():
        assert (found.value, found.undefined is not None) == (None, True)
        return
    assert found.value == pytest.approx(theirs.roc_auc_score(truth, scores), abs=1e-12)
    assert found.interval is not None
    assert 0 <= found.interval[0] <= found.interval[1] <= 1


def test_perfect_separation_is_not_certain() -> None:
    found = roc_auc(np.array([False] * 10 + [True] * 10), np.arange(20.0), 0.95)
    assert found.value == 1.0
    assert found.interval is not None
    assert found.interval[0] < 0.75


def test_a_class_that_never_occurs_leaves_means_undefined() -> None:
    table = np.array([[5, 1, 0], [2, 7, 0], [0, 0, 0]], dtype=np.int64)
    figures = confusion_figures(table, None, seed=1, level=0.95)
    assert figures["accuracy"].value == 0.8
    for name in ("balanced_accuracy", "precision", "recall", "f1"):
        assert figures[name].value is None


def test_one_row_has_no_r2_and_no_interval() -> None:
    figures = regression_figures(np.array([1.0]), np.array([2.0]), 0.95)
    assert (figures["mae"].value, figures["mae"].interval) == (1.0, None)
    assert figures["r2"].value is None


def test_calibration_bins_close_at_one_and_empty_ones_hold_nothing() -> None:
    table = calibration(np.array([True, False, True]), np.array([1.0, 0.0, 0.95]))
    assert table.rows[-1] == (0.9, 1.0, 2, 0.975, 1.0)
    assert table.rows[0] == (0.0, 0.1, 1, 0.0, 0.0)
    assert table.rows[1] == (0.1, 0.2, 0, None, None)


class TestCosts:
    """What decisions cost, by hand: a missed progression costs five times a false alarm."""

    MATRIX = {"1": {"0": 5}, "0": {"1": 1}}

    def test_the_mean_and_the_gain_over_the_cheapest_constant_answer(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        result = run(
            model=model,
            training=training,
            evaluation=evaluation,
            declared=cast.semantics(cost_matrix=self.MATRIX, claimed_metrics={"expected_cost": 0.5}),
        )
        said, truth = cast.predicted(model, evaluation), evaluation["progression"] == 1
        costs = np.where(truth & ~said, 5, np.where(~truth & said, 1, 0))
        always = np.where(truth, 0, 1)  # half of the training rows progress: always saying so is cheapest
        found = cast.metric(result, "expected_cost")
        assert found["value"] == pytest.approx(costs.mean(), abs=1e-12)
        half = 1.959963985 * costs.std(ddof=1) / np.sqrt(177)
        assert found["interval"] == pytest.approx([costs.mean() - half, costs.mean() + half], abs=1e-6)
        gain = cast.metric(result, "cost_gain")
        assert gain["value"] == pytest.approx((always - costs).mean(), abs=1e-12)
        assert (gain["n"], gain["denominators"]) == (177, {"rows": 177})
        assert "claim_differs" in cast.codes(result)
        line = cast.table(result, "evaluation").set_index("metric").loc["expected_cost"]
        assert line["baseline"] == pytest.approx(always.mean(), abs=1e-12)
        assert line["claimed"] == 0.5

    def test_nothing_is_said_where_nothing_is_declared(self) -> None:
        training, evaluation = cast.diabetes()
        result = run(model=cast.logistic(training), training=training, evaluation=evaluation)
        assert not {item["metric"] for item in result["metrics"]} & {"expected_cost", "cost_gain"}

    @pytest.mark.parametrize(
        ("matrix", "code"),
        [
            ({"1": {"maybe": 5}}, "model_classes_mismatch"),
            ({"1": 5}, "semantics_invalid"),
            ({"1": {"0": "dear"}}, "semantics_invalid"),
        ],
    )
    def test_a_matrix_of_something_else_is_an_error(self, matrix: Any, code: str) -> None:
        training, evaluation = cast.diabetes()
        declared = cast.semantics(cost_matrix=matrix)
        result = run(
            model=cast.logistic(training), training=training, evaluation=evaluation, declared=declared
        )
        assert result["error"]["code"] == code
        assert result["error"]["params"]["field"].startswith("cost_matrix")

    def test_the_customary_costs_of_german_credit(self) -> None:
        """Hofmann 1994: a bad risk taken for good costs 5, a good one turned away 1."""
        frame = table("german", "eval.csv")
        from sklearn.tree import DecisionTreeClassifier

        model = DecisionTreeClassifier().fit(pd.DataFrame({"said": [0, 1]}), [0, 1])
        data = frame[["y_true"]].assign(said=frame["y_pred"])
        parts = [data[frame["is_train"] == place].reset_index(drop=True) for place in (1, 0)]
        result = run(
            model=model,
            training=parts[0],
            evaluation=parts[1],
            declared=cast.semantics(
                target="y_true", output="label", threshold=None, sensitive={},
                cost_matrix={"0": {"1": 5}, "1": {"0": 1}},
            ),
        )  # fmt: skip
        cells = golden("german")["subsets"]["holdout_300"]["preds"]["y_pred"]["sex"]["groups"].values()
        expected = sum(5 * cell["fp"] + cell["fn"] for cell in cells) / 300
        assert cast.metric(result, "expected_cost")["value"] == pytest.approx(expected, abs=1e-12)


class TestDeclaredSplit:
    @pytest.mark.parametrize(("split", "noted"), [("time", True), ("entity", True), ("random", False)])
    def test_data_that_contradict_it_are_noted(self, split: str, noted: bool) -> None:
        training, evaluation = cast.diabetes()
        for frame in (training, evaluation):
            frame["person"] = np.arange(len(frame))
            frame["seen"] = "2024-01-01"
        result = run(
            model=cast.logistic(training, ("person", "seen")),
            training=training,
            evaluation=evaluation,
            declared=cast.semantics(split=split, entity_key="person", time_column="seen"),
        )
        notes = {note["code"]: note["params"] for note in result["notes"]}
        assert notes == ({f"split_not_by_{split}": {"rows": 177}} if noted else {})

    def test_data_that_are_as_declared_are_not(self) -> None:
        training, evaluation = cast.diabetes()
        training["seen"], evaluation["seen"] = "2024-01-01", "2024-01-02"
        result = run(
            model=cast.logistic(training, ("seen",)),
            training=training,
            evaluation=evaluation,
            declared=cast.semantics(split="time", time_column="seen"),
        )
        assert cast.codes(result) == []
