"""The one door into a check: whatever happens inside, plain JSON comes out."""

from __future__ import annotations

import io
import json
import math
import sys
from typing import Any

import numpy as np
import pytest

from audits.checks import bias, execute
from audits.checks.contract import CheckError, CheckResult, Metric
from audits.checks.execute import plain
from audits.checks.results import parse_result
from tests.checks import cast

CHECKS = tuple(execute.CATALOGUE)
# metrics that only some tasks or declarations have
SOMETIMES = {
    *("mae", "rmse", "r2", "entity_overlap", "schema_violations", "data_age_days"),
    *("expected_cost", "cost_gain"),  # where a cost matrix is declared
    *("one_vs_rest_demographic_parity_difference", "one_vs_rest_equal_opportunity_difference"),
    *(
        "one_vs_rest_equalized_odds_difference",
        "mean_prediction_difference",
        "mae_difference",
        "rmse_difference",
    ),
    *(
        "mean_prediction_difference_standardised",
        "mean_residual_difference",
        "prediction_ks",
        "mean_prediction",
    ),
    *("mean_target", "mean_residual", "flip_rate_missing_difference"),
}


def study() -> dict[str, Any]:
    training, evaluation = cast.diabetes()
    for frame, year in ((training, 2024), (evaluation, 2025)):
        frame["seen"] = [f"{year}-{1 + place % 12:02d}-01" for place in range(len(frame))]
    model = cast.logistic(training, ("seen",))
    declared = cast.semantics(time_column="seen")
    return {"model": model, "training": training, "evaluation": evaluation, "declared": declared}


@pytest.mark.parametrize("check", [name for name in CHECKS if execute.CATALOGUE[name].repeatable])
def test_the_same_input_gives_the_same_bytes_and_nothing_json_cannot_say(check: str) -> None:
    what = study()
    first, second = cast.run(check, **what), cast.run(check, **what)
    assert first["outcome"] == "completed"
    text = json.dumps(first, allow_nan=False, sort_keys=True)
    assert text == json.dumps(second, allow_nan=False, sort_keys=True)
    assert json.loads(text) == first
    assert parse_result(first).to_json()["outcome"] == "completed"


@pytest.mark.parametrize("check", CHECKS)
def test_every_metric_is_in_the_catalogue_and_every_value_is_there_or_undefined(check: str) -> None:
    result = cast.run(check, **study())
    for metric in result["metrics"]:
        assert metric["metric"] in execute.CATALOGUE[check].metrics
        assert (metric["value"] is None) == (metric["undefined"] is not None)
        if metric["interval"] is not None:
            assert metric["interval"][0] <= metric["interval"][1]
            assert metric["level"] == 0.95
    named = {metric["metric"] for metric in result["metrics"]}
    absent = set(execute.CATALOGUE[check].metrics) - named
    assert absent <= SOMETIMES


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"check": "no.such"}, "check_unknown"),
        ({"version": "0"}, "check_version_unknown"),
        ({"parameters": {"surprise": 1}}, "parameters_invalid"),
        ({"parameters": {"min_group": 0}}, "parameters_invalid"),
    ],
)
def test_a_question_that_makes_no_sense_is_errored(changes: dict[str, Any], code: str) -> None:
    inputs, files = cast.given("bias.group_disparity", **study())
    result = execute.execute({**inputs.to_json(), **changes}, files)
    assert (result["outcome"], result["error"]["code"]) == ("errored", code)
    assert result["metrics"] == []


def test_a_file_that_is_not_there_is_named() -> None:
    what = study()
    del what["evaluation"]
    result = cast.run("bias.group_disparity", **what)
    assert result["error"] == {"code": "material_missing", "params": {"role": "evaluation"}}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ValueError("could not convert string to float: 'Maria da Silva'"), "check_crashed"),
        (SystemExit(0), "check_crashed"),
        (MemoryError(), "check_out_of_memory"),
        (CheckError("data_empty", role="training"), "data_empty"),
        (CheckError("column_not_finite", column=np.int64(1)), "result_not_json"),
    ],
)
def test_a_crash_is_errored_without_a_word_of_the_data(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: str
) -> None:
    def crash(*_: Any) -> Any:
        raise failure

    monkeypatch.setattr(bias, "measure", crash)
    result = cast.run("bias.group_disparity", **study())
    assert (result["outcome"], result["error"]["code"]) == ("errored", code)
    assert "Maria" not in json.dumps(result)
    if code == "check_crashed":
        assert result["error"]["params"] == {
            "exception": type(failure).__name__,
            "where": "audits.checks.bias.concluded",
        }


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, np.float64(1.0), np.int64(1), np.bool_(True), b"x", {1: "x"}, {"x"}]
)
def test_values_json_cannot_keep_are_an_error(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    with pytest.raises(CheckError, match="result_not_json"):
        plain({"metrics": [value]})
    odd = CheckResult("completed", (Metric("selection_rate", value),))
    monkeypatch.setattr(bias, "run", lambda *_: odd)
    result = cast.run("bias.group_disparity", **study())
    assert result["error"]["code"] == "result_not_json"
    assert result["metrics"] == []


def test_a_model_of_hostile_bytes_is_errored() -> None:
    what = {**study(), "model": b"\x80\x04cos\nsystem\n.", "model_format": "pickle"}
    assert cast.run("bias.group_disparity", **what)["error"]["code"] == "model_not_an_estimator"
    what["model"] = b"\x80\x04cos\nsystem\n"
    assert cast.run("bias.group_disparity", **what)["error"]["code"] == "model_unreadable"


def test_files_are_read_from_their_beginning_and_left_open() -> None:
    inputs, files = cast.given("bias.group_disparity", **study())
    for file in files.values():
        file.seek(0, io.SEEK_END)
    assert execute.execute(inputs.to_json(), files)["outcome"] == "completed"
    assert not any(file.closed for file in files.values())


def test_the_linear_route_does_not_need_shap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)  # importing it raises
    result = cast.run("explainability.shap", **study())
    assert result["tables"][0]["params"]["route"] == "linear"
    assert result["notes"] == []
