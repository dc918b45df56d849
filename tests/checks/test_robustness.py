"""Robustness: disturbances that turn decisions over, and those that cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from tests.checks import cast

CHECK = "robustness.perturbation"


def run(**what: Any) -> dict[str, Any]:
    training, evaluation = cast.diabetes()
    return cast.run(CHECK, **{"model": cast.logistic(training), "evaluation": evaluation, **what})


def test_the_share_grows_with_the_noise() -> None:
    rates = [
        cast.metric(run(parameters={"noise": noise}), "flip_rate_noise")["value"]
        for noise in (0.001, 0.1, 1.0)
    ]
    assert rates[0] < rates[1] < rates[2]


def test_every_figure_has_its_rows_and_interval() -> None:
    result = run()
    whole = cast.metric(result, "flip_rate_noise")
    assert whole["denominators"]["rows"] == 177
    assert whole["value"] == whole["denominators"]["flipped"] / 177
    parts = [cast.metric(result, "flip_rate_noise", "sex", group) for group in ("1", "2")]
    assert sum(part["denominators"]["flipped"] for part in parts) == whole["denominators"]["flipped"]
    spread = cast.metric(result, "flip_rate_noise_difference", "sex")
    assert spread["value"] == pytest.approx(abs(parts[0]["value"] - parts[1]["value"]), abs=1e-12)
    assert spread["interval"][0] <= spread["value"] <= spread["interval"][1]
    assert {note["params"]["group"] for note in result["notes"]} == {"≥65"}


def test_a_model_that_answers_always_the_same_turns_nothing_over() -> None:
    training, _ = cast.diabetes()
    dummy = DummyClassifier().fit(training.drop(columns="progression"), training["progression"])
    result = run(model=dummy)
    for name in ("noise", "shift", "missing"):
        found = cast.metric(result, f"flip_rate_{name}")
        assert found["value"] == 0
        assert found["interval"][1] > 0


def test_a_model_that_rejects_empty_cells_has_no_figure_for_them() -> None:
    found = cast.metric(run(), "flip_rate_missing")
    assert found["value"] is None
    assert found["undefined"]["code"] == "model_rejects_missing"
    training, _ = cast.diabetes()
    boosted = HistGradientBoostingClassifier(max_iter=20).fit(
        training.drop(columns="progression"), training["progression"]
    )
    assert cast.metric(run(model=boosted), "flip_rate_missing")["value"] > 0


def test_rows_in_another_order_give_the_same_result() -> None:
    _, evaluation = cast.diabetes()
    assert run(evaluation=evaluation.sample(frac=1, random_state=1)) == run()


def test_a_regression_turns_when_it_moves_by_more_than_its_tolerance() -> None:
    data = load_diabetes(scaled=False, as_frame=True)
    frame = data.data.assign(progression=data.target)
    model = LinearRegression().fit(data.data, data.target)
    declared = cast.semantics(
        task="regression", output="value", threshold=None, positive_label=None, favourable_label=None
    )
    rates = [
        cast.metric(
            run(model=model, evaluation=frame, declared=declared, parameters={"tolerance": tolerance}),
            "flip_rate_noise",
        )["value"]
        for tolerance in (0.0, 0.2, 10.0)
    ]
    assert rates[0] == 1
    assert 0 < rates[1] < 1
    assert rates[2] == 0


def test_without_a_number_there_is_nothing_to_disturb() -> None:
    training, evaluation = cast.diabetes()
    for frame in (training, evaluation):
        frame.drop(
            columns=[name for name in frame if name not in ("sex", "progression", "age")], inplace=True
        )
        frame["old"] = (frame["age"] > 50).astype(int)
    model = cast.logistic(training, ("age",))
    result = run(model=model, evaluation=evaluation)
    assert cast.metric(result, "flip_rate_noise")["undefined"]["code"] == "no_numeric_inputs"


def test_disturbed_numbers_stay_within_their_range() -> None:
    from audits.checks.contract import CheckInput
    from audits.checks.robustness import _disturbances

    _, evaluation = cast.diabetes()
    training, _ = cast.diabetes()
    ready = cast.materials(model=cast.logistic(training), evaluation=evaluation)
    inputs = CheckInput(CHECK, "1", {"noise": 5.0, "shift": 1.0}, 1, {}, ())
    frame = ready.frame("evaluation")
    for name in ("noise", "shift"):
        other = _disturbances(inputs, frame, ready.model())[name](np.random.default_rng(0))
        assert isinstance(other, pd.DataFrame)
        for column in ("age", "bmi", "s1"):
            assert other[column].min() >= frame[column].min()
            assert other[column].max() <= frame[column].max()
            assert (other[column] != frame[column]).any()
        assert (other["sex"] == frame["sex"]).all()
        assert other["age"].dtype == frame["age"].dtype
