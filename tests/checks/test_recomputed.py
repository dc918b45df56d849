"""Every figure of evaluation and bias, with its denominators, computed a second time by libraries and plain counting.

The models are ones whose answer is known by heart: the inputs are the logits, so ties, absent classes and scores at
the threshold can be made at will.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as theirs
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.checks import cast

TOLERANCE = 1e-9
LABELS = ([0, 1], ["no", "yes"], [False, True], ["a", "b", "c"], [1, 2, 3, 4], ["não", "sím", "e\u0301"])
RATES = {  # numerator and denominator of each rate, as cells
    "selection_rate": ("tp fp", "tp fp fn tn"),
    "base_rate": ("tp fn", "tp fp fn tn"),
    "true_positive_rate": ("tp", "tp fn"),
    "false_positive_rate": ("fp", "fp tn"),
    "false_negative_rate": ("fn", "tp fn"),
    "precision": ("tp", "tp fp"),
    "negative_predictive_value": ("tn", "fn tn"),
    "accuracy": ("tp tn", "tp fp fn tn"),
}
bounded = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def same(mine: float | None, other: float | None) -> None:
    if other is None or math.isnan(other):
        assert mine is None
    else:
        assert mine == pytest.approx(other, abs=TOLERANCE, rel=TOLERANCE)


def known_by_heart(classes: list[Any]) -> LogisticRegression:
    """Decides for the class with the largest input (of two classes: the second's log-odds are the only input)."""
    size = 1 if len(classes) == 2 else len(classes)
    model = LogisticRegression()
    model.classes_ = np.array(classes)
    model.coef_, model.intercept_ = np.eye(size), np.zeros(size)
    model.n_features_in_, model.n_iter_ = size, np.array([1])
    model.feature_names_in_ = np.array([f"x{place}" for place in range(size)], dtype=object)
    return model


def straight(name: str = "x") -> LinearRegression:
    model = LinearRegression()
    model.coef_, model.intercept_, model.rank_, model.singular_ = np.ones(1), 0.0, 1, np.ones(1)
    model.n_features_in_, model.feature_names_in_ = 1, np.array([name], dtype=object)
    return model


class Case:
    """Random rows for a model known by heart, and what it decides of them."""

    def __init__(self, seed: int) -> None:
        stream = self.stream = np.random.default_rng(seed)
        self.classes = LABELS[stream.integers(len(LABELS))]
        self.model = known_by_heart(self.classes)
        self.inputs = list(self.model.feature_names_in_)
        self.coarse = stream.random() < 0.5  # then scores tie, and some stand at the threshold
        self.evaluation = self.rows(int(stream.choice([2, 5, 29, 30, 31, 200])))
        self.training = self.rows(max(40, len(self.evaluation)))
        if stream.random() < 0.5:
            part = len(self.evaluation) // 3
            rows = [self.training.iloc[:part], self.evaluation.iloc[part:]]
            self.evaluation = pd.concat(rows, ignore_index=True)
        self.binary = len(self.classes) == 2
        self.positive = int(stream.integers(2)) if self.binary else None
        self.favourable = int(stream.integers(len(self.classes)))
        self.threshold = float(stream.choice([0.5, 0.3, 1 / (1 + math.exp(-0.5))]))
        self.declared = cast.semantics(
            task="binary" if self.binary else "multi-class",
            target="y",
            output="probability" if self.binary else "label",
            threshold=self.threshold if self.binary else None,
            positive_label=None if self.positive is None else self.classes[self.positive],
            favourable_label=self.classes[self.favourable],
            sensitive={"g": {"use": "forbidden"}, "age": {"use": "monitored", "bins": [30, 50]}},
            entity_key="id",
        )
        self.files = {"data_format": "parquet" if stream.random() < 0.5 else "csv", "declared": self.declared}

    def rows(self, n: int) -> pd.DataFrame:
        stream, size = self.stream, len(self.classes)
        grid = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]
        frame = pd.DataFrame(
            {name: stream.choice(grid, n) if self.coarse else stream.normal(size=n) for name in self.inputs}
        )
        shares = stream.dirichlet(np.full(size, stream.choice([0.3, 3.0])))
        frame["y"] = np.array(self.classes)[stream.choice(size, n, p=shares)]
        frame["g"] = stream.choice(["u", "v", "wé", 'w"x,'], n, p=stream.dirichlet(np.full(4, 0.7)))
        frame["age"] = stream.integers(18, 80, n).astype(float)
        frame.loc[stream.random(n) < 0.1, "age"] = np.nan
        frame["id"] = 2**60 + stream.integers(0, n * 3, n)  # no float tells these apart
        return frame

    def answers(self, frame: pd.DataFrame) -> tuple[Any, Any, Any]:
        """Truth and decision as positions, and the probabilities."""
        chances = self.model.predict_proba(frame[self.inputs])
        truth = np.array([self.classes.index(label) for label in frame["y"].tolist()])
        if self.positive is None:
            return truth, chances.argmax(axis=1), chances
        yes = chances[:, self.positive] >= self.threshold
        return truth, np.where(yes, self.positive, 1 - self.positive), chances

    def run(self, check: str, **parameters: Any) -> dict[str, Any]:
        what = {"model": self.model, "training": self.training, "evaluation": self.evaluation}
        return cast.run(check, **what, **self.files, parameters=parameters)


