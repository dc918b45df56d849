"""Two results of one input: which cells differ, and how far a number may move."""

from __future__ import annotations

from typing import Any

import pytest

from audits.checks.alike import differences

RESULT: dict[str, Any] = {
    "outcome": "completed",
    "metrics": [
        {
            "metric": "accuracy",
            "attribute": None,
            "group": None,
            "value": 0.75,
            "n": 20,
            "interval": [0.5, 0.9],
        },
        {
            "metric": "selection_rate",
            "attribute": "sex",
            "group": "f",
            "value": None,
            "n": 0,
            "interval": None,
        },
    ],
    "tables": [{"id": "groups", "columns": ["group", "n"], "rows": [["f", 3], ["m", 4]], "params": {}}],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**RESULT, "metrics": [{**RESULT["metrics"][0], **changes}, RESULT["metrics"][1]]}


def found(other: Any, tolerance: float = 1e-9) -> list[tuple[str, Any, Any]]:
    return [(item.where, item.recorded, item.computed) for item in differences(RESULT, other, tolerance)]


def test_nothing_differs_from_itself() -> None:
    assert found(RESULT) == []
    assert found(changed(interval=(0.5, 0.9))) == []  # a tuple is JSON's list


@pytest.mark.parametrize(
    ("value", "tolerance", "count"),
    [(0.75 + 1e-10, 1e-9, 0), (0.75 + 1e-8, 1e-9, 1), (0.75 + 1e-8, 1e-7, 0)],
)
def test_a_number_may_move_as_far_as_declared(value: float, tolerance: float, count: int) -> None:
    assert len(found(changed(value=value), tolerance)) == count


def test_large_numbers_move_in_proportion() -> None:
    first, second = {"rmse": 123456789.5}, {"rmse": 123456789.6}
    assert not list(differences(first, second, 1e-9))
    assert list(differences(first, second, 1e-10))


@pytest.mark.parametrize(
    ("changes", "where", "recorded", "computed"),
    [
        ({"n": 21}, "metrics[accuracy].n", 20, 21),  # a count has no tolerance, however wide
        ({"value": None}, "metrics[accuracy].value", 0.75, None),
        ({"value": True}, "metrics[accuracy].value", 0.75, True),
        ({"interval": [0.5]}, "metrics[accuracy].interval[1]", 0.9, None),
        ({"interval": None}, "metrics[accuracy].interval", "(2)", None),
    ],
)
def test_what_is_no_measured_number_is_the_same_or_not(
    changes: dict[str, Any], where: str, recorded: Any, computed: Any
) -> None:
    assert found(changed(**changes), 10.0) == [(where, recorded, computed)]


def test_cells_are_named() -> None:
    other = {**RESULT, "tables": [{**RESULT["tables"][0], "rows": [["f", 3], ["m", 5]]}]}
    assert found(other) == [("tables[groups].rows[1][1]", 4, 5)]
    assert found({**RESULT, "metrics": RESULT["metrics"][:1]}) == [
        ("metrics[selection_rate · sex · f]", "(6)", None)
    ]


def test_one_is_not_true() -> None:
    assert len(list(differences({"a": 1}, {"a": True}, 1.0))) == 1
