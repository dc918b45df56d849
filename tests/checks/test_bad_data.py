"""Bad data in every check: an outcome with a name in it, never a number that means nothing."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn

from audits.checks.catalogue import CATALOGUE
from audits.checks.leakage import copies
from tests.checks import cast

CHECKS = tuple(CATALOGUE)
WITH_MODEL = tuple(slug for slug, item in CATALOGUE.items() if "artifact" in item.reads)
DECLARED = cast.semantics(time_column="seen")


def study(**changes: Any) -> dict[str, Any]:
    """The diabetes study with a time column; `changes` are made to both data sets after the model was trained."""
    training, evaluation = cast.diabetes()
    for frame, year in ((training, 2024), (evaluation, 2025)):
        frame["seen"] = [f"{year}-{1 + place % 12:02d}-01" for place in range(len(frame))]
    model = cast.logistic(training, ("seen",))
    return {
        "model": model,
        "training": training.assign(**changes),
        "evaluation": evaluation.assign(**changes),
        "declared": DECLARED,
    }


def said(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every code with its parameters in a result: the error, notes and why a figure is undefined."""
    messages = [result["error"], *result["notes"], *(item["undefined"] for item in result["metrics"])]
    return [(message["code"], message["params"]) for message in messages if message]


def names(result: dict[str, Any], column: str) -> list[str]:
    return [code for code, params in said(result) if column in str(params)]


def no_number_is_wrong(result: dict[str, Any]) -> None:
    for item in result["metrics"]:
        assert (item["value"] is None) == (item["undefined"] is not None), item
        assert item["value"] is None or np.isfinite(item["value"])


# check → what it says of a target with one class only; None: the check does not look at the target
ONE_CLASS = {
    "data.quality": "target_single_class",
    "evaluation.performance": "target_single_class",
    "bias.group_disparity": "fewer_than_two_groups",  # of the rates that need both classes
    "explainability.shap": None,
    "bias.proxy_scan": None,
    "drift.distribution": None,
    "drift.concept": None,
    "robustness.perturbation": None,
    "privacy.columns": None,
    "evaluation.resources": None,
}


@pytest.mark.parametrize("check", CHECKS)
def test_one_class_only(check: str) -> None:
    result = cast.run(check, **study(progression=0))
    no_number_is_wrong(result)
    codes = {code for code, _ in said(result)}
    if ONE_CLASS[check] is not None:
        assert ONE_CLASS[check] in codes
    for item in result["metrics"]:
        if item["metric"] in ("roc_auc", "true_positive_rate", "recall", "minority_class_ratio"):
            assert item["value"] is None


@pytest.mark.parametrize("check", CHECKS)
def test_a_column_with_nothing_in_it(check: str) -> None:
    result = cast.run(check, **study(bmi=np.nan))
    no_number_is_wrong(result)
    if check == "privacy.columns":  # looks at what a column holds: this one holds nothing
        assert result["outcome"] == "completed"
        assert "bmi" not in set(cast.table(result, "privacy_columns")["column"])
        return
    assert names(result, "bmi"), said(result)
    if check in WITH_MODEL:
        assert result["error"]["code"] == "model_rejects_missing"


@pytest.mark.parametrize("check", CHECKS)
def test_infinite_cells(check: str) -> None:
    what = study()
    what["training"].loc[0, "bmi"] = what["evaluation"].loc[0, "bmi"] = np.inf
    result = cast.run(check, **what)
    no_number_is_wrong(result)
    if check == "privacy.columns":
        assert result["outcome"] == "completed"
    elif check == "data.quality":
        assert cast.metric(result, "infinite_cells", group="training")["value"] == 1
        assert names(result, "bmi") == ["columns_infinite", "columns_infinite"]
    else:
        assert result["error"] == {"code": "column_not_finite", "params": {"column": "bmi"}}


@pytest.mark.parametrize("check", CHECKS)
def test_a_constant_column(check: str) -> None:
    result = cast.run(check, **study(sex=1))
    assert result["outcome"] == "completed"
    no_number_is_wrong(result)
    expected = {
        "data.quality": "columns_constant",
        "bias.group_disparity": "fewer_than_two_groups",
        "bias.proxy_scan": "fewer_than_two_groups",
        "robustness.perturbation": "fewer_than_two_groups",
    }
    if check in expected:
        assert expected[check] in names(result, "sex")
    for item in result["metrics"]:
        if item["attribute"] == "sex" and item["group"] is None:
            spread = item["metric"].endswith(("_difference", "_ratio", "proxy_auc", "_flips"))
            assert not spread or item["value"] is None, item


