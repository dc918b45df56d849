"""Attributions against exact enumerations, through pipelines, and only where they add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.tree._tree import Tree

from audits.checks import routes, shapley
from audits.checks.explain import explain, value_ranks
from audits.checks.predictor import Predictor
from audits.checks.routes import rows_within
from audits.checks.semantics import Semantics
from audits.checks.sources import source_columns
from tests.checks import cast
from tests.checks.shared import golden

CHECK = "explainability.shap"


def explained(model: Any, training: pd.DataFrame, evaluation: pd.DataFrame, **changes: Any) -> Any:
    rows = {name: changes.pop(name) for name in ("max_rows", "background_rows") if name in changes}
    predictor = Predictor(model, Semantics.read(cast.semantics(**changes)))
    return explain(
        predictor,
        training,
        evaluation,
        seed=3,
        max_rows=rows.get("max_rows", 60),
        background_rows=rows.get("background_rows", 40),
    )


def rebuilt_tree(tree: dict[str, Any], features: int, classes: int) -> Tree:
    """scikit-learn's own tree object, from the arrays of a golden file."""
    count = len(tree["children_left"])
    empty = Tree(features, np.array([classes], dtype=np.intp), 1)
    state = empty.__getstate__()
    nodes = np.zeros(count, dtype=state["nodes"].dtype)
    nodes["left_child"], nodes["right_child"] = tree["children_left"], tree["children_right"]
    nodes["feature"], nodes["threshold"] = tree["feature"], tree["threshold"]
    nodes["n_node_samples"] = tree["n_node_samples"]
    nodes["weighted_n_node_samples"] = tree["n_node_samples"]
    values = np.array(tree["value"], dtype=float).reshape(count, 1, classes)
    empty.__setstate__({**state, "max_depth": 12, "node_count": count, "nodes": nodes, "values": values})
    return empty


def golden_model(name: str, figures: dict[str, Any], frame: pd.DataFrame) -> Any:
    """The golden model rebuilt as the estimator our routes know."""
    features = frame.shape[1]
    labels = np.arange(len(frame)) % 2
    if name.startswith("logistic"):
        model = LogisticRegression(max_iter=1).fit(frame * 0, labels)
        model.coef_ = np.array([figures["coef"]])
        model.intercept_ = np.array([figures["intercept"]])
        return model
    if name == "decision_tree":
        model = DecisionTreeClassifier(max_depth=1).fit(frame, labels)
        model.tree_ = rebuilt_tree(figures["tree"], features, 2)
        return model
    if name == "random_forest":
        model = RandomForestClassifier(len(figures["trees"]), max_depth=1).fit(frame, labels)
        for member, tree in zip(model.estimators_, figures["trees"], strict=True):
            member.tree_ = rebuilt_tree(tree, features, 2)
        return model
    model = GradientBoostingClassifier(
        n_estimators=len(figures["trees"]), learning_rate=figures["learning_rate"], max_depth=1
    ).fit(frame, labels)
    for member, tree in zip(model.estimators_[:, 0], figures["trees"], strict=True):
        member.tree_ = rebuilt_tree({"n_node_samples": np.ones(len(tree["feature"])), **tree}, features, 1)
    chance = 1 / (1 + np.exp(-figures["init"]))
    model.init_.class_prior_ = np.array([1 - chance, chance])
    return model


GOLDEN = (
    "logistic_margin",
    "logistic_probability",
    "decision_tree",
    "random_forest",
    "gradient_boosting_margin",
)


