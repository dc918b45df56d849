"""Long files are counted in parts: the same bytes as at once, however they are cut, and the same refusals."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from audits.checks import parts
from audits.checks.contract import CheckError
from audits.checks.group_calibration import CalibrationSums
from tests.checks import cast
from tests.confine.test_hostile_tables import promised

CHECK = "bias.group_disparity"
DECLARED = cast.semantics(
    sensitive={"sex": {"use": "forbidden"}, "age": {"use": "monitored", "bins": [40, 60]}, "site": {}}
)


def people(rows: int = 900) -> tuple[pd.DataFrame, Any]:
    """Text, numbers and gaps; the last site and the gaps in sex are in some parts only, which have other types then."""
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "sex": random.choice(["f", "m"], rows),
            "age": random.integers(20, 80, rows).astype(float),
            "site": random.integers(1, 4, rows),
            "bmi": random.normal(25, 4, rows),
        }
    )
    frame["progression"] = (frame.bmi + random.normal(0, 3, rows) + 2 * (frame.sex == "m") > 26).astype(int)
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["sex"]), remainder="passthrough"),
        LogisticRegression(max_iter=2000),
    ).fit(frame[["sex", "bmi"]], frame.progression)
    frame.loc[rows - 60 :, "site"] = 9
    frame.loc[:150, "sex"] = None
    frame.loc[300:310, "age"] = None
    return frame, model


def found(frame: pd.DataFrame, model: Any, **more: Any) -> dict[str, Any]:
    parameters = {"intersections": 3, "replicates": 200}
    return cast.run(
        CHECK,
        model=model,
        evaluation=frame,
        declared=DECLARED,
        data_format="parquet",
        parameters=parameters,
        **more,
    )


@pytest.mark.parametrize("rows", [1, 7, 100, 899])
def test_however_it_is_cut(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    frame, model = people(900 if rows > 1 else 320)
    at_once = found(frame, model)
    assert at_once["outcome"] == "completed", at_once["error"]
    assert {item["id"] for item in at_once["tables"]} >= {"groups", "calibration_by_group"}
    monkeypatch.setattr(parts, "PART_ROWS", rows)
    assert json.dumps(found(frame, model)) == json.dumps(at_once)


def test_row_groups_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, model = people()
    at_once = found(frame, model)
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    for size in (10, 250):
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, row_group_size=size)
        assert found(buffer.getvalue(), model) == at_once


def test_the_order_of_rows_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, model = people()
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    assert found(shuffled, model) == found(frame, model)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda frame: frame.assign(bmi=frame.progression * 2.0), "target_leaks"),
        (lambda frame: frame.drop(columns="site"), "sensitive_missing"),
        (lambda frame: frame.assign(sex=None), "sensitive_all_missing"),
        (lambda frame: frame.assign(age=np.where(frame.index == 850, np.inf, frame.age)), "column_not_finite"),
        (
            lambda frame: frame.assign(progression=np.where(frame.index == 850, 3, frame.progression)),
            "label_unknown_to_model",
        ),
        (lambda frame: frame.assign(site=range(len(frame))), "sensitive_needs_bins"),
    ],
)  # fmt: skip
def test_bad_data_is_refused_as_at_once(monkeypatch: pytest.MonkeyPatch, spoil: Any, code: str) -> None:
    frame, model = people()
    at_once = found(spoil(frame), model)
    assert (at_once["outcome"], at_once["error"]["code"]) == ("errored", code)
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    assert found(spoil(frame), model)["error"] == at_once["error"]


def test_a_footer_that_promises_more_rows_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    lying = parts.ParquetParts.of(io.BytesIO(promised(5_000)), "parquet", "evaluation")
    assert lying is not None
    with pytest.raises(CheckError) as caught:
        list(lying.frames())
    assert caught.value.message.code == "parquet_unreadable"


def test_a_copy_of_the_target_in_most_parts_only_is_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, model = people()
    copied = frame.assign(bmi=frame.progression * 2.0)
    copied.loc[895, "bmi"] = 2.0 - copied.loc[895, "bmi"]
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    assert found(copied, model)["outcome"] == "completed"


def test_categories_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, _ = people()
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    categories = io.BytesIO(frame.astype({"sex": "category"}).to_parquet(index=False))
    assert parts.ParquetParts.of(categories, "parquet", "evaluation") is None
    numbers = io.BytesIO(frame.to_parquet(index=False))
    assert parts.ParquetParts.of(numbers, "parquet", "evaluation") is not None


def test_sums_of_scores_are_exact_and_add_up() -> None:
    random = np.random.default_rng(2)
    scores, truth = random.random(5000) ** 8, random.random(5000) < 0.3
    codes = {"sex": random.integers(0, 2, 5000)}
    whole, parts = CalibrationSums({"sex": ("f", "m")}), CalibrationSums({"sex": ("f", "m")})
    whole.add(codes, truth, scores)
    for start in range(0, 5000, 777):
        piece, cut = CalibrationSums({"sex": ("f", "m")}), slice(start, start + 777)
        piece.add({"sex": codes["sex"][cut]}, truth[cut], scores[cut])
        parts.merge(piece)
    assert (whole.sums["sex"] == parts.sums["sex"]).all()
    high, low = whole.sums["sex"][:, :, 2].sum(), whole.sums["sex"][:, :, 3].sum()
    assert float(high) / 2**26 + float(low) / 2**56 == pytest.approx(scores.sum(), rel=1e-14)