@bounded
@given(st.integers(0, 2**32 - 1))
def test_evaluation(seed: int) -> None:
    case = Case(seed)
    result = case.run("evaluation.performance")
    single = case.evaluation["y"].nunique() < 2 or case.training["y"].nunique() < 2
    if result["outcome"] == "errored":
        assert result["error"]["code"] == "target_leaks" or (
            result["error"]["code"] == "target_single_class" and single
        )
        return
    assert not single
    n, size, labels = len(case.evaluation), len(case.classes), list(range(len(case.classes)))
    truth, decided, chances = case.answers(case.evaluation)
    learnt, said, _ = case.answers(case.training)

    def value(name: str) -> float | None:
        return cast.metric(result, name)["value"]  # type: ignore[no-any-return]

    accuracy = cast.metric(result, "accuracy")
    same(accuracy["value"], theirs.accuracy_score(truth, decided))
    assert accuracy["denominators"] == {"correct": int((truth == decided).sum()), "rows": n}
    wilson = stats.binomtest(int((truth == decided).sum()), n).proportion_ci(method="wilson")
    assert accuracy["interval"] == pytest.approx([wilson.low, wilson.high], abs=TOLERANCE)
    everyone = len(set(truth)) == size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(value("balanced_accuracy"), theirs.balanced_accuracy_score(truth, decided) if everyone else None)
        what = {"labels": labels, "average": None, "zero_division": np.nan}
        for name, function in (
            ("precision", theirs.precision_score),
            ("recall", theirs.recall_score),
            ("f1", theirs.f1_score),
        ):
            each = function(truth, decided, **what)
            same(value(name), float(each.mean() if case.positive is None else each[case.positive]))
        if case.positive is None:
            area = (
                theirs.roc_auc_score(truth, chances, multi_class="ovr", labels=labels) if everyone else None
            )
            same(value("roc_auc"), area)
            same(value("brier_score"), float(((chances - np.eye(size)[truth]) ** 2).sum(axis=1).mean()))
        else:
            yes, scores = truth == case.positive, chances[:, case.positive]
            same(value("roc_auc"), theirs.roc_auc_score(yes, scores))
            same(value("brier_score"), theirs.brier_score_loss(yes, scores))
            counts = {"positives": int(yes.sum()), "negatives": int((~yes).sum())}
            assert cast.metric(result, "roc_auc")["denominators"] == counts
    same(value("generalisation_gap"), (learnt == said).mean() - (truth == decided).mean())
    frequent = np.bincount(learnt, minlength=size).argmax()
    same(value("baseline_gain"), (truth == decided).mean() - (truth == frequent).mean())
    columns = [*case.inputs, "y"]
    seen = set(map(tuple, case.training[columns].to_numpy().tolist()))
    shared = [tuple(row) in seen for row in case.evaluation[columns].to_numpy().tolist()]
    same(value("row_overlap"), float(np.mean(shared)))
    same(value("entity_overlap"), float(case.evaluation["id"].isin(case.training["id"]).mean()))


def cells(truth: Any, decided: Any, inside: Any) -> dict[str, int]:
    return {
        "tp": int((truth & decided & inside).sum()),
        "fp": int((~truth & decided & inside).sum()),
        "fn": int((truth & ~decided & inside).sum()),
        "tn": int((~truth & ~decided & inside).sum()),
    }


def share(counts: dict[str, int], top: str, bottom: str) -> float | None:
    below = sum(counts[cell] for cell in bottom.split())
    return sum(counts[cell] for cell in top.split()) / below if below else None


