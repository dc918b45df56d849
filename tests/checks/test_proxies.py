"""The proxy scan: what stands in for a column is found, and noise is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.checks.proxies import cramers_v, encoded, mean_auc
from tests.checks import cast

CHECK = "bias.proxy_scan"


def study(**columns: Any) -> dict[str, Any]:
    training, evaluation = cast.diabetes()
    stream = np.random.default_rng(0)
    for frame in (training, evaluation):
        for name, make in columns.items():
            frame[name] = make(frame, stream)
    return {"model": cast.logistic(training, ("sex", "age")), "evaluation": evaluation}


def run(
    declared: dict[str, Any] | None = None, parameters: dict[str, Any] | None = None, **columns: Any
) -> Any:
    return cast.run(CHECK, **study(**columns), declared=declared, parameters=parameters)


def test_a_column_by_another_name_is_found() -> None:
    result = run(title=lambda frame, stream: frame["sex"] * 10 + stream.normal(0, 0.1, len(frame)))
    found = cast.metric(result, "proxy_auc", "sex")
    assert found["value"] > 0.99
    assert found["interval"][0] > 0.9
    assert found["denominators"]["groups"] == 2
    features = cast.table(result, "proxy_features").query("attribute == 'sex'")
    assert features.iloc[0]["feature"] == "title"
    assert features.iloc[0]["cramers_v"] > 0.9


def test_noise_tells_nothing() -> None:
    training, evaluation = cast.diabetes()
    stream = np.random.default_rng(0)
    for frame in (training, evaluation):
        frame.drop(columns=[c for c in frame if c not in ("sex", "age", "progression")], inplace=True)
        frame["noise"], frame["more"] = stream.normal(size=(2, len(frame)))
    result = cast.run(CHECK, model=cast.logistic(training, ("sex", "age")), evaluation=evaluation)
    low, high = cast.metric(result, "proxy_auc", "sex")["interval"]
    assert low < 0.5 < high


def test_flips_stand_beside_it() -> None:
    training, evaluation = cast.diabetes()
    result = cast.run(CHECK, model=cast.logistic(training), evaluation=evaluation)
    table = cast.table(result, "proxies").set_index("attribute")
    assert table.loc["sex", "is_input"]
    assert table.loc["sex", "flips"] == cast.metric(result, "attribute_flips", "sex")["value"] > 0
    hidden = cast.table(run(), "proxies").set_index("attribute")
    assert not hidden.loc["sex", "is_input"]
    assert hidden.loc["sex", "flips"] == 0
    assert hidden.loc["sex", "proxy_auc"] > 0.6  # blood values tell the sex without the column


def test_rows_in_another_order_give_the_same_result() -> None:
    what = study()
    turned = what["evaluation"].sample(frac=1, random_state=5)
    assert cast.run(CHECK, **what) == cast.run(CHECK, **{**what, "evaluation": turned})


def test_too_few_groups_or_no_other_input_is_undefined() -> None:
    found = cast.metric(run(parameters={"min_group": 90}), "proxy_auc", "sex")
    assert (found["value"], found["undefined"]["code"]) == (None, "fewer_than_two_groups")
    training, evaluation = cast.diabetes()
    alone = cast.logistic(training, tuple(c for c in training if c not in ("sex", "progression")))
    result = cast.run(CHECK, model=alone, evaluation=evaluation)
    assert cast.metric(result, "proxy_auc", "sex")["undefined"]["code"] == "no_other_inputs"


def test_a_sample_is_drawn_from_many_rows() -> None:
    what = study()
    what["evaluation"] = pd.concat([what["evaluation"]] * 5, ignore_index=True)
    found = cast.metric(cast.run(CHECK, **what, parameters={"max_rows": 200}), "proxy_auc", "sex")
    assert 195 <= found["n"] <= 205


def test_association_is_blind_to_names_and_sees_what_goes_together() -> None:
    codes = np.arange(400) % 4
    assert cramers_v(pd.Series(codes).map(dict(enumerate("wxyz"))), codes)[0] == pytest.approx(1.0)
    noise = pd.Series(np.random.default_rng(0).choice(["a", "b"], 400))
    assert cramers_v(noise, codes)[0] == pytest.approx(0.0, abs=0.15)
    assert cramers_v(pd.Series([f"id {n}" for n in range(400)]), codes)[0] in (
        None,
        0.0,
    )  # a name for each row
    assert cramers_v(pd.Series([None] * 400), codes) == (None, 0)


def test_rare_categories_share_a_code() -> None:
    table = encoded(pd.DataFrame({"c": [f"v{n}" for n in range(400)] + ["often"] * 5}), ("c",))
    assert table.max() == 250
    assert table[-1, 0] == 0


def test_the_mean_of_areas_has_the_mean_of_half_widths() -> None:
    wanted = np.array([0, 0, 1, 1, 2, 2] * 20)
    perfect = np.eye(3)[wanted]
    value, interval = mean_auc(wanted, perfect, 0.95)
    assert value == 1
    assert interval is not None
    assert interval[1] == 1