@pytest.mark.parametrize("dataset", ["adult", "german"])
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_attributions(dataset: str, name: str) -> None:
    """Exact 2^M enumerations made elsewhere; every route that applies must reproduce them to 1e-6."""
    content = golden(dataset, "shap_golden.json")
    figures = content["models"][name]
    background = pd.DataFrame(content["background"], columns=content["features"])
    rows = pd.DataFrame(content["explain"], columns=content["features"])
    model = golden_model(name, figures, background)
    predictor = Predictor(model, Semantics.read(cast.semantics()))
    by_name = {route.name: route for route in routes.choose(predictor, seed=1)}
    if name == "logistic_probability":
        del by_name["linear"]  # explains the margin
    if name in ("logistic_margin", "gradient_boosting_margin"):
        del by_name["exact"]  # explains the probability
    assert by_name
    for route in by_name.values():
        assert route.output(rows) == pytest.approx(np.array(figures["f_x"]), abs=1e-9)
        found = route.explain(background, rows)
        assert found is not None
        assert found.base == pytest.approx(figures["base_value"], abs=1e-6), route.name
        assert np.abs(found.phi - np.array(figures["shap_values"])).max() <= 1e-6, route.name


def mixed(rows: int = 240) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers with holes, two text columns, and a target that depends on all of them."""
    stream = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "income": stream.normal(50, 10, rows),
            "age": stream.integers(20, 80, rows).astype(float),
            "region": stream.choice(["north", "south", "east"], rows),
            "sex": stream.choice(["f", "m"], rows),
        }
    )
    signal = frame["income"] / 10 + (frame["region"] == "north") + (frame["sex"] == "m") + frame["age"] / 40
    frame["progression"] = (signal + stream.normal(0, 0.5, rows) > signal.median()).astype(int)
    frame.loc[::17, "income"] = np.nan
    return frame.iloc[: rows // 2].reset_index(drop=True), frame.iloc[rows // 2 :].reset_index(drop=True)


def preparing() -> Any:
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["income", "age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["region", "sex"]),
        sparse_threshold=1.0,
    )


class TestRoutes:
    @pytest.mark.parametrize(
        ("last", "route", "space"),
        [
            (LogisticRegression(), "linear", "margin"),
            (RidgeClassifier(), "linear", "margin"),
            (DecisionTreeClassifier(max_depth=4, random_state=0), "tree", "probability"),
            (RandomForestClassifier(10, random_state=0), "tree", "probability"),
            (ExtraTreesClassifier(10, random_state=0), "tree", "probability"),
            (GradientBoostingClassifier(n_estimators=10, random_state=0), "tree", "margin"),
            (SVC(), "exact", "decision"),
        ],
    )
    def test_one_hot_columns_return_to_their_source(self, last: Any, route: str, space: str) -> None:
        training, evaluation = mixed()
        inputs = training.drop(columns="progression")
        model = make_pipeline(preparing(), last).fit(inputs, training["progression"])
        found = explained(model, training, evaluation, output="label", max_rows=20)
        assert (found.route.name, found.route.output_space) == (route, space)
        assert found.found.phi.shape == (20, 4)
        assert found.error <= 1e-4
        assert found.notes == ()
        assert np.abs(found.found.phi).mean(axis=0).min() > 0

    def test_linear_through_one_hot_is_what_enumeration_finds(self) -> None:
        training, evaluation = mixed()
        inputs = training.drop(columns="progression")
        model = make_pipeline(preparing(), LogisticRegression()).fit(inputs, training["progression"])
        found = explained(model, training, evaluation, max_rows=10)
        columns = list(model.feature_names_in_)
        slow = shapley.exact(model.decision_function, found.background[columns], found.explained[columns])
        assert np.abs(found.found.phi - slow.phi).max() < 1e-9
        assert found.found.base == pytest.approx(slow.base, abs=1e-9)

    def test_products_of_columns_are_not_attributable_and_fall_back(self) -> None:
        training, evaluation = cast.diabetes()
        few = ["bmi", "bp", "sex", "progression"]
        model = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression())
        model.fit(training[few[:3]], training["progression"])
        found = explained(model, training[few], evaluation[few], max_rows=12)
        assert found.route.name == "exact"
        assert [note.code for note in found.notes] == ["route_not_attributable"]
        slow = shapley.exact(
            lambda frame: model.predict_proba(frame)[:, 1],
            found.background[few[:3]],
            found.explained[few[:3]],
        )
        assert np.allclose(found.found.phi, slow.phi)

    def test_more_than_ten_columns_are_sampled_with_a_stated_error(self) -> None:
        training, evaluation = cast.diabetes()
        wide_training, wide = (frame.assign(noise=range(len(frame))) for frame in (training, evaluation))
        model = GaussianNB().fit(wide_training.drop(columns="progression"), wide_training["progression"])
        found = explained(model, wide_training, wide, max_rows=10, background_rows=20)
        assert found.route.name == "permutation"
        assert found.error < 1e-9
        assert found.notes[-1].code == "sampled_attribution"
        bound = found.notes[-1].params["error"]
        columns = list(model.feature_names_in_)
        slow = shapley.exact(
            lambda frame: model.predict_proba(frame)[:, 1],
            found.background[columns],
            found.explained[columns].iloc[:2],
        )
        assert 0 < np.abs(found.found.phi[:2] - slow.phi).max() < 5 * bound

    def test_boosting_over_categories_is_explained_by_its_own_answers(self) -> None:
        """TreeExplainer misreads categorical splits of this family, and its own check does not notice."""
        training, evaluation = cast.diabetes()
        inputs = training[["sex", "bmi", "s5"]]
        model = HistGradientBoostingClassifier(categorical_features=["sex"], max_iter=20, random_state=0)
        model.fit(inputs, training["progression"])
        found = explained(model, training, evaluation, max_rows=10)
        assert (found.route.name, found.route.output_space) == ("exact", "probability")
        assert found.error < 1e-9
        columns = list(model.feature_names_in_)
        slow = shapley.exact(model.decision_function, found.background[columns], found.explained[columns])
        background, rows = found.background[columns].to_numpy(), found.explained[columns].to_numpy()
        explainer = shap.TreeExplainer(model, data=background, feature_perturbation="interventional")
        assert np.abs(explainer.shap_values(rows, check_additivity=True) - slow.phi).max() > 0.1

    @pytest.mark.parametrize(
        "model", [HistGradientBoostingClassifier(max_iter=30), RandomForestClassifier(20)]
    )
    def test_values_right_at_a_threshold_take_the_branch_the_model_takes(self, model: Any) -> None:
        """Measurements with one decimal: thresholds at 27.2 in double precision, compared in single by shap."""
        training, evaluation = cast.diabetes()
        inputs = training.drop(columns="progression")
        model.fit(inputs, inputs["bmi"] * 3 + inputs["s5"] * 10 > 130)
        declared = {"positive_label": True, "favourable_label": True}
        found = explained(model, training, evaluation, **declared)
        assert found.route.name == "tree"
        assert found.notes == ()
        assert found.error < 1e-6

    def test_a_regression_forest(self) -> None:
        training, evaluation = cast.diabetes()
        for frame in (training, evaluation):
            frame["progression"] = frame["bmi"] * 3 + frame["s5"]
        model = RandomForestRegressor(10, random_state=0).fit(
            training.drop(columns="progression"), training["progression"]
        )
        declared = {"task": "regression", "output": "value", "positive_label": None, "favourable_label": None}
        found = explained(model, training, evaluation, **declared)
        assert (found.route.name, found.route.output_space) == ("tree", "value")
        assert found.error < 1e-4
        assert np.abs(found.found.phi).mean(axis=0).argmax() == list(model.feature_names_in_).index("bmi")

    @pytest.mark.parametrize("positive", [0, 1])
    @pytest.mark.parametrize("model", [LogisticRegression(), GradientBoostingClassifier(n_estimators=5)])
    def test_the_sign_follows_the_positive_label(self, model: Any, positive: int) -> None:
        training, evaluation = cast.diabetes()
        fitted = make_pipeline(StandardScaler(), model).fit(
            training.drop(columns="progression"), training["progression"]
        )
        found = explained(fitted, training, evaluation, positive_label=positive)
        margin = fitted.decision_function(found.explained[list(fitted.feature_names_in_)])
        total = found.found.phi.sum(axis=1) + found.found.base
        assert total == pytest.approx(margin if positive else -margin, abs=1e-6)

    def test_a_background_beyond_a_hundred_rows_is_used_whole(self) -> None:
        """shap cuts a plain array to 100 rows in silence; the base value tells."""
        training, evaluation = cast.diabetes()
        model = DecisionTreeClassifier(max_depth=4, random_state=0).fit(
            training.drop(columns="progression"), training["progression"]
        )
        found = explained(model, training, evaluation, background_rows=10_000)
        assert len(found.background) == len(training) > 200
        chance = model.predict_proba(training[list(model.feature_names_in_)])[:, 1]
        assert found.found.base == pytest.approx(chance.mean(), abs=1e-6)

    def test_a_class_that_borrows_a_known_name_is_a_black_box(self) -> None:
        training, evaluation = cast.diabetes()
        few = ["bmi", "s5"]

        class Linear(LogisticRegression):  # type: ignore[misc]
            def predict_proba(self, data: Any) -> Any:
                return super().predict_proba(data) ** 2 / (super().predict_proba(data) ** 2).sum(
                    axis=1, keepdims=True
                )

        Linear.__name__ = "LogisticRegression"
        model = Linear().fit(training[few], training["progression"])
        assert explained(model, training, evaluation, max_rows=10).route.name == "exact"

    def test_a_route_that_does_not_add_up_is_discarded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        training, evaluation = cast.diabetes()
        few = ["bmi", "s5", "progression"]
        model = LogisticRegression().fit(training[few[:2]], training["progression"])

        def wrong(*_: Any) -> Any:
            return shapley.Attribution(np.ones((20, 2)), 0.0)

        honest = routes._linear

        def lying(*given: Any) -> Any:
            route = honest(*given)
            return routes.Route(route.name, route.output_space, route.output, wrong, route.cost, route.budget)

        monkeypatch.setattr(routes, "_linear", lying)
        found = explained(model, training[few], evaluation[few], max_rows=20)
        assert found.route.name == "exact"
        assert [note.code for note in found.notes] == ["route_not_additive"]
        monkeypatch.setattr(routes, "_any_model", lambda predictor, seed: lying(predictor, model))
        result = cast.run(
            CHECK, model=model, training=training, evaluation=evaluation, parameters={"max_rows": 20}
        )
        assert result["error"]["code"] == "not_additive"


class TestSources:
    SAMPLE = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": ["x", "y", "x", "z"], "c": [5.0] * 4})

    def test_each_output_has_its_one_source(self) -> None:
        def transform(frame: pd.DataFrame) -> Any:
            a = frame["a"].to_numpy()
            return np.column_stack([frame["b"] == "x", a, frame["c"], frame["b"] == "z", a**2])

        found = source_columns(transform, self.SAMPLE)
        assert found is not None
        assert found.tolist() == [1, 0, -1, 1, 0]

    def test_mixed_and_row_dependent_outputs_are_refused(self) -> None:
        assert source_columns(lambda f: (f["a"] * (f["b"] == "x")).to_numpy()[:, None], self.SAMPLE) is None
        assert source_columns(lambda f: np.arange(len(f), dtype=float)[:, None], self.SAMPLE) is None
        assert source_columns(lambda f: f[["b"]].to_numpy(), self.SAMPLE) is None


class TestCheck:
    def test_the_study(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(CHECK, model=cast.logistic(training), training=training, evaluation=evaluation)
        importance = cast.table(result, "shap_importance")
        assert importance["share"].sum() == pytest.approx(1.0)
        assert importance["mean_abs"].is_monotonic_decreasing
        share = importance.set_index("feature")["share"]
        total = cast.metric(result, "sensitive_attribution_share")
        assert total["value"] == pytest.approx(share["sex"] + share["age"], abs=1e-12)
        assert total["interval"][0] < total["value"] < total["interval"][1]
        assert cast.metric(result, "sensitive_attribution_share", "sex")["value"] == pytest.approx(
            share["sex"]
        )
        assert cast.metric(result, "top_feature_share")["value"] == importance["share"][0]
        assert cast.metric(result, "additivity_error")["value"] < 1e-12
        params = next(table["params"] for table in result["tables"] if table["id"] == "shap_importance")
        assert {name: params[name] for name in ("route", "output_space", "rows", "background_rows", "seed")} == {
            "route": "linear", "output_space": "margin", "rows": 177, "background_rows": 100, "seed": 7,
        }  # fmt: skip
        assert params["estimand"] == "interventional"
        assert len(params["background_digest"]) == len("sha256:") + 64
        points = cast.table(result, "shap_points")
        assert points.groupby("feature").size().tolist() == [150] * 10
        assert points["value_rank"].between(0, 1).all()
        groups = cast.table(result, "shap_by_group")
        assert set(groups["group"]) == {"1", "2", "<50", "50-64", "≥65"}
        assert groups.columns.tolist() == ["attribute", "group", "feature", "mean_abs"]
        by_hand = groups[(groups["attribute"] == "sex") & (groups["feature"] == "bmi")].set_index("group")[
            "mean_abs"
        ]
        whole = importance.set_index("feature").loc["bmi", "mean_abs"]
        assert (by_hand["1"] * 93 + by_hand["2"] * 84) / 177 == pytest.approx(whole, abs=1e-12)

    def test_groups_follow_their_rows_when_only_some_are_explained(self) -> None:
        """A model that looks at sex only: within a group every row has the same attribution."""
        training, evaluation = cast.diabetes()
        model = LogisticRegression().fit(training[["sex"]], training["progression"])
        result = cast.run(
            CHECK, model=model, training=training, evaluation=evaluation, parameters={"max_rows": 50}
        )
        groups = cast.table(result, "shap_by_group").set_index(["attribute", "group"])["mean_abs"]
        coefficient, share = abs(model.coef_[0, 0]), None
        share = groups["sex", "2"] / coefficient  # of background rows with sex 1
        assert groups["sex", "1"] / coefficient == pytest.approx(1 - share, abs=1e-9)

    def test_a_model_without_sensitive_inputs_has_a_share_of_zero(self) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(
            CHECK, model=cast.logistic(training, ("sex", "age")), training=training, evaluation=evaluation
        )
        assert cast.metric(result, "sensitive_attribution_share")["value"] == 0
        assert cast.codes(result) == ["not_a_model_input", "not_a_model_input"]

    def test_what_goes_with_a_sensitive_column_has_its_share_told(self) -> None:
        """Sex left out and its stand-in kept: nothing on the sensitive column, and the stand-in is named."""
        training, evaluation = cast.diabetes()
        for frame in (training, evaluation):
            frame["shop"] = frame["sex"].map({1: 10.0, 2: 20.0})
            frame.loc[::9, "shop"] = 10.0
        few = ["bmi", "shop"]
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
            training[few], training["progression"]
        )
        declared = cast.semantics(sensitive={"sex": {"use": "forbidden"}})
        what = {"model": model, "training": training, "evaluation": evaluation, "declared": declared}
        result = cast.run(CHECK, **what)
        shares = cast.table(result, "shap_importance").set_index("feature")["share"]
        assert cast.metric(result, "sensitive_attribution_share")["value"] == 0
        for attribute in (None, "sex"):
            found = cast.metric(result, "proxy_attribution_share", attribute)
            assert found["value"] == pytest.approx(shares["shop"], abs=1e-12)
            assert found["interval"][0] <= found["value"] <= found["interval"][1]
        proxies = cast.table(result, "shap_proxies").to_dict("records")
        assert [(row["attribute"], row["feature"]) for row in proxies] == [("sex", "shop")]
        assert 0.7 < proxies[0]["association"] < 1
        assert proxies[0]["share"] == pytest.approx(shares["shop"], abs=1e-12)
        strict = cast.run(CHECK, **what, parameters={"proxy_association": 1.0})
        assert cast.metric(strict, "proxy_attribution_share")["value"] == 0
        assert cast.table(strict, "shap_proxies").empty

    def test_a_sensitive_column_is_no_proxy_of_another(self) -> None:
        training, evaluation = cast.diabetes()
        for frame in (training, evaluation):
            frame["gender"] = frame["sex"]
        declared = cast.semantics(sensitive={"sex": {}, "gender": {}})
        result = cast.run(
            CHECK, model=cast.logistic(training), training=training, evaluation=evaluation, declared=declared
        )
        assert not {"sex", "gender"} & set(cast.table(result, "shap_proxies")["feature"])

    def test_a_constant_model_has_no_shares(self) -> None:
        training, evaluation = cast.diabetes()
        model = LinearRegression().fit(training.drop(columns="progression") * 0, training["progression"])
        declared = cast.semantics(
            task="regression", output="value", positive_label=None, favourable_label=None
        )
        result = cast.run(CHECK, model=model, training=training, evaluation=evaluation, declared=declared)
        found = cast.metric(result, "top_feature_share")
        assert (found["value"], found["undefined"]["code"]) == (None, "model_ignores_inputs")
        assert cast.table(result, "shap_importance")["share"].isna().all()

    def test_text_and_missing_values_have_no_rank(self) -> None:
        training, evaluation = mixed()
        inputs = training.drop(columns="progression")
        model = make_pipeline(preparing(), LogisticRegression()).fit(inputs, training["progression"])
        declared = cast.semantics(sensitive={"sex": {}})
        result = cast.run(CHECK, model=model, training=training, evaluation=evaluation, declared=declared)
        points = cast.table(result, "shap_points")
        assert points[points["feature"] == "region"]["value_rank"].isna().all()
        income = points[points["feature"] == "income"]["value_rank"]
        assert income.isna().sum() == evaluation["income"].isna().sum()
        assert value_ranks(pd.Series([3.0, 1.0, 1.0, None])) == [1.0, 0.0, 0.0, None]
        assert value_ranks(pd.Series([1.0, 1.0])) == [None, None]


def test_rows_are_cut_by_the_work_they_cost() -> None:
    def route(cost: float) -> routes.Route:
        return routes.Route("exact", "probability", lambda f: f, lambda b, e: None, cost, 1000.0)

    assert rows_within(route(0.1), 500, 10) == (500, 10)
    assert rows_within(route(1), 500, 10) == (100, 10)
    assert rows_within(route(5), 500, 20) == (10, 20)
    assert rows_within(route(5), 500, 100) == (10, 20)
    assert rows_within(route(1000), 500, 100) == (10, 10)
    assert rows_within(route(5), 3, 60) == (3, 60)


class TestTreeWork:
    """The cap follows leaves, trees and outputs, as the time does (benchmarks/explain.py); not the depth."""

    def test_the_estimate(self) -> None:
        training, _ = cast.diabetes()
        inputs, target = training.drop(columns="progression"), training["progression"]
        for model, outputs in (
            (RandomForestClassifier(7, random_state=0), 2),
            (RandomForestClassifier(7, random_state=0).fit(inputs, target + (inputs["bmi"] > 30)), 3),
            (RandomForestRegressor(7, random_state=0), 1),
            (GradientBoostingClassifier(n_estimators=7, random_state=0), 1),
            (DecisionTreeClassifier(random_state=0), 2),
        ):
            if not hasattr(model, "n_features_in_"):
                model.fit(inputs, target)
            trees = np.ravel(getattr(model, "estimators_", [model]))
            by_hand = outputs * sum(tree.get_n_leaves() ** 0.6 for tree in trees)
            assert routes.tree_work(model) == pytest.approx(by_hand), model
        boosting = HistGradientBoostingClassifier(max_iter=7, random_state=0).fit(inputs, target)
        leaves = [tree.nodes["is_leaf"].sum() for (tree,) in boosting._predictors]
        assert routes.tree_work(boosting) == pytest.approx(sum(count**0.6 for count in leaves))

    def test_more_leaves_fewer_rows(self) -> None:
        """Grown to the end or pruned at the same depth: the same number of trees, no fewer levels, many more leaves."""
        stream = np.random.default_rng(0)
        inputs = pd.DataFrame(stream.normal(size=(3000, 4)), columns=list("abcd"))
        target = inputs["a"] + stream.normal(0, 1, 3000) > 0
        frame = inputs.assign(progression=target.astype(int))
        rows = []
        for leaves in (16, 128, 2000):
            model = RandomForestClassifier(400, max_leaf_nodes=leaves, max_depth=14, random_state=0, n_jobs=1)
            predictor = Predictor(
                model.fit(inputs, frame["progression"]), Semantics.read(cast.semantics(sensitive={}))
            )
            (route, *_) = routes.choose(predictor, 3)
            assert route.name == "tree"
            rows.append(rows_within(route, 100_000, 100)[0])
        assert rows[0] > 2 * rows[1]
        assert rows[1] > 1.5 * rows[2]
        assert rows[2] > routes.FEWEST_ROWS

    def test_what_was_cut_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        training, evaluation = cast.diabetes()
        model = RandomForestClassifier(20, random_state=0).fit(
            training.drop(columns="progression"), training["progression"]
        )
        monkeypatch.setattr(routes, "TREE_BUDGET", routes.tree_work(model) * 40 * 25)
        found = explained(model, training, evaluation, max_rows=60, background_rows=40)
        assert (len(found.explained), len(found.background)) == (25, 40)
        assert [(note.code, note.params) for note in found.notes] == [
            ("rows_reduced", {"route": "tree", "rows": 25, "asked": 60})
        ]
        monkeypatch.setattr(routes, "TREE_BUDGET", routes.tree_work(model) * 10 * 30)
        found = explained(model, training, evaluation, max_rows=60, background_rows=40)
        assert (len(found.explained), len(found.background)) == (10, 30)
        assert [(note.code, note.params) for note in found.notes] == [
            ("rows_reduced", {"route": "tree", "rows": 10, "asked": 60}),
            ("background_reduced", {"route": "tree", "rows": 30, "asked": 40}),
        ]

    def test_a_tree_of_more_nodes_than_the_explainer_can_number(self) -> None:
        """Its nodes are numbered in 16 bits: one more leaf, and it reads memory that is not its own (and may die)."""
        stream = np.random.default_rng(0)
        inputs = pd.DataFrame(stream.normal(size=(17_000, 2)), columns=["a", "b"])
        frame = inputs.assign(progression=stream.normal(size=17_000))
        model = DecisionTreeRegressor(random_state=0).fit(inputs, frame["progression"])
        assert model.tree_.node_count > routes.MOST_NODES
        declared = {"task": "regression", "output": "value", "positive_label": None, "favourable_label": None,
                    "sensitive": {}}  # fmt: skip
        found = explained(model, frame, frame, max_rows=10, background_rows=10, **declared)
        assert (found.route.name, found.error < 1e-9) == ("exact", True)
        smaller = DecisionTreeRegressor(random_state=0, max_leaf_nodes=16_384).fit(
            inputs, frame["progression"]
        )
        assert smaller.tree_.node_count == routes.MOST_NODES
        found = explained(smaller, frame, frame, max_rows=10, background_rows=10, **declared)
        assert (found.route.name, found.error < 1e-6) == ("tree", True)


def test_a_costly_model_explains_fewer_rows_and_says_so() -> None:
    training, evaluation = cast.diabetes()
    model = GaussianNB().fit(training.drop(columns="progression"), training["progression"])
    result = cast.run(
        CHECK,
        model=model,
        training=training,
        evaluation=evaluation,
        parameters={"max_rows": 100, "background_rows": 200},
    )
    params = result["tables"][0]["params"]
    assert (params["route"], params["rows"], params["background_rows"]) == ("exact", 19, 200)
    note = next(note for note in result["notes"] if note["code"] == "rows_reduced")
    assert note["params"] == {"route": "exact", "rows": 19, "asked": 100}
