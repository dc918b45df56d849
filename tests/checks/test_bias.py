"""The bias check end to end, on the study that refuses one model and lets another through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB

from audits.checks.contract import CheckError
from audits.checks.groups import bin_labels, grouping
from tests.checks import cast

CHECK = "bias.group_disparity"


class TestStudy:
    """Dropping sex and age widens the disparity between the sexes; figures recomputed here from the model itself."""

    @pytest.mark.parametrize(("without", "ratio"), [((), 80 / 93), (("sex", "age"), 448 / 713)])
    def test_demographic_parity_ratio_of_sex(self, without: tuple[str, ...], ratio: float) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training, without)
        selected = pd.Series(cast.predicted(model, evaluation)).groupby(evaluation["sex"]).mean()
        assert selected.min() / selected.max() == pytest.approx(ratio, abs=1e-12)
        result = cast.run(CHECK, model=model, evaluation=evaluation)
        found = cast.metric(result, "demographic_parity_ratio", "sex")
        assert found["value"] == pytest.approx(ratio, abs=1e-12)
        assert found["n"] == 177
        assert found["denominators"] == {
            "rows": 177,
            "groups": 2,
            "groups_excluded": 0,
            "positives": 88,
            "negatives": 89,
            "smallest_group": 84,
        }
        low, high = found["interval"]
        assert low < ratio < high
        assert found["minimum_n"] > 177  # so small a sample cannot meet 0.80 conservatively

    def test_the_table_holds_each_group_with_the_small_one_marked(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(
            CHECK, model=cast.logistic(training), evaluation=evaluation, parameters={"intersections": 2}
        )
        groups = cast.table(result, "groups")
        assert groups[["attribute", "group", "n"]].to_numpy().tolist()[:5] == [
            ["sex", "1", 93],
            ["sex", "2", 84],
            ["age", "<50", 95],
            ["age", "50-64", 70],
            ["age", "≥65", 12],
        ]
        small = groups[groups["excluded"] == "below_min_group"]
        assert small["group"].tolist() == ["≥65", "1×≥65", "2×≥65"]
        assert groups.columns.tolist() == [
            "attribute", "group", "n", "positives", "negatives", "selection_rate", "selection_rate_low",
            "selection_rate_high", "true_positive_rate", "false_positive_rate", "precision", "accuracy",
            "base_rate", "excluded",
        ]  # fmt: skip
        note = next(note for note in result["notes"] if note["params"].get("group") == "≥65")
        assert (note["code"], note["params"]["n"]) == ("group_excluded", 12)
        assert (note["params"]["positives"], note["params"]["negatives"]) == (9, 3)
        assert cast.metric(result, "demographic_parity_ratio", "age")["n"] == 165
        assert cast.metric(result, "demographic_parity_ratio", "sex×age")["denominators"]["groups"] == 4

    def test_rows_in_another_order_give_the_same_result(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        turned = evaluation.sample(frac=1, random_state=1)
        assert cast.run(CHECK, model=model, evaluation=turned) == cast.run(
            CHECK, model=model, evaluation=evaluation
        )


class TestFlips:
    def test_forbidden_input_flips_as_counted_by_hand(self) -> None:
        training, evaluation = cast.diabetes()
        model = cast.logistic(training)
        other = evaluation.assign(sex=3 - evaluation["sex"])
        expected = int((cast.predicted(model, evaluation) != cast.predicted(model, other)).sum())
        assert expected > 0
        declared = cast.semantics(
            sensitive={"sex": {"use": "forbidden"}, "age": {"use": "monitored", "bins": [50]}}
        )
        result = cast.run(CHECK, model=model, evaluation=evaluation, declared=declared)
        assert cast.metric(result, "forbidden_attribute_flips", "sex")["value"] == expected
        assert cast.metric(result, "forbidden_attribute_flips")["value"] == expected
        assert cast.metric(result, "attribute_flips", "age")["value"] > 0

    def test_an_allowed_input_does_not_count_as_forbidden(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(CHECK, model=cast.logistic(training), evaluation=evaluation)
        assert cast.metric(result, "forbidden_attribute_flips")["value"] == 0
        assert cast.metric(result, "attribute_flips", "sex")["value"] > 0

    def test_a_column_the_model_never_sees_flips_nothing_and_says_so(self) -> None:
        training, evaluation = cast.diabetes()
        declared = cast.semantics(sensitive={"sex": {"use": "forbidden"}})
        result = cast.run(
            CHECK, model=cast.logistic(training, ("sex",)), evaluation=evaluation, declared=declared
        )
        assert cast.metric(result, "forbidden_attribute_flips", "sex")["value"] == 0
        assert {"code": "not_a_model_input", "params": {"column": "sex"}} in result["notes"]

    def test_a_constant_column_cannot_be_exchanged(self) -> None:
        training, evaluation = cast.diabetes()
        declared = cast.semantics(sensitive={"sex": {"use": "forbidden"}})
        result = cast.run(
            CHECK, model=cast.logistic(training), evaluation=evaluation.assign(sex=1), declared=declared
        )
        for attribute in (None, "sex"):
            found = cast.metric(result, "forbidden_attribute_flips", attribute)
            assert found["value"] is None
            assert found["undefined"]["code"] == "attribute_constant"
        ratio = cast.metric(result, "demographic_parity_ratio", "sex")
        assert (ratio["value"], ratio["undefined"]["code"]) == (None, "fewer_than_two_groups")


def errored(**what: Any) -> dict[str, Any]:
    training, evaluation = cast.diabetes()
    result = cast.run(CHECK, **{"model": cast.logistic(training), "evaluation": evaluation, **what})
    assert result["outcome"] == "errored"
    error: dict[str, Any] = result["error"]
    return error


class TestBadData:
    def test_a_sensitive_column_that_is_not_there_is_named(self) -> None:
        _, evaluation = cast.diabetes()
        training, _ = cast.diabetes()
        error = errored(model=cast.logistic(training, ("sex",)), evaluation=evaluation.drop(columns="sex"))
        assert error == {"code": "sensitive_missing", "params": {"column": "sex", "role": "evaluation"}}
        assert errored(parameters={"sensitive": ["race"]})["params"]["column"] == "race"

    def test_no_sensitive_column_at_all_is_an_error(self) -> None:
        assert errored(declared=cast.semantics(sensitive={}))["code"] == "no_sensitive_columns"

    def test_a_fine_number_without_bins_is_an_error(self) -> None:
        declared = cast.semantics(sensitive={"bmi": {}})
        assert errored(declared=declared)["code"] == "sensitive_needs_bins"

    def test_an_empty_column_is_named(self) -> None:
        training, evaluation = cast.diabetes()
        error = errored(model=cast.logistic(training, ("sex",)), evaluation=evaluation.assign(sex=np.nan))
        assert error == {"code": "sensitive_all_missing", "params": {"column": "sex"}}

    def test_ten_thousand_categories_are_refused(self) -> None:
        training, evaluation = cast.diabetes()
        many = pd.concat([evaluation] * 60, ignore_index=True)
        many["sex"] = [f"person {place}" for place in range(len(many))]
        error = errored(model=cast.logistic(training, ("sex",)), evaluation=many)
        assert (error["code"], error["params"]["count"]) == ("too_many_groups", len(many))

    def test_one_class_only_leaves_odds_undefined_and_parity_stated(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(CHECK, model=cast.logistic(training), evaluation=evaluation.assign(progression=0))
        odds = cast.metric(result, "equalized_odds_difference", "sex")
        assert (odds["value"], odds["interval"]) == (None, None)
        assert odds["undefined"]["code"] == "fewer_than_two_groups"
        assert cast.metric(result, "true_positive_rate", "sex", "1")["undefined"]["code"] == "rate_undefined"
        assert cast.metric(result, "demographic_parity_ratio", "sex")["value"] == pytest.approx(80 / 93)
        row = cast.table(result, "groups").iloc[0]
        assert pd.isna(row["true_positive_rate"])

    def test_all_groups_too_small_give_no_number(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(
            CHECK, model=cast.logistic(training), evaluation=evaluation, parameters={"min_group": 100}
        )
        found = cast.metric(result, "demographic_parity_difference", "sex")
        assert found["value"] is None
        assert found["undefined"]["params"] == {"attribute": "sex", "groups": 0, "excluded": 2}


class TestGroups:
    def test_bins_are_half_open_and_named(self) -> None:
        codes, levels = grouping(pd.Series([49, 49.9, 50, 64, 65, 90, np.nan]), "age", (50.0, 65.0))
        assert levels == ("<50", "50-64", "≥65", "unknown")
        assert codes.tolist() == [0, 0, 1, 1, 2, 2, 3]
        assert bin_labels((50.0,)) == ("<50", "≥50")
        assert bin_labels((1.0, 2.0)) == ("<1", "1", "≥2")
        assert bin_labels((0.5, 1.0)) == ("<0.5", "[0.5, 1)", "≥1")

    def test_missing_values_are_the_group_unknown(self) -> None:
        codes, levels = grouping(pd.Series(["m", None, "f"]), "sex", ())
        assert levels == ("f", "m", "unknown")
        assert codes.tolist() == [1, 2, 0]

    def test_number_codes_are_in_number_order(self) -> None:
        assert grouping(pd.Series([10, 2, 1]), "region", ())[1] == ("1", "2", "10")

    def test_bad_columns_are_named(self) -> None:
        for column, code in (
            (pd.Series(["a", "b"]), "sensitive_not_numeric"),
            (pd.Series([1.0, np.inf]), "column_not_finite"),
        ):
            with pytest.raises(CheckError) as caught:
                grouping(column, "age", (50.0,))
            assert (caught.value.message.code, caught.value.message.params) == (code, {"column": "age"})


def test_multi_class_is_one_class_against_the_rest() -> None:
    training, evaluation = cast.diabetes()
    for frame in (training, evaluation):
        frame["progression"] = np.where(frame["s5"] > 5, "high", np.where(frame["bmi"] > 26, "middle", "low"))
    inputs = [name for name in training.columns if name != "progression"]
    model = GaussianNB().fit(training[inputs], training["progression"])
    declared = cast.semantics(
        task="multi-class", output="label", positive_label=None, favourable_label="low", threshold=None
    )
    result = cast.run(CHECK, model=model, evaluation=evaluation, declared=declared)
    chosen = pd.Series(model.predict(evaluation[inputs]) == "low").groupby(evaluation["sex"]).mean()
    found = cast.metric(result, "demographic_parity_difference", "sex")
    assert found["value"] == pytest.approx(chosen.max() - chosen.min(), abs=1e-12)