@pytest.mark.parametrize("check", CHECKS)
def test_an_empty_sensitive_column(check: str) -> None:
    what = study()
    what["model"] = cast.logistic(what["training"], ("seen", "sex"))
    for role in ("training", "evaluation"):
        what[role] = what[role].assign(sex=np.nan)
    result = cast.run(check, **what)
    no_number_is_wrong(result)
    if check in ("bias.group_disparity", "bias.proxy_scan", "robustness.perturbation", "drift.distribution"):
        assert result["error"] == {"code": "sensitive_all_missing", "params": {"column": "sex"}}
    elif check == "explainability.shap":
        assert result["outcome"] == "errored" or "sex" not in str(cast.table(result, "shap_by_group"))
    elif check == "data.quality":
        assert "columns_all_missing" in names(result, "sex")


@pytest.mark.parametrize(
    "check", ["bias.group_disparity", "bias.proxy_scan", "robustness.perturbation", "drift.distribution"]
)
def test_a_group_with_few_rows_is_listed_with_its_size(check: str) -> None:
    what = study()
    what["declared"] = cast.semantics(
        time_column="seen", sensitive={"age": {"use": "monitored", "bins": [70]}}
    )
    what["evaluation"] = what["evaluation"].assign(age=[75, *what["evaluation"]["age"].clip(upper=60)[1:]])
    result = cast.run(check, **what, parameters={"min_group": 30})
    assert result["outcome"] == "completed"
    no_number_is_wrong(result)
    if check == "bias.proxy_scan":
        found = cast.metric(result, "proxy_auc", "age")
        assert (found["value"], found["denominators"]["groups_excluded"]) == (None, 1)
        return
    left = [params for _, params in said(result) if params.get("group") == "≥70"]
    assert left
    assert left[0]["n"] == 1


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_declared_group_nobody_is_in_is_named(task: str) -> None:
    what = study()
    what["evaluation"] = what["evaluation"][what["evaluation"]["age"] < 65].reset_index(drop=True)
    if task == "regression":
        from sklearn.linear_model import LinearRegression

        inputs = what["training"].drop(columns=["seen", "progression"])
        what["model"] = LinearRegression().fit(inputs, what["training"]["bmi"] * 2 + what["training"]["bp"])
        what["declared"] = cast.semantics(
            task="regression", output="value", positive_label=None, favourable_label=None
        )
        what["evaluation"]["progression"] = what["evaluation"]["bmi"] * 2 + what["evaluation"]["s5"]
    result = cast.run("bias.group_disparity", **what)
    assert result["outcome"] == "completed", result["error"]
    empty = [params for code, params in said(result) if code == "group_without_rows"]
    assert empty == [{"attribute": "age", "group": "≥65"}]
    assert not [item for item in result["metrics"] if item["group"] == "≥65"]