def spreads(rates: dict[str, list[float]]) -> dict[str, float | None]:
    """The aggregates of lists of defined rates, as the catalogue names them."""

    def difference(name: str) -> float | None:
        return max(rates[name]) - min(rates[name]) if len(rates[name]) > 1 else None

    def ratio(name: str) -> float | None:
        known = rates[name]
        return min(known) / max(known) if len(known) > 1 and max(known) > 0 else None

    def both(function: Any, spread: Any) -> float | None:
        found = spread("true_positive_rate"), spread("false_positive_rate")
        return None if None in found else float(function(found))

    return {
        "demographic_parity_difference": difference("selection_rate"),
        "demographic_parity_ratio": ratio("selection_rate"),
        "equal_opportunity_difference": difference("true_positive_rate"),
        "equal_opportunity_ratio": ratio("true_positive_rate"),
        "equalized_odds_difference": both(max, difference),
        "equalized_odds_difference_mean": both(np.mean, difference),
        "equalized_odds_ratio": both(min, ratio),
        "predictive_parity_difference": difference("precision"),
        "accuracy_difference": difference("accuracy"),
        "treatment_equality_difference": difference("treatment"),
    }


@bounded
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 30]), st.integers(1, 2))
def test_bias(seed: int, least: int, depth: int) -> None:
    case = Case(seed)
    frame = case.evaluation
    result = case.run("bias.group_disparity", min_group=least, intersections=depth, replicates=200)
    if result["outcome"] == "errored":
        assert result["error"]["code"] == "target_leaks" or len(frame) < 30, result["error"]
        return
    truth, decided, chances = case.answers(frame)
    ages = pd.cut(frame["age"], [-np.inf, 30, 50, np.inf], right=False, labels=["<30", "30-49", "≥50"])
    grouped = {"g": frame["g"], "age": ages.astype(object).where(frame["age"].notna(), "unknown")}
    if depth == 2:
        quoted = frame["g"].map(lambda name: name if '"' not in name else '"w""x,"')
        grouped["g×age"] = quoted + "×" + grouped["age"]
    tests = cast.table(result, "disparity_tests").set_index("attribute")
    yes, chosen = truth == case.favourable, decided == case.favourable
    for attribute, groups in grouped.items():
        sizes = groups.value_counts()
        kept = list(sizes[sizes >= least].index)
        rates: dict[str, list[float]] = {name: [] for name in (*RATES, "treatment")}
        for group in kept:
            counts = cells(yes, chosen, (groups == group).to_numpy())
            found = {name: share(counts, *parts) for name, parts in RATES.items()}
            for name, rate in {**found, "treatment": share(counts, "fn", "fp")}.items():
                rates[name] += [] if rate is None else [rate]
                if attribute != "g×age" and name in RATES:
                    mine = cast.metric(result, name, attribute, group)
                    same(mine["value"], rate)
                    assert mine["n"] == sum(counts[cell] for cell in RATES[name][1].split())
        inside = groups.isin(kept).to_numpy()
        about = {
            "rows": int(inside.sum()),
            "groups": len(kept),
            "groups_excluded": len(sizes) - len(kept),
            "positives": int((yes & inside).sum()),
            "negatives": int((~yes & inside).sum()),
            "smallest_group": int(sizes[kept].min()) if kept else 0,
        }
        for name, expected in spreads(rates).items():
            mine = cast.metric(result, name, attribute)
            same(mine["value"], expected)
            assert mine["denominators"] == about
            if mine["interval"] is not None:
                assert mine["interval"][0] <= mine["value"] <= mine["interval"][1]
        table = pd.crosstab(groups[inside], chosen[inside])
        if min(table.shape) > 1:
            tested = stats.chi2_contingency(table, correction=False)
            same(tests.loc[attribute, "chi_square"], tested.statistic)
            same(tests.loc[attribute, "p_value"], tested.pvalue)
        else:
            assert attribute not in tests.index
    assert cast.metric(result, "forbidden_attribute_flips")["value"] == 0
    if case.positive is not None:
        came, scores = truth == case.positive, chances[:, case.positive]
        for group, n in grouped["g"].value_counts().items():
            if n >= least:
                inside = (grouped["g"] == group).to_numpy()
                gap = came[inside].mean() - scores[inside].mean()
                same(cast.metric(result, "calibration_gap", "g", group)["value"], gap)
                bins = np.minimum((scores[inside] * 10).astype(int), 9)
                off = [abs((came[inside] - scores[inside])[bins == place].sum()) for place in range(10)]
                same(cast.metric(result, "calibration_error", "g", group)["value"], sum(off) / n)


