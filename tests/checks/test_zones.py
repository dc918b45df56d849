"""Planted canaries and small cells in every check's answer: nothing of them crosses the border of a data zone."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from audits.checks import local, routes
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckResult, Message, Metric, Table
from audits.checks.execute import execute
from audits.checks.messages import TEMPLATES
from audits.checks.results import parse_result
from audits.checks.zone_tables import RULES
from audits.checks.zone_terms import NOTES, OTHERS, UNDEFINED, WORDS
from audits.checks.zones import Zone, may_leave
from tests.checks import cast

K = 10
# One person's words and numbers, and levels that few people have. Digits only they have.
TEXTS = ("Wilhelmina Xantippe", "zz-rare-town", "Kanarienvogel")
NUMBERS = ("918273.6455", "-777123.25", "2031-07-09", "55512347")
RARE = 3  # rows of the rare levels


def frame(seed: int, rows: int = 600) -> pd.DataFrame:
    """People with a common and a rare sex, a rare town, an extreme income, free text and a time."""
    draw = np.random.default_rng(seed)
    age = draw.integers(20, 80, rows)
    found = pd.DataFrame(
        {
            "age": age,
            "income": draw.normal(3000, 500, rows).round(2),
            "sex": draw.choice(["f", "m"], rows),
            "town": draw.choice(["north", "south", "east"], rows),
            "team": draw.choice(["red", "blue"], rows),
            "name": [f"person {seed} {number}" for number in range(rows)],
            "seen": pd.date_range("2026-01-01", periods=rows, freq="h").strftime("%Y-%m-%d"),
            "phone": [f"9{seed}{number:07d}" for number in range(rows)],
            "ill": ((age + draw.normal(0, 45, rows)) > 50).astype(int),
        }
    )
    found.loc[: RARE - 1, "sex"] = TEXTS[2]
    found.loc[: RARE - 1, "town"] = TEXTS[1]
    found.loc[0, ["income", "name", "seen", "phone"]] = [float(NUMBERS[0]), TEXTS[0], NUMBERS[2], NUMBERS[3]]
    found.loc[1, "income"] = float(NUMBERS[1])
    found.loc[10:13, "phone"] = None  # so few empty cells are not told, nor how many are full
    return found


COSTS = {"1": {"0": 5.0}, "0": {"1": 1.0}}
INPUTS = ["age", "income", "sex", "town"]


@cache
def data() -> tuple[pd.DataFrame, pd.DataFrame]:
    training, evaluation = frame(1), frame(2)
    evaluation.loc[3:6, "town"] = "Kanarienvogelstadt"  # a level that training never had
    return training, evaluation


@cache
def model(regression: bool = False) -> Any:
    training, _ = data()
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["sex", "town"]), (StandardScaler(), ["age", "income"])
    )
    last = LinearRegression() if regression else LogisticRegression()
    return make_pipeline(encoder, last).fit(training[INPUTS], training["ill"])


def declared(**changes: Any) -> dict[str, Any]:
    return cast.semantics(
        target="ill",
        sensitive={"sex": {"use": "forbidden"}, "team": {"use": "monitored"}},
        time_column="seen",
        claimed_metrics={"accuracy": 0.99},
        zone={"name": "clinic", "k": K, "columns": list(data()[0].columns)},
        **changes,
    )


PARAMETERS: dict[str, dict[str, Any]] = {
    "data.quality": {"as_of": "2031-08-01", "schema": {"income": {"max": 9000}}},
    "bias.group_disparity": {"intersections": 2, "min_group": 30, "replicates": 200},
    "drift.distribution": {"replicates": 100},
}


def question(check: str, semantics: dict[str, Any], regression: bool = False) -> tuple[dict[str, Any], Any]:
    training, evaluation = data()
    inputs, files = cast.given(
        check,
        model=model(regression),
        training=training,
        evaluation=evaluation,
        declared=semantics,
        parameters=PARAMETERS.get(check),
    )
    return inputs.to_json(), files


@cache
def answered(check: str, regression: bool = False) -> tuple[CheckResult, CheckResult]:
    """What the check found, and what of it may leave."""
    semantics = declared(task="regression", output="value") if regression else declared(cost_matrix=COSTS)
    asked, files = question(check, semantics, regression)
    whole = parse_result(json.loads(json.dumps(execute(asked, files))))
    zone = Zone.of(asked)
    assert zone is not None
    return whole, may_leave(whole, asked, zone)


def text_of(result: CheckResult) -> str:
    return json.dumps(result.to_json(), ensure_ascii=False)


def planted() -> tuple[str, ...]:
    return (
        *TEXTS,
        "Kanarienvogelstadt",
        *NUMBERS,
        "918273",
        "777123",
        "person 1",
        "person 2",
        "910000",
        "920000",
    )


def told(word: str, text: str, *, whole_numbers: bool) -> bool:
    """Whether a text holds a planted word. Times and bytes have any digits: there, only as a number of its own."""
    if whole_numbers and word.isdigit():
        return re.search(rf"(?<![\d.]){word}(?![\d])", text) is not None
    return word in text


ASKED = [(check, regression) for check in CATALOGUE for regression in (False, True)]


@pytest.mark.parametrize(("check", "regression"), ASKED)
def test_no_canary_leaves(check: str, regression: bool) -> None:
    whole, left = answered(check, regression)
    assert whole.outcome == "completed", whole.error
    assert left.outcome == "completed"
    assert [word for word in planted() if told(word, text_of(left), whole_numbers="resources" in check)] == []
    assert parse_result(json.loads(text_of(left))) is not None  # of the same shape as any other


def test_the_same_canaries_are_there_without_the_border() -> None:
    said = {check: text_of(answered(check)[0]) for check in CATALOGUE}
    found = {check for check in CATALOGUE if any(word in said[check] for word in planted())}
    assert found >= {
        *("data.quality", "evaluation.performance", "bias.group_disparity", "explainability.shap"),
        *("drift.distribution", "drift.concept", "robustness.perturbation"),
    }


@pytest.mark.parametrize(("check", "regression"), ASKED)
def test_no_small_count_leaves(check: str, regression: bool) -> None:
    if check == "evaluation.resources":
        pytest.skip("its counts are repetitions of a measurement")
    _, left = answered(check, regression)
    counts = {"n", "missing", "reference_n", "current_n", "flipped", "positives", "negatives"}
    for metric in left.metrics:
        if metric.value is None:
            continue
        for name, count in {**metric.denominators, "n": metric.n or 0}.items():
            assert name in OTHERS or not 0 < count < K, (metric, name)
        assert not 0 < 600 - (metric.n or 0) < K, metric
        share = metric.denominators.get("successes")
        if share is not None:
            assert not 0 < metric.denominators["rows"] - share < K, metric
    for table in left.tables:
        for row in table.rows:
            for name, cell in zip(table.columns, row, strict=True):
                if name in counts and cell is not None:
                    assert cell == 0 or cell >= K, (table.id, row)
                    assert not 0 < 600 - cell < K, (table.id, row)


def test_what_a_policy_asks_for_still_leaves() -> None:
    def values(check: str) -> set[tuple[str, str | None]]:
        return {(row.metric, row.attribute) for row in answered(check)[1].metrics if row.value is not None}

    assert {("accuracy", None), ("roc_auc", None), ("brier_score", None)} <= values("evaluation.performance")
    assert ("demographic_parity_ratio", "sex") in values("bias.group_disparity")
    assert ("equalized_odds_difference", "team") in values("bias.group_disparity")
    assert ("sensitive_attribution_share", None) in values("explainability.shap")
    assert ("population_stability_index", "age") in values("drift.distribution")
    assert ("minority_class_ratio", None) in values("data.quality")
    assert ("flip_rate_noise", None) in values("robustness.perturbation")
    assert ("latency_ms", None) in values("evaluation.resources")
    assert ("proxy_auc", "sex") in values("bias.proxy_scan")


def test_groups_leave_together_or_not_at_all() -> None:
    whole, left = answered("bias.group_disparity")
    mine = next(table for table in left.tables if table.id == "groups")
    assert {row[0] for row in mine.rows} == {"team"}, "sex has a group of three, the teams are all large"
    sizes = {row[1]: row[2] for row in mine.rows}
    assert sum(sizes.values()) == 600
    assert {row.attribute for row in left.metrics if row.group is not None} == {"team"}
    # what is compared leaves, without the number of rows that was compared: it would tell how few were not
    ratio = next(
        row for row in left.metrics if (row.metric, row.attribute) == ("demographic_parity_ratio", "sex")
    )
    before = next(
        row for row in whole.metrics if (row.metric, row.attribute) == ("demographic_parity_ratio", "sex")
    )
    assert (ratio.value, ratio.interval, before.n, ratio.n) == (
        before.value,
        before.interval,
        600 - RARE,
        None,
    )
    assert not {"rows", "positives", "negatives", "smallest_group"} & set(ratio.denominators)


def test_it_says_that_something_stays() -> None:
    _, left = answered("data.quality")
    note = left.notes[-1]
    assert (note.code, note.params["zone"], note.params["k"]) == ("kept_in_zone", "clinic", K)
    age = next(row for row in left.metrics if row.metric == "data_age_days" and row.group == "training")
    assert (age.value, age.undefined) == (None, Message("withheld_in_zone", {"zone": "clinic", "k": K}))


# Single figures, made by hand


def passed(
    result: CheckResult, check: str = "evaluation.performance", k: int = K, **changes: Any
) -> CheckResult:
    asked, _ = question(check, declared(**changes))
    return may_leave(result, asked, Zone("clinic", k, ("age", "sex")))


def accuracy(correct: int, rows: int) -> Metric:
    return Metric("accuracy", correct / rows, n=rows, denominators={"correct": correct, "rows": rows})


@pytest.mark.parametrize(
    ("correct", "rows", "leaves"),
    [(90, 100, True), (91, 100, False), (100, 100, True), (9, 100, False), (0, 100, True), (4, 9, False)],
)
def test_a_share_that_tells_of_a_few_is_kept_back(correct: int, rows: int, leaves: bool) -> None:
    (metric,) = passed(CheckResult("completed", (accuracy(correct, rows),))).metrics
    assert (metric.value is not None) is leaves


# They would tell of one small cell between them.
OF_CELLS = {"precision", "recall", "f1", "expected_cost", "cost_gain"}


def confusion(tp: int, fp: int, fn: int, tn: int) -> CheckResult:
    rows = (("0", "0", tn), ("0", "1", fp), ("1", "0", fn), ("1", "1", tp))
    n, right = tp + fp + fn + tn, tp + tn
    metrics = [
        accuracy(right, n),
        Metric("precision", tp / (tp + fp), n=tp + fp, denominators={"successes": tp, "rows": tp + fp}),
        Metric("recall", tp / (tp + fn), n=tp + fn, denominators={"successes": tp, "rows": tp + fn}),
        Metric("f1", 0.5, n=n, denominators={"rows": n, "classes": 2}),
        Metric("expected_cost", (5 * fn + fp) / n, n=n, denominators={"rows": n}),
        Metric("cost_gain", 0.1, n=n, denominators={"rows": n}),
        Metric("baseline_gain", 0.1, n=n, denominators={"rows": n}),
        Metric("claimed_metric_gap", 0.1, n=n, denominators={"claims": 1}),
        Metric("roc_auc", 0.8, n=n, denominators={"positives": tp + fn, "negatives": fp + tn}),
    ]
    about = {"metric": "accuracy", "claimed": 0.99, "found": right / n, "tolerance": 0.01}
    tables = (Table("confusion", ("truth", "prediction", "n"), rows),)
    return CheckResult("completed", tuple(metrics), tables, (Message("claim_differs", about),))


OF_ERRORS = {"accuracy", "baseline_gain", "claimed_metric_gap"}


@pytest.mark.parametrize(
    ("cells", "kept_back", "shown"),
    [
        ((60, 20, 15, 90), set(), True),
        ((60, 20, 3, 90), OF_CELLS, False),
        ((60, 2, 3, 90), OF_CELLS | OF_ERRORS, False),
        ((4, 20, 3, 90), OF_CELLS | OF_ERRORS | {"roc_auc"}, False),
    ],
)
def test_one_small_cell_of_a_confusion_keeps_back_what_gives_it_away(
    cells: tuple[int, int, int, int], kept_back: set[str], shown: bool
) -> None:
    left = passed(confusion(*cells))
    assert {row.metric for row in left.metrics if row.value is None} == kept_back
    assert bool(left.tables) is shown
    assert any(note.code == "claim_differs" for note in left.notes) is ("accuracy" not in kept_back)


def test_training_errors_that_follow_from_the_gap() -> None:
    rows = {"training_rows": 200, "evaluation_rows": 100}
    gap = Metric("generalisation_gap", 0.08, n=100, denominators=rows)
    left = passed(CheckResult("completed", (accuracy(90, 100), gap))).metrics  # 0.98 of 200: four are wrong
    assert [row.value for row in left] == [0.9, None]
    left = passed(CheckResult("completed", (accuracy(90, 100), replace(gap, value=0.10)))).metrics
    assert [row.value for row in left] == [0.9, 0.10]


def test_why_nothing_could_be_compared_is_told_without_how_many_were() -> None:
    why = Message("fewer_than_two_groups", {"attribute": "sex", "groups": 1, "excluded": 1})
    counts = {"rows": 597, "groups": 1, "groups_excluded": 1}
    whole = Metric("forbidden_attribute_flips", 0.0, n=600, denominators={"rows": 600})
    ratio = Metric(
        "demographic_parity_ratio", None, attribute="sex", n=597, denominators=counts, undefined=why
    )
    left = passed(CheckResult("completed", (whole, ratio)), "bias.group_disparity").metrics[1]
    assert (left.undefined, left.n) == (why, None)
    assert left.denominators == {"groups": 1, "groups_excluded": 1}


def test_bins_leave_together_or_not_at_all() -> None:
    columns = ("bin_low", "bin_high", "n", "mean_score", "observed_rate")
    rows = [(0.0, 0.5, 100, 0.2, 0.2), (0.5, 1.0, 50, 0.8, 0.8)]
    assert passed(CheckResult("completed", tables=(Table("calibration", columns, tuple(rows)),))).tables
    rows[1] = (0.5, 1.0, 50, 0.8, 0.9)  # five of them are none
    assert not passed(CheckResult("completed", tables=(Table("calibration", columns, tuple(rows)),))).tables


def test_an_error_leaves_with_its_code_and_without_what_it_quotes() -> None:
    about = {
        "role": "evaluation",
        "column": "sex",
        "labels": TEXTS[2],
        "classes": "0, 1",
        "rows": 3,
        "line": 812,
    }
    error = passed(CheckResult("errored", error=Message("label_unknown_to_model", about))).error
    assert error is not None
    assert error.params == {
        "role": "evaluation",
        "column": "sex",
        "labels": "…",
        "classes": "…",
        "rows": "…",
        "line": 812,
    }
    invented = Message("check_crashed", {"exception": TEXTS[0], "where": TEXTS[1]})
    object.__setattr__(
        invented, "code", "wilhelmina_xantippe"
    )  # no code of ours: it may be a word of the data
    assert passed(CheckResult("errored", error=invented)).error == Message(
        "errored_in_zone", {"zone": "clinic"}
    )


def test_a_column_nobody_declared_is_not_named() -> None:
    line = (TEXTS[0], "number", 99, 99, 1.0)
    left = passed(
        CheckResult(
            "completed",
            (Metric("population_stability_index", 0.1, attribute=TEXTS[0], n=100),),
            (Table("drift", ("column", "kind", "reference_n", "current_n", "wasserstein"), (line,)),),
            (Message("column_only_in", {"column": TEXTS[0], "role": "training"}),),
        ),
        "drift.distribution",
    )  # fmt: skip
    assert (left.metrics, left.tables, [note.code for note in left.notes]) == ((), (), ["kept_in_zone"])


@pytest.mark.parametrize("table", ["shap_points", "drift_distributions", "performance_over_time", "anything"])
def test_a_table_that_is_not_named_stays(table: str) -> None:
    left = passed(CheckResult("completed", tables=(Table(table, ("a",), ((918273.6455,),)),)))
    assert left.tables == ()
    assert table not in RULES


def test_a_group_that_is_called_like_a_data_set_is_a_group_all_the_same() -> None:
    few = Metric("selection_rate", 0.5, attribute="sex", group="training", n=3, denominators={"rows": 3})
    of_no_attribute = Metric("accuracy", 0.5, group=TEXTS[0], n=100)
    left = passed(CheckResult("completed", (few, of_no_attribute)), "bias.group_disparity")
    assert left.metrics == ()


@pytest.mark.parametrize(
    "table",
    [
        Table("groups", ("attribute", "group"), (("sex", TEXTS[0]),)),
        Table("robustness", ("n",), (("many",),)),
        Table("calibration", ("n", "observed_rate"), (("many", 0.1),)),
        Table("proxies", ("attribute", "use", "n", "flips"), (("sex", "forbidden", 99, TEXTS[0]),)),
        Table("confusion", ("truth", "prediction", "n"), (("0", "1", TEXTS[0]),)),
    ],
)
def test_a_result_of_another_shape_is_nothing_that_leaves(table: Table) -> None:
    left = passed(CheckResult("completed", tables=(table,)))
    assert left.tables == ()
    assert TEXTS[0] not in text_of(left)


def test_the_explanation_of_one_record_leaves_without_what_training_holds() -> None:
    training, _ = data()
    asked = {
        "semantics": declared(),
        "materials": [
            {"role": "artifact", "digest": "sha256:00", "format": "skops", "dialect": {}},
            {"role": "training", "digest": "sha256:00", "format": "csv", "dialect": {}},
        ],
        "seed": 5,
        "record": {"age": 44, "income": 2900.5, "sex": "f", "town": "a town nobody knows"},
        "lime": True,
    }
    files = {"artifact": cast.model_file(model()), "training": cast.data_file(training)}
    whole = parse_result(local.execute(json.loads(json.dumps(asked)), files))
    left = may_leave(whole, asked, Zone("clinic", K, tuple(training.columns)))
    assert [table.id for table in left.tables] == ["shap_local", "lime_local"]
    shap = left.tables[0]
    assert math.isclose(
        shap.params["base_value"] + sum(row[1] for row in shap.rows), shap.params["output"], abs_tol=1e-6
    )
    assert "background_digest" not in shap.params, "a digest of few rows can be guessed"
    assert "record_level_unknown" in {note.code for note in whole.notes}
    assert {note.code for note in left.notes} == {"kept_in_zone"}, (
        "whether the data holds a value is not told"
    )
    assert [word for word in planted() if word in text_of(left)] == []


def test_what_is_named_to_leave_is_something_a_check_says() -> None:
    assert set(NOTES) | set(UNDEFINED) <= set(TEMPLATES)
    said = {table.id for check, regression in ASKED for table in answered(check, regression)[0].tables}
    assert set(RULES) - {"shap_local", "lime_local"} <= said
    importance = next(row for row in answered("explainability.shap")[1].tables if row.id == "shap_importance")
    assert {"route", "output_space", "estimand"} <= set(importance.params)
    sources = Path(routes.__file__).read_text().split("Route(")[1:]
    named = {match.group(1) for text in sources if (match := re.match(r'"([a-z]+)"', text))}
    assert named
    assert named <= WORDS