@pytest.mark.parametrize("check", CHECKS)
def test_ten_thousand_categories(check: str) -> None:
    what = study()
    for role in ("training", "evaluation"):
        frame = pd.concat([what[role]] * (10_000 // len(what[role]) + 1), ignore_index=True).head(10_000)
        what[role] = frame.assign(sex=[f"p{place}" for place in range(len(frame))])
    what["model"] = cast.logistic(study()["training"], ("seen", "sex"))
    parameters = {"max_rows": 50, "background_rows": 20} if check == "explainability.shap" else None
    if check == "evaluation.resources":
        parameters = {"rows": 10, "batch": 100, "repeats": 2}
    result = cast.run(check, **what, parameters=parameters)
    no_number_is_wrong(result)
    groups = ("bias.group_disparity", "bias.proxy_scan", "robustness.perturbation", "drift.distribution")
    if check in groups:
        assert result["error"]["code"] == "too_many_groups"
        assert result["error"]["params"] == {"column": "sex", "count": 10_000, "limit": 1000}
    else:
        assert "check_crashed" not in {code for code, _ in said(result)}


@pytest.mark.parametrize(
    ("check", "role"),
    [(slug, role) for slug in CHECKS for role in CATALOGUE[slug].reads if role != "artifact"],
)
def test_duplicate_column_names(check: str, role: str) -> None:
    what = study()
    text = what[role].to_csv(index=False)
    what[role] = text.replace("bmi", "bp", 1)
    result = cast.run(check, **what)
    assert result["error"] == {"code": "column_duplicated", "params": {"role": role, "columns": "bp"}}


LEAKY = ("evaluation.performance", "bias.group_disparity", "drift.concept", "robustness.perturbation")


class TestLeakage:
    @pytest.mark.parametrize("check", LEAKY)
    def test_an_input_that_is_the_target_renamed_is_an_error_naming_it(self, check: str) -> None:
        what = study()
        for role in ("training", "evaluation"):
            what[role]["approved"] = what[role]["progression"].map({0: "no", 1: "yes"})
            what[role]["outcome"] = what[role]["progression"] * 5 - 2
        what["model"] = cast.logistic(what["training"], ("seen", "approved"))
        result = cast.run(check, **what)
        assert result["error"]["code"] == "target_leaks"
        assert result["error"]["params"]["columns"] == "outcome"
        assert result["error"]["params"]["target"] == "progression"

    @pytest.mark.parametrize("check", LEAKY)
    def test_the_target_itself_as_an_input(self, check: str) -> None:
        from sklearn.linear_model import LogisticRegression

        what = study()
        inputs = what["training"].drop(columns="seen")
        what["model"] = LogisticRegression(max_iter=10_000).fit(inputs, inputs["progression"])
        assert cast.run(check, **what)["error"]["params"]["columns"] == "progression"

    def test_a_column_near_the_target_is_named_by_the_quality_check(self) -> None:
        what = study()
        for role in ("training", "evaluation"):
            near = what[role]["progression"].map({0: "no", 1: "yes"})
            near.iloc[0] = "maybe"
            what[role]["approved"] = near
        result = cast.run("data.quality", **what)
        assert "column_near_target" in names(result, "approved")
        found = cast.metric(result, "strongest_target_association", group="training")
        assert found["value"] > 0.95

    def test_what_counts_as_a_copy(self) -> None:
        truth = np.arange(40) % 2
        frame = pd.DataFrame(
            {
                "y": truth,
                "copy": np.where(truth, "b", "a"),
                "merged": ["same"] * 40,
                "finer": np.arange(40) % 4,
                "off_by_one": [1 - truth[0], *truth[1:]],
                "missing_is_no": pd.Series(truth).map({0: None, 1: "x"}),
            }
        )
        assert copies(frame, "y", tuple(frame.columns[1:])) == ["copy", "missing_is_no"]
        assert copies(frame.head(20), "y", ("copy",)) == []  # too few rows to tell

    def test_numbers_that_never_come_twice_are_no_copies_of_each_other(self) -> None:
        """A small regression: every value of both is there once, so they stand one to one and mean nothing by it."""
        stream = np.random.default_rng(1)
        frame = pd.DataFrame({"y": stream.normal(size=60), "income": stream.normal(size=60)})
        assert copies(frame, "y", ("income",)) == []
        assert copies(pd.concat([frame] * 4), "y", ("income",), number=True) == []
        frame["levels"] = np.arange(60) % 3
        frame["named"] = frame["levels"].map({0: "low", 1: "middle", 2: "high"})
        assert copies(frame, "levels", ("named", "income"), number=True) == ["named"]

    def test_a_regressions_target_in_other_units(self) -> None:
        values = np.random.default_rng(0).normal(size=200)
        frame = pd.DataFrame({"y": values, "cents": values * -100 + 3, "noisy": values + 1e-3, "text": "a"})
        frame.loc[0, "noisy"] += 0.01
        assert copies(frame, "y", ("cents", "noisy", "text")) == ["cents"]


@pytest.mark.parametrize("check", WITH_MODEL)
def test_a_model_of_another_scikit_learn_that_fails_names_both_versions(check: str) -> None:
    what = study()
    model = what["model"]
    data = pickle.dumps(model).replace(
        sklearn.__version__.encode(),
        b"0.9.9"[: len(sklearn.__version__)].ljust(len(sklearn.__version__), b"0"),
    )
    what["model"] = data.replace(b"coef_", b"koef_")  # what it needs is called something else there
    result = cast.run(check, **what, model_format="pickle")
    assert result["error"]["code"] == "model_version_mismatch", result["error"]
    assert result["error"]["params"]["read_with"] == sklearn.__version__
    assert result["error"]["params"]["written_with"] != sklearn.__version__


class TestOutOfStep:
    def test_categories_training_never_had_are_counted_and_named(self) -> None:
        training, evaluation = cast.diabetes()
        for frame in (training, evaluation):
            frame["site"] = "a"
        from sklearn.compose import make_column_transformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        evaluation.loc[:3, "site"] = "elsewhere"
        model = make_pipeline(
            make_column_transformer(
                (OneHotEncoder(handle_unknown="ignore"), ["site"]), remainder="passthrough"
            ),
            LogisticRegression(max_iter=5000),
        ).fit(training.drop(columns="progression"), training["progression"])
        what = {"model": model, "training": training, "evaluation": evaluation}
        result = cast.run("evaluation.performance", **what)
        found = cast.metric(result, "unknown_level_ratio")
        assert found["denominators"] == {"unknown": 4, "rows": 177}
        note = next(note for note in result["notes"] if note["code"] == "unknown_level")
        assert note["params"] == {"column": "site", "levels": "elsewhere", "rows": 4}
        strict = cast.run("evaluation.performance", **what, parameters={"unknown_levels": "error"})
        assert strict["error"] == {"code": "unknown_level", "params": note["params"]}

    def test_columns_in_another_order_are_noted_or_refused_by_what_the_model_knows(self) -> None:
        from sklearn.linear_model import LogisticRegression

        training, evaluation = cast.diabetes()
        turned = evaluation[list(reversed(evaluation.columns))]
        named = cast.run(
            "evaluation.performance", model=cast.logistic(training), training=training, evaluation=turned
        )
        assert cast.metric(named, "reordered_columns")["value"] == 10
        assert "columns_reordered" in cast.codes(named)
        straight = cast.run(
            "evaluation.performance", model=cast.logistic(training), training=training, evaluation=evaluation
        )
        assert cast.metric(named, "accuracy")["value"] == cast.metric(straight, "accuracy")["value"]
        nameless = LogisticRegression(max_iter=5000).fit(
            training.drop(columns="progression").to_numpy(), training["progression"]
        )
        refused = cast.run("evaluation.performance", model=nameless, training=training, evaluation=turned)
        assert refused["error"]["code"] == "columns_reordered"

    @pytest.mark.parametrize(("year", "share"), [(2024, 1.0), (2025, 0.0)])
    def test_evaluation_rows_that_are_not_later_are_counted(self, year: int, share: float) -> None:
        what = study()
        what["evaluation"]["seen"] = f"{year}-06-01"
        found = cast.metric(cast.run("evaluation.performance", **what), "time_overlap")
        assert (found["value"], found["n"]) == (share, 177)


class TestExpectations:
    def test_rules_are_counted_by_column_and_rule(self) -> None:
        what = study()
        rules = {
            "bmi": {"type": "number", "min": 20, "max": 30, "missing": False},
            "sex": {"values": [1, "2.0"]},
            "age": {"type": "text", "unique": True},
            "nobody": {"type": "number"},
        }
        result = cast.run("data.quality", **what, parameters={"schema": rules})
        training = what["training"]
        table = cast.table(result, "schema").query("dataset == 'training'").set_index(["column", "rule"])
        counts = table["violations"].to_dict()
        assert counts == {
            ("bmi", "type"): 0,
            ("bmi", "min"): int((training["bmi"] < 20).sum()),
            ("bmi", "max"): int((training["bmi"] > 30).sum()),
            ("bmi", "missing"): 0,
            ("sex", "values"): 0,
            ("age", "type"): len(training),
            ("age", "unique"): int(training["age"].duplicated().sum()),
            ("nobody", "present"): len(training),
        }
        found = cast.metric(result, "schema_violations", group="training")
        assert found["value"] == sum(counts.values())
        assert "rule_broken" in names(result, "nobody")

    def test_numbers_asked_of_a_text_and_empty_cells(self) -> None:
        """An empty cell breaks `missing` and nothing else; a text is not in a range, cell by cell."""
        what = study()
        what["training"] = what["training"].assign(age=what["training"]["age"].astype("object"), name="x")
        what["training"].loc[:9, ["age", "name", "bmi"]] = None
        rules = {
            "name": {"min": 3, "unique": True, "values": ["x"]},
            "age": {"missing": False},
            "bmi": {"max": 0},
        }
        result = cast.run("data.quality", **what, parameters={"schema": rules}, data_format="parquet")
        table = cast.table(result, "schema").query("dataset == 'training'").set_index(["column", "rule"])
        rows = len(what["training"])
        assert table["violations"].to_dict() == {
            ("name", "min"): rows - 10,
            ("name", "values"): 0,
            ("name", "unique"): rows - 11,
            ("age", "missing"): 10,
            ("bmi", "max"): rows - 10,
        }

    def test_freshness_counts_to_the_day_it_is_told(self) -> None:
        result = cast.run("data.quality", **study(), parameters={"as_of": "2026-01-01"})
        assert cast.metric(result, "data_age_days", group="evaluation")["value"] == 31
        early = cast.run("data.quality", **study(), parameters={"as_of": "2025-01-01"})
        found = cast.metric(early, "data_age_days", group="evaluation")
        assert (found["value"], found["undefined"]["code"]) == (None, "newest_row_in_the_future")
        none = cast.run("data.quality", **study(), parameters={"as_of": "2026-99-01"})
        assert none["error"]["code"] == "parameters_invalid"
        plain = cast.run("data.quality", **study(seen=5), parameters={"as_of": "2026-01-01"})
        found = cast.metric(plain, "data_age_days", group="training")
        assert found["undefined"]["code"] == "time_is_a_number"


def test_a_file_that_is_cut_short_is_named() -> None:
    what = study()
    what["evaluation"] = io.BytesIO(what["evaluation"].to_parquet()).getvalue()[:-100]
    result = cast.run("privacy.columns", **what, data_format="csv")
    assert result["error"]["params"]["role"] == "evaluation"