REGRESSION = {
    "task": "regression",
    "target": "y",
    "output": "value",
    "threshold": None,
    "positive_label": None,
    "favourable_label": None,
}


def numbers(**changes: Any) -> pd.DataFrame:
    stream = np.random.default_rng(5)
    n = 400
    columns = {"x": stream.normal(size=n), "y": stream.normal(size=n), "g": stream.choice(["u", "v"], n)}
    return pd.DataFrame({**columns, **changes})


class TestFiguresThatMeanNothing:
    @pytest.mark.parametrize("constant", [0.1, 1e-320, 7.0])
    def test_a_constant_target_has_no_r2(self, constant: float) -> None:
        """The mean of a thousand 0.1 is not 0.1, and dividing by what is left gave -7e31."""
        result = cast.run(
            "evaluation.performance",
            model=straight(),
            training=numbers(),
            evaluation=numbers(y=constant),
            declared=cast.semantics(**REGRESSION, sensitive={}),
        )
        for name in ("r2", "generalisation_gap"):
            assert cast.metric(result, name)["undefined"]["code"] == "target_constant"
        if constant == 0.1:
            assert cast.metric(result, "mae")["value"] == pytest.approx(np.abs(numbers()["x"] - 0.1).mean())

    def test_a_model_that_always_says_the_same_has_no_standardised_disparity(self) -> None:
        frame = numbers(g=np.repeat(["u", "v", "w"], [101, 150, 149]))
        model = DummyRegressor(strategy="constant", constant=0.1).fit(frame[["x"]], frame["y"])
        declared = cast.semantics(**REGRESSION, sensitive={"g": {}})
        result = cast.run("bias.group_disparity", model=model, evaluation=frame, declared=declared)
        found = cast.metric(result, "mean_prediction_difference_standardised", "g")
        assert found["undefined"]["code"] == "prediction_constant"

    @pytest.mark.parametrize("check", ["evaluation.performance", "bias.group_disparity", "drift.concept"])
    def test_numbers_whose_squares_no_computer_holds(self, check: str) -> None:
        declared = cast.semantics(**REGRESSION, sensitive={"g": {}}, time_column="t")
        what = {"training": numbers(t=range(400)), "declared": declared, "model": straight()}
        large = numbers(t=range(400))
        error = cast.run(check, **what, evaluation=large.assign(y=large["y"] * 1e200))["error"]
        assert (error["code"], error["params"]["column"]) == ("target_too_large", "y")
        error = cast.run(check, **what, evaluation=large.assign(x=large["x"] * 1e200))["error"]
        assert error == {"code": "prediction_too_large", "params": {"rows": 400}}
        copied = cast.run(check, **what, evaluation=large.assign(y=large["x"] * 1e200))["error"]
        assert (copied["code"], copied["params"]["columns"]) == ("target_leaks", "x")

    @pytest.mark.parametrize("level", [0, 1])
    @pytest.mark.parametrize(
        "check", ["bias.group_disparity", "bias.proxy_scan", "robustness.perturbation", "drift.distribution"]
    )
    def test_no_interval_has_a_level_of_0_or_1(self, check: str, level: int) -> None:
        training, evaluation = cast.diabetes()
        result = cast.run(
            check,
            model=cast.logistic(training),
            training=training,
            evaluation=evaluation,
            parameters={"level": level},
        )
        assert (result["error"]["code"], result["error"]["params"]["field"]) == (
            "parameters_invalid",
            "level",
        )


