"""Data quality on tables made to be wrong in one known way each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.checks import cast

CHECK = "data.quality"


def run(training: pd.DataFrame, evaluation: pd.DataFrame | None = None, **what: Any) -> dict[str, Any]:
    return cast.run(
        CHECK, training=training, evaluation=training if evaluation is None else evaluation, **what
    )


FRAME = pd.DataFrame(
    {
        "sex": ["f", "m", "f", "m", "f"],
        "age": [30, 40, 50, 60, 30],
        "bmi": [20.5, None, 22.5, None, 20.5],
        "site": ["a"] * 5,
        "nothing": [None] * 5,
        "progression": [1, 0, 0, 0, 1],
    }
)


class TestFigures:
    def test_each_is_counted(self) -> None:
        result = run(FRAME)

        def value(name: str) -> Any:
            return cast.metric(result, name, group="training")["value"]

        assert value("rows") == 5
        assert value("missing_ratio") == 7 / 30
        assert value("missing_ratio_worst_column") == 1.0
        assert value("duplicate_ratio") == 0.2
        assert value("constant_columns") == 2
        assert value("infinite_cells") == 0
        assert value("minority_class_ratio") == 0.4
        assert cast.metric(result, "schema_mismatches")["value"] == 0
        assert {
            "code": "columns_all_missing",
            "params": {"role": "training", "columns": "nothing"},
        } in result["notes"]
        assert {"code": "columns_constant", "params": {"role": "training", "columns": "site"}} in result[
            "notes"
        ]

    def test_the_range_of_a_sensitive_column_is_not_told(self) -> None:
        columns = cast.table(run(FRAME), "columns").set_index(["dataset", "column"])
        assert columns.loc[("training", "bmi"), ["type", "missing", "distinct", "minimum", "maximum"]].tolist() == [
            "number", 2, 2, 20.5, 22.5,
        ]  # fmt: skip
        assert columns.loc[("training", "age"), ["minimum", "maximum"]].isna().all()
        assert columns.loc[("training", "sex"), ["minimum", "maximum"]].isna().all()
        assert columns.loc[("training", "nothing"), "type"] == "empty"

    def test_infinite_cells_are_counted_and_named(self) -> None:
        result = run(FRAME.assign(bmi=[1.0, np.inf, -np.inf, 2.0, 3.0]))
        assert cast.metric(result, "infinite_cells", group="training")["value"] == 2
        assert {"code": "columns_infinite", "params": {"role": "training", "columns": "bmi"}} in result[
            "notes"
        ]
        row = cast.table(result, "columns").query("column == 'bmi'").iloc[0]
        assert (row["minimum"], row["maximum"]) == (1.0, 3.0)

    def test_columns_out_of_step_are_counted_and_named(self) -> None:
        other = FRAME.drop(columns="site").assign(extra=1, age=["thirty"] * 5)
        result = run(FRAME, other)
        assert cast.metric(result, "schema_mismatches")["value"] == 3
        notes = {note["params"]["column"]: note for note in result["notes"] if "column" in note["params"]}
        assert notes["site"]["params"]["role"] == "training"
        assert notes["extra"]["params"]["role"] == "evaluation"
        assert notes["age"]["params"] == {"column": "age", "training": "number", "evaluation": "text"}

    @pytest.mark.parametrize("format_", ["csv", "parquet"])
    def test_the_format_changes_nothing(self, format_: str) -> None:
        training, evaluation = cast.diabetes()
        assert run(training, evaluation, data_format=format_) == run(training, evaluation)


class TestUndefined:
    @pytest.mark.parametrize(
        ("target", "code"),
        [([1] * 5, "target_single_class"), ([None] * 5, "target_single_class")],
    )
    def test_a_target_without_two_classes_has_no_balance(self, target: list[Any], code: str) -> None:
        found = cast.metric(run(FRAME.assign(progression=target)), "minority_class_ratio", group="training")
        assert (found["value"], found["undefined"]["code"]) == (None, code)

    def test_a_continuous_target_has_no_classes(self) -> None:
        training, _ = cast.diabetes()
        many = training.assign(progression=np.linspace(0, 1, len(training)))
        found = cast.metric(run(many), "minority_class_ratio", group="training")
        assert found["undefined"]["code"] == "target_not_categorical"

    def test_a_missing_target_is_an_error(self) -> None:
        result = run(FRAME.drop(columns="progression"))
        assert result["error"] == {
            "code": "target_missing",
            "params": {"role": "training", "column": "progression"},
        }