class TestNames:
    def test_groups_whose_names_hold_the_sign_between_columns_stay_apart(self) -> None:
        """a×b beside c, and a beside b×c, were both "a×b×c", and one of them was lost."""
        stream = np.random.default_rng(2)
        pairs = {"p": stream.choice(["a×b", "a"], 400), "q": stream.choice(["c", "b×c"], 400)}
        sensitive = {"p": {}, "q": {}}
        cases = {
            "groups_regression": (
                straight(),
                numbers(**pairs),
                cast.semantics(**REGRESSION, sensitive=sensitive),
            ),
            "groups": (
                known_by_heart([0, 1]),
                numbers(**pairs).rename(columns={"x": "x0"}).assign(y=stream.integers(0, 2, 400)),
                cast.semantics(target="y", sensitive=sensitive),
            ),
        }
        for name, (model, frame, declared) in cases.items():
            result = cast.run(
                "bias.group_disparity",
                model=model,
                evaluation=frame,
                declared=declared,
                parameters={"intersections": 2},
            )
            rows = cast.table(result, name).query("attribute == 'p×q'")
            assert rows["n"].sum() == 400
            assert len(set(rows["group"])) == len(rows) == 4
            assert "a×c" in set(rows["group"])
            assert 'a×"b×c"' in set(rows["group"])

    def test_a_group_may_be_called_anything_a_parquet_file_holds(self) -> None:
        names = ["a\0b", "x" * 20_000, "\ud7ff\U0001f600"]
        stream = np.random.default_rng(3)
        frame = numbers(g=stream.choice(names, 400)).rename(columns={"x": "x0"})
        result = cast.run(
            "bias.group_disparity",
            model=known_by_heart([0, 1]),
            evaluation=frame.assign(y=stream.integers(0, 2, 400)),
            declared=cast.semantics(target="y", sensitive={"g": {}}),
            data_format="parquet",
        )
        from audits.checks.results import parse_result

        groups = {row[1] for row in parse_result(result).tables[0].rows}
        assert groups == {"a␀b", "x" * 9_999 + "…", names[2]}


class TestRowsAreToldApart:
    def overlap(self, training: pd.DataFrame, evaluation: pd.DataFrame, **declared: Any) -> dict[str, float]:
        frames = [
            frame.assign(x0=np.random.default_rng(seed).normal(size=len(frame)), y=[0, 1] * (len(frame) // 2))
            for seed, frame in ((1, training), (2, evaluation))
        ]
        result = cast.run(
            "evaluation.performance",
            model=known_by_heart([0, 1]),
            training=frames[0],
            evaluation=frames[1],
            declared=cast.semantics(target="y", sensitive={}, **declared),
        )
        names = ("entity_overlap", "time_overlap")
        return {item["metric"]: item["value"] for item in result["metrics"] if item["metric"] in names}

    @pytest.mark.parametrize("start", [2**60, 2**63 - 2_000, -(2**60)])
    def test_account_numbers_beyond_what_a_float_holds(self, start: int) -> None:
        training = pd.DataFrame({"id": start + np.arange(400, dtype=np.int64) * 2})
        assert self.overlap(training, training + 1, entity_key="id")["entity_overlap"] == 0
        assert self.overlap(training, training, entity_key="id")["entity_overlap"] == 1
        half = pd.concat([training[:200], training[200:] + 1])
        assert self.overlap(training, half, entity_key="id")["entity_overlap"] == 0.5

    def test_one_cell_of_text_among_numbers_hides_nobody(self) -> None:
        training = pd.DataFrame({"id": np.arange(400)})
        evaluation = pd.DataFrame({"id": [*range(399), "unclear"]})
        assert self.overlap(training, evaluation, entity_key="id")["entity_overlap"] == 399 / 400
        assert self.overlap(evaluation, training, entity_key="id")["entity_overlap"] == 399 / 400

    def test_halves_of_a_second_are_on_the_same_scale_as_whole_ones(self) -> None:
        whole = pd.DataFrame({"t": np.arange(400.0)})
        halves = pd.DataFrame({"t": np.arange(400) / 2 + 0.5})
        assert self.overlap(whole, halves, time_column="t")["time_overlap"] == 1
        assert self.overlap(halves, whole, time_column="t")["time_overlap"] == 201 / 400


@pytest.mark.parametrize("unit", [1, 0.5])
@pytest.mark.parametrize("start", [0, 1_700_000_000, 1_700_000_000_000_000])
def test_plain_numbers_of_time_are_shown_as_numbers(unit: float, start: int) -> None:
    """Epoch seconds with a fraction, and microseconds, were shown as days of January 1970."""
    stream = np.random.default_rng(4)
    frame = pd.DataFrame({"x0": stream.normal(size=400), "y": stream.integers(0, 2, 400)})
    frame["t"] = start + np.arange(400) * unit
    result = cast.run(
        "drift.concept",
        model=known_by_heart([0, 1]),
        evaluation=frame,
        declared=cast.semantics(target="y", sensitive={}, time_column="t"),
    )
    table = cast.table(result, "performance_over_time")
    assert (table["from"].iloc[0], table["to"].iloc[-1]) == (str(start), str(start + math.floor(399 * unit)))
    assert len(table) == 10
